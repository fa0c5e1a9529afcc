//! The sandbox with a toy carrier: calls, webhooks, media and faults, seen by a customer made of sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod toy;

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use telephony_sandbox::{
    Behaviour, EndCause, Faults, Handset, Observation, RestFault, SOFTPHONE, Sandbox, SandboxOptions, SoftphoneCall,
    SoftphoneEvent, TICK_SAMPLES, WebhookFaults,
};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

/// The customer: answers every webhook with the same document, and remembers what came.
struct Customer {
    base: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Customer {
    async fn start(document: impl Into<String>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (document, inner) = (document.into(), seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, document) = (inner.clone(), document.clone());
                let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (seen, document) = (seen.clone(), document.clone());
                    async move {
                        let target = request.uri().to_string();
                        let body = request.into_body().collect().await?.to_bytes();
                        let asks = !target.starts_with("/events");
                        seen.lock().unwrap().push(format!("{target} {}", String::from_utf8_lossy(&body)));
                        let answer = if asks { document } else { String::new() };
                        Ok::<_, hyper::Error>(http::Response::new(Full::new(Bytes::from(answer))))
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { base, seen }
    }

    /// What was reported, without the answers asked for.
    fn reports(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter_map(|line| line.strip_prefix("/events ")).map(str::to_owned).collect()
    }
}

fn quick() -> SandboxOptions {
    SandboxOptions::default()
        .with_ring(Duration::from_millis(20))
        .with_no_answer_after(Duration::from_millis(50))
        .with_rating_delay(Duration::from_millis(50))
}

async fn post(sandbox: &Sandbox, path: &str, body: Value) -> Result<u16, reqwest::Error> {
    let url = sandbox.api_url().join(path).unwrap();
    let answer = reqwest::Client::new().post(url).body(body.to_string()).send().await?;
    Ok(answer.status().as_u16())
}

async fn dial(sandbox: &Sandbox, customer: &Customer, to: &str) {
    let answer = format!("{}/answer", customer.base);
    let events = format!("{}/events", customer.base);
    let body = json!({"id": "c-1", "to": to, "answer": answer, "events": events});
    assert_eq!(post(sandbox, "calls", body).await.unwrap(), 200);
}

async fn rated(sandbox: &Sandbox) -> EndCause {
    sandbox.wait_for(|seen| matches!(seen, Observation::CallRated { .. })).await;
    let ended = sandbox.wait_for(|seen| matches!(seen, Observation::CallEnded { .. })).await;
    let Observation::CallEnded { cause, .. } = ended else { unreachable!("waited for") };
    cause
}

/// Waits until so many reports have been delivered.
async fn delivered(sandbox: &Sandbox, count: usize) {
    let counted = std::cell::Cell::new(0);
    if count > 0 {
        sandbox
            .wait_for(|seen| {
                counted.set(counted.get() + usize::from(matches!(seen, Observation::WebhookSent { ask: false, .. })));
                counted.get() == count
            })
            .await;
    }
}

#[tokio::test]
async fn each_handset_ends_a_call_in_its_own_way() {
    let cases = [
        ("+12025550101", EndCause::Busy, "busy"),
        ("+12025550102", EndCause::NoAnswer, "no_answer"),
        ("+12025550103", EndCause::Declined, "busy"),
        ("+12025550104", EndCause::InvalidNumber, "failed"),
        ("+12025550106", EndCause::HandsetHungUp, "completed"),
    ];
    for (to, cause, status) in cases {
        let customer = Customer::start("say hello\nsay hello again").await;
        let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
        dial(&sandbox, &customer, to).await;
        assert_eq!(rated(&sandbox).await, cause, "{to}");
        delivered(&sandbox, if cause == EndCause::HandsetHungUp { 5 } else { 3 }).await;
        let reports = customer.reports();
        assert!(reports.iter().any(|line| line.contains(&format!("{status} Ended({cause:?})"))), "{to}: {reports:?}");
    }
}

#[tokio::test]
async fn a_document_is_followed_to_its_end() {
    let customer = Customer::start("say hi").await;
    let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
    dial(&sandbox, &customer, "+12025550100").await;
    assert_eq!(rated(&sandbox).await, EndCause::Application);
    delivered(&sandbox, 5).await;
    assert_eq!(
        customer.reports(),
        [
            "0 initiated Initiated",
            "1 ringing Ringing",
            "2 in_progress Answered",
            "3 completed Ended(Application)",
            "4 completed Rated",
        ]
    );
    assert_eq!(sandbox.handset("c-1").unwrap().said, ["hi"]);
    assert_eq!(post(&sandbox, "hang-up", json!({"id": "c-1"})).await.unwrap(), 404);
}

#[tokio::test]
async fn a_document_that_cannot_be_read_ends_the_call_and_says_so() {
    let customer = Customer::start("dance").await;
    let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
    dial(&sandbox, &customer, "+12025550100").await;
    assert_eq!(rated(&sandbox).await, EndCause::DocumentFailed);
    let refused = sandbox.wait_for(|seen| matches!(seen, Observation::DocumentRefused { .. })).await;
    assert!(format!("{refused:?}").contains("dance"));
}

/// Accepts one media socket.
async fn media_server() -> (String, tokio::task::JoinHandle<tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>>)
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let accepting = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        tokio_tungstenite::accept_async(stream).await.unwrap()
    });
    (url, accepting)
}

