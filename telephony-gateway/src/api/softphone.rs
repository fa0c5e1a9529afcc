//! The softphone of the sandbox: the socket between a browser, or any other program, and the simulated carriers that ring it.
//!
//! `GET /api/v1/sandbox/phone` becomes a WebSocket, while the sandbox runs. A browser must come from a page of this gateway: its `Origin` is
//! compared with `Host`, since any page can have it send its cookie. A softphone that connects takes over from the organization's last one.
//!
//! Text messages are JSON objects with a member `type`. To the softphone:
//!
//! | `type` | members | meaning |
//! | --- | --- | --- |
//! | `ready` | `number` | it is registered; this is the number that rings it |
//! | `ringing` | `provider`, `call`, `from`, `to` | somebody calls; `call` is the carrier's id |
//! | `calling` | the same | the call that it asked for is being made |
//! | `answered` | | the two sides are connected |
//! | `ended` | `cause` | the call is over: `handset_hung_up`, `application`, `busy`, `no_answer`, `declined`, `invalid_number`, `canceled`, `time_limit`, `document_failed` or `rejected` |
//! | `refused` | `reason` | a message could not be followed, in words |
//! | `taken_over` | | another softphone is registered now; the socket is closed, and a call that was up is hung up |
//!
//! From the softphone: `answer`, `decline`, `hang_up`, `digit` (`digit`: one of `0` to `9`, `*`, `#`, `A` to `D`) and `call` (`to`: a number
//! of the organization's; `from` and `provider`, if wanted).
//!
//! Binary messages are sound, both ways: 20 ms each of PCM, 16 bits signed little-endian, mono, 16,000 Hz, so 640 bytes. From the answer on
//! one comes every 20 ms, in silence too. Nobody waits for what is late: of what comes too fast, or is not taken, the oldest is dropped. There
//! is one call at a time; one more caller hears that the line is busy.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{
        State,
        ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use telephony_core::{Address, ProviderName, error_chain};
use telephony_sandbox::{SOFTPHONE, SoftphoneCall, SoftphoneEvent, TICK_SAMPLES, Tick};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::debug;

use super::{auth::Caller, problem::Problem};
use crate::{
    media::Outgoing,
    service::{RunningSandbox, Service, ServiceError},
};

/// The longest message: a tick is 640 bytes, and no text is longer than a few numbers.
const LARGEST_MESSAGE: usize = 4 * 1024;

/// What may wait to be sent before the connection counts as broken: two seconds of sound.
const WRITE_LIMIT: usize = 64 * 1024;

/// What we send is taken within so long, or the softphone is gone.
const NOT_TAKEN: Duration = Duration::from_secs(5);

/// How often a softphone is asked whether it is still there. One that says nothing from one question to the next is gone.
const STILL_THERE: Duration = Duration::from_secs(20);

/// Bytes of a tick.
const TICK_BYTES: usize = TICK_SAMPLES * 2;

/// The sandbox of whoever asks.
pub(super) fn running_sandbox(service: &Service, caller: Caller) -> Result<Arc<RunningSandbox>, Problem> {
    let running = service.sandbox().filter(|running| running.owner() == caller.organization);
    running.ok_or_else(|| {
        let detail = "no sandbox runs here for this organization: start it with `POST /api/v1/sandbox`, or with the gateway, \
                      `telephony serve --sandbox`";
        Problem::new(StatusCode::NOT_FOUND, "No sandbox", detail)
    })
}

/// Connects a softphone to the sandbox, which rings it: a WebSocket with JSON messages and 20 ms of PCM each way. Only while the sandbox
/// runs. A browser must come from a page of this gateway.
#[utoipa::path(get, path = "/sandbox/phone", tag = "sandbox", responses(
    (status = 101, description = "A WebSocket"),
    (status = 400, description = "It is no upgrade to a WebSocket", body = Problem),
    (status = 403, description = "The browser shows a page of somebody else's", body = Problem),
    (status = 404, description = "No sandbox runs for the organization", body = Problem),
))]
pub(super) async fn phone(
    State(service): State<Service>,
    caller: Caller,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let sandbox = running_sandbox(&service, caller)?;
    if !headers.contains_key(header::AUTHORIZATION) && !is_our_page(&headers) {
        let detail = "a browser must come from a page of this gateway: its Origin is not the Host that is asked";
        return Err(Problem::new(StatusCode::FORBIDDEN, "A page of somebody else's", detail));
    }
    let upgrade = upgrade.map_err(|rejection| {
        Problem::new(StatusCode::BAD_REQUEST, "No upgrade to a WebSocket", rejection.body_text())
    })?;
    let switchboard = sandbox.switchboard().clone();
    Ok(upgrade
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_LIMIT)
        .max_message_size(LARGEST_MESSAGE)
        .max_frame_size(LARGEST_MESSAGE)
        .on_upgrade(async move |socket| {
            let mut phone = Phone { service, caller, socket, call: None, outgoing: Outgoing::default() };
            if let Err(error) = phone.serve(switchboard.register()).await {
                debug!(error = error_chain(&error), "A softphone is gone.");
            }
        }))
}

