//! Every operation and option, against the simulator; and what the provider lacks, against a network that must stay silent.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use telephony_core::{
    Address, CallCost, CallEventKind, CallInstruction, CallRef, CallSnapshot, CallStatus, Capability, DigitSequence,
    HangUp, InboundBinding, InboundUrls, LegOwner, MachineDetection, OutboundCall, PhoneNumber, RecordingEvent,
    RecordingRef, RecordingRequest, RecordingState, Say, TelephonyError, TelephonyProvider, TransferRequest, Url,
};
use telephony_sandbox::{Behaviour, DIAL_PLAN, EndCause, Faults, Observation, RestFault, Sandbox, SimulatedCall};

use crate::{
    customer::{Customer, Seen},
    edit::{UNHEARD_OF, with_unknown_members, with_unknown_word},
    subject::{Subject, any_call, call, end_of_call, nobodys_urls, number, quick, refused_quietly, told_truly},
    trial::{OrFail, Outcome, Trial, expect},
};

type Option_ = (Capability, fn(OutboundCall) -> OutboundCall);

/// The options of an outbound call that are capabilities.
const OPTIONS: &[Option_] = &[
    (Capability::RingTimeout, |call| call.with_ring_timeout(Duration::from_secs(30))),
    (Capability::TimeLimit, |call| call.with_time_limit(Duration::from_secs(600))),
    (Capability::MachineDetection, |call| call.with_machine_detection(MachineDetection::Detect)),
    (Capability::DigitsOnAnswer, |call| call.with_digits_on_answer(digits("1w2"))),
    (Capability::RecordOnAnswer, |call| call.with_recording(RecordingRequest::dual_channel())),
    (Capability::CallerName, |call| call.with_caller_name("Anna")),
    (Capability::SipAddress, |mut call| {
        call.to = sip();
        call
    }),
];

pub(crate) fn trials(subject: &Arc<Subject>) -> Vec<Trial> {
    let mut trials = vec![
        Trial::wait("rest::check_account::works", "TelephonyProvider::check_account", subject, check_account),
        Trial::wait(
            "rest::check_account::wrong_credentials",
            "TelephonyError::Authentication",
            subject,
            wrong_credentials,
        ),
        Trial::wait("rest::get_available_phone_numbers::all_pages", "get_available_phone_numbers", subject, all_pages),
        Trial::wait("rest::get_available_phone_numbers::none", "get_available_phone_numbers", subject, no_numbers),
        Trial::wait("rest::initiate_call::is_accepted", "initiate_call, get_call_status", subject, accepted),
        Trial::wait(
            "rest::all::unknown_members",
            "TelephonyProvider: what a carrier adds is no error",
            subject,
            unknown_members,
        ),
        Trial::wait("rest::get_call_status::unknown_word", "CallState::Alive", subject, unknown_word),
        Trial::wait("rest::get_call_status::unknown_call", "TelephonyError::NotFound", subject, unknown_call),
        Trial::wait("rest::initiate_call::shows_no_number", "redact; Debug of a call", subject, shows_no_number),
    ];
    for &(capability, with) in OPTIONS {
        let name = format!("rest::initiate_call::with_{capability}");
        let specified = "OutboundCall: an option reaches the carrier, or is refused";
        trials.push(
            Trial::wait(name, specified, subject, async move |subject: Arc<Subject>| {
                option(&subject, capability, with).await
            })
            .about(Some(capability)),
        );
    }
    let method = |name: &'static str, capability, works: fn(Arc<Subject>) -> Boxed| {
        let specified = "Capability: declared works, undeclared is Unsupported and sends nothing";
        Trial::wait(format!("rest::{name}"), specified, subject, async move |subject: Arc<Subject>| {
            if subject.has(capability) { works(subject).await } else { lacking(&subject, capability).await }
        })
        .about(Some(capability))
    };
    trials.extend([
        method("hang_up", Capability::HangUp, |subject| Box::pin(hang_up(subject))),
        method("get_call_cost", Capability::CallCost, |subject| Box::pin(cost(subject))),
        method("instruct", Capability::Instruct, |subject| Box::pin(instruct(subject))),
        method("transfer_call", Capability::Transfer, |subject| Box::pin(transfer(subject))),
        method("transfer_call::nobody_there", Capability::Transfer, |subject| Box::pin(transfer_to_nobody(subject))),
        method("send_digits", Capability::SendDigits, |subject| Box::pin(send_digits(subject))),
        method("start_recording", Capability::RecordLive, |subject| Box::pin(record(subject))),
        method("configure_inbound", Capability::ConfigureInbound, |subject| Box::pin(configure_inbound(subject))),
        method("configure_inbound::leaves_the_rest", Capability::ConfigureInbound, |subject| {
            Box::pin(leaves_the_rest(subject))
        }),
    ]);
    trials
}

