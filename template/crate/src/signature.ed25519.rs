//! The headers `X-Acme-Signature` and `X-Acme-Timestamp`: Ed25519 over the time, a vertical bar and the body.
//!
//! FILL IN: what exactly does the carrier sign, where does the customer find the public key, and how old may a webhook be? Where is
//! that documented? Take vectors from its official libraries as data for the tests.
//!
//! Source: <https://example.com/docs/voice/webhooks#signatures>

use telephony_core::{
    VerifiedWebhook, WebhookError, WebhookRequest,
    signing::{self, SignatureError},
};

use crate::{AcmeConfig, webhook};

/// The header that holds the signature.
pub(crate) const HEADER: &str = "x-acme-signature";

/// The header that holds the time, in seconds since 1970.
pub(crate) const TIMESTAMP_HEADER: &str = "x-acme-timestamp";

/// How old or how far ahead a webhook may be, in seconds.
const TOLERANCE: u64 = 300;

/// Checks a webhook.
pub(crate) fn verify(request: WebhookRequest, config: &AcmeConfig) -> Result<VerifiedWebhook, WebhookError> {
    let header = |name: &'static str| request.header(name).ok_or(WebhookError::Unsigned { header: name });
    let (given, timestamp) = (header(HEADER)?, header(TIMESTAMP_HEADER)?);
    let malformed = WebhookError::MalformedSignature { reason: "the time is no whole number of seconds" };
    let sent: i64 = timestamp.parse().map_err(|_| malformed)?;
    if sent.abs_diff(request.received_at().unix_timestamp()) > TOLERANCE {
        return Err(WebhookError::Expired { reason: "it was sent more than 300 s ago, or ahead" });
    }
    let signed = [timestamp.as_bytes(), b"|", request.body()].concat();
    let proof = signing::verify_ed25519_base64(&config.public_key, &signed, given);
    let proof = proof.map_err(|error| match error {
        SignatureError::Malformed => {
            WebhookError::MalformedSignature { reason: "it is not base64 of 64 bytes, or the public key not of 32" }
        }
        _ => WebhookError::BadSignature { reason: "the body, the time or the public key differs" },
    })?;
    // Several accounts may share a key.
    if webhook::account_id(&request).is_some_and(|named| named != config.account_id) {
        return Err(WebhookError::WrongAccount { field: "account_id" });
    }
    Ok(VerifiedWebhook::new(request, proof))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use telephony_core::Timestamp;

    use super::*;

    fn config() -> AcmeConfig {
        // The public key of the second test of RFC 8032, section 7.1.
        let key = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
        let config = serde_json::json!({"account_id": "acc-1", "api_key": "key", "public_key": key});
        serde_json::from_value(config).unwrap()
    }

    fn checked(signature: &str, timestamp: &str) -> Result<VerifiedWebhook, WebhookError> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, signature.parse().unwrap());
        headers.insert(TIMESTAMP_HEADER, timestamp.parse().unwrap());
        let url = "https://voice.example.com/events";
        verify(WebhookRequest::at_url(Method::POST, url, headers, "{}".into(), Timestamp::UNIX_EPOCH), &config())
    }

    // FILL IN: which vectors has the carrier? One that holds is missing here.
    #[test]
    fn what_is_not_signed_is_refused_with_the_reason() {
        let of_64_bytes = signing::base64_encode(&[7; 64]);
        assert!(matches!(checked(&of_64_bytes, "0"), Err(WebhookError::BadSignature { .. })));
        assert!(matches!(checked("aGk=", "0"), Err(WebhookError::MalformedSignature { .. })));
        assert!(matches!(checked(&of_64_bytes, "soon"), Err(WebhookError::MalformedSignature { .. })));
        assert!(matches!(checked(&of_64_bytes, "301"), Err(WebhookError::Expired { .. })));
    }
}
