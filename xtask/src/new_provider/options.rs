//! What the new crate shall be like: taken from flags, asked for at a terminal, or assumed.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::PathBuf,
};

use super::{folder, template, workspace};
use crate::step::root;

/// Everything that is to be known of the new crate.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answers {
    pub(super) name: String,
    pub(super) display_name: String,
    pub(super) driven_by: &'static str,
    pub(super) webhooks: &'static str,
    pub(super) audio: &'static str,
    /// Of [`FORMATS`], the usual one first.
    pub(super) formats: Vec<Choice>,
    pub(super) place: Place,
}

/// Where the crate goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    Workspace,
    Own { folder: PathBuf, published: bool },
}

/// A word that can be chosen, and what it means.
pub(super) type Choice = (&'static str, &'static str);

pub(super) const DRIVEN_BY: &[Choice] = &[
    ("document", "it asks a URL, and reads the answer: markup or JSON"),
    ("commands", "each step is a request; answers to webhooks are ignored"),
];
pub(super) const WEBHOOKS: &[Choice] = &[
    ("hmac", "HMAC over the URL and a form"),
    ("jwt", "a JSON Web Token with the hash of a JSON body"),
    ("ed25519", "Ed25519 over a timestamp and a JSON body"),
    ("token", "none of these: a secret that it repeats"),
];
pub(super) const AUDIO: &[Choice] = &[("base64", "in JSON text messages"), ("binary", "in binary messages")];
const PLACES: &[Choice] = &[
    ("own", "a folder outside this checkout, for a repository of its own"),
    ("workspace", "this workspace: a member, and a feature of the registry"),
];

/// Formats as they are asked for, and the constants of `AudioFormat`.
pub(super) const FORMATS: &[Choice] = &[
    ("mulaw/8000", "MULAW_8K"),
    ("alaw/8000", "ALAW_8K"),
    ("l16/8000", "LINEAR16_8K"),
    ("l16/16000", "LINEAR16_16K"),
    ("l16/24000", "LINEAR16_24K"),
    ("l16/48000", "LINEAR16_48K"),
];

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
        let formats: Vec<&str> = self.formats.iter().map(|(name, _)| *name).collect();
        format!("driven by {driven}, {webhooks}, {audio}: {}", formats.join(", "))
    }
}

pub(super) fn camel_case(name: &str) -> String {
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

/// Who answers what the flags leave open.
enum Asked<'a> {
    /// Somebody at a terminal.
    Somebody { input: &'a mut dyn BufRead, output: &'a mut dyn Write },
    /// Nobody: the defaults are taken.
    Nobody,
}

impl Asked<'_> {
    /// Takes what a flag says, else asks, until the answer can be used.
    fn settle<T>(
        &mut self,
        (flag, given): (&str, Option<String>),
        question: &str,
        default: &str,
        usable: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, String> {
        if let Some(given) = given {
            return usable(&given).map_err(|reason| format!("{flag}: {reason}"));
        }
        let Self::Somebody { input, output } = self else { return usable(default) };
        let cannot = |error: io::Error| format!("nothing was written: {error}");
        writeln!(output, "\n{question}").map_err(cannot)?;
        loop {
            let prompt = if default.is_empty() { "> ".to_owned() } else { format!("[{default}] > ") };
            write!(output, "{prompt}").and_then(|()| output.flush()).map_err(cannot)?;
            let mut line = String::new();
            if input.read_line(&mut line).map_err(cannot)? == 0 {
                writeln!(output).map_err(cannot)?;
                return Err("the input ended; nothing was written".to_owned());
            }
            let answer = line.trim();
            match usable(if answer.is_empty() { default } else { answer }) {
                Ok(used) => return Ok(used),
                Err(reason) => writeln!(output, "  {reason}").map_err(cannot)?,
            }
        }
    }
}

/// Reads the flags, and asks for what they leave open.
pub(super) fn read(arguments: &[String]) -> Result<(Answers, bool), String> {
    let given = parse(arguments)?;
    let dry_run = given.dry_run;
    let stdin = io::stdin();
    let answers = if stdin.is_terminal() {
        complete(given, &mut Asked::Somebody { input: &mut stdin.lock(), output: &mut io::stdout() })
    } else {
        complete(given, &mut Asked::Nobody)
    };
    answers.map(|answers| (answers, dry_run))
}

