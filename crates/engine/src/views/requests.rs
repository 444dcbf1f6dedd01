//! Requests as a person is shown them.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_core::action::{Action, RelationVersion};
use countersign_core::catalogue::Resource;
use countersign_core::envelope::Terms;
use countersign_core::question::Target;
use countersign_core::quorum::Tally;
use countersign_core::request::{Ask, Bounds, Receipt, Request, RowBound, State};
use countersign_core::script::Step;
use countersign_core::{At, Refusal, RequestId};

use super::{
    FunctionView, Named, ParameterView, ReceiptView, RelationView, RequestFilter, RequestKind, RequestView,
    RowsView, SaidView, StageView, StepView, newest,
};
use crate::engine::Engine;
use crate::foreseen::Foreseen;
use crate::index::request_key;
use crate::people::Caller;
use crate::request::{LookContent, LookFunctionContent, RequestContent};
use crate::settings::PAGE_MAX;
use crate::snapshot::Snapshot;
use crate::words::Refused;

/// What was put forward with a request, as far as it is still there.
struct PutForward {
    content: Option<RequestContent>,
    action: Option<Action>,
}

impl Engine {
    /// One request, if the caller may see it.
    ///
    /// # Errors
    /// There is none, or it is none of the caller's business; it is not said which.
    pub fn request_view(&self, caller: &Caller, id: RequestId) -> Result<RequestView, Refused> {
        let snapshot = self.snapshot();
        let request = self.request_told(&snapshot, id).ok_or(Refusal::NoSuchRequest(id))?;
        if !self.sees_request(caller, &snapshot, &request) {
            return Err(Refusal::NoSuchRequest(id).into());
        }
        let words = self.put_forward(id);
        // What others ask for is for those to see who answer, not for those who ask.
        let by_anybody = caller.principal != request.by;
        let earlier = words.action.as_ref().map(|action| self.earlier(action, id, by_anybody));
        let mut view = self.show_request(caller, &snapshot, &request, words);
        view.earlier = earlier;
        view.ended = view.outcome.as_ref().and_then(|_| self.ended_of(id));
        Ok(view)
    }

