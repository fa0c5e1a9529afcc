//! Webhooks at the boundary: a request as it came, the same once its signature held, and our answer.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use url::Url;

use crate::{Timestamp, signing::Proof};

/// A request that says it comes from a carrier. Nobody has checked that yet.
///
/// `url` is the **public** URL that the carrier asked, byte for byte: the configured public base plus the route, never
/// what the request claims (`Host`, `X-Forwarded-*`). Carriers sign it with query and percent-encoding as they wrote it.
#[derive(Clone)]
pub struct WebhookRequest {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
    received_at: Timestamp,
}

impl WebhookRequest {
    /// A request to `path_and_query` (as it stood in the request line, starting with `/`) of the server that the carrier
    /// knows as `public_base`. A path in `public_base` is put in front, its trailing slash dropped.
    ///
    /// `received_at` is the time that signatures with a time in them are compared with.
    #[must_use]
    pub fn new(
        method: Method,
        public_base: &Url,
        path_and_query: &str,
        headers: HeaderMap,
        body: Bytes,
        received_at: Timestamp,
    ) -> Self {
        let base = public_base.as_str().trim_end_matches('/');
        Self { method, url: format!("{base}{path_and_query}"), headers, body, received_at }
    }

    /// A request whose whole public URL is known, as in test vectors.
    #[must_use]
    pub fn at_url(
        method: Method,
        url: impl Into<String>,
        headers: HeaderMap,
        body: Bytes,
        received_at: Timestamp,
    ) -> Self {
        Self { method, url: url.into(), headers, body, received_at }
    }

    /// The HTTP method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The public URL, byte for byte.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The query of the URL, undecoded, without its `?`.
    #[must_use]
    pub fn query(&self) -> &str {
        let url = self.url.split('#').next().unwrap_or_default();
        url.split_once('?').map_or("", |(_, query)| query)
    }

    /// The headers as they came. Names compare without regard to case.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header's value, if it is there once or more, and is text. The first counts.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as it came.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// When it came.
    #[must_use]
    pub fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// Whether the body says to be of this media type, parameters aside.
    #[must_use]
    pub fn is_content_type(&self, essence: &str) -> bool {
        self.header("content-type")
            .and_then(|value| value.split(';').next())
            .is_some_and(|given| given.trim().eq_ignore_ascii_case(essence))
    }

    /// The same request under another public URL: what the webhook doctor tries.
    #[must_use]
    pub fn with_url(&self, url: impl Into<String>) -> Self {
        Self { url: url.into(), ..self.clone() }
    }
}

/// Shows neither headers (signatures), nor query, nor body (personal data).
impl fmt::Debug for WebhookRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookRequest")
            .field("method", &self.method)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A webhook whose signature held.
///
/// Made from a [`Proof`], and a proof comes only out of the checks in [`signing`](crate::signing). So nothing unverified can reach
/// [`parse_webhook`](crate::TelephonyProvider::parse_webhook): there is no other way to its argument.
///
/// ```
/// # use telephony_core::{Secret, VerifiedWebhook, WebhookRequest, signing};
/// fn vouched_for(request: WebhookRequest, given: &str, secret: &Secret) -> Option<VerifiedWebhook> {
///     Some(VerifiedWebhook::new(request, signing::verify_shared_secret(secret, given).ok()?))
/// }
/// ```
///
/// Who does not check has no proof, and cannot make one:
///
/// ```compile_fail,E0423
/// # use telephony_core::{VerifiedWebhook, WebhookRequest, signing};
/// fn vouched_for(request: WebhookRequest) -> VerifiedWebhook {
///     VerifiedWebhook::new(request, signing::Proof(()))
/// }
/// ```
///
/// ```compile_fail,E0451
/// # use telephony_core::{VerifiedWebhook, WebhookRequest};
/// fn vouched_for(request: WebhookRequest) -> VerifiedWebhook {
///     VerifiedWebhook { request }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct VerifiedWebhook {
    request: WebhookRequest,
}

