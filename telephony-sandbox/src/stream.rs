//! The carrier's end of a media socket: it plays to the handset what comes, and sends what the person says.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use telephony_core::{
    CarrierMediaCodec, MediaCommand, MediaError, MediaEvent, Url, WireBuffer, WireMessage,
    audio::{AudioError, AudioFormat, AudioFrame, PcmDecoder, PcmEncoder},
    media::{MediaAudio, MediaProfile},
};
use tokio::{
    net::TcpStream,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{self, Message, client::IntoClientRequest, protocol::WebSocketConfig},
};

use crate::{
    EndCause, Observation, Report,
    call::{Control, Flow, LiveCall},
    handset::{Act, HANDSET_RATE_HZ, TICK, TICK_SAMPLES},
    server::now,
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How long the customer may take to accept the socket.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest message that is read: a minute of wideband audio in base64, and then some.
const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// Opens a media socket and runs it until one side ends it.
pub(crate) async fn run(
    call: &mut LiveCall,
    url: Url,
    format: AudioFormat,
    parameters: &BTreeMap<String, String>,
) -> Flow {
    let (start, headers) = {
        let mut guard = call.shared.lock();
        let state = &mut *guard;
        let Some(simulated) = state.exchange.call(&call.id) else { return Flow::End(EndCause::DocumentFailed) };
        let headers = state.simulator.media_headers(simulated, &url, now());
        (state.simulator.stream_start(simulated, format, parameters), headers)
    };
    let profile = *call.shared.descriptor.provider().media();
    let opened = async {
        let mut pump = Pump::new(call.shared.descriptor.provider().carrier_media_codec(), format, profile)?;
        let mut socket = connect(&url, headers).await?;
        pump.codec.encode(MediaEvent::Started(start), &mut pump.out)?;
        pump.send(&mut socket).await?;
        Ok::<_, StreamError>((pump, socket))
    };
    let (mut pump, mut socket) = match opened.await {
        Ok(opened) => opened,
        Err(error) => {
            let reason = telephony_core::error_chain(&error);
            call.shared.observe(Observation::StreamFailed { call: call.id.clone(), reason });
            call.report(&Report::StreamFailed);
            return Flow::Next;
        }
    };
    call.shared.observe(Observation::StreamOpened { call: call.id.clone() });
    call.report(&Report::StreamStarted);
    let (flow, dropped) = match pump.run(call, &mut socket).await {
        Ok(flow) => (flow, None),
        Err(error) => (Flow::Next, Some(telephony_core::error_chain(&error))),
    };
    call.shared.observe(Observation::StreamClosed { call: call.id.clone(), dropped });
    call.report(&Report::StreamStopped);
    flow
}

async fn connect(url: &Url, headers: http::HeaderMap) -> Result<Socket, StreamError> {
    let mut request = url.as_str().into_client_request()?;
    request.headers_mut().extend(headers);
    let config = WebSocketConfig::default()
        .read_buffer_size(8 << 10)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE_BYTES));
    let connecting = connect_async_with_config(request, Some(config), true);
    let (socket, _response) = timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| StreamError::NoAnswer)??;
    Ok(socket)
}

/// Why a stream could not be opened, or was dropped by the carrier.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("no answer within {} s", CONNECT_TIMEOUT.as_secs())]
    NoAnswer,
    #[error("the socket failed")]
    Socket(#[source] Box<tungstenite::Error>),
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error(transparent)]
    Audio(#[from] AudioError),
}

impl From<tungstenite::Error> for StreamError {
    fn from(error: tungstenite::Error) -> Self {
        Self::Socket(Box::new(error))
    }
}

/// Carries audio between the socket and the handset.
struct Pump {
    codec: Box<dyn CarrierMediaCodec>,
    profile: MediaProfile,
    format: AudioFormat,
    encoder: PcmEncoder,
    playout: Playout,
    wire: Vec<u8>,
    out: WireBuffer,
    sent: usize,
}

