//! What a frame of audio costs on its way through a call: counted, for every carrier that is linked and every format that it has.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    net::{SocketAddr, TcpListener},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use allocation_counter::AllocationInfo;
use telephony_core::{
    CallId, CallRef, Direction, MediaCodec, MediaCommand, MediaEvent, ProviderContext, ProviderDescriptor, WireBuffer,
    WireMessage,
    audio::{AudioFormat, AudioFrame},
    media::{MediaAudio, StreamStart},
};
use telephony_gateway::{
    agent::{AGENT_RATES_HZ, AgentCall, CallAgent, Echo, WebSocketAgent, WebSocketAgentConfig},
    media::MediaSession,
};
use telephony_sandbox::registered;
use tokio_tungstenite::tungstenite::{Message, accept};

/// Until so many frames have come, buffers may still grow.
const WARM: usize = 150;

/// Ten seconds.
const FRAMES: usize = WARM + 500;

/// How many frames come at once at first: less than a socket holds.
const BURST: usize = 40;

/// What a carrier sends for a call in this format: the start, then silence and a tone by turns.
fn messages(carrier: &ProviderDescriptor, format: AudioFormat) -> Vec<WireBuffer> {
    let mut codec = carrier.carrier_media_codec();
    let mut written = |event: MediaEvent<'_>| {
        let mut wire = WireBuffer::new();
        codec.encode(event, &mut wire).unwrap();
        wire
    };
    let call = CallRef::new(CallId::new("call-1").unwrap());
    let mut all = vec![written(MediaEvent::Started(StreamStart::new(call, format).with_stream_id("stream-1")))];
    let length = format.bytes_in(Duration::from_millis(20));
    for n in 0..FRAMES {
        let bytes: Vec<u8> = (0..length).map(|at| if n % 2 == 0 { 0x7F } else { (at % 64) as u8 }).collect();
        all.push(written(MediaEvent::Audio(MediaAudio::new(AudioFrame::new(format, &bytes).unwrap()))));
    }
    all
}

/// A call with this agent. `pause` is called after every frame, outside of what is counted.
fn taken_by_a_call(
    carrier: &'static ProviderDescriptor,
    format: AudioFormat,
    account: &serde_json::Value,
    agent: Box<dyn CallAgent>,
    mut pause: impl FnMut(usize),
) -> AllocationInfo {
    let provider = carrier.build(account, ProviderContext::network().unwrap()).unwrap();
    let call = AgentCall::new(carrier.name(), Direction::Outbound);
    let mut session = MediaSession::new(provider.media_codec(), agent, *carrier.media(), call, false);
    let mut taken = AllocationInfo::default();
    let mut said = 0;
    for (n, wire) in messages(carrier, format).iter().enumerate() {
        let of_this_frame = allocation_counter::measure(|| {
            for message in wire.iter() {
                session.receive(message).unwrap();
            }
            said += session.output().iter().map(|message| length(&message)).sum::<usize>();
            session.sent();
            drop(session.take_requests());
        });
        let _notes = session.take_notes().count();
        if n > WARM {
            taken += of_this_frame;
        }
        pause(n);
    }
    assert!(said > FRAMES * 100, "the agent was heard: {said} bytes");
    let (report, _) = session.finish(&telephony_gateway::media::SessionEnd::Carrier);
    assert_eq!((report.frames_in, report.malformed), (FRAMES as u64, 0));
    taken
}

fn length(message: &WireMessage<'_>) -> usize {
    match message {
        WireMessage::Text(text) => text.len(),
        WireMessage::Binary(bytes) => bytes.len(),
    }
}

/// Every carrier in each of its formats, with an account that is good for nothing but to be built.
fn carriers() -> Vec<(&'static ProviderDescriptor, AudioFormat, serde_json::Value)> {
    let mut all = Vec::new();
    for simulator in registered() {
        let mut account = simulator.build().account(&"http://127.0.0.1:9/".parse().unwrap());
        account.as_object_mut().unwrap().remove("provider");
        for format in simulator.provider().media().formats {
            all.push((simulator.provider(), *format, account.clone()));
        }
    }
    assert!(all.len() >= 2, "the providers of this repository are linked");
    all
}

