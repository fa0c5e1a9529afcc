//! The layers around one attempt.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{Instrument, debug, info_span};

use super::{ApiRequest, ApiResponse, Transport, TransportError, TransportErrorKind};
use crate::{
    error::{BoxError, CarrierMessage, TelephonyError},
    name::{Operation, ProviderName},
};

/// Retries that an account may have in stock. A retry takes one, a success brings back a tenth: a carrier in trouble is not
/// asked more than a tenth more often than one that works.
const RETRY_BUDGET: f32 = 10.0;
const RETRY_REFUND: f32 = 0.1;

/// How patient a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpPolicy {
    /// For the whole operation, pauses and retries included. Default 30 s.
    pub deadline: Duration,
    /// For one attempt. Default 10 s.
    pub attempt_timeout: Duration,
    /// Attempts in all, at least 1. Default 3.
    pub max_attempts: u32,
    /// Requests a second, evenly spaced; more wait their turn. Default: no limit.
    pub requests_per_second: Option<NonZeroU32>,
}

impl Default for HttpPolicy {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(10),
            max_attempts: 3,
            requests_per_second: None,
        }
    }
}

impl HttpPolicy {
    /// Bounds one attempt, and the whole operation to three times that.
    #[must_use]
    pub fn with_attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self.deadline = timeout * 3;
        self
    }

    /// Bounds one attempt as [`with_attempt_timeout`](Self::with_attempt_timeout) does, unless it is bounded closer already:
    /// for the patience that an account is configured with, under a caller who may have less.
    #[must_use]
    pub fn at_most(self, timeout: Duration) -> Self {
        if self.attempt_timeout < timeout { self } else { self.with_attempt_timeout(timeout) }
    }

    /// Spaces requests out.
    #[must_use]
    pub fn with_requests_per_second(mut self, rate: NonZeroU32) -> Self {
        self.requests_per_second = Some(rate);
        self
    }
}

/// Turns a carrier's refusal (an HTTP status that is neither 2xx, 429 nor 5xx) into an error: the provider's `error.rs`.
pub type ErrorMapper = fn(Operation, StatusCode, &HeaderMap, &[u8]) -> TelephonyError;

/// Asks one carrier on behalf of one account.
#[derive(Clone, Debug)]
pub struct HttpClient {
    provider: ProviderName,
    transport: Arc<dyn Transport>,
    policy: HttpPolicy,
    map_error: ErrorMapper,
    shared: Arc<Mutex<Shared>>,
}

/// What all clones of a client share.
#[derive(Debug)]
struct Shared {
    retry_budget: f32,
    next_slot: Option<Instant>,
}

impl HttpClient {
    /// A client for one account.
    #[must_use]
    pub fn new(
        provider: ProviderName,
        transport: Arc<dyn Transport>,
        policy: HttpPolicy,
        map_error: ErrorMapper,
    ) -> Self {
        let shared = Arc::new(Mutex::new(Shared { retry_budget: RETRY_BUDGET, next_slot: None }));
        Self { provider, transport, policy, map_error, shared }
    }

