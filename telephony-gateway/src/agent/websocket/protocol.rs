//! Our own protocol between the gateway and an agent: `docs/agent-protocol.md` says it in words.
//!
//! Binary messages are audio, text messages are the events here. What the gateway says is lenient to read, since it may grow;
//! what an agent says is read strictly, so that a mistake is told instead of overlooked.

use std::{collections::BTreeMap, fmt};

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use telephony_core::{Address, Direction};

use crate::agent::StopReason;

/// The version of the protocol. It grows when an agent that was written for the one before could misunderstand; a new event,
/// or a new member of one, does not change it.
pub const PROTOCOL_VERSION: u32 = 1;

/// The longest name of a mark, and the longest `id` of a request, in bytes. Names come back in events; this keeps those short.
pub const LONGEST_NAME: usize = 256;

/// The longest time that `hang_up` may name, in milliseconds: a day. Calls are shorter.
pub const LONGEST_WITHIN_MS: u64 = 86_400_000;

/// So much of an unknown word is repeated in an error.
const LONGEST_QUOTE: usize = 64;

/// What the gateway tells an agent.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum GatewayEvent {
    /// The call has begun. The first message; audio follows.
    Start(Box<Start>),
    /// The caller pressed a key.
    Digit {
        /// `0` to `9`, `A` to `D`, `*` or `#`.
        digit: char,
    },
    /// A mark that the agent set was reached, or cleared away.
    Mark {
        /// Its name.
        name: String,
        /// Whether the caller has heard everything that was said before it. False if a part of that was cleared away.
        heard: bool,
    },
    /// What was said and not yet heard was thrown away, as the agent asked with `clear`.
    Cleared {
        /// How much that was, in milliseconds: the caller heard everything that was said but so much of its end.
        unheard_ms: u64,
    },
    /// A request of the agent was carried out.
    Done {
        /// The event that asked for it.
        about: String,
        /// The request's `id`, if it had one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// Something that the agent said was not understood, or not carried out. The call goes on, as if it had not been said.
    Error(Problem),
    /// The call is over. The last message: close the socket.
    Stop {
        /// Why.
        reason: StopReason,
    },
}

/// The first event: the call and its audio.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Start {
    /// The version of this protocol: 1.
    pub version: u32,
    /// Samples per second of the audio, both ways: 16-bit signed integers, little-endian, one channel.
    pub sample_rate_hz: u32,
    /// The gateway's id of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The carrier's id of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// The carrier that the call goes through, by its one word.
    pub provider: String,
    /// Which way the call goes.
    #[schemars(with = "DirectionWord")]
    pub direction: Direction,
    /// Who calls: a telephone number in E.164 or a SIP URI, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub from: Option<Address>,
    /// Who is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub to: Option<Address>,
    /// What was given along with the call.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// How a direction is written: the core's type has no schema.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used")]
enum DirectionWord {
    /// Somebody called us.
    Inbound,
    /// We called.
    Outbound,
}

/// What is wrong with something that the agent said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Problem {
    /// The event that it is about, as the agent wrote it; absent for audio, and for what has no event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The request's `id`, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The field that is wrong: a member of the event, `message` for the whole text, `audio` for a binary message.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What an agent tells the gateway.
#[derive(Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum AgentCommand {
    /// Asks to be told when the caller has heard everything said so far.
    Mark {
        /// Comes back in the `mark` event. At most 256 bytes; names need not differ.
        #[schemars(length(max = LONGEST_NAME))]
        name: String,
    },
    /// Falls silent at once: what was said and not yet heard is thrown away.
    Clear {},
    /// Hangs up once the caller has heard everything said so far. What is said after this is not heard.
    HangUp {
        /// But after so many milliseconds at the latest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = LONGEST_WITHIN_MS))]
        within_ms: Option<u64>,
    },
    /// Connects the caller to somebody else. Answered with `done` or `error`.
    Transfer {
        /// To whom: a telephone number in E.164 or a SIP URI.
        #[schemars(with = "String", regex(pattern = r"^(\+[1-9][0-9]{0,14}|[sS][iI][pP][sS]?:.+)$"))]
        to: Address,
        /// Comes back in the answer. At most 256 bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(max = LONGEST_NAME))]
        id: Option<String>,
    },
    /// Sends DTMF to the caller. Answered with `done` or `error`.
    SendDigits {
        /// 1 to 64 of `0` to `9`, `A` to `D`, `#`, `*` and `w`, half a second of pause.
        #[schemars(regex(pattern = r"^[0-9A-Da-d#*wW]{1,64}$"))]
        digits: String,
        /// Comes back in the answer. At most 256 bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(max = LONGEST_NAME))]
        id: Option<String>,
    },
}

/// The words of [`AgentCommand`], for those who use another.
const COMMANDS: &str = "mark, clear, hang_up, transfer, send_digits";

