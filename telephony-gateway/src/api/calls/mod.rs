//! Calls: placing them, looking at them, and what can be done to one that is up.

mod export;
mod live;
mod waveform;

use std::{io, time::Duration};

use axum::{
    Json as Answer,
    body::Body,
    extract::{Request, State},
    response::{AppendHeaders, IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use telephony_core::{
    Address, CallCost, CallStatus, DigitSequence, Direction, HangUp, LegOwner, MachineDetection, Timestamp, error_chain,
};
use time::format_description::well_known::Rfc3339;
use tower_http::services::ServeFile;
use tracing::error;
use utoipa::{
    IntoParams, ToSchema,
    openapi::schema::{Object, ObjectBuilder, SchemaType, Type},
};
use uuid::Uuid;

pub(super) use {export::*, live::*, waveform::*};

use super::{
    auth::Caller,
    problem::{Json, Path, Problem, Query},
    rfc3339,
};
use crate::{
    service::{CallRequest, Placed, Service},
    store::{DialState, RunFilter, StoredEvent, StoredRun},
    timeline,
};

/// The most calls of a page.
const LARGEST_PAGE: u32 = 200;

/// The calls of a page that asks for no number.
const PAGE: u32 = 50;

/// The longest idempotency key.
const LONGEST_KEY: usize = 255;

/// A call.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Call {
    /// Its id.
    id: Uuid,
    #[schema(schema_with = direction_schema)]
    direction: &'static str,
    /// Who calls.
    from: String,
    /// Who is called.
    to: String,
    /// The carrier.
    provider: String,
    /// The account; null once that was deleted.
    configuration_id: Option<Uuid>,
    /// What it is for; null once that was deleted.
    workflow_id: Option<Uuid>,
    #[schema(schema_with = status_schema)]
    status: Option<&'static str>,
    /// Why it ended, in the carrier's words.
    reason: Option<String>,
    /// Whether it is over.
    is_over: bool,
    #[schema(schema_with = dial_state_schema)]
    dial_state: &'static str,
    /// Why there is no call, or why that is not known.
    dial_error: Option<String>,
    /// The carrier's id of it, once it has one.
    carrier_call_id: Option<String>,
    /// Who answered, where that was asked: `human`, `machine`, ….
    #[schema(value_type = Option<Object>)]
    answered_by: Option<Value>,
    /// How long it lasted, as the carrier counts.
    duration_secs: Option<u64>,
    /// What it cost.
    cost: Cost,
    #[schema(schema_with = media_state_schema)]
    media_state: String,
    /// What went over the stream.
    #[schema(value_type = Option<Object>)]
    media: Option<Value>,
    /// Whether there is a recording.
    has_recording: bool,
    /// When it was opened, RFC 3339.
    created_at: String,
    /// When it was over, RFC 3339.
    ended_at: Option<String>,
}

/// One of some words.
pub(super) fn words(description: &str, words: impl IntoIterator<Item = &'static str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description)).enum_values(Some(words))
}

fn direction_schema() -> Object {
    words("Who calls whom, seen from here.", ["inbound", "outbound"]).build()
}

fn status_schema() -> Object {
    let description = "Where it stands; null before the carrier has said so.";
    let known = CallStatus::ALL.map(|status| Value::from(status.as_str()));
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some(description))
        .enum_values(Some(known.into_iter().chain([Value::Null])))
        .build()
}

fn dial_state_schema() -> Object {
    let description = "Whether the carrier was asked for it; one that is `unknown` is not dialled again.";
    words(description, DialState::ALL.map(DialState::as_str)).build()
}

fn media_state_schema() -> Object {
    words("Where its stream stands.", ["none", "open", "closed"]).build()
}

fn cost_state_schema() -> Object {
    let description = "Whether the price is known; `unsupported`: the carrier tells none.";
    words(description, ["pending", "rated", "unsupported", "given_up"]).build()
}

/// What a call cost.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Cost {
    #[schema(schema_with = cost_state_schema)]
    state: String,
    /// A decimal number.
    amount: Option<String>,
    /// ISO 4217.
    currency: Option<String>,
}

impl Cost {
    fn of(run: &StoredRun) -> Self {
        let total = match &run.summary.cost {
            Some(CallCost::Rated { total, .. }) => Some(total),
            _ => None,
        };
        Self {
            state: run.cost_state.clone(),
            amount: total.map(|total| total.amount.to_string()),
            currency: total.map(|total| total.currency.code().to_owned()),
        }
    }
}

