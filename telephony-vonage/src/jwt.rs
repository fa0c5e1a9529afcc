//! The token that authorises requests about calls: a JSON Web Token that the application's private key signs.
//!
//! Source: <https://developer.vonage.com/en/getting-started/concepts/authentication#json-web-tokens>

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use telephony_core::{
    Secret, Timestamp,
    signing::{RsaSigner, SignatureError},
};
use time::Duration;
use uuid::Uuid;

/// What the official libraries ask for. Up to a day is allowed.
const LIFETIME: Duration = Duration::minutes(15);

/// A token this close to its end is not used any more: it must outlive the request, and clocks differ.
const MARGIN: Duration = Duration::minutes(1);

/// Makes tokens, and hands out the same one until shortly before it expires. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    signer: RsaSigner,
    application_id: String,
    current: Arc<Mutex<Option<Token>>>,
}

#[derive(Clone, Debug)]
struct Token {
    text: Secret,
    expires_at: Timestamp,
}

#[derive(Serialize)]
struct Claims<'a> {
    application_id: &'a str,
    iat: i64,
    exp: i64,
    jti: Uuid,
}

impl Tokens {
    pub(crate) fn new(private_key: &Secret, application_id: &str) -> Result<Self, SignatureError> {
        let signer = RsaSigner::from_pem(private_key)?;
        Ok(Self { signer, application_id: application_id.to_owned(), current: Arc::default() })
    }

    /// A token that is good now.
    pub(crate) fn token(&self, now: Timestamp) -> Result<Secret, SignatureError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = current.as_ref().filter(|token| now + MARGIN < token.expires_at) {
            return Ok(token.text.clone());
        }
        let expires_at = now + LIFETIME;
        let (iat, exp) = (now.unix_timestamp(), expires_at.unix_timestamp());
        let claims = Claims { application_id: &self.application_id, iat, exp, jti: Uuid::new_v4() };
        let text = Secret::new(self.signer.sign(&claims)?);
        *current = Some(Token { text: text.clone(), expires_at });
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use telephony_core::signing::unverified_jwt_claims;

    use super::*;

    #[test]
    fn a_token_is_kept_until_shortly_before_it_expires() {
        let key = Secret::new(include_str!("../testdata/test-only-private-key.pem"));
        let tokens = Tokens::new(&key, "app").unwrap();
        let start = Timestamp::from_unix_timestamp(1_784_020_500).unwrap();
        let at = |minutes| tokens.clone().token(start + Duration::minutes(minutes)).unwrap().expose().to_owned();
        let first = at(0);
        assert_eq!(at(13), first);
        let second = at(14);
        assert_ne!(second, first);
        assert_eq!(at(14), second);
        let claims: serde_json::Value = unverified_jwt_claims(&first).unwrap();
        assert_eq!(claims["application_id"], "app");
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
        let other: serde_json::Value = unverified_jwt_claims(&second).unwrap();
        assert_ne!(other["jti"], claims["jti"]);
        assert!(!format!("{tokens:?}").contains(&second));
    }
}
