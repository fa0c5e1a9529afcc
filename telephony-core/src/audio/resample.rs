//! Changes the sample rate of a stream.
//!
//! The method is a polyphase FIR: think of time in ticks, so short that either rate's samples fall on them; of the input with
//! zeros on the ticks in between; of a low-pass filter over that; and of the ticks that are due as output. Nothing is
//! computed for the zeros, nor for ticks that are not output.
//!
//! The filter is a sinc that is cut off at the lower of the two Nyquist frequencies, under a Kaiser window. It crosses zero
//! at each sample of the lower rate, so those taps do not exist either; and when the output's rate is a multiple of the
//! input's, the samples that came in are among those that go out, unchanged.

use std::{f64::consts::PI, num::NonZeroU32, time::Duration};

use super::{AudioError, AudioFormat, Encoding};

/// Changes the sample rate of a stream of PCM, between any two of 8, 16, 24 and 48 kHz.
///
/// Frames may have any length, and their lengths make no difference to what comes out. Every 20 ms that go in give 20 ms at
/// once: nothing is held back, except that the sound itself comes [`delay`](Self::delay) later. With equal rates, whatever
/// they are, the samples pass through untouched.
///
/// | between | delay |
/// | --- | --- |
/// | 8 kHz and any other | 1.75 ms |
/// | 16 kHz and 24 or 48 kHz | 0.875 ms |
/// | 24 and 48 kHz | 0.583 ms |
///
/// The gain is within 0.01 dB of 1 up to 0.85 of the lower Nyquist frequency (3,400 Hz when the lower rate is 8 kHz); from
/// 1.15 of it on (4,600 Hz), what would be mirrored to somewhere else is 65 dB down. A constant keeps its value exactly.
/// Results are rounded to the nearest integer, and clipped if the filter overshoots full scale.
#[derive(Clone, Debug)]
pub struct Resampler {
    from_rate_hz: NonZeroU32,
    to_rate_hz: NonZeroU32,
    /// `None` if the rates are equal.
    filter: Option<Filter>,
}

impl Resampler {
    /// A resampler for one stream. Computes its filter, which takes some microseconds.
    ///
    /// # Errors
    ///
    /// [`AudioError::UnsupportedSampleRate`] if the rates differ and one of them is not 8, 16, 24 or 48 kHz.
    pub fn new(from_rate_hz: NonZeroU32, to_rate_hz: NonZeroU32) -> Result<Self, AudioError> {
        let filter = if from_rate_hz == to_rate_hz {
            None
        } else {
            for rate_hz in [from_rate_hz, to_rate_hz] {
                if !SUPPORTED_RATES_HZ.contains(&rate_hz.get()) {
                    return Err(AudioError::unsupported_rate(rate_hz));
                }
            }
            Some(Filter::new(from_rate_hz.get(), to_rate_hz.get()))
        };
        Ok(Self { from_rate_hz, to_rate_hz, filter })
    }

    /// Samples per second that go in.
    #[must_use]
    pub fn from_rate_hz(&self) -> NonZeroU32 {
        self.from_rate_hz
    }

    /// Samples per second that come out.
    #[must_use]
    pub fn to_rate_hz(&self) -> NonZeroU32 {
        self.to_rate_hz
    }

    /// By how much the sound comes out later than it would if it were computed with knowledge of the future: a whole
    /// number of samples at either rate. Zero for equal rates.
    #[must_use]
    pub fn delay(&self) -> Duration {
        AudioFormat::new(Encoding::Linear16, self.to_rate_hz).duration_of_samples(self.delay_in_output_samples())
    }

    /// Takes the next samples of the stream in, and appends what they give.
    ///
    /// After `n` samples altogether, as many have come out as begin within the time of those `n`: `n · to / from`,
    /// rounded up. No memory is taken once `output` and the resampler have grown to the length of the frames.
    pub fn process(&mut self, input: &[i16], output: &mut Vec<i16>) {
        match &mut self.filter {
            Some(filter) => filter.process(input, output),
            None => output.extend_from_slice(input),
        }
    }

