//! Access as tools: what is held, what may be asked for, and asking for it with a purpose.
//!
//! A credential proves who it is, and nothing more can be done with it than to ask for oneself. Policy rules on it as on every request
//! (`access.request`), and who answers is a person elsewhere. An answer may take longer than a client waits: what was asked stays
//! asked, and the next call waits for the same answer.

use countersign_core::{At, RoleId, Span};
use countersign_engine::{Answer, AskAccess, AtDoor, RefusedCode};
use serde_json::{Value, json};

use super::super::KIND;
use super::super::answer::{self, Words};
use super::{Desk, Not, Sitting, onward, text};
use crate::{flow, words};

/// How long a client waits that hears nothing meanwhile: many give up after a minute.
const DEAF: Span = Span::seconds(45);
/// For how long a role is asked for, if nothing is said, in minutes.
const MINUTES: i64 = 30;
/// The longest that can be asked for, in minutes. Roles have limits of their own.
const MINUTES_MAX: i64 = 7 * 24 * 60;

/// The two tools; what a yes brings is said.
pub(super) fn tools(then: &str) -> [Value; 2] {
    [
        json!({
            "name": "access",
            "title": "What may be used",
            "description": "Says which roles reach this resource, which of them are held and until when, and which may be asked for.",
            "inputSchema": { "type": "object", "additionalProperties": false },
            "annotations": { "readOnlyHint": true, "openWorldHint": false },
        }),
        json!({
            "name": "request_access",
            "title": "Ask for access",
            "description": format!("Asks for a role, for a purpose and a while, and waits until somebody has answered. If the answer is not there yet it says so, \
                and calling it again waits on. After a yes, {then}."),
            "inputSchema": {
                "type": "object",
                "properties": {
                    "role": { "type": "string", "minLength": 1, "maxLength": 64, "description": "One that `access` lists." },
                    "purpose": { "type": "string", "minLength": 1, "description": "Why, for whoever decides." },
                    "minutes": {
                        "type": "integer", "minimum": 1, "maximum": MINUTES_MAX,
                        "description": format!("For how long; {MINUTES} if it is absent.")
                    },
                    "ticket": { "type": "string", "description": "The ticket it belongs to." },
                },
                "required": ["role", "purpose"],
                "additionalProperties": false,
            },
            "annotations": { "readOnlyHint": false, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false },
        }),
    ]
}

/// What is held here, and what may be asked for.
pub(super) async fn access(desk: &Desk) -> String {
    let roles = desk.roles().into_iter();
    let roles: Vec<Value> = roles
        .map(|role| {
            let mut told = json!({ "role": role.id, "title": role.title, "actions": role.actions });
            let more = match (role.held_until, role.asked) {
                (Some(until), _) => ("held_until", until.rfc3339()),
                (None, Some(link)) => ("waits_for_an_answer", link),
                (None, None) => ("may_be_asked_for_minutes", (role.longest.millis() / 60_000).to_string()),
            };
            if let Some(told) = told.as_object_mut() {
                told.insert(more.0.to_owned(), more.1.into());
            }
            told
        })
        .collect();
    if desk.onward.is_some() {
        return json!({ "resource": desk.line.resource, "roles": roles }).to_string();
    }
    let inside = desk.inside.lock().await;
    let open =
        inside.as_ref().filter(|inside| !inside.is_over()).map(|inside| inside.session().role().to_string());
    json!({ "resource": desk.line.resource, "roles": roles, "statements_run_as": open }).to_string()
}

/// Asks for a role, or for what was asked already, and waits for the answer.
pub(super) async fn request(sitting: &mut Sitting, arguments: &Value) -> Result<String, Not> {
    let desk = std::sync::Arc::clone(&sitting.desk);
    let line = &desk.line;
    let invalid = |why: String| Not::from(Words::new(answer::INVALID, why));
    let role: RoleId = text(arguments, "role")
        .unwrap_or_default()
        .parse()
        .map_err(|error| invalid(format!("`arguments.role` is no role: {error}")))?;
    let engine = &line.shared.engine;
    let held = desk.roles();
    let until = held.iter().find(|one| one.id == role).and_then(|one| one.held_until);
    if let Some(until) = until {
        return enter(sitting, role, until).await;
    }
    if !held.iter().any(|one| one.id == role) {
        let why = format!("no role `{role}` that you may ask for reaches `{}`", line.resource);
        return Err(Words::new(answer::DENIED, why).hint("`access` lists those that you may ask for").into());
    }
    let minutes = arguments.get("minutes").and_then(Value::as_i64).unwrap_or(MINUTES);
    let ask = AskAccess {
        role: role.clone(),
        lasting: Span::minutes(minutes.clamp(1, MINUTES_MAX)),
        purpose: text(arguments, "purpose").unwrap_or_default().to_owned(),
        ticket: text(arguments, "ticket").map(str::to_owned),
    };
    let asking = Box::pin(engine.ask_at_door(&line.principal, (KIND, &desk.client), ask));
    let asked = sitting.attended(asking).await?;
    let asked = asked.map_err(|refused| match refused.code {
        RefusedCode::Invalid => Not::from(Words::new(answer::INVALID, refused.message)),
        _ => Not::from(&refused),
    })?;
    match wait(sitting, asked).await? {
        Ok(()) => {
            let until = desk.roles().iter().find(|one| one.id == role).and_then(|one| one.held_until);
            let over = || Not::from(Words::new(answer::DENIED, "it was approved, and is over already"));
            enter(sitting, role, until.ok_or_else(over)?).await
        }
        Err(told) => Ok(told),
    }
}

/// From now on statements run in this role, or the client is with the server in it.
async fn enter(sitting: &mut Sitting, role: RoleId, until: At) -> Result<String, Not> {
    let desk = std::sync::Arc::clone(&sitting.desk);
    let until = until.rfc3339();
    let Some(onward) = &desk.onward else {
        desk.change(role.clone()).await.map_err(|refused| Not::from(&refused))?;
        return Ok(json!({ "role": role, "state": "held", "held_until": until }).to_string());
    };
    onward::go(sitting, onward, role.clone()).await?;
    let next = "list the tools again: they are the server's own; if none are new, begin a new session";
    Ok(json!({ "role": role, "state": "held", "held_until": until, "next": next }).to_string())
}

/// Waits for the answer; as long as it takes, if the client is told meanwhile. What is said instead where there is none yet.
async fn wait(sitting: &mut Sitting, mut asked: AtDoor) -> Result<Result<(), String>, Not> {
    let clock = sitting.desk.line.shared.engine.clone();
    let hears = sitting.flight.progress.is_some();
    let until = if hears { asked.lapses_at() } else { clock.now().plus(DEAF).min(asked.lapses_at()) };
    loop {
        let now = clock.now();
        let left = words::left(asked.lapses_at().since(now));
        sitting.say(&format!(
            "your access waits for an approval by {}; {left} left: {}",
            asked.asked(),
            asked.link()
        ));
        let next = until.min(now.plus(flow::REMIND));
        match sitting.attended(asked.answer_by(next)).await? {
            Some(Answer::Approved) => return Ok(Ok(())),
            Some(answer) => {
                return Err(Words::new(answer::DENIED, words::unanswered(&answer))
                    .hint("ask again only if something has changed")
                    .into());
            }
            None if until <= clock.now() => {
                let told = json!({
                    "role": null, "state": "waiting", "request": asked.id().to_string(), "asked": asked.asked(), "link": asked.link(),
                    "next": "call `request_access` again to wait on; it is asked once",
                });
                return Ok(Err(told.to_string()));
            }
            None => {}
        }
    }
}
