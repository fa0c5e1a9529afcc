//! What a gateway remembers, on SQLite and on PostgreSQL: the same tests, the same behaviour.

#![allow(clippy::print_stdout, reason = "a test that fails says on which database")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{collections::BTreeSet, path::Path, time::Duration};

use futures_util::FutureExt;
use serde_json::json;
use sqlx::Connection;
use telephony_core::{
    CallCost, CallEvent, CallEventKind, CallId, CallRef, CallStatus, Direction, Money, OrganizationId, Secret,
    StatusChange, Timestamp, WorkflowRunId,
};
use telephony_gateway::{
    service::agent::AgentSpec,
    store::{
        AccountChange, DatabaseUrl, DialState, KeyRing, NewAccount, NewNumber, NewRun, NewWorkflow, Opened, RunFilter,
        Store, StoreError, StoredRun,
    },
};
use tests::postgres::Postgres;
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(60);

/// Runs a test on each database, fresh.
fn on_each_database<F: Future<Output = ()>>(test: impl Fn(Store, DatabaseUrl) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::start();
    let file = DatabaseUrl::Sqlite(folder.path().join("deep/telephony.db"));
    for url in [DatabaseUrl::Memory, file, postgres.url().parse().unwrap()] {
        println!("on {url}");
        runtime.block_on(async {
            let store = Store::open(&url, KeyRing::generate()).await.unwrap();
            test(store.clone(), url).await;
            store.close().await;
        });
    }
}

fn account(name: &str) -> NewAccount {
    NewAccount {
        name: name.to_owned(),
        provider: "acme".to_owned(),
        account_id: Some("AC1".to_owned()),
        default_from: None,
        config: json!({"account": "AC1", "token": "s3cr3t-of-the-account"}),
        default_if_none: true,
    }
}

async fn organization(store: &Store, name: &str) -> OrganizationId {
    store.create_organization(name, 2).await.unwrap().id
}

#[test]
fn accounts_are_kept_apart_by_their_owner() {
    on_each_database(async |store, _| {
        let (ours, theirs) = (organization(&store, "ours").await, organization(&store, "theirs").await);
        let taken = store.create_organization("ours", 1).await;
        assert!(matches!(taken, Err(StoreError::Conflict { field: "name", .. })), "{taken:?}");
        let first = store.create_account(ours, account("main")).await.unwrap();
        let second = store.create_account(ours, account("spare")).await.unwrap();
        assert!(first.is_default && !second.is_default, "the first is the default");
        assert_eq!(first.config, account("main").config);
        assert!(!format!("{first:?}").contains("s3cr3t"));
        let again = store.create_account(ours, account("main")).await;
        assert!(matches!(again, Err(StoreError::Conflict { field: "name", .. })), "{again:?}");
        store.create_account(theirs, account("main")).await.unwrap();
        assert_eq!(store.account(theirs, first.id).await.unwrap(), None);
        assert!(!store.delete_account(theirs, first.id).await.unwrap());
        assert!(!store.set_default_account(theirs, first.id).await.unwrap());
        let change = AccountChange { name: Some("mine".to_owned()), ..AccountChange::default() };
        assert_eq!(store.change_account(theirs, first.id, change).await.unwrap(), None);

        assert!(store.set_default_account(ours, second.id).await.unwrap());
        assert_eq!(store.default_account(ours).await.unwrap().unwrap().id, second.id);
        let change = AccountChange {
            name: Some("other".to_owned()),
            default_from: Some(Some("+12025550100".to_owned())),
            config: Some((json!({"account": "AC2"}), Some("AC2".to_owned()))),
        };
        let changed = store.change_account(ours, first.id, change).await.unwrap().unwrap();
        assert_eq!((changed.name.as_str(), changed.account_id.as_deref()), ("other", Some("AC2")));
        // What is found out about an account that was changed meanwhile is of another.
        store.account_checked(&first, None).await.unwrap();
        assert_eq!(store.account(ours, first.id).await.unwrap().unwrap().health, None);
        store.account_checked(&changed, Some("refused")).await.unwrap();
        let health = async || store.account(ours, first.id).await.unwrap().unwrap().health;
        assert_eq!(health().await.unwrap().problem.as_deref(), Some("refused"));
        let as_it_is = AccountChange { config: Some((changed.config, None)), ..AccountChange::default() };
        store.change_account(ours, first.id, as_it_is).await.unwrap();
        assert!(health().await.is_some(), "the configuration is the same");
        let other = AccountChange { config: Some((json!({}), Some("AC2".to_owned()))), ..AccountChange::default() };
        store.change_account(ours, first.id, other).await.unwrap();
        assert_eq!(health().await, None);
        let change = AccountChange { name: Some("spare".to_owned()), ..AccountChange::default() };
        let taken = store.change_account(ours, first.id, change).await;
        assert!(matches!(taken, Err(StoreError::Conflict { field: "name", .. })), "{taken:?}");

        assert_eq!(store.accounts_of_carrier("acme", Some("AC1")).await.unwrap().len(), 2);
        assert_eq!(store.accounts_of_carrier("acme", None).await.unwrap().len(), 3);
        assert!(store.accounts_of_carrier("other", None).await.unwrap().is_empty());
        assert!(store.delete_account(ours, second.id).await.unwrap());
        assert_eq!(store.default_account(ours).await.unwrap(), None, "nobody is made the default in silence");
    });
}

