//! What a new member changes in this workspace: its lines in two manifests, and the line that links it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{formatted, options::Answers, read};
use crate::step::root;

const MANIFEST: &str = "Cargo.toml";
const REGISTRY_MANIFEST: &str = "telephony-registry/Cargo.toml";
const REGISTRY: &str = "telephony-registry/src/lib.rs";

/// A file of the workspace, before and after.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) path: &'static str,
    before: String,
    after: String,
}

impl Edit {
    fn of(path: &'static str, change: impl FnOnce(&str) -> Result<String, String>) -> Result<Self, String> {
        let before = read(&root().join(path))?;
        let after = change(&before).map_err(|reason| format!("{path}: {reason}"))?;
        Ok(Self { path, before, after })
    }

    pub(super) fn lines_added(&self) -> isize {
        self.after.lines().count() as isize - self.before.lines().count() as isize
    }
}

/// Refuses the name of a provider that there is, of another crate of ours, or of another feature of the registry.
pub(super) fn refuse_taken_name(name: &str) -> Result<(), String> {
    let manifest = read(&root().join(MANIFEST))?;
    let taken = manifest.lines().any(|line| line.trim() == format!("\"telephony-{name}\","));
    if taken || root().join(format!("telephony-{name}")).exists() {
        return Err(format!("{name} is taken: this workspace has the crate telephony-{name}"));
    }
    let registry = read(&root().join(REGISTRY_MANIFEST))?;
    if registry.lines().any(|line| line.starts_with(&format!("{name} = ["))) {
        return Err(format!("{name} is taken: it is a feature of telephony-registry that stands for no carrier"));
    }
    Ok(())
}

/// Refuses what a member cannot be called.
pub(super) fn refuse_as_member(name: &str) -> Result<(), String> {
    if name.starts_with("acme-") {
        return Err(format!(
            "{name:?} cannot be a member's name: the packages that compile the template are the template's"
        ));
    }
    Ok(())
}

/// The changes that make a new crate a member and a feature of the registry.
pub(super) fn edits(answers: &Answers) -> Result<Vec<Edit>, String> {
    Ok(vec![
        Edit::of(MANIFEST, |text| in_manifest(text, answers))?,
        Edit::of(REGISTRY_MANIFEST, |text| in_registry_manifest(text, answers))?,
        Edit::of(REGISTRY, |text| in_registry(text, answers).map(|text| formatted(&text)))?,
    ])
}

/// Files as they were, to put them back.
#[derive(Debug)]
pub(super) struct Before(Vec<(PathBuf, Option<String>)>);

impl Before {
    /// Remembers what a new member may change: what `edits` names, and what is generated from it.
    pub(super) fn of(edits: &[Edit]) -> Result<Self, String> {
        let edited = edits.iter().map(|edit| root().join(edit.path));
        let mut paths: Vec<PathBuf> = edited.chain(GENERATED.iter().map(|path| root().join(path))).collect();
        let members =
            fs::read_dir(root()).map_err(|error| format!("{} could not be read: {error}", root().display()))?;
        paths.extend(members.flatten().map(|member| member.path().join("README.md")).filter(|readme| readme.is_file()));
        let remembered = paths.into_iter().map(|path| match path.exists() {
            true => read(&path).map(|text| (path, Some(text))),
            false => Ok((path, None)),
        });
        remembered.collect::<Result<_, _>>().map(Self)
    }

    /// Puts back what differs.
    pub(super) fn restore(&self) -> Result<(), String> {
        for (path, before) in &self.0 {
            let restored = match before {
                Some(text) if fs::read_to_string(path).is_ok_and(|now| now == *text) => Ok(()),
                Some(text) => replace(path, text),
                None if path.exists() => fs::remove_file(path),
                None => Ok(()),
            };
            restored
                .map_err(|error| format!("{} could not be put back: {error}; restore it with git", path.display()))?;
        }
        Ok(())
    }
}

/// What is generated when there is a new member.
const GENERATED: &[&str] = &["README.md", "docs/providers.md", "Cargo.lock"];

/// Writes the changes.
pub(super) fn apply(edits: &[Edit]) -> Result<(), String> {
    for edit in edits {
        replace(&root().join(edit.path), &edit.after)
            .map_err(|error| format!("{} could not be written: {error}", edit.path))?;
    }
    Ok(())
}

/// A file is as it was or as it shall be, and nothing between.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("unfinished");
    let outcome = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    if outcome.is_err() && beside.exists() {
        fs::remove_file(&beside)?;
    }
    outcome
}

fn in_manifest(text: &str, answers: &Answers) -> Result<String, String> {
    let package = answers.package();
    let text = before_line(text, "    \"telephony-registry\",", &format!("    \"{package}\","))?;
    let own = format!("{package} = {{ path = \"{package}\", version = \"0.1.0\" }}");
    before_line(&text, "telephony-registry = { path = \"telephony-registry\", version = \"0.1.0\" }", &own)
}

