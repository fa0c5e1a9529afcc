//! WAV files: sounds to be played, and recordings of calls.

use std::{
    fmt,
    io::{BufReader, BufWriter, Read, Seek, Write},
    iter,
    num::NonZeroU32,
    ops::Range,
    time::Duration,
};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use super::{AudioError, AudioFormat, Encoding, Resampler};

/// A sound: PCM with its rate.
#[derive(Clone, PartialEq, Eq)]
pub struct Pcm {
    /// Samples per second.
    pub sample_rate_hz: NonZeroU32,
    /// The samples, −32,768 to 32,767.
    pub samples: Vec<i16>,
}

impl Pcm {
    /// Reads a WAV file with integers of 8, 16, 24 or 32 bits or floating-point numbers of 32 bits.
    ///
    /// Several channels are mixed down to their mean. Other widths than 16 bits are rounded to 16, and floating-point
    /// numbers beyond ±1 clipped. The reader need not be buffered. The whole sound is kept in memory: limit what you read if
    /// you do not know where it comes from.
    ///
    /// # Errors
    ///
    /// [`AudioError::UnreadableWav`] if the reader fails, or what it reads is no WAV file, ends too early, or holds something
    /// other than PCM; [`AudioError::UnsupportedWav`] for another width, or a sample rate of 0.
    pub fn from_wav(reader: impl Read) -> Result<Self, AudioError> {
        let reader = WavReader::new(BufReader::new(reader)).map_err(AudioError::unreadable_wav)?;
        let WavSpec { channels, sample_rate, bits_per_sample, sample_format } = reader.spec();
        let sample_rate_hz = NonZeroU32::new(sample_rate).ok_or(AudioError::UnsupportedWav {
            field: "sample rate",
            expected: "at least 1 Hz",
            actual: 0,
        })?;
        let unsupported_width = |expected| AudioError::UnsupportedWav {
            field: "bits per sample",
            expected,
            actual: u32::from(bits_per_sample),
        };
        let channels = usize::from(channels);
        let samples = match (sample_format, bits_per_sample) {
            (SampleFormat::Int, 8 | 16 | 24 | 32) => {
                let full_scale = 2_f64.powi(i32::from(bits_per_sample) - 1);
                mixed_down(reader.into_samples::<i32>(), channels, full_scale)
            }
            (SampleFormat::Float, 32) => mixed_down(reader.into_samples::<f32>(), channels, 1.0),
            (SampleFormat::Int, _) => return Err(unsupported_width("8, 16, 24 or 32")),
            (SampleFormat::Float, _) => return Err(unsupported_width("32")),
        };
        Ok(Self { sample_rate_hz, samples: samples.map_err(AudioError::unreadable_wav)? })
    }

    /// For how long it lasts, rounded up to a nanosecond.
    #[must_use]
    pub fn duration(&self) -> Duration {
        AudioFormat::new(Encoding::Linear16, self.sample_rate_hz).duration_of_samples(self.samples.len())
    }

    /// The same sound at another rate: as long as before, and not delayed.
    ///
    /// # Errors
    ///
    /// [`AudioError::UnsupportedSampleRate`] if the rates differ and one of them is not 8, 16, 24 or 48 kHz.
    pub fn resampled(&self, sample_rate_hz: NonZeroU32) -> Result<Self, AudioError> {
        let mut resampler = Resampler::new(self.sample_rate_hz, sample_rate_hz)?;
        let mut samples = Vec::new();
        resampler.process(&self.samples, &mut samples);
        resampler.flush(&mut samples);
        // No sound, no delay.
        samples.drain(..resampler.delay_in_output_samples().min(samples.len()));
        Ok(Self { sample_rate_hz, samples })
    }
}

/// The rate and the number of samples. What was said does not belong in a log.
impl fmt::Debug for Pcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pcm({} Hz, {} samples)", self.sample_rate_hz, self.samples.len())
    }
}

/// The mean of each `channels` samples, on the scale of 16 bits.
fn mixed_down<S: Into<f64>>(
    mut samples: impl Iterator<Item = hound::Result<S>>,
    channels: usize,
    full_scale: f64,
) -> hound::Result<Vec<i16>> {
    let scale = 32_768.0 / (full_scale * channels as f64);
    let mut mixed = Vec::new();
    while let Some(first) = samples.next() {
        let mut sum: f64 = first?.into();
        for sample in samples.by_ref().take(channels - 1) {
            sum += sample?.into();
        }
        // `as` clips, and makes silence of NaN.
        mixed.push((sum * scale).round() as i16);
    }
    Ok(mixed)
}

