//! The media WebSocket: raw 16-bit PCM in binary messages of exactly 20 ms, and JSON text messages for the rest.
//!
//! Source: <https://developer.vonage.com/en/voice/voice-api/concepts/websockets>. Vonage says `websocket:connected` with the
//! format and the headers that we gave, then audio, `websocket:dtmf`, `websocket:notify` and `websocket:cleared`. We say audio,
//! `notify` and `clear`. A message of any other length than 20 ms makes Vonage drop the socket (close code 1006).

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use telephony_core::{
    CallId, CallRef, MediaCodec, MediaCommand, MediaError, MediaEvent, WireBuffer, WireMessage,
    audio::{AudioFormat, AudioFrame, Encoding},
    media::{CarrierMediaCodec, FrameQueue, MediaAudio, StreamStart, dtmf_digit, read_json},
};

/// The length of every message with audio.
const FRAME: Duration = Duration::from_millis(20);

/// The header under which the answer document puts the id of the call: Vonage itself does not say it here.
pub(crate) const CALL_HEADER: &str = "call_uuid";

/// Names that Vonage uses beside the headers, which it puts on the same level.
pub(crate) const RESERVED_HEADERS: &[&str] = &["event", "content-type", CALL_HEADER];

/// Our end.
#[derive(Debug, Default)]
pub(crate) struct VonageMedia {
    format: Option<AudioFormat>,
    queue: FrameQueue,
    /// The text of the message decoded last.
    text: String,
}

impl VonageMedia {
    fn flush(&mut self, format: AudioFormat, out: &mut WireBuffer) {
        self.queue.flush(format.bytes_in(FRAME), format.encoding.silence_byte(), |frame| out.binary(frame));
    }
}

impl MediaCodec for VonageMedia {
    fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaEvent<'a>, MediaError> {
        let text = match message {
            WireMessage::Binary(bytes) => {
                let format = self.format.ok_or(MediaError::NotStarted)?;
                let frame = AudioFrame::new(format, bytes).map_err(|error| MediaError::malformed("audio", error))?;
                return Ok(MediaEvent::Audio(MediaAudio::new(frame)));
            }
            WireMessage::Text(text) => text,
        };
        // An old bridge puts a blank before it, which JSON allows.
        let message: FromVonage = read_json(text)?;
        match message.event.as_deref() {
            Some("websocket:connected") if self.format.is_some() => {
                Err(MediaError::malformed("event", "is a second websocket:connected"))
            }
            Some("websocket:connected") => {
                let start = message.start()?;
                self.format = Some(start.inbound);
                Ok(MediaEvent::Started(start))
            }
            Some("websocket:notify") => {
                let name = message.rest.get("payload").and_then(|payload| payload.get("id")).and_then(Value::as_str);
                name.ok_or_else(|| MediaError::malformed("payload.id", "is no text"))?.clone_into(&mut self.text);
                Ok(MediaEvent::MarkReached { name: &self.text })
            }
            Some("websocket:cleared") => Ok(MediaEvent::Cleared),
            // An older bridge sends digits without an event.
            Some("websocket:dtmf") | None if message.digit().is_some() => {
                let digit = message.digit().and_then(dtmf_digit);
                let digit = digit.ok_or_else(|| MediaError::malformed("digit", "is no digit"))?;
                let duration = message.rest.get("duration").and_then(Value::as_u64).map(Duration::from_millis);
                Ok(MediaEvent::Digit { digit, duration })
            }
            Some("websocket:dtmf") => Err(MediaError::malformed("digit", "is missing")),
            Some("websocket:disconnected") => Ok(MediaEvent::Stopped),
            _ => Ok(MediaEvent::Ignored),
        }
    }

    fn encode(&mut self, command: MediaCommand<'_>, out: &mut WireBuffer) -> Result<(), MediaError> {
        let format = self.format.ok_or(MediaError::NotStarted)?;
        match command {
            MediaCommand::Audio(frame) if frame.format() != format => {
                return Err(MediaError::FormatMismatch { expected: format, given: frame.format() });
            }
            MediaCommand::Audio(frame) => {
                let length = format.bytes_in(FRAME);
                self.queue.push(length, frame.bytes(), |frames| {
                    frames.chunks_exact(length).for_each(|frame| out.binary(frame));
                });
            }
            MediaCommand::Flush => self.flush(format, out),
            MediaCommand::Mark { name } => {
                self.flush(format, out);
                out.text().push_str(r#"{"action":"notify","payload":{"id":"#).push_json_string(name).push_str("}}");
            }
            MediaCommand::Clear => {
                self.queue.clear();
                out.text().push_str(r#"{"action":"clear"}"#);
            }
            _ => {}
        }
        Ok(())
    }
}

/// What Vonage says in text: known members, and those of our headers beside them.
#[derive(Deserialize)]
struct FromVonage {
    event: Option<String>,
    #[serde(rename = "content-type")]
    content_type: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl FromVonage {
    fn start(mut self) -> Result<StreamStart, MediaError> {
        let content_type = self.content_type.ok_or_else(|| MediaError::malformed("content-type", "is missing"))?;
        let format = format_of(&content_type).ok_or_else(|| {
            MediaError::UnsupportedFormat(format!("{content_type}, not audio/l16 at 8000, 16000 or 24000 Hz"))
        })?;
        let call = match self.rest.remove(CALL_HEADER) {
            Some(Value::String(id)) => CallId::new(id).map_or_else(|_| CallRef::unnamed(), CallRef::new),
            _ => CallRef::unnamed(),
        };
        let parameters = self.rest.into_iter().map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (name, text)
        });
        Ok(StreamStart::new(call, format).with_parameters(parameters.collect()))
    }

    /// The digit, flat or nested.
    fn digit(&self) -> Option<&str> {
        let nested = || self.rest.get("dtmf").and_then(|dtmf| dtmf.get("digit"));
        self.rest.get("digit").or_else(nested).and_then(Value::as_str)
    }
}

