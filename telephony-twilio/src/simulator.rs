//! Twilio, simulated: written from its documentation, and sharing nothing with the provider but the media messages.
//!
//! What it plays: the Call, Recording, IncomingPhoneNumber, OutgoingCallerId and Account resources with Twilio's status codes
//! and error bodies, TwiML, signed webhooks, the price that comes late. What it refuses rather than play wrongly: a call made
//! with `Twiml` or `ApplicationSid`, verbs that no [`Step`] stands for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use telephony_core::{
    AnsweredBy, CallId, CallRef, CallStatus, Decimal, Direction, Secret, Timestamp, Url, audio::AudioFormat,
    media::StreamStart, signing, xml::Node,
};
use telephony_sandbox::{
    Ask, Behaviour, CarrierSimulator, EndCause, Exchange, NewCall, Report, SimulatedCall, SimulatedNumber,
    SimulatorDescriptor, Step,
};
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// The simulator of this provider's carrier.
pub static SIMULATOR: SimulatorDescriptor =
    SimulatorDescriptor::new(&crate::DESCRIPTOR, || Box::new(TwilioSimulator::default()));
telephony_sandbox::register_simulator!(SIMULATOR);

const ACCOUNT_SID: &str = "ACa0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5";
const AUTH_TOKEN: &str = "5d0c1b2a3f4e5d6c7b8a9f0e1d2c3b4a";

/// The largest list page when none is asked for.
const PAGE_SIZE: usize = 50;

#[derive(Debug, Default)]
struct TwilioSimulator {
    /// How many ids were made.
    made: u64,
    /// The next `SequenceNumber` of each call.
    sequences: HashMap<String, u64>,
    /// The `statusCallback` of each `<Stream>` read, by its URL.
    stream_callbacks: HashMap<String, String>,
    /// The same by the call, once the stream is opened.
    streams: HashMap<String, String>,
}

type Form = Vec<(String, String)>;
type Answer = Response<Bytes>;

