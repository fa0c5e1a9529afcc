//! What can go wrong when a carrier is asked to do something.

use std::{error::Error, fmt, time::Duration};

use crate::{
    capability::Capability,
    config::ConfigError,
    name::{Operation, ProviderName},
};

/// A boxed cause.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// What a carrier said in its own words about a request that it did not carry out.
///
/// The message is the carrier's and may quote the request, so texts that look like telephone numbers are shortened to their
/// last four digits when it is taken over. It reads as the [`CarrierWords`] that it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CarrierMessage(Box<CarrierWords>);

/// The parts of a [`CarrierMessage`]. Every one may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CarrierWords {
    /// The HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    /// The carrier's own error code, as text: some carriers number them, some do not.
    pub code: Option<String>,
    /// The carrier's explanation.
    pub message: Option<String>,
    /// Where the carrier documents this error.
    pub docs_url: Option<String>,
}

impl std::ops::Deref for CarrierMessage {
    type Target = CarrierWords;

    fn deref(&self) -> &CarrierWords {
        &self.0
    }
}

impl CarrierMessage {
    /// A message that has only an HTTP status.
    #[must_use]
    pub fn status(http_status: u16) -> Self {
        Self(Box::new(CarrierWords { http_status: Some(http_status), ..CarrierWords::default() }))
    }

    /// Adds the carrier's code.
    #[must_use]
    pub fn with_code(mut self, code: impl fmt::Display) -> Self {
        self.0.code = Some(code.to_string());
        self
    }

    /// Adds the carrier's explanation, telephone numbers in it shortened, at most 500 characters of it.
    #[must_use]
    pub fn with_message(mut self, message: &str) -> Self {
        self.0.message = Some(crate::redact::numbers_in(message).chars().take(500).collect());
        self
    }

    /// Adds the carrier's page on this error.
    #[must_use]
    pub fn with_docs_url(mut self, url: impl Into<String>) -> Self {
        self.0.docs_url = Some(url.into());
        self
    }
}

/// `21211: Invalid 'To' Phone Number (see https://…)`, or the HTTP status if the carrier said nothing.
impl fmt::Display for CarrierMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.code, &self.message, self.http_status) {
            (Some(code), Some(message), _) => write!(f, "{code}: {message}")?,
            (Some(code), None, _) => write!(f, "code {code}")?,
            (None, Some(message), _) => f.write_str(message)?,
            (None, None, Some(status)) => write!(f, "HTTP status {status}")?,
            (None, None, None) => f.write_str("no reason given")?,
        }
        if let Some(url) = &self.docs_url {
            write!(f, " (see {url})")?;
        }
        Ok(())
    }
}

/// A field and what is wrong with it: `account_sid: must start with AC and have 34 characters`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FieldProblem {
    /// The field, as the user wrote it; nested ones with dots and indexes: `phone_numbers[2]`.
    pub field: String,
    /// What is wrong, as the end of a sentence that starts with the field's name. Never the value.
    pub reason: String,
}

