//! The two databases behind one face.
//!
//! They take the same statements (`$1`, `ON CONFLICT`, `RETURNING`); what differs is which types columns have, who may write at the same
//! time, and how a row is kept from others for a while.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Mutex,
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, PgPool, SqlSafeStr, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::StoreError;

/// How long a statement waits for the one that writes in its place.
const BUSY: Duration = Duration::from_secs(5);

/// Connections of one gateway to PostgreSQL. Its own default allows a hundred for all.
const POSTGRES_CONNECTIONS: u32 = 16;

/// Connections that read SQLite at the same time.
const SQLITE_READERS: u32 = 4;

/// Where the database is: `sqlite:` and a path, a path, or `postgres://…`.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file.
    Sqlite(PathBuf),
    /// Memory, gone with the program: for calls that nobody asks about later.
    Memory,
    /// A server.
    Postgres(String),
}

/// Why a text names no database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a database is `sqlite:` and the path of a file, or a URL that starts with postgres://")]
pub struct DatabaseUrlError;

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        match text.strip_prefix("sqlite:").map(|path| path.trim_start_matches("//")) {
            Some(":memory:") => Ok(Self::Memory),
            Some("") => Err(DatabaseUrlError),
            Some(path) => Ok(Self::Sqlite(path.into())),
            None if text.is_empty() || text.contains("://") => Err(DatabaseUrlError),
            None => Ok(Self::Sqlite(text.into())),
        }
    }
}

/// Says which kind and where, and no password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Memory => f.write_str("sqlite::memory:"),
            Self::Postgres(url) => {
                let place = url.split_once("://").map_or("", |(_, rest)| rest);
                let place = place.split('?').next().unwrap_or_default();
                write!(f, "postgres://{}", place.rsplit_once('@').map_or(place, |(_, host)| host))
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An open database.
#[derive(Debug)]
pub(super) enum Db {
    Sqlite {
        /// One connection: SQLite has one writer, and a queue before it is quicker than many that try.
        write: SqlitePool,
        read: SqlitePool,
        /// Of what is in memory only: it lasts as long as a connection to it, and a pool closes one whose question was given up.
        _memory: Option<Mutex<SqliteConnection>>,
    },
    Postgres(PgPool),
}

/// Runs the same code on whichever pool there is: `write` for what changes something, `read` for what does not.
macro_rules! on {
    ($db:expr, $kind:ident, $pool:ident => $body:expr) => {
        match &*$db {
            $crate::store::db::Db::Sqlite { $kind: $pool, .. } => $body,
            $crate::store::db::Db::Postgres($pool) => $body,
        }
    };
}
pub(super) use on;

/// Says how a row of either database becomes a struct whose fields are called like its columns.
macro_rules! from_row {
    ($type:ident { $($field:ident),+ $(,)? }) => {
        $crate::store::db::from_row!(@ sqlx::sqlite::SqliteRow, $type, $($field),+);
        $crate::store::db::from_row!(@ sqlx::postgres::PgRow, $type, $($field),+);
    };
    (@ $row:ty, $type:ident, $($field:ident),+) => {
        impl sqlx::FromRow<'_, $row> for $type {
            fn from_row(row: &$row) -> sqlx::Result<Self> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?),+ })
            }
        }
    };
}
pub(super) use from_row;

/// The versions of the tables, oldest first, for SQLite and for PostgreSQL.
const MIGRATIONS: &[(i64, &str, &str, &str)] = &[
    (
        1,
        "init",
        include_str!("../../migrations/sqlite/0001_init.sql"),
        include_str!("../../migrations/postgres/0001_init.sql"),
    ),
    (
        2,
        "health",
        include_str!("../../migrations/sqlite/0002_health.sql"),
        include_str!("../../migrations/postgres/0002_health.sql"),
    ),
    (
        3,
        "sandbox",
        include_str!("../../migrations/sqlite/0003_sandbox.sql"),
        include_str!("../../migrations/postgres/0003_sandbox.sql"),
    ),
];

impl Db {
    pub(super) async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let db = match url {
            DatabaseUrl::Postgres(url) => {
                let options: PgConnectOptions = url.parse::<PgConnectOptions>()?.disable_statement_logging();
                let pool = PgPoolOptions::new().max_connections(POSTGRES_CONNECTIONS).acquire_timeout(BUSY);
                Self::Postgres(pool.connect_with(options).await?)
            }
            DatabaseUrl::Memory => {
                let options = SqliteConnectOptions::from_str("sqlite::memory:")?.foreign_keys(true);
                let options = options.disable_statement_logging();
                let memory = Some(Mutex::new(SqliteConnection::connect_with(&options).await?));
                // One connection that is used: those that share a memory do not wait for each other, they fail.
                let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
                Self::Sqlite { write: pool.clone(), read: pool, _memory: memory }
            }
            DatabaseUrl::Sqlite(path) => {
                make_private(path).map_err(sqlx::Error::Io)?;
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .foreign_keys(true)
                    .busy_timeout(BUSY)
                    .disable_statement_logging();
                let write = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
                let read = SqlitePoolOptions::new().max_connections(SQLITE_READERS);
                Self::Sqlite { write, read: read.connect_with(options.read_only(false)).await?, _memory: None }
            }
        };
        db.migrate().await?;
        Ok(db)
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let sqlite = matches!(self, Self::Sqlite { .. });
        let migrations = MIGRATIONS.iter().map(|&(version, name, for_sqlite, for_postgres)| {
            let sql = if sqlite { for_sqlite } else { for_postgres };
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        });
        let migrator = Migrator::with_migrations(migrations.collect());
        let outcome = on!(self, write, pool => migrator.run(pool).await);
        let known = MIGRATIONS.last().map_or(0, |(version, ..)| *version);
        outcome.map_err(|error| match error {
            MigrateError::VersionMissing(found) if found > known => StoreError::NewerSchema { found, known },
            other => StoreError::Migration(other),
        })
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        on!(self, read, pool => sqlx::query("SELECT 1").execute(pool).await.map(|_| ()))?;
        Ok(())
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { write, read, .. } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// Makes the folder and an empty file that only its owner may read: the files beside it (`-wal`, `-shm`) get the same mode.
fn make_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Now, in microseconds: what times are stored as. PostgreSQL keeps no more.
pub(super) fn now() -> i64 {
    micros(telephony_core::Timestamp::now_utc())
}

pub(super) fn micros(time: telephony_core::Timestamp) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX)
}

/// A stored time.
pub(super) fn timestamp(micros: i64) -> telephony_core::Timestamp {
    let nanos = i128::from(micros) * 1_000;
    telephony_core::Timestamp::from_unix_timestamp_nanos(nanos).unwrap_or(telephony_core::Timestamp::UNIX_EPOCH)
}
