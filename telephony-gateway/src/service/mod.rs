//! A gateway that serves: what it remembers, the carriers that are linked, and the calls that are under way.
//!
//! The HTTP API and the command line ask it; it asks the store and the carriers. It knows no carrier by name.

pub mod agent;
pub(crate) mod attended;
mod calls;
mod doctor;
mod drain;
mod following;
pub(crate) mod media;
mod others;
mod reconciler;
mod sandbox;
mod serving;
pub(crate) mod webhooks;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::Value;
use telephony_core::{
    AccountInfo, CallEvent, CallEventKind, CallStatus, Capability, InboundBinding, InboundUrls, OrganizationId,
    PhoneNumber, ProviderContext, ProviderDescriptor, TelephonyError, TelephonyProvider, Timestamp, Url, WorkflowRunId,
    config, error_chain,
};
use telephony_registry::{Registry, RegistryError};
use tokio::sync::broadcast;
use tracing::info_span;
use uuid::Uuid;

pub use calls::{CallRequest, Placed};
pub(crate) use following::Followed;
pub use sandbox::{IncomingCall, RunningSandbox, SandboxSetupError, SandboxStart};
pub use serving::{GatewayError, Serving};

use crate::{
    agent::AgentHosts,
    media::Loudness,
    store::{Account, AccountChange, Appended, NewAccount, NewNumber, PhoneNumberRow, Store, StoreError},
    telemetry, timeline,
};

/// What is said of an account whose simulated carrier does not run.
pub(crate) const SANDBOX_STOPPED: &str =
    "a simulated carrier is behind this account, and it does not run: start the sandbox, or use another account";

/// What stands in a configuration in place of a secret. Sent back, it means "as it is".
pub const MASK: &str = "********";

/// A serving gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Service {
    inner: Arc<Inner>,
}

/// How a service looks after its calls, and where it keeps what is no row. Write it with `..ServiceOptions::default()`.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// How long a place for a call is held before it must be renewed. Default 2 min.
    pub lease: Duration,
    /// How often the reconciler looks. Default 2 s.
    pub reconcile_every: Duration,
    /// How long a call may be quiet before the carrier is asked about it, and between two such questions. Default 30 s.
    pub ask_after: Duration,
    /// How long after a call's end its stream may still be carried; one that is open longer was lost. Default 60 s.
    pub media_ends_within: Duration,
    /// How long any call may last. Default 4 h.
    pub max_call_duration: Duration,
    /// How long a dial can be under way; an intent that is older is of a gateway that stopped. Default 60 s.
    pub dial_takes_at_most: Duration,
    /// How long to wait for the carrier to tell of a call whose dial had no answer. Default 10 min.
    pub unknown_until: Duration,
    /// How long after a call's end its price is asked for. Default 24 h.
    pub give_up_cost_after: Duration,
    /// The folder of recordings; without one, nothing is kept.
    pub recordings: Option<PathBuf>,
    /// The folder of sounds that agents play.
    pub sounds: Option<PathBuf>,
    /// Whether organizations may start the sandbox over the API, one at a time. Default: they may.
    pub offer_sandbox: bool,
    /// Which hosts the agents of workflows may be at. Default: this machine and public hosts.
    pub agent_hosts: AgentHosts,
    /// What is read at `/metrics`; without it, there is no such page. From [`telemetry::install`].
    pub metrics: Option<PrometheusHandle>,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            lease: 2 * MINUTE,
            reconcile_every: Duration::from_secs(2),
            ask_after: Duration::from_secs(30),
            media_ends_within: MINUTE,
            max_call_duration: 240 * MINUTE,
            dial_takes_at_most: MINUTE,
            unknown_until: 10 * MINUTE,
            give_up_cost_after: 24 * 60 * MINUTE,
            recordings: None,
            sounds: None,
            offer_sandbox: true,
            agent_hosts: AgentHosts::default(),
            metrics: None,
        }
    }
}

/// How many changes of calls may wait for a slow reader before it must look for itself.
const CHANGES: usize = 1_024;