impl From<StoredRun> for Call {
    fn from(run: StoredRun) -> Self {
        Self {
            id: run.id.into(),
            direction: match run.direction {
                Direction::Inbound => "inbound",
                Direction::Outbound => "outbound",
            },
            cost: Cost::of(&run),
            carrier_call_id: run.call.id().map(ToString::to_string),
            from: run.from,
            to: run.to,
            provider: run.provider,
            configuration_id: run.configuration,
            workflow_id: run.workflow.map(Uuid::from),
            status: run.summary.status.map(CallStatus::as_str),
            reason: run.summary.reason,
            is_over: run.is_over,
            dial_state: run.dial_state.as_str(),
            dial_error: run.dial_error,
            answered_by: run.summary.answered_by.and_then(|who| serde_json::to_value(who).ok()),
            duration_secs: run.summary.duration.map(|length| length.as_secs()),
            media_state: run.media_state,
            media: run.media,
            has_recording: run.recording.is_some(),
            created_at: rfc3339(run.created_at),
            ended_at: run.ended_at.map(rfc3339),
        }
    }
}

/// A row of a call's ledger.
#[derive(Serialize, ToSchema)]
pub(super) struct CallEvent {
    /// Its number.
    id: i64,
    /// What happened, in a word or two.
    event: String,
    /// What it carried, in the carrier's words.
    detail: String,
    /// Where it came from: `webhook`, `rest`, `media`, `gateway`.
    source: String,
    /// When it happened, by the carrier's clock, RFC 3339.
    occurred_at: Option<String>,
    /// When it came, RFC 3339.
    received_at: String,
    /// All of it.
    #[schema(value_type = Object)]
    raw: Value,
}

impl From<StoredEvent> for CallEvent {
    fn from(stored: StoredEvent) -> Self {
        let (event, detail) = timeline::describe(&stored.event.kind);
        Self {
            id: stored.id,
            event,
            detail,
            source: stored.source,
            occurred_at: stored.event.occurred_at.map(rfc3339),
            received_at: rfc3339(stored.received_at),
            raw: serde_json::to_value(&stored.event.kind).unwrap_or_default(),
        }
    }
}

/// A call to place.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCall {
    /// What it is for.
    workflow_id: Uuid,
    /// Whom to call, in E.164 or as a SIP URI.
    to: String,
    /// The account. Absent: the default.
    #[serde(default)]
    configuration_id: Option<Uuid>,
    /// The caller ID, in E.164 or a SIP URI. Absent: the account's default, else one of its numbers.
    #[serde(default)]
    from: Option<String>,
    /// How long it may ring.
    #[serde(default)]
    ring_timeout_secs: Option<u32>,
    /// How long it may last.
    #[serde(default)]
    time_limit_secs: Option<u32>,
    /// Whether to find out who answers: `detect` or `detect_beep`, or `hang_up` on machines.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    machine_detection: Option<MachineDetection>,
    /// DTMF to send once answered: 1 to 64 of 0-9, A-D, #, *, and w for half a second of pause.
    #[serde(default)]
    digits_on_answer: Option<String>,
}

pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(field: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: T::Err| Problem::field(StatusCode::UNPROCESSABLE_ENTITY, field, error.to_string()))
}

impl NewCall {
    fn request(&self) -> Result<CallRequest, Problem> {
        let mut request = CallRequest::new(self.workflow_id.into(), parsed::<Address>("to", &self.to)?);
        request.configuration = self.configuration_id;
        request.from = self.from.as_deref().map(|from| parsed("from", from)).transpose()?;
        let seconds = |field: &str, value: Option<u32>| match value {
            Some(0) => Err(Problem::field(StatusCode::UNPROCESSABLE_ENTITY, field, "must be 1 or more")),
            other => Ok(other.map(|seconds| Duration::from_secs(seconds.into()))),
        };
        request.ring_timeout = seconds("ring_timeout_secs", self.ring_timeout_secs)?;
        request.time_limit = seconds("time_limit_secs", self.time_limit_secs)?;
        request.machine_detection = self.machine_detection;
        let digits = self.digits_on_answer.as_deref();
        request.digits_on_answer = digits.map(|digits| parsed("digits_on_answer", digits)).transpose()?;
        Ok(request)
    }
}

