//! Instructions as commands: what a webhook is answered with is ignored, and each step is a request.
//!
//! A command is carried out when it is accepted, and replaces what the call was doing; one that comes to a ringing call answers
//! it. Its end is told by webhook. What shall follow goes along in its `tag`, which comes back then: nobody has to remember it.
//!
//! FILL IN: what are the carrier's commands, must a call be answered before, and what does the carrier repeat to us? Where is that
//! documented? Which limits does it set? What is too long for it is refused here, by field, and never sent.
//!
//! Source: <https://example.com/docs/voice/commands>

use serde_json::{Value, json};
use telephony_core::{CallInstruction, Due, Operation, Reject, Say, Stream, TelephonyError};

use crate::{DESCRIPTOR, NAME, media};

/// The longest text that is spoken.
const LONGEST_TEXT: usize = 3_000;

/// One command of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Command {
    name: &'static str,
    arguments: Value,
}

impl Command {
    fn new(name: &'static str, arguments: Value) -> Self {
        Self { name, arguments }
    }

    /// The body of the request.
    pub(crate) fn body(&self) -> Value {
        let mut body = self.arguments.clone();
        body["command"] = self.name.into();
        body
    }
}

/// The command for an instruction.
pub(crate) fn command(operation: Operation, instruction: &CallInstruction) -> Result<Command, TelephonyError> {
    DESCRIPTOR.require(instruction.capability())?;
    let invalid = |field: &str, reason: String| TelephonyError::invalid_request(NAME, operation, field, reason);
    Ok(match instruction {
        CallInstruction::Stream(stream) => self::stream(stream).map_err(|reason| invalid("url", reason))?,
        CallInstruction::Say(say) => self::say(say).map_err(|reason| invalid("text", reason))?,
        CallInstruction::Reject(Reject::Busy) => Command::new("reject", json!({"reason": "busy"})),
        CallInstruction::Reject(Reject::Declined) => Command::new("reject", json!({"reason": "declined"})),
        CallInstruction::HangUp => Command::new("hang_up", json!({})),
        _ => return Err(invalid("instruction", "is unknown to this version".to_owned())),
    })
}

fn stream(stream: &Stream) -> Result<Command, String> {
    if !matches!(stream.url.scheme(), "wss" | "ws") {
        return Err("must start with wss://".to_owned());
    }
    // FILL IN: is there a URL that is told about the stream (`stream.events`)?
    let format = media::choose(stream.preferred_format);
    let arguments = json!({"url": stream.url, "format": media::name_of(format), "parameters": stream.parameters});
    Ok(Command::new("stream", arguments))
}

fn say(say: &Say) -> Result<Command, String> {
    if !matches!(say.text.chars().count(), 1..=LONGEST_TEXT) {
        return Err(format!("must have 1 to {LONGEST_TEXT} characters"));
    }
    // FILL IN: how are voice and language chosen?
    let due = serde_json::to_string(&Due::from(&say.then)).map_err(|error| error.to_string())?;
    let arguments = json!({"text": say.text, "language": say.language, "voice": say.voice, "tag": due});
    Ok(Command::new("say", arguments))
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use telephony_core::Then;

    use super::*;

    fn body(instruction: CallInstruction) -> Value {
        command(Operation::GetWebhookResponse, &instruction).unwrap().body()
    }

    #[test]
    fn commands_as_the_carrier_documents_them() {
        let next = "https://voice.example.com/next?a=1&b=2".parse().unwrap();
        assert_eq!(
            body(CallInstruction::Say(Say::text("Hello").then(Then::Ask(next)))),
            json!({
                "command": "say", "text": "Hello", "language": null, "voice": null,
                "tag": r#"{"ask":"https://voice.example.com/next?a=1&b=2"}"#,
            })
        );
        let stream = Stream::to("wss://voice.example.com/media/1".parse().unwrap()).with_parameter("run", "7");
        assert_eq!(
            body(CallInstruction::Stream(stream)),
            json!({
                "command": "stream", "url": "wss://voice.example.com/media/1",
                "format": media::name_of(media::FORMATS[0]), "parameters": {"run": "7"},
            })
        );
    }

    #[test]
    fn what_the_carrier_would_refuse_is_named() {
        let mute = command(Operation::GetWebhookResponse, &CallInstruction::Say(Say::text("")));
        assert!(matches!(mute, Err(TelephonyError::InvalidRequest { problem, .. }) if problem.field == "text"));
    }
}
