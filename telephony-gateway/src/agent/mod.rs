//! Agents: who talks on our side of a call.
//!
//! A [`CallAgent`] hears what the caller says and says something back. It is called in the task that carries the call's
//! audio, for every 20 ms of it, so it must not wait for anything: an agent that asks a service elsewhere hands the audio on
//! and takes up what came back the next time that it is called. [`WebSocketAgent`] is one that does.

mod call;
mod dialogue;
mod echo;
mod line;
mod play;
mod report;
mod request;
pub mod websocket;

use std::{fmt, num::NonZeroU32, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telephony_core::audio::AudioError;

pub use call::AgentCall;
pub use dialogue::Dialogue;
pub use echo::Echo;
pub(crate) use line::Act;
pub use line::AgentLine;
pub use play::PlayOut;
pub use report::AgentReport;
pub(crate) use request::Requests;
pub use request::{AgentAction, AgentRequest};
pub use websocket::{AgentConfigError, AgentHosts, WebSocketAgent, WebSocketAgentConfig};

/// The rate at which agents hear and speak unless they ask for another: what most speech recognisers want.
pub const AGENT_RATE_HZ: NonZeroU32 = NonZeroU32::new(16_000).unwrap();

/// The rates that an agent may ask for: those between which the core converts.
pub const AGENT_RATES_HZ: [NonZeroU32; 4] = [
    NonZeroU32::new(8_000).unwrap(),
    AGENT_RATE_HZ,
    NonZeroU32::new(24_000).unwrap(),
    NonZeroU32::new(48_000).unwrap(),
];

/// Something that happens on the line.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum AgentEvent<'a> {
    /// The line is open. Comes once, before anything else.
    Started(&'a AgentCall),
    /// The caller's voice: 16-bit linear samples at the agent's rate, as many as the carrier sent, usually 20 ms.
    Audio(&'a [i16]),
    /// The caller pressed a key.
    Digit(char),
    /// The caller has heard everything said before this mark.
    MarkReached(&'a str),
    /// What was said before this mark has been thrown away, or a part of it: the caller will not hear it whole.
    MarkCleared(&'a str),
    /// What was said and not yet heard has been thrown away, as the agent asked.
    Cleared {
        /// How much that was, going by the caller's clock: the caller has heard everything but so much of it.
        unheard: Duration,
    },
    /// A request of the agent was carried out, or was not.
    RequestAnswered {
        /// What [`AgentLine::request`] returned.
        number: u64,
        /// Why it was not.
        outcome: Result<(), &'a str>,
    },
    /// The line is closed. What is said now is not heard. Comes once, after everything else.
    Stopped(StopReason),
}

/// Why a line was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// The carrier closed the stream: the caller hung up, or the call was ended or moved on.
    CallEnded,
    /// The agent hung up, and the caller has heard its last word.
    AgentHungUp,
    /// The agent was lost.
    AgentLost,
    /// The carrier's stream broke off.
    StreamLost,
    /// The carrier's audio cannot be carried.
    StreamRefused,
}

/// An agent in one call.
pub trait CallAgent: Send + fmt::Debug {
    /// Hears what happens, and answers on the line.
    fn on_event(&mut self, event: AgentEvent<'_>, line: &mut AgentLine);

    /// Samples per second that it hears and says: one of [`AGENT_RATES_HZ`]. Asked once, before the line is open.
    fn sample_rate_hz(&self) -> NonZeroU32 {
        AGENT_RATE_HZ
    }

    /// How it went between the session and an agent elsewhere. Asked once, after the line was closed; an agent that is here
    /// has nothing to say.
    fn report(&self) -> Option<AgentReport> {
        None
    }
}

/// Why an agent could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// What it is to say cannot be said.
    #[error("the agent cannot speak")]
    Audio(#[from] AudioError),
    /// What it was configured with is wrong.
    #[error("the agent's {0}")]
    Config(#[from] AgentConfigError),
}

#[cfg(test)]
pub(crate) fn acts_of(agent: &mut dyn CallAgent, event: AgentEvent<'_>) -> Vec<Act> {
    let mut line = AgentLine::default();
    agent.on_event(event, &mut line);
    line.take_acts()
}

#[cfg(test)]
pub(crate) fn some_call() -> AgentCall {
    AgentCall::new(telephony_core::ProviderName::new("acme"), telephony_core::Direction::Outbound)
}
