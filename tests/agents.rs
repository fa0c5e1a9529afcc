//! Agents in other programs: whole calls of every carrier, with an agent behind a WebSocket that speaks our protocol, or the
//! media protocol of any other carrier.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(clippy::print_stdout, reason = "a test that was skipped says so")]

use std::{
    f64::consts::TAU,
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use telephony_core::{
    MediaCodec, MediaCommand, MediaEvent, PhoneNumber, ProviderContext, TelephonyProvider, WireBuffer, WireMessage,
    audio::{AudioFormat, AudioFrame, Encoding, Pcm, PcmDecoder, PcmEncoder, rms_dbfs},
};
use telephony_gateway::{
    AgentChoice, CallOrder, CallOutcome, CallReport, Gateway, agent::WebSocketAgentConfig, place_call,
};
use telephony_registry::Registry;
use telephony_sandbox::{
    Behaviour, Handset, HandsetReport, Observation, Sandbox, SandboxOptions, SimulatorDescriptor, registered,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

type Socket = WebSocketStream<TcpStream>;

/// Louder than this is speech.
const SPEECH_DBFS: f32 = -45.0;

fn tone(rate: u32, length: Duration) -> Vec<i16> {
    let samples = (f64::from(rate) * length.as_secs_f64()).round() as u32;
    (0..samples).map(|n| (8_000.0 * (TAU * 440.0 * f64::from(n) / f64::from(rate)).sin()) as i16).collect()
}

/// For how long there was sound, in pieces of 20 ms.
fn loud_for(samples: &[i16], rate: u32) -> Duration {
    let loud = samples.chunks(rate as usize / 50).filter(|piece| rms_dbfs(piece) > SPEECH_DBFS).count();
    Duration::from_millis(20) * u32::try_from(loud).unwrap()
}

/// A handset that says something short, or presses `1 2 3 #`, once the agent has spoken.
fn handset(behaviour: Behaviour) -> Handset {
    let rate = 16_000;
    let speech =
        Pcm { sample_rate_hz: NonZeroU32::new(rate).unwrap(), samples: tone(rate, Duration::from_millis(500)) };
    Handset::with_behaviour(behaviour).saying(speech).with_patience(Duration::from_secs(4))
}

/// A call of this carrier to a handset, with this agent; and what the handset heard.
async fn call(
    simulator: &'static SimulatorDescriptor,
    handset: Handset,
    agent: WebSocketAgentConfig,
) -> (CallReport, HandsetReport) {
    let options = SandboxOptions::default()
        .with_ring(Duration::from_millis(60))
        .with_rating_delay(Duration::from_millis(200))
        .with_handset(handset);
    let sandbox = Sandbox::start(simulator, options).await.unwrap();
    let gateway = Gateway::start(([127, 0, 0, 1], 0).into(), None).await.unwrap();
    let provider = provider(&sandbox);
    let to: PhoneNumber = "+12025550199".parse().unwrap();
    let mut order = CallOrder::to(to).with_agent(AgentChoice::WebSocket(agent)).recorded();
    order.from = Some(sandbox.numbers()[0].clone().into());
    let report = place_call(&gateway, provider, order, &mut |_| {}, std::future::pending()).await.unwrap();
    let handset = sandbox.handset(&report.call_id).unwrap();
    sandbox.stop().await;
    (report, handset)
}

fn provider(sandbox: &Sandbox) -> Arc<dyn TelephonyProvider> {
    Registry::linked().unwrap().build(&sandbox.account(), ProviderContext::network().unwrap()).unwrap()
}

/// An agent for one call: where it listens, and what becomes of it.
async fn agent<F: Future<Output = T> + Send + 'static, T: Send + 'static>(
    talk: impl FnOnce(Socket) -> F + Send + 'static,
) -> (WebSocketAgentConfig, tokio::task::JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/agent", listener.local_addr().unwrap()).parse().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        talk(accept_async(stream).await.unwrap()).await
    });
    (WebSocketAgentConfig::new(url), task)
}

/// Runs these to their end, all at once: they are as long as calls are.
fn all_at_once<F: Future<Output = ()> + Send + 'static>(tests: impl IntoIterator<Item = F>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut running = JoinSet::new();
    for test in tests {
        running.spawn_on(test, runtime.handle());
    }
    assert!(running.len() >= 2, "the providers of this repository are linked");
    runtime.block_on(async {
        while let Some(done) = running.join_next().await {
            done.unwrap();
        }
    });
}

