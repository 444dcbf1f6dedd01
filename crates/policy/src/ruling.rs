//! One question, one ruling.
//!
//! Every policy that can apply is judged by itself, so that a gated forbid never hides behind another, and a
//! policy that cannot be evaluated is seen. Whatever is not in order about a question (an unknown principal,
//! a circumstance that is missing or has another type) is an error in the ruling, hence a denial.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Context as CedarContext, Entities, Entity, EntityUid, Request, RestrictedExpression};
use countersign_core::question::{Context, Question, Value};
use countersign_core::ruling::{Gate, PolicyRef, Ruling};
use countersign_core::{ActionName, Book, PrincipalId, Span};

use crate::actions::{self, Spec};
use crate::compiled::{Compiled, Judged};
use crate::context;
use crate::entities::{Asked, Known};
use crate::floor;
use crate::policies::Says;

impl Compiled {
    /// What policy says of a question. `book` tells who is shut out.
    #[must_use]
    pub fn rule(&self, book: &Book, question: &Question) -> Ruling {
        let mut ruling = self.silence();
        if is_shut_out(self, book, &question.principal) {
            ruling.forbids.push(floor::DISABLED.policy_itself());
        }
        if let Err(error) = self.judge(question, &mut ruling) {
            ruling.errors.push(error);
        }
        ruling
    }

    /// What policy says of one attempt that is several actions at once, the action of `question` aside. The
    /// stricter wins: each needs a permit, and what forbids, holds or fails one does so to all.
    #[must_use]
    pub fn rule_all(&self, book: &Book, question: &Question, actions: &[ActionName]) -> Ruling {
        let mut all = self.silence();
        let mut is_permitted = !actions.is_empty();
        for action in actions {
            let one = self.rule(book, &Question { action: action.clone(), ..question.clone() });
            is_permitted &= !one.permits.is_empty();
            add(&mut all.permits, one.permits);
            add(&mut all.forbids, one.forbids);
            for gate in one.gates {
                merge(&mut all.gates, gate);
            }
            all.errors.extend(one.errors);
        }
        if !is_permitted {
            all.permits.clear();
        }
        all.errors.dedup();
        all
    }

    /// What policy says of putting `next` in force: the ruling on `policy.apply`, and what the floor demands
    /// for the difference between the two bundles.
    #[must_use]
    pub fn rule_apply(&self, book: &Book, question: &Question, next: &Self) -> Ruling {
        let mut ruling = self.rule(book, question);
        for gate in crate::demands(self, next) {
            merge(&mut ruling.gates, gate);
        }
        ruling
    }

    fn silence(&self) -> Ruling {
        Ruling {
            bundle: self.hash,
            permits: Vec::new(),
            forbids: Vec::new(),
            gates: Vec::new(),
            errors: Vec::new(),
        }
    }

    fn judge(&self, question: &Question, ruling: &mut Ruling) -> Result<(), String> {
        let case = Case::new(self, question)?;
        let mut gates: BTreeMap<&str, Gate> = BTreeMap::new();
        for policy in case.policies {
            match self.matches(policy, &case.request, &case.entities) {
                Ok(false) => {}
                Ok(true) => match &policy.says {
                    Says::Permit => ruling.permits.push(policy.named.clone()),
                    Says::Forbid => ruling.forbids.push(policy.named.clone()),
                    Says::Gate(rule) => {
                        let Some(gate) = self.gates.get(rule) else {
                            return Err(format!("there is no approval rule `{rule}`"));
                        };
                        let gate = gates.entry(rule.as_str()).or_insert_with(|| gate.clone());
                        gate.policies.push(policy.named.clone());
                    }
                },
                Err(error) => ruling.errors.push(format!("`{}`: {error}", policy.named.id)),
            }
        }
        ruling.gates = gates.into_values().collect();
        Ok(())
    }

    fn matches(&self, policy: &Judged, request: &Request, entities: &Entities) -> Result<bool, String> {
        let response = self.authorizer.is_authorized(request, &policy.set, entities);
        let diagnostics = response.diagnostics();
        match diagnostics.errors().next() {
            Some(error) => Err(error.to_string().replace('\n', " ")),
            None => Ok(diagnostics.reason().next().is_some()),
        }
    }
}

/// A question in Cedar's terms, with the policies that can apply to it.
struct Case<'a> {
    policies: Vec<&'a Judged>,
    request: Request,
    entities: Entities,
}

