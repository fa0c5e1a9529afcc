//! `cargo xtask new-provider`: a provider crate that compiles, passes its tests and rings, with a question at each place that is
//! the carrier's own.
//!
//! What it writes is copied from the crate in `template/`, which is compiled and tested in every run; `template/README.md` says
//! how the one becomes the other.

mod folder;
mod manifest;
mod options;
mod places;
mod template;
mod workspace;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Once,
};

use options::{Answers, Place, explained};

use crate::step::{Step, root, say};

/// What is printed for `--help`.
fn help() -> String {
    let choices = |choices| explained(choices, 26).trim_end().to_owned();
    format!(
        "\
Make a provider crate for another carrier: one that compiles, passes its tests, its conformance run and clippy, has a working
simulator, and marks each place that is the carrier's own with a question (FILL IN).

Usage: cargo xtask new-provider [NAME] [OPTIONS]

Arguments:
  NAME  The one word for the carrier: in the crate (telephony-NAME), the feature, the configuration.
        1 to 32 lower-case letters, digits and hyphens, beginning with a letter

Options:
  --display-name TEXT   The carrier's name, for people [default: NAME with capitals]
  --driven-by HOW       How the carrier is told what a call shall do [default: document]
{driven_by}
  --webhooks HOW        How it shows that a webhook is its own [default: hmac]
{webhooks}
  --audio HOW           How audio crosses the media socket [default: base64]
{audio}
  --formats LIST        The encodings of a stream and their rates in Hz, the usual one first, separated by commas:
                        {formats}
                        [default: mulaw/8000 in base64, l16/16000 in binary]
  --out DIR             Where a crate for a repository of its own goes: a folder that is new, or empty but for .git
                        [default: telephony-NAME beside this checkout]
  --published           Depend on the published crates only; else the new crate takes them from this checkout
  --in-workspace        Make it a member of this workspace instead, and a feature of the registry
  --dry-run             Say what would be written, and write nothing
  -h, --help            Say this

What is not given is asked for at a terminal; without one, the defaults are taken, and NAME must be given.
",
        driven_by = choices(options::DRIVEN_BY),
        webhooks = choices(options::WEBHOOKS),
        audio = choices(options::AUDIO),
        formats = options::names(options::FORMATS).join(", "),
    )
}

/// A file to write, below the new crate's folder.
struct NewFile {
    path: PathBuf,
    content: String,
}

/// Everything that would be done.
struct Plan {
    folder: PathBuf,
    files: Vec<NewFile>,
    /// Files of this workspace as they would be, whole.
    edits: Vec<workspace::Edit>,
}

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if arguments.iter().any(|argument| argument == "-h" || argument == "--help") {
        say(format_args!("{}", help().trim_end()));
        return Ok(());
    }
    let (answers, dry_run) = options::read(arguments)?;
    let plan = plan(&answers)?;
    describe(&plan, &answers);
    if dry_run {
        say(format_args!("\nNothing was written (--dry-run)."));
        return Ok(());
    }
    match answers.place {
        Place::Own { .. } => write(&plan)?,
        Place::Workspace => write_member(&plan)?,
    }
    say(format_args!("\n{}", next_steps(&plan, &answers)));
    Ok(())
}

fn plan(answers: &Answers) -> Result<Plan, String> {
    let folder = answers.folder();
    let mut files = template::files(answers)?;
    if let Place::Own { published, .. } = answers.place {
        for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
            let text = read(&root().join(licence))?
                .replace("The telephony authors", &format!("The {} authors", answers.package()));
            files.push(NewFile { path: licence.into(), content: text });
        }
        files.push(NewFile { path: "rustfmt.toml".into(), content: read(&root().join("rustfmt.toml"))? });
        files.push(NewFile { path: "clippy.toml".into(), content: read(&root().join("clippy.toml"))? });
        if !published {
            files.push(NewFile { path: ".cargo/config.toml".into(), content: manifest::patch_of_this_checkout()? });
        }
    } else {
        for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
            files.push(NewFile { path: licence.into(), content: read(&root().join(licence))? });
        }
    }
    // A name changes the order of imports and the length of lines.
    for file in files.iter_mut().filter(|file| file.path.extension().is_some_and(|end| end == "rs")) {
        file.content = formatted(&file.content);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let edits = match answers.place {
        Place::Workspace => workspace::edits(answers)?,
        Place::Own { .. } => Vec::new(),
    };
    Ok(Plan { folder, files, edits })
}

fn describe(plan: &Plan, answers: &Answers) {
    say(format_args!("{} ({}), {}", answers.display_name, answers.package(), answers.choices_in_words()));
    say(format_args!("\nto {}:", plan.folder.display()));
    for file in &plan.files {
        say(format_args!("  {:<40} {:>4} lines", file.path.display(), file.content.lines().count()));
    }
    if !plan.edits.is_empty() {
        say(format_args!("\nchanged:"));
        for edit in &plan.edits {
            say(format_args!("  {:<40} {:>+4} lines", edit.path, edit.lines_added()));
        }
    }
}