impl CarrierSimulator for TwilioSimulator {
    fn account(&self, api: &Url) -> Value {
        json!({"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "api_base_url": api})
    }

    fn new_call_id(&mut self) -> String {
        self.sid("CA")
    }

    fn rest(&mut self, request: &Request<Bytes>, exchange: &mut Exchange) -> Answer {
        let credentials = signing::base64_encode(format!("{ACCOUNT_SID}:{AUTH_TOKEN}").as_bytes());
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if given != Some(format!("Basic {credentials}").as_str()) {
            return error(StatusCode::UNAUTHORIZED, 20003, "Authenticate");
        }
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        let ["2010-04-01", "Accounts", rest @ ..] = path.as_slice() else { return not_found() };
        if rest == [&format!("{ACCOUNT_SID}.json")] {
            return json_answer(StatusCode::OK, &account_json());
        }
        let [ACCOUNT_SID, resource @ ..] = rest else { return not_found() };
        let form_type = request.headers().get(header::CONTENT_TYPE).is_some_and(|value| {
            value.as_bytes().starts_with(b"application/x-www-form-urlencoded") // charset may follow
        });
        if request.method() == Method::POST && !form_type {
            return error(StatusCode::UNSUPPORTED_MEDIA_TYPE, 20415, "Unsupported media type");
        }
        let form = parse_form(request.body());
        let query = parse_form(request.uri().query().unwrap_or_default().as_bytes());
        match (request.method().as_str(), resource) {
            ("POST", ["Calls.json"]) => self.create_call(&form, exchange),
            ("GET", ["Calls.json"]) => {
                let calls = exchange.calls().iter().map(|call| self.call_json(call)).collect();
                page("Calls.json", "calls", calls, &query)
            }
            ("GET", ["Calls", file]) => match exchange.call(stem(file)) {
                Some(call) => json_answer(StatusCode::OK, &self.call_json(call)),
                None => not_found(),
            },
            ("POST", ["Calls", file]) => self.update_call(stem(file), &form, exchange),
            ("POST", ["Calls", call, "Recordings.json"]) => self.start_recording(call, &form, exchange),
            ("POST", ["Calls", call, "Recordings", file]) => stop_recording(call, stem(file), &form, exchange),
            ("GET", ["IncomingPhoneNumbers.json"]) => {
                let wanted = get(&query, "PhoneNumber").unwrap_or_default();
                let numbers = exchange.numbers().iter().filter(|number| number.number.contains(wanted));
                page("IncomingPhoneNumbers.json", "incoming_phone_numbers", numbers.map(number_json).collect(), &query)
            }
            ("POST", ["IncomingPhoneNumbers", file]) => update_number(stem(file), &form, exchange),
            ("GET", ["OutgoingCallerIds.json"]) => {
                page("OutgoingCallerIds.json", "outgoing_caller_ids", Vec::new(), &query)
            }
            _ => not_found(),
        }
    }

    fn failure(&self, status: StatusCode) -> Answer {
        let (code, message) = match status {
            StatusCode::UNAUTHORIZED => (20003, "Authenticate"),
            StatusCode::FORBIDDEN => (20003, "Permission Denied"),
            StatusCode::NOT_FOUND => return not_found(),
            StatusCode::TOO_MANY_REQUESTS => (20429, "Too Many Requests"),
            _ => (20500, "Internal Server Error"),
        };
        error(status, code, message)
    }

    fn report(&mut self, call: &SimulatedCall, happening: &Report, now: Timestamp) -> Vec<Request<Bytes>> {
        let (event, status) = match happening {
            Report::Initiated => ("initiated", "initiated"),
            Report::Ringing => ("ringing", "ringing"),
            Report::Answered => ("answered", "in-progress"),
            Report::Ended(_) => ("completed", status_word(call.status)),
            Report::AnsweredBy(who) => return self.report_machine(call, *who),
            Report::StreamStarted => return self.report_stream(call, "stream-started", now),
            Report::StreamStopped => return self.report_stream(call, "stream-stopped", now),
            Report::StreamFailed => return self.report_stream(call, "stream-error", now),
            Report::RecordingReady => return self.report_recording(call, now),
            _ => return Vec::new(), // There is no price in any webhook.
        };
        let wanted = call.note("StatusCallbackEvent").unwrap_or("completed");
        let Some(url) = call.note("StatusCallback").filter(|_| wanted.split(' ').any(|one| one == event)) else {
            return Vec::new();
        };
        let mut form = call_fields(call, status);
        let sequence = self.sequences.entry(call.id().to_owned()).or_default();
        form.push(("SequenceNumber".into(), sequence.to_string()));
        *sequence += 1;
        form.push(("Timestamp".into(), rfc2822(now)));
        form.push(("CallbackSource".into(), "call-progress-events".into()));
        if let Report::Ended(cause) = happening {
            let seconds = call.duration().as_secs();
            form.push(("CallDuration".into(), seconds.to_string()));
            if call.status == CallStatus::Completed {
                form.push(("Duration".into(), seconds.div_ceil(60).to_string()));
            }
            form.push(("SipResponseCode".into(), sip_response(*cause).to_string()));
        }
        vec![self.webhook(url, form)]
    }

    fn ask(&mut self, call: &SimulatedCall, why: &Ask, _: Timestamp) -> Option<Request<Bytes>> {
        let status = if call.answered_at.is_some() { "in-progress" } else { "ringing" };
        let mut form = call_fields(call, status);
        let url = match why {
            // A number without a URL cannot be answered: the request goes nowhere, and the call fails.
            Ask::Answered | Ask::Inbound => call.note("Url").unwrap_or_default(),
            Ask::Redirect { url } => url,
            Ask::Digits { callback, digits, .. } => {
                form.push(("Digits".into(), digits.clone()));
                callback
            }
            _ => return None,
        };
        Some(self.webhook(url, form))
    }

    fn read_answer(&mut self, response: &Answer) -> Result<Vec<Step>, String> {
        if !response.status().is_success() {
            return Err(format!("11200: HTTP retrieval failure, status {}", response.status().as_u16()));
        }
        let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !matches!(essence, "text/xml" | "application/xml") {
            return Err(format!("12300: invalid Content-Type {essence:?}"));
        }
        let text = std::str::from_utf8(response.body()).map_err(|_| "12100: document parse failure: not UTF-8")?;
        self.read_twiml(text)
    }

    fn media_headers(&mut self, call: &SimulatedCall, url: &Url, _: Timestamp) -> HeaderMap {
        if let Some(callback) = self.stream_callbacks.get(url.as_str()) {
            self.streams.insert(call.id().to_owned(), callback.clone());
        }
        HeaderMap::from_iter([
            (header::HeaderName::from_static("x-twilio-signature"), header_value(&sign(url.as_str(), &[]))),
            (header::USER_AGENT, HeaderValue::from_static("Twilio.TmeWs/1.0")),
        ])
    }

    fn stream_start(
        &mut self,
        call: &SimulatedCall,
        format: AudioFormat,
        parameters: &BTreeMap<String, String>,
    ) -> StreamStart {
        let reference = CallId::new(call.id()).map_or_else(|_| CallRef::unnamed(), CallRef::new);
        StreamStart::new(reference, format).with_stream_id(self.sid("MZ")).with_parameters(parameters.clone())
    }

    fn other_settings(&self, exchange: &Exchange) -> Value {
        exchange.numbers().iter().map(|number| (number.number.clone(), Value::from(sms_url(number)))).collect()
    }

    fn rate_per_minute(&self) -> Decimal {
        Decimal::new(140, 4)
    }

    fn currency(&self) -> Option<&'static str> {
        Some("USD")
    }
}

impl TwilioSimulator {
    /// An id in Twilio's form: two letters and 32 hexadecimal digits.
    fn sid(&mut self, prefix: &str) -> String {
        self.made += 1;
        let hash = signing::sha256_hex(format!("{prefix} {}", self.made).as_bytes());
        format!("{prefix}{}", &hash[..32])
    }

