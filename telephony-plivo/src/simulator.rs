//! Plivo, simulated: written from its documentation, and sharing nothing with the provider but the media messages.
//!
//! What it plays: the Call, Request, Number, Application and Account resources with Plivo's status codes, bodies and error
//! bodies, as the official libraries for Python (4.63.0) and Node.js (4.79.0) read them; Plivo XML, webhooks signed with version
//! 3, the price that comes late. A call's own id differs from its request's, which is the harder of the two cases. What it
//! refuses rather than play wrongly: calls to several at once, hanging up on machines, webhooks by GET, more than one
//! application, speech, files and streams by request, elements that no [`Step`] stands for.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use telephony_core::{
    AnsweredBy, CallId, CallRef, CallStatus, Decimal, Direction, Secret, Timestamp, Url, audio::AudioFormat,
    media::StreamStart, signing, xml::Node,
};
use telephony_sandbox::{
    Ask, CarrierSimulator, EndCause, Exchange, NewCall, Report, SimulatedCall, SimulatedNumber, SimulatorDescriptor,
    Step,
};
use time::macros::format_description;
use uuid::Uuid;

/// The simulator of this provider's carrier.
pub static SIMULATOR: SimulatorDescriptor =
    SimulatorDescriptor::new(&crate::DESCRIPTOR, || Box::new(PlivoSimulator::default()));
telephony_sandbox::register_simulator!(SIMULATOR);

const AUTH_ID: &str = "MASANDBOX00000000000";
const AUTH_TOKEN: &str = "c2FuZGJveCBhdXRoIHRva2Vu";
const APPLICATION_ID: &str = "20372631212782780";

/// The largest page.
const PAGE_SIZE: usize = 20;

#[derive(Debug, Default)]
struct PlivoSimulator {
    /// How many nonces were made.
    nonces: u64,
    /// The URLs of the one application.
    answer_url: String,
    hangup_url: String,
    /// Where the document goes on when nothing was pressed, by the action of its `GetDigits`.
    without_digits: HashMap<String, String>,
    /// The `statusCallbackUrl` of each `Stream` read, by its URL.
    stream_callbacks: HashMap<String, String>,
    /// The same by the call, once the stream is opened.
    streams: HashMap<String, String>,
    /// The id of a call's stream.
    stream_ids: HashMap<String, String>,
    /// Why each call ended.
    ends: HashMap<String, EndCause>,
}

