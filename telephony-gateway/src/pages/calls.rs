//! Calls: the list, and all that is known of one.

use std::time::Duration;

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    response::Response,
};
use http::StatusCode;
use serde_json::Value;
use telephony_core::{CallStatus, Capability, Direction, Timestamp, WorkflowRunId};
use uuid::Uuid;

use super::{
    checklist::SetUp,
    shell::{PageError, Part, Shell, Visitor, page},
    show,
};
use crate::{
    api::calls::CallQuery,
    store::{Account, DialState, StoredEvent, StoredRun, Workflow},
    timeline,
};

/// A call in a list.
pub(super) struct Line {
    pub(super) id: WorkflowRunId,
    pub(super) is_inbound: bool,
    from: String,
    to: String,
    /// Whoever is not us.
    pub(super) other: String,
    pub(super) status: &'static str,
    pub(super) tone: &'static str,
    account: String,
    workflow: String,
    pub(super) created_at: Timestamp,
    length: String,
    cost: String,
    has_recording: bool,
}

impl Line {
    pub(super) fn of(run: &StoredRun, set_up: &SetUp) -> Self {
        let is_inbound = run.direction == Direction::Inbound;
        let (status, tone) = show::status(run);
        let account = set_up.accounts.iter().find(|account| Some(account.id) == run.configuration);
        let workflow = set_up.workflows.iter().find(|workflow| Some(workflow.id) == run.workflow);
        Self {
            id: run.id,
            is_inbound,
            from: run.from.clone(),
            to: run.to.clone(),
            other: if is_inbound { run.from.clone() } else { run.to.clone() },
            status,
            tone,
            account: account.map_or_else(|| "deleted".to_owned(), |account| account.name.clone()),
            workflow: workflow.map_or_else(|| "deleted".to_owned(), |workflow| workflow.name.clone()),
            created_at: run.created_at,
            length: run.summary.duration.map_or_else(|| "–".to_owned(), |length| show::length(length.as_secs())),
            cost: show::cost(run),
            has_recording: run.recording.is_some(),
        }
    }
}

/// What was asked for, as the form shows it again.
#[derive(Default)]
struct Filter {
    number: String,
    direction: String,
    status: String,
    configuration_id: Option<Uuid>,
    workflow_id: Option<Uuid>,
    since: String,
    until: String,
}

impl Filter {
    fn is_of_account(&self, account: &Account) -> bool {
        self.configuration_id == Some(account.id)
    }

    fn is_of_workflow(&self, workflow: &Workflow) -> bool {
        self.workflow_id == Some(workflow.id.into())
    }

    fn is_any(&self) -> bool {
        let texts = [&self.number, &self.direction, &self.status, &self.since, &self.until];
        texts.iter().any(|text| !text.is_empty()) || self.configuration_id.is_some() || self.workflow_id.is_some()
    }
}

#[derive(Template)]
#[template(path = "calls.html")]
struct List {
    shell: Shell,
    filter: Filter,
    /// The filter once more, for the API's own addresses: without the cursor.
    query: String,
    problem: Option<String>,
    lines: Vec<Line>,
    older: Option<String>,
    is_first_page: bool,
    statuses: Vec<&'static str>,
    set_up: SetUp,
}

/// The parameters that are worth sending on: those with a value.
fn given(query: &str, is_wanted: impl Fn(&str) -> bool) -> String {
    let pairs = query
        .split('&')
        .filter(|pair| pair.split_once('=').is_some_and(|(name, value)| !value.is_empty() && is_wanted(name)));
    pairs.collect::<Vec<_>>().join("&")
}

pub(super) async fn list(visitor: Visitor, RawQuery(query): RawQuery) -> Result<Response, PageError> {
    let query = query.unwrap_or_default();
    // A form sends what was left empty as well.
    let full = given(&query, |_| true);
    let filter_only = given(&query, |name| name != "cursor");
    let set_up = SetUp::of(&visitor).await?;
    let mut template = List {
        shell: visitor.shell(Part::Calls),
        filter: Filter::default(),
        query: filter_only.clone(),
        problem: None,
        lines: Vec::new(),
        older: None,
        is_first_page: full == filter_only,
        statuses: CallStatus::ALL.map(CallStatus::as_str).to_vec(),
        set_up,
    };
    let mut status = StatusCode::OK;
    let asked = match format!("/calls?{full}").parse() {
        Ok(uri) => CallQuery::of(&uri),
        Err(_) => return Err(PageError::NotFound("page")),
    };
    match asked.and_then(|asked| Ok((asked.filter()?, asked))) {
        Ok(((filter, limit), asked)) => {
            let found = visitor.service.store().runs(visitor.owner(), &filter, limit).await?;
            let last = found.runs.last().filter(|_| found.more);
            template.older = last.map(|run| match filter_only.as_str() {
                "" => format!("calls?cursor={}", run.id),
                filter => format!("calls?{filter}&cursor={}", run.id),
            });
            template.lines = found.runs.iter().map(|run| Line::of(run, &template.set_up)).collect();
            template.filter = Filter::from(asked);
        }
        Err(problem) => {
            status = StatusCode::UNPROCESSABLE_ENTITY;
            template.problem = Some(problem.to_string());
        }
    }
    Ok(page(status, &template))
}

