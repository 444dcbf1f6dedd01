//! Views: requests, grants and sessions with everything a person is shown, content included.
//!
//! What is open or ended not long ago is in the book; older things are folded again from the lines that tell of
//! them. A view shows all of an action or says that it can't: nothing is truncated in front of an approver.

mod grants;
mod requests;

pub(crate) use requests::stages_of;

use std::borrow::Cow;
use std::cmp::Reverse;

use countersign_core::budget::{Budget, Spent};
use countersign_core::catalogue::{Ceiling, Impact};
use countersign_core::envelope::{Envelope, Terms};
use countersign_core::grant::Grant;
use countersign_core::request::{Outcome, Request, Transaction};
use countersign_core::ruling::Gate;
use countersign_core::session::Ending;
use countersign_core::{
    ActionName, At, Book, Digest, Event, GrantId, PersonId, PrincipalId, RequestId, ResourceId, RoleId,
    RuleName, SessionId, Span,
};

use crate::audit::EndedView;
use crate::engine::Engine;
use crate::foreseen::Foreseen;
use crate::house::House;
use crate::index::{id_in, request_key};
use crate::line::read_event;
use crate::snapshot::Snapshot;
use crate::so_far::{Earlier, SoFar};
use crate::store::{Drawer, Order, Scan};

/// How many entries of the past are looked at for one list.
const PAST_MAX: usize = 20_000;

/// How many lines tell of one thing at most.
const TOLD_MAX: usize = 512;

/// Which requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestFilter {
    /// Only those in this state, `all` for whatever state; without one, those of which something may still come.
    pub state: Option<&'static str>,
    /// Only those that the caller could answer now.
    pub inbox: bool,
    /// Only the caller's own.
    pub mine: bool,
    /// At most so many; 0 is a page.
    pub limit: usize,
}

/// Which grants.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrantFilter {
    /// Only those in this state; without one, those that are live.
    pub state: Option<&'static str>,
    /// Only the caller's own.
    pub mine: bool,
}

/// A principal, and how people call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub id: PrincipalId,
    /// How people call it; its name once no bundle knows it any more.
    pub display: String,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// To hold a role for a while.
    Access,
    /// To do one action in a session.
    Action,
    /// To put a bundle in force.
    Apply,
    /// To do several actions, one after the other.
    Script,
}

/// What of a yes is used, and what it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptView {
    /// How often it may be used.
    pub uses: u32,
    /// How often it was.
    pub used: u32,
    /// The bounds that it covers, if not the text alone.
    pub envelope: Option<Envelope>,
    /// Rows of the envelope that are gone.
    pub spent: u64,
}

