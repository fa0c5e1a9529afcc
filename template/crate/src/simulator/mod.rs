//! Acme Telephone, simulated: written from its documentation, and sharing nothing with the provider but the media messages.
//!
//! What it plays: calls, numbers and the account, with the carrier's status codes and error bodies; webhooks as it signs them
//! (`webhooks`); what a call is told (`answers`); the price that comes late.
//!
//! FILL IN: what does it refuse rather than play wrongly?

mod answers;
// [hmac
#[cfg(hmac)]
#[path = "webhooks.hmac.rs"]
mod webhooks;
// ]
// [jwt
#[cfg(jwt)]
#[path = "webhooks.jwt.rs"]
mod webhooks;
// ]
// [ed25519
#[cfg(ed25519)]
#[path = "webhooks.ed25519.rs"]
mod webhooks;
// ]
// [token
#[cfg(token)]
#[path = "webhooks.token.rs"]
mod webhooks;
// ]

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use telephony_core::{
    CallId, CallRef, CallStatus, Decimal, Direction, Timestamp, Url, audio::AudioFormat, media::StreamStart,
};
use telephony_sandbox::{
    Ask, CarrierSimulator, EndCause, Exchange, NewCall, Report, SimulatedCall, SimulatorDescriptor, Step,
};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// The simulator of this provider's carrier.
pub static SIMULATOR: SimulatorDescriptor = SimulatorDescriptor::new(&crate::DESCRIPTOR, || Box::new(AcmeSimulator));
telephony_sandbox::register_simulator!(SIMULATOR);

const ACCOUNT_ID: &str = "acc-sandbox-1";
const API_KEY: &str = "key-of-the-sandbox-0123456789";

#[derive(Debug)]
struct AcmeSimulator;

type Answer = Response<Bytes>;

impl CarrierSimulator for AcmeSimulator {
    fn account(&self, api: &Url) -> Value {
        let mut account = json!({"account_id": ACCOUNT_ID, "api_key": API_KEY, "api_base_url": api});
        let (field, value) = webhooks::credential();
        account[field] = value.into();
        account
    }

    fn new_call_id(&mut self) -> String {
        new_id("call")
    }

