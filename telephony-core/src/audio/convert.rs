//! From a carrier's audio to PCM at the rate that one likes, and back.

use std::{num::NonZeroU32, time::Duration};

use super::{
    AudioError, AudioFormat, AudioFrame, Encoding, Resampler, alaw_decode_into, alaw_encode_into, mulaw_decode_into,
    mulaw_encode_into,
};

/// Turns one stream of audio from the wire into PCM of another rate.
#[derive(Clone, Debug)]
pub struct PcmDecoder {
    wire: AudioFormat,
    resampler: Resampler,
    /// PCM at the wire's rate. Empty between calls.
    decoded: Vec<i16>,
}

impl PcmDecoder {
    /// A decoder from the wire's format to PCM with `pcm_rate_hz` samples per second.
    ///
    /// # Errors
    ///
    /// [`AudioError::UnsupportedSampleRate`] if the rates differ and one of them is not 8, 16, 24 or 48 kHz.
    pub fn new(wire: AudioFormat, pcm_rate_hz: NonZeroU32) -> Result<Self, AudioError> {
        Ok(Self { wire, resampler: Resampler::new(wire.sample_rate_hz, pcm_rate_hz)?, decoded: Vec::new() })
    }

    /// The format that it decodes.
    #[must_use]
    pub fn wire(&self) -> AudioFormat {
        self.wire
    }

    /// Samples per second that come out.
    #[must_use]
    pub fn pcm_rate_hz(&self) -> NonZeroU32 {
        self.resampler.to_rate_hz()
    }

    /// By how much the sound comes out later. See [`Resampler::delay`].
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.resampler.delay()
    }

    /// Appends what the next frame of the stream gives: as much time as goes in, [`delay`](Self::delay) later.
    ///
    /// # Errors
    ///
    /// [`AudioError::FormatMismatch`] if the frame is not in the wire's format. The stream can go on without it.
    pub fn decode(&mut self, frame: AudioFrame<'_>, pcm: &mut Vec<i16>) -> Result<(), AudioError> {
        if frame.format() != self.wire {
            return Err(AudioError::FormatMismatch { expected: self.wire, actual: frame.format() });
        }
        if self.resampler.is_pass_through() {
            decode_into(frame, pcm);
        } else {
            self.decoded.clear();
            decode_into(frame, &mut self.decoded);
            self.resampler.process(&self.decoded, pcm);
        }
        Ok(())
    }

    /// Appends what the delay still holds at the end of the stream, and starts anew. See [`Resampler::flush`].
    pub fn flush(&mut self, pcm: &mut Vec<i16>) {
        self.resampler.flush(pcm);
    }

    /// Forgets what went in, and starts anew.
    pub fn reset(&mut self) {
        self.resampler.reset();
    }
}

/// Turns one stream of PCM into audio for the wire.
#[derive(Clone, Debug)]
pub struct PcmEncoder {
    wire: AudioFormat,
    resampler: Resampler,
    /// PCM at the wire's rate. Empty between calls.
    resampled: Vec<i16>,
}

impl PcmEncoder {
    /// An encoder from PCM with `pcm_rate_hz` samples per second to the wire's format.
    ///
    /// # Errors
    ///
    /// [`AudioError::UnsupportedSampleRate`] if the rates differ and one of them is not 8, 16, 24 or 48 kHz.
    pub fn new(pcm_rate_hz: NonZeroU32, wire: AudioFormat) -> Result<Self, AudioError> {
        Ok(Self { wire, resampler: Resampler::new(pcm_rate_hz, wire.sample_rate_hz)?, resampled: Vec::new() })
    }

    /// The format that it encodes to.
    #[must_use]
    pub fn wire(&self) -> AudioFormat {
        self.wire
    }

    /// Samples per second that go in.
    #[must_use]
    pub fn pcm_rate_hz(&self) -> NonZeroU32 {
        self.resampler.from_rate_hz()
    }

