//! The media protocol: our codec against the carrier's end of it, without a socket.

use std::sync::Arc;

use telephony_core::{
    Capability, CarrierMediaCodec, MediaCodec, MediaCommand, MediaError, MediaEvent, WireBuffer, WireMessage,
    audio::{AudioFormat, AudioFrame},
    media::{MediaAudio, StreamStart},
};

use crate::{
    edit::{UNHEARD_OF, with_unknown_members},
    subject::Subject,
    trial::{OrFail, Outcome, Trial, expect},
};

pub(crate) fn trials(subject: &Arc<Subject>) -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut trial = |name: String, specified: &'static str, run: Box<dyn FnOnce(&Subject) -> Outcome + Send>| {
        let capability = match name.split("::").next() {
            Some("marks") => Some(Capability::MediaMarks),
            Some("clear") => Some(Capability::MediaClear),
            Some("digits") => Some(Capability::MediaDigits),
            _ => None,
        };
        trials.push(Trial::new(format!("media::{name}"), specified, subject, run).about(capability));
    };
    for &format in subject.descriptor.media().formats {
        let label = format.to_string().replace(' ', "_");
        trial(format!("start::{label}"), "MediaEvent::Started", Box::new(move |subject| start(subject, format)));
        trial(format!("audio_in::{label}"), "MediaEvent::Audio", Box::new(move |subject| audio_in(subject, format)));
        trial(
            format!("audio_out::{label}"),
            "MediaCommand::Audio",
            Box::new(move |subject| audio_out(subject, format)),
        );
    }
    trial("audio_out::of_another_format".into(), "MediaError::FormatMismatch", Box::new(other_format));
    trial("start::nothing_before_it".into(), "MediaError::NotStarted", Box::new(nothing_before_start));
    if subject.has(Capability::MediaMarks) {
        trial("marks::there_and_back".into(), "MediaCommand::Mark, MediaEvent::MarkReached", Box::new(marks));
    }
    if subject.has(Capability::MediaClear) {
        trial("clear::drops_what_waits".into(), "MediaCommand::Clear", Box::new(clear));
    }
    if subject.has(Capability::MediaDigits) {
        trial("digits::every_key".into(), "MediaEvent::Digit", Box::new(digits));
    }
    trial("start::unknown_members".into(), "MediaCodec::decode", Box::new(unknown_members));
    trial("garbage::is_an_error_and_no_panic".into(), "MediaCodec::decode", Box::new(garbage));
    trials
}

struct Ends {
    ours: Box<dyn MediaCodec>,
    theirs: Box<dyn CarrierMediaCodec>,
}

/// Both ends, started.
fn ends(subject: &Subject, format: AudioFormat) -> Result<(Ends, StreamStart), String> {
    let (provider, _) = subject.offline()?;
    let mut ends = Ends { ours: provider.media_codec(), theirs: subject.descriptor.carrier_media_codec() };
    let call = subject.unknown_call()?;
    let mut start = StreamStart::new(call.clone(), format).with_stream_id("MZ0123456789abcdef0123456789abcdef");
    if subject.has(Capability::StreamParameters) {
        start = start.with_parameters([("run".to_owned(), "\"7\" & ü".to_owned())].into());
    }
    let mut wire = WireBuffer::new();
    ends.theirs.encode(MediaEvent::Started(start), &mut wire).or_fail("writing the start")?;
    let mut seen = None;
    for message in wire.iter() {
        if let MediaEvent::Started(start) = ends.ours.decode(message).or_fail("reading the start")? {
            seen = Some(start);
        }
    }
    let seen = seen.or_fail("the start of the stream is reported")?;
    let so = seen.call.id().is_none() || seen.call.id() == call.id();
    expect(so, "the stream names the call, where it names one", &seen)?;
    Ok((ends, seen))
}

