//! The softphone: a handset whose person is somebody outside of the sandbox, with a microphone, a speaker and keys of their own.
//!
//! Calls to its number ([`DIAL_PLAN`](crate::DIAL_PLAN)) go to the [`Softphone`] that is registered at the sandbox's [`Switchboard`].
//! Sandboxes that are started with the same switchboard ring the same softphone. A call never waits for whoever talks: what comes late is
//! dropped, and what is missing is silence.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use telephony_core::{Direction, ProviderName};
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    EndCause,
    handset::{Act, TICK_SAMPLES},
};

/// A tick: 20 ms of sound, at [`HANDSET_RATE_HZ`](crate::HANDSET_RATE_HZ).
pub type Tick = [i16; TICK_SAMPLES];

/// So many ticks are held back at the beginning of what is said, and after a gap, so that those that come a little late fit in.
const HOLD: usize = 3;

/// So many ticks may wait, said or heard: beyond 200 ms a talk is no talk.
const MOST_TICKS: usize = 10;

/// So many digits may wait to be pressed.
const MOST_DIGITS: usize = 32;

/// So many calls may ring before the softphone has looked at the first.
const MOST_CALLS: usize = 8;

/// Where a softphone registers, and calls to it find it. Cheap to clone: clones are the same switchboard.
#[derive(Clone, Debug, Default)]
pub struct Switchboard {
    registered: Arc<watch::Sender<Option<Registration>>>,
}

/// Who is registered: told apart by the channel.
#[derive(Clone, Debug)]
struct Registration(mpsc::Sender<SoftphoneCall>);

impl Switchboard {
    /// Registers a softphone. The one before gets no more calls, and is told: its [`Softphone::next_call`] returns `None`.
    ///
    /// Calls that ring already ring here.
    #[must_use]
    pub fn register(&self) -> Softphone {
        let (sender, calls) = mpsc::channel(MOST_CALLS);
        let registration = Registration(sender);
        // As weak as a sender can be: the one in the switchboard alone keeps the channel open.
        let own = registration.0.downgrade();
        self.registered.send_replace(Some(registration));
        Softphone { board: self.clone(), own, calls }
    }

    /// Whether a softphone is registered.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.registered.borrow().is_some()
    }

    pub(crate) fn subscribe(&self) -> Registered {
        Registered(self.registered.subscribe())
    }
}

/// Follows who is registered.
pub(crate) struct Registered(watch::Receiver<Option<Registration>>);

impl Registered {
    /// Offers a call to whoever is registered now. `None` if nobody is, or they do not look at their calls.
    pub(crate) fn offer(&mut self, about: &Arc<About>) -> Option<Handpiece> {
        let registered = self.0.borrow_and_update();
        let Registration(calls) = registered.as_ref()?;
        let (handpiece, call) = line(about.clone());
        calls.try_send(call).ok()?;
        Some(handpiece)
    }

    /// Waits until somebody else is registered, or nobody any more.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The switchboard is gone: nobody will come.
            std::future::pending().await
        }
    }
}

/// A softphone that is registered. Dropping it takes it off the switchboard.
#[derive(Debug)]
pub struct Softphone {
    board: Switchboard,
    own: mpsc::WeakSender<SoftphoneCall>,
    calls: mpsc::Receiver<SoftphoneCall>,
}

impl Softphone {
    /// Waits for a call that rings. `None` once another softphone has taken over.
    pub async fn next_call(&mut self) -> Option<SoftphoneCall> {
        self.calls.recv().await
    }
}

impl Drop for Softphone {
    fn drop(&mut self) {
        let Some(own) = self.own.upgrade() else { return };
        self.board.registered.send_if_modified(|registered| {
            let ours = registered.as_ref().is_some_and(|current| current.0.same_channel(&own));
            if ours {
                *registered = None;
            }
            ours
        });
    }
}

/// What is known of a call when it rings.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) provider: ProviderName,
    pub(crate) id: String,
    pub(crate) direction: Direction,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// Something that a softphone learns about its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "a tick is moved, and memory is not taken for each")]