#[test]
fn an_account_that_is_there_for_a_while_is_never_the_default() {
    on_each_database(async |store, _| {
        let owner = organization(&store, "ours").await;
        let passing = NewAccount { default_if_none: false, ..account("for a while") };
        assert!(!store.create_account(owner, passing).await.unwrap().is_default);
        assert_eq!(store.default_account(owner).await.unwrap(), None);
        let main = store.create_account(owner, account("main")).await.unwrap();
        assert!(main.is_default, "the first that may be is, whatever is there already");
        assert!(!store.create_account(owner, account("spare")).await.unwrap().is_default);
        assert_eq!(store.default_account(owner).await.unwrap().unwrap().id, main.id);
    });
}

#[test]
fn a_question_that_is_given_up_takes_nothing_with_it() {
    on_each_database(async |store, _| {
        let owner = organization(&store, "ours").await;
        for _ in 0..50 {
            // Begun, and dropped where it waits first: for its connection.
            drop(store.accounts(owner).now_or_never());
            assert_eq!(store.organizations().await.unwrap().len(), 1);
        }
        assert_eq!(store.organizations().await.unwrap()[0].id, owner);
        store.create_account(owner, account("main")).await.unwrap();
    });
}

#[test]
fn what_is_written_outlives_the_program_and_is_encrypted() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("telephony.db");
    let url = DatabaseUrl::Sqlite(file.clone());
    let keys = KeyRing::generate();
    runtime.block_on(async {
        let store = Store::open(&url, keys.clone()).await.unwrap();
        let owner = organization(&store, "ours").await;
        let created = store.create_account(owner, account("main")).await;
        store.close().await;
        // What was written counts, whether or not it could be read again.
        assert!(!anywhere(folder.path(), b"s3cr3t-of-the-account"), "a secret is readable in the file");
        created.unwrap();
        let again = Store::open(&url, keys.clone()).await.unwrap();
        assert_eq!(again.accounts(owner).await.unwrap()[0].config, account("main").config);
        again.close().await;
        let stranger = Store::open(&url, KeyRing::generate()).await.unwrap();
        let refused = stranger.accounts(owner).await.unwrap_err();
        assert!(refused.to_string().contains(keys.current_id()), "the key that is needed is named: {refused}");
        stranger.close().await;
    });
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

fn anywhere(folder: &Path, wanted: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(wanted.len()).any(|window| window == wanted)
    })
}

