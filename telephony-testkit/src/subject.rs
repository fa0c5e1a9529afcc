//! The provider under test.

use std::{fmt::Debug, sync::Arc, time::Duration};

use serde_json::Value;
use telephony_core::{
    CallId, CallRef, CallUrls, Capability, Direction, OutboundCall, PhoneNumber, ProviderContext, ProviderDescriptor,
    TelephonyError, TelephonyProvider, Timestamp, Url, config,
    http::{HttpPolicy, Transport, TransportErrorKind},
};
use telephony_sandbox::{
    DIAL_PLAN, EndCause, Observation, Sandbox, SandboxOptions, SimulatedCall, SimulatorDescriptor,
};

use crate::{
    transport::{Broken, Edited},
    trial::{OrFail, Outcome, expect, failure},
};

/// Where no carrier is.
const NOWHERE: &str = "http://127.0.0.1:9/";

/// The provider under test, its simulator and an account.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) descriptor: &'static ProviderDescriptor,
    pub(crate) simulator: &'static SimulatorDescriptor,
    /// The customer's configuration, without `provider`.
    pub(crate) fixture: Value,
}

impl Subject {
    pub(crate) fn new(
        descriptor: &'static ProviderDescriptor,
        simulator: &'static SimulatorDescriptor,
        fixture: Option<Value>,
    ) -> Self {
        let nowhere = url(NOWHERE);
        let mut fixture = fixture.unwrap_or_else(|| simulator.build().account(&nowhere));
        if let Some(fields) = fixture.as_object_mut() {
            fields.remove(config::PROVIDER_FIELD);
        }
        Self { descriptor, simulator, fixture }
    }

    pub(crate) fn has(&self, capability: Capability) -> bool {
        self.descriptor.capabilities().has(capability)
    }

    /// The account as it is configured with its API at a URL.
    pub(crate) fn account_at(&self, api: &Url) -> Value {
        self.simulator.build().account(api)
    }

    /// A provider that never asks anybody: its network is broken, and counts.
    pub(crate) fn offline(&self) -> Result<(Arc<dyn TelephonyProvider>, Arc<Broken>), String> {
        let network = Arc::new(Broken::new(TransportErrorKind::NotSent));
        let provider = self.provider(&self.account_at(&url(NOWHERE)), network.clone())?;
        Ok((provider, network))
    }

    /// A provider with a network of the kit's, and little patience.
    pub(crate) fn provider(
        &self,
        account: &Value,
        network: Arc<dyn Transport>,
    ) -> Result<Arc<dyn TelephonyProvider>, String> {
        let context = ProviderContext::with_transport(network).with_http_policy(impatient());
        self.descriptor.build(account, context).or_fail("building the provider from the account")
    }

    /// A provider with a real network.
    pub(crate) fn online(&self, account: &Value) -> Result<Arc<dyn TelephonyProvider>, String> {
        let context = ProviderContext::network().or_fail("setting up HTTP")?.with_http_policy(impatient());
        self.descriptor.build(account, context).or_fail("building the provider from the account")
    }

    /// A provider with a real network, on which every answer in JSON is changed.
    pub(crate) fn edited(
        &self,
        account: &Value,
        edit: impl Fn(&mut Value) + Send + Sync + 'static,
    ) -> Result<Arc<dyn TelephonyProvider>, String> {
        let network = ProviderContext::network().or_fail("setting up HTTP")?.transport;
        self.provider(account, Arc::new(Edited::new(network, edit)))
    }

    /// A simulated carrier that does not take its time, and a provider for its account.
    pub(crate) async fn sandbox(
        &self,
        options: SandboxOptions,
    ) -> Result<(Sandbox, Arc<dyn TelephonyProvider>), String> {
        let sandbox = Sandbox::start(self.simulator, options).await.or_fail("starting the simulator")?;
        let provider = self.online(&sandbox.account())?;
        Ok((sandbox, provider))
    }

    /// Ends a call. Where the provider cannot, the person at the handset does, after a while.
    pub(crate) async fn end(&self, provider: &dyn TelephonyProvider, call: &CallRef) -> Outcome {
        if self.has(Capability::HangUp) {
            provider.hang_up(call).await.or_fail("hanging up")?;
        }
        Ok(())
    }

    /// The reference of a call that never was.
    pub(crate) fn unknown_call(&self) -> Result<CallRef, String> {
        let id = self.simulator.build().new_call_id();
        CallId::new(id).map(CallRef::new).or_fail("reading an id that the simulator made")
    }

