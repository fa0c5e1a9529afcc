//! How loud audio is, for meters and for telling speech from silence.

/// How loud a run of PCM is, on a scale that ends at 0 dBFS.
///
/// 0 dBFS is full scale: a sine wave that just fits has a peak of 0 and an RMS of −3. Ordinary telephone speech has an RMS
/// of −30 to −15; a quiet line is below −50.
///
/// Nothing is below [`Level::FLOOR_DBFS`], so that a level is always a finite number.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Level {
    /// The root mean square of the samples: how loud it sounds. In dB, from [`Level::FLOOR_DBFS`] to 0.
    pub rms_dbfs: f32,
    /// The sample that is farthest from 0: how close it is to clipping. In dB, from [`Level::FLOOR_DBFS`] to 0.
    pub peak_dbfs: f32,
}

impl Level {
    /// What silence, and no samples at all, measure. The smallest signal that 16 bits can hold throughout is at −90.3.
    pub const FLOOR_DBFS: f32 = -96.0;

    /// Silence.
    pub const SILENCE: Self = Self { rms_dbfs: Self::FLOOR_DBFS, peak_dbfs: Self::FLOOR_DBFS };

    /// Measures samples. Nothing is filtered: a constant offset counts as sound.
    #[must_use]
    pub fn of(samples: &[i16]) -> Self {
        if samples.is_empty() {
            return Self::SILENCE;
        }
        let mut sum_of_squares = 0_u64;
        let mut peak = 0_u16;
        for &sample in samples {
            let magnitude = sample.unsigned_abs();
            sum_of_squares += u64::from(u32::from(magnitude) * u32::from(magnitude));
            peak = peak.max(magnitude);
        }
        let mean_square = sum_of_squares as f64 / samples.len() as f64;
        Self { rms_dbfs: dbfs(mean_square), peak_dbfs: dbfs(f64::from(peak) * f64::from(peak)) }
    }
}

/// [`Level::rms_dbfs`] of samples: [`Level::FLOOR_DBFS`] for silence, 0 for a square wave of full scale.
#[must_use]
pub fn rms_dbfs(samples: &[i16]) -> f32 {
    Level::of(samples).rms_dbfs
}

fn dbfs(square: f64) -> f32 {
    const FULL_SCALE: f64 = 32_768.0;
    let dbfs = 10.0 * (square / (FULL_SCALE * FULL_SCALE)).log10();
    (dbfs as f32).max(Level::FLOOR_DBFS)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    #[test]
    fn silence_is_the_floor() {
        assert_eq!(Level::of(&[]), Level::SILENCE);
        assert_eq!(Level::of(&[0; 160]), Level::SILENCE);
        assert_eq!(rms_dbfs(&[0; 160]), Level::FLOOR_DBFS);
        // One click of the smallest size in a minute of silence is quieter than the floor.
        let mut click = vec![0; 480_000];
        click[77] = 1;
        assert_eq!(rms_dbfs(&click), Level::FLOOR_DBFS);
    }

    #[test]
    fn full_scale_is_zero() {
        assert_eq!(Level::of(&[i16::MIN; 160]), Level { rms_dbfs: 0.0, peak_dbfs: 0.0 });
    }

    #[test]
    fn a_sine_is_three_decibels_below_its_peak() {
        let sine: Vec<i16> =
            (0..8_000).map(|n| (3_276.8 * (TAU * 400.0 * f64::from(n) / 8_000.0).sin()) as i16).collect();
        let level = Level::of(&sine);
        assert!((level.rms_dbfs + 23.01).abs() < 0.01, "{level:?}");
        assert!((level.peak_dbfs + 20.0).abs() < 0.01, "{level:?}");
    }

    #[test]
    fn the_smallest_signal_is_above_the_floor() {
        assert!((rms_dbfs(&[1, -1, 1, -1]) + 90.31).abs() < 0.01);
    }
}
