//! `telephony organizations`: the tenants of a gateway, whose accounts, calls and limits are apart.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use telephony_core::Url;
use uuid::Uuid;

use super::{
    CliError,
    accounts::usage,
    render,
    storage::{FIRST_LIMIT, LINK_IS_GOOD, StorageArguments, existing_organization},
    table,
};
use crate::{
    service::{MOST_CALLS, check_name},
    store::{Organization, Store},
};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  telephony organizations add acme --limit 50\n  telephony tokens create ci --organization acme\n  telephony \
                  organizations sign-in acme --public-url https://voice.example.com\n  telephony organizations set-limit acme 0\n\n\
                  The commands for accounts, numbers, workflows and tokens take --organization NAME; without it, they are about the first."
)]
pub(super) struct OrganizationsArguments {
    #[command(subcommand)]
    command: OrganizationsCommand,
    #[command(flatten)]
    storage: StorageArguments,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum OrganizationsCommand {
    /// List the organizations, oldest first: accounts, calls at the moment, and how many calls each may have
    List,
    /// Make an organization
    Add {
        /// What to call it
        name: String,
        /// How many calls it may have at the same time
        #[arg(long, value_name = "CALLS", default_value_t = FIRST_LIMIT, value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST_CALLS)))]
        limit: u32,
    },
    /// Show an organization
    Show {
        /// Its name
        name: String,
    },
    /// Call an organization something else
    Rename {
        /// Its name
        name: String,
        /// The new one
        new_name: String,
    },
    /// Change how many calls an organization may have at the same time. Calls that are up go on; with 0, it gets no more
    SetLimit {
        /// Its name
        name: String,
        /// How many
        #[arg(value_name = "CALLS", value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST_CALLS)))]
        limit: u32,
    },
    /// Print a link that signs a browser in to an organization, once, within a day
    SignIn {
        /// Its name
        name: String,
        /// Where people reach the gateway
        #[arg(long, value_name = "URL", env = "TELEPHONY_PUBLIC_URL", default_value = "http://127.0.0.1:8080")]
        public_url: Url,
    },
}

/// An organization, and what it holds.
struct Row {
    organization: Organization,
    accounts: u32,
    calls: u32,
}

impl Row {
    async fn of(store: &Store, organization: Organization) -> Result<Self, CliError> {
        let (accounts, calls) =
            (store.count_accounts(organization.id).await?, store.slots_taken(organization.id).await?);
        Ok(Self { organization, accounts, calls })
    }

    fn as_json(&self) -> Value {
        let Organization { id, name, max_concurrent_calls, created_at, .. } = &self.organization;
        json!({
            "id": Uuid::from(*id), "name": name, "accounts": self.accounts, "concurrent_calls": self.calls,
            "max_concurrent_calls": max_concurrent_calls, "created_at": created_at.to_string(),
        })
    }
}

fn as_text<'a>(rows: impl IntoIterator<Item = &'a Row>) -> String {
    let mut text = table(["NAME", "ACCOUNTS", "CALLS NOW", "CALLS AT MOST", "MADE"]);
    for Row { organization, accounts, calls } in rows {
        text.add_row([
            organization.name.clone(),
            accounts.to_string(),
            calls.to_string(),
            organization.max_concurrent_calls.to_string(),
            organization.created_at.to_string(),
        ]);
    }
    render(&text)
}

pub(super) async fn run(arguments: OrganizationsArguments) -> Result<u8, CliError> {
    let store = arguments.storage.open().await?;
    let (value, text) = match arguments.command {
        OrganizationsCommand::List => {
            let mut rows = Vec::new();
            for organization in store.organizations().await? {
                rows.push(Row::of(&store, organization).await?);
            }
            let text = match rows.as_slice() {
                [] => "There is no organization yet: telephony organizations add NAME\n".to_owned(),
                rows => as_text(rows),
            };
            (rows.iter().map(Row::as_json).collect(), text)
        }
        OrganizationsCommand::Add { name, limit } => {
            check_name(&name).map_err(usage)?;
            let added = Row::of(&store, store.create_organization(&name, limit).await?).await?;
            (
                added.as_json(),
                format!("{name:?} is there; a token for it: telephony tokens create NAME --organization {name:?}\n"),
            )
        }
        OrganizationsCommand::Show { name } => {
            let shown = Row::of(&store, existing_organization(&store, &name).await?).await?;
            (shown.as_json(), as_text([&shown]))
        }
        OrganizationsCommand::Rename { name, new_name } => {
            check_name(&new_name).map_err(usage)?;
            let organization = existing_organization(&store, &name).await?;
            store.rename_organization(organization.id, &new_name).await?;
            let renamed = Row::of(&store, Organization { name: new_name.clone(), ..organization }).await?;
            (renamed.as_json(), format!("{name:?} is called {new_name:?} now.\n"))
        }
        OrganizationsCommand::SetLimit { name, limit } => {
            let organization = existing_organization(&store, &name).await?;
            store.set_max_concurrent_calls(organization.id, limit).await?;
            let changed = Row::of(&store, Organization { max_concurrent_calls: limit, ..organization }).await?;
            (changed.as_json(), format!("{name:?} may have {limit} calls at the same time now.\n"))
        }
        OrganizationsCommand::SignIn { name, public_url } => {
            let organization = existing_organization(&store, &name).await?;
            let token = store.create_sign_in_token(organization.id, LINK_IS_GOOD).await?;
            let link = format!("{}/sign-in/{}", public_url.as_str().trim_end_matches('/'), token.expose());
            (json!({"url": link}), link + "\n")
        }
    };
    store.close().await;
    let text = if arguments.json { format!("{value:#}\n") } else { text };
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()?;
    Ok(0)
}