type Boxed = std::pin::Pin<Box<dyn Future<Output = Outcome>>>;

#[expect(clippy::expect_used, reason = "the kit's own constants")]
fn digits(text: &str) -> DigitSequence {
    text.parse().expect("digits of the kit's")
}

#[expect(clippy::expect_used, reason = "the kit's own constants")]
fn sip() -> Address {
    "sip:anna@example.com".parse().expect("a URI of the kit's")
}

async fn check_account(subject: Arc<Subject>) -> Outcome {
    let (_sandbox, provider) = subject.sandbox(quick()).await?;
    let info = provider.check_account().await.or_fail("checking the account")?;
    let own = subject.fixture.get(subject.descriptor.account_id_field()).and_then(serde_json::Value::as_str);
    expect(own.is_none_or(|own| own == info.id), "the account's id", &info)
}

async fn wrong_credentials(subject: Arc<Subject>) -> Outcome {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    sandbox.set_faults(Faults::none().with_rest(RestFault::Status(401)));
    let outcome = provider.check_account().await;
    expect(matches!(outcome, Err(TelephonyError::Authentication { .. })), "Authentication", &outcome)
}

async fn all_pages(subject: Arc<Subject>) -> Outcome {
    let (sandbox, provider) = subject.sandbox(quick().with_numbers(1_105)).await?;
    let listed = provider.get_available_phone_numbers().await.or_fail("listing the numbers")?;
    let listed: BTreeSet<_> = listed.into_iter().map(|owned| owned.number).collect();
    let owned: BTreeSet<_> = sandbox.numbers().into_iter().collect();
    expect(listed == owned, format_args!("all {} numbers, each once", owned.len()), listed.len())
}

async fn no_numbers(subject: Arc<Subject>) -> Outcome {
    let (_sandbox, provider) = subject.sandbox(quick().with_numbers(0)).await?;
    let listed = provider.get_available_phone_numbers().await.or_fail("listing no numbers")?;
    expect(listed.is_empty(), "an empty list", &listed)
}

async fn accepted(subject: Arc<Subject>) -> Outcome {
    let (sandbox, provider) = subject.sandbox(quick().with_ring(Duration::from_secs(20))).await?;
    let order = call(&sandbox, 0, nobodys_urls())?;
    let placed = provider.initiate_call(&order).await.or_fail("placing a call")?;
    expect(!placed.status.is_terminal(), "a call that begins", &placed)?;
    let [taken] = &sandbox.calls()[..] else { return expect(false, "one call at the carrier", sandbox.calls().len()) };
    for (name, wanted, given) in [("to", &order.to, &taken.request.to), ("from", &order.from, &taken.request.from)] {
        let digits = wanted.as_phone().map(PhoneNumber::digits);
        let so = Some(given.trim_start_matches('+')) == digits;
        expect(so, format_args!("the carrier is told `{name}` of the call"), telephony_core::redact_number(given))?;
    }
    let Some(snapshot) = state_of(&*provider, &placed.call).await? else { return Ok(()) };
    expect(!snapshot.state.is_over(), "a call that is not over", &snapshot)?;
    for (name, wanted, said) in [("to", &order.to, &snapshot.to), ("from", &order.from, &snapshot.from)] {
        let so = said.as_ref().is_none_or(|said| said.phone() == wanted.as_phone());
        let expected = "is the call's, in E.164, where the carrier says it, with or without its +";
        expect(so, format_args!("`{name}` {expected}"), format_args!("{said:?}"))?;
    }
    Ok(())
}

