//! Everybody who acts: people who ask and answer, and doors that judge, record, hold, forward and complete.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use countersign_core::action::RelationVersion;
use countersign_core::envelope::{Envelope, Terms};
use countersign_core::question::Context;
use countersign_core::request::{Ask, Request, RowBound, State, Withdrawal};
use countersign_core::session::Ending;
use countersign_core::{ActionName, At, PrincipalId, RequestId, ResourceId, RoleId, Span};
use countersign_engine::{
    Answer, AskAccess, Attempt, Client, Completion, CompletionResult, Ground, Judgement, Look, NotCovered,
    NotUsed, Recorded, Session, Unrecorded, Via, Waiting, Withheld, Yes,
};
use countersign_policy::context::{Plain, Sql};

use crate::bundles::{CLIENTS, USERS};
use crate::scene::{Execution, Fault, Released, Scene, Told};

/// The text of many reads; every other text is that of one statement.
pub const USUAL: &str = "sql.select as usual";

const ROLES: [&str; 3] = ["shop-reader", "shop-writer", "metrics-writer"];

/// Asks for a role.
pub async fn asks(scene: Rc<Scene>) {
    let (who, role) = (scene.pick(&CLIENTS), scene.pick(&ROLES));
    let minutes = scene.pick(&[1, 5, 20, 60, 240]);
    let ask = AskAccess {
        role: RoleId::new(role),
        lasting: Span::minutes(minutes),
        purpose: "repair the orders".into(),
        ticket: None,
    };
    if let Ok(id) = scene.engine.ask(&scene.caller(who), ask).await {
        scene.promised("request.created", Some(id.0), Some(who));
    }
}

/// Asks for a role for long, and is given it.
pub async fn obtains(scene: &Scene, who: &str, role: &str) {
    let (role, lasting, purpose) = (RoleId::new(role), Span::minutes(240), "be on duty".into());
    let ask = AskAccess { role, lasting, purpose, ticket: None };
    let Ok(id) = scene.engine.ask(&scene.caller(who), ask).await else { return };
    let _granted_already = scene.engine.approve(&scene.caller("bea"), id, None, None).await.is_ok();
}

/// Answers some request that waits: anybody, for anybody, also twice, also their own.
pub async fn answers(scene: Rc<Scene>) {
    let pending = pending(&scene, |_| true);
    if pending.is_empty() {
        return;
    }
    let id = scene.pick(&pending);
    // The pipeline tries too: services never answer.
    let who = if scene.chance(5) { "ci" } else { scene.pick(&USERS) };
    let caller = scene.caller(who);
    if scene.chance(12) {
        if scene.engine.deny(&caller, id, Some("no".into())).await.is_ok() {
            scene.promised("decision.denied", Some(id.0), Some(who));
        }
        return;
    }
    let digest = scene.engine.snapshot().book.request(id).map(|found| found.digest);
    let comment = scene.chance(30).then(|| "go on".to_owned());
    let yes = Yes { digest, comment, terms: terms(&scene), assertion: None };
    if scene.engine.approve_as(&caller, id, yes).await.is_ok() {
        scene.promised("decision.approved", Some(id.0), Some(who));
    }
}

/// Says yes in the name of everybody at once, so that something gets done.
pub async fn agrees(scene: Rc<Scene>) {
    for id in pending(&scene, |_| true) {
        for who in ["bob", "bea", "carol"] {
            let yes = Yes { terms: terms(&scene), ..Yes::default() };
            if scene.engine.approve_as(&scene.caller(who), id, yes).await.is_ok() {
                scene.promised("decision.approved", Some(id.0), Some(who));
            }
        }
    }
}

/// What an approver says of what a yes covers: mostly nothing, else less, or an envelope, perhaps a wider one than may be.
fn terms(scene: &Scene) -> Terms {
    let uses = scene.chance(25).then(|| 1 + u32::try_from(scene.below(5)).unwrap_or(0));
    let valid_for = scene.chance(20).then(|| Span::minutes(scene.pick(&[1, 4, 9])));
    let envelope = scene.chance(50).then(|| {
        let rows = scene.pick(&[2_u64, 4, 6, 10, 11]);
        Envelope { rows, total: rows + scene.pick(&[0_u64, 3, 6, 14]) }
    });
    Terms { uses, valid_for, envelope }
}

