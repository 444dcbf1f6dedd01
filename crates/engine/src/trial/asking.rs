//! Everything that policy can be asked about somebody, under one bundle: each action of policy's own table, in each place
//! where it can be done.
//!
//! The table says what an action is done to and in which circumstances, so that one that is added to it is asked about
//! here. Statements and calls are asked about by kind, in circumstances that are as strict as what is not looked into: a
//! policy that looks at a table's or a tool's name or at a missing WHERE shows in a replay of what was done, not here.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::catalogue::{Resource, Role};
use countersign_core::question::{Context, Question, Target};
use countersign_core::request::Ask;
use countersign_core::ruling::Verdict;
use countersign_core::{
    ActionName, At, GrantId, PersonId, PrincipalId, RequestId, ResourceId, RoleId, SessionId,
};
use countersign_policy::Class;
use countersign_policy::actions::{self, Circumstances, On, Spec};
use countersign_policy::context::{Access, Mcp, Plain, Reach, Sql, Unmask, Via};

use super::compare::{Scope, Word};
use super::one::policy_of;
use crate::engine::Engine;
use crate::snapshot::Snapshot;
use crate::views::StageView;

/// What is said of each action, where it can be done.
pub(super) type Picture = BTreeMap<(Scope, ActionName), Word>;

/// Why somebody would, where policies look at that.
const PURPOSE: &str = "...";

/// One bundle in force, asked about one person after another.
pub(super) struct Side<'a> {
    pub(super) engine: &'a Engine,
    pub(super) snapshot: &'a Snapshot,
    pub(super) now: At,
    /// How many questions were asked.
    pub(super) asked: usize,
}

/// A role, and a resource in it.
#[derive(Clone, Copy)]
struct Place<'a> {
    role: &'a RoleId,
    resource: &'a ResourceId,
    described: &'a Resource,
}

impl<'a> Side<'a> {
    /// Everything that policy says of somebody.
    pub(super) fn picture(&mut self, who: &PrincipalId) -> Picture {
        let mut picture = Picture::new();
        let catalogue = &self.snapshot.book.catalogue;
        if !catalogue.principals.contains_key(who) {
            return picture;
        }
        for (name, role) in &catalogue.roles {
            let could = self.of_role(who, (name, role), &mut picture);
            // What a role lets somebody do who can't have it is of no matter.
            let held = self.snapshot.book.live_grant(who, name, self.now).is_some();
            for resource in role.resources.iter().filter(|_| could || held) {
                if let Some(described) = catalogue.resources.get(resource) {
                    self.of_place(who, Place { role: name, resource, described }, &mut picture);
                }
            }
        }
        if let Some(other) = self.other(who) {
            self.of_resources(who, &mut picture);
            let house = |spec: &&Spec| !is_done_in_a_role(spec) && spec.on != On::Resource;
            for spec in actions::each().iter().filter(house) {
                let (action, target) = (ActionName::new(spec.name), self.target(spec, &other));
                let context = self.plain(Via::Console).into();
                let ask = |target| question(who, None, (action.clone(), target), context);
                let word = target.map_or(Word::Deny, |target| self.word(ask(target), None));
                picture.insert((Scope::House, action), word);
            }
        }
        picture
    }

    /// What is done to each resource, whatever the role.
    fn of_resources(&mut self, who: &PrincipalId, picture: &mut Picture) {
        let outside = |spec: &&Spec| !is_done_in_a_role(spec) && spec.on == On::Resource;
        for spec in actions::each().iter().filter(outside) {
            for resource in self.snapshot.book.catalogue.resources.keys() {
                let (action, target) = (ActionName::new(spec.name), Target::Resource(resource.clone()));
                let asked = question(who, None, (action.clone(), target), self.plain(Via::Console).into());
                let word = self.word(asked, None);
                picture.insert((Scope::At(resource.clone()), action), word);
            }
        }
    }

    /// What is done to a role. Whether any of it may be.
    fn of_role(&mut self, who: &PrincipalId, (name, role): (&RoleId, &Role), picture: &mut Picture) -> bool {
        let mut could = false;
        for spec in actions::each().iter().filter(|spec| spec.on == On::Role) {
            let (action, target) = (ActionName::new(spec.name), Target::Role(name.clone()));
            let plain = self.plain(Via::Console);
            let lasting = role.longest;
            let access = Access { plain, duration: lasting, purpose: PURPOSE.into(), ticket: None };
            let asked = question(who, None, (action.clone(), target), access.into());
            let word = self.word(asked, Some(Ask::Access { role: name.clone(), lasting }));
            could |= word != Word::Deny;
            picture.insert((Scope::Ask(name.clone()), action), word);
        }
        could
    }

    /// What is done to a resource in a role.
    fn of_place(&mut self, who: &PrincipalId, place: Place<'a>, picture: &mut Picture) {
        let fits = |spec: &&Spec| {
            is_done_in_a_role(spec)
                && spec.on == On::Resource
                && spec.kind().is_none_or(|kind| kind == place.described.kind)
        };
        for spec in actions::each().iter().filter(fits) {
            for (scope, context) in self.circumstances(spec, place) {
                let about = (ActionName::new(spec.name), Target::Resource(place.resource.clone()));
                let word = self.word(question(who, Some(place.role), about, context), None);
                picture.insert((scope, ActionName::new(spec.name)), word);
            }
        }
    }

