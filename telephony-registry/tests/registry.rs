//! What the registry does with what it is given. The providers here exist for these tests only.

use std::sync::Arc;

use serde_json::json;
use telephony_core::{
    AccountInfo, Bytes, CallEvent, CallInstruction, CallRef, CallSnapshot, Capabilities, ConfigError, InitiatedCall,
    MediaCodec, MediaProfile, OutboundCall, OwnedNumber, Package, Problems, ProviderConfig, ProviderContext,
    ProviderDescriptor, ProviderFactory, ProviderName, TelephonyError, TelephonyProvider, Timestamp, VerifiedWebhook,
    WebhookError, WebhookIdentity, WebhookRequest, WebhookResponse, async_trait,
    audio::AudioFormat,
    http::{Transport, TransportError},
    media::CarrierMediaCodec,
};
use telephony_registry::{Registry, RegistryError};

/// A configuration with one field.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The account.
    account: String,
}

impl ProviderConfig for Config {
    fn check(&self, problems: &mut Problems) {
        if self.account.is_empty() {
            problems.add("account", "must not be empty");
        }
    }
}

#[derive(Debug)]
struct Provider;

macro_rules! factory {
    ($type:ident, $name:literal, $package:literal) => {
        struct $type;

        impl ProviderFactory for $type {
            type Config = Config;
            const NAME: ProviderName = ProviderName::new($name);
            const DISPLAY_NAME: &'static str = "Acme";
            const DOCS_URL: &'static str = "https://example.com/";
            const PACKAGE: Package = Package { name: $package, version: "1.0.0" };
            const CAPABILITIES: Capabilities = Capabilities::new();
            const MEDIA: MediaProfile = MediaProfile::new(&[AudioFormat::MULAW_8K]);
            const ACCOUNT_ID_FIELD: &'static str = "account";

            fn build(_: Config, _: ProviderContext) -> Result<Arc<dyn TelephonyProvider>, TelephonyError> {
                Ok(Arc::new(Provider))
            }

            fn identify_webhook(request: &WebhookRequest) -> Option<WebhookIdentity> {
                let account_id = Some(request.header($name)?.to_owned());
                Some(WebhookIdentity { account_id, called: None })
            }

            fn carrier_media_codec() -> Box<dyn CarrierMediaCodec> {
                unreachable!("no test opens a stream")
            }
        }
    };
}

factory!(Acme, "acme", "telephony-acme");
factory!(Other, "other", "telephony-other");
factory!(Clone2, "acme", "telephony-acme-fork");

static ACME: ProviderDescriptor = ProviderDescriptor::of::<Acme>();
static OTHER: ProviderDescriptor = ProviderDescriptor::of::<Other>();
static FORK: ProviderDescriptor = ProviderDescriptor::of::<Clone2>();

#[async_trait]
impl TelephonyProvider for Provider {
    fn descriptor(&self) -> &'static ProviderDescriptor {
        &ACME
    }
    fn validate_config(&self) -> Result<(), ConfigError> {
        Ok(())
    }
    async fn initiate_call(&self, _: &OutboundCall) -> Result<InitiatedCall, TelephonyError> {
        unreachable!("no test calls")
    }
    async fn get_call_status(&self, _: &CallRef) -> Result<CallSnapshot, TelephonyError> {
        unreachable!("no test calls")
    }
    async fn get_available_phone_numbers(&self) -> Result<Vec<OwnedNumber>, TelephonyError> {
        unreachable!("no test calls")
    }
    async fn check_account(&self) -> Result<AccountInfo, TelephonyError> {
        unreachable!("no test calls")
    }
    fn verify_webhook_signature(&self, _: WebhookRequest) -> Result<VerifiedWebhook, WebhookError> {
        unreachable!("no test calls")
    }
    fn parse_webhook(&self, _: &VerifiedWebhook) -> Result<Vec<CallEvent>, WebhookError> {
        unreachable!("no test calls")
    }
    async fn get_webhook_response(&self, _: &CallRef, _: &CallInstruction) -> Result<WebhookResponse, TelephonyError> {
        unreachable!("no test calls")
    }
    fn media_codec(&self) -> Box<dyn MediaCodec> {
        unreachable!("no test calls")
    }
}

