//! The simulated carrier against the recorded answers of Plivo's official Python library (4.63.0): the same fields of the same
//! kinds. And calls whose own id differs from their request's, which Plivo does not rule out.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::sync::Arc;

use pretty_assertions::assert_eq;
use serde_json::Value;
use telephony_core::{
    CallRef, CallStatus, CallUrls, HangUp, Operation, OutboundCall, ProviderContext, Secret, TelephonyError,
    TelephonyProvider, Url,
    http::{ApiRequest, HttpClient},
};
use telephony_plivo::{DESCRIPTOR, SIMULATOR};
use telephony_sandbox::{Observation, Sandbox, SandboxOptions};

/// A field's name and kind: a text, a number, a boolean, or whatever may be null.
type Fields = &'static [(&'static str, &'static str)];

const ACCOUNT: Fields = &[
    ("account_type", "text"),
    ("address", "text"),
    ("api_id", "text"),
    ("auth_id", "text"),
    ("auto_recharge", "boolean"),
    ("billing_mode", "text"),
    ("cash_credits", "text"),
    ("city", "text"),
    ("name", "text"),
    ("resource_uri", "text"),
    ("state", "text"),
    ("timezone", "text"),
];

const APPLICATION: Fields = &[
    ("answer_method", "text"),
    ("answer_url", "text"),
    ("api_id", "text"),
    ("app_id", "text"),
    ("app_name", "text"),
    ("default_app", "boolean"),
    ("default_endpoint_app", "boolean"),
    ("enabled", "boolean"),
    ("fallback_answer_url", "text"),
    ("fallback_method", "text"),
    ("hangup_method", "text"),
    ("hangup_url", "text"),
    ("message_method", "text"),
    ("message_url", "text"),
    ("public_uri", "boolean"),
    ("resource_uri", "text"),
    ("sip_uri", "text"),
    ("sub_account", "any"),
];

const NUMBER: Fields = &[
    ("active", "boolean"),
    ("added_on", "text"),
    ("alias", "any"),
    ("application", "any"),
    ("carrier", "text"),
    ("city", "any"),
    ("cnam_lookup", "text"),
    ("compliance_application_id", "any"),
    ("compliance_status", "any"),
    ("country", "text"),
    ("mms_enabled", "boolean"),
    ("mms_rate", "text"),
    ("monthly_rental_rate", "text"),
    ("number", "text"),
    ("number_type", "text"),
    ("region", "text"),
    ("renewal_date", "text"),
    ("resource_uri", "text"),
    ("sms_enabled", "boolean"),
    ("sms_rate", "text"),
    ("sub_account", "any"),
    ("tendlc_campaign_id", "any"),
    ("tendlc_registration_status", "text"),
    ("toll_free_sms_verification", "any"),
    ("voice_enabled", "boolean"),
    ("voice_rate", "text"),
];

const META: Fields =
    &[("limit", "number"), ("next", "any"), ("offset", "number"), ("previous", "any"), ("total_count", "number")];

const LIVE_CALL: Fields = &[
    ("api_id", "text"),
    ("call_status", "text"),
    ("call_uuid", "text"),
    ("caller_name", "text"),
    ("direction", "text"),
    ("from", "text"),
    ("request_uuid", "text"),
    ("session_start", "text"),
    ("to", "text"),
];

const RECORD: Fields = &[
    ("answer_time", "any"),
    ("api_id", "text"),
    ("bill_duration", "number"),
    ("billed_duration", "number"),
    ("call_direction", "text"),
    ("call_duration", "number"),
    ("call_uuid", "text"),
    ("end_time", "text"),
    ("from_number", "text"),
    ("hangup_cause_code", "number"),
    ("hangup_cause_name", "text"),
    ("hangup_source", "text"),
    ("initiation_time", "text"),
    ("parent_call_uuid", "any"),
    ("resource_uri", "text"),
    ("to_number", "text"),
    ("total_amount", "text"),
    ("total_rate", "text"),
];

fn has(fields: Fields, answer: &Value) {
    for (name, kind) in fields {
        let value = answer.get(name).unwrap_or_else(|| panic!("{name} is missing in {answer}"));
        let so = match *kind {
            "text" => value.is_string(),
            "number" => value.is_u64(),
            "boolean" => value.is_boolean(),
            _ => true,
        };
        assert!(so, "{name} is no {kind}: {value}");
    }
}

struct Customer {
    sandbox: Sandbox,
    provider: Arc<dyn TelephonyProvider>,
    http: HttpClient,
    account: Value,
}

impl Customer {
    async fn new(numbers: usize) -> Self {
        let sandbox = Sandbox::start(&SIMULATOR, SandboxOptions::default().with_numbers(numbers)).await.unwrap();
        let mut account = sandbox.account();
        account.as_object_mut().unwrap().remove("provider");
        let context = ProviderContext::network().unwrap();
        let refused = |operation, status: http::StatusCode, _: &http::HeaderMap, _: &[u8]| {
            let carrier = telephony_core::CarrierMessage::status(status.as_u16());
            TelephonyError::Rejected { provider: DESCRIPTOR.name(), operation, carrier }
        };
        let http = HttpClient::new(DESCRIPTOR.name(), context.transport.clone(), context.http_policy.clone(), refused);
        let provider = DESCRIPTOR.build(&account, context).unwrap();
        Self { sandbox, provider, http, account }
    }

