//! The REST API, version 2010-04-01: form bodies in, JSON out.
//!
//! Source: <https://www.twilio.com/docs/voice/api/call-resource> and the OpenAPI description that Twilio publishes
//! (`twilio_api_v2010`).

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Deserializer};
use telephony_core::{
    CallCost, CallId, CallRef, CallSnapshot, CallState, MachineDetection, Money, Operation, OutboundCall, PhoneNumber,
    RecordingRequest, ReportedAddress, TelephonyError, Timestamp, Url,
    http::{ApiRequest, ApiResponse, HttpClient},
};
use time::format_description::well_known::Rfc2822;

use crate::{
    NAME, TwilioConfig,
    answer::seconds,
    webhook::{answered_by_of, direction_of, status_of},
};

/// The most that a page may hold.
const PAGE_SIZE: &str = "1000";

/// More pages than any account has numbers for: a list that does not end is refused.
const MOST_PAGES: usize = 1000;

/// A TwiML document in a request. Source: the parameter `Twiml` of the Call resource.
const LONGEST_TWIML: usize = 4000;

/// Fields of a request, in order. A repeated name is a list.
pub(crate) type Form = Vec<(&'static str, String)>;

/// Twilio's REST API as one account sees it.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: HttpClient,
    config: TwilioConfig,
    base: Url,
}

impl Api {
    pub(crate) fn new(http: HttpClient, config: TwilioConfig) -> Self {
        let base = config.api_base();
        Self { http, config, base }
    }

    /// `POST /Calls.json`. There is no idempotency key, so it is never sent twice.
    pub(crate) async fn create_call(&self, form: Form) -> Result<Call, TelephonyError> {
        let request = ApiRequest::post(self.url(&["Calls.json"])).form(form);
        self.send(Operation::InitiateCall, request).await?.json()
    }

    /// `GET /Calls/{Sid}.json`.
    pub(crate) async fn call(&self, operation: Operation, sid: &CallId) -> Result<(Call, ApiResponse), TelephonyError> {
        let response = self.send(operation, ApiRequest::get(self.call_url(sid))).await?;
        Ok((response.json()?, response))
    }

    /// `POST /Calls/{Sid}.json` with `Status=completed`: ends a call in any state.
    pub(crate) async fn complete_call(&self, sid: &CallId) -> Result<(), TelephonyError> {
        let request = ApiRequest::post(self.call_url(sid)).form([("Status", "completed")]).repeatable(true);
        self.send(Operation::HangUp, request).await.map(|_| ())
    }

    /// `POST /Calls/{Sid}.json` with another document. It starts anew with every request, so it is never sent twice.
    pub(crate) async fn update_call(
        &self,
        operation: Operation,
        sid: &CallId,
        twiml: &str,
    ) -> Result<(), TelephonyError> {
        if twiml.chars().count() > LONGEST_TWIML {
            let reason = "makes a document of more than 4000 characters, the most that a live call takes";
            return Err(TelephonyError::invalid_request(NAME, operation, "instruction", reason));
        }
        let request = ApiRequest::post(self.call_url(sid)).form([("Twiml", twiml)]);
        self.send(operation, request).await.map(|_| ())
    }

    /// `POST /Calls/{Sid}/Recordings.json`.
    pub(crate) async fn start_recording(
        &self,
        sid: &CallId,
        how: &RecordingRequest,
    ) -> Result<Recording, TelephonyError> {
        let mut form = vec![("RecordingChannels", channels(how).to_owned())];
        form.extend(recording_events(how.events.as_ref()));
        let request = ApiRequest::post(self.url(&["Calls", sid.as_str(), "Recordings.json"])).form(form);
        self.send(Operation::StartRecording, request).await?.json()
    }

