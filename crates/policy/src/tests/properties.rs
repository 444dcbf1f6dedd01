//! What holds for every bundle and every question.

use cedar_policy::PolicySet;
use countersign_core::question::{Context, Question, Value};
use countersign_core::ruling::Verdict;
use countersign_core::{At, Book, Span};
use proptest::prelude::*;
use proptest::sample::select;

use super::{asks, book, compiled, demo_with};
use crate::Compiled;
use crate::policies::Says;

const PRINCIPALS: &[&str] = &[
    "principal",
    "principal is User",
    "principal is Service",
    "principal == User::\"alice\"",
    "principal in Group::\"engineers\"",
    "principal in Role::\"shop-writer\"",
    "principal is User in Group::\"dba\"",
];
const ACTIONS: &[&str] = &[
    "action",
    "action == Action::\"sql.delete\"",
    "action == Action::\"sql.write\"",
    "action in Action::\"sql.write\"",
    "action in Action::\"sql\"",
    "action in [Action::\"sql.read\", Action::\"class.govern\"]",
    "action in Action::\"class.act\"",
    "action == Action::\"access.request\"",
];
const RESOURCES: &[&str] = &[
    "resource",
    "resource is Resource",
    "resource == Resource::\"shop\"",
    "resource in Role::\"shop-reader\"",
    "resource is Role",
    "resource == Role::\"shop-writer\"",
    "resource is Gateway",
];
const CONDITIONS: &[&str] = &[
    "",
    "when { context.hour == 14 }",
    "when { context.hour == 3 }",
    "when { principal in Group::\"engineers\" }",
    "unless { principal is User }",
    "when { context.via == \"postgres\" && principal == User::\"alice\" }",
    "when { User::\"bob\" in Group::\"dba\" }",
    "when { context.weekday + 9223372036854775807 > 0 }",
    "when { context has source && context.source.isInRange(ip(\"10.0.0.0/8\")) }",
    "unless { context has source }",
    "when { context.now > datetime(\"2026-01-01\") }",
];
const EFFECTS: &[&str] =
    &["permit", "forbid", "@gate(\"prod-write\") forbid", "@gate(\"policy-change\") forbid"];

fn policy() -> impl Strategy<Value = String> {
    (select(EFFECTS), select(PRINCIPALS), select(ACTIONS), select(RESOURCES), select(CONDITIONS)).prop_map(
        |(effect, principal, action, resource, condition)| {
            format!("{effect} ({principal}, {action}, {resource}) {condition};")
        },
    )
}

fn question() -> impl Strategy<Value = Question> {
    let roles: &[&[&str]] = &[&[], &["shop-reader"], &["shop-writer"], &["shop-reader", "shop-writer"]];
    let actions: Vec<&str> = crate::actions::ACTIONS.iter().map(|spec| spec.name).collect();
    (select(&["alice", "bob", "carol", "dave", "ci"][..]), select(roles), select(actions))
        .prop_map(|(who, roles, action)| asks(who, roles, action))
}

/// Circumstances that the conditions above tell apart.
fn circumstances() -> impl Strategy<Value = Context> {
    let sources = [None, Some([10, 0, 0, 1].into()), Some([192, 0, 2, 1].into())];
    let years = vec![1_600_000_000_000_000, 1_800_000_000_000_000];
    (select(&[3, 14][..]), select(&["postgres", "cli"][..]), select(years), select(sources.to_vec()))
        .prop_map(|(hour, via, now, source)| {
            let common = [
                ("hour", Value::Long(hour)),
                ("via", Value::Text(via.to_owned())),
                ("now", Value::At(At(now))),
            ];
            common.into_iter().chain(source.map(|source| ("source", Value::Ip(source)))).collect()
        })
}

/// A bundle of such policies, if it is one: some heads can never match, which is a mistake.
fn bundle(policies: &[String]) -> Option<Compiled> {
    let text = policies.iter().enumerate().map(|(id, text)| format!("@id(\"p{id}\") {text}\n"));
    crate::compile(&demo_with(&text.collect::<String>())).ok()
}

const NAMES: &[&str] = &[
    "now",
    "hour",
    "source",
    "via",
    "duration",
    "purpose",
    "ticket",
    "verbs",
    "rows",
    "has_where",
    "args",
    "numbers",
    "nonsense",
];

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Long),
        ".{0,8}".prop_map(Value::Text),
        prop::collection::btree_set(".{0,8}", 0..3).prop_map(Value::Texts),
        (0..i64::MAX).prop_map(|micros| Value::Span(Span(micros))),
        (-62_000_000_000_000_000..250_000_000_000_000_000i64).prop_map(|micros| Value::At(At(micros))),
        any::<std::net::IpAddr>().prop_map(Value::Ip),
        prop::collection::btree_map(".{0,8}", ".{0,8}", 0..3).prop_map(Value::Fields),
        prop::collection::btree_map(".{0,8}", any::<i64>(), 0..3).prop_map(Value::Numbers),
    ]
}

