//! From the files of `template/crate` to those of a new crate: some are left out, parts of others too, and the names are changed.
//!
//! `signature.hmac.rs` becomes `signature.rs` where webhooks are signed with an HMAC, and nothing elsewhere. Between a line `[hmac`
//! and a line `]`, as comments, stands what is for that choice only, `[hmac|jwt` for either; the `cfg` and `path` attributes in
//! there make the template itself compile, and go.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{
    NewFile, manifest,
    options::{AUDIO, Answers, DRIVEN_BY, Place, WEBHOOKS, camel_case, names},
    read,
};
use crate::step::root;

/// The packages in which the template is compiled, one for each way to sign webhooks.
const COMPILED: &[(&str, &str)] = &[
    ("hmac", "document-hmac-base64"),
    ("jwt", "document-jwt-binary"),
    ("ed25519", "commands-ed25519-base64"),
    ("token", "commands-token-binary"),
];

/// Every file that comes from the template.
pub(super) fn files(answers: &Answers) -> Result<Vec<NewFile>, String> {
    let folder = root().join("template/crate");
    let mut files = Vec::new();
    for source in files_below(&folder)? {
        let relative = source.strip_prefix(&folder).unwrap_or(&source);
        if let Some(path) = target_of(relative, &choices(answers)) {
            let content =
                filled(&read(&source)?, answers).map_err(|reason| format!("{}: {reason}", source.display()))?;
            files.push(NewFile { path, content });
        }
    }
    let (_, package) = COMPILED.iter().find(|(webhooks, _)| *webhooks == answers.webhooks).ok_or("no such package")?;
    let source = root().join("template").join(package).join("Cargo.toml");
    let content =
        filled(&read(&source)?, answers)?.replace(&format!("{}-{package}", answers.package()), &answers.package());
    let content = match answers.place {
        Place::Workspace => content,
        Place::Own { .. } => manifest::stand_alone(&content)?,
    };
    files.push(NewFile { path: "Cargo.toml".into(), content });
    Ok(files)
}

fn choices(answers: &Answers) -> [&'static str; 5] {
    let place = if answers.place == Place::Workspace { "workspace" } else { "own" };
    [answers.driven_by, answers.webhooks, answers.audio, place, "crate"]
}

fn is_choice(word: &str) -> bool {
    ["workspace", "own", "crate", "template"].contains(&word)
        || [DRIVEN_BY, WEBHOOKS, AUDIO].iter().any(|known| names(known).contains(&word))
}

/// Where a file goes; `None` if it is for another choice. Names that a repository would act on stand without their dot.
fn target_of(path: &Path, chosen: &[&str]) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let parts: Vec<&str> = name.split('.').collect();
    let name = match parts.as_slice() {
        [stem, choice, extension] if is_choice(choice) => {
            if !chosen.contains(choice) {
                return None;
            }
            format!("{stem}.{extension}")
        }
        _ => name.to_owned(),
    };
    let path = path.with_file_name(name);
    Some(match path.to_str()? {
        "gitignore" | "ci.yml" if !chosen.contains(&"own") => return None,
        "CHANGELOG.md" | "tests/readme.rs" if !chosen.contains(&"own") => return None,
        "gitignore" => ".gitignore".into(),
        "ci.yml" => ".github/workflows/ci.yml".into(),
        _ => path,
    })
}

/// A file's content with the choices made and the names put in.
fn filled(text: &str, answers: &Answers) -> Result<String, String> {
    let text = cut(text, &choices(answers))?;
    let formats: Vec<String> = answers.formats.iter().map(|(_, constant)| format!("AudioFormat::{constant}")).collect();
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.split_once("FORMATS: &[AudioFormat] = &[") {
            Some((before, _)) => lines.push(format!("{before}FORMATS: &[AudioFormat] = &[{}];", formats.join(", "))),
            None if line.starts_with("keywords = [") => lines.push(format!("keywords = {:?}", keywords(&answers.name))),
            None => lines.push(line.to_owned()),
        }
    }
    let names = [
        (r#"env!("ACME")"#, format!("{:?}", answers.name)),
        ("telephony_acme", answers.library()),
        ("Acme Telephone", answers.display_name.clone()),
        (TYPES, answers.type_prefix()),
        ("acme", answers.name.clone()),
    ];
    Ok(replaced(&(lines.join("\n") + "\n"), &names))
}

