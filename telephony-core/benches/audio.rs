//! What is done for each frame of 20 ms, in both directions.
//!
//! Prints, for every step, the fastest, slowest, median and mean time of one frame, and the samples per second from that. The
//! steps of `baseline` do the same in the obvious way and in the same run, for comparison: what counts is the ratio,
//! since the times are those of the machine. `whole_path` is a carrier's μ-law to PCM at 16 kHz, and back.
//!
//! ```text
//! cargo bench --package telephony-core --bench audio
//! RUSTFLAGS='-C target-cpu=native' cargo bench --package telephony-core --bench audio
//! ```

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::{hint::black_box, num::NonZeroU32};

use audio_codec_algorithms as oracle;
use divan::{Bencher, counter::ItemsCount};
use telephony_core::audio::{
    AudioFormat, AudioFrame, Level, PcmDecoder, PcmEncoder, Resampler, alaw_decode_into, alaw_encode_into,
    mulaw_decode_into, mulaw_encode_into,
};

fn main() {
    divan::main();
}

const NARROW: NonZeroU32 = AudioFormat::LINEAR16_8K.sample_rate_hz;
const WIDE: NonZeroU32 = AudioFormat::LINEAR16_16K.sample_rate_hz;

/// 20 ms that use the whole scale and every bit of the samples.
fn pcm(rate_hz: NonZeroU32) -> Vec<i16> {
    (0..rate_hz.get() / 50).map(|n| (n.wrapping_mul(2_654_435_761) >> 16) as i16).collect()
}

fn companded() -> Vec<u8> {
    pcm(NARROW).into_iter().map(|sample| sample as u8).collect()
}

/// Measures what turns the input into a buffer that is emptied before each time.
fn frame<I: Clone + 'static, O>(bencher: Bencher<'_, '_>, input: Vec<I>, mut turn: impl FnMut(&[I], &mut Vec<O>)) {
    let mut output = Vec::new();
    bencher.counter(ItemsCount::new(input.len())).bench_local(|| {
        output.clear();
        turn(black_box(&input), &mut output);
        black_box(output.as_ptr());
    });
}

#[divan::bench]
fn mulaw_decode_20ms(bencher: Bencher<'_, '_>) {
    frame(bencher, companded(), mulaw_decode_into);
}

#[divan::bench]
fn mulaw_encode_20ms(bencher: Bencher<'_, '_>) {
    frame(bencher, pcm(NARROW), mulaw_encode_into);
}

#[divan::bench]
fn alaw_decode_20ms(bencher: Bencher<'_, '_>) {
    frame(bencher, companded(), alaw_decode_into);
}

#[divan::bench]
fn alaw_encode_20ms(bencher: Bencher<'_, '_>) {
    frame(bencher, pcm(NARROW), alaw_encode_into);
}

#[divan::bench(args = [(8_000, 16_000), (16_000, 8_000), (8_000, 24_000), (24_000, 8_000), (16_000, 24_000), (24_000, 16_000), (8_000, 48_000), (48_000, 8_000)])]
fn resample_20ms(bencher: Bencher<'_, '_>, (from, to): (u32, u32)) {
    let (from, to) = (NonZeroU32::new(from).unwrap(), NonZeroU32::new(to).unwrap());
    let mut resampler = Resampler::new(from, to).unwrap();
    frame(bencher, pcm(from), |input, output| resampler.process(input, output));
}

#[divan::bench]
fn resampler_new() -> Resampler {
    Resampler::new(black_box(NARROW), black_box(WIDE)).unwrap()
}

#[divan::bench]
fn level_20ms(bencher: Bencher<'_, '_>) {
    let input = pcm(NARROW);
    bencher.counter(ItemsCount::new(input.len())).bench_local(|| Level::of(black_box(&input)));
}

#[divan::bench]
fn whole_path_in_20ms(bencher: Bencher<'_, '_>) {
    let mut decoder = PcmDecoder::new(AudioFormat::MULAW_8K, WIDE).unwrap();
    frame(bencher, companded(), |wire, pcm| {
        decoder.decode(AudioFrame::new(AudioFormat::MULAW_8K, wire).unwrap(), pcm).unwrap();
    });
}

