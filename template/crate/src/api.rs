//! The REST API, version 1: JSON, authorised by the API key.
//!
//! FILL IN: where is the carrier's REST API documented, what are its requests (a body is `json`, `form`, or `body` of
//! any other kind), and which of them may be repeated?
//!
//! Source: <https://example.com/docs/voice/api>

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use telephony_core::{
    AccountInfo, CallCost, CallId, CallRef, CallSnapshot, CallState, CallStatus, InboundBinding, InitiatedCall, Money,
    Operation, OutboundCall, OwnedNumber, ReportedAddress, Secret, TelephonyError, Timestamp, Url,
    http::{ApiRequest, ApiResponse, HttpClient},
};
use time::format_description::well_known::Rfc3339;

// [document
#[cfg(document)]
use crate::{AcmeConfig, NAME, webhook};
// ]
// [commands
#[cfg(commands)]
use crate::{
    AcmeConfig, NAME,
    answer::Command,
    webhook::{self, EVENT},
};
// ]

/// The most numbers that a page holds.
const PAGE_SIZE: &str = "100";

/// More pages than any account has: a list that does not end is refused.
const MOST_PAGES: u32 = 1_000;

/// The REST API as one account sees it.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: HttpClient,
    base: Url,
    key: Secret,
}

impl Api {
    pub(crate) fn new(http: HttpClient, config: &AcmeConfig) -> Self {
        Self { http, base: config.api_base(), key: config.api_key.clone() }
    }

    /// `POST /v1/calls`, sent once: what may have arrived is not sent again.
    pub(crate) async fn create_call(&self, call: &OutboundCall) -> Result<Call, TelephonyError> {
        let request = ApiRequest::post(self.url(&["calls"])).json(&call_body(call)?);
        self.send(Operation::InitiateCall, request).await?.json()
    }

    /// `GET /v1/calls/{id}`.
    pub(crate) async fn call(&self, operation: Operation, call: &CallRef) -> Result<Call, TelephonyError> {
        let url = self.call_url(operation, call, None)?;
        self.send(operation, ApiRequest::get(url)).await?.json()
    }

    /// `POST /v1/calls/{id}/hang-up`. The carrier forgives a second one, so it may be repeated.
    pub(crate) async fn hang_up(&self, call: &CallRef) -> Result<(), TelephonyError> {
        let url = self.call_url(Operation::HangUp, call, Some("hang-up"))?;
        self.send(Operation::HangUp, ApiRequest::post(url).repeatable(true)).await.map(|_| ())
    }

    // [document
    /// `POST /v1/calls/{id}/document`: what a live call does from now on.
    #[cfg(document)]
    pub(crate) async fn replace_document(&self, call: &CallRef, document: &Value) -> Result<(), TelephonyError> {
        let url = self.call_url(Operation::Instruct, call, Some("document"))?;
        self.send(Operation::Instruct, ApiRequest::post(url).json(document)).await.map(|_| ())
    }
    // ]
    // [commands
    /// `POST /v1/calls/{id}/commands`. One that answers a webhook is named after it: the carrier carries out each name once,
    /// so that it may be repeated, and a webhook that comes twice does nothing twice.
    #[cfg(commands)]
    pub(crate) async fn command(
        &self,
        operation: Operation,
        call: &CallRef,
        command: &Command,
    ) -> Result<(), TelephonyError> {
        let url = self.call_url(operation, call, Some("commands"))?;
        let mut body = command.body();
        let event = call.handle(EVENT).filter(|_| operation == Operation::GetWebhookResponse);
        if let Some(event) = event {
            body["idempotency_key"] = event.into();
        }
        let request = ApiRequest::post(url).json(&body).repeatable(event.is_some());
        self.send(operation, request).await.map(|_| ())
    }
    // ]

    /// `GET /v1/numbers`, to its last page.
    pub(crate) async fn numbers(&self) -> Result<Vec<Number>, TelephonyError> {
        let operation = Operation::GetAvailablePhoneNumbers;
        let (mut all, mut next) = (Vec::new(), 1);
        for _ in 0..MOST_PAGES {
            let mut url = self.url(&["numbers"]);
            url.query_pairs_mut().append_pair("page", &next.to_string()).append_pair("page_size", PAGE_SIZE);
            let page: Page = self.send(operation, ApiRequest::get(url)).await?.json()?;
            all.extend(page.numbers);
            match page.next_page {
                Some(page) => next = page,
                None => return Ok(all),
            }
        }
        let reason = format!("the list has more than {MOST_PAGES} pages");
        Err(TelephonyError::UnexpectedResponse { provider: NAME, operation, reason })
    }

    /// `PUT /v1/numbers/{number}`: where calls to it are asked about, or nowhere.
    pub(crate) async fn update_number(&self, binding: &InboundBinding) -> Result<(), TelephonyError> {
        let urls = binding.urls.as_ref();
        let body = json!({"answer_url": urls.map(|urls| &urls.answer), "events_url": urls.map(|urls| &urls.events)});
        let url = self.url(&["numbers", binding.number.as_e164()]);
        self.send(Operation::ConfigureInbound, ApiRequest::put(url).json(&body)).await.map(|_| ())
    }

    /// `GET /v1/account`.
    pub(crate) async fn account(&self) -> Result<Account, TelephonyError> {
        let request = ApiRequest::get(self.url(&["account"]));
        self.send(Operation::CheckAccount, request).await?.json()
    }