impl VerifiedWebhook {
    /// Vouches for a request with the proof that a signature over it held.
    #[must_use]
    pub fn new(request: WebhookRequest, _proof: Proof) -> Self {
        Self { request }
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> &WebhookRequest {
        &self.request
    }
}

/// Why a webhook was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// The header that should carry the signature is not there. HTTP status 401.
    #[error("the header {header} is missing")]
    Unsigned {
        /// The header's name.
        header: &'static str,
    },
    /// There is a signature, but it is not of the right form. HTTP status 401.
    #[error("the signature is malformed: {reason}")]
    MalformedSignature {
        /// What is wrong with its form.
        reason: &'static str,
    },
    /// The signature does not fit the request. HTTP status 403.
    #[error("the signature does not match: {reason}")]
    BadSignature {
        /// Which of the checks failed.
        reason: &'static str,
    },
    /// The signature was made too long ago, or in the future. HTTP status 403.
    #[error("the signature is not of now: {reason}")]
    Expired {
        /// What was compared.
        reason: &'static str,
    },
    /// The signature holds, and is some other account's. HTTP status 403.
    #[error("the webhook is for another account: {field} differs")]
    WrongAccount {
        /// The field that names the account.
        field: &'static str,
    },
    /// The signature holds, and the content cannot be read. HTTP status 400.
    #[error("{field}: {reason}")]
    Malformed {
        /// The field, or `body`.
        field: String,
        /// What is wrong with it, without quoting it.
        reason: String,
    },
}

impl WebhookError {
    /// A [`Malformed`](Self::Malformed) webhook.
    #[must_use]
    pub fn malformed(field: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::Malformed { field: field.into(), reason: reason.to_string() }
    }

    /// The HTTP status to refuse it with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unsigned { .. } | Self::MalformedSignature { .. } => StatusCode::UNAUTHORIZED,
            Self::BadSignature { .. } | Self::Expired { .. } | Self::WrongAccount { .. } => StatusCode::FORBIDDEN,
            Self::Malformed { .. } => StatusCode::BAD_REQUEST,
        }
    }
}

/// How far a carrier vouches for its webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookAuthenticity {
    /// Each is signed: who changes a byte of it, or sends the signature with something else, is refused.
    Signature,
    /// Each repeats a secret that carrier and customer share ([`verify_shared_secret`](crate::signing::verify_shared_secret)).
    /// It proves who sends, not what: whoever sees one webhook can write others.
    SharedSecret,
}

impl WebhookAuthenticity {
    /// The words in tables: `signed`, `shared secret`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signed",
            Self::SharedSecret => "shared secret",
        }
    }
}

impl fmt::Display for WebhookAuthenticity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who an unverified webhook says it is for. Good for finding the account whose secret to verify with, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookIdentity {
    /// The carrier's id of the account, to compare with the field that the descriptor names as account id. Absent where the
    /// carrier does not say it.
    pub account_id: Option<String>,
    /// The number that was called, where the webhook is about an inbound call and says so.
    pub called: Option<crate::PhoneNumber>,
}

/// What to answer a carrier's request with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookResponse {
    /// The HTTP status.
    pub status: StatusCode,
    /// The media type of the body, if there is a body.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Bytes,
}

impl WebhookResponse {
    /// Taken note of, nothing to say: 204.
    #[must_use]
    pub fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, content_type: None, body: Bytes::new() }
    }

    /// A document: 200.
    #[must_use]
    pub fn document(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, content_type: Some(content_type), body: body.into() }
    }

    /// The response as an `http` value.
    #[must_use]
    pub fn into_http(self) -> http::Response<Bytes> {
        let mut response = http::Response::new(self.body);
        *response.status_mut() = self.status;
        if let Some(content_type) = self.content_type {
            response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_the_public_one_byte_for_byte() {
        let base = Url::parse("https://voice.example.com/base/").unwrap();
        let request = WebhookRequest::new(
            Method::POST,
            &base,
            "/hook?a=%2b&b=c%20d",
            HeaderMap::new(),
            Bytes::new(),
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(request.url(), "https://voice.example.com/base/hook?a=%2b&b=c%20d");
        assert_eq!(request.query(), "a=%2b&b=c%20d");
        assert!(!format!("{request:?}").contains("%2b"));
    }
}
