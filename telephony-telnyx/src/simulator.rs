//! Telnyx, simulated: written from its documentation, and sharing nothing with the provider but the media messages.
//!
//! What it plays: the calls and their commands, conferences, the phone numbers, the Call Control application and the balance,
//! with Telnyx's status codes and error bodies; `client_state` and `command_id` as they are documented; webhooks of version 2,
//! signed with Ed25519. What it refuses rather than play wrongly: dialling several at once, streams in the mode `mp3`, codecs
//! that the handset has not, commands that no [`Step`] stands for. Of the leg that a transfer makes, only its end without an
//! answer is told.

mod conferences;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use telephony_core::{
    AnsweredBy, CallId, CallRef, Decimal, Direction, Timestamp, Url, audio::AudioFormat, decode_base64_into,
    media::StreamStart, signing,
};
use telephony_sandbox::{
    Ask, Behaviour, CarrierSimulator, EndCause, Exchange, NewCall, Report, SimulatedCall, SimulatedNumber,
    SimulatorDescriptor, Step,
};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use self::conferences::Conferences;

/// The simulator of this provider's carrier.
pub static SIMULATOR: SimulatorDescriptor =
    SimulatorDescriptor::new(&crate::DESCRIPTOR, || Box::new(TelnyxSimulator::default()));
telephony_sandbox::register_simulator!(SIMULATOR);

const API_KEY: &str = "KEY0123456789SANDBOX";
const APPLICATION_ID: &str = "1293384261075731499";
/// The seed of the key that signs webhooks.
const SEED: [u8; 32] = [7; 32];

/// Tells which command it was that has ended, through [`Step::Redirect`] and [`Step::Gather`].
const SPEAK_ENDED: &str = "call.speak.ended";
const PLAYBACK_ENDED: &str = "call.playback.ended";
const GATHER_ENDED: &str = "call.gather.ended";
/// The same of the leg that a transfer made, which nobody answered.
const OTHER_LEG_ENDED: &str = "call.hangup";

/// The member, and the note, with the name of the dial that made a call.
const DIAL: &str = "command_id";

/// The notes about that leg: what its webhooks repeat, and how it ended.
const OTHER_LEG_STATE: &str = "other_leg_state";
const OTHER_LEG_CAUSE: &str = "other_leg_cause";

#[derive(Debug, Default)]
struct TelnyxSimulator {
    /// Where the one application tells what happens to inbound calls.
    webhook_url: String,
    conferences: Conferences,
}

type Answer = Response<Bytes>;

/// What is wrong with a command: the field and the reason.
type Refused = (&'static str, &'static str);

impl CarrierSimulator for TelnyxSimulator {
    fn account(&self, api: &Url) -> Value {
        let key = signing::base64_encode(SigningKey::from_bytes(&SEED).verifying_key().as_bytes());
        json!({
            "api_key": API_KEY, "public_key": key, "connection_id": APPLICATION_ID, "wideband": true,
            "api_base_url": api,
        })
    }

    fn new_call_id(&mut self) -> String {
        new_call_id()
    }

    fn rest(&mut self, request: &Request<Bytes>, exchange: &mut Exchange) -> Answer {
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if given != Some(format!("Bearer {API_KEY}").as_str()) {
            return self.failure(StatusCode::UNAUTHORIZED);
        }
        let body = match request.body().as_ref() {
            [] => Value::Null,
            body => match serde_json::from_slice(body) {
                Ok(body) => body,
                Err(_) => return error(StatusCode::BAD_REQUEST, "10015", "Bad Request", None),
            },
        };
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        match (request.method().as_str(), path.as_slice()) {
            ("GET", ["v2", "balance"]) => data(&json!({
                "record_type": "balance", "balance": "300.00", "available_credit": "400.00", "credit_limit": "100.00",
                "pending": "10.00", "currency": "USD",
            })),
            ("POST", ["v2", "calls"]) => create_call(&body, exchange),
            ("GET", ["v2", "calls", id]) => match exchange.call(id) {
                Some(call) => data(&call_json(call)),
                None => not_found(),
            },
            ("POST", ["v2", "calls", id, "actions", command]) => run_command(id, command, &body, exchange),
            (method, ["v2", "conferences", path @ ..]) => {
                self.conferences.rest(method, path, request.uri().query().unwrap_or_default(), &body, exchange)
            }
            ("GET", ["v2", "phone_numbers"]) => list_numbers(request.uri().query().unwrap_or_default(), exchange),
            ("GET", ["v2", "phone_numbers", id]) => {
                let found = exchange.number_mut(&number_of(id)).map(|number| number_json(number));
                found.map_or_else(not_found, |number| data(&number))
            }
            // All callers are numbers of the account.
            ("GET", ["v2", "verified_numbers"]) => page(request.uri().query().unwrap_or_default(), 25, &[]),
            ("PATCH", ["v2", "phone_numbers", id]) => bind_number(id, &body, exchange),
            ("GET", ["v2", "call_control_applications", APPLICATION_ID]) => data(&self.application_json()),
            ("PATCH", ["v2", "call_control_applications", APPLICATION_ID]) => self.update_application(&body),
            _ => not_found(),
        }
    }

