//! The life of one call, from the request to the bill.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use telephony_core::{AnsweredBy, CallStatus, Direction};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout_at},
};
use tracing::debug;

use crate::{
    Ask, Behaviour, EndCause, HandsetReport, Observation, Report, SimulatedCall, Step,
    handset::{Act, HANDSET_RATE_HZ, Person, TICK, TICK_SAMPLES},
    server::{Shared, now},
    softphone::{About, Decision, Handpiece},
    stream,
};

/// From the request to the first sign of life.
const SET_UP: Duration = Duration::from_millis(40);

/// From ringing to a busy signal or a refusal.
const REFUSAL: Duration = Duration::from_millis(250);

/// How fast carriers speak texts.
const SPEAKING_PER_CHARACTER: Duration = Duration::from_millis(40);

/// How long two people talk who were connected.
const BRIDGED: Duration = Duration::from_secs(2);

/// Longest that a call lasts without a limit of its own.
const LONGEST: Duration = Duration::from_secs(4 * 3600);

/// A tone for the time that the carrier speaks or plays, so that the person hears that somebody does.
const TONE: [i16; TICK_SAMPLES] = {
    let mut tone = [0; TICK_SAMPLES];
    let mut i = 0;
    while i < TICK_SAMPLES {
        tone[i] = if (i / 20) % 2 == 0 { 3_000 } else { -3_000 };
        i += 1;
    }
    tone
};

/// What the customer tells a live call.
#[derive(Debug)]
pub(crate) enum Control {
    HangUp,
    Instruct(Vec<Step>),
    SendDigits(String),
}

/// What comes after a step.
#[derive(Debug)]
pub(crate) enum Flow {
    /// The next step.
    Next,
    /// These, instead of what was planned.
    Replace(Vec<Step>),
    /// The end.
    End(EndCause),
}

/// A call in progress.
pub(crate) struct LiveCall {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: String,
    pub(crate) control: mpsc::UnboundedReceiver<Control>,
    pub(crate) person: Person,
    pub(crate) ear: HandsetReport,
    webhooks: mpsc::UnboundedSender<Request<Bytes>>,
    /// When the call is ended, whatever it does.
    until: Instant,
}

/// Runs a call to its end. `caller` is the softphone that makes it, if one does.
pub(crate) async fn run(
    shared: Arc<Shared>,
    id: String,
    control: mpsc::UnboundedReceiver<Control>,
    caller: Option<Handpiece>,
) {
    let Some(call) = shared.lock().exchange.call(&id).cloned() else { return };
    let other = if call.direction == Direction::Outbound { &call.request.to } else { &call.request.from };
    let handset = shared.handset(other);
    let (webhooks, queue) = mpsc::unbounded_channel();
    let ear = HandsetReport { sample_rate_hz: HANDSET_RATE_HZ.get(), ..HandsetReport::default() };
    let mut person = Person::new(&handset);
    person.outside = caller;
    let until = Instant::now() + LONGEST;
    let mut live = LiveCall { shared: shared.clone(), id: id.clone(), control, person, ear, webhooks, until };
    shared.spawn(deliver_all(shared.clone(), id.clone(), queue));

    let cause = match call.direction {
        Direction::Outbound => live.outbound(&call, handset.behaviour).await,
        Direction::Inbound => live.inbound().await,
    };
    live.end(cause).await;
}

impl LiveCall {
    async fn outbound(&mut self, call: &SimulatedCall, behaviour: Behaviour) -> EndCause {
        sleep(SET_UP).await;
        self.set_status(CallStatus::Initiated);
        self.report(&Report::Initiated);
        if let Some(cause) = self.wait(SET_UP).await {
            return cause;
        }
        if behaviour == Behaviour::Invalid {
            return EndCause::InvalidNumber;
        }
        self.set_status(CallStatus::Ringing);
        self.shared.observe(Observation::HandsetRang { call: self.id.clone() });
        self.report(&Report::Ringing);
        let options = &self.shared.options;
        let no_answer =
            call.request.ring_timeout.map_or(options.no_answer_after, |own| own.min(options.no_answer_after));
        let (rings_for, refusal) = match behaviour {
            Behaviour::Busy => (REFUSAL, Some(EndCause::Busy)),
            Behaviour::Declines => (REFUSAL, Some(EndCause::Declined)),
            Behaviour::NoAnswer => (no_answer, Some(EndCause::NoAnswer)),
            _ => (options.ring, None),
        };
        let ended = match behaviour {
            Behaviour::Softphone => self.ring_softphone(call).await,
            _ => self.wait(rings_for).await.or(refusal),
        };
        if let Some(cause) = ended {
            return cause;
        }
        self.answered();
        if call.request.detect_machine {
            let machine = behaviour == Behaviour::Machine;
            self.report(&Report::AnsweredBy(if machine { AnsweredBy::Machine } else { AnsweredBy::Human }));
        }
        if let Some(digits) = &call.request.digits_on_answer {
            self.ear.digits.push_str(digits);
        }
        self.follow(Ask::Answered, call.request.time_limit).await
    }

