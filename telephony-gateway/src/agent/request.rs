//! What an agent wants done that audio cannot do: whoever runs the session carries it out, or says why not.

use std::{fmt, mem, sync::mpsc};

use telephony_core::{Address, DigitSequence};

/// How many requests of one call may be under way. An agent has one on its mind at a time; more are refused at once.
pub(crate) const MOST_REQUESTS: usize = 8;

/// Something to be done to the call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AgentAction {
    /// Connect the caller to somebody else, and leave.
    Transfer {
        /// To whom.
        to: Address,
    },
    /// Send DTMF to the caller.
    SendDigits {
        /// Which.
        digits: DigitSequence,
    },
}

/// An agent's request. Answer it with [`done`](Self::done) or [`refuse`](Self::refuse), from any task and at any time: the
/// agent is told with the next of the caller's audio. One that is dropped is refused.
pub struct AgentRequest {
    number: u64,
    action: AgentAction,
    answers: Option<mpsc::SyncSender<Answer>>,
}

/// An answer: to which request, and why it was not carried out.
pub(crate) type Answer = (u64, Result<(), String>);

impl AgentRequest {
    /// What is to be done.
    #[must_use]
    pub fn action(&self) -> &AgentAction {
        &self.action
    }

    /// Says that it was done.
    pub fn done(mut self) {
        self.answer(Ok(()));
    }

    /// Says why it was not. The agent reads the reason.
    pub fn refuse(mut self, reason: impl Into<String>) {
        self.answer(Err(reason.into()));
    }

    fn answer(&mut self, outcome: Result<(), String>) {
        if let Some(answers) = self.answers.take() {
            // There is room for every request that may be under way; if the session is gone, nobody waits.
            let _call_over = answers.try_send((self.number, outcome));
        }
    }
}

impl Drop for AgentRequest {
    fn drop(&mut self) {
        self.answer(Err("nobody carried it out".to_owned()));
    }
}

impl fmt::Debug for AgentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentRequest")
            .field("number", &self.number)
            .field("action", &self.action)
            .finish_non_exhaustive()
    }
}

/// The requests of one session.
#[derive(Debug)]
pub(crate) struct Requests {
    waiting: Vec<AgentRequest>,
    under_way: usize,
    sender: mpsc::SyncSender<Answer>,
    answers: mpsc::Receiver<Answer>,
}

impl Default for Requests {
    fn default() -> Self {
        let (sender, answers) = mpsc::sync_channel(MOST_REQUESTS);
        Self { waiting: Vec::new(), under_way: 0, sender, answers }
    }
}

impl Requests {
    /// Takes one in.
    ///
    /// # Errors
    ///
    /// The answer, if too many are under way.
    pub(crate) fn open(&mut self, number: u64, action: AgentAction) -> Result<(), Answer> {
        if self.under_way == MOST_REQUESTS {
            return Err((number, Err(format!("{MOST_REQUESTS} requests are under way; wait for an answer"))));
        }
        self.under_way += 1;
        self.waiting.push(AgentRequest { number, action, answers: Some(self.sender.clone()) });
        Ok(())
    }

    /// Those that nobody has taken yet.
    pub(crate) fn take(&mut self) -> Vec<AgentRequest> {
        mem::take(&mut self.waiting)
    }

    /// The next answer that has come in.
    pub(crate) fn next_answer(&mut self) -> Option<Answer> {
        if self.under_way == 0 {
            return None;
        }
        let answer = self.answers.try_recv().ok()?;
        self.under_way -= 1;
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action() -> AgentAction {
        AgentAction::SendDigits { digits: "1234".parse().unwrap() }
    }

    #[test]
    fn every_request_is_answered_once() {
        let mut requests = Requests::default();
        for number in 0..3 {
            requests.open(number, action()).unwrap();
        }
        let mut taken = requests.take().into_iter();
        taken.next().unwrap().done();
        taken.next().unwrap().refuse("not now");
        drop(taken);
        let answers: Vec<_> = std::iter::from_fn(|| requests.next_answer()).collect();
        let refused = |reason: &str| Err(reason.to_owned());
        assert_eq!(answers, [(0, Ok(())), (1, refused("not now")), (2, refused("nobody carried it out"))]);
    }

    #[test]
    fn there_is_room_for_so_many_and_the_rest_is_refused() {
        let mut requests = Requests::default();
        for number in 0..MOST_REQUESTS as u64 {
            requests.open(number, action()).unwrap();
        }
        assert!(requests.open(99, action()).unwrap_err().1.unwrap_err().contains("under way"));
        assert_eq!(requests.take().len(), MOST_REQUESTS);
        assert!(requests.next_answer().is_some());
        assert!(requests.open(100, action()).is_ok());
    }

    #[test]
    fn digits_are_not_printed() {
        let mut requests = Requests::default();
        requests.open(0, action()).unwrap();
        assert!(!format!("{requests:?}").contains("1234"));
    }
}