impl From<CallQuery> for Filter {
    fn from(asked: CallQuery) -> Self {
        Self {
            number: asked.number.unwrap_or_default(),
            direction: asked.direction.unwrap_or_default(),
            status: asked.status.unwrap_or_default(),
            configuration_id: asked.configuration_id,
            workflow_id: asked.workflow_id,
            since: asked.since.unwrap_or_default(),
            until: asked.until.unwrap_or_default(),
        }
    }
}

/// A row of a call's timeline.
struct Event {
    id: i64,
    /// How long after the call was opened it came.
    after: String,
    received_at: Timestamp,
    source: String,
    event: String,
    detail: String,
    raw: String,
}

impl Event {
    fn of(stored: StoredEvent, since: Timestamp) -> Self {
        let (event, detail) = timeline::describe(&stored.event.kind);
        let after = (stored.received_at - since).as_seconds_f64().max(0.0);
        let raw = serde_json::to_value(&stored.event).unwrap_or_default();
        Self {
            id: stored.id,
            after: format!("{after:.3} s"),
            received_at: stored.received_at,
            source: stored.source,
            event,
            detail,
            raw: show::redacted(&raw),
        }
    }
}

/// Something that went wrong, and what to do about it.
struct Trouble {
    what: String,
    advice: &'static str,
}

/// A figure of a call's audio.
struct Figure {
    name: &'static str,
    value: String,
}

/// A moment in a recording that is worth a mark.
struct Moment {
    at_ms: u64,
    what: String,
}

#[derive(Template)]
#[template(path = "call.html")]
struct One {
    shell: Shell,
    run: StoredRun,
    line: Line,
    /// Whether nothing happens with it any more.
    is_settled: bool,
    carrier: String,
    /// When it was answered, as far as the ledger knows.
    answered_at: Option<Timestamp>,
    can_transfer: bool,
    can_send_digits: bool,
    answered_by: Option<String>,
    troubles: Vec<Trouble>,
    events: Vec<Event>,
    figures: Vec<Figure>,
    moments: Vec<Moment>,
}

pub(super) async fn one(visitor: Visitor, Path(id): Path<String>) -> Result<Response, PageError> {
    let missing = || PageError::NotFound("call");
    let id: Uuid = id.parse().map_err(|_| missing())?;
    let store = visitor.service.store();
    let run = store.run_of(visitor.owner(), id.into()).await?.ok_or_else(missing)?;
    let set_up = SetUp::of(&visitor).await?;
    let events = store.events(run.id).await?;
    let in_progress = |stored: &&StoredEvent| matches!(&stored.event.kind, telephony_core::CallEventKind::Status(change) if change.status == Some(CallStatus::InProgress));
    let answered_at = events.iter().find(in_progress).map(|stored| stored.received_at);
    // With a carrier that is not linked any more, nothing can be done.
    let known = visitor.service.registry().get(&run.provider);
    let can = |capability| known.as_ref().is_ok_and(|descriptor| descriptor.capabilities().has(capability));
    let template = One {
        shell: visitor.shell(Part::Calls),
        line: Line::of(&run, &set_up),
        is_settled: run.is_settled(),
        carrier: visitor.carrier(&run.provider),
        answered_at,
        can_transfer: can(Capability::Transfer),
        can_send_digits: can(Capability::SendDigits),
        answered_by: run.summary.answered_by.map(|who| format!("{who:?}").to_lowercase()),
        troubles: troubles(&run),
        figures: figures(run.media.as_ref()),
        moments: moments(run.media.as_ref()),
        events: events.into_iter().map(|stored| Event::of(stored, run.created_at)).collect(),
        run,
    };
    Ok(page(StatusCode::OK, &template))
}

