//! Webhooks: verified, read, written down, then answered.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use telephony_core::{
    CallEvent, CallEventKind, CallInstruction, CallRef, Due, Stream, Timestamp, WebhookRequest, WebhookResponse,
    WorkflowRunId, audio::AudioFormat, error_chain,
};
use tracing::{error, info, warn};

use super::{MediaState, Run, Shared, doctor};
use crate::timeline;

/// A webhook about a run, on its answer URL or its events URL: what it is about is in the webhook, not in the URL.
pub(super) async fn receive(
    State(shared): State<Arc<Shared>>,
    Path((provider, run)): Path<(String, String)>,
    uri: Uri,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let run = run.parse::<WorkflowRunId>().ok().and_then(|id| shared.run(id));
    let Some(run) = run.filter(|run| run.provider.descriptor().name().as_str() == provider) else {
        return refuse(StatusCode::NOT_FOUND, "there is no such run");
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let received_at = Timestamp::now_utc();
    let request = WebhookRequest::new(method, &shared.public_url, path, headers, body, received_at);
    let webhook = match run.provider.verify_webhook_signature(request.clone()) {
        Ok(webhook) => webhook,
        Err(refused) => {
            let advice = doctor::examine(run.provider.as_ref(), &request);
            warn!(provider, run = %run.id, error = %refused, advice, "A webhook was refused.");
            run.timeline.note("gateway", "webhook refused", refused.to_string());
            return refuse(refused.status(), &refused.to_string());
        }
    };
    let events = match run.provider.parse_webhook(&webhook) {
        Ok(events) => events,
        Err(refused) => {
            warn!(provider, run = %run.id, error = %refused, "A webhook could not be read.");
            return refuse(refused.status(), &refused.to_string());
        }
    };
    let wanted = events.iter().find_map(|event| match &event.kind {
        CallEventKind::InstructionWanted { due, .. } => Some((event.call.clone(), due.clone())),
        _ => None,
    });
    let Some(mut call) = write_down(&shared, &run, events, received_at) else {
        return refuse(StatusCode::NOT_FOUND, "there is no such run");
    };
    let Some((asking, due)) = wanted else { return respond(WebhookResponse::no_content()) };
    // A webhook that comes again is answered as it was: what it says itself counts, and not what was heard since.
    call.absorb(&asking);
    let instruction = match due {
        Some(Due::Do(instruction)) => *instruction,
        Some(Due::HangUp) => CallInstruction::HangUp,
        // Every URL of a run asks the same.
        Some(Due::Ask(_)) | None => next(&shared, &run),
    };
    match run.provider.get_webhook_response(&call, &instruction).await {
        Ok(response) => {
            run.timeline.note("gateway", "instruction", instruction.name());
            respond(response)
        }
        Err(failed) => {
            error!(provider, run = %run.id, error = error_chain(&failed), "A call could not be told what to do.");
            run.timeline.note("gateway", "no instruction", error_chain(&failed));
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "no instruction could be made")
        }
    }
}

/// Appends what is new to the ledger, before anything is acknowledged.
fn write_down(shared: &Shared, run: &Run, events: Vec<CallEvent>, received_at: Timestamp) -> Option<CallRef> {
    let appended = shared.ledger.append(run.id, events, received_at, |event, new| {
        let name = timeline::describe(&event.kind).0;
        info!(run = %run.id, call_id = %event.call, event = name, new, "A call event came.");
        if new {
            run.timeline.note_event(&event.kind);
        } else {
            run.timeline.note("webhook", "repeated", name);
        }
    });
    appended.ok()
}

/// What the call does next: it streams to the agent, once.
fn next(shared: &Shared, run: &Run) -> CallInstruction {
    let over = matches!(*run.media.borrow(), MediaState::Closed { .. });
    if over {
        return CallInstruction::HangUp;
    }
    let stream = Stream::to(shared.media_url(run))
        .with_preferred_format(AudioFormat::LINEAR16_16K)
        .with_events(shared.webhook_url(run, "events"));
    CallInstruction::Stream(stream)
}

fn respond(response: WebhookResponse) -> Response<Body> {
    response.into_http().map(Body::from)
}

fn refuse(status: StatusCode, reason: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{reason}\n")));
    *response.status_mut() = status;
    response
}
