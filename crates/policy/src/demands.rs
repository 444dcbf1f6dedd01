//! What the floor demands when one bundle takes the place of another (contract, section 6).
//!
//! Whoever may apply a bundle could otherwise take away the very gate that holds them. So whatever makes a
//! gate weaker needs the approval that the gate itself demanded, under its old rule and from the people whom
//! the old bundle names. What cannot be compared counts as weaker: a policy whose text means the same in
//! other words is a changed policy.
//!
//! It does not judge what is newly permitted: that is what gates on `policy.apply` are for.

mod facts;
mod loosened;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_core::catalogue::{Place, Rule, Stage};
use countersign_core::ruling::Gate;
use countersign_core::{PersonId, PolicyId, RuleName, Span};

use crate::actions;
use crate::compiled::{Compiled, Judged};
use crate::floor::{self, Check};
use crate::policies::Says;
use crate::rule_form::rule_hash;

/// The gates that putting `new` in force must satisfy because of how it differs from `old`, the bundle in
/// force: each under the old rule, with the reasons in words. None if nothing becomes weaker.
#[must_use]
pub fn demands(old: &Compiled, new: &Compiled) -> Vec<Gate> {
    let mut demands = Demands { old, new, gates: BTreeMap::new() };
    demands.policies();
    demands.rules();
    demands.facts();
    demands.gates.into_values().collect()
}

struct Demands<'a> {
    old: &'a Compiled,
    new: &'a Compiled,
    gates: BTreeMap<RuleName, Gate>,
}

impl<'a> Demands<'a> {
    /// Forbids that are gone, changed, or can now be lifted by somebody else.
    fn policies(&mut self) {
        let next: BTreeMap<&PolicyId, &Judged> =
            self.new.policies.iter().map(|policy| (&policy.named.id, policy)).collect();
        for policy in forbids(self.old) {
            let id = &policy.named.id;
            let change = match next.get(id) {
                None => Some("is removed"),
                Some(next) if !same_body(policy, next) => Some("is changed"),
                Some(next) => match (&policy.says, &next.says) {
                    (_, Says::Permit) => Some("becomes a permit"),
                    (Says::Forbid, Says::Gate(_)) => Some("gets a gate"),
                    (Says::Gate(had), Says::Gate(has)) if had != has => Some("gets another gate"),
                    (_, Says::Forbid) | (_, Says::Gate(_)) => None,
                },
            };
            if let Some(change) = change {
                self.demand_for(policy, floor::GATES, &format!("`{id}` {change}"));
            }
        }
    }

    /// Rules that ask fewer people, other people, or for longer.
    fn rules(&mut self) {
        for name in self.in_use() {
            let old = self.old.catalogue.rules.get(&name);
            // A rule that is gone has no gates any more, and each of those was noticed.
            let Some((old, new)) = old.zip(self.new.catalogue.rules.get(&name)) else { continue };
            let catalogues = (self.old.catalogue.as_ref(), self.new.catalogue.as_ref());
            if let Some(how) = loosened::loosened(old, new, catalogues) {
                self.demand(&name, floor::RULES_LOOSENED, &format!("the rule `{name}` {how}"));
            }
        }
    }

    /// Asks for what lifts `policy`; for a forbid that nothing lifts, what holds the policy itself.
    fn demand_for(&mut self, policy: &Judged, check: Check, reason: &str) {
        match &policy.says {
            Says::Gate(rule) => self.demand(rule, check, reason),
            Says::Forbid | Says::Permit => self.demand_of_governors(check, reason),
        }
    }

    fn demand_of_all(&mut self, check: Check, reason: &str) {
        for rule in self.in_use() {
            self.demand(&rule, check, reason);
        }
        self.demand_of_governors(check, reason);
    }

    /// Those who answer for changes of the bundle have to agree.
    fn demand_of_governors(&mut self, check: Check, reason: &str) {
        let rules = self.governors();
        for rule in &rules {
            self.demand(rule, check, reason);
        }
        if rules.is_empty()
            && let Some(gate) = another_person(self.old)
        {
            let gate = self.gates.entry(gate.rule.clone()).or_insert(gate);
            gate.policies.push(check.policy(reason));
        }
    }

    fn demand(&mut self, rule: &RuleName, check: Check, reason: &str) {
        if let Some(gate) = self.old.gates.get(rule) {
            let gate = self.gates.entry(rule.clone()).or_insert_with(|| gate.clone());
            let policy = check.policy(reason);
            if !gate.policies.contains(&policy) {
                gate.policies.push(policy);
            }
        }
    }

    /// The old rules that a gate names.
    fn in_use(&self) -> BTreeSet<RuleName> {
        forbids(self.old).filter_map(rule_of).cloned().collect()
    }

    /// The old rules that hold `policy.apply`.
    fn governors(&self) -> BTreeSet<RuleName> {
        let apply = actions::spec("policy.apply");
        let holding = forbids(self.old).filter(|one| apply.is_some_and(|spec| one.scope.has_action(spec)));
        holding.filter_map(rule_of).cloned().collect()
    }
}

/// The forbids that a bundle chose to have, gated or not. Those of the floor are in every bundle.
fn forbids(compiled: &Compiled) -> impl Iterator<Item = &Judged> {
    let own = |one: &&Judged| !one.named.id.as_str().starts_with(floor::PREFIX) && one.says != Says::Permit;
    compiled.policies.iter().filter(own)
}

fn rule_of(policy: &Judged) -> Option<&RuleName> {
    match &policy.says {
        Says::Gate(rule) => Some(rule),
        Says::Permit | Says::Forbid => None,
    }
}

/// Whether two policies are the same but for their annotations.
fn same_body(one: &Judged, other: &Judged) -> bool {
    let body = |judged: &Judged| {
        let mut json = judged.set.policies().next()?.to_json().ok()?;
        let object = json.as_object_mut()?;
        object.remove("annotations");
        object.remove("effect");
        Some(json)
    };
    match (body(one), body(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// What is asked for when a bundle without any gate on `policy.apply` gives up a forbid: any other person of
/// the old bundle. Where there is only one person, nobody else can be asked.
fn another_person(old: &Compiled) -> Option<Gate> {
    const PENDING: Span = Span::hours(24);
    const VALID: Span = Span::hours(1);
    let users = old.catalogue.principals.iter().filter(|(_, one)| one.is_user());
    let persons: BTreeSet<&PersonId> = users.clone().map(|(_, one)| &one.person).collect();
    if persons.len() < 2 {
        return None;
    }
    let from = users.map(|(id, _)| Place::User(id.clone())).collect();
    let rule = Rule {
        stages: vec![Stage { need: 1, from }],
        pending_for: PENDING,
        valid_for: VALID,
        uses: 1,
        escalate: Vec::new(),
        envelope: None,
        signed: false,
        pending_in_transaction: None,
        pending_with_locks: None,
    };
    Some(Gate {
        rule: RuleName::new(floor::ANOTHER_PERSON),
        rule_hash: rule_hash(&rule),
        terms: Arc::new(rule),
        policies: Vec::new(),
    })
}
