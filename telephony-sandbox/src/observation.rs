//! What the sandbox saw, for those who show it or wait for it.

use bytes::Bytes;

use crate::EndCause;

/// Something that happened at the simulated carrier or at a handset.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Observation {
    /// A REST request was answered, or deliberately not.
    Rest {
        /// Its method.
        method: http::Method,
        /// Its path, without the query.
        path: String,
        /// The answer's status; `None` if the connection was cut.
        status: Option<u16>,
    },
    /// A webhook was delivered, or could not be.
    WebhookSent {
        /// The carrier's id of the call.
        call: String,
        /// The request, whole.
        request: Box<http::Request<Bytes>>,
        /// The answer's status; `None` if there was no answer.
        status: Option<u16>,
        /// Whether it asked for an instruction.
        ask: bool,
    },
    /// An answer document could not be used.
    DocumentRefused {
        /// The carrier's id of the call.
        call: String,
        /// What the carrier's debugger would say.
        reason: String,
    },
    /// A handset rings.
    HandsetRang {
        /// The carrier's id of the call.
        call: String,
    },
    /// A handset was picked up.
    HandsetAnswered {
        /// The carrier's id of the call.
        call: String,
    },
    /// The person at the handset begins to speak.
    HandsetSpeaks {
        /// The carrier's id of the call.
        call: String,
    },
    /// The person at the handset has said all.
    HandsetSpoke {
        /// The carrier's id of the call.
        call: String,
    },
    /// A media socket is open and introduced.
    StreamOpened {
        /// The carrier's id of the call.
        call: String,
    },
    /// A media socket could not be opened.
    StreamFailed {
        /// The carrier's id of the call.
        call: String,
        /// Why.
        reason: String,
    },
    /// A media socket is closed.
    StreamClosed {
        /// The carrier's id of the call.
        call: String,
        /// Why the carrier dropped it, if it was the carrier: a message that it could not read.
        dropped: Option<String>,
    },
    /// A call is over.
    CallEnded {
        /// The carrier's id of the call.
        call: String,
        /// Why.
        cause: EndCause,
    },
    /// What a call costs is known.
    CallRated {
        /// The carrier's id of the call.
        call: String,
    },
}
