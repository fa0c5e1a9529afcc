//! Audio streaming: JSON text messages with base64 audio inside, over a WebSocket that Plivo opens.
//!
//! Source: <https://www.plivo.com/docs/voice/concepts/audio-streaming>, and the message types of Plivo's own stream library for
//! Python. Plivo says `start`, then `media` and `dtmf` as they come, `playedStream` for a checkpoint that was reached and
//! `clearedAudio`. We say `playAudio`, `checkpoint` and `clearAudio`. The format is the one that our document asked for; what
//! `start` says is what counts.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use telephony_core::{
    CallId, CallRef, MediaCodec, MediaCommand, MediaError, MediaEvent, WireBuffer, WireMessage,
    audio::{AudioFormat, AudioFrame, Encoding},
    decode_base64_into,
    media::{CarrierMediaCodec, FrameQueue, MediaAudio, StreamStart, dtmf_digit, read_json},
};

const FRAME: Duration = Duration::from_millis(20);

/// The most audio in one message: 16 kB of base64 are advised.
const LONGEST: Duration = Duration::from_millis(300);

/// The `contentType` with which a document asks for a format.
pub(crate) fn stream_content_type(format: AudioFormat) -> String {
    format!("{};rate={}", content_type(format), format.sample_rate_hz)
}

/// A format's name inside messages, which has no rate.
fn content_type(format: AudioFormat) -> &'static str {
    if format.encoding == Encoding::Mulaw { "audio/x-mulaw" } else { "audio/x-l16" }
}

/// The format by its names, if it is one that we can carry.
fn format_of(content_type: &str, sample_rate: u32) -> Option<AudioFormat> {
    // Some pages repeat the rate behind the type.
    match (content_type.split(';').next().unwrap_or_default(), sample_rate) {
        ("audio/x-mulaw", 8_000) => Some(AudioFormat::MULAW_8K),
        ("audio/x-l16", 8_000) => Some(AudioFormat::LINEAR16_8K),
        ("audio/x-l16", 16_000) => Some(AudioFormat::LINEAR16_16K),
        _ => None,
    }
}

/// Our end.
#[derive(Debug, Default)]
pub(crate) struct PlivoMedia {
    stream: Option<OurStream>,
    queue: FrameQueue,
    /// The audio of the message decoded last.
    heard: Vec<u8>,
    /// The name of the checkpoint decoded last, if it had to be unescaped.
    mark: String,
}

#[derive(Debug)]
struct OurStream {
    /// As a JSON string.
    id: String,
    format: AudioFormat,
    /// `{"event":"playAudio",…,"payload":"`
    play: String,
    /// The time of the first audio, in milliseconds: since 1970 says one page, since the start another.
    began: Option<u64>,
}

impl OurStream {
    fn new(id: &str, format: AudioFormat) -> Self {
        let (content_type, rate) = (content_type(format), format.sample_rate_hz);
        let play = format!(
            r#"{{"event":"playAudio","media":{{"contentType":"{content_type}","sampleRate":{rate},"payload":""#
        );
        Self { id: Value::from(id).to_string(), format, play, began: None }
    }

