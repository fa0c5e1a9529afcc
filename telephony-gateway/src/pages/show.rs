//! Numbers, money and times as people read them.

use serde_json::Value;
use telephony_core::{CallCost, CallStatus, Timestamp, redact};
use time::format_description::well_known::Rfc3339;

use crate::store::{DialState, StoredRun};

/// A time in the way that `<time datetime>` wants it; the viewer's script writes it in their zone.
pub(super) fn machine_time(time: &Timestamp) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

/// The same for people, in UTC.
pub(super) fn human_time(time: &Timestamp) -> String {
    let (hour, minute) = (time.hour(), time.minute());
    format!("{} {hour:02}:{minute:02} UTC", time.date())
}

/// A length of time: `7 s`, `2:05`, `1:00:00`.
pub(super) fn length(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

/// Where a call stands, in a word for people and in one for the style.
pub(super) fn status(run: &StoredRun) -> (&'static str, &'static str) {
    if run.dial_state == DialState::Refused {
        return ("not dialled", "bad");
    }
    match run.summary.status {
        None if run.is_over => ("unknown", "bad"),
        None if run.dial_state == DialState::Unknown => ("unknown", "wait"),
        None => ("dialling", "wait"),
        Some(CallStatus::Queued) => ("queued", "wait"),
        Some(CallStatus::Initiated) => ("dialling", "wait"),
        Some(CallStatus::Ringing) => ("ringing", "wait"),
        Some(CallStatus::InProgress) => ("in progress", "live"),
        Some(CallStatus::Completed) => ("completed", "good"),
        Some(CallStatus::Busy) => ("busy", "plain"),
        Some(CallStatus::NoAnswer) => ("no answer", "plain"),
        Some(CallStatus::Canceled) => ("canceled", "plain"),
        Some(CallStatus::Failed) => ("failed", "bad"),
    }
}

/// What a call cost, or what is known of that.
pub(super) fn cost(run: &StoredRun) -> String {
    if run.dial_state == DialState::Refused {
        return "nothing".to_owned();
    }
    match (&run.summary.cost, run.cost_state.as_str()) {
        (Some(CallCost::Rated { total, .. }), _) => format!("{} {}", total.amount, total.currency.code()),
        (_, "pending") if run.is_over => "not rated yet".to_owned(),
        (_, "pending") => "after the call".to_owned(),
        (_, "unsupported") => "not told by the carrier".to_owned(),
        (_, "given_up") => "never told".to_owned(),
        _ => "–".to_owned(),
    }
}

/// JSON for people, every telephone number in it shortened.
pub(super) fn redacted(value: &Value) -> String {
    fn shortened(value: &Value) -> Value {
        match value {
            Value::String(text) => redact::numbers_in(text).into(),
            Value::Array(items) => items.iter().map(shortened).collect(),
            Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shortened(value))).collect(),
            other => other.clone(),
        }
    }
    serde_json::to_string_pretty(&shortened(value)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lengths_are_read_at_a_glance() {
        assert_eq!([0, 59, 60, 125, 3600, 36_061].map(length), ["0 s", "59 s", "1:00", "2:05", "1:00:00", "10:01:01"]);
    }

    #[test]
    fn no_number_is_whole_in_a_payload() {
        let shown = redacted(&json!({"from": "+14155550100", "legs": [{"to": "sip:+4930123456@example.com"}], "n": 1}));
        assert!(!shown.contains("4155550100") && !shown.contains("30123456"), "{shown}");
        assert!(shown.contains("…0100") && shown.contains("\"n\": 1"), "{shown}");
    }
}
