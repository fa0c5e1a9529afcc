//! TwiML: what a call shall do, as XML.
//!
//! Source: <https://www.twilio.com/docs/voice/twiml>. The end of a document ends the call, so nothing has to say it.

use std::time::Duration;

use telephony_core::{
    Address, Bridge, CallInstruction, Conference, GatherDigits, Operation, PhoneNumber, Play, Reject, Say, Stream,
    TelephonyError, Then, TransferRequest, Url, WebhookResponse, xml::Element,
};

use crate::NAME;

/// A document may have 64 kB. Source: <https://www.twilio.com/docs/api/errors/11750>
const LARGEST: usize = 64 * 1024;

/// Name and value of a stream parameter together. Source: <https://www.twilio.com/docs/voice/twiml/stream#custom-parameters>
const LONGEST_PARAMETER: usize = 500;

/// The document for an instruction, as an HTTP response.
pub(crate) fn response(instruction: &CallInstruction) -> Result<WebhookResponse, TelephonyError> {
    document(Operation::GetWebhookResponse, instruction).map(|xml| WebhookResponse::document("text/xml", xml))
}

/// The document for an instruction.
pub(crate) fn document(operation: Operation, instruction: &CallInstruction) -> Result<String, TelephonyError> {
    let invalid = |field: &str, reason: &str| TelephonyError::invalid_request(NAME, operation, field, reason);
    let root = Element::new("Response");
    let root = match instruction {
        CallInstruction::Stream(stream) => {
            check_stream(stream).map_err(|(field, reason)| invalid(&field, reason))?;
            root.with(Element::new("Connect").with(stream_element(stream)))
        }
        CallInstruction::Say(say) => root.with(say_element(say)).with_all(redirect(&say.then)),
        CallInstruction::Play(play) => root.with(play_element(play)).with_all(redirect(&play.then)),
        CallInstruction::GatherDigits(gather) => {
            if !matches!(gather.max_digits, 1..=20) {
                return Err(invalid("max_digits", "must be 1 to 20"));
            }
            if gather.prompt.as_ref().is_some_and(|prompt| matches!(prompt.then, Then::Ask(_))) {
                return Err(invalid("prompt.then", "has no effect: the callback is asked what follows"));
            }
            root.with(gather_element(gather))
        }
        CallInstruction::Bridge(bridge) => root.with(bridge_element(bridge)),
        CallInstruction::Conference(conference) => root.with(conference_element(conference)),
        CallInstruction::Reject(reason) => {
            let reason = match reason {
                Reject::Busy => "busy",
                Reject::Declined => "rejected",
            };
            root.with(Element::new("Reject").attribute("reason", reason))
        }
        CallInstruction::HangUp => root.with(Element::new("Hangup")),
        _ => return Err(invalid("instruction", "is unknown to this version")),
    };
    let xml = root.into_xml();
    if xml.len() > LARGEST {
        return Err(invalid("instruction", "makes a document larger than 64 kB"));
    }
    Ok(xml)
}

/// The document that connects a live call to somebody else.
pub(crate) fn transfer(transfer: &TransferRequest) -> String {
    let dial = dial_element(transfer.caller_id.as_ref(), transfer.ring_timeout, None);
    let dial = dial.with(party(&transfer.to, transfer.events.as_ref()));
    Element::new("Response").with(dial).into_xml()
}

/// The document that plays DTMF, then has the answer URL asked again.
pub(crate) fn digits(digits: &str, then: &str) -> String {
    Element::new("Response")
        .with(Element::new("Play").attribute("digits", digits))
        .with(Element::new("Redirect").attribute("method", "POST").text(then))
        .into_xml()
}

fn check_stream(stream: &Stream) -> Result<(), (String, &'static str)> {
    if !matches!(stream.url.scheme(), "wss" | "ws") {
        return Err(("url".into(), "must start with wss://"));
    }
    if stream.url.query().is_some() {
        return Err(("url".into(), "must have no query: Twilio drops it; use parameters"));
    }
    for (name, value) in &stream.parameters {
        if name.len() + value.len() >= LONGEST_PARAMETER {
            return Err((format!("parameters.{name}"), "must be shorter than 500 characters, name and value together"));
        }
    }
    Ok(())
}

fn stream_element(stream: &Stream) -> Element {
    let mut element = Element::new("Stream").attribute("url", stream.url.as_str());
    if let Some(events) = &stream.events {
        element = element.attribute("statusCallback", events.as_str()).attribute("statusCallbackMethod", "POST");
    }
    let parameters = stream.parameters.iter();
    element.with_all(
        parameters.map(|(name, value)| Element::new("Parameter").attribute("name", name).attribute("value", value)),
    )
}

