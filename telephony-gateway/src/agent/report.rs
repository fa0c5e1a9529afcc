//! How it went between a session and an agent elsewhere.

use std::time::Duration;

use serde::Serialize;

use crate::timeline::as_milliseconds;

/// What was late and what was lost on the way to an agent elsewhere. Times are told by the caller's audio, to 20 ms.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AgentReport {
    /// How long it took to reach the agent; absent if it was not reached.
    #[serde(rename = "connected_after_ms", serialize_with = "optional_milliseconds")]
    pub connected_after: Option<Duration>,
    /// How much of the caller's voice was thrown away, because the agent did not take it in time.
    #[serde(rename = "dropped_ms", serialize_with = "as_milliseconds")]
    pub dropped: Duration,
    /// How much of the caller's voice waited for the agent at the worst moment since it was reached.
    #[serde(rename = "latest_ms", serialize_with = "as_milliseconds")]
    pub latest: Duration,
    /// The longest time that the agent took to answer a ping.
    #[serde(rename = "slowest_pong_ms", serialize_with = "as_milliseconds")]
    pub slowest_pong: Duration,
    /// Messages of the agent that could not be read. It was told, if its protocol has a word for it.
    pub refused: u64,
    /// How often the agent had said so much more than was heard that it was made to wait.
    pub made_to_wait: u64,
}

fn optional_milliseconds<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => as_milliseconds(duration, serializer),
        None => serializer.serialize_none(),
    }
}
