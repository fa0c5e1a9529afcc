//! The calls and numbers of a simulated account, and what can be done with them.

use std::{collections::BTreeMap, time::Duration};

use telephony_core::{CallStatus, Decimal, Direction, PhoneNumber, Timestamp};

use crate::{Behaviour, Step, handset_for};

/// A call that a REST request asks for.
#[derive(Clone, Debug, Default)]
pub struct NewCall {
    /// The carrier's id for it: made by the simulator, in the carrier's form.
    pub id: String,
    /// Who calls, as the request wrote it.
    pub from: String,
    /// Who is called, as the request wrote it.
    pub to: String,
    /// How long it may ring.
    pub ring_timeout: Option<Duration>,
    /// How long it may last.
    pub time_limit: Option<Duration>,
    /// Whether to find out who answered.
    pub detect_machine: bool,
    /// Whether it is recorded from the answer on.
    pub record: bool,
    /// DTMF sent once answered.
    pub digits_on_answer: Option<String>,
    /// What the simulator wants to remember: URLs, methods, a second id.
    pub notes: BTreeMap<String, String>,
}

/// A call of the simulated carrier.
#[derive(Clone, Debug)]
pub struct SimulatedCall {
    /// What was asked for; of an inbound call, what the sandbox made up.
    pub request: NewCall,
    /// Which way it goes, seen from the customer.
    pub direction: Direction,
    /// Where it stands.
    pub status: CallStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Whether what it costs may be said.
    pub rated: bool,
    /// How many happenings were reported before: for carriers that number them.
    pub reports: u64,
}

impl SimulatedCall {
    /// The carrier's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.request.id
    }

    /// What the simulator noted under this name.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<&str> {
        self.request.notes.get(name).map(String::as_str)
    }

    /// How long it lasted from the answer to the end, in whole seconds, begun ones counted; zero if it was never answered.
    #[must_use]
    pub fn duration(&self) -> Duration {
        match (self.answered_at, self.ended_at) {
            (Some(answered), Some(ended)) => {
                Duration::from_secs((ended - answered).as_seconds_f64().max(0.0).ceil() as u64)
            }
            _ => Duration::ZERO,
        }
    }

    /// What it costs at a rate: every minute begun.
    #[must_use]
    pub fn charge(&self, rate_per_minute: Decimal) -> Decimal {
        rate_per_minute * Decimal::from(self.duration().as_secs().div_ceil(60))
    }
}

/// A number of the simulated account.
#[derive(Clone, Debug)]
pub struct SimulatedNumber {
    /// In E.164, with `+`.
    pub number: String,
    /// What the simulator wants to remember: an id, a webhook, an application.
    pub notes: BTreeMap<String, String>,
}

impl SimulatedNumber {
    fn new(number: String) -> Self {
        Self { number, notes: BTreeMap::new() }
    }
}

/// The account's calls and numbers. A simulator is handed it with every REST request.
#[derive(Debug)]
pub struct Exchange {
    now: Timestamp,
    calls: Vec<SimulatedCall>,
    numbers: Vec<SimulatedNumber>,
    pub(crate) orders: Vec<Order>,
}

/// What a REST request has set going, for the sandbox to carry out once it is answered.
#[derive(Debug)]
pub(crate) enum Order {
    Start { id: String },
    HangUp { id: String },
    Instruct { id: String, steps: Vec<Step> },
    SendDigits { id: String, digits: String },
}

impl Exchange {
    pub(crate) fn new(numbers: usize, more: &[PhoneNumber], now: Timestamp) -> Self {
        // 303 is a real area code; 555-0100 to 555-0199 are set aside for fiction, and so are a thousand with exchanges 555 in
        // other area codes.
        let own = (0..numbers).map(|n| format!("+1{}55501{:02}", 303 + n / 100, n % 100));
        let mut exchange =
            Self { now, calls: Vec::new(), numbers: own.map(SimulatedNumber::new).collect(), orders: Vec::new() };
        for number in more.iter().map(PhoneNumber::as_e164) {
            if exchange.number_mut(number).is_none() {
                exchange.numbers.push(SimulatedNumber::new(number.to_owned()));
            }
        }
        exchange
    }

    pub(crate) fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Places an outbound call. It is rung once the request is answered.
    pub fn place(&mut self, request: NewCall) -> &SimulatedCall {
        self.orders.push(Order::Start { id: request.id.clone() });
        self.add(request, Direction::Outbound)
    }

    pub(crate) fn add(&mut self, request: NewCall, direction: Direction) -> &SimulatedCall {
        self.calls.push(SimulatedCall {
            request,
            direction,
            status: CallStatus::Queued,
            created_at: self.now,
            answered_at: None,
            ended_at: None,
            rated: false,
            reports: 0,
        });
        &self.calls[self.calls.len() - 1]
    }

    /// Every call, oldest first.
    #[must_use]
    pub fn calls(&self) -> &[SimulatedCall] {
        &self.calls
    }

    /// A call by its id.
    #[must_use]
    pub fn call(&self, id: &str) -> Option<&SimulatedCall> {
        self.calls.iter().find(|call| call.id() == id)
    }

    /// A call by its id, to note something on.
    pub fn call_mut(&mut self, id: &str) -> Option<&mut SimulatedCall> {
        self.calls.iter_mut().find(|call| call.request.id == id)
    }

    /// What stands behind a number or other address: whether such a handset would pick up, or whether there is none.
    #[must_use]
    pub fn behaviour(&self, to: &str) -> Behaviour {
        handset_for(to).behaviour
    }

    /// Ends a live call. Returns false, and does nothing, if it is over or there is none.
    pub fn hang_up(&mut self, id: &str) -> bool {
        self.order(id, |id| Order::HangUp { id })
    }

    /// Has a live call do something else. Returns false, and does nothing, if it is over or there is none.
    pub fn instruct(&mut self, id: &str, steps: Vec<Step>) -> bool {
        self.order(id, |id| Order::Instruct { id, steps })
    }

    /// Sends DTMF to the handset of a live call, without ending what it does. Returns false if it is over or there is none.
    pub fn send_digits(&mut self, id: &str, digits: impl Into<String>) -> bool {
        let digits = digits.into();
        self.order(id, |id| Order::SendDigits { id, digits })
    }

    fn order(&mut self, id: &str, order: impl FnOnce(String) -> Order) -> bool {
        let live = self.call(id).is_some_and(|call| !call.status.is_terminal());
        if live {
            self.orders.push(order(id.to_owned()));
        }
        live
    }

    /// The account's numbers.
    #[must_use]
    pub fn numbers(&self) -> &[SimulatedNumber] {
        &self.numbers
    }

    /// A number of the account, to note something on.
    pub fn number_mut(&mut self, number: &str) -> Option<&mut SimulatedNumber> {
        self.numbers.iter_mut().find(|known| known.number == number)
    }
}
