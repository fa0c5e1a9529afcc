//! Simulated carriers beside a service, with an account for each: a call within a minute, and no account of one's own.

use std::sync::{Arc, PoisonError};

use serde_json::Value;
use telephony_core::{OrganizationId, PhoneNumber, ProviderName, TelephonyError, WorkflowId, config, error_chain};
use telephony_sandbox::{DIAL_PLAN, Sandbox, SandboxError, SandboxOptions, Switchboard};
use tracing::{info, warn};
use uuid::Uuid;

use super::{SANDBOX_STOPPED, Service, ServiceError, agent::AgentSpec};
use crate::store::{Account, NewNumber, NewWorkflow, StoreError};

/// The name of the workflow that newcomers find.
const DEMONSTRATION: &str = "Demonstration";

/// Why the sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxSetupError {
    /// A simulated carrier could not be started.
    #[error(transparent)]
    Start(#[from] SandboxError),
    /// Its account could not be stored.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// They run for another organization.
    #[error("the simulated carriers run for another organization, and one has them at a time")]
    Taken,
}

/// What came of starting the sandbox.
#[derive(Clone, Debug)]
pub enum SandboxStart {
    /// It was started.
    New(Arc<RunningSandbox>),
    /// It ran already.
    Existing(Arc<RunningSandbox>),
}

impl SandboxStart {
    /// The sandbox that runs.
    #[must_use]
    pub fn running(self) -> Arc<RunningSandbox> {
        match self {
            Self::New(running) | Self::Existing(running) => running,
        }
    }
}

/// The simulated carriers that run inside the gateway, for one organization.
#[derive(Debug)]
pub struct RunningSandbox {
    owner: OrganizationId,
    switchboard: Switchboard,
    /// Each with the account that the organization has with it.
    carriers: Vec<(Uuid, Sandbox)>,
}

impl RunningSandbox {
    /// Whose accounts they have.
    #[must_use]
    pub fn owner(&self) -> OrganizationId {
        self.owner
    }

    /// Where the organization's softphone registers: all of them ring the same.
    #[must_use]
    pub fn switchboard(&self) -> &Switchboard {
        &self.switchboard
    }

    /// The simulated carriers, each with the account that the organization has with it.
    pub fn accounts(&self) -> impl Iterator<Item = (Uuid, &Sandbox)> {
        self.carriers.iter().map(|(account, sandbox)| (*account, sandbox))
    }

    /// The simulated carriers.
    pub fn carriers(&self) -> impl Iterator<Item = &Sandbox> {
        self.carriers.iter().map(|(_, sandbox)| sandbox)
    }

    /// The simulated carrier of a number that can be called, and the account with it: the one that is named, or else one where a workflow answers it, or else the
    /// first that has it.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Invalid`] if there is none; [`ServiceError::Store`].
    pub async fn carrier_of(
        &self,
        service: &Service,
        number: &str,
        provider: Option<&str>,
    ) -> Result<(Uuid, &Sandbox), ServiceError> {
        let answered = service.store().numbers(self.owner).await?;
        let is_answered = |account: Uuid| {
            answered
                .iter()
                .any(|row| row.configuration == account && row.workflow.is_some() && row.number.as_e164() == number)
        };
        let named = self.carriers.iter().filter(|(_, sandbox)| {
            provider.is_none_or(|provider| sandbox.simulator().provider().name().as_str() == provider)
        });
        let has_it = named.filter(|(_, sandbox)| sandbox.numbers().iter().any(|known| known.as_e164() == number));
        let found = has_it.min_by_key(|(account, _)| !is_answered(*account));
        let (account, sandbox) = found.ok_or_else(|| {
            let reason = "is no number of a simulated carrier's account, or not of the provider that is named";
            ServiceError::invalid("to", reason)
        })?;
        Ok((*account, sandbox))
    }

