//! The command line.

mod accounts;
mod call;
mod inbound;
mod manage;
mod organizations;
mod providers;
mod serve;
mod signals;
mod simulate;
mod storage;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use telephony_core::error_chain;
use telephony_registry::{Registry, RegistryError};
use tracing_subscriber::{EnvFilter, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};

/// Phone calls for voice agents, with the carrier as a detail.
#[derive(Debug, Parser)]
#[command(name = "telephony", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Say more on standard error: once for what happens, twice for every request. RUST_LOG says it more finely
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// How what is said on standard error is written
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", env = "TELEPHONY_LOG_FORMAT")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line, with the spans that it happened in
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway: webhooks, media streams, and an HTTP API for accounts, workflows and calls
    Serve(serve::ServeArguments),
    /// Place one call and follow it to its end: at a simulated carrier with no account, or at a real one
    Call(Box<call::CallArguments>),
    /// List the carriers that are linked into this program, or say all about one
    Providers(providers::ProvidersArguments),
    /// Run a simulated carrier by itself, for programs of your own to call through, or have it call your gateway
    Simulate(simulate::SimulateArguments),
    /// Carrier accounts: add, list, show, test, remove
    Config(accounts::ConfigArguments),
    /// Phone numbers: import them from a carrier, and say what answers them
    Numbers(accounts::NumbersArguments),
    /// Workflows: what calls are for
    Workflows(accounts::WorkflowsArguments),
    /// Organizations, whose accounts and calls are apart: add, list, limit
    Organizations(organizations::OrganizationsArguments),
    /// Make, list and revoke tokens for the HTTP API
    Tokens(manage::TokensArguments),
    /// Change the key that secrets are encrypted with
    Keys(manage::KeysArguments),
}

/// Why the program did not do what it was told.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// What was asked for cannot be done as it stands: arguments, files, configuration.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    PlaceCall(#[from] crate::PlaceCallError),
    #[error(transparent)]
    Gateway(#[from] crate::service::GatewayError),
    #[error(transparent)]
    Sandbox(#[from] telephony_sandbox::SandboxError),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error(transparent)]
    SandboxSetup(#[from] crate::service::SandboxSetupError),
    #[error("nothing can be counted")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[error("requests cannot be sent")]
    Transport(#[from] telephony_core::http::TransportError),
    #[error("{path} cannot be written")]
    Write {
        path: String,
        #[source]
        source: telephony_core::BoxError,
    },
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the program `telephony` with the arguments of the process, and says how it went.
///
/// | status | meaning |
/// | --- | --- |
/// | 0 | done; of a call: it was answered, and is over |
/// | 1 | something else went wrong |
/// | 2 | the arguments or the configuration are wrong; nothing was sent |
/// | 10 | busy |
/// | 11 | nobody answered |
/// | 12 | declined |
/// | 13 | there is no such number, or the call could not be set up |
/// | 130 | interrupted; a call was hung up first |
#[must_use]
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help goes to standard output with status 0, mistakes to standard error with status 2.
            let status = u8::try_from(error.exit_code()).unwrap_or(2);
            return if error.print().is_ok() { status.into() } else { ExitCode::FAILURE };
        }
    };
    start_logging(arguments.verbose, arguments.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Call(arguments) => call::run(*arguments).await,
            Command::Providers(arguments) => providers::run(&arguments),
            Command::Simulate(arguments) => simulate::run(arguments).await,
            Command::Serve(arguments) => serve::run(arguments).await,
            Command::Config(arguments) => accounts::config(arguments).await,
            Command::Numbers(arguments) => accounts::numbers(arguments).await,
            Command::Workflows(arguments) => accounts::workflows(arguments).await,
            Command::Organizations(arguments) => organizations::run(arguments).await,
            Command::Tokens(arguments) => manage::tokens(arguments).await,
            Command::Keys(arguments) => manage::keys(arguments).await,
        }
    });
    // Blocking parts that are left, such as name resolution, need not be waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(status) => status.into(),
        // Whoever read the output has read enough.
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let status = status_of(&error);
            if status == call::NO_SUCH_NUMBER {
                let _nobody_listens = writeln!(io::stderr(), "telephony: there is no such number");
            }
            fail(&error, status)
        }
    }
}

fn status_of(error: &CliError) -> u8 {
    use telephony_core::TelephonyError::{InvalidConfig, InvalidRequest, Unsupported};

    use crate::service::GatewayError;
    let telephony = match error {
        CliError::Registry(RegistryError::Provider(error)) => error,
        CliError::PlaceCall(crate::PlaceCallError::Telephony(error)) => error,
        CliError::Usage(_)
        | CliError::Registry(_)
        | CliError::Gateway(GatewayError::Listen { .. } | GatewayError::PublicUrl { .. } | GatewayError::Registry(_))
        | CliError::Store(crate::store::StoreError::Conflict { .. }) => return 2,
        _ => return 1,
    };
    match telephony {
        InvalidRequest { problem, .. } if problem.field == "to" => call::NO_SUCH_NUMBER,
        InvalidConfig(_) | InvalidRequest { .. } | Unsupported { .. } => 2,
        _ => 1,
    }
}

fn fail(error: &(dyn std::error::Error + 'static), status: u8) -> ExitCode {
    // If standard error is gone too, the status still says it.
    let _nobody_listens = writeln!(io::stderr(), "telephony: {}", error_chain(error));
    status.into()
}

fn start_logging(verbose: u8, format: LogFormat) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let colours = io::stderr().is_terminal();
    let logging = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours);
    match format {
        LogFormat::Text => logging.finish().with(filter_fn(may_be_logged)).init(),
        LogFormat::Json => {
            let logging = logging.json().flatten_event(true).with_current_span(false);
            logging.finish().with(filter_fn(may_be_logged)).init();
        }
    }
}

/// Libraries that carry what is said, and log it when they are asked for details: headers, URLs, whole messages.
const CARRIERS_OF_SECRETS: &[&str] = &[
    "axum",
    "h2",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
    "sqlx",
    "tokio_tungstenite",
    "tower_http",
    "tungstenite",
];

/// Whether something may be logged, whatever is asked for.
fn may_be_logged(metadata: &tracing::Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= tracing::Level::INFO || !CARRIERS_OF_SECRETS.contains(&library)
}

fn registry() -> Result<Registry, CliError> {
    Ok(Registry::linked()?)
}

/// The simulator of a provider, or what there is instead.
fn simulator(name: &str) -> Result<&'static telephony_sandbox::SimulatorDescriptor, CliError> {
    telephony_sandbox::find(name).ok_or_else(|| {
        let names: Vec<_> =
            telephony_sandbox::registered().iter().map(|simulator| simulator.provider().name().as_str()).collect();
        CliError::Usage(if names.is_empty() {
            "no simulated carrier is linked into this program: build it with the feature `providers`".to_owned()
        } else {
            format!("no simulated carrier is called {name:?}; there are {}", names.join(", "))
        })
    })
}

/// A table in the house's style: columns apart, no lines but under the head.
fn table<const N: usize>(head: [&str; N]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(head);
    table
}

/// A table as text, without the blanks around its lines.
fn render(table: &comfy_table::Table) -> String {
    table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_is_not_linked_is_said() {
        let message = simulator("nonesuch").unwrap_err().to_string();
        assert!(message.contains("nonesuch") || message.contains("feature"), "{message}");
    }
}
