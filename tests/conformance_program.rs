//! The conformance suite as the test program that it is in a provider's crate: its arguments, its report, its exit status.
//!
//! This program is both: with [`CHILD`] in the environment it is such a test program, and without it asks itself as one.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use telephony_testkit::{Conformance, Suite};

/// Which provider's test program to be.
const CHILD: &str = "TELEPHONY_TESTS_CONFORMANCE_PROGRAM";

const REPORT: &str = "TELEPHONY_CONFORMANCE_REPORT";

type Run = fn(&Path) -> Result<(), Failed>;

fn main() -> ExitCode {
    let conformance = || Conformance::of(&telephony_twilio::DESCRIPTOR, &telephony_twilio::SIMULATOR);
    match std::env::var(CHILD).as_deref() {
        Ok("good") => conformance().suite(Suite::Configuration).suite(Suite::Media).run(),
        Ok("bad") => conformance().suite(Suite::Configuration).fixture("{}").run(),
        _ => {
            let trials: [(&str, Run); 6] = [
                ("a_report_that_cannot_be_written_is_said_before_anything_is_run", unwritable),
                ("a_report_of_processes_that_know_nothing_of_each_other_is_refused", one_process_each),
                ("a_report_of_some_trials_says_that_it_is_not_complete", partial),
                ("what_fails_is_in_the_report_and_in_the_exit_status", failing),
                ("a_list_names_the_trials_and_runs_none", listed),
                ("the_carrier_itself_is_asked_at_a_terminal_only", live),
            ];
            let trial = |(name, run): (&str, Run)| {
                Trial::test(name, move || {
                    let folder = tempfile::tempdir()?;
                    run(folder.path())
                })
            };
            libtest_mimic::run(&Arguments::from_args(), trials.map(trial).into()).exit_code()
        }
    }
}

/// A test program, without what the environment of these tests says.
fn program(provider: &str, arguments: &[&str]) -> Command {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(arguments).env(CHILD, provider).env_remove("NEXTEST").env_remove("CI").env_remove(REPORT);
    program
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Fails unless it is so.
fn expect(so: bool, what: &str, output: &Output) -> Result<(), Failed> {
    let seen = || format!("{what}\n{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
    if so { Ok(()) } else { Err(seen().into()) }
}

fn read(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn unwritable(folder: &Path) -> Result<(), Failed> {
    for file in [folder.join("no/such/folder/report.json"), folder.to_owned(), PathBuf::new()] {
        let output = program("good", &[]).env(REPORT, &file).output()?;
        let said = text(&output.stderr);
        expect(!output.status.success() && output.stdout.is_empty(), "nothing is run", &output)?;
        expect(said.contains(REPORT) && said.contains(&format!("{file:?}")), "the file is named", &output)?;
    }
    Ok(())
}

fn one_process_each(folder: &Path) -> Result<(), Failed> {
    let file = folder.join("report.json");
    let output = program("good", &[]).env(REPORT, &file).env("NEXTEST", "1").output()?;
    expect(!output.status.success() && !file.exists(), "there is no report", &output)?;
    expect(text(&output.stderr).contains("cargo test, not cargo nextest"), "what to do is said", &output)?;
    let output = program("good", &["configuration::"]).env("NEXTEST", "1").output()?;
    expect(output.status.success(), "without a report it runs", &output)
}

fn partial(folder: &Path) -> Result<(), Failed> {
    let file = folder.join("report.json");
    let output = program("good", &["configuration::"]).env(REPORT, &file).output()?;
    expect(output.status.success(), "it passes", &output)?;
    let report = read(&file);
    expect(report["complete"] == false && report["failed"] == 0, "it is not complete", &output)?;
    let all = report["trials"].as_array().unwrap();
    expect(all.iter().all(|trial| trial["suite"] == "configuration"), "one suite was run", &output)?;
    expect(report["not_run"].as_u64().unwrap() > 100, "what is missing is counted", &output)
}

fn failing(folder: &Path) -> Result<(), Failed> {
    let file = folder.join("report.json");
    let output = program("bad", &[]).env(REPORT, &file).output()?;
    expect(!output.status.success(), "the exit status says so", &output)?;
    let report = read(&file);
    let failed = report["trials"].as_array().unwrap().iter().filter(|trial| trial["passed"] == false);
    let failed: Vec<_> = failed.collect();
    expect(!failed.is_empty() && report["failed"] == failed.len(), "they are counted", &output)?;
    for trial in failed {
        let said =
            ["expected", "seen", "specified"].iter().all(|part| trial[part].as_str().is_some_and(|s| !s.is_empty()));
        expect(said, &format!("{trial} says what is wrong"), &output)?;
    }
    Ok(())
}

fn listed(folder: &Path) -> Result<(), Failed> {
    let file = folder.join("report.json");
    let output = program("good", &["--list"]).env(REPORT, &file).output()?;
    expect(output.status.success() && !file.exists(), "there is no report", &output)?;
    let names = text(&output.stdout);
    expect(names.contains("media::marks::there_and_back: test"), "the names are listed", &output)
}

fn live(_: &Path) -> Result<(), Failed> {
    let mut terminal = program("good", &["live::", "--list"]);
    let output = terminal.env("TELEPHONY_LIVE_TWILIO", "no account").output()?;
    expect(text(&output.stdout).contains("live::account"), "a person's account counts", &output)?;
    let output = terminal.env("CI", "true").output()?;
    expect(!text(&output.stdout).contains("live::"), "where nobody looks it does not", &output)
}
