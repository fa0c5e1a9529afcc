//! A call's audio, without a socket: messages go in, messages come out.
//!
//! Decoding, resampling, the agent and encoding happen in one go for each message: waking another task costs more than the
//! work. The session's clock is the caller's audio itself; it knows no other.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use telephony_core::{
    MediaCodec, MediaCommand, MediaError, MediaEvent, MediaProfile, WireBuffer, WireMessage,
    audio::{AudioFormat, Encoding, StereoRecorder},
    media::StreamStart,
};

use super::{
    Loudness, MediaNote, MediaReport, SessionEnd,
    playout::{AHEAD, CHUNK, Playout, WireMark},
};
use crate::agent::{Act, AgentCall, AgentEvent, AgentLine, AgentRequest, CallAgent, Requests};

/// The audio of one call.
#[derive(Debug)]
pub struct MediaSession {
    codec: Box<dyn MediaCodec>,
    agent: Box<dyn CallAgent>,
    profile: MediaProfile,
    call: AgentCall,
    /// What the agent hears and says.
    pcm: AudioFormat,
    line: AgentLine,
    playout: Option<Playout>,
    out: WireBuffer,
    report: MediaReport,
    notes: Vec<MediaNote>,
    recorder: Option<StereoRecorder>,
    loudness: Arc<Loudness>,
    requests: Requests,
    /// What came of the agent's own acts. It is told with the next message, so that it cannot keep us here by answering.
    news: VecDeque<News>,
    /// How the session ends once the last word has been heard.
    ending: Option<SessionEnd>,
}

/// Something that the agent is to be told.
#[derive(Debug)]
enum News {
    MarkCleared(String),
    Cleared { unheard: Duration },
    Refused { number: u64, reason: String },
}

impl MediaSession {
    /// A session for one socket, before its first message. `call` is what the agent is told; what the stream says of itself is
    /// added to it.
    #[must_use]
    pub fn new(
        codec: Box<dyn MediaCodec>,
        agent: Box<dyn CallAgent>,
        profile: MediaProfile,
        call: AgentCall,
        record: bool,
    ) -> Self {
        let pcm = AudioFormat::new(Encoding::Linear16, agent.sample_rate_hz());
        Self {
            codec,
            agent,
            profile,
            call,
            pcm,
            line: AgentLine::default(),
            playout: None,
            out: WireBuffer::new(),
            report: MediaReport { agent_rate_hz: pcm.sample_rate_hz.get(), ..MediaReport::default() },
            notes: Vec::new(),
            recorder: record.then(|| StereoRecorder::new(pcm.sample_rate_hz)),
            loudness: Arc::default(),
            requests: Requests::default(),
            news: VecDeque::new(),
            ending: None,
        }
    }