    /// `POST /Calls/{Sid}/Recordings/{Sid}.json`; without an id the one that runs.
    pub(crate) async fn stop_recording(&self, sid: &CallId, recording: Option<&str>) -> Result<(), TelephonyError> {
        let recording = format!("{}.json", recording.unwrap_or("Twilio.CURRENT"));
        let url = self.url(&["Calls", sid.as_str(), "Recordings", &recording]);
        let request = ApiRequest::post(url).form([("Status", "stopped")]).repeatable(true);
        self.send(Operation::StopRecording, request).await.map(|_| ())
    }

    /// `GET /IncomingPhoneNumbers.json`: the numbers of the account, or the one asked for.
    pub(crate) async fn incoming_numbers(
        &self,
        operation: Operation,
        only: Option<&PhoneNumber>,
    ) -> Result<Vec<Number>, TelephonyError> {
        let mut url = self.url(&["IncomingPhoneNumbers.json"]);
        url.query_pairs_mut().append_pair("PageSize", PAGE_SIZE);
        if let Some(number) = only {
            url.query_pairs_mut().append_pair("PhoneNumber", number.as_e164());
        }
        self.list(operation, url, |page| page.incoming_phone_numbers).await
    }

    /// `GET /OutgoingCallerIds.json`: numbers of others that the account may show.
    pub(crate) async fn verified_caller_ids(&self, operation: Operation) -> Result<Vec<Number>, TelephonyError> {
        let mut url = self.url(&["OutgoingCallerIds.json"]);
        url.query_pairs_mut().append_pair("PageSize", PAGE_SIZE);
        self.list(operation, url, |page| page.outgoing_caller_ids).await
    }

    /// `POST /IncomingPhoneNumbers/{Sid}.json`.
    pub(crate) async fn update_number(&self, sid: &str, form: Form) -> Result<(), TelephonyError> {
        let url = self.url(&["IncomingPhoneNumbers", &format!("{sid}.json")]);
        let request = ApiRequest::post(url).form(form).repeatable(true);
        self.send(Operation::ConfigureInbound, request).await.map(|_| ())
    }

    /// `GET /Accounts/{Sid}.json`: forbidden to standard API keys.
    pub(crate) async fn account(&self) -> Result<Account, TelephonyError> {
        let url = self.join(&["Accounts", &format!("{}.json", self.config.account_sid)]);
        self.send(Operation::CheckAccount, ApiRequest::get(url)).await?.json()
    }

    /// `GET /Calls.json?PageSize=1`: allowed to every key that can call.
    pub(crate) async fn probe(&self) -> Result<(), TelephonyError> {
        let mut url = self.url(&["Calls.json"]);
        url.query_pairs_mut().append_pair("PageSize", "1");
        self.send(Operation::CheckAccount, ApiRequest::get(url)).await.map(|_| ())
    }

    /// Follows a list to its end: counting pages goes wrong when numbers come or go meanwhile.
    async fn list<T>(
        &self,
        operation: Operation,
        first: Url,
        items: fn(Page) -> Vec<T>,
    ) -> Result<Vec<T>, TelephonyError> {
        let mut all = Vec::new();
        let mut url = first;
        for _ in 0..MOST_PAGES {
            let response = self.send(operation, ApiRequest::get(url)).await?;
            let page: Page = response.json()?;
            let next = page.next_page_uri.clone().filter(|uri| !uri.is_empty());
            all.extend(items(page));
            let Some(next) = next else { return Ok(all) };
            // A path, relative to the host. Credentials go nowhere else, whatever a page says.
            url = self
                .base
                .join(next.trim_start_matches('/'))
                .ok()
                .filter(|url| url.origin() == self.base.origin())
                .ok_or_else(|| response.unexpected("next_page_uri leads to another host"))?;
        }
        Err(TelephonyError::UnexpectedResponse {
            provider: NAME,
            operation,
            reason: format!("the list has more than {MOST_PAGES} pages"),
        })
    }

    async fn send(&self, operation: Operation, request: ApiRequest) -> Result<ApiResponse, TelephonyError> {
        let (user, password) = self.config.credentials();
        self.http.send(operation, request.basic(user, password)).await
    }

    fn call_url(&self, sid: &CallId) -> Url {
        self.url(&["Calls", &format!("{sid}.json")])
    }

