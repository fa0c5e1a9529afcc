//! What the new crate shall be like: taken from flags, asked for at a terminal, or assumed.

use std::{
    io::{BufRead, IsTerminal, Write},
    path::PathBuf,
};

use crate::step::root;

/// Everything that is to be known of the new crate.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answers {
    pub(super) name: String,
    pub(super) display_name: String,
    pub(super) driven_by: &'static str,
    pub(super) webhooks: &'static str,
    pub(super) audio: &'static str,
    /// As constants of `AudioFormat`.
    pub(super) formats: Vec<&'static str>,
    pub(super) place: Place,
}

/// Where the crate goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    Workspace,
    Own { folder: PathBuf, published: bool },
}

pub(super) const DRIVEN_BY: &[&str] = &["document", "commands"];
pub(super) const WEBHOOKS: &[&str] = &["hmac", "jwt", "ed25519", "token"];
pub(super) const AUDIO: &[&str] = &["base64", "binary"];

/// Formats as they are asked for, and the constants of `AudioFormat`.
const FORMATS: &[(&str, &str)] = &[
    ("mulaw/8000", "MULAW_8K"),
    ("alaw/8000", "ALAW_8K"),
    ("l16/8000", "LINEAR16_8K"),
    ("l16/16000", "LINEAR16_16K"),
    ("l16/24000", "LINEAR16_24K"),
    ("l16/48000", "LINEAR16_48K"),
];

/// Names whose types would be called like types of `telephony-core` or `telephony-sandbox`.
const CONFUSING: &[&str] =
    &["arc", "call", "capabilities", "capability", "carrier", "package", "provider", "telephony"];

impl Answers {
    /// `telephony-acme`.
    pub(super) fn package(&self) -> String {
        format!("telephony-{}", self.name)
    }

    /// `telephony_acme`.
    pub(super) fn library(&self) -> String {
        self.package().replace('-', "_")
    }

    /// `Acme`: what the names of its types begin with.
    pub(super) fn type_prefix(&self) -> String {
        camel_case(&self.name)
    }

    pub(super) fn folder(&self) -> PathBuf {
        match &self.place {
            Place::Workspace => root().join(self.package()),
            Place::Own { folder, .. } => folder.clone(),
        }
    }

    pub(super) fn choices_in_words(&self) -> String {
        let driven = if self.driven_by == "document" { "answer documents" } else { "commands" };
        let webhooks = match self.webhooks {
            "hmac" => "webhooks with an HMAC over URL and form",
            "jwt" => "webhooks with a JSON Web Token",
            "ed25519" => "webhooks with an Ed25519 signature",
            _ => "webhooks that repeat a secret",
        };
        let audio = if self.audio == "base64" { "audio in base64" } else { "audio in binary messages" };
        format!("driven by {driven}, {webhooks}, {audio}: {}", self.formats.join(", "))
    }
}

fn camel_case(name: &str) -> String {
    let capital = |part: &str| {
        let mut characters = part.chars();
        characters.next().map(|first| first.to_ascii_uppercase().to_string() + characters.as_str()).unwrap_or_default()
    };
    name.split('-').map(capital).collect()
}

/// Flags as they were given.
#[derive(Default)]
struct Given {
    name: Option<String>,
    display_name: Option<String>,
    driven_by: Option<String>,
    webhooks: Option<String>,
    audio: Option<String>,
    formats: Option<String>,
    out: Option<String>,
    in_workspace: bool,
    published: bool,
    dry_run: bool,
}

/// Answers a question that has a default.
type Ask<'a> = dyn FnMut(&str, &str) -> Result<String, String> + 'a;

/// Reads the flags, and asks for what they leave open.
pub(super) fn read(arguments: &[String]) -> Result<(Answers, bool), String> {
    let given = parse(arguments)?;
    let dry_run = given.dry_run;
    let stdin = std::io::stdin();
    let mut ask: Box<Ask<'_>> = if stdin.is_terminal() {
        Box::new(move |question, default| ask_at_terminal(&mut stdin.lock(), question, default))
    } else {
        Box::new(|_, default| Ok(default.to_owned()))
    };
    complete(given, &mut *ask).map(|answers| (answers, dry_run))
}

fn ask_at_terminal(input: &mut dyn BufRead, question: &str, default: &str) -> Result<String, String> {
    print!("{question} [{default}] ");
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    let mut line = String::new();
    let read = input.read_line(&mut line).map_err(|error| error.to_string())?;
    if read == 0 {
        return Err("the input ended; nothing was written".to_owned());
    }
    let answer = line.trim();
    Ok(if answer.is_empty() { default.to_owned() } else { answer.to_owned() })
}