    fn failure(&self, status: StatusCode) -> Answer {
        match status {
            StatusCode::UNAUTHORIZED => error(status, "10009", "Authentication failed", None),
            StatusCode::NOT_FOUND => not_found(),
            StatusCode::TOO_MANY_REQUESTS => error(status, "10011", "Too many requests", None),
            _ => error(status, "10007", status.canonical_reason().unwrap_or_default(), None),
        }
    }

    fn report(&mut self, call: &SimulatedCall, happening: &Report, now: Timestamp) -> Vec<Request<Bytes>> {
        let inbound = call.direction == Direction::Inbound;
        let (event, more) = match happening {
            Report::Initiated if !inbound => ("call.initiated", json!({"state": "bridging"})),
            Report::Answered if inbound => ("call.answered", json!({})),
            Report::AnsweredBy(who) => {
                let result = if *who == AnsweredBy::Human { "human" } else { "machine" };
                ("call.machine.detection.ended", json!({"result": result}))
            }
            Report::StreamStarted => ("streaming.started", json!({"stream_url": "wss://"})),
            Report::StreamStopped => ("streaming.stopped", json!({"stream_url": "wss://"})),
            Report::StreamFailed => ("streaming.failed", json!({"failure_reason": "connection_failed"})),
            Report::RecordingReady => ("call.recording.saved", recording_json(call)),
            Report::Ended(cause) => ("call.hangup", end_json(call, *cause)),
            Report::Rated => ("call.cost", cost_json(call, self.rate_per_minute())),
            // What asks what to do is told by `ask`; of ringing nothing is said.
            _ => return Vec::new(),
        };
        let mut told = Vec::new();
        if let (Report::Ended(_), Some((conference, over))) = (happening, self.conferences.lose(call.id())) {
            let left = json!({"conference_id": conference});
            told.extend(self.webhook(call, "conference.participant.left", left, now));
            if over {
                let ended = json!({"conference_id": conference, "reason": "all_left"});
                told.extend(self.webhook(call, "conference.ended", ended, now));
            }
        }
        told.extend(self.webhook(call, event, more, now));
        told
    }

    /// The events that lead to a command. Telnyx waits for none of them to be answered: only for the command.
    fn ask(&mut self, call: &SimulatedCall, why: &Ask, now: Timestamp) -> Option<Request<Bytes>> {
        let (event, more) = match why {
            Ask::Answered => ("call.answered", json!({})),
            Ask::Inbound => ("call.initiated", json!({"state": "parked"})),
            Ask::Redirect { url } if url == OTHER_LEG_ENDED => (OTHER_LEG_ENDED, other_leg_json(call)),
            Ask::Redirect { url } => (url.as_str(), json!({"status": "completed"})),
            Ask::Digits { digits, timed_out, .. } => {
                let status = if *timed_out { "timeout" } else { "valid" };
                (GATHER_ENDED, json!({"digits": digits, "status": status}))
            }
            _ => return None,
        };
        self.webhook(call, event, more, now)
    }

    fn read_answer(&mut self, _: &Answer) -> Result<Vec<Step>, String> {
        Ok(vec![Step::AwaitCommand])
    }

