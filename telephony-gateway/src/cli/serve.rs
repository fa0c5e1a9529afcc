//! `telephony serve`.

use std::{
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

use clap::Args;
use telephony_core::{ProviderContext, Url};
use tracing::{info, warn};

use super::{
    CliError, registry,
    signals::Signals,
    storage::{LINK_IS_GOOD, StorageArguments, organization},
};
use crate::{
    agent::AgentHosts,
    service::{ServiceOptions, Serving},
    store::{Organization, Store},
    telemetry,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  telephony serve --sandbox\n  telephony serve --listen 0.0.0.0:8080 --public-url \
                        https://voice.example.com\n  DATABASE_URL=postgres://… telephony serve --public-url https://voice.example.com")]
pub(super) struct ServeArguments {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", env = "TELEPHONY_LISTEN")]
    listen: SocketAddr,
    /// Where carriers reach this gateway: the address that they are given, and that they sign [default: the address it listens at]
    #[arg(long, value_name = "URL", env = "TELEPHONY_PUBLIC_URL")]
    public_url: Option<Url>,
    /// Start the simulated carriers too, with an account for each
    #[arg(long)]
    sandbox: bool,
    /// Let no organization start the simulated carriers over the API
    #[arg(long, conflicts_with = "sandbox")]
    no_sandbox: bool,
    /// How long calls that are up may go on once the gateway is told to end; told again, it ends at once
    #[arg(long, value_name = "SECONDS", default_value = "30", env = "TELEPHONY_DRAIN")]
    drain: u64,
    /// Where the agents of workflows may be: some of loopback, private (the networks of RFC 1918 and their like) and public. Link-local
    /// addresses, and with them a cloud's metadata, are never connected to
    #[arg(long, value_name = "KINDS", default_value_t, env = "TELEPHONY_AGENT_HOSTS")]
    agent_hosts: AgentHosts,
    #[command(flatten)]
    storage: StorageArguments,
}

pub(super) async fn run(arguments: ServeArguments) -> Result<u8, CliError> {
    let store = arguments.storage.open().await?;
    let (organization, is_first_start) = organization(&store, None).await?;
    let context = ProviderContext::network()?;
    let metrics = telemetry::install()?;
    tokio::spawn(telemetry::keep_up(metrics.clone()));
    let options = ServiceOptions {
        metrics: Some(metrics),
        recordings: Some(arguments.storage.data.join("recordings")),
        sounds: Some(arguments.storage.data.join("sounds")),
        agent_hosts: arguments.agent_hosts,
        offer_sandbox: !arguments.no_sandbox,
        ..ServiceOptions::default()
    };
    let (listen, public_url) = (arguments.listen, arguments.public_url.clone());
    let serving = Serving::start(store.clone(), registry()?, context, listen, public_url, options).await?;
    if arguments.sandbox {
        serving.service().start_sandbox(organization.id).await?;
    }
    let mut signals = Signals::listen()?;
    introduce(&arguments, &serving, &store, &organization, is_first_start).await?;
    signals.next().await?;
    info!(calls = serving.service().carried(), "The gateway is to end: no new calls are taken.");
    let left = tokio::select! {
        left = serving.service().drain(Duration::from_secs(arguments.drain)) => left,
        told_again = signals.next() => told_again.map(|()| serving.service().carried())?,
    };
    if left > 0 {
        warn!(calls = left, "The gateway ends, and with it the streams of calls that are up.");
    }
    serving.service().stop_sandbox().await;
    serving.stop().await;
    Ok(0)
}

async fn introduce(
    arguments: &ServeArguments,
    serving: &Serving,
    store: &Store,
    organization: &Organization,
    is_first_start: bool,
) -> Result<(), CliError> {
    let base = serving.service().public_url().as_str().trim_end_matches('/').to_owned();
    let link = match is_first_start {
        true => Some(store.create_sign_in_token(organization.id, LINK_IS_GOOD).await?),
        false => None,
    };
    let mut output = io::stdout().lock();
    writeln!(output, "The gateway listens on http://{}; carriers reach it at {base}", serving.address())?;
    writeln!(output, "What it remembers is in {}", arguments.storage.url()?)?;
    if let Some(link) = link {
        writeln!(output, "\nSign in, once, within a day:\n  {base}/sign-in/{}", link.expose())?;
    }
    writeln!(output, "\nThe API is described at {base}/docs; a token for it: telephony tokens create NAME")?;
    if !arguments.sandbox {
        writeln!(
            output,
            "Without an account, start it with --sandbox: simulated carriers, and a call within a minute."
        )?;
    }
    output.flush()?;
    Ok(())
}