/// Gives up a request of their own.
pub async fn withdraws(scene: Rc<Scene>) {
    let who = scene.pick(&CLIENTS);
    let own = pending(&scene, |by| by == who);
    if own.is_empty() {
        return;
    }
    let id = scene.pick(&own);
    if scene.engine.withdraw_request(&scene.caller(who), id).await.is_ok() {
        scene.promised("request.withdrawn", Some(id.0), None);
    }
}

/// Revokes or gives back a grant.
pub async fn ends_grant(scene: Rc<Scene>) {
    let snapshot = scene.engine.snapshot();
    let now = scene.engine.now();
    let live = snapshot.book.grants().filter(|grant| grant.is_live(now));
    let live: Vec<_> = live.map(|grant| (grant.id, grant.principal.to_string())).collect();
    if live.is_empty() {
        return;
    }
    let (id, holder) = scene.pick(&live);
    if scene.chance(40) {
        if scene.engine.relinquish(&scene.caller(&holder), id).await.is_ok() {
            scene.promised("grant.relinquished", Some(id.0), None);
        }
        return;
    }
    let who = scene.pick(&USERS);
    if scene.engine.revoke(&scene.caller(who), id, Some("enough".into())).await.is_ok() {
        scene.promised("grant.revoked", Some(id.0), Some(who));
    }
}

/// Shuts somebody out, or lets them in again.
pub async fn shuts_out(scene: Rc<Scene>) {
    let who = scene.pick(&["bob", "bea"]);
    let mut whom = PrincipalId::new(scene.pick(&["alice", "eve", "ci", "bea", "carol"]));
    let out: Vec<PrincipalId> = scene.engine.snapshot().book.disabled().cloned().collect();
    if !out.is_empty() && scene.chance(80) {
        whom = scene.pick(&out);
    }
    let disabled = out.contains(&whom);
    let caller = scene.caller(who);
    if disabled {
        if scene.engine.enable(&caller, &whom).await.is_ok() {
            scene.promised("identity.enabled", None, Some(whom.as_str()));
        }
    } else if scene.engine.disable(&caller, &whom, None).await.is_ok() {
        scene.promised("identity.disabled", None, Some(whom.as_str()));
    }
}

/// Ends somebody's session.
pub async fn ends_session(scene: Rc<Scene>) {
    let open: Vec<_> = scene.engine.snapshot().book.sessions().map(|open| open.opening.session).collect();
    if open.is_empty() {
        return;
    }
    let (id, who) = (scene.pick(&open), scene.pick(&USERS));
    if scene.engine.end_session(&scene.caller(who), id).await.is_ok() {
        scene.promised("session.terminated", Some(id.0), Some(who));
    }
}

/// Pauses somebody's session, or lets it go on.
pub async fn pauses_session(scene: Rc<Scene>) {
    let open: Vec<_> = scene.engine.snapshot().book.sessions().cloned().collect();
    if open.is_empty() {
        return;
    }
    let (found, who) = (scene.pick(&open), scene.pick(&USERS));
    let (id, caller) = (found.opening.session, scene.caller(who));
    if found.paused.is_some() && scene.chance(80) {
        if scene.engine.resume_session(&caller, id, None).await.is_ok() {
            scene.promised("session.unlocked", Some(id.0), Some(who));
        }
    } else if scene.engine.pause_session(&caller, id, "what is this".into()).await.is_ok() {
        scene.promised("session.locked", Some(id.0), Some(who));
    }
}