#[test]
fn keys_are_changed_one_after_the_other() {
    on_each_database(async |store, url| {
        if url == DatabaseUrl::Memory {
            return; // It cannot be opened a second time.
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let old = KeyRing::from_file(&file).unwrap();
        store.close().await;
        let store = Store::open(&url, old.clone()).await.unwrap();
        let owner = organization(&store, "rotating").await;
        for name in ["a", "b", "c"] {
            store.create_account(owner, account(name)).await.unwrap();
        }
        store.close().await;
        let running = Store::open(&url, old.clone()).await.unwrap();
        let both = old.with_fresh_key(&file).unwrap();
        let store = Store::open(&url, both.clone()).await.unwrap();
        assert_eq!(store.accounts(owner).await.unwrap().len(), 3, "old values can be read");
        assert_eq!(store.reencrypt().await.unwrap(), 3);
        assert_eq!(store.reencrypt().await.unwrap(), 0);
        store.close().await;
        assert_eq!(
            running.accounts(owner).await.unwrap().len(),
            3,
            "a gateway that runs finds the new key in the file"
        );
        running.close().await;
        let new = both.forget_old_keys(&file).unwrap();
        let store = Store::open(&url, new).await.unwrap();
        assert_eq!(store.accounts(owner).await.unwrap()[2].config, account("c").config);
        store.close().await;
    });
}

#[test]
fn tokens_and_sessions_are_good_for_their_owner_and_their_time() {
    on_each_database(async |store, _| {
        let (ours, theirs) = (organization(&store, "ours").await, organization(&store, "theirs").await);
        let issued = store.create_api_token(ours, "ci").await.unwrap();
        assert!(!format!("{issued:?}").contains(issued.token.expose()));
        assert_eq!(store.owner_of_api_token(&issued.token).await.unwrap(), Some(ours));
        assert!(store.api_tokens(ours).await.unwrap()[0].last_used_at.is_some());
        assert!(store.api_tokens(theirs).await.unwrap().is_empty());
        assert_eq!(store.owner_of_api_token(&Secret::new("tel_guess")).await.unwrap(), None);
        assert!(!store.revoke_api_token(theirs, issued.id).await.unwrap());
        assert!(store.revoke_api_token(ours, issued.id).await.unwrap());
        assert!(!store.revoke_api_token(ours, issued.id).await.unwrap());
        assert_eq!(store.owner_of_api_token(&issued.token).await.unwrap(), None);

        let hour = Duration::from_secs(3600);
        let link = store.create_sign_in_token(ours, hour).await.unwrap();
        let (owner, session) = store.sign_in(&link, hour).await.unwrap().unwrap();
        assert_eq!(owner, ours);
        assert_eq!(store.sign_in(&link, hour).await.unwrap().map(|(owner, _)| owner), None, "it works once");
        assert_eq!(store.owner_of_session(&session).await.unwrap(), Some(ours));
        store.sign_out(&session).await.unwrap();
        assert_eq!(store.owner_of_session(&session).await.unwrap(), None);
        let expired = store.create_sign_in_token(ours, Duration::ZERO).await.unwrap();
        assert!(store.sign_in(&expired, hour).await.unwrap().is_none());
    });
}

#[test]
fn workflows_answer_numbers_of_their_own_organization() {
    on_each_database(async |store, _| {
        let (ours, theirs) = (organization(&store, "ours").await, organization(&store, "theirs").await);
        let configuration = store.create_account(ours, account("main")).await.unwrap().id;
        let new = NewWorkflow { name: "support".to_owned(), agent: json!({"type": "echo"}), record: true };
        let workflow = store.create_workflow(ours, &new).await.unwrap();
        assert_eq!((workflow.agent.clone(), workflow.record), (new.agent.clone(), true));
        assert!(matches!(store.create_workflow(ours, &new).await, Err(StoreError::Conflict { .. })));
        let foreign = store.create_workflow(theirs, &new).await.unwrap();
        assert_eq!(store.workflow(theirs, workflow.id).await.unwrap(), None);

        let number = |text: &str, label: Option<&str>| NewNumber {
            number: text.parse().unwrap(),
            label: label.map(str::to_owned),
            country: Some("US".to_owned()),
            provider_id: None,
        };
        let numbers = [number("+12025550100", Some("Front desk")), number("+12025550101", None)];
        assert_eq!(store.import_numbers(ours, configuration, &numbers).await.unwrap(), 2);
        let again = [number("+12025550100", None), number("+12025550102", None)];
        assert_eq!(store.import_numbers(ours, configuration, &again).await.unwrap(), 1, "each is there once");
        let listed = store.numbers(ours).await.unwrap();
        assert_eq!(listed.len(), 3);
        assert_eq!(listed[0].label.as_deref(), Some("Front desk"), "what was known is not forgotten");
        assert!(store.numbers(theirs).await.unwrap().is_empty());

        assert!(!store.assign_workflow(theirs, listed[0].id, None).await.unwrap());
        assert!(!store.assign_workflow(ours, listed[0].id, Some(foreign.id)).await.unwrap());
        assert!(store.assign_workflow(ours, listed[0].id, Some(workflow.id)).await.unwrap());
        let called = store.number_of_account(configuration, &listed[0].number).await.unwrap().unwrap();
        assert_eq!(called.workflow, Some(workflow.id));
        let changed = NewWorkflow { name: "sales".to_owned(), record: false, ..new };
        assert_eq!(store.change_workflow(ours, workflow.id, &changed).await.unwrap().unwrap().name, "sales");
        assert!(store.delete_workflow(ours, workflow.id).await.unwrap());
        let called = store.number(ours, listed[0].id).await.unwrap().unwrap();
        assert_eq!(called.workflow, None, "nobody answers it any more");
    });
}

/// A call to open.
#[test]
fn nothing_stored_is_printed_with_a_number_or_a_secret() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&DatabaseUrl::Memory, KeyRing::generate()).await.unwrap();
        let owner = organization(&store, "ours").await;
        let new = NewAccount { default_from: Some("+12025550100".to_owned()), ..account("main") };
        let account = store.create_account(owner, new).await.unwrap();
        let spec: AgentSpec =
            serde_json::from_value(json!({"type": "websocket", "url": "wss://a.test/x?token=s3cr3t"})).unwrap();
        let new = NewWorkflow { name: "w".to_owned(), agent: spec.to_json(), record: true };
        let workflow = store.create_workflow(owner, &new).await.unwrap();
        let issued = store.create_api_token(owner, "ci").await.unwrap();
        let mut call = new_run(owner, account.id);
        call.options = json!({"agent": spec.to_json(), "digits": "12025550"});
        call.idempotency = Some(("key".to_owned(), "hash".to_owned()));
        let run = opened(&store, &call).await;
        let filter = RunFilter { number: Some("12025550111".to_owned()), ..RunFilter::default() };
        let page = store.runs(owner, &filter, 10).await.unwrap();
        assert_eq!(page.runs.len(), 1);
        let printed = format!(
            "{store:?} {account:?} {spec:?} {new:?} {workflow:?} {issued:?} {call:?} {run:?} {filter:?} {page:?} {:?}",
            Opened::New(Box::new(run.clone())),
        );
        assert!(printed.contains("wss://a.test/…") && printed.contains("acme"), "{printed}");
        for private in ["s3cr3t", "2025550", issued.token.expose()] {
            assert!(!printed.contains(private), "{private} is in {printed}");
        }
    });
}