/// Places a call. With an `Idempotency-Key`, the same request places it once, however often it comes.
#[utoipa::path(post, operation_id = "initiate_call", path = "/telephony/initiate-call", tag = "calls", params(
    ("Idempotency-Key" = Option<String>, Header, description = "The same for every attempt at the same call, 1 to 255 characters"),
), request_body = NewCall, responses(
    (status = 201, description = "The carrier was asked: `dial_state` says what it said", body = Call),
    (status = 200, description = "It was placed before, with the same key", body = Call),
    (status = 409, description = "A simulated carrier is behind the account, and does not run", body = Problem),
    (status = 422, description = "A field is wrong, or the account has no caller ID: nothing was dialled", body = Problem),
    (status = 429, description = "As many calls as may be at the same time", body = Problem),
    (status = 502, description = "The carrier refused", body = Problem),
    (status = 503, description = "The gateway is about to end: ask another, or again", body = Problem),
))]
pub(super) async fn initiate(
    State(service): State<Service>,
    caller: Caller,
    headers: HeaderMap,
    Json(new): Json<NewCall>,
) -> Result<(StatusCode, Answer<Call>), Problem> {
    let key = match headers.get("idempotency-key").map(|value| value.to_str()) {
        None => None,
        Some(Ok(key)) if (1..=LONGEST_KEY).contains(&key.len()) => Some(key.to_owned()),
        Some(_) => {
            let reason = format!("must have 1 to {LONGEST_KEY} characters of ASCII");
            return Err(Problem::field(StatusCode::UNPROCESSABLE_ENTITY, "Idempotency-Key", reason));
        }
    };
    let (status, run) = match service.initiate_call(caller.organization, new.request()?, key).await? {
        Placed::New(run) => (StatusCode::CREATED, run),
        Placed::Existing(run) => (StatusCode::OK, run),
    };
    Ok((status, Answer(run.into())))
}

/// Which calls are wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallQuery {
    /// Only those with this status.
    pub(crate) status: Option<String>,
    /// Only `inbound` or `outbound` ones.
    pub(crate) direction: Option<String>,
    /// Only those of this account.
    pub(crate) configuration_id: Option<Uuid>,
    /// Only those of this workflow.
    pub(crate) workflow_id: Option<Uuid>,
    /// Only those whose caller or called number contains this.
    pub(crate) number: Option<String>,
    /// Only those opened then or later, RFC 3339.
    pub(crate) since: Option<String>,
    /// Only those opened before, RFC 3339.
    pub(crate) until: Option<String>,
    /// Where to go on: `next_cursor` of the page before.
    cursor: Option<Uuid>,
    /// At most so many, 1 to 200; 50 if absent.
    limit: Option<u32>,
}

/// A page of calls.
#[derive(Serialize, ToSchema)]
pub(super) struct CallPage {
    /// The calls, newest first.
    calls: Vec<Call>,
    /// What to ask with for the next page; null on the last.
    next_cursor: Option<Uuid>,
}

impl CallQuery {
    /// Reads the query of an address, as a page has it.
    pub(crate) fn of(uri: &http::Uri) -> Result<Self, Problem> {
        Query::of(uri).map(|Query(query)| query)
    }

    pub(crate) fn filter(&self) -> Result<(RunFilter, u32), Problem> {
        let wrong = |field: &str, reason: String| Problem::field(StatusCode::UNPROCESSABLE_ENTITY, field, reason);
        let status = self.status.as_deref().map(|word| {
            let known = CallStatus::ALL.into_iter().find(|status| status.as_str() == word);
            known.ok_or_else(|| {
                wrong("status", format!("must be one of {}", CallStatus::ALL.map(CallStatus::as_str).join(", ")))
            })
        });
        let direction = self.direction.as_deref().map(|word| match word {
            "inbound" => Ok(Direction::Inbound),
            "outbound" => Ok(Direction::Outbound),
            _ => Err(wrong("direction", "must be inbound or outbound".to_owned())),
        });
        let moment = |field: &str, text: &Option<String>| {
            let parsed = text.as_deref().map(|text| Timestamp::parse(text, &Rfc3339));
            parsed.transpose().map_err(|_| wrong(field, "must be a time such as 2026-07-14T09:15:00Z".to_owned()))
        };
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=LARGEST_PAGE).contains(&limit) {
            return Err(wrong("limit", format!("must be 1 to {LARGEST_PAGE}")));
        }
        let filter = RunFilter {
            status: status.transpose()?,
            direction: direction.transpose()?,
            configuration: self.configuration_id,
            workflow: self.workflow_id.map(Into::into),
            number: self.number.clone(),
            since: moment("since", &self.since)?,
            until: moment("until", &self.until)?,
            before: self.cursor.map(Into::into),
        };
        Ok((filter, limit))
    }
}

