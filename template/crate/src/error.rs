//! Acme Telephone's error bodies: `{"error": {"code", "message", "field"}}`.
//!
//! FILL IN: where are the carrier's error codes documented?
//!
//! Source: <https://example.com/docs/voice/errors>

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use telephony_core::{CarrierMessage, FieldProblem, Operation, TelephonyError, redact};

use crate::NAME;

// FILL IN: with which codes does the carrier say that a call is over, or that there is none? They become `NotFound`, which
// hanging up takes for "already ended".
/// The request is for a call that is over.
const CALL_ENDED: &str = "call_ended";

// FILL IN: how does the carrier name the parts of a request, and how do we?
/// Parts of a request, by our name for them.
const FIELDS: &[(&str, &str)] = &[
    ("to", "to"),
    ("from", "from"),
    ("answer_url", "urls.answer"),
    ("events_url", "urls.events"),
    ("ring_timeout_secs", "ring_timeout"),
    ("time_limit_secs", "time_limit"),
];

#[derive(Deserialize)]
struct Body {
    error: Reason,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reason {
    code: String,
    message: String,
    field: Option<String>,
}

/// Turns a refusal into an error. What is 429 or 5xx never comes here: that is the same for every carrier.
pub(crate) fn map(operation: Operation, status: StatusCode, _: &HeaderMap, body: &[u8]) -> TelephonyError {
    let reason = serde_json::from_slice::<Body>(body).map(|body| body.error).unwrap_or_default();
    let mut carrier = CarrierMessage::status(status.as_u16());
    if !reason.code.is_empty() {
        carrier = carrier.with_code(&reason.code);
    }
    if !reason.message.is_empty() {
        carrier = carrier.with_message(&reason.message);
    }
    let provider = NAME;
    if reason.code == CALL_ENDED {
        return TelephonyError::NotFound { provider, operation, carrier };
    }
    match status {
        StatusCode::UNAUTHORIZED => TelephonyError::Authentication { provider, operation, carrier },
        StatusCode::FORBIDDEN => TelephonyError::PermissionDenied { provider, operation, carrier },
        StatusCode::NOT_FOUND => TelephonyError::NotFound { provider, operation, carrier },
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            let theirs = reason.field.as_deref().unwrap_or_default();
            match FIELDS.iter().find(|(name, _)| *name == theirs) {
                Some((_, field)) => {
                    let problem = FieldProblem::new(*field, redact::numbers_in(&reason.message));
                    TelephonyError::InvalidRequest { provider, operation, problem, carrier: Some(carrier) }
                }
                None => TelephonyError::Rejected { provider, operation, carrier },
            }
        }
        _ => TelephonyError::Rejected { provider, operation, carrier },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(status: u16, body: &str) -> TelephonyError {
        map(Operation::InitiateCall, StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    // FILL IN: what does the carrier really answer? Take whole bodies, one for each meaning.
    #[test]
    fn bodies_as_the_carrier_writes_them() {
        let no_number = mapped(422, r#"{"error":{"code":"invalid_number","message":"+12 is no number","field":"to"}}"#);
        assert!(matches!(no_number, TelephonyError::InvalidRequest { problem, .. } if problem.field == "to"));
        let over = mapped(409, r#"{"error":{"code":"call_ended","message":"the call is over"}}"#);
        assert!(matches!(over, TelephonyError::NotFound { .. }));
        assert!(matches!(mapped(401, "no JSON"), TelephonyError::Authentication { .. }));
        assert!(matches!(mapped(402, "{}"), TelephonyError::Rejected { .. }));
    }
}
