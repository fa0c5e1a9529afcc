//! Signed webhooks: a JSON Web Token in `Authorization`, HS256 with the account's signature secret, that holds the hash of
//! the body.
//!
//! The official helpers check the token and not the hash, so a body can be exchanged under them; here both must hold. A token
//! is good for five minutes from its `iat`: the documentation recommends a limit and names none. Whoever replays a webhook
//! within that time brings an event with the same dedupe key, so nothing is remembered here.
//!
//! Source: <https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks>; vectors made and
//! cross-checked with the official Python (4.9.1) and Node.js (1.14.0) libraries are in `tests/data/signatures.json`.

use serde::Deserialize;
use telephony_core::{
    Secret, Timestamp, VerifiedWebhook, WebhookError, WebhookRequest,
    signing::{self, SignatureError},
};
use time::Duration;

use crate::VonageConfig;

const HEADER: &str = "Authorization";

const ISSUER: &str = "Vonage";

/// How old a token may be.
const OLDEST: Duration = Duration::minutes(5);

/// How far clocks may differ.
const SKEW: Duration = Duration::minutes(1);

/// What a token says.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Claims {
    iss: Option<String>,
    iat: Option<i64>,
    exp: Option<i64>,
    nbf: Option<i64>,
    api_key: Option<String>,
    pub(crate) application_id: Option<String>,
    payload_hash: Option<String>,
}

/// Checks a webhook.
pub(crate) fn verify(request: WebhookRequest, config: &VonageConfig) -> Result<VerifiedWebhook, WebhookError> {
    let header = request.header(HEADER).ok_or(WebhookError::Unsigned { header: HEADER })?;
    let token = bearer(header).ok_or(WebhookError::MalformedSignature { reason: "it is no Bearer token" })?;
    let (claims, proof) = check_token(&config.signature_secret, token)?;
    check_time(&claims, request.received_at())?;
    if claims.iss.as_deref().is_some_and(|issuer| issuer != ISSUER) {
        return Err(WebhookError::BadSignature { reason: "it was issued by somebody else" });
    }
    if claims.api_key.as_deref().is_some_and(|key| key != config.api_key) {
        return Err(WebhookError::WrongAccount { field: "api_key" });
    }
    // Webhooks of the account as a whole name no application.
    let application = claims.application_id.as_deref();
    if application.is_some_and(|application| !application.eq_ignore_ascii_case(&config.application_id)) {
        return Err(WebhookError::WrongAccount { field: "application_id" });
    }
    check_body(&claims, request.body())?;
    Ok(VerifiedWebhook::new(request, proof))
}

/// The claims of a webhook whose signature nobody has checked, if it looks like Vonage's.
pub(crate) fn unverified_claims(request: &WebhookRequest) -> Option<Claims> {
    let claims: Claims = signing::unverified_jwt_claims(bearer(request.header(HEADER)?)?)?;
    (claims.iss.as_deref() == Some(ISSUER)).then_some(claims)
}

/// The token of `Bearer …`; the scheme's case does not matter (RFC 9110, part 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn check_token(secret: &Secret, token: &str) -> Result<(Claims, signing::Proof), WebhookError> {
    signing::verify_jwt_hs256(secret, token).map_err(|error| match error {
        SignatureError::Mismatch => WebhookError::BadSignature { reason: "the signature secret differs" },
        _ => WebhookError::MalformedSignature { reason: "it is no JSON Web Token signed with HS256" },
    })
}

fn check_time(claims: &Claims, now: Timestamp) -> Result<(), WebhookError> {
    let now = now.unix_timestamp();
    let issued = claims.iat.ok_or(WebhookError::MalformedSignature { reason: "it has no iat" })?;
    if issued > now.saturating_add(SKEW.whole_seconds()) {
        return Err(WebhookError::Expired { reason: "iat is in the future" });
    }
    if issued < now.saturating_sub(OLDEST.whole_seconds()) {
        return Err(WebhookError::Expired { reason: "iat is more than five minutes ago" });
    }
    if claims.exp.is_some_and(|expires| expires <= now) {
        return Err(WebhookError::Expired { reason: "exp is past" });
    }
    if claims.nbf.is_some_and(|from| from > now.saturating_add(SKEW.whole_seconds())) {
        return Err(WebhookError::Expired { reason: "nbf is in the future" });
    }
    Ok(())
}

