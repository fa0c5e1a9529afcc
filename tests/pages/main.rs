//! What people see of the gateway, in a browser.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod accounts;
mod calls;
mod first_run;
mod gateway;
mod harness;
mod softphone;
mod sound;
mod workflows;
