//! The door's part in the security flow: what an attempt is made of, how waiting goes on, what the client is told.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use countersign_core::ActionName;
use countersign_core::action::RelationVersion;
use countersign_core::question::Context;
use countersign_core::request::{RowBound, Withdrawal};
use countersign_engine::{Attempt, Ground, Judgement, Look, Parameter, Pending, Ran, Refused};
use countersign_wire::postgres::{Format, TransactionStatus};
use countersign_wire::sql::{Facts, Unparsed, classify_unparsed, is_same_statement};

use super::super::catalogue::Knowledge;
use super::super::classify::{Classification, Statement, Understood, classification};
use super::super::look::{self, Counted};
use super::super::mask::{self, Cover, Masked};
use super::super::touches::touches;
use super::super::{state, wording};
use super::acts::ActId;
use super::cancelling::cancelled;
use super::cursors::{has_open_types, is_declared};
use super::no::{ABORTED, no_wait, refusal, void};
use super::{End, Portal, Session};
use crate::flow::{self, Attended, Leave, News, No, Tongue};

/// How many of the texts that a session sends one after the other are known again when they come with other values.
const LATEST_MAX: usize = 8;

/// One thing that a client wants to run.
pub(super) struct Action {
    statement: Arc<Statement>,
    understood: Arc<Understood>,
    parameters: Arc<[Option<Parameter>]>,
    /// The types of the parameters: as declared, and for a held action as the server has resolved them.
    types: Arc<[u32]>,
    /// The name under which the server has the statement.
    prepared: Option<Bytes>,
    /// It is a `Bind` without its `Execute`.
    alone: bool,
    /// The portal that it goes on with.
    running: Option<Bytes>,
    /// What it does was decided before, and no name or setting that changes now changes it.
    settled: bool,
    bytes: Bytes,
    seen: look::Seen,
    /// The formats that a portal's results are wanted in.
    formats: Option<Arc<[Format]>>,
}

impl Action {
    /// A statement without parameters.
    pub(super) fn new(statement: &Arc<Statement>, understood: Arc<Understood>, bytes: Bytes) -> Self {
        Self {
            statement: Arc::clone(statement),
            understood,
            parameters: Arc::default(),
            types: Arc::clone(&statement.types),
            prepared: None,
            alone: false,
            running: None,
            settled: false,
            bytes,
            seen: look::Seen::default(),
            formats: None,
        }
    }

    /// A statement with the parameters of its portal.
    pub(super) fn of_portal(portal: &Portal, understood: Arc<Understood>, bytes: Bytes) -> Self {
        let (parameters, prepared) = (Arc::clone(&portal.parameters), Some(portal.prepared.clone()));
        let formats = Some(Arc::clone(&portal.formats));
        let mut action =
            Self { parameters, prepared, formats, ..Self::new(&portal.statement, understood, bytes) };
        if let Some(types) = portal.types.get() {
            action.resolve(types);
        }
        action
    }

    /// The same, if it is a `Bind` alone.
    pub(super) fn alone(self, alone: bool) -> Self {
        Self { alone, ..self }
    }

    /// The same, if it goes on with what is running.
    pub(super) fn of_running(self, name: Bytes) -> Self {
        Self { running: Some(name), settled: true, ..self }
    }

    /// The same, if it is a call without a statement, with these arguments.
    pub(super) fn of_call(self, arguments: Arc<[Option<Parameter>]>) -> Self {
        Self { parameters: arguments, settled: true, ..self }
    }

    /// The same, in other words for whoever is asked.
    pub(super) fn shown_as(self, statement: &Arc<Statement>) -> Self {
        Self { statement: Arc::clone(statement), ..self }
    }

    /// The formats that its results are wanted in, if it is one of a portal.
    pub(super) fn formats(&self) -> Option<Arc<[Format]>> {
        self.formats.clone()
    }

    /// What it is in words.
    pub(super) fn statement(&self) -> Arc<Statement> {
        Arc::clone(&self.statement)
    }