fn closed(report: &CallReport) -> &str {
    let closed = report.timeline.iter().find(|entry| entry.event == "stream closed");
    closed.map_or("", |entry| &entry.carried)
}

/// One call as an agent sees it that speaks our protocol.
struct Line {
    socket: Socket,
    rate: u32,
}

/// Checks a message of the call against the schema that is published.
fn is_as_published(definition: &str, message: &Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/agent-protocol.schema.json");
    let mut schema: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    schema["anyOf"] = json!([{"$ref": format!("#/$defs/{definition}")}]);
    let validator = jsonschema::validator_for(&schema).unwrap();
    let complaints: Vec<String> = validator.iter_errors(message).map(|error| error.to_string()).collect();
    assert!(complaints.is_empty(), "{message}: {complaints:?}");
}

impl Line {
    async fn tell(&mut self, event: Value) {
        is_as_published("AgentCommand", &event);
        self.socket.send(Message::text(event.to_string())).await.unwrap();
    }

    async fn say(&mut self, length: Duration) {
        let bytes: Vec<u8> = tone(self.rate, length).into_iter().flat_map(i16::to_le_bytes).collect();
        self.socket.send(Message::binary(bytes)).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        self.socket.next().await.unwrap().unwrap()
    }

    /// The next event; the caller's voice in between is not listened to.
    async fn event(&mut self) -> Value {
        loop {
            match self.next().await {
                Message::Text(text) => {
                    let event = serde_json::from_str(&text).unwrap();
                    is_as_published("GatewayEvent", &event);
                    return event;
                }
                Message::Close(_) => panic!("closed"),
                _ => {}
            }
        }
    }

    /// So many messages with the caller's voice, loud or not.
    async fn hear(&mut self, mut frames: usize, only_loud: bool) {
        while frames > 0 {
            if let Message::Binary(bytes) = self.next().await {
                assert_eq!(bytes.len(), self.rate as usize / 50 * 2, "20 ms each");
                let samples: Vec<i16> =
                    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
                frames -= usize::from(!only_loud || rms_dbfs(&samples) > SPEECH_DBFS);
            }
        }
    }
}

#[test]
fn a_call_of_every_carrier_with_an_agent_that_speaks_pcm() {
    let rates = [8_000, 16_000, 24_000, 48_000].into_iter().cycle();
    all_at_once(registered().into_iter().zip(rates).map(|(simulator, rate)| async move {
        let name = simulator.provider().name().as_str();
        let (config, agent) = agent(move |socket| async move {
            let mut line = Line { socket, rate };
            let start = line.event().await;
            assert_eq!(
                [&start["event"], &start["version"], &start["sample_rate_hz"], &start["provider"], &start["to"]],
                [&json!("start"), &json!(1), &json!(rate), &json!(name), &json!("+12025550199")]
            );
            assert!(start["run_id"].is_string() && start["call_id"].is_string(), "{start}");

            line.say(Duration::from_secs(1)).await;
            line.tell(json!({"event": "mark", "name": "greeting"})).await;
            assert_eq!(line.event().await, json!({"event": "mark", "name": "greeting", "heard": true}));
            line.hear(15, true).await;

            // Interrupted once half a second of ten was heard.
            line.say(Duration::from_millis(500)).await;
            line.tell(json!({"event": "mark", "name": "half"})).await;
            line.say(Duration::from_millis(9_500)).await;
            line.tell(json!({"event": "mark", "name": "long"})).await;
            assert_eq!(line.event().await, json!({"event": "mark", "name": "half", "heard": true}));
            line.tell(json!({"event": "clear"})).await;
            assert_eq!(line.event().await, json!({"event": "mark", "name": "long", "heard": false}));
            let cleared = line.event().await;
            let unheard = cleared["unheard_ms"].as_u64().unwrap();
            assert!(cleared["event"] == "cleared" && (5_000..=9_500).contains(&unheard), "{cleared}");

            line.say(Duration::from_millis(500)).await;
            line.tell(json!({"event": "hang_up", "within_ms": 5000})).await;
            (line.event().await, Duration::from_millis(unheard))
        })
        .await;
        let (report, heard) = call(simulator, handset(Behaviour::Talks), config.with_sample_rate(rate)).await;
        let (last, unheard) = agent.await.unwrap();
        assert_eq!(last, json!({"event": "stop", "reason": "agent_hung_up"}), "{name}");
        assert_eq!((report.outcome, closed(&report)), (CallOutcome::Completed, "by the agent"), "{name}");
        let media = report.media.unwrap();
        assert_eq!((media.malformed, media.clears, media.agent_rate_hz), (0, 1, rate), "{name}");
        let reached = media.agent.unwrap();
        assert_eq!((reached.dropped, reached.refused), (Duration::ZERO, 0), "{name}: {reached:?}");
        assert!(reached.connected_after.unwrap() < Duration::from_secs(2), "{name}: {reached:?}");
        assert_eq!(report.recording.unwrap().sample_rate_hz().get(), rate);
        // A second, a part of ten, and half a second: what was cleared was not heard.
        let loud = loud_for(&heard.heard, heard.sample_rate_hz);
        let expected = Duration::from_millis(11_500) - unheard;
        assert!(loud.abs_diff(expected) < Duration::from_millis(300), "{name}: {loud:?}, and {expected:?} expected");
    }));
}

