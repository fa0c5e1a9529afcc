//! Webhooks of a simulated call: verification, tampering, identification, dedupe keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use http::{HeaderMap, Method};
use serde_json::Value;
use telephony_core::{
    CallEventKind, CallStatus, InstructionWanted, ProviderContext, Timestamp, WebhookAuthenticity, WebhookRequest,
    config,
};

use crate::{
    customer::{Customer, Received},
    subject::{Subject, call, quick},
    trial::{OrFail, Outcome, Trial, expect},
};

pub(crate) fn trials(subject: &Arc<Subject>) -> Vec<Trial> {
    let mut trials = vec![
        Trial::wait("webhooks::verify::genuine_ones", "verify_webhook_signature", subject, genuine),
        Trial::wait("webhooks::verify::no_signature", "WebhookError::Unsigned, status 401", subject, no_signature),
        Trial::wait("webhooks::verify::another_key", "WebhookError::BadSignature", subject, another_key),
        Trial::wait("webhooks::verify::another_account", "WebhookError::WrongAccount", subject, another_account),
        Trial::wait("webhooks::parse::the_life_of_a_call", "parse_webhook, CallEventKind::Status", subject, life),
        Trial::wait("webhooks::parse::dedupe_keys", "CallEvent::dedupe_key", subject, dedupe_keys),
        Trial::wait("webhooks::identify::its_own", "ProviderFactory::identify_webhook", subject, identified),
        Trial::new("webhooks::identify::nobody_elses", "ProviderFactory::identify_webhook", subject, nobody_elses),
    ];
    // A secret that is only repeated vouches for the sender, and for nothing that is sent.
    if subject.descriptor.webhook_authenticity() == WebhookAuthenticity::Signature {
        trials.extend([
            Trial::wait("webhooks::verify::a_changed_body", "WebhookError::BadSignature", subject, changed_body),
            Trial::wait("webhooks::verify::signatures_of_others", "WebhookError::BadSignature", subject, swapped),
        ]);
    }
    trials
}

/// The webhooks of a call that was answered, streamed, and ended by us; and the account that they were for.
async fn recorded(subject: &Subject) -> Result<(Vec<Received>, Value), String> {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let account = sandbox.account();
    let customer = Customer::start(provider.clone()).await?;
    let placed = provider.initiate_call(&call(&sandbox, 0, customer.urls())?).await.or_fail("placing a call")?;
    customer.wait_for("the stream starts", |seen| seen.heard.start.is_some()).await?;
    let mut reference = placed.call;
    for event in customer.wait_for("a webhook comes", |seen| seen.events().next().is_some()).await?.events() {
        reference.absorb(&event.call);
    }
    provider.hang_up(&reference).await.or_fail("hanging up")?;
    let seen = customer.wait_for("the end is reported", |seen| seen.end().is_some()).await?;
    Ok((seen.webhooks, account))
}

async fn genuine(subject: Arc<Subject>) -> Outcome {
    let (webhooks, _) = recorded(&subject).await?;
    expect(webhooks.len() >= 2, "several webhooks came", webhooks.len())?;
    for webhook in &webhooks {
        let events = webhook.events.as_ref();
        expect(events.is_ok_and(|events| !events.is_empty()), "it verifies, and says something", webhook)?;
        subject.shows_no_secret(webhook)?;
    }
    Ok(())
}

/// A request like another, with another body.
fn with_body(request: &WebhookRequest, body: Vec<u8>) -> WebhookRequest {
    let (method, headers) = (request.method().clone(), request.headers().clone());
    WebhookRequest::at_url(method, request.url(), headers, body.into(), request.received_at())
}

/// A request like another, with other headers.
fn with_headers(request: &WebhookRequest, headers: HeaderMap) -> WebhookRequest {
    let (method, body) = (request.method().clone(), request.body().clone());
    WebhookRequest::at_url(method, request.url(), headers, body, request.received_at())
}

