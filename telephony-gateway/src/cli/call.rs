//! `telephony call`.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{ArgGroup, Args};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use telephony_core::{
    Address, DigitSequence, MachineDetection, ProviderContext, TelephonyProvider, Url, audio::Pcm,
    config::PROVIDER_FIELD,
};
use telephony_sandbox::{DIAL_PLAN, HandsetReport, Sandbox, SandboxOptions};

use super::{CliError, registry, render, signals::Signals, simulator, table};
use crate::{
    AgentChoice, CallOrder, CallOutcome, CallReport, Gateway, TimelineEntry,
    agent::{AgentReport, WebSocketAgent, WebSocketAgentConfig},
    place_call,
    timeline::seconds,
};

pub(super) const BUSY: u8 = 10;
pub(super) const NO_ANSWER: u8 = 11;
pub(super) const DECLINED: u8 = 12;
pub(super) const NO_SUCH_NUMBER: u8 = 13;
pub(super) const INTERRUPTED: u8 = 130;

#[derive(Debug, Args)]
#[command(after_long_help = after_help(), group = ArgGroup::new("where").required(true).args(["sandbox", "config"]))]
pub(super) struct CallArguments {
    /// Call at a simulated carrier, with a virtual handset at the other end and no account
    #[arg(long, value_name = "PROVIDER")]
    sandbox: Option<String>,
    /// Call at a real carrier with this account: a JSON or TOML file with `provider` and the provider's fields
    #[arg(long, value_name = "FILE", requires_all = ["public_url", "to"])]
    config: Option<PathBuf>,
    /// Where the carrier reaches this machine, for instance https://voice.example.com or the address of a tunnel
    #[arg(long, value_name = "URL", requires = "config")]
    public_url: Option<Url>,
    /// Where to listen for the carrier [default: 127.0.0.1:8080 with --config, a free port of 127.0.0.1 with --sandbox]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Whom to call, in E.164 or as a SIP URI [default in the sandbox: a handset that talks]
    #[arg(long, value_name = "NUMBER")]
    to: Option<Address>,
    /// The caller ID [default: the first of the account's configured numbers, else the first that it owns]
    #[arg(long, value_name = "NUMBER")]
    from: Option<Address>,
    /// Who talks: `dialogue` (greets, listens, thanks), `echo`, `play=FILE.wav`, or the ws:// or wss:// URL of a program of
    /// yours
    #[arg(long, value_name = "AGENT", default_value = "dialogue", value_parser = agent)]
    agent: AgentChoice,
    /// What the program at the URL speaks: `pcm` (docs/agent-protocol.md), or the name of a provider whose media streams it was
    /// written for [default: pcm]
    #[arg(long, value_name = "PROTOCOL")]
    agent_protocol: Option<String>,
    /// Samples per second that it hears and says: 8000, 16000, 24000 or 48000 [default: 16000, or the provider's]
    #[arg(long, value_name = "HZ")]
    agent_rate: Option<u32>,
    /// Where the recording goes: stereo, left the caller, right the agent [default: call-PROVIDER.wav]
    #[arg(long, value_name = "FILE", conflicts_with = "no_record")]
    record: Option<PathBuf>,
    /// Do not record
    #[arg(long)]
    no_record: bool,
    /// Give up when it rings longer than this
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    ring_timeout: Option<u32>,
    /// End the call after this
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    time_limit: Option<u32>,
    /// Find out whether a person or a machine answers
    #[arg(long)]
    detect_machine: bool,
    /// DTMF to send once answered: 0-9, A-D, #, *, and w for half a second of pause
    #[arg(long, value_name = "DIGITS")]
    digits: Option<DigitSequence>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

fn after_help() -> String {
    let mut text = String::from("Handsets of the sandbox:\n");
    for entry in DIAL_PLAN {
        let _never = writeln!(text, "  {}  {}", entry.number, entry.description);
    }
    text.push_str(
        "\nExit status: 0 answered and over, 10 busy, 11 no answer, 12 declined, 13 no such number or not set up,\n\
         2 wrong arguments or configuration, 130 interrupted (the call is hung up first), 1 anything else.\n\n\
         Examples:\n  telephony call --sandbox PROVIDER\n  telephony call --sandbox PROVIDER --to +12025550101\n  \
         telephony call --sandbox PROVIDER --agent ws://127.0.0.1:9000\n  \
         telephony call --config account.toml --public-url https://voice.example.com --to +14155550111\n",
    );
    text
}

const NO_AGENT: &str = "must be dialogue, echo, play=FILE.wav, or a ws:// or wss:// URL";

fn agent(text: &str) -> Result<AgentChoice, String> {
    match text {
        "dialogue" => Ok(AgentChoice::Dialogue),
        "echo" => Ok(AgentChoice::Echo),
        _ if text.starts_with("ws://") || text.starts_with("wss://") => {
            let url: Url = text.parse().map_err(|error| format!("is no URL: {error}"))?;
            Ok(AgentChoice::WebSocket(WebSocketAgentConfig::new(url)))
        }
        _ => {
            let path = text.strip_prefix("play=").ok_or(NO_AGENT)?;
            let file = File::open(path).map_err(|error| format!("{path}: {error}"))?;
            let recording = Pcm::from_wav(io::BufReader::new(file)).map_err(|error| format!("{path}: {error}"))?;
            Ok(AgentChoice::Play(Arc::new(recording)))
        }
    }
}

/// The agent with what was said about it in other arguments, checked before anything is dialled.
fn chosen_agent(arguments: &CallArguments) -> Result<AgentChoice, CliError> {
    let AgentChoice::WebSocket(mut config) = arguments.agent.clone() else {
        if arguments.agent_protocol.is_some() || arguments.agent_rate.is_some() {
            let message = "--agent-protocol and --agent-rate are for an agent at a ws:// or wss:// URL";
            return Err(CliError::Usage(message.to_owned()));
        }
        return Ok(arguments.agent.clone());
    };
    if let Some(protocol) = &arguments.agent_protocol {
        config.protocol.clone_from(protocol);
    }
    config.sample_rate_hz = arguments.agent_rate;
    WebSocketAgent::with_registry(&config, &registry()?).map_err(|error| {
        let argument = match error.field {
            "protocol" => "--agent-protocol",
            "sample_rate_hz" => "--agent-rate",
            _ => "--agent",
        };
        CliError::Usage(format!("{argument}: {}", error.reason))
    })?;
    Ok(AgentChoice::WebSocket(config))
}

/// Where a call is to go, and through whom.
struct Place {
    provider: Arc<dyn TelephonyProvider>,
    gateway: Gateway,
    from: Option<Address>,
    to: Address,
    /// Kept up for as long as the call.
    sandbox: Option<Sandbox>,
}

pub(super) async fn run(arguments: CallArguments) -> Result<u8, CliError> {
    let agent = chosen_agent(&arguments)?;
    let place = match (&arguments.sandbox, &arguments.config) {
        (Some(name), _) => in_sandbox(name, &arguments).await?,
        (None, Some(file)) => with_account(file, &arguments).await?,
        (None, None) => return Err(CliError::Usage("either --sandbox or --config is needed".to_owned())),
    };
    let name = place.provider.descriptor().name();
    let mut order = CallOrder::to(place.to).with_agent(agent);
    order.from = arguments.from.or(place.from);
    order.record = !arguments.no_record;
    order.ring_timeout = arguments.ring_timeout.map(|seconds| Duration::from_secs(seconds.into()));
    order.time_limit = arguments.time_limit.map(|seconds| Duration::from_secs(seconds.into()));
    order.machine_detection = arguments.detect_machine.then_some(MachineDetection::Detect);
    order.digits_on_answer = arguments.digits;

    let progress = Progress::start(name.as_str());
    let mut signals = Signals::listen()?;
    let mut interrupted = false;
    let report = {
        let stop = async {
            if let Err(error) = signals.next().await {
                // Then the call ends as it would by itself.
                tracing::warn!(error = &error as &dyn std::error::Error, "Ctrl-C cannot be listened for.");
                std::future::pending::<()>().await;
            }
            interrupted = true;
        };
        place_call(&place.gateway, place.provider, order, &mut |line| progress.show(line), stop).await
    };
    progress.finish();
    let report = report?;

    let path = arguments.record.unwrap_or_else(|| format!("call-{name}.wav").into());
    let recorded = write_recording(&report, &path)?;
    let handset = place.sandbox.as_ref().and_then(|sandbox| sandbox.handset(&report.call_id));
    let text = if arguments.json {
        json(&report, recorded.then_some(&path))?
    } else {
        describe(&report, handset.as_ref(), recorded.then_some(&path))
    };
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()?;
    if let Some(sandbox) = place.sandbox {
        sandbox.stop().await;
    }
    let status = if interrupted { INTERRUPTED } else { status_of(report.outcome) };
    if status != 0 {
        // The report has it too; this is for whoever sees standard error only.
        let _nobody_listens = writeln!(io::stderr(), "telephony: {}", outcome(&report));
    }
    Ok(status)
}

/// The status that the program ends with.
pub(super) fn status_of(outcome: CallOutcome) -> u8 {
    match outcome {
        CallOutcome::Completed => 0,
        CallOutcome::Busy => BUSY,
        CallOutcome::NoAnswer => NO_ANSWER,
        CallOutcome::Declined => DECLINED,
        CallOutcome::InvalidNumber | CallOutcome::Failed => NO_SUCH_NUMBER,
        CallOutcome::Canceled | CallOutcome::Unknown => 1,
    }
}

async fn in_sandbox(name: &str, arguments: &CallArguments) -> Result<Place, CliError> {
    let sandbox = Sandbox::start(simulator(name)?, SandboxOptions::default()).await?;
    let listen = arguments.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let gateway = Gateway::start(listen, None).await?;
    let provider = registry()?.build(&sandbox.account(), ProviderContext::network()?)?;
    let talks = || DIAL_PLAN[0].number.parse().map_err(|_| CliError::Usage("--to is needed".to_owned()));
    let to = arguments.to.clone().map_or_else(talks, Ok)?;
    Ok(Place { provider, gateway, from: None, to, sandbox: Some(sandbox) })
}

async fn with_account(file: &Path, arguments: &CallArguments) -> Result<Place, CliError> {
    let account = read_account(file)?;
    let provider = registry()?.build(&account, ProviderContext::network()?)?;
    // By the house's convention this is what a provider calls the numbers to call from.
    let configured = account.get("phone_numbers").and_then(|numbers| numbers.get(0)).and_then(Value::as_str);
    let from = configured.and_then(|number| number.parse().ok());
    let listen = arguments.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
    let gateway = Gateway::start(listen, arguments.public_url.clone()).await?;
    let to = arguments.to.clone().ok_or_else(|| CliError::Usage("--to is needed".to_owned()))?;
    Ok(Place { provider, gateway, from, to, sandbox: None })
}

/// An account from a file: JSON if it looks like it, else TOML.
pub(super) fn read_account(file: &Path) -> Result<Value, CliError> {
    let wrong = |reason: String| CliError::Usage(format!("{}: {reason}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    // The messages of both parsers may quote the line; it may hold a secret.
    let account: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(&text)
            .map_err(|error| wrong(format!("not JSON at line {}, column {}", error.line(), error.column())))?
    } else {
        toml::from_str(&text).map_err(|error| wrong(format!("not TOML: {}", error.message())))?
    };
    if account.get(PROVIDER_FIELD).is_none() {
        let linked = registry()?.names().join(", ");
        return Err(wrong(format!("provider: is missing; linked are {linked}")));
    }
    Ok(account)
}

/// Writes the recording, if there is one.
fn write_recording(report: &CallReport, path: &Path) -> Result<bool, CliError> {
    let Some(recording) = &report.recording else { return Ok(false) };
    let failed = |source: telephony_core::BoxError| CliError::Write { path: path.display().to_string(), source };
    let file = File::create(path).map_err(|error| failed(error.into()))?;
    let mut file = BufWriter::new(file);
    recording.write_wav(&mut file).map_err(|error| failed(error.into()))?;
    file.flush().map_err(|error| failed(error.into()))?;
    Ok(true)
}

fn json(report: &CallReport, recording: Option<&PathBuf>) -> Result<String, CliError> {
    let mut value = serde_json::to_value(report).map_err(io::Error::other)?;
    value["recording"] = recording.map(|path| path.display().to_string()).into();
    Ok(format!("{value:#}\n"))
}

/// The report for people.
fn describe(report: &CallReport, handset: Option<&HandsetReport>, recording: Option<&PathBuf>) -> String {
    let mut lines = table(["TIME", "THROUGH", "EVENT", "CARRIED"]);
    for entry in &report.timeline {
        lines.add_row([time(entry.at), entry.through.to_owned(), entry.event.clone(), entry.carried.clone()]);
    }
    let mut facts = vec![("Call", report.call_id.clone()), ("Outcome", outcome(report))];
    if let Some(who) = report.answered_by {
        facts.push(("Answered by", format!("{who:?}").to_lowercase()));
    }
    if let Some(media) = &report.media {
        if let (Some(inbound), Some(outbound)) = (media.inbound, media.outbound) {
            facts.push(("Audio", format!("{inbound} from the caller, {outbound} to the caller")));
        }
        facts.push((
            "Frames",
            format!(
                "{} in ({}), {} out ({}), {} unreadable",
                media.frames_in,
                seconds(media.heard),
                media.frames_out,
                seconds(media.said),
                media.malformed
            ),
        ));
    }
    if let Some(agent) = report.media.as_ref().and_then(|media| media.agent.as_ref()) {
        facts.push(("Agent", reached(agent)));
    }
    if let Some(handset) = handset.filter(|handset| handset.sample_rate_hz > 0) {
        let length = |samples: &[i16]| loud_for(samples, handset.sample_rate_hz);
        facts.push((
            "Handset",
            format!("heard speech for {}, spoke for {}", length(&handset.heard), length(&handset.spoken)),
        ));
    }
    facts.push((
        "Cost",
        report.cost.as_ref().map_or_else(|| "not told by this carrier".to_owned(), ToString::to_string),
    ));
    if let (Some(path), Some(recorded)) = (recording, &report.recording) {
        let length = seconds(recorded.duration());
        facts.push(("Recording", format!("{} ({length}; left the caller, right the agent)", path.display())));
    }
    let mut text = render(&lines);
    text.push('\n');
    for (name, value) in facts {
        let _never = writeln!(text, "{name:<11}  {value}");
    }
    text
}

/// How it went with an agent elsewhere.
fn reached(agent: &AgentReport) -> String {
    let Some(after) = agent.connected_after else { return "not reached".to_owned() };
    format!(
        "reached after {}; {} of the caller's voice not taken, {} late at worst; {} of its messages refused",
        milliseconds(after),
        seconds(agent.dropped),
        milliseconds(agent.latest),
        agent.refused
    )
}

fn milliseconds(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

fn outcome(report: &CallReport) -> String {
    let what = match report.outcome {
        CallOutcome::Completed => "answered, and over",
        CallOutcome::Busy => "the number is busy",
        CallOutcome::NoAnswer => "nobody answered",
        CallOutcome::Declined => "the call was declined",
        CallOutcome::InvalidNumber => "there is no such number",
        CallOutcome::Canceled => "given up before it was answered",
        CallOutcome::Failed => "the call could not be set up, or broke off",
        CallOutcome::Unknown => "not known: the carrier has not said how it ended",
    };
    let duration = report.duration.filter(|duration| !duration.is_zero());
    let details: Vec<String> = duration.map(seconds).into_iter().chain(report.reason.clone()).collect();
    if details.is_empty() { what.to_owned() } else { format!("{what} ({})", details.join(", ")) }
}

/// For how long there was sound, in pieces of 20 ms.
fn loud_for(samples: &[i16], rate: u32) -> String {
    let piece = (rate / 50).max(1) as usize;
    let loud = samples.chunks(piece).filter(|piece| telephony_core::audio::rms_dbfs(piece) > -45.0).count();
    seconds(Duration::from_millis(20) * u32::try_from(loud).unwrap_or(u32::MAX))
}

fn time(at: Duration) -> String {
    format!("{:>7.3} s", at.as_secs_f64())
}

/// What happens, as it happens, on standard error: below a spinner on a terminal, else line by line.
struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    fn start(provider: &str) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}");
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.set_message(format!("calling through {provider}"));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar }
    }

    fn show(&self, line: &TimelineEntry) {
        let TimelineEntry { at, event, carried, .. } = line;
        let text = format!("{}  {event}{}{carried}", time(*at), if carried.is_empty() { "" } else { ": " });
        match &self.bar {
            Some(bar) => {
                bar.println(text);
                bar.set_message(event.clone());
            }
            None => {
                // The report on standard output has it all again.
                let _nobody_listens = writeln!(io::stderr(), "{text}");
            }
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(text: &str) -> Result<Value, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().display().to_string();
        read_account(file.path()).map_err(|error| error.to_string().replace(&path, "FILE"))
    }

    #[test]
    fn an_account_is_json_or_toml() {
        let expected = serde_json::json!({"provider": "acme", "token": "t", "phone_numbers": ["+1"]});
        assert_eq!(
            account(" {\"provider\": \"acme\", \"token\": \"t\", \"phone_numbers\": [\"+1\"]}"),
            Ok(expected.clone())
        );
        assert_eq!(account("provider = 'acme'\ntoken = 't'\nphone_numbers = ['+1']"), Ok(expected));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_quoting_it() {
        assert_eq!(account("{\"token\": \"s3cret\" x").unwrap_err(), "FILE: not JSON at line 1, column 20");
        let message = account("token = s3cret").unwrap_err();
        assert!(message.starts_with("FILE: not TOML") && !message.contains("s3cret"), "{message}");
        assert!(account("token = 't'").unwrap_err().starts_with("FILE: provider: is missing"));
    }

    #[test]
    fn agents_are_chosen_by_name() {
        assert_eq!(agent("echo"), Ok(AgentChoice::Echo));
        assert_eq!(agent("sing"), Err(NO_AGENT.to_owned()));
        let url = WebSocketAgentConfig::new("ws://127.0.0.1:9000/".parse().unwrap());
        assert_eq!(agent("ws://127.0.0.1:9000"), Ok(AgentChoice::WebSocket(url)));
        assert!(agent("wss://").unwrap_err().starts_with("is no URL: "));
        assert!(agent("play=/nowhere.wav").unwrap_err().starts_with("/nowhere.wav: "));
    }

    #[test]
    fn every_outcome_has_its_status() {
        let statuses = [
            (CallOutcome::Completed, 0),
            (CallOutcome::Busy, 10),
            (CallOutcome::NoAnswer, 11),
            (CallOutcome::Declined, 12),
            (CallOutcome::InvalidNumber, 13),
            (CallOutcome::Failed, 13),
            (CallOutcome::Canceled, 1),
        ];
        for (outcome, status) in statuses {
            assert_eq!(status_of(outcome), status, "{outcome:?}");
        }
    }
}