fn parse(arguments: &[String]) -> Result<Given, String> {
    let mut given = Given::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let (flag, inline) = match argument.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_owned())),
            _ => (argument.as_str(), None),
        };
        let text = match flag {
            "--display-name" => Some(&mut given.display_name),
            "--driven-by" => Some(&mut given.driven_by),
            "--webhooks" => Some(&mut given.webhooks),
            "--audio" => Some(&mut given.audio),
            "--formats" => Some(&mut given.formats),
            "--out" => Some(&mut given.out),
            _ => None,
        };
        if let Some(text) = text {
            // What looks like the next option is no value.
            let value = inline.or_else(|| rest.next().filter(|next| !next.starts_with("--")).cloned());
            let value = value.filter(|value| !value.is_empty()).ok_or_else(|| format!("{flag} needs a value"))?;
            if let Some(before) = text.replace(value) {
                return Err(format!("{flag} is there twice; before it was {before:?}"));
            }
            continue;
        }
        match flag {
            "--in-workspace" => given.in_workspace = true,
            "--published" => given.published = true,
            "--dry-run" => given.dry_run = true,
            unknown if unknown.starts_with('-') => {
                return Err(format!("there is no option {unknown}; `cargo xtask new-provider --help` lists them"));
            }
            name if given.name.is_none() => given.name = Some(name.to_owned()),
            more => return Err(format!("one name is enough: {more:?} is too much")),
        }
        if inline.is_some() {
            return Err(format!("{flag} takes no value"));
        }
    }
    if given.in_workspace && (given.out.is_some() || given.published) {
        return Err(
            "--in-workspace goes with neither --out nor --published: the crate stands in this workspace".to_owned()
        );
    }
    Ok(given)
}

fn complete(given: Given, asked: &mut Asked<'_>) -> Result<Answers, String> {
    if given.name.is_none() && matches!(asked, Asked::Nobody) {
        return Err("a name is needed: cargo xtask new-provider NAME (--help says more)".to_owned());
    }
    let question = "Which one word stands for the carrier, in the crate's name, the feature and the configuration?\n  \
        1 to 32 lower-case letters, digits and hyphens: acme is the crate telephony-acme";
    let name = asked.settle(("NAME", given.name), question, "", |name| check_name(name).map(|()| name.to_owned()))?;
    let display_name = asked.settle(
        ("--display-name", given.display_name),
        "What is the carrier called, for people?",
        &display_name_of(&name),
        |name| check_display_name(name).map(|()| name.trim().to_owned()),
    )?;
    let mut choose = |flag, given, question: &str, default, known| {
        asked.settle((flag, given), &with_choices(question, known), default, |word| one_of(word, known))
    };
    let driven_by =
        choose("--driven-by", given.driven_by, "How is it told what a call shall do?", "document", DRIVEN_BY)?;
    let question = "How does it show that a webhook is its own?";
    let webhooks = choose("--webhooks", given.webhooks, question, "hmac", WEBHOOKS)?;
    let audio = choose("--audio", given.audio, "How does audio cross the media socket?", "base64", AUDIO)?;
    let question = format!(
        "In which encodings and rates, in Hz? The usual one first, separated by commas.\n  {}",
        names(FORMATS).join(", ")
    );
    let default = if audio == "base64" { "mulaw/8000" } else { "l16/16000" };
    let formats = asked.settle(("--formats", given.formats), &question, default, formats)?;
    let place = match (given.in_workspace, given.published || given.out.is_some()) {
        (true, _) => Some("workspace".to_owned()),
        (false, true) => Some("own".to_owned()),
        (false, false) => None,
    };
    let question = with_choices("Where does the crate go?", PLACES);
    let place = asked.settle(("--in-workspace", place), &question, "own", |word| match one_of(word, PLACES)? {
        "workspace" => workspace::refuse_as_member(&name).map(|()| "workspace"),
        own => Ok(own),
    })?;
    let place = if place == "workspace" {
        Place::Workspace
    } else {
        // Beside this checkout.
        let default = root().with_file_name(format!("telephony-{name}"));
        let question = "In which folder? A new one, or one that is empty.";
        let folder = asked.settle(("--out", given.out), question, &default.display().to_string(), folder::usable)?;
        Place::Own { folder, published: given.published }
    };
    Ok(Answers { name, display_name, driven_by, webhooks, audio, formats, place })
}

/// A question, and what can be answered.
fn with_choices(question: &str, choices: &[Choice]) -> String {
    format!("{question}\n{}", explained(choices, 2).trim_end())
}

