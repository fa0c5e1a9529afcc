//! Node.js packages: a folder with a `package.json` and a `package-lock.json`, and the scripts of it.

use std::fs;

use crate::step::{Step, root};

/// Installs a folder's packages by its lock file, where they are missing or of other versions.
pub(crate) fn install(folder: &str) -> Result<(), String> {
    let here = root().join(folder);
    let (wanted, installed) = (here.join("package-lock.json"), here.join("node_modules/installed-lock.json"));
    let wanted = fs::read(&wanted).map_err(|error| format!("{} cannot be read: {error}", wanted.display()))?;
    // Nothing that can be read there: nothing is installed.
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if !Step::new("npm", &["--version"]).succeeds() {
        return Err("npm is missing: install Node.js 18 or newer, or let `cargo xtask test tools` do it".to_owned());
    }
    npm(folder, &["ci", "--no-audit", "--no-fund"]).run()?;
    fs::write(&installed, wanted).map_err(|error| format!("{} cannot be written: {error}", installed.display()))
}

/// Runs a script of a folder's `package.json`.
pub(crate) fn run(folder: &str, script: &str) -> Result<(), String> {
    npm(folder, &["run", "--silent", script]).run()
}

fn npm(folder: &str, arguments: &[&str]) -> Step {
    Step::new("npm", &[&["--prefix", folder], arguments].concat())
}
