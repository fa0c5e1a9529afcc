//! The REST API, version 1: JSON bodies in, JSON out, and every path ends in a slash.
//!
//! Source: <https://www.plivo.com/docs/voice/api/calls> and the pages beside it; requests and recorded answers of the official
//! Python library (4.63.0).

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use telephony_core::{
    CallCost, CallId, CallRef, CallSnapshot, CallState, CallStatus, Direction, MachineDetection, Money, Operation,
    OutboundCall, PhoneNumber, RecordingRequest, Refusal, TelephonyError, Timestamp, Url,
    http::{ApiRequest, ApiResponse, HttpClient},
};
use time::{format_description::BorrowedFormatItem, macros::format_description};

use crate::{
    Currency, NAME, PlivoConfig,
    answer::seconds,
    webhook::{REQUEST, reported, status_of},
};

/// The most that a page holds.
const PAGE_SIZE: &str = "20";

/// More pages than any account has numbers for: a list that does not end is refused.
const MOST_PAGES: usize = 5_000;

/// The longest recording, which is the longest call: a recording without a limit of its own ends after a minute. Source:
/// <https://www.plivo.com/docs/voice/api/call/record-calls/start-recording-a-call/>
const LONGEST_RECORDING_SECS: u32 = 86_400;

/// The most live calls that are looked at, one request each, for one whose own name is not known: a page.
const MOST_LOOKED_AT: usize = 20;

/// `2026-07-14 14:45:02+05:30`: in the zone of the account.
const MOMENT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second][offset_hour sign:mandatory]:[offset_minute]");

/// Plivo's REST API as one account sees it.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: HttpClient,
    config: PlivoConfig,
    base: Url,
}

impl Api {
    pub(crate) fn new(http: HttpClient, config: PlivoConfig) -> Self {
        let base = config.api_base();
        Self { http, config, base }
    }

    /// `POST Call/`. There is no idempotency key, so it is never sent twice: Plivo's own libraries repeat it after a 5xx, and
    /// may ring twice.
    pub(crate) async fn create_call(&self, body: &Value) -> Result<(Created, ApiResponse), TelephonyError> {
        let response = self.send(Operation::InitiateCall, ApiRequest::post(self.url(&["Call"])).json(body)).await?;
        Ok((response.json()?, response))
    }

    /// `GET Call/{uuid}/?status=live`: `None` before it is dialled, and once it is over.
    pub(crate) async fn live_call(&self, operation: Operation, call: &str) -> Result<Option<LiveCall>, TelephonyError> {
        self.call_with_status(operation, call, "live").await
    }

    /// `GET Call/{uuid}/?status=queued`: `None` once it is dialled.
    pub(crate) async fn queued_call(
        &self,
        operation: Operation,
        call: &str,
    ) -> Result<Option<LiveCall>, TelephonyError> {
        self.call_with_status(operation, call, "queued").await
    }

    async fn call_with_status(
        &self,
        operation: Operation,
        call: &str,
        status: &str,
    ) -> Result<Option<LiveCall>, TelephonyError> {
        let mut url = self.url(&["Call", call]);
        url.query_pairs_mut().append_pair("status", status);
        found(self.send(operation, ApiRequest::get(url)).await)?.map(|response| response.json()).transpose()
    }

