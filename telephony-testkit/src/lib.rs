//! What every telephony provider owes, as named trials: the conformance suite.
//!
//! A provider crate runs it as its own test, `tests/conformance.rs` with `harness = false`, and with its simulator:
//!
//! ```ignore
//! use telephony_testkit::Conformance;
//!
//! fn main() -> std::process::ExitCode {
//!     Conformance::of(&telephony_acme::DESCRIPTOR, &telephony_acme::SIMULATOR).all().run()
//! }
//! ```
//!
//! Trials follow from the capabilities that the provider declares, both ways: what is declared must work against the
//! simulator, what is not must answer `Unsupported` and send nothing. Each is called `suite::operation::what`, runs alone
//! (`cargo test --test conformance -- faults::initiate_call`), and fails with what was expected, what was seen and where that
//! is specified.
//!
//! With `TELEPHONY_CONFORMANCE_REPORT=FILE` in the environment the run writes [a report](Report) as JSON, which a crate can
//! publish: versions, declared capabilities, and how each trial went. One suite runs alone by its name before two colons
//! (`-- webhooks::`), or with [`Conformance::suite`]; the report says then that it is not complete. A trial that panics, or is not done
//! [in time](Conformance::longest), has failed.
//!
//! | suite | with | what |
//! | --- | --- | --- |
//! | [`Configuration`](Suite::Configuration) | nothing | schema, every mistake named at once, no secret shown |
//! | [`Rest`](Suite::Rest) | the simulator | every operation and option, and that the carrier gets what was meant; unknown members and words |
//! | [`Faults`](Suite::Faults) | a server and a network that misbehave | the error that each failure becomes; what is repeated and what never |
//! | [`Webhooks`](Suite::Webhooks) | webhooks of simulated calls | verification, tampering, age, identification, dedupe keys, unknown fields and words |
//! | [`Answers`](Suite::Answers) | the simulator's own reader | every instruction |
//! | [`Media`](Suite::Media) | the carrier's end of the protocol | audio, marks, clear, digits, unknown members, garbage |
//! | [`Calls`](Suite::Calls) | whole calls | audio both ways, every instruction, every way to end, inbound, faults of delivery |
//!
//! # Against the carrier itself
//!
//! With an account in the environment variable `TELEPHONY_LIVE_<NAME>` (`TELEPHONY_LIVE_ACME`, hyphens as underscores), the
//! configuration as a JSON object, a run has trials `live::…` besides: the account is checked, with wrong credentials too, its
//! numbers are listed, and a call that never was is asked for. They cost nothing. A member `"dial": {"from": "+…", "to": "+…"}`
//! has one more ring that number and hang up, which is charged. Where the variable `CI` is set, there are none.

mod customer;
mod edit;
pub mod readme;
mod report;
mod subject;
mod suites;
mod transport;
mod trial;

use std::{
    collections::BTreeSet,
    process::ExitCode,
    sync::{Arc, mpsc},
    time::Duration,
};

use libtest_mimic::{Arguments, Conclusion};
pub use report::{Report, ReportError};
use serde_json::Value;
use telephony_core::{Capability, ProviderDescriptor};
use telephony_sandbox::SimulatorDescriptor;

use subject::Subject;
use trial::{LONGEST, Trial};

/// A part of the conformance suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Suite {
    /// The account's configuration.
    Configuration,
    /// The carrier's REST API, as the simulator plays it.
    Rest,
    /// What becomes of failures.
    Faults,
    /// Webhooks.
    Webhooks,
    /// What the carrier is told to do.
    Answers,
    /// The media protocol, without a socket.
    Media,
    /// Whole calls.
    Calls,
}

impl Suite {
    /// Every suite.
    pub const ALL: &'static [Self] =
        &[Self::Configuration, Self::Rest, Self::Faults, Self::Webhooks, Self::Answers, Self::Media, Self::Calls];

    fn trials(self, subject: &Arc<Subject>) -> Vec<Trial> {
        match self {
            Self::Configuration => suites::configuration::trials(subject),
            Self::Rest => suites::rest::trials(subject),
            Self::Faults => suites::faults::trials(subject),
            Self::Webhooks => suites::webhooks::trials(subject),
            Self::Answers => suites::answers::trials(subject),
            Self::Media => suites::media::trials(subject),
            Self::Calls => suites::calls::trials(subject),
        }
    }
}

/// The conformance suite for one provider.
#[derive(Clone, Debug)]
#[must_use]
pub struct Conformance {
    descriptor: &'static ProviderDescriptor,
    simulator: &'static SimulatorDescriptor,
    fixture: Option<Value>,
    suites: BTreeSet<Suite>,
    live: Option<String>,
    longest: Duration,
}

