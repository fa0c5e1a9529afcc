//! The virtual handset: what the person at the other end does.

use std::{num::NonZeroU32, sync::LazyLock, time::Duration};

use telephony_core::audio::{self, Pcm};

use crate::{dial_plan::PATIENCE, softphone::Handpiece};

/// The rate at which handsets speak and hear.
pub const HANDSET_RATE_HZ: NonZeroU32 = NonZeroU32::new(16_000).unwrap();

/// A tick: the length of audio that a handset speaks and hears at a time.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// Samples in the 20 ms that a handset speaks and hears at a time.
pub const TICK_SAMPLES: usize = 320;

/// Louder than this is speech, not line noise.
const SPEECH_DBFS: f32 = -45.0;

/// So long a silence after speech is the end of what the other says.
const TURN_PAUSE: Duration = Duration::from_millis(700);

/// Someone who picks up and hears nothing speaks after this long.
const OPENING_PAUSE: Duration = Duration::from_secs(2);

/// Synthesised speech, see `assets/README.md`.
static CALLER_SPEECH: LazyLock<Pcm> = LazyLock::new(|| {
    let wav: &[u8] = include_bytes!("../assets/caller.wav");
    Pcm::from_wav(wav)
        .and_then(|speech| speech.resampled(HANDSET_RATE_HZ))
        .unwrap_or_else(|error| unreachable!("the built-in speech is a WAV: {error}"))
});

/// What a handset does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Behaviour {
    /// Picks up, listens, speaks when the other has finished, and waits for the other to hang up.
    Talks,
    /// Is busy.
    Busy,
    /// Rings, and nobody picks up.
    NoAnswer,
    /// Declines.
    Declines,
    /// Does not exist.
    Invalid,
    /// Is an answering machine: speaks first, then listens.
    Machine,
    /// Picks up and hangs up at once.
    HangsUp,
    /// Picks up, and presses digits once the other has finished.
    PressesDigits,
    /// Rings the [`Softphone`](crate::Softphone): whoever is there decides. Connected to by [`Step::Dial`](crate::Step::Dial), and in a
    /// call that [`Sandbox::call_in`](crate::Sandbox::call_in) has it make, it is a person who talks.
    Softphone,
}

/// A handset: what it does, says and presses.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Handset {
    /// What it does when called.
    pub behaviour: Behaviour,
    /// What the person says, once; at any rate.
    pub speech: Pcm,
    /// What the person presses, for [`Behaviour::PressesDigits`].
    pub digits: String,
    /// How long the person bears silence before hanging up.
    pub patience: Duration,
}

impl Handset {
    /// A handset that does this, with the built-in speech.
    #[must_use]
    pub fn with_behaviour(behaviour: Behaviour) -> Self {
        Self { behaviour, speech: CALLER_SPEECH.clone(), digits: "123#".to_owned(), patience: PATIENCE }
    }

    /// Says something else.
    #[must_use]
    pub fn saying(mut self, speech: Pcm) -> Self {
        self.speech = speech;
        self
    }

    /// Presses something else.
    #[must_use]
    pub fn pressing(mut self, digits: impl Into<String>) -> Self {
        self.digits = digits.into();
        self
    }

    /// Bears silence for so long.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

/// What went through a handset during a call.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct HandsetReport {
    /// The rate of both recordings. Zero only in a report of a call that never had audio.
    pub sample_rate_hz: u32,
    /// What was heard, from the answer on, silence included.
    pub heard: Vec<i16>,
    /// What was spoken, from the answer on, silence included.
    pub spoken: Vec<i16>,
    /// Texts that the carrier spoke.
    pub said: Vec<String>,
    /// Files that the carrier played.
    pub played: Vec<String>,
    /// DTMF that was heard.
    pub digits: String,
    /// Others that the call was connected to.
    pub bridged_to: Vec<String>,
    /// Conferences that the call joined.
    pub conferences: Vec<String>,
}

/// What the person does in a tick, besides what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Nothing,
    BeginsToSpeak,
    HasSpoken,
    Press(char),
    HangUp,
}

/// A handset that is off the hook.
#[derive(Debug)]
pub(crate) struct Person {
    behaviour: Behaviour,
    speech: Vec<i16>,
    digits: Vec<char>,
    patience: Duration,
    spoken: usize,
    state: State,
    silent_for: Duration,
    heard_speech: bool,
    /// Decides, hears and speaks instead.
    pub(crate) outside: Option<Handpiece>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Listening,
    Speaking,
    Pressing { pause: u32 },
    Done,
}

