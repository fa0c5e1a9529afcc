//! Media Streams: JSON text messages with base64 mu-law inside, over a WebSocket that Twilio opens.
//!
//! Source: <https://www.twilio.com/docs/voice/media-streams/websocket-messages>. Twilio says `connected`, `start`, then `media`,
//! `dtmf` and `mark` as they come, and `stop`. We say `media`, `mark` and `clear`.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use serde::Deserialize;
use telephony_core::{
    CallId, CallRef, MediaCodec, MediaCommand, MediaError, MediaEvent, WireBuffer, WireMessage,
    audio::{AudioFormat, AudioFrame},
    decode_base64_into,
    media::{CarrierMediaCodec, FrameQueue, MediaAudio, StreamStart, dtmf_digit, read_json},
};

/// The one format of Media Streams, both ways.
const FORMAT: AudioFormat = AudioFormat::MULAW_8K;

/// 20 ms. Payloads of other lengths are played, but what does not fill a frame is heard as jitter.
const FRAME: usize = 160;

/// The most audio in one message: 2 s, about 21 kB of text. No limit is documented; 64 kB is known to work.
const LONGEST: usize = 100 * FRAME;

const SILENCE: u8 = FORMAT.encoding.silence_byte();

/// Our end.
#[derive(Debug, Default)]
pub(crate) struct TwilioMedia {
    /// `"streamSid":"MZ…"`, once started.
    stream: Option<String>,
    /// The audio of the message decoded last.
    heard: Vec<u8>,
    queue: FrameQueue,
    /// The name of the mark decoded last, if it had to be unescaped.
    mark: String,
}