    fn url(&self, path: &[&str]) -> Url {
        self.join(&[&["Accounts", self.config.account_sid.as_str()], path].concat())
    }

    fn join(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // An http or https URL, which has a path, as the configuration was checked for.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("2010-04-01").extend(path);
        }
        url
    }
}

/// The request that starts a call.
pub(crate) fn call_form(call: &OutboundCall) -> Result<Form, TelephonyError> {
    let invalid = |field, reason| Err(TelephonyError::invalid_request(NAME, Operation::InitiateCall, field, reason));
    let mut form: Form = vec![
        ("To", call.to.as_str().to_owned()),
        ("From", call.from.as_str().to_owned()),
        ("Url", call.urls.answer.to_string()),
        ("Method", "POST".to_owned()),
        ("StatusCallback", call.urls.events.to_string()),
        ("StatusCallbackMethod", "POST".to_owned()),
    ];
    // `completed` stands for every end; there are no events for busy, failed and no-answer.
    for event in ["initiated", "ringing", "answered", "completed"] {
        form.push(("StatusCallbackEvent", event.to_owned()));
    }
    if let Some(timeout) = call.ring_timeout {
        if !matches!(seconds(timeout), 1..=600) {
            return invalid("ring_timeout", "must be 1 to 600 seconds");
        }
        form.push(("Timeout", seconds(timeout).to_string()));
    }
    if let Some(limit) = call.time_limit {
        if seconds(limit) == 0 {
            return invalid("time_limit", "must be at least a second");
        }
        form.push(("TimeLimit", seconds(limit).to_string()));
    }
    if let Some(digits) = &call.digits_on_answer {
        if digits.as_str().len() > 32 {
            return invalid("digits_on_answer", "must have at most 32 characters");
        }
        if call.machine_detection.is_some() {
            return invalid("machine_detection", "is ignored by Twilio when digits are sent on answer: choose one");
        }
        form.push(("SendDigits", digits.as_str().to_owned()));
    }
    match call.machine_detection {
        None => {}
        Some(MachineDetection::HangUp) => {
            return invalid("machine_detection", "cannot hang up by itself at Twilio: detect, and hang up when told");
        }
        Some(detection) => {
            let mode = if detection == MachineDetection::DetectBeep { "DetectMessageEnd" } else { "Enable" };
            form.push(("MachineDetection", mode.to_owned()));
            // The call goes on meanwhile; otherwise the person who answered hears silence for some seconds.
            form.push(("AsyncAmd", "true".to_owned()));
            form.push(("AsyncAmdStatusCallback", call.urls.events.to_string()));
            form.push(("AsyncAmdStatusCallbackMethod", "POST".to_owned()));
        }
    }
    if let Some(record) = &call.record {
        form.push(("Record", "true".to_owned()));
        form.push(("RecordingChannels", channels(record).to_owned()));
        form.extend(recording_events(Some(record.events.as_ref().unwrap_or(&call.urls.events))));
    }
    Ok(form)
}

fn channels(how: &RecordingRequest) -> &'static str {
    if how.dual_channel { "dual" } else { "mono" }
}

fn recording_events(url: Option<&Url>) -> Form {
    let Some(url) = url else { return Form::new() };
    let mut form =
        vec![("RecordingStatusCallback", url.to_string()), ("RecordingStatusCallbackMethod", "POST".to_owned())];
    for event in ["in-progress", "completed", "absent"] {
        form.push(("RecordingStatusCallbackEvent", event.to_owned()));
    }
    form
}

