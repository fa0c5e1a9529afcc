//! What Vonage's webhooks say.
//!
//! JSON by POST, or a query where the customer chose GET. Nothing names the kind of a webhook: it is told by its fields.
//!
//! | fields | it is |
//! | --- | --- |
//! | `status` | an event of a leg; of the media socket's own leg if `to` is a WebSocket URL |
//! | `recording_url` | a recording |
//! | `dtmf`, `speech` | input: asks for a new NCCO |
//! | `payload` | the `notify` of an answer document: asks for a new NCCO |
//! | `conversation_uuid_from` | a transfer |
//! | `reason` with `original_request` | the fallback answer URL: asks for an NCCO |
//! | `reason` | an error |
//! | `uuid`, `from`, `to` | the answer URL: asks for an NCCO |
//!
//! The answer webhooks of outbound and of inbound calls have the same fields, and the events of a bridged leg look like the
//! call's own. The URLs tell them apart: [`mark_outbound`] puts `vonage_call=outbound` in the query of the answer URL of each
//! call that we make, [`mark_other_leg`] `vonage_leg=other` in that of the events URL of each bridge.
//!
//! Source: <https://developer.vonage.com/en/voice/voice-api/webhook-reference>

use std::time::Duration;

use serde_json::{Map, Value};
use telephony_core::{
    AnsweredBy, CallCost, CallEvent, CallEventKind, CallId, CallRef, CallStatus, Direction, InstructionWanted, Money,
    PhoneNumber, RecordingEvent, RecordingState, Refusal, ReportedAddress, StatusChange, StreamEvent, Timestamp, Url,
    VerifiedWebhook, WebhookError, WebhookIdentity, WebhookRequest, redact, signing,
};
use time::{PrimitiveDateTime, format_description::well_known::Iso8601, macros::format_description};

use crate::{media::CALL_HEADER, signature};

/// The handle of a [`CallRef`] that holds the conversation, which all legs of a call share.
pub(crate) const CONVERSATION: &str = "conversation_uuid";

/// The handle that holds the host which alone knows the call.
pub(crate) const REGION_URL: &str = "region_url";

const OUTBOUND_MARK: (&str, &str) = ("vonage_call", "outbound");
const OTHER_LEG_MARK: (&str, &str) = ("vonage_leg", "other");

/// The answer URL of a call that we make.
pub(crate) fn mark_outbound(url: &Url) -> Url {
    marked(url, OUTBOUND_MARK)
}

/// The events URL of a leg that a bridge makes.
pub(crate) fn mark_other_leg(url: &Url) -> Url {
    marked(url, OTHER_LEG_MARK)
}

fn marked(url: &Url, (name, value): (&str, &str)) -> Url {
    let mut url = url.clone();
    url.query_pairs_mut().append_pair(name, value);
    url
}

fn is_marked(request: &WebhookRequest, mark: (&str, &str)) -> bool {
    url::form_urlencoded::parse(request.query().as_bytes()).any(|(name, value)| (&*name, &*value) == mark)
}

/// Whether an unverified request looks like Vonage's, and for which account.
pub(crate) fn identify(request: &WebhookRequest) -> Option<WebhookIdentity> {
    let claims = signature::unverified_claims(request)?;
    let called = Fields::of(request).ok().filter(|fields| !is_marked(request, OUTBOUND_MARK) && fields.asks_answer());
    let called = called.and_then(|fields| PhoneNumber::from_digits(fields.get("to")?).ok());
    Some(WebhookIdentity { account_id: claims.application_id, called })
}

