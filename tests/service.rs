//! Whole calls through a serving gateway, by its HTTP API only: every linked carrier, SQLite and PostgreSQL, on good days and bad ones.

#![allow(clippy::print_stdout, reason = "a test that fails says on which database")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::uri::Authority;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;
use telephony_core::{
    CallRef, Direction, ProviderContext, WorkflowRunId,
    http::{HttpPolicy, ReqwestTransport, Transport, TransportError},
};
use telephony_gateway::{
    service::{Change, ServiceOptions, Serving},
    store::{DatabaseUrl, KeyRing, NewRun, Opened, Store},
};
use telephony_registry::Registry;
use telephony_sandbox::{
    Behaviour, EndCause, Faults, Handset, Observation, RestFault, Sandbox, SandboxOptions, SimulatorDescriptor,
    WebhookFaults, registered,
};
use tests::{postgres::Postgres, tenant::Tenant};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// The handset that picks up, listens and speaks, the one that rings on, and the one that hangs up at once.
const TALKS: &str = "+12025550100";
const BUSY: &str = "+12025550101";
const RINGS: &str = "+12025550102";
const HANGS_UP: &str = "+12025550106";

/// Looks after calls without patience.
fn impatient() -> ServiceOptions {
    ServiceOptions {
        reconcile_every: Duration::from_millis(50),
        ask_after: Duration::from_millis(400),
        dial_takes_at_most: Duration::from_millis(300),
        unknown_until: Duration::from_secs(20),
        media_ends_within: Duration::from_secs(3),
        ..ServiceOptions::default()
    }
}

fn quick() -> SandboxOptions {
    SandboxOptions::default()
        .with_numbers(2)
        .with_ring(Duration::from_millis(60))
        .with_no_answer_after(Duration::from_millis(600))
        .with_rating_delay(Duration::from_millis(150))
}

/// A gateway that serves one organization.
struct Gateway {
    serving: Serving,
    store: Store,
    tenant: Tenant,
}

impl Gateway {
    async fn start(url: &DatabaseUrl, keys: KeyRing, options: ServiceOptions) -> Self {
        let context = ProviderContext::network().unwrap();
        Self::start_with(url, keys, options, context, (Ipv4Addr::LOCALHOST, 0).into(), None).await
    }

    async fn start_with(
        url: &DatabaseUrl,
        keys: KeyRing,
        options: ServiceOptions,
        context: ProviderContext,
        listen: SocketAddr,
        public: Option<SocketAddr>,
    ) -> Self {
        let store = Store::open(url, keys).await.unwrap();
        let organization = match store.organizations().await.unwrap().into_iter().next() {
            Some(organization) => organization.id,
            None => store.create_organization("ours", 20).await.unwrap().id,
        };
        let token = store.create_api_token(organization, "test").await.unwrap().token.expose().to_owned();
        let public = public.map(|address| format!("http://{address}").parse().unwrap());
        let registry = Registry::linked().unwrap();
        let serving = Serving::start(store.clone(), registry, context, listen, public, options).await.unwrap();
        let tenant = Tenant::new(format!("http://{}", serving.address()), token);
        Self { serving, store, tenant }
    }

    /// An account with a simulated carrier, its numbers imported.
    async fn account(&self, sandbox: &Sandbox) -> String {
        self.account_called(sandbox.simulator().provider().display_name(), sandbox).await
    }

    async fn account_called(&self, name: &str, sandbox: &Sandbox) -> String {
        let mut config = sandbox.account();
        let provider = config.as_object_mut().unwrap().remove("provider").unwrap();
        let body = json!({"name": name, "provider": provider, "config": config});
        let account = self.tenant.post("/telephony/configurations", body).await;
        let id = account["id"].as_str().unwrap().to_owned();
        self.tenant.post(&format!("/telephony/configurations/{id}/import-numbers"), json!({})).await;
        id
    }

    async fn workflow(&self, agent: Value) -> Value {
        let body = json!({"name": format!("workflow of {agent}"), "agent": agent, "record": true});
        self.tenant.post("/workflows", body).await["id"].clone()
    }

    /// A number of an account, which the workflow answers from now on.
    async fn answered_by(&self, workflow: &Value, account: &str) -> String {
        let numbers = self.tenant.get("/telephony/phone-numbers").await;
        let own = numbers.as_array().unwrap().iter().find(|number| number["configuration_id"] == account).unwrap();
        let path = format!("/telephony/phone-numbers/{}", own["id"].as_str().unwrap());
        let (status, _) = self.tenant.ask(Method::PATCH, &path, Some(json!({"workflow_id": workflow}))).await;
        assert_eq!(status, 200);
        own["number"].as_str().unwrap().to_owned()
    }

    async fn dial(&self, account: &str, workflow: &Value, to: &str) -> Value {
        let body = json!({"workflow_id": workflow, "configuration_id": account, "to": to});
        self.tenant.post("/telephony/initiate-call", body).await
    }

