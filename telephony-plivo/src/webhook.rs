//! What Plivo's webhooks say.
//!
//! They come as a form, or as a query where the customer chose GET; every value is text.
//!
//! | fields | it is |
//! | --- | --- |
//! | `StreamID` | the state of a media stream |
//! | `RecordUrl`, `record_url` | a recording |
//! | `Machine` with `Event=MachineDetection` | the verdict of asynchronous answering machine detection |
//! | `DialBLegUUID` with `DialAction` | another leg, which a bridge made |
//! | `Event=Ring`, `Event=Hangup` | a new state of the call |
//! | `Event=StartApp`, and anything else | a request for XML |
//!
//! There is neither a sequence number nor a token: a retry is told by saying exactly the same.
//!
//! Source: <https://www.plivo.com/docs/voice/concepts/callbacks>, and callbacks recorded in the tests of the official Go library.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use telephony_core::{
    AnsweredBy, CallEvent, CallEventKind, CallId, CallRef, CallStatus, Due, InstructionWanted, PhoneNumber,
    RecordingEvent, RecordingState, ReportedAddress, StatusChange, StreamEvent, Url, VerifiedWebhook, WebhookError,
    WebhookIdentity, WebhookRequest, redact, signing,
};

use crate::{Currency, api, signature};

/// The handle of a [`CallRef`] that holds the name under which the call was accepted.
pub(crate) const REQUEST: &str = "request_uuid";

/// The handle that holds the URL which was asked for XML last.
pub(crate) const ANSWER_URL: &str = "answer_url";

/// Put into the query of the URL that is asked when nothing was pressed: Plivo itself says nothing then.
const NO_DIGITS: (&str, &str) = ("plivo_digits", "none");

/// Put into the query of a URL to which a live call is sent: what it is to do. Signed with the rest of the URL when it comes back.
const DUE: &str = "plivo_due";

/// The longest URL that Plivo is given.
const LONGEST_URL: usize = 2_048;

/// The URL that makes a live call do something: an answer URL that says what is due. `None` if it is too long.
pub(crate) fn mark_due(answer_url: &Url, due: &Due) -> Option<Url> {
    let mut url = answer_url.clone();
    url.query_pairs_mut().append_pair(DUE, &ascii(&serde_json::to_string(due).ok()?));
    Some(url).filter(|url| url.as_str().len() <= LONGEST_URL)
}

/// JSON without a character that is not ASCII. How Plivo signs a query with others is not known: its library for Python cannot
/// check one, and that for Node.js does.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            text.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    text
}

/// A URL as we were given it, without our marks.
fn unmarked(url: &str) -> String {
    let Ok(mut url) = url.parse::<Url>() else { return url.to_owned() };
    let ours = |name: &str| name == DUE || name == NO_DIGITS.0;
    if url.query_pairs().any(|(name, _)| ours(&name)) {
        let kept: Vec<(String, String)> = url.query_pairs().into_owned().filter(|(name, _)| !ours(name)).collect();
        url.set_query(None);
        if !kept.is_empty() {
            url.query_pairs_mut().extend_pairs(kept);
        }
    }
    url.into()
}

/// The URL that is asked when nothing was pressed.
pub(crate) fn mark_no_digits(callback: &Url) -> Url {
    let mut url = callback.clone();
    url.query_pairs_mut().append_pair(NO_DIGITS.0, NO_DIGITS.1);
    url
}

/// Whether an unverified request looks like Plivo's, and for which account.
pub(crate) fn identify(request: &WebhookRequest) -> Option<WebhookIdentity> {
    request.header(signature::NONCE_HEADER)?;
    let fields = Fields::of(request);
    // Undocumented, and not always there; the owner of the number comes before the main account.
    let account_id = fields.get("AuthID").or_else(|| fields.get("ParentAuthID")).map(str::to_owned);
    let inbound = fields.get("Direction") == Some("inbound");
    let called = fields.get("To").filter(|_| inbound).and_then(phone_number);
    Some(WebhookIdentity { account_id, called })
}

/// One parameter of the form or query.
pub(crate) fn parameter(request: &WebhookRequest, name: &str) -> Option<String> {
    Fields::of(request).get(name).map(str::to_owned)
}

