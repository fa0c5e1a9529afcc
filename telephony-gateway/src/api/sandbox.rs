//! The simulated carriers: starting and stopping them, and calls that come in from them while they run.

use axum::{Json as Answer, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use telephony_core::PhoneNumber;
use telephony_sandbox::{DIAL_PLAN, SOFTPHONE};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    auth::Caller,
    calls::parsed,
    problem::{Json, Problem},
    softphone::running_sandbox,
};
use crate::service::{IncomingCall, RunningSandbox, SandboxStart, Service, ServiceError};

/// The sandbox: simulated carriers with real webhooks and real sound, and whom they can call.
#[derive(Serialize, ToSchema)]
pub(super) struct SandboxState {
    /// Whether it may be started over the API, or the operator has turned that off.
    offered: bool,
    /// Whether it runs for the organization.
    running: bool,
    /// The number that rings the softphone; null while it does not run.
    softphone: Option<&'static str>,
    /// The simulated carriers; none while it does not run.
    carriers: Vec<SandboxCarrier>,
    /// Who can be called through a simulated carrier. Every other number is a person who talks.
    handsets: Vec<SandboxHandset>,
}

/// A simulated carrier that runs.
#[derive(Serialize, ToSchema)]
pub(super) struct SandboxCarrier {
    /// The carrier that is simulated.
    provider: &'static str,
    /// What people call it.
    display_name: &'static str,
    /// The organization's account with it.
    configuration_id: Uuid,
    /// The account's numbers, in E.164.
    numbers: Vec<String>,
}

/// A handset that can be called.
#[derive(Serialize, ToSchema)]
pub(super) struct SandboxHandset {
    /// Its number, in E.164.
    number: &'static str,
    /// What it does when called, in words.
    behaviour: &'static str,
}

impl SandboxState {
    fn of(service: &Service, running: Option<&RunningSandbox>) -> Self {
        let carriers = running.into_iter().flat_map(RunningSandbox::accounts).map(|(configuration_id, carrier)| {
            let provider = carrier.simulator().provider();
            SandboxCarrier {
                provider: provider.name().as_str(),
                display_name: provider.display_name(),
                configuration_id,
                numbers: carrier.numbers().iter().map(|number| number.as_e164().to_owned()).collect(),
            }
        });
        let handset = |entry: &telephony_sandbox::DialPlanEntry| SandboxHandset {
            number: entry.number,
            behaviour: entry.description,
        };
        Self {
            offered: service.options().offer_sandbox,
            running: running.is_some(),
            softphone: running.map(|_| SOFTPHONE),
            carriers: carriers.collect(),
            handsets: DIAL_PLAN.iter().map(handset).collect(),
        }
    }
}

/// Says whether the sandbox runs for the organization, and who is in it.
#[utoipa::path(get, operation_id = "read_sandbox", path = "/sandbox", tag = "sandbox", responses(
    (status = 200, description = "The sandbox", body = SandboxState),
))]
pub(super) async fn read(State(service): State<Service>, caller: Caller) -> Answer<SandboxState> {
    let running = service.sandbox().filter(|running| running.owner() == caller.organization);
    Answer(SandboxState::of(&service, running.as_deref()))
}

/// Starts the sandbox for the organization: an account with each simulated carrier, its numbers, and a workflow if there is none. One
/// organization has it at a time. What is there from the last time is used again.
#[utoipa::path(post, operation_id = "start_sandbox", path = "/sandbox", tag = "sandbox", responses(
    (status = 201, description = "It is started", body = SandboxState),
    (status = 200, description = "It runs already", body = SandboxState),
    (status = 403, description = "The operator of the gateway has turned it off", body = Problem),
    (status = 409, description = "It runs for another organization", body = Problem),
    (status = 503, description = "The gateway is about to end", body = Problem),
))]
pub(super) async fn start(
    State(service): State<Service>,
    caller: Caller,
) -> Result<(StatusCode, Answer<SandboxState>), Problem> {
    if !service.options().offer_sandbox {
        let detail = "the operator of this gateway has turned off that the sandbox is started over the API";
        return Err(Problem::new(StatusCode::FORBIDDEN, "The sandbox is not offered", detail));
    }
    if service.is_ending() {
        return Err(ServiceError::Ending.into());
    }
    // Whoever asked may go away: it is started whole, or not at all.
    let starting = service.clone();
    let started = tokio::spawn(async move { starting.start_sandbox(caller.organization).await });
    let started = started.await.map_err(|_| ServiceError::Interrupted)??;
    let status = match started {
        SandboxStart::New(_) => StatusCode::CREATED,
        SandboxStart::Existing(_) => StatusCode::OK,
    };
    Ok((status, Answer(SandboxState::of(&service, Some(&started.running())))))
}

