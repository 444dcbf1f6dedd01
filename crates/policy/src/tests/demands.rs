//! What a change of the bundle needs under the old rules.

use countersign_core::RuleName;

use super::{changed, compiled, demo_but, demo_source, demo_with, demo_without};
use crate::{Source, demands};

/// The rules that a change needs, with the reasons.
fn needs(old: &Source, new: &Source) -> Vec<(String, Vec<String>)> {
    let gates = demands(&compiled(old), &compiled(new));
    let told = gates.into_iter().map(|gate| {
        assert!(gate.policies.iter().all(|policy| policy.id.as_str().starts_with("floor/")));
        let reasons = gate.policies.iter().map(|policy| policy.reason.as_deref().unwrap().to_owned());
        (gate.rule.to_string(), reasons.collect())
    });
    told.collect()
}

fn from_demo(new: &Source) -> Vec<(String, Vec<String>)> {
    needs(&demo_source(), new)
}

/// The one rule that a change needs; panics if it needs another number of them.
fn one(new: &Source) -> (String, String) {
    let needed = from_demo(new);
    let [(rule, reasons)] = &needed[..] else { panic!("{needed:?}") };
    (rule.clone(), reasons.join("; "))
}

fn pair(rule: &str, reason: &str) -> (String, String) {
    (rule.to_owned(), reason.to_owned())
}

const GATED: &str = "writes-to-high-impact-need-the-dba";

#[test]
fn nothing_is_needed_for_what_is_the_same_or_stricter() {
    assert_eq!(from_demo(&demo_source()), []);
    let stricter = [
        demo_with("@id(\"more\") forbid (principal, action == Action::\"sql.delete\", resource);"),
        demo_with(
            "@id(\"more\") @gate(\"policy-change\") forbid (principal, action == Action::\"sql.select\", resource);",
        ),
        demo_with("@id(\"more\") permit (principal, action == Action::\"ledger.read\", resource);"),
        demo_but("rules.toml", "uses = 1 #", "uses = 1\n#"),
        demo_but("rules.toml", "valid_for = \"1h\"", "valid_for = \"30m\""),
        demo_but("rules.toml", "uses = 1 #", "signed = true\nuses = 1 #"),
        demo_but("rules.toml", "[\"group:dba\", \"owner\"]", "[\"group:dba\"]"),
        demo_but("rules.toml", "escalate = [{ after = \"5m\"", "escalate = [{ after = \"7m\""),
        demo_but("statements.cedar", "@gate(\"prod-write\")\n@reason(\"it cannot", "@reason(\"it cannot"),
        demo_but(
            "statements.cedar",
            "need a second pair of eyes\")\nforbid (\n  principal,\n  action in Action::\"sql.write\"",
            "must be seen twice\")\nforbid (\n  principal,\n  action in Action::\"sql.write\"",
        ),
        demo_but("people.toml", "members = [\"bob\"]", "members = []"),
        demo_but("people.toml", "Alice Archer", "Alice Baker"),
        demo_but("resources.toml", "host = \"127.0.0.1\"", "host = \"localhost\""),
    ];
    for new in stricter {
        assert_eq!(from_demo(&new), []);
    }
}

