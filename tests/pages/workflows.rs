//! Workflows: who talks, and the dialog that calls somebody.

use serde_json::{Value, json};
use telephony_core::Capability;
use telephony_registry::Registry;
use telephony_sandbox::Behaviour;

use crate::gateway::{Pages, Sandbox, handset};

const STATUS: &str = "#call-dialog [data-testid=call-status]";

/// The names of the agent's fields that are seen.
async fn agents_fields(page: &Pages) -> Value {
    let script = "return [...document.querySelectorAll('[name^=\"agent.\"]:not([type=radio])')]
        .filter((it) => it.checkVisibility()).map((it) => it.name)";
    page.evaluate(script, vec![]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_is_made_changed_and_deleted() {
    let page = Pages::start(Sandbox::No).await;
    page.open("/workflows").await;
    page.wait_text("h2", "No workflow yet").await;
    page.look("workflows-empty").await;
    page.press("[data-testid=add-workflow]").await;

    // Each agent has fields of its own.
    let kind = |kind: &str| format!("[name='agent.type'][value={kind}]");
    let program = json!(["agent.url", "agent.protocol", "agent.sample_rate_hz"]);
    assert_eq!(agents_fields(&page).await, program);
    for (name, fields) in
        [("play", json!(["agent.file"])), ("echo", json!([])), ("dialogue", json!([])), ("websocket", program)]
    {
        page.press(&kind(name)).await;
        assert_eq!(agents_fields(&page).await, fields, "{name}");
    }
    page.press("[data-testid=save]").await;
    page.wait_text("[data-testid=problem-name]", "is required").await;
    page.wait_text("[data-testid='problem-agent.url']", "is required").await;
    page.look("workflow-problems").await;

    page.type_into("#name", "Reception").await;
    page.type_into("#agent-url", "agent at home").await;
    page.press("[data-testid=save]").await;
    page.wait_text("[data-testid='problem-agent.url']", "with its scheme").await;
    let asked = "return performance.getEntriesByType('resource').some((it) => it.initiatorType === 'fetch')";
    assert_eq!(page.evaluate(asked, vec![]).await, false);
    // That this is no address of a WebSocket, the gateway knows.
    page.type_into("#agent-url", "http://127.0.0.1:9/agent").await;
    page.press("[data-testid=save]").await;
    page.wait_text("[data-testid='problem-agent.url']", "ws").await;
    page.excuse("status of 422").await;
    page.type_into("#agent-url", "ws://127.0.0.1:9/agent").await;
    let protocols = Registry::linked().unwrap();
    let protocol = protocols.iter().next().unwrap().name().as_str();
    page.choose("#agent-protocol", protocol).await;
    page.press("[name=record]").await;
    page.press("[data-testid=save]").await;
    page.wait_text("h1", "Reception").await;
    let workflow = page.tenant.get("/workflows").await[0].clone();
    let agent = json!({"type": "websocket", "url": "ws://127.0.0.1:9/agent", "protocol": protocol});
    let stored = |workflow: &Value| (workflow["agent"].clone(), workflow["record"].clone(), workflow["name"].clone());
    assert_eq!(stored(&workflow), (agent, json!(true), json!("Reception")));
    let path = format!("/workflows/{}", workflow["id"].as_str().unwrap());
    assert_eq!(page.path().await, path);

    // What is stored is in the form, and can be changed.
    assert_eq!(page.value("#agent-url").await, "ws://127.0.0.1:9/agent");
    assert_eq!(page.value("#agent-protocol").await, protocol);
    page.press(&kind("play")).await;
    page.type_into("#agent-file", "nonesuch.wav").await;
    page.press("[data-testid=save]").await;
    page.wait_text("[data-testid='problem-agent.file']", "cannot be read").await;
    page.excuse("status of 422").await;
    page.press(&kind("echo")).await;
    page.type_into("#name", "Parrot").await;
    page.press("[data-testid=save]").await;
    page.wait_text("h1", "Parrot").await;
    let changed = page.tenant.get(&path).await;
    assert_eq!(stored(&changed), (json!({"type": "echo"}), json!(true), json!("Parrot")));

    // Nothing to call with: the dialog says what, and where to get it.
    page.press("[data-testid=phone-call]").await;
    page.wait_text("#call-dialog .steps .open", "An account with a carrier").await;
    page.wait_for("#call-dialog [data-testid=start-sandbox]").await;
    page.look("dialog-not-ready").await;
    page.press("#call-dialog [data-testid=connect-carrier]").await;
    page.wait_path("/configurations/new").await;

    page.open("/workflows").await;
    page.wait_text("[data-testid=workflow]", "Echo").await;
    page.look("workflows").await;
    page.press("[data-testid=workflow] a").await;
    page.press("[data-testid=delete]").await;
    let question = page.say_yes().await;
    assert!(question.contains("Delete Parrot?"), "{question}");
    page.wait_text("h2", "No workflow yet").await;
    assert_eq!(page.tenant.get("/workflows").await, json!([]));
    page.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_placed_from_the_dialog() {
    let page = Pages::start(Sandbox::Yes).await;
    let workflow = page.workflow_that_plays("Queue").await;
    let path = format!("/workflows/{}", workflow["id"].as_str().unwrap());
    let registry = Registry::linked().unwrap();
    let accounts = page.tenant.get("/telephony/configurations").await;
    let sends_digits = |account: &&Value| {
        let descriptor = registry.get(account["provider"].as_str().unwrap()).unwrap();
        descriptor.capabilities().has(Capability::SendDigits)
    };
    let account = accounts.as_array().unwrap().iter().find(sends_digits).expect("one of them can send digits");

    page.open(&path).await;
    page.press("[data-testid=phone-call]").await;
    for (typed, country) in
        [("030", "Begin with +"), ("+49 30", "Germany"), ("+81", "Japan"), ("+1202", "United States")]
    {
        page.type_into("[data-testid=to]", typed).await;
        page.wait_text("[data-testid=country]", country).await;
    }
    page.look("dialog").await;
    // No number: said at the field, and nobody is called.
    page.type_into("[data-testid=to]", "030 123456").await;
    page.press("[data-testid=dial]").await;
    page.wait_for("[data-testid=problem-to]").await;
    page.excuse("status of 422").await;
    page.look("dialog-problem").await;
    assert_eq!(page.tenant.get("/calls").await["calls"], json!([]));

    // Levels move and the clock runs on their own: what is seen of them is kept.
    let watch = "window.loudest = { caller_dbfs: -100, agent_dbfs: -100 }; window.clock = new Set();
        setInterval(() => {
            for (const meter of document.querySelectorAll('#call-dialog [data-level]')) {
                loudest[meter.dataset.level] = Math.max(loudest[meter.dataset.level], meter.value);
            }
            const timer = document.querySelector('#call-dialog [data-timer]');
            if (timer) clock.add(timer.textContent);
        }, 50);
        window.statuses = [];
        new MutationObserver(() => {
            const status = document.querySelector('#call-dialog [data-testid=call-status]')?.textContent;
            if (status && statuses.at(-1) !== status) statuses.push(status);
        }).observe(document.getElementById('call-dialog'), { subtree: true, childList: true, characterData: true });";
    page.evaluate(watch, vec![]).await;
    let talks = handset(Behaviour::Talks);
    page.choose("#account", account["id"].as_str().unwrap()).await;
    page.type_into("[data-testid=to]", &format!("{} {}", &talks[..2], &talks[2..])).await;
    page.press("[data-testid=dial]").await;
    page.wait_text(STATUS, "in progress").await;
    let call = page.tenant.get("/calls").await["calls"][0].clone();
    assert_eq!((&call["to"], &call["configuration_id"]), (&json!(talks), &account["id"]));
    page.until("both levels", "return loudest.caller_dbfs > -50 && loudest.agent_dbfs > -50", vec![]).await;
    page.until("the running clock", "return clock.size > 2", vec![]).await;
    page.look("dialog-in-progress").await;
    page.press("#call-dialog .pop summary").await;
    page.press("#call-dialog .keypad [aria-label='5']").await;
    page.wait_text("[data-testid=notice]", "Sent 5.").await;
    page.press("#call-dialog [data-testid=hang-up]").await;
    page.wait_text(STATUS, "completed").await;
    page.wait_gone("#call-dialog [data-testid=hang-up]").await;
    let sandbox = page.serving.service().sandbox().unwrap();
    let of_account =
        |carrier: &&telephony_sandbox::Sandbox| account["provider"] == carrier.simulator().provider().name().as_str();
    let carrier = sandbox.carriers().find(of_account).unwrap();
    let heard = carrier.handset(call["carrier_call_id"].as_str().unwrap()).expect("the call reached a handset");
    assert_eq!(heard.digits, "5");
    let statuses = page.evaluate("return statuses", vec![]).await;
    let statuses: Vec<&str> = statuses.as_array().unwrap().iter().map(|status| status.as_str().unwrap()).collect();
    assert_eq!(statuses[statuses.len() - 2..], ["in progress", "completed"], "{statuses:?}");
    assert!(statuses.len() > 2, "{statuses:?}");
    page.look("dialog-completed").await;

    // Another one, to somebody who is on the telephone.
    page.press("[data-dial-again]").await;
    page.type_into("[data-testid=to]", handset(Behaviour::Busy)).await;
    page.press("[data-testid=dial]").await;
    page.wait_text(STATUS, "busy").await;
    page.press("[data-call-page]").await;
    page.wait_text("h1", handset(Behaviour::Busy)).await;
    page.wait_text("[data-testid=call-status]", "busy").await;
    let newest = page.tenant.get("/calls").await["calls"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(page.path().await, format!("/calls/{newest}"));

    // Who was called last is offered the next time.
    page.open(&path).await;
    page.wait_text("#last-calls", talks).await;
    page.look("workflow").await;
    page.press("[data-testid=phone-call]").await;
    assert_eq!(page.value("[data-testid=to]").await, handset(Behaviour::Busy));
    let offered =
        page.evaluate("return [...document.querySelectorAll('#to-numbers option')].map((it) => it.value)", vec![]);
    assert_eq!(offered.await, json!([handset(Behaviour::Busy), talks]));
    page.end().await;
}
