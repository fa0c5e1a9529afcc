//! Answer documents, as the simulated carriers read them, and XML as core reads it. The first byte says which carrier.

#![no_main]

use libfuzzer_sys::fuzz_target;
use telephony_core::{Bytes, xml::Node};
use telephony_fuzz::carrier;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else { return };
    let content_type = match rest.first() {
        Some(b'[' | b'{') => "application/json",
        _ => "application/xml",
    };
    let response = http::Response::builder().header("content-type", content_type);
    let response = response.body(Bytes::copy_from_slice(rest)).expect("a response");
    let _ = carrier(choice).simulator().read_answer(&response);
    if let Ok(text) = std::str::from_utf8(rest) {
        let _ = Node::parse(text);
    }
});