#[derive(Debug)]
struct NoNetwork;

#[async_trait]
impl Transport for NoNetwork {
    async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, TransportError> {
        unreachable!("no test sends")
    }
}

fn context() -> ProviderContext {
    ProviderContext::with_transport(Arc::new(NoNetwork))
}

#[test]
fn providers_are_found_by_name_and_listed_in_order() {
    let registry = Registry::new([&OTHER, &ACME]).unwrap();
    assert_eq!(registry.names(), ["acme", "other"]);
    assert_eq!(registry.get("other").unwrap().package().name, "telephony-other");
    assert_eq!(format!("{registry:?}"), r#"{"acme", "other"}"#);
}

#[test]
fn an_unknown_name_lists_what_is_linked() {
    let registry = Registry::new([&OTHER, &ACME]).unwrap();
    let error = registry.get("acne").unwrap_err();
    assert_eq!(error.to_string(), r#"no provider is called "acne"; linked are acme, other"#);
    let error = Registry::new([]).unwrap().get("acme").unwrap_err();
    assert!(error.to_string().contains("enable a feature"), "{error}");
}

#[test]
fn two_of_one_name_are_refused_naming_both_crates_in_either_order() {
    for pair in [[&ACME, &FORK], [&FORK, &ACME]] {
        let error = Registry::new(pair).unwrap_err();
        assert_eq!(
            error.to_string(),
            "two providers are called acme: telephony-acme 1.0.0 and telephony-acme-fork 1.0.0; link only one of them"
        );
    }
}

#[test]
fn a_configuration_builds_the_provider_that_it_names() {
    let registry = Registry::new([&OTHER, &ACME]).unwrap();
    let provider = registry.build(&json!({"provider": "acme", "account": "a"}), context()).unwrap();
    assert_eq!(provider.descriptor().name().as_str(), "acme");
}

#[test]
fn a_configuration_that_names_none_or_is_wrong_says_so() {
    let registry = Registry::new([&ACME]).unwrap();
    let message = |config| registry.build(&config, context()).unwrap_err().to_string();
    assert_eq!(message(json!({"account": "a"})), "provider: is missing; linked are acme");
    assert_eq!(message(json!({"provider": 1})), "provider: must be a text; linked are acme");
    assert!(matches!(registry.build(&json!({"provider": "x"}), context()), Err(RegistryError::UnknownProvider { .. })));
    assert_eq!(
        message(json!({"provider": "acme", "acount": "a"})),
        "the acme configuration has 2 problems\n  account: is missing\n  acount: is not a field of this provider (did you mean account?)"
    );
}

#[test]
fn a_webhook_is_identified_by_every_provider_that_knows_it() {
    let registry = Registry::new([&OTHER, &ACME]).unwrap();
    let request = |headers: &[(&'static str, &'static str)]| {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let now = Timestamp::UNIX_EPOCH;
        WebhookRequest::at_url(http::Method::POST, "https://example.com/", headers, Bytes::new(), now)
    };
    let names = |request: &WebhookRequest| {
        registry
            .identify_webhook(request)
            .into_iter()
            .map(|(d, i)| (d.name().as_str(), i.account_id))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&request(&[])), []);
    assert_eq!(names(&request(&[("other", "o-1")])), [("other", Some("o-1".to_owned()))]);
    assert_eq!(names(&request(&[("other", "o"), ("acme", "a")])).len(), 2);
}

#[test]
fn what_is_linked_is_what_the_features_say() {
    let features = [
        ("plivo", cfg!(feature = "plivo")),
        ("telnyx", cfg!(feature = "telnyx")),
        ("twilio", cfg!(feature = "twilio")),
        ("vonage", cfg!(feature = "vonage")),
    ];
    let expected: Vec<&str> = features.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
    assert_eq!(Registry::linked().unwrap().names(), expected);
}