fn new_run(organization: OrganizationId, configuration: Uuid) -> NewRun {
    NewRun {
        id: WorkflowRunId::generate(),
        organization,
        workflow: None,
        configuration,
        provider: "acme".to_owned(),
        direction: Direction::Outbound,
        from: "+12025550100".to_owned(),
        to: "+12025550111".to_owned(),
        call: CallRef::unnamed(),
        options: json!({}),
        idempotency: None,
        lease: LEASE,
    }
}

async fn opened(store: &Store, new: &NewRun) -> StoredRun {
    match store.open_run(new).await.unwrap() {
        Opened::New(run) => *run,
        other => panic!("{other:?}"),
    }
}

fn call() -> CallRef {
    CallRef::new(CallId::new("call-1").unwrap()).with_handle("leg", "leg-1")
}

fn status(key: &str, status: CallStatus) -> CallEvent {
    CallEvent::new(call(), key, CallEventKind::Status(StatusChange::new(Some(status), status.as_str())))
}

#[test]
fn a_ledger_moves_a_call_forward_only() {
    on_each_database(async |store, _| {
        let owner = organization(&store, "ours").await;
        let configuration = store.create_account(owner, account("main")).await.unwrap().id;
        let run = opened(&store, &new_run(owner, configuration)).await;
        assert_eq!((run.dial_state, run.is_over, run.summary.status), (DialState::Intended, false, None));
        let now = Timestamp::now_utc();
        // It rings before and after it was answered, by the order of the events.
        let events =
            [status("1", CallStatus::InProgress), status("0", CallStatus::Ringing), status("9", CallStatus::Ringing)];
        let appended = store.append(run.id, "webhook", &events, now).await.unwrap().unwrap();
        assert_eq!(appended.new, [true, true, true]);
        assert_eq!(appended.run.summary.status, Some(CallStatus::InProgress));
        assert_eq!(appended.run.dial_state, DialState::Accepted, "the carrier tells of a call, so it took it");
        assert_eq!(store.run_of_call(configuration, "call-1").await.unwrap().unwrap().id, run.id);
        let again = store.append(run.id, "webhook", &events, now).await.unwrap().unwrap();
        assert_eq!((again.new, again.ended_now), (vec![false; 3], false));
        assert_eq!(store.slots_taken(owner).await.unwrap(), 1);

        let end = [status("2", CallStatus::Completed)];
        let ended = store.append(run.id, "webhook", &end, now).await.unwrap().unwrap();
        assert!(ended.ended_now && ended.run.is_over && ended.run.ended_at.is_some());
        assert_eq!(store.slots_taken(owner).await.unwrap(), 0, "its place is free");
        let late = store.append(run.id, "webhook", &[status("3", CallStatus::Ringing)], now).await.unwrap().unwrap();
        assert_eq!((late.run.summary.status, late.ended_now), (Some(CallStatus::Completed), false));
        let pauses = Duration::from_secs(60)..=Duration::from_secs(600);
        let unrated = store.take_unrated_runs(pauses.clone(), 10).await.unwrap();
        assert!(unrated.iter().any(|unrated| unrated.id == run.id));
        assert!(store.take_unrated_runs(pauses, 10).await.unwrap().is_empty(), "it has just been asked for");
        let cost = CallCost::rated(Money::parse("0.0085", "USD").unwrap());
        let rated = CallEvent::new(call(), "cost", CallEventKind::Cost { cost: cost.clone() });
        let priced = store.append(run.id, "rest", &[rated], now).await.unwrap().unwrap().run;
        assert_eq!((priced.summary.cost, priced.cost_state.as_str()), (Some(cost), "rated"));
        let ledger = store.events(run.id).await.unwrap();
        assert_eq!(ledger.len(), 6);
        assert!(ledger.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert_eq!(store.append(WorkflowRunId::generate(), "webhook", &end, now).await.unwrap(), None);
    });
}

#[test]
fn many_deliveries_at_the_same_time_are_written_once_each() {
    on_each_database(async |store, _| {
        let owner = organization(&store, "ours").await;
        let configuration = store.create_account(owner, account("main")).await.unwrap().id;
        let run = opened(&store, &new_run(owner, configuration)).await.id;
        let mut deliveries = tokio::task::JoinSet::new();
        for n in 0..40 {
            let store = store.clone();
            deliveries.spawn(async move {
                let key = (n % 10).to_string();
                let event = [status(&key, if n % 10 == 9 { CallStatus::Completed } else { CallStatus::Ringing })];
                let appended = store.append(run, "webhook", &event, Timestamp::now_utc()).await.unwrap().unwrap();
                (appended.new[0], appended.ended_now)
            });
        }
        let outcomes: Vec<(bool, bool)> = deliveries.join_all().await;
        assert_eq!(outcomes.iter().filter(|(new, _)| *new).count(), 10);
        assert_eq!(outcomes.iter().filter(|(_, ended)| *ended).count(), 1, "a call ends once");
        let run = store.run(run).await.unwrap().unwrap();
        assert_eq!((run.summary.status, store.events(run.id).await.unwrap().len()), (Some(CallStatus::Completed), 10));
    });
}

#[test]
fn a_dial_is_written_once_whatever_is_heard_of_it() {
    on_each_database(async |store, _| {
        let owner = organization(&store, "ours").await;
        let configuration = store.create_account(owner, account("main")).await.unwrap().id;
        let run = opened(&store, &new_run(owner, configuration)).await.id;
        let unknown = store.dialled(run, DialState::Unknown, None, Some("no answer came")).await.unwrap().unwrap();
        assert_eq!((unknown.dial_state, unknown.dial_error.as_deref()), (DialState::Unknown, Some("no answer came")));
        let ringing = [status("1", CallStatus::Ringing)];
        let told = store.append(run, "webhook", &ringing, Timestamp::now_utc()).await.unwrap().unwrap().run;
        assert_eq!((told.dial_state, told.dial_error), (DialState::Accepted, None));
        // The answer to the request comes last, and says that it failed: the call rings all the same.
        let late = store.dialled(run, DialState::Refused, None, Some("refused")).await.unwrap().unwrap();
        assert_eq!((late.dial_state, late.is_over), (DialState::Accepted, false));

        let other = opened(&store, &new_run(owner, configuration)).await.id;
        assert_eq!(store.slots_taken(owner).await.unwrap(), 2);
        let refused = store.dialled(other, DialState::Refused, None, Some("no credit")).await.unwrap().unwrap();
        assert!(refused.is_over && refused.ended_at.is_some());
        assert_eq!(store.slots_taken(owner).await.unwrap(), 1);
        assert_eq!(store.dialled(WorkflowRunId::generate(), DialState::Accepted, None, None).await.unwrap(), None);
    });
}

#[test]
fn no_more_calls_than_places_and_one_for_each_key() {
    on_each_database(async |store, _| {
        let owner = organization(&store, "ours").await;
        let configuration = store.create_account(owner, account("main")).await.unwrap().id;
        let mut attempts = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (store, new) = (store.clone(), new_run(owner, configuration));
            attempts.spawn(async move { store.open_run(&new).await.unwrap() });
        }
        let outcomes: Vec<Opened> = attempts.join_all().await;
        let opened: Vec<_> = outcomes.iter().filter(|outcome| matches!(outcome, Opened::New(_))).collect();
        assert_eq!(opened.len(), 2, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Opened::NoSlot { limit: 2 }).count(), 6);

        store.set_max_concurrent_calls(owner, 100).await.unwrap();
        let key = |hash: &str| Some(("order-1".to_owned(), hash.to_owned()));
        let mut same = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let store = store.clone();
            let new = NewRun { idempotency: key("h"), ..new_run(owner, configuration) };
            same.spawn(async move { store.open_run(&new).await.unwrap() });
        }
        let outcomes: Vec<Opened> = same.join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Opened::New(_))).count(), 1);
        let ids: BTreeSet<WorkflowRunId> = outcomes
            .iter()
            .map(|outcome| match outcome {
                Opened::New(run) | Opened::Existing(run) => run.id,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(ids.len(), 1, "every request with the key gets the one run");
        let reused = NewRun { idempotency: key("other"), ..new_run(owner, configuration) };
        assert_eq!(store.open_run(&reused).await.unwrap(), Opened::KeyReused);

        // A lease that nobody renews gives its place back.
        let theirs = organization(&store, "theirs").await;
        let account = store.create_account(theirs, account("main")).await.unwrap().id;
        let lapsed = NewRun { lease: Duration::ZERO, ..new_run(theirs, account) };
        let run = match store.open_run(&lapsed).await.unwrap() {
            Opened::New(run) => run.id,
            other => panic!("{other:?}"),
        };
        assert_eq!(store.slots_taken(theirs).await.unwrap(), 0);
        assert!(store.renew_slot(run, LEASE).await.unwrap());
        assert_eq!(store.slots_taken(theirs).await.unwrap(), 1);
    });
}

