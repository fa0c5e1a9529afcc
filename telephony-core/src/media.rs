//! The media socket's protocol, without the socket.
//!
//! Carriers open a WebSocket to us and speak a protocol of their own over it. A [`MediaCodec`] turns its messages into
//! [`MediaEvent`]s and our [`MediaCommand`]s into messages: no socket, no clock, no allocation per frame once warm. A
//! [`CarrierMediaCodec`] is the other end of the same protocol, event and command swapped: simulators speak it, and so can a
//! gateway towards an agent that was written for that carrier.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Deserialize;

use crate::{
    audio::{AudioFormat, AudioFrame},
    id::CallRef,
};

/// A message of a media socket, as it crosses the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireMessage<'a> {
    /// A WebSocket text message.
    Text(&'a str),
    /// A WebSocket binary message.
    Binary(&'a [u8]),
}

/// Something that the carrier told us over the media socket.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MediaEvent<'a> {
    /// The stream is set up. Comes once, before any audio.
    Started(StreamStart),
    /// The other party's audio.
    Audio(MediaAudio<'a>),
    /// The other party pressed a key.
    Digit {
        /// `0` to `9`, `A` to `D`, `*` or `#`.
        digit: char,
        /// For how long, if the carrier says so.
        duration: Option<Duration>,
    },
    /// Everything sent before a mark has been played to the other party, or was cleared away.
    MarkReached {
        /// The mark's name.
        name: &'a str,
    },
    /// What was buffered has been cleared.
    Cleared,
    /// The stream is over. The socket closes next.
    Stopped,
    /// The carrier complains about something we sent.
    Problem {
        /// In its words.
        message: &'a str,
    },
    /// A message that carries nothing we need. Carriers add new ones: an unknown message is no error.
    Ignored,
}

/// How a stream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStart {
    /// The call, as far as the carrier says it here; some do not.
    pub call: CallRef,
    /// The carrier's id of the stream, where it has one.
    pub stream_id: Option<String>,
    /// What the carrier sends, from its own message.
    pub inbound: AudioFormat,
    /// What the carrier wants from us.
    pub outbound: AudioFormat,
    /// The parameters that we gave to the stream.
    pub parameters: BTreeMap<String, String>,
}

impl StreamStart {
    /// A stream with the same format both ways.
    #[must_use]
    pub fn new(call: CallRef, format: AudioFormat) -> Self {
        Self { call, stream_id: None, inbound: format, outbound: format, parameters: BTreeMap::new() }
    }

    /// Adds the carrier's id of the stream.
    #[must_use]
    pub fn with_stream_id(mut self, id: impl Into<String>) -> Self {
        self.stream_id = Some(id.into());
        self
    }

    /// Says that the carrier wants another format than it sends.
    #[must_use]
    pub fn with_outbound(mut self, format: AudioFormat) -> Self {
        self.outbound = format;
        self
    }

    /// Adds the parameters that we gave to the stream.
    #[must_use]
    pub fn with_parameters(mut self, parameters: BTreeMap<String, String>) -> Self {
        self.parameters = parameters;
        self
    }
}

/// A piece of the other party's audio.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct MediaAudio<'a> {
    /// The audio, with its format.
    pub frame: AudioFrame<'a>,
    /// Where it belongs, counted from the start of the stream, where the carrier says so.
    pub offset: Option<Duration>,
}

impl<'a> MediaAudio<'a> {
    /// Audio that follows on what came before.
    #[must_use]
    pub fn new(frame: AudioFrame<'a>) -> Self {
        Self { frame, offset: None }
    }

    /// Says where it belongs.
    #[must_use]
    pub fn at(mut self, offset: Option<Duration>) -> Self {
        self.offset = offset;
        self
    }
}