/// A request with everything that an approver is shown.
#[derive(Clone, Debug)]
pub struct RequestView {
    /// Which.
    pub id: RequestId,
    /// Where it stands, in one word.
    pub state: &'static str,
    /// What it is for.
    pub kind: RequestKind,
    /// Who asks.
    pub by: Named,
    /// Who answers for it.
    pub person: PersonId,
    /// The action that a yes would allow.
    pub action: ActionName,
    /// The role asked for, or acted in.
    pub role: Option<RoleId>,
    /// On what.
    pub resource: Option<ResourceId>,
    /// For how long a role is asked for.
    pub lasting: Option<Span>,
    /// The bundle that is proposed.
    pub bundle: Option<Digest>,
    /// Why, in the requester's words.
    pub purpose: Option<String>,
    /// The ticket it belongs to.
    pub ticket: Option<String>,
    /// The full text of what would run.
    pub text: Option<String>,
    /// What it does, beneath its kind.
    pub verbs: Vec<String>,
    /// The parameters it would run with.
    pub parameters: Vec<ParameterView>,
    /// The relations it names.
    pub relations: Vec<RelationView>,
    /// The functions it calls by name.
    pub functions: Vec<FunctionView>,
    /// What is known of the rows it would touch; nothing for what is no action.
    pub rows: Option<RowsView>,
    /// What else was foreseen: branches, tables that follow, triggers, rules, row level security.
    pub foreseen: Foreseen,
    /// What was done in the session before.
    pub so_far: Option<SoFar>,
    /// What became of the same when it was asked for before; only where one request is shown.
    pub earlier: Option<Earlier>,
    /// What else the approver should know.
    pub notes: Vec<String>,
    /// Session settings that change its meaning.
    pub settings: Vec<(String, String)>,
    /// What an approval is bound to.
    pub digest: Digest,
    /// A yes counts only if the approver's passkey signed it.
    pub signed: bool,
    /// The rules that hold it, with the policies that ask for them.
    pub gates: Vec<Gate>,
    /// Who must say yes, and who did.
    pub stages: Vec<StageView>,
    /// What is still needed, in words.
    pub missing: String,
    /// Who said yes.
    pub approvals: Vec<SaidView>,
    /// The no that ended it.
    pub denial: Option<SaidView>,
    /// Why it was withdrawn or is void, in one word.
    pub why: Option<String>,
    /// When it ended without a yes.
    pub ended_at: Option<At>,
    /// The session in which it waits.
    pub session: Option<SessionId>,
    /// The grant it stands on, or that followed from it.
    pub grant: Option<GrantId>,
    /// When it was asked.
    pub asked_at: At,
    /// When it lapses.
    pub lapses_at: At,
    /// Until when the yes may be used.
    pub valid_until: Option<At>,
    /// What of the yes is used, and what it covers; nothing before there is one, or for what is no action.
    pub receipt: Option<ReceiptView>,
    /// The steps of a script, in order.
    pub steps: Vec<StepView>,
    /// The widest envelope that its approvers may give, if they may give one.
    pub ceiling: Option<Ceiling>,
    /// How often, and for how long, its approvers may let it be used; nothing for what is no action.
    pub most: Option<(u32, Span)>,
    /// A use is under way whose outcome is not known yet.
    pub running: bool,
    /// How what was approved ended.
    pub outcome: Option<Outcome>,
    /// Where the transaction stands in which it was done last, if there is one.
    pub transaction: Option<Transaction>,
    /// The same in figures, as the ledger has them: bytes and time beside rows.
    pub ended: Option<EndedView>,
    /// Nobody can satisfy its rules.
    pub locked: bool,
    /// The words are gone: erased, or unreadable.
    pub erased: bool,
    /// The caller may say yes.
    pub can_approve: bool,
    /// The caller may say no.
    pub can_deny: bool,
    /// The caller may give it up.
    pub can_withdraw: bool,
}

/// A step of a script.
#[derive(Clone, Debug)]
pub struct StepView {
    /// What a yes to it is bound to.
    pub digest: Digest,
    /// What it is.
    pub action: Option<ActionName>,
    /// Its full text.
    pub text: Option<String>,
    /// What it does, beneath its kind.
    pub verbs: Vec<String>,
    /// The relations it names.
    pub relations: Vec<RelationView>,
    /// The functions it calls by name.
    pub functions: Vec<FunctionView>,
    /// What is known of the rows it would touch.
    pub rows: RowsView,
    /// What else was foreseen.
    pub foreseen: Foreseen,
    /// What else the approver should know.
    pub notes: Vec<String>,
    /// Session settings that change its meaning.
    pub settings: Vec<(String, String)>,
    /// It is under way.
    pub running: bool,
    /// How it ended, if it did.
    pub outcome: Option<Outcome>,
    /// Where the transaction stands in which it was done.
    pub transaction: Option<Transaction>,
}

/// One parameter value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterView {
    /// The protocol's identifier of its type, 0 if it is not known.
    pub type_id: u32,
    /// What its type is called, if it is none that is built in.
    pub type_name: Option<String>,
    /// The built-in type that its value is written like; 0 for none.
    pub written_like: u32,
    /// In the protocol's binary form, not as text.
    pub binary: bool,
    /// The value's bytes; nothing for SQL's NULL.
    pub bytes: Option<Vec<u8>>,
}

