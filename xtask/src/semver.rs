//! Whether what is public has changed more than the version says.

use crate::{
    package,
    step::{Step, root},
};

/// `cargo xtask semver [REVISION]`: compares every publishable crate with the last release, or with a revision.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let baseline = match arguments {
        [] => last_release()?,
        [revision] => Some(revision.clone()),
        [_, more, ..] => return Err(format!("one revision is enough: {more:?} is too much")),
    };
    let Some(baseline) = baseline else {
        println!("Nothing was released yet (there is no tag v0.1.0 or the like): there is nothing to compare with.");
        return Ok(());
    };
    if !Step::cargo(&["semver-checks", "--version"]).succeeds() {
        return Err(
            "cargo-semver-checks is needed: `cargo install --locked cargo-semver-checks` (some minutes)".to_owned()
        );
    }
    let crates = package::publishable()?;
    let mut command = vec!["semver-checks", "--baseline-rev", &baseline];
    for name in &crates {
        command.extend(["--package", name]);
    }
    Step::cargo(&command).run()
}

/// The newest tag of a version.
fn last_release() -> Result<Option<String>, String> {
    let tags =
        Step::new("git", &["-C", &root().display().to_string(), "tag", "--list", "v[0-9]*", "--sort=-v:refname"]);
    Ok(tags.output()?.lines().next().map(str::to_owned))
}