/// Lists calls, newest first.
#[utoipa::path(get, operation_id = "list_calls", path = "/calls", tag = "calls", params(CallQuery), responses(
    (status = 200, description = "A page of calls", body = CallPage),
    (status = 422, description = "A filter is wrong", body = Problem),
))]
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    Query(query): Query<CallQuery>,
) -> Result<Answer<CallPage>, Problem> {
    let (filter, limit) = query.filter()?;
    let page = service.store().runs(caller.organization, &filter, limit).await?;
    let next_cursor = page.runs.last().filter(|_| page.more).map(|run| run.id.into());
    Ok(Answer(CallPage { calls: page.runs.into_iter().map(Call::from).collect(), next_cursor }))
}

async fn found(service: &Service, caller: Caller, id: Uuid) -> Result<StoredRun, Problem> {
    let run = service.store().run_of(caller.organization, id.into()).await?;
    run.ok_or_else(|| Problem::not_found("call"))
}

/// Reads a call.
#[utoipa::path(get, operation_id = "read_call", path = "/calls/{id}", tag = "calls", params(("id" = Uuid, Path, description = "The call")), responses(
    (status = 200, description = "The call", body = Call),
    (status = 404, description = "There is none", body = Problem),
))]
pub(super) async fn read(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Answer<Call>, Problem> {
    Ok(Answer(found(&service, caller, id).await?.into()))
}

/// Reads the ledger of a call: everything that happened, in the order in which it came.
#[utoipa::path(get, operation_id = "read_call_events", path = "/calls/{id}/events", tag = "calls", params(("id" = Uuid, Path, description = "The call")), responses(
    (status = 200, description = "The ledger", body = Vec<CallEvent>),
    (status = 404, description = "There is none", body = Problem),
))]
pub(super) async fn events(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Answer<Vec<CallEvent>>, Problem> {
    let run = found(&service, caller, id).await?;
    let events = service.store().events(run.id).await?;
    Ok(Answer(events.into_iter().map(CallEvent::from).collect()))
}

/// What came of hanging up.
#[derive(Serialize, ToSchema)]
pub(super) struct HungUp {
    /// `ended`, or `already_ended`.
    outcome: &'static str,
}

/// Ends a call. One that is over is no error.
#[utoipa::path(post, operation_id = "hang_up_call", path = "/calls/{id}/hang-up", tag = "calls", params(("id" = Uuid, Path, description = "The call")), responses(
    (status = 200, description = "It ends, or has ended", body = HungUp),
    (status = 404, description = "There is none", body = Problem),
    (status = 409, description = "The carrier has not told of it yet", body = Problem),
))]
pub(super) async fn hang_up(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Answer<HungUp>, Problem> {
    let outcome = match service.hang_up(caller.organization, id.into()).await? {
        HangUp::Ended => "ended",
        HangUp::AlreadyEnded => "already_ended",
    };
    Ok(Answer(HungUp { outcome }))
}

/// Whom to connect a call to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TransferBody {
    /// In E.164 or as a SIP URI.
    to: String,
}

/// A transfer that the carrier took on.
#[derive(Serialize, ToSchema)]
pub(super) struct Transferred {
    /// Who decides over the caller's leg from now on: `carrier` (do not hang up) or `application`.
    leg_owner: &'static str,
    /// Whether the media stream of the call ends with it.
    ends_stream: bool,
}

