//! Vonage, simulated: written from its documentation, and sharing nothing with the provider but the media messages.
//!
//! What it plays: calls, DTMF, numbers, the application and the balance, with Vonage's status codes and bodies; NCCO; signed
//! webhooks, those of the media socket's own leg too; the price that comes late. The form and the claims of the caller's token
//! are checked, its RSA signature is not.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use telephony_core::{
    AnsweredBy, CallRef, CallStatus, Decimal, Direction, Secret, Timestamp, Url, audio::AudioFormat,
    media::StreamStart, signing,
};
use telephony_sandbox::{
    Ask, CarrierSimulator, EndCause, Exchange, NewCall, Report, SimulatedCall, SimulatedNumber, SimulatorDescriptor,
    Step,
};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// The simulator of this provider's carrier.
pub static SIMULATOR: SimulatorDescriptor =
    SimulatorDescriptor::new(&crate::DESCRIPTOR, || Box::new(VonageSimulator::new()));
telephony_sandbox::register_simulator!(SIMULATOR);

const APPLICATION_ID: &str = "3c8e6d4a-0b1f-4c2e-9a7d-5f6b8c9d0e1f";
const API_KEY: &str = "5b0c1d2e";
const API_SECRET: &str = "Sandbox4pi5ecret";
const SIGNATURE_SECRET: &str = "sAndb0xS1gnatureSecretOfNoAccount";
const PRIVATE_KEY: &str = include_str!("../testdata/test-only-private-key.pem");

/// The page size of numbers when none is asked for.
const PAGE_SIZE: usize = 10;

#[derive(Debug)]
struct VonageSimulator {
    /// The application, as its API shows it.
    application: Value,
    /// The word for the end of each call that is over, and the detail.
    ends: HashMap<String, (&'static str, Option<&'static str>)>,
    /// The payload of each `notify` read, by its URL.
    payloads: HashMap<String, Value>,
    /// The `eventUrl` and headers of each socket read, by its URL.
    sockets: HashMap<String, Socket>,
    /// The same by the call, once the socket is opened.
    legs: HashMap<String, Socket>,
}

#[derive(Clone, Debug)]
struct Socket {
    url: String,
    events: Option<String>,
    headers: Value,
    leg: Uuid,
}

type Answer = Response<Bytes>;

impl CarrierSimulator for VonageSimulator {
    fn account(&self, api: &Url) -> Value {
        json!({
            "application_id": APPLICATION_ID, "private_key": PRIVATE_KEY, "api_key": API_KEY, "api_secret": API_SECRET,
            "signature_secret": SIGNATURE_SECRET, "api_base_url": api,
        })
    }

    fn new_call_id(&mut self) -> String {
        // Inbound legs have been seen without the dashes.
        Uuid::new_v4().simple().to_string()
    }

    fn rest(&mut self, request: &Request<Bytes>, exchange: &mut Exchange) -> Answer {
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        let authorized = match path.first() {
            Some(&"v1") => bears_token(request, exchange.now()),
            _ => has_basic(request),
        };
        if !authorized {
            return self.failure(StatusCode::UNAUTHORIZED);
        }
        let query = parse_form(request.uri().query().unwrap_or_default().as_bytes());
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        match (request.method().as_str(), path.as_slice()) {
            ("POST", ["v1", "calls"]) => create_call(&body, exchange),
            ("GET", ["v1", "calls"]) => self.list_calls(&query, exchange),
            ("GET", ["v1", "calls", uuid]) => match exchange.call(uuid) {
                Some(call) => answer(StatusCode::OK, &self.call_json(call)),
                None => not_found(),
            },
            ("PUT", ["v1", "calls", uuid]) => self.update_call(uuid, &body, exchange),
            ("PUT", ["v1", "calls", uuid, "dtmf"]) => send_digits(uuid, &body, exchange),
            ("GET", ["account", "numbers"]) => list_numbers(&query, exchange),
            ("POST", ["number", "update"]) => update_number(&parse_form(request.body()), exchange),
            ("GET", ["account", "get-balance"]) => {
                answer(StatusCode::OK, &json!({"value": 10.17, "autoReload": false}))
            }
            ("GET", ["v2", "applications", APPLICATION_ID]) => answer(StatusCode::OK, &self.application),
            ("PUT", ["v2", "applications", APPLICATION_ID]) => self.replace_application(body),
            _ => not_found(),
        }
    }

