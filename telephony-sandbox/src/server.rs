//! A running sandbox: the listener, and everything that simulated calls share.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use telephony_core::{Direction, PhoneNumber, Timestamp, Url};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{broadcast, mpsc},
    task::JoinSet,
};
use tracing::{debug, warn};

use crate::{
    CarrierSimulator, Exchange, Faults, Handset, HandsetReport, NewCall, Observation, RestFault, SimulatedCall,
    SimulatorDescriptor, SoftphoneCall, Switchboard,
    call::{self, Control},
    exchange::Order,
    handset_for,
    softphone::{About, Handpiece, line},
};

/// The longest request body that a simulated carrier reads.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// How a sandbox behaves where carriers and people differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SandboxOptions {
    /// How many numbers the account has. Default 3.
    pub numbers: usize,
    /// Numbers that the account has besides. Default none.
    pub more_numbers: Vec<PhoneNumber>,
    /// How long a handset rings before it is picked up. Default 400 ms.
    pub ring: Duration,
    /// How long a handset rings that nobody picks up, if the call's own time-out is not shorter. Default 3 s.
    pub no_answer_after: Duration,
    /// How long after the end of a call its price is known. Default 1 s.
    pub rating_delay: Duration,
    /// How long the softphone rings, and its number if there is none, if the call's own time-out is not shorter. Default 30 s.
    pub softphone_rings_for: Duration,
    /// Where the softphone registers. Default: a switchboard of its own.
    pub switchboard: Switchboard,
    /// Stands behind every number, instead of what the dial plan says.
    pub handset: Option<Handset>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            numbers: 3,
            more_numbers: Vec::new(),
            ring: Duration::from_millis(400),
            no_answer_after: Duration::from_secs(3),
            rating_delay: Duration::from_secs(1),
            softphone_rings_for: Duration::from_secs(30),
            switchboard: Switchboard::default(),
            handset: None,
        }
    }
}

impl SandboxOptions {
    /// An account with so many numbers, at most 9,900.
    #[must_use]
    pub fn with_numbers(mut self, numbers: usize) -> Self {
        self.numbers = numbers.min(9_900);
        self
    }

    /// An account that has this number besides.
    #[must_use]
    pub fn with_number(mut self, number: PhoneNumber) -> Self {
        self.more_numbers.push(number);
        self
    }

    /// Handsets ring for so long.
    #[must_use]
    pub fn with_ring(mut self, ring: Duration) -> Self {
        self.ring = ring;
        self
    }

    /// Nobody picks up for so long.
    #[must_use]
    pub fn with_no_answer_after(mut self, after: Duration) -> Self {
        self.no_answer_after = after;
        self
    }

    /// Prices are known so long after the end.
    #[must_use]
    pub fn with_rating_delay(mut self, delay: Duration) -> Self {
        self.rating_delay = delay;
        self
    }

    /// The softphone rings for so long.
    #[must_use]
    pub fn with_softphone_rings_for(mut self, length: Duration) -> Self {
        self.softphone_rings_for = length;
        self
    }

    /// The softphone registers here.
    #[must_use]
    pub fn with_switchboard(mut self, switchboard: Switchboard) -> Self {
        self.switchboard = switchboard;
        self
    }

    /// This handset stands behind every number.
    #[must_use]
    pub fn with_handset(mut self, handset: Handset) -> Self {
        self.handset = Some(handset);
        self
    }
}

