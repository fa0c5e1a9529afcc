//! The crates as they would be published.

use std::fs;

use crate::step::{Step, root};

/// What every published crate holds besides its code.
const BESIDES: &[&str] = &["README.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// `cargo xtask package`: packages every publishable crate, builds each from its package alone, in the order of their dependencies, and
/// looks for the README and the licences in it.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let Some(unknown) = arguments.first() {
        return Err(format!("package takes no arguments, and was given {unknown:?}"));
    }
    let crates = publishable()?;
    for name in &crates {
        let listed = Step::cargo(&["package", "--quiet", "--allow-dirty", "--list", "--package", name]).output()?;
        let missing: Vec<_> = BESIDES.iter().filter(|file| !listed.lines().any(|line| line == **file)).collect();
        if !missing.is_empty() {
            return Err(format!("the package of {name} lacks {missing:?}"));
        }
    }
    // All at once: cargo takes one crate's package for what the next depends on, as they are on no registry yet.
    let mut command = vec!["package", "--quiet", "--allow-dirty"];
    for name in &crates {
        command.extend(["--package", name]);
    }
    Step::cargo(&command).run()
}

/// The members of the workspace that are not kept private.
pub(crate) fn publishable() -> Result<Vec<String>, String> {
    let read = |path: &str| {
        fs::read_to_string(root().join(path)).map_err(|error| format!("{path} could not be read: {error}"))
    };
    let manifest = read("Cargo.toml")?;
    let members = manifest.lines().skip_while(|line| *line != "members = [").skip(1).take_while(|line| *line != "]");
    let mut crates = Vec::new();
    for member in members.filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\",")) {
        if !read(&format!("{member}/Cargo.toml"))?.lines().any(|line| line == "publish = false") {
            crates.push(member.to_owned());
        }
    }
    Ok(crates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_private_is_not_published() {
        let crates = publishable().unwrap();
        assert!(crates.iter().any(|name| name == "telephony-core"));
        assert!(!crates.iter().any(|name| matches!(name.as_str(), "xtask" | "tests") || name.starts_with("template")));
    }
}