    fn failure(&self, status: StatusCode) -> Answer {
        let (name, title, detail) = match status {
            StatusCode::UNAUTHORIZED => ("unauthorized", "Unauthorized", "You did not provide correct credentials."),
            StatusCode::FORBIDDEN => ("forbidden", "Forbidden", "Your account does not have permission."),
            StatusCode::NOT_FOUND => ("not-found", "Not Found", "The resource could not be found."),
            StatusCode::TOO_MANY_REQUESTS => ("throttled", "Too Many Requests", "You have exceeded your limit."),
            _ => ("internal-error", "Internal Error", "An error has occurred."),
        };
        problem(status, name, title, detail)
    }

    fn report(&mut self, call: &SimulatedCall, happening: &Report, now: Timestamp) -> Vec<Request<Bytes>> {
        let (word, detail) = match happening {
            Report::Initiated => ("started", None),
            Report::Ringing => ("ringing", None),
            Report::Answered => ("answered", None),
            Report::Ended(cause) => {
                let end = word_of(*cause, call);
                self.ends.insert(call.id().to_owned(), end);
                end
            }
            Report::AnsweredBy(who) => return self.report_machine(call, *who, now),
            Report::StreamStarted => return self.report_leg(call, "answered", now),
            Report::StreamStopped => return self.report_leg(call, "completed", now),
            Report::StreamFailed => return self.report_leg(call, "failed", now),
            _ => return Vec::new(), // The price is in the event of the end; recordings are made by documents.
        };
        let mut event = json!({
            "headers": {}, "from": bare(&call.request.from), "to": bare(&call.request.to), "uuid": call.id(),
            "conversation_uuid": conversation(call), "status": word, "direction": direction(call),
            "timestamp": iso(now),
        });
        if let Some(detail) = detail {
            event["detail"] = detail.into();
        }
        match word {
            "answered" => {
                for name in ["start_time", "rate", "network"] {
                    event[name] = Value::Null;
                }
            }
            "completed" => {
                let rate = self.rate_per_minute();
                event["start_time"] = call.answered_at.map(iso).into();
                event["end_time"] = call.ended_at.map(iso).into();
                event["duration"] = call.duration().as_secs().to_string().into();
                event["rate"] = format!("{rate:.8}").into();
                event["price"] = format!("{:.8}", call.charge(rate)).into();
                event["network"] = "US-FIXED".into();
            }
            _ => {}
        }
        self.event_url(call).map(|url| webhook(&url, &event, now)).into_iter().collect()
    }

    fn ask(&mut self, call: &SimulatedCall, why: &Ask, now: Timestamp) -> Option<Request<Bytes>> {
        let mut body = json!({
            "from": bare(&call.request.from), "to": bare(&call.request.to), "uuid": call.id(),
            "conversation_uuid": conversation(call), "endpoint_type": "phone",
        });
        let url = match why {
            // An application without a URL cannot answer: the request goes nowhere, and the call fails.
            Ask::Answered => call.note("answer_url").unwrap_or_default().to_owned(),
            Ask::Inbound if call.note("app_id") == Some(APPLICATION_ID) => {
                self.application_url("answer_url").unwrap_or_default()
            }
            // Nobody answers a number that is in no application.
            Ask::Inbound => String::new(),
            Ask::Digits { callback, digits, timed_out } => {
                body["dtmf"] = json!({"digits": digits, "timed_out": timed_out});
                body["timestamp"] = iso(now).into();
                callback.clone()
            }
            Ask::Redirect { url } => {
                let payload = self.payloads.get(url).cloned().unwrap_or_default();
                body = json!({"payload": payload, "conversation_uuid": conversation(call), "timestamp": iso(now)});
                url.clone()
            }
            _ => return None,
        };
        Some(webhook(&url, &body, now))
    }

    fn read_answer(&mut self, response: &Answer) -> Result<Vec<Step>, String> {
        if response.status() != StatusCode::OK {
            return Err(format!("the answer URL answered with HTTP status {}", response.status().as_u16()));
        }
        let ncco: Value = serde_json::from_slice(response.body()).map_err(|_| "the NCCO is no JSON")?;
        self.read_ncco(&ncco)
    }

