//! The telephony gateway: what carriers talk to, and who talks for us.
//!
//! It answers webhooks (verified, read, written to a ledger, then acknowledged), takes the carriers' media sockets, turns
//! their audio into clean linear samples for an agent and back, and follows each call to its end and its price. It knows no
//! carrier: providers are found through the registry by name.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`service`] | calls that survive: placed, answered, followed and priced over the store, by one gateway or several |
//! | [`store`] | accounts, numbers, workflows, runs and their ledger, in SQLite or PostgreSQL; secrets encrypted |
//! | [`api`] | the HTTP interface under `/api/v1`, and its description |
//! | `pages` | what an operator sees in a browser: accounts, workflows, calls |
//! | [`telemetry`] | what is counted for whoever watches |
//! | [`reducer`] | what the events of a call add up to |
//! | [`media`], [`agent`] | a call's audio without a socket, and who hears and speaks it |
//! | [`Gateway`], [`place_call`](place_call()) | single calls from dialling to the bill, remembered in memory |
//! | [`run`] | the program `telephony` |
//!
//! A gateway with a provider of your own is a program of a few lines: name the crate, so that it is linked, and run.
//!
//! ```no_run
//! # extern crate std as telephony_acme;
//! use telephony_acme as _;
//!
//! fn main() -> std::process::ExitCode {
//!     telephony_gateway::run()
//! }
//! ```

pub mod agent;
pub mod api;
mod cli;
pub mod media;
mod pages;
mod place_call;
pub mod reducer;
pub mod service;
pub mod store;
pub mod telemetry;
mod timeline;

pub use cli::run;
pub use place_call::{
    AgentChoice, CallOrder, CallOutcome, CallReport, CustomAgent, Gateway, PlaceCallError, place_call,
};
pub use timeline::TimelineEntry;