#[test]
fn a_gate_goes_only_with_the_word_of_those_it_asks() {
    assert_eq!(
        one(&demo_without("statements.cedar", GATED)),
        pair("prod-write", "`writes-to-high-impact-need-the-dba` is removed")
    );
    let other = demo_but("statements.cedar", "it cannot be proved", "x");
    assert_eq!(from_demo(&other), []);
    let narrowed = demo_but(
        "statements.cedar",
        "action in [Action::\"sql.call\", Action::\"sql.unknown\"]",
        "action in [Action::\"sql.call\"]",
    );
    assert_eq!(one(&narrowed), pair("prod-write", "`what-may-change-anything-needs-the-dba` is changed"));
    let asks_others = demo_but("access.cedar", "@gate(\"shop-access\")", "@gate(\"prod-write\")");
    let asks_others = changed(
        asks_others,
        "statements.cedar",
        "@gate(\"prod-write\")\n@reason(\"it cannot",
        "@gate(\"shop-access\")\n@reason(\"it cannot",
    );
    assert_eq!(
        from_demo(&asks_others),
        [
            (
                "prod-write".to_owned(),
                vec!["`what-may-change-anything-needs-the-dba` gets another gate".to_owned()]
            ),
            (
                "shop-access".to_owned(),
                vec!["`access-to-the-shop-needs-the-dba` gets another gate".to_owned()]
            ),
        ]
    );
    let permit = demo_but(
        "statements.cedar",
        "@gate(\"prod-write\")\n@reason(\"it cannot be proved that this only reads\")\nforbid",
        "@reason(\"it cannot be proved that this only reads\")\npermit",
    );
    assert_eq!(one(&permit), pair("prod-write", "`what-may-change-anything-needs-the-dba` becomes a permit"));
}

#[test]
fn a_forbid_is_given_up_only_with_the_word_of_those_who_hold_the_policy() {
    for (new, change) in [
        (demo_without("statements.cedar", "no-drop-in-production"), "is removed"),
        (demo_but("statements.cedar", "== \"production\"", "== \"prod\""), "is changed"),
        (
            demo_but(
                "statements.cedar",
                "@id(\"no-drop-in-production\")",
                "@gate(\"prod-write\") @id(\"no-drop-in-production\")",
            ),
            "gets a gate",
        ),
    ] {
        assert_eq!(one(&new), pair("policy-change", &format!("`no-drop-in-production` {change}")));
    }
}

#[test]
fn the_gate_on_the_policy_itself_is_guarded() {
    let new = demo_without("house.cedar", "policy-changes-need-security");
    assert_eq!(one(&new), pair("policy-change", "`policy-changes-need-security` is removed"));
}

/// A bundle that nobody must countersign does not give up a forbid on one person's word either.
#[test]
fn without_a_rule_to_ask_any_other_person_is_asked() {
    let old = demo_without("house.cedar", "policy-changes-need-security");
    let mut new = old.clone();
    let text = new.files.get_mut("statements.cedar").unwrap();
    text.truncate(text.find("@id(\"no-drop-in-production\")").unwrap());
    let gates = demands(&compiled(&old), &compiled(&new));
    let [gate] = &gates[..] else { panic!("{gates:?}") };
    assert_eq!(gate.rule, RuleName::new("floor.another-person"));
    let from: Vec<String> = gate.terms.stages[0].from.iter().map(ToString::to_string).collect();
    assert_eq!(
        (gate.terms.stages[0].need, from.join(" ")),
        (1, "user:alice user:bob user:carol user:dave".to_owned())
    );
}

#[test]
fn a_rule_is_loosened_only_with_the_word_of_those_it_asked() {
    let cases = [
        ("valid_for = \"1h\"", "valid_for = \"2h\"", "policy-change", "lets a yes be used for longer"),
        ("uses = 1 #", "uses = 2 #", "prod-write", "lets a yes be used more often"),
        (
            "[\"group:dba\", \"owner\"]",
            "[\"group:dba\", \"user:alice\"]",
            "prod-write",
            "asks fewer people, or other people",
        ),
        (
            "from = [\"group:dba\"]",
            "from = [\"group:admins\"]",
            "shop-access",
            "asks fewer people, or other people",
        ),
        ("after = \"5m\"", "after = \"1m\"", "prod-write", "asks fewer people, or other people"),
        (
            "escalate = [{ after = \"5m\", add = [\"group:security\"] }]",
            "escalate = [{ after = \"5m\", add = [\"group:security\", \"group:admins\"] }]",
            "prod-write",
            "asks fewer people, or other people",
        ),
    ];
    for (was, is, rule, how) in cases {
        assert_eq!(
            one(&demo_but("rules.toml", was, is)),
            pair(rule, &format!("the rule `{rule}` {how}")),
            "{is}"
        );
    }
}

