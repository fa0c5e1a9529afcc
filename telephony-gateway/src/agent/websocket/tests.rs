//! Agents behind real sockets on this machine. The only clock is the caller's audio, which the tests hand in.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use proptest::prelude::*;
use serde_json::{Value, json};
use telephony_core::{CallId, CallRef, Direction, Url, WireBuffer, WireMessage};
use telephony_registry::Registry;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, yield_now},
};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{
    dialect::{CarrierDialect, Dialect, PcmDialect},
    protocol::{complaint, schema},
    *,
};
use crate::agent::{Act, AgentAction, CallAgent, StopReason, some_call};

/// 20 ms at 16 kHz.
const FRAME: [i16; 320] = [7; 320];

/// Nothing here takes so long, unless it never comes.
const FOR_EVER: Duration = Duration::from_secs(60);

/// The gateway's side of a call.
struct Call {
    began: Instant,
    agent: WebSocketAgent,
    line: AgentLine,
    /// What was said before and is not heard yet.
    unheard: usize,
}

impl Call {
    fn new(url: &Url) -> Self {
        let mut agent = WebSocketAgent::new(&WebSocketAgentConfig::new(url.clone())).unwrap();
        let mut line = AgentLine::default();
        let mut call = some_call().between("+14155550100".parse().unwrap(), "+14155550111".parse().unwrap());
        call.call = CallRef::new(CallId::new("CA1").unwrap());
        call.parameters.insert("language".to_owned(), "de".to_owned());
        agent.on_event(AgentEvent::Started(&call), &mut line);
        Self { began: Instant::now(), agent, line, unheard: 0 }
    }

    /// Something happens on the line, and sockets get the time to be ready.
    async fn tell(&mut self, event: AgentEvent<'_>) -> Vec<Act> {
        assert!(self.began.elapsed() < FOR_EVER, "what is waited for never comes: {:?}", self.agent.report());
        self.line.begin(self.unheard, 0);
        self.agent.on_event(event, &mut self.line);
        yield_now().await;
        self.line.take_acts()
    }

    /// So much of the caller's audio comes. What the agent did meanwhile.
    async fn hear(&mut self, length: Duration) -> Vec<Act> {
        let mut acts = Vec::new();
        for _ in 0..length.as_millis() / 20 {
            acts.extend(self.tell(AgentEvent::Audio(&FRAME)).await);
        }
        acts
    }

    /// No time passes by the clock, until the agent has done something.
    async fn wait(&mut self) -> Vec<Act> {
        loop {
            assert!(!matches!(self.agent.state, State::Closed), "the agent is gone, and will do nothing more");
            let acts = self.tell(AgentEvent::Audio(&[])).await;
            if !acts.is_empty() {
                return acts;
            }
        }
    }

    /// No time passes by the clock, until the other side is done.
    async fn wait_for<T>(&mut self, other: JoinHandle<T>) -> T {
        while !other.is_finished() {
            assert_eq!(self.tell(AgentEvent::Audio(&[])).await, []);
        }
        other.await.unwrap()
    }

    async fn wait_until_connected(&mut self) {
        while self.agent.report.connected_after.is_none() {
            assert_eq!(self.tell(AgentEvent::Audio(&[])).await, []);
        }
    }
}

type Server = WebSocketStream<TcpStream>;

/// A server whose path has something that nobody may print.
async fn listen() -> (TcpListener, Url) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/agent?token=s3cret", listener.local_addr().unwrap()).parse().unwrap();
    (listener, url)
}

/// A call to an agent that does this.
async fn call<F: Future<Output = T> + Send + 'static, T: Send + 'static>(
    agent: impl FnOnce(Server) -> F + Send + 'static,
) -> (Call, JoinHandle<T>) {
    let (listener, url) = listen().await;
    let agent = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        agent(accept_async(stream).await.unwrap()).await
    });
    (Call::new(&url), agent)
}

async fn event(server: &mut Server) -> Value {
    loop {
        match server.next().await.unwrap().unwrap() {
            Message::Text(text) => {
                let event = serde_json::from_str(&text).unwrap();
                assert_eq!(complaint("GatewayEvent", &event), None);
                return event;
            }
            Message::Close(_) => panic!("closed"),
            _ => {}
        }
    }
}

async fn say(server: &mut Server, event: Value) {
    server.send(Message::text(event.to_string())).await.unwrap();
}

