//! What goes over the wire to Plivo's REST API, byte for byte where it matters.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{sync::Arc, time::Duration};

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use telephony_core::{
    CallCost, CallRef, CallStatus, CallUrls, HangUp, InboundBinding, InboundUrls, MachineDetection, Money,
    OutboundCall, PhoneNumber, ProviderContext, RecordingRequest, TelephonyError, TelephonyProvider,
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{basic_auth, body_json, header, method, path, query_param, query_param_is_missing},
};

const AUTH_ID: &str = "MA0123456789ABCDEFGH";
const ROOT: &str = "/v1/Account/MA0123456789ABCDEFGH";

async fn provider(server: &MockServer) -> Arc<dyn TelephonyProvider> {
    let account = json!({
        "auth_id": AUTH_ID, "auth_token": "the-auth-token", "application_id": "77", "api_base_url": server.uri(),
    });
    telephony_plivo::DESCRIPTOR.build(&account, ProviderContext::network().unwrap()).unwrap()
}

fn number(text: &str) -> PhoneNumber {
    text.parse().unwrap()
}

fn order() -> OutboundCall {
    let urls = CallUrls {
        answer: "https://voice.example.com/a?run=1&x=2".parse().unwrap(),
        events: "https://voice.example.com/e".parse().unwrap(),
        media: "wss://voice.example.com/m".parse().unwrap(),
    };
    OutboundCall::new(number("+14155550111"), number("+14155550100"), urls)
}

fn call() -> CallRef {
    CallRef::new("6d2c8a52-0000-4000-8000-000000000001".parse().unwrap())
}

fn unnamed() -> CallRef {
    CallRef::unnamed().with_handle("request_uuid", "r-1")
}

fn answer(status: u16, body: Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

async fn one_body(server: &MockServer) -> Value {
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    serde_json::from_slice(&requests[0].body).unwrap()
}

#[tokio::test]
async fn a_call_with_every_option() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path(format!("{ROOT}/Call/")))
        .and(basic_auth(AUTH_ID, "the-auth-token"))
        .and(header("content-type", "application/json"))
        .respond_with(answer(201, json!({"api_id": "1", "message": "call fired", "request_uuid": "r-1"})))
        .mount(&server)
        .await;
    let order = order()
        .with_ring_timeout(Duration::from_millis(20_500))
        .with_time_limit(Duration::from_secs(600))
        .with_machine_detection(MachineDetection::Detect)
        .with_digits_on_answer("1w2".parse().unwrap())
        .with_caller_name("Sound & Co");
    let placed = provider(&server).await.initiate_call(&order).await.unwrap();
    assert_eq!((placed.status, placed.raw_status.as_str()), (CallStatus::Queued, "call fired"));
    assert_eq!((placed.call.id(), placed.call.handle("request_uuid")), (None, Some("r-1")));
    assert_eq!(
        one_body(&server).await,
        json!({
            "from": "+14155550100", "to": "+14155550111",
            "answer_url": "https://voice.example.com/a?run=1&x=2", "answer_method": "POST",
            "ring_url": "https://voice.example.com/e", "ring_method": "POST",
            "hangup_url": "https://voice.example.com/e", "hangup_method": "POST",
            "ring_timeout": 21, "time_limit": 600, "send_digits": "1w2", "caller_name": "Sound & Co",
            "machine_detection": "true", "machine_detection_url": "https://voice.example.com/e",
            "machine_detection_method": "POST",
        })
    );
}

#[tokio::test]
async fn options_that_plivo_would_drop_or_refuse() {
    let server = MockServer::start().await;
    let provider = provider(&server).await;
    for (order, field) in [
        (order().with_ring_timeout(Duration::ZERO), "ring_timeout"),
        (order().with_time_limit(Duration::from_secs(86_401)), "time_limit"),
        (order().with_machine_detection(MachineDetection::DetectBeep), "machine_detection"),
        (order().with_caller_name("x".repeat(51)), "caller_name"),
    ] {
        let error = provider.initiate_call(&order).await.unwrap_err();
        assert!(
            matches!(&error, TelephonyError::InvalidRequest { problem, .. } if problem.field == field),
            "{field}: {error}"
        );
    }
    let recorded = provider.initiate_call(&order().with_recording(RecordingRequest::default())).await;
    assert!(matches!(recorded, Err(TelephonyError::Unsupported { .. })));
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn an_answer_without_a_name_for_the_call_leaves_it_open_whether_it_rings() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(answer(201, json!({"message": "call fired", "request_uuid": null})))
        .mount(&server)
        .await;
    let error = provider(&server).await.initiate_call(&order()).await.unwrap_err();
    assert!(matches!(error, TelephonyError::OutcomeUnknown { .. }), "{error}");
}

