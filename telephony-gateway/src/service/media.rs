//! The media socket of a call: let in by its token, carried by a session, reported to the store.

use std::{
    fs, io,
    path::Path as FilePath,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{Path, State, ws::WebSocketUpgrade},
    response::IntoResponse,
};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;
use telephony_core::{
    Address, TelephonyProvider, WorkflowRunId, audio::StereoRecorder, error_chain, media::AfterClose,
};
use tracing::{Instrument, error, info, warn};

use super::{Change, Service, agent::AgentSpec, call_span};
use crate::{
    agent::{AgentAction, AgentCall, AgentRequest},
    media::{self, Loudness, MediaNote, MediaReport, MediaSession, SessionEnd},
    store::StoredRun,
    telemetry,
    timeline::seconds,
};

/// A frame of audio is under two kilobytes, and no carrier's message is near this.
const LARGEST_MESSAGE: usize = 64 * 1024;

/// Enough for one message at a time; more would only wait in it.
const READ_BUFFER: usize = 8 * 1024;

/// What may wait to be sent before the connection counts as broken.
const WRITE_LIMIT: usize = 1024 * 1024;

pub(crate) async fn upgrade(
    State(service): State<Service>,
    Path((_workflow, _organization, run, token)): Path<(String, String, String, String)>,
    upgrade: WebSocketUpgrade,
) -> Response<Body> {
    let refused = || {
        warn!("A media socket with a token that is not good was refused.");
        (StatusCode::FORBIDDEN, "the token is not good, or was used before\n").into_response()
    };
    let Ok(id) = run.parse::<WorkflowRunId>() else { return refused() };
    let run = match service.store().redeem_media_token(id, &token).await {
        Ok(Some(run)) => run,
        Ok(None) => return refused(),
        Err(error) => {
            error!(run = %id, error = error_chain(&error), "A media socket could not be let in.");
            return (StatusCode::INTERNAL_SERVER_ERROR, "the gateway failed\n").into_response();
        }
    };
    service.changed(id);
    let carried = service.carry();
    let failed = (service.clone(), run.clone());
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_LIMIT)
        .max_message_size(LARGEST_MESSAGE)
        .max_frame_size(LARGEST_MESSAGE)
        .on_failed_upgrade(move |error| {
            let (service, run) = failed;
            let end = SessionEnd::Lost(error_chain(&error));
            let span = call_span(run.id, &run.provider);
            tokio::spawn(async move { closed(&service, &run, &end, Over::default()).await }.instrument(span));
        })
        .on_upgrade(move |socket| async move {
            let _carried = carried;
            let span = call_span(run.id, &run.provider);
            serve(socket, service, run).instrument(span).await;
        })
}

async fn serve(socket: axum::extract::ws::WebSocket, service: Service, run: StoredRun) {
    let provider = match service.provider_of(&run).await {
        Ok(provider) => provider,
        Err(error) => {
            let end = SessionEnd::Refused(format!("no provider: {}", error_chain(&error)));
            return closed(&service, &run, &end, Over::default()).await;
        }
    };
    let attended = service.attended(run.id);
    let agent = match &attended {
        Some(attended) => (attended.agent)().map_err(|error| error_chain(&error)),
        None => serde_json::from_value::<AgentSpec>(run.options["agent"].clone())
            .map_err(|error| error.to_string())
            .and_then(|spec| spec.make(service.options()).map_err(|error| error_chain(&error))),
    };
    let agent = match agent {
        Ok(agent) => agent,
        Err(reason) => {
            warn!(reason, "The agent of a call could not be made.");
            let end = SessionEnd::Refused(format!("no agent: {reason}"));
            closed(&service, &run, &end, Over::default()).await;
            return hang_up(&service, provider.as_ref(), run.id).await;
        }
    };
    let profile = *provider.descriptor().media();
    let mut call = AgentCall::new(provider.descriptor().name(), run.direction);
    call.run_id = Some(run.id);
    call.call = run.call.clone();
    // Of an inbound call, a party may be no address: it is kept as the carrier wrote it, such as `anonymous`.
    call.from = run.from.parse::<Address>().ok();
    call.to = run.to.parse::<Address>().ok();
    let record = run.options["record"] == true;
    let mut session = MediaSession::new(provider.media_codec(), agent, profile, call, record);
    let carry_out = |request: AgentRequest| {
        let (service, run) = (service.clone(), run.clone());
        tokio::spawn(async move { carry_out(&service, &run, request).await }.in_current_span());
    };
    let measured = service.measure(run.id, session.loudness());
    let mut moments = Moments::default();
    let note = |note| {
        moments.note(&note);
        if let Some(attended) = &attended {
            attended.timeline.note_media(&note);
        }
    };
    let end = media::run(socket, &mut session, note, carry_out).await;
    drop(measured);
    let (report, recording) = session.finish(&end);
    info!(end = ?end, frames_in = report.frames_in, frames_out = report.frames_out, "A stream is over.");
    telemetry::carried(&run.provider, &report);
    closed(&service, &run, &end, Over { report: Some(report), moments: moments.kept, recording }).await;
    if end != SessionEnd::Carrier && profile.after_close != AfterClose::CallEnds {
        hang_up(&service, provider.as_ref(), run.id).await;
    }
}

/// Lets the loudness of a stream be read as long as it lives.
struct Measured {
    service: Service,
    run: WorkflowRunId,
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.service.inner.loudness.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.run);
    }
}

