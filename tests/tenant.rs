//! An organization that uses a gateway through its HTTP API, as a program of somebody else's does.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

/// How long to wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to look whether it is there: a machine that is asked without a pause has no time to do it.
const LOOK: Duration = Duration::from_millis(20);

/// An organization's token, and where the gateway is.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The HTTP client.
    pub client: Client,
    /// `http://` and the address.
    pub base: String,
    /// The token.
    pub token: String,
}

impl Tenant {
    /// A tenant of the gateway at this address.
    #[must_use]
    pub fn new(base: impl Into<String>, token: impl Into<String>) -> Self {
        Self { client: Client::new(), base: base.into(), token: token.into() }
    }

    /// Asks, and returns the status and the body. What is wrong must be said as problem details.
    ///
    /// # Panics
    ///
    /// If the gateway cannot be asked, or its answer is none.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.client.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("the gateway answers");
        let status = response.status();
        let kind = response.headers().get("content-type").cloned();
        let text = response.text().await.expect("an answer has a body");
        let wrong = status.is_client_error() || status.is_server_error();
        let is_problem = kind.is_some_and(|kind| kind == "application/problem+json");
        assert_eq!(wrong, is_problem, "{status}: {text}");
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("answers are JSON") };
        (status, body)
    }

    /// Reads something that is there.
    ///
    /// # Panics
    ///
    /// If it is not.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Has something done.
    ///
    /// # Panics
    ///
    /// If it is refused.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(Method::POST, path, Some(body)).await;
        assert!(status.is_success(), "{path}: {answer}");
        answer
    }

    /// What a wrong request is answered with: its status, and the fields that are named.
    ///
    /// # Panics
    ///
    /// If it is not refused as it should be.
    pub async fn refused(&self, method: Method, path: &str, body: Value) -> (u16, Vec<String>) {
        let (status, problem) = self.ask(method, path, Some(body)).await;
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        let field = |error: &Value| error["field"].as_str().expect("an error names its field").to_owned();
        (status.as_u16(), errors.iter().map(field).collect())
    }

    /// Reads something again and again until it is as wanted.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub async fn until(&self, path: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut looks = tokio::time::interval(LOOK);
        let mut last = Value::Null;
        let found = async {
            loop {
                looks.tick().await;
                last = self.get(path).await;
                if wanted(&last) {
                    break;
                }
            }
        };
        assert!(tokio::time::timeout(PATIENCE, found).await.is_ok(), "{what} does not come: {last:#}");
        last
    }
}

/// Server-sent events, as they come.
#[derive(Debug)]
pub struct Following {
    response: reqwest::Response,
    /// What came and was not looked at yet.
    rest: String,
}

impl Tenant {
    /// Follows something. Once this returns, whatever changes is told.
    ///
    /// # Panics
    ///
    /// If it is refused.
    pub async fn follow(&self, path: &str) -> Following {
        let request = self.client.get(format!("{}/api/v1{path}", self.base)).bearer_auth(&self.token);
        let response = request.send().await.expect("the gateway answers");
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "text/event-stream", "{path}");
        Following { response, rest: String::new() }
    }
}

impl Following {
    /// The next event, its name and its data; `None` once the stream has ended.
    ///
    /// # Panics
    ///
    /// If nothing comes for too long.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let told = line("event:").zip(line("data:"));
                let told =
                    told.map(|(name, data)| (name.to_owned(), serde_json::from_str(data).expect("data are JSON")));
                self.rest = rest.to_owned();
                match told {
                    Some(told) => return Some(told),
                    None => continue, // Something that keeps the connection open.
                }
            }
            let more = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("something is told");
            let more = more.expect("the stream is not cut off")?;
            self.rest.push_str(std::str::from_utf8(&more).expect("the stream is text"));
        }
    }

    /// The next event of this name that is as wanted.
    ///
    /// # Panics
    ///
    /// If none comes.
    pub async fn until(&mut self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (told, data) = self.next().await.unwrap_or_else(|| panic!("{what} was not told"));
            if told == name && wanted(&data) {
                return data;
            }
        }
    }
}
