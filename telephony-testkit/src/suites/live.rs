//! The carrier itself, with an account of yours: off unless one environment variable holds it.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use telephony_core::{
    CallCost, CallUrls, Capability, HangUp, OutboundCall, PhoneNumber, ProviderContext, ProviderDescriptor,
    TelephonyError, TelephonyProvider, config,
};

use crate::{
    subject::{Subject, url},
    trial::{OrFail, Outcome, Trial, expect},
};

/// How long a call that was told to end may take to do so.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// The member of the variable's value that says whom to call from where: `{"from": "+…", "to": "+…"}`.
const DIAL: &str = "dial";

/// `TELEPHONY_LIVE_ACME`: the variable that holds an account.
pub(crate) fn variable(provider: &ProviderDescriptor) -> String {
    format!("TELEPHONY_LIVE_{}", provider.name().as_str().replace('-', "_").to_uppercase())
}

/// The account in the environment. Where `CI` is set it does not count: credentials are for a person at a terminal.
pub(crate) fn from_environment(provider: &ProviderDescriptor) -> Option<String> {
    std::env::var(variable(provider)).ok().filter(|_| std::env::var_os("CI").is_none())
}

/// The trials against the carrier with this account, as JSON.
pub(crate) fn trials(given: &str, subject: &Arc<Subject>) -> Vec<Trial> {
    let account = match serde_json::from_str::<Value>(given) {
        Ok(Value::Object(account)) => Value::Object(account),
        _ => {
            let variable = variable(subject.descriptor);
            let complaint =
                format!("expected: {variable} holds an account as a JSON object\n  seen:     something else");
            return vec![Trial::new("live::account", "ProviderConfig", subject, move |_| Err(complaint))];
        }
    };
    let mut account = account;
    let dial = account.as_object_mut().and_then(|fields| {
        fields.remove(config::PROVIDER_FIELD);
        fields.remove(DIAL)
    });
    let mut trials = Vec::new();
    let mut add = |name: &str, specified, run: fn(Arc<Subject>, Value) -> Boxed| {
        let account = account.clone();
        trials.push(Trial::wait(format!("live::{name}"), specified, subject, move |subject| run(subject, account)));
    };
    add("check_account::works", "TelephonyProvider::check_account", |s, a| Box::pin(works(s, a)));
    add("check_account::wrong_credentials", "TelephonyError::Authentication", |s, a| Box::pin(wrong_credentials(s, a)));
    add("get_available_phone_numbers::each_once", "get_available_phone_numbers", |s, a| Box::pin(numbers(s, a)));
    add("get_call_status::unknown_call", "TelephonyError::NotFound", |s, a| Box::pin(unknown_call(s, a)));
    if let Some(dial) = dial {
        let run = move |subject| placed_and_ended(subject, account, dial);
        let specified = "initiate_call, get_call_status, hang_up, get_call_cost";
        trials.push(Trial::wait("live::initiate_call::rings_and_ends", specified, subject, run));
    }
    trials
}

type Boxed = std::pin::Pin<Box<dyn Future<Output = Outcome>>>;

/// A provider with the patience that it has in use.
fn provider(subject: &Subject, account: &Value) -> Result<Arc<dyn TelephonyProvider>, String> {
    let context = ProviderContext::network().or_fail("setting up HTTP")?;
    subject.descriptor.build(account, context).or_fail("building the provider from the account")
}

async fn works(subject: Arc<Subject>, account: Value) -> Outcome {
    let info = provider(&subject, &account)?.check_account().await.or_fail("checking the account")?;
    expect(!info.id.is_empty(), "the account's id", info)
}

async fn wrong_credentials(subject: Arc<Subject>, account: Value) -> Outcome {
    let mut decisive = 0;
    for field in config::secret_fields(&subject.descriptor.config_schema()) {
        let mut other = account.clone();
        let Some(text) = other.get(&field).and_then(Value::as_str) else { continue };
        other[&field] = format!("{text}x").into();
        // Of another secret, webhooks are signed with it; and a key that is none is refused before it is used.
        let Ok(provider) = provider(&subject, &other) else { continue };
        match provider.check_account().await {
            Ok(_) => {}
            Err(TelephonyError::Authentication { .. }) => decisive += 1,
            Err(error) => expect(false, format_args!("Authentication, with another {field}"), error)?,
        }
    }
    expect(decisive > 0, "a secret of the configuration decides whether the carrier answers", decisive)
}

async fn numbers(subject: Arc<Subject>, account: Value) -> Outcome {
    let provider = provider(&subject, &account)?;
    let listed = provider.get_available_phone_numbers().await.or_fail("listing the numbers")?;
    let mut numbers: Vec<_> = listed.iter().map(|owned| owned.number.as_e164()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    expect(numbers.len() == listed.len(), "each number once", (listed.len(), numbers.len()))
}

async fn unknown_call(subject: Arc<Subject>, account: Value) -> Outcome {
    let outcome = provider(&subject, &account)?.get_call_status(&subject.unknown_call()?).await;
    expect(matches!(outcome, Err(TelephonyError::NotFound { .. })), "NotFound", &outcome)
}

/// Rings somebody, hangs up, and waits for the carrier to say that the call is over. Webhooks go nowhere.
async fn placed_and_ended(subject: Arc<Subject>, account: Value, dial: Value) -> Outcome {
    let number = |name: &str| -> Result<PhoneNumber, String> {
        let text = dial.get(name).and_then(Value::as_str);
        text.or_fail(&format!("{DIAL}.{name} holds a number"))?.parse().or_fail("reading a number of dial")
    };
    let urls = CallUrls {
        answer: url("https://example.com/answer"),
        events: url("https://example.com/events"),
        media: url("wss://example.com/media"),
    };
    let provider = provider(&subject, &account)?;
    let order = OutboundCall::new(number("to")?, number("from")?, urls);
    let placed = provider.initiate_call(&order).await.or_fail("placing a call")?;
    expect(!placed.status.is_terminal(), "a call that begins", &placed)?;
    if placed.call.id().is_none() || !subject.has(Capability::HangUp) {
        // Only its webhooks name it, or only the person called can end it.
        return Ok(());
    }
    let ended = provider.hang_up(&placed.call).await.or_fail("hanging up")?;
    expect(matches!(ended, HangUp::Ended | HangUp::AlreadyEnded), "the call ends", ended)?;
    let mut every = tokio::time::interval(Duration::from_secs(1));
    let over = async {
        loop {
            every.tick().await;
            match provider.get_call_status(&placed.call).await {
                Ok(snapshot) if !snapshot.state.is_over() => {}
                outcome => return outcome,
            }
        }
    };
    tokio::time::timeout(ENDS_WITHIN, over)
        .await
        .or_fail("the call is over in time")?
        .or_fail("asking for its state")?;
    if subject.has(Capability::CallCost) {
        let cost = provider.get_call_cost(&placed.call).await.or_fail("asking for its price")?;
        expect(matches!(cost, CallCost::Pending | CallCost::Rated { .. }), "a price, or that there is none yet", cost)?;
    }
    Ok(())
}
