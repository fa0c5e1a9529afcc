//! The REST API, version 2: JSON, authorised by the API key.
//!
//! Source: <https://developers.telnyx.com/api/call-control>, and the published OpenAPI description of 2026-07.

use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use telephony_core::{
    CallId, CallRef, CallSnapshot, CallState, Conference, MachineDetection, Operation, OutboundCall, OwnedNumber,
    PhoneNumber, TelephonyError, Timestamp, Url,
    http::{ApiRequest, ApiResponse, HttpClient},
};
use time::format_description::well_known::Rfc3339;

use crate::{
    NAME, TelnyxConfig,
    answer::{Command, within},
    webhook::{LEG, SESSION, State},
};

/// The most that a page holds.
const LONGEST_PAGE: u8 = 250;

/// What a page of verified numbers holds if nothing is said; the most is not documented.
const VERIFIED_NUMBERS_PAGE: u8 = 25;

/// More pages than any account has: a list that does not end is refused.
const MOST_PAGES: u64 = 1_000;

/// Telnyx's REST API as one account sees it.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: HttpClient,
    config: TelnyxConfig,
    base: Url,
}

/// Whatever is answered is inside `data`.
#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

/// A command was accepted; what came of it is told by webhook.
#[derive(Deserialize)]
struct Accepted {}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default)]
    total_pages: u64,
}

impl Api {
    pub(crate) fn new(http: HttpClient, config: TelnyxConfig) -> Self {
        let base = config.api_base();
        Self { http, config, base }
    }

    /// `POST /calls`. Sent once: a `command_id` is an idempotency key for a minute, which is less than a carrier may be away.
    pub(crate) async fn create_call(&self, call: &OutboundCall) -> Result<CreatedCall, TelephonyError> {
        let body = call_body(&self.config, call)?;
        let request = ApiRequest::post(self.url(&["calls"])).json(&body);
        let response = self.send(Operation::InitiateCall, request).await?;
        response.json::<Data<CreatedCall>>().map(|created| created.data)
    }

    /// `GET /calls/{call_control_id}`: known until about ten minutes after the end.
    pub(crate) async fn call(&self, operation: Operation, call: &CallRef) -> Result<Call, TelephonyError> {
        let url = self.call_url(operation, call, &[])?;
        self.send(operation, ApiRequest::get(url)).await?.json::<Data<Call>>().map(|call| call.data)
    }

    /// `POST /calls/{call_control_id}/actions/{command}`: once, unless it is something that ends.
    pub(crate) async fn command(
        &self,
        operation: Operation,
        call: &CallRef,
        command: &Command,
    ) -> Result<(), TelephonyError> {
        let url = self.call_url(operation, call, &["actions", command.name])?;
        let request = ApiRequest::post(url).json(&command.body).repeatable(command.is_repeatable());
        self.send(operation, request).await?.json::<Data<Accepted>>().map(|_| ())
    }

    /// The same with the name of what is answered by it, under which Telnyx carries it out only once.
    pub(crate) async fn answer(
        &self,
        operation: Operation,
        call: &CallRef,
        mut command: Command,
        event: &str,
    ) -> Result<(), TelephonyError> {
        command.body["command_id"] = format!("{event}-{}", command.name).into();
        let url = self.call_url(operation, call, &["actions", command.name])?;
        let request = ApiRequest::post(url).json(&command.body).repeatable(true);
        self.send(operation, request).await?.json::<Data<Accepted>>().map(|_| ())
    }

    /// `GET /phone_numbers`, to its last page. Telnyx lists those too that the account has not any more, or never got.
    pub(crate) async fn numbers(
        &self,
        operation: Operation,
        filter: Option<&PhoneNumber>,
    ) -> Result<Vec<Number>, TelephonyError> {
        // Digits only: with other characters nothing is found.
        let filter = filter.map(|wanted| ("filter[phone_number]", wanted.digits()));
        let all: Vec<Number> = self.pages(operation, &["phone_numbers"], filter, LONGEST_PAGE).await?;
        Ok(all.into_iter().filter(Number::is_the_accounts).collect())
    }