/// What the template's types begin with.
const TYPES: &str = "Acme";

/// Every word of the first column by that of the second, the first that fits at each place. What was put in is left alone, also where
/// it reads like another of the words.
fn replaced(text: &str, words: &[(&str, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((at, _, word, by)) =
        words.iter().enumerate().filter_map(|(n, (word, by))| Some((rest.find(word)?, n, word, by))).min()
    {
        out.push_str(&rest[..at]);
        out.push_str(by);
        rest = &rest[at + word.len()..];
    }
    out + rest
}

/// Keywords as crates.io takes them: five, each once, of 20 characters at most.
fn keywords(name: &str) -> Vec<&str> {
    let mut keywords = vec!["telephony", "voip", "voice"];
    for more in [name, "webhook"] {
        if more.len() <= 20 && !keywords.contains(&more) {
            keywords.push(more);
        }
    }
    keywords
}

/// Refuses a name whose types would be called like something else that the crate names.
pub(super) fn refuse_confusing(name: &str) -> Result<(), String> {
    let prefix = camel_case(name);
    let mut words = BTreeSet::new();
    for source in files_below(&root().join("template/crate/src"))? {
        words.extend(identifiers(&read(&source)?));
    }
    let own = words.iter().filter(|word| word.contains(TYPES)).map(|word| word.replace(TYPES, &prefix));
    match own.into_iter().find(|renamed| !renamed.contains(TYPES) && words.contains(renamed)) {
        Some(twice) => {
            Err(format!("{name:?} cannot be the name: a type of the crate would be called like another, {twice}"))
        }
        None => Ok(()),
    }
}

/// The words of a program, without those in comments and texts.
fn identifiers(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter_map(|line| line.split("//").next());
    let code = code.flat_map(|line| line.split('"').step_by(2));
    let words = code.flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    words.map(str::to_owned).collect()
}

/// Takes out what is for other choices, the marks, and the attributes that only the template needs.
fn cut(text: &str, chosen: &[&str]) -> Result<String, String> {
    let mut kept: Vec<&str> = Vec::new();
    let mut block: Option<bool> = None;
    for (number, line) in text.lines().enumerate() {
        match (mark(line), block) {
            (Some(Mark::Begin(choices)), None) => {
                if let Some(unknown) = choices.iter().find(|choice| !is_choice(choice)) {
                    return Err(format!("line {}: there is no choice {unknown:?}", number + 1));
                }
                block = Some(choices.iter().any(|choice| chosen.contains(choice)));
            }
            (Some(Mark::End), Some(_)) => block = None,
            (Some(_), _) => return Err(format!("line {}: a mark that fits no other", number + 1)),
            (None, Some(false)) => {}
            (None, Some(true)) if is_attribute_of_the_template(line) => {}
            (None, Some(true) | None) => kept.push(line),
        }
    }
    if block.is_some() {
        return Err("a mark is not closed".to_owned());
    }
    // A part that is gone may leave two blank lines, or one at an end.
    let mut lines: Vec<&str> = Vec::new();
    for line in kept {
        if !(line.is_empty() && lines.last().is_none_or(|last| last.is_empty())) {
            lines.push(line);
        }
    }
    while lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    Ok(with_imports_merged(&lines).join("\n") + "\n")
}

/// What only some choices import has a line of its own, which joins the list that follows it: `use a::b;` and `use a::{`.
fn with_imports_merged(lines: &[&str]) -> Vec<String> {
    let mut merged: Vec<String> = Vec::new();
    for line in lines {
        let list = line.split_once("::{").map(|(list, _)| list).filter(|list| list.starts_with("use "));
        let alone = list.and_then(|list| {
            let item = merged.last()?.strip_prefix(list)?.strip_prefix("::")?.strip_suffix(';')?;
            (!item.contains([':', '{'])).then(|| item.to_owned())
        });
        match (alone, list) {
            (Some(item), Some(list)) => {
                merged.pop();
                merged.push(line.replacen(&format!("{list}::{{"), &format!("{list}::{{{item}, "), 1));
            }
            _ => merged.push((*line).to_owned()),
        }
    }
    merged
}

enum Mark<'a> {
    Begin(Vec<&'a str>),
    End,
}

/// `// [hmac|jwt` and `// ]`, `# [own` and `# ]`, `<!-- [own -->` and `<!-- ] -->`.
fn mark(line: &str) -> Option<Mark<'_>> {
    let line = line.trim();
    let inside = line
        .strip_prefix("<!-- ")
        .and_then(|rest| rest.strip_suffix(" -->"))
        .or_else(|| line.strip_prefix("// "))
        .or_else(|| line.strip_prefix("# "))?;
    if inside == "]" {
        return Some(Mark::End);
    }
    let choices = inside.strip_prefix('[')?;
    let plain = !choices.is_empty() && choices.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'|');
    plain.then(|| Mark::Begin(choices.split('|').collect()))
}

