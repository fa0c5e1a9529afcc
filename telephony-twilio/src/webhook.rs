//! What Twilio's webhooks say.
//!
//! They come as a form, or as a query where the customer chose GET; every value is text. Nothing names the kind of a webhook:
//! it is told by its fields.
//!
//! | fields | it is |
//! | --- | --- |
//! | `StreamEvent` | the state of a media stream |
//! | `RecordingStatus` | the state of a recording |
//! | `SequenceNumber` or `CallbackSource` | a status callback; with `ParentCallSid`, of another leg |
//! | `AnsweredBy` without `CallStatus` | the verdict of asynchronous answering machine detection |
//! | anything else | a request for TwiML |
//!
//! Source: <https://www.twilio.com/docs/voice/twiml#request-parameters>,
//! <https://www.twilio.com/docs/voice/api/call-resource#statuscallback>

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use telephony_core::{
    AnsweredBy, CallEvent, CallEventKind, CallId, CallRef, CallStatus, Direction, InstructionWanted, PhoneNumber,
    RecordingEvent, RecordingState, Refusal, ReportedAddress, StatusChange, StreamEvent, Timestamp, VerifiedWebhook,
    WebhookError, WebhookIdentity, WebhookRequest, redact, signing,
};
use time::format_description::well_known::{Rfc2822, Rfc3339};

use crate::signature;

/// The same on every retry of one webhook. Source: <https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>
const IDEMPOTENCY_TOKEN: &str = "I-Twilio-Idempotency-Token";

/// The handle of a [`CallRef`] that holds the URL which was asked for TwiML last.
pub(crate) const ANSWER_URL: &str = "answer_url";

/// Whether an unverified request looks like Twilio's, and for which account.
pub(crate) fn identify(request: &WebhookRequest) -> Option<WebhookIdentity> {
    request.header(signature::HEADER)?;
    let fields = Fields::of(request);
    // The upgrade request of a media socket has no fields.
    let account_id = fields.get("AccountSid").map(str::to_owned);
    let inbound = fields.get("Direction") == Some("inbound");
    let called = fields.get("To").filter(|_| inbound).and_then(|to| to.parse::<PhoneNumber>().ok());
    Some(WebhookIdentity { account_id, called })
}

/// One parameter of the form or query.
pub(crate) fn parameter(request: &WebhookRequest, name: &str) -> Option<String> {
    Fields::of(request).get(name).map(str::to_owned)
}

/// Reads a webhook.
pub(crate) fn parse(webhook: &VerifiedWebhook) -> Result<Vec<CallEvent>, WebhookError> {
    let request = webhook.request();
    let fields = Fields::of(request);
    let call = call_ref(&fields, "CallSid")?;
    let when = fields.time("Timestamp");
    let kinds = if let Some(event) = fields.get("StreamEvent") {
        vec![stream(event, &fields)]
    } else if let Some(status) = fields.get("RecordingStatus") {
        vec![recording(status, &fields)]
    } else if fields.has("SequenceNumber") || fields.has("CallbackSource") {
        return status_callback(request, &fields, call);
    } else if fields.has("AnsweredBy") && !fields.has("CallStatus") {
        answered_by(&fields).into_iter().collect()
    } else {
        let call = call.with_handle(ANSWER_URL, request.url());
        return Ok(events(request, &call, when, request_for_twiml(&fields)));
    };
    Ok(events(request, &call, when, kinds))
}

/// Gives each happening of one webhook a key of its own. The webhook's own is Twilio's token, or else a hash of all that was
/// sent; a retry has the same of both.
fn events(
    request: &WebhookRequest,
    call: &CallRef,
    when: Option<Timestamp>,
    kinds: Vec<CallEventKind>,
) -> Vec<CallEvent> {
    let key = request.header(IDEMPOTENCY_TOKEN).map_or_else(
        || signing::sha256_hex(&[request.url().as_bytes(), b"\n", request.body()].concat()),
        str::to_owned,
    );
    kinds
        .into_iter()
        .enumerate()
        .map(|(n, kind)| CallEvent::new(call.clone(), format!("{key}:{n}"), kind).at(when))
        .collect()
}

fn call_ref(fields: &Fields<'_>, name: &str) -> Result<CallRef, WebhookError> {
    let sid = fields.get(name).ok_or_else(|| WebhookError::malformed(name, "is missing"))?;
    CallId::new(sid).map(CallRef::new).map_err(|error| WebhookError::malformed(name, error))
}