#[test]
fn a_media_token_opens_one_stream() {
    on_each_database(async |store, _| {
        let owner = organization(&store, "ours").await;
        let configuration = store.create_account(owner, account("main")).await.unwrap().id;
        let run = opened(&store, &new_run(owner, configuration)).await.id;
        let token = store.issue_media_token(run, LEASE).await.unwrap();
        let other = opened(&store, &new_run(owner, configuration)).await.id;
        assert_eq!(store.redeem_media_token(other, token.expose()).await.unwrap(), None, "it is another run's");
        let expired = store.issue_media_token(run, Duration::ZERO).await.unwrap();
        assert_eq!(store.redeem_media_token(run, expired.expose()).await.unwrap(), None);
        let mut sockets = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let (store, token) = (store.clone(), token.clone());
            sockets.spawn(async move { store.redeem_media_token(run, token.expose()).await.unwrap().is_some() });
        }
        let let_in: Vec<bool> = sockets.join_all().await;
        assert_eq!(let_in.iter().filter(|let_in| **let_in).count(), 1);
        let second = store.issue_media_token(run, LEASE).await.unwrap();
        assert_eq!(store.redeem_media_token(run, second.expose()).await.unwrap(), None, "a call has one stream");
        store.close_media(run, &json!({"frames_in": 50}), Some("a.wav")).await.unwrap();
        let run = store.run(run).await.unwrap().unwrap();
        assert_eq!((run.media_state.as_str(), run.recording.as_deref()), ("closed", Some("a.wav")));
    });
}

