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
    Conformance::of(simulator.provider(), simulator).live(account.to_string()).report("live::")
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

#[test]
fn an_account_that_cannot_be_used_fails() {
    let simulator = telephony_sandbox::registered()[0];
    let wrong = live(simulator, |account, _| *account = json!({"nonsense": true}));
    assert!(wrong.iter().all(|trial| trial.failure.is_some()), "{wrong:#?}");
    let none = live(simulator, |account, _| *account = json!("no object"));
    let [TrialReport { failure: Some(said), .. }] = none.as_slice() else { panic!("{none:#?}") };
    assert!(said.contains("TELEPHONY_LIVE_") && said.contains("JSON object"), "{said}");
}