fn parse(arguments: &[String]) -> Result<Given, String> {
    let mut given = Given::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let (flag, inline) = match argument.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_owned())),
            _ => (argument.as_str(), None),
        };
        let mut value = || {
            let value = inline.clone().or_else(|| rest.next().cloned());
            value.filter(|value| !value.is_empty()).ok_or_else(|| format!("{flag} needs a value"))
        };
        match flag {
            "--display-name" => given.display_name = Some(value()?),
            "--driven-by" => given.driven_by = Some(value()?),
            "--webhooks" => given.webhooks = Some(value()?),
            "--audio" => given.audio = Some(value()?),
            "--formats" => given.formats = Some(value()?),
            "--out" => given.out = Some(value()?),
            "--in-workspace" => given.in_workspace = true,
            "--published" => given.published = true,
            "--dry-run" => given.dry_run = true,
            unknown if unknown.starts_with('-') => {
                return Err(format!("there is no option {unknown}; `cargo xtask new-provider --help` lists them"));
            }
            name if given.name.is_none() => given.name = Some(name.to_owned()),
            more => return Err(format!("one name is enough: {more:?} is too much")),
        }
    }
    if given.in_workspace && (given.out.is_some() || given.published) {
        return Err(
            "--in-workspace goes with neither --out nor --published: the crate stands in this workspace".to_owned()
        );
    }
    Ok(given)
}

fn complete(given: Given, ask: &mut Ask<'_>) -> Result<Answers, String> {
    let name = given.name.ok_or("a name is needed: cargo xtask new-provider NAME (--help says more)")?;
    check_name(&name)?;
    let mut or_ask = |flag: Option<String>, question: &str, default: &str| match flag {
        Some(value) => Ok(value),
        None => ask(question, default),
    };
    let display_name = or_ask(given.display_name, "What is the carrier called?", &camel_case(&name))?;
    check_display_name(&display_name)?;
    let question = "How is it told what a call shall do: document, or commands?";
    let driven_by = one_of("--driven-by", &or_ask(given.driven_by, question, "document")?, DRIVEN_BY)?;
    let question = "How does it show that a webhook is its own: hmac (over URL and form), jwt, ed25519 (over time and body), or token (none of these)?";
    let webhooks = one_of("--webhooks", &or_ask(given.webhooks, question, "hmac")?, WEBHOOKS)?;
    let question = "How does audio cross the media socket: base64 (in JSON), or binary?";
    let audio = one_of("--audio", &or_ask(given.audio, question, "base64")?, AUDIO)?;
    let default = if audio == "base64" { "mulaw/8000" } else { "l16/16000" };
    let formats = formats(&or_ask(given.formats, "In which formats, the usual one first?", default)?)?;
    let place = if given.in_workspace {
        Place::Workspace
    } else {
        let default = format!("../telephony-{name}");
        let folder = or_ask(given.out, "Where shall the crate go?", &default)?;
        // As the user's shell sees it; the default is beside this checkout.
        let folder = if folder == default { root().join(folder) } else { PathBuf::from(folder) };
        let folder = std::path::absolute(&folder).map_err(|error| format!("--out: {error}"))?;
        Place::Own { folder: tidy(&folder), published: given.published }
    };
    Ok(Answers { name, display_name, driven_by, webhooks, audio, formats, place })
}

/// A path without `..`, as far as that can be told without looking.
fn tidy(path: &std::path::Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}

fn check_name(name: &str) -> Result<(), String> {
    let letters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !matches!(name.len(), 1..=32) || !letters || !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Err(format!(
            "{name:?} is no name for a provider: 1 to 32 lower-case letters, digits and hyphens, beginning with a letter"
        ));
    }
    if name.ends_with('-') || name.contains("--") {
        return Err(format!("{name:?} is no name for a provider: a hyphen stands between two words"));
    }
    if let Some(without) = name.strip_prefix("telephony-") {
        return Err(format!("the crate is called telephony-{name} then; say {without:?}"));
    }
    if CONFUSING.contains(&name) {
        return Err(format!(
            "{name:?} cannot be the name: types of the crate would be called like those of telephony-core"
        ));
    }
    Ok(())
}

