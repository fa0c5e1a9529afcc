//! What goes over the wire to Telnyx's REST API, byte for byte where it matters.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{sync::Arc, time::Duration};

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use telephony_core::{
    CallCost, CallId, CallInstruction, CallRef, CallState, CallUrls, HangUp, InboundBinding, InboundUrls,
    MachineDetection, OutboundCall, PhoneNumber, ProviderContext, RecordingRequest, Stream, TelephonyError,
    TelephonyProvider,
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_json, header, method, path, query_param, query_param_is_missing},
};

const APPLICATION: &str = "1293384261075731499";

async fn provider(server: &MockServer) -> Arc<dyn TelephonyProvider> {
    let account = json!({
        "api_key": "KEY0123", "public_key": "i3MaY92eQHWApUuOlAtvaNByhNNZQaLQPILMbfCmwYQ=", "connection_id": APPLICATION,
        "api_base_url": server.uri(),
    });
    telephony_telnyx::DESCRIPTOR.build(&account, ProviderContext::network().unwrap()).unwrap()
}

fn number(text: &str) -> PhoneNumber {
    text.parse().unwrap()
}

fn order() -> OutboundCall {
    let urls = CallUrls {
        answer: "https://voice.example.com/a".parse().unwrap(),
        events: "https://voice.example.com/e?run=1".parse().unwrap(),
        media: "wss://voice.example.com/m".parse().unwrap(),
    };
    OutboundCall::new(number("+14155550111"), number("+14155550100"), urls)
}

fn call() -> CallRef {
    CallRef::new(CallId::new("v3:abc-def").unwrap())
}

fn answer(data: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"data": data}))
}

fn refusal(status: u16, code: &str) -> ResponseTemplate {
    let error = json!({"code": code, "title": "No", "detail": "No."});
    ResponseTemplate::new(status).set_body_json(json!({"errors": [error]}))
}

/// The bodies of all requests, by the last part of their paths.
async fn sent(server: &MockServer) -> Vec<(String, Value)> {
    let requests = server.received_requests().await.unwrap();
    let last = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let body = |bytes: &[u8]| if bytes.is_empty() { Value::Null } else { serde_json::from_slice(bytes).unwrap() };
    requests.iter().map(|request| (last(request.url.path()), body(&request.body))).collect()
}

#[tokio::test]
async fn a_call_with_every_option() {
    let server = MockServer::start().await;
    let created = json!({
        "record_type": "call", "call_control_id": "v3:abc-def", "call_leg_id": "leg", "call_session_id": "session",
        "is_alive": false,
    });
    Mock::given(method("POST"))
        .and(path("/v2/calls"))
        .and(header("authorization", "Bearer KEY0123"))
        .respond_with(answer(created))
        .expect(1)
        .mount(&server)
        .await;
    let order = order()
        .with_ring_timeout(Duration::from_millis(24_500))
        .with_time_limit(Duration::from_secs(600))
        .with_machine_detection(MachineDetection::DetectBeep)
        .with_digits_on_answer("1w2".parse().unwrap())
        .with_recording(RecordingRequest::dual_channel())
        .with_caller_name("Acme");
    let placed = provider(&server).await.initiate_call(&order).await.unwrap();
    assert_eq!(placed.call.id().unwrap().as_str(), "v3:abc-def");
    assert_eq!(placed.call.handle("call_session_id"), Some("session"));
    let body = json!({
        "connection_id": APPLICATION, "to": "+14155550111", "from": "+14155550100",
        "webhook_url": "https://voice.example.com/e?run=1", "webhook_url_method": "POST", "timeout_secs": 25,
        "time_limit_secs": 600, "answering_machine_detection": "greeting_end", "send_digits_on_answer": "1w2",
        "record": "record-from-answer", "record_channels": "dual", "record_format": "wav",
        "from_display_name": "Acme",
    });
    assert_eq!(sent(&server).await, [("calls".to_owned(), body)]);
}

