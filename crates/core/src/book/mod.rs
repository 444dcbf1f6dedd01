//! The book: all that has happened, in the shape that decisions need.
//!
//! [`decide`] reads it and never changes it; [`Book::apply`] changes it and never judges, never fails. The
//! whole live state is the fold of the events, so a book learnt from the ledger equals the one that lived.
//! Maps are persistent: a snapshot is a clone of a few pointers.

mod bundles;
mod conclusions;
mod directories;
mod grants;
mod housekeeping;
mod principals;
mod receipts;
mod requests;
mod sessions;

use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) use receipts::valid_for;

use imbl::{OrdMap, OrdSet, Vector};
use serde::{Deserialize, Serialize};

use crate::bundle::{self, InForce};
use crate::catalogue::{Catalogue, PrincipalKind};
use crate::directory;
use crate::grant::{self, Grant};
use crate::ids::{GrantId, PersonId, PrincipalId, RequestId, RoleId, SessionId};
use crate::principal;
use crate::refusal::Refusal;
use crate::request::{self, Request};
use crate::ruling::{Ruling, Verdict};
use crate::session::{self, Ending, Session};
use crate::time::At;

/// How many closed requests and ended grants the book keeps in mind, so that a late answer gets a precise
/// refusal. The ledger and the search index keep them all.
pub const REMEMBERED_MAX: usize = 1_000;

/// How many requests of one person may be pending at a time. Beyond it somebody, or somebody's agent, floods
/// the approvers and the memory.
pub const PENDING_PER_PERSON_MAX: usize = 1_000;

/// What somebody, or the house itself, wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// About a request.
    Request(request::Command),
    /// About a grant.
    Grant(grant::Command),
    /// About a session.
    Session(session::Command),
    /// About a principal.
    Principal(principal::Command),
    /// From a directory.
    Directory(directory::Command),
    /// About the bundle.
    Bundle(bundle::Command),
    /// Writes down what time has ended. Sent when [`Book::next_deadline`] has passed.
    Sweep,
    /// Ends what a gateway that is gone left open: its sessions, what waited in them, uses without an outcome.
    Restart,
}

/// What happened. Append-only: a variant may be added, never changed or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// To a request.
    Request(request::Event),
    /// To a grant.
    Grant(grant::Event),
    /// To a session.
    Session(session::Event),
    /// To a principal.
    Principal(principal::Event),
    /// In a directory.
    Directory(directory::Event),
    /// To the bundle.
    Bundle(bundle::Event),
}

/// What the engine looked up before asking for a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The ledger's instant: never before that of an earlier event.
    pub now: At,
    /// What policy said of this very command. A command that needs one and has none, or one of another bundle
    /// than that in force, is refused.
    pub ruling: Option<Ruling>,
    /// What policy says of the action that a request is about. As with the ruling, an absent or old one is a
    /// refusal, and the request stands as it stood.
    pub standing: Option<Ruling>,
}

/// All that has happened, in the shape that decisions need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// What the bundle in force says, with the people of the directories that it names.
    pub catalogue: Arc<Catalogue>,
    /// The bundle in force.
    pub in_force: Option<InForce>,
    /// What the bundle says by itself. The same as the catalogue, if absent.
    #[serde(default)]
    stated: Option<Arc<Catalogue>>,
    #[serde(default)]
    rolls: directories::Rolls,
    disabled: OrdSet<PrincipalId>,
    /// Scripts of which something may be run.
    #[serde(default)]
    scripts: OrdSet<RequestId>,
    requests: OrdMap<RequestId, Arc<Request>>,
    closed: Vector<RequestId>,
    grants: OrdMap<GrantId, Arc<Grant>>,
    ended: Vector<GrantId>,
    /// The grants nobody has ended, by holder. Judging a statement looks here.
    held: OrdSet<(PrincipalId, RoleId, GrantId)>,
    sessions: OrdMap<SessionId, Arc<Session>>,
    deadlines: OrdSet<(At, Deadline)>,
}

/// Something that an instant brings about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Deadline {
    Request(RequestId),
    Grant(GrantId),
}

/// What a session stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// A live grant: of all that are live for its principal and role, the one that lasts longest.
    On(&'a Grant),
    /// Nothing any more.
    Over(Ending),
}