#[tokio::test]
async fn a_call_is_looked_for_among_the_live_and_then_the_records() {
    let server = MockServer::start().await;
    let url = format!("{ROOT}/Call/6d2c8a52-0000-4000-8000-000000000001/");
    Mock::given(path(url.as_str()))
        .and(query_param("status", "live"))
        .respond_with(answer(404, json!({"error": "not found"})))
        .mount(&server)
        .await;
    Mock::given(path(url.as_str()))
        .and(query_param_is_missing("status"))
        .respond_with(answer(
            200,
            json!({
                "call_uuid": "6d2c8a52-0000-4000-8000-000000000001", "call_direction": "outbound", "call_state": "ANSWER",
                "from_number": "+14155550100", "to_number": "14155550111", "answer_time": "2026-07-14 14:45:02+05:30",
                "end_time": "2026-07-14 14:45:39+05:30", "call_duration": 37, "bill_duration": 60,
                "total_amount": "0.00850", "total_rate": "0.00850", "hangup_cause_code": 4000,
            }),
        ))
        .mount(&server)
        .await;
    let provider = provider(&server).await;
    let snapshot = provider.get_call_status(&call()).await.unwrap();
    assert_eq!(snapshot.state.status(), Some(CallStatus::Completed));
    assert_eq!(snapshot.duration, Some(Duration::from_secs(37)));
    assert_eq!(snapshot.started_at.unwrap().to_string(), "2026-07-14 14:45:02.0 +05:30:00");
    assert_eq!(snapshot.to.unwrap().phone().unwrap().as_e164(), "+14155550111");
    let price = CallCost::rated(Money::parse("0.0085", "USD").unwrap());
    assert_eq!(provider.get_call_cost(&call()).await.unwrap(), price);
}

#[tokio::test]
async fn a_call_without_its_own_name_is_taken_back_or_hung_up() {
    let server = MockServer::start().await;
    Mock::given(method("DELETE"))
        .and(path(format!("{ROOT}/Request/r-1/")))
        .respond_with(ResponseTemplate::new(204))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    let provider = provider(&server).await;
    assert_eq!(provider.hang_up(&unnamed()).await.unwrap(), HangUp::Ended);
    // From here on the server knows nothing. A call that may be up under another name has not ended for that.
    assert!(matches!(provider.hang_up(&unnamed()).await, Err(TelephonyError::NotFound { .. })));
    assert_eq!(provider.hang_up(&call()).await.unwrap(), HangUp::AlreadyEnded);
}