/// One connection through a door: opened, used, closed.
pub async fn connects(scene: Rc<Scene>) {
    let (who, role) = (scene.pick(&CLIENTS), scene.pick(&ROLES));
    let live = scene.engine.snapshot().book.live_roles(&PrincipalId::new(who), scene.engine.now()).len();
    if live == 0 && !scene.chance(10) {
        return asks(scene).await;
    }
    let resource = if role.starts_with("metrics") { "metrics" } else { "shop" };
    let named = scene.chance(50).then(|| RoleId::new(role));
    let opened = scene
        .engine
        .open_session(
            PrincipalId::new(who),
            ResourceId::new(resource),
            named,
            "postgres",
            client(),
            None,
            None,
        )
        .await;
    let Ok(session) = opened else { return };
    scene.promised("session.opened", Some(session.id().0), Some(who));
    scene.sessions.borrow_mut().push(session.clone());
    let count = scene.below(8);
    for _ in 0..count {
        if session.ending().is_some() {
            break;
        }
        statement(&scene, &session).await;
        scene.pause().await;
    }
    scene.sessions.borrow_mut().retain(|one| one.id() != session.id());
    let why = session.ending().unwrap_or(Ending::User);
    scene.engine.close_session(&session, why).await;
}

/// One statement of a session.
async fn statement(scene: &Rc<Scene>, session: &Session) {
    let actions: &[&str] = match session.role().as_str() {
        "shop-reader" => &["sql.select", "sql.select", "sql.delete"],
        "metrics-writer" => &["sql.select", "sql.select", "sql.insert", "sql.delete"],
        _ => &["sql.select", "sql.insert", "sql.insert", "sql.delete", "sql.update", "sql.drop"],
    };
    let action = scene.pick(actions);
    let provable = action == "sql.select" && scene.chance(70);
    // What is said again is kept once: such a line refers to an earlier one.
    let usual = provable && scene.chance(30);
    let text = if usual { USUAL.to_owned() } else { format!("{action} {}", scene.statement()) };
    // What is held may be tried again: a yes may have been for more than once.
    let times = if scene.chance(40) { 1 + scene.below(3) } else { 1 };
    for _ in 0..times {
        if !attempted(scene, session, (action, &text, provable)).await {
            return;
        }
    }
}

/// Tries it once; whether it was held.
async fn attempted(
    scene: &Rc<Scene>,
    session: &Session,
    (action, text, provable): (&str, &str, bool),
) -> bool {
    let text = text.to_owned();
    let made = |relation: u64| attempt(action, &text, provable, relation);
    for _ in 0..3 {
        let relation = scene.relation.get();
        match scene.engine.judge(session, made(relation)) {
            Judgement::Allow(judged) if provable => {
                let alongside = judged.is_alongside();
                let Ok((forward, pending)) = scene.engine.record_read(judged).await else { return false };
                let answer = Withheld::new(forward.into_bytes());
                let early = scene.fault == Some(Fault::ReleasesEarly);
                let released = Released { text: text.clone(), alongside, settled: false };
                if early {
                    scene.world.borrow_mut().released.push(released.clone());
                }
                scene.pause().await;
                let told = text.len().is_multiple_of(2) && pending.telling().tell(&done(1));
                match pending.durable().await {
                    Ok(ran) => {
                        let _answer = answer.release(&ran);
                        if !early {
                            scene.world.borrow_mut().released.push(released);
                        }
                        if !told {
                            scene.engine.completed(ran, done(1)).await;
                        }
                        return false;
                    }
                    Err(Unrecorded::Stale) => {}
                    Err(_) => return false,
                }
            }
            Judgement::Allow(judged) => {
                if scene.fault == Some(Fault::ForwardsFirst) {
                    execute(scene, session, (&text, None, None), relation);
                }
                match scene.engine.record(judged).await {
                    Ok(recorded) => {
                        forward(scene, session, &text, (recorded, relation)).await;
                        return false;
                    }
                    Err(Unrecorded::Stale) => {}
                    Err(_) => return false,
                }
            }
            Judgement::Hold(held) => {
                let look = look(scene, action, relation);
                let held = match scene.engine.cover(&held, &look) {
                    None => held,
                    Some(cover) => {
                        scene.pause().await;
                        let now = if scene.chance(25) { scene.relation.get() + 1 } else { relation };
                        scene.relation.set(scene.relation.get().max(now));
                        match scene.engine.use_cover(cover, held, ground(action, now)).await {
                            Ok(covered) => {
                                forward(scene, session, &text, (covered.recorded, now)).await;
                                return true;
                            }
                            Err(NotCovered::Ask(held)) => *held,
                            Err(NotCovered::Unrecorded(Unrecorded::Stale)) => continue,
                            Err(NotCovered::Unrecorded(_)) => return true,
                        }
                    }
                };
                let Ok(waiting) = scene.engine.hold(held, look).await else { return true };
                held_statement(scene, session, &text, (waiting, relation)).await;
                return true;
            }
            Judgement::Deny(denied) => {
                let _recorded = scene.engine.denied(denied).await.is_ok();
                return false;
            }
            Judgement::Paused => scene.engine.resumed(session).await,
        }
    }
    false
}