type Form = Vec<(&'static str, String)>;
type Answer = Response<Bytes>;

impl CarrierSimulator for PlivoSimulator {
    fn account(&self, api: &Url) -> Value {
        json!({
            "auth_id": AUTH_ID, "auth_token": AUTH_TOKEN, "application_id": APPLICATION_ID, "api_base_url": api,
        })
    }

    fn new_call_id(&mut self) -> String {
        Uuid::new_v4().to_string()
    }

    fn rest(&mut self, request: &Request<Bytes>, exchange: &mut Exchange) -> Answer {
        let credentials = signing::base64_encode(format!("{AUTH_ID}:{AUTH_TOKEN}").as_bytes());
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if given != Some(format!("Basic {credentials}").as_str()) {
            return self.failure(StatusCode::UNAUTHORIZED);
        }
        // Without the slash at its end, a body is lost. To read, the library for Node.js leaves it out here, and doubles it there.
        let path = request.uri().path();
        if !path.ends_with('/') && request.method() != Method::GET {
            return not_found();
        }
        let path = path.trim_end_matches('/');
        let path: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let ["v1", "Account", AUTH_ID, resource @ ..] = path.as_slice() else { return not_found() };
        let query = parse_form(request.uri().query().unwrap_or_default().as_bytes());
        let body = match request.body().as_ref() {
            [] => Value::Null,
            body => match serde_json::from_slice(body) {
                Ok(body) => body,
                Err(_) => return error(StatusCode::BAD_REQUEST, "the body is no JSON"),
            },
        };
        let elsewhere = body.as_object().into_iter().flatten().find(|(name, method)| {
            name.ends_with("_method") && !method.as_str().is_some_and(|method| method.eq_ignore_ascii_case("POST"))
        });
        if let Some((name, _)) = elsewhere {
            return not_simulated(&format!("{name} other than POST"));
        }
        match (request.method().as_str(), resource) {
            ("GET", []) => answer(StatusCode::OK, &account_json()),
            ("POST", ["Call"]) => create_call(&body, exchange),
            ("GET", ["Call"]) => self.list_calls(&query, exchange),
            ("GET", ["Call", uuid]) => match exchange.call(uuid).map(|call| (call, place_of(call))) {
                Some((call, place)) if get(&query, "status").unwrap_or("over") == place => {
                    answer(StatusCode::OK, &if place == "over" { self.record_json(call) } else { live_json(call) })
                }
                _ => not_found(),
            },
            ("DELETE", ["Call", uuid]) if exchange.hang_up(uuid) => empty(),
            ("DELETE", ["Request", uuid]) => cancel(uuid, exchange),
            ("POST", ["Call", uuid]) => transfer(uuid, &body, exchange),
            ("POST", ["Call", uuid, "DTMF"]) => send_digits(uuid, &body, exchange),
            ("POST", ["Call", uuid, "Record"]) => start_recording(uuid, &body, exchange),
            ("DELETE", ["Call", uuid, "Record"]) => match exchange.call(uuid) {
                Some(call) if call.request.record && call.ended_at.is_none() => empty(),
                _ => not_found(),
            },
            (_, ["Call", _, "Speak" | "Play" | "Stream", ..]) => not_simulated("speech, files and streams by request"),
            ("GET", ["Number"]) => list_numbers(&query, exchange),
            ("GET", ["Number", digits]) => match exchange.numbers().iter().find(|known| is_number(known, digits)) {
                Some(number) => answer(StatusCode::OK, &number_json(number)),
                None => not_found(),
            },
            ("POST", ["Number", digits]) => link_number(digits, &body, exchange),
            ("GET", ["Application"]) => paged("Application", &query, vec![self.application_json()]),
            ("POST", ["Application"]) => not_simulated("more than one application"),
            ("GET", ["Application", APPLICATION_ID]) => answer(StatusCode::OK, &self.application_json()),
            ("POST", ["Application", APPLICATION_ID]) => self.update_application(&body),
            _ => not_found(),
        }
    }

    fn failure(&self, status: StatusCode) -> Answer {
        match status {
            StatusCode::UNAUTHORIZED => {
                // Not even JSON.
                let text = "Could not verify your access level for that URL. You have to login with proper credentials";
                let mut response = Response::new(Bytes::from_static(text.as_bytes()));
                *response.status_mut() = status;
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
                response
            }
            StatusCode::NOT_FOUND => not_found(),
            StatusCode::TOO_MANY_REQUESTS => error(status, "rate limit exceeded"),
            _ => error(status, status.canonical_reason().unwrap_or_default()),
        }
    }

    fn report(&mut self, call: &SimulatedCall, happening: &Report, now: Timestamp) -> Vec<Request<Bytes>> {
        if let Report::Ended(cause) = happening {
            self.ends.insert(call.id().to_owned(), *cause);
        }
        let (url, event) = match happening {
            Report::Ringing => (call.note("ring_url"), "Ring"),
            Report::Ended(_) if call.direction == Direction::Inbound => (Some(self.hangup_url.as_str()), "Hangup"),
            Report::Ended(_) => (call.note("hangup_url"), "Hangup"),
            // Of a person nothing is said.
            Report::AnsweredBy(AnsweredBy::Human) => return Vec::new(),
            Report::AnsweredBy(_) => (call.note("machine_detection_url"), "MachineDetection"),
            Report::StreamStarted => return self.report_stream(call, "StartStream", now),
            Report::StreamStopped => return self.report_stream(call, "StopStream", now),
            Report::StreamFailed => return self.report_stream(call, "DroppedStream", now),
            Report::RecordingReady => return self.report_recording(call),
            _ => return Vec::new(),
        };
        let Some(url) = url.filter(|url| !url.is_empty()).map(str::to_owned) else { return Vec::new() };
        let mut form = call_fields(call, event);
        match happening {
            Report::Ended(cause) => form.extend(end_fields(call, *cause, self.rate_per_minute())),
            Report::AnsweredBy(_) => form.push(("Machine", "true".to_owned())),
            _ => {}
        }
        vec![self.webhook(&url, &form)]
    }

    fn ask(&mut self, call: &SimulatedCall, why: &Ask, _: Timestamp) -> Option<Request<Bytes>> {
        let mut form =
            call_fields(call, if matches!(why, Ask::Answered | Ask::Inbound) { "StartApp" } else { "Redirect" });
        let url = match why {
            Ask::Answered => call.note("answer_url").unwrap_or_default().to_owned(),
            // A number without an application cannot be answered: the request goes nowhere, and the call fails.
            Ask::Inbound if call.note("app_id") == Some(APPLICATION_ID) => self.answer_url.clone(),
            Ask::Inbound => String::new(),
            Ask::Redirect { url } => url.clone(),
            // The action is for digits. Without any, the document goes on.
            Ask::Digits { callback, digits, .. } if digits.is_empty() => {
                self.without_digits.get(callback).cloned().unwrap_or_default()
            }
            Ask::Digits { callback, digits, .. } => {
                form.push(("Digits", digits.clone()));
                callback.clone()
            }
            _ => return None,
        };
        Some(self.webhook(&url, &form))
    }

    fn read_answer(&mut self, response: &Answer) -> Result<Vec<Step>, String> {
        if !response.status().is_success() {
            return Err(format!("7011: the answer URL failed with status {}", response.status().as_u16()));
        }
        let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !matches!(essence, "text/xml" | "application/xml") {
            return Err(format!("8011: invalid answer XML: the Content-Type is {essence:?}"));
        }
        let text = std::str::from_utf8(response.body()).map_err(|_| "8011: invalid answer XML: it is not UTF-8")?;
        let root = Node::parse(text).map_err(|reason| format!("8011: invalid answer XML: {reason}"))?;
        if root.name != "Response" {
            return Err(format!("8011: invalid answer XML: the root is {:?}, not \"Response\"", root.name));
        }
        let mut steps = Vec::new();
        let mut elements = root.children.iter().peekable();
        while let Some(element) = elements.next() {
            // What to ask when nothing was pressed is a part of gathering here.
            let otherwise = elements.next_if(|next| element.name == "GetDigits" && next.name == "Redirect");
            self.read_element(element, otherwise, &mut steps)
                .map_err(|reason| format!("8011: invalid answer XML: {reason}"))?;
        }
        Ok(steps)
    }

    fn media_headers(&mut self, call: &SimulatedCall, url: &Url, _: Timestamp) -> HeaderMap {
        if let Some(callback) = self.stream_callbacks.get(url.as_str()) {
            self.streams.insert(call.id().to_owned(), callback.clone());
        }
        let nonce = self.nonce();
        signature_headers(url.as_str(), &[], &nonce)
    }

    fn stream_start(
        &mut self,
        call: &SimulatedCall,
        format: AudioFormat,
        parameters: &BTreeMap<String, String>,
    ) -> StreamStart {
        let reference = CallId::new(call.id()).map_or_else(|_| CallRef::unnamed(), CallRef::new);
        let stream = Uuid::new_v4().to_string();
        self.stream_ids.insert(call.id().to_owned(), stream.clone());
        StreamStart::new(reference, format).with_stream_id(stream).with_parameters(parameters.clone())
    }

    fn rate_per_minute(&self) -> Decimal {
        Decimal::new(110, 4)
    }

    fn currency(&self) -> Option<&'static str> {
        Some("USD")
    }
}