fn check_display_name(name: &str) -> Result<(), String> {
    let plain = |c: char| !c.is_control() && !matches!(c, '"' | '\\' | '|' | '<' | '>' | '`' | '[' | ']');
    if matches!(name.chars().count(), 1..=64) && name.chars().all(plain) {
        Ok(())
    } else {
        Err("--display-name: must have 1 to 64 characters, and none of \" \\ | < > ` [ ]".to_owned())
    }
}

fn one_of(flag: &str, given: &str, known: &'static [&'static str]) -> Result<&'static str, String> {
    let found = known.iter().find(|one| **one == given);
    found.copied().ok_or_else(|| format!("{flag}: {given:?} is none of {}", known.join(", ")))
}

fn formats(given: &str) -> Result<Vec<&'static str>, String> {
    let mut constants = Vec::new();
    for one in given.split(',').map(str::trim) {
        let known = FORMATS.iter().find(|(name, _)| *name == one);
        let (_, constant) = known.ok_or_else(|| {
            let known: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
            format!("--formats: {one:?} is none of {}", known.join(", "))
        })?;
        if constants.contains(constant) {
            return Err(format!("--formats: {one} is there twice"));
        }
        constants.push(constant);
    }
    Ok(constants)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_without_terminal(arguments: &[&str]) -> Result<Answers, String> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        complete(parse(&arguments)?, &mut |_, default| Ok(default.to_owned()))
    }

    #[test]
    fn what_is_not_given_is_sensible() {
        let answers = read_without_terminal(&["acme-voice"]).unwrap();
        assert_eq!((answers.display_name.as_str(), answers.type_prefix().as_str()), ("AcmeVoice", "AcmeVoice"));
        assert_eq!((answers.driven_by, answers.webhooks, answers.audio), ("document", "hmac", "base64"));
        assert_eq!(answers.formats, ["MULAW_8K"]);
        assert!(answers.folder().ends_with("telephony-acme-voice") && !answers.folder().starts_with(root()));
        let binary = read_without_terminal(&["acme", "--audio=binary"]).unwrap();
        assert_eq!(binary.formats, ["LINEAR16_16K"]);
    }

    #[test]
    fn what_is_given_is_taken() {
        let all = [
            "acme",
            "--display-name",
            "Acme Telephone",
            "--driven-by",
            "commands",
            "--webhooks",
            "ed25519",
            "--audio",
            "binary",
            "--formats",
            "l16/24000, alaw/8000",
            "--in-workspace",
        ];
        let answers = read_without_terminal(&all).unwrap();
        assert_eq!(answers.formats, ["LINEAR16_24K", "ALAW_8K"]);
        assert_eq!((answers.place.clone(), answers.folder()), (Place::Workspace, root().join("telephony-acme")));
    }

    #[test]
    fn what_is_asked_is_answered_or_left() {
        let mut asked = Vec::new();
        let answers =
            complete(parse(&["acme".to_owned(), "--audio=binary".to_owned()]).unwrap(), &mut |question, default| {
                asked.push(question.to_owned());
                Ok(if question.contains("told what a call") { "commands" } else { default }.to_owned())
            });
        assert_eq!(answers.unwrap().driven_by, "commands");
        assert_eq!(asked.len(), 5, "{asked:?}");
        let mut input = &b"\n"[..];
        assert_eq!(ask_at_terminal(&mut input, "?", "yes").unwrap(), "yes");
        assert!(ask_at_terminal(&mut input, "?", "yes").is_err());
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        for (arguments, reason) in [
            (&["Acme"][..], "lower-case"),
            (&["4acme"], "beginning with a letter"),
            (&["acme-"], "between two words"),
            (&["telephony-acme"], "say \"acme\""),
            (&["provider"], "telephony-core"),
            (&["a-name-that-is-longer-than-32-characters"], "1 to 32"),
            (&[], "a name is needed"),
            (&["acme", "other"], "too much"),
            (&["acme", "--webhooks", "magic"], "hmac, jwt, ed25519, token"),
            (&["acme", "--formats", "opus/48000"], "mulaw/8000"),
            (&["acme", "--formats", "l16/8000,l16/8000"], "twice"),
            (&["acme", "--display-name", "\"Acme\""], "--display-name"),
            (&["acme", "--out"], "--out needs a value"),
            (&["acme", "--in-workspace", "--out", "x"], "neither"),
            (&["acme", "--fast"], "no option --fast"),
        ] {
            let refused = read_without_terminal(arguments).unwrap_err();
            assert!(refused.contains(reason), "{arguments:?}: {refused}");
        }
    }
}