impl AgentCommand {
    /// Reads a text message.
    ///
    /// # Errors
    ///
    /// [`Problem`], naming the field.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            Problem::of("message", format!("is not JSON at line {}, column {}", error.line(), error.column()))
        })?;
        let Value::Object(members) = value else { return Err(Problem::of("message", "is no JSON object")) };
        let mut fields = Fields { members, id: None };
        let event: String = fields.required("event")?;
        Self::read(&event, &mut fields).map_err(|mut problem| {
            problem.id = fields.id.take();
            problem.about = Some(shortened(&event));
            problem
        })
    }

    fn read(event: &str, fields: &mut Fields) -> Result<Self, Problem> {
        let command = match event {
            "mark" => Self::Mark { name: short("name", fields.required("name")?)? },
            "clear" => Self::Clear {},
            "hang_up" => {
                let within_ms: Option<u64> = fields.optional("within_ms")?;
                if within_ms.is_some_and(|limit| limit > LONGEST_WITHIN_MS) {
                    return Err(Problem::of("within_ms", format!("is more than a day, {LONGEST_WITHIN_MS}")));
                }
                Self::HangUp { within_ms }
            }
            "transfer" => {
                let id = fields.read_id()?;
                Self::Transfer { to: fields.required("to")?, id }
            }
            "send_digits" => {
                let id = fields.read_id()?;
                Self::SendDigits { digits: fields.required("digits")?, id }
            }
            other => {
                return Err(Problem::of("event", format!("is {:?}, and must be one of {COMMANDS}", shortened(other))));
            }
        };
        match fields.members.keys().next() {
            Some(unknown) => Err(Problem::of(shortened(unknown), format!("is not known to {event}"))),
            None => Ok(command),
        }
    }
}

/// The members of an event that have not been read yet.
struct Fields {
    members: Map<String, Value>,
    /// The request's id, once it has been read: it belongs into the answer whatever else is wrong.
    id: Option<String>,
}

impl Fields {
    fn required<T: DeserializeOwned>(&mut self, field: &'static str) -> Result<T, Problem> {
        self.optional(field)?.ok_or_else(|| Problem::of(field, "is missing"))
    }

    /// A member that may be missing, or null.
    fn optional<T: DeserializeOwned>(&mut self, field: &'static str) -> Result<Option<T>, Problem> {
        let value = self.members.remove(field).unwrap_or(Value::Null);
        serde_json::from_value(value).map_err(|error| Problem::of(field, shortened(&error.to_string())))
    }

    fn read_id(&mut self) -> Result<Option<String>, Problem> {
        self.id = self.optional("id")?.map(|id| short("id", id)).transpose()?;
        Ok(self.id.clone())
    }
}

fn short(field: &'static str, text: String) -> Result<String, Problem> {
    if text.len() > LONGEST_NAME {
        return Err(Problem::of(field, format!("has {} bytes, and at most {LONGEST_NAME} are allowed", text.len())));
    }
    Ok(text)
}

/// The beginning of what an agent wrote, to be said back to it.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Problem {
    pub(super) fn of(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { about: None, id: None, field: field.into(), reason: reason.into() }
    }
}

/// Names the event and nothing in it: numbers, digits and parameters are between the caller and the agent.
impl fmt::Debug for GatewayEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start(_) => "GatewayEvent::Start",
            Self::Digit { .. } => "GatewayEvent::Digit",
            Self::Mark { .. } => "GatewayEvent::Mark",
            Self::Cleared { .. } => "GatewayEvent::Cleared",
            Self::Done { .. } => "GatewayEvent::Done",
            Self::Error(_) => "GatewayEvent::Error",
            Self::Stop { .. } => "GatewayEvent::Stop",
        })
    }
}

/// See [`GatewayEvent`].
impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start").field("run_id", &self.run_id).finish_non_exhaustive()
    }
}

/// See [`GatewayEvent`].
impl fmt::Debug for AgentCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mark { .. } => "AgentCommand::Mark",
            Self::Clear {} => "AgentCommand::Clear",
            Self::HangUp { .. } => "AgentCommand::HangUp",
            Self::Transfer { .. } => "AgentCommand::Transfer",
            Self::SendDigits { .. } => "AgentCommand::SendDigits",
        })
    }
}

/// The JSON Schema of every text message of the protocol, both ways: `docs/agent-protocol.schema.json`.
#[must_use]
pub fn schema() -> Value {
    // What the gateway says is described as it is written, what an agent says as it is read.
    let says = definitions::<GatewayEvent>(SchemaSettings::draft2020_12().for_serialize());
    let hears = definitions::<AgentCommand>(SchemaSettings::draft2020_12());
    let definitions: BTreeMap<String, Value> = says.into_iter().chain(hears).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("Text messages between the gateway and an agent, version {PROTOCOL_VERSION}"),
        "description": "GatewayEvent is what the gateway says, AgentCommand what an agent says. See agent-protocol.md.",
        "anyOf": [{"$ref": "#/$defs/GatewayEvent"}, {"$ref": "#/$defs/AgentCommand"}],
        "$defs": definitions,
    })
}