/// A recording of a call in the making: each party on a channel of its own, on one time line.
///
/// Silence between pieces takes no memory. `at` is meant to be a place on the time line of the media, counted in what was
/// received or played; the clock by which pieces happen to arrive would tear little holes into the sound.
///
/// ```
/// # use std::{io::Cursor, num::NonZeroU32, time::Duration};
/// use telephony_core::audio::StereoRecorder;
///
/// let mut recorder = StereoRecorder::new(NonZeroU32::new(8_000).unwrap());
/// recorder.left(Duration::ZERO, &[1_000; 160]);
/// recorder.right(Duration::from_millis(500), &[2_000; 160]);
/// assert_eq!(recorder.duration(), Duration::from_millis(520));
///
/// let mut file = Cursor::new(Vec::new());
/// recorder.write_wav(&mut file)?;
/// # Ok::<(), telephony_core::audio::AudioError>(())
/// ```
#[derive(Clone, Debug)]
pub struct StereoRecorder {
    sample_rate_hz: NonZeroU32,
    left: Track,
    right: Track,
}

impl StereoRecorder {
    /// An empty recording. All samples are to be of this rate.
    #[must_use]
    pub fn new(sample_rate_hz: NonZeroU32) -> Self {
        Self { sample_rate_hz, left: Track::default(), right: Track::default() }
    }

    /// Samples per second.
    #[must_use]
    pub fn sample_rate_hz(&self) -> NonZeroU32 {
        self.sample_rate_hz
    }

    /// Records samples on the left channel, `at` so much after the recording's start. If that is later than the end of what
    /// is there, there is silence in between; if it is earlier, they follow on it.
    pub fn left(&mut self, at: Duration, samples: &[i16]) {
        let at = self.samples_in(at);
        self.left.place(at, samples);
    }

    /// Records samples on the right channel, as [`left`](Self::left) does on the other.
    pub fn right(&mut self, at: Duration, samples: &[i16]) {
        let at = self.samples_in(at);
        self.right.place(at, samples);
    }

    /// Where the later of the two channels ends.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.format().duration_of_samples(self.samples_per_channel())
    }

    /// Writes the recording as a WAV file of two channels with 16 bits. The channel that ends earlier is filled up with
    /// silence. The writer need not be buffered.
    ///
    /// # Errors
    ///
    /// [`AudioError::RecordingTooLong`] if it does not fit into 4 GiB, which is 37 hours at 8 kHz; nothing is written then.
    /// [`AudioError::UnwritableWav`] if the writer fails.
    pub fn write_wav(&self, writer: impl Write + Seek) -> Result<(), AudioError> {
        let samples_per_channel = self.samples_per_channel();
        if samples_per_channel > MOST_SAMPLES_PER_CHANNEL {
            return Err(AudioError::RecordingTooLong {
                expected_at_most: MOST_SAMPLES_PER_CHANNEL as u64,
                actual: samples_per_channel as u64,
            });
        }
        self.write_samples(samples_per_channel, BufWriter::new(writer)).map_err(AudioError::unwritable_wav)
    }

    fn write_samples(&self, samples_per_channel: usize, writer: impl Write + Seek) -> hound::Result<()> {
        let spec = WavSpec {
            channels: 2,
            sample_rate: self.sample_rate_hz.get(),
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let mut wav = WavWriter::new(writer, spec)?;
        let left = self.left.samples().chain(iter::repeat(0));
        let right = self.right.samples().chain(iter::repeat(0));
        for (left, right) in left.zip(right).take(samples_per_channel) {
            wav.write_sample(left)?;
            wav.write_sample(right)?;
        }
        wav.finalize()
    }

    fn samples_per_channel(&self) -> usize {
        self.left.end.max(self.right.end)
    }

    fn samples_in(&self, at: Duration) -> usize {
        self.format().samples_in(at)
    }

    fn format(&self) -> AudioFormat {
        AudioFormat::new(Encoding::Linear16, self.sample_rate_hz)
    }
}

/// How loud a recording of two channels is over its length, for a picture of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Envelope {
    /// How long the recording is.
    pub duration: Duration,
    /// The loudest sample of each slice of the left channel, 0 to 1. All slices but the last are of the same length.
    pub left: Vec<f32>,
    /// The same of the right channel.
    pub right: Vec<f32>,
}

