//! What a call shall do next, in one vocabulary for all carriers. Markup is one carrier's rendering of it, a JSON document
//! another's, REST commands a third's.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    address::{Address, PhoneNumber},
    audio::AudioFormat,
    capability::Capability,
    redact::origin_of,
};

/// What a call shall do next.
///
/// As JSON it is an object with its name as the only member, `{"say": {"text": "Hello", "then": "hang_up"}}`, or the name alone:
/// `"hang_up"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallInstruction {
    /// Stream the audio both ways over a WebSocket, until one side closes it. Every provider can.
    Stream(Stream),
    /// Speak a text. Needs [`Capability::Say`].
    Say(Say),
    /// Play an audio file. Needs [`Capability::Play`].
    Play(Play),
    /// Collect digits. Needs [`Capability::GatherDigits`].
    GatherDigits(GatherDigits),
    /// Connect to somebody else. Needs [`Capability::Bridge`].
    Bridge(Bridge),
    /// Join a conference. Needs [`Capability::Conference`].
    Conference(Conference),
    /// Refuse an inbound call. Every provider can, one way or the other: see [`Capability::RejectUnanswered`].
    Reject(Reject),
    /// End the call. Every provider can.
    HangUp,
}

impl CallInstruction {
    /// The capability that it needs, if it needs one.
    #[must_use]
    pub fn capability(&self) -> Option<Capability> {
        match self {
            Self::Stream(_) | Self::Reject(_) | Self::HangUp => None,
            Self::Say(_) => Some(Capability::Say),
            Self::Play(_) => Some(Capability::Play),
            Self::GatherDigits(_) => Some(Capability::GatherDigits),
            Self::Bridge(_) => Some(Capability::Bridge),
            Self::Conference(_) => Some(Capability::Conference),
        }
    }

    /// The instruction's name, for logs and messages: `gather_digits`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stream(_) => "stream",
            Self::Say(_) => "say",
            Self::Play(_) => "play",
            Self::GatherDigits(_) => "gather_digits",
            Self::Bridge(_) => "bridge",
            Self::Conference(_) => "conference",
            Self::Reject(_) => "reject",
            Self::HangUp => "hang_up",
        }
    }
}

/// Stream the audio both ways over a WebSocket. Nothing follows it: when the stream is over, the call is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stream {
    /// Where to (`wss://`, or `ws://` where the carrier allows it). Without a query: some carriers drop it.
    pub url: Url,
    /// What the carrier repeats when it opens the stream. Needs [`Capability::StreamParameters`].
    pub parameters: BTreeMap<String, String>,
    /// The format we would like, where the carrier leaves a choice; else its own is used. What really comes is in
    /// [`MediaEvent::Started`](crate::MediaEvent::Started).
    pub preferred_format: Option<AudioFormat>,
    /// Told when the stream starts, stops or fails, where the carrier does so.
    pub events: Option<Url>,
}

/// Without what follows the host of its URL, which lets in whoever has it, and with the names of the parameters only.
impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("url", &origin_of(&self.url))
            .field("parameters", &self.parameters.keys())
            .field("preferred_format", &self.preferred_format)
            .finish_non_exhaustive()
    }
}

impl Stream {
    /// A stream to a URL.
    #[must_use]
    pub fn to(url: Url) -> Self {
        Self { url, parameters: BTreeMap::new(), preferred_format: None, events: None }
    }

    /// Adds a parameter that the carrier repeats.
    #[must_use]
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.insert(name.into(), value.into());
        self
    }

    /// Asks for a format.
    #[must_use]
    pub fn with_preferred_format(mut self, format: AudioFormat) -> Self {
        self.preferred_format = Some(format);
        self
    }

    /// Tells this URL about the stream.
    #[must_use]
    pub fn with_events(mut self, events: Url) -> Self {
        self.events = Some(events);
        self
    }
}

/// What follows once something was said or played.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// The call ends.
    #[default]
    HangUp,
    /// The carrier asks this URL what to do next.
    Ask(Url),
}

