//! What a frame of audio costs on its way through a call: counted, for every carrier that is linked and every format that it has.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use allocation_counter::AllocationInfo;
use telephony_core::{
    CallId, CallRef, Direction, MediaEvent, ProviderContext, ProviderDescriptor, WireBuffer, WireMessage,
    audio::{AudioFormat, AudioFrame},
    media::{MediaAudio, StreamStart},
};
use telephony_gateway::{
    agent::{AgentCall, CallAgent, Echo},
    media::MediaSession,
};
use telephony_sandbox::registered;

/// Until so many frames have come, buffers may still grow.
const WARM: usize = 150;

/// Ten seconds.
const FRAMES: usize = WARM + 500;

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
    let length = format.bytes_in(std::time::Duration::from_millis(20));
    for n in 0..FRAMES {
        let bytes: Vec<u8> = (0..length).map(|at| if n % 2 == 0 { 0x7F } else { (at % 64) as u8 }).collect();
        all.push(written(MediaEvent::Audio(MediaAudio::new(AudioFrame::new(format, &bytes).unwrap()))));
    }
    all
}

/// A call with this agent.
fn taken_by_a_call(
    carrier: &'static ProviderDescriptor,
    format: AudioFormat,
    account: &serde_json::Value,
    agent: Box<dyn CallAgent>,
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
        let taken = taken_by_a_call(carrier, format, &account, Box::new(Echo));
        assert_eq!(taken.count_total, 0, "{} {format}: {taken:?}", carrier.name());
    }
}
