//! What nobody tells us by itself: calls that went quiet, calls that last too long, dials whose outcome is not known, prices.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::json;
use telephony_core::{
    CallCost, CallEvent, CallEventKind, CallRef, CallSnapshot, CallState, CallStatus, Capability, StatusChange,
    TelephonyError, Timestamp, error_chain,
};
use tokio::task::JoinSet;
use tracing::{Instrument, info, warn};

use super::{Service, ServiceError, call_span};
use crate::store::{DialState, StoredRun};

/// How many questions to carriers are under way at the same time, of each kind.
const MOST_AT_ONCE: usize = 32;

/// The shortest and the longest pause between two questions for a price.
const PRICE_PAUSES: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(600);

/// Asks about quiet calls, and for the prices of calls that are over.
#[derive(Debug)]
pub(super) struct Reconciler {
    /// Whatever came before went by while this gateway was not there to hear it.
    started: Timestamp,
}

impl Service {
    /// Asks at once what a call that is over has cost.
    pub(crate) async fn ask_price(&self, run: StoredRun) -> Result<(), ServiceError> {
        price(self, run).await
    }
}

impl Reconciler {
    pub(super) fn new() -> Self {
        Self { started: Timestamp::now_utc() }
    }

    /// Goes on until the service ends. A carrier that does not answer keeps nobody else's call waiting.
    pub(super) async fn run(self, service: Service) {
        let mut every = tokio::time::interval(service.options().reconcile_every);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut looking, mut pricing) = (JoinSet::new(), JoinSet::new());
        loop {
            every.tick().await;
            if let Err(error) = self.round(&service, &mut looking, &mut pricing).await {
                warn!(error = error_chain(&error), "Calls could not be looked after; it is tried again.");
            }
        }
    }

    async fn round(
        &self,
        service: &Service,
        looking: &mut JoinSet<()>,
        pricing: &mut JoinSet<()>,
    ) -> Result<(), ServiceError> {
        let (time, options) = (Timestamp::now_utc(), service.options());
        // A gateway that has just started asks at once.
        let unheard_since = self.started.max(time - options.ask_after);
        for run in service.store().take_quiet_runs(unheard_since, options.ask_after, places(looking)).await? {
            let (id, service, span) = (run.id, service.clone(), call_span(run.id, &run.provider));
            let no_webhook = time - run.updated_at.max(self.started) > options.ask_after * 2;
            let look = async move {
                if let Err(error) = look_after(&service, run, no_webhook).await {
                    warn!(run = %id, error = error_chain(&error), "A quiet call could not be asked about.");
                }
            };
            looking.spawn(look.instrument(span));
        }
        let lost = json!({"ended_by": "lost", "ended_because": "the gateway that carried the stream has stopped"});
        let closed = service.store().close_lost_media(time - options.media_ends_within, &lost).await?;
        closed.into_iter().for_each(|run| service.changed(run));
        for run in service.store().take_unrated_runs(PRICE_PAUSES, places(pricing)).await? {
            let (id, service, span) = (run.id, service.clone(), call_span(run.id, &run.provider));
            let ask = async move {
                if let Err(error) = price(&service, run).await {
                    warn!(run = %id, error = error_chain(&error), "A price could not be asked for.");
                }
            };
            pricing.spawn(ask.instrument(span));
        }
        Ok(())
    }
}

/// How many more questions may be asked, once those that have been answered are forgotten.
fn places(asking: &mut JoinSet<()>) -> u32 {
    while let Some(ended) = asking.try_join_next() {
        if let Err(error) = ended {
            warn!(error = &error as &dyn std::error::Error, "Looking after a call stopped in the middle.");
        }
    }
    u32::try_from(MOST_AT_ONCE.saturating_sub(asking.len())).unwrap_or(0)
}

