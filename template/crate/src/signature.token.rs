//! The header `X-Acme-Token`: a secret that carrier and customer share, repeated in each webhook. Nothing is signed.
//!
//! It proves who sends, not what: whoever sees one webhook can write others. The descriptor says so
//! (`WebhookAuthenticity::SharedSecret`), and customers read it.
//!
//! FILL IN: does the carrier really sign nothing? If it signs in a way of its own, check that here with the functions of
//! `telephony_core::signing`, and take `WEBHOOK_AUTHENTICITY` out of `lib.rs`. Where does the secret stand: in a header, as the
//! password of HTTP Basic authentication? Where is that documented?
//!
//! Source: <https://example.com/docs/voice/webhooks#security>

use telephony_core::{VerifiedWebhook, WebhookError, WebhookRequest, signing};

use crate::{AcmeConfig, webhook};

/// The header that holds the secret.
pub(crate) const HEADER: &str = "x-acme-token";

/// Checks a webhook.
pub(crate) fn verify(request: WebhookRequest, config: &AcmeConfig) -> Result<VerifiedWebhook, WebhookError> {
    let given = request.header(HEADER).ok_or(WebhookError::Unsigned { header: HEADER })?;
    let proof = signing::verify_shared_secret(&config.webhook_token, given)
        .map_err(|_| WebhookError::BadSignature { reason: "the token differs" })?;
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

    fn checked(token: Option<&str>) -> Result<VerifiedWebhook, WebhookError> {
        let config = serde_json::json!({"account_id": "acc-1", "api_key": "key", "webhook_token": "0123456789abcdef"});
        let config: AcmeConfig = serde_json::from_value(config).unwrap();
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            headers.insert(HEADER, token.parse().unwrap());
        }
        let url = "https://voice.example.com/events";
        verify(WebhookRequest::at_url(Method::POST, url, headers, "{}".into(), Timestamp::UNIX_EPOCH), &config)
    }

    #[test]
    fn the_token_decides() {
        assert!(checked(Some("0123456789abcdef")).is_ok());
        assert!(matches!(checked(Some("0123456789abcdeF")), Err(WebhookError::BadSignature { .. })));
        assert!(matches!(checked(None), Err(WebhookError::Unsigned { .. })));
    }
}
