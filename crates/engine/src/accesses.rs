//! Who could, who did: for a resource or a person and a period, every grant that reached it, who approved it, and what was
//! done under it. Told from the ledger's lines, with the words that are kept beside them.
//!
//! "Could" is a grant that was live in the period, of a role that reached the resource under a bundle that was in force
//! then. What a role permits at all, and who could have asked for it, is policy's business and not told here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_core::catalogue::Catalogue;
use countersign_core::grant::{Event as GrantEvent, Grant, State};
use countersign_core::{
    At, BundleHash, Event, GrantId, PersonId, PrincipalId, RequestId, ResourceId, RoleId, SessionId,
};

use crate::audit::{EventView, blocking};
use crate::engine::Engine;
use crate::index::grant_key;
use crate::line::{Line, read, read_event};
use crate::people::Caller;
use crate::snapshot::Snapshot;
use crate::views::{Named, SaidView};
use crate::words::{Refused, RefusedCode};

/// How many lines are read from the store at a time.
const READ_MAX: usize = 1_000;

/// How many lines of activity are looked at for one report.
const LINES_MAX: u64 = 500_000;

/// How many acts one report shows one by one. They are counted beyond.
pub const ACTS_MAX: usize = 5_000;

/// How many grants one report tells of.
const GRANTS_MAX: usize = 1_000;

/// What every line of a grant's beginning has in it.
const ISSUED: &[u8] = b"\"type\":\"grant.issued\"";

/// What somebody decides about others.
const DECISIONS: [&str; 10] = [
    "decision.approved",
    "decision.denied",
    "grant.revoked",
    "policy.activated",
    "identity.disabled",
    "identity.enabled",
    "session.locked",
    "session.terminated",
    "session.unlocked",
    "authenticator.revoked",
];

/// Of what, and when.
#[derive(Clone, Debug)]
pub struct AccessQuery {
    /// To what.
    pub resource: Option<ResourceId>,
    /// Whose: by a person, with all accounts, services and agents of theirs.
    pub person: Option<PersonId>,
    /// From this instant.
    pub from: At,
    /// Until that one.
    pub until: At,
    /// How many acts are shown one by one.
    pub acts: usize,
}

/// Who could, who did.
#[derive(Clone, Debug)]
pub struct AccessReport {
    /// Grants, the newest first.
    pub items: Vec<AccessView>,
    /// What the person decided about others, the newest first; nothing where none was asked for.
    pub decided: Vec<EventView>,
    /// Everything of the period was looked at.
    pub whole: bool,
    /// Up to which instant it was.
    pub until: At,
}

/// A grant, and what was done under it.
#[derive(Clone, Debug)]
pub struct AccessView {
    /// Which.
    pub grant: GrantId,
    /// Who held it.
    pub who: Named,
    /// Who answers for them.
    pub person: PersonId,
    /// Of which role.
    pub role: RoleId,
    /// What the role reached in the period.
    pub resources: BTreeSet<ResourceId>,
    /// Since when.
    pub from: At,
    /// Until when: its hour, or the end that came before.
    pub until: At,
    /// Where it stands at the end of the period, in one word.
    pub state: &'static str,
    /// Who ended it before its hour.
    pub ended_by: Option<Named>,
    /// The request it followed from.
    pub request: RequestId,
    /// Why it was asked for.
    pub purpose: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// Who said yes.
    pub approvals: Vec<SaidView>,
    /// The sessions that stood on it and did something in the period.
    pub sessions: BTreeSet<SessionId>,
    /// How much was done.
    pub counts: ActCounts,
    /// What, in order; not more than was asked for.
    pub acts: Vec<EventView>,
}

/// How much was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActCounts {
    /// Statements that ran.
    pub ran: u64,
    /// Of those: approved one by one.
    pub approved: u64,
    /// Statements that waited.
    pub held: u64,
    /// Statements that were refused.
    pub refused: u64,
    /// Rows touched or given.
    pub rows: u64,
}

impl Engine {
    /// Who could and who did. That the ledger was read for it is recorded.
    ///
    /// # Errors
    /// Policy does not permit reading the ledger, nothing is asked for, or it can't be recorded.
    pub async fn accesses(&self, caller: &Caller, query: AccessQuery) -> Result<AccessReport, Refused> {
        self.may_read_all(caller)?;
        if query.resource.is_none() && query.person.is_none() {
            return Err(Refused::new(RefusedCode::Invalid, "say which resource, or whose access"));
        }
        if query.from >= query.until {
            return Err(Refused::new(RefusedCode::Invalid, "the period ends before it begins"));
        }
        let words = serde_json::json!({
            "from": query.from.rfc3339(), "person": query.person, "resource": query.resource,
            "until": query.until.rfc3339(), "what": "who could, who did",
        });
        let engine = self.clone();
        let (report, seen) = blocking(move || engine.told_of(&query)).await?;
        self.record_read_of(caller, "ledger.read", &words.to_string(), seen).await?;
        Ok(report)
    }

