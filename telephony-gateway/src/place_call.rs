//! One outbound call from dialling to the bill.

use std::{fmt, future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::json;
use telephony_core::{
    Address, AnsweredBy, CallCost, CallRef, CallStatus, DigitSequence, Direction, MachineDetection, OrganizationId,
    OutboundCall, ProviderContext, Refusal, TelephonyError, TelephonyProvider, Url, WorkflowRunId,
    audio::{Pcm, StereoRecorder},
    error_chain,
};
use telephony_registry::Registry;
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::timeout,
};
use tracing::warn;

use crate::{
    agent::{AgentError, CallAgent, Dialogue, Echo, PlayOut, WebSocketAgent, WebSocketAgentConfig},
    media::MediaReport,
    service::{GatewayError, Service, ServiceError, ServiceOptions, Serving, attended::Attended},
    store::{DatabaseUrl, KeyRing, NewRun, Opened, Store, StoreError, StoredRun},
    timeline::{Timeline, TimelineEntry, as_milliseconds},
};

/// How long nothing may be heard of a call before the carrier is asked where it stands, for the case that its webhooks do not come.
const ASK_AFTER: Duration = Duration::from_secs(5);

/// How often it is looked whether that, or a price, is to be asked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long an ended call's stream may take to close.
const STREAM_CLOSES: Duration = Duration::from_secs(5);

/// How long to wait for the price of a call.
const RATED_WITHIN: Duration = Duration::from_secs(15);

/// How long to wait for the first report of a call of which it is not known whether it was placed.
const UNKNOWN_WITHIN: Duration = Duration::from_secs(30);

/// How long to wait for the end of a call that was told to end.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// A gateway for the calls of one program: a [`Service`] that remembers them in memory, and answers carriers only. Dropping it closes it.
#[derive(Debug)]
pub struct Gateway {
    serving: Serving,
    owner: OrganizationId,
}

impl Gateway {
    /// Listens. `public_url` is where carriers reach it, a path allowed; without one they must be on this machine.
    ///
    /// # Errors
    ///
    /// [`GatewayError`].
    pub async fn start(listen: SocketAddr, public_url: Option<Url>) -> Result<Self, GatewayError> {
        let store = Store::open(&DatabaseUrl::Memory, KeyRing::generate()).await?;
        let owner = store.create_organization("one program", u32::MAX).await?.id;
        let options = ServiceOptions { ask_after: ASK_AFTER, reconcile_every: LOOK_EVERY, ..ServiceOptions::default() };
        let (registry, context) = (Registry::linked()?, ProviderContext::network()?);
        let serving = Serving::start_for_carriers(store, registry, context, listen, public_url, options).await?;
        Ok(Self { serving, owner })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// Where carriers reach it.
    #[must_use]
    pub fn public_url(&self) -> &Url {
        self.service().public_url()
    }

    /// What it runs on: its store has the calls that were placed and their ledgers.
    #[must_use]
    pub fn service(&self) -> &Service {
        self.serving.service()
    }

    /// Takes no new requests, and finishes those that are under way.
    pub async fn stop(self) {
        self.serving.stop().await;
    }
}

/// A call to place through a gateway.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallOrder {
    /// Whom to call.
    pub to: Address,
    /// The caller ID. Absent: the first number of the account that is for calls.
    pub from: Option<Address>,
    /// Who talks.
    pub agent: AgentChoice,
    /// Whether to record both sides.
    pub record: bool,
    /// How long it may ring.
    pub ring_timeout: Option<Duration>,
    /// How long it may last.
    pub time_limit: Option<Duration>,
    /// Whether to find out if a person or a machine answered.
    pub machine_detection: Option<MachineDetection>,
    /// DTMF to send once answered.
    pub digits_on_answer: Option<DigitSequence>,
}

impl CallOrder {
    /// A call with the built-in dialogue and the carrier's defaults.
    #[must_use]
    pub fn to(to: impl Into<Address>) -> Self {
        Self {
            to: to.into(),
            from: None,
            agent: AgentChoice::Dialogue,
            record: false,
            ring_timeout: None,
            time_limit: None,
            machine_detection: None,
            digits_on_answer: None,
        }
    }

    /// Has this agent talk.
    #[must_use]
    pub fn with_agent(mut self, agent: AgentChoice) -> Self {
        self.agent = agent;
        self
    }

    /// Records both sides.
    #[must_use]
    pub fn recorded(mut self) -> Self {
        self.record = true;
        self
    }
}

