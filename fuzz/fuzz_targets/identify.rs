//! Webhooks of nobody: identification and its query, header and body parsing must take anything. URL, a header's name, its
//! value and the body are a line each.

#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use telephony_core::{Bytes, Timestamp, WebhookRequest};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (url, name, value, body) = (next(), next(), next(), next());
    let mut headers = HeaderMap::new();
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        headers.insert(name, value);
    }
    let url = String::from_utf8_lossy(url).into_owned();
    let body = Bytes::copy_from_slice(body);
    let request = WebhookRequest::at_url(Method::POST, url, headers, body, Timestamp::UNIX_EPOCH);
    let registry = telephony_registry::Registry::linked().expect("no name is taken twice");
    let _recognised = registry.identify_webhook(&request);
});
