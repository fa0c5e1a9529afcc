//! The HTTP client that every provider uses to ask its carrier.
//!
//! Two things kept apart: a [`Transport`] makes one attempt and sorts failures by what the sender may conclude;
//! [`HttpClient`] lays the rest around it, outermost first: a deadline for the whole operation, pacing, retries, a time-out
//! for each attempt. Whether a request may be repeated is decided here and nowhere else:
//!
//! | what happened | repeatable request | a request that starts something |
//! | --- | --- | --- |
//! | it never left | repeated | repeated |
//! | it left, no answer came | repeated, then [`Timeout`] or [`Transport`](TelephonyError::Transport) | [`OutcomeUnknown`] at once |
//! | 429 | repeated after `Retry-After` | repeated after `Retry-After`: the carrier says it did nothing |
//! | 5xx | repeated, then [`Transport`](TelephonyError::Transport) | [`OutcomeUnknown`] at once |
//! | another status | the carrier's error, mapped by the provider | the same |
//!
//! [`Timeout`]: TelephonyError::Timeout
//! [`OutcomeUnknown`]: TelephonyError::OutcomeUnknown

mod client;
mod request;
mod reqwest_transport;
mod transport;

pub use client::{ErrorMapper, HttpClient, HttpPolicy};
pub use request::{ApiRequest, ApiResponse};
pub use reqwest_transport::ReqwestTransport;
pub use transport::{Transport, TransportError, TransportErrorKind};

#[cfg(doc)]
use crate::TelephonyError;