/// Reads a webhook of an account that is billed in a currency.
pub(crate) fn parse(webhook: &VerifiedWebhook, currency: Currency) -> Result<Vec<CallEvent>, WebhookError> {
    let request = webhook.request();
    let fields = Fields::of(request);
    let mut call = call_ref(&fields)?;
    let event = fields.get("Event").unwrap_or_default();
    let kinds = if fields.has("StreamID") {
        vec![stream(event, &fields)]
    } else if fields.has("RecordUrl") || fields.has("record_url") {
        vec![recording(&fields)]
    } else if event == "MachineDetection" {
        let machine = fields.get("Machine").is_none_or(|word| word.eq_ignore_ascii_case("true"));
        vec![CallEventKind::AnsweredBy { who: if machine { AnsweredBy::Machine } else { AnsweredBy::Human } }]
    } else if fields.has("DialAction") {
        vec![CallEventKind::OtherLeg(other_leg(&fields))]
    } else {
        match event {
            "Ring" => vec![CallEventKind::Status(status_change(&fields))],
            "Hangup" => hang_up(&fields, currency),
            _ => {
                call = call.with_handle(ANSWER_URL, unmarked(request.url()));
                request_for_xml(request, event, &fields)
            }
        }
    };
    let key = signing::sha256_hex(&[request.url().as_bytes(), b"\n", request.body()].concat());
    let events = kinds.into_iter().enumerate();
    Ok(events.map(|(n, kind)| CallEvent::new(call.clone(), format!("{key}:{n}"), kind)).collect())
}

/// The call's own id, and the request that it was accepted under.
fn call_ref(fields: &Fields<'_>) -> Result<CallRef, WebhookError> {
    let uuid = fields.get("CallUUID").or_else(|| fields.get("call_uuid"));
    let uuid = uuid.ok_or_else(|| WebhookError::malformed("CallUUID", "is missing"))?;
    let id = CallId::new(uuid).map_err(|error| WebhookError::malformed("CallUUID", error))?;
    let call = CallRef::new(id);
    Ok(match fields.get("RequestUUID") {
        Some(request) => call.with_handle(REQUEST, request),
        None => call,
    })
}

fn hang_up(fields: &Fields<'_>, currency: Currency) -> Vec<CallEventKind> {
    let mut kinds = vec![CallEventKind::Status(status_change(fields))];
    let cost = api::cost(fields.get("TotalCost"), fields.get("BillRate"), fields.number("BillDuration"), currency);
    if fields.has("TotalCost")
        && let Ok(cost) = cost
    {
        kinds.push(CallEventKind::Cost { cost });
    }
    kinds
}

fn request_for_xml(request: &WebhookRequest, event: &str, fields: &Fields<'_>) -> Vec<CallEventKind> {
    let inbound = fields.get("Direction") == Some("inbound");
    let marks: Vec<_> = url::form_urlencoded::parse(request.query().as_bytes()).collect();
    let due = marks.iter().find(|(name, _)| name == DUE).and_then(|(_, due)| serde_json::from_str(due).ok());
    let mut kinds = Vec::new();
    let because = if due.is_some() {
        InstructionWanted::Continued
    } else if let Some(digits) = fields.get("Digits") {
        kinds.push(CallEventKind::Digits { digits: digits.to_owned(), timed_out: digits.is_empty() });
        InstructionWanted::Continued
    } else if marks.iter().any(|(name, value)| (&**name, &**value) == NO_DIGITS) {
        kinds.push(CallEventKind::Digits { digits: String::new(), timed_out: true });
        InstructionWanted::Continued
    } else if event == "Redirect" || fields.has("DialStatus") {
        if fields.has("DialStatus") {
            let raw = fields.get("DialStatus").unwrap_or_default();
            kinds.push(CallEventKind::OtherLeg(StatusChange::new(status_of(raw), raw)));
        }
        InstructionWanted::Continued
    } else if event != "StartApp" {
        InstructionWanted::Continued
    } else if inbound {
        let party = |name: &str| reported(fields.get(name).unwrap_or_default().to_owned());
        kinds.push(CallEventKind::Inbound { from: party("From"), to: party("To") });
        InstructionWanted::Inbound
    } else {
        InstructionWanted::Answered
    };
    if fields.has("CallStatus") {
        kinds.push(CallEventKind::Status(status_change(fields)));
    }
    // Synchronous detection says it here.
    if let Some(machine) = fields.get("Machine") {
        let who = if machine.eq_ignore_ascii_case("true") { AnsweredBy::Machine } else { AnsweredBy::Human };
        kinds.push(CallEventKind::AnsweredBy { who });
    }
    kinds.push(CallEventKind::InstructionWanted { because, due });
    kinds
}

