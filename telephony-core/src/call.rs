//! Calls: how one is asked for, what it is doing, and what became of it.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    Timestamp,
    address::{Address, PhoneNumber, ReportedAddress},
    capability::Capability,
    id::CallRef,
    money::CallCost,
    redact::origin_of,
};

/// Where the carrier reaches us about one call. The caller builds them; a provider never invents a URL, and adds at most a mark
/// to the query of one.
#[derive(Clone, PartialEq, Eq)]
pub struct CallUrls {
    /// Asked what the call shall do, once answered (`https://`).
    pub answer: Url,
    /// Told what happens (`https://`).
    pub events: Url,
    /// Where the media stream goes (`wss://`). No query: some carriers drop it.
    pub media: Url,
}

/// Without what follows the host: whoever has the URL of the media can take the call's place.
impl fmt::Debug for CallUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallUrls")
            .field("answer", &origin_of(&self.answer))
            .field("events", &origin_of(&self.events))
            .field("media", &origin_of(&self.media))
            .finish()
    }
}

/// A call to place.
///
/// Make it with [`new`](Self::new) and set what else matters. An option that the provider's capabilities lack is refused
/// with [`Unsupported`](crate::TelephonyError::Unsupported), never silently dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboundCall {
    /// Whom to call.
    pub to: Address,
    /// The caller ID: a number of the account, or one that the carrier has verified.
    pub from: Address,
    /// Where the carrier reaches us.
    pub urls: CallUrls,
    /// How long it may ring. Absent: the carrier's default.
    pub ring_timeout: Option<Duration>,
    /// How long it may last once answered. Absent: the carrier's default.
    pub time_limit: Option<Duration>,
    /// Whether to find out if a person or a machine answered.
    pub machine_detection: Option<MachineDetection>,
    /// DTMF to send once answered.
    pub digits_on_answer: Option<DigitSequence>,
    /// Record from the answer on.
    pub record: Option<RecordingRequest>,
    /// A name to show to the person called, where networks carry it.
    pub caller_name: Option<String>,
}

impl OutboundCall {
    /// A call with the carrier's defaults.
    #[must_use]
    pub fn new(to: impl Into<Address>, from: impl Into<Address>, urls: CallUrls) -> Self {
        Self {
            to: to.into(),
            from: from.into(),
            urls,
            ring_timeout: None,
            time_limit: None,
            machine_detection: None,
            digits_on_answer: None,
            record: None,
            caller_name: None,
        }
    }

    /// Bounds how long it rings.
    #[must_use]
    pub fn with_ring_timeout(mut self, timeout: Duration) -> Self {
        self.ring_timeout = Some(timeout);
        self
    }

    /// Bounds how long it lasts.
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Asks whether a person or a machine answered.
    #[must_use]
    pub fn with_machine_detection(mut self, detection: MachineDetection) -> Self {
        self.machine_detection = Some(detection);
        self
    }

    /// Sends digits once answered.
    #[must_use]
    pub fn with_digits_on_answer(mut self, digits: DigitSequence) -> Self {
        self.digits_on_answer = Some(digits);
        self
    }

    /// Records from the answer on.
    #[must_use]
    pub fn with_recording(mut self, record: RecordingRequest) -> Self {
        self.record = Some(record);
        self
    }

    /// The capabilities that its options need.
    ///
    /// ```
    /// # use telephony_core::{CallUrls, Capability, OutboundCall, PhoneNumber};
    /// # let url = |text: &str| text.parse().unwrap();
    /// # let urls = CallUrls { answer: url("https://a.example"), events: url("https://a.example"), media: url("wss://a.example") };
    /// # let number: PhoneNumber = "+12025550100".parse().unwrap();
    /// let call = OutboundCall::new(number.clone(), number, urls).with_caller_name("Anna");
    /// assert_eq!(call.capabilities().collect::<Vec<_>>(), [Capability::CallerName]);
    /// ```
    pub fn capabilities(&self) -> impl Iterator<Item = Capability> + use<> {
        [
            (matches!(self.to, Address::Sip(_)), Capability::SipAddress),
            (self.ring_timeout.is_some(), Capability::RingTimeout),
            (self.time_limit.is_some(), Capability::TimeLimit),
            (self.machine_detection.is_some(), Capability::MachineDetection),
            (self.digits_on_answer.is_some(), Capability::DigitsOnAnswer),
            (self.record.is_some(), Capability::RecordOnAnswer),
            (self.caller_name.is_some(), Capability::CallerName),
        ]
        .into_iter()
        .filter_map(|(set, capability)| set.then_some(capability))
    }