#[test]
fn an_agent_has_the_call_transferred() {
    all_at_once(registered().into_iter().map(|simulator| async move {
        let name = simulator.provider().name();
        let (config, agent) = agent(|socket| async move {
            let mut line = Line { socket, rate: 16_000 };
            assert_eq!(line.event().await["event"], "start");
            line.say(Duration::from_millis(200)).await;
            line.tell(json!({"event": "mark", "name": "said"})).await;
            line.event().await;
            line.tell(json!({"event": "transfer", "to": "+12025550198", "id": "t"})).await;
            line.event().await
        })
        .await;
        let options = SandboxOptions::default().with_handset(handset(Behaviour::Talks));
        let sandbox = Sandbox::start(simulator, options.with_ring(Duration::from_millis(60))).await.unwrap();
        let gateway = Gateway::start(([127, 0, 0, 1], 0).into(), None).await.unwrap();
        let to: PhoneNumber = "+12025550199".parse().unwrap();
        let order = CallOrder::to(to).with_agent(AgentChoice::WebSocket(config));
        let stop = async {
            let answered = |seen: &Observation| matches!(seen, Observation::StreamClosed { .. });
            sandbox.wait_for(answered).await;
        };
        let report = place_call(&gateway, provider(&sandbox), order, &mut |_| {}, stop).await.unwrap();
        // The carrier may close the stream before the agent can be told that it is done.
        let told = agent.await.unwrap();
        assert!(told["event"] == "done" || told["reason"] == "call_ended", "{name}: {told}");
        assert_eq!((report.outcome, closed(&report)), (CallOutcome::Completed, "by the carrier"), "{name}");
        sandbox.stop().await;
    }));
}

/// An agent as it is written for one carrier's media streams: it knows that carrier's protocol, and no gateway.
struct Foreign {
    socket: Socket,
    codec: Box<dyn MediaCodec>,
    out: WireBuffer,
    format: Option<AudioFormat>,
    decoder: Option<PcmDecoder>,
}

/// What it was told.
#[derive(Debug, PartialEq)]
enum Told {
    Started,
    Loud,
    Digit(char),
    Mark(String),
    Other,
}

impl Foreign {
    async fn next(&mut self) -> Told {
        let message = self.socket.next().await.unwrap().unwrap();
        let event = match &message {
            Message::Text(text) => self.codec.decode(WireMessage::Text(text)),
            Message::Binary(bytes) => self.codec.decode(WireMessage::Binary(bytes)),
            Message::Close(_) => panic!("closed"),
            _ => return Told::Other,
        };
        match event.unwrap() {
            MediaEvent::Started(start) => {
                self.format = Some(start.outbound);
                self.decoder = Some(PcmDecoder::new(start.inbound, start.inbound.sample_rate_hz).unwrap());
                Told::Started
            }
            MediaEvent::Audio(audio) => {
                let mut samples = Vec::new();
                self.decoder.as_mut().unwrap().decode(audio.frame, &mut samples).unwrap();
                if rms_dbfs(&samples) > SPEECH_DBFS { Told::Loud } else { Told::Other }
            }
            MediaEvent::Digit { digit, .. } => Told::Digit(digit),
            MediaEvent::MarkReached { name } => Told::Mark(name.to_owned()),
            _ => Told::Other,
        }
    }

