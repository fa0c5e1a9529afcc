//! The REST APIs: calls (authorised by the application's token), numbers, applications and balance (by API key and secret).
//!
//! Source: <https://developer.vonage.com/en/api/voice>, <https://developer.vonage.com/en/api/numbers>,
//! <https://developer.vonage.com/en/api/application.v2>, and Vonage's published OpenAPI descriptions of them.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use telephony_core::{
    CallCost, CallId, CallRef, CallSnapshot, CallState, CallStatus, MachineDetection, Money, Operation, OutboundCall,
    PhoneNumber, ProviderContext, TelephonyError, Timestamp, Url,
    http::{ApiRequest, ApiResponse, HttpClient},
};

use crate::{
    NAME, VonageConfig,
    answer::{endpoint, seconds, url_list},
    error,
    jwt::Tokens,
    webhook::{self, CONVERSATION, REGION_URL},
};

/// The most that a page of numbers may hold.
const PAGE_SIZE: usize = 100;

/// More pages than any account has: a list that does not end is refused.
const MOST_PAGES: usize = 1000;

/// Requests a second that an account may make; more are refused with 429, not queued.
const REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(15).unwrap();

/// Vonage's REST APIs as one account sees them.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: HttpClient,
    config: VonageConfig,
    tokens: Tokens,
    hosts: Hosts,
}

/// Where the APIs are.
#[derive(Clone, Debug)]
struct Hosts {
    calls: Url,
    applications: Url,
    numbers: Url,
}

impl Hosts {
    fn of(config: &VonageConfig) -> Self {
        if let Some(base) = &config.api_base_url {
            return Self { calls: base.clone(), applications: base.clone(), numbers: base.clone() };
        }
        let host =
            |name: &str| Url::parse(&format!("https://{name}/")).unwrap_or_else(|_| unreachable!("{name} is a host"));
        // The region has been checked against its pattern.
        let region = config.region.as_ref().map(|region| format!("api-{region}.vonage.com"));
        Self {
            calls: host(region.as_deref().unwrap_or("api.nexmo.com")),
            applications: host("api.nexmo.com"),
            numbers: host("rest.nexmo.com"),
        }
    }
}

impl Api {
    pub(crate) fn new(config: VonageConfig, tokens: Tokens, context: ProviderContext) -> Self {
        let timeout = std::time::Duration::from_secs(config.timeout_secs.get().into());
        let mut policy = context.http_policy.at_most(timeout);
        if policy.requests_per_second.is_none() {
            policy = policy.with_requests_per_second(REQUESTS_PER_SECOND);
        }
        let http = HttpClient::new(NAME, context.transport, policy, error::map);
        let hosts = Hosts::of(&config);
        Self { http, config, tokens, hosts }
    }

    /// `POST /v1/calls`. There is no idempotency key, so it is never sent twice.
    pub(crate) async fn create_call(&self, body: &NewCall<'_>) -> Result<CreatedCall, TelephonyError> {
        let request = ApiRequest::post(join(&self.hosts.calls, &["v1", "calls"])).json(body);
        self.send_with_token(Operation::InitiateCall, request).await?.json()
    }

    /// `GET /v1/calls/{uuid}`.
    pub(crate) async fn call(&self, operation: Operation, call: &CallRef) -> Result<Call, TelephonyError> {
        let request = ApiRequest::get(self.call_url(operation, call, &[])?);
        self.send_with_token(operation, request).await?.json()
    }

    /// `PUT /v1/calls/{uuid}` with `hangup`.
    pub(crate) async fn hang_up(&self, call: &CallRef) -> Result<(), TelephonyError> {
        let url = self.call_url(Operation::HangUp, call, &[])?;
        let request = ApiRequest::put(url).json(&json!({"action": "hangup"}));
        self.send_with_token(Operation::HangUp, request).await.map(|_| ())
    }

    /// `PUT /v1/calls/{uuid}` with a new document. It starts anew with every request, so it is never sent twice.
    pub(crate) async fn transfer(
        &self,
        operation: Operation,
        call: &CallRef,
        ncco: &Value,
    ) -> Result<(), TelephonyError> {
        let body = json!({"action": "transfer", "destination": {"type": "ncco", "ncco": ncco}});
        let request = ApiRequest::put(self.call_url(operation, call, &[])?).json(&body).repeatable(false);
        self.send_with_token(operation, request).await.map(|_| ())
    }

