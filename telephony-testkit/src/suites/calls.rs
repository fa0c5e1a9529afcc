//! Whole calls: audio both ways, every way to end, inbound, faults of delivery.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use telephony_core::{
    AnsweredBy, CallEventKind, CallInstruction, CallStatus, Capability, Due, GatherDigits, InboundBinding, InboundUrls,
    InstructionWanted, MachineDetection, Refusal, Reject, Say, TelephonyError, Then,
};
use telephony_sandbox::{Behaviour, DIAL_PLAN, EndCause, Faults, Observation, WebhookFaults};

use crate::{
    customer::{Customer, MARK, Received, Seen},
    subject::{Subject, call, quick},
    trial::{OrFail, Outcome, Trial, expect},
};

type Boxed = std::pin::Pin<Box<dyn Future<Output = Outcome>>>;

pub(crate) fn trials(subject: &Arc<Subject>) -> Vec<Trial> {
    let mut trials = vec![
        Trial::wait("calls::outbound::audio_both_ways", "CallInstruction::Stream, MediaCodec", subject, outbound),
        Trial::wait("calls::end::busy", "CallStatus::Busy", subject, busy),
        Trial::wait("calls::end::no_answer", "CallStatus::NoAnswer", subject, no_answer),
        Trial::wait("calls::end::declined", "Refusal::Declined", subject, declined),
        Trial::wait(
            "calls::end::no_such_number",
            "Refusal::InvalidNumber, or InvalidRequest of `to`",
            subject,
            invalid,
        ),
        Trial::wait("calls::end::the_other_side_hangs_up", "CallStatus::Completed", subject, hung_up_on),
        Trial::wait("calls::faults::repeated_webhooks", "CallEvent::dedupe_key", subject, repeated),
        Trial::wait("calls::faults::webhooks_in_any_order", "parse_webhook", subject, reordered),
        Trial::wait("calls::faults::lost_webhooks", "get_call_status", subject, lost),
    ];
    let mut with = |capability, name: &str, specified, trial: fn(Arc<Subject>) -> Boxed| {
        if subject.has(capability) {
            trials.push(Trial::wait(format!("calls::{name}"), specified, subject, trial).about(Some(capability)));
        }
    };
    with(Capability::MachineDetection, "outbound::answering_machine", "CallEventKind::AnsweredBy", |subject| {
        Box::pin(machine(subject))
    });
    with(Capability::MediaDigits, "outbound::keys_in_the_stream", "MediaEvent::Digit", |subject| {
        Box::pin(keys(subject))
    });
    with(Capability::Say, "outbound::say_then_ask", "Then::Ask", |subject| Box::pin(say_then_ask(subject)));
    with(Capability::GatherDigits, "outbound::gather_digits", "CallEventKind::Digits", |subject| {
        Box::pin(gather(subject))
    });
    with(Capability::ConfigureInbound, "inbound::is_streamed", "CallEventKind::Inbound", |subject| {
        Box::pin(inbound(subject))
    });
    with(Capability::ConfigureInbound, "inbound::is_refused", "CallInstruction::Reject", |subject| {
        Box::pin(inbound_refused(subject))
    });
    trials
}

async fn outbound(subject: Arc<Subject>) -> Outcome {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let customer = Customer::start(provider.clone()).await?;
    let order = call(&sandbox, 0, customer.urls())?;
    let placed = provider.initiate_call(&order).await.or_fail("placing a call")?;
    // The handset speaks once we have finished; a second of speech is 50 loud frames of 20 ms.
    let marks = subject.has(Capability::MediaMarks);
    let heard = |seen: &Seen| seen.heard.loud >= 50 && (!marks || seen.heard.marks.iter().any(|mark| mark == MARK));
    let seen = customer.wait_for("speech of the handset, and our mark back", heard).await?;
    expect(seen.heard.problems.is_empty(), "every message is read", &seen.heard.problems)?;
    let start = seen.heard.start.as_ref().or_fail("the stream starts")?;
    expect(subject.descriptor.media().formats.contains(&start.inbound), "a format of the profile", start)?;
    if subject.has(Capability::StreamParameters) {
        let run = start.parameters.get("run").map(String::as_str);
        expect(run == Some("7 \"7\" & 7"), "the stream's parameters come back", start)?;
    }
    let mut reference = placed.call;
    seen.events().for_each(|event| reference.absorb(&event.call));
    if subject.has(Capability::HangUp) {
        provider.hang_up(&reference).await.or_fail("hanging up")?;
    }
    let seen = customer.wait_for("the end is reported", |seen| seen.end().is_some()).await?;
    expect(seen.end() == Some(CallStatus::Completed), "Completed", seen.end())?;
    let id = reference.id().map(ToString::to_string).or_fail("the call has its id")?;
    sandbox.wait_for(|seen| matches!(seen, Observation::CallEnded { call, .. } if *call == id)).await;
    let handset = sandbox.handset(&id).or_fail("the handset has a report")?;
    let loud = handset.heard.iter().filter(|sample| sample.unsigned_abs() > 4_000).count();
    // 600 ms of a square wave at 16 kHz.
    expect((8_000..12_000).contains(&loud), "the handset hears our tone, about 9,600 samples of it", loud)
}

