//! The settings that a client starts with: each is judged as the `SET` that it amounts to, and recorded, before the
//! server gets any of them as what they are, start-up settings, to which a later RESET goes back.
//!
//! Nothing can wait here: whoever is asked for an approval has no session to show it in. What would be held is refused, and
//! asked for again with `SET`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use countersign_core::At;
use countersign_engine::{self as engine, Attempt, Completion, CompletionResult, Judgement, Ran, Unrecorded};
use countersign_wire::postgres::encode::{Report, Severity};
use countersign_wire::sql::{Facts, Kind};
use tokio::task::JoinSet;

use super::classify::{Classification, Statement, Understood, classification};
use super::state::{self, Known};
use super::target::Target;
use super::{Shared, wording};

/// How often one setting is judged in all, because policy or grant moved before its record.
const JUDGED_MAX: u32 = 4;
/// Settings whose value is a list of names, which as one literal would be one name.
const LISTS: &[&str] = &["datestyle", "search_path"];

/// Settings that are recorded and may be given to the server.
#[derive(Default)]
pub(super) struct Granted {
    ran: Vec<(Ran, At)>,
}

impl Granted {
    /// Says how it ended: the server has taken all of them, or none.
    pub(super) async fn ended(self, shared: &Shared, result: &CompletionResult) {
        for (ran, started) in self.ran {
            let micros = u64::try_from(shared.engine.now().since(started).0).unwrap_or(0);
            let completion =
                Completion { result: result.clone(), rows: None, bytes: 0, micros, transaction: None };
            shared.engine.completed(ran, completion).await;
        }
    }
}

/// Asks for all settings of a session that is not ready yet.
///
/// # Errors
/// What to tell the client, about the first of them that may not be set now.
pub(super) async fn permit(
    shared: &Arc<Shared>,
    target: &Target,
    me: &engine::Session,
    settings: &[(String, String)],
) -> Result<Granted, Report> {
    let known = Known::new(me.account(), &[]);
    let mut recording = JoinSet::new();
    for (place, (name, value)) in settings.iter().enumerate() {
        let statement = Statement::new(statement(name, value).into(), Vec::new(), known.shared_session());
        let understood = understand(shared, target, &statement, &known).await;
        let attempt = attempt(&statement, &understood, &known, (name, value));
        let (shared, me, name) = (Arc::clone(shared), me.clone(), name.clone());
        recording.spawn(async move { (place, record(&shared, &me, attempt, &name).await) });
    }
    let (mut granted, mut refused) = (Granted::default(), BTreeMap::new());
    while let Some(recorded) = recording.join_next().await {
        match recorded {
            Ok((_, Ok(ran))) => granted.ran.push((ran, shared.engine.now())),
            Ok((place, Err(report))) => {
                refused.insert(place, *report);
            }
            Err(_) => {
                refused.insert(usize::MAX, wording::fatal(wording::UNAVAILABLE, "a record was not made"));
            }
        }
    }
    match refused.pop_first() {
        None => Ok(granted),
        Some((_, report)) => {
            granted
                .ended(shared, &CompletionResult::Failed { code: wording::NOT_PERMITTED.to_owned() })
                .await;
            Err(report)
        }
    }
}

async fn understand(shared: &Shared, target: &Target, statement: &Statement, known: &Known) -> Understood {
    let parser = shared.parser_for(statement.raw.len());
    let facts = match classification(&parser, &target.classes, statement, known, None) {
        Classification::Kept(facts) => Some(facts),
        Classification::Coming(receiver) => receiver.await.ok(),
        Classification::Busy => None,
    };
    Understood::of(facts.map_or_else(|| Arc::new(unknown()), |facts| Arc::new(at_the_start(&facts))))
}

/// What the encoding is, the server says before it reads the first statement: set at the start, it leaves nobody in doubt.
fn at_the_start(facts: &Facts) -> Facts {
    let mut facts = facts.clone();
    if facts.statements == 1 && facts.settings.iter().all(|change| change.name == "client_encoding") {
        (facts.kind, facts.kinds) = (Kind::Session, [Kind::Session].into());
    }
    facts
}

fn unknown() -> Facts {
    let busy = countersign_wire::sql::Unparsed::Shape { message: "the parser is busy; try again".to_owned() };
    countersign_wire::sql::classify_unparsed(&busy, b"")
}

