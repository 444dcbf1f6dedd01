//! A small company: who is in it, what it protects, which rules it has, and what its policy says.
//!
//! ```text
//! alice, alice-admin   two accounts of one person; `bot` is her agent
//! bob, carol           DBAs; `ci` is bob's service, and is in the group too
//! dave                 a lead, hence in security; owns `files`
//! erin                 security
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_core::action::hash;
use countersign_core::catalogue::{
    AgentCeiling, Catalogue, Ceiling, Directory, Escalation, Group, Impact, Place, Principal, PrincipalKind,
    Recording, Resource, Role, Rule, Stage,
};
use countersign_core::ruling::{Gate, PolicyRef, Ruling};
use countersign_core::{
    BundleHash, Digest, DirectoryName, GroupId, PersonId, PolicyId, PrincipalId, ResourceId, RoleId,
    RuleName, Span,
};

/// One bundle: the catalogue, and what policy says of each action.
#[derive(Clone, Debug)]
pub struct World {
    pub bundle: BundleHash,
    pub catalogue: Catalogue,
    pub law: BTreeMap<String, Law>,
}

/// What policy says of an action. Of one that is not in the law: it is permitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Law {
    Permit,
    Hold(Vec<&'static str>),
    NoPermit,
    Forbid,
    Errs,
}

impl World {
    /// The company on an ordinary day.
    pub fn base() -> Self {
        let law = [
            ("access.request/writer", Law::Hold(vec!["prod-write"])),
            ("access.request/owner-only", Law::Hold(vec!["owner"])),
            ("sql.delete", Law::Hold(vec!["prod-write"])),
            ("sql.update", Law::Hold(vec!["two-keys"])),
            ("sql.merge", Law::Hold(vec!["prod-write", "two-keys"])),
            ("sql.copy", Law::Hold(vec!["batch"])),
            ("sql.truncate", Law::Hold(vec!["owner"])),
            ("sql.drop", Law::Forbid),
            ("sql.call", Law::NoPermit),
            ("sql.unknown", Law::Errs),
        ];
        Self {
            bundle: bundle(1),
            catalogue: catalogue(),
            law: law.into_iter().map(|(action, law)| (action.to_owned(), law)).collect(),
        }
    }

    /// The same company under another bundle.
    pub fn changed(&self, number: u8, change: impl FnOnce(&mut Self)) -> Self {
        let mut other = Self { bundle: bundle(number), ..self.clone() };
        change(&mut other);
        other
    }

    pub fn says(&mut self, action: &str, law: Law) {
        self.law.insert(action.to_owned(), law);
    }

    pub fn rule(&mut self, name: &str, change: impl FnOnce(&mut Rule)) {
        let rule = self.catalogue.rules.get_mut(&RuleName::new(name)).unwrap();
        change(Arc::make_mut(rule));
    }

    pub fn group(&mut self, name: &str) -> &mut Group {
        self.catalogue.groups.get_mut(&GroupId::new(name)).unwrap()
    }

    pub fn principal(&mut self, name: &str) -> &mut Principal {
        self.catalogue.principals.get_mut(&who(name)).unwrap()
    }

    pub fn role(&mut self, name: &str) -> &mut Role {
        self.catalogue.roles.get_mut(&RoleId::new(name)).unwrap()
    }

    /// Policy's word on an action, under this bundle.
    pub fn ruling(&self, action: &str) -> Ruling {
        let law = self.law.get(action).unwrap_or(&Law::Permit);
        let mut ruling = Ruling {
            bundle: self.bundle,
            permits: vec![policy("role/any")],
            forbids: vec![],
            gates: vec![],
            errors: vec![],
        };
        match law {
            Law::Permit => {}
            Law::Hold(rules) => ruling.gates = rules.iter().map(|rule| self.gate(rule)).collect(),
            Law::NoPermit => ruling.permits.clear(),
            Law::Forbid => ruling.forbids.push(policy("never")),
            Law::Errs => ruling.errors.push("`risk` is not there".into()),
        }
        ruling
    }

    pub fn gate(&self, rule: &str) -> Gate {
        let terms = Arc::clone(&self.catalogue.rules[&RuleName::new(rule)]);
        let rule_hash = hash(&[&serde_json::to_vec(&terms).unwrap()]);
        Gate { rule: RuleName::new(rule), rule_hash, terms, policies: vec![policy(rule)] }
    }
}

pub fn who(name: &str) -> PrincipalId {
    PrincipalId::new(name)
}

pub fn person(name: &str) -> PersonId {
    PersonId::new(name)
}

pub fn bundle(number: u8) -> BundleHash {
    Digest([number; 32])
}

pub fn group(name: &str) -> Place {
    Place::Group(GroupId::new(name))
}