impl Service {
    fn measure(&self, run: WorkflowRunId, loudness: Arc<Loudness>) -> Measured {
        self.inner.loudness.lock().unwrap_or_else(PoisonError::into_inner).insert(run, loudness);
        // Whoever follows the call here looks, and finds it.
        self.tell_followers(Change::Run(run));
        Measured { service: self.clone(), run }
    }

    /// How loud a call is, while its stream is carried here.
    pub(crate) fn loudness(&self, run: WorkflowRunId) -> Option<Arc<Loudness>> {
        self.inner.loudness.lock().unwrap_or_else(PoisonError::into_inner).get(&run).cloned()
    }
}

/// How many moments of a stream are kept: more than anybody reads.
const MOST_MOMENTS: usize = 500;

/// What is worth a mark in a recording, and when it was.
#[derive(Default)]
struct Moments {
    /// When the stream, and with it the recording, began.
    since: Option<Instant>,
    kept: Vec<Moment>,
}

#[derive(Serialize)]
struct Moment {
    /// How long after the beginning.
    at_ms: u64,
    what: String,
}

impl Moments {
    fn note(&mut self, note: &MediaNote) {
        let what = match note {
            MediaNote::Started { .. } => {
                self.since.get_or_insert_with(Instant::now);
                return;
            }
            MediaNote::FirstAudio => return,
            MediaNote::AgentSays { length } => format!("agent speaks, {}", seconds(*length)),
            MediaNote::Heard { mark } => format!("heard: {mark}"),
            MediaNote::Digit => "key pressed".to_owned(),
            MediaNote::Cleared => "interrupted".to_owned(),
            MediaNote::AgentHangsUp => "agent hangs up".to_owned(),
            MediaNote::AgentLost { .. } => "agent lost".to_owned(),
        };
        if self.kept.len() < MOST_MOMENTS {
            let after = self.since.map_or(Duration::ZERO, |since| since.elapsed());
            self.kept.push(Moment { at_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX), what });
        }
    }
}

/// What is left of a stream that is over; nothing of one that never was.
#[derive(Default)]
struct Over {
    report: Option<MediaReport>,
    moments: Vec<Moment>,
    recording: Option<StereoRecorder>,
}

/// Writes down how a stream ended, and what went over it. Whoever attends the call gets its recording, else it is a file.
async fn closed(
    service: &Service,
    StoredRun { id: run, provider, .. }: &StoredRun,
    end: &SessionEnd,
    Over { report: over, moments, recording }: Over,
) {
    let mut report = json!({});
    if let Some(over) = &over {
        report = serde_json::to_value(over).unwrap_or_default();
        report["moments"] = json!(moments);
    }
    let recording = match service.attended(*run) {
        Some(attended) => {
            attended.closed(end, over.unwrap_or_default(), recording);
            None
        }
        None => recording.and_then(|recording| keep(service, *run, recording)),
    };
    let (by, reason) = match end {
        SessionEnd::Carrier => ("carrier", None),
        SessionEnd::Agent => ("agent", None),
        SessionEnd::AgentLost(reason) => ("agent_lost", Some(reason)),
        SessionEnd::Refused(reason) => ("refused", Some(reason)),
        SessionEnd::Lost(reason) => ("lost", Some(reason)),
    };
    telemetry::stream_ended(provider, by);
    report["ended_by"] = by.into();
    report["ended_because"] = json!(reason);
    if let Err(error) = service.store().close_media(*run, &report, recording.as_deref()).await {
        error!(error = error_chain(&error), "The end of a stream could not be written down.");
    }
    service.changed(*run);
}

/// Does to the call what its agent asks for.
async fn carry_out(service: &Service, run: &StoredRun, request: AgentRequest) {
    let outcome = match request.action() {
        AgentAction::Transfer { to } => service.transfer(run.organization, run.id, to.clone()).await.map(|_| ()),
        AgentAction::SendDigits { digits } => service.send_digits(run.organization, run.id, digits).await,
    };
    match outcome {
        Ok(()) => request.done(),
        Err(error) => request.refuse(error_chain(&error)),
    }
}

/// Keeps a recording in the folder of recordings, and returns its file's name.
fn keep(service: &Service, run: WorkflowRunId, recording: StereoRecorder) -> Option<String> {
    let folder = service.options().recordings.clone()?;
    let name = format!("{run}.wav");
    match write(&folder, &name, &recording) {
        Ok(()) => Some(name),
        Err(error) => {
            error!(error = error_chain(&*error), "A recording could not be kept.");
            None
        }
    }
}

fn write(folder: &FilePath, name: &str, recording: &StereoRecorder) -> Result<(), telephony_core::BoxError> {
    fs::create_dir_all(folder)?;
    let beside = folder.join(format!(".{name}.part"));
    // What people said is nobody else's business.
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = io::BufWriter::new(options.open(&beside)?);
    recording.write_wav(&mut file)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&beside, folder.join(name))?;
    Ok(())
}

/// Ends the call of a carrier that would leave it up, silent, without its stream.
async fn hang_up(service: &Service, provider: &dyn TelephonyProvider, run: WorkflowRunId) {
    let Ok(Some(run)) = service.store().run(run).await else { return };
    if run.is_over {
        return;
    }
    match provider.hang_up(&run.call).await {
        Ok(_) => service.note(run.id, "rest", "hang up", ""),
        Err(error) => {
            warn!(error = error_chain(&error), "A call could not be hung up.");
            service.note(run.id, "rest", "hang up failed", error_chain(&error));
        }
    }
}