fn status_callback(
    request: &WebhookRequest,
    fields: &Fields<'_>,
    call: CallRef,
) -> Result<Vec<CallEvent>, WebhookError> {
    let change = status_change(fields, "CallStatus", "CallDuration");
    // A bridge or transfer makes legs of their own; they name the call that they belong to.
    let (call, mut kinds) = if fields.has("ParentCallSid") {
        (call_ref(fields, "ParentCallSid")?, vec![CallEventKind::OtherLeg(change)])
    } else {
        (call, vec![CallEventKind::Status(change)])
    };
    kinds.extend(answered_by(fields));
    if fields.has("RecordingUrl") {
        kinds.push(recording("completed", fields));
    }
    let sequence = fields.get("SequenceNumber").and_then(|text| text.parse().ok());
    let events = events(request, &call, fields.time("Timestamp"), kinds);
    Ok(events.into_iter().map(|event| event.numbered(sequence)).collect())
}

fn request_for_twiml(fields: &Fields<'_>) -> Vec<CallEventKind> {
    let inbound = fields.get("Direction") == Some("inbound");
    let ringing = fields.get("CallStatus") == Some("ringing");
    let mut kinds = Vec::new();
    let because = if let Some(code) = fields.get("ErrorCode") {
        let url = fields.get("ErrorUrl").unwrap_or("the URL asked before");
        kinds.push(CallEventKind::Problem { message: redact::numbers_in(&format!("error {code} at {url}")) });
        InstructionWanted::Fallback
    } else if let Some(digits) = fields.get("Digits") {
        // Twilio does not say why gathering ended; with nothing pressed, time ran out.
        kinds.push(CallEventKind::Digits { digits: digits.to_owned(), timed_out: digits.is_empty() });
        InstructionWanted::Continued
    } else if fields.has("DialCallStatus") {
        kinds.push(CallEventKind::OtherLeg(status_change(fields, "DialCallStatus", "DialCallDuration")));
        InstructionWanted::Continued
    } else if inbound && ringing {
        let reported = |name: &str| {
            let raw = fields.get(name).unwrap_or_default();
            ReportedAddress::new(raw, raw.parse().ok())
        };
        kinds.push(CallEventKind::Inbound { from: reported("From"), to: reported("To") });
        InstructionWanted::Inbound
    } else if inbound || fields.has("StreamSid") || fields.has("RecordingUrl") {
        InstructionWanted::Continued
    } else {
        // The first request of an outbound call. One that a <Redirect> makes looks the same.
        InstructionWanted::Answered
    };
    if fields.has("CallStatus") {
        kinds.push(CallEventKind::Status(status_change(fields, "CallStatus", "CallDuration")));
    }
    kinds.extend(answered_by(fields));
    if fields.has("RecordingUrl") {
        kinds.push(recording("completed", fields));
    }
    kinds.push(CallEventKind::instruction_wanted(because));
    kinds
}

fn status_change(fields: &Fields<'_>, status: &str, duration: &str) -> StatusChange {
    let raw = fields.get(status).unwrap_or_default();
    let sip = fields.get("SipResponseCode");
    StatusChange::new(status_of(raw), raw)
        .with_direction(fields.get("Direction").and_then(direction_of))
        .with_duration(fields.seconds(duration))
        .with_reason(sip.map(|code| format!("SIP response {code}")))
        .with_refusal(sip.and_then(refusal_of))
}

/// The status that a word means. Source: <https://www.twilio.com/docs/voice/api/call-resource#call-status-values>
pub(crate) fn status_of(word: &str) -> Option<CallStatus> {
    Some(match word {
        "queued" => CallStatus::Queued,
        "initiated" => CallStatus::Initiated,
        "ringing" => CallStatus::Ringing,
        "in-progress" | "answered" => CallStatus::InProgress,
        "completed" => CallStatus::Completed,
        "busy" => CallStatus::Busy,
        "no-answer" => CallStatus::NoAnswer,
        "canceled" => CallStatus::Canceled,
        "failed" => CallStatus::Failed,
        _ => return None,
    })
}

/// The way that a call went. Trunks have words of their own (`trunking-originating`), which say nothing about us.
pub(crate) fn direction_of(word: &str) -> Option<Direction> {
    match word {
        "inbound" => Some(Direction::Inbound),
        _ if word.starts_with("outbound") => Some(Direction::Outbound),
        _ => None,
    }
}

