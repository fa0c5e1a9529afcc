//! How a recording looks: the loudness of both sides over its length.

use std::{fs::File, num::NonZeroU32};

use axum::{Json as Answer, extract::State};
use serde::Serialize;
use telephony_core::{audio::Envelope, error_chain};
use tracing::warn;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Caller, found};
use crate::{
    api::problem::{Path, Problem},
    service::Service,
};

/// As many slices as a wide window has columns for.
const SLICES: NonZeroU32 = NonZeroU32::new(800).unwrap();

/// How loud both sides of a recording are, over its length.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Waveform {
    /// How long it is.
    seconds: f64,
    /// The loudest sample of each slice of the caller's side, 0 to 1; at most 800 slices, all of the same length but the last.
    caller: Vec<f32>,
    /// The same of what the caller heard.
    agent: Vec<f32>,
}

impl From<Envelope> for Waveform {
    fn from(envelope: Envelope) -> Self {
        // Three digits are more than a picture shows.
        let rounded = |side: Vec<f32>| side.into_iter().map(|loud| (loud * 1_000.0).round() / 1_000.0).collect();
        Self {
            seconds: envelope.duration.as_secs_f64(),
            caller: rounded(envelope.left),
            agent: rounded(envelope.right),
        }
    }
}

/// Says how loud both sides of a call's recording are, for a picture of it.
#[utoipa::path(get, operation_id = "read_waveform", path = "/calls/{id}/waveform", tag = "calls", params(("id" = Uuid, Path, description = "The call")), responses(
    (status = 200, description = "Both sides", body = Waveform),
    (status = 404, description = "There is no recording, or it lies with another gateway", body = Problem),
))]
pub(in crate::api) async fn waveform(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Answer<Waveform>, Problem> {
    let run = found(&service, caller, id).await?;
    let missing = || Problem::not_found("recording");
    let name = run.recording.ok_or_else(missing)?;
    let file = service.options().recordings.clone().ok_or_else(missing)?.join(name);
    let read = move || File::open(file).ok().map(|file| Envelope::from_wav(file, SLICES));
    match tokio::task::spawn_blocking(read).await {
        Ok(Some(Ok(envelope))) => Ok(Answer(envelope.into())),
        Ok(Some(Err(error))) => {
            warn!(error = error_chain(&error), "A recording cannot be read.");
            Err(missing())
        }
        Ok(None) | Err(_) => Err(missing()),
    }
}
