//! Calls: one row each, made before the carrier is asked; the ledger of what happened; and what a call holds while it lasts.

use std::{fmt, ops::RangeInclusive, time::Duration};

use serde_json::Value;
use telephony_core::{
    CallEvent, CallRef, CallStatus, Capability, Direction, OrganizationId, Secret, Timestamp, WorkflowId, WorkflowRunId,
};
use uuid::Uuid;

use super::{
    Store, StoreError,
    access::{after, hash, random_token},
    db::{from_row, micros, now, on, timestamp},
};
use crate::reducer::{CallSummary, about_this_call, reduce};

/// Whether the carrier was asked for a call, and what became of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialState {
    /// It is about to be asked. Whoever finds this after a crash does not know whether it was.
    Intended,
    /// It accepted the call.
    Accepted,
    /// It refused, or was not asked: there is no call.
    Refused,
    /// It was asked, and no usable answer came. Never asked again: a call may ring.
    Unknown,
    /// It was the carrier that told us of the call.
    Received,
}

impl DialState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Intended, Self::Accepted, Self::Refused, Self::Unknown, Self::Received];

    /// The word in data.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Received => "received",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "intended" => Self::Intended,
            "accepted" => Self::Accepted,
            "refused" => Self::Refused,
            "received" => Self::Received,
            _ => Self::Unknown,
        }
    }
}

/// A call to open.
#[derive(Clone, PartialEq)]
pub struct NewRun {
    /// Its id, made by the caller: it stands in the URLs that the carrier is given.
    pub id: WorkflowRunId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// What it is for.
    pub workflow: Option<WorkflowId>,
    /// The account.
    pub configuration: Uuid,
    /// The provider.
    pub provider: String,
    /// Which way it goes.
    pub direction: Direction,
    /// Who calls.
    pub from: String,
    /// Who is called.
    pub to: String,
    /// How the carrier knows it, as far as that is known.
    pub call: CallRef,
    /// What else was asked for, as JSON.
    pub options: Value,
    /// The caller's key and the hash of its request: the same key opens one run.
    pub idempotency: Option<(String, String)>,
    /// For how long its place is held before it must be renewed.
    pub lease: Duration,
}

/// Neither who calls whom nor what was asked for: an agent's URL may hold a secret.
impl fmt::Debug for NewRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewRun")
            .field("id", &self.id)
            .field("provider", &self.provider)
            .field("direction", &self.direction)
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

/// What became of opening a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    /// It is open.
    New(Box<StoredRun>),
    /// The same request has opened it before.
    Existing(Box<StoredRun>),
    /// The key was used for another request.
    KeyReused,
    /// The organization has as many calls as it may have.
    NoSlot {
        /// How many.
        limit: u32,
    },
}

/// A call as it is stored.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct StoredRun {
    /// Its id.
    pub id: WorkflowRunId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// What it is for; `None` once that was deleted.
    pub workflow: Option<WorkflowId>,
    /// The account; `None` once that was deleted.
    pub configuration: Option<Uuid>,
    /// The provider.
    pub provider: String,
    /// Which way it goes.
    pub direction: Direction,
    /// Who calls.
    pub from: String,
    /// Who is called.
    pub to: String,
    /// Whether the carrier was asked for it.
    pub dial_state: DialState,
    /// Why there is no call, or why that is not known.
    pub dial_error: Option<String>,
    /// How the carrier knows it.
    pub call: CallRef,
    /// What its events add up to.
    pub summary: CallSummary,
    /// Whether it is over.
    pub is_over: bool,
    /// What is known of its price: `pending`, `rated`, `unsupported`, `given_up`.
    pub cost_state: String,
    /// Where its stream stands: `none`, `open`, `closed`.
    pub media_state: String,
    /// What went over the stream, as JSON.
    pub media: Option<Value>,
    /// The file of its recording.
    pub recording: Option<String>,
    /// What else was asked for.
    pub options: Value,
    /// Raised by every change.
    pub version: i64,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

impl StoredRun {
    /// Whether nothing happens with it any more: it is over, its audio is closed, and its price is known or given up.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_over && self.cost_state != "pending" && self.media_state != "open"
    }
}