#[tokio::test]
async fn audio_goes_both_ways_and_marks_say_what_was_heard() {
    let (url, accepting) = media_server().await;
    let customer = Customer::start(format!("stream {url}")).await;
    let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
    dial(&sandbox, &customer, "+12025550100").await;
    let mut socket = accepting.await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("start 77"));

    // 100 ms of a tone, then a mark.
    let tone: Vec<u8> = (0..1_600).flat_map(|n| if n % 20 < 10 { 9_000_i16 } else { -9_000 }.to_le_bytes()).collect();
    socket.send(Message::binary(tone)).await.unwrap();
    socket.send(Message::text("mark end")).await.unwrap();
    let (mut frames, mut loud, mut mark_after) = (0, 0, None);
    while mark_after.is_none() || loud < 10 {
        match socket.next().await.unwrap().unwrap() {
            Message::Binary(frame) => {
                assert_eq!(frame.len(), 640);
                frames += 1;
                let samples = frame.chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
                loud += usize::from(samples.into_iter().any(|sample| sample.unsigned_abs() > 2_000));
            }
            Message::Text(text) if text.as_str() == "mark end" => mark_after = Some(frames),
            other => panic!("{other:?}"),
        }
    }
    assert!(mark_after.unwrap() >= 4, "the mark came before the tone was played: {mark_after:?}");
    socket.close(None).await.unwrap();
    assert_eq!(rated(&sandbox).await, EndCause::Application);
    let heard = sandbox.handset("c-1").unwrap().heard;
    assert_eq!(heard.iter().filter(|sample| sample.unsigned_abs() == 9_000).count(), 1_600);
}

#[tokio::test]
async fn digits_are_pressed_into_the_stream_and_into_a_gather() {
    let (url, accepting) = media_server().await;
    let customer = Customer::start(format!("stream {url}")).await;
    let handset =
        Handset::with_behaviour(Behaviour::PressesDigits).pressing("7#").with_patience(Duration::from_millis(100));
    let sandbox = Sandbox::start(&toy::SIMULATOR, quick().with_handset(handset.clone())).await.unwrap();
    dial(&sandbox, &customer, "+12025550100").await;
    let mut socket = accepting.await.unwrap();
    let mut texts = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            texts.push(text.to_string());
        }
    }
    assert_eq!(texts, ["start 77", "digit 7", "digit #", "stop"]);
    assert_eq!(rated(&sandbox).await, EndCause::HandsetHungUp);

    let customer = Customer::start("gather http://127.0.0.1:1/").await;
    let document = format!("gather {}/digits", customer.base);
    let customer = Customer { seen: customer.seen, base: Customer::start(document).await.base };
    let sandbox = Sandbox::start(&toy::SIMULATOR, quick().with_handset(handset)).await.unwrap();
    dial(&sandbox, &customer, "+12025550100").await;
    sandbox
        .wait_for(|seen| match seen {
            Observation::WebhookSent { request, .. } => request.uri().query() == Some("digits=7"),
            _ => false,
        })
        .await;
}

#[tokio::test]
async fn a_cut_socket_and_a_refused_one_are_told_apart() {
    let (url, accepting) = media_server().await;
    let customer = Customer::start(format!("stream {url}")).await;
    let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
    sandbox.set_faults(Faults::none().with_media_cut_after(3));
    dial(&sandbox, &customer, "+12025550100").await;
    let mut socket = accepting.await.unwrap();
    let mut last = None;
    while let Some(message) = socket.next().await {
        last = Some(message);
    }
    assert!(last.unwrap().is_err(), "a cut socket has no goodbye");
    rated(&sandbox).await;

    let customer = Customer::start("stream ws://127.0.0.1:1/").await;
    let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
    dial(&sandbox, &customer, "+12025550100").await;
    sandbox.wait_for(|seen| matches!(seen, Observation::StreamFailed { .. })).await;
}

#[tokio::test]
async fn a_message_that_the_carrier_cannot_read_drops_the_stream() {
    let (url, accepting) = media_server().await;
    let customer = Customer::start(format!("stream {url}")).await;
    let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
    dial(&sandbox, &customer, "+12025550100").await;
    let mut socket = accepting.await.unwrap();
    socket.send(Message::text("nonsense")).await.unwrap();
    sandbox.wait_for(|seen| matches!(seen, Observation::StreamClosed { dropped: Some(_), .. })).await;
}

