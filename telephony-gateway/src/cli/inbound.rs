//! An inbound call: somebody calls a number of a simulated carrier, and a gateway that runs answers it.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde_json::{Value, json};
use telephony_core::{CallStatus, PhoneNumber};
use telephony_sandbox::{Observation, Sandbox};
use tokio::time::{MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use super::{
    CliError,
    accounts::{Asked, Where, usage},
    call::{INTERRUPTED, status_of},
    signals::Signals,
};
use crate::{
    CallOutcome,
    service::ServiceError,
    store::{Account, NewNumber, RunFilter, StoredEvent, StoredRun},
    timeline,
};

/// How often the gateway's ledger is looked into.
const LOOK: Duration = Duration::from_millis(100);

/// How long to wait for the end of a call that was told to end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Gives the gateway an account with the carrier for as long as the call takes, and follows the call. No call goes through that account
/// but this one.
pub(super) async fn run(
    sandbox: Sandbox,
    mut signals: Signals,
    workflow: &str,
    from: &PhoneNumber,
    to: &PhoneNumber,
    at: Where,
) -> Result<u8, CliError> {
    let asked = at.open().await?;
    let workflow = asked.workflow(workflow).await?.id;
    let provider = sandbox.simulator().provider();
    let name = format!("{} (simulated {})", provider.name(), Uuid::now_v7().simple());
    let added =
        asked.service.add_passing_account(asked.owner, &name, provider.name().as_str(), sandbox.account()).await;
    let account = added.map_err(usage)?;
    let outcome = tokio::select! {
        outcome = call(&asked, &sandbox, &account, workflow, from, to) => outcome.map(Some),
        signal = signals.next() => match signal {
            Ok(()) => hang_up(&asked, &account).await.map(|()| None),
            Err(error) => Err(error.into()),
        },
    };
    sandbox.stop().await;
    asked.service.store().delete_account(asked.owner, account.id).await?;
    let Some((run, events)) = outcome? else { return Ok(INTERRUPTED) };
    let status = run.summary.status.map_or("unknown", CallStatus::as_str);
    let value = json!({
        "id": Uuid::from(run.id), "from": run.from, "to": run.to, "status": status, "reason": run.summary.reason,
        "events": events.iter().map(line).map(|(event, detail)| json!({"event": event, "detail": detail})).collect::<Vec<Value>>(),
    });
    let exit_status = status_of(CallOutcome::of(run.summary.status, None));
    asked.say(value, || format!("The call is over: {status}. It stays listed as {}.\n", Uuid::from(run.id))).await?;
    Ok(exit_status)
}

/// Ends the call, if there is one, and lets the gateway learn of it.
async fn hang_up(asked: &Asked, account: &Account) -> Result<(), CliError> {
    let store = asked.service.store();
    let filter = RunFilter { configuration: Some(account.id), ..RunFilter::default() };
    let ended = async {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_told = false;
        loop {
            looks.tick().await;
            let Some(run) = store.runs(asked.owner, &filter, 1).await?.runs.into_iter().next() else { return Ok(()) };
            if run.is_over {
                return Ok(());
            }
            if !is_told {
                asked.service.hang_up(asked.owner, run.id).await.map_err(usage)?;
                is_told = true;
            }
        }
    };
    match timeout(ENDS_WITHIN, ended).await {
        Ok(ended) => ended,
        Err(_) => Ok(writeln!(io::stderr(), "The gateway has not said that the call is over.")?),
    }
}

/// Has the number answered, calls it, and returns once everything about the call is known.
async fn call(
    asked: &Asked,
    sandbox: &Sandbox,
    account: &Account,
    workflow: telephony_core::WorkflowId,
    from: &PhoneNumber,
    to: &PhoneNumber,
) -> Result<(StoredRun, Vec<StoredEvent>), CliError> {
    let store = asked.service.store();
    let new = NewNumber { number: to.clone(), label: None, country: None, provider_id: None };
    store.import_numbers(asked.owner, account.id, &[new]).await?;
    let row = store.number_of_account(account.id, to).await?;
    let row = row.ok_or(ServiceError::NotFound { what: "number" }).map_err(usage)?;
    store.assign_workflow(asked.owner, row.id, Some(workflow)).await?;
    for warning in asked.service.point_number_here(&row, true).await.map_err(usage)? {
        writeln!(io::stderr(), "{warning}")?;
    }
    sandbox.call_in(from.as_e164(), to.as_e164()).await?;

    let filter = RunFilter { configuration: Some(account.id), ..RunFilter::default() };
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = 0;
    loop {
        looks.tick().await;
        // Looked at first: a call that is over by now has been told of, if ever.
        let over = sandbox.observations().iter().any(|seen| matches!(seen, Observation::CallEnded { .. }));
        let Some(run) = store.runs(asked.owner, &filter, 1).await?.runs.into_iter().next() else {
            if over {
                return Err(CliError::Usage(not_taken(asked, sandbox)));
            }
            continue;
        };
        let events = store.events(run.id).await?;
        if !asked.json {
            let mut output = io::stdout().lock();
            for event in &events[told..] {
                let (event, detail) = line(event);
                writeln!(output, "{}", format!("{event:<20} {detail}").trim_end())?;
            }
            output.flush()?;
        }
        told = events.len();
        if run.is_over && run.cost_state != "pending" && run.media_state != "open" {
            return Ok((run, events));
        }
    }
}

fn line(stored: &StoredEvent) -> (String, String) {
    timeline::describe(&stored.event.kind)
}

/// Why the call came to nothing, as the carrier saw it.
fn not_taken(asked: &Asked, sandbox: &Sandbox) -> String {
    let answers = sandbox.observations().into_iter().filter_map(|seen| match seen {
        Observation::WebhookSent { status, .. } => Some(status),
        _ => None,
    });
    let gateway = asked.service.public_url();
    match answers.last() {
        Some(Some(status)) if status >= 400 => format!(
            "the gateway at {gateway} refused the call with status {status}: does it use the same database and master key, and is {gateway} its \
             --public-url?"
        ),
        Some(Some(_)) => {
            format!("the gateway at {gateway} declined the call: it may be ending, or have as many calls as it may")
        }
        Some(None) => format!("nothing answers at {gateway}: start the gateway, or say where it is with --public-url"),
        None => "the carrier told nobody of the call: its webhook could not be set".to_owned(),
    }
}