/// Reads a webhook.
pub(crate) fn parse(webhook: &VerifiedWebhook) -> Result<Vec<CallEvent>, WebhookError> {
    let request = webhook.request();
    let fields = Fields::of(request)?;
    let continued = CallEventKind::instruction_wanted(InstructionWanted::Continued);
    let (call, kinds) = if let Some(word) = fields.get("status") {
        leg_event(request, &fields, word)?
    } else if fields.has("recording_url") {
        (fields.call("uuid")?, vec![recording(&fields)])
    } else if fields.has("dtmf") || fields.has("speech") {
        (fields.call("uuid")?, digits(&fields).into_iter().chain([continued]).collect())
    } else if let Some(payload) = fields.0.get("payload") {
        let mut call = fields.call("uuid")?;
        if let Some(id) = payload.get(CALL_HEADER).and_then(Value::as_str).and_then(|id| CallId::new(id).ok()) {
            call.absorb(&CallRef::new(id));
        }
        (call, vec![continued])
    } else if fields.has("conversation_uuid_from") {
        (fields.call("uuid")?, vec![CallEventKind::Other { name: "transfer".to_owned() }])
    } else if let Some(reason) = fields.get("reason") {
        let mut kinds = vec![CallEventKind::Problem { message: redact::numbers_in(reason) }];
        if fields.has("original_request") {
            kinds.push(CallEventKind::instruction_wanted(InstructionWanted::Fallback));
        }
        (fields.call("uuid")?, kinds)
    } else if fields.asks_answer() {
        answer(request, &fields)?
    } else {
        (fields.call("uuid")?, vec![CallEventKind::Other { name: "unknown".to_owned() }])
    };
    let when = fields.get("timestamp").and_then(moment);
    // There is neither a sequence number nor a token: a retry is told by saying exactly the same.
    let key = signing::sha256_hex(&[request.url().as_bytes(), b"\n", request.body()].concat());
    let events = kinds.into_iter().enumerate();
    Ok(events.map(|(n, kind)| CallEvent::new(call.clone(), format!("{key}:{n}"), kind).at(when)).collect())
}

fn leg_event(
    request: &WebhookRequest,
    fields: &Fields,
    word: &str,
) -> Result<(CallRef, Vec<CallEventKind>), WebhookError> {
    if fields.get("to").is_some_and(is_socket) || word == "disconnected" {
        // The leg has a uuid of its own; the call's is among the headers that we gave it.
        return Ok((fields.call_without_id()?, vec![socket_event(word, fields)]));
    }
    if let Some(who) = answered_by(word, fields.get("sub_state")) {
        // Of these two the field is called otherwise.
        let field = if fields.has("call_uuid") { "call_uuid" } else { "uuid" };
        return Ok((fields.call(field)?, vec![CallEventKind::AnsweredBy { who }]));
    }
    let change = status_change(word, fields);
    if is_marked(request, OTHER_LEG_MARK) {
        return Ok((fields.call_without_id()?, vec![CallEventKind::OtherLeg(change)]));
    }
    let mut kinds = vec![CallEventKind::Status(change)];
    if word == "completed"
        && let Some(cost) = cost(fields.get("price"), fields.get("rate"), fields.get("duration"))
    {
        kinds.push(CallEventKind::Cost { cost });
    }
    Ok((fields.call("uuid")?, kinds))
}

fn answer(request: &WebhookRequest, fields: &Fields) -> Result<(CallRef, Vec<CallEventKind>), WebhookError> {
    let mut call = fields.call("uuid")?;
    if let Some(url) = fields.get("region_url").filter(|url| is_carriers(url)) {
        call = call.with_handle(REGION_URL, url);
    }
    if is_marked(request, OUTBOUND_MARK) {
        return Ok((call, vec![CallEventKind::instruction_wanted(InstructionWanted::Answered)]));
    }
    let reported = |name| {
        let raw = fields.get(name).unwrap_or_default();
        reported(raw)
    };
    let inbound = CallEventKind::Inbound { from: reported("from"), to: reported("to") };
    Ok((call, vec![inbound, CallEventKind::instruction_wanted(InstructionWanted::Inbound)]))
}

/// An address as Vonage writes it: numbers without `+`.
pub(crate) fn reported(raw: &str) -> ReportedAddress {
    let number = PhoneNumber::from_digits(raw).ok().map(Into::into);
    ReportedAddress::new(raw, number.or_else(|| raw.parse().ok()))
}

/// Whether a URL is one of Vonage's hosts, which may be given our credentials.
pub(crate) fn is_carriers(text: &str) -> bool {
    let Ok(url) = text.parse::<Url>() else { return false };
    let host = url.host_str().unwrap_or_default();
    url.scheme() == "https" && [".vonage.com", ".nexmo.com"].iter().any(|own| host.ends_with(own))
}

fn is_socket(to: &str) -> bool {
    to.starts_with("wss://") || to.starts_with("ws://")
}

fn socket_event(word: &str, fields: &Fields) -> CallEventKind {
    match word {
        "answered" => CallEventKind::Stream(StreamEvent::Started),
        "completed" | "disconnected" => CallEventKind::Stream(StreamEvent::Stopped),
        "failed" | "rejected" | "unanswered" | "timeout" | "busy" | "cancelled" => {
            let reason = fields.get("detail").map_or_else(|| word.to_owned(), |detail| format!("{word}: {detail}"));
            CallEventKind::Stream(StreamEvent::Failed { reason: Some(reason) })
        }
        _ => CallEventKind::Other { name: format!("stream {word}") },
    }
}