    /// `GET /verified_numbers`, to its last page: numbers of somebody else's network that may be called from.
    pub(crate) async fn verified_numbers(&self, operation: Operation) -> Result<Vec<VerifiedNumber>, TelephonyError> {
        self.pages(operation, &["verified_numbers"], None, VERIFIED_NUMBERS_PAGE).await
    }

    /// A list, to its last page.
    async fn pages<T: DeserializeOwned>(
        &self,
        operation: Operation,
        path: &[&str],
        filter: Option<(&str, &str)>,
        size: u8,
    ) -> Result<Vec<T>, TelephonyError> {
        let mut all = Vec::new();
        for number in 1..=MOST_PAGES {
            let mut url = self.url(path);
            url.query_pairs_mut()
                .extend_pairs(filter)
                .append_pair("page[number]", &number.to_string())
                .append_pair("page[size]", &size.to_string());
            let page: Page<T> = self.send(operation, ApiRequest::get(url)).await?.json()?;
            all.extend(page.data);
            if number >= page.meta.total_pages {
                return Ok(all);
            }
        }
        let reason = format!("the list has more than {MOST_PAGES} pages");
        Err(TelephonyError::UnexpectedResponse { provider: NAME, operation, reason })
    }

    /// `PATCH /phone_numbers/{id}`: the application that answers it; with none, nobody.
    pub(crate) async fn bind_number(&self, id: &str, application: &str) -> Result<(), TelephonyError> {
        let request = ApiRequest::patch(self.url(&["phone_numbers", id])).json(&json!({"connection_id": application}));
        self.send(Operation::ConfigureInbound, request.repeatable(true)).await.map(|_| ())
    }

    /// `GET /call_control_applications/{id}`: the application that calls are made with.
    pub(crate) async fn application(&self, operation: Operation) -> Result<Application, TelephonyError> {
        let url = self.url(&["call_control_applications", &self.config.connection_id]);
        self.send(operation, ApiRequest::get(url)).await?.json::<Data<Application>>().map(|found| found.data)
    }

    /// `PATCH /call_control_applications/{id}`. Its name is demanded, whatever is changed.
    pub(crate) async fn update_application(&self, name: &str, webhook: &Url) -> Result<(), TelephonyError> {
        let body = json!({
            "application_name": name, "webhook_event_url": webhook, "webhook_api_version": "2",
            "call_cost_in_webhooks": true,
        });
        let url = self.url(&["call_control_applications", &self.config.connection_id]);
        let request = ApiRequest::patch(url).json(&body).repeatable(true);
        self.send(Operation::ConfigureInbound, request).await.map(|_| ())
    }

    /// `GET /balance`: texts, and their currency.
    pub(crate) async fn balance(&self) -> Result<Balance, TelephonyError> {
        let request = ApiRequest::get(self.url(&["balance"]));
        self.send(Operation::CheckAccount, request).await?.json::<Data<Balance>>().map(|found| found.data)
    }

    /// `GET /conferences`: the one of a name that is not over. Names are compared here too, for the filter is newer than the
    /// list. The first page will do: those that last longest come first.
    pub(crate) async fn conference_named(
        &self,
        operation: Operation,
        name: &str,
    ) -> Result<Option<String>, TelephonyError> {
        let mut url = self.url(&["conferences"]);
        url.query_pairs_mut().append_pair("filter[name]", name);
        let page: Page<Room> = self.send(operation, ApiRequest::get(url)).await?.json()?;
        let found = page.data.into_iter().find(|room| room.name == name && room.status.as_deref() != Some("completed"));
        Ok(found.map(|room| room.id))
    }

    /// `POST /conferences`, out of a call: its first participant. Repeated only with a name for the command, which is ignored
    /// when it comes again; what is answered then need not be the conference.
    pub(crate) async fn create_conference(
        &self,
        operation: Operation,
        call: &CallRef,
        wanted: &Conference,
        command_id: Option<String>,
    ) -> Result<Option<String>, TelephonyError> {
        let mut body = json!({
            "call_control_id": call_id(operation, call)?.as_str(), "name": wanted.name,
            "start_conference_on_create": wanted.start_on_enter, "client_state": State::default().encode(),
        });
        let repeatable = command_id.is_some();
        if let Some(id) = command_id {
            body["command_id"] = id.into();
        }
        let request = ApiRequest::post(self.url(&["conferences"])).json(&body).repeatable(repeatable);
        let created: Data<Created> = self.send(operation, request).await?.json()?;
        Ok(created.data.id)
    }