    fn send(&self, frames: &[u8], out: &mut WireBuffer) {
        for piece in frames.chunks(self.format.bytes_in(LONGEST)) {
            out.text().push_str(&self.play).push_base64(piece).push_str(r#""}}"#);
        }
    }

    fn flush(&self, queue: &mut FrameQueue, out: &mut WireBuffer) {
        queue.flush(self.format.bytes_in(FRAME), self.format.silence_byte(), |frame| self.send(frame, out));
    }
}

impl MediaCodec for PlivoMedia {
    fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaEvent<'a>, MediaError> {
        let WireMessage::Text(text) = message else {
            return Err(MediaError::malformed("message", "is binary; the protocol has text messages only"));
        };
        match read(text)? {
            FromPlivo::Start { .. } if self.stream.is_some() => {
                Err(MediaError::malformed("event", "is a second start"))
            }
            FromPlivo::Start { start, extra_headers } => {
                let started = start.read(&extra_headers)?;
                self.stream = Some(OurStream::new(&start.stream_id, started.inbound));
                Ok(MediaEvent::Started(started))
            }
            // A two-way stream carries the other party only; a one-way stream may carry both.
            FromPlivo::Media { media } if media.track.as_deref() == Some("outbound") => Ok(MediaEvent::Ignored),
            FromPlivo::Media { media } => {
                let stream = self.stream.as_mut().ok_or(MediaError::NotStarted)?;
                decode_base64_into(&media.payload, &mut self.heard)
                    .map_err(|error| MediaError::malformed("media.payload", error))?;
                let frame = AudioFrame::new(stream.format, &self.heard)
                    .map_err(|error| MediaError::malformed("media.payload", error))?;
                let time: Option<u64> = media.timestamp.and_then(|text| text.parse().ok());
                let offset = time.map(|time| time.saturating_sub(*stream.began.get_or_insert(time)));
                Ok(MediaEvent::Audio(MediaAudio::new(frame).at(offset.map(Duration::from_millis))))
            }
            FromPlivo::Dtmf { dtmf } => match dtmf_digit(&dtmf.digit) {
                Some(digit) => Ok(MediaEvent::Digit { digit, duration: None }),
                None => Err(MediaError::malformed("dtmf.digit", "is no digit")),
            },
            FromPlivo::PlayedStream { name: Cow::Borrowed(name) } => Ok(MediaEvent::MarkReached { name }),
            FromPlivo::PlayedStream { name: Cow::Owned(name) } => {
                self.mark = name;
                Ok(MediaEvent::MarkReached { name: &self.mark })
            }
            FromPlivo::ClearedAudio => Ok(MediaEvent::Cleared),
            FromPlivo::Stop => Ok(MediaEvent::Stopped),
            FromPlivo::Other => Ok(MediaEvent::Ignored),
        }
    }

    fn encode(&mut self, command: MediaCommand<'_>, out: &mut WireBuffer) -> Result<(), MediaError> {
        let stream = self.stream.as_ref().ok_or(MediaError::NotStarted)?;
        match command {
            MediaCommand::Audio(frame) if frame.format() != stream.format => {
                return Err(MediaError::FormatMismatch { expected: stream.format, given: frame.format() });
            }
            MediaCommand::Audio(frame) => {
                let length = stream.format.bytes_in(FRAME);
                self.queue.push(length, frame.bytes(), |frames| stream.send(frames, out));
            }
            MediaCommand::Flush => stream.flush(&mut self.queue, out),
            MediaCommand::Mark { name } => {
                stream.flush(&mut self.queue, out);
                out.text()
                    .push_str(r#"{"event":"checkpoint","streamId":"#)
                    .push_str(&stream.id)
                    .push_str(r#","name":"#)
                    .push_json_string(name)
                    .push_str("}");
            }
            MediaCommand::Clear => {
                self.queue.clear();
                out.text().push_str(r#"{"event":"clearAudio","streamId":"#).push_str(&stream.id).push_str("}");
            }
            _ => {}
        }
        Ok(())
    }
}

/// What Plivo says.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "camelCase")]
enum FromPlivo<'a> {
    Start {
        #[serde(borrow)]
        start: Start<'a>,
        #[serde(default)]
        extra_headers: Value,
    },
    Media {
        #[serde(borrow)]
        media: Media<'a>,
    },
    Dtmf {
        #[serde(borrow)]
        dtmf: Dtmf<'a>,
    },
    /// One of Plivo's pages calls it `played`.
    #[serde(alias = "played")]
    PlayedStream {
        #[serde(borrow)]
        name: Cow<'a, str>,
    },
    ClearedAudio,
    Stop,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start<'a> {
    #[serde(borrow)]
    call_id: Cow<'a, str>,
    #[serde(borrow)]
    stream_id: Cow<'a, str>,
    #[serde(borrow)]
    media_format: MediaFormat<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MediaFormat<'a> {
    #[serde(borrow)]
    encoding: Cow<'a, str>,
    sample_rate: u32,
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

/// The usual message with audio, whose members are read where they stand. [`FromPlivo`] copies them all until it knows the `event`.
#[derive(Deserialize)]
struct Usual<'a> {
    #[serde(rename = "event")]
    _event: OnlyMedia,
    #[serde(borrow)]
    media: UsualMedia<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnlyMedia {
    Media,
}

/// [`Media`] without a character that is escaped.
#[derive(Deserialize)]
struct UsualMedia<'a> {
    #[serde(default)]
    track: Option<&'a str>,
    #[serde(default)]
    timestamp: Option<&'a str>,
    payload: &'a str,
}

#[derive(Deserialize)]
struct Dtmf<'a> {
    #[serde(borrow)]
    digit: Cow<'a, str>,
}

impl Start<'_> {
    fn read(&self, headers: &Value) -> Result<StreamStart, MediaError> {
        let MediaFormat { encoding, sample_rate } = &self.media_format;
        let format = format_of(encoding, *sample_rate).ok_or_else(|| {
            MediaError::UnsupportedFormat(format!(
                "{encoding} at {sample_rate} Hz, not audio/x-mulaw at 8000 or audio/x-l16 at 8000 or 16000 Hz"
            ))
        })?;
        let call = CallId::new(&*self.call_id).map_err(|error| MediaError::malformed("start.callId", error))?;
        Ok(StreamStart::new(CallRef::new(call), format)
            .with_stream_id(&*self.stream_id)
            .with_parameters(parameters(headers)))
    }
}

