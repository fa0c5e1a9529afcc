//! Plivo Voice behind [`TelephonyProvider`].
//!
//! Plivo is driven by documents: a REST request starts a call, Plivo asks a URL what the call shall do and reads XML from the
//! answer, and it reports by form-encoded webhooks signed with the account's Auth Token and a nonce. A call is accepted under
//! the name of its *request*; the call's own id comes with the first webhook. Audio crosses a WebSocket as base64 inside JSON,
//! in a format of our choice.
//!
//! ```
//! use telephony_core::ProviderContext;
//!
//! let account = serde_json::json!({"auth_id": "MAXXXXXXXXXXXXXXXXXX", "auth_token": "the auth token"});
//! let provider = telephony_plivo::DESCRIPTOR.build(&account, ProviderContext::network()?)?;
//! assert_eq!(provider.descriptor().display_name(), "Plivo");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Source: <https://www.plivo.com/docs/voice>

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

use std::{sync::Arc, time::Duration};

use telephony_core::{
    Capabilities, Capability, MediaProfile, Package, ProviderContext, ProviderDescriptor, ProviderFactory,
    ProviderName, TelephonyError, TelephonyProvider, WebhookIdentity, WebhookRequest, audio::AudioFormat,
    media::CarrierMediaCodec,
};

pub use config::{Currency, PlivoConfig};
#[cfg(feature = "simulator")]
pub use simulator::SIMULATOR;

const NAME: ProviderName = ProviderName::new("plivo");

/// What is known about the provider without an account.
pub static DESCRIPTOR: ProviderDescriptor = ProviderDescriptor::of::<Plivo>();
telephony_core::register_provider!(DESCRIPTOR);

struct Plivo;

impl ProviderFactory for Plivo {
    type Config = PlivoConfig;

    const NAME: ProviderName = NAME;
    const DISPLAY_NAME: &'static str = "Plivo";
    const DOCS_URL: &'static str = "https://www.plivo.com/docs/voice";
    const PACKAGE: Package = telephony_core::package!();
    const CAPABILITIES: Capabilities = Capabilities::new()
        .native(&[
            Capability::CallCost,
            Capability::HangUp,
            Capability::SendDigits,
            Capability::RecordLive,
            Capability::ConfigureInbound,
            Capability::RingTimeout,
            Capability::TimeLimit,
            Capability::MachineDetection,
            Capability::DigitsOnAnswer,
            Capability::CallerName,
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
        .emulated(Capability::Instruct, "the call asks its answer URL again, and what it is told is due there")
        .emulated(Capability::Transfer, "the call asks its answer URL again, and the bridge is due there")
        .impossible(Capability::RecordOnAnswer, "the request for a call has no such field; record once it is answered");
    const MEDIA: MediaProfile =
        MediaProfile::new(&[AudioFormat::MULAW_8K, AudioFormat::LINEAR16_8K, AudioFormat::LINEAR16_16K])
            .buffer(Duration::from_secs(40))
            .clear_drops_marks();
    const ACCOUNT_ID_FIELD: &'static str = "auth_id";

    fn build(config: PlivoConfig, context: ProviderContext) -> Result<Arc<dyn TelephonyProvider>, TelephonyError> {
        Ok(Arc::new(provider::PlivoProvider::new(config, context)))
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