    fn create_call(&mut self, form: &Form, exchange: &mut Exchange) -> Answer {
        let bad = |code, message: &str| error(StatusCode::BAD_REQUEST, code, message);
        let Some(to) = get(form, "To").filter(|to| !to.is_empty()) else {
            return bad(21201, "No 'To' number is specified");
        };
        let from = get(form, "From").unwrap_or_default();
        let number = to.starts_with('+') && to[1..].bytes().all(|byte| byte.is_ascii_digit());
        let address = number || to.starts_with("sip:") || to.starts_with("sips:") || to.starts_with("client:");
        if !address || exchange.behaviour(to) == Behaviour::Invalid {
            let message = format!("The phone number you are attempting to call, {to}, is not valid.");
            return bad(21211, &message);
        }
        if number && !exchange.numbers().iter().any(|number| number.number == from) {
            let message = format!("The source phone number provided, {from}, is not yet verified for your account.");
            return bad(21210, &message);
        }
        let Some(url) = get(form, "Url").filter(|url| url.parse::<Url>().is_ok()) else {
            return bad(21205, "Url is not a valid URL");
        };
        let seconds = |name| get(form, name).and_then(|text| text.parse().ok()).map(Duration::from_secs);
        if seconds("Timeout").is_some_and(|timeout| timeout > Duration::from_secs(600)) {
            return bad(21220, "Timeout must be at most 600");
        }
        let digits = get(form, "SendDigits");
        let mut notes = BTreeMap::from([("Url".to_owned(), url.to_owned())]);
        for name in ["StatusCallback", "AsyncAmdStatusCallback", "RecordingStatusCallback"] {
            if let Some(value) = get(form, name) {
                notes.insert(name.to_owned(), value.to_owned());
            }
        }
        let events: Vec<&str> =
            form.iter().filter(|(name, _)| name == "StatusCallbackEvent").map(|(_, value)| value.as_str()).collect();
        if !events.is_empty() {
            notes.insert("StatusCallbackEvent".to_owned(), events.join(" "));
        }
        let placed = exchange.place(NewCall {
            id: self.sid("CA"),
            from: from.to_owned(),
            to: to.to_owned(),
            ring_timeout: seconds("Timeout"),
            time_limit: seconds("TimeLimit"),
            // Sending digits switches detection off.
            detect_machine: get(form, "MachineDetection").is_some() && digits.is_none(),
            record: get(form, "Record") == Some("true"),
            digits_on_answer: digits.map(|digits| digits.replace(['w', 'W'], "")),
            notes,
        });
        json_answer(StatusCode::CREATED, &self.call_json(placed))
    }