    /// Waits until a call is over and its price is settled.
    async fn settled(&self, call: &Value) -> Value {
        let path = format!("/calls/{}", call["id"].as_str().unwrap());
        let settled = |call: &Value| {
            call["is_over"] == true && call["cost"]["state"] != "pending" && call["media_state"] != "open"
        };
        self.tenant.until(&path, "the end of a call", settled).await
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs a test on each database.
fn on_each_database<F: Future<Output = ()>>(options: &ServiceOptions, test: impl Fn(Gateway) -> F) {
    let (runtime, folder, postgres) = (runtime(), tempfile::tempdir().unwrap(), Postgres::start());
    let file = DatabaseUrl::Sqlite(folder.path().join("telephony.db"));
    for (n, url) in [file, postgres.url().parse().unwrap()].into_iter().enumerate() {
        println!("on {url}");
        let recordings: Option<PathBuf> = Some(folder.path().join(format!("recordings-{n}")));
        let options = ServiceOptions { recordings, ..options.clone() };
        runtime.block_on(async { test(Gateway::start(&url, KeyRing::generate(), options).await).await });
    }
}

/// Runs a test for every carrier at the same time.
async fn with_every_carrier<F: Future<Output = ()>>(test: impl Fn(&'static SimulatorDescriptor) -> F) {
    let carriers = registered();
    assert!(carriers.len() >= 2, "the providers of this repository are linked");
    carriers.iter().for_each(|carrier| println!("calls of {}", carrier.provider().name()));
    futures_util::future::join_all(carriers.into_iter().map(test)).await;
}

fn rang(sandbox: &Sandbox) -> usize {
    sandbox.observations().iter().filter(|seen| matches!(seen, Observation::HandsetRang { .. })).count()
}

/// Reads parts of a recording, as the players of browsers do.
async fn a_player_goes_to_a_place(tenant: &Tenant, path: &str, whole: &[u8]) {
    let ask = async |header: &str, value: &str| {
        let request = tenant.client.get(format!("{}/api/v1{path}", tenant.base)).bearer_auth(&tenant.token);
        request.header(header, value).send().await.unwrap()
    };
    let length = whole.len();
    for (range, bytes) in
        [("bytes=1000-1999", 1_000..2_000), ("bytes=-500", length - 500..length), ("bytes=9-", 9..length)]
    {
        let part = ask("range", range).await;
        assert_eq!(part.status(), 206, "{range}");
        assert_eq!(part.headers()["content-type"], "audio/wav");
        let said = format!("bytes {}-{}/{length}", bytes.start, bytes.end - 1);
        assert_eq!(part.headers()["content-range"], said.as_str());
        assert_eq!(part.bytes().await.unwrap(), whole[bytes], "{range}");
    }
    let none = ask("range", &format!("bytes={length}-")).await;
    assert_eq!(none.headers()["content-range"], format!("bytes */{length}").as_str());
    assert_eq!(none.headers()["content-type"], "application/problem+json");
    assert_eq!(none.status(), 416);
    let whole_again = ask("accept", "audio/*").await;
    assert_eq!(
        (&whole_again.headers()["accept-ranges"], whole_again.status().as_u16()),
        (&"bytes".parse().unwrap(), 200)
    );
    let since = whole_again.headers()["last-modified"].to_str().unwrap().to_owned();
    assert_eq!(ask("if-modified-since", &since).await.status(), 304);
}

#[test]
fn an_outbound_call_of_every_carrier() {
    on_each_database(&impatient(), async |gateway| {
        let workflow = gateway.workflow(json!({"type": "dialogue"})).await;
        with_every_carrier(async |simulator| {
            let sandbox = Sandbox::start(simulator, quick()).await.unwrap();
            let account = gateway.account(&sandbox).await;
            let call = gateway.dial(&account, &workflow, TALKS).await;
            assert_eq!(call["dial_state"], "accepted", "{call}");
            let call = gateway.settled(&call).await;
            let name = simulator.provider().name();
            assert_eq!(
                (&call["status"], &call["media"]["ended_by"]),
                (&json!("completed"), &json!("agent")),
                "{name}: {call}"
            );
            assert_eq!(call["cost"]["state"], "rated", "{name}: {call}");
            assert!(call["duration_secs"].as_u64().unwrap() > 5, "{name}: {call}");
            let path = format!("/calls/{}", call["id"].as_str().unwrap());
            let events = gateway.tenant.get(&format!("{path}/events")).await;
            let events: Vec<&str> =
                events.as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
            assert!(events.contains(&"asks what to do") && events.contains(&"completed"), "{name}: {events:?}");
            let wav = gateway.tenant.client.get(format!("{}/api/v1{path}/recording", gateway.tenant.base));
            let wav = wav.bearer_auth(&gateway.tenant.token).send().await.unwrap().bytes().await.unwrap();
            assert!(wav.starts_with(b"RIFF") && wav.len() > 200_000, "{name}: {} bytes", wav.len());
            a_player_goes_to_a_place(&gateway.tenant, &format!("{path}/recording"), &wav).await;
            assert_eq!(gateway.tenant.post(&format!("{path}/hang-up"), json!({})).await["outcome"], "already_ended");
            sandbox.stop().await;
        })
        .await;
        assert_eq!(gateway.tenant.get("/organization").await["concurrent_calls"], 0);
        gateway.serving.stop().await;
    });
}

#[test]
fn an_inbound_call_of_every_carrier() {
    on_each_database(&impatient(), async |gateway| {
        let workflow = gateway.workflow(json!({"type": "dialogue"})).await;
        with_every_carrier(async |simulator| {
            let sandbox = Sandbox::start(simulator, quick()).await.unwrap();
            let account = gateway.account(&sandbox).await;
            let name = simulator.provider().name();
            let called = gateway.answered_by(&workflow, &account).await;
            let id = sandbox.call_in(TALKS, &called).await.unwrap();
            let list = format!("/calls?direction=inbound&configuration_id={account}");
            let listed = gateway.tenant.until(&list, "an inbound call", |page| page["calls"][0].is_object()).await;
            let call = gateway.settled(&listed["calls"][0]).await;
            assert_eq!(call["status"], "completed", "{name}: {call}");
            assert_eq!((&call["from"], &call["has_recording"]), (&json!(TALKS), &json!(true)), "{name}: {call}");
            let handset = sandbox.handset(&id).unwrap();
            assert!(handset.heard.len() > 16_000, "{name}: the caller hears the agent");
            sandbox.stop().await;
        })
        .await;
        gateway.serving.stop().await;
    });
}

/// One account of a carrier, configured twice: a call belongs to the one whose number a workflow answers, whichever was there first.
#[test]
fn an_inbound_call_to_an_account_that_is_configured_twice() {
    on_each_database(&impatient(), async |gateway| {
        let workflow = gateway.workflow(json!({"type": "dialogue"})).await;
        with_every_carrier(async |simulator| {
            let sandbox = Sandbox::start(simulator, quick()).await.unwrap();
            let name = simulator.provider().name();
            let first = gateway.account_called(&format!("{name} first"), &sandbox).await;
            let second = gateway.account_called(&format!("{name} second"), &sandbox).await;
            for account in [&second, &first] {
                let called = gateway.answered_by(&workflow, account).await;
                sandbox.call_in(HANGS_UP, &called).await.unwrap();
                let list = format!("/calls?direction=inbound&configuration_id={account}");
                let listed = gateway.tenant.until(&list, "an inbound call", |page| page["calls"][0].is_object()).await;
                let call = gateway.settled(&listed["calls"][0]).await;
                assert_eq!((&call["status"], &call["to"]), (&json!("completed"), &json!(called)), "{name}: {call}");
            }
            sandbox.stop().await;
        })
        .await;
        gateway.serving.stop().await;
    });
}

#[test]
fn a_call_that_is_not_answered_says_why_and_one_that_cannot_be_placed_is_not_dialled() {
    on_each_database(&impatient(), async |gateway| {
        let workflow = gateway.workflow(json!({"type": "echo"})).await;
        with_every_carrier(async |simulator| {
            let sandbox = Sandbox::start(simulator, quick()).await.unwrap();
            let account = gateway.account(&sandbox).await;
            for (to, status) in [(BUSY, "busy"), (RINGS, "no_answer")] {
                let call = gateway.dial(&account, &workflow, to).await;
                let path = format!("/calls/{}", call["id"].as_str().unwrap());
                let what = format!("{status} of {}", simulator.provider().name());
                gateway.tenant.until(&path, &what, |call| call["is_over"] == true && call["status"] == status).await;
            }
            sandbox.stop().await;
        })
        .await;
        // An account without a number: told so before anybody is asked.
        let sandbox = Sandbox::start(registered()[0], quick().with_numbers(0)).await.unwrap();
        let mut config = sandbox.account();
        let provider = config.as_object_mut().unwrap().remove("provider").unwrap();
        let body = json!({"name": "bare", "provider": provider, "config": config});
        let bare = gateway.tenant.post("/telephony/configurations", body).await;
        let call = json!({"workflow_id": workflow, "configuration_id": bare["id"], "to": TALKS});
        let refused = gateway.tenant.refused(Method::POST, "/telephony/initiate-call", call).await;
        assert_eq!(refused, (422, vec!["from".to_owned()]));
        assert_eq!(sandbox.observations().len(), 0);
        for (body, field) in [
            (json!({"workflow_id": workflow, "to": "0123"}), "to"),
            (json!({"workflow_id": workflow, "to": TALKS, "from": "x"}), "from"),
            (json!({"workflow_id": bare["id"], "to": TALKS}), "workflow_id"),
            (json!({"workflow_id": workflow, "to": TALKS, "configuration_id": workflow}), "configuration_id"),
            (json!({"workflow_id": workflow, "to": TALKS, "ring_timeout_secs": 0}), "ring_timeout_secs"),
            (json!({"workflow_id": workflow, "to": TALKS, "digits_on_answer": "x"}), "digits_on_answer"),
        ] {
            let (status, fields) = gateway.tenant.refused(Method::POST, "/telephony/initiate-call", body).await;
            assert_eq!((status, fields), (422, vec![field.to_owned()]));
        }
        gateway.serving.stop().await;
    });
}

#[test]
fn one_call_for_one_key_and_no_more_than_there_are_places() {
    on_each_database(&impatient(), async |gateway| {
        let workflow = gateway.workflow(json!({"type": "echo"})).await;
        let sandbox = Sandbox::start(registered()[0], quick().with_ring(Duration::from_secs(20))).await.unwrap();
        let account = gateway.account(&sandbox).await;
        let body = json!({"workflow_id": workflow, "configuration_id": account, "to": TALKS});
        let attempt = async |body: &Value| {
            let request = gateway.tenant.client.post(format!("{}/api/v1/telephony/initiate-call", gateway.tenant.base));
            let request = request.bearer_auth(&gateway.tenant.token).header("idempotency-key", "order-7").json(body);
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.json::<Value>().await.unwrap())
        };
        let attempts = futures_util::future::join_all((0..6).map(|_| attempt(&body))).await;
        let ids: std::collections::BTreeSet<_> = attempts.iter().map(|(_, call)| call["id"].to_string()).collect();
        assert_eq!(ids.len(), 1, "{attempts:#?}");
        assert_eq!(attempts.iter().filter(|(status, _)| *status == 201).count(), 1, "{attempts:#?}");
        let other = json!({"workflow_id": workflow, "configuration_id": account, "to": BUSY});
        let (status, problem) = attempt(&other).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!("Idempotency-Key")), "{problem}");
        sandbox.wait_for(|seen| matches!(seen, Observation::HandsetRang { .. })).await;
        assert_eq!(rang(&sandbox), 1);

        let most = json!({"max_concurrent_calls": 1});
        assert_eq!(gateway.tenant.ask(Method::PATCH, "/organization", Some(most)).await.0, 200);
        let request = gateway.tenant.client.post(format!("{}/api/v1/telephony/initiate-call", gateway.tenant.base));
        let refused = request.bearer_auth(&gateway.tenant.token).json(&body).send().await.unwrap();
        assert_eq!(refused.status(), 429);
        assert!(refused.headers().contains_key("retry-after"));
        // Somebody who calls then is told that the line is busy.
        let numbers = gateway.tenant.get("/telephony/phone-numbers").await;
        let path = format!("/telephony/phone-numbers/{}", numbers[0]["id"].as_str().unwrap());
        gateway.tenant.ask(Method::PATCH, &path, Some(json!({"workflow_id": workflow}))).await;
        let id = sandbox.call_in(TALKS, numbers[0]["number"].as_str().unwrap()).await.unwrap();
        let over = |seen: &Observation| matches!(seen, Observation::CallEnded { call, .. } if *call == id);
        let Observation::CallEnded { cause, .. } = sandbox.wait_for(over).await else { unreachable!() };
        assert!(matches!(cause, EndCause::Rejected | EndCause::Application), "{cause:?}");
        // Hanging up gives the place back.
        let path = format!("/calls/{}", attempts[0].1["id"].as_str().unwrap());
        let known = |call: &Value| call["carrier_call_id"].is_string();
        gateway.tenant.until(&path, "the carrier's id", known).await;
        gateway.tenant.post(&format!("{path}/hang-up"), json!({})).await;
        gateway.tenant.until("/organization", "a free place", |seen| seen["concurrent_calls"] == 0).await;
        sandbox.stop().await;
        gateway.serving.stop().await;
    });
}