#[test]
fn a_signature_is_given_up_only_with_the_word_of_those_who_sign() {
    let signed = demo_but("rules.toml", "uses = 1 #", "signed = true\nuses = 1 #");
    let needed = needs(&signed, &demo_source());
    let how = "the rule `prod-write` asks for no signature any more".to_owned();
    assert_eq!(needed, [("prod-write".to_owned(), vec![how])]);
    let hash = |source: &Source| compiled(source).gates[&RuleName::new("prod-write")].rule_hash;
    assert_ne!(hash(&signed), hash(&demo_source()), "a yes under one is none under the other");
    let said_no = demo_but("rules.toml", "uses = 1 #", "signed = false\nuses = 1 #");
    assert_eq!(hash(&said_no), hash(&demo_source()));
}

#[test]
fn a_quorum_is_lowered_only_with_the_word_of_the_quorum() {
    let two = |need: u8, stages: &str| {
        let people = demo_but("people.toml", "members = [\"carol\"]", "members = [\"carol\", \"bob\"]");
        let stage = format!("stages = [{{ need = {need}, from = [\"group:security\"] }}{stages}]");
        changed(people, "rules.toml", "stages = [{ need = 1, from = [\"group:security\"] }]", &stage)
    };
    let both = two(1, ", { need = 1, from = [\"group:admins\"] }");
    let reason = |how: &str| [("policy-change".to_owned(), vec![format!("the rule `policy-change` {how}")])];
    assert_eq!(needs(&two(2, ""), &two(1, "")), reason("asks fewer people, or other people"));
    assert_eq!(needs(&two(1, ""), &two(2, "")), []);
    assert_eq!(needs(&both, &two(1, "")), reason("has fewer stages"));
    assert_eq!(needs(&two(1, ""), &both), []);
    let swapped = changed(
        both.clone(),
        "rules.toml",
        "{ need = 1, from = [\"group:security\"] }, { need = 1, from = [\"group:admins\"] }",
        "{ need = 1, from = [\"group:admins\"] }, { need = 1, from = [\"group:security\"] }",
    );
    assert_eq!(needs(&both, &swapped), [], "stages run in parallel; their order means nothing");
    let doubled = changed(
        both.clone(),
        "rules.toml",
        "{ need = 1, from = [\"group:admins\"] }",
        "{ need = 1, from = [\"group:security\"] }",
    );
    assert_eq!(needs(&both, &doubled), reason("asks fewer people, or other people"));
}

/// Nobody joins the approvers by joining their group.
#[test]
fn an_approver_joins_only_with_the_word_of_the_approvers() {
    let joins = demo_but("people.toml", "members = [\"bob\"]", "members = [\"bob\", \"dave\"]");
    assert_eq!(
        from_demo(&joins),
        [
            (
                "prod-write".to_owned(),
                vec!["the rule `prod-write` asks fewer people, or other people".to_owned()]
            ),
            (
                "shop-access".to_owned(),
                vec!["the rule `shop-access` asks fewer people, or other people".to_owned()]
            ),
        ]
    );
    let nested = demo_but("people.toml", "members = [\"bob\"]", "members = [\"bob\"]\ngroups = [\"admins\"]");
    assert_eq!(from_demo(&nested).len(), 2);
    let owner = demo_but("resources.toml", "owner = \"group:dba\"", "owner = \"user:dave\"");
    let told = format!("{:?}", from_demo(&owner));
    assert!(told.contains("`prod-write` asks fewer people, or other people"), "{told}");
}

