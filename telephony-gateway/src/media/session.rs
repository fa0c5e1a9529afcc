//! A call's audio, without a socket: messages go in, messages come out.
//!
//! Decoding, resampling, the agent and encoding happen in one go for each message: waking another task costs more than the
//! work. The session's clock is the caller's audio itself; it knows no other.

use std::{collections::VecDeque, time::Duration};

use telephony_core::{
    MediaCodec, MediaCommand, MediaError, MediaEvent, MediaProfile, WireBuffer, WireMessage,
    audio::{AudioError, AudioFormat, AudioFrame, PcmDecoder, PcmEncoder, StereoRecorder},
    media::StreamStart,
};

use crate::{
    agent::{AGENT_RATE_HZ, Act, AgentEvent, AgentLine, CallAgent},
    timeline::as_milliseconds,
};

/// How far ahead of what the caller hears the carrier is sent audio. Carriers buffer twenty seconds and more; what they
/// hold must be cleared when the caller interrupts, and is lost when they hold too much.
const AHEAD: Duration = Duration::from_secs(10);

/// How much audio goes into one command.
const CHUNK: Duration = Duration::from_millis(100);

/// The mark behind the last word before a hang-up.
const LAST_WORD: &str = "telephony:last-word";

/// How much longer than computed the last word may take to be heard, before the call is ended without its mark.
const GRACE: Duration = Duration::from_millis(1_500);

/// What went over a media socket.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct MediaReport {
    /// What the carrier sent.
    pub inbound: Option<AudioFormat>,
    /// What it was sent.
    pub outbound: Option<AudioFormat>,
    /// Messages with audio from the carrier.
    pub frames_in: u64,
    /// Messages to the carrier.
    pub frames_out: u64,
    /// How much of the caller's voice came.
    #[serde(rename = "heard_ms", serialize_with = "as_milliseconds")]
    pub heard: Duration,
    /// How much the agent said.
    #[serde(rename = "said_ms", serialize_with = "as_milliseconds")]
    pub said: Duration,
    /// How many keys the caller pressed. Which ones is between the caller and the agent.
    pub digits: u64,
    /// Marks that came back.
    pub marks: u64,
    /// Times that what was said was cleared away.
    pub clears: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// By how much sound comes later for having been resampled, both ways together.
    #[serde(rename = "delay_us", serialize_with = "as_microseconds")]
    pub delay: Duration,
}

fn as_microseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEnd {
    /// The carrier closed the stream: the caller hung up, or the call was ended.
    Carrier,
    /// The agent hung up, and the caller has heard its last word.
    Agent,
    /// The carrier's audio cannot be carried.
    Refused(String),
    /// The other end fell silent, or did not take what it was sent.
    Lost(String),
}

/// Something worth telling the operator, as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MediaNote {
    /// The stream is set up, in these formats.
    Started {
        /// What the carrier sends.
        inbound: AudioFormat,
        /// What it is sent.
        outbound: AudioFormat,
    },
    /// The first of the caller's audio came.
    FirstAudio,
    /// The agent says something.
    AgentSays {
        /// How long it is.
        length: Duration,
    },
    /// The caller has heard what was said before this mark.
    Heard {
        /// The mark.
        mark: String,
    },
    /// The caller pressed a key. Which one is not said: it may be of a PIN.
    Digit,
    /// The agent fell silent, and what it had said was thrown away.
    Cleared,
    /// The agent hangs up, once it has been heard.
    AgentHangsUp,
}

/// The audio of one call.
#[derive(Debug)]
pub struct MediaSession {
    codec: Box<dyn MediaCodec>,
    agent: Box<dyn CallAgent>,
    profile: MediaProfile,
    line: AgentLine,
    open: Option<Open>,
    out: WireBuffer,
    report: MediaReport,
    notes: Vec<MediaNote>,
    recorder: Option<StereoRecorder>,
    hanging_up: bool,
}