    fn media_headers(&mut self, call: &SimulatedCall, url: &Url, _: Timestamp) -> HeaderMap {
        if let Some(socket) = self.sockets.get(url.as_str()) {
            self.legs.insert(call.id().to_owned(), socket.clone());
        }
        HeaderMap::new()
    }

    fn stream_start(
        &mut self,
        _: &SimulatedCall,
        format: AudioFormat,
        parameters: &BTreeMap<String, String>,
    ) -> StreamStart {
        // The socket is told what the customer put into the headers, and nothing else.
        StreamStart::new(CallRef::unnamed(), format).with_parameters(parameters.clone())
    }

    /// The application without the URLs of its voice, and without what its API adds.
    fn other_settings(&self, _: &Exchange) -> Value {
        let mut settings = self.application.clone();
        if let Some(voice) = settings["capabilities"]["voice"].as_object_mut() {
            voice.remove("webhooks");
        }
        if let Some(members) = settings.as_object_mut() {
            members.remove("_links");
        }
        settings
    }

    fn rate_per_minute(&self) -> Decimal {
        Decimal::new(1_270_000, 8)
    }

    fn currency(&self) -> Option<&'static str> {
        Some("EUR")
    }
}

impl VonageSimulator {
    fn new() -> Self {
        let application = json!({
            "id": APPLICATION_ID, "name": "Sandbox", "keys": {"public_key": "-----BEGIN PUBLIC KEY-----"},
            "privacy": {"improve_ai": false},
            "capabilities": {
                "voice": {"signed_callbacks": true, "region": "na-east", "webhooks": {}},
                "messages": {"webhooks": {"inbound_url": {"address": "https://example.com/message"}}},
            },
            "_links": {"self": {"href": format!("/v2/applications/{APPLICATION_ID}")}},
        });
        Self {
            application,
            ends: HashMap::new(),
            payloads: HashMap::new(),
            sockets: HashMap::new(),
            legs: HashMap::new(),
        }
    }

    fn application_url(&self, name: &str) -> Option<String> {
        self.application["capabilities"]["voice"]["webhooks"][name]["address"].as_str().map(str::to_owned)
    }

    /// Where events of a call go: its own URL, or the application's.
    fn event_url(&self, call: &SimulatedCall) -> Option<String> {
        call.note("event_url").map(str::to_owned).or_else(|| self.application_url("event_url"))
    }

    fn list_calls(&self, query: &[(String, String)], exchange: &Exchange) -> Answer {
        let number = |name: &str, default| get(query, name).and_then(|text| text.parse().ok()).unwrap_or(default);
        let (size, index) = (number("page_size", 10_usize).clamp(1, 100), number("record_index", 0_usize));
        let calls: Vec<Value> =
            exchange.calls().iter().skip(index).take(size).map(|call| self.call_json(call)).collect();
        let body = json!({
            "count": exchange.calls().len(), "page_size": size, "record_index": index,
            "_links": {"self": {"href": "/v1/calls"}}, "_embedded": {"calls": calls},
        });
        answer(StatusCode::OK, &body)
    }

    fn update_call(&mut self, uuid: &str, body: &Value, exchange: &mut Exchange) -> Answer {
        let Some(call) = exchange.call(uuid) else { return not_found() };
        if call.status.is_terminal() {
            return not_found();
        }
        match body["action"].as_str() {
            Some("hangup") => {
                exchange.hang_up(uuid);
            }
            Some("transfer") if call.answered_at.is_none() => return bad_request("uuid", "the call is not answered"),
            Some("transfer") => match self.read_ncco(&body["destination"]["ncco"]) {
                Ok(steps) => {
                    exchange.instruct(uuid, steps);
                }
                Err(reason) => return bad_request("destination", &reason),
            },
            _ => return bad_request("action", "is not simulated"),
        }
        empty(StatusCode::NO_CONTENT)
    }

    fn replace_application(&mut self, mut new: Value) -> Answer {
        if new["name"].as_str().is_none() {
            return bad_request("name", "is required");
        }
        new["id"] = APPLICATION_ID.into();
        self.application = new;
        answer(StatusCode::OK, &self.application)
    }

