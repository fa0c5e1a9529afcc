//! One outbound call from dialling to the bill.

use std::{
    fmt,
    future::Future,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use telephony_core::{
    Address, AnsweredBy, CallCost, CallEvent, CallEventKind, CallRef, CallSnapshot, CallState, CallStatus, Capability,
    DigitSequence, Direction, MachineDetection, OutboundCall, Refusal, StatusChange, TelephonyError, TelephonyProvider,
    Timestamp,
    audio::{Pcm, StereoRecorder},
    error_chain,
};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use tracing::warn;

use crate::{
    agent::{AgentCall, AgentError, CallAgent, Dialogue, Echo, PlayOut, WebSocketAgent, WebSocketAgentConfig},
    ledger::RunRecord,
    media::MediaReport,
    server::{Gateway, MediaState, NewRun, Run},
    timeline::{Timeline, TimelineEntry, as_milliseconds},
};

/// How often the carrier is asked where the call stands, for the case that its webhooks do not come.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// How long an ended call's stream may take to close.
const STREAM_CLOSES: Duration = Duration::from_secs(5);

/// How long to wait for the price of a call.
const RATED_WITHIN: Duration = Duration::from_secs(15);

/// How long to wait for the first report of a call of which it is not known whether it was placed.
const UNKNOWN_WITHIN: Duration = Duration::from_secs(30);

/// How long to wait for the end of a call that was told to end.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

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
    let (timeline, lines) = Timeline::start();
    let agent = order.agent.clone();
    let call =
        AgentCall::new(provider.descriptor().name(), Direction::Outbound).between(from.clone(), order.to.clone());
    let new = NewRun { agent: Arc::new(move || agent.make()), call, record: order.record, timeline };
    let run = gateway.open_run(provider, new);
    let call = outbound_call(&order, from, gateway.urls(&run));
    let mut lines = Lines { lines, seen: Vec::new(), progress };
    let follow = follow(gateway, &run, &call, &mut lines, stop).await;
    lines.read();
    follow.map(|(record, cost)| report(&run, &record, cost, lines.seen))
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

async fn follow(
    gateway: &Gateway,
    run: &Run,
    call: &OutboundCall,
    lines: &mut Lines<'_>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(RunRecord, Option<CallCost>), PlaceCallError> {
    let provider = run.provider.as_ref();
    run.timeline.note("rest", "dial", format!("{} from {}", call.to, call.from));
    let ledger = gateway.ledger();
    // The run was opened by the caller and is not forgotten while this gateway lives.
    let Ok(mut record) = ledger.watch(run.id) else { unreachable!("an open run is in the ledger") };
    match lines.until(provider.initiate_call(call)).await {
        Ok(accepted) => {
            run.timeline.note("rest", "accepted", format!("{:?}, call {}", accepted.raw_status, accepted.call));
            if ledger.learn(run.id, &accepted.call).is_err() {
                warn!(run = %run.id, "A run is not in the ledger any more.");
            }
        }
        // It may ring already. To dial again could call somebody twice; if it rings, the carrier will tell.
        Err(unknown @ TelephonyError::OutcomeUnknown { .. }) => {
            run.timeline.note("gateway", "outcome unknown", "waiting for the carrier to report the call");
            let told = async { record.wait_for(|record| record.call.id().is_some()).await.map(|_| ()) };
            if !matches!(lines.until(timeout(UNKNOWN_WITHIN, told)).await, Ok(Ok(_))) {
                return Err(unknown.into());
            }
        }
        Err(error) => return Err(error.into()),
    }

    let mut stop = pin!(stop);
    tokio::select! {
        () = lines.until(ended(gateway, run, &mut record)) => {}
        () = &mut stop => {
            run.timeline.note("gateway", "stopped", "the call is hung up");
            // Taken out first: what is borrowed across a request keeps the ledger from writing meanwhile.
            let call = record.borrow().call.clone();
            hang_up(provider, &call).await;
            if lines.until(timeout(ENDS_WITHIN, ended(gateway, run, &mut record))).await.is_err() {
                warn!(run = %run.id, "A call was told to end, and its end was not reported in time.");
            }
        }
    }
    let mut media = run.media.subscribe();
    let closed = async { media.wait_for(|state| *state != MediaState::Open).await.map(|_| ()) };
    if !matches!(lines.until(timeout(STREAM_CLOSES, closed)).await, Ok(Ok(()))) {
        warn!(run = %run.id, "The call is over, and its stream has not been closed.");
    }
    let cost = lines.until(price(run, &mut record)).await;
    let record = record.borrow().clone();
    Ok((record, cost))
}

/// Waits for the end of the call: by webhook, or by asking, should they not come.
async fn ended(gateway: &Gateway, run: &Run, record: &mut watch::Receiver<RunRecord>) {
    loop {
        let is_over = |record: &RunRecord| record.summary.status.is_some_and(CallStatus::is_terminal);
        // Reported, or nobody is left to report it.
        if timeout(ASK_EVERY, record.wait_for(is_over)).await.is_ok() {
            return;
        }
        let call = record.borrow().call.clone();
        match run.provider.get_call_status(&call).await {
            Ok(snapshot) => learn(gateway, run, snapshot),
            Err(error) => {
                warn!(run = %run.id, error = error_chain(&error), "The carrier does not say where a call stands.");
            }
        }
    }
}

/// Writes down what the carrier said when asked, as an event like those that it reports by itself.
fn learn(gateway: &Gateway, run: &Run, snapshot: CallSnapshot) {
    let status = match snapshot.state {
        CallState::Status(status) => status,
        CallState::Over => CallStatus::Completed,
        _ => return,
    };
    let known = gateway.ledger().watch(run.id).ok().and_then(|record| record.borrow().summary.status);
    if known >= Some(status) {
        return;
    }
    let key = format!("asked:{status}");
    let change = StatusChange::new(Some(status), snapshot.raw_status).with_duration(snapshot.duration);
    let event = CallEvent::new(snapshot.call, key, CallEventKind::Status(change));
    let appended = gateway.ledger().append(run.id, vec![event], Timestamp::now_utc(), |_, new| {
        if new {
            run.timeline.note("rest", "status asked", status.to_string());
        }
    });
    if appended.is_err() {
        warn!(run = %run.id, "A run is not in the ledger any more.");
    }
}

async fn hang_up(provider: &dyn TelephonyProvider, call: &CallRef) {
    if let Err(error) = provider.hang_up(call).await {
        warn!(error = error_chain(&error), "The call could not be hung up.");
    }
}

/// Asks for the price, ever less often, until there is one. `None` where the carrier does not tell prices.
async fn price(run: &Run, record: &mut watch::Receiver<RunRecord>) -> Option<CallCost> {
    let provider = run.provider.as_ref();
    if let Some(reported @ CallCost::Rated { .. }) = record.borrow().summary.cost.clone() {
        return Some(reported);
    }
    if !provider.descriptor().capabilities().has(Capability::CallCost) {
        return record.borrow().summary.cost.clone();
    }
    let until = Instant::now() + RATED_WITHIN;
    let mut pause = Duration::from_millis(250);
    // A call that was never answered may never be rated: it is asked for once.
    let was_answered = record.borrow().summary.answered;
    loop {
        let call = record.borrow().call.clone();
        match provider.get_call_cost(&call).await {
            Ok(cost @ CallCost::Rated { .. }) => {
                run.timeline.note("rest", "cost", cost.to_string());
                return Some(cost);
            }
            Ok(cost) if !was_answered || Instant::now() + pause > until => return Some(cost),
            Ok(_) => {}
            Err(error) => {
                warn!(run = %run.id, error = error_chain(&error), "The carrier does not say what a call costs.");
                return None;
            }
        }
        // The carrier may say it by itself meanwhile.
        let told = |record: &RunRecord| matches!(record.summary.cost, Some(CallCost::Rated { .. }));
        let told = record.wait_for(told);
        tokio::select! {
            told = told => if let Ok(record) = told { return record.summary.cost.clone() },
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(Duration::from_secs(4));
    }
}

fn report(run: &Run, record: &RunRecord, cost: Option<CallCost>, timeline: Vec<TimelineEntry>) -> CallReport {
    let summary = &record.summary;
    let media = match &*run.media.borrow() {
        MediaState::Closed { report, .. } => Some((**report).clone()),
        _ => None,
    };
    CallReport {
        provider: run.provider.descriptor().name().as_str(),
        call_id: record.call.to_string(),
        outcome: CallOutcome::of(summary.status, summary.refusal),
        reason: summary.reason.clone(),
        duration: summary.duration,
        answered_by: summary.answered_by,
        timeline,
        media,
        cost,
        repeated_events: record.repeated,
        recording: run.take_recording(),
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