    /// Rings the softphone, and whoever takes its place, until somebody decides. Returns why the call ended, if it did.
    async fn ring_softphone(&mut self, call: &SimulatedCall) -> Option<EndCause> {
        let longest = self.shared.options.softphone_rings_for;
        let until = Instant::now() + call.request.ring_timeout.map_or(longest, |own| own.min(longest));
        let about = Arc::new(About {
            provider: self.shared.descriptor.provider().name(),
            id: self.id.clone(),
            direction: call.direction,
            from: call.request.from.clone(),
            to: call.request.to.clone(),
        });
        let mut registered = self.shared.options.switchboard.subscribe();
        let mut offered = registered.offer(&about);
        loop {
            let decision = async {
                match &offered {
                    Some(handpiece) => handpiece.decided().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                control = self.control.recv() => match control {
                    Some(Control::HangUp) | None => return Some(EndCause::Canceled),
                    Some(control) => debug!(call_id = %self.id, ?control, "A command came before the answer."),
                },
                () = sleep_until(until) => {
                    if let Some(handpiece) = &offered {
                        handpiece.ended(EndCause::NoAnswer);
                    }
                    return Some(EndCause::NoAnswer);
                }
                () = registered.changed() => offered = registered.offer(&about),
                decision = decision => match decision {
                    Decision::Answer => {
                        self.person.outside = offered;
                        return None;
                    }
                    Decision::Refuse(cause) => {
                        if let Some(handpiece) = &offered {
                            handpiece.ended(cause);
                        }
                        return Some(cause);
                    }
                    Decision::Gone => offered = None,
                },
            }
        }
    }

    async fn inbound(&mut self) -> EndCause {
        self.set_status(CallStatus::Ringing);
        self.report(&Report::Initiated);
        self.follow(Ask::Inbound, None).await
    }

    fn answered(&mut self) {
        {
            let mut state = self.shared.lock();
            if let Some(call) = state.exchange.call_mut(&self.id) {
                call.status = CallStatus::InProgress;
                call.answered_at = Some(now());
            }
        }
        if let Some(outside) = &self.person.outside {
            outside.answered();
        }
        self.shared.observe(Observation::HandsetAnswered { call: self.id.clone() });
        self.report(&Report::Answered);
    }

    fn is_answered(&self) -> bool {
        self.shared.lock().exchange.call(&self.id).is_some_and(|call| call.answered_at.is_some())
    }

    /// Asks what to do, and does it, until there is nothing left.
    async fn follow(&mut self, first: Ask, time_limit: Option<Duration>) -> EndCause {
        self.until = Instant::now() + time_limit.unwrap_or(LONGEST);
        let mut plan: VecDeque<Step> = match self.ask(&first).await {
            Ok(steps) => steps.into(),
            Err(cause) => return cause,
        };
        loop {
            let flow = match plan.pop_front() {
                Some(step) => self.perform(step).await,
                None => return EndCause::Application,
            };
            match flow {
                Flow::Next => {}
                Flow::Replace(steps) => plan = steps.into(),
                Flow::End(cause) => return cause,
            }
        }
    }

    async fn perform(&mut self, step: Step) -> Flow {
        // Everything but refusing and waiting takes an inbound call.
        let takes = !matches!(step, Step::Reject { .. } | Step::Redirect { .. } | Step::AwaitCommand);
        if takes && !self.is_answered() {
            self.answered();
        }
        match step {
            Step::Stream { url, format, parameters } => stream::run(self, url, format, &parameters).await,
            Step::Say { text } => {
                let length = SPEAKING_PER_CHARACTER * u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
                self.ear.said.push(text);
                self.listen(length, true).await
            }
            Step::Play { url } => {
                self.ear.played.push(url);
                self.listen(Duration::from_secs(1), true).await
            }
            Step::SendDigits { digits } => {
                self.ear.digits.push_str(&digits);
                Flow::Next
            }
            Step::Pause { length } => self.listen(length, false).await,
            Step::Gather { max_digits, timeout, finish_on_hash, callback } => {
                self.gather(max_digits, timeout, finish_on_hash, callback).await
            }
            Step::Dial { to, .. } => {
                let behaviour = self.shared.handset(&to).behaviour;
                self.ear.bridged_to.push(to);
                match behaviour {
                    Behaviour::Busy | Behaviour::Declines | Behaviour::Invalid => self.listen(REFUSAL, false).await,
                    Behaviour::NoAnswer => self.listen(self.shared.options.no_answer_after, false).await,
                    _ => self.listen(BRIDGED, true).await,
                }
            }
            Step::Conference { name } => {
                self.ear.conferences.push(name);
                self.idle().await
            }
            Step::AwaitCommand => self.idle().await,
            Step::Reject { .. } => Flow::End(EndCause::Rejected),
            Step::Redirect { url } => match self.ask(&Ask::Redirect { url }).await {
                Ok(steps) => Flow::Replace(steps),
                Err(cause) => Flow::End(cause),
            },
            Step::HangUp => Flow::End(EndCause::Application),
        }
    }

    /// The person listens for a while, to speech or to silence.
    async fn listen(&mut self, length: Duration, speech: bool) -> Flow {
        match self.hear(Some(length), speech, &mut |_| false).await {
            Some(flow) => flow,
            None => Flow::Next,
        }
    }

    /// The person waits, until somebody does something.
    async fn idle(&mut self) -> Flow {
        self.hear(None, false, &mut |_| false).await.unwrap_or(Flow::Next)
    }

    async fn gather(&mut self, max_digits: usize, patience: Duration, finish_on_hash: bool, callback: String) -> Flow {
        let mut digits = String::new();
        let mut finished = false;
        loop {
            let before = digits.len();
            let heard = self
                .hear(Some(patience), false, &mut |digit| {
                    finished = finish_on_hash && digit == '#';
                    if !finished {
                        digits.push(digit);
                    }
                    true
                })
                .await;
            if let Some(flow) = heard {
                return flow;
            }
            let timed_out = !finished && digits.len() == before;
            if finished || timed_out || digits.len() >= max_digits {
                return match self.ask(&Ask::Digits { callback, digits, timed_out }).await {
                    Ok(steps) => Flow::Replace(steps),
                    Err(cause) => Flow::End(cause),
                };
            }
        }
    }

    /// Ticks along for a length, or for good. `pressed` says whether a digit ends it early.
    async fn hear(
        &mut self,
        length: Option<Duration>,
        speech: bool,
        pressed: &mut (dyn FnMut(char) -> bool + Send),
    ) -> Option<Flow> {
        let until = length.map(|length| Instant::now() + length);
        let heard: &[i16] = if speech { &TONE } else { &[0; TICK_SAMPLES] };
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                control = self.control.recv() => match control {
                    Some(Control::HangUp) | None => return Some(Flow::End(EndCause::Application)),
                    Some(Control::Instruct(steps)) => return Some(Flow::Replace(steps)),
                    Some(Control::SendDigits(digits)) => self.ear.digits.push_str(&digits),
                },
                now = ticks.tick() => {
                    if self.is_overdue() {
                        return Some(Flow::End(EndCause::TimeLimit));
                    }
                    if until.is_some_and(|until| now >= until) {
                        return None;
                    }
                    match self.person_hears(heard).1 {
                        Act::HangUp => return Some(Flow::End(EndCause::HandsetHungUp)),
                        Act::Press(digit) if pressed(digit) => return None,
                        _ => {}
                    }
                }
            }
        }
    }

    /// Whether the time limit has passed.
    pub(crate) fn is_overdue(&self) -> bool {
        Instant::now() >= self.until
    }

    /// A tick at the handset: what the person says in it, and does.
    pub(crate) fn person_hears(&mut self, heard: &[i16]) -> ([i16; TICK_SAMPLES], Act) {
        let mut speech = [0; TICK_SAMPLES];
        let act = self.person.tick(heard, &mut speech);
        self.ear.heard.extend_from_slice(heard);
        self.ear.spoken.extend_from_slice(&speech);
        match act {
            Act::BeginsToSpeak => self.shared.observe(Observation::HandsetSpeaks { call: self.id.clone() }),
            Act::HasSpoken => self.shared.observe(Observation::HandsetSpoke { call: self.id.clone() }),
            _ => {}
        }
        (speech, act)
    }

    /// Waits, before the call is answered. Returns why it ended, if it did.
    async fn wait(&mut self, length: Duration) -> Option<EndCause> {
        let until = Instant::now() + length;
        loop {
            match timeout_at(until, self.control.recv()).await {
                Err(_) => return None,
                Ok(Some(Control::HangUp) | None) => return Some(EndCause::Canceled),
                Ok(Some(control)) => debug!(call_id = %self.id, ?control, "A command came before the answer."),
            }
        }
    }

    /// Asks the customer what to do.
    async fn ask(&mut self, why: &Ask) -> Result<Vec<Step>, EndCause> {
        let request = {
            let mut guard = self.shared.lock();
            let state = &mut *guard;
            let call = state.exchange.call(&self.id).ok_or(EndCause::DocumentFailed)?;
            state.simulator.ask(call, why, now())
        };
        let Some(request) = request else {
            return Ok(vec![Step::AwaitCommand]);
        };
        let response = deliver(&self.shared, &self.id, &request, true).await.ok_or(EndCause::DocumentFailed)?;
        let steps = self.shared.lock().simulator.read_answer(&response);
        steps.map_err(|reason| {
            self.shared.observe(Observation::DocumentRefused { call: self.id.clone(), reason });
            EndCause::DocumentFailed
        })
    }

    fn set_status(&self, status: CallStatus) {
        if let Some(call) = self.shared.lock().exchange.call_mut(&self.id) {
            call.status = status;
        }
    }

    /// Has the carrier report a happening. Webhooks go out in order, and the call does not wait for them.
    pub(crate) fn report(&self, happening: &Report) {
        let webhooks = {
            let mut guard = self.shared.lock();
            let state = &mut *guard;
            let Some(call) = state.exchange.call(&self.id).cloned() else { return };
            let webhooks = state.simulator.report(&call, happening, now());
            if let Some(call) = state.exchange.call_mut(&self.id) {
                call.reports += 1;
            }
            webhooks
        };
        for webhook in webhooks {
            if self.webhooks.send(webhook).is_err() {
                debug!(call_id = %self.id, "The sandbox stops; a webhook is not sent.");
            }
        }
    }

    async fn end(mut self, cause: EndCause) {
        if let Some(outside) = &self.person.outside {
            outside.ended(cause);
        }
        let recorded = {
            let mut state = self.shared.lock();
            state.handsets.insert(self.id.clone(), std::mem::take(&mut self.ear));
            let Some(call) = state.exchange.call_mut(&self.id) else { return };
            call.ended_at = Some(now());
            call.status = match cause {
                EndCause::Busy | EndCause::Declined | EndCause::Rejected => CallStatus::Busy,
                EndCause::NoAnswer => CallStatus::NoAnswer,
                EndCause::Canceled => CallStatus::Canceled,
                EndCause::InvalidNumber => CallStatus::Failed,
                EndCause::DocumentFailed if call.answered_at.is_none() => CallStatus::Failed,
                _ if call.answered_at.is_none() => CallStatus::Canceled,
                _ => CallStatus::Completed,
            };
            call.request.record && call.answered_at.is_some()
        };
        self.shared.forget_control(&self.id);
        self.report(&Report::Ended(cause));
        self.shared.observe(Observation::CallEnded { call: self.id.clone(), cause });
        if recorded {
            self.report(&Report::RecordingReady);
        }
        sleep(self.shared.options.rating_delay).await;
        if let Some(call) = self.shared.lock().exchange.call_mut(&self.id) {
            call.rated = true;
        }
        self.report(&Report::Rated);
        self.shared.observe(Observation::CallRated { call: self.id.clone() });
    }
}

