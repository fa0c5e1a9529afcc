//! The carriers that are linked into this program.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use serde_json::Value;
use telephony_core::ProviderDescriptor;
use utoipa::ToSchema;

use super::{auth::Caller, problem::Problem};
use crate::service::Service;

/// A carrier.
#[derive(Serialize, ToSchema)]
pub(super) struct Provider {
    /// The one word for it, in configurations.
    name: &'static str,
    /// Its name, for people.
    display_name: &'static str,
    /// Where it documents its voice API.
    docs_url: &'static str,
    /// The crate that speaks to it.
    package: &'static str,
    /// That crate's version.
    version: &'static str,
    /// How far it vouches for its webhooks: `signed`, or `shared secret`.
    webhooks: &'static str,
    /// The formats of its media streams, its default first.
    audio: Vec<String>,
    /// Whether a simulator of it is linked, for calls without an account.
    simulator: bool,
    /// What it can do, by capability.
    capabilities: BTreeMap<&'static str, Support>,
    /// The JSON Schema (2020-12) of its configuration. A property that is `writeOnly` is a secret.
    config_schema: Value,
}

/// How a carrier has a capability.
#[derive(Serialize, ToSchema)]
struct Support {
    /// `native`, `emulated`, `not yet` or `impossible`.
    support: &'static str,
    /// How an emulation differs, or why something is impossible.
    note: &'static str,
    /// What the capability is.
    description: &'static str,
}

impl Provider {
    fn of(descriptor: &'static ProviderDescriptor) -> Self {
        let capabilities = descriptor.capabilities();
        let support = |(capability, support): (telephony_core::Capability, telephony_core::Support)| {
            let note = capabilities.note(capability);
            (capability.as_str(), Support { support: support.as_str(), note, description: capability.description() })
        };
        Self {
            name: descriptor.name().as_str(),
            display_name: descriptor.display_name(),
            docs_url: descriptor.docs_url(),
            package: descriptor.package().name,
            version: descriptor.package().version,
            webhooks: descriptor.webhook_authenticity().as_str(),
            audio: descriptor.media().formats.iter().map(ToString::to_string).collect(),
            simulator: telephony_sandbox::find(descriptor.name().as_str()).is_some(),
            capabilities: capabilities.iter().map(support).collect(),
            config_schema: descriptor.config_schema().to_value(),
        }
    }
}

/// Lists the carriers.
#[utoipa::path(get, operation_id = "list_providers", path = "/providers", tag = "providers", responses(
    (status = 200, description = "The carriers, by name", body = Vec<Provider>),
))]
pub(super) async fn list(State(service): State<Service>, _: Caller) -> Json<Vec<Provider>> {
    Json(service.registry().iter().map(Provider::of).collect())
}

/// Says all about a carrier.
#[utoipa::path(get, operation_id = "read_provider", path = "/providers/{name}", tag = "providers", params(
    ("name" = String, Path, description = "The one word for it"),
), responses(
    (status = 200, description = "The carrier", body = Provider),
    (status = 404, description = "None of that name is linked", body = Problem),
))]
pub(super) async fn read(
    State(service): State<Service>,
    _: Caller,
    Path(name): Path<String>,
) -> Result<Json<Provider>, Problem> {
    let found = service.registry().iter().find(|descriptor| descriptor.name().as_str() == name);
    found.map(|descriptor| Json(Provider::of(descriptor))).ok_or_else(|| Problem::not_found("provider"))
}
