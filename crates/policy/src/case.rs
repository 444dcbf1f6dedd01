//! A question made ready for Cedar.
//!
//! Three things make a verdict cheap. Policies that cannot apply are left out ([`crate::scope`]). The rest of
//! what a session asks again and again (who, in which roles, what, to what) is made ready once and kept. And
//! of the circumstances Cedar is given those that a remaining policy looks at: making an instant or an address
//! for Cedar costs as much as judging two policies.
//!
//! What was said is kept as well, a few times for each case, beside the values of the circumstances that its policies
//! look at. Cedar is given nothing else, so the same case with the same values is the same question, and is answered
//! from memory. A case whose policies look at the instant, or at the context as a whole, is never answered so; who is
//! shut out is no part of a case, and is looked up each time.
//!
//! Because a request then carries a part of its context, it is not Cedar that checks the question against the
//! schema but [`context::fault`] and [`Spec`], which the schema is written from. A property test holds both
//! checks against each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use cedar_policy::{
    Context as CedarContext, Entities, Entity, EntityUid, Policy, Request, RestrictedExpression,
};
use countersign_core::directory::Account;
use countersign_core::question::{Context, Question, Target, Value};
use countersign_core::ruling::Ruling;
use countersign_core::{ActionName, Book, PrincipalId, ResourceId, RoleId, Span};
use serde_json::Value as Json;

use crate::actions::{self, On, Spec};
use crate::compiled::{Compiled, Judged};
use crate::context;
use crate::entities::{Asked, Known};
use crate::fields;

/// How many cases are kept, at a few kilobytes each. When there are more, all are forgotten and made again.
const KEPT_MAX: usize = 4_096;

/// How many rulings are kept of one case. Beyond, the oldest is forgotten.
const SAID_MAX: usize = 8;

/// The circumstances of a ruling that is kept have at most this many bytes.
const SAID_BYTES_MAX: usize = 1_024;

/// The one circumstance that is never the same twice.
const NEVER_THE_SAME: &str = "now";

/// The circumstances that follow from the instant.
const OF_THE_INSTANT: [&str; 4] = [NEVER_THE_SAME, "hour", "weekday", "auth_age"];

/// Who, in which roles, does what to what: all of a question but its circumstances.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) entities: Entities,
    /// The policies that can apply, by index.
    pub(crate) policies: Vec<usize>,
    principal: EntityUid,
    action: EntityUid,
    target: EntityUid,
    looks_at: LooksAt,
    said: RwLock<VecDeque<Said>>,
}

/// What was said of a case, and the circumstances that were looked at, in the order of their names.
#[derive(Debug)]
struct Said {
    seen: Vec<Option<Value>>,
    ruling: Arc<Ruling>,
}

/// Which circumstances a policy looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LooksAt {
    /// These.
    Names(BTreeSet<String>),
    /// The context as a whole.
    Everything,
}

/// Cases that were made before.
#[derive(Debug, Default)]
pub(crate) struct Kept(RwLock<Cases>);

#[derive(Debug, Default)]
struct Cases {
    count: usize,
    by_principal: BTreeMap<PrincipalId, BTreeMap<&'static str, Vec<KeptCase>>>,
}

#[derive(Debug)]
struct KeptCase {
    roles: BTreeSet<RoleId>,
    target: Lasting,
    /// What directories say of those that it is about: another word of theirs makes another case.
    said_of: Vec<Option<Account>>,
    case: Arc<Case>,
}

/// A thing that is asked about more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lasting {
    Resource(ResourceId),
    Role(RoleId),
    Principal(PrincipalId),
    Gateway,
}

