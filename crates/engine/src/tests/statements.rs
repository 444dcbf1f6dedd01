//! Statements: judged, recorded, held, used, completed; and every way in which they must not run.

use countersign_core::request::{Bounds, Outcome, RowBound, State, Voidance, Withdrawal};
use countersign_core::{RequestId, Span};

use super::{Bench, bundle, client, drop_table, look, select, until, who, write};
use crate::line::Line;
use crate::{
    Answer, Completion, CompletionResult, Ground, Judgement, NotUsed, RefusedCode, SessionRefused,
    Unrecorded, Withheld,
};

/// What the ledger has of statements that nobody was asked about.
fn spoken(bench: &Bench) -> Vec<Line> {
    let mut lines = bench.lines_of("action.allowed");
    lines.extend(bench.lines_of("action.completed"));
    lines
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

#[tokio::test]
async fn the_story_of_one_statement() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let waiting = bench.hold(&session, "DELETE FROM orders WHERE id < 12").await;
    assert_eq!(waiting.asked(), "group:dba (bea, bob)");
    assert_eq!(waiting.rules(), "prod-write");
    assert_eq!(waiting.link(), format!("http://localhost:8443/requests/{}", waiting.id()));
    assert_eq!(waiting.lapses_at(), bench.engine.now().plus(Span::minutes(15)));

    let view = bench.engine.request_view(&bench.caller("bob"), waiting.id()).unwrap();
    assert_eq!(view.text.as_deref(), Some("DELETE FROM orders WHERE id < 12"));
    assert_eq!(view.purpose.as_deref(), Some("repair the orders"));
    assert_eq!(view.rows.unwrap().bound, Some(12));
    assert!(view.can_approve && view.can_deny && !view.can_withdraw);
    let own = bench.engine.request_view(&bench.caller("alice"), waiting.id()).unwrap();
    assert!(!own.can_approve && !own.can_deny && own.can_withdraw);

    bench.engine.approve(&bench.caller("bob"), waiting.id(), Some(view.digest), None).await.unwrap();
    let mut waiting = waiting;
    assert_eq!(waiting.answer().await, Answer::Approved);
    let id = waiting.id();
    let recorded = bench.engine.use_receipt(waiting, Ground::default()).await.unwrap();
    assert_eq!(bench.kinds().last().unwrap(), "action.allowed");
    let (bytes, ran) = recorded.into_forward();
    assert_eq!(&bytes[..], b"DELETE FROM orders WHERE id < 12");
    assert_eq!(ran.bounds(), Some(Bounds { rows: RowBound::AtMost(12) }));
    assert_eq!(ran.request(), Some(id));
    bench.engine.completed(ran, done(12)).await;
    until(|| bench.count("action.completed") == 1).await;
    let view = bench.engine.request_view(&bench.caller("bob"), id).unwrap();
    assert_eq!(view.outcome, Some(Outcome::Done { rows: Some(12) }));
    assert_eq!(
        bench.kinds(),
        [
            "system.started",
            "policy.activated",
            "request.created",
            "decision.approved",
            "decision.quorum_reached",
            "grant.issued",
            "session.opened",
            "action.held",
            "decision.approved",
            "decision.quorum_reached",
            "action.allowed",
            "action.completed",
        ]
    );
}

#[tokio::test]
async fn a_read_is_forwarded_at_once_and_answered_when_it_is_recorded() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-reader").await;
    let Judgement::Allow(judged) = bench.engine.judge(&session, select("SELECT 1")) else { panic!() };
    assert!(!judged.is_alongside());
    let (forward, pending) = bench.engine.record_read(judged).await.unwrap();
    assert_eq!(&forward.into_bytes()[..], b"SELECT 1");
    let mut answer = Withheld::new(Vec::new());
    answer.get_mut().extend_from_slice(b"one row");
    let ran = pending.durable().await.unwrap();
    let line = bench.engine.line(ran.index()).unwrap();
    assert_eq!((line.kind.as_str(), &line.data["recorded"]), ("action.allowed", &"release".into()));
    assert_eq!(answer.release(&ran), b"one row");
    bench.engine.completed(ran, done(1)).await;
}