/// Something that we tell the carrier over the media socket.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum MediaCommand<'a> {
    /// Audio for the other party, queued behind what was sent before. Any length; a carrier that wants frames of one length
    /// gets them, the rest waits for more audio or a [`Flush`](Self::Flush).
    Audio(AudioFrame<'a>),
    /// The end of an utterance: what waits to fill a frame is sent, padded with silence.
    Flush,
    /// Asks to be told when everything sent so far has been played. Implies [`Flush`](Self::Flush).
    Mark {
        /// Comes back in [`MediaEvent::MarkReached`].
        name: &'a str,
    },
    /// Throws away what the carrier has buffered and what waits here, so that the other party is not talked over.
    Clear,
    /// DTMF for the other party. Comes only out of [`CarrierMediaCodec::decode`], of protocols that have a word for it: to send
    /// digits there is an operation of the provider.
    Digits {
        /// As the agent wrote them.
        digits: &'a str,
    },
    /// A message that carries nothing. Comes only out of [`CarrierMediaCodec::decode`].
    Ignored,
}

/// Why a message could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The message is not of the carrier's form. The stream can go on without it.
    #[error("the media message is malformed at {field}: {reason}")]
    Malformed {
        /// Where.
        field: &'static str,
        /// What is wrong, without quoting audio.
        reason: String,
    },
    /// The carrier announced audio that we cannot carry. The stream must be refused.
    #[error("the carrier announced audio that cannot be carried: {0}")]
    UnsupportedFormat(String),
    /// Audio of another format than the stream's was handed in. A mistake of the caller.
    #[error("the stream wants {expected}, and was given {given}")]
    FormatMismatch {
        /// The stream's format.
        expected: AudioFormat,
        /// The frame's.
        given: AudioFormat,
    },
    /// Audio or a mark came before the stream was started.
    #[error("the stream has not started")]
    NotStarted,
}

impl MediaError {
    /// A malformed message.
    #[must_use]
    pub fn malformed(field: &'static str, reason: impl fmt::Display) -> Self {
        Self::Malformed { field, reason: reason.to_string() }
    }

    /// Whether the stream is of no use after this.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::UnsupportedFormat(_))
    }
}

/// Reads a text message that is JSON. What it holds may borrow from the text. An error says what kind of mistake is where, and shows
/// nothing of what was said.
///
/// # Errors
///
/// [`MediaError::Malformed`] if the text is no JSON, or has not the shape of a `T`.
pub fn read_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, MediaError> {
    serde_json::from_str(text)
        .map_err(|error| MediaError::malformed("message", format_args!("{:?} at {}", error.classify(), error.column())))
}

/// The key that a text names, if it names one: `0` to `9`, `A` to `D`, `*` or `#`, and nothing else.
#[must_use]
pub fn dtmf_digit(text: &str) -> Option<char> {
    let mut characters = text.chars();
    let digit = characters.next().filter(|digit| matches!(digit, '0'..='9' | 'A'..='D' | '*' | '#'))?;
    characters.next().is_none().then_some(digit)
}

/// Our end of a carrier's media protocol. One value serves one socket.
pub trait MediaCodec: Send + fmt::Debug {
    /// Reads one message.
    ///
    /// # Errors
    ///
    /// [`MediaError`]; after one that is not [fatal](MediaError::is_fatal) the next message can be read.
    fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaEvent<'a>, MediaError>;

    /// Writes a command as none, one or several messages, behind those that `out` holds already.
    ///
    /// # Errors
    ///
    /// [`MediaError::NotStarted`] before [`MediaEvent::Started`] was decoded, and [`MediaError::FormatMismatch`] for audio
    /// that is not in the stream's outbound format. Nothing is written then.
    fn encode(&mut self, command: MediaCommand<'_>, out: &mut WireBuffer) -> Result<(), MediaError>;
}

/// The carrier's end of its media protocol. One value serves one socket.
pub trait CarrierMediaCodec: Send + fmt::Debug {
    /// Writes an event as none, one or several messages, behind those that `out` holds already.
    ///
    /// # Errors
    ///
    /// As for [`MediaCodec::encode`].
    fn encode(&mut self, event: MediaEvent<'_>, out: &mut WireBuffer) -> Result<(), MediaError>;

    /// Reads one message as strictly as the carrier does: what would make it drop the socket is an error.
    ///
    /// # Errors
    ///
    /// [`MediaError`].
    fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaCommand<'a>, MediaError>;
}

/// Messages waiting to be sent, in one buffer that is used again and again.
#[derive(Clone, Debug, Default)]
pub struct WireBuffer {
    bytes: Vec<u8>,
    messages: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    end: usize,
    binary: bool,
}

impl WireBuffer {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the messages and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
    }

