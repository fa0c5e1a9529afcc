//! The carrier itself, with an account of yours: off unless one environment variable holds it.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use telephony_core::{
    CallCost, CallUrls, Capability, HangUp, OutboundCall, PhoneNumber, ProviderContext, ProviderDescriptor,
    TelephonyError, TelephonyProvider, config,
};

use crate::{
    subject::{Subject, url},
    trial::{OrFail, Outcome, Trial, expect, failure},
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
    let given = std::env::var_os(variable(provider)).filter(|_| std::env::var_os("CI").is_none())?;
    Some(given.to_string_lossy().into_owned())
}

/// What the variable holds.
struct Given {
    account: Value,
    /// Whom to call, from where.
    dial: Option<(PhoneNumber, PhoneNumber)>,
    /// What no output may show.
    secrets: Vec<String>,
}

/// Reads the variable. What is wrong with it is said without what is in it.
fn read(given: &str, subject: &Subject) -> Result<Given, String> {
    let variable = variable(subject.descriptor);
    let wrong = |seen: String| failure(format_args!("{variable} holds an account as a JSON object"), seen);
    let mut account = match serde_json::from_str(given) {
        Ok(Value::Object(account)) => account,
        Ok(_) => return Err(wrong("JSON, and no object".to_owned())),
        Err(error) => {
            return Err(wrong(format!("no JSON, at line {} column {}", error.line(), error.column())));
        }
    };
    account.remove(config::PROVIDER_FIELD);
    let dial = account.remove(DIAL).map(|dial| read_dial(&dial)).transpose();
    let dial = dial
        .map_err(|seen| failure(format_args!("{DIAL} in {variable} is {{\"from\": \"+…\", \"to\": \"+…\"}}"), seen))?;
    let account = Value::Object(account);
    subject.descriptor.check_config(&account).map_err(|error| {
        let problems: Vec<String> = error.problems().iter().map(ToString::to_string).collect();
        failure(format_args!("{variable} holds the configuration of an account"), problems.join("; "))
    })?;
    let texts = config::secret_fields(&subject.descriptor.config_schema());
    let texts = texts.iter().filter_map(|name| account.get(name).and_then(Value::as_str));
    // A key of several lines may be shown in part.
    let secrets = texts.flat_map(str::lines).filter(|line| line.len() >= 6).map(str::to_owned).collect();
    Ok(Given { account, dial, secrets })
}

fn read_dial(dial: &Value) -> Result<(PhoneNumber, PhoneNumber), String> {
    let members = dial.as_object().ok_or("no object")?;
    if let Some(unknown) = members.keys().find(|name| !matches!(name.as_str(), "from" | "to")) {
        return Err(format!("the member {unknown:?}"));
    }
    let number = |name: &str| {
        let text = members.get(name).and_then(Value::as_str).ok_or(format!("no text {name:?}"))?;
        text.parse::<PhoneNumber>().map_err(|error| format!("{name:?}, of which {error}"))
    };
    Ok((number("from")?, number("to")?))
}

/// The trials against the carrier with this account, as JSON.
pub(crate) fn trials(given: &str, subject: &Arc<Subject>) -> Vec<Trial> {
    let Given { account, dial, secrets } = match read(given, subject) {
        Ok(given) => given,
        Err(complaint) => return vec![Trial::new("live::account", "ProviderConfig", subject, move |_| Err(complaint))],
    };
    let mut trials = Vec::new();
    let mut add = |name: &str, specified, run: Box<dyn FnOnce(Arc<Subject>, Value) -> Boxed + Send>| {
        let (account, secrets) = (account.clone(), secrets.clone());
        // What goes wrong at a carrier may quote anything.
        let run = async move |subject| run(subject, account).await.map_err(|failure| without(failure, &secrets));
        trials.push(Trial::wait(format!("live::{name}"), specified, subject, run));
    };
    add("check_account::works", "TelephonyProvider::check_account", Box::new(|s, a| Box::pin(works(s, a))));
    let specified = "TelephonyError::Authentication";
    add("check_account::wrong_credentials", specified, Box::new(|s, a| Box::pin(wrong_credentials(s, a))));
    let specified = "get_available_phone_numbers";
    add("get_available_phone_numbers::each_once", specified, Box::new(|s, a| Box::pin(numbers(s, a))));
    add("get_call_status::unknown_call", "TelephonyError::NotFound", Box::new(|s, a| Box::pin(unknown_call(s, a))));
    if let Some((from, to)) = dial {
        let specified = "initiate_call, get_call_status, hang_up, get_call_cost";
        let run = Box::new(|s, a| Box::pin(placed_and_ended(s, a, from, to)) as Boxed);
        add("initiate_call::rings_and_ends", specified, run);
    }
    trials
}

/// A text without these.
fn without(text: String, secrets: &[String]) -> String {
    secrets.iter().fold(text, |text, secret| text.replace(secret.as_str(), "[secret]"))
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
async fn placed_and_ended(subject: Arc<Subject>, account: Value, from: PhoneNumber, to: PhoneNumber) -> Outcome {
    let urls = CallUrls {
        answer: url("https://example.com/answer"),
        events: url("https://example.com/events"),
        media: url("wss://example.com/media"),
    };
    let provider = provider(&subject, &account)?;
    let order = OutboundCall::new(to, from, urls);
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