    fn report_machine(&mut self, call: &SimulatedCall, who: AnsweredBy, now: Timestamp) -> Vec<Request<Bytes>> {
        let status = if who == AnsweredBy::Human { "human" } else { "machine" };
        let event = json!({
            "status": status, "call_uuid": call.id(), "conversation_uuid": conversation(call),
            "from": bare(&call.request.from), "to": bare(&call.request.to), "timestamp": iso(now),
        });
        self.event_url(call).map(|url| webhook(&url, &event, now)).into_iter().collect()
    }

    /// Events of the socket's own leg: they look like those of the call.
    fn report_leg(&mut self, call: &SimulatedCall, status: &str, now: Timestamp) -> Vec<Request<Bytes>> {
        let Some(socket) = self.legs.get(call.id()).cloned() else { return Vec::new() };
        let event = json!({
            "headers": socket.headers, "from": bare(&call.request.from), "to": socket.url, "uuid": socket.leg,
            "conversation_uuid": conversation(call), "status": status, "direction": "outbound", "timestamp": iso(now),
        });
        socket.events.or_else(|| self.event_url(call)).map(|url| webhook(&url, &event, now)).into_iter().collect()
    }

    fn call_json(&self, call: &SimulatedCall) -> Value {
        let word = match call.status {
            CallStatus::Queued | CallStatus::Initiated => "started",
            CallStatus::Ringing => "ringing",
            CallStatus::InProgress => "answered",
            // Until the end is reported, as in the moment of hanging up.
            _ => self.ends.get(call.id()).map_or("completed", |(word, _)| word),
        };
        let mut body = json!({
            "uuid": call.id(), "conversation_uuid": conversation(call), "status": word, "direction": direction(call),
            "from": {"type": "phone", "number": bare(&call.request.from)},
            "to": {"type": "phone", "number": bare(&call.request.to)},
            "_links": {"self": {"href": format!("/v1/calls/{}", call.id())}},
        });
        if word == "completed" {
            body["start_time"] = call.answered_at.map(plain).into();
            body["end_time"] = call.ended_at.map(plain).into();
            body["duration"] = call.duration().as_secs().to_string().into();
            body["network"] = "US-FIXED".into();
            if call.rated {
                let rate = self.rate_per_minute();
                body["rate"] = format!("{rate:.8}").into();
                body["price"] = format!("{:.8}", call.charge(rate)).into();
            }
        }
        body
    }

    fn read_ncco(&mut self, ncco: &Value) -> Result<Vec<Step>, String> {
        let actions = ncco.as_array().ok_or("the NCCO is no array")?;
        let mut steps = Vec::new();
        for action in actions {
            self.read_action(action, &mut steps)?;
        }
        Ok(steps)
    }