#[test]
fn one_person_does_not_become_two_on_their_own_word() {
    let two = |person: &str| {
        demo_but(
            "people.toml",
            "[service.ci]",
            &format!("[user.dave2]\nname = \"Dave\"\n{person}\n[service.ci]"),
        )
    };
    let needed = needs(&two("person = \"dave\""), &two(""));
    let rules: Vec<&str> = needed.iter().map(|(rule, _)| rule.as_str()).collect();
    assert_eq!(rules, ["policy-change", "prod-write", "shop-access"]);
    assert_eq!(needed[0].1, ["accounts of the person `dave` are parted"]);
    assert_eq!(needs(&two(""), &two("person = \"dave\"")), []);
    let other_owner = demo_but("people.toml", "owner = \"dave\"", "owner = \"alice\"");
    assert_eq!(from_demo(&other_owner).len(), 3, "the service and dave are parted");
    let becomes = changed(
        demo_source(),
        "people.toml",
        "[service.ci]\nname = \"Nightly report\"\nowner = \"dave\"",
        "[user.ci]\nname = \"ci\"\nperson = \"dave\"",
    );
    let becomes = changed(becomes, "access.cedar", "Service::\"ci\"", "User::\"ci\"");
    let needed = from_demo(&becomes);
    assert_eq!(needed[0].1, ["`ci` becomes a user"]);
}

#[test]
fn what_a_gate_looks_at_is_changed_only_with_the_word_of_those_it_asks() {
    let low = demo_but("resources.toml", "impact = \"high\"", "impact = \"low\"");
    let needed = from_demo(&low);
    let told: Vec<&str> = needed.iter().map(|(rule, _)| rule.as_str()).collect();
    assert_eq!(told, ["policy-change", "prod-write", "shop-access"], "{needed:?}");
    assert_eq!(
        needed[1].1,
        [
            "the resource `shop`, which `writes-to-high-impact-need-the-dba` may look at, changes",
            "the resource `shop`, which `schema-changes-to-high-impact-need-the-dba` may look at, changes",
        ]
    );
    let elsewhere = demo_but(
        "resources.toml",
        "[resource.shop]",
        "[resource.spare]\nkind = \"postgres\"\ntitle = \"x\"\nimpact = \"low\"\nhost = \"127.0.0.1\"\ndatabase = \"shop\"\ntls = \"disable\"\n\n[resource.shop]",
    );
    let told = format!("{:?}", from_demo(&elsewhere));
    assert!(told.contains("`spare` is where the resource `shop` was"), "{told}");
    let among = demo_but(
        "resources.toml",
        "[resource.shop]",
        "[resource.spare]\nkind = \"postgres\"\ntitle = \"x\"\nimpact = \"low\"\nhost = [\"db.example\", \"127.0.0.1:5432\"]\nport = 5433\ndatabase = \"shop\"\n\n[resource.shop]",
    );
    let told = format!("{:?}", from_demo(&among));
    assert!(told.contains("`spare` is where the resource `shop` was"), "{told}");
    let wider = demo_but("roles.toml", "[\"sql.read\", \"sql.export\"]", "[\"sql.read\", \"sql.write\"]");
    assert_eq!(one(&wider), pair("shop-access", "the role `shop-reader` permits more"));
}

#[test]
fn a_group_that_a_gate_names_is_changed_only_with_the_word_of_those_it_asks() {
    let gate = "@id(\"engineers\") @gate(\"policy-change\") forbid (principal in Group::\"engineers\", action == Action::\"sql.select\", resource);";
    let old = demo_with(gate);
    let new = changed(old.clone(), "people.toml", "members = [\"alice\"]", "members = []");
    assert_eq!(
        needs(&old, &new),
        [(
            "policy-change".to_owned(),
            vec!["the group `engineers`, which `engineers` looks at, changes".to_owned()]
        )]
    );
}

#[test]
fn the_ruling_on_an_apply_carries_the_demands() {
    let old = compiled(&demo_source());
    let question = super::asks("dave", &[], "policy.apply");
    let book = super::book(&old);
    let same = old.rule_apply(&book, &question, &old);
    assert_eq!(super::said(&same), "hold policy-change");
    let weaker = compiled(&demo_without("statements.cedar", GATED));
    let ruling = old.rule_apply(&book, &question, &weaker);
    assert_eq!(super::said(&ruling), "hold policy-change, prod-write");
    let removed = compiled(&demo_without("house.cedar", "policy-changes-need-security"));
    let ruling = old.rule_apply(&book, &question, &removed);
    assert_eq!(super::said(&ruling), "hold policy-change");
    assert_eq!(ruling.gates[0].policies.len(), 2);
}