/// A carrier adds members to its answers whenever it likes.
async fn unknown_members(subject: Arc<Subject>) -> Outcome {
    let (sandbox, provider) = subject.sandbox(quick().with_numbers(30)).await?;
    let tomorrow = subject.edited(&sandbox.account(), with_unknown_members)?;
    let tried = |what: &str| format!("{what}, where every object of the answer has a member that nobody has heard of,");
    let info = tomorrow.check_account().await.or_fail(&tried("checking the account"))?;
    let before = provider.check_account().await.or_fail("checking the account")?;
    expect(info == before, "the same account as without it", &info)?;
    let listed = tomorrow.get_available_phone_numbers().await.or_fail(&tried("listing the numbers"))?;
    expect(listed.len() == 30, "the same 30 numbers as without it", listed.len())?;
    let order = call(&sandbox, 0, nobodys_urls())?;
    let placed = tomorrow.initiate_call(&order).await.or_fail(&tried("placing a call"))?;
    state_of(&*tomorrow, &placed.call).await.map(|_| ())
}

/// A word for a state that this version does not know says that there is such a call, and no more.
async fn unknown_word(subject: Arc<Subject>) -> Outcome {
    let live = Live::start(&subject).await?;
    let word = live.provider.get_call_status(&live.call).await.or_fail("asking for its state")?.raw_status;
    if word.is_empty() {
        return Ok(()); // The carrier has no words.
    }
    let edit = move |answer: &mut serde_json::Value| {
        with_unknown_word(answer, &word);
    };
    let tomorrow = subject.edited(&live.sandbox.account(), edit)?;
    let snapshot = tomorrow.get_call_status(&live.call).await.or_fail("reading a word that nobody has heard of")?;
    expect(!snapshot.state.is_over(), "a call that is not over: nobody knows what the word means", &snapshot)?;
    expect(snapshot.raw_status == UNHEARD_OF, "the carrier's word is kept", &snapshot.raw_status)
}

/// The state of a call just placed. Of a call that is not named yet, the carrier need not know any.
async fn state_of(provider: &dyn TelephonyProvider, call: &CallRef) -> Result<Option<CallSnapshot>, String> {
    match provider.get_call_status(call).await {
        Err(TelephonyError::NotFound { .. }) if call.id().is_none() => Ok(None),
        outcome => outcome.or_fail("asking for its state").map(Some),
    }
}

async fn unknown_call(subject: Arc<Subject>) -> Outcome {
    let (_sandbox, provider) = subject.sandbox(quick()).await?;
    let outcome = provider.get_call_status(&subject.unknown_call()?).await;
    expect(matches!(outcome, Err(TelephonyError::NotFound { .. })), "NotFound", &outcome)
}

async fn shows_no_number(subject: Arc<Subject>) -> Outcome {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let order = call(&sandbox, 0, nobodys_urls())?;
    let placed = provider.initiate_call(&order).await.or_fail("placing a call")?;
    let snapshot = state_of(&*provider, &placed.call).await?;
    let shown = format!("{order:?} {placed:?} {snapshot:?}");
    expect(!shown.contains("2025550100"), "no whole telephone number in any Debug output", &shown)
}

async fn option(subject: &Subject, capability: Capability, with: fn(OutboundCall) -> OutboundCall) -> Outcome {
    if !subject.has(capability) {
        let (provider, network) = subject.offline()?;
        return refused_quietly(provider.initiate_call(&with(any_call())).await, capability, &network);
    }
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let order = with(call(&sandbox, 0, nobodys_urls())?);
    provider.initiate_call(&order).await.or_fail("placing a call with the option")?;
    let taken = sandbox.calls().pop().or_fail("a call at the carrier")?.request;
    let pressed = taken.digits_on_answer.as_ref().map(|text| text.replace(|c: char| !c.is_ascii_digit(), ""));
    match capability {
        Capability::RingTimeout => {
            expect(taken.ring_timeout == order.ring_timeout, "it rings for 30 s", taken.ring_timeout)?;
        }
        Capability::TimeLimit => expect(taken.time_limit == order.time_limit, "it lasts 600 s", taken.time_limit)?,
        Capability::MachineDetection => {
            expect(taken.detect_machine, "the carrier is to tell who answers", taken.detect_machine)?
        }
        Capability::DigitsOnAnswer => expect(pressed.as_deref() == Some("12"), "12 is pressed on the answer", pressed)?,
        Capability::RecordOnAnswer => expect(taken.record, "the carrier records", taken.record)?,
        Capability::SipAddress => expect(taken.to == order.to.as_str(), "the URI is called", &taken.to)?,
        _ => {}
    }
    let (with, without) = (would_send(subject, &with(any_call())).await?, would_send(subject, &any_call()).await?);
    expect(with != without, "a request that says so: the option makes a difference", &with)
}