    fn read_action(&mut self, action: &Value, steps: &mut Vec<Step>) -> Result<(), String> {
        let text = |name: &str| action[name].as_str().map(str::to_owned);
        let first = |name: &str| action[name][0].as_str().map(str::to_owned);
        let times = action["loop"].as_u64().unwrap_or(1);
        match action["action"].as_str().ok_or("an action has no name")? {
            "talk" => {
                let said = text("text").ok_or("talk has no text")?;
                if said.chars().count() > 1500 {
                    return Err("the text of talk is longer than 1500 characters".to_owned());
                }
                steps.extend((0..times).map(|_| Step::Say { text: said.clone() }));
            }
            "stream" => {
                let url = first("streamUrl").ok_or("stream has no streamUrl")?;
                steps.extend((0..times).map(|_| Step::Play { url: url.clone() }));
            }
            "input" => {
                let dtmf = &action["dtmf"];
                let max_digits = dtmf["maxDigits"].as_u64().unwrap_or(4);
                let timeout = dtmf["timeOut"].as_u64().unwrap_or(3);
                if max_digits > 20 || timeout > 10 {
                    return Err("input takes at most 20 digits and waits at most 10 seconds".to_owned());
                }
                steps.push(Step::Gather {
                    max_digits: usize::try_from(max_digits).unwrap_or(20),
                    timeout: Duration::from_secs(timeout),
                    finish_on_hash: dtmf["submitOnHash"].as_bool().unwrap_or(false),
                    callback: first("eventUrl").ok_or("input has no eventUrl")?,
                });
            }
            "notify" => {
                let url = first("eventUrl").ok_or("notify has no eventUrl")?;
                let payload = action["payload"].as_object().ok_or("notify has no payload")?;
                self.payloads.insert(url.clone(), Value::Object(payload.clone()));
                steps.push(Step::Redirect { url });
            }
            "wait" => {
                let seconds = action["timeout"].as_f64().filter(|seconds| (0.1..=7200.0).contains(seconds));
                let length = seconds.map(Duration::from_secs_f64).ok_or("wait takes 0.1 to 7200 seconds")?;
                steps.push(Step::Pause { length });
            }
            "conversation" => steps.push(Step::Conference { name: text("name").ok_or("conversation has no name")? }),
            "connect" => {
                let endpoint = &action["endpoint"][0];
                let part = |name: &str| endpoint[name].as_str().map(str::to_owned);
                match endpoint["type"].as_str() {
                    Some("phone") => {
                        let to = part("number").filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
                        let to = to.ok_or("a number has digits only")?;
                        steps.push(Step::Dial { to, caller_id: text("from") });
                    }
                    Some("sip") => {
                        let to = part("uri").ok_or("a SIP endpoint has no uri")?;
                        steps.push(Step::Dial { to, caller_id: text("from") });
                    }
                    Some("websocket") => steps.push(self.read_socket(endpoint, first("eventUrl"))?),
                    _ => return Err("the type of the endpoint is not simulated".to_owned()),
                }
            }
            other => return Err(format!("there is no action {other:?}")),
        }
        Ok(())
    }

    fn read_socket(&mut self, endpoint: &Value, events: Option<String>) -> Result<Step, String> {
        let uri = endpoint["uri"].as_str().ok_or("a websocket endpoint has no uri")?;
        let url: Url = uri.parse().map_err(|_| "the uri of a websocket endpoint is none")?;
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err("the uri of a websocket endpoint must start with ws:// or wss://".to_owned());
        }
        let format = match endpoint["content-type"].as_str() {
            Some("audio/l16;rate=8000") => AudioFormat::LINEAR16_8K,
            Some("audio/l16;rate=16000") => AudioFormat::LINEAR16_16K,
            Some("audio/l16;rate=24000") => AudioFormat::LINEAR16_24K,
            _ => return Err("the content-type must be audio/l16 at 8000, 16000 or 24000".to_owned()),
        };
        let headers = endpoint["headers"].clone();
        if headers.to_string().len() > 512 {
            return Err("the headers are longer than 512 bytes".to_owned());
        }
        let parameters = headers.as_object().into_iter().flatten();
        let parameters = parameters.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        let parameters = parameters.collect();
        let socket = Socket { url: uri.to_owned(), events, headers, leg: Uuid::new_v4() };
        self.sockets.insert(url.to_string(), socket);
        Ok(Step::Stream { url, format, parameters })
    }
}