fn start(subject: &Subject, format: AudioFormat) -> Outcome {
    let (_, start) = ends(subject, format)?;
    expect(start.inbound == format, format_args!("the format announced, {format}"), &start)?;
    expect(subject.descriptor.media().formats.contains(&start.outbound), "one of the profile's formats out", &start)?;
    if subject.has(Capability::StreamParameters) {
        let run = start.parameters.get("run").map(String::as_str);
        expect(run == Some("\"7\" & ü"), "the parameter comes back", &start)?;
    }
    Ok(())
}

/// Bytes that tell places apart.
fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|n| ((n * 31 + seed * 17) % 251) as u8).collect()
}

fn audio_in(subject: &Subject, format: AudioFormat) -> Outcome {
    let (mut ends, _) = ends(subject, format)?;
    let length = format.bytes_in(std::time::Duration::from_millis(20));
    let mut wire = WireBuffer::new();
    for n in 0..50 {
        wire.clear();
        let sent = pattern(length, n);
        let frame = AudioFrame::new(format, &sent).or_fail("making a frame")?;
        ends.theirs.encode(MediaEvent::Audio(MediaAudio::new(frame)), &mut wire).or_fail("the carrier's audio")?;
        for message in wire.iter() {
            match ends.ours.decode(message).or_fail("reading the carrier's audio")? {
                MediaEvent::Audio(audio) => {
                    expect(audio.frame.bytes() == sent, "the audio, byte for byte", audio.frame)?;
                    expect(audio.frame.format() == format, "in the stream's format", audio.frame.format())?;
                }
                other => expect(false, "audio", other)?,
            }
        }
    }
    Ok(())
}

fn audio_out(subject: &Subject, format: AudioFormat) -> Outcome {
    let (mut ends, start) = ends(subject, format)?;
    // The two directions may differ.
    let format = start.outbound;
    let sample = format.encoding.bytes_per_sample();
    let (mut said, mut heard) = (Vec::new(), Vec::new());
    let mut wire = WireBuffer::new();
    for (n, samples) in [0, 1, 159, 160, 161, 320, 7, 1_000, 3, 8_000, 333].into_iter().enumerate() {
        let piece = pattern(samples * sample, n);
        let frame = AudioFrame::new(format, &piece).or_fail("making a frame")?;
        ends.ours.encode(MediaCommand::Audio(frame), &mut wire).or_fail("sending audio of any length")?;
        said.extend(piece);
    }
    ends.ours.encode(MediaCommand::Flush, &mut wire).or_fail("flushing")?;
    for message in wire.iter() {
        match ends.theirs.decode(message).or_fail("the carrier's reading of our audio")? {
            MediaCommand::Audio(frame) => heard.extend_from_slice(frame.bytes()),
            other => expect(false, "audio", other)?,
        }
    }
    expect(heard.starts_with(&said), "all the audio arrives, in order", (said.len(), heard.len()))?;
    let silent = heard[said.len()..].iter().all(|byte| *byte == format.encoding.silence_byte());
    expect(silent, "what fills up the last frame is silence", &heard[said.len()..])
}

fn other_format(subject: &Subject) -> Outcome {
    let (mut ends, start) = ends(subject, subject.descriptor.media().formats[0])?;
    let all = [AudioFormat::MULAW_8K, AudioFormat::ALAW_8K, AudioFormat::LINEAR16_8K, AudioFormat::LINEAR16_48K];
    let mut wire = WireBuffer::new();
    for other in all.into_iter().filter(|other| *other != start.outbound) {
        let bytes = [0; 320];
        let frame = AudioFrame::new(other, &bytes).or_fail("making a frame")?;
        let outcome = ends.ours.encode(MediaCommand::Audio(frame), &mut wire);
        expect(matches!(outcome, Err(MediaError::FormatMismatch { .. })), "FormatMismatch", &outcome)?;
    }
    expect(wire.is_empty(), "nothing is written", wire.len())
}