    /// Has a simulated carrier call a number that a workflow answers. Without `from`, somebody calls who talks; `provider` is the carrier,
    /// where several have the number. The gateway learns of the call as of any other: from the carrier's webhook, in a moment.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Invalid`] by field, [`ServiceError::Ending`], [`ServiceError::Store`].
    pub async fn call_in(
        &self,
        service: &Service,
        to: PhoneNumber,
        from: Option<PhoneNumber>,
        provider: Option<&str>,
    ) -> Result<IncomingCall, ServiceError> {
        if service.is_ending() {
            return Err(ServiceError::Ending);
        }
        let from = match from {
            Some(from) => from,
            None => DIAL_PLAN[0].number.parse().map_err(|_| ServiceError::invalid("from", "is missing"))?,
        };
        let (configuration, sandbox) = self.carrier_of(service, to.as_e164(), provider).await?;
        let row = service.store().number_of_account(configuration, &to).await?;
        let answered = row.and_then(|row| Some((row.workflow?, row)));
        let (workflow, row) =
            answered.ok_or_else(|| ServiceError::invalid("to", "is answered by no workflow: assign one"))?;
        // Whoever assigned it may not have known where carriers reach us.
        let warnings = service.point_number_here(&row, true).await?;
        let gone = |error: SandboxError| ServiceError::invalid("to", error.to_string());
        let call_id = sandbox.call_in(from.as_e164(), to.as_e164()).await.map_err(gone)?;
        let provider = sandbox.simulator().provider().name();
        Ok(IncomingCall { call_id, from, to, provider, configuration, workflow, warnings })
    }
}

/// A call that a simulated carrier is making.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct IncomingCall {
    /// The carrier's id of it.
    pub call_id: String,
    /// Who calls.
    pub from: PhoneNumber,
    /// Which number is called.
    pub to: PhoneNumber,
    /// The carrier.
    pub provider: ProviderName,
    /// The account with it.
    pub configuration: Uuid,
    /// The workflow that answers.
    pub workflow: WorkflowId,
    /// What the carrier did not let be done when its webhook was pointed here, and what else that touched.
    pub warnings: Vec<String>,
}