/// A line for each choice, indented.
pub(super) fn explained(choices: &[Choice], indent: usize) -> String {
    let longest = choices.iter().map(|(word, _)| word.len()).max().unwrap_or(0);
    choices.iter().map(|(word, meaning)| format!("{:indent$}{word:<longest$}  {meaning}\n", "")).collect()
}

pub(super) fn names(choices: &[Choice]) -> Vec<&'static str> {
    choices.iter().map(|(word, _)| *word).collect()
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
    template::refuse_confusing(name)?;
    workspace::refuse_taken_name(name)
}

/// `Acme Voice` of `acme-voice`.
fn display_name_of(name: &str) -> String {
    name.split('-').map(camel_case).collect::<Vec<_>>().join(" ")
}

fn check_display_name(name: &str) -> Result<(), String> {
    let name = name.trim();
    // It stands in texts of Rust and TOML, in tables, and in comments that rustdoc reads.
    let plain = |c: char| !c.is_control() && !matches!(c, '"' | '\\' | '|' | '<' | '>' | '`' | '[' | ']');
    if matches!(name.chars().count(), 1..=64) && name.chars().all(plain) && !name.contains("://") {
        Ok(())
    } else {
        Err(format!(
            "{name:?} cannot be printed everywhere: 1 to 64 characters, no address, and none of \" \\ | < > ` [ ]"
        ))
    }
}

fn one_of(given: &str, known: &[Choice]) -> Result<&'static str, String> {
    let found = known.iter().find(|(word, _)| *word == given);
    found.map(|(word, _)| *word).ok_or_else(|| format!("{given:?} is none of {}", names(known).join(", ")))
}

