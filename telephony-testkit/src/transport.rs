//! Networks that behave as told.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use telephony_core::{
    async_trait,
    http::{Transport, TransportError, TransportErrorKind},
};

/// A network on which every request fails in one way. It keeps what each would have sent.
#[derive(Debug)]
pub(crate) struct Broken {
    kind: TransportErrorKind,
    bodies: Mutex<Vec<Bytes>>,
}

impl Broken {
    pub(crate) fn new(kind: TransportErrorKind) -> Self {
        Self { kind, bodies: Mutex::default() }
    }

    /// How many requests were handed to it.
    pub(crate) fn requests(&self) -> usize {
        self.bodies().len()
    }

    /// The body of the request handed to it last.
    pub(crate) fn last_body(&self) -> Option<Bytes> {
        self.bodies().last().cloned()
    }

    fn bodies(&self) -> std::sync::MutexGuard<'_, Vec<Bytes>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Transport for Broken {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, TransportError> {
        self.bodies().push(request.into_body());
        Err(TransportError::new(self.kind, "the testkit's network is broken"))
    }
}
