//! The headers `telnyx-signature-ed25519` and `telnyx-timestamp`: Ed25519 over the time, a vertical bar and the body.
//!
//! The key is the account's, and the URL is not covered: what application a webhook is for is read from what it says. A time of
//! more than five minutes ago, or ahead, is refused; five minutes sharp are not.
//!
//! Source: <https://developers.telnyx.com/docs/messaging/webhooks>, and the official libraries for Python (4.189.0) and Node.js
//! (7.24.0), whose verdicts are in `tests/data/signatures.json`.

use telephony_core::{
    VerifiedWebhook, WebhookError, WebhookRequest,
    signing::{self, SignatureError},
};

pub(crate) const HEADER: &str = "telnyx-signature-ed25519";
pub(crate) const TIMESTAMP_HEADER: &str = "telnyx-timestamp";

/// How old or how far ahead a webhook may be, in seconds.
const TOLERANCE: u64 = 300;

/// Checks a webhook.
pub(crate) fn verify(
    request: WebhookRequest,
    public_key: &str,
    connection_id: &str,
) -> Result<VerifiedWebhook, WebhookError> {
    let header = |name: &'static str| {
        request.header(name).filter(|text| !text.is_empty()).ok_or(WebhookError::Unsigned { header: name })
    };
    let (signature, timestamp) = (header(HEADER)?, header(TIMESTAMP_HEADER)?);
    let malformed = WebhookError::MalformedSignature { reason: "the time is no whole number of seconds" };
    let sent: i64 = timestamp.parse().map_err(|_| malformed)?;
    if sent.abs_diff(request.received_at().unix_timestamp()) > TOLERANCE {
        return Err(WebhookError::Expired { reason: "it was sent more than 300 s ago, or ahead" });
    }
    let signed = [timestamp.as_bytes(), b"|", request.body()].concat();
    let proof = signing::verify_ed25519_base64(public_key, &signed, signature).map_err(|error| match error {
        SignatureError::Malformed => {
            WebhookError::MalformedSignature { reason: "it is not base64 of 64 bytes, or the public key not of 32" }
        }
        _ => WebhookError::BadSignature { reason: "the body, the time or the public key differs" },
    })?;
    // One key signs for all applications of the account.
    if crate::webhook::connection_id(&request).is_some_and(|named| named != connection_id) {
        return Err(WebhookError::WrongAccount { field: "connection_id" });
    }
    Ok(VerifiedWebhook::new(request, proof))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::{HeaderMap, HeaderName};
    use serde::Deserialize;
    use telephony_core::Timestamp;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        vectors: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        id: String,
        title: String,
        public_key: String,
        verify_at: i64,
        request: Request,
        valid: bool,
    }

    #[derive(Deserialize)]
    struct Request {
        method: String,
        url: String,
        headers: BTreeMap<String, String>,
        body: Option<String>,
    }

    #[test]
    fn every_vector_gets_its_verdict() {
        let file: Vectors = serde_json::from_str(include_str!("../tests/data/signatures.json")).unwrap();
        assert_eq!(file.vectors.len(), 21);
        for vector in file.vectors {
            let headers: HeaderMap = vector
                .request
                .headers
                .iter()
                .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
                .collect();
            let request = WebhookRequest::at_url(
                vector.request.method.parse().unwrap(),
                vector.request.url,
                headers,
                vector.request.body.unwrap_or_default().into(),
                Timestamp::from_unix_timestamp(vector.verify_at).unwrap(),
            );
            let connection = crate::webhook::connection_id(&request).unwrap_or_default();
            let outcome = verify(request, &vector.public_key, &connection);
            assert_eq!(outcome.is_ok(), vector.valid, "{} {}: {outcome:?}", vector.id, vector.title);
        }
    }

    #[test]
    fn another_application_is_another_account() {
        let file: Vectors = serde_json::from_str(include_str!("../tests/data/signatures.json")).unwrap();
        let vector = &file.vectors[0];
        let mut headers = HeaderMap::new();
        for (name, value) in &vector.request.headers {
            headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let now = Timestamp::from_unix_timestamp(vector.verify_at).unwrap();
        let body = vector.request.body.clone().unwrap().into();
        let request = WebhookRequest::at_url(http::Method::POST, "https://a.test/", headers, body, now);
        let refused = verify(request, &vector.public_key, "1").unwrap_err();
        assert_eq!(refused, WebhookError::WrongAccount { field: "connection_id" });
    }
}
