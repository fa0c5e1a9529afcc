//! What Telnyx's webhooks say.
//!
//! JSON by POST, `{"data": {"event_type", "id", "occurred_at", "payload"}}`, version 2. All of them go to one URL, so what shall
//! follow a command is in its `client_state`, which comes back: see [`State`]. Whatever they are answered with is ignored.
//!
//! | `event_type` | asks what to do |
//! | --- | --- |
//! | `call.initiated`, `incoming` | yes: the call is parked until it is told |
//! | `call.answered` | yes |
//! | `call.speak.ended`, `call.playback.ended`, `call.gather.ended` | yes, if what ended is what we began |
//! | `call.hangup` of a leg that a transfer made, and that was never answered | for the call that was transferred |
//! | all others | no |
//!
//! Source: <https://developers.telnyx.com/docs/voice/programmable-voice/voice-api-webhooks>, and the callbacks of the published
//! OpenAPI description.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use telephony_core::{
    AnsweredBy, CallCost, CallEvent, CallEventKind, CallId, CallRef, CallStatus, Direction, Due, InstructionWanted,
    Money, PhoneNumber, RecordingEvent, RecordingState, Refusal, ReportedAddress, StatusChange, StreamEvent, Timestamp,
    VerifiedWebhook, WebhookError, WebhookIdentity, WebhookRequest, decode_base64_into, redact, signing,
};
use time::format_description::well_known::Rfc3339;

use crate::signature;

/// The handle of a [`CallRef`] with the id of the event that asks: a command that answers it twice is carried out once.
pub(crate) const EVENT: &str = "event";

/// The handle with the state of the call as the newest event has it: `parked`, `answered`.
pub(crate) const STATE: &str = "state";

/// The state of an inbound call that nobody has answered.
pub(crate) const PARKED: &str = "parked";

/// The handle with the conference that the call is in; empty once it has left.
pub(crate) const CONFERENCE: &str = "conference_id";

/// How something ends that the call, another command or the detection of a machine has broken off: nothing follows it.
const BROKEN_OFF: [&str; 3] = ["call_hangup", "cancelled", "cancelled_amd"];

/// The handles with the names of the leg and of all legs together.
pub(crate) const LEG: &str = "call_leg_id";
pub(crate) const SESSION: &str = "call_session_id";

/// What we write into the `client_state` of a command. Every later webhook of the leg repeats it, until the next command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// What has to end before anything is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<After>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) due: Option<Due>,
    /// The call that the leg is for, if a transfer made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) leg_of: Option<CallId>,
    /// What we send in the stream that was asked for: its start repeats the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outbound: Option<String>,
}

/// What has an end that asks for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum After {
    Answer,
    Speak,
    Playback,
    Gather,
}

impl State {
    pub(crate) fn due(after: After, due: Due) -> Self {
        Self { after: Some(after), due: Some(due), ..Self::default() }
    }

    pub(crate) fn sending(format: String) -> Self {
        Self { outbound: Some(format), ..Self::default() }
    }

    pub(crate) fn leg_of(call: &CallRef) -> Self {
        Self { leg_of: call.id().cloned(), ..Self::default() }
    }

    /// Base64, as Telnyx demands.
    pub(crate) fn encode(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("texts, numbers and URLs are JSON"));
        signing::base64_encode(&json)
    }

    /// `None` of a state that is not ours: who wrote it must not be misunderstood.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let mut json = Vec::new();
        decode_base64_into(text, &mut json).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

#[derive(Deserialize)]
struct Body {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    event_type: String,
    id: String,
    #[serde(default)]
    occurred_at: Option<String>,
    #[serde(default)]
    payload: Payload,
}

/// The payloads have some members in common, and others each.
#[derive(Default, Deserialize)]
#[serde(transparent)]
struct Payload(Map<String, Value>);

impl Payload {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn state(&self) -> State {
        self.get("client_state").and_then(State::decode).unwrap_or_default()
    }

