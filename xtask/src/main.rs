//! House tasks: `cargo xtask <task>`.
//!
//! This crate depends on nothing, so that it builds when the rest does not.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks to its user")]

mod client;
mod fuzz;
mod matrix;
mod new_provider;
mod npm;
mod openapi;
mod package;
mod semver;
mod step;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
House tasks.

Usage: cargo xtask <TASK> [OPTIONS]

Tasks:
  test [STEP…]   Set up what is missing, then check and test everything, or only the steps named
  test --list    Say what the steps are
  new-provider NAME
                 Make a crate for another carrier, from the template; --help says how
  matrix         Write what the documents say of providers anew: README.md, docs/providers.md, each crate's README
  openapi        Write the description of the gateway's HTTP API anew: openapi.json
                 Both only look, and fail where something is out of date, with --check
  generate-client
                 Make the TypeScript client of that API, in clients/typescript
  package        Package every publishable crate, and build each from its package alone
  fuzz [TARGET…] Feed what reads bytes from outside with what a fuzzer makes up; --help says how
  semver [REV]   Compare what is public with the last release, or with a revision
  help           Say this
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = match arguments.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("help", &[][..]),
    };
    let outcome = match task {
        "test" => test::run(rest),
        "matrix" => matrix::run(rest),
        "package" => package::run(rest),
        "semver" => semver::run(rest),
        "openapi" => openapi::run(rest),
        "fuzz" => fuzz::run(rest),
        "generate-client" => client::run(rest),
        "new-provider" => new_provider::run(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        unknown => Err(format!("there is no task {unknown:?}; `cargo xtask help` lists them")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}