impl PlivoSimulator {
    fn nonce(&mut self) -> String {
        self.nonces += 1;
        format!("{:020}", 27_644_437 * self.nonces)
    }

    /// A signed webhook.
    fn webhook(&mut self, url: &str, form: &Form) -> Request<Bytes> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let nonce = self.nonce();
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("Plivo"));
        headers.extend(signature_headers(url, form, &nonce));
        request
    }

    fn update_application(&mut self, body: &Value) -> Answer {
        for (name, own) in [("answer_url", &mut self.answer_url), ("hangup_url", &mut self.hangup_url)] {
            if let Some(url) = text(body, name) {
                url.clone_into(own);
            }
        }
        answer(StatusCode::ACCEPTED, &json!({"api_id": Uuid::new_v4(), "message": "changed"}))
    }

    fn application_json(&self) -> Value {
        json!({
            "answer_method": "POST", "answer_url": self.answer_url, "api_id": Uuid::new_v4(), "app_id": APPLICATION_ID,
            "app_name": "Sandbox", "default_app": false, "default_endpoint_app": false, "enabled": true,
            "fallback_answer_url": "", "fallback_method": "POST", "hangup_method": "POST",
            "hangup_url": self.hangup_url, "message_method": "POST", "message_url": "", "public_uri": false,
            "resource_uri": format!("/v1/Account/{AUTH_ID}/Application/{APPLICATION_ID}/"),
            "sip_uri": format!("sip:{APPLICATION_ID}@app.plivo.com"), "sub_account": null,
        })
    }

    /// The names of the calls that are up or wait to be dialled, or the records of those that are over, the newest first.
    fn list_calls(&self, query: &[(String, String)], exchange: &Exchange) -> Answer {
        let asked = get(query, "status");
        let calls = exchange.calls().iter().rev().filter(|call| place_of(call) == asked.unwrap_or("over"));
        if asked.is_some() {
            let names: Vec<&str> = calls.map(SimulatedCall::id).collect();
            return answer(StatusCode::OK, &json!({"api_id": Uuid::new_v4(), "calls": names}));
        }
        let wanted = |record: &Value| {
            let is = |name: &str, filter: &str| record[name].as_str().is_some_and(|text| text.starts_with(filter));
            ["call_direction", "from_number", "to_number"]
                .iter()
                .all(|name| get(query, name).is_none_or(|filter| is(name, filter)))
                && get(query, "hangup_cause_code")
                    .is_none_or(|code| record["hangup_cause_code"].as_u64() == code.parse::<u64>().ok())
        };
        paged("Call", query, calls.map(|call| self.record_json(call)).filter(wanted).collect())
    }

    fn record_json(&self, call: &SimulatedCall) -> Value {
        let rate = self.rate_per_minute();
        let seconds = call.duration().as_secs();
        let cause = self.ends.get(call.id()).copied().unwrap_or(EndCause::HandsetHungUp);
        let (code, name, source) = hang_up_cause(cause, call.answered_at.is_some());
        let total = if call.rated { format!("{:.5}", call.charge(rate)) } else { "0.00000".to_owned() };
        json!({
            "api_id": Uuid::new_v4(), "call_uuid": call.id(), "parent_call_uuid": null,
            "call_direction": direction(call), "call_state": if call.answered_at.is_some() { "ANSWER" } else { "HANGUP" },
            "from_number": call.request.from, "to_number": call.request.to.trim_start_matches('+'),
            "answer_time": call.answered_at.map(moment), "initiation_time": moment(call.created_at),
            "end_time": call.ended_at.map(moment), "call_duration": seconds, "bill_duration": seconds,
            "billed_duration": seconds.div_ceil(60) * 60, "total_amount": total, "total_rate": format!("{rate:.5}"),
            "hangup_cause_code": code, "hangup_cause_name": name, "hangup_source": source,
            "stir_verification": "Not applicable", "resource_uri": format!("/v1/Account/{AUTH_ID}/Call/{}/", call.id()),
        })
    }

    fn report_stream(&mut self, call: &SimulatedCall, event: &str, now: Timestamp) -> Vec<Request<Bytes>> {
        let Some(url) = self.streams.get(call.id()).cloned() else { return Vec::new() };
        let mut form = call_fields(call, event);
        form.push(("StreamID", self.stream_ids.get(call.id()).cloned().unwrap_or_default()));
        form.push(("Timestamp", now.unix_timestamp().to_string()));
        vec![self.webhook(&url, &form)]
    }

    fn report_recording(&mut self, call: &SimulatedCall) -> Vec<Request<Bytes>> {
        let Some(url) = call.note("recording_callback_url").map(str::to_owned) else { return Vec::new() };
        let id = call.note("recording_id").unwrap_or_default().to_owned();
        let form = vec![
            ("call_uuid", call.id().to_owned()),
            ("record_url", format!("https://media.plivo.com/v1/Account/{AUTH_ID}/Recording/{id}.wav")),
            ("recording_id", id),
            ("recording_duration", call.duration().as_secs().to_string()),
        ];
        vec![self.webhook(&url, &form)]
    }

    fn read_element(&mut self, element: &Node, otherwise: Option<&Node>, steps: &mut Vec<Step>) -> Result<(), String> {
        let attribute = |name: &str| element.attributes.get(name).map(String::as_str);
        let seconds = |name: &str, default: u64| {
            let number = attribute(name).map_or(Ok(default), str::parse);
            number.map(Duration::from_secs).map_err(|_| format!("{name} is no number"))
        };
        let times = attribute("loop").map_or(Ok(1_usize), str::parse).map_err(|_| "loop is no number")?;
        match element.name.as_str() {
            "Stream" => steps.push(self.read_stream(element)?),
            "Speak" => steps.extend((0..times).map(|_| Step::Say { text: element.text.clone() })),
            "Play" => steps.extend((0..times).map(|_| Step::Play { url: element.text.clone() })),
            "DTMF" => steps.push(Step::SendDigits { digits: element.text.replace(['w', 'W'], "") }),
            "Wait" => steps.push(Step::Pause { length: seconds("length", 1)? }),
            "Redirect" => steps.push(Step::Redirect { url: element.text.clone() }),
            "Hangup" => match attribute("reason") {
                None => steps.push(Step::HangUp),
                Some("busy") => steps.push(Step::Reject { busy: true }),
                Some("rejected") => steps.push(Step::Reject { busy: false }),
                Some(_) => return Err("the reason of Hangup is busy or rejected".to_owned()),
            },
            "GetDigits" => {
                for prompt in &element.children {
                    self.read_element(prompt, None, steps)?;
                }
                let callback = attribute("action").unwrap_or_default().to_owned();
                if let Some(redirect) = otherwise {
                    self.without_digits.insert(callback.clone(), redirect.text.clone());
                }
                let digits = attribute("numDigits").map_or(Ok(99), str::parse);
                steps.push(Step::Gather {
                    max_digits: digits.map_err(|_| "numDigits is no number")?,
                    timeout: seconds("timeout", 5)?,
                    finish_on_hash: attribute("finishOnKey").is_none_or(|key| key == "#"),
                    callback,
                });
            }
            "Dial" => {
                let party = element.children.first().filter(|party| matches!(party.name.as_str(), "Number" | "User"));
                let to = party.ok_or("Dial holds neither a Number nor a User")?.text.clone();
                steps.push(Step::Dial { to, caller_id: attribute("callerId").map(str::to_owned) });
            }
            "Conference" => steps.push(Step::Conference { name: element.text.clone() }),
            other => return Err(format!("{other} is no element that is simulated")),
        }
        Ok(())
    }

    fn read_stream(&mut self, stream: &Node) -> Result<Step, String> {
        let attribute = |name: &str| stream.attributes.get(name).map(String::as_str);
        for needed in ["bidirectional", "keepCallAlive"] {
            if attribute(needed) != Some("true") {
                return Err(format!("without {needed} the call ends at once, or hears nothing"));
            }
        }
        let url: Url = stream.text.parse().map_err(|_| "Stream holds no URL")?;
        if !matches!(url.scheme(), "wss" | "ws") {
            return Err("the URL of Stream starts with wss://".to_owned());
        }
        let format = match attribute("contentType") {
            Some("audio/x-mulaw;rate=8000") => AudioFormat::MULAW_8K,
            None | Some("audio/x-l16;rate=8000") => AudioFormat::LINEAR16_8K,
            Some("audio/x-l16;rate=16000") => AudioFormat::LINEAR16_16K,
            Some(other) => return Err(format!("{other} is no contentType of Stream")),
        };
        if let Some(callback) = attribute("statusCallbackUrl") {
            self.stream_callbacks.insert(url.to_string(), callback.to_owned());
        }
        // The stream's start repeats them as they are; the media messages escape what is unescaped here.
        let headers = attribute("extraHeaders").unwrap_or_default().replace(',', "&");
        let parameters = url::form_urlencoded::parse(headers.as_bytes()).into_owned().collect();
        Ok(Step::Stream { url, format, parameters })
    }
}

