//! NCCO (Nexmo Call Control Object): what a call shall do, as a JSON array of actions.
//!
//! Source: <https://developer.vonage.com/en/voice/voice-api/ncco-reference>. Actions run in order, and the end of the array ends
//! the call. There is no action that hangs up or refuses: a wait of the shortest length and the end of the array do it, since
//! whether an empty array is accepted is not documented. After a `connect` to a WebSocket nothing may follow: the actions behind
//! it start as soon as the socket is up.

use std::time::Duration;

use serde_json::{Value, json};
use telephony_core::{
    Address, Bridge, CallInstruction, CallRef, Conference, GatherDigits, Operation, PhoneNumber, Play, Say, Stream,
    TelephonyError, Then, TransferRequest, Url, WebhookResponse,
};

use crate::{
    NAME, VonageConfig,
    media::{CALL_HEADER, RESERVED_HEADERS, content_type},
};

/// The headers of a WebSocket endpoint, as JSON.
const LONGEST_HEADERS: usize = 512;

/// The text of a `talk` without markup.
const LONGEST_TALK: usize = 1500;

/// The longest time that two may talk over a `connect`.
const LONGEST_LIMIT: u64 = 7200;

/// What is wrong with an instruction: the field and the reason.
type Problem = (String, String);

/// The document for an instruction, as an HTTP response.
pub(crate) fn response(
    config: &VonageConfig,
    call: &CallRef,
    instruction: &CallInstruction,
) -> Result<WebhookResponse, TelephonyError> {
    let ncco = document(config, Operation::GetWebhookResponse, call, instruction)?;
    Ok(WebhookResponse::document("application/json", ncco.to_string()))
}

/// The document for an instruction.
pub(crate) fn document(
    config: &VonageConfig,
    operation: Operation,
    call: &CallRef,
    instruction: &CallInstruction,
) -> Result<Value, TelephonyError> {
    let actions = match instruction {
        CallInstruction::Stream(stream) => connect_stream(config, call, stream),
        CallInstruction::Say(say) => talk(say, false).map(|action| then(vec![action], &say.then, call)),
        CallInstruction::Play(play) => Ok(then(vec![stream_file(play)], &play.then, call)),
        CallInstruction::GatherDigits(gather) => input(gather),
        CallInstruction::Bridge(bridge) => connect(config, bridge).map(|action| vec![action]),
        CallInstruction::Conference(conference) => Ok(vec![conversation(conference)]),
        CallInstruction::Reject(_) | CallInstruction::HangUp => Ok(vec![json!({"action": "wait", "timeout": 0.1})]),
        _ => Err(problem("instruction", "is unknown to this version")),
    };
    actions.map(Value::Array).map_err(|(field, reason)| TelephonyError::invalid_request(NAME, operation, field, reason))
}

/// The document that connects a live call to somebody else.
pub(crate) fn transfer(config: &VonageConfig, transfer: &TransferRequest) -> Result<Value, TelephonyError> {
    let mut bridge = Bridge::to(transfer.to.clone());
    bridge.caller_id.clone_from(&transfer.caller_id);
    bridge.ring_timeout = transfer.ring_timeout;
    bridge.events.clone_from(&transfer.events);
    connect(config, &bridge)
        .map(|action| json!([action]))
        .map_err(|(field, reason)| TelephonyError::invalid_request(NAME, Operation::TransferCall, field, reason))
}

fn problem(field: impl Into<String>, reason: impl Into<String>) -> Problem {
    (field.into(), reason.into())
}