    /// `PUT /v1/calls/{uuid}/dtmf`. Digits sent twice are other digits.
    pub(crate) async fn send_digits(&self, call: &CallRef, digits: &str) -> Result<(), TelephonyError> {
        let url = self.call_url(Operation::SendDigits, call, &["dtmf"])?;
        let request = ApiRequest::put(url).json(&json!({"digits": digits})).repeatable(false);
        self.send_with_token(Operation::SendDigits, request).await.map(|_| ())
    }

    /// `GET /v1/calls?page_size=1`: whether the token is accepted.
    pub(crate) async fn probe(&self) -> Result<(), TelephonyError> {
        let mut url = join(&self.hosts.calls, &["v1", "calls"]);
        url.query_pairs_mut().append_pair("page_size", "1");
        self.send_with_token(Operation::CheckAccount, ApiRequest::get(url)).await.map(|_| ())
    }

    /// `GET /account/get-balance`: a number, in EUR.
    pub(crate) async fn balance(&self) -> Result<Money, TelephonyError> {
        let url = join(&self.hosts.numbers, &["account", "get-balance"]);
        let response = self.send_with_key(Operation::CheckAccount, ApiRequest::get(url)).await?;
        let balance: Balance = response.json()?;
        Money::parse(&balance.value.to_string(), "EUR").map_err(|error| response.unexpected(error.to_string()))
    }

    /// `GET /account/numbers`, to its last page. An account without numbers answers `{}`.
    pub(crate) async fn numbers(
        &self,
        operation: Operation,
        filter: &[(&str, &str)],
    ) -> Result<Vec<Number>, TelephonyError> {
        let mut all = Vec::new();
        for index in 1..=MOST_PAGES {
            let mut url = join(&self.hosts.numbers, &["account", "numbers"]);
            url.query_pairs_mut()
                .extend_pairs(filter)
                .append_pair("size", &PAGE_SIZE.to_string())
                .append_pair("index", &index.to_string());
            let page: Numbers = self.send_with_key(operation, ApiRequest::get(url)).await?.json()?;
            let last = page.numbers.len() < PAGE_SIZE;
            all.extend(page.numbers);
            if last {
                return Ok(all);
            }
        }
        let reason = format!("the list has more than {MOST_PAGES} pages");
        Err(TelephonyError::UnexpectedResponse { provider: NAME, operation, reason })
    }

    /// `POST /number/update`. The answer has a code of its own.
    pub(crate) async fn update_number(&self, form: &[(&str, &str)]) -> Result<(), TelephonyError> {
        let operation = Operation::ConfigureInbound;
        let url = join(&self.hosts.numbers, &["number", "update"]);
        let request = ApiRequest::post(url).form(form.iter().copied()).repeatable(true);
        let response = self.send_with_key(operation, request).await?;
        let updated: Updated = response.json()?;
        if updated.code == "200" {
            return Ok(());
        }
        let status = updated.code.parse().ok().and_then(|code| http::StatusCode::from_u16(code).ok());
        let status = status.unwrap_or(http::StatusCode::BAD_REQUEST);
        Err(error::map(operation, status, response.headers(), response.body()))
    }

    /// `GET /v2/applications/{id}`: whole, as what is not sent back is lost.
    pub(crate) async fn application(&self) -> Result<Value, TelephonyError> {
        let request = ApiRequest::get(self.application_url());
        self.send_with_key(Operation::ConfigureInbound, request).await?.json()
    }

    /// `PUT /v2/applications/{id}`: a replacement of the whole.
    pub(crate) async fn replace_application(&self, application: &Value) -> Result<(), TelephonyError> {
        let request = ApiRequest::put(self.application_url()).json(application);
        self.send_with_key(Operation::ConfigureInbound, request).await.map(|_| ())
    }

