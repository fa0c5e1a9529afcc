//! Networks that behave as told.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use serde_json::Value;
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

type Edit = Box<dyn Fn(&mut Value) + Send + Sync>;

/// A network on which every answer in JSON is changed on its way.
pub(crate) struct Edited {
    network: Arc<dyn Transport>,
    edit: Edit,
}

impl Edited {
    pub(crate) fn new(network: Arc<dyn Transport>, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        Self { network, edit: Box::new(edit) }
    }
}

impl fmt::Debug for Edited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edited").finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for Edited {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, TransportError> {
        let answer = self.network.send(request).await?;
        Ok(answer.map(|body| match serde_json::from_slice::<Value>(&body) {
            Ok(mut value) => {
                (self.edit)(&mut value);
                Bytes::from(value.to_string())
            }
            Err(_) => body,
        }))
    }
}