    fn stream_start(
        &mut self,
        call: &SimulatedCall,
        format: AudioFormat,
        parameters: &BTreeMap<String, String>,
    ) -> StreamStart {
        let reference = CallId::new(call.id()).map_or_else(|_| CallRef::unnamed(), CallRef::new);
        StreamStart::new(reference, format)
            .with_stream_id(Uuid::new_v4().to_string())
            .with_parameters(parameters.clone())
    }

    fn rate_per_minute(&self) -> Decimal {
        Decimal::new(70, 4)
    }

    fn currency(&self) -> Option<&'static str> {
        Some("USD")
    }
}

impl TelnyxSimulator {
    /// A signed webhook, if there is anywhere to send it.
    fn webhook(&self, call: &SimulatedCall, event: &str, more: Value, now: Timestamp) -> Option<Request<Bytes>> {
        let own = (call.note("connection_id") == Some(APPLICATION_ID)).then_some(self.webhook_url.as_str());
        let url = call.note("webhook_url").or(own).filter(|url| !url.is_empty())?;
        let mut payload = json!({
            "call_control_id": call.id(), "call_leg_id": leg(call), "call_session_id": leg(call),
            "connection_id": APPLICATION_ID, "client_state": call.note("client_state"),
        });
        if ["call.initiated", "call.answered", "call.hangup", "call.machine", "call.gather"]
            .iter()
            .any(|with_parties| event.starts_with(with_parties))
        {
            payload["from"] = json!(call.request.from);
            payload["to"] = json!(call.request.to);
            payload["start_time"] = moment(call.created_at).into();
        }
        if event == "call.initiated" {
            let inbound = call.direction == Direction::Inbound;
            payload["direction"] = if inbound { "incoming" } else { "outgoing" }.into();
        }
        if let (Some(payload), Value::Object(more)) = (payload.as_object_mut(), more) {
            payload.extend(more);
        }
        let body = json!({
            "data": {
                "record_type": "event", "event_type": event, "id": Uuid::new_v4(), "occurred_at": moment(now),
                "payload": payload,
            },
            "meta": {"attempt": 1, "delivered_to": url},
        });
        let body = body.to_string();
        let timestamp = now.unix_timestamp().to_string();
        let signature = SigningKey::from_bytes(&SEED).sign(format!("{timestamp}|{body}").as_bytes());
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("telnyx-webhooks"));
        headers.insert("telnyx-signature-ed25519", header_value(&signing::base64_encode(&signature.to_bytes())));
        headers.insert("telnyx-timestamp", header_value(&timestamp));
        Some(request)
    }

    fn application_json(&self) -> Value {
        json!({
            "record_type": "call_control_application", "id": APPLICATION_ID, "application_name": "Sandbox",
            "active": true, "webhook_event_url": self.webhook_url, "webhook_api_version": "2",
            "call_cost_in_webhooks": true, "outbound": {"outbound_voice_profile_id": "1293384261075731461"},
        })
    }

    fn update_application(&mut self, body: &Value) -> Answer {
        for needed in ["application_name", "webhook_event_url"] {
            if text(body, needed).is_none() {
                return invalid(needed, "is required");
            }
        }
        if text(body, "webhook_api_version").is_some_and(|version| version != "2") {
            return invalid("webhook_api_version", "is not simulated");
        }
        self.webhook_url = text(body, "webhook_event_url").unwrap_or_default().to_owned();
        data(&self.application_json())
    }
}

fn new_call_id() -> String {
    format!("v3:{}", Uuid::new_v4().simple())
}

