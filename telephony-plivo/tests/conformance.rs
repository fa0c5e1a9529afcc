//! The conformance suite against this provider.

use std::process::ExitCode;

use telephony_testkit::Conformance;

fn main() -> ExitCode {
    Conformance::of(&telephony_plivo::DESCRIPTOR, &telephony_plivo::SIMULATOR).all().run()
}
