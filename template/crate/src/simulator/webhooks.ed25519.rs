//! Webhooks as the carrier writes and signs them: JSON, and Ed25519 over the time and the body.

use std::collections::BTreeMap;

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use http::{HeaderValue, Method, Request, header};
use serde_json::json;
use telephony_core::{Timestamp, signing};

/// The seed of the key that signs.
const SEED: [u8; 32] = [7; 32];

/// What the account is configured with to check them: the field and its value.
pub(super) fn credential() -> (&'static str, String) {
    ("public_key", signing::base64_encode(SigningKey::from_bytes(&SEED).verifying_key().as_bytes()))
}

/// A webhook to this URL.
pub(super) fn signed(url: &str, fields: &[(&'static str, String)], now: Timestamp) -> Request<Bytes> {
    let members: BTreeMap<_, _> = fields.iter().map(|(name, value)| (*name, value)).collect();
    let body = json!(members).to_string();
    let timestamp = now.unix_timestamp().to_string();
    let signature = SigningKey::from_bytes(&SEED).sign(format!("{timestamp}|{body}").as_bytes());
    let signature = signing::base64_encode(&signature.to_bytes());
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in [("x-acme-signature", signature), ("x-acme-timestamp", timestamp)] {
        headers.insert(name, HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("")));
    }
    request
}
