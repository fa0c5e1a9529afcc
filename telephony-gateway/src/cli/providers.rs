//! `telephony providers`.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use clap::Args;
use serde_json::{Value, json};
use telephony_core::{ProviderDescriptor, config};

use super::{CliError, registry, render, table};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  telephony providers\n  telephony providers NAME\n  telephony providers --json")]
pub(super) struct ProvidersArguments {
    /// Say all about this one: its configuration and what it can do
    name: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &ProvidersArguments) -> Result<u8, CliError> {
    let registry = registry()?;
    let text = match (&arguments.name, arguments.json) {
        (Some(name), false) => detail(registry.get(name)?),
        (Some(name), true) => format!("{:#}\n", as_json(registry.get(name)?)),
        (None, true) => format!("{:#}\n", registry.iter().map(as_json).collect::<Value>()),
        (None, false) if registry.iter().len() == 0 => {
            "No provider is linked into this program: build it with the feature `providers`, or name a provider's crate.\n"
                .to_owned()
        }
        (None, false) => overview(registry.iter()),
    };
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()?;
    Ok(0)
}

fn overview(providers: impl Iterator<Item = &'static ProviderDescriptor>) -> String {
    let mut rows = table(["NAME", "CARRIER", "CRATE", "AUDIO", "SIMULATOR", "CAN DO"]);
    for provider in providers {
        let package = provider.package();
        rows.add_row([
            provider.name().to_string(),
            provider.display_name().to_owned(),
            format!("{} {}", package.name, package.version),
            formats(provider),
            if has_simulator(provider) { "yes" } else { "no" }.to_owned(),
            can_do(provider),
        ]);
    }
    render(&rows) + "\nMore on one: telephony providers NAME\n"
}

fn formats(provider: &ProviderDescriptor) -> String {
    provider.media().formats.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn can_do(provider: &ProviderDescriptor) -> String {
    let works = provider.capabilities().iter().filter(|(_, support)| support.works()).count();
    format!("{works} of {}", provider.capabilities().iter().count())
}

fn has_simulator(provider: &ProviderDescriptor) -> bool {
    telephony_sandbox::find(provider.name().as_str()).is_some()
}

fn detail(provider: &ProviderDescriptor) -> String {
    let package = provider.package();
    let mut text = String::new();
    let facts = [
        ("Carrier", provider.display_name().to_owned()),
        ("Documentation", provider.docs_url().to_owned()),
        ("Crate", format!("{} {}", package.name, package.version)),
        ("Audio", formats(provider)),
        ("Simulator", if has_simulator(provider) { "yes" } else { "no" }.to_owned()),
    ];
    for (name, value) in facts {
        let _never = writeln!(text, "{name:<14} {value}");
    }
    let schema = provider.config_schema();
    let required = schema.as_value().get("required").cloned().unwrap_or_default();
    let mut fields = table(["FIELD", "", "WHAT IT IS"]);
    for (name, property) in config::fields_in_order(&schema) {
        let is_required = required.as_array().is_some_and(|names| names.iter().any(|one| *one == *name));
        let secret = property.get("writeOnly").and_then(Value::as_bool) == Some(true);
        let kind = match (is_required, secret) {
            (true, true) => "required, secret",
            (true, false) => "required",
            (false, true) => "secret",
            (false, false) => "",
        };
        let description = property.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        fields.add_row([name, kind.to_owned(), description]);
    }
    let mut capabilities = table(["CAPABILITY", "SUPPORT", "NOTE"]);
    for (capability, support) in provider.capabilities().iter() {
        let note = provider.capabilities().note(capability);
        capabilities.add_row([capability.as_str(), support.as_str(), note]);
    }
    let name = provider.name();
    let _never = write!(
        text,
        "\nConfiguration, as JSON or TOML, with provider = \"{name}\":\n\n{}\n{}",
        render(&fields),
        render(&capabilities)
    );
    text
}

fn as_json(provider: &'static ProviderDescriptor) -> Value {
    let capabilities: Vec<Value> = provider
        .capabilities()
        .iter()
        .map(|(capability, support)| {
            let note = provider.capabilities().note(capability);
            json!({"name": capability.as_str(), "support": support.as_str(), "note": note})
        })
        .collect();
    json!({
        "name": provider.name(),
        "display_name": provider.display_name(),
        "docs_url": provider.docs_url(),
        "package": {"name": provider.package().name, "version": provider.package().version},
        "audio": provider.media().formats,
        "simulator": has_simulator(provider),
        "capabilities": capabilities,
        "config_schema": provider.config_schema(),
    })
}
