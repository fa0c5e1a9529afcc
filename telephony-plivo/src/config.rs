//! The configuration of an account.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use telephony_core::{PhoneNumber, Problems, ProviderConfig, Secret, Url};

/// A Plivo account or sub-account.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlivoConfig {
    /// Auth ID, on the first page of the console. Starts with MA, or with SA for a sub-account.
    #[schemars(
        title = "Auth ID",
        regex(pattern = r"^(MA|SA)[0-9A-Za-z]{18}$"),
        extend("x-order" = 1, "x-problem" = "must start with MA or SA and have 20 letters and digits")
    )]
    pub auth_id: String,
    /// Auth Token, beside the Auth ID. It signs every webhook too.
    #[schemars(title = "Auth Token", extend("x-order" = 2))]
    pub auth_token: Secret,
    /// ID of the Plivo application that numbers are linked to for inbound calls. Needed only for those.
    #[serde(default)]
    #[schemars(
        title = "Application ID",
        regex(pattern = r"^[0-9]{1,32}$"),
        extend("x-order" = 3, "x-problem" = "must have digits only, as the console shows it")
    )]
    pub application_id: Option<String>,
    /// Numbers to call from, in E.164. The first is the default. They must be the account's, or verified caller IDs.
    #[serde(default)]
    #[schemars(title = "Phone numbers", extend("x-order" = 4))]
    pub phone_numbers: Vec<PhoneNumber>,
    /// Currency in which Plivo bills the account; the API names none. INR for accounts of Indian businesses.
    #[serde(default)]
    #[schemars(title = "Currency", extend("x-order" = 5))]
    pub currency: Currency,
    /// Address of the REST API, if it is not Plivo's own: a proxy or a simulator.
    #[serde(default)]
    #[schemars(title = "API base URL", extend("x-order" = 6))]
    pub api_base_url: Option<Url>,
    /// Seconds to wait for one answer of the API.
    #[serde(default = "default_timeout_secs")]
    #[schemars(title = "Time-out", range(min = 1, max = 60), extend("x-order" = 7))]
    pub timeout_secs: NonZeroU32,
}

/// A currency in which Plivo bills.
///
/// Source: <https://www.plivo.com/docs/faq/billing-and-invoices/payments>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Currency {
    /// US dollars.
    #[default]
    #[serde(rename = "USD")]
    Usd,
    /// Indian rupees.
    #[serde(rename = "INR")]
    Inr,
}

impl Currency {
    /// The code of ISO 4217.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Usd => "USD",
            Self::Inr => "INR",
        }
    }
}

fn default_timeout_secs() -> NonZeroU32 {
    const { NonZeroU32::new(10).unwrap() }
}

impl ProviderConfig for PlivoConfig {
    fn check(&self, problems: &mut Problems) {
        if let Some(url) = &self.api_base_url
            && (!matches!(url.scheme(), "http" | "https") || !url.has_host() || url.query().is_some())
        {
            problems.add("api_base_url", "must be an http or https URL without a query");
        }
    }
}

impl PlivoConfig {
    /// Where the REST API is: a folder, whose path ends in a slash.
    pub(crate) fn api_base(&self) -> Url {
        let own = || Url::parse("https://api.plivo.com/").unwrap_or_else(|_| unreachable!("it is a URL"));
        let mut base = self.api_base_url.clone().unwrap_or_else(own);
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        base
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::DESCRIPTOR;

    #[test]
    fn every_mistake_is_named() {
        let config = json!({"auth_id": "MA1", "application_id": "my app", "currency": "EUR", "api_base_url": "ftp://x/", "sid": 1});
        let problems: Vec<String> =
            DESCRIPTOR.check_config(&config).unwrap_err().problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "auth_id: must start with MA or SA and have 20 letters and digits",
                "auth_token: is missing",
                "application_id: must have digits only, as the console shows it",
                "currency: must be one of USD, INR",
                "api_base_url: must be an http or https URL without a query",
                "sid: is not a field of this provider",
            ]
        );
    }
}