impl Compiled {
    /// The case of a question about `action`.
    ///
    /// # Errors
    /// What is not in order about the question, in words.
    pub(crate) fn case(
        &self,
        book: &Book,
        question: &Question,
        action: &ActionName,
    ) -> Result<Arc<Case>, String> {
        let name = action.as_str();
        let spec = actions::spec(name).ok_or_else(|| format!("there is no action `{name}`"))?;
        if let Some(fault) = context::fault(spec.with, &question.context) {
            return Err(format!("the question about `{name}` is malformed: {fault}"));
        }
        if !is_done_to(spec.on, &question.target) {
            return Err(format!("the question about `{name}` is malformed: it is not done to such a thing"));
        }
        let Some(lasting) = lasting(&question.target) else {
            return Ok(Arc::new(Case::new(self, book, spec, question)?));
        };
        let about = about(book, question);
        if let Some(case) = self.kept.find(question, spec.name, (&lasting, &about)) {
            return Ok(case);
        }
        let case = Arc::new(Case::new(self, book, spec, question)?);
        let said_of = about.into_iter().map(Option::<&Account>::cloned).collect();
        self.kept.keep(question, spec.name, (lasting, said_of), &case);
        Ok(case)
    }
}

/// What directories say of those that a question is about: who asks, whoever answers for them, and to whom it is done.
/// Nothing at all is the same for everybody whom no directory knows.
fn about<'a>(book: &'a Book, question: &Question) -> Vec<Option<&'a Account>> {
    if book.catalogue.directories.is_empty() {
        return Vec::new();
    }
    let whom = match &question.target {
        Target::Principal(id) => Some(id),
        Target::Resource(_) | Target::Role(_) | Target::Gateway => None,
        Target::Request { .. } | Target::Grant { .. } | Target::Session { .. } => None,
    };
    let asked = [Some(&question.principal), whom].into_iter().flatten();
    let chains = asked.flat_map(|id| book.catalogue.chain(id));
    chains.map(|id| book.account(&id)).collect()
}

impl Kept {
    fn find(
        &self,
        question: &Question,
        action: &str,
        (target, about): (&Lasting, &[Option<&Account>]),
    ) -> Option<Arc<Case>> {
        let cases = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = cases.by_principal.get(&question.principal)?.get(action)?;
        let same = |kept: &&KeptCase| {
            kept.target == *target
                && kept.roles == question.roles
                && kept.said_of.iter().map(Option::as_ref).eq(about.iter().copied())
        };
        found.iter().find(same).map(|kept| Arc::clone(&kept.case))
    }

    fn keep(
        &self,
        question: &Question,
        action: &'static str,
        (target, said_of): (Lasting, Vec<Option<Account>>),
        case: &Arc<Case>,
    ) {
        let mut cases = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if cases.count >= KEPT_MAX {
            *cases = Cases::default();
        }
        cases.count += 1;
        let of_principal = cases.by_principal.entry(question.principal.clone()).or_default();
        let (roles, case) = (question.roles.clone(), Arc::clone(case));
        let kept = of_principal.entry(action).or_default();
        // What directories said before is not asked about again.
        kept.retain(|had| had.target != target || had.roles != roles || had.said_of == said_of);
        kept.push(KeptCase { roles, target, said_of, case });
    }
}

impl Case {
    fn new(
        compiled: &Compiled,
        book: &Book,
        spec: &'static Spec,
        question: &Question,
    ) -> Result<Self, String> {
        let world = &compiled.world;
        let action = world.action(spec.name).ok_or_else(|| format!("there is no action `{}`", spec.name))?;
        let principal = world
            .principal(book, &question.principal, &question.roles)
            .ok_or_else(|| format!("there is no principal `{}`", question.principal))?;
        let mut target = world.target(book, &question.target)?;
        // Who does something to themselves is in their roles on both sides, as for Cedar, to whom they are one entity.
        if target.party.uid == principal.party.uid {
            target.party = principal.party.clone();
        }
        let policies = candidates(compiled, spec, &principal, &target);
        let judged: Vec<&Judged> =
            policies.iter().filter_map(|index| compiled.policies.get(*index)).collect();
        Ok(Self {
            looks_at: judged.iter().fold(LooksAt::Names(BTreeSet::new()), |all, one| all.and(&one.looks_at)),
            principal: principal.party.uid.clone(),
            action: action.party.uid.clone(),
            target: target.party.uid.clone(),
            entities: entities(compiled, (principal, action, target), &judged)?,
            policies,
            said: RwLock::default(),
        })
    }