    async fn send_with_token(&self, operation: Operation, request: ApiRequest) -> Result<ApiResponse, TelephonyError> {
        // The key signed when the configuration was checked.
        let token = self.tokens.token(Timestamp::now_utc()).map_err(|error| TelephonyError::Transport {
            provider: NAME,
            operation,
            source: error.into(),
        })?;
        self.http.send(operation, request.bearer(&token)).await
    }

    async fn send_with_key(&self, operation: Operation, request: ApiRequest) -> Result<ApiResponse, TelephonyError> {
        self.http.send(operation, request.basic(&self.config.api_key, &self.config.api_secret)).await
    }

    fn application_url(&self) -> Url {
        join(&self.hosts.applications, &["v2", "applications", &self.config.application_id])
    }

    /// The URL of a call, at the host that knows it: Vonage says which when it asks what an answered call shall do.
    fn call_url(&self, operation: Operation, call: &CallRef, more: &[&str]) -> Result<Url, TelephonyError> {
        let id: &CallId =
            call.id().ok_or_else(|| TelephonyError::invalid_request(NAME, operation, "call", "has no id yet"))?;
        let region =
            call.handle(REGION_URL).filter(|url| self.config.api_base_url.is_none() && webhook::is_carriers(url));
        let host = region.and_then(|url| url.parse().ok()).unwrap_or_else(|| self.hosts.calls.clone());
        Ok(join(&host, &[&["v1", "calls", id.as_str()], more].concat()))
    }
}

