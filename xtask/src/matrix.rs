//! The tables of the documents that say what providers are and can do.

use crate::step::Step;

/// Writes them anew. The test that finds them out of date does it, since it links the providers.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let Some(unknown) = arguments.first() {
        return Err(format!("matrix takes no arguments, and was given {unknown:?}"));
    }
    Step::cargo(&["test", "--quiet", "--package", "tests", "--test", "matrix"]).env("UPDATE_README", "1").run()
}