    /// Whether the client has left the type of a parameter to the server.
    fn has_open_types(&self) -> bool {
        has_open_types(&self.types, self.parameters.len())
    }

    /// Fills in what the client has left open.
    fn resolve(&mut self, resolved: &[u32]) {
        let declared = self.types.iter().copied().chain(std::iter::repeat(0));
        let either = |(oid, resolved): (u32, &u32)| if is_declared(oid) { oid } else { *resolved };
        self.types = declared.zip(resolved).map(either).collect();
    }
}

/// What may be forwarded now.
pub(super) struct Granted {
    /// The very bytes that were judged.
    pub(super) bytes: Bytes,
    order: Order,
    action: Action,
    cover: Option<Box<Cover>>,
}

/// In which order it is recorded.
enum Order {
    First(Ran),
    BeforeRelease(Pending),
}

impl Granted {
    /// The row bound that is to be kept, if one is.
    pub(super) fn rows_max(&self) -> Option<u64> {
        match &self.order {
            Order::First(ran) => match ran.bounds()?.rows {
                RowBound::AtMost(rows) | RowBound::Later(rows) => Some(rows),
                RowBound::Unbounded => None,
            },
            Order::BeforeRelease(_) => None,
        }
    }

    /// What is known of it.
    pub(super) fn understood(&self) -> Arc<Understood> {
        Arc::clone(&self.action.understood)
    }
}

impl Session {
    /// Finds out what is in doubt of the session: nothing is judged by what may have changed.
    pub(super) async fn ascertain(&mut self) -> Result<(), End> {
        if self.acts.has_changing() {
            self.settle().await?;
        }
        if self.known.is_doubtful() {
            self.ask_settings().await?;
        }
        if self.known.has_definitions() {
            self.settle().await?;
            // Inside a transaction nobody else sees them, so no catalogue tells of them.
            if self.tracker.is_quiet() && !self.batch_open && self.asked_catalogue().await? {
                self.known.definitions_are_known();
            }
        }
        Ok(())
    }

    /// Asks for the catalogue as it is now. False: it can't be asked for.
    async fn asked_catalogue(&mut self) -> Result<bool, End> {
        let (target, shared) = (Arc::clone(&self.target), Arc::clone(&self.shared));
        Ok(self.drive(target.refreshed(&shared)).await?.is_some())
    }

    /// Classifies a statement under what is known of the session now, finding that out first where it is in doubt.
    pub(super) async fn understand(&mut self, statement: &Arc<Statement>) -> Result<Arc<Understood>, End> {
        self.ascertain().await?;
        let understood = self.classified(statement).await?;
        let names: Vec<String> = understood.executes().map(str::to_owned).collect();
        let mut facts = None;
        for name in names {
            let Some(prepared) = self.prepared_statement(&name) else { continue };
            let prepared = self.classified(&prepared).await?;
            let base = facts.as_ref().unwrap_or(&*understood.facts);
            facts = Some(base.with_prepared(&prepared.facts));
        }
        Ok(match facts {
            Some(facts) => Arc::new(Understood::of(Arc::new(facts))),
            None => self.fetching(understood),
        })
    }

    /// What stands behind a name in an `EXECUTE`, if that is certain.
    fn prepared_statement(&self, name: &str) -> Option<Arc<Statement>> {
        let by_protocol = || self.tracker.statement(name.as_bytes()).certain().map(Arc::clone);
        self.prepared.get(name).map(Arc::clone).or_else(by_protocol)
    }

