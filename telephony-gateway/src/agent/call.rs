//! What an agent is told about its call.

use std::{collections::BTreeMap, fmt};

use telephony_core::{Address, CallRef, Direction, ProviderName, WorkflowRunId};

/// A call, as far as it is known when its audio starts.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentCall {
    /// The carrier that the call goes through, by its one word.
    pub provider: ProviderName,
    /// Which way it goes.
    pub direction: Direction,
    /// Our id of the call.
    pub run_id: Option<WorkflowRunId>,
    /// The carrier's id of the call, with its other handles.
    pub call: CallRef,
    /// The carrier's id of the stream, where it has one.
    pub stream_id: Option<String>,
    /// Who calls.
    pub from: Option<Address>,
    /// Who is called.
    pub to: Option<Address>,
    /// What was given along with the stream.
    pub parameters: BTreeMap<String, String>,
}

impl AgentCall {
    /// A call of which nothing more is known.
    #[must_use]
    pub fn new(provider: ProviderName, direction: Direction) -> Self {
        Self {
            provider,
            direction,
            run_id: None,
            call: CallRef::unnamed(),
            stream_id: None,
            from: None,
            to: None,
            parameters: BTreeMap::new(),
        }
    }

    /// Says who calls whom.
    #[must_use]
    pub fn between(mut self, from: Address, to: Address) -> Self {
        self.from = Some(from);
        self.to = Some(to);
        self
    }
}

/// Numbers with their last four digits; the parameters by name, as a value may be a secret.
impl fmt::Debug for AgentCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentCall")
            .field("provider", &self.provider)
            .field("direction", &self.direction)
            .field("run_id", &self.run_id)
            .field("call", &self.call)
            .field("from", &self.from)
            .field("to", &self.to)
            .field("parameters", &self.parameters.keys())
            .finish_non_exhaustive()
    }
}