fn create_call(body: &Value, exchange: &mut Exchange) -> Answer {
    let bad = |message: &str| error(StatusCode::BAD_REQUEST, message);
    let (Some(to), Some(from)) = (text(body, "to"), text(body, "from")) else {
        return bad("mandatory parameter missing: to and from");
    };
    let Some(url) = text(body, "answer_url").filter(|url| url.parse::<Url>().is_ok()) else {
        return bad("answer_url parameter not present or no URL");
    };
    if to.contains('<') {
        return not_simulated("calls to several");
    }
    if text(body, "machine_detection") == Some("hangup") {
        return not_simulated("hanging up on machines");
    }
    let digits = to.trim_start_matches('+');
    let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !number && !to.starts_with("sip:") {
        return bad("to parameter is no number and no SIP address");
    }
    let own =
        exchange.numbers().iter().any(|known| known.number.trim_start_matches('+') == from.trim_start_matches('+'));
    if number && !own {
        return bad("from parameter is no number of the account");
    }
    let seconds = |name: &str| body[name].as_u64().map(Duration::from_secs);
    let request = Uuid::new_v4().to_string();
    let mut notes =
        BTreeMap::from([("request_uuid".to_owned(), request.clone()), ("answer_url".to_owned(), url.to_owned())]);
    for name in ["ring_url", "hangup_url", "machine_detection_url", "caller_name"] {
        if let Some(value) = text(body, name) {
            notes.insert(name.to_owned(), value.to_owned());
        }
    }
    exchange.place(NewCall {
        id: Uuid::new_v4().to_string(),
        from: from.to_owned(),
        to: if number { format!("+{digits}") } else { to.to_owned() },
        ring_timeout: seconds("ring_timeout"),
        time_limit: seconds("time_limit"),
        detect_machine: text(body, "machine_detection") == Some("true"),
        record: false,
        digits_on_answer: text(body, "send_digits").map(|digits| digits.replace(['w', 'W'], "")),
        notes,
    });
    let accepted = json!({"api_id": Uuid::new_v4(), "message": "call fired", "request_uuid": request});
    answer(StatusCode::CREATED, &accepted)
}