pub enum SoftphoneEvent {
    /// The two sides are connected.
    Answered,
    /// A tick of what the handset hears.
    Heard(Tick),
    /// The call is over. The last event.
    Ended(EndCause),
}

/// A call, held by the softphone. Dropping it hangs up; a call that still rings goes on ringing for the next softphone.
pub struct SoftphoneCall {
    about: Arc<About>,
    line: Arc<Line>,
}

impl fmt::Debug for SoftphoneCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let About { provider, id, direction, .. } = &*self.about;
        f.debug_struct("SoftphoneCall")
            .field("provider", provider)
            .field("id", id)
            .field("direction", direction)
            .finish_non_exhaustive()
    }
}

impl SoftphoneCall {
    /// The provider whose simulated carrier carries it.
    #[must_use]
    pub fn provider(&self) -> ProviderName {
        self.about.provider
    }

    /// The carrier's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.about.id
    }

    /// Outbound if the softphone is called, inbound if it calls: which way it goes is seen from the customer, as everywhere.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.about.direction
    }

    /// Who calls, as the carrier writes it.
    #[must_use]
    pub fn from(&self) -> &str {
        &self.about.from
    }

    /// Who is called, as the carrier writes it.
    #[must_use]
    pub fn to(&self) -> &str {
        &self.about.to
    }

    /// Picks up. It is answered once [`SoftphoneEvent::Answered`] says so.
    pub fn answer(&self) {
        self.decide(Decision::Answer);
    }

    /// Declines a call that rings. One that is answered is hung up.
    pub fn decline(&self) {
        self.decide(Decision::Refuse(EndCause::Declined));
    }

    /// Refuses a call that rings because there is another. One that is answered is hung up.
    pub fn refuse_as_busy(&self) {
        self.decide(Decision::Refuse(EndCause::Busy));
    }

    /// Hangs up; a call that rings is declined.
    pub fn hang_up(&self) {
        self.decline();
    }

    fn decide(&self, decision: Decision) {
        let mut state = self.line.lock();
        // Who has refused has refused.
        if !matches!(state.decision, Some(Decision::Refuse(_) | Decision::Gone)) {
            state.decision = Some(decision);
        }
        drop(state);
        self.line.decided.notify_one();
    }

    /// Says a tick. Before the answer it is heard by nobody. What is said faster than a tick in 20 ms is cut, oldest first.
    pub fn say(&self, tick: &Tick) {
        self.line.lock().say(tick);
    }

    /// Presses a key: `0` to `9`, `*`, `#`, `A` to `D`. Returns false, and does nothing, if there is no such key, the call is not
    /// answered, or 32 digits wait.
    pub fn press(&self, digit: char) -> bool {
        let mut state = self.line.lock();
        let pressed = matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D')
            && state.progress == Progress::Up
            && state.digits.len() < MOST_DIGITS;
        if pressed {
            state.digits.push_back(digit);
        }
        pressed
    }

    /// Waits for what happens next. `None` after the end. Of what is heard, the newest 200 ms are kept for whoever is slow.
    ///
    /// Cancelling it loses nothing.
    pub async fn next_event(&mut self) -> Option<SoftphoneEvent> {
        loop {
            match self.line.lock().next_event() {
                Next::Event(event) => return Some(event),
                Next::Over => return None,
                Next::Nothing => {}
            }
            self.line.happened.notified().await;
        }
    }
}

impl Drop for SoftphoneCall {
    fn drop(&mut self) {
        self.decide(Decision::Gone);
    }
}

/// The call's end of the line to a softphone.
#[derive(Debug)]
pub(crate) struct Handpiece {
    line: Arc<Line>,
}

/// A line between a call and a softphone.
pub(crate) fn line(about: Arc<About>) -> (Handpiece, SoftphoneCall) {
    let line = Arc::new(Line::default());
    (Handpiece { line: line.clone() }, SoftphoneCall { about, line })
}

impl Handpiece {
    /// Waits until the softphone decides what to do with a call that rings.
    pub(crate) async fn decided(&self) -> Decision {
        loop {
            if let Some(decision) = self.line.lock().decision {
                return decision;
            }
            self.line.decided.notified().await;
        }
    }

