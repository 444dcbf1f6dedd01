//! What a change of the bundle would make of everybody: who could ask for what, who would be asked, what roles would
//! let them do, and what would end.
//!
//! Every person is asked about twice, under what is in force and under what is proposed, and only differences are told.
//! Statements are asked about by kind, in circumstances that are as strict as what is not looked into: a policy that
//! looks at a table's name or at a missing WHERE shows in a replay of what was done, not here.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::catalogue::Catalogue;
use countersign_core::grant::Event as GrantEvent;
use countersign_core::question::{Context, Question, Target};
use countersign_core::request::{Ask, Event as RequestEvent};
use countersign_core::ruling::Verdict;
use countersign_core::{
    ActionName, At, BundleHash, Event, GrantId, PersonId, PrincipalId, RequestId, ResourceId, RoleId,
    RuleName, SessionId,
};
use countersign_policy::context::{Access, Plain, Reach, Sql, Via};

use super::one::policy_of;
use super::{Files, in_words};
use crate::api::{ApplyError, PreviewVerdict};
use crate::engine::Engine;
use crate::people::Caller;
use crate::snapshot::Snapshot;
use crate::views::{Named, StageView};
use crate::words::Refused;
use crate::writer::Desk;
use crate::writer::work::{From, Standing};

/// How many questions are asked of each bundle. People who are described otherwise come first; a change to policies alone
/// shows in the first people as it does in the last.
const QUESTIONS_MAX: usize = 40_000;

/// What people may do to the gateway and to what is not theirs.
const HOUSE: [&str; 18] = [
    "policy.read",
    "policy.apply",
    "ledger.read",
    "ledger.export",
    "request.read",
    "request.approve",
    "request.deny",
    "grant.read",
    "grant.revoke",
    "session.read",
    "session.end",
    "principal.read",
    "principal.disable",
    "principal.enable",
    "sign_in.read",
    "sign_in.end",
    "authenticator.reset",
    "credential.mint",
];

/// Names in the tree of actions that no door asks about by themselves, and what is no statement.
const NOT_ASKED: [&str; 6] = ["sql.read", "sql.write", "sql.ddl", "sql.admin", "sql.session", "sql.unmask"];

/// What a change would make.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The bundle that is proposed.
    pub bundle: BundleHash,
    /// It is in force already.
    pub same: bool,
    /// What would become of applying it.
    pub verdict: PreviewVerdict,
    /// Why, in a sentence.
    pub reason: String,
    /// Who would be asked.
    pub stages: Vec<StageView>,
    /// Those for whom something changes.
    pub people: Vec<PersonChange>,
    /// What would end.
    pub ends: Vec<Ending>,
    /// How many were asked about.
    pub compared: usize,
    /// How many there are.
    pub of: usize,
}

/// What changes for somebody.
#[derive(Clone, Debug)]
pub struct PersonChange {
    /// Who.
    pub who: Named,
    /// Whether they come, go or stay.
    pub presence: Presence,
    /// What, most open first.
    pub changes: Vec<Change>,
}

/// Whether somebody is in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// In the proposed one alone.
    Comes,
    /// In both.
    Stays,
    /// In the one in force alone.
    Goes,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// About what.
    pub scope: Scope,
    /// Which actions.
    pub actions: Vec<ActionName>,
    /// What is said of it.
    pub before: Word,
    /// What would be.
    pub after: Word,
}

/// About what policy is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Asking for a role.
    Ask(RoleId),
    /// Acting in a role.
    Do(RoleId, ResourceId),
    /// The gateway itself, and what is not theirs.
    House,
}

/// What policy says, as far as it can differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// It may happen.
    Allow,
    /// Somebody is asked.
    Hold {
        /// By which rules.
        rules: Vec<RuleName>,
        /// Whom: `1 of group:dba (bob)`.
        asked: Vec<String>,
    },
    /// It may not.
    Deny,
}

/// What would end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A grant.
    Grant {
        /// Which.
        id: GrantId,
        /// Whose.
        who: Named,
        /// Of which role.
        role: RoleId,
    },
    /// A request.
    Request {
        /// Which.
        id: RequestId,
        /// Whose.
        who: Named,
    },
    /// A session.
    Session {
        /// Which.
        id: SessionId,
        /// Whose.
        who: Named,
        /// On what.
        resource: ResourceId,
    },
}

type Picture = BTreeMap<(Scope, ActionName), Word>;

/// One bundle in force, asked about one person after another.
struct Side<'a> {
    engine: &'a Engine,
    snapshot: &'a Snapshot,
    kinds: &'a [ActionName],
    now: At,
    asked: usize,
}

