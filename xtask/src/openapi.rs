//! The description of the gateway's HTTP API.

use crate::step::Step;

/// Writes `openapi.json` anew. The test that finds it out of date does it, since it links the gateway.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let Some(unknown) = arguments.first() {
        return Err(format!("openapi takes no arguments, and was given {unknown:?}"));
    }
    let test = ["test", "--quiet", "--package", "tests", "--test", "api", "the_openapi_document"];
    Step::cargo(&test).env("UPDATE_OPENAPI", "1").run()
}