    /// Appends what the delay still holds, so that the end of the stream is not lost, and starts anew.
    ///
    /// It is as if [`delay`](Self::delay) of silence had followed. A stream that is given nothing after the last flush has
    /// nothing to append.
    pub fn flush(&mut self, output: &mut Vec<i16>) {
        if let Some(filter) = &mut self.filter {
            if filter.has_started {
                let silence = [0; HALF_WIDTH * LONGEST_CYCLE];
                filter.process(&silence[..filter.delay_in_inputs()], output);
            }
            filter.reset();
        }
    }

    /// Forgets what went in, and starts anew. For an interruption after which nothing of the old sound may be heard.
    pub fn reset(&mut self) {
        if let Some(filter) = &mut self.filter {
            filter.reset();
        }
    }

    /// Whether the rates are equal, so that what comes out is what goes in.
    pub(super) fn is_pass_through(&self) -> bool {
        self.filter.is_none()
    }

    /// [`delay`](Self::delay) in samples at the rate that comes out.
    pub(super) fn delay_in_output_samples(&self) -> usize {
        self.filter.as_ref().map_or(0, |filter| filter.delay_cycles * filter.outputs_per_cycle())
    }
}

/// What turns inputs into outputs at another rate.
///
/// Time is cut into cycles, the shortest time that is a whole number of inputs and of outputs: one input and two outputs from
/// 8 to 16 kHz, three and two from 24 to 16 kHz. The first input of a cycle goes to lane 0, the second to lane 1, and so on.
/// The output at one place of the cycle is then the same sum over neighbouring elements of the lanes in every cycle, so that
/// many cycles are computed side by side: no shuffling, and nothing that depends on how the input was cut into frames.
///
/// The sums are of 32-bit floating-point numbers because that measures best with the instructions that every x86-64 has:
/// what the compiler makes of sums of 16-bit integers takes 1.3 to 4 times as long, depending on how they are written.
#[derive(Clone, Debug)]
struct Filter {
    inputs_per_cycle: usize,
    delay_cycles: usize,
    /// The taps of each output of the cycle.
    phases: Vec<Vec<Tap>>,
    /// One lane after the other. Each begins with the inputs of the past, twice the delay; behind them are those of the
    /// cycles at hand, and then room that sums run over when there are less than [`CYCLES_AT_ONCE`].
    lanes: Vec<f32>,
    /// How many inputs of the cycle under way have come.
    pending_inputs: usize,
    has_started: bool,
}

/// One input's share in an output.
#[derive(Clone, Copy, Debug)]
struct Tap {
    /// Where the input is among all lanes, for the output in the cycle under way. One further for each cycle after it.
    index: usize,
    coefficient: f32,
}

impl Filter {
    fn new(from_rate_hz: u32, to_rate_hz: u32) -> Self {
        let common_rate_hz = greatest_common_divisor(from_rate_hz, to_rate_hz);
        let inputs_per_cycle = (from_rate_hz / common_rate_hz) as usize;
        let outputs_per_cycle = (to_rate_hz / common_rate_hz) as usize;
        let delay_cycles = HALF_WIDTH / inputs_per_cycle.min(outputs_per_cycle);
        let lane_len = 2 * delay_cycles + LONGEST_BLOCK_CYCLES + CYCLES_AT_ONCE;
        let phases = (0..outputs_per_cycle)
            .map(|phase| taps(phase, inputs_per_cycle, outputs_per_cycle, delay_cycles, lane_len))
            .collect();
        let lanes = vec![0.0; lane_len * inputs_per_cycle];
        Self { inputs_per_cycle, delay_cycles, phases, lanes, pending_inputs: 0, has_started: false }
    }

    fn outputs_per_cycle(&self) -> usize {
        self.phases.len()
    }

