//! Webhooks as the carrier writes and signs them: forms, and an HMAC over the URL and the form.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use telephony_core::{Secret, Timestamp, signing};

const SIGNING_SECRET: &str = "signs-webhooks-of-the-sandbox";

/// What the account is configured with to check them: the field and its value.
pub(super) fn credential() -> (&'static str, String) {
    ("signing_secret", SIGNING_SECRET.to_owned())
}

/// A webhook to this URL.
pub(super) fn signed(url: &str, fields: &[(&'static str, String)], _: Timestamp) -> Request<Bytes> {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let sorted: BTreeMap<_, _> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let text: String = [url].into_iter().chain(sorted.into_iter().flat_map(|(name, value)| [name, value])).collect();
    let signature = signing::hmac_sha256_base64(&Secret::new(SIGNING_SECRET), text.as_bytes());
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert("x-acme-signature", HeaderValue::from_str(&signature).unwrap_or(HeaderValue::from_static("")));
    request
}
