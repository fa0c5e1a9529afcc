//! What audio bytes mean.

use std::{fmt, num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::AudioError;

/// How a sample becomes bytes.
///
/// Serialised as `mulaw`, `alaw` and `linear16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// μ-law of ITU-T G.711, one byte per sample, as used in North America and Japan.
    ///
    /// Stands for −32,124 to 32,124 on the scale of 16-bit PCM, in steps of 8 near silence and of 1,024 near full scale.
    /// Silence is 0xFF; 0x7F is a second zero.
    Mulaw,
    /// A-law of ITU-T G.711, one byte per sample, as used in the rest of the world. The even bits are inverted, as they are
    /// on the wire.
    ///
    /// Stands for −32,256 to 32,256 on the scale of 16-bit PCM, in steps of 16 near silence and of 1,024 near full scale.
    /// There is no zero: silence is 0xD5, which stands for 8.
    Alaw,
    /// Linear PCM: signed 16-bit integers, the low byte first. −32,768 to 32,767; silence is 0.
    Linear16,
}

impl Encoding {
    /// Bytes that one sample takes.
    #[must_use]
    pub const fn bytes_per_sample(self) -> usize {
        match self {
            Self::Mulaw | Self::Alaw => 1,
            Self::Linear16 => 2,
        }
    }

    /// The byte that makes silence when repeated. See the variants for what it stands for.
    #[must_use]
    pub const fn silence_byte(self) -> u8 {
        match self {
            Self::Mulaw => 0xff,
            Self::Alaw => 0xd5,
            Self::Linear16 => 0,
        }
    }

    /// The name for people: `mu-law`, `a-law` or `linear16`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mulaw => "mu-law",
            Self::Alaw => "a-law",
            Self::Linear16 => "linear16",
        }
    }
}

/// [`Encoding::name`].
impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a run of audio bytes means. There is one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AudioFormat {
    /// How a sample becomes bytes.
    pub encoding: Encoding,
    /// Samples per second.
    pub sample_rate_hz: NonZeroU32,
}

impl AudioFormat {
    /// μ-law at 8 kHz: what most carriers speak by default.
    pub const MULAW_8K: Self = Self::at(Encoding::Mulaw, 8_000);
    /// A-law at 8 kHz.
    pub const ALAW_8K: Self = Self::at(Encoding::Alaw, 8_000);
    /// 16-bit PCM at 8 kHz: the telephone network without companding.
    pub const LINEAR16_8K: Self = Self::at(Encoding::Linear16, 8_000);
    /// 16-bit PCM at 16 kHz: what most speech recognisers want.
    pub const LINEAR16_16K: Self = Self::at(Encoding::Linear16, 16_000);
    /// 16-bit PCM at 24 kHz: what many speech synthesisers make.
    pub const LINEAR16_24K: Self = Self::at(Encoding::Linear16, 24_000);
    /// 16-bit PCM at 48 kHz: what browsers use.
    pub const LINEAR16_48K: Self = Self::at(Encoding::Linear16, 48_000);

    const fn at(encoding: Encoding, sample_rate_hz: u32) -> Self {
        Self { encoding, sample_rate_hz: NonZeroU32::new(sample_rate_hz).expect("the rates above are not 0") }
    }

    /// A format of any encoding and rate.
    #[must_use]
    pub const fn new(encoding: Encoding, sample_rate_hz: NonZeroU32) -> Self {
        Self { encoding, sample_rate_hz }
    }

    /// Samples that make up `duration`, rounded down. Stops at `usize::MAX`.
    #[must_use]
    pub const fn samples_in(self, duration: Duration) -> usize {
        let samples = self.sample_rate_hz.get() as u128 * duration.as_nanos() / NANOS_PER_SEC;
        if samples > usize::MAX as u128 { usize::MAX } else { samples as usize }
    }