    /// A number of seconds; the description has numbers, and some examples texts.
    fn seconds(&self, name: &str) -> Option<Duration> {
        let value = self.0.get(name)?;
        let seconds = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// Whether it says what call it is about.
    fn names_a_call(&self) -> bool {
        ["call_control_id", LEG, SESSION].iter().any(|name| self.get(name).is_some())
    }

    fn call(&self, event: &str) -> Result<CallRef, WebhookError> {
        let mut call = match self.get("call_control_id") {
            Some(id) => {
                CallRef::new(CallId::new(id).map_err(|error| WebhookError::malformed("call_control_id", error))?)
            }
            // Some late reports name the leg only.
            None if self.names_a_call() => CallRef::unnamed(),
            None => return Err(WebhookError::malformed("call_control_id", "is missing, and call_leg_id too")),
        };
        for name in [LEG, SESSION] {
            if let Some(id) = self.get(name) {
                call = call.with_handle(name, id);
            }
        }
        Ok(call.with_handle(EVENT, event))
    }
}

fn read(request: &WebhookRequest) -> Result<Data, WebhookError> {
    serde_json::from_slice::<Body>(request.body()).map(|body| body.data).map_err(|error| {
        WebhookError::malformed(
            "data",
            format_args!("is no event of version 2 ({:?} at {})", error.classify(), error.column()),
        )
    })
}

/// The application that a webhook is for, as it says itself.
pub(crate) fn connection_id(request: &WebhookRequest) -> Option<String> {
    read(request).ok()?.payload.get("connection_id").map(str::to_owned)
}

/// Whether an unverified request looks like Telnyx's, and for which application.
pub(crate) fn identify(request: &WebhookRequest) -> Option<WebhookIdentity> {
    request.header(signature::HEADER)?;
    let payload = read(request).map(|data| data.payload).unwrap_or_default();
    let inbound = payload.get("direction") == Some("incoming");
    let called = payload.get("to").filter(|_| inbound).and_then(|to| to.parse::<PhoneNumber>().ok());
    Some(WebhookIdentity { account_id: payload.get("connection_id").map(str::to_owned), called })
}

/// Reads a webhook.
pub(crate) fn parse(webhook: &VerifiedWebhook) -> Result<Vec<CallEvent>, WebhookError> {
    events(&read(webhook.request())?)
}

fn events(data: &Data) -> Result<Vec<CallEvent>, WebhookError> {
    let (event, payload) = (data.event_type.as_str(), &data.payload);
    // What is said or played to a whole conference is about no call.
    if event.starts_with("conference.") && !payload.names_a_call() {
        return Ok(Vec::new());
    }
    let mut call = payload.call(&data.id)?;
    if let Some(state) = state_after(event, payload) {
        call = call.with_handle(STATE, state);
    }
    if let Some(conference) = payload.get(CONFERENCE) {
        let left = matches!(event, "conference.participant.left" | "conference.ended");
        call = call.with_handle(CONFERENCE, if left { "" } else { conference });
    }
    let kinds = kinds(event, payload).into_iter().map(|kind| (call.clone(), kind));
    // Of conferences and prices the time is in the payload.
    let when = data.occurred_at.as_deref().or_else(|| payload.get("occurred_at"));
    let when = when.and_then(|text| Timestamp::parse(text, &Rfc3339).ok());
    let written = |(n, (call, kind))| CallEvent::new(call, format!("{}:{n}", data.id), kind).at(when);
    Ok(kinds.chain(left_alone(data)).enumerate().map(written).collect())
}

/// The state that an event leaves the call in. The description has it in the payload of these three; Telnyx itself writes it into
/// `call.initiated` only, and a call that was answered would stay parked.
fn state_after<'a>(event: &str, payload: &'a Payload) -> Option<&'a str> {
    payload.get(STATE).or(match event {
        "call.answered" => Some("answered"),
        "call.bridged" => Some("bridged"),
        "call.hangup" => Some("hangup"),
        _ => None,
    })
}

