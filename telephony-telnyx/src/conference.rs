//! Conferences. Telnyx has no command that enters one by its name whether it is there or not: the first participant makes it
//! out of their call, and everybody else joins it. So it is looked for, made if there is none, and joined if somebody else was
//! faster: the name of an active conference is refused to a second one.
//!
//! | wanted | of who makes it | of who joins it |
//! | --- | --- | --- |
//! | `start_on_enter` | `start_conference_on_create` | `start_conference_on_enter` |
//! | `muted` | a request of its own: `mute` | `mute` |
//! | `end_on_exit` | a request of its own: the participant is updated | `end_conference_on_exit` |
//!
//! All of it may come again, from the start or from the middle: who is in a conference already is told so by Telnyx, and then
//! only what is missing is made up for.
//!
//! Source: <https://developers.telnyx.com/api-reference/conference-commands/create-conference>, `join-a-conference` and
//! `update-a-conference-participant` beside it, whose answers with status 422 have the refusal of a name as an example.

use telephony_core::{CallRef, CarrierMessage, Conference, Operation, TelephonyError};

use crate::{
    NAME,
    api::Api,
    error::{is_conference_gone, is_in_conference, is_name_taken, unless_the_call_is_over},
    webhook::CONFERENCE,
};

/// How often it is tried: the others may make the conference, and end it, just when we do neither.
const ROUNDS: u32 = 4;

/// Has a call enter a conference: in answer to an event, or of our own accord.
pub(crate) async fn enter(
    api: &Api,
    operation: Operation,
    call: &CallRef,
    wanted: &Conference,
    event: Option<&str>,
) -> Result<(), TelephonyError> {
    find_make_or_join(api, operation, call, wanted, event).await.map_err(unless_the_call_is_over)
}

async fn find_make_or_join(
    api: &Api,
    operation: Operation,
    call: &CallRef,
    wanted: &Conference,
    event: Option<&str>,
) -> Result<(), TelephonyError> {
    let mut round = 0;
    let mut taken = false;
    loop {
        // A command that was refused is none that was carried out, but nobody says so: each has a name of its own.
        let command_id = |command: &str| event.map(|event| format!("{event}-{command}-{round}"));
        let found = api.conference_named(operation, &wanted.name).await?;
        leave(api, operation, call, found.as_deref()).await?;
        // One that is there, and is not listed yet, can be joined by its name.
        let known = found.or_else(|| taken.then(|| wanted.name.clone()));
        let refusal = match known {
            None => match api.create_conference(operation, call, wanted, command_id("create")).await {
                Ok(created) => return make_up(api, operation, call, wanted, created).await,
                Err(refusal) if is_name_taken(&refusal) => {
                    taken = true;
                    refusal
                }
                Err(error) => return Err(error),
            },
            Some(id) => match api.join_conference(operation, &id, call, wanted, command_id("join")).await {
                Ok(()) => return Ok(()),
                Err(refusal) if is_in_conference(&refusal) => {
                    return make_up(api, operation, call, wanted, Some(id)).await;
                }
                Err(refusal) if is_conference_gone(&refusal) => {
                    taken = false;
                    refusal
                }
                Err(error) => return Err(error),
            },
        };
        round += 1;
        if round == ROUNDS {
            return Err(refusal);
        }
    }
}

/// What could not be said as the conference was made.
async fn make_up(
    api: &Api,
    operation: Operation,
    call: &CallRef,
    wanted: &Conference,
    id: Option<String>,
) -> Result<(), TelephonyError> {
    if !wanted.muted && !wanted.end_on_exit {
        return Ok(());
    }
    let missing = |what| TelephonyError::Rejected {
        provider: NAME,
        operation,
        carrier: CarrierMessage::default().with_message(what),
    };
    let id = match id {
        Some(id) => id,
        None => api
            .conference_named(operation, &wanted.name)
            .await?
            .ok_or_else(|| missing("the conference that was made is not listed"))?,
    };
    if wanted.muted {
        api.mute(operation, &id, call).await?;
    }
    if wanted.end_on_exit {
        let participant = api.participant(operation, &id, call).await?;
        let participant = participant.ok_or_else(|| missing("the call is not listed among the participants"))?;
        api.end_on_exit(operation, &id, &participant).await?;
    }
    Ok(())
}

/// Takes a call out of the conference that it is in by its events, unless it is this one: it would stay, whatever it is told.
pub(crate) async fn leave(
    api: &Api,
    operation: Operation,
    call: &CallRef,
    unless: Option<&str>,
) -> Result<(), TelephonyError> {
    let current = call.handle(CONFERENCE).filter(|id| !id.is_empty() && Some(*id) != unless);
    let Some(id) = current else { return Ok(()) };
    match api.leave_conference(operation, id, call).await.map_err(unless_the_call_is_over) {
        // It has left.
        Ok(()) | Err(TelephonyError::Rejected { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
