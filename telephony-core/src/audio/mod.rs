//! Telephone audio: what the bytes mean, and how to turn them into something else.
//!
//! Carriers send companded or linear audio at the rate that they like; speech models want linear samples at the rate that
//! they like. What lies between is here: formats that travel with their bytes ([`AudioFormat`], [`AudioFrame`]), the
//! companding laws of ITU-T G.711 ([`mulaw_decode`], [`alaw_encode`], …), a streaming resampler with a short and stated delay
//! ([`Resampler`]), the two joined ([`PcmDecoder`], [`PcmEncoder`]), WAV files and recordings ([`Pcm`],
//! [`StereoRecorder`]), and how loud it is ([`Level`]).
//!
//! Everything is mono, except what a WAV file holds. PCM without further words means signed 16-bit linear samples, `i16`:
//! −32,768 to 32,767, silence is 0.
//!
//! Nothing here knows a clock, a socket or a carrier's messages: who sends which format, and how it is framed, is the
//! business of the media codecs. There is no packet-loss concealment, jitter buffer or mixing either.
//!
//! What runs per frame appends to a buffer that the caller owns and keeps. Once the buffers have grown to the size of a
//! frame, no more memory is taken.
//!
//! ```
//! use telephony_core::audio::{AudioFormat, AudioFrame, PcmDecoder};
//!
//! // A carrier's 20 ms of μ-law become 20 ms of PCM at 16 kHz.
//! let wire = [AudioFormat::MULAW_8K.silence_byte(); 160];
//! let frame = AudioFrame::new(AudioFormat::MULAW_8K, &wire)?;
//! let mut decoder = PcmDecoder::new(AudioFormat::MULAW_8K, AudioFormat::LINEAR16_16K.sample_rate_hz)?;
//! let mut pcm = Vec::new();
//! decoder.decode(frame, &mut pcm)?;
//! assert_eq!(pcm, [0; 320]);
//! # Ok::<(), telephony_core::audio::AudioError>(())
//! ```

mod convert;
mod error;
mod format;
mod g711;
mod level;
mod resample;
mod wav;

pub use self::{
    convert::{PcmDecoder, PcmEncoder},
    error::AudioError,
    format::{AudioFormat, AudioFrame, Encoding},
    g711::{
        alaw_decode, alaw_decode_into, alaw_encode, alaw_encode_into, mulaw_decode, mulaw_decode_into, mulaw_encode,
        mulaw_encode_into,
    },
    level::{Level, rms_dbfs},
    resample::Resampler,
    wav::{Envelope, Pcm, StereoRecorder},
};
