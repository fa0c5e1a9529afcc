//! Messages on their way out of a WebSocket.

use bytes::BytesMut;
use telephony_core::Bytes;

/// How much memory is taken at first: a few messages of 20 ms.
const ENOUGH: usize = 4 * 1024;

/// Copies messages into memory that is used again as soon as they have left, so that a frame takes none.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    memory: BytesMut,
}

impl Outgoing {
    /// A copy of these bytes that can be sent.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if self.memory.capacity() < bytes.len() {
            self.memory.reserve(bytes.len().max(ENOUGH));
        }
        self.memory.extend_from_slice(bytes);
        self.memory.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_have_left_give_their_memory_back() {
        let mut outgoing = Outgoing::default();
        let first = outgoing.copy(&[1; 640]);
        let memory = first.as_ptr() as usize;
        assert_eq!(first, [1_u8; 640].as_slice());
        drop(first);
        let mut others = Vec::new();
        for _ in 0..1_000 {
            // So that the system does not hand the same place out again by itself.
            others.push([1_u8; 640].to_vec());
            let message = outgoing.copy(&[2; 640]);
            let place = message.as_ptr() as usize;
            assert!((memory..memory + ENOUGH).contains(&place), "other memory was taken");
            assert_eq!(message, [2_u8; 640].as_slice());
        }
    }
}