    fn told_of(&self, query: &AccessQuery) -> Result<(AccessReport, u64), Refused> {
        let snapshot = self.snapshot();
        let reach = self.reach(query)?;
        let (mut found, mut more) = (BTreeMap::new(), false);
        // The newest first: if there are more than are told of, those are left out that are longest ago.
        for issued in self.issued(query)?.into_iter().rev() {
            let resources = reach.of(&issued.role, query.resource.as_ref());
            if resources.is_empty() {
                continue;
            }
            if found.len() >= GRANTS_MAX {
                more = true;
                break;
            }
            if let Some(view) = self.access(&snapshot, query, issued, resources) {
                found.insert(view.grant, view);
            }
        }
        let mut walk = Walk { query, found, decided: Vec::new(), acts: 0, runs: BTreeMap::new(), seen: 0 };
        let (whole, until) = self.walk(&mut walk)?;
        let (seen, mut decided) = (walk.seen, walk.decided);
        decided.reverse();
        let items = walk.found.into_values().rev().collect();
        Ok((AccessReport { items, decided, whole: whole && !more, until }, seen))
    }

    /// What roles reached under the bundles of the period.
    fn reach(&self, query: &AccessQuery) -> Result<Reach, Refused> {
        let bundles = self.bundles_between(query.from, query.until)?;
        let known = |bundle: &BundleHash| self.0.house.catalogue(bundle);
        Ok(Reach(bundles.iter().filter_map(known).collect()))
    }

    /// Grants that may have been live in the period.
    fn issued(&self, query: &AccessQuery) -> Result<Vec<Issued>, Refused> {
        let (mut issued, mut next) = (Vec::new(), 0);
        loop {
            let lines =
                self.0.house.store.read_decisions(next, READ_MAX).map_err(|_| Refused::unavailable())?;
            let last = lines.len() < READ_MAX;
            for line in lines {
                next = line.index + 1;
                // Most decisions are about something else: those are not read as JSON.
                if !line.bytes.windows(ISSUED.len()).any(|part| part == ISSUED) {
                    continue;
                }
                let Ok((event, at)) = read_event(&line.bytes, &|_| Some(Arc::default())) else { continue };
                if at >= query.until {
                    return Ok(issued);
                }
                issued.extend(Issued::of(event).filter(|one| one.fits(query)));
            }
            if last {
                return Ok(issued);
            }
        }
    }

    fn access(
        &self,
        snapshot: &Snapshot,
        query: &AccessQuery,
        issued: Issued,
        resources: BTreeSet<ResourceId>,
    ) -> Option<AccessView> {
        let past;
        let grant: &Grant = match snapshot.book.grant(issued.grant) {
            Some(found) => found,
            None => {
                past = self.fold(&grant_key(issued.grant));
                past.grant(issued.grant)?
            }
        };
        let (end, ended_by) = match &grant.state {
            State::Live | State::Expired { .. } => (grant.not_after, None),
            State::Revoked { at, by, .. } => (*at, Some(Named::of(snapshot, by))),
            State::Relinquished { at } => (*at, Some(Named::of(snapshot, &grant.principal))),
        };
        let until = end.min(grant.not_after);
        if until <= query.from {
            return None;
        }
        let content = self.0.house.content_of_request(grant.request);
        let ticket = content.as_ref().and_then(|content| content.ticket.clone());
        Some(AccessView {
            grant: grant.id,
            who: Named::of(snapshot, &grant.principal),
            person: grant.person.clone(),
            role: grant.role.clone(),
            resources,
            from: grant.not_before,
            until,
            state: grant.state_at(query.until.min(self.now())),
            ended_by,
            request: grant.request,
            purpose: content.map(|content| content.purpose).filter(|words| !words.is_empty()),
            ticket: ticket.filter(|words| !words.is_empty()),
            approvals: self.approvals_of(snapshot, grant.request),
            sessions: BTreeSet::new(),
            counts: ActCounts::default(),
            acts: Vec::new(),
        })
    }

