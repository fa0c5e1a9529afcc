//! Finds telephony providers by name.
//!
//! A provider crate registers a descriptor at link time; this crate collects what is linked, checks it, and builds providers
//! from stored configurations. Cargo features select the providers of this repository:
//!
//! | feature | provider |
//! | --- | --- |
//! | `plivo` | Plivo Voice |
//! | `telnyx` | Telnyx Voice (Call Control) |
//! | `twilio` | Twilio Programmable Voice |
//! | `vonage` | Vonage Voice API |
//! | `all` | all of them |
//! | `simulators` | the simulators of the providers selected, for sandbox calls |
//!
//! A provider from elsewhere needs nothing here: name its crate once in your program, `use telephony_acme as _;`.
//!
//! ```
//! use telephony_registry::Registry;
//!
//! let registry = Registry::linked()?;
//! for provider in registry.iter() {
//!     println!("{}: {}", provider.name(), provider.display_name());
//! }
//! # Ok::<(), telephony_registry::RegistryError>(())
//! ```
//!
//! A program that uses providers only through this crate must name it, or the linker drops it and all of them with it.
//! Calling [`Registry::linked`] does.

// A feature alone links nothing: the linker drops a crate that nobody names. These lines name them, and forgetting one is a
// compile error.
#![cfg_attr(not(test), deny(unused_crate_dependencies))]

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::Value;
use telephony_core::{
    Package, ProviderContext, ProviderDescriptor, TelephonyError, TelephonyProvider, WebhookIdentity, WebhookRequest,
    config::PROVIDER_FIELD,
};

#[cfg(feature = "plivo")]
use telephony_plivo as _;
#[cfg(feature = "telnyx")]
use telephony_telnyx as _;
#[cfg(feature = "twilio")]
use telephony_twilio as _;
#[cfg(feature = "vonage")]
use telephony_vonage as _;

/// The providers of a program, by name.
#[derive(Clone)]
pub struct Registry {
    providers: BTreeMap<&'static str, &'static ProviderDescriptor>,
}

/// Why a provider was not found or not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Two crates, or two versions of one, register the same name. The program must link only one of them.
    #[error(
        "two providers are called {name}: {} {} and {} {}; link only one of them",
        first.name, first.version, second.name, second.version
    )]
    DuplicateName {
        /// The name.
        name: &'static str,
        /// One crate.
        first: Package,
        /// The other.
        second: Package,
    },
    /// No provider of this name is linked.
    #[error("no provider is called {name:?}; {}", Linked(linked))]
    UnknownProvider {
        /// The name asked for.
        name: String,
        /// The names that are linked, sorted.
        linked: Vec<&'static str>,
    },
    /// A configuration does not say which provider it is for.
    #[error("provider: {reason}; {}", Linked(linked))]
    NoProviderField {
        /// What is wrong with the field.
        reason: &'static str,
        /// The names that are linked, sorted.
        linked: Vec<&'static str>,
    },
    /// The provider does not accept the configuration.
    #[error(transparent)]
    Provider(#[from] TelephonyError),
}

/// `linked are acme, other`, or what to do when there is none.
struct Linked<'a>(&'a [&'static str]);

impl fmt::Display for Linked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("no provider is linked: enable a feature of telephony-registry, or name a provider's crate")
        } else {
            write!(f, "linked are {}", self.0.join(", "))
        }
    }
}

impl Registry {
    /// The providers that are linked into this program.
    ///
    /// # Errors
    ///
    /// [`RegistryError::DuplicateName`], naming both crates.
    pub fn linked() -> Result<Self, RegistryError> {
        Self::new(telephony_core::registered())
    }

    /// A registry made by hand: for tests, and for targets without link-time collection.
    ///
    /// # Errors
    ///
    /// [`RegistryError::DuplicateName`], naming both crates.
    pub fn new(descriptors: impl IntoIterator<Item = &'static ProviderDescriptor>) -> Result<Self, RegistryError> {
        let mut providers: BTreeMap<&'static str, &'static ProviderDescriptor> = BTreeMap::new();
        for descriptor in descriptors {
            let name = descriptor.name().as_str();
            if let Some(other) = providers.insert(name, descriptor) {
                // The linker's order is not stable; the message is.
                let mut packages = [other.package(), descriptor.package()];
                packages.sort_by_key(|package| (package.name, package.version));
                let [first, second] = packages;
                return Err(RegistryError::DuplicateName { name, first, second });
            }
        }
        Ok(Self { providers })
    }

    /// Every provider, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'static ProviderDescriptor> + '_ {
        self.providers.values().copied()
    }

    /// The names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.providers.keys().copied().collect()
    }

    /// The provider of this name.
    ///
    /// # Errors
    ///
    /// [`RegistryError::UnknownProvider`], listing what is linked.
    pub fn get(&self, name: &str) -> Result<&'static ProviderDescriptor, RegistryError> {
        self.providers
            .get(name)
            .copied()
            .ok_or_else(|| RegistryError::UnknownProvider { name: name.to_owned(), linked: self.names() })
    }

    /// The provider that a stored configuration names in its member `"provider"`.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NoProviderField`] and [`RegistryError::UnknownProvider`].
    pub fn of_config(&self, config: &Value) -> Result<&'static ProviderDescriptor, RegistryError> {
        let no_field = |reason| RegistryError::NoProviderField { reason, linked: self.names() };
        match config.get(PROVIDER_FIELD) {
            Some(Value::String(name)) => self.get(name),
            Some(_) => Err(no_field("must be a text")),
            None => Err(no_field("is missing")),
        }
    }

    /// Builds the provider of one account from its configuration: `{"provider": "acme", …}`.
    ///
    /// # Errors
    ///
    /// As for [`of_config`](Self::of_config), and [`RegistryError::Provider`] with every mistake in the configuration by field.
    pub fn build(&self, config: &Value, context: ProviderContext) -> Result<Arc<dyn TelephonyProvider>, RegistryError> {
        Ok(self.of_config(config)?.build(config, context)?)
    }

    /// Whose webhook a request looks like. Nothing is verified: the answer is good for finding the account whose secret to
    /// verify it with. More than one provider may recognise it.
    #[must_use]
    pub fn identify_webhook(&self, request: &WebhookRequest) -> Vec<(&'static ProviderDescriptor, WebhookIdentity)> {
        self.iter()
            .filter_map(|descriptor| descriptor.identify_webhook(request).map(|identity| (descriptor, identity)))
            .collect()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.providers.keys()).finish()
    }
}

/// The examples of the READMEs, this crate's and the workspace's, compiled.
#[cfg(doctest)]
mod readmes {
    #[doc = include_str!("../README.md")]
    struct Own;

    #[doc = include_str!("../../README.md")]
    struct Workspace;
}
