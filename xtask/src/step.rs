//! Running other programs.

use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Instant,
};

/// A program to run in the workspace's root.
pub(crate) struct Step {
    command: Command,
    shown: String,
}

impl Step {
    pub(crate) fn new(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(root());
        Self { command, shown: format!("{program} {}", arguments.join(" ")) }
    }

    /// The cargo that runs us.
    pub(crate) fn cargo(arguments: &[&str]) -> Self {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let mut step = Self::new(&cargo, arguments);
        step.shown = format!("cargo {}", arguments.join(" "));
        step
    }

    /// Another house task, as a program of its own.
    pub(crate) fn new_cargo_task(task: &str) -> Self {
        Self::cargo(&["xtask", task])
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self.shown = format!("{name}={value:?} {}", self.shown);
        self
    }

    /// Runs it, its output shown.
    pub(crate) fn run(mut self) -> Result<(), String> {
        say(format_args!("\n$ {}", self.shown));
        let started = Instant::now();
        let status = self.command.status().map_err(|error| format!("`{}` could not be run: {error}", self.shown))?;
        let seconds = started.elapsed().as_secs();
        if status.success() {
            say(format_args!("  ok, {seconds} s"));
            Ok(())
        } else {
            Err(format!("`{}` failed after {seconds} s ({status})", self.shown))
        }
    }

    /// What it prints, if it succeeds.
    pub(crate) fn output(mut self) -> Result<String, String> {
        let output = self.command.stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("`{}` could not be run: {error}", self.shown))?;
        if !output.status.success() {
            return Err(format!("`{}` failed ({})", self.shown, output.status));
        }
        String::from_utf8(output.stdout).map_err(|_| format!("`{}` printed something that is no text", self.shown))
    }

    /// What it makes of a text, if it succeeds.
    pub(crate) fn filter(mut self, text: &str) -> Option<String> {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = self.command.spawn().ok()?;
        // It is read whole before anything is printed.
        child.stdin.take()?.write_all(text.as_bytes()).ok()?;
        let output = child.wait_with_output().ok()?;
        output.status.success().then(|| String::from_utf8(output.stdout).ok()).flatten()
    }

    /// Whether it runs and succeeds; its output is not shown.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

/// Whether a task that writes documents is only to look at them: it was given `--check`.
pub(crate) fn checks_only(task: &str, arguments: &[String]) -> Result<bool, String> {
    match arguments {
        [] => Ok(false),
        [check] if check == "--check" => Ok(true),
        [unknown, ..] => Err(format!("{task} takes nothing but --check, and was given {unknown:?}")),
    }
}

/// Tells the user. That nobody listens any more, as in `| head`, is no reason to stop half-way.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let _unheard = writeln!(io::stdout(), "{line}");
}

/// The workspace's root: of the workspace that this program was started in by cargo, which may be a copy of the one that it was
/// compiled in.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let here = PathBuf::from(here);
        here.parent().map_or_else(|| here.clone(), Path::to_owned)
    })
}