/// Why the other side could not be had, by the final SIP response (RFC 3261, part 21; RFC 8197 for 607).
fn refusal_of(code: &str) -> Option<Refusal> {
    match code {
        "603" | "607" => Some(Refusal::Declined),
        "404" | "410" | "484" | "604" => Some(Refusal::InvalidNumber),
        "408" | "480" | "502" | "503" | "504" => Some(Refusal::Unreachable),
        _ => None,
    }
}

/// Who answered, by Twilio's word. Source: <https://www.twilio.com/docs/voice/answering-machine-detection>
pub(crate) fn answered_by_of(word: &str) -> AnsweredBy {
    match word {
        "human" => AnsweredBy::Human,
        "machine_start" | "machine" => AnsweredBy::Machine,
        "machine_end_beep" => AnsweredBy::MachineGreetingEnded { beep: true },
        "machine_end_silence" | "machine_end_other" => AnsweredBy::MachineGreetingEnded { beep: false },
        "fax" => AnsweredBy::Fax,
        _ => AnsweredBy::Unknown,
    }
}

fn answered_by(fields: &Fields<'_>) -> Option<CallEventKind> {
    let word = fields.get("AnsweredBy").filter(|word| !word.is_empty())?;
    Some(CallEventKind::AnsweredBy { who: answered_by_of(word) })
}

fn recording(status: &str, fields: &Fields<'_>) -> CallEventKind {
    let state = match status {
        "in-progress" => RecordingState::Started,
        "completed" => RecordingState::Ready,
        "absent" => RecordingState::Absent,
        "failed" => RecordingState::Failed,
        other => return CallEventKind::Other { name: format!("recording {other}") },
    };
    let mut recording = RecordingEvent::new(fields.get("RecordingSid").map(str::to_owned), state);
    recording.url = fields.get("RecordingUrl").map(str::to_owned);
    recording.duration = fields.seconds("RecordingDuration");
    CallEventKind::Recording(recording)
}

fn stream(event: &str, fields: &Fields<'_>) -> CallEventKind {
    CallEventKind::Stream(match event {
        "stream-started" => StreamEvent::Started,
        "stream-stopped" => StreamEvent::Stopped,
        "stream-error" => StreamEvent::Failed { reason: fields.get("StreamError").map(redact::numbers_in) },
        other => return CallEventKind::Other { name: other.to_owned() },
    })
}

/// The parameters of a webhook. Of a name that is there more than once, the first counts.
struct Fields<'a>(BTreeMap<Cow<'a, str>, Cow<'a, str>>);