struct Inner {
    store: Store,
    registry: Registry,
    context: ProviderContext,
    public_url: Url,
    options: ServiceOptions,
    changes: broadcast::Sender<Change>,
    followed: broadcast::Sender<Followed>,
    untold: others::Untold,
    drain: drain::Drain,
    attended: attended::AttendedCalls,
    /// Of the streams that are carried here.
    loudness: Mutex<HashMap<WorkflowRunId, Arc<Loudness>>>,
    /// A provider keeps its pace and its budget of retries, so each account has one.
    providers: Mutex<HashMap<Uuid, Built>>,
    sandbox: Mutex<Option<Arc<RunningSandbox>>>,
    /// Held by whoever starts or stops the sandbox.
    sandbox_turn: tokio::sync::Mutex<()>,
}

/// What may have changed: a hint to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// This call.
    Run(WorkflowRunId),
    /// Any: other gateways could not be heard for a while.
    Any,
}

impl Change {
    /// Whether it may be of this call.
    #[must_use]
    pub fn concerns(self, run: WorkflowRunId) -> bool {
        self == Self::Any || self == Self::Run(run)
    }
}

struct Built {
    since: Timestamp,
    provider: Arc<dyn TelephonyProvider>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// There is none, or it is somebody else's.
    #[error("there is no such {what}")]
    NotFound {
        /// Of what there is none.
        what: &'static str,
    },
    /// What was given cannot be used: each field with its reason.
    #[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid {
        /// Field and reason, all of them.
        problems: Vec<telephony_core::FieldProblem>,
    },
    /// The organization has as many calls as it may have.
    #[error("the organization has {limit} calls, which is as many as it may have at the same time")]
    NoSlot {
        /// How many.
        limit: u32,
    },
    /// The gateway is about to end, and takes no new calls.
    #[error("the gateway is about to end, and takes no new calls")]
    Ending,
    /// A simulated carrier is behind the account, and cannot be reached.
    #[error("{SANDBOX_STOPPED}")]
    SandboxStopped,
    /// It cannot be done to the call as it is.
    #[error("{reason}")]
    NotNow {
        /// Why not.
        reason: &'static str,
    },
    /// The gateway ended in the middle of it. What came of it is in the call's record.
    #[error("the gateway ended in the middle of it")]
    Interrupted,
    /// The carrier, or its provider, refused.
    #[error(transparent)]
    Telephony(TelephonyError),
    /// What is remembered could not be read or written.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<TelephonyError> for ServiceError {
    fn from(error: TelephonyError) -> Self {
        match error {
            TelephonyError::InvalidConfig(error) => Self::Invalid { problems: error.problems().to_vec() },
            other => Self::Telephony(other),
        }
    }
}

impl From<RegistryError> for ServiceError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Provider(error) => error.into(),
            other => Self::invalid("provider", other.to_string()),
        }
    }
}

impl ServiceError {
    /// One field that cannot be used.
    #[must_use]
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { problems: vec![telephony_core::FieldProblem::new(field, reason)] }
    }
}

impl Service {
    /// A service of what is remembered in a store, with the carriers of a registry.
    #[must_use]
    pub fn new(
        store: Store,
        registry: Registry,
        context: ProviderContext,
        public_url: Url,
        options: ServiceOptions,
    ) -> Self {
        let (untold, drain, attended, loudness, providers, sandbox, sandbox_turn) = Default::default();
        let inner = Inner {
            store,
            registry,
            context,
            public_url,
            options,
            changes: broadcast::Sender::new(CHANGES),
            followed: broadcast::Sender::new(CHANGES),
            untold,
            drain,
            attended,
            loudness,
            providers,
            sandbox,
            sandbox_turn,
        };
        Self { inner: Arc::new(inner) }
    }

    /// How it looks after its calls.
    #[must_use]
    pub fn options(&self) -> &ServiceOptions {
        &self.inner.options
    }

