//! How simulators are found: as providers are, at link time.

use std::fmt;

use telephony_core::ProviderDescriptor;

use crate::CarrierSimulator;

/// A simulator that can be started: whose carrier it plays, and how to make one.
#[derive(Clone, Copy)]
pub struct SimulatorDescriptor {
    provider: &'static ProviderDescriptor,
    build: fn() -> Box<dyn CarrierSimulator>,
}

impl SimulatorDescriptor {
    /// Describes the simulator of a provider's carrier.
    #[must_use]
    pub const fn new(provider: &'static ProviderDescriptor, build: fn() -> Box<dyn CarrierSimulator>) -> Self {
        Self { provider, build }
    }

    /// The provider whose carrier it plays.
    #[must_use]
    pub const fn provider(&self) -> &'static ProviderDescriptor {
        self.provider
    }

    /// A fresh carrier, with an account and no calls.
    #[must_use]
    pub fn build(&self) -> Box<dyn CarrierSimulator> {
        (self.build)()
    }
}

impl fmt::Debug for SimulatorDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorDescriptor").field("provider", &self.provider.name()).finish_non_exhaustive()
    }
}

/// What [`register_simulator!`](crate::register_simulator) submits.
#[derive(Debug)]
pub struct SimulatorRegistration(#[doc(hidden)] pub &'static SimulatorDescriptor);

telephony_core::__inventory::collect!(SimulatorRegistration);

/// Registers a simulator, a `static`, so that every program that links the crate finds it.
///
/// ```ignore
/// pub static SIMULATOR: SimulatorDescriptor = SimulatorDescriptor::new(&crate::DESCRIPTOR, || Box::new(Acme::new()));
/// telephony_sandbox::register_simulator!(SIMULATOR);
/// ```
#[macro_export]
macro_rules! register_simulator {
    ($descriptor:path) => {
        $crate::__inventory::submit! { $crate::SimulatorRegistration(&$descriptor) }
    };
}

/// Every simulator in this program, sorted by the provider's name.
#[must_use]
pub fn registered() -> Vec<&'static SimulatorDescriptor> {
    let mut all: Vec<_> = telephony_core::__inventory::iter::<SimulatorRegistration>.into_iter().map(|r| r.0).collect();
    all.sort_by_key(|simulator| simulator.provider.name());
    all
}

/// The simulator of this provider's carrier, if one is linked.
#[must_use]
pub fn find(provider: &str) -> Option<&'static SimulatorDescriptor> {
    registered().into_iter().find(|simulator| simulator.provider.name().as_str() == provider)
}
