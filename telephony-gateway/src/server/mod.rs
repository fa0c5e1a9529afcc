//! The server: what carriers send us arrives here.
//!
//! | route | who asks |
//! | --- | --- |
//! | `/api/v1/telephony/{provider}/answer/{run}` | the carrier: what shall the call do? |
//! | `/api/v1/telephony/{provider}/events/{run}` | the carrier: this happened |
//! | `/api/v1/telephony/ws/{workflow}/{organization}/{run}/{token}` | the carrier, with the call's audio |
//! | `/healthz` | whoever watches the gateway |

pub(crate) mod doctor;
mod media;
mod run;
mod webhooks;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{any, get},
    serve::ListenerExt,
};
use telephony_core::{TelephonyProvider, Url, WorkflowRunId};
use tokio::{net::TcpListener, task::JoinHandle};
use tracing::warn;

pub(crate) use run::{MediaState, NewRun, Run};

use crate::{ledger::Ledger, token::MediaTokens};

/// The longest webhook that is read. Carriers' are a few kilobytes.
const LARGEST_WEBHOOK: usize = 256 * 1024;

/// A gateway that is listening. Dropping it closes it.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

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
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) public_url: Url,
    pub(crate) ledger: Ledger,
    pub(crate) tokens: MediaTokens,
    runs: Mutex<HashMap<WorkflowRunId, Arc<Run>>>,
}

impl Gateway {
    /// Listens. `public_url` is where carriers reach it, a path allowed; without one they must be on this machine.
    ///
    /// # Errors
    ///
    /// [`GatewayError`].
    pub async fn start(listen: SocketAddr, public_url: Option<Url>) -> Result<Self, GatewayError> {
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
        let (ledger, tokens) = (Ledger::new(), MediaTokens::default());
        let shared = Arc::new(Shared { public_url, ledger, tokens, runs: Mutex::default() });
        let router = Router::new()
            .route("/api/v1/telephony/{provider}/answer/{run}", any(webhooks::receive))
            .route("/api/v1/telephony/{provider}/events/{run}", any(webhooks::receive))
            .route("/api/v1/telephony/ws/{workflow}/{organization}/{run}/{token}", get(media::upgrade))
            .route("/healthz", get(|| async { "ok\n" }))
            .layer(DefaultBodyLimit::max(LARGEST_WEBHOOK))
            .with_state(shared.clone());
        // Frames of 20 ms must not wait for each other.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                warn!(error = &error as &dyn std::error::Error, "A connection cannot be told to send at once.");
            }
        });
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                warn!(error = &error as &dyn std::error::Error, "The gateway stopped listening.");
            }
        });
        Ok(Self { shared, address, server })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where carriers reach it.
    #[must_use]
    pub fn public_url(&self) -> &Url {
        &self.shared.public_url
    }

    /// The calls it knows.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// Opens a run: from now on its URLs are answered.
    pub(crate) fn open_run(&self, provider: Arc<dyn TelephonyProvider>, new: NewRun) -> Arc<Run> {
        let run = Arc::new(Run::new(provider, new));
        self.shared.ledger.open(run.id);
        self.shared.runs().insert(run.id, run.clone());
        run
    }

    /// Where the carrier reaches us about a run.
    pub(crate) fn urls(&self, run: &Run) -> telephony_core::CallUrls {
        telephony_core::CallUrls {
            answer: self.shared.webhook_url(run, "answer"),
            events: self.shared.webhook_url(run, "events"),
            media: self.shared.media_url(run),
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    pub(crate) fn run(&self, id: WorkflowRunId) -> Option<Arc<Run>> {
        self.runs().get(&id).cloned()
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<WorkflowRunId, Arc<Run>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn webhook_url(&self, run: &Run, kind: &str) -> Url {
        let provider = run.provider.descriptor().name();
        self.url(&["api", "v1", "telephony", provider.as_str(), kind, &run.id.to_string()])
    }

    /// A media URL with a fresh token, good for one socket. The token stands in the path: carriers drop queries.
    pub(crate) fn media_url(&self, run: &Run) -> Url {
        let token = self.tokens.issue(run.id);
        let [workflow, organization, id] = [run.workflow.to_string(), run.organization.to_string(), run.id.to_string()];
        let mut url = self.url(&["api", "v1", "telephony", "ws", &workflow, &organization, &id, &token]);
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        // From http or https, which the public URL was checked to be, every one of these is allowed.
        let changed = url.set_scheme(scheme);
        debug_assert!(changed.is_ok(), "{url} cannot become {scheme}");
        url
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.public_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

pub(crate) fn check_public_url(url: &Url) -> Result<(), GatewayError> {
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
mod tests;
