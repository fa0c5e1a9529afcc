//! Following calls, as server-sent events.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use telephony_core::{OrganizationId, WorkflowRunId, error_chain};
use tokio::{
    sync::broadcast,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until, timeout_at},
};
use tracing::warn;
use uuid::Uuid;

use super::{
    super::{
        auth::Caller,
        problem::{Path, Problem},
    },
    Call, CallEvent, found,
};
use crate::{
    media::Meter,
    service::{Change, Followed, Service},
    store::{RunFilter, StoreError, StoredRun},
};

/// How long nothing is said on a live stream before it is looked all the same: what gateways tell each other may get lost.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How often it is told how loud a call is.
const LEVELS_EVERY: Duration = Duration::from_millis(200);

/// How long to wait before a database that failed is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// How many of the newest calls are looked at where any may have changed.
const NEWEST: u32 = 200;

/// How many calls are remembered as they were told last.
const REMEMBERED: usize = 1_000;

/// Follows a call, as server-sent events: `call` whenever it has changed, `event` for each row of its ledger, from the first on, and `levels`
/// about five times a second while its audio is open: `{"caller_dbfs": -23.5, "agent_dbfs": -96.0}`, how loud what the caller says and
/// what the caller hears were since the last one, as root mean square in dB of full scale, -96 for silence. Only the gateway that carries
/// the audio tells levels. The stream ends when the call is over, its audio is closed and its price is settled.
#[utoipa::path(get, operation_id = "follow_call", path = "/calls/{id}/live", tag = "calls", params(("id" = Uuid, Path, description = "The call")), responses(
    (status = 200, description = "`call` events hold a Call, `event` events a CallEvent, `levels` events the loudness of both sides", content_type = "text/event-stream"),
    (status = 404, description = "There is none", body = Problem),
))]
pub(in crate::api) async fn live(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let run = found(&service, caller, id).await?;
    let (changes, closing) = (service.changes(), service.clone());
    let mut levels_due = interval(LEVELS_EVERY);
    levels_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let follower = Follower {
        changes,
        service,
        run: run.id,
        seen: 0,
        last: None,
        is_settled: false,
        looked_at: Instant::now(),
        meter: None,
        levels_due,
        waiting: Vec::new(),
    };
    let stream = futures_util::stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    })
    .take_until(async move { closing.closing().await });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// Somebody who follows a call.
struct Follower {
    service: Service,
    changes: broadcast::Receiver<Change>,
    run: WorkflowRunId,
    /// The number of the last row that was told.
    seen: i64,
    /// The call as it was told last.
    last: Option<Call>,
    /// Whether nothing happens with it any more.
    is_settled: bool,
    looked_at: Instant,
    /// While the audio of the call is carried here.
    meter: Option<Meter>,
    levels_due: Interval,
    /// What is to be told, last first.
    waiting: Vec<Event>,
}

/// How loud a call was since the last time.
#[derive(Serialize)]
struct Levels {
    caller_dbfs: f64,
    agent_dbfs: f64,
}

impl Follower {
    /// What is told next; `None` when there is nothing to come any more.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop() {
                return Some(event);
            }
            if self.is_settled {
                return None;
            }
            if self.last.is_some()
                && let Some(levels) = self.change().await
            {
                // Two numbers always can be written.
                return Event::default().event("levels").json_data(levels).ok();
            }
            // A database that fails ends the stream: the browser comes again.
            self.looked_at = Instant::now();
            let run = self.service.store().run(self.run).await.ok()??;
            let mut fresh = Vec::new();
            for stored in self.service.store().events(self.run).await.ok()? {
                if stored.id > self.seen {
                    self.seen = stored.id;
                    fresh.push(Event::default().event("event").json_data(CallEvent::from(stored)).ok()?);
                }
            }
            self.is_settled = run.is_settled();
            let call = Call::from(run);
            if self.last.as_ref() != Some(&call) {
                fresh.push(Event::default().event("call").json_data(&call).ok()?);
                self.last = Some(call);
            }
            fresh.reverse();
            self.waiting = fresh;
        }
    }

    /// Waits until the call may have changed: `None`; or until there is something to say of how loud it is.
    async fn change(&mut self) -> Option<Levels> {
        match self.service.loudness(self.run) {
            None => self.meter = None,
            Some(loudness) if self.meter.is_none() => self.meter = Some(Meter::of(loudness)),
            Some(_) => {}
        }
        let look_again = self.looked_at + LOOK_AGAIN;
        loop {
            tokio::select! {
                // Whoever is too slow to hear of all changes looks as well.
                change = self.changes.recv() => if change.is_err() || change.is_ok_and(|change| change.concerns(self.run)) {
                    return None;
                },
                () = sleep_until(look_again) => return None,
                _ = self.levels_due.tick(), if self.meter.is_some() => {
                    let levels = self.meter.as_mut().and_then(Meter::read);
                    if let Some(levels) = levels {
                        return Some(Levels { caller_dbfs: tenths(levels.caller_dbfs), agent_dbfs: tenths(levels.agent_dbfs) });
                    }
                }
            }
        }
    }
}