/// Delivers a call's reports one after the other, with the faults in force.
async fn deliver_all(shared: Arc<Shared>, id: String, mut queue: mpsc::UnboundedReceiver<Request<Bytes>>) {
    let mut held: Option<Request<Bytes>> = None;
    while let Some(webhook) = queue.recv().await {
        let faults = shared.lock().faults.webhooks;
        if faults.lose {
            continue;
        }
        if faults.reorder && held.is_none() {
            held = Some(webhook);
            continue;
        }
        sleep(faults.delay).await;
        for webhook in [Some(webhook), held.take()].into_iter().flatten() {
            for _ in 0..faults.copies.max(1) {
                deliver(&shared, &id, &webhook, false).await;
            }
        }
    }
    if let Some(last) = held {
        deliver(&shared, &id, &last, false).await;
    }
}

/// Sends a webhook, once more if no connection could be made, and returns the answer.
async fn deliver(shared: &Shared, id: &str, webhook: &Request<Bytes>, ask: bool) -> Option<Response<Bytes>> {
    for attempt in 1..=2 {
        let outcome = send(shared, webhook).await;
        let status = outcome.as_ref().ok().map(|response| response.status().as_u16());
        let (call, request) = (id.to_owned(), Box::new(webhook.clone()));
        shared.observe(Observation::WebhookSent { call, request, status, ask });
        match outcome {
            Ok(response) => return Some(response),
            Err(error) => {
                debug!(call_id = id, attempt, error = &error as &dyn std::error::Error, "A webhook got no answer.");
            }
        }
    }
    None
}

async fn send(shared: &Shared, webhook: &Request<Bytes>) -> Result<Response<Bytes>, reqwest::Error> {
    let request = reqwest::Request::try_from(webhook.clone())?;
    let answer = shared.client.execute(request).await.map_err(reqwest::Error::without_url)?;
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    *response.body_mut() = answer.bytes().await?;
    Ok(response)
}
