//! The cryptography that webhooks and carrier APIs use, in one place: a check that succeeds yields a [`Proof`].
//!
//! Every comparison is in constant time. The carrier's recipe (what is signed, in which order, where the signature
//! stands) belongs to the provider; the primitives are here, so that there is one of each and no provider names a
//! cryptographic library.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Serialize, de::DeserializeOwned};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::secret::Secret;

/// Evidence that an authenticity check succeeded. Only the functions of this module make one, and only on success.
#[derive(Debug)]
#[must_use = "a proof that vouches for nothing is a check that protects nothing"]
pub struct Proof(());

/// Why a signature did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// It is not of the right form: not base64, not the right length, not a token.
    #[error("not of the right form")]
    Malformed,
    /// It is well formed and belongs to something else.
    #[error("does not match")]
    Mismatch,
}

/// Standard base64 with padding.
#[must_use]
pub fn base64_encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Lower-case hexadecimal SHA-256 of some bytes.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `given` is the lower-case hexadecimal SHA-256 of the bytes.
///
/// # Errors
///
/// [`SignatureError::Mismatch`] if not. Upper case does not count: carriers write lower case, and the official helpers
/// refuse the other.
pub fn check_sha256_hex(bytes: &[u8], given: &str) -> Result<(), SignatureError> {
    if Secret::new(sha256_hex(bytes)).matches(given) { Ok(()) } else { Err(SignatureError::Mismatch) }
}

/// HMAC-SHA1 of a message, in base64.
#[must_use]
pub fn hmac_sha1_base64(key: &Secret, message: &[u8]) -> String {
    STANDARD.encode(mac::<Hmac<Sha1>>(key, message).finalize().into_bytes())
}

/// HMAC-SHA256 of a message, in base64.
#[must_use]
pub fn hmac_sha256_base64(key: &Secret, message: &[u8]) -> String {
    STANDARD.encode(mac::<Hmac<Sha256>>(key, message).finalize().into_bytes())
}

/// Checks a base64 HMAC-SHA1 over a message.
///
/// # Errors
///
/// [`SignatureError`].
pub fn verify_hmac_sha1_base64(key: &Secret, message: &[u8], given: &str) -> Result<Proof, SignatureError> {
    let given = STANDARD.decode(given).map_err(|_| SignatureError::Malformed)?;
    mac::<Hmac<Sha1>>(key, message).verify_slice(&given).map(|()| Proof(())).map_err(|_| SignatureError::Mismatch)
}

/// Checks a base64 HMAC-SHA256 over a message.
///
/// # Errors
///
/// [`SignatureError`].
pub fn verify_hmac_sha256_base64(key: &Secret, message: &[u8], given: &str) -> Result<Proof, SignatureError> {
    let given = STANDARD.decode(given).map_err(|_| SignatureError::Malformed)?;
    mac::<Hmac<Sha256>>(key, message).verify_slice(&given).map(|()| Proof(())).map_err(|_| SignatureError::Mismatch)
}

fn mac<M: Mac + KeyInit>(key: &Secret, message: &[u8]) -> M {
    let mut mac = <M as KeyInit>::new_from_slice(key.expose().as_bytes())
        .unwrap_or_else(|_| unreachable!("HMAC takes keys of every length (RFC 2104)"));
    mac.update(message);
    mac
}

/// Checks an Ed25519 signature strictly: a malleable variant of a good signature fails.
///
/// `public_key` and `signature` are base64 of 32 and 64 bytes.
///
/// # Errors
///
/// [`SignatureError`].
pub fn verify_ed25519_base64(public_key: &str, message: &[u8], signature: &str) -> Result<Proof, SignatureError> {
    let key: [u8; 32] = decode_exactly(public_key)?;
    let signature: [u8; 64] = decode_exactly(signature)?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&key).map_err(|_| SignatureError::Malformed)?;
    key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature))
        .map(|()| Proof(()))
        .map_err(|_| SignatureError::Mismatch)
}

fn decode_exactly<const N: usize>(text: &str) -> Result<[u8; N], SignatureError> {
    STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(SignatureError::Malformed)
}

/// Checks a shared secret that a carrier repeats in a header or URL, for carriers that sign nothing.
///
/// # Errors
///
/// [`SignatureError::Mismatch`].
pub fn verify_shared_secret(expected: &Secret, given: &str) -> Result<Proof, SignatureError> {
    if !expected.is_empty() && expected.matches(given) { Ok(Proof(())) } else { Err(SignatureError::Mismatch) }
}

