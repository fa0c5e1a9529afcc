//! The HTTP API, as a program of somebody else's uses it: through HTTP only, on SQLite and on PostgreSQL.

#![allow(clippy::print_stdout, reason = "a test that fails says on which database")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::path::Path;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use telephony_core::{OrganizationId, ProviderContext, config::secret_fields};
use telephony_gateway::{
    api,
    service::{MASK, Service, ServiceOptions, Serving},
    store::{DatabaseUrl, KeyRing, Store},
};
use telephony_registry::Registry;
use telephony_sandbox::{Observation, Sandbox, SandboxOptions};
use tests::{postgres::Postgres, tenant::Tenant};

/// Runs a test with two tenants of one gateway, on each database.
fn with_two_tenants<F: Future<Output = ()>>(test: impl Fn(Tenant, Tenant) -> F) {
    with_two_tenants_of_a_service(|ours, theirs, _| test(ours, theirs));
}

/// The same, with the service behind the gateway; of its organizations, the first is ours.
fn with_two_tenants_of_a_service<F: Future<Output = ()>>(test: impl Fn(Tenant, Tenant, Service) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let postgres = Postgres::start();
    for url in [DatabaseUrl::Memory, postgres.url().parse().unwrap()] {
        println!("on {url}");
        runtime.block_on(async {
            let store = Store::open(&url, KeyRing::generate()).await.unwrap();
            let (registry, context) = (Registry::linked().unwrap(), ProviderContext::network().unwrap());
            let listen = ([127, 0, 0, 1], 0).into();
            let serving = Serving::start(store.clone(), registry, context, listen, None, ServiceOptions::default())
                .await
                .unwrap();
            let mut tenants = Vec::new();
            for name in ["ours", "theirs"] {
                let organization = store.create_organization(name, 5).await.unwrap().id;
                let token = store.create_api_token(organization, "test").await.unwrap().token.expose().to_owned();
                tenants.push(Tenant::new(format!("http://{}", serving.address()), token));
            }
            let (theirs, ours) = (tenants.pop().unwrap(), tenants.pop().unwrap());
            test(ours, theirs, serving.service().clone()).await;
            serving.stop().await;
        });
    }
}

/// A simulated carrier of the first kind that is linked, and its account as a body of a request.
async fn carrier(name: &str) -> (Sandbox, Value) {
    let simulator = telephony_sandbox::registered()[0];
    let sandbox = Sandbox::start(simulator, SandboxOptions::default().with_numbers(3)).await.unwrap();
    let mut config = sandbox.account();
    let provider = config.as_object_mut().unwrap().remove("provider").unwrap();
    (sandbox, json!({"name": name, "provider": provider, "config": config}))
}

#[test]
fn an_account_from_typing_it_in_to_deleting_it() {
    with_two_tenants(async |ours, _| {
        let (sandbox, body) = carrier("main").await;
        let secrets = telephony_core::config::secret_fields(&sandbox.simulator().provider().config_schema());
        let secret = &secrets[0];
        let created = ours.post("/telephony/configurations", body.clone()).await;
        let path = format!("/telephony/configurations/{}", created["id"].as_str().unwrap());
        assert_eq!((&created["config"][secret], &created["is_default"]), (&json!(MASK), &json!(true)));
        let (status, fields) = ours.refused(Method::POST, "/telephony/configurations", body.clone()).await.clone();
        assert_eq!((status, fields), (409, vec!["name".to_owned()]));

        assert_eq!(created["health"], json!({"state": "unknown", "checked_at": null, "problem": null}));
        let tested = ours.post(&format!("{path}/test"), json!({})).await;
        assert!(tested["account_id"].is_string(), "{tested}");
        let health = async || ours.get(&path).await["health"].clone();
        let working = health().await;
        assert!(working["state"] == "working" && working["checked_at"].is_string(), "{working}");
        // Sent back as it was read, with another name: the secret stays.
        let change = json!({"name": "renamed", "config": created["config"]});
        let (status, changed) = ours.ask(Method::PATCH, &path, Some(change)).await;
        assert_eq!((status.as_u16(), &changed["name"]), (200, &json!("renamed")));
        assert_eq!(changed["health"], working, "it is the same account by another name");
        ours.post(&format!("{path}/test"), json!({})).await;
        // A wrong one is said by the carrier.
        let mut wrong = created["config"].clone();
        for secret in &secrets {
            if let Some(value) = body["config"][secret].as_str().filter(|value| !value.contains('\n')) {
                wrong[secret] =
                    format!("{}{}", &value[..value.len() - 1], if value.ends_with('0') { "1" } else { "0" }).into();
            }
        }
        ours.ask(Method::PATCH, &path, Some(json!({"config": wrong}))).await;
        assert_eq!(health().await["state"], "unknown", "it is another account now");
        let workflow = ours.post("/workflows", json!({"name": "w", "agent": {"type": "echo"}})).await;
        let call = json!({"workflow_id": workflow["id"], "to": "+12025550102", "from": "+12025550100"});
        let (status, problem) = ours.ask(Method::POST, "/telephony/initiate-call", Some(call.clone())).await;
        assert_eq!((status.as_u16(), health().await["state"].as_str()), (502, Some("failing")), "{problem}");
        let (status, problem) = ours.ask(Method::POST, &format!("{path}/test"), None).await;
        assert_eq!(status, 502, "{problem}");
        assert!(problem["title"].as_str().unwrap().contains("credentials"), "{problem}");
        let failing = health().await;
        assert_eq!((&failing["state"], &failing["problem"]), (&json!("failing"), &problem["detail"]), "{failing}");
        for secret in &secrets {
            let value = wrong[secret].as_str();
            assert!(value.is_none_or(|value| !failing.to_string().contains(value)), "{failing}");
        }

        ours.ask(Method::PATCH, &path, Some(json!({"config": body["config"]}))).await;
        let imported = ours.post(&format!("{path}/import-numbers"), json!({})).await;
        assert_eq!(imported, json!({"found": 3, "added": 3}));
        assert_eq!(ours.post(&format!("{path}/import-numbers"), json!({})).await, json!({"found": 3, "added": 0}));

        let (_other, mut second) = carrier("second").await;
        second["default_from"] = "+13035550100".into();
        let second = ours.post("/telephony/configurations", second).await;
        assert_eq!(second["is_default"], false);
        ours.post(&format!("/telephony/configurations/{}/default", second["id"].as_str().unwrap()), json!({})).await;
        assert_eq!(ours.get(&path).await["is_default"], false);
        assert_eq!(ours.ask(Method::DELETE, &path, None).await.0, 204);
        assert_eq!(ours.ask(Method::GET, &path, None).await.0, 404);
        assert_eq!(ours.get("/telephony/phone-numbers").await, json!([]));
    });
}