fn lost(acts: &[Act]) -> &str {
    match acts {
        [Act::Lost(reason)] => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_the_caller_said_before_it_was_there_is_not_lost() {
    let (listener, url) = listen().await;
    let mut call = Call::new(&url);
    assert_eq!(call.hear(Duration::from_secs(1)).await, []);
    let agent = tokio::spawn(async move {
        let mut server = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        let start = event(&mut server).await;
        let mut bytes = Vec::new();
        while bytes.len() < 32_000 {
            let Message::Binary(frame) = server.next().await.unwrap().unwrap() else { panic!("no audio") };
            assert_eq!(frame.len(), 640);
            bytes.extend_from_slice(&frame);
        }
        (start, bytes, server)
    });
    let (start, bytes, _server) = call.wait_for(agent).await;
    let expected = json!({
        "event": "start", "version": 1, "sample_rate_hz": 16_000, "call_id": "CA1", "provider": "acme",
        "direction": "outbound", "from": "+14155550100", "to": "+14155550111", "parameters": {"language": "de"},
    });
    assert_eq!(start, expected);
    assert_eq!(bytes, [7, 0].repeat(16_000));
    let report = call.agent.report().unwrap();
    assert_eq!((report.connected_after, report.dropped), (Some(Duration::from_secs(1)), Duration::ZERO));
}

#[tokio::test]
async fn what_the_agent_says_and_does_is_done_in_order() {
    let (mut call, agent) = call(|mut server| async move {
        server.send(Message::binary([1, 0, 255, 255].as_slice())).await.unwrap();
        say(&mut server, json!({"event": "mark", "name": "x"})).await;
        say(&mut server, json!({"event": "clear"})).await;
        server.send(Message::binary(vec![1; 20])).await.unwrap();
        say(&mut server, json!({"event": "hang_up", "within_ms": 1500})).await;
        server
    })
    .await;
    let mut acts = Vec::new();
    while acts.len() < 5 {
        acts.extend(call.wait().await);
    }
    let within = Some(Duration::from_millis(1_500));
    assert_eq!(acts, [Act::Say(2), Act::Mark("x".into()), Act::Clear, Act::Say(10), Act::HangUp(within)]);
    let _server = agent.await.unwrap();
}

#[tokio::test]
async fn what_happens_is_told() {
    let (mut call, agent) = call(|mut server| async move {
        let mut events = Vec::new();
        for _ in 0..5 {
            events.push(event(&mut server).await);
        }
        events
    })
    .await;
    call.tell(AgentEvent::Digit('#')).await;
    call.tell(AgentEvent::MarkReached("a")).await;
    call.tell(AgentEvent::MarkCleared("b")).await;
    call.tell(AgentEvent::Cleared { unheard: Duration::from_millis(1_250) }).await;
    let events = call.wait_for(agent).await;
    assert_eq!(
        events[1..],
        [
            json!({"event": "digit", "digit": "#"}),
            json!({"event": "mark", "name": "a", "heard": true}),
            json!({"event": "mark", "name": "b", "heard": false}),
            json!({"event": "cleared", "unheard_ms": 1_250}),
        ]
    );
}

#[tokio::test]
async fn what_is_not_understood_is_said_and_the_call_goes_on() {
    let (mut call, agent) = call(|mut server| async move {
        let _start = event(&mut server).await;
        say(&mut server, json!({"event": "sing"})).await;
        server.send(Message::binary(vec![1; 3])).await.unwrap();
        say(&mut server, json!({"event": "send_digits", "digits": "x", "id": "7"})).await;
        let errors = [event(&mut server).await, event(&mut server).await, event(&mut server).await];
        say(&mut server, json!({"event": "mark", "name": "still here"})).await;
        (errors, server)
    })
    .await;
    let acts = call.wait().await;
    assert_eq!(acts, [Act::Mark("still here".into())]);
    let (errors, _server) = agent.await.unwrap();
    let words = "mark, clear, hang_up, transfer, send_digits";
    assert_eq!(
        errors,
        [
            json!({
                "event": "error", "about": "sing", "field": "event",
                "reason": format!("is \"sing\", and must be one of {words}"),
            }),
            json!({"event": "error", "field": "audio", "reason": "has 3 bytes: a sample has two"}),
            json!({
                "event": "error", "about": "send_digits", "id": "7", "field": "digits",
                "reason": "digits are 1 to 64 of 0-9, A-D, #, * and w (half a second of pause)",
            }),
        ]
    );
    assert_eq!(call.agent.report().unwrap().refused, 3);
}

#[tokio::test]
async fn requests_are_answered_with_the_agents_own_ids() {
    let (mut call, agent) = call(|mut server| async move {
        let _start = event(&mut server).await;
        say(&mut server, json!({"event": "transfer", "to": "+14155550122", "id": "t"})).await;
        say(&mut server, json!({"event": "send_digits", "digits": "1"})).await;
        [event(&mut server).await, event(&mut server).await]
    })
    .await;
    let mut acts = call.wait().await;
    while acts.len() < 2 {
        acts.extend(call.wait().await);
    }
    let transfer = AgentAction::Transfer { to: "+14155550122".parse().unwrap() };
    let digits = AgentAction::SendDigits { digits: "1".parse().unwrap() };
    assert_eq!(acts, [Act::Request(1, transfer), Act::Request(2, digits)]);
    call.tell(AgentEvent::RequestAnswered { number: 2, outcome: Ok(()) }).await;
    call.tell(AgentEvent::RequestAnswered { number: 1, outcome: Err("is not possible here") }).await;
    assert_eq!(
        call.wait_for(agent).await,
        [
            json!({"event": "done", "about": "send_digits"}),
            json!({
                "event": "error", "about": "transfer", "id": "t", "field": "event", "reason": "is not possible here",
            }),
        ]
    );
}

/// The words that the schema has for what one side says.
fn words(definition: &str) -> BTreeSet<String> {
    let schema = schema();
    let words = schema["$defs"][definition]["oneOf"].as_array().unwrap().iter();
    words.map(|one| one["properties"]["event"]["const"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_message_of_a_call_is_as_the_schema_says() {
    // An agent that says everything that it can, and hears everything that there is.
    let (mut call, agent) = call(|mut server| async move {
        let commands = [
            json!({"event": "mark", "name": "x"}),
            json!({"event": "clear"}),
            json!({"event": "transfer", "to": "sip:a@example.com", "id": "t"}),
            json!({"event": "send_digits", "digits": "12w#"}),
            json!({"event": "sing"}),
            json!({"event": "hang_up", "within_ms": 20}),
        ];
        for command in &commands {
            say(&mut server, command.clone()).await;
        }
        let mut heard = BTreeSet::new();
        while !heard.contains("stop") {
            heard.insert(event(&mut server).await["event"].as_str().unwrap().to_owned());
        }
        let said = commands.iter().filter(|command| complaint("AgentCommand", command).is_none());
        let said: BTreeSet<String> = said.map(|command| command["event"].as_str().unwrap().to_owned()).collect();
        (said, heard)
    })
    .await;
    let mut acts = Vec::new();
    while !acts.contains(&Act::HangUp(Some(Duration::from_millis(20)))) {
        acts.extend(call.wait().await);
    }
    assert_eq!(acts.len(), 5, "{acts:?}");
    for happens in [
        AgentEvent::Digit('5'),
        AgentEvent::MarkReached("x"),
        AgentEvent::MarkCleared("y"),
        AgentEvent::Cleared { unheard: Duration::from_millis(20) },
        AgentEvent::RequestAnswered { number: 1, outcome: Ok(()) },
        AgentEvent::RequestAnswered { number: 2, outcome: Err("is not possible here") },
        AgentEvent::Stopped(StopReason::AgentHungUp),
    ] {
        call.tell(happens).await;
    }
    let (said, heard) = agent.await.unwrap();
    assert_eq!((said, heard), (words("AgentCommand"), words("GatewayEvent")));
}

#[tokio::test]
async fn an_agent_that_is_not_there_ends_the_call() {
    let (listener, url) = listen().await;
    drop(listener);
    let mut call = Call::new(&url);
    let acts = call.wait().await;
    let reason = lost(&acts);
    assert!(reason.contains("the agent at ws://127.0.0.1:") && reason.contains("refused"), "{reason}");
    assert!(!reason.contains("s3cret") && !format!("{:?}", call.agent).contains("s3cret"));
    assert_eq!(call.hear(Duration::from_secs(1)).await, [], "it is said once");
    assert_eq!(call.agent.report().unwrap().connected_after, None);
}

#[tokio::test]
async fn a_name_that_leads_where_agents_may_not_be_is_not_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://localhost:{}/?token=s3cret", listener.local_addr().unwrap().port()).parse().unwrap();
    let agent = WebSocketAgent::new(&WebSocketAgentConfig::new(url)).unwrap();
    let hosts = "private,public".parse().unwrap();
    let mut agent = agent.only_at(hosts).expect("a name is looked up when it is called");
    let mut line = AgentLine::default();
    agent.on_event(AgentEvent::Started(&some_call()), &mut line);
    let began = Instant::now();
    let acts = loop {
        assert!(began.elapsed() < FOR_EVER, "the agent is neither refused nor reached");
        line.begin(0, 0);
        agent.on_event(AgentEvent::Audio(&[]), &mut line);
        yield_now().await;
        let acts = line.take_acts();
        if !acts.is_empty() {
            break acts;
        }
    };
    let reason = lost(&acts);
    assert!(reason.contains("is this machine, where agents may not be") && !reason.contains("s3cret"), "{reason}");
    assert!(tokio::time::timeout(Duration::ZERO, listener.accept()).await.is_err(), "nobody came");
}

#[tokio::test]
async fn a_name_that_is_none_and_a_server_that_speaks_no_tls_end_the_call() {
    let mut call = Call::new(&"ws://agent.invalid".parse().unwrap());
    let acts = call.wait().await;
    assert!(lost(&acts).contains("ws://agent.invalid cannot be reached"), "{acts:?}");

    let (listener, url) = listen().await;
    let plain = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        stream.readable().await.unwrap();
    });
    let mut call = Call::new(&url.as_str().replace("ws:", "wss:").parse().unwrap());
    let acts = call.wait().await;
    assert!(lost(&acts).contains("cannot be reached"), "{acts:?}");
    plain.await.unwrap();
}

#[tokio::test]
async fn an_agent_that_does_not_answer_is_waited_for_so_long() {
    // The system takes the connection; nobody takes the handshake.
    let (_listener, url) = listen().await;
    let mut call = Call::new(&url);
    assert_eq!(call.hear(CONNECT_WITHIN - Duration::from_millis(20)).await, []);
    let acts = call.hear(Duration::from_millis(20)).await;
    assert!(lost(&acts).ends_with("no answer within 5 s"), "{acts:?}");
    assert_eq!(call.agent.report().unwrap().dropped, Duration::ZERO, "all of it would have been there");
}

#[tokio::test]
async fn an_agent_that_takes_nothing_is_gone_after_a_while_and_holds_nobody_up() {
    let socket = TcpSocket::new_v4().unwrap();
    // Little room at the other end, so that it is full soon.
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut call = Call::new(&format!("ws://{}", listener.local_addr().unwrap()).parse().unwrap());
    let agent = tokio::spawn(async move { accept_async(listener.accept().await.unwrap().0).await.unwrap() });
    call.wait_until_connected().await;
    let _server = agent.await.unwrap();
    let mut passed = Duration::ZERO;
    let acts = loop {
        let acts = call.hear(Duration::from_millis(20)).await;
        passed += Duration::from_millis(20);
        assert!(passed < Duration::from_secs(60), "it is never missed");
        if !acts.is_empty() {
            break acts;
        }
    };
    let reason = lost(&acts);
    assert!(["the agent took nothing for 10 s", "the agent answered no ping for 10 s"].contains(&reason), "{reason}");
    assert!(passed >= GONE_AFTER, "{passed:?}");
    let report = call.agent.report().unwrap();
    assert!(report.latest <= HELD && report.dropped > Duration::from_secs(1), "{report:?}");
}

#[tokio::test]
async fn an_agent_is_asked_whether_it_is_there() {
    let (mut call, agent) = call(|mut server| async move {
        loop {
            // Reading answers it.
            if let Message::Ping(_) = server.next().await.unwrap().unwrap() {
                server.flush().await.unwrap();
                return server;
            }
        }
    })
    .await;
    call.wait_until_connected().await;
    call.hear(PING_EVERY).await;
    let _server = call.wait_for(agent).await;
    call.hear(Duration::from_millis(40)).await;
    while call.agent.pulse.pinged_at.is_some() {
        call.tell(AgentEvent::Audio(&[])).await;
    }
    assert!(call.agent.report().unwrap().slowest_pong >= Duration::from_millis(20));
    assert_eq!(call.hear(PING_EVERY - Duration::from_millis(20)).await, [], "and not asked again at once");
}

#[tokio::test]
async fn an_agent_that_says_goodbye_hangs_up() {
    for (code, expected) in [(None, None), (Some(CloseCode::Normal), None), (Some(CloseCode::Error), Some("1011"))] {
        let (mut call, _agent) = call(move |mut server| async move {
            let frame = code.map(|code| CloseFrame { code, reason: "+14155550111 hung up on me".into() });
            server.close(frame).await.unwrap();
            while let Some(Ok(_)) = server.next().await {}
        })
        .await;
        let acts = call.wait().await;
        match expected {
            None => assert_eq!(acts, [Act::HangUp(None)]),
            Some(code) => assert_eq!(lost(&acts), format!("the agent closed its socket with code {code}")),
        }
        assert_eq!(call.hear(Duration::from_millis(100)).await, []);
    }
}

#[tokio::test]
async fn an_agent_that_goes_without_a_word_is_lost() {
    let (mut call, agent) = call(|server| async move { drop(server) }).await;
    let acts = call.wait().await;
    agent.await.unwrap();
    assert!(lost(&acts).starts_with("the connection to the agent broke: "), "{acts:?}");
}

#[tokio::test]
async fn an_agent_that_says_more_than_can_be_heard_waits() {
    let (mut call, agent) = call(|mut server| async move {
        for _ in 0..10 {
            say(&mut server, json!({"event": "clear"})).await;
        }
        while let Some(Ok(_)) = server.next().await {}
    })
    .await;
    call.unheard = 16_000 * 61;
    call.wait_until_connected().await;
    // Its answers to pings stand behind what is not read: it is not held to be gone for that.
    assert_eq!(call.hear(2 * (PING_EVERY + GONE_AFTER)).await, []);
    assert_eq!(call.agent.report().unwrap().made_to_wait, 1);
    call.unheard = 16_000;
    let mut acts = call.wait().await;
    while acts.len() < 10 {
        acts.extend(call.tell(AgentEvent::Audio(&[])).await);
    }
    assert_eq!(acts, vec![Act::Clear; 10]);
    drop(call);
    agent.await.unwrap();
}

#[tokio::test]
async fn the_end_is_told_behind_everything_else() {
    let (mut call, agent) = call(|mut server| async move {
        let _start = event(&mut server).await;
        let rest = [server.next().await.unwrap().unwrap(), server.next().await.unwrap().unwrap()];
        // It says goodbye itself, and is answered.
        server.close(None).await.unwrap();
        assert!(matches!(server.next().await, Some(Ok(Message::Close(_)))));
        rest
    })
    .await;
    call.wait_until_connected().await;
    call.tell(AgentEvent::Audio(&FRAME[..100])).await;
    call.tell(AgentEvent::Stopped(StopReason::CallEnded)).await;
    let rest = agent.await.unwrap();
    let [Message::Binary(audio), Message::Text(stop)] = &rest else { panic!("{rest:?}") };
    assert_eq!(audio.len(), 640, "the last is filled up");
    assert_eq!(serde_json::from_str::<Value>(stop).unwrap(), json!({"event": "stop", "reason": "call_ended"}));
}

/// Every dialect, started.
fn dialects() -> Vec<Box<dyn Dialect>> {
    let mut dialects: Vec<Box<dyn Dialect>> = vec![Box::new(PcmDialect::new(super::super::AGENT_RATE_HZ).unwrap())];
    for carrier in Registry::linked().unwrap().iter() {
        for format in carrier.media().formats {
            dialects.push(Box::new(CarrierDialect::new(carrier, *format).unwrap()));
        }
    }
    let call = AgentCall::new(telephony_core::ProviderName::new("acme"), Direction::Inbound);
    for dialect in &mut dialects {
        dialect.start(&call, &mut WireBuffer::new()).unwrap();
    }
    dialects
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_that_an_agent_says_is_too_much(
        texts in proptest::collection::vec(".{0,80}", 0..6),
        names in proptest::collection::vec("mark|clear|media|event|action|notify|[a-z]{1,8}", 2),
        bytes in proptest::collection::vec(any::<u8>(), 0..1_500),
    ) {
        let json = json!({"event": names[0], "action": names[1], "media": {"payload": texts.first()}}).to_string();
        for mut dialect in dialects() {
            let mut line = AgentLine::default();
            let _any = dialect.read(WireMessage::Binary(&bytes), &mut line);
            for text in texts.iter().chain([&json]) {
                let _any = dialect.read(WireMessage::Text(text), &mut line);
            }
        }
    }
}
