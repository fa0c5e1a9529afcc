//! Telnyx's error bodies: `{"errors": [{"code", "title", "detail", "source": {"pointer"}}]}`, the code a text.
//!
//! The code counts before the HTTP status: some resources answer 401 to credentials that are right and not enough. Codes with
//! more than one meaning (10006, 10007, 10011) go by the status.
//!
//! Source: <https://developers.telnyx.com/api/errors>, and the schema `Errors` and the examples of the published OpenAPI
//! description (2026-07).

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use telephony_core::{CarrierMessage, FieldProblem, Operation, TelephonyError, redact};

use crate::NAME;

/// The credentials are wrong.
const AUTHENTICATION_FAILED: &str = "10009";
/// The credentials are right, and do not permit this; some resources say so with status 401.
const NOT_PERMITTED: &str = "10010";
/// The account's level does not include this, or its limit is reached.
const NOT_AT_THIS_LEVEL: [&str; 2] = ["10038", "10039"];
/// As many calls as the user, the outbound voice profile or the application may have are up.
const CHANNELS_IN_USE: [&str; 3] = ["90041", "90042", "90043"];
/// A file could not be fetched. With status 404 it is the resource of this code, whose title alone tells it from others.
const RESOURCE_NOT_FOUND: &str = "10005";
const AUDIO_NOT_FOUND: &str = "Audio file not found";
const AUDIO_NOT_DOWNLOADED: &str = "90040";
/// The command is for a call that is over.
const ALREADY_ENDED: &str = "90018";
/// The command names no call.
const BAD_CALL_CONTROL_ID: &str = "90015";
/// The conference is over.
const CONFERENCE_ENDED: &str = "90019";
/// An active conference has the name. In the table of codes the same one says that a conference has no active participants:
/// what it means depends on what was asked.
const CONFERENCE_NAME_TAKEN: &str = "90033";
/// The call is in the conference already.
const ALREADY_IN_CONFERENCE: &str = "90044";
/// There is no such conference.
const NO_SUCH_CONFERENCE: &str = "90058";

/// Parts of a request, by our name for them.
const FIELDS: &[(&str, &str)] = &[
    ("/connection_id", "connection_id"),
    ("/to", "to"),
    ("/from", "from"),
    ("/webhook_url", "urls.events"),
    ("/timeout_secs", "ring_timeout"),
    ("/time_limit_secs", "time_limit"),
    ("/send_digits_on_answer", "digits_on_answer"),
    ("/digits", "digits"),
    ("/from_display_name", "caller_name"),
    ("/stream_url", "url"),
    ("/payload", "text"),
    ("/voice", "voice"),
    ("/audio_url", "url"),
    ("/loop", "times"),
    ("/maximum_digits", "max_digits"),
    ("/inter_digit_timeout_millis", "timeout"),
    ("/name", "name"),
];

#[derive(Deserialize)]
struct Body {
    errors: Vec<Entry>,
}

#[derive(Default, Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    source: Option<Source>,
}

#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    pointer: Option<String>,
    #[serde(default)]
    parameter: Option<String>,
}

/// Turns a refusal into an error.
pub(crate) fn map(operation: Operation, status: StatusCode, _: &HeaderMap, body: &[u8]) -> TelephonyError {
    let entry = serde_json::from_slice::<Body>(body).ok().and_then(|body| body.errors.into_iter().next());
    let entry = entry.unwrap_or_default();
    let mut carrier = CarrierMessage::status(status.as_u16());
    if !entry.code.is_empty() {
        carrier = carrier
            .with_code(&entry.code)
            .with_docs_url(format!("https://developers.telnyx.com/api/errors/{}", entry.code));
    }
    let message = entry.detail.as_deref().filter(|detail| !detail.is_empty()).unwrap_or(&entry.title);
    if !message.is_empty() {
        carrier = carrier.with_message(message);
    }
    let provider = NAME;
    if let Some(problem) = field_problem(&entry, message) {
        return TelephonyError::InvalidRequest { provider, operation, problem, carrier: Some(carrier) };
    }
    match (status, entry.code.as_str()) {
        (_, ALREADY_ENDED | BAD_CALL_CONTROL_ID) => TelephonyError::NotFound { provider, operation, carrier },
        (_, AUTHENTICATION_FAILED) => TelephonyError::Authentication { provider, operation, carrier },
        (_, NOT_PERMITTED) => TelephonyError::PermissionDenied { provider, operation, carrier },
        (_, code) if NOT_AT_THIS_LEVEL.contains(&code) => {
            TelephonyError::PermissionDenied { provider, operation, carrier }
        }
        // Nothing is queued: once a call has ended, the same request may pass.
        (_, code) if CHANNELS_IN_USE.contains(&code) => {
            TelephonyError::RateLimited { provider, operation, retry_after: None, carrier }
        }
        (StatusCode::NOT_FOUND, _) => TelephonyError::NotFound { provider, operation, carrier },
        (StatusCode::UNAUTHORIZED, _) => TelephonyError::Authentication { provider, operation, carrier },
        (StatusCode::FORBIDDEN, _) => TelephonyError::PermissionDenied { provider, operation, carrier },
        _ => TelephonyError::Rejected { provider, operation, carrier },
    }
}