    fn update_call(&mut self, sid: &str, form: &Form, exchange: &mut Exchange) -> Answer {
        let Some(call) = exchange.call(sid) else { return not_found() };
        let bad = |code, message: &str| error(StatusCode::BAD_REQUEST, code, message);
        if call.status.is_terminal() {
            return bad(21220, "Call is not in-progress. Cannot redirect.");
        }
        let answered = call.answered_at.is_some();
        match (get(form, "Status"), get(form, "Twiml"), get(form, "Url")) {
            (Some("completed"), ..) => {
                exchange.hang_up(sid);
            }
            (Some("canceled"), ..) => {
                if !answered {
                    exchange.hang_up(sid);
                }
            }
            (Some(_), ..) => return bad(20001, "Invalid status"),
            _ if !answered => return bad(21220, "Call is not in-progress. Cannot redirect."),
            (None, Some(twiml), None) if twiml.chars().count() <= 4000 => match self.read_twiml(twiml) {
                Ok(steps) => {
                    exchange.instruct(sid, steps);
                }
                Err(reason) => return bad(12100, &reason),
            },
            (None, None, Some(url)) => {
                exchange.instruct(sid, vec![Step::Redirect { url: url.to_owned() }]);
            }
            _ => return bad(20001, "One of Status, Twiml (at most 4000 characters) and Url is needed"),
        }
        match exchange.call(sid) {
            Some(call) => json_answer(StatusCode::OK, &self.call_json(call)),
            None => not_found(),
        }
    }

    fn start_recording(&mut self, sid: &str, form: &Form, exchange: &mut Exchange) -> Answer {
        let recording = self.sid("RE");
        let Some(call) = exchange.call_mut(sid) else { return not_found() };
        if call.status != CallStatus::InProgress {
            return error(StatusCode::BAD_REQUEST, 21220, "Call is not in-progress.");
        }
        call.request.record = true;
        call.request.notes.insert("RecordingSid".to_owned(), recording.clone());
        if let Some(url) = get(form, "RecordingStatusCallback") {
            call.request.notes.insert("RecordingStatusCallback".to_owned(), url.to_owned());
        }
        json_answer(StatusCode::CREATED, &recording_json(sid, &recording, "in-progress"))
    }

    fn report_machine(&mut self, call: &SimulatedCall, who: AnsweredBy) -> Vec<Request<Bytes>> {
        let Some(url) = call.note("AsyncAmdStatusCallback") else { return Vec::new() };
        let word = match who {
            AnsweredBy::Human => "human",
            AnsweredBy::Machine => "machine_start",
            AnsweredBy::MachineGreetingEnded { beep: true } => "machine_end_beep",
            AnsweredBy::MachineGreetingEnded { beep: false } => "machine_end_silence",
            AnsweredBy::Fax => "fax",
            _ => "unknown",
        };
        let form = form(&[
            ("CallSid", call.id()),
            ("AccountSid", ACCOUNT_SID),
            ("AnsweredBy", word),
            ("MachineDetectionDuration", "2140"),
        ]);
        vec![self.webhook(url, form)]
    }

    fn report_stream(&mut self, call: &SimulatedCall, event: &str, now: Timestamp) -> Vec<Request<Bytes>> {
        let Some(url) = self.streams.get(call.id()).cloned() else { return Vec::new() };
        let when = now.format(&Rfc3339).unwrap_or_default();
        let sid = format!("MZ{}", &signing::sha256_hex(call.id().as_bytes())[..32]);
        let mut form = form(&[
            ("AccountSid", ACCOUNT_SID),
            ("CallSid", call.id()),
            ("StreamSid", &sid),
            ("StreamName", &sid),
            ("StreamEvent", event),
            ("Timestamp", &when),
        ]);
        if event == "stream-error" {
            form.push(("StreamError".into(), "31920: WebSocket handshake error".into()));
        }
        vec![self.webhook(&url, form)]
    }

    fn report_recording(&mut self, call: &SimulatedCall, now: Timestamp) -> Vec<Request<Bytes>> {
        let Some(url) = call.note("RecordingStatusCallback") else { return Vec::new() };
        let own = call.note("RecordingSid").map(str::to_owned);
        let sid = own.unwrap_or_else(|| self.sid("RE"));
        let media = format!("https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT_SID}/Recordings/{sid}");
        let form = form(&[
            ("AccountSid", ACCOUNT_SID),
            ("CallSid", call.id()),
            ("RecordingSid", &sid),
            ("RecordingUrl", &media),
            ("RecordingStatus", "completed"),
            ("RecordingDuration", &call.duration().as_secs().to_string()),
            ("RecordingChannels", "1"),
            ("RecordingStartTime", &rfc2822(call.answered_at.unwrap_or(now))),
            ("RecordingSource", "OutboundAPI"),
            ("RecordingTrack", "both"),
        ]);
        vec![self.webhook(url, form)]
    }

