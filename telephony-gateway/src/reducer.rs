//! From the events of a call to its state: a pure function of the *set* of events.
//!
//! Carriers deliver events twice, late, out of order or not at all. The state is therefore built so that neither order nor
//! repetition matters: it remembers the furthest that the call got, whether it was answered, and every way in which it is
//! said to have ended, and derives the status from those. Adding an event never takes any of them away, so a call never moves
//! backwards.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use telephony_core::{
    AnsweredBy, CallCost, CallEvent, CallEventKind, CallRef, CallStatus, InstructionWanted, Refusal, Timestamp,
};

/// What the events of a call add up to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CallSummary {
    /// Where the call stands; `None` before any event that says so.
    pub status: Option<CallStatus>,
    /// Whether it was ever answered.
    pub answered: bool,
    /// Why it ended, in the carrier's words.
    pub reason: Option<String>,
    /// Why the other side could not be had, where the carrier said it.
    pub refusal: Option<Refusal>,
    /// How long it lasted, as the carrier counts; or where it does not, from the answer to the end by its clock.
    pub duration: Option<Duration>,
    /// Who answered, where that was asked.
    pub answered_by: Option<AnsweredBy>,
    /// What it cost, where the carrier said so by itself.
    pub cost: Option<CallCost>,
}

/// Adds events up. Their order does not matter, nor does it how often each occurs.
#[must_use]
pub fn reduce<'a>(events: impl IntoIterator<Item = &'a CallEvent>) -> CallSummary {
    let mut events: Vec<&CallEvent> = events.into_iter().collect();
    // One order for every order in which they may have come; what was said last by the carrier's own clock wins a tie.
    events.sort_by(|a, b| (a.sequence, a.occurred_at, &a.dedupe_key).cmp(&(b.sequence, b.occurred_at, &b.dedupe_key)));

    let mut summary = CallSummary::default();
    let mut ends: Vec<(CallStatus, Option<String>, Option<Refusal>)> = Vec::new();
    let (mut answered_at, mut ended_at): (Option<Timestamp>, Option<Timestamp>) = (None, None);
    for event in events {
        match &event.kind {
            CallEventKind::Status(change) => {
                if let Some(status) = change.status {
                    summary.answered |= matches!(status, CallStatus::InProgress);
                    let moment = if status.is_terminal() { &mut ended_at } else { &mut answered_at };
                    if status >= CallStatus::InProgress {
                        *moment = moment.iter().copied().chain(event.occurred_at).min();
                    }
                    if status.is_terminal() {
                        ends.push((status, change.reason.clone(), change.refusal));
                    } else {
                        summary.status = summary.status.max(Some(status));
                    }
                }
                summary.duration = change.duration.or(summary.duration);
            }
            // Some carriers ask what an answered call shall do before they report that it was answered, or instead.
            CallEventKind::InstructionWanted { because: InstructionWanted::Answered, .. } => {
                summary.answered = true;
                summary.status = summary.status.max(Some(CallStatus::InProgress));
            }
            CallEventKind::AnsweredBy { who } => summary.answered_by = Some(*who),
            // A price is never taken back to "not rated yet".
            CallEventKind::Cost { cost } if summary.cost.is_none() || *cost != CallCost::Pending => {
                summary.cost = Some(cost.clone());
            }
            _ => {}
        }
    }
    if let (None, Some(answered), Some(ended)) = (summary.duration, answered_at, ended_at) {
        summary.duration = Duration::try_from(ended - answered).ok();
    }
    let believed = ends.into_iter().max_by_key(|(status, ..)| weight(*status, summary.answered));
    if let Some((status, reason, refusal)) = believed {
        summary.status = Some(status);
        summary.reason = reason;
        summary.refusal = refusal;
    }
    summary
}

/// An event that names another call than the run's is of another leg, whatever the carrier's provider took it for: it must
/// neither move the call nor change how the call is reached.
pub(crate) fn about_this_call(call: &CallRef, mut event: CallEvent) -> CallEvent {
    if let (Some(own), Some(named)) = (call.id(), event.call.id())
        && own != named
    {
        event.kind = match event.kind {
            CallEventKind::Status(change) => CallEventKind::OtherLeg(change),
            other => other,
        };
        event.call = call.clone();
    }
    event
}