    async fn ask(&self, path: &str) -> Value {
        let auth_id = self.account["auth_id"].as_str().unwrap();
        let url: Url = self.sandbox.api_url().join(&format!("v1/Account/{auth_id}/{path}")).unwrap();
        let token = Secret::new(self.account["auth_token"].as_str().unwrap());
        let request = ApiRequest::get(url).basic(auth_id, &token);
        self.http.send(Operation::CheckAccount, request).await.unwrap().json().unwrap()
    }

    /// Calls somebody who rings and rings.
    async fn call(&self) -> CallRef {
        let urls = CallUrls {
            answer: "http://127.0.0.1:9/a".parse().unwrap(),
            events: "http://127.0.0.1:9/e".parse().unwrap(),
            media: "ws://127.0.0.1:9/m".parse().unwrap(),
        };
        let from = self.sandbox.numbers().remove(0);
        let order = OutboundCall::new("+12025550102".parse::<telephony_core::PhoneNumber>().unwrap(), from, urls);
        self.provider.initiate_call(&order).await.unwrap().call
    }

    /// Waits until the handset rings, and says what the call is called.
    async fn rings(&self) -> String {
        let rang = self.sandbox.wait_for(|seen| matches!(seen, Observation::HandsetRang { .. })).await;
        let Observation::HandsetRang { call } = rang else { panic!("{rang:?}") };
        call
    }
}

#[tokio::test]
async fn answers_have_the_fields_of_recorded_ones() {
    let customer = Customer::new(21).await;
    has(ACCOUNT, &customer.ask("").await);
    let applications = customer.ask("Application/").await;
    has(META, &applications["meta"]);
    has(APPLICATION, &applications["objects"][0]);
    let id = customer.account["application_id"].as_str().unwrap();
    has(APPLICATION, &customer.ask(&format!("Application/{id}/")).await);

    let numbers = customer.ask("Number/?limit=20&offset=0").await;
    has(META, &numbers["meta"]);
    assert_eq!(numbers["meta"]["total_count"], 21);
    assert!(numbers["meta"]["next"].as_str().unwrap().ends_with("/Number/?limit=20&offset=20"));
    has(NUMBER, &numbers["objects"][0]);
    has(NUMBER, &customer.ask("Number/13035550100/").await);
    assert_eq!(customer.ask("Number/?number_startswith=1303555012").await["meta"]["total_count"], 1);

    customer.call().await;
    let call = customer.rings().await;
    has(LIVE_CALL, &customer.ask(&format!("Call/{call}/?status=live")).await);
    // As the library for Node.js asks.
    has(LIVE_CALL, &customer.ask(&format!("Call/{call}?status=live")).await);
    has(ACCOUNT, &customer.ask("/").await);
    assert_eq!(customer.ask("Call/?status=live").await["calls"], serde_json::json!([call]));
    assert_eq!(customer.ask("Call/?status=queued").await["calls"], serde_json::json!([]));
    assert_eq!(customer.ask("Call/").await["objects"], serde_json::json!([]));
    assert_eq!(customer.provider.hang_up(&CallRef::new(call.parse().unwrap())).await.unwrap(), HangUp::Ended);
    customer.sandbox.wait_for(|seen| matches!(seen, Observation::CallEnded { .. })).await;
    let record = customer.ask(&format!("Call/{call}/")).await;
    has(RECORD, &record);
    assert_eq!((&record["hangup_cause_code"], &record["hangup_source"]), (&1000.into(), &"API Request".into()));
    let records = customer.ask("Call/?hangup_cause_code=1000&call_direction=outbound&to_number=1202555").await;
    has(META, &records["meta"]);
    has(RECORD, &records["objects"][0]);
    assert_eq!(customer.ask("Call/?hangup_cause_code=4000").await["meta"]["total_count"], 0);
}

#[tokio::test]
async fn a_call_that_is_not_called_like_its_request_is_asked_for_and_hung_up() {
    let customer = Customer::new(1).await;
    let unnamed = customer.call().await;
    assert_eq!(unnamed.id(), None);
    let own = customer.rings().await;
    assert_ne!(unnamed.handle("request_uuid"), Some(own.as_str()));
    let snapshot = customer.provider.get_call_status(&unnamed).await.unwrap();
    assert_eq!(snapshot.state.status(), Some(CallStatus::Ringing));
    assert_eq!(snapshot.call.id().unwrap().to_string(), own);
    assert_eq!(customer.provider.hang_up(&unnamed).await.unwrap(), HangUp::Ended);
    customer.sandbox.wait_for(|seen| matches!(seen, Observation::CallEnded { .. })).await;
    // Under its request's name there is nothing, and the name that was learnt above still says it all.
    assert!(matches!(customer.provider.get_call_status(&unnamed).await, Err(TelephonyError::NotFound { .. })));
    assert_eq!(customer.provider.hang_up(&snapshot.call).await.unwrap(), HangUp::AlreadyEnded);
    let over = customer.provider.get_call_status(&snapshot.call).await.unwrap();
    assert_eq!(over.state.status(), Some(CallStatus::Canceled));
}