    /// Bytes that hold `duration`, rounded down to whole samples.
    #[must_use]
    pub const fn bytes_in(self, duration: Duration) -> usize {
        let bytes_per_sample = self.encoding.bytes_per_sample();
        let samples = self.samples_in(duration);
        let most = usize::MAX / bytes_per_sample;
        (if samples > most { most } else { samples }) * bytes_per_sample
    }

    /// For how long so many samples last, rounded up to a nanosecond, so that [`samples_in`](Self::samples_in) gives the
    /// same number of samples again.
    #[must_use]
    pub const fn duration_of_samples(self, samples: usize) -> Duration {
        let rate = self.sample_rate_hz.get() as u64;
        let samples = samples as u64;
        // Cannot overflow: the remainder is below 2³², the factor below 2³⁰, and the result at most a second.
        let nanos = (samples % rate * NANOS_PER_SEC as u64).div_ceil(rate);
        Duration::new(samples / rate, 0).saturating_add(Duration::from_nanos(nanos))
    }

    /// For how long so many bytes last, rounded up to a nanosecond. A part of a sample at the end does not count.
    #[must_use]
    pub const fn duration_of_bytes(self, bytes: usize) -> Duration {
        self.duration_of_samples(bytes / self.encoding.bytes_per_sample())
    }

    /// The byte that makes silence when repeated.
    #[must_use]
    pub const fn silence_byte(self) -> u8 {
        self.encoding.silence_byte()
    }
}

/// As in `mu-law 8000 Hz`.
impl fmt::Display for AudioFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} Hz", self.encoding, self.sample_rate_hz)
    }
}

/// A run of audio that carries its format with it: any number of whole samples, or none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AudioFrame<'a> {
    format: AudioFormat,
    bytes: &'a [u8],
}

impl<'a> AudioFrame<'a> {
    /// Says what the bytes mean.
    ///
    /// # Errors
    ///
    /// [`AudioError::BrokenSample`] if the bytes do not end with a whole sample.
    pub const fn new(format: AudioFormat, bytes: &'a [u8]) -> Result<Self, AudioError> {
        let bytes_per_sample = format.encoding.bytes_per_sample();
        if !bytes.len().is_multiple_of(bytes_per_sample) {
            return Err(AudioError::BrokenSample {
                format,
                expected_multiple_of: bytes_per_sample,
                actual_bytes: bytes.len(),
            });
        }
        Ok(Self { format, bytes })
    }

    /// What the bytes mean.
    #[must_use]
    pub const fn format(&self) -> AudioFormat {
        self.format
    }

    /// The bytes, whole samples of the [format](Self::format).
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many samples there are.
    #[must_use]
    pub const fn samples(&self) -> usize {
        self.bytes.len() / self.format.encoding.bytes_per_sample()
    }

    /// For how long it lasts, rounded up to a nanosecond.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        self.format.duration_of_bytes(self.bytes.len())
    }
}

/// The format and the number of bytes. What was said does not belong in a log.
impl fmt::Debug for AudioFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AudioFrame({}, {} bytes)", self.format, self.bytes.len())
    }
}

