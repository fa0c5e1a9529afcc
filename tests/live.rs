//! The trials that a provider's author runs against the carrier, run here against simulated ones.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use serde_json::{Value, json};
use telephony_sandbox::{Sandbox, SandboxOptions, SimulatorDescriptor};
use telephony_testkit::{Conformance, TrialReport};
// Links the providers.
use telephony_gateway as _;

/// How the live trials go for a simulator, with its account and what is put into it.
fn live(simulator: &'static SimulatorDescriptor, more: impl FnOnce(&mut Value, &Sandbox)) -> Vec<TrialReport> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let sandbox = runtime.block_on(Sandbox::start(simulator, SandboxOptions::default())).unwrap();
    let mut account = sandbox.account();
    more(&mut account, &sandbox);
    Conformance::of(simulator.provider(), simulator).live(account.to_string()).report("live::").trials().to_vec()
}

#[test]
fn an_account_is_checked_and_a_call_rings_and_ends() {
    for simulator in telephony_sandbox::registered() {
        let trials = live(simulator, |account, sandbox| {
            account["dial"] = json!({"from": sandbox.numbers()[0].as_e164(), "to": "+12025550102"});
        });
        assert_eq!(trials.len(), 5);
        let failed: Vec<_> = trials.iter().filter(|trial| trial.failure.is_some()).collect();
        assert!(failed.is_empty(), "{}: {failed:#?}", simulator.provider().name());
    }
}

#[test]
fn nothing_is_dialled_unless_it_is_said_whom() {
    let simulator = telephony_sandbox::registered()[0];
    let names: Vec<_> = live(simulator, |_, _| {}).into_iter().map(|trial| trial.name).collect();
    assert!(names.len() == 4 && names.iter().all(|name| !name.contains("initiate_call")), "{names:?}");
}

/// What is said of an account that cannot be used: one trial, which asks nobody.
fn complaint(simulator: &'static SimulatorDescriptor, more: impl FnOnce(&mut Value, &Sandbox)) -> String {
    let trials = live(simulator, more);
    let [TrialReport { name, failure: Some(said), .. }] = trials.as_slice() else { panic!("{trials:#?}") };
    assert_eq!(name, "live::account");
    said.clone()
}

#[test]
fn an_account_that_cannot_be_used_is_said_to_be_so_without_its_secrets() {
    for simulator in telephony_sandbox::registered() {
        let schema = simulator.provider().config_schema();
        let mut secrets = Vec::new();
        let said = complaint(simulator, |account, _| {
            let fields = account.as_object_mut().unwrap();
            for name in telephony_core::config::secret_fields(&schema) {
                secrets.extend(fields.get(&name).and_then(Value::as_str).map(str::to_owned));
            }
            fields.remove(simulator.provider().account_id_field());
            fields.insert("no_such_field".to_owned(), true.into());
        });
        let missing = format!("{}: is missing", simulator.provider().account_id_field());
        assert!(said.contains(&missing) && said.contains("no_such_field: is not a field"), "{said}");
        assert!(!secrets.is_empty() && secrets.iter().all(|secret| !said.contains(secret)), "{said}");
    }
}

#[test]
fn what_is_no_account_and_whom_nobody_can_be_called_at_is_named() {
    let simulator = telephony_sandbox::registered()[0];
    let variable = format!("TELEPHONY_LIVE_{}", simulator.provider().name().as_str().to_uppercase());
    let said = complaint(simulator, |account, _| *account = json!("no object"));
    assert!(said.contains(&variable) && said.contains("JSON, and no object"), "{said}");
    let report = Conformance::of(simulator.provider(), simulator).live("{\"auth_token\": s3cret").report("live::");
    let said = report.trials()[0].failure.clone().unwrap();
    assert!(said.contains("no JSON, at line 1 column 16") && !said.contains("s3cret"), "{said}");
    for (dial, wanted) in [
        (json!("+12025550100"), "no object"),
        (json!({"from": "+13035550100"}), "no text \"to\""),
        (json!({"from": "+13035550100", "to": "12025550100"}), "\"to\", of which"),
        (json!({"from": "+13035550100", "to": "+12025550100", "form": 1}), "the member \"form\""),
    ] {
        let said = complaint(simulator, |account, _| account["dial"] = dial);
        assert!(said.contains("dial in TELEPHONY_LIVE_") && said.contains(wanted), "{said}");
        assert!(!said.contains("2025550100"), "{said}");
    }
}

#[test]
fn a_carrier_that_quotes_a_secret_does_not_bring_it_into_the_output() {
    let simulator = telephony_sandbox::registered().into_iter().find(|one| one.provider().name().as_str() == "twilio");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = runtime.block_on(wiremock::MockServer::start());
    let body = json!({"code": 20003, "message": "0123456789abcdef0123456789abcdef is no token", "status": 400});
    let answer = wiremock::ResponseTemplate::new(400).set_body_json(body);
    runtime.block_on(wiremock::Mock::given(wiremock::matchers::any()).respond_with(answer).mount(&server));
    let simulator = simulator.unwrap();
    let account = json!({
        "account_sid": "AC00000000000000000000000000000000", "auth_token": "0123456789abcdef0123456789abcdef",
        "api_base_url": server.uri(),
    });
    let report =
        Conformance::of(simulator.provider(), simulator).live(account.to_string()).report("live::check_account");
    let said = report.trials()[1].failure.clone().unwrap();
    assert!(said.contains("[secret] is no token") && !said.contains("0123456789abcdef"), "{said}");
}
