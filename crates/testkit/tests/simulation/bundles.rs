//! The bundles of the simulation, and what they mean, said a second time by a few lines that know no Cedar.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use countersign_core::catalogue::Catalogue;
use countersign_core::{BundleHash, Span};
use countersign_policy::{Compiled, Source, compile};

/// Everybody who acts. The first is the administrator in whose name the first bundle is applied.
pub const USERS: [&str; 6] = ["dave", "alice", "eve", "bob", "bea", "carol"];

/// Who connects to doors: engineers, alice's pipeline, and a DBA, who must not approve for himself.
pub const CLIENTS: [&str; 4] = ["alice", "eve", "ci", "bob"];

const PEOPLE: &str = r#"
[user.alice]
name = "Alice"
[user.eve]
name = "Eve"
[user.bob]
name = "Bob"
[user.bea]
name = "Bea"
[user.carol]
name = "Carol"
[user.dave]
name = "Dave"
[service.ci]
name = "Nightly"
owner = "alice"
[group.dba]
members = ["bob", "bea"]
[group.security]
members = ["carol"]
[group.admins]
members = ["dave"]
"#;

const RULES: &str = r#"
[approval.shop-access]
stages = [{ need = 1, from = ["group:dba"] }]
pending_for = "20m"
valid_for = "10m"
[approval.prod-write]
stages = [{ need = 1, from = ["group:dba"] }]
pending_for = "15m"
valid_for = "5m"
uses = 1
[approval.batch]
stages = [{ need = 1, from = ["group:dba"] }]
pending_for = "15m"
valid_for = "10m"
uses = 3
envelope = { rows = 10, total = 24, uses = 5, longest = "8m" }
[approval.two-pairs]
stages = [{ need = 2, from = ["group:dba"] }, { need = 1, from = ["group:security"] }]
pending_for = "15m"
valid_for = "5m"
uses = 1
envelope = { rows = 6, total = 12, uses = 3, longest = "5m" }
escalate = [{ after = "5m", add = ["group:admins"] }]
[approval.policy-change]
stages = [{ need = 1, from = ["group:security"] }]
pending_for = "1h"
valid_for = "30m"
"#;

const RESOURCES: &str = r#"
[resource.shop]
kind = "postgres"
title = "The shop"
owner = "group:dba"
impact = "high"
recording = "before-release"
host = "127.0.0.1"
port = 5432
database = "shop"
tls = "disable"
[resource.shop.secrets]
shop_reader = "env:READER"
shop_writer = "env:WRITER"
[resource.metrics]
kind = "postgres"
title = "Metrics"
owner = "group:dba"
impact = "low"
recording = "alongside"
host = "127.0.0.1"
port = 5432
database = "metrics"
tls = "disable"
[resource.metrics.secrets]
metrics_writer = "env:METRICS"
"#;

const ROLES: &str = r#"
[role.shop-reader]
title = "Read the shop"
actions = ["sql.read"]
resources = ["shop"]
account = "shop_reader"
longest = "4h"
[role.shop-writer]
title = "Change the shop"
actions = ["sql.read", "sql.write", "sql.ddl"]
resources = ["shop"]
account = "shop_writer"
longest = "4h"
[role.metrics-writer]
title = "Metrics"
actions = ["sql.read", "sql.write"]
resources = ["metrics"]
account = "metrics_writer"
longest = "4h"
"#;

const POLICIES: &str = r#"
@id("everyone-may-ask")
permit (principal, action == Action::"access.request", resource is Role);
@id("shop-roles-need-the-dba")
@gate("shop-access")
forbid (principal, action == Action::"access.request", resource)
when { resource in [Role::"shop-reader", Role::"shop-writer"] };
@id("whoever-is-asked-may-answer")
permit (principal is User, action in [Action::"request.approve", Action::"request.deny"], resource is Request);
@id("own-requests-are-given-up")
permit (principal, action == Action::"request.withdraw", resource is Request);
@id("the-dba-looks-after-the-shop")
permit (
  principal in Group::"dba",
  action in [Action::"grant.revoke", Action::"session.end", Action::"session.pause",
    Action::"session.resume", Action::"principal.disable", Action::"principal.enable", Action::"ledger.read"],
  resource
);
@id("administrators-apply")
permit (principal in Group::"admins", action == Action::"policy.apply", resource);
@id("policy-changes-need-security")
@gate("policy-change")
forbid (principal, action == Action::"policy.apply", resource);
@id("deletes-need-the-dba")
@gate("prod-write")
forbid (principal, action == Action::"sql.delete", resource)
when { resource.impact == "high" };
@id("inserts-need-the-dba")
@gate("batch")
forbid (principal, action == Action::"sql.insert", resource)
when { resource.impact == "high" };
@id("updates-need-many")
@gate("two-pairs")
forbid (principal, action == Action::"sql.update", resource)
when { resource.impact == "high" };
@id("nothing-is-dropped")
forbid (principal, action == Action::"sql.drop", resource);
"#;

