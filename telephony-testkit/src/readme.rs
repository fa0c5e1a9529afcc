//! The tables of a provider's README: what goes into its configuration, and what it can do, as its descriptor says.
//!
//! A README has two places for them, `<!-- generated:config -->` and `<!-- generated:capabilities -->`, each ended by
//! `<!-- /generated -->`. [`check`] in a test of the crate finds a README that is out of date, and with `UPDATE_README` in the
//! environment mends it.
//!
//! ```ignore
//! #[test]
//! fn the_tables_are_up_to_date() {
//!     let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
//!     telephony_testkit::readme::check(readme, &telephony_acme::DESCRIPTOR).unwrap();
//! }
//! ```

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;
use telephony_core::{ProviderDescriptor, config};

/// The environment variable with which documents are written anew instead of checked.
pub const UPDATE: &str = "UPDATE_README";

/// Why a document is not as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadmeError {
    /// It could not be read or written.
    #[error("{path} could not be read or written")]
    Io {
        /// The document.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It has no such place.
    #[error("{path} has no section <!-- generated:{section} --> that <!-- /generated --> ends")]
    NoSection {
        /// The document.
        path: PathBuf,
        /// The section.
        section: String,
    },
    /// It says something else than the descriptor.
    #[error("{path} is out of date: {UPDATE}=1 writes it anew")]
    OutOfDate {
        /// The document.
        path: PathBuf,
    },
}

/// Checks the README of a provider, or with [`UPDATE`] in the environment writes its tables anew.
///
/// # Errors
///
/// [`ReadmeError`].
pub fn check(readme: impl AsRef<Path>, provider: &ProviderDescriptor) -> Result<(), ReadmeError> {
    let sections = [("config", configuration(provider)), ("capabilities", capabilities(provider))];
    check_sections(readme, &sections)
}

/// The same with sections of one's own: names, and what belongs into each.
///
/// # Errors
///
/// [`ReadmeError`].
pub fn check_sections(document: impl AsRef<Path>, sections: &[(&str, String)]) -> Result<(), ReadmeError> {
    let path = document.as_ref();
    let io = |source| ReadmeError::Io { path: path.to_owned(), source };
    let current = fs::read_to_string(path).map_err(io)?;
    let mut fresh = current.clone();
    for (name, content) in sections {
        let missing = || ReadmeError::NoSection { path: path.to_owned(), section: (*name).to_owned() };
        fresh = with_section(&fresh, name, content).ok_or_else(missing)?;
    }
    if fresh == current {
        Ok(())
    } else if std::env::var_os(UPDATE).is_some() {
        fs::write(path, fresh).map_err(io)
    } else {
        Err(ReadmeError::OutOfDate { path: path.to_owned() })
    }
}

fn with_section(text: &str, name: &str, content: &str) -> Option<String> {
    let start = format!("<!-- generated:{name} -->\n");
    let (before, rest) = text.split_once(&start)?;
    let (_, after) = rest.split_once("<!-- /generated -->")?;
    Some(format!("{before}{start}{content}<!-- /generated -->{after}"))
}

/// A table in Markdown of what goes into the configuration.
#[must_use]
pub fn configuration(provider: &ProviderDescriptor) -> String {
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
        row(&mut table, format_args!("| `{name}` | {} | {description}{default} |", kinds.join(", ")));
    }
    table
}

/// A table in Markdown of every capability, how it is supported, and what is to be known about it.
#[must_use]
pub fn capabilities(provider: &ProviderDescriptor) -> String {
    let mut table = "| capability | support | note |\n| --- | --- | --- |\n".to_owned();
    for (capability, support) in provider.capabilities().iter() {
        let note = provider.capabilities().note(capability);
        row(&mut table, format_args!("| `{capability}` | {support} | {note} |"));
    }
    table
}

fn row(table: &mut String, row: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    if writeln!(table, "{row}").is_err() {
        table.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_kept() {
        let text = "a\n<!-- generated:x -->\nold\n<!-- /generated -->\nb\n";
        let fresh = "a\n<!-- generated:x -->\nnew\n<!-- /generated -->\nb\n";
        assert_eq!(with_section(text, "x", "new\n").as_deref(), Some(fresh));
        assert_eq!(with_section(text, "y", "new\n"), None);
    }
}