fn in_registry_manifest(text: &str, answers: &Answers) -> Result<String, String> {
    let (name, package) = (&answers.name, answers.package());
    let text = before_line(text, "# All of them.", &format!("{name} = [\"dep:{package}\"]"))?;
    let text = before_line(
        &text,
        "serde_json.workspace = true",
        &format!("{package} = {{ workspace = true, optional = true }}"),
    )?;
    // The simulators, a line each, in order.
    let text = in_order(&text, "simulators = [", &format!("    \"{package}?/simulator\","))?;
    let all =
        text.lines().find(|line| line.starts_with("all = [")).ok_or("the feature `all` is not on one line")?.to_owned();
    let list = all.trim_start_matches("all = [").trim_end_matches(']');
    let mut names: Vec<&str> = list.split(", ").map(|name| name.trim_matches('"')).collect();
    names.push(name);
    names.sort_unstable();
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    Ok(text.replace(&all, &format!("all = [{}]", names.join(", "))))
}

fn in_registry(text: &str, answers: &Answers) -> Result<String, String> {
    let name = &answers.name;
    let row = format!("//! | `{name}` | {} |", answers.display_name);
    let text = before_line(text, "//! | `all` | all of them |", &row)?;
    let link = format!("#[cfg(feature = {name:?})]\nuse {} as _;", answers.library());
    let last = text.lines().rfind(|line| line.ends_with(" as _;")).ok_or("no provider is linked")?.to_owned();
    Ok(text.replacen(&last, &format!("{last}\n{link}"), 1))
}

/// Puts a line before another, which must be there once.
fn before_line(text: &str, anchor: &str, line: &str) -> Result<String, String> {
    if text.lines().filter(|one| *one == anchor).count() != 1 {
        return Err(format!("the line {anchor:?} should be there once"));
    }
    let lines = text.lines().flat_map(|one| if one == anchor { vec![line, one] } else { vec![one] });
    Ok(lines.collect::<Vec<_>>().join("\n") + "\n")
}

/// Puts a line into a list that begins after a line and ends with `]`, in order.
fn in_order(text: &str, begin: &str, line: &str) -> Result<String, String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().position(|one| *one == begin).ok_or_else(|| format!("the line {begin:?} is missing"))? + 1;
    let length = lines[start..].iter().position(|one| *one == "]").ok_or_else(|| format!("{begin:?} does not end"))?;
    lines.insert(start + length, line);
    lines[start..=start + length].sort_unstable();
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::{super::options::Place, *};

    fn answers() -> Answers {
        Answers {
            name: "quux".to_owned(),
            display_name: "Quux Voice".to_owned(),
            driven_by: "document",
            webhooks: "hmac",
            audio: "base64",
            formats: vec![("mulaw/8000", "MULAW_8K")],
            place: Place::Workspace,
        }
    }

    #[test]
    fn a_member_gets_its_lines() {
        let edits = edits(&answers()).unwrap();
        let after = |path: &str| edits.iter().find(|edit| edit.path == path).unwrap().after.clone();
        let has = |path: &str, line: &str| {
            let text = after(path);
            assert!(text.lines().any(|one| one == line), "{line} is missing in {path}:\n{text}");
        };
        has(MANIFEST, "    \"telephony-quux\",");
        has(MANIFEST, "telephony-quux = { path = \"telephony-quux\", version = \"0.1.0\" }");
        has(REGISTRY_MANIFEST, "quux = [\"dep:telephony-quux\"]");
        has(REGISTRY_MANIFEST, "telephony-quux = { workspace = true, optional = true }");
        has(REGISTRY_MANIFEST, "    \"telephony-quux?/simulator\",");
        assert!(after(REGISTRY_MANIFEST).contains(r#""plivo", "quux", "telnyx""#), "in order");
        has(REGISTRY, "//! | `quux` | Quux Voice |");
        has(REGISTRY, "use telephony_quux as _;");
        assert_eq!(edits.iter().map(Edit::lines_added).collect::<Vec<_>>(), [2, 3, 3]);
    }

    #[test]
    fn a_name_that_is_taken_is_refused() {
        assert!(refuse_taken_name("twilio").unwrap_err().contains("is taken"));
        assert!(refuse_taken_name("core").unwrap_err().contains("is taken"));
        for feature in ["default", "all", "simulators"] {
            assert!(refuse_taken_name(feature).unwrap_err().contains("a feature"), "{feature}");
        }
        assert!(refuse_as_member("acme-two").is_err() && refuse_as_member("quux").is_ok());
        assert_eq!(refuse_taken_name("quux"), Ok(()));
    }
}
