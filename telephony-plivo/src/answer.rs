//! Plivo XML: what a call shall do.
//!
//! Source: <https://www.plivo.com/docs/voice/xml/overview>. The end of a document ends the call. Names differ from those of a
//! similar dialect, and are case-sensitive: `Speak`, `GetDigits`, `Wait`.

use std::time::Duration;

use telephony_core::{
    Bridge, CallInstruction, Conference, GatherDigits, Operation, PhoneNumber, Play, Reject, Say, Stream,
    TelephonyError, Then, WebhookResponse, xml::Element,
};

use crate::{DESCRIPTOR, NAME, media::stream_content_type, webhook};

/// A document must stay under 100 KB.
const LARGEST: usize = 100 * 1000;

/// All parameters of a stream together.
const LONGEST_HEADERS: usize = 512;

/// The document for an instruction, as an HTTP response.
pub(crate) fn response(instruction: &CallInstruction) -> Result<WebhookResponse, TelephonyError> {
    let invalid =
        |field: &str, reason: &str| TelephonyError::invalid_request(NAME, Operation::GetWebhookResponse, field, reason);
    let root = Element::new("Response");
    let root = match instruction {
        CallInstruction::Stream(stream) => {
            root.with(stream_element(stream).map_err(|(field, reason)| invalid(&field, reason))?)
        }
        CallInstruction::Say(say) => root.with(speak(say)).with_all(redirect(&say.then)),
        CallInstruction::Play(play) => root.with(play_element(play)).with_all(redirect(&play.then)),
        CallInstruction::GatherDigits(gather) => {
            if !matches!(gather.max_digits, 1..=20) {
                return Err(invalid("max_digits", "must be 1 to 20"));
            }
            if gather.prompt.as_ref().is_some_and(|prompt| matches!(prompt.then, Then::Ask(_))) {
                return Err(invalid("prompt.then", "has no effect: the callback is asked what follows"));
            }
            // Without digits the action is not asked, and the document goes on.
            let nothing = webhook::mark_no_digits(&gather.callback);
            root.with(get_digits(gather)).with_all(redirect(&Then::Ask(nothing)))
        }
        CallInstruction::Bridge(bridge) => root.with(dial(bridge)),
        CallInstruction::Conference(conference) => root.with(conference_element(conference)),
        CallInstruction::Reject(reason) => {
            let reason = match reason {
                Reject::Busy => "busy",
                Reject::Declined => "rejected",
            };
            root.with(Element::new("Hangup").attribute("reason", reason))
        }
        CallInstruction::HangUp => root.with(Element::new("Hangup")),
        _ => return Err(invalid("instruction", "is unknown to this version")),
    };
    let xml = root.into_xml();
    if xml.len() >= LARGEST {
        return Err(invalid("instruction", "makes a document of 100 KB or more"));
    }
    Ok(WebhookResponse::document("application/xml", xml))
}

/// What is wrong with an instruction: the field and the reason.
type Problem = (String, &'static str);

fn stream_element(stream: &Stream) -> Result<Element, Problem> {
    if !matches!(stream.url.scheme(), "wss" | "ws") {
        return Err(("url".into(), "must start with wss://"));
    }
    let formats = DESCRIPTOR.media().formats;
    let format = stream.preferred_format.filter(|format| formats.contains(format)).unwrap_or(formats[0]);
    let mut element = Element::new("Stream")
        .attribute("bidirectional", "true")
        // Otherwise what follows runs at once, and as nothing does, the call ends.
        .attribute("keepCallAlive", "true")
        .attribute("audioTrack", "inbound")
        .attribute("contentType", stream_content_type(format));
    if let Some(events) = &stream.events {
        element = element.attribute("statusCallbackUrl", events.as_str()).attribute("statusCallbackMethod", "POST");
    }
    if !stream.parameters.is_empty() {
        let headers = stream.parameters.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value)));
        let headers = headers.collect::<Vec<_>>().join(",");
        if headers.len() > LONGEST_HEADERS {
            return Err(("parameters".into(), "must not be longer than 512 bytes, escaped and all together"));
        }
        element = element.attribute("extraHeaders", headers);
    }
    Ok(element.text(stream.url.as_str()))
}

