//! What is told of a call's audio: while it lasts, and when it is over.

use std::time::Duration;

use telephony_core::audio::AudioFormat;

use crate::{
    agent::{AgentReport, StopReason},
    timeline::as_milliseconds,
};

/// What went over a media socket.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct MediaReport {
    /// What the carrier sent.
    pub inbound: Option<AudioFormat>,
    /// What it was sent.
    pub outbound: Option<AudioFormat>,
    /// Samples per second that the agent heard and said.
    pub agent_rate_hz: u32,
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
    /// What was late and what was lost on the way to the agent, if it is elsewhere.
    pub agent: Option<AgentReport>,
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
    /// The agent could not be reached, or was lost, and the caller has heard what it had said.
    AgentLost(String),
    /// The carrier's audio cannot be carried.
    Refused(String),
    /// The other end fell silent, or did not take what it was sent.
    Lost(String),
}

impl SessionEnd {
    /// What an agent is told of it.
    #[must_use]
    pub fn reason(&self) -> StopReason {
        match self {
            Self::Carrier => StopReason::CallEnded,
            Self::Agent => StopReason::AgentHungUp,
            Self::AgentLost(_) => StopReason::AgentLost,
            Self::Refused(_) => StopReason::StreamRefused,
            Self::Lost(_) => StopReason::StreamLost,
        }
    }
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
    /// The agent is gone. The call ends once what it said has been heard.
    AgentLost {
        /// Why.
        reason: String,
    },
}
