//! The customer of the simulated carrier: a server for webhooks and one for media sockets, driven by the provider under test.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use telephony_core::{
    CallEvent, CallEventKind, CallInstruction, CallRef, CallStatus, CallUrls, Due, InstructionWanted, MediaCodec,
    MediaCommand, MediaEvent, Stream, TelephonyProvider, Timestamp, Url, WebhookRequest, WireBuffer, WireMessage,
    audio::{AudioFormat, AudioFrame, PcmDecoder, PcmEncoder, rms_dbfs},
    media::StreamStart,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_tungstenite::tungstenite::Message;

use crate::trial::{OrFail, failure};

/// The mark that the customer sets behind what it says.
pub(crate) const MARK: &str = "said \"it\"";

/// What the customer says on the media socket: a tone of this length.
const TONE: Duration = Duration::from_millis(600);

/// How long to wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A webhook that came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) request: WebhookRequest,
    /// What it said, or why it was refused.
    pub(crate) events: Result<Vec<CallEvent>, String>,
}

/// What came over a media socket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) start: Option<StreamStart>,
    /// Audio messages louder than line noise.
    pub(crate) loud: usize,
    pub(crate) frames: usize,
    pub(crate) digits: String,
    pub(crate) marks: Vec<String>,
    /// What went wrong on the socket.
    pub(crate) problems: Vec<String>,
    pub(crate) closed: bool,
}

/// Everything that came, so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) webhooks: Vec<Received>,
    /// How many questions were answered.
    pub(crate) told: usize,
    pub(crate) heard: Heard,
}

impl Seen {
    /// Every event of every webhook.
    pub(crate) fn events(&self) -> impl Iterator<Item = &CallEvent> {
        self.webhooks.iter().filter_map(|webhook| webhook.events.as_ref().ok()).flatten()
    }

    /// How many final statuses were reported.
    pub(crate) fn ends(&self) -> usize {
        let ends = self.events().filter(|event| {
            matches!(&event.kind, CallEventKind::Status(change) if change.status.is_some_and(CallStatus::is_terminal))
        });
        ends.count()
    }

    /// The final status, if one was reported.
    pub(crate) fn end(&self) -> Option<CallStatus> {
        self.events().find_map(|event| match &event.kind {
            CallEventKind::Status(change) => change.status.filter(|status| status.is_terminal()),
            _ => None,
        })
    }

    /// Whether the carrier asked what to do for this reason.
    pub(crate) fn asked(&self, because: InstructionWanted) -> bool {
        let asks = |kind: &CallEventKind| matches!(kind, CallEventKind::InstructionWanted { because: why, .. } if *why == because);
        self.events().any(|event| asks(&event.kind))
    }
}

/// In short: the events in the order in which they came, and what the media socket brought.
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} webhooks:", self.webhooks.len())?;
        for event in self.events() {
            match &event.kind {
                CallEventKind::Status(change) => match change.status {
                    Some(status) => write!(f, " {status} ({:?}),", change.raw_status)?,
                    None => write!(f, " no status for the word {:?},", change.raw_status)?,
                },
                CallEventKind::InstructionWanted { because, .. } => write!(f, " asks what to do ({because:?}),")?,
                CallEventKind::Inbound { from, to } => write!(f, " inbound from {from:?} to {to:?},")?,
                CallEventKind::Digits { digits, timed_out } => {
                    write!(f, " {} digits (in time: {}),", digits.len(), !timed_out)?;
                }
                other => write!(f, " {other:?},")?,
            }
        }
        let Heard { start, loud, frames, digits, marks, problems, closed } = &self.heard;
        match start {
            Some(start) => write!(f, " a stream of {}", start.inbound)?,
            None => write!(f, " no stream")?,
        }
        write!(f, ", {frames} frames of audio, {loud} of them loud, keys {digits:?}, marks {marks:?}")?;
        if !problems.is_empty() {
            write!(f, ", problems {problems:?}")?;
        }
        f.write_str(if *closed { ", closed" } else { "" })
    }
}

/// A customer that is listening.
#[derive(Debug)]
pub(crate) struct Customer {
    shared: Arc<Shared>,
    seen: watch::Receiver<Seen>,
    _tasks: JoinSet<()>,
}

