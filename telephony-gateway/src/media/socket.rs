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
