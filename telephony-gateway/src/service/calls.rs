//! Placing calls, and what can be done to those that are up.
//!
//! A call is dialled once. That it is going to be is written down before the carrier is asked; what the carrier says, or that it said
//! nothing, is written down after. Whoever finds an intent without an outcome asks the carrier, or waits for it to tell, and never dials
//! again.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use telephony_core::{
    Address, CallUrls, DigitSequence, Direction, HangUp, InitiatedCall, MachineDetection, OrganizationId, OutboundCall,
    Secret, TelephonyError, TelephonyProvider, Transfer, TransferRequest, Url, WorkflowId, WorkflowRunId, error_chain,
    signing::sha256_hex,
};
use tracing::{Instrument, info, warn};
use uuid::Uuid;

use super::{SANDBOX_STOPPED, Service, ServiceError, call_span};
use crate::{
    store::{Account, DialState, NewRun, Opened, StoredRun, Workflow},
    telemetry,
};

/// How long a media token is good. Carriers open the socket within seconds of being told; a call that rings takes longer.
const MEDIA_TOKEN_IS_GOOD: Duration = Duration::from_secs(600);

/// A call to place.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CallRequest {
    /// What it is for.
    pub workflow: WorkflowId,
    /// Whom to call.
    pub to: Address,
    /// The account; `None`: the organization's default.
    pub configuration: Option<Uuid>,
    /// The caller ID; `None`: the account's default, else one of its numbers.
    pub from: Option<Address>,
    /// How long it may ring.
    pub ring_timeout: Option<Duration>,
    /// How long it may last.
    pub time_limit: Option<Duration>,
    /// Whether to find out if a person or a machine answered.
    pub machine_detection: Option<MachineDetection>,
    /// DTMF to send once answered.
    pub digits_on_answer: Option<DigitSequence>,
}

impl CallRequest {
    /// A call with the defaults of account and carrier.
    #[must_use]
    pub fn new(workflow: WorkflowId, to: Address) -> Self {
        Self {
            workflow,
            to,
            configuration: None,
            from: None,
            ring_timeout: None,
            time_limit: None,
            machine_detection: None,
            digits_on_answer: None,
        }
    }

    /// The same for every request that asks for the same.
    fn hash(&self) -> String {
        let digits = self.digits_on_answer.as_ref().map(DigitSequence::as_str);
        let asked = json!([
            self.workflow.to_string(),
            self.to.as_str(),
            self.configuration,
            self.from.as_ref().map(Address::as_str),
            self.ring_timeout.map(|length| length.as_secs()),
            self.time_limit.map(|length| length.as_secs()),
            format!("{:?}", self.machine_detection),
            digits,
        ]);
        sha256_hex(asked.to_string().as_bytes())
    }
}

/// What a request for a call came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Placed {
    /// The carrier was asked, once.
    New(StoredRun),
    /// A request with the same key had it asked before.
    Existing(StoredRun),
}