    /// Whether there is no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// How many messages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Adds a text message. Write it piece by piece through the [`TextMessage`]; it is complete when that is dropped.
    pub fn text(&mut self) -> TextMessage<'_> {
        TextMessage { buffer: self }
    }

    /// Adds a binary message.
    pub fn binary(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.messages.push(Span { end: self.bytes.len(), binary: true });
    }

    /// The messages, in order.
    pub fn iter(&self) -> impl Iterator<Item = WireMessage<'_>> {
        let mut start = 0;
        self.messages.iter().map(move |span| {
            let bytes = &self.bytes[start..span.end];
            start = span.end;
            if span.binary {
                WireMessage::Binary(bytes)
            } else {
                WireMessage::Text(std::str::from_utf8(bytes).unwrap_or_default())
            }
        })
    }
}

/// A text message being written. It goes straight into the buffer that it belongs to.
#[derive(Debug)]
pub struct TextMessage<'a> {
    buffer: &'a mut WireBuffer,
}

impl TextMessage<'_> {
    /// Appends a text as it is.
    pub fn push_str(&mut self, text: &str) -> &mut Self {
        self.buffer.bytes.extend_from_slice(text.as_bytes());
        self
    }

    /// Appends a number in decimal.
    pub fn push_number(&mut self, number: u64) -> &mut Self {
        // Writing into memory cannot fail.
        let _never = std::io::Write::write_fmt(&mut self.buffer.bytes, format_args!("{number}"));
        self
    }

    /// Appends bytes in standard base64 with padding.
    pub fn push_base64(&mut self, bytes: &[u8]) -> &mut Self {
        crate::base64_text::append_base64(bytes, &mut self.buffer.bytes);
        self
    }

    /// Appends a text as a JSON string, quotation marks included.
    pub fn push_json_string(&mut self, text: &str) -> &mut Self {
        // Writing a string into memory cannot fail.
        if serde_json::to_writer(&mut self.buffer.bytes, text).is_err() {
            self.buffer.bytes.extend_from_slice(b"\"\"");
        }
        self
    }
}

impl Drop for TextMessage<'_> {
    fn drop(&mut self) {
        self.buffer.messages.push(Span { end: self.buffer.bytes.len(), binary: false });
    }
}

/// Audio waiting to fill a frame. Carriers want frames of one length, agents hand in pieces of any.
#[derive(Clone, Debug, Default)]
pub struct FrameQueue {
    rest: Vec<u8>,
}

impl FrameQueue {
    /// Hands in audio. `send` gets one or several whole frames at a time, in order; what does not fill a frame waits.
    pub fn push(&mut self, frame_bytes: usize, mut audio: &[u8], mut send: impl FnMut(&[u8])) {
        if !self.rest.is_empty() {
            let (head, tail) = audio.split_at(audio.len().min(frame_bytes.saturating_sub(self.rest.len())));
            self.rest.extend_from_slice(head);
            if self.rest.len() < frame_bytes {
                return;
            }
            send(&self.rest);
            self.rest.clear();
            audio = tail;
        }
        let (whole, rest) = audio.split_at(audio.len() - audio.len() % frame_bytes.max(1));
        if !whole.is_empty() {
            send(whole);
        }
        self.rest.extend_from_slice(rest);
    }

    /// Sends what waits, filled up with silence.
    pub fn flush(&mut self, frame_bytes: usize, silence: u8, send: impl FnOnce(&[u8])) {
        if !self.rest.is_empty() {
            self.rest.resize(frame_bytes.max(self.rest.len()), silence);
            send(&self.rest);
            self.rest.clear();
        }
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.rest.clear();
    }
}

