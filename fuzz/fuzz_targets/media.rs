//! Media messages, into both ends of every provider's protocol, started and not. The first byte says which provider, which
//! end, whether the stream has started, and whether messages are text; the rest is cut into messages at zero bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use telephony_registry as _;
use telephony_core::{CallRef, MediaEvent, ProviderContext, WireBuffer, WireMessage, media::StreamStart};

fuzz_target!(|data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else { return };
    let simulators = telephony_sandbox::registered();
    let simulator = simulators[usize::from(choice >> 3) % simulators.len()];
    let descriptor = simulator.provider();
    let account = simulator.build().account(&"http://127.0.0.1:9/".parse().expect("a URL"));
    let context = ProviderContext::network().expect("TLS can be set up");
    let provider = descriptor.build(&account, context).expect("the simulator's account is accepted");
    let (mut ours, mut theirs) = (provider.media_codec(), descriptor.carrier_media_codec());
    if choice & 2 != 0 {
        let mut wire = WireBuffer::new();
        let start = StreamStart::new(CallRef::unnamed(), descriptor.media().formats[0]).with_stream_id("MZ1");
        // An anonymous call may be refused by either end; then nothing has started.
        if theirs.encode(MediaEvent::Started(start), &mut wire).is_ok() {
            for message in wire.iter() {
                let _ = ours.decode(message);
            }
        }
    }
    for piece in rest.split(|byte| *byte == 0) {
        let message = match std::str::from_utf8(piece) {
            Ok(text) if choice & 1 == 0 => WireMessage::Text(text),
            _ => WireMessage::Binary(piece),
        };
        // Whatever it is, it is read or refused, and the next can be read.
        if choice & 4 == 0 {
            let _ = ours.decode(message);
        } else {
            let _ = theirs.decode(message);
        }
    }
});