/// To a tenth.
fn tenths(value: f32) -> f64 {
    (f64::from(value) * 10.0).round() / 10.0
}

/// Follows all calls of the organization, as server-sent events: `call` with the call for each that is opened or changes from now on, on
/// whichever gateway. What changes several times within a fifth of a second is told once. The stream goes on until it is closed, or the
/// gateway ends.
#[utoipa::path(get, operation_id = "follow_calls", path = "/calls/live", tag = "calls", responses(
    (status = 200, description = "`call` events, each of them a Call", content_type = "text/event-stream"),
))]
pub(in crate::api) async fn live_all(
    State(service): State<Service>,
    caller: Caller,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let closing = service.clone();
    let follower = FollowerOfAll::new(service, caller.organization).await?;
    let stream = futures_util::stream::unfold(follower, |mut follower| async move {
        let call = Call::from(follower.next().await);
        let event = Event::default().event("call").json_data(&call).ok()?;
        Some((Ok(event), follower))
    })
    .take_until(async move { closing.closing().await });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// Somebody who follows all calls of an organization.
struct FollowerOfAll {
    service: Service,
    followed: broadcast::Receiver<Followed>,
    owner: OrganizationId,
    /// The versions of the newest calls, as they were told last. A call that is not among them and was opened before is told when it
    /// changes, and at no other time.
    known: BTreeMap<WorkflowRunId, i64>,
    /// What is to be told, last first.
    waiting: Vec<StoredRun>,
    looked_at: Instant,
}

impl FollowerOfAll {
    async fn new(service: Service, owner: OrganizationId) -> Result<Self, StoreError> {
        let (followed, looked_at) = (service.followed(), Instant::now());
        let mut follower = Self { service, followed, owner, known: BTreeMap::new(), waiting: Vec::new(), looked_at };
        // What is there is not told.
        follower.look().await?;
        follower.waiting.clear();
        Ok(follower)
    }

    /// What is told next.
    async fn next(&mut self) -> StoredRun {
        loop {
            if let Some(run) = self.waiting.pop() {
                return run;
            }
            // With a database of its own, a gateway hears of every change.
            let told = match self.service.store().is_shared() {
                true => {
                    timeout_at(self.looked_at + LOOK_AGAIN, self.followed.recv()).await.unwrap_or(Ok(Followed::Any))
                }
                false => self.followed.recv().await,
            };
            match told {
                Ok(Followed::Call(run)) if run.organization == self.owner => {
                    if self.is_news(&run) {
                        return StoredRun::clone(&run);
                    }
                }
                Ok(Followed::Call(_)) => {}
                // Whoever is too slow to hear of all changes looks as well.
                Ok(Followed::Any) | Err(_) => {
                    while let Err(error) = self.look().await {
                        warn!(error = error_chain(&error), "Calls could not be read for somebody who follows them.");
                        sleep(PAUSE).await;
                    }
                }
            }
        }
    }

    /// Looks for what has changed among the newest calls.
    async fn look(&mut self) -> Result<(), StoreError> {
        self.looked_at = Instant::now();
        let page = self.service.store().runs(self.owner, &RunFilter::default(), NEWEST).await?;
        self.waiting = page.runs.into_iter().filter(|run| self.is_news(run)).collect();
        Ok(())
    }

    /// Whether it has changed since it was told; it counts as told then.
    fn is_news(&mut self, run: &StoredRun) -> bool {
        if self.known.get(&run.id).is_some_and(|known| *known >= run.version) {
            return false;
        }
        self.known.insert(run.id, run.version);
        // Ids go up with time, so these are the oldest.
        while self.known.len() > REMEMBERED {
            self.known.pop_first();
        }
        true
    }
}
