//! An agent of one's own, in the same program as the gateway: it beeps for each key, and hangs up at `#`.
//!
//! ```console
//! $ cargo run --example in_process_agent            # at the first carrier of the sandbox
//! $ cargo run --example in_process_agent -- NAME    # at another
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, f32::consts::TAU, time::Duration};

use telephony_core::{PhoneNumber, ProviderContext};
use telephony_gateway::{
    AgentChoice, CallOrder, Gateway,
    agent::{AGENT_RATE_HZ, AgentEvent, AgentLine, CallAgent},
    place_call,
};
use telephony_sandbox::{Sandbox, SandboxOptions};

/// The handset of the sandbox that presses `1 2 3 #` once the other has spoken.
const PRESSES_KEYS: &str = "+12025550107";

/// Beeps for each key, higher for higher keys.
#[derive(Debug)]
struct Beeper;

impl CallAgent for Beeper {
    fn on_event(&mut self, event: AgentEvent<'_>, line: &mut AgentLine) {
        match event {
            // It is called for every 20 ms, so it must not wait for anything.
            AgentEvent::Started(call) => {
                println!("   the line is open: {:?}, through {}", call.direction, call.provider);
                line.say(&beep(440.0, Duration::from_secs(1)));
                line.mark("greeting");
            }
            AgentEvent::MarkReached(name) => println!("   the caller has heard the {name}"),
            AgentEvent::Digit('#') => {
                // Only after what has been said.
                line.say(&beep(220.0, Duration::from_millis(400)));
                line.hang_up();
            }
            AgentEvent::Digit(digit) => {
                // Whoever presses the next key does not want to hear the rest of the last beep.
                line.clear();
                let step = digit.to_digit(10).unwrap_or_default() as f32;
                line.say(&beep(440.0 + 110.0 * step, Duration::from_millis(200)));
            }
            AgentEvent::Stopped(reason) => println!("   the line is closed: {reason:?}"),
            _ => {}
        }
    }
}

fn beep(frequency_hz: f32, length: Duration) -> Vec<i16> {
    let rate = AGENT_RATE_HZ.get() as f32;
    let samples = (rate * length.as_secs_f32()) as usize;
    (0..samples).map(|n| (8_000.0 * (TAU * frequency_hz * n as f32 / rate).sin()) as i16).collect()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let simulator = match std::env::args().nth(1) {
        Some(name) => telephony_sandbox::find(&name),
        None => telephony_sandbox::registered().first().copied(),
    };
    let simulator = simulator.ok_or("there is no such carrier in the sandbox")?;
    let sandbox = Sandbox::start(simulator, SandboxOptions::default()).await?;
    let gateway = Gateway::start(([127, 0, 0, 1], 0).into(), None).await?;
    let provider = simulator.provider().build(&sandbox.account(), ProviderContext::network()?)?;

    let to: PhoneNumber = PRESSES_KEYS.parse()?;
    let order = CallOrder::to(to).with_agent(AgentChoice::custom(|| Beeper));
    let mut progress =
        |line: &telephony_gateway::TimelineEntry| println!("{:>7.3} s  {}", line.at.as_secs_f64(), line.event);
    let report = place_call(&gateway, provider, order, &mut progress, std::future::pending()).await?;

    println!("{:?}, {} keys", report.outcome, report.media.map_or(0, |media| media.digits));
    sandbox.stop().await;
    Ok(())
}