/// What there is once the stream has started.
#[derive(Debug)]
struct Open {
    decoder: PcmDecoder,
    encoder: PcmEncoder,
    start: StreamStart,
    /// The caller's voice of the message at hand.
    heard: Vec<i16>,
    wire: Vec<u8>,
    /// Said by the agent and not sent yet, with marks in between.
    unsent: VecDeque<Unsent>,
    /// Sent and, going by the caller's clock, not heard yet.
    unheard: VecDeque<i16>,
    /// Scratch for the recording.
    playing: Vec<i16>,
    clock: u64,
    /// When the last word must have been heard.
    last_word_by: Option<u64>,
}

#[derive(Debug)]
enum Unsent {
    Audio(Vec<i16>),
    Mark(String),
    LastWord,
}

impl MediaSession {
    /// A session for one socket, before its first message.
    #[must_use]
    pub fn new(codec: Box<dyn MediaCodec>, agent: Box<dyn CallAgent>, profile: MediaProfile, record: bool) -> Self {
        Self {
            codec,
            agent,
            profile,
            line: AgentLine::default(),
            open: None,
            out: WireBuffer::new(),
            report: MediaReport::default(),
            notes: Vec::new(),
            recorder: record.then(|| StereoRecorder::new(AGENT_RATE_HZ)),
            hanging_up: false,
        }
    }

    /// Takes a message from the carrier. What is to be sent is in [`output`](Self::output) then.
    ///
    /// # Errors
    ///
    /// Why the session is over. What is in the output may still be sent.
    pub fn receive(&mut self, message: WireMessage<'_>) -> Result<(), SessionEnd> {
        let event = match self.codec.decode(message) {
            Ok(event) => event,
            Err(error) if error.is_fatal() => return Err(SessionEnd::Refused(error.to_string())),
            Err(_) => {
                self.report.malformed += 1;
                return Ok(());
            }
        };
        let line = &mut self.line;
        line.reset();
        match event {
            MediaEvent::Started(start) => {
                let open = Open::new(start).map_err(|error| SessionEnd::Refused(error.to_string()))?;
                self.report.inbound = Some(open.start.inbound);
                self.report.outbound = Some(open.start.outbound);
                self.report.delay = open.decoder.delay() + open.encoder.delay();
                self.notes.push(MediaNote::Started { inbound: open.start.inbound, outbound: open.start.outbound });
                self.open = Some(open);
                self.agent.on_event(AgentEvent::Started, line);
            }
            MediaEvent::Audio(audio) => {
                let Some(open) = &mut self.open else { return Ok(()) };
                self.report.frames_in += 1;
                if self.report.frames_in == 1 {
                    self.notes.push(MediaNote::FirstAudio);
                }
                self.report.heard += audio.frame.duration();
                open.heard.clear();
                if open.decoder.decode(audio.frame, &mut open.heard).is_err() {
                    self.report.malformed += 1;
                    return Ok(());
                }
                self.agent.on_event(AgentEvent::Audio(&open.heard), line);
                open.advance(self.recorder.as_mut());
            }
            MediaEvent::Digit { digit, .. } => {
                self.report.digits += 1;
                self.notes.push(MediaNote::Digit);
                self.agent.on_event(AgentEvent::Digit(digit), line);
            }
            MediaEvent::MarkReached { name } => {
                self.report.marks += 1;
                if name == LAST_WORD {
                    self.notes.push(MediaNote::Heard { mark: "last word".to_owned() });
                    if let (Some(open), Some(recorder)) = (&mut self.open, &mut self.recorder) {
                        recorder.right(duration_of(open.clock), open.unheard.make_contiguous());
                    }
                    return Err(SessionEnd::Agent);
                }
                self.notes.push(MediaNote::Heard { mark: name.to_owned() });
                if let Some(open) = &mut self.open {
                    open.catch_up();
                }
                self.agent.on_event(AgentEvent::MarkReached(name), line);
            }
            MediaEvent::Cleared => self.agent.on_event(AgentEvent::Cleared, line),
            MediaEvent::Stopped => {
                self.agent.on_event(AgentEvent::Stopped, line);
                return Err(SessionEnd::Carrier);
            }
            _ => {}
        }
        self.act().and_then(|()| self.pump()).map_err(|error| SessionEnd::Refused(error.to_string()))?;
        match &self.open {
            Some(Open { last_word_by: Some(by), clock, .. }) if clock >= by => Err(SessionEnd::Agent),
            _ => Ok(()),
        }
    }

