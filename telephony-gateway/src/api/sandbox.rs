//! Calls that come in from the simulated carriers, while they run.

use axum::{Json as Answer, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use telephony_core::PhoneNumber;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    auth::Caller,
    calls::parsed,
    problem::{Json, Problem},
    softphone::running_sandbox,
};
use crate::service::{IncomingCall, Service};

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
