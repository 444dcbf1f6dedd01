//! Pausing: from its line on nothing begins in a session, whatever was judged, held or approved before.

use std::time::Duration;

use countersign_core::Span;
use countersign_core::session::Ending;

use super::{Bench, select, write};
use crate::{Answer, Ground, Judgement, NotUsed, RefusedCode, Session, Unrecorded};

async fn pause(bench: &Bench, session: &Session, by: &str) {
    bench.engine.pause_session(&bench.caller(by), session.id(), "what is this".into()).await.unwrap();
}

async fn resume(bench: &Bench, session: &Session, by: &str) {
    bench.engine.resume_session(&bench.caller(by), session.id(), None).await.unwrap();
}

/// Whether something would be over soon.
async fn soon<T>(what: impl Future<Output = T>) -> bool {
    tokio::time::timeout(Duration::from_secs(5), what).await.is_ok()
}

#[tokio::test]
async fn in_a_paused_session_nothing_is_judged() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    assert_eq!(bench.engine.paused(&session), None);
    pause(&bench, &session, "bob").await;
    assert!(matches!(bench.engine.judge(&session, select("SELECT 1")), Judgement::Paused));
    assert!(matches!(bench.engine.judge(&session, write("DELETE FROM orders")), Judgement::Paused));
    let paused = bench.engine.paused(&session).unwrap();
    assert_eq!((paused.by.as_str(), paused.reason.as_deref()), ("bob", Some("what is this")));
    assert_eq!(session.ending(), None, "its client stays");
    resume(&bench, &session, "bob").await;
    assert!(soon(bench.engine.resumed(&session)).await);
    assert!(matches!(bench.engine.judge(&session, select("SELECT 1")), Judgement::Allow(_)));
    assert_eq!((bench.count("session.locked"), bench.count("session.unlocked")), (1, 1));
}

/// What was judged before the pause and comes to the writer behind it is not recorded, and so is not forwarded, or not
/// answered.
#[tokio::test]
async fn what_was_judged_before_a_pause_does_not_begin_after_it() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let judged = || match bench.engine.judge(&session, select("SELECT 1")) {
        Judgement::Allow(judged) => judged,
        other => panic!("{other:?}"),
    };
    let (first, read) = (judged(), judged());
    pause(&bench, &session, "bob").await;
    assert!(matches!(bench.engine.record(first).await, Err(Unrecorded::Stale)));
    let (_forward, pending) = bench.engine.record_read(read).await.unwrap();
    assert!(matches!(pending.durable().await, Err(Unrecorded::Stale)));
    assert_eq!(bench.count("action.allowed"), 0);
    resume(&bench, &session, "bob").await;
    assert!(bench.engine.record(judged()).await.is_ok());
}

/// Many at once: between the line that pauses and the line that lets go on, there is no line of anything that began.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_begins_between_the_lines_of_a_pause() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (engine, session) = (bench.engine.clone(), session.clone());
            tokio::spawn(async move {
                let mut done = 0;
                while done < 100 {
                    match engine.judge(&session, select("SELECT 1")) {
                        Judgement::Allow(judged) => {
                            done += usize::from(engine.record(judged).await.is_ok());
                        }
                        Judgement::Paused => engine.resumed(&session).await,
                        other => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    for _ in 0..20 {
        pause(&bench, &session, "bob").await;
        tokio::task::yield_now().await;
        resume(&bench, &session, "bob").await;
    }
    for worker in workers {
        worker.await.unwrap();
    }
    let mut paused = false;
    for kind in bench.kinds() {
        match kind.as_str() {
            "session.locked" => paused = true,
            "session.unlocked" => paused = false,
            "action.allowed" => assert!(!paused, "it began in a paused session"),
            _ => {}
        }
    }
    assert_eq!((bench.count("action.allowed"), bench.count("session.locked")), (400, 20));
}

#[tokio::test]
async fn a_yes_that_comes_meanwhile_is_used_afterwards() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let mut waiting = bench.hold(&session, "DELETE FROM orders").await;
    pause(&bench, &session, "bob").await;
    bench.engine.approve(&bench.caller("bob"), waiting.id(), None, None).await.unwrap();
    assert_eq!(waiting.answer().await, Answer::Approved);
    let Err(NotUsed::Paused(still)) = bench.engine.use_receipt(waiting, Ground::default()).await else {
        panic!("it was used")
    };
    resume(&bench, &session, "bob").await;
    let (bytes, ran) = bench.engine.use_receipt(*still, Ground::default()).await.unwrap().into_forward();
    assert_eq!((&bytes[..], bench.count("action.allowed")), (&b"DELETE FROM orders"[..], 1));
    assert!(ran.request().is_some());
}

#[tokio::test]
async fn a_paused_session_ends_with_its_grant() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    pause(&bench, &session, "bob").await;
    bench.pass(Span::minutes(31)).await;
    assert_eq!(session.ended().await, Ending::GrantEnd);
    assert!(soon(bench.engine.resumed(&session)).await, "nobody waits for it any more");
    assert!(matches!(bench.engine.judge(&session, select("SELECT 1")), Judgement::Deny(_)));
    let late = bench.engine.resume_session(&bench.caller("bob"), session.id(), None).await;
    assert!(late.is_err());
}

#[tokio::test]
async fn a_restart_leaves_no_paused_session() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    pause(&bench, &session, "bob").await;
    let bench = bench.crash().await;
    assert_eq!(bench.engine.snapshot().book.sessions().count(), 0);
    let session = bench.connect("alice", "shop-writer").await;
    assert!(matches!(bench.engine.judge(&session, select("SELECT 1")), Judgement::Allow(_)));
}

#[tokio::test]
async fn who_is_paused_sees_by_whom_and_can_do_nothing_about_it() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let shown = |by: &str| bench.engine.session_view(&bench.caller(by), session.id()).unwrap();
    assert!(shown("bob").can_pause && !shown("bob").can_resume && shown("alice").can_pause);
    let nothing = bench.engine.pause_session(&bench.caller("bob"), session.id(), " ".into()).await;
    assert_eq!(nothing.unwrap_err().code, RefusedCode::Invalid);
    pause(&bench, &session, "bob").await;
    let view = shown("alice");
    let paused = view.paused.unwrap();
    assert_eq!((paused.by.id.as_str(), paused.reason.as_deref()), ("bob", Some("what is this")));
    assert!(!view.can_pause && !view.can_resume && view.can_end);
    let own = bench.engine.resume_session(&bench.caller("alice"), session.id(), None).await.unwrap_err();
    assert_eq!(own.code, RefusedCode::NotPermitted);
    assert!(own.message.contains("was paused by somebody else"), "{}", own.message);
    assert!(shown("bob").can_resume && !shown("bob").can_pause);
    bench.engine.end_session(&bench.caller("bob"), session.id()).await.unwrap();
    bench.engine.close_session(&session, Ending::Kill).await;
    let view = shown("bob");
    assert_eq!((view.state, view.paused.is_none(), view.can_resume), ("ended", true, false));
    assert_eq!(view.ended.map(|(_, why)| why), Some(Ending::Kill));
}
