//! Webhooks of a simulated call: verification, tampering, identification, dedupe keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, Method};
use serde_json::Value;
use telephony_core::{
    CallEvent, CallEventKind, CallInstruction, CallStatus, Capability, InstructionWanted, ProviderContext, Say, Then,
    Timestamp, WebhookAuthenticity, WebhookRequest, config, signing,
};
use telephony_sandbox::SimulatedCall;

use crate::{
    customer::{Customer, Received},
    edit::{UNHEARD_OF, vouched_for, webhook_with_unknown_fields, webhook_with_unknown_word},
    subject::{Subject, call, quick, told_truly},
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
        Trial::wait("webhooks::parse::dedupe_keys_of_two_calls", "CallEvent::dedupe_key", subject, two_calls),
        Trial::wait("webhooks::parse::unknown_fields", "parse_webhook: unknown fields are no error", subject, fields),
        Trial::wait("webhooks::parse::unknown_words", "StatusChange::status, CallEventKind::Other", subject, words),
        Trial::wait("webhooks::identify::its_own", "ProviderFactory::identify_webhook", subject, identified),
        Trial::new("webhooks::identify::nobody_elses", "ProviderFactory::identify_webhook", subject, nobody_elses),
    ];
    // A secret that is only repeated vouches for the sender, and for nothing that is sent.
    if subject.descriptor.webhook_authenticity() == WebhookAuthenticity::Signature {
        trials.extend([
            Trial::wait("webhooks::verify::a_changed_body", "WebhookError::BadSignature", subject, changed_body),
            Trial::wait("webhooks::verify::an_old_signature", "WebhookError::Expired", subject, old),
            Trial::wait("webhooks::verify::signatures_of_others", "WebhookError::BadSignature", subject, swapped),
        ]);
    }
    trials
}

/// The webhooks of a call that was answered, streamed, and ended by us; and the account that they were for.
async fn recorded(subject: &Subject) -> Result<(Vec<Received>, Value), String> {
    recorded_with_call(subject).await.map(|(webhooks, account, _)| (webhooks, account))
}

