//! The media socket: let in by its token, carried by a session.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State, ws::WebSocketUpgrade},
    response::IntoResponse,
};
use http::{Response, StatusCode};
use telephony_core::{WorkflowRunId, error_chain, media::AfterClose};
use tracing::{info, warn};

use super::{MediaState, Run, Shared};
use crate::{
    agent::AgentRequest,
    ledger::Ledger,
    media::{self, MediaSession, SessionEnd},
};

/// A frame of audio is under two kilobytes, and no carrier's message is near this.
const LARGEST_MESSAGE: usize = 64 * 1024;

/// Enough for one message at a time; more would only wait in it.
const READ_BUFFER: usize = 8 * 1024;

/// What may wait to be sent before the connection counts as broken.
const WRITE_LIMIT: usize = 1024 * 1024;

pub(super) async fn upgrade(
    State(shared): State<Arc<Shared>>,
    Path((_workflow, _organization, run, token)): Path<(String, String, String, String)>,
    upgrade: WebSocketUpgrade,
) -> Response<Body> {
    let run = run.parse::<WorkflowRunId>().ok().and_then(|id| shared.run(id));
    let Some(run) = run.filter(|run| shared.tokens.redeem(run.id, &token)) else {
        warn!("A media socket with a token that is not good was refused.");
        return (StatusCode::FORBIDDEN, "the token is not good, or was used before\n").into_response();
    };
    // A second stream of a call would have two agents talk at once.
    let taken = run.media.send_if_modified(|state| {
        let free = *state == MediaState::None;
        if free {
            *state = MediaState::Open;
        }
        free
    });
    if !taken {
        return (StatusCode::CONFLICT, "the call has had its stream\n").into_response();
    }
    let ledger = shared.ledger.clone();
    let failed = run.clone();
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_LIMIT)
        .max_message_size(LARGEST_MESSAGE)
        .max_frame_size(LARGEST_MESSAGE)
        .on_failed_upgrade(move |error| {
            let end = SessionEnd::Lost(error_chain(&error));
            failed.timeline.note_media_end(&end);
            failed.media.send_replace(MediaState::Closed { end, report: Box::default() });
        })
        .on_upgrade(move |socket| async move { serve(socket, run, ledger).await })
}

async fn serve(socket: axum::extract::ws::WebSocket, run: Arc<Run>, ledger: Ledger) {
    let profile = *run.provider.descriptor().media();
    let agent = match (run.agent)() {
        Ok(agent) => agent,
        Err(error) => {
            warn!(run = %run.id, error = error_chain(&error), "The agent of a call could not be made.");
            let end = SessionEnd::Refused(format!("no agent: {}", error_chain(&error)));
            run.media.send_replace(MediaState::Closed { end, report: Box::default() });
            return;
        }
    };
    let mut call = run.call.clone();
    if let Ok(record) = ledger.watch(run.id) {
        // The stream may not say which call it is of.
        call.call = record.borrow().call.clone();
    }
    let mut session = MediaSession::new(run.provider.media_codec(), agent, profile, call, run.record);
    let not_here = |request: AgentRequest| request.refuse("is not possible here");
    let end = media::run(socket, &mut session, |note| run.timeline.note_media(&note), not_here).await;
    let (report, recording) = session.finish(&end);
    info!(run = %run.id, end = ?end, frames_in = report.frames_in, frames_out = report.frames_out, "A stream is over.");
    run.keep_recording(recording);
    run.timeline.note_media_end(&end);
    let ours = end != SessionEnd::Carrier;
    run.media.send_replace(MediaState::Closed { end, report: Box::new(report) });
    if ours && profile.after_close != AfterClose::CallEnds {
        hang_up(&run, &ledger).await;
    }
}

/// Ends the call of a carrier that would leave it up, silent, without its stream.
async fn hang_up(run: &Run, ledger: &Ledger) {
    let Ok(call) = ledger.watch(run.id).map(|record| record.borrow().call.clone()) else { return };
    match run.provider.hang_up(&call).await {
        Ok(_) => run.timeline.note("rest", "hang up", ""),
        Err(error) => {
            warn!(run = %run.id, error = error_chain(&error), "A call could not be hung up.");
            run.timeline.note("rest", "hang up failed", error_chain(&error));
        }
    }
}
