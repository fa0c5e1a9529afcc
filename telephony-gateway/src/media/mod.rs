//! The audio of a call: between the carrier's media socket and the agent.

mod loudness;
mod outgoing;
mod playout;
mod report;
mod session;
mod socket;

pub(crate) use loudness::{Loudness, Meter};
pub(crate) use outgoing::Outgoing;
pub use report::{MediaNote, MediaReport, SessionEnd};
pub use session::MediaSession;
pub(crate) use socket::run;
