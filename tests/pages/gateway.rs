//! A gateway, and a browser that is signed in to it.

use std::{fs, net::Ipv4Addr, ops::Deref, path::Path, time::Duration};

use serde_json::{Value, json};
use telephony_core::{OrganizationId, ProviderContext};
use telephony_gateway::{
    service::{ServiceOptions, Serving},
    store::{DatabaseUrl, KeyRing, Store},
};
use telephony_registry::Registry;
use telephony_sandbox::{Behaviour, DIAL_PLAN};
use tempfile::TempDir;
use tests::{browser::Browser, tenant::Tenant};

use crate::sound::write_tone;

/// Whether the simulated carriers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sandbox {
    Yes,
    No,
}

/// A gateway with one organization, and a browser that is signed in as that. What a [`Browser`] can do, it can.
pub(crate) struct Pages {
    browser: Browser,
    /// The organization, through the API.
    pub(crate) tenant: Tenant,
    pub(crate) organization: OrganizationId,
    pub(crate) store: Store,
    pub(crate) serving: Serving,
    /// What is recorded is in it, and what is played.
    data: TempDir,
}

impl Pages {
    /// Starts both, and signs in.
    pub(crate) async fn start(sandbox: Sandbox) -> Self {
        let pages = Self::signed_out(sandbox, None).await;
        pages.sign_in().await;
        pages
    }

    /// Starts both, with a WAV file that the browser's microphone hears, and signs in.
    pub(crate) async fn start_talking(sandbox: Sandbox, microphone: &Path) -> Self {
        let pages = Self::signed_out(sandbox, Some(microphone)).await;
        pages.sign_in().await;
        pages
    }

    /// Starts both. Nobody is signed in.
    pub(crate) async fn signed_out(sandbox: Sandbox, microphone: Option<&Path>) -> Self {
        let store = Store::open(&DatabaseUrl::Memory, KeyRing::generate()).await.unwrap();
        let (registry, context) = (Registry::linked().unwrap(), ProviderContext::network().unwrap());
        let data = tempfile::tempdir().unwrap();
        let [recordings, sounds] = ["recordings", "sounds"].map(|name| Some(data.path().join(name)));
        let options = ServiceOptions { recordings, sounds, ..ServiceOptions::default() };
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        let serving = Serving::start(store.clone(), registry, context, listen, None, options).await.unwrap();
        let organization = store.create_organization("ours", 5).await.unwrap().id;
        let token = store.create_api_token(organization, "test").await.unwrap().token.expose().to_owned();
        if sandbox == Sandbox::Yes {
            serving.service().start_sandbox(organization).await.unwrap();
        }
        let base = format!("http://{}", serving.address());
        let browser = Browser::start(&base, microphone).await;
        Self { browser, tenant: Tenant::new(base, token), organization, store, serving, data }
    }

    /// Opens a sign-in link, as the gateway prints it.
    pub(crate) async fn sign_in(&self) {
        let link = self.store.create_sign_in_token(self.organization, Duration::from_secs(60)).await.unwrap();
        self.browser.open(&format!("/sign-in/{}", link.expose())).await;
        self.browser.wait_path("/").await;
    }

    /// Makes a workflow that plays a minute of a tone, with a pause after the first second in which whoever is called begins to speak.
    /// Its calls are up until somebody hangs up.
    pub(crate) async fn workflow_that_plays(&self, name: &str) -> Value {
        let sounds = self.data.path().join("sounds");
        fs::create_dir_all(&sounds).unwrap();
        let parts = [(1, true), (2, false), (57, true)].map(|(secs, sounds)| (Duration::from_secs(secs), sounds));
        write_tone(&sounds.join("tone.wav"), 440.0, &parts);
        let body = json!({"name": name, "agent": {"type": "play", "file": "tone.wav"}, "record": true});
        self.tenant.post("/workflows", body).await
    }

    /// Waits until a call is over, its audio too, and its price is known.
    pub(crate) async fn settled(&self, call: &str) -> Value {
        let is_settled = |call: &Value| {
            call["is_over"] == true && call["cost"]["state"] != "pending" && call["media_state"] != "open"
        };
        self.tenant.until(&format!("/calls/{call}"), "the end of a call", is_settled).await
    }

    /// Presses something that leads to another page, or to the same once more, and waits for that.
    pub(crate) async fn press_and_load(&self, css: &str) {
        self.evaluate("window.isBefore = true", vec![]).await;
        self.press(css).await;
        let script = "return window.isBefore === undefined && document.readyState === 'complete'";
        self.until("the next page", script, vec![]).await;
    }

    /// Ends both. Nothing in the browser may have gone wrong.
    pub(crate) async fn end(self) {
        self.browser.end().await;
        self.serving.service().stop_sandbox().await;
        self.serving.stop().await;
    }
}

impl Deref for Pages {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        &self.browser
    }
}

/// The number of a handset that does this.
pub(crate) fn handset(behaviour: Behaviour) -> &'static str {
    DIAL_PLAN.iter().find(|entry| entry.behaviour == behaviour).unwrap().number
}