/// Who talks in a call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AgentChoice {
    /// Greets, listens, thanks, hangs up.
    Dialogue,
    /// Says back what it hears.
    Echo,
    /// Plays a recording, then hangs up.
    Play(Arc<Pcm>),
    /// A program of yours, behind a WebSocket.
    WebSocket(WebSocketAgentConfig),
    /// An agent of yours, in this program: see [`custom`](Self::custom).
    Custom(CustomAgent),
}

/// Makes agents of your own.
#[derive(Clone)]
pub struct CustomAgent(Arc<dyn Fn() -> Box<dyn CallAgent> + Send + Sync>);

impl fmt::Debug for CustomAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomAgent")
    }
}

/// Two are equal if one is a copy of the other.
impl PartialEq for CustomAgent {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl AgentChoice {
    /// An agent of your own: `make` is called for each stream of a call, and once before, to see that it can be.
    #[must_use]
    pub fn custom<A: CallAgent + 'static>(make: impl Fn() -> A + Send + Sync + 'static) -> Self {
        Self::Custom(CustomAgent(Arc::new(move || Box::new(make()))))
    }

    fn make(&self) -> Result<Box<dyn CallAgent>, AgentError> {
        Ok(match self {
            Self::Dialogue => Box::new(Dialogue::demonstration()?),
            Self::Echo => Box::new(Echo),
            Self::Play(recording) => Box::new(PlayOut::new(recording)?),
            Self::WebSocket(config) => Box::new(WebSocketAgent::new(config)?),
            Self::Custom(custom) => (custom.0)(),
        })
    }
}

/// What became of a call.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct CallReport {
    /// The provider.
    pub provider: &'static str,
    /// The carrier's id of the call.
    pub call_id: String,
    /// How it ended.
    pub outcome: CallOutcome,
    /// Why, in the carrier's words.
    pub reason: Option<String>,
    /// How long it lasted, as the carrier counts.
    #[serde(rename = "duration_ms", serialize_with = "optional_milliseconds")]
    pub duration: Option<Duration>,
    /// Who answered, where that was asked.
    pub answered_by: Option<AnsweredBy>,
    /// What happened, in order.
    pub timeline: Vec<TimelineEntry>,
    /// What went over the media socket, if there was one.
    pub media: Option<MediaReport>,
    /// The price; `None` where the carrier does not tell.
    pub cost: Option<CallCost>,
    /// Deliveries of events that were known already.
    pub repeated_events: usize,
    /// Left the caller, right what the caller heard.
    #[serde(skip)]
    pub recording: Option<StereoRecorder>,
}

fn optional_milliseconds<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => as_milliseconds(duration, serializer),
        None => serializer.serialize_none(),
    }
}

/// How a call ended, as closely as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallOutcome {
    /// It was answered, and is over.
    Completed,
    /// The other side was busy.
    Busy,
    /// It rang and nobody answered.
    NoAnswer,
    /// The other side declined.
    Declined,
    /// There is no such number.
    InvalidNumber,
    /// It was given up before it was answered.
    Canceled,
    /// It could not be set up, or broke off.
    Failed,
    /// We stopped waiting for its end.
    Unknown,
}

impl CallOutcome {
    pub(crate) fn of(status: Option<CallStatus>, refusal: Option<Refusal>) -> Self {
        match (status, refusal) {
            (Some(CallStatus::Completed), _) => Self::Completed,
            (Some(status), Some(Refusal::Declined)) if status.is_terminal() => Self::Declined,
            (Some(status), Some(Refusal::InvalidNumber)) if status.is_terminal() => Self::InvalidNumber,
            (Some(CallStatus::Busy), _) => Self::Busy,
            (Some(CallStatus::NoAnswer), _) => Self::NoAnswer,
            (Some(CallStatus::Canceled), _) => Self::Canceled,
            (Some(CallStatus::Failed), _) => Self::Failed,
            _ => Self::Unknown,
        }
    }
}

/// Why a call was not placed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceCallError {
    /// The carrier, or the provider, refused it.
    #[error(transparent)]
    Telephony(#[from] TelephonyError),
    /// No caller ID was given, and the account has no number for calls.
    #[error("the account has no number to call from: buy one at the carrier, or name a verified one")]
    NoNumber,
    /// The agent cannot be had: its recording, or its configuration.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The gateway failed. A call may be up.
    #[error(transparent)]
    Service(ServiceError),
}

impl From<ServiceError> for PlaceCallError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Telephony(error) => Self::Telephony(error),
            other => Self::Service(other),
        }
    }
}

impl From<StoreError> for PlaceCallError {
    fn from(error: StoreError) -> Self {
        Self::Service(error.into())
    }
}