    /// Goes through the lines of the period. Whether that was all, and how far it came.
    fn walk(&self, walk: &mut Walk<'_>) -> Result<(bool, At), Refused> {
        let mut index = self.first_at(walk.query.from)?;
        loop {
            let lines = self.0.house.store.read(index, READ_MAX).map_err(|_| Refused::unavailable())?;
            let last = lines.len() < READ_MAX;
            for line in lines {
                index = line.index + 1;
                let Ok(line) = read(line.bytes) else { continue };
                if line.at >= walk.query.until {
                    return Ok((true, walk.query.until));
                }
                if walk.seen >= LINES_MAX {
                    return Ok((false, line.at));
                }
                walk.seen += 1;
                walk.take(self, line);
            }
            if last {
                return Ok((true, walk.query.until));
            }
        }
    }
}

/// What roles reached.
struct Reach(Vec<Arc<Catalogue>>);

impl Reach {
    fn of(&self, role: &RoleId, wanted: Option<&ResourceId>) -> BTreeSet<ResourceId> {
        let reached = self.0.iter().filter_map(|catalogue| catalogue.roles.get(role));
        let all = reached.flat_map(|role| &role.resources);
        all.filter(|resource| wanted.is_none_or(|wanted| wanted == *resource)).cloned().collect()
    }
}

/// A grant that began.
struct Issued {
    grant: GrantId,
    principal: PrincipalId,
    person: PersonId,
    role: RoleId,
    not_after: At,
}

impl Issued {
    fn of(event: Event) -> Option<Self> {
        match event {
            Event::Grant(GrantEvent::Issued { grant, principal, person, role, not_after, .. }) => {
                Some(Self { grant, principal, person, role, not_after })
            }
            _ => None,
        }
    }

    fn fits(&self, query: &AccessQuery) -> bool {
        let whose = query
            .person
            .as_ref()
            .is_none_or(|person| self.person == *person || self.principal.as_str() == person.as_str());
        whose && self.not_after > query.from
    }
}

/// What is gathered on the way through the lines.
struct Walk<'a> {
    query: &'a AccessQuery,
    found: BTreeMap<GrantId, AccessView>,
    decided: Vec<EventView>,
    acts: usize,
    /// Acts whose end is told by a later line: where they are shown.
    runs: BTreeMap<u64, (GrantId, usize)>,
    seen: u64,
}

impl Walk<'_> {
    fn take(&mut self, engine: &Engine, line: Line) {
        if DECISIONS.contains(&line.kind.as_str()) {
            let by = |person: &PersonId| line.person.as_ref() == Some(person);
            if self.query.person.as_ref().is_some_and(by) && self.decided.len() < self.query.acts {
                self.decided.push(engine.view(line));
            }
            return;
        }
        if !line.kind.starts_with("action.") {
            return;
        }
        if self.query.resource.as_ref().is_some_and(|wanted| line.resource.as_ref() != Some(wanted)) {
            return;
        }
        let Some(grant) = line.grant else { return };
        let Some(access) = self.found.get_mut(&grant) else { return };
        access.sessions.extend(line.session);
        let approved = line.request.is_some();
        match line.kind.as_str() {
            "action.allowed" => {
                access.counts.ran += 1;
                access.counts.approved += u64::from(approved);
            }
            "action.held" => access.counts.held += 1,
            "action.blocked" => access.counts.refused += 1,
            "action.completed" => return self.ended(engine, grant, line),
            _ => return,
        }
        let (index, view) = (line.index, engine.view(line));
        access.counts.rows += view.ended.as_ref().and_then(|ended| ended.rows).unwrap_or_default();
        if self.acts < self.query.acts {
            self.acts += 1;
            self.runs.insert(index, (grant, access.acts.len()));
            access.acts.push(view);
        }
    }

    /// How an act ended that a line before told of.
    fn ended(&mut self, engine: &Engine, grant: GrantId, line: Line) {
        let of = line.data.get("of").and_then(serde_json::Value::as_u64);
        let request = line.request;
        let view = engine.view(line);
        let Some(access) = self.found.get_mut(&grant) else { return };
        access.counts.rows += view.ended.as_ref().and_then(|ended| ended.rows).unwrap_or_default();
        let place = match (of, request) {
            (Some(of), _) => self.runs.remove(&of).map(|(_, place)| place),
            // The end of a use of a receipt names the request; its last use is what ended.
            (None, Some(request)) => access
                .acts
                .iter()
                .rposition(|act| act.line.kind == "action.allowed" && act.line.request == Some(request)),
            (None, None) => None,
        };
        if let Some(act) = place.and_then(|place| access.acts.get_mut(place)) {
            act.ended = view.ended;
            act.transaction = view.transaction;
        }
    }
}
