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
/// As JSON: `{"kit", "core", "provider": {"name", "package", "version"}, "passed", "failed", "capabilities": {NAME: {"support",
/// "note"}}, "trials": [{"name", "suite", "operation", "capability", "specified", "passed", "expected", "seen"}]}`. `capability`,
/// `expected` and `seen` are null where there is nothing to say. The trials are in the order of their names.
#[derive(Clone, Debug)]
pub struct Report(Value);

/// Why a report was not written.
#[derive(Debug, thiserror::Error)]
#[error("the conformance report could not be written to {path}")]
pub struct ReportError {
    path: PathBuf,
    source: std::io::Error,
}

impl Report {
    /// The report of trials that were run.
    #[must_use]
    pub fn new(provider: &ProviderDescriptor, mut trials: Vec<TrialReport>) -> Self {
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
        Self(json!({
            "kit": env!("CARGO_PKG_VERSION"),
            "core": telephony_core::VERSION,
            "provider": {
                "name": provider.name().as_str(), "package": provider.package().name,
                "version": provider.package().version,
            },
            "passed": trials.len() - failed,
            "failed": failed,
            "capabilities": declared,
            "trials": trials.iter().map(trial).collect::<Vec<_>>(),
        }))
    }

    /// The report as JSON.
    #[must_use]
    pub fn as_json(&self) -> &Value {
        &self.0
    }

    /// Writes it to a file, which it replaces.
    ///
    /// # Errors
    ///
    /// [`ReportError`] if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        let text = format!("{:#}\n", self.0);
        fs::write(path, text).map_err(|source| ReportError { path: path.to_owned(), source })
    }
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
