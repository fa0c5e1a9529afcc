//! What goes over the wire to Vonage's REST APIs.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{sync::Arc, time::Duration};

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use telephony_core::{
    CallCost, CallRef, CallStatus, CallUrls, InboundBinding, InboundUrls, MachineDetection, OutboundCall, PhoneNumber,
    ProviderContext, TelephonyError, TelephonyProvider,
};
use wiremock::{
    Match, Mock, MockServer, Request, ResponseTemplate,
    matchers::{basic_auth, body_json, body_string, method, path, query_param},
};

const APPLICATION: &str = "7e1b7f0c-5a0e-4c53-9e0f-2a6f1d5b9a11";

fn provider(server: &MockServer) -> Arc<dyn TelephonyProvider> {
    let account = json!({
        "application_id": APPLICATION, "private_key": include_str!("../testdata/test-only-private-key.pem"),
        "api_key": "4f7c2a19", "api_secret": "the-api-secret", "signature_secret": "the-signature-secret",
        "api_base_url": server.uri(),
    });
    telephony_vonage::DESCRIPTOR.build(&account, ProviderContext::network().unwrap()).unwrap()
}

fn number(text: &str) -> PhoneNumber {
    text.parse().unwrap()
}

fn order() -> OutboundCall {
    let urls = CallUrls {
        answer: "https://voice.example.com/a?run=1".parse().unwrap(),
        events: "https://voice.example.com/e".parse().unwrap(),
        media: "wss://voice.example.com/m".parse().unwrap(),
    };
    OutboundCall::new(number("+14155550111"), number("+14155550100"), urls)
}

fn call() -> CallRef {
    CallRef::new("63f61863-4a51-4f6b-86e1-46edebcf9356".parse().unwrap())
}

const CALL_PATH: &str = "/v1/calls/63f61863-4a51-4f6b-86e1-46edebcf9356";

/// That a request bears a token of the application, signed with RS256.
struct BearsToken;

impl Match for BearsToken {
    fn matches(&self, request: &Request) -> bool {
        let header = request.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let claims: Option<Value> =
            header.strip_prefix("Bearer ").and_then(telephony_core::signing::unverified_jwt_claims);
        // {"typ":"JWT","alg":"RS256"}
        header.starts_with("Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.")
            && claims.is_some_and(|claims| claims["application_id"] == APPLICATION)
    }
}

#[tokio::test]
async fn a_call_with_every_option() {
    let server = MockServer::start().await;
    let created = json!({
        "uuid": "63f61863-4a51-4f6b-86e1-46edebcf9356", "status": "started", "direction": "outbound",
        "conversation_uuid": "CON-f972836a-550f-45fa-956c-12a2ab5b7d22",
    });
    Mock::given(method("POST"))
        .and(path("/v1/calls"))
        .and(BearsToken)
        .and(body_json(json!({
            "to": [{"type": "phone", "number": "14155550111", "dtmfAnswer": "1p2"}],
            "from": {"type": "phone", "number": "14155550100"},
            "answer_url": ["https://voice.example.com/a?run=1&vonage_call=outbound"], "answer_method": "POST",
            "event_url": ["https://voice.example.com/e"], "event_method": "POST",
            "ringing_timer": 45, "length_timer": 3600, "machine_detection": "hangup",
        })))
        .respond_with(ResponseTemplate::new(201).set_body_json(created))
        .expect(1)
        .mount(&server)
        .await;
    let order = order()
        .with_ring_timeout(Duration::from_millis(44_100))
        .with_time_limit(Duration::from_secs(3600))
        .with_machine_detection(MachineDetection::HangUp)
        .with_digits_on_answer("1w2".parse().unwrap());
    let placed = provider(&server).initiate_call(&order).await.unwrap();
    assert_eq!(placed.status, CallStatus::Initiated);
    assert_eq!(placed.call.handle("conversation_uuid"), Some("CON-f972836a-550f-45fa-956c-12a2ab5b7d22"));
}