fn nothing_before_start(subject: &Subject) -> Outcome {
    let (provider, _) = subject.offline()?;
    let mut codec = provider.media_codec();
    let mut wire = WireBuffer::new();
    let format = subject.descriptor.media().formats[0];
    let frame = AudioFrame::new(format, &[0; 320]).or_fail("making a frame")?;
    for command in [MediaCommand::Audio(frame), MediaCommand::Mark { name: "m" }] {
        let outcome = codec.encode(command, &mut wire);
        expect(outcome == Err(MediaError::NotStarted), "NotStarted", &outcome)?;
    }
    expect(wire.is_empty(), "nothing is written", wire.len())
}

fn marks(subject: &Subject) -> Outcome {
    let (mut ends, _) = ends(subject, subject.descriptor.media().formats[0])?;
    for name in ["utterance-1", "with \"quotes\" and \\", "ü 語", ""] {
        let mut wire = WireBuffer::new();
        ends.ours.encode(MediaCommand::Mark { name }, &mut wire).or_fail("setting a mark")?;
        let mut arrived = false;
        for message in wire.iter() {
            arrived |= ends.theirs.decode(message).or_fail("the carrier's reading")? == MediaCommand::Mark { name };
        }
        expect(arrived, format_args!("the mark {name:?} arrives"), wire.len())?;
        wire.clear();
        ends.theirs.encode(MediaEvent::MarkReached { name }, &mut wire).or_fail("the mark's way back")?;
        let mut back = false;
        for message in wire.iter() {
            back |= ends.ours.decode(message).or_fail("reading it")? == MediaEvent::MarkReached { name };
        }
        expect(back, format_args!("the mark {name:?} comes back"), wire.len())?;
    }
    Ok(())
}

fn clear(subject: &Subject) -> Outcome {
    let (mut ends, start) = ends(subject, subject.descriptor.media().formats[0])?;
    let format = start.outbound;
    let mut wire = WireBuffer::new();
    let partial = pattern(format.encoding.bytes_per_sample() * 3, 1);
    let frame = AudioFrame::new(format, &partial).or_fail("making a frame")?;
    ends.ours.encode(MediaCommand::Audio(frame), &mut wire).or_fail("sending a part of a frame")?;
    let before = wire.len();
    ends.ours.encode(MediaCommand::Clear, &mut wire).or_fail("clearing")?;
    ends.ours.encode(MediaCommand::Flush, &mut wire).or_fail("flushing")?;
    let mut after = Vec::new();
    for message in wire.iter().skip(before) {
        after.push(format!("{:?}", ends.theirs.decode(message).or_fail("the carrier's reading")?));
    }
    expect(after == ["Clear"], "the carrier is told to clear, and nothing that waited is sent after it", &after)
}

fn digits(subject: &Subject) -> Outcome {
    let (mut ends, _) = ends(subject, subject.descriptor.media().formats[0])?;
    for digit in "0123456789*#".chars() {
        let mut wire = WireBuffer::new();
        ends.theirs.encode(MediaEvent::Digit { digit, duration: None }, &mut wire).or_fail("pressing a key")?;
        let mut pressed = false;
        for message in wire.iter() {
            let event = ends.ours.decode(message).or_fail("reading a key")?;
            pressed |= matches!(event, MediaEvent::Digit { digit: seen, .. } if seen == digit);
        }
        expect(pressed, format_args!("the key {digit} is reported"), wire.len())?;
    }
    Ok(())
}

