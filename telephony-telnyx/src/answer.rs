//! Instructions as commands: Telnyx has no answer document.
//!
//! Source: <https://developers.telnyx.com/docs/voice/programmable-voice/commands-and-resources>, and the request bodies of the
//! published OpenAPI description. A command is carried out when it is accepted, and its end is told by webhook; what shall follow
//! goes along in its `client_state`. A call that rings here can only be answered or refused: any other instruction waits in the
//! state of the `answer`, and is due once the call is up. What a conference takes is in [`conference`](crate::conference).

use std::time::Duration;

use serde_json::{Value, json};
use telephony_core::{
    Bridge, CallInstruction, CallRef, Conference, Due, GatherDigits, Operation, PhoneNumber, Play, Reject, Say, Stream,
    TelephonyError, Then, audio::AudioFormat,
};

use crate::{
    NAME,
    media::{OUTBOUND, codec_of, name_of},
    webhook::{After, PARKED, STATE, State},
};

/// The longest text that is spoken.
const LONGEST_TEXT: usize = 3000;

/// The most times that a file is played: error 90009 of <https://developers.telnyx.com/development/api-fundamentals/api-errors>.
const MOST_PLAYS: u8 = 100;

/// The longest wait for a digit, in milliseconds: errors 90026 and 90056 of the same table.
const LONGEST_WAIT_MILLIS: u64 = 120_000;

/// A voice of AWS Polly for each language that Telnyx speaks, for whoever names none.
const VOICES: &[(&str, &str)] = &[
    ("en-US", "Joanna"),
    ("arb", "Zeina"),
    ("cmn-CN", "Zhiyu"),
    ("cy-GB", "Gwyneth"),
    ("da-DK", "Naja"),
    ("de-DE", "Vicki"),
    ("en-AU", "Nicole"),
    ("en-GB", "Amy"),
    ("en-GB-WLS", "Geraint"),
    ("en-IN", "Aditi"),
    ("es-ES", "Lucia"),
    ("es-MX", "Mia"),
    ("es-US", "Lupe"),
    ("fr-CA", "Chantal"),
    ("fr-FR", "Lea"),
    ("hi-IN", "Aditi"),
    ("is-IS", "Dora"),
    ("it-IT", "Bianca"),
    ("ja-JP", "Mizuki"),
    ("ko-KR", "Seoyeon"),
    ("nb-NO", "Liv"),
    ("nl-NL", "Lotte"),
    ("pl-PL", "Ewa"),
    ("pt-BR", "Camila"),
    ("pt-PT", "Ines"),
    ("ro-RO", "Carmen"),
    ("ru-RU", "Tatyana"),
    ("sv-SE", "Astrid"),
    ("tr-TR", "Filiz"),
];

/// What an instruction comes to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Command(Command),
    /// Several requests: which ones depends on whether there is such a conference yet.
    Conference(Conference),
}

/// One command of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) body: Value,
}

impl Command {
    /// Whether twice is once: what has ended, or was never begun, is told so, and nothing else happens.
    pub(crate) fn is_repeatable(&self) -> bool {
        matches!(self.name, "hangup" | "streaming_stop" | "record_stop")
    }
}

/// What is wrong with an instruction: the field and the reason.
type Problem = (String, String);

/// What a call is told for an instruction, whether it is up or rings here.
pub(crate) fn told(
    operation: Operation,
    call: &CallRef,
    instruction: &CallInstruction,
    wideband: bool,
) -> Result<Told, TelephonyError> {
    // What cannot be said is refused before the call is answered for it.
    let told = to_live_call(call, instruction, wideband)
        .map_err(|(field, reason)| TelephonyError::invalid_request(NAME, operation, field, reason))?;
    Ok(match instruction {
        CallInstruction::Reject(_) | CallInstruction::HangUp => told,
        _ if call.handle(STATE) != Some(PARKED) => told,
        later => {
            let state = State::due(After::Answer, Due::Do(Box::new(later.clone())));
            Told::Command(Command { name: "answer", body: json!({"client_state": state.encode()}) })
        }
    })
}

