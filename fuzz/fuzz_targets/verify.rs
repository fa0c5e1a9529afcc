//! Webhooks that nobody has signed, into every provider's verification: none may be taken, and none may panic. URL, signature,
//! nonce and body are a line each.

#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use telephony_core::{Bytes, Timestamp, WebhookRequest};
use telephony_fuzz::carriers;

/// Where carriers put a signature.
const SIGNATURES: &[&str] = &[
    "authorization",
    "telnyx-signature-ed25519",
    "x-plivo-signature-v3",
    "x-plivo-signature-ma-v3",
    "x-twilio-signature",
];

/// What goes with it.
const NONCES: &[&str] = &["telnyx-timestamp", "x-plivo-signature-v3-nonce"];

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (url, signature, nonce, body) = (next(), next(), next(), next());
    let mut headers = HeaderMap::new();
    for (names, value) in [(SIGNATURES, signature), (NONCES, nonce)] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            for name in names {
                headers.insert(HeaderName::from_static(name), value.clone());
            }
        }
    }
    headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
    let url = String::from_utf8_lossy(url).into_owned();
    let request =
        WebhookRequest::at_url(Method::POST, url, headers, Bytes::copy_from_slice(body), Timestamp::UNIX_EPOCH);
    for carrier in carriers() {
        let verified = carrier.provider.verify_webhook_signature(request.clone());
        assert!(verified.is_err(), "{}: a signature was guessed", carrier.descriptor.name());
    }
});