    /// `POST /conferences/{id}/actions/join`, by its id or its name. Who is in it already is told so, and nothing happens.
    pub(crate) async fn join_conference(
        &self,
        operation: Operation,
        id: &str,
        call: &CallRef,
        wanted: &Conference,
        command_id: Option<String>,
    ) -> Result<(), TelephonyError> {
        let mut body = json!({
            "call_control_id": call_id(operation, call)?.as_str(), "mute": wanted.muted,
            "start_conference_on_enter": wanted.start_on_enter, "end_conference_on_exit": wanted.end_on_exit,
            "client_state": State::default().encode(),
        });
        if let Some(id) = command_id {
            body["command_id"] = id.into();
        }
        self.conference_command(operation, id, "join", &body).await
    }

    /// `POST /conferences/{id}/actions/leave`: the call is as if it had just been answered.
    pub(crate) async fn leave_conference(
        &self,
        operation: Operation,
        id: &str,
        call: &CallRef,
    ) -> Result<(), TelephonyError> {
        let body = json!({"call_control_id": call_id(operation, call)?.as_str()});
        self.conference_command(operation, id, "leave", &body).await
    }

    /// `POST /conferences/{id}/actions/mute`.
    pub(crate) async fn mute(&self, operation: Operation, id: &str, call: &CallRef) -> Result<(), TelephonyError> {
        let body = json!({"call_control_ids": [call_id(operation, call)?.as_str()]});
        self.conference_command(operation, id, "mute", &body).await
    }

    /// Each of them sets a state, so that it may come twice.
    async fn conference_command(
        &self,
        operation: Operation,
        id: &str,
        command: &str,
        body: &Value,
    ) -> Result<(), TelephonyError> {
        let request = ApiRequest::post(self.url(&["conferences", id, "actions", command])).json(body);
        self.send(operation, request.repeatable(true)).await?.json::<Data<Accepted>>().map(|_| ())
    }

    /// `GET /conferences/{id}/participants`, to its last page: what the call is called there.
    pub(crate) async fn participant(
        &self,
        operation: Operation,
        id: &str,
        call: &CallRef,
    ) -> Result<Option<String>, TelephonyError> {
        let own = call_id(operation, call)?.as_str();
        let path = ["conferences", id, "participants"];
        let all: Vec<Participant> = self.pages(operation, &path, None, LONGEST_PAGE).await?;
        let found = all.into_iter().find(|one| one.call_control_id == own && one.status.as_deref() != Some("left"));
        Ok(found.map(|one| one.id))
    }

    /// `PATCH /conferences/{id}/participants/{participant_id}`: the conference ends when this one leaves.
    pub(crate) async fn end_on_exit(
        &self,
        operation: Operation,
        id: &str,
        participant: &str,
    ) -> Result<(), TelephonyError> {
        let request = ApiRequest::patch(self.url(&["conferences", id, "participants", participant]))
            .json(&json!({"end_conference_on_exit": true}));
        self.send(operation, request.repeatable(true)).await.map(|_| ())
    }

    async fn send(&self, operation: Operation, request: ApiRequest) -> Result<ApiResponse, TelephonyError> {
        self.http.send(operation, request.bearer(&self.config.api_key)).await
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // An http or https URL, which has a path, as the configuration was checked for.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v2").extend(path);
        }
        url
    }

    fn call_url(&self, operation: Operation, call: &CallRef, more: &[&str]) -> Result<Url, TelephonyError> {
        let id = call_id(operation, call)?;
        Ok(self.url(&[&["calls", id.as_str()], more].concat()))
    }
}

fn call_id(operation: Operation, call: &CallRef) -> Result<&CallId, TelephonyError> {
    call.id().ok_or_else(|| TelephonyError::invalid_request(NAME, operation, "call", "has no id"))
}