/// Decides what follows from `command`. Changes nothing.
///
/// # Errors
/// The refusal, in words for whoever asked.
pub fn decide(book: &Book, command: Command, facts: &Facts) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::Request(command) => requests::decide(book, command, facts),
        Command::Grant(command) => grants::decide(book, command, facts),
        Command::Session(command) => sessions::decide(book, command, facts),
        Command::Principal(command) => principals::decide(book, command, facts),
        Command::Directory(command) => directories::decide(book, command, facts),
        Command::Bundle(command) => bundles::decide(book, command, facts),
        Command::Sweep => Ok(housekeeping::sweep(book, facts.now)),
        Command::Restart => Ok(housekeeping::restart(book)),
    }
}

impl Book {
    /// Remembers `event`, which happened at `at`. Never judges, never fails.
    pub fn apply(&mut self, event: &Event, at: At) {
        match event {
            Event::Request(event) => self.apply_request(event, at),
            Event::Grant(event) => self.apply_grant(event, at),
            Event::Session(event) => self.apply_session(event, at),
            Event::Principal(event) => self.apply_principal(event),
            Event::Directory(event) => self.apply_directory(event, at),
            Event::Bundle(event) => self.apply_bundle(event, at),
        }
    }

    /// A request that is open, or was closed not long ago.
    #[must_use]
    pub fn request(&self, id: RequestId) -> Option<&Request> {
        self.requests.get(&id).map(AsRef::as_ref)
    }

    /// Open and recently closed requests, oldest first.
    pub fn requests(&self) -> impl DoubleEndedIterator<Item = &Request> {
        self.requests.values().map(AsRef::as_ref)
    }

    /// Scripts of which something may still be run, oldest first.
    pub fn scripts(&self) -> impl DoubleEndedIterator<Item = &Request> {
        self.scripts.iter().filter_map(|id| self.request(*id))
    }

    /// A grant that is live, or ended not long ago.
    #[must_use]
    pub fn grant(&self, id: GrantId) -> Option<&Grant> {
        self.grants.get(&id).map(AsRef::as_ref)
    }

    /// Live and recently ended grants, oldest first.
    pub fn grants(&self) -> impl DoubleEndedIterator<Item = &Grant> {
        self.grants.values().map(AsRef::as_ref)
    }

