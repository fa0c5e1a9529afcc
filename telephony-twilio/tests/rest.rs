//! What goes over the wire to Twilio's REST API, byte for byte where it matters.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{sync::Arc, time::Duration};

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use telephony_core::{
    CallCost, CallRef, CallStatus, CallUrls, InboundBinding, InboundUrls, MachineDetection, Money, OutboundCall,
    PhoneNumber, ProviderContext, RecordingRequest, TelephonyError, TelephonyProvider,
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{basic_auth, header, method, path, query_param},
};

const SID: &str = "AC0123456789abcdef0123456789abcdef";
const ROOT: &str = "/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef";

async fn provider(server: &MockServer, more: Value) -> Arc<dyn TelephonyProvider> {
    let mut account = json!({"account_sid": SID, "auth_token": "the-auth-token", "api_base_url": server.uri()});
    account.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    telephony_twilio::DESCRIPTOR.build(&account, ProviderContext::network().unwrap()).unwrap()
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
    CallRef::new("CAfedcba9876543210fedcba9876543210".parse().unwrap())
}

/// A Call resource as Twilio writes it, with these members changed.
fn resource(changed: Value) -> Value {
    let mut call = json!({
        "sid": "CAfedcba9876543210fedcba9876543210", "account_sid": SID, "status": "queued", "direction": "outbound-api",
        "to": "+14155550111", "from": "+14155550100", "start_time": null, "end_time": null, "duration": null,
        "price": null, "price_unit": "USD", "answered_by": null, "queue_time": "1000",
    });
    call.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
    call
}

/// The form that the one request to the server brought, in order.
async fn form(server: &MockServer) -> Vec<(String, String)> {
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    url::form_urlencoded::parse(&requests[0].body).into_owned().collect()
}

fn pairs(form: &[(&str, &str)]) -> Vec<(String, String)> {
    form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_call_with_every_option() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path(format!("{ROOT}/Calls.json")))
        .and(basic_auth(SID, "the-auth-token"))
        .and(header("content-type", "application/x-www-form-urlencoded"))
        .respond_with(ResponseTemplate::new(201).set_body_json(resource(json!({}))))
        .mount(&server)
        .await;
    let order = order()
        .with_ring_timeout(Duration::from_millis(20_500))
        .with_time_limit(Duration::from_secs(600))
        .with_machine_detection(MachineDetection::DetectBeep)
        .with_recording(RecordingRequest::dual_channel());
    let placed = provider(&server, json!({})).await.initiate_call(&order).await.unwrap();
    assert_eq!(placed.status, CallStatus::Queued);
    assert_eq!(placed.call.to_string(), "CAfedcba9876543210fedcba9876543210");
    assert_eq!(
        form(&server).await,
        pairs(&[
            ("To", "+14155550111"),
            ("From", "+14155550100"),
            ("Url", "https://voice.example.com/a?run=1&x=2"),
            ("Method", "POST"),
            ("StatusCallback", "https://voice.example.com/e"),
            ("StatusCallbackMethod", "POST"),
            ("StatusCallbackEvent", "initiated"),
            ("StatusCallbackEvent", "ringing"),
            ("StatusCallbackEvent", "answered"),
            ("StatusCallbackEvent", "completed"),
            ("Timeout", "21"),
            ("TimeLimit", "600"),
            ("MachineDetection", "DetectMessageEnd"),
            ("AsyncAmd", "true"),
            ("AsyncAmdStatusCallback", "https://voice.example.com/e"),
            ("AsyncAmdStatusCallbackMethod", "POST"),
            ("Record", "true"),
            ("RecordingChannels", "dual"),
            ("RecordingStatusCallback", "https://voice.example.com/e"),
            ("RecordingStatusCallbackMethod", "POST"),
            ("RecordingStatusCallbackEvent", "in-progress"),
            ("RecordingStatusCallbackEvent", "completed"),
            ("RecordingStatusCallbackEvent", "absent"),
        ])
    );
}

