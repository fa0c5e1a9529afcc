//! Conferences, as Telnyx keeps them: made out of a call, with a name that no other active one has, joined by others, over once
//! everybody has left. Nobody hears anybody in them, and who hangs up ends them for nobody else, whatever was asked for: the
//! sandbox has no mixer, and tells of a call's end too late for that.

use http::StatusCode;
use serde_json::{Value, json};
use telephony_core::{Timestamp, Url};
use telephony_sandbox::{Exchange, Step};
use uuid::Uuid;

use super::{Answer, answer, data, done, error, moment, not_found, note_command, state_refused, text, was_carried_out};

#[derive(Debug, Default)]
pub(super) struct Conferences(Vec<Conference>);

#[derive(Debug)]
struct Conference {
    id: String,
    name: String,
    created_at: Timestamp,
    started: bool,
    over: bool,
    participants: Vec<Participant>,
}

#[derive(Debug)]
struct Participant {
    id: String,
    call: String,
    muted: bool,
    ends: bool,
}

impl Conferences {
    pub(super) fn rest(
        &mut self,
        method: &str,
        path: &[&str],
        query: &str,
        body: &Value,
        exchange: &mut Exchange,
    ) -> Answer {
        match (method, path) {
            ("GET", []) => self.list(query),
            ("POST", []) => self.create(body, exchange),
            ("GET", [id]) => {
                self.0.iter().find(|known| known.id == *id).map_or_else(not_found, |one| data(&one.json()))
            }
            ("POST", [id, "actions", command]) => self.command(id, command, body, exchange),
            ("GET", [id, "participants"]) => match self.0.iter().find(|known| known.id == *id) {
                Some(found) => list(found.participants.iter().map(|one| one.json(found)).collect()),
                None => not_found(),
            },
            ("PATCH", [id, "participants", participant]) => self.update(id, participant, body),
            _ => not_found(),
        }
    }

    /// Those that last longest come first, and those that are over are listed too.
    fn list(&self, query: &str) -> Answer {
        let filters: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let named = filters.iter().find(|(name, _)| name == "filter[name]").map(|(_, wanted)| wanted);
        let wanted = |known: &&Conference| named.is_none_or(|name| known.name == *name);
        list(self.0.iter().rev().filter(wanted).map(Conference::json).collect())
    }

    fn create(&mut self, body: &Value, exchange: &mut Exchange) -> Answer {
        let Some(name) = text(body, "name").filter(|name| !name.trim().is_empty()) else {
            return error(StatusCode::UNPROCESSABLE_ENTITY, "10004", "Missing required parameter", Some("name"));
        };
        if let Some(refusal) = refusal(body, exchange) {
            return refusal;
        }
        let Some(call) = text(body, "call_control_id").and_then(|id| exchange.call_mut(id)) else { return not_found() };
        if was_carried_out(call, body) {
            return done();
        }
        if self.0.iter().any(|known| !known.over && known.name == name) {
            return error(StatusCode::UNPROCESSABLE_ENTITY, "90033", "An active conference has this name", None);
        }
        if !note_command(call, body) {
            return state_refused();
        }
        let id = call.id().to_owned();
        self.lose(&id);
        let made = Conference {
            id: Uuid::new_v4().to_string(),
            name: name.to_owned(),
            created_at: exchange.now(),
            started: body["start_conference_on_create"].as_bool().unwrap_or(true),
            over: false,
            participants: vec![Participant::new(&id, &Value::Null)],
        };
        exchange.instruct(&id, vec![Step::Conference { name: name.to_owned() }]);
        let answer = data(&made.json());
        self.0.push(made);
        answer
    }

    /// Commands name a conference by its id or its name.
    fn command(&mut self, id: &str, command: &str, body: &Value, exchange: &mut Exchange) -> Answer {
        let named = |known: &Conference| known.id == id || (!known.over && as_segment(&known.name) == id);
        let Some(n) = self.0.iter().position(named) else {
            return error(StatusCode::UNPROCESSABLE_ENTITY, "90058", "Invalid conference_id", None);
        };
        if self.0[n].over {
            return error(StatusCode::UNPROCESSABLE_ENTITY, "90019", "Conference has already ended", None);
        }
        match command {
            "join" => self.join(n, body, exchange),
            "leave" => self.leave(n, body, exchange),
            "mute" => {
                let calls: Vec<_> = body["call_control_ids"].as_array().into_iter().flatten().collect();
                for one in &mut self.0[n].participants {
                    one.muted |= calls.is_empty() || calls.iter().any(|call| **call == one.call);
                }
                done()
            }
            _ => not_found(),
        }
    }

