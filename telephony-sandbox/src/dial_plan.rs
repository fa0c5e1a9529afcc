//! Which handset stands behind which number.

use std::time::Duration;

use crate::{Behaviour, Handset};

/// A number of the dial plan and what happens when it is called.
#[derive(Clone, Copy, Debug)]
pub struct DialPlanEntry {
    /// In E.164. All are set aside for fiction (NANP, 555-0100 to 555-0199).
    pub number: &'static str,
    /// What the handset does.
    pub behaviour: Behaviour,
    /// The same in words.
    pub description: &'static str,
}

/// The number of the softphone.
pub const SOFTPHONE: &str = "+12025550108";

/// The numbers that can be called in the sandbox. Every other number is a person who talks, as the first one.
pub const DIAL_PLAN: &[DialPlanEntry] = &[
    entry("+12025550100", Behaviour::Talks, "picks up, listens, speaks when it is quiet"),
    entry("+12025550101", Behaviour::Busy, "is busy"),
    entry("+12025550102", Behaviour::NoAnswer, "rings and nobody picks up"),
    entry("+12025550103", Behaviour::Declines, "declines the call"),
    entry("+12025550104", Behaviour::Invalid, "does not exist"),
    entry("+12025550105", Behaviour::Machine, "is an answering machine: greets, beeps, records"),
    entry("+12025550106", Behaviour::HangsUp, "picks up and hangs up at once"),
    entry("+12025550107", Behaviour::PressesDigits, "picks up and presses 1 2 3 #"),
    entry(SOFTPHONE, Behaviour::Softphone, "rings a softphone: you"),
];

const fn entry(number: &'static str, behaviour: Behaviour, description: &'static str) -> DialPlanEntry {
    DialPlanEntry { number, behaviour, description }
}

/// The handset behind an address, in any form in which a carrier may write it.
#[must_use]
pub fn handset_for(to: &str) -> Handset {
    let digits: String = to.chars().filter(char::is_ascii_digit).collect();
    let known = DIAL_PLAN.iter().find(|entry| entry.number[1..] == digits);
    Handset::with_behaviour(known.map_or(Behaviour::Talks, |entry| entry.behaviour))
}

/// How long a caller is patient when the other side stays silent, before they hang up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_however_they_are_written() {
        for to in ["+12025550101", "12025550101", "sip:+12025550101@example.com"] {
            assert_eq!(handset_for(to).behaviour, Behaviour::Busy, "{to}");
        }
        assert_eq!(handset_for("+4930123456").behaviour, Behaviour::Talks);
        assert_eq!(handset_for("sip:anna@example.com").behaviour, Behaviour::Talks);
    }
}
