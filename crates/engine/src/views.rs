//! Views: requests, grants and sessions with everything a person is shown, content included.
//!
//! What is open or ended not long ago is in the book; older things are folded again from the lines that tell of
//! them. A view shows all of an action or says that it can't: nothing is truncated in front of an approver.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_core::action::{Action, RelationVersion};
use countersign_core::grant::{self, Grant};
use countersign_core::question::Target;
use countersign_core::quorum::Tally;
use countersign_core::request::{Ask, Outcome, Request, RowBound, State};
use countersign_core::ruling::Gate;
use countersign_core::session::Ending;
use countersign_core::{
    ActionName, At, Book, Digest, Event, GrantId, PersonId, PrincipalId, Refusal, RequestId, ResourceId,
    RoleId, RuleName, SessionId, Span,
};

use crate::engine::Engine;
use crate::house::House;
use crate::index::{grant_key, id_in, request_key, session_key};
use crate::line::{Line, read_event};
use crate::people::Caller;
use crate::request::{LookContent, RequestContent};
use crate::settings::PAGE_MAX;
use crate::snapshot::Snapshot;
use crate::store::{Drawer, Order, Scan};
use crate::words::Refused;

/// How many entries of the past are looked at for one list.
const PAST_MAX: usize = 20_000;

/// How many lines tell of one thing at most.
const TOLD_MAX: usize = 512;

/// Which requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestFilter {
    /// Only those in this state; without one, those of which something may still come.
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

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// To hold a role for a while.
    Access,
    /// To do one action in a session.
    Action,
    /// To put a bundle in force.
    Apply,
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
    pub by: PrincipalId,
    /// How people call them.
    pub display: String,
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
    /// What is known of the rows it would touch; nothing for what is no action.
    pub rows: Option<RowsView>,
    /// What else the approver should know.
    pub notes: Vec<String>,
    /// Session settings that change its meaning.
    pub settings: Vec<(String, String)>,
    /// What an approval is bound to.
    pub digest: Digest,
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
    /// A use is under way whose outcome is not known yet.
    pub running: bool,
    /// How what was approved ended.
    pub outcome: Option<Outcome>,
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

/// One parameter value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterView {
    /// The protocol's identifier of its type, 0 if the server chooses.
    pub type_id: u32,
    /// In the protocol's binary form, not as text.
    pub binary: bool,
    /// The value's bytes; nothing for SQL's NULL.
    pub bytes: Option<Vec<u8>>,
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
}

/// What is known of the rows that an action would touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowsView {
    /// Counted when it was asked.
    pub count: Option<u64>,
    /// As the server estimates.
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
    pub people: Vec<PrincipalId>,
    /// Who did.
    pub given: Vec<PrincipalId>,
}

/// Somebody's yes or no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidView {
    /// Who.
    pub by: PrincipalId,
    /// When.
    pub at: At,
    /// In their words.
    pub comment: Option<String>,
}

/// A grant, and what the caller may do about it.
#[derive(Clone, Debug)]
pub struct GrantView {
    /// The grant.
    pub grant: Grant,
    /// Where it stands now, in one word.
    pub state: &'static str,
    /// What the role reaches.
    pub resources: Vec<ResourceId>,
    /// Why it was asked for.
    pub purpose: Option<String>,
    /// When and by whom it was ended before its hour.
    pub ended: Option<(At, PrincipalId)>,
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
    pub principal: PrincipalId,
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
    /// The caller may end it.
    pub can_end: bool,
}

impl Engine {
    /// One request, if the caller may see it.
    ///
    /// # Errors
    /// There is none, or it is none of the caller's business; it is not said which.
    pub fn request_view(&self, caller: &Caller, id: RequestId) -> Result<RequestView, Refused> {
        let snapshot = self.snapshot();
        let past;
        let request = match snapshot.book.request(id) {
            Some(found) => found,
            None => {
                past = self.fold(&request_key(id));
                past.request(id).ok_or(Refusal::NoSuchRequest(id))?
            }
        };
        if !self.sees_request(caller, &snapshot, request) {
            return Err(Refusal::NoSuchRequest(id).into());
        }
        Ok(self.show_request(caller, &snapshot, request))
    }

