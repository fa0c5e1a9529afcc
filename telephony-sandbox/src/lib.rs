//! Simulated carriers and a virtual handset: real calls, through real HTTP, signatures and WebSockets, with no account.
//!
//! A provider crate brings the simulator of its carrier, a [`CarrierSimulator`]: how REST requests are answered, how webhooks
//! are written and signed, how answer documents are read. Everything else is here, once for all carriers: the listener, the
//! clock, the life of a call, the media socket, the [handset](Handset) that picks up, listens, speaks and hangs up, and the
//! [faults](Faults) of carriers and networks.
//!
//! Simulators register themselves as providers do, with [`register_simulator!`]; [`Sandbox::start`] runs one.
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! let simulator = telephony_sandbox::find("acme").ok_or("no such simulator")?;
//! let sandbox = telephony_sandbox::Sandbox::start(simulator, Default::default()).await?;
//! println!("an account of it: {}", sandbox.account());
//! # Ok(()) }
//! ```

mod call;
mod dial_plan;
mod exchange;
mod faults;
mod handset;
mod observation;
mod register;
mod server;
mod simulator;
mod softphone;
mod stream;

pub use dial_plan::{DIAL_PLAN, DialPlanEntry, SOFTPHONE, handset_for};
pub use exchange::{Exchange, NewCall, SimulatedCall, SimulatedNumber};
pub use faults::{Faults, RestFault, WebhookFaults};
pub use handset::{Behaviour, HANDSET_RATE_HZ, Handset, HandsetReport, TICK_SAMPLES};
pub use observation::Observation;
pub use register::{SimulatorDescriptor, SimulatorRegistration, find, registered};
pub use server::{Sandbox, SandboxError, SandboxOptions};
pub use simulator::{Ask, CarrierSimulator, EndCause, Report, Step};
pub use softphone::{Softphone, SoftphoneCall, SoftphoneEvent, Switchboard, Tick};

#[doc(hidden)]
pub use telephony_core::__inventory;
