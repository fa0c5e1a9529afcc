//! A real PostgreSQL for a test, started by itself and gone with it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// A server that listens on a socket in a folder of its own. Dropping it stops it and removes the folder.
#[derive(Debug)]
pub struct Postgres {
    server: Child,
    folder: TempDir,
}

/// The account that the server runs as when this process is root, which it refuses to be.
const ACCOUNTS: &[&str] = &["postgres", "nobody"];

impl Postgres {
    /// Starts a server.
    ///
    /// # Panics
    ///
    /// If there is none on this machine, or it does not start: the test that asks for it has failed then.
    #[must_use]
    pub fn start() -> Self {
        let programs = programs().unwrap_or_else(|| {
            panic!("there is no PostgreSQL: install the package postgresql, which `cargo xtask test tools` does");
        });
        // A socket's path has 107 bytes at most.
        let folder = tempfile::Builder::new().prefix("pg").tempdir().expect("a temporary folder can be made");
        let account = if is_root() { account() } else { None };
        if let Some((user, group)) = account {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).expect("root can give a folder away");
        }
        let data = folder.path().join("data");
        let run = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command.current_dir(folder.path()).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null());
            if let Some((user, group)) = account {
                std::os::unix::process::CommandExt::uid(&mut command, user);
                std::os::unix::process::CommandExt::gid(&mut command, group);
            }
            command
        };
        let made = run("initdb")
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .expect("initdb can be run");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        // Nothing of it must survive this test: it need not wait for the disk.
        let settings = ["listen_addresses=", "fsync=off", "full_page_writes=off", "synchronous_commit=off"];
        let mut command = run("postgres");
        command.arg("-D").arg(&data).arg("-k").arg(folder.path()).stderr(Stdio::null());
        for setting in settings {
            command.args(["-c", setting]);
        }
        let server = command.spawn().expect("postgres can be run");
        let mut postgres = Self { server, folder };
        postgres.wait();
        postgres
    }

    /// Waits until it takes connections.
    fn wait(&mut self) {
        let socket = self.folder.path().join(".s.PGSQL.5432");
        let began = std::time::Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            let over = self.server.try_wait().expect("a child can be asked");
            assert!(over.is_none(), "postgres ended at once: {over:?}");
            assert!(began.elapsed().as_secs() < 30, "postgres does not take connections");
            std::thread::yield_now();
        }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@localhost/postgres?host={folder}")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Immediate shutdown: nothing is to be kept.
        let stopped = Command::new("kill").args(["-QUIT", &self.server.id().to_string()]).status();
        if stopped.is_ok_and(|status| status.success()) {
            let _over = self.server.wait();
        } else {
            let _killed = self.server.kill();
        }
    }
}

/// The folder with the server's programs: on the path, or where Debian keeps the newest version of them.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find(|folder| has_programs(folder));
    let mut of_debian: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| has_programs(folder))
        .collect();
    of_debian.sort();
    on_path.or_else(|| of_debian.pop().map(|(_, folder)| folder))
}

fn has_programs(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// User and group of an account that is not root.
fn account() -> Option<(u32, u32)> {
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    ACCOUNTS.iter().find_map(|name| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}