/// Places a call and follows it to its end and its price.
///
/// Every line of the timeline is handed to `progress` as it is written. When `stop` is done, the call is hung up.
///
/// # Errors
///
/// [`PlaceCallError`] when there is no call. What goes wrong with one that was accepted is in the report.
pub async fn place_call(
    gateway: &Gateway,
    provider: Arc<dyn TelephonyProvider>,
    order: CallOrder,
    progress: &mut (dyn FnMut(&TimelineEntry) + Send),
    stop: impl Future<Output = ()> + Send,
) -> Result<CallReport, PlaceCallError> {
    order.agent.make()?;
    let from = match order.from.clone() {
        Some(from) => from,
        None => first_number(provider.as_ref()).await?,
    };
    let (service, owner, id) = (gateway.service(), gateway.owner, WorkflowRunId::generate());
    let account = service.add_provider(owner, provider.clone()).await?;
    let call = outbound_call(&order, from, service.call_urls(&account.provider, None, owner, id, "none"));
    let longest = service.longest(order.time_limit);
    let new = NewRun {
        id,
        organization: owner,
        workflow: None,
        configuration: account.id,
        provider: account.provider,
        direction: Direction::Outbound,
        from: call.from.as_str().to_owned(),
        to: call.to.as_str().to_owned(),
        call: CallRef::unnamed(),
        options: json!({"record": order.record, "max_duration_secs": longest.as_secs()}),
        idempotency: None,
        lease: service.options().lease,
    };
    let run = match service.store().open_run(&new).await? {
        Opened::New(run) | Opened::Existing(run) => *run,
        Opened::NoSlot { limit } => return Err(ServiceError::NoSlot { limit }.into()),
        Opened::KeyReused => unreachable!("the call has no key"),
    };
    let (timeline, lines) = Timeline::start();
    let agent = order.agent;
    let attending = service.attend(id, Arc::new(move || agent.make()), timeline);
    let mut lines = Lines { lines, seen: Vec::new(), progress };
    let followed = Following { service, attended: &attending.call, provider: &provider, run: run.id };
    let outcome = followed.to_the_end(run, call, &mut lines, stop).await;
    lines.read();
    let (run, cost) = outcome?;
    Ok(report(provider.as_ref(), &attending.call, &run, cost, lines.seen))
}

async fn first_number(provider: &dyn TelephonyProvider) -> Result<Address, PlaceCallError> {
    let numbers = provider.get_available_phone_numbers().await?;
    let first = numbers.into_iter().find(|number| number.voice).ok_or(PlaceCallError::NoNumber)?;
    Ok(first.number.into())
}

fn outbound_call(order: &CallOrder, from: Address, urls: telephony_core::CallUrls) -> OutboundCall {
    let mut call = OutboundCall::new(order.to.clone(), from, urls);
    call.ring_timeout = order.ring_timeout;
    call.time_limit = order.time_limit;
    call.machine_detection = order.machine_detection;
    call.digits_on_answer = order.digits_on_answer.clone();
    call
}

/// The timeline as it is read.
struct Lines<'a> {
    lines: mpsc::UnboundedReceiver<TimelineEntry>,
    seen: Vec<TimelineEntry>,
    progress: &'a mut (dyn FnMut(&TimelineEntry) + Send),
}

impl Lines<'_> {
    /// Reads what has been written.
    fn read(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.take(line);
        }
    }

    fn take(&mut self, line: TimelineEntry) {
        (self.progress)(&line);
        self.seen.push(line);
    }

    /// Waits for something, reading along.
    async fn until<T>(&mut self, what: impl Future<Output = T>) -> T {
        let mut what = pin!(what);
        loop {
            tokio::select! {
                // What has been written is shown before what follows from it.
                biased;
                Some(line) = self.lines.recv() => self.take(line),
                done = &mut what => return done,
            }
        }
    }
}

/// A call that is followed.
struct Following<'a> {
    service: &'a Service,
    attended: &'a Attended,
    provider: &'a Arc<dyn TelephonyProvider>,
    run: WorkflowRunId,
}