    /// Whether its policies look at nothing that follows from the instant.
    pub(crate) fn is_lasting(&self) -> bool {
        !OF_THE_INSTANT.iter().any(|name| self.looks_at.has(name))
    }

    /// What was said of it before in circumstances that are the same to its policies.
    pub(crate) fn said(&self, context: &Context) -> Option<Arc<Ruling>> {
        let names = self.looks_at.names()?;
        let said = self.said.read().unwrap_or_else(PoisonError::into_inner);
        let same = |said: &&Said| {
            let seen = said.seen.iter().map(Option::as_ref);
            names.iter().map(|name| context.get(name.as_str())).eq(seen)
        };
        said.iter().find(same).map(|said| Arc::clone(&said.ruling))
    }

    /// Keeps what was said of it in these circumstances, if they can come again.
    pub(crate) fn keep(&self, context: &Context, ruling: &Arc<Ruling>) {
        let Some(names) = self.looks_at.names() else { return };
        let seen = names.iter().map(|name| context.get(name.as_str()));
        if names.contains(NEVER_THE_SAME)
            || seen.clone().flatten().map(bytes_of).sum::<usize>() > SAID_BYTES_MAX
        {
            return;
        }
        let said = Said { seen: seen.map(Option::<&Value>::cloned).collect(), ruling: Arc::clone(ruling) };
        let mut all = self.said.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SAID_MAX {
            all.pop_back();
        }
        all.push_front(said);
    }

    /// The question as Cedar is asked it.
    pub(crate) fn request(&self, context: &Context) -> Result<Request, String> {
        let seen = context.iter().filter(|(name, _)| self.looks_at.has(name));
        let pairs = seen.map(|(name, value)| ((*name).to_owned(), expression(value)));
        let context = CedarContext::from_pairs(pairs).map_err(|error| error.to_string())?;
        let (principal, action, target) = (self.principal.clone(), self.action.clone(), self.target.clone());
        Request::new(principal, action, target, context, None).map_err(|error| error.to_string())
    }
}

impl LooksAt {
    /// What `policy` looks at. Anything but reading or testing one attribute of the context is everything.
    pub(crate) fn of(policy: &Policy) -> Self {
        let mut found = Self::Names(BTreeSet::new());
        match policy.to_json() {
            Ok(json) => found.walk(&json),
            Err(_) => found = Self::Everything,
        }
        found
    }

    fn walk(&mut self, json: &Json) {
        match json {
            Json::Object(object) => {
                for (key, inner) in object {
                    if key == "Var" && inner == "context" {
                        *self = Self::Everything;
                        continue;
                    }
                    match attribute(key, inner) {
                        Some(name) => self.add(name),
                        None => self.walk(inner),
                    }
                }
            }
            Json::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }

    fn add(&mut self, name: &str) {
        if let Self::Names(names) = self {
            names.insert(name.to_owned());
        }
    }

    fn and(self, other: &Self) -> Self {
        match (self, other) {
            (Self::Names(mut names), Self::Names(more)) => {
                names.extend(more.iter().cloned());
                Self::Names(names)
            }
            (Self::Everything, _) | (_, Self::Everything) => Self::Everything,
        }
    }

    fn has(&self, name: &str) -> bool {
        self.names().is_none_or(|names| names.contains(name))
    }

    fn names(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Names(names) => Some(names),
            Self::Everything => None,
        }
    }
}

/// The attribute, if this is the reading or testing of one of the context.
fn attribute<'a>(operator: &str, operands: &'a Json) -> Option<&'a str> {
    let is_of_context = operands.get("left")?.get("Var")? == "context";
    let is_access = operator == "." || operator == "has";
    operands.get("attr")?.as_str().filter(|_| is_access && is_of_context)
}

