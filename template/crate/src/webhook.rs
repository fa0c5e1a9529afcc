//! What the carrier's webhooks say: named texts, one event each.
//!
//! | `event` | asks what to do |
//! | --- | --- |
// [document
//! | `document.wanted`, at the answer URL | yes |
//! | `call.initiated`, `call.ringing`, `call.answered`, `call.ended` | no |
// ]
// [commands
//! | `call.incoming`, `call.answered` of an outbound call, `command.done` | yes |
//! | `call.initiated`, `call.ringing`, `call.ended` | no |
// ]
//! | `stream.started`, `stream.stopped`, `stream.failed` | no |
//!
//! FILL IN: which webhooks are there, in which order do they come, and is each sent once? Where is that documented?
//!
//! Source: <https://example.com/docs/voice/webhooks>

use std::{collections::BTreeMap, time::Duration};

// [commands
#[cfg(commands)]
use telephony_core::Due;
// ]
use telephony_core::{
    CallEvent, CallEventKind, CallId, CallRef, CallStatus, Direction, InstructionWanted, PhoneNumber, Refusal,
    ReportedAddress, StatusChange, StreamEvent, Timestamp, VerifiedWebhook, WebhookError, WebhookIdentity,
    WebhookRequest,
};
use time::format_description::well_known::Rfc3339;

use crate::signature;

// [commands
/// The handle of a [`CallRef`] with the id of the newest event: a command that answers it is named after it.
#[cfg(commands)]
pub(crate) const EVENT: &str = "event";
// ]

/// Our word for one of the carrier's; `None` for one that is new, which moves no call.
pub(crate) fn status_of(word: &str) -> Option<CallStatus> {
    // FILL IN: what are the carrier's words?
    Some(match word {
        "queued" => CallStatus::Queued,
        "initiated" => CallStatus::Initiated,
        "ringing" => CallStatus::Ringing,
        "in-progress" => CallStatus::InProgress,
        "completed" => CallStatus::Completed,
        "busy" => CallStatus::Busy,
        "no-answer" => CallStatus::NoAnswer,
        "canceled" => CallStatus::Canceled,
        "failed" => CallStatus::Failed,
        _ => return None,
    })
}

// FILL IN: by what is a webhook known as this carrier's before it is verified, and where does it name the account?
/// Whether an unverified request looks like this carrier's, and for which account. It must not take another carrier's for its
/// own.
pub(crate) fn identify(request: &WebhookRequest) -> Option<WebhookIdentity> {
    request.header(signature::HEADER)?;
    let fields = Fields::of(request)?;
    let account_id = fields.get("account_id")?.to_owned();
    let inbound = fields.get("direction") == Some("inbound");
    let called = fields.get("to").filter(|_| inbound).and_then(|to| to.parse::<PhoneNumber>().ok());
    Some(WebhookIdentity { account_id: Some(account_id), called })
}

/// The account that a webhook is for, as it says itself.
pub(crate) fn account_id(request: &WebhookRequest) -> Option<String> {
    Fields::of(request)?.get("account_id").map(str::to_owned)
}

/// Reads a webhook.
pub(crate) fn parse(webhook: &VerifiedWebhook) -> Result<Vec<CallEvent>, WebhookError> {
    let fields = Fields::of(webhook.request()).ok_or_else(|| WebhookError::malformed("body", "cannot be read"))?;
    let needed = |name: &str| fields.get(name).ok_or_else(|| WebhookError::malformed(name, "is missing"));
    // FILL IN: what tells a repeated webhook from a new one? The dedupe key must be the same for every delivery of an event.
    let event_id = needed("event_id")?;
    let call_id = CallId::new(needed("call_id")?).map_err(|error| WebhookError::malformed("call_id", error))?;
    let call = CallRef::new(call_id);
    // [commands
    #[cfg(commands)]
    let call = call.with_handle(EVENT, event_id);
    // ]
    let when = fields.get("at").and_then(|text| Timestamp::parse(text, &Rfc3339).ok());
    let kinds = kinds(needed("event")?, &fields).into_iter().enumerate();
    Ok(kinds.map(|(n, kind)| CallEvent::new(call.clone(), format!("{event_id}:{n}"), kind).at(when)).collect())
}

