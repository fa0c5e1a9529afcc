//! What is answered when something is wrong: problem details (RFC 9457) that name the field and the reason.

use std::fmt;

use axum::{
    extract::{FromRequest, FromRequestParts, Request, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde::{Serialize, de::DeserializeOwned};
use telephony_core::{Retry, TelephonyError, error_chain};
use tracing::error;
use utoipa::ToSchema;

use crate::{
    service::{SandboxSetupError, ServiceError},
    store::StoreError,
};

/// Problem details, RFC 9457.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What kind of problem it is: `about:blank` where the status says it all.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The same for every problem of the kind.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong this time.
    detail: String,
    /// Each field that is wrong, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// After how many seconds to try again.
    #[serde(skip)]
    retry_after: Option<u64>,
}

/// A field and what is wrong with it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct FieldError {
    /// The field; parts inside of others are separated by dots.
    field: String,
    /// What is wrong with it.
    reason: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { kind: "about:blank", title, status: status.as_u16(), detail, errors: Vec::new(), retry_after: None }
    }

    /// Of a field.
    pub(super) fn field(status: StatusCode, field: impl Into<String>, reason: impl Into<String>) -> Self {
        let (field, reason) = (field.into(), reason.into());
        let mut problem = Self::new(status, "The request cannot be carried out", format!("{field}: {reason}"));
        problem.errors.push(FieldError { field, reason });
        problem
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", format!("there is no such {what}"))
    }

    pub(super) fn unauthorized() -> Self {
        let detail = "give an API token, as `Authorization: Bearer tel_…`, or sign in";
        Self::new(StatusCode::UNAUTHORIZED, "Not signed in", detail)
    }

    /// Whether it is that nobody is signed in.
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED.as_u16()
    }

    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

/// What is wrong this time, for a page.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// After how many seconds it is worth to ask a gateway again that was about to end: another has its place then.
const ENDING_RETRY_SECS: u64 = 5;

/// After how many seconds it is worth to ask for a place again: calls last about so long.
const SLOT_RETRY_SECS: u64 = 10;

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::NotFound { what } => Self::not_found(what),
            ServiceError::Invalid { problems } => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                let detail = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                let mut problem = Self::new(status, "The request cannot be carried out", detail);
                problem.errors = problems
                    .into_iter()
                    .map(|problem| FieldError { field: problem.field, reason: problem.reason })
                    .collect();
                problem
            }
            ServiceError::NoSlot { .. } => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                Self::new(status, "Too many calls at the same time", error.to_string()).retry_after(SLOT_RETRY_SECS)
            }
            ServiceError::Ending => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(status, "The gateway is ending", error.to_string()).retry_after(ENDING_RETRY_SECS)
            }
            ServiceError::SandboxStopped => {
                Self::new(StatusCode::CONFLICT, "The sandbox does not run", error.to_string())
            }
            ServiceError::NotNow { reason } => Self::new(StatusCode::CONFLICT, "Not as the call is", reason),
            ServiceError::Interrupted => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "The gateway failed", error.to_string())
            }
            ServiceError::Telephony(error) => error.into(),
            ServiceError::Store(error) => error.into(),
        }
    }
}

impl From<SandboxSetupError> for Problem {
    fn from(error: SandboxSetupError) -> Self {
        match error {
            SandboxSetupError::Taken => Self::new(StatusCode::CONFLICT, "The sandbox is taken", error.to_string()),
            SandboxSetupError::Service(error) => error.into(),
            SandboxSetupError::Start(error) => {
                error!(error = error_chain(&error), "The sandbox could not be started.");
                let detail = "the simulated carriers could not be started; the log says more";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "The gateway failed", detail)
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { field, reason } => Self::field(StatusCode::CONFLICT, field, reason),
            other => {
                error!(error = error_chain(&other), "What is remembered could not be read or written.");
                let detail = "the database failed, and nothing was done; the log says more";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "The gateway failed", detail)
            }
        }
    }
}