fn candidates(compiled: &Compiled, spec: &Spec, principal: &Asked, target: &Asked) -> Vec<usize> {
    let indices = compiled.by_action.get(spec.name).into_iter().flatten().copied();
    let applies = |policy: &Judged| policy.scope.has_parties(&principal.party, &target.party);
    indices.filter(|index| compiled.policies.get(*index).is_some_and(applies)).collect()
}

/// What the policies can reach: the parts of the question, and what their conditions name.
pub(crate) fn entities(
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

fn is_done_to(on: On, target: &Target) -> bool {
    let is = match target {
        Target::Resource(_) => On::Resource,
        Target::Role(_) => On::Role,
        Target::Request { .. } => On::Request,
        Target::Grant { .. } => On::Grant,
        Target::Session { .. } => On::Session,
        Target::Principal(_) => On::Principal,
        Target::Gateway => On::Gateway,
    };
    is == on
}

fn lasting(target: &Target) -> Option<Lasting> {
    match target {
        Target::Resource(id) => Some(Lasting::Resource(id.clone())),
        Target::Role(id) => Some(Lasting::Role(id.clone())),
        Target::Principal(id) => Some(Lasting::Principal(id.clone())),
        Target::Gateway => Some(Lasting::Gateway),
        Target::Request { .. } | Target::Grant { .. } | Target::Session { .. } => None,
    }
}

/// Roughly how much memory a circumstance takes.
fn bytes_of(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Texts(texts) => texts.iter().map(|text| text.len() + size_of::<String>()).sum(),
        Value::Fields(fields) => {
            fields.iter().map(|(name, text)| name.len() + text.len() + 2 * size_of::<String>()).sum()
        }
        Value::Numbers(numbers) => numbers.keys().map(|name| name.len() + 2 * size_of::<String>()).sum(),
        Value::Bool(_) | Value::Long(_) | Value::Span(_) | Value::At(_) | Value::Ip(_) => size_of::<Value>(),
    }
}

pub(crate) fn expression(value: &Value) -> RestrictedExpression {
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
        Value::Fields(_) | Value::Numbers(_) => fields::reference(value),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn looks_at(condition: &str) -> LooksAt {
        let text = format!("permit (principal, action, resource) when {{ {condition} }};");
        LooksAt::of(&Policy::parse(None, text).unwrap())
    }

    fn names(names: &[&str]) -> LooksAt {
        LooksAt::Names(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn what_a_policy_looks_at_is_found_wherever_it_stands() {
        assert_eq!(looks_at("true"), names(&[]));
        assert_eq!(looks_at("resource.context == \"context\""), names(&[]));
        assert_eq!(
            looks_at(
                "context.a == 1 && (if context has b then [context[\"c\"]].contains(context.d.e) else false)"
            ),
            names(&["a", "b", "c", "d"])
        );
        assert_eq!(
            looks_at("ip(context.a).isInRange(ip(\"::1\")) || !(context.b like \"x*\")"),
            names(&["a", "b"])
        );
        assert_eq!(
            looks_at("{a: context.a}.a == 1 unless { context.b }".trim_end_matches(" unless { context.b }")),
            names(&["a"])
        );
        assert_eq!(looks_at("context == {a: 1}"), LooksAt::Everything);
        assert_eq!(looks_at("{x: context}.x.a == 1 && context.b"), LooksAt::Everything);
        assert_eq!(looks_at("(if true then context else context).a"), LooksAt::Everything);
        assert_eq!(looks_at("context has a.b"), LooksAt::Everything);
    }

    #[test]
    fn durations_are_rounded_up_and_instants_down() {
        assert_eq!(duration(Span(1)).as_ref().to_string(), "duration(\"1ms\")");
        assert_eq!(duration(Span::minutes(1)).as_ref().to_string(), "duration(\"60000ms\")");
        assert_eq!(milliseconds("2026-03-03T14:00:00.999999Z"), "2026-03-03T14:00:00.999Z");
    }
}
