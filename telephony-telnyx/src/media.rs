//! Media streaming: JSON text messages with base64 audio inside, over a WebSocket that Telnyx opens.
//!
//! Source: <https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming>. Telnyx says `connected`, `start`, then
//! `media` and `dtmf` as they come, and `mark` once what was sent before it has been played. We say `media`, `mark` and `clear`.
//! **The two directions may differ**: what comes is in the codec of the call, which `start` names; what we send is in the one that
//! the stream was asked for, which only our own parameter [`OUTBOUND`] says, or else our own state of the call. The audio is the
//! codec's raw payload; of `L16` the low byte comes first, contrary to RFC 3551, as everyone who interoperates has it.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use telephony_core::{
    CallId, CallRef, MediaCodec, MediaCommand, MediaError, MediaEvent, WireBuffer, WireMessage,
    audio::{AudioFormat, AudioFrame, Encoding},
    decode_base64_into,
    media::{CarrierMediaCodec, FrameQueue, MediaAudio, StreamStart, dtmf_digit, read_json},
};

use crate::webhook::{SESSION, State};

/// The parameter of a stream that holds the format of what we send: `L16/16000`.
pub(crate) const OUTBOUND: &str = "telnyx_outbound";

const FRAME: Duration = Duration::from_millis(20);

/// The most audio in one message. Telnyx takes 30 s; shorter ones can be cleared sooner.
const LONGEST: Duration = Duration::from_secs(1);

/// A format's name and rate.
pub(crate) fn codec_of(format: AudioFormat) -> (&'static str, u32) {
    let name = match format.encoding {
        Encoding::Mulaw => "PCMU",
        Encoding::Alaw => "PCMA",
        _ => "L16",
    };
    (name, format.sample_rate_hz.get())
}

/// The format as a parameter.
pub(crate) fn name_of(format: AudioFormat) -> String {
    let (codec, rate) = codec_of(format);
    format!("{codec}/{rate}")
}

fn format_of(codec: &str, rate: u32) -> Option<AudioFormat> {
    match (codec, rate) {
        ("PCMU", 8_000) => Some(AudioFormat::MULAW_8K),
        ("PCMA", 8_000) => Some(AudioFormat::ALAW_8K),
        ("L16", 8_000) => Some(AudioFormat::LINEAR16_8K),
        ("L16", 16_000) => Some(AudioFormat::LINEAR16_16K),
        ("L16", 24_000) => Some(AudioFormat::LINEAR16_24K),
        ("L16", 48_000) => Some(AudioFormat::LINEAR16_48K),
        _ => None,
    }
}

fn supported(codec: &str, rate: u32) -> Result<AudioFormat, MediaError> {
    format_of(codec, rate).ok_or_else(|| {
        MediaError::UnsupportedFormat(format!(
            "{codec} at {rate} Hz, not PCMU or PCMA at 8000 or L16 at 8000, 16000, 24000 or 48000 Hz"
        ))
    })
}

/// Our end.
#[derive(Debug, Default)]
pub(crate) struct TelnyxMedia {
    stream: Option<OurStream>,
    queue: FrameQueue,
    /// The audio of the message decoded last.
    heard: Vec<u8>,
    /// The text of the message decoded last, if it had to be unescaped.
    text: String,
}

#[derive(Clone, Copy, Debug)]
struct OurStream {
    inbound: AudioFormat,
    outbound: AudioFormat,
}