fn kinds(event: &str, fields: &Fields) -> Vec<CallEventKind> {
    match event {
        // [document
        #[cfg(document)]
        "document.wanted" => match fields.get("reason") {
            Some("answered") => vec![CallEventKind::instruction_wanted(InstructionWanted::Answered)],
            Some("inbound") => inbound(fields),
            _ => vec![CallEventKind::instruction_wanted(InstructionWanted::Continued)],
        },
        // ]
        // [commands
        #[cfg(commands)]
        "call.incoming" => [CallEventKind::Status(status_change(fields))].into_iter().chain(inbound(fields)).collect(),
        #[cfg(commands)]
        "call.answered" if direction(fields) == Some(Direction::Outbound) => vec![
            CallEventKind::Status(status_change(fields)),
            CallEventKind::instruction_wanted(InstructionWanted::Answered),
        ],
        // What is due was written into the command; a tag that is not ours must not be misunderstood.
        #[cfg(commands)]
        "command.done" => {
            let due: Option<Due> = fields.get("tag").and_then(|tag| serde_json::from_str(tag).ok());
            vec![CallEventKind::InstructionWanted { because: InstructionWanted::Continued, due }]
        }
        // ]
        "call.initiated" | "call.ringing" | "call.answered" | "call.ended" => {
            vec![CallEventKind::Status(status_change(fields))]
        }
        "stream.started" => vec![CallEventKind::Stream(StreamEvent::Started)],
        "stream.stopped" => vec![CallEventKind::Stream(StreamEvent::Stopped)],
        "stream.failed" => {
            let reason = fields.get("cause").map(str::to_owned);
            vec![CallEventKind::Stream(StreamEvent::Failed { reason })]
        }
        // Carriers add events: an unknown one is kept, and moves no call.
        other => vec![CallEventKind::Other { name: other.to_owned() }],
    }
}

fn inbound(fields: &Fields) -> Vec<CallEventKind> {
    let party = |name| {
        let text = fields.get(name).unwrap_or_default();
        ReportedAddress::new(text, text.parse().ok())
    };
    vec![
        CallEventKind::Inbound { from: party("from"), to: party("to") },
        CallEventKind::instruction_wanted(InstructionWanted::Inbound),
    ]
}

fn direction(fields: &Fields) -> Option<Direction> {
    match fields.get("direction")? {
        "inbound" => Some(Direction::Inbound),
        "outbound" => Some(Direction::Outbound),
        _ => None,
    }
}

fn status_change(fields: &Fields) -> StatusChange {
    let word = fields.get("status").unwrap_or_default();
    let cause = fields.get("cause");
    // FILL IN: how does the carrier say that a call was declined, or that there is no such number?
    let refusal = match cause {
        Some("declined") => Some(Refusal::Declined),
        Some("invalid_number") => Some(Refusal::InvalidNumber),
        _ => None,
    };
    StatusChange::new(status_of(word), word)
        .with_reason(cause.map(str::to_owned))
        .with_refusal(refusal)
        .with_direction(direction(fields))
        .with_duration(fields.get("duration_secs").and_then(|text| text.parse().ok()).map(Duration::from_secs))
}

/// The body: names and texts.
struct Fields(BTreeMap<String, String>);

impl Fields {
    // [hmac
    /// Reads a form.
    #[cfg(hmac)]
    fn of(request: &WebhookRequest) -> Option<Self> {
        let form = request.is_content_type("application/x-www-form-urlencoded");
        form.then(|| Self(url::form_urlencoded::parse(request.body()).into_owned().collect()))
    }
    // ]
    // [jwt|ed25519|token
    /// Reads a JSON object. Numbers and the like become the texts that they are written as.
    #[cfg(any(jwt, ed25519, token))]
    fn of(request: &WebhookRequest) -> Option<Self> {
        let members: BTreeMap<String, serde_json::Value> = serde_json::from_slice(request.body()).ok()?;
        let texts = members.into_iter().map(|(name, value)| match value {
            serde_json::Value::String(text) => (name, text),
            other => (name, other.to_string()),
        });
        Some(Self(texts.collect()))
    }
    // ]

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        Fields(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    // FILL IN: what does the carrier really send? Take webhooks whole.
    #[test]
    fn an_end_says_how_and_why() {
        let declined = fields(&[("status", "busy"), ("cause", "declined"), ("duration_secs", "0")]);
        let change = status_change(&declined);
        assert_eq!((change.status, change.refusal), (Some(CallStatus::Busy), Some(Refusal::Declined)));
    }

    #[test]
    fn what_is_new_moves_no_call() {
        assert_eq!(status_change(&fields(&[("status", "teleported")])).status, None);
        let unheard_of = kinds("call.teleported", &fields(&[]));
        assert_eq!(unheard_of, [CallEventKind::Other { name: "call.teleported".to_owned() }]);
    }
}
