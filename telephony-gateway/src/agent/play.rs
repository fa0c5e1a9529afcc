//! The agent that plays a recording.

use std::num::NonZeroU32;

use telephony_core::audio::{AudioError, Pcm};

use super::{AGENT_RATE_HZ, AgentEvent, AgentLine, CallAgent};

/// Plays a recording once, then hangs up.
#[derive(Debug)]
pub struct PlayOut {
    recording: Pcm,
}

impl PlayOut {
    /// Takes a recording, and plays it at [`AGENT_RATE_HZ`].
    ///
    /// # Errors
    ///
    /// [`AudioError`] when its rate cannot be converted.
    pub fn new(recording: &Pcm) -> Result<Self, AudioError> {
        Self::at(AGENT_RATE_HZ, recording)
    }

    /// Takes a recording, and plays it at this rate.
    ///
    /// # Errors
    ///
    /// [`AudioError`] when one of the rates cannot be converted.
    pub fn at(sample_rate_hz: NonZeroU32, recording: &Pcm) -> Result<Self, AudioError> {
        Ok(Self { recording: recording.resampled(sample_rate_hz)? })
    }
}

impl CallAgent for PlayOut {
    fn on_event(&mut self, event: AgentEvent<'_>, line: &mut AgentLine) {
        if let AgentEvent::Started(_) = event {
            line.say(&self.recording.samples);
            line.hang_up();
        }
    }

    fn sample_rate_hz(&self) -> NonZeroU32 {
        self.recording.sample_rate_hz
    }
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    #[test]
    fn plays_at_the_agents_rate_and_hangs_up() {
        let narrow = Pcm { sample_rate_hz: NonZeroU32::new(8_000).unwrap(), samples: vec![100; 800] };
        let mut agent = PlayOut::new(&narrow).unwrap();
        let acts = acts_of(&mut agent, AgentEvent::Started(&some_call()));
        assert_eq!(acts, [Act::Say(1_600), Act::HangUp(None)]);
        assert_eq!(acts_of(&mut agent, AgentEvent::Audio(&[0; 320])), []);
        let mut agent = PlayOut::at(narrow.sample_rate_hz, &narrow).unwrap();
        assert_eq!(agent.sample_rate_hz().get(), 8_000);
        assert_eq!(acts_of(&mut agent, AgentEvent::Started(&some_call())), [Act::Say(800), Act::HangUp(None)]);
    }
}