#[tokio::test]
async fn what_is_no_provable_read_is_recorded_first() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "metrics-reader").await;
    let mut attempt = select("SELECT f()");
    attempt.provable_read = false;
    let Judgement::Allow(judged) = bench.engine.judge(&session, attempt) else { panic!() };
    let Err(Unrecorded::NotARead(judged)) = bench.engine.record_read(judged).await else { panic!() };
    let recorded = bench.engine.record(*judged).await.unwrap();
    assert_eq!(bench.engine.line(recorded.into_forward().1.index()).unwrap().data["recorded"], "first");
}

#[tokio::test]
async fn alongside_is_in_order_and_loses_nothing() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "metrics-reader").await;
    for n in 0..300_u64 {
        let Judgement::Allow(judged) = bench.engine.judge(&session, select("SELECT $1")) else { panic!() };
        assert!(judged.is_alongside());
        let (_, pending) = bench.engine.record_read(judged).await.unwrap();
        let ran = pending.at_once().unwrap();
        bench.engine.completed(ran, done(n)).await;
    }
    until(|| bench.count("action.allowed") == 300).await;
    // How it ended is told once: in the line itself, or in one behind it if that was written already.
    let ended = |lines: &[Line]| -> Vec<(u64, u64)> {
        let told = lines.iter().filter_map(|line| match line.kind.as_str() {
            "action.allowed" => Some((line.index, line.data.get("ended")?["rows"].as_u64()?)),
            "action.completed" => Some((line.data["of"].as_u64()?, line.data["rows"].as_u64()?)),
            _ => None,
        });
        let mut told: Vec<_> = told.collect();
        told.sort_unstable();
        told
    };
    until(|| ended(&spoken(&bench)).len() == 300).await;
    let lines = spoken(&bench);
    let allowed: Vec<_> = lines.iter().filter(|line| line.kind == "action.allowed").collect();
    let expected: Vec<_> = allowed.iter().map(|line| line.index).zip(0..).collect();
    assert_eq!(ended(&lines), expected);
    // The text of a statement that is run again is kept once.
    let (first, again) = (allowed[0], allowed[299]);
    assert_eq!(again.data["text_at"].as_u64(), Some(first.index));
    assert_eq!(again.data["text"], first.data["text"]);
    let kept = bench.engine.0.house.content_at(again, "/data/text").unwrap();
    assert_eq!(kept.bytes, b"SELECT $1");
}

#[tokio::test]
async fn how_a_read_ended_before_its_record_was_written_is_told_once() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let mut told_within = 0;
    for n in 0..100 {
        let Judgement::Allow(judged) = bench.engine.judge(&session, select("SELECT $1")) else { panic!() };
        let (_, pending) = bench.engine.record_read(judged).await.unwrap();
        let telling = pending.telling();
        if n % 2 == 0 {
            tokio::task::yield_now().await;
        }
        let told = telling.tell(&done(n));
        let ran = pending.durable().await.unwrap();
        let line = bench.engine.line(ran.index()).unwrap();
        assert_eq!(line.data["recorded"], "release");
        assert_eq!(line.data.get("ended").is_some(), told);
        if told {
            assert_eq!(line.data["ended"]["rows"], n);
        } else {
            bench.engine.completed(ran, done(n)).await;
        }
        told_within += usize::from(told);
    }
    until(|| bench.count("action.completed") == 100 - told_within).await;
    // Somebody who failed, or comes late, is told of in a line of its own.
    let Judgement::Allow(judged) = bench.engine.judge(&session, select("SELECT $1")) else { panic!() };
    let (_, pending) = bench.engine.record_read(judged).await.unwrap();
    let telling = pending.telling();
    let failed = CompletionResult::Failed { code: "22012".into() };
    assert!(!telling.tell(&Completion { result: failed, ..done(0) }));
    pending.durable().await.unwrap();
    assert!(!telling.tell(&done(0)));
}

