//! Webhooks that nobody has signed, into every provider's verification: none may be taken, and none may panic.

#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use telephony_registry as _;
use telephony_core::{Bytes, ProviderContext, Timestamp, WebhookRequest};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let mut next = || parts.next().unwrap_or_default();
    let (url, signature, body) = (next(), next(), next());
    for simulator in telephony_sandbox::registered() {
        let account = simulator.build().account(&"http://127.0.0.1:9/".parse().expect("a URL"));
        let context = ProviderContext::network().expect("TLS can be set up");
        let provider = simulator.provider().build(&account, context).expect("the simulator's account is accepted");
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(signature) {
            for name in ["authorization", "x-twilio-signature"] {
                headers.insert(HeaderName::from_static(name), value.clone());
            }
        }
        headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        let url = String::from_utf8_lossy(url).into_owned();
        let body = Bytes::copy_from_slice(body);
        let request = WebhookRequest::at_url(Method::POST, url, headers, body, Timestamp::UNIX_EPOCH);
        assert!(provider.verify_webhook_signature(request).is_err(), "a signature was guessed");
    }
});