impl Envelope {
    /// Reads a WAV file as [`StereoRecorder`] writes it, and cuts it into at most so many slices. It is read as it comes and not kept, so
    /// it may be long. The reader need not be buffered.
    ///
    /// # Errors
    ///
    /// [`AudioError::UnreadableWav`] if the reader fails, or what it reads is no WAV file or ends too early;
    /// [`AudioError::UnsupportedWav`] for other than two channels with 16 bits, or a sample rate of 0.
    pub fn from_wav(reader: impl Read, slices: NonZeroU32) -> Result<Self, AudioError> {
        let reader = WavReader::new(BufReader::new(reader)).map_err(AudioError::unreadable_wav)?;
        let WavSpec { channels, sample_rate, bits_per_sample, .. } = reader.spec();
        let expect = |field, expected, actual, is_so| match is_so {
            true => Ok(()),
            false => Err(AudioError::UnsupportedWav { field, expected, actual }),
        };
        expect("channels", "2", u32::from(channels), channels == 2)?;
        expect("bits per sample", "16", u32::from(bits_per_sample), bits_per_sample == 16)?;
        let rate = NonZeroU32::new(sample_rate);
        expect("sample rate", "at least 1 Hz", sample_rate, rate.is_some())?;
        let length = reader.duration();
        let slice = length.div_ceil(slices.get()).max(1);
        let count = length.div_ceil(slice) as usize;
        let (mut left, mut right) = (vec![0.0_f32; count], vec![0.0_f32; count]);
        for (index, sample) in reader.into_samples::<i16>().enumerate() {
            let loud = f32::from(sample.map_err(AudioError::unreadable_wav)?).abs() / 32_768.0;
            let side = if index % 2 == 0 { &mut left } else { &mut right };
            if let Some(loudest) = side.get_mut(index / 2 / slice as usize) {
                *loudest = loudest.max(loud);
            }
        }
        Ok(Self { duration: Duration::from_secs_f64(f64::from(length) / f64::from(sample_rate.max(1))), left, right })
    }
}

/// One channel of a recording.
#[derive(Clone, Default)]
struct Track {
    /// What was recorded, without the silence in between.
    sound: Vec<i16>,
    runs: Vec<Run>,
    /// Where the next samples go, in samples from the start.
    end: usize,
}

/// Silence, and then sound.
#[derive(Clone)]
struct Run {
    silence: usize,
    /// Which part of the track's sound.
    sound: Range<usize>,
}

impl Track {
    fn place(&mut self, at: usize, samples: &[i16]) {
        if samples.is_empty() {
            return;
        }
        let start = self.sound.len();
        self.sound.extend_from_slice(samples);
        let silence = at.saturating_sub(self.end);
        match self.runs.last_mut() {
            Some(run) if silence == 0 => run.sound.end = self.sound.len(),
            _ => self.runs.push(Run { silence, sound: start..self.sound.len() }),
        }
        self.end = self.end.max(at).saturating_add(samples.len());
    }

    fn samples(&self) -> impl Iterator<Item = i16> {
        self.runs
            .iter()
            .flat_map(|run| iter::repeat_n(0, run.silence).chain(self.sound[run.sound.clone()].iter().copied()))
    }
}

/// How much there is. What was said does not belong in a log.
impl fmt::Debug for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Track({} samples, {} of them recorded)", self.end, self.sound.len())
    }
}

/// What fits into a WAV file's 32-bit sizes, with two channels of two bytes and a header of at most so many bytes.
const MOST_SAMPLES_PER_CHANNEL: usize = (u32::MAX as usize - 128) / 4;

#[cfg(test)]
mod tests {
    use std::{
        f64::consts::TAU,
        io::{self, Cursor},
    };

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_envelope_is_as_loud_as_each_slice() {
        let mut recorder = StereoRecorder::new(rate(8_000));
        recorder.left(Duration::from_millis(500), &[-16_384; 2_000]);
        recorder.right(Duration::ZERO, &[i16::MIN; 10]);
        let mut file = Cursor::new(Vec::new());
        recorder.write_wav(&mut file).unwrap();
        let four = NonZeroU32::new(4).unwrap();
        let envelope = Envelope::from_wav(file.get_ref().as_slice(), four).unwrap();
        assert_eq!(envelope.duration, Duration::from_millis(750));
        assert_eq!(envelope.left, [0.0, 0.0, 0.5, 0.5]);
        assert_eq!(envelope.right, [1.0, 0.0, 0.0, 0.0]);
        // What is shorter than that has a slice for each sample, and nothing has none.
        let mut short = StereoRecorder::new(rate(8_000));
        for expected in [0, 2] {
            let mut file = Cursor::new(Vec::new());
            short.write_wav(&mut file).unwrap();
            assert_eq!(Envelope::from_wav(file.get_ref().as_slice(), four).unwrap().left.len(), expected);
            short.left(Duration::ZERO, &[1, 1]);
        }
        let cut = &file.get_ref()[..100];
        assert!(matches!(Envelope::from_wav(cut, four), Err(AudioError::UnreadableWav { .. })));
    }

