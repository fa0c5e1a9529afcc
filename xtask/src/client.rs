//! The TypeScript client of the gateway's HTTP API, made from `openapi.json` by openapi-typescript.

use std::fs;

use crate::step::{Step, root};

/// Where the client is.
const FOLDER: &str = "clients/typescript";

const HELP: &str = "\
Makes the TypeScript client of the gateway's HTTP API from openapi.json, and compiles it.

Usage: cargo xtask generate-client

It is made in clients/typescript: `src/schema.ts` from openapi.json, and `dist/` from all of `src/`. Needs Node.js 18 or newer with npm; what else
it needs is installed there, by the versions in its package-lock.json. Building the gateway needs none of it.
";

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [] => {}
        [word] if word == "--help" || word == "-h" => {
            print!("{HELP}");
            return Ok(());
        }
        [unknown, ..] => return Err(format!("generate-client takes no arguments, and was given {unknown:?}")),
    }
    install()?;
    npm(&["run", "--silent", "generate"]).run()?;
    npm(&["run", "--silent", "build"]).run()?;
    println!("The client is in {FOLDER}: import it from dist/index.js");
    Ok(())
}

/// Installs what the generator needs, where it is missing or of other versions.
pub(crate) fn install() -> Result<(), String> {
    let folder = root().join(FOLDER);
    let (wanted, installed) = (folder.join("package-lock.json"), folder.join("node_modules/installed-lock.json"));
    let wanted = fs::read(&wanted).map_err(|error| format!("{} cannot be read: {error}", wanted.display()))?;
    // Nothing that can be read there: nothing is installed.
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if !Step::new("npm", &["--version"]).succeeds() {
        return Err("npm is missing: install Node.js 18 or newer, or let `cargo xtask test tools` do it".to_owned());
    }
    npm(&["ci", "--no-audit", "--no-fund"]).run()?;
    fs::write(&installed, wanted).map_err(|error| format!("{} cannot be written: {error}", installed.display()))
}

fn npm(arguments: &[&str]) -> Step {
    Step::new("npm", &[&["--prefix", FOLDER], arguments].concat())
}
