//! What can go wrong with audio.

use std::{error::Error, num::NonZeroU32};

use super::{AudioFormat, resample::SUPPORTED_RATES_HZ};

/// Why audio was refused.
///
/// Nothing is taken in and nothing is put out by the operation that answers with one of these.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// The bytes do not end with a whole sample. What sent them is broken, or its format is not the one announced.
    #[error("{format} audio has {expected_multiple_of} bytes per sample, and {actual_bytes} bytes end within one")]
    BrokenSample {
        /// The format that the bytes are said to have.
        format: AudioFormat,
        /// Bytes per sample in that format.
        expected_multiple_of: usize,
        /// How many bytes there are.
        actual_bytes: usize,
    },
    /// Audio of one format was handed to what was made for another. A mistake of the caller.
    #[error("expected {expected} audio, and was given {actual}")]
    FormatMismatch {
        /// What it was made for.
        expected: AudioFormat,
        /// What it was given.
        actual: AudioFormat,
    },
    /// There is no resampler for this rate. Another rate has to be agreed upon.
    #[error("the sample rate must be one of {expected:?} Hz to be converted, and is {actual} Hz")]
    UnsupportedSampleRate {
        /// The rates between which audio is converted.
        expected: &'static [u32],
        /// The rate that is none of them.
        actual: NonZeroU32,
    },
    /// A WAV file could not be read: the reader failed, or it is no WAV file, or cut short, or of a codec that is not PCM.
    #[error("the WAV file cannot be read")]
    UnreadableWav {
        /// What the reader said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A WAV file is well formed and says something that cannot be used.
    #[error("the WAV file's {field} must be {expected}, and is {actual}")]
    UnsupportedWav {
        /// The field of its header.
        field: &'static str,
        /// What can be used.
        expected: &'static str,
        /// What the file says.
        actual: u32,
    },
    /// A recording is longer than a WAV file can be, whose sizes are 32-bit numbers of bytes.
    #[error("a stereo WAV file holds {expected_at_most} samples per channel, and the recording has {actual}")]
    RecordingTooLong {
        /// The most samples per channel that fit.
        expected_at_most: u64,
        /// The samples per channel that there are.
        actual: u64,
    },
    /// A WAV file could not be written. What was written so far is of no use.
    #[error("the WAV file cannot be written")]
    UnwritableWav {
        /// What the writer said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl AudioError {
    pub(super) fn unsupported_rate(actual: NonZeroU32) -> Self {
        Self::UnsupportedSampleRate { expected: &SUPPORTED_RATES_HZ, actual }
    }

    pub(super) fn unreadable_wav(source: hound::Error) -> Self {
        Self::UnreadableWav { source: Box::new(source) }
    }

    pub(super) fn unwritable_wav(source: hound::Error) -> Self {
        Self::UnwritableWav { source: Box::new(source) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::AudioFrame;

    #[test]
    fn messages_say_what_was_expected_and_what_came() {
        let broken = AudioFrame::new(AudioFormat::LINEAR16_16K, &[0; 641]).unwrap_err();
        assert_eq!(broken.to_string(), "linear16 16000 Hz audio has 2 bytes per sample, and 641 bytes end within one");

        let mismatch = AudioError::FormatMismatch { expected: AudioFormat::MULAW_8K, actual: AudioFormat::ALAW_8K };
        assert_eq!(mismatch.to_string(), "expected mu-law 8000 Hz audio, and was given a-law 8000 Hz");

        let rate = AudioError::unsupported_rate(NonZeroU32::new(44_100).unwrap());
        assert_eq!(
            rate.to_string(),
            "the sample rate must be one of [8000, 16000, 24000, 48000] Hz to be converted, and is 44100 Hz"
        );
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = AudioError::unreadable_wav(hound::Error::FormatError("no RIFF tag found"));
        assert_eq!(error.to_string(), "the WAV file cannot be read");
        assert!(error.source().unwrap().to_string().contains("no RIFF tag found"));
    }
}