/// Telnyx's code for an error, if the error is Telnyx's.
fn code(error: &TelephonyError) -> Option<&str> {
    match error {
        TelephonyError::InvalidRequest { carrier, .. } => carrier.as_ref()?.code.as_deref(),
        TelephonyError::NotFound { carrier, .. } | TelephonyError::Rejected { carrier, .. } => carrier.code.as_deref(),
        _ => None,
    }
}

/// Whether a conference could not be made since there is one of the name.
pub(crate) fn is_name_taken(error: &TelephonyError) -> bool {
    code(error) == Some(CONFERENCE_NAME_TAKEN)
}

/// Whether a call could not join a conference since it is in there.
pub(crate) fn is_in_conference(error: &TelephonyError) -> bool {
    code(error) == Some(ALREADY_IN_CONFERENCE)
}

/// Whether there is no such conference, or none any more; and not that there is no such call.
pub(crate) fn is_conference_gone(error: &TelephonyError) -> bool {
    match code(error) {
        Some(CONFERENCE_ENDED | NO_SUCH_CONFERENCE | CONFERENCE_NAME_TAKEN) => true,
        Some(ALREADY_ENDED | BAD_CALL_CONTROL_ID) => false,
        _ => matches!(error, TelephonyError::NotFound { .. }),
    }
}

/// The same, but for [`TelephonyError::NotFound`] of something else than the call, which must not be taken for the call's end.
pub(crate) fn unless_the_call_is_over(error: TelephonyError) -> TelephonyError {
    match error {
        TelephonyError::NotFound { provider, operation, carrier }
            if !matches!(carrier.code.as_deref(), Some(ALREADY_ENDED | BAD_CALL_CONTROL_ID)) =>
        {
            TelephonyError::Rejected { provider, operation, carrier }
        }
        error => error,
    }
}