/// `audio/l16;rate=16000` and its like.
pub(crate) fn content_type(format: AudioFormat) -> String {
    format!("audio/l16;rate={}", format.sample_rate_hz)
}

/// The format that a content type means, blanks and case aside.
pub(crate) fn format_of(content_type: &str) -> Option<AudioFormat> {
    let text: String = content_type.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    let rate: NonZeroU32 = text.strip_prefix("audio/l16;rate=")?.parse().ok()?;
    matches!(rate.get(), 8_000 | 16_000 | 24_000).then(|| AudioFormat::new(Encoding::Linear16, rate))
}

/// Vonage's end: for the simulator, and for agents that were written for Vonage.
#[derive(Debug, Default)]
pub(crate) struct CarrierEnd {
    format: Option<AudioFormat>,
    mark: String,
}

/// What we say to Vonage in text.
#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum ToVonage {
    Notify { payload: Payload },
    Clear,
}

#[derive(Deserialize)]
struct Payload {
    id: String,
}

impl CarrierMediaCodec for CarrierEnd {
    fn encode(&mut self, event: MediaEvent<'_>, out: &mut WireBuffer) -> Result<(), MediaError> {
        if let MediaEvent::Started(start) = event {
            let mut message = serde_json::json!({
                "event": "websocket:connected", "content-type": content_type(start.inbound),
            });
            if let Some(id) = start.call.id() {
                message[CALL_HEADER] = id.as_str().into();
            }
            for (name, value) in start.parameters {
                message[name] = value.into();
            }
            out.text().push_str(&message.to_string());
            self.format = Some(start.inbound);
            return Ok(());
        }
        let format = self.format.ok_or(MediaError::NotStarted)?;
        match event {
            MediaEvent::Audio(audio) if audio.frame.format() != format => {
                return Err(MediaError::FormatMismatch { expected: format, given: audio.frame.format() });
            }
            MediaEvent::Audio(audio) => out.binary(audio.frame.bytes()),
            MediaEvent::Digit { digit, duration } => {
                let duration = duration.unwrap_or(Duration::from_millis(260)).as_millis();
                let message = format!(r#"{{"event":"websocket:dtmf","digit":"{digit}","duration":{duration}}}"#);
                out.text().push_str(&message);
            }
            MediaEvent::MarkReached { name } => {
                out.text()
                    .push_str(r#"{"event":"websocket:notify","payload":{"id":"#)
                    .push_json_string(name)
                    .push_str("}}");
            }
            MediaEvent::Cleared => {
                out.text().push_str(r#"{"event":"websocket:cleared"}"#);
            }
            _ => {} // Vonage closes the socket without a word.
        }
        Ok(())
    }

    fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaCommand<'a>, MediaError> {
        let format = self.format.ok_or(MediaError::NotStarted)?;
        match message {
            WireMessage::Binary(bytes) if bytes.len() != format.bytes_in(FRAME) => {
                let (given, wanted) = (bytes.len() / 2, format.samples_in(FRAME));
                Err(MediaError::malformed(
                    "audio",
                    format_args!("unexpected frame size {given}, when required {wanted}"),
                ))
            }
            WireMessage::Binary(bytes) => AudioFrame::new(format, bytes)
                .map(MediaCommand::Audio)
                .map_err(|error| MediaError::malformed("audio", error)),
            WireMessage::Text(text) => match read_json(text)? {
                ToVonage::Clear => Ok(MediaCommand::Clear),
                ToVonage::Notify { payload } => {
                    self.mark = payload.id;
                    Ok(MediaCommand::Mark { name: &self.mark })
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: &str =
        r#"{"event":"websocket:connected","content-type":"audio/l16;rate=16000","run":"77","call_uuid":"63f61863"}"#;

    fn started() -> VonageMedia {
        let mut codec = VonageMedia::default();
        codec.decode(WireMessage::Text(START)).unwrap();
        codec
    }

    #[test]
    fn messages_as_vonage_documents_them() {
        let mut codec = VonageMedia::default();
        let Ok(MediaEvent::Started(start)) = codec.decode(WireMessage::Text(START)) else { panic!("no start") };
        assert_eq!(start.inbound, AudioFormat::LINEAR16_16K);
        assert_eq!(start.parameters, BTreeMap::from([("run".to_owned(), "77".to_owned())]));
        assert_eq!(start.call.to_string(), "63f61863");
        let Ok(MediaEvent::Audio(audio)) = codec.decode(WireMessage::Binary(&[1; 640])) else { panic!("no audio") };
        assert_eq!(audio.frame.duration(), Duration::from_millis(20));
        let expected = Ok(MediaEvent::Digit { digit: '5', duration: Some(Duration::from_millis(260)) });
        let dtmf = r#"{"event":"websocket:dtmf","digit":"5","duration":260}"#;
        assert_eq!(codec.decode(WireMessage::Text(dtmf)), expected);
        for older in [r#" {"digit":"5"}"#, r#"{"event":"websocket:dtmf","dtmf":{"digit":"5"}}"#] {
            let expected = Ok(MediaEvent::Digit { digit: '5', duration: None });
            assert_eq!(codec.decode(WireMessage::Text(older)), expected, "{older}");
        }
        let notify = r#"{"event":"websocket:notify","payload":{"id":"utt-3"}}"#;
        assert_eq!(codec.decode(WireMessage::Text(notify)), Ok(MediaEvent::MarkReached { name: "utt-3" }));
        assert_eq!(codec.decode(WireMessage::Text(r#"{"event":"websocket:cleared"}"#)), Ok(MediaEvent::Cleared));
        assert_eq!(codec.decode(WireMessage::Text(r#"{"event":"websocket:media:update"}"#)), Ok(MediaEvent::Ignored));
    }

    #[test]
    fn formats_come_from_the_message() {
        for (text, format) in [
            ("audio/l16;rate=8000", Some(AudioFormat::LINEAR16_8K)),
            ("audio/L16; rate=16000", Some(AudioFormat::LINEAR16_16K)),
            ("audio/l16;rate=24000", Some(AudioFormat::LINEAR16_24K)),
            ("audio/l16;rate=44100", None),
            ("audio/x-mulaw;rate=8000", None),
        ] {
            assert_eq!(format_of(text), format, "{text}");
        }
        let mut codec = VonageMedia::default();
        let other = START.replace("16000", "11025");
        assert!(codec.decode(WireMessage::Text(&other)).unwrap_err().is_fatal());
    }

    #[test]
    fn what_cannot_be_carried_is_refused() {
        let mut codec = VonageMedia::default();
        assert_eq!(codec.decode(WireMessage::Binary(&[0; 640])), Err(MediaError::NotStarted));
        let mut out = WireBuffer::new();
        assert_eq!(codec.encode(MediaCommand::Flush, &mut out), Err(MediaError::NotStarted));
        let mut codec = started();
        assert!(codec.decode(WireMessage::Text(START)).is_err());
        for bad in ["{", "[]", "", r#"{"event":"websocket:dtmf"}"#, r#"{"event":"websocket:notify"}"#] {
            assert!(matches!(codec.decode(WireMessage::Text(bad)), Err(MediaError::Malformed { .. })), "{bad}");
        }
        assert!(matches!(codec.decode(WireMessage::Binary(&[0; 641])), Err(MediaError::Malformed { .. })));
        let mulaw = AudioFrame::new(AudioFormat::MULAW_8K, &[0; 160]).unwrap();
        assert!(matches!(codec.encode(MediaCommand::Audio(mulaw), &mut out), Err(MediaError::FormatMismatch { .. })));
        assert!(out.is_empty());
    }

    #[test]
    fn every_frame_has_20_ms_and_the_last_is_padded_with_silence() {
        let mut codec = started();
        let mut out = WireBuffer::new();
        let audio = vec![7; 1_000];
        let frame = AudioFrame::new(AudioFormat::LINEAR16_16K, &audio).unwrap();
        codec.encode(MediaCommand::Audio(frame), &mut out).unwrap();
        assert_eq!(out.len(), 1, "what does not fill a frame waits");
        codec.encode(MediaCommand::Mark { name: "a\"b" }, &mut out).unwrap();
        codec.encode(MediaCommand::Audio(frame), &mut out).unwrap();
        codec.encode(MediaCommand::Clear, &mut out).unwrap();
        codec.encode(MediaCommand::Flush, &mut out).unwrap();
        let last = [vec![7; 360], vec![0; 280]].concat();
        assert_eq!(
            out.iter().collect::<Vec<_>>(),
            [
                WireMessage::Binary(&audio[..640]),
                WireMessage::Binary(&last),
                WireMessage::Text(r#"{"action":"notify","payload":{"id":"a\"b"}}"#),
                WireMessage::Binary(&audio[..640]),
                WireMessage::Text(r#"{"action":"clear"}"#),
            ]
        );
    }

    #[test]
    fn the_two_ends_understand_each_other() {
        let (mut ours, mut theirs) = (VonageMedia::default(), CarrierEnd::default());
        let mut wire = WireBuffer::new();
        let format = AudioFormat::LINEAR16_24K;
        let start = StreamStart::new(CallRef::new("u-1".parse().unwrap()), format)
            .with_parameters(BTreeMap::from([("run".to_owned(), "\"77\"".to_owned())]));
        let frame = AudioFrame::new(format, &[1; 960]).unwrap();
        let events = [
            MediaEvent::Started(start),
            MediaEvent::Audio(MediaAudio::new(frame)),
            MediaEvent::Digit { digit: '#', duration: Some(Duration::from_millis(100)) },
            MediaEvent::MarkReached { name: "ü" },
            MediaEvent::Cleared,
        ];
        for event in &events {
            theirs.encode(event.clone(), &mut wire).unwrap();
        }
        for (message, event) in wire.iter().zip(&events) {
            assert_eq!(&ours.decode(message).unwrap(), event);
        }
        assert!(theirs.decode(WireMessage::Binary(&[0; 640])).is_err(), "as long as another rate's");
        assert!(theirs.decode(WireMessage::Text(r#"{"action":"sing"}"#)).is_err());
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(text in ".*", bytes: Vec<u8>) {
            let mut codec = started();
            let _ = codec.decode(WireMessage::Text(&text));
            let _ = codec.decode(WireMessage::Binary(&bytes));
            let _ = VonageMedia::default().decode(WireMessage::Text(&text));
        }

        #[test]
        fn audio_arrives_whole_whatever_its_pieces(pieces in proptest::collection::vec(0_usize..3_000, 0..8)) {
            let (mut ours, mut wire) = (started(), WireBuffer::new());
            let format = AudioFormat::LINEAR16_16K;
            let mut said = Vec::new();
            for (n, samples) in pieces.into_iter().enumerate() {
                let piece = vec![n as u8; samples * 2];
                ours.encode(MediaCommand::Audio(AudioFrame::new(format, &piece).unwrap()), &mut wire).unwrap();
                said.extend(piece);
            }
            ours.encode(MediaCommand::Flush, &mut wire).unwrap();
            said.resize(said.len().next_multiple_of(640), 0);
            let mut carrier = CarrierEnd::default();
            carrier.encode(MediaEvent::Started(StreamStart::new(CallRef::unnamed(), format)), &mut WireBuffer::new()).unwrap();
            let mut heard = Vec::new();
            for message in wire.iter() {
                let MediaCommand::Audio(frame) = carrier.decode(message).unwrap() else { panic!("not audio") };
                heard.extend_from_slice(frame.bytes());
            }
            prop_assert_eq!(heard, said);
        }
    }
}
