//! `cargo xtask new-provider`: a provider crate that compiles, passes its tests and rings, with a question at each place that is
//! the carrier's own.
//!
//! What it writes is copied from the crate in `template/`, which is compiled and tested in every run; `template/README.md` says
//! how the one becomes the other.

mod manifest;
mod options;
mod places;
mod template;
mod workspace;

use std::{
    fs,
    path::{Path, PathBuf},
};

use options::{Answers, Place};

use crate::step::{Step, root};

const HELP: &str = "\
Make a provider crate for another carrier: one that compiles, passes its tests, its conformance run and clippy, has a working
simulator, and marks each place that is the carrier's own with a question (FILL IN).

Usage: cargo xtask new-provider NAME [OPTIONS]

Arguments:
  NAME  The one word for the carrier: in the crate (telephony-NAME), the feature, the configuration.
        1 to 32 lower-case letters, digits and hyphens, beginning with a letter

Options:
  --display-name TEXT   The carrier's name, for people [default: NAME with a capital]
  --driven-by HOW       How the carrier is told what a call shall do [default: document]
                          document  it asks a URL, and reads the answer: markup or JSON
                          commands  each step is a request; answers to webhooks are ignored
  --webhooks HOW        How it shows that a webhook is its own [default: hmac]
                          hmac      HMAC over the URL and a form
                          jwt       a JSON Web Token with the hash of a JSON body
                          ed25519   Ed25519 over a timestamp and a JSON body
                          token     none of these: a secret that it repeats
  --audio HOW           How audio crosses the media socket [default: base64]
                          base64    in JSON text messages
                          binary    in binary messages
  --formats LIST        The formats of a stream, the usual one first, separated by commas: mulaw/8000, alaw/8000, l16/8000,
                        l16/16000, l16/24000, l16/48000 [default: mulaw/8000 in base64, l16/16000 in binary]
  --out DIR             Where a crate for a repository of its own goes [default: ../telephony-NAME beside this checkout]
  --published           Depend on the published crates only; else the new crate takes them from this checkout
  --in-workspace        Make it a member of this workspace instead, and a feature of the registry
  --dry-run             Say what would be written, and write nothing
  -h, --help            Say this

What is not given is asked for at a terminal; without one, the defaults are taken.
";

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
        print!("{HELP}");
        return Ok(());
    }
    let (answers, dry_run) = options::read(arguments)?;
    let plan = plan(&answers)?;
    describe(&plan, &answers);
    if dry_run {
        println!("\nNothing was written (--dry-run).");
        return Ok(());
    }
    write(&plan)?;
    if answers.place == Place::Workspace {
        format_workspace(&answers);
        Step::new_cargo_task("matrix").run().map_err(|reason| {
            format!("the crate is written, and the documents are not: mend what is wrong and run `cargo xtask matrix` ({reason})")
        })?;
    }
    println!("\n{}", next_steps(&plan, &answers));
    Ok(())
}

fn plan(answers: &Answers) -> Result<Plan, String> {
    workspace::refuse_taken_name(&answers.name)?;
    let folder = answers.folder();
    if folder.exists() {
        return Err(format!("{} is there already; name another folder with --out, or remove it", folder.display()));
    }
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
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let edits = match answers.place {
        Place::Workspace => workspace::edits(answers)?,
        Place::Own { .. } => Vec::new(),
    };
    Ok(Plan { folder, files, edits })
}

fn describe(plan: &Plan, answers: &Answers) {
    println!("{} ({}), {}", answers.display_name, answers.package(), answers.choices_in_words());
    println!("\nto {}:", plan.folder.display());
    for file in &plan.files {
        println!("  {:<40} {:>4} lines", file.path.display(), file.content.lines().count());
    }
    if !plan.edits.is_empty() {
        println!("\nchanged:");
        for edit in &plan.edits {
            println!("  {:<40} {:>+4} lines", edit.path, edit.lines_added());
        }
    }
}

/// Writes the plan, or nothing: the crate appears whole, and what was changed is put back if anything goes wrong.
fn write(plan: &Plan) -> Result<(), String> {
    let name = plan.folder.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = plan.folder.with_file_name(format!(".{name}.unfinished-{}", std::process::id()));
    let outcome = write_files(&unfinished, &plan.files).and_then(|()| {
        format_files(&unfinished);
        fs::rename(&unfinished, &plan.folder)
            .map_err(|error| format!("{} could not be made: {error}", plan.folder.display()))
    });
    if outcome.is_err() && unfinished.exists() {
        fs::remove_dir_all(&unfinished)
            .map_err(|error| format!("{} could not be removed: {error}", unfinished.display()))?;
    }
    outcome?;
    let edited = workspace::apply(&plan.edits);
    if edited.is_err() {
        fs::remove_dir_all(&plan.folder)
            .map_err(|error| format!("{} could not be removed: {error}", plan.folder.display()))?;
    }
    edited
}

fn write_files(folder: &Path, files: &[NewFile]) -> Result<(), String> {
    for file in files {
        let path = folder.join(&file.path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| format!("{} could not be made: {error}", parent.display()))?;
        fs::write(&path, &file.content).map_err(|error| format!("{} could not be written: {error}", path.display()))?;
    }
    Ok(())
}

/// Formats what was written: a name changes the order of imports and the length of lines. Without rustfmt it stays as it is.
fn format_files(folder: &Path) {
    let main = folder.join("src/lib.rs");
    let tests = ["conformance.rs", "rest.rs", "readme.rs"].map(|test| folder.join("tests").join(test));
    let mut files = vec![main];
    files.extend(tests.into_iter().filter(|test| test.exists()));
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let config = root().join("rustfmt.toml").display().to_string();
    let mut arguments = vec!["--edition", "2024", "--config-path", &config];
    arguments.extend(files.iter().map(String::as_str));
    if !Step::new("rustfmt", &arguments).succeeds() {
        println!("  rustfmt could not be run: format the crate with `cargo fmt` before you commit it");
    }
}

fn format_workspace(answers: &Answers) {
    if !Step::cargo(&["fmt", "--package", "telephony-registry", "--package", &answers.package()]).succeeds() {
        println!("  cargo fmt could not be run: format the workspace before you commit it");
    }
}

fn next_steps(plan: &Plan, answers: &Answers) -> String {
    let questions = places::questions(&plan.folder);
    let mut text = format!("{} questions to answer:\n\n", questions.len());
    for question in &questions {
        text.push_str(&format!("  {}:{}\n      {}\n", question.path.display(), question.line, question.text));
    }
    let name = &answers.name;
    let steps = match answers.place {
        Place::Workspace => format!(
            "cargo nextest run --workspace --all-features -E 'package({})'   # its tests and its conformance run
  cargo run -- call --sandbox {name}                                    # a call, end to end",
            answers.package()
        ),
        Place::Own { .. } => format!(
            "cd {}
  cargo test --all-features        # its tests and its conformance run
  cargo clippy --all-features --all-targets -- -D warnings",
            plan.folder.display()
        ),
    };
    text.push_str(&format!("\nNext:\n\n  {steps}\n\ndocs/writing-a-provider.md goes on from here."));
    text
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{} could not be read: {error}", path.display()))
}
