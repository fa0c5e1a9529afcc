//! Gateways that share a database tell each other which calls have changed, so that whoever follows a call at one hears of it at once,
//! whichever carries it.

use std::{collections::HashSet, convert::Infallible, mem, sync::Mutex, sync::PoisonError, time::Duration};

use telephony_core::{WorkflowRunId, error_chain};
use tokio::sync::Notify;
use tracing::warn;

use super::{Change, Service};
use crate::store::{Announced, StoreError};

/// How long to wait before a database that failed is listened to again.
const PAUSE: Duration = Duration::from_secs(1);

/// Calls that changed here, of which the others have not been told. One that changes often meanwhile is told of once.
#[derive(Debug, Default)]
pub(super) struct Untold {
    runs: Mutex<HashSet<WorkflowRunId>>,
    some: Notify,
}

impl Untold {
    pub(super) fn add(&self, run: WorkflowRunId) {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(run);
        self.some.notify_one();
    }

    async fn take(&self) -> Vec<WorkflowRunId> {
        self.some.notified().await;
        mem::take(&mut *self.runs.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }
}

/// Tells and hears, until it is dropped.
pub(super) async fn run(service: Service) {
    if service.store().is_shared() {
        tokio::join!(tell(&service), hear(&service));
    }
}

async fn tell(service: &Service) {
    loop {
        let runs = service.inner.untold.take().await;
        if let Err(error) = service.store().announce(&runs).await {
            // They look for themselves, only later.
            warn!(error = error_chain(&error), "Other gateways could not be told of calls that changed.");
        }
    }
}

async fn hear(service: &Service) {
    loop {
        let Err(error) = hear_until_it_fails(service).await;
        warn!(error = error_chain(&error), "Other gateways cannot be heard; it is tried again.");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn hear_until_it_fails(service: &Service) -> Result<Infallible, StoreError> {
    let Some(mut announcements) = service.store().announcements().await? else { return std::future::pending().await };
    // What was said before anybody listened was missed.
    service.tell_followers(Change::Any);
    loop {
        match announcements.next().await? {
            Announced::Runs(runs) => runs.into_iter().for_each(|run| service.tell_followers(Change::Run(run))),
            Announced::Missed => service.tell_followers(Change::Any),
        }
    }
}