#[tokio::test]
async fn what_failed_or_ended_late_has_a_line_of_its_own() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "metrics-reader").await;
    let run = async || {
        let Judgement::Allow(judged) = bench.engine.judge(&session, select("SELECT $1")) else { panic!() };
        bench.engine.record_read(judged).await.unwrap().1.at_once().unwrap()
    };
    let failed = CompletionResult::Failed { code: "22012".into() };
    bench.engine.completed(run().await, Completion { result: failed, rows: None, ..done(0) }).await;
    let late = run().await;
    until(|| bench.count("action.allowed") == 2).await;
    bench.engine.completed(late, done(7)).await;
    until(|| bench.count("action.completed") == 2).await;
    let lines = spoken(&bench);
    assert!(lines.iter().all(|line| line.data.get("ended").is_none()));
    let of = |line: &&Line| line.kind == "action.completed" && line.data["rows"] == 7;
    let of = lines.iter().find(of).unwrap().data["of"].as_u64().unwrap();
    assert_eq!(lines.iter().rfind(|line| line.kind == "action.allowed").unwrap().index, of);
}

#[tokio::test]
async fn no_grant_no_session() {
    let bench = Bench::new().await;
    let open = |role: Option<&str>| {
        let role = role.map(countersign_core::RoleId::new);
        bench.engine.open_session(
            who("alice"),
            countersign_core::ResourceId::new("shop"),
            role,
            "postgres",
            client(),
            None,
            None,
        )
    };
    let refused = open(None).await.unwrap_err();
    assert_eq!(refused.code, RefusedCode::NoGrant);
    assert_eq!(refused.message, "you hold no live grant that reaches `shop`");
    assert_eq!(
        refused.hint.unwrap(),
        "ask for one of `shop-reader`, `shop-writer`, for example: \
         countersign request shop-reader --for 30m --reason \"...\""
    );
    assert_eq!(refused.link.unwrap(), "http://localhost:8443/ask?role=shop-reader");
    let refused = open(Some("shop-writer")).await.unwrap_err();
    assert_eq!(refused.message, "you hold no live grant of role `shop-writer` for `shop`");
    assert_eq!(bench.count("session.refused"), 2);
    bench.grant("alice", "shop-writer").await;
    assert_eq!(open(None).await.unwrap().account(), "shop_writer");
}

#[tokio::test]
async fn forbidden_is_forbidden_and_recorded() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let Judgement::Deny(denied) = bench.engine.judge(&session, drop_table("DROP TABLE orders")) else {
        panic!()
    };
    let refused = bench.engine.denied(denied).await.unwrap();
    assert_eq!(
        refused.message,
        "`sql.drop` on `shop` is forbidden by `nothing-is-dropped` (nothing is dropped by hand)"
    );
    assert!(refused.hint.unwrap().starts_with("no approval lifts this"));
    let line = bench.engine.line(bench.kinds().len() as u64 - 1).unwrap();
    assert_eq!(line.kind, "action.blocked");
    assert!(line.data["reason"].as_str().unwrap().contains("nothing-is-dropped"));
}

#[tokio::test]
async fn a_role_that_does_not_permit_names_one_that_would() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-reader").await;
    let Judgement::Deny(denied) = bench.engine.judge(&session, write("DELETE FROM orders")) else { panic!() };
    let refused = bench.engine.denied(denied).await.unwrap();
    assert_eq!(refused.message, "role `shop-reader` does not permit `sql.delete` on `shop`");
    assert_eq!(
        refused.hint.unwrap(),
        "another role may: countersign request shop-writer --for 30m --reason \"...\""
    );
}

