//! A media session on a WebSocket.

use std::time::Duration;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use telephony_core::WireMessage;
use tokio::time::timeout;
use tracing::debug;

use super::{MediaNote, MediaSession, Outgoing, SessionEnd};
use crate::agent::AgentRequest;

/// A carrier sends a frame every 20 ms, in silence too. One that says nothing for so long is gone.
const SILENT_TOO_LONG: Duration = Duration::from_secs(20);

/// What we send is taken within so long, or the other end is gone.
const NOT_TAKEN: Duration = Duration::from_secs(5);

/// How long we listen for the other end's goodbye after ours.
const GOODBYE: Duration = Duration::from_secs(2);

/// Carries messages between the socket and the session until one of them is done. Notes, and what the agent asks for, are
/// handed on as they come.
pub(crate) async fn run(
    mut socket: WebSocket,
    session: &mut MediaSession,
    mut note: impl FnMut(MediaNote),
    request: impl Fn(AgentRequest),
) -> SessionEnd {
    let mut outgoing = Outgoing::default();
    let end = loop {
        let received = match timeout(SILENT_TOO_LONG, socket.recv()).await {
            Err(_) => break SessionEnd::Lost(format!("nothing came for {} s", SILENT_TOO_LONG.as_secs())),
            Ok(None) => break SessionEnd::Carrier,
            Ok(Some(Err(error))) => break SessionEnd::Lost(telephony_core::error_chain(&error)),
            Ok(Some(Ok(message))) => message,
        };
        let outcome = match &received {
            Message::Text(text) => session.receive(WireMessage::Text(text)),
            Message::Binary(bytes) => session.receive(WireMessage::Binary(bytes)),
            Message::Close(_) => break SessionEnd::Carrier,
            Message::Ping(_) | Message::Pong(_) => continue, // The library answers pings.
        };
        session.take_notes().for_each(&mut note);
        session.take_requests().into_iter().for_each(&request);
        match timeout(NOT_TAKEN, send(&mut socket, session, &mut outgoing)).await {
            Err(_) => break SessionEnd::Lost(format!("what was sent was not taken in {} s", NOT_TAKEN.as_secs())),
            Ok(Err(error)) => break SessionEnd::Lost(telephony_core::error_chain(&error)),
            Ok(Ok(())) => {}
        }
        if let Err(end) = outcome {
            break end;
        }
    };
    if timeout(GOODBYE, say_goodbye(socket)).await.is_err() {
        debug!("The other end of a media socket did not say goodbye.");
    }
    end
}

async fn send(socket: &mut WebSocket, session: &mut MediaSession, outgoing: &mut Outgoing) -> Result<(), axum::Error> {
    for message in session.output().iter() {
        let message = match message {
            WireMessage::Text(text) => {
                Message::Text(Utf8Bytes::try_from(outgoing.copy(text.as_bytes())).map_err(axum::Error::new)?)
            }
            WireMessage::Binary(bytes) => Message::Binary(outgoing.copy(bytes)),
        };
        socket.send(message).await?;
    }
    session.sent();
    Ok(())
}