fn status_change(fields: &Fields<'_>) -> StatusChange {
    let raw = fields.get("CallStatus").unwrap_or_default();
    let code = fields.number("HangupCauseCode").and_then(|code| u32::try_from(code).ok());
    let answered = fields.number("Duration").is_some_and(|seconds| seconds > 0);
    // The code says more than the word: a call that we gave up ends with a word for its time out.
    let status = code.filter(|_| !answered).and_then(api::end_of).or_else(|| status_of(raw));
    let cause = fields.get("HangupCauseName").or_else(|| fields.get("HangupCause"));
    StatusChange::new(status, raw)
        .with_direction(fields.get("Direction").and_then(api::direction_of))
        .with_duration(fields.number("Duration").map(Duration::from_secs))
        .with_reason(cause.map(redact::numbers_in))
        .with_refusal(code.and_then(api::refusal_of))
}

/// The status that a word means.
pub(crate) fn status_of(word: &str) -> Option<CallStatus> {
    Some(match word {
        "queued" => CallStatus::Queued,
        "ringing" => CallStatus::Ringing,
        "in-progress" => CallStatus::InProgress,
        "completed" => CallStatus::Completed,
        "busy" => CallStatus::Busy,
        "no-answer" | "timeout" => CallStatus::NoAnswer,
        "cancel" => CallStatus::Canceled,
        "failed" => CallStatus::Failed,
        _ => return None,
    })
}

fn other_leg(fields: &Fields<'_>) -> StatusChange {
    let raw = fields.get("DialBLegStatus").or_else(|| fields.get("DialAction")).unwrap_or_default();
    let status = match fields.get("DialAction").unwrap_or_default() {
        "answer" | "connected" => Some(CallStatus::InProgress),
        _ => status_of(raw),
    };
    StatusChange::new(status, raw).with_reason(fields.get("DialBLegHangupCauseName").map(redact::numbers_in))
}

fn recording(fields: &Fields<'_>) -> CallEventKind {
    // `Record` elements write one way, recordings of the API another.
    let either = |one: &str, other: &str| fields.get(one).or_else(|| fields.get(other)).map(str::to_owned);
    let mut recording = RecordingEvent::new(either("RecordingID", "recording_id"), RecordingState::Ready);
    recording.url = either("RecordUrl", "record_url");
    let seconds = either("RecordingDuration", "recording_duration");
    recording.duration = seconds.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    CallEventKind::Recording(recording)
}

/// Two pages use two sets of words.
fn stream(event: &str, fields: &Fields<'_>) -> CallEventKind {
    CallEventKind::Stream(match event {
        "StartStream" | "started" => StreamEvent::Started,
        "StopStream" | "stopped" => StreamEvent::Stopped,
        "DroppedStream" | "failed" => {
            StreamEvent::Failed { reason: fields.get("StatusReason").map(redact::numbers_in) }
        }
        other => return CallEventKind::Other { name: other.to_owned() },
    })
}

/// Digits without `+`, or a SIP URI.
pub(crate) fn reported(raw: String) -> ReportedAddress {
    let address = phone_number(&raw).map(Into::into).or_else(|| raw.parse().ok());
    ReportedAddress::new(raw, address)
}

