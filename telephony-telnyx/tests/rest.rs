//! What goes over the wire to Telnyx's REST API, byte for byte where it matters.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{sync::Arc, time::Duration};

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use telephony_core::{
    CallCost, CallId, CallInstruction, CallRef, CallState, CallUrls, Conference, HangUp, InboundBinding, InboundUrls,
    MachineDetection, OutboundCall, PhoneNumber, Play, ProviderContext, RecordingRef, RecordingRequest, Say, Stream,
    TelephonyError, TelephonyProvider, TransferRequest,
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
        (order().with_ring_timeout(Duration::from_millis(600_001)), "ring_timeout"),
        (order().with_time_limit(Duration::from_secs(29)), "time_limit"),
        (order().with_time_limit(Duration::from_secs(14_401)), "time_limit"),
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
async fn what_ends_something_is_asked_again_and_what_begins_something_is_not() {
    let server = MockServer::start().await;
    for command in ["hangup", "record_stop", "send_dtmf"] {
        let to = || Mock::given(method("POST")).and(path(format!("/v2/calls/v3:abc-def/actions/{command}")));
        to().respond_with(ResponseTemplate::new(503)).up_to_n_times(1).mount(&server).await;
        to().respond_with(done()).mount(&server).await;
    }
    let provider = provider(&server).await;
    assert_eq!(provider.hang_up(&call()).await.unwrap(), HangUp::Ended);
    provider.stop_recording(&RecordingRef { call: call(), id: None }).await.unwrap();
    let digits = provider.send_digits(&call(), &"1".parse().unwrap()).await;
    assert!(matches!(digits, Err(TelephonyError::OutcomeUnknown { .. })), "{digits:?}");
    let names: Vec<String> = sent(&server).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["hangup", "hangup", "record_stop", "record_stop", "send_dtmf"]);
}

#[tokio::test]
async fn something_else_begins_once_the_stream_has_stopped() {
    let server = MockServer::start().await;
    // Not every call has a stream.
    let none = Mock::given(method("POST")).and(path("/v2/calls/v3:abc-def/actions/streaming_stop"));
    none.respond_with(refusal(422, "90048")).mount(&server).await;
    Mock::given(method("POST")).respond_with(answer(json!({"result": "ok"}))).mount(&server).await;
    provider(&server).await.instruct(&call(), &CallInstruction::HangUp).await.unwrap();
    let names: Vec<String> = sent(&server).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["streaming_stop", "hangup"]);
}

/// Answers a list of conferences, or of who is in one.
fn list(data: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"data": data, "meta": {"page_number": 1, "total_pages": 1}}))
}

fn listed() -> wiremock::MockBuilder {
    Mock::given(method("GET")).and(path("/v2/conferences")).and(query_param("filter[name]", "room & board"))
}

fn made() -> wiremock::MockBuilder {
    Mock::given(method("POST")).and(path("/v2/conferences"))
}

fn joined(id: &str) -> wiremock::MockBuilder {
    Mock::given(method("POST")).and(path(format!("/v2/conferences/{id}/actions/join")))
}

fn done() -> ResponseTemplate {
    answer(json!({"result": "ok"}))
}

fn room(id: &str, status: &str) -> Value {
    json!({"record_type": "conference", "id": id, "name": "room & board", "status": status})
}

/// What was asked for, as methods and paths.
async fn asked(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(|request| format!("{} {}", request.method, request.url.path())).collect()
}

/// Has a call that was answered enter a conference, as the answer to a webhook.
async fn enter(server: &MockServer, wanted: Conference) -> Result<u16, TelephonyError> {
    let call = call().with_handle("event", "e-1").with_handle("state", "answered");
    let instruction = CallInstruction::Conference(wanted);
    let response = provider(server).await.get_webhook_response(&call, &instruction).await;
    response.map(|response| response.status.as_u16())
}

fn board() -> Conference {
    Conference::named("room & board")
}

