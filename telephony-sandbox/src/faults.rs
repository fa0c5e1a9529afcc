//! What can be made to go wrong, at the carrier and on the way.

use std::{collections::VecDeque, time::Duration};

/// Faults in force. The default is a carrier on its best day.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Faults {
    /// What becomes of the next REST requests, one entry each; when they are used up, requests are answered properly.
    pub rest: VecDeque<RestFault>,
    /// What becomes of webhooks.
    pub webhooks: WebhookFaults,
    /// Cuts the media socket, without a close, after so many audio messages from the carrier.
    pub cut_media_after: Option<usize>,
}

impl Faults {
    /// None.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One more fault for a REST request.
    #[must_use]
    pub fn with_rest(mut self, fault: RestFault) -> Self {
        self.rest.push_back(fault);
        self
    }

    /// Faults of webhooks.
    #[must_use]
    pub fn with_webhooks(mut self, faults: WebhookFaults) -> Self {
        self.webhooks = faults;
        self
    }

    /// A media socket that is cut.
    #[must_use]
    pub fn with_media_cut_after(mut self, messages: usize) -> Self {
        self.cut_media_after = Some(messages);
        self
    }
}

/// What becomes of one REST request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestFault {
    /// Nothing: it is answered properly.
    Pass,
    /// It is not carried out, and answered with this status in the carrier's form: 401, 404, 429, 500.
    Status(u16),
    /// The connection is cut before it is carried out.
    CutBefore,
    /// It is carried out, and the connection is cut before the answer: what makes a dial's outcome unknown.
    CutAfter,
}

/// What becomes of webhooks that report something. Requests for an instruction are spared: the carrier waits for those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookFaults {
    /// How often each is delivered, at least once.
    pub copies: u32,
    /// Whether each pair of happenings is reported in the wrong order.
    pub reorder: bool,
    /// Whether they are all lost.
    pub lose: bool,
    /// How late they are.
    pub delay: Duration,
}

impl Default for WebhookFaults {
    fn default() -> Self {
        Self { copies: 1, reorder: false, lose: false, delay: Duration::ZERO }
    }
}

impl WebhookFaults {
    /// Each comes so often.
    #[must_use]
    pub fn copies(copies: u32) -> Self {
        Self { copies: copies.max(1), ..Self::default() }
    }

    /// Each pair comes in the wrong order.
    #[must_use]
    pub fn reordered() -> Self {
        Self { reorder: true, ..Self::default() }
    }

    /// None comes.
    #[must_use]
    pub fn lost() -> Self {
        Self { lose: true, ..Self::default() }
    }

    /// Each comes late.
    #[must_use]
    pub fn delayed(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }
}
