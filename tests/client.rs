//! The TypeScript client: made from the API's description, type-checked, and run against a serving gateway.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use telephony_core::ProviderContext;
use telephony_gateway::{
    service::{ServiceOptions, Serving},
    store::{DatabaseUrl, KeyRing, Store},
};
use telephony_registry::Registry;
use telephony_sandbox::{Sandbox, SandboxOptions, registered};
use tests::tenant::Tenant;
use tokio::process::Command;

/// The handset that hangs up at once.
const HANGS_UP: &str = "+12025550106";

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("clients/typescript");
    let installed = folder.join("node_modules/typescript").is_dir();
    assert!(installed, "the client's packages are missing: run `cargo xtask generate-client`");
    folder
}

/// Runs a program in the client's folder; what it printed, and whether it succeeded.
async fn run(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> (bool, String, String) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder()).envs(environment.iter().copied()).kill_on_drop(true);
    let output = command.output().await.unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn the_client_is_well_typed_and_places_a_call() {
    for script in ["generate", "build"] {
        let (succeeds, printed, errors) = run("npm", &["run", "--silent", script], &[]).await;
        assert!(succeeds, "npm run {script}: {printed}{errors}");
    }

    let (url, keys) = (DatabaseUrl::Memory, KeyRing::generate());
    let store = Store::open(&url, keys).await.unwrap();
    let owner = store.create_organization("ours", 20).await.unwrap().id;
    let token = store.create_api_token(owner, "test").await.unwrap().token.expose().to_owned();
    let (registry, context) = (Registry::linked().unwrap(), ProviderContext::network().unwrap());
    let anywhere = (Ipv4Addr::LOCALHOST, 0).into();
    let serving = Serving::start(store, registry, context, anywhere, None, ServiceOptions::default()).await.unwrap();
    let gateway = format!("http://{}", serving.address());
    let environment = [("TELEPHONY_URL", gateway.as_str()), ("TELEPHONY_API_TOKEN", token.as_str())];
    let place = ["dist/example.js", HANGS_UP];

    // Without an account, and with a token that is none, it says what is wrong.
    let (succeeds, _, errors) = run("node", &place, &environment).await;
    assert!(!succeeds && errors.contains("configuration_id"), "{errors}");
    let (succeeds, _, errors) = run("node", &place, &[environment[0], ("TELEPHONY_API_TOKEN", "tel_none")]).await;
    assert!(!succeeds && errors.contains("401"), "{errors}");

    let sandbox = Sandbox::start(registered()[0], SandboxOptions::default()).await.unwrap();
    let mut config = sandbox.account();
    let provider = config.as_object_mut().unwrap().remove("provider").unwrap();
    let from = sandbox.numbers()[0].as_e164().to_owned();
    let account = json!({"name": "main", "provider": provider, "config": config, "default_from": from});
    let tenant = Tenant::new(&gateway, &token);
    tenant.post("/telephony/configurations", account).await;
    let (succeeds, printed, errors) = run("node", &place, &environment).await;
    assert!(succeeds, "{errors}");
    let seen: Value = serde_json::from_str(&printed).unwrap();
    assert!(seen["providers"].as_array().unwrap().contains(&provider), "{seen}");
    assert_eq!(seen["call"]["status"], "completed", "{seen}");
    let path = format!("/calls/{}/events", seen["call"]["id"].as_str().unwrap());
    assert_eq!(tenant.get(&path).await, seen["events"], "the whole ledger is read");
    serving.stop().await;
    sandbox.stop().await;
}
