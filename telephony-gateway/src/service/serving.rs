//! A service that listens.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, serve::ListenerExt};
use telephony_core::{ProviderContext, Url, http::TransportError};
use telephony_registry::{Registry, RegistryError};
use tokio::{net::TcpListener, task::JoinHandle};
use tracing::warn;

use super::{Service, ServiceOptions, following, others, reconciler::Reconciler};
use crate::{
    api,
    store::{Store, StoreError},
};

/// How long requests may take that are under way at the end.
const REQUESTS_END_WITHIN: Duration = Duration::from_secs(10);

/// Why a gateway could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The address is taken, or not ours.
    #[error("the gateway cannot listen on {address}")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Carriers cannot be given such a URL.
    #[error("the public URL {reason}")]
    PublicUrl {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It has nowhere to remember anything.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It could not ask carriers.
    #[error("requests cannot be sent")]
    Transport(#[from] TransportError),
    /// Two of the providers that are linked have one name.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

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
        Self::start_with(api::router, store, registry, context, listen, public_url, options).await
    }

    /// The same for carriers only: nobody is answered by the HTTP API.
    pub(crate) async fn start_for_carriers(
        store: Store,
        registry: Registry,
        context: ProviderContext,
        listen: SocketAddr,
        public_url: Option<Url>,
        options: ServiceOptions,
    ) -> Result<Self, GatewayError> {
        Self::start_with(api::router_for_carriers, store, registry, context, listen, public_url, options).await
    }

    async fn start_with(
        router: impl FnOnce(Service) -> Router,
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
        let router = router(service.clone());
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

fn check_public_url(url: &Url) -> Result<(), GatewayError> {
    let refuse = |reason| Err(GatewayError::PublicUrl { reason });
    if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
        return refuse("must start with https://");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("must have neither query nor fragment");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("must not hold a user name or password: carriers do not sign them");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_that_carriers_cannot_use_is_refused() {
        let check = |text: &str| check_public_url(&text.parse().unwrap()).map_err(|error| error.to_string());
        assert_eq!(check("https://voice.example.com/base"), Ok(()));
        assert_eq!(check("ftp://voice.example.com/"), Err("the public URL must start with https://".to_owned()));
        assert!(check("https://voice.example.com/?a=1").is_err());
        assert!(check("https://user:pass@voice.example.com/").is_err());
    }
}
