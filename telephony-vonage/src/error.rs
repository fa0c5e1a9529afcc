//! Vonage's error bodies.
//!
//! Problem documents (`title`, `detail`), older forms (`error_title`, `invalid_parameters`), and the numbers API's
//! `error-code-label`. The HTTP status counts first; bodies differ between endpoints.
//!
//! Source: <https://developer.vonage.com/en/api-errors>

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use telephony_core::{CarrierMessage, FieldProblem, Operation, TelephonyError};

use crate::NAME;

/// Parts of a request, by our name for them.
const FIELDS: &[(&str, &str)] = &[
    ("to", "to"),
    ("from", "from"),
    ("answer_url", "urls.answer"),
    ("event_url", "urls.events"),
    ("ringing_timer", "ring_timeout"),
    ("length_timer", "time_limit"),
    ("machine_detection", "machine_detection"),
    ("advanced_machine_detection", "machine_detection"),
    ("digits", "digits"),
];

#[derive(Default, Deserialize)]
struct Body {
    title: Option<String>,
    detail: Option<String>,
    error_title: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "error-code")]
    code: Option<String>,
    #[serde(rename = "error-code-label")]
    label: Option<String>,
    #[serde(default)]
    invalid_parameters: Vec<InvalidParameter>,
}

#[derive(Deserialize)]
struct InvalidParameter {
    name: Option<String>,
    reason: Option<String>,
}

/// Turns a refusal into an error.
pub(crate) fn map(operation: Operation, status: StatusCode, _: &HeaderMap, body: &[u8]) -> TelephonyError {
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    let carrier = carrier_message(status, &body);
    let provider = NAME;
    if let Some(problem) = body.invalid_parameters.iter().find_map(field_problem) {
        return TelephonyError::InvalidRequest { provider, operation, problem, carrier: Some(carrier) };
    }
    match status {
        StatusCode::UNAUTHORIZED => TelephonyError::Authentication { provider, operation, carrier },
        StatusCode::FORBIDDEN => TelephonyError::PermissionDenied { provider, operation, carrier },
        StatusCode::NOT_FOUND => TelephonyError::NotFound { provider, operation, carrier },
        _ => TelephonyError::Rejected { provider, operation, carrier },
    }
}

fn carrier_message(status: StatusCode, body: &Body) -> CarrierMessage {
    let mut carrier = CarrierMessage::status(status.as_u16());
    let title = body.title.as_deref().or(body.error_title.as_deref()).or(body.label.as_deref());
    match (title, body.detail.as_deref()) {
        (Some(title), Some(detail)) => carrier = carrier.with_message(&format!("{title}: {detail}")),
        (Some(text), None) | (None, Some(text)) => carrier = carrier.with_message(text),
        (None, None) => {}
    }
    if let Some(code) = &body.code {
        carrier = carrier.with_code(code);
    }
    // Only Vonage's own pages: the text is shown as a link.
    let ours = |url: &&String| {
        ["https://developer.vonage.com/", "https://developer.nexmo.com/"].iter().any(|own| url.starts_with(own))
    };
    if let Some(url) = body.kind.as_ref().filter(ours) {
        carrier = carrier.with_docs_url(url);
    }
    carrier
}

fn field_problem(parameter: &InvalidParameter) -> Option<FieldProblem> {
    // `to[0].number` is about `to`.
    let name = parameter.name.as_deref()?.split(['[', '.']).next()?;
    let (_, field) = FIELDS.iter().find(|(known, _)| *known == name)?;
    let reason = parameter.reason.as_deref().unwrap_or("is not accepted");
    Some(FieldProblem::new(*field, telephony_core::redact::numbers_in(reason)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &str) -> TelephonyError {
        map(Operation::InitiateCall, StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn bodies_as_vonage_writes_them() {
        let body = r#"{"type":"https://developer.nexmo.com/api-errors#unauthorized","title":"Unauthorized",
            "detail":"You did not provide correct credentials.","instance":"797a8f199c45014ab7b08bfe9cc1c12c"}"#;
        let unauthorized = error(401, body);
        assert!(matches!(unauthorized, TelephonyError::Authentication { .. }));
        assert_eq!(
            unauthorized.to_string(),
            "vonage does not accept the credentials: Unauthorized: You did not provide correct credentials. \
             (see https://developer.nexmo.com/api-errors#unauthorized)"
        );
        let body = r#"{"type":"UNPROCESSABLE","error_title":"Bad Request",
            "invalid_parameters":[{"name":"to[0].number","reason":"is no number: 14155550111"}]}"#;
        let invalid = error(400, body);
        assert!(
            matches!(&invalid, TelephonyError::InvalidRequest { problem, .. } if problem.field == "to"),
            "{invalid:?}"
        );
        assert!(!invalid.to_string().contains("14155550111"), "{invalid}");
        assert!(matches!(error(404, r#"{"title":"Not Found"}"#), TelephonyError::NotFound { .. }));
        let numbers = error(420, r#"{"error-code":"420","error-code-label":"method failed"}"#);
        assert_eq!(numbers.to_string(), "vonage refused initiate_call: 420: method failed");
    }

    #[test]
    fn bodies_that_are_none_are_read_by_their_status() {
        assert!(matches!(error(403, "<html>"), TelephonyError::PermissionDenied { .. }));
        assert!(matches!(error(400, "[]"), TelephonyError::Rejected { .. }));
        let body = r#"{"title":"x","type":"https://evil.example/"}"#;
        assert_eq!(error(400, body).carrier().unwrap().docs_url, None);
    }
}
