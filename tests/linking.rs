//! Each Cargo feature of the registry links its provider and nothing else: alone, none and all, in a debug build and in a
//! release build with link-time optimisation.
//!
//! The features of a whole-workspace build are unified, so the registry is built by itself here, into a folder of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Each feature alone, none, all, and all with their simulators: the list, and what must be linked.
fn cases() -> Vec<(String, Vec<String>)> {
    let all = providers();
    let mut cases = vec![(String::new(), Vec::new()), ("all".to_owned(), all.clone())];
    cases.extend(all.iter().map(|name| (name.clone(), vec![name.clone()])));
    cases.push((format!("{},simulators", all.join(",")), all));
    cases
}

/// The registry's features that stand for a provider each.
fn providers() -> Vec<String> {
    let metadata = cargo_metadata::MetadataCommand::new().current_dir(root()).no_deps().exec().expect("cargo metadata");
    let registry = metadata.packages.into_iter().find(|package| package.name.as_str() == "telephony-registry");
    registry.expect("the registry is a member").features.remove("all").expect("the registry has the feature `all`")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above").to_owned()
}

/// The names that a program prints whose registry has these features.
fn linked(features: &str, release: bool) -> Vec<String> {
    let target = root().join("target").join("linking");
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    cargo
        .current_dir(root())
        .args(["run", "--quiet", "-p", "telephony-registry", "--example", "linked", "--features", features])
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_INCREMENTAL", "0");
    if release {
        cargo.arg("--release");
    }
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("names are text").lines().map(str::to_owned).collect()
}

#[test]
fn features_link_their_providers_in_debug() {
    for (features, expected) in cases() {
        assert_eq!(linked(&features, false), expected, "features {features:?}");
    }
}

#[test]
fn features_link_their_providers_in_release_with_lto() {
    for (features, expected) in cases() {
        assert_eq!(linked(&features, true), expected, "features {features:?}");
    }
}