impl FieldProblem {
    /// Names a field and what is wrong with it.
    #[must_use]
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

/// Why an operation did not succeed. A variant exists because some caller acts on it.
///
/// `Display` says this level only; the cause, where there is one, is in [`source`](Error::source). The wording is no
/// contract. No variant holds a secret or a whole telephone number.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelephonyError {
    /// The account's configuration cannot work. Nothing was sent; mend the fields named.
    #[error(transparent)]
    InvalidConfig(#[from] ConfigError),

    /// The request is malformed, by our rules or the carrier's. Nothing happened; mend the field named.
    #[error("{provider} cannot {operation}: {problem}")]
    InvalidRequest {
        /// Who was asked.
        provider: ProviderName,
        /// For what.
        operation: Operation,
        /// The field and what is wrong with it.
        problem: FieldProblem,
        /// The carrier's words, when it was the carrier that refused.
        carrier: Option<CarrierMessage>,
    },

    /// The credentials are wrong. Nothing happened; nothing will until they are mended.
    #[error("{provider} does not accept the credentials: {carrier}")]
    Authentication {
        /// Who was asked.
        provider: ProviderName,
        /// For what.
        operation: Operation,
        /// The carrier's words.
        carrier: CarrierMessage,
    },

    /// The credentials are right, the account may not do this. Nothing happened.
    #[error("{provider} does not permit {operation}: {carrier}")]
    PermissionDenied {
        /// Who was asked.
        provider: ProviderName,
        /// For what.
        operation: Operation,
        /// The carrier's words.
        carrier: CarrierMessage,
    },

    /// The carrier knows no such call, number or account; perhaps another region does.
    #[error("{provider} found nothing for {operation}: {carrier}")]
    NotFound {
        /// Who was asked.
        provider: ProviderName,
        /// For what.
        operation: Operation,
        /// The carrier's words.
        carrier: CarrierMessage,
    },

    /// Too many requests, or too many calls at once. Nothing happened; wait, then try again.
    #[error("{provider} limits {operation}: {carrier}")]
    RateLimited {
        /// Who was asked.
        provider: ProviderName,
        /// For what.
        operation: Operation,
        /// How long the carrier asks to wait, if it says.
        retry_after: Option<Duration>,
        /// The carrier's words: which limit it is.
        carrier: CarrierMessage,
    },

    /// The carrier understood and refused. Nothing happened; the same request will be refused again.
    #[error("{provider} refused {operation}: {carrier}")]
    Rejected {
        /// Who was asked.
        provider: ProviderName,
        /// For what.
        operation: Operation,
        /// The carrier's words.
        carrier: CarrierMessage,
    },

    /// No answer in time to a request that changes nothing, or that never left. It may be repeated.
    #[error("{provider} did not answer {operation} within {} ms", after.as_millis())]
    Timeout {
        /// Who was asked.
        provider: ProviderName,
        /// For what.
        operation: Operation,
        /// How long was waited, over all attempts.
        after: Duration,
    },

    /// The carrier could not be reached, or failed, and nothing changed. It may be repeated.
    #[error("{provider} could not be asked for {operation}")]
    Transport {
        /// Who was asked.
        provider: ProviderName,
        /// For what.
        operation: Operation,
        /// What the network said.
        #[source]
        source: BoxError,
    },

    /// The carrier's answer could not be read: not what its documentation says.
    #[error("{provider} answered {operation} in an unexpected form: {reason}")]
    UnexpectedResponse {
        /// Who was asked.
        provider: ProviderName,
        /// For what.
        operation: Operation,
        /// What was wrong with the answer, without quoting it.
        reason: String,
    },

    /// The provider cannot do this. Nothing was sent.
    #[error("{provider} does not support {capability}")]
    Unsupported {
        /// Who was asked.
        provider: ProviderName,
        /// What it lacks.
        capability: Capability,
    },

    /// The request left, and nobody can say whether the carrier acted on it. **Do not repeat it**: a call may ring already.
    /// Ask the carrier, or wait for its webhook.
    #[error("{provider} may or may not have carried out {operation}: no usable answer came")]
    OutcomeUnknown {
        /// Who was asked.
        provider: ProviderName,
        /// For what.
        operation: Operation,
        /// What went wrong with the answer.
        #[source]
        source: BoxError,
    },
}

/// Whether doing the same again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It will fail again, until somebody mends something.
    Never,
    /// Nothing happened: do it again, after so long if the carrier said so.
    Safe {
        /// What the carrier asked for.
        after: Option<Duration>,
    },
    /// It may have happened already. Find out first.
    Unknown,
}

impl TelephonyError {
    /// Whether doing the same again may help. There are three answers; the third is the expensive one.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::InvalidConfig(_)
            | Self::InvalidRequest { .. }
            | Self::Authentication { .. }
            | Self::PermissionDenied { .. }
            | Self::NotFound { .. }
            | Self::Rejected { .. }
            | Self::UnexpectedResponse { .. }
            | Self::Unsupported { .. } => Retry::Never,
            Self::RateLimited { retry_after, .. } => Retry::Safe { after: *retry_after },
            Self::Timeout { .. } | Self::Transport { .. } => Retry::Safe { after: None },
            Self::OutcomeUnknown { .. } => Retry::Unknown,
        }
    }

    /// What the carrier itself said, if it said something.
    #[must_use]
    pub fn carrier(&self) -> Option<&CarrierMessage> {
        match self {
            Self::InvalidRequest { carrier, .. } => carrier.as_ref(),
            Self::Authentication { carrier, .. }
            | Self::PermissionDenied { carrier, .. }
            | Self::NotFound { carrier, .. }
            | Self::RateLimited { carrier, .. }
            | Self::Rejected { carrier, .. } => Some(carrier),
            _ => None,
        }
    }

    /// An [`InvalidRequest`](Self::InvalidRequest) found before anything was sent.
    #[must_use]
    pub fn invalid_request(
        provider: ProviderName,
        operation: Operation,
        field: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self::InvalidRequest { provider, operation, problem: FieldProblem::new(field, reason), carrier: None }
    }
}

/// An error with all its causes, joined by `: `.
///
/// ```
/// let error = std::io::Error::other("wire cut");
/// assert_eq!(telephony_core::error_chain(&error), "wire cut");
/// ```
#[must_use]
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
