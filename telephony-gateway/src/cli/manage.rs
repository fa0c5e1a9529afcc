//! `telephony tokens` and `telephony keys`: what an operator does beside the API.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    CliError, render,
    storage::{StorageArguments, organization},
    table,
};
use crate::store::Store;

#[derive(Debug, Args)]
pub(super) struct TokensArguments {
    #[command(subcommand)]
    command: TokensCommand,
    #[command(flatten)]
    storage: StorageArguments,
    /// The organization [default: the first]
    #[arg(long, global = true, value_name = "NAME")]
    organization: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum TokensCommand {
    /// Make a token for the API. It is printed this once
    Create {
        /// What to call it
        name: String,
    },
    /// List the tokens, without what they are
    List,
    /// Revoke a token for good
    Revoke {
        /// Its id, from the list
        id: uuid::Uuid,
    },
}

pub(super) async fn tokens(arguments: TokensArguments) -> Result<u8, CliError> {
    let store = arguments.storage.open().await?;
    let owner = organization(&store, arguments.organization.as_deref()).await?.0.id;
    let text = match arguments.command {
        TokensCommand::Create { name } => {
            crate::service::check_name(&name).map_err(|error| CliError::Usage(error.to_string()))?;
            let issued = store.create_api_token(owner, &name).await?;
            match arguments.json {
                true => format!("{:#}\n", json!({"id": issued.id, "token": issued.token.expose()})),
                false => format!("{}\n", issued.token.expose()),
            }
        }
        TokensCommand::List => {
            let tokens = store.api_tokens(owner).await?;
            let time = |time: telephony_core::Timestamp| time.to_string();
            if arguments.json {
                let list: Vec<_> = tokens
                    .iter()
                    .map(|token| {
                        json!({
                            "id": token.id, "name": token.name, "created_at": time(token.created_at),
                            "last_used_at": token.last_used_at.map(time), "revoked_at": token.revoked_at.map(time),
                        })
                    })
                    .collect();
                format!("{:#}\n", json!(list))
            } else {
                let mut rows = table(["ID", "NAME", "MADE", "LAST USED", "REVOKED"]);
                for token in tokens {
                    rows.add_row([
                        token.id.to_string(),
                        token.name,
                        time(token.created_at),
                        token.last_used_at.map_or_else(|| "never".to_owned(), time),
                        token.revoked_at.map_or_else(String::new, time),
                    ]);
                }
                render(&rows) + "\n"
            }
        }
        TokensCommand::Revoke { id } => {
            if !store.revoke_api_token(owner, id).await? {
                return Err(CliError::Usage("there is no such token that is not revoked already".to_owned()));
            }
            "It is revoked.\n".to_owned()
        }
    };
    store.close().await;
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()?;
    Ok(0)
}

#[derive(Debug, Args)]
pub(super) struct KeysArguments {
    #[command(subcommand)]
    command: KeysCommand,
    #[command(flatten)]
    storage: StorageArguments,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Encrypt every secret with another key. With a key file, a fresh key is made, and the old ones go; with TELEPHONY_MASTER_KEY, the
    /// first of its keys is used, and the others can go afterwards
    Rotate,
}

pub(super) async fn keys(arguments: KeysArguments) -> Result<u8, CliError> {
    let KeysCommand::Rotate = arguments.command;
    let vault = |error: crate::store::VaultError| CliError::Usage(telephony_core::error_chain(&error));
    let file = arguments.storage.key_file();
    let mut keys = arguments.storage.keys()?;
    if let Some(file) = &file {
        keys = keys.with_fresh_key(file).map_err(vault)?;
    }
    let store = Store::open(&arguments.storage.url()?, keys.clone()).await?;
    let changed = store.reencrypt().await?;
    store.close().await;
    if let Some(file) = &file {
        keys.forget_old_keys(file).map_err(vault)?;
    }
    writeln!(io::stdout(), "{changed} secrets are encrypted with the key {} now.", keys.current_id())?;
    if file.is_none() {
        writeln!(io::stdout(), "The other keys of TELEPHONY_MASTER_KEY are not needed any more.")?;
    }
    Ok(0)
}