/// Asks what a call that is over has cost, and writes down what the carrier says.
async fn price(service: &Service, run: StoredRun) -> Result<(), ServiceError> {
    let provider = match service.provider_of(&run).await {
        Ok(provider) => provider,
        // Its account is gone, and with it whoever could tell.
        Err(ServiceError::NotFound { .. }) => {
            service.store().give_up_cost(run.id, None).await?;
            service.changed(run.id);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    if !provider.descriptor().capabilities().has(Capability::CallCost) {
        service.store().give_up_cost(run.id, Some(Capability::CallCost)).await?;
        service.changed(run.id);
        return Ok(());
    }
    let over_since = run.ended_at.map(|ended| Timestamp::now_utc() - ended);
    let given_up = over_since.is_some_and(|since| since > service.options().give_up_cost_after);
    match provider.get_call_cost(&run.call).await {
        Ok(cost @ CallCost::Rated { .. }) => {
            let event = CallEvent::new(run.call.clone(), "asked:cost", CallEventKind::Cost { cost });
            service.write_down(run.id, "rest", &[event], Timestamp::now_utc()).await?;
            return Ok(());
        }
        Ok(_) if given_up => service.store().give_up_cost(run.id, None).await?,
        Err(error) if given_up => {
            warn!(error = error_chain(&error), "A price could not be asked for, and is given up.");
            service.store().give_up_cost(run.id, None).await?;
        }
        Ok(_) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    service.changed(run.id);
    Ok(())
}

/// A call that nothing was heard of for a while. `no_webhook`: nor is anything expected any more.
async fn look_after(service: &Service, run: StoredRun, no_webhook: bool) -> Result<(), ServiceError> {
    let age = Timestamp::now_utc() - run.created_at;
    if run.call == CallRef::unnamed() {
        // Nobody can be asked about a call that has no name. A dial is never repeated: if it rings, the carrier tells.
        if run.dial_state == DialState::Intended && age > service.options().dial_takes_at_most {
            let reason = "the gateway stopped while the carrier was asked; whether it was is not known";
            service.store().dialled(run.id, DialState::Unknown, None, Some(reason)).await?;
            service.changed(run.id);
        } else if run.dial_state == DialState::Unknown && age > service.options().unknown_until {
            let reason = "no answer came to the dial, and the carrier never told of the call";
            let change = StatusChange::new(Some(CallStatus::Failed), "").with_reason(Some(reason.to_owned()));
            write(service, &run, "gateway:given-up", change).await?;
        }
        return Ok(());
    }
    let provider = match service.provider_of(&run).await {
        Ok(provider) => provider,
        // Its account is gone, and with it whoever could tell how it ended.
        Err(ServiceError::NotFound { .. }) => {
            let reason = "the account of the call was deleted while it was up";
            let change = StatusChange::new(Some(CallStatus::Failed), "").with_reason(Some(reason.to_owned()));
            return write(service, &run, "gateway:account-gone", change).await;
        }
        Err(error) => return Err(error),
    };
    let longest =
        run.options["max_duration_secs"].as_u64().map_or(service.options().max_call_duration, Duration::from_secs);
    if age > longest {
        info!("A call has lasted as long as it may, and is ended.");
        provider.hang_up(&run.call).await?;
    }
    match provider.get_call_status(&run.call).await {
        Ok(snapshot) => {
            if !snapshot.state.is_over() {
                service.store().renew_slot(run.id, service.options().lease).await?;
            }
            // Of a call that was never answered, how it ended is told by webhook: it gets a moment to come.
            let untold = snapshot.state == CallState::Over && !run.summary.answered;
            if untold && !no_webhook {
                return Ok(());
            }
            learn(service, &run, snapshot).await
        }
        // The carrier has forgotten it.
        Err(TelephonyError::NotFound { .. }) if run.call.id().is_some() => {
            let change = StatusChange::new(Some(CallStatus::Completed), "")
                .with_reason(Some("the carrier does not know the call any more".to_owned()));
            write(service, &run, "asked:gone", change).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes down what the carrier said when asked, as an event like those that it tells by itself.
async fn learn(service: &Service, run: &StoredRun, snapshot: CallSnapshot) -> Result<(), ServiceError> {
    let status = match snapshot.state {
        CallState::Status(status) => status,
        CallState::Over => CallStatus::Completed,
        _ => return Ok(()),
    };
    let change = StatusChange::new(Some(status), snapshot.raw_status).with_duration(snapshot.duration);
    write(service, run, &format!("asked:{status}"), change).await
}

async fn write(service: &Service, run: &StoredRun, key: &str, change: StatusChange) -> Result<(), ServiceError> {
    let event = CallEvent::new(run.call.clone(), key, CallEventKind::Status(change)).at(Some(Timestamp::now_utc()));
    let source = if key.starts_with("asked") { "rest" } else { "gateway" };
    service.write_down(run.id, source, &[event], Timestamp::now_utc()).await?;
    Ok(())
}