impl Service {
    /// Places a call, and returns once the carrier has said something about it.
    ///
    /// # Errors
    ///
    /// [`ServiceError`]: of a call that is refused, with the carrier's words. That it is not known whether a call was placed is no
    /// error: the run says so, and will say more.
    pub async fn initiate_call(
        &self,
        owner: OrganizationId,
        request: CallRequest,
        idempotency_key: Option<String>,
    ) -> Result<Placed, ServiceError> {
        if self.is_ending() {
            return Err(ServiceError::Ending);
        }
        let missing = || ServiceError::invalid("workflow_id", "there is no such workflow");
        let workflow = self.store().workflow(owner, request.workflow).await?.ok_or_else(missing)?;
        let account = self.account_for(owner, request.configuration).await?;
        let provider = self.provider(&account)?;
        let from = self.caller_id(&account, request.from.clone()).await?;
        let id = WorkflowRunId::generate();
        // What the carrier lacks, and what is wrong with the request, is said before anything is written.
        let urls = self.call_urls(&account.provider, Some(workflow.id), owner, id, "none");
        let call = outbound_call(&request, from, urls);
        provider.descriptor().require(call.capabilities())?;

        let new = NewRun {
            id,
            organization: owner,
            workflow: Some(workflow.id),
            configuration: account.id,
            provider: account.provider.clone(),
            direction: Direction::Outbound,
            from: call.from.as_str().to_owned(),
            to: request.to.as_str().to_owned(),
            call: telephony_core::CallRef::unnamed(),
            options: self.run_options(&workflow, request.time_limit),
            idempotency: idempotency_key.map(|key| (key, request.hash())),
            lease: self.options().lease,
        };
        let run = match self.store().open_run(&new).await? {
            Opened::New(run) => *run,
            Opened::Existing(run) => return Ok(Placed::Existing(*run)),
            Opened::KeyReused => {
                let reason = "was used for another request";
                return Err(ServiceError::invalid("Idempotency-Key", reason));
            }
            Opened::NoSlot { limit } => return Err(ServiceError::NoSlot { limit }),
        };
        self.changed(run.id);
        let (run, outcome) = self.dial(&run, provider, call).await?;
        match outcome {
            Ok(_) | Err(TelephonyError::OutcomeUnknown { .. }) => Ok(Placed::New(run)),
            Err(refused) => Err(self.explained(&account, refused.into())),
        }
    }

    /// Dials a call that is open, once, and returns it as it is then, with what the carrier said. Whoever asked may go away: the call is
    /// dialled to the end all the same.
    pub(crate) async fn dial(
        &self,
        run: &StoredRun,
        provider: Arc<dyn TelephonyProvider>,
        mut call: OutboundCall,
    ) -> Result<(StoredRun, Result<InitiatedCall, TelephonyError>), ServiceError> {
        let token = self.store().issue_media_token(run.id, MEDIA_TOKEN_IS_GOOD).await?;
        call.urls = self.call_urls(&run.provider, run.workflow, run.organization, run.id, token.expose());
        let span = call_span(run.id, &run.provider);
        let account = match run.configuration {
            Some(id) => self.store().account(run.organization, id).await?,
            None => None,
        };
        let dialled = tokio::spawn(self.clone().ask_for(run.id, account, provider, call).instrument(span));
        dialled.await.map_err(|_| ServiceError::Interrupted)?
    }

    async fn ask_for(
        self,
        run: WorkflowRunId,
        account: Option<Account>,
        provider: Arc<dyn TelephonyProvider>,
        call: OutboundCall,
    ) -> Result<(StoredRun, Result<InitiatedCall, TelephonyError>), ServiceError> {
        self.note(run, "rest", "dial", format!("{} from {}", call.to, call.from));
        let outcome = provider.initiate_call(&call).await;
        let written = match &outcome {
            Ok(accepted) => {
                self.note(run, "rest", "accepted", format!("{:?}, call {}", accepted.raw_status, accepted.call));
                info!(call_id = %accepted.call, "The carrier accepted a call.");
                self.store().dialled(run, DialState::Accepted, Some(&accepted.call), None).await?
            }
            Err(unknown @ TelephonyError::OutcomeUnknown { .. }) => {
                warn!(error = error_chain(unknown), "Whether a call was placed is not known. It is not dialled again.");
                self.store().dialled(run, DialState::Unknown, None, Some(&error_chain(unknown))).await?
            }
            Err(refused) => {
                info!(error = error_chain(refused), "A call was refused.");
                let is_gone = account.as_ref().is_some_and(|account| self.is_stopped_sandbox(account, refused));
                let why = if is_gone { SANDBOX_STOPPED.to_owned() } else { error_chain(refused) };
                self.store().dialled(run, DialState::Refused, None, Some(&why)).await?
            }
        };
        if let Some(account) = &account {
            self.learn_of_account(account, outcome.as_ref().err()).await?;
        }
        self.changed(run);
        let said = match &outcome {
            Ok(_) => "accepted",
            Err(TelephonyError::OutcomeUnknown { .. }) => "unknown",
            Err(_) => "refused",
        };
        telemetry::dialled(provider.descriptor().name().as_str(), said);
        Ok((written.ok_or(ServiceError::NotFound { what: "call" })?, outcome))
    }

