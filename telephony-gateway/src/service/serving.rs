//! A service that listens.

use std::{net::SocketAddr, time::Duration};

use axum::serve::ListenerExt;
use telephony_core::{ProviderContext, Url};
use telephony_registry::Registry;
use tokio::{net::TcpListener, task::JoinHandle};
use tracing::warn;

use super::{Service, ServiceOptions, following, others, reconciler::Reconciler};
use crate::{
    api,
    server::{GatewayError, check_public_url},
    store::Store,
};

/// How long requests may take that are under way at the end.
const REQUESTS_END_WITHIN: Duration = Duration::from_secs(10);

/// A service that is listening. Dropping it closes it.
#[derive(Debug)]
pub struct Serving {
    service: Service,
    address: SocketAddr,
    server: JoinHandle<()>,
    reconciler: JoinHandle<()>,
    others: JoinHandle<()>,
    following: JoinHandle<()>,
}

impl Serving {
    /// Listens. `public_url` is where carriers reach it, a path allowed; without one they must be on this machine.
    ///
    /// # Errors
    ///
    /// [`GatewayError`].
    pub async fn start(
        store: Store,
        registry: Registry,
        context: ProviderContext,
        listen: SocketAddr,
        public_url: Option<Url>,
        options: ServiceOptions,
    ) -> Result<Self, GatewayError> {
        if let Some(url) = &public_url {
            check_public_url(url)?;
        }
        let failed = |source| GatewayError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let public_url = match public_url {
            Some(url) => url,
            None => format!("http://{address}").parse().map_err(|_| GatewayError::PublicUrl { reason: "is none" })?,
        };
        let service = Service::new(store, registry, context, public_url, options);
        let reconciler = tokio::spawn(Reconciler::new().run(service.clone()));
        let others = tokio::spawn(others::run(service.clone()));
        let following = tokio::spawn(following::run(service.clone()));
        let router = api::router(service.clone());
        // Frames of 20 ms must not wait for each other.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                warn!(error = &error as &dyn std::error::Error, "A connection cannot be told to send at once.");
            }
        });
        let closing = service.clone();
        let server = tokio::spawn(async move {
            let until = async move { closing.closing().await };
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(until).await {
                warn!(error = &error as &dyn std::error::Error, "The gateway stopped listening.");
            }
        });
        Ok(Self { service, address, server, reconciler, others, following })
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new requests, finishes those that are under way, and lets the database go. Streams that are still carried are cut:
    /// [`Service::drain`] waits for them.
    pub async fn stop(mut self) {
        self.service.close();
        self.reconciler.abort();
        self.others.abort();
        self.following.abort();
        match tokio::time::timeout(REQUESTS_END_WITHIN, &mut self.server).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(error = &error as &dyn std::error::Error, "The server did not end by itself."),
            Err(_) => warn!("Requests that did not end in time were cut."),
        }
        self.service.store().close().await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.server.abort();
        self.reconciler.abort();
        self.others.abort();
        self.following.abort();
    }
}