    /// The values of the secret fields of the account, those that are long enough to be recognised.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let names = config::secret_fields(&self.descriptor.config_schema());
        let texts = names.iter().filter_map(|name| self.fixture.get(name).and_then(Value::as_str));
        texts.filter(|text| text.len() >= 6).map(str::to_owned).collect()
    }

    /// Fails if any of the account's secrets stands in what a value prints.
    pub(crate) fn shows_no_secret(&self, value: &impl Debug) -> Outcome {
        let text = format!("{value:?} {value:#?}");
        for secret in self.secrets() {
            // A key of several lines may be shown in part.
            for line in secret.lines().filter(|line| line.len() >= 6) {
                expect(!text.contains(line), "no secret of the configuration is shown", "one in the Debug output")?;
            }
        }
        Ok(())
    }
}

/// Quick handsets and bills.
pub(crate) fn quick() -> SandboxOptions {
    SandboxOptions::default()
        .with_ring(Duration::from_millis(40))
        .with_no_answer_after(Duration::from_millis(400))
        .with_rating_delay(Duration::from_millis(120))
}

fn impatient() -> HttpPolicy {
    HttpPolicy::default().with_attempt_timeout(Duration::from_secs(2))
}

/// Fails unless an operation that the provider lacks says so and sends nothing.
pub(crate) fn refused_quietly<T: Debug>(
    outcome: Result<T, TelephonyError>,
    capability: Capability,
    network: &Broken,
) -> Outcome {
    let refused =
        matches!(&outcome, Err(TelephonyError::Unsupported { capability: named, .. }) if *named == capability);
    expect(refused, format_args!("Unsupported {{ {capability} }}, as the capability is not declared"), &outcome)?;
    expect(network.requests() == 0, "nothing is sent", network.requests())
}

/// How far what a carrier says of the time may be off.
const OFF_BY: Duration = Duration::from_secs(120);

/// How long a call may take to end that has nothing left to do.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// Fails if what is said of a call, where it is said, is not so: which way it goes, how long it lasted, and when.
pub(crate) fn told_truly(
    call: &SimulatedCall,
    direction: Option<Direction>,
    length: Option<Duration>,
    moments: &[Option<Timestamp>],
) -> Outcome {
    let so = direction.is_none_or(|said| said == call.direction);
    expect(so, format_args!("{:?}, where the direction is said", call.direction), direction)?;
    let real = call.duration().as_secs();
    // To the second, or as it is billed.
    let so = |said: Duration| said.as_secs().abs_diff(real) <= 1 || said.as_secs() == real.div_ceil(60) * 60;
    expect(
        length.is_none_or(so),
        format_args!("a duration of {real} s, or of begun minutes, where it is said"),
        length,
    )?;
    for moment in moments.iter().flatten() {
        let so = (*moment - call.created_at).unsigned_abs() <= OFF_BY;
        expect(so, format_args!("a time near {}, where one is said", call.created_at), moment)?;
    }
    Ok(())
}

/// Waits for the end of a call, and returns its cause.
pub(crate) async fn end_of_call(sandbox: &Sandbox, id: &str) -> Result<EndCause, String> {
    let ended = sandbox.wait_for(|seen| matches!(seen, Observation::CallEnded { call, .. } if call == id));
    match tokio::time::timeout(ENDS_WITHIN, ended).await {
        Ok(Observation::CallEnded { cause, .. }) => Ok(cause),
        _ => Err(failure("the call ends", format_args!("it is up after {ENDS_WITHIN:?}"))),
    }
}

/// A call to a handset of the dial plan, which reports to a customer's server.
pub(crate) fn call(sandbox: &Sandbox, handset: usize, urls: CallUrls) -> Result<OutboundCall, String> {
    let from = sandbox.numbers().into_iter().next().or_fail("the account has a number")?;
    Ok(OutboundCall::new(number(DIAL_PLAN[handset].number), from, urls))
}

/// URLs that nobody is asked at.
pub(crate) fn nobodys_urls() -> CallUrls {
    CallUrls {
        answer: url("http://127.0.0.1:9/answer"),
        events: url("http://127.0.0.1:9/events"),
        media: url("ws://127.0.0.1:9/media"),
    }
}

/// A call that no carrier is to see.
pub(crate) fn any_call() -> OutboundCall {
    OutboundCall::new(number("+12025550100"), number("+13035550100"), nobodys_urls())
}

#[expect(clippy::expect_used, reason = "the kit's own constants")]
pub(crate) fn number(text: &str) -> PhoneNumber {
    text.parse().expect("a number of the kit's")
}

#[expect(clippy::expect_used, reason = "the kit's own constants")]
pub(crate) fn url(text: &str) -> Url {
    text.parse().expect("a URL of the kit's")
}
