//! The list of calls, and all that is known of one.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use telephony_core::{CallRef, Direction, WorkflowRunId};
use telephony_gateway::store::{NewRun, Opened};
use telephony_sandbox::Behaviour;

use crate::gateway::{Pages, Sandbox, handset};

async fn dial(page: &Pages, workflow: &Value, account: &Value, to: &str) -> String {
    let body = json!({"workflow_id": workflow["id"], "configuration_id": account["id"], "to": to});
    page.tenant.post("/telephony/initiate-call", body).await["id"].as_str().unwrap().to_owned()
}

/// How many calls are listed, and the text of them all.
async fn listed(page: &Pages) -> (usize, String) {
    let count = page.count("[data-testid=call]").await;
    (count, page.text("#calls").await)
}

/// What is behind a link for downloads, as the browser gets it.
async fn download(page: &Pages, css: &str) -> (String, String) {
    let script = "const [css, done] = arguments;
        fetch(document.querySelector(css).href).then(async (it) => done([it.headers.get('content-type'), await it.text()]))";
    let answered = page.evaluate_async(script, vec![json!(css)]).await;
    (answered[0].as_str().unwrap().to_owned(), answered[1].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_appear_are_filtered_paged_and_exported() {
    let page = Pages::start(Sandbox::Yes).await;
    let (accounts, workflows) =
        (page.tenant.get("/telephony/configurations").await, page.tenant.get("/workflows").await);
    let (first, second, workflow) = (&accounts[0], &accounts[1], &workflows[0]);
    page.open("/calls").await;
    page.wait_text("h2", "No call yet").await;
    page.look("calls-empty").await;

    // What happens is seen without loading the page again.
    page.evaluate("window.isTheSame = true", vec![]).await;
    let busy = dial(&page, workflow, first, handset(Behaviour::Busy)).await;
    page.wait_text(&format!("#call-{busy} [data-testid=status]"), "busy").await;
    let short = dial(&page, workflow, second, handset(Behaviour::HangsUp)).await;
    page.wait_for(&format!("#call-{short}")).await;
    page.wait_text(&format!("#call-{short} [data-testid=status]"), "completed").await;
    let newest_first = "return [...document.querySelectorAll('[data-testid=call]')].map((row) => row.id)";
    assert_eq!(page.evaluate(newest_first, vec![]).await, json!([format!("call-{short}"), format!("call-{busy}")]));
    assert_eq!(page.evaluate("return window.isTheSame", vec![]).await, true);
    page.settled(&short).await;

    // More than a page of them, by somebody who has called before.
    for n in 0..53 {
        let new = NewRun {
            id: WorkflowRunId::generate(),
            organization: page.organization,
            workflow: Some(workflow["id"].as_str().unwrap().parse().unwrap()),
            configuration: first["id"].as_str().unwrap().parse().unwrap(),
            provider: first["provider"].as_str().unwrap().to_owned(),
            direction: Direction::Inbound,
            from: format!("+49301234{n:03}"),
            to: "+12025550199".to_owned(),
            call: CallRef::unnamed(),
            options: json!({}),
            idempotency: None,
            lease: Duration::ZERO,
        };
        assert!(matches!(page.store.open_run(&new).await.unwrap(), Opened::New(_)));
    }
    page.open("/calls").await;
    assert_eq!(page.count("[data-testid=call]").await, 50);
    page.press_and_load("[rel=next]").await;
    let (count, text) = listed(&page).await;
    assert_eq!((count, text.contains("+49301234002"), text.contains("busy")), (5, true, true), "{text}");
    assert_eq!(page.count("[rel=next]").await, 0);
    page.look("calls-older").await;
    page.press_and_load("nav.pages a").await;
    assert_eq!(page.count("[data-testid=call]").await, 50);

    // Filters, one by one and together.
    page.type_into("#number", "1234052").await;
    page.press_and_load("[data-testid=filter]").await;
    let (count, text) = listed(&page).await;
    assert!(count == 1 && text.contains("+49301234052"), "{text}");
    page.type_into("#number", "").await;
    page.choose("#direction", "outbound").await;
    page.press_and_load("[data-testid=filter]").await;
    assert_eq!(listed(&page).await.0, 2);
    page.choose("#configuration", second["id"].as_str().unwrap()).await;
    page.press_and_load("[data-testid=filter]").await;
    let (count, text) = listed(&page).await;
    assert!(count == 1 && text.contains(handset(Behaviour::HangsUp)), "{text}");
    page.look("calls-filtered").await;
    let (kind, csv) = download(&page, "[data-testid=export-csv]").await;
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    let column = rows.headers().unwrap().iter().position(|name| name == "id").unwrap();
    let ids: Vec<String> = rows.records().map(|row| row.unwrap()[column].to_owned()).collect();
    assert!(kind.starts_with("text/csv") && ids == [short.clone()], "{kind}: {csv}");
    let (kind, json) = download(&page, "[data-testid=export-json]").await;
    let calls: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert!(kind == "application/json" && calls.len() == 1 && calls[0]["id"] == short.as_str(), "{kind}: {json}");
    page.press_and_load("[data-testid=filter] ~ a").await;
    assert_eq!((page.path().await.as_str(), page.count("[data-testid=call]").await), ("/calls", 50));
    let (_, json) = download(&page, "[data-testid=export-json]").await;
    assert_eq!(serde_json::from_str::<Vec<Value>>(&json).unwrap().len(), 55);

    page.choose("#status", "busy").await;
    page.press_and_load("[data-testid=filter]").await;
    assert_eq!((page.value("#status").await.as_str(), listed(&page).await.0), ("busy", 1));
    page.press(&format!("#call-{busy} a")).await;
    page.wait_path(&format!("/calls/{busy}")).await;

    // Times are typed in the viewer's zone, and sent in UTC.
    let typed = "document.getElementById(arguments[0]).value = arguments[1]";
    for (field, moment, count) in [("since", "2020-01-01T12:00", 50), ("until", "2020-01-01T12:00", 0)] {
        page.open("/calls").await;
        page.evaluate(typed, vec![json!(field), json!(moment)]).await;
        page.press_and_load("[data-testid=filter]").await;
        assert_eq!(page.count("[data-testid=call]").await, count, "{field}");
        let path = page.path().await;
        assert!(path.starts_with(&format!("/calls?{field}=2020-01-0")) && path.ends_with('Z'), "{path}");
        assert_eq!(page.value(&format!("#{field}")).await, moment, "it is shown as it was typed");
    }
    page.wait_text("h2", "No call is like that").await;

    page.open("/calls?status=dancing").await;
    page.wait_text("[role=alert]", "status").await;
    page.wait_text("[role=alert]", "must be one of").await;
    page.excuse("status of 422").await;
    page.look("calls-wrong-filter").await;
    page.press_and_load("[data-testid=filter] ~ a").await;
    assert_eq!(page.count("[data-testid=call]").await, 50);
    page.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_is_known_of_a_call_is_on_its_page() {
    let page = Pages::start(Sandbox::Yes).await;
    let account = page.tenant.get("/telephony/configurations").await[0].clone();
    let workflow = page.workflow_that_plays("Queue").await;
    let talks = handset(Behaviour::Talks);
    let call = dial(&page, &workflow, &account, talks).await;
    page.open(&format!("/calls/{call}")).await;
    page.wait_text("[data-testid=call-status]", "in progress").await;
    page.wait_for("[data-testid=timer]").await;
    page.look("call-in-progress").await;

    // What somebody has opened stays open while the page goes on.
    page.wait_for("[data-testid=event]").await;
    page.press("[data-testid=event] summary").await;
    page.wait_for("[data-testid=event] pre").await;
    page.evaluate("window.isTheSame = true", vec![]).await;
    let before = page.count("[data-testid=event]").await;
    let quiet = "return [...document.querySelectorAll('[data-level]')].some((meter) => meter.value > -50)";
    page.until("a level", quiet, vec![]).await;
    let sandbox = page.serving.service().sandbox().unwrap();
    let of_account =
        |carrier: &&telephony_sandbox::Sandbox| account["provider"] == carrier.simulator().provider().name().as_str();
    let carrier = sandbox.carriers().find(of_account).unwrap();
    let has_spoken =
        |seen: &telephony_sandbox::Observation| matches!(seen, telephony_sandbox::Observation::HandsetSpoke { .. });
    carrier.wait_for(has_spoken).await;
    page.press("[data-testid=hang-up]").await;
    page.wait_text("[data-testid=call-status]", "completed").await;
    page.wait_gone("[data-testid=hang-up]").await;
    page.wait_for("[data-testid=waveform-picture]").await;
    let known = page.settled(&call).await;
    let amount = known["cost"]["amount"].as_str().expect("it is rated");
    page.wait_text("[data-testid=cost]", amount).await;
    assert!(page.count("[data-testid=event]").await > before);
    assert_eq!(
        page.evaluate("return [isTheSame, document.querySelector('[data-testid=event] details').open]", vec![]).await,
        json!([true, true])
    );

    // The ledger, each row with what the carrier said, and no number whole.
    let events = page.tenant.get(&format!("/calls/{call}/events")).await;
    let events = events["events"].as_array().unwrap_or_else(|| events.as_array().unwrap()).clone();
    assert_eq!(page.count("[data-testid=event]").await, events.len());
    let rows = "return [...document.querySelectorAll('[data-testid=event]')].map((row) =>
        [row.querySelector('b').textContent, row.querySelector('.source').textContent, JSON.parse(row.querySelector('pre').textContent)])";
    let rows = page.evaluate(rows, vec![]).await;
    for (row, event) in rows.as_array().unwrap().iter().zip(&events) {
        assert_eq!(row[0], event["event"].as_str().unwrap().replace('_', " "));
        assert_eq!(row[1], event["source"]);
        assert!(row[2].is_object(), "{row}");
    }
    let raw = rows.to_string();
    let from = known["from"].as_str().unwrap();
    let secrets = telephony_core::config::secret_fields(&carrier.simulator().provider().config_schema());
    let credentials = carrier.account();
    let secrets: Vec<&str> = secrets.iter().filter_map(|name| credentials.get(name)?.as_str()).collect();
    assert!(!secrets.is_empty());
    for whole in [talks, from, &talks[1..], &from[1..]].into_iter().chain(secrets) {
        assert!(!raw.contains(whole), "{whole} in {raw}");
    }

    // The picture: something on both sides of the middle, beyond the line of silence.
    let drawn = "const picture = document.querySelector('[data-testid=waveform-picture]');
        const { width, height } = picture;
        const pixels = picture.getContext('2d').getImageData(0, 0, width, height).data;
        const inked = (from, to) => {
            let columns = 0;
            for (let x = 4; x < width; x += 1) {
                for (let y = from; y < to; y += 1) {
                    if (pixels[(y * width + x) * 4 + 3] > 0) { columns += 1; break; }
                }
            }
            return columns / width;
        };
        const seen = [inked(0, Math.floor(height * 0.4)), inked(Math.ceil(height * 0.6), height)];
        return seen.every((share) => share > 0.1) && seen";
    page.until("both sides of the picture", drawn, vec![]).await;

    // It plays, from anywhere.
    let length =
        "const it = document.querySelector('[data-testid=player]'); return Number.isFinite(it.duration) && it.duration";
    let length = page.until("the recording", length, vec![]).await.as_f64().unwrap();
    let told = known["duration_secs"].as_f64().unwrap();
    assert!((length - told).abs() < 5.0 && length > 5.0, "{length} s of {told} s");
    page.evaluate("document.querySelector('[data-testid=player]').play()", vec![]).await;
    let plays =
        "const it = document.querySelector('[data-testid=player]'); return !it.paused && it.currentTime > arguments[0]";
    page.until("it plays", plays, vec![json!(0.3)]).await;
    page.evaluate("document.querySelector('[data-testid=player]').pause()", vec![]).await;
    page.press("[data-testid=waveform-picture]").await;
    page.until("it plays from the middle", plays, vec![json!(length * 0.45)]).await;
    page.evaluate("document.querySelector('[data-testid=player]').pause()", vec![]).await;
    page.look("call-recorded").await;
    let (status, kind) = {
        let script = "const done = arguments[0];
            fetch(document.querySelector('#recording a[download]').href).then((it) => done([it.status, it.headers.get('content-type')]))";
        let answered = page.evaluate_async(script, vec![]).await;
        (answered[0].clone(), answered[1].clone())
    };
    assert_eq!((status, kind), (json!(StatusCode::OK.as_u16()), json!("audio/wav")));

    // What went over the stream.
    page.wait_text(".figures", "From the carrier").await;
    let rate = known["media"]["inbound"]["sample_rate_hz"].to_string();
    page.wait_text(".figures", &format!("{rate} Hz")).await;
    page.wait_text(".figures", &known["media"]["frames_in"].to_string()).await;

    // A press of a key is a moment of the recording, and leads there. Whoever presses keys does it in the pause of the tone.
    let pressed = dial(&page, &workflow, &account, handset(Behaviour::PressesDigits)).await;
    let mut followed = page.tenant.follow(&format!("/calls/{pressed}/live")).await;
    for (heard, is_loud) in [("the tone", true), ("the pause", false), ("the tone again", true)] {
        let is_heard = |levels: &Value| (levels["agent_dbfs"].as_f64().unwrap() > -50.0) == is_loud;
        followed.until("levels", heard, is_heard).await;
    }
    page.tenant.post(&format!("/calls/{pressed}/hang-up"), json!({})).await;
    page.settled(&pressed).await;
    page.open(&format!("/calls/{pressed}")).await;
    page.wait_text(".moments li:last-child", "key pressed").await;
    page.wait_text(".moments li:first-child", "agent speaks").await;
    page.press(".moments li:last-child button").await;
    page.until("it plays from the key", plays, vec![json!(1.2)]).await;
    page.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_went_wrong_says_what_to_do() {
    let page = Pages::start(Sandbox::Yes).await;
    let accounts = page.tenant.get("/telephony/configurations").await;
    let workflow = page.tenant.get("/workflows").await[0].clone();

    // The carrier refuses it: it does not know the account any more.
    let account = &accounts[0];
    let sandbox = page.serving.service().sandbox().unwrap();
    for carrier in sandbox.carriers() {
        let faults = telephony_sandbox::Faults::none().with_rest(telephony_sandbox::RestFault::Status(401));
        carrier.set_faults(faults);
    }
    let body =
        json!({"workflow_id": workflow["id"], "configuration_id": account["id"], "to": handset(Behaviour::Talks)});
    let (status, answer) = page.tenant.ask(reqwest::Method::POST, "/telephony/initiate-call", Some(body)).await;
    let call = page.tenant.get("/calls").await["calls"][0].clone();
    assert_eq!(call["dial_state"], "refused", "{status}: {answer}");
    page.open(&format!("/calls/{}", call["id"].as_str().unwrap())).await;
    page.wait_text("[data-testid=call-status]", "not dialled").await;
    page.wait_text("[data-testid=trouble]", call["dial_error"].as_str().unwrap()).await;
    page.wait_text("[data-testid=trouble]", "test its connection").await;
    assert_eq!(page.text("[data-testid=cost]").await, "nothing");
    page.wait_text(".empty", "told nothing of it").await;
    page.look("call-refused").await;
    for carrier in sandbox.carriers() {
        carrier.set_faults(telephony_sandbox::Faults::none());
    }

    // Nobody listens where the agent should be.
    let agent = json!({"type": "websocket", "url": "ws://127.0.0.1:9/agent"});
    let body = json!({"name": "Nobody", "agent": agent, "record": false});
    let nobody = page.tenant.post("/workflows", body).await;
    let lost = dial(&page, &nobody, account, handset(Behaviour::Talks)).await;
    page.open(&format!("/calls/{lost}")).await;
    page.wait_text("[data-testid=trouble]", "The agent was lost").await;
    page.wait_text("[data-testid=trouble]", "See whether your program listens").await;
    page.wait_text("[data-testid=call-status]", "completed").await;
    page.end().await;
}
