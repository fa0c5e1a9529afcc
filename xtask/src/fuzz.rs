//! The fuzz targets, without a nightly compiler: `cargo xtask fuzz`.

use std::{env, fs, path::PathBuf};

use crate::step::{Step, root};

const HELP: &str = "\
Feeds everything that reads bytes from outside with what a fuzzer makes up.

Usage: cargo xtask fuzz [TARGET…] [OPTIONS]

Without a target, all of them: fuzz/fuzz_targets has one file for each.

Options:
  --seconds N   Fuzz each target for so long, with what is random; the default is 60
  --runs N      Try so many inputs instead, the same in every run
  --list        Say what the targets are
  --help        Say this

It starts from fuzz/seeds and keeps what leads further in fuzz/corpus. An input that breaks a target is left in fuzz/artifacts; the
output says where, and `cargo xtask fuzz TARGET --input FILE` tries it again.
";

/// What makes the compiler count which code an input reaches. All of it is stable; a sanitizer would not be, and looks for what safe code
/// does not do.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// How far to go.
enum Until {
    Seconds(u32),
    Runs(u32),
    /// One input, again.
    Input(String),
}

/// `cargo xtask fuzz`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let known = targets()?;
    let mut chosen = Vec::new();
    let mut until = Until::Seconds(60);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value =
            || rest.next().cloned().ok_or_else(|| format!("{argument} needs a value; --help says what there is"));
        let number =
            |text: String| text.parse().map_err(|_| format!("{argument} needs a whole number, and was given {text:?}"));
        match argument.as_str() {
            "--help" | "-h" => {
                print!("{HELP}");
                return Ok(());
            }
            "--list" => {
                println!("{}", known.join("\n"));
                return Ok(());
            }
            "--seconds" => until = Until::Seconds(number(value()?)?),
            "--runs" => until = Until::Runs(number(value()?)?),
            "--input" => until = Until::Input(value()?),
            name if known.iter().any(|target| target == name) => chosen.push(name.to_owned()),
            unknown => return Err(format!("there is no target {unknown:?}; there are {}", known.join(", "))),
        }
    }
    if chosen.is_empty() {
        chosen = known;
    }
    let programs = build(&chosen)?;
    for (target, program) in chosen.iter().zip(programs) {
        fuzz(target, &program.display().to_string(), &until)?;
    }
    Ok(())
}

fn targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz/fuzz_targets");
    let files = fs::read_dir(&folder).map_err(|error| format!("{} could not be read: {error}", folder.display()))?;
    let name =
        |file: fs::DirEntry| file.file_name().to_str().and_then(|name| name.strip_suffix(".rs")).map(str::to_owned);
    let mut targets: Vec<_> = files.flatten().filter_map(name).collect();
    targets.sort();
    Ok(targets)
}

/// Builds them, and says where each is.
fn build(targets: &[String]) -> Result<Vec<PathBuf>, String> {
    let compiler = Step::new("rustc", &["-vV"]).output()?;
    let host = compiler.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| "rustc does not say what it compiles for".to_owned())?;
    // A folder of its own: with other flags, everything is built another time.
    let folder = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from).join("fuzz");
    let shown = folder.display().to_string();
    // With a target named, the flags are not for build scripts and macros.
    let mut command = vec!["build", "--manifest-path", "fuzz/Cargo.toml", "--target", host, "--target-dir", &shown];
    for target in targets {
        command.extend(["--bin", target]);
    }
    Step::cargo(&command).env("RUSTFLAGS", COVERAGE).run()?;
    Ok(targets.iter().map(|target| folder.join(host).join("debug").join(target)).collect())
}

fn fuzz(target: &str, program: &str, until: &Until) -> Result<(), String> {
    let [seeds, artifacts] = ["seeds", "artifacts"].map(|kind| format!("fuzz/{kind}/{target}"));
    let kept = if matches!(until, Until::Runs(_)) { "once" } else { "found" };
    let corpus = format!("fuzz/corpus/{kept}/{target}");
    let prefix = format!("-artifact_prefix={artifacts}/");
    let arguments = match until {
        Until::Input(file) => vec![file.clone()],
        Until::Seconds(seconds) => vec![format!("-max_total_time={seconds}"), corpus.clone(), seeds],
        Until::Runs(runs) => {
            // What was found before would make it another run.
            let made = |error| format!("{corpus} could not be emptied: {error}");
            if root().join(&corpus).exists() {
                fs::remove_dir_all(root().join(&corpus)).map_err(made)?;
            }
            let options = [format!("-runs={runs}"), "-seed=1".to_owned(), "-verbosity=0".to_owned()];
            [&options[..], &[corpus.clone(), seeds]].concat()
        }
    };
    for folder in [&corpus, &artifacts] {
        let folder = root().join(folder);
        fs::create_dir_all(&folder).map_err(|error| format!("{} could not be made: {error}", folder.display()))?;
    }
    let arguments: Vec<_> =
        ["-max_len=4096", &prefix].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    Step::new(program, &arguments).run()
}