/// Why a sandbox could not be started, or a call in it not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// No port could be had on the loopback address.
    #[error("the simulated carrier cannot listen on the loopback address")]
    Listen(#[source] std::io::Error),
    /// The HTTP client for webhooks could not be made.
    #[error("the simulated carrier cannot send webhooks")]
    Client(#[source] telephony_core::BoxError),
    /// The number called is none of the account's.
    #[error("the account has no such number")]
    NoSuchNumber,
}

/// A simulated carrier that is running, with one account. Dropping it hangs everything up.
#[derive(Debug)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

impl Sandbox {
    /// Starts a simulated carrier on a free port of the loopback address.
    ///
    /// # Errors
    ///
    /// [`SandboxError`] when there is no port or no HTTP client to be had.
    pub async fn start(simulator: &'static SimulatorDescriptor, options: SandboxOptions) -> Result<Self, SandboxError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(SandboxError::Listen)?;
        let address = listener.local_addr().map_err(SandboxError::Listen)?;
        let shared = Arc::new(Shared::new(simulator, options, address)?);
        shared.spawn({
            // Weak: the tasks belong to the sandbox, and must not keep it.
            let weak = Arc::downgrade(&shared);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let Some(shared) = weak.upgrade() else { break };
                    let served = serve(weak.clone(), stream);
                    shared.spawn(served);
                }
            }
        });
        Ok(Self { shared })
    }

    /// Whose carrier it plays.
    #[must_use]
    pub fn simulator(&self) -> &'static SimulatorDescriptor {
        self.shared.descriptor
    }

    /// Where the carrier's REST API is.
    #[must_use]
    pub fn api_url(&self) -> &Url {
        &self.shared.api_url
    }

    /// The account as its customer would configure it, with the member `"provider"`.
    #[must_use]
    pub fn account(&self) -> Value {
        let mut account = self.shared.lock().simulator.account(&self.shared.api_url);
        if let Some(fields) = account.as_object_mut() {
            let name = self.shared.descriptor.provider().name().as_str();
            fields.insert(telephony_core::config::PROVIDER_FIELD.to_owned(), name.into());
        }
        account
    }

    /// The account's numbers.
    #[must_use]
    pub fn numbers(&self) -> Vec<PhoneNumber> {
        self.shared.lock().exchange.numbers().iter().filter_map(|known| known.number.parse().ok()).collect()
    }

    /// The calls of the account so far, oldest first, as the carrier knows them: what was asked for, and what became of it.
    #[must_use]
    pub fn calls(&self) -> Vec<SimulatedCall> {
        self.shared.lock().exchange.calls().to_vec()
    }

    /// What the customer has set up besides the URLs for inbound calls: see [`CarrierSimulator::other_settings`].
    #[must_use]
    pub fn other_settings(&self) -> Value {
        let state = self.shared.lock();
        state.simulator.other_settings(&state.exchange)
    }

    /// Has things go wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.lock().faults = faults;
    }

    /// Everything observed from now on. A receiver that falls a thousand behind misses some.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Observation> {
        self.shared.observed.subscribe()
    }

    /// Everything observed so far.
    #[must_use]
    pub fn observations(&self) -> Vec<Observation> {
        self.shared.lock().observations.clone()
    }

    /// Waits until something has been observed, now or in the past.
    pub async fn wait_for(&self, wanted: impl Fn(&Observation) -> bool) -> Observation {
        let mut receiver = self.subscribe();
        let mut looked_at = 0;
        loop {
            // Not under the lock: what is wanted may depend on the sandbox.
            let news = self.shared.lock().observations[looked_at..].to_vec();
            looked_at += news.len();
            if let Some(found) = news.into_iter().find(|seen| wanted(seen)) {
                return found;
            }
            // Whatever it is, or that some were missed: look. The sender lives as long as we do.
            let _news = receiver.recv().await;
        }
    }

    /// What went through the handset of a call: complete once the call has ended.
    #[must_use]
    pub fn handset(&self, call_id: &str) -> Option<HandsetReport> {
        self.shared.lock().handsets.get(call_id).cloned()
    }

    /// Reads an answer document as the carrier would.
    ///
    /// # Errors
    ///
    /// What the carrier would show in its debugger.
    pub fn read_answer(&self, response: &Response<Bytes>) -> Result<Vec<crate::Step>, String> {
        self.shared.lock().simulator.read_answer(response)
    }

    /// Has a handset call one of the account's numbers. Returns the carrier's id of the call.
    ///
    /// # Errors
    ///
    /// [`SandboxError::NoSuchNumber`].
    pub async fn call_in(&self, from: &str, to: &str) -> Result<String, SandboxError> {
        let id = self.new_inbound(from, to)?;
        Shared::start_call(&self.shared, id.clone(), None);
        Ok(id)
    }

    /// Has a softphone call one of the account's numbers: whoever holds what is returned is the person who calls. It need not be
    /// registered.
    ///
    /// # Errors
    ///
    /// [`SandboxError::NoSuchNumber`].
    pub fn call_in_by_softphone(&self, from: &str, to: &str) -> Result<SoftphoneCall, SandboxError> {
        let id = self.new_inbound(from, to)?;
        let about = About {
            provider: self.shared.descriptor.provider().name(),
            id: id.clone(),
            direction: Direction::Inbound,
            from: from.to_owned(),
            to: to.to_owned(),
        };
        let (handpiece, call) = line(Arc::new(about));
        Shared::start_call(&self.shared, id, Some(handpiece));
        Ok(call)
    }

    /// Where this sandbox's softphone registers.
    #[must_use]
    pub fn switchboard(&self) -> &Switchboard {
        &self.shared.options.switchboard
    }

    fn new_inbound(&self, from: &str, to: &str) -> Result<String, SandboxError> {
        let id = {
            let mut state = self.shared.lock();
            state.exchange.set_now(now());
            let known = state.exchange.numbers().iter().find(|known| known.number == to);
            let notes = known.ok_or(SandboxError::NoSuchNumber)?.notes.clone();
            let id = state.simulator.new_call_id();
            let request =
                NewCall { id: id.clone(), from: from.to_owned(), to: to.to_owned(), notes, ..NewCall::default() };
            state.exchange.add(request, Direction::Inbound);
            id
        };
        Ok(id)
    }

    /// Hangs everything up and stops listening.
    pub async fn stop(self) {
        let mut tasks = std::mem::take(&mut *self.shared.tasks());
        tasks.shutdown().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.shared.tasks().abort_all();
    }
}