impl Pump {
    fn new(codec: Box<dyn CarrierMediaCodec>, format: AudioFormat, profile: MediaProfile) -> Result<Self, AudioError> {
        Ok(Self {
            codec,
            profile,
            format,
            encoder: PcmEncoder::new(HANDSET_RATE_HZ, format)?,
            playout: Playout::new(format, profile.buffer)?,
            wire: Vec::new(),
            out: WireBuffer::new(),
            sent: 0,
        })
    }

    async fn run(&mut self, call: &mut LiveCall, socket: &mut Socket) -> Result<Flow, StreamError> {
        let mut ticks = interval(TICK);
        // Late ticks are made up for, as a carrier's clock does not slow down with us.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            tokio::select! {
                biased;
                control = call.control.recv() => match control {
                    Some(Control::SendDigits(digits)) => call.ear.digits.push_str(&digits),
                    Some(Control::Instruct(steps)) => {
                        self.stop(socket).await?;
                        return Ok(Flow::Replace(steps));
                    }
                    Some(Control::HangUp) | None => {
                        self.stop(socket).await?;
                        return Ok(Flow::End(EndCause::Application));
                    }
                },
                _ = ticks.tick() => {
                    if self.tick(call, socket).await? {
                        self.stop(socket).await?;
                        return Ok(Flow::End(EndCause::HandsetHungUp));
                    }
                    if call.is_overdue() {
                        self.stop(socket).await?;
                        return Ok(Flow::End(EndCause::TimeLimit));
                    }
                    if call.shared.lock().faults.cut_media_after.is_some_and(|after| self.sent >= after) {
                        // No close, no goodbye: the socket is dropped by whoever called.
                        return Ok(Flow::Next);
                    }
                }
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => self.receive(call, WireMessage::Text(&text))?,
                    Some(Ok(Message::Binary(bytes))) => self.receive(call, WireMessage::Binary(&bytes))?,
                    Some(Ok(Message::Close(_))) | None => return Ok(Flow::Next),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                },
            }
            self.send(socket).await?;
        }
    }

    /// Twenty milliseconds pass. Returns whether the person hangs up.
    async fn tick(&mut self, call: &mut LiveCall, socket: &mut Socket) -> Result<bool, StreamError> {
        let mut heard = [0; TICK_SAMPLES];
        self.playout.play(&mut heard);
        while let Some(name) = self.playout.next_reached() {
            self.codec.encode(MediaEvent::MarkReached { name: &name }, &mut self.out)?;
        }
        let (speech, act) = call.person_hears(&heard);
        self.wire.clear();
        self.encoder.encode(&speech, &mut self.wire);
        if !self.wire.is_empty() {
            let frame = AudioFrame::new(self.format, &self.wire)?;
            self.codec.encode(MediaEvent::Audio(MediaAudio::new(frame)), &mut self.out)?;
            self.sent += 1;
        }
        if let Act::Press(digit) = act {
            self.codec.encode(MediaEvent::Digit { digit, duration: None }, &mut self.out)?;
        }
        self.send(socket).await?;
        Ok(act == Act::HangUp)
    }

    fn receive(&mut self, call: &mut LiveCall, message: WireMessage<'_>) -> Result<(), StreamError> {
        match self.codec.decode(message)? {
            MediaCommand::Audio(frame) => self.playout.queue(frame)?,
            MediaCommand::Mark { name } => self.playout.mark(name),
            MediaCommand::Digits { digits } => call.ear.digits.push_str(digits),
            MediaCommand::Clear => {
                let pending = self.playout.clear();
                self.codec.encode(MediaEvent::Cleared, &mut self.out)?;
                if self.profile.clear_returns_marks {
                    for name in pending {
                        self.codec.encode(MediaEvent::MarkReached { name: &name }, &mut self.out)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn stop(&mut self, socket: &mut Socket) -> Result<(), StreamError> {
        self.codec.encode(MediaEvent::Stopped, &mut self.out)?;
        self.send(socket).await?;
        match timeout(CONNECT_TIMEOUT, socket.close(None)).await {
            // The other side was faster: closed is closed.
            Ok(Ok(()) | Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed)) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(StreamError::NoAnswer),
        }
    }

    async fn send(&mut self, socket: &mut Socket) -> Result<(), StreamError> {
        if self.out.is_empty() {
            return Ok(());
        }
        for message in self.out.iter() {
            let message = match message {
                WireMessage::Text(text) => Message::text(text),
                WireMessage::Binary(bytes) => Message::binary(bytes.to_vec()),
            };
            socket.feed(message).await?;
        }
        self.out.clear();
        socket.flush().await?;
        Ok(())
    }
}

/// What waits to be heard at the handset, and the marks between.
struct Playout {
    decoder: PcmDecoder,
    decoded: Vec<i16>,
    waiting: VecDeque<i16>,
    /// Each with the number of samples that must be played before it is reached.
    marks: VecDeque<(u64, String)>,
    queued: u64,
    played: u64,
    capacity: usize,
}

impl Playout {
    fn new(format: AudioFormat, buffer: Option<Duration>) -> Result<Self, AudioError> {
        let capacity = buffer.map_or(usize::MAX, |length| {
            (length.as_millis() as usize).saturating_mul(HANDSET_RATE_HZ.get() as usize / 1_000)
        });
        Ok(Self {
            decoder: PcmDecoder::new(format, HANDSET_RATE_HZ)?,
            decoded: Vec::new(),
            waiting: VecDeque::new(),
            marks: VecDeque::new(),
            queued: 0,
            played: 0,
            capacity,
        })
    }

    /// Queues audio; what the carrier cannot buffer is lost.
    fn queue(&mut self, frame: AudioFrame<'_>) -> Result<(), AudioError> {
        self.decoded.clear();
        self.decoder.decode(frame, &mut self.decoded)?;
        let room = self.capacity.saturating_sub(self.waiting.len()).min(self.decoded.len());
        self.waiting.extend(&self.decoded[..room]);
        self.queued += room as u64;
        Ok(())
    }

    fn mark(&mut self, name: &str) {
        self.marks.push_back((self.queued, name.to_owned()));
    }

    /// Throws away what waits, and returns the marks that were pending.
    fn clear(&mut self) -> Vec<String> {
        self.waiting.clear();
        self.played = self.queued;
        self.marks.drain(..).map(|(_, name)| name).collect()
    }

    fn play(&mut self, heard: &mut [i16]) {
        let count = heard.len().min(self.waiting.len());
        for (sample, played) in heard.iter_mut().zip(self.waiting.drain(..count)) {
            *sample = played;
        }
        self.played += count as u64;
    }

    fn next_reached(&mut self) -> Option<String> {
        if self.marks.front()?.0 > self.played {
            return None;
        }
        self.marks.pop_front().map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PCM: AudioFormat = AudioFormat::LINEAR16_16K;

    fn playout() -> Playout {
        Playout::new(PCM, Some(Duration::from_millis(40))).unwrap()
    }

    #[test]
    fn a_mark_is_reached_once_what_stands_before_it_was_heard() {
        let mut playout = playout();
        playout.mark("empty");
        playout.queue(AudioFrame::new(PCM, &[1; TICK_SAMPLES * 2 + 2]).unwrap()).unwrap();
        playout.mark("all");
        assert_eq!(playout.next_reached().as_deref(), Some("empty"));
        let mut heard = [0; TICK_SAMPLES];
        playout.play(&mut heard);
        assert_eq!(playout.next_reached(), None);
        playout.play(&mut heard);
        assert_eq!(playout.next_reached().as_deref(), Some("all"));
    }

    #[test]
    fn clearing_empties_and_hands_the_marks_back() {
        let mut playout = playout();
        playout.queue(AudioFrame::new(PCM, &[1; 200]).unwrap()).unwrap();
        playout.mark("a");
        assert_eq!(playout.clear(), ["a"]);
        let mut heard = [0; TICK_SAMPLES];
        playout.play(&mut heard);
        assert_eq!(heard, [0; TICK_SAMPLES]);
    }

    #[test]
    fn beyond_its_buffer_the_carrier_loses_audio() {
        let mut playout = playout();
        playout.queue(AudioFrame::new(PCM, &[1; TICK_SAMPLES * 2 * 5]).unwrap()).unwrap();
        assert_eq!(playout.waiting.len(), TICK_SAMPLES * 2);
    }
}