    /// What a dial says of the account: that its credentials are not accepted or its sandbox is gone, or that it works again.
    async fn learn_of_account(&self, account: &Account, refused: Option<&TelephonyError>) -> Result<(), ServiceError> {
        let problem = account.health.as_ref().and_then(|health| health.problem.as_deref());
        match refused {
            Some(refused @ TelephonyError::Authentication { .. }) => {
                self.store().account_checked(account, Some(&error_chain(refused))).await?;
            }
            Some(refused) if self.is_stopped_sandbox(account, refused) => {
                self.store().account_checked(account, Some(SANDBOX_STOPPED)).await?;
            }
            None if problem.is_some() => self.store().account_checked(account, None).await?,
            _ => {}
        }
        Ok(())
    }

    async fn account_for(&self, owner: OrganizationId, wanted: Option<Uuid>) -> Result<Account, ServiceError> {
        let found = match wanted {
            Some(id) => self.store().account(owner, id).await?,
            None => self.store().default_account(owner).await?,
        };
        found.ok_or_else(|| {
            let reason = match wanted {
                Some(_) => "there is no such account",
                None => "no account is the default: add one, or make one the default, or name one here",
            };
            ServiceError::invalid("configuration_id", reason)
        })
    }

    /// Explicit, else the account's default, else a number of the account.
    async fn caller_id(&self, account: &Account, wanted: Option<Address>) -> Result<Address, ServiceError> {
        if let Some(from) = wanted {
            return Ok(from);
        }
        if let Some(from) = &account.default_from {
            let damaged =
                |error: telephony_core::AddressError| ServiceError::invalid("default_from", error.to_string());
            return from.parse().map_err(damaged);
        }
        let numbers = self.store().numbers(account.organization).await?;
        let own = numbers.into_iter().find(|number| number.configuration == account.id);
        own.map(|number| number.number.into()).ok_or_else(|| {
            let name = &account.name;
            let reason =
                format!("the account {name:?} has no caller ID: set its default, import its numbers, or name one");
            ServiceError::invalid("from", reason)
        })
    }

    /// What a run keeps of its workflow: a call that is under way goes on as it began.
    pub(super) fn run_options(&self, workflow: &Workflow, time_limit: Option<Duration>) -> serde_json::Value {
        let longest = self.longest(time_limit);
        json!({"agent": workflow.agent, "record": workflow.record, "max_duration_secs": longest.as_secs()})
    }

    /// How long a call may last.
    pub(crate) fn longest(&self, time_limit: Option<Duration>) -> Duration {
        time_limit.unwrap_or(self.options().max_call_duration).min(self.options().max_call_duration)
    }

    /// Where a carrier reaches us about a call that it is asked for.
    pub(crate) fn call_urls(
        &self,
        provider: &str,
        workflow: Option<WorkflowId>,
        owner: OrganizationId,
        run: WorkflowRunId,
        token: &str,
    ) -> CallUrls {
        CallUrls {
            answer: self.webhook_url(provider, "answer", run),
            events: self.webhook_url(provider, "events", run),
            media: self.media_url(workflow, owner, run, token),
        }
    }

    /// Where a carrier reaches us about a run.
    pub(super) fn webhook_url(&self, provider: &str, kind: &str, run: WorkflowRunId) -> Url {
        self.url(&["api", "v1", "telephony", provider, kind, &run.to_string()])
    }