    /// Requests that the caller may see, newest first.
    #[must_use]
    pub fn request_views(&self, caller: &Caller, filter: RequestFilter) -> Vec<RequestView> {
        let snapshot = self.snapshot();
        let limit = if filter.limit == 0 { PAGE_MAX } else { filter.limit.min(PAGE_MAX) };
        let wanted = |request: &Request| match filter.state {
            Some("all") => true,
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
        let live = live
            .map(|request| {
                (request.id.0, self.show_request(caller, &snapshot, request, self.put_forward(request.id)))
            })
            .collect();
        let over = filter.state.is_some_and(|state| state != "pending") && !filter.inbox;
        let known = |id: u128| snapshot.book.request(RequestId(id)).is_some();
        let past = if over { self.past(b'r', known) } else { Vec::new() };
        newest(live, past, limit, |id| {
            let book = self.fold(&request_key(RequestId(id)));
            let found = book.request(RequestId(id)).filter(&seen);
            found.map(|request| self.show_request(caller, &snapshot, request, self.put_forward(request.id)))
        })
    }

    /// Whether somebody may see a request at all: policy lets them, or they are asked.
    pub(crate) fn sees_request(&self, caller: &Caller, snapshot: &Snapshot, request: &Request) -> bool {
        let target = target_of(request);
        self.may(caller, snapshot, "request.read", target)
            || snapshot.book.approvers(request, self.now()).contains(&caller.principal)
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

    fn put_forward(&self, id: RequestId) -> PutForward {
        let content = self.0.house.content_of_request(id);
        let action = content.as_ref().and_then(|content| serde_json::from_str(&content.action).ok());
        PutForward { content, action }
    }

    fn show_request(
        &self,
        caller: &Caller,
        snapshot: &Snapshot,
        request: &Request,
        PutForward { content, action }: PutForward,
    ) -> RequestView {
        let now = self.now().max(snapshot.at);
        let tally = snapshot.book.tally(request, now);
        let could_answer = self.could_answer(caller, snapshot, request);
        let may = |action| could_answer && self.may(caller, snapshot, action, target_of(request));
        let open = matches!(&request.state, State::Pending)
            || matches!(&request.state, State::Approved(found) if found.is_open());
        let mut view = RequestView {
            id: request.id,
            state: request.state.as_str(),
            kind: kind_of(&request.ask),
            by: Named::of(snapshot, &request.by),
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
            functions: Vec::new(),
            rows: None,
            foreseen: Foreseen::default(),
            so_far: None,
            earlier: None,
            notes: Vec::new(),
            settings: Vec::new(),
            digest: request.digest,
            signed: request.is_signed(),
            gates: request.gates.clone(),
            stages: stages(snapshot, request, &tally),
            missing: tally.missing(),
            approvals: self.approvals(snapshot, request),
            denial: None,
            why: None,
            ended_at: None,
            session: None,
            grant: None,
            asked_at: request.asked_at,
            lapses_at: request.lapses_at,
            valid_until: None,
            receipt: None,
            steps: Vec::new(),
            ceiling: request.ceiling(),
            most: request.most(),
            running: false,
            outcome: None,
            transaction: request.transaction(),
            ended: None,
            locked: request.locked,
            erased: content.is_none(),
            can_approve: may("request.approve"),
            can_deny: may("request.deny"),
            can_withdraw: open && self.may(caller, snapshot, "request.withdraw", target_of(request)),
        };
        view.ask(&request.ask, snapshot);
        view.session = view.session.or(request.progress.as_ref().and_then(|progress| progress.session));
        self.end(&mut view, snapshot, request);
        if let Some(content) = content {
            let resource = request.resource().and_then(|id| snapshot.book.catalogue.resources.get(id));
            view.steps = steps(request, &content, resource);
            view.content(content, action, resource);
        }
        view
    }

    pub(crate) fn approvals(&self, snapshot: &Snapshot, request: &Request) -> Vec<SaidView> {
        let said = |given: &countersign_core::request::Approval| SaidView {
            by: Named::of(snapshot, &given.by),
            at: given.at,
            comment: self.comment(request.id, given.comment),
            signed: given.signature.is_some(),
            terms: given.terms,
        };
        request.approvals.iter().map(said).collect()
    }

    /// Where a request has come to.
    fn end(&self, view: &mut RequestView, snapshot: &Snapshot, request: &Request) {
        match &request.state {
            State::Pending => {}
            State::Approved(receipt) => {
                view.valid_until = Some(receipt.valid_until);
                view.running = receipt.running.is_some();
                view.outcome.clone_from(&receipt.outcome);
                let Receipt { uses, used, envelope, spent, .. } = *receipt;
                let acts = matches!(request.ask, Ask::Act { .. } | Ask::Script { .. });
                view.receipt = acts.then_some(ReceiptView { uses, used, envelope, spent });
            }
            State::Denied { by, at, comment } => {
                let comment = self.comment(request.id, *comment);
                view.denial = Some(SaidView {
                    by: Named::of(snapshot, by),
                    at: *at,
                    comment,
                    signed: false,
                    terms: Terms::default(),
                });
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
            Ask::Act { session, grant, action: _, resource, bounds, reach: _ } => {
                self.session = Some(*session);
                self.grant = Some(*grant);
                self.resource = Some(resource.clone());
                let bound = bound(*bounds);
                self.rows = Some(RowsView { count: None, least: None, estimate: None, bound });
            }
            Ask::Apply { bundle } => self.bundle = Some(*bundle),
            Ask::Script { grant, resource, .. } => {
                self.grant = Some(*grant);
                self.resource = Some(resource.clone());
            }
        }
    }

    fn content(&mut self, content: RequestContent, action: Option<Action>, resource: Option<&Resource>) {
        self.purpose = Some(content.purpose).filter(|words| !words.is_empty());
        self.ticket = content.ticket.filter(|words| !words.is_empty());
        let look = content.look.unwrap_or_default();
        if let Some(rows) = &mut self.rows {
            rows.count = look.rows;
            rows.least = look.foreseen.rows_least;
            rows.estimate = look.estimate;
        }
        self.so_far = content.so_far;
        let Some(action) = action else { return };
        self.parameters = parameters(&action, &look);
        self.relations = relations(&action.relations, &look, resource);
        self.foreseen = look.foreseen;
        self.functions = look.functions.into_iter().map(Into::into).collect();
        self.notes = look.notes;
        self.settings = action.settings.into_iter().collect();
        self.text = action.text;
        self.verbs = action.verbs;
    }
}

impl From<LookFunctionContent> for FunctionView {
    fn from(one: LookFunctionContent) -> Self {
        Self { name: one.name, volatile: one.volatile, definer: one.definer }
    }
}

/// The steps of a script, with what has become of each.
fn steps(request: &Request, content: &RequestContent, resource: Option<&Resource>) -> Vec<StepView> {
    let outcomes = request.progress.as_ref().map(|progress| progress.outcomes.as_slice()).unwrap_or_default();
    let running = matches!(&request.state, State::Approved(receipt) if receipt.running.is_some());
    let step = |(place, step): (usize, &Step)| {
        let kept = content.steps.get(place);
        let action: Option<Action> = kept.and_then(|kept| serde_json::from_str(&kept.action).ok());
        let look = kept.map(|kept| kept.look.clone()).unwrap_or_default();
        let named = action.as_ref().map(|action| action.relations.as_slice()).unwrap_or_default();
        let number = u32::try_from(place + 1).unwrap_or(u32::MAX);
        StepView {
            digest: step.digest,
            relations: relations(named, &look, resource),
            functions: look.functions.into_iter().map(Into::into).collect(),
            rows: RowsView {
                count: look.rows,
                least: look.foreseen.rows_least,
                estimate: look.estimate,
                bound: bound(step.bounds),
            },
            foreseen: look.foreseen,
            notes: look.notes,
            action: action.as_ref().map(|action| action.kind.clone()),
            verbs: action.as_ref().map(|action| action.verbs.clone()).unwrap_or_default(),
            settings: action
                .as_ref()
                .map(|one| one.settings.clone())
                .unwrap_or_default()
                .into_iter()
                .collect(),
            text: action.and_then(|action| action.text),
            running: running && place == outcomes.len(),
            outcome: outcomes.get(place).cloned(),
            transaction: request.uses.iter().find(|used| used.number == number).map(|used| used.transaction),
        }
    };
    request.steps().unwrap_or_default().iter().enumerate().map(step).collect()
}

fn bound(bounds: Bounds) -> Option<u64> {
    match bounds.rows {
        RowBound::AtMost(rows) | RowBound::Later(rows) => Some(rows),
        RowBound::Unbounded => None,
    }
}

fn kind_of(ask: &Ask) -> RequestKind {
    match ask {
        Ask::Access { .. } => RequestKind::Access,
        Ask::Act { .. } => RequestKind::Action,
        Ask::Apply { .. } => RequestKind::Apply,
        Ask::Script { .. } => RequestKind::Script,
    }
}

fn target_of(request: &Request) -> Target {
    Target::Request {
        id: request.id,
        principal: request.by.clone(),
        person: request.person.clone(),
        action: request.action(),
    }
}

/// Who must say yes to a request, and who may.
pub(crate) fn stages_of(snapshot: &Snapshot, request: &Request, now: At) -> Vec<StageView> {
    stages(snapshot, request, &snapshot.book.tally(request, now))
}

fn stages(snapshot: &Snapshot, request: &Request, tally: &Tally<'_>) -> Vec<StageView> {
    let given = |index: &usize| Some(Named::of(snapshot, &request.approvals.get(*index)?.by));
    let places = tally.stages.iter().zip(&tally.seated);
    let view = places.map(|(stage, seated)| StageView {
        rule: stage.rule.clone(),
        need: stage.need,
        from: stage.from.iter().map(ToString::to_string).collect(),
        people: stage.who.keys().map(|who| Named::of(snapshot, who)).collect(),
        given: seated.iter().filter_map(given).collect(),
    });
    view.collect()
}

/// Parameters as the canonical action has them: base64 behind `t:` or `b:`, or null.
fn parameters(action: &Action, look: &LookContent) -> Vec<ParameterView> {
    let types = action.parameter_types.iter().copied().chain(std::iter::repeat(0));
    let view = |(value, type_id): (&Option<String>, u32)| {
        let coded = value.as_deref().unwrap_or_default();
        let bytes = coded.split_once(':').and_then(|(_, coded)| STANDARD.decode(coded).ok());
        let named = look.types.iter().find(|one| one.oid == type_id && type_id != 0);
        ParameterView {
            type_id,
            type_name: named.map(|one| one.name.clone()),
            written_like: named.map_or(type_id, |one| one.written_like),
            binary: coded.starts_with("b:"),
            bytes: value.as_ref().and(bytes),
        }
    };
    action.parameters.iter().zip(types).map(view).collect()
}

/// What was looked up, and whatever else the action names, with what the bundle says of it.
fn relations(
    named: &[RelationVersion],
    look: &LookContent,
    resource: Option<&Resource>,
) -> Vec<RelationView> {
    let looked = look.relations.iter().map(|relation| RelationView {
        owner: relation.owner.clone(),
        estimate_rows: relation.estimate_rows,
        access: Some(relation.access.clone()).filter(|access| !access.is_empty()),
        kinds: relation.kinds.clone(),
        columns: relation.columns.clone(),
        reached: relation.reached,
        ..described(&relation.name, resource)
    });
    let mut views: Vec<RelationView> = looked.collect();
    let known: BTreeSet<String> = views.iter().map(|view| view.name.clone()).collect();
    let other = named.iter().filter(|relation| !known.contains(&relation.name));
    views.extend(other.map(|other| {
        // Functions stand among them too, and are nobody's relation.
        let resource = resource.filter(|_| other.oid != 0);
        described(&other.name, resource)
    }));
    views
}

/// A relation as the bundle describes it.
fn described(name: &str, resource: Option<&Resource>) -> RelationView {
    let said = resource.and_then(|resource| resource.relation_called(name));
    let owner = resource.and_then(|resource| resource.owner_of(said));
    RelationView {
        name: name.to_owned(),
        owner: None,
        estimate_rows: None,
        access: None,
        kinds: Vec::new(),
        columns: Vec::new(),
        reached: false,
        title: said.and_then(|said| said.title.clone()),
        responsible: owner.map(ToString::to_string),
        impact: resource.map(|resource| resource.impact_of(said)),
        labels: said.map(|said| said.labels.iter().cloned().collect()).unwrap_or_default(),
    }
}

/// A reason in one word, as the ledger has it.
fn word(why: &impl serde::Serialize) -> Option<String> {
    let value = serde_json::to_value(why).ok()?;
    value.as_str().map(str::to_owned)
}