#[tokio::test]
async fn an_allow_that_grew_stale_is_not_recorded() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-reader").await;
    let judge = || match bench.engine.judge(&session, select("SELECT 1")) {
        Judgement::Allow(judged) => judged,
        other => panic!("{other:?}"),
    };
    let (first, second) = (judge(), judge());
    let mut files = bundle();
    files.insert(
        "more.cedar".into(),
        "@id(\"more\") permit (principal is User, action == Action::\"ledger.read\", resource);".into(),
    );
    let applied = bench.engine.apply_bundle(&bench.caller("dave"), files).await.unwrap();
    let crate::Applied::Pending(id) = applied else { panic!() };
    bench.engine.approve(&bench.caller("carol"), id, None, None).await.unwrap();
    assert!(matches!(bench.engine.record(first).await, Err(Unrecorded::Stale)));
    let (_, pending) = bench.engine.record_read(second).await.unwrap();
    assert!(matches!(pending.durable().await, Err(Unrecorded::Stale)));
    let third = judge();
    let grant = bench.engine.snapshot().book.grants().next().unwrap().id;
    bench.engine.revoke(&bench.caller("bob"), grant, Some("enough".into())).await.unwrap();
    assert!(matches!(bench.engine.record(third).await, Err(Unrecorded::Stale)));
    assert_eq!(bench.count("action.allowed"), 0);
    let Judgement::Deny(denied) = bench.engine.judge(&session, select("SELECT 1")) else { panic!() };
    assert_eq!(denied.ending(), Some(countersign_core::session::Ending::Revoked));
}

#[tokio::test]
async fn nothing_is_recorded_under_a_grant_that_has_ended() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-reader").await;
    let judge = || match bench.engine.judge(&session, select("SELECT 1")) {
        Judgement::Allow(judged) => judged,
        other => panic!("{other:?}"),
    };
    let judged = judge();
    bench.grant("alice", "shop-reader").await;
    // The session stands on whichever grant is left, and what was judged on the other one is judged anew.
    let on = judged.statement.grant.unwrap();
    bench.engine.revoke(&bench.caller("bob"), on, Some("enough".into())).await.unwrap();
    assert_eq!(session.ending(), None);
    assert!(matches!(bench.engine.record(judged).await, Err(Unrecorded::Stale)));
    let again = judge();
    assert_ne!(again.statement.grant, Some(on));
    assert!(bench.engine.record(again).await.is_ok());
}

#[tokio::test]
async fn a_receipt_is_used_once_by_its_session_for_its_action() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let waiting = bench.hold(&session, "DELETE FROM orders").await;
    bench.engine.approve(&bench.caller("bob"), waiting.id(), None, None).await.unwrap();
    let id = waiting.id();
    let ground = Ground { settings: [("search_path".into(), "evil".into())].into(), ..Ground::default() };
    let used = bench.engine.use_receipt(waiting, ground).await;
    assert!(matches!(used, Err(NotUsed::Void(Voidance::MeaningChanged))));
    let snapshot = bench.engine.snapshot();
    assert!(matches!(snapshot.book.request(id).unwrap().state, State::Void { .. }));
    // The same text again is another request.
    let waiting = bench.hold(&session, "DELETE FROM orders").await;
    assert_ne!(waiting.id(), id);
    assert_eq!(bench.count("action.allowed"), 0);
}

#[tokio::test]
async fn a_stricter_bundle_voids_what_was_approved() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let waiting = bench.hold(&session, "DELETE FROM orders").await;
    bench.engine.approve(&bench.caller("bob"), waiting.id(), None, None).await.unwrap();
    let mut files = bundle();
    let strict = "@id(\"no-deletes\") forbid (principal, action == Action::\"sql.delete\", resource);";
    files.insert("strict.cedar".into(), strict.into());
    let crate::Applied::Pending(id) = bench.engine.apply_bundle(&bench.caller("dave"), files).await.unwrap()
    else {
        panic!()
    };
    bench.engine.approve(&bench.caller("carol"), id, None, None).await.unwrap();
    let used = bench.engine.use_receipt(waiting, Ground::default()).await;
    assert!(matches!(used, Err(NotUsed::Void(Voidance::PolicyStricter))), "{used:?}");
}

#[tokio::test]
async fn two_approvers_at_once_make_one_receipt() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let mut waiting = bench.hold(&session, "DELETE FROM orders").await;
    let (bob, bea, id) = (bench.caller("bob"), bench.caller("bea"), waiting.id());
    let (one, two) =
        tokio::join!(bench.engine.approve(&bob, id, None, None), bench.engine.approve(&bea, id, None, None));
    assert_eq!(u8::from(one.is_ok()) + u8::from(two.is_ok()), 1, "{one:?} {two:?}");
    assert_eq!(waiting.answer().await, Answer::Approved);
    assert_eq!(bench.count("decision.quorum_reached"), 2, "one for the grant, one for the statement");
    // The no is in the ledger as well.
    assert_eq!(bench.count("decision.evaluated"), 1);
}

