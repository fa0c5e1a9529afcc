//! The house rules that a compiler does not check: which crate may depend on which, and where a carrier may be named.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// A crate of ours, the crates of ours that it may depend on, those that only its tests may, and others that it must not name.
#[derive(Clone, Copy)]
struct Rule {
    package: &'static str,
    may: &'static [&'static str],
    tests_may: &'static [&'static str],
    never: &'static [&'static str],
}

/// What holds for every provider's crate.
const PROVIDER: Rule = Rule {
    package: "",
    may: &["telephony-core", "telephony-sandbox"],
    tests_may: &["telephony-testkit"],
    never: &["axum", "sqlx", "reqwest"],
};

const RULES: &[Rule] = &[
    Rule { package: "telephony-core", may: &[], tests_may: &[], never: &["axum", "hyper", "sqlx"] },
    Rule { package: "telephony-sandbox", may: &["telephony-core"], tests_may: &[], never: &["sqlx"] },
    Rule {
        package: "telephony-testkit",
        may: &["telephony-core", "telephony-sandbox"],
        tests_may: &[],
        never: &["axum", "sqlx"],
    },
    Rule {
        package: "telephony-registry",
        // And every provider, optionally.
        may: &["telephony-core"],
        tests_may: &[],
        never: &["axum", "sqlx", "reqwest"],
    },
    Rule {
        package: "telephony-gateway",
        may: &["telephony-core", "telephony-registry", "telephony-sandbox"],
        tests_may: &[],
        never: &[],
    },
    Rule { package: "xtask", may: &[], tests_may: &[], never: &[] },
    Rule {
        package: "tests",
        may: &[],
        // One provider by name: the conformance suite is tried on it with defects put in.
        tests_may: &[
            "telephony-core",
            "telephony-gateway",
            "telephony-registry",
            "telephony-sandbox",
            "telephony-testkit",
            "telephony-twilio",
        ],
        never: &[],
    },
];

fn packages() -> Vec<Package> {
    MetadataCommand::new().current_dir(root()).no_deps().exec().expect("cargo metadata").packages
}

/// Whether a package is one of the ways in which the template of a provider's crate is compiled.
fn is_template(package: &str) -> bool {
    package.starts_with("telephony-acme-")
}

/// The folder of a package.
fn folder(package: &Package) -> PathBuf {
    package.manifest_path.parent().expect("a manifest lies in a folder").into()
}

/// The crates of the providers: those that the registry has a feature for.
fn providers(packages: &[Package]) -> BTreeSet<String> {
    let registry = packages.iter().find(|package| package.name.as_str() == "telephony-registry");
    let features = &registry.expect("the registry is a member").features["all"];
    features.iter().map(|name| format!("telephony-{name}")).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above").to_owned()
}

#[test]
fn crates_depend_only_downwards() {
    let packages = packages();
    let providers = providers(&packages);
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let ruled = RULES.iter().map(|rule| rule.package).chain(providers.iter().map(String::as_str)).collect();
    let no_template: BTreeSet<&str> = ours.iter().copied().filter(|name| !is_template(name)).collect();
    assert_eq!(
        no_template, ruled,
        "each crate of the workspace has its line in the table, or is a provider of the registry"
    );

    let mut broken = Vec::new();
    for package in &packages {
        let rule = RULES.iter().find(|rule| rule.package == package.name.as_str()).unwrap_or(&PROVIDER);
        let is_registry = rule.package == "telephony-registry";
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let allowed = match dependency.kind {
                _ if rule.never.contains(&name) => dependency.kind == DependencyKind::Development,
                _ if !ours.contains(name) => true,
                DependencyKind::Development => rule.may.contains(&name) || rule.tests_may.contains(&name),
                _ => rule.may.contains(&name) || (is_registry && providers.contains(name)),
            };
            if !allowed {
                broken.push(format!("{} -> {name} ({:?})", package.name, dependency.kind));
            }
            let is_provider = providers.contains(name) || (rule.package.is_empty() && name == "telephony-sandbox");
            if is_provider && dependency.kind == DependencyKind::Normal && !dependency.optional {
                broken.push(format!("{} -> {name} must be optional", package.name));
            }
        }
    }
    assert!(broken.is_empty(), "edges that the architecture forbids: {broken:#?}");
}

#[test]
fn no_carrier_is_named_outside_its_own_crate() {
    // The registry's feature list and link lines are the one exception, and they are not searched.
    let searched = ["telephony-core/src", "telephony-sandbox/src", "telephony-testkit/src", "telephony-gateway/src"];
    let providers = providers(&packages());
    let mut names: Vec<&str> = providers.iter().filter_map(|name| name.strip_prefix("telephony-")).collect();
    names.extend(["twiml", "ncco", "nexmo"]);
    let mut found = Vec::new();
    for folder in searched {
        for file in files_below(&root().join(folder)) {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            for (number, line) in text.lines().enumerate() {
                let lower = line.to_lowercase();
                if names.iter().any(|name| lower.contains(name)) {
                    found.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "carriers named where none is known: {found:#?}");
}

#[test]
fn every_provider_crate_has_the_same_rooms() {
    let rooms = ["lib", "config", "provider", "api", "error", "signature", "webhook", "answer", "media", "simulator"];
    let mut missing = Vec::new();
    for provider in providers(&packages()) {
        let source = root().join(&provider).join("src");
        for room in rooms {
            let found = source.join(format!("{room}.rs")).is_file() || source.join(room).join("mod.rs").is_file();
            if !found {
                missing.push(format!("{provider}/src/{room}.rs"));
            }
        }
        for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "tests/conformance.rs"] {
            if !root().join(&provider).join(file).is_file() {
                missing.push(format!("{provider}/{file}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_module_says_what_it_is_for() {
    let mut silent = Vec::new();
    for package in packages() {
        for part in ["src", "tests", "examples", "benches"] {
            silent.extend(files_below(&folder(&package).join(part)).into_iter().filter(|file| is_silent(file)));
        }
    }
    silent.extend(files_below(&root().join("template")).into_iter().filter(|file| is_silent(file)));
    assert!(silent.is_empty(), "files whose first line is not `//!`: {silent:#?}");
}

/// Whether a source file does not begin with what it is for; the marks of the template do not count.
fn is_silent(file: &Path) -> bool {
    let is_source = file.extension().is_some_and(|extension| extension == "rs");
    is_source && {
        let text = fs::read_to_string(file).expect("a source file is text");
        let first = text.lines().find(|line| !line.starts_with("// [") && !line.starts_with("// ]"));
        !first.is_some_and(|line| line.starts_with("//!"))
    }
}

#[test]
fn versions_are_said_once() {
    // A crate takes every dependency from the workspace, so that each has one version and one set of features.
    let mut own = BTreeMap::new();
    for package in packages() {
        let manifest = fs::read_to_string(&package.manifest_path).expect("each crate has one");
        let dependencies = manifest.lines().skip_while(|line| !line.starts_with("[dependencies]"));
        let offending: Vec<String> = dependencies
            .take_while(|line| !line.starts_with("[[") && !line.starts_with("[lints]"))
            .filter(|line| line.contains("version =") || line.split_once(" = \"").is_some())
            .map(str::to_owned)
            .collect();
        if !offending.is_empty() {
            own.insert(package.name.to_string(), offending);
        }
    }
    assert!(own.is_empty(), "{own:#?}");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}