/// A carrier adds members to its messages whenever it likes.
fn unknown_members(subject: &Subject) -> Outcome {
    let format = subject.descriptor.media().formats[0];
    let (provider, _) = subject.offline()?;
    let (mut plain, mut changed) = (provider.media_codec(), provider.media_codec());
    let mut theirs = subject.descriptor.carrier_media_codec();
    let sound = pattern(format.bytes_in(std::time::Duration::from_millis(20)), 3);
    let frame = AudioFrame::new(format, &sound).or_fail("making a frame")?;
    let mut wire = WireBuffer::new();
    let mut events = vec![
        MediaEvent::Started(StreamStart::new(subject.unknown_call()?, format).with_stream_id("MZ0123456789abcdef")),
        MediaEvent::Audio(MediaAudio::new(frame)),
    ];
    if subject.has(Capability::MediaDigits) {
        events.push(MediaEvent::Digit { digit: '1', duration: None });
    }
    if subject.has(Capability::MediaMarks) {
        events.push(MediaEvent::MarkReached { name: "m" });
    }
    for event in events {
        theirs.encode(event, &mut wire).or_fail("writing a message")?;
    }
    for message in wire.iter() {
        let WireMessage::Text(text) = message else { continue };
        let Ok(mut value) = serde_json::from_str::<serde_json::Value>(text) else { continue };
        with_unknown_members(&mut value);
        let before = plain.decode(message).or_fail("reading a message")?;
        let text = value.to_string();
        let mut after = changed
            .decode(WireMessage::Text(&text))
            .or_fail("reading a message whose objects have a member that nobody has heard of")?;
        if let MediaEvent::Started(start) = &mut after {
            // Where parameters stand beside the other members, it is one.
            start.parameters.remove(UNHEARD_OF);
        }
        expect(before == after, format_args!("the same as without it: {before:?}"), &after)?;
    }
    Ok(())
}

/// Thousands of messages that nobody should send: none may panic, and the stream goes on after them.
fn garbage(subject: &Subject) -> Outcome {
    let format = subject.descriptor.media().formats[0];
    let (mut ends, _) = ends(subject, format)?;
    let mut genuine = WireBuffer::new();
    let sound = pattern(format.bytes_in(std::time::Duration::from_millis(20)), 3);
    let frame = AudioFrame::new(format, &sound).or_fail("making a frame")?;
    for event in [
        MediaEvent::Audio(MediaAudio::new(frame)),
        MediaEvent::Digit { digit: '1', duration: None },
        MediaEvent::MarkReached { name: "m" },
    ] {
        ends.theirs.encode(event, &mut genuine).or_fail("writing a genuine message")?;
    }
    let texts: Vec<String> = genuine
        .iter()
        .filter_map(|message| match message {
            WireMessage::Text(text) => Some(text.to_owned()),
            WireMessage::Binary(_) => None,
        })
        .chain(
            ["", "{}", "[]", "null", "\"", "{\"event\":7}", "\u{0}", "{\"event\":\"unheard-of\"}"].map(str::to_owned),
        )
        .collect();
    let mut state = 7_usize;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below.max(1)
    };
    for _ in 0..3_000 {
        let mut characters: Vec<char> = texts[random(texts.len())].chars().collect();
        for _ in 0..=random(3) {
            let at = random(characters.len());
            match random(3) {
                0 => characters.truncate(at),
                1 if !characters.is_empty() => characters[at] = char::from(random(256) as u8),
                _ => characters.insert(at, ['"', '{', '}', '\\', '0', 'ü'][random(6)]),
            }
        }
        let text: String = characters.into_iter().collect();
        let bytes = pattern(random(2_000), random(100));
        for message in [WireMessage::Text(&text), WireMessage::Binary(&bytes)] {
            // Whatever it says is well, as long as it says it; a mutation may be a genuine start of something new.
            let _said = ends.ours.decode(message);
        }
    }
    audio_goes_on(&mut ends, frame)
}

fn audio_goes_on(ends: &mut Ends, frame: AudioFrame<'_>) -> Outcome {
    let mut wire = WireBuffer::new();
    ends.theirs.encode(MediaEvent::Audio(MediaAudio::new(frame)), &mut wire).or_fail("writing audio")?;
    for message in wire.iter() {
        let event = ends.ours.decode(message).or_fail("reading audio after garbage")?;
        let same = matches!(&event, MediaEvent::Audio(audio) if audio.frame.bytes() == frame.bytes());
        expect(same, "the audio that follows is read", &event)?;
    }
    Ok(())
}
