//! An organization's accounts with carriers.

use askama::Template;
use axum::{
    extract::{Path, Query},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use telephony_core::{Capability, ProviderDescriptor, Support};
use uuid::Uuid;

use super::{
    checklist::{Checklist, SetUp},
    form::{self, Field, Kind, Run},
    shell::{PageError, Part, Shell, Visitor, page},
    show,
};
use crate::store::{Account, AccountHealth, PhoneNumberRow, Workflow};

/// An account in the list.
struct Row {
    id: Uuid,
    name: String,
    carrier: String,
    numbers: usize,
    answered: usize,
    caller_id: Option<String>,
    is_default: bool,
    health: Option<AccountHealth>,
}

#[derive(Template)]
#[template(path = "configurations.html")]
struct List {
    shell: Shell,
    rows: Vec<Row>,
    checklist: Checklist,
}

pub(super) async fn list(visitor: Visitor) -> Result<Response, PageError> {
    let set_up = SetUp::of(&visitor).await?;
    let row = |account: &Account| Row {
        id: account.id,
        name: account.name.clone(),
        carrier: visitor.carrier(&account.provider),
        numbers: set_up.numbers_of(account.id).count(),
        answered: set_up.numbers_of(account.id).filter(|number| number.workflow.is_some()).count(),
        caller_id: set_up.caller_id(account),
        is_default: account.is_default,
        health: account.health.clone(),
    };
    let rows = set_up.accounts.iter().map(row).collect();
    let (shell, checklist) = (visitor.shell(Part::Accounts), set_up.checklist(&visitor));
    Ok(page(StatusCode::OK, &List { shell, rows, checklist }))
}

/// A carrier to choose.
struct Choice {
    name: &'static str,
    display_name: &'static str,
    audio: String,
    can: usize,
    of: usize,
}

impl Choice {
    fn of(descriptor: &'static ProviderDescriptor) -> Self {
        let formats: Vec<String> = descriptor.media().formats.iter().map(ToString::to_string).collect();
        let capabilities = descriptor.capabilities();
        let is_there = |(_, support): &(Capability, Support)| matches!(support, Support::Native | Support::Emulated);
        Self {
            name: descriptor.name().as_str(),
            display_name: descriptor.display_name(),
            audio: formats.join(", "),
            can: capabilities.iter().filter(is_there).count(),
            of: capabilities.iter().count(),
        }
    }
}

#[derive(Template)]
#[template(path = "configuration-choose.html")]
struct Choose {
    shell: Shell,
    choices: Vec<Choice>,
}

/// What an account's form shows.
#[derive(Template)]
#[template(path = "configuration.html")]
struct One {
    shell: Shell,
    provider: &'static str,
    display_name: &'static str,
    docs_url: &'static str,
    fields: Vec<Field>,
    /// What is stored; a new account has nothing yet.
    account: Option<Account>,
    name: String,
    default_from: String,
    numbers: Vec<PhoneNumberRow>,
    workflows: Vec<Workflow>,
    inbound_url: String,
    can_point_numbers: bool,
}

impl One {
    fn is_answered_by(&self, number: &PhoneNumberRow, workflow: &Workflow) -> bool {
        number.workflow == Some(workflow.id)
    }
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    provider: Option<String>,
}

pub(super) async fn new(visitor: Visitor, Query(wanted): Query<Wanted>) -> Result<Response, PageError> {
    let shell = visitor.shell(Part::Accounts);
    let Some(provider) = wanted.provider else {
        let choices = visitor.service.registry().iter().map(Choice::of).collect();
        return Ok(page(StatusCode::OK, &Choose { shell, choices }));
    };
    let descriptor = visitor.service.registry().get(&provider).map_err(|_| PageError::NotFound("carrier"))?;
    let accounts = visitor.service.store().accounts(visitor.owner()).await?;
    let taken = |name: &str| accounts.iter().any(|account| account.name == name);
    let plain = descriptor.display_name().to_owned();
    let numbered = (2..).map(|count| format!("{plain} {count}"));
    let name = std::iter::once(plain.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or_default();
    let mut template = form_of(&visitor, shell, descriptor, &Value::Null);
    template.name = name;
    Ok(page(StatusCode::OK, &template))
}

fn form_of(visitor: &Visitor, shell: Shell, descriptor: &'static ProviderDescriptor, config: &Value) -> One {
    One {
        shell,
        provider: descriptor.name().as_str(),
        display_name: descriptor.display_name(),
        docs_url: descriptor.docs_url(),
        fields: form::fields(&descriptor.config_schema(), config),
        account: None,
        name: String::new(),
        default_from: String::new(),
        numbers: Vec::new(),
        workflows: Vec::new(),
        inbound_url: visitor.service.inbound_url().to_string(),
        can_point_numbers: descriptor.capabilities().has(Capability::ConfigureInbound),
    }
}

pub(super) async fn one(visitor: Visitor, Path(id): Path<String>) -> Result<Response, PageError> {
    let missing = || PageError::NotFound("account");
    let id: Uuid = id.parse().map_err(|_| missing())?;
    let store = visitor.service.store();
    let account = store.account(visitor.owner(), id).await?.ok_or_else(missing)?;
    let shell = visitor.shell(Part::Accounts);
    let Ok(descriptor) = visitor.service.registry().get(&account.provider) else {
        return Ok(page(StatusCode::OK, &Unlinked { shell, account }));
    };
    let mut numbers = store.numbers(visitor.owner()).await?;
    numbers.retain(|number| number.configuration == id);
    let mut template = form_of(&visitor, shell, descriptor, &visitor.service.masked(&account));
    template.name.clone_from(&account.name);
    template.default_from = account.default_from.clone().unwrap_or_default();
    template.workflows = store.workflows(visitor.owner()).await?;
    template.numbers = numbers;
    template.account = Some(account);
    Ok(page(StatusCode::OK, &template))
}

#[derive(Template)]
#[template(path = "configuration-unlinked.html")]
struct Unlinked {
    shell: Shell,
    account: Account,
}