    /// Shows a name.
    #[must_use]
    pub fn with_caller_name(mut self, name: impl Into<String>) -> Self {
        self.caller_name = Some(name.into());
        self
    }
}

/// What to do about answering machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MachineDetection {
    /// Tell as soon as it is known whether a person or a machine speaks; the call goes on meanwhile.
    Detect,
    /// Tell once a machine's greeting is over, so that a message can be left after the beep.
    DetectBeep,
    /// Have the carrier hang up when a machine answers.
    HangUp,
}

/// DTMF to send: `0` to `9`, `A` to `D`, `#`, `*`, and `w` for a pause of half a second. 1 to 64 characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DigitSequence(String);

/// Why a text is no [`DigitSequence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("digits are 1 to 64 of 0-9, A-D, #, * and w (half a second of pause)")]
pub struct DigitSequenceError;

impl DigitSequence {
    /// The text, upper-case digits. It may be a PIN: not for logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DigitSequence {
    type Err = DigitSequenceError;

    fn from_str(text: &str) -> Result<Self, DigitSequenceError> {
        let text: String = text
            .chars()
            .map(|c| {
                if c == 'W' {
                    "ww".to_owned()
                } else if c == 'w' {
                    "w".to_owned()
                } else {
                    c.to_ascii_uppercase().to_string()
                }
            })
            .collect();
        let well_formed = matches!(text.len(), 1..=64)
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'D' | b'#' | b'*' | b'w'));
        if well_formed { Ok(Self(text)) } else { Err(DigitSequenceError) }
    }
}

/// Shows how many there are: they may be a PIN.
impl fmt::Debug for DigitSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} digits]", self.0.len())
    }
}

/// How to record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordingRequest {
    /// Both sides in channels of their own, instead of mixed.
    pub dual_channel: bool,
    /// Where to tell that it is ready. Absent: the events URL of the call, where the carrier allows it.
    pub events: Option<Url>,
}

impl RecordingRequest {
    /// Each side in its own channel.
    #[must_use]
    pub fn dual_channel() -> Self {
        Self { dual_channel: true, events: None }
    }

    /// Tells this URL when the recording is ready.
    #[must_use]
    pub fn with_events(mut self, events: Url) -> Self {
        self.events = Some(events);
        self
    }
}

/// The carrier accepted a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InitiatedCall {
    /// How to reach it. Some carriers have not named the call yet: then it has a handle and no id.
    pub call: CallRef,
    /// Its state as the carrier accepted it.
    pub status: CallStatus,
    /// The carrier's own word for it, empty if it said none.
    pub raw_status: String,
}

impl InitiatedCall {
    /// An accepted call.
    #[must_use]
    pub fn new(call: CallRef, status: CallStatus, raw_status: impl Into<String>) -> Self {
        Self { call, status, raw_status: raw_status.into() }
    }
}

/// Where a call stands. The order is that of a call's life; every final state is behind every other, and a call that has
/// reached one never leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// Accepted by the carrier, waiting for its turn.
    Queued,
    /// Being set up.
    Initiated,
    /// The other side rings.
    Ringing,
    /// Answered.
    InProgress,
    /// Was answered and is over.
    Completed,
    /// The other side was busy, or declined.
    Busy,
    /// It rang and nobody answered.
    NoAnswer,
    /// Given up before it was answered, by us.
    Canceled,
    /// It could not be set up, or the carrier broke it off.
    Failed,
}

impl CallStatus {
    /// Every status, in order.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Initiated,
        Self::Ringing,
        Self::InProgress,
        Self::Completed,
        Self::Busy,
        Self::NoAnswer,
        Self::Canceled,
        Self::Failed,
    ];

    /// Whether the call is over.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Busy | Self::NoAnswer | Self::Canceled | Self::Failed)
    }

    /// The word in data: `in_progress`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for CallStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which way a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Somebody called us.
    Inbound,
    /// We called.
    Outbound,
}

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AnsweredBy {
    /// A person.
    Human,
    /// An answering machine; it may still be speaking its greeting.
    Machine,
    /// An answering machine whose greeting is over: speak now.
    MachineGreetingEnded {
        /// Whether there was a beep.
        beep: bool,
    },
    /// A fax machine.
    Fax,
    /// The carrier could not tell.
    Unknown,
}

