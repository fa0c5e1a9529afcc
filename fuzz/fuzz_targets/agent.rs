//! What an agent says over its WebSocket: a command, which is read as what it is written as, or a problem with a reason.

#![no_main]

use libfuzzer_sys::fuzz_target;
use telephony_gateway::agent::websocket::protocol::AgentCommand;

fuzz_target!(|text: &str| {
    match AgentCommand::parse(text) {
        Ok(command) => {
            let written = serde_json::to_string(&command).expect("a command is JSON");
            assert!(AgentCommand::parse(&written) == Ok(command), "{written} is read as something else");
        }
        Err(problem) => assert!(!problem.field.is_empty() && !problem.reason.is_empty()),
    }
});