/// Whether a browser sends this from a page that it has from here.
fn is_our_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    origin.is_some_and(|origin| text(header::HOST).is_some_and(|host| host.eq_ignore_ascii_case(origin)))
}

/// What the softphone is told.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told<'a> {
    Ready { number: &'a str },
    Ringing(AboutCall<'a>),
    Calling(AboutCall<'a>),
    Answered,
    Ended { cause: &'static str },
    Refused { reason: String },
    TakenOver,
}

#[derive(Debug, Serialize)]
struct AboutCall<'a> {
    provider: ProviderName,
    call: &'a str,
    from: &'a str,
    to: &'a str,
}

impl<'a> From<&'a SoftphoneCall> for AboutCall<'a> {
    fn from(call: &'a SoftphoneCall) -> Self {
        Self { provider: call.provider(), call: call.id(), from: call.from(), to: call.to() }
    }
}

/// What the softphone wants.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Wanted {
    Answer,
    Decline,
    HangUp,
    Digit { digit: char },
    Call { to: String, from: Option<String>, provider: Option<String> },
}

/// Why a softphone is served no longer.
#[derive(Debug, thiserror::Error)]
enum Gone {
    #[error("the socket failed")]
    Socket(#[from] axum::Error),
    #[error("what was sent was not taken in {} s", NOT_TAKEN.as_secs())]
    NotTaken,
    #[error("it says nothing any more")]
    Silent,
}

/// A softphone that is connected.
struct Phone {
    service: Service,
    caller: Caller,
    socket: WebSocket,
    call: Option<SoftphoneCall>,
    outgoing: Outgoing,
}

impl Phone {
    async fn serve(&mut self, mut registered: telephony_sandbox::Softphone) -> Result<(), Gone> {
        self.tell(&Told::Ready { number: SOFTPHONE }).await?;
        let closing = self.service.clone();
        let closing = closing.closing();
        tokio::pin!(closing);
        let mut questions = interval(STILL_THERE);
        questions.set_missed_tick_behavior(MissedTickBehavior::Delay);
        questions.reset();
        let mut is_there = true;
        loop {
            tokio::select! {
                message = self.socket.recv() => {
                    is_there = true;
                    match message {
                        None | Some(Ok(Message::Close(_))) => return Ok(()),
                        Some(Err(error)) => return Err(error.into()),
                        Some(Ok(Message::Text(text))) => self.follow(&text).await?,
                        Some(Ok(Message::Binary(bytes))) => self.hear(&bytes).await?,
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {} // The library answers pings.
                    }
                }
                event = next_event(&mut self.call) => self.happened(event).await?,
                offered = registered.next_call() => match offered {
                    None => {
                        self.tell(&Told::TakenOver).await?;
                        return self.send(Message::Close(None)).await;
                    }
                    Some(call) if self.call.is_some() => call.refuse_as_busy(),
                    Some(call) => {
                        self.tell(&Told::Ringing((&call).into())).await?;
                        self.call = Some(call);
                    }
                },
                _ = questions.tick() => {
                    if !is_there {
                        return Err(Gone::Silent);
                    }
                    is_there = false;
                    self.send(Message::Ping(Default::default())).await?;
                }
                () = &mut closing => return self.send(Message::Close(None)).await,
            }
        }
    }

    async fn follow(&mut self, text: &str) -> Result<(), Gone> {
        let followed = match serde_json::from_str(text) {
            Ok(wanted) => self.carry_out(wanted).await?,
            Err(error) => Err(format!("the message is none of the protocol: {error}")),
        };
        match followed {
            Ok(()) => Ok(()),
            Err(reason) => self.tell(&Told::Refused { reason }).await,
        }
    }

    /// Does what is wanted, or says why not.
    async fn carry_out(&mut self, wanted: Wanted) -> Result<Result<(), String>, Gone> {
        let no_call = || Err("there is no call".to_owned());
        Ok(match (wanted, &self.call) {
            (Wanted::Call { .. }, Some(_)) => Err("there is a call already".to_owned()),
            (Wanted::Call { to, from, provider }, None) => {
                let from = from.as_deref().unwrap_or(SOFTPHONE);
                match call_in(&self.service, self.caller, from, &to, provider.as_deref()).await {
                    Ok(call) => {
                        self.tell(&Told::Calling((&call).into())).await?;
                        self.call = Some(call);
                        Ok(())
                    }
                    Err(error) => Err(error_chain(&error)),
                }
            }
            (_, None) => no_call(),
            (Wanted::Answer, Some(call)) => {
                call.answer();
                Ok(())
            }
            (Wanted::Decline, Some(call)) => {
                call.decline();
                Ok(())
            }
            (Wanted::HangUp, Some(call)) => {
                call.hang_up();
                Ok(())
            }
            (Wanted::Digit { digit }, Some(call)) if call.press(digit) => Ok(()),
            (Wanted::Digit { .. }, Some(_)) => {
                Err("the key is not pressed: there is none, the call is not answered, or too many wait".to_owned())
            }
        })
    }

