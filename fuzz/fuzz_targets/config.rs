//! Configurations: any JSON is read or refused by field, and no error shows a value.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) else { return };
    for provider in telephony_registry::Registry::linked().expect("no name is taken twice").iter() {
        if let Err(error) = provider.check_config(&value) {
            assert!(!error.problems().is_empty());
        }
    }
});
