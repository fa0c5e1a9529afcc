//! Telnyx Voice (Call Control, version 2) behind [`TelephonyProvider`].
//!
//! Telnyx is driven by commands: there is no answer document, and what a webhook is answered with is ignored. A REST request
//! starts a call, each thing that the call shall do is a request of its own, and Telnyx reports by JSON webhooks, signed with
//! Ed25519, which all go to one URL. What shall follow something is written into the `client_state` of the command, which comes
//! back with the webhook that reports its end. Audio crosses a WebSocket as base64 inside JSON; its two directions may differ.
//!
//! ```
//! use telephony_core::ProviderContext;
//!
//! let account = serde_json::json!({
//!     "api_key": "KEY0123",
//!     "public_key": "i3MaY92eQHWApUuOlAtvaNByhNNZQaLQPILMbfCmwYQ=",
//!     "connection_id": "1293384261075731499",
//! });
//! let provider = telephony_telnyx::DESCRIPTOR.build(&account, ProviderContext::network()?)?;
//! assert_eq!(provider.descriptor().display_name(), "Telnyx");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Source: <https://developers.telnyx.com/docs/voice/programmable-voice>

mod answer;
mod api;
mod conference;
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
    ProviderName, TelephonyError, TelephonyProvider, WebhookIdentity, WebhookRequest,
    audio::AudioFormat,
    media::{AfterClose, CarrierMediaCodec},
};

pub use config::TelnyxConfig;
#[cfg(feature = "simulator")]
pub use simulator::SIMULATOR;

const NAME: ProviderName = ProviderName::new("telnyx");

/// What is known about the provider without an account.
pub static DESCRIPTOR: ProviderDescriptor = ProviderDescriptor::of::<Telnyx>();
telephony_core::register_provider!(DESCRIPTOR);

struct Telnyx;

impl ProviderFactory for Telnyx {
    type Config = TelnyxConfig;

    const NAME: ProviderName = NAME;
    const DISPLAY_NAME: &'static str = "Telnyx";
    const DOCS_URL: &'static str = "https://developers.telnyx.com/docs/voice/programmable-voice";
    const PACKAGE: Package = telephony_core::package!();
    const CAPABILITIES: Capabilities = Capabilities::new()
        .native(&[
            Capability::HangUp,
            Capability::Instruct,
            Capability::Transfer,
            Capability::SendDigits,
            Capability::RecordLive,
            Capability::ConfigureInbound,
            Capability::RingTimeout,
            Capability::TimeLimit,
            Capability::MachineDetection,
            Capability::DigitsOnAnswer,
            Capability::RecordOnAnswer,
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
        .emulated(
            Capability::CallCost,
            "the price comes by webhook, if the application has call_cost_in_webhooks; until then it is pending",
        );
    const MEDIA: MediaProfile = MediaProfile::new(&[
        AudioFormat::MULAW_8K,
        AudioFormat::ALAW_8K,
        AudioFormat::LINEAR16_16K,
        AudioFormat::LINEAR16_8K,
        AudioFormat::LINEAR16_24K,
        AudioFormat::LINEAR16_48K,
    ])
    .after_close(AfterClose::CallStaysUp);
    const ACCOUNT_ID_FIELD: &'static str = "connection_id";

    fn build(config: TelnyxConfig, context: ProviderContext) -> Result<Arc<dyn TelephonyProvider>, TelephonyError> {
        Ok(Arc::new(provider::TelnyxProvider::new(config, context)))
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