impl<'a> Case<'a> {
    fn new(compiled: &'a Compiled, question: &Question) -> Result<Self, String> {
        let name = question.action.as_str();
        let unknown = || format!("there is no action `{name}`");
        let spec = actions::spec(name).ok_or_else(unknown)?;
        let action = compiled.world.action(name).ok_or_else(unknown)?;
        if let Some(fault) = context::fault(spec.with, &question.context) {
            return Err(format!("the question about `{name}` is malformed: {fault}"));
        }
        let principal = compiled
            .world
            .principal(&question.principal, &question.roles)
            .ok_or_else(|| format!("there is no principal `{}`", question.principal))?;
        let target = compiled.world.target(&question.target)?;
        let request = request(compiled, question, (&principal, action, &target))?;
        let policies = candidates(compiled, spec, &principal, &target);
        let entities = entities(compiled, (principal, action, target), &policies)?;
        Ok(Self { policies, request, entities })
    }
}

fn candidates<'a>(compiled: &'a Compiled, spec: &Spec, principal: &Asked, target: &Asked) -> Vec<&'a Judged> {
    let indices = compiled.by_action.get(spec.name).into_iter().flatten();
    let policies = indices.filter_map(|index| compiled.policies.get(*index));
    policies.filter(|policy| policy.scope.has_parties(&principal.party, &target.party)).collect()
}

fn request(
    compiled: &Compiled,
    question: &Question,
    parts: (&Asked, &Known, &Asked),
) -> Result<Request, String> {
    let (principal, action, target) = parts;
    let context = cedar_context(&question.context)?;
    Request::new(
        principal.party.uid.clone(),
        action.party.uid.clone(),
        target.party.uid.clone(),
        context,
        Some(&compiled.schema),
    )
    .map_err(|error| error.to_string().replace('\n', " "))
}

/// What the policies can reach: the parts of the question, and what their conditions name.
fn entities(
    compiled: &Compiled,
    parts: (Asked, &Known, Asked),
    policies: &[&Judged],
) -> Result<Entities, String> {
    let (principal, action, target) = parts;
    let mut seen: BTreeSet<EntityUid> = BTreeSet::new();
    let named = policies.iter().flat_map(|policy| &policy.names).filter_map(|uid| compiled.world.named(uid));
    // The first of each: the principal of the question knows its roles, the one that a policy names does not.
    let all = principal.entities.into_iter().chain([action.entity.clone()]).chain(target.entities);
    let all: Vec<Entity> = all.chain(named.cloned()).filter(|one| seen.insert(one.uid())).collect();
    Entities::from_entities(all, None).map_err(|error| error.to_string())
}

fn cedar_context(context: &Context) -> Result<CedarContext, String> {
    let pairs = context.iter().map(|(name, value)| ((*name).to_owned(), expression(value)));
    CedarContext::from_pairs(pairs).map_err(|error| error.to_string())
}

fn expression(value: &Value) -> RestrictedExpression {
    match value {
        Value::Bool(value) => RestrictedExpression::new_bool(*value),
        Value::Long(value) => RestrictedExpression::new_long(*value),
        Value::Text(value) => RestrictedExpression::new_string(value.clone()),
        Value::Texts(values) => {
            RestrictedExpression::new_set(values.iter().cloned().map(RestrictedExpression::new_string))
        }
        Value::Span(span) => duration(*span),
        Value::At(at) => RestrictedExpression::new_datetime(milliseconds(&at.rfc3339())),
        // An IPv4 client on an IPv6 socket is an IPv4 client.
        Value::Ip(address) => RestrictedExpression::new_ip(address.to_canonical().to_string()),
    }
}

/// A length of time in Cedar's unit, rounded up: what is longer than a bound stays longer.
pub(crate) fn duration(span: Span) -> RestrictedExpression {
    RestrictedExpression::new_duration(format!("{}ms", (span.0.saturating_add(999)).div_euclid(1_000)))
}

/// RFC 3339 with three digits behind the second instead of six.
fn milliseconds(text: &str) -> String {
    match text.split_once('.') {
        Some((seconds, fraction)) => format!("{seconds}.{}Z", fraction.get(..3).unwrap_or("000")),
        None => text.to_owned(),
    }
}

/// Whether the principal, or somebody who answers for it, is disabled. A principal that only this bundle
/// knows is looked up among the disabled as well: applying a bundle lets nobody in again.
fn is_shut_out(compiled: &Compiled, book: &Book, principal: &PrincipalId) -> bool {
    if book.catalogue.principals.contains_key(principal) && !book.is_enabled(principal) {
        return true;
    }
    let chain = compiled.catalogue.chain(principal);
    book.disabled().any(|shut| chain.contains(shut))
}

fn merge(gates: &mut Vec<Gate>, gate: Gate) {
    match gates.iter_mut().find(|had| had.rule == gate.rule && had.rule_hash == gate.rule_hash) {
        Some(had) => add(&mut had.policies, gate.policies),
        None => {
            gates.push(gate);
            gates.sort_by(|a, b| a.rule.cmp(&b.rule));
        }
    }
}

fn add(policies: &mut Vec<PolicyRef>, more: Vec<PolicyRef>) {
    for one in more {
        if !policies.contains(&one) {
            policies.push(one);
        }
    }
}