#[test]
fn calls_are_listed_newest_first_page_by_page() {
    on_each_database(async |store, _| {
        let (ours, theirs) = (organization(&store, "ours").await, organization(&store, "theirs").await);
        store.set_max_concurrent_calls(ours, 100).await.unwrap();
        let configuration = store.create_account(ours, account("main")).await.unwrap().id;
        let mut ids = Vec::new();
        for n in 0..5 {
            let new = NewRun { to: format!("+1202555010{n}"), ..new_run(ours, configuration) };
            ids.push(opened(&store, &new).await.id);
        }
        ids.reverse();
        let mut listed = Vec::new();
        let mut filter = RunFilter::default();
        loop {
            let page = store.runs(ours, &filter, 2).await.unwrap();
            listed.extend(page.runs.iter().map(|run| run.id));
            filter.before = listed.last().copied();
            if !page.more {
                break;
            }
        }
        assert_eq!(listed, ids);
        assert!(store.runs(theirs, &RunFilter::default(), 10).await.unwrap().runs.is_empty());
        assert_eq!(store.run_of(theirs, ids[0]).await.unwrap(), None);
        let count = async |filter: RunFilter| store.runs(ours, &filter, 50).await.unwrap().runs.len();
        assert_eq!(count(RunFilter { number: Some("50103".to_owned()), ..RunFilter::default() }).await, 1);
        assert_eq!(count(RunFilter { number: Some("%".to_owned()), ..RunFilter::default() }).await, 5);
        assert_eq!(count(RunFilter { direction: Some(Direction::Inbound), ..RunFilter::default() }).await, 0);
        assert_eq!(count(RunFilter { configuration: Some(configuration), ..RunFilter::default() }).await, 5);
        store.append(ids[0], "webhook", &[status("1", CallStatus::Busy)], Timestamp::now_utc()).await.unwrap();
        assert_eq!(count(RunFilter { status: Some(CallStatus::Busy), ..RunFilter::default() }).await, 1);
        let future = Timestamp::now_utc() + Duration::from_secs(60);
        assert_eq!(count(RunFilter { since: Some(future), ..RunFilter::default() }).await, 0);
        assert_eq!(count(RunFilter { until: Some(future), ..RunFilter::default() }).await, 5);
        let pause = Duration::from_secs(60);
        assert!(store.take_quiet_runs(future - 2 * pause, pause, 10).await.unwrap().is_empty(), "all were heard of");
        let take = async |limit| store.take_quiet_runs(future, pause, limit).await.unwrap().len();
        let taken = tokio::join!(take(2), take(2), take(10));
        assert_eq!(taken.0 + taken.1 + taken.2, 4, "one of five is over, and each is given out once: {taken:?}");
        assert_eq!(take(10).await, 0);
    });
}