/// A server on which a call of that request is up under a name of its own.
async fn differing_names() -> MockServer {
    let server = MockServer::start().await;
    let live = json!({
        "call_status": "ringing", "call_uuid": "6d2c8a52-0000-4000-8000-000000000001", "request_uuid": "r-1",
        "direction": "outbound", "from": "+14155550100", "to": "14155550111", "caller_name": "",
        "session_start": "2026-07-14 09:15:00.238707",
    });
    let mut other = live.clone();
    other["call_uuid"] = "other".into();
    other["request_uuid"] = "r-2".into();
    Mock::given(method("GET"))
        .and(path(format!("{ROOT}/Call/")))
        .and(query_param("status", "live"))
        .respond_with(answer(200, json!({"calls": ["gone", "other", "6d2c8a52-0000-4000-8000-000000000001"]})))
        .mount(&server)
        .await;
    for live in [live, other] {
        Mock::given(method("GET"))
            .and(path(format!("{ROOT}/Call/{}/", live["call_uuid"].as_str().unwrap())))
            .and(query_param("status", "live"))
            .respond_with(answer(200, live))
            .mount(&server)
            .await;
    }
    Mock::given(method("DELETE"))
        .and(path(format!("{ROOT}/Call/6d2c8a52-0000-4000-8000-000000000001/")))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_call_under_another_name_than_its_requests_is_found_among_the_live_ones() {
    let server = differing_names().await;
    let provider = provider(&server).await;
    let snapshot = provider.get_call_status(&unnamed()).await.unwrap();
    assert_eq!(snapshot.state.status(), Some(CallStatus::Ringing));
    assert_eq!(snapshot.call.id(), call().id());
    assert_eq!(snapshot.call.handle("request_uuid"), Some("r-1"));
    assert_eq!(provider.hang_up(&unnamed()).await.unwrap(), HangUp::Ended);
    let stranger = CallRef::unnamed().with_handle("request_uuid", "r-3");
    assert!(matches!(provider.get_call_status(&stranger).await, Err(TelephonyError::NotFound { .. })));
    assert!(matches!(provider.hang_up(&stranger).await, Err(TelephonyError::NotFound { .. })));
}

#[tokio::test]
async fn a_call_that_waits_to_be_dialled_is_queued() {
    let server = MockServer::start().await;
    Mock::given(path(format!("{ROOT}/Call/r-1/")))
        .and(query_param("status", "queued"))
        .respond_with(answer(
            200,
            json!({
                "api_id": "1", "call_status": "queued", "call_uuid": "r-1", "request_uuid": "r-1",
                "direction": "outbound", "from": "14155550100", "to": "14155550111", "caller_name": "",
            }),
        ))
        .mount(&server)
        .await;
    let snapshot = provider(&server).await.get_call_status(&unnamed()).await.unwrap();
    assert_eq!(snapshot.state.status(), Some(CallStatus::Queued));
}

#[tokio::test]
async fn pages_are_followed_and_credentials_go_nowhere_else() {
    for (next, works) in
        [(format!("{ROOT}/Number/?limit=20&offset=20"), true), ("https://evil.example/steal".to_owned(), false)]
    {
        let server = MockServer::start().await;
        let page = |numbers: &[&str], next: Option<&str>| {
            let objects: Vec<Value> = numbers.iter().map(|number| json!({"number": number, "alias": "Desk"})).collect();
            answer(200, json!({"meta": {"limit": 20, "next": next}, "objects": objects}))
        };
        for (offset, page) in
            [("0", page(&["14155550101", "12345678901234567"], Some(&next))), ("20", page(&["14155550102"], None))]
        {
            Mock::given(path(format!("{ROOT}/Number/")))
                .and(query_param("limit", "20"))
                .and(query_param("offset", offset))
                .respond_with(page)
                .mount(&server)
                .await;
        }
        let outcome = provider(&server).await.get_available_phone_numbers().await;
        if works {
            let numbers: Vec<String> = outcome.unwrap().iter().map(|owned| owned.number.as_e164().to_owned()).collect();
            assert_eq!(numbers, ["+14155550101", "+14155550102"]);
        } else {
            assert!(matches!(outcome, Err(TelephonyError::UnexpectedResponse { .. })), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn pointing_a_number_at_us_changes_the_application_and_says_whom_else_it_touches() {
    let server = MockServer::start().await;
    let listed = |number: &str, application: &str| json!({"number": number, "application": format!("{ROOT}/Application/{application}/")});
    let objects = [listed("14155550100", "5"), listed("14155550101", "77"), listed("14155550102", "5")];
    Mock::given(method("GET"))
        .and(path(format!("{ROOT}/Number/")))
        .respond_with(answer(200, json!({"meta": {"next": null}, "objects": objects})))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path(format!("{ROOT}/Application/77/")))
        .and(body_json(json!({
            "answer_url": "https://voice.example.com/a", "answer_method": "POST",
            "hangup_url": "https://voice.example.com/e", "hangup_method": "POST",
        })))
        .respond_with(answer(202, json!({"message": "changed"})))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path(format!("{ROOT}/Number/14155550100/")))
        .and(body_json(json!({"app_id": "77"})))
        .respond_with(answer(202, json!({"message": "changed"})))
        .expect(1)
        .mount(&server)
        .await;
    let urls = InboundUrls {
        answer: "https://voice.example.com/a".parse().unwrap(),
        events: "https://voice.example.com/e".parse().unwrap(),
    };
    let binding = InboundBinding::to(number("+14155550100"), urls);
    let outcome = provider(&server).await.configure_inbound(&binding).await.unwrap();
    assert_eq!(
        outcome.also_affected,
        [
            "The number is no longer answered by the application 5.",
            "+…0101 is in the same application, and is answered by the same URLs now.",
        ]
    );
}

#[tokio::test]
async fn a_recording_lasts_as_long_as_the_call() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path(format!("{ROOT}/Call/6d2c8a52-0000-4000-8000-000000000001/Record/")))
        .respond_with(answer(
            202,
            json!({"message": "call recording started", "recording_id": "rec-1", "url": "https://a.test/1.wav"}),
        ))
        .mount(&server)
        .await;
    let how = RecordingRequest::default().with_events("https://voice.example.com/e".parse().unwrap());
    let recording = provider(&server).await.start_recording(&call(), &how).await.unwrap();
    assert_eq!(recording.id.as_deref(), Some("rec-1"));
    // Plivo would stop after sixty seconds.
    assert_eq!(one_body(&server).await["time_limit"], 86_400);
}

#[tokio::test]
async fn an_account_says_what_is_left_and_whether_it_is_a_trial() {
    let server = MockServer::start().await;
    Mock::given(path(format!("{ROOT}/")))
        .respond_with(answer(
            200,
            json!({
                "account_type": "developer", "address": "", "api_id": "1", "auth_id": AUTH_ID, "auto_recharge": false,
                "billing_mode": "prepaid", "cash_credits": "4.88860", "city": "", "name": "Sherlock Holmes",
                "resource_uri": format!("{ROOT}/"), "state": "", "timezone": "Asia/Kolkata",
            }),
        ))
        .mount(&server)
        .await;
    let account = json!({
        "auth_id": AUTH_ID, "auth_token": "the-auth-token", "application_id": "77", "currency": "INR",
        "api_base_url": server.uri(),
    });
    let provider = telephony_plivo::DESCRIPTOR.build(&account, ProviderContext::network().unwrap()).unwrap();
    let info = provider.check_account().await.unwrap();
    assert_eq!(info.balance, Some(Money::parse("4.8886", "INR").unwrap()));
    assert_eq!(info.notes, ["It is a trial account: it calls verified numbers only."]);
}

#[tokio::test]
async fn a_number_is_taken_back_and_looked_at_afterwards() {
    let listed = |application: Option<&str>| json!({"number": "14155550100", "application": application.map(|id| format!("{ROOT}/Application/{id}/"))});
    // Where it was linked, where it is afterwards, what is sent, and what is said.
    for (before, after, changes, said) in [
        (Some("77"), None, 1, Some(vec![])),
        (
            Some("77"),
            Some("5"),
            1,
            Some(vec!["The number is answered by the application 5 now, the account's default."]),
        ),
        (Some("77"), Some("77"), 1, None),
        (Some("5"), Some("5"), 0, Some(vec![])),
        (None, None, 0, Some(vec![])),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path(format!("{ROOT}/Number/")))
            .respond_with(answer(200, json!({"meta": {"next": null}, "objects": [listed(before)]})))
            .mount(&server)
            .await;
        let number_path = format!("{ROOT}/Number/14155550100/");
        Mock::given(method("POST"))
            .and(path(number_path.as_str()))
            .and(body_json(json!({"app_id": null})))
            .respond_with(answer(202, json!({"message": "changed"})))
            .expect(changes)
            .mount(&server)
            .await;
        Mock::given(method("GET"))
            .and(path(number_path.as_str()))
            .respond_with(answer(200, listed(after)))
            .mount(&server)
            .await;
        let binding = InboundBinding::clear(number("+14155550100"));
        let outcome = provider(&server).await.configure_inbound(&binding).await;
        match said {
            Some(said) => assert_eq!(outcome.unwrap().also_affected, said),
            None => assert!(matches!(outcome, Err(TelephonyError::UnexpectedResponse { .. })), "{outcome:?}"),
        }
    }
}

#[tokio::test]
async fn pages_are_followed_behind_a_proxy_in_a_folder() {
    let server = MockServer::start().await;
    for (offset, next) in [("0", json!(format!("{ROOT}/Number/?limit=20&offset=20"))), ("20", Value::Null)] {
        Mock::given(path(format!("/plivo{ROOT}/Number/")))
            .and(query_param("offset", offset))
            .respond_with(answer(200, json!({"meta": {"next": next}, "objects": [{"number": "14155550100"}]})))
            .expect(1)
            .mount(&server)
            .await;
    }
    let base = format!("{}/plivo", server.uri());
    let account = json!({"auth_id": AUTH_ID, "auth_token": "the-auth-token", "api_base_url": base});
    let provider = telephony_plivo::DESCRIPTOR.build(&account, ProviderContext::network().unwrap()).unwrap();
    assert_eq!(provider.get_available_phone_numbers().await.unwrap().len(), 2);
}