impl OurStream {
    fn send(self, frames: &[u8], out: &mut WireBuffer) {
        for piece in frames.chunks(self.outbound.bytes_in(LONGEST)) {
            out.text().push_str(r#"{"event":"media","media":{"payload":""#).push_base64(piece).push_str(r#""}}"#);
        }
    }

    fn flush(self, queue: &mut FrameQueue, out: &mut WireBuffer) {
        queue.flush(self.outbound.bytes_in(FRAME), self.outbound.silence_byte(), |frame| self.send(frame, out));
    }
}

impl MediaCodec for TelnyxMedia {
    fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaEvent<'a>, MediaError> {
        let WireMessage::Text(text) = message else {
            return Err(MediaError::malformed("message", "is binary; the protocol has text messages only"));
        };
        match read(text)? {
            FromTelnyx::Start { .. } if self.stream.is_some() => {
                Err(MediaError::malformed("event", "is a second start"))
            }
            FromTelnyx::Start { start, stream_id } => {
                let started = start.read(stream_id.as_deref())?;
                self.stream = Some(OurStream { inbound: started.inbound, outbound: started.outbound });
                Ok(MediaEvent::Started(started))
            }
            // We ask for the other party only; a stream that somebody else started may carry both.
            FromTelnyx::Media { media } if media.track.as_deref() == Some("outbound") => Ok(MediaEvent::Ignored),
            FromTelnyx::Media { media } => {
                let stream = self.stream.as_ref().ok_or(MediaError::NotStarted)?;
                decode_base64_into(&media.payload, &mut self.heard)
                    .map_err(|error| MediaError::malformed("media.payload", error))?;
                let frame = AudioFrame::new(stream.inbound, &self.heard)
                    .map_err(|error| MediaError::malformed("media.payload", error))?;
                let offset = media.timestamp.map(Duration::from_millis);
                Ok(MediaEvent::Audio(MediaAudio::new(frame).at(offset)))
            }
            FromTelnyx::Dtmf { dtmf } => match dtmf_digit(&dtmf.digit) {
                Some(digit) => Ok(MediaEvent::Digit { digit, duration: None }),
                None => Err(MediaError::malformed("dtmf.digit", "is no digit")),
            },
            FromTelnyx::Mark { mark: Named { name: Cow::Borrowed(name) } } => Ok(MediaEvent::MarkReached { name }),
            FromTelnyx::Mark { mark: Named { name: Cow::Owned(name) } } => {
                self.text = name;
                Ok(MediaEvent::MarkReached { name: &self.text })
            }
            FromTelnyx::Error { payload } => {
                self.text = format!("{} {}: {}", plain(&payload.code), payload.title, payload.detail);
                Ok(MediaEvent::Problem { message: &self.text })
            }
            FromTelnyx::Stop => Ok(MediaEvent::Stopped),
            FromTelnyx::Other => Ok(MediaEvent::Ignored),
        }
    }

    fn encode(&mut self, command: MediaCommand<'_>, out: &mut WireBuffer) -> Result<(), MediaError> {
        let stream = self.stream.ok_or(MediaError::NotStarted)?;
        match command {
            MediaCommand::Audio(frame) if frame.format() != stream.outbound => {
                return Err(MediaError::FormatMismatch { expected: stream.outbound, given: frame.format() });
            }
            MediaCommand::Audio(frame) => {
                self.queue.push(stream.outbound.bytes_in(FRAME), frame.bytes(), |frames| stream.send(frames, out));
            }
            MediaCommand::Flush => stream.flush(&mut self.queue, out),
            MediaCommand::Mark { name } => {
                stream.flush(&mut self.queue, out);
                out.text().push_str(r#"{"event":"mark","mark":{"name":"#).push_json_string(name).push_str("}}");
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

/// What Telnyx says.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum FromTelnyx<'a> {
    Start {
        #[serde(borrow)]
        start: Start<'a>,
        #[serde(borrow, default)]
        stream_id: Option<Cow<'a, str>>,
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
        mark: Named<'a>,
    },
    Error {
        payload: Complaint,
    },
    Stop,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow)]
    call_control_id: Cow<'a, str>,
    #[serde(borrow, default)]
    call_session_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    client_state: Option<Cow<'a, str>>,
    #[serde(default)]
    custom_parameters: Value,
    #[serde(borrow)]
    media_format: MediaFormat<'a>,
}

#[derive(Deserialize)]
struct MediaFormat<'a> {
    #[serde(borrow)]
    encoding: Cow<'a, str>,
    sample_rate: u32,
}

#[derive(Deserialize)]
struct Media<'a> {
    #[serde(borrow, default)]
    track: Option<Cow<'a, str>>,
    /// Milliseconds: a text, and no reason to lose audio where it is something else.
    #[serde(default, deserialize_with = "millis")]
    timestamp: Option<u64>,
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

/// The usual message with audio, whose members are read where they stand. [`FromTelnyx`] copies them all until it knows the `event`.
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

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Complaint {
    /// A number, or a text.
    code: Value,
    title: String,
    detail: String,
}

fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_u64().or_else(|| value.as_str()?.parse().ok()))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Start<'_> {
    fn read(&self, stream_id: Option<&str>) -> Result<StreamStart, MediaError> {
        let mut parameters = parameters(&self.custom_parameters);
        let inbound = supported(&self.media_format.encoding, self.media_format.sample_rate)?;
        // That the parameters come back is documented of no message: the state is. Where the stream was started by somebody
        // else, it is Telnyx's own default.
        let state = || State::decode(self.client_state.as_deref()?)?.outbound;
        let outbound = match parameters.remove(OUTBOUND).or_else(state) {
            Some(name) => {
                let (codec, rate) = name.split_once('/').unwrap_or((&name, "0"));
                supported(codec, rate.parse().unwrap_or(0))?
            }
            None => AudioFormat::MULAW_8K,
        };
        let id = CallId::new(&*self.call_control_id)
            .map_err(|error| MediaError::malformed("start.call_control_id", error))?;
        let mut call = CallRef::new(id);
        if let Some(session) = &self.call_session_id {
            call = call.with_handle(SESSION, &**session);
        }
        let start = StreamStart::new(call, inbound).with_outbound(outbound).with_parameters(parameters);
        Ok(match stream_id {
            Some(id) => start.with_stream_id(id),
            None => start,
        })
    }
}