/// Deletes need security too, and nothing is updated at all.
const STRICTER: &str = r#"
@id("deletes-need-security-too")
@gate("policy-change")
forbid (principal, action == Action::"sql.delete", resource);
@id("no-updates")
forbid (principal, action == Action::"sql.update", resource);
"#;

/// Nothing that matters to anybody.
const UNRELATED: &str = r#"
@id("security-reads-policy")
permit (principal in Group::"security", action == Action::"policy.read", resource);
"#;

/// One of the bundles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// What every run begins with.
    Base,
    /// More gates, and a forbid.
    Stricter,
    /// Another text that rules the same.
    Unrelated,
}

/// What a bundle says of a statement of somebody who holds the role that permits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It runs.
    Allow,
    /// Nothing lifts it.
    Deny,
    /// It runs when these rules were satisfied.
    Hold(BTreeSet<&'static str>),
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Base, Self::Stricter, Self::Unrelated];

    /// Its files.
    pub fn files(self) -> BTreeMap<String, String> {
        let more = match self {
            Self::Base => "",
            Self::Stricter => STRICTER,
            Self::Unrelated => UNRELATED,
        };
        [
            ("bundle.toml", "name = \"simulation\"\nformat = 1\n".to_owned()),
            ("people.toml", PEOPLE.to_owned()),
            ("resources.toml", RESOURCES.to_owned()),
            ("roles.toml", ROLES.to_owned()),
            ("rules.toml", RULES.to_owned()),
            ("house.cedar", format!("{POLICIES}{more}")),
        ]
        .map(|(path, text)| (path.to_owned(), text))
        .into()
    }

    /// The one with this hash.
    pub fn of(hash: &BundleHash) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.compiled().hash == *hash)
    }

    /// What it says of people and things.
    pub fn catalogue(self) -> Arc<Catalogue> {
        Arc::clone(&self.compiled().catalogue)
    }

    /// What it means for a statement.
    pub fn verdict(self, action: &str, resource: &str) -> Verdict {
        let mut gates = BTreeSet::new();
        match (action, resource) {
            ("sql.drop", _) => return Verdict::Deny,
            ("sql.update", _) if self == Self::Stricter => return Verdict::Deny,
            ("sql.delete", "shop") => drop(gates.insert("prod-write")),
            ("sql.insert", "shop") => drop(gates.insert("batch")),
            ("sql.update", "shop") => drop(gates.insert("two-pairs")),
            _ => {}
        }
        if action == "sql.delete" && self == Self::Stricter {
            gates.insert("policy-change");
        }
        if gates.is_empty() { Verdict::Allow } else { Verdict::Hold(gates) }
    }

    /// All of them, compiled once.
    pub fn compiled_ones() -> &'static [Arc<Compiled>] {
        static COMPILED: OnceLock<Vec<Arc<Compiled>>> = OnceLock::new();
        COMPILED.get_or_init(|| {
            let compiled = Self::ALL.map(|variant| {
                let compiled = compile(&Source { files: variant.files() });
                Arc::new(compiled.unwrap_or_else(|mistakes| panic!("{variant:?}: {mistakes:?}")))
            });
            compiled.into()
        })
    }

    fn compiled(self) -> &'static Compiled {
        &Self::compiled_ones()[self as usize]
    }
}

/// The humans behind a principal: the pipeline is alice's.
pub fn person(principal: &str) -> &str {
    if principal == "ci" { "alice" } else { principal }
}

/// The DBAs.
pub const DBAS: [&str; 2] = ["bob", "bea"];

/// When administrators are asked too, by the rule that escalates.
pub const ESCALATED_AFTER: Span = Span::minutes(5);

/// How many are needed of whom, stage by stage.
pub fn stages(rule: &str, escalated: bool) -> Vec<(usize, Vec<&'static str>)> {
    let mut stages = match rule {
        "shop-access" | "prod-write" | "batch" => vec![(1, DBAS.to_vec())],
        "two-pairs" => vec![(2, DBAS.to_vec()), (1, vec!["carol"])],
        "policy-change" => vec![(1, vec!["carol"])],
        other => panic!("no bundle has a rule `{other}`"),
    };
    if rule == "two-pairs" && escalated {
        stages.iter_mut().for_each(|(_, from)| from.push("dave"));
    }
    stages
}

/// The widest envelope of a rule, if its approvers may give one: rows for a statement, rows in all, uses.
pub fn envelope(rule: &str) -> Option<(u64, u64, usize)> {
    match rule {
        "batch" => Some((10, 24, 5)),
        "two-pairs" => Some((6, 12, 3)),
        _ => None,
    }
}

/// How often a yes under a rule may be used.
pub fn uses(rule: &str) -> usize {
    if rule == "batch" { 3 } else { 1 }
}