fn create_call(body: &Value, exchange: &mut Exchange) -> Answer {
    let endpoint = &body["to"][0];
    let digits = |value: &Value| {
        value
            .as_str()
            .filter(|text| matches!(text.len(), 7..=15) && text.bytes().all(|byte| byte.is_ascii_digit()))
            .map(str::to_owned)
    };
    let to = match endpoint["type"].as_str() {
        Some("phone") => match digits(&endpoint["number"]) {
            Some(number) => format!("+{number}"),
            None => return bad_request("to[0].number", "must have 7 to 15 digits, without +"),
        },
        Some("sip") => endpoint["uri"].as_str().unwrap_or_default().to_owned(),
        _ => return bad_request("to[0].type", "must be phone or sip"),
    };
    let Some(from) = digits(&body["from"]["number"]) else {
        return bad_request("from.number", "must have 7 to 15 digits, without +");
    };
    let Some(answer_url) = body["answer_url"][0].as_str() else {
        return bad_request("answer_url", "must be a list of one URL");
    };
    let seconds = |name: &str| body[name].as_u64().map(Duration::from_secs);
    if seconds("ringing_timer").is_some_and(|timer| timer > Duration::from_secs(120)) {
        return bad_request("ringing_timer", "must be at most 120");
    }
    // Hanging up on machines is not simulated.
    let detection = body["machine_detection"].as_str();
    if detection.is_some_and(|word| word != "continue") {
        return bad_request("machine_detection", "must be continue");
    }
    let mut notes = BTreeMap::from([("answer_url".to_owned(), answer_url.to_owned())]);
    if let Some(event_url) = body["event_url"][0].as_str() {
        notes.insert("event_url".to_owned(), event_url.to_owned());
    }
    let placed = exchange.place(NewCall {
        id: Uuid::new_v4().to_string(),
        from: format!("+{from}"),
        to,
        ring_timeout: seconds("ringing_timer"),
        time_limit: seconds("length_timer"),
        detect_machine: detection.is_some() || body["advanced_machine_detection"].is_object(),
        record: false,
        digits_on_answer: endpoint["dtmfAnswer"].as_str().map(|digits| digits.replace('p', "")),
        notes,
    });
    let created = json!({
        "uuid": placed.id(), "status": "started", "direction": "outbound", "conversation_uuid": conversation(placed),
    });
    answer(StatusCode::CREATED, &created)
}

fn send_digits(uuid: &str, body: &Value, exchange: &mut Exchange) -> Answer {
    let digits = body["digits"].as_str().unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'*' | b'#' | b'p')) {
        return bad_request("digits", "must have only 0-9, *, # and p");
    }
    if !exchange.send_digits(uuid, digits.replace('p', "")) {
        return not_found();
    }
    answer(StatusCode::OK, &json!({"message": "DTMF sent", "uuid": uuid}))
}