fn troubles(run: &StoredRun) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let mut add = |what: String, advice| troubles.push(Trouble { what, advice });
    match (run.dial_state, &run.dial_error) {
        (DialState::Refused, reason) => add(
            reason.clone().unwrap_or_else(|| "The carrier refused the call.".to_owned()),
            "Nobody was called, and nothing was charged. If the carrier did not accept the credentials or the caller ID, open the account and test its connection.",
        ),
        (DialState::Unknown, reason) => add(
            reason.clone().unwrap_or_else(|| "The carrier gave no usable answer.".to_owned()),
            "A call may ring all the same, so it is not dialled again. The carrier is asked, and what it says appears here.",
        ),
        _ => {}
    }
    if run.summary.status == Some(CallStatus::Failed) && run.dial_state != DialState::Refused {
        add(
            run.summary
                .reason
                .clone()
                .unwrap_or_else(|| "The call failed, and the carrier does not say why.".to_owned()),
            "The reason is the carrier's own word; its documentation lists them. A number that does not exist or cannot be reached from the account is the usual one.",
        );
    }
    let media = |name: &str| run.media.as_ref().and_then(|media| media.get(name)).and_then(Value::as_str);
    let because = media("ended_because").unwrap_or("no reason is known");
    match media("ended_by") {
        Some("agent_lost") => add(
            format!("The agent was lost: {because}."),
            "See whether your program listens at the workflow's address, and what it logged. The caller heard what it had said, then the call was ended.",
        ),
        Some("refused") => add(
            format!("The audio could not be carried: {because}."),
            "The stream was of a kind that is not known here, or the agent could not be made. The workflow's form checks the agent again.",
        ),
        Some("lost") => add(
            format!("The carrier's stream was lost: {because}."),
            "The network between the carrier and this gateway failed, or one of the two stopped. Nothing of the ledger is lost.",
        ),
        _ => {}
    }
    if run.is_over && run.summary.answered && run.media_state == "none" {
        add(
            "It was answered, and the carrier never opened its audio stream.".to_owned(),
            "See whether the carrier can reach the gateway's public address by WebSocket: a proxy must pass upgrades on.",
        );
    }
    troubles
}

fn figures(media: Option<&Value>) -> Vec<Figure> {
    let Some(media) = media else { return Vec::new() };
    let number = |at: &str| media.pointer(at).and_then(Value::as_u64);
    let length = |at: &str| number(at).map(|ms| format!("{:.1} s", Duration::from_millis(ms).as_secs_f64()));
    let milliseconds = |at: &str| number(at).map(|ms| format!("{ms} ms"));
    let format = |name: &str| {
        let format = media.get(name)?;
        let rate = format.get("sample_rate_hz").and_then(Value::as_u64)?;
        let encoding = format.get("encoding").and_then(Value::as_str)?;
        Some(format!("{encoding}, {rate} Hz"))
    };
    let count = |at: &str| number(at).map(|count| count.to_string());
    let known = [
        ("From the carrier", format("inbound")),
        ("To the carrier", format("outbound")),
        ("Agent", number("/agent_rate_hz").filter(|rate| *rate > 0).map(|rate| format!("{rate} Hz"))),
        ("Heard", length("/heard_ms")),
        ("Said", length("/said_ms")),
        ("Frames in", count("/frames_in")),
        ("Frames out", count("/frames_out")),
        ("Keys pressed", count("/digits")),
        ("Marks heard", count("/marks")),
        ("Interruptions (clears)", count("/clears")),
        ("Unreadable messages", count("/malformed")),
        (
            "Delay of resampling",
            number("/delay_us").map(|us| format!("{:.1} ms", Duration::from_micros(us).as_secs_f64() * 1000.0)),
        ),
        ("Agent reached after", milliseconds("/agent/connected_after_ms")),
        ("Held back for the agent, at most", milliseconds("/agent/latest_ms")),
        ("Gaps: not taken by the agent", milliseconds("/agent/dropped_ms")),
        ("Slowest answer to a ping", milliseconds("/agent/slowest_pong_ms")),
    ];
    known.into_iter().filter_map(|(name, value)| Some(Figure { name, value: value? })).collect()
}

fn moments(media: Option<&Value>) -> Vec<Moment> {
    let kept = media.and_then(|media| media.get("moments")).and_then(Value::as_array);
    let moment = |kept: &Value| {
        Some(Moment { at_ms: kept.get("at_ms")?.as_u64()?, what: kept.get("what")?.as_str()?.to_owned() })
    };
    kept.into_iter().flatten().filter_map(moment).collect()
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_form_left_empty_is_not_asked_for() {
        assert_eq!(given("number=&status=busy&cursor=7&x", |_| true), "status=busy&cursor=7");
        assert_eq!(given("number=55&cursor=7", |name| name != "cursor"), "number=55");
        assert_eq!(given("", |_| true), "");
    }

    #[test]
    fn figures_are_those_that_are_known() {
        let media = json!({"inbound": {"encoding": "mulaw", "sample_rate_hz": 8000}, "heard_ms": 1250, "agent": null,
            "agent_rate_hz": 0, "frames_in": 3, "delay_us": 2500});
        let shown: Vec<(&str, String)> =
            figures(Some(&media)).into_iter().map(|figure| (figure.name, figure.value)).collect();
        let expected = [
            ("From the carrier", "mulaw, 8000 Hz"),
            ("Heard", "1.2 s"),
            ("Frames in", "3"),
            ("Delay of resampling", "2.5 ms"),
        ];
        assert_eq!(shown, expected.map(|(name, value)| (name, value.to_owned())));
        assert!(figures(None).is_empty());
    }
}