    /// A signed webhook.
    fn webhook(&mut self, url: &str, form: Form) -> Request<Bytes> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.parse().unwrap_or_default();
        let token = self.sid("");
        let headers = request.headers_mut();
        headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded; charset=UTF-8"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("TwilioProxy/1.1"));
        headers.insert("x-twilio-signature", header_value(&sign(url, &form)));
        headers.insert("i-twilio-idempotency-token", header_value(&token));
        request
    }

    fn call_json(&self, call: &SimulatedCall) -> Value {
        let date = |when: Option<Timestamp>| when.map(rfc2822);
        let price =
            (call.rated && call.answered_at.is_some()).then(|| format!("-{:.5}", call.charge(self.rate_per_minute())));
        let duration = call.ended_at.map(|_| call.duration().as_secs().to_string());
        let sid = call.id();
        let uri = format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Calls/{sid}.json");
        json!({
            "sid": sid, "account_sid": ACCOUNT_SID, "parent_call_sid": null, "api_version": "2010-04-01",
            "to": call.request.to, "to_formatted": call.request.to, "from": call.request.from,
            "from_formatted": call.request.from, "phone_number_sid": null,
            // The resource has no `initiated`; that word is for callbacks.
            "status": if call.status == CallStatus::Initiated { "queued" } else { status_word(call.status) },
            "direction": direction(call), "start_time": date(call.answered_at), "end_time": date(call.ended_at),
            "date_created": rfc2822(call.created_at), "date_updated": rfc2822(call.created_at), "duration": duration,
            "price": price, "price_unit": "USD", "answered_by": null, "caller_name": null, "forwarded_from": null,
            "group_sid": null, "trunk_sid": null, "queue_time": "0", "annotation": null, "uri": uri,
            "subresource_uris": {"recordings": format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Calls/{sid}/Recordings.json")},
        })
    }

    fn read_twiml(&mut self, text: &str) -> Result<Vec<Step>, String> {
        let root = Node::parse(text).map_err(|reason| format!("12100: document parse failure: {reason}"))?;
        if root.name != "Response" {
            return Err(format!("12100: the root is {:?}, not \"Response\"", root.name));
        }
        let mut steps = Vec::new();
        for verb in &root.children {
            self.read_verb(verb, &mut steps)?;
        }
        Ok(steps)
    }

    fn read_verb(&mut self, verb: &Node, steps: &mut Vec<Step>) -> Result<(), String> {
        let seconds = |name: &str, default: u64| {
            let text = verb.attributes.get(name);
            text.map_or(Ok(default), |text| text.parse().map_err(|_| format!("12200: {name} is no number")))
                .map(Duration::from_secs)
        };
        let times = verb.attributes.get("loop").map_or(Ok(1_usize), |text| text.parse()).map_err(|_| "12200: loop")?;
        match verb.name.as_str() {
            "Connect" => {
                let stream = verb.children.first().filter(|child| child.name == "Stream");
                let stream = stream.ok_or("12200: <Connect> holds no <Stream>")?;
                steps.push(self.read_stream(stream)?);
            }
            "Say" => steps.extend((0..times).map(|_| Step::Say { text: verb.text.clone() })),
            "Play" => match verb.attributes.get("digits") {
                Some(digits) => steps.push(Step::SendDigits { digits: digits.replace(['w', 'W'], "") }),
                None => steps.extend((0..times).map(|_| Step::Play { url: verb.text.clone() })),
            },
            "Pause" => steps.push(Step::Pause { length: seconds("length", 1)? }),
            "Hangup" => steps.push(Step::HangUp),
            "Reject" => {
                let busy = match verb.attributes.get("reason").map(String::as_str) {
                    Some("busy") => true,
                    None | Some("rejected") => false,
                    Some(_) => return Err("12200: reason must be busy or rejected".to_owned()),
                };
                steps.push(Step::Reject { busy });
            }
            "Redirect" => steps.push(Step::Redirect { url: verb.text.clone() }),
            "Gather" => {
                for prompt in &verb.children {
                    self.read_verb(prompt, steps)?;
                }
                let digits = verb.attributes.get("numDigits").map_or(Ok(usize::MAX), |text| text.parse());
                steps.push(Step::Gather {
                    max_digits: digits.map_err(|_| "12200: numDigits is no number")?,
                    timeout: seconds("timeout", 5)?,
                    finish_on_hash: verb.attributes.get("finishOnKey").is_none_or(|key| key == "#"),
                    callback: verb.attributes.get("action").cloned().unwrap_or_default(),
                });
            }
            "Dial" => {
                let noun = verb.children.first();
                let text = noun.map_or(&verb.text, |noun| &noun.text).clone();
                if noun.is_some_and(|noun| noun.name == "Conference") {
                    steps.push(Step::Conference { name: text });
                } else {
                    steps.push(Step::Dial { to: text, caller_id: verb.attributes.get("callerId").cloned() });
                }
            }
            other => return Err(format!("12200: no verb <{other}> is simulated")),
        }
        Ok(())
    }

    fn read_stream(&mut self, stream: &Node) -> Result<Step, String> {
        let text = stream.attributes.get("url").ok_or("12200: <Stream> has no url")?;
        let url: Url = text.parse().map_err(|_| "31922: the url of <Stream> is none")?;
        // Twilio itself takes wss only; on a loopback address there is no certificate to be had.
        let loopback = url.scheme() == "ws" && url.host_str().is_some_and(|host| host == "127.0.0.1");
        if url.scheme() != "wss" && !loopback {
            return Err("31922: the url of <Stream> must start with wss://".to_owned());
        }
        if url.query().is_some() {
            return Err("31920: the url of <Stream> has a query".to_owned());
        }
        let mut parameters = BTreeMap::new();
        for child in stream.children.iter().filter(|child| child.name == "Parameter") {
            let part = |name: &str| child.attributes.get(name).cloned().unwrap_or_default();
            parameters.insert(part("name"), part("value"));
        }
        if let Some(callback) = stream.attributes.get("statusCallback") {
            self.stream_callbacks.insert(url.to_string(), callback.clone());
        }
        Ok(Step::Stream { url, format: AudioFormat::MULAW_8K, parameters })
    }
}

fn stop_recording(call: &str, recording: &str, form: &Form, exchange: &mut Exchange) -> Answer {
    let Some(call) = exchange.call_mut(call) else { return not_found() };
    let running = call.note("RecordingSid").map(str::to_owned);
    let Some(running) = running.filter(|running| recording == "Twilio.CURRENT" || recording == running) else {
        return not_found();
    };
    if get(form, "Status") != Some("stopped") {
        return error(StatusCode::BAD_REQUEST, 20001, "Only stopping is simulated");
    }
    json_answer(StatusCode::OK, &recording_json(call.id(), &running, "stopped"))
}

fn update_number(sid: &str, form: &Form, exchange: &mut Exchange) -> Answer {
    let Some(number) = exchange.numbers().iter().find(|known| number_sid(&known.number) == sid).cloned() else {
        return not_found();
    };
    let Some(number) = exchange.number_mut(&number.number) else { return not_found() };
    for (field, note) in [("VoiceUrl", "Url"), ("StatusCallback", "StatusCallback"), ("SmsUrl", "SmsUrl")] {
        match get(form, field) {
            None => {}
            Some("") if note != "SmsUrl" => {
                number.notes.remove(note);
            }
            Some(url) => {
                number.notes.insert(note.to_owned(), url.to_owned());
            }
        }
    }
    json_answer(StatusCode::OK, &number_json(number))
}

/// The signature of a webhook to a URL.
fn sign(url: &str, form: &[(String, String)]) -> String {
    let pairs: BTreeSet<_> = form.iter().collect();
    let signed = pairs.iter().fold(url.to_owned(), |text, (name, value)| text + name + value);
    signing::hmac_sha1_base64(&Secret::new(AUTH_TOKEN), signed.as_bytes())
}

fn call_fields(call: &SimulatedCall, status: &str) -> Form {
    let (from, to) = (call.request.from.as_str(), call.request.to.as_str());
    form(&[
        ("AccountSid", ACCOUNT_SID),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", call.id()),
        ("CallStatus", status),
        ("Called", to),
        ("Caller", from),
        ("Direction", direction(call)),
        ("From", from),
        ("FromCity", ""),
        ("To", to),
        ("ToCountry", "US"),
    ])
}

fn direction(call: &SimulatedCall) -> &'static str {
    match call.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound-api",
    }
}