fn list_numbers(query: &[(String, String)], exchange: &Exchange) -> Answer {
    let pattern = get(query, "pattern").unwrap_or_default();
    let application = get(query, "application_id");
    let numbers: Vec<Value> = exchange
        .numbers()
        .iter()
        .filter(|number| bare(&number.number).starts_with(pattern))
        .filter(|number| application.is_none() || number.notes.get("app_id").map(String::as_str) == application)
        .map(number_json)
        .collect();
    if numbers.is_empty() {
        return answer(StatusCode::OK, &json!({}));
    }
    let number = |name: &str, default: usize| get(query, name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let size = number("size", PAGE_SIZE).clamp(1, 100);
    let start = number("index", 1).saturating_sub(1) * size;
    let page: Vec<&Value> = numbers.iter().skip(start).take(size).collect();
    if page.is_empty() {
        return answer(StatusCode::OK, &json!({"count": numbers.len()}));
    }
    answer(StatusCode::OK, &json!({"count": numbers.len(), "numbers": page}))
}

fn update_number(form: &[(String, String)], exchange: &mut Exchange) -> Answer {
    let number = format!("+{}", get(form, "msisdn").unwrap_or_default());
    let Some(number) = exchange.number_mut(&number).filter(|_| get(form, "country").is_some()) else {
        return answer(
            StatusCode::from_u16(420).unwrap_or(StatusCode::BAD_REQUEST),
            &json!({"error-code": "420", "error-code-label": "method failed"}),
        );
    };
    number.notes.remove("app_id");
    if let Some(application) = get(form, "app_id").filter(|id| !id.is_empty()) {
        number.notes.insert("app_id".to_owned(), application.to_owned());
    }
    answer(StatusCode::OK, &json!({"error-code": "200", "error-code-label": "success"}))
}

fn number_json(number: &SimulatedNumber) -> Value {
    let mut body = json!({
        "country": "US", "msisdn": bare(&number.number), "type": "landline", "features": ["VOICE", "SMS"],
        "moHttpUrl": "",
    });
    if let Some(application) = number.notes.get("app_id") {
        body["app_id"] = application.as_str().into();
        body["voiceCallbackType"] = "app".into();
        body["voiceCallbackValue"] = application.as_str().into();
    }
    body
}

/// Whether a request bears an application's token that looks right and is of now.
fn bears_token(request: &Request<Bytes>, now: Timestamp) -> bool {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = header.and_then(|value| value.strip_prefix("Bearer ")) else { return false };
    let [head, _, signature] = token.split('.').collect::<Vec<_>>()[..] else { return false };
    // The head is written as the claims are.
    let head: Option<Value> = signing::unverified_jwt_claims(&format!(".{head}."));
    let claims: Option<Value> = signing::unverified_jwt_claims(token);
    let (Some(head), Some(claims)) = (head, claims) else { return false };
    let (iat, exp) = (claims["iat"].as_i64().unwrap_or(i64::MAX), claims["exp"].as_i64().unwrap_or(0));
    let now = now.unix_timestamp();
    head["alg"] == "RS256"
        && signature.len() == 342 // 256 bytes
        && claims["application_id"] == APPLICATION_ID
        && claims["jti"].is_string()
        && iat <= now + 60
        && exp > now
        && (30..=86_400).contains(&(exp - iat))
}

fn has_basic(request: &Request<Bytes>) -> bool {
    let credentials = signing::base64_encode(format!("{API_KEY}:{API_SECRET}").as_bytes());
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    header == Some(format!("Basic {credentials}").as_str())
}

/// The word for the end of a call, and the detail.
fn word_of(cause: EndCause, call: &SimulatedCall) -> (&'static str, Option<&'static str>) {
    match cause {
        EndCause::Busy => ("busy", None),
        EndCause::Declined => ("rejected", Some("declined")),
        EndCause::InvalidNumber => ("rejected", Some("invalid_number")),
        EndCause::NoAnswer if call.request.ring_timeout.is_some() => ("timeout", None),
        EndCause::NoAnswer => ("unanswered", Some("timeout")),
        EndCause::Canceled => ("cancelled", None),
        _ if call.answered_at.is_some() => ("completed", None),
        _ => ("failed", Some("internal_error")),
    }
}

/// A signed webhook.
fn webhook(url: &str, body: &Value, now: Timestamp) -> Request<Bytes> {
    let body = Bytes::from(body.to_string());
    let claims = json!({
        "iat": now.unix_timestamp(), "jti": Uuid::new_v4(), "iss": "Vonage", "api_key": API_KEY,
        "application_id": APPLICATION_ID, "payload_hash": signing::sha256_hex(&body),
    });
    let token = signing::sign_jwt_hs256(&Secret::new(SIGNATURE_SECRET), &claims);
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(value) = HeaderValue::from_str(&format!("Bearer {token}")) {
        headers.insert(header::AUTHORIZATION, value);
    }
    request
}

fn direction(call: &SimulatedCall) -> &'static str {
    match call.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

fn conversation(call: &SimulatedCall) -> String {
    // One for each call, and the same whenever it is asked for.
    format!(
        "CON-{}",
        Uuid::from_u128(u128::from_str_radix(&signing::sha256_hex(call.id().as_bytes())[..32], 16).unwrap_or(0))
    )
}

/// A number as Vonage writes it.
fn bare(number: &str) -> &str {
    number.strip_prefix('+').unwrap_or(number)
}

fn iso(when: Timestamp) -> String {
    when.format(&Rfc3339).unwrap_or_default()
}

/// A time as the REST API writes it.
fn plain(when: Timestamp) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    when.format(format).unwrap_or_default()
}

fn not_found() -> Answer {
    problem(StatusCode::NOT_FOUND, "not-found", "Not Found", "The resource could not be found.")
}

fn problem(status: StatusCode, name: &str, title: &str, detail: &str) -> Answer {
    let kind = format!("https://developer.nexmo.com/api-errors#{name}");
    answer(status, &json!({"type": kind, "title": title, "detail": detail, "instance": Uuid::new_v4()}))
}

fn bad_request(name: &str, reason: &str) -> Answer {
    let body = json!({
        "type": "https://developer.nexmo.com/api-errors#invalid", "error_title": "Bad Request",
        "invalid_parameters": [{"name": name, "reason": reason}],
    });
    answer(StatusCode::BAD_REQUEST, &body)
}

fn answer(status: StatusCode, body: &Value) -> Answer {
    let mut response = empty(status);
    *response.body_mut() = Bytes::from(body.to_string());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn empty(status: StatusCode) -> Answer {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

fn parse_form(body: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn get<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}