    // FILL IN: how does the carrier answer each request, with which status codes and bodies?
    fn rest(&mut self, request: &Request<Bytes>, exchange: &mut Exchange) -> Answer {
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if given != Some(format!("Bearer {API_KEY}").as_str()) {
            return self.failure(StatusCode::UNAUTHORIZED);
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        match (request.method().as_str(), path.as_slice()) {
            ("GET", ["v1", "account"]) => answer(
                StatusCode::OK,
                &json!({"id": ACCOUNT_ID, "name": "Sandbox", "balance": "25.00", "currency": "USD"}),
            ),
            ("POST", ["v1", "calls"]) => self.create_call(&body, exchange),
            ("GET", ["v1", "calls", id]) => match exchange.call(id) {
                Some(call) => answer(StatusCode::OK, &self.call_json(call)),
                None => self.failure(StatusCode::NOT_FOUND),
            },
            ("POST", ["v1", "calls", id, "hang-up"]) => match exchange.hang_up(id) {
                true => answer(StatusCode::OK, &json!({})),
                false => self.not_live(id, exchange),
            },
            // [document
            #[cfg(document)]
            ("POST", ["v1", "calls", id, "document"]) => match answers::replace(id, &body, exchange) {
                Ok(true) => answer(StatusCode::OK, &json!({})),
                Ok(false) => self.not_live(id, exchange),
                Err(reason) => error(StatusCode::UNPROCESSABLE_ENTITY, "invalid_document", &reason, None),
            },
            // ]
            // [commands
            #[cfg(commands)]
            ("POST", ["v1", "calls", id, "commands"]) => match answers::run(id, &body, exchange) {
                Ok(true) => answer(StatusCode::OK, &json!({})),
                Ok(false) => self.not_live(id, exchange),
                Err(reason) => error(StatusCode::UNPROCESSABLE_ENTITY, "invalid_command", &reason, None),
            },
            // ]
            ("GET", ["v1", "numbers"]) => list_numbers(request.uri().query().unwrap_or_default(), exchange),
            ("PUT", ["v1", "numbers", number]) => self.update_number(number, &body, exchange),
            _ => self.failure(StatusCode::NOT_FOUND),
        }
    }

    fn failure(&self, status: StatusCode) -> Answer {
        let code = match status {
            StatusCode::UNAUTHORIZED => "unauthorized",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::TOO_MANY_REQUESTS => "rate_limited",
            _ => "internal",
        };
        error(status, code, status.canonical_reason().unwrap_or_default(), None)
    }

    // FILL IN: what does the carrier report, where to, and in which order?
    fn report(&mut self, call: &SimulatedCall, happening: &Report, now: Timestamp) -> Vec<Request<Bytes>> {
        let event = match happening {
            Report::Initiated if call.direction == Direction::Outbound => "call.initiated",
            Report::Ringing if call.direction == Direction::Outbound => "call.ringing",
            // [document
            #[cfg(document)]
            Report::Answered => "call.answered",
            // ]
            // [commands
            // That an outbound call was answered is what it asks with.
            #[cfg(commands)]
            Report::Answered if call.direction == Direction::Inbound => "call.answered",
            // ]
            Report::StreamStarted => "stream.started",
            Report::StreamStopped => "stream.stopped",
            Report::StreamFailed => "stream.failed",
            Report::Ended(_) => "call.ended",
            _ => return Vec::new(), // The price is in the answer to whoever asks.
        };
        let mut more = Vec::new();
        if let Report::Ended(cause) = happening {
            more.push(("cause", cause_of(*cause).to_owned()));
            more.push(("duration_secs", call.duration().as_secs().to_string()));
        }
        webhook(call, call.note("events_url"), event, more, now).into_iter().collect()
    }

    fn ask(&mut self, call: &SimulatedCall, why: &Ask, now: Timestamp) -> Option<Request<Bytes>> {
        let own = call.note("answer_url");
        // [document
        #[cfg(document)]
        let (url, event, more) = match why {
            Ask::Answered => (own, "document.wanted", ("reason", "answered")),
            Ask::Inbound => (own, "document.wanted", ("reason", "inbound")),
            Ask::Redirect { url } => (Some(url.as_str()), "document.wanted", ("reason", "continued")),
            _ => return None,
        };
        // ]
        // [commands
        #[cfg(commands)]
        let (url, event, more) = match why {
            Ask::Answered => (own, "call.answered", ("tag", "")),
            Ask::Inbound => (own, "call.incoming", ("tag", "")),
            Ask::Redirect { url: tag } => (own, "command.done", ("tag", tag.as_str())),
            _ => return None,
        };
        // ]
        webhook(call, url, event, vec![(more.0, more.1.to_owned())], now)
    }

    fn read_answer(&mut self, response: &Answer) -> Result<Vec<Step>, String> {
        answers::read_answer(response)
    }

    fn stream_start(
        &mut self,
        call: &SimulatedCall,
        format: AudioFormat,
        parameters: &BTreeMap<String, String>,
    ) -> StreamStart {
        let reference = CallId::new(call.id()).map_or_else(|_| CallRef::unnamed(), CallRef::new);
        StreamStart::new(reference, format).with_stream_id(new_id("stream")).with_parameters(parameters.clone())
    }

    fn rate_per_minute(&self) -> Decimal {
        // FILL IN: what does a minute cost, about?
        Decimal::new(100, 4)
    }

    fn currency(&self) -> Option<&'static str> {
        Some("USD")
    }
}

impl AcmeSimulator {
    fn create_call(&self, body: &Value, exchange: &mut Exchange) -> Answer {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let refused = |field, reason| error(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", reason, Some(field));
        let (from, to) = (text("from"), text("to"));
        let digits = to.strip_prefix('+').unwrap_or_default();
        if digits.len() < 7 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return refused("to", "is no number in E.164");
        }
        if !exchange.numbers().iter().any(|known| known.number == from) {
            return refused("from", "is no number of the account");
        }
        for field in ["answer_url", "events_url"] {
            if text(field).parse::<Url>().is_err() {
                return refused(field, "is required");
            }
        }
        let seconds = |name: &str| body[name].as_u64().map(Duration::from_secs);
        let call = exchange.place(NewCall {
            id: new_id("call"),
            from,
            to,
            ring_timeout: seconds("ring_timeout_secs"),
            time_limit: seconds("time_limit_secs"),
            notes: ["answer_url", "events_url"].map(|name| (name.to_owned(), text(name))).into(),
            ..NewCall::default()
        });
        answer(StatusCode::CREATED, &self.call_json(call))
    }