fn join(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    // An http or https URL, which has a path, as the configuration was checked for.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// The request that starts a call.
#[derive(Debug, Serialize)]
pub(crate) struct NewCall<'a> {
    to: [Value; 1],
    from: Value,
    answer_url: [String; 1],
    answer_method: &'static str,
    event_url: [&'a str; 1],
    event_method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ringing_timer: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length_timer: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine_detection: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advanced_machine_detection: Option<Value>,
}

impl<'a> NewCall<'a> {
    pub(crate) fn of(call: &'a OutboundCall) -> Result<Self, TelephonyError> {
        let invalid = |field, reason| TelephonyError::invalid_request(NAME, Operation::InitiateCall, field, reason);
        let from = call.from.as_phone().ok_or_else(|| invalid("from", "must be a telephone number"))?;
        let mut to = endpoint(&call.to);
        if let Some(digits) = &call.digits_on_answer {
            if call.to.as_phone().is_none() {
                return Err(invalid("digits_on_answer", "can be sent to telephone numbers only"));
            }
            to["dtmfAnswer"] = dtmf(Operation::InitiateCall, "digits_on_answer", digits.as_str())?.into();
        }
        let ringing_timer = call.ring_timeout.map(seconds);
        if ringing_timer.is_some_and(|timer| !matches!(timer, 1..=120)) {
            return Err(invalid("ring_timeout", "must be 1 to 120 seconds"));
        }
        let length_timer = call.time_limit.map(seconds);
        if length_timer.is_some_and(|timer| !matches!(timer, 1..=7200)) {
            return Err(invalid("time_limit", "must be 1 to 7200 seconds"));
        }
        let (machine_detection, advanced_machine_detection) = match call.machine_detection {
            None => (None, None),
            Some(MachineDetection::Detect) => (Some("continue"), None),
            Some(MachineDetection::HangUp) => (Some("hangup"), None),
            Some(MachineDetection::DetectBeep) => (None, Some(json!({"behavior": "continue", "mode": "detect_beep"}))),
            Some(_) => return Err(invalid("machine_detection", "is unknown to this version")),
        };
        Ok(Self {
            to: [to],
            from: json!({"type": "phone", "number": from.digits()}),
            // Outbound and inbound calls ask with the same fields: see the module webhook.
            answer_url: [webhook::mark_outbound(&call.urls.answer).into()],
            answer_method: "POST",
            event_url: url_list(&call.urls.events),
            event_method: "POST",
            ringing_timer,
            length_timer,
            machine_detection,
            advanced_machine_detection,
        })
    }
}

/// Digits as Vonage writes them: `p` pauses for half a second, and there are no A to D.
pub(crate) fn dtmf(operation: Operation, field: &'static str, digits: &str) -> Result<String, TelephonyError> {
    if digits.contains(['A', 'B', 'C', 'D']) {
        return Err(TelephonyError::invalid_request(NAME, operation, field, "must have only 0-9, *, # and pauses"));
    }
    Ok(digits.replace('w', "p"))
}

/// The answer to a request that starts a call.
#[derive(Debug, Deserialize)]
pub(crate) struct CreatedCall {
    pub(crate) uuid: String,
    #[serde(default)]
    pub(crate) status: String,
    pub(crate) conversation_uuid: Option<String>,
}

impl CreatedCall {
    pub(crate) fn reference(&self) -> Result<CallRef, TelephonyError> {
        let id = CallId::new(&self.uuid).map_err(|error| TelephonyError::OutcomeUnknown {
            provider: NAME,
            operation: Operation::InitiateCall,
            source: error.into(),
        })?;
        let call = CallRef::new(id);
        Ok(match &self.conversation_uuid {
            Some(conversation) => call.with_handle(CONVERSATION, conversation),
            None => call,
        })
    }
}

/// A call. What it cost is there once it is completed, as text.
#[derive(Debug, Deserialize)]
pub(crate) struct Call {
    conversation_uuid: Option<String>,
    #[serde(default)]
    status: String,
    direction: Option<String>,
    from: Option<Endpoint>,
    to: Option<Endpoint>,
    start_time: Option<String>,
    end_time: Option<String>,
    duration: Option<String>,
    rate: Option<String>,
    price: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    number: Option<String>,
    uri: Option<String>,
}

impl Call {
    pub(crate) fn cost(&self) -> CallCost {
        let over = webhook::status_of(&self.status, None).is_some_and(CallStatus::is_terminal);
        let cost = webhook::cost(self.price.as_deref(), self.rate.as_deref(), self.duration.as_deref());
        cost.filter(|_| over).unwrap_or(CallCost::Pending)
    }

    pub(crate) fn snapshot(self, asked: &CallRef) -> CallSnapshot {
        let cost = self.cost();
        let mut call = asked.clone();
        if let Some(conversation) = self.conversation_uuid {
            call = call.with_handle(CONVERSATION, conversation);
        }
        let state = webhook::status_of(&self.status, None).map_or(CallState::Alive, CallState::Status);
        let mut snapshot = CallSnapshot::new(call, state, self.status);
        snapshot.cost = Some(cost);
        snapshot.direction = self.direction.as_deref().and_then(webhook::direction_of);
        let reported = |endpoint: Endpoint| endpoint.number.or(endpoint.uri).map(|raw| webhook::reported(&raw));
        snapshot.from = self.from.and_then(reported);
        snapshot.to = self.to.and_then(reported);
        snapshot.started_at = self.start_time.as_deref().and_then(webhook::moment);
        snapshot.ended_at = self.end_time.as_deref().and_then(webhook::moment);
        snapshot.duration = self.duration.and_then(|text| text.parse().ok()).map(std::time::Duration::from_secs);
        snapshot
    }
}

#[derive(Debug, Deserialize)]
struct Balance {
    value: serde_json::Number,
}

#[derive(Debug, Deserialize)]
struct Numbers {
    #[serde(default)]
    numbers: Vec<Number>,
}

/// A number of the account.
#[derive(Debug, Deserialize)]
pub(crate) struct Number {
    pub(crate) country: String,
    pub(crate) msisdn: String,
    #[serde(default)]
    pub(crate) features: Vec<String>,
    pub(crate) app_id: Option<String>,
    #[serde(rename = "moHttpUrl")]
    pub(crate) message_url: Option<String>,
    /// `app`, or `tel`, `sip`, `vxml`, which win over the application.
    #[serde(rename = "voiceCallbackType")]
    pub(crate) callback_type: Option<String>,
}

impl Number {
    /// The number in E.164.
    pub(crate) fn e164(&self) -> Option<PhoneNumber> {
        PhoneNumber::from_digits(&self.msisdn).ok()
    }
}

#[derive(Debug, Deserialize)]
struct Updated {
    #[serde(rename = "error-code")]
    code: String,
}
