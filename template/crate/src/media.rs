// [base64
//! The media socket: JSON text messages, audio in base64 inside.
// ]
// [binary
//! The media socket: audio in binary messages of exactly 20 ms, JSON text messages for the rest.
// ]
//!
//! The carrier says `start` with the format and our parameters, then audio, `dtmf`, and `mark` once what was sent before it has
//! been played. We say audio, `mark` and `clear`.
//!
//! FILL IN: what are the carrier's messages, in which format is audio and who decides that, and in which order do the bytes of
//! 16-bit samples stand? Where is that documented?
//!
//! Source: <https://example.com/docs/voice/streams>

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::json;
// [base64
#[cfg(base64)]
use telephony_core::decode_base64_into;
// ]
use telephony_core::{
    CallId, CallRef, MediaCodec, MediaCommand, MediaError, MediaEvent, WireBuffer, WireMessage,
    audio::{AudioFormat, AudioFrame, Encoding},
    media::{CarrierMediaCodec, FrameQueue, MediaAudio, StreamStart, dtmf_digit, read_json},
};

/// The formats of a stream, the usual one first.
// [template
#[cfg(base64)]
pub(crate) const FORMATS: &[AudioFormat] = &[AudioFormat::MULAW_8K, AudioFormat::LINEAR16_16K];
/// The formats of a stream, the usual one first.
#[cfg(binary)]
// ]
pub(crate) const FORMATS: &[AudioFormat] = &[AudioFormat::LINEAR16_16K, AudioFormat::LINEAR16_8K];

// FILL IN: how much audio does the carrier send in a message, and how much may we?
/// What one message holds.
const FRAME: Duration = Duration::from_millis(20);

/// The format to stream in: the one that an agent likes best, if the carrier has it.
pub(crate) fn choose(preferred: Option<AudioFormat>) -> AudioFormat {
    preferred.filter(|format| FORMATS.contains(format)).unwrap_or(FORMATS[0])
}

// FILL IN: what does the carrier call its formats?
/// A format in the carrier's words: `mulaw/8000`.
pub(crate) fn name_of(format: AudioFormat) -> String {
    let encoding = match format.encoding {
        Encoding::Mulaw => "mulaw",
        Encoding::Alaw => "alaw",
        _ => "l16",
    };
    format!("{encoding}/{}", format.sample_rate_hz)
}

/// The format that the carrier announces. Audio of one that we do not know is refused: guessed wrong, it is noise.
fn announced(name: &str) -> Result<AudioFormat, MediaError> {
    let known = FORMATS.iter().find(|format| name_of(**format) == name);
    known.copied().ok_or_else(|| {
        let known: Vec<String> = FORMATS.iter().map(|format| name_of(*format)).collect();
        MediaError::UnsupportedFormat(format!("{name}, not {}", known.join(" or ")))
    })
}

/// What the carrier says in text.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum FromCarrier<'a> {
    Start {
        call_id: String,
        stream_id: String,
        format: String,
        #[serde(default)]
        parameters: BTreeMap<String, String>,
    },
    // [base64
    #[cfg(base64)]
    Media {
        payload: &'a str,
    },
    // ]
    Dtmf {
        #[serde(borrow)]
        digit: std::borrow::Cow<'a, str>,
    },
    Mark {
        #[serde(borrow)]
        name: std::borrow::Cow<'a, str>,
    },
    Stop,
    #[serde(other)]
    Other,
}

/// What we say in text.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum ToCarrier<'a> {
    // [base64
    #[cfg(base64)]
    Media {
        payload: &'a str,
    },
    // ]
    Mark {
        #[serde(borrow)]
        name: std::borrow::Cow<'a, str>,
    },
    Clear,
}

// [base64
/// The usual message with audio, either way. Its members are read where they stand; the enums copy them all until they know the
/// `event`, and a frame of audio is to take no memory.
#[cfg(base64)]
#[derive(Deserialize)]
struct Usual<'a> {
    #[serde(rename = "event")]
    _event: OnlyMedia,
    payload: &'a str,
}

#[cfg(base64)]
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnlyMedia {
    Media,
}
// ]

fn read(text: &str) -> Result<FromCarrier<'_>, MediaError> {
    // [base64
    #[cfg(base64)]
    if let Ok(Usual { payload, .. }) = serde_json::from_str(text) {
        return Ok(FromCarrier::Media { payload });
    }
    // ]
    read_json(text)
}

