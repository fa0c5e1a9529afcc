//! What carriers answer to requests: any status and any body become a value or an error, and no call is asked for twice. The first
//! two bytes say which provider and which operation; each line after that is an answer, a byte for the status and a body.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use telephony_core::{
    Bytes, CallId, CallInstruction, CallRef, CallUrls, InboundBinding, InboundUrls, OutboundCall, PhoneNumber,
    RecordingRef, RecordingRequest, Say, TransferRequest,
};
use telephony_fuzz::carrier;
use tokio::runtime::{Builder, Runtime};

/// Time passes as soon as somebody waits for it.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime"));

const STATUSES: &[u16] = &[200, 201, 202, 204, 301, 400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503];

/// The one answer after which a call may be asked for again: nothing happened.
const TOO_MANY_REQUESTS: u16 = 429;

fn number(text: &str) -> PhoneNumber {
    text.parse().expect("a number")
}

fuzz_target!(|data: &[u8]| {
    let [which, operation, rest @ ..] = data else { return };
    let carrier = carrier(*which);
    let mut statuses = Vec::new();
    let answers = rest.split(|byte| *byte == b'\n').map(|piece| {
        let (status, body) = piece
            .split_first()
            .map_or((200, piece), |(status, body)| (STATUSES[usize::from(*status) % STATUSES.len()], body));
        statuses.push(status);
        let response = http::Response::builder().status(status).header("content-type", "application/json");
        response.body(Bytes::copy_from_slice(body)).expect("a response")
    });
    let answers: Vec<_> = answers.collect();
    carrier.network.tell(answers);
    let provider = &carrier.provider;
    let call = CallRef::new(CallId::new("CA00000000000000000000000000000001").expect("an id"));
    let url = |text: &str| text.parse().expect("a URL");
    RUNTIME.block_on(async {
        // What each makes of the answers is its own; that it makes something of them is what is tried.
        match operation % 11 {
            0 => {
                let urls = CallUrls {
                    answer: url("https://voice.example.com/answer/1"),
                    events: url("https://voice.example.com/events/1"),
                    media: url("wss://voice.example.com/media/1"),
                };
                let order = OutboundCall::new(number("+14155550111"), number("+14155550100"), urls);
                let _ = provider.initiate_call(&order).await;
                let refused = statuses.iter().take_while(|status| **status == TOO_MANY_REQUESTS).count();
                assert!(carrier.network.posts() <= refused + 1, "{}: it dials twice", carrier.descriptor.name());
            }
            1 => drop(provider.get_call_status(&call).await),
            2 => drop(provider.get_call_cost(&call).await),
            3 => drop(provider.get_available_phone_numbers().await),
            4 => drop(provider.check_account().await),
            5 => drop(provider.hang_up(&call).await),
            6 => drop(provider.instruct(&call, &CallInstruction::Say(Say::text("Hello."))).await),
            7 => drop(provider.transfer_call(&TransferRequest::new(call, number("+14155550111"))).await),
            8 => drop(provider.start_recording(&call, &RecordingRequest::default()).await),
            9 => drop(provider.stop_recording(&RecordingRef { call, id: Some("r-1".to_owned()) }).await),
            _ => {
                let urls = InboundUrls {
                    answer: url("https://voice.example.com/answer"),
                    events: url("https://voice.example.com/events"),
                };
                let binding = match operation & 128 {
                    0 => InboundBinding::to(number("+14155550100"), urls),
                    _ => InboundBinding::clear(number("+14155550100")),
                };
                drop(provider.configure_inbound(&binding).await);
            }
        }
    });
});