/// Closes our side and reads the rest, so that what we said last is not lost with the connection.
async fn say_goodbye(mut socket: WebSocket) {
    if socket.send(Message::Close(None)).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
        time::Instant,
    };

    use axum::{
        Router,
        extract::{State, ws::WebSocketUpgrade},
        response::Response,
        routing::get,
    };
    use futures_util::{SinkExt, StreamExt};
    use telephony_core::{
        CallRef, MediaCodec, MediaCommand, MediaError, MediaEvent, MediaProfile, WireBuffer,
        audio::{AudioFormat, AudioFrame},
        media::{MediaAudio, StreamStart},
    };
    use tokio::{
        net::{TcpListener, TcpSocket, TcpStream},
        sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    };
    use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};

    use super::*;
    use crate::agent::{Echo, some_call};

    const FORMAT: AudioFormat = AudioFormat::LINEAR16_16K;
    const FRAME: [u8; 640] = [1; 640];

    /// A codec that has nothing but audio: binary messages both ways, any text is the start.
    #[derive(Debug)]
    struct Bare;

    impl MediaCodec for Bare {
        fn decode<'a>(&'a mut self, message: WireMessage<'a>) -> Result<MediaEvent<'a>, MediaError> {
            match message {
                WireMessage::Text(_) => Ok(MediaEvent::Started(StreamStart::new(CallRef::unnamed(), FORMAT))),
                WireMessage::Binary(bytes) => AudioFrame::new(FORMAT, bytes)
                    .map(|frame| MediaEvent::Audio(MediaAudio::new(frame)))
                    .map_err(|error| MediaError::malformed("audio", error)),
            }
        }

        fn encode(&mut self, command: MediaCommand<'_>, out: &mut WireBuffer) -> Result<(), MediaError> {
            if let MediaCommand::Audio(frame) = command {
                out.binary(frame.bytes());
            }
            Ok(())
        }
    }

    async fn carry(State(ends): State<UnboundedSender<SessionEnd>>, upgrade: WebSocketUpgrade) -> Response {
        upgrade.write_buffer_size(0).on_upgrade(async move |socket| {
            let profile = MediaProfile::new(&[FORMAT]);
            let mut session = MediaSession::new(Box::new(Bare), Box::new(Echo), profile, some_call(), false);
            let end = run(socket, &mut session, |_| {}, drop).await;
            ends.send(end).unwrap();
        })
    }

    /// A server of media sockets whose agent is an echo, and how each of them ended.
    async fn serve() -> (SocketAddr, UnboundedReceiver<SessionEnd>) {
        let (ends, ended) = unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(carry)).with_state(ends);
        tokio::spawn(async move { axum::serve(listener, router).await });
        (address, ended)
    }

    /// A carrier's socket, started.
    async fn call(address: SocketAddr) -> WebSocketStream<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        // Little room, so that it is full soon where nothing is taken.
        socket.set_recv_buffer_size(4 * 1024).unwrap();
        let stream = socket.connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut socket, _) = client_async(format!("ws://{address}/"), stream).await.unwrap();
        socket.send(tungstenite::Message::text("start")).await.unwrap();
        socket
    }

    /// Nothing here takes so long, unless it is held up for ever.
    const FOR_EVER: Duration = Duration::from_secs(60);

    /// Says a frame and hears it back.
    async fn there_and_back(socket: &mut WebSocketStream<TcpStream>) {
        socket.send(tungstenite::Message::binary(FRAME.to_vec())).await.unwrap();
        let heard = timeout(FOR_EVER, socket.next()).await.expect("it is held up");
        assert!(matches!(heard, Some(Ok(tungstenite::Message::Binary(bytes))) if bytes.len() == FRAME.len()));
    }

    // One thread: who waits in it lets all others wait.
    #[tokio::test]
    async fn a_carrier_that_takes_nothing_is_cut_and_holds_no_other_call_up() {
        let (address, mut ended) = serve().await;
        let mut good = call(address).await;
        let mut slow = call(address).await;
        // It says a lot and takes nothing of the answers, until nothing of it is read any more either.
        let slow =
            tokio::spawn(async move { while slow.send(tungstenite::Message::binary(FRAME.to_vec())).await.is_ok() {} });
        let (began, mut carried) = (Instant::now(), 0);
        let end = loop {
            assert!(began.elapsed() < FOR_EVER, "it is never cut");
            match ended.try_recv() {
                Ok(end) => break end,
                Err(_) => there_and_back(&mut good).await,
            }
            carried += 1;
        };
        assert_eq!(end, SessionEnd::Lost("what was sent was not taken in 5 s".to_owned()));
        timeout(FOR_EVER, slow).await.expect("its socket is never closed").unwrap();
        // The other went on all the while, and goes on.
        assert!(carried > 1_000, "{carried}");
        there_and_back(&mut good).await;
    }

    #[tokio::test]
    async fn a_carrier_that_says_nothing_is_given_up() {
        let (address, mut ended) = serve().await;
        let mut silent = call(address).await;
        there_and_back(&mut silent).await;
        // Nothing else is waited for: the clock goes on by itself.
        tokio::time::pause();
        let end = timeout(2 * SILENT_TOO_LONG, ended.recv()).await.expect("it is never given up");
        assert_eq!(end, Some(SessionEnd::Lost("nothing came for 20 s".to_owned())));
    }

    #[test]
    fn a_frame_takes_no_memory_from_socket_to_socket() {
        const WARM: usize = 200;
        const FRAMES: usize = 1_000;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (address, _ended) = runtime.block_on(serve());
        let heard = Arc::new(AtomicUsize::new(0));
        let counted = heard.clone();
        // The carrier is in a thread of its own: what is counted is this one's.
        let carrier = thread::spawn(move || {
            let stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(FOR_EVER)).unwrap();
            let (mut socket, _) = tungstenite::client(format!("ws://{address}/"), stream).unwrap();
            socket.send(tungstenite::Message::text("start")).unwrap();
            for _ in 0..WARM + FRAMES {
                socket.send(tungstenite::Message::binary(FRAME.to_vec())).unwrap();
                while !socket.read().unwrap().is_binary() {}
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        let began = Instant::now();
        let carry = |frames| {
            runtime.block_on(async {
                while heard.load(Ordering::SeqCst) < frames {
                    assert!(began.elapsed() < FOR_EVER, "frames are lost or held up: {heard:?} of {frames} came back");
                    tokio::task::yield_now().await;
                }
            });
        };
        carry(WARM);
        let taken = allocation_counter::measure(|| carry(WARM + FRAMES));
        carrier.join().unwrap();
        // The memory of the messages is changed now and then, and for none of them.
        assert!(taken.count_total * 100 < FRAMES as u64, "{FRAMES} frames took memory: {taken:?}");
    }
}