/// See [`NewRun`].
impl fmt::Debug for StoredRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredRun")
            .field("id", &self.id)
            .field("provider", &self.provider)
            .field("direction", &self.direction)
            .field("dial_state", &self.dial_state)
            .field("call", &self.call)
            .field("summary", &self.summary)
            .field("is_over", &self.is_over)
            .field("cost_state", &self.cost_state)
            .field("media_state", &self.media_state)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoredEvent {
    /// Its number among all rows.
    pub id: i64,
    /// What happened.
    pub event: CallEvent,
    /// Where it came from: `webhook`, `rest`, `media`, `gateway`.
    pub source: String,
    /// When it came.
    pub received_at: Timestamp,
}

/// What became of events that were written down.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Appended {
    /// The run as it is now.
    pub run: StoredRun,
    /// For each event, whether it was new.
    pub new: Vec<bool>,
    /// Whether the call stands elsewhere since just now.
    pub moved: bool,
    /// Whether the run is over since just now.
    pub ended_now: bool,
}

/// Which calls are wanted.
#[derive(Clone, Default, PartialEq)]
pub struct RunFilter {
    /// Only those with this status.
    pub status: Option<CallStatus>,
    /// Only those that go this way.
    pub direction: Option<Direction>,
    /// Only those of this account.
    pub configuration: Option<Uuid>,
    /// Only those of this workflow.
    pub workflow: Option<WorkflowId>,
    /// Only those whose caller or called number contains this.
    pub number: Option<String>,
    /// Only those opened at this time or later.
    pub since: Option<Timestamp>,
    /// Only those opened before this time.
    pub until: Option<Timestamp>,
    /// Only those older than this one: the last of the page before.
    pub before: Option<WorkflowRunId>,
}

/// Without the number.
impl fmt::Debug for RunFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunFilter")
            .field("status", &self.status)
            .field("direction", &self.direction)
            .field("configuration", &self.configuration)
            .field("workflow", &self.workflow)
            .field("since", &self.since)
            .field("until", &self.until)
            .field("before", &self.before)
            .finish_non_exhaustive()
    }
}

/// A page of calls, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPage {
    /// The calls.
    pub runs: Vec<StoredRun>,
    /// Whether there are older ones.
    pub more: bool,
}

struct RunRow {
    id: Uuid,
    organization_id: Uuid,
    workflow_id: Option<Uuid>,
    configuration_id: Option<Uuid>,
    provider: String,
    direction: String,
    from_address: String,
    to_address: String,
    dial_state: String,
    dial_error: Option<String>,
    call_ref: String,
    summary: String,
    is_over: bool,
    cost_state: String,
    media_state: String,
    media: Option<String>,
    recording: Option<String>,
    options: String,
    request_hash: Option<String>,
    version: i64,
    created_at: i64,
    updated_at: i64,
    ended_at: Option<i64>,
}
from_row!(RunRow {
    id,
    organization_id,
    workflow_id,
    configuration_id,
    provider,
    direction,
    from_address,
    to_address,
    dial_state,
    dial_error,
    call_ref,
    summary,
    is_over,
    cost_state,
    media_state,
    media,
    recording,
    options,
    request_hash,
    version,
    created_at,
    updated_at,
    ended_at,
});

/// Every column of a run, for statements.
macro_rules! run_columns {
    () => {
        "id, organization_id, workflow_id, configuration_id, provider, direction, from_address, to_address, dial_state, dial_error, \
         call_ref, summary, is_over, cost_state, media_state, media, recording, options, request_hash, version, created_at, \
         updated_at, ended_at"
    };
}

impl TryFrom<RunRow> for StoredRun {
    type Error = StoreError;

    fn try_from(row: RunRow) -> Result<Self, StoreError> {
        let json = |what, text: &str| serde_json::from_str(text).map_err(|error| StoreError::damaged(what, &error));
        Ok(Self {
            id: row.id.into(),
            organization: row.organization_id.into(),
            workflow: row.workflow_id.map(WorkflowId::from),
            configuration: row.configuration_id,
            provider: row.provider,
            direction: if row.direction == "inbound" { Direction::Inbound } else { Direction::Outbound },
            from: row.from_address,
            to: row.to_address,
            dial_state: DialState::parse(&row.dial_state),
            dial_error: row.dial_error,
            call: serde_json::from_str(&row.call_ref).map_err(|error| StoreError::damaged("call reference", &error))?,
            summary: serde_json::from_str(&row.summary).map_err(|error| StoreError::damaged("call state", &error))?,
            is_over: row.is_over,
            cost_state: row.cost_state,
            media_state: row.media_state,
            media: row.media.map(|text| json("media report", &text)).transpose()?,
            recording: row.recording,
            options: json("options", &row.options)?,
            version: row.version,
            created_at: timestamp(row.created_at),
            updated_at: timestamp(row.updated_at),
            ended_at: row.ended_at.map(timestamp),
        })
    }
}