fn status_change(word: &str, fields: &Fields) -> StatusChange {
    let detail = fields.get("detail");
    StatusChange::new(status_of(word, detail), word)
        .with_reason(detail.map(str::to_owned))
        .with_refusal(refusal_of(word, detail))
        .with_direction(fields.get("direction").and_then(direction_of))
        .with_duration(fields.get("duration").and_then(|text| text.parse().ok()).map(Duration::from_secs))
}

/// The status that a word means. `rejected` covers those who declined and numbers that are none.
///
/// Source: <https://developer.vonage.com/en/voice/voice-api/webhook-reference#event-webhook>
pub(crate) fn status_of(word: &str, detail: Option<&str>) -> Option<CallStatus> {
    Some(match word {
        "started" => CallStatus::Initiated,
        "ringing" => CallStatus::Ringing,
        "answered" | "human" | "machine" => CallStatus::InProgress,
        "completed" => CallStatus::Completed,
        "busy" => CallStatus::Busy,
        "rejected" if matches!(detail, Some("invalid_number" | "restricted")) => CallStatus::Failed,
        "rejected" => CallStatus::Busy,
        "timeout" | "unanswered" => CallStatus::NoAnswer,
        "cancelled" => CallStatus::Canceled,
        "failed" => CallStatus::Failed,
        _ => return None,
    })
}

fn refusal_of(word: &str, detail: Option<&str>) -> Option<Refusal> {
    match (word, detail) {
        ("rejected" | "failed", Some("invalid_number" | "number_out_of_service")) => Some(Refusal::InvalidNumber),
        ("rejected", Some("declined") | None) => Some(Refusal::Declined),
        ("failed", Some("cannot_route")) | ("unanswered", Some("unavailable")) => Some(Refusal::Unreachable),
        _ => None,
    }
}

pub(crate) fn direction_of(word: &str) -> Option<Direction> {
    match word {
        "inbound" => Some(Direction::Inbound),
        "outbound" => Some(Direction::Outbound),
        _ => None,
    }
}

fn answered_by(word: &str, sub_state: Option<&str>) -> Option<AnsweredBy> {
    match (word, sub_state) {
        ("human", _) => Some(AnsweredBy::Human),
        ("machine", Some("beep_start")) => Some(AnsweredBy::MachineGreetingEnded { beep: true }),
        ("machine", Some("beep_timeout")) => Some(AnsweredBy::MachineGreetingEnded { beep: false }),
        ("machine", _) => Some(AnsweredBy::Machine),
        _ => None,
    }
}

/// What a call costs: positive texts, in EUR. `None` while there is no price, or one that is no number.
pub(crate) fn cost(price: Option<&str>, rate: Option<&str>, duration: Option<&str>) -> Option<CallCost> {
    let euro = |text: &str| Money::parse(text, "EUR").ok();
    let total = euro(price.filter(|text| !text.is_empty())?)?;
    let billed = duration.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    Some(CallCost::Rated { total, per_minute: rate.and_then(euro), billed })
}

fn recording(fields: &Fields) -> CallEventKind {
    let mut recording = RecordingEvent::new(fields.get("recording_uuid").map(str::to_owned), RecordingState::Ready);
    recording.url = fields.get("recording_url").map(str::to_owned);
    if let (Some(start), Some(end)) =
        (fields.get("start_time").and_then(moment), fields.get("end_time").and_then(moment))
    {
        recording.duration = Duration::try_from(end - start).ok();
    }
    CallEventKind::Recording(recording)
}

fn digits(fields: &Fields) -> Option<CallEventKind> {
    let dtmf = fields.0.get("dtmf")?;
    let digits = dtmf.get("digits").and_then(Value::as_str).unwrap_or_default().to_owned();
    let timed_out = dtmf.get("timed_out").and_then(Value::as_bool).unwrap_or(false);
    Some(CallEventKind::Digits { digits, timed_out })
}

/// A time: ISO 8601, or as the REST API writes it, `2026-07-14 09:15:02`, in UTC.
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    let plain = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    Timestamp::parse(text, &Iso8601::DEFAULT)
        .ok()
        .or_else(|| PrimitiveDateTime::parse(text, &plain).ok().map(PrimitiveDateTime::assume_utc))
}

