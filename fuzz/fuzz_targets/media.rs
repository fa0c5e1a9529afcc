//! Media messages, into both ends of every provider's protocol, started and not. The first byte says which provider, which
//! end, whether the stream has started, and whether messages are text; the rest is cut into messages at line ends.

#![no_main]

use libfuzzer_sys::fuzz_target;
use telephony_core::{CallRef, MediaEvent, WireBuffer, WireMessage, media::StreamStart};
use telephony_fuzz::carrier;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else { return };
    let carrier = carrier(choice >> 3);
    let (mut ours, mut theirs) = (carrier.provider.media_codec(), carrier.descriptor.carrier_media_codec());
    if choice & 2 != 0 {
        let mut wire = WireBuffer::new();
        let format = carrier.descriptor.media().formats[0];
        let start = StreamStart::new(CallRef::unnamed(), format).with_stream_id("MZ1");
        // An anonymous call may be refused by either end; then nothing has started.
        if theirs.encode(MediaEvent::Started(start), &mut wire).is_ok() {
            for message in wire.iter() {
                let _ = ours.decode(message);
            }
        }
    }
    for piece in rest.split(|byte| *byte == b'\n') {
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
