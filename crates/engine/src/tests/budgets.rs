//! Budgets: what is taken is counted, in no restart forgotten, and nothing runs beyond.

use countersign_core::GrantId;
use countersign_core::budget::{Spent, Whose};
use countersign_core::question::Value;

use super::{Bench, bundle, select, until, write};
use crate::views::GrantFilter;
use crate::{Attempt, Completion, CompletionResult, Judgement, Session};

/// The test's bundle, with a budget for those who read the shop.
async fn bench(budget: &str) -> Bench {
    let mut files = bundle();
    let roles = files.get_mut("roles.toml").unwrap();
    *roles = roles.replace("[role.shop-writer]", &format!("{budget}\n[role.shop-writer]"));
    Bench::with_bundle(files).await
}

async fn read(bench: &Bench, session: &Session, rows: u64) -> Result<(), String> {
    match bench.engine.judge(session, select("SELECT 1")) {
        Judgement::Allow(judged) => {
            let (_, pending) = bench.engine.record_read(judged).await.unwrap();
            let ran = pending.durable().await.unwrap();
            let result = CompletionResult::Done;
            let ended =
                Completion { result, rows: Some(rows), bytes: 100, micros: 1_500_000, transaction: None };
            bench.engine.completed(ran, ended).await;
            Ok(())
        }
        Judgement::Deny(denied) => Err(bench.engine.denied(denied).await.unwrap().message),
        Judgement::Hold(held) => Err(format!("held: {}", held.reason())),
        Judgement::Paused => Err("paused".to_owned()),
    }
}

fn spent(bench: &Bench, grant: GrantId) -> Spent {
    let views = bench
        .engine
        .grant_views(&bench.caller("alice"), GrantFilter { mine: true, ..GrantFilter::default() });
    views.iter().find(|view| view.grant.id == grant).unwrap().spent
}

#[tokio::test]
async fn a_grant_is_used_up_by_all_sessions_under_it_and_a_restart_gives_nothing_back() {
    let bench = bench("[role.shop-reader.budget.grant]\nrows = 10").await;
    let grant = bench.grant("alice", "shop-reader").await;
    let (one, other) =
        (bench.connect("alice", "shop-reader").await, bench.connect("alice", "shop-reader").await);
    read(&bench, &one, 4).await.unwrap();
    read(&bench, &other, 5).await.unwrap();
    until(|| spent(&bench, grant).rows == 9).await;
    drop((one, other));
    until(|| bench.count("action.completed") == 2).await;

    let bench = bench.crash().await;
    assert_eq!(
        spent(&bench, grant),
        Spent { statements: 2, rows: 9, bytes: 200, micros: 3_000_000, relations: 0 }
    );
    let session = bench.connect("alice", "shop-reader").await;
    read(&bench, &session, 7).await.unwrap();
    let refused = read(&bench, &session, 1).await.unwrap_err();
    assert_eq!(refused, "the budget of your grant is used up: 16 of 10 rows");
    assert_eq!(spent(&bench, grant).statements, 3, "what was refused is not counted");

    // Another grant is another budget.
    let again = bench.session("alice", "shop-reader").await;
    read(&bench, &again, 1).await.unwrap();
}

#[tokio::test]
async fn a_session_has_a_budget_of_its_own() {
    let bench = bench("[role.shop-reader.budget.session]\nstatements = 2\ntime = \"1h\"").await;
    let session = bench.session("alice", "shop-reader").await;
    read(&bench, &session, 0).await.unwrap();
    read(&bench, &session, 0).await.unwrap();
    let refused = read(&bench, &session, 0).await.unwrap_err();
    assert_eq!(refused, "the budget of this session is used up: 2 of 2 statements");
    let next = bench.connect("alice", "shop-reader").await;
    read(&bench, &next, 0).await.unwrap();
}

#[tokio::test]
async fn what_only_steers_the_session_is_always_possible() {
    let mut files = bundle();
    let roles = files.get_mut("roles.toml").unwrap();
    *roles = roles
        .replace("actions = [\"sql.read\"]", "actions = [\"sql.read\", \"sql.session\"]")
        .replace("[role.shop-writer]", "[role.shop-reader.budget.grant]\nstatements = 1\n[role.shop-writer]");
    let bench = Bench::with_bundle(files).await;
    let session = bench.session("alice", "shop-reader").await;
    read(&bench, &session, 0).await.unwrap();
    assert!(read(&bench, &session, 0).await.is_err());
    let actions = [countersign_core::ActionName::new("sql.session")].into();
    let rollback = Attempt { actions, ..select("ROLLBACK") };
    assert!(matches!(bench.engine.judge(&session, rollback), Judgement::Allow(_)));
}