    /// The calls that change from now on, here or at another gateway of the same database. It is a hint: one that gets lost between gateways
    /// does not come again, so whoever must know looks once in a while.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.inner.changes.subscribe()
    }

    /// Writes down what happened to a call, each event once, and tells whoever follows it. `None` if there is no such call.
    async fn write_down(
        &self,
        run: WorkflowRunId,
        source: &'static str,
        events: &[CallEvent],
        received_at: Timestamp,
    ) -> Result<Option<Appended>, StoreError> {
        let appended = self.store().append(run, source, events, received_at).await?;
        if let Some(appended) = &appended {
            appended.new.iter().for_each(|new| telemetry::happened(&appended.run.provider, source, *new));
            self.tell_attendant(run, source, events, appended);
            if appended.ended_now {
                telemetry::ended(&appended.run);
            }
            self.changed(run);
        }
        Ok(appended)
    }

    /// Whoever attends a call learns of what was written before anybody acts on it.
    fn tell_attendant(&self, run: WorkflowRunId, source: &str, events: &[CallEvent], appended: &Appended) {
        let Some(call) = self.attended(run) else { return };
        for (event, new) in events.iter().zip(&appended.new) {
            match (source, &event.kind, new) {
                ("webhook", kind, true) => call.timeline.note_event(kind),
                ("webhook", kind, false) => {
                    call.came_again();
                    call.timeline.note("webhook", "repeated", timeline::describe(kind).0);
                }
                ("rest", CallEventKind::Cost { cost }, true) => call.timeline.note("rest", "cost", cost.to_string()),
                // That a call is still where it was is no news.
                (_, CallEventKind::Status(change), true) if appended.moved => {
                    let status = change.status.map_or("unknown", CallStatus::as_str);
                    let (through, event) =
                        if source == "rest" { ("rest", "status asked") } else { ("gateway", "given up") };
                    call.timeline.note(through, event, status);
                }
                _ => {}
            }
        }
    }

    /// Says that a call has changed, here and to other gateways.
    pub(crate) fn changed(&self, run: WorkflowRunId) {
        self.tell_followers(Change::Run(run));
        if self.store().is_shared() {
            self.inner.untold.add(run);
        }
    }

    fn tell_followers(&self, change: Change) {
        // Often nobody looks.
        let _nobody_looks = self.inner.changes.send(change);
    }

    /// What is remembered.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The carriers that are linked.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// Where carriers reach the gateway.
    #[must_use]
    pub fn public_url(&self) -> &Url {
        &self.inner.public_url
    }

    /// The provider of an account.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Invalid`] if its configuration cannot be used any more, as when a provider became stricter.
    pub fn provider(&self, account: &Account) -> Result<Arc<dyn TelephonyProvider>, ServiceError> {
        let mut built = self.inner.providers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = built.get(&account.id).filter(|known| known.since == account.updated_at) {
            return Ok(known.provider.clone());
        }
        let provider = self.descriptor(&account.provider)?.build(&account.config, self.inner.context.clone())?;
        built.insert(account.id, Built { since: account.updated_at, provider: provider.clone() });
        Ok(provider)
    }

    /// Stores an account whose provider is there already, and known to this process only: of its configuration nothing is stored.
    pub(crate) async fn add_provider(
        &self,
        owner: OrganizationId,
        provider: Arc<dyn TelephonyProvider>,
    ) -> Result<Account, ServiceError> {
        let new = NewAccount {
            name: Uuid::now_v7().to_string(),
            provider: provider.descriptor().name().as_str().to_owned(),
            account_id: None,
            default_from: None,
            config: Value::Null,
            default_if_none: false,
        };
        let account = self.store().create_account(owner, new).await?;
        let mut built = self.inner.providers.lock().unwrap_or_else(PoisonError::into_inner);
        built.insert(account.id, Built { since: account.updated_at, provider });
        Ok(account)
    }

    fn descriptor(&self, provider: &str) -> Result<&'static ProviderDescriptor, ServiceError> {
        Ok(self.inner.registry.get(provider)?)
    }

    /// Checks a configuration and stores it as an account: the default one, where the organization has none.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Invalid`] with every problem, by field.
    pub async fn add_account(
        &self,
        owner: OrganizationId,
        name: &str,
        provider: &str,
        config: Value,
        default_from: Option<String>,
    ) -> Result<Account, ServiceError> {
        self.store_account(owner, name, provider, config, default_from, true).await
    }

    /// As [`add_account`](Self::add_account), for an account that is there for a while only: no call goes through it that does not name it.
    pub(crate) async fn add_passing_account(
        &self,
        owner: OrganizationId,
        name: &str,
        provider: &str,
        config: Value,
    ) -> Result<Account, ServiceError> {
        self.store_account(owner, name, provider, config, None, false).await
    }

    async fn store_account(
        &self,
        owner: OrganizationId,
        name: &str,
        provider: &str,
        config: Value,
        default_from: Option<String>,
        default_if_none: bool,
    ) -> Result<Account, ServiceError> {
        let descriptor = self.descriptor(provider)?;
        check_name(name)?;
        check_from(default_from.as_deref())?;
        let config = without_provider(config);
        descriptor.build(&config, self.inner.context.clone())?;
        let account_id = account_id(descriptor, &config);
        let numbers = stated_numbers(descriptor, &config);
        // Whoever lists numbers to call from has said with the first of them which it is.
        let default_from = default_from.or_else(|| numbers.first().map(|new| new.number.as_e164().to_owned()));
        let (name, provider) = (name.to_owned(), provider.to_owned());
        let new = NewAccount { name, provider, account_id, default_from, config, default_if_none };
        let account = self.store().create_account(owner, new).await?;
        self.store().import_numbers(owner, account.id, &numbers).await?;
        Ok(account)
    }

    /// Changes an account. A secret that is sent back masked stays as it is.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NotFound`], [`ServiceError::Invalid`].
    pub async fn change_account(
        &self,
        owner: OrganizationId,
        id: Uuid,
        name: Option<String>,
        config: Option<Value>,
        default_from: Option<Option<String>>,
    ) -> Result<Account, ServiceError> {
        let missing = || ServiceError::NotFound { what: "configuration" };
        let current = self.store().account(owner, id).await?.ok_or_else(missing)?;
        if let Some(name) = &name {
            check_name(name)?;
        }
        check_from(default_from.as_ref().and_then(Option::as_deref))?;
        let descriptor = self.descriptor(&current.provider)?;
        let config = match config {
            None => None,
            Some(config) => {
                let config = unmasked(descriptor, without_provider(config), &current.config);
                descriptor.build(&config, self.inner.context.clone())?;
                let account_id = account_id(descriptor, &config);
                Some((config, account_id))
            }
        };
        let numbers = config.as_ref().map(|(config, _)| stated_numbers(descriptor, config)).unwrap_or_default();
        let change = AccountChange { name, default_from, config };
        let account = self.store().change_account(owner, id, change).await?.ok_or_else(missing)?;
        self.store().import_numbers(owner, id, &numbers).await?;
        Ok(account)
    }

    /// Asks the carrier whether an account works, and remembers what it said.
    ///
    /// # Errors
    ///
    /// [`ServiceError`]: why it does not work, or that this could not be remembered.
    pub async fn check_account(&self, account: &Account) -> Result<AccountInfo, ServiceError> {
        let checked = match self.provider(account) {
            Ok(provider) => provider.check_account().await.map_err(ServiceError::from),
            Err(unusable) => Err(unusable),
        };
        let checked = checked.map_err(|error| self.explained(account, error));
        let problem = checked.as_ref().err().map(|error| error_chain(error));
        self.store().account_checked(account, problem.as_deref()).await?;
        checked
    }

    /// Points the carrier's webhook of a number here, or away from here, where the carrier allows it. What could not be done, and what
    /// else was touched, comes back in words: which workflow answers the number is decided here all the same.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`].
    pub async fn point_number_here(&self, number: &PhoneNumberRow, here: bool) -> Result<Vec<String>, ServiceError> {
        let Some(account) = self.store().account(number.organization, number.configuration).await? else {
            return Ok(vec!["the account of the number is gone".to_owned()]);
        };
        let provider = self.provider(&account)?;
        if !provider.descriptor().capabilities().has(Capability::ConfigureInbound) {
            let display_name = provider.descriptor().display_name();
            return Ok(vec![format!(
                "{display_name} does not let us point its webhook here: set it to {} yourself",
                self.inbound_url()
            )]);
        }
        let binding = if here {
            let url = self.inbound_url();
            InboundBinding::to(number.number.clone(), InboundUrls { answer: url.clone(), events: url })
        } else {
            InboundBinding::clear(number.number.clone())
        };
        Ok(match provider.configure_inbound(&binding).await {
            Ok(outcome) => outcome.also_affected,
            Err(error) => vec![format!("the carrier's webhook could not be set: {}", error_chain(&error))],
        })
    }

    /// Where all carriers ask about inbound calls.
    #[must_use]
    pub fn inbound_url(&self) -> Url {
        let mut url = self.inner.public_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1", "telephony", "inbound", "run"]);
        }
        url
    }

    /// An account's configuration as it may be shown: its secrets masked.
    #[must_use]
    pub fn masked(&self, account: &Account) -> Value {
        let mut config = account.config.clone();
        let Ok(descriptor) = self.descriptor(&account.provider) else {
            // What is secret in it only the provider knows, and it is not linked.
            return Value::Null;
        };
        for field in config::secret_fields(&descriptor.config_schema()) {
            if let Some(value) = config.get_mut(&field).filter(|value| !value.is_null()) {
                *value = MASK.into();
            }
        }
        config
    }
}