#[test]
fn a_dial_without_an_answer_is_found_again_and_not_repeated() {
    on_each_database(&impatient(), async |gateway| {
        let workflow = gateway.workflow(json!({"type": "echo"})).await;
        with_every_carrier(async |simulator| {
            let sandbox = Sandbox::start(simulator, quick()).await.unwrap();
            let account = gateway.account(&sandbox).await;
            sandbox.set_faults(Faults::none().with_rest(RestFault::CutAfter));
            let call = gateway.dial(&account, &workflow, HANGS_UP).await;
            let path = format!("/calls/{}", call["id"].as_str().unwrap());
            let over = gateway.tenant.until(&path, "the end", |call| call["is_over"] == true).await;
            let name = simulator.provider().name();
            assert_eq!(
                (&over["dial_state"], &over["status"]),
                (&json!("accepted"), &json!("completed")),
                "{name}: {over}"
            );
            assert_eq!(rang(&sandbox), 1, "{name}");
            sandbox.stop().await;
        })
        .await;
        gateway.serving.stop().await;
    });
}

#[test]
fn webhooks_that_are_lost_repeated_or_late_end_in_the_same_state() {
    on_each_database(&impatient(), async |gateway| {
        let workflow = gateway.workflow(json!({"type": "echo"})).await;
        with_every_carrier(async |simulator| {
            let sandbox = Sandbox::start(simulator, quick()).await.unwrap();
            let account = gateway.account(&sandbox).await;
            // Late ones come when the gateway knows by asking that the call is over.
            let late = WebhookFaults::delayed(Duration::from_secs(1));
            for faults in [WebhookFaults::lost(), WebhookFaults::copies(3), WebhookFaults::reordered(), late] {
                let name = simulator.provider().name();
                sandbox.set_faults(Faults::none().with_webhooks(faults));
                let call = gateway.dial(&account, &workflow, HANGS_UP).await;
                let path = format!("/calls/{}", call["id"].as_str().unwrap());
                let over = gateway.tenant.until(&path, "the end", |call| call["is_over"] == true).await;
                assert_eq!(over["status"], "completed", "{name} {faults:?}: {over}");
                if faults.lose {
                    continue;
                }
                let ledger = format!("{path}/events");
                let told = |event: &Value| event["source"] == "webhook" && event["event"] == "completed";
                let last = |events: &Value| events.as_array().unwrap().iter().any(told);
                let stays = |call: &Value| {
                    let state = (&call["status"], &call["is_over"]);
                    assert_eq!(state, (&json!("completed"), &json!(true)), "{name} {faults:?}: it moved backwards");
                    false
                };
                tokio::select! {
                    call = gateway.tenant.until(&path, "a call that moves backwards", stays) => panic!("{call}"),
                    _ = gateway.tenant.until(&ledger, "the last webhook", last) => {}
                }
                gateway.tenant.until(&path, "what it is", |call| !stays(call)).await;
            }
            sandbox.stop().await;
        })
        .await;
        gateway.serving.stop().await;
    });
}