impl TwilioMedia {
    /// Reads the usual media message without parsing JSON: about a third of the time. `None` when it looks unusual, and is
    /// left to the parser.
    fn scan(&mut self, text: &str) -> Option<Option<Duration>> {
        let fields = text.strip_prefix(r#"{"event":"media","#)?.strip_suffix('}')?;
        let value = |name: &str| {
            let from = fields.find(name)? + name.len();
            let rest = &fields[from..];
            rest.find('"').map(|to| &rest[..to])
        };
        if value(r#""track":""#)? != "inbound" {
            return None;
        }
        let offset = value(r#""timestamp":""#)?.parse().ok().map(Duration::from_millis);
        decode_base64_into(value(r#""payload":""#)?, &mut self.heard).ok()?;
        Some(offset)
    }

    fn audio(&self, offset: Option<Duration>) -> Result<MediaEvent<'_>, MediaError> {
        let frame = AudioFrame::new(FORMAT, &self.heard).map_err(|error| MediaError::malformed("payload", error))?;
        Ok(MediaEvent::Audio(MediaAudio::new(frame).at(offset)))
    }
}

/// Writes frames of audio as messages.
fn send(stream: &str, out: &mut WireBuffer, frames: &[u8]) {
    for piece in frames.chunks(LONGEST) {
        out.text()
            .push_str(r#"{"event":"media","#)
            .push_str(stream)
            .push_str(r#","media":{"payload":""#)
            .push_base64(piece)
            .push_str(r#""}}"#);
    }
}

impl MediaCodec for TwilioMedia {
    fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaEvent<'a>, MediaError> {
        let WireMessage::Text(text) = message else {
            return Err(MediaError::malformed("message", "is binary; Media Streams has text messages only"));
        };
        if let Some(offset) = self.scan(text) {
            if self.stream.is_none() {
                return Err(MediaError::NotStarted);
            }
            return self.audio(offset);
        }
        match read_json(text)? {
            FromTwilio::Start { start } => {
                if self.stream.is_some() {
                    return Err(MediaError::malformed("event", "is a second start"));
                }
                let started = start.read()?;
                let mut stream = WireBuffer::new();
                stream.text().push_str(r#""streamSid":"#).push_json_string(&start.stream_sid);
                if let Some(WireMessage::Text(text)) = stream.iter().next() {
                    self.stream = Some(text.to_owned());
                }
                Ok(MediaEvent::Started(started))
            }
            FromTwilio::Media { .. } if self.stream.is_none() => Err(MediaError::NotStarted),
            // A two-way stream carries the other party only; a one-way stream may carry both.
            FromTwilio::Media { media } if media.track.as_deref() == Some("outbound") => Ok(MediaEvent::Ignored),
            FromTwilio::Media { media } => {
                decode_base64_into(&media.payload, &mut self.heard)
                    .map_err(|error| MediaError::malformed("media.payload", error))?;
                self.audio(media.timestamp.and_then(|text| text.parse().ok()).map(Duration::from_millis))
            }
            FromTwilio::Dtmf { dtmf } => match dtmf_digit(&dtmf.digit) {
                Some(digit) => Ok(MediaEvent::Digit { digit, duration: None }),
                None => Err(MediaError::malformed("dtmf.digit", "is no digit")),
            },
            FromTwilio::Mark { mark: Mark { name: Cow::Borrowed(name) } } => Ok(MediaEvent::MarkReached { name }),
            FromTwilio::Mark { mark: Mark { name: Cow::Owned(name) } } => {
                self.mark = name;
                Ok(MediaEvent::MarkReached { name: &self.mark })
            }
            FromTwilio::Stop => Ok(MediaEvent::Stopped),
            FromTwilio::Connected | FromTwilio::Other => Ok(MediaEvent::Ignored),
        }
    }

    fn encode(&mut self, command: MediaCommand<'_>, out: &mut WireBuffer) -> Result<(), MediaError> {
        let stream = self.stream.take().ok_or(MediaError::NotStarted)?;
        let outcome = match command {
            MediaCommand::Audio(frame) if frame.format() != FORMAT => {
                Err(MediaError::FormatMismatch { expected: FORMAT, given: frame.format() })
            }
            MediaCommand::Audio(frame) => {
                self.queue.push(FRAME, frame.bytes(), |frames| send(&stream, out, frames));
                Ok(())
            }
            MediaCommand::Flush => {
                self.queue.flush(FRAME, SILENCE, |frame| send(&stream, out, frame));
                Ok(())
            }
            MediaCommand::Mark { name } => {
                self.queue.flush(FRAME, SILENCE, |frame| send(&stream, out, frame));
                out.text()
                    .push_str(r#"{"event":"mark","#)
                    .push_str(&stream)
                    .push_str(r#","mark":{"name":"#)
                    .push_json_string(name)
                    .push_str("}}");
                Ok(())
            }
            MediaCommand::Clear => {
                self.queue.clear();
                out.text().push_str(r#"{"event":"clear","#).push_str(&stream).push_str("}");
                Ok(())
            }
            _ => Ok(()),
        };
        self.stream = Some(stream);
        outcome
    }
}

/// What Twilio says.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum FromTwilio<'a> {
    Connected,
    Start {
        #[serde(borrow)]
        start: Start<'a>,
    },
    Media {
        #[serde(borrow)]
        media: Media<'a>,
    },
    Dtmf {
        #[serde(borrow)]
        dtmf: Dtmf<'a>,
    },
    Mark {
        #[serde(borrow)]
        mark: Mark<'a>,
    },
    Stop,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start<'a> {
    #[serde(borrow)]
    stream_sid: Cow<'a, str>,
    #[serde(borrow)]
    call_sid: Cow<'a, str>,
    #[serde(default)]
    custom_parameters: BTreeMap<String, String>,
    #[serde(borrow)]
    media_format: MediaFormat<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MediaFormat<'a> {
    #[serde(borrow)]
    encoding: Cow<'a, str>,
    sample_rate: u32,
    channels: u32,
}

#[derive(Deserialize)]
struct Media<'a> {
    #[serde(borrow, default)]
    track: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    timestamp: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Dtmf<'a> {
    #[serde(borrow)]
    digit: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Mark<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

impl Start<'_> {
    fn read(&self) -> Result<StreamStart, MediaError> {
        let MediaFormat { encoding, sample_rate, channels } = &self.media_format;
        if encoding != "audio/x-mulaw" || *sample_rate != FORMAT.sample_rate_hz.get() || *channels != 1 {
            let announced = format!("{encoding} at {sample_rate} Hz with {channels} channels, not mu-law at 8000 Hz");
            return Err(MediaError::UnsupportedFormat(announced));
        }
        let call = CallId::new(&*self.call_sid).map_err(|error| MediaError::malformed("start.callSid", error))?;
        Ok(StreamStart::new(CallRef::new(call), FORMAT)
            .with_stream_id(&*self.stream_sid)
            .with_parameters(self.custom_parameters.clone()))
    }
}

/// Twilio's end: for the simulator, and for agents that were written for Twilio.
#[derive(Debug, Default)]
pub(crate) struct CarrierEnd {
    stream: Option<CarrierStream>,
    /// The audio of the message decoded last.
    heard: Vec<u8>,
    mark: String,
}

#[derive(Debug)]
struct CarrierStream {
    sid: String,
    call: String,
    /// Of the next message.
    sequence: u64,
    /// Of the next media message.
    chunk: u64,
    /// Bytes of audio sent.
    sent: u64,
}

/// What we say to Twilio.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum ToTwilio<'a> {
    Media {
        #[serde(borrow, rename = "streamSid")]
        stream: Cow<'a, str>,
        #[serde(borrow)]
        media: Media<'a>,
    },
    Mark {
        #[serde(borrow, rename = "streamSid")]
        stream: Cow<'a, str>,
        #[serde(borrow)]
        mark: Mark<'a>,
    },
    Clear {
        #[serde(borrow, rename = "streamSid")]
        stream: Cow<'a, str>,
    },
}

/// The usual message with audio, whose members are read where they stand. [`ToTwilio`] copies them all until it knows the `event`.
#[derive(Deserialize)]
struct UsualSent<'a> {
    #[serde(rename = "event")]
    _event: OnlyMedia,
    #[serde(borrow, rename = "streamSid")]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    media: SentMedia<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnlyMedia {
    Media,
}

#[derive(Deserialize)]
struct SentMedia<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

fn read_ours(text: &str) -> Result<ToTwilio<'_>, MediaError> {
    match serde_json::from_str(text) {
        Ok(UsualSent { stream, media: SentMedia { payload }, .. }) => {
            Ok(ToTwilio::Media { stream, media: Media { track: None, timestamp: None, payload } })
        }
        Err(_) => read_json(text),
    }
}

impl CarrierMediaCodec for CarrierEnd {
    fn encode(&mut self, event: MediaEvent<'_>, out: &mut WireBuffer) -> Result<(), MediaError> {
        if let MediaEvent::Started(start) = event {
            out.text().push_str(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
            let sid = start.stream_id.unwrap_or_else(|| "MZ00000000000000000000000000000000".to_owned());
            let call = start.call.id().map_or_else(String::new, ToString::to_string);
            let message = serde_json::json!({
                "event": "start", "sequenceNumber": "1", "streamSid": sid,
                "start": {
                    "streamSid": sid, "callSid": call, "tracks": ["inbound"], "customParameters": start.parameters,
                    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                },
            });
            out.text().push_str(&message.to_string());
            self.stream = Some(CarrierStream { sid, call, sequence: 2, chunk: 1, sent: 0 });
            return Ok(());
        }
        let stream = self.stream.as_mut().ok_or(MediaError::NotStarted)?;
        let sid = &stream.sid;
        let sequence = stream.sequence;
        match event {
            MediaEvent::Audio(audio) if audio.frame.format() != FORMAT => {
                return Err(MediaError::FormatMismatch { expected: FORMAT, given: audio.frame.format() });
            }
            MediaEvent::Audio(audio) => {
                let (chunk, timestamp) = (stream.chunk, stream.sent / 8);
                out.text()
                    .push_str(r#"{"event":"media","sequenceNumber":""#)
                    .push_number(sequence)
                    .push_str(r#"","media":{"track":"inbound","chunk":""#)
                    .push_number(chunk)
                    .push_str(r#"","timestamp":""#)
                    .push_number(timestamp)
                    .push_str(r#"","payload":""#)
                    .push_base64(audio.frame.bytes())
                    .push_str(r#""},"streamSid":"#)
                    .push_json_string(sid)
                    .push_str("}");
                stream.chunk += 1;
                stream.sent += audio.frame.bytes().len() as u64;
            }
            MediaEvent::Digit { digit, .. } => {
                let message = serde_json::json!({
                    "event": "dtmf", "streamSid": sid, "sequenceNumber": sequence.to_string(),
                    "dtmf": {"track": "inbound_track", "digit": digit},
                });
                out.text().push_str(&message.to_string());
            }
            MediaEvent::MarkReached { name } => {
                let message = serde_json::json!({
                    "event": "mark", "streamSid": sid, "sequenceNumber": sequence.to_string(), "mark": {"name": name},
                });
                out.text().push_str(&message.to_string());
            }
            MediaEvent::Stopped => {
                let message = serde_json::json!({
                    "event": "stop", "streamSid": sid, "sequenceNumber": sequence.to_string(),
                    "stop": {"callSid": stream.call},
                });
                out.text().push_str(&message.to_string());
            }
            _ => return Ok(()), // Twilio says nothing when it has cleared: the marks come back.
        }
        stream.sequence += 1;
        Ok(())
    }

    fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaCommand<'a>, MediaError> {
        let WireMessage::Text(text) = message else {
            return Err(MediaError::malformed("message", "is binary"));
        };
        let sid = self.stream.as_ref().map(|stream| stream.sid.as_str()).ok_or(MediaError::NotStarted)?;
        let ours = |stream: &str| {
            if stream == sid { Ok(()) } else { Err(MediaError::malformed("streamSid", "is another stream's")) }
        };
        match read_ours(text)? {
            ToTwilio::Media { stream, media } => {
                ours(&stream)?;
                decode_base64_into(&media.payload, &mut self.heard)
                    .map_err(|error| MediaError::malformed("media.payload", error))?;
                AudioFrame::new(FORMAT, &self.heard)
                    .map(MediaCommand::Audio)
                    .map_err(|error| MediaError::malformed("media.payload", error))
            }
            ToTwilio::Mark { stream, mark } => {
                ours(&stream)?;
                match mark.name {
                    Cow::Borrowed(name) => Ok(MediaCommand::Mark { name }),
                    Cow::Owned(name) => {
                        self.mark = name;
                        Ok(MediaCommand::Mark { name: &self.mark })
                    }
                }
            }
            ToTwilio::Clear { stream } => ours(&stream).map(|()| MediaCommand::Clear),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: &str = r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ1","start":{"streamSid":"MZ1","accountSid":"AC1",
        "callSid":"CA1","tracks":["inbound"],"customParameters":{"run":"77"},
        "mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}}}"#;

    fn started() -> TwilioMedia {
        let mut codec = TwilioMedia::default();
        codec.decode(WireMessage::Text(START)).unwrap();
        codec
    }

    fn texts(out: &WireBuffer) -> Vec<String> {
        out.iter()
            .map(|message| match message {
                WireMessage::Text(text) => text.to_owned(),
                WireMessage::Binary(bytes) => format!("{} binary bytes", bytes.len()),
            })
            .collect()
    }

    #[test]
    fn messages_as_twilio_documents_them() {
        let mut codec = TwilioMedia::default();
        let connected = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
        assert_eq!(codec.decode(WireMessage::Text(connected)), Ok(MediaEvent::Ignored));
        let Ok(MediaEvent::Started(start)) = codec.decode(WireMessage::Text(START)) else { panic!("no start") };
        assert_eq!(start.call.to_string(), "CA1");
        assert_eq!(start.stream_id.as_deref(), Some("MZ1"));
        assert_eq!(start.inbound, AudioFormat::MULAW_8K);
        assert_eq!(start.parameters["run"], "77");

        let usual = r#"{"event":"media","sequenceNumber":"4","media":{"track":"inbound","chunk":"2","timestamp":"40","payload":"f39/fw=="},"streamSid":"MZ1"}"#;
        let documented = r#"{ "event": "media", "sequenceNumber":"4","streamSid":"MZ1","media":{"track":"inbound","chunk":"2","timestamp":"40","payload":"f39\/fw=="}}"#;
        let swapped = r#"{"event":"media","sequenceNumber":"4","streamSid":"MZ1","media":{"track":"inbound","chunk":"2","timestamp":"40","payload":"f39/fw=="}}"#;
        for message in [usual, documented, swapped] {
            let Ok(MediaEvent::Audio(audio)) = codec.decode(WireMessage::Text(message)) else { panic!("{message}") };
            assert_eq!(audio.frame.bytes(), [0x7f; 4]);
            assert_eq!(audio.offset, Some(Duration::from_millis(40)));
        }
        let outbound = r#"{"event":"media","media":{"track":"outbound","payload":"f39/fw=="}}"#;
        assert_eq!(codec.decode(WireMessage::Text(outbound)), Ok(MediaEvent::Ignored));
        let dtmf =
            r#"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"9","dtmf":{"track":"inbound_track","digit":"5"}}"#;
        assert_eq!(codec.decode(WireMessage::Text(dtmf)), Ok(MediaEvent::Digit { digit: '5', duration: None }));
        let mark = r#"{"event":"mark","sequenceNumber":"12","streamSid":"MZ1","mark":{"name":"a \"b\""}}"#;
        assert_eq!(codec.decode(WireMessage::Text(mark)), Ok(MediaEvent::MarkReached { name: "a \"b\"" }));
        let new = r#"{"event":"brand-new","streamSid":"MZ1"}"#;
        assert_eq!(codec.decode(WireMessage::Text(new)), Ok(MediaEvent::Ignored));
        let stop =
            r#"{"event":"stop","sequenceNumber":"90","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#;
        assert_eq!(codec.decode(WireMessage::Text(stop)), Ok(MediaEvent::Stopped));
    }

    #[test]
    fn what_cannot_be_carried_is_refused() {
        let mut codec = TwilioMedia::default();
        let media = r#"{"event":"media","media":{"track":"inbound","timestamp":"0","payload":"f38="}}"#;
        assert_eq!(codec.decode(WireMessage::Text(media)), Err(MediaError::NotStarted));
        let other = START.replace("audio/x-mulaw", "audio/l16");
        assert!(codec.decode(WireMessage::Text(&other)).unwrap_err().is_fatal());
        assert!(codec.decode(WireMessage::Binary(&[1])).is_err());
        let mut out = WireBuffer::new();
        assert_eq!(codec.encode(MediaCommand::Clear, &mut out), Err(MediaError::NotStarted));

        let mut codec = started();
        assert!(codec.decode(WireMessage::Text(START)).is_err());
        for bad in [r#"{"event":"media","media":{"track":"inbound","timestamp":"0","payload":"%%"}}"#, "{", "", "[]"] {
            assert!(matches!(codec.decode(WireMessage::Text(bad)), Err(MediaError::Malformed { .. })), "{bad}");
        }
        let pcm = AudioFrame::new(AudioFormat::LINEAR16_8K, &[0; 4]).unwrap();
        assert!(matches!(codec.encode(MediaCommand::Audio(pcm), &mut out), Err(MediaError::FormatMismatch { .. })));
        assert!(out.is_empty());
        assert!(codec.encode(MediaCommand::Flush, &mut out).is_ok(), "a mistake does not end the stream");
    }

    #[test]
    fn commands_as_twilio_documents_them() {
        let mut codec = started();
        let mut out = WireBuffer::new();
        let audio = |length: usize| vec![0x7f; length];
        let short = audio(100);
        codec.encode(MediaCommand::Audio(AudioFrame::new(FORMAT, &short).unwrap()), &mut out).unwrap();
        assert!(out.is_empty(), "what does not fill a frame waits");
        codec.encode(MediaCommand::Mark { name: "utt-3" }, &mut out).unwrap();
        codec.encode(MediaCommand::Clear, &mut out).unwrap();
        let sent = texts(&out);
        let frame: serde_json::Value = serde_json::from_str(&sent[0]).unwrap();
        let mut bytes = Vec::new();
        decode_base64_into(frame["media"]["payload"].as_str().unwrap(), &mut bytes).unwrap();
        assert_eq!(bytes, [audio(100), vec![0xff; 60]].concat());
        assert_eq!(frame["streamSid"], "MZ1");
        assert_eq!(
            sent[1..],
            [r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"utt-3"}}"#, r#"{"event":"clear","streamSid":"MZ1"}"#]
        );
    }

    #[test]
    fn the_two_ends_understand_each_other() {
        let (mut ours, mut theirs) = (TwilioMedia::default(), CarrierEnd::default());
        let mut wire = WireBuffer::new();
        let start = StreamStart::new(CallRef::new("CA7".parse().unwrap()), FORMAT)
            .with_stream_id("MZ7")
            .with_parameters(BTreeMap::from([("run".to_owned(), "\"77\"".to_owned())]));
        let frame = AudioFrame::new(FORMAT, &[1, 2, 3]).unwrap();
        let events = [
            MediaEvent::Started(start),
            MediaEvent::Audio(MediaAudio::new(frame).at(Some(Duration::ZERO))),
            MediaEvent::Digit { digit: '#', duration: None },
            MediaEvent::MarkReached { name: "ü" },
            MediaEvent::Stopped,
        ];
        for event in &events {
            theirs.encode(event.clone(), &mut wire).unwrap();
        }
        let mut seen = 0;
        for message in wire.iter() {
            let event = ours.decode(message).unwrap();
            if event != MediaEvent::Ignored {
                assert_eq!(event, events[seen]);
                seen += 1;
            }
        }
        assert_eq!(seen, events.len());

        wire.clear();
        let frame = AudioFrame::new(FORMAT, &[9; 320]).unwrap();
        let commands = [MediaCommand::Audio(frame), MediaCommand::Mark { name: "\\" }, MediaCommand::Clear];
        for command in commands {
            ours.encode(command, &mut wire).unwrap();
        }
        let read: Vec<_> = wire.iter().map(|message| format!("{:?}", theirs.decode(message).unwrap())).collect();
        assert_eq!(read, commands.map(|command| format!("{command:?}")));
        assert!(theirs.decode(WireMessage::Text(r#"{"event":"clear","streamSid":"MZ8"}"#)).is_err());
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(text in ".*", bytes: Vec<u8>) {
            let mut codec = started();
            let _ = codec.decode(WireMessage::Text(&text));
            let _ = codec.decode(WireMessage::Text(&format!(r#"{{"event":"media",{text}}}}}"#)));
            let _ = codec.decode(WireMessage::Binary(&bytes));
        }

        #[test]
        fn audio_arrives_whole_whatever_its_pieces(pieces in proptest::collection::vec(0_usize..40_000, 0..8)) {
            let (mut ours, mut wire) = (started(), WireBuffer::new());
            let mut said = Vec::new();
            for (n, length) in pieces.into_iter().enumerate() {
                let piece = vec![n as u8; length];
                ours.encode(MediaCommand::Audio(AudioFrame::new(FORMAT, &piece).unwrap()), &mut wire).unwrap();
                said.extend(piece);
            }
            ours.encode(MediaCommand::Flush, &mut wire).unwrap();
            said.resize(said.len().next_multiple_of(FRAME), SILENCE);
            let mut heard = Vec::new();
            let mut carrier = CarrierEnd::default();
            carrier.encode(
                MediaEvent::Started(StreamStart::new(CallRef::unnamed(), FORMAT).with_stream_id("MZ1")),
                &mut WireBuffer::new(),
            ).unwrap();
            for message in wire.iter() {
                if let WireMessage::Text(text) = message {
                    prop_assert!(text.len() < 64_000);
                }
                let MediaCommand::Audio(frame) = carrier.decode(message).unwrap() else { panic!("not audio") };
                prop_assert_eq!(frame.bytes().len() % FRAME, 0);
                heard.extend_from_slice(frame.bytes());
            }
            prop_assert_eq!(heard, said);
        }
    }
}