async fn changed_body(subject: Arc<Subject>) -> Outcome {
    let (webhooks, account) = recorded(&subject).await?;
    let provider = subject.online(&account)?;
    let mut changed = 0;
    for webhook in webhooks.iter().filter(|webhook| !webhook.request.body().is_empty()) {
        let body = webhook.request.body();
        for at in (0..body.len()).step_by(body.len().div_ceil(40)) {
            let mut other = body.to_vec();
            // A letter or digit becomes another: what is read of a form or of JSON changes with it.
            if !other[at].is_ascii_alphanumeric() {
                continue;
            }
            other[at] = if other[at] == b'a' { b'b' } else { b'a' };
            // %2B and %2b are the same plus, to whoever signs what is decoded.
            if body[at].eq_ignore_ascii_case(&other[at]) {
                continue;
            }
            let outcome = provider.verify_webhook_signature(with_body(&webhook.request, other));
            let status = outcome.as_ref().err().map(telephony_core::WebhookError::status);
            let refused = status.is_some_and(|status| matches!(status.as_u16(), 401 | 403));
            expect(refused, format_args!("a body changed at byte {at} is refused with 401 or 403"), &outcome)?;
            changed += 1;
        }
        let longer = [body, &b"&extra=1"[..]].concat();
        let outcome = provider.verify_webhook_signature(with_body(&webhook.request, longer));
        expect(outcome.is_err(), "a body with something added is refused", &outcome)?;
    }
    expect(changed > 0, "there were bodies to change", changed)
}

async fn no_signature(subject: Arc<Subject>) -> Outcome {
    let (webhooks, account) = recorded(&subject).await?;
    let provider = subject.online(&account)?;
    for webhook in &webhooks {
        let mut headers = HeaderMap::new();
        if let Some(value) = webhook.request.headers().get("content-type") {
            headers.insert("content-type", value.clone());
        }
        let outcome = provider.verify_webhook_signature(with_headers(&webhook.request, headers));
        let status = outcome.as_ref().err().map(telephony_core::WebhookError::status);
        expect(status.is_some_and(|status| status == 401), "refused with 401 without its headers", &outcome)?;
    }
    Ok(())
}

async fn another_key(subject: Arc<Subject>) -> Outcome {
    let (webhooks, account) = recorded(&subject).await?;
    let first = webhooks.first().or_fail("a webhook came")?;
    let mut decisive = 0;
    let secrets = config::secret_fields(&subject.descriptor.config_schema());
    let fields = account.as_object().or_fail("the account is an object")?.keys();
    // A public key is no secret; the account's id has a trial of its own.
    for field in fields.filter(|field| *field != subject.descriptor.account_id_field()) {
        let mut other = account.clone();
        let Some(text) = other[field].as_str() else { continue };
        let changed = if secrets.contains(field) { format!("{text}x") } else { with_another_character(text) };
        other[field] = changed.into();
        let context = ProviderContext::network().or_fail("setting up HTTP")?;
        let Ok(provider) = subject.descriptor.build(&other, context) else { continue };
        let outcome = provider.verify_webhook_signature(first.request.clone());
        if let Err(refused) = outcome {
            expect(refused.status() == 403, format_args!("403 with another {field}"), &refused)?;
            decisive += 1;
        }
    }
    expect(decisive >= 1, "a key in the configuration decides whether a webhook is genuine", decisive)
}

/// A text of the same length and kind: its second character is another.
fn with_another_character(text: &str) -> String {
    let other = |c| match c {
        '0'..='8' | 'a'..='y' | 'A'..='Y' => char::from_u32(c as u32 + 1).unwrap_or(c),
        '9' => '0',
        'z' => 'a',
        'Z' => 'A',
        other => other,
    };
    text.chars().enumerate().map(|(n, c)| if n == 1 { other(c) } else { c }).collect()
}

/// The account's id with another last character.
async fn another_account(subject: Arc<Subject>) -> Outcome {
    let (webhooks, mut account) = recorded(&subject).await?;
    let field = subject.descriptor.account_id_field();
    let id = account.get(field).and_then(Value::as_str).or_fail("the account has its id")?.to_owned();
    let last = if id.ends_with('0') { "1" } else { "0" };
    account[field] = format!("{}{last}", &id[..id.len() - 1]).into();
    let provider = subject.online(&account)?;
    let mut named = 0;
    for webhook in &webhooks {
        let says_whose = subject.descriptor.identify_webhook(&webhook.request).and_then(|identity| identity.account_id);
        if says_whose.is_some() {
            let outcome = provider.verify_webhook_signature(webhook.request.clone());
            let status = outcome.as_ref().err().map(telephony_core::WebhookError::status);
            expect(
                status.is_some_and(|status| status == 403),
                "a webhook of another account is refused, 403",
                &outcome,
            )?;
            named += 1;
        }
    }
    expect(named > 0, "webhooks say whose they are", named)
}