    fn rate(hz: u32) -> NonZeroU32 {
        NonZeroU32::new(hz).unwrap()
    }

    fn spec(channels: u16, bits_per_sample: u16, sample_format: SampleFormat) -> WavSpec {
        WavSpec { channels, sample_rate: 16_000, bits_per_sample, sample_format }
    }

    fn wav<S: hound::Sample>(spec: WavSpec, samples: impl IntoIterator<Item = S>) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut file, spec).unwrap();
        samples.into_iter().for_each(|sample| writer.write_sample(sample).unwrap());
        writer.finalize().unwrap();
        file.into_inner()
    }

    fn read(file: &[u8]) -> Vec<i16> {
        let pcm = Pcm::from_wav(file).unwrap();
        assert_eq!(pcm.sample_rate_hz, rate(16_000));
        pcm.samples
    }

    #[test]
    fn every_width_is_read() {
        let int = |bits, samples: [i32; 4]| read(&wav(spec(1, bits, SampleFormat::Int), samples));
        assert_eq!(int(8, [-128, -1, 0, 127]), [-32_768, -256, 0, 32_512]);
        assert_eq!(int(16, [-32_768, -1, 0, 32_767]), [-32_768, -1, 0, 32_767]);
        assert_eq!(int(24, [-8_388_608, -200, 127, 8_388_607]), [-32_768, -1, 0, 32_767]);
        assert_eq!(int(32, [i32::MIN, -40_000, 32_767, i32::MAX]), [-32_768, -1, 0, 32_767]);
        let float = wav(spec(1, 32, SampleFormat::Float), [-1.0_f32, 0.5, 1.5, f32::NAN]);
        assert_eq!(read(&float), [-32_768, 16_384, 32_767, 0]);
    }

    #[test]
    fn channels_are_mixed_down_to_their_mean() {
        let stereo = wav(spec(2, 16, SampleFormat::Int), [1_000_i16, 3_000, -32_768, -32_768, 32_767, -32_767]);
        assert_eq!(read(&stereo), [2_000, -32_768, 0]);
        let three = wav(spec(3, 16, SampleFormat::Int), [30_000_i16, 30_000, 30_003, 0, 0, -2]);
        assert_eq!(read(&three), [30_001, -1]);
    }

    #[test]
    fn what_is_no_usable_wav_file_is_refused() {
        let good = wav(spec(1, 16, SampleFormat::Int), [1_i16, 2, 3]);
        for bad in [b"".as_slice(), b"ID3 and so on", &good[..20], &good[..good.len() - 1]] {
            assert!(matches!(Pcm::from_wav(bad), Err(AudioError::UnreadableWav { .. })), "{bad:?}");
        }
        let mut no_rate = good;
        no_rate[24..28].fill(0);
        no_rate[28..32].fill(0);
        let error = Pcm::from_wav(no_rate.as_slice()).unwrap_err();
        assert_eq!(error.to_string(), "the WAV file's sample rate must be at least 1 Hz, and is 0");
    }

    #[test]
    fn a_sound_keeps_its_length_and_its_place_at_another_rate() {
        let tone = |rate_hz: u32, samples: u32| {
            let sample = |n| (10_000.0 * (TAU * 440.0 * f64::from(n) / f64::from(rate_hz)).sin()).round() as i16;
            Pcm { sample_rate_hz: rate(rate_hz), samples: (0..samples).map(sample).collect() }
        };
        let original = tone(24_000, 2_401);
        let resampled = original.resampled(rate(16_000)).unwrap();
        let expected = tone(16_000, 1_601);
        assert_eq!(resampled.samples.len(), expected.samples.len());
        assert_eq!(resampled.sample_rate_hz, rate(16_000));
        // The tone does not go on beyond the ends.
        for (n, (actual, expected)) in resampled.samples.iter().zip(&expected.samples).enumerate().take(1_580).skip(20)
        {
            assert!((actual - expected).abs() <= 10, "sample {n} is {actual} and not {expected}");
        }
        assert_eq!(original.resampled(rate(24_000)).unwrap(), original);
        let nothing = Pcm { sample_rate_hz: rate(8_000), samples: Vec::new() };
        assert!(nothing.resampled(rate(48_000)).unwrap().samples.is_empty());
        assert!(matches!(original.resampled(rate(44_100)), Err(AudioError::UnsupportedSampleRate { .. })));
    }

    #[test]
    fn a_sound_knows_its_length_and_keeps_its_samples_out_of_logs() {
        let pcm = Pcm { sample_rate_hz: rate(16_000), samples: vec![5; 320] };
        assert_eq!(pcm.duration(), Duration::from_millis(20));
        assert_eq!(format!("{pcm:?}"), "Pcm(16000 Hz, 320 samples)");
    }

    /// Both channels, as they are in the file.
    fn recorded(recorder: &StereoRecorder) -> (Vec<i16>, Vec<i16>) {
        let mut file = Cursor::new(Vec::new());
        recorder.write_wav(&mut file).unwrap();
        file.set_position(0);
        let reader = WavReader::new(file).unwrap();
        assert_eq!(
            reader.spec(),
            WavSpec { sample_rate: recorder.sample_rate_hz.get(), ..spec(2, 16, SampleFormat::Int) }
        );
        let samples: Vec<i16> = reader.into_samples().map(Result::unwrap).collect();
        samples.chunks_exact(2).map(|frame| (frame[0], frame[1])).unzip()
    }

    #[test]
    fn the_parties_keep_their_places() {
        let ms = Duration::from_millis;
        // One sample per millisecond.
        let mut recorder = StereoRecorder::new(rate(1_000));
        recorder.left(ms(2), &[1, 2]);
        recorder.left(ms(4), &[3]); // Follows on.
        recorder.left(ms(7), &[4, 5]); // After a gap.
        recorder.right(ms(0), &[11, 12, 13]);
        recorder.right(ms(1), &[14]); // Would overlap.
        recorder.right(ms(1_000_000), &[]); // Nothing is nowhere.
        assert_eq!(recorder.duration(), ms(9));
        let (left, right) = recorded(&recorder);
        assert_eq!(left, [0, 0, 1, 2, 3, 0, 0, 4, 5]);
        assert_eq!(right, [11, 12, 13, 14, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_empty_recording_is_a_wav_file_too() {
        let recorder = StereoRecorder::new(rate(8_000));
        assert_eq!(recorder.duration(), Duration::ZERO);
        assert_eq!(recorded(&recorder), (vec![], vec![]));
    }

    #[test]
    fn a_recording_that_does_not_fit_is_refused_and_takes_no_memory_for_silence() {
        let mut recorder = StereoRecorder::new(rate(48_000));
        recorder.left(Duration::from_secs(100 * 3_600), &[1]);
        recorder.right(Duration::MAX, &[1]);
        recorder.right(Duration::MAX, &[1]);
        let mut file = Cursor::new(Vec::new());
        assert!(matches!(recorder.write_wav(&mut file), Err(AudioError::RecordingTooLong { .. })));
        assert!(file.into_inner().is_empty());
    }

    #[test]
    fn a_failing_writer_is_reported() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        impl Seek for Full {
            fn seek(&mut self, _: io::SeekFrom) -> io::Result<u64> {
                Ok(0)
            }
        }
        let mut recorder = StereoRecorder::new(rate(8_000));
        recorder.left(Duration::ZERO, &[1; 160]);
        assert!(matches!(recorder.write_wav(Full), Err(AudioError::UnwritableWav { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_broken_file_is_an_error_and_not_a_panic(
            changes in proptest::collection::vec((0..60_usize, any::<u8>()), 1..6),
            cut in 0..64_usize,
        ) {
            let mut file = wav(spec(2, 24, SampleFormat::Int), [1_000_000, -5, 7, 8]);
            for (place, byte) in changes {
                if let Some(there) = file.get_mut(place) {
                    *there = byte;
                }
            }
            file.truncate(file.len().saturating_sub(cut));
            let _ = Pcm::from_wav(file.as_slice());
        }

        #[test]
        fn tracks_lose_no_sample(
            pieces in proptest::collection::vec((0..200_u64, proptest::collection::vec(1..100_i16, 0..30)), 0..12),
        ) {
            let mut recorder = StereoRecorder::new(rate(1_000));
            let mut expected: Vec<i16> = Vec::new();
            for (at, samples) in &pieces {
                recorder.right(Duration::from_millis(*at), samples);
                if !samples.is_empty() {
                    expected.resize(expected.len().max(*at as usize), 0);
                    expected.extend(samples);
                }
            }
            let (left, right) = recorded(&recorder);
            prop_assert_eq!(left, vec![0; expected.len()]);
            prop_assert_eq!(right, expected);
        }
    }
}
