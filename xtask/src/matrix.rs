//! The tables of the documents that say what providers are and can do.

use crate::step::{Step, checks_only};

/// Writes them anew, or with `--check` says whether they are up to date. The test that finds them out of date does both, since it links
/// the providers.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let test = Step::cargo(&["test", "--quiet", "--package", "tests", "--test", "matrix"]);
    if checks_only("matrix", arguments)? { test.run() } else { test.env("UPDATE_README", "1").run() }
}
