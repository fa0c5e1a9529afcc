//! Sounds that are easily told from anything else.

use std::{path::Path, time::Duration};

use hound::{SampleFormat, WavSpec, WavWriter};

const RATE_HZ: u32 = 16_000;

/// Writes a WAV file of a tone that comes and goes: how long each part lasts, and whether it sounds.
pub(crate) fn write_tone(file: &Path, hz: f64, parts: &[(Duration, bool)]) {
    let spec = WavSpec { channels: 1, sample_rate: RATE_HZ, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut wav = WavWriter::create(file, spec).unwrap();
    for (length, sounds) in parts {
        let loudness = if *sounds { 12_000.0 } else { 0.0 };
        for n in 0..(length.as_secs_f64() * f64::from(RATE_HZ)) as u32 {
            let sine = (f64::from(n) / f64::from(RATE_HZ) * hz * std::f64::consts::TAU).sin();
            wav.write_sample((sine * loudness) as i16).unwrap();
        }
    }
    wav.finalize().unwrap();
}
