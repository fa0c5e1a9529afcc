//! What the documents say of providers is what the providers say of themselves. `cargo xtask matrix` writes it anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{fmt::Write as _, path::Path};

use telephony_core::{Capability, ProviderDescriptor, Support};
use telephony_registry::Registry;
use telephony_testkit::readme;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn providers() -> Vec<&'static ProviderDescriptor> {
    let mut providers: Vec<_> = Registry::linked().unwrap().iter().collect();
    providers.sort_by_key(|provider| provider.name().as_str());
    providers
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
            Support::Impossible => "impossible",
        };
        let cells: Vec<_> = providers.iter().map(cell).collect();
        writeln!(table, "| {} | {} |", in_a_cell(capability.description()), cells.join(" | ")).unwrap();
    }
    let formats = |provider: &&ProviderDescriptor| {
        let formats: Vec<_> = provider.media().formats.iter().map(ToString::to_string).collect();
        formats.join(", ")
    };
    let webhooks: Vec<_> = providers.iter().map(|provider| provider.webhook_authenticity().as_str()).collect();
    writeln!(table, "| webhooks | {} |", webhooks.join(" | ")).unwrap();
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
        text.push_str(&readme::configuration(provider));
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

#[test]
fn what_each_provider_says_of_itself() {
    for provider in providers() {
        readme::check(root().join(provider.package().name).join("README.md"), provider).unwrap();
    }
}

#[test]
fn all_providers_side_by_side() {
    readme::check_sections(root().join("README.md"), &[("matrix", matrix())]).unwrap();
    let sections = [("matrix", matrix()), ("details", details())];
    readme::check_sections(root().join("docs/providers.md"), &sections).unwrap();
}