impl Engine {
    /// What would change for everybody if these files were put in force.
    ///
    /// # Errors
    /// They have mistakes, or no bundle is in force.
    pub async fn compare(&self, caller: &Caller, files: Files) -> Result<Difference, ApplyError> {
        let snapshot = self.snapshot();
        let next = self.draft(files).await?;
        let again = self.in_force_again(&snapshot).await?;
        let (engine, caller, turn) = (self.clone(), caller.clone(), self.turn().await?);
        let work = move || {
            // Held until the work is done, also when whoever asked has given up.
            let _turn = turn;
            let standing = Standing::Apply { bundle: next.hash, from: caller.from() };
            let ruling = engine.desk(&snapshot).rule_standing(&caller.principal, &standing, Some(&next));
            let before = Snapshot { policy: Some(again), ..Snapshot::clone(&snapshot) };
            let (after, events) = engine.after(&before, &next, &caller.principal);
            let (verdict, reason) = ruling.as_ref().map_or((PreviewVerdict::Deny, String::new()), in_words);
            let stages = match ruling.as_ref().map(countersign_core::ruling::Ruling::verdict) {
                Some(Verdict::Hold(gates)) => {
                    engine.stages_of(&before, &caller.principal, Ask::Apply { bundle: next.hash }, gates)
                }
                _ => Vec::new(),
            };
            let (people, compared, of) = engine.everybody(&before, &after);
            Difference {
                bundle: next.hash,
                same: before.book.in_force.as_ref().is_some_and(|had| had.bundle == next.hash),
                verdict,
                reason,
                stages,
                people,
                ends: engine.ends(&before, &after, &events),
                compared,
                of,
            }
        };
        let done = tokio::task::spawn_blocking(work).await;
        Ok(done.map_err(|error| {
            tracing::error!(%error, "a comparison of bundles ended abnormally");
            Refused::unavailable()
        })?)
    }

    fn everybody(&self, before: &Snapshot, after: &Snapshot) -> (Vec<PersonChange>, usize, usize) {
        let kinds: Vec<ActionName> = countersign_policy::actions::all()
            .into_iter()
            .filter(|name| name.as_str().starts_with("sql.") && !NOT_ASKED.contains(&name.as_str()))
            .collect();
        let side = |snapshot| Side { engine: self, snapshot, kinds: &kinds, now: self.now(), asked: 0 };
        let (mut old, mut new) = (side(before), side(after));
        let order = in_order(&before.book.catalogue, &after.book.catalogue);
        let (of, mut compared, mut people) = (order.len(), 0, Vec::new());
        for who in order {
            if old.asked.max(new.asked) > QUESTIONS_MAX {
                break;
            }
            compared += 1;
            let changes = changes(old.picture(&who), new.picture(&who));
            let presence = presence(&before.book.catalogue, &after.book.catalogue, &who);
            if !changes.is_empty() || presence != Presence::Stays {
                let known = if presence == Presence::Goes { before } else { after };
                people.push(PersonChange { who: Named::of(known, &who), presence, changes });
            }
        }
        (people, compared, of)
    }

    fn ends(&self, before: &Snapshot, after: &Snapshot, events: &[Event]) -> Vec<Ending> {
        let named = |id: &PrincipalId| Named::of(before, id);
        let decided = events.iter().filter_map(|event| match event {
            Event::Grant(GrantEvent::Revoked { grant, .. }) => {
                let found = before.book.grant(*grant)?;
                let (who, role) = (named(&found.principal), found.role.clone());
                Some(Ending::Grant { id: *grant, who, role })
            }
            Event::Request(RequestEvent::Voided { request, .. }) => {
                let found = before.book.request(*request)?;
                Some(Ending::Request { id: *request, who: named(&found.by) })
            }
            _ => None,
        });
        let desk = Desk { book: &after.book, policy: after.policy.as_deref(), now: self.now() };
        let cut = before.book.sessions().filter(|session| {
            let may = desk.on_open(&session.opening, From::HOUSE);
            may.is_none_or(|ruling| ruling.verdict() != Verdict::Allow)
        });
        let cut = cut.map(|session| Ending::Session {
            id: session.opening.session,
            who: named(&session.opening.principal),
            resource: session.opening.resource.clone(),
        });
        decided.chain(cut).collect()
    }
}

