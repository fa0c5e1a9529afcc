//! What a carrier of tomorrow says: the same, with fields and words that nobody has heard of.

use serde_json::Value;
use telephony_core::{Secret, VerifiedWebhook, WebhookRequest, signing};

use crate::trial::OrFail;

/// A name, and a word, that no carrier uses.
pub(crate) const UNHEARD_OF: &str = "unheard_of";

/// Puts a member that nobody has heard of into every object.
pub(crate) fn with_unknown_members(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(with_unknown_members);
            members.insert(UNHEARD_OF.to_owned(), "of".into());
        }
        Value::Array(elements) => elements.iter_mut().for_each(with_unknown_members),
        _ => {}
    }
}

/// Puts [`UNHEARD_OF`] in the place of a word, wherever it is a whole text. Returns whether it was anywhere.
pub(crate) fn with_unknown_word(value: &mut Value, word: &str) -> bool {
    match value {
        Value::Object(members) => {
            members.values_mut().fold(false, |found, value| with_unknown_word(value, word) | found)
        }
        Value::Array(elements) => {
            elements.iter_mut().fold(false, |found, value| with_unknown_word(value, word) | found)
        }
        Value::String(text) if text == word => {
            UNHEARD_OF.clone_into(text);
            true
        }
        _ => false,
    }
}

/// A webhook with a field more at every level.
pub(crate) fn webhook_with_unknown_fields(request: &WebhookRequest) -> WebhookRequest {
    edited(
        request,
        |mut body| {
            with_unknown_members(&mut body);
            Some(body)
        },
        |mut form| {
            form.push((UNHEARD_OF.to_owned(), "a & b=c".to_owned()));
            Some(form)
        },
    )
    .unwrap_or_else(|| request.clone())
}

/// A webhook with a word in it that nobody has heard of; `None` if it does not have the word that is to be replaced.
pub(crate) fn webhook_with_unknown_word(request: &WebhookRequest, word: &str) -> Option<WebhookRequest> {
    edited(
        request,
        |mut body| with_unknown_word(&mut body, word).then_some(body),
        |mut form| {
            let mut found = false;
            for (_, value) in form.iter_mut().filter(|(_, value)| value == word) {
                UNHEARD_OF.clone_into(value);
                found = true;
            }
            found.then_some(form)
        },
    )
}

/// A webhook as genuine: whatever its signature is, it is the content that is looked at.
pub(crate) fn vouched_for(request: WebhookRequest) -> Result<VerifiedWebhook, String> {
    let word = "the kit's own";
    let proof = signing::verify_shared_secret(&Secret::new(word), word).or_fail("vouching for a webhook")?;
    Ok(VerifiedWebhook::new(request, proof))
}

type Form = Vec<(String, String)>;

/// The request with another body, where that is JSON or a form.
fn edited(
    request: &WebhookRequest,
    json: impl FnOnce(Value) -> Option<Value>,
    form: impl FnOnce(Form) -> Option<Form>,
) -> Option<WebhookRequest> {
    let body = match serde_json::from_slice(request.body()) {
        Ok(body @ Value::Object(_)) => json(body)?.to_string(),
        _ if request.is_content_type("application/x-www-form-urlencoded") => {
            let pairs = form(url::form_urlencoded::parse(request.body()).into_owned().collect())?;
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
        }
        _ => return None,
    };
    let mut headers = request.headers().clone();
    headers.remove(http::header::CONTENT_LENGTH);
    let (method, url) = (request.method().clone(), request.url());
    Some(WebhookRequest::at_url(method, url, headers, body.into(), request.received_at()))
}