/// A list of `name=value` has no way to hold a comma, so everything but letters and digits is percent-encoded, and decoded by
/// our media codec.
fn escape(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn speak(say: &Say) -> Element {
    Element::new("Speak")
        .optional("voice", say.voice.as_deref())
        .optional("language", say.language.as_deref())
        .text(&say.text)
}

fn play_element(play: &Play) -> Element {
    let element = Element::new("Play");
    let element = if play.times > 1 { element.attribute("loop", play.times.to_string()) } else { element };
    element.text(play.url.as_str())
}

fn get_digits(gather: &GatherDigits) -> Element {
    let timeout = seconds(gather.timeout).to_string();
    Element::new("GetDigits")
        .attribute("action", gather.callback.as_str())
        .attribute("method", "POST")
        .attribute("numDigits", gather.max_digits.to_string())
        .attribute("timeout", timeout.as_str())
        .attribute("digitTimeout", timeout)
        .attribute("finishOnKey", if gather.finish_on_hash { "#" } else { "none" })
        .attribute("retries", "1")
        .with_all(gather.prompt.as_ref().map(speak))
}

fn dial(bridge: &Bridge) -> Element {
    let party = match bridge.to.as_phone() {
        Some(number) => Element::new("Number").text(number.as_e164()),
        None => Element::new("User").text(bridge.to.as_str()),
    };
    let mut dial = Element::new("Dial")
        .optional("callerId", bridge.caller_id.as_ref().map(PhoneNumber::as_e164))
        .optional("timeout", bridge.ring_timeout.map(|limit| seconds(limit).to_string()))
        .optional("timeLimit", bridge.time_limit.map(|limit| seconds(limit).to_string()));
    if let Some(events) = &bridge.events {
        dial = dial.attribute("callbackUrl", events.as_str()).attribute("callbackMethod", "POST");
    }
    dial.with(party)
}

fn conference_element(conference: &Conference) -> Element {
    Element::new("Conference")
        .attribute("startConferenceOnEnter", conference.start_on_enter.to_string())
        .attribute("endConferenceOnExit", conference.end_on_exit.to_string())
        .attribute("muted", conference.muted.to_string())
        .text(&conference.name)
}

fn redirect(then: &Then) -> Option<Element> {
    match then {
        Then::HangUp => None,
        Then::Ask(url) => Some(Element::new("Redirect").attribute("method", "POST").text(url.as_str())),
    }
}

/// Whole seconds, begun ones counted.
pub(crate) fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use telephony_core::{Address, Url, audio::AudioFormat};

    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn xml(instruction: CallInstruction) -> String {
        let body = response(&instruction).unwrap().body;
        let xml = String::from_utf8(body.to_vec()).unwrap();
        xml.strip_prefix(r#"<?xml version="1.0" encoding="UTF-8"?>"#).unwrap().to_owned()
    }

    fn refusal(instruction: CallInstruction) -> String {
        response(&instruction).unwrap_err().to_string()
    }

    #[test]
    fn stream() {
        let stream = Stream::to(url("wss://voice.example.com/ws/1?c=7"))
            .with_parameter("run", "7, \"7\"")
            .with_preferred_format(AudioFormat::LINEAR16_16K)
            .with_events(url("https://voice.example.com/e?a=1&b=2"));
        assert_snapshot!(xml(CallInstruction::Stream(stream)), @r#"<Response><Stream bidirectional="true" keepCallAlive="true" audioTrack="inbound" contentType="audio/x-l16;rate=16000" statusCallbackUrl="https://voice.example.com/e?a=1&amp;b=2" statusCallbackMethod="POST" extraHeaders="run=7%2C+%227%22">wss://voice.example.com/ws/1?c=7</Stream></Response>"#);
        let long = Stream::to(url("wss://a.test/")).with_parameter("run", "x".repeat(510));
        assert_snapshot!(refusal(CallInstruction::Stream(long)), @"plivo cannot get_webhook_response: parameters: must not be longer than 512 bytes, escaped and all together");
        assert_snapshot!(refusal(CallInstruction::Stream(Stream::to(url("https://a.test/")))), @"plivo cannot get_webhook_response: url: must start with wss://");
    }

    #[test]
    fn say_play_and_gather() {
        let say = Say::text("<Grüß> & tschüs").with_language("de-DE").with_voice("Polly.Vicki");
        assert_snapshot!(xml(CallInstruction::Say(say)), @r#"<Response><Speak voice="Polly.Vicki" language="de-DE">&lt;Grüß&gt; &amp; tschüs</Speak></Response>"#);
        let play = Play::url(url("https://a.test/a.mp3")).times(3).then(Then::Ask(url("https://a.test/next")));
        assert_snapshot!(xml(CallInstruction::Play(play)), @r#"<Response><Play loop="3">https://a.test/a.mp3</Play><Redirect method="POST">https://a.test/next</Redirect></Response>"#);
        let gather = GatherDigits::up_to(4, url("https://a.test/d")).with_prompt(Say::text("PIN?"));
        assert_snapshot!(xml(CallInstruction::GatherDigits(gather)), @r##"<Response><GetDigits action="https://a.test/d" method="POST" numDigits="4" timeout="5" digitTimeout="5" finishOnKey="#" retries="1"><Speak>PIN?</Speak></GetDigits><Redirect method="POST">https://a.test/d?plivo_digits=none</Redirect></Response>"##);
    }

    #[test]
    fn bridge_conference_and_the_end() {
        let bridge = Bridge::to("+12025550100".parse::<PhoneNumber>().unwrap())
            .with_caller_id("+13035550100".parse().unwrap())
            .with_ring_timeout(Duration::from_secs(20))
            .with_events(url("https://a.test/e"));
        assert_snapshot!(xml(CallInstruction::Bridge(bridge)), @r#"<Response><Dial callerId="+13035550100" timeout="20" callbackUrl="https://a.test/e" callbackMethod="POST"><Number>+12025550100</Number></Dial></Response>"#);
        let sip = Bridge::to("sip:anna@example.com".parse::<Address>().unwrap());
        assert_snapshot!(xml(CallInstruction::Bridge(sip)), @"<Response><Dial><User>sip:anna@example.com</User></Dial></Response>");
        assert_snapshot!(xml(CallInstruction::Conference(Conference::named("a&b").muted())), @r#"<Response><Conference startConferenceOnEnter="true" endConferenceOnExit="false" muted="true">a&amp;b</Conference></Response>"#);
        assert_snapshot!(xml(CallInstruction::Reject(Reject::Declined)), @r#"<Response><Hangup reason="rejected"/></Response>"#);
        assert_snapshot!(xml(CallInstruction::HangUp), @"<Response><Hangup/></Response>");
    }
}