#[tokio::test]
async fn the_first_participant_makes_the_conference() {
    let server = MockServer::start().await;
    let others = json!([room("c-0", "completed"), {"id": "c-9", "name": "Room & Board", "status": "in_progress"}]);
    listed().respond_with(list(others)).expect(1).mount(&server).await;
    made().respond_with(answer(room("c-1", "in_progress"))).expect(1).mount(&server).await;
    assert_eq!(enter(&server, board()).await.unwrap(), 204);
    let body = json!({
        "call_control_id": "v3:abc-def", "name": "room & board", "start_conference_on_create": true,
        "client_state": "e30=", "command_id": "e-1-create-0",
    });
    assert_eq!(sent(&server).await[1], ("conferences".to_owned(), body));
}

#[tokio::test]
async fn later_ones_join_it() {
    let server = MockServer::start().await;
    listed().respond_with(list(json!([room("c-1", "init"), room("c-0", "completed")]))).mount(&server).await;
    joined("c-1").respond_with(done()).expect(1).mount(&server).await;
    assert_eq!(enter(&server, board().waiting().ending_on_exit().muted()).await.unwrap(), 204);
    let body = json!({
        "call_control_id": "v3:abc-def", "mute": true, "start_conference_on_enter": false,
        "end_conference_on_exit": true, "client_state": "e30=", "command_id": "e-1-join-0",
    });
    assert_eq!(sent(&server).await[1..], [("join".to_owned(), body)]);
}

#[tokio::test]
async fn who_was_slower_joins_what_the_other_has_made() {
    let server = MockServer::start().await;
    listed().respond_with(list(json!([]))).up_to_n_times(1).mount(&server).await;
    listed().respond_with(list(json!([room("c-1", "in_progress")]))).mount(&server).await;
    made().respond_with(refusal(422, "90033")).expect(1).mount(&server).await;
    joined("c-1").respond_with(done()).expect(1).mount(&server).await;
    assert_eq!(enter(&server, board()).await.unwrap(), 204);
    assert_eq!(sent(&server).await[3].1["command_id"], "e-1-join-1");
}

#[tokio::test]
async fn what_is_not_listed_yet_is_joined_by_its_name() {
    let server = MockServer::start().await;
    listed().respond_with(list(json!([]))).mount(&server).await;
    made().respond_with(refusal(422, "90033")).expect(1).mount(&server).await;
    joined("room%20&%20board").respond_with(done()).expect(1).mount(&server).await;
    assert_eq!(enter(&server, board()).await.unwrap(), 204);
}

#[tokio::test]
async fn what_ended_just_now_is_made_again() {
    for (status, code) in [(422, "90019"), (422, "90058"), (422, "90033"), (404, "10005")] {
        let server = MockServer::start().await;
        listed().respond_with(list(json!([room("c-1", "in_progress")]))).up_to_n_times(1).mount(&server).await;
        listed().respond_with(list(json!([]))).mount(&server).await;
        joined("c-1").respond_with(refusal(status, code)).expect(1).mount(&server).await;
        made().respond_with(answer(room("c-2", "in_progress"))).expect(1).mount(&server).await;
        assert_eq!(enter(&server, board()).await.unwrap(), 204, "{code}");
    }
}

#[tokio::test]
async fn a_conference_that_cannot_be_had_is_given_up_and_is_not_the_calls_end() {
    let server = MockServer::start().await;
    listed().respond_with(list(json!([room("c-1", "in_progress")]))).expect(4).mount(&server).await;
    joined("c-1").respond_with(refusal(404, "10005")).expect(4).mount(&server).await;
    let refused = enter(&server, board()).await.unwrap_err();
    assert!(matches!(refused, TelephonyError::Rejected { .. }), "{refused}");
    let names: Vec<Value> = sent(&server).await.into_iter().map(|(_, body)| body["command_id"].clone()).collect();
    let named = |n: u32| json!(format!("e-1-join-{n}"));
    let none = Value::Null;
    assert_eq!(names, [none.clone(), named(0), none.clone(), named(1), none.clone(), named(2), none, named(3)]);
}