#[tokio::test]
async fn what_telnyx_would_refuse_is_refused_before_it_is_sent() {
    let server = MockServer::start().await;
    let provider = provider(&server).await;
    let elsewhere = RecordingRequest::dual_channel().with_events("https://other.example.com/".parse().unwrap());
    for (order, field) in [
        (order().with_ring_timeout(Duration::from_secs(4)), "ring_timeout"),
        (order().with_time_limit(Duration::from_secs(29)), "time_limit"),
        (order().with_machine_detection(MachineDetection::HangUp), "machine_detection"),
        (order().with_caller_name("<Acme>"), "caller_name"),
        (order().with_recording(elsewhere), "record.events"),
    ] {
        let refused = provider.initiate_call(&order).await.unwrap_err();
        assert!(
            matches!(&refused, TelephonyError::InvalidRequest { problem, .. } if problem.field == field),
            "{refused}"
        );
    }
    assert_eq!(sent(&server).await, []);
}

#[tokio::test]
async fn a_call_is_up_or_over_and_says_no_more() {
    let server = MockServer::start().await;
    let live = json!({"call_control_id": "v3:abc-def", "is_alive": false, "start_time": "2026-07-14T09:15:02Z"});
    let over = json!({
        "call_control_id": "v3:abc-def", "is_alive": false, "start_time": "2026-07-14T09:15:02Z",
        "end_time": "2026-07-14T09:15:39Z", "call_duration": 37,
    });
    let get = || Mock::given(method("GET")).and(path("/v2/calls/v3:abc-def"));
    get().respond_with(answer(live)).up_to_n_times(1).mount(&server).await;
    get().respond_with(answer(over)).mount(&server).await;
    let provider = provider(&server).await;
    assert_eq!(provider.get_call_status(&call()).await.unwrap().state, CallState::Alive);
    let snapshot = provider.get_call_status(&call()).await.unwrap();
    assert_eq!((snapshot.state, snapshot.duration), (CallState::Over, Some(Duration::from_secs(37))));
    assert_eq!(provider.get_call_cost(&call()).await.unwrap(), CallCost::Pending);
}

#[tokio::test]
async fn what_answers_a_webhook_is_a_command_named_after_it() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer(json!({"result": "ok"}))).mount(&server).await;
    let provider = provider(&server).await;
    let stream = CallInstruction::Stream(Stream::to("wss://voice.example.com/m".parse().unwrap()));
    let parked = call().with_handle("event", "e-1").with_handle("state", "parked");
    let response = provider.get_webhook_response(&parked, &stream).await.unwrap();
    assert_eq!((response.status.as_u16(), response.content_type), (204, None));
    let answered = call().with_handle("event", "e-2").with_handle("state", "answered");
    provider.get_webhook_response(&answered, &stream).await.unwrap();
    let sent = sent(&server).await;
    assert_eq!(sent[0].0, "answer");
    assert_eq!(sent[0].1["command_id"], "e-1-answer");
    assert!(sent[0].1["client_state"].is_string());
    assert_eq!(sent[1].0, "streaming_start");
    assert_eq!(sent[1].1["command_id"], "e-2-streaming_start");
}

#[tokio::test]
async fn a_call_that_is_over_wants_nothing() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(refusal(422, "90018")).mount(&server).await;
    let provider = provider(&server).await;
    assert_eq!(provider.hang_up(&call()).await.unwrap(), HangUp::AlreadyEnded);
    let late = provider.get_webhook_response(&call(), &CallInstruction::HangUp).await.unwrap();
    assert_eq!(late.status.as_u16(), 204);
    let digits = provider.send_digits(&call(), &"1".parse().unwrap()).await;
    assert!(matches!(digits, Err(TelephonyError::NotFound { .. })), "{digits:?}");
}

#[tokio::test]
async fn something_else_begins_once_the_stream_has_stopped() {
    let server = MockServer::start().await;
    // Not every call has a stream.
    let none = Mock::given(method("POST")).and(path("/v2/calls/v3:abc-def/actions/streaming_stop"));
    none.respond_with(refusal(422, "90046")).mount(&server).await;
    Mock::given(method("POST")).respond_with(answer(json!({"result": "ok"}))).mount(&server).await;
    provider(&server).await.instruct(&call(), &CallInstruction::HangUp).await.unwrap();
    let names: Vec<String> = sent(&server).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["streaming_stop", "hangup"]);
}