impl Side<'_> {
    /// Everything that policy says of somebody.
    fn picture(&mut self, who: &PrincipalId) -> Picture {
        let mut picture = Picture::new();
        let catalogue = &self.snapshot.book.catalogue;
        if !catalogue.principals.contains_key(who) {
            return picture;
        }
        for (name, role) in &catalogue.roles {
            let word = self.asking(who, name, role.longest);
            let could = word != Word::Deny;
            picture.insert((Scope::Ask(name.clone()), ActionName::new("access.request")), word);
            // What a role lets somebody do who can't have it is of no matter.
            let held = self.snapshot.book.live_grant(who, name, self.now).is_some();
            for resource in role.resources.iter().filter(|_| could || held) {
                for kind in self.kinds {
                    let word = self.doing(who, (name, resource), kind);
                    picture.insert((Scope::Do(name.clone(), resource.clone()), kind.clone()), word);
                }
            }
        }
        if let Some(other) = self.other(who) {
            for action in HOUSE.map(ActionName::new) {
                let word = self.governing(who, &action, &other);
                picture.insert((Scope::House, action), word);
            }
        }
        picture
    }

    fn asking(&mut self, who: &PrincipalId, role: &RoleId, lasting: countersign_core::Span) -> Word {
        let context = Access {
            plain: self.plain(Via::Console),
            duration: lasting,
            purpose: "...".into(),
            ticket: None,
        };
        let (action, target) = (ActionName::new("access.request"), Target::Role(role.clone()));
        let ask = Ask::Access { role: role.clone(), lasting };
        self.word(question(who, None, (action, target), context.into()), Some(ask))
    }

    fn doing(&mut self, who: &PrincipalId, at: (&RoleId, &ResourceId), kind: &ActionName) -> Word {
        let (role, resource) = at;
        let verb = kind.as_str().trim_start_matches("sql.").to_owned();
        let sql = Sql {
            plain: self.plain(Via::Postgres),
            purpose: "...".into(),
            ticket: None,
            verbs: BTreeSet::from([verb]),
            reads: BTreeSet::new(),
            writes: BTreeSet::new(),
            functions: BTreeSet::new(),
            has_where: true,
            has_limit: true,
            statements: 1,
            in_transaction: false,
            provable_read: matches!(kind.as_str(), "sql.select" | "sql.show"),
            rows: None,
            reach: Reach::default(),
        };
        let mut context = Context::from(sql);
        crate::action::tell_impact(&self.snapshot.book.catalogue, resource, &mut context);
        let about = (kind.clone(), Target::Resource(resource.clone()));
        self.word(question(who, Some(role), about, context), None)
    }

    fn governing(&mut self, who: &PrincipalId, action: &ActionName, other: &(PrincipalId, PersonId)) -> Word {
        let (principal, person) = other.clone();
        let target = match action.as_str().split('.').next() {
            Some("request") => {
                let action = ActionName::new("access.request");
                Target::Request { id: RequestId(0), principal, person, action }
            }
            Some("grant") => match self.snapshot.book.catalogue.roles.keys().next() {
                Some(role) => Target::Grant { id: GrantId(0), principal, person, role: role.clone() },
                None => return Word::Deny,
            },
            Some("session") => Target::Session { id: SessionId(0), principal, person },
            Some("principal" | "sign_in" | "authenticator") => Target::Principal(principal),
            Some("credential") => match self.snapshot.book.catalogue.resources.keys().next() {
                Some(resource) => Target::Resource(resource.clone()),
                None => return Word::Deny,
            },
            _ => Target::Gateway,
        };
        let context = self.plain(Via::Console).into();
        self.word(question(who, None, (action.clone(), target), context), None)
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

/// Everybody, those first who are described otherwise.
fn in_order(before: &Catalogue, after: &Catalogue) -> Vec<PrincipalId> {
    let all: BTreeSet<&PrincipalId> = before.principals.keys().chain(after.principals.keys()).collect();
    let groups = |of: &Catalogue, who: &PrincipalId| -> BTreeSet<String> {
        let found = of.groups.iter().filter(|(_, group)| group.members.contains(who));
        found.map(|(name, _)| name.to_string()).collect()
    };
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for who in all {
        let same = before.principals.get(who) == after.principals.get(who)
            && groups(before, who) == groups(after, who);
        if same { rest.push(who.clone()) } else { first.push(who.clone()) }
    }
    first.append(&mut rest);
    first
}

fn presence(before: &Catalogue, after: &Catalogue, who: &PrincipalId) -> Presence {
    match (before.principals.contains_key(who), after.principals.contains_key(who)) {
        (false, true) => Presence::Comes,
        (true, false) => Presence::Goes,
        _ => Presence::Stays,
    }
}

/// What differs, with actions of which the same is said put together. What is not in a picture is denied.
fn changes(mut before: Picture, after: Picture) -> Vec<Change> {
    let mut grouped: BTreeMap<(Scope, Word, Word), Vec<ActionName>> = BTreeMap::new();
    for ((scope, action), new) in after {
        let old = before.remove(&(scope.clone(), action.clone())).unwrap_or(Word::Deny);
        if old != new {
            grouped.entry((scope, old, new)).or_default().push(action);
        }
    }
    for ((scope, action), old) in before {
        if old != Word::Deny {
            grouped.entry((scope, old, Word::Deny)).or_default().push(action);
        }
    }
    let changes =
        grouped.into_iter().map(|((scope, before, after), actions)| Change { scope, actions, before, after });
    changes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_alike_is_told_together_and_the_same_not_at_all() {
        let house = |action: &str| (Scope::House, ActionName::new(action));
        let before = Picture::from([
            (house("ledger.read"), Word::Allow),
            (house("policy.read"), Word::Allow),
            (house("ledger.export"), Word::Allow),
            (house("grant.read"), Word::Deny),
        ]);
        let after = Picture::from([(house("policy.read"), Word::Allow), (house("grant.read"), Word::Allow)]);
        let told = changes(before, after);
        let names = |change: &Change| change.actions.iter().map(ToString::to_string).collect::<Vec<_>>();
        let [lost, won] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(
            (names(lost), &lost.after),
            (vec!["ledger.export".to_owned(), "ledger.read".into()], &Word::Deny)
        );
        assert_eq!((names(won), &won.before), (vec!["grant.read".to_owned()], &Word::Deny));
    }
}
