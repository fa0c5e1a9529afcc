//! How a provider makes itself known: a constant description, collected at link time.

use std::{fmt, sync::Arc};

use schemars::Schema;
use serde_json::Value;

use crate::{
    capability::{Capabilities, Capability},
    config::{self, ConfigError, ProviderConfig},
    error::TelephonyError,
    http::{HttpPolicy, ReqwestTransport, Transport},
    media::{CarrierMediaCodec, MediaProfile},
    name::{Operation, ProviderName},
    provider::TelephonyProvider,
    webhook::{WebhookAuthenticity, WebhookIdentity, WebhookRequest},
};

/// The crate that a provider comes from. Make it with [`package!`](crate::package).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// The crate's name: `telephony-acme`.
    pub name: &'static str,
    /// The crate's version.
    pub version: &'static str,
}

/// The [`Package`] of the crate in which it is written.
#[macro_export]
macro_rules! package {
    () => {
        $crate::Package { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") }
    };
}

/// What a provider crate implements to be built from a configuration: everything about the carrier that is known without
/// an account.
pub trait ProviderFactory: 'static {
    /// The account's configuration.
    type Config: ProviderConfig;

    /// The one word that names the provider.
    const NAME: ProviderName;
    /// The carrier's name, for people.
    const DISPLAY_NAME: &'static str;
    /// The carrier's documentation of its voice API.
    const DOCS_URL: &'static str;
    /// The crate: `package!()`.
    const PACKAGE: Package;
    /// What the provider can do.
    const CAPABILITIES: Capabilities;
    /// What its media stream is like.
    const MEDIA: MediaProfile;
    /// The configuration field that [`WebhookIdentity::account_id`] is compared with.
    const ACCOUNT_ID_FIELD: &'static str;
    /// How far the carrier vouches for its webhooks. Say less than [`Signature`](WebhookAuthenticity::Signature) only of a carrier
    /// that signs nothing: it is shown to customers.
    const WEBHOOK_AUTHENTICITY: WebhookAuthenticity = WebhookAuthenticity::Signature;

    /// Makes the provider of one account. Sends nothing.
    ///
    /// # Errors
    ///
    /// [`TelephonyError::InvalidConfig`] for what only the real thing can find, such as a key that cannot sign.
    fn build(config: Self::Config, context: ProviderContext) -> Result<Arc<dyn TelephonyProvider>, TelephonyError>;

    /// Whether a webhook looks like this carrier's, and for which account. Nothing is verified: the answer is good for
    /// finding the account to verify it with, and for nothing else.
    fn identify_webhook(request: &WebhookRequest) -> Option<WebhookIdentity>;

    /// The carrier's end of its media protocol, for simulators and for agents that were written for this carrier.
    fn carrier_media_codec() -> Box<dyn CarrierMediaCodec>;
}

/// What a provider is given to work with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProviderContext {
    /// How HTTP requests are sent.
    pub transport: Arc<dyn Transport>,
    /// How patient to be. A provider may put its own rate on top.
    pub http_policy: HttpPolicy,
}

impl ProviderContext {
    /// Requests over the network, with the default patience.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up: see [`ReqwestTransport::new`].
    pub fn network() -> Result<Self, crate::http::TransportError> {
        Ok(Self::with_transport(Arc::new(ReqwestTransport::new()?)))
    }

    /// Requests over a transport of your own.
    #[must_use]
    pub fn with_transport(transport: Arc<dyn Transport>) -> Self {
        Self { transport, http_policy: HttpPolicy::default() }
    }

    /// Sets the patience.
    #[must_use]
    pub fn with_http_policy(mut self, policy: HttpPolicy) -> Self {
        self.http_policy = policy;
        self
    }
}

type BuildFn = fn(&Value, ProviderContext) -> Result<Arc<dyn TelephonyProvider>, TelephonyError>;

/// Everything about a provider that is known without an account. Made in a constant, collected at link time.
#[derive(Clone, Copy)]
pub struct ProviderDescriptor {
    name: ProviderName,
    display_name: &'static str,
    docs_url: &'static str,
    package: Package,
    capabilities: Capabilities,
    media: MediaProfile,
    account_id_field: &'static str,
    webhook_authenticity: WebhookAuthenticity,
    schema: fn() -> Schema,
    check: fn(&Value) -> Result<(), ConfigError>,
    build: BuildFn,
    identify: fn(&WebhookRequest) -> Option<WebhookIdentity>,
    carrier_media: fn() -> Box<dyn CarrierMediaCodec>,
}

impl ProviderDescriptor {
    /// The description of a factory.
    #[must_use]
    pub const fn of<F: ProviderFactory>() -> Self {
        Self {
            name: F::NAME,
            display_name: F::DISPLAY_NAME,
            docs_url: F::DOCS_URL,
            package: F::PACKAGE,
            capabilities: F::CAPABILITIES,
            media: F::MEDIA,
            account_id_field: F::ACCOUNT_ID_FIELD,
            webhook_authenticity: F::WEBHOOK_AUTHENTICITY,
            schema: config::schema_of::<F::Config>,
            check: check::<F>,
            build: build::<F>,
            identify: F::identify_webhook,
            carrier_media: F::carrier_media_codec,
        }
    }

