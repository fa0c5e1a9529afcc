//! The companding laws of ITU-T G.711, bit by bit as the reference software of ITU-T G.191 has them (`ulaw_compress`,
//! `ulaw_expand`, `alaw_compress`, `alaw_expand`), on the scale of 16-bit PCM.
//!
//! A companded byte is a small floating-point number: a sign, three bits of exponent (the segment) and four of mantissa (the
//! step). An `f32` is laid out the same way with wider fields, so the hardware's own conversion between integers and
//! floating point finds the segment, and the rest is a shift and an addition. There is no table and no branch, hence the
//! compiler does several samples at once. The `audio` bench has the ratios: encoding gains much, and decoding as much as the
//! processor's vectors are wide.
//!
//! A negative sample's magnitude is its one's complement, as in the reference. Taking its absolute value instead, as many
//! implementations do, gives another byte for 127 of the 65,536 samples in μ-law.

/// Encodes a 16-bit sample as μ-law, rounding as ITU-T G.191's `ulaw_compress` does.
///
/// Lossy: what lies beyond ±32,635 is clipped, and the rest keeps its five leading bits, counted from a bias of 132.
#[inline]
#[must_use]
pub const fn mulaw_encode(sample: i16) -> u8 {
    let sign = sample >> 15; // All ones if negative.
    let magnitude = sample ^ sign;
    let clipped = if magnitude > MULAW_CLIP { MULAW_CLIP } else { magnitude };
    // 132 to 32,767, which an f32 holds exactly.
    let float = ((clipped + MULAW_BIAS) as f32).to_bits();
    // The lowest segment begins at 128, so its exponent counts as 0.
    let segment_and_step = (float >> STEP_SHIFT) - (exponent_of(128.0) << STEP_BITS);
    !(segment_and_step as u8 | sign as u8 & SIGN_BIT)
}

/// Decodes a μ-law byte, as ITU-T G.191's `ulaw_expand` does. Exact: [`mulaw_encode`] gives the byte back, except that
/// the second zero (0x7F) comes back as the first (0xFF).
///
/// The result is within ±32,124.
#[inline]
#[must_use]
pub const fn mulaw_decode(byte: u8) -> i16 {
    let byte = !byte;
    let segment_and_step = (byte & !SIGN_BIT) as i16;
    let biased = middle_of_step(segment_and_step, exponent_of(128.0));
    with_sign(biased - MULAW_BIAS, byte as i8)
}

/// Encodes a 16-bit sample as A-law, rounding as ITU-T G.191's `alaw_compress` does. The even bits are inverted.
///
/// Lossy: a sample keeps its five leading bits, or what is above its four lowest bits if that is less.
#[inline]
#[must_use]
pub const fn alaw_encode(sample: i16) -> u8 {
    let sign = sample >> 15; // All ones if negative.
    let magnitude = sample ^ sign;
    // The lowest segment is linear: it has the steps of the one above it, which begins at 256.
    let linear = if magnitude < 256 { magnitude >> STEP_BITS } else { STEPS };
    let companded = if magnitude < 256 { 256 } else { magnitude };
    let float = (companded as f32).to_bits();
    let segment_and_step = (float >> STEP_SHIFT) - (exponent_of(256.0) << STEP_BITS) + linear as u32;
    // Here the bit says that the sample is positive.
    (segment_and_step as u8 | !sign as u8 & SIGN_BIT) ^ ALAW_INVERTED_BITS
}

/// Decodes an A-law byte, as ITU-T G.191's `alaw_expand` does. Exact: [`alaw_encode`] gives the byte back.
///
/// The result is within ±32,256 and never 0.
#[inline]
#[must_use]
pub const fn alaw_decode(byte: u8) -> i16 {
    let byte = byte ^ ALAW_INVERTED_BITS;
    let segment_and_step = (byte & !SIGN_BIT) as i16;
    // The lowest segment is the one above it, moved down to zero.
    let if_lowest = (segment_and_step - STEPS) >> 15; // All ones, or none.
    let raised = segment_and_step + (if_lowest & STEPS);
    let magnitude = middle_of_step(raised, exponent_of(256.0) - 1) - (if_lowest & 256);
    with_sign(magnitude, !byte as i8)
}

/// Appends the samples' μ-law bytes. See [`mulaw_encode`].
pub fn mulaw_encode_into(samples: &[i16], bytes: &mut Vec<u8>) {
    bytes.extend(samples.iter().map(|&sample| mulaw_encode(sample)));
}

/// Appends what μ-law bytes stand for. See [`mulaw_decode`].
pub fn mulaw_decode_into(bytes: &[u8], samples: &mut Vec<i16>) {
    samples.extend(bytes.iter().map(|&byte| mulaw_decode(byte)));
}

/// Appends the samples' A-law bytes. See [`alaw_encode`].
pub fn alaw_encode_into(samples: &[i16], bytes: &mut Vec<u8>) {
    bytes.extend(samples.iter().map(|&sample| alaw_encode(sample)));
}

/// Appends what A-law bytes stand for. See [`alaw_decode`].
pub fn alaw_decode_into(bytes: &[u8], samples: &mut Vec<i16>) {
    samples.extend(bytes.iter().map(|&byte| alaw_decode(byte)));
}