/// How one trial went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialReport {
    /// `suite::operation::what`.
    pub name: String,
    /// The capability that it is about.
    pub capability: Option<Capability>,
    /// Where what is expected is specified.
    pub specified: &'static str,
    /// What was expected, what was seen, and where that is specified; `None` if all was well.
    pub failure: Option<String>,
}

impl Conformance {
    /// The suite for a provider and the simulator of its carrier. Choose [`all`](Self::all) of it, or [`suite`](Self::suite)s.
    pub fn of(descriptor: &'static ProviderDescriptor, simulator: &'static SimulatorDescriptor) -> Self {
        Self { descriptor, simulator, fixture: None, suites: BTreeSet::new(), live: None, longest: LONGEST }
    }

    /// A configuration as a customer would write it, in JSON, with values for every field that matters. Without one, the
    /// simulator's account serves.
    ///
    /// # Panics
    ///
    /// If the text is no JSON: it is the test's own.
    pub fn fixture(mut self, json: &str) -> Self {
        #[expect(clippy::expect_used, reason = "documented: a mistake in the test itself")]
        let fixture = serde_json::from_str(json).expect("the fixture is JSON");
        self.fixture = Some(fixture);
        self
    }

    /// Every suite.
    pub fn all(mut self) -> Self {
        self.suites.extend(Suite::ALL);
        self
    }

    /// One suite more.
    pub fn suite(mut self, suite: Suite) -> Self {
        self.suites.insert(suite);
        self
    }

    /// Trials against the carrier itself too, `live::…`, with an account of one's own as JSON. [`run`](Self::run) takes it from the
    /// environment: see the [crate's page](crate#against-the-carrier-itself).
    pub fn live(mut self, account: impl Into<String>) -> Self {
        self.live = Some(account.into());
        self
    }

    /// How long one trial may take; one that takes longer has failed. Default a minute, and most take less than a second.
    pub fn longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Runs as a test program does: reads the arguments of the process, prints, and says how it went.
    #[must_use]
    #[expect(clippy::print_stderr, reason = "it is the program")]
    pub fn run(mut self) -> ExitCode {
        self.live = self.live.or_else(|| suites::live::from_environment(self.descriptor));
        let arguments = Arguments::from_args();
        let wanted = if arguments.list { Ok(None) } else { report::wanted() };
        let written = wanted.and_then(|file| {
            let (conclusion, report) = self.run_with(&arguments);
            if let Some(file) = file {
                report.write(&file)?;
            }
            Ok(conclusion.exit_code())
        });
        written.unwrap_or_else(|error| {
            eprintln!("error: {}", telephony_core::error_chain(&error));
            ExitCode::FAILURE
        })
    }

    fn run_with(self, arguments: &Arguments) -> (Conclusion, Report) {
        let longest = self.longest;
        let (sender, reports) = mpsc::channel();
        let mimic = |trial: Trial| {
            let sender = sender.clone();
            libtest_mimic::Trial::test(trial.name().to_owned(), move || {
                let report = trial.run(longest);
                let outcome = report.failure.clone().map_or(Ok(()), |failure| Err(failure.into()));
                // The run holds the other end for as long as there are trials.
                let _sent = sender.send(report);
                outcome
            })
        };
        let trials = self.clone().trials().into_iter().map(mimic).collect();
        let conclusion = libtest_mimic::run(arguments, trials);
        drop(sender);
        let report = self.reported(reports.into_iter().collect());
        (conclusion, report)
    }

    /// Runs the trials whose name contains `filter`, one after the other, and returns how each went: for tests of the suite
    /// itself, and for programs that are no tests.
    #[must_use]
    pub fn report(self, filter: &str) -> Report {
        let chosen = self.clone().trials().into_iter().filter(|trial| trial.name().contains(filter));
        let reports = chosen.map(|trial| trial.run(self.longest)).collect();
        self.reported(reports)
    }

    /// The report of what was run. Trials against the carrier itself are no part of a complete one.
    fn reported(self, reports: Vec<TrialReport>) -> Report {
        let ran: BTreeSet<&str> = reports.iter().map(|report| report.name.as_str()).collect();
        let descriptor = self.descriptor;
        let all = Self { live: None, ..self }.all().trials();
        let not_run = all.iter().filter(|trial| !ran.contains(trial.name())).count();
        Report::new(descriptor, reports, not_run)
    }

    fn trials(self) -> Vec<Trial> {
        let subject = Arc::new(Subject::new(self.descriptor, self.simulator, self.fixture));
        let live = self.live.iter().flat_map(|account| suites::live::trials(account, &subject));
        self.suites.iter().flat_map(|suite| suite.trials(&subject)).chain(live).collect()
    }
}
