//! Whole calls: audio both ways, every way to end, inbound, faults of delivery.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use telephony_core::{
    AnsweredBy, Bridge, CallEventKind, CallInstruction, CallStatus, Capability, Conference, Direction, Due,
    GatherDigits, HangUp, InboundBinding, InboundUrls, InstructionWanted, MachineDetection, Play, Refusal, Reject, Say,
    Stream, TelephonyError, Then, audio::AudioFormat,
};
use telephony_sandbox::{Behaviour, DIAL_PLAN, EndCause, Faults, HandsetReport, Observation, Sandbox, WebhookFaults};

use crate::{
    customer::{Customer, MARK, Received, Seen},
    subject::{Subject, call, end_of_call, number, quick, told_truly, url},
    trial::{OrFail, Outcome, Trial, expect, failure},
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
        Trial::wait("calls::end::given_up", "CallStatus::Canceled", subject, given_up).about(Some(Capability::HangUp)),
        Trial::wait("calls::end::the_other_side_hangs_up", "CallStatus::Completed", subject, hung_up_on),
        Trial::wait("calls::delivery::repeated_webhooks", "CallEvent::dedupe_key", subject, repeated),
        Trial::wait("calls::delivery::webhooks_in_any_order", "parse_webhook", subject, reordered),
        Trial::wait("calls::delivery::lost_webhooks", "get_call_status", subject, lost),
    ];
    for &format in subject.descriptor.media().formats {
        let name = format!("calls::outbound::audio_as_{}", format.to_string().replace(' ', "_"));
        let run = move |subject| audio_as(subject, format);
        trials.push(Trial::wait(name, "Stream::preferred_format, MediaCodec", subject, run));
    }
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
    with(Capability::Play, "outbound::play", "CallInstruction::Play", |subject| Box::pin(play(subject)));
    with(Capability::Bridge, "outbound::bridge", "CallInstruction::Bridge", |subject| Box::pin(bridge(subject)));
    with(Capability::Conference, "outbound::conference", "CallInstruction::Conference", |subject| {
        Box::pin(conference(subject))
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
    subject.end(&*provider, &reference).await?;
    let seen = customer.wait_for("the end is reported", |seen| seen.end().is_some()).await?;
    expect(seen.end() == Some(CallStatus::Completed), "Completed", seen.end())?;
    let id = reference.id().map(ToString::to_string).or_fail("the call has its id")?;
    let own = start.call.id();
    expect(own.is_none() || own == reference.id(), "the stream names the call, where it names one", start)?;
    end_of_call(&sandbox, &id).await?;
    let taken = sandbox.calls().pop().or_fail("a call at the carrier")?;
    for event in seen.events() {
        if let CallEventKind::Status(change) = &event.kind {
            told_truly(&taken, change.direction, change.duration, &[event.occurred_at])?;
        }
    }
    let snapshot = provider.get_call_status(&reference).await.or_fail("asking for its state")?;
    let moments = [snapshot.started_at, snapshot.ended_at];
    told_truly(&taken, snapshot.direction, snapshot.duration, &moments)?;
    hears_the_tone(&sandbox, &id)
}

/// What is said in each format that may be asked for is heard. The carrier may have its own will: what counts is what it announces.
async fn audio_as(subject: Arc<Subject>, format: AudioFormat) -> Outcome {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let customer = Customer::start(provider.clone()).await?;
    let media = customer.urls().media;
    customer.tell(CallInstruction::Stream(Stream::to(media).with_preferred_format(format)));
    let placed = provider.initiate_call(&call(&sandbox, 0, customer.urls())?).await.or_fail("placing a call")?;
    let marks = subject.has(Capability::MediaMarks);
    let said = |seen: &Seen| if marks { !seen.heard.marks.is_empty() } else { seen.heard.loud >= 50 };
    let what = format!("a stream for which {format} was asked, and what we say on it is played out");
    let seen = customer.wait_for(&what, said).await?;
    expect(seen.heard.problems.is_empty(), "every message is read", &seen.heard.problems)?;
    let mut reference = placed.call;
    seen.events().for_each(|event| reference.absorb(&event.call));
    subject.end(&*provider, &reference).await?;
    let id = reference.id().map(ToString::to_string).or_fail("the call has its id")?;
    end_of_call(&sandbox, &id).await?;
    hears_the_tone(&sandbox, &id)
}

/// Whether the handset has heard what the customer says on every stream.
fn hears_the_tone(sandbox: &Sandbox, id: &str) -> Outcome {
    let handset = sandbox.handset(id).or_fail("the handset has a report")?;
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
        Err(error) => return Err(failure("the call is placed", format_args!("{error:?}"))),
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

/// What the handset went through of a call that was told this and, if nothing ends it, that it is over.
async fn told(subject: &Subject, instruction: CallInstruction, ends: bool) -> Result<HandsetReport, String> {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let customer = Customer::start(provider.clone()).await?;
    customer.tell(instruction);
    let placed = provider.initiate_call(&call(&sandbox, 0, customer.urls())?).await.or_fail("placing a call")?;
    let seen = customer.wait_for("the call asks what to do, and is told", |seen| seen.told > 0).await?;
    let mut reference = placed.call;
    seen.events().for_each(|event| reference.absorb(&event.call));
    if !ends {
        subject.end(&*provider, &reference).await?;
    }
    let id = reference.id().map(ToString::to_string).or_fail("the call has its id")?;
    end_of_call(&sandbox, &id).await?;
    sandbox.handset(&id).or_fail("the handset has a report")
}

async fn play(subject: Arc<Subject>) -> Outcome {
    let file = url("https://voice.example.com/a.wav?x=1&y=2");
    let handset = told(&subject, CallInstruction::Play(Play::url(file.clone()).times(2)), true).await?;
    expect(handset.played == [file.as_str(), file.as_str()], "the file is played twice", &handset.played)
}

async fn bridge(subject: Arc<Subject>) -> Outcome {
    let handset = told(&subject, CallInstruction::Bridge(Bridge::to(number("+12025550155"))), true).await?;
    let connected = handset.bridged_to.iter().any(|to| to.trim_start_matches('+') == "12025550155");
    expect(connected, "the handset is connected to the number", &handset.bridged_to)
}

async fn conference(subject: Arc<Subject>) -> Outcome {
    let handset = told(&subject, CallInstruction::Conference(Conference::named("room & board")), false).await?;
    expect(handset.conferences == ["room & board"], "the conference is joined", &handset.conferences)
}

/// A call that is hung up while it rings.
async fn given_up(subject: Arc<Subject>) -> Outcome {
    if !subject.has(Capability::HangUp) {
        return Ok(());
    }
    let (sandbox, provider) = subject.sandbox(quick().with_no_answer_after(Duration::from_secs(20))).await?;
    let customer = Customer::start(provider.clone()).await?;
    let handset =
        DIAL_PLAN.iter().position(|entry| entry.behaviour == Behaviour::NoAnswer).or_fail("such a handset")?;
    let placed = provider.initiate_call(&call(&sandbox, handset, customer.urls())?).await.or_fail("placing a call")?;
    sandbox.wait_for(|seen| matches!(seen, Observation::HandsetRang { .. })).await;
    let mut reference = placed.call;
    if reference.id().is_none() {
        let seen = customer.wait_for("a webhook names the call", |seen| seen.events().next().is_some()).await?;
        seen.events().for_each(|event| reference.absorb(&event.call));
    }
    let ended = provider.hang_up(&reference).await.or_fail("hanging up a call that rings")?;
    expect(ended == HangUp::Ended, "Ended", ended)?;
    let seen = customer.wait_for("the end is reported", |seen| seen.end().is_some()).await?;
    expect(seen.end() == Some(CallStatus::Canceled), "Canceled: we gave it up before it was answered", seen.end())
}

async fn inbound(subject: Arc<Subject>) -> Outcome {
    let (seen, own, _) = call_in(&subject, None).await?;
    let inbound = seen.events().find_map(|event| match &event.kind {
        CallEventKind::Inbound { from, to } => Some((from, to)),
        _ => None,
    });
    let (from, to) = inbound.or_fail("the inbound call is reported")?;
    expect(
        from.phone().is_some_and(|from| from.as_e164() == "+12025550100"),
        "the caller, in E.164, whether or not the carrier writes a +",
        format_args!("{from:?}"),
    )?;
    expect(to.phone().is_some_and(|to| to.as_e164() == own), "the number called, in E.164", format_args!("{to:?}"))?;
    for event in seen.events() {
        if let CallEventKind::Status(change) = &event.kind {
            let so = change.direction.is_none_or(|direction| direction == Direction::Inbound);
            expect(so, "an inbound call, where the direction is said", change)?;
        }
    }
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
        subject.end(&*provider, &call).await?;
    }
    let cause = end_of_call(&sandbox, &id).await?;
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
        let seen = customer.wait_for("the call asks what to do", |seen| seen.events().next().is_some()).await?;
        let id = sandbox.calls().pop().or_fail("a call at the carrier")?.request.id;
        end_of_call(&sandbox, &id).await?;
        let mut reference = placed.call;
        seen.events().for_each(|event| reference.absorb(&event.call));
        let snapshot = provider.get_call_status(&reference).await.or_fail("asking for its state")?;
        expect(snapshot.state.is_over(), "the carrier says, when asked, that the call is over", &snapshot)?;
        return Ok(seen);
    }
    // The last of the webhooks comes in several copies too.
    let copies = faults.copies as usize;
    customer.wait_for("the end is reported", |seen| seen.ends() >= copies).await
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
