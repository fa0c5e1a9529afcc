//! What the documents say of providers is what the providers say of themselves. `cargo xtask matrix` writes it anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use telephony_core::{Capability, ProviderDescriptor, Support, config};
use telephony_registry::Registry;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn readme(provider: &ProviderDescriptor) -> PathBuf {
    root().join(provider.package().name).join("README.md")
}

fn providers() -> Vec<&'static ProviderDescriptor> {
    let mut providers: Vec<_> = Registry::linked().unwrap().iter().collect();
    providers.sort_by_key(|provider| provider.name().as_str());
    providers
}

fn configuration(provider: &ProviderDescriptor) -> String {
    let schema = provider.config_schema();
    let required = schema.as_value()["required"].as_array().cloned().unwrap_or_default();
    let mut table = "| field | | what it is |\n| --- | --- | --- |\n".to_owned();
    for (name, property) in config::fields_in_order(&schema) {
        let mut kinds = Vec::new();
        kinds.extend(required.iter().any(|one| *one == *name).then_some("required"));
        kinds.extend((property["writeOnly"] == true).then_some("secret"));
        let description = property["description"].as_str().unwrap_or_default().replace('\n', " ");
        let default = match &property["default"] {
            Value::Null | Value::Array(_) => String::new(),
            value => format!(" Default {value}."),
        };
        writeln!(table, "| `{name}` | {} | {description}{default} |", kinds.join(", ")).unwrap();
    }
    table
}

fn capabilities(provider: &ProviderDescriptor) -> String {
    let mut table = "| capability | support | note |\n| --- | --- | --- |\n".to_owned();
    for (capability, support) in provider.capabilities().iter() {
        let note = provider.capabilities().note(capability);
        writeln!(table, "| `{capability}` | {support} | {note} |").unwrap();
    }
    table
}

/// Every capability of every provider, side by side.
fn matrix() -> String {
    let providers = providers();
    let names: Vec<_> = providers.iter().map(|provider| provider.display_name()).collect();
    let mut table = format!("| | {} |\n| --- |{}\n", names.join(" | "), " --- |".repeat(names.len()));
    for &capability in Capability::ALL {
        let cell = |provider: &&ProviderDescriptor| match provider.capabilities().support(capability) {
            Support::Native => "native",
            Support::Emulated => "*emulated*",
            Support::NotYet => "not yet",
            Support::Impossible => "–",
        };
        let cells: Vec<_> = providers.iter().map(cell).collect();
        writeln!(table, "| {} | {} |", in_a_cell(capability.description()), cells.join(" | ")).unwrap();
    }
    let formats = |provider: &&ProviderDescriptor| {
        let formats: Vec<_> = provider.media().formats.iter().map(ToString::to_string).collect();
        formats.join(", ")
    };
    writeln!(table, "| audio | {} |", providers.iter().map(formats).collect::<Vec<_>>().join(" | ")).unwrap();
    table
}

/// What a capability is, fit for a table: without the method that has it, and without links.
fn in_a_cell(description: &str) -> String {
    let what = description.split(": [`").next().unwrap_or_default().trim_end_matches('.');
    match what.split_once("[`").and_then(|(before, link)| Some((before, link.split_once("`](")?.0))) {
        Some((before, name)) => format!("{before}`{name}`"),
        None => what.to_owned(),
    }
}

/// For each provider, what is emulated, what is impossible and why; then what its configuration holds.
fn details() -> String {
    let mut text = String::new();
    for provider in providers() {
        let package = provider.package().name;
        writeln!(text, "## {}\n", provider.display_name()).unwrap();
        writeln!(text, "The crate [`{package}`](../{package}), the feature `{}` of the registry.\n", provider.name())
            .unwrap();
        text.push_str(&configuration(provider));
        let mut notes = String::new();
        for (capability, support) in provider.capabilities().iter() {
            let note = provider.capabilities().note(capability);
            if !note.is_empty() {
                writeln!(notes, "- `{capability}` is {support}: {note}.").unwrap();
            }
        }
        if !notes.is_empty() {
            write!(text, "\n{notes}").unwrap();
        }
        text.push('\n');
    }
    text
}

fn with_section(text: &str, name: &str, content: &str) -> String {
    let start = format!("<!-- generated:{name} -->\n");
    let (before, rest) = text.split_once(&start).unwrap_or_else(|| panic!("no section {name}"));
    let (_, after) = rest.split_once("<!-- /generated -->").unwrap();
    format!("{before}{start}{content}<!-- /generated -->{after}")
}

/// Fills the sections of a document, or refuses one that is not as it would be written now.
fn check(path: &Path, sections: &[(&str, String)]) {
    let current = fs::read_to_string(path).unwrap();
    let fresh = sections.iter().fold(current.clone(), |text, (name, content)| with_section(&text, name, content));
    if std::env::var_os("UPDATE_MATRIX").is_some() {
        fs::write(path, fresh).unwrap();
    } else {
        assert!(current == fresh, "{} is out of date: run `cargo xtask matrix`", path.display());
    }
}

#[test]
fn what_each_provider_says_of_itself() {
    for provider in providers() {
        let sections = [("config", configuration(provider)), ("capabilities", capabilities(provider))];
        check(&readme(provider), &sections);
    }
}

#[test]
fn all_providers_side_by_side() {
    check(&root().join("README.md"), &[("matrix", matrix())]);
    check(&root().join("docs/providers.md"), &[("matrix", matrix()), ("details", details())]);
}