#[tokio::test]
async fn policies_may_say_what_becomes_of_it() {
    let mut files = bundle();
    let roles = files.get_mut("roles.toml").unwrap();
    let budget = "[role.shop-reader.budget]\nover = \"policy\"\ngrant = { rows = 10 }\n[role.shop-writer]";
    *roles = roles.replace("[role.shop-writer]", budget);
    let policies = files.get_mut("house.cedar").unwrap();
    policies.push_str(
        "@id(\"much\") @gate(\"prod-write\") @reason(\"a lot was read\")
        forbid (principal, action in Action::\"sql\", resource) when { context.over_budget.contains(\"grant.rows\") };",
    );
    let bench = Bench::with_bundle(files).await;
    let session = bench.session("alice", "shop-reader").await;
    for _ in 0..2 {
        read(&bench, &session, 5).await.unwrap();
    }
    assert_eq!(read(&bench, &session, 5).await.unwrap_err(), "held: `prod-write` (a lot was read)");
}

#[tokio::test]
async fn what_was_approved_is_counted_too() {
    let mut files = bundle();
    let roles = files.get_mut("roles.toml").unwrap();
    *roles = roles.replace(
        "[role.metrics-reader]",
        "[role.shop-writer.budget]\ngrant = { statements = 1, rows = 100 }\n[role.metrics-reader]",
    );
    let bench = Bench::with_bundle(files).await;
    let session = bench.session("alice", "shop-writer").await;
    let (_, ran) = bench.run(&session, "DELETE FROM orders").await.into_forward();
    let ended =
        Completion { result: CompletionResult::Done, rows: Some(12), bytes: 9, micros: 1, transaction: None };
    bench.engine.completed(ran, ended).await;
    let Judgement::Deny(denied) = bench.engine.judge(&session, write("DELETE FROM orders")) else { panic!() };
    assert_eq!(denied.reason(), "the budget of your grant is used up: 1 of 1 statements");
}

/// A read of these relations.
fn of(relations: &[&str]) -> Attempt {
    let mut attempt = select("SELECT 1");
    let names = relations.iter().map(|name| (*name).to_owned()).collect();
    std::sync::Arc::make_mut(&mut attempt.context)
        .extend([("touches", Value::Texts(names)), ("resolved", Value::Bool(true))]);
    attempt
}

async fn reads(bench: &Bench, session: &Session, relations: &[&str]) -> Result<(), String> {
    match bench.engine.judge(session, of(relations)) {
        Judgement::Allow(judged) => {
            let (_, pending) = bench.engine.record_read(judged).await.unwrap();
            let ran = pending.durable().await.unwrap();
            let ended = Completion {
                result: CompletionResult::Done,
                rows: Some(11),
                bytes: 1,
                micros: 1,
                transaction: None,
            };
            bench.engine.completed(ran, ended).await;
            Ok(())
        }
        Judgement::Deny(denied) => Err(denied.reason().to_owned()),
        Judgement::Hold(held) => Err(format!("held: {}", held.reason())),
        Judgement::Paused => Err("paused".to_owned()),
    }
}

#[tokio::test]
async fn different_relations_are_counted_and_known_ones_may_be_read_again() {
    let bench =
        bench("[role.shop-reader.budget]\ngrant = { relations = 3 }\nstatement = { relations = 2 }").await;
    let grant = bench.grant("alice", "shop-reader").await;
    let session = bench.connect("alice", "shop-reader").await;
    reads(&bench, &session, &["public.a", "public.b", "pg_catalog.pg_class"]).await.unwrap();
    let refused = reads(&bench, &session, &["public.a", "public.b", "public.c"]).await.unwrap_err();
    assert_eq!(refused, "this touches more relations than one statement may: 3 of 2 relations");
    reads(&bench, &session, &["public.c"]).await.unwrap();
    let refused = reads(&bench, &session, &["public.d"]).await.unwrap_err();
    assert_eq!(refused, "the budget of your grant is used up: 4 of 3 relations");
    drop(session);
    until(|| bench.count("action.completed") == 2).await;

    let bench = bench.crash().await;
    assert_eq!(spent(&bench, grant).relations, 3, "a restart gives nothing back");
    let session = bench.connect("alice", "shop-reader").await;
    reads(&bench, &session, &["public.b", "public.c"]).await.unwrap();
    assert!(reads(&bench, &session, &["public.d"]).await.is_err());
    let Judgement::Deny(denied) = bench.engine.judge(&session, select("SELECT f()")) else { panic!() };
    assert!(denied.reason().contains("nobody can tell how many of 3 relations"), "{}", denied.reason());
    let left: Vec<_> =
        session.allowance(&bench.engine).iter().map(|one| (one.whose, one.spent, one.limit)).collect();
    assert_eq!(left, [(Whose::Grant, 3, 3), (Whose::Statement, 0, 2)]);
}

#[tokio::test]
async fn what_is_flagged_is_told_to_policies_from_then_on() {
    let mut files = bundle();
    let roles = files.get_mut("roles.toml").unwrap();
    let budget =
        "[role.shop-reader.budget]\nstatement = { rows = 10 }\nstatement_over = \"flag\"\n[role.shop-writer]";
    *roles = roles.replace("[role.shop-writer]", budget);
    let policies = files.get_mut("house.cedar").unwrap();
    policies.push_str(
        "@id(\"much\") @gate(\"prod-write\") @reason(\"one gave much\")
        forbid (principal, action in Action::\"sql\", resource) when { context.over_budget.contains(\"statement.rows\") };",
    );
    let bench = Bench::with_bundle(files).await;
    let session = bench.session("alice", "shop-reader").await;
    reads(&bench, &session, &["public.a"]).await.unwrap();
    assert_eq!(
        reads(&bench, &session, &["public.a"]).await.unwrap_err(),
        "held: `prod-write` (one gave much)"
    );
    let other = bench.connect("alice", "shop-reader").await;
    reads(&bench, &other, &["public.a"]).await.unwrap();
}
