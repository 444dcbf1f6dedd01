//! What a verdict costs: nanoseconds per ruling over a bundle of 50 policies and 2,000 principals.
//!
//! `cargo xtask bench verdict`. Each line is one kind of question: its name, then the median and the 99th percentile,
//! first of questions that were asked before (same person, role, action and resource, and the same values of all
//! circumstances that a policy looks at), then of questions that never were. Building the question's context is part of
//! what is measured.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use countersign_core::question::{Context, Question, Target};
use countersign_core::ruling::Verdict;
use countersign_core::{ActionName, At, Book, PrincipalId, ResourceId, RoleId, Span};
use countersign_policy::context::{Access, Plain, Sql, Via};
use countersign_policy::{Compiled, Source, compile};

const PRINCIPALS: usize = 2_000;
const GROUPS: usize = 40;
const RESOURCES: usize = 20;
const POLICIES: usize = 50;
const ROUNDS: usize = 20_000;
/// What the median of a statement's verdict is meant to stay under, in nanoseconds.
const TARGET_NS: u128 = 30_000;

fn main() -> Result<(), String> {
    let began = now();
    let compiled = compile(&source())
        .map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    println!(
        "compiled {POLICIES} policies and {PRINCIPALS} principals in {} ms",
        began.elapsed().as_millis()
    );
    let book = Book::default();
    println!("{:<24} {:>9} {:>9}   {:>9} {:>9}   ns", "", "again p50", "p99", "anew p50", "p99");
    let slowest = [
        measure("sql.select, allow", &compiled, &book, |nonce| statement("sql.select", nonce))?,
        measure("sql.delete, hold", &compiled, &book, |nonce| statement("sql.delete", nonce))?,
        measure("sql.drop, deny", &compiled, &book, |nonce| statement("sql.drop", nonce))?,
    ]
    .into_iter()
    .max()
    .unwrap_or_default();
    measure("access.request, hold", &compiled, &book, access)?;
    let mark = if slowest < TARGET_NS { "reached" } else { "missed" };
    println!("target: a statement's verdict under {TARGET_NS} ns, asked anew, p50: {slowest} ns, {mark}");
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock; nothing it measures does")]
fn now() -> Instant {
    Instant::now()
}

/// Prints a line; gives the median of questions that were never asked before.
fn measure(
    name: &str,
    compiled: &Compiled,
    book: &Book,
    question: impl Fn(usize) -> Question,
) -> Result<u128, String> {
    let expected = name.split_once(", ").map_or("", |(_, verdict)| verdict);
    let ruling = compiled.rule(book, &question(0));
    let said = match ruling.verdict() {
        Verdict::Allow => "allow".to_owned(),
        Verdict::Hold(_) => "hold".to_owned(),
        Verdict::Deny(_) if ruling.errors.is_empty() => "deny".to_owned(),
        Verdict::Deny(denial) => denial.to_string(),
    };
    if said != expected {
        return Err(format!("{name}: the verdict is {said}"));
    }
    let times = |nonce_of: fn(usize) -> usize| {
        let mut times: Vec<u128> = (0..ROUNDS)
            .map(|round| {
                let began = now();
                black_box(compiled.rule(book, black_box(&question(nonce_of(round)))));
                began.elapsed().as_nanos()
            })
            .collect();
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
        (at(50), at(99))
    };
    let (again, anew) = (times(|_| 0), times(|round| round + 1));
    println!("{name:<24} {:>9} {:>9}   {:>9} {:>9}", again.0, again.1, anew.0, anew.1);
    Ok(anew.0)
}

fn asked(action: &str, target: Target, context: Context, roles: BTreeSet<RoleId>) -> Question {
    Question {
        principal: PrincipalId::new("user-7"),
        roles,
        action: ActionName::new(action),
        target,
        context,
    }
}

fn plain() -> Plain {
    // A Tuesday at 14:00 UTC.
    Plain { now: At(1_772_546_400_000_000), source: Some([10, 1, 2, 3].into()), via: Via::Postgres }
}

fn statement(action: &str, nonce: usize) -> Question {
    let names = |name: &str| BTreeSet::from([name.to_owned()]);
    let context = Sql {
        plain: plain(),
        purpose: "repair the order of a customer".into(),
        ticket: Some("SHOP-1234".into()),
        verbs: names("delete"),
        reads: names(&format!("public.customers_{nonce}")),
        writes: names("public.orders"),
        functions: BTreeSet::from(["pg_catalog.now".to_owned(), "pg_catalog.lower".to_owned()]),
        has_where: true,
        has_limit: false,
        reach: countersign_policy::context::Reach::default(),
        statements: 1,
        in_transaction: true,
        provable_read: false,
        rows: Some(12),
    };
    let roles = BTreeSet::from([RoleId::new("writer-7")]);
    asked(action, Target::Resource(ResourceId::new("db-7")), context.into(), roles)
}

fn access(nonce: usize) -> Question {
    let context = Access {
        plain: plain(),
        duration: Span(Span::minutes(30).0 + i64::try_from(nonce).unwrap_or_default()),
        purpose: "repair the order of a customer".into(),
        ticket: None,
    };
    asked("access.request", Target::Role(RoleId::new("writer-7")), context.into(), BTreeSet::new())
}

fn source() -> Source {
    [
        ("bundle.toml", "name = \"bench\"\nformat = 1\n".to_owned()),
        ("people.toml", people()),
        ("resources.toml", resources()),
        ("roles.toml", roles()),
        ("rules.toml", rules()),
        ("policies.cedar", policies()),
    ]
    .into_iter()
    .collect()
}

fn people() -> String {
    let mut text = String::new();
    for user in 0..PRINCIPALS {
        let _ = writeln!(text, "[user.user-{user}]\nname = \"User {user}\"");
    }
    for group in 0..GROUPS {
        let members = (0..PRINCIPALS).filter(|user| user % GROUPS == group || user % 97 == group);
        let members: Vec<String> = members.map(|user| format!("\"user-{user}\"")).collect();
        let _ = writeln!(text, "[group.team-{group}]\nmembers = [{}]", members.join(", "));
    }
    text
}

fn resources() -> String {
    let mut text = String::new();
    for id in 0..RESOURCES {
        let impact = if id % 2 == 0 { "moderate" } else { "high" };
        let _ = writeln!(
            text,
            "[resource.db-{id}]\nkind = \"postgres\"\ntitle = \"Database {id}\"\nimpact = \"{impact}\"\n\
             owner = \"group:team-0\"\nhost = \"db-{id}.example\"\ndatabase = \"app\"\nlabels = {{ env = \"production\" }}\n\
             secrets = {{ app = \"env:APP\" }}"
        );
    }
    text
}

fn roles() -> String {
    let mut text = String::new();
    for id in 0..RESOURCES {
        for (name, actions) in
            [("reader", "\"sql.read\""), ("writer", "\"sql.read\", \"sql.write\", \"sql.ddl\"")]
        {
            let _ = writeln!(
                text,
                "[role.{name}-{id}]\ntitle = \"{name}\"\nactions = [{actions}]\nresources = [\"db-{id}\"]\n\
                 account = \"app\"\nlongest = \"4h\""
            );
        }
    }
    text
}

fn rules() -> String {
    ["access", "prod-write", "night", "change"]
        .map(|name| {
            format!(
                "[approval.{name}]\nstages = [{{ need = 1, from = [\"group:team-0\", \"owner\"] }}]\n\
                 pending_for = \"15m\"\nvalid_for = \"10m\"\n"
            )
        })
        .concat()
}

/// What a company of this size writes: a dozen policies on statements, most on who may ask for what, some on
/// the gateway itself.
fn policies() -> String {
    const FIXED: &[&str] = &[
        "@gate(\"prod-write\") forbid (principal, action in Action::\"sql.write\", resource) when { resource.impact == \"high\" };",
        "forbid (principal, action == Action::\"sql.drop\", resource) when { resource.hasTag(\"env\") && resource.getTag(\"env\") == \"production\" };",
        "@gate(\"prod-write\") forbid (principal, action in [Action::\"sql.call\", Action::\"sql.unknown\"], resource);",
        "@gate(\"prod-write\") forbid (principal, action in Action::\"sql.ddl\", resource);",
        "@gate(\"night\") forbid (principal, action in Action::\"sql\", resource) when { context.hour < 6 || context.hour > 20 };",
        "forbid (principal, action in Action::\"sql\", resource) when { context has source && !(context.source.isInRange(ip(\"10.0.0.0/8\"))) };",
        "forbid (principal, action in [Action::\"sql.delete\", Action::\"sql.update\"], resource) unless { context.has_where };",
        "forbid (principal, action in Action::\"sql\", resource) when { context.reads.containsAny([\"public.salaries\", \"public.cards\"]) && context.purpose == \"\" };",
        "forbid (principal, action in Action::\"sql.write\", resource) when { context has rows && context.rows > 100000 };",
        "forbid (principal is Agent, action in Action::\"sql.write\", resource);",
        "@gate(\"access\") forbid (principal, action == Action::\"access.request\", resource);",
        "forbid (principal, action == Action::\"access.request\", resource) when { context.duration > duration(\"4h\") };",
        "permit (principal is User, action in [Action::\"request.approve\", Action::\"request.deny\"], resource);",
        "permit (principal in Group::\"team-0\", action in Action::\"class.read\", resource);",
        "permit (principal in Group::\"team-0\", action == Action::\"grant.revoke\", resource);",
        "permit (principal in Group::\"team-1\", action == Action::\"policy.apply\", resource);",
        "@gate(\"change\") forbid (principal, action == Action::\"policy.apply\", resource);",
    ];
    let fixed = FIXED.iter().map(|text| (*text).to_owned());
    let asking = (0..).map(|id| {
        let (group, resource) = (id % GROUPS, id % RESOURCES);
        format!(
            "permit (principal in Group::\"team-{group}\", action == Action::\"access.request\", resource) \
             when {{ resource in [Role::\"reader-{resource}\", Role::\"writer-{resource}\"] }};"
        )
    });
    let policies = fixed.chain(asking).take(POLICIES).enumerate();
    policies.map(|(id, text)| format!("@id(\"policy-{id}\") {text}\n")).collect()
}
