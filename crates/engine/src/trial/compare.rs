//! What a change of the bundle would make of everybody: who could ask for what, who would be asked, what roles would
//! let them do, and what would end.
//!
//! Every person is asked about twice, under what is in force and under what is proposed, and only differences are told.
//! What is asked, and in which circumstances, is in [`super::asking`].

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::catalogue::Catalogue;
use countersign_core::grant::Event as GrantEvent;
use countersign_core::request::{Ask, Event as RequestEvent};
use countersign_core::ruling::Verdict;
use countersign_core::{
    ActionName, BundleHash, Event, GrantId, PrincipalId, RequestId, ResourceId, RoleId, RuleName, SessionId,
};

use super::asking::{Picture, Side};
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
    /// Seeing a masked column (`schema.relation.column`) as it is, acting in a role.
    See(RoleId, ResourceId, String),
    /// What is done to a resource outside of any role: minting a credential for it.
    At(ResourceId),
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
        let side = |snapshot| Side { engine: self, snapshot, now: self.now(), asked: 0 };
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
