//! How loud the two sides of a call are, for whoever watches it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use telephony_core::audio::Level;

/// What both sides of a stream have added up to so far. Its session adds, without waiting for anybody; any number of [`Meter`]s read.
#[derive(Debug, Default)]
pub(crate) struct Loudness {
    /// How many samples, of each side.
    samples: AtomicU64,
    /// The sums of their squares.
    caller: AtomicU64,
    agent: AtomicU64,
}

impl Loudness {
    /// Adds what the caller said and what the caller heard meanwhile, which is silence where there is less of it.
    pub(super) fn add<'a>(&self, caller: &[i16], agent: impl Iterator<Item = &'a i16>) {
        self.caller.fetch_add(energy(caller.iter()), Ordering::Relaxed);
        self.agent.fetch_add(energy(agent), Ordering::Relaxed);
        // Whoever sees these sees those, and perhaps those of the next frame.
        self.samples.fetch_add(caller.len() as u64, Ordering::Release);
    }

    fn total(&self) -> Total {
        let samples = self.samples.load(Ordering::Acquire);
        Total { samples, caller: self.caller.load(Ordering::Relaxed), agent: self.agent.load(Ordering::Relaxed) }
    }
}

/// Two to the power of 30 at most for a sample, so that the sum overflows after weeks at the earliest.
fn energy<'a>(samples: impl Iterator<Item = &'a i16>) -> u64 {
    samples.map(|sample| u64::from(sample.unsigned_abs()).pow(2)).sum()
}

#[derive(Clone, Copy, Debug)]
struct Total {
    samples: u64,
    caller: u64,
    agent: u64,
}

/// How loud both sides were for a while: the root mean square, in dB of full scale, [`Level::FLOOR_DBFS`] for silence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Levels {
    pub(crate) caller_dbfs: f32,
    pub(crate) agent_dbfs: f32,
}

/// Reads how loud a stream is, each time since the last time.
#[derive(Debug)]
pub(crate) struct Meter {
    loudness: Arc<Loudness>,
    last: Total,
}

impl Meter {
    /// Begins now.
    pub(crate) fn of(loudness: Arc<Loudness>) -> Self {
        let last = loudness.total();
        Self { loudness, last }
    }

    /// What went over the stream since the last time; `None` if nothing did.
    pub(crate) fn read(&mut self) -> Option<Levels> {
        let (now, last) = (self.loudness.total(), self.last);
        let samples = now.samples.checked_sub(last.samples).filter(|samples| *samples > 0)?;
        self.last = now;
        Some(Levels {
            caller_dbfs: dbfs(now.caller.saturating_sub(last.caller), samples),
            agent_dbfs: dbfs(now.agent.saturating_sub(last.agent), samples),
        })
    }
}

fn dbfs(energy: u64, samples: u64) -> f32 {
    const FULL_SCALE: f64 = 32_768.0 * 32_768.0;
    let dbfs = 10.0 * (energy as f64 / samples as f64 / FULL_SCALE).log10();
    (dbfs as f32).clamp(Level::FLOOR_DBFS, 0.0)
}

#[cfg(test)]
mod tests {
    use telephony_core::audio::rms_dbfs;

    use super::*;

    #[test]
    fn each_meter_reads_what_was_added_since_it_looked_last() {
        let loudness = Arc::new(Loudness::default());
        let (loud, quiet) = ([8_000_i16; 320], [-20_i16; 160]);
        let mut first = Meter::of(loudness.clone());
        assert_eq!(first.read(), None);
        loudness.add(&loud, [].iter());
        let silence = Level::FLOOR_DBFS;
        assert_eq!(first.read(), Some(Levels { caller_dbfs: rms_dbfs(&loud), agent_dbfs: silence }));
        assert_eq!(first.read(), None);
        let mut second = Meter::of(loudness.clone());
        // Half of it is silence: 3 dB less.
        loudness.add(&[0; 320], quiet.iter());
        for meter in [&mut first, &mut second] {
            let Levels { caller_dbfs, agent_dbfs } = meter.read().unwrap();
            assert_eq!(caller_dbfs, silence);
            assert!((agent_dbfs - (rms_dbfs(&quiet) - 3.01)).abs() < 0.01, "{agent_dbfs}");
        }
        loudness.add(&[i16::MIN; 160], [i16::MIN; 160].iter());
        assert_eq!(second.read(), Some(Levels { caller_dbfs: 0.0, agent_dbfs: 0.0 }));
    }
}