/// What was agreed for the moment at which a call asks again, and which the carrier leaves to us.
///
/// An answer document holds what follows. A carrier that is driven by commands, or that fetches documents by URL only, does
/// not: its provider writes what is due into something that the carrier sends back (a state, a query), and reads it there. So
/// nobody has to remember it, and a crash loses nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// The call ends: [`Then::HangUp`].
    HangUp,
    /// This URL would have been asked, but all webhooks come to one: [`Then::Ask`], or the callback of
    /// [`GatherDigits`].
    Ask(Url),
    /// This instruction, which could not be carried out when it was given.
    Do(Box<CallInstruction>),
}

impl From<&Then> for Due {
    fn from(then: &Then) -> Self {
        match then {
            Then::HangUp => Self::HangUp,
            Then::Ask(url) => Self::Ask(url.clone()),
        }
    }
}

/// Speak a text with the carrier's voice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Say {
    /// The text, without markup.
    pub text: String,
    /// The language, as a BCP 47 tag: `en-US`. Absent: the carrier's default.
    pub language: Option<String>,
    /// The carrier's name of a voice. Absent: its default for the language.
    pub voice: Option<String>,
    /// What follows.
    pub then: Then,
}

impl Say {
    /// Speaks a text, then hangs up.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), language: None, voice: None, then: Then::HangUp }
    }

    /// Speaks in a language.
    #[must_use]
    pub fn with_language(mut self, language: impl Into<String>) -> Self {
        self.language = Some(language.into());
        self
    }

    /// Speaks with a voice.
    #[must_use]
    pub fn with_voice(mut self, voice: impl Into<String>) -> Self {
        self.voice = Some(voice.into());
        self
    }

    /// Says what follows.
    #[must_use]
    pub fn then(mut self, then: Then) -> Self {
        self.then = then;
        self
    }
}

/// Play an audio file that the carrier fetches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Play {
    /// The file (`https://`).
    pub url: Url,
    /// How often, at least once.
    pub times: u8,
    /// What follows.
    pub then: Then,
}

impl Play {
    /// Plays a file once, then hangs up.
    #[must_use]
    pub fn url(url: Url) -> Self {
        Self { url, times: 1, then: Then::HangUp }
    }

    /// Plays it so often.
    #[must_use]
    pub fn times(mut self, times: u8) -> Self {
        self.times = times.max(1);
        self
    }

    /// Says what follows.
    #[must_use]
    pub fn then(mut self, then: Then) -> Self {
        self.then = then;
        self
    }
}

/// Collect digits, then ask what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GatherDigits {
    /// Spoken before, and stopped by the first digit. Absent: silence.
    pub prompt: Option<Say>,
    /// How many at most, 1 to 20.
    pub max_digits: u8,
    /// How long to wait for the next digit.
    pub timeout: Duration,
    /// Whether `#` ends the input early.
    pub finish_on_hash: bool,
    /// Gets the digits, and is asked what to do next.
    pub callback: Url,
}

impl GatherDigits {
    /// Up to so many digits, with five seconds between them, `#` to finish.
    #[must_use]
    pub fn up_to(max_digits: u8, callback: Url) -> Self {
        Self { prompt: None, max_digits, timeout: Duration::from_secs(5), finish_on_hash: true, callback }
    }

    /// Speaks before it collects.
    #[must_use]
    pub fn with_prompt(mut self, prompt: Say) -> Self {
        self.prompt = Some(prompt);
        self
    }

    /// Waits so long for the next digit.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// Connect the call to somebody else. When either side hangs up, the call ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Bridge {
    /// Whom to.
    pub to: Address,
    /// The caller ID shown to them.
    pub caller_id: Option<PhoneNumber>,
    /// How long they may be rung.
    pub ring_timeout: Option<Duration>,
    /// How long the two may talk.
    pub time_limit: Option<Duration>,
    /// Told what happens to the new leg, where the carrier allows it.
    pub events: Option<Url>,
}