    /// The messages to send. Forget them with [`sent`](Self::sent).
    #[must_use]
    pub fn output(&self) -> &WireBuffer {
        &self.out
    }

    /// Forgets the messages in the output.
    pub fn sent(&mut self) {
        self.out.clear();
    }

    /// What happened since this was asked last.
    pub fn take_notes(&mut self) -> impl Iterator<Item = MediaNote> + '_ {
        self.notes.drain(..)
    }

    /// What has gone over the socket, and the recording, if there was to be one: left the caller, right what the caller heard.
    #[must_use]
    pub fn finish(self) -> (MediaReport, Option<StereoRecorder>) {
        (self.report, self.recorder)
    }

    /// What the agent did, onto the queue; what cannot wait, at once.
    fn act(&mut self) -> Result<(), MediaError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let mut samples = self.line.samples.as_slice();
        for act in self.line.acts.drain(..) {
            if self.hanging_up && act != Act::Clear {
                continue; // Nothing is said after the last word.
            }
            match act {
                Act::Say(count) => {
                    let (said, rest) = samples.split_at(count);
                    samples = rest;
                    open.unsent.push_back(Unsent::Audio(said.to_vec()));
                    // An agent that says a frame at a time, such as an echo, is not worth a note for each.
                    if count > samples_in(CHUNK) {
                        self.notes.push(MediaNote::AgentSays { length: duration_of(count as u64) });
                    }
                }
                Act::Mark(name) => open.unsent.push_back(Unsent::Mark(name)),
                Act::Clear => {
                    open.unsent.retain(|item| matches!(item, Unsent::LastWord));
                    open.unheard.clear();
                    self.report.clears += 1;
                    self.notes.push(MediaNote::Cleared);
                    self.codec.encode(MediaCommand::Clear, &mut self.out)?;
                }
                Act::HangUp => {
                    open.unsent.push_back(Unsent::LastWord);
                    self.notes.push(MediaNote::AgentHangsUp);
                    self.hanging_up = true;
                }
            }
        }
        Ok(())
    }

    /// Sends what may be sent now.
    fn pump(&mut self) -> Result<(), MediaError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let before = self.out.len();
        let ahead = samples_in(self.profile.buffer.map_or(AHEAD, |buffer| AHEAD.min(buffer / 2)));
        while open.unheard.len() < ahead {
            match open.unsent.pop_front() {
                None => break,
                Some(Unsent::Mark(name)) => self.codec.encode(MediaCommand::Mark { name: &name }, &mut self.out)?,
                Some(Unsent::LastWord) => {
                    open.last_word_by = Some(open.clock + (open.unheard.len() + samples_in(GRACE)) as u64);
                    self.codec.encode(MediaCommand::Mark { name: LAST_WORD }, &mut self.out)?;
                }
                Some(Unsent::Audio(mut samples)) => {
                    let chunk = samples.len().min(samples_in(CHUNK));
                    open.wire.clear();
                    open.encoder.encode(&samples[..chunk], &mut open.wire);
                    if !open.wire.is_empty() {
                        let frame = AudioFrame::new(open.start.outbound, &open.wire)
                            .map_err(|error| MediaError::UnsupportedFormat(error.to_string()))?;
                        self.report.said += frame.duration();
                        self.codec.encode(MediaCommand::Audio(frame), &mut self.out)?;
                    }
                    open.unheard.extend(&samples[..chunk]);
                    if chunk < samples.len() {
                        samples.drain(..chunk);
                        open.unsent.push_front(Unsent::Audio(samples));
                    }
                }
            }
        }
        self.report.frames_out += (self.out.len() - before) as u64;
        Ok(())
    }
}