/// Takes a call back that was not dialled. After that its request is forgotten.
fn cancel(request: &str, exchange: &mut Exchange) -> Answer {
    let waiting = exchange.calls().iter().find(|call| call.note("request_uuid") == Some(request));
    let waiting = waiting.filter(|call| call.status == CallStatus::Queued).map(|call| call.id().to_owned());
    match waiting {
        Some(id) if exchange.hang_up(&id) => empty(),
        _ => not_found(),
    }
}

fn transfer(uuid: &str, body: &Value, exchange: &mut Exchange) -> Answer {
    let Some(call) = exchange.call(uuid).filter(|call| call.status == CallStatus::InProgress) else {
        return not_found();
    };
    let id = call.id().to_owned();
    let (Some("aleg"), Some(url)) = (text(body, "legs"), text(body, "aleg_url")) else {
        return error(StatusCode::BAD_REQUEST, "legs and aleg_url are needed");
    };
    exchange.instruct(&id, vec![Step::Redirect { url: url.to_owned() }]);
    answer(StatusCode::ACCEPTED, &json!({"api_id": Uuid::new_v4(), "message": "call transfered"}))
}

fn send_digits(uuid: &str, body: &Value, exchange: &mut Exchange) -> Answer {
    let Some(digits) = text(body, "digits") else {
        return error(StatusCode::BAD_REQUEST, "digits parameter not present");
    };
    if exchange.send_digits(uuid, digits.replace(['w', 'W'], "")) {
        answer(StatusCode::ACCEPTED, &json!({"api_id": Uuid::new_v4(), "message": "digits sent"}))
    } else {
        not_found()
    }
}