    /// By how much the sound comes out later. See [`Resampler::delay`].
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.resampler.delay()
    }

    /// Appends what the next samples of the stream give, always whole samples of the wire's format: as much time as goes
    /// in, [`delay`](Self::delay) later.
    pub fn encode(&mut self, pcm: &[i16], bytes: &mut Vec<u8>) {
        if self.resampler.is_pass_through() {
            encode_into(self.wire.encoding, pcm, bytes);
        } else {
            self.resampled.clear();
            self.resampler.process(pcm, &mut self.resampled);
            encode_into(self.wire.encoding, &self.resampled, bytes);
        }
    }

    /// Appends what the delay still holds at the end of the stream, and starts anew. See [`Resampler::flush`].
    pub fn flush(&mut self, bytes: &mut Vec<u8>) {
        self.resampled.clear();
        self.resampler.flush(&mut self.resampled);
        encode_into(self.wire.encoding, &self.resampled, bytes);
    }

    /// Forgets what went in, and starts anew. For when the other party talks over what is being said.
    pub fn reset(&mut self) {
        self.resampler.reset();
    }
}

fn decode_into(frame: AudioFrame<'_>, pcm: &mut Vec<i16>) {
    match frame.format().encoding {
        Encoding::Mulaw => mulaw_decode_into(frame.bytes(), pcm),
        Encoding::Alaw => alaw_decode_into(frame.bytes(), pcm),
        // No remainder: a frame holds whole samples.
        Encoding::Linear16 => pcm.extend(frame.bytes().as_chunks().0.iter().map(|&sample| i16::from_le_bytes(sample))),
    }
}

