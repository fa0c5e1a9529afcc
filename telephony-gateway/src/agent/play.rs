//! The agent that plays a recording.

use telephony_core::audio::{AudioError, Pcm};

use super::{AGENT_RATE_HZ, AgentEvent, AgentLine, CallAgent};

/// Plays a recording once, then hangs up.
#[derive(Debug)]
pub struct PlayOut {
    samples: Vec<i16>,
}

impl PlayOut {
    /// Takes a recording.
    ///
    /// # Errors
    ///
    /// [`AudioError`] when its rate cannot be converted.
    pub fn new(recording: &Pcm) -> Result<Self, AudioError> {
        Ok(Self { samples: recording.resampled(AGENT_RATE_HZ)?.samples })
    }
}

impl CallAgent for PlayOut {
    fn on_event(&mut self, event: AgentEvent<'_>, line: &mut AgentLine) {
        if event == AgentEvent::Started {
            line.say(&self.samples);
            line.hang_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    #[test]
    fn plays_at_the_agents_rate_and_hangs_up() {
        let narrow = Pcm { sample_rate_hz: NonZeroU32::new(8_000).unwrap(), samples: vec![100; 800] };
        let mut agent = PlayOut::new(&narrow).unwrap();
        let acts = acts_of(&mut agent, AgentEvent::Started);
        assert_eq!(acts, [Act::Say(1_600), Act::HangUp]);
        assert_eq!(acts_of(&mut agent, AgentEvent::Audio(&[0; 320])), []);
    }
}