/// The call whose other leg could not be had: it stays up, and there is nobody for it to talk to. When two were connected, and
/// one hangs up, Telnyx ends the other; and a leg that was given up is one that somebody has other plans with.
///
/// Source: <https://developers.telnyx.com/api/call-control/transfer-call>
fn left_alone(data: &Data) -> Option<(CallRef, CallEventKind)> {
    let first = data.payload.state().leg_of.filter(|_| data.event_type == "call.hangup")?;
    let unreachable = [CallStatus::Busy, CallStatus::NoAnswer, CallStatus::Failed];
    end(&data.payload).status.filter(|status| unreachable.contains(status))?;
    let call = CallRef::new(first).with_handle(EVENT, data.id.as_str());
    Some((call, CallEventKind::InstructionWanted { because: InstructionWanted::Continued, due: Some(Due::HangUp) }))
}

fn kinds(event: &str, payload: &Payload) -> Vec<CallEventKind> {
    let state = payload.state();
    let change = status_change(event, payload);
    if state.leg_of.is_some() {
        // Its price, its recording and who answered it are not the call's.
        return change.map_or_else(|| other(event), |change| vec![CallEventKind::OtherLeg(change)]);
    }
    if let Some(change) = change {
        return [CallEventKind::Status(change)].into_iter().chain(first_question(event, payload, state)).collect();
    }
    let result = payload.get("result").unwrap_or_default();
    let status = payload.get("status").unwrap_or("completed");
    match event {
        // What could not be said or played is over too, and the call must go on.
        "call.speak.ended" if !BROKEN_OFF.contains(&status) => over(event, After::Speak, state, payload),
        "call.playback.ended" if !BROKEN_OFF.contains(&status) => over(event, After::Playback, state, payload),
        "call.gather.ended" if matches!(status, "valid" | "invalid" | "timeout") => {
            let digits = payload.get("digits").unwrap_or_default().to_owned();
            let digits = CallEventKind::Digits { digits, timed_out: status == "timeout" };
            [digits].into_iter().chain(finished(event, After::Gather, state)).collect()
        }
        "call.cost" => match cost(payload) {
            Some(cost) => vec![CallEventKind::Cost { cost }],
            None => other(event),
        },
        "call.recording.saved" => vec![recording(payload)],
        "call.recording.error" => {
            vec![CallEventKind::Recording(RecordingEvent::new(None, RecordingState::Failed))]
        }
        "streaming.started" | "call.streaming.started" => vec![CallEventKind::Stream(StreamEvent::Started)],
        "streaming.stopped" | "call.streaming.stopped" => vec![CallEventKind::Stream(StreamEvent::Stopped)],
        "streaming.failed" | "call.streaming.failed" => {
            let reason = payload.get("failure_reason").map(str::to_owned);
            vec![CallEventKind::Stream(StreamEvent::Failed { reason })]
        }
        _ => match answered_by(event, result) {
            Some(who) => vec![CallEventKind::AnsweredBy { who }],
            None => other(event),
        },
    }
}

/// What an event that changes the status asks besides.
fn first_question(event: &str, payload: &Payload, state: State) -> Vec<CallEventKind> {
    match event {
        "call.initiated" if payload.get("direction") == Some("incoming") => {
            let party = |name| reported(payload.get(name).unwrap_or_default());
            let inbound = CallEventKind::Inbound { from: party("from"), to: party("to") };
            vec![inbound, CallEventKind::instruction_wanted(InstructionWanted::Inbound)]
        }
        "call.answered" if state.after == Some(After::Answer) => {
            vec![CallEventKind::InstructionWanted { because: InstructionWanted::Continued, due: state.due }]
        }
        "call.answered" => vec![CallEventKind::instruction_wanted(InstructionWanted::Answered)],
        _ => Vec::new(),
    }
}

/// The end of something. It asks only if it is what the newest command began: a call that was told something else meanwhile
/// does that.
fn finished(event: &str, what: After, state: State) -> Vec<CallEventKind> {
    if state.after == Some(what) {
        vec![CallEventKind::InstructionWanted { because: InstructionWanted::Continued, due: state.due }]
    } else {
        other(event)
    }
}

