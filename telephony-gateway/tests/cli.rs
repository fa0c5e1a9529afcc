//! The program `telephony` as people run it, with every carrier that is linked.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
// Links the providers into this test too.
use telephony_gateway as _;

fn telephony(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_telephony"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What `telephony providers --json` lists.
fn providers(folder: &Path) -> Vec<Value> {
    let output = telephony(folder, &["providers", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The names of those with a simulator.
fn simulated(folder: &Path) -> Vec<String> {
    let names: Vec<String> = providers(folder)
        .into_iter()
        .filter(|provider| provider["simulator"] == true)
        .map(|provider| provider["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(!names.is_empty());
    names
}

#[test]
fn a_call_prints_its_timeline_and_leaves_a_recording() {
    let folder = tempfile::tempdir().unwrap();
    for name in simulated(folder.path()) {
        let output = telephony(folder.path(), &["call", "--sandbox", &name]);
        let printed = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{printed}\n{}", text(&output.stderr));
        for part in ["dial", "accepted", "asks what to do", "stream started", "completed", "Audio", "Frames", "Cost"] {
            assert!(printed.contains(part), "{part} is missing:\n{printed}");
        }
        assert!(!printed.contains("2025550100") && !text(&output.stderr).contains("2025550100"), "{printed}");
        let wav = std::fs::read(folder.path().join(format!("call-{name}.wav"))).unwrap();
        assert!(wav.starts_with(b"RIFF") && wav.len() > 200_000, "{} bytes", wav.len());
    }
}

#[test]
fn every_way_not_to_be_answered_has_its_message_and_status() {
    let folder = tempfile::tempdir().unwrap();
    for name in simulated(folder.path()) {
        for (to, status, message) in [
            ("+12025550101", 10, "the number is busy"),
            ("+12025550102", 11, "nobody answered"),
            ("+12025550103", 12, "the call was declined"),
            ("+12025550104", 13, "there is no such number"),
        ] {
            let output = telephony(folder.path(), &["call", "--sandbox", &name, "--to", to]);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(status), "{name} {to}: {said}");
            assert!(said.contains(&format!("telephony: {message}")), "{name} {to}: {said}");
        }
    }
}

#[test]
fn a_report_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let name = simulated(folder.path()).swap_remove(0);
    let arguments = ["call", "--sandbox", &name, "--to", "+12025550106", "--json", "--no-record"];
    let output = telephony(folder.path(), &arguments);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["outcome"], "completed");
    assert_eq!(report["provider"], name);
    assert_eq!(report["recording"], Value::Null);
    assert!(report["timeline"].as_array().unwrap().len() > 5);
    assert!(report["cost"]["total"]["amount"].is_string(), "{report:#}");
}

#[test]
fn wrong_arguments_and_configurations_say_what_to_mend() {
    let folder = tempfile::tempdir().unwrap();
    let name = simulated(folder.path()).swap_remove(0);
    let complaint = |arguments: &[&str]| {
        let output = telephony(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stderr)
    };
    assert!(complaint(&["call"]).contains("--sandbox"));
    assert!(complaint(&["call", "--sandbox", "nonesuch"]).contains(&name), "what there is instead is said");
    let malformed = complaint(&["call", "--sandbox", &name, "--to", "0123"]);
    assert!(malformed.contains("a number must start with +"), "{malformed}");
    assert!(complaint(&["providers", "nonesuch"]).contains(&name));

    // Every mistake at once, by field, and no secret quoted.
    let file = folder.path().join("account.toml");
    std::fs::write(&file, format!("provider = \"{name}\"\nnonsense = \"s3cr3t-value\"\n")).unwrap();
    let real = ["--public-url", "https://voice.example.com", "--to", "+14155550111", "--listen", "127.0.0.1:0"];
    let account = |file: &str| complaint(&[&["call", "--config", file], &real[..]].concat());
    let said = account("account.toml");
    let schema =
        &providers(folder.path()).into_iter().find(|provider| provider["name"] == name).unwrap()["config_schema"];
    for required in schema["required"].as_array().unwrap() {
        assert!(said.contains(&format!("{}: is missing", required.as_str().unwrap())), "{said}");
    }
    assert!(said.contains("nonsense: ") && !said.contains("s3cr3t-value"), "{said}");
    std::fs::write(&file, "provider = \"nonesuch\"\n").unwrap();
    assert!(account("account.toml").contains("linked are"));
    assert!(account("nowhere.toml").contains("nowhere.toml"));
}

#[test]
fn help_and_overview() {
    let folder = tempfile::tempdir().unwrap();
    let help = telephony(folder.path(), &["call", "--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("+12025550101") && text(&help.stdout).contains("Exit status"));
    let overview = text(&telephony(folder.path(), &["providers"]).stdout);
    for provider in providers(folder.path()) {
        assert!(overview.contains(provider["name"].as_str().unwrap()), "{overview}");
        let detail = text(&telephony(folder.path(), &["providers", provider["name"].as_str().unwrap()]).stdout);
        assert!(detail.contains("required, secret") && detail.contains("hang_up"), "{detail}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_call_is_hung_up_first() {
    use std::io::{BufRead, BufReader};

    let folder = tempfile::tempdir().unwrap();
    for (name, signal) in simulated(folder.path()).iter().zip(["-INT", "-TERM"].into_iter().cycle()) {
        let mut call = Command::new(env!("CARGO_BIN_EXE_telephony"))
            .args(["call", "--sandbox", name])
            .current_dir(folder.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // Standard error has a line for each thing that happens.
        let mut lines = BufReader::new(call.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("stream started")));
        let sent = Command::new("kill").args([signal, &call.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        let output = call.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{rest:?}");
        assert!(text(&output.stdout).contains("completed"), "{}", text(&output.stdout));
    }
}

#[test]
fn the_log_says_much_and_nothing_that_is_secret() {
    let folder = tempfile::tempdir().unwrap();
    for name in simulated(folder.path()) {
        let simulator = telephony_sandbox::find(&name).unwrap().build();
        let account = simulator.account(&"http://127.0.0.1:9/".parse().unwrap());
        let secrets =
            telephony_core::config::secret_fields(&telephony_sandbox::find(&name).unwrap().provider().config_schema());
        let output =
            telephony(folder.path(), &["-vv", "call", "--sandbox", &name, "--to", "+12025550106", "--no-record"]);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(said.contains("provider_request") || said.contains("A call event came."), "the log is on:\n{said}");
        let values = secrets.iter().filter_map(|field| account[field].as_str()).flat_map(str::lines);
        for secret in values.filter(|value| value.len() > 8) {
            assert!(!said.contains(secret), "{name}: a secret is in the log:\n{said}");
        }
        for telling in ["2025550106", "3035550100", "Bearer", "Basic ", "/ws/"] {
            assert!(!said.contains(telling), "{name}: {telling} is in the log:\n{said}");
        }
    }
}

#[test]
fn what_is_wrong_with_an_agent_is_said_before_anything_is_dialled() {
    let folder = tempfile::tempdir().unwrap();
    let name = simulated(folder.path()).remove(0);
    for (arguments, message) in [
        (
            ["--agent=echo", "--agent-rate=8000"].as_slice(),
            "--agent-protocol and --agent-rate are for an agent at a ws://",
        ),
        (&["--agent=ws://127.0.0.1:9", "--agent-rate=44100"], "--agent-rate: must be one of 8000, 16000, 24000, 48000"),
        (&["--agent=ws://127.0.0.1:9", "--agent-protocol=smoke"], "--agent-protocol: must be one of pcm, "),
        (&["--agent=ws://u:s3cret@127.0.0.1:9"], "--agent: must not hold a user name or password"),
        (&["--agent=http://127.0.0.1:9"], "must be dialogue, echo, play=FILE.wav, or a ws:// or wss:// URL"),
    ] {
        let output = telephony(folder.path(), &[&["call", "--sandbox", &name], arguments].concat());
        let printed = text(&output.stderr);
        assert!(output.status.code() == Some(2) && printed.contains(message), "{arguments:?}: {printed}");
        assert!(!printed.contains("s3cret") && !printed.contains("dial:"), "{printed}");
    }
}

#[test]
fn an_agent_that_is_not_there_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let name = simulated(folder.path()).remove(0);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let agent = format!("ws://{nobody}/?token=s3cret");
    let output = telephony(folder.path(), &["call", "--sandbox", &name, "--agent", &agent, "--no-record"]);
    let printed = text(&output.stdout) + &text(&output.stderr);
    for part in ["agent lost", "cannot be reached", "Agent        not reached"] {
        assert!(printed.contains(part), "{part} is missing:\n{printed}");
    }
    assert!(!printed.contains("s3cret"), "{printed}");
}
