//! The audio of a call: between the carrier's media socket and the agent.

mod session;
mod socket;

pub use session::{MediaNote, MediaReport, MediaSession, SessionEnd};
pub(crate) use socket::run;
