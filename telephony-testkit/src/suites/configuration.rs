//! The account's configuration: the schema, mistakes, secrets.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use telephony_core::{ConfigError, config, registered};

use crate::{
    subject::Subject,
    trial::{OrFail, Outcome, Trial, expect},
};

/// Words in a field's name that mean that it is a credential.
const SECRET_WORDS: &[&str] = &["secret", "password", "passphrase", "private", "token"];

pub(crate) fn trials(subject: &Arc<Subject>) -> Vec<Trial> {
    let trial = |name: &str, specified: &'static str, run: fn(&Subject) -> Outcome| {
        Trial::new(format!("configuration::{name}"), specified, subject, run)
    };
    vec![
        trial("descriptor::names_its_crate", "ProviderName: the crate is telephony-<name>", names_its_crate),
        trial("descriptor::is_registered", "register_provider!", is_registered),
        trial("schema::describes_every_field", "ProviderConfig: doc comments are descriptions", describes_every_field),
        trial("schema::marks_secrets", "Secret: a field that holds one is writeOnly", marks_secrets),
        trial("schema::has_the_account_id", "ProviderFactory::ACCOUNT_ID_FIELD", has_the_account_id),
        trial("schema::refuses_unknown_fields", "ProviderConfig: #[serde(deny_unknown_fields)]", schema_is_closed),
        trial("check::accepts_the_fixture", "ProviderDescriptor::check_config", accepts_the_fixture),
        trial("check::names_every_missing_field_at_once", "config::parse", names_missing_fields),
        trial("check::refuses_unknown_fields", "config::parse: unknown fields are refused", refuses_unknown_fields),
        trial("check::names_fields_of_wrong_type", "config::parse", names_wrong_types),
        trial("check::refuses_what_is_no_object", "config::parse", refuses_what_is_no_object),
        trial("secrets::are_never_shown", "Secret; ConfigError quotes no value", secrets_are_never_shown),
    ]
}

fn names_its_crate(subject: &Subject) -> Outcome {
    let wanted = format!("telephony-{}", subject.descriptor.name());
    let package = subject.descriptor.package();
    expect(package.name == wanted, format_args!("the crate is called {wanted}"), package)?;
    expect(
        subject.simulator.provider().name() == subject.descriptor.name(),
        "the simulator is its own",
        subject.simulator,
    )
}

fn is_registered(subject: &Subject) -> Outcome {
    let count = registered().filter(|descriptor| descriptor.name() == subject.descriptor.name()).count();
    expect(count == 1, "the descriptor is registered once", count)
}

fn fields(subject: &Subject) -> Vec<(String, Value)> {
    config::fields_in_order(&subject.descriptor.config_schema())
}

fn describes_every_field(subject: &Subject) -> Outcome {
    expect(!fields(subject).is_empty(), "the schema has properties", "none")?;
    for (name, property) in fields(subject) {
        let has = |member: &str| property.get(member).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        expect(has("description"), format_args!("{name} has a description"), &property)?;
        expect(has("title"), format_args!("{name} has a title"), &property)?;
        expect(
            property.get("x-order").is_some(),
            format_args!("{name} has its place in the form (x-order)"),
            &property,
        )?;
    }
    Ok(())
}

fn marks_secrets(subject: &Subject) -> Outcome {
    let schema = subject.descriptor.config_schema();
    let marked = config::secret_fields(&schema);
    for (name, _) in fields(subject) {
        let means_secret = SECRET_WORDS.iter().any(|word| name.contains(word)) && !name.ends_with("_id");
        expect(!means_secret || marked.contains(&name), format_args!("{name} is marked as secret"), &marked)?;
    }
    expect(!marked.is_empty(), "a carrier's account has a secret", "none is marked")
}

fn has_the_account_id(subject: &Subject) -> Outcome {
    let id = subject.descriptor.account_id_field();
    let known = fields(subject).iter().any(|(name, _)| name == id);
    expect(known, format_args!("{id} is a field of the configuration"), fields(subject).len())
}