    /// Takes a message from the carrier. What is to be sent is in [`output`](Self::output) then.
    ///
    /// # Errors
    ///
    /// Why the session is over. What is in the output may still be sent.
    pub fn receive(&mut self, message: WireMessage<'_>) -> Result<(), SessionEnd> {
        let (unheard, marks) =
            self.playout.as_ref().map_or((0, 0), |playout| (playout.unheard_samples(), playout.marks_pending()));
        self.line.begin(unheard, marks);
        self.tell_news();
        self.tell(message)?;
        self.act().and_then(|()| self.pump()).map_err(|error| SessionEnd::Refused(error.to_string()))?;
        match &self.playout {
            Some(playout) if playout.is_overdue() => Err(self.over()),
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

    /// What the agent has asked for since this was asked last. Nobody but the caller of this carries it out; a request that
    /// is dropped is refused.
    #[must_use]
    pub fn take_requests(&mut self) -> Vec<AgentRequest> {
        self.requests.take()
    }

    /// How loud both sides are, as far as the session has come.
    pub(crate) fn loudness(&self) -> Arc<Loudness> {
        self.loudness.clone()
    }

    /// Tells the agent that it is over and why. Returns what has gone over the socket, and the recording, if there was to be
    /// one: left the caller, right what the caller heard.
    #[must_use]
    pub fn finish(mut self, end: &SessionEnd) -> (MediaReport, Option<StereoRecorder>) {
        self.agent.on_event(AgentEvent::Stopped(end.reason()), &mut self.line);
        self.report.agent = self.agent.report();
        (self.report, self.recorder)
    }

    /// Tells the agent what came of what it did.
    fn tell_news(&mut self) {
        for news in self.news.drain(..) {
            let event = match &news {
                News::MarkCleared(name) => AgentEvent::MarkCleared(name),
                News::Cleared { unheard } => AgentEvent::Cleared { unheard: *unheard },
                News::Refused { number, reason } => {
                    AgentEvent::RequestAnswered { number: *number, outcome: Err(reason) }
                }
            };
            self.agent.on_event(event, &mut self.line);
        }
        while let Some((number, outcome)) = self.requests.next_answer() {
            let outcome = outcome.as_ref().copied().map_err(String::as_str);
            self.agent.on_event(AgentEvent::RequestAnswered { number, outcome }, &mut self.line);
        }
    }

    /// Tells the agent what the carrier says.
    fn tell(&mut self, message: WireMessage<'_>) -> Result<(), SessionEnd> {
        let line = &mut self.line;
        match self.codec.decode(message) {
            Err(error) if error.is_fatal() => return Err(SessionEnd::Refused(error.to_string())),
            Err(_) => self.report.malformed += 1,
            Ok(MediaEvent::Started(start)) => return self.start(start),
            Ok(MediaEvent::Audio(audio)) => {
                let Some(playout) = &mut self.playout else { return Ok(()) };
                self.report.frames_in += 1;
                if self.report.frames_in == 1 {
                    self.notes.push(MediaNote::FirstAudio);
                }
                self.report.heard += audio.frame.duration();
                if playout.hear(audio.frame).is_err() {
                    self.report.malformed += 1;
                    return Ok(());
                }
                self.agent.on_event(AgentEvent::Audio(playout.heard()), line);
                playout.advance(self.recorder.as_mut(), &self.loudness);
            }
            Ok(MediaEvent::Digit { digit, .. }) => {
                self.report.digits += 1;
                self.notes.push(MediaNote::Digit);
                self.agent.on_event(AgentEvent::Digit(digit), line);
            }
            Ok(MediaEvent::MarkReached { name }) => {
                let mark = WireMark::read(name);
                self.report.marks += 1;
                return self.reached(mark);
            }
            Ok(MediaEvent::Stopped) => return Err(SessionEnd::Carrier),
            // That the carrier has cleared is no news: the agent has been told when it was asked to.
            Ok(_) => {}
        }
        Ok(())
    }

    fn start(&mut self, start: StreamStart) -> Result<(), SessionEnd> {
        let refused = |error: telephony_core::audio::AudioError| SessionEnd::Refused(error.to_string());
        let (inbound, outbound) = (start.inbound, start.outbound);
        if start.call.id().is_some() {
            self.call.call = start.call.clone();
        }
        self.call.stream_id = start.stream_id.clone();
        self.call.parameters.extend(start.parameters.clone());
        let playout = Playout::new(start, self.pcm).map_err(refused)?;
        self.report.inbound = Some(inbound);
        self.report.outbound = Some(outbound);
        self.report.delay = playout.delay();
        self.notes.push(MediaNote::Started { inbound, outbound });
        self.playout = Some(playout);
        self.agent.on_event(AgentEvent::Started(&self.call), &mut self.line);
        Ok(())
    }

    fn reached(&mut self, mark: WireMark) -> Result<(), SessionEnd> {
        let Some(playout) = &mut self.playout else { return Ok(()) };
        match mark {
            WireMark::LastWord => {
                self.notes.push(MediaNote::Heard { mark: "last word".to_owned() });
                playout.finish(self.recorder.as_mut());
                return Err(self.over());
            }
            WireMark::Numbered(number) => {
                for name in playout.reached(number) {
                    self.agent.on_event(AgentEvent::MarkReached(&name), &mut self.line);
                    self.notes.push(MediaNote::Heard { mark: name });
                }
            }
            WireMark::Unknown => {}
        }
        Ok(())
    }

    /// What the agent did, onto the queue; what cannot wait, at once.
    fn act(&mut self) -> Result<(), MediaError> {
        let mut acts = self.line.take_acts();
        let outcome = acts.drain(..).scan(0, |said, act| Some(self.act_once(act, said))).collect();
        self.line.return_acts(acts);
        outcome
    }

    /// `said` is how many of the samples on the line have been dealt with.
    fn act_once(&mut self, act: Act, said: &mut usize) -> Result<(), MediaError> {
        let Some(playout) = &mut self.playout else { return Ok(()) };
        match act {
            Act::Clear => {
                let cleared = playout.clear();
                self.report.clears += 1;
                self.notes.push(MediaNote::Cleared);
                self.news.extend(cleared.marks.into_iter().map(News::MarkCleared));
                self.news.push_back(News::Cleared { unheard: cleared.unheard });
                self.codec.encode(MediaCommand::Clear, &mut self.out)?;
            }
            Act::Request(number, _) if self.ending.is_some() => {
                self.news.push_back(News::Refused { number, reason: "the call is being hung up".to_owned() });
            }
            _ if self.ending.is_some() => {} // Nothing is said after the last word.
            Act::Say(count) => {
                playout.say(&self.line.samples()[*said..*said + count]);
                *said += count;
                // An agent that says a frame at a time, such as an echo, is not worth a note for each.
                if count > self.pcm.samples_in(CHUNK) {
                    self.notes.push(MediaNote::AgentSays { length: self.pcm.duration_of_samples(count) });
                }
            }
            Act::Mark(name) => playout.mark(name),
            Act::HangUp(limit) => {
                playout.hang_up(limit);
                self.notes.push(MediaNote::AgentHangsUp);
                self.ending = Some(SessionEnd::Agent);
            }
            Act::Lost(reason) => {
                playout.hang_up(None);
                self.notes.push(MediaNote::AgentLost { reason: reason.clone() });
                self.ending = Some(SessionEnd::AgentLost(reason));
            }
            Act::Request(number, action) => {
                if let Err((number, Err(reason))) = self.requests.open(number, action) {
                    self.news.push_back(News::Refused { number, reason });
                }
            }
        }
        Ok(())
    }

    /// Sends what may be sent now.
    fn pump(&mut self) -> Result<(), MediaError> {
        let Some(playout) = &mut self.playout else { return Ok(()) };
        let ahead = self.profile.buffer.map_or(AHEAD, |buffer| AHEAD.min(buffer / 2));
        playout.pump(ahead, self.codec.as_mut(), &mut self.out, &mut self.report)
    }

    fn over(&mut self) -> SessionEnd {
        mem::take(&mut self.ending).unwrap_or(SessionEnd::Agent)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        num::NonZeroU32,
        sync::{Arc, Mutex},
    };

    use telephony_core::{CallRef, audio::AudioFrame, media::MediaAudio};

    use super::{super::playout::LAST_WORD, *};
    use crate::agent::{AGENT_RATE_HZ, AGENT_RATES_HZ, AgentAction, some_call};

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

    /// An agent that does as it is told: at the start, and when a key is pressed. It writes down what it is told.
    #[derive(Debug)]
    struct Told {
        at_start: fn(&mut AgentLine),
        at_key: fn(&mut AgentLine),
        rate: NonZeroU32,
        heard: Heard,
    }

    type Heard = Arc<Mutex<Vec<String>>>;

    impl CallAgent for Told {
        fn on_event(&mut self, event: AgentEvent<'_>, line: &mut AgentLine) {
            match event {
                AgentEvent::Started(_) => (self.at_start)(line),
                AgentEvent::Digit(_) => (self.at_key)(line),
                AgentEvent::Audio(_) => {}
                event => self.heard.lock().unwrap().push(format!("{event:?}")),
            }
        }

        fn sample_rate_hz(&self) -> NonZeroU32 {
            self.rate
        }
    }

    fn session_at(rate: NonZeroU32, at_start: fn(&mut AgentLine), at_key: fn(&mut AgentLine)) -> (MediaSession, Heard) {
        let profile = MediaProfile::new(&[FORMAT]);
        let heard = Heard::default();
        let agent = Box::new(Told { at_start, at_key, rate, heard: heard.clone() });
        let mut session = MediaSession::new(Box::new(Plain), agent, profile, some_call(), true);
        session.receive(WireMessage::Text("start")).unwrap();
        (session, heard)
    }

    fn session(at_start: fn(&mut AgentLine), at_key: fn(&mut AgentLine)) -> MediaSession {
        session_at(AGENT_RATE_HZ, at_start, at_key).0
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
        assert_eq!(sent(&mut session), ["1000", "mark telephony:mark-1", "500"]);
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
        let last = session.output().iter().last();
        assert_eq!(last, Some(WireMessage::Binary(&[3, 0].repeat(100))), "and what is said next is what is heard next");
        assert_eq!(sent(&mut session), ["clear", "100"]);
        assert_eq!(session.finish(&SessionEnd::Carrier).0.clears, 1);
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
        let (report, recording) = session.finish(&SessionEnd::Agent);
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
        assert_eq!(session.finish(&SessionEnd::Carrier).0.malformed, 1);
    }

    #[test]
    fn an_agent_hears_and_says_at_its_own_rate() {
        for rate in AGENT_RATES_HZ {
            // As much as a second at any rate; the carrier has 16 kHz.
            let (mut session, _) = session_at(rate, |_| {}, |line| line.say(&[100; 24_000]));
            session.receive(WireMessage::Text("press")).unwrap();
            let samples: usize = sent(&mut session)[0].parse().unwrap();
            let expected = 24_000 * 16_000 / rate.get() as usize;
            assert!(samples.abs_diff(expected) <= 1, "{rate}: {samples}");
            listen(&mut session, 200).unwrap();
            let (report, recording) = session.finish(&SessionEnd::Carrier);
            assert_eq!(report.agent_rate_hz, rate.get());
            let recording = recording.unwrap();
            assert_eq!((recording.sample_rate_hz(), recording.duration()), (rate, Duration::from_secs(4)));
            let said = AudioFormat::new(Encoding::Linear16, rate).duration_of_samples(24_000);
            // Rounded up for each piece.
            assert!(report.said >= said && report.said < said + Duration::from_micros(1), "{:?} {said:?}", report.said);
        }
    }

    /// Says back what it hears, at a rate of its own.
    #[derive(Debug)]
    struct Parrot(NonZeroU32);

    impl CallAgent for Parrot {
        fn on_event(&mut self, event: AgentEvent<'_>, line: &mut AgentLine) {
            if let AgentEvent::Audio(samples) = event {
                line.say(samples);
            }
        }

        fn sample_rate_hz(&self) -> NonZeroU32 {
            self.0
        }
    }

    #[test]
    fn sound_is_late_by_as_much_as_the_report_says() {
        for rate in AGENT_RATES_HZ {
            let (agent, profile) = (Box::new(Parrot(rate)), MediaProfile::new(&[FORMAT]));
            let mut session = MediaSession::new(Box::new(Plain), agent, profile, some_call(), false);
            session.receive(WireMessage::Text("start")).unwrap();
            // A click after 100 ms, as long as the slowest agent can hear it.
            let at = 1_600;
            let mut said = vec![0_i16; 8_000];
            said[at - 8..at + 8].fill(8_000);
            let mut heard = Vec::new();
            for frame in said.chunks(FRAME / 2) {
                let bytes: Vec<u8> = frame.iter().flat_map(|sample| sample.to_le_bytes()).collect();
                session.receive(WireMessage::Binary(&bytes)).unwrap();
                for message in session.output().iter() {
                    let WireMessage::Binary(bytes) = message else { continue };
                    heard.extend(bytes.chunks_exact(2).map(|pair| i32::from(i16::from_le_bytes([pair[0], pair[1]]))));
                }
                session.sent();
            }
            // Its middle, weighed by how loud it is.
            let weight: i64 = heard.iter().map(|sample| i64::from(*sample)).sum();
            let moment: i64 = heard.iter().zip(0_i64..).map(|(sample, n)| i64::from(*sample) * (2 * n + 1)).sum();
            let late = moment as f64 / weight as f64 / 2.0 - at as f64;
            let (report, _) = session.finish(&SessionEnd::Carrier);
            let stated = report.delay.as_secs_f64() * 16_000.0;
            assert!((late - stated).abs() < 1.0, "at {rate} Hz it is {late} samples late, and {stated} are stated");
        }
    }

    #[test]
    fn marks_tell_what_was_heard_and_what_was_not() {
        let (mut session, told) = session_at(
            AGENT_RATE_HZ,
            |line| {
                for name in ["same", "same", "last"] {
                    line.say(&[1; 16_000]);
                    line.mark(name);
                }
                line.say(&[1; 160_000]);
                line.mark("unsent");
            },
            AgentLine::clear,
        );
        sent(&mut session);
        // A mark that comes back speaks for those before it, too.
        listen(&mut session, 50).unwrap();
        session.receive(WireMessage::Text("telephony:mark-2")).unwrap();
        assert_eq!(*told.lock().unwrap(), [r#"MarkReached("same")"#, r#"MarkReached("same")"#]);
        session.receive(WireMessage::Text("press")).unwrap();
        // Told with the next of the caller's audio; what the carrier gives back then was not heard.
        listen(&mut session, 1).unwrap();
        session.receive(WireMessage::Text("telephony:mark-3")).unwrap();
        let told = told.lock().unwrap();
        assert_eq!(
            told[2..],
            [r#"MarkCleared("last")"#, r#"MarkCleared("unsent")"#, "Cleared { unheard: 12s }"],
            "of 13 seconds the caller has heard one"
        );
    }

    #[test]
    fn an_agent_cannot_end_the_call_with_a_name() {
        let mut session = session(
            |line| {
                line.say(&[1; 160]);
                line.mark(LAST_WORD);
            },
            |_| {},
        );
        assert_eq!(sent(&mut session), ["160", "mark telephony:mark-1"]);
        assert_eq!(session.receive(WireMessage::Text("telephony:mark-1")), Ok(()));
    }

    #[test]
    fn an_interruption_of_the_last_word_ends_the_call_sooner() {
        let mut session = session(
            |line| {
                line.say(&[1; 160_000]);
                line.hang_up();
            },
            AgentLine::clear,
        );
        listen(&mut session, 1).unwrap();
        sent(&mut session);
        session.receive(WireMessage::Text("press")).unwrap();
        let last_word = format!("mark {LAST_WORD}");
        assert_eq!(sent(&mut session), ["clear", &last_word], "some carriers throw the mark away, too");
        assert_eq!(listen(&mut session, 80), Err(SessionEnd::Agent));
    }

    #[test]
    fn a_hang_up_has_a_limit() {
        let mut session = session(
            |line| {
                line.say(&[1; 160_000]);
                line.hang_up_within(Duration::from_secs(1));
            },
            |_| {},
        );
        listen(&mut session, 49).unwrap();
        assert_eq!(listen(&mut session, 1), Err(SessionEnd::Agent));
    }

    #[test]
    fn an_agent_that_is_lost_is_still_heard() {
        let (mut session, told) = session_at(
            AGENT_RATE_HZ,
            |line| {
                line.say(&[1; 16_000]);
                line.lose("it went away".to_owned());
            },
            |_| {},
        );
        assert_eq!(sent(&mut session), ["16000", &format!("mark {LAST_WORD}")]);
        listen(&mut session, 50).unwrap();
        let end = session.receive(WireMessage::Text(LAST_WORD)).unwrap_err();
        assert_eq!(end, SessionEnd::AgentLost("it went away".to_owned()));
        assert!(session.take_notes().any(|note| matches!(note, MediaNote::AgentLost { .. })));
        let _report = session.finish(&end);
        assert_eq!(*told.lock().unwrap(), ["Stopped(AgentLost)"]);
    }

    #[test]
    fn requests_go_up_and_answers_come_back() {
        let ask = |line: &mut AgentLine| {
            line.request(AgentAction::SendDigits { digits: "12#".parse().unwrap() });
            line.request(AgentAction::Transfer { to: "+14155550100".parse().unwrap() });
        };
        let (mut session, told) = session_at(AGENT_RATE_HZ, |_| {}, ask);
        session.receive(WireMessage::Text("press")).unwrap();
        let mut requests = session.take_requests().into_iter();
        assert!(matches!(requests.next().map(|request| request.done()), Some(())));
        requests.next().unwrap().refuse("is not possible here");
        listen(&mut session, 1).unwrap();
        let expected = [
            "RequestAnswered { number: 1, outcome: Ok(()) }",
            "RequestAnswered { number: 2, outcome: Err(\"is not possible here\") }",
        ];
        assert_eq!(*told.lock().unwrap(), expected);
    }

    #[test]
    fn a_frame_takes_no_memory_once_warm() {
        let profile = MediaProfile::new(&[FORMAT]);
        let mut session =
            MediaSession::new(Box::new(Plain), Box::new(Parrot(AGENT_RATE_HZ)), profile, some_call(), false);
        session.receive(WireMessage::Text("start")).unwrap();
        let mut warm = None;
        for _ in 0..100 {
            listen(&mut session, 1).unwrap();
            session.sent();
            let buffers = session.playout.as_ref().unwrap().memory();
            let buffers = (buffers, session.line.samples().as_ptr() as usize);
            assert_eq!(*warm.get_or_insert(buffers), buffers);
        }
    }
}