    /// In which circumstances something is asked about in a place; in several if it can be done to several things there.
    fn circumstances(&self, spec: &Spec, place: Place<'a>) -> Vec<(Scope, Context)> {
        let via = if spec.kind() == Some(actions::TOOLS) { Via::Mcp } else { Via::Postgres };
        let (plain, resource) = (self.plain(via), place.resource.clone());
        let mut context = match spec.with {
            Circumstances::Unmask => return columns(&plain, place),
            Circumstances::Sql => statement(spec, plain).into(),
            Circumstances::Mcp => {
                let mut context = Context::from(plain);
                Mcp { purpose: PURPOSE.into(), ..Mcp::default() }.tell(&mut context);
                context
            }
            // Of a role alone, which is asked about elsewhere.
            Circumstances::Access | Circumstances::Plain => plain.into(),
        };
        crate::action::tell_impact(&self.snapshot.book.catalogue, &resource, &mut context);
        vec![(Scope::Do(place.role.clone(), resource), context)]
    }

    /// To what somebody would do it that is not theirs; nothing where there is none.
    fn target(&self, spec: &Spec, other: &(PrincipalId, PersonId)) -> Option<Target> {
        let (principal, person) = other.clone();
        let catalogue = &self.snapshot.book.catalogue;
        let role = || catalogue.roles.keys().next().cloned();
        Some(match spec.on {
            On::Request => {
                let action = ActionName::new("access.request");
                Target::Request { id: RequestId(0), principal, person, action }
            }
            On::Grant => Target::Grant { id: GrantId(0), principal, person, role: role()? },
            On::Session => Target::Session { id: SessionId(0), principal, person },
            On::Principal => Target::Principal(principal),
            // Of each of them, which is asked elsewhere.
            On::Resource => return None,
            On::Role => Target::Role(role()?),
            On::Gateway => Target::Gateway,
        })
    }

    /// What is said of a question, and who would be asked.
    fn word(&mut self, mut question: Question, ask: Option<Ask>) -> Word {
        self.asked += 1;
        if question.roles.is_empty() {
            let held = self.snapshot.book.live_roles(&question.principal, self.now);
            question.roles = held.into_iter().map(|(role, _)| role.clone()).collect();
        }
        let Ok(policy) = policy_of(self.snapshot) else { return Word::Deny };
        let ruling = policy.rule(&self.snapshot.book, &question);
        match ruling.verdict() {
            Verdict::Allow => Word::Allow,
            Verdict::Deny(_) => Word::Deny,
            Verdict::Hold(gates) => {
                let rules = gates.iter().map(|gate| gate.rule.clone()).collect();
                let stages = match ask {
                    Some(ask) => self.engine.stages_of(self.snapshot, &question.principal, ask, gates),
                    None => Vec::new(),
                };
                Word::Hold { rules, asked: stages.iter().map(stage_words).collect() }
            }
        }
    }

    /// Somebody else, to whom things would be done.
    fn other(&self, who: &PrincipalId) -> Option<(PrincipalId, PersonId)> {
        let catalogue = &self.snapshot.book.catalogue;
        let mine = &catalogue.principals.get(who)?.person;
        let mut others = catalogue.principals.iter().filter(|(_, one)| one.is_user() && one.person != *mine);
        others.next().map(|(id, one)| (id.clone(), one.person.clone()))
    }

    fn plain(&self, via: Via) -> Plain {
        Plain { now: self.now, source: None, via }
    }
}

/// Whether it is asked about in a role, or about one; everything else is done to the gateway and to what is not theirs.
fn is_done_in_a_role(spec: &Spec) -> bool {
    spec.on == On::Role || spec.on == On::Resource && spec.class == Class::Act
}

/// A statement of a kind, of which nothing stricter is said than that nobody looked what it reaches.
fn statement(spec: &Spec, plain: Plain) -> Sql {
    let verb = spec.name.rsplit('.').next().unwrap_or_default().to_owned();
    Sql {
        plain,
        purpose: PURPOSE.into(),
        ticket: None,
        verbs: BTreeSet::from([verb]),
        reads: BTreeSet::new(),
        writes: BTreeSet::new(),
        functions: BTreeSet::new(),
        has_where: true,
        has_limit: true,
        statements: 1,
        in_transaction: false,
        provable_read: matches!(spec.name, "sql.read" | "sql.select" | "sql.show"),
        rows: None,
        reach: Reach::default(),
    }
}

/// Each column of a resource of which it is said what it holds or how it is masked.
fn columns(plain: &Plain, place: Place<'_>) -> Vec<(Scope, Context)> {
    let all = place.described.relations.iter().flat_map(|(relation, said)| {
        said.columns.iter().map(move |(name, column)| (format!("{relation}.{name}"), column))
    });
    let asked = all.map(|(column, said)| {
        let scope = Scope::See(place.role.clone(), place.resource.clone(), column.clone());
        let (plain, labels) = (plain.clone(), said.labels.clone());
        (scope, Unmask { plain, purpose: PURPOSE.into(), ticket: None, column, labels }.into())
    });
    asked.collect()
}

fn question(
    who: &PrincipalId,
    role: Option<&RoleId>,
    (action, target): (ActionName, Target),
    context: Context,
) -> Question {
    Question { principal: who.clone(), roles: role.cloned().into_iter().collect(), action, target, context }
}

/// `1 of group:dba (bob)`.
fn stage_words(stage: &StageView) -> String {
    let people: Vec<&str> = stage.people.iter().map(|who| who.id.as_str()).collect();
    let people = if people.is_empty() { "nobody".to_owned() } else { people.join(", ") };
    format!("{} of {} ({people})", stage.need, stage.from.join(" or "))
}