/// Which of several ends a call is said to have had is believed. Carriers report "completed" after "busy" too: then the more
/// telling word counts. But a call that was answered was not busy.
fn weight(status: CallStatus, answered: bool) -> u8 {
    let completed = status == CallStatus::Completed;
    match (answered, completed) {
        (true, true) => u8::MAX,
        (false, true) => 0,
        _ => status as u8,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::subsequence};
    use telephony_core::{CallId, Money, StatusChange};

    use super::*;

    fn event(key: usize, kind: CallEventKind) -> CallEvent {
        CallEvent::new(CallRef::new(CallId::new("c").unwrap()), key.to_string(), kind)
    }

    fn status(key: usize, status: Option<CallStatus>) -> CallEvent {
        let reason = status.map(|status| format!("{status} {key}"));
        event(key, CallEventKind::Status(StatusChange::new(status, "word").with_reason(reason)))
    }

    fn statuses(statuses: &[CallStatus]) -> Option<CallStatus> {
        let events: Vec<_> = statuses.iter().enumerate().map(|(key, s)| status(key, Some(*s))).collect();
        reduce(&events).status
    }

    #[test]
    fn a_length_that_is_not_said_is_the_time_between() {
        let at = |seconds| Timestamp::from_unix_timestamp(seconds).ok();
        let answered = status(1, Some(CallStatus::InProgress)).at(at(100));
        let bridged = status(2, Some(CallStatus::InProgress)).at(at(110));
        let over = status(3, Some(CallStatus::Completed)).at(at(137));
        assert_eq!(reduce([&over, &bridged, &answered]).duration, Some(Duration::from_secs(37)));
        assert_eq!(reduce([&over]).duration, None);
    }

    #[test]
    fn the_more_telling_end_is_believed() {
        use CallStatus::{Busy, Completed, Failed, InProgress, NoAnswer, Ringing};
        assert_eq!(statuses(&[Ringing, Busy, Completed]), Some(Busy));
        assert_eq!(statuses(&[Completed, NoAnswer]), Some(NoAnswer));
        assert_eq!(statuses(&[Ringing, InProgress, Completed, Failed]), Some(Completed));
        assert_eq!(statuses(&[Completed, Ringing]), Some(Completed));
        assert_eq!(statuses(&[]), None);
    }

    #[test]
    fn another_leg_neither_moves_the_call_nor_takes_its_place() {
        let call = |id| CallRef::new(CallId::new(id).unwrap());
        let own = status(1, Some(CallStatus::Completed));
        assert_eq!(about_this_call(&call("c"), own.clone()), own);
        assert_eq!(about_this_call(&CallRef::unnamed(), own.clone()), own);
        let other = about_this_call(&call("d"), own);
        assert!(matches!(other.kind, CallEventKind::OtherLeg(_)));
        assert_eq!((other.call.to_string(), reduce([&other]).status), ("d".to_owned(), None));
    }

    #[test]
    fn a_price_is_not_taken_back() {
        let rated = CallCost::rated(Money::parse("0.01", "USD").unwrap());
        let cost = |key, cost: &CallCost| event(key, CallEventKind::Cost { cost: cost.clone() });
        let events = [cost(1, &rated), cost(2, &CallCost::Pending)];
        assert_eq!(reduce(&events).cost, Some(rated));
    }

    fn any_events() -> impl Strategy<Value = Vec<CallEvent>> {
        let kind = prop_oneof![
            8 => proptest::option::of(proptest::sample::select(CallStatus::ALL.to_vec())).prop_map(Ok),
            1 => Just(Err(AnsweredBy::Human)),
            1 => Just(Err(AnsweredBy::Machine)),
        ];
        proptest::collection::vec((kind, proptest::option::of(0_u64..6)), 0..12).prop_map(|kinds| {
            kinds
                .into_iter()
                .enumerate()
                .map(|(key, (kind, sequence))| match kind {
                    Ok(word) => status(key, word).numbered(sequence),
                    Err(who) => event(key, CallEventKind::AnsweredBy { who }).numbered(sequence),
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn order_and_repetition_do_not_matter(events in any_events(), seed: u64) {
            let expected = reduce(&events);
            let mut shuffled: Vec<&CallEvent> = events.iter().chain(&events).collect();
            let mut state = seed | 1;
            for i in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                shuffled.swap(i, (state >> 33) as usize % (i + 1));
            }
            prop_assert_eq!(reduce(shuffled), expected);
        }

        #[test]
        fn a_call_never_moves_backwards(
            (events, kept) in any_events().prop_flat_map(|events| {
                let count = events.len();
                (Just(events.clone()), subsequence(events, 0..=count))
            })
        ) {
            // Whatever part of the events has come: with all of them the call is no earlier, and an end stays an end.
            let (before, after) = (reduce(&kept), reduce(&events));
            let ended = |summary: &CallSummary| summary.status.is_some_and(CallStatus::is_terminal);
            prop_assert!(!ended(&before) || ended(&after));
            prop_assert!(ended(&after) || before.status <= after.status);
        }
    }
}
