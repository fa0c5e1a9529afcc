//! WAV files, which people upload and agents play: read or refused, and a picture of one is no wider than asked for.

#![no_main]

use std::num::NonZeroU32;

use libfuzzer_sys::fuzz_target;
use telephony_core::audio::{Envelope, Pcm};

fuzz_target!(|data: &[u8]| {
    let slices = NonZeroU32::new(16).expect("not zero");
    if let Ok(picture) = Envelope::from_wav(data, slices) {
        assert!(picture.left.len() <= 16 && picture.left.len() == picture.right.len());
    }
    if let Ok(pcm) = Pcm::from_wav(data) {
        let _ = pcm.resampled(NonZeroU32::new(8000).expect("not zero"));
    }
});
