//! Instructions as the carrier's answer document: JSON, `{"steps": [{"do": …}, …]}`. The end of the document ends the call.
//!
//! FILL IN: what does the carrier's document look like, and which content type has it (`provider.rs`)? XML is written with
//! `telephony_core::xml`, the feature `xml` of core. Where is that documented? Which limits does it set? What is too long for it is
//! refused here, by field, and never sent.
//!
//! Source: <https://example.com/docs/voice/documents>

use serde_json::{Value, json};
use telephony_core::{CallInstruction, Operation, Reject, Say, Stream, TelephonyError, Then};

use crate::{DESCRIPTOR, NAME, media};

/// The longest text that is spoken.
const LONGEST_TEXT: usize = 3_000;

/// The document for an instruction.
pub(crate) fn document(operation: Operation, instruction: &CallInstruction) -> Result<Value, TelephonyError> {
    DESCRIPTOR.require(instruction.capability())?;
    let invalid = |field: &str, reason: String| TelephonyError::invalid_request(NAME, operation, field, reason);
    let steps = match instruction {
        CallInstruction::Stream(stream) => vec![self::stream(stream).map_err(|reason| invalid("url", reason))?],
        CallInstruction::Say(say) => self::say(say).map_err(|reason| invalid("text", reason))?,
        CallInstruction::Reject(Reject::Busy) => vec![json!({"do": "reject", "reason": "busy"})],
        CallInstruction::Reject(Reject::Declined) => vec![json!({"do": "reject", "reason": "declined"})],
        CallInstruction::HangUp => vec![json!({"do": "hang_up"})],
        _ => return Err(invalid("instruction", "is unknown to this version".to_owned())),
    };
    Ok(json!({"steps": steps}))
}

fn stream(stream: &Stream) -> Result<Value, String> {
    if !matches!(stream.url.scheme(), "wss" | "ws") {
        return Err("must start with wss://".to_owned());
    }
    // FILL IN: is there a URL that is told about the stream (`stream.events`)? Does the carrier read on while it streams? Then a long
    // pause has to follow, and the call stays up when the stream is over (`MEDIA` in `lib.rs`).
    let format = media::choose(stream.preferred_format);
    Ok(json!({
        "do": "stream", "url": stream.url, "format": media::name_of(format), "parameters": stream.parameters,
    }))
}

fn say(say: &Say) -> Result<Vec<Value>, String> {
    if !matches!(say.text.chars().count(), 1..=LONGEST_TEXT) {
        return Err(format!("must have 1 to {LONGEST_TEXT} characters"));
    }
    // FILL IN: how are voice and language chosen?
    let spoken = json!({"do": "say", "text": say.text, "language": say.language, "voice": say.voice});
    let next = match &say.then {
        Then::Ask(url) => Some(json!({"do": "ask", "url": url})),
        _ => None,
    };
    Ok([spoken].into_iter().chain(next).collect())
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    fn written(instruction: CallInstruction) -> Value {
        document(Operation::GetWebhookResponse, &instruction).unwrap()
    }

    #[test]
    fn documents_as_the_carrier_documents_them() {
        let next = "https://voice.example.com/next?a=1&b=2".parse().unwrap();
        assert_eq!(
            written(CallInstruction::Say(Say::text("Hello").then(Then::Ask(next)))),
            json!({"steps": [
                {"do": "say", "text": "Hello", "language": null, "voice": null},
                {"do": "ask", "url": "https://voice.example.com/next?a=1&b=2"},
            ]})
        );
        let stream = Stream::to("wss://voice.example.com/media/1".parse().unwrap()).with_parameter("run", "7");
        assert_eq!(
            written(CallInstruction::Stream(stream)),
            json!({"steps": [{
                "do": "stream", "url": "wss://voice.example.com/media/1", "format": media::name_of(media::FORMATS[0]),
                "parameters": {"run": "7"},
            }]})
        );
    }

    #[test]
    fn what_the_carrier_would_refuse_is_named() {
        let mute = document(Operation::GetWebhookResponse, &CallInstruction::Say(Say::text("")));
        assert!(matches!(mute, Err(TelephonyError::InvalidRequest { problem, .. }) if problem.field == "text"));
    }
}
