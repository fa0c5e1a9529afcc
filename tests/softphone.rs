//! The softphone of the sandbox, as a program of somebody else's uses it: through the gateway's WebSocket, and every linked carrier's own
//! protocol behind it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::net::Ipv4Addr;

use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use serde_json::{Value, json};
use telephony_core::ProviderContext;
use telephony_gateway::{
    service::{ServiceOptions, Serving},
    store::{DatabaseUrl, KeyRing, Store},
};
use telephony_registry::Registry;
use tests::tenant::Tenant;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};

/// A gateway with a sandbox for the first of its organizations.
struct Gateway {
    serving: Serving,
    store: Store,
    ours: Tenant,
    theirs: Tenant,
}

impl Gateway {
    async fn start() -> Self {
        let store = Store::open(&DatabaseUrl::Memory, KeyRing::generate()).await.unwrap();
        let (registry, context) = (Registry::linked().unwrap(), ProviderContext::network().unwrap());
        let (listen, options) = ((Ipv4Addr::LOCALHOST, 0).into(), ServiceOptions::default());
        let serving = Serving::start(store.clone(), registry, context, listen, None, options).await.unwrap();
        let mut tenants = Vec::new();
        for name in ["ours", "theirs"] {
            let organization = store.create_organization(name, 5).await.unwrap().id;
            let token = store.create_api_token(organization, "test").await.unwrap().token.expose().to_owned();
            tenants.push(Tenant::new(format!("http://{}", serving.address()), token));
        }
        let (theirs, ours) = (tenants.pop().unwrap(), tenants.pop().unwrap());
        Self { serving, store, ours, theirs }
    }

    async fn start_sandbox(&self) {
        let organization = self.store.organizations().await.unwrap().remove(0);
        assert_eq!(organization.name, "ours");
        self.serving.service().start_sandbox(organization.id).await.unwrap();
    }

    async fn stop(self) {
        self.serving.service().stop_sandbox().await;
        self.serving.stop().await;
    }

    async fn echo(&self) -> Value {
        self.ours.post("/workflows", json!({"name": "echo", "agent": {"type": "echo"}, "record": false})).await["id"]
            .clone()
    }
}

