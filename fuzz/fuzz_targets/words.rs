//! The words of the domain: what parses prints in a form that parses to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use telephony_core::{Address, CallId, DigitSequence, Money, PhoneNumber, SipUri, redact};

fuzz_target!(|text: &str| {
    if let Ok(number) = text.parse::<PhoneNumber>() {
        assert_eq!(number.as_e164().parse::<PhoneNumber>().as_ref(), Ok(&number));
        assert!(!redact::numbers_in(text).contains(number.digits()) || number.digits().len() < 7);
    }
    if let Ok(uri) = text.parse::<SipUri>() {
        assert_eq!(uri.as_str().parse::<SipUri>().as_ref(), Ok(&uri));
    }
    let _ = (text.parse::<Address>(), text.parse::<CallId>(), text.parse::<DigitSequence>(), Money::parse(text, "USD"));
});