#[test]
fn no_webhook_is_acknowledged_before_it_is_written() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let file = folder.path().join("telephony.db");
    runtime.block_on(async {
        let url = DatabaseUrl::Sqlite(file.clone());
        let gateway = Gateway::start(&url, KeyRing::generate(), ServiceOptions::default()).await;
        let workflow = gateway.workflow(json!({"type": "echo"})).await;
        let sandbox = Sandbox::start(registered()[0], quick().with_ring(Duration::from_millis(300))).await.unwrap();
        let account = gateway.account(&sandbox).await;
        let call = gateway.dial(&account, &workflow, TALKS).await;
        // Somebody else writes, and goes on writing: nothing can be committed meanwhile.
        let mut other = sqlx::SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        let run = call["id"].as_str().unwrap().parse().unwrap();
        loop {
            // What was acknowledged so far is in the ledger by now.
            let answers: Vec<Option<u16>> = webhooks(&sandbox);
            let written = gateway.store.events(run).await.unwrap();
            let written = written.iter().filter(|event| event.source == "webhook").count();
            let acknowledged = answers.iter().filter(|status| status.is_some_and(|status| status < 300)).count();
            assert!(
                written >= acknowledged,
                "{written} are written, and {acknowledged} were acknowledged: {answers:?}"
            );
            if answers.iter().any(|status| status.is_none_or(|status| status >= 500)) {
                break;
            }
            tokio::task::yield_now().await;
        }
        sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
        sandbox.stop().await;
        gateway.serving.stop().await;
    });
}

/// How the webhooks were answered that a carrier has sent so far.
fn webhooks(sandbox: &Sandbox) -> Vec<Option<u16>> {
    let sent = sandbox.observations().into_iter().filter_map(|seen| match seen {
        Observation::WebhookSent { status, .. } => Some(status),
        _ => None,
    });
    sent.collect()
}

#[test]
fn a_webhook_that_is_not_genuine_is_refused_and_changes_nothing() {
    on_each_database(&impatient(), async |gateway| {
        let workflow = gateway.workflow(json!({"type": "echo"})).await;
        with_every_carrier(async |simulator| {
            let name = simulator.provider().name();
            let sandbox = Sandbox::start(simulator, quick()).await.unwrap();
            let account = gateway.account(&sandbox).await;
            let call = gateway.dial(&account, &workflow, HANGS_UP).await;
            let run = call["id"].as_str().unwrap().parse().unwrap();
            let path = format!("/calls/{}", call["id"].as_str().unwrap());
            let before = gateway.settled(&call).await;
            let written = gateway.store.events(run).await.unwrap().len();
            let genuine = sandbox.observations().into_iter().filter_map(|seen| match seen {
                Observation::WebhookSent { request, .. } => Some(*request),
                _ => None,
            });
            let mut tried = 0;
            for genuine in genuine {
                // Without what proves it, and with a proof that is another's.
                let mut forged = genuine.clone();
                let kind = forged.headers().get(http::header::CONTENT_TYPE).cloned();
                forged.headers_mut().clear();
                forged.headers_mut().extend(kind.map(|kind| (http::header::CONTENT_TYPE, kind)));
                let mut changed = genuine.clone();
                changed.headers_mut().iter_mut().filter(|(name, _)| *name != http::header::CONTENT_TYPE).for_each(
                    |(_, value)| {
                        let text: String = value.to_str().unwrap().chars().rev().collect();
                        *value = text.parse().unwrap();
                    },
                );
                for request in [forged, changed] {
                    let request = reqwest::Request::try_from(request).unwrap();
                    let status = gateway.tenant.client.execute(request).await.unwrap().status().as_u16();
                    assert!(matches!(status, 401 | 403), "{name}: {status}");
                    tried += 1;
                }
            }
            assert!(tried >= 4, "{name}: {tried}");
            assert_eq!(gateway.store.events(run).await.unwrap().len(), written, "{name}");
            assert_eq!(gateway.tenant.get(&path).await, before, "{name}");
            sandbox.stop().await;
        })
        .await;
        gateway.serving.stop().await;
    });
}

