//! What happened in a call and when, for people.

use std::time::{Duration, Instant};

use serde::Serialize;
use telephony_core::{CallEventKind, InstructionWanted, StreamEvent};
use tokio::sync::mpsc;

use crate::media::{MediaNote, SessionEnd};

/// One line of a call's timeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TimelineEntry {
    /// How long after dialling.
    #[serde(rename = "at_ms", serialize_with = "as_milliseconds")]
    pub at: Duration,
    /// Through what it came: `rest`, `webhook`, `media` or `gateway`.
    pub through: &'static str,
    /// What happened.
    pub event: String,
    /// What it carried.
    pub carried: String,
}

pub(crate) fn as_milliseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// Writes a call's timeline; whoever placed the call reads it.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    since: Instant,
    entries: mpsc::UnboundedSender<TimelineEntry>,
}

impl Timeline {
    /// A timeline that starts now, and where its lines come out.
    pub(crate) fn start() -> (Self, mpsc::UnboundedReceiver<TimelineEntry>) {
        let (entries, lines) = mpsc::unbounded_channel();
        (Self { since: Instant::now(), entries }, lines)
    }

    pub(crate) fn note(&self, through: &'static str, event: impl Into<String>, carried: impl Into<String>) {
        let (event, carried) = (event.into(), carried.into());
        let line = TimelineEntry { at: self.since.elapsed(), through, event, carried };
        // Once the call has been reported, nobody reads any more.
        let _reported_already = self.entries.send(line);
    }

    pub(crate) fn note_event(&self, kind: &CallEventKind) {
        let (event, carried) = describe(kind);
        self.note("webhook", event, carried);
    }

    pub(crate) fn note_media(&self, note: &MediaNote) {
        let (event, carried) = match note {
            MediaNote::Started { inbound, outbound } if inbound == outbound => {
                ("stream started", format!("{inbound} both ways"))
            }
            MediaNote::Started { inbound, outbound } => ("stream started", format!("{inbound} in, {outbound} out")),
            MediaNote::FirstAudio => ("first audio of the caller", String::new()),
            MediaNote::AgentSays { length } => ("agent speaks", seconds(*length)),
            MediaNote::Heard { mark } => ("heard by the caller", format!("mark {mark:?}")),
            MediaNote::Digit => ("key pressed", String::new()),
            MediaNote::Cleared => ("agent falls silent", "what was not heard yet is thrown away".to_owned()),
            MediaNote::AgentHangsUp => ("agent hangs up", "once it has been heard".to_owned()),
            MediaNote::AgentLost { reason } => ("agent lost", reason.clone()),
        };
        self.note("media", event, carried);
    }

    pub(crate) fn note_media_end(&self, end: &SessionEnd) {
        let carried = match end {
            SessionEnd::Carrier => "by the carrier".to_owned(),
            SessionEnd::Agent => "by the agent".to_owned(),
            SessionEnd::AgentLost(reason) => format!("without its agent: {reason}"),
            SessionEnd::Refused(reason) => format!("refused: {reason}"),
            SessionEnd::Lost(reason) => format!("lost: {reason}"),
        };
        self.note("media", "stream closed", carried);
    }
}

/// An event in two texts: what happened, and what it carried. No telephone number is whole in them.
pub(crate) fn describe(kind: &CallEventKind) -> (String, String) {
    let text = |event: &str, carried: String| (event.to_owned(), carried);
    match kind {
        CallEventKind::Status(change) | CallEventKind::OtherLeg(change) => {
            let event = change.status.map_or("unknown status", telephony_core::CallStatus::as_str);
            let other = if matches!(kind, CallEventKind::OtherLeg(_)) { "other leg: " } else { "" };
            let mut carried = vec![format!("{:?}", change.raw_status)];
            carried.extend(change.reason.clone());
            carried.extend(change.duration.filter(|duration| !duration.is_zero()).map(seconds));
            (format!("{other}{event}"), carried.join(", "))
        }
        CallEventKind::Inbound { from, to } => text("inbound", format!("{from} calls {to}")),
        CallEventKind::InstructionWanted { because, .. } => {
            let why = match because {
                InstructionWanted::Answered => "answered",
                InstructionWanted::Inbound => "an inbound call",
                InstructionWanted::Continued => "what it was told is done",
                InstructionWanted::Fallback => "what it was told could not be had",
                _ => "for a new reason",
            };
            text("asks what to do", why.to_owned())
        }
        CallEventKind::AnsweredBy { who } => text("answered by", format!("{who:?}").to_lowercase()),
        CallEventKind::Digits { digits, timed_out } => {
            text("digits", format!("{}{}", digits.len(), if *timed_out { ", time ran out" } else { "" }))
        }
        CallEventKind::Recording(recording) => text("recording", format!("{:?}", recording.state).to_lowercase()),
        CallEventKind::Cost { cost } => text("cost", cost.to_string()),
        CallEventKind::Stream(StreamEvent::Started) => text("stream up", String::new()),
        CallEventKind::Stream(StreamEvent::Stopped) => text("stream down", String::new()),
        CallEventKind::Stream(StreamEvent::Failed { reason }) => {
            text("stream failed", reason.clone().unwrap_or_default())
        }
        CallEventKind::Problem { message } => text("problem", message.clone()),
        CallEventKind::Other { name } => text("other", name.clone()),
        other => text("other", format!("{other:?}")),
    }
}

pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use telephony_core::{CallStatus, StatusChange};

    use super::*;

    #[test]
    fn a_line_says_when_what_and_with_what() {
        let (timeline, mut lines) = Timeline::start();
        let change = StatusChange::new(Some(CallStatus::Completed), "completed")
            .with_duration(Some(Duration::from_secs(9)))
            .with_reason(Some("normal".to_owned()));
        timeline.note_event(&CallEventKind::Status(change));
        timeline.note_event(&CallEventKind::Digits { digits: "1234".to_owned(), timed_out: false });
        let line = lines.try_recv().unwrap();
        assert_eq!((line.event.as_str(), line.carried.as_str()), ("completed", "\"completed\", normal, 9.0 s"));
        let digits = lines.try_recv().unwrap();
        assert_eq!(digits.carried, "4", "a PIN does not belong in a timeline");
        assert!(digits.at >= line.at);
    }
}