    fn delay_in_inputs(&self) -> usize {
        self.delay_cycles * self.inputs_per_cycle
    }

    fn lane_len(&self) -> usize {
        self.lanes.len() / self.inputs_per_cycle
    }

    fn reset(&mut self) {
        self.lanes.fill(0.0);
        self.pending_inputs = 0;
        self.has_started = false;
    }

    fn process(&mut self, mut input: &[i16], output: &mut Vec<i16>) {
        self.has_started |= !input.is_empty();
        output.reserve(self.outputs_due(self.pending_inputs + input.len()));
        while !input.is_empty() {
            let room = LONGEST_BLOCK_CYCLES * self.inputs_per_cycle - self.pending_inputs;
            let (block, rest) = input.split_at(input.len().min(room));
            self.process_block(block, output);
            input = rest;
        }
    }

    /// How many outputs are due when so many inputs have come since the start of the cycle under way.
    fn outputs_due(&self, inputs: usize) -> usize {
        (inputs * self.outputs_per_cycle()).div_ceil(self.inputs_per_cycle)
    }

    fn process_block(&mut self, input: &[i16], output: &mut Vec<i16>) {
        // Counted from the start of the cycle under way: the outputs before these, and with these.
        let before = self.outputs_due(self.pending_inputs);
        let after = self.outputs_due(self.pending_inputs + input.len());
        self.take_in(input);

        let outputs_at_once = CYCLES_AT_ONCE * self.outputs_per_cycle();
        let mut outputs = [0; CYCLES_AT_ONCE * LONGEST_CYCLE];
        let mut from = before;
        while from < after {
            let block = from / outputs_at_once;
            let start = block * outputs_at_once;
            let to = after.min(start + outputs_at_once);
            self.compute(block * CYCLES_AT_ONCE, &mut outputs[..outputs_at_once]);
            output.extend_from_slice(&outputs[from - start..to - start]);
            from = to;
        }

        self.pending_inputs += input.len();
        self.forget_cycles(self.pending_inputs / self.inputs_per_cycle);
        self.pending_inputs %= self.inputs_per_cycle;
    }

    /// Deals the inputs to the lanes, behind those that are there.
    fn take_in(&mut self, input: &[i16]) {
        // What completes the cycle under way, one by one, and then the rest together.
        let missing = (self.inputs_per_cycle - self.pending_inputs) % self.inputs_per_cycle;
        let (first, rest) = input.split_at(missing.min(input.len()));
        let (lane_len, past) = (self.lane_len(), 2 * self.delay_cycles);
        for (lane, &input) in (self.pending_inputs..).zip(first) {
            self.lanes[lane * lane_len + past] = f32::from(input);
        }
        let at = past + usize::from(self.pending_inputs > 0);
        match self.inputs_per_cycle {
            1 => deal::<1>(rest, &mut self.lanes, lane_len, at),
            2 => deal::<2>(rest, &mut self.lanes, lane_len, at),
            3 => deal::<3>(rest, &mut self.lanes, lane_len, at),
            _ => deal::<LONGEST_CYCLE>(rest, &mut self.lanes, lane_len, at),
        }
    }

    /// Computes all outputs of so many cycles, whether or not they are due.
    fn compute(&self, first_cycle: usize, outputs: &mut [i16]) {
        let mut phases = [[0; CYCLES_AT_ONCE]; LONGEST_CYCLE];
        for (outputs, taps) in phases.iter_mut().zip(&self.phases) {
            *outputs = convolve(&self.lanes, taps, first_cycle);
        }
        match self.outputs_per_cycle() {
            1 => interleave::<1>(&phases, outputs),
            2 => interleave::<2>(&phases, outputs),
            3 => interleave::<3>(&phases, outputs),
            _ => interleave::<LONGEST_CYCLE>(&phases, outputs),
        }
    }