/// The routes that carriers ask, asked by strangers.
#[test]
fn what_is_of_no_call_is_not_found_and_a_media_token_opens_one_socket() {
    on_each_database(&impatient(), async |gateway| {
        let workflow = gateway.workflow(json!({"type": "echo"})).await;
        let simulator = registered()[0];
        let sandbox = Sandbox::start(simulator, quick().with_ring(Duration::from_secs(20))).await.unwrap();
        let account = gateway.account(&sandbox).await;
        let call = gateway.dial(&account, &workflow, TALKS).await;
        let run = call["id"].as_str().unwrap();
        let told = sandbox.wait_for(|seen| matches!(seen, Observation::WebhookSent { .. })).await;
        let Observation::WebhookSent { request: genuine, .. } = told else { unreachable!() };
        let (base, name) = (&gateway.tenant.base, simulator.provider().name());
        let send = async |path: String, body: Option<Vec<u8>>| {
            let mut request = (*genuine).clone();
            *request.uri_mut() = format!("{base}/api/v1/telephony/{path}").parse().unwrap();
            if let Some(body) = body {
                request.headers_mut().remove(http::header::CONTENT_LENGTH);
                *request.body_mut() = body.into();
            }
            let request = reqwest::Request::try_from(request).unwrap();
            gateway.tenant.client.execute(request).await.unwrap().status().as_u16()
        };
        assert_eq!(send(format!("{name}/events/{}", uuid::Uuid::now_v7()), None).await, 404);
        assert_eq!(send(format!("{name}/events/nonsense"), None).await, 404);
        assert_eq!(send(format!("nonesuch/events/{run}"), None).await, 404);
        assert_eq!(send(format!("{name}/events/{run}"), Some(vec![b'x'; 256 * 1024 + 1])).await, 413, "unread");

        let token = async || {
            let token = gateway.store.issue_media_token(run.parse().unwrap(), Duration::from_secs(60)).await.unwrap();
            token.expose().to_owned()
        };
        let connect = async |token: &str| {
            let url = format!("{base}/api/v1/telephony/ws/none/none/{run}/{token}").replace("http://", "ws://");
            match tokio_tungstenite::connect_async(url).await {
                Ok(_) => 101,
                Err(tokio_tungstenite::tungstenite::Error::Http(refused)) => refused.status().as_u16(),
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!(connect("0000").await, 403, "it was never given out");
        let first = token().await;
        assert_eq!(connect(&first).await, 101);
        assert_eq!(connect(&first).await, 403, "it has been used");
        assert_eq!(connect(&token().await).await, 403, "the call has had its stream");
        sandbox.stop().await;
        gateway.serving.stop().await;
    });
}

#[test]
fn a_call_whose_account_is_deleted_ends_and_gives_its_place_back() {
    on_each_database(&impatient(), async |gateway| {
        let workflow = gateway.workflow(json!({"type": "echo"})).await;
        let sandbox = Sandbox::start(registered()[0], quick().with_ring(Duration::from_secs(20))).await.unwrap();
        let account = gateway.account(&sandbox).await;
        let call = gateway.dial(&account, &workflow, TALKS).await;
        assert_eq!(gateway.tenant.get("/organization").await["concurrent_calls"], 1);
        let (status, _) =
            gateway.tenant.ask(Method::DELETE, &format!("/telephony/configurations/{account}"), None).await;
        assert_eq!(status, 204);
        let over = gateway.settled(&call).await;
        assert_eq!(over["status"], "failed", "{over}");
        assert!(over["reason"].as_str().unwrap().contains("was deleted"), "{over}");
        assert_eq!(gateway.tenant.get("/organization").await["concurrent_calls"], 0);
        sandbox.stop().await;
        gateway.serving.stop().await;
    });
}

#[test]
fn no_call_outlives_the_longest() {
    let options = ServiceOptions { max_call_duration: Duration::from_millis(1_500), ..impatient() };
    on_each_database(&options, async |gateway| {
        // Two that say back what they hear would talk for ever.
        let workflow = gateway.workflow(json!({"type": "echo"})).await;
        with_every_carrier(async |simulator| {
            let sandbox = Sandbox::start(simulator, quick()).await.unwrap();
            let account = gateway.account(&sandbox).await;
            let call = gateway.dial(&account, &workflow, TALKS).await;
            let path = format!("/calls/{}", call["id"].as_str().unwrap());
            let over = gateway.tenant.until(&path, "the end", |call| call["is_over"] == true).await;
            assert_eq!(over["status"], "completed", "{}: {over}", simulator.provider().name());
            let dialled = over["carrier_call_id"].as_str().unwrap();
            let over = |seen: &Observation| matches!(seen, Observation::CallEnded { call, .. } if call == dialled);
            let Observation::CallEnded { cause, .. } = sandbox.wait_for(over).await else { unreachable!() };
            assert_eq!(cause, EndCause::Application, "{}: outbound", simulator.provider().name());
            // Nor does one that came in.
            let numbers = gateway.tenant.get("/telephony/phone-numbers").await;
            let own = numbers.as_array().unwrap().iter().find(|number| number["configuration_id"] == account).unwrap();
            let path = format!("/telephony/phone-numbers/{}", own["id"].as_str().unwrap());
            gateway.tenant.ask(Method::PATCH, &path, Some(json!({"workflow_id": workflow}))).await;
            let id = sandbox.call_in(TALKS, own["number"].as_str().unwrap()).await.unwrap();
            let over = |seen: &Observation| matches!(seen, Observation::CallEnded { call, .. } if *call == id);
            let ended = tokio::time::timeout(Duration::from_secs(60), sandbox.wait_for(over)).await;
            let Observation::CallEnded { cause, .. } = ended.expect("it lasts for ever") else { unreachable!() };
            assert_eq!(cause, EndCause::Application, "{}: inbound", simulator.provider().name());
            sandbox.stop().await;
        })
        .await;
        gateway.serving.stop().await;
    });
}

/// A network on which one carrier is silent: whatever is sent to it has no answer.
#[derive(Debug)]
struct Silent {
    network: ReqwestTransport,
    carrier: Arc<OnceLock<Authority>>,
    asked: Arc<Notify>,
}

#[async_trait::async_trait]
impl Transport for Silent {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, TransportError> {
        if self.carrier.get().is_some_and(|carrier| request.uri().authority() == Some(carrier)) {
            self.asked.notify_one();
            std::future::pending::<()>().await;
        }
        self.network.send(request).await
    }
}

#[test]
fn a_carrier_that_does_not_answer_keeps_no_other_call_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(folder.path().join("telephony.db"));
    runtime().block_on(async {
        let (carrier, asked) = (Arc::new(OnceLock::new()), Arc::new(Notify::new()));
        let network =
            Silent { network: ReqwestTransport::new().unwrap(), carrier: carrier.clone(), asked: asked.clone() };
        // Nobody gives up waiting for the silent one.
        let patient = HttpPolicy::default().with_attempt_timeout(Duration::from_secs(3_600));
        let context = ProviderContext::with_transport(Arc::new(network)).with_http_policy(patient);
        let options = ServiceOptions { max_call_duration: Duration::from_secs(2), ..impatient() };
        let anywhere = (Ipv4Addr::LOCALHOST, 0).into();
        let gateway = Gateway::start_with(&url, KeyRing::generate(), options, context, anywhere, None).await;
        let workflow = gateway.workflow(json!({"type": "echo"})).await;
        // Who picks up stays on the line.
        let handset = Handset::with_behaviour(Behaviour::Talks).with_patience(Duration::from_secs(3_600));
        let stays = quick().with_handset(handset);
        let silent = Sandbox::start(registered()[0], stays.clone()).await.unwrap();
        let account = gateway.account(&silent).await;
        let unheard = gateway.dial(&account, &workflow, TALKS).await;
        carrier.set(silent.api_url().authority().parse().unwrap()).unwrap();
        asked.notified().await;

        let speaks = Sandbox::start(registered()[1], stays).await.unwrap();
        let account = gateway.account(&speaks).await;
        let call = gateway.dial(&account, &workflow, TALKS).await;
        let path = |call: &Value| format!("/calls/{}", call["id"].as_str().unwrap());
        gateway.tenant.until(&path(&call), "the end", |call| call["is_over"] == true).await;
        let unheard = gateway.tenant.get(&path(&unheard)).await;
        assert_eq!(unheard["is_over"], false, "nobody could ask about it: {unheard}");
        gateway.serving.stop().await;
        speaks.stop().await;
        silent.stop().await;
    });
}

/// A network on which the gateway stops, as if killed, at a step of the request for a call.
#[derive(Debug)]
struct Stops {
    network: ReqwestTransport,
    before: bool,
    stopped: Arc<Notify>,
}

#[async_trait::async_trait]
impl Transport for Stops {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, TransportError> {
        let is_dial = request.method() == http::Method::POST && !request.body().is_empty();
        if is_dial && self.before {
            self.stopped.notify_one();
            std::future::pending::<()>().await;
        }
        let answer = self.network.send(request).await;
        if is_dial {
            self.stopped.notify_one();
            std::future::pending::<()>().await;
        }
        answer
    }
}

#[test]
fn a_gateway_that_is_killed_while_it_dials_never_dials_again() {
    for before in [true, false] {
        let (folder, keys) = (tempfile::tempdir().unwrap(), KeyRing::generate());
        let url = DatabaseUrl::Sqlite(folder.path().join("telephony.db"));
        let carrier = runtime();
        let sandbox = carrier.block_on(Sandbox::start(registered()[0], quick())).unwrap();
        let first = runtime();
        let (address, id) = first.block_on(async {
            let stopped = Arc::new(Notify::new());
            let network = Stops { network: ReqwestTransport::new().unwrap(), before, stopped: stopped.clone() };
            let context = ProviderContext::with_transport(Arc::new(network));
            let anywhere = (Ipv4Addr::LOCALHOST, 0).into();
            let gateway = Gateway::start_with(&url, keys.clone(), impatient(), context, anywhere, None).await;
            let workflow = gateway.workflow(json!({"type": "echo"})).await;
            let mut config = sandbox.account();
            let provider = config.as_object_mut().unwrap().remove("provider").unwrap();
            let from = sandbox.numbers()[0].as_e164().to_owned();
            let body = json!({"name": "main", "provider": provider, "config": config, "default_from": from});
            gateway.tenant.post("/telephony/configurations", body).await;
            let tenant = gateway.tenant.clone();
            let call = json!({"workflow_id": workflow, "to": HANGS_UP});
            tokio::spawn(async move { tenant.ask(Method::POST, "/telephony/initiate-call", Some(call)).await });
            stopped.notified().await;
            let page = gateway.tenant.get("/calls").await;
            assert_eq!(
                page["calls"][0]["dial_state"], "intended",
                "the intent is durable before the carrier is asked: {page}"
            );
            (gateway.serving.address(), page["calls"][0]["id"].clone())
        });
        // Everything that was under way is gone, in the middle of it.
        first.shutdown_background();
        let second = runtime();
        second.block_on(async {
            let options = ServiceOptions { unknown_until: Duration::from_secs(2), ..impatient() };
            let context = ProviderContext::network().unwrap();
            let gateway = Gateway::start_with(&url, keys, options, context, address, None).await;
            let path = format!("/calls/{}", id.as_str().unwrap());
            let over = gateway.tenant.until(&path, "the end", |call| call["is_over"] == true).await;
            let expected = if before { ("unknown", "failed") } else { ("accepted", "completed") };
            assert_eq!((over["dial_state"].as_str().unwrap(), over["status"].as_str().unwrap()), expected, "{over}");
            assert_eq!(gateway.tenant.get("/organization").await["concurrent_calls"], 0);
            gateway.serving.stop().await;
        });
        assert_eq!(rang(&sandbox), usize::from(!before), "before: {before}");
        carrier.block_on(sandbox.stop());
    }
}

/// Hands each connection to the next of several gateways, and to those that still listen.
async fn in_turn(listener: TcpListener, gateways: Vec<SocketAddr>) {
    let turn = AtomicUsize::new(0);
    while let Ok((mut from, _)) = listener.accept().await {
        let first = turn.fetch_add(1, Ordering::Relaxed);
        let order: Vec<SocketAddr> = (0..gateways.len()).map(|n| gateways[(first + n) % gateways.len()]).collect();
        tokio::spawn(async move {
            for gateway in order {
                if let Ok(mut to) = TcpStream::connect(gateway).await {
                    let _either_side_closed = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                    return;
                }
            }
        });
    }
}

#[test]
fn two_gateways_share_a_database_and_one_finishes_what_the_other_began() {
    let (postgres, keys, outside) = (Postgres::start(), KeyRing::generate(), runtime());
    let url: DatabaseUrl = postgres.url().parse().unwrap();
    let bind = || std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let (one, other) = (bind(), bind());
    let (sandboxes, front) = outside.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let front = listener.local_addr().unwrap();
        tokio::spawn(in_turn(listener, vec![one, other]));
        let mut sandboxes = Vec::new();
        for simulator in registered() {
            sandboxes.push(Sandbox::start(simulator, quick()).await.unwrap());
        }
        (sandboxes, front)
    });
    let start = async |listen: SocketAddr| {
        let context = ProviderContext::network().unwrap();
        Gateway::start_with(&url, keys.clone(), impatient(), context, listen, Some(front)).await
    };
    let (first, second) = (runtime(), runtime());
    let gateway = first.block_on(start(one));
    let survivor = second.block_on(start(other));
    let calls: Vec<Value> = first.block_on(async {
        let workflow = gateway.workflow(json!({"type": "echo"})).await;
        let mut calls = Vec::new();
        for sandbox in &sandboxes {
            let account = gateway.account(sandbox).await;
            // Webhooks, sockets and questions of one call reach both.
            let short = gateway.dial(&account, &workflow, HANGS_UP).await;
            let path = format!("/calls/{}", short["id"].as_str().unwrap());
            let over = survivor.tenant.until(&path, "the end of a short call", |call| call["is_over"] == true).await;
            assert_eq!(over["status"], "completed", "{over}");
            calls.push(gateway.dial(&account, &workflow, TALKS).await);
        }
        for call in &calls {
            let path = format!("/calls/{}", call["id"].as_str().unwrap());
            survivor.tenant.until(&path, "the answer", |call| call["status"] == "in_progress").await;
        }
        calls
    });
    // One is gone in the middle of every call.
    drop(gateway);
    first.shutdown_background();
    second.block_on(async {
        // The connections of its client were carried by what is gone.
        let survivor = Gateway { tenant: Tenant::new(&survivor.tenant.base, &survivor.tenant.token), ..survivor };
        for call in &calls {
            let path = format!("/calls/{}", call["id"].as_str().unwrap());
            let (status, _) = survivor.tenant.ask(Method::POST, &format!("{path}/hang-up"), Some(json!({}))).await;
            assert_eq!(status, 200, "{call}");
            let over = survivor.settled(call).await;
            assert_eq!((&over["status"], &over["cost"]["state"]), (&json!("completed"), &json!("rated")), "{over}");
        }
        assert_eq!(survivor.tenant.get("/organization").await["concurrent_calls"], 0);
        assert!(survivor.store.ping().await.is_ok());
        survivor.serving.stop().await;
    });
    outside.block_on(async {
        for sandbox in sandboxes {
            sandbox.stop().await;
        }
    });
}

