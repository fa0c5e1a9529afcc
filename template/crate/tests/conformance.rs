//! The conformance suite against this provider.

use std::process::ExitCode;

use telephony_testkit::Conformance;

fn main() -> ExitCode {
    Conformance::of(&telephony_acme::DESCRIPTOR, &telephony_acme::SIMULATOR).all().run()
}