#[tokio::test]
async fn a_full_conference_is_refused() {
    let server = MockServer::start().await;
    listed().respond_with(list(json!([room("c-1", "in_progress")]))).mount(&server).await;
    joined("c-1").respond_with(refusal(422, "90032")).expect(1).mount(&server).await;
    let refused = enter(&server, board()).await.unwrap_err();
    assert!(refused.to_string().contains("90032"), "{refused}");
}

#[tokio::test]
async fn conferences_that_cannot_be_listed_are_not_the_calls_end() {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(refusal(404, "10005")).mount(&server).await;
    let refused = enter(&server, board()).await.unwrap_err();
    assert!(matches!(refused, TelephonyError::Rejected { .. }), "{refused}");
}

/// Who makes a conference can say less about it than who joins it.
async fn mount_what_is_made_up_for(server: &MockServer) {
    let participants = json!([
        {"id": "p-0", "call_control_id": "v3:abc-def", "status": "left"},
        {"id": "p-1", "call_control_id": "v3:other", "status": "joined"},
        {"id": "p-2", "call_control_id": "v3:abc-def", "status": "joining"},
    ]);
    Mock::given(method("POST"))
        .and(path("/v2/conferences/c-1/actions/mute"))
        .and(body_json(json!({"call_control_ids": ["v3:abc-def"]})))
        .respond_with(done())
        .expect(1)
        .mount(server)
        .await;
    Mock::given(method("GET"))
        .and(path("/v2/conferences/c-1/participants"))
        .and(query_param("page[size]", "250"))
        .respond_with(list(participants))
        .expect(1)
        .mount(server)
        .await;
    Mock::given(method("PATCH"))
        .and(path("/v2/conferences/c-1/participants/p-2"))
        .and(body_json(json!({"end_conference_on_exit": true})))
        .respond_with(answer(json!({"id": "p-2"})))
        .expect(1)
        .mount(server)
        .await;
}

#[tokio::test]
async fn who_makes_it_is_muted_and_ends_it_all_the_same() {
    let server = MockServer::start().await;
    listed().respond_with(list(json!([]))).expect(1).mount(&server).await;
    made().respond_with(answer(room("c-1", "init"))).expect(1).mount(&server).await;
    mount_what_is_made_up_for(&server).await;
    assert_eq!(enter(&server, board().waiting().ending_on_exit().muted()).await.unwrap(), 204);
    assert_eq!(sent(&server).await[1].1["start_conference_on_create"], false);
}

#[tokio::test]
async fn a_repetition_makes_up_for_what_is_missing() {
    let server = MockServer::start().await;
    listed().respond_with(list(json!([room("c-1", "in_progress")]))).expect(1).mount(&server).await;
    joined("c-1").respond_with(refusal(422, "90044")).expect(1).mount(&server).await;
    mount_what_is_made_up_for(&server).await;
    assert_eq!(enter(&server, board().ending_on_exit().muted()).await.unwrap(), 204);
}

#[tokio::test]
async fn a_command_that_telnyx_ignores_need_not_name_the_conference() {
    let server = MockServer::start().await;
    listed().respond_with(list(json!([]))).up_to_n_times(1).mount(&server).await;
    listed().respond_with(list(json!([room("c-1", "in_progress")]))).expect(1).mount(&server).await;
    made().respond_with(done()).expect(1).mount(&server).await;
    mount_what_is_made_up_for(&server).await;
    assert_eq!(enter(&server, board().ending_on_exit().muted()).await.unwrap(), 204);
}

#[tokio::test]
async fn what_could_not_be_made_up_for_is_said() {
    let server = MockServer::start().await;
    listed().respond_with(list(json!([]))).mount(&server).await;
    made().respond_with(answer(room("c-1", "in_progress"))).mount(&server).await;
    Mock::given(method("GET")).respond_with(list(json!([]))).up_to_n_times(1).mount(&server).await;
    Mock::given(method("GET")).respond_with(refusal(404, "10005")).mount(&server).await;
    for reason in ["not listed among the participants", "10005"] {
        let refused = enter(&server, board().ending_on_exit()).await.unwrap_err();
        assert!(matches!(&refused, TelephonyError::Rejected { .. }), "{refused:?}");
        assert!(refused.to_string().contains(reason), "{refused}");
    }
}

