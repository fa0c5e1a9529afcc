//! Phone numbers, and the workflow that answers each.

use axum::{Json as Answer, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    auth::Caller,
    configurations::given,
    problem::{Json, Path, Problem},
};
use crate::{service::Service, store::PhoneNumberRow};

/// A phone number of an account.
#[derive(Serialize, ToSchema)]
pub(super) struct PhoneNumber {
    /// Its id.
    id: Uuid,
    /// In E.164, with `+`.
    number: String,
    /// The account that it belongs to.
    configuration_id: Uuid,
    /// What its owner calls it.
    label: Option<String>,
    /// The country, ISO 3166-1 alpha-2, where the carrier says it.
    country: Option<String>,
    /// The workflow that answers it.
    workflow_id: Option<Uuid>,
}

impl From<PhoneNumberRow> for PhoneNumber {
    fn from(row: PhoneNumberRow) -> Self {
        Self {
            id: row.id,
            number: row.number.as_e164().to_owned(),
            configuration_id: row.configuration,
            label: row.label,
            country: row.country,
            workflow_id: row.workflow.map(Uuid::from),
        }
    }
}

/// What changes; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PhoneNumberChange {
    /// The workflow that answers it from now on, or null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Uuid>)]
    workflow_id: Option<Option<Uuid>>,
}

/// A number as it is now, and what could not be done at the carrier.
#[derive(Serialize, ToSchema)]
pub(super) struct PhoneNumberChanged {
    /// The number.
    number: PhoneNumber,
    /// What is to be known: that the carrier's webhook could not be pointed here, or what else was touched by it.
    warnings: Vec<String>,
}

/// Lists the numbers of all accounts.
#[utoipa::path(get, operation_id = "list_phone_numbers", path = "/telephony/phone-numbers", tag = "phone numbers", responses(
    (status = 200, description = "The numbers, in order", body = Vec<PhoneNumber>),
))]
pub(super) async fn list(State(service): State<Service>, caller: Caller) -> Result<Answer<Vec<PhoneNumber>>, Problem> {
    let numbers = service.store().numbers(caller.organization).await?;
    Ok(Answer(numbers.into_iter().map(PhoneNumber::from).collect()))
}

/// Says which workflow answers a number, and points the carrier's webhook here where the carrier allows it.
#[utoipa::path(patch, operation_id = "change_phone_number", path = "/telephony/phone-numbers/{id}", tag = "phone numbers", params(
    ("id" = Uuid, Path, description = "The number"),
), request_body = PhoneNumberChange, responses(
    (status = 200, description = "As it is now; what the carrier did not do is a warning", body = PhoneNumberChanged),
    (status = 404, description = "There is none", body = Problem),
    (status = 422, description = "There is no such workflow", body = Problem),
))]
pub(super) async fn change(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(change): Json<PhoneNumberChange>,
) -> Result<Answer<PhoneNumberChanged>, Problem> {
    let owner = caller.organization;
    let missing = || Problem::not_found("phone number");
    let number = service.store().number(owner, id).await?.ok_or_else(missing)?;
    let mut warnings = Vec::new();
    if let Some(workflow) = change.workflow_id {
        if !service.store().assign_workflow(owner, id, workflow.map(Into::into)).await? {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Err(Problem::field(status, "workflow_id", "there is no such workflow"));
        }
        warnings = service.point_number_here(&number, workflow.is_some()).await?;
    }
    let number = service.store().number(owner, id).await?.ok_or_else(missing)?;
    Ok(Answer(PhoneNumberChanged { number: number.into(), warnings }))
}