/// The same of something that may have failed.
fn over(event: &str, what: After, state: State, payload: &Payload) -> Vec<CallEventKind> {
    let mut kinds = finished(event, what, state);
    if let Some(status) = payload.get("status").filter(|status| *status != "completed") {
        let what = if what == After::Speak { "speak" } else { "playback" };
        let message = format!("{what}: {status} {}", payload.get("status_detail").unwrap_or_default());
        kinds.insert(0, CallEventKind::Problem { message: redact::numbers_in(message.trim_end()) });
    }
    kinds
}

fn other(event: &str) -> Vec<CallEventKind> {
    vec![CallEventKind::Other { name: event.to_owned() }]
}

fn status_change(event: &str, payload: &Payload) -> Option<StatusChange> {
    let direction = match payload.get("direction") {
        Some("incoming") => Some(Direction::Inbound),
        Some("outgoing") => Some(Direction::Outbound),
        _ => None,
    };
    let status = match event {
        "call.initiated" if direction == Some(Direction::Inbound) => CallStatus::Ringing,
        "call.initiated" => CallStatus::Initiated,
        "call.answered" | "call.bridged" => CallStatus::InProgress,
        "call.hangup" => return Some(end(payload).with_direction(direction)),
        _ => return None,
    };
    Some(StatusChange::new(Some(status), event).with_direction(direction))
}

/// How a call ended: Telnyx's cause, refined by the SIP response where there was one.
///
/// Source: the enumeration `hangup_cause` of the OpenAPI description; SIP responses as in RFC 3261, section 21, and of 403 the
/// pages <https://developers.telnyx.com/docs/voice/sip-trunking/configuration/concurrent-limits> and `caller-id-policy`.
fn end(payload: &Payload) -> StatusChange {
    let cause = payload.get("hangup_cause").unwrap_or("unspecified");
    let sip = payload.get("sip_hangup_cause").filter(|text| *text != "unspecified");
    let (status, refusal) = match (cause, sip) {
        ("normal_clearing", Some("487")) | ("originator_cancel", _) => (CallStatus::Canceled, None),
        ("normal_clearing" | "time_limit", _) => (CallStatus::Completed, None),
        // A network that does not put it through: a destination or a caller that is not permitted, no free channel.
        ("call_rejected", Some("403")) => (CallStatus::Failed, None),
        ("user_busy", _) | ("call_rejected", Some("486" | "600")) if sip != Some("603") => (CallStatus::Busy, None),
        ("user_busy" | "call_rejected", _) => (CallStatus::Busy, Some(Refusal::Declined)),
        ("no_answer" | "timeout", _) => (CallStatus::NoAnswer, None),
        ("not_found", _) | (_, Some("404" | "484" | "604")) => (CallStatus::Failed, Some(Refusal::InvalidNumber)),
        (_, Some("486" | "600")) => (CallStatus::Busy, None),
        (_, Some("603")) => (CallStatus::Busy, Some(Refusal::Declined)),
        (_, Some("408" | "480")) => (CallStatus::NoAnswer, Some(Refusal::Unreachable)),
        (_, Some("487")) => (CallStatus::Canceled, None),
        _ => (CallStatus::Failed, None),
    };
    let reason = sip.map_or_else(|| cause.to_owned(), |sip| format!("{cause}, SIP response {sip}"));
    StatusChange::new(Some(status), cause).with_reason(Some(reason)).with_refusal(refusal)
}

fn answered_by(event: &str, result: &str) -> Option<AnsweredBy> {
    Some(match (event, result) {
        ("call.machine.detection.ended", "human") => AnsweredBy::Human,
        ("call.machine.premium.detection.ended", "human_residence" | "human_business") => AnsweredBy::Human,
        ("call.machine.detection.ended" | "call.machine.premium.detection.ended", "machine") => AnsweredBy::Machine,
        ("call.machine.premium.detection.ended", "fax_detected") => AnsweredBy::Fax,
        ("call.machine.detection.ended" | "call.machine.premium.detection.ended", _) => AnsweredBy::Unknown,
        ("call.machine.greeting.ended" | "call.machine.premium.greeting.ended", "beep_detected") => {
            AnsweredBy::MachineGreetingEnded { beep: true }
        }
        ("call.machine.greeting.ended", "ended") | ("call.machine.premium.greeting.ended", "no_beep_detected") => {
            AnsweredBy::MachineGreetingEnded { beep: false }
        }
        ("call.machine.greeting.ended" | "call.machine.premium.greeting.ended", _) => AnsweredBy::Unknown,
        _ => return None,
    })
}