/// 0 allows, 1 holds, 2 denies.
fn strictness(verdict: &Verdict<'_>) -> u8 {
    match verdict {
        Verdict::Allow => 0,
        Verdict::Hold(_) => 1,
        Verdict::Deny(_) => 2,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// A forbid more, gated or not, never makes a verdict looser, and lifts no gate.
    #[test]
    fn a_forbid_more_is_never_looser(
        policies in prop::collection::vec(policy(), 0..6),
        forbid in policy().prop_filter("a forbid", |text| !text.starts_with("permit")),
        questions in prop::collection::vec(question(), 16),
    ) {
        let Some(before) = bundle(&policies) else { return Ok(()) };
        let Some(after) = bundle(&[policies, vec![forbid]].concat()) else { return Ok(()) };
        let book = book(&before);
        for question in questions {
            let (was, is) = (before.rule(&book, &question), after.rule(&book, &question));
            prop_assert!(strictness(&is.verdict()) >= strictness(&was.verdict()), "{question:?}\n{was:?}\n{is:?}");
            let kept = was.gates.iter().all(|gate| is.gates.iter().any(|other| other.rule == gate.rule));
            prop_assert!(kept, "{question:?}\n{was:?}\n{is:?}");
        }
    }

    /// A question is accepted exactly when Cedar's schema accepts it.
    #[test]
    fn the_tables_agree_with_the_schema(
        question in question(),
        remove in prop::option::of(select(NAMES)),
        insert in prop::option::of((select(NAMES), value())),
        target in prop::option::of(question()),
    ) {
        let compiled = bundle(&[]).unwrap();
        let mut question = question;
        if let Some(name) = remove {
            question.context.remove(name);
        }
        if let Some((name, value)) = insert {
            question.context.insert(name, value);
        }
        if let Some(other) = target {
            question.target = other.target;
        }
        let ours = compiled.case(&Book::default(), &question, &question.action).and_then(|case| case.request(&question.context));
        let theirs = compiled.asked_in_full(&Book::default(), &question);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?}\n{:?}\n{:?}", question, ours.err(), theirs.err());
    }

    /// What is answered from memory is what would be said anew, whatever was asked before.
    #[test]
    fn memory_says_nothing_else(
        policies in prop::collection::vec(policy(), 1..8),
        mut questions in prop::collection::vec((question(), circumstances()), 8),
        order in prop::collection::vec((0..8usize, 0..8usize), 64),
    ) {
        let Some(compiled) = bundle(&policies) else { return Ok(()) };
        let book = book(&compiled);
        for (which, under) in order {
            let circumstances = questions[under].1.clone();
            let question = &mut questions[which].0;
            question.context.remove("source");
            question.context.extend(circumstances);
            let case = compiled.case(&Book::default(), question, &question.action).unwrap();
            let anew = compiled.judge_anew(&case, &question.context).unwrap();
            prop_assert_eq!(compiled.rule(&book, question), anew, "{:?}", question);
        }
    }

    /// Leaving out the policies whose head does not match changes nothing: Cedar, asked about all of them at
    /// once and with every entity there is, names the same ones.
    #[test]
    fn the_index_agrees_with_cedar(
        policies in prop::collection::vec(policy(), 1..8),
        questions in prop::collection::vec(question(), 16),
    ) {
        let Some(compiled) = bundle(&policies) else { return Ok(()) };
        let book = book(&compiled);
        for question in questions {
            let ruling = compiled.rule(&book, &question);
            let mut ours: Vec<&str> = ruling.permits.iter().chain(&ruling.forbids)
                .chain(ruling.gates.iter().flat_map(|gate| &gate.policies))
                .map(|policy| policy.id.as_str()).collect();
            ours.sort_unstable();
            let (theirs, errors) = everything(&compiled, &question);
            prop_assert_eq!(ours, theirs, "{:?}", question);
            prop_assert_eq!(ruling.errors.len(), errors, "{:?} {:?}", question, ruling.errors);
        }
    }
}

/// What Cedar says of the whole bundle: the policies that match, and how many could not be evaluated.
fn everything<'a>(compiled: &'a Compiled, question: &Question) -> (Vec<&'a str>, usize) {
    let (mut matching, mut errors) = (Vec::new(), 0);
    for wanted in [true, false] {
        let chosen: Vec<_> =
            compiled.policies.iter().filter(|one| (one.says == Says::Permit) == wanted).collect();
        let set =
            PolicySet::from_policies(chosen.iter().map(|one| one.set.policies().next().unwrap().clone()));
        let (request, entities) = compiled.asked_in_full(&Book::default(), question).unwrap();
        let response = compiled.authorizer.is_authorized(&request, &set.unwrap(), &entities);
        errors += response.diagnostics().errors().count();
        let reasons: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        let named = chosen.iter().filter(|one| reasons.iter().any(|id| id == one.named.id.as_str()));
        matching.extend(named.map(|one| one.named.id.as_str()));
    }
    matching.sort_unstable();
    (matching, errors)
}

#[test]
fn the_same_bundle_rules_the_same() {
    let (one, other) = (compiled(&demo_with("")), compiled(&demo_with("")));
    let question = asks("alice", &["shop-writer"], "sql.delete");
    assert_eq!(one.rule(&book(&one), &question), other.rule(&book(&other), &question));
}
