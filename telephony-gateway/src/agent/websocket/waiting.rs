//! What waits to be said to an agent.

use std::{collections::VecDeque, fmt, time::Duration};

use telephony_core::audio::AudioFormat;

use super::{HELD, protocol::GatewayEvent};

/// The length of every message with audio. Carriers and voice detectors are used to it.
const FRAME: Duration = Duration::from_millis(20);

/// How many events may wait. Every mark of an agent may come back at once, and some keys beside them.
pub(super) const MOST_EVENTS: usize = 2 * super::MOST_MARKS;

/// The caller's voice and what happened, until the agent takes it. What happened goes first: it is little, and urgent.
pub(super) struct Waiting {
    pcm: AudioFormat,
    audio: VecDeque<i16>,
    frame: Vec<i16>,
    events: VecDeque<GatewayEvent>,
    dropped: usize,
}

/// What is to be said next.
pub(super) enum Next<'a> {
    Event(GatewayEvent),
    Audio(&'a [i16]),
}

impl Waiting {
    pub(super) fn new(pcm: AudioFormat) -> Self {
        Self { pcm, audio: VecDeque::new(), frame: Vec::new(), events: VecDeque::new(), dropped: 0 }
    }

    /// The caller's voice. If too much of it waits, the oldest goes.
    pub(super) fn hear(&mut self, samples: &[i16]) {
        self.audio.extend(samples);
        let excess = self.audio.len().saturating_sub(self.pcm.samples_in(HELD));
        self.audio.drain(..excess);
        self.dropped += excess;
    }

    /// Something that happened. If too much waits, the oldest goes.
    pub(super) fn tell(&mut self, event: GatewayEvent) {
        if self.events.len() == MOST_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    pub(super) fn events(&self) -> usize {
        self.events.len()
    }

    /// How much of the caller's voice waits.
    pub(super) fn late(&self) -> Duration {
        self.pcm.duration_of_samples(self.audio.len())
    }

    /// How much of it was thrown away.
    pub(super) fn dropped(&self) -> Duration {
        self.pcm.duration_of_samples(self.dropped)
    }

    /// What is to be said next. Less than a frame waits for more, unless there will be no more.
    pub(super) fn next(&mut self, is_over: bool) -> Option<Next<'_>> {
        if let Some(event) = self.events.pop_front() {
            return Some(Next::Event(event));
        }
        let whole = self.pcm.samples_in(FRAME);
        let length = if is_over { whole.min(self.audio.len()) } else { whole };
        if length == 0 || self.audio.len() < length {
            return None;
        }
        self.frame.clear();
        self.frame.extend(self.audio.drain(..length));
        // A carrier's frames are all of one length, and so is the last.
        self.frame.resize(whole, 0);
        Some(Next::Audio(&self.frame))
    }
}

/// How much there is. What was said does not belong in a log.
impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waiting({:?} of audio, {} events)", self.late(), self.events.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting() -> Waiting {
        Waiting::new(AudioFormat::LINEAR16_8K)
    }

    fn audio(waiting: &mut Waiting, is_over: bool) -> Option<Vec<i16>> {
        match waiting.next(is_over)? {
            Next::Audio(samples) => Some(samples.to_vec()),
            Next::Event(event) => panic!("{event:?}"),
        }
    }

    #[test]
    fn every_message_has_20_ms_and_the_last_is_filled_up() {
        let mut waiting = waiting();
        waiting.hear(&[1; 100]);
        assert_eq!(audio(&mut waiting, false), None);
        waiting.hear(&[2; 100]);
        assert_eq!(audio(&mut waiting, false), Some([vec![1; 100], vec![2; 60]].concat()));
        assert_eq!(audio(&mut waiting, false), None);
        assert_eq!(audio(&mut waiting, true), Some([vec![2; 40], vec![0; 120]].concat()));
        assert_eq!(audio(&mut waiting, true), None);
    }

    #[test]
    fn of_what_is_not_taken_the_oldest_goes_and_is_counted() {
        let mut waiting = waiting();
        for frame in 0..300 {
            waiting.hear(&[frame; 160]);
        }
        assert_eq!((waiting.late(), waiting.dropped()), (HELD, Duration::from_secs(1)));
        assert_eq!(audio(&mut waiting, false), Some(vec![50; 160]), "the first second is gone");
        for _ in 0..MOST_EVENTS + 5 {
            waiting.tell(GatewayEvent::Digit { digit: '1' });
        }
        assert_eq!(waiting.events(), MOST_EVENTS);
        assert!(matches!(waiting.next(false), Some(Next::Event(_))), "what happened goes first");
    }
}
