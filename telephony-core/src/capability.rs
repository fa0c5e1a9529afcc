//! What a provider can do, as data: it drives refusals, forms, the generated matrix, and which conformance trials run.

use std::fmt;

macro_rules! capabilities {
    ($($(#[doc = $doc:literal])+ $variant:ident => $name:literal,)+) => {
        /// Something that a provider may or may not be able to do.
        ///
        /// What every provider owes (placing a call, asking for its state, listing numbers, verifying and reading webhooks,
        /// streaming, rejecting, checking the account) is no capability: there is no choice in it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Capability {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Capability {
            /// Every capability, in the order of the matrix.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            const COUNT: usize = Self::ALL.len();

            /// The name in data: `send_digits`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One sentence on what it is, for tables and pages.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc, "\n",)+).trim(),)+ }
            }
        }
    };
}

capabilities! {
    /// The price of a call: [`get_call_cost`](crate::TelephonyProvider::get_call_cost).
    CallCost => "call_cost",
    /// Ending a live call: [`hang_up`](crate::TelephonyProvider::hang_up).
    HangUp => "hang_up",
    /// Giving a live call something else to do: [`instruct`](crate::TelephonyProvider::instruct).
    Instruct => "instruct",
    /// Connecting a live call to somebody else: [`transfer_call`](crate::TelephonyProvider::transfer_call).
    Transfer => "transfer",
    /// Sending DTMF on a live call: [`send_digits`](crate::TelephonyProvider::send_digits).
    SendDigits => "send_digits",
    /// Recording a live call: [`start_recording`](crate::TelephonyProvider::start_recording) and `stop_recording`.
    RecordLive => "record_live",
    /// Pointing the carrier's number or application at us: [`configure_inbound`](crate::TelephonyProvider::configure_inbound).
    ConfigureInbound => "configure_inbound",
    /// Bounding how long an outbound call rings.
    RingTimeout => "ring_timeout",
    /// Bounding how long a call lasts, at the carrier.
    TimeLimit => "time_limit",
    /// Telling people from answering machines.
    MachineDetection => "machine_detection",
    /// DTMF as soon as an outbound call is answered.
    DigitsOnAnswer => "digits_on_answer",
    /// Recording an outbound call from the answer on.
    RecordOnAnswer => "record_on_answer",
    /// A name shown to the person called.
    CallerName => "caller_name",
    /// Calling a SIP URI.
    SipAddress => "sip_address",
    /// The instruction [`Say`](crate::CallInstruction::Say).
    Say => "say",
    /// The instruction [`Play`](crate::CallInstruction::Play).
    Play => "play",
    /// The instruction [`GatherDigits`](crate::CallInstruction::GatherDigits).
    GatherDigits => "gather_digits",
    /// The instruction [`Bridge`](crate::CallInstruction::Bridge).
    Bridge => "bridge",
    /// The instruction [`Conference`](crate::CallInstruction::Conference).
    Conference => "conference",
    /// Refusing an inbound call before it is answered, so that it is neither answered nor charged.
    RejectUnanswered => "reject_unanswered",
    /// Name and value pairs that the carrier repeats when it opens the media stream.
    StreamParameters => "stream_parameters",
    /// DTMF reported inside the media stream.
    MediaDigits => "media_digits",
    /// Marks: the carrier says when audio has been played out.
    MediaMarks => "media_marks",
    /// Clearing what the carrier has buffered, for barge-in.
    MediaClear => "media_clear",
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a provider has a [`Capability`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Support {
    /// The carrier does it.
    Native,
    /// The provider brings it about with other means of the carrier; the note says what differs.
    Emulated,
    /// The carrier could, the provider does not do it yet.
    NotYet,
    /// The carrier cannot.
    Impossible,
}

impl Support {
    /// Whether it works, one way or the other.
    #[must_use]
    pub const fn works(self) -> bool {
        matches!(self, Self::Native | Self::Emulated)
    }

    /// The word in tables: `native`, `emulated`, `not yet`, `impossible`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Emulated => "emulated",
            Self::NotYet => "not yet",
            Self::Impossible => "impossible",
        }
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a provider has each [`Capability`], built in a constant. What is not mentioned is [`Support::NotYet`].
///
/// ```
/// use telephony_core::{Capabilities, Capability, Support};
///
/// const CAPABILITIES: Capabilities = Capabilities::new()
///     .native(&[Capability::HangUp, Capability::CallCost])
///     .emulated(Capability::SendDigits, "plays a document, which ends a running stream")
///     .impossible(Capability::CallerName, "the carrier's API has no such field");
/// assert_eq!(CAPABILITIES.support(Capability::HangUp), Support::Native);
/// assert!(!CAPABILITIES.has(Capability::Transfer));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    entries: [(Support, &'static str); Capability::COUNT],
}

impl Capabilities {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: [(Support::NotYet, ""); Capability::COUNT] }
    }

    /// Adds what the carrier does itself.
    #[must_use]
    pub const fn native(mut self, capabilities: &[Capability]) -> Self {
        let mut i = 0;
        while i < capabilities.len() {
            self.entries[capabilities[i] as usize] = (Support::Native, "");
            i += 1;
        }
        self
    }

    /// Adds what the provider brings about with other means; the note says how it differs from the real thing.
    #[must_use]
    pub const fn emulated(mut self, capability: Capability, note: &'static str) -> Self {
        self.entries[capability as usize] = (Support::Emulated, note);
        self
    }

    /// States that the carrier cannot do it, and why.
    #[must_use]
    pub const fn impossible(mut self, capability: Capability, note: &'static str) -> Self {
        self.entries[capability as usize] = (Support::Impossible, note);
        self
    }

    /// How this one is supported.
    #[must_use]
    pub const fn support(&self, capability: Capability) -> Support {
        self.entries[capability as usize].0
    }

    /// What is to be known about it: how an emulation differs, why something is impossible. Often empty.
    #[must_use]
    pub const fn note(&self, capability: Capability) -> &'static str {
        self.entries[capability as usize].1
    }

    /// Whether it works.
    #[must_use]
    pub const fn has(&self, capability: Capability) -> bool {
        self.support(capability).works()
    }

    /// All capabilities with their support, in the order of the matrix.
    pub fn iter(&self) -> impl Iterator<Item = (Capability, Support)> + '_ {
        Capability::ALL.iter().map(|&capability| (capability, self.support(capability)))
    }
}

impl Default for Capabilities {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
