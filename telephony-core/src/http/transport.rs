//! One attempt.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::BoxError;

/// Sends one request and waits for its answer, once.
///
/// The default is [`ReqwestTransport`](super::ReqwestTransport); a test hands in its own.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug + 'static {
    /// Makes one attempt. Any HTTP status is an answer, not an error; a redirect is an answer too, and is not followed.
    ///
    /// The caller bounds the time: dropping the future gives up.
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, TransportError>;
}

/// Why an attempt brought no answer.
#[derive(Debug, thiserror::Error)]
#[error("{}", kind.as_str())]
pub struct TransportError {
    kind: TransportErrorKind,
    #[source]
    source: BoxError,
}

impl TransportError {
    /// A failure of this kind. The source must not hold a URL's query or credentials: it is printed.
    #[must_use]
    pub fn new(kind: TransportErrorKind, source: impl Into<BoxError>) -> Self {
        Self { kind, source: source.into() }
    }

    /// What the sender may conclude.
    #[must_use]
    pub fn kind(&self) -> TransportErrorKind {
        self.kind
    }

    /// The cause.
    #[must_use]
    pub fn into_source(self) -> BoxError {
        self.source
    }
}

/// What the sender may conclude from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportErrorKind {
    /// No byte of it left us: any request may be repeated.
    NotSent,
    /// It left, or may have, and no answer came: only what changes nothing may be repeated.
    NoAnswer,
    /// An answer came and could not be read: broken off, too large, not HTTP. Treat as [`NoAnswer`](Self::NoAnswer).
    BadAnswer,
}

impl TransportErrorKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "the request could not be sent",
            Self::NoAnswer => "no answer came",
            Self::BadAnswer => "the answer could not be read",
        }
    }
}