/// What the carrier says about a call when asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallSnapshot {
    /// How to reach it; it may know more than the reference it was asked with.
    pub call: CallRef,
    /// Where it stands.
    pub state: CallState,
    /// The carrier's own word for that, empty if it has none.
    pub raw_status: String,
    /// Which way it went.
    pub direction: Option<Direction>,
    /// The caller.
    pub from: Option<ReportedAddress>,
    /// The one called.
    pub to: Option<ReportedAddress>,
    /// When it was set up or answered: what the carrier calls the start.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How long it lasted, as the carrier counts.
    pub duration: Option<Duration>,
    /// Who answered, where that was asked.
    pub answered_by: Option<AnsweredBy>,
    /// What it cost, where the carrier says it here.
    pub cost: Option<CallCost>,
}

impl CallSnapshot {
    /// A snapshot that says where the call stands and nothing more.
    #[must_use]
    pub fn new(call: CallRef, state: CallState, raw_status: impl Into<String>) -> Self {
        Self {
            call,
            state,
            raw_status: raw_status.into(),
            direction: None,
            from: None,
            to: None,
            started_at: None,
            ended_at: None,
            duration: None,
            answered_by: None,
            cost: None,
        }
    }
}

/// Where a call stands, as precisely as the carrier says. Some say only whether it is still up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallState {
    /// The carrier named a status that we know.
    Status(CallStatus),
    /// It is not over; more is not known, or the carrier's word is new to us.
    Alive,
    /// It is over; how is not known.
    Over,
}

impl CallState {
    /// Whether the call is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            Self::Status(status) => status.is_terminal(),
            Self::Alive => false,
            Self::Over => true,
        }
    }

    /// The status, if the carrier named one.
    #[must_use]
    pub const fn status(self) -> Option<CallStatus> {
        match self {
            Self::Status(status) => Some(status),
            Self::Alive | Self::Over => None,
        }
    }
}

/// What came of hanging up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangUp {
    /// The carrier ends the call now.
    Ended,
    /// The call was over already. Not an error.
    AlreadyEnded,
}

/// Connects a live call to somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferRequest {
    /// The call.
    pub call: CallRef,
    /// Whom it is connected to.
    pub to: Address,
    /// The caller ID shown to them. Absent: the carrier's default.
    pub caller_id: Option<PhoneNumber>,
    /// How long they may be rung.
    pub ring_timeout: Option<Duration>,
    /// Told what happens to the new leg, where the carrier allows it.
    pub events: Option<Url>,
}

impl TransferRequest {
    /// A transfer with the carrier's defaults.
    #[must_use]
    pub fn new(call: CallRef, to: impl Into<Address>) -> Self {
        Self { call, to: to.into(), caller_id: None, ring_timeout: None, events: None }
    }

    /// Shows this number to the new party.
    #[must_use]
    pub fn with_caller_id(mut self, caller_id: PhoneNumber) -> Self {
        self.caller_id = Some(caller_id);
        self
    }

    /// Bounds how long the new party is rung.
    #[must_use]
    pub fn with_ring_timeout(mut self, timeout: Duration) -> Self {
        self.ring_timeout = Some(timeout);
        self
    }

    /// Tells this URL what happens.
    #[must_use]
    pub fn with_events(mut self, events: Url) -> Self {
        self.events = Some(events);
        self
    }
}

/// The carrier took a transfer on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transfer {
    /// Who decides over the caller's leg from now on.
    pub leg_owner: LegOwner,
    /// Whether the media stream of the call ends with it.
    pub ends_stream: bool,
}

impl Transfer {
    /// An accepted transfer.
    #[must_use]
    pub fn new(leg_owner: LegOwner, ends_stream: bool) -> Self {
        Self { leg_owner, ends_stream }
    }
}

/// Who decides over a leg: whose hang-up ends it. Hanging up a leg that the carrier owns cuts the caller off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegOwner {
    /// The carrier keeps both parties connected until one of them hangs up. Do not hang up.
    Carrier,
    /// We do: the call ends when we end it.
    Application,
}