fn status_word(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Queued => "queued",
        CallStatus::Initiated => "initiated",
        CallStatus::Ringing => "ringing",
        CallStatus::InProgress => "in-progress",
        CallStatus::Completed => "completed",
        CallStatus::Busy => "busy",
        CallStatus::NoAnswer => "no-answer",
        CallStatus::Canceled => "canceled",
        CallStatus::Failed => "failed",
    }
}

/// The final response to the INVITE (RFC 3261, part 21).
fn sip_response(cause: EndCause) -> u16 {
    match cause {
        EndCause::Busy | EndCause::Rejected => 486,
        EndCause::Declined => 603,
        EndCause::NoAnswer | EndCause::Canceled => 487,
        EndCause::InvalidNumber => 404,
        _ => 200,
    }
}

fn account_json() -> Value {
    json!({"sid": ACCOUNT_SID, "friendly_name": "Sandbox", "status": "active", "type": "Full", "auth_token": null})
}

fn recording_json(call: &str, sid: &str, status: &str) -> Value {
    json!({"sid": sid, "call_sid": call, "account_sid": ACCOUNT_SID, "status": status, "channels": 1, "duration": "-1",
        "source": "StartCallRecordingAPI", "price": null})
}

/// Where messages to a number go, which is no concern of calls.
fn sms_url(number: &SimulatedNumber) -> &str {
    number.notes.get("SmsUrl").map_or("https://example.com/message", String::as_str)
}

