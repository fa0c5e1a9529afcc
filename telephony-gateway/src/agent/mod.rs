//! Agents: who talks on our side of a call.
//!
//! A [`CallAgent`] hears what the caller says and says something back. It is called in the task that carries the call's
//! audio, for every 20 ms of it, so it must not wait for anything: an agent that asks a service elsewhere hands the audio on
//! and takes up what came back the next time that it is called.

mod dialogue;
mod echo;
mod play;

use std::{fmt, num::NonZeroU32};

pub use dialogue::Dialogue;
pub use echo::Echo;
pub use play::PlayOut;

/// The rate at which agents hear and speak unless they ask for another.
pub const AGENT_RATE_HZ: NonZeroU32 = NonZeroU32::new(16_000).unwrap();

/// Something that happens on the line.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum AgentEvent<'a> {
    /// The line is open.
    Started,
    /// The caller's voice: 16-bit linear samples at the agent's rate, as many as the carrier sent, usually 20 ms.
    Audio(&'a [i16]),
    /// The caller pressed a key.
    Digit(char),
    /// The caller has heard everything said before this mark, or it was cleared away.
    MarkReached(&'a str),
    /// What was said and not yet heard has been thrown away.
    Cleared,
    /// The line is closed. What is said now is not heard.
    Stopped,
}

/// An agent in one call.
pub trait CallAgent: Send + fmt::Debug {
    /// Hears what happens, and answers on the line.
    fn on_event(&mut self, event: AgentEvent<'_>, line: &mut AgentLine);
}

/// What an agent says and does, in order.
#[derive(Debug, Default)]
pub struct AgentLine {
    pub(crate) samples: Vec<i16>,
    pub(crate) acts: Vec<Act>,
}

/// One thing that an agent did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// So many more of the samples.
    Say(usize),
    Mark(String),
    Clear,
    HangUp,
}

impl AgentLine {
    /// Says something, behind what was said before: linear samples at the agent's rate, any number.
    pub fn say(&mut self, samples: &[i16]) {
        if samples.is_empty() {
            return;
        }
        self.samples.extend_from_slice(samples);
        match self.acts.last_mut() {
            Some(Act::Say(count)) => *count += samples.len(),
            _ => self.acts.push(Act::Say(samples.len())),
        }
    }

    /// Asks to be told when everything said so far has been heard.
    pub fn mark(&mut self, name: impl Into<String>) {
        self.acts.push(Act::Mark(name.into()));
    }

    /// Falls silent at once: what was said and not yet heard is thrown away.
    pub fn clear(&mut self) {
        self.acts.push(Act::Clear);
    }

    /// Hangs up once everything said so far has been heard.
    pub fn hang_up(&mut self) {
        self.acts.push(Act::HangUp);
    }

    pub(crate) fn reset(&mut self) {
        self.samples.clear();
        self.acts.clear();
    }
}

#[cfg(test)]
pub(crate) fn acts_of(agent: &mut dyn CallAgent, event: AgentEvent<'_>) -> Vec<Act> {
    let mut line = AgentLine::default();
    agent.on_event(event, &mut line);
    line.acts
}
