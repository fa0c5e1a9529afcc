//! The line: what an agent says and does.

use std::{mem, time::Duration};

use super::AgentAction;

/// What an agent says and does, in order.
#[derive(Debug, Default)]
pub struct AgentLine {
    samples: Vec<i16>,
    acts: Vec<Act>,
    /// What was said before, and the caller has not heard yet, in samples.
    unheard: usize,
    marks_pending: usize,
    requests: u64,
}

/// One thing that an agent did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    /// So many more of the samples.
    Say(usize),
    Mark(String),
    Clear,
    /// At the latest after so long.
    HangUp(Option<Duration>),
    /// The agent is gone, for this reason.
    Lost(String),
    Request(u64, AgentAction),
}

impl AgentLine {
    /// Says something, behind what was said before: linear samples at the agent's rate, any number.
    pub fn say(&mut self, samples: &[i16]) {
        if samples.is_empty() {
            return;
        }
        self.samples.extend_from_slice(samples);
        self.unheard += samples.len();
        match self.acts.last_mut() {
            Some(Act::Say(count)) => *count += samples.len(),
            _ => self.acts.push(Act::Say(samples.len())),
        }
    }

    /// Asks to be told when everything said so far has been heard. Names need not differ.
    pub fn mark(&mut self, name: impl Into<String>) {
        self.marks_pending += 1;
        self.acts.push(Act::Mark(name.into()));
    }

    /// Falls silent at once: what was said and not yet heard is thrown away.
    pub fn clear(&mut self) {
        self.unheard = 0;
        self.acts.push(Act::Clear);
    }

    /// Hangs up once everything said so far has been heard. What is said after this is not heard any more.
    pub fn hang_up(&mut self) {
        self.acts.push(Act::HangUp(None));
    }

    /// Hangs up once everything said so far has been heard, but after so long at the latest.
    pub fn hang_up_within(&mut self, limit: Duration) {
        self.acts.push(Act::HangUp(Some(limit)));
    }

    /// Asks for something to be done to the call. The number comes back in
    /// [`AgentEvent::RequestAnswered`](super::AgentEvent::RequestAnswered).
    pub fn request(&mut self, action: AgentAction) -> u64 {
        self.requests += 1;
        self.acts.push(Act::Request(self.requests, action));
        self.requests
    }

    /// How many samples have been said that the caller, going by the caller's clock, has not heard. An agent that makes
    /// speech faster than it is heard can wait while this is large.
    #[must_use]
    pub fn unheard_samples(&self) -> usize {
        self.unheard
    }

    /// How many marks have been set that were neither reached nor cleared.
    #[must_use]
    pub fn marks_pending(&self) -> usize {
        self.marks_pending
    }

    /// The agent is gone and says no more: the call ends once what it said has been heard.
    pub(crate) fn lose(&mut self, reason: String) {
        self.acts.push(Act::Lost(reason));
    }

    /// Begins a turn, with what is outstanding from those before.
    pub(crate) fn begin(&mut self, unheard: usize, marks_pending: usize) {
        self.samples.clear();
        self.acts.clear();
        self.unheard = unheard;
        self.marks_pending = marks_pending;
    }

    /// What was said this turn.
    pub(crate) fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// What was done this turn. Give the memory back with [`return_acts`](Self::return_acts).
    pub(crate) fn take_acts(&mut self) -> Vec<Act> {
        mem::take(&mut self.acts)
    }

    pub(crate) fn return_acts(&mut self, mut acts: Vec<Act>) {
        acts.clear();
        self.acts = acts;
    }
}
