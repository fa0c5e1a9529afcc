//! What a workflow says of its agent.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use telephony_core::Url;
use telephony_registry::Registry;
use utoipa::ToSchema;

use super::ServiceError;

/// The rates at which an agent can hear and speak, in samples a second.
const RATES_HZ: &[u32] = &[8_000, 16_000, 24_000, 48_000];

/// Our own protocol for agents: see `docs/agent-protocol.md`.
const PCM: &str = "pcm";

/// Who talks in the calls of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum AgentSpec {
    /// Greets, listens, thanks, hangs up: to try things out.
    Dialogue,
    /// Says back what it hears.
    Echo,
    /// A program of yours, which the gateway connects to.
    Websocket {
        /// Where it listens, `ws://` or `wss://`.
        #[schema(value_type = String)]
        url: Url,
        /// At which rate it hears and speaks: 8000, 16000, 24000 or 48000.
        #[serde(default = "default_rate_hz")]
        sample_rate_hz: u32,
        /// What it speaks: `pcm`, or the name of a carrier whose media protocol it was written for.
        #[serde(default = "default_protocol")]
        protocol: String,
    },
}

fn default_rate_hz() -> u32 {
    16_000
}

fn default_protocol() -> String {
    PCM.to_owned()
}

impl AgentSpec {
    /// Checks what its type cannot say.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Invalid`], by field.
    pub fn check(&self, registry: &Registry) -> Result<(), ServiceError> {
        let Self::Websocket { url, sample_rate_hz, protocol } = self else { return Ok(()) };
        if !matches!(url.scheme(), "ws" | "wss") || !url.has_host() {
            return Err(ServiceError::invalid("agent.url", "must start with ws:// or wss://"));
        }
        if !RATES_HZ.contains(sample_rate_hz) {
            let rates: Vec<String> = RATES_HZ.iter().map(ToString::to_string).collect();
            return Err(ServiceError::invalid("agent.sample_rate_hz", format!("must be one of {}", rates.join(", "))));
        }
        if protocol != PCM && registry.get(protocol).is_err() {
            let linked: Vec<&str> = registry.iter().map(|provider| provider.name().as_str()).collect();
            let reason = format!("must be {PCM}, or one of {}", linked.join(", "));
            return Err(ServiceError::invalid("agent.protocol", reason));
        }
        Ok(())
    }

    /// As it is stored.
    #[must_use]
    pub fn to_json(&self) -> Value {
        // Texts and numbers always can be written.
        serde_json::to_value(self).unwrap_or_default()
    }
}