/// Writes the crate whole, or nothing.
fn write(plan: &Plan) -> Result<(), String> {
    let above = plan.folder.ancestors().skip(1);
    let missing: Vec<&Path> = above.take_while(|folder| !folder.exists()).collect();
    let outcome = if plan.folder.exists() { write_into(plan) } else { write_beside(plan) };
    if outcome.is_err() {
        for folder in missing {
            // One that somebody else has put something into meanwhile stays.
            let _removed = fs::remove_dir(folder);
        }
    }
    outcome
}

/// Writes beside the folder, which then appears with everything in it.
fn write_beside(plan: &Plan) -> Result<(), String> {
    let name = plan.folder.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = plan.folder.with_file_name(format!(".{name}{}", folder::UNFINISHED));
    let parent = plan.folder.parent().unwrap_or(&plan.folder);
    fs::create_dir_all(parent).map_err(|error| format!("{} could not be made: {error}", parent.display()))?;
    let outcome = write_files(&unfinished, &plan.files).and_then(|()| rename(&unfinished, &plan.folder));
    if outcome.is_err() {
        remove(&unfinished)?;
    }
    outcome
}

/// Writes inside the folder, which is empty, and moves the files to their places then: it may be where the user stands.
fn write_into(plan: &Plan) -> Result<(), String> {
    let unfinished = plan.folder.join(folder::UNFINISHED);
    let outcome = write_files(&unfinished, &plan.files).and_then(|()| {
        for path in folder::entries(&unfinished)? {
            rename(&path, &plan.folder.join(path.file_name().unwrap_or_default()))?;
        }
        remove(&unfinished)
    });
    if outcome.is_err() {
        for path in folder::entries(&plan.folder)? {
            remove(&path)?;
        }
    }
    outcome
}

fn write_files(folder: &Path, files: &[NewFile]) -> Result<(), String> {
    // What a run has left that was killed.
    remove(folder)?;
    for file in files {
        let path = folder.join(&file.path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| format!("{} could not be made: {error}", parent.display()))?;
        fs::write(&path, &file.content).map_err(|error| format!("{} could not be written: {error}", path.display()))?;
    }
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<(), String> {
    fs::rename(from, to).map_err(|error| format!("{} could not be made: {error}", to.display()))
}

/// Removes a file or a folder, if it is there.
fn remove(path: &Path) -> Result<(), String> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    removed.map_err(|error| format!("{} could not be removed: {error}", path.display()))
}

/// Writes a member of the workspace, its lines and the documents, or puts back everything.
fn write_member(plan: &Plan) -> Result<(), String> {
    let before = workspace::Before::of(&plan.edits)?;
    write(plan)?;
    let outcome = workspace::apply(&plan.edits).and_then(|()| {
        say(format_args!("\nThe crate is there, and linked. What is left is its place in the documents:"));
        Step::new_cargo_task("matrix").run()
    });
    outcome.map_err(|reason| match before.restore().and_then(|()| remove(&plan.folder)) {
        Ok(()) => format!("{reason}\nEverything was put back: mend what is wrong, and run it again"),
        Err(more) => format!("{reason}\n{more}"),
    })
}

/// A file of Rust as rustfmt writes it. Without rustfmt it stays as it is.
fn formatted(text: &str) -> String {
    let config = root().join("rustfmt.toml").display().to_string();
    let formatted = Step::new("rustfmt", &["--edition", "2024", "--config-path", &config]).filter(text);
    formatted.unwrap_or_else(|| {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| {
            say(format_args!("rustfmt could not be run: format the crate with `cargo fmt` before you commit it\n"));
        });
        text.to_owned()
    })
}

fn next_steps(plan: &Plan, answers: &Answers) -> String {
    let questions = places::questions(&plan.folder);
    let mut text = format!("{} questions to answer:\n\n", questions.len());
    for question in &questions {
        text.push_str(&format!("  {}:{}\n      {}\n", question.path.display(), question.line, question.text));
    }
    let name = &answers.name;
    let folder = plan.folder.display().to_string();
    let folder = if folder.contains(char::is_whitespace) { format!("{folder:?}") } else { folder };
    let steps = match answers.place {
        Place::Workspace => format!(
            "cargo nextest run --workspace --all-features -E 'package({})'   # its tests and its conformance run
  cargo run -- call --sandbox {name}                                    # a call, end to end",
            answers.package()
        ),
        Place::Own { .. } => format!(
            "cd {folder}
  cargo test --all-features        # its tests and its conformance run
  cargo clippy --all-features --all-targets -- -D warnings"
        ),
    };
    text.push_str(&format!("\nNext:\n\n  {steps}\n\ndocs/writing-a-provider.md goes on from here: how to answer, a gateway with the carrier in it, and calls."));
    text
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{} could not be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_option_and_every_choice() {
        let help = help();
        let options = [
            "display-name",
            "driven-by",
            "webhooks",
            "audio",
            "formats",
            "out",
            "published",
            "in-workspace",
            "dry-run",
        ];
        for option in options {
            assert!(help.contains(&format!("\n  --{option} ")), "{option}: {help}");
        }
        for choices in [options::DRIVEN_BY, options::WEBHOOKS, options::AUDIO] {
            assert!(help.contains(&explained(choices, 26)), "{help}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 132), "{help}");
    }
}