/// The parameters of our document: a text that holds JSON, or the list `k=v,k=v` that we wrote, as pages differ; or the object
/// itself. We percent-encoded them. A stream does not fail for parameters of another kind.
fn parameters(headers: &Value) -> BTreeMap<String, String> {
    let decoded = |text: &str| {
        let whole = format!("v={text}");
        url::form_urlencoded::parse(whole.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let of_object = |object: &serde_json::Map<String, Value>| {
        let pairs = object
            .iter()
            .map(|(name, value)| (decoded(name), value.as_str().map_or_else(|| value.to_string(), decoded)));
        pairs.collect()
    };
    match headers {
        Value::Object(object) => of_object(object),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(object)) => of_object(&object),
            _ => text
                .split([',', ';'])
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (decoded(name.trim()), decoded(value.trim())))
                .collect(),
        },
        _ => BTreeMap::new(),
    }
}

/// Reads what Plivo says. A message with audio takes no memory.
fn read(text: &str) -> Result<FromPlivo<'_>, MediaError> {
    let Ok(Usual { media, .. }) = serde_json::from_str(text) else { return read_json(text) };
    let (track, timestamp) = (media.track.map(Cow::Borrowed), media.timestamp.map(Cow::Borrowed));
    Ok(FromPlivo::Media { media: Media { track, timestamp, payload: Cow::Borrowed(media.payload) } })
}

/// Plivo's end: for the simulator, and for agents that were written for Plivo.
#[derive(Debug, Default)]
pub(crate) struct CarrierEnd {
    stream: Option<CarrierStream>,
    /// The audio of the message decoded last.
    heard: Vec<u8>,
    /// The name or the digits of the message decoded last.
    mark: String,
}

#[derive(Debug)]
struct CarrierStream {
    id: String,
    format: AudioFormat,
    /// Of the next message.
    sequence: u64,
    /// Of the next media message.
    chunk: u64,
    /// Bytes of audio sent.
    sent: usize,
}

