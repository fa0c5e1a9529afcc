//! The configuration of an account.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;
use telephony_core::{PhoneNumber, Problems, ProviderConfig, Secret, Url};

/// A Twilio account.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TwilioConfig {
    /// Account SID, on the first page of the console. Starts with AC.
    #[schemars(
        title = "Account SID",
        regex(pattern = r"^AC[0-9a-fA-F]{32}$"),
        extend("x-order" = 1, "x-problem" = "must start with AC and have 34 characters, the rest hexadecimal digits")
    )]
    pub account_sid: String,
    /// Auth Token, beside the Account SID. It signs every webhook, so it is needed even with an API key.
    #[schemars(title = "Auth Token", extend("x-order" = 2))]
    pub auth_token: Secret,
    /// API key SID, if requests are to use an API key instead of the Auth Token. Starts with SK.
    #[serde(default)]
    #[schemars(
        title = "API key SID",
        regex(pattern = r"^SK[0-9a-fA-F]{32}$"),
        extend("x-order" = 3, "x-problem" = "must start with SK and have 34 characters, the rest hexadecimal digits")
    )]
    pub api_key_sid: Option<String>,
    /// Secret of the API key, shown once when the key is made.
    #[serde(default)]
    #[schemars(title = "API key secret", extend("x-order" = 4))]
    pub api_key_secret: Option<Secret>,
    /// Numbers to call from, in E.164. The first is the default. They must be the account's, or verified caller IDs.
    #[serde(default)]
    #[schemars(title = "Phone numbers", extend("x-order" = 5))]
    pub phone_numbers: Vec<PhoneNumber>,
    /// Region that processes the calls, such as ie1 or au1. Credentials belong to a region. Leave empty for us1.
    #[serde(default)]
    #[schemars(
        title = "Region",
        regex(pattern = r"^[a-z]{2}[0-9]{1,2}$"),
        extend("x-order" = 6, "x-problem" = "must be a region such as us1, ie1 or au1")
    )]
    pub region: Option<String>,
    /// Edge location through which requests enter, such as dublin or sydney. A region needs one.
    #[serde(default)]
    #[schemars(
        title = "Edge",
        regex(pattern = r"^[a-z][a-z0-9-]{1,30}$"),
        extend("x-order" = 7, "x-problem" = "must be an edge location such as dublin, sydney or ashburn")
    )]
    pub edge: Option<String>,
    /// Address of the REST API, if it is not Twilio's own: a proxy or a simulator. It replaces region and edge.
    #[serde(default)]
    #[schemars(title = "API base URL", extend("x-order" = 8))]
    pub api_base_url: Option<Url>,
    /// Seconds to wait for one answer of the API.
    #[serde(default = "default_timeout_secs")]
    #[schemars(title = "Time-out", range(min = 1, max = 60), extend("x-order" = 9))]
    pub timeout_secs: NonZeroU32,
}

fn default_timeout_secs() -> NonZeroU32 {
    const { NonZeroU32::new(10).unwrap() }
}

impl ProviderConfig for TwilioConfig {
    fn check(&self, problems: &mut Problems) {
        match (&self.api_key_sid, &self.api_key_secret) {
            (Some(_), None) => problems.add("api_key_secret", "is needed with api_key_sid"),
            (None, Some(_)) => problems.add("api_key_sid", "is needed with api_key_secret"),
            _ => {}
        }
        if self.region.is_some() && self.edge.is_none() {
            problems.add("edge", "is needed with a region, for instance dublin for ie1");
        }
        if let Some(url) = &self.api_base_url
            && (!matches!(url.scheme(), "http" | "https") || !url.has_host() || url.query().is_some())
        {
            problems.add("api_base_url", "must be an http or https URL without a query");
        }
    }
}

impl TwilioConfig {
    /// Where the REST API is, with a path that ends in `/`.
    ///
    /// Source: <https://www.twilio.com/docs/global-infrastructure/using-the-twilio-rest-api-in-a-non-us-region>
    pub(crate) fn api_base(&self) -> Url {
        if let Some(url) = &self.api_base_url {
            let mut url = url.clone();
            if !url.path().ends_with('/') {
                url.set_path(&format!("{}/", url.path()));
            }
            return url;
        }
        let host = match (&self.edge, &self.region) {
            (Some(edge), Some(region)) => format!("api.{edge}.{region}.twilio.com"),
            (Some(edge), None) => format!("api.{edge}.us1.twilio.com"),
            _ => "api.twilio.com".to_owned(),
        };
        // The parts have been checked against their patterns.
        Url::parse(&format!("https://{host}/")).unwrap_or_else(|_| unreachable!("{host} is a host"))
    }

    /// The user and password of REST requests.
    pub(crate) fn credentials(&self) -> (&str, &Secret) {
        match (&self.api_key_sid, &self.api_key_secret) {
            (Some(sid), Some(secret)) => (sid, secret),
            _ => (&self.account_sid, &self.auth_token),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::DESCRIPTOR;

    fn with(fields: Value) -> Value {
        let mut config = json!({"account_sid": "AC00000000000000000000000000000000", "auth_token": "secret-token"});
        config.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        config
    }

    fn problems(config: &Value) -> Vec<String> {
        match DESCRIPTOR.check_config(config) {
            Ok(()) => Vec::new(),
            Err(error) => error.problems().iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn every_mistake_is_named() {
        assert_eq!(problems(&with(json!({}))), [""; 0]);
        assert_eq!(
            problems(&json!({
                "account_sid": "AC1", "api_key_sid": "SK00000000000000000000000000000000", "region": "ie1",
                "timeout_secs": 0, "api_base_url": "ftp://x/", "sid": 1,
            })),
            [
                "account_sid: must start with AC and have 34 characters, the rest hexadecimal digits",
                "auth_token: is missing",
                "api_key_secret: is needed with api_key_sid",
                "edge: is needed with a region, for instance dublin for ie1",
                "api_base_url: must be an http or https URL without a query",
                "timeout_secs: must be 1 to 60",
                "sid: is not a field of this provider",
            ]
        );
    }

    #[test]
    fn the_host_follows_region_and_edge() {
        let base = |fields| {
            let config: TwilioConfig = telephony_core::config::parse(crate::NAME, &with(fields)).unwrap();
            config.api_base().to_string()
        };
        assert_eq!(base(json!({})), "https://api.twilio.com/");
        assert_eq!(base(json!({"region": "ie1", "edge": "dublin"})), "https://api.dublin.ie1.twilio.com/");
        assert_eq!(base(json!({"edge": "ashburn"})), "https://api.ashburn.us1.twilio.com/");
        assert_eq!(base(json!({"api_base_url": "http://127.0.0.1:1/x"})), "http://127.0.0.1:1/x/");
    }
}