/// A function that an action calls by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionView {
    /// Schema and name.
    pub name: String,
    /// It says that it changes something, or that its answer can be another one each time.
    pub volatile: bool,
    /// It runs with the rights of its owner.
    pub definer: bool,
}

/// A relation that an action names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationView {
    /// Schema and name.
    pub name: String,
    /// Who owns it.
    pub owner: Option<String>,
    /// How many rows it has, as the server estimates.
    pub estimate_rows: Option<u64>,
    /// What is done to it.
    pub access: Option<String>,
    /// What it is: `table`, `view`, `partition` and so on.
    pub kinds: Vec<String>,
    /// Its columns that are read or written so.
    pub columns: Vec<String>,
    /// The text does not name it.
    pub reached: bool,
    /// What the bundle calls it.
    pub title: Option<String>,
    /// Who answers for it, as the bundle says: `group:dba`.
    pub responsible: Option<String>,
    /// How bad it would be, as the bundle says of it or of its resource.
    pub impact: Option<Impact>,
    /// What kind of data the bundle says that it holds.
    pub labels: Vec<String>,
}

/// What is known of the rows that an action would touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowsView {
    /// Counted when it was asked; at most so many, if `least` says that it is a range.
    pub count: Option<u64>,
    /// The fewest, where it is a range.
    pub least: Option<u64>,
    /// As the server's plan expects.
    pub estimate: Option<u64>,
    /// A yes covers at most so many; nothing if no bound can be kept.
    pub bound: Option<u64>,
}

/// One stage of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageView {
    /// The rule.
    pub rule: RuleName,
    /// How many distinct persons it needs.
    pub need: u32,
    /// How the rule names them.
    pub from: Vec<String>,
    /// Who may fill a place now.
    pub people: Vec<Named>,
    /// Who did.
    pub given: Vec<Named>,
}

/// Somebody's yes or no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidView {
    /// Who.
    pub by: Named,
    /// When.
    pub at: At,
    /// In their words.
    pub comment: Option<String>,
    /// Their passkey signed it.
    pub signed: bool,
    /// What they said of what it covers, if they said anything.
    pub terms: Terms,
}

/// A grant, and what the caller may do about it.
#[derive(Clone, Debug)]
pub struct GrantView {
    /// The grant.
    pub grant: Grant,
    /// Who holds it.
    pub holder: Named,
    /// Where it stands now, in one word.
    pub state: &'static str,
    /// What the role reaches.
    pub resources: Vec<ResourceId>,
    /// Why it was asked for.
    pub purpose: Option<String>,
    /// When and by whom it was ended before its hour.
    pub ended: Option<(At, Named)>,
    /// What was taken under it.
    pub spent: Spent,
    /// What may be taken, by it and by a session under it.
    pub budget: Option<Budget>,
    /// The caller may end it.
    pub can_revoke: bool,
    /// The caller may give it back.
    pub can_relinquish: bool,
}

/// A session, and what the caller may do about it.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// Which.
    pub id: SessionId,
    /// `live` or `ended`.
    pub state: &'static str,
    /// Who.
    pub principal: Named,
    /// Who answers for them.
    pub person: PersonId,
    /// In which role.
    pub role: RoleId,
    /// On what.
    pub resource: ResourceId,
    /// The door's protocol.
    pub door: String,
    /// The client's address.
    pub address: Option<String>,
    /// The client's program.
    pub application: Option<String>,
    /// Why.
    pub purpose: Option<String>,
    /// When it began.
    pub opened_at: At,
    /// When and why it ended.
    pub ended: Option<(At, Ending)>,
    /// The grant it stood on when it began.
    pub grant: GrantId,
    /// Who has paused it, since when, and why.
    pub paused: Option<PausedView>,
    /// The caller may end it.
    pub can_end: bool,
    /// The caller may pause it.
    pub can_pause: bool,
    /// The caller may resume it.
    pub can_resume: bool,
}

/// That a session is paused.
#[derive(Clone, Debug)]
pub struct PausedView {
    /// Who paused it.
    pub by: Named,
    /// Since when.
    pub at: At,
    /// Why, in their words.
    pub reason: Option<String>,
}

