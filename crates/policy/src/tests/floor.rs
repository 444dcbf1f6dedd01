//! The floor: what no bundle can remove, tried against bundles that do their worst.

use countersign_core::question::{Question, Target};
use countersign_core::{ActionName, GrantId, PersonId, PrincipalId, RequestId, RoleId, SessionId, Span};

use super::{access, asks, demo_but, demo_with, rule, said};
use crate::Source;

/// A bundle that permits everything to everybody and has one human with two accounts, a service and an agent.
fn everything() -> Source {
    let mut source = demo_but(
        "people.toml",
        "[service.ci]",
        "[user.alice2]\nname = \"Alice again\"\nperson = \"alice\"\n\n[agent.bot]\nowner = \"alice\"\n\n[service.ci]",
    );
    source
        .files
        .insert("all.cedar".into(), "@id(\"everything\") permit (principal, action, resource);".into());
    source
}

fn of(person: &str, action: &str) -> Target {
    Target::Request {
        id: RequestId(1),
        principal: PrincipalId::new(person),
        person: PersonId::new(person),
        action: ActionName::new(action),
    }
}

/// A thing of this principal's, whose person is alice.
fn of_alices(principal: &str, action: &str) -> Target {
    let (principal, person) = (PrincipalId::new(principal), PersonId::new("alice"));
    match action.split('.').next().unwrap() {
        "request" => {
            Target::Request { id: RequestId(1), principal, person, action: ActionName::new("sql.delete") }
        }
        "grant" => Target::Grant { id: GrantId(1), principal, person, role: RoleId::new("shop-writer") },
        "session" => Target::Session { id: SessionId(1), principal, person },
        _ => Target::Principal(principal),
    }
}

#[test]
fn nobody_answers_a_request_of_their_own_person() {
    for action in ["request.approve", "request.deny"] {
        for (who, person) in [("alice", "alice"), ("alice2", "alice"), ("dave", "dave")] {
            let question = Question { target: of(person, "policy.apply"), ..asks(who, &[], action) };
            assert_eq!(
                said(&rule(&everything(), &question)),
                "deny floor/nobody-answers-their-own-request",
                "{who} {action} {person}"
            );
        }
        let question = Question { target: of("alice", "sql.delete"), ..asks("bob", &[], action) };
        assert_eq!(said(&rule(&everything(), &question)), "allow");
    }
}

#[test]
fn services_and_agents_never_decide_mint_or_govern() {
    let source = everything();
    for action in crate::actions::all() {
        let class = crate::class_of(&action).unwrap();
        let forbidden = matches!(class, crate::Class::Decide | crate::Class::Mint | crate::Class::Govern);
        for who in ["ci", "bot"] {
            let mut question = asks(who, &[], action.as_str());
            if action.as_str().starts_with("request.") {
                question.target = of("carol", "sql.delete");
            }
            let said = said(&rule(&source, &question));
            assert_eq!(
                said.contains("floor/only-people-decide"),
                forbidden,
                "{who} {action} ({}): {said}",
                class.as_str()
            );
        }
    }
}

#[test]
fn no_grant_outlasts_its_role() {
    let source = demo_but(
        "roles.toml",
        "account = \"shop_writer\"\nlongest = \"4h\"",
        "account = \"shop_writer\"\nlongest = \"1h\"",
    );
    let ask = |span: Span| {
        let question = Question { context: access(span).into(), ..asks("alice", &[], "access.request") };
        said(&rule(&source, &question))
    };
    assert_eq!(ask(Span::hours(1)), "hold shop-access");
    assert_eq!(ask(Span::minutes(61)), "deny floor/no-longer-than-the-role-allows");
}

#[test]
fn nobody_enables_an_account_of_their_own_person() {
    let enable = |who: &str, whom: &str| {
        let target = Target::Principal(PrincipalId::new(whom));
        said(&rule(&everything(), &Question { target, ..asks(who, &[], "principal.enable") }))
    };
    assert_eq!(enable("alice2", "alice"), "deny floor/nobody-enables-themselves");
    assert_eq!(enable("alice", "bot"), "deny floor/nobody-enables-themselves");
    assert_eq!(enable("alice", "alice"), "deny floor/nobody-enables-themselves");
    assert_eq!(enable("bob", "alice"), "allow");
}

