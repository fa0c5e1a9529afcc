//! The names by which code and configuration find a provider and the operations it performs.

use std::fmt;

/// The one word that names a provider: in its crate (`telephony-acme`), its Cargo feature, its descriptor and the
/// `"provider"` field of a stored configuration.
///
/// Lower-case ASCII letters, digits and hyphens, 1 to 32 characters, starting with a letter. A name that is not of that
/// form does not compile:
///
/// ```compile_fail
/// const NAME: telephony_core::ProviderName = telephony_core::ProviderName::new("Acme Corp");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderName(&'static str);

impl ProviderName {
    /// Makes a name, in a `const` context at compile time.
    ///
    /// # Panics
    ///
    /// If the text is not of the form described on the type. In a constant that is a compile error.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= 32, "a provider name has 1 to 32 characters");
        assert!(bytes[0].is_ascii_lowercase(), "a provider name starts with a lower-case letter");
        let mut i = 0;
        while i < bytes.len() {
            let byte = bytes[i];
            assert!(
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-',
                "a provider name has only lower-case letters, digits and hyphens"
            );
            i += 1;
        }
        Self(name)
    }

    /// The name as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl serde::Serialize for ProviderName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

macro_rules! operations {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)+) => {
        /// What a provider was asked to do: the method of [`TelephonyProvider`](crate::TelephonyProvider), as errors,
        /// spans and metrics name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Operation {
            $($(#[$doc])* $variant,)+
        }

        impl Operation {
            /// Every operation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The method's name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

operations! {
    /// Building a provider from its configuration.
    Build => "build",
    /// [`initiate_call`](crate::TelephonyProvider::initiate_call).
    InitiateCall => "initiate_call",
    /// [`get_call_status`](crate::TelephonyProvider::get_call_status).
    GetCallStatus => "get_call_status",
    /// [`get_call_cost`](crate::TelephonyProvider::get_call_cost).
    GetCallCost => "get_call_cost",
    /// [`get_available_phone_numbers`](crate::TelephonyProvider::get_available_phone_numbers).
    GetAvailablePhoneNumbers => "get_available_phone_numbers",
    /// [`get_webhook_response`](crate::TelephonyProvider::get_webhook_response).
    GetWebhookResponse => "get_webhook_response",
    /// [`instruct`](crate::TelephonyProvider::instruct).
    Instruct => "instruct",
    /// [`hang_up`](crate::TelephonyProvider::hang_up).
    HangUp => "hang_up",
    /// [`transfer_call`](crate::TelephonyProvider::transfer_call).
    TransferCall => "transfer_call",
    /// [`send_digits`](crate::TelephonyProvider::send_digits).
    SendDigits => "send_digits",
    /// [`start_recording`](crate::TelephonyProvider::start_recording).
    StartRecording => "start_recording",
    /// [`stop_recording`](crate::TelephonyProvider::stop_recording).
    StopRecording => "stop_recording",
    /// [`configure_inbound`](crate::TelephonyProvider::configure_inbound).
    ConfigureInbound => "configure_inbound",
    /// [`check_account`](crate::TelephonyProvider::check_account).
    CheckAccount => "check_account",
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_it_is_written() {
        const NAME: ProviderName = ProviderName::new("acme-2");
        assert_eq!(NAME.to_string(), "acme-2");
        assert_eq!(format!("{NAME:?}"), "acme-2");
    }

    #[test]
    fn refuses_what_could_not_be_a_crate_name() {
        for bad in ["", "Acme", "2acme", "acme corp", "acme_corp", "-acme"] {
            assert!(std::panic::catch_unwind(|| ProviderName::new(bad)).is_err(), "{bad:?} was accepted");
        }
    }
}