fn phone_number(raw: &str) -> Option<PhoneNumber> {
    PhoneNumber::from_digits(raw.strip_prefix('+').unwrap_or(raw)).ok()
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

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use pretty_assertions::assert_eq;
    use telephony_core::{CallCost, Money, Refusal, Secret, Timestamp};

    use super::*;

    const ACCOUNT: &str = "MAXXXXXXXXXXXXXXXXXX";

    fn request(body: &str) -> WebhookRequest {
        let url = "https://voice.example.test/hook";
        let mut pairs: Vec<_> = url::form_urlencoded::parse(body.as_bytes()).collect();
        pairs.sort();
        let signed: String = pairs.iter().map(|(name, value)| format!("{name}{value}")).collect();
        let question = if signed.is_empty() { "" } else { "?" };
        let signature =
            signing::hmac_sha256_base64(&Secret::new("t"), format!("{url}{question}{signed}.77").as_bytes());
        let mut headers = HeaderMap::new();
        headers.insert("x-plivo-signature-v3", signature.parse().unwrap());
        headers.insert("x-plivo-signature-v3-nonce", "77".parse().unwrap());
        headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
        WebhookRequest::at_url(Method::POST, url, headers, body.to_owned().into(), Timestamp::UNIX_EPOCH)
    }

    fn read(body: &str) -> Result<Vec<CallEvent>, WebhookError> {
        parse(&signature::verify(request(body), &Secret::new("t"), ACCOUNT).unwrap(), Currency::Usd)
    }

    fn kinds(body: &str) -> Vec<CallEventKind> {
        read(body).unwrap().into_iter().map(|event| event.kind).collect()
    }

    #[test]
    fn the_first_webhook_names_the_call() {
        let events = read("CallUUID=c1&RequestUUID=r1&Event=Ring&CallStatus=ringing&Direction=outbound").unwrap();
        let [event] = &events[..] else { panic!("{events:?}") };
        assert_eq!(event.call.to_string(), "c1");
        assert_eq!(event.call.handle(REQUEST), Some("r1"));
        assert!(matches!(&event.kind, CallEventKind::Status(change) if change.status == Some(CallStatus::Ringing)));
    }

    #[test]
    fn an_end_says_how_why_and_what_it_costs() {
        let kinds = kinds(
            "CallUUID=c1&Event=Hangup&CallStatus=completed&HangupCause=NORMAL_CLEARING&HangupCauseName=Normal+Hangup&\
             HangupCauseCode=4000&Duration=37&BillDuration=60&BillRate=0.0085&TotalCost=0.00850",
        );
        let [CallEventKind::Status(change), CallEventKind::Cost { cost }] = &kinds[..] else { panic!("{kinds:?}") };
        assert_eq!((change.status, change.duration), (Some(CallStatus::Completed), Some(Duration::from_secs(37))));
        assert_eq!(change.reason.as_deref(), Some("Normal Hangup"));
        assert_eq!(*cost, CallCost::rated(Money::parse("0.0085", "USD").unwrap()));
        let form = request("CallUUID=c1&Event=Hangup&CallStatus=completed&TotalCost=0.6");
        let events = parse(&signature::verify(form, &Secret::new("t"), ACCOUNT).unwrap(), Currency::Inr).unwrap();
        let cost = CallCost::rated(Money::parse("0.6", "INR").unwrap());
        assert_eq!(events[1].kind, CallEventKind::Cost { cost });
    }

    #[test]
    fn the_code_says_more_than_the_word() {
        let end = |word: &str, code: u32| {
            let kinds = kinds(&format!("CallUUID=c1&Event=Hangup&CallStatus={word}&HangupCauseCode={code}&Duration=0"));
            let CallEventKind::Status(change) = &kinds[0] else { panic!("{kinds:?}") };
            (change.status, change.refusal)
        };
        assert_eq!(end("busy", 3010), (Some(CallStatus::Busy), None));
        assert_eq!(end("busy", 3020), (Some(CallStatus::Busy), Some(Refusal::Declined)));
        assert_eq!(end("timeout", 6010), (Some(CallStatus::NoAnswer), None));
        assert_eq!(end("no-answer", 3000), (Some(CallStatus::NoAnswer), None));
        assert_eq!(end("timeout", 1000), (Some(CallStatus::Canceled), None));
        assert_eq!(end("failed", 3050), (Some(CallStatus::Failed), Some(Refusal::InvalidNumber)));
        // Over the limit of an Indian account, and of any account's credit.
        assert_eq!(end("failed", 5030), (Some(CallStatus::Failed), None));
        assert_eq!(end("cancel", 1010), (Some(CallStatus::Failed), None));
        // Somebody answered, and the answer URL did not.
        assert_eq!(end("completed", 8011), (Some(CallStatus::Failed), None));
        assert_eq!(end("completed", 4010), (Some(CallStatus::Completed), None));
        assert_eq!(end("levitating", 9999), (None, None));
        // Without a code that says more, the word counts.
        assert_eq!(end("timeout", 0), (Some(CallStatus::NoAnswer), None));
        assert_eq!(end("cancel", 0), (Some(CallStatus::Canceled), None));
    }

    #[test]
    fn requests_for_xml() {
        let asked = kinds("CallUUID=c1&Event=StartApp&CallStatus=in-progress&Direction=outbound&RequestUUID=r1");
        assert_eq!(asked[1], CallEventKind::instruction_wanted(InstructionWanted::Answered));
        let body =
            "CallUUID=c1&Event=StartApp&CallStatus=in-progress&Direction=inbound&From=12025550100&To=13035550100";
        let inbound = kinds(body);
        let CallEventKind::Inbound { from, to } = &inbound[0] else { panic!("{inbound:?}") };
        assert_eq!((from.phone().unwrap().as_e164(), to.phone().unwrap().as_e164()), ("+12025550100", "+13035550100"));
        assert_eq!(inbound[2], CallEventKind::instruction_wanted(InstructionWanted::Inbound));
        let identity = identify(&request(&format!("{body}&AuthID={ACCOUNT}"))).unwrap();
        assert_eq!(identity.account_id.as_deref(), Some(ACCOUNT));
        assert_eq!(identity.called.unwrap().as_e164(), "+13035550100");
        let digits = kinds("CallUUID=c1&Event=Redirect&CallStatus=in-progress&Digits=12");
        assert_eq!(digits[0], CallEventKind::Digits { digits: "12".into(), timed_out: false });
        for more in ["Event=Redirect", "Event=Redirect&Digits=1", "Event=NewThing", "DialStatus=busy"] {
            let wanted = CallEventKind::instruction_wanted(InstructionWanted::Continued);
            let body = format!("CallUUID=c1&CallStatus=in-progress&Direction=inbound&{more}");
            assert_eq!(kinds(&body).pop(), Some(wanted), "{more}");
        }
    }

    #[test]
    fn what_is_due_comes_back_in_the_url() {
        let own: Url = "https://voice.example.test/hook?run=7%2f".parse().unwrap();
        let due = Due::Do(Box::new(telephony_core::CallInstruction::HangUp));
        let url = mark_due(&own, &due).unwrap();
        assert_eq!(unmarked(url.as_str()), "https://voice.example.test/hook?run=7%2F");
        assert_eq!(unmarked(own.as_str()), own.as_str(), "byte for byte, where there is no mark");
        let say = |text: &str| Due::Do(Box::new(telephony_core::CallInstruction::Say(telephony_core::Say::text(text))));
        assert_eq!(mark_due(&own, &say(&"x".repeat(2_048))), None);
        // Nothing but ASCII, once it is decoded too, and nothing lost.
        let greeting = say("Grüß \"Gott\" 👋");
        let url = mark_due(&own, &greeting).unwrap();
        let (_, mark) = url.query_pairs().find(|(name, _)| name == DUE).unwrap();
        assert!(mark.is_ascii(), "{mark}");
        assert_eq!(serde_json::from_str::<Due>(&mark).unwrap(), greeting);

        let mut marks = vec![(DUE.to_owned(), serde_json::to_string(&due).unwrap()), (DUE.to_owned(), "{".to_owned())];
        for expected in [Some(due), None] {
            let request = request("CallUUID=c1&Event=Redirect&CallStatus=in-progress");
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&marks[..1]).finish();
            let request = request.with_url(format!("https://voice.example.test/hook?{query}"));
            let fields = Fields::of(&request);
            let wanted = CallEventKind::InstructionWanted { because: InstructionWanted::Continued, due: expected };
            assert_eq!(request_for_xml(&request, "Redirect", &fields).pop(), Some(wanted));
            marks.remove(0);
        }
    }

    #[test]
    fn other_callbacks() {
        assert_eq!(
            kinds("CallUUID=c1&Event=MachineDetection&Machine=true&CallStatus=in-progress"),
            [CallEventKind::AnsweredBy { who: AnsweredBy::Machine }]
        );
        for body in [
            "CallUUID=c1&RecordUrl=https%3A%2F%2Fa%2F1.mp3&RecordingID=r1&RecordingDuration=9&Event=Record",
            "call_uuid=c1&record_url=https%3A%2F%2Fa%2F1.mp3&recording_id=r1&recording_duration=9",
        ] {
            let kinds = kinds(body);
            let [CallEventKind::Recording(recording)] = &kinds[..] else { panic!("{kinds:?}") };
            assert_eq!((recording.id.as_deref(), recording.duration), (Some("r1"), Some(Duration::from_secs(9))));
        }
        assert_eq!(
            kinds("CallUUID=c1&StreamID=s1&Event=DroppedStream&StatusReason=timeout"),
            [CallEventKind::Stream(StreamEvent::Failed { reason: Some("timeout".into()) })]
        );
        let leg = kinds("CallUUID=c1&DialBLegUUID=c2&DialAction=hangup&DialBLegStatus=hangup&CallStatus=in-progress");
        assert!(matches!(&leg[..], [CallEventKind::OtherLeg(_)]), "{leg:?}");
    }

    #[test]
    fn a_webhook_about_no_call_is_malformed() {
        assert_eq!(read("CallStatus=ringing").unwrap_err().to_string(), "CallUUID: is missing");
        assert_eq!(read("CallUUID=+&CallStatus=ringing").unwrap_err().status(), 400);
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_it_panic(body in ".*") {
            let body = format!("CallUUID=c1&{body}");
            let _ = identify(&request(&body));
            if let Ok(verified) = signature::verify(request(&body), &Secret::new("t"), ACCOUNT) {
                let _ = parse(&verified, Currency::Usd);
            }
        }
    }
}
