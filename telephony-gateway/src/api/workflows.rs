//! Workflows: what calls are for.

use axum::{Json as Answer, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    auth::Caller,
    problem::{Json, Path, Problem},
    rfc3339,
};
use crate::{
    service::{Service, agent::AgentSpec, check_name},
    store::{self, NewWorkflow},
};

/// What calls are for.
#[derive(Serialize, ToSchema)]
pub(super) struct Workflow {
    /// Its id.
    id: Uuid,
    /// Its name.
    name: String,
    /// Who talks.
    #[schema(value_type = AgentSpec)]
    agent: Value,
    /// Whether both sides are recorded.
    record: bool,
    /// When it was made, RFC 3339.
    created_at: String,
    /// When it was changed last, RFC 3339.
    updated_at: String,
}

impl From<store::Workflow> for Workflow {
    fn from(workflow: store::Workflow) -> Self {
        Self {
            id: workflow.id.into(),
            name: workflow.name,
            agent: workflow.agent,
            record: workflow.record,
            created_at: rfc3339(workflow.created_at),
            updated_at: rfc3339(workflow.updated_at),
        }
    }
}

/// A workflow to store, or what one becomes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkflowBody {
    /// Its name: 1 to 100 characters, once in an organization.
    name: String,
    /// Who talks.
    agent: AgentSpec,
    /// Whether both sides are recorded.
    #[serde(default)]
    record: bool,
}

impl WorkflowBody {
    fn checked(self, service: &Service) -> Result<NewWorkflow, Problem> {
        check_name(&self.name)?;
        self.agent.check(service.options())?;
        Ok(NewWorkflow { name: self.name, agent: self.agent.to_json(), record: self.record })
    }
}

/// Lists the workflows.
#[utoipa::path(get, operation_id = "list_workflows", path = "/workflows", tag = "workflows", responses(
    (status = 200, description = "The workflows, by name", body = Vec<Workflow>),
))]
pub(super) async fn list(State(service): State<Service>, caller: Caller) -> Result<Answer<Vec<Workflow>>, Problem> {
    let workflows = service.store().workflows(caller.organization).await?;
    Ok(Answer(workflows.into_iter().map(Workflow::from).collect()))
}

/// Stores a workflow.
#[utoipa::path(post, operation_id = "create_workflow", path = "/workflows", tag = "workflows", request_body = WorkflowBody, responses(
    (status = 201, description = "It is stored", body = Workflow),
    (status = 409, description = "The name is taken", body = Problem),
    (status = 422, description = "A field is wrong", body = Problem),
))]
pub(super) async fn create(
    State(service): State<Service>,
    caller: Caller,
    Json(body): Json<WorkflowBody>,
) -> Result<(StatusCode, Answer<Workflow>), Problem> {
    let new = body.checked(&service)?;
    let workflow = service.store().create_workflow(caller.organization, &new).await?;
    Ok((StatusCode::CREATED, Answer(workflow.into())))
}

/// Reads a workflow.
#[utoipa::path(get, operation_id = "read_workflow", path = "/workflows/{id}", tag = "workflows", params(
    ("id" = Uuid, Path, description = "The workflow"),
), responses(
    (status = 200, description = "The workflow", body = Workflow),
    (status = 404, description = "There is none", body = Problem),
))]
pub(super) async fn read(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Answer<Workflow>, Problem> {
    let found = service.store().workflow(caller.organization, id.into()).await?;
    found.map(|workflow| Answer(workflow.into())).ok_or_else(|| Problem::not_found("workflow"))
}

/// Replaces a workflow. Calls that are under way go on as they began.
#[utoipa::path(put, operation_id = "replace_workflow", path = "/workflows/{id}", tag = "workflows", params(
    ("id" = Uuid, Path, description = "The workflow"),
), request_body = WorkflowBody, responses(
    (status = 200, description = "As it is now", body = Workflow),
    (status = 404, description = "There is none", body = Problem),
    (status = 409, description = "The name is taken", body = Problem),
    (status = 422, description = "A field is wrong", body = Problem),
))]
pub(super) async fn replace(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(body): Json<WorkflowBody>,
) -> Result<Answer<Workflow>, Problem> {
    let new = body.checked(&service)?;
    let changed = service.store().change_workflow(caller.organization, id.into(), &new).await?;
    changed.map(|workflow| Answer(workflow.into())).ok_or_else(|| Problem::not_found("workflow"))
}

/// Deletes a workflow. Its numbers are answered by none then; its calls stay listed.
#[utoipa::path(delete, operation_id = "delete_workflow", path = "/workflows/{id}", tag = "workflows", params(
    ("id" = Uuid, Path, description = "The workflow"),
), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "There is none", body = Problem),
))]
pub(super) async fn delete(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    if service.store().delete_workflow(caller.organization, id.into()).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("workflow"))
    }
}
