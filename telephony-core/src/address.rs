//! Whom a call reaches: E.164 telephone numbers and SIP URIs.
//!
//! Parsing is the only way in, and nothing here prints a whole number by accident: `Display` and `Debug` show its last
//! four digits, [`PhoneNumber::as_e164`] is the named way to the rest.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A telephone number in E.164 form: `+`, then 2 to 15 digits, the first not 0.
///
/// Source: ITU-T Recommendation E.164, which allows 15 digits at most and has no country code that starts with 0.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(String);

/// Why a text is no [`PhoneNumber`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhoneNumberError {
    /// The text does not start with `+`.
    #[error("a number must start with + and the country code, for instance +14155550100")]
    MissingPlus,
    /// There is something else than digits behind the `+`.
    #[error("a number has only digits behind the +: no blanks, brackets or hyphens")]
    NotADigit,
    /// The first digit is 0: a national prefix, or an international one.
    #[error("a number has no 0 behind the +: write the country code without 0 or 00")]
    LeadingZero,
    /// Fewer than 2 or more than 15 digits.
    #[error("a number has 2 to 15 digits behind the +")]
    Length,
}

impl PhoneNumber {
    /// The whole number, `+` first. Not for logs.
    #[must_use]
    pub fn as_e164(&self) -> &str {
        &self.0
    }

    /// The digits without the `+`, as some carriers want it. Not for logs.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0[1..]
    }

    /// Reads a number that a carrier wrote without its `+`.
    ///
    /// # Errors
    ///
    /// As for parsing; a leading `+` is allowed.
    pub fn from_digits(text: &str) -> Result<Self, PhoneNumberError> {
        if text.starts_with('+') { text.parse() } else { format!("+{text}").parse() }
    }
}

impl FromStr for PhoneNumber {
    type Err = PhoneNumberError;

    fn from_str(text: &str) -> Result<Self, PhoneNumberError> {
        let digits = text.strip_prefix('+').ok_or(PhoneNumberError::MissingPlus)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PhoneNumberError::NotADigit);
        }
        if digits.starts_with('0') {
            return Err(PhoneNumberError::LeadingZero);
        }
        if !matches!(digits.len(), 2..=15) {
            return Err(PhoneNumberError::Length);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Shows the last four digits only: `+…0100`.
impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact_number(&self.0))
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PhoneNumber {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PhoneNumber {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for PhoneNumber {
    fn schema_name() -> Cow<'static, str> {
        "PhoneNumber".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "e164",
            "pattern": "^\\+[1-9][0-9]{1,14}$",
            "x-problem": "must be a telephone number in E.164 form: + and 2 to 15 digits, the first not 0, for instance +14155550100",
        })
    }
}

/// What is left of a telephone number, or of a text that may hold one, where people may read it: its last four
/// characters, if it has more than six.
#[must_use]
pub fn redact_number(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let plus = if text.starts_with('+') { "+" } else { "" };
    if characters.len() > 6 {
        format!("{plus}…{}", characters[characters.len() - 4..].iter().collect::<String>())
    } else {
        format!("{plus}…")
    }
}

/// A SIP or SIPS URI (RFC 3261, part 19.1): scheme, user part, host. Kept as it was written.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SipUri(String);

/// Why a text is no [`SipUri`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SipUriError {
    /// It starts with neither `sip:` nor `sips:`.
    #[error("a SIP URI must start with sip: or sips:")]
    Scheme,
    /// There is no host.
    #[error("a SIP URI names a host, for instance sip:anna@example.com")]
    Host,
    /// A blank, a control character or a character outside ASCII.
    #[error("a SIP URI has only visible ASCII characters; escape others with %")]
    Character,
}

impl SipUri {
    /// The URI as it was written. Not for logs: the user part may be a telephone number.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn host(text: &str) -> &str {
        let rest = text.split_once(':').map_or("", |(_, rest)| rest);
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        host.split([';', '?']).next().unwrap_or("")
    }
}

impl FromStr for SipUri {
    type Err = SipUriError;

    fn from_str(text: &str) -> Result<Self, SipUriError> {
        let lower = text.to_ascii_lowercase();
        if !lower.starts_with("sip:") && !lower.starts_with("sips:") {
            return Err(SipUriError::Scheme);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['<', '>', '"']) {
            return Err(SipUriError::Character);
        }
        let host = Self::host(text);
        if host.is_empty() || host.starts_with(':') {
            return Err(SipUriError::Host);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Shows the host only: `sip:…@example.com`.
impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sip:…@{}", Self::host(&self.0))
    }
}

impl fmt::Debug for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whom to call, or who is calling.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A telephone number.
    Phone(PhoneNumber),
    /// A SIP user agent.
    Sip(SipUri),
}