    pub(crate) fn answered(&self) {
        let mut state = self.line.lock();
        if state.progress == Progress::Waiting {
            state.progress = Progress::Up;
        }
        drop(state);
        self.line.happened.notify_one();
    }

    pub(crate) fn ended(&self, cause: EndCause) {
        self.line.lock().ended.get_or_insert(cause);
        self.line.happened.notify_one();
    }

    /// Hears a tick, and says one into `speech`, which is silent when it is handed over.
    pub(crate) fn tick(&self, heard: &[i16], speech: &mut [i16]) -> Act {
        let mut state = self.line.lock();
        state.hear(heard);
        if let Some(said) = state.next_said() {
            speech.copy_from_slice(&said);
        }
        let act = match state.decision {
            Some(Decision::Refuse(_) | Decision::Gone) => Act::HangUp,
            _ => state.digits.pop_front().map_or(Act::Nothing, Act::Press),
        };
        drop(state);
        self.line.happened.notify_one();
        act
    }
}

impl Drop for Handpiece {
    /// The sandbox stops, or the call rings elsewhere.
    fn drop(&mut self) {
        let answered = self.line.lock().progress == Progress::Up;
        self.ended(if answered { EndCause::Application } else { EndCause::Canceled });
    }
}

/// What a softphone does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Answer,
    Refuse(EndCause),
    /// It has let go of the call.
    Gone,
}

#[derive(Debug, Default)]
struct Line {
    state: Mutex<LineState>,
    /// For the call, which waits for a decision.
    decided: Notify,
    /// For the softphone, which waits for events.
    happened: Notify,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, LineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Waiting,
    Up,
}

#[expect(clippy::large_enum_variant, reason = "a tick is moved, and memory is not taken for each")]
enum Next {
    Event(SoftphoneEvent),
    Nothing,
    Over,
}

#[derive(Debug)]
struct LineState {
    decision: Option<Decision>,
    progress: Progress,
    told_of_answer: bool,
    ended: Option<EndCause>,
    told_of_end: bool,
    heard: VecDeque<Tick>,
    said: VecDeque<Tick>,
    /// How many ticks what is said is still held back.
    hold: usize,
    digits: VecDeque<char>,
}

impl Default for LineState {
    fn default() -> Self {
        Self {
            decision: None,
            progress: Progress::default(),
            told_of_answer: false,
            ended: None,
            told_of_end: false,
            heard: VecDeque::with_capacity(MOST_TICKS),
            said: VecDeque::with_capacity(MOST_TICKS + 1),
            hold: 0,
            digits: VecDeque::with_capacity(MOST_DIGITS),
        }
    }
}

impl LineState {
    fn say(&mut self, tick: &Tick) {
        if self.progress != Progress::Up || self.ended.is_some() {
            return;
        }
        if self.said.is_empty() {
            self.hold = HOLD;
        }
        self.said.push_back(*tick);
        if self.said.len() > MOST_TICKS {
            self.said.drain(..self.said.len() - HOLD);
        }
    }

    fn next_said(&mut self) -> Option<Tick> {
        if self.hold > 0 {
            self.hold -= 1;
            return None;
        }
        self.said.pop_front()
    }

    fn hear(&mut self, heard: &[i16]) {
        if self.heard.len() == MOST_TICKS {
            self.heard.pop_front();
        }
        let mut tick = [0; TICK_SAMPLES];
        tick.copy_from_slice(heard);
        self.heard.push_back(tick);
    }