/// The end of a call to a handset that does this, and why it could not be had.
async fn end_of(subject: &Subject, behaviour: Behaviour) -> Result<(CallStatus, Option<Refusal>), String> {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let customer = Customer::start(provider.clone()).await?;
    let handset = DIAL_PLAN.iter().position(|entry| entry.behaviour == behaviour).or_fail("such a handset")?;
    match provider.initiate_call(&call(&sandbox, handset, customer.urls())?).await {
        Ok(_) => {}
        Err(TelephonyError::InvalidRequest { problem, .. }) if problem.field == "to" => {
            return Ok((CallStatus::Failed, Some(Refusal::InvalidNumber)));
        }
        Err(error) => return Err(format!("expected: the call is placed\n  seen:     {error:?}")),
    }
    let seen = customer.wait_for("the end is reported", |seen| seen.end().is_some()).await?;
    let ends = seen.events().filter_map(|event| match &event.kind {
        CallEventKind::Status(change) if change.status.is_some_and(CallStatus::is_terminal) => Some(change),
        _ => None,
    });
    let change = ends.last().or_fail("an end")?;
    Ok((change.status.unwrap_or(CallStatus::Failed), change.refusal))
}

async fn busy(subject: Arc<Subject>) -> Outcome {
    let end = end_of(&subject, Behaviour::Busy).await?;
    expect(end == (CallStatus::Busy, None), "Busy", end)
}

async fn no_answer(subject: Arc<Subject>) -> Outcome {
    let end = end_of(&subject, Behaviour::NoAnswer).await?;
    expect(end.0 == CallStatus::NoAnswer, "NoAnswer", end)
}

async fn declined(subject: Arc<Subject>) -> Outcome {
    let end = end_of(&subject, Behaviour::Declines).await?;
    expect(end.1 == Some(Refusal::Declined), "an end that says that the call was declined", end)
}

async fn invalid(subject: Arc<Subject>) -> Outcome {
    let end = end_of(&subject, Behaviour::Invalid).await?;
    expect(
        end == (CallStatus::Failed, Some(Refusal::InvalidNumber)),
        "a refusal of the number, at once or as the end",
        end,
    )
}

async fn hung_up_on(subject: Arc<Subject>) -> Outcome {
    let end = end_of(&subject, Behaviour::HangsUp).await?;
    expect(end.0 == CallStatus::Completed, "Completed", end)
}

async fn machine(subject: Arc<Subject>) -> Outcome {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let customer = Customer::start(provider.clone()).await?;
    for (behaviour, wanted) in [(Behaviour::Talks, AnsweredBy::Human), (Behaviour::Machine, AnsweredBy::Machine)] {
        let handset = DIAL_PLAN.iter().position(|entry| entry.behaviour == behaviour).or_fail("such a handset")?;
        let order = call(&sandbox, handset, customer.urls())?.with_machine_detection(MachineDetection::Detect);
        provider.initiate_call(&order).await.or_fail("placing a call")?;
        let machine = CallEventKind::AnsweredBy { who: AnsweredBy::Machine };
        let told = |seen: &Seen| seen.events().any(|event| event.kind == CallEventKind::AnsweredBy { who: wanted });
        // Of people, some carriers say nothing.
        let heard = |seen: &Seen| told(seen) || (wanted == AnsweredBy::Human && seen.heard.loud >= 50);
        let seen = customer.wait_for(&format!("{wanted:?} is reported, or a person is heard"), heard).await?;
        let mistaken = wanted == AnsweredBy::Human && seen.events().any(|event| event.kind == machine);
        expect(!mistaken, "nobody is taken for a machine", wanted)?;
    }
    Ok(())
}