    /// Where a carrier opens the media socket of a run. The token stands in the path: carriers drop queries.
    fn media_url(&self, workflow: Option<WorkflowId>, owner: OrganizationId, run: WorkflowRunId, token: &str) -> Url {
        let workflow = workflow.map_or_else(|| "none".to_owned(), |workflow| workflow.to_string());
        let (owner, run) = (owner.to_string(), run.to_string());
        let mut url = self.url(&["api", "v1", "telephony", "ws", &workflow, &owner, &run, token]);
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        // From http or https, which the public URL was checked to be, each of these is allowed.
        let changed = url.set_scheme(scheme);
        debug_assert!(changed.is_ok(), "an http URL cannot become {scheme}");
        url
    }

    /// A fresh media URL of a run.
    pub(super) async fn fresh_media_url(&self, run: &StoredRun) -> Result<Url, ServiceError> {
        let token: Secret = self.store().issue_media_token(run.id, MEDIA_TOKEN_IS_GOOD).await?;
        Ok(self.media_url(run.workflow, run.organization, run.id, token.expose()))
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.public_url().clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// The provider of a run's account.
    pub(super) async fn provider_of(&self, run: &StoredRun) -> Result<Arc<dyn TelephonyProvider>, ServiceError> {
        let gone = || ServiceError::NotFound { what: "configuration" };
        let configuration = run.configuration.ok_or_else(gone)?;
        let account = self.store().account(run.organization, configuration).await?.ok_or_else(gone)?;
        self.provider(&account)
    }

    /// A call of an organization that is up, and its provider.
    async fn live(
        &self,
        owner: OrganizationId,
        run: WorkflowRunId,
    ) -> Result<(StoredRun, Arc<dyn TelephonyProvider>), ServiceError> {
        let run = self.store().run_of(owner, run).await?.ok_or(ServiceError::NotFound { what: "call" })?;
        if run.is_over {
            return Err(ServiceError::NotNow { reason: "the call is over" });
        }
        if run.call == telephony_core::CallRef::unnamed() {
            return Err(ServiceError::NotNow { reason: "the carrier has not told of the call yet" });
        }
        let provider = self.provider_of(&run).await?;
        Ok((run, provider))
    }

    /// Ends a call. One that is over is no error.
    ///
    /// # Errors
    ///
    /// [`ServiceError`].
    pub async fn hang_up(&self, owner: OrganizationId, run: WorkflowRunId) -> Result<HangUp, ServiceError> {
        match self.live(owner, run).await {
            Ok((run, provider)) => Ok(provider.hang_up(&run.call).await?),
            Err(ServiceError::NotNow { reason: "the call is over" }) => Ok(HangUp::AlreadyEnded),
            Err(error) => Err(error),
        }
    }

    /// Connects a call to somebody else.
    ///
    /// # Errors
    ///
    /// [`ServiceError`].
    pub async fn transfer(
        &self,
        owner: OrganizationId,
        run: WorkflowRunId,
        to: Address,
    ) -> Result<Transfer, ServiceError> {
        let (run, provider) = self.live(owner, run).await?;
        let events = self.webhook_url(&run.provider, "events", run.id);
        let request = TransferRequest::new(run.call.clone(), to).with_events(events);
        Ok(provider.transfer_call(&request).await?)
    }

    /// Sends DTMF on a call.
    ///
    /// # Errors
    ///
    /// [`ServiceError`].
    pub async fn send_digits(
        &self,
        owner: OrganizationId,
        run: WorkflowRunId,
        digits: &DigitSequence,
    ) -> Result<(), ServiceError> {
        let (run, provider) = self.live(owner, run).await?;
        Ok(provider.send_digits(&run.call, digits).await?)
    }
}

fn outbound_call(request: &CallRequest, from: Address, urls: CallUrls) -> OutboundCall {
    let mut call = OutboundCall::new(request.to.clone(), from, urls);
    call.ring_timeout = request.ring_timeout;
    call.time_limit = request.time_limit;
    call.machine_detection = request.machine_detection;
    call.digits_on_answer = request.digits_on_answer.clone();
    call
}