/// The request that starts a call. What it shall do is told when `call.answered` asks.
fn call_body(config: &TelnyxConfig, call: &OutboundCall) -> Result<Value, TelephonyError> {
    let invalid = |field: &str, reason: &str| {
        TelephonyError::invalid_request(NAME, Operation::InitiateCall, field.to_owned(), reason.to_owned())
    };
    let seconds = |length: Option<Duration>, range, field| match length {
        None => Ok(None),
        Some(length) => within(length, range, field).map(Some).map_err(|(field, reason)| invalid(&field, &reason)),
    };
    let mut body = json!({
        "connection_id": config.connection_id, "to": call.to.as_str(), "from": call.from.as_str(),
        "webhook_url": call.urls.events, "webhook_url_method": "POST",
    });
    if let Some(ring) = seconds(call.ring_timeout, 5..=600, "ring_timeout")? {
        body["timeout_secs"] = ring.into();
    }
    if let Some(limit) = seconds(call.time_limit, 30..=14_400, "time_limit")? {
        body["time_limit_secs"] = limit.into();
    }
    match call.machine_detection {
        None => {}
        Some(MachineDetection::Detect) => body["answering_machine_detection"] = "detect".into(),
        Some(MachineDetection::DetectBeep) => body["answering_machine_detection"] = "greeting_end".into(),
        Some(MachineDetection::HangUp) => {
            let reason = "cannot hang up on machines at Telnyx: detect, and hang up when it is told";
            return Err(invalid("machine_detection", reason));
        }
        Some(_) => return Err(invalid("machine_detection", "is unknown to this version")),
    }
    if let Some(digits) = &call.digits_on_answer {
        body["send_digits_on_answer"] = digits.as_str().into();
    }
    if let Some(recording) = &call.record {
        if recording.events.as_ref().is_some_and(|events| *events != call.urls.events) {
            return Err(invalid("record.events", "must be the call's: Telnyx tells all of a call to one URL"));
        }
        body["record"] = "record-from-answer".into();
        body["record_channels"] = channels(recording.dual_channel).into();
        body["record_format"] = "wav".into();
    }
    if let Some(name) = &call.caller_name {
        let length = name.chars().count();
        let plain = |c: char| c.is_ascii_alphanumeric() || " -_~!.+".contains(c);
        if !(1..=128).contains(&length) || !name.chars().all(plain) {
            return Err(invalid("caller_name", "must have 1 to 128 letters, digits, spaces and -_~!.+"));
        }
        body["from_display_name"] = name.as_str().into();
    }
    Ok(body)
}

/// How many channels a recording has, in Telnyx's words.
pub(crate) fn channels(dual: bool) -> &'static str {
    if dual { "dual" } else { "single" }
}

/// A call that was accepted.
#[derive(Debug, Deserialize)]
pub(crate) struct CreatedCall {
    call_control_id: String,
    #[serde(default)]
    call_leg_id: Option<String>,
    #[serde(default)]
    call_session_id: Option<String>,
}

impl CreatedCall {
    pub(crate) fn reference(&self) -> Result<CallRef, TelephonyError> {
        let id = CallId::new(&self.call_control_id).map_err(|error| TelephonyError::OutcomeUnknown {
            provider: NAME,
            operation: Operation::InitiateCall,
            source: error.into(),
        })?;
        Ok(with_names(CallRef::new(id), self.call_leg_id.as_deref(), self.call_session_id.as_deref()))
    }
}

fn with_names(mut call: CallRef, leg: Option<&str>, session: Option<&str>) -> CallRef {
    for (name, value) in [(LEG, leg), (SESSION, session)] {
        if let Some(value) = value {
            call = call.with_handle(name, value);
        }
    }
    call
}

/// A call as it can be asked for: neither status nor cause nor price.
#[derive(Debug, Deserialize)]
pub(crate) struct Call {
    #[serde(default)]
    call_leg_id: Option<String>,
    #[serde(default)]
    call_session_id: Option<String>,
    #[serde(default)]
    call_duration: Option<f64>,
    #[serde(default)]
    start_time: Option<String>,
    #[serde(default)]
    end_time: Option<String>,
}