    /// The live call that was accepted as this request, if it has another name than that: `GET Call/?status=live` names the
    /// calls, and each says its request. Only a page of them is looked through.
    pub(crate) async fn live_call_of(
        &self,
        operation: Operation,
        request: &str,
    ) -> Result<Option<LiveCall>, TelephonyError> {
        let mut url = self.url(&["Call"]);
        url.query_pairs_mut().append_pair("status", "live").append_pair("limit", PAGE_SIZE).append_pair("offset", "0");
        let live: LiveCalls = self.send(operation, ApiRequest::get(url)).await?.json()?;
        for call in live.calls.iter().take(MOST_LOOKED_AT) {
            let found = self.live_call(operation, call).await?;
            if let Some(found) = found.filter(|found| found.request_uuid.as_deref() == Some(request)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// `GET Call/{uuid}/`: 404 until the call is over.
    pub(crate) async fn record_of(
        &self,
        operation: Operation,
        call: &str,
    ) -> Result<(CallRecord, ApiResponse), TelephonyError> {
        let response = self.send(operation, ApiRequest::get(self.url(&["Call", call]))).await?;
        Ok((response.json()?, response))
    }

    /// `DELETE Call/{uuid}/`.
    pub(crate) async fn hang_up(&self, call: &str) -> Result<(), TelephonyError> {
        self.send(Operation::HangUp, ApiRequest::delete(self.url(&["Call", call]))).await.map(|_| ())
    }

    /// `DELETE Request/{uuid}/`: takes back a call that has no id yet.
    pub(crate) async fn cancel(&self, request: &str) -> Result<(), TelephonyError> {
        self.send(Operation::HangUp, ApiRequest::delete(self.url(&["Request", request]))).await.map(|_| ())
    }

    /// `POST Call/{uuid}/`: has the call ask another URL what to do. Never sent twice: it would begin anew.
    pub(crate) async fn transfer(&self, operation: Operation, call: &str, url: &Url) -> Result<(), TelephonyError> {
        let body = json!({"legs": "aleg", "aleg_url": url, "aleg_method": "POST"});
        self.send(operation, ApiRequest::post(self.url(&["Call", call])).json(&body)).await.map(|_| ())
    }

    /// `POST Call/{uuid}/DTMF/`. Never sent twice: those would be other digits.
    pub(crate) async fn send_digits(&self, call: &str, digits: &str) -> Result<(), TelephonyError> {
        let request =
            ApiRequest::post(self.url(&["Call", call, "DTMF"])).json(&json!({"digits": digits, "leg": "aleg"}));
        self.send(Operation::SendDigits, request).await.map(|_| ())
    }

    /// `POST Call/{uuid}/Record/`.
    pub(crate) async fn start_recording(
        &self,
        call: &str,
        how: &RecordingRequest,
    ) -> Result<Recording, TelephonyError> {
        let channels = if how.dual_channel { "stereo" } else { "mono" };
        let mut body = json!({
            "file_format": "wav", "record_channel_type": channels, "time_limit": LONGEST_RECORDING_SECS,
        });
        if let Some(events) = &how.events {
            body["callback_url"] = json!(events);
            body["callback_method"] = "POST".into();
        }
        let request = ApiRequest::post(self.url(&["Call", call, "Record"])).json(&body);
        self.send(Operation::StartRecording, request).await?.json()
    }

    /// `DELETE Call/{uuid}/Record/`: ends every recording of the call.
    pub(crate) async fn stop_recording(&self, call: &str) -> Result<(), TelephonyError> {
        let request = ApiRequest::delete(self.url(&["Call", call, "Record"]));
        self.send(Operation::StopRecording, request).await.map(|_| ())
    }

    /// `GET Number/`: the numbers of the account, page by page. Plivo says where the next one is.
    pub(crate) async fn numbers(&self, operation: Operation) -> Result<Vec<Number>, TelephonyError> {
        let mut all = Vec::new();
        let mut url = self.url(&["Number"]);
        url.query_pairs_mut().append_pair("limit", PAGE_SIZE).append_pair("offset", "0");
        for _ in 0..MOST_PAGES {
            let response = self.send(operation, ApiRequest::get(url)).await?;
            let page: Page = response.json()?;
            all.extend(page.objects);
            let Some(next) = page.meta.next.filter(|next| !next.is_empty()) else { return Ok(all) };
            // A path, relative to the host. Credentials go nowhere else, whatever a page says.
            url = self
                .base
                .join(next.trim_start_matches('/'))
                .ok()
                .filter(|url| url.origin() == self.base.origin())
                .ok_or_else(|| response.unexpected("meta.next leads to another host"))?;
        }
        Err(TelephonyError::UnexpectedResponse {
            provider: NAME,
            operation,
            reason: format!("the list has more than {MOST_PAGES} pages"),
        })
    }

    /// `GET Number/{digits}/`.
    pub(crate) async fn number(
        &self,
        operation: Operation,
        number: &PhoneNumber,
    ) -> Result<(Number, ApiResponse), TelephonyError> {
        let response = self.send(operation, ApiRequest::get(self.url(&["Number", number.digits()]))).await?;
        Ok((response.json()?, response))
    }

    /// `POST Number/{digits}/`: links a number to an application, or with `None` to none. What that does is not documented, but
    /// that a number without an application may get the account's default: look at the number afterwards.
    pub(crate) async fn link_number(
        &self,
        number: &PhoneNumber,
        application: Option<&str>,
    ) -> Result<(), TelephonyError> {
        let url = self.url(&["Number", number.digits()]);
        let request = ApiRequest::post(url).json(&json!({"app_id": application})).repeatable(true);
        self.send(Operation::ConfigureInbound, request).await.map(|_| ())
    }

    /// `POST Application/{id}/`: changes the URLs, and leaves what is not named as it is.
    pub(crate) async fn update_application(&self, id: &str, answer: &Url, hang_up: &Url) -> Result<(), TelephonyError> {
        let body = json!({
            "answer_url": answer, "answer_method": "POST", "hangup_url": hang_up, "hangup_method": "POST",
        });
        let request = ApiRequest::post(self.url(&["Application", id])).json(&body).repeatable(true);
        self.send(Operation::ConfigureInbound, request).await.map(|_| ())
    }

    /// `GET Account/{auth_id}/`.
    pub(crate) async fn account(&self) -> Result<Account, TelephonyError> {
        self.send(Operation::CheckAccount, ApiRequest::get(self.url(&[]))).await?.json()
    }

    async fn send(&self, operation: Operation, request: ApiRequest) -> Result<ApiResponse, TelephonyError> {
        self.http.send(operation, request.basic(&self.config.auth_id, &self.config.auth_token)).await
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // An http or https URL, which has a path, as the configuration was checked for.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["v1", "Account", &self.config.auth_id]).extend(path).push("");
        }
        url
    }
}

/// The request that starts a call.
pub(crate) fn call_body(call: &OutboundCall) -> Result<Value, TelephonyError> {
    let invalid = |field, reason| Err(TelephonyError::invalid_request(NAME, Operation::InitiateCall, field, reason));
    let events = &call.urls.events;
    let mut body = json!({
        "from": call.from.as_str(), "to": call.to.as_str(),
        "answer_url": call.urls.answer, "answer_method": "POST",
        "ring_url": events, "ring_method": "POST",
        "hangup_url": events, "hangup_method": "POST",
    });
    if call.to.as_str().contains('<') {
        return invalid("to", "must be one address: Plivo takes < for the beginning of the next");
    }
    if let Some(timeout) = call.ring_timeout {
        if seconds(timeout) == 0 {
            return invalid("ring_timeout", "must be at least a second");
        }
        body["ring_timeout"] = seconds(timeout).into();
    }
    if let Some(limit) = call.time_limit {
        if !matches!(seconds(limit), 1..=86_400) {
            return invalid("time_limit", "must be 1 to 86400 seconds");
        }
        body["time_limit"] = seconds(limit).into();
    }
    match call.machine_detection {
        None => {}
        Some(MachineDetection::HangUp) => body["machine_detection"] = "hangup".into(),
        Some(MachineDetection::DetectBeep) => {
            return invalid("machine_detection", "cannot wait for the beep at Plivo: detect, and listen for it");
        }
        Some(_) => {
            body["machine_detection"] = "true".into();
            // The call goes on meanwhile; otherwise the person who answered hears silence for some seconds.
            body["machine_detection_url"] = json!(events);
            body["machine_detection_method"] = "POST".into();
        }
    }
    if let Some(digits) = &call.digits_on_answer {
        body["send_digits"] = digits.as_str().into();
    }
    if let Some(name) = &call.caller_name {
        if name.is_empty() || name.chars().count() > 50 {
            return invalid("caller_name", "must have 1 to 50 characters");
        }
        body["caller_name"] = name.as_str().into();
    }
    Ok(body)
}

/// Plivo accepted a call. A list of requests is the answer to a call to several.
#[derive(Debug, Deserialize)]
pub(crate) struct Created {
    #[serde(default)]
    pub(crate) message: String,
    request_uuid: Value,
}

impl Created {
    /// The one request that was made.
    pub(crate) fn request(&self) -> Option<&str> {
        match &self.request_uuid {
            Value::String(one) => Some(one),
            Value::Array(several) => several.first()?.as_str(),
            _ => None,
        }
    }
}

/// What there is, or `None` where Plivo says 404.
pub(crate) fn found<T>(outcome: Result<T, TelephonyError>) -> Result<Option<T>, TelephonyError> {
    match outcome {
        Ok(it) => Ok(Some(it)),
        Err(TelephonyError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names of the calls that are up.
#[derive(Debug, Deserialize)]
struct LiveCalls {
    calls: Vec<String>,
}

/// A call that is up, or waits to be dialled.
#[derive(Debug, Deserialize)]
pub(crate) struct LiveCall {
    #[serde(default)]
    pub(crate) call_uuid: Option<String>,
    #[serde(default)]
    request_uuid: Option<String>,
    #[serde(default)]
    call_status: String,
    #[serde(default)]
    direction: Option<String>,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
}

impl LiveCall {
    pub(crate) fn snapshot(self, asked: &CallRef) -> CallSnapshot {
        let state = status_of(&self.call_status).map_or(CallState::Alive, CallState::Status);
        let mut snapshot = CallSnapshot::new(named(asked, self.call_uuid), state, self.call_status);
        snapshot.direction = self.direction.as_deref().and_then(direction_of);
        snapshot.from = self.from.map(reported);
        snapshot.to = self.to.map(reported);
        snapshot.cost = Some(CallCost::Pending);
        snapshot
    }
}

/// A call that is over. Numbers are numbers here, money is text.
#[derive(Debug, Deserialize)]
pub(crate) struct CallRecord {
    #[serde(default)]
    call_uuid: Option<String>,
    #[serde(default)]
    call_state: Option<String>,
    #[serde(default)]
    call_direction: Option<String>,
    #[serde(default)]
    from_number: Option<String>,
    #[serde(default)]
    to_number: Option<String>,
    #[serde(default)]
    answer_time: Option<String>,
    #[serde(default)]
    end_time: Option<String>,
    #[serde(default)]
    call_duration: Option<u64>,
    #[serde(default)]
    bill_duration: Option<u64>,
    #[serde(default)]
    total_amount: Option<String>,
    #[serde(default)]
    total_rate: Option<String>,
    #[serde(default)]
    hangup_cause_code: Option<u32>,
}

impl CallRecord {
    pub(crate) fn snapshot(self, asked: &CallRef, currency: Currency) -> Result<CallSnapshot, String> {
        let answered = self.answer_time.as_deref().is_some_and(|text| !text.is_empty());
        let status = match self.hangup_cause_code.and_then(end_of) {
            Some(refused) if !answered => refused,
            _ if answered => CallStatus::Completed,
            _ => CallStatus::Failed,
        };
        let cost = self.cost(currency)?;
        let raw = self.call_state.unwrap_or_default();
        let mut snapshot = CallSnapshot::new(named(asked, self.call_uuid), CallState::Status(status), raw);
        snapshot.cost = Some(cost);
        snapshot.direction = self.call_direction.as_deref().and_then(direction_of);
        snapshot.from = self.from_number.map(reported);
        snapshot.to = self.to_number.map(reported);
        let moment = |text: Option<String>| text.and_then(|text| Timestamp::parse(&text, MOMENT).ok());
        snapshot.started_at = moment(self.answer_time);
        snapshot.ended_at = moment(self.end_time);
        snapshot.duration = self.call_duration.map(Duration::from_secs);
        Ok(snapshot)
    }

    /// What Plivo charges: a positive text. Nothing, for time that is billed at a rate, means that it is not rated yet.
    pub(crate) fn cost(&self, currency: Currency) -> Result<CallCost, String> {
        cost(self.total_amount.as_deref(), self.total_rate.as_deref(), self.bill_duration, currency)
    }
}

/// A price as records and webhooks write it, in the account's currency, which they do not name.
pub(crate) fn cost(
    total: Option<&str>,
    rate: Option<&str>,
    billed_seconds: Option<u64>,
    currency: Currency,
) -> Result<CallCost, String> {
    let Some(total) = total.filter(|text| !text.is_empty()) else { return Ok(CallCost::Pending) };
    let money = |text: &str| Money::parse(text, currency.code()).map_err(|error| error.to_string());
    let total = money(total)?;
    let rated = match rate.filter(|text| !text.is_empty()) {
        Some(rate) => !money(rate)?.amount.is_zero(),
        None => false,
    };
    if total.amount.is_zero() && rated && billed_seconds.is_some_and(|seconds| seconds > 0) {
        return Ok(CallCost::Pending);
    }
    Ok(CallCost::rated(total))
}

/// How a call ended that was not answered, by the code of its hang-up. Source:
/// <https://www.plivo.com/docs/voice/troubleshooting/hangup-causes>
pub(crate) fn end_of(code: u32) -> Option<CallStatus> {
    Some(match code {
        1000 => CallStatus::Canceled,
        // Ringing that nobody heeds, and ringing that lasts too long.
        3000 | 6010 => CallStatus::NoAnswer,
        // Busy, rejected, busy everywhere, declined.
        3010 | 3020 | 3100 | 3110 => CallStatus::Busy,
        // No credit, too many calls at once; destinations; carriers; Plivo itself; what was to be done could not be had or read.
        1010 | 1020 | 2000..=2070 | 3030..=3090 | 3120..=3140 | 5000..=5030 | 7011..=8014 => CallStatus::Failed,
        // Ends of calls that were answered, and codes to come: the word says it.
        _ => return None,
    })
}

/// Why the other side could not be had, by the same code.
pub(crate) fn refusal_of(code: u32) -> Option<Refusal> {
    match code {
        3020 | 3110 => Some(Refusal::Declined),
        2000 | 3050 | 3120 => Some(Refusal::InvalidNumber),
        // Out of service, not registered; forbidden, and errors of the carrier.
        2010 | 2020 | 3040 | 3070 | 3080 | 3090 => Some(Refusal::Unreachable),
        _ => None,
    }
}

/// The way that a call goes.
pub(crate) fn direction_of(word: &str) -> Option<Direction> {
    match word {
        "inbound" => Some(Direction::Inbound),
        "outbound" => Some(Direction::Outbound),
        _ => None,
    }
}

fn named(asked: &CallRef, uuid: Option<String>) -> CallRef {
    let mut call = asked.clone();
    if let Some(id) = uuid.and_then(|uuid| CallId::new(uuid).ok()) {
        call.absorb(&CallRef::new(id));
    }
    call
}

/// What a call is called in a path: its own id, or while that is not known its request's. The two have been the same wherever
/// both were seen, which Plivo does not promise.
pub(crate) fn name_of(operation: Operation, call: &CallRef) -> Result<&str, TelephonyError> {
    let name = call.id().map(CallId::as_str).or_else(|| call.handle(REQUEST));
    name.ok_or_else(|| TelephonyError::invalid_request(NAME, operation, "call", "has neither an id nor a request's"))
}

/// A recording of a live call.
#[derive(Debug, Deserialize)]
pub(crate) struct Recording {
    #[serde(default)]
    pub(crate) recording_id: Option<String>,
}

/// An account or sub-account.
#[derive(Debug, Deserialize)]
pub(crate) struct Account {
    pub(crate) auth_id: String,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) cash_credits: Option<String>,
    #[serde(default)]
    pub(crate) account_type: Option<String>,
}

/// A number of the account.
#[derive(Debug, Deserialize)]
pub(crate) struct Number {
    /// Digits, without `+`.
    pub(crate) number: String,
    #[serde(default)]
    pub(crate) alias: Option<String>,
    /// A path, or nothing.
    #[serde(default)]
    application: Option<String>,
    #[serde(default)]
    pub(crate) voice_enabled: Option<bool>,
    #[serde(flatten)]
    _rest: Map<String, Value>,
}

impl Number {
    pub(crate) fn e164(&self) -> Option<PhoneNumber> {
        PhoneNumber::from_digits(&self.number).ok()
    }

    /// The id of the application that it is linked to: the end of the path.
    pub(crate) fn application_id(&self) -> Option<&str> {
        self.application.as_deref()?.trim_end_matches('/').rsplit('/').next().filter(|id| !id.is_empty())
    }
}

#[derive(Debug, Deserialize)]
struct Page {
    meta: Meta,
    objects: Vec<Number>,
}

#[derive(Debug, Deserialize)]
struct Meta {
    #[serde(default)]
    next: Option<String>,
}

#[cfg(test)]
mod tests {
    use telephony_core::CallCost;

    use super::*;

    #[test]
    fn a_price_that_is_not_there_yet_is_no_price_of_zero() {
        let rated = |text: &str| CallCost::rated(Money::parse(text, "USD").unwrap());
        let cost = |total, rate, seconds| cost(total, rate, seconds, Currency::Usd);
        assert_eq!(cost(None, None, None), Ok(CallCost::Pending));
        assert_eq!(cost(Some("0.00000"), Some("0.0110"), Some(60)), Ok(CallCost::Pending));
        assert_eq!(cost(Some("0.00000"), Some("0.0110"), Some(0)), Ok(rated("0.00000")));
        assert_eq!(cost(Some("0.01100"), Some("0.0110"), Some(60)), Ok(rated("0.01100")));
        assert!(cost(Some("free"), None, None).is_err());
    }

    #[test]
    fn the_request_of_one_call_is_a_text_or_a_list_of_one() {
        let created = |request: Value| -> Created {
            serde_json::from_value(json!({"api_id": "1", "message": "call(s) fired", "request_uuid": request})).unwrap()
        };
        assert_eq!(created(json!("r-1")).request(), Some("r-1"));
        assert_eq!(created(json!(["r-1"])).request(), Some("r-1"));
        for nothing in [json!([]), json!([7]), Value::Null] {
            assert_eq!(created(nothing).request(), None);
        }
    }

    #[test]
    fn every_documented_code_of_a_hang_up_has_its_status() {
        use CallStatus::{Busy, Canceled, Failed, NoAnswer};
        let documented = [
            (&[1000][..], Some(Canceled)),
            (&[3000, 6010], Some(NoAnswer)),
            (&[3010, 3020, 3100, 3110], Some(Busy)),
            (&[1010, 1020, 2000, 2010, 2020, 2030, 2040, 2050, 2060, 2070], Some(Failed)),
            (&[3030, 3040, 3050, 3070, 3080, 3090, 3120, 3130, 3140], Some(Failed)),
            (&[5000, 5010, 5020, 5030], Some(Failed)),
            (&[7011, 7012, 7013, 7014, 7022, 7023, 7024, 7032, 7033, 7034], Some(Failed)),
            (&[8011, 8012, 8013, 8014], Some(Failed)),
            // The word says how these ended: the call was answered, or nobody knows.
            (&[0, 4000, 4010, 4020, 4030, 6000, 6020, 9000, 9100, 9110], None),
        ];
        for (codes, status) in documented {
            for code in codes {
                assert_eq!(end_of(*code), status, "{code}");
            }
        }
        let refusals = [
            (Refusal::Declined, &[3020, 3110][..]),
            (Refusal::InvalidNumber, &[2000, 3050, 3120]),
            (Refusal::Unreachable, &[2010, 2020, 3040, 3070, 3080, 3090]),
        ];
        for (refusal, codes) in refusals {
            for code in codes {
                assert_eq!(refusal_of(*code), Some(refusal), "{code}");
            }
        }
        // Nobody refused.
        for code in [1000, 1010, 3000, 3010, 3100, 4000, 5030, 6010] {
            assert_eq!(refusal_of(code), None, "{code}");
        }
    }

    #[test]
    fn the_application_of_a_number_is_the_end_of_a_path() {
        let number = |application: Value| -> Number {
            serde_json::from_value(json!({"number": "12025550100", "application": application})).unwrap()
        };
        assert_eq!(number(json!("/v1/Account/MA1/Application/77/")).application_id(), Some("77"));
        assert_eq!(number(json!("")).application_id(), None);
        assert_eq!(number(Value::Null).application_id(), None);
    }
}