fn create_call(body: &Value, exchange: &mut Exchange) -> Answer {
    if text(body, "connection_id") != Some(APPLICATION_ID) {
        return invalid("connection_id", "is no application of the account");
    }
    let (Some(to), Some(from)) = (text(body, "to"), text(body, "from")) else {
        return invalid("to", "to and from are required, and one each");
    };
    let e164 = |number: &str| {
        number.strip_prefix('+').is_some_and(|digits| digits.len() > 6 && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    if !e164(to) && !to.starts_with("sip:") {
        return invalid("to", "must be in +E164 format or a SIP URI");
    }
    if e164(to) && !exchange.numbers().iter().any(|known| known.number == from) {
        return error(StatusCode::FORBIDDEN, "10010", "The caller is no number of the account", Some("from"));
    }
    for (name, range) in [("timeout_secs", 5..=600), ("time_limit_secs", 30..=14_400)] {
        if body.get(name).is_some_and(|value| !value.as_u64().is_some_and(|seconds| range.contains(&seconds))) {
            return invalid(name, "is out of range");
        }
    }
    let detection = text(body, "answering_machine_detection").unwrap_or("disabled");
    if !matches!(detection, "disabled" | "detect" | "greeting_end") {
        return invalid("answering_machine_detection", "is not simulated");
    }
    if let Some(placed) = placed_before(body, exchange) {
        return data(&call_json(placed));
    }
    if text(body, "client_state").is_some_and(|state| decode_base64_into(state, &mut Vec::new()).is_err()) {
        return state_refused();
    }
    let mut notes = BTreeMap::new();
    for name in ["webhook_url", "client_state", DIAL] {
        if let Some(value) = text(body, name) {
            notes.insert(name.to_owned(), value.to_owned());
        }
    }
    let seconds = |name: &str| body[name].as_u64().map(Duration::from_secs);
    let call = exchange.place(NewCall {
        id: new_call_id(),
        from: from.to_owned(),
        to: to.to_owned(),
        ring_timeout: seconds("timeout_secs"),
        time_limit: seconds("time_limit_secs"),
        detect_machine: detection != "disabled",
        record: text(body, "record") == Some("record-from-answer"),
        digits_on_answer: text(body, "send_digits_on_answer").map(|digits| digits.replace(['w', 'W'], "")),
        notes,
    });
    data(&call_json(call))
}

/// The call that a dial of the same name has made: it is not dialled again.
fn placed_before<'a>(body: &Value, exchange: &'a Exchange) -> Option<&'a SimulatedCall> {
    let name = text(body, DIAL)?;
    exchange.calls().iter().find(|call| call.note(DIAL) == Some(name))
}

/// Carries out a command, once for each `command_id`.
fn run_command(id: &str, command: &str, body: &Value, exchange: &mut Exchange) -> Answer {
    let Some(call) = exchange.call_mut(id) else {
        return error(StatusCode::UNPROCESSABLE_ENTITY, "90015", "Invalid Call Control ID", None);
    };
    if call.ended_at.is_some() {
        return error(StatusCode::UNPROCESSABLE_ENTITY, "90018", "Call has already ended", None);
    }
    if was_carried_out(call, body) {
        return done();
    }
    if !note_command(call, body) {
        return state_refused();
    }
    let answered = call.answered_at.is_some();
    let parked = call.direction == Direction::Inbound && !answered;
    let steps = match command {
        "hangup" => {
            exchange.hang_up(id);
            return done();
        }
        "answer" if parked => Ok(vec![Step::Pause { length: Duration::ZERO }, Step::AwaitCommand]),
        "reject" if parked => match text(body, "cause") {
            Some("USER_BUSY") => Ok(vec![Step::Reject { busy: true }]),
            Some("CALL_REJECTED") => Ok(vec![Step::Reject { busy: false }]),
            _ => Err(("cause", "is CALL_REJECTED or USER_BUSY")),
        },
        _ if !answered => {
            return error(StatusCode::UNPROCESSABLE_ENTITY, "90034", "Call not answered yet", None);
        }
        "record_start" => {
            if text(body, "format").is_none() || text(body, "channels").is_none() {
                return invalid("format", "format and channels are required");
            }
            call.request.record = true;
            return done();
        }
        "record_stop" if call.request.record => return done(),
        "send_dtmf" => match text(body, "digits") {
            Some(digits) => {
                exchange.send_digits(id, digits.replace(['w', 'W'], ""));
                return done();
            }
            None => Err(("digits", "is required")),
        },
        "streaming_stop" => Ok(vec![Step::AwaitCommand]),
        "streaming_start" => stream_step(body).map(|step| vec![step, Step::AwaitCommand]),
        "speak" => say_step(body).map(|step| vec![step, Step::Redirect { url: SPEAK_ENDED.to_owned() }]),
        "playback_start" => play_steps(body),
        "gather" => gather_step(body, "initial_timeout_millis", 5_000).map(|step| vec![step]),
        // How long an answer is waited for after the prompt, here under the name of what is all of it in `gather`.
        "gather_using_speak" => {
            let gather = gather_step(body, "timeout_millis", 60_000);
            say_step(body).and_then(|say| Ok(vec![say, gather?]))
        }
        "transfer" => match text(body, "to") {
            Some(to) => {
                let caller_id = text(body, "from").map(str::to_owned);
                let next = other_leg(id, to, body, exchange);
                Ok(vec![Step::Dial { to: to.to_owned(), caller_id }, next])
            }
            None => Err(("to", "is required")),
        },
        _ => return not_found(),
    };
    match steps {
        Ok(steps) => {
            exchange.instruct(id, steps);
            done()
        }
        Err((field, reason)) => invalid(field, reason),
    }
}