fn say_element(say: &Say) -> Element {
    Element::new("Say")
        .optional("voice", say.voice.as_deref())
        .optional("language", say.language.as_deref())
        .text(&say.text)
}

fn play_element(play: &Play) -> Element {
    let element = Element::new("Play");
    let element = if play.times > 1 { element.attribute("loop", play.times.to_string()) } else { element };
    element.text(play.url.as_str())
}

fn gather_element(gather: &GatherDigits) -> Element {
    Element::new("Gather")
        .attribute("input", "dtmf")
        .attribute("numDigits", gather.max_digits.to_string())
        .attribute("timeout", seconds(gather.timeout).to_string())
        .attribute("finishOnKey", if gather.finish_on_hash { "#" } else { "" })
        .attribute("action", gather.callback.as_str())
        .attribute("method", "POST")
        // Without it, no digits means that the callback is never asked and the call ends.
        .attribute("actionOnEmptyResult", "true")
        .with_all(gather.prompt.as_ref().map(say_element))
}

fn bridge_element(bridge: &Bridge) -> Element {
    dial_element(bridge.caller_id.as_ref(), bridge.ring_timeout, bridge.time_limit)
        .with(party(&bridge.to, bridge.events.as_ref()))
}

fn dial_element(
    caller_id: Option<&PhoneNumber>,
    ring_timeout: Option<Duration>,
    time_limit: Option<Duration>,
) -> Element {
    Element::new("Dial")
        .optional("callerId", caller_id.map(PhoneNumber::as_e164))
        .optional("timeout", ring_timeout.map(|limit| seconds(limit).to_string()))
        .optional("timeLimit", time_limit.map(|limit| seconds(limit).to_string()))
        // The caller hears the other side ring, and an inbound call is answered only when they answer.
        .attribute("answerOnBridge", "true")
}

fn party(to: &Address, events: Option<&Url>) -> Element {
    let name = if to.as_phone().is_some() { "Number" } else { "Sip" };
    let element = Element::new(name).text(to.as_str());
    match events {
        Some(events) => element
            .attribute("statusCallback", events.as_str())
            .attribute("statusCallbackEvent", "initiated ringing answered completed"),
        None => element,
    }
}