async fn keys(subject: Arc<Subject>) -> Outcome {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let customer = Customer::start(provider.clone()).await?;
    let order = call(&sandbox, 7, customer.urls())?;
    provider.initiate_call(&order).await.or_fail("placing a call")?;
    let seen = customer.wait_for("the keys 1 2 3 #", |seen| seen.heard.digits.len() >= 4).await?;
    expect(seen.heard.digits == "123#", "123#", &seen.heard.digits)
}

async fn say_then_ask(subject: Arc<Subject>) -> Outcome {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let customer = Customer::start(provider.clone()).await?;
    let next = customer.url("next?a=1&b=2");
    customer.tell(CallInstruction::Say(Say::text("One moment.").then(Then::Ask(next.clone()))));
    provider.initiate_call(&call(&sandbox, 0, customer.urls())?).await.or_fail("placing a call")?;
    // At the URL itself; or where all webhooks come to one, in its name.
    let asks = |webhook: &Received| {
        let events = webhook.events.as_deref().unwrap_or_default();
        events.iter().any(|event| match &event.kind {
            CallEventKind::InstructionWanted { due: Some(Due::Ask(url)), .. } => *url == next,
            CallEventKind::InstructionWanted { due, .. } => due.is_none() && webhook.request.url() == next.as_str(),
            _ => false,
        })
    };
    let asked = |seen: &Seen| seen.webhooks.iter().any(asks);
    let what = "the URL is asked what to do next, or another in its name (Due::Ask)";
    customer.wait_for(what, asked).await?;
    customer.wait_for("the end is reported", |seen| seen.end().is_some()).await.map(|_| ())
}

async fn gather(subject: Arc<Subject>) -> Outcome {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let customer = Customer::start(provider.clone()).await?;
    let gather = GatherDigits::up_to(10, customer.url("digits")).with_timeout(Duration::from_secs(5));
    customer.tell(CallInstruction::GatherDigits(gather.with_prompt(Say::text("Your number?"))));
    provider.initiate_call(&call(&sandbox, 7, customer.urls())?).await.or_fail("placing a call")?;
    let pressed = |kind: &CallEventKind| matches!(kind, CallEventKind::Digits { digits, .. } if digits == "123");
    let told = |seen: &Seen| seen.events().any(|event| pressed(&event.kind));
    let seen = customer.wait_for("the digits 123, ended by #", told).await?;
    expect(seen.asked(InstructionWanted::Continued), "what follows is asked", seen.events().count())
}

async fn inbound(subject: Arc<Subject>) -> Outcome {
    let (seen, own, _) = call_in(&subject, None).await?;
    let inbound = seen.events().find_map(|event| match &event.kind {
        CallEventKind::Inbound { from, to } => Some((from, to)),
        _ => None,
    });
    let (from, to) = inbound.or_fail("the inbound call is reported")?;
    expect(from.phone().is_some_and(|from| from.as_e164() == "+12025550100"), "the caller", from)?;
    expect(to.phone().is_some_and(|to| to.as_e164() == own), "the number called", to)?;
    let first = seen.webhooks.iter().find(|webhook| {
        let events = webhook.events.as_deref().unwrap_or_default();
        events.iter().any(|event| matches!(event.kind, CallEventKind::Inbound { .. }))
    });
    let identity = first.and_then(|webhook| subject.descriptor.identify_webhook(&webhook.request));
    let called = identity.and_then(|identity| identity.called);
    expect(
        called.is_none_or(|called| called.as_e164() == own),
        "the number called names the account, where it is said",
        own,
    )
}

async fn inbound_refused(subject: Arc<Subject>) -> Outcome {
    let (_, _, cause) = call_in(&subject, Some(CallInstruction::Reject(Reject::Busy))).await?;
    let so = if subject.has(Capability::RejectUnanswered) {
        cause == EndCause::Rejected
    } else {
        matches!(cause, EndCause::Rejected | EndCause::Application)
    };
    expect(so, "the call is refused", cause)
}

