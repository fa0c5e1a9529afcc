//! The webhook doctor: when a signature does not hold, says what would have made it hold. It never lets anything through.

use telephony_core::{TelephonyProvider, WebhookRequest};

/// Tries the URLs that the carrier may have signed instead of ours, and says what to mend.
pub(crate) fn examine(provider: &dyn TelephonyProvider, request: &WebhookRequest) -> String {
    for (url, what) in variants(request) {
        // A proof made here is dropped: the request stays refused.
        if provider.verify_webhook_signature(request.with_url(url)).is_ok() {
            return format!("it would hold if {what}; set the public URL to the address that the carrier is given");
        }
    }
    "it holds for no variant of the URL: check the account's secret, and that nothing on the way changes the body"
        .to_owned()
}

/// The public URL changed in one way each, and in words what that way is.
fn variants(request: &WebhookRequest) -> Vec<(String, String)> {
    let url = request.url();
    let mut variants = Vec::new();
    if let Some(rest) = url.strip_prefix("https://") {
        variants.push((format!("http://{rest}"), "the scheme were http".to_owned()));
    } else if let Some(rest) = url.strip_prefix("http://") {
        variants.push((format!("https://{rest}"), "the scheme were https".to_owned()));
    }
    let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
    let with_query = |path: &str| query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    match path.strip_suffix('/') {
        Some(bare) => variants.push((with_query(bare), "the path had no slash behind".to_owned())),
        None => variants.push((with_query(&format!("{path}/")), "the path had a slash behind".to_owned())),
    }
    if query.is_some() {
        variants.push((path.to_owned(), "there were no query".to_owned()));
    }
    // What the request itself claims is good for advice, and for nothing else.
    let claimed = request.header("x-forwarded-host").or_else(|| request.header("host"));
    if let (Some(host), Some((_, after))) = (claimed, url.split_once("://")) {
        let path = after.find('/').map_or("", |slash| &after[slash..]);
        for scheme in ["https", "http"] {
            let what = format!("the public URL started with {scheme}://{host}");
            variants.push((format!("{scheme}://{host}{path}"), what));
        }
    }
    variants
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Method};
    use telephony_core::Timestamp;

    use super::*;

    #[test]
    fn every_usual_mistake_is_tried() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "inside:8080".parse().unwrap());
        headers.insert("x-forwarded-host", "voice.example.com".parse().unwrap());
        let url = "https://wrong.example.com/base/hook?a=1";
        let request = WebhookRequest::at_url(Method::POST, url, headers, Bytes::new(), Timestamp::UNIX_EPOCH);
        let urls: Vec<String> = variants(&request).into_iter().map(|(url, _)| url).collect();
        assert_eq!(
            urls,
            [
                "http://wrong.example.com/base/hook?a=1",
                "https://wrong.example.com/base/hook/?a=1",
                "https://wrong.example.com/base/hook",
                "https://voice.example.com/base/hook?a=1",
                "http://voice.example.com/base/hook?a=1",
            ]
        );
    }
}