fn start_recording(uuid: &str, body: &Value, exchange: &mut Exchange) -> Answer {
    let Some(call) = exchange.call_mut(uuid).filter(|call| call.status == CallStatus::InProgress) else {
        return not_found();
    };
    let id = Uuid::new_v4().to_string();
    call.request.record = true;
    call.request.notes.insert("recording_id".to_owned(), id.clone());
    if let Some(url) = text(body, "callback_url") {
        call.request.notes.insert("recording_callback_url".to_owned(), url.to_owned());
    }
    let url = format!("https://media.plivo.com/v1/Account/{AUTH_ID}/Recording/{id}.wav");
    let body = json!({
        "api_id": Uuid::new_v4(), "message": "call recording started", "recording_id": id, "url": url,
    });
    answer(StatusCode::ACCEPTED, &body)
}

fn list_numbers(query: &[(String, String)], exchange: &Exchange) -> Answer {
    let start = get(query, "number_startswith").unwrap_or_default();
    let numbers = exchange.numbers().iter().filter(|known| known.number.trim_start_matches('+').starts_with(start));
    paged("Number", query, numbers.map(number_json).collect())
}

/// A page of a list, and where the next one is.
fn paged(resource: &str, query: &[(String, String)], all: Vec<Value>) -> Answer {
    let number = |name: &str| get(query, name).and_then(|text| text.parse::<usize>().ok());
    let limit = number("limit").unwrap_or(PAGE_SIZE);
    if limit > PAGE_SIZE {
        return error(StatusCode::BAD_REQUEST, "limit should not be greater than 20");
    }
    let (offset, total) = (number("offset").unwrap_or(0), all.len());
    let at = |offset: usize| format!("/v1/Account/{AUTH_ID}/{resource}/?limit={limit}&offset={offset}");
    let next = (offset + limit < total).then(|| at(offset + limit));
    let previous = (offset > 0).then(|| at(offset.saturating_sub(limit)));
    let objects: Vec<Value> = all.into_iter().skip(offset).take(limit).collect();
    let meta = json!({"limit": limit, "offset": offset, "next": next, "previous": previous, "total_count": total});
    answer(StatusCode::OK, &json!({"api_id": Uuid::new_v4(), "meta": meta, "objects": objects}))
}