/// The exponent field of an `f32`.
const fn exponent_of(float: f32) -> u32 {
    float.to_bits() >> (f32::MANTISSA_DIGITS - 1)
}

/// The number in the middle of a step, as an `f32` has it that begins with an exponent and four bits of mantissa. The
/// exponent is that of segment 0. Below 32,768.
const fn middle_of_step(segment_and_step: i16, exponent_of_lowest: u32) -> i16 {
    let exponent_and_step = segment_and_step as u32 + (exponent_of_lowest << STEP_BITS);
    let float = f32::from_bits((exponent_and_step << STEP_SHIFT) | 1 << (STEP_SHIFT - 1));
    // From here on an f32 has no room for fractions, so its low bits are the integer. `as` would check the range, and the
    // mask tells the compiler that it need not.
    const NO_FRACTIONS: f32 = 8_388_608.0;
    ((float + NO_FRACTIONS).to_bits() & i16::MAX as u32) as i16
}

/// A magnitude, negated if `like` is negative.
const fn with_sign(magnitude: i16, like: i8) -> i16 {
    let sign = (like as i16) >> 15; // All ones if negative.
    (magnitude ^ sign) - sign
}

const SIGN_BIT: u8 = 0x80;
/// Bits of a byte that say which step of the segment it is.
const STEP_BITS: u32 = 4;
const STEPS: i16 = 1 << STEP_BITS;
/// What is below the first four bits of an `f32`'s mantissa.
const STEP_SHIFT: u32 = f32::MANTISSA_DIGITS - 1 - STEP_BITS;
/// 33 on the law's own scale of 14 bits. It makes every segment begin at a power of two.
const MULAW_BIAS: i16 = 33 << 2;
const MULAW_CLIP: i16 = i16::MAX - MULAW_BIAS;
const ALAW_INVERTED_BITS: u8 = 0x55;

#[cfg(test)]
mod tests {
    use audio_codec_algorithms as oracle;

    use super::*;

    fn every_sample() -> Vec<i16> {
        (i16::MIN..=i16::MAX).collect()
    }

    fn every_byte() -> Vec<u8> {
        (0..=u8::MAX).collect()
    }

    #[test]
    fn every_sample_is_encoded_as_by_the_reference() {
        for sample in every_sample() {
            assert_eq!(mulaw_encode(sample), oracle::encode_ulaw(sample), "μ-law of {sample}");
            assert_eq!(alaw_encode(sample), oracle::encode_alaw(sample), "A-law of {sample}");
        }
    }

    #[test]
    fn every_byte_is_decoded_as_by_the_reference() {
        for byte in every_byte() {
            assert_eq!(mulaw_decode(byte), oracle::decode_ulaw(byte), "μ-law {byte:#04x}");
            assert_eq!(alaw_decode(byte), oracle::decode_alaw(byte), "A-law {byte:#04x}");
        }
    }

    #[test]
    fn every_byte_survives_a_round_trip() {
        for byte in every_byte() {
            let expected = if byte == 0x7f { 0xff } else { byte };
            assert_eq!(mulaw_encode(mulaw_decode(byte)), expected);
            assert_eq!(alaw_encode(alaw_decode(byte)), byte);
        }
    }

    #[test]
    fn slices_are_encoded_as_single_samples_are() {
        let samples = every_sample();
        let (mut mulaw, mut alaw) = (Vec::new(), Vec::new());
        mulaw_encode_into(&samples, &mut mulaw);
        alaw_encode_into(&samples, &mut alaw);
        assert!(mulaw.iter().eq(samples.iter().map(|&sample| mulaw_encode(sample)).collect::<Vec<_>>().iter()));
        assert!(alaw.iter().eq(samples.iter().map(|&sample| alaw_encode(sample)).collect::<Vec<_>>().iter()));
    }

    #[test]
    fn slices_are_decoded_as_single_bytes_are() {
        let bytes = every_byte();
        let (mut from_mulaw, mut from_alaw) = (vec![7], vec![7]);
        mulaw_decode_into(&bytes, &mut from_mulaw);
        alaw_decode_into(&bytes, &mut from_alaw);
        assert_eq!((from_mulaw[0], from_alaw[0]), (7, 7), "what was there before stays");
        for byte in every_byte() {
            assert_eq!(from_mulaw[1 + usize::from(byte)], mulaw_decode(byte));
            assert_eq!(from_alaw[1 + usize::from(byte)], alaw_decode(byte));
        }
    }

    #[test]
    fn the_ends_of_the_scale_are_those_of_the_documentation() {
        let mulaw = every_byte().into_iter().map(mulaw_decode);
        assert_eq!((mulaw.clone().min(), mulaw.max()), (Some(-32_124), Some(32_124)));
        let alaw = every_byte().into_iter().map(alaw_decode);
        assert_eq!((alaw.clone().min(), alaw.max()), (Some(-32_256), Some(32_256)));
        assert_eq!([mulaw_encode(32_635), mulaw_encode(i16::MAX)], [0x80, 0x80]);
    }
}