/// What the listener and the calls share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) descriptor: &'static SimulatorDescriptor,
    pub(crate) options: SandboxOptions,
    pub(crate) client: reqwest::Client,
    api_url: Url,
    state: Mutex<State>,
    observed: broadcast::Sender<Observation>,
    tasks: Mutex<JoinSet<()>>,
}

/// What changes.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) simulator: Box<dyn CarrierSimulator>,
    pub(crate) exchange: Exchange,
    pub(crate) faults: Faults,
    pub(crate) handsets: HashMap<String, HandsetReport>,
    controls: HashMap<String, mpsc::UnboundedSender<Control>>,
    observations: Vec<Observation>,
}

impl Shared {
    fn new(
        descriptor: &'static SimulatorDescriptor,
        options: SandboxOptions,
        address: SocketAddr,
    ) -> Result<Self, SandboxError> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(15))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| SandboxError::Client(error.into()))?;
        let api_url = Url::parse(&format!("http://{address}/")).map_err(|error| SandboxError::Client(error.into()))?;
        let state = State {
            simulator: descriptor.build(),
            exchange: Exchange::new(options.numbers, &options.more_numbers, now()),
            faults: Faults::none(),
            handsets: HashMap::new(),
            controls: HashMap::new(),
            observations: Vec::new(),
        };
        Ok(Self {
            descriptor,
            options,
            client,
            api_url,
            state: Mutex::new(state),
            observed: broadcast::channel(1_000).0,
            tasks: Mutex::default(),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A simulator that panics breaks its own request; what it left is good enough to observe.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    pub(crate) fn observe(&self, observation: Observation) {
        self.lock().observations.push(observation.clone());
        // Nobody need be listening.
        let _listeners = self.observed.send(observation);
    }

    /// The handset behind a number.
    pub(crate) fn handset(&self, to: &str) -> Handset {
        self.options.handset.clone().unwrap_or_else(|| handset_for(to))
    }

    pub(crate) fn forget_control(&self, id: &str) {
        self.lock().controls.remove(id);
    }

    fn start_call(shared: &Arc<Self>, id: String, caller: Option<Handpiece>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        shared.lock().controls.insert(id.clone(), sender);
        shared.spawn(call::run(shared.clone(), id, receiver, caller));
    }

    fn carry_out(shared: &Arc<Self>, orders: Vec<Order>) {
        for order in orders {
            let (id, control) = match order {
                Order::Start { id } => {
                    Self::start_call(shared, id, None);
                    continue;
                }
                Order::HangUp { id } => (id, Control::HangUp),
                Order::Instruct { id, steps } => (id, Control::Instruct(steps)),
                Order::SendDigits { id, digits } => (id, Control::SendDigits(digits)),
            };
            let sender = shared.lock().controls.get(&id).cloned();
            // A call that has ended meanwhile hears nothing any more.
            if sender.is_none_or(|sender| sender.send(control).is_err()) {
                debug!(call_id = %id, "A command came too late for the call.");
            }
        }
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::now_utc()
}

/// Serves the requests of one connection.
async fn serve(shared: std::sync::Weak<Shared>, stream: TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(error = &error as &dyn std::error::Error, "A connection cannot be told not to wait.");
    }
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let shared = shared.clone();
        async move {
            let Some(shared) = shared.upgrade() else { return Err(ConnectionCut) };
            let (parts, body) = request.into_parts();
            let Ok(body) = Limited::new(body, MAX_REQUEST_BYTES).collect().await else {
                let mut refused = Response::new(Full::default());
                *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
                return Ok(refused);
            };
            let answer = answer(&shared, Request::from_parts(parts, body.to_bytes()));
            answer.map(|response| response.map(Full::new)).ok_or(ConnectionCut)
        }
    });
    // An error is either a cut on purpose or a client that went away.
    if let Err(error) = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    {
        debug!(error = &error as &dyn std::error::Error, "A connection ended early.");
    }
}

/// Answers a REST request, or cuts the connection.
fn answer(shared: &Arc<Shared>, request: Request<Bytes>) -> Option<Response<Bytes>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let (response, orders) = {
        let mut guard = shared.lock();
        let state = &mut *guard;
        let fault = state.faults.rest.pop_front().unwrap_or(RestFault::Pass);
        state.exchange.set_now(now());
        match fault {
            RestFault::CutBefore => (None, Vec::new()),
            RestFault::Status(status) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (Some(state.simulator.failure(status)), Vec::new())
            }
            RestFault::Pass | RestFault::CutAfter => {
                let response = state.simulator.rest(&request, &mut state.exchange);
                let orders = std::mem::take(&mut state.exchange.orders);
                (Some(response).filter(|_| fault == RestFault::Pass), orders)
            }
        }
    };
    let status = response.as_ref().map(|response| response.status().as_u16());
    if status.is_some_and(|status| status >= 500) {
        warn!(%method, path, status, "The simulated carrier fails.");
    }
    shared.observe(Observation::Rest { method, path, status });
    Shared::carry_out(shared, orders);
    response
}

/// Ends a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the simulated carrier cuts the connection")]
struct ConnectionCut;
