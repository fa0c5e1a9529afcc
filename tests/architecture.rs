//! The house rules that a compiler does not check: which crate may depend on which, and where a carrier may be named.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};
use http::{HeaderMap, Method};
use serde_json::Value;
use telephony_core::{ProviderContext, Timestamp, WebhookRequest};
use telephony_registry::Registry;
use telephony_sandbox::registered;

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
        // Two providers by name: the conformance suite is tried on them with defects put in.
        tests_may: &[
            "telephony-core",
            "telephony-gateway",
            "telephony-registry",
            "telephony-sandbox",
            "telephony-telnyx",
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
    let searched = [
        "telephony-core/src",
        "telephony-sandbox/src",
        "telephony-testkit/src",
        "telephony-gateway/src",
        "telephony-gateway/pages",
    ];
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
fn no_page_has_a_script_or_a_style_in_it() {
    // The policy of the pages would not let them run; here it is said before somebody wonders why.
    let mut found = Vec::new();
    for file in files_below(&root().join("telephony-gateway/pages/templates")) {
        let text = fs::read_to_string(&file).expect("a template is text");
        for (number, line) in text.lines().enumerate() {
            let has_handler = line.split_whitespace().any(|word| word.starts_with("on") && word.contains("=\""));
            let has_script = line.contains("<script") && !line.contains("<script type=\"module\" src=\"");
            if has_handler
                || has_script
                || line.contains("<style")
                || line.contains(" style=\"")
                || line.contains("javascript:")
            {
                found.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "scripts and styles in a page: {found:#?}");
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

#[test]
fn lints_hold_the_documentation() {
    // What each of them asks for is a warning, and `cargo xtask test lint` takes no warning.
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace has one");
    for lint in ["missing_docs", "missing_errors_doc", "missing_panics_doc", "unsafe_code"] {
        let line = manifest.lines().find(|line| line.starts_with(&format!("{lint} = ")));
        assert!(line.is_some_and(|line| !line.contains("allow")), "{lint}: {line:?}");
    }
    let mut without = Vec::new();
    for package in packages() {
        let manifest = fs::read_to_string(&package.manifest_path).expect("each crate has one");
        if !manifest.contains("[lints]\nworkspace = true") {
            without.push(package.name.to_string());
        }
        for file in files_below(&folder(&package).join("src")) {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let lints = ["missing_docs", "missing_errors_doc", "missing_panics_doc"];
            if text.contains("#![allow") && lints.iter().any(|lint| text.contains(lint)) {
                without.push(file.display().to_string());
            }
        }
    }
    assert!(without.is_empty(), "these go without the lints of the workspace: {without:?}");
}

#[test]
fn what_a_carrier_does_has_its_source() {
    // The rooms in which a carrier's behaviour is written down; `config` and `provider` lean on them.
    let rooms = ["api", "error", "signature", "webhook", "answer", "media"];
    let mut unfounded = Vec::new();
    for provider in providers(&packages()) {
        for room in rooms {
            let source = root().join(&provider).join("src");
            let mut files = files_below(&source.join(room));
            files.push(source.join(format!("{room}.rs")));
            let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
            let founded =
                texts.into_iter().any(|text| text.contains("Source: <https://") || text.contains("Source: the"));
            if !founded {
                unfounded.push(format!("{provider}: {room}"));
            }
        }
    }
    assert!(unfounded.is_empty(), "rooms that do not say where a carrier's behaviour is documented: {unfounded:?}");
}

#[test]
fn no_configuration_turns_verification_off() {
    for simulator in registered() {
        let provider = simulator.provider();
        let mut account = simulator.build().account(&"http://127.0.0.1:9/".parse().expect("a URL"));
        account.as_object_mut().expect("an account is an object").remove("provider");
        let schema = provider.config_schema().to_value();
        // Everything that may be absent, absent; everything that has a choice, each way.
        let mut accounts = vec![account.clone()];
        for (field, of) in schema["properties"].as_object().expect("an account has fields") {
            let mut without = account.clone();
            without.as_object_mut().expect("an account is an object").remove(field);
            accounts.push(without);
            let choices = of["enum"].as_array().cloned().unwrap_or_default();
            for choice in choices.into_iter().chain([Value::Bool(true), Value::Bool(false)]) {
                let mut with = account.clone();
                with[field] = choice;
                accounts.push(with);
            }
        }
        let mut tried = 0;
        for account in accounts {
            let context = ProviderContext::network().expect("HTTP can be set up");
            let Ok(provider) = provider.build(&account, context) else { continue };
            for (method, body) in [(Method::POST, "a=b"), (Method::POST, r#"{"a":"b"}"#), (Method::GET, "")] {
                let url = "https://voice.example.com/events/1?a=b";
                let now = Timestamp::UNIX_EPOCH;
                let request = WebhookRequest::at_url(method, url, HeaderMap::new(), body.into(), now);
                assert!(provider.verify_webhook_signature(request).is_err(), "{provider:?} takes what is not signed");
                tried += 1;
            }
        }
        assert!(tried >= 3, "{}", provider.name());
    }
    // Nor does an argument or a variable of the program.
    for file in files_below(&root().join("telephony-gateway/src/cli")) {
        let text = fs::read_to_string(&file).expect("a source file is text").to_lowercase();
        for word in ["insecure", "unsigned", "no_verify", "skip_verif", "without_signature", "verify_webhook"] {
            assert!(!text.contains(word), "{word} in {}", file.display());
        }
    }
}

/// What is measured, and so has a unit.
const MEASURES: &[&str] =
    &["age", "delay", "duration", "interval", "latency", "length", "rate", "size", "time", "timeout", "ttl"];
const UNITS: &[&str] = &["bytes", "db", "dbfs", "digits", "hz", "ms", "ns", "samples", "secs", "us"];

/// Whether a number is called after what it measures, and not after its unit.
fn lacks_its_unit(name: &str) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    words.iter().any(|word| MEASURES.contains(word)) && words.last().is_some_and(|last| !UNITS.contains(last))
}

/// The numbers below a schema that lack their units.
fn numbers_without_units(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            for (name, of) in members.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let kind = of["type"].to_string();
                if (kind.contains("integer") || kind.contains("number")) && lacks_its_unit(name) {
                    found.push(name.clone());
                }
            }
            members.values().for_each(|member| numbers_without_units(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| numbers_without_units(item, found)),
        _ => {}
    }
}

#[test]
fn a_bare_number_carries_its_unit_in_its_name() {
    let mut found = Vec::new();
    for file in ["openapi.json", "docs/agent-protocol.schema.json"] {
        let text = fs::read_to_string(root().join(file)).expect("it is kept");
        numbers_without_units(&serde_json::from_str(&text).expect("it is JSON"), &mut found);
    }
    for provider in Registry::linked().expect("the providers of the repository are linked").iter() {
        numbers_without_units(provider.config_schema().as_value(), &mut found);
    }
    let numbers = ["u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "f32", "f64"];
    for package in packages() {
        for file in files_below(&folder(&package).join("src")) {
            let text = fs::read_to_string(&file).unwrap_or_default();
            for line in text.lines().map(str::trim) {
                let Some((name, kind)) = line.strip_prefix("pub ").and_then(|field| field.split_once(": ")) else {
                    continue;
                };
                let kind = kind.trim_end_matches(',').trim_start_matches("Option<").trim_end_matches('>');
                if numbers.contains(&kind) && lacks_its_unit(name.trim_start_matches("const ").to_lowercase().as_str())
                {
                    found.push(format!("{}: {line}", file.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "numbers whose names do not say what they count: {found:#?}");
}

/// The tests of a package by the path at which `cargo test` and people name them.
fn tests_of(package: &Package) -> BTreeSet<String> {
    let folder = folder(package);
    let name = package.name.replace('-', "_");
    let mut all = BTreeSet::new();
    // The tests across crates stand beside their manifest.
    let rooms =
        if package.name.as_str() == "tests" { vec![folder] } else { vec![folder.join("src"), folder.join("tests")] };
    for room in rooms {
        for file in files_below(&room).into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "rs")) {
            let within = file.strip_prefix(&room).expect("it is below").with_extension("");
            let modules = within.iter().map(|part| part.to_string_lossy().into_owned());
            let mut path: Vec<String> = [name.clone()].into_iter().chain(modules).collect();
            path.retain(|part| !["mod", "main", "lib"].contains(&part.as_str()));
            let text = fs::read_to_string(&file).expect("a source file is text");
            let (mut is_test, mut is_left_out) = (false, false);
            for line in text.lines().map(str::trim) {
                if line == "mod tests {" {
                    path.push("tests".to_owned());
                } else if line == "#[test]" || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if line.starts_with("#[ignore") || line.starts_with("#[cfg_attr(") {
                    // What runs only sometimes, or only for whoever asks for it, holds nothing.
                    is_left_out = true;
                } else if let Some(signature) = line.split("fn ").nth(1).filter(|_| !line.starts_with("//")) {
                    let function = signature.split(['(', '<']).next().unwrap_or_default();
                    if is_test && !is_left_out {
                        all.insert(format!("{}::{function}", path.join("::")));
                    }
                    (is_test, is_left_out) = (false, false);
                }
            }
        }
    }
    all
}

#[test]
fn every_claim_of_the_invariants_names_tests_that_are_there() {
    let document = fs::read_to_string(root().join("docs/architecture.md")).expect("the document is there");
    let packages = packages();
    let tests: BTreeSet<String> = packages.iter().flat_map(tests_of).collect();
    let suites = files_below(&root().join("telephony-testkit/src/suites"));
    let suites: String = suites.iter().map(|file| fs::read_to_string(file).expect("it is text")).collect();
    // `kit::suite::trial` is a trial of the conformance suite, `doc::path` an example that must not compile.
    let is_there = |name: &str| match name.split_once("::").expect("a test is named with its crate") {
        ("kit", trial) => {
            let short = trial.split_once("::").expect("a trial is in a suite").1;
            suites.contains(&format!("\"{trial}\"")) || suites.contains(&format!("\"{short}\""))
        }
        ("doc", item) => {
            let parts: Vec<&str> = item.split("::").collect();
            let [package, modules @ .., kind] = parts.as_slice() else { return false };
            let file = root().join(package.replace('_', "-")).join("src").join(modules.join("/")).with_extension("rs");
            let text = fs::read_to_string(file).unwrap_or_default();
            let before = text.split(&format!("pub struct {kind} ")).next().unwrap_or_default();
            before.len() < text.len()
                && before.rsplit("\n\n").next().is_some_and(|docs| docs.contains("```compile_fail"))
        }
        _ => tests.contains(name),
    };
    let room = document.split("## Invariants\n").nth(1).expect("there are invariants");
    let room = room.split("\n## ").next().expect("it has an end");
    let mut table = room.lines().filter(|line| line.starts_with('|'));
    assert_eq!(table.next(), Some("| | what holds | by |"));
    assert_eq!(table.next(), Some("| --- | --- | --- |"));
    let (mut covered, mut claims, mut gone) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for row in table {
        let cells = row.strip_prefix("| ").and_then(|row| row.strip_suffix(" |")).map(|row| row.split(" | ").collect());
        let cells: Vec<&str> = cells.unwrap_or_default();
        let [number, claim, named] = cells.as_slice() else { panic!("a row has three cells: {row}") };
        covered
            .insert(number.parse::<u32>().unwrap_or_else(|_| panic!("a row has the number of its invariant: {row}")));
        assert!(claims.insert(*claim), "twice: {claim}");
        // Names, each in its quotes, separated by commas, and nothing else.
        for name in named.split(", ") {
            let name =
                name.strip_prefix('`').and_then(|name| name.strip_suffix('`')).filter(|name| !name.contains('`'));
            let name = name.unwrap_or_else(|| panic!("what holds a claim is the name of a test: {row}"));
            if !is_there(name) {
                gone.push(name);
            }
        }
    }
    let invariants = room.lines().filter_map(|line| line.split_once(". ")?.0.parse::<u32>().ok());
    assert_eq!(covered, invariants.collect(), "each invariant has its claims");
    assert!(gone.is_empty(), "tests that docs/architecture.md names and that are not there: {gone:#?}");
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
