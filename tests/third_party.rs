//! What somebody does who brings a carrier of their own, outside this workspace: the guide's commands and programs, run as they
//! stand there; every kind of crate that the scaffold can make; and a member of the workspace made with it.

#![allow(clippy::print_stdout, reason = "a test says what it leaves behind")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    fs,
    hash::{Hash, Hasher},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use serde_json::Value;
use tests::browser::Browser;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Cargo, with a target folder that these tests share and keep, and without the network: what they need, this workspace needs too.
fn with_our_target(command: &mut Command) -> &mut Command {
    command
        .env("CARGO_TARGET_DIR", root().join("target/third-party"))
        .env("CARGO_NET_OFFLINE", "true")
        // Nothing here is built twice, and what links is tried, not how fast it runs.
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env_remove("RUSTFLAGS")
        // Those of the package that this test belongs to, and of who runs it, are not for others.
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("NEXTEST")
        .env_remove("RUST_LOG")
}

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    let output = with_our_target(cargo.args(arguments).current_dir(folder)).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?} in {}:\n{}", folder.display(), text(&output));
    text(&output)
}

/// A folder outside every workspace, whose name is the same in each run: cargo then replaces what it built in the last one instead of
/// keeping both. It is removed when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let mut hash = DefaultHasher::new();
        root().hash(&mut hash);
        let parent = std::env::temp_dir().canonicalize().unwrap();
        let folder = parent.join(format!("telephony-{name}-{:016x}", hash.finish()));
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A test that failed has told why already.
        if let Err(error) = fs::remove_dir_all(&self.0) {
            println!("{} is left: {error}", self.0.display());
        }
    }
}

/// The versions that this workspace was tested with, for a crate that has none yet.
fn same_versions(folder: &Path) {
    let lock = folder.join("Cargo.lock");
    if folder.join("Cargo.toml").exists() && !lock.exists() {
        fs::copy(root().join("Cargo.lock"), lock).unwrap();
    }
}

/// A block of code of the guide: what stands behind its fence, and what is in it.
struct Block {
    info: String,
    content: String,
}

impl Block {
    /// `in=…` or `file=…` of the fence.
    fn word(&self, name: &str) -> Option<&str> {
        self.info.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }
}