impl Engine {
    /// Identifiers of what the ledger tells of and the book has forgotten, newest first.
    pub(super) fn past(&self, kind: u8, known: impl Fn(u128) -> bool) -> Vec<u128> {
        let scan = Scan { prefix: &[kind], after: None, order: Order::Down, count: PAST_MAX };
        let pairs = self.0.house.store.scan(Drawer::History, &scan).unwrap_or_else(|error| {
            tracing::error!(%error, "the past could not be read");
            Vec::new()
        });
        let mut ids: Vec<u128> = pairs.iter().filter_map(|(key, _)| id_in(key)).collect();
        ids.dedup();
        ids.retain(|id| !known(*id));
        ids
    }

    /// A request, also one that the book has forgotten.
    pub(crate) fn request_told<'a>(&self, snapshot: &'a Snapshot, id: RequestId) -> Option<Cow<'a, Request>> {
        if let Some(known) = snapshot.book.request(id) {
            return Some(Cow::Borrowed(known));
        }
        let past = self.fold(&request_key(id));
        past.request(id).cloned().map(Cow::Owned)
    }

    /// A book that knows nothing but what is told of one thing.
    pub(super) fn fold(&self, key: &[u8]) -> Book {
        fold(&self.0.house, key)
    }
}

impl Named {
    pub(crate) fn of(snapshot: &Snapshot, id: &PrincipalId) -> Self {
        let known = snapshot.book.catalogue.principals.get(id);
        Self { id: id.clone(), display: known.map_or_else(|| id.to_string(), |found| found.display.clone()) }
    }
}

/// The newest of what the book knows and of what is told of the past, both newest first: at most `limit`. The past is
/// shown only as far as it can be among them.
fn newest<V>(
    live: Vec<(u128, V)>,
    past: impl IntoIterator<Item = u128>,
    limit: usize,
    mut show: impl FnMut(u128) -> Option<V>,
) -> Vec<V> {
    let mut all = live;
    let mut found: Vec<(u128, V)> = Vec::new();
    for id in past {
        let newer = found.len() + all.iter().take_while(|(live, _)| *live > id).count();
        if newer >= limit {
            break;
        }
        found.extend(show(id).map(|view| (id, view)));
    }
    all.extend(found);
    all.sort_by_key(|(id, _)| Reverse(*id));
    all.into_iter().take(limit).map(|(_, view)| view).collect()
}

fn fold(house: &House, key: &[u8]) -> Book {
    let mut book = Book::default();
    for index in house.told(key, TOLD_MAX).unwrap_or_default() {
        let lines = house.store.read(index, 1).unwrap_or_default();
        let Some(line) = lines.first().filter(|line| line.index == index) else { continue };
        // What bundles say is no part of what is folded here.
        let event = read_event(&line.bytes, &|_| Some(std::sync::Arc::default()));
        if let Ok((event, at)) = event
            && !matches!(event, Event::Principal(_) | Event::Directory(_))
        {
            book.apply(&event, at);
        }
    }
    book
}

#[cfg(test)]
mod tests {
    use super::newest;

    /// Something open may be older than much that is over and out of the book.
    #[test]
    fn the_past_is_sorted_in_between() {
        let shown = |live: &[u128], past: &[u128], limit| {
            let live = live.iter().map(|id| (*id, *id)).collect();
            let mut looked_at = 0;
            let views = newest(live, past.iter().copied(), limit, |id| {
                looked_at += 1;
                (id != 6).then_some(id)
            });
            (views, looked_at)
        };
        assert_eq!(shown(&[9, 2], &[7, 6, 5, 1], 10), (vec![9, 7, 5, 2, 1], 4));
        assert_eq!(shown(&[9, 2], &[7, 6, 5, 1], 3), (vec![9, 7, 5], 3));
        assert_eq!(shown(&[9, 8, 2], &[7, 6, 5, 1], 2), (vec![9, 8], 0));
        assert_eq!(shown(&[], &[7, 6, 5], 1), (vec![7], 1));
    }
}