/// The same, and the call as the carrier knows it.
async fn recorded_with_call(subject: &Subject) -> Result<(Vec<Received>, Value, SimulatedCall), String> {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let account = sandbox.account();
    let customer = Customer::start(provider.clone()).await?;
    let placed = provider.initiate_call(&call(&sandbox, 0, customer.urls())?).await.or_fail("placing a call")?;
    customer.wait_for("the stream starts", |seen| seen.heard.start.is_some()).await?;
    let mut reference = placed.call;
    for event in customer.wait_for("a webhook comes", |seen| seen.events().next().is_some()).await?.events() {
        reference.absorb(&event.call);
    }
    subject.end(&*provider, &reference).await?;
    let seen = customer.wait_for("the end is reported", |seen| seen.end().is_some()).await?;
    let taken = sandbox.calls().pop().or_fail("a call at the carrier")?;
    Ok((seen.webhooks, account, taken))
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

/// A signature that says when it was made is good for a while only: who has recorded a webhook must not use it tomorrow.
async fn old(subject: Arc<Subject>) -> Outcome {
    let (webhooks, account) = recorded(&subject).await?;
    let provider = subject.online(&account)?;
    const DAY: Duration = Duration::from_secs(86_400);
    for request in webhooks.iter().map(|webhook| &webhook.request).filter(|request| says_when(request)) {
        for (now, what) in [(request.received_at() + DAY, "of yesterday"), (request.received_at() - DAY, "of tomorrow")]
        {
            let (method, headers) = (request.method().clone(), request.headers().clone());
            let late = WebhookRequest::at_url(method, request.url(), headers, request.body().clone(), now);
            let outcome = provider.verify_webhook_signature(late);
            let status = outcome.as_ref().err().map(telephony_core::WebhookError::status);
            let refused = status.is_some_and(|status| status == 403);
            expect(
                refused,
                format_args!("a signature with its time in it, and {what}, is refused with 403"),
                &outcome,
            )?;
        }
    }
    Ok(())
}

/// Whether the time at which it was sent is among the headers, as seconds: in plain, or in a token.
fn says_when(request: &WebhookRequest) -> bool {
    let now = request.received_at().unix_timestamp();
    let is_now = |text: &str| {
        let numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse::<i64>().ok());
        numbers.into_iter().any(|seconds| seconds.abs_diff(now) < 300)
    };
    request.headers().values().filter_map(|value| value.to_str().ok()).any(|value| {
        let token = value.rsplit(' ').next().unwrap_or_default();
        let claims: Option<Value> = signing::unverified_jwt_claims(token);
        is_now(value) || claims.is_some_and(|claims| is_now(&claims.to_string()))
    })
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
    let (webhooks, _, taken) = recorded_with_call(&subject).await?;
    let events: Vec<_> = webhooks.iter().filter_map(|webhook| webhook.events.as_ref().ok()).flatten().collect();
    let ids: BTreeSet<_> = events.iter().filter_map(|event| event.call.id()).collect();
    expect(ids.len() == 1, "every event names the one call, or none", &ids)?;
    let mut statuses = Vec::new();
    for event in &events {
        if let CallEventKind::Status(change) = &event.kind {
            expect(change.status.is_some(), "every status of the simulator is known", change)?;
            expect(!change.raw_status.is_empty(), "the carrier's word is kept", change)?;
            statuses.extend(change.status);
            told_truly(&taken, change.direction, change.duration, &[])?;
        }
        told_truly(&taken, None, None, &[event.occurred_at])?;
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

/// Whatever happens more than once, in one call and in two, is told apart.
async fn two_calls(subject: Arc<Subject>) -> Outcome {
    let (sandbox, provider) = subject.sandbox(quick()).await?;
    let customer = Customer::start(provider.clone()).await?;
    if subject.has(Capability::Say) {
        for next in ["next/1", "next/2"] {
            customer.tell(CallInstruction::Say(Say::text("One moment.").then(Then::Ask(customer.url(next)))));
        }
    }
    for ends in 1..=2 {
        provider.initiate_call(&call(&sandbox, 0, customer.urls())?).await.or_fail("placing a call")?;
        if ends == 1 && !subject.has(Capability::Say) {
            customer.wait_for("the stream starts", |seen| seen.heard.start.is_some()).await?;
            let seen = customer.wait_for("a webhook comes", |seen| seen.events().next().is_some()).await?;
            let reference = seen.events().next().map(|event| event.call.clone()).or_fail("an event")?;
            subject.end(&*provider, &reference).await?;
        }
        customer.wait_for(&format!("the end of {ends} calls is reported"), |seen| seen.ends() >= ends).await?;
    }
    let seen = customer.wait_for("anything", |_| true).await?;
    let mut keys = BTreeMap::new();
    for event in seen.events() {
        let other = keys.insert(event.dedupe_key.as_str(), event);
        let expected = "two happenings have two dedupe keys, of one kind and in two calls too";
        expect(other.is_none(), expected, (other.map(|event| &event.kind), &event.kind, &event.dedupe_key))?;
    }
    Ok(())
}

/// A carrier adds fields whenever it likes. What it says besides is the same.
async fn fields(subject: Arc<Subject>) -> Outcome {
    let (webhooks, account) = recorded(&subject).await?;
    let provider = subject.online(&account)?;
    for webhook in &webhooks {
        let before = webhook.events.as_ref().or_fail("reading a webhook")?;
        let tomorrow = vouched_for(webhook_with_unknown_fields(&webhook.request))?;
        let after =
            provider.parse_webhook(&tomorrow).or_fail("reading a webhook with fields that nobody has heard of")?;
        let said = |events: &[CallEvent]| -> Vec<_> {
            events.iter().map(|event| (event.call.clone(), event.occurred_at, event.kind.clone())).collect()
        };
        let (before, after) = (said(before), said(&after));
        expect(before == after, format_args!("the same as without the fields: {before:?}"), &after)?;
    }
    Ok(())
}

/// A word that is new to us says something that we do not know: it must neither break anything, nor move the call, nor be lost.
async fn words(subject: Arc<Subject>) -> Outcome {
    let (webhooks, account) = recorded(&subject).await?;
    let provider = subject.online(&account)?;
    let mut replaced = 0;
    for webhook in &webhooks {
        for event in webhook.events.as_deref().unwrap_or_default() {
            let CallEventKind::Status(change) = &event.kind else { continue };
            let Some(request) = webhook_with_unknown_word(&webhook.request, &change.raw_status) else { continue };
            replaced += 1;
            let word = format!("the word {UNHEARD_OF:?} instead of {:?}", change.raw_status);
            let events =
                provider.parse_webhook(&vouched_for(request)?).or_fail(&format!("reading a webhook with {word}"))?;
            let kept = events.iter().any(|event| match &event.kind {
                CallEventKind::Status(change) => change.raw_status == UNHEARD_OF,
                CallEventKind::Other { name } => name.contains(UNHEARD_OF),
                _ => false,
            });
            expect(kept, format_args!("{word} is kept: as a raw status, or in Other"), &events)?;
            let moved = events.iter().find_map(|event| match &event.kind {
                CallEventKind::Status(change) => change.status,
                _ => None,
            });
            // Of an end, the word may be the reason only.
            let over = change.status.is_some_and(CallStatus::is_terminal);
            let so = moved.is_none_or(|status| over && status.is_terminal());
            expect(so, format_args!("{word} moves no call"), &events)?;
        }
    }
    expect(replaced > 0, "the carrier's words stand in its webhooks", replaced)
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