#[tokio::test]
async fn the_time_limit_and_the_customer_end_a_call() {
    let customer = Customer::start("say a text that takes much longer to speak than this call may last").await;
    let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
    let (answer, events) = (format!("{}/answer", customer.base), format!("{}/events", customer.base));
    let body = json!({"id": "c-1", "to": "+12025550100", "answer": answer, "events": events, "limit_ms": 100});
    post(&sandbox, "calls", body).await.unwrap();
    assert_eq!(rated(&sandbox).await, EndCause::TimeLimit);

    let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
    dial(&sandbox, &customer, "+12025550100").await;
    sandbox.wait_for(|seen| matches!(seen, Observation::HandsetAnswered { .. })).await;
    assert_eq!(post(&sandbox, "hang-up", json!({"id": "c-1"})).await.unwrap(), 200);
    assert_eq!(rated(&sandbox).await, EndCause::Application);
}

#[tokio::test]
async fn a_handset_calls_in() {
    let customer = Customer::start("reject").await;
    let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
    assert!(sandbox.call_in("+12025550100", "+1999").await.is_err());
    let number = sandbox.numbers()[0].as_e164().to_owned();
    let (answer, events) = (format!("{}/answer", customer.base), format!("{}/events", customer.base));
    let body = json!({"number": number, "answer": answer, "events": events});
    assert_eq!(post(&sandbox, "numbers", body).await.unwrap(), 200);
    let id = sandbox.call_in("+12025550100", &number).await.unwrap();
    assert_eq!(rated(&sandbox).await, EndCause::Rejected);
    assert!(sandbox.handset(&id).unwrap().heard.is_empty());
}

#[tokio::test]
async fn rest_faults_come_one_by_one() {
    let customer = Customer::start("say hi").await;
    let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
    let faults = [RestFault::Status(429), RestFault::CutBefore, RestFault::CutAfter, RestFault::Pass];
    sandbox.set_faults(faults.into_iter().fold(Faults::none(), Faults::with_rest));
    let call = |id: &str| {
        let body = json!({"id": id, "to": "+12025550101", "events": format!("{}/events", customer.base)});
        post(&sandbox, "calls", body)
    };
    assert_eq!(call("a").await.unwrap(), 429);
    assert!(call("b").await.is_err());
    assert!(call("c").await.is_err());
    assert_eq!(call("d").await.unwrap(), 200);
    // What was cut before its answer was carried out all the same, as with real carriers.
    for id in ["c", "d"] {
        sandbox.wait_for(|seen| matches!(seen, Observation::CallEnded { call, .. } if call == id)).await;
    }
    assert!(
        !sandbox.observations().iter().any(|seen| matches!(seen, Observation::CallEnded { call, .. } if call == "b"))
    );
}

#[tokio::test]
async fn webhooks_are_duplicated_reordered_and_lost_on_request() {
    let run = async |faults: WebhookFaults, expected: usize| {
        let customer = Customer::start("say hi").await;
        let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
        sandbox.set_faults(Faults::none().with_webhooks(faults));
        dial(&sandbox, &customer, "+12025550100").await;
        rated(&sandbox).await;
        delivered(&sandbox, expected).await;
        customer.reports().iter().map(|line| line[..1].to_owned()).collect::<String>()
    };
    assert_eq!(run(WebhookFaults::copies(2), 10).await, "0011223344");
    assert_eq!(run(WebhookFaults::reordered(), 5).await, "10324");
    assert_eq!(run(WebhookFaults::lost(), 0).await, "");
}

/// Says a loud tick for every tick heard, until the other side has been heard to be loud, or the call is over.
async fn talk(call: &mut SoftphoneCall) -> Option<EndCause> {
    loop {
        match call.next_event().await.unwrap() {
            SoftphoneEvent::Heard(tick) if tick.iter().any(|sample| sample.unsigned_abs() > 8_000) => return None,
            SoftphoneEvent::Heard(_) => call.say(&[7_000; TICK_SAMPLES]),
            SoftphoneEvent::Ended(cause) => return Some(cause),
            _ => {}
        }
    }
}

/// Sends back what it hears, louder, and returns the texts that came.
async fn echo(mut socket: tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Binary(frame) if frame.chunks(2).any(|pair| pair == 7_000_i16.to_le_bytes()) => {
                let louder: Vec<u8> = [9_000_i16.to_le_bytes(); TICK_SAMPLES].concat();
                // Whoever has hung up hears nothing any more.
                let _gone = socket.send(Message::binary(louder)).await;
            }
            Message::Text(text) => texts.push(text.to_string()),
            _ => {}
        }
    }
    texts
}