/// Whether a command of the same name has been.
fn was_carried_out(call: &SimulatedCall, body: &Value) -> bool {
    let (Some(id), Some(seen)) = (text(body, "command_id"), call.note("command_ids")) else { return false };
    seen.split(' ').any(|one| one == id)
}

/// Notes the name of a command and its state; false, and nothing, if that is not base64.
fn note_command(call: &mut SimulatedCall, body: &Value) -> bool {
    let notes = &mut call.request.notes;
    if let Some(state) = text(body, "client_state") {
        if decode_base64_into(state, &mut Vec::new()).is_err() {
            return false;
        }
        notes.insert("client_state".to_owned(), state.to_owned());
    }
    if let Some(id) = text(body, "command_id") {
        notes.entry("command_ids".to_owned()).or_default().push_str(&format!(" {id}"));
    }
    true
}

/// What follows the dialling of another leg: once it was connected, its end is the call's; if it never was, the call stays up.
fn other_leg(id: &str, to: &str, body: &Value, exchange: &mut Exchange) -> Step {
    let cause = match exchange.behaviour(to) {
        Behaviour::Busy => "user_busy",
        Behaviour::Declines => "call_rejected",
        Behaviour::NoAnswer => "timeout",
        Behaviour::Invalid => "not_found",
        _ => return Step::HangUp,
    };
    if let Some(call) = exchange.call_mut(id) {
        let state = text(body, "target_leg_client_state").unwrap_or_default();
        for (name, value) in [(OTHER_LEG_STATE, state), (OTHER_LEG_CAUSE, cause)] {
            call.request.notes.insert(name.to_owned(), value.to_owned());
        }
    }
    Step::Redirect { url: OTHER_LEG_ENDED.to_owned() }
}

fn other_leg_json(call: &SimulatedCall) -> Value {
    json!({
        "call_control_id": new_call_id(), "call_leg_id": Uuid::new_v4(),
        "client_state": call.note(OTHER_LEG_STATE), "hangup_cause": call.note(OTHER_LEG_CAUSE),
        "hangup_source": "callee", "sip_hangup_cause": "unspecified",
    })
}

fn stream_step(body: &Value) -> Result<Step, Refused> {
    let url: Option<Url> = text(body, "stream_url").and_then(|url| url.parse().ok());
    let Some(url) = url.filter(|url| matches!(url.scheme(), "wss" | "ws")) else {
        return Err(("stream_url", "must start with wss://"));
    };
    if text(body, "stream_bidirectional_mode") != Some("rtp") {
        return Err(("stream_bidirectional_mode", "is mp3 by default, which is not simulated"));
    }
    let rate = body["stream_bidirectional_sampling_rate"].as_u64().unwrap_or(8_000);
    let format = match (text(body, "stream_bidirectional_codec").unwrap_or("PCMU"), rate) {
        ("PCMU", 8_000) => AudioFormat::MULAW_8K,
        ("PCMA", 8_000) => AudioFormat::ALAW_8K,
        ("L16", 16_000) => AudioFormat::LINEAR16_16K,
        ("L16", 24_000) => AudioFormat::LINEAR16_24K,
        ("L16", 48_000) => AudioFormat::LINEAR16_48K,
        _ => return Err(("stream_bidirectional_codec", "is not simulated")),
    };
    let pairs = body["custom_parameters"].as_array().into_iter().flatten();
    let parameters = pairs
        .filter_map(|pair| Some((pair["name"].as_str()?.to_owned(), pair["value"].as_str()?.to_owned())))
        .collect();
    Ok(Step::Stream { url, format, parameters })
}