fn attempt(
    statement: &Statement,
    understood: &Understood,
    known: &Known,
    (name, value): (&str, &str),
) -> Attempt {
    Attempt {
        kind: understood.kind.clone(),
        actions: Arc::clone(&understood.actions),
        verbs: Arc::clone(&understood.verbs),
        // It changes the session, so it is recorded first.
        provable_read: false,
        context: understood.context(false),
        text: Arc::clone(&statement.text),
        parameter_types: [].into(),
        parameters: [].into(),
        relations: Vec::new(),
        settings: Arc::clone(known.settings()),
        bytes: Bytes::from([name.as_bytes(), value.as_bytes()].join(&0)),
    }
}

async fn record(
    shared: &Shared,
    me: &engine::Session,
    attempt: Attempt,
    name: &str,
) -> Result<Ran, Box<Report>> {
    for _ in 0..JUDGED_MAX {
        match shared.engine.judge(me, attempt.clone()) {
            Judgement::Allow(judged) => match shared.engine.record(judged).await {
                Ok(recorded) => return Ok(recorded.into_forward().1),
                Err(Unrecorded::Stale) => {}
                Err(error) => return Err(Box::new(unrecorded(&error))),
            },
            Judgement::Hold(_) => return Err(Box::new(held(name))),
            // It was paused as soon as it was open.
            Judgement::Paused => shared.engine.resumed(me).await,
            Judgement::Deny(denied) => {
                let report = match shared.engine.denied(denied).await {
                    Ok(refused) => wording::refused(Severity::Fatal, wording::NOT_PERMITTED, &refused),
                    Err(error) => unrecorded(&error),
                };
                return Err(Box::new(
                    report.detail(format!("it is asked for by the start-up setting `{name}`")),
                ));
            }
        }
    }
    let report = wording::fatal(wording::UNAVAILABLE, "policy or grants are changing; nothing was run");
    Err(Box::new(report.hint("try again")))
}

fn held(name: &str) -> Report {
    let message =
        format!("the setting `{name}` needs an approval, and nothing can wait for one before it has begun");
    wording::fatal(wording::NOT_PERMITTED, message).hint("connect without it, and ask for it with SET")
}

fn unrecorded(error: &Unrecorded) -> Report {
    wording::fatal(wording::UNAVAILABLE, error.to_string())
        .hint("try again in a moment; the gateway's health says more")
}

/// The `SET` that a start-up setting amounts to.
fn statement(name: &str, value: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let items =
        LISTS.contains(&name).then(|| state::identifiers(value)).flatten().filter(|items| !items.is_empty());
    let value = items.map_or_else(
        || quoted(value),
        |items| items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "),
    );
    // Each part of a name is written so that no word of the language is meant.
    let name: Vec<String> = name.split('.').map(|part| format!("\"{part}\"")).collect();
    format!("SET {} = {value}", name.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_written_as_the_statement_it_amounts_to() {
        for (name, value, text) in [
            ("work_mem", "64MB", "SET \"work_mem\" = '64MB'"),
            ("search_path", "\"$user\", Public", "SET \"search_path\" = '$user', 'public'"),
            ("search_path", "", "SET \"search_path\" = ''"),
            ("role", "x'; DROP TABLE y; --", "SET \"role\" = 'x''; DROP TABLE y; --'"),
            ("my.own", "a\\'b", "SET \"my\".\"own\" = 'a\\''b'"),
        ] {
            assert_eq!(statement(name, value), text);
        }
    }

    #[test]
    fn settings_at_the_start_are_judged_as_what_set_does() {
        let kind = |name: &str, value: &str| {
            let session = countersign_wire::sql::SessionState::fresh(150_000, "writer");
            let text = statement(name, value);
            let parser = countersign_wire::sql::Parser::threads(1).unwrap();
            let facts = parser.run(move || {
                let context = countersign_wire::sql::Context {
                    session: &session,
                    catalogue: None,
                    parameter_types: &[],
                };
                countersign_wire::sql::classify_text(text.as_bytes(), &context)
            });
            at_the_start(&facts.unwrap()).kind
        };
        for harmless in ["work_mem", "statement_timeout", "search_path", "client_encoding", "enable_seqscan"]
        {
            assert_eq!(kind(harmless, "SJIS"), Kind::Session, "{harmless}");
        }
        for strict in
            ["role", "session_authorization", "session_preload_libraries", "all", "time zone", "my.own"]
        {
            assert_eq!(kind(strict, "x"), Kind::Admin, "{strict}");
        }
    }
}