/// Stops the sandbox of the organization: its calls are hung up. The accounts with the simulated carriers stay, and cannot be called
/// through until it is started again.
#[utoipa::path(delete, operation_id = "stop_sandbox", path = "/sandbox", tag = "sandbox", responses(
    (status = 204, description = "It does not run any more"),
    (status = 404, description = "It does not run for the organization", body = Problem),
))]
pub(super) async fn stop(State(service): State<Service>, caller: Caller) -> Result<StatusCode, Problem> {
    running_sandbox(&service, caller)?;
    let stopping = service.clone();
    let stopped = tokio::spawn(async move { stopping.stop_sandbox_of(caller.organization).await });
    match stopped.await.map_err(|_| ServiceError::Interrupted)? {
        true => Ok(StatusCode::NO_CONTENT),
        false => running_sandbox(&service, caller).map(|_| StatusCode::NO_CONTENT),
    }
}

/// A call that a simulated carrier makes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSandboxCall {
    /// Which number of the sandbox is called, in E.164. A workflow must answer it.
    to: String,
    /// Who calls, in E.164: the sandbox has a handset behind every number. Absent: one with a person who talks.
    #[serde(default)]
    from: Option<String>,
    /// Through which simulated carrier, where several have the number. Absent: one where a workflow answers it.
    #[serde(default)]
    provider: Option<String>,
}

/// A call that a simulated carrier is making.
#[derive(Serialize, ToSchema)]
pub(super) struct SandboxCall {
    /// The carrier's id of it, as the call has it once it is listed.
    carrier_call_id: String,
    /// Who calls.
    from: String,
    /// Which number is called.
    to: String,
    /// The simulated carrier.
    provider: String,
    /// The account with it.
    configuration_id: Uuid,
    /// The workflow that answers.
    workflow_id: Uuid,
    /// What is to be known: that the carrier's webhook could not be pointed here, so that nobody is told of the call.
    warnings: Vec<String>,
}

impl From<IncomingCall> for SandboxCall {
    fn from(call: IncomingCall) -> Self {
        Self {
            carrier_call_id: call.call_id,
            from: call.from.as_e164().to_owned(),
            to: call.to.as_e164().to_owned(),
            provider: call.provider.as_str().to_owned(),
            configuration_id: call.configuration,
            workflow_id: call.workflow.into(),
            warnings: call.warnings,
        }
    }
}

/// Has a simulated carrier call one of the organization's sandbox numbers. The call is listed as any call that comes in. Only while the
/// sandbox runs.
#[utoipa::path(post, operation_id = "call_sandbox_number", path = "/sandbox/calls", tag = "sandbox", request_body = NewSandboxCall, responses(
    (status = 202, description = "The carrier calls", body = SandboxCall),
    (status = 404, description = "No sandbox runs for the organization", body = Problem),
    (status = 422, description = "A field is wrong: the number is none of the sandbox's, or no workflow answers it", body = Problem),
    (status = 503, description = "The gateway is about to end", body = Problem),
))]
pub(super) async fn call(
    State(service): State<Service>,
    caller: Caller,
    Json(new): Json<NewSandboxCall>,
) -> Result<(StatusCode, Answer<SandboxCall>), Problem> {
    let running = running_sandbox(&service, caller)?;
    let to: PhoneNumber = parsed("to", &new.to)?;
    let from = new.from.as_deref().map(|from| parsed("from", from)).transpose()?;
    let call = running.call_in(&service, to, from, new.provider.as_deref()).await?;
    Ok((StatusCode::ACCEPTED, Answer(call.into())))
}