/// The hash is over the bytes as they came. Whether a webhook by GET, which has no body, brings one is not documented.
fn check_body(claims: &Claims, body: &[u8]) -> Result<(), WebhookError> {
    match &claims.payload_hash {
        _ if body.is_empty() => Ok(()),
        Some(hash) => signing::check_sha256_hex(body, hash)
            .map_err(|_| WebhookError::BadSignature { reason: "the body does not have the payload_hash" }),
        None => Err(WebhookError::BadSignature { reason: "there is a body and no payload_hash covers it" }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::{HeaderMap, HeaderName, Method};
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        api_key: String,
        application_id: String,
        vectors: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        id: String,
        title: String,
        signature_secret: String,
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

    fn config(fields: serde_json::Value) -> VonageConfig {
        let mut config = crate::config::tests::account();
        config.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        telephony_core::config::parse(crate::NAME, &config).unwrap()
    }

    #[test]
    fn every_vector_gets_its_verdict() {
        let file: Vectors = serde_json::from_str(include_str!("../tests/data/signatures.json")).unwrap();
        assert_eq!(file.vectors.len(), 18);
        for vector in file.vectors {
            let config = config(json!({
                "api_key": file.api_key, "application_id": file.application_id, "signature_secret": vector.signature_secret,
            }));
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
            let outcome = verify(request, &config);
            assert_eq!(outcome.is_ok(), vector.valid, "{} {}: {outcome:?}", vector.id, vector.title);
        }
    }

    fn refusal(change: impl FnOnce(&mut serde_json::Value)) -> WebhookError {
        let mut claims = json!({
            "iss": "Vonage", "iat": 1000, "api_key": "4f7c2a19", "payload_hash": signing::sha256_hex(b"{}"),
            "application_id": "7e1b7f0c-5a0e-4c53-9e0f-2a6f1d5b9a11",
        });
        change(&mut claims);
        let config = config(json!({}));
        let mut headers = HeaderMap::new();
        let token = signing::sign_jwt_hs256(&config.signature_secret, &claims);
        headers.insert("authorization", format!("bearer {token}").parse().unwrap());
        let now = Timestamp::from_unix_timestamp(1000).unwrap();
        let request = WebhookRequest::at_url(Method::POST, "https://a.test/", headers, "{}".into(), now);
        verify(request, &config).unwrap_err()
    }

    #[test]
    fn each_claim_is_looked_at() {
        let wrong = |field| WebhookError::WrongAccount { field };
        assert_eq!(refusal(|claims| claims["api_key"] = "other".into()), wrong("api_key"));
        assert_eq!(refusal(|claims| claims["application_id"] = "other".into()), wrong("application_id"));
        let not_now = |change: fn(&mut serde_json::Value)| matches!(refusal(change), WebhookError::Expired { .. });
        assert!(not_now(|claims| claims["iat"] = 699.into()));
        assert!(not_now(|claims| claims["iat"] = 1061.into()));
        assert!(not_now(|claims| claims["exp"] = 1000.into()));
        assert!(not_now(|claims| claims["nbf"] = 1061.into()));
        assert!(matches!(refusal(|claims| claims["iss"] = "Mallory".into()), WebhookError::BadSignature { .. }));
        assert!(matches!(refusal(|claims| claims["iat"] = json!(null)), WebhookError::MalformedSignature { .. }));
        assert!(matches!(refusal(|claims| claims["iat"] = json!("soon")), WebhookError::MalformedSignature { .. }));
    }
}
