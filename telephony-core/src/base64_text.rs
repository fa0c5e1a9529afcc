//! Base64 on the media path: into and out of buffers that are used again.

use base64_simd::{Out, STANDARD};

/// Appends standard base64 with padding.
pub(crate) fn append_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + STANDARD.encoded_length(bytes.len()), 0);
    // The slice has exactly the length that it asks for.
    let _ = STANDARD.encode(bytes, Out::from_slice(&mut out[start..]));
}

/// Decodes standard base64 with padding into `out`, replacing what it held.
///
/// # Errors
///
/// When the text is not base64; `out` is empty then.
pub fn decode_base64_into(text: &str, out: &mut Vec<u8>) -> Result<(), NotBase64> {
    out.clear();
    let length = STANDARD.decoded_length(text.as_bytes()).map_err(|_| NotBase64)?;
    out.resize(length, 0);
    if STANDARD.decode(text.as_bytes(), Out::from_slice(out)).is_err() {
        out.clear();
        return Err(NotBase64);
    }
    Ok(())
}

/// A text is not standard base64 with padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not standard base64")]
pub struct NotBase64;

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn round_trip_behind_what_is_there(bytes: Vec<u8>) {
            let mut text = b"x".to_vec();
            append_base64(&bytes, &mut text);
            let text = String::from_utf8(text).unwrap();
            proptest::prop_assert_eq!(&text[1..], crate::signing::base64_encode(&bytes));
            let mut back = vec![1, 2, 3];
            decode_base64_into(&text[1..], &mut back).unwrap();
            proptest::prop_assert_eq!(back, bytes);
        }

        #[test]
        fn what_is_no_base64_is_refused(text in ".{0,40}") {
            let mut out = Vec::new();
            if decode_base64_into(&text, &mut out).is_err() {
                proptest::prop_assert!(out.is_empty());
            }
        }
    }
}
