//! `telephony simulate`.

use std::io::{self, Write};

use clap::Args;
use telephony_core::PhoneNumber;
use telephony_sandbox::{DIAL_PLAN, Observation, Sandbox, SandboxOptions};
use tokio::sync::broadcast::error::RecvError;

use super::{CliError, accounts::Where, inbound, render, signals::Signals, simulator, table};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  telephony simulate PROVIDER\n  telephony simulate PROVIDER --call WORKFLOW --public-url http://127.0.0.1:8080\n\n\
                        Exit status with --call: 0 answered and over, 10 busy, 11 no answer, 13 failed, 130 interrupted, 2 not taken, 1 anything else"
)]
pub(super) struct SimulateArguments {
    /// Whose carrier to play: see `telephony providers`
    provider: String,
    /// How many numbers the account has
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(0..=9_900))]
    numbers: u16,
    /// Have somebody call a number of the carrier's that this workflow answers, at the gateway that runs on this machine with the same
    /// database and listens at --public-url; say what happens, and end with the call
    #[arg(long, value_name = "WORKFLOW")]
    call: Option<String>,
    /// Who calls: what that handset does is in the table that is shown without --call
    #[arg(long, value_name = "NUMBER", default_value = DIAL_PLAN[0].number, requires = "call")]
    from: PhoneNumber,
    /// Which number is called, in E.164; the carrier's account has it as well then [default: the first of the account]
    #[arg(long, value_name = "NUMBER", requires = "call")]
    to: Option<PhoneNumber>,
    #[command(flatten)]
    at: Where,
}

pub(super) async fn run(arguments: SimulateArguments) -> Result<u8, CliError> {
    let simulator = simulator(&arguments.provider)?;
    let mut options = SandboxOptions::default().with_numbers(arguments.numbers.into());
    if let Some(to) = &arguments.to {
        options = options.with_number(to.clone());
    }
    let sandbox = Sandbox::start(simulator, options).await?;
    let mut signals = Signals::listen()?;
    if let Some(workflow) = &arguments.call {
        let Some(to) = arguments.to.or_else(|| sandbox.numbers().into_iter().next()) else {
            return Err(CliError::Usage("--numbers: without a number, nobody can be called".to_owned()));
        };
        return inbound::run(sandbox, signals, workflow, &arguments.from, &to, arguments.at).await;
    }
    let mut observations = sandbox.subscribe();
    let mut output = io::stdout().lock();
    introduce(&sandbox, &mut output)?;
    loop {
        tokio::select! {
            signal = signals.next() => {
                signal?;
                break;
            }
            seen = observations.recv() => match seen {
                Ok(seen) => writeln!(output, "{}", describe(&seen))?,
                Err(RecvError::Lagged(missed)) => writeln!(output, "({missed} lines left out)")?,
                Err(RecvError::Closed) => break,
            }
        }
    }
    sandbox.stop().await;
    Ok(0)
}

fn introduce(sandbox: &Sandbox, output: &mut impl Write) -> io::Result<()> {
    let carrier = sandbox.simulator().provider().display_name();
    writeln!(output, "{carrier}, simulated, at {}\n\nAn account of it:\n{:#}\n", sandbox.api_url(), sandbox.account())?;
    writeln!(output, "Its numbers:")?;
    for number in sandbox.numbers() {
        writeln!(output, "  {}", number.as_e164())?;
    }
    let mut handsets = table(["HANDSET", "WHAT IT DOES"]);
    for entry in DIAL_PLAN {
        handsets.add_row([entry.number, entry.description]);
    }
    writeln!(output, "\n{}\nCtrl-C ends it.\n", render(&handsets))
}

fn describe(seen: &Observation) -> String {
    let status = |status: &Option<u16>| status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    match seen {
        Observation::Rest { method, path, status: code } => format!("<- {method} {path}: {}", status(code)),
        Observation::WebhookSent { request, status: code, ask, .. } => {
            let kind = if *ask { "asks" } else { "tells" };
            format!("-> {kind} {}: {}", request.uri().path(), status(code))
        }
        Observation::DocumentRefused { call, reason } => format!("   call {call}: the answer is refused: {reason}"),
        Observation::HandsetRang { call } => format!("   call {call}: rings"),
        Observation::HandsetAnswered { call } => format!("   call {call}: picked up"),
        Observation::HandsetSpeaks { call } => format!("   call {call}: the person speaks"),
        Observation::HandsetSpoke { call } => format!("   call {call}: the person has spoken"),
        Observation::StreamOpened { call } => format!("   call {call}: stream open"),
        Observation::StreamFailed { call, reason } => format!("   call {call}: no stream: {reason}"),
        Observation::StreamClosed { call, dropped } => {
            let why = dropped.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            format!("   call {call}: stream closed{why}")
        }
        Observation::CallEnded { call, cause } => format!("   call {call}: over, {cause:?}"),
        Observation::CallRated { call } => format!("   call {call}: rated"),
        other => format!("   {other:?}"),
    }
}