#[tokio::test]
async fn options_that_vonage_has_no_word_for() {
    let server = MockServer::start().await;
    let provider = provider(&server);
    let mut from_sip = order();
    from_sip.from = "sip:anna@example.com".parse().unwrap();
    let mut to_sip = order().with_digits_on_answer("1".parse().unwrap());
    to_sip.to = "sip:anna@example.com".parse().unwrap();
    for (order, field) in [
        (order().with_ring_timeout(Duration::from_secs(121)), "ring_timeout"),
        (order().with_time_limit(Duration::from_secs(7201)), "time_limit"),
        (order().with_digits_on_answer("A".parse().unwrap()), "digits_on_answer"),
        (from_sip, "from"),
        (to_sip, "digits_on_answer"),
    ] {
        let error = provider.initiate_call(&order).await.unwrap_err();
        assert!(
            matches!(&error, TelephonyError::InvalidRequest { problem, .. } if problem.field == field),
            "{field}: {error}"
        );
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn commands_to_a_live_call() {
    let server = MockServer::start().await;
    for (sent, at, status) in [
        (json!({"action": "hangup"}), CALL_PATH.to_owned(), 204),
        (json!({"digits": "12p#"}), format!("{CALL_PATH}/dtmf"), 200),
        (
            json!({"action": "transfer", "destination": {"type": "ncco", "ncco": [{"action": "talk", "text": "Hi"}]}}),
            CALL_PATH.to_owned(),
            204,
        ),
    ] {
        Mock::given(method("PUT"))
            .and(path(at))
            .and(BearsToken)
            .and(body_json(sent))
            .respond_with(ResponseTemplate::new(status))
            .expect(1)
            .mount(&server)
            .await;
    }
    let provider = provider(&server);
    provider.hang_up(&call()).await.unwrap();
    provider.send_digits(&call(), &"12w#".parse().unwrap()).await.unwrap();
    let say = telephony_core::CallInstruction::Say(telephony_core::Say::text("Hi"));
    provider.instruct(&call(), &say).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let tokens: std::collections::BTreeSet<_> =
        requests.iter().map(|request| request.headers["authorization"].to_str().unwrap()).collect();
    assert_eq!(tokens.len(), 1, "one token serves many requests");
}

#[tokio::test]
async fn a_price_comes_with_the_completed_call() {
    for (more, expected) in [
        (json!({"status": "answered", "price": null}), "not rated yet"),
        (json!({"status": "completed", "price": null, "duration": "60"}), "not rated yet"),
        (
            json!({"status": "completed", "price": "23.40", "rate": "0.39", "duration": "60",
                "start_time": "2026-07-14 09:15:02", "end_time": "2026-07-14 09:16:02"}),
            "23.4 EUR (0.39 EUR per minute)",
        ),
    ] {
        let server = MockServer::start().await;
        let mut body = json!({
            "uuid": "63f61863-4a51-4f6b-86e1-46edebcf9356", "conversation_uuid": "CON-1", "direction": "outbound",
            "to": {"type": "phone", "number": "14155550111"}, "from": {"type": "phone", "number": "14155550100"},
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Mock::given(path(CALL_PATH))
            .and(BearsToken)
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .mount(&server)
            .await;
        let provider = provider(&server);
        let cost = provider.get_call_cost(&call()).await.unwrap();
        assert_eq!(cost.to_string(), expected);
        let snapshot = provider.get_call_status(&call()).await.unwrap();
        assert_eq!(snapshot.to.unwrap().phone().unwrap().as_e164(), "+14155550111");
        assert_eq!(cost == CallCost::Pending, snapshot.ended_at.is_none());
    }
}

#[tokio::test]
async fn numbers_are_read_to_the_last_page() {
    let server = MockServer::start().await;
    for (index, count) in [(1, 100), (2, 100), (3, 7)] {
        let numbers: Vec<Value> = (0..count)
            .map(|n| json!({"country": "US", "msisdn": format!("1415555{index}{n:03}"), "features": ["VOICE", "SMS"]}))
            .collect();
        Mock::given(path("/account/numbers"))
            .and(query_param("index", index.to_string()))
            .and(basic_auth("4f7c2a19", "the-api-secret"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({"count": 207, "numbers": numbers})))
            .expect(1)
            .mount(&server)
            .await;
    }
    let numbers = provider(&server).get_available_phone_numbers().await.unwrap();
    assert_eq!(numbers.len(), 207);
    assert_eq!((numbers[0].number.as_e164(), numbers[0].voice), ("+14155551000", true));
}

#[tokio::test]
async fn pointing_a_number_at_us_changes_the_application_and_says_who_shares_it() {
    let server = MockServer::start().await;
    let listed = |msisdn: &str, app: Option<&str>| {
        json!({"country": "US", "msisdn": msisdn, "features": ["VOICE"], "app_id": app, "moHttpUrl": "https://sms.example.com/",
            "voiceCallbackType": "tel"})
    };
    let one = json!({"count": 2, "numbers": [listed("141555501009", None), listed("14155550100", Some("other-app"))]});
    Mock::given(path("/account/numbers"))
        .and(query_param("pattern", "14155550100"))
        .respond_with(ResponseTemplate::new(200).set_body_json(one))
        .mount(&server)
        .await;
    let sharing = json!({"count": 2, "numbers": [listed("14155550100", None), listed("14155550102", None)]});
    Mock::given(path("/account/numbers"))
        .and(query_param("application_id", APPLICATION))
        .respond_with(ResponseTemplate::new(200).set_body_json(sharing))
        .mount(&server)
        .await;
    let linked = format!(
        "country=US&msisdn=14155550100&app_id={APPLICATION}&moHttpUrl=https%3A%2F%2Fsms.example.com%2F&\
         voiceCallbackType=app&voiceCallbackValue={APPLICATION}"
    );
    Mock::given(path("/number/update"))
        .and(body_string(linked))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(json!({"error-code": "200", "error-code-label": "success"})),
        )
        .expect(1)
        .mount(&server)
        .await;
    let application = json!({
        "id": APPLICATION, "name": "Mine", "keys": {"public_key": "PEM"}, "privacy": {"improve_ai": true},
        "capabilities": {"rtc": {"webhooks": {}}, "voice": {"webhooks": {}}}, "_links": {"self": {"href": "/"}},
    });
    Mock::given(method("GET"))
        .and(path(format!("/v2/applications/{APPLICATION}")))
        .and(basic_auth("4f7c2a19", "the-api-secret"))
        .respond_with(ResponseTemplate::new(200).set_body_json(application))
        .mount(&server)
        .await;
    Mock::given(method("PUT"))
        .and(path(format!("/v2/applications/{APPLICATION}")))
        .and(body_json(json!({
            "name": "Mine", "keys": {"public_key": "PEM"}, "privacy": {"improve_ai": true},
            "capabilities": {"rtc": {"webhooks": {}}, "voice": {"signed_callbacks": true, "webhooks": {
                "answer_url": {"address": "https://voice.example.com/a", "http_method": "POST"},
                "event_url": {"address": "https://voice.example.com/e", "http_method": "POST"},
            }}},
        })))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({})))
        .expect(1)
        .mount(&server)
        .await;
    let urls = InboundUrls {
        answer: "https://voice.example.com/a".parse().unwrap(),
        events: "https://voice.example.com/e".parse().unwrap(),
    };
    let binding = InboundBinding::to(number("+14155550100"), urls);
    let outcome = provider(&server).configure_inbound(&binding).await.unwrap();
    assert_eq!(
        outcome.also_affected,
        [
            "The number is no longer answered by the application other-app.",
            "The number's own forwarding (tel) is taken out.",
            "+…0102 is in the same application, and is answered by the same URLs now.",
        ]
    );
}

#[tokio::test]
async fn a_number_update_can_fail_with_status_200() {
    let server = MockServer::start().await;
    let listed = json!({"numbers": [{"country": "US", "msisdn": "14155550100", "features": ["VOICE"]}]});
    Mock::given(path("/account/numbers"))
        .respond_with(ResponseTemplate::new(200).set_body_json(listed))
        .mount(&server)
        .await;
    let failed = json!({"error-code": "401", "error-code-label": "authentication failed"});
    Mock::given(path("/number/update"))
        .respond_with(ResponseTemplate::new(200).set_body_json(failed))
        .mount(&server)
        .await;
    let binding = InboundBinding::clear(number("+14155550100"));
    let error = provider(&server).configure_inbound(&binding).await.unwrap_err();
    assert!(matches!(error, TelephonyError::Authentication { .. }), "{error}");
}

#[tokio::test]
async fn the_balance_is_a_number_in_euro() {
    let server = MockServer::start().await;
    Mock::given(path("/v1/calls"))
        .and(BearsToken)
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"count": 0, "_embedded": {"calls": []}})))
        .mount(&server)
        .await;
    Mock::given(path("/account/get-balance"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"value": 10.17, "autoReload": false})))
        .mount(&server)
        .await;
    let info = provider(&server).check_account().await.unwrap();
    assert_eq!(info.balance.unwrap().to_string(), "10.17 EUR");
}