    /// Requests that the caller may see, newest first.
    #[must_use]
    pub fn request_views(&self, caller: &Caller, filter: RequestFilter) -> Vec<RequestView> {
        let snapshot = self.snapshot();
        let limit = if filter.limit == 0 { PAGE_MAX } else { filter.limit.min(PAGE_MAX) };
        let wanted = |request: &Request| match filter.state {
            Some(state) => request.state.as_str() == state,
            None => !request.is_closed(),
        };
        let wanted = |request: &Request| {
            wanted(request)
                && (!filter.mine || request.by == caller.principal)
                && (!filter.inbox || self.could_answer(caller, &snapshot, request))
        };
        let seen = |request: &&Request| wanted(request) && self.sees_request(caller, &snapshot, request);
        let live = snapshot.book.requests().rev().filter(seen).take(limit);
        let mut views: Vec<RequestView> =
            live.map(|request| self.show_request(caller, &snapshot, request)).collect();
        let past = filter.state.is_some_and(|state| state != "pending") && !filter.inbox;
        if past && views.len() < limit {
            let known = |id: u128| snapshot.book.request(RequestId(id)).is_some();
            for id in self.past(b'r', known) {
                let book = self.fold(&request_key(RequestId(id)));
                let found = book.request(RequestId(id)).filter(&seen);
                views.extend(found.map(|request| self.show_request(caller, &snapshot, request)));
                if views.len() >= limit {
                    break;
                }
            }
        }
        views
    }

    /// One grant, if the caller may see it.
    ///
    /// # Errors
    /// There is none, or it is none of the caller's business.
    pub fn grant_view(&self, caller: &Caller, id: GrantId) -> Result<GrantView, Refused> {
        let snapshot = self.snapshot();
        let past;
        let grant = match snapshot.book.grant(id) {
            Some(found) => found,
            None => {
                past = self.fold(&grant_key(id));
                past.grant(id).ok_or(Refusal::NoSuchGrant(id))?
            }
        };
        if !self.sees_grant(caller, &snapshot, grant) {
            return Err(Refusal::NoSuchGrant(id).into());
        }
        Ok(self.show_grant(caller, &snapshot, grant))
    }

    /// Grants that the caller may see, newest first.
    #[must_use]
    pub fn grant_views(&self, caller: &Caller, filter: GrantFilter) -> Vec<GrantView> {
        let snapshot = self.snapshot();
        let now = self.now().max(snapshot.at);
        let state = filter.state.unwrap_or("live");
        let seen = |grant: &&Grant| {
            grant.state_at(now) == state
                && (!filter.mine || grant.principal == caller.principal)
                && self.sees_grant(caller, &snapshot, grant)
        };
        let live = snapshot.book.grants().rev().filter(seen).take(PAGE_MAX);
        let mut views: Vec<GrantView> = live.map(|grant| self.show_grant(caller, &snapshot, grant)).collect();
        if state != "live" && views.len() < PAGE_MAX {
            let known = |id: u128| snapshot.book.grant(GrantId(id)).is_some();
            for id in self.past(b'g', known) {
                let book = self.fold(&grant_key(GrantId(id)));
                let found = book.grant(GrantId(id)).filter(&seen);
                views.extend(found.map(|grant| self.show_grant(caller, &snapshot, grant)));
                if views.len() >= PAGE_MAX {
                    break;
                }
            }
        }
        views
    }

    /// Sessions that the caller may see, newest first: `live`, `ended`, or without a state those that are live.
    #[must_use]
    pub fn session_views(&self, caller: &Caller, state: Option<&str>) -> Vec<SessionView> {
        let snapshot = self.snapshot();
        if state.is_none_or(|state| state == "live") {
            let open = snapshot.book.sessions().rev().take(PAGE_MAX);
            let views = open.filter_map(|found| self.session_of(caller, &snapshot, found.opening.session));
            return views.collect();
        }
        let open = |id: u128| snapshot.book.session(SessionId(id)).is_some();
        let past = self.past(b's', open).into_iter().map(SessionId);
        past.filter_map(|id| self.session_of(caller, &snapshot, id)).take(PAGE_MAX).collect()
    }