    async fn hear(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        if bytes.len() != TICK_BYTES {
            let reason = format!("sound comes in messages of {TICK_BYTES} bytes, and this one has {}", bytes.len());
            return self.tell(&Told::Refused { reason }).await;
        }
        // After the end of a call, some is still on its way.
        if let Some(call) = &self.call {
            let mut tick: Tick = [0; TICK_SAMPLES];
            for (sample, pair) in tick.iter_mut().zip(bytes.chunks_exact(2)) {
                *sample = i16::from_le_bytes([pair[0], pair[1]]);
            }
            call.say(&tick);
        }
        Ok(())
    }

    async fn happened(&mut self, event: Option<SoftphoneEvent>) -> Result<(), Gone> {
        match event {
            Some(SoftphoneEvent::Answered) => self.tell(&Told::Answered).await,
            Some(SoftphoneEvent::Heard(tick)) => {
                let mut bytes = [0; TICK_BYTES];
                for (pair, sample) in bytes.chunks_exact_mut(2).zip(tick) {
                    pair.copy_from_slice(&sample.to_le_bytes());
                }
                let message = Message::Binary(self.outgoing.copy(&bytes));
                self.send(message).await
            }
            Some(SoftphoneEvent::Ended(cause)) => {
                self.call = None;
                self.tell(&Told::Ended { cause: cause.name() }).await
            }
            Some(_) => Ok(()),
            None => {
                self.call = None;
                Ok(())
            }
        }
    }

    async fn tell(&mut self, told: &Told<'_>) -> Result<(), Gone> {
        let text = serde_json::to_string(told).map_err(axum::Error::new)?;
        self.send(Message::Text(Utf8Bytes::from(text))).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        timeout(NOT_TAKEN, self.socket.send(message)).await.map_err(|_| Gone::NotTaken)?.map_err(Gone::from)
    }
}

/// Waits for what happens to the call; without one, for ever.
async fn next_event(call: &mut Option<SoftphoneCall>) -> Option<SoftphoneEvent> {
    match call {
        Some(call) => call.next_event().await,
        None => std::future::pending().await,
    }
}

async fn call_in(
    service: &Service,
    caller: Caller,
    from: &str,
    to: &str,
    provider: Option<&str>,
) -> Result<SoftphoneCall, ServiceError> {
    from.parse::<Address>().map_err(|error| ServiceError::invalid("from", error.to_string()))?;
    let running = service.sandbox().filter(|running| running.owner() == caller.organization);
    let running = running.ok_or(ServiceError::NotFound { what: "sandbox" })?;
    let (_, carrier) = running.carrier_of(service, to, provider).await?;
    carrier.call_in_by_softphone(from, to).map_err(|error| ServiceError::invalid("to", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_host_that_is_asked_are_ours() {
        let case = |origin: Option<&str>, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            is_our_page(&headers)
        };
        assert!(case(Some("http://127.0.0.1:8080"), "127.0.0.1:8080"));
        assert!(case(Some("https://voice.example.com"), "Voice.example.com"));
        for origin in [None, Some("null"), Some("http://127.0.0.1:8081"), Some("https://example.com"), Some("://")] {
            assert!(!case(origin, "127.0.0.1:8080"), "{origin:?}");
        }
    }

    #[test]
    fn messages_are_as_documented() {
        let about = AboutCall { provider: ProviderName::new("toy"), call: "c-1", from: "+1", to: "+2" };
        let told = serde_json::to_value(Told::Ringing(about)).unwrap();
        assert_eq!(
            told,
            serde_json::json!({"type": "ringing", "provider": "toy", "call": "c-1", "from": "+1", "to": "+2"})
        );
        assert_eq!(serde_json::to_string(&Told::TakenOver).unwrap(), r#"{"type":"taken_over"}"#);
        let wanted: Wanted = serde_json::from_str(r#"{"type":"call","to":"+1"}"#).unwrap();
        assert!(matches!(wanted, Wanted::Call { to, from: None, provider: None } if to == "+1"));
        for wrong in [r#"{"type":"dance"}"#, r#"{"type":"digit","digit":"12"}"#, r#"{"type":"call","to":"+1","x":1}"#] {
            assert!(serde_json::from_str::<Wanted>(wrong).is_err(), "{wrong}");
        }
    }
}