impl Following<'_> {
    /// Dials it, and returns what is known of it once it is over and everything about it has been waited for.
    async fn to_the_end(
        &self,
        run: StoredRun,
        call: OutboundCall,
        lines: &mut Lines<'_>,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(StoredRun, Option<CallCost>), PlaceCallError> {
        let timeline = &self.attended.timeline;
        match lines.until(self.service.dial(&run, self.provider.clone(), call)).await?.1 {
            Ok(_) => {}
            // It may ring already. To dial again could call somebody twice; if it rings, the carrier will tell.
            Err(unknown @ TelephonyError::OutcomeUnknown { .. }) => {
                timeline.note("gateway", "outcome unknown", "waiting for the carrier to report the call");
                let told = self.until(|run| run.call.id().is_some());
                match lines.until(timeout(UNKNOWN_WITHIN, told)).await {
                    Ok(told) => told?,
                    Err(_) => return Err(unknown.into()),
                };
            }
            Err(error) => return Err(error.into()),
        }

        let mut stop = pin!(stop);
        tokio::select! {
            ended = lines.until(self.until(|run| run.is_over)) => ended?,
            () = &mut stop => {
                timeline.note("gateway", "stopped", "the call is hung up");
                self.hang_up(&run).await;
                match lines.until(timeout(ENDS_WITHIN, self.until(|run| run.is_over))).await {
                    Ok(ended) => ended?,
                    Err(_) => {
                        warn!(run = %self.run, "A call was told to end, and its end was not reported in time.");
                        self.now().await?
                    }
                }
            }
        };
        let closed = self.until(|run| run.media_state != "open");
        let run = match lines.until(timeout(STREAM_CLOSES, closed)).await {
            Ok(closed) => closed?,
            Err(_) => {
                warn!(run = %self.run, "The call is over, and its stream has not been closed.");
                self.now().await?
            }
        };
        let run = lines.until(self.priced(run)).await?;
        let cost = match run.cost_state.as_str() {
            "pending" | "given_up" => Some(CallCost::Pending),
            _ => run.summary.cost.clone(),
        };
        Ok((run, cost))
    }

    async fn hang_up(&self, run: &StoredRun) {
        if let Err(error) = self.service.hang_up(run.organization, run.id).await {
            warn!(run = %self.run, error = error_chain(&error), "The call could not be hung up.");
        }
    }

    /// Waits for the price, which the service asks for. A call that was never answered may never be rated: it is asked for once.
    async fn priced(&self, run: StoredRun) -> Result<StoredRun, PlaceCallError> {
        if !run.is_over {
            return Ok(run);
        }
        if !run.summary.answered {
            if let Err(error) = self.service.ask_price(run).await {
                warn!(run = %self.run, error = error_chain(&error), "The carrier does not say what a call costs.");
            }
            return self.now().await;
        }
        match timeout(RATED_WITHIN, self.until(|run| run.cost_state != "pending")).await {
            Ok(priced) => priced,
            Err(_) => self.now().await,
        }
    }

    async fn now(&self) -> Result<StoredRun, PlaceCallError> {
        let run = self.service.store().run(self.run).await?;
        Ok(run.ok_or(ServiceError::NotFound { what: "call" })?)
    }

    /// Waits until the call is as wanted.
    async fn until(&self, wanted: impl Fn(&StoredRun) -> bool) -> Result<StoredRun, PlaceCallError> {
        let mut changes = self.service.changes();
        loop {
            let run = self.now().await?;
            if wanted(&run) {
                return Ok(run);
            }
            loop {
                match changes.recv().await {
                    Ok(change) if !change.concerns(self.run) => {}
                    // Of this call, or some were missed. The sender lives as long as the service.
                    Ok(_) | Err(RecvError::Lagged(_) | RecvError::Closed) => break,
                }
            }
        }
    }
}

fn report(
    provider: &dyn TelephonyProvider,
    attended: &Attended,
    run: &StoredRun,
    cost: Option<CallCost>,
    timeline: Vec<TimelineEntry>,
) -> CallReport {
    let (media, recording) = attended.take_media();
    CallReport {
        provider: provider.descriptor().name().as_str(),
        call_id: run.call.to_string(),
        outcome: CallOutcome::of(run.summary.status, run.summary.refusal),
        reason: run.summary.reason.clone(),
        duration: run.summary.duration,
        answered_by: run.summary.answered_by,
        timeline,
        media,
        cost,
        repeated_events: attended.repeated(),
        recording,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_says_more_than_the_status() {
        use CallStatus::{Busy, Completed, Failed, Ringing};
        assert_eq!(CallOutcome::of(Some(Busy), None), CallOutcome::Busy);
        assert_eq!(CallOutcome::of(Some(Busy), Some(Refusal::Declined)), CallOutcome::Declined);
        assert_eq!(CallOutcome::of(Some(Failed), Some(Refusal::InvalidNumber)), CallOutcome::InvalidNumber);
        assert_eq!(CallOutcome::of(Some(Completed), Some(Refusal::Declined)), CallOutcome::Completed);
        assert_eq!(CallOutcome::of(Some(Ringing), None), CallOutcome::Unknown);
    }
}
