//! What goes over the wire to the carrier's REST API, byte for byte where it matters.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{sync::Arc, time::Duration};

use pretty_assertions::assert_eq;
use serde_json::json;
use telephony_core::{
    CallCost, CallId, CallRef, CallState, CallStatus, CallUrls, HangUp, Money, OutboundCall, PhoneNumber,
    ProviderContext, TelephonyError, TelephonyProvider,
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_json, header, method, path, query_param},
};

/// What webhooks are checked with.
// [hmac
#[cfg(hmac)]
const CREDENTIAL: (&str, &str) = ("signing_secret", "signs-the-webhooks");
// ]
// [jwt
#[cfg(jwt)]
const CREDENTIAL: (&str, &str) = ("signature_secret", "signs-the-webhooks");
// ]
// [ed25519
#[cfg(ed25519)]
const CREDENTIAL: (&str, &str) = ("public_key", "6kpsY+Kcs5CsnJlTqiKgZMjuVIWfJkeYvMhOyHRcJF4=");
// ]
// [token
#[cfg(token)]
const CREDENTIAL: (&str, &str) = ("webhook_token", "repeated-in-each-webhook");
// ]

fn provider(server: &MockServer) -> Arc<dyn TelephonyProvider> {
    let mut account = json!({"account_id": "acc-1", "api_key": "key-1", "api_base_url": server.uri()});
    account[CREDENTIAL.0] = CREDENTIAL.1.into();
    telephony_acme::DESCRIPTOR.build(&account, ProviderContext::network().unwrap()).unwrap()
}

fn order() -> OutboundCall {
    let number = |text: &str| text.parse::<PhoneNumber>().unwrap();
    let urls = CallUrls {
        answer: "https://voice.example.com/answer/1".parse().unwrap(),
        events: "https://voice.example.com/events/1".parse().unwrap(),
        media: "wss://voice.example.com/media/1".parse().unwrap(),
    };
    OutboundCall::new(number("+14155550111"), number("+14155550100"), urls)
}

fn call() -> CallRef {
    CallRef::new(CallId::new("call-1").unwrap())
}

// FILL IN: which requests does the carrier document, and which answers? Take both whole.
#[tokio::test]
async fn a_call_with_every_option() {
    let server = MockServer::start().await;
    let body = json!({
        "to": "+14155550111", "from": "+14155550100", "answer_url": "https://voice.example.com/answer/1",
        "events_url": "https://voice.example.com/events/1", "ring_timeout_secs": 25, "time_limit_secs": 600,
    });
    Mock::given(method("POST"))
        .and(path("/v1/calls"))
        .and(header("authorization", "Bearer key-1"))
        .and(body_json(body))
        .respond_with(ResponseTemplate::new(201).set_body_json(json!({"id": "call-1", "status": "queued"})))
        .expect(1)
        .mount(&server)
        .await;
    let order = order().with_ring_timeout(Duration::from_millis(24_500)).with_time_limit(Duration::from_secs(600));
    let placed = provider(&server).initiate_call(&order).await.unwrap();
    assert_eq!((placed.call, placed.status), (call(), CallStatus::Queued));
}

#[tokio::test]
async fn what_the_carrier_would_refuse_is_refused_before_it_is_sent() {
    let server = MockServer::start().await;
    let refused = provider(&server).initiate_call(&order().with_ring_timeout(Duration::from_secs(601))).await;
    assert!(matches!(refused, Err(TelephonyError::InvalidRequest { problem, .. }) if problem.field == "ring_timeout"));
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_call_that_is_over_is_rated_later() {
    let server = MockServer::start().await;
    let over = json!({"id": "call-1", "status": "completed", "duration_secs": 37, "price": null, "currency": "USD"});
    let rated =
        json!({"id": "call-1", "status": "completed", "duration_secs": 37, "price": "0.0085", "currency": "USD"});
    let get = || Mock::given(method("GET")).and(path("/v1/calls/call-1"));
    get().respond_with(ResponseTemplate::new(200).set_body_json(over)).up_to_n_times(2).mount(&server).await;
    get().respond_with(ResponseTemplate::new(200).set_body_json(rated)).mount(&server).await;
    let provider = provider(&server);
    let snapshot = provider.get_call_status(&call()).await.unwrap();
    assert_eq!(snapshot.state, CallState::Status(CallStatus::Completed));
    assert_eq!(snapshot.duration, Some(Duration::from_secs(37)));
    assert_eq!(provider.get_call_cost(&call()).await.unwrap(), CallCost::Pending);
    let cost = provider.get_call_cost(&call()).await.unwrap();
    assert_eq!(cost, CallCost::rated(Money::parse("0.0085", "USD").unwrap()));
}

#[tokio::test]
async fn numbers_are_read_to_the_last_page() {
    let server = MockServer::start().await;
    let page = |number: &str| Mock::given(method("GET")).and(path("/v1/numbers")).and(query_param("page", number));
    let first = json!({"numbers": [{"number": "+14155550100", "label": "Front desk"}], "next_page": 2});
    let last = json!({"numbers": [{"number": "+14155550101"}, {"number": "12345"}], "next_page": null});
    page("1").respond_with(ResponseTemplate::new(200).set_body_json(first)).expect(1).mount(&server).await;
    page("2").respond_with(ResponseTemplate::new(200).set_body_json(last)).expect(1).mount(&server).await;
    let numbers = provider(&server).get_available_phone_numbers().await.unwrap();
    let numbers: Vec<_> = numbers.iter().map(|owned| (owned.number.as_e164(), owned.label.as_deref())).collect();
    assert_eq!(numbers, [("+14155550100", Some("Front desk")), ("+14155550101", None)]);
}

#[tokio::test]
async fn hanging_up_a_call_that_is_over_is_no_error() {
    let server = MockServer::start().await;
    let ended = json!({"error": {"code": "call_ended", "message": "The call is over."}});
    Mock::given(method("POST"))
        .and(path("/v1/calls/call-1/hang-up"))
        .respond_with(ResponseTemplate::new(409).set_body_json(ended))
        .mount(&server)
        .await;
    assert_eq!(provider(&server).hang_up(&call()).await.unwrap(), HangUp::AlreadyEnded);
}