impl Open {
    fn new(start: StreamStart) -> Result<Self, AudioError> {
        Ok(Self {
            decoder: PcmDecoder::new(start.inbound, AGENT_RATE_HZ)?,
            encoder: PcmEncoder::new(AGENT_RATE_HZ, start.outbound)?,
            start,
            heard: Vec::new(),
            wire: Vec::new(),
            unsent: VecDeque::new(),
            unheard: VecDeque::new(),
            playing: Vec::new(),
            clock: 0,
            last_word_by: None,
        })
    }

    /// The caller's clock goes on by what was heard: as much of what was sent has been played.
    fn advance(&mut self, recorder: Option<&mut StereoRecorder>) {
        let count = self.heard.len().min(self.unheard.len());
        self.playing.clear();
        self.playing.extend(self.unheard.drain(..count));
        if let Some(recorder) = recorder {
            let at = duration_of(self.clock);
            recorder.left(at, &self.heard);
            recorder.right(at, &self.playing);
        }
        self.clock += self.heard.len() as u64;
    }

    /// A mark came back: all that was sent before the last mark has been heard, whatever the clock says. The rest of a tick may
    /// be outstanding; it is not worth keeping.
    fn catch_up(&mut self) {
        if self.unsent.is_empty() && self.unheard.len() < samples_in(CHUNK) {
            self.unheard.clear();
        }
    }
}

fn samples_in(duration: Duration) -> usize {
    AudioFormat::LINEAR16_16K.samples_in(duration)
}

fn duration_of(samples: u64) -> Duration {
    Duration::from_nanos(samples * (1_000_000_000 / u64::from(AGENT_RATE_HZ.get())))
}

#[cfg(test)]
mod tests {
    use telephony_core::{CallRef, MediaProfile, media::MediaAudio};

    use super::*;

    const FORMAT: AudioFormat = AudioFormat::LINEAR16_16K;
    const FRAME: usize = 640;

    /// A codec for tests: binary is audio, text is a mark that comes back, `start`, `stop` or `press`.
    #[derive(Debug, Default)]
    struct Plain;

    impl MediaCodec for Plain {
        fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaEvent<'a>, MediaError> {
            Ok(match message {
                WireMessage::Binary(bytes) => {
                    let frame =
                        AudioFrame::new(FORMAT, bytes).map_err(|error| MediaError::malformed("audio", error))?;
                    MediaEvent::Audio(MediaAudio::new(frame))
                }
                WireMessage::Text("start") => MediaEvent::Started(StreamStart::new(CallRef::unnamed(), FORMAT)),
                WireMessage::Text("stop") => MediaEvent::Stopped,
                WireMessage::Text("press") => MediaEvent::Digit { digit: '5', duration: None },
                WireMessage::Text("fatal") => return Err(MediaError::UnsupportedFormat("opus".to_owned())),
                WireMessage::Text(name) => MediaEvent::MarkReached { name },
            })
        }