fn conference_element(conference: &Conference) -> Element {
    let room = Element::new("Conference")
        .attribute("startConferenceOnEnter", conference.start_on_enter.to_string())
        .attribute("endConferenceOnExit", conference.end_on_exit.to_string())
        .attribute("muted", conference.muted.to_string())
        .attribute("beep", "false")
        .text(&conference.name);
    Element::new("Dial").with(room)
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
    use telephony_core::audio::AudioFormat;

    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn xml(instruction: CallInstruction) -> String {
        let xml = document(Operation::GetWebhookResponse, &instruction).unwrap();
        xml.strip_prefix(r#"<?xml version="1.0" encoding="UTF-8"?>"#).unwrap().to_owned()
    }

    fn refusal(instruction: CallInstruction) -> String {
        document(Operation::GetWebhookResponse, &instruction).unwrap_err().to_string()
    }

    #[test]
    fn stream() {
        let stream = Stream::to(url("wss://voice.example.com/ws/1"))
            .with_parameter("run", "77 & \"more\"")
            .with_preferred_format(AudioFormat::LINEAR16_16K)
            .with_events(url("https://voice.example.com/e?a=1&b=2"));
        assert_snapshot!(xml(CallInstruction::Stream(stream)), @r#"<Response><Connect><Stream url="wss://voice.example.com/ws/1" statusCallback="https://voice.example.com/e?a=1&amp;b=2" statusCallbackMethod="POST"><Parameter name="run" value="77 &amp; &quot;more&quot;"/></Stream></Connect></Response>"#);
    }

    #[test]
    fn stream_limits() {
        let to = |text: &str| Stream::to(url(text));
        assert_snapshot!(refusal(CallInstruction::Stream(to("wss://a.test/?run=1"))), @"twilio cannot get_webhook_response: url: must have no query: Twilio drops it; use parameters");
        assert_snapshot!(refusal(CallInstruction::Stream(to("https://a.test/"))), @"twilio cannot get_webhook_response: url: must start with wss://");
        let long = to("wss://a.test/").with_parameter("run", "x".repeat(497));
        assert_snapshot!(refusal(CallInstruction::Stream(long)), @"twilio cannot get_webhook_response: parameters.run: must be shorter than 500 characters, name and value together");
    }

    #[test]
    fn say_and_play() {
        let say = Say::text("<Grüß> & \u{0}\u{b}\u{ffff}tschüs").with_language("de-DE").with_voice("Polly.Vicki");
        assert_snapshot!(xml(CallInstruction::Say(say)), @r#"<Response><Say voice="Polly.Vicki" language="de-DE">&lt;Grüß&gt; &amp; tschüs</Say></Response>"#);
        let ask = Then::Ask(url("https://a.test/next?x=1&y=2"));
        let play = Play::url(url("https://a.test/a.wav")).times(3).then(ask);
        assert_snapshot!(xml(CallInstruction::Play(play)), @r#"<Response><Play loop="3">https://a.test/a.wav</Play><Redirect method="POST">https://a.test/next?x=1&amp;y=2</Redirect></Response>"#);
        let long = Say::text("x".repeat(70_000));
        assert_snapshot!(refusal(CallInstruction::Say(long)), @"twilio cannot get_webhook_response: instruction: makes a document larger than 64 kB");
    }

    #[test]
    fn gather() {
        let gather = GatherDigits::up_to(4, url("https://a.test/d"))
            .with_prompt(Say::text("Your PIN?"))
            .with_timeout(Duration::from_millis(2_500));
        assert_snapshot!(xml(CallInstruction::GatherDigits(gather)), @r##"<Response><Gather input="dtmf" numDigits="4" timeout="3" finishOnKey="#" action="https://a.test/d" method="POST" actionOnEmptyResult="true"><Say>Your PIN?</Say></Gather></Response>"##);
        let none = GatherDigits::up_to(0, url("https://a.test/d"));
        assert_snapshot!(refusal(CallInstruction::GatherDigits(none)), @"twilio cannot get_webhook_response: max_digits: must be 1 to 20");
    }

    #[test]
    fn bridge_and_conference() {
        let number: PhoneNumber = "+12025550100".parse().unwrap();
        let bridge = Bridge::to(number.clone())
            .with_caller_id("+13035550100".parse().unwrap())
            .with_ring_timeout(Duration::from_secs(20))
            .with_time_limit(Duration::from_secs(600))
            .with_events(url("https://a.test/e"));
        assert_snapshot!(xml(CallInstruction::Bridge(bridge)), @r#"<Response><Dial callerId="+13035550100" timeout="20" timeLimit="600" answerOnBridge="true"><Number statusCallback="https://a.test/e" statusCallbackEvent="initiated ringing answered completed">+12025550100</Number></Dial></Response>"#);
        let sip = Bridge::to("sip:anna@example.com".parse::<Address>().unwrap());
        assert_snapshot!(xml(CallInstruction::Bridge(sip)), @r#"<Response><Dial answerOnBridge="true"><Sip>sip:anna@example.com</Sip></Dial></Response>"#);
        let room = Conference::named("a&b").waiting().ending_on_exit().muted();
        assert_snapshot!(xml(CallInstruction::Conference(room)), @r#"<Response><Dial><Conference startConferenceOnEnter="false" endConferenceOnExit="true" muted="true" beep="false">a&amp;b</Conference></Dial></Response>"#);
    }

    #[test]
    fn reject_and_hang_up() {
        assert_snapshot!(xml(CallInstruction::Reject(Reject::Busy)), @r#"<Response><Reject reason="busy"/></Response>"#);
        assert_snapshot!(xml(CallInstruction::Reject(Reject::Declined)), @r#"<Response><Reject reason="rejected"/></Response>"#);
        assert_snapshot!(xml(CallInstruction::HangUp), @"<Response><Hangup/></Response>");
        let response = response(&CallInstruction::HangUp).unwrap();
        assert_eq!((response.status.as_u16(), response.content_type), (200, Some("text/xml")));
    }

    #[test]
    fn documents_for_live_calls() {
        let call = telephony_core::CallRef::new("CA1".parse().unwrap());
        let request = TransferRequest::new(call, "+12025550100".parse::<PhoneNumber>().unwrap());
        assert_snapshot!(transfer(&request), @r#"<?xml version="1.0" encoding="UTF-8"?><Response><Dial answerOnBridge="true"><Number>+12025550100</Number></Dial></Response>"#);
        assert_snapshot!(digits("ww12#", "https://a.test/answer"), @r##"<?xml version="1.0" encoding="UTF-8"?><Response><Play digits="ww12#"/><Redirect method="POST">https://a.test/answer</Redirect></Response>"##);
    }
}
