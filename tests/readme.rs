//! What the READMEs say of providers is what the providers say of themselves. `UPDATE_README=1 cargo test -p tests --test
//! readme` writes it anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use telephony_core::{ProviderDescriptor, config};
use telephony_registry::Registry;

fn readme(provider: &ProviderDescriptor) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(provider.package().name).join("README.md")
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

fn with_section(text: &str, name: &str, content: &str) -> String {
    let start = format!("<!-- generated:{name} -->\n");
    let (before, rest) = text.split_once(&start).unwrap_or_else(|| panic!("no section {name}"));
    let (_, after) = rest.split_once("<!-- /generated -->").unwrap();
    format!("{before}{start}{content}<!-- /generated -->{after}")
}

#[test]
fn tables_are_up_to_date() {
    for provider in Registry::linked().unwrap().iter() {
        let path = readme(provider);
        let current = fs::read_to_string(&path).unwrap();
        let fresh = with_section(&current, "config", &configuration(provider));
        let fresh = with_section(&fresh, "capabilities", &capabilities(provider));
        if std::env::var_os("UPDATE_README").is_some() {
            fs::write(&path, fresh).unwrap();
        } else {
            assert!(current == fresh, "{} is out of date: see the top of this test", path.display());
        }
    }
}
