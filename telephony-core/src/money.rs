//! Amounts of money and what a call cost.

use std::{fmt, time::Duration};

use iso_currency::Currency;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// An amount in a currency. On the wire the amount is a decimal text: `{"amount":"0.0085","currency":"USD"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// How much. Never rounded: carriers rate to a ten-thousandth of a cent.
    pub amount: Decimal,
    /// Of what (ISO 4217).
    pub currency: Currency,
}

/// Why a carrier's price could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// The amount is no decimal number.
    #[error("amount is not a decimal number: {0:?}")]
    Amount(String),
    /// The currency is no ISO 4217 code.
    #[error("currency is not an ISO 4217 code: {0:?}")]
    Currency(String),
}

impl Money {
    /// Reads a carrier's two texts, for instance `"-0.03000"` and `"USD"`. The sign is kept.
    ///
    /// # Errors
    ///
    /// [`MoneyError`] naming the text that could not be read.
    pub fn parse(amount: &str, currency: &str) -> Result<Self, MoneyError> {
        let amount = amount.trim().parse().map_err(|_| MoneyError::Amount(amount.to_owned()))?;
        let currency = Currency::from_code(&currency.trim().to_ascii_uppercase())
            .ok_or_else(|| MoneyError::Currency(currency.to_owned()))?;
        Ok(Self { amount, currency })
    }

    /// The same with the other sign: for carriers that write a charge as a negative amount.
    #[must_use]
    pub fn negated(self) -> Self {
        Self { amount: if self.amount.is_zero() { self.amount } else { -self.amount }, ..self }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount.normalize(), self.currency.code())
    }
}

/// What the carrier charges for a call.
///
/// There is no zero that means "unknown": a call that is not rated yet is [`Pending`](Self::Pending).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallCost {
    /// The carrier has not said yet; it may take minutes after the end of the call. Ask again later.
    Pending,
    /// The carrier's price for this leg. A charge is positive.
    Rated {
        /// The whole charge.
        total: Money,
        /// The price of one minute, where the carrier tells it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        per_minute: Option<Money>,
        /// The time that was charged, where the carrier tells it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        billed: Option<Duration>,
    },
}

impl CallCost {
    /// A total and nothing more.
    #[must_use]
    pub fn rated(total: Money) -> Self {
        Self::Rated { total, per_minute: None, billed: None }
    }
}

impl fmt::Display for CallCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("not rated yet"),
            Self::Rated { total, per_minute: Some(rate), .. } => write!(f, "{total} ({rate} per minute)"),
            Self::Rated { total, .. } => total.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_carriers() {
        let charge = Money::parse("-0.03000", "usd").unwrap().negated();
        assert_eq!(charge.to_string(), "0.03 USD");
        assert_eq!(Money::parse("0", "EUR").unwrap().negated().to_string(), "0 EUR");
        assert_eq!(Money::parse("", "USD"), Err(MoneyError::Amount(String::new())));
        assert_eq!(Money::parse("1", "XYZW"), Err(MoneyError::Currency("XYZW".into())));
    }

    #[test]
    fn the_wire_form_is_a_decimal_text() {
        let cost = CallCost::rated(Money::parse("0.0085", "USD").unwrap());
        let json = serde_json::to_string(&cost).unwrap();
        assert_eq!(json, r#"{"state":"rated","total":{"amount":"0.0085","currency":"USD"}}"#);
        assert_eq!(serde_json::from_str::<CallCost>(&json).unwrap(), cost);
    }
}
