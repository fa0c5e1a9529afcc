//! An organization's accounts with carriers. Secrets come in and do not go out.

use axum::{Json as Answer, extract::State};
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::{ToSchema, openapi::schema::Object};
use uuid::Uuid;

use super::{
    auth::Caller,
    calls::words,
    problem::{Json, Path, Problem},
    rfc3339,
};
use crate::{
    service::{Service, ServiceError},
    store::{Account, AccountHealth, NewNumber},
};

/// An account with a carrier.
#[derive(Serialize, ToSchema)]
pub(super) struct Configuration {
    /// Its id.
    id: Uuid,
    /// What its owner calls it.
    name: String,
    /// The carrier.
    provider: String,
    /// The caller ID of calls that name none, in E.164 or a SIP URI.
    default_from: Option<String>,
    /// Whether outbound calls use it that name no account.
    is_default: bool,
    /// What the carrier's schema describes; secrets are `********`.
    config: Value,
    /// Whether it worked when the carrier was asked last.
    health: Health,
    /// Whether a simulated carrier is behind it. It works only while the sandbox runs.
    is_sandbox: bool,
    /// When it was made, RFC 3339.
    created_at: String,
    /// When it was changed last, RFC 3339.
    updated_at: String,
}

/// Whether an account worked when the carrier was asked last: by a test of it, or by a call that its credentials were refused for.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    #[schema(schema_with = state_schema)]
    state: &'static str,
    /// When that was, RFC 3339; null if it was never asked, or not since the configuration was changed.
    checked_at: Option<String>,
    /// What was wrong, in the carrier's words.
    problem: Option<String>,
}

fn state_schema() -> Object {
    words("Whether it worked; `unknown` while nobody has asked.", ["unknown", "working", "failing"]).build()
}

impl From<Option<&AccountHealth>> for Health {
    fn from(health: Option<&AccountHealth>) -> Self {
        let state = match health {
            None => "unknown",
            Some(AccountHealth { problem: None, .. }) => "working",
            Some(AccountHealth { problem: Some(_), .. }) => "failing",
        };
        Self {
            state,
            checked_at: health.map(|health| rfc3339(health.checked_at)),
            problem: health.and_then(|health| health.problem.clone()),
        }
    }
}

impl Configuration {
    fn of(service: &Service, account: &Account) -> Self {
        Self {
            id: account.id,
            name: account.name.clone(),
            provider: account.provider.clone(),
            default_from: account.default_from.clone(),
            is_default: account.is_default,
            config: service.masked(account),
            health: account.health.as_ref().into(),
            is_sandbox: account.is_sandbox,
            created_at: rfc3339(account.created_at),
            updated_at: rfc3339(account.updated_at),
        }
    }
}

/// An account to store.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewConfiguration {
    /// What its owner calls it: 1 to 100 characters, once in an organization.
    name: String,
    /// The carrier.
    provider: String,
    /// What the carrier's schema describes.
    config: Value,
    /// The caller ID of calls that name none, in E.164 or a SIP URI.
    #[serde(default)]
    default_from: Option<String>,
}

/// What changes; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigurationChange {
    /// Another name.
    #[serde(default)]
    name: Option<String>,
    /// The whole configuration. A secret that is `********` stays as it is.
    #[serde(default)]
    config: Option<Value>,
    /// Another caller ID, or null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    default_from: Option<Option<String>>,
}

/// Tells null from nothing.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(value).map(Some)
}

/// What the carrier says of an account.
#[derive(Serialize, ToSchema)]
pub(super) struct TestResult {
    /// What the carrier calls the account.
    account_id: String,
    /// The account's name at the carrier.
    name: Option<String>,
    /// What is left to call with.
    balance: Option<Amount>,
    /// What the carrier's settings would keep from working.
    notes: Vec<String>,
}

/// An amount of money.
#[derive(Serialize, ToSchema)]
pub(super) struct Amount {
    /// A decimal number.
    amount: String,
    /// ISO 4217.
    currency: String,
}

/// What an import brought.
#[derive(Serialize, ToSchema)]
pub(super) struct Imported {
    /// How many numbers the carrier has for the account.
    found: usize,
    /// How many of them were not known before.
    added: usize,
}

async fn account(service: &Service, caller: Caller, id: Uuid) -> Result<Account, Problem> {
    let found = service.store().account(caller.organization, id).await?;
    found.ok_or_else(|| Problem::not_found("configuration"))
}

/// Lists the accounts.
#[utoipa::path(get, operation_id = "list_configurations", path = "/telephony/configurations", tag = "configurations", responses(
    (status = 200, description = "The accounts, by name", body = Vec<Configuration>),
))]
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
) -> Result<Answer<Vec<Configuration>>, Problem> {
    let accounts = service.store().accounts(caller.organization).await?;
    Ok(Answer(accounts.iter().map(|account| Configuration::of(&service, account)).collect()))
}

