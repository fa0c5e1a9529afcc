//! The agent that holds a conversation of fixed lines.

use std::{collections::VecDeque, num::NonZeroU32, time::Duration};

use telephony_core::audio::{AudioError, AudioFormat, Encoding, Pcm, rms_dbfs};

use super::{AGENT_RATE_HZ, AgentEvent, AgentLine, CallAgent};

/// Louder than this is speech, not line noise.
const SPEECH_DBFS: f32 = -45.0;

/// So long a silence after speech is the end of what the caller says.
const TURN_PAUSE: Duration = Duration::from_millis(600);

/// A caller who says nothing for so long is spoken to again.
const PATIENCE: Duration = Duration::from_secs(8);

/// Built-in lines, see `assets/README.md`.
const GREETING: &[u8] = include_bytes!("../../assets/greeting.wav");
const GOODBYE: &[u8] = include_bytes!("../../assets/goodbye.wav");

/// Says a line, listens until the caller has spoken and paused, says the next, and hangs up after the last.
#[derive(Debug)]
pub struct Dialogue {
    pcm: AudioFormat,
    lines: VecDeque<Vec<i16>>,
    state: State,
    heard_speech: bool,
    quiet_for: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Until what was said has been heard.
    Speaking,
    Listening,
    Done,
}

impl Dialogue {
    /// A conversation of these lines, at [`AGENT_RATE_HZ`].
    ///
    /// # Errors
    ///
    /// [`AudioError`] when the rate of one cannot be converted.
    pub fn new(lines: &[Pcm]) -> Result<Self, AudioError> {
        Self::at(AGENT_RATE_HZ, lines)
    }

    /// A conversation of these lines at this rate.
    ///
    /// # Errors
    ///
    /// [`AudioError`] when one of the rates cannot be converted.
    pub fn at(sample_rate_hz: NonZeroU32, lines: &[Pcm]) -> Result<Self, AudioError> {
        let lines = lines.iter().map(|line| line.resampled(sample_rate_hz).map(|pcm| pcm.samples));
        Ok(Self {
            pcm: AudioFormat::new(Encoding::Linear16, sample_rate_hz),
            lines: lines.collect::<Result<_, _>>()?,
            state: State::Speaking,
            heard_speech: false,
            quiet_for: Duration::ZERO,
        })
    }

    /// The built-in demonstration: a greeting, the caller's turn, a goodbye.
    ///
    /// # Errors
    ///
    /// None with the recordings that are built in.
    pub fn demonstration() -> Result<Self, AudioError> {
        Self::new(&[Pcm::from_wav(GREETING)?, Pcm::from_wav(GOODBYE)?])
    }

    fn say_next(&mut self, line: &mut AgentLine) {
        match self.lines.pop_front() {
            Some(samples) if self.lines.is_empty() => {
                line.say(&samples);
                line.hang_up();
                self.state = State::Done;
            }
            Some(samples) => {
                line.say(&samples);
                line.mark("line");
                self.state = State::Speaking;
            }
            None => self.state = State::Done,
        }
    }

    fn listen(&mut self, samples: &[i16], line: &mut AgentLine) {
        if rms_dbfs(samples) > SPEECH_DBFS {
            self.heard_speech = true;
            self.quiet_for = Duration::ZERO;
            return;
        }
        self.quiet_for += self.pcm.duration_of_samples(samples.len());
        let enough = if self.heard_speech { TURN_PAUSE } else { PATIENCE };
        if self.quiet_for >= enough {
            self.say_next(line);
        }
    }
}

impl CallAgent for Dialogue {
    fn on_event(&mut self, event: AgentEvent<'_>, line: &mut AgentLine) {
        match event {
            AgentEvent::Started(_) => self.say_next(line),
            AgentEvent::MarkReached(_) if self.state == State::Speaking => {
                self.state = State::Listening;
                self.heard_speech = false;
                self.quiet_for = Duration::ZERO;
            }
            AgentEvent::Audio(samples) if self.state == State::Listening => self.listen(samples, line),
            _ => {}
        }
    }

    fn sample_rate_hz(&self) -> NonZeroU32 {
        self.pcm.sample_rate_hz
    }
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    const LOUD: [i16; 320] = [8_000; 320];
    const QUIET: [i16; 320] = [0; 320];

    fn agent() -> Dialogue {
        let line = |length| Pcm { sample_rate_hz: AGENT_RATE_HZ, samples: vec![1; length] };
        Dialogue::new(&[line(10), line(20)]).unwrap()
    }

    #[test]
    fn lets_the_caller_finish() {
        let mut agent = agent();
        assert_eq!(acts_of(&mut agent, AgentEvent::Started(&some_call())), [Act::Say(10), Act::Mark("line".into())]);
        // Talking over it changes nothing.
        assert_eq!(acts_of(&mut agent, AgentEvent::Audio(&LOUD)), []);
        acts_of(&mut agent, AgentEvent::MarkReached("line"));
        assert_eq!(acts_of(&mut agent, AgentEvent::Audio(&LOUD)), []);
        for _ in 0..29 {
            assert_eq!(acts_of(&mut agent, AgentEvent::Audio(&QUIET)), []);
        }
        assert_eq!(acts_of(&mut agent, AgentEvent::Audio(&QUIET)), [Act::Say(20), Act::HangUp(None)]);
        assert_eq!(acts_of(&mut agent, AgentEvent::Audio(&QUIET)), []);
    }

    #[test]
    fn a_silent_caller_is_not_waited_for_forever() {
        let mut agent = agent();
        acts_of(&mut agent, AgentEvent::Started(&some_call()));
        acts_of(&mut agent, AgentEvent::MarkReached("line"));
        let ticks = (1..1_000).find(|_| !acts_of(&mut agent, AgentEvent::Audio(&QUIET)).is_empty());
        assert_eq!(ticks, Some(400));
    }

    #[test]
    fn the_demonstration_is_built_in() {
        assert_eq!(Dialogue::demonstration().unwrap().lines.len(), 2);
    }
}