/// A statement that waits for somebody's word.
async fn held_statement(scene: &Rc<Scene>, session: &Session, text: &str, held: (Waiting, u64)) {
    let (mut waiting, relation) = held;
    scene.promised("action.held", Some(waiting.id().0), Some(session.principal().as_str()));
    if scene.chance(8) {
        scene.pause().await;
        scene.engine.withdraw(waiting, Withdrawal::Cancelled).await;
        return;
    }
    if waiting.answer().await != Answer::Approved {
        return;
    }
    scene.pause().await;
    // A door that has more than one handle of a yes uses it as often as it can, also in another session.
    let twins = (0..scene.below(4)).map(|_| {
        let other = scene.chance(40).then(|| scene.another_session()).flatten();
        let session = other.unwrap_or_else(|| session.clone());
        (waiting.twin(&session), session)
    });
    let twins: Vec<(Waiting, Session)> = twins.collect();
    for (waiting, session) in std::iter::once((waiting, session.clone())).chain(twins) {
        // The relation may have become another one while everybody waited.
        let moved = scene.chance(10);
        let now = if moved { scene.relation.get() + 1 } else { relation };
        scene.relation.set(scene.relation.get().max(now));
        let action = text.split(' ').next().unwrap_or_default();
        let mut used = scene.engine.use_receipt(waiting, ground(action, now)).await;
        if let Err(NotUsed::Paused(still)) = used {
            scene.engine.resumed(&session).await;
            used = scene.engine.use_receipt(*still, ground(action, now)).await;
        }
        scene.pause().await;
        if let Ok(recorded) = used {
            forward(scene, &session, text, (recorded, now)).await;
        }
        scene.pause().await;
    }
}

/// Forwards what was recorded, and says how it ended.
pub async fn forward(
    scene: &Rc<Scene>,
    session: &Session,
    text: &str,
    (recorded, relation): (Recorded, u64),
) {
    scene.pause().await;
    let (bytes, ran) = recorded.into_forward();
    if bytes != text.as_bytes() {
        scene.violated("what runs is what was judged", text);
    }
    let times = match scene.fault {
        Some(Fault::ForwardsFirst) if ran.request().is_none() => 0,
        Some(Fault::ForwardsTwice) => 2,
        _ => 1,
    };
    let most = match ran.bounds().map(|bounds| bounds.rows) {
        Some(RowBound::AtMost(rows) | RowBound::Later(rows)) => rows,
        Some(RowBound::Unbounded) | None => 12,
    };
    let touches = u64::try_from(scene.below(13)).unwrap_or(0);
    let beyond = touches > most && scene.fault != Some(Fault::LetsRowsStand);
    let outcome = match scene.below(10) {
        _ if beyond => Completion { result: CompletionResult::BeyondBound { rows: touches }, ..done(0) },
        0 => Completion { result: CompletionResult::Failed { code: "23505".into() }, ..done(0) },
        1 => Completion { result: CompletionResult::Unknown, rows: None, ..done(0) },
        2 => Completion { rows: None, ..done(0) },
        _ => done(touches),
    };
    let stands = matches!(outcome.result, CompletionResult::Done | CompletionResult::Unknown);
    for _ in 0..times {
        execute(scene, session, (text, Some(ran.index()), ran.request()), relation);
        if let Some(last) = scene.world.borrow_mut().executions.last_mut().filter(|_| stands) {
            last.rows = touches;
        }
        scene.pause().await;
    }
    let line = ran.index();
    scene.engine.completed(ran, outcome).await;
    scene.world.borrow_mut().outcomes.push(Told { line, settled: false });
}

