//! Webhooks as the carrier writes them: JSON, and the token that the customer typed in.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use serde_json::json;
use telephony_core::Timestamp;

const TOKEN: &str = "repeated-in-webhooks-of-the-sandbox";

/// What the account is configured with to check them: the field and its value.
pub(super) fn credential() -> (&'static str, String) {
    ("webhook_token", TOKEN.to_owned())
}

/// A webhook to this URL.
pub(super) fn signed(url: &str, fields: &[(&'static str, String)], _: Timestamp) -> Request<Bytes> {
    let members: BTreeMap<_, _> = fields.iter().map(|(name, value)| (*name, value)).collect();
    let mut request = Request::new(Bytes::from(json!(members).to_string()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-acme-token", HeaderValue::from_static(TOKEN));
    request
}