/// The members of a webhook.
struct Fields(Map<String, Value>);

impl Fields {
    fn of(request: &WebhookRequest) -> Result<Self, WebhookError> {
        if request.body().is_empty() {
            let pairs = url::form_urlencoded::parse(request.query().as_bytes());
            return Ok(Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect()));
        }
        match serde_json::from_slice(request.body()) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(WebhookError::malformed("body", "is no JSON object")),
            Err(error) => Err(WebhookError::malformed("body", format_args!("is no JSON: {:?}", error.classify()))),
        }
    }

    /// A member that is a text, and not empty.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether it has what an answer webhook has and nothing else has.
    fn asks_answer(&self) -> bool {
        self.has("uuid") && self.has("to") && !["status", "dtmf", "speech", "payload"].iter().any(|name| self.has(name))
    }

    /// The call, by the uuid of a leg of its own.
    fn call(&self, name: &str) -> Result<CallRef, WebhookError> {
        let Some(id) = self.get(name) else { return self.call_without_id() };
        let id = CallId::new(id).map_err(|error| WebhookError::malformed(name, error))?;
        Ok(self.with_conversation(CallRef::new(id)))
    }

    /// The call, where the uuid is another leg's, or there is none.
    fn call_without_id(&self) -> Result<CallRef, WebhookError> {
        let ours = self.0.get("headers").and_then(|headers| headers.get(CALL_HEADER)).and_then(Value::as_str);
        if let Some(id) = ours.and_then(|id| CallId::new(id).ok()) {
            return Ok(self.with_conversation(CallRef::new(id)));
        }
        if !self.has(CONVERSATION) && !self.has("payload") && !self.has("uuid") {
            return Err(WebhookError::malformed("uuid", "is missing, and conversation_uuid too"));
        }
        Ok(self.with_conversation(CallRef::unnamed()))
    }

    fn with_conversation(&self, call: CallRef) -> CallRef {
        match self.get(CONVERSATION) {
            Some(conversation) => call.with_handle(CONVERSATION, conversation),
            None => call,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use pretty_assertions::assert_eq;
    use serde_json::json;

    use super::*;
    use crate::VonageConfig;

    fn config() -> VonageConfig {
        telephony_core::config::parse(crate::NAME, &crate::config::tests::account()).unwrap()
    }

    fn request(url: &str, body: &str) -> WebhookRequest {
        let claims = json!({
            "iss": "Vonage", "iat": 1000, "payload_hash": signing::sha256_hex(body.as_bytes()),
            "application_id": "7e1b7f0c-5a0e-4c53-9e0f-2a6f1d5b9a11",
        });
        let token = signing::sign_jwt_hs256(&config().signature_secret, &claims);
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        let now = Timestamp::from_unix_timestamp(1000).unwrap();
        let method = if body.is_empty() { Method::GET } else { Method::POST };
        WebhookRequest::at_url(method, url, headers, body.to_owned().into(), now)
    }

    fn read_at(url: &str, body: &str) -> Result<Vec<CallEvent>, WebhookError> {
        parse(&signature::verify(request(url, body), &config()).unwrap())
    }

    fn read(body: Value) -> Vec<CallEvent> {
        read_at("https://a.test/e", &body.to_string()).unwrap()
    }

    fn kinds(body: Value) -> Vec<CallEventKind> {
        read(body).into_iter().map(|event| event.kind).collect()
    }

    fn change(body: Value) -> StatusChange {
        match kinds(body).swap_remove(0) {
            CallEventKind::Status(change) => change,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_end_of_a_call_with_its_price() {
        let events = read(json!({
            "headers": {}, "start_time": "2026-07-14T09:15:02.000Z", "end_time": "2026-07-14T09:15:39.000Z",
            "duration": "37", "rate": "0.01270000", "price": "0.00783167", "network": "US-FIXED", "status": "completed",
            "direction": "outbound", "from": "14155550100", "to": "14155550111", "uuid": "u-1",
            "conversation_uuid": "CON-1", "timestamp": "2026-07-14T09:15:40.123Z",
        }));
        assert_eq!(events[0].call.to_string(), "u-1");
        assert_eq!(events[0].call.handle(CONVERSATION), Some("CON-1"));
        assert_eq!(events[0].occurred_at.unwrap().to_string(), "2026-07-14 9:15:40.123 +00:00:00");
        let CallEventKind::Status(change) = &events[0].kind else { panic!("{events:?}") };
        assert_eq!((change.status, change.duration), (Some(CallStatus::Completed), Some(Duration::from_secs(37))));
        let CallEventKind::Cost { cost } = &events[1].kind else { panic!("{events:?}") };
        assert_eq!(cost.to_string(), "0.00783167 EUR (0.0127 EUR per minute)");
    }

    #[test]
    fn every_word_for_a_status() {
        for (word, detail, status, refusal) in [
            ("started", None, Some(CallStatus::Initiated), None),
            ("ringing", None, Some(CallStatus::Ringing), None),
            ("answered", None, Some(CallStatus::InProgress), None),
            ("busy", None, Some(CallStatus::Busy), None),
            ("timeout", None, Some(CallStatus::NoAnswer), None),
            ("unanswered", Some("unavailable"), Some(CallStatus::NoAnswer), Some(Refusal::Unreachable)),
            ("rejected", Some("declined"), Some(CallStatus::Busy), Some(Refusal::Declined)),
            ("rejected", Some("invalid_number"), Some(CallStatus::Failed), Some(Refusal::InvalidNumber)),
            ("rejected", Some("restricted"), Some(CallStatus::Failed), None),
            ("failed", Some("cannot_route"), Some(CallStatus::Failed), Some(Refusal::Unreachable)),
            ("cancelled", None, Some(CallStatus::Canceled), None),
            ("levitating", None, None, None),
        ] {
            let change = change(json!({"status": word, "detail": detail, "uuid": "u-1", "to": "1", "price": null}));
            assert_eq!((change.status, change.refusal, change.raw_status.as_str()), (status, refusal, word));
        }
    }

    #[test]
    fn who_answered_is_said_with_another_field() {
        let machine = read(json!({"status": "machine", "sub_state": "beep_start", "call_uuid": "u-1"}));
        assert_eq!(machine[0].call.to_string(), "u-1");
        let who = AnsweredBy::MachineGreetingEnded { beep: true };
        assert_eq!(machine[0].kind, CallEventKind::AnsweredBy { who });
        let human = kinds(json!({"status": "human", "call_uuid": "u-1"}));
        assert_eq!(human, [CallEventKind::AnsweredBy { who: AnsweredBy::Human }]);
    }

    #[test]
    fn the_socket_has_a_leg_of_its_own_which_moves_no_call() {
        let leg = |status: &str| {
            read(json!({
                "status": status, "uuid": "u-9", "conversation_uuid": "CON-1", "from": "1", "to": "wss://a.test/ws",
                "headers": {"call_uuid": "u-1"},
            }))
        };
        assert_eq!(leg("answered")[0].call.to_string(), "u-1");
        assert_eq!(leg("answered")[0].kind, CallEventKind::Stream(StreamEvent::Started));
        assert_eq!(leg("completed")[0].kind, CallEventKind::Stream(StreamEvent::Stopped));
        assert!(matches!(leg("failed")[0].kind, CallEventKind::Stream(StreamEvent::Failed { .. })));
        let body = json!({"status": "ringing", "uuid": "u-9", "conversation_uuid": "CON-1", "to": "14155550111"});
        let bridged = read_at("https://a.test/e?vonage_leg=other", &body.to_string()).unwrap();
        assert!(matches!(bridged[0].kind, CallEventKind::OtherLeg(_)));
        assert_eq!(bridged[0].call.id(), None);
    }

    #[test]
    fn the_answer_url_of_an_outbound_call_is_marked() {
        let marked = mark_outbound(&"https://a.test/answer?run=1".parse().unwrap());
        assert_eq!(marked.as_str(), "https://a.test/answer?run=1&vonage_call=outbound");
        let body = json!({
            "from": "14155550100", "to": "14155550111", "uuid": "u-1", "conversation_uuid": "CON-1",
            "region_url": "https://api-us-3.vonage.com",
        });
        let outbound = read_at(marked.as_str(), &body.to_string()).unwrap();
        assert_eq!(outbound[0].kind, CallEventKind::instruction_wanted(InstructionWanted::Answered));
        assert_eq!(outbound[0].call.handle(REGION_URL), Some("https://api-us-3.vonage.com"));
        assert_eq!(identify(&request(marked.as_str(), &body.to_string())).unwrap().called, None);
    }

    #[test]
    fn an_inbound_call_by_get_and_by_post() {
        let query = "https://a.test/in?to=442079460000&from=447700900000&conversation_uuid=CON-1&uuid=aaaa&region_url=https%3A%2F%2Fevil.example";
        let body = json!({"to": "442079460000", "from": "447700900000", "conversation_uuid": "CON-1", "uuid": "aaaa"});
        for (url, body) in [(query, String::new()), ("https://a.test/in", body.to_string())] {
            let events = read_at(url, &body).unwrap();
            let CallEventKind::Inbound { from, to } = &events[0].kind else { panic!("{events:?}") };
            assert_eq!(from.phone().unwrap().as_e164(), "+447700900000");
            assert_eq!(to.phone().unwrap().as_e164(), "+442079460000");
            assert_eq!(events[1].kind, CallEventKind::instruction_wanted(InstructionWanted::Inbound));
            assert_eq!(events[0].call.handle(REGION_URL), None);
            let identity = identify(&request(url, &body)).unwrap();
            assert_eq!(identity.account_id.as_deref(), Some("7e1b7f0c-5a0e-4c53-9e0f-2a6f1d5b9a11"));
            assert_eq!(identity.called.unwrap().as_e164(), "+442079460000");
        }
    }

    #[test]
    fn what_asks_for_more() {
        let input = kinds(json!({
            "uuid": "u-1", "conversation_uuid": "CON-1", "from": "1", "to": "2",
            "dtmf": {"digits": "12", "timed_out": true}, "speech": {"results": []},
        }));
        assert_eq!(input[0], CallEventKind::Digits { digits: "12".to_owned(), timed_out: true });
        let continued = CallEventKind::instruction_wanted(InstructionWanted::Continued);
        assert_eq!(input[1], continued);
        let notify = read(json!({"payload": {"call_uuid": "u-1"}, "conversation_uuid": "CON-1"}));
        assert_eq!((notify[0].call.to_string().as_str(), &notify[0].kind), ("u-1", &continued));
        let fallback = kinds(json!({
            "reason": "Connection closed", "original_request": {"url": "https://a.test", "type": "answer"}, "uuid": "u-1",
        }));
        assert_eq!(fallback[1], CallEventKind::instruction_wanted(InstructionWanted::Fallback));
    }

    #[test]
    fn other_events() {
        let recorded = read(json!({
            "start_time": "2026-01-01T12:00:00Z", "recording_url": "https://api.nexmo.com/v1/files/1", "size": 12222,
            "recording_uuid": "r-1", "end_time": "2026-01-01T12:01:00Z", "conversation_uuid": "CON-1",
        }));
        let CallEventKind::Recording(recording) = &recorded[0].kind else { panic!("{recorded:?}") };
        assert_eq!((recording.state, recording.duration), (RecordingState::Ready, Some(Duration::from_secs(60))));
        assert_eq!(recorded[0].call.handle(CONVERSATION), Some("CON-1"));
        let error = kinds(json!({"reason": "Syntax error in NCCO for 14155550111", "conversation_uuid": "CON-1"}));
        assert_eq!(error, [CallEventKind::Problem { message: "Syntax error in NCCO for …0111".to_owned() }]);
        let new = kinds(json!({"brand": "new", "uuid": "u-1"}));
        assert_eq!(new, [CallEventKind::Other { name: "unknown".to_owned() }]);
    }

    #[test]
    fn a_webhook_about_no_call_is_malformed() {
        for body in ["{}", "[]", "{", r#"{"status":"ringing"}"#, r#"{"status":"ringing","uuid":"a b"}"#] {
            let error = read_at("https://a.test/e", body).unwrap_err();
            assert_eq!(error.status(), 400, "{body}: {error}");
        }
    }

    #[test]
    fn times_in_both_forms() {
        assert_eq!(moment("2026-07-14 09:15:02"), moment("2026-07-14T09:15:02Z"));
        assert_eq!(moment("2026-07-14T09:15:02.000Z"), moment("2026-07-14T09:15:02Z"));
        assert_eq!(moment("soon"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_it_panic(body in ".*", query in "[a-z0-9=&%_]*") {
            let _ = read_at("https://a.test/e", &format!("{{{body}}}"));
            let _ = read_at(&format!("https://a.test/e?{query}"), &body);
            let _ = identify(&request(&format!("https://a.test/e?{query}"), ""));
        }
    }
}