/// Pretends that a newer program has brought the tables up to date.
const NEWER: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
     SELECT 999, 'of the future', success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1";

#[test]
fn a_database_of_a_newer_program_is_refused() {
    on_each_database(async |store, url| {
        store.close().await;
        match &url {
            DatabaseUrl::Memory => return, // It is gone with the program.
            DatabaseUrl::Sqlite(path) => {
                let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display())).await.unwrap();
                sqlx::query(NEWER).execute(&pool).await.unwrap();
                pool.close().await;
            }
            DatabaseUrl::Postgres(url) => {
                let pool = sqlx::PgPool::connect(url).await.unwrap();
                sqlx::query(NEWER).execute(&pool).await.unwrap();
                pool.close().await;
            }
        }
        let refused = Store::open(&url, KeyRing::generate()).await.unwrap_err();
        assert!(matches!(refused, StoreError::NewerSchema { found: 999, .. }), "{refused:?}");
        assert!(refused.to_string().contains("newer"), "{refused}");
    });
}

/// Takes back what came with the versions of the tables after the first.
const OLDER: [&str; 4] = [
    "ALTER TABLE organization_configuration DROP COLUMN checked_at",
    "ALTER TABLE organization_configuration DROP COLUMN check_problem",
    "ALTER TABLE organization_configuration DROP COLUMN is_sandbox",
    "DELETE FROM _sqlx_migrations WHERE version > 1",
];