/// Connects a call to somebody else.
#[utoipa::path(post, operation_id = "transfer_call", path = "/calls/{id}/transfer", tag = "calls", params(("id" = Uuid, Path, description = "The call")),
    request_body = TransferBody, responses(
    (status = 200, description = "The carrier took it on", body = Transferred),
    (status = 404, description = "There is none", body = Problem),
    (status = 409, description = "It is over", body = Problem),
    (status = 422, description = "The number is wrong, or the carrier cannot transfer", body = Problem),
))]
pub(super) async fn transfer(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(body): Json<TransferBody>,
) -> Result<Answer<Transferred>, Problem> {
    found(&service, caller, id).await?;
    let transfer = service.transfer(caller.organization, id.into(), parsed("to", &body.to)?).await?;
    let leg_owner = match transfer.leg_owner {
        LegOwner::Carrier => "carrier",
        LegOwner::Application => "application",
    };
    Ok(Answer(Transferred { leg_owner, ends_stream: transfer.ends_stream }))
}

/// Digits to send.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DigitsBody {
    /// 1 to 64 of 0-9, A-D, #, *, and w for half a second of pause.
    digits: String,
}

/// Sends DTMF on a call.
#[utoipa::path(post, operation_id = "send_digits", path = "/calls/{id}/digits", tag = "calls", params(("id" = Uuid, Path, description = "The call")),
    request_body = DigitsBody, responses(
    (status = 204, description = "They are sent"),
    (status = 404, description = "There is none", body = Problem),
    (status = 409, description = "It is over", body = Problem),
    (status = 422, description = "They are none, or the carrier cannot send any", body = Problem),
))]
pub(super) async fn digits(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(body): Json<DigitsBody>,
) -> Result<StatusCode, Problem> {
    found(&service, caller, id).await?;
    let digits: DigitSequence = parsed("digits", &body.digits)?;
    service.send_digits(caller.organization, id.into(), &digits).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says what a call cost.
#[utoipa::path(get, operation_id = "read_call_cost", path = "/calls/{id}/cost", tag = "calls", params(("id" = Uuid, Path, description = "The call")), responses(
    (status = 200, description = "What is known of it", body = Cost),
    (status = 404, description = "There is none", body = Problem),
))]
pub(super) async fn cost(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Answer<Cost>, Problem> {
    Ok(Answer(Cost::of(&found(&service, caller, id).await?)))
}

/// What a recording is.
const WAV: &str = "audio/wav";

/// Fetches the recording of a call: a WAV file, left the caller, right what the caller heard. A part of it is had with `Range`, as players
/// do to go to a place in it.
#[utoipa::path(get, operation_id = "read_recording", path = "/calls/{id}/recording", tag = "calls", params(
    ("id" = Uuid, Path, description = "The call"),
    ("Range" = Option<String>, Header, description = "Which bytes of it, such as `bytes=0-1023`; all if absent"),
), responses(
    (status = 200, description = "The recording", content_type = "audio/wav"),
    (status = 206, description = "The part of it that was asked for; `content-range` says which", content_type = "audio/wav"),
    (status = 304, description = "It is as it was, going by `if-modified-since`"),
    (status = 404, description = "There is none", body = Problem),
    (status = 416, description = "It has no such part; `content-range` says how long it is", body = Problem),
))]
pub(super) async fn recording(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
    request: Request,
) -> Result<Response, Problem> {
    let run = found(&service, caller, id).await?;
    let missing = || Problem::not_found("recording");
    let name = run.recording.ok_or_else(missing)?;
    let folder = service.options().recordings.clone().ok_or_else(missing)?;
    // It lies with the gateway that carried the call.
    let served = ServeFile::new(folder.join(name)).try_call(request).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => missing(),
        _ => {
            error!(error = error_chain(&error), "A recording could not be read.");
            let detail = "the recording could not be read; the log says more";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The gateway failed", detail)
        }
    })?;
    match served.status() {
        StatusCode::NOT_FOUND => Err(missing()),
        StatusCode::RANGE_NOT_SATISFIABLE => {
            let detail = "the recording has no such part; content-range says how long it is";
            let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "No such part", detail);
            let length = served.headers().get(header::CONTENT_RANGE).cloned();
            Ok((AppendHeaders(length.map(|length| (header::CONTENT_RANGE, length))), problem).into_response())
        }
        _ => {
            let (mut head, body) = served.into_parts();
            if head.headers.contains_key(header::CONTENT_TYPE) {
                head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(WAV));
            }
            Ok(Response::from_parts(head, Body::new(body)))
        }
    }
}
