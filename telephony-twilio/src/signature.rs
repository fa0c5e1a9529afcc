//! The header `X-Twilio-Signature`: base64 of HMAC-SHA1, keyed with the Auth Token, over the URL and the form.
//!
//! Source: <https://www.twilio.com/docs/usage/security#validating-requests>, and for what it leaves open the validators of the
//! official Python (9.13.0) and Node.js (6.2.0) helper libraries, whose verdicts are in `tests/data/signatures.json`.

use std::collections::{BTreeMap, BTreeSet};

use telephony_core::{
    Secret, VerifiedWebhook, WebhookError, WebhookRequest,
    signing::{self, SignatureError},
};

/// The header that holds the signature.
pub(crate) const HEADER: &str = "X-Twilio-Signature";

/// Checks a webhook, or the upgrade request of a media socket, whose URL then starts with `wss://`.
pub(crate) fn verify(
    request: WebhookRequest,
    auth_token: &Secret,
    account_sid: &str,
) -> Result<VerifiedWebhook, WebhookError> {
    let given = request.header(HEADER).ok_or(WebhookError::Unsigned { header: HEADER })?;
    let parameters = signed_parameters(&request)?;
    let mut outcome = Err(SignatureError::Mismatch);
    for url in url_variants(request.url()) {
        outcome = signing::verify_hmac_sha1_base64(auth_token, format!("{url}{parameters}").as_bytes(), given);
        if outcome.is_ok() {
            break;
        }
    }
    let proof = outcome.map_err(|error| match error {
        SignatureError::Malformed => WebhookError::MalformedSignature { reason: "it is not base64" },
        _ => WebhookError::BadSignature { reason: "the URL, a parameter or the Auth Token differs" },
    })?;
    // A sub-account has a token of its own, so this is for two configurations that share one.
    let named = crate::webhook::parameter(&request, "AccountSid");
    if named.is_some_and(|named| named != account_sid) {
        return Err(WebhookError::WrongAccount { field: "AccountSid" });
    }
    Ok(VerifiedWebhook::new(request, proof))
}

/// What is signed behind the URL: of a form every name with its distinct values, both in order of their bytes; of any other
/// body nothing, as the URL then holds its hash.
fn signed_parameters(request: &WebhookRequest) -> Result<String, WebhookError> {
    let body = request.body();
    if request.is_content_type("application/x-www-form-urlencoded") {
        let mut sorted: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(body) {
            sorted.entry(name).or_default().insert(value);
        }
        let mut text = String::with_capacity(body.len());
        for (name, values) in &sorted {
            for value in values {
                text.push_str(name);
                text.push_str(value);
            }
        }
        return Ok(text);
    }
    let hash = url::form_urlencoded::parse(request.query().as_bytes()).find(|(name, _)| name == "bodySHA256");
    match hash {
        Some((_, hash)) => signing::check_sha256_hex(body, &hash)
            .map(|()| String::new())
            .map_err(|_| WebhookError::BadSignature { reason: "the body does not have the hash in bodySHA256" }),
        None if body.is_empty() => Ok(String::new()),
        None => Err(WebhookError::BadSignature { reason: "the body is no form, and no bodySHA256 covers it" }),
    }
}

/// The forms of a URL that Twilio may have signed: with its port and without, and for a media socket also with a slash behind.
/// User information and fragment (connection overrides) are never signed.
fn url_variants(url: &str) -> Vec<String> {
    let url = url.split('#').next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match host_and_port.rsplit_once(':') {
        // The colons inside [::1] are the address's.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (host_and_port, None),
    };
    let default = if matches!(scheme, "https" | "wss") { "443" } else { "80" };
    let port = port.unwrap_or(default);
    let mut variants = vec![format!("{scheme}://{host}{path}"), format!("{scheme}://{host}:{port}{path}")];
    if matches!(scheme, "ws" | "wss") && !path.ends_with('/') {
        let slashed: Vec<_> = variants.iter().map(|url| format!("{url}/")).collect();
        variants.extend(slashed);
    }
    variants
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, Method};
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
        auth_token: String,
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

    const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

    #[test]
    fn the_official_libraries_and_we_agree_on_every_vector() {
        let file: Vectors = serde_json::from_str(include_str!("../tests/data/signatures.json")).unwrap();
        assert_eq!(file.vectors.len(), 26);
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
                Timestamp::UNIX_EPOCH,
            );
            let outcome = verify(request, &Secret::new(vector.auth_token), ACCOUNT);
            assert_eq!(outcome.is_ok(), vector.valid, "{} {}: {outcome:?}", vector.id, vector.title);
        }
    }

    fn signed(url: &str, content_type: &'static str, body: &'static str, over: &str) -> Result<(), WebhookError> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", content_type.parse().unwrap());
        let signature = signing::hmac_sha1_base64(&Secret::new("token"), over.as_bytes());
        headers.insert("x-twilio-signature", signature.parse().unwrap());
        let request = WebhookRequest::at_url(Method::POST, url, headers, body.into(), Timestamp::UNIX_EPOCH);
        verify(request, &Secret::new("token"), ACCOUNT).map(|_| ())
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn user_information_fragment_and_ports_are_taken_off() {
        let signs = |url, over| signed(url, FORM, "", over).is_ok();
        assert!(signs("https://user:pass@a.test/x?q=1", "https://a.test/x?q=1"));
        assert!(signs("https://a.test/x#rc=3", "https://a.test/x"));
        assert!(signs("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]/x"));
        assert!(signs("https://[2001:db8::1]/x", "https://[2001:db8::1]:443/x"));
        assert!(signs("http://a.test/x", "http://a.test:80/x"));
        assert!(signs("https://a.test?q=1", "https://a.test:443?q=1"));
        assert!(!signs("https://a.test:8443/x", "https://a.test:443/x"));
        assert!(!signs("https://a.test/x", "https://a.test/x/"));
        assert!(signs("wss://a.test/x", "wss://a.test/x/"), "an upgrade request may be signed with a slash behind");
    }

    #[test]
    fn a_body_that_nothing_covers_is_refused() {
        let url = "https://a.test/x";
        let refused = signed(url, "application/json", "{}", url).unwrap_err();
        assert!(matches!(refused, WebhookError::BadSignature { .. }), "{refused}");
        assert!(signed(url, "application/json", "", url).is_ok());
    }

    #[test]
    fn another_account_is_told_from_a_bad_signature() {
        let other = "AC99999999999999999999999999999999";
        let body: &'static str = "AccountSid=AC99999999999999999999999999999999";
        let refused = signed("https://a.test/x", FORM, body, &format!("https://a.test/xAccountSid{other}"));
        assert_eq!(refused.unwrap_err(), WebhookError::WrongAccount { field: "AccountSid" });
    }

    #[test]
    fn a_signature_that_is_no_base64_is_malformed() {
        let mut headers = HeaderMap::new();
        headers.insert("x-twilio-signature", "%%%".parse().unwrap());
        let request = WebhookRequest::at_url(Method::GET, "https://a/", headers, "".into(), Timestamp::UNIX_EPOCH);
        let refused = verify(request, &Secret::new("token"), ACCOUNT).unwrap_err();
        assert!(matches!(refused, WebhookError::MalformedSignature { .. }));
        assert_eq!(refused.status(), 401);
    }

    proptest::proptest! {
        #[test]
        fn no_url_makes_it_panic(url in ".*") {
            let _ = url_variants(&url);
        }
    }
}