impl Bridge {
    /// A bridge with the carrier's defaults.
    #[must_use]
    pub fn to(to: impl Into<Address>) -> Self {
        Self { to: to.into(), caller_id: None, ring_timeout: None, time_limit: None, events: None }
    }

    /// Shows this number to them.
    #[must_use]
    pub fn with_caller_id(mut self, caller_id: PhoneNumber) -> Self {
        self.caller_id = Some(caller_id);
        self
    }

    /// Bounds how long they are rung.
    #[must_use]
    pub fn with_ring_timeout(mut self, timeout: Duration) -> Self {
        self.ring_timeout = Some(timeout);
        self
    }

    /// Bounds how long the two talk.
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Tells this URL what happens.
    #[must_use]
    pub fn with_events(mut self, events: Url) -> Self {
        self.events = Some(events);
        self
    }
}

/// Join a conference, made by the first who joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Conference {
    /// Its name within the account.
    pub name: String,
    /// Whether it starts with this participant; else they wait for one who starts it.
    pub start_on_enter: bool,
    /// Whether it ends when this participant leaves.
    pub end_on_exit: bool,
    /// Whether this participant is only to listen.
    pub muted: bool,
}

impl Conference {
    /// A conference that starts with this participant and outlives them.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), start_on_enter: true, end_on_exit: false, muted: false }
    }

    /// Waits for somebody who starts it.
    #[must_use]
    pub fn waiting(mut self) -> Self {
        self.start_on_enter = false;
        self
    }

    /// Ends it when this participant leaves.
    #[must_use]
    pub fn ending_on_exit(mut self) -> Self {
        self.end_on_exit = true;
        self
    }

    /// Only listens.
    #[must_use]
    pub fn muted(mut self) -> Self {
        self.muted = true;
        self
    }
}

/// Refuse an inbound call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reject {
    /// The caller hears that the line is busy.
    #[default]
    Busy,
    /// The caller hears that the call is not taken.
    Declined,
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use serde_json::json;

    use super::*;

    #[test]
    fn instructions_survive_being_written_down() {
        let url: Url = "https://a.test/next?a=1".parse().unwrap();
        let number: PhoneNumber = "+12025550100".parse().unwrap();
        let all = [
            CallInstruction::Stream(Stream::to(url.clone()).with_parameter("run", "7")),
            CallInstruction::Say(Say::text("Hello").then(Then::Ask(url.clone()))),
            CallInstruction::Play(Play::url(url.clone()).times(2)),
            CallInstruction::GatherDigits(GatherDigits::up_to(4, url.clone()).with_prompt(Say::text("PIN?"))),
            CallInstruction::Bridge(Bridge::to(number).with_ring_timeout(Duration::from_secs(20))),
            CallInstruction::Conference(Conference::named("room")),
            CallInstruction::Reject(Reject::Declined),
            CallInstruction::HangUp,
        ];
        for instruction in all {
            let due = Due::Do(Box::new(instruction.clone()));
            let written = serde_json::to_value(&due).unwrap();
            assert_eq!(serde_json::from_value::<Due>(written.clone()).unwrap(), due);
            let named = &written["do"];
            assert!(named == instruction.name() || named.get(instruction.name()).is_some(), "{named}");
        }
        assert_eq!(
            serde_json::to_value(Due::from(&Then::Ask(url))).unwrap(),
            json!({"ask": "https://a.test/next?a=1"})
        );
    }

    #[test]
    fn a_stream_is_printed_without_what_lets_into_it() {
        let stream = Stream::to("wss://a.test:444/media/t0ken".parse().unwrap()).with_parameter("pin", "4711");
        let printed = format!("{:?}", CallInstruction::Stream(stream));
        assert!(printed.contains("wss://a.test:444/…") && printed.contains("pin"), "{printed}");
        assert!(!printed.contains("t0ken") && !printed.contains("4711"), "{printed}");
    }
}
