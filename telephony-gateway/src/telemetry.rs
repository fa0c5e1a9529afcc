//! What is counted, and how it is read.
//!
//! It is counted through the `metrics` crate: a program that uses the gateway as a library counts with a recorder of its own, or not at
//! all. `telephony serve` reads it at `/metrics`, as Prometheus does.
//!
//! Labels hold the names of providers, of routes and of outcomes. They never hold a telephone number, an id, or anything that a user or
//! a stranger wrote.

use std::time::{Duration, Instant};

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    middleware::Next,
};
use http::{Method, Response};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use telephony_core::Direction;

use crate::{media::MediaReport, store::StoredRun};

const BUILD: &str = "telephony_build_info";
const DIALS: &str = "telephony_dials_total";
const INBOUND: &str = "telephony_inbound_calls_total";
const ENDS: &str = "telephony_calls_ended_total";
const LENGTHS: &str = "telephony_call_duration_seconds";
const EVENTS: &str = "telephony_call_events_total";
const REFUSED: &str = "telephony_webhooks_refused_total";
const STREAMS: &str = "telephony_media_streams";
const STREAM_ENDS: &str = "telephony_media_streams_ended_total";
const FRAMES: &str = "telephony_media_frames_total";
const MALFORMED: &str = "telephony_media_malformed_total";
const CLEARS: &str = "telephony_media_clears_total";
const REQUESTS: &str = "telephony_http_requests_total";
const LATENCY: &str = "telephony_http_request_duration_seconds";

/// Upper bounds, in seconds: requests to ourselves take milliseconds, those in which a carrier is asked up to its timeout.
const LATENCIES: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Upper bounds, in seconds: a misdialled call, a short one, a conversation, a long one.
const CALL_LENGTHS: [f64; 10] = [5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0];

/// How often what was measured is summed up when nobody reads it.
const SUM_UP_EVERY: Duration = Duration::from_secs(5);

/// Counts for Prometheus from now on, in all of this process.
///
/// # Errors
///
/// [`BuildError`]: something else counts already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(LATENCY.to_owned()), &LATENCIES)?
        .set_buckets_for_metric(Matcher::Full(LENGTHS.to_owned()), &CALL_LENGTHS)?
        .install_recorder()?;
    describe();
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1);
    gauge!(STREAMS).set(0);
    Ok(handle)
}

/// Keeps what was measured from growing while nobody reads it. It never ends.
pub async fn keep_up(handle: PrometheusHandle) {
    let mut every = tokio::time::interval(SUM_UP_EVERY);
    loop {
        every.tick().await;
        handle.run_upkeep();
    }
}

fn describe() {
    describe_gauge!(BUILD, "Always 1; the label says which version runs");
    describe_counter!(DIALS, "Outbound calls, by what the carrier said: accepted, refused, unknown");
    describe_counter!(INBOUND, "Inbound calls, by what became of them: taken, declined, busy, ending");
    describe_counter!(ENDS, "Calls that are over, by direction and final status");
    describe_histogram!(LENGTHS, Unit::Seconds, "How long calls lasted from answer to end, as far as the carrier told");
    describe_counter!(
        EVENTS,
        "Events of calls, by source (webhook, rest, gateway), and whether they were known already"
    );
    describe_counter!(REFUSED, "Webhooks whose signature was not good");
    describe_gauge!(STREAMS, "Media streams that this process carries now");
    describe_counter!(
        STREAM_ENDS,
        "Media streams that are over, by who ended them: carrier, agent, agent_lost, refused, lost"
    );
    describe_counter!(FRAMES, "Messages with audio, by direction: in from the carrier, out to it");
    describe_counter!(MALFORMED, "Messages on media streams that could not be read");
    describe_counter!(CLEARS, "Times that an agent was interrupted, and what it had said was cleared away");
    describe_counter!(REQUESTS, "HTTP requests, by method, route and status");
    describe_histogram!(LATENCY, Unit::Seconds, "How long HTTP requests took until their response began");
}

pub(crate) fn dialled(provider: &str, outcome: &'static str) {
    counter!(DIALS, "provider" => provider.to_owned(), "outcome" => outcome).increment(1);
}

pub(crate) fn came_in(provider: &str, outcome: &'static str) {
    counter!(INBOUND, "provider" => provider.to_owned(), "outcome" => outcome).increment(1);
}

pub(crate) fn happened(provider: &str, source: &'static str, new: bool) {
    let known = if new { "no" } else { "yes" };
    counter!(EVENTS, "provider" => provider.to_owned(), "source" => source, "known" => known).increment(1);
}

pub(crate) fn ended(run: &StoredRun) {
    let status = run.summary.status.map_or("unknown", |status| status.as_str());
    let direction = match run.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    };
    counter!(ENDS, "provider" => run.provider.clone(), "direction" => direction, "status" => status).increment(1);
    if let Some(duration) = run.summary.duration {
        histogram!(LENGTHS, "provider" => run.provider.clone(), "direction" => direction).record(duration);
    }
}

pub(crate) fn refused(provider: &'static str) {
    counter!(REFUSED, "provider" => provider).increment(1);
}

pub(crate) fn streams(carried: usize) {
    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53")]
    gauge!(STREAMS).set(carried as f64);
}

pub(crate) fn stream_ended(provider: &str, by: &'static str) {
    counter!(STREAM_ENDS, "provider" => provider.to_owned(), "by" => by).increment(1);
}

pub(crate) fn carried(provider: &str, report: &MediaReport) {
    let provider = || provider.to_owned();
    counter!(FRAMES, "provider" => provider(), "direction" => "in").increment(report.frames_in);
    counter!(FRAMES, "provider" => provider(), "direction" => "out").increment(report.frames_out);
    counter!(MALFORMED, "provider" => provider()).increment(report.malformed);
    counter!(CLEARS, "provider" => provider()).increment(report.clears);
}

/// Counts a request. What a stranger can write, such as a method of their own or a path that is none of ours, is counted as `other`.
pub(crate) async fn count(request: Request, next: Next) -> Response<Body> {
    let began = Instant::now();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    histogram!(LATENCY, "route" => route.clone()).record(began.elapsed());
    counter!(REQUESTS, "method" => method, "route" => route, "status" => status).increment(1);
    response
}