struct Shared {
    provider: Arc<dyn TelephonyProvider>,
    base: Url,
    media: Url,
    /// What calls are told, one after the other; from then on, to hang up.
    plan: Mutex<VecDeque<CallInstruction>>,
    seen: watch::Sender<Seen>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Customer {
    /// Listens on two free ports of the loopback address.
    pub(crate) async fn start(provider: Arc<dyn TelephonyProvider>) -> Result<Self, String> {
        let listen = || async { TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.or_fail("listening") };
        let (webhooks, sockets) = (listen().await?, listen().await?);
        let address = |listener: &TcpListener| listener.local_addr().or_fail("reading an address");
        let base = crate::subject::url(&format!("http://{}/", address(&webhooks)?));
        let media = crate::subject::url(&format!("ws://{}/media/1", address(&sockets)?));
        let (sender, seen) = watch::channel(Seen::default());
        let shared = Arc::new(Shared { provider, base, media, plan: Mutex::default(), seen: sender });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(webhooks, shared.clone(), webhook_connection));
        tasks.spawn(accept(sockets, shared.clone(), media_connection));
        Ok(Self { shared, seen, _tasks: tasks })
    }

    /// What the carrier is told when it asks next. Without it: to stream.
    pub(crate) fn tell(&self, instruction: CallInstruction) {
        self.shared.plan().push_back(instruction);
    }

    /// The URLs of a call.
    pub(crate) fn urls(&self) -> CallUrls {
        CallUrls { answer: self.url("answer"), events: self.url("events"), media: self.shared.media.clone() }
    }

    /// A URL at which webhooks are taken.
    pub(crate) fn url(&self, path: &str) -> Url {
        self.shared.base.join(path).unwrap_or_else(|_| self.shared.base.clone())
    }

    /// Waits until what came satisfies, and returns it.
    pub(crate) async fn wait_for(&self, what: &str, wanted: impl Fn(&Seen) -> bool) -> Result<Seen, String> {
        let mut seen = self.seen.clone();
        // The simulator's webhooks are genuine: of a provider that refuses one, nothing more is to be waited for.
        let refused = |seen: &Seen| seen.webhooks.iter().find_map(|webhook| webhook.events.as_ref().err().cloned());
        let come = seen.wait_for(|seen| wanted(seen) || refused(seen).is_some());
        let outcome = tokio::time::timeout(PATIENCE, come).await;
        match outcome {
            Ok(Ok(seen)) if wanted(&seen) => Ok(seen.clone()),
            Ok(Ok(seen)) => {
                let expected = format!("every webhook of the carrier is taken, while waiting for: {what}");
                Err(failure(expected, refused(&seen).unwrap_or_default()))
            }
            _ => Err(failure(what, &*self.seen.borrow())),
        }
    }
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, VecDeque<CallInstruction>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_instruction(&self, seen_before: usize) -> CallInstruction {
        let planned = self.plan().pop_front();
        let stream = || {
            if seen_before > 0 {
                return CallInstruction::HangUp;
            }
            let stream = Stream::to(self.media.clone());
            let named = self.provider.descriptor().capabilities().has(telephony_core::Capability::StreamParameters);
            CallInstruction::Stream(if named { stream.with_parameter("run", "7 \"7\" & 7") } else { stream })
        };
        planned.unwrap_or_else(stream)
    }
}

async fn accept<F>(listener: TcpListener, shared: Arc<Shared>, serve: fn(TcpStream, Arc<Shared>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, shared.clone()));
    }
}