fn formats(given: &str) -> Result<Vec<Choice>, String> {
    let mut chosen = Vec::new();
    for one in given.split(',').map(str::trim) {
        let known = FORMATS.iter().find(|(name, _)| *name == one);
        let known = known.ok_or_else(|| format!("{one:?} is none of {}", names(FORMATS).join(", ")))?;
        if chosen.contains(known) {
            return Err(format!("{one} is there twice"));
        }
        chosen.push(*known);
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(arguments: &[&str]) -> Result<Given, String> {
        parse(&arguments.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    fn read_without_terminal(arguments: &[&str]) -> Result<Answers, String> {
        complete(flags(arguments)?, &mut Asked::Nobody)
    }

    /// What comes of it when somebody types this, and what is shown meanwhile.
    fn read_at_terminal(arguments: &[&str], typed: &str) -> (Result<Answers, String>, String) {
        let (mut input, mut output) = (typed.as_bytes(), Vec::new());
        let answers =
            complete(flags(arguments).unwrap(), &mut Asked::Somebody { input: &mut input, output: &mut output });
        (answers, String::from_utf8(output).unwrap())
    }

    #[test]
    fn what_is_not_given_is_sensible() {
        let answers = read_without_terminal(&["zeta-voice"]).unwrap();
        assert_eq!((answers.display_name.as_str(), answers.type_prefix().as_str()), ("Zeta Voice", "ZetaVoice"));
        assert_eq!((answers.driven_by, answers.webhooks, answers.audio), ("document", "hmac", "base64"));
        assert_eq!(answers.formats, [("mulaw/8000", "MULAW_8K")]);
        assert!(answers.folder().ends_with("telephony-zeta-voice") && !answers.folder().starts_with(root()));
        let binary = read_without_terminal(&["acme", "--audio=binary"]).unwrap();
        assert_eq!(binary.formats, [("l16/16000", "LINEAR16_16K")]);
    }

    #[test]
    fn what_is_given_is_taken() {
        let all = [
            "--display-name",
            "Acme Telephone",
            "--driven-by",
            "commands",
            "--webhooks=ed25519",
            "acme",
            "--audio",
            "binary",
            "--formats",
            "l16/24000, alaw/8000",
            "--in-workspace",
        ];
        let answers = read_without_terminal(&all).unwrap();
        assert_eq!(names(&answers.formats), ["l16/24000", "alaw/8000"]);
        assert_eq!((answers.place.clone(), answers.folder()), (Place::Workspace, root().join("telephony-acme")));
        let (same, shown) = read_at_terminal(&all, "");
        assert_eq!((same, shown.as_str()), (Ok(answers), ""), "nothing is asked that was said");
    }

    #[test]
    fn what_is_open_is_asked_with_its_choices_and_a_default() {
        let (answers, shown) = read_at_terminal(&[], "zeta\n\ncommands\n\nbinary\n\nworkspace\n");
        let answers = answers.unwrap();
        assert_eq!((answers.name.as_str(), answers.display_name.as_str()), ("zeta", "Zeta"));
        assert_eq!((answers.driven_by, answers.webhooks, answers.audio), ("commands", "hmac", "binary"));
        assert_eq!((names(&answers.formats), answers.place), (vec!["l16/16000"], Place::Workspace));
        for choices in [DRIVEN_BY, WEBHOOKS, AUDIO, PLACES] {
            assert!(shown.contains(&explained(choices, 2)), "{shown}");
        }
        for default in ["[Zeta]", "[document]", "[hmac]", "[base64]", "[l16/16000]", "[own]"] {
            assert!(shown.contains(default), "{default}: {shown}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_used_is_asked_for_again() {
        let typed = "\nTwilio\ntwilio\nzeta\n\"\n\nmagic\nDocument\n\n\n\nopus/48000\nl16/8000\nhere\nown\n";
        let folder = std::env::temp_dir().join("no-such-folder/telephony-zeta");
        let typed = format!("{typed}{}\n{}\n", root().display(), folder.display());
        let (answers, shown) = read_at_terminal(&[], &typed);
        assert_eq!(names(&answers.unwrap().formats), ["l16/8000"]);
        for reason in
            ["\"\" is no name", "\"Twilio\" is no name", "twilio is taken", "cannot be printed", "\"magic\" is none"]
        {
            assert!(shown.contains(reason), "{reason}: {shown}");
        }
        for reason in ["\"Document\" is none", "\"opus/48000\" is none", "\"here\" is none", "inside this workspace"] {
            assert!(shown.contains(reason), "{reason}: {shown}");
        }
        // A flag is not asked about again: whoever wrote it may be a script.
        assert!(read_at_terminal(&["zeta", "--audio", "opus"], "\n\n\n").0.unwrap_err().contains("--audio: "));
    }

    #[test]
    fn an_end_of_the_input_ends_it() {
        for typed in ["", "zeta\n", "zeta\n\ncommands\n"] {
            assert_eq!(read_at_terminal(&[], typed).0.unwrap_err(), "the input ended; nothing was written");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        for (arguments, reason) in [
            (&["Acme"][..], "lower-case"),
            (&["4acme"], "beginning with a letter"),
            (&["zürich"], "lower-case"),
            (&[""], "lower-case"),
            (&["acme-"], "between two words"),
            (&["-acme"], "no option -acme"),
            (&["ac--me"], "between two words"),
            (&["telephony-acme"], "say \"acme\""),
            (&["a-name-that-is-longer-than-32-characters"], "1 to 32"),
            (&["twilio"], "is taken"),
            (&["core"], "is taken"),
            (&["all"], "is taken"),
            (&["self"], "like another"),
            (&[], "a name is needed"),
            (&["acme", "other"], "too much"),
            (&["acme", "--driven-by", "magic"], "--driven-by: \"magic\" is none of document, commands"),
            (&["acme", "--webhooks", "magic"], "hmac, jwt, ed25519, token"),
            (&["acme", "--audio="], "--audio needs a value"),
            (&["acme", "--formats", "opus/48000"], "mulaw/8000"),
            (&["acme", "--formats", "l16/8000,l16/8000"], "twice"),
            (&["acme", "--display-name", "\"Acme\""], "--display-name"),
            (&["acme", "--display-name", " "], "1 to 64"),
            (&["acme", "--display-name", "--audio", "binary"], "--display-name needs a value"),
            (&["acme", "--out"], "--out needs a value"),
            (&["acme", "--out", "a", "--out=b"], "--out is there twice"),
            (&["acme", "--out", root().to_str().unwrap()], "inside this workspace"),
            (&["acme", "--in-workspace", "--out", "x"], "neither"),
            (&["acme", "--in-workspace", "--published"], "neither"),
            (&["acme", "--in-workspace=yes"], "--in-workspace takes no value"),
            (&["acme-two", "--in-workspace"], "the template's"),
            (&["acme", "--fast"], "no option --fast"),
        ] {
            let refused = read_without_terminal(arguments).unwrap_err();
            assert!(refused.contains(reason), "{arguments:?}: {refused}");
        }
    }
}