fn number_sid(number: &str) -> String {
    format!("PN{}", &signing::sha256_hex(number.as_bytes())[..32])
}

fn number_json(number: &SimulatedNumber) -> Value {
    let note = |name: &str| number.notes.get(name).cloned().unwrap_or_default();
    json!({
        "sid": number_sid(&number.number), "account_sid": ACCOUNT_SID, "phone_number": number.number,
        "friendly_name": format!("Sandbox {}", number.number), "voice_url": note("Url"), "voice_method": "POST",
        "sms_url": sms_url(number),
        "status_callback": note("StatusCallback"), "voice_application_sid": "", "trunk_sid": null,
        "capabilities": {"voice": true, "sms": true, "mms": true, "fax": false},
    })
}

/// One page of a list, as `Page` and `PageSize` ask for it.
fn page(file: &str, key: &str, items: Vec<Value>, query: &Form) -> Answer {
    let number = |name: &str| get(query, name).and_then(|text| text.parse::<usize>().ok());
    let size = number("PageSize").unwrap_or(PAGE_SIZE).clamp(1, 1000);
    let page = number("Page").unwrap_or(0);
    let start = page * size;
    let more = start + size < items.len();
    let uri = |page: usize| {
        // The rest of the query goes along.
        let mut pairs = url::form_urlencoded::Serializer::new(String::new());
        pairs.extend_pairs(query.iter().filter(|(name, _)| !matches!(name.as_str(), "Page" | "PageSize")));
        pairs.append_pair("PageSize", &size.to_string()).append_pair("Page", &page.to_string());
        format!("/2010-04-01/Accounts/{ACCOUNT_SID}/{file}?{}", pairs.finish())
    };
    let items: Vec<Value> = items.into_iter().skip(start).take(size).collect();
    let mut body = json!({
        "page": page, "page_size": size, "start": start, "end": start + items.len().saturating_sub(1),
        "first_page_uri": uri(0), "uri": uri(page), "next_page_uri": more.then(|| uri(page + 1)),
        "previous_page_uri": (page > 0).then(|| uri(page - 1)),
    });
    body[key] = items.into();
    json_answer(StatusCode::OK, &body)
}

fn not_found() -> Answer {
    error(StatusCode::NOT_FOUND, 20404, "The requested resource was not found")
}

fn error(status: StatusCode, code: u32, message: &str) -> Answer {
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    json_answer(status, &json!({"code": code, "message": message, "more_info": more_info, "status": status.as_u16()}))
}

fn json_answer(status: StatusCode, body: &Value) -> Answer {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json;charset=utf-8"));
    response
}

fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn rfc2822(when: Timestamp) -> String {
    when.format(&Rfc2822).unwrap_or_default()
}

fn parse_form(body: &[u8]) -> Form {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn form(fields: &[(&str, &str)]) -> Form {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn get<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// A file's name without `.json`.
fn stem(file: &str) -> &str {
    file.strip_suffix(".json").unwrap_or(file)
}
