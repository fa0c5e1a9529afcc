//! The softphone: whoever sits before the browser is called, and calls.

use std::{path::PathBuf, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use telephony_sandbox::SOFTPHONE;

use crate::{
    gateway::{Pages, Sandbox},
    sound::write_tone,
};

const STATE: &str = "[data-testid=phone-state]";

/// Half a second of a tone, half a second of silence: somebody who speaks.
fn somebody_who_speaks(folder: &tempfile::TempDir) -> PathBuf {
    let file = folder.path().join("speech.wav");
    let half = Duration::from_millis(500);
    write_tone(&file, 500.0, &[(half, true), (half, false)]);
    file
}

async fn echo(page: &Pages) -> Value {
    page.tenant.post("/workflows", json!({"name": "Parrot", "agent": {"type": "echo"}, "record": true})).await
}

/// Waits until what is heard is loud.
async fn hears(page: &Pages) {
    let far = "return document.querySelector('[data-testid=phone-level-far]').value > -40";
    page.until("what is said comes back", far, vec![]).await;
}

/// The loudest of the caller and of the agent in a call's recording, 0 to 1.
async fn loudest(page: &Pages, call: &str) -> [f64; 2] {
    let wave = page.tenant.get(&format!("/calls/{call}/waveform")).await;
    ["caller", "agent"].map(|side| wave[side].as_array().unwrap().iter().filter_map(Value::as_f64).fold(0.0, f64::max))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_calls_whoever_looks_at_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let page = Pages::start_talking(Sandbox::Yes, &somebody_who_speaks(&folder)).await;
    let workflow = echo(&page).await;
    let path = format!("/workflows/{}", workflow["id"].as_str().unwrap());
    page.open(&path).await;
    page.press("[data-testid=phone-call]").await;
    page.press("[data-testid=call-me]").await;
    assert_eq!(page.value("[data-testid=to]").await, SOFTPHONE);
    page.press("[data-testid=dial]").await;
    page.wait_text(STATE, "Ringing").await;
    page.wait_text("#call-dialog [data-testid=call-status]", "ringing").await;
    page.look("dialog-rings-here").await;
    page.press("[data-testid=phone-answer]").await;
    page.wait_text(STATE, "You are talking").await;
    page.wait_text("#call-dialog [data-testid=call-status]", "in progress").await;
    hears(&page).await;
    let near = "return document.querySelector('[data-testid=phone-level-near]').value > -40";
    page.until("what is said", near, vec![]).await;
    page.look("dialog-talking").await;
    for key in ["5", "star"] {
        page.press(&format!("[data-testid=phone-key-{key}]")).await;
    }
    hears(&page).await;
    page.press("[data-testid=phone-hang-up]").await;
    page.wait_text(STATE, "You hung up").await;
    page.wait_text("#call-dialog [data-testid=call-status]", "completed").await;
    let call = page.tenant.get("/calls").await["calls"][0]["id"].as_str().unwrap().to_owned();
    let known = page.settled(&call).await;
    assert_eq!(known["media"]["digits"], 2, "{known}");
    let [caller, agent] = loudest(&page, &call).await;
    assert!(caller > 0.1 && agent > 0.1, "{caller} {agent}");

    // Nobody answers where there is no sandbox any more; the dialog says so.
    page.open(&path).await;
    page.press("[data-testid=phone-call]").await;
    page.press("[data-testid=call-me]").await;
    assert_eq!(page.tenant.ask(Method::DELETE, "/sandbox", None).await.0, 204);
    page.press("[data-testid=dial]").await;
    page.wait_text("#call-dialog [data-testid=problem-form]", "could not be connected").await;
    page.wait_for("[data-testid=phone-error]").await;
    page.excuse("Unexpected response code: 404").await;
    page.excuse("status of 404").await;
    page.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_softphone_calls_a_number_that_a_workflow_answers() {
    let folder = tempfile::tempdir().unwrap();
    let page = Pages::start_talking(Sandbox::No, &somebody_who_speaks(&folder)).await;
    page.open("/phone").await;
    page.wait_text("h2", "The sandbox is not running").await;
    page.look("phone-off").await;
    page.press("[data-testid=start-sandbox]").await;
    page.wait_text(STATE, &format!("Waiting for calls to {SOFTPHONE}")).await;
    page.wait_text(".empty", "No workflow answers a number yet").await;

    let workflow = echo(&page).await;
    let number = page.tenant.get("/telephony/phone-numbers").await[0].clone();
    let path = format!("/telephony/phone-numbers/{}", number["id"].as_str().unwrap());
    let (status, changed) = page.tenant.ask(Method::PATCH, &path, Some(json!({"workflow_id": workflow["id"]}))).await;
    assert_eq!(status, 200, "{changed}");
    page.reload().await;
    page.wait_text(STATE, "Waiting for calls").await;
    page.look("phone").await;

    // By a press on a number that is offered, and by typing it.
    let number = number["number"].as_str().unwrap();
    page.press(&format!("[data-call-number='{number}']")).await;
    page.wait_text(STATE, "You are talking").await;
    hears(&page).await;
    page.look("phone-talking").await;
    let first = page.tenant.get("/calls").await["calls"][0]["id"].as_str().unwrap().to_owned();
    page.tenant.post(&format!("/calls/{first}/hang-up"), json!({})).await;
    page.wait_text(STATE, "The other side hung up").await;
    let known = page.settled(&first).await;
    assert_eq!((&known["direction"], &known["from"]), (&json!("inbound"), &json!(SOFTPHONE)));
    let [caller, agent] = loudest(&page, &first).await;
    assert!(caller > 0.1 && agent > 0.1, "{caller} {agent}");

    page.type_into("[data-testid=phone-number]", "+1 202").await;
    page.press("[data-testid=phone-call]").await;
    page.wait_for("[data-testid=phone-error]").await;
    page.type_into("[data-testid=phone-number]", &format!("{} {}", &number[..2], &number[2..])).await;
    page.press("[data-testid=phone-call]").await;
    page.wait_text(STATE, "You are talking").await;
    page.wait_gone("[data-testid=phone-error]").await;
    page.press("[data-testid=phone-hang-up]").await;
    page.wait_text(STATE, "You hung up").await;

    page.press("[data-action='DELETE api/v1/sandbox']").await;
    let question = page.say_yes().await;
    assert!(question.contains("Stop the sandbox?"), "{question}");
    page.wait_text("h2", "The sandbox is not running").await;
    assert!(page.serving.service().sandbox().is_none());
    page.end().await;
}
