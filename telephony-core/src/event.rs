//! What happened to a call, in one vocabulary for all carriers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    address::ReportedAddress,
    call::{AnsweredBy, CallStatus, Direction},
    id::CallRef,
    instruction::Due,
    money::CallCost,
};

/// One thing that happened to a call. A webhook may bring none, one or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CallEvent {
    /// Which call, with every handle that this event brought.
    pub call: CallRef,
    /// When, by the carrier's clock, if it says so.
    #[serde(with = "time::serde::rfc3339::option")]
    pub occurred_at: Option<Timestamp>,
    /// The carrier's own counter of the events of this call, at the one carrier that has one.
    pub sequence: Option<u64>,
    /// The same for every delivery of the same event, different for any two events of an account.
    pub dedupe_key: String,
    /// What happened.
    pub kind: CallEventKind,
}

impl CallEvent {
    /// An event. See [`dedupe_key`](Self::dedupe_key) for what the key must be.
    #[must_use]
    pub fn new(call: CallRef, dedupe_key: impl Into<String>, kind: CallEventKind) -> Self {
        Self { call, occurred_at: None, sequence: None, dedupe_key: dedupe_key.into(), kind }
    }

    /// Says when it happened.
    #[must_use]
    pub fn at(mut self, occurred_at: Option<Timestamp>) -> Self {
        self.occurred_at = occurred_at;
        self
    }

    /// Says which of the call's events it is.
    #[must_use]
    pub fn numbered(mut self, sequence: Option<u64>) -> Self {
        self.sequence = sequence;
        self
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallEventKind {
    /// The call is in another state.
    Status(StatusChange),
    /// Somebody calls us. It comes with [`InstructionWanted`](Self::InstructionWanted).
    Inbound {
        /// Who calls.
        from: ReportedAddress,
        /// The number called.
        to: ReportedAddress,
    },
    /// The carrier waits to be told what the call shall do: answer with
    /// [`get_webhook_response`](crate::TelephonyProvider::get_webhook_response).
    ///
    /// Where something is [due](Due), that is what to answer with.
    InstructionWanted {
        /// Why it asks.
        because: InstructionWanted,
        /// What was agreed for this moment, where the carrier leaves it to us.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<Due>,
    },
    /// Who answered is known.
    AnsweredBy {
        /// Who.
        who: AnsweredBy,
    },
    /// Digits were pressed, outside the media stream.
    Digits {
        /// What was pressed; empty when nothing was, in time.
        digits: String,
        /// Whether gathering ended because time ran out.
        timed_out: bool,
    },
    /// A recording changed its state.
    Recording(RecordingEvent),
    /// The carrier said what the call costs.
    Cost {
        /// The price.
        cost: CallCost,
    },
    /// The media stream changed its state.
    Stream(StreamEvent),
    /// Another leg of the same call, one that a bridge or transfer made, is in another state. The call itself is not.
    OtherLeg(StatusChange),
    /// The carrier reports a problem that did not end the call.
    Problem {
        /// In the carrier's words, telephone numbers shortened.
        message: String,
    },
    /// Something that this version has no word for. Kept, so that nothing is lost; it moves no call.
    Other {
        /// The carrier's name for it.
        name: String,
    },
}

impl CallEventKind {
    /// The carrier waits to be told what the call shall do, and nothing was agreed.
    #[must_use]
    pub const fn instruction_wanted(because: InstructionWanted) -> Self {
        Self::InstructionWanted { because, due: None }
    }
}

/// A call is in another state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StatusChange {
    /// Which, or `None` for a word that this version does not know: it moves no call.
    pub status: Option<CallStatus>,
    /// The carrier's own word.
    pub raw_status: String,
    /// Why, in the carrier's words: a hang-up cause, a detail.
    pub reason: Option<String>,
    /// Why the other side could not be had, more closely than the status says it.
    pub refusal: Option<Refusal>,
    /// Which way the call goes.
    pub direction: Option<Direction>,
    /// How long it lasted, on final states.
    pub duration: Option<Duration>,
}

impl StatusChange {
    /// A change to a status, with the carrier's word for it.
    #[must_use]
    pub fn new(status: Option<CallStatus>, raw_status: impl Into<String>) -> Self {
        Self { status, raw_status: raw_status.into(), reason: None, refusal: None, direction: None, duration: None }
    }

    /// Adds why.
    #[must_use]
    pub fn with_reason(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }

    /// Adds why the other side could not be had.
    #[must_use]
    pub fn with_refusal(mut self, refusal: Option<Refusal>) -> Self {
        self.refusal = refusal;
        self
    }

    /// Adds which way.
    #[must_use]
    pub fn with_direction(mut self, direction: Option<Direction>) -> Self {
        self.direction = direction;
        self
    }

    /// Adds how long.
    #[must_use]
    pub fn with_duration(mut self, duration: Option<Duration>) -> Self {
        self.duration = duration;
        self
    }
}

/// Why the other side could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// Somebody declined the call.
    Declined,
    /// There is no such number.
    InvalidNumber,
    /// There is such a number, and it cannot be reached.
    Unreachable,
}

/// Why a carrier asks what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InstructionWanted {
    /// The outbound call was answered.
    Answered,
    /// Somebody calls us.
    Inbound,
    /// What it was told before is done: gathering, speaking, a bridge, a stream.
    Continued,
    /// What it was told before could not be had or read, and it tries the fallback.
    Fallback,
}

/// A recording changed its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecordingEvent {
    /// The carrier's id of the recording.
    pub id: Option<String>,
    /// Its state.
    pub state: RecordingState,
    /// Where it can be fetched, usually with the account's credentials. There once it is [`Ready`](RecordingState::Ready).
    pub url: Option<String>,
    /// How long it is.
    pub duration: Option<Duration>,
}

impl RecordingEvent {
    /// A recording in a state.
    #[must_use]
    pub fn new(id: Option<String>, state: RecordingState) -> Self {
        Self { id, state, url: None, duration: None }
    }
}

/// The state of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecordingState {
    /// Running.
    Started,
    /// Done, and it can be fetched.
    Ready,
    /// There is none: nothing was said, or it was refused.
    Absent,
    /// It went wrong.
    Failed,
}

/// The media stream changed its state, as the carrier reports it outside the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum StreamEvent {
    /// It is up.
    Started,
    /// It is down.
    Stopped,
    /// It could not be set up, or broke.
    Failed {
        /// In the carrier's words.
        reason: Option<String>,
    },
}
