//! Networks that behave as told.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use telephony_core::{
    async_trait,
    http::{Transport, TransportError, TransportErrorKind},
};

/// A network on which every request fails in one way. It counts them.
#[derive(Debug)]
pub(crate) struct Broken {
    kind: TransportErrorKind,
    requests: AtomicUsize,
}

impl Broken {
    pub(crate) fn new(kind: TransportErrorKind) -> Self {
        Self { kind, requests: AtomicUsize::new(0) }
    }

    /// How many requests were handed to it.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Transport for Broken {
    async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, TransportError> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        Err(TransportError::new(self.kind, "the testkit's network is broken"))
    }
}
