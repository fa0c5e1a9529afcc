//! Simulated carriers beside a service, with an account for each: a call within a minute, and no account of one's own.

use serde_json::Value;
use telephony_core::{OrganizationId, config};
use telephony_sandbox::{Sandbox, SandboxError, SandboxOptions};

use super::{Service, ServiceError, agent::AgentSpec};
use crate::store::{NewNumber, NewWorkflow};

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
}

impl Service {
    /// Starts every simulator that is linked, and gives an organization an account with each, its numbers, and a workflow to try. What is
    /// there from the last time is renewed. The simulators run for as long as what is returned is kept.
    ///
    /// # Errors
    ///
    /// [`SandboxSetupError`].
    pub async fn start_sandbox(&self, owner: OrganizationId) -> Result<Vec<Sandbox>, SandboxSetupError> {
        let mut running = Vec::new();
        let known = self.store().accounts(owner).await.map_err(ServiceError::from)?;
        for simulator in telephony_sandbox::registered() {
            let sandbox = Sandbox::start(simulator, SandboxOptions::default()).await?;
            let provider = simulator.provider();
            let name = format!("{} (sandbox)", provider.display_name());
            let mut account = sandbox.account();
            if let Some(fields) = account.as_object_mut() {
                fields.remove(config::PROVIDER_FIELD);
            }
            let from = sandbox.numbers().first().map(|number| number.as_e164().to_owned());
            let stored = match known.iter().find(|known| known.name == name) {
                // Its simulator listens elsewhere each time.
                Some(known) => self.change_account(owner, known.id, None, Some(account), Some(from)).await?,
                None => self.add_account(owner, &name, provider.name().as_str(), account, from).await?,
            };
            let numbers: Vec<NewNumber> = sandbox
                .numbers()
                .into_iter()
                .map(|number| NewNumber { number, label: None, country: Some("US".to_owned()), provider_id: None })
                .collect();
            self.store().import_numbers(owner, stored.id, &numbers).await.map_err(ServiceError::from)?;
            running.push(sandbox);
        }
        let workflows = self.store().workflows(owner).await.map_err(ServiceError::from)?;
        if workflows.is_empty() {
            let agent: Value = AgentSpec::Dialogue.to_json();
            let new = NewWorkflow { name: DEMONSTRATION.to_owned(), agent, record: true };
            self.store().create_workflow(owner, &new).await.map_err(ServiceError::from)?;
        }
        Ok(running)
    }
}
