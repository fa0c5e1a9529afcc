//! Twilio Programmable Voice behind [`TelephonyProvider`].
//!
//! Twilio is driven by documents: a REST request starts a call, Twilio asks a URL what the call shall do and reads TwiML
//! (XML) from the answer, and it reports by form-encoded webhooks signed with the account's Auth Token. Audio crosses a
//! WebSocket as base64 mu-law at 8 kHz inside JSON.
//!
//! ```
//! use telephony_core::ProviderContext;
//!
//! let account = serde_json::json!({
//!     "account_sid": "AC00000000000000000000000000000000",
//!     "auth_token": "00000000000000000000000000000000",
//! });
//! let provider = telephony_twilio::DESCRIPTOR.build(&account, ProviderContext::network()?)?;
//! assert_eq!(provider.descriptor().display_name(), "Twilio");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Source: <https://www.twilio.com/docs/voice>

mod answer;
mod api;
mod config;
mod error;
mod media;
mod provider;
mod signature;
#[cfg(feature = "simulator")]
mod simulator;
mod webhook;

use std::sync::Arc;

use telephony_core::{
    Capabilities, Capability, MediaProfile, Package, ProviderContext, ProviderDescriptor, ProviderFactory,
    ProviderName, TelephonyError, TelephonyProvider, WebhookIdentity, WebhookRequest, audio::AudioFormat,
    media::CarrierMediaCodec,
};

pub use config::TwilioConfig;
#[cfg(feature = "simulator")]
pub use simulator::SIMULATOR;

const NAME: ProviderName = ProviderName::new("twilio");

/// What is known about the provider without an account.
pub static DESCRIPTOR: ProviderDescriptor = ProviderDescriptor::of::<Twilio>();
telephony_core::register_provider!(DESCRIPTOR);

struct Twilio;

impl ProviderFactory for Twilio {
    type Config = TwilioConfig;

    const NAME: ProviderName = NAME;
    const DISPLAY_NAME: &'static str = "Twilio";
    const DOCS_URL: &'static str = "https://www.twilio.com/docs/voice";
    const PACKAGE: Package = telephony_core::package!();
    const CAPABILITIES: Capabilities = Capabilities::new()
        .native(&[
            Capability::CallCost,
            Capability::HangUp,
            Capability::Instruct,
            Capability::Transfer,
            Capability::RecordLive,
            Capability::ConfigureInbound,
            Capability::RingTimeout,
            Capability::TimeLimit,
            Capability::MachineDetection,
            Capability::DigitsOnAnswer,
            Capability::RecordOnAnswer,
            Capability::SipAddress,
            Capability::Say,
            Capability::Play,
            Capability::GatherDigits,
            Capability::Bridge,
            Capability::Conference,
            Capability::RejectUnanswered,
            Capability::StreamParameters,
            Capability::MediaDigits,
            Capability::MediaMarks,
            Capability::MediaClear,
        ])
        .emulated(
            Capability::SendDigits,
            "the running document is replaced: the stream ends, the digits are played, then the answer URL is asked again",
        )
        .impossible(Capability::CallerName, "the API has no caller name; networks look it up by the number");
    const MEDIA: MediaProfile = MediaProfile::new(&[AudioFormat::MULAW_8K]);
    const ACCOUNT_ID_FIELD: &'static str = "account_sid";

    fn build(config: TwilioConfig, context: ProviderContext) -> Result<Arc<dyn TelephonyProvider>, TelephonyError> {
        Ok(Arc::new(provider::TwilioProvider::new(config, context)))
    }

    fn identify_webhook(request: &WebhookRequest) -> Option<WebhookIdentity> {
        webhook::identify(request)
    }

    fn carrier_media_codec() -> Box<dyn CarrierMediaCodec> {
        Box::new(media::CarrierEnd::default())
    }
}

/// The README's example, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
