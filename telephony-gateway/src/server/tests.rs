//! The routes, asked by strangers.

use std::{sync::Arc, time::Duration};

use telephony_core::{PhoneNumber, ProviderContext, TelephonyProvider, Url};
use telephony_sandbox::{Observation, Sandbox, SandboxOptions};

use super::*;
use crate::{agent::Echo, timeline::Timeline};

/// A gateway with one run, at a simulated carrier of whichever provider is linked first.
struct Bench {
    gateway: Gateway,
    run: Arc<Run>,
    sandbox: Sandbox,
    client: reqwest::Client,
}

impl Bench {
    async fn new() -> Self {
        let simulator = telephony_sandbox::registered()[0];
        let options = SandboxOptions::default().with_ring(Duration::from_millis(20));
        let sandbox = Sandbox::start(simulator, options).await.unwrap();
        let gateway = Gateway::start(([127, 0, 0, 1], 0).into(), None).await.unwrap();
        let context = ProviderContext::network().unwrap();
        let provider: Arc<dyn TelephonyProvider> = simulator.provider().build(&sandbox.account(), context).unwrap();
        let (timeline, _) = Timeline::start();
        let agent = Arc::new(|| Ok(Box::new(Echo) as Box<dyn crate::agent::CallAgent>));
        let call = crate::agent::some_call();
        let run = gateway.open_run(provider, NewRun { agent, call, record: false, timeline });
        Self { gateway, run, sandbox, client: reqwest::Client::new() }
    }

    /// Places a call, and returns a genuine webhook that reported something of it.
    async fn genuine(&self) -> http::Request<bytes::Bytes> {
        let to: PhoneNumber = "+12025550100".parse().unwrap();
        let from = self.sandbox.numbers()[0].clone();
        let call = telephony_core::OutboundCall::new(to, from, self.gateway.urls(&self.run));
        self.run.provider.initiate_call(&call).await.unwrap();
        let sent = |seen: &Observation| matches!(seen, Observation::WebhookSent { ask: false, .. });
        match self.sandbox.wait_for(sent).await {
            Observation::WebhookSent { request, .. } => *request,
            other => panic!("{other:?}"),
        }
    }

    /// A media URL with a fresh token.
    fn media_url(&self) -> Url {
        self.gateway.shared.media_url(&self.run)
    }

    async fn send(&self, request: http::Request<bytes::Bytes>) -> u16 {
        let request = reqwest::Request::try_from(request).unwrap();
        self.client.execute(request).await.unwrap().status().as_u16()
    }
}

fn with_url(request: &http::Request<bytes::Bytes>, url: &Url) -> http::Request<bytes::Bytes> {
    let mut request = request.clone();
    *request.uri_mut() = url.as_str().parse().unwrap();
    request
}

#[tokio::test]
async fn a_webhook_is_written_only_if_it_is_genuine() {
    let bench = Bench::new().await;
    let genuine = bench.genuine().await;
    let record = bench.gateway.ledger().watch(bench.run.id).unwrap();
    let written = record.borrow().entries.len();
    assert!(written >= 1);

    let mut forged = genuine.clone();
    let mut body = forged.body().to_vec();
    body.extend_from_slice(b"0");
    *forged.body_mut() = body.into();
    assert_eq!(bench.send(forged).await, 403);
    let mut unsigned = genuine.clone();
    let content_type = unsigned.headers()["content-type"].clone();
    unsigned.headers_mut().clear();
    unsigned.headers_mut().insert("content-type", content_type);
    assert_eq!(bench.send(unsigned).await, 401);

    // The genuine one again is taken, and changes nothing.
    let repeated = record.borrow().repeated;
    assert_eq!(bench.send(genuine).await, 204);
    assert!(record.borrow().repeated > repeated);
}

#[tokio::test]
async fn what_is_not_ours_is_not_found() {
    let bench = Bench::new().await;
    let genuine = bench.genuine().await;
    let url = |path: &str| bench.gateway.public_url().join(path).unwrap();
    let name = bench.run.provider.descriptor().name();
    let other = telephony_core::WorkflowRunId::generate();
    assert_eq!(bench.send(with_url(&genuine, &url(&format!("api/v1/telephony/{name}/events/{other}")))).await, 404);
    assert_eq!(bench.send(with_url(&genuine, &url(&format!("api/v1/telephony/{name}/events/nonsense")))).await, 404);
    let stranger = format!("api/v1/telephony/nonesuch/events/{}", bench.run.id);
    assert_eq!(bench.send(with_url(&genuine, &url(&stranger))).await, 404);
    let health = bench.client.get(url("healthz")).send().await.unwrap();
    assert_eq!(health.status(), 200);
}

#[tokio::test]
async fn a_webhook_that_is_too_large_is_refused_unread() {
    let bench = Bench::new().await;
    let url = bench.gateway.urls(&bench.run).events;
    let response = bench.client.post(url).body(vec![b'x'; LARGEST_WEBHOOK + 1]).send().await.unwrap();
    assert_eq!(response.status(), 413);
}

#[tokio::test]
async fn a_media_token_opens_one_socket() {
    let bench = Bench::new().await;
    let url = bench.media_url();
    let (socket, _) = tokio_tungstenite::connect_async(url.as_str()).await.unwrap();
    drop(socket);
    let refused = async |url: &str| match tokio_tungstenite::connect_async(url).await {
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(url.as_str()).await, 403, "the token has been used");
    let (path, _) = url.as_str().rsplit_once('/').unwrap();
    assert_eq!(refused(&format!("{path}/0000")).await, 403, "the token was never given out");
    // A good token for a call that has had its stream.
    assert_eq!(refused(bench.media_url().as_str()).await, 409);
}

#[test]
fn a_public_url_that_carriers_cannot_use_is_refused() {
    let check = |text: &str| check_public_url(&text.parse().unwrap()).map_err(|error| error.to_string());
    assert_eq!(check("https://voice.example.com/base"), Ok(()));
    assert_eq!(check("ftp://voice.example.com/"), Err("the public URL must start with https://".to_owned()));
    assert!(check("https://voice.example.com/?a=1").is_err());
    assert!(check("https://user:pass@voice.example.com/").is_err());
}
