//! All calls that match, as one file: read and sent page by page, however many there are.

use std::{collections::HashMap, io};

use axum::{body::Body, extract::State, response::IntoResponse};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Deserialize;
use telephony_core::OrganizationId;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    super::{
        auth::Caller,
        problem::{Problem, Query},
    },
    Call, CallQuery, LARGEST_PAGE,
};
use crate::{
    service::Service,
    store::{RunFilter, StoreError},
};

/// The columns of a CSV file.
const COLUMNS: [&str; 16] = [
    "id",
    "created_at",
    "ended_at",
    "direction",
    "from",
    "to",
    "provider",
    "configuration",
    "workflow",
    "status",
    "reason",
    "duration_secs",
    "cost_state",
    "cost_amount",
    "cost_currency",
    "has_recording",
];

/// Which calls are wanted, and how.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ExportQuery {
    /// `csv` or `json`; `csv` if absent.
    format: Option<String>,
    /// Only those with this status.
    status: Option<String>,
    /// Only `inbound` or `outbound` ones.
    direction: Option<String>,
    /// Only those of this account.
    configuration_id: Option<Uuid>,
    /// Only those of this workflow.
    workflow_id: Option<Uuid>,
    /// Only those whose caller or called number contains this.
    number: Option<String>,
    /// Only those opened then or later, RFC 3339.
    since: Option<String>,
    /// Only those opened before, RFC 3339.
    until: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    Json,
}

impl Format {
    fn of(word: Option<&str>) -> Result<Self, Problem> {
        match word {
            None | Some("csv") => Ok(Self::Csv),
            Some("json") => Ok(Self::Json),
            Some(_) => Err(Problem::field(StatusCode::UNPROCESSABLE_ENTITY, "format", "must be csv or json")),
        }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json => "application/json",
        })
    }

    fn content_disposition(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Csv => r#"attachment; filename="calls.csv""#,
            Self::Json => r#"attachment; filename="calls.json""#,
        })
    }
}

/// Exports all calls that match, newest first: as CSV (RFC 4180, with a header row, times in RFC 3339), or as a JSON array of Call objects.
///
/// The columns are `id`, `created_at`, `ended_at`, `direction`, `from`, `to`, `provider`, `configuration` and `workflow` (their names, empty
/// once they were deleted), `status`, `reason`, `duration_secs`, `cost_state`, `cost_amount`, `cost_currency`, `has_recording`. A cell that a
/// spreadsheet would run as a formula, as it starts with `=`, `+`, `-`, `@`, a tab or a carriage return, has a `'` put in front; one that
/// is a plain number, such as a telephone number in E.164, stays as it is. A file that is cut off by a failure is cut off visibly: the
/// connection breaks.
#[utoipa::path(get, operation_id = "export_calls", path = "/calls/export", tag = "calls", params(ExportQuery), responses(
    (status = 200, description = "The calls", content((String = "text/csv"), (Vec<Call> = "application/json")),
        headers(("content-disposition" = String, description = "`attachment`, with the name of the file"))),
    (status = 422, description = "A filter is wrong", body = Problem),
))]
pub(in crate::api) async fn export(
    State(service): State<Service>,
    caller: Caller,
    Query(query): Query<ExportQuery>,
) -> Result<Response<Body>, Problem> {
    let format = Format::of(query.format.as_deref())?;
    let calls = CallQuery {
        status: query.status,
        direction: query.direction,
        configuration_id: query.configuration_id,
        workflow_id: query.workflow_id,
        number: query.number,
        since: query.since,
        until: query.until,
        cursor: None,
        limit: Some(LARGEST_PAGE),
    };
    let (filter, _) = calls.filter()?;
    let accounts = service.store().accounts(caller.organization).await?;
    let workflows = service.store().workflows(caller.organization).await?;
    let names = Names {
        accounts: accounts.into_iter().map(|account| (account.id, account.name)).collect(),
        workflows: workflows.into_iter().map(|workflow| (workflow.id.into(), workflow.name)).collect(),
    };
    let export = Export { service, owner: caller.organization, filter, format, names, stage: Stage::First };
    let pages = stream::try_unfold(export, |mut export| async move {
        let piece = export.next().await.map_err(io::Error::other)?;
        Ok::<_, io::Error>(piece.map(|piece| (piece, export)))
    });
    let headers =
        [(header::CONTENT_TYPE, format.content_type()), (header::CONTENT_DISPOSITION, format.content_disposition())];
    Ok((headers, Body::from_stream(pages)).into_response())
}

