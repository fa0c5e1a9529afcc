//! One trait for every telephony carrier.
//!
//! A voice agent must not care which carrier a phone call came through. This crate holds the contract that makes the
//! carrier a detail: the trait [`TelephonyProvider`], the words it speaks in ([`OutboundCall`], [`CallEvent`],
//! [`CallInstruction`], [`TelephonyError`], …), the audio and media types, and the HTTP client that providers use. It knows
//! no carrier, no server and no database. A provider turns an operation into an HTTP request, raw bytes into an event, and a
//! socket message into audio and back; sockets and clocks belong to whoever runs it.
//!
//! | to | read |
//! | --- | --- |
//! | place calls | [`TelephonyProvider`], and the crate `telephony-registry` that finds providers by name |
//! | write a provider | [`ProviderFactory`], [`ProviderConfig`], [`register_provider!`], and the crate `telephony-testkit` |
//! | answer webhooks | [`webhook`], [`signing`], [`CallInstruction`] |
//! | carry audio | [`audio`], [`media`] |

mod address;
pub mod audio;
mod base64_text;
mod call;
mod capability;
pub mod config;
mod descriptor;
mod error;
mod event;
pub mod http;
mod id;
mod instruction;
pub mod media;
mod money;
mod name;
mod provider;
pub mod redact;
mod secret;
pub mod signing;
pub mod webhook;
#[cfg(feature = "xml")]
pub mod xml;

pub use address::{
    Address, AddressError, PhoneNumber, PhoneNumberError, ReportedAddress, SipUri, SipUriError, redact_number,
};
pub use base64_text::{NotBase64, decode_base64_into};
pub use call::{
    AccountInfo, AnsweredBy, CallSnapshot, CallState, CallStatus, CallUrls, DigitSequence, DigitSequenceError,
    Direction, HangUp, InboundBinding, InboundConfigured, InboundUrls, InitiatedCall, LegOwner, MachineDetection,
    OutboundCall, OwnedNumber, RecordingRef, RecordingRequest, Transfer, TransferRequest,
};
pub use capability::{Capabilities, Capability, Support};
pub use config::{ConfigError, Problems, ProviderConfig};
pub use descriptor::{Package, ProviderContext, ProviderDescriptor, ProviderFactory, Registration, registered};
pub use error::{BoxError, CarrierMessage, CarrierWords, FieldProblem, Retry, TelephonyError, error_chain};
pub use event::{
    CallEvent, CallEventKind, InstructionWanted, RecordingEvent, RecordingState, Refusal, StatusChange, StreamEvent,
};
pub use id::{CallId, CallIdError, CallRef, OrganizationId, UserId, WorkflowId, WorkflowRunId};
pub use instruction::{Bridge, CallInstruction, Conference, Due, GatherDigits, Play, Reject, Say, Stream, Then};
pub use media::{
    CarrierMediaCodec, MediaCodec, MediaCommand, MediaError, MediaEvent, MediaProfile, WireBuffer, WireMessage,
};
pub use money::{CallCost, Money, MoneyError};
pub use name::{Operation, ProviderName};
pub use provider::TelephonyProvider;
pub use secret::Secret;
pub use webhook::{
    VerifiedWebhook, WebhookAuthenticity, WebhookError, WebhookIdentity, WebhookRequest, WebhookResponse,
};

// What stands in the trait's own signatures, so that a provider crate need not match versions by hand.
pub use {async_trait::async_trait, bytes::Bytes, rust_decimal::Decimal, url::Url};

/// A moment: date, time and offset.
pub type Timestamp = time::OffsetDateTime;

#[doc(hidden)]
pub use inventory as __inventory;

/// The version of this crate: of the trait, and of the words that it speaks in.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