    // FILL IN: how do requests authenticate? (`bearer`, `basic`, `with_secret`)
    async fn send(&self, operation: Operation, request: ApiRequest) -> Result<ApiResponse, TelephonyError> {
        self.http.send(operation, request.bearer(&self.key)).await
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // An http or https URL, which has a path, as the configuration was checked for.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        url
    }

    fn call_url(&self, operation: Operation, call: &CallRef, more: Option<&str>) -> Result<Url, TelephonyError> {
        let id = call.id().ok_or_else(|| TelephonyError::invalid_request(NAME, operation, "call", "has no id"))?;
        let path: Vec<&str> = ["calls", id.as_str()].into_iter().chain(more).collect();
        Ok(self.url(&path))
    }
}

/// The request that starts a call.
fn call_body(call: &OutboundCall) -> Result<Value, TelephonyError> {
    let mut body = json!({
        "to": call.to.as_str(), "from": call.from.as_str(), "answer_url": call.urls.answer,
        "events_url": call.urls.events,
    });
    // FILL IN: what does the carrier call these, and which bounds does it set?
    if let Some(ring) = call.ring_timeout {
        body["ring_timeout_secs"] = seconds(ring, 1..=600, "ring_timeout")?.into();
    }
    if let Some(limit) = call.time_limit {
        body["time_limit_secs"] = seconds(limit, 1..=86_400, "time_limit")?.into();
    }
    Ok(body)
}

/// Whole seconds, begun ones counted, if they are in the range.
fn seconds(length: Duration, range: std::ops::RangeInclusive<u64>, field: &str) -> Result<u64, TelephonyError> {
    let seconds = length.as_secs() + u64::from(length.subsec_nanos() > 0);
    if range.contains(&seconds) {
        return Ok(seconds);
    }
    let reason = format!("must be {} to {} s", range.start(), range.end());
    Err(TelephonyError::invalid_request(NAME, Operation::InitiateCall, field, reason))
}

// FILL IN: what does the carrier say of a call? Leave out what nobody reads; what may be missing is an `Option`.
/// A call as it can be asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct Call {
    id: String,
    status: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    started_at: Option<String>,
    #[serde(default)]
    ended_at: Option<String>,
    #[serde(default)]
    duration_secs: Option<u64>,
    /// A text, and absent until the call is rated.
    #[serde(default)]
    price: Option<String>,
    #[serde(default)]
    currency: Option<String>,
}

impl Call {
    /// The call that was accepted. One whose name cannot be used may ring all the same.
    pub(crate) fn initiated(self) -> Result<InitiatedCall, TelephonyError> {
        let id = CallId::new(self.id).map_err(|error| TelephonyError::OutcomeUnknown {
            provider: NAME,
            operation: Operation::InitiateCall,
            source: error.into(),
        })?;
        let status = webhook::status_of(&self.status).unwrap_or(CallStatus::Queued);
        Ok(InitiatedCall::new(CallRef::new(id), status, self.status))
    }

    pub(crate) fn snapshot(&self, asked: &CallRef) -> CallSnapshot {
        let moment = |text: &Option<String>| Timestamp::parse(text.as_deref()?, &Rfc3339).ok();
        let party = |text: &Option<String>| {
            let text = text.as_deref()?;
            Some(ReportedAddress::new(text, text.parse().ok()))
        };
        // A word that is new to us says that the call is there, and no more.
        let state = webhook::status_of(&self.status).map_or(CallState::Alive, CallState::Status);
        let mut snapshot = CallSnapshot::new(asked.clone(), state, self.status.as_str());
        (snapshot.from, snapshot.to) = (party(&self.from), party(&self.to));
        (snapshot.started_at, snapshot.ended_at) = (moment(&self.started_at), moment(&self.ended_at));
        snapshot.duration = self.duration_secs.filter(|_| state.is_over()).map(Duration::from_secs);
        snapshot.cost = Some(self.cost()).filter(|cost| *cost != CallCost::Pending);
        snapshot
    }

    /// Pending until there is a price: no price is no price of zero.
    pub(crate) fn cost(&self) -> CallCost {
        let price = self.price.as_deref().and_then(|price| Money::parse(price, self.currency.as_deref()?).ok());
        price.map_or(CallCost::Pending, CallCost::rated)
    }
}

#[derive(Debug, Deserialize)]
struct Page {
    numbers: Vec<Number>,
    #[serde(default)]
    next_page: Option<u32>,
}

/// A number of the account.
#[derive(Debug, Deserialize)]
pub(crate) struct Number {
    number: String,
    #[serde(default)]
    label: Option<String>,
}

impl Number {
    /// `None` of what is no telephone number, such as a short code.
    pub(crate) fn owned(&self) -> Option<OwnedNumber> {
        let mut owned = OwnedNumber::new(self.number.parse().ok()?);
        owned.label = self.label.clone();
        Some(owned)
    }
}

/// The account.
#[derive(Debug, Deserialize)]
pub(crate) struct Account {
    id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    balance: Option<String>,
    #[serde(default)]
    currency: Option<String>,
}

impl Account {
    pub(crate) fn info(self) -> AccountInfo {
        let mut info = AccountInfo::new(&self.id);
        info.balance = self.balance.zip(self.currency).and_then(|(text, currency)| Money::parse(&text, &currency).ok());
        info.name = self.name;
        info
    }
}
