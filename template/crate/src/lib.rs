//! Acme Telephone behind [`TelephonyProvider`].
//!
//! FILL IN: what is the carrier like, in five sentences: how is it told what a call shall do, how are its webhooks signed, how
//! does audio travel, what is peculiar about it, and where is it documented?
//!
// [hmac
//! ```
//! use telephony_core::ProviderContext;
//!
//! let account = serde_json::json!({
//!     "account_id": "acc-1",
//!     "api_key": "key-0123456789",
//!     "signing_secret": "signs-the-webhooks",
//! });
//! let provider = telephony_acme::DESCRIPTOR.build(&account, ProviderContext::network()?)?;
//! assert_eq!(provider.descriptor().display_name(), "Acme Telephone");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
// ]
// [jwt
//! ```
//! use telephony_core::ProviderContext;
//!
//! let account = serde_json::json!({
//!     "account_id": "acc-1",
//!     "api_key": "key-0123456789",
//!     "signature_secret": "signs-the-webhooks",
//! });
//! let provider = telephony_acme::DESCRIPTOR.build(&account, ProviderContext::network()?)?;
//! assert_eq!(provider.descriptor().display_name(), "Acme Telephone");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
// ]
// [ed25519
//! ```
//! use telephony_core::ProviderContext;
//!
//! let account = serde_json::json!({
//!     "account_id": "acc-1",
//!     "api_key": "key-0123456789",
//!     "public_key": "6kpsY+Kcs5CsnJlTqiKgZMjuVIWfJkeYvMhOyHRcJF4=",
//! });
//! let provider = telephony_acme::DESCRIPTOR.build(&account, ProviderContext::network()?)?;
//! assert_eq!(provider.descriptor().display_name(), "Acme Telephone");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
// ]
// [token
//! ```
//! use telephony_core::ProviderContext;
//!
//! let account = serde_json::json!({
//!     "account_id": "acc-1",
//!     "api_key": "key-0123456789",
//!     "webhook_token": "repeated-in-each-webhook",
//! });
//! let provider = telephony_acme::DESCRIPTOR.build(&account, ProviderContext::network()?)?;
//! assert_eq!(provider.descriptor().display_name(), "Acme Telephone");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
// ]
//!
//! Source: <https://example.com/docs/voice>

// [document
#[cfg(document)]
#[path = "answer.document.rs"]
mod answer;
// ]
// [commands
#[cfg(commands)]
#[path = "answer.commands.rs"]
mod answer;
// ]
mod api;
mod config;
mod error;
mod media;
mod provider;
// [hmac
#[cfg(hmac)]
#[path = "signature.hmac.rs"]
mod signature;
// ]
// [jwt
#[cfg(jwt)]
#[path = "signature.jwt.rs"]
mod signature;
// ]
// [ed25519
#[cfg(ed25519)]
#[path = "signature.ed25519.rs"]
mod signature;
// ]
// [token
#[cfg(token)]
#[path = "signature.token.rs"]
mod signature;
// ]
#[cfg(feature = "simulator")]
mod simulator;
mod webhook;

use std::sync::Arc;

// [token
#[cfg(token)]
use telephony_core::WebhookAuthenticity;
// ]
use telephony_core::{
    Capabilities, Capability, MediaProfile, Package, ProviderContext, ProviderDescriptor, ProviderFactory,
    ProviderName, TelephonyError, TelephonyProvider, WebhookIdentity, WebhookRequest,
    media::{AfterClose, CarrierMediaCodec},
};

pub use config::AcmeConfig;
#[cfg(feature = "simulator")]
pub use simulator::SIMULATOR;

const NAME: ProviderName = ProviderName::new(env!("ACME"));

/// What is known about the provider without an account.
pub static DESCRIPTOR: ProviderDescriptor = ProviderDescriptor::of::<Acme>();
telephony_core::register_provider!(DESCRIPTOR);

struct Acme;

impl ProviderFactory for Acme {
    type Config = AcmeConfig;

    const NAME: ProviderName = NAME;
    const DISPLAY_NAME: &'static str = "Acme Telephone";
    // FILL IN: where does the carrier document its voice API?
    const DOCS_URL: &'static str = "https://example.com/docs/voice";
    const PACKAGE: Package = telephony_core::package!();
    // FILL IN: what can the carrier do? What is listed must work against the simulator. What is not is "not yet": say
    // `.impossible(capability, why)` of what the carrier cannot do, and `.emulated(capability, how)` of what takes a detour.
    const CAPABILITIES: Capabilities = Capabilities::new().native(&[
        Capability::CallCost,
        Capability::HangUp,
        Capability::Instruct,
        Capability::ConfigureInbound,
        Capability::RingTimeout,
        Capability::TimeLimit,
        Capability::Say,
        Capability::RejectUnanswered,
        Capability::StreamParameters,
        Capability::MediaDigits,
        Capability::MediaMarks,
        Capability::MediaClear,
    ]);
    // FILL IN: what becomes of a call when our side closes its media socket: does it end, does the carrier ask what is next,
    // or does it stay up? Do marks that are pending at a clear come back (else `.clear_drops_marks()`)? How much audio does the
    // carrier buffer (`.buffer(…)`)?
    // [document
    #[cfg(document)]
    const MEDIA: MediaProfile = MediaProfile::new(media::FORMATS).after_close(AfterClose::CallEnds);
    // ]
    // [commands
    #[cfg(commands)]
    const MEDIA: MediaProfile = MediaProfile::new(media::FORMATS).after_close(AfterClose::CallStaysUp);
    // ]
    const ACCOUNT_ID_FIELD: &'static str = "account_id";
    // [token
    #[cfg(token)]
    const WEBHOOK_AUTHENTICITY: WebhookAuthenticity = WebhookAuthenticity::SharedSecret;
    // ]

    fn build(config: AcmeConfig, context: ProviderContext) -> Result<Arc<dyn TelephonyProvider>, TelephonyError> {
        Ok(Arc::new(provider::AcmeProvider::new(config, context)))
    }

    fn identify_webhook(request: &WebhookRequest) -> Option<WebhookIdentity> {
        webhook::identify(request)
    }

    fn carrier_media_codec() -> Box<dyn CarrierMediaCodec> {
        Box::new(media::CarrierEnd::default())
    }
}
// [crate

/// The README's example, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
// ]
