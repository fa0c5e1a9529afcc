//! `telephony config`, `telephony numbers` and `telephony workflows`: what the API does, from a terminal and without a gateway that runs.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use telephony_core::{OrganizationId, ProviderContext, Url, config::PROVIDER_FIELD};
use uuid::Uuid;

use super::{
    CliError,
    call::read_account,
    registry, render,
    storage::{StorageArguments, organization},
    table,
};
use crate::{
    agent::AgentHosts,
    service::{Service, ServiceError, ServiceOptions, agent::AgentSpec},
    store::{Account, NewNumber, NewWorkflow, PhoneNumberRow, Workflow},
};

/// What every command here takes.
#[derive(Clone, Debug, Args)]
pub(super) struct Where {
    #[command(flatten)]
    storage: StorageArguments,
    /// The organization [default: the first]
    #[arg(long, global = true, value_name = "NAME")]
    organization: Option<String>,
    /// Where carriers reach the gateway: numbers are pointed there
    #[arg(long, global = true, value_name = "URL", env = "TELEPHONY_PUBLIC_URL")]
    public_url: Option<Url>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

/// The service behind a command, and for whom it is asked.
pub(super) struct Asked {
    pub(super) service: Service,
    pub(super) owner: OrganizationId,
    pub(super) json: bool,
}

impl Where {
    pub(super) async fn open(self) -> Result<Asked, CliError> {
        let store = self.storage.open().await?;
        let owner = organization(&store, self.organization.as_deref()).await?.0.id;
        let nowhere = || "http://127.0.0.1:8080".parse().unwrap_or_else(|_| unreachable!("it is a URL"));
        let public_url = self.public_url.unwrap_or_else(nowhere);
        let options = ServiceOptions {
            sounds: Some(self.storage.data.join("sounds")),
            // The gateway that calls the agent says where agents may be.
            agent_hosts: AgentHosts::ANYWHERE,
            ..ServiceOptions::default()
        };
        let service = Service::new(store, registry()?, ProviderContext::network()?, public_url, options);
        Ok(Asked { service, owner, json: self.json })
    }
}

impl Asked {
    /// An account by its name.
    async fn account(&self, name: &str) -> Result<Account, CliError> {
        let accounts = self.service.store().accounts(self.owner).await?;
        let known: Vec<String> = accounts.iter().map(|account| account.name.clone()).collect();
        accounts.into_iter().find(|account| account.name == name).ok_or_else(|| missing("account", name, &known))
    }

    /// A workflow by its name.
    pub(super) async fn workflow(&self, name: &str) -> Result<Workflow, CliError> {
        let workflows = self.service.store().workflows(self.owner).await?;
        let known: Vec<String> = workflows.iter().map(|workflow| workflow.name.clone()).collect();
        workflows.into_iter().find(|workflow| workflow.name == name).ok_or_else(|| missing("workflow", name, &known))
    }

