//! Calls that change, told to whoever follows all of an organization's.
//!
//! A call that has changed is read once, however many follow; while nobody does, none is.

use std::{collections::HashSet, sync::Arc, time::Duration};

use telephony_core::{WorkflowRunId, error_chain};
use tokio::{sync::broadcast, time::Instant};
use tracing::warn;

use super::{Change, Service};
use crate::store::StoredRun;

/// A call that changes several times meanwhile is told of once.
const BURST: Duration = Duration::from_millis(200);

/// What whoever follows calls is told.
#[derive(Clone, Debug)]
pub(crate) enum Followed {
    /// The call as it is now, of whatever organization.
    Call(Arc<StoredRun>),
    /// Any may have changed.
    Any,
}

/// Changes that have not been told.
#[derive(Debug, Default)]
struct Burst {
    runs: HashSet<WorkflowRunId>,
    any: bool,
}

impl Burst {
    fn add(&mut self, change: Option<Change>) {
        match change {
            Some(Change::Run(run)) => drop(self.runs.insert(run)),
            Some(Change::Any) | None => self.any = true,
        }
    }
}

/// The next change; `None` if some were missed.
async fn next(changes: &mut broadcast::Receiver<Change>) -> Option<Change> {
    // The sender lives in the service, which whoever waits here holds.
    changes.recv().await.ok()
}

/// Tells, until it is dropped.
pub(super) async fn run(service: Service) {
    let mut changes = service.changes();
    loop {
        let mut burst = Burst::default();
        burst.add(next(&mut changes).await);
        if service.inner.followed.receiver_count() == 0 {
            continue;
        }
        let over = Instant::now() + BURST;
        while let Ok(change) = tokio::time::timeout_at(over, next(&mut changes)).await {
            burst.add(change);
        }
        for run in burst.runs {
            match service.store().run(run).await {
                Ok(Some(run)) => service.tell_of(Followed::Call(Arc::new(run))),
                Ok(None) => {}
                Err(error) => {
                    warn!(
                        error = error_chain(&error),
                        "A call that changed could not be read for those who follow it."
                    );
                    burst.any = true;
                }
            }
        }
        if burst.any {
            service.tell_of(Followed::Any);
        }
    }
}

impl Service {
    /// Calls of all organizations, each as it is a moment after it has changed, from now on.
    pub(crate) fn followed(&self) -> broadcast::Receiver<Followed> {
        self.inner.followed.subscribe()
    }

    fn tell_of(&self, followed: Followed) {
        // Often nobody looks.
        let _nobody_looks = self.inner.followed.send(followed);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use telephony_core::{CallRef, Direction, ProviderContext};
    use telephony_registry::Registry;

    use super::*;
    use crate::{
        service::ServiceOptions,
        store::{DatabaseUrl, KeyRing, NewAccount, NewRun, Opened, Store},
    };

    #[tokio::test]
    async fn a_call_that_changes_many_times_at_once_is_told_once() {
        let store = Store::open(&DatabaseUrl::Memory, KeyRing::generate()).await.unwrap();
        let organization = store.create_organization("ours", 1).await.unwrap().id;
        let account = NewAccount {
            name: "main".to_owned(),
            provider: "toy".to_owned(),
            account_id: None,
            default_from: None,
            config: json!({}),
            default_if_none: true,
        };
        let configuration = store.create_account(organization, account).await.unwrap().id;
        let new = NewRun {
            id: WorkflowRunId::generate(),
            organization,
            workflow: None,
            configuration,
            provider: "toy".to_owned(),
            direction: Direction::Outbound,
            from: "+12025550100".to_owned(),
            to: "+12025550101".to_owned(),
            call: CallRef::unnamed(),
            options: json!({}),
            idempotency: None,
            lease: Duration::from_secs(60),
        };
        assert!(matches!(store.open_run(&new).await.unwrap(), Opened::New(_)));
        let (registry, context) = (Registry::new([]).unwrap(), ProviderContext::network().unwrap());
        let url = "http://127.0.0.1".parse().unwrap();
        let service = Service::new(store, registry, context, url, ServiceOptions::default());
        let mut followed = service.followed();
        let telling = tokio::spawn(run(service.clone()));
        tokio::task::yield_now().await;
        for _ in 0..2 {
            (0..5).for_each(|_| service.changed(new.id));
            let Ok(Followed::Call(told)) = followed.recv().await else { panic!("no call is told") };
            assert_eq!(told.id, new.id);
        }
        // Whatever had been told twice would stand before this.
        service.tell_followers(Change::Any);
        assert!(matches!(followed.recv().await, Ok(Followed::Any)));
        telling.abort();
    }
}
