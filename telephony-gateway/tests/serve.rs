//! `telephony serve` and what stands beside it, as programs that are started, asked and killed.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead, BufReader, Lines},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use telephony_core::{ProviderContext, Timestamp, WebhookRequest};
use telephony_gateway::store::{DatabaseUrl, KeyRing, Store};
use telephony_registry::Registry;
use telephony_sandbox::{Observation, Sandbox, SandboxOptions};
use tokio_tungstenite::tungstenite::Message;

fn telephony(folder: &Path, arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_telephony"));
    for variable in ["RUST_LOG", "DATABASE_URL", "TELEPHONY_MASTER_KEY", "TELEPHONY_DATA", "TELEPHONY_PUBLIC_URL"] {
        program.env_remove(variable);
    }
    program.args(arguments).current_dir(folder).output().unwrap()
}

/// Runs it, and returns what it printed.
fn said(folder: &Path, arguments: &[&str]) -> String {
    let output = telephony(folder, arguments);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out
}

/// Runs it, and returns why it refused.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = telephony(folder, arguments);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {err}");
    err
}

/// The file with what the gateways of a folder log.
const LOG: &str = "log.jsonl";

/// A gateway that runs.
struct Serve {
    program: Child,
    /// What it printed until it was ready.
    introduction: String,
    /// What it prints afterwards has somewhere to go.
    _output: BufReader<ChildStdout>,
}

impl Serve {
    fn start(folder: &Path, listen: SocketAddr) -> Self {
        Self::start_logging(folder, listen, "info", "json")
    }

    fn start_logging(folder: &Path, listen: SocketAddr, what: &str, format: &str) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_telephony"))
            .args(["serve", "--log-format", format, "--listen", &listen.to_string()])
            .current_dir(folder)
            .env_remove("DATABASE_URL")
            .env_remove("TELEPHONY_MASTER_KEY")
            .env("RUST_LOG", what)
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(folder.join(LOG)).unwrap())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(program.stdout.take().unwrap());
        let mut introduction = String::new();
        while !introduction.contains("The API is described") {
            assert_ne!(output.read_line(&mut introduction).unwrap(), 0, "it ended: {introduction}");
        }
        Self { program, introduction, _output: output }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.program.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn end(mut self, signal: &str) -> Option<i32> {
        self.signal(signal);
        self.program.wait().unwrap().code()
    }
}

/// Of a test that is over, nothing goes on.
impl Drop for Serve {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ended_already = self.program.kill();
        let _nobody_asks = self.program.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

#[test]
fn accounts_numbers_and_workflows_from_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let simulator = telephony_sandbox::registered()[0];
    let sandbox = runtime.block_on(Sandbox::start(simulator, SandboxOptions::default())).unwrap();
    let account = sandbox.account();
    fs::write(folder.join("account.json"), account.to_string()).unwrap();