    fn next_event(&mut self) -> Next {
        if self.progress == Progress::Up && !self.told_of_answer {
            self.told_of_answer = true;
            return Next::Event(SoftphoneEvent::Answered);
        }
        if let Some(tick) = self.heard.pop_front() {
            return Next::Event(SoftphoneEvent::Heard(tick));
        }
        match self.ended {
            None => Next::Nothing,
            Some(_) if self.told_of_end => Next::Over,
            Some(cause) => {
                self.told_of_end = true;
                Next::Event(SoftphoneEvent::Ended(cause))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> Arc<About> {
        Arc::new(About {
            provider: ProviderName::new("toy"),
            id: "c-1".to_owned(),
            direction: Direction::Outbound,
            from: "+13035550100".to_owned(),
            to: "+12025550108".to_owned(),
        })
    }

    /// A call that is up.
    fn up() -> (Handpiece, SoftphoneCall) {
        let (handpiece, call) = line(about());
        handpiece.answered();
        (handpiece, call)
    }

    /// What is said in so many ticks of silence heard: the first sample of each.
    fn said(handpiece: &Handpiece, ticks: usize) -> Vec<i16> {
        (0..ticks)
            .map(|_| {
                let mut speech = [0; TICK_SAMPLES];
                assert_eq!(handpiece.tick(&[0; TICK_SAMPLES], &mut speech), Act::Nothing);
                speech[0]
            })
            .collect()
    }

    #[test]
    fn what_is_said_is_held_back_a_little_and_what_is_missing_is_silence() {
        let (handpiece, call) = up();
        assert_eq!(said(&handpiece, 2), [0, 0]);
        call.say(&[1; TICK_SAMPLES]);
        call.say(&[2; TICK_SAMPLES]);
        assert_eq!(said(&handpiece, 6), [0, 0, 0, 1, 2, 0]);
        call.say(&[3; TICK_SAMPLES]);
        assert_eq!(said(&handpiece, 4), [0, 0, 0, 3]);
    }

    #[test]
    fn who_says_too_much_is_cut_and_not_late_for_ever() {
        let (handpiece, call) = up();
        for n in 1..=11 {
            call.say(&[n; TICK_SAMPLES]);
        }
        assert_eq!(said(&handpiece, 7), [0, 0, 0, 9, 10, 11, 0]);
    }

    #[test]
    fn nothing_is_said_or_pressed_before_the_answer() {
        let (handpiece, call) = line(about());
        call.say(&[1; TICK_SAMPLES]);
        assert!(!call.press('1'));
        handpiece.answered();
        assert_eq!(said(&handpiece, 5), [0; 5]);
    }

    #[test]
    fn keys_are_pressed_in_order_and_in_bounds() {
        let (handpiece, call) = up();
        assert!(call.press('1') && call.press('#') && !call.press('x'));
        let mut speech = [0; TICK_SAMPLES];
        let mut press = || handpiece.tick(&[0; TICK_SAMPLES], &mut speech);
        assert_eq!((press(), press(), press()), (Act::Press('1'), Act::Press('#'), Act::Nothing));
        assert_eq!((0..40).filter(|_| call.press('5')).count(), MOST_DIGITS);
    }

    #[tokio::test]
    async fn the_newest_is_kept_for_a_slow_listener_and_the_end_is_never_lost() {
        let (handpiece, mut call) = up();
        for n in 1..=15 {
            handpiece.tick(&[n; TICK_SAMPLES], &mut [0; TICK_SAMPLES]);
        }
        handpiece.ended(EndCause::TimeLimit);
        drop(handpiece);
        assert_eq!(call.next_event().await, Some(SoftphoneEvent::Answered));
        for n in 6..=15 {
            assert_eq!(call.next_event().await, Some(SoftphoneEvent::Heard([n; TICK_SAMPLES])));
        }
        assert_eq!(call.next_event().await, Some(SoftphoneEvent::Ended(EndCause::TimeLimit)));
        assert_eq!(call.next_event().await, None);
    }

    #[test]
    fn letting_go_hangs_up() {
        let (handpiece, call) = up();
        drop(call);
        assert_eq!(handpiece.tick(&[0; TICK_SAMPLES], &mut [0; TICK_SAMPLES]), Act::HangUp);
    }

    #[tokio::test]
    async fn who_registers_last_is_rung_and_the_other_is_told() {
        let board = Switchboard::default();
        let mut registered = board.subscribe();
        assert!(registered.offer(&about()).is_none());
        let mut first = board.register();
        let mut second = board.register();
        registered.changed().await;
        let offered = registered.offer(&about());
        assert!(first.next_call().await.is_none());
        assert_eq!(second.next_call().await.unwrap().id(), "c-1");
        drop((first, offered));
        assert!(board.is_registered());
        drop(second);
        registered.changed().await;
        assert!(!board.is_registered() && registered.offer(&about()).is_none());
    }
}