impl Service {
    /// The simulated carriers that run beside the service, if they do.
    #[must_use]
    pub fn sandbox(&self) -> Option<Arc<RunningSandbox>> {
        self.inner.sandbox.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hangs up all simulated calls, and stops the simulated carriers. Their accounts stay, and say that they do not work.
    pub async fn stop_sandbox(&self) {
        let _turn = self.inner.sandbox_turn.lock().await;
        self.stop_running().await;
    }

    /// Stops the simulated carriers if they run for this organization; false if they do not.
    pub async fn stop_sandbox_of(&self, owner: OrganizationId) -> bool {
        let _turn = self.inner.sandbox_turn.lock().await;
        let is_theirs = self.sandbox().is_some_and(|running| running.owner == owner);
        if is_theirs {
            self.stop_running().await;
        }
        is_theirs
    }

    /// Whoever calls this has the turn.
    async fn stop_running(&self) {
        let running = self.inner.sandbox.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(running) = running else { return };
        for (account, _) in running.accounts() {
            if let Err(error) = self.remember_stopped(running.owner, account).await {
                warn!(configuration_id = %account, error = error_chain(&error), "An account does not say that its sandbox is gone.");
            }
        }
        // Where somebody else is just asking it, it ends with the question.
        if let Some(running) = Arc::into_inner(running) {
            for (_, sandbox) in running.carriers {
                sandbox.stop().await;
            }
        }
    }

    async fn remember_stopped(&self, owner: OrganizationId, account: Uuid) -> Result<(), StoreError> {
        match self.store().account(owner, account).await? {
            Some(account) => self.store().account_checked(&account, Some(SANDBOX_STOPPED)).await,
            None => Ok(()), // It was deleted.
        }
    }

    /// Starts every simulator that is linked, and gives an organization an account with each, its numbers, and a workflow to try. What is
    /// there from the last time is renewed. They run until [`Service::stop_sandbox`]. Where they run already for the organization, nothing
    /// is done; of several that ask at the same time, one starts them.
    ///
    /// # Errors
    ///
    /// [`SandboxSetupError`]: [`SandboxSetupError::Taken`] while they run for another organization.
    pub async fn start_sandbox(&self, owner: OrganizationId) -> Result<SandboxStart, SandboxSetupError> {
        let _turn = self.inner.sandbox_turn.lock().await;
        match self.sandbox() {
            Some(running) if running.owner == owner => return Ok(SandboxStart::Existing(running)),
            Some(_) => return Err(SandboxSetupError::Taken),
            None => {}
        }
        let (mut carriers, switchboard) = (Vec::new(), Switchboard::default());
        let known = self.store().accounts(owner).await.map_err(ServiceError::from)?;
        for simulator in telephony_sandbox::registered() {
            let options = SandboxOptions::default().with_switchboard(switchboard.clone());
            let sandbox = Sandbox::start(simulator, options).await?;
            let stored = self.sandbox_account(owner, &known, &sandbox).await?;
            carriers.push((stored, sandbox));
        }
        let workflows = self.store().workflows(owner).await.map_err(ServiceError::from)?;
        if workflows.is_empty() {
            let agent: Value = AgentSpec::Dialogue.to_json();
            let new = NewWorkflow { name: DEMONSTRATION.to_owned(), agent, record: true };
            self.store().create_workflow(owner, &new).await.map_err(ServiceError::from)?;
        }
        let running = Arc::new(RunningSandbox { owner, switchboard, carriers });
        *self.inner.sandbox.lock().unwrap_or_else(PoisonError::into_inner) = Some(running.clone());
        Ok(SandboxStart::New(running))
    }

    /// The account with a simulated carrier: the one from the last time, renewed, or a new one. It is found again by what it is, or by its
    /// name if it is older than that is known.
    async fn sandbox_account(
        &self,
        owner: OrganizationId,
        known: &[Account],
        sandbox: &Sandbox,
    ) -> Result<Uuid, ServiceError> {
        let provider = sandbox.simulator().provider();
        let name = format!("{} (sandbox)", provider.display_name());
        let mut account = sandbox.account();
        if let Some(fields) = account.as_object_mut() {
            fields.remove(config::PROVIDER_FIELD);
        }
        let from = sandbox.numbers().first().map(|number| number.as_e164().to_owned());
        let own = known.iter().filter(|known| known.provider == provider.name().as_str());
        let from_last_time =
            own.clone().find(|known| known.is_sandbox).or_else(|| own.clone().find(|known| known.name == name));
        let id = match from_last_time {
            // Its simulator listens elsewhere each time.
            Some(known) => self.change_account(owner, known.id, None, Some(account), Some(from)).await?.id,
            None => self.add_account(owner, &name, provider.name().as_str(), account, from).await?.id,
        };
        self.store().mark_sandbox_account(id).await?;
        let numbers: Vec<NewNumber> = sandbox
            .numbers()
            .into_iter()
            .map(|number| NewNumber { number, label: None, country: Some("US".to_owned()), provider_id: None })
            .collect();
        self.store().import_numbers(owner, id, &numbers).await?;
        self.point_answered_numbers_here(owner, id).await?;
        let stored = self.store().account(owner, id).await?.ok_or(ServiceError::NotFound { what: "configuration" })?;
        self.store().account_checked(&stored, None).await?;
        Ok(id)
    }

    /// Whether this came of a simulated carrier that does not run. One that another gateway of this machine runs can be reached.
    pub(super) fn is_stopped_sandbox(&self, account: &Account, error: &TelephonyError) -> bool {
        let cannot_be_reached = matches!(error, TelephonyError::Transport { .. } | TelephonyError::Timeout { .. });
        let runs = || self.sandbox().is_some_and(|running| running.accounts().any(|(id, _)| id == account.id));
        account.is_sandbox && cannot_be_reached && !runs()
    }

    /// An error about an account, such that its owner knows what to do.
    pub(super) fn explained(&self, account: &Account, error: ServiceError) -> ServiceError {
        match error {
            ServiceError::Telephony(error) if self.is_stopped_sandbox(account, &error) => ServiceError::SandboxStopped,
            other => other,
        }
    }

    /// A simulated carrier has forgotten by the next start where its webhooks go.
    async fn point_answered_numbers_here(&self, owner: OrganizationId, account: Uuid) -> Result<(), ServiceError> {
        let numbers = self.store().numbers(owner).await?;
        for row in numbers.iter().filter(|row| row.configuration == account && row.workflow.is_some()) {
            for warning in self.point_number_here(row, true).await? {
                info!(configuration_id = %account, warning, "A number of a simulated carrier was pointed here.");
            }
        }
        Ok(())
    }
}