fn connect_stream(config: &VonageConfig, call: &CallRef, stream: &Stream) -> Result<Vec<Value>, Problem> {
    if !matches!(stream.url.scheme(), "wss" | "ws") {
        return Err(problem("url", "must start with wss://"));
    }
    let mut headers = serde_json::Map::new();
    for (name, value) in &stream.parameters {
        if RESERVED_HEADERS.contains(&name.as_str()) {
            return Err(problem(format!("parameters.{name}"), "is a name that Vonage or this provider uses itself"));
        }
        headers.insert(name.clone(), value.as_str().into());
    }
    if let Some(id) = call.id() {
        headers.insert(CALL_HEADER.to_owned(), id.as_str().into());
    }
    let headers = Value::Object(headers);
    if headers.to_string().len() > LONGEST_HEADERS {
        return Err(problem("parameters", "must not be longer than 512 bytes of JSON, all together"));
    }
    // A format that Vonage cannot stream gives way to the account's.
    let wanted = stream.preferred_format.filter(|format| crate::DESCRIPTOR.media().formats.contains(format));
    let format = wanted.unwrap_or_else(|| config.sample_rate_hz.format());
    let mut action = json!({
        "action": "connect",
        "endpoint": [{
            "type": "websocket", "uri": stream.url, "content-type": content_type(format), "headers": headers,
        }],
    });
    if let Some(events) = &stream.events {
        action["eventUrl"] = json!([events]);
    }
    Ok(vec![action])
}

fn talk(say: &Say, barge_in: bool) -> Result<Value, Problem> {
    if say.text.chars().count() > LONGEST_TALK {
        return Err(problem("text", "must have at most 1500 characters"));
    }
    let mut action = json!({"action": "talk", "text": say.text});
    if let Some(language) = &say.language {
        action["language"] = language.as_str().into();
    }
    if let Some(voice) = &say.voice {
        let style: u8 = voice.parse().map_err(|_| problem("voice", "must be the number of a style of the language"))?;
        action["style"] = style.into();
    }
    if barge_in {
        action["bargeIn"] = true.into();
    }
    Ok(action)
}

fn stream_file(play: &Play) -> Value {
    json!({"action": "stream", "streamUrl": [play.url], "loop": play.times})
}

/// What follows: `notify` is the one action whose webhook is answered with a new document at any time.
fn then(mut actions: Vec<Value>, then: &Then, call: &CallRef) -> Vec<Value> {
    if let Then::Ask(url) = then {
        let mut payload = json!({});
        // The webhook repeats the payload, and says of the call only what is in it.
        if let Some(id) = call.id() {
            payload[CALL_HEADER] = id.as_str().into();
        }
        actions.push(json!({"action": "notify", "payload": payload, "eventUrl": [url], "eventMethod": "POST"}));
    }
    actions
}

fn input(gather: &GatherDigits) -> Result<Vec<Value>, Problem> {
    if !matches!(gather.max_digits, 1..=20) {
        return Err(problem("max_digits", "must be 1 to 20"));
    }
    if gather.timeout > Duration::from_secs(10) {
        return Err(problem("timeout", "must be at most 10 seconds"));
    }
    if gather.prompt.as_ref().is_some_and(|prompt| matches!(prompt.then, Then::Ask(_))) {
        return Err(problem("prompt.then", "has no effect: the callback is asked what follows"));
    }
    let prompt = gather.prompt.as_ref().map(|prompt| talk(prompt, true)).transpose()?;
    let input = json!({
        "action": "input",
        "type": ["dtmf"],
        "dtmf": {
            "maxDigits": gather.max_digits, "timeOut": seconds(gather.timeout), "submitOnHash": gather.finish_on_hash,
        },
        "eventUrl": [gather.callback],
        "eventMethod": "POST",
    });
    Ok(prompt.into_iter().chain([input]).collect())
}

fn connect(config: &VonageConfig, bridge: &Bridge) -> Result<Value, Problem> {
    let mut action = json!({"action": "connect", "endpoint": [endpoint(&bridge.to)]});
    if let Some(from) = bridge.caller_id.as_ref().or(config.phone_numbers.first()) {
        action["from"] = from.digits().into();
    }
    if let Some(timeout) = bridge.ring_timeout {
        action["timeout"] = seconds(timeout).into();
    }
    if let Some(limit) = bridge.time_limit {
        if seconds(limit) > LONGEST_LIMIT {
            return Err(problem("time_limit", "must be at most 7200 seconds"));
        }
        action["limit"] = seconds(limit).into();
    }
    if let Some(events) = &bridge.events {
        action["eventUrl"] = json!([crate::webhook::mark_other_leg(events)]);
    }
    Ok(action)
}

