//! Media messages, into both ends of every provider's protocol. The first byte says which provider, which end, and whether
//! each message is text; the rest is cut into messages at zero bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use telephony_core::WireMessage;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else { return };
    let providers: Vec<_> = telephony_registry::Registry::linked().expect("no name is taken twice").iter().collect();
    let provider = providers[usize::from(choice >> 2) % providers.len()];
    let mut carrier = provider.carrier_media_codec();
    for piece in rest.split(|byte| *byte == 0) {
        let message = match std::str::from_utf8(piece) {
            Ok(text) if choice & 1 == 0 => WireMessage::Text(text),
            _ => WireMessage::Binary(piece),
        };
        // Whatever it is, it is read or refused, and the next can be read.
        let _ = carrier.decode(message);
    }
});