fn read_ours(text: &str) -> Result<ToCarrier<'_>, MediaError> {
    // [base64
    #[cfg(base64)]
    if let Ok(Usual { payload, .. }) = serde_json::from_str(text) {
        return Ok(ToCarrier::Media { payload });
    }
    // ]
    read_json(text)
}

/// Our end.
#[derive(Debug, Default)]
pub(crate) struct AcmeMedia {
    format: Option<AudioFormat>,
    queue: FrameQueue,
    // [base64
    /// The audio of the message decoded last.
    #[cfg(base64)]
    heard: Vec<u8>,
    // ]
    /// The mark decoded last.
    mark: String,
}

impl MediaCodec for AcmeMedia {
    fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaEvent<'a>, MediaError> {
        let text = match message {
            // [base64
            #[cfg(base64)]
            WireMessage::Binary(_) => {
                return Err(MediaError::malformed("message", "is binary; the protocol has text messages only"));
            }
            // ]
            // [binary
            #[cfg(binary)]
            WireMessage::Binary(bytes) => {
                let format = self.format.ok_or(MediaError::NotStarted)?;
                let frame = AudioFrame::new(format, bytes).map_err(|error| MediaError::malformed("audio", error))?;
                return Ok(MediaEvent::Audio(MediaAudio::new(frame)));
            }
            // ]
            WireMessage::Text(text) => text,
        };
        Ok(match read(text)? {
            FromCarrier::Start { .. } if self.format.is_some() => {
                return Err(MediaError::malformed("event", "is a second start"));
            }
            FromCarrier::Start { call_id, stream_id, format, parameters } => {
                let format = announced(&format)?;
                let call = CallId::new(call_id).map_err(|error| MediaError::malformed("call_id", error))?;
                self.format = Some(format);
                let start = StreamStart::new(CallRef::new(call), format);
                MediaEvent::Started(start.with_stream_id(stream_id).with_parameters(parameters))
            }
            // [base64
            #[cfg(base64)]
            FromCarrier::Media { payload } => {
                let format = self.format.ok_or(MediaError::NotStarted)?;
                decode_base64_into(payload, &mut self.heard)
                    .map_err(|error| MediaError::malformed("payload", error))?;
                let frame =
                    AudioFrame::new(format, &self.heard).map_err(|error| MediaError::malformed("payload", error))?;
                MediaEvent::Audio(MediaAudio::new(frame))
            }
            // ]
            FromCarrier::Dtmf { digit } => {
                let digit = dtmf_digit(&digit).ok_or_else(|| MediaError::malformed("digit", "is no digit"))?;
                MediaEvent::Digit { digit, duration: None }
            }
            FromCarrier::Mark { name } => {
                self.mark = name.into_owned();
                MediaEvent::MarkReached { name: &self.mark }
            }
            FromCarrier::Stop => MediaEvent::Stopped,
            FromCarrier::Other => MediaEvent::Ignored,
        })
    }

    fn encode(&mut self, command: MediaCommand<'_>, out: &mut WireBuffer) -> Result<(), MediaError> {
        let format = self.format.ok_or(MediaError::NotStarted)?;
        let length = format.bytes_in(FRAME);
        match command {
            MediaCommand::Audio(frame) if frame.format() != format => {
                return Err(MediaError::FormatMismatch { expected: format, given: frame.format() });
            }
            MediaCommand::Audio(frame) => self.queue.push(length, frame.bytes(), |frames| send(frames, length, out)),
            MediaCommand::Flush => self.queue.flush(length, format.silence_byte(), |frame| send(frame, length, out)),
            MediaCommand::Mark { name } => {
                self.queue.flush(length, format.silence_byte(), |frame| send(frame, length, out));
                out.text().push_str(r#"{"event":"mark","name":"#).push_json_string(name).push_str("}");
            }
            MediaCommand::Clear => {
                self.queue.clear();
                out.text().push_str(r#"{"event":"clear"}"#);
            }
            _ => {}
        }
        Ok(())
    }
}

// [base64
/// Sends whole frames, a message each: what is sent in small pieces can be cleared soon.
#[cfg(base64)]
fn send(frames: &[u8], length: usize, out: &mut WireBuffer) {
    for frame in frames.chunks(length) {
        out.text().push_str(r#"{"event":"media","payload":""#).push_base64(frame).push_str(r#""}"#);
    }
}
// ]
// [binary
/// Sends whole frames, a message each: the carrier refuses messages of another length.
#[cfg(binary)]
fn send(frames: &[u8], length: usize, out: &mut WireBuffer) {
    frames.chunks(length).for_each(|frame| out.binary(frame));
}
// ]

/// The carrier's end: for the simulator, and for agents that were written for this carrier.
#[derive(Debug, Default)]
pub(crate) struct CarrierEnd {
    format: Option<AudioFormat>,
    // [base64
    /// The audio of the message decoded last.
    #[cfg(base64)]
    heard: Vec<u8>,
    // ]
    /// The mark decoded last.
    mark: String,
}

impl CarrierMediaCodec for CarrierEnd {
    fn encode(&mut self, event: MediaEvent<'_>, out: &mut WireBuffer) -> Result<(), MediaError> {
        if let MediaEvent::Started(start) = event {
            let message = json!({
                "event": "start", "call_id": start.call.id().map(ToString::to_string),
                "stream_id": start.stream_id.unwrap_or_default(), "format": name_of(start.inbound),
                "parameters": start.parameters,
            });
            out.text().push_str(&message.to_string());
            self.format = Some(start.inbound);
            return Ok(());
        }
        let format = self.format.ok_or(MediaError::NotStarted)?;
        match event {
            MediaEvent::Audio(audio) if audio.frame.format() != format => {
                return Err(MediaError::FormatMismatch { expected: format, given: audio.frame.format() });
            }
            // [base64
            #[cfg(base64)]
            MediaEvent::Audio(audio) => {
                let mut message = out.text();
                message.push_str(r#"{"event":"media","payload":""#).push_base64(audio.frame.bytes()).push_str(r#""}"#);
            }
            // ]
            // [binary
            #[cfg(binary)]
            MediaEvent::Audio(audio) => out.binary(audio.frame.bytes()),
            // ]
            MediaEvent::Digit { digit, .. } => {
                out.text().push_str(&json!({"event": "dtmf", "digit": digit}).to_string());
            }
            MediaEvent::MarkReached { name } => {
                out.text().push_str(r#"{"event":"mark","name":"#).push_json_string(name).push_str("}");
            }
            MediaEvent::Stopped => {
                out.text().push_str(r#"{"event":"stop"}"#);
            }
            _ => {} // The carrier says nothing of anything else.
        }
        Ok(())
    }

    fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaCommand<'a>, MediaError> {
        let format = self.format.ok_or(MediaError::NotStarted)?;
        let text = match message {
            // [base64
            #[cfg(base64)]
            WireMessage::Binary(_) => return Err(MediaError::malformed("message", "is binary")),
            // ]
            // [binary
            #[cfg(binary)]
            WireMessage::Binary(bytes) if bytes.len() != format.bytes_in(FRAME) => {
                let wanted = format.bytes_in(FRAME);
                return Err(MediaError::malformed("audio", format_args!("{} bytes, not {wanted}", bytes.len())));
            }
            #[cfg(binary)]
            WireMessage::Binary(bytes) => {
                let frame = AudioFrame::new(format, bytes).map_err(|error| MediaError::malformed("audio", error))?;
                return Ok(MediaCommand::Audio(frame));
            }
            // ]
            WireMessage::Text(text) => text,
        };
        Ok(match read_ours(text)? {
            // [base64
            #[cfg(base64)]
            ToCarrier::Media { payload } => {
                decode_base64_into(payload, &mut self.heard)
                    .map_err(|error| MediaError::malformed("payload", error))?;
                let frame =
                    AudioFrame::new(format, &self.heard).map_err(|error| MediaError::malformed("payload", error))?;
                MediaCommand::Audio(frame)
            }
            // ]
            ToCarrier::Mark { name } => {
                self.mark = name.into_owned();
                MediaCommand::Mark { name: &self.mark }
            }
            ToCarrier::Clear => MediaCommand::Clear,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(format: &str) -> String {
        json!({"event": "start", "call_id": "c-1", "stream_id": "s-1", "format": format}).to_string()
    }

    // FILL IN: which messages does the carrier document? Take them whole.
    #[test]
    fn a_stream_begins_in_the_format_announced() {
        for format in FORMATS {
            let mut codec = AcmeMedia::default();
            let text = start(&name_of(*format));
            let Ok(MediaEvent::Started(started)) = codec.decode(WireMessage::Text(&text)) else { panic!("{text}") };
            assert_eq!((started.inbound, started.outbound), (*format, *format));
        }
    }

    #[test]
    fn a_format_that_is_unknown_ends_the_stream() {
        let mut codec = AcmeMedia::default();
        let refused = codec.decode(WireMessage::Text(&start("opus/48000"))).unwrap_err();
        assert!(refused.is_fatal(), "{refused}");
    }
}