/// What is one's own is one's own under any bundle, and only that.
#[test]
fn everybody_sees_and_ends_what_is_their_own() {
    let mut source = demo_but("people.toml", "[service.ci]", "[user.eve]\nname = \"Eve\"\n\n[service.ci]");
    source.files.retain(|path, _| !path.ends_with(".cedar"));
    source.files.insert("rules.toml".into(), String::new());
    for action in [
        "request.read",
        "request.withdraw",
        "grant.read",
        "grant.revoke",
        "session.read",
        "session.end",
        "session.pause",
        "session.resume",
        "principal.read",
        "credential.mint",
    ] {
        let others = if action == "credential.mint" { "allow" } else { "-" };
        assert_eq!(said(&rule(&source, &asks("alice", &[], action))), "allow", "{action}");
        assert_eq!(said(&rule(&source, &asks("eve", &[], action))), others, "{action}");
    }
    for action in ["policy.apply", "ledger.read", "principal.disable", "access.request", "sql.select"] {
        assert_eq!(said(&rule(&source, &asks("alice", &[], action))), "-", "{action}");
    }
}

/// People see what belongs to their person, hence to their agents; an agent sees what is its own, and nothing of its
/// owner's or of another agent's, though all have one person.
#[test]
fn an_agent_is_not_its_owner() {
    let mut source = everything();
    source.files.retain(|path, _| !path.ends_with(".cedar"));
    source.files.insert("rules.toml".into(), String::new());
    let people = source.files.get_mut("people.toml").unwrap();
    people.push_str("\n[agent.other]\nowner = \"alice\"\n\n[service.job]\nowner = \"alice\"\n");
    let compiled = super::compiled(&source);
    let book = super::book(&compiled);
    let asked = |who: &str, whose: &str, action: &str| {
        let question = Question { target: of_alices(whose, action), ..asks(who, &[], action) };
        said(&compiled.rule(&book, &question))
    };
    for action in ["request.read", "request.withdraw", "grant.read", "session.read", "principal.read"] {
        for whose in ["alice", "alice2", "bot", "other", "job"] {
            for who in ["alice", "alice2"] {
                assert_eq!(asked(who, whose, action), "allow", "{who} {action} {whose}");
            }
            for who in ["bot", "job"] {
                let expected = if who == whose { "allow" } else { "-" };
                assert_eq!(asked(who, whose, action), expected, "{who} {action} {whose}");
            }
            assert_eq!(asked("bob", whose, action), "-", "bob {action} {whose}");
        }
    }
    for action in ["grant.revoke", "session.end", "session.pause", "session.resume"] {
        assert_eq!(asked("alice", "bot", action), "allow", "{action}");
        assert_eq!(asked("bot", "bot", action), "-", "{action}");
    }
}

#[test]
fn a_bundle_may_forbid_what_the_floor_permits() {
    let policy = "@id(\"no-keys\") forbid (principal, action == Action::\"credential.mint\", resource);";
    assert_eq!(said(&rule(&demo_with(policy), &asks("alice", &[], "credential.mint"))), "deny no-keys");
}

#[test]
fn a_bundle_cannot_take_the_name_of_the_floor() {
    let policy = "@id(\"floor/only-people-decide\") permit (principal, action, resource);";
    let found = crate::compile(&demo_with(policy)).unwrap_err();
    assert!(
        super::lines(&found).contains("`floor/only-people-decide` is not a name"),
        "{}",
        super::lines(&found)
    );
}

#[test]
fn a_role_named_like_anything_stays_a_role() {
    let source = demo_but(
        "roles.toml",
        "[role.shop-reader]",
        "[role.floor]\ntitle = \"x\"\nactions = [\"sql.read\"]\nresources = [\"shop\"]\naccount = \"shop_reader\"\nlongest = \"1h\"\n\n[role.shop-reader]",
    );
    let ruling = rule(&source, &asks("alice", &["floor"], "sql.select"));
    assert_eq!(ruling.permits[0].id.as_str(), "role/floor");
}