/// What we say to Plivo.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "camelCase")]
enum ToPlivo<'a> {
    PlayAudio {
        #[serde(borrow)]
        media: PlayedMedia<'a>,
    },
    Checkpoint {
        #[serde(borrow, rename = "streamId")]
        stream: Cow<'a, str>,
        #[serde(borrow)]
        name: Cow<'a, str>,
    },
    ClearAudio {
        #[serde(borrow, rename = "streamId")]
        stream: Cow<'a, str>,
    },
    #[serde(rename = "sendDTMF")]
    SendDtmf {
        #[serde(borrow)]
        dtmf: Cow<'a, str>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlayedMedia<'a> {
    #[serde(borrow)]
    content_type: Cow<'a, str>,
    #[serde(deserialize_with = "number_or_text")]
    sample_rate: u32,
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

/// One of Plivo's pages writes the rate as a text.
fn number_or_text<'de, D: serde::Deserializer<'de>>(rate: D) -> Result<u32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Rate<'a> {
        Number(u32),
        Text(Cow<'a, str>),
    }
    match Rate::deserialize(rate)? {
        Rate::Number(rate) => Ok(rate),
        Rate::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

/// The usual message with audio; see [`Usual`].
#[derive(Deserialize)]
struct UsualPlayed<'a> {
    #[serde(rename = "event")]
    _event: OnlyPlayAudio,
    #[serde(borrow)]
    media: PlayedMedia<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum OnlyPlayAudio {
    PlayAudio,
}

fn read_ours(text: &str) -> Result<ToPlivo<'_>, MediaError> {
    match serde_json::from_str(text) {
        Ok(UsualPlayed { media, .. }) => Ok(ToPlivo::PlayAudio { media }),
        Err(_) => read_json(text),
    }
}

impl CarrierStream {
    /// Writes a message with audio, without taking memory for it.
    fn audio(&mut self, frame: AudioFrame<'_>, out: &mut WireBuffer) -> Result<(), MediaError> {
        if frame.format() != self.format {
            return Err(MediaError::FormatMismatch { expected: self.format, given: frame.format() });
        }
        let time = self.format.duration_of_bytes(self.sent).as_millis();
        out.text()
            .push_str(r#"{"event":"media","sequenceNumber":"#)
            .push_number(self.sequence)
            .push_str(r#","streamId":"#)
            .push_json_string(&self.id)
            .push_str(r#","media":{"track":"inbound","timestamp":""#)
            .push_number(u64::try_from(time).unwrap_or(u64::MAX))
            .push_str(r#"","chunk":"#)
            .push_number(self.chunk)
            .push_str(r#","payload":""#)
            .push_base64(frame.bytes())
            .push_str(r#""}}"#);
        self.sequence += 1;
        self.chunk += 1;
        self.sent += frame.bytes().len();
        Ok(())
    }
}

impl CarrierMediaCodec for CarrierEnd {
    fn encode(&mut self, event: MediaEvent<'_>, out: &mut WireBuffer) -> Result<(), MediaError> {
        if let MediaEvent::Started(start) = event {
            let id = start.stream_id.unwrap_or_else(|| "00000000-0000-4000-8000-000000000000".to_owned());
            let call = start.call.id().map_or_else(String::new, ToString::to_string);
            let escape = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let headers: BTreeMap<String, String> =
                start.parameters.iter().map(|(name, value)| (escape(name), escape(value))).collect();
            let message = serde_json::json!({
                "sequenceNumber": 1, "event": "start",
                "start": {
                    "callId": call, "streamId": id, "accountId": "MAXXXXXXXXXXXXXXXXXX", "tracks": ["inbound"],
                    "mediaFormat": {
                        "encoding": content_type(start.inbound), "sampleRate": start.inbound.sample_rate_hz.get(),
                    },
                },
                "extra_headers": serde_json::json!(headers).to_string(),
            });
            out.text().push_str(&message.to_string());
            self.stream = Some(CarrierStream { id, format: start.inbound, sequence: 2, chunk: 1, sent: 0 });
            return Ok(());
        }
        let stream = self.stream.as_mut().ok_or(MediaError::NotStarted)?;
        if let MediaEvent::Audio(audio) = event {
            return stream.audio(audio.frame, out);
        }
        let mut message = serde_json::json!({"sequenceNumber": stream.sequence, "streamId": stream.id});
        match event {
            MediaEvent::Digit { digit, .. } => {
                message["event"] = "dtmf".into();
                message["dtmf"] = serde_json::json!({"track": "inbound", "digit": digit, "timestamp": "0"});
            }
            MediaEvent::MarkReached { name } => {
                message["event"] = "playedStream".into();
                message["name"] = name.into();
            }
            MediaEvent::Cleared => message["event"] = "clearedAudio".into(),
            _ => return Ok(()), // The end of the stream is the end of the socket.
        }
        stream.sequence += 1;
        out.text().push_str(&message.to_string());
        Ok(())
    }

    fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaCommand<'a>, MediaError> {
        let WireMessage::Text(text) = message else {
            return Err(MediaError::malformed("message", "is binary"));
        };
        let stream = self.stream.as_ref().ok_or(MediaError::NotStarted)?;
        let ours = |id: &str| {
            if id == stream.id { Ok(()) } else { Err(MediaError::malformed("streamId", "is another stream's")) }
        };
        match read_ours(text)? {
            ToPlivo::PlayAudio { media } => {
                let rate = stream.format.sample_rate_hz.get();
                if (&*media.content_type, media.sample_rate) != (content_type(stream.format), rate) {
                    return Err(MediaError::malformed("media.contentType", "is not the stream's own format"));
                }
                decode_base64_into(&media.payload, &mut self.heard)
                    .map_err(|error| MediaError::malformed("media.payload", error))?;
                AudioFrame::new(stream.format, &self.heard)
                    .map(MediaCommand::Audio)
                    .map_err(|error| MediaError::malformed("media.payload", error))
            }
            ToPlivo::Checkpoint { stream, name } => {
                ours(&stream)?;
                match name {
                    Cow::Borrowed(name) => Ok(MediaCommand::Mark { name }),
                    Cow::Owned(name) => {
                        self.mark = name;
                        Ok(MediaCommand::Mark { name: &self.mark })
                    }
                }
            }
            ToPlivo::ClearAudio { stream } => ours(&stream).map(|()| MediaCommand::Clear),
            ToPlivo::SendDtmf { dtmf } => {
                self.mark = dtmf.into_owned();
                Ok(MediaCommand::Digits { digits: &self.mark })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: &str = r#"{"sequenceNumber":1,"event":"start","start":{"callId":"c1","streamId":"s1","accountId":"MAXXXXXXXXXXXXXXXXXX",
        "tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-l16","sampleRate":16000}},"extra_headers":"{\"run\":\"77\"}"}"#;

    fn started() -> PlivoMedia {
        let mut codec = PlivoMedia::default();
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
    fn messages_as_plivo_documents_them() {
        let mut codec = PlivoMedia::default();
        let Ok(MediaEvent::Started(start)) = codec.decode(WireMessage::Text(START)) else { panic!("no start") };
        assert_eq!((start.call.to_string().as_str(), start.stream_id.as_deref()), ("c1", Some("s1")));
        assert_eq!((start.inbound, start.outbound), (AudioFormat::LINEAR16_16K, AudioFormat::LINEAR16_16K));
        assert_eq!(start.parameters["run"], "77");
        for (timestamp, offset) in [("1784020502412", 0), ("1784020502432", 20)] {
            let media = format!(
                r#"{{"sequenceNumber":2,"streamId":"s1","event":"media","media":{{"track":"inbound","timestamp":"{timestamp}","chunk":1,"payload":"f39/fw=="}},"extra_headers":"{{}}"}}"#
            );
            let Ok(MediaEvent::Audio(audio)) = codec.decode(WireMessage::Text(&media)) else { panic!("no audio") };
            assert_eq!(audio.frame.bytes(), [0x7f; 4]);
            assert_eq!(audio.offset, Some(Duration::from_millis(offset)));
        }
        let said = [
            (
                r#"{"sequenceNumber":9,"streamId":"s1","event":"dtmf","dtmf":{"track":"inbound","digit":"5","timestamp":"1784020505112"}}"#,
                MediaEvent::Digit { digit: '5', duration: None },
            ),
            (
                r#"{"sequenceNumber":"12","streamId":"s1","event":"playedStream","name":"utt-3"}"#,
                MediaEvent::MarkReached { name: "utt-3" },
            ),
            (r#"{"event":"played","streamId":"s1","name":"utt-4"}"#, MediaEvent::MarkReached { name: "utt-4" }),
            (r#"{"sequenceNumber":13,"streamId":"s1","event":"clearedAudio"}"#, MediaEvent::Cleared),
            (r#"{"event":"stop"}"#, MediaEvent::Stopped),
            (r#"{"event":"brand-new"}"#, MediaEvent::Ignored),
        ];
        for (text, event) in said {
            assert_eq!(codec.decode(WireMessage::Text(text)), Ok(event), "{text}");
        }
    }

    #[test]
    fn parameters_in_each_of_their_forms() {
        let run = BTreeMap::from([("run".to_owned(), "7, \"7\"".to_owned()), ("org".to_owned(), "4".to_owned())]);
        for text in [
            r#"{"run":"7%2C+%227%22","org":"4"}"#,
            "run=7%2C+%227%22,org=4",
            "run=7%2C+%227%22; org=4",
            r#"{"run":"7%2C+%227%22","org":4}"#,
        ] {
            assert_eq!(parameters(&text.into()), run, "{text}");
        }
        assert_eq!(parameters(&serde_json::json!({"run": "7%2C+%227%22", "org": 4})), run);
        for nothing in [Value::Null, "".into(), "{}".into(), "null".into(), 7.into()] {
            assert!(parameters(&nothing).is_empty(), "{nothing}");
        }
        // A start without them, and one of another kind, is a start.
        for headers in [String::new(), r#","extra_headers":null"#.into(), r#","extra_headers":{"run":"77"}"#.into()] {
            let start = START.replace(r#","extra_headers":"{\"run\":\"77\"}""#, &headers);
            let mut codec = PlivoMedia::default();
            assert!(matches!(codec.decode(WireMessage::Text(&start)), Ok(MediaEvent::Started(_))), "{start}");
        }
    }

    #[test]
    fn what_cannot_be_carried_is_refused() {
        let mut codec = PlivoMedia::default();
        let media = r#"{"event":"media","media":{"track":"inbound","timestamp":"0","payload":"f38="}}"#;
        assert_eq!(codec.decode(WireMessage::Text(media)), Err(MediaError::NotStarted));
        for other in [START.replace("16000", "24000"), START.replace("x-l16", "opus")] {
            assert!(codec.decode(WireMessage::Text(&other)).unwrap_err().is_fatal());
        }
        assert!(codec.decode(WireMessage::Binary(&[1])).is_err());
        let mut out = WireBuffer::new();
        assert_eq!(codec.encode(MediaCommand::Clear, &mut out), Err(MediaError::NotStarted));
        let mut codec = started();
        assert!(codec.decode(WireMessage::Text(START)).is_err());
        for bad in [
            r#"{"event":"media","media":{"payload":"%%"}}"#,
            r#"{"event":"media","media":{"payload":"fw=="}}"#,
            "{",
            "",
        ] {
            assert!(matches!(codec.decode(WireMessage::Text(bad)), Err(MediaError::Malformed { .. })), "{bad}");
        }
        let mulaw = AudioFrame::new(AudioFormat::MULAW_8K, &[0; 4]).unwrap();
        assert!(matches!(codec.encode(MediaCommand::Audio(mulaw), &mut out), Err(MediaError::FormatMismatch { .. })));
        assert!(out.is_empty());
    }

    #[test]
    fn commands_as_plivo_documents_them() {
        let mut codec = started();
        let mut out = WireBuffer::new();
        let whole = vec![0x7f; 640];
        let frame = AudioFrame::new(AudioFormat::LINEAR16_16K, &whole).unwrap();
        codec.encode(MediaCommand::Audio(frame), &mut out).unwrap();
        codec.encode(MediaCommand::Mark { name: "utt-3" }, &mut out).unwrap();
        codec.encode(MediaCommand::Clear, &mut out).unwrap();
        let sent = texts(&out);
        let payload = telephony_core::signing::base64_encode(&whole);
        let play = format!(
            r#"{{"event":"playAudio","media":{{"contentType":"audio/x-l16","sampleRate":16000,"payload":"{payload}"}}}}"#
        );
        assert_eq!(
            sent,
            [
                play.as_str(),
                r#"{"event":"checkpoint","streamId":"s1","name":"utt-3"}"#,
                r#"{"event":"clearAudio","streamId":"s1"}"#
            ]
        );
    }

    /// What Plivo's own stream library for Python (commit 91644e9) and Pipecat's serializer (1.14.0) write, and what is documented
    /// besides.
    #[test]
    fn messages_of_agents_that_were_written_for_plivo() {
        let mut carrier = CarrierEnd::default();
        let start = StreamStart::new(CallRef::unnamed(), AudioFormat::MULAW_8K).with_stream_id("s1");
        carrier.encode(MediaEvent::Started(start), &mut WireBuffer::new()).unwrap();
        let audio = AudioFrame::new(AudioFormat::MULAW_8K, &[0x7f; 4]).unwrap();
        for (text, command) in [
            (
                r#"{"event": "playAudio", "media": {"contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": "f39/fw=="}}"#,
                MediaCommand::Audio(audio),
            ),
            (
                r#"{"event": "playAudio", "media": {"contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": "f39/fw=="}, "streamId": "s1"}"#,
                MediaCommand::Audio(audio),
            ),
            (
                r#"{"event":"playAudio","media":{"contentType":"audio/x-mulaw","sampleRate":"8000","payload":"f39/fw=="}}"#,
                MediaCommand::Audio(audio),
            ),
            (r#"{"event": "checkpoint", "streamId": "s1", "name": "utt-3"}"#, MediaCommand::Mark { name: "utt-3" }),
            (r#"{"event": "clearAudio", "streamId": "s1"}"#, MediaCommand::Clear),
            (r#"{"event": "sendDTMF", "dtmf": "12#"}"#, MediaCommand::Digits { digits: "12#" }),
        ] {
            assert_eq!(carrier.decode(WireMessage::Text(text)), Ok(command), "{text}");
        }
        // Plivo would play none of these.
        for text in [
            r#"{"event":"playAudio","media":{"contentType":"audio/x-mulaw;rate=8000","sampleRate":8000,"payload":"f38="}}"#,
            r#"{"event":"playAudio","media":{"contentType":"audio/x-l16","sampleRate":16000,"payload":"f38="}}"#,
            r#"{"event":"clearAudio","streamId":"another"}"#,
            r#"{"event":"brand-new"}"#,
        ] {
            assert!(matches!(carrier.decode(WireMessage::Text(text)), Err(MediaError::Malformed { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(text in ".*", bytes: Vec<u8>) {
            let mut codec = started();
            let _ = codec.decode(WireMessage::Text(&text));
            let _ = codec.decode(WireMessage::Binary(&bytes));
            let _ = parameters(&text.into());
        }

        #[test]
        fn audio_arrives_whole_whatever_its_pieces(pieces in proptest::collection::vec(0_usize..20_000, 0..8)) {
            let (mut ours, mut wire) = (started(), WireBuffer::new());
            let mut said = Vec::new();
            for (n, samples) in pieces.into_iter().enumerate() {
                let piece = vec![n as u8; 2 * samples];
                let frame = AudioFrame::new(AudioFormat::LINEAR16_16K, &piece).unwrap();
                ours.encode(MediaCommand::Audio(frame), &mut wire).unwrap();
                said.extend(piece);
            }
            ours.encode(MediaCommand::Flush, &mut wire).unwrap();
            said.resize(said.len().next_multiple_of(640), 0);
            let mut carrier = CarrierEnd::default();
            let start = StreamStart::new(CallRef::unnamed(), AudioFormat::LINEAR16_16K).with_stream_id("s1");
            carrier.encode(MediaEvent::Started(start), &mut WireBuffer::new()).unwrap();
            let mut heard = Vec::new();
            for message in wire.iter() {
                if let WireMessage::Text(text) = message {
                    prop_assert!(text.len() < 16_384);
                }
                let MediaCommand::Audio(frame) = carrier.decode(message).unwrap() else { panic!("not audio") };
                heard.extend_from_slice(frame.bytes());
            }
            prop_assert_eq!(heard, said);
        }
    }
}