    async fn until(&mut self, wanted: &Told) {
        while self.next().await != *wanted {}
    }

    fn say(&mut self, length: Duration) {
        let format = self.format.unwrap();
        let mut bytes = Vec::new();
        let mut encoder = PcmEncoder::new(format.sample_rate_hz, format).unwrap();
        encoder.encode(&tone(format.sample_rate_hz.get(), length), &mut bytes);
        self.tell(MediaCommand::Audio(AudioFrame::new(format, &bytes).unwrap()));
    }

    fn tell(&mut self, command: MediaCommand<'_>) {
        self.codec.encode(command, &mut self.out).unwrap();
    }

    async fn send(&mut self) {
        for message in self.out.iter() {
            let message = match message {
                WireMessage::Text(text) => Message::text(text),
                WireMessage::Binary(bytes) => Message::binary(bytes.to_vec()),
            };
            self.socket.send(message).await.unwrap();
        }
        self.out.clear();
    }

    /// Greets, listens until something short was said or `#` pressed, is interrupted, says goodbye, and leaves. The keys.
    async fn talk(mut self) -> String {
        self.until(&Told::Started).await;
        self.say(Duration::from_millis(600));
        self.tell(MediaCommand::Mark { name: "greeting" });
        self.send().await;
        self.until(&Told::Mark("greeting".to_owned())).await;

        let (mut keys, mut loud) = (String::new(), 0);
        while loud < 10 && !keys.ends_with('#') {
            match self.next().await {
                Told::Loud => loud += 1,
                Told::Digit(digit) => keys.push(digit),
                _ => {}
            }
        }

        self.say(Duration::from_secs(5));
        self.tell(MediaCommand::Mark { name: "long" });
        self.send().await;
        for _ in 0..10 {
            self.next().await;
        }
        self.tell(MediaCommand::Clear);
        self.say(Duration::from_millis(400));
        self.tell(MediaCommand::Mark { name: "goodbye" });
        self.send().await;
        self.until(&Told::Mark("goodbye".to_owned())).await;
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.socket.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
        keys
    }
}

#[test]
fn an_agent_that_was_written_for_one_carrier_serves_the_calls_of_all() {
    let pairs = registered().into_iter().enumerate().flat_map(|(row, carrier)| {
        registered().into_iter().enumerate().map(move |(column, spoken)| (row + column, carrier, spoken))
    });
    all_at_once(pairs.map(|(place, carrier, spoken)| async move {
        // Half of them hear a caller who speaks, half one who presses keys.
        let behaviour = if place % 2 == 0 { Behaviour::Talks } else { Behaviour::PressesDigits };
        let protocol = spoken.provider().name().as_str();
        let pair = format!("a call of {}, an agent for {protocol}", carrier.provider().name());
        let theirs = Sandbox::start(spoken, SandboxOptions::default()).await.unwrap();
        let codec = provider(&theirs).media_codec();
        let (config, agent) =
            agent(move |socket| Foreign { socket, codec, out: WireBuffer::new(), format: None, decoder: None }.talk())
                .await;
        let (report, heard) = call(carrier, handset(behaviour), config.with_protocol(protocol)).await;
        let keys = agent.await.unwrap();
        assert_eq!(keys, if behaviour == Behaviour::Talks { "" } else { "123#" }, "{pair}");
        assert_eq!((report.outcome, closed(&report)), (CallOutcome::Completed, "by the agent"), "{pair}");
        let media = report.media.unwrap();
        let format = spoken.provider().media().formats[0];
        assert_eq!((media.clears, media.agent_rate_hz), (1, format.sample_rate_hz.get()), "{pair}");
        assert_eq!(media.agent.unwrap().refused, 0, "{pair}");
        let loud = loud_for(&heard.heard, heard.sample_rate_hz);
        assert!((Duration::from_millis(900)..Duration::from_millis(2_500)).contains(&loud), "{pair}: {loud:?}");
        theirs.stop().await;
    }));
}

