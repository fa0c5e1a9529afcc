//! The TypeScript client of the gateway's HTTP API, made from `openapi.json` by openapi-typescript.

use crate::npm;

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
    npm::run(FOLDER, "generate")?;
    npm::run(FOLDER, "build")?;
    println!("The client is in {FOLDER}: import it from dist/index.js");
    Ok(())
}

/// Installs what the generator needs, where it is missing or of other versions.
pub(crate) fn install() -> Result<(), String> {
    npm::install(FOLDER)
}