pub fn stage(need: u32, from: &[Place]) -> Stage {
    Stage { need, from: from.to_vec() }
}

pub fn user(person: &str) -> Principal {
    account(PrincipalKind::User, person)
}

pub fn agent(owner: &str) -> Principal {
    account(PrincipalKind::Agent { owner: who(owner), ceiling: AgentCeiling::default() }, owner)
}

pub fn members<const N: usize>(names: [&str; N]) -> BTreeSet<PrincipalId> {
    names.into_iter().map(who).collect()
}

fn catalogue() -> Catalogue {
    let people = ["alice", "bob", "carol", "dave", "erin"].map(|name| (who(name), user(name)));
    let others = [
        (who("alice-admin"), user("alice")),
        (who("bot"), agent("alice")),
        (who("ci"), account(PrincipalKind::Service { owner: who("bob") }, "bob")),
    ];
    let groups = [
        ("dba", members(["bob", "carol", "ci", "alice-admin"]), vec![]),
        ("leads", members(["dave"]), vec![]),
        ("security", members(["erin", "bot"]), vec!["leads"]),
        ("everyone", members(["alice"]), vec!["dba", "security", "everyone"]),
    ];
    let groups = groups.map(|(name, members, groups)| {
        let groups = groups.into_iter().map(GroupId::new).collect();
        let from = BTreeMap::from([(DirectoryName::new("corp"), BTreeSet::from([name.to_uppercase()]))]);
        let from = if name == "everyone" { BTreeMap::new() } else { from };
        (GroupId::new(name), Group { members, groups, from })
    });
    Catalogue {
        principals: people.into_iter().chain(others).collect(),
        groups: groups.into_iter().collect(),
        roles: [("writer", vec!["shop"]), ("reader", vec!["shop", "files"]), ("owner-only", vec!["files"])]
            .map(|(name, resources)| (RoleId::new(name), role(&resources)))
            .into(),
        resources: [("shop", Some(group("dba"))), ("files", Some(Place::User(who("dave")))), ("attic", None)]
            .map(|(name, owner)| (ResourceId::new(name), resource(owner)))
            .into(),
        rules: rules().map(|(name, rule)| (RuleName::new(name), Arc::new(rule))).into(),
        directories: ["corp", "partners"].map(|name| (DirectoryName::new(name), Directory::default())).into(),
        ..Catalogue::default()
    }
}

fn rules() -> [(&'static str, Rule); 4] {
    let plain = |stages| Rule {
        stages,
        pending_for: Span::minutes(15),
        valid_for: Span::minutes(10),
        uses: 1,
        escalate: vec![],
        envelope: None,
        pending_in_transaction: None,
        pending_with_locks: None,
        signed: false,
    };
    let escalating = |steps: &[(i64, &str)]| -> Vec<Escalation> {
        steps
            .iter()
            .map(|(after, name)| Escalation { after: Span::minutes(*after), add: vec![group(name)] })
            .collect()
    };
    [
        (
            "prod-write",
            Rule { escalate: escalating(&[(5, "leads")]), ..plain(vec![stage(1, &[group("dba")])]) },
        ),
        ("two-keys", plain(vec![stage(1, &[group("dba"), group("leads")]), stage(1, &[group("security")])])),
        (
            "batch",
            Rule {
                uses: 3,
                envelope: Some(Ceiling { rows: 100, total: 250, uses: 10, longest: Span::minutes(40) }),
                valid_for: Span::hours(1),
                pending_for: Span::minutes(30),
                escalate: escalating(&[(20, "everyone"), (10, "security"), (45, "leads")]),
                ..plain(vec![stage(2, &[group("dba"), Place::User(who("erin"))])])
            },
        ),
        ("owner", plain(vec![stage(1, &[Place::Owner])])),
    ]
}

fn account(kind: PrincipalKind, person: &str) -> Principal {
    Principal { kind, person: PersonId::new(person), display: String::new(), email: None, directory: None }
}

fn role(resources: &[&str]) -> Role {
    Role {
        title: String::new(),
        actions: BTreeSet::new(),
        resources: resources.iter().map(|name| ResourceId::new(name)).collect(),
        account: "app".into(),
        longest: Span::hours(4),
        budget: None,
        tools: BTreeMap::new(),
    }
}

fn resource(owner: Option<Place>) -> Resource {
    Resource {
        kind: "postgres".into(),
        title: String::new(),
        owner,
        impact: Impact::High,
        labels: BTreeMap::new(),
        recording: Recording::BeforeRelease,
        settings: BTreeMap::new(),
        secrets: BTreeMap::new(),
        certificates: BTreeMap::new(),
        relations: BTreeMap::new(),
    }
}

fn policy(name: &str) -> PolicyRef {
    PolicyRef { id: PolicyId::new(name), hash: hash(&[name.as_bytes()]), reason: None }
}