/// The parameters of the stream: an object in the documentation, the list that was asked with in other places.
fn parameters(value: &Value) -> BTreeMap<String, String> {
    match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        Value::Array(list) => list
            .iter()
            .filter_map(|entry| Some((entry.get("name")?.as_str()?.to_owned(), plain(entry.get("value")?))))
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// Reads what Telnyx says. A message with audio takes no memory.
fn read(text: &str) -> Result<FromTelnyx<'_>, MediaError> {
    let Ok(Usual { media, .. }) = serde_json::from_str(text) else { return read_json(text) };
    let (track, timestamp) = (media.track.map(Cow::Borrowed), media.timestamp.and_then(|text| text.parse().ok()));
    Ok(FromTelnyx::Media { media: Media { track, timestamp, payload: Cow::Borrowed(media.payload) } })
}

/// Telnyx's end: for the simulator, and for agents that were written for Telnyx.
#[derive(Debug, Default)]
pub(crate) struct CarrierEnd {
    stream: Option<CarrierStream>,
    /// The audio of the message decoded last.
    heard: Vec<u8>,
    mark: String,
}

#[derive(Debug)]
struct CarrierStream {
    id: String,
    inbound: AudioFormat,
    outbound: AudioFormat,
    /// Of the next message.
    sequence: u64,
    /// Of the next media message.
    chunk: u64,
    /// Bytes of audio sent.
    sent: usize,
}

/// What we say to Telnyx.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum ToTelnyx<'a> {
    Media {
        #[serde(borrow)]
        media: SentMedia<'a>,
    },
    Mark {
        #[serde(borrow)]
        mark: Named<'a>,
    },
    Clear,
}

#[derive(Deserialize)]
struct SentMedia<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

/// The usual message with audio; see [`Usual`].
#[derive(Deserialize)]
struct UsualSent<'a> {
    #[serde(rename = "event")]
    _event: OnlyMedia,
    #[serde(borrow)]
    media: SentMedia<'a>,
}

fn read_ours(text: &str) -> Result<ToTelnyx<'_>, MediaError> {
    match serde_json::from_str(text) {
        Ok(UsualSent { media, .. }) => Ok(ToTelnyx::Media { media }),
        Err(_) => read_json(text),
    }
}

