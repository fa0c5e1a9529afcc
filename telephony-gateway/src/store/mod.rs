//! What a gateway remembers: SQLite in one file, or PostgreSQL where one machine is no longer enough. Both behave the same, and the
//! same tests run on both.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `db` | the two databases behind one face, and the tables' versions |
//! | `vault` | what is encrypted, with which key |
//! | `accounts` | organizations and their carrier accounts, in `organization_configuration` |
//! | `access` | API tokens, sign-in links, sessions: by their hashes |
//! | `workflows` | workflows, and the phone numbers that they answer |
//! | `announcements` | what gateways that share a database tell each other |
//! | `runs` | one row for each call, its ledger of events, its media tokens and its slot |
//!
//! Nothing is acknowledged before it is committed. Times are microseconds since 1970, in UTC.

mod access;
mod accounts;
mod announcements;
mod db;
mod runs;
mod vault;
mod workflows;

use std::sync::Arc;

pub use access::{ApiToken, IssuedToken};
pub use accounts::{Account, AccountChange, AccountHealth, NewAccount, Organization, TELEPHONY_CONFIGURATION};
pub use announcements::{Announced, Announcements};
pub use db::{DatabaseUrl, DatabaseUrlError};
pub use runs::{Appended, DialState, NewRun, Opened, RunFilter, RunPage, StoredEvent, StoredRun};
pub use vault::{KeyRing, VaultError};
pub use workflows::{NewNumber, NewWorkflow, PhoneNumberRow, Workflow};

use db::Db;
use uuid::Uuid;
use vault::Vault;

/// What a gateway remembers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    db: Arc<Db>,
    vault: Arc<Vault>,
    /// Tells this program from others that use the same database.
    instance: Uuid,
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database did not answer, or refused. What was asked for has not happened.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// The tables are those of a newer program. It would not know what it does to them.
    #[error("the database is of a newer version ({found}) than this program knows ({known}): use the newer program")]
    NewerSchema {
        /// The version of the tables.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// The tables could not be brought up to date.
    #[error("the database could not be brought up to date")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A secret could not be read.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// There is one of that kind already.
    #[error("{field}: {reason}")]
    Conflict {
        /// The field that is not free.
        field: &'static str,
        /// What is taken.
        reason: String,
    },
    /// What is stored cannot be read. Somebody else has written there.
    #[error("the stored {what} cannot be read: {reason}")]
    Damaged {
        /// What it is.
        what: &'static str,
        /// What is wrong with it, without quoting it.
        reason: String,
    },
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl StoreError {
    /// A stored document that cannot be read.
    fn damaged(what: &'static str, error: &serde_json::Error) -> Self {
        Self::Damaged { what, reason: format!("{:?} at {}", error.classify(), error.column()) }
    }
}

impl Store {
    /// Opens the database, makes it if there is none, and brings its tables up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: of a database that a newer program has written, [`StoreError::NewerSchema`].
    pub async fn open(url: &DatabaseUrl, keys: KeyRing) -> Result<Self, StoreError> {
        let db = Db::open(url).await?;
        Ok(Self { db: Arc::new(db), vault: Arc::new(Vault::new(keys)), instance: Uuid::new_v4() })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.db.ping().await
    }

    /// Writes what is left, and lets the database go.
    pub async fn close(&self) {
        self.db.close().await;
    }
}

/// What a statement failed with that gives something its name.
fn name_is_taken(error: sqlx::Error, name: &str) -> StoreError {
    if error.as_database_error().is_some_and(|error| error.is_unique_violation()) {
        return StoreError::Conflict { field: "name", reason: format!("there is another called {name:?}") };
    }
    error.into()
}