/// Checks a JSON Web Token signed with HS256, and no other algorithm whatever its header says, and returns its claims.
///
/// No claim is checked: not `exp`, `nbf`, `iat` or `iss`. What they must be is the carrier's rule, and the time to compare
/// with is the caller's.
///
/// # Errors
///
/// [`SignatureError`]; claims that do not fit `C` are [`SignatureError::Malformed`].
pub fn verify_jwt_hs256<C: DeserializeOwned + Clone>(key: &Secret, token: &str) -> Result<(C, Proof), SignatureError> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    let key = DecodingKey::from_secret(key.expose().as_bytes());
    match jsonwebtoken::decode::<C>(token, &key, &validation) {
        Ok(data) => Ok((data.claims, Proof(()))),
        Err(error) => Err(match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => SignatureError::Mismatch,
            _ => SignatureError::Malformed,
        }),
    }
}

/// Signs claims with HS256, as carriers sign webhooks. For simulators.
#[must_use]
pub fn sign_jwt_hs256<C: Serialize>(key: &Secret, claims: &C) -> String {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(key.expose().as_bytes()))
        .unwrap_or_default()
}

/// The claims of a token whose signature nobody has checked. Good for finding the account to check it with.
#[must_use]
pub fn unverified_jwt_claims<C: DeserializeOwned>(token: &str) -> Option<C> {
    let payload = token.split('.').nth(1)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// An RSA private key that signs JSON Web Tokens with RS256.
#[derive(Clone)]
pub struct RsaSigner(EncodingKey);

impl RsaSigner {
    /// Reads a key from PEM, PKCS#8 (`BEGIN PRIVATE KEY`) or PKCS#1 (`BEGIN RSA PRIVATE KEY`).
    ///
    /// Line breaks pasted as `\n` (backslash, n) are mended.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Malformed`] if it is no such key.
    pub fn from_pem(pem: &Secret) -> Result<Self, SignatureError> {
        let text = Secret::new(pem.expose().trim().replace("\\r", "").replace("\\n", "\n"));
        let key = EncodingKey::from_rsa_pem(text.expose().as_bytes()).map_err(|_| SignatureError::Malformed)?;
        let signer = Self(key);
        // A PEM of some other kind of key is only found out when it is used.
        signer.sign(&serde_json::json!({}))?;
        Ok(signer)
    }

    /// Signs claims; the header is `{"typ":"JWT","alg":"RS256"}`. About a quarter to three quarters of a millisecond.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Malformed`] if the key cannot sign or the claims cannot be written.
    pub fn sign<C: Serialize>(&self, claims: &C) -> Result<String, SignatureError> {
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &self.0).map_err(|_| SignatureError::Malformed)
    }
}

impl fmt::Debug for RsaSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaSigner")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_2202_and_rfc_4231() {
        let key = Secret::new("Jefe");
        let message = b"what do ya want for nothing?";
        let sha1 = "7/zfauXrL6LSdBbV8YTfnCWafHk=";
        let sha256 = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=";
        assert_eq!(hmac_sha1_base64(&key, message), sha1);
        assert_eq!(hmac_sha256_base64(&key, message), sha256);
        assert!(verify_hmac_sha1_base64(&key, message, sha1).is_ok());
        assert!(verify_hmac_sha256_base64(&key, message, sha256).is_ok());
        assert_eq!(verify_hmac_sha1_base64(&key, b"nothing", sha1).unwrap_err(), SignatureError::Mismatch);
        assert_eq!(verify_hmac_sha256_base64(&key, message, "no base64").unwrap_err(), SignatureError::Malformed);
    }

    #[test]
    fn sha256_in_lower_case_only() {
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), hash);
        assert_eq!(check_sha256_hex(b"abc", hash), Ok(()));
        assert_eq!(check_sha256_hex(b"abc", &hash.to_uppercase()), Err(SignatureError::Mismatch));
    }

    #[test]
    fn a_token_is_checked_with_its_one_algorithm() {
        let key = Secret::new("k");
        let token = sign_jwt_hs256(&key, &serde_json::json!({"a": 1}));
        let (claims, _proof) = verify_jwt_hs256::<serde_json::Value>(&key, &token).unwrap();
        assert_eq!(claims["a"], 1);
        assert_eq!(
            verify_jwt_hs256::<serde_json::Value>(&Secret::new("other"), &token).unwrap_err(),
            SignatureError::Mismatch
        );
        // {"alg":"none"}
        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", token.split('.').nth(1).unwrap());
        assert_eq!(verify_jwt_hs256::<serde_json::Value>(&key, &unsigned).unwrap_err(), SignatureError::Malformed);
        assert_eq!(unverified_jwt_claims::<serde_json::Value>(&token).unwrap()["a"], 1);
    }

    #[test]
    fn a_shared_secret_that_is_empty_protects_nothing() {
        assert!(verify_shared_secret(&Secret::new(""), "").is_err());
        assert!(verify_shared_secret(&Secret::new("s"), "s").is_ok());
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        for bad in ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            assert!(RsaSigner::from_pem(&Secret::new(bad)).is_err(), "{bad:?}");
        }
    }
}