#[test]
fn the_numbers_that_an_account_lists_are_called_from() {
    with_two_tenants(async |ours, _| {
        let (_sandbox, mut body) = carrier("main").await;
        body["config"]["phone_numbers"] = json!(["+12025550142", "+12025550141"]);
        let created = ours.post("/telephony/configurations", body.clone()).await;
        assert_eq!(created["default_from"], "+12025550142", "the first is the default");
        let numbers = async || {
            let listed = ours.get("/telephony/phone-numbers").await;
            let listed = listed.as_array().unwrap().iter();
            listed.map(|number| number["number"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(numbers().await, ["+12025550141", "+12025550142"]);
        body["config"]["phone_numbers"] = json!(["+12025550143"]);
        let path = format!("/telephony/configurations/{}", created["id"].as_str().unwrap());
        let (_, changed) = ours.ask(Method::PATCH, &path, Some(json!({"config": body["config"]}))).await;
        assert_eq!(changed["default_from"], "+12025550142", "what was chosen before stays");
        assert_eq!(numbers().await, ["+12025550141", "+12025550142", "+12025550143"]);
    });
}

#[test]
fn a_wrong_request_names_the_field_and_changes_nothing() {
    with_two_tenants(async |ours, _| {
        let (_sandbox, body) = carrier("main").await;
        let mut wrong = body.clone();
        wrong["config"]["nonsense"] = 1.into();
        for (body, status, field) in [
            (json!({"provider": "x", "config": {}}), 422, "name"),
            (json!({"name": " x", "provider": body["provider"], "config": body["config"]}), 422, "name"),
            (json!({"name": "x", "provider": "nonesuch", "config": {}}), 422, "provider"),
            (json!({"name": "x", "provider": 7, "config": {}}), 422, "provider"),
            (json!({"name": "x", "provider": "y", "config": {}, "extra": 1}), 422, "extra"),
            (
                json!({"name": "x", "provider": body["provider"], "config": body["config"], "default_from": "12"}),
                422,
                "default_from",
            ),
            (wrong, 422, "nonsense"),
        ] {
            let (given, fields) = ours.refused(Method::POST, "/telephony/configurations", body.clone()).await;
            assert_eq!((given, fields.contains(&field.to_owned())), (status, true), "{body}: {fields:?}");
        }
        assert_eq!(ours.get("/telephony/configurations").await, json!([]));
        for (agent, field) in [
            (json!({"type": "magic"}), "agent.type"),
            (json!({"type": "websocket"}), "agent.url"),
            (json!({"type": "websocket", "url": "https://a.example"}), "agent.url"),
            (json!({"type": "websocket", "url": "ws://169.254.169.254/latest"}), "agent.url"),
            (json!({"type": "websocket", "url": "ws://[::ffff:a9fe:a9fe]/"}), "agent.url"),
            (json!({"type": "websocket", "url": "ws://10.0.0.7:9000/"}), "agent.url"),
            (json!({"type": "websocket", "url": "wss://a.example", "sample_rate_hz": 11025}), "agent.sample_rate_hz"),
            (json!({"type": "websocket", "url": "wss://a.example", "protocol": "morse"}), "agent.protocol"),
        ] {
            let (status, fields) = ours.refused(Method::POST, "/workflows", json!({"name": "w", "agent": agent})).await;
            assert_eq!((status, fields), (422, vec![field.to_owned()]), "{agent}");
        }
        let (status, fields) =
            ours.refused(Method::PATCH, "/organization", json!({"max_concurrent_calls": 99_999})).await;
        assert_eq!((status, fields), (422, vec!["max_concurrent_calls".to_owned()]));
        let broken =
            ours.client.post(format!("{}/api/v1/workflows", ours.base)).bearer_auth(&ours.token).body("{\"name\":");
        let broken = broken.send().await.unwrap();
        assert_eq!(broken.status(), 400);
        assert!(broken.text().await.unwrap().contains("line 1, column 8"));
    });
}

/// All that a tenant can read, to see whether it has changed. What is no JSON, or may be none, says no more than the rest.
async fn everything(tenant: &Tenant, document: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let kinds = item["get"]["responses"]["200"]["content"].as_object();
        let is_json = kinds.is_some_and(|kinds| kinds.keys().eq(["application/json"]));
        if is_json && !path.contains('{') {
            all.push(tenant.get(path.strip_prefix("/api/v1").unwrap()).await);
        }
    }
    all
}

/// A value that a field of this schema cannot have; `None` if it takes any.
fn unfit(schema: &Value) -> Option<Value> {
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(some) => some.iter().filter_map(Value::as_str).collect(),
        _ if schema.get("$ref").is_some() || schema.get("oneOf").is_some() => vec!["object"],
        _ => return None,
    };
    Some(if types.contains(&"boolean") { json!("s3cr3t") } else { json!(false) })
}

#[test]
fn every_route_names_what_is_wrong_and_changes_nothing() {
    with_two_tenants(async |ours, _| {
        let (_sandbox, body) = carrier("main").await;
        let account = ours.post("/telephony/configurations", body).await;
        let account = account["id"].as_str().unwrap();
        ours.post(&format!("/telephony/configurations/{account}/import-numbers"), json!({})).await;
        let workflow = ours.post("/workflows", json!({"name": "w", "agent": {"type": "echo"}})).await;
        let number = ours.get("/telephony/phone-numbers").await[0]["id"].clone();
        let document: Value = serde_json::from_str(&api::document().to_json().unwrap()).unwrap();
        let before = everything(&ours, &document).await;
        let (mut bodies, mut parameters, mut ids) = (0, 0, 0);
        for (template, item) in document["paths"].as_object().unwrap() {
            let template = template.strip_prefix("/api/v1").unwrap();
            let id = match template {
                _ if template.starts_with("/telephony/configurations") => account,
                _ if template.starts_with("/telephony/phone-numbers") => number.as_str().unwrap(),
                _ => workflow["id"].as_str().unwrap(),
            };
            let path = template.replace("{id}", id);
            for (method, operation) in item.as_object().unwrap() {
                let method: Method = method.to_uppercase().parse().unwrap();
                let what = format!("{method} {template}");
                if template.contains("{id}") {
                    let nonsense = template.replace("{id}", "nonsense");
                    let (status, fields) = ours.refused(method.clone(), &nonsense, json!({})).await;
                    // A body is looked at when it is known what it is for.
                    assert_eq!((status, fields), (404, vec!["id".to_owned()]), "{what}");
                    ids += 1;
                }
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let name = parameter["name"].as_str().unwrap();
                    if parameter["in"] == "query" && name != "number" {
                        let (status, fields) =
                            ours.refused(method.clone(), &format!("{path}?{name}=%C3%A4"), json!({})).await;
                        assert_eq!((status, fields), (422, vec![name.to_owned()]), "{what}");
                        parameters += 1;
                    }
                }
                let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
                let Some(name) = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()) else { continue };
                let schema = &document["components"]["schemas"][name];
                let refused = async |body: Value| ours.refused(method.clone(), &path, body).await;
                assert_eq!(refused(json!({"nonsense": "s3cr3t"})).await, (422, vec!["nonsense".to_owned()]), "{what}");
                assert_eq!(refused(json!("s3cr3t")).await, (422, vec!["body".to_owned()]), "{what}");
                for (field, of) in schema["properties"].as_object().unwrap() {
                    let Some(value) = unfit(of) else { continue };
                    let (status, fields) = refused(json!({field: value})).await;
                    assert_eq!((status, fields.as_slice()), (422, [field.clone()].as_slice()), "{what}: {field}");
                }
                let required = schema["required"].as_array().cloned().unwrap_or_default();
                if !required.is_empty() {
                    let (status, fields) = refused(json!({})).await;
                    assert!(status == 422 && required.contains(&json!(fields[0])), "{what}: {fields:?}");
                }
                bodies += 1;
            }
        }
        assert!(bodies >= 10 && parameters >= 8 && ids >= 15, "{bodies} {parameters} {ids}");
        assert_eq!(ours.refused(Method::GET, "/calls?limt=3", json!({})).await, (422, vec!["limt".to_owned()]));
        let (status, problem) = ours.ask(Method::DELETE, "/organization", None).await;
        assert_eq!(status, 405, "{problem}");
        assert_eq!(everything(&ours, &document).await, before);
    });
}

