//! The crates as they would be published.

use std::{env, fs, path::PathBuf};

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
    forget_unpacked(&crates)?;
    // All at once: cargo takes one crate's package for what the next depends on, as they are on no registry yet.
    let mut command = vec!["package", "--quiet", "--allow-dirty"];
    for name in &crates {
        command.extend(["--package", name]);
    }
    Step::cargo(&command).run()
}

/// Takes away what cargo has unpacked of these crates before. For the packages of a run it keeps a registry in the target folder, and
/// unpacks what is in it to where it unpacks all: there it takes a crate of the same version for the same crate, however it has changed.
fn forget_unpacked(crates: &[String]) -> Result<(), String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let Some(home) = home.or_else(|| env::home_dir().map(|home| home.join(".cargo"))) else { return Ok(()) };
    // Nothing was unpacked where there is no such folder.
    for registry in fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten() {
        // A registry that is a folder has no host in its name.
        if !registry.file_name().to_string_lossy().starts_with('-') {
            continue;
        }
        for unpacked in fs::read_dir(registry.path()).into_iter().flatten().flatten() {
            let name = unpacked.file_name().to_string_lossy().into_owned();
            if crates.iter().any(|one| name.strip_prefix(one.as_str()).is_some_and(is_version)) {
                let path = unpacked.path();
                fs::remove_dir_all(&path).map_err(|error| format!("{} cannot be removed: {error}", path.display()))?;
            }
        }
    }
    Ok(())
}

/// Whether it is what follows a crate's name: `-1.2.3`.
fn is_version(rest: &str) -> bool {
    rest.strip_prefix('-').is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
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
    fn a_version_follows_a_name() {
        assert!(is_version("-0.1.0"));
        assert!(!is_version("-extra-0.1.0") && !is_version("") && !is_version("0.1.0"));
    }

    #[test]
    fn what_is_private_is_not_published() {
        let crates = publishable().unwrap();
        assert!(crates.iter().any(|name| name == "telephony-core"));
        assert!(!crates.iter().any(|name| matches!(name.as_str(), "xtask" | "tests") || name.starts_with("template")));
    }
}