fn is_number(known: &SimulatedNumber, digits: &str) -> bool {
    known.number.trim_start_matches('+') == digits.trim_start_matches('+')
}

fn link_number(digits: &str, body: &Value, exchange: &mut Exchange) -> Answer {
    let Some(number) = exchange.number_mut(&format!("+{digits}")) else { return not_found() };
    if let Some(alias) = text(body, "alias") {
        number.notes.insert("alias".to_owned(), alias.to_owned());
    }
    match body.get("app_id") {
        // Something else of the number is changed.
        None => {}
        Some(Value::String(id)) if id == APPLICATION_ID => {
            number.notes.insert("app_id".to_owned(), APPLICATION_ID.to_owned());
        }
        Some(Value::Null) => {
            number.notes.remove("app_id");
        }
        Some(_) => return not_found(),
    }
    answer(StatusCode::ACCEPTED, &json!({"api_id": Uuid::new_v4(), "message": "changed"}))
}

/// The headers that sign a request to a URL with version 3.
fn signature_headers(url: &str, form: &[(&'static str, String)], nonce: &str) -> HeaderMap {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let mut query: Vec<(String, String)> = parse_form(query.as_bytes());
    query.sort();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut fields: Vec<_> = form.iter().collect();
    fields.sort();
    let fields: String = fields.into_iter().map(|(name, value)| format!("{name}{value}")).collect();
    let mut signed = path.to_owned();
    if !query.is_empty() || !fields.is_empty() {
        signed.push('?');
    }
    signed.push_str(&query.join("&"));
    if !query.is_empty() && !fields.is_empty() {
        signed.push('.');
    }
    let signed = format!("{signed}{fields}.{nonce}");
    let signature = header_value(&signing::hmac_sha256_base64(&Secret::new(AUTH_TOKEN), signed.as_bytes()));
    HeaderMap::from_iter([
        (HeaderName::from_static("x-plivo-signature-v3"), signature.clone()),
        (HeaderName::from_static("x-plivo-signature-ma-v3"), signature),
        (HeaderName::from_static("x-plivo-signature-v3-nonce"), header_value(nonce)),
    ])
}

fn call_fields(call: &SimulatedCall, event: &str) -> Form {
    let digits = |party: &str| party.trim_start_matches('+').to_owned();
    let mut form = vec![
        ("CallUUID", call.id().to_owned()),
        ("From", digits(&call.request.from)),
        ("To", digits(&call.request.to)),
        ("Direction", direction(call).to_owned()),
        ("CallStatus", status_word(call).to_owned()),
        ("Event", event.to_owned()),
        ("ParentAuthID", AUTH_ID.to_owned()),
        ("BillRate", "0.01100".to_owned()),
        ("SessionStart", instant(call.created_at)),
    ];
    if let Some(request) = call.note("request_uuid") {
        form.push(("RequestUUID", request.to_owned()));
        form.push(("ALegUUID", call.id().to_owned()));
        form.push(("ALegRequestUUID", request.to_owned()));
    }
    form
}

fn end_fields(call: &SimulatedCall, cause: EndCause, rate: Decimal) -> Form {
    let (code, name, source) = hang_up_cause(cause, call.answered_at.is_some());
    let seconds = call.duration().as_secs();
    let zoneless = |when: Option<Timestamp>| when.map(moment).unwrap_or_default().replace("+00:00", "");
    let cause = match code {
        3000 => "NO_ANSWER",
        3010 => "USER_BUSY",
        3020 => "CALL_REJECTED",
        3050 => "UNALLOCATED_NUMBER",
        1000 => "ORIGINATOR_CANCEL",
        _ => "NORMAL_CLEARING",
    };
    vec![
        ("HangupCause", cause.to_owned()),
        ("HangupCauseName", name.to_owned()),
        ("HangupCauseCode", code.to_string()),
        ("HangupSource", source.to_owned()),
        ("Duration", seconds.to_string()),
        ("BillDuration", (seconds.div_ceil(60) * 60).to_string()),
        ("TotalCost", format!("{:.5}", call.charge(rate))),
        ("StartTime", zoneless(Some(call.created_at))),
        ("AnswerTime", zoneless(call.answered_at)),
        ("EndTime", zoneless(call.ended_at)),
    ]
}

/// Code, name and source of the end of a call.
fn hang_up_cause(cause: EndCause, answered: bool) -> (u32, &'static str, &'static str) {
    match cause {
        EndCause::Busy => (3010, "Busy Line", "Carrier"),
        EndCause::Rejected => (3020, "Rejected", "Answer XML"),
        EndCause::Declined => (3020, "Rejected", "Callee"),
        EndCause::NoAnswer => (3000, "No Answer", "Carrier"),
        EndCause::InvalidNumber => (3050, "Unallocated number", "Carrier"),
        EndCause::Canceled => (1000, "Canceled", "API Request"),
        EndCause::TimeLimit => (6000, "Scheduled Hangup", "Plivo"),
        EndCause::DocumentFailed => (7011, "Error Reaching Answer URL", "Error"),
        EndCause::Application if answered => (4010, "End Of XML Instructions", "Plivo"),
        _ => (4000, "Normal Hangup", "Callee"),
    }
}

fn direction(call: &SimulatedCall) -> &'static str {
    match call.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

/// Where a call is found: among those that wait to be dialled, those that are up, or the records.
fn place_of(call: &SimulatedCall) -> &'static str {
    match call.status {
        _ if call.ended_at.is_some() => "over",
        CallStatus::Queued => "queued",
        _ => "live",
    }
}

fn status_word(call: &SimulatedCall) -> &'static str {
    match call.status {
        CallStatus::Queued | CallStatus::Initiated | CallStatus::Ringing => "ringing",
        CallStatus::InProgress => "in-progress",
        CallStatus::Completed => "completed",
        CallStatus::Busy => "busy",
        CallStatus::NoAnswer => "no-answer",
        CallStatus::Canceled => "cancel",
        CallStatus::Failed => "failed",
    }
}

