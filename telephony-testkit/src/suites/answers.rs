//! What the carrier is told to do, read back by the carrier's own reader.

use std::{sync::Arc, time::Duration};

use telephony_core::{
    Bridge, CallInstruction, Capability, Conference, GatherDigits, Play, Reject, Say, Stream, Then, media::AfterClose,
};
use telephony_sandbox::Step;

use crate::{
    subject::{Subject, number, quick, refused_quietly, url},
    trial::{OrFail, Outcome, Trial, expect},
};

/// A text that markup and JSON must escape, and that is not ASCII.
const TEXT: &str = "Grüße an <Anna & \"Bob\">, it's 5 o'clock";

/// A URL with what markup must escape.
const NEXT: &str = "https://voice.example.com/next?a=1&b=2";

/// A name, an instruction, and what the carrier must read from it.
type Case = (&'static str, CallInstruction, fn(&[Step]) -> Outcome);

pub(crate) fn trials(subject: &Arc<Subject>) -> Vec<Trial> {
    let cases: Vec<Case> = vec![
        ("say", CallInstruction::Say(Say::text(TEXT)), |steps| {
            let said = matches!(steps, [Step::Say { text }] if text == TEXT);
            expect(said, "the text is spoken, whole, and nothing follows", steps)
        }),
        ("say_then_ask", CallInstruction::Say(Say::text(TEXT).then(Then::Ask(url(NEXT)))), |steps| {
            let asks = matches!(steps, [Step::Say { .. }, Step::Redirect { url }] if url == NEXT);
            expect(asks, "the text is spoken, then the URL is asked", steps)
        }),
        ("play", CallInstruction::Play(Play::url(url("https://voice.example.com/a.wav?x=1&y=2")).times(2)), |steps| {
            let file =
                |step: &Step| matches!(step, Step::Play { url } if url == "https://voice.example.com/a.wav?x=1&y=2");
            expect(steps.len() == 2 && steps.iter().all(file), "the file is played twice", steps)
        }),
        (
            "gather_digits",
            CallInstruction::GatherDigits(
                GatherDigits::up_to(4, url(NEXT)).with_prompt(Say::text(TEXT)).with_timeout(Duration::from_secs(7)),
            ),
            |steps| {
                let gathers = matches!(steps, [Step::Say { text }, Step::Gather { max_digits: 4, timeout, finish_on_hash: true, callback }]
                    if text == TEXT && *timeout == Duration::from_secs(7) && callback == NEXT);
                expect(
                    gathers,
                    "the prompt is spoken, then 4 digits are collected with 7 s between them, # ends",
                    steps,
                )
            },
        ),
        (
            "bridge",
            CallInstruction::Bridge(
                Bridge::to(number("+12025550155"))
                    .with_caller_id(number("+13035550100"))
                    .with_ring_timeout(Duration::from_secs(20)),
            ),
            |steps| {
                let dials = matches!(steps, [Step::Dial { to, caller_id: Some(from) }]
                    if to.trim_start_matches('+') == "12025550155" && from.trim_start_matches('+') == "13035550100");
                expect(dials, "the number is dialled with the caller ID", steps)
            },
        ),
        ("conference", CallInstruction::Conference(Conference::named("room & board")), |steps| {
            let joins = matches!(steps, [Step::Conference { name }] if name == "room & board");
            expect(joins, "the conference is joined", steps)
        }),
        ("hang_up", CallInstruction::HangUp, ends_at_once),
    ];
    let specified = "TelephonyProvider::get_webhook_response";
    let mut trials: Vec<Trial> = cases
        .into_iter()
        .map(|(name, instruction, check)| {
            let capability = instruction.capability();
            Trial::wait(format!("answers::{name}"), specified, subject, async move |subject: Arc<Subject>| {
                told(&subject, &instruction, check).await
            })
            .about(capability)
        })
        .collect();
    trials.push(Trial::wait("answers::stream", specified, subject, stream));
    let reject = Trial::wait("answers::reject", specified, subject, reject);
    trials.push(reject.about(Some(Capability::RejectUnanswered)));
    trials
}

/// That an instruction is written so that the carrier reads the same from it, or is refused.
async fn told(subject: &Subject, instruction: &CallInstruction, check: fn(&[Step]) -> Outcome) -> Outcome {
    let call = subject.unknown_call()?;
    if let Some(lacking) = instruction.capability().filter(|capability| !subject.has(*capability)) {
        let (provider, network) = subject.offline()?;
        return refused_quietly(provider.get_webhook_response(&call, instruction).await, lacking, &network);
    }
    match read(subject, instruction).await? {
        Some(steps) => check(&steps),
        None => Ok(()),
    }
}

/// The steps that the carrier reads; `None` of a carrier that is driven by commands, which the suite of calls covers.
async fn read(subject: &Subject, instruction: &CallInstruction) -> Result<Option<Vec<Step>>, String> {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let call = subject.unknown_call()?;
    let response = provider.get_webhook_response(&call, instruction).await.or_fail("writing the answer")?;
    expect(response.status.is_success(), "the answer is a success", &response)?;
    if response.content_type.is_none() {
        return Ok(None);
    }
    sandbox.read_answer(&response.into_http()).map(Some).or_fail("the carrier's reading of the answer")
}

fn ends_at_once(steps: &[Step]) -> Outcome {
    let short = |step: &Step| match step {
        Step::HangUp | Step::Reject { .. } => true,
        Step::Pause { length } => *length < Duration::from_secs(1),
        _ => false,
    };
    expect(steps.iter().all(short), "the call ends at once", steps)
}

/// The step that is all there is to do. A carrier that reads on while it streams needs a pause behind the stream, to keep the call; it
/// stays up then when the stream is over.
fn alone(steps: &[Step], after_close: AfterClose) -> Option<&Step> {
    match steps {
        [only] => Some(only),
        [first, Step::Pause { .. }] if after_close == AfterClose::CallStaysUp => Some(first),
        _ => None,
    }
}

async fn stream(subject: Arc<Subject>) -> Outcome {
    let to = url("wss://voice.example.com/media/1");
    let format = subject.descriptor.media().formats[0];
    let mut stream = Stream::to(to.clone()).with_preferred_format(format).with_events(url(NEXT));
    if subject.has(Capability::StreamParameters) {
        stream = stream.with_parameter("run", TEXT);
    }
    let Some(steps) = read(&subject, &CallInstruction::Stream(stream)).await? else { return Ok(()) };
    let Some(Step::Stream { url, format: given, parameters }) = alone(&steps, subject.descriptor.media().after_close)
    else {
        let expected =
            "one stream and nothing behind it, or a pause of a carrier that declares AfterClose::CallStaysUp";
        return expect(false, expected, &steps);
    };
    expect(*url == to, "the stream goes to the URL", url)?;
    expect(*given == format, "in the format preferred, which is the carrier's first", given)?;
    if subject.has(Capability::StreamParameters) {
        expect(parameters.get("run").map(String::as_str) == Some(TEXT), "with the parameter", parameters)?;
    }
    // Somebody must say so when the other side cannot be reached that way.
    let (provider, _) = subject.offline()?;
    let wrong = CallInstruction::Stream(Stream::to(self::url("https://voice.example.com/media/1")));
    let refused = provider.get_webhook_response(&subject.unknown_call()?, &wrong).await;
    let named = matches!(&refused, Err(telephony_core::TelephonyError::InvalidRequest { problem, .. }) if problem.field == "url");
    expect(named, "InvalidRequest that names the field url, for a stream to an https URL", &refused)
}

async fn reject(subject: Arc<Subject>) -> Outcome {
    for (reason, is_busy) in [(Reject::Busy, true), (Reject::Declined, false)] {
        let Some(steps) = read(&subject, &CallInstruction::Reject(reason)).await? else { return Ok(()) };
        if subject.has(Capability::RejectUnanswered) {
            expect(steps == [Step::Reject { busy: is_busy }], format_args!("the call is refused: {reason:?}"), &steps)?;
        } else {
            ends_at_once(&steps)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_may_hold_a_call_that_stays_up() {
        let held = [Step::AwaitCommand, Step::Pause { length: Duration::from_secs(86_400) }];
        assert!(alone(&held, AfterClose::CallStaysUp).is_some());
        assert!(alone(&held, AfterClose::CallEnds).is_none() && alone(&held, AfterClose::Asks).is_none());
        assert!(alone(&held[..1], AfterClose::CallEnds).is_some());
        assert!(alone(&[Step::AwaitCommand, Step::HangUp], AfterClose::CallStaysUp).is_none());
        assert!(alone(&[], AfterClose::CallStaysUp).is_none());
    }
}
