//! One-time tokens of media sockets.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use telephony_core::{WorkflowRunId, signing::sha256_hex};

/// Tokens that have been given out and not used. Only their hashes are kept.
///
/// A token is 32 random bytes in hexadecimal. It stands in the path of the media URL, since carriers drop queries, and is
/// good for one socket of one run.
#[derive(Debug, Default)]
pub(crate) struct MediaTokens {
    by_hash: Mutex<HashMap<String, WorkflowRunId>>,
}

impl MediaTokens {
    /// Makes a token for a run.
    #[must_use]
    pub(crate) fn issue(&self, run: WorkflowRunId) -> String {
        let token: String = rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect();
        self.lock().insert(sha256_hex(token.as_bytes()), run);
        token
    }

    /// Uses a token up. False if it was never given out for this run, or has been used.
    ///
    /// The table is searched by hash: how long that takes says nothing about the token.
    #[must_use]
    pub(crate) fn redeem(&self, run: WorkflowRunId, token: &str) -> bool {
        let mut tokens = self.lock();
        let hash = sha256_hex(token.as_bytes());
        if tokens.get(&hash) == Some(&run) {
            tokens.remove(&hash);
            return true;
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, WorkflowRunId>> {
        self.by_hash.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_once_and_for_its_own_run() {
        let tokens = MediaTokens::default();
        let (run, other) = (WorkflowRunId::generate(), WorkflowRunId::generate());
        let token = tokens.issue(run);
        assert_eq!(token.len(), 64);
        assert!(!tokens.redeem(other, &token));
        assert!(!tokens.redeem(run, "guess"));
        assert!(tokens.redeem(run, &token));
        assert!(!tokens.redeem(run, &token));
        assert!(!format!("{tokens:?}").contains(&token));
    }
}