    async fn classified(&mut self, statement: &Arc<Statement>) -> Result<Arc<Understood>, End> {
        if let Some(loaded) = self.target.at_hand(self.now())
            && let Some(understood) = statement.understood(&self.known, loaded.as_deref())
        {
            return Ok(understood);
        }
        let (target, shared) = (Arc::clone(&self.target), Arc::clone(&self.shared));
        let loaded = match target.knowledge(&shared) {
            Knowledge::Fresh(loaded) | Knowledge::Ageing(loaded) => Some(loaded),
            Knowledge::Old => self.drive(target.refresh(&shared)).await?,
            Knowledge::Unavailable => None,
        };
        if let Some(understood) = statement.understood(&self.known, loaded.as_deref()) {
            return Ok(understood);
        }
        let parser = shared.parser_for(statement.raw.len());
        let found = classification(&parser, &target.classes, statement, &self.known, loaded.as_ref());
        let facts = match found {
            Classification::Kept(facts) => Some(facts),
            Classification::Coming(receiver) => self.drive(receiver).await?.ok(),
            Classification::Busy => None,
        };
        Ok(match facts {
            Some(facts) => {
                let understood = self.named(facts);
                statement.keep(&self.known, loaded.as_deref(), &understood);
                understood
            }
            None => {
                let busy = Unparsed::Shape { message: "the parser is busy; try again".to_owned() };
                Arc::new(Understood::of(Arc::new(classify_unparsed(&busy, &statement.raw))))
            }
        })
    }

    /// What the facts amount to. Texts that differ in their values alone amount to the same, and what is known to be the
    /// same is judged by what was judged before.
    fn named(&mut self, facts: Arc<Facts>) -> Arc<Understood> {
        let same = |one: &Arc<Understood>| Arc::ptr_eq(&one.facts, &facts);
        let equal = |one: &Arc<Understood>| one.facts == facts;
        let known = self.latest.iter().position(same).or_else(|| self.latest.iter().position(equal));
        if let Some(known) = known.and_then(|known| self.latest.get(known)) {
            return Arc::clone(known);
        }
        let understood = Arc::new(Understood::of(facts));
        self.latest.truncate(LATEST_MAX - 1);
        self.latest.push_front(Arc::clone(&understood));
        understood
    }

    /// Asks for an action; refuses it in the client's own protocol where the answer is no.
    pub(super) async fn permit(&mut self, mut action: Action, simple: bool) -> Result<Option<Granted>, End> {
        if self.cancelling.take() {
            self.refuse(cancelled(), simple).await?;
            return Ok(None);
        }
        match self.weigh(&action.understood)? {
            Ok(Some(hidden)) if hidden.guesses => {
                action.understood = Arc::new(action.understood.with_verb(mask::GUESS));
            }
            Ok(_) => {}
            Err(masked) => return self.refuse_masked(action, &masked, simple).await.map(|()| None),
        }
        let (engine, me) = (Arc::clone(&self.engine), self.me.clone());
        let mut asking = Asking { session: self, action };
        let answer = flow::decide(&engine, &me, &mut asking, Asking::attempt).await?;
        let action = asking.action;
        match answer {
            Ok(Leave::Recorded(bytes, ran)) => self.granted((bytes, Order::First(ran)), action, simple).await,
            Ok(Leave::Read(bytes, pending)) => {
                self.granted((bytes, Order::BeforeRelease(pending)), action, simple).await
            }
            Err(no) => {
                let report = refusal(&no, &action.understood);
                self.refuse(report, simple).await?;
                Ok(None)
            }
        }
    }

    /// What may be forwarded, with what covers its answer: while it was asked for, what may be seen may have changed.
    async fn granted(
        &mut self,
        (bytes, order): (Bytes, Order),
        action: Action,
        simple: bool,
    ) -> Result<Option<Granted>, End> {
        if self.cancelling.take() {
            let act = self.begin(Granted { bytes, order, action, cover: None });
            let (code, now) = (wording::CANCELED.to_owned(), self.now());
            self.acts.end(act, countersign_engine::CompletionResult::Failed { code }, now);
            return self.refuse(cancelled(), simple).await.map(|()| None);
        }
        match self.weigh(&action.understood)? {
            Ok(hidden) => {
                let cover = hidden.map(|hidden| self.cover(hidden, &action));
                Ok(Some(Granted { bytes, order, action, cover }))
            }
            Err(masked) => {
                let report = wording::error(wording::NOT_PERMITTED, masked.to_string());
                let act = self.begin(Granted { bytes, order, action, cover: None });
                self.abandon(Some(act));
                self.refuse(report, simple).await.map(|()| None)
            }
        }
    }

