//! Configurations: any JSON is read or refused by field, and no error shows a value.

#![no_main]

use libfuzzer_sys::fuzz_target;
use telephony_fuzz::carriers;

fuzz_target!(|data: &[u8]| {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) else { return };
    for carrier in carriers() {
        if let Err(error) = carrier.descriptor.check_config(&value) {
            assert!(!error.problems().is_empty());
        }
    }
});