fn account_json() -> Value {
    json!({
        "api_id": Uuid::new_v4(), "auth_id": AUTH_ID, "name": "Sandbox", "cash_credits": "48.12000",
        "account_type": "standard", "address": "", "billing_mode": "prepaid", "auto_recharge": false, "city": "",
        "resource_uri": format!("/v1/Account/{AUTH_ID}/"), "state": "", "timezone": "Europe/London",
    })
}

fn live_json(call: &SimulatedCall) -> Value {
    json!({
        "api_id": Uuid::new_v4(), "call_uuid": call.id(), "request_uuid": call.note("request_uuid"),
        "call_status": if place_of(call) == "queued" { "queued" } else { status_word(call) },
        "direction": direction(call), "from": call.request.from, "to": call.request.to.trim_start_matches('+'),
        "caller_name": call.note("caller_name").unwrap_or_default(), "session_start": instant(call.created_at),
    })
}

fn number_json(number: &SimulatedNumber) -> Value {
    let application = number.notes.get("app_id").map(|id| format!("/v1/Account/{AUTH_ID}/Application/{id}/"));
    let digits = number.number.trim_start_matches('+');
    json!({
        "active": true, "added_on": "2026-01-01", "alias": number.notes.get("alias").map_or("Sandbox", String::as_str),
        "api_id": Uuid::new_v4(), "application": application, "carrier": "Plivo", "city": null,
        "cnam_lookup": "disabled", "compliance_application_id": null, "compliance_status": null,
        "country": "United States", "mms_enabled": false, "mms_rate": "0.00000", "monthly_rental_rate": "0.80000",
        "number": digits, "number_type": "local", "region": "Colorado, UNITED STATES", "renewal_date": "2026-02-01",
        "resource_uri": format!("/v1/Account/{AUTH_ID}/Number/{digits}/"), "sms_enabled": false, "sms_rate": "0.00000",
        "sub_account": null, "tendlc_campaign_id": null, "tendlc_registration_status": "UNREGISTERED",
        "toll_free_sms_verification": null, "voice_enabled": true, "voice_rate": "0.00850",
    })
}

fn not_simulated(what: &str) -> Answer {
    error(StatusCode::BAD_REQUEST, &format!("{what}: this is not simulated"))
}

fn not_found() -> Answer {
    error(StatusCode::NOT_FOUND, "not found")
}

fn error(status: StatusCode, message: &str) -> Answer {
    answer(status, &json!({"api_id": Uuid::new_v4(), "error": message}))
}

fn empty() -> Answer {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn answer(status: StatusCode, body: &Value) -> Answer {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// In the zone of the account, which is Greenwich here.
fn moment(when: Timestamp) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]+00:00");
    when.format(&format).unwrap_or_default()
}

/// In Greenwich, without saying so.
fn instant(when: Timestamp) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]");
    when.format(&format).unwrap_or_default()
}

fn parse_form(body: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn get<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body[name].as_str().filter(|text| !text.is_empty())
}