/// Whom to call, as Vonage writes it: numbers without `+`.
pub(crate) fn endpoint(to: &Address) -> Value {
    match to.as_phone() {
        Some(number) => json!({"type": "phone", "number": PhoneNumber::digits(number)}),
        None => json!({"type": "sip", "uri": to.as_str()}),
    }
}

fn conversation(conference: &Conference) -> Value {
    json!({
        "action": "conversation", "name": conference.name, "startOnEnter": conference.start_on_enter,
        "endOnExit": conference.end_on_exit, "mute": conference.muted,
    })
}

/// Whole seconds, begun ones counted.
pub(crate) fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// A URL in the list that Vonage wants.
pub(crate) fn url_list(url: &Url) -> [&str; 1] {
    [url.as_str()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use insta::assert_snapshot;
    use telephony_core::{Reject, audio::AudioFormat};

    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn outcome(instruction: &CallInstruction) -> Result<Value, TelephonyError> {
        let config = telephony_core::config::parse(NAME, &crate::config::tests::account()).unwrap();
        let call = CallRef::new("u-1".parse().unwrap());
        document(&config, Operation::GetWebhookResponse, &call, instruction)
    }

    /// The document, its members in the order of the alphabet: which order they have means nothing.
    fn ncco(instruction: CallInstruction) -> String {
        fn sorted(value: Value) -> Value {
            match value {
                Value::Array(items) => items.into_iter().map(sorted).collect(),
                Value::Object(fields) => {
                    let fields: BTreeMap<String, Value> = fields.into_iter().collect();
                    fields.into_iter().map(|(name, value)| (name, sorted(value))).collect()
                }
                other => other,
            }
        }
        sorted(outcome(&instruction).unwrap()).to_string()
    }

    fn refusal(instruction: CallInstruction) -> String {
        outcome(&instruction).unwrap_err().to_string()
    }

    #[test]
    fn stream() {
        let stream = Stream::to(url("wss://voice.example.com/ws/1"))
            .with_parameter("run", "77 \"more\"")
            .with_events(url("https://voice.example.com/e"));
        assert_snapshot!(ncco(CallInstruction::Stream(stream.clone())), @r#"[{"action":"connect","endpoint":[{"content-type":"audio/l16;rate=16000","headers":{"call_uuid":"u-1","run":"77 \"more\""},"type":"websocket","uri":"wss://voice.example.com/ws/1"}],"eventUrl":["https://voice.example.com/e"]}]"#);
        let wide = stream.clone().with_preferred_format(AudioFormat::LINEAR16_24K);
        assert!(ncco(CallInstruction::Stream(wide)).contains("rate=24000"));
        let other = stream.with_preferred_format(AudioFormat::MULAW_8K);
        assert!(ncco(CallInstruction::Stream(other)).contains("rate=16000"));
    }

    #[test]
    fn stream_limits() {
        let to = |text: &str| Stream::to(url(text));
        assert_snapshot!(refusal(CallInstruction::Stream(to("https://a.test/"))), @"vonage cannot get_webhook_response: url: must start with wss://");
        let long = to("wss://a.test/").with_parameter("run", "x".repeat(500));
        assert_snapshot!(refusal(CallInstruction::Stream(long)), @"vonage cannot get_webhook_response: parameters: must not be longer than 512 bytes of JSON, all together");
        let reserved = to("wss://a.test/").with_parameter("event", "x");
        assert_snapshot!(refusal(CallInstruction::Stream(reserved)), @"vonage cannot get_webhook_response: parameters.event: is a name that Vonage or this provider uses itself");
    }

    #[test]
    fn say_and_play() {
        let say = Say::text("<Grüß> & \"tschüs\"").with_language("de-DE").with_voice("2");
        assert_snapshot!(ncco(CallInstruction::Say(say)), @r#"[{"action":"talk","language":"de-DE","style":2,"text":"<Grüß> & \"tschüs\""}]"#);
        let play = Play::url(url("https://a.test/a.mp3")).times(3).then(Then::Ask(url("https://a.test/next")));
        assert_snapshot!(ncco(CallInstruction::Play(play)), @r#"[{"action":"stream","loop":3,"streamUrl":["https://a.test/a.mp3"]},{"action":"notify","eventMethod":"POST","eventUrl":["https://a.test/next"],"payload":{"call_uuid":"u-1"}}]"#);
        assert_snapshot!(refusal(CallInstruction::Say(Say::text("x".repeat(1501)))), @"vonage cannot get_webhook_response: text: must have at most 1500 characters");
        assert_snapshot!(refusal(CallInstruction::Say(Say::text("x").with_voice("Polly"))), @"vonage cannot get_webhook_response: voice: must be the number of a style of the language");
    }

    #[test]
    fn gather() {
        let gather = GatherDigits::up_to(4, url("https://a.test/d"))
            .with_prompt(Say::text("Your PIN?"))
            .with_timeout(Duration::from_millis(2_500));
        assert_snapshot!(ncco(CallInstruction::GatherDigits(gather)), @r#"[{"action":"talk","bargeIn":true,"text":"Your PIN?"},{"action":"input","dtmf":{"maxDigits":4,"submitOnHash":true,"timeOut":3},"eventMethod":"POST","eventUrl":["https://a.test/d"],"type":["dtmf"]}]"#);
        let patient = GatherDigits::up_to(4, url("https://a.test/d")).with_timeout(Duration::from_secs(11));
        assert_snapshot!(refusal(CallInstruction::GatherDigits(patient)), @"vonage cannot get_webhook_response: timeout: must be at most 10 seconds");
        let none = GatherDigits::up_to(0, url("https://a.test/d"));
        assert_snapshot!(refusal(CallInstruction::GatherDigits(none)), @"vonage cannot get_webhook_response: max_digits: must be 1 to 20");
    }

    #[test]
    fn bridge_and_conference() {
        let number: PhoneNumber = "+12025550100".parse().unwrap();
        let bridge = Bridge::to(number)
            .with_caller_id("+13035550100".parse().unwrap())
            .with_ring_timeout(Duration::from_secs(20))
            .with_time_limit(Duration::from_secs(600))
            .with_events(url("https://a.test/e"));
        assert_snapshot!(ncco(CallInstruction::Bridge(bridge.clone())), @r#"[{"action":"connect","endpoint":[{"number":"12025550100","type":"phone"}],"eventUrl":["https://a.test/e?vonage_leg=other"],"from":"13035550100","limit":600,"timeout":20}]"#);
        let long = bridge.with_time_limit(Duration::from_secs(7201));
        assert_snapshot!(refusal(CallInstruction::Bridge(long)), @"vonage cannot get_webhook_response: time_limit: must be at most 7200 seconds");
        let sip = Bridge::to("sip:anna@example.com".parse::<Address>().unwrap());
        assert_snapshot!(ncco(CallInstruction::Bridge(sip)), @r#"[{"action":"connect","endpoint":[{"type":"sip","uri":"sip:anna@example.com"}]}]"#);
        let room = Conference::named("a&b").waiting().ending_on_exit().muted();
        assert_snapshot!(ncco(CallInstruction::Conference(room)), @r#"[{"action":"conversation","endOnExit":true,"mute":true,"name":"a&b","startOnEnter":false}]"#);
    }

    #[test]
    fn reject_and_hang_up() {
        assert_snapshot!(ncco(CallInstruction::Reject(Reject::Busy)), @r#"[{"action":"wait","timeout":0.1}]"#);
        assert_snapshot!(ncco(CallInstruction::HangUp), @r#"[{"action":"wait","timeout":0.1}]"#);
    }
}