        fn encode(&mut self, command: MediaCommand<'_>, out: &mut WireBuffer) -> Result<(), MediaError> {
            match command {
                MediaCommand::Audio(frame) => out.binary(frame.bytes()),
                MediaCommand::Mark { name } => {
                    out.text().push_str("mark ").push_str(name);
                }
                MediaCommand::Clear => {
                    out.text().push_str("clear");
                }
                _ => {}
            }
            Ok(())
        }
    }

    /// An agent that does as it is told: at the start, and when a key is pressed.
    #[derive(Debug)]
    struct Told {
        at_start: fn(&mut AgentLine),
        at_key: fn(&mut AgentLine),
    }

    impl CallAgent for Told {
        fn on_event(&mut self, event: AgentEvent<'_>, line: &mut AgentLine) {
            match event {
                AgentEvent::Started => (self.at_start)(line),
                AgentEvent::Digit(_) => (self.at_key)(line),
                _ => {}
            }
        }
    }

    fn session(at_start: fn(&mut AgentLine), at_key: fn(&mut AgentLine)) -> MediaSession {
        let profile = MediaProfile::new(&[FORMAT]);
        let mut session = MediaSession::new(Box::new(Plain), Box::new(Told { at_start, at_key }), profile, true);
        session.receive(WireMessage::Text("start")).unwrap();
        session
    }

    /// What is to be sent, texts as they are and audio as its length in samples, added up.
    fn sent(session: &mut MediaSession) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let mut samples = 0;
        for message in session.output().iter() {
            match message {
                WireMessage::Binary(bytes) => samples += bytes.len() / 2,
                WireMessage::Text(text) => {
                    all.extend((samples > 0).then(|| samples.to_string()));
                    samples = 0;
                    all.push(text.to_owned());
                }
            }
        }
        all.extend((samples > 0).then(|| samples.to_string()));
        session.sent();
        all
    }

    /// The caller is silent for so many frames of 20 ms.
    fn listen(session: &mut MediaSession, frames: usize) -> Result<(), SessionEnd> {
        (0..frames).try_for_each(|_| session.receive(WireMessage::Binary(&[0; FRAME])))
    }

    #[test]
    fn what_is_said_is_sent_before_its_mark() {
        let mut session = session(
            |line| {
                line.say(&[1; 1_000]);
                line.mark("one");
                line.say(&[2; 500]);
            },
            |_| {},
        );
        assert_eq!(sent(&mut session), ["1000", "mark one", "500"]);
    }

    #[test]
    fn the_carrier_is_never_sent_more_than_it_holds() {
        // Thirty seconds are said at once; ten are sent, and more only as the caller hears them.
        let mut session = session(|line| line.say(&vec![1; 480_000]), |_| {});
        let first: usize = sent(&mut session)[0].parse().unwrap();
        assert!((160_000..165_000).contains(&first), "{first}");
        assert_eq!(sent(&mut session), [""; 0]);
        listen(&mut session, 50).unwrap();
        let more: usize = sent(&mut session)[0].parse().unwrap();
        assert!((14_000..19_000).contains(&more), "a second was heard, and {more} samples were sent");
    }

    #[test]
    fn an_interruption_drops_what_was_not_sent_and_clears_the_rest() {
        let mut session = session(
            |line| line.say(&vec![1; 480_000]),
            |line| {
                line.clear();
                line.say(&[3; 100]);
            },
        );
        sent(&mut session);
        session.receive(WireMessage::Text("press")).unwrap();
        assert_eq!(sent(&mut session), ["clear", "100"]);
        assert_eq!(session.finish().0.clears, 1);
    }

    #[test]
    fn a_hang_up_waits_for_the_last_word_to_be_heard() {
        let mut session = session(
            |line| {
                line.say(&[1; 16_000]);
                line.hang_up();
                line.say(&[9; 16_000]);
            },
            |_| {},
        );
        assert_eq!(sent(&mut session), ["16000", &format!("mark {LAST_WORD}")], "nothing is said after the last word");
        listen(&mut session, 40).unwrap();
        assert_eq!(session.receive(WireMessage::Text(LAST_WORD)), Err(SessionEnd::Agent));
        let (report, recording) = session.finish();
        assert_eq!(report.said, Duration::from_secs(1));
        // 40 frames of the caller's clock, and the rest of what was heard.
        assert_eq!(recording.unwrap().duration(), Duration::from_secs(1));
    }

    #[test]
    fn a_mark_that_never_comes_back_does_not_keep_the_call_up() {
        let mut session = session(
            |line| {
                line.say(&[1; 16_000]);
                line.hang_up();
            },
            |_| {},
        );
        // A second of speech and one and a half of grace.
        listen(&mut session, 124).unwrap();
        assert_eq!(listen(&mut session, 1), Err(SessionEnd::Agent));
    }

    #[test]
    fn the_end_and_what_cannot_be_carried() {
        let mut session = session(|_| {}, |_| {});
        assert_eq!(session.receive(WireMessage::Binary(&[0; 3])), Ok(()), "one bad message does not end a call");
        assert_eq!(session.receive(WireMessage::Text("stop")), Err(SessionEnd::Carrier));
        assert!(matches!(session.receive(WireMessage::Text("fatal")), Err(SessionEnd::Refused(_))));
        assert_eq!(session.finish().0.malformed, 1);
    }
}
