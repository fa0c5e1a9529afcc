//! The configuration of an account.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;
use telephony_core::{PhoneNumber, Problems, ProviderConfig, Secret, Url, decode_base64_into};

/// A Telnyx account, and the Call Control application that its calls belong to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TelnyxConfig {
    /// API key, made in the portal under API Keys and shown once. Starts with KEY.
    #[schemars(title = "API key", extend("x-order" = 1))]
    pub api_key: Secret,
    /// Public key of the account, in the portal under Keys & Credentials, Public Key. Webhooks are checked with it.
    #[schemars(title = "Public key", extend("x-order" = 2))]
    pub public_key: String,
    /// ID of the Voice API (Call Control) application that calls are made with. Its webhook API version must be 2.
    #[schemars(
        title = "Application ID",
        regex(pattern = r"^[0-9]{1,32}$"),
        extend("x-order" = 3, "x-problem" = "must have digits only, as the portal shows it")
    )]
    pub connection_id: String,
    /// Numbers to call from, in E.164. The first is the default. They must be the account's, or verified.
    #[serde(default)]
    #[schemars(title = "Phone numbers", extend("x-order" = 4))]
    pub phone_numbers: Vec<PhoneNumber>,
    /// Stream 16-bit PCM at 16 kHz where an agent likes that better than the telephone network's G.711.
    #[serde(default)]
    #[schemars(title = "Wideband streams", extend("x-order" = 5))]
    pub wideband: bool,
    /// Address of the REST API, if it is not Telnyx's own: a proxy or a simulator. Without the version.
    #[serde(default)]
    #[schemars(title = "API base URL", extend("x-order" = 6))]
    pub api_base_url: Option<Url>,
    /// Seconds to wait for one answer of the API.
    #[serde(default = "default_timeout_secs")]
    #[schemars(title = "Time-out", range(min = 1, max = 60), extend("x-order" = 7))]
    pub timeout_secs: NonZeroU32,
}

fn default_timeout_secs() -> NonZeroU32 {
    const { NonZeroU32::new(10).unwrap() }
}

impl ProviderConfig for TelnyxConfig {
    fn check(&self, problems: &mut Problems) {
        let mut key = Vec::new();
        if decode_base64_into(&self.public_key, &mut key).is_err() || key.len() != 32 {
            problems.add("public_key", "must be base64 of 32 bytes, as the portal shows it");
        }
        if let Some(url) = &self.api_base_url
            && (!matches!(url.scheme(), "http" | "https") || !url.has_host() || url.query().is_some())
        {
            problems.add("api_base_url", "must be an http or https URL without a query");
        }
    }
}

impl TelnyxConfig {
    /// Where the REST API is.
    pub(crate) fn api_base(&self) -> Url {
        let own = || Url::parse("https://api.telnyx.com/").unwrap_or_else(|_| unreachable!("it is a URL"));
        self.api_base_url.clone().unwrap_or_else(own)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::DESCRIPTOR;

    #[test]
    fn every_mistake_is_named() {
        let config = json!({"public_key": "aGk=", "connection_id": "my app", "api_key": "KEY", "api_base_url": "x:y"});
        let problems: Vec<String> =
            DESCRIPTOR.check_config(&config).unwrap_err().problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "public_key: must be base64 of 32 bytes, as the portal shows it",
                "connection_id: must have digits only, as the portal shows it",
                "api_base_url: must be an http or https URL without a query",
            ]
        );
    }
}