/// What a call costs: a positive text. `None` while it is not known, which is no zero.
fn cost(payload: &Payload) -> Option<CallCost> {
    let total = payload.get("total_cost").filter(|_| payload.get("status") != Some("error"))?;
    let parts = payload.0.get("cost_parts").and_then(Value::as_array);
    let currency = parts.and_then(|parts| parts.iter().find_map(|part| part.get("currency")?.as_str()));
    let total = Money::parse(total, currency.unwrap_or("USD")).ok()?;
    Some(CallCost::Rated { total, per_minute: None, billed: payload.seconds("billed_duration_secs") })
}

fn recording(payload: &Payload) -> CallEventKind {
    let mut recording = RecordingEvent::new(payload.get("recording_id").map(str::to_owned), RecordingState::Ready);
    let urls = payload.0.get("recording_urls");
    let url = ["wav", "mp3"].into_iter().find_map(|format| urls?.get(format)?.as_str());
    recording.url = url.map(str::to_owned);
    let moment = |name| payload.get(name).and_then(|text| Timestamp::parse(text, &Rfc3339).ok());
    if let (Some(start), Some(end)) = (moment("recording_started_at"), moment("recording_ended_at")) {
        recording.duration = Duration::try_from(end - start).ok();
    }
    CallEventKind::Recording(recording)
}

