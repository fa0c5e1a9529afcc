//! The configuration of an account.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;
use telephony_core::{PhoneNumber, Problems, ProviderConfig, Secret, Url, audio::AudioFormat, signing::RsaSigner};

/// A Vonage application and the account that it belongs to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VonageConfig {
    /// ID of the application, from the page Applications of the dashboard. Its voice capability must be on.
    #[schemars(
        title = "Application ID",
        regex(pattern = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"),
        extend("x-order" = 1, "x-problem" = "must be a UUID, such as 7e1b7f0c-5a0e-4c53-9e0f-2a6f1d5b9a11")
    )]
    pub application_id: String,
    /// Private key of the application: the text of the file private.key, from BEGIN PRIVATE KEY to END PRIVATE KEY.
    #[schemars(title = "Private key", extend("x-order" = 2, "x-multiline" = true))]
    pub private_key: Secret,
    /// API key, on the first page of the dashboard.
    #[schemars(
        title = "API key",
        regex(pattern = r"^[0-9a-zA-Z]{4,32}$"),
        extend("x-order" = 3, "x-problem" = "must have 4 to 32 letters and digits")
    )]
    pub api_key: String,
    /// API secret, beside the API key. It is for the account's numbers and balance.
    #[schemars(title = "API secret", extend("x-order" = 4))]
    pub api_secret: Secret,
    /// Signature secret, on the page API settings. It signs every webhook, and is not the API secret.
    #[schemars(title = "Signature secret", extend("x-order" = 5))]
    pub signature_secret: Secret,
    /// Numbers to call from, in E.164. The first is the default. They must be the account's.
    #[serde(default)]
    #[schemars(title = "Phone numbers", extend("x-order" = 6))]
    pub phone_numbers: Vec<PhoneNumber>,
    /// Region that processes the calls: us, eu or ap, or a data centre of one, such as ap-3. Leave empty for the nearest.
    #[serde(default)]
    #[schemars(
        title = "Region",
        regex(pattern = r"^(us|eu|ap)(-[1-9])?$"),
        extend("x-order" = 7, "x-problem" = "must be us, eu or ap, or a data centre of one, such as ap-3")
    )]
    pub region: Option<String>,
    /// Samples a second of the audio, each way: 8000, 16000 or 24000.
    #[serde(default)]
    #[schemars(title = "Sample rate", extend("x-order" = 8))]
    pub sample_rate_hz: SampleRate,
    /// Address of the REST APIs, if they are not Vonage's own: a proxy or a simulator. It replaces the region.
    #[serde(default)]
    #[schemars(title = "API base URL", extend("x-order" = 9))]
    pub api_base_url: Option<Url>,
    /// Seconds to wait for one answer of the API.
    #[serde(default = "default_timeout_secs")]
    #[schemars(title = "Time-out", range(min = 1, max = 60), extend("x-order" = 10))]
    pub timeout_secs: NonZeroU32,
}

fn default_timeout_secs() -> NonZeroU32 {
    const { NonZeroU32::new(10).unwrap() }
}

/// A rate that Vonage can stream at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub enum SampleRate {
    /// 8 kHz: the telephone network's own.
    Hz8000,
    /// 16 kHz: what most speech recognisers want.
    #[default]
    Hz16000,
    /// 24 kHz: what many speech synthesisers make.
    Hz24000,
}

impl TryFrom<u32> for SampleRate {
    type Error = &'static str;

    fn try_from(hz: u32) -> Result<Self, &'static str> {
        match hz {
            8000 => Ok(Self::Hz8000),
            16000 => Ok(Self::Hz16000),
            24000 => Ok(Self::Hz24000),
            _ => Err("must be 8000, 16000 or 24000"),
        }
    }
}

impl JsonSchema for SampleRate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SampleRate".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "integer", "enum": [8000, 16000, 24000], "default": 16000,
            "x-problem": "must be 8000, 16000 or 24000",
        })
    }
}

impl SampleRate {
    /// The audio format at this rate.
    pub(crate) fn format(self) -> AudioFormat {
        match self {
            Self::Hz8000 => AudioFormat::LINEAR16_8K,
            Self::Hz16000 => AudioFormat::LINEAR16_16K,
            Self::Hz24000 => AudioFormat::LINEAR16_24K,
        }
    }
}

impl ProviderConfig for VonageConfig {
    fn check(&self, problems: &mut Problems) {
        if RsaSigner::from_pem(&self.private_key).is_err() {
            problems.add(
                "private_key",
                "must be an RSA private key in PEM form, from BEGIN PRIVATE KEY to END PRIVATE KEY",
            );
        }
        if let Some(url) = &self.api_base_url
            && (!matches!(url.scheme(), "http" | "https") || !url.has_host() || url.query().is_some())
        {
            problems.add("api_base_url", "must be an http or https URL without a query");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use crate::DESCRIPTOR;

    pub(crate) fn account() -> Value {
        json!({
            "application_id": "7e1b7f0c-5a0e-4c53-9e0f-2a6f1d5b9a11",
            "private_key": include_str!("../testdata/test-only-private-key.pem"),
            "api_key": "4f7c2a19",
            "api_secret": "api-secret",
            "signature_secret": "signature-secret",
        })
    }

    fn problems(config: &Value) -> Vec<String> {
        match DESCRIPTOR.check_config(config) {
            Ok(()) => Vec::new(),
            Err(error) => error.problems().iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn every_mistake_is_named() {
        assert_eq!(problems(&account()), [""; 0]);
        assert_eq!(
            problems(&json!({
                "application_id": "7e1b", "private_key": "hello", "api_key": "?", "region": "mars", "sample_rate_hz": 44100,
                "phone_numbers": ["0123"], "secret": 1,
            })),
            [
                "application_id: must be a UUID, such as 7e1b7f0c-5a0e-4c53-9e0f-2a6f1d5b9a11",
                "private_key: must be an RSA private key in PEM form, from BEGIN PRIVATE KEY to END PRIVATE KEY",
                "api_key: must have 4 to 32 letters and digits",
                "api_secret: is missing",
                "signature_secret: is missing",
                "phone_numbers[0]: must be a telephone number in E.164 form: + and 2 to 15 digits, the first not 0, for instance +14155550100",
                "region: must be us, eu or ap, or a data centre of one, such as ap-3",
                "sample_rate_hz: must be 8000, 16000 or 24000",
                "secret: is not a field of this provider",
            ]
        );
    }

    #[test]
    fn a_key_pasted_on_one_line_is_mended() {
        let mut config = account();
        let key = config["private_key"].as_str().unwrap().replace('\n', "\\n");
        config["private_key"] = key.into();
        assert_eq!(problems(&config), [""; 0]);
    }
}
