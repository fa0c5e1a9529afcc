//! What an agent says, on its way to the caller: queued, sent ahead of what is heard, heard.

use std::{collections::VecDeque, fmt, time::Duration};

use telephony_core::{
    MediaCodec, MediaCommand, MediaError, WireBuffer,
    audio::{AudioError, AudioFormat, AudioFrame, PcmDecoder, PcmEncoder, StereoRecorder},
    media::StreamStart,
};

use super::{Loudness, MediaReport};

/// How far ahead of what the caller hears the carrier is sent audio. Carriers buffer twenty seconds and more; what they
/// hold must be cleared when the caller interrupts, and is lost when they hold too much.
pub(super) const AHEAD: Duration = Duration::from_secs(10);

/// How much audio goes into one command.
pub(super) const CHUNK: Duration = Duration::from_millis(100);

/// The mark behind the last word before a hang-up.
pub(super) const LAST_WORD: &str = "telephony:last-word";

/// What the carrier calls our marks: this, and a number. The agent's own names may be any text, and come twice.
const MARK: &str = "telephony:mark-";

/// How much longer than computed the last word may take to be heard, before the call is ended without its mark.
const GRACE: Duration = Duration::from_millis(1_500);

/// A mark as the carrier names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WireMark {
    LastWord,
    Numbered(u64),
    Unknown,
}

impl WireMark {
    pub(super) fn read(name: &str) -> Self {
        if name == LAST_WORD {
            return Self::LastWord;
        }
        let number = name.strip_prefix(MARK).and_then(|number| number.parse().ok());
        number.map_or(Self::Unknown, Self::Numbered)
    }
}

/// What there is once the stream has started.
pub(super) struct Playout {
    pub(super) start: StreamStart,
    pcm: AudioFormat,
    decoder: PcmDecoder,
    encoder: PcmEncoder,
    /// The caller's voice of the message at hand.
    heard: Vec<i16>,
    /// Said by the agent and not sent yet, with what stands in between.
    unsent: VecDeque<Unsent>,
    unsent_samples: VecDeque<i16>,
    /// Sent and, going by the caller's clock, not heard yet.
    unheard: VecDeque<i16>,
    /// Marks that were sent and have not come back.
    marks: VecDeque<(u64, String)>,
    next_mark: u64,
    /// Scratch.
    chunk: Vec<i16>,
    wire: Vec<u8>,
    mark_name: String,
    /// The caller's audio so far, in samples.
    clock: usize,
    /// When the last word must have been heard.
    last_word_by: Option<usize>,
    /// When the agent wants it to be over, heard or not.
    hang_up_by: Option<usize>,
}

#[derive(Debug, PartialEq)]
enum Unsent {
    /// So many of the samples.
    Audio(usize),
    Mark(String),
    LastWord,
}

/// What was thrown away.
pub(super) struct Cleared {
    /// How much had been said and not heard.
    pub(super) unheard: Duration,
    /// The marks that will not be reached.
    pub(super) marks: Vec<String>,
}

impl Playout {
    /// # Errors
    ///
    /// [`AudioError`] when there is no way between the carrier's rates and the agent's.
    pub(super) fn new(start: StreamStart, pcm: AudioFormat) -> Result<Self, AudioError> {
        Ok(Self {
            decoder: PcmDecoder::new(start.inbound, pcm.sample_rate_hz)?,
            encoder: PcmEncoder::new(pcm.sample_rate_hz, start.outbound)?,
            start,
            pcm,
            heard: Vec::new(),
            unsent: VecDeque::new(),
            unsent_samples: VecDeque::new(),
            unheard: VecDeque::new(),
            marks: VecDeque::new(),
            next_mark: 1,
            chunk: Vec::new(),
            wire: Vec::new(),
            mark_name: String::new(),
            clock: 0,
            last_word_by: None,
            hang_up_by: None,
        })
    }

    /// By how much sound comes later for having been resampled, both ways together.
    pub(super) fn delay(&self) -> Duration {
        self.decoder.delay() + self.encoder.delay()
    }

