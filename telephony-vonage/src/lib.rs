//! Vonage Voice API v1 (formerly Nexmo) behind [`TelephonyProvider`].
//!
//! Vonage is driven by documents: a REST request, authorised by a JSON Web Token that we sign, starts a call; Vonage asks a
//! URL what the call shall do and reads an NCCO (a JSON array of actions) from the answer; it reports by JSON webhooks that
//! carry a token signed with the account's signature secret. Audio crosses a WebSocket as raw 16-bit PCM in binary messages of
//! exactly 20 ms.
//!
//! ```
//! use telephony_core::ProviderContext;
//!
//! let account = serde_json::json!({
//!     "application_id": "7e1b7f0c-5a0e-4c53-9e0f-2a6f1d5b9a11",
//!     "private_key": include_str!("../testdata/test-only-private-key.pem"),
//!     "api_key": "4f7c2a19",
//!     "api_secret": "the API secret",
//!     "signature_secret": "the signature secret",
//! });
//! let provider = telephony_vonage::DESCRIPTOR.build(&account, ProviderContext::network()?)?;
//! assert_eq!(provider.descriptor().display_name(), "Vonage");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Source: <https://developer.vonage.com/en/voice/voice-api/overview>

mod answer;
mod api;
mod config;
mod error;
mod jwt;
mod media;
mod provider;
mod signature;
#[cfg(feature = "simulator")]
mod simulator;
mod webhook;

use std::{sync::Arc, time::Duration};

use telephony_core::{
    Capabilities, Capability, MediaProfile, Package, ProviderContext, ProviderDescriptor, ProviderFactory,
    ProviderName, TelephonyError, TelephonyProvider, WebhookIdentity, WebhookRequest,
    audio::AudioFormat,
    media::{AfterClose, CarrierMediaCodec},
};

pub use config::VonageConfig;
#[cfg(feature = "simulator")]
pub use simulator::SIMULATOR;

const NAME: ProviderName = ProviderName::new("vonage");

/// What is known about the provider without an account.
pub static DESCRIPTOR: ProviderDescriptor = ProviderDescriptor::of::<Vonage>();
telephony_core::register_provider!(DESCRIPTOR);

struct Vonage;

impl ProviderFactory for Vonage {
    type Config = VonageConfig;

    const NAME: ProviderName = NAME;
    const DISPLAY_NAME: &'static str = "Vonage";
    const DOCS_URL: &'static str = "https://developer.vonage.com/en/voice/voice-api/overview";
    const PACKAGE: Package = telephony_core::package!();
    const CAPABILITIES: Capabilities = Capabilities::new()
        .native(&[
            Capability::CallCost,
            Capability::HangUp,
            Capability::Instruct,
            Capability::Transfer,
            Capability::SendDigits,
            Capability::ConfigureInbound,
            Capability::RingTimeout,
            Capability::TimeLimit,
            Capability::MachineDetection,
            Capability::DigitsOnAnswer,
            Capability::SipAddress,
            Capability::Say,
            Capability::Play,
            Capability::GatherDigits,
            Capability::Bridge,
            Capability::Conference,
            Capability::StreamParameters,
            Capability::MediaDigits,
            Capability::MediaMarks,
            Capability::MediaClear,
        ])
        .impossible(Capability::RecordLive, "recording is an action of the NCCO; a new one would end the stream")
        .impossible(Capability::RecordOnAnswer, "the request for a call has no such field; the answer document records")
        .impossible(Capability::CallerName, "the API has no caller name; networks look it up by the number")
        .impossible(Capability::RejectUnanswered, "no action refuses a call: it is taken, and ended at once");
    const MEDIA: MediaProfile =
        MediaProfile::new(&[AudioFormat::LINEAR16_16K, AudioFormat::LINEAR16_8K, AudioFormat::LINEAR16_24K])
            // The rest of the NCCO should end the call then; sources differ, and hanging up twice does no harm.
            .after_close(AfterClose::CallStaysUp)
            .clear_drops_marks()
            // 3,072 messages of 20 ms.
            .buffer(Duration::from_secs(60));
    const ACCOUNT_ID_FIELD: &'static str = "application_id";

    fn build(config: VonageConfig, context: ProviderContext) -> Result<Arc<dyn TelephonyProvider>, TelephonyError> {
        Ok(Arc::new(provider::VonageProvider::new(config, context)?))
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
