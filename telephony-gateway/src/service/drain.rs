//! An end that hangs up on nobody: first no new calls, then, once those that are up are over, no requests.

use std::time::Duration;

use tokio::sync::watch;

use super::Service;
use crate::telemetry;

/// How far a service is on its way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    #[default]
    Serving,
    /// No new calls; everything else goes on.
    Draining,
    /// No new requests, and those that would never end are ended.
    Closing,
}

/// The state of a service's end.
#[derive(Debug, Default)]
pub(super) struct Drain {
    phase: watch::Sender<Phase>,
    /// How many calls' streams are carried by this process.
    carried: watch::Sender<usize>,
}

/// Counts a call's stream as carried here, as long as it lives.
pub(super) struct Carried(Service);

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.inner.drain.carried.send_modify(|carried| {
            *carried -= 1;
            telemetry::streams(*carried);
        });
    }
}

impl Service {
    pub(super) fn carry(&self) -> Carried {
        self.inner.drain.carried.send_modify(|carried| {
            *carried += 1;
            telemetry::streams(*carried);
        });
        Carried(self.clone())
    }

    /// How many calls' streams this process carries.
    #[must_use]
    pub fn carried(&self) -> usize {
        *self.inner.drain.carried.borrow()
    }

    /// Whether new calls are refused, because the gateway is about to end.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        *self.inner.drain.phase.borrow() > Phase::Serving
    }

    /// Takes no new calls from now on, and waits until none is carried any more: at most for `limit`. Returns how many are left.
    pub async fn drain(&self, limit: Duration) -> usize {
        let drain = &self.inner.drain;
        drain.phase.send_modify(|phase| *phase = (*phase).max(Phase::Draining));
        let mut carried = drain.carried.subscribe();
        let idle = tokio::time::timeout(limit, carried.wait_for(|carried| *carried == 0)).await;
        if idle.is_ok() { 0 } else { self.carried() }
    }

    pub(super) fn close(&self) {
        self.inner.drain.phase.send_replace(Phase::Closing);
    }

    /// Waits for the moment from which nothing may take long any more.
    pub(crate) async fn closing(&self) {
        let mut phase = self.inner.drain.phase.subscribe();
        // The sender lives in the service.
        let _phase = phase.wait_for(|phase| *phase == Phase::Closing).await;
    }
}