fn definitions<T: JsonSchema>(settings: SchemaSettings) -> Map<String, Value> {
    let mut generator: SchemaGenerator = settings.into_generator();
    generator.subschema_for::<T>();
    generator.take_definitions(true)
}

/// What is wrong with a message by the schema: the first complaint.
#[cfg(test)]
pub(super) fn complaint(definition: &str, message: &Value) -> Option<String> {
    let mut schema = schema();
    schema["anyOf"] = json!([{"$ref": format!("#/$defs/{definition}")}]);
    let validator = jsonschema::validator_for(&schema).expect("it is a schema");
    validator.iter_errors(message).next().map(|error| format!("{message}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    const SCHEMA: &str = "docs/agent-protocol.schema.json";
    const DOCUMENT: &str = "docs/agent-protocol.md";

    fn file(path: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
    }

    /// What an agent is told that says this: where, and why.
    fn refused(text: &str) -> (Option<String>, Option<String>, String, String) {
        let problem = AgentCommand::parse(text).expect_err(text);
        (problem.about, problem.id, problem.field, problem.reason)
    }

    #[test]
    fn the_schema_is_that_of_the_types() {
        let generated = schema();
        // As values: in which order members stand depends on what else is built.
        let is_kept = || {
            let kept = std::fs::read_to_string(file(SCHEMA)).unwrap_or_default();
            serde_json::from_str::<Value>(&kept).is_ok_and(|kept| kept == generated)
        };
        if std::env::var_os("UPDATE_AGENT_PROTOCOL").is_some() && !is_kept() {
            std::fs::write(file(SCHEMA), format!("{generated:#}\n")).unwrap();
        }
        assert!(is_kept(), "{SCHEMA} is out of date; run this test with UPDATE_AGENT_PROTOCOL=1");
    }

    #[test]
    fn the_examples_of_the_document_are_read() {
        let document = std::fs::read_to_string(file(DOCUMENT)).unwrap();
        let mut events = std::collections::BTreeSet::new();
        // Marked as `json gateway` or `json agent`; each line of one is a message.
        for (words, what) in [("```json gateway", true), ("```json agent", false)] {
            for block in document.split(words).skip(1) {
                for line in block.split("```").next().unwrap().lines().filter(|line| !line.is_empty()) {
                    let value: Value = serde_json::from_str(line).expect(line);
                    let again = if what {
                        serde_json::to_value(serde_json::from_value::<GatewayEvent>(value.clone()).expect(line))
                    } else {
                        serde_json::to_value(AgentCommand::parse(line).expect(line))
                    };
                    assert_eq!(again.unwrap(), value, "{line} has something that is not kept");
                    assert_eq!(complaint(if what { "GatewayEvent" } else { "AgentCommand" }, &value), None);
                    events.insert((what, value["event"].as_str().unwrap().to_owned()));
                }
            }
        }
        let named = |what| events.iter().filter(move |event| event.0 == what).map(|event| event.1.as_str());
        let gateway: Vec<_> = named(true).collect();
        assert_eq!(gateway, ["cleared", "digit", "done", "error", "mark", "start", "stop"], "each has an example");
        let agent: Vec<_> = named(false).collect();
        assert_eq!(agent, ["clear", "hang_up", "mark", "send_digits", "transfer"], "each has an example");
    }

    #[test]
    fn what_is_wrong_is_said_with_the_field() {
        let on = |about: &str, field: &str, reason: &str| {
            (Some(about.to_owned()), None, field.to_owned(), reason.to_owned())
        };
        let whole = |field: &str, reason: &str| (None, None, field.to_owned(), reason.to_owned());
        assert_eq!(refused("{"), whole("message", "is not JSON at line 1, column 1"));
        assert_eq!(refused("[]"), whole("message", "is no JSON object"));
        assert_eq!(refused("{}"), whole("event", "is missing"));
        assert_eq!(refused(r#"{"event":7}"#), whole("event", "invalid type: integer `7`, expected a string"));
        let unknown = format!("is \"sing\", and must be one of {COMMANDS}");
        assert_eq!(refused(r#"{"event":"sing"}"#), on("sing", "event", &unknown));
        assert_eq!(refused(r#"{"event":"mark"}"#), on("mark", "name", "is missing"));
        assert_eq!(refused(r#"{"event":"clear","now":true}"#), on("clear", "now", "is not known to clear"));
        let long = format!(r#"{{"event":"mark","name":"{}"}}"#, "x".repeat(257));
        assert_eq!(refused(&long), on("mark", "name", "has 257 bytes, and at most 256 are allowed"));
        let (.., field, reason) = refused(r#"{"event":"hang_up","within_ms":-1}"#);
        assert_eq!((field.as_str(), reason.starts_with("invalid value")), ("within_ms", true), "{reason}");
        assert_eq!(refused(r#"{"event":"hang_up","within_ms":86400001}"#).2, "within_ms");
        let (about, id, field, reason) = refused(r#"{"event":"transfer","to":"0123","id":"a"}"#);
        assert_eq!((about.as_deref(), id.as_deref(), field.as_str()), (Some("transfer"), Some("a"), "to"));
        assert!(reason.contains("country code"), "{reason}");
    }

    #[test]
    fn nothing_of_a_call_is_printed() {
        let command = AgentCommand::parse(r#"{"event":"transfer","to":"+14155550111"}"#).unwrap();
        let digits = AgentCommand::parse(r#"{"event":"send_digits","digits":"4711"}"#).unwrap();
        let printed = format!("{command:?} {digits:?} {:?}", GatewayEvent::Digit { digit: '4' });
        assert!(!printed.contains('4'), "{printed}");
    }

    fn commands() -> impl Strategy<Value = AgentCommand> {
        let id = || proptest::option::of(".{0,40}");
        prop_oneof![
            ".{0,60}".prop_map(|name| AgentCommand::Mark { name }),
            Just(AgentCommand::Clear {}),
            proptest::option::of(0..=LONGEST_WITHIN_MS).prop_map(|within_ms| AgentCommand::HangUp { within_ms }),
            ("\\+[1-9][0-9]{5,12}", id()).prop_map(|(to, id)| AgentCommand::Transfer { to: to.parse().unwrap(), id }),
            ("[0-9A-D#*w]{1,64}", id()).prop_map(|(digits, id)| AgentCommand::SendDigits { digits, id }),
        ]
    }

    #[test]
    fn what_the_reader_refuses_the_schema_refuses() {
        for wrong in [
            json!({}),
            json!([]),
            json!({"event": 7}),
            json!({"event": "sing"}),
            json!({"event": "mark"}),
            json!({"event": "mark", "name": 1}),
            json!({"event": "mark", "name": "x".repeat(257)}),
            json!({"event": "clear", "now": true}),
            json!({"event": "hang_up", "within_ms": -1}),
            json!({"event": "hang_up", "within_ms": 1.5}),
            json!({"event": "hang_up", "within_ms": LONGEST_WITHIN_MS + 1}),
            json!({"event": "transfer"}),
            json!({"event": "transfer", "to": "0123"}),
            json!({"event": "transfer", "to": "+14155550111", "id": "x".repeat(257)}),
            json!({"event": "send_digits", "digits": "x"}),
            json!({"event": "send_digits", "digits": ""}),
            json!({"event": "send_digits", "digits": "1".repeat(65)}),
        ] {
            let parsed = AgentCommand::parse(&wrong.to_string());
            // What is in a request's digits is looked at when they are sent.
            let digits = matches!(&parsed, Ok(AgentCommand::SendDigits { digits, .. })
                if digits.parse::<telephony_core::DigitSequence>().is_err());
            assert!(parsed.is_err() || digits, "{wrong} is read");
            assert!(complaint("AgentCommand", &wrong).is_some(), "the schema lets {wrong} through");
        }
    }

    proptest! {
        #[test]
        fn no_text_of_an_agent_is_too_much(text in ".*") {
            let _any = AgentCommand::parse(&text);
        }

        #[test]
        fn no_json_of_an_agent_is_too_much(
            event in "mark|clear|hang_up|transfer|send_digits|x",
            field in "name|within_ms|to|digits|id|y",
            value in prop_oneof![
                any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from), ".*".prop_map(Value::from),
                Just(Value::Null), Just(json!([[{}]])), any::<bool>().prop_map(Value::from),
            ],
        ) {
            let message = json!({"event": event, field: value});
            match AgentCommand::parse(&message.to_string()) {
                Err(problem) => {
                    prop_assert!(!problem.field.is_empty() && !problem.reason.is_empty());
                    prop_assert!(problem.reason.len() < 1_000 && problem.field.len() < 1_000);
                }
                Ok(AgentCommand::SendDigits { .. }) => {}
                Ok(_) => prop_assert_eq!(complaint("AgentCommand", &message), None),
            }
        }

        #[test]
        fn what_the_types_say_is_what_is_read(command in commands()) {
            let text = serde_json::to_string(&command).unwrap();
            prop_assert_eq!(complaint("AgentCommand", &serde_json::to_value(&command).unwrap()), None);
            prop_assert_eq!(AgentCommand::parse(&text), Ok(command));
        }
    }
}
