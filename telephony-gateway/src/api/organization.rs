//! The organization: its limits, and its API tokens.

use axum::{Json as Answer, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    auth::Caller,
    problem::{Json, Path, Problem},
    rfc3339,
};
use crate::{
    service::{MOST_CALLS, Service, check_name},
    store,
};

/// A tenant.
#[derive(Serialize, ToSchema)]
pub(super) struct Organization {
    /// Its id.
    id: Uuid,
    /// Its name.
    name: String,
    /// How many calls it may have at the same time.
    max_concurrent_calls: u32,
    /// How many it has now.
    concurrent_calls: u32,
}

/// What changes; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrganizationChange {
    /// How many calls it may have at the same time, 0 to 10000.
    #[serde(default)]
    max_concurrent_calls: Option<u32>,
}

/// An API token, without what it is.
#[derive(Serialize, ToSchema)]
pub(super) struct ApiToken {
    /// Its id.
    id: Uuid,
    /// What its owner calls it.
    name: String,
    /// When it was made, RFC 3339.
    created_at: String,
    /// When it was used last, RFC 3339, to the minute.
    last_used_at: Option<String>,
    /// When it was revoked, RFC 3339.
    revoked_at: Option<String>,
}

impl From<store::ApiToken> for ApiToken {
    fn from(token: store::ApiToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            created_at: rfc3339(token.created_at),
            last_used_at: token.last_used_at.map(rfc3339),
            revoked_at: token.revoked_at.map(rfc3339),
        }
    }
}

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewApiToken {
    /// What its owner calls it: 1 to 100 characters.
    name: String,
}

/// A fresh token.
#[derive(Serialize, ToSchema)]
pub(super) struct IssuedApiToken {
    /// Its id.
    id: Uuid,
    /// The token. This is the only time that it is shown.
    token: String,
}

async fn organization(service: &Service, caller: Caller) -> Result<Answer<Organization>, Problem> {
    let store = service.store();
    let found = store.organization(caller.organization).await?.ok_or_else(|| Problem::not_found("organization"))?;
    Ok(Answer(Organization {
        id: found.id.into(),
        name: found.name,
        max_concurrent_calls: found.max_concurrent_calls,
        concurrent_calls: store.slots_taken(caller.organization).await?,
    }))
}

/// Reads the organization that asks.
#[utoipa::path(get, operation_id = "read_organization", path = "/organization", tag = "organization", responses(
    (status = 200, description = "The organization", body = Organization),
))]
pub(super) async fn read(State(service): State<Service>, caller: Caller) -> Result<Answer<Organization>, Problem> {
    organization(&service, caller).await
}

/// Changes the organization that asks.
#[utoipa::path(patch, operation_id = "change_organization", path = "/organization", tag = "organization", request_body = OrganizationChange, responses(
    (status = 200, description = "As it is now", body = Organization),
    (status = 422, description = "A field is wrong", body = Problem),
))]
pub(super) async fn change(
    State(service): State<Service>,
    caller: Caller,
    Json(change): Json<OrganizationChange>,
) -> Result<Answer<Organization>, Problem> {
    if let Some(most) = change.max_concurrent_calls {
        if most > MOST_CALLS {
            let reason = format!("must be 0 to {MOST_CALLS}");
            return Err(Problem::field(StatusCode::UNPROCESSABLE_ENTITY, "max_concurrent_calls", reason));
        }
        service.store().set_max_concurrent_calls(caller.organization, most).await?;
    }
    organization(&service, caller).await
}

/// Lists the API tokens, revoked ones too.
#[utoipa::path(get, operation_id = "list_tokens", path = "/tokens", tag = "organization", responses(
    (status = 200, description = "The tokens, oldest first", body = Vec<ApiToken>),
))]
pub(super) async fn tokens(State(service): State<Service>, caller: Caller) -> Result<Answer<Vec<ApiToken>>, Problem> {
    let tokens = service.store().api_tokens(caller.organization).await?;
    Ok(Answer(tokens.into_iter().map(ApiToken::from).collect()))
}

/// Makes an API token. It is shown this once.
#[utoipa::path(post, operation_id = "create_token", path = "/tokens", tag = "organization", request_body = NewApiToken, responses(
    (status = 201, description = "The token", body = IssuedApiToken),
    (status = 422, description = "A field is wrong", body = Problem),
))]
pub(super) async fn create_token(
    State(service): State<Service>,
    caller: Caller,
    Json(new): Json<NewApiToken>,
) -> Result<(StatusCode, Answer<IssuedApiToken>), Problem> {
    check_name(&new.name)?;
    let issued = service.store().create_api_token(caller.organization, &new.name).await?;
    Ok((StatusCode::CREATED, Answer(IssuedApiToken { id: issued.id, token: issued.token.expose().to_owned() })))
}

/// Revokes an API token for good.
#[utoipa::path(delete, operation_id = "revoke_token", path = "/tokens/{id}", tag = "organization", params(
    ("id" = Uuid, Path, description = "The token's id"),
), responses(
    (status = 204, description = "It is good for nothing any more"),
    (status = 404, description = "There is none that is not revoked already", body = Problem),
))]
pub(super) async fn revoke_token(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    if service.store().revoke_api_token(caller.organization, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("token"))
    }
}