#[test]
fn an_agent_that_is_lost_is_heard_to_its_last_word_and_the_reason_is_told() {
    all_at_once(registered().into_iter().map(|simulator| async move {
        let name = simulator.provider().name();
        let (config, agent) = agent(|socket| async move {
            let mut line = Line { socket, rate: 16_000 };
            line.event().await;
            line.say(Duration::from_secs(1)).await;
            // A command that is none is refused at once: what was said before it has been taken up. Then the program crashes.
            line.socket.send(Message::text(r#"{"event":"none"}"#)).await.unwrap();
            assert_eq!(line.event().await["event"], "error");
        })
        .await;
        let (report, heard) = call(simulator, handset(Behaviour::Talks), config).await;
        agent.await.unwrap();
        assert_eq!(report.outcome, CallOutcome::Completed, "{name}");
        assert!(closed(&report).starts_with("without its agent: the connection to the agent broke"), "{name}");
        let loud = loud_for(&heard.heard, heard.sample_rate_hz);
        assert!(loud >= Duration::from_millis(940), "{name}: {loud:?}");

        // And one that is not there at all.
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let config = WebSocketAgentConfig::new(format!("ws://{nobody}/?token=s3cret").parse().unwrap());
        let (report, _) = call(simulator, handset(Behaviour::Talks), config).await;
        assert_eq!(report.outcome, CallOutcome::Completed, "{name}");
        let closed = closed(&report);
        assert!(closed.contains("cannot be reached") && !closed.contains("s3cret"), "{name}: {closed}");
        assert_eq!(report.media.unwrap().agent.unwrap().connected_after, None, "{name}");
    }));
}

/// Whether the Python example can run. In CI it must.
/// A Python that has the package: the one that `cargo xtask test tools` makes, or the machine's own.
fn python_with_websockets() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let found = [root.join("target/python/bin/python3"), "python3".into()].into_iter().find(|python| {
        let import = std::process::Command::new(python)
            .args(["-c", "import websockets.asyncio.server"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        import.is_ok_and(|status| status.success())
    });
    assert!(
        found.is_some() || std::env::var_os("CI").is_none(),
        "in CI the Python example must run: python3 with the package websockets is missing"
    );
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_example_says_back_what_it_hears_and_hangs_up() {
    let Some(python) = python_with_websockets() else {
        println!("SKIPPED: the Python example was not run, as python3 with the package websockets is missing");
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut program = tokio::process::Command::new(python)
        .arg(root.join("examples/python/echo_agent.py"))
        .args(["--port", "0"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let url = line.strip_prefix("listening on ").expect(&line).parse().unwrap();
    let config = WebSocketAgentConfig::new(url);
    let simulator = registered()[0];

    let (report, heard) = call(simulator, handset(Behaviour::Talks), config.clone()).await;
    assert_eq!((report.outcome, closed(&report)), (CallOutcome::Completed, "by the carrier"));
    let loud = loud_for(&heard.heard, heard.sample_rate_hz);
    assert!(
        (Duration::from_millis(400)..Duration::from_millis(700)).contains(&loud),
        "half a second comes back: {loud:?}"
    );
    let first = |samples: &[i16]| {
        samples.chunks(heard.sample_rate_hz as usize / 50).position(|piece| rms_dbfs(piece) > SPEECH_DBFS).unwrap()
    };
    let later = Duration::from_millis(20) * u32::try_from(first(&heard.heard) - first(&heard.spoken)).unwrap();
    assert!((Duration::from_millis(950)..Duration::from_millis(1_300)).contains(&later), "a second later: {later:?}");

    let (report, _) = call(simulator, handset(Behaviour::PressesDigits), config).await;
    assert_eq!((report.outcome, closed(&report)), (CallOutcome::Completed, "by the agent"));
    let mut said = Vec::new();
    while said.len() < 4 {
        said.push(lines.next_line().await.unwrap().unwrap());
    }
    assert_eq!([said[1].as_str(), said[3].as_str()], ["over: call_ended", "over: agent_hung_up"]);
}

#[test]
fn rates_are_those_that_the_core_converts() {
    // Named here, so that the document and the code cannot part.
    let document =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/agent-protocol.md")).unwrap();
    assert!(document.contains("8000, 16000, 24000 or 48000; the default is 16000"));
    for rate in telephony_gateway::agent::AGENT_RATES_HZ {
        assert!(document.contains(&rate.to_string()));
        let format = AudioFormat::new(Encoding::Linear16, rate);
        assert!(PcmDecoder::new(AudioFormat::MULAW_8K, rate).is_ok() && PcmEncoder::new(rate, format).is_ok());
    }
}