/// Stores an account. It is the default, where there is none.
#[utoipa::path(post, operation_id = "create_configuration", path = "/telephony/configurations", tag = "configurations", request_body = NewConfiguration, responses(
    (status = 201, description = "It is stored", body = Configuration),
    (status = 409, description = "The name is taken", body = Problem),
    (status = 422, description = "A field is wrong: each is named with its reason", body = Problem),
))]
pub(super) async fn create(
    State(service): State<Service>,
    caller: Caller,
    Json(new): Json<NewConfiguration>,
) -> Result<(StatusCode, Answer<Configuration>), Problem> {
    let owner = caller.organization;
    let account = service.add_account(owner, &new.name, &new.provider, new.config, new.default_from).await?;
    Ok((StatusCode::CREATED, Answer(Configuration::of(&service, &account))))
}

/// Reads an account.
#[utoipa::path(get, operation_id = "read_configuration", path = "/telephony/configurations/{id}", tag = "configurations", params(
    ("id" = Uuid, Path, description = "The account"),
), responses(
    (status = 200, description = "The account, its secrets masked", body = Configuration),
    (status = 404, description = "There is none", body = Problem),
))]
pub(super) async fn read(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Answer<Configuration>, Problem> {
    let account = account(&service, caller, id).await?;
    Ok(Answer(Configuration::of(&service, &account)))
}

/// Changes an account.
#[utoipa::path(patch, operation_id = "change_configuration", path = "/telephony/configurations/{id}", tag = "configurations", params(
    ("id" = Uuid, Path, description = "The account"),
), request_body = ConfigurationChange, responses(
    (status = 200, description = "As it is now", body = Configuration),
    (status = 404, description = "There is none", body = Problem),
    (status = 409, description = "The name is taken", body = Problem),
    (status = 422, description = "A field is wrong: each is named with its reason", body = Problem),
))]
pub(super) async fn change(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(change): Json<ConfigurationChange>,
) -> Result<Answer<Configuration>, Problem> {
    let owner = caller.organization;
    let account = service.change_account(owner, id, change.name, change.config, change.default_from).await?;
    Ok(Answer(Configuration::of(&service, &account)))
}

/// Deletes an account and its numbers. Its calls stay listed.
#[utoipa::path(delete, operation_id = "delete_configuration", path = "/telephony/configurations/{id}", tag = "configurations", params(
    ("id" = Uuid, Path, description = "The account"),
), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "There is none", body = Problem),
))]
pub(super) async fn delete(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    if service.store().delete_account(caller.organization, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("configuration"))
    }
}

/// Makes an account the default for outbound calls.
#[utoipa::path(post, operation_id = "make_configuration_default", path = "/telephony/configurations/{id}/default", tag = "configurations", params(
    ("id" = Uuid, Path, description = "The account"),
), responses(
    (status = 200, description = "It is the default", body = Configuration),
    (status = 404, description = "There is none", body = Problem),
))]
pub(super) async fn make_default(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Answer<Configuration>, Problem> {
    if !service.store().set_default_account(caller.organization, id).await? {
        return Err(Problem::not_found("configuration"));
    }
    let account = account(&service, caller, id).await?;
    Ok(Answer(Configuration::of(&service, &account)))
}

/// Asks the carrier whether the account works. What it says is remembered as the account's `health`.
#[utoipa::path(post, operation_id = "test_configuration", path = "/telephony/configurations/{id}/test", tag = "configurations", params(
    ("id" = Uuid, Path, description = "The account"),
), responses(
    (status = 200, description = "It works: what the carrier says of it", body = TestResult),
    (status = 404, description = "There is none", body = Problem),
    (status = 409, description = "A simulated carrier is behind it, and does not run", body = Problem),
    (status = 502, description = "It does not: what the carrier says", body = Problem),
))]
pub(super) async fn test(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Answer<TestResult>, Problem> {
    let account = account(&service, caller, id).await?;
    let info = service.check_account(&account).await?;
    let balance = info
        .balance
        .map(|money| Amount { amount: money.amount.to_string(), currency: money.currency.code().to_owned() });
    Ok(Answer(TestResult { account_id: info.id, name: info.name, balance, notes: info.notes }))
}

/// Asks the carrier for the account's numbers, and stores those that are for calls.
#[utoipa::path(post, operation_id = "import_numbers", path = "/telephony/configurations/{id}/import-numbers", tag = "configurations", params(
    ("id" = Uuid, Path, description = "The account"),
), responses(
    (status = 200, description = "They are stored", body = Imported),
    (status = 404, description = "There is none", body = Problem),
    (status = 502, description = "The carrier did not tell", body = Problem),
))]
pub(super) async fn import_numbers(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Answer<Imported>, Problem> {
    let account = account(&service, caller, id).await?;
    let provider = service.provider(&account)?;
    let owned = provider.get_available_phone_numbers().await.map_err(ServiceError::from)?;
    let numbers: Vec<NewNumber> = owned.into_iter().filter(|owned| owned.voice).map(NewNumber::from).collect();
    let added = service.store().import_numbers(caller.organization, id, &numbers).await?;
    Ok(Answer(Imported { found: numbers.len(), added }))
}
