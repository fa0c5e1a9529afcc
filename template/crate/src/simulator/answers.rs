// [document
//! The answer document, read as strictly as the carrier reads it.
// ]
// [commands
//! The commands of a call, carried out as the carrier does.
// ]

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;
use serde_json::Value;
use telephony_core::{Url, audio::AudioFormat};
use telephony_sandbox::{Exchange, Step};

use crate::media;

// [document
/// Reads what the answer URL was answered with.
#[cfg(document)]
pub(super) fn read_answer(response: &Response<Bytes>) -> Result<Vec<Step>, String> {
    if !response.status().is_success() {
        return Err(format!("the answer URL answered with HTTP status {}", response.status().as_u16()));
    }
    read(&serde_json::from_slice(response.body()).map_err(|_| "the document is no JSON")?)
}

/// Has a live call do another document. False if the call is over or there is none.
#[cfg(document)]
pub(super) fn replace(id: &str, document: &Value, exchange: &mut Exchange) -> Result<bool, String> {
    read(document).map(|steps| exchange.instruct(id, steps))
}

/// Reads a document. Its end is the end of the call.
#[cfg(document)]
fn read(document: &Value) -> Result<Vec<Step>, String> {
    let steps = document["steps"].as_array().ok_or("the document has no steps")?;
    steps.iter().map(|step| read_step(step["do"].as_str().unwrap_or_default(), step)).collect()
}
// ]
// [commands
/// What a webhook is answered with is ignored.
#[cfg(commands)]
pub(super) fn read_answer(_: &Response<Bytes>) -> Result<Vec<Step>, String> {
    Ok(vec![Step::AwaitCommand])
}

/// Carries out a command, once for each key. False if the call is over or there is none.
#[cfg(commands)]
pub(super) fn run(id: &str, body: &Value, exchange: &mut Exchange) -> Result<bool, String> {
    let command = body["command"].as_str().unwrap_or_default();
    let steps = match read_step(command, body)? {
        Step::Say { text } => {
            let tag = body["tag"].as_str().unwrap_or_default().to_owned();
            vec![Step::Say { text }, Step::Redirect { url: tag }]
        }
        Step::Stream { url, format, parameters } => {
            vec![Step::Stream { url, format, parameters }, Step::AwaitCommand]
        }
        other => vec![other],
    };
    let Some(call) = exchange.call_mut(id).filter(|call| !call.status.is_terminal()) else { return Ok(false) };
    if let Some(key) = body["idempotency_key"].as_str() {
        let seen = call.request.notes.entry("idempotency_keys".to_owned()).or_default();
        if seen.split(' ').any(|known| known == key) {
            return Ok(true);
        }
        seen.push_str(&format!(" {key}"));
    }
    Ok(exchange.instruct(id, steps))
}
// ]

// FILL IN: what can a call be told, and what does the carrier demand of each?
fn read_step(verb: &str, step: &Value) -> Result<Step, String> {
    let text = |name: &str| step[name].as_str().filter(|text| !text.is_empty());
    let needed = |name: &str| text(name).map(str::to_owned).ok_or_else(|| format!("{verb}: {name} is required"));
    Ok(match verb {
        "stream" => Step::Stream {
            url: needed("url")?.parse::<Url>().map_err(|error| format!("stream: url: {error}"))?,
            format: format_of(&needed("format")?)?,
            parameters: parameters(&step["parameters"])?,
        },
        "say" => Step::Say { text: needed("text")? },
        // [document
        #[cfg(document)]
        "ask" => Step::Redirect { url: needed("url")? },
        // ]
        "reject" => Step::Reject { busy: needed("reason")? == "busy" },
        "hang_up" => Step::HangUp,
        other => return Err(format!("{other:?} is nothing that a call can do")),
    })
}

fn format_of(name: &str) -> Result<AudioFormat, String> {
    let known = media::FORMATS.iter().find(|format| media::name_of(**format) == name);
    known.copied().ok_or_else(|| format!("stream: there is no format {name}"))
}

fn parameters(value: &Value) -> Result<BTreeMap<String, String>, String> {
    let members = value.as_object().ok_or("stream: parameters must be an object")?;
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or("stream: parameters must be texts");
    members.iter().map(|(name, value)| Ok((name.clone(), text(value)?))).collect()
}