/// A softphone that is connected.
struct Phone(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Phone {
    async fn connect(tenant: &Tenant) -> Self {
        let headers = [("authorization", format!("Bearer {}", tenant.token))];
        let mut phone = Self(open(tenant, &headers).await.expect("it is let in"));
        let ready = phone.told().await;
        assert_eq!(ready, json!({"type": "ready", "number": telephony_sandbox::SOFTPHONE}));
        phone
    }

    /// The next text. Sound before it is left out.
    async fn told(&mut self) -> Value {
        loop {
            match self.0.next().await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Binary(_) | Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn want(&mut self, wanted: Value) {
        self.0.send(Message::text(wanted.to_string())).await.unwrap();
    }

    /// Says a tone for every 20 ms that it hears, until it hears one.
    async fn talk_until_heard(&mut self) {
        let mut said = 0_usize;
        loop {
            let Message::Binary(heard) = self.0.next().await.unwrap().unwrap() else { continue };
            assert_eq!(heard.len(), 640);
            let loud = heard.chunks(2).filter(|pair| i16::from_le_bytes([pair[0], pair[1]]).unsigned_abs() > 4_000);
            if loud.count() > 100 {
                return;
            }
            // 400 Hz, loud.
            let tone = (said..said + 320).flat_map(|n| {
                let sine = (n as f64 * 400.0 * std::f64::consts::TAU / 16_000.0).sin();
                ((sine * 12_000.0) as i16).to_le_bytes()
            });
            self.0.send(Message::binary(tone.collect::<Vec<u8>>())).await.unwrap();
            said += 320;
        }
    }
}

async fn open(
    tenant: &Tenant,
    headers: &[(&'static str, String)],
) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, StatusCode> {
    let url = format!("{}/api/v1/sandbox/phone", tenant.base.replace("http://", "ws://"));
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => Err(response.status()),
        Err(error) => panic!("{error}"),
    }
}

async fn dial(tenant: &Tenant, workflow: &Value, account: &Value) -> String {
    let body = json!({"workflow_id": workflow, "configuration_id": account["id"], "to": telephony_sandbox::SOFTPHONE});
    tenant.post("/telephony/initiate-call", body).await["id"].as_str().unwrap().to_owned()
}

async fn over(tenant: &Tenant, call: &str) -> Value {
    let is_over = |call: &Value| call["is_over"] == true && call["media_state"] != "open";
    tenant.until(&format!("/calls/{call}"), "the end of a call", is_over).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_carrier_rings_and_the_agent_hears_and_is_heard() {
    let gateway = Gateway::start().await;
    gateway.start_sandbox().await;
    let workflow = gateway.echo().await;
    let mut phone = Phone::connect(&gateway.ours).await;
    let accounts = gateway.ours.get("/telephony/configurations").await.as_array().unwrap().clone();
    assert!(accounts.len() >= 2, "the providers of this repository are linked");
    for account in accounts {
        let call = dial(&gateway.ours, &workflow, &account).await;
        let ringing = phone.told().await;
        assert_eq!((&ringing["type"], &ringing["provider"]), (&json!("ringing"), &account["provider"]), "{ringing}");
        phone.want(json!({"type": "answer"})).await;
        assert_eq!(phone.told().await, json!({"type": "answered"}));
        phone.talk_until_heard().await;
        phone.want(json!({"type": "digit", "digit": "5"})).await;
        phone.want(json!({"type": "digit", "digit": "x"})).await;
        assert_eq!(phone.told().await["type"], "refused");
        let heard = |call: &Value| call["media_state"] == "open";
        gateway.ours.until(&format!("/calls/{call}"), "its stream", heard).await;
        // Whoever has heard two more ticks has pressed the key.
        for _ in 0..3 {
            while !phone.0.next().await.unwrap().unwrap().is_binary() {}
        }
        phone.want(json!({"type": "hang_up"})).await;
        assert_eq!(phone.told().await, json!({"type": "ended", "cause": "handset_hung_up"}));
        let call = over(&gateway.ours, &call).await;
        assert_eq!((&call["status"], &call["media"]["digits"]), (&json!("completed"), &json!(1)), "{call}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_declined_and_one_more_hears_that_the_line_is_busy() {
    let gateway = Gateway::start().await;
    gateway.start_sandbox().await;
    let (workflow, mut phone) = (gateway.echo().await, Phone::connect(&gateway.ours).await);
    let account = &gateway.ours.get("/telephony/configurations").await[0];
    let first = dial(&gateway.ours, &workflow, account).await;
    assert_eq!(phone.told().await["type"], "ringing");
    let second = dial(&gateway.ours, &workflow, account).await;
    assert_eq!(over(&gateway.ours, &second).await["status"], "busy");
    phone.want(json!({"type": "decline"})).await;
    assert_eq!(phone.told().await, json!({"type": "ended", "cause": "declined"}));
    over(&gateway.ours, &first).await;
    // A newer softphone takes over, and a call that rings goes with it.
    dial(&gateway.ours, &workflow, account).await;
    assert_eq!(phone.told().await["type"], "ringing");
    let mut newer = Phone::connect(&gateway.ours).await;
    assert_eq!(newer.told().await["type"], "ringing");
    let mut told = vec![phone.told().await];
    if told[0]["type"] == "ended" {
        told.push(phone.told().await);
    }
    assert_eq!(told.last(), Some(&json!({"type": "taken_over"})));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_softphone_calls_a_number_and_its_workflow_answers() {
    let gateway = Gateway::start().await;
    gateway.start_sandbox().await;
    let (workflow, mut phone) = (gateway.echo().await, Phone::connect(&gateway.ours).await);
    // The last, so that the carrier is found by the number that is answered.
    let numbers = gateway.ours.get("/telephony/phone-numbers").await;
    let accounts = gateway.ours.get("/telephony/configurations").await;
    let account = accounts.as_array().unwrap().last().unwrap();
    let own = |number: &&Value| number["configuration_id"] == account["id"];
    let number = numbers.as_array().unwrap().iter().find(own).unwrap();
    let path = format!("/telephony/phone-numbers/{}", number["id"].as_str().unwrap());
    let (status, changed) =
        gateway.ours.ask(reqwest::Method::PATCH, &path, Some(json!({"workflow_id": workflow}))).await;
    assert_eq!(status, 200, "{changed}");

    for (wrong, about) in [
        (json!({"type": "call", "to": "+4930123456"}), "to:"),
        (json!({"type": "call", "to": number["number"], "from": "me"}), "from:"),
        (json!({"type": "call", "to": number["number"], "provider": "nonesuch"}), "to:"),
        (json!({"type": "hang_up"}), "no call"),
        (json!({"type": "dance"}), "dance"),
    ] {
        phone.want(wrong).await;
        let told = phone.told().await;
        assert!(told["type"] == "refused" && told["reason"].as_str().unwrap().contains(about), "{told}");
    }
    phone.want(json!({"type": "call", "to": number["number"]})).await;
    let calling = phone.told().await;
    assert_eq!((&calling["type"], &calling["provider"]), (&json!("calling"), &account["provider"]), "{calling}");
    assert_eq!(phone.told().await, json!({"type": "answered"}));
    phone.talk_until_heard().await;
    let calls = gateway.ours.get("/calls").await;
    let call = calls["calls"][0]["id"].as_str().unwrap().to_owned();
    gateway.ours.post(&format!("/calls/{call}/hang-up"), json!({})).await;
    assert_eq!(phone.told().await, json!({"type": "ended", "cause": "application"}));
    assert_eq!(over(&gateway.ours, &call).await["direction"], "inbound");

    // After a restart the simulated carriers are new, and know which numbers are answered here all the same.
    drop(phone);
    gateway.start_sandbox().await;
    let mut phone = Phone::connect(&gateway.ours).await;
    phone.want(json!({"type": "call", "to": number["number"]})).await;
    assert_eq!(phone.told().await["type"], "calling");
    assert_eq!(phone.told().await, json!({"type": "answered"}));
    phone.want(json!({"type": "hang_up"})).await;
    assert_eq!(phone.told().await["type"], "ended");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_is_let_in() {
    let gateway = Gateway::start().await;
    let ours = [("authorization", format!("Bearer {}", gateway.ours.token))];
    let theirs = [("authorization", format!("Bearer {}", gateway.theirs.token))];
    let (status, problem) = gateway.ours.ask(reqwest::Method::GET, "/sandbox/phone", None).await;
    assert_eq!(status, 404, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("--sandbox"), "{problem}");
    assert_eq!(open(&gateway.ours, &ours).await.err(), Some(StatusCode::NOT_FOUND));
    gateway.start_sandbox().await;
    assert_eq!(open(&gateway.ours, &[]).await.err(), Some(StatusCode::UNAUTHORIZED));
    assert_eq!(open(&gateway.theirs, &theirs).await.err(), Some(StatusCode::NOT_FOUND));
    assert_eq!(gateway.ours.ask(reqwest::Method::GET, "/sandbox/phone", None).await.0, 400);

    // A browser comes with a cookie, and says which page has it come.
    let owner = gateway.store.organizations().await.unwrap()[0].id;
    let link = gateway.store.create_sign_in_token(owner, std::time::Duration::from_secs(60)).await.unwrap();
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let url = format!("{}/sign-in/{}", gateway.ours.base, link.expose());
    let signed_in = browser.get(url).send().await.unwrap();
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let with = |origin: &str| [("cookie", cookie.clone()), ("origin", origin.to_owned())];
    assert_eq!(open(&gateway.ours, &with("http://evil.example")).await.err(), Some(StatusCode::FORBIDDEN));
    assert_eq!(open(&gateway.ours, &[("cookie", cookie.clone())]).await.err(), Some(StatusCode::FORBIDDEN));
    assert!(open(&gateway.ours, &with(&gateway.ours.base)).await.is_ok());
    gateway.stop().await;
}