/// The field that an error is about, where it says so.
fn field_problem(entry: &Entry, message: &str) -> Option<FieldProblem> {
    let problem = |field: &str| Some(FieldProblem::new(field, redact::numbers_in(message)));
    // A file is not the call: that there is none must not be taken for the call's end.
    match entry.code.as_str() {
        AUDIO_NOT_DOWNLOADED => return problem("url"),
        RESOURCE_NOT_FOUND if entry.title == AUDIO_NOT_FOUND => return problem("url"),
        _ => {}
    }
    let source = entry.source.as_ref()?;
    let pointer = source.pointer.clone().or_else(|| source.parameter.as_ref().map(|name| format!("/{name}")))?;
    FIELDS.iter().find(|(known, _)| *known == pointer).and_then(|(_, field)| problem(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &str) -> TelephonyError {
        map(Operation::InitiateCall, StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn bodies_as_telnyx_writes_them() {
        let ended = error(
            422,
            r#"{"errors":[{"code":"90018","title":"Call has already ended","detail":"This call is no longer active."}]}"#,
        );
        assert!(matches!(ended, TelephonyError::NotFound { .. }), "{ended:?}");
        let invalid = error(
            422,
            r#"{"errors":[{"code":"10016","title":"Phone number must be in +E164 format","detail":"14155550111 is not","source":{"pointer":"/to"}}]}"#,
        );
        assert!(matches!(&invalid, TelephonyError::InvalidRequest { problem, .. } if problem.field == "to"));
        assert!(!invalid.to_string().contains("4155550111"), "{invalid}");
        assert!(matches!(
            error(401, r#"{"errors":[{"code":"10009","title":"Authentication failed"}]}"#),
            TelephonyError::Authentication { .. }
        ));
        let denied = error(403, r#"{"errors":[{"code":"10010","title":"Authorization failed"}]}"#);
        assert_eq!(
            denied.to_string(),
            "telnyx does not permit initiate_call: 10010: Authorization failed (see https://developers.telnyx.com/api/errors/10010)"
        );
        assert!(matches!(error(404, "not json"), TelephonyError::NotFound { .. }));
        assert!(matches!(error(422, "{}"), TelephonyError::Rejected { .. }));
    }

    /// The examples of the OpenAPI description, and the table of codes where it has none.
    #[test]
    fn every_code_means_something_to_a_caller() {
        let body = |code: &str, title: &str, detail: &str, pointer: Option<&str>| {
            let source = pointer.map(|pointer| serde_json::json!({"pointer": pointer}));
            let url = format!("https://developers.telnyx.com/docs/overview/errors/{code}");
            let entry = serde_json::json!({
                "code": code, "title": title, "detail": detail, "source": source, "meta": {"url": url},
            });
            serde_json::json!({"errors": [entry]}).to_string()
        };
        for (status, code, title, detail, pointer, kind) in [
            (
                404,
                "10005",
                "Resource not found",
                "The requested resource or URL could not be found.",
                Some("/"),
                "none",
            ),
            (404, "10007", "Resource not found", "Resource not found", None, "none"),
            (
                403,
                "10006",
                "Not authorized",
                "You are not authorized to access the requested resource.",
                None,
                "denied",
            ),
            (
                401,
                "10009",
                "Authentication failed",
                "Could not understand the provided credentials.",
                None,
                "credentials",
            ),
            (
                403,
                "10009",
                "Authentication failed",
                "Could not understand the provided credentials.",
                None,
                "credentials",
            ),
            (401, "401", "Unauthorized", "Unauthorized", None, "credentials"),
            // Of a resource that says 401 and means 403.
            (
                401,
                "10010",
                "Not authorized",
                "You are not authorized to access the requested resource.",
                Some("/"),
                "denied",
            ),
            (403, "10010", "Authorization failed", "You do not have permission.", None, "denied"),
            (
                422,
                "10038",
                "Feature not permitted",
                "This feature is not permitted at this account level.",
                None,
                "denied",
            ),
            (422, "10039", "Feature limited", "A limit for this feature has been reached.", None, "denied"),
            // The code of 429, in another sense.
            (
                422,
                "10011",
                "Media encryption not supported",
                "SRTP is not supported.",
                Some("/media_encryption"),
                "refused",
            ),
            (400, "10015", "Bad Request", "The request failed because it was not well-formed.", Some("/"), "refused"),
            (
                422,
                "10015",
                "Invalid value for connection_id",
                "Only Call Control Apps are.",
                Some("/connection_id"),
                "connection_id",
            ),
            (422, "10016", "Phone number must be in +E164 format", "The 'to' parameter must be.", Some("/to"), "to"),
            (422, "10004", "Missing required parameter", "The 'to' parameter is required.", Some("/to"), "to"),
            (
                422,
                "90028",
                "Invalid value for timeout_secs",
                "It must be an 'integer'.",
                Some("/timeout_secs"),
                "ring_timeout",
            ),
            (
                422,
                "90029",
                "Invalid value for time_limit_secs",
                "It must be an 'integer'.",
                Some("/time_limit_secs"),
                "time_limit",
            ),
            (422, "90015", "Invalid Call Control ID", "It was not valid.", Some("/call_control_id"), "none"),
            (422, "90018", "Call has already ended", "This call is no longer active.", None, "none"),
            (422, "90034", "Call not answered yet", "It has not been answered yet.", None, "refused"),
            (422, "90041", "User termination channels limit exceeded", "The limit has been reached.", None, "wait"),
            (
                403,
                "90042",
                "Outbound voice profile channels limit exceeded",
                "The limit has been reached.",
                None,
                "wait",
            ),
            (403, "90043", "Connection outbound channels limit exceeded", "The limit has been reached.", None, "wait"),
            (422, "90045", "Media Streaming is used", "This command can't be issued.", None, "refused"),
            (422, "90048", "Media Streaming is not used", "This command can only be issued then.", None, "refused"),
            (404, "10005", "Audio file not found", "Provided audio file URL couldn't be found.", None, "url"),
            (400, "90040", "Downloading audio file failed", "It couldn't be downloaded.", None, "url"),
        ] {
            let error = error(status, &body(code, title, detail, pointer));
            let seen = match &error {
                TelephonyError::NotFound { .. } => "none",
                TelephonyError::PermissionDenied { .. } => "denied",
                TelephonyError::Authentication { .. } => "credentials",
                TelephonyError::Rejected { .. } => "refused",
                TelephonyError::RateLimited { .. } => "wait",
                TelephonyError::InvalidRequest { problem, .. } => problem.field.as_str(),
                other => panic!("{other:?}"),
            };
            assert_eq!(seen, kind, "{status} {code} {title}");
        }
    }

    #[test]
    fn what_is_said_of_conferences() {
        let coded = |status, code| error(status, &format!(r#"{{"errors":[{{"code":"{code}","title":"No"}}]}}"#));
        assert!(is_name_taken(&coded(422, "90033")) && is_in_conference(&coded(422, "90044")));
        for (status, code, gone) in [
            (422, "90019", true),
            (422, "90058", true),
            (422, "90033", true),
            (404, "10005", true),
            (422, "90018", false),
            (404, "90015", false),
            (422, "90032", false),
        ] {
            assert_eq!(is_conference_gone(&coded(status, code)), gone, "{status} {code}");
        }
        // That there is no such conference says nothing about the call.
        assert!(matches!(unless_the_call_is_over(coded(404, "10005")), TelephonyError::Rejected { .. }));
        assert!(matches!(unless_the_call_is_over(coded(422, "90018")), TelephonyError::NotFound { .. }));
    }
}