#[tokio::test]
async fn a_call_that_is_over_enters_no_conference() {
    let server = MockServer::start().await;
    listed().respond_with(list(json!([]))).mount(&server).await;
    made().respond_with(refusal(422, "90018")).mount(&server).await;
    Mock::given(method("POST")).respond_with(refusal(422, "90048")).mount(&server).await;
    assert_eq!(enter(&server, board()).await.unwrap(), 204);
    let told = provider(&server).await.instruct(&call(), &CallInstruction::Conference(board())).await;
    assert!(matches!(told, Err(TelephonyError::NotFound { .. })), "{told:?}");
    // Without an event there is nothing to name the command after.
    let sent = sent(&server).await;
    assert_eq!(sent.last().map(|(_, body)| body.get("command_id").is_none()), Some(true));
}

#[tokio::test]
async fn a_parked_call_is_answered_before_it_enters() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(done()).mount(&server).await;
    let provider = provider(&server).await;
    let parked = call().with_handle("event", "e-1").with_handle("state", "parked");
    provider.get_webhook_response(&parked, &CallInstruction::Conference(board())).await.unwrap();
    assert_eq!(asked(&server).await, ["POST /v2/calls/v3:abc-def/actions/answer"]);
    let blank = provider.get_webhook_response(&parked, &CallInstruction::Conference(Conference::named(" "))).await;
    assert!(
        matches!(&blank, Err(TelephonyError::InvalidRequest { problem, .. }) if problem.field == "name"),
        "{blank:?}"
    );
    assert_eq!(asked(&server).await.len(), 1);
}

#[tokio::test]
async fn a_call_leaves_its_conference_for_something_else() {
    let server = MockServer::start().await;
    let leave = Mock::given(method("POST")).and(path("/v2/conferences/c-1/actions/leave"));
    let leave = leave.and(body_json(json!({"call_control_id": "v3:abc-def"})));
    // It may have left by itself.
    leave.respond_with(refusal(422, "90019")).expect(3).mount(&server).await;
    Mock::given(method("POST")).respond_with(done()).mount(&server).await;
    listed().respond_with(list(json!([room("c-2", "in_progress")]))).mount(&server).await;
    let provider = provider(&server).await;
    let inside = call().with_handle("conference_id", "c-1");
    let say = CallInstruction::Say(Say::text("Bye."));
    provider.instruct(&inside, &say).await.unwrap();
    provider.transfer_call(&TransferRequest::new(inside.clone(), number("+12025550155"))).await.unwrap();
    provider.instruct(&inside, &CallInstruction::Conference(board())).await.unwrap();
    // Who hangs up leaves anyway, and who has left is in none; nobody leaves for where they are.
    provider.instruct(&inside, &CallInstruction::HangUp).await.unwrap();
    provider.instruct(&call().with_handle("conference_id", ""), &say).await.unwrap();
    let there = call().with_handle("conference_id", "c-2");
    provider.instruct(&there, &CallInstruction::Conference(board())).await.unwrap();
    let asked = asked(&server).await;
    let ends: Vec<&str> = asked.iter().filter_map(|path| path.rsplit('/').next()).collect();
    assert_eq!(
        ends,
        [
            "streaming_stop",
            "leave",
            "speak",
            "streaming_stop",
            "leave",
            "transfer",
            "streaming_stop",
            "conferences",
            "leave",
            "join",
            "streaming_stop",
            "hangup",
            "streaming_stop",
            "speak",
            "streaming_stop",
            "conferences",
            "join",
        ]
    );
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
            .and(query_param("page[size]", "250"))
            .and(query_param_is_missing("filter[phone_number]"))
            .respond_with(page(n))
            .expect(1)
            .mount(&server)
            .await;
    }
    // A key that may not list these lists the others.
    Mock::given(path("/v2/verified_numbers")).respond_with(refusal(403, "10006")).expect(1).mount(&server).await;
    let numbers = provider(&server).await.get_available_phone_numbers().await.unwrap();
    let numbers: Vec<&str> = numbers.iter().map(|owned| owned.number.as_e164()).collect();
    assert_eq!(numbers, ["+14155550101", "+14155550102"]);
}

