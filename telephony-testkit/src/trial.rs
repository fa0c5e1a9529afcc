//! One named trial, and how it says what is wrong.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use telephony_core::Capability;

use crate::{TrialReport, subject::Subject};

/// How long a trial may take. Calls are over in a few seconds.
const LONGEST: Duration = Duration::from_secs(45);

/// What is wrong: expected and seen.
pub(crate) type Outcome = Result<(), String>;

type Run = Box<dyn FnOnce() -> Outcome + Send>;

/// A trial.
pub(crate) struct Trial {
    name: String,
    specified: &'static str,
    capability: Option<Capability>,
    run: Run,
}

impl Trial {
    /// A trial that waits for nothing.
    pub(crate) fn new(
        name: impl Into<String>,
        specified: &'static str,
        subject: &Arc<Subject>,
        run: impl FnOnce(&Subject) -> Outcome + Send + 'static,
    ) -> Self {
        let subject = subject.clone();
        Self { name: name.into(), specified, capability: None, run: Box::new(move || run(&subject)) }
    }

    /// A trial with a network.
    pub(crate) fn wait<F, Fut>(name: impl Into<String>, specified: &'static str, subject: &Arc<Subject>, run: F) -> Self
    where
        F: FnOnce(Arc<Subject>) -> Fut + Send + 'static,
        Fut: Future<Output = Outcome>,
    {
        let subject = subject.clone();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| format!("there is no runtime: {error}"))?;
            runtime.block_on(async {
                let late = |_| Err(format!("it is not done after {} seconds", LONGEST.as_secs()));
                tokio::time::timeout(LONGEST, run(subject)).await.unwrap_or_else(late)
            })
        };
        Self { name: name.into(), specified, capability: None, run: Box::new(run) }
    }

    /// Says which capability it is about: as declared, so must the deed be.
    pub(crate) fn about(mut self, capability: Option<Capability>) -> Self {
        self.capability = capability;
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs it.
    pub(crate) fn run(self) -> TrialReport {
        let failure = (self.run)().err().map(|failure| format!("{failure}\n  specified: {}", self.specified));
        TrialReport { name: self.name, capability: self.capability, specified: self.specified, failure }
    }
}

/// Fails unless it is so.
pub(crate) fn expect(so: bool, expected: impl fmt::Display, seen: impl fmt::Debug) -> Outcome {
    if so { Ok(()) } else { Err(format!("expected: {expected}\n  seen:     {seen:?}")) }
}

/// Turns any error into a failure.
pub(crate) trait OrFail<T> {
    /// Fails with what was tried.
    fn or_fail(self, tried: &str) -> Result<T, String>;
}

impl<T, E: fmt::Debug> OrFail<T> for Result<T, E> {
    fn or_fail(self, tried: &str) -> Result<T, String> {
        self.map_err(|error| format!("expected: {tried} succeeds\n  seen:     {error:?}"))
    }
}

impl<T> OrFail<T> for Option<T> {
    fn or_fail(self, tried: &str) -> Result<T, String> {
        self.ok_or_else(|| format!("expected: {tried}\n  seen:     nothing of the kind"))
    }
}
