//! Calls that somebody in this program attends: who talks in one is given with it, and what happens to it is told as it happens.
//!
//! A call that nobody attends has its agent from its workflow, and what happens is in the ledger only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use telephony_core::{WorkflowRunId, audio::StereoRecorder};

use super::Service;
use crate::{
    agent::{AgentError, CallAgent},
    media::{MediaReport, SessionEnd},
    timeline::Timeline,
};

/// Makes the agent of a call's stream.
pub(crate) type AgentFactory = Arc<dyn Fn() -> Result<Box<dyn CallAgent>, AgentError> + Send + Sync>;

/// The calls that are attended.
pub(super) type AttendedCalls = Mutex<HashMap<WorkflowRunId, Arc<Attended>>>;

/// A call that is attended.
pub(crate) struct Attended {
    pub(super) agent: AgentFactory,
    pub(crate) timeline: Timeline,
    seen: Mutex<Seen>,
}

/// What is kept for whoever attends.
#[derive(Default)]
struct Seen {
    repeated: usize,
    media: Option<MediaReport>,
    recording: Option<StereoRecorder>,
}

impl Attended {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Each is set as a whole, so they are good even after a panic elsewhere.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a delivery of an event that was known already.
    pub(super) fn came_again(&self) {
        self.seen().repeated += 1;
    }

    /// Takes what is known of a stream that is over.
    pub(super) fn closed(&self, end: &SessionEnd, report: MediaReport, recording: Option<StereoRecorder>) {
        self.timeline.note_media_end(end);
        let mut seen = self.seen();
        seen.media = Some(report);
        seen.recording = recording;
    }

    /// How often events were delivered that were known already.
    pub(crate) fn repeated(&self) -> usize {
        self.seen().repeated
    }

    /// What went over the stream, once it is over, and both its sides.
    pub(crate) fn take_media(&self) -> (Option<MediaReport>, Option<StereoRecorder>) {
        let mut seen = self.seen();
        (seen.media.take(), seen.recording.take())
    }
}

/// Attends a call for as long as it lives.
pub(crate) struct Attending {
    service: Service,
    run: WorkflowRunId,
    pub(crate) call: Arc<Attended>,
}

impl Drop for Attending {
    fn drop(&mut self) {
        self.service.attended_calls().remove(&self.run);
    }
}

impl Service {
    /// From now on, this agent talks in a call, and what happens to it is written into the timeline. To be said before the call is dialled.
    pub(crate) fn attend(&self, run: WorkflowRunId, agent: AgentFactory, timeline: Timeline) -> Attending {
        let call = Arc::new(Attended { agent, timeline, seen: Mutex::default() });
        self.attended_calls().insert(run, call.clone());
        Attending { service: self.clone(), run, call }
    }

    /// A call, if it is attended.
    pub(super) fn attended(&self, run: WorkflowRunId) -> Option<Arc<Attended>> {
        self.attended_calls().get(&run).cloned()
    }

    /// Writes into the timeline of a call, if it is attended.
    pub(super) fn note(&self, run: WorkflowRunId, through: &'static str, event: &str, carried: impl Into<String>) {
        if let Some(call) = self.attended(run) {
            call.timeline.note(through, event, carried);
        }
    }

    fn attended_calls(&self) -> MutexGuard<'_, HashMap<WorkflowRunId, Arc<Attended>>> {
        self.inner.attended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
