//! Prints the names of the providers that the features have linked, one a line.

#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::process::ExitCode;

use telephony_registry::Registry;

fn main() -> ExitCode {
    match Registry::linked() {
        Ok(registry) => {
            for name in registry.names() {
                println!("{name}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}
