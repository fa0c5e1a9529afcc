//! One run: a call, its provider, and who talks.

use std::sync::{Arc, Mutex, PoisonError};

use telephony_core::{OrganizationId, TelephonyProvider, WorkflowId, WorkflowRunId, audio::StereoRecorder};
use tokio::sync::watch;

use crate::{
    agent::{AgentCall, AgentError, CallAgent},
    media::{MediaReport, SessionEnd},
    timeline::Timeline,
};

/// Makes the agent of each stream of a call.
pub(crate) type AgentFactory = Arc<dyn Fn() -> Result<Box<dyn CallAgent>, AgentError> + Send + Sync>;

/// What a run is made of.
pub(crate) struct NewRun {
    pub(crate) agent: AgentFactory,
    pub(crate) call: AgentCall,
    pub(crate) record: bool,
    pub(crate) timeline: Timeline,
}

/// A run that is open.
pub(crate) struct Run {
    pub(crate) id: WorkflowRunId,
    pub(crate) workflow: WorkflowId,
    pub(crate) organization: OrganizationId,
    pub(crate) provider: Arc<dyn TelephonyProvider>,
    pub(crate) agent: AgentFactory,
    /// What the agent is told of the call.
    pub(crate) call: AgentCall,
    pub(crate) record: bool,
    pub(crate) timeline: Timeline,
    pub(crate) media: watch::Sender<MediaState>,
    recording: Mutex<Option<StereoRecorder>>,
}

/// Where the audio of a run stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum MediaState {
    /// There was no stream yet.
    None,
    /// There is one.
    Open,
    /// There was one.
    Closed { end: SessionEnd, report: Box<MediaReport> },
}

impl Run {
    pub(crate) fn new(provider: Arc<dyn TelephonyProvider>, new: NewRun) -> Self {
        let id = WorkflowRunId::generate();
        Self {
            id,
            workflow: WorkflowId::generate(),
            organization: OrganizationId::generate(),
            provider,
            agent: new.agent,
            call: AgentCall { run_id: Some(id), ..new.call },
            record: new.record,
            timeline: new.timeline,
            media: watch::Sender::new(MediaState::None),
            recording: Mutex::default(),
        }
    }

    pub(crate) fn keep_recording(&self, recording: Option<StereoRecorder>) {
        if recording.is_some() {
            *self.recording.lock().unwrap_or_else(PoisonError::into_inner) = recording;
        }
    }

    pub(crate) fn take_recording(&self) -> Option<StereoRecorder> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("id", &self.id).field("provider", &self.provider).finish_non_exhaustive()
    }
}