fn execute(
    scene: &Scene,
    session: &Session,
    (text, line, request): (&str, Option<u64>, Option<RequestId>),
    relation: u64,
) {
    let (text, relation) = (text.to_owned(), relation.to_string());
    let execution = Execution { text, session: session.id(), line, request, relation, rows: 0 };
    scene.world.borrow_mut().executions.push(execution);
}

fn pending(scene: &Scene, of: impl Fn(&str) -> bool) -> Vec<RequestId> {
    let snapshot = scene.engine.snapshot();
    let pending = snapshot.book.requests().filter(|found| found.state == State::Pending);
    pending.filter(|found| of(found.by.as_str())).map(|found| found.id).collect()
}

/// Whether an access request waits for its answer.
pub fn somebody_waits(scene: &Scene) -> bool {
    let snapshot = scene.engine.snapshot();
    let waits = |found: &Request| found.state == State::Pending && !matches!(found.ask, Ask::Apply { .. });
    snapshot.book.requests().any(waits)
}

pub fn client() -> Client {
    Client {
        address: SocketAddr::from(([127, 0, 0, 1], 50_000)),
        application: "psql".into(),
        tls: true,
        proved: None,
    }
}

/// Sometimes the rows can be counted, and nearly always it is known what else it touches.
fn look(scene: &Scene, action: &str, relation: u64) -> Look {
    let rows = scene.chance(60).then(|| u64::try_from(scene.below(5)).unwrap_or(0));
    let touches = if scene.chance(90) { touches(action, relation) } else { Vec::new() };
    Look { rows, can_bound_rows: true, touches, ..Look::default() }
}

fn touches(action: &str, relation: u64) -> Vec<String> {
    vec![format!("{action} public.orders {relation}")]
}

fn done(rows: u64) -> Completion {
    Completion {
        result: CompletionResult::Done,
        rows: Some(rows),
        bytes: 10,
        micros: 1_000,
        transaction: None,
    }
}

fn relations(relation: u64) -> Vec<RelationVersion> {
    vec![RelationVersion { name: "public.orders".into(), oid: 16_385, version: relation.to_string() }]
}

pub fn ground(action: &str, relation: u64) -> Ground {
    Ground { relations: relations(relation), touches: touches(action, relation), ..Ground::default() }
}

pub fn attempt(action: &str, text: &str, provable_read: bool, relation: u64) -> Attempt {
    let verb = action.trim_start_matches("sql.").to_owned();
    let context: Context = Sql {
        plain: Plain { now: At(0), source: None, via: Via::Postgres },
        purpose: String::new(),
        ticket: None,
        verbs: BTreeSet::from([verb.clone()]),
        reads: BTreeSet::new(),
        writes: BTreeSet::new(),
        functions: BTreeSet::new(),
        has_where: true,
        has_limit: false,
        reach: countersign_policy::context::Reach::default(),
        statements: 1,
        in_transaction: false,
        provable_read,
        rows: None,
    }
    .into();
    Attempt {
        kind: ActionName::new(action),
        actions: [ActionName::new(action)].into(),
        verbs: [verb].into(),
        provable_read,
        context: Arc::new(context),
        text: text.into(),
        parameter_types: [].into(),
        parameters: [].into(),
        relations: relations(relation),
        settings: Arc::default(),
        bytes: Bytes::copy_from_slice(text.as_bytes()),
    }
}