#[tokio::test]
async fn options_that_twilio_would_drop_or_refuse() {
    let server = MockServer::start().await;
    let provider = provider(&server, json!({})).await;
    let digits = || order().with_digits_on_answer("1w2".parse().unwrap());
    for (order, field) in [
        (order().with_ring_timeout(Duration::from_secs(601)), "ring_timeout"),
        (order().with_time_limit(Duration::ZERO), "time_limit"),
        (order().with_digits_on_answer("1".repeat(33).parse().unwrap()), "digits_on_answer"),
        (digits().with_machine_detection(MachineDetection::Detect), "machine_detection"),
        (order().with_machine_detection(MachineDetection::HangUp), "machine_detection"),
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
async fn an_api_key_signs_in_and_the_account_stays_in_the_path() {
    let server = MockServer::start().await;
    let key = "SK0123456789abcdef0123456789abcdef";
    let provider = provider(&server, json!({"api_key_sid": key, "api_key_secret": "the-key-secret"})).await;
    Mock::given(path(format!("{ROOT}.json")))
        .respond_with(ResponseTemplate::new(401).set_body_json(json!({"code": 20003, "message": "Authenticate"})))
        .mount(&server)
        .await;
    Mock::given(path(format!("{ROOT}/Calls.json")))
        .and(basic_auth(key, "the-key-secret"))
        .and(query_param("PageSize", "1"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"calls": []})))
        .mount(&server)
        .await;
    let info = provider.check_account().await.unwrap();
    assert_eq!(info.id, SID);
    assert_eq!(info.notes.len(), 2, "{:?}", info.notes);
}

#[tokio::test]
async fn a_suspended_account_is_no_working_account() {
    let server = MockServer::start().await;
    let account = json!({"sid": SID, "friendly_name": "Mine", "status": "suspended", "type": "Full"});
    Mock::given(path(format!("{ROOT}.json")))
        .respond_with(ResponseTemplate::new(200).set_body_json(account))
        .mount(&server)
        .await;
    let error = provider(&server, json!({})).await.check_account().await.unwrap_err();
    assert_eq!(error.to_string(), "twilio does not permit check_account: the account is suspended");
}

#[tokio::test]
async fn pages_are_followed_and_credentials_go_nowhere_else() {
    let page = |numbers: &[&str], next: Option<String>| {
        let numbers: Vec<Value> = numbers.iter().map(|number| json!({"sid": "PN1", "phone_number": number})).collect();
        ResponseTemplate::new(200).set_body_json(json!({"incoming_phone_numbers": numbers, "next_page_uri": next}))
    };
    for (next, works) in [
        (format!("{ROOT}/IncomingPhoneNumbers.json?Page=1&PageToken=PA%2B1"), true),
        ("https://evil.example/steal".to_owned(), false),
    ] {
        let server = MockServer::start().await;
        Mock::given(path(format!("{ROOT}/IncomingPhoneNumbers.json")))
            .and(query_param("PageToken", "PA+1"))
            .respond_with(page(&["+14155550102"], None))
            .with_priority(1)
            .mount(&server)
            .await;
        Mock::given(path(format!("{ROOT}/IncomingPhoneNumbers.json")))
            .respond_with(page(&["+14155550101", "12345"], Some(next)))
            .mount(&server)
            .await;
        let verified =
            json!({"outgoing_caller_ids": [{"sid": "PN2", "phone_number": "+14155550199", "friendly_name": "Anna"}]});
        Mock::given(path(format!("{ROOT}/OutgoingCallerIds.json")))
            .respond_with(ResponseTemplate::new(200).set_body_json(verified))
            .mount(&server)
            .await;
        let outcome = provider(&server, json!({})).await.get_available_phone_numbers().await;
        if works {
            let numbers: Vec<String> = outcome.unwrap().iter().map(|owned| owned.number.as_e164().to_owned()).collect();
            assert_eq!(numbers, ["+14155550101", "+14155550102", "+14155550199"]);
        } else {
            assert!(matches!(outcome, Err(TelephonyError::UnexpectedResponse { .. })), "{outcome:?}");
        }
    }
}