    /// Prints a value as JSON, or else the text for people, and lets the database go.
    pub(super) async fn say(self, value: Value, text: impl FnOnce() -> String) -> Result<u8, CliError> {
        let text = if self.json { format!("{value:#}\n") } else { text() };
        self.service.store().close().await;
        let mut output = io::stdout().lock();
        output.write_all(text.as_bytes())?;
        output.flush()?;
        Ok(0)
    }
}

pub(super) fn missing(what: &str, name: &str, known: &[String]) -> CliError {
    CliError::Usage(match known {
        [] => format!("there is no {what} {name:?}; there is none at all yet"),
        known => format!("there is no {what} {name:?}; there are {}", known.join(", ")),
    })
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  telephony config add main --file account.toml\n  telephony config add main --provider PROVIDER \
                        --set account_id=… --set api_key=…\n  telephony config test main"
)]
pub(super) struct ConfigArguments {
    #[command(subcommand)]
    command: ConfigCommand,
    #[command(flatten)]
    at: Where,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// List the accounts
    List,
    /// Store an account; `telephony providers NAME` says what goes into it
    Add {
        /// What to call it
        name: String,
        /// A JSON or TOML file with `provider` and the provider's fields
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The provider, if the file does not say it
        #[arg(long, value_name = "PROVIDER")]
        provider: Option<String>,
        /// A field of the configuration, a text; FIELD:=JSON where it is none
        #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = field)]
        fields: Vec<(String, Value)>,
        /// The caller ID of calls that name none
        #[arg(long, value_name = "NUMBER")]
        from: Option<String>,
    },
    /// Show an account, its secrets masked
    Show {
        /// Its name
        name: String,
    },
    /// Delete an account and its numbers; its calls stay listed
    Remove {
        /// Its name
        name: String,
    },
    /// Have outbound calls use an account that name none
    SetDefault {
        /// Its name
        name: String,
    },
    /// Ask the carrier whether an account works
    Test {
        /// Its name
        name: String,
    },
}

/// `field=value` is a text, digits and all: most identifiers are; `field:=value` is JSON.
fn field(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("must be FIELD=VALUE, or FIELD:=JSON")?;
    match name.strip_suffix(':') {
        Some(name) => match serde_json::from_str(value) {
            Ok(value) => Ok((name.to_owned(), value)),
            // The value may be a secret: it is not repeated.
            Err(error) => Err(format!("{name}: is no JSON (column {})", error.column())),
        },
        None => Ok((name.to_owned(), value.into())),
    }
}

fn shown(service: &Service, account: &Account) -> Value {
    json!({
        "id": account.id, "name": account.name, "provider": account.provider, "is_default": account.is_default,
        "default_from": account.default_from, "config": service.masked(account),
    })
}

pub(super) async fn config(arguments: ConfigArguments) -> Result<u8, CliError> {
    let asked = arguments.at.open().await?;
    let (service, owner) = (asked.service.clone(), asked.owner);
    match arguments.command {
        ConfigCommand::List => {
            let accounts = service.store().accounts(owner).await?;
            let value = accounts.iter().map(|account| shown(&service, account)).collect();
            asked
                .say(value, || {
                    if accounts.is_empty() {
                        return "There is no account yet: telephony config add NAME --file account.toml\n".to_owned();
                    }
                    let mut rows = table(["NAME", "PROVIDER", "DEFAULT", "CALLER ID"]);
                    for account in &accounts {
                        let default = if account.is_default { "yes" } else { "" };
                        let from = account.default_from.clone().unwrap_or_default();
                        rows.add_row([account.name.clone(), account.provider.clone(), default.to_owned(), from]);
                    }
                    render(&rows)
                })
                .await
        }
        ConfigCommand::Add { name, file, provider, fields, from } => {
            let mut config = match &file {
                Some(file) => read_account(file)?,
                None => json!({}),
            };
            let provider = provider.or_else(|| config[PROVIDER_FIELD].as_str().map(str::to_owned));
            let provider = provider.ok_or_else(|| CliError::Usage("--provider is needed, or --file".to_owned()))?;
            for (field, value) in fields {
                config[field] = value;
            }
            let account = service.add_account(owner, &name, &provider, config, from).await.map_err(usage)?;
            let value = shown(&service, &account);
            asked.say(value, || format!("{name:?} is stored; telephony config test {name:?} asks the carrier.\n")).await
        }
        ConfigCommand::Show { name } => {
            let account = asked.account(&name).await?;
            let value = shown(&service, &account);
            let text = format!("{value:#}\n");
            asked.say(value, || text).await
        }
        ConfigCommand::Remove { name } => {
            let account = asked.account(&name).await?;
            service.store().delete_account(owner, account.id).await?;
            asked.say(json!({"removed": account.id}), || format!("{name:?} is gone.\n")).await
        }
        ConfigCommand::SetDefault { name } => {
            let account = asked.account(&name).await?;
            service.store().set_default_account(owner, account.id).await?;
            asked.say(json!({"default": account.id}), || format!("{name:?} is the default.\n")).await
        }
        ConfigCommand::Test { name } => {
            let account = asked.account(&name).await?;
            let info = service.check_account(&account).await.map_err(usage)?;
            let balance = info.balance.as_ref().map(ToString::to_string);
            let value = json!({"account_id": info.id, "name": info.name, "balance": balance, "notes": info.notes});
            asked
                .say(value, || {
                    let mut text = format!("It works: account {}", info.id);
                    text += &info.name.map_or_else(String::new, |name| format!(" ({name})"));
                    text += &balance.map_or_else(String::new, |balance| format!(", {balance} left"));
                    text += "\n";
                    info.notes.iter().fold(text, |text, note| text + "  " + note + "\n")
                })
                .await
        }
    }
}