impl Person {
    pub(crate) fn new(handset: &Handset) -> Self {
        let speech = handset.speech.resampled(HANDSET_RATE_HZ).map(|pcm| pcm.samples).unwrap_or_default();
        Self {
            behaviour: handset.behaviour,
            speech,
            digits: handset.digits.chars().collect(),
            patience: handset.patience,
            spoken: 0,
            state: State::Listening,
            silent_for: Duration::ZERO,
            heard_speech: false,
            outside: None,
        }
    }

    /// Hears a tick, and says one into `speech`, which is silent when it is handed over.
    pub(crate) fn tick(&mut self, heard: &[i16], speech: &mut [i16]) -> Act {
        if let Some(outside) = &self.outside {
            return outside.tick(heard, speech);
        }
        if audio::rms_dbfs(heard) > SPEECH_DBFS {
            self.heard_speech = true;
            self.silent_for = Duration::ZERO;
        } else {
            self.silent_for += TICK;
        }
        match self.state {
            State::Listening => self.listen(),
            State::Speaking => self.speak(speech),
            State::Pressing { pause } => self.press(pause),
            State::Done if self.silent_for >= self.patience => Act::HangUp,
            State::Done => Act::Nothing,
        }
    }

    fn listen(&mut self) -> Act {
        let my_turn = match self.behaviour {
            Behaviour::HangsUp => return Act::HangUp,
            Behaviour::Machine => true,
            _ if self.heard_speech => self.silent_for >= TURN_PAUSE,
            _ => self.silent_for >= OPENING_PAUSE,
        };
        if !my_turn {
            return Act::Nothing;
        }
        if self.behaviour == Behaviour::PressesDigits {
            self.state = State::Pressing { pause: 0 };
            return Act::Nothing;
        }
        self.state = State::Speaking;
        Act::BeginsToSpeak
    }

    fn speak(&mut self, speech: &mut [i16]) -> Act {
        let rest = &self.speech[self.spoken..];
        let count = rest.len().min(speech.len());
        speech[..count].copy_from_slice(&rest[..count]);
        self.spoken += count;
        self.silent_for = Duration::ZERO;
        if self.spoken < self.speech.len() {
            return Act::Nothing;
        }
        self.state = State::Done;
        Act::HasSpoken
    }

    /// One digit every ten ticks.
    fn press(&mut self, pause: u32) -> Act {
        if pause > 0 {
            self.state = State::Pressing { pause: pause - 1 };
            return Act::Nothing;
        }
        self.silent_for = Duration::ZERO;
        if self.digits.is_empty() {
            self.state = State::Done;
            return Act::HasSpoken;
        }
        self.state = State::Pressing { pause: 10 };
        Act::Press(self.digits.remove(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOUD: [i16; TICK_SAMPLES] = [8_000; TICK_SAMPLES];
    const QUIET: [i16; TICK_SAMPLES] = [0; TICK_SAMPLES];

    fn ticks_until(person: &mut Person, heard: &[i16], wanted: Act) -> usize {
        let mut speech = [0; TICK_SAMPLES];
        (1..1_000).find(|_| person.tick(heard, &mut speech) == wanted).expect("it never came")
    }

    #[test]
    fn a_person_lets_the_other_finish_then_speaks_then_waits() {
        let mut person = Person::new(&Handset::with_behaviour(Behaviour::Talks).with_patience(Duration::from_secs(1)));
        let mut speech = [0; TICK_SAMPLES];
        for _ in 0..200 {
            assert_eq!(person.tick(&LOUD, &mut speech), Act::Nothing);
        }
        assert_eq!(ticks_until(&mut person, &QUIET, Act::BeginsToSpeak), 35);
        ticks_until(&mut person, &QUIET, Act::HasSpoken);
        assert_eq!(ticks_until(&mut person, &QUIET, Act::HangUp), 50);
    }

    #[test]
    fn a_person_who_hears_nothing_speaks_first() {
        let mut person = Person::new(&Handset::with_behaviour(Behaviour::Talks));
        assert_eq!(ticks_until(&mut person, &QUIET, Act::BeginsToSpeak), 100);
    }

    #[test]
    fn digits_come_one_by_one() {
        let mut person = Person::new(&Handset::with_behaviour(Behaviour::PressesDigits).pressing("1#"));
        ticks_until(&mut person, &QUIET, Act::Press('1'));
        assert_eq!(ticks_until(&mut person, &QUIET, Act::Press('#')), 11);
        ticks_until(&mut person, &QUIET, Act::HasSpoken);
    }
}