async fn webhook_connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let shared = shared.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let response = webhook(&shared, Request::from_parts(parts, body)).await;
            Ok::<_, Infallible>(response.map(Full::new))
        }
    });
    // The carrier may go away whenever it likes.
    let _ended = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn webhook(shared: &Shared, request: Request<Bytes>) -> Response<Bytes> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let now = Timestamp::now_utc();
    let request = WebhookRequest::new(parts.method, &shared.base, path, parts.headers, body, now);
    let verified = shared.provider.verify_webhook_signature(request.clone());
    let events = verified.and_then(|webhook| shared.provider.parse_webhook(&webhook));
    let asked_before = shared.seen.borrow().events().filter(|event| asks(event).is_some()).count();
    let asking =
        |events: &Vec<CallEvent>| events.iter().find_map(|event| Some((event.call.clone(), asks(event)?.clone())));
    let wanted = events.as_ref().ok().and_then(asking);
    let refused = events.as_ref().err().map(|error| (error.status(), error.to_string()));
    let events = events.map_err(|error| error.to_string());
    shared.seen.send_modify(|seen| seen.webhooks.push(Received { request, events }));
    if let Some((status, reason)) = refused {
        return plain(status, reason);
    }
    let Some((call, due)) = wanted else { return plain(StatusCode::NO_CONTENT, String::new()) };
    let call = known_as(&shared.seen.borrow(), &call);
    let instruction = match due {
        Some(Due::Do(instruction)) => *instruction,
        Some(Due::HangUp) => CallInstruction::HangUp,
        Some(Due::Ask(_)) | None => shared.next_instruction(asked_before),
    };
    let response = shared.provider.get_webhook_response(&call, &instruction).await;
    shared.seen.send_modify(|seen| seen.told += 1);
    match response {
        Ok(response) => response.into_http(),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// A call with everything that was ever said of it, and what the event that asks says itself above all: as whoever stores calls
/// hands them back.
fn known_as(seen: &Seen, asking: &CallRef) -> CallRef {
    let mut call = CallRef::default();
    seen.events().filter(|event| event.call.id() == asking.id()).for_each(|event| call.absorb(&event.call));
    call.absorb(asking);
    call
}

/// What is due, of an event that asks what to do.
fn asks(event: &CallEvent) -> Option<&Option<Due>> {
    match &event.kind {
        CallEventKind::InstructionWanted { due, .. } => Some(due),
        _ => None,
    }
}

fn plain(status: StatusCode, text: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    response
}

async fn media_connection(stream: TcpStream, shared: Arc<Shared>) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    let mut codec = shared.provider.media_codec();
    let mut out = WireBuffer::new();
    while let Some(Ok(message)) = socket.next().await {
        let taken = match &message {
            Message::Text(text) => take(&shared, codec.as_mut(), WireMessage::Text(text), &mut out),
            Message::Binary(bytes) => take(&shared, codec.as_mut(), WireMessage::Binary(bytes), &mut out),
            Message::Close(_) => break,
            _ => Ok(()),
        };
        if let Err(problem) = taken {
            shared.seen.send_modify(|seen| seen.heard.problems.push(problem));
        }
        let messages: Vec<Message> = out
            .iter()
            .map(|message| match message {
                WireMessage::Text(text) => Message::text(text),
                WireMessage::Binary(bytes) => Message::binary(bytes.to_vec()),
            })
            .collect();
        out.clear();
        for message in messages {
            if socket.send(message).await.is_err() {
                break;
            }
        }
    }
    shared.seen.send_modify(|seen| seen.heard.closed = true);
}

/// Takes a message, notes it, and says the tone once the stream has started.
fn take(
    shared: &Shared,
    codec: &mut dyn MediaCodec,
    message: WireMessage<'_>,
    out: &mut WireBuffer,
) -> Result<(), String> {
    let mut started = None;
    let event = codec.decode(message).map_err(|error| error.to_string())?;
    shared.seen.send_modify(|seen| {
        let heard = &mut seen.heard;
        match &event {
            MediaEvent::Started(start) => {
                heard.start = Some(start.clone());
                started = Some(start.outbound);
            }
            MediaEvent::Audio(audio) => {
                heard.frames += 1;
                heard.loud += usize::from(is_loud(audio.frame));
            }
            MediaEvent::Digit { digit, .. } => heard.digits.push(*digit),
            MediaEvent::MarkReached { name } => heard.marks.push((*name).to_owned()),
            _ => {}
        }
    });
    let Some(format) = started else { return Ok(()) };
    let tone = tone(format)?;
    let frame = AudioFrame::new(format, &tone).map_err(|error| error.to_string())?;
    codec.encode(MediaCommand::Audio(frame), out).map_err(|error| error.to_string())?;
    codec.encode(MediaCommand::Mark { name: MARK }, out).map_err(|error| error.to_string())
}

fn is_loud(frame: AudioFrame<'_>) -> bool {
    let mut samples = Vec::new();
    PcmDecoder::new(frame.format(), frame.format().sample_rate_hz)
        .and_then(|mut decoder| decoder.decode(frame, &mut samples))
        .is_ok_and(|()| rms_dbfs(&samples) > -40.0)
}

/// A square wave, loud enough to be heard as speech.
fn tone(format: AudioFormat) -> Result<Vec<u8>, String> {
    let samples: Vec<i16> =
        (0..format.samples_in(TONE)).map(|n| if (n / 16) % 2 == 0 { 9_000 } else { -9_000 }).collect();
    let mut bytes = Vec::new();
    PcmEncoder::new(format.sample_rate_hz, format).map_err(|error| error.to_string())?.encode(&samples, &mut bytes);
    Ok(bytes)
}
