//! The companding laws of ITU-T G.711, bit by bit as the reference software of ITU-T G.191 has them (`ulaw_compress`,
//! `ulaw_expand`, `alaw_compress`, `alaw_expand`), on the scale of 16-bit PCM.
//!
//! A companded byte is a small floating-point number: a sign, three bits of exponent (the segment) and four of mantissa (the
//! step). An `f32` is laid out the same way with wider fields, so the hardware's own conversion between integers and
//! floating point finds the segment, and the rest is a shift and an addition. There is no table and no branch, hence the
//! compiler does several samples at once; the `audio` bench has the ratios.
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
    let segment_and_step = (byte & !SIGN_BIT) as u16;
    let biased = middle_of_step(segment_and_step + (exponent_of(128.0) << STEP_BITS) as u16);
    with_sign(integer_part(biased) - MULAW_BIAS, byte & SIGN_BIT != 0)
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
    let linear = magnitude >> 4;
    let float = (magnitude as f32).to_bits();
    let companded = (float >> STEP_SHIFT).wrapping_sub((exponent_of(256.0) - 1) << STEP_BITS);
    let segment_and_step = if magnitude < 256 { linear as u32 } else { companded };
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
    let segment_and_step = (byte & !SIGN_BIT) as u16;
    // The lowest segment is the one above it, moved down to zero.
    let is_lowest = segment_and_step < 1 << STEP_BITS;
    let raised_by = if is_lowest { 1 << STEP_BITS } else { 0 };
    let moved_by = if is_lowest { 256 } else { 0 };
    let raised = middle_of_step(segment_and_step + raised_by + ((exponent_of(256.0) - 1) << STEP_BITS) as u16);
    with_sign(integer_part(raised) - moved_by, byte & SIGN_BIT == 0)
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

/// The number whose leading bits are an `f32`'s exponent and the first four bits of its mantissa, in the middle between it
/// and the next such number.
const fn middle_of_step(exponent_and_step: u16) -> f32 {
    // In the upper half of the bits, so that there is little to do at the full width.
    f32::from_bits(((exponent_and_step << (STEP_SHIFT - 16) | 1 << (STEP_SHIFT - 17)) as u32) << 16)
}

/// A whole number from 0 to 65,535 as an integer, without the checks for range and NaN that `as` would make.
const fn integer_part(float: f32) -> i16 {
    // From here on an f32 has no room for fractions, so its low bits are the integer.
    const NO_FRACTIONS: f32 = 8_388_608.0;
    (float + NO_FRACTIONS).to_bits() as i16
}

const fn with_sign(magnitude: i16, negative: bool) -> i16 {
    let sign = -(negative as i16);
    (magnitude ^ sign) - sign
}

const SIGN_BIT: u8 = 0x80;
/// Bits of a byte that say which step of the segment it is.
const STEP_BITS: u32 = 4;
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
