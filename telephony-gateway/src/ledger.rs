//! The ledger: every event of a call is one row, written once, and the state of the call is computed from the rows.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use telephony_core::{CallEvent, CallRef, Timestamp, WorkflowRunId};
use tokio::sync::watch;

use crate::reducer::{CallSummary, reduce};

/// A row: an event, and when it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerEntry {
    /// When it came to us.
    pub received_at: Timestamp,
    /// What happened.
    pub event: CallEvent,
}

/// What is known of one run.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// How the carrier knows the call; learnt from its answer and its events.
    pub call: CallRef,
    /// Its rows, in the order in which they came.
    pub entries: Vec<LedgerEntry>,
    /// Events that came again, or that several deliveries brought.
    pub repeated: usize,
    /// What the rows add up to.
    pub summary: CallSummary,
}

/// What came of appending events.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// How the carrier knows the call.
    pub call: CallRef,
    /// Of each event, whether it was new.
    pub new: Vec<bool>,
}

/// The calls of a gateway. Kept in memory.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    runs: Arc<Mutex<HashMap<WorkflowRunId, watch::Sender<RunRecord>>>>,
}

/// No run has this id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such run")]
pub struct UnknownRun;

impl Ledger {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the account of a run, before the carrier is asked for anything.
    pub fn open(&self, run: WorkflowRunId) {
        let record =
            RunRecord { call: CallRef::unnamed(), entries: Vec::new(), repeated: 0, summary: CallSummary::default() };
        self.lock().entry(run).or_insert_with(|| watch::channel(record).0);
    }

    /// Notes how the carrier knows the call.
    ///
    /// # Errors
    ///
    /// [`UnknownRun`].
    pub fn learn(&self, run: WorkflowRunId, call: &CallRef) -> Result<(), UnknownRun> {
        let runs = self.lock();
        runs.get(&run).ok_or(UnknownRun)?.send_modify(|record| record.call.absorb(call));
        Ok(())
    }

    /// Writes events. One that is there already is counted and not written again.
    ///
    /// # Errors
    ///
    /// [`UnknownRun`].
    pub fn append(
        &self,
        run: WorkflowRunId,
        events: Vec<CallEvent>,
        received_at: Timestamp,
    ) -> Result<Written, UnknownRun> {
        let runs = self.lock();
        let sender = runs.get(&run).ok_or(UnknownRun)?;
        let mut new = Vec::with_capacity(events.len());
        sender.send_modify(|record| {
            for event in events {
                let known = record.entries.iter().any(|known| known.event.dedupe_key == event.dedupe_key);
                new.push(!known);
                if known {
                    record.repeated += 1;
                    continue;
                }
                record.call.absorb(&event.call);
                record.entries.push(LedgerEntry { received_at, event });
            }
            record.summary = reduce(record.entries.iter().map(|entry| &entry.event));
        });
        let call = sender.borrow().call.clone();
        Ok(Written { call, new })
    }

    /// What is known of a run, now and whenever it changes.
    ///
    /// # Errors
    ///
    /// [`UnknownRun`].
    pub fn watch(&self, run: WorkflowRunId) -> Result<watch::Receiver<RunRecord>, UnknownRun> {
        self.lock().get(&run).map(watch::Sender::subscribe).ok_or(UnknownRun)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkflowRunId, watch::Sender<RunRecord>>> {
        // Rows are appended whole or not at all, so the map is good even after a panic elsewhere.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use telephony_core::{CallEventKind, CallId, CallStatus, StatusChange};

    use super::*;

    fn status(key: &str, status: CallStatus) -> CallEvent {
        let call = CallRef::new(CallId::new("c-1").unwrap()).with_handle("leg", "l-1");
        CallEvent::new(call, key, CallEventKind::Status(StatusChange::new(Some(status), "word")))
    }

    #[test]
    fn an_event_is_written_once_and_moves_the_call() {
        let ledger = Ledger::new();
        let run = WorkflowRunId::generate();
        assert_eq!(ledger.append(run, Vec::new(), Timestamp::UNIX_EPOCH), Err(UnknownRun));
        ledger.open(run);
        let watching = ledger.watch(run).unwrap();
        let events = || vec![status("a", CallStatus::Ringing), status("b", CallStatus::InProgress)];
        let written = ledger.append(run, events(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(written.new, [true, true]);
        let again = ledger.append(run, events(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(again.new, [false, false]);
        let record = watching.borrow();
        assert_eq!((record.entries.len(), record.repeated), (2, 2));
        assert_eq!(record.summary.status, Some(CallStatus::InProgress));
        assert_eq!(written.call.handle("leg"), Some("l-1"));
    }
}