fn blocks(guide: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in guide.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => open = Some(Block { info: info.to_owned(), content: String::new() }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.content.push_str(line);
                block.content.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block of the guide has no end");
    blocks
}

/// A program that runs until it is dropped.
struct Running {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Running {
    fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// What it says until it has said something.
    fn until(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let mut said = String::new();
        loop {
            let before = said.len();
            assert!(self.said.read_line(&mut said).unwrap() > 0, "it ends: {said}");
            if wanted(&said[before..]) {
                return said;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// The pages of a gateway with a carrier that they have never heard of: its form is there, by its schema alone, and what is typed into it
/// works.
fn its_form_is_in_the_pages(program: &Path, data: &Path) {
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let mut gateway = Running::start(program, &serve);
    let said = gateway.until(|line| line.contains("/sign-in/"));
    let link = said.lines().last().unwrap().trim();
    let (origin, _) = link.split_once("/sign-in/").unwrap();
    let mut carrier = Running::start(program, &["simulate", "acme"]);
    let said = carrier.until(|line| line.starts_with('}'));
    let mut account: Value = serde_json::from_str(&said[said.find('{').unwrap()..]).unwrap();
    account.as_object_mut().unwrap().remove("provider");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let page = Browser::start(origin, None).await;
        page.goto(link).await;
        page.wait_path("/").await;
        page.press("[data-testid=connect-carrier]").await;
        page.wait_text("[data-testid=carrier-acme]", "Acme Telephone").await;
        page.press("[data-testid=carrier-acme]").await;
        page.wait_text("label", "Account ID").await;
        page.press("[data-testid=save]").await;
        page.wait_text("[data-testid=problem-account_id]", "is required").await;
        page.type_into("[name='config.account_id']", "?").await;
        page.press("[data-testid=save]").await;
        page.wait_text("[data-testid=problem-account_id]", "must be the account's ID, as the console shows it").await;
        for (name, value) in account.as_object().unwrap() {
            page.type_into(&format!("[name='config.{name}']"), value.as_str().unwrap()).await;
        }
        page.press("[data-testid=save]").await;
        page.press("[data-testid=test-connection]").await;
        page.wait_text("[data-testid=test-result]", "working").await;
        assert!(page.path().await.starts_with("/configurations/"));
        page.look("unseen-provider").await;
        page.end().await;
    });
}

/// The guide, followed to the letter: a crate made by the scaffold, tested, and in a third party's own gateway that places a sandbox
/// call in a debug build and in a release with fat link-time optimisation.
#[test]
fn the_guide_does_what_it_says() {
    let folder = Folder::new("guide");
    let folder = folder.0.as_path();
    copy_of_the_workspace(&folder.join("telephony"));
    let guide = fs::read_to_string(root().join("docs/writing-a-provider.md")).unwrap();
    let mut calls = 0;
    for block in blocks(&guide) {
        let language = block.info.split([' ', ',']).next().unwrap();
        match (language, block.word("in"), block.word("file")) {
            ("sh", Some(place), None) => {
                let place = folder.join(place);
                same_versions(&place);
                let mut shell = Command::new("sh");
                let output =
                    with_our_target(shell.args(["-e", "-c", &block.content]).current_dir(&place)).output().unwrap();
                let said = text(&output);
                assert!(output.status.success(), "{}\n{said}", block.content);
                assert!(!said.contains("warning:"), "{}\n{said}", block.content);
                calls += said.matches("answered, and over").count();
                if block.content.contains("-- providers") {
                    assert!(said.contains("acme") && said.contains("Acme Telephone"), "{said}");
                }
            }
            ("toml" | "rust", None, Some(file)) => {
                let file = folder.join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, &block.content).unwrap();
            }
            // Compiled and run as examples of this crate's library.
            ("rust", None, None) => assert_eq!(block.info, "rust", "{}", block.content),
            ("text", None, None) => {}
            _ => panic!("nobody runs this block: {}\n{}", block.info, block.content),
        }
    }
    assert_eq!(calls, 2, "a call in a debug build, and one in a release");
    its_form_is_in_the_pages(&root().join("target/third-party/debug/my-gateway"), &folder.join("data"));
    let report = fs::read_to_string(folder.join("telephony-acme/conformance.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["provider"]["package"], &report["failed"]), (&"telephony-acme".into(), &0.into()));
    assert_eq!(report["complete"], false, "one suite is not all of them");
}

/// Runs the scaffold of a workspace. That of a copy is built into the target folder of these tests, as all of the copy is.
fn scaffold(workspace: &Path, arguments: &[&str]) -> Output {
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    cargo.args(["run", "--quiet", "--package", "xtask", "--", "new-provider"]).args(arguments).current_dir(workspace);
    if workspace != root() {
        with_our_target(&mut cargo);
    }
    cargo.output().unwrap()
}

#[test]
fn every_kind_of_crate_is_without_fault() {
    let folder = tempfile::tempdir().unwrap();
    for driven_by in ["document", "commands"] {
        for webhooks in ["hmac", "jwt", "ed25519", "token"] {
            for audio in ["base64", "binary"] {
                // A name that sorts elsewhere and is longer than the template's.
                let name = format!("zephyr-{driven_by}-{webhooks}-{audio}");
                let out = folder.path().join(format!("telephony-{name}"));
                let choices = [
                    "--driven-by",
                    driven_by,
                    "--webhooks",
                    webhooks,
                    "--audio",
                    audio,
                    "--out",
                    out.to_str().unwrap(),
                ];
                let made = scaffold(root(), &[&[name.as_str()][..], &choices].concat());
                assert!(made.status.success(), "{}", text(&made));
                assert!(String::from_utf8_lossy(&made.stdout).contains("questions to answer"), "{}", text(&made));
                same_versions(&out);
                cargo(&out, &["fmt", "--check"]);
                cargo(&out, &["clippy", "--quiet", "--all-features", "--all-targets", "--", "-D", "warnings"]);
                // The tables of the README differ by this choice only. All other tests are the same in the template's own packages,
                // whose suites run with this workspace's.
                if (driven_by, audio) == ("document", "base64") {
                    cargo(&out, &["test", "--quiet", "--test", "readme"]);
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_made_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("telephony-acme");
    fs::create_dir(&there).unwrap();
    fs::write(there.join("notes"), "").unwrap();
    let refused = |arguments: &[&str], reason: &str| {
        let output = scaffold(root(), arguments);
        let said = text(&output);
        assert!(!output.status.success() && said.contains(reason), "{arguments:?}: {said}");
    };
    refused(&["acme", "--out", there.to_str().unwrap()], "is there already");
    refused(&["twilio"], "is taken");
    refused(&["Acme!"], "lower-case letters");
    // A folder that cannot be made: its parent is a file.
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    refused(&["acme", "--out", file.join("telephony-acme").to_str().unwrap()], "could not be made");
    let plan = scaffold(root(), &["acme", "--dry-run", "--out", folder.path().join("new").to_str().unwrap()]);
    assert!(plan.status.success() && text(&plan).contains("Nothing was written"), "{}", text(&plan));
    let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["file", "telephony-acme"]);
    assert_eq!(fs::read_dir(&there).unwrap().count(), 1);
}

/// A folder of somebody who has made the repository first, and stands in it.
#[test]
fn an_empty_repository_is_filled() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(".git")).unwrap();
    let made = scaffold(root(), &["acme-two", "--out", folder.path().to_str().unwrap()]);
    assert!(made.status.success(), "{}", text(&made));
    let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    let wanted =
        [".cargo", ".git", ".github", ".gitignore", "CHANGELOG.md", "Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT"];
    assert_eq!(files[..wanted.len()], wanted);
    let manifest = fs::read_to_string(folder.path().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"telephony-acme-two\""), "{manifest}");
}

/// What files say, by their paths.
fn contents(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.insert(path.clone(), String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned());
        }
    }
    all
}

/// This workspace as git has it or would take it, in another folder.
fn copy_of_the_workspace(to: &Path) {
    let listed =
        Command::new("git").args(["ls-files", "-co", "--exclude-standard"]).current_dir(root()).output().unwrap();
    assert!(listed.status.success(), "{}", text(&listed));
    for file in String::from_utf8(listed.stdout).unwrap().lines() {
        let (from, to) = (root().join(file), to.join(file));
        // What is deleted and not committed is still listed.
        if from.is_file() {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from, to).unwrap();
        }
    }
}

#[test]
fn a_member_of_the_workspace_is_linked_listed_and_rings() {
    let folder = Folder::new("member");
    let folder = folder.0.as_path();
    copy_of_the_workspace(folder);
    let choices = ["--driven-by", "document", "--webhooks", "jwt", "--audio", "binary", "--in-workspace"];
    // Where the documents cannot be written, nothing is.
    cargo(folder, &["build", "--quiet", "--package", "xtask"]);
    let before = contents(folder);
    let mut without_cargo = Command::new(root().join("target/third-party/debug/xtask"));
    without_cargo.args(["new-provider", "quux"]).args(choices).env("CARGO", "there is no such program");
    let failed = without_cargo.env("CARGO_MANIFEST_DIR", folder.join("xtask")).output().unwrap();
    assert!(!failed.status.success() && text(&failed).contains("Everything was put back"), "{}", text(&failed));
    assert_eq!(contents(folder), before);
    let made = scaffold(folder, &[&["quux", "--display-name", "Quux Voice"][..], &choices].concat());
    assert!(made.status.success(), "{}", text(&made));
    cargo(folder, &["fmt", "--all", "--check"]);
    // The house rules hold, and the documents know it.
    cargo(folder, &["test", "--quiet", "--package", "tests", "--test", "architecture", "--test", "matrix"]);
    assert!(fs::read_to_string(folder.join("README.md")).unwrap().contains("Quux Voice"));
    let run = |arguments: &[&str]| {
        cargo(folder, &[&["run", "--quiet", "--package", "telephony-gateway", "--"], arguments].concat())
    };
    assert!(run(&["providers", "quux"]).contains("Quux Voice"));
    let call = run(&["call", "--sandbox", "quux", "--to", "+12025550106", "--no-record"]);
    assert!(call.contains("answered, and over"), "{call}");
    // And whole calls through the HTTP API of a gateway, out and in, on both databases: of every carrier that is linked, and it is one.
    let test = ["test", "--quiet", "--package", "tests", "--test", "service", "--", "--exact", "--nocapture"];
    let calls = ["an_outbound_call_of_every_carrier", "an_inbound_call_of_every_carrier"];
    let calls = cargo(folder, &[&test[..], &calls].concat());
    assert!(calls.contains("calls of quux") && calls.contains("2 passed"), "{calls}");
}
