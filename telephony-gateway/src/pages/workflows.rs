//! Workflows: who talks, and the button that calls somebody.

use askama::Template;
use axum::{extract::Path, response::Response};
use http::StatusCode;
use telephony_core::Direction;
use uuid::Uuid;

use super::{
    calls::Line,
    checklist::{Checklist, SetUp},
    shell::{PageError, Part, Shell, Visitor, page},
    show,
};
use crate::{
    service::agent::AgentSpec,
    store::{PhoneNumberRow, RunFilter, Workflow},
};

/// How many of a workflow's last calls are on its page.
const LAST_CALLS: u32 = 10;

/// How many numbers are offered that were called last.
const LAST_NUMBERS: usize = 5;

/// The rates that an agent elsewhere may have, in Hz.
const RATES: [u32; 4] = [8_000, 16_000, 24_000, 48_000];

/// An agent as its form shows it.
#[derive(Default)]
struct Agent {
    kind: &'static str,
    file: String,
    url: String,
    protocol: String,
    sample_rate_hz: Option<u32>,
}

impl Agent {
    fn of(workflow: &Workflow) -> Self {
        // Of what cannot be read any more nothing is shown; what is chosen then replaces it.
        let Ok(spec) = serde_json::from_value::<AgentSpec>(workflow.agent.clone()) else { return Self::default() };
        match spec {
            AgentSpec::Dialogue => Self { kind: "dialogue", ..Self::default() },
            AgentSpec::Echo => Self { kind: "echo", ..Self::default() },
            AgentSpec::Play { file } => Self { kind: "play", file, ..Self::default() },
            AgentSpec::Websocket { url, protocol, sample_rate_hz } => {
                Self { kind: "websocket", url: url.into(), protocol, sample_rate_hz, ..Self::default() }
            }
        }
    }

    fn speaks(&self, protocol: &str) -> bool {
        self.protocol == protocol
    }

    /// The rates, and whether it has that one.
    fn rates(&self) -> [(u32, bool); RATES.len()] {
        RATES.map(|rate| (rate, self.sample_rate_hz == Some(rate)))
    }

    /// What it is, in words.
    fn in_words(&self) -> &'static str {
        match self.kind {
            "dialogue" => "Demonstration dialogue",
            "echo" => "Echo",
            "play" => "Plays a recording",
            "websocket" => "Your program, over WebSocket",
            _ => "An agent that this gateway does not know",
        }
    }
}

struct Row {
    id: Uuid,
    name: String,
    agent: &'static str,
    is_recorded: bool,
    numbers: Vec<String>,
}

#[derive(Template)]
#[template(path = "workflows.html")]
struct List {
    shell: Shell,
    rows: Vec<Row>,
}

pub(super) async fn list(visitor: Visitor) -> Result<Response, PageError> {
    let set_up = SetUp::of(&visitor).await?;
    let row = |workflow: &Workflow| Row {
        id: workflow.id.into(),
        name: workflow.name.clone(),
        agent: Agent::of(workflow).in_words(),
        is_recorded: workflow.record,
        numbers: set_up
            .numbers
            .iter()
            .filter(|number| number.workflow == Some(workflow.id))
            .map(|number| number.number.as_e164().to_owned())
            .collect(),
    };
    let rows = set_up.workflows.iter().map(row).collect();
    Ok(page(StatusCode::OK, &List { shell: visitor.shell(Part::Workflows), rows }))
}

/// An account that a call can be placed with.
struct FromAccount {
    id: Uuid,
    name: String,
    from: Option<String>,
    is_default: bool,
}

/// What the dialog needs that places a call.
struct Dial {
    is_ready: bool,
    from_accounts: Vec<FromAccount>,
    /// The numbers that were called last, newest first.
    last: Vec<String>,
    /// The handsets of the sandbox and what they do, if it runs.
    handsets: Vec<(&'static str, String)>,
    offers_sandbox: bool,
    /// The number that rings this browser, if the sandbox runs.
    softphone: Option<&'static str>,
    checklist: Checklist,
}

#[derive(Template)]
#[template(path = "workflow.html")]
struct One {
    shell: Shell,
    workflow: Option<Workflow>,
    name: String,
    agent: Agent,
    is_recorded: bool,
    protocols: Vec<(&'static str, &'static str)>,
    numbers: Vec<PhoneNumberRow>,
    calls: Vec<Line>,
    dial: Option<Dial>,
}

fn protocols(visitor: &Visitor) -> Vec<(&'static str, &'static str)> {
    visitor
        .service
        .registry()
        .iter()
        .map(|descriptor| (descriptor.name().as_str(), descriptor.display_name()))
        .collect()
}

pub(super) async fn new(visitor: Visitor) -> Response {
    let template = One {
        shell: visitor.shell(Part::Workflows),
        workflow: None,
        name: String::new(),
        agent: Agent { kind: "websocket", ..Agent::default() },
        is_recorded: false,
        protocols: protocols(&visitor),
        numbers: Vec::new(),
        calls: Vec::new(),
        dial: None,
    };
    page(StatusCode::OK, &template)
}

pub(super) async fn one(visitor: Visitor, Path(id): Path<String>) -> Result<Response, PageError> {
    let missing = || PageError::NotFound("workflow");
    let id: Uuid = id.parse().map_err(|_| missing())?;
    let store = visitor.service.store();
    let workflow = store.workflow(visitor.owner(), id.into()).await?.ok_or_else(missing)?;
    let set_up = SetUp::of(&visitor).await?;
    let filter = RunFilter { workflow: Some(workflow.id), ..RunFilter::default() };
    let runs = store.runs(visitor.owner(), &filter, LAST_CALLS).await?.runs;
    let template = One {
        shell: visitor.shell(Part::Workflows),
        name: workflow.name.clone(),
        agent: Agent::of(&workflow),
        is_recorded: workflow.record,
        protocols: protocols(&visitor),
        numbers: set_up.numbers.iter().filter(|number| number.workflow == Some(workflow.id)).cloned().collect(),
        calls: runs.iter().map(|run| Line::of(run, &set_up)).collect(),
        dial: Some(dial(&visitor, &set_up).await?),
        workflow: Some(workflow),
    };
    Ok(page(StatusCode::OK, &template))
}

async fn dial(visitor: &Visitor, set_up: &SetUp) -> Result<Dial, PageError> {
    let filter = RunFilter { direction: Some(Direction::Outbound), ..RunFilter::default() };
    let mut last: Vec<String> = Vec::new();
    for run in visitor.service.store().runs(visitor.owner(), &filter, 50).await?.runs {
        if last.len() < LAST_NUMBERS && !last.contains(&run.to) {
            last.push(run.to);
        }
    }
    let from_account = |account: &crate::store::Account| FromAccount {
        id: account.id,
        name: account.name.clone(),
        from: set_up.caller_id(account),
        is_default: account.is_default,
    };
    let sandbox_runs = visitor.sandbox_runs();
    let plan = telephony_sandbox::DIAL_PLAN.iter().filter(|entry| entry.number != telephony_sandbox::SOFTPHONE);
    Ok(Dial {
        is_ready: set_up.is_ready(),
        from_accounts: set_up.accounts.iter().map(from_account).collect(),
        last,
        handsets: plan.filter(|_| sandbox_runs).map(|entry| (entry.number, capitalized(entry.description))).collect(),
        offers_sandbox: visitor.sandbox_is_offered(),
        softphone: sandbox_runs.then_some(telephony_sandbox::SOFTPHONE),
        checklist: set_up.checklist(visitor),
    })
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
