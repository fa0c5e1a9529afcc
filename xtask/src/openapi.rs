//! The description of the gateway's HTTP API.

use crate::step::{Step, checks_only};

/// Writes `openapi.json` anew, or with `--check` says whether it is up to date. The test that finds it out of date does both, since it
/// links the gateway.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let test = Step::cargo(&["test", "--quiet", "--package", "tests", "--test", "api", "the_openapi_document"]);
    if checks_only("openapi", arguments)? { test.run() } else { test.env("UPDATE_OPENAPI", "1").run() }
}
