//! The result of a run, for people who are not there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use telephony_core::ProviderDescriptor;

use crate::TrialReport;

/// The environment variable that holds where the report goes.
pub(crate) const VARIABLE: &str = "TELEPHONY_CONFORMANCE_REPORT";

/// How a provider did, in a form that its crate can publish.
///
/// [`SCHEMA`](Self::SCHEMA) says what it looks like as JSON. A run of some trials only, by a filter or by suites, leaves a report that
/// says so: `complete` is false, and `not_run` counts what is missing. The trials are in the order of their names.
#[derive(Clone, Debug)]
pub struct Report {
    trials: Vec<TrialReport>,
    json: Value,
}

/// Why a report was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The file cannot be written.
    #[error("the conformance report cannot be written to {path:?}, as {VARIABLE} has it")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Each trial runs in a process of its own, which knows of no other.
    #[error("{VARIABLE} needs all trials in one process: run cargo test, not cargo nextest")]
    OneProcessEach,
}

impl Report {
    /// The version of the report's form. It rises when a member changes its meaning or goes away; others may be added within one.
    pub const FORMAT: u32 = 1;

    /// The form as a JSON Schema (2020-12).
    pub const SCHEMA: &str = include_str!("../report.schema.json");

    /// The report of trials that were run, and of how many there are besides.
    #[must_use]
    pub fn new(provider: &ProviderDescriptor, mut trials: Vec<TrialReport>, not_run: usize) -> Self {
        trials.sort_by(|a, b| a.name.cmp(&b.name));
        let failed = trials.iter().filter(|trial| trial.failure.is_some()).count();
        let capabilities = provider.capabilities();
        let declared: serde_json::Map<String, Value> = capabilities
            .iter()
            .map(|(capability, support)| {
                let note = capabilities.note(capability);
                (capability.to_string(), json!({"support": support.as_str(), "note": note}))
            })
            .collect();
        let json = json!({
            "format": Self::FORMAT,
            "kit": env!("CARGO_PKG_VERSION"),
            "core": telephony_core::VERSION,
            "provider": {
                "name": provider.name().as_str(), "package": provider.package().name,
                "version": provider.package().version,
            },
            "complete": not_run == 0,
            "passed": trials.len() - failed,
            "failed": failed,
            "not_run": not_run,
            "capabilities": declared,
            "trials": trials.iter().map(trial).collect::<Vec<_>>(),
        });
        Self { trials, json }
    }

    /// How each trial went, in the order of their names.
    #[must_use]
    pub fn trials(&self) -> &[TrialReport] {
        &self.trials
    }

    /// The report as JSON.
    #[must_use]
    pub fn as_json(&self) -> &Value {
        &self.json
    }

    /// Writes it to a file, which it replaces.
    ///
    /// # Errors
    ///
    /// [`ReportError::File`] if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        let text = format!("{:#}\n", self.json);
        fs::write(path, text).map_err(|source| ReportError::File { path: path.to_owned(), source })
    }
}

/// Where the environment says that a report goes. Looked at before anything runs, so that nobody waits for a report in vain.
///
/// # Errors
///
/// [`ReportError`] when there would be none.
pub(crate) fn wanted() -> Result<Option<PathBuf>, ReportError> {
    let Some(path) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return Ok(None) };
    if std::env::var_os("NEXTEST").is_some() {
        return Err(ReportError::OneProcessEach);
    }
    let opened = fs::OpenOptions::new().append(true).create(true).open(&path);
    opened.map_err(|source| ReportError::File { path: path.clone(), source })?;
    Ok(Some(path))
}

fn trial(trial: &TrialReport) -> Value {
    let mut parts = trial.name.split("::");
    let (suite, operation) = (parts.next(), parts.next());
    let failure = trial.failure.as_deref().map(|text| text.split("\n  specified: ").next().unwrap_or_default());
    let (expected, seen) = match failure.map(|text| text.split_once("\n  seen:     ").unwrap_or((text, ""))) {
        Some((expected, seen)) => (Some(expected.trim_start_matches("expected: ")), Some(seen)),
        None => (None, None),
    };
    json!({
        "name": trial.name, "suite": suite, "operation": operation,
        "capability": trial.capability.map(|capability| capability.as_str()), "specified": trial.specified,
        "passed": failure.is_none(), "expected": expected, "seen": seen,
    })
}

#[cfg(test)]
mod tests {
    use telephony_core::Capability;

    use super::*;

    #[test]
    fn a_trial_that_failed_says_what_was_expected_and_seen() {
        let report = TrialReport {
            name: "rest::hang_up".to_owned(),
            capability: Some(Capability::HangUp),
            specified: "TelephonyProvider::hang_up",
            failure: Some("expected: Ended\n  seen:     Ok(())\n  specified: TelephonyProvider::hang_up".to_owned()),
        };
        let written = json!({
            "name": "rest::hang_up", "suite": "rest", "operation": "hang_up", "capability": "hang_up",
            "specified": "TelephonyProvider::hang_up", "passed": false, "expected": "Ended", "seen": "Ok(())",
        });
        assert_eq!(trial(&report), written);
    }
}