fn to_live_call(call: &CallRef, instruction: &CallInstruction, wideband: bool) -> Result<Told, Problem> {
    let command = match instruction {
        CallInstruction::Stream(stream) => streaming_start(stream, wideband)?,
        CallInstruction::Say(say) => speak(say)?,
        CallInstruction::Play(play) => playback_start(play)?,
        CallInstruction::GatherDigits(gather) => gather_digits(gather)?,
        CallInstruction::Bridge(bridge) => transfer(call, bridge)?,
        CallInstruction::Conference(conference) if conference.name.trim().is_empty() => {
            return Err(problem("name", "must not be blank"));
        }
        CallInstruction::Conference(conference) => return Ok(Told::Conference(conference.clone())),
        CallInstruction::Reject(reason) => {
            let cause = match reason {
                Reject::Busy => "USER_BUSY",
                Reject::Declined => "CALL_REJECTED",
            };
            Command { name: "reject", body: json!({"cause": cause}) }
        }
        CallInstruction::HangUp => Command { name: "hangup", body: json!({}) },
        _ => return Err(problem("instruction", "is unknown to this version")),
    };
    Ok(Told::Command(command))
}

fn problem(field: impl Into<String>, reason: impl Into<String>) -> Problem {
    (field.into(), reason.into())
}

fn streaming_start(stream: &Stream, wideband: bool) -> Result<Command, Problem> {
    if !matches!(stream.url.scheme(), "wss" | "ws") {
        return Err(problem("url", "must start with wss://"));
    }
    if stream.parameters.contains_key(OUTBOUND) {
        return Err(problem(format!("parameters.{OUTBOUND}"), "is a name that this provider uses itself"));
    }
    let format = match stream.preferred_format {
        Some(AudioFormat::LINEAR16_16K) if wideband => AudioFormat::LINEAR16_16K,
        Some(AudioFormat::ALAW_8K) => AudioFormat::ALAW_8K,
        _ => AudioFormat::MULAW_8K,
    };
    let (codec, rate) = codec_of(format);
    let own = (OUTBOUND.to_owned(), name_of(format));
    let parameters = stream.parameters.iter().map(|(name, value)| (name.clone(), value.clone())).chain([own]);
    let parameters: Vec<Value> = parameters.map(|(name, value)| json!({"name": name, "value": value})).collect();
    let mut body = json!({
        "stream_url": stream.url, "stream_track": "inbound_track",
        // Without the mode, audio is taken for MP3 files.
        "stream_bidirectional_mode": "rtp", "stream_bidirectional_codec": codec,
        // By default what we say is for the opposite leg, which is somebody else once the call is bridged.
        "stream_bidirectional_target_legs": "self",
        // Whatever the start of the stream repeats of the two, it says what we send.
        "custom_parameters": parameters, "client_state": State::sending(name_of(format)).encode(),
    });
    if rate != 8_000 {
        body["stream_bidirectional_sampling_rate"] = rate.into();
    }
    Ok(Command { name: "streaming_start", body })
}

/// The members that speaking needs.
fn spoken(say: &Say, field: &str) -> Result<Value, Problem> {
    if !matches!(say.text.chars().count(), 1..=LONGEST_TEXT) {
        return Err(problem(format!("{field}text"), format!("must have 1 to {LONGEST_TEXT} characters")));
    }
    let language = say.language.as_deref().unwrap_or("en-US");
    let voice = match &say.voice {
        Some(voice) => voice.clone(),
        None => {
            let known = VOICES.iter().find(|(known, _)| known.eq_ignore_ascii_case(language));
            let (_, name) = known.ok_or_else(|| {
                problem(format!("{field}voice"), format!("is needed: there is no usual one for {language}"))
            })?;
            format!("AWS.Polly.{name}")
        }
    };
    let mut body = json!({"payload": say.text, "payload_type": "text", "voice": voice});
    // Voices of AWS Polly have a language; others are told which, if it is one that Telnyx lists.
    if let (Some(_), Some(language)) = (&say.voice, &say.language)
        && let Some((known, _)) = VOICES.iter().find(|(known, _)| known.eq_ignore_ascii_case(language))
    {
        body["language"] = (*known).into();
    }
    Ok(body)
}