/// What accounts and workflows are called.
struct Names {
    accounts: HashMap<Uuid, String>,
    workflows: HashMap<Uuid, String>,
}

/// An export that is under way.
struct Export {
    service: Service,
    owner: OrganizationId,
    filter: RunFilter,
    format: Format,
    names: Names,
    stage: Stage,
}

/// What is to be written next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    First,
    Further,
    Done,
}

impl Export {
    /// The next page, written; `None` after the last.
    async fn next(&mut self) -> Result<Option<Bytes>, ExportError> {
        let is_first = match self.stage {
            Stage::First => true,
            Stage::Further => false,
            Stage::Done => return Ok(None),
        };
        let page = self.service.store().runs(self.owner, &self.filter, LARGEST_PAGE).await?;
        self.filter.before = page.runs.last().map(|run| run.id);
        self.stage = if page.more { Stage::Further } else { Stage::Done };
        let calls: Vec<Call> = page.runs.into_iter().map(Call::from).collect();
        let written = match self.format {
            Format::Csv => csv(&calls, &self.names, is_first)?,
            Format::Json => json(&calls, is_first, !page.more)?,
        };
        Ok(Some(written.into()))
    }
}

/// Why an export was broken off.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a call cannot be written as CSV")]
    Csv(#[from] csv::Error),
    #[error("a call cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

fn json(calls: &[Call], is_first: bool, is_last: bool) -> Result<Vec<u8>, ExportError> {
    let mut out = Vec::new();
    for (n, call) in calls.iter().enumerate() {
        out.push(if is_first && n == 0 { b'[' } else { b',' });
        serde_json::to_writer(&mut out, call)?;
    }
    if is_first && calls.is_empty() {
        out.push(b'[');
    }
    if is_last {
        out.push(b']');
    }
    Ok(out)
}

fn csv(calls: &[Call], names: &Names, is_first: bool) -> Result<Vec<u8>, ExportError> {
    let mut out = Vec::new();
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(&mut out);
    if is_first {
        writer.write_record(COLUMNS)?;
    }
    for call in calls {
        let name = |names: &HashMap<Uuid, String>, id: Option<Uuid>| id.and_then(|id| names.get(&id).cloned());
        let cells: [Option<String>; COLUMNS.len()] = [
            Some(call.id.to_string()),
            Some(call.created_at.clone()),
            call.ended_at.clone(),
            Some(call.direction.to_owned()),
            Some(call.from.clone()),
            Some(call.to.clone()),
            Some(call.provider.clone()),
            name(&names.accounts, call.configuration_id),
            name(&names.workflows, call.workflow_id),
            call.status.map(str::to_owned),
            call.reason.clone(),
            call.duration_secs.map(|length| length.to_string()),
            Some(call.cost.state.clone()),
            call.cost.amount.clone(),
            call.cost.currency.clone(),
            Some(call.has_recording.to_string()),
        ];
        writer.write_record(cells.map(|cell| defused(cell.unwrap_or_default())))?;
    }
    writer.flush().map_err(csv::Error::from)?;
    drop(writer);
    Ok(out)
}

/// A cell that no spreadsheet runs: what comes from callers and carriers stands in it.
fn defused(cell: String) -> String {
    let runs = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if runs && !is_plain_number(&cell) { format!("'{cell}") } else { cell }
}

/// A sign or none, digits, and a fraction or none.
fn is_plain_number(cell: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = cell.strip_prefix(['+', '-']).unwrap_or(cell);
    match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_run_is_defused_and_numbers_stay() {
        for cell in ["+12025550100", "-0.0140", "+5", "12", "", "busy", "sip:anna@example.com", "a=1", "it's"] {
            assert_eq!(defused(cell.to_owned()), cell);
        }
        let harmful =
            ["=1+1", "+1+1", "-1-1", "@SUM(A1)", "\t=1", "\r=1", "+", "+1.", "-.5", "+1 202", "+1e5", "=\"x\""];
        for cell in harmful {
            assert_eq!(defused(cell.to_owned()), format!("'{cell}"));
        }
    }
}
