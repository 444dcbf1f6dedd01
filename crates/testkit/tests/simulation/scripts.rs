//! Scripts: somebody puts a few deletions forward as one, and somebody's sessions run them: mostly as they were approved,
//! sometimes in another order, twice, with something in between, in two sessions at once, on another relation.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use countersign_core::session::Ending;
use countersign_core::{PrincipalId, ResourceId, RoleId};
use countersign_engine::scripts::Reading;
use countersign_engine::{
    AskScript, Judgement, Look, NextStep, NotStepped, ScriptReader, ScriptStep, ScriptText, Session,
};

use crate::actors::{attempt, client, forward, ground};
use crate::scene::Scene;

/// What each step of a script does.
pub const ACTION: &str = "sql.delete";

/// Reads scripts as the doors of this world speak: statements between semicolons, about one relation.
pub struct Reader;

impl ScriptReader for Reader {
    fn read(&self, script: ScriptText) -> Reading {
        // What is put forward says itself which version of the relation it saw.
        let (relation, text) = script.text.split_once('|').unwrap_or(("0", &script.text));
        let relation = relation.parse().unwrap_or(0);
        let step = |text: &str| {
            let look = Look { rows: Some(4), can_bound_rows: true, ..Look::default() };
            ScriptStep { attempt: attempt(ACTION, text, false, relation), look }
        };
        let steps = text.split("; ").map(step).collect();
        Box::pin(std::future::ready(Ok(steps)))
    }
}

/// Teaches an engine to read scripts.
pub fn teach(engine: &countersign_engine::Engine) {
    engine.read_scripts_with("postgres", Arc::new(Reader));
}

/// Puts a script forward.
pub async fn puts_forward(scene: Rc<Scene>) {
    let who = scene.pick(&["alice", "alice", "eve", "bob"]);
    let count = 2 + scene.below(3);
    let texts: Vec<String> = (0..count).map(|_| format!("{ACTION} {}", scene.statement())).collect();
    let ask = AskScript {
        resource: ResourceId::new("shop"),
        role: Some(RoleId::new("shop-writer")),
        text: format!("{}|{}", scene.relation.get(), texts.join("; ")),
        settings: BTreeMap::new(),
        purpose: "clear the shelves".into(),
        ticket: None,
    };
    if let Ok(id) = scene.engine.ask_script(&scene.caller(who), ask).await {
        scene.promised("request.created", Some(id.0), Some(who));
    }
}

/// Runs what was approved of somebody's, in a session of theirs, or in two.
pub async fn runs(scene: Rc<Scene>) {
    let snapshot = scene.engine.snapshot();
    let approved: Vec<String> = snapshot.book.scripts().map(|one| one.by.to_string()).collect();
    if approved.is_empty() {
        return puts_forward(scene).await;
    }
    let who = scene.pick(&approved);
    let Some(session) = opens(&scene, &who).await else { return };
    let other = if scene.chance(50) { opens(&scene, &who).await } else { None };
    for _ in 0..2 + scene.below(6) {
        if session.ending().is_some() {
            break;
        }
        let elsewhere = other.as_ref().filter(|_| scene.chance(30));
        let using = elsewhere.unwrap_or(&session);
        if !runs_one(&scene, using).await {
            break;
        }
        scene.pause().await;
    }
    for session in [Some(session), other].into_iter().flatten() {
        scene.sessions.borrow_mut().retain(|one| one.id() != session.id());
        let why = session.ending().unwrap_or(Ending::User);
        scene.engine.close_session(&session, why).await;
    }
}

async fn opens(scene: &Rc<Scene>, who: &str) -> Option<Session> {
    let (principal, resource) = (PrincipalId::new(who), ResourceId::new("shop"));
    let role = Some(RoleId::new("shop-writer"));
    let opened = scene.engine.open_session(principal, resource, role, "postgres", client(), None, None).await;
    let session = opened.ok()?;
    scene.promised("session.opened", Some(session.id().0), Some(who));
    scene.sessions.borrow_mut().push(session.clone());
    Some(session)
}

/// Runs what comes next; whether there may be more.
async fn runs_one(scene: &Rc<Scene>, session: &Session) -> bool {
    let mut steps = scene.engine.next_steps(session);
    if steps.is_empty() {
        return false;
    }
    let step = steps.swap_remove(scene.below(steps.len()));
    let under_way = step.is_under_way();
    // Something else than the next step.
    let text =
        if scene.chance(8) { format!("{ACTION} {}", scene.statement()) } else { step.text().to_owned() };
    let moved = scene.chance(6);
    let relation = relation_of(scene, moved);
    let judgement = scene.engine.judge(session, attempt(ACTION, &text, false, relation));
    if let Judgement::Deny(denied) = judgement {
        let _recorded = scene.engine.denied(denied).await.is_ok();
        return false;
    }
    if let Judgement::Paused = judgement {
        scene.engine.resumed(session).await;
        return true;
    }
    scene.pause().await;
    let request = step.request();
    let is_step = text == step.text();
    let used = if is_step { uses(scene, session, step, (judgement, &text, relation)).await } else { None };
    match used {
        Some(goes_on) => goes_on,
        None => {
            if under_way {
                let _stopped = scene.engine.stop_script(request).await.is_ok();
            }
            !under_way
        }
    }
}

/// Uses a step; nothing if it was none.
async fn uses(
    scene: &Rc<Scene>,
    session: &Session,
    step: NextStep,
    (judgement, text, relation): (Judgement, &str, u64),
) -> Option<bool> {
    match scene.engine.use_step(session, step, judgement, ground(ACTION, relation)).await {
        Ok(stepped) => {
            forward(scene, session, text, (stepped.recorded, relation)).await;
            Some(true)
        }
        Err(NotStepped::Apart(..)) => None,
        Err(NotStepped::Stale | NotStepped::Unrecorded(_)) => Some(false),
    }
}

/// The relation, perhaps another one than it was.
fn relation_of(scene: &Scene, moved: bool) -> u64 {
    let now = scene.relation.get() + u64::from(moved);
    scene.relation.set(now);
    now
}
