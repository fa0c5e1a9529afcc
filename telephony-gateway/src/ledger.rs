//! The ledger: every event of a call is one row, written once, and the state of the call is computed from the rows.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use telephony_core::{CallEvent, CallEventKind, CallRef, Timestamp, WorkflowRunId};
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

    /// Writes events. One that is there already is counted and not written again. `written` is told of each event, and whether
    /// it was new, before anybody who [watches](Self::watch) learns of it.
    ///
    /// # Errors
    ///
    /// [`UnknownRun`].
    pub fn append(
        &self,
        run: WorkflowRunId,
        events: Vec<CallEvent>,
        received_at: Timestamp,
        mut written: impl FnMut(&CallEvent, bool),
    ) -> Result<CallRef, UnknownRun> {
        let runs = self.lock();
        let sender = runs.get(&run).ok_or(UnknownRun)?;
        sender.send_modify(|record| {
            for event in events {
                let event = about_this_call(&record.call, event);
                let known = record.entries.iter().any(|known| known.event.dedupe_key == event.dedupe_key);
                written(&event, !known);
                if known {
                    record.repeated += 1;
                    continue;
                }
                record.call.absorb(&event.call);
                record.entries.push(LedgerEntry { received_at, event });
            }
            record.summary = reduce(record.entries.iter().map(|entry| &entry.event));
        });
        Ok(sender.borrow().call.clone())
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

/// An event that names another call than the run's is of another leg, whatever the carrier's provider took it for: it must
/// neither move the call nor change how the call is reached.
pub(crate) fn about_this_call(call: &CallRef, mut event: CallEvent) -> CallEvent {
    if let (Some(own), Some(named)) = (call.id(), event.call.id())
        && own != named
    {
        event.kind = match event.kind {
            CallEventKind::Status(change) => CallEventKind::OtherLeg(change),
            other => other,
        };
        event.call = call.clone();
    }
    event
}

#[cfg(test)]
mod tests {
    use telephony_core::{CallId, CallStatus, StatusChange};

    use super::*;

    fn status(key: &str, status: CallStatus) -> CallEvent {
        let call = CallRef::new(CallId::new("c-1").unwrap()).with_handle("leg", "l-1");
        CallEvent::new(call, key, CallEventKind::Status(StatusChange::new(Some(status), "word")))
    }

    fn append(ledger: &Ledger, run: WorkflowRunId, events: Vec<CallEvent>) -> Result<(CallRef, Vec<bool>), UnknownRun> {
        let mut new = Vec::new();
        let call = ledger.append(run, events, Timestamp::UNIX_EPOCH, |_, is_new| new.push(is_new))?;
        Ok((call, new))
    }

    #[test]
    fn an_event_is_written_once_and_moves_the_call() {
        let ledger = Ledger::new();
        let run = WorkflowRunId::generate();
        assert_eq!(append(&ledger, run, Vec::new()), Err(UnknownRun));
        ledger.open(run);
        let watching = ledger.watch(run).unwrap();
        let events = || vec![status("a", CallStatus::Ringing), status("b", CallStatus::InProgress)];
        let (call, new) = append(&ledger, run, events()).unwrap();
        assert_eq!(new, [true, true]);
        let (_, again) = append(&ledger, run, events()).unwrap();
        assert_eq!(again, [false, false]);
        let record = watching.borrow();
        assert_eq!((record.entries.len(), record.repeated), (2, 2));
        assert_eq!(record.summary.status, Some(CallStatus::InProgress));
        assert_eq!(call.handle("leg"), Some("l-1"));
    }

    #[test]
    fn another_leg_neither_moves_the_call_nor_takes_its_place() {
        let ledger = Ledger::new();
        let run = WorkflowRunId::generate();
        ledger.open(run);
        append(&ledger, run, vec![status("a", CallStatus::InProgress)]).unwrap();
        let mut other = status("b", CallStatus::Completed);
        other.call = CallRef::new(CallId::new("c-2").unwrap());
        let (call, _) = append(&ledger, run, vec![other]).unwrap();
        assert_eq!(call.to_string(), "c-1");
        let record = ledger.watch(run).unwrap().borrow().clone();
        assert_eq!(record.summary.status, Some(CallStatus::InProgress));
        assert!(matches!(record.entries[1].event.kind, CallEventKind::OtherLeg(_)));
    }
}