    /// The one word that names the provider.
    #[must_use]
    pub const fn name(&self) -> ProviderName {
        self.name
    }

    /// The carrier's name, for people.
    #[must_use]
    pub const fn display_name(&self) -> &'static str {
        self.display_name
    }

    /// The carrier's documentation.
    #[must_use]
    pub const fn docs_url(&self) -> &'static str {
        self.docs_url
    }

    /// The crate.
    #[must_use]
    pub const fn package(&self) -> Package {
        self.package
    }

    /// What the provider can do.
    #[must_use]
    pub const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// What its media stream is like.
    #[must_use]
    pub const fn media(&self) -> &MediaProfile {
        &self.media
    }

    /// The configuration field that [`WebhookIdentity::account_id`] is compared with.
    #[must_use]
    pub const fn account_id_field(&self) -> &'static str {
        self.account_id_field
    }

    /// How far the carrier vouches for its webhooks.
    #[must_use]
    pub const fn webhook_authenticity(&self) -> WebhookAuthenticity {
        self.webhook_authenticity
    }

    /// The JSON Schema of its configuration: the form, the documentation and the checks.
    #[must_use]
    pub fn config_schema(&self) -> Schema {
        (self.schema)()
    }

    /// Checks a configuration offline, and says everything that is wrong with it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every problem, by field.
    pub fn check_config(&self, config: &Value) -> Result<(), ConfigError> {
        (self.check)(config)
    }

    /// Makes the provider of one account from its stored configuration; the member `"provider"` is skipped.
    ///
    /// # Errors
    ///
    /// [`TelephonyError::InvalidConfig`] with every problem, by field.
    pub fn build(
        &self,
        config: &Value,
        context: ProviderContext,
    ) -> Result<Arc<dyn TelephonyProvider>, TelephonyError> {
        (self.build)(config, context)
    }

    /// Whether a webhook looks like this carrier's: see [`ProviderFactory::identify_webhook`].
    #[must_use]
    pub fn identify_webhook(&self, request: &WebhookRequest) -> Option<WebhookIdentity> {
        (self.identify)(request)
    }

    /// The carrier's end of its media protocol.
    #[must_use]
    pub fn carrier_media_codec(&self) -> Box<dyn CarrierMediaCodec> {
        (self.carrier_media)()
    }

    /// An error that says that this provider lacks a capability.
    #[must_use]
    pub const fn unsupported(&self, capability: Capability) -> TelephonyError {
        TelephonyError::Unsupported { provider: self.name, capability }
    }

    /// Refuses what needs a capability that this provider lacks: the options of a call
    /// ([`OutboundCall::capabilities`](crate::OutboundCall::capabilities)), an instruction
    /// ([`CallInstruction::capability`](crate::CallInstruction::capability)).
    ///
    /// # Errors
    ///
    /// [`TelephonyError::Unsupported`] naming the first that is lacking.
    pub fn require(&self, needed: impl IntoIterator<Item = Capability>) -> Result<(), TelephonyError> {
        match needed.into_iter().find(|capability| !self.capabilities.has(*capability)) {
            Some(lacking) => Err(self.unsupported(lacking)),
            None => Ok(()),
        }
    }

    /// An error that says that a request is malformed, found before anything was sent.
    #[must_use]
    pub fn invalid_request(
        &self,
        operation: Operation,
        field: impl Into<String>,
        reason: impl Into<String>,
    ) -> TelephonyError {
        TelephonyError::invalid_request(self.name, operation, field, reason)
    }
}

impl fmt::Debug for ProviderDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderDescriptor")
            .field("name", &self.name)
            .field("package", &self.package)
            .finish_non_exhaustive()
    }
}

fn check<F: ProviderFactory>(value: &Value) -> Result<(), ConfigError> {
    config::parse::<F::Config>(F::NAME, value).map(drop)
}

fn build<F: ProviderFactory>(
    value: &Value,
    context: ProviderContext,
) -> Result<Arc<dyn TelephonyProvider>, TelephonyError> {
    F::build(config::parse(F::NAME, value)?, context)
}

/// What [`register_provider!`](crate::register_provider) submits.
#[derive(Clone, Copy, Debug)]
pub struct Registration(#[doc(hidden)] pub &'static ProviderDescriptor);

inventory::collect!(Registration);

/// Every descriptor that was registered by a crate in this program, in the linker's order, duplicates and all.
///
/// The registry sorts and checks them: use `telephony_registry::Registry::linked()`.
pub fn registered() -> impl Iterator<Item = &'static ProviderDescriptor> {
    inventory::iter::<Registration>.into_iter().map(|registration| registration.0)
}

/// Registers a provider's descriptor, a `static`, so that every program that links the crate finds it.
///
/// Write it at the top level of the crate. To be linked, the crate must be *named* in the program's source, `use
/// telephony_acme as _;`, or by a crate that is: being listed in `Cargo.toml` is not enough.
///
/// ```ignore
/// pub static DESCRIPTOR: ProviderDescriptor = ProviderDescriptor::of::<Acme>();
/// telephony_core::register_provider!(DESCRIPTOR);
/// ```
#[macro_export]
macro_rules! register_provider {
    ($descriptor:path) => {
        $crate::__inventory::submit! { $crate::Registration(&$descriptor) }
    };
}