/// A recording of a live call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingRef {
    /// The call.
    pub call: CallRef,
    /// The carrier's id of the recording, where it gives one.
    pub id: Option<String>,
}

/// A number of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnedNumber {
    /// The number.
    pub number: PhoneNumber,
    /// The carrier's id of it, where it has one.
    pub provider_id: Option<String>,
    /// What the customer calls it at the carrier.
    pub label: Option<String>,
    /// The country, ISO 3166-1 alpha-2, where the carrier says it.
    pub country: Option<String>,
    /// Whether calls can be made from and to it.
    pub voice: bool,
    /// Where inbound calls are answered now, where the carrier says it for a number.
    pub answer_url: Option<String>,
}

impl OwnedNumber {
    /// A number that can be used for calls.
    #[must_use]
    pub fn new(number: PhoneNumber) -> Self {
        Self { number, provider_id: None, label: None, country: None, voice: true, answer_url: None }
    }
}

/// Points a number at us, or away from us.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InboundBinding {
    /// A number of the account.
    pub number: PhoneNumber,
    /// Where its calls are answered and reported from now on; `None` takes our URLs out.
    pub urls: Option<InboundUrls>,
}

/// Where a carrier reaches us about inbound calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundUrls {
    /// Asked what a call shall do.
    pub answer: Url,
    /// Told what happens to it.
    pub events: Url,
}

impl InboundBinding {
    /// Points a number at these URLs.
    #[must_use]
    pub fn to(number: PhoneNumber, urls: InboundUrls) -> Self {
        Self { number, urls: Some(urls) }
    }

    /// Takes our URLs out of a number.
    #[must_use]
    pub fn clear(number: PhoneNumber) -> Self {
        Self { number, urls: None }
    }
}

/// What pointing a number at us has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InboundConfigured {
    /// What else was affected: other numbers that share the application, a routing that was overruled. One sentence each, for
    /// the operator.
    pub also_affected: Vec<String>,
}

impl InboundConfigured {
    /// Only the number itself was touched.
    #[must_use]
    pub fn alone() -> Self {
        Self::default()
    }

    /// Something else was affected too.
    #[must_use]
    pub fn and(mut self, what: impl Into<String>) -> Self {
        self.also_affected.push(what.into());
        self
    }
}

/// The carrier's view of the account. That there is one means that the credentials work.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountInfo {
    /// The carrier's id of the account.
    pub id: String,
    /// Its name at the carrier.
    pub name: Option<String>,
    /// What is left, where the carrier says it with the same request.
    pub balance: Option<crate::money::Money>,
    /// What the operator should know: a trial account, a credential that could not be checked. One sentence each.
    pub notes: Vec<String>,
}

impl AccountInfo {
    /// A working account.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), name: None, balance: None, notes: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_states_are_behind_all_others() {
        for early in CallStatus::ALL.iter().filter(|status| !status.is_terminal()) {
            for late in CallStatus::ALL.iter().filter(|status| status.is_terminal()) {
                assert!(early < late, "{early} is not before {late}");
            }
        }
        for status in CallStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }

    #[test]
    fn a_call_is_printed_without_whom_it_is_for_and_what_lets_into_it() {
        let url = |text: &str| text.parse().unwrap();
        let (answer, events, media) =
            ("https://a.test/answer/1", "https://a.test/events/1", "wss://a.test/media/t0ken");
        let urls = CallUrls { answer: url(answer), events: url(events), media: url(media) };
        let (to, from): (PhoneNumber, PhoneNumber) = ("+14155550111".parse().unwrap(), "+14155550100".parse().unwrap());
        let printed = format!("{:?}", OutboundCall::new(to, from, urls));
        assert!(printed.contains("…0111") && printed.contains("wss://a.test/…"), "{printed}");
        assert!(!printed.contains("5550") && !printed.contains("t0ken"), "{printed}");
    }

    #[test]
    fn digits_are_normalised_and_never_shown() {
        let digits: DigitSequence = "12aW#w".parse().unwrap();
        assert_eq!(digits.as_str(), "12Aww#w");
        assert_eq!(format!("{digits:?}"), "[7 digits]");
        for bad in ["", "12-34", "1 2", "E", &"1".repeat(65)] {
            assert_eq!(bad.parse::<DigitSequence>(), Err(DigitSequenceError), "{bad:?}");
        }
    }
}