    /// Moves the lanes on by so many cycles.
    fn forget_cycles(&mut self, cycles: usize) {
        // The past, and what has come of the cycle under way.
        let kept = 2 * self.delay_cycles + 1;
        let lane_len = self.lane_len();
        for lane in self.lanes.chunks_exact_mut(lane_len) {
            lane.copy_within(cycles..cycles + kept, 0);
        }
    }
}

/// Puts the inputs of whole cycles, and of one that may be incomplete, into the lanes from place `at` on.
///
/// The number of lanes is a constant, here and in [`interleave`], for the compiler to shuffle many inputs at a time.
fn deal<const LANES: usize>(input: &[i16], lanes: &mut [f32], lane_len: usize, at: usize) {
    let (cycles, incomplete) = input.as_chunks::<LANES>();
    for (lane, elements) in lanes.chunks_exact_mut(lane_len).enumerate().take(LANES) {
        let elements = &mut elements[at..];
        for (element, cycle) in elements.iter_mut().zip(cycles) {
            *element = f32::from(cycle[lane]);
        }
        if let Some(&input) = incomplete.get(lane) {
            elements[cycles.len()] = f32::from(input);
        }
    }
}

/// Computes the outputs at one place of as many cycles as are computed at once.
fn convolve(lanes: &[f32], taps: &[Tap], first_cycle: usize) -> [i16; CYCLES_AT_ONCE] {
    let mut sums = [0.0; CYCLES_AT_ONCE];
    for tap in taps {
        let Some(inputs) = lanes[tap.index + first_cycle..].first_chunk::<CYCLES_AT_ONCE>() else {
            unreachable!("lanes have room for a whole run of sums behind the last cycle");
        };
        for (sum, input) in sums.iter_mut().zip(inputs) {
            *sum += tap.coefficient * input;
        }
    }
    // A loop, because `sums.map(round)` is computed one by one.
    let mut outputs = [0; CYCLES_AT_ONCE];
    for (output, sum) in outputs.iter_mut().zip(sums) {
        *output = round(sum);
    }
    outputs
}

/// Puts the outputs of each cycle next to each other.
fn interleave<const OUTPUTS: usize>(phases: &[[i16; CYCLES_AT_ONCE]; LONGEST_CYCLE], outputs: &mut [i16]) {
    for (cycle, outputs) in outputs.as_chunks_mut::<OUTPUTS>().0.iter_mut().enumerate().take(CYCLES_AT_ONCE) {
        for (output, phase) in outputs.iter_mut().zip(phases) {
            *output = phase[cycle];
        }
    }
}

/// The taps of one output of the cycle.
fn taps(
    phase: usize,
    inputs_per_cycle: usize,
    outputs_per_cycle: usize,
    delay_cycles: usize,
    lane_len: usize,
) -> Vec<Tap> {
    // There are as many ticks between inputs as there are outputs in a cycle, and the other way round.
    let ticks_per_cycle = inputs_per_cycle * outputs_per_cycle;
    let ticks_per_slower_sample = inputs_per_cycle.max(outputs_per_cycle);
    // The filter's centre, counted from the oldest input in the lanes. It is as far from the newest.
    let centre = delay_cycles * ticks_per_cycle + phase * inputs_per_cycle;

    let mut taps = Vec::new();
    for lane in 0..inputs_per_cycle {
        for cycle in 0..=2 * delay_cycles {
            let tick = cycle * ticks_per_cycle + lane * outputs_per_cycle;
            let distance = tick.abs_diff(centre);
            let is_zero = distance != 0 && distance.is_multiple_of(ticks_per_slower_sample);
            if distance < delay_cycles * ticks_per_cycle && !is_zero {
                let coefficient = windowed_sinc(distance as f64 / ticks_per_slower_sample as f64);
                taps.push((lane * lane_len + cycle, coefficient));
            }
        }
    }
    // A constant keeps its value at every phase, or it would come out with a tone on top.
    let sum: f64 = taps.iter().map(|(_, coefficient)| coefficient).sum();
    taps.into_iter().map(|(index, coefficient)| Tap { index, coefficient: (coefficient / sum) as f32 }).collect()
}

