//! From a link that the gateway printed to a call, and out again.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use telephony_sandbox::DIAL_PLAN;

use crate::gateway::{Pages, Sandbox};

/// What no page may have, and what each must.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
                      media-src 'self' blob:; worker-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'";

/// With which status the page that is open was answered.
async fn status(page: &Pages) -> Value {
    page.evaluate("return performance.getEntriesByType('navigation')[0].responseStatus", vec![]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_a_link_is_let_in_and_nobody_else() {
    let page = Pages::signed_out(Sandbox::No, None).await;
    for path in ["/", "/calls", "/configurations/new"] {
        page.open(path).await;
        page.wait_text("h1", "Sign in").await;
        assert_eq!(status(&page).await, 401, "{path}");
        page.excuse("status of 401").await;
    }
    page.look("sign-in").await;

    let link = page.store.create_sign_in_token(page.organization, Duration::from_secs(60)).await.unwrap();
    let link = format!("/sign-in/{}", link.expose());
    page.open(&link).await;
    page.wait_path("/").await;
    page.wait_text("h1", "Your first call").await;
    let organizations = page.store.organizations().await.unwrap();
    assert_eq!(page.text(".organization").await, organizations[0].name);

    page.open(&link).await;
    page.wait_text("[role=alert]", "not good any more").await;
    assert_eq!(status(&page).await, 401);
    page.excuse("status of 401").await;
    page.look("sign-in-again").await;
    // Whoever is signed in stays so.
    page.open("/calls").await;
    page.wait_text("h2", "No call yet").await;

    let session = page.cookie("telephony_session").await.expect("the browser keeps the session");
    let with_session = async || {
        let request = page.tenant.client.get(format!("{}/api/v1/calls", page.tenant.base));
        request.header("cookie", format!("telephony_session={session}")).send().await.unwrap().status()
    };
    assert_eq!(with_session().await, StatusCode::OK);
    page.press("form[action='sign-out'] button").await;
    page.wait_text("h1", "Sign in").await;
    page.excuse("status of 401").await;
    assert_eq!(page.cookie("telephony_session").await, None);
    assert_eq!(with_session().await, StatusCode::UNAUTHORIZED, "a session that was copied ends too");
    page.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_has_a_call_with_a_few_presses() {
    let page = Pages::start(Sandbox::No).await;
    page.wait_text("h1", "Your first call").await;
    for simulator in telephony_sandbox::registered() {
        page.wait_text("section", simulator.provider().display_name()).await;
    }
    page.look("first-call").await;
    page.press("[data-testid=connect-carrier]").await;
    page.wait_path("/configurations/new").await;
    page.wait_text("h1", "Add an account").await;
    page.press(".brand").await;

    page.press("[data-testid=start-sandbox]").await;
    page.wait_path("/workflows").await;
    page.press("[data-testid=workflow] a").await;
    page.press("[data-testid=phone-call]").await;
    page.type_into("[data-testid=to]", DIAL_PLAN[0].number).await;
    page.press("[data-testid=dial]").await;
    page.wait_text("[data-testid=call-status]", "in progress").await;
    page.press("[data-testid=hang-up]").await;
    page.wait_text("[data-testid=call-status]", "completed").await;
    assert_eq!(page.tenant.get("/calls").await["calls"].as_array().unwrap().len(), 1);

    page.open("/").await;
    page.wait_text("h1", "Overview").await;
    page.look("overview").await;
    page.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_keeps_to_itself() {
    let page = Pages::start(Sandbox::Yes).await;
    let (accounts, workflows) =
        (page.tenant.get("/telephony/configurations").await, page.tenant.get("/workflows").await);
    let provider = accounts[0]["provider"].as_str().unwrap();
    let body = json!({"workflow_id": workflows[0]["id"], "to": DIAL_PLAN[1].number});
    let call = page.tenant.post("/telephony/initiate-call", body).await;
    let id = |of: &Value| of["id"].as_str().unwrap().to_owned();
    let there = [
        "/".to_owned(),
        "/configurations".to_owned(),
        "/configurations/new".to_owned(),
        format!("/configurations/new?provider={provider}"),
        format!("/configurations/{}", id(&accounts[0])),
        "/workflows".to_owned(),
        "/workflows/new".to_owned(),
        format!("/workflows/{}", id(&workflows[0])),
        "/calls".to_owned(),
        format!("/calls/{}", id(&call)),
        "/phone".to_owned(),
    ];
    let missing = ["/nonesuch", "/static/nonesuch.js", "/calls/nonesuch", "/workflows/nonesuch", "/sign-in/nonesuch"];
    let wanted = there.iter().map(|path| (path.as_str(), 200)).chain(missing.map(|path| (path, 404)));
    for (path, status) in wanted {
        let status = if path.starts_with("/sign-in/") { 401 } else { status };
        let script = "const [path, done] = arguments;
            fetch(path, { headers: { accept: 'text/html' } }).then(
                (it) => done([it.status, it.headers.get('content-security-policy'), it.headers.get('x-content-type-options'),
                    it.headers.get('content-type'), it.headers.get('cache-control')]),
                (error) => done(String(error)))";
        let answered = page.evaluate_async(script, vec![json!(path)]).await;
        assert_eq!(answered, json!([status, POLICY, "nosniff", "text/html; charset=utf-8", "no-store"]), "{path}");
        if status != 200 {
            page.excuse(&format!("status of {status}")).await;
        }
    }
    // Whatever they load or open is here: the harness complains of anything else.
    for path in &there {
        page.open(path).await;
        page.wait_for("main h1").await;
        assert_eq!(page.complaints().await, [""; 0], "{path}");
    }

    page.open("/calls/a/b/nonesuch").await;
    page.wait_text("h1", "Not found").await;
    page.excuse("status of 404").await;
    page.look("not-found").await;
    page.press("main a").await;
    page.wait_path("/").await;
    page.end().await;
}