    /// The person of a session, open or not.
    pub(crate) fn person_of_session(&self, snapshot: &Snapshot, id: SessionId) -> Option<PersonId> {
        if let Some(found) = snapshot.book.session(id) {
            return Some(found.person.clone());
        }
        let index = self.0.house.first_told(&session_key(id))?;
        self.line(index)?.person
    }

    fn sees_request(&self, caller: &Caller, snapshot: &Snapshot, request: &Request) -> bool {
        let target = target_of(request);
        self.may(caller, snapshot, "request.read", target)
            || snapshot.book.approvers(request, self.now()).contains(&caller.principal)
    }

    fn sees_grant(&self, caller: &Caller, snapshot: &Snapshot, grant: &Grant) -> bool {
        self.may(caller, snapshot, "grant.read", target_of_grant(grant))
    }

    fn could_answer(&self, caller: &Caller, snapshot: &Snapshot, request: &Request) -> bool {
        let now = self.now().max(snapshot.at);
        let said = request.approvals.iter().any(|given| given.by == caller.principal);
        let person = snapshot.book.person(&caller.principal);
        let said = said || request.approvals.iter().any(|given| Some(&given.person) == person);
        request.state == State::Pending
            && now < request.lapses_at
            && !said
            && snapshot.book.approvers(request, now).contains(&caller.principal)
    }

    fn show_request(&self, caller: &Caller, snapshot: &Snapshot, request: &Request) -> RequestView {
        let now = self.now().max(snapshot.at);
        let content = self.0.house.content_of_request(request.id);
        let action: Option<Action> =
            content.as_ref().and_then(|content| serde_json::from_str(&content.action).ok());
        let tally = snapshot.book.tally(request, now);
        let could_answer = self.could_answer(caller, snapshot, request);
        let may = |action| could_answer && self.may(caller, snapshot, action, target_of(request));
        let open = matches!(&request.state, State::Pending)
            || matches!(&request.state, State::Approved(found) if found.running.is_none() && found.used < found.uses);
        let principal = snapshot.book.catalogue.principals.get(&request.by);
        let mut view = RequestView {
            id: request.id,
            state: request.state.as_str(),
            kind: kind_of(&request.ask),
            by: request.by.clone(),
            display: principal.map_or_else(|| request.by.to_string(), |found| found.display.clone()),
            person: request.person.clone(),
            action: request.action(),
            role: action.as_ref().and_then(|action| action.role.clone()),
            resource: request.resource().cloned(),
            lasting: None,
            bundle: None,
            purpose: None,
            ticket: None,
            text: None,
            verbs: Vec::new(),
            parameters: Vec::new(),
            relations: Vec::new(),
            rows: None,
            notes: Vec::new(),
            settings: Vec::new(),
            digest: request.digest,
            gates: request.gates.clone(),
            stages: stages(request, &tally),
            missing: tally.missing(),
            approvals: self.approvals(request),
            denial: None,
            why: None,
            ended_at: None,
            session: None,
            grant: None,
            asked_at: request.asked_at,
            lapses_at: request.lapses_at,
            valid_until: None,
            running: false,
            outcome: None,
            locked: request.locked,
            erased: content.is_none(),
            can_approve: may("request.approve"),
            can_deny: may("request.deny"),
            can_withdraw: open && self.may(caller, snapshot, "request.withdraw", target_of(request)),
        };
        view.ask(&request.ask, snapshot);
        self.end(&mut view, request);
        if let Some(content) = content {
            view.content(content, action);
        }
        view
    }

    fn approvals(&self, request: &Request) -> Vec<SaidView> {
        let said = |given: &countersign_core::request::Approval| SaidView {
            by: given.by.clone(),
            at: given.at,
            comment: self.comment(request.id, given.comment),
        };
        request.approvals.iter().map(said).collect()
    }

    /// Where a request has come to.
    fn end(&self, view: &mut RequestView, request: &Request) {
        match &request.state {
            State::Pending => {}
            State::Approved(receipt) => {
                view.valid_until = Some(receipt.valid_until);
                view.running = receipt.running.is_some();
                view.outcome.clone_from(&receipt.outcome);
            }
            State::Denied { by, at, comment } => {
                let comment = self.comment(request.id, *comment);
                view.denial = Some(SaidView { by: by.clone(), at: *at, comment });
                view.ended_at = Some(*at);
            }
            State::Lapsed { at } => view.ended_at = Some(*at),
            State::Withdrawn { why, at } => {
                view.why = word(why);
                view.ended_at = Some(*at);
            }
            State::Void { why, at } => {
                view.why = word(why);
                view.ended_at = Some(*at);
            }
        }
    }