/// What the user can mend is a mistake of use.
pub(super) fn usage(error: ServiceError) -> CliError {
    match error {
        ServiceError::Store(error) => error.into(),
        other => CliError::Usage(telephony_core::error_chain(&other)),
    }
}

#[derive(Debug, Args)]
pub(super) struct NumbersArguments {
    #[command(subcommand)]
    command: NumbersCommand,
    #[command(flatten)]
    at: Where,
}

#[derive(Debug, Subcommand)]
enum NumbersCommand {
    /// List the numbers, and what answers each
    List,
    /// Ask the carrier for the numbers of an account, and store them
    Import {
        /// The account's name
        account: String,
    },
    /// Have a workflow answer a number, and point the carrier's webhook at the gateway (--public-url)
    Assign {
        /// The number, in E.164
        number: String,
        /// The workflow's name; nobody answers without one
        workflow: Option<String>,
    },
}

pub(super) async fn numbers(arguments: NumbersArguments) -> Result<u8, CliError> {
    let has_public_url = arguments.at.public_url.is_some();
    let asked = arguments.at.open().await?;
    let (service, owner) = (asked.service.clone(), asked.owner);
    match arguments.command {
        NumbersCommand::List => {
            let numbers = service.store().numbers(owner).await?;
            let (accounts, workflows) =
                (service.store().accounts(owner).await?, service.store().workflows(owner).await?);
            let account = |row: &PhoneNumberRow| {
                accounts.iter().find(|account| account.id == row.configuration).map_or("", |account| &account.name)
            };
            let workflow = |row: &PhoneNumberRow| {
                let found = workflows.iter().find(|workflow| Some(workflow.id) == row.workflow);
                found.map_or("", |workflow| &workflow.name)
            };
            let value = numbers
                .iter()
                .map(|row| json!({"id": row.id, "number": row.number.as_e164(), "account": account(row), "workflow": workflow(row)}))
                .collect();
            let mut rows = table(["NUMBER", "ACCOUNT", "ANSWERED BY"]);
            for row in &numbers {
                rows.add_row([row.number.as_e164(), account(row), workflow(row)]);
            }
            let text = match numbers.is_empty() {
                true => "There is no number yet: telephony numbers import ACCOUNT\n".to_owned(),
                false => render(&rows),
            };
            asked.say(value, || text).await
        }
        NumbersCommand::Import { account } => {
            let account = asked.account(&account).await?;
            let provider = service.provider(&account).map_err(usage)?;
            let owned = provider.get_available_phone_numbers().await.map_err(ServiceError::from).map_err(usage)?;
            let numbers: Vec<NewNumber> = owned.into_iter().filter(|owned| owned.voice).map(NewNumber::from).collect();
            let added = service.store().import_numbers(owner, account.id, &numbers).await?;
            let found = numbers.len();
            asked
                .say(json!({"found": found, "added": added}), || format!("{found} numbers, {added} of them new.\n"))
                .await
        }
        NumbersCommand::Assign { number, workflow } => {
            let numbers = service.store().numbers(owner).await?;
            let known: Vec<String> = numbers.iter().map(|row| row.number.as_e164().to_owned()).collect();
            let row = numbers.into_iter().find(|row| row.number.as_e164() == number);
            let row = row.ok_or_else(|| missing("number", &number, &known))?;
            let workflow = match &workflow {
                Some(name) => Some(asked.workflow(name).await?.id),
                None => None,
            };
            service.store().assign_workflow(owner, row.id, workflow).await?;
            let warnings = match has_public_url {
                true => service.point_number_here(&row, workflow.is_some()).await.map_err(usage)?,
                false => vec![
                    "the carrier's webhook is as it was: name the gateway's --public-url to have it set".to_owned(),
                ],
            };
            let value = json!({"number": number, "workflow_id": workflow.map(Uuid::from), "warnings": warnings});
            asked
                .say(value, || warnings.iter().fold("It is done.\n".to_owned(), |text, line| text + "  " + line + "\n"))
                .await
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  telephony workflows add demo --agent '{\"type\": \"dialogue\"}'\n  telephony workflows add support \
                        --record --agent '{\"type\": \"websocket\", \"url\": \"ws://127.0.0.1:9000\"}'"
)]
pub(super) struct WorkflowsArguments {
    #[command(subcommand)]
    command: WorkflowsCommand,
    #[command(flatten)]
    at: Where,
}

#[derive(Debug, Subcommand)]
enum WorkflowsCommand {
    /// List the workflows
    List,
    /// Store a workflow
    Add {
        /// What to call it
        name: String,
        /// Who talks, as JSON: see the API's description of agents
        #[arg(long, value_name = "JSON", value_parser = agent)]
        agent: AgentSpec,
        /// Record both sides
        #[arg(long)]
        record: bool,
    },
    /// Delete a workflow; its calls stay listed
    Remove {
        /// Its name
        name: String,
    },
}

fn agent(text: &str) -> Result<AgentSpec, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

pub(super) async fn workflows(arguments: WorkflowsArguments) -> Result<u8, CliError> {
    let asked = arguments.at.open().await?;
    let (service, owner) = (asked.service.clone(), asked.owner);
    match arguments.command {
        WorkflowsCommand::List => {
            let workflows = service.store().workflows(owner).await?;
            let value = workflows
                .iter()
                .map(|workflow| json!({"id": Uuid::from(workflow.id), "name": workflow.name, "agent": workflow.agent, "record": workflow.record}))
                .collect();
            asked
                .say(value, || {
                    if workflows.is_empty() {
                        return "There is no workflow yet: telephony workflows add NAME --agent '{\"type\": \"echo\"}'\n".to_owned();
                    }
                    let mut rows = table(["NAME", "AGENT", "RECORDED"]);
                    for workflow in &workflows {
                        let recorded = if workflow.record { "yes" } else { "" };
                        rows.add_row([workflow.name.clone(), workflow.agent.to_string(), recorded.to_owned()]);
                    }
                    render(&rows)
                })
                .await
        }
        WorkflowsCommand::Add { name, agent, record } => {
            crate::service::check_name(&name).map_err(usage)?;
            agent.check(service.options()).map_err(usage)?;
            let new = NewWorkflow { name, agent: agent.to_json(), record };
            let workflow =
                service.store().create_workflow(owner, &new).await.map_err(ServiceError::from).map_err(usage)?;
            asked.say(json!({"id": Uuid::from(workflow.id)}), || format!("{:?} is stored.\n", new.name)).await
        }
        WorkflowsCommand::Remove { name } => {
            let workflow = asked.workflow(&name).await?;
            service.store().delete_workflow(owner, workflow.id).await?;
            asked.say(json!({"removed": Uuid::from(workflow.id)}), || format!("{name:?} is gone.\n")).await
        }
    }
}