/// The headers of one webhook with the body of another.
async fn swapped(subject: Arc<Subject>) -> Outcome {
    let (webhooks, account) = recorded(&subject).await?;
    let provider = subject.online(&account)?;
    let with_a_body: Vec<_> = webhooks.iter().filter(|webhook| !webhook.request.body().is_empty()).collect();
    for pair in with_a_body.windows(2) {
        let [one, other] = pair else { continue };
        if one.request.body() == other.request.body() {
            continue;
        }
        let outcome = provider.verify_webhook_signature(with_headers(&one.request, other.request.headers().clone()));
        expect(outcome.is_err(), "a webhook with the signature of another is refused", &outcome)?;
    }
    Ok(())
}

async fn life(subject: Arc<Subject>) -> Outcome {
    let (webhooks, _) = recorded(&subject).await?;
    let events: Vec<_> = webhooks.iter().filter_map(|webhook| webhook.events.as_ref().ok()).flatten().collect();
    let ids: BTreeSet<_> = events.iter().filter_map(|event| event.call.id()).collect();
    expect(ids.len() == 1, "every event names the one call, or none", &ids)?;
    let mut statuses = Vec::new();
    for event in &events {
        if let CallEventKind::Status(change) = &event.kind {
            expect(change.status.is_some(), "every status of the simulator is known", change)?;
            expect(!change.raw_status.is_empty(), "the carrier's word is kept", change)?;
            statuses.extend(change.status);
        }
    }
    let asked = CallEventKind::instruction_wanted(InstructionWanted::Answered);
    let answered = statuses.contains(&CallStatus::InProgress) || events.iter().any(|event| event.kind == asked);
    expect(answered, "the answer is reported", &statuses)?;
    expect(statuses.contains(&CallStatus::Completed), "the end is Completed", &statuses)
}

async fn dedupe_keys(subject: Arc<Subject>) -> Outcome {
    let (webhooks, account) = recorded(&subject).await?;
    let provider = subject.online(&account)?;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (n, webhook) in webhooks.iter().enumerate() {
        let first = webhook.events.as_ref().or_fail("reading a webhook")?;
        let verified = provider.verify_webhook_signature(webhook.request.clone()).or_fail("verifying it again")?;
        let again = provider.parse_webhook(&verified).or_fail("reading it again")?;
        expect(*first == again, "a webhook that comes twice says the same, dedupe keys included", (first, &again))?;
        for event in first {
            let other = seen.insert(event.dedupe_key.clone(), n);
            expect(other.is_none(), "different happenings have different dedupe keys", (event, other))?;
        }
    }
    Ok(())
}

async fn identified(subject: Arc<Subject>) -> Outcome {
    let (webhooks, account) = recorded(&subject).await?;
    let own = account.get(subject.descriptor.account_id_field()).and_then(Value::as_str);
    for webhook in &webhooks {
        let identity =
            subject.descriptor.identify_webhook(&webhook.request).or_fail("its own webhooks are recognised")?;
        let fits = identity.account_id.is_none() || identity.account_id.as_deref() == own;
        expect(fits, "the account named is the one that is configured", &identity)?;
    }
    Ok(())
}

fn nobody_elses(subject: &Subject) -> Outcome {
    let stranger = |content_type: &str, body: &'static str| {
        let mut headers = HeaderMap::new();
        if let Ok(value) = content_type.parse() {
            headers.insert("content-type", value);
        }
        let now = Timestamp::UNIX_EPOCH;
        WebhookRequest::at_url(Method::POST, "https://voice.example.com/", headers, body.into(), now)
    };
    for request in [
        stranger("application/json", r#"{"hello":"world"}"#),
        stranger("application/x-www-form-urlencoded", "hello=world"),
        stranger("text/plain", ""),
    ] {
        let identity = subject.descriptor.identify_webhook(&request);
        expect(identity.is_none(), "a request that is nobody's is not taken for one's own", &identity)?;
    }
    Ok(())
}