    /// Why a call cannot be told anything.
    fn not_live(&self, id: &str, exchange: &Exchange) -> Answer {
        match exchange.call(id) {
            Some(_) => error(StatusCode::CONFLICT, "call_ended", "The call is over.", None),
            None => self.failure(StatusCode::NOT_FOUND),
        }
    }

    fn call_json(&self, call: &SimulatedCall) -> Value {
        let price = call.rated.then(|| call.charge(self.rate_per_minute()).to_string());
        json!({
            "id": call.id(), "status": word_of(call.status), "direction": direction(call), "from": call.request.from,
            "to": call.request.to, "started_at": moment(call.created_at), "ended_at": call.ended_at.map(moment),
            "duration_secs": call.duration().as_secs(), "price": price, "currency": "USD",
        })
    }

    fn update_number(&self, number: &str, body: &Value, exchange: &mut Exchange) -> Answer {
        let Some(number) = exchange.number_mut(&number.replace("%2B", "+")) else {
            return self.failure(StatusCode::NOT_FOUND);
        };
        for name in ["answer_url", "events_url"] {
            match body[name].as_str() {
                Some(url) => number.notes.insert(name.to_owned(), url.to_owned()),
                None => number.notes.remove(name),
            };
        }
        answer(StatusCode::OK, &json!({"number": number.number}))
    }
}

fn list_numbers(query: &str, exchange: &Exchange) -> Answer {
    let value = |name: &str| {
        let pair = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        pair.and_then(|text| text.parse::<usize>().ok())
    };
    let (page, size) = (value("page").unwrap_or(1).max(1), value("page_size").unwrap_or(20).clamp(1, 100));
    let all = exchange.numbers();
    let numbers: Vec<Value> =
        all.iter().skip((page - 1) * size).take(size).map(|n| json!({"number": n.number})).collect();
    let next = (page * size < all.len()).then_some(page + 1);
    answer(StatusCode::OK, &json!({"numbers": numbers, "next_page": next}))
}

/// A signed webhook about a call, if there is anywhere to send it.
fn webhook(
    call: &SimulatedCall,
    url: Option<&str>,
    event: &str,
    more: Vec<(&'static str, String)>,
    now: Timestamp,
) -> Option<Request<Bytes>> {
    let mut fields = vec![
        ("event", event.to_owned()),
        ("event_id", new_id("event")),
        ("account_id", ACCOUNT_ID.to_owned()),
        ("call_id", call.id().to_owned()),
        ("direction", direction(call).to_owned()),
        ("from", call.request.from.clone()),
        ("to", call.request.to.clone()),
        ("status", word_of(call.status).to_owned()),
        ("at", moment(now)),
    ];
    fields.extend(more);
    Some(webhooks::signed(url?, &fields, now))
}

fn new_id(kind: &str) -> String {
    format!("{kind}-{}", Uuid::new_v4().simple())
}

fn moment(time: Timestamp) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

fn direction(call: &SimulatedCall) -> &'static str {
    if call.direction == Direction::Inbound { "inbound" } else { "outbound" }
}

fn word_of(status: CallStatus) -> &'static str {
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

fn cause_of(cause: EndCause) -> &'static str {
    match cause {
        EndCause::Declined => "declined",
        EndCause::InvalidNumber => "invalid_number",
        EndCause::Busy => "busy",
        EndCause::NoAnswer => "no_answer",
        EndCause::TimeLimit => "time_limit",
        EndCause::DocumentFailed => "no_instruction",
        _ => "hung_up",
    }
}

fn answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn error(status: StatusCode, code: &str, message: &str, field: Option<&str>) -> Answer {
    answer(status, &json!({"error": {"code": code, "message": message, "field": field}}))
}