    fn show_grant(&self, caller: &Caller, snapshot: &Snapshot, grant: &Grant) -> GrantView {
        let now = self.now().max(snapshot.at);
        let live = matches!(grant.state, grant::State::Live) && now < grant.not_after;
        let role = snapshot.book.catalogue.roles.get(&grant.role);
        let content = self.0.house.content_of_request(grant.request);
        GrantView {
            state: grant.state_at(now),
            resources: role.map(|role| role.resources.iter().cloned().collect()).unwrap_or_default(),
            purpose: content.map(|content| content.purpose).filter(|purpose| !purpose.is_empty()),
            ended: match &grant.state {
                grant::State::Live | grant::State::Expired { .. } => None,
                grant::State::Revoked { at, by, .. } => Some((*at, by.clone())),
                grant::State::Relinquished { at } => Some((*at, grant.principal.clone())),
            },
            can_revoke: live && self.may(caller, snapshot, "grant.revoke", target_of_grant(grant)),
            can_relinquish: live && grant.principal == caller.principal,
            grant: grant.clone(),
        }
    }

    /// A session, from the line that opened it.
    fn session_of(&self, caller: &Caller, snapshot: &Snapshot, id: SessionId) -> Option<SessionView> {
        let told = self.0.house.told(&session_key(id), TOLD_MAX).ok()?;
        let opened = self.line(*told.first()?)?;
        let person = opened.person.clone()?;
        let target = || Target::Session { id, person: person.clone() };
        if !self.may(caller, snapshot, "session.read", target()) {
            return None;
        }
        let live = snapshot.book.session(id);
        let ended = match live {
            Some(_) => None,
            None => told.iter().rev().find_map(|index| ending(&self.line(*index)?)),
        };
        let content = self.0.house.content_at(&opened, "/data/content");
        let content: Option<serde_json::Value> =
            content.and_then(|kept| serde_json::from_slice(&kept.bytes).ok());
        let said = |name: &str| {
            let value = content.as_ref()?.get(name)?.as_str()?;
            (!value.is_empty()).then(|| value.to_owned())
        };
        let can_end = live.is_some_and(|live| live.end_ordered.is_none())
            && self.may(caller, snapshot, "session.end", target());
        Some(SessionView {
            id,
            state: if live.is_some() { "live" } else { "ended" },
            principal: opened.actor.clone()?,
            role: opened.role.clone()?,
            resource: opened.resource.clone()?,
            door: opened.data.get("door").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned(),
            address: said("address"),
            application: said("application"),
            purpose: said("purpose"),
            opened_at: opened.at,
            ended,
            grant: opened.grant?,
            can_end,
            person,
        })
    }

    /// Identifiers of what the ledger tells of and the book has forgotten, newest first.
    fn past(&self, kind: u8, known: impl Fn(u128) -> bool) -> Vec<u128> {
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

    /// A book that knows nothing but what is told of one thing.
    fn fold(&self, key: &[u8]) -> Book {
        fold(&self.0.house, key)
    }
}

fn fold(house: &House, key: &[u8]) -> Book {
    let mut book = Book::default();
    for index in house.told(key, TOLD_MAX).unwrap_or_default() {
        let lines = house.store.read(index, 1).unwrap_or_default();
        let Some(line) = lines.first().filter(|line| line.index == index) else { continue };
        // What bundles say is no part of what is folded here.
        let event = read_event(&line.bytes, &|_| Some(std::sync::Arc::default()));
        if let Ok((event, at)) = event
            && !matches!(event, Event::Principal(_))
        {
            book.apply(&event, at);
        }
    }
    book
}

impl RequestView {
    fn ask(&mut self, ask: &Ask, snapshot: &Snapshot) {
        match ask {
            Ask::Access { role, lasting } => {
                self.role = Some(role.clone());
                self.lasting = Some(*lasting);
                let followed = snapshot.book.grants().rev().find(|grant| grant.request == self.id);
                self.grant = followed.map(|grant| grant.id);
            }
            Ask::Act { session, grant, action: _, resource, bounds } => {
                self.session = Some(*session);
                self.grant = Some(*grant);
                self.resource = Some(resource.clone());
                let bound = match bounds.rows {
                    RowBound::AtMost(rows) => Some(rows),
                    RowBound::Unbounded => None,
                };
                self.rows = Some(RowsView { count: None, estimate: None, bound });
            }
            Ask::Apply { bundle } => self.bundle = Some(*bundle),
        }
    }

