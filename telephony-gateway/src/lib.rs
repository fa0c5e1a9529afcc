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
//! | [`server`] | the listener of a program that places single calls, without a store |
//! | [`ledger`], [`reducer`] | what happened to a call, and what that adds up to |
//! | [`media`], [`agent`] | a call's audio without a socket, and who hears and speaks it |
//! | [`place_call`](place_call()) | one outbound call from dialling to the bill |
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
pub mod ledger;
pub mod media;
mod pages;
mod place_call;
pub mod reducer;
pub mod server;
pub mod service;
pub mod store;
pub mod telemetry;
mod timeline;
mod token;

pub use cli::run;
pub use place_call::{AgentChoice, CallOrder, CallOutcome, CallReport, CustomAgent, PlaceCallError, place_call};
pub use timeline::TimelineEntry;