#[test]
fn a_frame_of_no_carrier_takes_memory() {
    for (carrier, format, account) in carriers() {
        let taken = taken_by_a_call(carrier, format, &account, Box::new(Echo), |_| {});
        assert_eq!(taken.count_total, 0, "a frame takes memory, {} {format}: {taken:?}", carrier.name());
    }
}

/// An agent that says back what it hears, in this protocol; how many messages with audio it has answered.
fn echoes(mut codec: Option<Box<dyn MediaCodec>>, answered: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut socket = accept(listener.accept().unwrap().0).unwrap();
        while let Ok(message) = socket.read() {
            let answers = match &mut codec {
                None => Vec::from_iter(matches!(message, Message::Binary(_)).then_some(message)),
                Some(codec) => echo(codec.as_mut(), &message),
            };
            for answer in answers {
                if socket.send(answer).is_err() {
                    return; // The call is over.
                }
                answered.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    address
}

/// What an agent that was written for a carrier says back to a message.
fn echo(codec: &mut dyn MediaCodec, message: &Message) -> Vec<Message> {
    let event = match message {
        Message::Text(text) => codec.decode(WireMessage::Text(text)),
        Message::Binary(bytes) => codec.decode(WireMessage::Binary(bytes)),
        _ => return Vec::new(),
    };
    let Ok(MediaEvent::Audio(audio)) = event else { return Vec::new() };
    let (format, bytes) = (audio.frame.format(), audio.frame.bytes().to_vec());
    let mut out = WireBuffer::new();
    codec.encode(MediaCommand::Audio(AudioFrame::new(format, &bytes).unwrap()), &mut out).unwrap();
    let answers = out.iter().map(|message| match message {
        WireMessage::Text(text) => Message::text(text),
        WireMessage::Binary(bytes) => Message::binary(bytes.to_vec()),
    });
    answers.collect()
}

/// How much a call takes whose agent is elsewhere, and speaks our protocol or the carrier's own.
fn taken_with_an_agent_elsewhere(
    carrier: &'static ProviderDescriptor,
    format: AudioFormat,
    account: &serde_json::Value,
    ours: bool,
    rate: NonZeroU32,
) -> AllocationInfo {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _within = runtime.enter();
    let answered = Arc::new(AtomicUsize::new(0));
    let provider = carrier.build(account, ProviderContext::network().unwrap()).unwrap();
    let codec = (!ours).then(|| provider.media_codec());
    let url = format!("ws://{}", echoes(codec, answered.clone())).parse().unwrap();
    let protocol = if ours { "pcm" } else { carrier.name().as_str() };
    let config = WebSocketAgentConfig::new(url).with_protocol(protocol).with_sample_rate(rate.get());
    let agent = Box::new(WebSocketAgent::new(&config).unwrap());
    let began = Instant::now();
    taken_by_a_call(carrier, format, account, agent, |n| {
        // The connection is made by the one task that there is; nothing of the call waits for it here.
        while runtime.metrics().num_alive_tasks() > 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "the connection is never made");
            runtime.block_on(tokio::task::yield_now());
        }
        // First many at once, so that buffers have room for answers that come late. Then no more wait than half as many.
        while n > BURST && answered.load(Ordering::SeqCst) + BURST / 2 < n {
            assert!(began.elapsed() < Duration::from_secs(60), "nothing is answered");
            runtime.block_on(tokio::task::yield_now());
            thread::yield_now();
        }
        // What has come is found once the runtime has looked.
        runtime.block_on(tokio::task::yield_now());
    })
}

#[test]
fn a_frame_takes_no_memory_on_its_way_to_an_agent_elsewhere() {
    for ((carrier, format, account), rate) in carriers().into_iter().zip(AGENT_RATES_HZ.into_iter().cycle()) {
        for (ours, rate) in [(true, rate), (false, format.sample_rate_hz)] {
            let taken = taken_with_an_agent_elsewhere(carrier, format, &account, ours, rate);
            // Of answers that come together, the WebSocket library holds some dozens in one piece of memory, and takes the next.
            let what = format!("a frame takes memory, {} {format}, ours: {ours} {rate}: {taken:?}", carrier.name());
            assert!(taken.count_total * 10 < (FRAMES - WARM) as u64, "{what}");
        }
    }
}