#[test]
fn a_call_is_followed_at_one_gateway_while_another_carries_it() {
    let (postgres, keys) = (Postgres::start(), KeyRing::generate());
    let url: DatabaseUrl = postgres.url().parse().unwrap();
    runtime().block_on(async {
        // Neither asks a carrier by itself: what the second hears of the call, the first has told.
        let start = || Gateway::start(&url, keys.clone(), ServiceOptions::default());
        let (carries, follows) = (start().await, start().await);
        let sandbox = Sandbox::start(registered()[0], quick()).await.unwrap();
        let account = carries.account(&sandbox).await;
        let workflow = carries.workflow(json!({"type": "echo"})).await;
        let mut changes = follows.serving.service().changes();
        let call = carries.dial(&account, &workflow, HANGS_UP).await;
        let id = call["id"].as_str().unwrap();
        let told = async { while changes.recv().await.unwrap() != Change::Run(id.parse().unwrap()) {} };
        tokio::time::timeout(Duration::from_secs(60), told).await.expect("the other gateway is told");

        let live = format!("{}/api/v1/calls/{id}/live", follows.tenant.base);
        let live = follows.tenant.client.get(live).bearer_auth(&follows.tenant.token).send().await.unwrap();
        let ledger = tokio::time::timeout(Duration::from_secs(60), live.text()).await.expect("it ends with the call");
        let ledger = ledger.unwrap();
        assert!(ledger.contains(r#""is_over":true"#), "{ledger}");
        assert!(ledger.contains(r#""state":"rated""#), "the price comes after the end: {ledger}");
        carries.serving.stop().await;
        follows.serving.stop().await;
        sandbox.stop().await;
    });
}

/// The organization of a gateway that has no other, and another one.
async fn another_tenant(gateway: &Gateway) -> Tenant {
    let organization = gateway.store.create_organization("theirs", 5).await.unwrap().id;
    let token = gateway.store.create_api_token(organization, "test").await.unwrap().token.expose().to_owned();
    Tenant::new(&gateway.tenant.base, token)
}

#[test]
fn all_calls_of_an_organization_are_followed_and_those_of_no_other() {
    let (postgres, keys) = (Postgres::start(), KeyRing::generate());
    let url: DatabaseUrl = postgres.url().parse().unwrap();
    runtime().block_on(async {
        let start = || Gateway::start(&url, keys.clone(), ServiceOptions::default());
        let (carries, follows) = (start().await, start().await);
        let sandbox = Sandbox::start(registered()[0], quick()).await.unwrap();
        let account = carries.account(&sandbox).await;
        let workflow = carries.workflow(json!({"type": "echo"})).await;
        let past = carries.dial(&account, &workflow, BUSY).await;
        carries.settled(&past).await;
        let theirs = Gateway { tenant: another_tenant(&carries).await, ..start().await };
        let mut streams = [carries.tenant.follow("/calls/live").await, follows.tenant.follow("/calls/live").await];
        let mut their_stream = theirs.tenant.follow("/calls/live").await;

        for to in [HANGS_UP, BUSY] {
            let call = carries.dial(&account, &workflow, to).await;
            for stream in &mut streams {
                let mut last = Value::Null;
                while last["id"] != call["id"] || last["is_over"] != true || last["cost"]["state"] == "pending" {
                    let (name, told) = stream.next().await.expect("it goes on");
                    assert_eq!(name, "call", "{told}");
                    // What was over before is not told, and nothing is told twice.
                    assert_ne!(told["id"], past["id"], "{told}");
                    assert_ne!(told, last);
                    last = told;
                }
            }
        }
        let their_sandbox = Sandbox::start(registered()[0], quick()).await.unwrap();
        let account = theirs.account(&their_sandbox).await;
        let workflow = theirs.workflow(json!({"type": "echo"})).await;
        let call = theirs.dial(&account, &workflow, BUSY).await;
        let (_, told) = their_stream.next().await.expect("it goes on");
        assert_eq!(told["id"], call["id"], "nothing was told of others' calls");
        carries.serving.stop().await;
        follows.serving.stop().await;
        while streams[1].next().await.is_some() {} // It ends with the gateway.
        theirs.serving.stop().await;
        sandbox.stop().await;
        their_sandbox.stop().await;
    });
}

#[test]
fn how_loud_a_call_is_is_told_by_the_gateway_that_carries_it() {
    let (postgres, keys) = (Postgres::start(), KeyRing::generate());
    let url: DatabaseUrl = postgres.url().parse().unwrap();
    runtime().block_on(async {
        let start = || Gateway::start(&url, keys.clone(), ServiceOptions::default());
        let (carries, follows) = (start().await, start().await);
        let workflow = carries.workflow(json!({"type": "echo"})).await;
        let sandbox = Sandbox::start(registered()[0], quick()).await.unwrap();
        let account = carries.account(&sandbox).await;
        let call = carries.dial(&account, &workflow, TALKS).await;
        let path = format!("/calls/{}", call["id"].as_str().unwrap());
        let mut elsewhere = follows.tenant.follow(&format!("{path}/live")).await;
        let mut live = carries.tenant.follow(&format!("{path}/live")).await;
        let (mut caller, mut agent, mut told) = (Vec::new(), Vec::new(), 0);
        let is_speech = |dbfs: &f64| *dbfs > -40.0;
        // The caller is silent, speaks, and hears the same.
        while !(caller.iter().any(is_speech) && agent.iter().any(is_speech)) {
            let levels = live.until("levels", "how loud it is", |_| true).await;
            let level = |side: &str| levels[side].as_f64().unwrap();
            let (said, heard) = (level("caller_dbfs"), level("agent_dbfs"));
            assert!((-96.0..=0.0).contains(&said) && (-96.0..=0.0).contains(&heard), "{levels}");
            caller.push(said);
            agent.push(heard);
            told += 1;
        }
        assert!(caller[0] < -60.0 && agent[0] == -96.0, "at first both are silent: {caller:?} {agent:?}");
        assert!(told > 3, "{told}");
        carries.tenant.post(&format!("{path}/hang-up"), json!({})).await;
        while live.next().await.is_some() {} // Nothing is told any more when it is over.
        while let Some((name, told)) = elsewhere.next().await {
            assert!(["call", "event"].contains(&name.as_str()), "{name}: {told}");
        }
        carries.serving.stop().await;
        follows.serving.stop().await;
        sandbox.stop().await;
    });
}

#[test]
fn all_calls_that_match_are_exported_in_one_file() {
    on_each_database(&ServiceOptions::default(), async |gateway| {
        const CALLS: usize = 450;
        let organization = gateway.store.organizations().await.unwrap()[0].id;
        let workflow =
            gateway.tenant.post("/workflows", json!({"name": "a \"b\", c", "agent": {"type": "echo"}})).await;
        let sandbox = Sandbox::start(registered()[0], quick()).await.unwrap();
        let account = gateway.account(&sandbox).await;
        for n in 0..CALLS {
            let new = NewRun {
                id: WorkflowRunId::generate(),
                organization,
                workflow: Some(workflow["id"].as_str().unwrap().parse().unwrap()),
                configuration: account.parse().unwrap(),
                provider: "toy".to_owned(),
                direction: Direction::Inbound,
                from: if n == 0 { "=HYPERLINK(\"x\")".to_owned() } else { format!("+120255{n:05}") },
                to: TALKS.to_owned(),
                call: CallRef::unnamed(),
                options: json!({}),
                idempotency: None,
                lease: Duration::ZERO,
            };
            assert!(matches!(gateway.store.open_run(&new).await.unwrap(), Opened::New(_)));
        }
        let theirs = another_tenant(&gateway).await;
        let fetch = async |tenant: &Tenant, query: &str| {
            let request = tenant.client.get(format!("{}/api/v1/calls/export{query}", tenant.base));
            let response = request.bearer_auth(&tenant.token).send().await.unwrap();
            assert_eq!(response.status(), 200);
            let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
            (header("content-type"), header("content-disposition"), response.text().await.unwrap())
        };
        let mut listed: Vec<Value> = Vec::new();
        let mut next = String::new();
        loop {
            let page = gateway.tenant.get(&format!("/calls?limit=200{next}")).await;
            listed.extend(page["calls"].as_array().unwrap().iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            next = format!("&cursor={cursor}");
        }
        assert_eq!(listed.len(), CALLS);

        let (kind, disposition, text) = fetch(&gateway.tenant, "?format=json").await;
        assert_eq!((kind.as_str(), disposition.as_str()), ("application/json", r#"attachment; filename="calls.json""#));
        assert_eq!(serde_json::from_str::<Vec<Value>>(&text).unwrap(), listed);
        let (kind, disposition, text) = fetch(&gateway.tenant, "").await;
        assert!(kind.starts_with("text/csv"), "{kind}");
        assert_eq!(disposition, r#"attachment; filename="calls.csv""#);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let columns = "id,created_at,ended_at,direction,from,to,provider,configuration,workflow,status,reason,duration_secs,\
                       cost_state,cost_amount,cost_currency,has_recording";
        assert_eq!(text.split("\r\n").next(), Some(columns));
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), CALLS);
        let name = sandbox.simulator().provider().display_name();
        for (row, call) in rows.iter().zip(&listed) {
            let text = |field: &str| call[field].as_str().unwrap();
            assert_eq!((&row[0], &row[1], &row[5]), (text("id"), text("created_at"), TALKS));
            assert_eq!((&row[7], &row[8], &row[12], &row[15]), (name, "a \"b\", c", "pending", "false"));
        }
        assert_eq!((&rows[0][4], &rows[CALLS - 1][4]), ("+12025500449", "'=HYPERLINK(\"x\")"));

        let (_, _, text) = fetch(&gateway.tenant, "?number=00449").await;
        assert_eq!(text.lines().count(), 2, "{text}");
        assert_eq!(fetch(&theirs, "").await.2, format!("{columns}\r\n"));
        assert_eq!(fetch(&theirs, "?format=json").await.2, "[]");
        sandbox.stop().await;
        gateway.serving.stop().await;
    });
}
