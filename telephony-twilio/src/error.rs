//! Twilio's error bodies and codes.
//!
//! Source: <https://www.twilio.com/docs/usage/twilios-response#response-formats-exceptions> and
//! <https://www.twilio.com/docs/api/errors>

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use telephony_core::{CarrierMessage, FieldProblem, Operation, TelephonyError};

use crate::NAME;

/// "Call is not in progress": it is over. For the caller that is the same as a call that Twilio has forgotten (404).
///
/// Source: <https://www.twilio.com/docs/api/errors/21220>
const NOT_IN_PROGRESS: u32 = 21220;

/// Codes that say which part of a request is wrong, by our name for it.
const FIELDS: &[(u32, &str)] = &[
    (21201, "to"),
    (21205, "urls.answer"),
    (21210, "from"),
    (21211, "to"),
    (21212, "from"),
    (21213, "from"),
    (21214, "to"),
    (21217, "to"),
    (21219, "to"),
    (21401, "to"),
    (21421, "number"),
];

/// Codes that say that the account may not do this.
const NOT_PERMITTED: &[u32] = &[10001, 20005, 21203, 21215, 21216, 573_005];

#[derive(Deserialize)]
struct Body {
    code: Option<u32>,
    message: Option<String>,
    more_info: Option<String>,
}

/// Turns a refusal into an error.
pub(crate) fn map(operation: Operation, status: StatusCode, _: &HeaderMap, body: &[u8]) -> TelephonyError {
    let parsed: Option<Body> = serde_json::from_slice(body).ok();
    let code = parsed.as_ref().and_then(|body| body.code);
    let mut carrier = CarrierMessage::status(status.as_u16());
    if let Some(body) = parsed {
        if let Some(code) = body.code {
            carrier = carrier.with_code(code);
        }
        if let Some(message) = body.message {
            carrier = carrier.with_message(&message);
        }
        // Only Twilio's own pages: the text is shown as a link.
        if let Some(url) = body.more_info.filter(|url| url.starts_with("https://www.twilio.com/")) {
            carrier = carrier.with_docs_url(url);
        }
    }
    let provider = NAME;
    let field = code.and_then(|code| FIELDS.iter().find(|(known, _)| *known == code)).map(|(_, field)| *field);
    if let Some(field) = field {
        let reason = carrier.message.clone().unwrap_or_else(|| "is not accepted".to_owned());
        let problem = FieldProblem::new(field, reason);
        return TelephonyError::InvalidRequest { provider, operation, problem, carrier: Some(carrier) };
    }
    if code.is_some_and(|code| NOT_PERMITTED.contains(&code)) {
        return TelephonyError::PermissionDenied { provider, operation, carrier };
    }
    if code == Some(NOT_IN_PROGRESS) {
        return TelephonyError::NotFound { provider, operation, carrier };
    }
    match status {
        StatusCode::UNAUTHORIZED => TelephonyError::Authentication { provider, operation, carrier },
        StatusCode::FORBIDDEN => TelephonyError::PermissionDenied { provider, operation, carrier },
        StatusCode::NOT_FOUND => TelephonyError::NotFound { provider, operation, carrier },
        _ => TelephonyError::Rejected { provider, operation, carrier },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &str) -> TelephonyError {
        map(Operation::InitiateCall, StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn bodies_as_twilio_writes_them() {
        let body = r#"{"code": 21211, "message": "The phone number you are attempting to call, +14155550111, is not valid.",
            "more_info": "https://www.twilio.com/docs/errors/21211", "status": 400}"#;
        let invalid = error(400, body);
        assert!(
            matches!(&invalid, TelephonyError::InvalidRequest { problem, .. } if problem.field == "to"),
            "{invalid:?}"
        );
        assert!(!invalid.to_string().contains("4155550111"), "{invalid}");
        assert_eq!(invalid.carrier().unwrap().docs_url.as_deref(), Some("https://www.twilio.com/docs/errors/21211"));

        let body = r#"{"code":20003,"message":"Authenticate","more_info":"https://www.twilio.com/docs/errors/20003","status":401}"#;
        assert!(matches!(error(401, body), TelephonyError::Authentication { .. }));
        let body = r#"{"code":20404,"message":"The requested resource was not found","status":404}"#;
        assert!(matches!(error(404, body), TelephonyError::NotFound { .. }));
        let body = r#"{"code":21220,"message":"Call is not in-progress. Cannot redirect.","status":400}"#;
        assert!(matches!(error(400, body), TelephonyError::NotFound { .. }));
        let body = r#"{"code":21215,"message":"Account not authorized to call +4930...","status":400}"#;
        assert!(matches!(error(400, body), TelephonyError::PermissionDenied { .. }));
    }

    #[test]
    fn bodies_that_are_none_are_read_by_their_status() {
        assert!(matches!(error(403, "<html>"), TelephonyError::PermissionDenied { .. }));
        assert!(matches!(error(302, ""), TelephonyError::Rejected { .. }));
        assert!(matches!(error(400, "{}"), TelephonyError::Rejected { .. }));
        let body = r#"{"code":1,"more_info":"https://evil.example/"}"#;
        assert_eq!(error(400, body).carrier().unwrap().docs_url, None);
    }
}