/// What the carrier said, with a status that tells whose turn it is.
impl From<TelephonyError> for Problem {
    fn from(error: TelephonyError) -> Self {
        use TelephonyError as E;
        let detail = error_chain(&error);
        let (status, title) = match &error {
            E::InvalidRequest { problem, .. } => {
                return Self::field(StatusCode::UNPROCESSABLE_ENTITY, &problem.field, &problem.reason);
            }
            E::Unsupported { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "The carrier cannot do this"),
            E::Authentication { .. } => (StatusCode::BAD_GATEWAY, "The carrier does not accept the credentials"),
            E::PermissionDenied { .. } | E::Rejected { .. } => (StatusCode::BAD_GATEWAY, "The carrier refused"),
            E::NotFound { .. } => (StatusCode::NOT_FOUND, "The carrier found nothing"),
            E::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "The carrier takes no more for now"),
            E::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "The carrier does not answer"),
            E::OutcomeUnknown { .. } => (StatusCode::GATEWAY_TIMEOUT, "Whether it was done is not known"),
            _ => (StatusCode::BAD_GATEWAY, "The carrier could not be asked"),
        };
        let problem = Self::new(status, title, detail);
        match error.retry() {
            Retry::Safe { after: Some(after) } => problem.retry_after(after.as_secs().max(1)),
            _ => problem,
        }
    }
}

/// The part of a path that says what is meant. What cannot be the id of anything is answered like an id that nothing has.
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        let axum::extract::Path(part) =
            path.map_err(|_| Problem::field(StatusCode::NOT_FOUND, "id", "there is nothing with this id"))?;
        Ok(Self(part))
    }
}

/// The query. What does not fit is answered with the parameter and the reason.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.uri)
    }
}

impl<T: DeserializeOwned> Query<T> {
    /// The query of an address.
    pub(super) fn of(uri: &http::Uri) -> Result<Self, Problem> {
        match axum::extract::Query::try_from_uri(uri) {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => {
                let text = rejection.body_text();
                let text = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, reason)| reason);
                // A parameter that is unknown is named by the reason, any other before it.
                let (field, reason) = match text.split_once("unknown field `") {
                    Some((_, rest)) => (rest.split('`').next().unwrap_or_default(), "is unknown"),
                    None => text.split_once(": ").unwrap_or(("query", text)),
                };
                Err(Problem::field(StatusCode::UNPROCESSABLE_ENTITY, field, reason))
            }
        }
    }
}

/// A JSON body. What does not fit is answered with the field and the reason.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state).await.map_err(|error: BytesRejection| {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "The body cannot be read", error.body_text())
        })?;
        let mut reader = serde_json::Deserializer::from_slice(&body);
        match serde_path_to_error::deserialize(&mut reader) {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(of_json(&error, &body)),
        }
    }
}

fn of_json(error: &serde_path_to_error::Error<serde_json::Error>, body: &[u8]) -> Problem {
    let inner = error.inner();
    // Some values of the wrong kind, such as `false` for one of several words, are taken for errors of syntax.
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
    if !is_json {
        let place = format!("line {}, column {}", inner.line(), inner.column());
        return Problem::field(StatusCode::BAD_REQUEST, "body", format!("is no JSON ({place})"));
    }
    // serde says "missing field `name`" of the object around it, and quotes values: those are not repeated.
    let text = inner.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    let path = error.path().to_string();
    let (field, reason) = match text.strip_prefix("missing field `").or_else(|| text.strip_prefix("unknown field `")) {
        Some(rest) => {
            let name = rest.split('`').next().unwrap_or_default();
            let reason = if text.starts_with("missing") { "is missing" } else { "is unknown" };
            (if path == "." { name.to_owned() } else { format!("{path}.{name}") }, reason.to_owned())
        }
        None => {
            let text = if inner.is_syntax() { "is of the wrong kind" } else { text };
            let safe: Vec<&str> = text.split('"').step_by(2).collect();
            (if path == "." { "body".to_owned() } else { path }, safe.join("(a text)"))
        }
    };
    let field = if reason == "is unknown" {
        field.rsplit_once('.').map_or(field.clone(), |(before, last)| {
            if before.ends_with(last) { before.to_owned() } else { field.clone() }
        })
    } else {
        field
    };
    Problem::field(StatusCode::UNPROCESSABLE_ENTITY, field, reason)
}