#[test]
fn a_number_is_answered_by_a_workflow_and_the_carrier_is_pointed_here() {
    with_two_tenants(async |ours, theirs| {
        let (_sandbox, body) = carrier("main").await;
        let account = ours.post("/telephony/configurations", body).await;
        ours.post(&format!("/telephony/configurations/{}/import-numbers", account["id"].as_str().unwrap()), json!({}))
            .await;
        let agent = json!({"type": "websocket", "url": "wss://agent.example.com/call"});
        let workflow = ours.post("/workflows", json!({"name": "support", "agent": agent, "record": true})).await;
        assert_eq!(workflow["agent"]["protocol"], "pcm");
        let foreign = theirs.post("/workflows", json!({"name": "support", "agent": {"type": "echo"}})).await;
        let number = &ours.get("/telephony/phone-numbers").await[0];
        let path = format!("/telephony/phone-numbers/{}", number["id"].as_str().unwrap());
        let (status, fields) = ours.refused(Method::PATCH, &path, json!({"workflow_id": foreign["id"]})).await;
        assert_eq!((status, fields), (422, vec!["workflow_id".to_owned()]));
        let (status, changed) = ours.ask(Method::PATCH, &path, Some(json!({"workflow_id": workflow["id"]}))).await;
        assert_eq!((status.as_u16(), &changed["number"]["workflow_id"]), (200, &workflow["id"]), "{changed}");
        let (_, cleared) = ours.ask(Method::PATCH, &path, Some(json!({"workflow_id": null}))).await;
        assert_eq!(cleared["number"]["workflow_id"], Value::Null);
        let renamed = json!({"name": "sales", "agent": {"type": "echo"}});
        let workflow = format!("/workflows/{}", workflow["id"].as_str().unwrap());
        assert_eq!(ours.ask(Method::PUT, &workflow, Some(renamed)).await.1["name"], "sales");
        assert_eq!(ours.ask(Method::DELETE, &workflow, None).await.0, 204);
    });
}