/// The Call resource. Everything is text or null.
#[derive(Debug, Deserialize)]
pub(crate) struct Call {
    pub(crate) sid: String,
    #[serde(default, deserialize_with = "text")]
    pub(crate) status: Option<String>,
    #[serde(default, deserialize_with = "text")]
    direction: Option<String>,
    #[serde(default, deserialize_with = "text")]
    from: Option<String>,
    #[serde(default, deserialize_with = "text")]
    to: Option<String>,
    #[serde(default, deserialize_with = "text")]
    start_time: Option<String>,
    #[serde(default, deserialize_with = "text")]
    end_time: Option<String>,
    #[serde(default, deserialize_with = "text")]
    duration: Option<String>,
    #[serde(default, deserialize_with = "text")]
    price: Option<String>,
    #[serde(default, deserialize_with = "text")]
    price_unit: Option<String>,
    #[serde(default, deserialize_with = "text")]
    answered_by: Option<String>,
}

impl Call {
    /// What Twilio charges for the leg: a negative text once rated, null until then. Calls that were never answered may stay
    /// so for good.
    pub(crate) fn cost(&self) -> Result<CallCost, String> {
        match (&self.price, &self.price_unit) {
            (None, _) => Ok(CallCost::Pending),
            (Some(_), None) => Err("price_unit is missing beside a price".to_owned()),
            (Some(price), Some(unit)) => {
                let total = Money::parse(price, unit).map_err(|error| error.to_string())?;
                Ok(CallCost::rated(total.negated()))
            }
        }
    }

    /// Where the call stands.
    pub(crate) fn snapshot(self, asked: &CallRef) -> Result<CallSnapshot, String> {
        let raw = self.status.clone().unwrap_or_default();
        let state = status_of(&raw).map_or(CallState::Alive, CallState::Status);
        let mut snapshot = CallSnapshot::new(asked.clone(), state, raw);
        snapshot.cost = Some(self.cost()?);
        snapshot.direction = self.direction.as_deref().and_then(direction_of);
        let reported = |raw: String| {
            let address = raw.parse().ok();
            ReportedAddress::new(raw, address)
        };
        snapshot.from = self.from.map(reported);
        snapshot.to = self.to.map(reported);
        let moment = |text: Option<String>| text.and_then(|text| Timestamp::parse(&text, &Rfc2822).ok());
        snapshot.started_at = moment(self.start_time);
        snapshot.ended_at = moment(self.end_time);
        snapshot.duration = self.duration.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        snapshot.answered_by = self.answered_by.as_deref().map(answered_by_of);
        Ok(snapshot)
    }
}

/// A recording of a live call.
#[derive(Debug, Deserialize)]
pub(crate) struct Recording {
    pub(crate) sid: String,
}

/// An account.
#[derive(Debug, Deserialize)]
pub(crate) struct Account {
    pub(crate) sid: String,
    pub(crate) friendly_name: Option<String>,
    pub(crate) status: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
}

/// A number of the account, or a verified caller ID, which has the first three fields only.
#[derive(Debug, Deserialize)]
pub(crate) struct Number {
    pub(crate) sid: String,
    pub(crate) phone_number: String,
    #[serde(default, deserialize_with = "text")]
    pub(crate) friendly_name: Option<String>,
    #[serde(default)]
    capabilities: Option<NumberCapabilities>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) voice_url: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) voice_application_sid: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) trunk_sid: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NumberCapabilities {
    voice: Option<bool>,
}

impl Number {
    /// Whether it is for calls, and not for texts only.
    pub(crate) fn has_voice(&self) -> bool {
        self.capabilities.as_ref().and_then(|capabilities| capabilities.voice).unwrap_or(true)
    }
}

#[derive(Debug, Deserialize)]
struct Page {
    #[serde(default)]
    incoming_phone_numbers: Vec<Number>,
    #[serde(default)]
    outgoing_caller_ids: Vec<Number>,
    next_page_uri: Option<String>,
}

/// A text; an empty one is none, and a number is taken for its digits.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scalar<'a> {
        #[serde(borrow)]
        Text(Cow<'a, str>),
        Number(serde_json::Number),
        None(()),
    }
    Ok(match Scalar::deserialize(deserializer)? {
        Scalar::Text(text) => Some(text.into_owned()).filter(|text| !text.is_empty()),
        Scalar::Number(number) => Some(number.to_string()),
        Scalar::None(()) => None,
    })
}