    /// Takes what the caller says. It is in [`heard`](Self::heard) then.
    pub(super) fn hear(&mut self, frame: AudioFrame<'_>) -> Result<(), AudioError> {
        self.heard.clear();
        self.decoder.decode(frame, &mut self.heard)
    }

    /// The caller's voice of the message at hand, at the agent's rate.
    pub(super) fn heard(&self) -> &[i16] {
        &self.heard
    }

    /// The caller's clock goes on by what was heard: as much of what was sent has been played.
    pub(super) fn advance(&mut self, recorder: Option<&mut StereoRecorder>, loudness: &Loudness) {
        let count = self.heard.len().min(self.unheard.len());
        loudness.add(&self.heard, self.unheard.range(..count));
        if let Some(recorder) = recorder {
            self.chunk.clear();
            self.chunk.extend(self.unheard.drain(..count));
            let at = self.pcm.duration_of_samples(self.clock);
            recorder.left(at, &self.heard);
            recorder.right(at, &self.chunk);
        } else {
            self.unheard.drain(..count);
        }
        self.clock += self.heard.len();
    }

    /// What was said and not heard, in samples.
    pub(super) fn unheard_samples(&self) -> usize {
        self.unsent_samples.len() + self.unheard.len()
    }

    /// How many marks are pending, sent or not.
    pub(super) fn marks_pending(&self) -> usize {
        self.marks.len() + self.unsent.iter().filter(|item| matches!(item, Unsent::Mark(_))).count()
    }

    /// Where the buffers are and how large.
    #[cfg(test)]
    pub(super) fn memory(&self) -> [usize; 8] {
        [
            self.heard.as_ptr() as usize,
            self.heard.capacity(),
            self.unsent.capacity(),
            self.unsent_samples.capacity(),
            self.unheard.capacity(),
            self.chunk.as_ptr() as usize,
            self.wire.as_ptr() as usize,
            self.wire.capacity(),
        ]
    }

    /// Queues what the agent said.
    pub(super) fn say(&mut self, samples: &[i16]) {
        self.unsent_samples.extend(samples);
        match self.unsent.back_mut() {
            Some(Unsent::Audio(count)) => *count += samples.len(),
            _ => self.unsent.push_back(Unsent::Audio(samples.len())),
        }
    }

    pub(super) fn mark(&mut self, name: String) {
        self.unsent.push_back(Unsent::Mark(name));
    }

    /// Queues the end: behind everything, and in so long at the latest.
    pub(super) fn hang_up(&mut self, limit: Option<Duration>) {
        self.unsent.push_back(Unsent::LastWord);
        self.hang_up_by = limit.map(|limit| self.clock.saturating_add(self.pcm.samples_in(limit)));
    }

    /// Throws away what has not been heard, here; the carrier must be told as well.
    pub(super) fn clear(&mut self) -> Cleared {
        let unheard = self.pcm.duration_of_samples(self.unheard_samples());
        self.unheard.clear();
        self.unsent_samples.clear();
        self.encoder.reset();
        let mut marks: Vec<String> = self.marks.drain(..).map(|(_, name)| name).collect();
        // Some carriers give the marks back that they clear away, others do not: the last word is said again.
        let mut is_ending = self.last_word_by.take().is_some();
        for item in self.unsent.drain(..) {
            match item {
                Unsent::Audio(_) => {}
                Unsent::Mark(name) => marks.push(name),
                Unsent::LastWord => is_ending = true,
            }
        }
        self.unsent.extend(is_ending.then_some(Unsent::LastWord));
        Cleared { unheard, marks }
    }

    /// A mark came back: the names of those that have been reached with it, in order. None if it had been cleared away.
    pub(super) fn reached(&mut self, number: u64) -> Vec<String> {
        let count = self.marks.iter().take_while(|mark| mark.0 <= number).count();
        let reached = self.marks.drain(..count).map(|(_, name)| name).collect();
        // All that was sent before the last mark has been heard, whatever the clock says. The rest of a tick may be
        // outstanding; it is not worth keeping.
        if self.unsent.is_empty() && self.unheard.len() < self.pcm.samples_in(CHUNK) {
            self.unheard.clear();
        }
        reached
    }

