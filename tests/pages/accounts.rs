//! Accounts: forms that are made of a provider's schema and of nothing else, and what is done with an account once it is stored.

use std::{fs, path::Path};

use reqwest::Method;
use serde_json::{Value, json};
use telephony_core::{ProviderDescriptor, config};
use telephony_sandbox::{Sandbox as Carrier, SandboxOptions, registered};

use crate::gateway::{Pages, Sandbox};

/// What the form shows of each of its fields.
const SHOWN_FIELDS: &str = "return [...document.querySelectorAll('#account-form [data-field]')].map((field) => {
    const input = field.querySelector('[name]');
    const label = (field.querySelector(`label[for='${input.id}']`) ?? input.closest('label')).cloneNode(true);
    const mark = label.querySelector('.required');
    mark?.remove();
    return {
        name: input.name, label: label.textContent.trim(), is_marked: mark !== null, is_required: input.required,
        about: field.querySelector('.about').textContent.trim(), kind: `${input.tagName} ${input.type}`.toLowerCase(),
        options: [...input.options ?? []].map((option) => option.value), value: input.value,
    };
})";

/// The properties of a provider's schema, in the order of the form.
fn properties(descriptor: &ProviderDescriptor) -> Vec<(String, Value)> {
    config::fields_in_order(&descriptor.config_schema())
}

fn requires(descriptor: &ProviderDescriptor, name: &str) -> bool {
    let schema = descriptor.config_schema();
    schema.get("required").and_then(Value::as_array).is_some_and(|names| names.iter().any(|known| known == name))
}

fn is_secret(property: &Value) -> bool {
    property["writeOnly"] == true
}