    fn content(&mut self, content: RequestContent, action: Option<Action>) {
        self.purpose = Some(content.purpose).filter(|words| !words.is_empty());
        self.ticket = content.ticket.filter(|words| !words.is_empty());
        let look = content.look.unwrap_or_default();
        if let Some(rows) = &mut self.rows {
            rows.count = look.rows;
            rows.estimate = look.estimate;
        }
        let Some(action) = action else { return };
        self.parameters = parameters(&action);
        self.relations = relations(&action.relations, &look);
        self.notes = look.notes;
        self.settings = action.settings.into_iter().collect();
        self.text = action.text;
        self.verbs = action.verbs;
    }
}

fn kind_of(ask: &Ask) -> RequestKind {
    match ask {
        Ask::Access { .. } => RequestKind::Access,
        Ask::Act { .. } => RequestKind::Action,
        Ask::Apply { .. } => RequestKind::Apply,
    }
}

fn target_of(request: &Request) -> Target {
    Target::Request { id: request.id, person: request.person.clone(), action: request.action() }
}

fn target_of_grant(grant: &Grant) -> Target {
    Target::Grant { id: grant.id, person: grant.person.clone(), role: grant.role.clone() }
}

fn stages(request: &Request, tally: &Tally<'_>) -> Vec<StageView> {
    let places = tally.stages.iter().zip(&tally.seated);
    let view = places.map(|(stage, seated)| StageView {
        rule: stage.rule.clone(),
        need: stage.need,
        from: stage.from.iter().map(ToString::to_string).collect(),
        people: stage.who.keys().map(|who| (*who).clone()).collect(),
        given: seated.iter().filter_map(|index| Some(request.approvals.get(*index)?.by.clone())).collect(),
    });
    view.collect()
}

/// Parameters as the canonical action has them: base64 behind `t:` or `b:`, or null.
fn parameters(action: &Action) -> Vec<ParameterView> {
    let types = action.parameter_types.iter().copied().chain(std::iter::repeat(0));
    let view = |(value, type_id): (&Option<String>, u32)| {
        let coded = value.as_deref().unwrap_or_default();
        let bytes = coded.split_once(':').and_then(|(_, coded)| STANDARD.decode(coded).ok());
        ParameterView { type_id, binary: coded.starts_with("b:"), bytes: value.as_ref().and(bytes) }
    };
    action.parameters.iter().zip(types).map(view).collect()
}

/// What was looked up, and whatever else the action names.
fn relations(named: &[RelationVersion], look: &LookContent) -> Vec<RelationView> {
    let looked = look.relations.iter().map(|relation| RelationView {
        name: relation.name.clone(),
        owner: relation.owner.clone(),
        estimate_rows: relation.estimate_rows,
        access: Some(relation.access.clone()).filter(|access| !access.is_empty()),
    });
    let mut views: Vec<RelationView> = looked.collect();
    let known: BTreeSet<String> = views.iter().map(|view| view.name.clone()).collect();
    let other = named.iter().filter(|relation| !known.contains(&relation.name));
    views.extend(other.map(|relation| RelationView {
        name: relation.name.clone(),
        owner: None,
        estimate_rows: None,
        access: None,
    }));
    views
}

/// When and why a line says that a session ended.
fn ending(line: &Line) -> Option<(At, Ending)> {
    let why = line.data.get("why").filter(|_| line.kind == "session.terminated")?;
    Some((line.at, serde_json::from_value(why.clone()).ok()?))
}

/// A reason in one word, as the ledger has it.
fn word(why: &impl serde::Serialize) -> Option<String> {
    let value = serde_json::to_value(why).ok()?;
    value.as_str().map(str::to_owned)
}
