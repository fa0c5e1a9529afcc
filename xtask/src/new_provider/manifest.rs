//! A member's `Cargo.toml` made to stand alone: what it takes from the workspace is written out.

use std::collections::BTreeMap;

use super::read;
use crate::step::root;

/// What a provider crate outside the workspace depends on of ours.
const OURS: &[&str] = &["telephony-core", "telephony-sandbox", "telephony-testkit"];

/// What a provider crate needs of crates that the workspace takes more of.
const FEATURES: &[(&str, &[&str])] =
    &[("time", &["formatting", "parsing"]), ("tokio", &["macros", "rt"]), ("uuid", &["v4"])];

/// Writes out every `workspace = true`.
pub(super) fn stand_alone(manifest: &str) -> Result<String, String> {
    let workspace = read(&root().join("Cargo.toml"))?;
    let package = section(&workspace, "workspace.package");
    let dependencies: BTreeMap<String, String> = section(&workspace, "workspace.dependencies")
        .into_iter()
        .filter_map(|line| line.split_once(" = ").map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    let mut out = Vec::new();
    for line in manifest.lines() {
        if let Some(name) = line.strip_suffix(".workspace = true") {
            match name {
                "version" => out.push("version = \"0.1.0\"".to_owned()),
                // Whose repository it is, only its author knows.
                "repository" => {
                    out.push(format!("documentation = \"https://docs.rs/{}\"", package_name(manifest)?));
                    // Whose repository it is, only its author knows.
                    out.push(
                        r#"# repository = "https://…"  # FILL IN: where does the crate's repository live?"#.to_owned(),
                    );
                }
                _ => {
                    let inherited = package.iter().find(|line| line.starts_with(&format!("{name} = ")));
                    match inherited {
                        Some(line) => out.push((*line).to_owned()),
                        None => out.push(format!("{name} = {}", dependency(&dependencies, name)?)),
                    }
                }
            }
        } else if let Some((name, rest)) = line.split_once(" = { workspace = true, ") {
            let value = dependency(&dependencies, name)?;
            let rest = rest.trim_end_matches(" }");
            match value.strip_suffix(" }") {
                Some(table) => out.push(format!("{name} = {table}, {rest} }}")),
                None => out.push(format!("{name} = {{ version = {value}, {rest} }}")),
            }
        } else if line == "workspace = true" {
            // The lints: the section that this line is all of is replaced by those of the workspace.
            out.pop();
            for lints in ["rust", "clippy"] {
                out.push(format!("[lints.{lints}]"));
                out.extend(section(&workspace, &format!("workspace.lints.{lints}")).into_iter().map(str::to_owned));
                out.push(String::new());
            }
        } else {
            out.push(line.to_owned());
        }
    }
    let mut text = out.join("\n").trim_end().to_owned();
    text.push_str("\n\n# No member of a workspace that this folder may happen to lie in.\n[workspace]\n");
    Ok(text)
}

fn package_name(manifest: &str) -> Result<&str, String> {
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    name.ok_or_else(|| "the manifest has no name".to_owned())
}

/// A dependency's version as the workspace has it; ours by version alone.
fn dependency(known: &BTreeMap<String, String>, name: &str) -> Result<String, String> {
    let value = known.get(name).ok_or_else(|| format!("the workspace has no dependency {name}"))?;
    match value.split_once("version = \"") {
        Some((before, rest)) if before.contains("path = ") => {
            let version = rest.split('"').next().unwrap_or_default();
            // What is compatible with 0.1.0 is what 0.1 means, to whoever reads it.
            Ok(format!("\"{}\"", version.trim_end_matches(".0")))
        }
        _ => Ok(match FEATURES.iter().find(|(known, _)| *known == name) {
            Some((_, features)) => with_features(value, features),
            None => value.clone(),
        }),
    }
}

/// A dependency with these features in place of its own.
fn with_features(value: &str, features: &[&str]) -> String {
    match value.split_once("features = [") {
        Some((before, rest)) => {
            let after = rest.split_once(']').map_or("", |(_, after)| after);
            let features: Vec<String> = features.iter().map(|feature| format!("{feature:?}")).collect();
            format!("{before}features = [{}]{after}", features.join(", "))
        }
        None => value.to_owned(),
    }
}

/// The lines of a section of a `Cargo.toml`, comments and blanks left out. A value stands on one line.
fn section<'a>(manifest: &'a str, name: &str) -> Vec<&'a str> {
    let header = format!("[{name}]");
    let lines = manifest.lines().skip_while(|line| *line != header).skip(1);
    lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// A `.cargo/config.toml` that takes our crates from this checkout.
pub(super) fn patch_of_this_checkout() -> Result<String, String> {
    let mut text = "\
# Takes the crates of telephony from a checkout, where they are not published yet or newer than what is. Not for committing: it
# says where things lie on one machine.
[patch.crates-io]
"
    .to_owned();
    for name in OURS {
        let path = root().join(name);
        let path = path.to_str().ok_or("the path of this checkout is no text")?;
        text.push_str(&format!("{name} = {{ path = {path:?} }}\n"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_workspace_says_is_written_out() {
        let manifest = "[package]\nname = \"telephony-x\"\nversion.workspace = true\nedition.workspace = true\n\
            repository.workspace = true\n\n[dependencies]\n\
            telephony-core.workspace = true\ntelephony-sandbox = { workspace = true, optional = true }\nserde.workspace = true\n\
            tokio.workspace = true\nuuid = { workspace = true, optional = true }\n\n[lints]\nworkspace = true\n";
        let text = stand_alone(manifest).unwrap();
        for line in [
            "version = \"0.1.0\"",
            "edition = \"2024\"",
            "documentation = \"https://docs.rs/telephony-x\"",
            "telephony-core = \"0.1\"",
            "telephony-sandbox = { version = \"0.1\", optional = true }",
            "[lints.rust]",
            "unsafe_code = \"forbid\"",
            "[lints.clippy]",
            "[workspace]",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is missing:\n{text}");
        }
        // Of a crate that the workspace needs for much more, what a provider needs.
        let tokio = text.lines().find(|line| line.starts_with("tokio = ")).unwrap();
        assert!(
            tokio.contains("default-features = false") && tokio.ends_with(r#"features = ["macros", "rt"] }"#),
            "{tokio}"
        );
        assert!(text.contains(r#"features = ["v4"], optional = true }"#), "{text}");
        assert!(text.contains("serde = { version = ") && !text.contains("workspace = true"), "{text}");
        assert!(text.contains("optional = true }\n\n[lints.rust]"), "{text}");
    }
}