#[tokio::test]
async fn numbers_to_the_last_page() {
    let server = MockServer::start().await;
    let page = |n: u32| {
        let data = json!([{"id": n.to_string(), "phone_number": format!("+1415555010{n}"), "connection_id": ""}]);
        ResponseTemplate::new(200).set_body_json(json!({"data": data, "meta": {"page_number": n, "total_pages": 2}}))
    };
    for n in [1, 2] {
        Mock::given(method("GET"))
            .and(path("/v2/phone_numbers"))
            .and(query_param("page[number]", n.to_string()))
            .and(query_param_is_missing("filter[phone_number]"))
            .respond_with(page(n))
            .expect(1)
            .mount(&server)
            .await;
    }
    let numbers = provider(&server).await.get_available_phone_numbers().await.unwrap();
    let numbers: Vec<&str> = numbers.iter().map(|owned| owned.number.as_e164()).collect();
    assert_eq!(numbers, ["+14155550101", "+14155550102"]);
}

#[tokio::test]
async fn a_number_is_pointed_at_us_through_the_application() {
    let server = MockServer::start().await;
    let numbers = json!([
        {"id": "1", "phone_number": "+14155550101", "connection_id": "9", "connection_name": "Old"},
        {"id": "2", "phone_number": "+14155550102", "connection_id": APPLICATION, "connection_name": "Ours"},
    ]);
    Mock::given(method("GET"))
        .and(path("/v2/phone_numbers"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"data": numbers, "meta": {"total_pages": 1}})))
        .mount(&server)
        .await;
    let application = format!("/v2/call_control_applications/{APPLICATION}");
    Mock::given(method("GET"))
        .and(path(&*application))
        .respond_with(answer(json!({"id": APPLICATION, "application_name": "Ours"})))
        .mount(&server)
        .await;
    let body = json!({
        "application_name": "Ours", "webhook_event_url": "https://voice.example.com/a", "webhook_api_version": "2",
        "call_cost_in_webhooks": true,
    });
    Mock::given(method("PATCH"))
        .and(path(&*application))
        .and(body_json(body))
        .respond_with(answer(json!({})))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("PATCH"))
        .and(path("/v2/phone_numbers/1"))
        .and(body_json(json!({"connection_id": APPLICATION})))
        .respond_with(answer(json!({})))
        .expect(1)
        .mount(&server)
        .await;
    let urls = InboundUrls {
        answer: "https://voice.example.com/a".parse().unwrap(),
        events: "https://voice.example.com/e".parse().unwrap(),
    };
    let binding = InboundBinding::to(number("+14155550101"), urls);
    let outcome = provider(&server).await.configure_inbound(&binding).await.unwrap();
    let shown = format!("{outcome:?}");
    assert!(shown.contains("the application Old") && shown.contains("is in the same application"), "{shown}");
}

#[tokio::test]
async fn the_account_and_what_is_wrong_with_its_application() {
    let server = MockServer::start().await;
    Mock::given(path("/v2/balance"))
        .respond_with(answer(json!({"balance": "300.00", "currency": "USD"})))
        .mount(&server)
        .await;
    Mock::given(path(format!("/v2/call_control_applications/{APPLICATION}")))
        .respond_with(answer(json!({
            "application_name": "Ours", "webhook_api_version": "1", "call_cost_in_webhooks": false,
            "outbound": {"outbound_voice_profile_id": null},
        })))
        .mount(&server)
        .await;
    let account = provider(&server).await.check_account().await.unwrap();
    assert_eq!(account.balance.unwrap().to_string(), "300 USD");
    let notes = account.notes.join("\n");
    for what in ["version is 1", "no outbound voice profile", "cost webhooks are off", "public key is not checked"] {
        assert!(notes.contains(what), "{notes}");
    }
}
