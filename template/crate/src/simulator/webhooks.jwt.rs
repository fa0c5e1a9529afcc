//! Webhooks as the carrier writes and signs them: JSON, and a token with the hash of the body.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use serde_json::json;
use telephony_core::{Secret, Timestamp, signing};

const SIGNATURE_SECRET: &str = "signs-webhooks-of-the-sandbox";

/// What the account is configured with to check them: the field and its value.
pub(super) fn credential() -> (&'static str, String) {
    ("signature_secret", SIGNATURE_SECRET.to_owned())
}

/// A webhook to this URL.
pub(super) fn signed(url: &str, fields: &[(&'static str, String)], now: Timestamp) -> Request<Bytes> {
    let members: BTreeMap<_, _> = fields.iter().map(|(name, value)| (*name, value)).collect();
    let body = json!(members).to_string();
    let claims = json!({"iat": now.unix_timestamp(), "payload_hash": signing::sha256_hex(body.as_bytes())});
    let token = signing::sign_jwt_hs256(&Secret::new(SIGNATURE_SECRET), &claims);
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap_or(HeaderValue::from_static(""));
    headers.insert(header::AUTHORIZATION, bearer);
    request
}
