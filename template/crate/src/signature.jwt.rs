//! The header `Authorization: Bearer <JWT>`: HS256, keyed with the signature secret, with the SHA-256 of the body inside.
//!
//! | claim | |
//! | --- | --- |
//! | `iat` | when it was signed: five minutes ago at most, and no more ahead |
//! | `payload_hash` | the body's SHA-256, hexadecimal, lower case |
//!
//! FILL IN: which algorithm and which claims does the carrier use, what covers the body, and how old may a token be? Where is that
//! documented? Take tokens from its official libraries as data for the tests.
//!
//! Source: <https://example.com/docs/voice/webhooks#signatures>

use serde::Deserialize;
use telephony_core::{
    VerifiedWebhook, WebhookError, WebhookRequest,
    signing::{self, SignatureError},
};

use crate::{AcmeConfig, webhook};

/// The header that holds the token.
pub(crate) const HEADER: &str = "authorization";

/// How old or how far ahead a webhook may be, in seconds.
const TOLERANCE: u64 = 300;

#[derive(Clone, Deserialize)]
struct Claims {
    iat: i64,
    payload_hash: String,
}

/// Checks a webhook.
pub(crate) fn verify(request: WebhookRequest, config: &AcmeConfig) -> Result<VerifiedWebhook, WebhookError> {
    let header = request.header(HEADER).ok_or(WebhookError::Unsigned { header: HEADER })?;
    let token = header.strip_prefix("Bearer ").ok_or(WebhookError::Unsigned { header: HEADER })?;
    let checked = signing::verify_jwt_hs256::<Claims>(&config.signature_secret, token);
    let (claims, proof) = checked.map_err(|error| match error {
        SignatureError::Malformed => WebhookError::MalformedSignature { reason: "it is no token with these claims" },
        _ => WebhookError::BadSignature { reason: "the token is signed with another secret" },
    })?;
    if claims.iat.abs_diff(request.received_at().unix_timestamp()) > TOLERANCE {
        return Err(WebhookError::Expired { reason: "it was signed more than 300 s ago, or ahead" });
    }
    signing::check_sha256_hex(request.body(), &claims.payload_hash)
        .map_err(|_| WebhookError::BadSignature { reason: "the body is not the one that was signed" })?;
    // Two accounts may share a secret.
    if webhook::account_id(&request).is_some_and(|named| named != config.account_id) {
        return Err(WebhookError::WrongAccount { field: "account_id" });
    }
    Ok(VerifiedWebhook::new(request, proof))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use telephony_core::{Secret, Timestamp};

    use super::*;

    const BODY: &str = r#"{"account_id":"acc-1"}"#;

    fn config() -> AcmeConfig {
        let config = serde_json::json!({"account_id": "acc-1", "api_key": "key", "signature_secret": "s3cret"});
        serde_json::from_value(config).unwrap()
    }

    fn token(iat: i64) -> String {
        let claims = serde_json::json!({"iat": iat, "payload_hash": signing::sha256_hex(BODY.as_bytes())});
        signing::sign_jwt_hs256(&Secret::new("s3cret"), &claims)
    }

    fn checked(body: &'static str, token: &str) -> Result<VerifiedWebhook, WebhookError> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, format!("Bearer {token}").parse().unwrap());
        let url = "https://voice.example.com/events";
        let now = Timestamp::UNIX_EPOCH;
        verify(WebhookRequest::at_url(Method::POST, url, headers, body.into(), now), &config())
    }

    // FILL IN: which tokens has the carrier made? Take them in place of these of ours.
    #[test]
    fn the_body_and_the_time_are_signed() {
        assert!(checked(BODY, &token(0)).is_ok());
        assert!(matches!(checked("{}", &token(0)), Err(WebhookError::BadSignature { .. })));
        assert!(checked(BODY, &token(300)).is_ok());
        assert!(matches!(checked(BODY, &token(301)), Err(WebhookError::Expired { .. })));
        assert!(matches!(checked(BODY, "no token"), Err(WebhookError::MalformedSignature { .. })));
    }
}