    /// The last word has been heard, and so has all before it.
    pub(super) fn finish(&mut self, recorder: Option<&mut StereoRecorder>) {
        if let Some(recorder) = recorder {
            recorder.right(self.pcm.duration_of_samples(self.clock), self.unheard.make_contiguous());
        }
    }

    /// Whether the end has been waited for long enough.
    pub(super) fn is_overdue(&self) -> bool {
        [self.last_word_by, self.hang_up_by].into_iter().flatten().any(|by| self.clock >= by)
    }

    /// Sends what may be sent now, so that the carrier never holds more than `ahead`.
    pub(super) fn pump(
        &mut self,
        ahead: Duration,
        codec: &mut dyn MediaCodec,
        out: &mut WireBuffer,
        report: &mut MediaReport,
    ) -> Result<(), MediaError> {
        let before = out.len();
        let (ahead, chunk) = (self.pcm.samples_in(ahead), self.pcm.samples_in(CHUNK));
        while self.unheard.len() < ahead {
            match self.unsent.pop_front() {
                None => break,
                Some(Unsent::Audio(count)) => {
                    let now = count.min(chunk);
                    self.send(now, codec, out, report)?;
                    if now < count {
                        self.unsent.push_front(Unsent::Audio(count - now));
                    }
                }
                Some(Unsent::Mark(name)) => {
                    self.name_mark();
                    codec.encode(MediaCommand::Mark { name: &self.mark_name }, out)?;
                    self.marks.push_back((self.next_mark, name));
                    self.next_mark += 1;
                }
                Some(Unsent::LastWord) => {
                    self.send_tail(codec, out)?;
                    self.last_word_by = Some(self.clock + self.unheard.len() + self.pcm.samples_in(GRACE));
                    codec.encode(MediaCommand::Mark { name: LAST_WORD }, out)?;
                }
            }
        }
        report.frames_out += (out.len() - before) as u64;
        Ok(())
    }

    fn send(
        &mut self,
        count: usize,
        codec: &mut dyn MediaCodec,
        out: &mut WireBuffer,
        report: &mut MediaReport,
    ) -> Result<(), MediaError> {
        self.chunk.clear();
        self.chunk.extend(self.unsent_samples.drain(..count));
        self.wire.clear();
        self.encoder.encode(&self.chunk, &mut self.wire);
        self.unheard.extend(&self.chunk);
        report.said += self.pcm.duration_of_samples(count);
        self.send_wire(codec, out)
    }

    /// What the resampler still holds: the end of the last word.
    fn send_tail(&mut self, codec: &mut dyn MediaCodec, out: &mut WireBuffer) -> Result<(), MediaError> {
        self.wire.clear();
        self.encoder.flush(&mut self.wire);
        self.send_wire(codec, out)
    }

    fn send_wire(&mut self, codec: &mut dyn MediaCodec, out: &mut WireBuffer) -> Result<(), MediaError> {
        if self.wire.is_empty() {
            return Ok(());
        }
        let frame = AudioFrame::new(self.start.outbound, &self.wire)
            .map_err(|error| MediaError::UnsupportedFormat(error.to_string()))?;
        codec.encode(MediaCommand::Audio(frame), out)
    }

    fn name_mark(&mut self) {
        use fmt::Write as _;
        self.mark_name.clear();
        // Writing into memory cannot fail.
        let _never = write!(self.mark_name, "{MARK}{}", self.next_mark);
    }
}

/// How much there is. What was said does not belong in a log.
impl fmt::Debug for Playout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Playout")
            .field("pcm", &self.pcm)
            .field("unsent", &self.unsent_samples.len())
            .field("unheard", &self.unheard.len())
            .field("marks", &self.marks.len())
            .finish_non_exhaustive()
    }
}