    assert!(said(folder, &["config", "list"]).contains("no account yet"));
    said(folder, &["config", "add", "main", "--file", "account.json"]);
    let shown = said(folder, &["config", "show", "main"]);
    for secret in telephony_core::config::secret_fields(&simulator.provider().config_schema()) {
        assert!(!shown.contains(account[&secret].as_str().unwrap()), "{shown}");
    }
    assert!(said(folder, &["config", "test", "main"]).starts_with("It works"));
    assert!(said(folder, &["numbers", "import", "main"]).contains("numbers"));
    said(folder, &["workflows", "add", "demo", "--record", "--agent", r#"{"type": "echo"}"#]);
    let number = sandbox.numbers()[0].as_e164().to_owned();
    let assigned = said(folder, &["numbers", "assign", &number, "demo", "--public-url", "https://voice.example.com"]);
    assert!(assigned.starts_with("It is done"), "{assigned}");
    let listed: Value = serde_json::from_str(&said(folder, &["numbers", "list", "--json"])).unwrap();
    assert!(
        listed.as_array().unwrap().iter().any(|row| row["number"] == number && row["workflow"] == "demo"),
        "{listed}"
    );
    let token = said(folder, &["tokens", "create", "ci"]);
    assert!(token.starts_with("tel_") && !said(folder, &["tokens", "list"]).contains(token.trim()));
    assert!(said(folder, &["keys", "rotate"]).starts_with("1 secrets"));
    assert!(said(folder, &["config", "test", "main"]).starts_with("It works"), "the new key opens it");

    assert!(refused(folder, &["config", "show", "nonesuch"]).contains("main"));
    assert!(refused(folder, &["config", "add", "main", "--file", "account.json"]).contains("another called"));
    assert!(refused(folder, &["config", "add", "x"]).contains("--provider"));
    let provider = simulator.provider().name().as_str();
    assert!(
        refused(folder, &["config", "add", "x", "--provider", provider, "--set", "nonsense=s3cr3t"])
            .contains("nonsense")
    );
    assert!(refused(folder, &["workflows", "add", "x", "--agent", r#"{"type": "magic"}"#]).contains("magic"));
    assert!(refused(folder, &["tokens", "list", "--organization", "nobody"]).contains("nobody"));
    assert!(refused(folder, &["config", "list", "--database", "mysql://x"]).contains("postgres://"));
    said(folder, &["workflows", "remove", "demo"]);
    said(folder, &["config", "remove", "main"]);
    assert!(said(folder, &["numbers", "list"]).contains("no number yet"));
    runtime.block_on(sandbox.stop());
}

#[test]
fn organizations_from_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(said(folder, &["organizations", "list"]).contains("no organization yet"));
    said(folder, &["organizations", "add", "acme"]);
    said(folder, &["organizations", "add", "umbrella", "--limit", "2"]);
    let simulator = telephony_sandbox::registered()[0];
    let mut account = simulator.build().account(&"http://127.0.0.1:9/".parse().unwrap());
    account["provider"] = simulator.provider().name().as_str().into();
    fs::write(folder.join("account.json"), account.to_string()).unwrap();
    said(folder, &["config", "add", "main", "--file", "account.json", "--organization", "umbrella"]);
    let list = || -> Vec<Value> {
        let listed: Value = serde_json::from_str(&said(folder, &["organizations", "list", "--json"])).unwrap();
        let row =
            |row: &Value| json!([row["name"], row["accounts"], row["concurrent_calls"], row["max_concurrent_calls"]]);
        listed.as_array().unwrap().iter().map(row).collect()
    };
    assert_eq!(list(), [json!(["acme", 0, 0, 10]), json!(["umbrella", 1, 0, 2])]);
    assert!(said(folder, &["config", "list"]).contains("no account yet"), "the first has none");
    said(folder, &["organizations", "rename", "umbrella", "wonka"]);
    said(folder, &["organizations", "set-limit", "wonka", "0"]);
    assert_eq!(list(), [json!(["acme", 0, 0, 10]), json!(["wonka", 1, 0, 0])]);
    let shown: Value = serde_json::from_str(&said(folder, &["organizations", "show", "wonka", "--json"])).unwrap();
    assert_eq!((&shown["name"], &shown["accounts"]), (&json!("wonka"), &json!(1)));

    assert!(refused(folder, &["organizations", "show", "umbrella"]).contains("acme, wonka"));
    assert!(refused(folder, &["organizations", "add", "acme"]).contains("acme"));
    assert!(refused(folder, &["organizations", "rename", "wonka", "acme"]).contains("acme"));
    assert!(refused(folder, &["organizations", "rename", "wonka", " x"]).contains("name"));
    assert!(refused(folder, &["organizations", "set-limit", "wonka", "10001"]).contains("10000"));
    assert_eq!(list(), [json!(["acme", 0, 0, 10]), json!(["wonka", 1, 0, 0])]);
    assert!(said(folder, &["organizations", "--help"]).contains("--organization NAME"));

    let listen = free_address();
    let base = format!("http://{listen}");
    let link = said(folder, &["organizations", "sign-in", "wonka", "--public-url", &base]);
    let token = said(folder, &["tokens", "create", "ci", "--organization", "wonka"]);
    let _serve = Serve::start(folder, listen);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let signed_in = browser.get(link.trim()).send().await.unwrap();
        assert_eq!(signed_in.status(), 303);
        let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let who = browser.get(format!("{base}/api/v1/organization")).header("cookie", cookie).send().await.unwrap();
        let who: Value = serde_json::from_str(&who.text().await.unwrap()).unwrap();
        assert_eq!(who["name"], "wonka");
        assert_eq!(ask(listen, token.trim(), "/organization", None).await["max_concurrent_calls"], 0);
    });
}

/// The handset that hangs up once it is answered.
const HANGS_UP: &str = "+12025550106";

#[test]
fn a_simulated_carrier_calls_the_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    said(folder, &["workflows", "add", "demo", "--agent", r#"{"type": "echo"}"#]);
    let listen = free_address();
    let gateway = format!("http://{listen}");
    let call = |provider| ["simulate", provider, "--call", "demo", "--from", HANGS_UP, "--public-url", &gateway];
    let names = telephony_sandbox::registered().into_iter().map(|simulator| simulator.provider().name().as_str());
    let names: Vec<&str> = names.collect();
    let why = refused(folder, &call(names[0]));
    assert!(why.contains("nothing answers") && why.contains(&gateway), "{why}");

    let _serve = Serve::start(folder, listen);
    for name in &names {
        let told = said(folder, &[&call(name)[..], &["--json"]].concat());
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!((&told["status"], &told["from"]), (&json!("completed"), &json!(HANGS_UP)), "{name}: {told}");
    }
    let told = said(folder, &call(names[0]));
    assert!(told.contains("The call is over: completed."), "{told}");
    assert!(said(folder, &["config", "list"]).contains("no account yet"), "its account is gone with it");
    assert!(refused(folder, &["simulate", names[0], "--call", "nonesuch"]).contains("demo"));
}

/// A program that runs, and does not outlive the test.
struct Program(Child);

impl Program {
    /// Starts it, and reads what it prints.
    fn start(folder: &Path, arguments: &[&str]) -> (Self, Lines<BufReader<ChildStdout>>) {
        let mut program = Command::new(env!("CARGO_BIN_EXE_telephony"));
        let mut child = program.args(arguments).current_dir(folder).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (Self(child), lines)
    }

    fn end(&mut self, signal: &str) -> Option<i32> {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that has ended needs no more.
        let _has_ended = self.0.kill();
        let _was_waited_for = self.0.wait();
    }
}

/// The accounts of the folder's first organization.
fn accounts(folder: &Path) -> Vec<Value> {
    serde_json::from_str(&said(folder, &["config", "list", "--json"])).unwrap()
}

#[test]
fn a_simulated_carrier_calls_the_number_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    said(folder, &["workflows", "add", "demo", "--agent", r#"{"type": "echo"}"#]);
    let listen = free_address();
    let gateway = format!("http://{listen}");
    let _serve = Serve::start(folder, listen);
    for simulator in telephony_sandbox::registered() {
        let name = simulator.provider().name().as_str();
        for to in ["+447700900123", "+13035550100"] {
            let call = ["simulate", name, "--call", "demo", "--from", HANGS_UP, "--to", to, "--numbers", "1", "--json"];
            let told = said(folder, &[&call[..], &["--public-url", &gateway]].concat());
            let told: Value = serde_json::from_str(&told).unwrap();
            assert_eq!((&told["status"], &told["to"]), (&json!("completed"), &json!(to)), "{name}: {told}");
        }
    }
    assert!(telephony(folder, &["simulate", "x", "--to", "+447700900123"]).status.code() == Some(2));
    let name = telephony_sandbox::registered()[0].provider().name().as_str();
    let why = refused(folder, &["simulate", name, "--call", "demo", "--to", "07700900123"]);
    assert!(why.contains("a number must start with +"), "{why}");
}

#[test]
fn a_simulated_carrier_that_is_told_to_end_takes_its_account_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    said(folder, &["workflows", "add", "demo", "--agent", r#"{"type": "echo"}"#]);
    let listen = free_address();
    let gateway = format!("http://{listen}");
    let _serve = Serve::start(folder, listen);
    let simulators = telephony_sandbox::registered();
    let name = simulators[0].provider().name().as_str();
    for signal in ["-TERM", "-INT"] {
        let call = ["simulate", name, "--call", "demo", "--public-url", &gateway];
        let (mut simulated, mut lines) = Program::start(folder, &call);
        assert!(!lines.next().unwrap().unwrap().is_empty(), "what happens to the call is told");
        let found = accounts(folder);
        assert_eq!((found.len(), &found[0]["is_default"]), (1, &json!(false)), "{found:?}");
        // One that is added meanwhile is the default.
        let mut account = simulators[0].build().account(&"http://127.0.0.1:9/".parse().unwrap());
        account["provider"] = name.into();
        let file = folder.join("account.json");
        fs::write(&file, account.to_string()).unwrap();
        said(folder, &["config", "add", "main", "--file", file.to_str().unwrap()]);

        assert_eq!(simulated.end(signal), Some(130), "{signal}");
        let left = accounts(folder);
        assert_eq!(
            (left.len(), &left[0]["name"], &left[0]["is_default"]),
            (1, &json!("main"), &json!(true)),
            "{left:?}"
        );
        let organizations: Value = serde_json::from_str(&said(folder, &["organizations", "list", "--json"])).unwrap();
        assert_eq!(organizations[0]["concurrent_calls"], 0, "its call was hung up");
        said(folder, &["config", "remove", "main"]);
    }
    let (mut alone, mut lines) = Program::start(folder, &["simulate", name]);
    assert!(lines.any(|line| line.unwrap().contains("Ctrl-C ends it")));
    assert_eq!(alone.end("-TERM"), Some(0));
}

/// A gateway with an account at a simulated carrier, and a call that is up.
struct CallThatIsUp {
    runtime: tokio::runtime::Runtime,
    sandbox: Sandbox,
    gateway: Serve,
    listen: SocketAddr,
    token: String,
    workflow: Value,
    /// The call's path.
    call: String,
}

impl CallThatIsUp {
    fn begin(folder: &Path) -> Self {
        let listen = free_address();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let gateway = Serve::start(folder, listen);
        assert!(gateway.introduction.contains("/sign-in/"), "{}", gateway.introduction);
        let token = said(folder, &["tokens", "create", "test"]).trim().to_owned();
        let options = SandboxOptions::default().with_ring(Duration::from_millis(50));
        let simulator = telephony_sandbox::registered()[0];
        let (sandbox, workflow, call) = runtime.block_on(async {
            let sandbox = Sandbox::start(simulator, options).await.unwrap();
            let mut config = sandbox.account();
            let provider = config.as_object_mut().unwrap().remove("provider").unwrap();
            let from = sandbox.numbers()[0].as_e164().to_owned();
            let body = json!({"name": "main", "provider": provider, "config": config, "default_from": from});
            ask(listen, &token, "/telephony/configurations", Some(body)).await;
            let workflow = json!({"name": "w", "agent": {"type": "echo"}});
            let workflow = ask(listen, &token, "/workflows", Some(workflow)).await;
            let body = json!({"workflow_id": workflow["id"], "to": "+12025550100"});
            let call = ask(listen, &token, "/telephony/initiate-call", Some(body)).await;
            sandbox.wait_for(|seen| matches!(seen, Observation::StreamOpened { .. })).await;
            (sandbox, workflow["id"].clone(), format!("/calls/{}", call["id"].as_str().unwrap()))
        });
        Self { runtime, sandbox, gateway, listen, token, workflow, call }
    }
}

/// Asks about a call until it is over.
async fn over(gateway: SocketAddr, token: &str, call: &str) -> Value {
    let began = Instant::now();
    loop {
        let call = ask(gateway, token, call, None).await;
        if call["is_over"] == true {
            return call;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{call}");
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_gateway_that_is_killed_in_the_middle_of_a_call_finds_out_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let CallThatIsUp { runtime, sandbox, gateway, listen, token, call, .. } = CallThatIsUp::begin(folder);
    assert_eq!(gateway.end("-KILL"), None, "it had no time to say goodbye");
    let second = Serve::start(folder, listen);
    assert!(!second.introduction.contains("/sign-in/"), "a link is printed once: {}", second.introduction);
    runtime.block_on(async {
        // Its stream is gone, and with it the call; whether the carrier's webhook comes before the gateway is back or after, or it must
        // ask: it finds out.
        ask(listen, &token, &format!("{call}/hang-up"), Some(json!({}))).await;
        let call = over(listen, &token, &call).await;
        assert_eq!((&call["status"], &call["dial_state"]), (&json!("completed"), &json!("accepted")), "{call}");
        let rang = sandbox.observations().iter().filter(|seen| matches!(seen, Observation::HandsetRang { .. })).count();
        assert_eq!(rang, 1);
        sandbox.stop().await;
    });
    assert_eq!(second.end("-TERM"), Some(0));
}

/// The keys of all events that a carrier has told and that were acknowledged.
fn acknowledged(sandbox: &Sandbox) -> BTreeSet<String> {
    let provider = Registry::linked().unwrap().build(&sandbox.account(), ProviderContext::network().unwrap()).unwrap();
    let mut keys = BTreeSet::new();
    for seen in sandbox.observations() {
        let Observation::WebhookSent { request, status: Some(200..300), .. } = seen else { continue };
        let (parts, body) = request.into_parts();
        let now = Timestamp::now_utc();
        let webhook = WebhookRequest::at_url(parts.method, parts.uri.to_string(), parts.headers, body, now);
        let webhook = provider.verify_webhook_signature(webhook).unwrap();
        keys.extend(provider.parse_webhook(&webhook).unwrap().into_iter().map(|event| event.dedupe_key));
    }
    keys
}

#[test]
fn what_was_acknowledged_outlives_a_gateway_that_is_killed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let CallThatIsUp { runtime, sandbox, gateway, listen, token, call, .. } = CallThatIsUp::begin(folder);
    let mut seen = sandbox.subscribe();
    runtime.spawn({
        let (token, call) = (token.clone(), call.clone());
        async move {
            let request = reqwest::Client::new().post(format!("http://{listen}/api/v1{call}/hang-up"));
            // Whoever asks is told nothing more once it is killed.
            let _answer =
                request.header("content-type", "application/json").bearer_auth(&token).body("{}").send().await;
        }
    });
    runtime.block_on(async {
        loop {
            let Observation::WebhookSent { status: Some(status), .. } = seen.recv().await.unwrap() else { continue };
            assert!(status < 300, "{status}");
            break;
        }
    });
    assert_eq!(gateway.end("-KILL"), None);
    let acknowledged = acknowledged(&sandbox);
    assert!(acknowledged.len() >= 3, "{acknowledged:?}");
    // There is nobody to ask any more.
    runtime.block_on(sandbox.stop());
    let data = folder.join("telephony-data");
    let keys = KeyRing::from_file(&data.join("telephony.key")).unwrap();
    let run = call.trim_start_matches("/calls/").parse().unwrap();
    let written: BTreeSet<String> = runtime.block_on(async {
        let store = Store::open(&DatabaseUrl::Sqlite(data.join("telephony.db")), keys).await.unwrap();
        let ledger = store.events(run).await.unwrap();
        store.close().await;
        ledger.into_iter().filter(|row| row.source == "webhook").map(|row| row.event.dedupe_key).collect()
    });
    let lost: Vec<&String> = acknowledged.difference(&written).collect();
    assert!(lost.is_empty(), "{lost:?} were acknowledged, and only {written:?} are written");
    let second = Serve::start(folder, listen);
    assert_eq!(second.end("-TERM"), Some(0));
}

#[test]
fn a_gateway_that_is_told_to_end_lets_calls_finish_and_takes_no_new_ones() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let CallThatIsUp { runtime, sandbox, mut gateway, listen, token, workflow, call } = CallThatIsUp::begin(folder);
    runtime.block_on(async {
        // Somebody follows the call, for ever.
        let client = reqwest::Client::new();
        let url = format!("http://{listen}/api/v1{call}/live");
        let live = client.get(url).bearer_auth(&token).send().await.unwrap();
        gateway.signal("-TERM");
        let ready = format!("http://{listen}/readyz");
        while client.get(&ready).send().await.unwrap().status() != 503 {
            tokio::task::yield_now().await;
        }
        let url = format!("http://{listen}/api/v1/telephony/initiate-call");
        let body = json!({"workflow_id": workflow, "to": "+12025550101"}).to_string();
        let request = client.post(url).header("content-type", "application/json").bearer_auth(&token).body(body);
        let refused = request.send().await.unwrap();
        assert_eq!(refused.status(), 503);
        assert!(refused.headers().contains_key("retry-after"));
        assert!(gateway.program.try_wait().unwrap().is_none(), "the call is up");
        assert_eq!(ask(listen, &token, &call, None).await["media_state"], "open");
        ask(listen, &token, &format!("{call}/hang-up"), Some(json!({}))).await;
        assert_eq!(gateway.program.wait().unwrap().code(), Some(0));
        let told = live.text().await.unwrap();
        assert!(told.contains("event: call"), "{told}");

        let second = Serve::start(folder, listen);
        let call = over(listen, &token, &call).await;
        assert_eq!((&call["status"], &call["media"]["ended_by"]), (&json!("completed"), &json!("carrier")), "{call}");
        assert_eq!(second.end("-TERM"), Some(0));
        sandbox.stop().await;
    });
}

#[test]
fn what_happens_is_counted_and_nobody_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let CallThatIsUp { runtime, sandbox, gateway, listen, token, call, .. } = CallThatIsUp::begin(folder.path());
    let provider = telephony_sandbox::registered()[0].provider().name().as_str();
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let url = format!("http://{listen}/metrics");
        assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
        let read = async || client.get(&url).bearer_auth(&token).send().await.unwrap().text().await.unwrap();
        let during = read().await;
        let has = |text: &str, line: &str| assert!(text.lines().any(|written| written == line), "{line} in:\n{text}");
        has(&during, "telephony_media_streams 1");
        has(&during, &format!(r#"telephony_dials_total{{provider="{provider}",outcome="accepted"}} 1"#));

        ask(listen, &token, &format!("{call}/hang-up"), Some(json!({}))).await;
        client.get(format!("http://{listen}/+12025550100")).send().await.unwrap();
        over(listen, &token, &call).await;
        // What is written down is counted a moment later.
        let end = format!(
            r#"telephony_calls_ended_total{{provider="{provider}",direction="outbound",status="completed"}} 1"#
        );
        let wanted = [
            "telephony_media_streams 0".to_owned(),
            end,
            format!(r#"telephony_media_streams_ended_total{{provider="{provider}",by="carrier"}} 1"#),
            r#"telephony_http_requests_total{method="GET",route="other",status="404"} 1"#.to_owned(),
        ];
        let (began, mut after) = (Instant::now(), read().await);
        while !wanted.iter().all(|wanted| after.lines().any(|line| line == wanted)) {
            assert!(began.elapsed() < Duration::from_secs(60), "{wanted:?} in:\n{after}");
            after = read().await;
        }
        for line in after.lines().filter(|line| line.starts_with("# TYPE ")) {
            let help = line.replacen("# TYPE ", "# HELP ", 1);
            let help = help.rsplit_once(' ').unwrap().0;
            assert!(after.lines().any(|line| line.starts_with(help)), "{line}");
        }
        assert!(!after.contains("1202555") && !after.contains(call.rsplit('/').next().unwrap()), "{after}");
        sandbox.stop().await;
    });
    assert_eq!(gateway.end("-TERM"), Some(0));

    let log = fs::read_to_string(folder.path().join(LOG)).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for message in ["The carrier accepted a call.", "A call event came.", "A stream is over."] {
        let line = lines.iter().find(|line| line["message"] == message).unwrap();
        let run = line["spans"].as_array().unwrap().iter().find(|span| span["name"] == "call").unwrap()["run"].clone();
        assert_eq!(format!("/calls/{}", run.as_str().unwrap()), call, "{line}");
    }
    assert!(!log.contains(&token) && !log.contains("12025550100"), "{log}");
}

/// What nobody but the tenant may see: of these, nothing is in a log, a count, or an answer.
struct Private {
    /// Not even the tenant is told these again.
    secrets: Vec<(String, String)>,
    numbers: Vec<String>,
}

impl Private {
    fn is_kept_in(&self, what: &str, text: &str, numbers_too: bool) {
        for (name, secret) in &self.secrets {
            assert!(!text.contains(secret), "{name} is in {what}:\n{text}");
        }
        for number in self.numbers.iter().filter(|_| numbers_too) {
            assert!(!text.contains(number.trim_start_matches('+')), "{number} is in {what}:\n{text}");
        }
    }
}

#[test]
fn no_secret_is_in_a_log_a_count_or_an_answer() {
    const DIGITS: &str = "90817263";
    const AGENTS: &str = "the-agents-own-secret";
    for format in ["json", "text"] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let listen = free_address();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        // Everything that can be logged.
        let gateway = Serve::start_logging(folder, listen, "trace", format);
        let link = gateway.introduction.split("/sign-in/").nth(1).unwrap().lines().next().unwrap().to_owned();
        let token = said(folder, &["tokens", "create", "test"]).trim().to_owned();
        let mut private = Private {
            secrets: vec![("the sign-in link".to_owned(), link.clone()), ("the API token".to_owned(), token.clone())],
            numbers: vec!["+12025550100".to_owned()],
        };
        private.secrets.push(("the agent's secret".to_owned(), AGENTS.to_owned()));
        let (mut answers, mut paths) = (Vec::new(), vec!["/organization".to_owned(), "/tokens".to_owned()]);
        runtime.block_on(async {
            let agent = agent_that_asks_for_digits(DIGITS).await;
            let agent = json!({"type": "websocket", "url": format!("ws://{agent}/?token={AGENTS}")});
            let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
            let signed_in = client.get(format!("http://{listen}/sign-in/{link}")).send().await.unwrap();
            let cookie =
                signed_in.headers()["set-cookie"].to_str().unwrap().split([';', '=']).nth(1).unwrap().to_owned();
            private.secrets.push(("the session".to_owned(), cookie));
            let workflow = ask(listen, &token, "/workflows", Some(json!({"name": "w", "agent": agent}))).await;
            for simulator in telephony_sandbox::registered() {
                let name = simulator.provider().name();
                let sandbox = Sandbox::start(simulator, SandboxOptions::default().with_ring(Duration::from_millis(50)));
                let sandbox = sandbox.await.unwrap();
                let mut config = sandbox.account();
                for field in telephony_core::config::secret_fields(&simulator.provider().config_schema()) {
                    let lines = config[&field].as_str().unwrap_or_default().lines();
                    let of_this = lines.filter(|line| line.len() > 8 && !line.starts_with("--"));
                    private.secrets.extend(of_this.map(|line| (format!("{field} of {name}"), line.to_owned())));
                }
                private.numbers.extend(sandbox.numbers().iter().map(|number| number.as_e164().to_owned()));
                let provider = config.as_object_mut().unwrap().remove("provider").unwrap();
                // A secret in the wrong place, and of the wrong kind, is not said back.
                let mut wrong = config.clone();
                for value in wrong.as_object_mut().unwrap().values_mut() {
                    *value = json!([value.clone()]);
                }
                let from = sandbox.numbers()[0].as_e164().to_owned();
                for (config, name) in [(wrong, "wrong"), (config, provider.as_str().unwrap())] {
                    let body = json!({"name": name, "provider": provider, "config": config, "default_from": from});
                    let request = client.post(format!("http://{listen}/api/v1/telephony/configurations"));
                    let request = request.bearer_auth(&token).header("content-type", "application/json");
                    let response = request.body(body.to_string()).send().await.unwrap();
                    answers.push(response.text().await.unwrap());
                }
                let account: Value = serde_json::from_str(answers.last().unwrap()).unwrap();
                let id = account["id"].as_str().unwrap().to_owned();
                paths.push(format!("/telephony/configurations/{id}"));
                let tested =
                    ask(listen, &token, &format!("/telephony/configurations/{id}/test"), Some(json!({}))).await;
                answers.push(tested.to_string());
                let imported = format!("/telephony/configurations/{id}/import-numbers");
                answers.push(ask(listen, &token, &imported, Some(json!({}))).await.to_string());
                let body = json!({"workflow_id": workflow["id"], "configuration_id": id, "to": "+12025550100"});
                let call = ask(listen, &token, "/telephony/initiate-call", Some(body)).await;
                let call = format!("/calls/{}", call["id"].as_str().unwrap());
                // The agent has its digits sent, and hangs up.
                over(listen, &token, &call).await;
                paths.extend([format!("{call}/events"), call]);
                for seen in sandbox.observations() {
                    let Observation::WebhookSent { request, .. } = seen else { continue };
                    let proofs = request.headers().iter().filter(|(_, value)| value.len() > 40);
                    let proofs =
                        proofs.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
                    private.secrets.extend(proofs);
                }
                sandbox.stop().await;
            }
            let lists = ["/telephony/configurations", "/telephony/phone-numbers", "/calls", "/workflows", "/providers"];
            paths.extend(lists.map(str::to_owned));
            for path in &paths {
                answers.push(ask(listen, &token, path, None).await.to_string());
            }
            let metrics = client.get(format!("http://{listen}/metrics")).bearer_auth(&token).send().await.unwrap();
            private.is_kept_in("the counts", &metrics.text().await.unwrap(), true);
            let strange = format!("http://{listen}/api/v1/telephony/ws/w/o/{}/0000", paths[0].len());
            answers.push(client.get(strange).send().await.unwrap().text().await.unwrap());
        });
        assert_eq!(gateway.end("-TERM"), Some(0));
        answers.push(said(folder, &["config", "list"]) + &said(folder, &["tokens", "list"]));
        let log = fs::read_to_string(folder.join(LOG)).unwrap();
        assert!(log.contains("A stream is over.") && log.contains("DEBUG"), "the log is on: {log}");
        private.is_kept_in("the log", &log, true);
        for telling in [DIGITS, "/telephony/ws/", "Bearer ", "Basic "] {
            assert!(!log.contains(telling), "{telling} is in the log:\n{log}");
        }
        // The tenant wrote the agent's URL, and reads it in its workflow.
        private.secrets.retain(|(name, _)| name != "the agent's secret");
        for answer in &answers {
            private.is_kept_in("an answer", answer, false);
            assert!(!answer.contains("/telephony/ws/"), "{answer}");
        }
    }
}

/// An agent that has these digits sent in every call, and then hangs up. Where it listens.
async fn agent_that_asks_for_digits(digits: &'static str) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            tokio::spawn(async move {
                let ask = json!({"event": "send_digits", "digits": digits}).to_string();
                socket.send(Message::text(ask)).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    let Message::Text(text) = message else { continue };
                    let event: Value = serde_json::from_str(&text).unwrap();
                    if event["event"] == "done" || event["event"] == "error" {
                        socket.send(Message::text(json!({"event": "hang_up"}).to_string())).await.unwrap();
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_gateway_that_is_told_twice_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let CallThatIsUp { runtime, sandbox, mut gateway, listen, .. } = CallThatIsUp::begin(folder.path());
    runtime.block_on(async {
        gateway.signal("-TERM");
        let ready = format!("http://{listen}/readyz");
        while reqwest::get(&ready).await.unwrap().status() != 503 {
            tokio::task::yield_now().await;
        }
        assert!(gateway.program.try_wait().unwrap().is_none(), "the call is up");
        gateway.signal("-INT");
        assert_eq!(gateway.program.wait().unwrap().code(), Some(0));
        sandbox.stop().await;
    });
}

async fn ask(gateway: SocketAddr, token: &str, path: &str, body: Option<Value>) -> Value {
    let client = reqwest::Client::new();
    let url = format!("http://{gateway}/api/v1{path}");
    let request = match body {
        Some(body) => client.post(url).header("content-type", "application/json").body(body.to_string()),
        None => client.get(url),
    };
    let response = request.bearer_auth(token).send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap()
}