impl CarrierStream {
    /// Writes a message with audio, without taking memory for it.
    fn audio(&mut self, frame: AudioFrame<'_>, out: &mut WireBuffer) -> Result<(), MediaError> {
        if frame.format() != self.inbound {
            return Err(MediaError::FormatMismatch { expected: self.inbound, given: frame.format() });
        }
        let time = self.inbound.duration_of_bytes(self.sent).as_millis();
        out.text()
            .push_str(r#"{"event":"media","sequence_number":""#)
            .push_number(self.sequence)
            .push_str(r#"","stream_id":"#)
            .push_json_string(&self.id)
            .push_str(r#","media":{"track":"inbound","timestamp":""#)
            .push_number(u64::try_from(time).unwrap_or(u64::MAX))
            .push_str(r#"","chunk":""#)
            .push_number(self.chunk)
            .push_str(r#"","payload":""#)
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
            let mut parameters = start.parameters;
            parameters.insert(OUTBOUND.to_owned(), name_of(start.outbound));
            let (encoding, sample_rate) = codec_of(start.inbound);
            let message = json!({
                "event": "start", "sequence_number": "1", "stream_id": id,
                "start": {
                    "user_id": "3E6F995F-85F7-4705-9741-53B116D28237",
                    "call_control_id": start.call.id().map_or_else(String::new, ToString::to_string),
                    "call_session_id": start.call.handle(SESSION), "tags": [], "custom_parameters": parameters,
                    "media_format": {"encoding": encoding, "sample_rate": sample_rate, "channels": 1},
                },
            });
            out.text().push_str(r#"{"event":"connected","version":"1.0.0"}"#);
            out.text().push_str(&message.to_string());
            let (inbound, outbound) = (start.inbound, start.outbound);
            self.stream = Some(CarrierStream { id, inbound, outbound, sequence: 2, chunk: 1, sent: 0 });
            return Ok(());
        }
        let stream = self.stream.as_mut().ok_or(MediaError::NotStarted)?;
        if let MediaEvent::Audio(audio) = event {
            return stream.audio(audio.frame, out);
        }
        let mut message = json!({"sequence_number": stream.sequence.to_string(), "stream_id": stream.id});
        match event {
            MediaEvent::Digit { digit, .. } => {
                message["event"] = "dtmf".into();
                message["dtmf"] = json!({"digit": digit});
            }
            MediaEvent::MarkReached { name } => {
                message["event"] = "mark".into();
                message["mark"] = json!({"name": name});
            }
            MediaEvent::Stopped => {
                message["event"] = "stop".into();
                message["stop"] = json!({});
            }
            _ => return Ok(()),
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
        match read_ours(text)? {
            ToTelnyx::Media { media } => {
                decode_base64_into(&media.payload, &mut self.heard)
                    .map_err(|error| MediaError::malformed("media.payload", error))?;
                let length = stream.outbound.duration_of_bytes(self.heard.len());
                if length < FRAME || length > Duration::from_secs(30) {
                    return Err(MediaError::malformed("media.payload", "is not 20 ms to 30 s of audio"));
                }
                AudioFrame::new(stream.outbound, &self.heard)
                    .map(MediaCommand::Audio)
                    .map_err(|error| MediaError::malformed("media.payload", error))
            }
            ToTelnyx::Mark { mark: Named { name: Cow::Borrowed(name) } } => Ok(MediaCommand::Mark { name }),
            ToTelnyx::Mark { mark: Named { name: Cow::Owned(name) } } => {
                self.mark = name;
                Ok(MediaCommand::Mark { name: &self.mark })
            }
            ToTelnyx::Clear => Ok(MediaCommand::Clear),
        }
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    use super::*;

    fn start(encoding: &str, rate: u32, parameters: Value) -> String {
        json!({
            "event": "start", "sequence_number": "1", "stream_id": "s-1",
            "start": {
                "user_id": "u", "call_control_id": "v3:abc", "call_session_id": "session", "from": "+14155550100",
                "to": "+14155550111", "tags": [], "client_state": "e30=", "custom_parameters": parameters,
                "media_format": {"encoding": encoding, "sample_rate": rate, "channels": 1},
            },
        })
        .to_string()
    }

    fn started() -> TelnyxMedia {
        let mut codec = TelnyxMedia::default();
        codec.decode(WireMessage::Text(&start("PCMA", 8_000, json!({})))).unwrap();
        codec
    }

    #[test]
    fn the_two_directions_may_differ() {
        for parameters in [
            json!({"run": "77", "telnyx_outbound": "L16/16000"}),
            json!([{"name": "run", "value": "77"}, {"name": "telnyx_outbound", "value": "L16/16000"}]),
        ] {
            let mut codec = TelnyxMedia::default();
            let text = start("PCMA", 8_000, parameters);
            let Ok(MediaEvent::Started(start)) = codec.decode(WireMessage::Text(&text)) else { panic!("no start") };
            assert_eq!((start.inbound, start.outbound), (AudioFormat::ALAW_8K, AudioFormat::LINEAR16_16K));
            assert_eq!((start.stream_id.as_deref(), start.call.handle(SESSION)), (Some("s-1"), Some("session")));
            assert_eq!(start.parameters, BTreeMap::from([("run".to_owned(), "77".to_owned())]));
        }
        let mut codec = TelnyxMedia::default();
        let text = start("L16", 24_000, Value::Null);
        let Ok(MediaEvent::Started(start)) = codec.decode(WireMessage::Text(&text)) else { panic!("no start") };
        assert_eq!((start.inbound, start.outbound), (AudioFormat::LINEAR16_24K, AudioFormat::MULAW_8K));
    }

    #[test]
    fn messages_as_telnyx_documents_them() {
        let mut codec = started();
        let media = r#"{"event":"media","sequence_number":"4","media":{"track":"inbound","chunk":"2","timestamp":"5","payload":"1dXV1Q=="},"stream_id":"s"}"#;
        let Ok(MediaEvent::Audio(audio)) = codec.decode(WireMessage::Text(media)) else { panic!("no audio") };
        assert_eq!((audio.frame.bytes(), audio.offset), (&[0xd5; 4][..], Some(Duration::from_millis(5))));
        let problem = "100003 malformed_frame: no";
        for (text, event) in [
            (r#"{"event":"connected","version":"1.0.0"}"#, MediaEvent::Ignored),
            (r#"{"event":"connected","version":"1.0.0","connected":{"token":"t"}}"#, MediaEvent::Ignored),
            (
                r#"{"event":"dtmf","stream_id":"s","dtmf":{"digit":"1"}}"#,
                MediaEvent::Digit { digit: '1', duration: None },
            ),
            (r#"{"event":"mark","mark":{"name":"utt-3"}}"#, MediaEvent::MarkReached { name: "utt-3" }),
            (r#"{"event":"mark","mark":{"name":"a \"b\""}}"#, MediaEvent::MarkReached { name: "a \"b\"" }),
            (
                r#"{"event":"error","payload":{"code":100003,"title":"malformed_frame","detail":"no"},"stream_id":"s"}"#,
                MediaEvent::Problem { message: problem },
            ),
            (
                r#"{"event":"error","payload":{"code":"100003","title":"malformed_frame","detail":"no"}}"#,
                MediaEvent::Problem { message: problem },
            ),
            (r#"{"event":"stop","sequence_number":"90","stop":{"user_id":"u"}}"#, MediaEvent::Stopped),
            (r#"{"event":"brand-new"}"#, MediaEvent::Ignored),
        ] {
            assert_eq!(codec.decode(WireMessage::Text(text)), Ok(event), "{text}");
        }
    }

    #[test]
    fn what_we_send_is_in_the_state_too() {
        let sending = |format: &str| json!(State::sending(format.to_owned()).encode());
        let started = |state: Value, parameters: Value| {
            let mut text: Value = serde_json::from_str(&start("PCMU", 8_000, parameters)).unwrap();
            text["start"]["client_state"] = state;
            let mut codec = TelnyxMedia::default();
            match codec.decode(WireMessage::Text(&text.to_string())) {
                Ok(MediaEvent::Started(start)) => Ok(start.outbound),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error),
            }
        };
        // The example of the documentation has a state and no parameters.
        assert_eq!(started(sending("PCMA/8000"), Value::Null), Ok(AudioFormat::ALAW_8K));
        assert_eq!(started(sending("L16/16000"), json!({"run": "77"})), Ok(AudioFormat::LINEAR16_16K));
        let parameters = json!([{"name": "telnyx_outbound", "value": "PCMA/8000"}]);
        assert_eq!(started(sending("L16/16000"), parameters), Ok(AudioFormat::ALAW_8K));
        assert!(started(sending("G722/8000"), Value::Null).unwrap_err().to_string().contains("G722"));
        for foreign in [Value::Null, json!("aGF2ZSBhIG5pY2UgZGF5ID1d"), json!("%"), json!("e30=")] {
            assert_eq!(started(foreign, Value::Null), Ok(AudioFormat::MULAW_8K));
        }
    }

    #[test]
    fn audio_is_told_where_it_belongs_whatever_the_order_and_the_type() {
        let mut codec = started();
        for (chunk, timestamp, offset) in [
            (json!("3"), json!("40"), Some(40)),
            (json!("2"), json!("20"), Some(20)),
            (json!(4), json!(60), Some(60)),
            (json!("5"), Value::Null, None),
            (json!("6"), json!("soon"), None),
        ] {
            let media = json!({"track": "inbound", "chunk": chunk, "timestamp": timestamp, "payload": "1dXV1Q=="});
            let text =
                json!({"event": "media", "sequence_number": "4", "stream_id": "s-1", "media": media}).to_string();
            let Ok(MediaEvent::Audio(audio)) = codec.decode(WireMessage::Text(&text)) else { panic!("{text}") };
            assert_eq!(audio.offset, offset.map(Duration::from_millis), "{text}");
            assert_eq!(audio.frame.bytes(), [0xd5; 4]);
        }
    }

    #[test]
    fn what_cannot_be_carried_is_refused_by_name() {
        for (encoding, rate) in
            [("OPUS", 16_000), ("AMR-WB", 16_000), ("G722", 8_000), ("L16", 22_050), ("pcmu", 8_000)]
        {
            let error =
                TelnyxMedia::default().decode(WireMessage::Text(&start(encoding, rate, Value::Null))).unwrap_err();
            assert!(error.is_fatal() && error.to_string().contains(encoding), "{error}");
        }
        let wrong = start("PCMU", 8_000, json!({"telnyx_outbound": "OPUS/8000"}));
        assert!(TelnyxMedia::default().decode(WireMessage::Text(&wrong)).unwrap_err().is_fatal());
        for bad in ["", "{", r#"{"event":"media","media":{"payload":"%"}}"#, r#"{"event":"dtmf","dtmf":{"digit":"x"}}"#]
        {
            assert!(matches!(started().decode(WireMessage::Text(bad)), Err(MediaError::Malformed { .. })), "{bad}");
        }
    }

    #[test]
    fn commands_as_telnyx_documents_them() {
        let (mut codec, mut out) = (started(), WireBuffer::new());
        let frame = AudioFrame::new(AudioFormat::MULAW_8K, &[0x7f; 3]).unwrap();
        codec.encode(MediaCommand::Audio(frame), &mut out).unwrap();
        assert!(out.is_empty(), "a frame is not full");
        codec.encode(MediaCommand::Mark { name: "a \"b\"" }, &mut out).unwrap();
        codec.encode(MediaCommand::Clear, &mut out).unwrap();
        let texts: Vec<_> = out.iter().collect();
        let mut padded = vec![0x7f; 3];
        padded.resize(160, 0xff);
        let media = format!(
            r#"{{"event":"media","media":{{"payload":"{}"}}}}"#,
            telephony_core::signing::base64_encode(&padded)
        );
        assert_eq!(
            texts,
            [
                WireMessage::Text(&media),
                WireMessage::Text(r#"{"event":"mark","mark":{"name":"a \"b\""}}"#),
                WireMessage::Text(r#"{"event":"clear"}"#),
            ]
        );
        let other = AudioFrame::new(AudioFormat::ALAW_8K, &[0; 160]).unwrap();
        assert!(matches!(codec.encode(MediaCommand::Audio(other), &mut out), Err(MediaError::FormatMismatch { .. })));
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(text in ".*", bytes: Vec<u8>) {
            let mut codec = started();
            let _ = codec.decode(WireMessage::Text(&text));
            let _ = codec.decode(WireMessage::Binary(&bytes));
        }

        #[test]
        fn audio_arrives_whole_whatever_its_pieces(pieces in proptest::collection::vec(0_usize..20_000, 0..8)) {
            let (mut ours, mut wire) = (started(), WireBuffer::new());
            let mut said = Vec::new();
            for (n, length) in pieces.into_iter().enumerate() {
                let piece = vec![n as u8; length];
                let frame = AudioFrame::new(AudioFormat::MULAW_8K, &piece).unwrap();
                ours.encode(MediaCommand::Audio(frame), &mut wire).unwrap();
                said.extend(piece);
            }
            ours.encode(MediaCommand::Flush, &mut wire).unwrap();
            said.resize(said.len().next_multiple_of(160), 0xff);
            let mut carrier = CarrierEnd::default();
            let start = StreamStart::new(CallRef::unnamed(), AudioFormat::MULAW_8K);
            carrier.encode(MediaEvent::Started(start), &mut WireBuffer::new()).unwrap();
            let mut heard = Vec::new();
            for message in wire.iter() {
                let MediaCommand::Audio(frame) = carrier.decode(message).unwrap() else { panic!("not audio") };
                heard.extend_from_slice(frame.bytes());
            }
            prop_assert_eq!(heard, said);
        }
    }
}