/// A call to one of the account's numbers, told something, or else streamed until speech is heard and the stream ends.
async fn call_in(subject: &Subject, told: Option<CallInstruction>) -> Result<(Seen, String, EndCause), String> {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let customer = Customer::start(provider.clone()).await?;
    let streams = told.is_none();
    if let Some(instruction) = told {
        customer.tell(instruction);
    }
    let own = sandbox.numbers().into_iter().next().or_fail("the account has a number")?;
    let urls = InboundUrls { answer: customer.url("answer"), events: customer.url("events") };
    provider.configure_inbound(&InboundBinding::to(own.clone(), urls)).await.or_fail("pointing a number at us")?;
    let id = sandbox.call_in("+12025550100", own.as_e164()).await.or_fail("calling in")?;
    let seen = customer.wait_for("the call asks what to do", |seen| seen.asked(InstructionWanted::Inbound)).await?;
    let mut seen = seen;
    if streams {
        seen = customer.wait_for("the caller is heard", |seen| seen.heard.loud >= 20).await?;
        let call = seen.events().next().map(|event| event.call.clone()).or_fail("an event")?;
        provider.hang_up(&call).await.or_fail("hanging up")?;
    }
    let ended = sandbox.wait_for(|seen| matches!(seen, Observation::CallEnded { call, .. } if *call == id)).await;
    let Observation::CallEnded { cause, .. } = ended else { return Err("the call did not end".to_owned()) };
    Ok((seen, own.as_e164().to_owned(), cause))
}

/// A call to a handset that hangs up at once, with faults in the delivery of its webhooks.
async fn short_call(subject: &Subject, faults: WebhookFaults) -> Result<Seen, String> {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    sandbox.set_faults(Faults::none().with_webhooks(faults));
    let customer = Customer::start(provider.clone()).await?;
    let handset = DIAL_PLAN.iter().position(|entry| entry.behaviour == Behaviour::HangsUp).or_fail("such a handset")?;
    let placed = provider.initiate_call(&call(&sandbox, handset, customer.urls())?).await.or_fail("placing a call")?;
    if faults.lose {
        sandbox.wait_for(|seen| matches!(seen, Observation::CallEnded { .. })).await;
        let seen = customer.wait_for("the call asks what to do", |seen| seen.events().next().is_some()).await?;
        let mut reference = placed.call;
        seen.events().for_each(|event| reference.absorb(&event.call));
        let snapshot = provider.get_call_status(&reference).await.or_fail("asking for its state")?;
        expect(snapshot.state.is_over(), "the carrier says, when asked, that the call is over", &snapshot)?;
        return Ok(seen);
    }
    // The last of the webhooks comes in several copies too.
    let copies = faults.copies as usize;
    let ended = |seen: &Seen| {
        let ends = seen.events().filter(|event| {
            matches!(&event.kind, CallEventKind::Status(change) if change.status.is_some_and(CallStatus::is_terminal))
        });
        ends.count() >= copies
    };
    customer.wait_for("the end is reported", ended).await
}

async fn repeated(subject: Arc<Subject>) -> Outcome {
    let seen = short_call(&subject, WebhookFaults::copies(3)).await?;
    let mut counts: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for event in seen.events() {
        let is_status = matches!(event.kind, CallEventKind::Status(_));
        *counts.entry((event.dedupe_key.as_str(), is_status)).or_default() += 1;
    }
    let asks = seen.events().filter(|event| matches!(event.kind, CallEventKind::InstructionWanted { .. })).count();
    expect(asks == 1, "what is asked is asked once", asks)?;
    let thrice = counts.values().filter(|count| **count == 3).count();
    expect(thrice >= 2, "each report comes three times, with the same key", &counts)
}

async fn reordered(subject: Arc<Subject>) -> Outcome {
    let seen = short_call(&subject, WebhookFaults::reordered()).await?;
    expect(seen.webhooks.iter().all(|webhook| webhook.events.is_ok()), "each is read in any order", &seen.webhooks)?;
    expect(seen.end() == Some(CallStatus::Completed), "Completed", seen.end())
}

async fn lost(subject: Arc<Subject>) -> Outcome {
    short_call(&subject, WebhookFaults::lost()).await.map(|_| ())
}