fn is_attribute_of_the_template(line: &str) -> bool {
    let line = line.trim();
    let condition = line.strip_prefix("#[cfg(").and_then(|rest| rest.strip_suffix(")]"));
    let of_choices = condition.is_some_and(|condition| {
        let words = condition.strip_prefix("any(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(condition);
        words.split(", ").all(is_choice)
    });
    of_choices || line.starts_with("#[path = ")
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let entries = fs::read_dir(folder).map_err(|error| format!("{} could not be read: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| format!("{} could not be read: {error}", folder.display()))?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::{super::places, *};

    /// Every combination of choices.
    fn all() -> Vec<Answers> {
        let mut all = Vec::new();
        for &(driven_by, _) in DRIVEN_BY {
            for &(webhooks, _) in WEBHOOKS {
                for &(audio, _) in AUDIO {
                    for place in [Place::Workspace, Place::Own { folder: "x".into(), published: true }] {
                        all.push(Answers {
                            name: "zeta-voice".to_owned(),
                            display_name: "Zeta".to_owned(),
                            driven_by,
                            webhooks,
                            audio,
                            formats: vec![("alaw/8000", "ALAW_8K")],
                            place,
                        });
                    }
                }
            }
        }
        all
    }

    #[test]
    fn nothing_of_the_template_is_left() {
        for answers in all() {
            for file in files(&answers).unwrap() {
                let (path, text) = (file.path.display(), &file.content);
                for line in text.lines() {
                    assert!(mark(line).is_none() && !is_attribute_of_the_template(line), "{path}: {line}");
                }
                assert!(!text.to_lowercase().contains("acme"), "{path} names the template's carrier");
                assert!(!text.contains("\n\n\n"), "{path} has blank lines in a row");
            }
        }
    }

    #[test]
    fn every_choice_has_its_rooms() {
        let rooms = ["lib", "config", "provider", "api", "error", "signature", "webhook", "answer", "media"];
        for answers in all() {
            let files = files(&answers).unwrap();
            let has = |path: &str| files.iter().filter(|file| file.path == Path::new(path)).count() == 1;
            for room in rooms {
                assert!(has(&format!("src/{room}.rs")), "{room} for {answers:?}");
            }
            for file in ["src/simulator/mod.rs", "src/simulator/webhooks.rs", "README.md", "Cargo.toml"] {
                assert!(has(file), "{file} for {answers:?}");
            }
            assert_eq!(has(".github/workflows/ci.yml"), answers.place != Place::Workspace);
            let media = files.iter().find(|file| file.path == Path::new("src/media.rs")).unwrap();
            assert!(media.content.contains("FORMATS: &[AudioFormat] = &[AudioFormat::ALAW_8K];"));
        }
    }

    #[test]
    fn what_is_put_in_is_left_alone() {
        let words = [
            ("Acme Telephone", "The Acme of acme".to_owned()),
            ("Acme", "B".to_owned()),
            ("acme", "acme-b".to_owned()),
        ];
        assert_eq!(replaced("Acme Telephone, AcmeConfig, x-acme.", &words), "The Acme of acme, BConfig, x-acme-b.");
    }

    #[test]
    fn keywords_are_as_the_registry_takes_them() {
        assert_eq!(keywords("zeta"), ["telephony", "voip", "voice", "zeta", "webhook"]);
        assert_eq!(keywords("voip"), ["telephony", "voip", "voice", "webhook"]);
        assert_eq!(keywords("a-name-of-21-letters-x").len(), 4);
    }

    #[test]
    fn a_name_is_confusing_if_a_type_would_be_called_like_another() {
        for name in ["self", "arc", "option", "call", "package", "provider", "telephony", "carrier"] {
            assert!(refuse_confusing(name).unwrap_err().contains("like another"), "{name}");
        }
        for name in ["acme", "acme-two", "async", "type", "serde", "source", "telephone"] {
            assert_eq!(refuse_confusing(name), Ok(()));
        }
    }

    #[test]
    fn what_a_new_owner_reads_is_as_if_written_by_hand() {
        let workspace = read(&root().join("Cargo.toml")).unwrap();
        let rust =
            workspace.lines().find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"')).unwrap();
        for answers in all() {
            for file in files(&answers).unwrap() {
                let (path, text) = (file.path.display(), &file.content);
                for import in ["use telephony_core::", "use crate::"] {
                    let times = text.lines().filter(|line| line.starts_with(import)).count();
                    assert!(times <= 1, "{path} has {times} lines {import}");
                }
                for line in text.lines().filter(|line| line.starts_with("//")) {
                    assert!(line.chars().count() <= 132, "{path}: {line}");
                }
                for question in places::in_text(&file.path, text) {
                    assert!(question.text.contains('?'), "{path}: {question:?} is no question");
                }
                // Each page of the carrier's that is named is asked for just above.
                for (at, _) in text.match_indices("//! Source: <https://example.com") {
                    assert!(text[..at].rsplit("FILL IN: ").next().unwrap().contains("documented"), "{path}");
                }
            }
            if answers.place != Place::Workspace {
                let said = |path: &str| {
                    let files = files(&answers).unwrap();
                    files.iter().find(|file| file.path == Path::new(path)).unwrap().content.clone()
                };
                assert!(said(".github/workflows/ci.yml").contains(&format!("toolchain install {rust} ")));
                assert!(said("README.md").contains(&format!("Needs Rust {rust} ")));
            }
        }
    }

    #[test]
    fn what_one_choice_imports_joins_the_rest() {
        let lines = ["use a::b;", "use a::{", "    c,", "};", "use x::y;", "use x::{z};", "use x::{w};"];
        assert_eq!(with_imports_merged(&lines), ["use a::{b, ", "    c,", "};", "use x::{y, z};", "use x::{w};"]);
    }

    #[test]
    fn marks_choose_and_go() {
        let text = "a\n// [hmac\n#[cfg(hmac)]\nb\n// ]\n\n# [jwt|token\nc\n# ]\n\nd\n<!-- [own -->\ne\n<!-- ] -->\n";
        assert_eq!(cut(text, &["hmac"]).unwrap(), "a\nb\n\nd\n");
        assert_eq!(cut(text, &["token", "own"]).unwrap(), "a\n\nc\n\nd\ne\n");
        assert!(cut("// [nonsense\n// ]\n", &[]).unwrap_err().contains("nonsense"));
        assert!(cut("// [hmac\n", &[]).is_err() && cut("// ]\n", &[]).is_err());
        assert!(cut("// [hmac\n// [jwt\n// ]\n// ]\n", &[]).is_err());
    }
}