impl Address {
    /// The telephone number, if it is one.
    #[must_use]
    pub fn as_phone(&self) -> Option<&PhoneNumber> {
        match self {
            Self::Phone(number) => Some(number),
            Self::Sip(_) => None,
        }
    }

    /// The address as carriers write it: the number with its `+`, or the URI. Not for logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Phone(number) => number.as_e164(),
            Self::Sip(uri) => uri.as_str(),
        }
    }
}

/// Why a text is no [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It was read as a telephone number.
    #[error(transparent)]
    Phone(#[from] PhoneNumberError),
    /// It was read as a SIP URI.
    #[error(transparent)]
    Sip(#[from] SipUriError),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("sip" | "sips") => Ok(Self::Sip(text.parse()?)),
            _ => Ok(Self::Phone(text.parse()?)),
        }
    }
}

impl From<PhoneNumber> for Address {
    fn from(number: PhoneNumber) -> Self {
        Self::Phone(number)
    }
}

impl From<SipUri> for Address {
    fn from(uri: SipUri) -> Self {
        Self::Sip(uri)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phone(number) => number.fmt(f),
            Self::Sip(uri) => uri.fmt(f),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Phone(number) => number.as_e164(),
            Self::Sip(uri) => uri.as_str(),
        })
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An address as a carrier reported it: what it wrote, and what we could make of it.
///
/// Carriers report withheld callers, names, endpoints of their own and malformed numbers. A webhook is not refused for
/// that: the text is kept, and `address` is `None`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedAddress {
    raw: String,
    address: Option<Address>,
}

impl ReportedAddress {
    /// Takes a text as the carrier wrote it, and what the provider's own rules read from it.
    #[must_use]
    pub fn new(raw: impl Into<String>, address: Option<Address>) -> Self {
        Self { raw: raw.into(), address }
    }

    /// The carrier's own text. Not for logs.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// What the text means, if it is a number or a SIP URI.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }

    /// The telephone number, if it is one.
    #[must_use]
    pub fn phone(&self) -> Option<&PhoneNumber> {
        self.address.as_ref().and_then(Address::as_phone)
    }
}

impl fmt::Display for ReportedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => address.fmt(f),
            None => f.write_str(&redact_number(&self.raw)),
        }
    }
}

impl fmt::Debug for ReportedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_says_what_is_wrong_with_it() {
        let cases = [
            ("14155550100", PhoneNumberError::MissingPlus),
            ("", PhoneNumberError::MissingPlus),
            ("+1 415 555 0100", PhoneNumberError::NotADigit),
            ("+", PhoneNumberError::Length),
            ("+1", PhoneNumberError::Length),
            ("+0049301234", PhoneNumberError::LeadingZero),
            ("+1234567890123456", PhoneNumberError::Length),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<PhoneNumber>(), Err(error), "{text:?}");
        }
        assert!("+123456789012345".parse::<PhoneNumber>().is_ok());
    }

    #[test]
    fn no_print_shows_a_whole_number() {
        let number: PhoneNumber = "+14155550100".parse().unwrap();
        let reported = ReportedAddress::new("sip:+14155550100@example.com", None);
        let sip: Address = "sip:+14155550100@example.com".parse().unwrap();
        for text in [format!("{number}"), format!("{number:?}"), format!("{sip} {sip:?}"), format!("{reported:?}")] {
            assert!(!text.contains("415555"), "{text}");
        }
        assert_eq!(number.to_string(), "+…0100");
        assert_eq!(redact_number("+4912"), "+…");
    }

    #[test]
    fn sip_uris() {
        for good in ["sip:anna@example.com", "sips:anna@example.com:5061;transport=tls", "SIP:example.com"] {
            assert_eq!(good.parse::<SipUri>().unwrap().as_str(), good);
        }
        assert_eq!("tel:+1".parse::<SipUri>(), Err(SipUriError::Scheme));
        assert_eq!("sip:".parse::<SipUri>(), Err(SipUriError::Host));
        assert_eq!("sip:anna@;x".parse::<SipUri>(), Err(SipUriError::Host));
        assert_eq!("sip:anna smith@example.com".parse::<SipUri>(), Err(SipUriError::Character));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = text.parse::<Address>();
            let _ = redact_number(&text);
        }

        #[test]
        fn every_well_formed_number_round_trips(digits in "[1-9][0-9]{1,14}") {
            let number = PhoneNumber::from_digits(&digits).unwrap();
            prop_assert_eq!(number.digits(), &digits);
            let json = serde_json::to_string(&number).unwrap();
            prop_assert_eq!(serde_json::from_str::<PhoneNumber>(&json).unwrap(), number);
        }
    }
}
