//! What a carrier's simulator has to say, and the words it says it in.
//!
//! A simulator has no socket and no clock. It turns requests into answers and happenings into webhooks; the sandbox runs
//! them. Write it from the carrier's public protocol and share no code with the provider beyond message types, or both will
//! be wrong in the same way.

use std::{collections::BTreeMap, fmt, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::Value;
use telephony_core::{AnsweredBy, Decimal, Timestamp, Url, audio::AudioFormat, media::StreamStart};

use crate::{Exchange, SimulatedCall};

/// One simulated carrier with one account.
pub trait CarrierSimulator: Send + fmt::Debug + 'static {
    /// The account's configuration, as its customer would write it for the provider, with the carrier's API at `api`.
    fn account(&self, api: &Url) -> Value;

    /// A fresh id in the carrier's form, for an inbound call.
    fn new_call_id(&mut self) -> String;

    /// Answers a REST request as the carrier does: its paths, status codes and bodies, its authentication. Whatever the
    /// request sets going goes through the [`Exchange`].
    fn rest(&mut self, request: &Request<Bytes>, exchange: &mut Exchange) -> Response<Bytes>;

    /// The carrier's own form of a failure with this status: for faults on request (401, 404, 429, 500).
    fn failure(&self, status: StatusCode) -> Response<Bytes>;

    /// The webhooks with which the carrier reports a happening to the customer, signed and complete. None, if the carrier
    /// does not report it or was not asked to. Called once for each happening.
    fn report(&mut self, call: &SimulatedCall, happening: &Report, now: Timestamp) -> Vec<Request<Bytes>>;

    /// The signed request with which the carrier asks what a call shall do. Without one, the call waits for
    /// [`Exchange::instruct`].
    fn ask(&mut self, call: &SimulatedCall, why: &Ask, now: Timestamp) -> Option<Request<Bytes>>;

    /// Reads the answer to such a request, as strictly as the carrier does. One that is driven by commands reads nothing, and
    /// has the call do [`Step::AwaitCommand`].
    ///
    /// # Errors
    ///
    /// What the carrier would show in its debugger. The call fails.
    fn read_answer(&mut self, response: &Response<Bytes>) -> Result<Vec<Step>, String>;

    /// The headers of the media socket's upgrade request that are the carrier's own: a signature, a token.
    fn media_headers(&mut self, call: &SimulatedCall, url: &Url, now: Timestamp) -> http::HeaderMap {
        let _ = (call, url, now);
        http::HeaderMap::new()
    }

    /// How a stream introduces itself: ids and parameters as the carrier repeats them.
    fn stream_start(
        &mut self,
        call: &SimulatedCall,
        format: AudioFormat,
        parameters: &BTreeMap<String, String>,
    ) -> StreamStart;

    /// What the customer has set up where the URLs for inbound calls are kept, and that is none of them: an application's other
    /// parts, a number's other webhooks. Whoever changes the URLs must leave it as it is. By default nothing is simulated of it.
    fn other_settings(&self, exchange: &Exchange) -> Value {
        let _ = exchange;
        Value::Null
    }

    /// What a minute costs, in the carrier's currency. Every minute begun is charged.
    fn rate_per_minute(&self) -> Decimal;

    /// The currency of that, ISO 4217, such as `EUR`. By default it is not said.
    fn currency(&self) -> Option<&'static str> {
        None
    }
}

/// What the carrier does with a call next, read from its answer document or told by a command.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// Stream both ways.
    Stream {
        /// Where to.
        url: Url,
        /// The format of both directions.
        format: AudioFormat,
        /// Repeated at its start.
        parameters: BTreeMap<String, String>,
    },
    /// Speak a text. The handset notes it; it takes as long as speaking would.
    Say {
        /// The text.
        text: String,
    },
    /// Play a file. The sandbox notes the URL and does not fetch it.
    Play {
        /// Where it is.
        url: String,
    },
    /// Send DTMF to the handset.
    SendDigits {
        /// The digits.
        digits: String,
    },
    /// Do nothing for a while.
    Pause {
        /// How long.
        length: Duration,
    },
    /// Collect digits, then [`Ask::Digits`].
    Gather {
        /// At most so many.
        max_digits: usize,
        /// To wait for the next.
        timeout: Duration,
        /// Whether `#` ends it.
        finish_on_hash: bool,
        /// Asked with the digits.
        callback: String,
    },
    /// Ring somebody else and connect the two.
    Dial {
        /// Whom.
        to: String,
        /// The caller ID shown.
        caller_id: Option<String>,
    },
    /// Join a conference.
    Conference {
        /// Its name.
        name: String,
    },
    /// Refuse the call.
    Reject {
        /// As busy, or as declined.
        busy: bool,
    },
    /// Ask another URL, with [`Ask::Redirect`].
    Redirect {
        /// Which.
        url: String,
    },
    /// Do nothing until [`Exchange::instruct`], without answering a call that rings.
    AwaitCommand,
    /// End the call.
    HangUp,
}

/// Why the carrier asks what a call shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// An outbound call was answered.
    Answered,
    /// Somebody calls one of the account's numbers.
    Inbound,
    /// Digits were collected.
    Digits {
        /// Where to ask.
        callback: String,
        /// What was pressed, perhaps nothing.
        digits: String,
        /// Whether time ran out.
        timed_out: bool,
    },
    /// The document said to ask elsewhere.
    Redirect {
        /// Where.
        url: String,
    },
}

/// Something that happened to a call and that a carrier may report.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// It is being set up.
    Initiated,
    /// The other side rings.
    Ringing,
    /// It was answered.
    Answered,
    /// Who answered is known. Reported only if the call was asked for with [`NewCall::detect_machine`](crate::NewCall).
    AnsweredBy(AnsweredBy),
    /// A media stream is up.
    StreamStarted,
    /// A media stream is down.
    StreamStopped,
    /// A media stream could not be set up.
    StreamFailed,
    /// A recording is ready. Reported only if the call was recorded.
    RecordingReady,
    /// It is over. The call's `status` says how, the cause says why.
    Ended(EndCause),
    /// What it costs is known now: [`SimulatedCall::rated`] is true from here on.
    Rated,
}

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndCause {
    /// The handset hung up.
    HandsetHungUp,
    /// The customer ended it: by a request, or its document ended.
    Application,
    /// The handset was busy.
    Busy,
    /// Nobody picked up.
    NoAnswer,
    /// The handset declined.
    Declined,
    /// There is no such number.
    InvalidNumber,
    /// The customer gave up before it was answered.
    Canceled,
    /// The time limit.
    TimeLimit,
    /// What to do could not be learnt: no answer, or no document.
    DocumentFailed,
    /// The customer refused the inbound call.
    Rejected,
}

impl EndCause {
    /// The same as a word, such as `handset_hung_up`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HandsetHungUp => "handset_hung_up",
            Self::Application => "application",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Declined => "declined",
            Self::InvalidNumber => "invalid_number",
            Self::Canceled => "canceled",
            Self::TimeLimit => "time_limit",
            Self::DocumentFailed => "document_failed",
            Self::Rejected => "rejected",
        }
    }
}
