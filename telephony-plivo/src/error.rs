//! Plivo's error bodies: `{"api_id": …, "error": …}`, where the error is a text, or an object of fields.
//!
//! Source: <https://www.plivo.com/docs/voice/api/overview>, and the error classes of the official Python library (4.63.0).

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use telephony_core::{CarrierMessage, FieldProblem, Operation, TelephonyError, redact};

use crate::NAME;

/// Parts of a request, by our name for them.
const FIELDS: &[(&str, &str)] = &[
    ("to", "to"),
    ("from", "from"),
    ("answer_url", "urls.answer"),
    ("hangup_url", "urls.events"),
    ("ring_timeout", "ring_timeout"),
    ("time_limit", "time_limit"),
    ("send_digits", "digits_on_answer"),
    ("digits", "digits"),
    ("caller_name", "caller_name"),
];

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    error: Value,
}

/// Turns a refusal into an error.
pub(crate) fn map(operation: Operation, status: StatusCode, _: &HeaderMap, body: &[u8]) -> TelephonyError {
    let error = serde_json::from_slice::<Body>(body).map(|body| body.error).unwrap_or_default();
    let mut carrier = CarrierMessage::status(status.as_u16());
    match &error {
        Value::String(text) => carrier = carrier.with_message(text),
        Value::Object(_) => carrier = carrier.with_message(&error.to_string()),
        _ => {}
    }
    let provider = NAME;
    if status == StatusCode::BAD_REQUEST
        && let Some(problem) = field_problem(&error)
    {
        return TelephonyError::InvalidRequest { provider, operation, problem, carrier: Some(carrier) };
    }
    match status {
        StatusCode::UNAUTHORIZED => TelephonyError::Authentication { provider, operation, carrier },
        StatusCode::FORBIDDEN => TelephonyError::PermissionDenied { provider, operation, carrier },
        StatusCode::NOT_FOUND => TelephonyError::NotFound { provider, operation, carrier },
        _ => TelephonyError::Rejected { provider, operation, carrier },
    }
}

/// The field that a validation error is about: its key, or the word that its text begins with (`to parameter not present`).
fn field_problem(error: &Value) -> Option<FieldProblem> {
    let named = |name: &str| FIELDS.iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
    match error {
        Value::String(text) => {
            let field = named(text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?)?;
            Some(FieldProblem::new(field, redact::numbers_in(text)))
        }
        Value::Object(fields) => {
            let (field, reason) = fields.iter().find_map(|(name, reason)| Some((named(name)?, reason)))?;
            let reason = reason.as_str().map_or_else(|| reason.to_string(), str::to_owned);
            Some(FieldProblem::new(field, redact::numbers_in(&reason)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &str) -> TelephonyError {
        map(Operation::InitiateCall, StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn bodies_as_plivo_writes_them() {
        let refused = error(404, r#"{"api_id": "1", "error": "not found"}"#);
        assert!(matches!(refused, TelephonyError::NotFound { .. }));
        assert_eq!(refused.to_string(), "plivo found nothing for initiate_call: not found");
        let invalid = error(400, r#"{"api_id": "1", "error": "to parameter 14155550111 is not valid"}"#);
        assert!(matches!(&invalid, TelephonyError::InvalidRequest { problem, .. } if problem.field == "to"));
        assert!(!invalid.to_string().contains("4155550111"), "{invalid}");
        let by_field = error(400, r#"{"error": {"answer_url": "is no URL"}}"#);
        assert!(matches!(&by_field, TelephonyError::InvalidRequest { problem, .. } if problem.field == "urls.answer"));
        assert!(matches!(error(401, "Could not verify your access level"), TelephonyError::Authentication { .. }));
        assert!(matches!(error(405, "{}"), TelephonyError::Rejected { .. }));
    }
}