/// What a request for a call would send.
async fn would_send(subject: &Subject, order: &OutboundCall) -> Result<String, String> {
    let (provider, network) = subject.offline()?;
    let outcome = provider.initiate_call(order).await;
    expect(outcome.is_err(), "an error without a network", &outcome)?;
    let body = network.last_body().or_fail("a request for the call")?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

async fn lacking(subject: &Subject, capability: Capability) -> Outcome {
    let (provider, network) = subject.offline()?;
    let call = subject.unknown_call()?;
    let provider = provider.as_ref();
    match capability {
        Capability::HangUp => refused_quietly(provider.hang_up(&call).await, capability, &network),
        Capability::CallCost => refused_quietly(provider.get_call_cost(&call).await, capability, &network),
        Capability::Instruct => {
            refused_quietly(provider.instruct(&call, &CallInstruction::HangUp).await, capability, &network)
        }
        Capability::Transfer => {
            let transfer = TransferRequest::new(call, number("+12025550155"));
            refused_quietly(provider.transfer_call(&transfer).await, capability, &network)
        }
        Capability::SendDigits => {
            refused_quietly(provider.send_digits(&call, &digits("1")).await, capability, &network)
        }
        Capability::RecordLive => {
            let started = provider.start_recording(&call, &RecordingRequest::default()).await;
            refused_quietly(started, capability, &network)?;
            let recording = RecordingRef { call, id: None };
            refused_quietly(provider.stop_recording(&recording).await, capability, &network)
        }
        _ => {
            let binding = InboundBinding::clear(number("+13035550100"));
            refused_quietly(provider.configure_inbound(&binding).await, capability, &network)
        }
    }
}

/// A call that is up and streams.
struct Live {
    sandbox: Sandbox,
    provider: Arc<dyn TelephonyProvider>,
    customer: Customer,
    call: CallRef,
}

impl Live {
    async fn start(subject: &Subject) -> Result<Self, String> {
        let (sandbox, provider) = subject.sandbox(quick()).await?;
        let customer = Customer::start(provider.clone()).await?;
        let placed = provider.initiate_call(&call(&sandbox, 0, customer.urls())?).await.or_fail("placing a call")?;
        let seen = customer.wait_for("the stream starts", |seen| seen.heard.start.is_some()).await?;
        let mut reference = placed.call;
        for event in seen.events() {
            reference.absorb(&event.call);
        }
        Ok(Self { sandbox, provider, customer, call: reference })
    }

    fn id(&self) -> Result<String, String> {
        self.call.id().map(ToString::to_string).or_fail("the call has its id")
    }

    /// Waits for the end, and for what the handset went through.
    async fn over(&self) -> Result<telephony_sandbox::HandsetReport, String> {
        let id = self.id()?;
        end_of_call(&self.sandbox, &id).await?;
        self.sandbox.handset(&id).or_fail("the handset has a report")
    }

    /// The call as the carrier knows it.
    fn taken(&self) -> Result<SimulatedCall, String> {
        let id = self.id()?;
        self.sandbox.calls().into_iter().find(|call| call.id() == id).or_fail("the carrier knows the call")
    }
}

async fn hang_up(subject: Arc<Subject>) -> Outcome {
    let live = Live::start(&subject).await?;
    let first = live.provider.hang_up(&live.call).await.or_fail("hanging up a live call")?;
    expect(first == HangUp::Ended, "Ended", first)?;
    live.over().await?;
    let again = live.provider.hang_up(&live.call).await.or_fail("hanging up a call that is over, which is no error")?;
    expect(again == HangUp::AlreadyEnded, "AlreadyEnded", again)?;
    let snapshot = live.provider.get_call_status(&live.call).await.or_fail("asking for its state")?;
    expect(snapshot.state.is_over(), "a call that is over", &snapshot)?;
    let moments = [snapshot.started_at, snapshot.ended_at];
    told_truly(&live.taken()?, snapshot.direction, snapshot.duration, &moments)?;
    let status = snapshot.state.status();
    expect(status.is_none_or(|status| status == CallStatus::Completed), "Completed, where it is said", &snapshot)
}

async fn cost(subject: Arc<Subject>) -> Outcome {
    let live = Live::start(&subject).await?;
    let before = live.provider.get_call_cost(&live.call).await.or_fail("asking for the price of a live call")?;
    expect(before == CallCost::Pending, "Pending while the call lasts", &before)?;
    subject.end(&*live.provider, &live.call).await?;
    let id = live.id()?;
    live.sandbox.wait_for(|seen| matches!(seen, Observation::CallRated { call } if *call == id)).await;
    let after = live.provider.get_call_cost(&live.call).await.or_fail("asking for the price of a rated call")?;
    let carrier = subject.simulator.build();
    let (charged, currency) = (live.taken()?.charge(carrier.rate_per_minute()), carrier.currency());
    let rated = |cost: &CallCost| {
        let CallCost::Rated { total, .. } = cost else { return false };
        total.amount == charged && currency.is_none_or(|currency| total.currency.code() == currency)
    };
    let charged = format!("{charged} {}", currency.unwrap_or_default());
    if after != CallCost::Pending {
        return expect(rated(&after), format_args!("Rated, and positive: {charged}, which is charged"), &after);
    }
    // Some carriers tell a price, and cannot be asked for it.
    let told = |kind: &CallEventKind| matches!(kind, CallEventKind::Cost { cost } if rated(cost));
    let what = format!("the price that is charged, {charged}: in the answer, or in a webhook");
    live.customer.wait_for(&what, |seen| seen.events().any(|event| told(&event.kind))).await.map(|_| ())
}

async fn instruct(subject: Arc<Subject>) -> Outcome {
    let live = Live::start(&subject).await?;
    if subject.has(Capability::Say) {
        let text = "Grüße & <tschüs>";
        live.provider.instruct(&live.call, &CallInstruction::Say(Say::text(text))).await.or_fail("instructing")?;
        let handset = live.over().await?;
        expect(handset.said == [text], "the text is spoken to the handset", &handset.said)?;
    } else {
        live.provider.instruct(&live.call, &CallInstruction::HangUp).await.or_fail("instructing")?;
        live.over().await?;
    }
    let late = live.provider.instruct(&live.call, &CallInstruction::HangUp).await;
    expect(matches!(late, Err(TelephonyError::NotFound { .. })), "NotFound once the call is over", &late)
}

async fn transfer(subject: Arc<Subject>) -> Outcome {
    let live = Live::start(&subject).await?;
    let transfer = TransferRequest::new(live.call.clone(), number("+12025550155"));
    let agreed = live.provider.transfer_call(&transfer).await.or_fail("transferring")?;
    let mine = agreed.leg_owner == LegOwner::Application;
    live.customer
        .wait_for("the stream is closed, with the transfer or with the call", |seen| seen.heard.closed)
        .await?;
    let id = live.id()?;
    let over = |seen: &Observation| matches!(seen, Observation::CallEnded { call, .. } if *call == id);
    let lasted = live.sandbox.observations().iter().any(over);
    expect(
        agreed.ends_stream || lasted,
        "a stream that lasts, as `ends_stream` is false",
        "it is closed, and the call is up",
    )?;
    let cause = end_of_call(&live.sandbox, &id).await?;
    expect(!mine || cause == EndCause::HandsetHungUp, "a call that lasts until we end it, as its leg is ours", cause)?;
    let handset = live.over().await?;
    let connected = handset.bridged_to.iter().any(|to| to.trim_start_matches('+') == "12025550155");
    expect(connected, "the handset is connected to the number", &handset.bridged_to)
}

/// Whoever cannot be connected must not be kept waiting for ever.
async fn transfer_to_nobody(subject: Arc<Subject>) -> Outcome {
    let live = Live::start(&subject).await?;
    let transfer = TransferRequest::new(live.call.clone(), number(DIAL_PLAN[1].number));
    live.provider.transfer_call(&transfer).await.or_fail("transferring to a number that is busy")?;
    let cause = end_of_call(&live.sandbox, &live.id()?).await?;
    let expected = "the call ends, or asks what to do, once the other side cannot be had";
    expect(cause != EndCause::HandsetHungUp, expected, "silence, until the person hung up")
}

async fn send_digits(subject: Arc<Subject>) -> Outcome {
    let live = Live::start(&subject).await?;
    live.provider.send_digits(&live.call, &digits("12w#")).await.or_fail("sending digits")?;
    // Whatever the carrier asks next is answered with the end of the call; where nothing is asked, we end it.
    if subject.descriptor.capabilities().support(Capability::SendDigits) == telephony_core::Support::Native {
        subject.end(&*live.provider, &live.call).await?;
    }
    let handset = live.over().await?;
    expect(handset.digits == "12#", "the handset hears the digits", &handset.digits)
}

async fn record(subject: Arc<Subject>) -> Outcome {
    let live = Live::start(&subject).await?;
    let how = RecordingRequest::dual_channel().with_events(live.customer.url("events"));
    let recording = live.provider.start_recording(&live.call, &how).await.or_fail("starting to record")?;
    live.provider.stop_recording(&recording).await.or_fail("stopping it")?;
    subject.end(&*live.provider, &live.call).await?;
    fn ready(seen: &Seen) -> Option<&RecordingEvent> {
        seen.events().find_map(|event| match &event.kind {
            CallEventKind::Recording(event) if event.state == RecordingState::Ready => Some(event),
            _ => None,
        })
    }
    let seen = live.customer.wait_for("the recording is reported", |seen| ready(seen).is_some()).await?;
    let url = ready(&seen).and_then(|event| event.url.as_deref());
    let so = url.is_some_and(|url| url.parse::<Url>().is_ok());
    expect(so, "a recording that is ready says where it can be fetched", url)
}

async fn configure_inbound(subject: Arc<Subject>) -> Outcome {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let customer = Customer::start(provider.clone()).await?;
    let own = sandbox.numbers().into_iter().next().or_fail("the account has a number")?;
    let urls = InboundUrls { answer: customer.url("answer"), events: customer.url("events") };
    let binding = InboundBinding::to(own.clone(), urls.clone());
    provider.configure_inbound(&binding).await.or_fail("pointing a number at us")?;
    sandbox.call_in("+12025550100", own.as_e164()).await.or_fail("calling in")?;
    customer.wait_for("the inbound call is streamed", |seen| seen.heard.start.is_some()).await?;
    provider.configure_inbound(&InboundBinding::clear(own.clone())).await.or_fail("taking the URLs out")?;
    let asked = |seen: &Seen| seen.events().filter(|event| matches!(event.kind, CallEventKind::Inbound { .. })).count();
    sandbox.call_in("+12025550100", own.as_e164()).await.or_fail("calling in again")?;
    // By the time that another call is over, the one before would have asked.
    let handset = DIAL_PLAN.iter().position(|entry| entry.behaviour == Behaviour::HangsUp).or_fail("such a handset")?;
    let ends = customer.wait_for("anything", |_| true).await?.ends();
    provider.initiate_call(&call(&sandbox, handset, customer.urls())?).await.or_fail("placing a call")?;
    let seen = customer.wait_for("the end of an outbound call is reported", |seen| seen.ends() > ends).await?;
    expect(asked(&seen) == 1, "nobody is asked about a number whose URLs were taken out", asked(&seen) - 1)?;
    let other = InboundBinding::to(number("+19995550100"), urls);
    let outcome = provider.configure_inbound(&other).await;
    expect(matches!(outcome, Err(TelephonyError::NotFound { .. })), "NotFound for a number of others", &outcome)
}

async fn leaves_the_rest(subject: Arc<Subject>) -> Outcome {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let own = sandbox.numbers().into_iter().next().or_fail("the account has a number")?;
    let before = sandbox.other_settings();
    let urls = InboundUrls { answer: nobodys_urls().answer, events: nobodys_urls().events };
    provider.configure_inbound(&InboundBinding::to(own.clone(), urls)).await.or_fail("pointing a number at us")?;
    let after = sandbox.other_settings();
    let expected = format_args!("what else is set up at the carrier stays as it is: {before}");
    expect(before == after, expected, format_args!("{after}"))?;
    provider.configure_inbound(&InboundBinding::clear(own)).await.or_fail("taking the URLs out")?;
    expect(
        before == sandbox.other_settings(),
        "it stays as it is when the URLs are taken out",
        sandbox.other_settings(),
    )
}