const NANOS_PER_SEC: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audio::{alaw_decode, mulaw_decode};

    const ALL: [AudioFormat; 6] = [
        AudioFormat::MULAW_8K,
        AudioFormat::ALAW_8K,
        AudioFormat::LINEAR16_8K,
        AudioFormat::LINEAR16_16K,
        AudioFormat::LINEAR16_24K,
        AudioFormat::LINEAR16_48K,
    ];

    #[test]
    fn formats_read_well() {
        let names: Vec<String> = ALL.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "mu-law 8000 Hz",
                "a-law 8000 Hz",
                "linear16 8000 Hz",
                "linear16 16000 Hz",
                "linear16 24000 Hz",
                "linear16 48000 Hz"
            ]
        );
    }

    #[test]
    fn formats_are_serialised_by_name() {
        let json = r#"{"encoding":"mulaw","sample_rate_hz":8000}"#;
        assert_eq!(serde_json::to_string(&AudioFormat::MULAW_8K).unwrap(), json);
        assert_eq!(serde_json::from_str::<AudioFormat>(json).unwrap(), AudioFormat::MULAW_8K);
        assert!(serde_json::from_str::<AudioFormat>(r#"{"encoding":"mulaw","sample_rate_hz":0}"#).is_err());
        assert_eq!(serde_json::to_string(&[Encoding::Alaw, Encoding::Linear16]).unwrap(), r#"["alaw","linear16"]"#);
    }

    #[test]
    fn twenty_milliseconds_have_the_usual_sizes() {
        let frame = Duration::from_millis(20);
        assert_eq!(ALL.map(|format| format.bytes_in(frame)), [160, 160, 320, 640, 960, 1920]);
        assert_eq!(ALL.map(|format| format.samples_in(frame)), [160, 160, 160, 320, 480, 960]);
        for format in ALL {
            assert_eq!(format.duration_of_bytes(format.bytes_in(frame)), frame);
        }
    }

    #[test]
    fn a_part_of_a_sample_does_not_count() {
        assert_eq!(AudioFormat::LINEAR16_16K.bytes_in(Duration::from_micros(124)), 2);
        assert_eq!(AudioFormat::LINEAR16_16K.duration_of_bytes(3), AudioFormat::LINEAR16_16K.duration_of_bytes(2));
        assert_eq!(AudioFormat::MULAW_8K.bytes_in(Duration::from_micros(124)), 0);
    }

    #[test]
    fn absurd_lengths_stop_at_the_end_of_the_scale() {
        assert_eq!(AudioFormat::LINEAR16_48K.samples_in(Duration::MAX), usize::MAX);
        assert_eq!(AudioFormat::LINEAR16_48K.bytes_in(Duration::MAX), usize::MAX - 1);
        let slow = AudioFormat::new(Encoding::Mulaw, NonZeroU32::MIN);
        assert_eq!(slow.duration_of_bytes(usize::MAX), Duration::from_secs(usize::MAX as u64));
        let fast = AudioFormat::new(Encoding::Mulaw, NonZeroU32::MAX);
        assert_eq!(fast.duration_of_samples(u32::MAX as usize - 1), Duration::from_secs(1));
    }

    #[test]
    fn silence_is_silent() {
        assert_eq!(mulaw_decode(Encoding::Mulaw.silence_byte()), 0);
        assert_eq!(alaw_decode(Encoding::Alaw.silence_byte()), 8);
        assert_eq!(AudioFormat::LINEAR16_8K.silence_byte(), 0);
    }

    #[test]
    fn a_frame_knows_its_size() {
        let frame = AudioFrame::new(AudioFormat::LINEAR16_16K, &[0; 640]).unwrap();
        assert_eq!(frame.samples(), 320);
        assert_eq!(frame.duration(), Duration::from_millis(20));
        assert_eq!(format!("{frame:?}"), "AudioFrame(linear16 16000 Hz, 640 bytes)");
        assert_eq!(AudioFrame::new(AudioFormat::MULAW_8K, &[]).unwrap().duration(), Duration::ZERO);
    }

    #[test]
    fn half_a_sample_is_refused() {
        assert!(AudioFrame::new(AudioFormat::MULAW_8K, &[0; 3]).is_ok());
        assert!(matches!(
            AudioFrame::new(AudioFormat::LINEAR16_8K, &[0; 3]),
            Err(AudioError::BrokenSample { expected_multiple_of: 2, actual_bytes: 3, .. })
        ));
    }

    proptest! {
        #[test]
        fn durations_give_their_samples_back(rate in 1..=1_000_000_u32, samples in 0..usize::MAX >> 20) {
            let format = AudioFormat::new(Encoding::Linear16, NonZeroU32::new(rate).unwrap());
            prop_assert_eq!(format.samples_in(format.duration_of_samples(samples)), samples);
        }
    }
}
