//! Identifiers. Each is its own type, so that one cannot stand where another is meant.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A carrier's identifier of a call: opaque text, kept, compared and sent back, never taken apart.
///
/// 1 to 255 visible ASCII characters. Carriers use hexadecimal, UUIDs with and without dashes, and texts with colons; the
/// form is nobody's business but the carrier's, but a blank or a control character in it is refused, since ids travel in
/// URL paths and headers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct CallId(String);

/// Why a text is no [`CallId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a call id has 1 to 255 visible ASCII characters")]
pub struct CallIdError;

impl CallId {
    /// Takes a carrier's identifier.
    ///
    /// # Errors
    ///
    /// [`CallIdError`] when the text is empty, longer than 255 bytes, or holds anything but visible ASCII.
    pub fn new(text: impl Into<String>) -> Result<Self, CallIdError> {
        let text = text.into();
        let well_formed = matches!(text.len(), 1..=255) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if well_formed { Ok(Self(text)) } else { Err(CallIdError) }
    }

    /// The identifier as the carrier wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CallId {
    type Err = CallIdError;

    fn from_str(text: &str) -> Result<Self, CallIdError> {
        Self::new(text)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// How to reach one call at its carrier: its id and whatever other handles the carrier gave for it.
///
/// A call may have a second id for its conversation, a handle for commands, a host that alone knows it. The provider puts
/// them in under names of its own; everybody else stores the whole and hands it back.
///
/// The id is absent while the carrier has accepted a call but named only the *request* (some do): then a handle carries
/// that, and the first event brings the id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRef {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<CallId>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    handles: BTreeMap<String, String>,
}

impl CallRef {
    /// A call known by its id alone.
    #[must_use]
    pub fn new(id: CallId) -> Self {
        Self { id: Some(id), handles: BTreeMap::new() }
    }

    /// A call whose id the carrier has not said yet. Give it a handle.
    #[must_use]
    pub fn unnamed() -> Self {
        Self::default()
    }

    /// Adds one of the provider's own handles.
    #[must_use]
    pub fn with_handle(mut self, name: &str, value: impl Into<String>) -> Self {
        self.handles.insert(name.to_owned(), value.into());
        self
    }

    /// The carrier's id of the call, once known.
    #[must_use]
    pub fn id(&self) -> Option<&CallId> {
        self.id.as_ref()
    }

    /// A handle that the provider put in under this name.
    #[must_use]
    pub fn handle(&self, name: &str) -> Option<&str> {
        self.handles.get(name).map(String::as_str)
    }

    /// Takes over what `newer` knows: its id if it has one, and its handles over ours of the same name.
    ///
    /// Meant for the reference in an event of the same call; it does not check that the two mean one call.
    pub fn absorb(&mut self, newer: &Self) {
        if let Some(id) = &newer.id {
            self.id = Some(id.clone());
        }
        self.handles.extend(newer.handles.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
}

impl From<CallId> for CallRef {
    fn from(id: CallId) -> Self {
        Self::new(id)
    }
}

impl fmt::Display for CallRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => id.fmt(f),
            None => f.write_str("(not named yet)"),
        }
    }
}

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident,)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// A fresh identifier. It holds its time of birth (UUID version 7), so identifiers sort by age.
            #[must_use]
            pub fn generate() -> Self {
                Self(uuid::Uuid::now_v7())
            }
        }

        impl From<uuid::Uuid> for $name {
            fn from(uuid: uuid::Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for uuid::Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

uuid_ids! {
    /// A tenant: whoever owns accounts, numbers and workflows.
    OrganizationId,
    /// What a call is for: the agent that talks and how it is set up.
    WorkflowId,
    /// One run of a workflow: one call, from our point of view. It exists before the carrier has named the call.
    WorkflowRunId,
    /// A person who signs in.
    UserId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_takes_every_carrier_form_and_no_blank() {
        for good in ["CA0123456789abcdef0123456789abcdef", "aaaaaaaa-bbbb-cccc-dddd-0123456789ab", "v3:MdI91X4lWFEs7"] {
            assert_eq!(CallId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a\n", "ü", &"x".repeat(256)] {
            assert_eq!(CallId::new(bad), Err(CallIdError), "{bad:?}");
        }
    }

    #[test]
    fn a_reference_survives_storage_and_learns_its_id() {
        let mut call = CallRef::unnamed().with_handle("request", "r-1");
        assert_eq!(call.to_string(), "(not named yet)");
        call.absorb(&CallRef::new(CallId::new("c-1").unwrap()).with_handle("leg", "l-1"));
        let stored = serde_json::to_string(&call).unwrap();
        let back: CallRef = serde_json::from_str(&stored).unwrap();
        assert_eq!(back, call);
        assert_eq!((back.handle("request"), back.handle("leg")), (Some("r-1"), Some("l-1")));
        assert_eq!(back.to_string(), "c-1");
    }

    #[test]
    fn a_stored_reference_with_a_bad_id_is_refused() {
        assert!(serde_json::from_str::<CallRef>(r#"{"id":"a b"}"#).is_err());
    }
}