#[test]
fn a_database_of_an_older_program_is_brought_up_to_date() {
    on_each_database(async |store, url| {
        if url == DatabaseUrl::Memory {
            return; // It is gone with the program.
        }
        let keys = KeyRing::generate();
        store.close().await;
        let store = Store::open(&url, keys.clone()).await.unwrap();
        let ours = organization(&store, "ours").await;
        let known = store.create_account(ours, account("main")).await.unwrap();
        store.close().await;
        for statement in OLDER {
            match &url {
                DatabaseUrl::Sqlite(path) => {
                    let mut file =
                        sqlx::SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
                    sqlx::query(statement).execute(&mut file).await.unwrap();
                    file.close().await.unwrap();
                }
                DatabaseUrl::Postgres(url) => {
                    let mut server = sqlx::PgConnection::connect(url).await.unwrap();
                    sqlx::query(statement).execute(&mut server).await.unwrap();
                    server.close().await.unwrap();
                }
                DatabaseUrl::Memory => unreachable!(),
            }
        }
        let store = Store::open(&url, keys).await.unwrap();
        assert_eq!(store.accounts(ours).await.unwrap(), std::slice::from_ref(&known));
        store.account_checked(&known, None).await.unwrap();
        assert!(store.accounts(ours).await.unwrap()[0].health.is_some());
        store.close().await;
    });
}

#[test]
fn both_databases_have_the_same_tables_and_columns() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::start();
    let path = folder.path().join("telephony.db");
    runtime.block_on(async {
        Store::open(&DatabaseUrl::Sqlite(path.clone()), KeyRing::generate()).await.unwrap().close().await;
        Store::open(&postgres.url().parse().unwrap(), KeyRing::generate()).await.unwrap().close().await;
        let sqlite = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display())).await.unwrap();
        let of_sqlite: Vec<(String, String)> = sqlx::query_as(
            "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\'",
        )
        .fetch_all(&sqlite)
        .await
        .unwrap();
        let server = sqlx::PgPool::connect(&postgres.url()).await.unwrap();
        let of_postgres: Vec<(String, String)> = sqlx::query_as(
            "SELECT table_name::text, column_name::text FROM information_schema.columns
             WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'",
        )
        .fetch_all(&server)
        .await
        .unwrap();
        let sorted = |columns: Vec<(String, String)>| columns.into_iter().collect::<BTreeSet<_>>();
        assert!(of_sqlite.len() > 50);
        assert_eq!(sorted(of_sqlite), sorted(of_postgres));
    });
}
