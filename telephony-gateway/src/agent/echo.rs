//! The agent that says what it hears.

use super::{AgentEvent, AgentLine, CallAgent};

/// Says back what it hears, as it hears it. Good for judging delay and sound.
#[derive(Debug, Default)]
pub struct Echo;

impl CallAgent for Echo {
    fn on_event(&mut self, event: AgentEvent<'_>, line: &mut AgentLine) {
        if let AgentEvent::Audio(samples) = event {
            line.say(samples);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    #[test]
    fn says_what_it_hears() {
        assert_eq!(acts_of(&mut Echo, AgentEvent::Audio(&[1, 2, 3])), [Act::Say(3)]);
        assert_eq!(acts_of(&mut Echo, AgentEvent::Digit('1')), []);
    }
}