    /// Records that an action may not run for what is masked, and says so.
    async fn refuse_masked(&mut self, action: Action, masked: &Masked, simple: bool) -> Result<(), End> {
        let (engine, me) = (Arc::clone(&self.engine), self.me.clone());
        let understood = Arc::clone(&action.understood);
        let attempt = Asking { session: self, action }.attempt();
        let denied = engine.deny_masked(&me, attempt, masked.to_string());
        let no = match self.drive(engine.denied(denied)).await? {
            Ok(refused) => No::Refused(refused),
            Err(error) => No::Refused(no_wait(&error.to_string(), "try again in a moment")),
        };
        let report = refusal(&no, &understood);
        self.refuse(report, simple).await
    }

    /// Whether policy denies it as things are: then the server is not even handed its text.
    pub(super) fn is_denied(
        &mut self,
        statement: &Arc<Statement>,
        understood: &Arc<Understood>,
        raw: &Bytes,
    ) -> bool {
        let action = Action::new(statement, Arc::clone(understood), raw.clone());
        let attempt = Asking { session: self, action }.attempt();
        matches!(self.shared.engine.judge(&self.me, attempt), Judgement::Deny(_))
    }

    /// The oldest read was judged under what is no longer so when its record came: it is judged again, and recorded as
    /// what it is now, or its answer is not released.
    pub(super) async fn judge_again(&mut self) -> Result<(), End> {
        let Some(action) = self.acts.overtaken() else { return Err(End::Unrecorded) };
        let asking = Asking { session: self, action };
        let (attempt, action) = (asking.attempt(), asking.action);
        let Judgement::Allow(judged) = self.shared.engine.judge(&self.me, attempt) else {
            return Err(End::Unrecorded);
        };
        // It has been forwarded already: of what is handed out, only the record counts.
        match self.shared.engine.record_read(judged).await {
            Ok((_forward, pending)) => self.acts.read_again(pending, action),
            Err(_) => return Err(End::Unrecorded),
        }
        Ok(())
    }

    /// An action is about to be forwarded: what it may change is in doubt from here on.
    pub(super) fn begin(&mut self, mut granted: Granted) -> ActId {
        let cover = granted.cover.take();
        let understood = granted.understood();
        let facts = &*understood.facts;
        let changing = state::may_change(facts);
        let now = self.now();
        let fetched = || facts.fetched_cursor().map(|name| Bytes::copy_from_slice(name.as_bytes()));
        let running = granted.action.running.clone().or_else(fetched);
        let act = match granted.order {
            Order::First(ran) => self.acts.recorded(ran, now, changing),
            Order::BeforeRelease(pending) => self.acts.reading(pending, granted.action, now, changing),
        };
        self.acts.follow(act, facts);
        if let Some(cover) = cover {
            self.acts.covered(act, cover);
        }
        if mask::runs_foreign_code(facts) {
            self.acts.runs_foreign_code(act);
        }
        // At the end of a transaction deferred triggers run, which are anybody's code.
        let loses = self.known.loses(facts);
        self.known.sends(facts);
        let names = !facts.cursors.is_empty() && facts.fetched_cursor().is_none();
        if facts.taints_session || loses || !facts.prepared.is_empty() || names {
            match &running {
                Some(portal) => self.tracker.doubt_names_but(portal),
                None => self.tracker.doubt_names(),
            }
        }
        if facts.taints_session {
            self.prepared.clear();
            self.cursors.forget_but(running.as_deref());
        }
        act
    }

    /// What was recorded went nowhere, because the server would have ignored it.
    pub(super) fn abandon(&mut self, act: Option<ActId>) {
        let now = self.now();
        if let Some(act) = act {
            self.acts.end(act, countersign_engine::CompletionResult::Failed { code: "skipped".into() }, now);
        }
    }
}

/// A session that asks for an action.
struct Asking<'a> {
    session: &'a mut Session,
    action: Action,
}