fn speak(say: &Say) -> Result<Command, Problem> {
    let mut body = spoken(say, "")?;
    body["client_state"] = State::due(After::Speak, Due::from(&say.then)).encode().into();
    Ok(Command { name: "speak", body })
}

fn playback_start(play: &Play) -> Result<Command, Problem> {
    let times = play.times.max(1);
    if times > MOST_PLAYS {
        return Err(problem("times", format!("must be 1 to {MOST_PLAYS}")));
    }
    let state = State::due(After::Playback, Due::from(&play.then)).encode();
    Ok(Command { name: "playback_start", body: json!({"audio_url": play.url, "loop": times, "client_state": state}) })
}

fn gather_digits(gather: &GatherDigits) -> Result<Command, Problem> {
    if !matches!(gather.max_digits, 1..=20) {
        return Err(problem("max_digits", "must be 1 to 20"));
    }
    let millis = u64::try_from(gather.timeout.as_millis()).unwrap_or(u64::MAX);
    if !(1..=LONGEST_WAIT_MILLIS).contains(&millis) {
        return Err(problem("timeout", "must be a millisecond to two minutes"));
    }
    let (name, mut body) = match &gather.prompt {
        // All of it: the wait for the first digit, and for each that follows.
        None => {
            let all = millis * (u64::from(gather.max_digits) + 1);
            ("gather", json!({"initial_timeout_millis": millis, "timeout_millis": all}))
        }
        Some(prompt) if matches!(prompt.then, Then::Ask(_)) => {
            return Err(problem("prompt.then", "has no effect: the callback is asked what follows"));
        }
        // One try: what to do about silence is for whoever is asked. Here the time is that from the prompt to an answer.
        Some(prompt) => {
            let mut body = spoken(prompt, "prompt.")?;
            body["maximum_tries"] = 1.into();
            body["timeout_millis"] = millis.into();
            ("gather_using_speak", body)
        }
    };
    body["minimum_digits"] = 1.into();
    body["maximum_digits"] = gather.max_digits.into();
    body["inter_digit_timeout_millis"] = millis.into();
    body["terminating_digit"] = if gather.finish_on_hash { "#" } else { "" }.into();
    body["valid_digits"] = if gather.finish_on_hash { "0123456789*" } else { "0123456789*#" }.into();
    body["client_state"] = State::due(After::Gather, Due::Ask(gather.callback.clone())).encode().into();
    Ok(Command { name, body })
}

/// The command that makes another leg and connects the two. When one hangs up, Telnyx ends the other; but a call whose other
/// leg never answers stays up, so that leg carries the name of the call that it is for, which is ended then.
pub(crate) fn transfer(call: &CallRef, bridge: &Bridge) -> Result<Command, Problem> {
    let mut body = json!({
        "to": bridge.to.as_str(),
        "target_leg_client_state": State::leg_of(call).encode(), "client_state": State::default().encode(),
    });
    if let Some(caller) = &bridge.caller_id {
        body["from"] = PhoneNumber::as_e164(caller).into();
    }
    if let Some(ring) = bridge.ring_timeout {
        body["timeout_secs"] = within(ring, 5..=600, "ring_timeout")?.into();
    }
    if let Some(limit) = bridge.time_limit {
        body["time_limit_secs"] = within(limit, 30..=14_400, "time_limit")?.into();
    }
    if let Some(events) = &bridge.events {
        body["webhook_url"] = json!(events);
        body["webhook_url_method"] = "POST".into();
    }
    Ok(Command { name: "transfer", body })
}

