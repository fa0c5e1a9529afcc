//! One named trial, and how it says what is wrong.

use std::{
    any::Any,
    fmt,
    future::Future,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use telephony_core::Capability;

use crate::{TrialReport, subject::Subject};

/// How long a trial may take, if nobody says otherwise. Calls are over in a few seconds.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

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
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.or_fail("making a runtime")?.block_on(run(subject))
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

    /// Runs it, on a thread of its own: one that panics, or does not come back in time, has failed, and the others go on.
    pub(crate) fn run(self, longest: Duration) -> TrialReport {
        let Self { name, specified, capability, run } = self;
        let (sender, outcome) = mpsc::channel();
        let trial = move || {
            let outcome = panic::catch_unwind(AssertUnwindSafe(run));
            let outcome = outcome.unwrap_or_else(|cause| Err(failure("no panic", message_of(&*cause))));
            // Nobody waits any more for one that is late.
            let _sent = sender.send(outcome);
        };
        let outcome = match thread::Builder::new().name(name.clone()).spawn(trial) {
            Ok(_running) => outcome.recv_timeout(longest).unwrap_or_else(|_| {
                let seen = "it waits for something that does not come, or never returns";
                Err(failure(format_args!("done within {longest:?}"), seen))
            }),
            Err(error) => Err(failure("a thread for the trial", error)),
        };
        let failure = outcome.err().map(|failure| format!("{failure}\n  specified: {specified}"));
        TrialReport { name, capability, specified, failure }
    }
}

/// What a panic said.
fn message_of(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(ToString::to_string).or_else(|| cause.downcast_ref().cloned());
    format!("panicked: {}", text.unwrap_or_default())
}

/// What is wrong, in the form of every failure.
pub(crate) fn failure(expected: impl fmt::Display, seen: impl fmt::Display) -> String {
    format!("expected: {expected}\n  seen:     {seen}")
}

/// Fails unless it is so.
pub(crate) fn expect(so: bool, expected: impl fmt::Display, seen: impl fmt::Debug) -> Outcome {
    if so { Ok(()) } else { Err(failure(expected, format_args!("{seen:?}"))) }
}

/// Turns any error into a failure.
pub(crate) trait OrFail<T> {
    /// Fails with what was tried.
    fn or_fail(self, tried: &str) -> Result<T, String>;
}

impl<T, E: fmt::Debug> OrFail<T> for Result<T, E> {
    fn or_fail(self, tried: &str) -> Result<T, String> {
        self.map_err(|error| failure(format_args!("{tried} succeeds"), format_args!("{error:?}")))
    }
}

impl<T> OrFail<T> for Option<T> {
    fn or_fail(self, tried: &str) -> Result<T, String> {
        self.ok_or_else(|| failure(tried, "nothing of the kind"))
    }
}