impl Asking<'_> {
    fn attempt(&self) -> Attempt {
        let Action { statement, understood, parameters, types, bytes, seen, .. } = &self.action;
        Attempt {
            kind: understood.kind.clone(),
            actions: Arc::clone(&understood.actions),
            verbs: Arc::clone(&understood.verbs),
            provable_read: understood.facts.provable_read,
            context: self.context(),
            text: Arc::clone(&statement.text),
            parameter_types: Arc::clone(types),
            parameters: Arc::clone(parameters),
            relations: seen.versions.clone(),
            settings: Arc::clone(self.session.known.settings()),
            bytes: bytes.clone(),
        }
    }

    fn context(&self) -> Arc<Context> {
        let in_transaction = self.session.tracker.status() != TransactionStatus::Idle;
        self.action.understood.context(in_transaction)
    }

    /// An approver reads values by their types, so those that the client has left open are asked for.
    async fn resolve_types(&mut self) -> Result<(), End> {
        if let Some(name) = self.action.prepared.clone().filter(|_| self.action.has_open_types())
            && let Some(types) = self.session.ask_types(&name, &self.action.statement).await?
        {
            self.action.resolve(&types);
        }
        Ok(())
    }

    /// Why the server may read a parameter otherwise than an approver would be shown it, if so.
    fn unreadable_value(&self) -> Option<String> {
        let session = self.session.known.shared_session();
        let values = self.action.parameters.iter().flatten();
        values.filter(|value| !value.bytes.is_ascii()).find_map(|value| session.unreadable(&value.bytes))
    }

    /// Why this action cannot wait for a person, if it cannot.
    fn impatient(&self) -> Option<Refused> {
        let understood = &self.action.understood;
        let session = &self.session;
        if session.tracker.is_skipping() {
            // The client has the server's own error, and this one goes nowhere.
            return Some(no_wait("an earlier message of its batch has failed", "correct that and try again"));
        }
        if let Some(why) = understood.unparsed() {
            return Some(no_wait(why, "nobody is asked about a text that can't be read; correct it"));
        }
        if let Some(why) = self.action.statement.unreadable().or_else(|| self.unreadable_value()) {
            return Some(no_wait(&why, "nobody is asked about a text that the server may read otherwise"));
        }
        if self.action.alone {
            return Some(no_wait(
                "what waits for an approval is bound and executed in one go",
                "send Execute behind Bind, with nothing but a Describe of the portal in between",
            ));
        }
        if understood.rows_come_later() && !understood.can_bound_rows() {
            return Some(no_wait(
                "COPY from the client waits for an approval only by itself, because its data comes after the yes",
                "send it as a statement of its own",
            ));
        }
        if session.tracker.pending() == 0 && session.tracker.status() == TransactionStatus::Failed {
            return Some(no_wait(ABORTED, "end the transaction with ROLLBACK"));
        }
        None
    }
}