/// What there is to know about a carrier's media stream before there is one.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MediaProfile {
    /// The formats that can come, the carrier's default first.
    pub formats: &'static [AudioFormat],
    /// What becomes of the call when our side closes the socket.
    pub after_close: AfterClose,
    /// Whether marks that are pending at a [`MediaCommand::Clear`] come back as reached. If not, they never do.
    pub clear_returns_marks: bool,
    /// How much audio the carrier buffers for the other party; what is sent beyond may be lost.
    pub buffer: Option<Duration>,
}

impl MediaProfile {
    /// A profile of formats, whose stream's end is the call's end and whose marks all come back.
    #[must_use]
    pub const fn new(formats: &'static [AudioFormat]) -> Self {
        Self { formats, after_close: AfterClose::CallEnds, clear_returns_marks: true, buffer: None }
    }

    /// Says what becomes of the call when our side closes the socket.
    #[must_use]
    pub const fn after_close(mut self, after_close: AfterClose) -> Self {
        self.after_close = after_close;
        self
    }

    /// Says that marks that are pending at a clear never come back.
    #[must_use]
    pub const fn clear_drops_marks(mut self) -> Self {
        self.clear_returns_marks = false;
        self
    }

    /// Says how much audio the carrier buffers.
    #[must_use]
    pub const fn buffer(mut self, buffer: Duration) -> Self {
        self.buffer = Some(buffer);
        self
    }
}

/// What becomes of a call when our side closes its media socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterClose {
    /// It ends, as nothing follows a stream in our answer documents.
    CallEnds,
    /// The carrier asks what to do next, and ends the call if there is nothing.
    Asks,
    /// It stays up, silent. Hang up.
    CallStaysUp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_key_and_an_error_shows_nothing_of_the_text() {
        for (text, digit) in
            [("0", Some('0')), ("D", Some('D')), ("#", Some('#')), ("d", None), ("12", None), ("", None)]
        {
            assert_eq!(dtmf_digit(text), digit, "{text:?}");
        }
        let error = read_json::<u8>(r#"{"secret": 1}"#).unwrap_err();
        assert_eq!(error, MediaError::malformed("message", "Data at 0"));
    }

    proptest::proptest! {
        #[test]
        fn a_queue_cuts_whole_frames_and_loses_nothing(
            frame in 1_usize..700,
            pieces in proptest::collection::vec(proptest::collection::vec(1_u8.., 0..2_000), 0..8),
        ) {
            let (mut queue, mut sent) = (FrameQueue::default(), Vec::new());
            let mut send = |frames: &[u8]| {
                assert!(!frames.is_empty() && frames.len().is_multiple_of(frame));
                sent.extend_from_slice(frames);
            };
            for piece in &pieces {
                queue.push(frame, piece, &mut send);
            }
            queue.flush(frame, 0, &mut send);
            queue.flush(frame, 0, |_| panic!("nothing waits any more"));
            let mut expected = pieces.concat();
            expected.resize(expected.len().next_multiple_of(frame), 0);
            proptest::prop_assert_eq!(sent, expected);
        }
    }

    #[test]
    fn a_buffer_keeps_messages_apart_and_its_memory() {
        let mut buffer = WireBuffer::new();
        for _ in 0..2 {
            buffer.clear();
            buffer.binary(&[0xff, 0xfe]);
            buffer.text().push_str("gr").push_str("üß");
            buffer.text().push_json_string("a\"b").push_base64(&[0, 1, 2, 3]);
            buffer.binary(&[]);
            let messages: Vec<_> = buffer.iter().collect();
            assert_eq!(
                messages,
                [
                    WireMessage::Binary(&[0xff, 0xfe]),
                    WireMessage::Text("grüß"),
                    WireMessage::Text("\"a\\\"b\"AAECAw=="),
                    WireMessage::Binary(&[])
                ]
            );
            assert_eq!(buffer.len(), 4);
        }
    }
}