impl Call {
    /// `is_alive` is false before the answer too; a call that is over has an end.
    pub(crate) fn snapshot(&self, asked: &CallRef) -> CallSnapshot {
        let call = with_names(asked.clone(), self.call_leg_id.as_deref(), self.call_session_id.as_deref());
        let moment = |text: &Option<String>| Timestamp::parse(text.as_deref()?, &Rfc3339).ok();
        let over = self.end_time.as_deref().is_some_and(|text| !text.is_empty());
        let state = if over { CallState::Over } else { CallState::Alive };
        let mut snapshot = CallSnapshot::new(call, state, "");
        snapshot.started_at = moment(&self.start_time);
        snapshot.ended_at = moment(&self.end_time);
        snapshot.duration =
            self.call_duration.filter(|_| over).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        snapshot
    }
}

/// A conference, alive or over.
#[derive(Deserialize)]
struct Room {
    id: String,
    name: String,
    #[serde(default)]
    status: Option<String>,
}

/// A conference that was made just now; of one that was made before, it need not be said which.
#[derive(Deserialize)]
struct Created {
    #[serde(default)]
    id: Option<String>,
}

/// Who is in a conference.
#[derive(Deserialize)]
struct Participant {
    id: String,
    call_control_id: String,
    #[serde(default)]
    status: Option<String>,
}

/// A number of the account.
#[derive(Debug, Deserialize)]
pub(crate) struct Number {
    pub(crate) id: String,
    pub(crate) phone_number: String,
    #[serde(default)]
    connection_id: Option<String>,
    #[serde(default)]
    connection_name: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    country_iso_alpha2: Option<String>,
    #[serde(default)]
    customer_reference: Option<String>,
}

impl Number {
    /// Whether the account has it, or will: a word that is not known does not take it away.
    fn is_the_accounts(&self) -> bool {
        !matches!(self.status.as_deref(), Some("deleted" | "ported-out" | "purchase-failed" | "port-failed"))
    }

    /// As callers see it. One that is still on its way, or for emergencies only, cannot be called from.
    pub(crate) fn owned(&self) -> Option<OwnedNumber> {
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let mut owned = OwnedNumber::new(self.e164()?);
        owned.provider_id = Some(self.id.clone());
        owned.label = some(&self.customer_reference);
        owned.country = some(&self.country_iso_alpha2);
        owned.voice = matches!(self.status.as_deref(), None | Some("" | "active" | "port-out-pending"));
        Some(owned)
    }

    pub(crate) fn e164(&self) -> Option<PhoneNumber> {
        self.phone_number.parse().ok()
    }

    /// The application that answers it.
    pub(crate) fn application(&self) -> Option<&str> {
        self.connection_id.as_deref().filter(|id| !id.is_empty())
    }

    /// Its application, as people know it.
    pub(crate) fn application_name(&self) -> Option<&str> {
        self.connection_name.as_deref().filter(|name| !name.is_empty()).or_else(|| self.application())
    }
}

/// A number that the account has shown to be its own, at another carrier.
#[derive(Debug, Deserialize)]
pub(crate) struct VerifiedNumber {
    phone_number: String,
}

impl VerifiedNumber {
    pub(crate) fn e164(&self) -> Option<PhoneNumber> {
        self.phone_number.parse().ok()
    }
}

/// The application that calls are made with.
#[derive(Debug, Deserialize)]
pub(crate) struct Application {
    /// Whether it can be used.
    #[serde(default)]
    pub(crate) active: Option<bool>,
    #[serde(default)]
    pub(crate) application_name: String,
    #[serde(default)]
    pub(crate) webhook_api_version: Option<String>,
    #[serde(default)]
    outbound: Option<Outbound>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Outbound {
    #[serde(default)]
    outbound_voice_profile_id: Option<String>,
}

impl Application {
    /// Whether it is allowed to dial.
    pub(crate) fn dials(&self) -> bool {
        let profile = self.outbound.as_ref().and_then(|outbound| outbound.outbound_voice_profile_id.as_deref());
        profile.is_some_and(|id| !id.is_empty())
    }

    /// Whether it tells what calls cost; `None` where it does not say.
    pub(crate) fn tells_cost(&self) -> Option<bool> {
        self.rest.get("call_cost_in_webhooks").and_then(Value::as_bool)
    }
}

/// What is left to call with.
#[derive(Debug, Deserialize)]
pub(crate) struct Balance {
    pub(crate) balance: String,
    #[serde(default)]
    pub(crate) currency: Option<String>,
}