async fn ended(call: &mut SoftphoneCall) -> EndCause {
    loop {
        if let SoftphoneEvent::Ended(cause) = call.next_event().await.unwrap() {
            return cause;
        }
    }
}

#[tokio::test]
async fn a_softphone_answers_talks_presses_keys_and_hangs_up() {
    let (url, accepting) = media_server().await;
    let customer = Customer::start(format!("stream {url}")).await;
    let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
    let mut phone = sandbox.switchboard().register();
    dial(&sandbox, &customer, SOFTPHONE).await;
    let mut call = phone.next_call().await.unwrap();
    assert_eq!((call.id(), call.to(), call.provider().as_str()), ("c-1", SOFTPHONE, "toy"));
    call.answer();
    let echoing = tokio::spawn(echo(accepting.await.unwrap()));
    assert_eq!(talk(&mut call).await, None);
    assert!(call.press('4') && call.press('#'));
    // Pressed once they have been heard.
    for _ in 0..3 {
        call.next_event().await.unwrap();
    }
    call.hang_up();
    assert_eq!(ended(&mut call).await, EndCause::HandsetHungUp);
    assert_eq!(call.next_event().await, None);
    let texts = echoing.await.unwrap();
    assert_eq!((&*texts[0], texts.last().map(|text| &**text)), ("start 77", Some("stop")));
    assert!(texts.iter().filter(|text| text.starts_with("digit")).eq(["digit 4", "digit #"]), "{texts:?}");
    assert_eq!(rated(&sandbox).await, EndCause::HandsetHungUp);
    let report = sandbox.handset("c-1").unwrap();
    assert!(report.spoken.contains(&7_000) && report.heard.contains(&9_000));
}

#[tokio::test]
async fn a_softphone_refuses_or_lets_it_ring_or_is_not_there() {
    let quick = || quick().with_softphone_rings_for(Duration::from_millis(100));
    let customer = Customer::start("say hi").await;
    let refuse = async |refuse: fn(&SoftphoneCall)| {
        let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
        let mut phone = sandbox.switchboard().register();
        dial(&sandbox, &customer, SOFTPHONE).await;
        let mut call = phone.next_call().await.unwrap();
        refuse(&call);
        let told = ended(&mut call).await;
        assert_eq!(rated(&sandbox).await, told);
        told
    };
    assert_eq!(refuse(SoftphoneCall::decline).await, EndCause::Declined);
    assert_eq!(refuse(SoftphoneCall::hang_up).await, EndCause::Declined);
    assert_eq!(refuse(SoftphoneCall::refuse_as_busy).await, EndCause::Busy);
    assert_eq!(refuse(|_| ()).await, EndCause::NoAnswer);

    let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
    dial(&sandbox, &customer, SOFTPHONE).await;
    assert_eq!(rated(&sandbox).await, EndCause::NoAnswer);
}

#[tokio::test]
async fn a_call_that_rings_follows_the_softphone_and_the_customer_can_give_up() {
    let customer = Customer::start("say hi").await;
    let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
    dial(&sandbox, &customer, SOFTPHONE).await;
    sandbox.wait_for(|seen| matches!(seen, Observation::HandsetRang { .. })).await;
    let mut first = sandbox.switchboard().register();
    let mut rings = first.next_call().await.unwrap();
    let mut second = sandbox.switchboard().register();
    let mut rings_there = second.next_call().await.unwrap();
    assert_eq!(ended(&mut rings).await, EndCause::Canceled);
    assert!(first.next_call().await.is_none());
    drop((first, rings));
    assert_eq!(post(&sandbox, "hang-up", json!({"id": "c-1"})).await.unwrap(), 200);
    assert_eq!(ended(&mut rings_there).await, EndCause::Canceled);
    assert_eq!(rated(&sandbox).await, EndCause::Canceled);
}

#[tokio::test]
async fn a_softphone_calls_in() {
    let (url, accepting) = media_server().await;
    let customer = Customer::start(format!("stream {url}")).await;
    let sandbox = Sandbox::start(&toy::SIMULATOR, quick()).await.unwrap();
    let number = sandbox.numbers()[0].as_e164().to_owned();
    let (answer, events) = (format!("{}/answer", customer.base), format!("{}/events", customer.base));
    post(&sandbox, "numbers", json!({"number": number, "answer": answer, "events": events})).await.unwrap();
    assert!(sandbox.call_in_by_softphone(SOFTPHONE, "+1999").is_err());
    let mut call = sandbox.call_in_by_softphone(SOFTPHONE, &number).unwrap();
    let echoing = tokio::spawn(echo(accepting.await.unwrap()));
    assert_eq!(talk(&mut call).await, None);
    drop(call);
    assert_eq!(rated(&sandbox).await, EndCause::HandsetHungUp);
    assert_eq!(echoing.await.unwrap().last().map(|text| &**text), Some("stop"));
}
