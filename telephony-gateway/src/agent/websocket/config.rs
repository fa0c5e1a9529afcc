//! Where an agent is, and what it speaks.

use std::{fmt, num::NonZeroU32};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telephony_core::{ProviderDescriptor, Url, audio::AudioFormat};
use telephony_registry::Registry;

use crate::agent::{AGENT_RATE_HZ, AGENT_RATES_HZ};

/// The name of our own protocol.
pub const PCM: &str = "pcm";

/// An agent of yours, in any language, that listens for WebSockets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebSocketAgentConfig {
    /// Where it listens: `wss://…`, or `ws://…` where the network can be trusted.
    pub url: Url,
    /// What it speaks: `pcm`, or the name of a carrier whose media streams it was written for.
    #[serde(default = "pcm")]
    pub protocol: String,
    /// Samples per second, both ways. Absent: 16000, or what the carrier's streams have by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate_hz: Option<u32>,
}

fn pcm() -> String {
    PCM.to_owned()
}

/// What is wrong with the configuration of an agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
#[non_exhaustive]
pub struct AgentConfigError {
    /// The field of [`WebSocketAgentConfig`].
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl WebSocketAgentConfig {
    /// An agent that speaks `pcm` at 16 kHz.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self { url, protocol: pcm(), sample_rate_hz: None }
    }

    /// Speaks another protocol.
    #[must_use]
    pub fn with_protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocol = protocol.into();
        self
    }

    /// Speaks at another rate, in Hz.
    #[must_use]
    pub fn with_sample_rate(mut self, sample_rate_hz: u32) -> Self {
        self.sample_rate_hz = Some(sample_rate_hz);
        self
    }

    /// Checks it, and finds out what it means.
    pub(super) fn resolve(&self, registry: &Registry) -> Result<Protocol, AgentConfigError> {
        let wrong = |field, reason: String| Err(AgentConfigError { field, reason });
        if !matches!(self.url.scheme(), "ws" | "wss") || self.url.host_str().is_none_or(str::is_empty) {
            return wrong("url", "must start with ws:// or wss:// and a host".to_owned());
        }
        if !self.url.username().is_empty() || self.url.password().is_some() {
            return wrong("url", "must not hold a user name or password: they are not sent; use the query".to_owned());
        }
        if self.url.fragment().is_some() {
            return wrong("url", "must not have a fragment: it is not sent".to_owned());
        }
        if self.protocol == PCM {
            let rate = self
                .sample_rate_hz
                .map_or(Some(AGENT_RATE_HZ), |wanted| AGENT_RATES_HZ.into_iter().find(|rate| rate.get() == wanted));
            let Some(rate) = rate else {
                return wrong("sample_rate_hz", format!("must be one of {}", listed(AGENT_RATES_HZ)));
            };
            return Ok(Protocol::Pcm(rate));
        }
        let Some(carrier) = registry.iter().find(|provider| provider.name().as_str() == self.protocol) else {
            let known = registry.names().into_iter().fold(PCM.to_owned(), |names, name| names + ", " + name);
            return wrong("protocol", format!("must be one of {known}"));
        };
        let formats = carrier.media().formats;
        let format = match self.sample_rate_hz {
            None => formats.first(),
            Some(wanted) => formats.iter().find(|format| format.sample_rate_hz.get() == wanted),
        };
        match format {
            Some(format) => Ok(Protocol::Carrier(carrier, *format)),
            None => {
                let mut rates: Vec<_> = formats.iter().map(|format| format.sample_rate_hz).collect();
                rates.sort_unstable();
                rates.dedup();
                wrong("sample_rate_hz", format!("must be one of {}, as {} has it", listed(rates), self.protocol))
            }
        }
    }
}

fn listed(rates: impl IntoIterator<Item = NonZeroU32>) -> String {
    rates.into_iter().map(|rate| rate.to_string()).collect::<Vec<_>>().join(", ")
}

/// What an agent speaks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Protocol {
    Pcm(NonZeroU32),
    Carrier(&'static ProviderDescriptor, AudioFormat),
}

/// The URL up to its port: what follows may be a secret.
pub(super) struct Origin<'a>(pub(super) &'a Url);

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for WebSocketAgentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketAgentConfig")
            .field("url", &format_args!("{}/…", Origin(&self.url)))
            .field("protocol", &self.protocol)
            .field("sample_rate_hz", &self.sample_rate_hz)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(config: &WebSocketAgentConfig) -> (&'static str, String) {
        let registry = Registry::linked().unwrap();
        let error = config.resolve(&registry).expect_err("it is wrong");
        (error.field, error.reason)
    }

    fn at(url: &str) -> WebSocketAgentConfig {
        WebSocketAgentConfig::new(url.parse().unwrap())
    }

    #[test]
    fn what_is_wrong_is_said_with_the_field() {
        for (url, part) in [
            ("http://example.com", "ws://"),
            ("ws:example", "fragment"),
            ("ws://anna@example.com", "user name"),
            ("ws://example.com/#x", "fragment"),
        ] {
            let config = at(url);
            if part == "fragment" && config.url.fragment().is_none() {
                continue; // The parser makes a host of it.
            }
            let (field, reason) = wrong(&config);
            assert!(field == "url" && reason.contains(part), "{url}: {field} {reason}");
        }
        let (field, reason) = wrong(&at("ws://localhost").with_sample_rate(44_100));
        assert_eq!((field, reason.as_str()), ("sample_rate_hz", "must be one of 8000, 16000, 24000, 48000"));
        let (field, reason) = wrong(&at("ws://localhost").with_protocol("smoke"));
        assert!(field == "protocol" && reason.starts_with("must be one of pcm"), "{reason}");
        for carrier in Registry::linked().unwrap().iter() {
            let (field, _) = wrong(&at("ws://localhost").with_protocol(carrier.name().as_str()).with_sample_rate(11));
            assert_eq!(field, "sample_rate_hz");
        }
    }

    #[test]
    fn a_carriers_agent_gets_the_format_that_its_streams_have() {
        let registry = Registry::linked().unwrap();
        for carrier in registry.iter() {
            let name = carrier.name().as_str();
            for format in carrier.media().formats {
                let config = at("ws://localhost").with_protocol(name).with_sample_rate(format.sample_rate_hz.get());
                let resolved = config.resolve(&registry).unwrap();
                assert!(matches!(resolved, Protocol::Carrier(_, f) if f.sample_rate_hz == format.sample_rate_hz));
            }
            let resolved = at("ws://localhost").with_protocol(name).resolve(&registry).unwrap();
            assert!(matches!(resolved, Protocol::Carrier(_, format) if format == carrier.media().formats[0]));
        }
    }

    #[test]
    fn it_is_stored_as_json_and_printed_without_what_may_be_secret() {
        let config: WebSocketAgentConfig =
            serde_json::from_str(r#"{"url":"wss://a.example:9000/x?token=s3"}"#).unwrap();
        assert_eq!((config.protocol.as_str(), config.sample_rate_hz), ("pcm", None));
        assert!(format!("{config:?}").contains("wss://a.example:9000/…"), "{config:?}");
        assert!(!format!("{config:?}").contains("s3"), "{config:?}");
        assert!(serde_json::from_str::<WebSocketAgentConfig>(r#"{"url":"ws://a","rate":1}"#).is_err());
    }
}
