//! What gateways that share a database tell each other: which calls have changed. PostgreSQL carries it (`NOTIFY`); with SQLite there is one
//! gateway, and nobody to tell.
//!
//! An announcement is a hint to look, and never the data: whoever missed one finds in the tables what it was about.

use sqlx::{PgPool, postgres::PgListener};
use telephony_core::WorkflowRunId;
use uuid::Uuid;

use super::{Store, StoreError, db::Db};

/// Where it is said.
const CHANNEL: &str = "telephony_runs";

/// How many runs are named at a time. PostgreSQL takes less than 8,000 bytes, and a run is 37.
const RUNS_AT_ONCE: usize = 200;

/// What another gateway said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announced {
    /// These calls have changed.
    Runs(Vec<WorkflowRunId>),
    /// Something was missed, as the connection was lost: any call may have changed.
    Missed,
}

/// What other gateways say. Dropping it stops listening.
#[derive(Debug)]
pub struct Announcements {
    listener: PgListener,
    own: Uuid,
}

impl Store {
    /// Listens to the other gateways of this database. `None` where there can be none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn announcements(&self) -> Result<Option<Announcements>, StoreError> {
        let Some(pool) = self.shared() else { return Ok(None) };
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Some(Announcements { listener, own: self.instance }))
    }

    /// Tells the other gateways of this database that these calls have changed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn announce(&self, runs: &[WorkflowRunId]) -> Result<(), StoreError> {
        let Some(pool) = self.shared() else { return Ok(()) };
        for runs in runs.chunks(RUNS_AT_ONCE) {
            let said = written(self.instance, runs);
            sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(said).execute(pool).await?;
        }
        Ok(())
    }

    /// Whether other gateways may use this database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.shared().is_some()
    }

    fn shared(&self) -> Option<&PgPool> {
        match &*self.db {
            Db::Postgres(pool) => Some(pool),
            Db::Sqlite { .. } => None,
        }
    }
}

impl Announcements {
    /// What is said next by somebody else.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] when the database cannot be reached again. What is said until it can is missed.
    pub async fn next(&mut self) -> Result<Announced, StoreError> {
        loop {
            let Some(said) = self.listener.try_recv().await? else { return Ok(Announced::Missed) };
            match read(said.payload()) {
                Some((own, _)) if own == self.own => {}
                Some((_, runs)) => return Ok(Announced::Runs(runs)),
                // A newer gateway may say it in other words.
                None => return Ok(Announced::Missed),
            }
        }
    }
}

fn written(own: Uuid, runs: &[WorkflowRunId]) -> String {
    runs.iter().fold(own.to_string(), |said, run| format!("{said} {run}"))
}

fn read(said: &str) -> Option<(Uuid, Vec<WorkflowRunId>)> {
    let (own, runs) = said.split_once(' ')?;
    Some((own.parse().ok()?, runs.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood_and_fits() {
        let (own, runs) = (Uuid::now_v7(), vec![WorkflowRunId::generate(); RUNS_AT_ONCE]);
        let said = written(own, &runs);
        assert!(said.len() < 8_000, "{} bytes", said.len());
        assert_eq!(read(&said), Some((own, runs)));
    }

    #[test]
    fn what_is_not_understood_is_none() {
        for said in ["", "x", "01a21100-486a-7673-b385-00bb22985e36", "01a21100-486a-7673-b385-00bb22985e36 x"] {
            assert_eq!(read(said), None, "{said:?}");
        }
    }
}
