//! One question, one ruling.
//!
//! Every policy that can apply is judged by itself, so that a gated forbid never hides behind another, and a
//! policy that cannot be evaluated is seen. Whatever is not in order about a question (an unknown principal,
//! a circumstance that is missing or has another type) is an error in the ruling, hence a denial. A question that
//! was asked before is answered from memory, by the rules of [`crate::case`].

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{Entities, Request};
use countersign_core::question::{Context, Question};
use countersign_core::ruling::{Gate, PolicyRef, Ruling};
use countersign_core::{ActionName, Book, PrincipalId};

use crate::actions::{Circumstances, spec};
#[cfg(test)]
use crate::case;
use crate::case::Case;
use crate::ceiling;
use crate::compiled::{Compiled, Judged};
use crate::context;
use crate::fields;
use crate::floor;
use crate::policies::Says;

impl Compiled {
    /// What policy says of a question. `book` tells who is shut out.
    #[must_use]
    pub fn rule(&self, book: &Book, question: &Question) -> Ruling {
        self.rule_on(book, question, &question.action)
    }

    fn rule_on(&self, book: &Book, question: &Question, action: &ActionName) -> Ruling {
        let mut ruling = match self.judge(book, question, action) {
            Ok(ruling) => Ruling::clone(&ruling),
            Err(error) => Ruling { errors: vec![error], ..self.silence() },
        };
        if let Some(beyond) = ceiling::beyond(&self.catalogue, question, action) {
            ruling.forbids.insert(0, beyond);
        }
        if is_shut_out(self, book, &question.principal) {
            ruling.forbids.insert(0, floor::DISABLED.policy_itself());
        }
        ruling
    }

    /// What policy says of one attempt that is several actions at once, the action of `question` aside. The
    /// stricter wins: each needs a permit, and what forbids, holds or fails one does so to all. Circumstances that only some of
    /// the actions have are told about those alone.
    #[must_use]
    pub fn rule_all(&self, book: &Book, question: &Question, actions: &[ActionName]) -> Ruling {
        if let [only] = actions {
            return self.rule_on(book, question, only);
        }
        let mut all = self.silence();
        let mut is_permitted = !actions.is_empty();
        let kinds: Vec<Circumstances> =
            actions.iter().filter_map(|action| Some(spec(action.as_str())?.with)).collect();
        let alike = kinds.iter().all(|kind| Some(kind) == kinds.first());
        for action in actions {
            let one = match spec(action.as_str()).filter(|_| !alike) {
                Some(spec) => {
                    let context = context::share(spec.with, &kinds, &question.context);
                    self.rule_on(book, &Question { context, ..question.clone() }, action)
                }
                None => self.rule_on(book, question, action),
            };
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

    /// Whether what policy says of an attempt depends on no instant: as long as bundle, book and everything else about
    /// the question are the same, so is the ruling.
    #[must_use]
    pub fn is_lasting(&self, book: &Book, question: &Question, actions: &[ActionName]) -> bool {
        actions.iter().all(|action| self.case(book, question, action).is_ok_and(|case| case.is_lasting()))
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

    /// What the policies say: from memory, where the same was asked before.
    fn judge(&self, book: &Book, question: &Question, action: &ActionName) -> Result<Arc<Ruling>, String> {
        let case = self.case(book, question, action)?;
        if let Some(said) = case.said(&question.context) {
            return Ok(said);
        }
        let ruling = Arc::new(self.judge_anew(&case, &question.context)?);
        case.keep(&question.context, &ruling);
        Ok(ruling)
    }

    /// What the policies say, each by itself.
    pub(crate) fn judge_anew(&self, case: &Case, context: &Context) -> Result<Ruling, String> {
        let request = case.request(context)?;
        let more = fields::known(&case.entities, context)?;
        let entities = more.as_ref().unwrap_or(&case.entities);
        let mut ruling = self.silence();
        let mut gates: BTreeMap<&str, Gate> = BTreeMap::new();
        for policy in case.policies.iter().filter_map(|index| self.policies.get(*index)) {
            match self.matches(policy, &request, entities) {
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
        Ok(ruling)
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

/// Whether the principal, or somebody who answers for it, is disabled. A principal that only this bundle
/// knows is looked up among the disabled as well: applying a bundle lets nobody in again.
fn is_shut_out(compiled: &Compiled, book: &Book, principal: &PrincipalId) -> bool {
    if book.catalogue.principals.contains_key(principal) && !book.is_enabled(principal) {
        return true;
    }
    let mut shut = book.disabled().peekable();
    if shut.peek().is_none() {
        return false;
    }
    let chain = compiled.catalogue.chain(principal);
    shut.any(|one| chain.contains(one))
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

#[cfg(test)]
impl Compiled {
    /// The question as Cedar alone would be asked it, for tests: the whole context, checked against the schema,
    /// and every entity that a policy of the bundle names.
    pub(crate) fn asked_in_full(
        &self,
        book: &Book,
        question: &Question,
    ) -> Result<(Request, Entities), String> {
        let name = question.action.as_str();
        let action = self.world.action(name).ok_or("no such action")?;
        let principal = self.world.principal(book, &question.principal, &question.roles).ok_or("nobody")?;
        let target = self.world.target(book, &question.target)?;
        let pairs =
            question.context.iter().map(|(name, value)| ((*name).to_owned(), case::expression(value)));
        let request = Request::new(
            principal.party.uid.clone(),
            action.party.uid.clone(),
            target.party.uid.clone(),
            cedar_policy::Context::from_pairs(pairs).map_err(|error| error.to_string())?,
            Some(&crate::schema::schema()?),
        );
        let every: Vec<&Judged> = self.policies.iter().collect();
        let entities = case::entities(self, (principal, action, target), &every)?;
        let entities = fields::known(&entities, &question.context)?.unwrap_or(entities);
        Ok((request.map_err(|error| error.to_string())?, entities))
    }
}