/// What a field must be, by what the schema says of it.
fn expected(descriptor: &ProviderDescriptor, name: &str, property: &Value) -> Value {
    let options: Vec<String> = config::choices(property).unwrap_or_default().iter().map(ToString::to_string).collect();
    let kind = match config::types_of(property).first() {
        _ if is_secret(property) && property["x-multiline"] == true => "textarea textarea",
        _ if is_secret(property) => "input password",
        _ if !options.is_empty() => "select select-one",
        Some(&"boolean") => "input checkbox",
        Some(&"integer") => "input number",
        Some(&"array") => "textarea textarea",
        _ if property["format"] == "uri" => "input url",
        _ => "input text",
    };
    let is_required = requires(descriptor, name);
    // A secret that must be given has no other; what is chosen or ticked has always a value.
    let marks = is_required && kind != "input checkbox" && kind != "select select-one";
    let default = property.get("default").filter(|default| !default.is_null() && !default.is_array());
    let value = match default {
        _ if kind == "input checkbox" => "on".to_owned(),
        // A choice is written as JSON, as its options are.
        Some(chosen) if !options.is_empty() => chosen.to_string(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    json!({
        "name": format!("config.{name}"), "label": property["title"], "is_marked": is_required, "is_required": marks,
        "about": property["description"], "kind": kind, "options": options, "value": value,
    })
}

/// The selector of a field, and of what is complained of beside it.
fn at(name: &str) -> (String, String) {
    (format!("[name='config.{name}']"), format!("[data-testid='problem-{name}']"))
}

/// Types an account in as somebody does who has it: field after field, a key by its file.
async fn type_in(page: &Pages, descriptor: &ProviderDescriptor, account: &Value, folder: &Path) {
    for (name, property) in properties(descriptor) {
        let (Some(value), (css, _)) = (account.get(&name), at(&name)) else { continue };
        if is_secret(&property) && property["x-multiline"] == true {
            let file = folder.join("private.key");
            fs::write(&file, value.as_str().unwrap()).unwrap();
            page.give_file(&format!("[data-fill='config-{name}']"), &file).await;
            let script = "return document.querySelector(arguments[0]).value === arguments[1]";
            page.until("the file's text", script, vec![json!(css), value.clone()]).await;
        } else if config::choices(&property).is_some() {
            page.choose(&css, &value.to_string()).await;
        } else {
            match value {
                Value::Bool(is_on) => {
                    let script = "return document.querySelector(arguments[0]).checked";
                    if page.evaluate(script, vec![json!(css)]).await != json!(is_on) {
                        page.press(&css).await;
                    }
                }
                Value::String(text) => page.type_into(&css, text).await,
                Value::Array(items) => {
                    let lines: Vec<&str> = items.iter().map(|item| item.as_str().unwrap()).collect();
                    page.type_into(&css, &lines.join("\n")).await;
                }
                other => page.type_into(&css, &other.to_string()).await,
            }
        }
    }
}

/// Neither the page nor what the gateway answers for it holds one of these.
async fn holds_none_of(page: &Pages, secrets: &[&str]) {
    let script = "const done = arguments[0];
        fetch(location.href).then((it) => it.text()).then((text) => done([text, document.documentElement.outerHTML]))";
    let texts = page.evaluate_async(script, vec![]).await;
    let texts = texts.as_array().unwrap();
    assert_eq!(texts.len(), 2);
    for text in texts.iter().map(|text| text.as_str().unwrap()) {
        assert!(text.contains("<form"), "{text}");
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_provider_has_the_form_of_its_schema() {
    let page = Pages::start(Sandbox::No).await;
    let simulators = registered();
    assert!(simulators.len() >= 2, "the providers of this repository are linked");
    let richest = simulators.iter().max_by_key(|simulator| properties(simulator.provider()).len()).unwrap();

    let folder = tempfile::tempdir().unwrap();
    for simulator in &simulators {
        let descriptor = simulator.provider();
        let (name, properties) = (descriptor.name(), properties(descriptor));
        page.open("/configurations/new").await;
        page.press(&format!("[data-testid=carrier-{name}]")).await;
        page.wait_text("h1", descriptor.display_name()).await;
        let shown = page.evaluate(SHOWN_FIELDS, vec![]).await;
        let shown: Vec<&Value> =
            shown.as_array().unwrap().iter().filter(|field| field["name"].as_str().unwrap().contains('.')).collect();
        let wanted: Vec<Value> =
            properties.iter().map(|(name, property)| expected(descriptor, name, property)).collect();
        assert_eq!(shown, wanted.iter().collect::<Vec<_>>(), "{name}");

        // What is missing or mistyped is said beside each field, and nobody is asked for that.
        page.press("[data-testid=save]").await;
        for (field, property) in &properties {
            let (css, problem) = at(field);
            if wanted.iter().any(|wanted| wanted["name"] == format!("config.{field}") && wanted["is_required"] == true)
            {
                page.wait_text(&problem, "is required").await;
            } else {
                page.wait_gone(&problem).await;
            }
            if let Some(words) = property["x-problem"].as_str().filter(|_| property["pattern"].is_string()) {
                page.type_into(&css, "?").await;
                page.type_keys(thirtyfour::Key::Tab).await;
                page.wait_text(&problem, words).await;
            }
        }
        let asked = page.evaluate(
            "return performance.getEntriesByType('resource').some((it) => it.initiatorType === 'fetch')",
            vec![],
        );
        assert_eq!(asked.await, false, "{name}");
        let is_richest = richest.provider().name() == name;
        if is_richest {
            page.look("account-form-problems").await;
        }

        // What only the gateway knows, it says at the field as well: that is no key.
        let carrier = Carrier::start(simulator, SandboxOptions::default()).await.unwrap();
        page.open(&format!("/configurations/new?provider={name}")).await;
        type_in(&page, descriptor, &carrier.account(), folder.path()).await;
        for (field, _) in properties.iter().filter(|(_, property)| property["x-multiline"] == true) {
            let (css, problem) = at(field);
            page.type_into(&css, "not a key\nnor two lines of one").await;
            page.press("[data-testid=save]").await;
            page.wait_for(&problem).await;
            page.excuse("status of 422").await;
            type_in(&page, descriptor, &carrier.account(), folder.path()).await;
        }
        let secrets: Vec<&String> =
            properties.iter().filter(|(_, property)| is_secret(property)).map(|(name, _)| name).collect();
        let secrets: Vec<(&String, String)> = secrets
            .into_iter()
            .filter_map(|name| Some((name, carrier.account().get(name)?.as_str()?.to_owned())))
            .collect();
        assert!(!secrets.is_empty());
        for (field, secret) in &secrets {
            let script = "const it = document.querySelector(arguments[0]);
                return [it.value, it.type === 'text' || (it.type === 'textarea' && !it.matches('.veiled'))]";
            let reveal = format!("[data-reveal='config-{field}']");
            for is_seen in [false, true, false] {
                let seen = page.evaluate(script, vec![json!(at(field).0)]).await;
                assert_eq!(seen, json!([secret, is_seen]), "{name}: {field}");
                page.press(&reveal).await;
            }
            page.press(&reveal).await;
        }
        page.press("[data-testid=save]").await;
        page.wait_text("h1", descriptor.display_name()).await;
        page.wait_text("[data-testid=test-result]", "not tested").await;
        let stored = page.tenant.get("/telephony/configurations").await;
        let stored = stored.as_array().unwrap().iter().find(|account| account["provider"] == name.as_str()).unwrap();
        assert_eq!(page.path().await, format!("/configurations/{}", stored["id"].as_str().unwrap()));
        let words: Vec<&str> = secrets.iter().map(|(_, secret)| secret.lines().nth(1).unwrap_or(secret)).collect();
        holds_none_of(&page, &words).await;
        for (field, _) in &secrets {
            let script = "const it = document.querySelector(arguments[0]); return [it.value, it.placeholder]";
            let seen = page.evaluate(script, vec![json!(at(field).0)]).await;
            assert!(seen[0] == "" && seen[1].as_str().unwrap().contains("stored"), "{name}: {seen}");
        }

        // Saved untouched, it is what it was.
        page.press_and_load("[data-testid=save]").await;
        page.wait_text("[data-testid=notice]", "Saved.").await;
        page.press("[data-testid=test-connection]").await;
        page.wait_text("[data-testid=test-result]", "working").await;
        page.wait_text("[data-testid=test-result]", "The carrier knows it as").await;
        page.press_and_load("[data-testid=import-numbers]").await;
        let numbers = carrier.numbers().len();
        page.wait_text("[data-testid=notice]", &format!("{numbers} at the carrier, {numbers} new here.")).await;
        assert_eq!(page.count("[data-testid=number]").await, numbers, "{name}");
        holds_none_of(&page, &words).await;
        if is_richest {
            page.look("account-form-stored").await;
        }
        carrier.stop().await;
    }
    page.open("/configurations").await;
    assert_eq!(page.count("[data-testid=account]").await, simulators.len());
    assert_eq!(page.count("[data-testid=health] .good").await, simulators.len());
    page.look("accounts").await;
    page.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_mended_put_to_use_and_deleted() {
    let page = Pages::start(Sandbox::No).await;
    let workflow = json!({"name": "Reception", "agent": {"type": "echo"}, "record": false});
    let open_steps = "return [...document.querySelectorAll('.steps li.open')].map((it) =>
        [it.querySelector('strong').textContent, it.querySelector('a')?.getAttribute('href') ?? null])";
    page.open("/configurations").await;
    let missing = page.evaluate(open_steps, vec![]).await;
    for (title, href) in [
        ("An account with a carrier", json!("configurations/new")),
        ("A number to call from", json!("configurations/new")),
        ("A workflow that says who talks", json!("workflows/new")),
        ("A number that a workflow answers", json!("configurations/new")),
        ("An address that carriers reach", Value::Null),
    ] {
        assert!(missing.as_array().unwrap().contains(&json!([title, href])), "{title}: {missing}");
    }
    page.wait_text("h2", "No account yet").await;
    page.look("accounts-empty").await;
    page.press("[data-testid=add-account]").await;
    page.wait_text(".lead", "With which carrier?").await;
    assert_eq!(page.count("[data-testid^='carrier-']").await, registered().len());
    page.look("account-choose").await;
    let workflow = page.tenant.post("/workflows", workflow).await;

    // With secrets that are none, it is stored, and the carrier says what it thinks of them.
    let carrier = Carrier::start(registered()[0], SandboxOptions::default()).await.unwrap();
    let (descriptor, folder) = (carrier.simulator().provider(), tempfile::tempdir().unwrap());
    let (account, mut wrong) = (carrier.account(), carrier.account());
    let secrets: Vec<String> = properties(descriptor)
        .into_iter()
        .filter(|(name, property)| is_secret(property) && account.get(name).is_some())
        .map(|(name, _)| name)
        .collect();
    for secret in &secrets {
        wrong[secret] = json!("mistyped-0000");
    }
    page.open(&format!("/configurations/new?provider={}", descriptor.name())).await;
    type_in(&page, descriptor, &wrong, folder.path()).await;
    page.type_into("#name", "Office").await;
    page.type_into("#default-from", "555").await;
    page.press("[data-testid=save]").await;
    page.wait_for("[data-testid=problem-default_from]").await;
    page.excuse("status of 422").await;
    page.type_into("#default-from", "").await;
    page.press("[data-testid=save]").await;
    page.wait_text("h1", "Office").await;
    page.press("[data-testid=test-connection]").await;
    page.wait_text("[data-testid=test-result]", "The carrier does not accept the credentials").await;
    page.excuse("status of 502").await;
    let accounts = page.tenant.get("/telephony/configurations").await;
    let problem = accounts[0]["health"]["problem"].as_str().unwrap().to_owned();
    page.open("/configurations").await;
    page.press_and_load("[data-testid=test-connection]").await;
    page.wait_text("[data-testid=notice]", &problem).await;
    page.excuse("status of 502").await;
    page.wait_text("[data-testid=health]", "failing").await;
    page.wait_text("[data-testid=health]", &problem).await;
    page.wait_text(".steps .open", "did not work when it was asked last").await;
    page.look("accounts-failing").await;

    // The right ones mend it.
    page.press("[data-testid=account] a").await;
    for secret in &secrets {
        page.type_into(&at(secret).0, account[secret].as_str().unwrap()).await;
    }
    page.press_and_load("[data-testid=save]").await;
    page.wait_text("[data-testid=test-result]", "not tested").await;
    page.press("[data-testid=test-connection]").await;
    page.wait_text("[data-testid=test-result]", "working").await;

    // Its numbers: one to call from, one that a workflow answers.
    page.wait_text("#numbers-title ~ *, .empty", "No number is known yet").await;
    page.press_and_load("[data-testid=import-numbers]").await;
    let numbers = carrier.numbers();
    let (id, second) = (accounts[0]["id"].as_str().unwrap(), "[data-testid=number]:nth-of-type(2)");
    assert_eq!(page.text(&format!("{second} .number")).await, numbers[1].as_e164());
    page.press_and_load(&format!("{second} [data-testid=make-caller-id]")).await;
    assert_eq!(page.value("#default-from").await, numbers[1].as_e164());
    page.wait_text(&format!("{second} .tag"), "caller ID").await;
    page.wait_text("[data-testid=notice]", &format!("Calls come from {} now.", numbers[1].as_e164())).await;
    let stored = page.tenant.get(&format!("/telephony/configurations/{id}")).await;
    assert_eq!(stored["default_from"], numbers[1].as_e164());
    page.choose(&format!("{second} select"), workflow["id"].as_str().unwrap()).await;
    page.wait_text("[data-testid=notice]", "Saved.").await;
    let listed = page.tenant.get("/telephony/phone-numbers").await;
    let answered: Vec<&Value> =
        listed.as_array().unwrap().iter().filter(|number| !number["workflow_id"].is_null()).collect();
    assert_eq!(answered.len(), 1, "{listed}");
    assert_eq!((&answered[0]["number"], &answered[0]["workflow_id"]), (&json!(numbers[1].as_e164()), &workflow["id"]));
    page.look("account-numbers").await;
    page.open("/configurations").await;
    // All that is left is what the operator of the gateway decides.
    let left = page.evaluate(open_steps, vec![]).await;
    assert_eq!(left, json!([["An address that carriers reach", null], ["An address that carriers reach", null]]));

    // A second one: not under the same name, and the default once it is made that.
    page.open(&format!("/configurations/new?provider={}", descriptor.name())).await;
    type_in(&page, descriptor, &account, folder.path()).await;
    page.type_into("#name", "Office").await;
    page.press("[data-testid=save]").await;
    page.wait_for("[data-testid=problem-name]").await;
    page.excuse("status of 409").await;
    page.type_into("#name", "Warehouse").await;
    page.press("[data-testid=save]").await;
    page.wait_text("h1", "Warehouse").await;
    page.press_and_load("[data-testid=make-default]").await;
    page.wait_text("h1 .tag", "default").await;
    page.wait_text("[data-testid=notice]", "It is the default now.").await;
    let accounts = page.tenant.get("/telephony/configurations").await;
    let defaults: Vec<&Value> =
        accounts.as_array().unwrap().iter().filter(|account| account["is_default"] == true).collect();
    assert_eq!(defaults.len(), 1);
    assert_eq!(defaults[0]["name"], "Warehouse");

    page.press("[data-testid=delete]").await;
    let question = page.say_yes().await;
    assert!(question.contains("Delete Warehouse?"), "{question}");
    page.wait_path("/configurations").await;
    assert_eq!(page.count("[data-testid=account]").await, 1);
    let gone = defaults[0]["id"].as_str().unwrap();
    assert_eq!(page.tenant.ask(Method::GET, &format!("/telephony/configurations/{gone}"), None).await.0, 404);
    page.open(&format!("/configurations/{gone}")).await;
    page.wait_text("h1", "Not found").await;
    page.excuse("status of 404").await;
    carrier.stop().await;
    page.end().await;
}