/// Whole seconds, begun ones counted, if they are in the range.
pub(crate) fn within(
    length: Duration,
    range: std::ops::RangeInclusive<u64>,
    field: &'static str,
) -> Result<u64, (String, String)> {
    let seconds = length.as_secs() + u64::from(length.subsec_nanos() > 0);
    if range.contains(&seconds) {
        return Ok(seconds);
    }
    Err(problem(field, format!("must be {} to {} seconds", range.start(), range.end())))
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    fn call(parked: bool) -> CallRef {
        let state = if parked { PARKED } else { "answered" };
        CallRef::new("v3:abc".parse().unwrap()).with_handle(STATE, state)
    }

    fn written(instruction: &CallInstruction, parked: bool) -> Command {
        match told(Operation::Instruct, &call(parked), instruction, true).unwrap() {
            Told::Command(command) => command,
            Told::Conference(_) => panic!("{instruction:?} is a conference"),
        }
    }

    fn refused(instruction: &CallInstruction) -> String {
        told(Operation::Instruct, &call(true), instruction, true).unwrap_err().to_string()
    }

    #[test]
    fn streams_in_each_format() {
        let stream = Stream::to("wss://a.test/m".parse().unwrap()).with_parameter("run", "7");
        for (format, wideband, codec, rate) in [
            (None, true, "PCMU", None),
            (Some(AudioFormat::ALAW_8K), true, "PCMA", None),
            (Some(AudioFormat::LINEAR16_16K), true, "L16", Some(16_000)),
            (Some(AudioFormat::LINEAR16_16K), false, "PCMU", None),
            (Some(AudioFormat::LINEAR16_24K), true, "PCMU", None),
        ] {
            let mut stream = stream.clone();
            stream.preferred_format = format;
            let body = streaming_start(&stream, wideband).unwrap().body;
            assert_eq!(body["stream_bidirectional_mode"], "rtp");
            assert_eq!(body["stream_bidirectional_target_legs"], "self");
            assert_eq!(body["stream_bidirectional_codec"], codec, "{format:?}");
            assert_eq!(body["stream_bidirectional_sampling_rate"].as_u64(), rate);
            let named = format!("{codec}/{}", rate.unwrap_or(8_000));
            let parameters = json!([{"name": "run", "value": "7"}, {"name": "telnyx_outbound", "value": named}]);
            assert_eq!(body["custom_parameters"], parameters);
            assert_eq!(body["client_state"], State::sending(named).encode());
        }
    }

    #[test]
    fn a_parked_call_is_answered_first_unless_it_is_refused() {
        let say = CallInstruction::Say(Say::text("Hello"));
        let state = State::due(After::Answer, Due::Do(Box::new(say.clone()))).encode();
        assert_eq!(written(&say, true), Command { name: "answer", body: json!({"client_state": state}) });
        assert_eq!(written(&say, false).name, "speak");
        assert_eq!(written(&CallInstruction::Reject(Reject::Busy), true).body, json!({"cause": "USER_BUSY"}));
        assert_eq!(written(&CallInstruction::Reject(Reject::Declined), true).body, json!({"cause": "CALL_REJECTED"}));
        assert_eq!(written(&CallInstruction::HangUp, true).name, "hangup");
    }

    #[test]
    fn a_conference_is_entered_once_the_call_is_up() {
        let room = Conference::named("room & board").ending_on_exit();
        let enter = CallInstruction::Conference(room.clone());
        let state = State::due(After::Answer, Due::Do(Box::new(enter.clone()))).encode();
        assert_eq!(written(&enter, true), Command { name: "answer", body: json!({"client_state": state}) });
        assert_eq!(told(Operation::Instruct, &call(false), &enter, true).unwrap(), Told::Conference(room));
        for blank in ["", " "] {
            let reason = refused(&CallInstruction::Conference(Conference::named(blank)));
            assert!(reason.contains("name: must not be blank"), "{reason}");
        }
    }

    #[test]
    fn the_other_leg_knows_whose_it_is() {
        let to: PhoneNumber = "+12025550155".parse().unwrap();
        let command = written(&CallInstruction::Bridge(Bridge::to(to)), false);
        assert_eq!((command.name, &command.body["to"]), ("transfer", &json!("+12025550155")));
        assert_eq!(command.body["target_leg_client_state"], State::leg_of(&call(false)).encode());
        assert_eq!(command.body["client_state"], State::default().encode());
    }

    #[test]
    fn voices_by_language() {
        let voice = |say: Say| written(&CallInstruction::Say(say), false).body["voice"].clone();
        assert_eq!(voice(Say::text("x")), "AWS.Polly.Joanna");
        assert_eq!(voice(Say::text("x").with_language("de-de")), "AWS.Polly.Vicki");
        assert_eq!(voice(Say::text("x").with_voice("Telnyx.KokoroTTS.af")), "Telnyx.KokoroTTS.af");
        assert!(refused(&CallInstruction::Say(Say::text("x").with_language("tlh"))).contains("voice: is needed"));
        let language = |say: Say| written(&CallInstruction::Say(say), false).body["language"].clone();
        assert_eq!(language(Say::text("x").with_voice("Azure.any").with_language("fr-fr")), "fr-FR");
        assert_eq!(language(Say::text("x").with_voice("Azure.any").with_language("tlh")), Value::Null);
        assert_eq!(language(Say::text("x").with_language("fr-FR")), Value::Null);
    }

    #[test]
    fn digits_are_gathered_with_and_without_a_prompt() {
        let gather = GatherDigits::up_to(4, "https://a.test/d".parse().unwrap());
        let silent = written(&CallInstruction::GatherDigits(gather.clone()), false);
        assert_eq!((silent.name, &silent.body["timeout_millis"]), ("gather", &json!(25_000)));
        let asked = written(&CallInstruction::GatherDigits(gather.with_prompt(Say::text("PIN?"))), false);
        assert_eq!((asked.name, &asked.body["payload"]), ("gather_using_speak", &json!("PIN?")));
        assert_eq!((&asked.body["maximum_digits"], &asked.body["terminating_digit"]), (&json!(4), &json!("#")));
        // Who says nothing after the prompt is waited for once, and not once for each digit.
        assert_eq!(asked.body["timeout_millis"], 5_000);
    }

    #[test]
    fn what_cannot_be_said_is_refused_by_name() {
        let bridge = |ring| {
            let to: PhoneNumber = "+12025550155".parse().unwrap();
            CallInstruction::Bridge(Bridge::to(to).with_ring_timeout(Duration::from_secs(ring)))
        };
        assert!(refused(&bridge(3)).contains("ring_timeout: must be 5 to 600 seconds"));
        assert!(refused(&CallInstruction::Say(Say::text(""))).contains("text: must have 1 to 3000 characters"));
        let url: telephony_core::Url = "https://a.test".parse().unwrap();
        assert!(refused(&CallInstruction::Stream(Stream::to(url.clone()))).contains("url: must start with wss://"));
        let play = |times| CallInstruction::Play(Play::url(url.clone()).times(times));
        assert!(refused(&play(101)).contains("times: must be 1 to 100"));
        assert_eq!(written(&play(100), false).body["loop"], 100);
        let gather = |secs| {
            let gather = GatherDigits::up_to(4, url.clone()).with_timeout(Duration::from_secs(secs));
            CallInstruction::GatherDigits(gather)
        };
        assert!(refused(&gather(121)).contains("timeout: must be a millisecond to two minutes"));
        assert_eq!(written(&gather(120), false).body["inter_digit_timeout_millis"], 120_000);
    }
}