impl Tongue for Asking<'_> {
    type Lost = End;

    async fn during<W>(&mut self, work: W) -> Result<W::Output, End>
    where
        W: Future + Send,
        W::Output: Send,
    {
        self.session.drive(work).await
    }

    async fn attend<W>(&mut self, work: W) -> Result<Attended<W::Output>, End>
    where
        W: Future + Send,
        W::Output: Send,
    {
        let done = self.session.attend(work).await?;
        Ok(done.map_or(Attended::Cancelled, Attended::Done))
    }

    async fn look(&mut self) -> Result<Result<Look, Refused>, End> {
        self.session.settle().await?;
        // A receipt whose last use has ended may be used again.
        self.session.report_outcomes().await;
        if let Some(refused) = self.impatient() {
            return Ok(Err(refused));
        }
        self.resolve_types().await?;
        if let Some(refused) = self.impatient() {
            return Ok(Err(refused));
        }
        let (target, shared) = (Arc::clone(&self.session.target), Arc::clone(&self.session.shared));
        let facts = Arc::clone(&self.action.understood.facts);
        self.action.seen = self.session.drive(look::relations(&target, &shared, &facts)).await?;
        if facts.relations.len() > look::RELATIONS_MAX {
            return Ok(Err(no_wait(
                "it names more relations than can be looked at, so it can't wait for an approval",
                "split it into several statements",
            )));
        }
        let session = Arc::clone(self.session.known.shared_session());
        let settings = Arc::clone(self.session.known.settings());
        let loaded = match target.knowledge(&shared) {
            Knowledge::Fresh(loaded) | Knowledge::Ageing(loaded) => Some(loaded),
            Knowledge::Old | Knowledge::Unavailable => None,
        };
        let counted = Counted {
            understood: &self.action.understood,
            session: &session,
            text: &self.action.statement.text,
            types: &self.action.types,
            parameters: &self.action.parameters,
            settings: &settings,
            loaded,
        };
        let looked = look::look(&target, &shared, &counted, &self.action.seen);
        let mut look = match self.session.drive(looked).await? {
            Ok(look) => look,
            Err(refused) => return Ok(Err(refused)),
        };
        look.touches = touches(&self.action.understood, &self.action.seen);
        let held_up = self.session.held_up().await?;
        look.holds_up = held_up.what;
        look.notes.extend(held_up.note);
        Ok(Ok(look))
    }

    fn is(&self, text: &str) -> bool {
        let Action { statement, parameters, alone, running, settled, .. } = &self.action;
        let whole = !alone && running.is_none() && !settled && parameters.is_empty();
        whole && statement.unreadable().is_none() && is_same_statement(&statement.text, text)
    }

    fn no_beginning(&self) -> Option<&'static str> {
        let hidden = self.session.known.may_have_temporary_objects();
        // What the script makes could be hidden by what is there already.
        hidden.then_some(
            "this session may have temporary tables, which names could stand for; begin it in a new one",
        )
    }

    async fn settle(&mut self) -> Result<(), End> {
        self.session.settle().await?;
        self.session.report_outcomes().await;
        Ok(())
    }

    async fn ground(&mut self) -> Result<Ground, End> {
        // While it waited, its names may have come to stand for something else, and the server's own configuration may
        // have changed settings that nobody has set here.
        self.session.known.doubt();
        let statement = Arc::clone(&self.action.statement);
        self.session.asked_catalogue().await?;
        let understood = if self.action.settled {
            Arc::clone(&self.action.understood)
        } else {
            self.session.understand(&statement).await?
        };
        let before = std::mem::replace(&mut self.action.understood, understood);
        let (target, shared) = (Arc::clone(&self.session.target), Arc::clone(&self.session.shared));
        let facts = Arc::clone(&self.action.understood.facts);
        self.action.seen = self.session.drive(look::relations(&target, &shared, &facts)).await?;
        let mut relations = self.action.seen.versions.clone();
        let actions = &self.action.understood.actions;
        if *actions != before.actions {
            // The same relations, and yet it does something else: a ground that nobody approved.
            let names: Vec<&str> = actions.iter().map(ActionName::as_str).collect();
            relations.push(RelationVersion { name: names.join(", "), oid: 0, version: String::new() });
        }
        let touches = touches(&self.action.understood, &self.action.seen);
        Ok(Ground { relations, settings: self.session.known.settings().as_ref().clone(), touches })
    }

    fn tell(&mut self, news: News<'_>) {
        let report = match news {
            News::Waits(waiting) => wording::waits(waiting, self.session.now()),
            News::StillWaits(waiting) => wording::still_waits(waiting, self.session.now()),
            News::Covered(covered) => wording::covered(covered),
            News::Begins(request, of) => wording::begins(request, of),
            News::Ends(request) => wording::ends(request),
            News::Apart(apart) => wording::apart(apart),
            News::AskedAnew(why) => wording::notice(format!("{}; it is asked for again", void(why))),
        };
        self.session.say(&report);
    }

    fn withdrawal(lost: &End) -> Withdrawal {
        match lost {
            End::Client => Withdrawal::Disconnected,
            End::Cut(_) | End::Server | End::Broken(_) | End::Unrecorded => Withdrawal::SessionEnded,
        }
    }
}