    fn join(&mut self, n: usize, body: &Value, exchange: &mut Exchange) -> Answer {
        if let Some(refusal) = refusal(body, exchange) {
            return refusal;
        }
        let Some(call) = text(body, "call_control_id").and_then(|id| exchange.call_mut(id)) else { return not_found() };
        if was_carried_out(call, body) {
            return done();
        }
        let id = call.id().to_owned();
        if self.0[n].participants.iter().any(|one| one.call == id) {
            return error(StatusCode::UNPROCESSABLE_ENTITY, "90044", "Conference join not allowed", None);
        }
        if !note_command(call, body) {
            return state_refused();
        }
        self.lose(&id);
        let joined = &mut self.0[n];
        joined.started |= body["start_conference_on_enter"] == true;
        joined.participants.push(Participant::new(&id, body));
        exchange.instruct(&id, vec![Step::Conference { name: joined.name.clone() }]);
        done()
    }

    fn leave(&mut self, n: usize, body: &Value, exchange: &mut Exchange) -> Answer {
        let id = text(body, "call_control_id").unwrap_or_default();
        let Some(left) = self.0[n].participants.iter().find(|one| one.call == id) else {
            return error(StatusCode::UNPROCESSABLE_ENTITY, "10027", "The call is not in the conference", None);
        };
        let ends = left.ends;
        self.lose(id);
        exchange.instruct(id, vec![Step::AwaitCommand]);
        if ends {
            self.0[n].over = true;
            for one in self.0[n].participants.drain(..) {
                exchange.hang_up(&one.call);
            }
        }
        done()
    }

    fn update(&mut self, id: &str, participant: &str, body: &Value) -> Answer {
        let Some(found) = self.0.iter_mut().find(|known| known.id == id) else { return not_found() };
        let Some(n) = found.participants.iter().position(|one| one.id == participant) else { return not_found() };
        if let Some(ends) = body["end_conference_on_exit"].as_bool() {
            found.participants[n].ends = ends;
        }
        data(&found.participants[n].json(found))
    }

    /// A call is in no conference any more. Returns which it was in, and whether that is over.
    pub(super) fn lose(&mut self, call: &str) -> Option<(String, bool)> {
        let left = self.0.iter_mut().find(|known| known.participants.iter().any(|one| one.call == call))?;
        left.participants.retain(|one| one.call != call);
        left.over = left.participants.is_empty();
        Some((left.id.clone(), left.over))
    }
}

impl Conference {
    fn json(&self) -> Value {
        let status = match (self.over, self.started) {
            (true, _) => "completed",
            (_, true) => "in_progress",
            _ => "init",
        };
        json!({
            "record_type": "conference", "id": self.id, "name": self.name, "status": status, "region": "sv1",
            "created_at": moment(self.created_at), "updated_at": moment(self.created_at),
            "expires_at": moment(self.created_at + std::time::Duration::from_secs(4 * 3600)),
        })
    }
}

impl Participant {
    fn new(call: &str, body: &Value) -> Self {
        let said = |name: &str| body[name] == true;
        Self {
            id: Uuid::new_v4().to_string(),
            call: call.to_owned(),
            muted: said("mute"),
            ends: said("end_conference_on_exit"),
        }
    }

    fn json(&self, conference: &Conference) -> Value {
        json!({
            "record_type": "participant", "id": self.id, "call_control_id": self.call, "call_leg_id": self.id,
            "conference": {"id": conference.id, "name": conference.name}, "whisper_call_control_ids": [],
            "status": "joined", "muted": self.muted, "on_hold": !conference.started,
            "end_conference_on_exit": self.ends, "soft_end_conference_on_exit": false,
            "created_at": moment(conference.created_at), "updated_at": moment(conference.created_at),
        })
    }
}

/// Why a call cannot be in a conference.
fn refusal(body: &Value, exchange: &Exchange) -> Option<Answer> {
    let refuse = |code, title| Some(error(StatusCode::UNPROCESSABLE_ENTITY, code, title, None));
    match text(body, "call_control_id").and_then(|id| exchange.call(id)) {
        None => refuse("90015", "Invalid Call Control ID"),
        Some(call) if call.ended_at.is_some() => refuse("90018", "Call has already ended"),
        Some(call) if call.answered_at.is_none() => refuse("90034", "Call not answered yet"),
        Some(_) => None,
    }
}

fn list(found: Vec<Value>) -> Answer {
    let meta = json!({"page_number": 1, "page_size": 250, "total_pages": 1, "total_results": found.len()});
    answer(StatusCode::OK, &json!({"data": found, "meta": meta}))
}

/// A name as it stands in a path.
fn as_segment(name: &str) -> String {
    let Ok(mut url) = Url::parse("https://api.telnyx.com/") else { return String::new() };
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.push(name);
    }
    url.path().trim_start_matches('/').to_owned()
}