fn say_step(body: &Value) -> Result<Step, Refused> {
    if text(body, "voice").is_none() {
        return Err(("voice", "is required"));
    }
    match text(body, "payload").filter(|text| text.chars().count() <= 3_000) {
        Some(text) => Ok(Step::Say { text: text.to_owned() }),
        None => Err(("payload", "is required, and has at most 3000 characters")),
    }
}

fn play_steps(body: &Value) -> Result<Vec<Step>, Refused> {
    let Some(url) = text(body, "audio_url") else { return Err(("audio_url", "is required")) };
    let times = body["loop"].as_u64().unwrap_or(1);
    if !(1..=100).contains(&times) {
        return Err(("loop", "is 1 to 100"));
    }
    let plays = (0..times).map(|_| Step::Play { url: url.to_owned() });
    Ok(plays.chain([Step::Redirect { url: PLAYBACK_ENDED.to_owned() }]).collect())
}

/// The engine knows one wait for all digits: the first one's.
fn gather_step(body: &Value, wait: &str, default: u64) -> Result<Step, Refused> {
    let count = |name, default, range: std::ops::RangeInclusive<u64>| {
        let given = body.get(name).map_or(Some(default), Value::as_u64);
        given.filter(|given| range.contains(given)).ok_or((name, "is out of range"))
    };
    count("minimum_digits", 1, 1..=128)?;
    count("inter_digit_timeout_millis", 5_000, 1..=120_000)?;
    let most = count("maximum_digits", 128, 1..=128)?;
    let millis = body.get(wait).map_or(Some(default), Value::as_u64).ok_or(("timeout_millis", "is out of range"))?;
    Ok(Step::Gather {
        max_digits: usize::try_from(most).unwrap_or(128),
        timeout: Duration::from_millis(millis),
        finish_on_hash: body["terminating_digit"].as_str().is_none_or(|digit| digit == "#"),
        callback: GATHER_ENDED.to_owned(),
    })
}

fn list_numbers(query: &str, exchange: &Exchange) -> Answer {
    let filters: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let wanted = |name: &str| filters.get(&format!("filter[{name}]")).map(String::as_str);
    let matches = |known: &&SimulatedNumber| {
        wanted("phone_number").is_none_or(|digits| known.number.trim_start_matches('+').contains(digits))
            && wanted("connection_id").is_none_or(|id| known.notes.get("connection_id").is_some_and(|own| own == id))
    };
    let found: Vec<Value> = exchange.numbers().iter().filter(matches).map(number_json).collect();
    page(query, 20, &found)
}