fn encode_into(encoding: Encoding, pcm: &[i16], bytes: &mut Vec<u8>) {
    match encoding {
        Encoding::Mulaw => mulaw_encode_into(pcm, bytes),
        Encoding::Alaw => alaw_encode_into(pcm, bytes),
        Encoding::Linear16 => bytes.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audio::{alaw_decode, mulaw_decode};

    const WIRES: [AudioFormat; 5] = [
        AudioFormat::MULAW_8K,
        AudioFormat::ALAW_8K,
        AudioFormat::LINEAR16_8K,
        AudioFormat::LINEAR16_16K,
        AudioFormat::LINEAR16_48K,
    ];

    fn rate(hz: u32) -> NonZeroU32 {
        NonZeroU32::new(hz).unwrap()
    }

    fn decode(wire: AudioFormat, pcm_rate_hz: u32, bytes: &[u8]) -> Vec<i16> {
        let mut pcm = Vec::new();
        let mut decoder = PcmDecoder::new(wire, rate(pcm_rate_hz)).unwrap();
        decoder.decode(AudioFrame::new(wire, bytes).unwrap(), &mut pcm).unwrap();
        pcm
    }

    #[test]
    fn equal_rates_only_change_the_encoding() {
        let bytes = [0x00, 0x7f, 0x80, 0xff, 0x12, 0x34];
        assert_eq!(decode(AudioFormat::MULAW_8K, 8_000, &bytes), bytes.map(mulaw_decode));
        assert_eq!(decode(AudioFormat::ALAW_8K, 8_000, &bytes), bytes.map(alaw_decode));
        assert_eq!(
            decode(AudioFormat::LINEAR16_16K, 16_000, &bytes),
            [0x7f00, -0x0080, 0x3412],
            "the low byte is first"
        );

        let mut encoder = PcmEncoder::new(rate(16_000), AudioFormat::LINEAR16_16K).unwrap();
        let mut encoded = vec![0xaa];
        encoder.encode(&[0x7f00, -0x0080, 0x3412], &mut encoded);
        encoder.flush(&mut encoded);
        assert_eq!(encoded, [0xaa, 0x00, 0x7f, 0x80, 0xff, 0x12, 0x34], "behind what was there");
    }

    #[test]
    fn a_frame_of_another_format_is_refused_and_leaves_no_trace() {
        let mut decoder = PcmDecoder::new(AudioFormat::MULAW_8K, rate(16_000)).unwrap();
        let mut pcm = Vec::new();
        let frame = AudioFrame::new(AudioFormat::ALAW_8K, &[0x00; 160]).unwrap();
        assert!(matches!(
            decoder.decode(frame, &mut pcm),
            Err(AudioError::FormatMismatch { expected: AudioFormat::MULAW_8K, actual: AudioFormat::ALAW_8K })
        ));
        assert!(pcm.is_empty());
        decoder.flush(&mut pcm);
        assert!(pcm.is_empty());
    }

    #[test]
    fn a_rate_that_cannot_be_converted_is_refused() {
        let odd = AudioFormat::new(Encoding::Linear16, rate(44_100));
        assert!(matches!(PcmDecoder::new(odd, rate(16_000)), Err(AudioError::UnsupportedSampleRate { .. })));
        assert!(matches!(PcmEncoder::new(rate(16_000), odd), Err(AudioError::UnsupportedSampleRate { .. })));
    }

    #[test]
    fn twenty_milliseconds_give_twenty_milliseconds() {
        let frame = Duration::from_millis(20);
        for wire in WIRES {
            for pcm in [AudioFormat::LINEAR16_8K, AudioFormat::LINEAR16_16K, AudioFormat::LINEAR16_24K] {
                let mut decoder = PcmDecoder::new(wire, pcm.sample_rate_hz).unwrap();
                let mut encoder = PcmEncoder::new(pcm.sample_rate_hz, wire).unwrap();
                let silence = vec![wire.silence_byte(); wire.bytes_in(frame)];
                let (mut samples, mut bytes) = (Vec::new(), Vec::new());
                for _ in 0..3 {
                    samples.clear();
                    bytes.clear();
                    decoder.decode(AudioFrame::new(wire, &silence).unwrap(), &mut samples).unwrap();
                    encoder.encode(&samples, &mut bytes);
                    assert_eq!(samples.len(), pcm.samples_in(frame));
                    assert_eq!(bytes.len(), silence.len());
                }
                // The last frame, because A-law's silence is not 0 and the first one has to rise to it.
                assert_eq!(bytes, silence, "{wire}: silence stays silent");
            }
        }
    }

    #[test]
    fn a_frame_takes_no_memory_once_warm() {
        let mut decoder = PcmDecoder::new(AudioFormat::MULAW_8K, rate(16_000)).unwrap();
        let mut encoder = PcmEncoder::new(rate(16_000), AudioFormat::MULAW_8K).unwrap();
        let wire = [0x55; 160];
        let (mut pcm, mut bytes) = (Vec::new(), Vec::new());
        let mut warm = None;
        for _ in 0..20 {
            pcm.clear();
            bytes.clear();
            decoder.decode(AudioFrame::new(AudioFormat::MULAW_8K, &wire).unwrap(), &mut pcm).unwrap();
            encoder.encode(&pcm, &mut bytes);
            let buffers =
                (pcm.as_ptr(), bytes.as_ptr(), decoder.decoded.as_ptr(), encoder.resampled.as_ptr(), pcm.capacity());
            assert_eq!(*warm.get_or_insert(buffers), buffers);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn linear_audio_survives_a_round_trip(bytes in proptest::collection::vec(any::<[u8; 2]>(), 0..400)) {
            let bytes = bytes.concat();
            let pcm = decode(AudioFormat::LINEAR16_24K, 24_000, &bytes);
            let mut encoded = Vec::new();
            PcmEncoder::new(rate(24_000), AudioFormat::LINEAR16_24K).unwrap().encode(&pcm, &mut encoded);
            prop_assert_eq!(encoded, bytes);
        }

        #[test]
        fn there_and_back_loses_no_time(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..6),
        ) {
            let wire = AudioFormat::ALAW_8K;
            let mut decoder = PcmDecoder::new(wire, rate(24_000)).unwrap();
            let mut encoder = PcmEncoder::new(rate(24_000), wire).unwrap();
            let (mut pcm, mut bytes) = (Vec::new(), Vec::new());
            for frame in &frames {
                pcm.clear();
                decoder.decode(AudioFrame::new(wire, frame).unwrap(), &mut pcm).unwrap();
                encoder.encode(&pcm, &mut bytes);
            }
            let sent = frames.iter().map(Vec::len).sum::<usize>();
            prop_assert_eq!(bytes.len(), sent);
            pcm.clear();
            decoder.flush(&mut pcm);
            encoder.encode(&pcm, &mut bytes);
            encoder.flush(&mut bytes);
            let delay = decoder.delay() + encoder.delay();
            prop_assert_eq!(bytes.len(), if sent == 0 { 0 } else { sent + wire.bytes_in(delay) });
        }
    }
}
