//! Every operation and option, against the simulator; and what the provider lacks, against a network that must stay silent.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use telephony_core::{
    Address, CallCost, CallEventKind, CallInstruction, CallRef, CallSnapshot, CallStatus, Capability, Decimal,
    DigitSequence, HangUp, InboundBinding, InboundUrls, MachineDetection, OutboundCall, RecordingRef, RecordingRequest,
    Say, TelephonyError, TelephonyProvider, TransferRequest,
};
use telephony_sandbox::{Faults, Observation, RestFault, Sandbox};

use crate::{
    customer::Customer,
    subject::{Subject, any_call, call, nobodys_urls, number, quick, refused_quietly},
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
        Trial::wait("rest::get_call_status::unknown_call", "TelephonyError::NotFound", subject, unknown_call),
        Trial::wait("rest::initiate_call::shows_no_number", "redact; Debug of a call", subject, shows_no_number),
    ];
    for &(capability, with) in OPTIONS {
        let name = format!("rest::initiate_call::with_{capability}");
        let specified = "OutboundCall: an option that is lacking is refused";
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
        method("send_digits", Capability::SendDigits, |subject| Box::pin(send_digits(subject))),
        method("start_recording", Capability::RecordLive, |subject| Box::pin(record(subject))),
        method("configure_inbound", Capability::ConfigureInbound, |subject| Box::pin(configure_inbound(subject))),
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
    let Some(snapshot) = state_of(&*provider, &placed.call).await? else { return Ok(()) };
    expect(!snapshot.state.is_over(), "a call that is not over", &snapshot)?;
    let to = snapshot.to.as_ref().and_then(|to| to.phone().cloned());
    expect(to.is_none() || to.as_ref() == order.to.as_phone(), "the number called, where it is said", &snapshot)
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
        self.sandbox.wait_for(|seen| matches!(seen, Observation::CallEnded { call, .. } if *call == id)).await;
        self.sandbox.handset(&id).or_fail("the handset has a report")
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
    let status = snapshot.state.status();
    expect(status.is_none_or(|status| status == CallStatus::Completed), "Completed, where it is said", &snapshot)
}

async fn cost(subject: Arc<Subject>) -> Outcome {
    let live = Live::start(&subject).await?;
    let before = live.provider.get_call_cost(&live.call).await.or_fail("asking for the price of a live call")?;
    expect(before == CallCost::Pending, "Pending while the call lasts", &before)?;
    live.provider.hang_up(&live.call).await.or_fail("hanging up")?;
    let id = live.id()?;
    live.sandbox.wait_for(|seen| matches!(seen, Observation::CallRated { call } if *call == id)).await;
    let after = live.provider.get_call_cost(&live.call).await.or_fail("asking for the price of a rated call")?;
    let rated = |cost: &CallCost| matches!(cost, CallCost::Rated { total, .. } if total.amount > Decimal::ZERO);
    if after != CallCost::Pending {
        return expect(rated(&after), "Rated, and positive", &after);
    }
    // Some carriers tell a price, and cannot be asked for it.
    let told = |kind: &CallEventKind| matches!(kind, CallEventKind::Cost { cost } if rated(cost));
    let what = "a price that is positive: in the answer, or in a webhook";
    live.customer.wait_for(what, |seen| seen.events().any(|event| told(&event.kind))).await.map(|_| ())
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
    live.provider.transfer_call(&transfer).await.or_fail("transferring")?;
    let handset = live.over().await?;
    let connected = handset.bridged_to.iter().any(|to| to.trim_start_matches('+') == "12025550155");
    expect(connected, "the handset is connected to the number", &handset.bridged_to)
}

async fn send_digits(subject: Arc<Subject>) -> Outcome {
    let live = Live::start(&subject).await?;
    live.provider.send_digits(&live.call, &digits("12w#")).await.or_fail("sending digits")?;
    // Whatever the carrier asks next is answered with the end of the call; where nothing is asked, we end it.
    if subject.descriptor.capabilities().support(Capability::SendDigits) == telephony_core::Support::Native {
        live.provider.hang_up(&live.call).await.or_fail("hanging up")?;
    }
    let handset = live.over().await?;
    expect(handset.digits == "12#", "the handset hears the digits", &handset.digits)
}

async fn record(subject: Arc<Subject>) -> Outcome {
    let live = Live::start(&subject).await?;
    let how = RecordingRequest::dual_channel().with_events(live.customer.url("events"));
    let recording = live.provider.start_recording(&live.call, &how).await.or_fail("starting to record")?;
    live.provider.stop_recording(&recording).await.or_fail("stopping it")?;
    live.provider.hang_up(&live.call).await.or_fail("hanging up")?;
    let ready = |kind: &telephony_core::CallEventKind| {
        matches!(kind, telephony_core::CallEventKind::Recording(event)
            if event.state == telephony_core::RecordingState::Ready)
    };
    let told =
        live.customer.wait_for("the recording is reported", |seen| seen.events().any(|event| ready(&event.kind)));
    told.await.map(|_| ())
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
    provider.configure_inbound(&InboundBinding::clear(own)).await.or_fail("taking the URLs out")?;
    let other = InboundBinding::to(number("+19995550100"), urls);
    let outcome = provider.configure_inbound(&other).await;
    expect(matches!(outcome, Err(TelephonyError::NotFound { .. })), "NotFound for a number of others", &outcome)?;
    Ok(())
}