#[tokio::test]
async fn numbers_that_can_be_called_from() {
    let server = MockServer::start().await;
    let of = |n: u32, status: &str| {
        json!({
            "id": n.to_string(), "phone_number": format!("+141555501{n:02}"), "status": status,
            "country_iso_alpha2": "US", "customer_reference": format!("line {n}"), "tags": [],
        })
    };
    let words = [
        "active",
        "port-out-pending",
        "purchase-pending",
        "emergency-only",
        "brand-new",
        "deleted",
        "ported-out",
        "purchase-failed",
        "port-failed",
    ];
    let all: Vec<Value> = words.iter().zip(0..).map(|(word, n)| of(n, word)).collect();
    Mock::given(path("/v2/phone_numbers")).respond_with(list(json!(all))).mount(&server).await;
    let page = |n: u32| {
        let number = if n == 1 { "+14155550100" } else { "+353861234567" };
        let data =
            json!([{"phone_number": number, "record_type": "verified_number", "verified_at": "2026-07-14T09:15:02Z"}]);
        let meta = json!({"page_number": n, "page_size": 1, "total_pages": 2, "total_results": 2});
        ResponseTemplate::new(200).set_body_json(json!({"data": data, "meta": meta}))
    };
    for n in [1, 2] {
        let verified = Mock::given(path("/v2/verified_numbers")).and(query_param("page[number]", n.to_string()));
        verified.and(query_param("page[size]", "25")).respond_with(page(n)).expect(1).mount(&server).await;
    }
    let numbers = provider(&server).await.get_available_phone_numbers().await.unwrap();
    let seen: Vec<(&str, bool)> = numbers.iter().map(|owned| (owned.number.as_e164(), owned.voice)).collect();
    let expected = [
        ("+14155550100", true),
        ("+14155550101", true),
        ("+14155550102", false),
        ("+14155550103", false),
        ("+14155550104", false),
        ("+353861234567", true),
    ];
    assert_eq!(seen, expected);
    let first = &numbers[0];
    let (id, label, country) = (first.provider_id.as_deref(), first.label.as_deref(), first.country.as_deref());
    assert_eq!((id, label, country), (Some("0"), Some("line 0"), Some("US")));
}

#[tokio::test]
async fn a_call_that_telnyx_has_forgotten() {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(refusal(404, "10005")).mount(&server).await;
    let provider = provider(&server).await;
    let status = provider.get_call_status(&call()).await;
    assert!(matches!(status, Err(TelephonyError::NotFound { .. })), "{status:?}");
    let cost = provider.get_call_cost(&call()).await;
    assert!(matches!(cost, Err(TelephonyError::NotFound { .. })), "{cost:?}");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_the_calls_end() {
    let server = MockServer::start().await;
    let error = json!({"code": "10005", "title": "Audio file not found", "detail": "It couldn't be found."});
    let missing = ResponseTemplate::new(404).set_body_json(json!({"errors": [error]}));
    Mock::given(method("POST")).respond_with(missing).mount(&server).await;
    let answered = call().with_handle("event", "e-1").with_handle("state", "answered");
    let play = CallInstruction::Play(Play::url("https://a.test/a.wav".parse().unwrap()));
    let refused = provider(&server).await.get_webhook_response(&answered, &play).await.unwrap_err();
    assert!(matches!(&refused, TelephonyError::InvalidRequest { problem, .. } if problem.field == "url"), "{refused}");
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
            "application_name": "Ours", "active": false, "webhook_api_version": "1", "call_cost_in_webhooks": false,
            "outbound": {"outbound_voice_profile_id": null},
        })))
        .mount(&server)
        .await;
    let account = provider(&server).await.check_account().await.unwrap();
    assert_eq!(account.balance.unwrap().to_string(), "300 USD");
    let notes = account.notes.join("\n");
    for what in [
        "not active",
        "version is 1",
        "no outbound voice profile",
        "cost webhooks are off",
        "public key is not checked",
    ] {
        assert!(notes.contains(what), "{notes}");
    }
}