#[divan::bench]
fn whole_path_out_20ms(bencher: Bencher<'_, '_>) {
    let mut encoder = PcmEncoder::new(WIDE, AudioFormat::MULAW_8K).unwrap();
    frame(bencher, pcm(WIDE), |pcm, wire| encoder.encode(pcm, wire));
}

#[divan::bench_group]
mod baseline {
    use super::*;

    #[divan::bench]
    fn mulaw_decode_20ms(bencher: Bencher<'_, '_>) {
        frame(bencher, companded(), |wire, pcm| pcm.extend(wire.iter().map(|&byte| oracle::decode_ulaw(byte))));
    }

    #[divan::bench]
    fn mulaw_encode_20ms(bencher: Bencher<'_, '_>) {
        frame(bencher, pcm(NARROW), |pcm, wire| wire.extend(pcm.iter().map(|&sample| oracle::encode_ulaw(sample))));
    }

    #[divan::bench]
    fn alaw_decode_20ms(bencher: Bencher<'_, '_>) {
        frame(bencher, companded(), |wire, pcm| pcm.extend(wire.iter().map(|&byte| oracle::decode_alaw(byte))));
    }

    #[divan::bench]
    fn alaw_encode_20ms(bencher: Bencher<'_, '_>) {
        frame(bencher, pcm(NARROW), |pcm, wire| wire.extend(pcm.iter().map(|&sample| oracle::encode_alaw(sample))));
    }

    /// A half-band filter as long as the resampler's, zeros included, one output after the other.
    #[divan::bench]
    fn resample_8k_to_16k_20ms(bencher: Bencher<'_, '_>) {
        let mut filter = PlainFilter::new();
        frame(bencher, pcm(NARROW), |input, output| {
            for &sample in input {
                output.push(filter.next(sample));
                output.push(filter.next(0));
            }
        });
    }

    #[divan::bench]
    fn resample_16k_to_8k_20ms(bencher: Bencher<'_, '_>) {
        let mut filter = PlainFilter::new();
        frame(bencher, pcm(WIDE), |input, output| {
            for two in input.as_chunks::<2>().0 {
                output.push(filter.next(two[0]));
                filter.push(two[1]);
            }
        });
    }

    #[divan::bench]
    fn whole_path_in_20ms(bencher: Bencher<'_, '_>) {
        let mut filter = PlainFilter::new();
        frame(bencher, companded(), |wire, pcm| {
            for &byte in wire {
                pcm.push(filter.next(oracle::decode_ulaw(byte)));
                pcm.push(filter.next(0));
            }
        });
    }

    #[divan::bench]
    fn whole_path_out_20ms(bencher: Bencher<'_, '_>) {
        let mut filter = PlainFilter::new();
        frame(bencher, pcm(WIDE), |pcm, wire| {
            for two in pcm.as_chunks::<2>().0 {
                wire.push(oracle::encode_ulaw(filter.next(two[0])));
                filter.push(two[1]);
            }
        });
    }

    /// A ring of past samples. The coefficients' values do not change how long it takes.
    struct PlainFilter {
        coefficients: [f32; 55],
        past: [f32; 55],
        newest: usize,
    }

    impl PlainFilter {
        fn new() -> Self {
            Self { coefficients: [1.0 / 55.0; 55], past: [0.0; 55], newest: 0 }
        }

        fn push(&mut self, sample: i16) {
            self.newest = (self.newest + 1) % self.past.len();
            self.past[self.newest] = f32::from(sample);
        }

        fn next(&mut self, sample: i16) -> i16 {
            self.push(sample);
            let (newer, older) = self.past.split_at(self.newest + 1);
            let past = newer.iter().rev().chain(older.iter().rev());
            self.coefficients.iter().zip(past).map(|(coefficient, sample)| coefficient * sample).sum::<f32>().round()
                as i16
        }
    }
}