#[test]
fn tokens_are_shown_once_and_can_be_revoked() {
    with_two_tenants(async |ours, theirs| {
        let issued = ours.post("/tokens", json!({"name": "ci"})).await;
        let with = Tenant::new(&ours.base, issued["token"].as_str().unwrap());
        assert_eq!(with.get("/organization").await["name"], "ours");
        assert!(!ours.get("/tokens").await.to_string().contains(&with.token));
        let path = format!("/tokens/{}", issued["id"].as_str().unwrap());
        assert_eq!(theirs.ask(Method::DELETE, &path, None).await.0, 404);
        assert_eq!(ours.ask(Method::DELETE, &path, None).await.0, 204);
        assert_eq!(with.ask(Method::GET, "/organization", None).await.0, 401);
    });
}

/// Every route that is documented: nothing is answered to nobody, and nothing of one tenant's to another.
#[test]
fn no_route_lets_in_nobody_or_somebody_else() {
    with_two_tenants_of_a_service(async |ours, theirs, service| {
        let (_sandbox, body) = carrier("main").await;
        let account = ours.post("/telephony/configurations", body).await;
        ours.post(&format!("/telephony/configurations/{}/import-numbers", account["id"].as_str().unwrap()), json!({}))
            .await;
        let workflow = ours.post("/workflows", json!({"name": "w", "agent": {"type": "echo"}})).await;
        let token = ours.post("/tokens", json!({"name": "t"})).await;
        let number = ours.get("/telephony/phone-numbers").await[0]["id"].clone();
        // What stands for {id} in each family of routes.
        let own = |path: &str| match path {
            _ if path.starts_with("/telephony/configurations") => account["id"].as_str().unwrap().to_owned(),
            _ if path.starts_with("/telephony/phone-numbers") => number.as_str().unwrap().to_owned(),
            _ if path.starts_with("/workflows") => workflow["id"].as_str().unwrap().to_owned(),
            // A call that is not there is as good as another's: those of others are tried in the tests of calls.
            _ if path.starts_with("/calls") => "01a210ae-35a3-70dd-8ebe-530b22575ff4".to_owned(),
            _ if path.starts_with("/tokens") => token["id"].as_str().unwrap().to_owned(),
            _ => panic!("say what stands for {{id}} in {path}"),
        };
        // Ours has a sandbox that runs, with numbers that are answered.
        let organization = service.store().organizations().await.unwrap().remove(0);
        let sandbox = service.start_sandbox(organization.id).await.unwrap().running();
        let accounts = ours.get("/telephony/configurations").await;
        let answered = ours.get("/telephony/phone-numbers").await.as_array().unwrap().last().unwrap().clone();
        let path = format!("/telephony/phone-numbers/{}", answered["id"].as_str().unwrap());
        ours.ask(Method::PATCH, &path, Some(json!({"workflow_id": workflow["id"]}))).await;
        let document: Value = serde_json::from_str(&api::document().to_json().unwrap()).unwrap();
        let (mut tried, mut sandboxed) = (0, 0);
        for (path, item) in document["paths"].as_object().unwrap() {
            let path = path.strip_prefix("/api/v1").unwrap();
            for method in item.as_object().unwrap().keys() {
                let method: Method = method.to_uppercase().parse().unwrap();
                let concrete =
                    if path.contains("{id}") { path.replace("{id}", &own(path)) } else { path.replace("{name}", "x") };
                let body = matches!(method, Method::POST | Method::PUT | Method::PATCH)
                    .then(|| json!({"name": "w2", "agent": {"type": "echo"}}));
                let nobody = Tenant::new(&ours.base, "tel_nobody");
                assert_eq!(nobody.ask(method.clone(), &concrete, body.clone()).await.0, 401, "{method} {path}");
                if path.contains("{id}") {
                    let body = body.map(|body| match path {
                        _ if path.starts_with("/workflows") => body,
                        "/calls/{id}/transfer" => json!({"to": "+12025550100"}),
                        "/calls/{id}/digits" => json!({"digits": "1"}),
                        _ => json!({}),
                    });
                    let (status, answer) = theirs.ask(method.clone(), &concrete, body).await;
                    assert_eq!(status, 404, "{method} {path}: {answer}");
                }
                if path.starts_with("/sandbox") {
                    let body = (method == Method::POST).then(|| json!({"to": answered["number"]}));
                    let (status, answer) = theirs.ask(method.clone(), path, body).await;
                    let expected = match (&method, path) {
                        (&Method::GET, "/sandbox") => 200,
                        (&Method::POST, "/sandbox") => 409,
                        _ => 404,
                    };
                    assert_eq!(status, expected, "{method} {path}: {answer}");
                    let said = answer.to_string();
                    assert!(
                        accounts.as_array().unwrap().iter().all(|own| !said.contains(own["id"].as_str().unwrap())),
                        "{said}"
                    );
                    sandboxed += 1;
                }
                tried += 1;
            }
        }
        assert!(tried >= 20 && sandboxed >= 2, "{tried} {sandboxed}");
        // And nothing of it was changed.
        assert_eq!(theirs.get("/telephony/configurations").await, json!([]));
        assert_eq!(ours.get("/workflows").await.as_array().unwrap().len(), 1);
        assert_eq!(ours.get("/telephony/configurations").await, accounts);
        assert_eq!(ours.get("/calls").await["calls"], json!([]));
        for carrier in sandbox.carriers() {
            let calls = |seen: &Observation| matches!(seen, Observation::WebhookSent { .. });
            assert!(!carrier.observations().iter().any(calls), "nobody was called");
        }
        drop(sandbox);
        service.stop_sandbox().await;
    });
}

