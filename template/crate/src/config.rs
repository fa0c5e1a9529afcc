//! The configuration of an account.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;
// [ed25519
#[cfg(ed25519)]
use telephony_core::decode_base64_into;
// ]
use telephony_core::{Problems, ProviderConfig, Secret, Url};

/// An account with Acme Telephone.
///
/// The doc comments are what the customer reads: in the form, in the README and in `telephony providers`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcmeConfig {
    // FILL IN: what does the carrier call the account's id, where does the customer find it, and what does it look like?
    /// Account ID, on the first page of the console.
    #[schemars(
        title = "Account ID",
        regex(pattern = r"^[A-Za-z0-9-]{1,64}$"),
        extend("x-order" = 1, "x-problem" = "must be the account's ID, as the console shows it")
    )]
    pub account_id: String,
    // FILL IN: what do requests authenticate with, and where does the customer make it? A secret is a `Secret`.
    /// API key, made in the console under API Keys and shown once.
    #[schemars(title = "API key", extend("x-order" = 2))]
    pub api_key: Secret,
    // FILL IN: what are webhooks checked with, and where does the customer find it?
    // [hmac
    #[cfg(hmac)]
    /// Signing secret, in the console under Webhooks. It signs every webhook.
    #[schemars(title = "Signing secret", extend("x-order" = 3))]
    pub signing_secret: Secret,
    // ]
    // [jwt
    #[cfg(jwt)]
    /// Signature secret, in the console under Webhooks. It signs the token of every webhook.
    #[schemars(title = "Signature secret", extend("x-order" = 3))]
    pub signature_secret: Secret,
    // ]
    // [ed25519
    #[cfg(ed25519)]
    /// Public key of the account, in the console under Webhooks. Webhooks are checked with it.
    #[schemars(title = "Public key", extend("x-order" = 3))]
    pub public_key: String,
    // ]
    // [token
    #[cfg(token)]
    /// Webhook token: a long random text that is typed in here and in the console under Webhooks, and repeated in each webhook.
    #[schemars(title = "Webhook token", extend("x-order" = 3))]
    pub webhook_token: Secret,
    // ]
    /// Address of the REST API, if it is not Acme Telephone's own: a region, a proxy or a simulator. Without the version.
    #[serde(default)]
    #[schemars(title = "API base URL", extend("x-order" = 4))]
    pub api_base_url: Option<Url>,
    /// Seconds to wait for one answer of the API.
    #[serde(default = "default_timeout_secs")]
    #[schemars(title = "Time-out", range(min = 1, max = 60), extend("x-order" = 5))]
    pub timeout_secs: NonZeroU32,
}

fn default_timeout_secs() -> NonZeroU32 {
    const { NonZeroU32::new(10).unwrap() }
}

impl ProviderConfig for AcmeConfig {
    /// What the schema cannot say.
    fn check(&self, problems: &mut Problems) {
        // [token
        #[cfg(token)]
        if self.webhook_token.expose().len() < 16 {
            problems.add("webhook_token", "must have 16 characters or more, so that nobody guesses it");
        }
        // ]
        // [ed25519
        #[cfg(ed25519)]
        let mut key = Vec::new();
        #[cfg(ed25519)]
        if decode_base64_into(&self.public_key, &mut key).is_err() || key.len() != 32 {
            problems.add("public_key", "must be base64 of 32 bytes, as the console shows it");
        }
        // ]
        if let Some(url) = &self.api_base_url
            && (!matches!(url.scheme(), "http" | "https") || !url.has_host() || url.query().is_some())
        {
            problems.add("api_base_url", "must be an http or https URL without a query");
        }
    }
}

impl AcmeConfig {
    /// Where the REST API is.
    pub(crate) fn api_base(&self) -> Url {
        // FILL IN: where is the carrier's API? Is there one for each region?
        let own = || Url::parse("https://api.example.com/").unwrap_or_else(|_| unreachable!("it is a URL"));
        self.api_base_url.clone().unwrap_or_else(own)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::DESCRIPTOR;

    #[test]
    fn a_mistake_is_named_by_its_field() {
        let config = json!({"account_id": "my account", "api_base_url": "https://api.example.com/?a=1"});
        let refused = DESCRIPTOR.check_config(&config).unwrap_err();
        let fields: Vec<&str> = refused.problems().iter().map(|problem| problem.field.as_str()).collect();
        assert!(fields.contains(&"account_id") && fields.contains(&"api_key"), "{refused}");
    }
}
