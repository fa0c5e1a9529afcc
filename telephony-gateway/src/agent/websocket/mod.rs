//! The agent that is a program of yours, in any language, behind a WebSocket.
//!
//! The gateway connects to it when a call's audio starts, and passes audio and events both ways: in our own protocol
//! ([`protocol`], and `docs/agent-protocol.md`), or in a carrier's media protocol, so that an agent that was written for the
//! streams of one carrier serves the calls of all of them.
//!
//! The agent's socket never holds the call up. Whatever is late is held for a while, then the oldest is thrown away; an agent
//! that is not there, goes away, or takes nothing any more ends the call once what it said has been heard.

mod config;
mod dialect;
mod hosts;
mod link;
pub mod protocol;
#[cfg(test)]
mod tests;
mod waiting;

use std::{
    fmt,
    num::NonZeroU32,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use telephony_core::{
    Url, WireBuffer, WireMessage,
    audio::{AudioFormat, Encoding},
};
use telephony_registry::Registry;
use tokio::{runtime::Handle, task::JoinHandle};

pub use config::{AgentConfigError, PCM, WebSocketAgentConfig};
pub use hosts::{AgentHosts, AgentHostsError};

use self::{
    config::{Origin, Protocol},
    dialect::{CarrierDialect, Dialect, PcmDialect},
    link::{Link, Received, Socket, connect},
    protocol::GatewayEvent,
    waiting::{MOST_EVENTS, Next, Waiting},
};
use super::{AgentCall, AgentEvent, AgentLine, AgentReport, CallAgent, StopReason};

/// How long connecting may take. The caller hears nothing meanwhile, and does not wait longer either.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How much of the caller's voice is held for an agent that does not take it: as long as connecting may take, so that
/// nothing of the caller's first words is lost.
pub const HELD: Duration = Duration::from_secs(5);

/// How often the agent is asked whether it is there.
pub const PING_EVERY: Duration = Duration::from_secs(5);

/// An agent that has taken nothing for so long, or has not answered a ping, is gone.
pub const GONE_AFTER: Duration = Duration::from_secs(10);

/// How much an agent may have said beyond what the caller has heard. At more, its socket is not read until some of it has
/// been heard, and the agent waits: this is what keeps a call's memory bounded.
pub const MOST_UNHEARD: Duration = Duration::from_secs(60);

/// How many marks may be pending before the agent waits.
pub const MOST_MARKS: usize = 1_000;

/// The largest message that an agent may send, in bytes: at 48 kHz some ten seconds of audio. A larger one breaks the
/// connection.
pub const LARGEST_MESSAGE: usize = 1024 * 1024;

/// How many messages are read for each of the caller's frames. An agent that says more waits for the next; it is fifty times
/// what audio of 20 ms each needs.
const MESSAGES_AT_ONCE: usize = 50;

/// An agent behind a WebSocket, in one call.
pub struct WebSocketAgent {
    url: Url,
    hosts: AgentHosts,
    pcm: AudioFormat,
    dialect: Box<dyn Dialect>,
    state: State,
    waiting: Waiting,
    /// Messages on their way, and how many of them have been sent.
    out: WireBuffer,
    sent: usize,
    /// The caller's audio so far, in samples: the only clock.
    clock: usize,
    pulse: Pulse,
    /// Whether the agent has said so much that it must wait.
    is_held: bool,
    report: AgentReport,
}

enum State {
    Idle,
    Connecting(Connecting),
    Open(Box<Link>),
    Closed,
}

/// A connection being made, given up when dropped.
struct Connecting(JoinHandle<Result<Socket, String>>);

/// Signs of life, by the clock.
#[derive(Debug, Default)]
struct Pulse {
    /// The ping that has not been answered.
    pinged_at: Option<usize>,
    /// When the last ping was answered.
    answered_at: usize,
    /// Since when nothing has been taken.
    stuck_since: Option<usize>,
}

/// How it ends between an agent and us.
enum End {
    /// The agent said goodbye.
    HungUp,
    Lost(String),
}

impl From<String> for End {
    fn from(reason: String) -> Self {
        Self::Lost(reason)
    }
}

impl WebSocketAgent {
    /// An agent for one call, not yet connected. It looks for the protocol among the carriers that are linked.
    ///
    /// # Errors
    ///
    /// [`AgentConfigError`], naming the field.
    pub fn new(config: &WebSocketAgentConfig) -> Result<Self, AgentConfigError> {
        let registry = Registry::linked()
            .map_err(|error| AgentConfigError { field: "protocol", reason: format!("cannot be looked up: {error}") })?;
        Self::with_registry(config, &registry)
    }

    /// The same, with a registry of one's own.
    ///
    /// # Errors
    ///
    /// [`AgentConfigError`], naming the field.
    pub fn with_registry(config: &WebSocketAgentConfig, registry: &Registry) -> Result<Self, AgentConfigError> {
        let (rate, dialect): (_, Result<Box<dyn Dialect>, _>) = match config.resolve(registry)? {
            Protocol::Pcm(rate) => (rate, PcmDialect::new(rate).map(|dialect| Box::new(dialect) as _)),
            Protocol::Carrier(carrier, format) => {
                (format.sample_rate_hz, CarrierDialect::new(carrier, format).map(|dialect| Box::new(dialect) as _))
            }
        };
        let dialect =
            dialect.map_err(|error| AgentConfigError { field: "sample_rate_hz", reason: error.to_string() })?;
        let pcm = AudioFormat::new(Encoding::Linear16, rate);
        Ok(Self {
            url: config.url.clone(),
            hosts: AgentHosts::ANYWHERE,
            pcm,
            dialect,
            state: State::Idle,
            waiting: Waiting::new(pcm),
            out: WireBuffer::new(),
            sent: 0,
            clock: 0,
            pulse: Pulse::default(),
            is_held: false,
            report: AgentReport::default(),
        })
    }

    /// The same, but only where agents may be: what its URL says is checked now, and where its name leads when it is called.
    ///
    /// # Errors
    ///
    /// [`AgentConfigError`] about the URL.
    pub fn only_at(self, hosts: AgentHosts) -> Result<Self, AgentConfigError> {
        match hosts.objection_to(&self.url) {
            Some(reason) => Err(AgentConfigError { field: "url", reason: reason.to_owned() }),
            None => Ok(Self { hosts, ..self }),
        }
    }

    fn start(&mut self, call: &AgentCall) -> Result<(), End> {
        let started = self.dialect.start(call, &mut self.out);
        started.map_err(|error| End::Lost(format!("the agent cannot be told of the call: {error}")))?;
        let runtime = Handle::try_current().map_err(|_| End::Lost("agents need a Tokio runtime".to_owned()))?;
        self.state = State::Connecting(Connecting(runtime.spawn(connect(self.url.clone(), self.hosts))));
        Ok(())
    }

    /// Takes up what came from the agent, and says what there is to say.
    fn turn(&mut self, line: &mut AgentLine) -> Result<(), End> {
        if let State::Connecting(connecting) = &mut self.state {
            match connecting.outcome() {
                None if self.since(0) < CONNECT_WITHIN => return Ok(()),
                None => return Err(self.unreachable(&format!("no answer within {} s", CONNECT_WITHIN.as_secs()))),
                Some(Err(reason)) => return Err(self.unreachable(&reason)),
                Some(Ok(socket)) => {
                    self.report.connected_after = Some(self.since(0));
                    self.pulse.answered_at = self.clock;
                    self.state = State::Open(Box::new(Link::new(socket)));
                }
            }
        }
        if matches!(self.state, State::Open(_)) {
            // Reading first: what the agent wants stopped is stopped before more is done.
            self.read(line)?;
            self.write()?;
            self.feel_pulse()?;
        }
        Ok(())
    }

    fn read(&mut self, line: &mut AgentLine) -> Result<(), End> {
        let State::Open(link) = &mut self.state else { return Ok(()) };
        let most_unheard = self.pcm.samples_in(MOST_UNHEARD);
        let was_held = self.is_held;
        for _ in 0..MESSAGES_AT_ONCE {
            self.is_held = line.unheard_samples() > most_unheard
                || line.marks_pending() >= MOST_MARKS
                || self.waiting.events() + line.marks_pending() >= MOST_EVENTS;
            if self.is_held {
                self.report.made_to_wait += u64::from(!was_held);
                break;
            }
            let outcome = match link.next().map_err(lost)? {
                None => break,
                Some(Received::Text(text)) => self.dialect.read(WireMessage::Text(&text), line),
                Some(Received::Binary(bytes)) => self.dialect.read(WireMessage::Binary(&bytes), line),
                Some(Received::Pong) => {
                    if let Some(pinged_at) = self.pulse.pinged_at.take() {
                        let took = self.pcm.duration_of_samples(self.clock - pinged_at);
                        self.report.slowest_pong = self.report.slowest_pong.max(took);
                        self.pulse.answered_at = self.clock;
                    }
                    Ok(())
                }
                Some(Received::Closed(None)) => return Err(End::HungUp),
                Some(Received::Closed(Some(code))) => {
                    return Err(End::Lost(format!("the agent closed its socket with code {code}")));
                }
            };
            if let Err(problem) = outcome {
                self.report.refused += 1;
                self.waiting.tell(GatewayEvent::Error(problem));
            }
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), End> {
        let State::Open(link) = &mut self.state else { return Ok(()) };
        loop {
            if let Some(message) = self.out.iter().nth(self.sent) {
                if !link.is_ready().map_err(lost)? {
                    self.pulse.stuck_since.get_or_insert(self.clock);
                    break;
                }
                link.send(message).map_err(lost)?;
                self.pulse.stuck_since = None;
                self.sent += 1;
                continue;
            }
            self.out.clear();
            self.sent = 0;
            let said = match self.waiting.next(false) {
                Some(Next::Event(event)) => self.dialect.tell(&event, &mut self.out),
                Some(Next::Audio(samples)) => self.dialect.audio(samples, &mut self.out),
                None => break,
            };
            said.map_err(|error| End::Lost(format!("the agent cannot be told: {error}")))?;
        }
        link.flush().map_err(lost)?;
        self.report.latest = self.report.latest.max(self.waiting.late());
        Ok(())
    }

    /// Asks for a sign of life, and misses it.
    fn feel_pulse(&mut self) -> Result<(), End> {
        if self.is_held {
            // Its answers stand behind what is not read. That is our doing.
            self.pulse.pinged_at = self.pulse.pinged_at.map(|_| self.clock);
        }
        let gone = |what: &str| Err(End::Lost(format!("the agent {what} for {} s", GONE_AFTER.as_secs())));
        if self.pulse.stuck_since.is_some_and(|since| self.since(since) >= GONE_AFTER) {
            return gone("took nothing");
        }
        match self.pulse.pinged_at {
            Some(at) if self.since(at) >= GONE_AFTER => return gone("answered no ping"),
            None if self.since(self.pulse.answered_at) >= PING_EVERY => {
                let State::Open(link) = &mut self.state else { return Ok(()) };
                if link.is_ready().map_err(lost)? {
                    link.ping().map_err(lost)?;
                    link.flush().map_err(lost)?;
                    self.pulse.pinged_at = Some(self.clock);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Says the rest and goodbye.
    fn stop(&mut self, reason: StopReason) {
        let State::Open(link) = std::mem::replace(&mut self.state, State::Closed) else { return };
        let mut rest = WireBuffer::new();
        for message in self.out.iter().skip(self.sent) {
            match message {
                WireMessage::Text(text) => {
                    rest.text().push_str(text);
                }
                WireMessage::Binary(bytes) => rest.binary(bytes),
            }
        }
        loop {
            let said = match self.waiting.next(true) {
                Some(Next::Event(event)) => self.dialect.tell(&event, &mut rest),
                Some(Next::Audio(samples)) => self.dialect.audio(samples, &mut rest),
                None => break,
            };
            if said.is_err() {
                break; // It has been told all that its protocol can say.
            }
        }
        if self.dialect.tell(&GatewayEvent::Stop { reason }, &mut rest).is_ok() {
            link.say_goodbye(rest);
        }
    }

    fn unreachable(&self, reason: &str) -> End {
        End::Lost(format!("the agent at {} cannot be reached: {reason}", Origin(&self.url)))
    }

    /// How much of the caller's audio has come since.
    fn since(&self, clock: usize) -> Duration {
        self.pcm.duration_of_samples(self.clock - clock)
    }
}

fn lost(reason: String) -> End {
    End::Lost(format!("the connection to the agent broke: {reason}"))
}

impl Connecting {
    fn outcome(&mut self) -> Option<Result<Socket, String>> {
        match Pin::new(&mut self.0).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => None,
            Poll::Ready(outcome) => Some(outcome.unwrap_or_else(|error| Err(error.to_string()))),
        }
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl CallAgent for WebSocketAgent {
    fn on_event(&mut self, event: AgentEvent<'_>, line: &mut AgentLine) {
        if matches!(self.state, State::Closed) {
            return;
        }
        let outcome = match event {
            AgentEvent::Started(call) => self.start(call),
            AgentEvent::Stopped(reason) => {
                self.stop(reason);
                return;
            }
            AgentEvent::Audio(samples) => {
                self.clock += samples.len();
                self.waiting.hear(samples);
                Ok(())
            }
            AgentEvent::Digit(digit) => {
                self.waiting.tell(GatewayEvent::Digit { digit });
                Ok(())
            }
            AgentEvent::MarkReached(name) => {
                self.waiting.tell(GatewayEvent::Mark { name: name.to_owned(), heard: true });
                Ok(())
            }
            AgentEvent::MarkCleared(name) => {
                self.waiting.tell(GatewayEvent::Mark { name: name.to_owned(), heard: false });
                Ok(())
            }
            AgentEvent::Cleared { unheard } => {
                let unheard_ms = u64::try_from(unheard.as_millis()).unwrap_or(u64::MAX);
                self.waiting.tell(GatewayEvent::Cleared { unheard_ms });
                Ok(())
            }
            AgentEvent::RequestAnswered { number, outcome } => {
                if let Some(event) = self.dialect.answered(number, outcome) {
                    self.waiting.tell(event);
                }
                Ok(())
            }
        };
        match outcome.and_then(|()| self.turn(line)) {
            Ok(()) => {}
            Err(end) => {
                if let State::Open(link) = std::mem::replace(&mut self.state, State::Closed) {
                    link.say_goodbye(WireBuffer::new());
                }
                match end {
                    End::HungUp => line.hang_up(),
                    End::Lost(reason) => line.lose(reason),
                }
            }
        }
    }

    fn sample_rate_hz(&self) -> NonZeroU32 {
        self.pcm.sample_rate_hz
    }

    fn report(&self) -> Option<AgentReport> {
        Some(AgentReport { dropped: self.waiting.dropped(), ..self.report.clone() })
    }
}

impl fmt::Debug for WebSocketAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Idle => "idle",
            State::Connecting(_) => "connecting",
            State::Open(_) => "open",
            State::Closed => "closed",
        };
        f.debug_struct("WebSocketAgent")
            .field("url", &format_args!("{}/…", Origin(&self.url)))
            .field("dialect", &self.dialect)
            .field("state", &state)
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}