/// The nearest integer, or the nearer end of the scale. Like `round` and `as` together, for sums that a filter can make.
fn round(sum: f32) -> i16 {
    // From here on an f32 has no room for fractions, so the addition rounds, and the bits count integers.
    const NO_FRACTIONS: f32 = 12_582_912.0;
    let integer = (sum + NO_FRACTIONS).to_bits() as i32 - NO_FRACTIONS.to_bits() as i32;
    integer.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// The filter's impulse response, so many samples of the lower rate from its centre, but for a constant factor.
fn windowed_sinc(distance: f64) -> f64 {
    let x = PI * distance;
    let sinc = if distance == 0.0 { 1.0 } else { x.sin() / x };
    let from_centre = distance / HALF_WIDTH as f64;
    sinc * bessel_i0(KAISER_BETA * (1.0 - from_centre * from_centre).max(0.0).sqrt())
}

/// The modified Bessel function of the first kind and of order 0, which makes a Kaiser window.
fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * f64::EPSILON {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// The rates between which a [`Resampler`] converts.
pub(super) const SUPPORTED_RATES_HZ: [u32; 4] = [8_000, 16_000, 24_000, 48_000];
/// Samples of the lower rate on either side of the filter's centre. More of them make the delay longer and the transition
/// narrower. With 12, and β 5.5, aliases are 9 dB stronger and the delay is 0.25 ms shorter at 8 kHz. The number is even, so that
/// the delay is a whole number of samples at both rates between 16 and 24 kHz as well.
const HALF_WIDTH: usize = 14;
/// The Kaiser window's shape. Of the values around it, this one has the least ripple below 0.85 and the weakest alias above
/// 1.15 of the lower Nyquist frequency at this width.
const KAISER_BETA: f64 = 6.5;
/// Inputs, or outputs, of the longest cycle: between 8 and 48 kHz.
const LONGEST_CYCLE: usize = 6;
/// Sums computed side by side: as many as fit into the registers of SSE2. Frames of 20 ms are a multiple of it.
const CYCLES_AT_ONCE: usize = 32;
/// Longer inputs are taken in piece by piece, so that the lanes have a fixed size. 20 ms at 8 kHz.
const LONGEST_BLOCK_CYCLES: usize = 160;

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use proptest::prelude::*;

    use super::*;

    fn rate(hz: u32) -> NonZeroU32 {
        NonZeroU32::new(hz).unwrap()
    }

    fn resampler(from: u32, to: u32) -> Resampler {
        Resampler::new(rate(from), rate(to)).unwrap()
    }

    /// All ordered pairs of different rates.
    fn pairs() -> impl Iterator<Item = (u32, u32)> {
        let all = SUPPORTED_RATES_HZ;
        all.into_iter().flat_map(move |from| all.into_iter().map(move |to| (from, to))).filter(|(from, to)| from != to)
    }

    fn resample(from: u32, to: u32, input: &[i16]) -> Vec<i16> {
        let mut output = Vec::new();
        resampler(from, to).process(input, &mut output);
        output
    }

    fn tone(rate_hz: u32, tone_hz: f64, amplitude: f64, samples: u32) -> Vec<i16> {
        let sample = |n: u32| (amplitude * (TAU * tone_hz * f64::from(n) / f64::from(rate_hz)).sin()).round() as i16;
        (0..samples).map(sample).collect()
    }

    fn decibels(ratio: f64) -> f64 {
        20.0 * ratio.log10()
    }

    /// The amplitude of a tone in samples that hold a whole number of its periods, and the RMS of everything else.
    fn analyse(samples: &[i16], rate_hz: u32, tone_hz: f64) -> (f64, f64) {
        let phase = |n: usize| TAU * tone_hz * n as f64 / f64::from(rate_hz);
        let scale = 2.0 / samples.len() as f64;
        let terms = || samples.iter().enumerate().map(|(n, &sample)| (phase(n).sin_cos(), f64::from(sample)));
        let sine = scale * terms().map(|((sin, _), sample)| sin * sample).sum::<f64>();
        let cosine = scale * terms().map(|((_, cos), sample)| cos * sample).sum::<f64>();
        let rest = terms().map(|((sin, cos), sample)| (sample - sine * sin - cosine * cos).powi(2)).sum::<f64>();
        (sine.hypot(cosine), (rest / samples.len() as f64).sqrt())
    }

    /// What a tone of the given amplitude becomes: 100 ms of it, after it has settled.
    fn settled(from: u32, to: u32, tone_hz: f64, amplitude: f64) -> Vec<i16> {
        let output = resample(from, to, &tone(from, tone_hz, amplitude, from / 5));
        output[to as usize / 10..].to_vec()
    }

    /// The definition, without any of the short cuts: zeros between the inputs, one long filter, every so-manieth tick.
    fn by_definition(from: u32, to: u32, input: &[i16]) -> Vec<f64> {
        let common = greatest_common_divisor(from, to);
        let (down, up) = ((from / common) as usize, (to / common) as usize);
        let width = HALF_WIDTH * up.max(down);
        let response: Vec<f64> =
            (0..=2 * width).map(|tick| windowed_sinc(tick.abs_diff(width) as f64 / up.max(down) as f64)).collect();
        let output = |tick: usize| -> f64 {
            let gain = 1.0 / response.iter().skip(tick % up).step_by(up).sum::<f64>();
            let first = tick.saturating_sub(2 * width).div_ceil(up);
            (first..=tick / up).map(|n| gain * response[tick - n * up] * f64::from(input[n])).sum()
        };
        (0..(input.len() * up).div_ceil(down)).map(|n| output(n * down)).collect()
    }

    #[test]
    fn speech_keeps_its_level() {
        for (from, to) in pairs() {
            // 300, 1,000, 3,000 and 3,400 Hz when the lower rate is 8 kHz.
            let scale = f64::from(from.min(to)) / 8_000.0;
            for tone_hz in [300.0, 1_000.0, 3_000.0, 3_400.0].map(|hz| hz * scale) {
                let (amplitude, rest) = analyse(&settled(from, to, tone_hz, 20_000.0), to, tone_hz);
                let gain = decibels(amplitude / 20_000.0);
                assert!(gain.abs() < 0.01, "{from} to {to} Hz: {tone_hz} Hz has a gain of {gain:.4} dB");
                let images = decibels(rest / (20_000.0 / 2_f64.sqrt()));
                assert!(images < -65.0, "{from} to {to} Hz: the images of {tone_hz} Hz are at {images:.1} dB");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_kept_out() {
        for (from, to) in pairs().filter(|(from, to)| from > to) {
            for tone_hz in [1.15, 1.2, 1.3, 1.5, 1.9].map(|ratio| ratio * f64::from(to) / 2.0) {
                if tone_hz < f64::from(from) / 2.0 {
                    let level = crate::audio::rms_dbfs(&settled(from, to, tone_hz, 32_767.0)) + 3.01;
                    assert!(level < -65.0, "{from} to {to} Hz: the alias of {tone_hz} Hz is at {level:.1} dB");
                }
            }
        }
    }

    #[test]
    fn an_impulse_comes_out_after_the_delay() {
        let expected =
            [((8, 16), 1_750), ((8, 24), 1_750), ((8, 48), 1_750), ((16, 24), 875), ((16, 48), 875), ((24, 48), 583)];
        for ((slow, fast), micros) in expected {
            for (from, to) in [(slow * 1_000, fast * 1_000), (fast * 1_000, slow * 1_000)] {
                let delay = resampler(from, to).delay();
                assert_eq!(delay.as_micros(), micros, "{from} to {to} Hz");
                // 10 ms into the stream: a whole number of cycles for all.
                let mut impulse = vec![0; from as usize / 20];
                impulse[from as usize / 100] = 30_000;
                let output = resample(from, to, &impulse);
                let peak = (0..output.len()).max_by_key(|&n| output[n]).unwrap();
                let format = AudioFormat::new(Encoding::Linear16, rate(to));
                assert_eq!(peak, format.samples_in(Duration::from_millis(10) + delay), "{from} to {to} Hz");
                let before = output[..peak].iter().rev();
                assert!(output[peak + 1..].iter().zip(before).all(|(a, b)| a == b), "{from} to {to} Hz: not symmetric");
            }
        }
    }

    #[test]
    fn the_original_samples_are_among_the_new_ones() {
        let input: Vec<i16> = (0..500).map(|n: i16| n.wrapping_mul(7_919)).collect();
        for (from, to) in pairs().filter(|(from, to)| to % from == 0) {
            let up = (to / from) as usize;
            let output = resample(from, to, &input);
            let originals: Vec<i16> = output.iter().step_by(up).skip(HALF_WIDTH).copied().collect();
            assert_eq!(originals, input[..input.len() - HALF_WIDTH], "{from} to {to} Hz");
        }
    }

    #[test]
    fn a_constant_stays() {
        for (from, to) in pairs() {
            for constant in [i16::MIN, -1, 1, 12_345, i16::MAX] {
                let output = resample(from, to, &vec![constant; from as usize / 50]);
                let settled = &output[2 * to as usize / 500..];
                assert!(settled.iter().all(|&sample| sample == constant), "{from} to {to} Hz: {constant}");
            }
        }
    }

    #[test]
    fn full_scale_is_clipped_and_does_not_wrap() {
        for (from, to) in pairs() {
            // 100 Hz, and the filter overshoots at each edge.
            let half_period = from as usize / 200;
            let square: Vec<i16> = (0..10 * half_period)
                .map(|n| if (n / half_period).is_multiple_of(2) { i16::MAX } else { i16::MIN })
                .collect();
            let output = resample(from, to, &square);
            let delay = resampler(from, to).delay_in_output_samples();
            let half_period = to as usize / 200;
            for (n, &sample) in output[delay..].iter().enumerate() {
                let from_edge = (n % half_period).min(half_period - n % half_period);
                let expected = if (n / half_period).is_multiple_of(2) { 1 } else { -1 };
                if from_edge > to as usize / 2_000 {
                    assert_eq!(i32::from(sample).signum(), expected, "{from} to {to} Hz: sample {n} is {sample}");
                }
            }
            assert!(output.contains(&i16::MAX) && output.contains(&i16::MIN), "{from} to {to} Hz");
        }
    }

    #[test]
    fn equal_rates_change_nothing() {
        let input = tone(44_100, 1_000.0, 30_000.0, 441);
        let mut same = resampler(44_100, 44_100);
        let mut output = Vec::new();
        same.process(&input, &mut output);
        same.flush(&mut output);
        assert_eq!(output, input);
        assert_eq!(same.delay(), Duration::ZERO);
    }

    #[test]
    fn other_rates_are_refused() {
        for (from, to, culprit) in [(44_100, 8_000, 44_100), (8_000, 11_025, 11_025)] {
            let Err(AudioError::UnsupportedSampleRate { actual, .. }) = Resampler::new(rate(from), rate(to)) else {
                panic!("{from} to {to} Hz");
            };
            assert_eq!(actual.get(), culprit);
        }
    }

    #[test]
    fn every_frame_gives_as_much_time_as_it_takes() {
        for (from, to) in pairs() {
            let mut resampler = resampler(from, to);
            let mut output = Vec::new();
            for frame_ms in [20, 20, 10, 30, 5, 1, 1, 60] {
                output.clear();
                resampler.process(&vec![99; (from * frame_ms / 1_000) as usize], &mut output);
                assert_eq!(output.len(), (to * frame_ms / 1_000) as usize, "{from} to {to} Hz, {frame_ms} ms");
            }
        }
    }

    #[test]
    fn a_frame_takes_no_memory_once_warm() {
        for (from, to) in pairs() {
            let mut resampler = resampler(from, to);
            let frame = vec![1_000; from as usize / 50];
            let mut output = Vec::new();
            resampler.process(&frame, &mut output);
            let before = (output.as_ptr(), output.capacity(), taken_by(&resampler));
            for _ in 0..50 {
                output.clear();
                resampler.process(&frame, &mut output);
            }
            assert_eq!((output.as_ptr(), output.capacity(), taken_by(&resampler)), before, "{from} to {to} Hz");
        }
    }

    fn taken_by(resampler: &Resampler) -> (*const f32, usize) {
        let lanes = &resampler.filter.as_ref().unwrap().lanes;
        (lanes.as_ptr(), lanes.capacity())
    }

    #[test]
    fn an_interruption_leaves_nothing_behind() {
        let input = tone(24_000, 700.0, 20_000.0, 481);
        let mut resampler = resampler(24_000, 16_000);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        resampler.process(&input, &mut first);
        resampler.reset();
        resampler.process(&input, &mut second);
        assert_eq!(first, second);
        resampler.reset();
        let mut nothing = Vec::new();
        resampler.flush(&mut nothing);
        assert!(nothing.is_empty());
    }

    fn any_pair() -> impl Strategy<Value = (u32, u32)> {
        proptest::sample::select(pairs().collect::<Vec<_>>())
    }

    fn any_samples() -> impl Strategy<Value = Vec<i16>> {
        proptest::collection::vec(any::<i16>(), 0..1_500)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_is_what_the_definition_says((from, to) in any_pair(), input in any_samples()) {
            let output = resample(from, to, &input);
            let expected = by_definition(from, to, &input);
            prop_assert_eq!(output.len(), expected.len());
            for (actual, expected) in output.iter().zip(expected) {
                let expected = expected.clamp(-32_768.0, 32_767.0);
                // Half for rounding, and a little because the sums are of 32-bit numbers.
                prop_assert!((f64::from(*actual) - expected).abs() < 0.55, "{} is not {}", actual, expected);
            }
        }

        #[test]
        fn frames_make_no_difference(
            (from, to) in any_pair(),
            input in any_samples(),
            cuts in proptest::collection::vec(0..400_usize, 0..40),
        ) {
            let mut whole = resampler(from, to);
            let mut expected = Vec::new();
            whole.process(&input, &mut expected);
            whole.flush(&mut expected);

            let mut pieces = resampler(from, to);
            let mut output = Vec::new();
            let mut taken = 0;
            for cut in cuts {
                let end = input.len().min(taken + cut);
                pieces.process(&input[taken..end], &mut output);
                taken = end;
                let due = (taken as u64 * u64::from(to)).div_ceil(u64::from(from));
                prop_assert_eq!(output.len() as u64, due);
            }
            pieces.process(&input[taken..], &mut output);
            pieces.flush(&mut output);
            prop_assert_eq!(output, expected);
        }

        #[test]
        fn flushing_is_like_silence_and_a_new_start((from, to) in any_pair(), input in any_samples()) {
            let mut resampler = resampler(from, to);
            let mut flushed = Vec::new();
            resampler.process(&input, &mut flushed);
            resampler.flush(&mut flushed);

            let mut padded = input.clone();
            if !input.is_empty() {
                let delay = resampler.delay().as_secs_f64() * f64::from(from);
                padded.resize(input.len() + delay.round() as usize, 0);
            }
            prop_assert_eq!(&flushed, &resample(from, to, &padded));

            resampler.flush(&mut flushed);
            let mut again = Vec::new();
            resampler.process(&input, &mut again);
            resampler.flush(&mut again);
            prop_assert_eq!(again, flushed);
        }
    }
}
