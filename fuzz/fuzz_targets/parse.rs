//! Webhooks whose signature held, whatever is in them: a carrier may send anything, and so may whoever has its key. The first byte
//! says which provider; what follows on the first line is the query, and the rest the body.

#![no_main]

use http::{HeaderMap, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use telephony_core::{Bytes, Secret, Timestamp, VerifiedWebhook, WebhookRequest, signing};
use telephony_fuzz::carrier;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else { return };
    let mut parts = rest.splitn(2, |byte| *byte == b'\n');
    let (query, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (method, content_type) = match body.first() {
        None => (Method::GET, "application/octet-stream"),
        Some(b'{' | b'[') => (Method::POST, "application/json"),
        Some(_) => (Method::POST, "application/x-www-form-urlencoded"),
    };
    let url = format!("https://voice.example.com/events/1?{}", String::from_utf8_lossy(query));
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static(content_type));
    let request = WebhookRequest::at_url(method, url, headers, Bytes::copy_from_slice(body), Timestamp::UNIX_EPOCH);
    let provider = &carrier(choice).provider;
    let read = || {
        let key = Secret::new("the fuzzer's own");
        let proof = signing::verify_hmac_sha256_base64(&key, b"", &signing::hmac_sha256_base64(&key, b""));
        provider.parse_webhook(&VerifiedWebhook::new(request.clone(), proof.expect("it was just made")))
    };
    // The same delivery says the same twice, dedupe keys included, and two events of one delivery are two.
    let events = read();
    assert_eq!(format!("{events:?}"), format!("{:?}", read()));
    let mut keys: Vec<_> = events.iter().flatten().map(|event| event.dedupe_key.clone()).collect();
    keys.sort();
    assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "two events have one key");
    for event in events.iter().flatten() {
        assert!(!event.dedupe_key.is_empty(), "an event has no key");
    }
});