/// Core refuses what the schema does not have. Whoever checks with the schema alone, as a form does, must come to the same.
fn schema_is_closed(subject: &Subject) -> Outcome {
    let schema = subject.descriptor.config_schema();
    let more = schema.as_value().get("additionalProperties");
    let expected = "a schema that refuses unknown fields: additionalProperties is false";
    expect(more == Some(&Value::Bool(false)), expected, more)
}

fn accepts_the_fixture(subject: &Subject) -> Outcome {
    subject.descriptor.check_config(&subject.fixture).or_fail("checking the fixture")?;
    let (provider, _) = subject.offline()?;
    provider.validate_config().or_fail("validate_config of a provider that was built")?;
    let same = std::ptr::eq(provider.descriptor(), subject.descriptor);
    expect(same, "the provider answers with its own descriptor", provider.descriptor().name())
}

fn check(subject: &Subject, config: Value) -> Result<Vec<String>, String> {
    match subject.descriptor.check_config(&config) {
        Ok(()) => Ok(Vec::new()),
        Err(error) => {
            subject.shows_no_secret(&error)?;
            subject.shows_no_secret(&error.to_string())?;
            Ok(named(&error))
        }
    }
}

fn named(error: &ConfigError) -> Vec<String> {
    error.problems().iter().map(|problem| problem.field.clone()).collect()
}

fn fixture_fields(subject: &Subject) -> Result<Map<String, Value>, String> {
    subject.fixture.as_object().cloned().or_fail("the fixture is an object")
}

fn required(subject: &Subject) -> Vec<String> {
    let schema = subject.descriptor.config_schema();
    let required = schema.as_value().get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    required.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn names_missing_fields(subject: &Subject) -> Outcome {
    let all = required(subject);
    expect(!all.is_empty(), "an account has required fields", "none")?;
    for field in &all {
        let mut config = fixture_fields(subject)?;
        config.remove(field);
        let problems = check(subject, config.into())?;
        expect(problems.contains(field), format_args!("{field} is named when it is missing"), &problems)?;
    }
    let problems = check(subject, json!({}))?;
    for field in &all {
        expect(problems.contains(field), format_args!("{field} is named among all that is missing"), &problems)?;
    }
    Ok(())
}

fn refuses_unknown_fields(subject: &Subject) -> Outcome {
    let mut config = fixture_fields(subject)?;
    config.insert("no_such_field".to_owned(), "x".into());
    let missing = required(subject).into_iter().next();
    config.retain(|name, _| Some(name) != missing.as_ref());
    let problems = check(subject, config.into())?;
    expect(problems.iter().any(|field| field == "no_such_field"), "the unknown field is named", &problems)?;
    expect(missing.is_none_or(|field| problems.contains(&field)), "the missing one beside it too", &problems)
}

fn names_wrong_types(subject: &Subject) -> Outcome {
    for (field, _) in fields(subject) {
        let mut config = fixture_fields(subject)?;
        config.insert(field.clone(), json!({"a": [1]}));
        let problems = check(subject, config.into())?;
        expect(problems.contains(&field), format_args!("{field} is named when it is an object"), &problems)?;
    }
    Ok(())
}

fn refuses_what_is_no_object(subject: &Subject) -> Outcome {
    for value in [json!(null), json!([]), json!("text"), json!(1)] {
        expect(subject.descriptor.check_config(&value).is_err(), "it is refused", &value)?;
    }
    Ok(())
}

fn secrets_are_never_shown(subject: &Subject) -> Outcome {
    expect(!subject.secrets().is_empty(), "the fixture has secrets to look for", "none")?;
    let (provider, _) = subject.offline()?;
    subject.shows_no_secret(&provider)?;
    subject.shows_no_secret(&provider.descriptor())?;
    // Each secret in the place of each other field: whatever is wrong with it, it must not be quoted.
    for secret in subject.secrets() {
        for (field, _) in fields(subject) {
            let mut config = fixture_fields(subject)?;
            config.insert(field, secret.clone().into());
            check(subject, config.into())?;
        }
    }
    Ok(())
}