    /// An open session.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id).map(AsRef::as_ref)
    }

    /// Open sessions, oldest first.
    pub fn sessions(&self) -> impl DoubleEndedIterator<Item = &Session> {
        self.sessions.values().map(AsRef::as_ref)
    }

    /// Principals who are shut out.
    pub fn disabled(&self) -> impl Iterator<Item = &PrincipalId> {
        self.disabled.iter()
    }

    /// Whether `principal` exists and neither it nor anybody who answers for it is disabled, here or by the directory
    /// whose word they live by.
    #[must_use]
    pub fn is_enabled(&self, principal: &PrincipalId) -> bool {
        let chain = self.catalogue.chain(principal);
        chain.iter().all(|link| {
            self.catalogue.principals.contains_key(link)
                && !self.disabled.contains(link)
                && self.is_let_in(link)
        })
    }

    /// Of the grants that `principal` holds live in `role` at `now`, the one that lasts longest. None for a
    /// principal that is not enabled, or that another person answers for than when it was granted.
    #[must_use]
    pub fn live_grant(&self, principal: &PrincipalId, role: &RoleId, now: At) -> Option<&Grant> {
        let from = (principal.clone(), role.clone(), GrantId(0));
        self.usable(principal, from)
            .take_while(|grant| grant.role == *role)
            .filter(|grant| grant.is_live(now))
            .max_by_key(|grant| (grant.not_after, grant.id))
            .filter(|_| self.is_enabled(principal))
    }

    /// The roles that `principal` holds at `now`, with the grant that lasts longest for each.
    #[must_use]
    pub fn live_roles(&self, principal: &PrincipalId, now: At) -> Vec<(&RoleId, &Grant)> {
        let from = (principal.clone(), RoleId::new(""), GrantId(0));
        let roles: BTreeSet<&RoleId> = self.usable(principal, from).map(|grant| &grant.role).collect();
        roles.into_iter().filter_map(|role| Some((role, self.live_grant(principal, role, now)?))).collect()
    }

    /// What an open session stands on at `now`.
    #[must_use]
    pub fn standing(&self, session: &Session, now: At) -> Standing<'_> {
        let opening = &session.opening;
        if session.end_ordered.is_some() {
            return Standing::Over(Ending::Kill);
        }
        if !self.is_enabled(&opening.principal) || self.person(&opening.principal) != Some(&session.person) {
            return Standing::Over(Ending::Disabled);
        }
        if !self.role_reaches(&opening.role, &opening.resource) {
            return Standing::Over(Ending::Policy);
        }
        if let Some(grant) = self.live_grant(&opening.principal, &opening.role, now) {
            return Standing::On(grant);
        }
        Standing::Over(self.last_end(opening))
    }

    /// The person behind `principal`.
    #[must_use]
    pub fn person(&self, principal: &PrincipalId) -> Option<&PersonId> {
        self.catalogue.principals.get(principal).map(|found| &found.person)
    }

    /// When something ends next by itself.
    #[must_use]
    pub fn next_deadline(&self) -> Option<At> {
        self.deadlines.get_min().map(|(at, _)| *at)
    }

    /// The grants of `principal` that nobody has ended and its present person was given, from an entry on.
    fn usable<'a, 'p>(
        &'a self,
        principal: &'p PrincipalId,
        from: (PrincipalId, RoleId, GrantId),
    ) -> impl Iterator<Item = &'a Grant> + use<'a, 'p> {
        let person = self.person(principal);
        self.held
            .range(from..)
            .take_while(move |(holder, _, _)| holder == principal)
            .filter_map(|(_, _, id)| self.grant(*id))
            .filter(move |grant| Some(&grant.person) == person)
    }

    /// How the last of the grants that an opening could stand on ended.
    fn last_end(&self, opening: &session::Opening) -> Ending {
        let stood = |grant: &&Grant| grant.principal == opening.principal && grant.role == opening.role;
        let ends = self.grants().filter(stood).map(|grant| match &grant.state {
            grant::State::Revoked { at, .. } | grant::State::Relinquished { at } => (*at, Ending::Revoked),
            grant::State::Live | grant::State::Expired { .. } => (grant.not_after, Ending::GrantEnd),
        });
        ends.max_by_key(|(at, _)| *at).map_or(Ending::GrantEnd, |(_, ending)| ending)
    }

    fn role_reaches(&self, role: &RoleId, resource: &crate::ids::ResourceId) -> bool {
        let reached = self.catalogue.roles.get(role).is_some_and(|role| role.resources.contains(resource));
        reached && self.catalogue.resources.contains_key(resource)
    }

    fn answers_for(&self, principal: &PrincipalId, of: &PrincipalId) -> bool {
        self.catalogue.chain(of).contains(principal)
    }

    /// An enabled user, or why not.
    fn deciding_user(&self, by: &PrincipalId) -> Result<&PersonId, Refusal> {
        let principal = self.acting(by)?;
        match principal.kind {
            PrincipalKind::User => Ok(&principal.person),
            PrincipalKind::Service { .. } | PrincipalKind::Agent { .. } => Err(Refusal::NotAUser(by.clone())),
        }
    }

    /// An enabled principal whose directory is heard, or why not.
    fn acting(&self, by: &PrincipalId) -> Result<&crate::catalogue::Principal, Refusal> {
        let principal =
            self.catalogue.principals.get(by).ok_or_else(|| Refusal::NoSuchPrincipal(by.clone()))?;
        if !self.is_enabled(by) {
            return Err(Refusal::Disabled(by.clone()));
        }
        self.heard(by).map(|()| principal)
    }

    /// A ruling made under the bundle in force. One made under another may be laxer.
    fn current<'a>(&self, ruling: Option<&'a Ruling>) -> Result<&'a Ruling, Refusal> {
        let ruling = ruling.ok_or_else(|| Refusal::Denied("policy was not asked".into()))?;
        match &self.in_force {
            Some(in_force) if in_force.bundle == ruling.bundle => Ok(ruling),
            Some(_) | None => Err(Refusal::Denied("policy changed while it was asked; try again".into())),
        }
    }

    /// The ruling on the command itself must be a plain allow.
    fn permitted(&self, facts: &Facts) -> Result<(), Refusal> {
        match self.current(facts.ruling.as_ref())?.verdict() {
            Verdict::Allow => Ok(()),
            Verdict::Deny(denial) => Err(Refusal::Denied(denial.to_string())),
            Verdict::Hold(gates) => {
                let rules: Vec<String> = gates.iter().map(|gate| format!("`{}`", gate.rule)).collect();
                Err(Refusal::Gated(rules.join(", ")))
            }
        }
    }

    /// An identifier for a grant to come must not be that of another one.
    fn unused(&self, grant: GrantId) -> Result<(), Refusal> {
        if self.grants.contains_key(&grant) { Err(Refusal::Exists(grant.to_string())) } else { Ok(()) }
    }
}
