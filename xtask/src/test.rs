//! `cargo xtask test`: set up what a fresh machine lacks, then check and test everything.

use std::time::Instant;

use crate::{npm, step::Step};

/// Where the gateway's pages are checked: the packages for it, and the folder that `tests/browser.rs` reads them from.
const BROWSER: &str = "tests/browser";

/// A step of the test run: its name, what it is for, and what it does.
struct Stage {
    name: &'static str,
    about: &'static str,
    run: fn() -> Result<(), String>,
}

const STAGES: &[Stage] = &[
    Stage {
        name: "tools",
        about: "install what is missing: compilers for C and C++, PostgreSQL, Python with websockets, Node.js with packages, Chromium, cargo-nextest, cargo-deny",
        run: tools,
    },
    Stage { name: "format", about: "the code is formatted", run: format },
    Stage {
        name: "lint",
        about: "no warning from the compiler or clippy, in every target and feature; the pages' modules are well typed",
        run: lint,
    },
    Stage { name: "test", about: "unit, conformance, property and cross-crate tests", run: test },
    Stage { name: "doctest", about: "the examples in the documentation", run: doctest },
    Stage { name: "docs", about: "the documentation builds without warnings", run: docs },
    Stage { name: "fuzz", about: "what reads bytes from outside withstands some thousands made up", run: fuzz },
    Stage { name: "package", about: "every publishable crate packages, and builds from its package", run: package },
    Stage { name: "policy", about: "licences, banned crates, second versions, sources", run: policy },
];

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if arguments.iter().any(|argument| argument == "--list") {
        for stage in STAGES {
            println!("{:<8} {}", stage.name, stage.about);
        }
        return Ok(());
    }
    let unknown = arguments.iter().find(|name| STAGES.iter().all(|stage| stage.name != name.as_str()));
    if let Some(unknown) = unknown {
        return Err(format!("there is no step {unknown:?}; `cargo xtask test --list` lists them"));
    }
    let started = Instant::now();
    for stage in STAGES {
        if arguments.is_empty() || arguments.iter().any(|name| name == stage.name) {
            println!("\n== {}: {}", stage.name, stage.about);
            (stage.run)().map_err(|reason| format!("step {}: {reason}", stage.name))?;
        }
    }
    println!("\nEverything passed in {} s.", started.elapsed().as_secs());
    Ok(())
}

fn tools() -> Result<(), String> {
    if !["cc", "c++"].iter().all(|compiler| Step::new(compiler, &["--version"]).succeeds()) {
        install_package("build-essential").map_err(|reason| {
            format!("compilers for C and C++ are needed, for the TLS library and the fuzzer, and could not be installed: {reason}")
        })?;
    }
    if !has_postgres() {
        install_package("postgresql")
            .map_err(|reason| format!("the tests start a PostgreSQL, and it could not be installed: {reason}"))?;
    }
    python()?;
    if !Step::new("npm", &["--version"]).succeeds() {
        install_package("npm").map_err(|reason| {
            format!("the TypeScript client is made and tested with npm, and it could not be installed: {reason}")
        })?;
    }
    crate::client::install()?;
    npm::install(BROWSER)?;
    browser()?;
    for tool in ["nextest", "deny"] {
        if !Step::cargo(&[tool, "--version"]).succeeds() {
            Step::cargo(&["install", "--locked", &format!("cargo-{tool}")]).run()?;
        }
    }
    println!(
        "  compilers for C and C++, PostgreSQL, Python with websockets, npm, Chromium, cargo-nextest and cargo-deny are there"
    );
    Ok(())
}

/// A Python of the workspace's own for the example agent, with the package that it needs: the machine's is not ours to change.
fn python() -> Result<(), String> {
    const PYTHON: &str = "target/python/bin/python3";
    if Step::new(PYTHON, &["-c", "import websockets.asyncio.server"]).succeeds() {
        return Ok(());
    }
    let make = || Step::new("python3", &["-m", "venv", "target/python"]);
    if !make().succeeds() {
        install_package("python3-venv")
            .map_err(|reason| format!("the tests run an agent in Python, and it could not be installed: {reason}"))?;
        make().run()?;
    }
    Step::new(PYTHON, &["-m", "pip", "install", "--quiet", "websockets>=13"]).run()
}

/// A Chromium and the driver that goes with it, for the tests of the pages.
fn browser() -> Result<(), String> {
    let is_there = |programs: &[&str]| programs.iter().any(|program| Step::new(program, &["--version"]).succeeds());
    for (programs, package) in [
        (&["chromium", "chromium-browser", "google-chrome"][..], "chromium"),
        (&["chromedriver"][..], "chromium-driver"),
    ] {
        if !is_there(programs) {
            install_package(package).map_err(|reason| {
                format!("the pages are tested in a browser, and {package} could not be installed: {reason}")
            })?;
        }
    }
    Ok(())
}

/// Whether there is a server: on the path, or where Debian keeps it.
fn has_postgres() -> bool {
    let of_debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    Step::new("postgres", &["--version"]).succeeds()
        || of_debian.map(|version| version.path().join("bin/postgres")).any(|program| program.is_file())
}

/// Installs a Debian package. Without the rights for that, the error says what to install.
fn install_package(name: &str) -> Result<(), String> {
    let advice = |reason| format!("{reason}; install the package {name} yourself");
    Step::new("apt-get", &["update", "-qq"]).run().map_err(advice)?;
    Step::new("apt-get", &["install", "-y", "-qq", name]).env("DEBIAN_FRONTEND", "noninteractive").run().map_err(advice)
}

fn format() -> Result<(), String> {
    Step::cargo(&["fmt", "--all", "--check"]).run()?;
    // No member of the workspace.
    Step::cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]).run()
}

fn lint() -> Result<(), String> {
    Step::cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]).run()?;
    npm::install(BROWSER)?;
    npm::run(BROWSER, "check")?;
    npm::run(BROWSER, "test")
}

fn test() -> Result<(), String> {
    Step::cargo(&["nextest", "run", "--workspace", "--all-features", "--no-fail-fast"]).run()
}

fn doctest() -> Result<(), String> {
    // Those of the template are tested as the scaffold makes them: only then are its choices made.
    let template = ["--exclude", "telephony-acme-*"];
    Step::cargo(&[&["test", "--doc", "--workspace", "--all-features"][..], &template].concat()).run()
}

fn docs() -> Result<(), String> {
    Step::cargo(&["doc", "--no-deps", "--workspace", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings").run()
}

fn fuzz() -> Result<(), String> {
    // The same inputs in every run: a check that differs from run to run is none.
    crate::fuzz::run(&["--runs", "5000"].map(str::to_owned))
}

fn package() -> Result<(), String> {
    crate::package::run(&[])
}

fn policy() -> Result<(), String> {
    let check =
        ["--all-features", "--log-level", "error", "check", "-D", "unmatched-skip", "licenses", "bans", "sources"];
    Step::cargo(&[&["deny"], &check[..]].concat()).run()
}
