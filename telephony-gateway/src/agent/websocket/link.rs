//! The socket to an agent, looked at whenever there is something to do.
//!
//! Nobody is woken by it. The caller's audio comes every 20 ms and is the clock of a session; the session then reads what the
//! agent has said and writes what it is to hear, as far as that goes without waiting. A task of its own for the socket would
//! be woken twice for every frame, and at low load a wake-up costs more than the frame.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use telephony_core::{Bytes, Url, WireBuffer, WireMessage, error_chain};
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    runtime::Handle,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async_tls_with_config,
    tungstenite::{
        self, Message, Utf8Bytes,
        client::IntoClientRequest,
        protocol::{WebSocketConfig, frame::coding::CloseCode},
    },
};
use tracing::debug;

use super::{AgentHosts, LARGEST_MESSAGE};
use crate::media::Outgoing;

/// What the system may hold of what was sent. Its default is megabytes, which is minutes of audio that would be late; a
/// second or two is enough for any network.
const SEND_BUFFER: u32 = 64 * 1024;

/// Read at once. More memory for each call would buy little: what comes is mostly small.
const READ_BUFFER: usize = 8 * 1024;

/// What may be written and not taken before the connection counts as broken. There is never more than one message and a
/// ping in it.
const WRITE_LIMIT: usize = 1024 * 1024;

/// How long the agent may take to hear the rest and say goodbye, once the call is over.
const GOODBYE: Duration = Duration::from_secs(5);

/// How long it may take to close the socket by itself, after it was told that the call is over. A program that finds the
/// socket closed while it says something does not get to read that.
const ITS_OWN_GOODBYE: Duration = Duration::from_secs(2);

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects to an agent. The text says why not; it has nothing of the URL in it.
pub(super) async fn connect(url: Url, hosts: AgentHosts) -> Result<Socket, String> {
    let chain = |error: tungstenite::Error| error_chain(&error);
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or_default();
    let addresses = lookup_host((host, port)).await.map_err(|error| error.to_string())?;
    let mut refused = "the name has no address".to_owned();
    for address in addresses {
        if let Some(objection) = hosts.objection(address.ip()) {
            refused = format!("its address {objection}");
            continue;
        }
        match connect_to(address).await {
            Ok(stream) => {
                let request = url.as_str().into_client_request().map_err(chain)?;
                let config = WebSocketConfig::default()
                    .read_buffer_size(READ_BUFFER)
                    .write_buffer_size(0)
                    .max_write_buffer_size(WRITE_LIMIT)
                    .max_message_size(Some(LARGEST_MESSAGE))
                    .max_frame_size(Some(LARGEST_MESSAGE));
                let connected = client_async_tls_with_config(request, stream, Some(config), None).await;
                return connected.map(|(socket, _response)| socket).map_err(chain);
            }
            Err(error) => refused = error.to_string(),
        }
    }
    Err(refused)
}

async fn connect_to(address: std::net::SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_send_buffer_size(SEND_BUFFER)?;
    // Frames of 20 ms must not wait for each other.
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// What came from the agent.
pub(super) enum Received {
    Text(Utf8Bytes),
    Binary(Bytes),
    Pong,
    /// The agent said goodbye: normally, or with this code.
    Closed(Option<u16>),
}

/// A socket that is connected.
pub(super) struct Link {
    socket: Socket,
    outgoing: Outgoing,
}

impl Link {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, outgoing: Outgoing::default() }
    }

    /// Whether the next message would be taken, at least by the system.
    pub(super) fn is_ready(&mut self) -> Result<bool, String> {
        match Pin::new(&mut self.socket).poll_ready(&mut nobody()) {
            Poll::Ready(ready) => ready.map(|()| true).map_err(broken),
            Poll::Pending => Ok(false),
        }
    }

    /// Sends a message, when it [is ready](Self::is_ready).
    pub(super) fn send(&mut self, message: WireMessage<'_>) -> Result<(), String> {
        let message = outgoing(message, &mut self.outgoing);
        Pin::new(&mut self.socket).start_send(message).map_err(broken)
    }

    /// Asks the agent whether it is there, when it [is ready](Self::is_ready).
    pub(super) fn ping(&mut self) -> Result<(), String> {
        Pin::new(&mut self.socket).start_send(Message::Ping(Bytes::new())).map_err(broken)
    }

    /// Sees to it that what was sent leaves, as far as that goes now.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        match Pin::new(&mut self.socket).poll_flush(&mut nobody()) {
            Poll::Ready(flushed) => flushed.map_err(broken),
            Poll::Pending => Ok(()),
        }
    }

    /// What has come, if something has.
    pub(super) fn next(&mut self) -> Result<Option<Received>, String> {
        loop {
            let Poll::Ready(message) = Pin::new(&mut self.socket).poll_next(&mut nobody()) else { return Ok(None) };
            return Ok(Some(match message.transpose().map_err(broken)? {
                Some(Message::Text(text)) => Received::Text(text),
                Some(Message::Binary(bytes)) => Received::Binary(bytes),
                Some(Message::Pong(_)) => Received::Pong,
                // Normal, or without a code.
                Some(Message::Close(frame)) => {
                    let code = frame.map_or(CloseCode::Normal, |frame| frame.code);
                    Received::Closed((code != CloseCode::Normal).then(|| code.into()))
                }
                None => return Err("the connection is closed".to_owned()),
                Some(_) => continue, // The library answers pings.
            }));
        }
    }

    /// Says the rest and goodbye, while the call goes its way.
    pub(super) fn say_goodbye(mut self, rest: WireBuffer) {
        let Ok(runtime) = Handle::try_current() else { return };
        let goodbye = async move {
            for message in rest.iter() {
                let message = outgoing(message, &mut self.outgoing);
                self.socket.feed(message).await?;
            }
            self.socket.flush().await?;
            // Reading to the end answers the agent's own goodbye.
            if timeout(ITS_OWN_GOODBYE, read_to_the_end(&mut self.socket)).await.is_err() {
                self.socket.send(Message::Close(None)).await?;
                read_to_the_end(&mut self.socket).await;
            }
            Ok::<_, tungstenite::Error>(())
        };
        runtime.spawn(async move {
            if !matches!(timeout(GOODBYE, goodbye).await, Ok(Ok(()))) {
                debug!("An agent did not say goodbye.");
            }
        });
    }
}

async fn read_to_the_end(socket: &mut Socket) {
    while let Some(Ok(_)) = socket.next().await {}
}

fn outgoing(message: WireMessage<'_>, memory: &mut Outgoing) -> Message {
    match message {
        // A text of ours is one here too.
        WireMessage::Text(text) => Message::Text(memory.copy(text.as_bytes()).try_into().unwrap_or_default()),
        WireMessage::Binary(bytes) => Message::Binary(memory.copy(bytes)),
    }
}

/// Nobody is to be woken: it is looked again with the next frame.
fn nobody() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn broken(error: tungstenite::Error) -> String {
    error_chain(&error)
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}