/// What is said about a call is said within it.
fn call_span(run: WorkflowRunId, provider: &str) -> tracing::Span {
    info_span!("call", %run, provider)
}

/// A configuration without the member that names its provider, which stands beside it.
fn without_provider(mut config: Value) -> Value {
    if let Some(fields) = config.as_object_mut() {
        fields.remove(config::PROVIDER_FIELD);
    }
    config
}

/// A configuration in which the secrets that are masked are those that are stored.
fn unmasked(descriptor: &ProviderDescriptor, mut config: Value, stored: &Value) -> Value {
    for field in config::secret_fields(&descriptor.config_schema()) {
        if config.get(&field).and_then(Value::as_str) == Some(MASK)
            && let Some(known) = stored.get(&field)
        {
            config[&field] = known.clone();
        }
    }
    config
}

fn account_id(descriptor: &ProviderDescriptor, config: &Value) -> Option<String> {
    config.get(descriptor.account_id_field()).and_then(Value::as_str).map(str::to_owned)
}

/// The most calls at the same time that an organization may be allowed.
pub(crate) const MOST_CALLS: u32 = 10_000;

/// The numbers that a configuration lists: whatever field of the provider's is a list of numbers in E.164.
fn stated_numbers(descriptor: &ProviderDescriptor, config: &Value) -> Vec<NewNumber> {
    let is_of_numbers = |property: &Value| property.pointer("/items/format").is_some_and(|format| format == "e164");
    let lists = config::fields_in_order(&descriptor.config_schema())
        .into_iter()
        .filter(|(_, property)| is_of_numbers(property))
        .filter_map(|(field, _)| config.get(&field)?.as_array());
    let numbers = lists.flatten().filter_map(|text| text.as_str()?.parse::<PhoneNumber>().ok());
    numbers.map(|number| NewNumber { number, label: None, country: None, provider_id: None }).collect()
}

/// The longest name that people give something.
const LONGEST_NAME: usize = 100;

pub(crate) fn check_name(name: &str) -> Result<(), ServiceError> {
    let length = name.chars().count();
    if !(1..=LONGEST_NAME).contains(&length) || name.trim() != name || name.chars().any(char::is_control) {
        let reason = format!("must have 1 to {LONGEST_NAME} characters, and none of them a blank at an end");
        return Err(ServiceError::invalid("name", reason));
    }
    Ok(())
}

fn check_from(from: Option<&str>) -> Result<(), ServiceError> {
    match from.map(str::parse::<telephony_core::Address>) {
        Some(Err(error)) => Err(ServiceError::invalid("default_from", error.to_string())),
        _ => Ok(()),
    }
}