/// The part of a list that is asked for.
fn page(query: &str, usual_size: usize, all: &[Value]) -> Answer {
    let query: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let count = |name: &str, default: usize| query.get(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (page, size) = (count("page[number]", 1).max(1), count("page[size]", usual_size));
    if !(1..=250).contains(&size) {
        return error(StatusCode::BAD_REQUEST, "10015", "page[size] must be 1 to 250", None);
    }
    let part: Vec<&Value> = all.iter().skip((page - 1) * size).take(size).collect();
    let meta = json!({
        "page_number": page, "page_size": size, "total_pages": all.len().div_ceil(size), "total_results": all.len(),
    });
    answer(StatusCode::OK, &json!({"data": part, "meta": meta}))
}

fn bind_number(id: &str, body: &Value, exchange: &mut Exchange) -> Answer {
    let Some(number) = exchange.number_mut(&number_of(id)) else { return not_found() };
    match body["connection_id"].as_str() {
        Some(APPLICATION_ID) => {
            number.notes.insert("connection_id".to_owned(), APPLICATION_ID.to_owned());
        }
        Some("") => {
            number.notes.remove("connection_id");
        }
        _ => return invalid("connection_id", "is no application of the account"),
    }
    data(&number_json(number))
}

/// The number that has an id.
fn number_of(id: &str) -> String {
    format!("+{}", id.strip_prefix("12").unwrap_or_default())
}

/// Its id is no number that could be called, and never changes.
fn number_json(number: &SimulatedNumber) -> Value {
    let application = number.notes.get("connection_id");
    json!({
        "record_type": "phone_number", "id": format!("12{}", number.number.trim_start_matches('+')),
        "phone_number": number.number, "status": "active", "connection_id": application,
        "connection_name": application.map(|_| "Sandbox"), "tags": [], "deletion_lock_enabled": false, "country_iso_alpha2": "US",
        "phone_number_type": "local", "created_at": "2019-10-23T18:10:00.000Z", "purchased_at": "2019-10-23T18:10:00.000Z",
    })
}

fn call_json(call: &SimulatedCall) -> Value {
    let alive = call.answered_at.is_some() && call.ended_at.is_none();
    let mut call_data = json!({
        "record_type": "call", "call_control_id": call.id(), "call_leg_id": leg(call), "call_session_id": leg(call),
        "client_state": call.note("client_state"), "is_alive": alive, "start_time": moment(call.created_at),
        "call_duration": call.duration().as_secs(),
    });
    if let Some(end) = call.ended_at {
        call_data["end_time"] = moment(end).into();
    }
    call_data
}

/// The name of a leg, which is another than that of the handle for its commands.
fn leg(call: &SimulatedCall) -> String {
    let id = call.id().trim_start_matches("v3:");
    Uuid::parse_str(id).map_or_else(|_| id.to_owned(), |uuid| uuid.hyphenated().to_string())
}

fn end_json(call: &SimulatedCall, cause: EndCause) -> Value {
    let answered = call.answered_at.is_some();
    let (cause, sip) = match cause {
        EndCause::Busy => ("user_busy", "486"),
        EndCause::Declined | EndCause::Rejected => ("call_rejected", "603"),
        EndCause::NoAnswer => ("timeout", "487"),
        EndCause::InvalidNumber => ("not_found", "404"),
        EndCause::TimeLimit => ("time_limit", "unspecified"),
        EndCause::DocumentFailed => ("unspecified", "unspecified"),
        _ if answered => ("normal_clearing", "200"),
        _ => ("originator_cancel", "487"),
    };
    json!({"hangup_cause": cause, "hangup_source": "unknown", "sip_hangup_cause": sip})
}

fn cost_json(call: &SimulatedCall, rate: Decimal) -> Value {
    let cost = call.charge(rate).to_string();
    let billed = call.duration().as_secs().div_ceil(60) * 60;
    json!({
        "status": "success", "total_cost": cost, "billed_duration_secs": billed,
        "cost_parts": [{
            "call_part": "sip-trunking", "cost": cost, "currency": "USD", "rate": rate.to_string(),
            "billed_duration_secs": billed,
        }],
    })
}

fn recording_json(call: &SimulatedCall) -> Value {
    json!({
        "recording_id": leg(call), "format": "wav",
        "recording_urls": {"wav": format!("https://s3.amazonaws.com/telephony-recorder-prod/{}.wav", leg(call))},
        "public_recording_urls": {}, "channels": "dual",
        "recording_started_at": call.answered_at.map(moment), "recording_ended_at": call.ended_at.map(moment),
    })
}

fn done() -> Answer {
    data(&json!({"result": "ok"}))
}

fn not_found() -> Answer {
    error(StatusCode::NOT_FOUND, "10005", "Resource not found", None)
}

fn state_refused() -> Answer {
    error(StatusCode::UNPROCESSABLE_ENTITY, "90017", "Invalid value for client_state", Some("client_state"))
}

fn invalid(field: &str, reason: &str) -> Answer {
    error(StatusCode::UNPROCESSABLE_ENTITY, "10015", reason, Some(field))
}

fn error(status: StatusCode, code: &str, title: &str, field: Option<&str>) -> Answer {
    let mut entry = json!({"code": code, "title": title, "detail": title});
    if let Some(field) = field {
        entry["source"] = json!({"pointer": format!("/{field}")});
    }
    answer(status, &json!({"errors": [entry]}))
}

fn data(value: &Value) -> Answer {
    answer(StatusCode::OK, &json!({"data": value}))
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

fn moment(when: Timestamp) -> String {
    when.format(&Rfc3339).unwrap_or_default()
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body[name].as_str().filter(|text| !text.is_empty())
}