struct EventRow {
    id: i64,
    event: String,
    source: String,
    received_at: i64,
}
from_row!(EventRow { id, event, source, received_at });

impl TryFrom<EventRow> for StoredEvent {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            event: serde_json::from_str(&row.event).map_err(|error| StoreError::damaged("event", &error))?,
            source: row.source,
            received_at: timestamp(row.received_at),
        })
    }
}

fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

/// A document of ours, as it is stored.
fn written<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::damaged(what, &error))
}

impl Store {
    /// Opens a run and takes a place for it, in one step: the intent is durable before anybody is asked for a call.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn open_run(&self, new: &NewRun) -> Result<Opened, StoreError> {
        let time = now();
        let (id, organization) = (Uuid::from(new.id), Uuid::from(new.organization));
        let (key, request_hash) = new.idempotency.clone().unzip();
        let dial_state = match new.direction {
            Direction::Outbound => DialState::Intended,
            Direction::Inbound => DialState::Received,
        };
        let (call, summary) = (written("call reference", &new.call)?, written("call state", &CallSummary::default())?);
        on!(self.db, write, pool => {
            let mut transaction = pool.begin().await?;
            // An update that changes nothing keeps others from counting at the same time, in both databases.
            let limit: Option<(i64,)> = sqlx::query_as(
                "UPDATE organization SET max_concurrent_calls = max_concurrent_calls WHERE id = $1 RETURNING max_concurrent_calls",
            )
            .bind(organization)
            .fetch_optional(&mut *transaction)
            .await?;
            let (limit,) = limit.ok_or(sqlx::Error::RowNotFound)?;
            if key.is_some() {
                let existing: Option<RunRow> = sqlx::query_as(concat!(
                    "SELECT ", run_columns!(), " FROM workflow_run WHERE organization_id = $1 AND idempotency_key = $2",
                ))
                .bind(organization)
                .bind(&key)
                .fetch_optional(&mut *transaction)
                .await?;
                if let Some(row) = existing {
                    transaction.rollback().await?;
                    if row.request_hash != request_hash {
                        return Ok(Opened::KeyReused);
                    }
                    return Ok(Opened::Existing(Box::new(row.try_into()?)));
                }
            }
            let (taken,): (i64,) = sqlx::query_as(
                "SELECT COUNT(*) FROM call_slot WHERE organization_id = $1 AND expires_at > $2",
            )
            .bind(organization)
            .bind(time)
            .fetch_one(&mut *transaction)
            .await?;
            if taken >= limit {
                transaction.rollback().await?;
                return Ok(Opened::NoSlot { limit: u32::try_from(limit).unwrap_or(0) });
            }
            sqlx::query(
                "INSERT INTO workflow_run (id, organization_id, workflow_id, configuration_id, provider, direction, from_address,
                     to_address, dial_state, call_id, call_ref, summary, is_over, cost_state, media_state, options,
                     idempotency_key, request_hash, version, created_at, updated_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'pending', 'none', $14, $15, $16, 1, $17, $17)",
            )
            .bind(id)
            .bind(organization)
            .bind(new.workflow.map(Uuid::from))
            .bind(new.configuration)
            .bind(&new.provider)
            .bind(direction_word(new.direction))
            .bind(&new.from)
            .bind(&new.to)
            .bind(dial_state.as_str())
            .bind(new.call.id().map(telephony_core::CallId::as_str))
            .bind(&call)
            .bind(&summary)
            .bind(false)
            .bind(new.options.to_string())
            .bind(&key)
            .bind(&request_hash)
            .bind(time)
            .execute(&mut *transaction)
            .await?;
            sqlx::query("INSERT INTO call_slot (run_id, organization_id, expires_at) VALUES ($1, $2, $3)")
                .bind(id)
                .bind(organization)
                .bind(after(time, new.lease))
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
        });
        let run = self.run(new.id).await?.ok_or(StoreError::Database(sqlx::Error::RowNotFound))?;
        Ok(Opened::New(Box::new(run)))
    }

    /// Writes down what became of asking the carrier for a call. A call that was accepted stays accepted, whatever is said later;
    /// one that was refused is over, and gives its place back.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn dialled(
        &self,
        run: WorkflowRunId,
        state: DialState,
        call: Option<&CallRef>,
        error: Option<&str>,
    ) -> Result<Option<StoredRun>, StoreError> {
        let (id, time) = (Uuid::from(run), now());
        let refused = state == DialState::Refused;
        on!(self.db, write, pool => {
            let mut transaction = pool.begin().await?;
            // The row is this transaction's from here on.
            let row: Option<RunRow> = sqlx::query_as(concat!(
                "UPDATE workflow_run SET version = version + 1, updated_at = $2 WHERE id = $1 RETURNING ", run_columns!(),
            ))
            .bind(id)
            .bind(time)
            .fetch_optional(&mut *transaction)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let mut stored = StoredRun::try_from(row)?;
            if matches!(stored.dial_state, DialState::Intended | DialState::Unknown) {
                if let Some(call) = call {
                    stored.call.absorb(call);
                }
                sqlx::query(
                    "UPDATE workflow_run SET dial_state = $2, dial_error = $3, call_ref = $4, call_id = $5,
                         is_over = (is_over OR $6), ended_at = CASE WHEN $6 THEN COALESCE(ended_at, $7) ELSE ended_at END,
                         cost_state = CASE WHEN $6 THEN 'unsupported' ELSE cost_state END
                     WHERE id = $1",
                )
                .bind(id)
                .bind(state.as_str())
                .bind(error)
                .bind(written("call reference", &stored.call)?)
                .bind(stored.call.id().map(telephony_core::CallId::as_str))
                .bind(refused)
                .bind(time)
                .execute(&mut *transaction)
                .await?;
                if refused {
                    sqlx::query("DELETE FROM call_slot WHERE run_id = $1").bind(id).execute(&mut *transaction).await?;
                }
            }
            transaction.commit().await?;
        });
        self.run(run).await
    }

    /// Writes events into the ledger, those that are not there yet, and moves the run to what they all add up to. It is committed when
    /// this returns. `None` if there is no such run.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: nothing is written then.
    pub async fn append(
        &self,
        run: WorkflowRunId,
        source: &str,
        events: &[CallEvent],
        received_at: Timestamp,
    ) -> Result<Option<Appended>, StoreError> {
        let (id, time) = (Uuid::from(run), now());
        let mut new = Vec::with_capacity(events.len());
        let (moved, ended_now);
        on!(self.db, write, pool => {
            let mut transaction = pool.begin().await?;
            let row: Option<RunRow> = sqlx::query_as(concat!(
                "UPDATE workflow_run SET version = version + 1, updated_at = $2 WHERE id = $1 RETURNING ", run_columns!(),
            ))
            .bind(id)
            .bind(time)
            .fetch_optional(&mut *transaction)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let mut stored = StoredRun::try_from(row)?;
            for event in events {
                let event = about_this_call(&stored.call, event.clone());
                let inserted = sqlx::query(
                    "INSERT INTO call_event (run_id, dedupe_key, kind, event, source, occurred_at, received_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (run_id, dedupe_key) DO NOTHING",
                )
                .bind(id)
                .bind(&event.dedupe_key)
                .bind(crate::timeline::describe(&event.kind).0)
                .bind(written("event", &event)?)
                .bind(source)
                .bind(event.occurred_at.map(micros))
                .bind(micros(received_at))
                .execute(&mut *transaction)
                .await?
                .rows_affected();
                new.push(inserted > 0);
                if inserted > 0 {
                    stored.call.absorb(&event.call);
                }
            }
            let rows: Vec<EventRow> = sqlx::query_as(
                "SELECT id, event, source, received_at FROM call_event WHERE run_id = $1 ORDER BY id",
            )
            .bind(id)
            .fetch_all(&mut *transaction)
            .await?;
            let all: Vec<StoredEvent> = rows.into_iter().map(StoredEvent::try_from).collect::<Result<_, _>>()?;
            let summary = reduce(all.iter().map(|stored| &stored.event));
            let over = summary.status.is_some_and(CallStatus::is_terminal);
            (moved, ended_now) = (summary.status != stored.summary.status, over && !stored.is_over);
            // That the carrier tells of a call is as good as its answer to the request for it.
            let heard_of = matches!(stored.dial_state, DialState::Intended | DialState::Unknown) && stored.call.id().is_some();
            let dial_state = if heard_of { DialState::Accepted } else { stored.dial_state };
            let rated = matches!(summary.cost, Some(telephony_core::CallCost::Rated { .. }));
            sqlx::query(
                "UPDATE workflow_run SET call_ref = $2, call_id = $3, summary = $4, status = $5, is_over = (is_over OR $6),
                     ended_at = CASE WHEN $6 THEN COALESCE(ended_at, $7) ELSE ended_at END, dial_state = $8,
                     dial_error = CASE WHEN $9 THEN NULL ELSE dial_error END,
                     cost_state = CASE WHEN $10 THEN 'rated' ELSE cost_state END
                 WHERE id = $1",
            )
            .bind(id)
            .bind(written("call reference", &stored.call)?)
            .bind(stored.call.id().map(telephony_core::CallId::as_str))
            .bind(written("call state", &summary)?)
            .bind(summary.status.map(CallStatus::as_str))
            .bind(over)
            .bind(time)
            .bind(dial_state.as_str())
            .bind(heard_of)
            .bind(rated)
            .execute(&mut *transaction)
            .await?;
            if over {
                sqlx::query("DELETE FROM call_slot WHERE run_id = $1").bind(id).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
        });
        Ok(self.run(run).await?.map(|run| Appended { run, new, moved, ended_now }))
    }

    /// A run, whoever's it is: for webhooks and media sockets, which are let in by their signature and their token.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn run(&self, id: WorkflowRunId) -> Result<Option<StoredRun>, StoreError> {
        let row: Option<RunRow> = on!(self.db, read, pool => sqlx::query_as(concat!(
            "SELECT ", run_columns!(), " FROM workflow_run WHERE id = $1",
        ))
        .bind(Uuid::from(id))
        .fetch_optional(pool)
        .await)?;
        row.map(StoredRun::try_from).transpose()
    }

    /// A run of an organization; `None` if there is none, or if it is another's.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn run_of(&self, owner: OrganizationId, id: WorkflowRunId) -> Result<Option<StoredRun>, StoreError> {
        Ok(self.run(id).await?.filter(|run| run.organization == owner))
    }

    /// The run of a call, by the carrier's id for it: an inbound call's second webhook names no run.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn run_of_call(&self, configuration: Uuid, call_id: &str) -> Result<Option<StoredRun>, StoreError> {
        let row: Option<RunRow> = on!(self.db, read, pool => sqlx::query_as(concat!(
            "SELECT ", run_columns!(), " FROM workflow_run WHERE configuration_id = $1 AND call_id = $2 ORDER BY id LIMIT 1",
        ))
        .bind(configuration)
        .bind(call_id)
        .fetch_optional(pool)
        .await)?;
        row.map(StoredRun::try_from).transpose()
    }

    /// Calls of an organization, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn runs(&self, owner: OrganizationId, filter: &RunFilter, limit: u32) -> Result<RunPage, StoreError> {
        let number = filter.number.as_ref().map(|part| {
            let part: String = part.chars().filter(|c| !matches!(c, '%' | '_' | '\\')).collect();
            format!("%{part}%")
        });
        let rows: Vec<RunRow> = on!(self.db, read, pool => sqlx::query_as(concat!(
            "SELECT ", run_columns!(), " FROM workflow_run
             WHERE organization_id = $1
                 AND ($2 IS NULL OR status = $2)
                 AND ($3 IS NULL OR direction = $3)
                 AND ($4 IS NULL OR configuration_id = $4)
                 AND ($5 IS NULL OR workflow_id = $5)
                 AND ($6 IS NULL OR from_address LIKE $6 OR to_address LIKE $6)
                 AND ($7 IS NULL OR created_at >= $7)
                 AND ($8 IS NULL OR created_at < $8)
                 AND ($9 IS NULL OR id < $9)
             ORDER BY id DESC LIMIT $10",
        ))
        .bind(Uuid::from(owner))
        .bind(filter.status.map(CallStatus::as_str))
        .bind(filter.direction.map(direction_word))
        .bind(filter.configuration)
        .bind(filter.workflow.map(Uuid::from))
        .bind(number)
        .bind(filter.since.map(micros))
        .bind(filter.until.map(micros))
        .bind(filter.before.map(Uuid::from))
        .bind(i64::from(limit) + 1)
        .fetch_all(pool)
        .await)?;
        let mut runs: Vec<StoredRun> = rows.into_iter().map(StoredRun::try_from).collect::<Result<_, _>>()?;
        let more = runs.len() > limit as usize;
        runs.truncate(limit as usize);
        Ok(RunPage { runs, more })
    }

    /// How many calls of an organization are not over.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn calls_under_way(&self, owner: OrganizationId) -> Result<u64, StoreError> {
        let count: (i64,) = on!(self.db, read, pool => sqlx::query_as(
            "SELECT COUNT(*) FROM workflow_run WHERE organization_id = $1 AND is_over = $2",
        )
        .bind(Uuid::from(owner))
        .bind(false)
        .fetch_one(pool)
        .await)?;
        Ok(u64::try_from(count.0).unwrap_or_default())
    }

    /// Takes runs to ask the carrier about: not over, unheard of since a time, and not taken by anybody for a while. Those that waited
    /// longest come first, and nobody gets them again before the while is over.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn take_quiet_runs(
        &self,
        unheard_since: Timestamp,
        again_after: Duration,
        limit: u32,
    ) -> Result<Vec<StoredRun>, StoreError> {
        let time = now();
        let rows: Vec<RunRow> = on!(self.db, write, pool => sqlx::query_as(concat!(
            "UPDATE workflow_run SET look_at = $1
             WHERE look_at <= $2 AND id IN (
                 SELECT id FROM workflow_run WHERE is_over = $3 AND look_at <= $2 AND updated_at < $4 ORDER BY look_at LIMIT $5)
             RETURNING ", run_columns!(),
        ))
        .bind(after(time, again_after))
        .bind(time)
        .bind(false)
        .bind(micros(unheard_since))
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await)?;
        rows.into_iter().map(StoredRun::try_from).collect()
    }

    /// Takes runs to ask the carrier what they cost: over, without a price, and not taken by anybody for a while: for as long as they were over
    /// then, which makes each pause about twice the one before, within limits.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn take_unrated_runs(
        &self,
        pauses: RangeInclusive<Duration>,
        limit: u32,
    ) -> Result<Vec<StoredRun>, StoreError> {
        let time = now();
        let rows: Vec<RunRow> = on!(self.db, write, pool => sqlx::query_as(concat!(
            "UPDATE workflow_run SET price_at = CASE
                 WHEN $1 - COALESCE(ended_at, updated_at) < $2 THEN $1 + $2
                 WHEN $1 - COALESCE(ended_at, updated_at) > $3 THEN $1 + $3
                 ELSE $1 + $1 - COALESCE(ended_at, updated_at) END
             WHERE price_at <= $1 AND id IN (
                 SELECT id FROM workflow_run WHERE cost_state = 'pending' AND is_over = $4 AND price_at <= $1
                 ORDER BY price_at LIMIT $5)
             RETURNING ", run_columns!(),
        ))
        .bind(time)
        .bind(after(0, *pauses.start()))
        .bind(after(0, *pauses.end()))
        .bind(true)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await)?;
        rows.into_iter().map(StoredRun::try_from).collect()
    }

    /// Says that no price is to be had: because the carrier tells none ([`Capability::CallCost`]), or because it was waited for long
    /// enough. One that is known stays.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn give_up_cost(&self, run: WorkflowRunId, lacking: Option<Capability>) -> Result<(), StoreError> {
        let state = if lacking.is_some() { "unsupported" } else { "given_up" };
        on!(self.db, write, pool => sqlx::query(
            "UPDATE workflow_run SET cost_state = $2, version = version + 1, updated_at = $3
             WHERE id = $1 AND cost_state = 'pending'",
        )
        .bind(Uuid::from(run))
        .bind(state)
        .bind(now())
        .execute(pool)
        .await
        .map(|_| ()))?;
        Ok(())
    }

    /// The ledger of a run, in the order in which it was written.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn events(&self, run: WorkflowRunId) -> Result<Vec<StoredEvent>, StoreError> {
        let rows: Vec<EventRow> = on!(self.db, read, pool => sqlx::query_as(
            "SELECT id, event, source, received_at FROM call_event WHERE run_id = $1 ORDER BY id",
        )
        .bind(Uuid::from(run))
        .fetch_all(pool)
        .await)?;
        rows.into_iter().map(StoredEvent::try_from).collect()
    }

    /// Makes a media token of a run, good for one socket until it expires. Only its hash is stored.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn issue_media_token(&self, run: WorkflowRunId, valid_for: Duration) -> Result<Secret, StoreError> {
        let (token, time) = (random_token(), now());
        on!(self.db, write, pool => sqlx::query(
            "INSERT INTO media_token (hash, run_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(hash(&token))
        .bind(Uuid::from(run))
        .bind(time)
        .bind(after(time, valid_for))
        .execute(pool)
        .await
        .map(|_| ()))?;
        Ok(Secret::new(token))
    }

    /// Uses a media token up and marks the run's stream as open, both or neither. `None` if the token is not good, if it was used
    /// before, or if the run has had its stream: two agents would talk at once.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn redeem_media_token(&self, run: WorkflowRunId, token: &str) -> Result<Option<StoredRun>, StoreError> {
        let (id, time) = (Uuid::from(run), now());
        on!(self.db, write, pool => {
            let mut transaction = pool.begin().await?;
            let used = sqlx::query(
                "UPDATE media_token SET redeemed_at = $3
                 WHERE hash = $1 AND run_id = $2 AND redeemed_at IS NULL AND expires_at > $3",
            )
            .bind(hash(token))
            .bind(id)
            .bind(time)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            let opened = sqlx::query(
                "UPDATE workflow_run SET media_state = 'open', version = version + 1, updated_at = $2
                 WHERE id = $1 AND media_state = 'none' AND is_over = $3",
            )
            .bind(id)
            .bind(time)
            .bind(false)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if used == 0 || opened == 0 {
                transaction.rollback().await?;
                return Ok(None);
            }
            transaction.commit().await?;
        });
        self.run(run).await
    }

    /// Marks the stream of a run as closed, with what went over it and the file of its recording.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn close_media(
        &self,
        run: WorkflowRunId,
        report: &Value,
        recording: Option<&str>,
    ) -> Result<(), StoreError> {
        on!(self.db, write, pool => sqlx::query(
            "UPDATE workflow_run SET media_state = 'closed', media = $2, recording = COALESCE($3, recording),
                 version = version + 1, updated_at = $4
             WHERE id = $1",
        )
        .bind(Uuid::from(run))
        .bind(report.to_string())
        .bind(recording)
        .bind(now())
        .execute(pool)
        .await
        .map(|_| ()))?;
        Ok(())
    }

    /// Marks streams as closed whose calls have been over since before a time: the gateway that carried them has stopped. Returns
    /// those calls.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn close_lost_media(&self, before: Timestamp, report: &Value) -> Result<Vec<WorkflowRunId>, StoreError> {
        let closed: Vec<Uuid> = on!(self.db, write, pool => sqlx::query_scalar(
            "UPDATE workflow_run SET media_state = 'closed', media = $3, version = version + 1, updated_at = $4
             WHERE is_over = $1 AND media_state = 'open' AND ended_at < $2 RETURNING id",
        )
        .bind(true)
        .bind(micros(before))
        .bind(report.to_string())
        .bind(now())
        .fetch_all(pool)
        .await)?;
        Ok(closed.into_iter().map(WorkflowRunId::from).collect())
    }

    /// Holds the place of a run for so much longer. False if it has none any more.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn renew_slot(&self, run: WorkflowRunId, lease: Duration) -> Result<bool, StoreError> {
        let renewed = on!(self.db, write, pool => sqlx::query("UPDATE call_slot SET expires_at = $2 WHERE run_id = $1")
            .bind(Uuid::from(run))
            .bind(after(now(), lease))
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(renewed > 0)
    }

    /// How many places of an organization are taken.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn slots_taken(&self, owner: OrganizationId) -> Result<u32, StoreError> {
        let (taken,): (i64,) = on!(self.db, read, pool => sqlx::query_as(
            "SELECT COUNT(*) FROM call_slot WHERE organization_id = $1 AND expires_at > $2",
        )
        .bind(Uuid::from(owner))
        .bind(now())
        .fetch_one(pool)
        .await)?;
        Ok(u32::try_from(taken).unwrap_or(u32::MAX))
    }
}