#[tokio::test]
async fn a_no_carries_its_comment() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let mut waiting = bench.hold(&session, "DELETE FROM orders").await;
    let (comment, bob) = (Some("not on a Friday".to_owned()), bench.caller("bob"));
    bench.engine.deny(&bob, waiting.id(), comment.clone()).await.unwrap();
    assert_eq!(waiting.answer().await, Answer::Denied { by: who("bob"), comment });
}

#[tokio::test]
async fn nobody_answers_their_own_request() {
    let bench = Bench::new().await;
    let id = bench.ask("bob", "shop-writer").await;
    let refused = bench.engine.approve(&bench.caller("bob"), id, None, None).await.unwrap_err();
    assert_eq!(refused.message, "nobody approves their own request; ask somebody else");
    let refused = bench.engine.approve(&bench.caller("dave"), id, None, None).await.unwrap_err();
    assert_eq!(refused.code, RefusedCode::NotPermitted);
    bench.engine.approve(&bench.caller("bea"), id, None, None).await.unwrap();
}

#[tokio::test]
async fn silence_never_grants() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let mut waiting = bench.hold(&session, "DELETE FROM orders").await;
    bench.pass(Span::minutes(16)).await;
    assert_eq!(waiting.answer().await, Answer::Lapsed);
    assert_eq!(bench.count("request.expired"), 1);
    let refused = bench.engine.approve(&bench.caller("bob"), waiting.id(), None, None).await.unwrap_err();
    assert!(refused.message.ends_with("is lapsed already"), "{}", refused.message);
}

#[tokio::test]
async fn giving_up_withdraws() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let waiting = bench.hold(&session, "DELETE FROM orders").await;
    let id = waiting.id();
    bench.engine.withdraw(waiting, Withdrawal::Cancelled).await;
    let snapshot = bench.engine.snapshot();
    let state = &snapshot.book.request(id).unwrap().state;
    assert!(matches!(state, State::Withdrawn { why: Withdrawal::Cancelled, .. }));
    let mut waiting = bench.hold(&session, "DELETE FROM orders").await;
    let (alice, id) = (bench.caller("alice"), waiting.id());
    assert!(bench.engine.withdraw_request(&bench.caller("bob"), id).await.is_err());
    bench.engine.withdraw_request(&alice, id).await.unwrap();
    assert_eq!(waiting.answer().await, Answer::Withdrawn(Withdrawal::ByRequester));
    assert!(bench.engine.withdraw_request(&alice, RequestId(99)).await.is_err());
}

#[tokio::test]
async fn nothing_is_cut_in_front_of_an_approver() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let text = format!("DELETE FROM orders WHERE note = '{}'", "x".repeat(300_000));
    let Judgement::Hold(held) = bench.engine.judge(&session, write(&text)) else { panic!() };
    let refused = bench.engine.hold(held, look(1)).await.unwrap_err();
    assert_eq!(refused.code, RefusedCode::TooLarge);
    let text = format!("DELETE FROM orders WHERE note = '{}'", "x".repeat(200_000));
    let waiting = bench.hold(&session, &text).await;
    let view = bench.engine.request_view(&bench.caller("bob"), waiting.id()).unwrap();
    assert_eq!(view.text.unwrap(), text);
}

#[tokio::test]
async fn knocking_does_not_fill_the_ledger() {
    let bench = Bench::new().await;
    for _ in 0..100 {
        let refusal = SessionRefused {
            resource: None,
            user: "nobody".into(),
            client: client(),
            why: "the proof was wrong".into(),
        };
        bench.engine.refused(refusal).await;
    }
    assert_eq!(bench.count("session.refused"), 30);
    bench.clock.advance(Span::minutes(1));
    let refusal = SessionRefused { resource: None, user: "x".into(), client: client(), why: "again".into() };
    bench.engine.refused(refusal).await;
    let line = bench.engine.line(bench.kinds().len() as u64 - 1).unwrap();
    assert_eq!(line.data["unwritten"], 70);
}