/// A browser that is signed in, or is not: what it is shown at a path.
async fn shown(base: &str, path: &str, cookie: Option<&str>) -> (u16, String) {
    let mut request = Client::new().get(format!("{base}{path}")).header("accept", "text/html");
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// The cookie of somebody of an organization who has opened a sign-in link.
async fn cookie(base: &str, service: &Service, organization: OrganizationId) -> String {
    let link = service.store().create_sign_in_token(organization, std::time::Duration::from_secs(60)).await.unwrap();
    let browser = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let signed_in = browser.get(format!("{base}/sign-in/{}", link.expose())).send().await.unwrap();
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

/// Enough of a secret to know it by, however a page may escape it: its longest run of letters and digits.
fn secret_part(secret: &str) -> String {
    secret.split(|c: char| !c.is_ascii_alphanumeric()).max_by_key(|part| part.len()).unwrap().to_owned()
}

/// The routes of the pages, as the gateway has them; scripts and styles are nobody's.
fn pages() -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../telephony-gateway/src/pages/mod.rs");
    let text = std::fs::read_to_string(file).unwrap();
    let routes = text.split(".route(").skip(1).map(|rest| rest.split('"').nth(1).unwrap().to_owned());
    routes.filter(|path| !path.starts_with("/static/")).collect()
}

/// Every page, of every carrier's account: nothing is shown to nobody, nothing of one tenant's to another, and no secret to anybody.
#[test]
fn no_page_shows_anything_to_nobody_or_of_somebody_else_or_a_secret() {
    with_two_tenants_of_a_service(async |ours, theirs, service| {
        let mut organizations = service.store().organizations().await.unwrap();
        let (them, us) = (organizations.pop().unwrap().id, organizations.pop().unwrap().id);
        let base = ours.base.clone();
        let (our_cookie, their_cookie) = (cookie(&base, &service, us).await, cookie(&base, &service, them).await);
        let workflow = ours.post("/workflows", json!({"name": "only-ours", "agent": {"type": "echo"}})).await;
        let (mut secrets, mut accounts, mut call) = (Vec::new(), Vec::new(), Value::Null);
        let options = SandboxOptions::default().with_ring(std::time::Duration::from_millis(50));
        for simulator in telephony_sandbox::registered() {
            let sandbox = Sandbox::start(simulator, options.clone()).await.unwrap();
            let mut config = sandbox.account();
            let provider = config.as_object_mut().unwrap().remove("provider").unwrap();
            let kept = secret_fields(&simulator.provider().config_schema());
            let kept: Vec<String> = kept.iter().filter_map(|field| config[field].as_str().map(secret_part)).collect();
            assert!(!kept.is_empty(), "{provider} has credentials");
            secrets.extend(kept);
            let body = json!({"name": format!("only-ours-{provider}"), "provider": provider, "config": config});
            let account = ours.post("/telephony/configurations", body).await;
            let id = account["id"].as_str().unwrap();
            ours.post(&format!("/telephony/configurations/{id}/import-numbers"), json!({})).await;
            let body = json!({"workflow_id": workflow["id"], "configuration_id": id, "to": "+12025550101"});
            let dialled = ours.post("/telephony/initiate-call", body).await;
            let path = format!("/calls/{}", dialled["id"].as_str().unwrap());
            call = ours.until(&path, "the end of a call", |call| call["is_over"] == true).await;
            accounts.push(id.to_owned());
            sandbox.stop().await;
        }
        let ids = |path: &str| match path {
            "/configurations/{id}" => accounts.clone(),
            "/workflows/{id}" => vec![workflow["id"].as_str().unwrap().to_owned()],
            "/calls/{id}" => vec![call["id"].as_str().unwrap().to_owned()],
            _ if path.contains('{') => panic!("say what stands for {{id}} in {path}"),
            _ => vec![String::new()],
        };
        let numbers = ours.get("/telephony/phone-numbers").await;
        let numbers = numbers.as_array().unwrap().iter().map(|number| number["number"].as_str().unwrap().to_owned());
        let private: Vec<String> = numbers.chain(accounts.clone()).chain(ids("/workflows/{id}")).collect();
        let mut tried = 0;
        for path in pages() {
            for id in ids(&path) {
                let concrete = path.replace("{id}", &id);
                for stranger in [None, Some("telephony_session=nobody")] {
                    let (status, text) = shown(&base, &concrete, stranger).await;
                    assert_eq!(status, 401, "{concrete} to nobody");
                    assert!(
                        !text.contains("only-ours") && private.iter().all(|own| !text.contains(own)),
                        "{concrete}: {text}"
                    );
                }
                let (status, text) = shown(&base, &concrete, Some(&their_cookie)).await;
                assert_eq!(status, if id.is_empty() { 200 } else { 404 }, "{concrete} to another tenant");
                assert!(
                    !text.contains("only-ours") && private.iter().all(|own| !text.contains(own)),
                    "{concrete}: {text}"
                );
                let (status, text) = shown(&base, &concrete, Some(&our_cookie)).await;
                assert_eq!(status, 200, "{concrete}");
                assert!(id.is_empty() || text.contains(&id), "{concrete} is shown to whom it belongs");
                let secret = secrets.iter().find(|secret| text.contains(secret.as_str()));
                assert!(secret.is_none(), "a secret is in {concrete}");
                tried += 1;
            }
        }
        assert!(tried >= 8 + accounts.len(), "{tried}");
        drop(theirs);
    });
}

#[test]
fn a_simulated_carrier_calls_a_number_and_the_call_is_listed() {
    with_two_tenants_of_a_service(async |ours, _, service| {
        let organization = service.store().organizations().await.unwrap().remove(0);
        let refused = async |body: Value| ours.refused(Method::POST, "/sandbox/calls", body).await;
        assert_eq!(refused(json!({"to": "+13035550100"})).await, (404, Vec::new()), "no sandbox runs");
        service.start_sandbox(organization.id).await.unwrap();
        let workflow = ours.post("/workflows", json!({"name": "echo", "agent": {"type": "echo"}})).await;
        let numbers = ours.get("/telephony/phone-numbers").await;
        let first = |account: &Value| {
            let own = |number: &&Value| number["configuration_id"] == account["id"];
            numbers.as_array().unwrap().iter().find(own).unwrap().clone()
        };
        let accounts = ours.get("/telephony/configurations").await;
        let number = first(&accounts[0])["number"].clone();
        for (body, field) in [
            (json!({"to": number}), "to"),
            (json!({"to": "+4930123456"}), "to"),
            (json!({"to": "0123"}), "to"),
            (json!({"to": number, "from": "me"}), "from"),
            (json!({"to": number, "provider": "nonesuch"}), "to"),
        ] {
            assert_eq!(refused(body.clone()).await, (422, vec![field.to_owned()]), "{body}");
        }
        assert_eq!(ours.get("/calls").await["calls"], json!([]));

        for account in accounts.as_array().unwrap() {
            let path = format!("/telephony/phone-numbers/{}", first(account)["id"].as_str().unwrap());
            ours.ask(Method::PATCH, &path, Some(json!({"workflow_id": workflow["id"]}))).await;
        }
        // As after a restart: the simulated carriers are new, and are told of the numbers that are answered.
        service.start_sandbox(organization.id).await.unwrap();
        for account in accounts.as_array().unwrap() {
            let hangs_up = "+12025550106";
            let body = json!({"to": number, "from": hangs_up, "provider": account["provider"]});
            let (status, told) = ours.ask(Method::POST, "/sandbox/calls", Some(body)).await;
            assert_eq!((status.as_u16(), &told["to"], &told["from"]), (202, &number, &json!(hangs_up)), "{told}");
            let said = (&told["configuration_id"], &told["provider"], &told["workflow_id"]);
            assert_eq!(said, (&account["id"], &account["provider"], &workflow["id"]));
            let of_it = format!("/calls?configuration_id={}", account["id"].as_str().unwrap());
            let over = |page: &Value| page["calls"][0]["is_over"] == true;
            let call = ours.until(&of_it, "the end of the call", over).await["calls"][0].clone();
            assert_eq!((&call["direction"], &call["status"]), (&json!("inbound"), &json!("completed")), "{call}");
            assert_eq!((&call["from"], &call["to"]), (&json!(hangs_up), &number), "{call}");
            assert_eq!(call["carrier_call_id"], told["carrier_call_id"], "{call}");
        }
        service.stop_sandbox().await;
        assert_eq!(refused(json!({"to": number})).await.0, 404);
    });
}

#[test]
fn the_sandbox_is_started_and_stopped_by_whoever_wants_to_try_it() {
    with_two_tenants_of_a_service(async |ours, theirs, service| {
        let before = ours.get("/sandbox").await;
        assert_eq!(
            (&before["offered"], &before["running"], &before["softphone"]),
            (&json!(true), &json!(false), &Value::Null)
        );
        assert_eq!(before["carriers"], json!([]));
        let start = async |tenant: &Tenant| tenant.ask(Method::POST, "/sandbox", None).await;
        // Of two that come at once, one starts it.
        let mut both = tokio::join!(start(&ours), start(&ours));
        if both.0.0 == 200 {
            both = (both.1, both.0);
        }
        assert_eq!((both.0.0.as_u16(), both.1.0.as_u16()), (201, 200), "{both:?}");
        let running = both.0.1;
        assert_eq!((&running, &running["softphone"]), (&both.1.1, &json!(telephony_sandbox::SOFTPHONE)));
        assert_eq!(ours.get("/sandbox").await, running);
        let carriers = running["carriers"].as_array().unwrap();
        assert_eq!(carriers.len(), telephony_sandbox::registered().len());
        let busy =
            running["handsets"].as_array().unwrap().iter().find(|handset| handset["behaviour"] == "is busy").unwrap();
        let (status, taken) = start(&theirs).await;
        assert_eq!((status.as_u16(), &theirs.get("/sandbox").await["running"]), (409, &json!(false)), "{taken}");
        assert_eq!(theirs.ask(Method::DELETE, "/sandbox", None).await.0, 404);

        let accounts = ours.get("/telephony/configurations").await;
        for account in accounts.as_array().unwrap() {
            assert_eq!(
                (&account["is_sandbox"], &account["health"]["state"]),
                (&json!(true), &json!("working")),
                "{account}"
            );
        }
        let workflow = ours.get("/workflows").await[0]["id"].clone();
        for carrier in carriers {
            let call =
                json!({"workflow_id": workflow, "configuration_id": carrier["configuration_id"], "to": busy["number"]});
            let call = ours.post("/telephony/initiate-call", call).await;
            assert_eq!(call["from"], carrier["numbers"][0], "{call}");
            let path = format!("/calls/{}", call["id"].as_str().unwrap());
            ours.until(&path, "the end", |call| call["status"] == "busy").await;
        }
        assert_eq!(ours.ask(Method::DELETE, "/sandbox", None).await.0, 204);
        assert_eq!(ours.ask(Method::DELETE, "/sandbox", None).await.0, 404);
        // What is left says that it does not work, and why.
        let stopped = async |id: &str| {
            let call = json!({"workflow_id": workflow, "configuration_id": id, "to": busy["number"]});
            let (status, problem) = ours.ask(Method::POST, "/telephony/initiate-call", Some(call)).await;
            assert_eq!((status.as_u16(), &problem["title"]), (409, &json!("The sandbox does not run")), "{problem}");
            let test = format!("/telephony/configurations/{id}/test");
            assert_eq!(ours.ask(Method::POST, &test, None).await.0, 409);
            let health = &ours.get(&format!("/telephony/configurations/{id}")).await["health"];
            assert_eq!((&health["state"], &health["problem"]), (&json!("failing"), &problem["detail"]));
            assert_eq!(ours.get("/calls?limit=1").await["calls"][0]["dial_error"], problem["detail"]);
        };
        for account in ours.get("/telephony/configurations").await.as_array().unwrap() {
            assert_eq!(account["health"]["state"], "failing", "{account}");
            stopped(account["id"].as_str().unwrap()).await;
        }

        assert_eq!(start(&theirs).await.0, 201);
        assert_eq!(theirs.ask(Method::DELETE, "/sandbox", None).await.0, 204);
        // The same accounts are used again, by whatever name.
        let path = format!("/telephony/configurations/{}", carriers[0]["configuration_id"].as_str().unwrap());
        ours.ask(Method::PATCH, &path, Some(json!({"name": "trying"}))).await;
        let (status, again) = start(&ours).await;
        assert_eq!((status.as_u16(), &again["carriers"][0]), (201, &running["carriers"][0]), "{again}");
        assert_eq!(ours.get("/telephony/configurations").await.as_array().unwrap().len(), carriers.len());
        assert_eq!(ours.get(&path).await["health"]["state"], "working");
        service.stop_sandbox().await;
    });
}

#[test]
fn an_operator_can_keep_the_sandbox_from_being_started() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&DatabaseUrl::Memory, KeyRing::generate()).await.unwrap();
        let owner = store.create_organization("ours", 1).await.unwrap().id;
        let token = store.create_api_token(owner, "test").await.unwrap().token.expose().to_owned();
        let (registry, context) = (Registry::linked().unwrap(), ProviderContext::network().unwrap());
        let options = ServiceOptions { offer_sandbox: false, ..ServiceOptions::default() };
        let listen = ([127, 0, 0, 1], 0).into();
        let serving = Serving::start(store, registry, context, listen, None, options).await.unwrap();
        let ours = Tenant::new(format!("http://{}", serving.address()), token);
        assert_eq!(ours.get("/sandbox").await["offered"], false);
        let (status, problem) = ours.ask(Method::POST, "/sandbox", None).await;
        assert_eq!((status.as_u16(), &problem["title"]), (403, &json!("The sandbox is not offered")));
        assert_eq!(ours.get("/telephony/configurations").await, json!([]));
        serving.stop().await;
    });
}