fn money(amount: &str, currency: &str) -> Money {
    Money::parse(amount, currency).unwrap()
}

#[tokio::test]
async fn a_price_is_negative_text_and_late() {
    for (price, unit, expected) in [
        (json!(null), json!("USD"), CallCost::Pending),
        (json!("-0.03000"), json!("USD"), CallCost::rated(money("0.03000", "USD"))),
        (json!("-0.00850"), json!("eur"), CallCost::rated(money("0.00850", "EUR"))),
    ] {
        let server = MockServer::start().await;
        Mock::given(path(format!("{ROOT}/Calls/CAfedcba9876543210fedcba9876543210.json")))
            .respond_with(ResponseTemplate::new(200).set_body_json(resource(json!({
                "status": "completed", "price": price, "price_unit": unit, "duration": "42",
                "start_time": "Tue, 31 Aug 2010 20:36:28 +0000",
            }))))
            .mount(&server)
            .await;
        let provider = provider(&server, json!({})).await;
        assert_eq!(provider.get_call_cost(&call()).await.unwrap(), expected);
        let snapshot = provider.get_call_status(&call()).await.unwrap();
        assert_eq!(snapshot.duration, Some(Duration::from_secs(42)));
        assert_eq!(snapshot.started_at.unwrap().to_string(), "2010-08-31 20:36:28.0 +00:00:00");
        assert_eq!(snapshot.state.status(), Some(CallStatus::Completed));
    }
}

#[tokio::test]
async fn pointing_a_number_at_us_takes_out_what_would_overrule_it() {
    let server = MockServer::start().await;
    let listed = |number: &str| json!({"sid": format!("PN{}", &number[8..]), "phone_number": number, "voice_application_sid": "AP1", "trunk_sid": ""});
    // The filter finds parts of numbers too.
    let page = json!({"incoming_phone_numbers": [listed("+141555501009"), listed("+14155550100")]});
    Mock::given(method("GET"))
        .and(path(format!("{ROOT}/IncomingPhoneNumbers.json")))
        .and(query_param("PhoneNumber", "+14155550100"))
        .respond_with(ResponseTemplate::new(200).set_body_json(page))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path(format!("{ROOT}/IncomingPhoneNumbers/PN0100.json")))
        .and(wiremock::matchers::body_string(
            "VoiceUrl=https%3A%2F%2Fvoice.example.com%2Fa&VoiceMethod=POST&\
             StatusCallback=https%3A%2F%2Fvoice.example.com%2Fe&StatusCallbackMethod=POST&VoiceApplicationSid=",
        ))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({})))
        .expect(1)
        .mount(&server)
        .await;
    let urls = InboundUrls {
        answer: "https://voice.example.com/a".parse().unwrap(),
        events: "https://voice.example.com/e".parse().unwrap(),
    };
    let binding = InboundBinding::to(number("+14155550100"), urls);
    let outcome = provider(&server, json!({})).await.configure_inbound(&binding).await.unwrap();
    assert_eq!(outcome.also_affected, ["The number is no longer answered by the TwiML application AP1."]);
}

#[tokio::test]
async fn digits_on_a_live_call_go_on_with_the_answer_url() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path(format!("{ROOT}/Calls/CAfedcba9876543210fedcba9876543210.json")))
        .respond_with(ResponseTemplate::new(200).set_body_json(resource(json!({}))))
        .mount(&server)
        .await;
    let provider = provider(&server, json!({})).await;
    let digits = "12w#".parse().unwrap();
    let refused = provider.send_digits(&call(), &digits).await.unwrap_err();
    assert!(matches!(&refused, TelephonyError::InvalidRequest { problem, .. } if problem.field == "call"), "{refused}");
    provider.send_digits(&call().with_handle("answer_url", "https://voice.example.com/a"), &digits).await.unwrap();
    assert_eq!(
        form(&server).await,
        pairs(&[(
            "Twiml",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Play digits=\"12w#\"/>\
             <Redirect method=\"POST\">https://voice.example.com/a</Redirect></Response>"
        )])
    );
}