    /// Sends a request, again where that is safe, and returns the carrier's success.
    ///
    /// # Errors
    ///
    /// See the table of the [module](super). What the carrier refused is mapped by the provider's [`ErrorMapper`].
    pub async fn send(&self, operation: Operation, request: ApiRequest) -> Result<ApiResponse, TelephonyError> {
        let started = Instant::now();
        let deadline = started + self.policy.deadline;
        let mut delays = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(2))
            .with_max_times(self.policy.max_attempts.saturating_sub(1) as usize)
            .with_jitter()
            .build();
        let mut attempt = 1_u32;
        loop {
            self.pace(deadline).await;
            let span = info_span!(
                "provider_request", provider = %self.provider, operation = %operation, attempt,
                method = %request.method, path = request.url.path(), status = tracing::field::Empty,
            );
            let outcome = self.attempt(operation, &request, deadline, &span).instrument(span.clone()).await;
            let failure = match outcome {
                Ok(response) => {
                    self.refund();
                    return Ok(response);
                }
                Err(failure) => failure,
            };
            let wait = match &failure {
                Failure::Final(_) => None,
                Failure::Repeat { after, .. } => {
                    delays.next().map(|delay| after.map_or(delay, |least| delay.max(least)))
                }
            };
            match wait {
                Some(wait) if Instant::now() + wait < deadline && self.withdraw() => {
                    debug!(
                        provider = %self.provider, operation = %operation, attempt,
                        wait_ms = wait.as_millis() as u64, "The request is repeated."
                    );
                    sleep(wait).await;
                    attempt += 1;
                }
                _ => return Err(failure.into_error(started.elapsed())),
            }
        }
    }

    async fn attempt(
        &self,
        operation: Operation,
        request: &ApiRequest,
        deadline: Instant,
        span: &tracing::Span,
    ) -> Result<ApiResponse, Failure> {
        let until = deadline.min(Instant::now() + self.policy.attempt_timeout);
        let answer = match timeout_at(until, self.transport.send(to_http(request))).await {
            Ok(answer) => answer,
            Err(_) => Err(TransportError::new(TransportErrorKind::NoAnswer, "the time for an answer ran out")),
        };
        let provider = self.provider;
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                let timed_out = error.kind() == TransportErrorKind::NoAnswer;
                let may_repeat = request.repeatable || error.kind() == TransportErrorKind::NotSent;
                let source: BoxError = Box::new(error);
                return Err(if may_repeat {
                    Failure::Repeat { provider, operation, after: None, why: Why::NoAnswer { timed_out, source } }
                } else {
                    Failure::Final(TelephonyError::OutcomeUnknown { provider, operation, source })
                });
            }
        };
        let (parts, body) = response.into_parts();
        span.record("status", parts.status.as_u16());
        if parts.status.is_success() {
            let (status, headers, repeatable) = (parts.status, parts.headers, request.repeatable);
            return Ok(ApiResponse { provider, operation, repeatable, status, headers, body });
        }
        if parts.status == StatusCode::TOO_MANY_REQUESTS {
            let after = retry_after(&parts.headers);
            let error = (self.map_error)(operation, parts.status, &parts.headers, &body);
            let carrier = error.carrier().cloned().unwrap_or_else(|| CarrierMessage::status(parts.status.as_u16()));
            return Err(Failure::Repeat { provider, operation, after, why: Why::RateLimited(carrier) });
        }
        if parts.status.is_server_error() {
            let after = retry_after(&parts.headers);
            let source: BoxError = format!("the carrier answered with HTTP status {}", parts.status.as_u16()).into();
            return Err(if request.repeatable {
                Failure::Repeat { provider, operation, after, why: Why::NoAnswer { timed_out: false, source } }
            } else {
                Failure::Final(TelephonyError::OutcomeUnknown { provider, operation, source })
            });
        }
        Err(Failure::Final((self.map_error)(operation, parts.status, &parts.headers, &body)))
    }

    /// Waits for this request's turn, no longer than the deadline.
    async fn pace(&self, deadline: Instant) {
        let Some(rate) = self.policy.requests_per_second else { return };
        let slot = {
            let mut shared = self.lock();
            let slot = shared.next_slot.map_or_else(Instant::now, |next| next.max(Instant::now()));
            shared.next_slot = Some(slot + Duration::from_secs(1) / rate.get());
            slot
        };
        sleep_until(slot.min(deadline)).await;
    }

    fn withdraw(&self) -> bool {
        let mut shared = self.lock();
        let affordable = shared.retry_budget >= 1.0;
        if affordable {
            shared.retry_budget -= 1.0;
        }
        affordable
    }

    fn refund(&self) {
        let mut shared = self.lock();
        shared.retry_budget = (shared.retry_budget + RETRY_REFUND).min(RETRY_BUDGET);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        // Nothing panics while it is held, and its numbers would be usable even then.
        self.shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Why an attempt failed, and whether another may follow.
enum Failure {
    Final(TelephonyError),
    Repeat { provider: ProviderName, operation: Operation, after: Option<Duration>, why: Why },
}

enum Why {
    RateLimited(CarrierMessage),
    NoAnswer { timed_out: bool, source: BoxError },
}

impl Failure {
    fn into_error(self, elapsed: Duration) -> TelephonyError {
        match self {
            Self::Final(error) => error,
            Self::Repeat { provider, operation, after, why } => match why {
                Why::RateLimited(carrier) => {
                    TelephonyError::RateLimited { provider, operation, retry_after: after, carrier }
                }
                Why::NoAnswer { timed_out: true, .. } => {
                    TelephonyError::Timeout { provider, operation, after: elapsed }
                }
                Why::NoAnswer { source, .. } => TelephonyError::Transport { provider, operation, source },
            },
        }
    }
}

fn to_http(request: &ApiRequest) -> http::Request<Bytes> {
    let mut outgoing = http::Request::new(request.body.clone());
    *outgoing.method_mut() = request.method.clone();
    // Every URL is a URI, but for characters that url escapes and http refuses to see unescaped: there are none.
    *outgoing.uri_mut() = request.url.as_str().parse().unwrap_or_default();
    *outgoing.headers_mut() = request.headers.clone();
    outgoing
}

/// `Retry-After` in seconds. The form with a date is not used by any carrier seen, and a clock that is off would mislead.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use async_trait::async_trait;
    use url::Url;

    use super::*;
    use crate::{CarrierMessage, Retry};

    const ACME: ProviderName = ProviderName::new("acme");

    #[derive(Debug)]
    enum Step {
        Answer(u16, Option<&'static str>),
        Fail(TransportErrorKind),
        Hang,
    }

    #[derive(Debug, Default)]
    struct Script {
        steps: Mutex<VecDeque<Step>>,
        sent: Mutex<Vec<(String, Instant)>>,
    }

    #[async_trait]
    impl Transport for Script {
        async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, TransportError> {
            self.sent.lock().unwrap().push((request.method().to_string(), Instant::now()));
            let step = self.steps.lock().unwrap().pop_front().expect("more requests than expected");
            match step {
                Step::Answer(status, retry_after) => {
                    let mut response = http::Response::builder().status(status);
                    if let Some(seconds) = retry_after {
                        response = response.header("retry-after", seconds);
                    }
                    Ok(response.body(Bytes::from_static(b"{}")).unwrap())
                }
                Step::Fail(kind) => Err(TransportError::new(kind, "wire cut")),
                Step::Hang => std::future::pending().await,
            }
        }
    }

    fn mapper(operation: Operation, status: StatusCode, _: &HeaderMap, _: &[u8]) -> TelephonyError {
        TelephonyError::Rejected { provider: ACME, operation, carrier: CarrierMessage::status(status.as_u16()) }
    }

    async fn run(
        request: ApiRequest,
        steps: impl IntoIterator<Item = Step>,
    ) -> (Result<ApiResponse, TelephonyError>, usize, Duration) {
        let script = Arc::new(Script { steps: Mutex::new(steps.into_iter().collect()), ..Script::default() });
        let client = HttpClient::new(ACME, script.clone(), HttpPolicy::default(), mapper);
        let started = Instant::now();
        let result = client.send(Operation::InitiateCall, request).await;
        assert!(script.steps.lock().unwrap().is_empty(), "fewer requests than expected");
        (result, script.sent.lock().unwrap().len(), started.elapsed())
    }

    fn get() -> ApiRequest {
        ApiRequest::get(Url::parse("https://api.example.com/calls").unwrap())
    }

    fn post() -> ApiRequest {
        ApiRequest::post(Url::parse("https://api.example.com/calls").unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn what_changes_nothing_is_repeated() {
        let steps = [Step::Fail(TransportErrorKind::NoAnswer), Step::Answer(503, None), Step::Answer(200, None)];
        let (result, sent, _) = run(get(), steps).await;
        assert_eq!((result.unwrap().status(), sent), (StatusCode::OK, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn what_starts_something_is_never_repeated_once_it_may_have_left() {
        for step in [
            Step::Fail(TransportErrorKind::NoAnswer),
            Step::Fail(TransportErrorKind::BadAnswer),
            Step::Answer(500, None),
            Step::Answer(503, Some("1")),
            Step::Hang,
        ] {
            let (result, sent, _) = run(post(), [step]).await;
            let error = result.unwrap_err();
            assert!(matches!(error, TelephonyError::OutcomeUnknown { .. }), "{error:?}");
            assert_eq!((error.retry(), sent), (Retry::Unknown, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_left_is_repeated_whatever_it_is() {
        let steps = [Step::Fail(TransportErrorKind::NotSent), Step::Answer(201, None)];
        assert_eq!(run(post(), steps).await.1, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_honoured_and_bounded_by_the_deadline() {
        let (result, _, took) = run(post(), [Step::Answer(429, Some("7")), Step::Answer(201, None)]).await;
        assert!(result.is_ok() && took >= Duration::from_secs(7), "{took:?}");
        let (result, sent, took) = run(post(), [Step::Answer(429, Some("600"))]).await;
        assert_eq!(sent, 1);
        assert!(took < Duration::from_secs(1));
        let error = result.unwrap_err();
        assert_eq!(error.retry(), Retry::Safe { after: Some(Duration::from_secs(600)) });
        assert_eq!(error.carrier(), Some(&CarrierMessage::status(429)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_carrier_is_given_up_by_attempt_and_by_deadline() {
        let (result, sent, took) = run(get(), [Step::Hang, Step::Hang, Step::Hang]).await;
        assert!(matches!(result.unwrap_err(), TelephonyError::Timeout { .. }));
        assert_eq!(sent, 3);
        assert!(took <= Duration::from_secs(30), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_the_providers_to_map_and_is_final() {
        let (result, sent, _) = run(get(), [Step::Answer(404, None)]).await;
        assert!(matches!(result.unwrap_err(), TelephonyError::Rejected { .. }));
        assert_eq!(sent, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn retries_cannot_become_a_storm() {
        let script = Arc::new(Script::default());
        let client = HttpClient::new(ACME, script.clone(), HttpPolicy::default(), mapper);
        for _ in 0..100 {
            script.steps.lock().unwrap().extend([
                Step::Answer(503, None),
                Step::Answer(503, None),
                Step::Answer(503, None),
            ]);
            assert!(client.send(Operation::GetCallStatus, get()).await.is_err());
        }
        assert_eq!(script.sent.lock().unwrap().len(), 110);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_spaced_out() {
        let script = Arc::new(Script::default());
        let policy = HttpPolicy::default().with_requests_per_second(NonZeroU32::new(10).unwrap());
        let client = HttpClient::new(ACME, script.clone(), policy, mapper);
        for _ in 0..4 {
            script.steps.lock().unwrap().push_back(Step::Answer(200, None));
            client.send(Operation::GetCallStatus, get()).await.unwrap();
        }
        let sent = script.sent.lock().unwrap();
        assert!(sent[3].1 - sent[0].1 >= Duration::from_millis(300));
    }

    #[tokio::test]
    async fn an_unreadable_answer_to_a_dial_leaves_its_outcome_unknown() {
        let (result, _, _) = run(post(), [Step::Answer(201, None)]).await;
        let error = result.unwrap().json::<Vec<u8>>().unwrap_err();
        assert_eq!(error.retry(), Retry::Unknown);
    }

    #[test]
    fn debug_shows_no_credentials() {
        let request = get().bearer(&crate::Secret::new("hunter2"));
        assert!(!format!("{request:?} {:?}", to_http(&request)).contains("hunter2"));
    }
}
