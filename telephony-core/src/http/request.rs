//! A carrier's REST request and its answer.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use crate::{
    error::TelephonyError,
    name::{Operation, ProviderName},
    secret::Secret,
    signing,
};

/// A request to a carrier's REST API.
#[derive(Clone)]
pub struct ApiRequest {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) repeatable: bool,
}

impl ApiRequest {
    fn new(method: Method, url: Url, repeatable: bool) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        Self { method, url, headers, body: Bytes::new(), repeatable }
    }

    /// A `GET`. It may be repeated.
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url, true)
    }

    /// A `POST`. It is taken to start something and is not repeated, unless [`repeatable`](Self::repeatable) says otherwise.
    #[must_use]
    pub fn post(url: Url) -> Self {
        Self::new(Method::POST, url, false)
    }

    /// A `PUT`. It may be repeated.
    #[must_use]
    pub fn put(url: Url) -> Self {
        Self::new(Method::PUT, url, true)
    }

    /// A `PATCH`. It is not repeated, unless [`repeatable`](Self::repeatable) says otherwise.
    #[must_use]
    pub fn patch(url: Url) -> Self {
        Self::new(Method::PATCH, url, false)
    }

    /// A `DELETE`. It may be repeated.
    #[must_use]
    pub fn delete(url: Url) -> Self {
        Self::new(Method::DELETE, url, true)
    }

    /// Says whether doing it twice is the same as doing it once: for a `POST` that sets a state, or a request with an
    /// idempotency key; and for a `PUT` that is an action, such as sending digits.
    #[must_use]
    pub fn repeatable(mut self, repeatable: bool) -> Self {
        self.repeatable = repeatable;
        self
    }

    /// A form body, `application/x-www-form-urlencoded`. A repeated name is a list.
    #[must_use]
    pub fn form<N: AsRef<str>, V: AsRef<str>>(mut self, fields: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        self.body = form.finish().into();
        self.with_header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
    }

    /// A JSON body.
    ///
    /// # Panics
    ///
    /// If the value cannot be written as JSON: a map whose keys are not texts. Request types are structs.
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        #[expect(clippy::expect_used, reason = "documented: request types are structs, which always can be written")]
        let bytes = serde_json::to_vec(body).expect("a request body is a struct");
        self.body = bytes.into();
        self.with_header(header::CONTENT_TYPE, "application/json")
    }

    /// A body of any other kind, such as a document.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.with_header(header::CONTENT_TYPE, content_type)
    }

    /// HTTP Basic authentication.
    #[must_use]
    pub fn basic(self, user: &str, password: &Secret) -> Self {
        let credentials = signing::base64_encode(format!("{user}:{}", password.expose()).as_bytes());
        self.with_credential(header::AUTHORIZATION, &format!("Basic {credentials}"))
    }

    /// Bearer authentication.
    #[must_use]
    pub fn bearer(self, token: &Secret) -> Self {
        self.with_secret(header::AUTHORIZATION, "Bearer ", token)
    }

    /// A header with a secret in it, behind a prefix that may be empty: `x-api-key: …`, `authorization: App …`.
    #[must_use]
    pub fn with_secret(self, name: HeaderName, prefix: &str, secret: &Secret) -> Self {
        self.with_credential(name, &format!("{prefix}{}", secret.expose()))
    }

    fn with_credential(mut self, name: HeaderName, value: &str) -> Self {
        // A credential with characters that no header can carry cannot be right: the carrier will say so.
        let mut value = HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static("malformed"));
        value.set_sensitive(true);
        self.headers.insert(name, value);
        self
    }

    /// Another header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }
}

/// Shows method, host and path: no query, no headers, no body.
impl std::fmt::Debug for ApiRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}{}", self.method, self.url.host_str().unwrap_or_default(), self.url.path())
    }
}

/// A carrier's answer to a request that it carried out (2xx).
#[derive(Clone)]
pub struct ApiResponse {
    pub(super) provider: ProviderName,
    pub(super) operation: Operation,
    pub(super) repeatable: bool,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl ApiResponse {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    ///
    /// [`TelephonyError::UnexpectedResponse`] if it is not what `T` wants; or [`TelephonyError::OutcomeUnknown`] when the
    /// request started something: the carrier did act, and we cannot tell on what.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, TelephonyError> {
        serde_json::from_slice(&self.body).map_err(|error| self.unexpected(describe_json(&error)))
    }

    /// An error that says that this answer is not of the form documented.
    #[must_use]
    pub fn unexpected(&self, reason: impl Into<String>) -> TelephonyError {
        let (provider, operation, reason) = (self.provider, self.operation, reason.into());
        if self.repeatable {
            TelephonyError::UnexpectedResponse { provider, operation, reason }
        } else {
            TelephonyError::OutcomeUnknown {
                provider,
                operation,
                source: format!("the carrier's answer could not be read: {reason}").into(),
            }
        }
    }
}

impl std::fmt::Debug for ApiResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {} ({} bytes)", self.status, self.operation, self.body.len())
    }
}

/// What is wrong with a JSON text, without quoting values from it.
pub(crate) fn describe_json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // serde quotes strings that did not fit with "…"; field names stand in backticks.
    let safe: String = text.split('"').step_by(2).collect::<Vec<_>>().join("(a text)");
    safe.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_and_a_credential_are_of_the_carriers_kind() {
        let url = || Url::parse("https://api.example.com/v1/calls").unwrap();
        let key = Secret::new("key-0123456789");
        let request = ApiRequest::put(url())
            .body("application/xml", "<Response/>")
            .with_secret(header::AUTHORIZATION, "App ", &key)
            .with_secret(HeaderName::from_static("x-api-key"), "", &key);
        assert_eq!(request.body, "<Response/>");
        assert_eq!(request.headers[header::CONTENT_TYPE], "application/xml");
        for (name, value) in [("authorization", "App key-0123456789"), ("x-api-key", "key-0123456789")] {
            assert!(request.headers[name] == value && request.headers[name].is_sensitive(), "{name}");
        }
        assert_eq!(format!("{request:?}"), "PUT api.example.com/v1/calls");
        let broken = ApiRequest::get(url()).bearer(&Secret::new("line\nbreak"));
        assert_eq!(broken.headers[header::AUTHORIZATION], "malformed");
    }
}