/// An address as Telnyx writes it: E.164 with `+`, a SIP URI, or a word like `anonymous`.
fn reported(raw: &str) -> ReportedAddress {
    ReportedAddress::new(raw, raw.parse().ok())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use pretty_assertions::assert_eq;
    use serde_json::json;
    use telephony_core::{CallInstruction, Stream};

    use super::*;

    fn data(event: &str, payload: Value) -> Data {
        let mut payload = payload;
        payload["call_control_id"] = "v3:abc".into();
        let body = json!({"data": {"event_type": event, "id": "e-1", "payload": payload}});
        serde_json::from_value::<Body>(body).unwrap().data
    }

    fn of(event: &str, payload: Value) -> Vec<CallEventKind> {
        kinds(event, &data(event, payload).payload)
    }

    #[test]
    fn an_inbound_call_is_parked_and_asks() {
        let call = json!({"direction": "incoming", "state": "parked", "from": "+12025550100", "to": "+13035550100",
            "call_leg_id": "leg", "call_session_id": "session"});
        let events = of("call.initiated", call.clone());
        assert!(matches!(&events[0], CallEventKind::Status(change) if change.status == Some(CallStatus::Ringing)));
        let CallEventKind::Inbound { from, to } = &events[1] else { panic!("{events:?}") };
        assert_eq!((from.phone().unwrap().as_e164(), to.phone().unwrap().as_e164()), ("+12025550100", "+13035550100"));
        assert_eq!(events[2], CallEventKind::instruction_wanted(InstructionWanted::Inbound));
        let reference = super::events(&data("call.initiated", call)).unwrap().remove(0).call;
        assert_eq!(reference.id().unwrap().as_str(), "v3:abc");
        assert_eq!((reference.handle(STATE), reference.handle(EVENT)), (Some(PARKED), Some("e-1")));
        assert_eq!((reference.handle(LEG), reference.handle(SESSION)), (Some("leg"), Some("session")));
    }

    #[test]
    fn a_call_that_was_answered_is_not_parked_any_more() {
        let told = |event: &str, payload: Value| events(&data(event, payload)).unwrap().remove(0).call;
        let mut call = told("call.initiated", json!({"direction": "incoming", "state": "parked"}));
        call.absorb(&told("call.speak.started", json!({"speak_id": "YUw4fjNSuw"})));
        assert_eq!(call.handle(STATE), Some(PARKED));
        // Members as Telnyx writes them; the description has `state` too.
        let answered = json!({"calling_party_type": "pstn", "client_state": null, "codec": "PCMU", "sampling_rate": 8000,
            "from": "+12025550100", "to": "+13035550100", "start_time": "2025-11-23T03:30:00.076316Z"});
        call.absorb(&told("call.answered", answered));
        assert_eq!(call.handle(STATE), Some("answered"));
        assert_eq!(told("call.answered", json!({"state": "bridging"})).handle(STATE), Some("bridging"));
        let over = json!({"hangup_cause": "originator_cancel", "hangup_source": "caller", "sip_hangup_cause": "487",
            "call_quality_stats": null, "end_time": "2026-05-19T23:30:23.738431Z", "telnyx_error": null});
        call.absorb(&told("call.hangup", over));
        assert_eq!(call.handle(STATE), Some("hangup"));
    }

    #[test]
    fn what_is_due_comes_back_once_what_it_follows_has_ended() {
        let stream = CallInstruction::Stream(Stream::to("wss://a.test/m".parse().unwrap()));
        let due = Due::Do(Box::new(stream));
        let state = State::due(After::Answer, due.clone()).encode();
        let answered = of("call.answered", json!({"client_state": state}));
        let wanted = CallEventKind::InstructionWanted { because: InstructionWanted::Continued, due: Some(due) };
        assert_eq!(answered[1], wanted);
        // The state stays with the leg: other ends do not ask, and neither does what was stopped.
        assert_eq!(of("call.speak.ended", json!({"client_state": state})), other("call.speak.ended"));
        let state = State::due(After::Speak, Due::HangUp).encode();
        let stopped = of("call.speak.ended", json!({"client_state": state, "status": "call_hangup"}));
        assert_eq!(stopped, other("call.speak.ended"));
        let spoken = of("call.speak.ended", json!({"client_state": state, "status": "completed"}));
        let wanted = CallEventKind::InstructionWanted { because: InstructionWanted::Continued, due: Some(Due::HangUp) };
        assert_eq!(spoken, [wanted]);
        // A state that somebody else wrote is no mistake of Telnyx's.
        let foreign = of("call.answered", json!({"client_state": "aGVsbG8="}));
        assert_eq!(foreign[1], CallEventKind::instruction_wanted(InstructionWanted::Answered));
    }

    #[test]
    fn a_leg_that_a_transfer_made_is_not_the_call() {
        let call = CallRef::new("v3:first".parse().unwrap());
        let state = State::leg_of(&call).encode();
        assert!(matches!(of("call.answered", json!({"client_state": state}))[..], [CallEventKind::OtherLeg(_)]));
        for event in ["call.cost", "call.recording.saved", "call.machine.detection.ended"] {
            let told = json!({"client_state": state, "total_cost": "0.01", "result": "human"});
            assert_eq!(of(event, told), other(event));
        }
        // It was busy: the call that it was for is up, and alone.
        let over = json!({"client_state": state, "hangup_cause": "user_busy", "state": "hangup"});
        let told = events(&data("call.hangup", over)).unwrap();
        let [leg, question] = &told[..] else { panic!("{told:?}") };
        assert!(matches!(&leg.kind, CallEventKind::OtherLeg(change) if change.status == Some(CallStatus::Busy)));
        assert_eq!((leg.call.to_string(), question.call.to_string()), ("v3:abc".to_owned(), "v3:first".to_owned()));
        let wanted = CallEventKind::InstructionWanted { because: InstructionWanted::Continued, due: Some(Due::HangUp) };
        assert_eq!(question.kind, wanted);
        // The state of the leg is none of the call's.
        assert_eq!((question.call.handle(EVENT), question.call.handle(STATE)), (Some("e-1"), None));
        assert_ne!(leg.dedupe_key, question.dedupe_key);
        for cause in ["normal_clearing", "time_limit", "originator_cancel"] {
            let told = events(&data("call.hangup", json!({"client_state": state, "hangup_cause": cause}))).unwrap();
            assert!(matches!(&told[..], [one] if matches!(one.kind, CallEventKind::OtherLeg(_))), "{told:?}");
        }
    }

    #[test]
    fn a_conference_is_remembered_until_it_is_left() {
        let told = |event: &str| events(&data(event, json!({"conference_id": "c-1"}))).unwrap().remove(0);
        let joined = told("conference.participant.joined");
        assert_eq!(joined.kind, other("conference.participant.joined")[0]);
        assert_eq!(joined.call.handle(CONFERENCE), Some("c-1"));
        for event in ["conference.participant.left", "conference.ended"] {
            assert_eq!(told(event).call.handle(CONFERENCE), Some(""), "{event}");
        }
        // Spoken to all: of no call.
        let mut spoken = data("conference.speak.ended", json!({}));
        spoken.payload = Payload::default();
        assert_eq!(events(&spoken).unwrap(), []);
    }

    #[test]
    fn the_time_of_an_event_is_beside_its_payload_or_inside() {
        let inside = json!({"conference_id": "c-1", "occurred_at": "2018-02-02T22:20:27.521992Z"});
        let told = events(&data("conference.ended", inside)).unwrap().remove(0);
        let expected = Timestamp::parse("2018-02-02T22:20:27.521992Z", &Rfc3339).unwrap();
        assert_eq!(told.occurred_at, Some(expected));
        let mut beside = data("call.answered", json!({}));
        beside.occurred_at = Some("2018-02-02T22:20:27.521992Z".to_owned());
        assert_eq!(events(&beside).unwrap()[0].occurred_at, Some(expected));
    }

    #[test]
    fn what_cannot_be_said_or_played_does_not_stop_the_call() {
        let state = State::due(After::Playback, Due::HangUp).encode();
        let events = of("call.playback.ended", json!({"client_state": state, "status": "file_not_found"}));
        assert_eq!(events[0], CallEventKind::Problem { message: "playback: file_not_found".to_owned() });
        assert!(matches!(events[1], CallEventKind::InstructionWanted { .. }));
        let state = State::due(After::Speak, Due::HangUp).encode();
        let events =
            of("call.speak.ended", json!({"client_state": state, "status": "failed", "status_detail": "voice"}));
        assert_eq!(events[0], CallEventKind::Problem { message: "speak: failed voice".to_owned() });
        assert!(matches!(events[1], CallEventKind::InstructionWanted { .. }));
        for status in BROKEN_OFF {
            let told = json!({"client_state": state, "status": status});
            assert_eq!(of("call.speak.ended", told), other("call.speak.ended"));
        }
    }

    #[test]
    fn every_cause_of_an_end() {
        for (cause, sip, status, refusal) in [
            ("normal_clearing", "200", CallStatus::Completed, None),
            ("normal_clearing", "487", CallStatus::Canceled, None),
            ("originator_cancel", "487", CallStatus::Canceled, None),
            ("time_limit", "unspecified", CallStatus::Completed, None),
            ("user_busy", "486", CallStatus::Busy, None),
            ("user_busy", "603", CallStatus::Busy, Some(Refusal::Declined)),
            ("call_rejected", "603", CallStatus::Busy, Some(Refusal::Declined)),
            ("call_rejected", "unspecified", CallStatus::Busy, Some(Refusal::Declined)),
            ("call_rejected", "486", CallStatus::Busy, None),
            ("call_rejected", "403", CallStatus::Failed, None),
            ("no_answer", "480", CallStatus::NoAnswer, None),
            ("timeout", "487", CallStatus::NoAnswer, None),
            ("not_found", "404", CallStatus::Failed, Some(Refusal::InvalidNumber)),
            ("unspecified", "404", CallStatus::Failed, Some(Refusal::InvalidNumber)),
            ("unspecified", "603", CallStatus::Busy, Some(Refusal::Declined)),
            ("unspecified", "480", CallStatus::NoAnswer, Some(Refusal::Unreachable)),
            ("unspecified", "503", CallStatus::Failed, None),
            ("levitation", "unspecified", CallStatus::Failed, None),
        ] {
            let events = of("call.hangup", json!({"hangup_cause": cause, "sip_hangup_cause": sip}));
            let CallEventKind::Status(change) = &events[0] else { panic!("{events:?}") };
            assert_eq!((change.status, change.refusal, &*change.raw_status), (Some(status), refusal, cause), "{sip}");
        }
    }

    #[test]
    fn who_answered() {
        for (event, result, who) in [
            ("call.machine.detection.ended", "human", AnsweredBy::Human),
            ("call.machine.detection.ended", "machine", AnsweredBy::Machine),
            ("call.machine.detection.ended", "not_sure", AnsweredBy::Unknown),
            ("call.machine.greeting.ended", "beep_detected", AnsweredBy::MachineGreetingEnded { beep: true }),
            ("call.machine.greeting.ended", "ended", AnsweredBy::MachineGreetingEnded { beep: false }),
            ("call.machine.premium.detection.ended", "human_business", AnsweredBy::Human),
            ("call.machine.premium.detection.ended", "fax_detected", AnsweredBy::Fax),
            (
                "call.machine.premium.greeting.ended",
                "no_beep_detected",
                AnsweredBy::MachineGreetingEnded { beep: false },
            ),
        ] {
            assert_eq!(of(event, json!({"result": result})), [CallEventKind::AnsweredBy { who }], "{event} {result}");
        }
    }

    #[test]
    fn the_price_is_unknown_until_it_is_said() {
        let said = json!({"total_cost": "0.0051", "billed_duration_secs": 61, "status": "success",
            "cost_parts": [{"call_part": "sip-trunking", "cost": "0.0051", "currency": "USD"}]});
        let [CallEventKind::Cost { cost }] = &of("call.cost", said)[..] else { panic!() };
        assert_eq!(cost.to_string(), "0.0051 USD");
        for unknown in [json!({"total_cost": null}), json!({"total_cost": "0.1", "status": "error"}), json!({})] {
            assert_eq!(of("call.cost", unknown), other("call.cost"));
        }
    }

    #[test]
    fn other_events() {
        let saved = of(
            "call.recording.saved",
            json!({"recording_urls": {"mp3": "https://a.test/1.mp3"}, "recording_started_at": "2026-07-14T09:15:02Z",
                "recording_ended_at": "2026-07-14T09:16:02.5Z"}),
        );
        let [CallEventKind::Recording(recording)] = &saved[..] else { panic!("{saved:?}") };
        assert_eq!(recording.url.as_deref(), Some("https://a.test/1.mp3"));
        assert_eq!(recording.duration, Some(Duration::from_millis(60_500)));
        let failed = of("streaming.failed", json!({"failure_reason": "connection_failed"}));
        assert!(matches!(&failed[..], [CallEventKind::Stream(StreamEvent::Failed { reason: Some(_) })]));
        let digits = of("call.gather.ended", json!({"digits": "12", "status": "timeout"}));
        assert_eq!(digits[0], CallEventKind::Digits { digits: "12".to_owned(), timed_out: true });
        assert_eq!(of("call.levitated", json!({})), other("call.levitated"));
    }

    #[test]
    fn a_webhook_of_version_1_or_about_no_call_is_malformed() {
        for body in ["", "[]", "{}", r#"{"event_type":"call_initiated","payload":{}}"#] {
            let now = Timestamp::from_unix_timestamp(0).unwrap();
            let url = "https://a.test/";
            let request = WebhookRequest::at_url(Method::POST, url, HeaderMap::new(), body.to_owned().into(), now);
            assert_eq!(read(&request).err().unwrap().status(), 400, "{body}");
        }
        assert!(Payload::default().call("e-1").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_payload_makes_it_panic(event in "(call|streaming)\\.[a-z.]{1,30}", name in "[a-z_]{1,12}", value in ".*") {
            let _ = of(&event, json!({name: value, "client_state": value, "total_cost": value}));
            let _ = State::decode(&value);
        }
    }
}