#[test]
fn a_browser_is_signed_in_by_a_link_that_works_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&DatabaseUrl::Memory, KeyRing::generate()).await.unwrap();
        let owner = store.create_organization("ours", 1).await.unwrap().id;
        let (registry, context) = (Registry::linked().unwrap(), ProviderContext::network().unwrap());
        let serving = Serving::start(
            store.clone(),
            registry,
            context,
            ([127, 0, 0, 1], 0).into(),
            None,
            ServiceOptions::default(),
        )
        .await
        .unwrap();
        let link = store.create_sign_in_token(owner, std::time::Duration::from_secs(60)).await.unwrap();
        let base = format!("http://{}", serving.address());
        let browser = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let sign_in = || browser.get(format!("{base}/sign-in/{}", link.expose())).send();
        let signed_in = sign_in().await.unwrap();
        assert_eq!(signed_in.status(), 303);
        let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        assert_eq!(sign_in().await.unwrap().status(), 401);
        let api =
            |method, path: &str| browser.request(method, format!("{base}/api/v1{path}")).header("cookie", &cookie);
        assert_eq!(api(Method::GET, "/organization").send().await.unwrap().status(), 200);
        // A page of somebody else's makes the browser send the cookie; it is refused all the same.
        let foreign = api(Method::POST, "/tokens").header("sec-fetch-site", "cross-site").json(&json!({"name": "x"}));
        assert_eq!(foreign.send().await.unwrap().status(), 403);
        let own = api(Method::POST, "/tokens").header("sec-fetch-site", "same-origin").json(&json!({"name": "x"}));
        assert_eq!(own.send().await.unwrap().status(), 201);
        let out = browser.post(format!("{base}/sign-out")).header("cookie", &cookie).send().await.unwrap();
        assert_eq!(out.status(), 303);
        assert_eq!(api(Method::GET, "/organization").send().await.unwrap().status(), 401);
        assert_eq!(browser.get(format!("{base}/readyz")).send().await.unwrap().status(), 200);
        serving.stop().await;
    });
}

/// `openapi.json` at the root is the document that the gateway serves. `cargo xtask openapi` writes it anew.
#[test]
fn the_openapi_document_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("openapi.json");
    let current = api::document().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(file, current).unwrap();
    } else {
        let stored = std::fs::read_to_string(file).unwrap_or_default();
        assert!(stored == current, "openapi.json is out of date: run `cargo xtask openapi`");
    }
}

/// Generators name functions after operations.
#[test]
fn every_operation_has_a_name_of_its_own() {
    let document = serde_json::to_value(api::document()).unwrap();
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|path| path.as_object().unwrap().values());
    let names: Vec<&str> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    let different: std::collections::BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(different.len(), names.len(), "{names:?}");
}
