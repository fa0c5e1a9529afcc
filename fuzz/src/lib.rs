//! What the fuzz targets share: every linked provider with an account, made once, and a network that answers what it is told.

use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use telephony_core::{
    Bytes, ProviderContext, ProviderDescriptor, TelephonyProvider, async_trait,
    http::{Transport, TransportError, TransportErrorKind},
};
use telephony_registry as _;
use telephony_sandbox::{CarrierSimulator, SimulatorDescriptor};

/// A linked provider, and the other side of it.
#[derive(Debug)]
pub struct Carrier {
    /// What it says of itself.
    pub descriptor: &'static ProviderDescriptor,
    /// The provider, with the account of its simulator. Its requests go to [`network`](Self::network).
    pub provider: Arc<dyn TelephonyProvider>,
    /// Answers it.
    pub network: Arc<Network>,
    simulator: Mutex<Box<dyn CarrierSimulator>>,
}

impl Carrier {
    fn new(simulator: &SimulatorDescriptor) -> Self {
        let descriptor = simulator.provider();
        let carrier = simulator.build();
        let account = carrier.account(&"http://127.0.0.1:9/".parse().expect("a URL"));
        let network = Arc::new(Network::default());
        let context = ProviderContext::with_transport(network.clone());
        let provider = descriptor.build(&account, context).expect("the simulator's account is accepted");
        Self { descriptor, provider, network, simulator: Mutex::new(carrier) }
    }

    /// The carrier's side.
    pub fn simulator(&self) -> MutexGuard<'_, Box<dyn CarrierSimulator>> {
        self.simulator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every linked provider that has a simulator, in the order of their names.
pub fn carriers() -> &'static [Carrier] {
    static CARRIERS: LazyLock<Vec<Carrier>> =
        LazyLock::new(|| telephony_sandbox::registered().into_iter().map(Carrier::new).collect());
    &CARRIERS
}

/// The provider that a byte stands for.
pub fn carrier(choice: u8) -> &'static Carrier {
    let carriers = carriers();
    &carriers[usize::from(choice) % carriers.len()]
}

/// A network that gives the answers it was told to give, one after the other, and then none.
#[derive(Debug, Default)]
pub struct Network {
    answers: Mutex<VecDeque<http::Response<Bytes>>>,
    posts: Mutex<usize>,
}

impl Network {
    /// Takes new answers in place of those that are left, and counts anew.
    pub fn tell(&self, answers: impl IntoIterator<Item = http::Response<Bytes>>) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = answers.into_iter().collect();
        *self.posts.lock().unwrap_or_else(PoisonError::into_inner) = 0;
    }

    /// How many `POST` requests were sent since.
    pub fn posts(&self) -> usize {
        *self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Transport for Network {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, TransportError> {
        if request.method() == http::Method::POST {
            *self.posts.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
        let answer = self.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        answer.ok_or_else(|| TransportError::new(TransportErrorKind::NoAnswer, "there are no more answers"))
    }
}