impl<'a> Fields<'a> {
    fn of(request: &'a WebhookRequest) -> Self {
        let form = if request.is_content_type("application/x-www-form-urlencoded") {
            url::form_urlencoded::parse(request.body())
        } else {
            url::form_urlencoded::parse(request.query().as_bytes())
        };
        let mut fields = BTreeMap::new();
        for (name, value) in form {
            fields.entry(name).or_insert(value);
        }
        Self(fields)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(AsRef::as_ref)
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn seconds(&self, name: &str) -> Option<Duration> {
        self.get(name)?.parse().ok().map(Duration::from_secs)
    }

    /// Status callbacks write RFC 2822, stream callbacks ISO 8601.
    fn time(&self, name: &str) -> Option<Timestamp> {
        let text = self.get(name)?;
        Timestamp::parse(text, &Rfc2822).or_else(|_| Timestamp::parse(text, &Rfc3339)).ok()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use pretty_assertions::assert_eq;
    use telephony_core::Secret;

    use super::*;

    const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

    fn request(body: &str, token: Option<&str>) -> WebhookRequest {
        let url = "https://voice.example.test/hook";
        let mut pairs: Vec<_> = url::form_urlencoded::parse(body.as_bytes()).collect();
        pairs.sort();
        pairs.dedup();
        let signed: String = pairs.iter().map(|(name, value)| format!("{name}{value}")).collect();
        let signature = signing::hmac_sha1_base64(&Secret::new("t"), format!("{url}{signed}").as_bytes());
        let mut headers = HeaderMap::new();
        headers.insert("x-twilio-signature", signature.parse().unwrap());
        headers.insert("content-type", "application/x-www-form-urlencoded; charset=UTF-8".parse().unwrap());
        if let Some(token) = token {
            headers.insert("i-twilio-idempotency-token", token.parse().unwrap());
        }
        WebhookRequest::at_url(Method::POST, url, headers, body.to_owned().into(), Timestamp::UNIX_EPOCH)
    }

    fn read(body: &str) -> Result<Vec<CallEvent>, WebhookError> {
        parse(&signature::verify(request(body, None), &Secret::new("t"), ACCOUNT).unwrap())
    }

    fn kinds(body: &str) -> Vec<CallEventKind> {
        read(body).unwrap().into_iter().map(|event| event.kind).collect()
    }

    #[test]
    fn a_status_callback() {
        let body = "AccountSid=AC0123456789abcdef0123456789abcdef&ApiVersion=2010-04-01&CallSid=CA1&CallStatus=completed&\
            CallDuration=37&Duration=1&Direction=outbound-api&From=%2B14155550100&To=%2B14155550111&SequenceNumber=3&\
            Timestamp=Tue%2C+14+Jul+2026+09%3A15%3A02+%2B0000&CallbackSource=call-progress-events&SipResponseCode=200";
        let events = read(body).unwrap();
        assert_eq!(events.len(), 1);
        let event = &events[0];
        assert_eq!(event.call.to_string(), "CA1");
        assert_eq!(event.sequence, Some(3));
        assert_eq!(event.occurred_at.unwrap().to_string(), "2026-07-14 9:15:02.0 +00:00:00");
        let CallEventKind::Status(change) = &event.kind else { panic!("{event:?}") };
        assert_eq!(change.status, Some(CallStatus::Completed));
        assert_eq!(change.duration, Some(Duration::from_secs(37)), "CallDuration is in seconds, Duration in minutes");
        assert_eq!(change.direction, Some(Direction::Outbound));
    }

    #[test]
    fn every_word_for_a_status() {
        for (word, status) in [
            ("queued", Some(CallStatus::Queued)),
            ("initiated", Some(CallStatus::Initiated)),
            ("ringing", Some(CallStatus::Ringing)),
            ("in-progress", Some(CallStatus::InProgress)),
            ("completed", Some(CallStatus::Completed)),
            ("busy", Some(CallStatus::Busy)),
            ("no-answer", Some(CallStatus::NoAnswer)),
            ("canceled", Some(CallStatus::Canceled)),
            ("failed", Some(CallStatus::Failed)),
            ("levitating", None),
        ] {
            let kinds = kinds(&format!("CallSid=CA1&CallStatus={word}&SequenceNumber=0"));
            let [CallEventKind::Status(change)] = &kinds[..] else { panic!("{kinds:?}") };
            assert_eq!((change.status, change.raw_status.as_str()), (status, word));
        }
    }

    #[test]
    fn why_somebody_could_not_be_had() {
        let refusal = |code: &str| {
            let kinds = kinds(&format!("CallSid=CA1&CallStatus=failed&SequenceNumber=2&SipResponseCode={code}"));
            let [CallEventKind::Status(change)] = &kinds[..] else { panic!("{kinds:?}") };
            change.refusal
        };
        assert_eq!(refusal("603"), Some(Refusal::Declined));
        assert_eq!(refusal("404"), Some(Refusal::InvalidNumber));
        assert_eq!(refusal("480"), Some(Refusal::Unreachable));
        assert_eq!(refusal("486"), None);
    }

    #[test]
    fn the_request_for_what_an_answered_call_shall_do() {
        let body = "CallSid=CA1&CallStatus=in-progress&Direction=outbound-api&From=%2B14155550100&To=%2B14155550111&\
            AnsweredBy=machine_end_beep";
        let events = read(body).unwrap();
        assert_eq!(events[0].call.handle(ANSWER_URL), Some("https://voice.example.test/hook"));
        assert!(
            matches!(&events[0].kind, CallEventKind::Status(change) if change.status == Some(CallStatus::InProgress))
        );
        assert_eq!(events[1].kind, CallEventKind::AnsweredBy { who: AnsweredBy::MachineGreetingEnded { beep: true } });
        assert_eq!(events[2].kind, CallEventKind::instruction_wanted(InstructionWanted::Answered));
    }

    #[test]
    fn an_inbound_call() {
        let body = "CallSid=CA1&CallStatus=ringing&Direction=inbound&From=anonymous&To=%2B14155550111&CallToken=x";
        let kinds = kinds(body);
        let CallEventKind::Inbound { from, to } = &kinds[0] else { panic!("{kinds:?}") };
        assert_eq!((from.raw(), from.address()), ("anonymous", None));
        assert_eq!(to.phone().unwrap().as_e164(), "+14155550111");
        assert_eq!(kinds[2], CallEventKind::instruction_wanted(InstructionWanted::Inbound));
        let identity = identify(&request(&format!("AccountSid={ACCOUNT}&{body}"), None)).unwrap();
        assert_eq!(identity.account_id.as_deref(), Some(ACCOUNT));
        assert_eq!(identity.called.unwrap().as_e164(), "+14155550111");
    }

    #[test]
    fn what_follows_an_instruction() {
        let rest = "CallSid=CA1&CallStatus=in-progress&Direction=inbound";
        assert_eq!(
            kinds(&format!("{rest}&Digits=12%23"))[0],
            CallEventKind::Digits { digits: "12#".into(), timed_out: false }
        );
        assert_eq!(
            kinds(&format!("{rest}&Digits="))[0],
            CallEventKind::Digits { digits: String::new(), timed_out: true }
        );
        let dialled = kinds(&format!("{rest}&DialCallStatus=no-answer&DialCallSid=CA2"));
        assert!(matches!(&dialled[0], CallEventKind::OtherLeg(change) if change.status == Some(CallStatus::NoAnswer)));
        for more in ["&Digits=1", "&DialCallStatus=busy", "&StreamSid=MZ1", ""] {
            let wanted = CallEventKind::instruction_wanted(InstructionWanted::Continued);
            assert_eq!(kinds(&format!("{rest}{more}")).pop(), Some(wanted), "{more}");
        }
        let failed = kinds("CallSid=CA1&CallStatus=in-progress&ErrorCode=11200&ErrorUrl=https%3A%2F%2Fa.test%2F");
        assert_eq!(failed[0], CallEventKind::Problem { message: "error 11200 at https://a.test/".into() });
        assert_eq!(failed.last(), Some(&CallEventKind::instruction_wanted(InstructionWanted::Fallback)));
    }

    #[test]
    fn other_callbacks() {
        assert_eq!(
            kinds(
                "CallSid=CA1&AccountSid=AC0123456789abcdef0123456789abcdef&AnsweredBy=human&MachineDetectionDuration=2100"
            ),
            [CallEventKind::AnsweredBy { who: AnsweredBy::Human }]
        );
        let kinds_of = kinds(
            "CallSid=CA1&RecordingSid=RE1&RecordingStatus=completed&RecordingUrl=https%3A%2F%2Fa&RecordingDuration=9",
        );
        let [CallEventKind::Recording(recording)] = &kinds_of[..] else { panic!("{kinds_of:?}") };
        assert_eq!((recording.state, recording.duration), (RecordingState::Ready, Some(Duration::from_secs(9))));
        assert_eq!(
            kinds(
                "CallSid=CA1&StreamSid=MZ1&StreamEvent=stream-error&StreamError=31920&Timestamp=2026-07-14T09:15:02Z"
            ),
            [CallEventKind::Stream(StreamEvent::Failed { reason: Some("31920".into()) })]
        );
        let leg = read("CallSid=CA2&ParentCallSid=CA1&CallStatus=ringing&SequenceNumber=1").unwrap();
        assert_eq!(leg[0].call.to_string(), "CA1");
        assert!(matches!(leg[0].kind, CallEventKind::OtherLeg(_)));
    }

    #[test]
    fn a_webhook_about_no_call_is_malformed() {
        assert_eq!(read("CallStatus=ringing").unwrap_err().to_string(), "CallSid: is missing");
        assert_eq!(read("CallSid=+&CallStatus=ringing").unwrap_err().status(), 400);
    }

    #[test]
    fn a_retry_has_the_same_keys_and_nothing_else_has() {
        let keys = |body: &str, token: Option<&str>| -> Vec<String> {
            let verified = signature::verify(request(body, token), &Secret::new("t"), ACCOUNT).unwrap();
            parse(&verified).unwrap().into_iter().map(|event| event.dedupe_key).collect()
        };
        let (first, second) = ("CallSid=CA1&CallStatus=in-progress", "CallSid=CA2&CallStatus=in-progress");
        assert_eq!(keys(first, None), keys(first, None));
        assert_ne!(keys(first, None), keys(second, None));
        assert_eq!(keys(first, Some("a")), keys(first, Some("a")));
        assert_ne!(keys(first, Some("a")), keys(first, Some("b")));
        let of_one = keys(first, Some("a"));
        assert_ne!(of_one[0], of_one[1]);
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_it_panic(body in ".*") {
            let body = format!("CallSid=CA1&{body}");
            let _ = identify(&request(&body, None));
            if let Ok(verified) = signature::verify(request(&body, None), &Secret::new("t"), ACCOUNT) {
                let _ = parse(&verified);
            }
        }
    }
}
