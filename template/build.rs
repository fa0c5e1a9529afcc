//! Compiles the template with the choices that the package's name lists: `telephony-acme-commands-ed25519-base64`.

use std::env;

const CHOICES: &[&str] = &["document", "commands", "hmac", "jwt", "ed25519", "token", "base64", "binary"];

fn main() {
    let package = env::var("CARGO_PKG_NAME").expect("cargo says it");
    let name = package.strip_prefix("telephony-").expect("the crate of a provider");
    println!("cargo::rerun-if-changed=../build.rs");
    println!("cargo::rustc-env=ACME={name}");
    for choice in CHOICES {
        println!("cargo::rustc-check-cfg=cfg({choice})");
        if name.split('-').any(|part| part == *choice) {
            println!("cargo::rustc-cfg={choice}");
        }
    }
}
