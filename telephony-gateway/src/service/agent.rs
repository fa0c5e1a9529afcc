//! What a workflow says of its agent.

use std::{fmt, fs::File, io::BufReader, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use telephony_core::{Url, audio::Pcm};
use utoipa::ToSchema;

use super::{ServiceError, ServiceOptions};
use crate::agent::{AgentError, CallAgent, Dialogue, Echo, PlayOut, WebSocketAgent, WebSocketAgentConfig};

/// Who talks in the calls of a workflow.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum AgentSpec {
    /// Greets, listens, thanks, hangs up: to try things out.
    Dialogue,
    /// Says back what it hears.
    Echo,
    /// Plays a recording, then hangs up.
    Play {
        /// A WAV file in the gateway's folder of sounds, by its name.
        file: String,
    },
    /// A program of yours, which the gateway connects to.
    Websocket {
        /// Where it listens, `ws://` or `wss://`.
        #[schema(value_type = String)]
        url: Url,
        /// What it speaks: `pcm`, or the name of a carrier whose media streams it was written for.
        #[serde(default = "default_protocol")]
        protocol: String,
        /// At which rate it hears and speaks: 8000, 16000, 24000 or 48000. Absent: 16000, or what the carrier's streams have.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sample_rate_hz: Option<u32>,
    },
}

fn default_protocol() -> String {
    "pcm".to_owned()
}

fn elsewhere(url: &Url, protocol: &str, sample_rate_hz: Option<u32>) -> WebSocketAgentConfig {
    let mut config = WebSocketAgentConfig::new(url.clone()).with_protocol(protocol);
    config.sample_rate_hz = sample_rate_hz;
    config
}

/// Without the path and the query of a URL, which may hold a secret.
impl fmt::Debug for AgentSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dialogue => f.write_str("Dialogue"),
            Self::Echo => f.write_str("Echo"),
            Self::Play { file } => f.debug_struct("Play").field("file", file).finish(),
            Self::Websocket { url, protocol, sample_rate_hz } => elsewhere(url, protocol, *sample_rate_hz).fmt(f),
        }
    }
}

/// Why an agent could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentSpecError {
    /// It cannot be had as it is configured.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// Its recording cannot be read.
    #[error("the recording {file} cannot be read")]
    Recording {
        /// Its name.
        file: String,
        /// Why not.
        #[source]
        source: telephony_core::BoxError,
    },
}

impl AgentSpec {
    /// Checks what its type cannot say.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Invalid`], by field.
    pub fn check(&self, options: &ServiceOptions) -> Result<(), ServiceError> {
        match self {
            Self::Play { file } if Path::new(file).file_name() != Some(file.as_ref()) => {
                Err(ServiceError::invalid("agent.file", "must be the name of a file, without a folder"))
            }
            _ => match self.make(options) {
                Ok(_) => Ok(()),
                Err(AgentSpecError::Agent(AgentError::Config(error))) => {
                    Err(ServiceError::invalid(format!("agent.{}", error.field), error.reason))
                }
                Err(error) => Err(ServiceError::invalid("agent.file", telephony_core::error_chain(&error))),
            },
        }
    }

    /// Makes the agent of one call.
    ///
    /// # Errors
    ///
    /// [`AgentSpecError`].
    pub fn make(&self, options: &ServiceOptions) -> Result<Box<dyn CallAgent>, AgentSpecError> {
        Ok(match self {
            Self::Dialogue => Box::new(Dialogue::demonstration().map_err(AgentError::from)?),
            Self::Echo => Box::new(Echo),
            Self::Play { file } => {
                let unreadable = |source| AgentSpecError::Recording { file: file.clone(), source };
                let folder = options
                    .sounds
                    .as_deref()
                    .ok_or_else(|| unreadable("the gateway has no folder of sounds".into()))?;
                let opened = File::open(folder.join(file)).map_err(|error| unreadable(error.into()))?;
                let recording = Pcm::from_wav(BufReader::new(opened)).map_err(|error| unreadable(error.into()))?;
                Box::new(PlayOut::new(&recording).map_err(AgentError::from)?)
            }
            Self::Websocket { url, protocol, sample_rate_hz } => {
                let config = elsewhere(url, protocol, *sample_rate_hz);
                let agent = WebSocketAgent::new(&config).and_then(|agent| agent.only_at(options.agent_hosts));
                Box::new(agent.map_err(AgentError::from)?)
            }
        })
    }

    /// As it is stored.
    #[must_use]
    pub fn to_json(&self) -> Value {
        // Texts and numbers always can be written.
        serde_json::to_value(self).unwrap_or_default()
    }
}
