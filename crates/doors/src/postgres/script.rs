//! Reading a script: what its statements are, and what each would do when its turn comes.
//!
//! Nothing of it is sent to the server. The settings that a session in the role begins with are asked for on a connection
//! of our own under its account, which runs nothing else; from there each statement is classified under what is known to
//! hold behind the ones before it. What an earlier statement changes is not guessed at: settings that it leaves behind,
//! relations that it makes, rows that it touches are named as such, and the approver sees that they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use countersign_core::action::RelationVersion;
use countersign_core::script::STEPS_MAX;
use countersign_engine::scripts::{
    DEFINED_BY, LEFT_BY, MADE_BY, Reading, ScriptReader, ScriptStep, ScriptText,
};
use countersign_engine::{Attempt, Look, Refused, RefusedCode};
use countersign_wire::sql::{Access, CopyTarget, Facts, SettingScope, TransactionStep, split};

use super::Shared;
use super::catalogue::Loaded;
use super::classify::{Classification, Statement, Understood, classification, qualified};
use super::look::{self, Counted};
use super::query::simple;
use super::state::{self, FOLLOWED, Known};
use super::target::{LOOKING, Target, cause};
use super::upstream::{self, ConnectError, Credentials, Login};

/// Settings that clients begin their sessions with of their own accord, and that change what a statement means.
const MAY_BE_SAID: [&str; 8] = [
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "search_path",
    "xmloption",
];
/// More than any value of these.
const VALUE_BYTES_MAX: usize = 1_024;

/// Reads scripts for as long as its door is there.
pub(super) struct Reader(pub(super) Weak<Shared>);

/// Where the script has come to.
pub(super) struct Place {
    known: Known,
    in_transaction: bool,
    /// The first statement that leaves other settings behind.
    left_by: Option<usize>,
    /// The last statement that may have changed definitions.
    defined_by: Option<usize>,
    /// What was made or changed, and by which statement.
    made: Vec<(String, usize)>,
    /// Relations whose rows are others than now. All of them, if nothing can be said.
    touched: BTreeSet<String>,
    all_touched: bool,
}

impl ScriptReader for Reader {
    fn read(&self, script: ScriptText) -> Reading {
        let shared = self.0.upgrade();
        Box::pin(async move {
            match shared {
                Some(shared) => read(&shared, &script).await,
                None => Err(invalid("the door for databases is closed", "try again in a moment")),
            }
        })
    }
}

async fn read(shared: &Arc<Shared>, script: &ScriptText) -> Result<Vec<ScriptStep>, Refused> {
    let texts = taken_apart(&script.text)?;
    let described = shared.engine.snapshot().book.catalogue.resources.get(&script.resource).cloned();
    let described =
        described.ok_or_else(|| invalid("there is no such resource", "see `countersign roles`"))?;
    let target = shared.target(&script.resource, &described).map_err(|error| unreachable(script, &error))?;
    let known = begun(shared, &target, script).await?;
    let mut place = Place::new(known, false);
    let loaded = target.loaded(shared).await;
    let mut steps = Vec::with_capacity(texts.len());
    for (number, text) in (1..).zip(texts) {
        steps.push(step(shared, &target, (number, text), &mut place, loaded.as_ref()).await?);
    }
    Ok(steps)
}

/// The statements of a text.
fn taken_apart(text: &str) -> Result<Vec<&str>, Refused> {
    let Some(parts) = split(text) else {
        return Err(invalid(
            "the text can't be taken apart into statements for certain",
            "it has an open quote or bracket, or a function body in SQL (BEGIN ATOMIC); put that forward by itself",
        ));
    };
    match parts.len() {
        0 => Err(invalid("there is no statement in the script", "is it the right file?")),
        count if count > STEPS_MAX => {
            let message = format!("the script has {count} statements; {STEPS_MAX} can be approved as one");
            Err(invalid(&message, "put it forward in parts"))
        }
        _ => Ok(parts),
    }
}

/// What a session in the role begins with.
async fn begun(shared: &Shared, target: &Target, script: &ScriptText) -> Result<Known, Refused> {
    let said = said(&script.settings)?;
    let credentials = Credentials::of(shared, &target.resource, &script.account)
        .map_err(|error| unreachable(script, &error))?;
    let login = Login {
        account: &script.account,
        credentials: &credentials,
        application: LOOKING,
        settings: &said,
        read_bytes_max: usize::MAX,
    };
    let connected = upstream::connect(&target.address, &login, &|| shared.nonce()).await;
    let mut connected = connected.map_err(|error| match error {
        ConnectError::Server(error) if error.code.starts_with("22") && !said.is_empty() => {
            let message = format!("no session begins so: {}", super::wording::clean(&error.message));
            invalid(&message, "check the settings that were said")
        }
        error => unreachable(script, &error),
    })?;
    let mut known = Known::new(&script.account, &connected.parameters);
    let names = ["search_path", "role", "session_authorization"];
    let shows: Vec<String> = names.iter().chain(FOLLOWED).map(|name| format!("SHOW {name}")).collect();
    let rows = simple(&mut connected.link, &shows.join("; ")).await;
    let rows = rows.map_err(|error| unreachable(script, &error))?;
    let values: Vec<String> = rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    let Some(([path, role, authorization], followed)) = values.split_first_chunk() else {
        return Err(invalid("the server does not say what a session begins with", "try again in a moment"));
    };
    known.shown(path, role, authorization);
    for (name, value) in FOLLOWED.iter().zip(followed) {
        known.report(name.as_bytes(), value.as_bytes());
    }
    countersign_wire::postgres::encode::client::terminate(&mut connected.link.output);
    connected.link.close().await;
    Ok(known)
}

/// The settings that a client begins with, as it is said of it. The server says how each is spelt.
fn said(settings: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, Refused> {
    let mut said: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in settings {
        let known = MAY_BE_SAID.iter().find(|one| one.eq_ignore_ascii_case(name));
        let Some(known) = known else {
            let name: String = name.chars().take(64).collect();
            let hint = format!("what can be said is: {}", MAY_BE_SAID.join(", "));
            return Err(invalid(&format!("a script can't be bound to the setting `{name}`"), &hint));
        };
        if value.len() > VALUE_BYTES_MAX || value.contains('\0') {
            let message = format!("the value of `{known}` is none that a client could begin with");
            return Err(invalid(&message, "say it as the client does"));
        }
        if said.insert(known, value).is_some() {
            return Err(invalid(&format!("`{known}` is said twice"), "leave out one of them"));
        }
    }
    Ok(said.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

async fn step(
    shared: &Arc<Shared>,
    target: &Target,
    (number, text): (usize, &str),
    place: &mut Place,
    loaded: Option<&Arc<Loaded>>,
) -> Result<ScriptStep, Refused> {
    let raw = Bytes::copy_from_slice(text.as_bytes());
    let statement = Statement::new(raw, Vec::new(), place.known.shared_session());
    let understood = understand(shared, target, &statement, &place.known, loaded).await;
    check(number, &statement, &understood)?;
    let facts = Arc::clone(&understood.facts);
    let seen = look::relations(target, shared, &facts).await;
    let (relations, settings) = (place.named(&seen.versions), place.settings());
    let counted = Counted {
        understood: &understood,
        session: &Arc::clone(place.known.shared_session()),
        text: &statement.text,
        types: &[],
        parameters: &[],
        settings: place.known.settings(),
        loaded: loaded.map(Arc::clone),
        gives: false,
    };
    let mut look = look::look(target, shared, &counted, &seen).await.map_err(|no| of_step(number, no))?;
    if place.is_open(&facts) {
        as_open(&mut look);
    }
    let attempt = Attempt {
        kind: understood.kind.clone(),
        actions: Arc::clone(&understood.actions),
        verbs: Arc::clone(&understood.verbs),
        provable_read: facts.provable_read,
        context: understood.context(place.in_transaction),
        text: Arc::clone(&statement.text),
        parameter_types: [].into(),
        parameters: [].into(),
        relations,
        settings: Arc::new(settings),
        bytes: Bytes::new(),
    };
    place.pass(number, &facts);
    Ok(ScriptStep { attempt, look })
}

async fn understand(
    shared: &Shared,
    target: &Target,
    statement: &Statement,
    known: &Known,
    loaded: Option<&Arc<Loaded>>,
) -> Understood {
    let parser = shared.parser_for(statement.raw.len());
    let facts = match classification(&parser, &target.classes, statement, known, loaded) {
        Classification::Kept(facts) => Some(facts),
        Classification::Coming(receiver) => receiver.await.ok(),
        Classification::Busy => None,
    };
    let busy = || {
        let message = "the parser is busy; try again".to_owned();
        let busy = countersign_wire::sql::Unparsed::Shape { message };
        Arc::new(countersign_wire::sql::classify_unparsed(&busy, &statement.raw))
    };
    Understood::of(facts.unwrap_or_else(busy))
}

/// Whether a statement can be a step of a script at all.
fn check(number: usize, statement: &Statement, understood: &Understood) -> Result<(), Refused> {
    let of_this = |message: &str, hint| Err(of_step(number, invalid(message, hint)));
    if let Some(why) = understood.unparsed() {
        let hint =
            "psql's own commands (\\set, \\connect) and its variables can't be part of it; write plain SQL";
        return of_this(why, hint);
    }
    if let Some(why) = statement.unreadable() {
        return of_this(&why, "nobody is asked about a text that the server may read otherwise");
    }
    if understood.facts.statements != 1 {
        return of_this("it is not one statement", "end each statement with a semicolon");
    }
    if understood.facts.copies.contains(&CopyTarget::FromClient) {
        let hint = "write the rows as INSERT, whose text can be approved";
        return of_this("COPY from the client brings data that is no part of the script", hint);
    }
    if understood.facts.relations.len() > look::RELATIONS_MAX {
        return of_this("it names more relations than can be looked at", "split it into several statements");
    }
    Ok(())
}

/// A statement of a script, read again as it is about to run behind others that were sent with it.
#[derive(Debug)]
pub(super) struct Read {
    /// What it does, as that is known before any of them has run.
    pub(super) understood: Arc<Understood>,
    /// What it is bound to. What the others make of it, it names as that.
    pub(super) relations: Vec<RelationVersion>,
    /// It runs in a transaction that was opened by name.
    pub(super) in_transaction: bool,
}

/// Reads a statement again, in its place, as it was read when it was put forward.
pub(super) async fn again(shared: &Arc<Shared>, target: &Arc<Target>, text: &Bytes, place: &Place) -> Read {
    let statement = Statement::new(text.clone(), Vec::new(), place.known.shared_session());
    let loaded = target.loaded(shared).await;
    let understood = understand(shared, target, &statement, &place.known, loaded.as_ref()).await;
    let seen = look::relations(target, shared, &understood.facts).await;
    let relations = place.named(&seen.versions);
    Read { understood: Arc::new(understood), relations, in_transaction: place.in_transaction }
}

impl Place {
    /// In front of the first statement, in a session of which this is known.
    pub(super) fn new(known: Known, in_transaction: bool) -> Self {
        Self {
            known,
            in_transaction,
            left_by: None,
            defined_by: None,
            made: Vec::new(),
            touched: BTreeSet::new(),
            all_touched: false,
        }
    }

    /// The settings that a statement is bound to.
    fn settings(&self) -> std::collections::BTreeMap<String, String> {
        let mark = |number: usize| format!("statement {number}");
        let mut settings = match self.left_by {
            Some(number) => [(LEFT_BY.to_owned(), mark(number))].into(),
            None => self.known.settings().as_ref().clone(),
        };
        if let Some(number) = self.defined_by {
            settings.insert(DEFINED_BY.to_owned(), mark(number));
        }
        settings
    }

    /// The relations that a statement is bound to: of what an earlier one makes, the name alone.
    fn named(&self, seen: &[RelationVersion]) -> Vec<RelationVersion> {
        let mut named: Vec<RelationVersion> = Vec::with_capacity(seen.len());
        for one in seen {
            let bound = match self.made.iter().rev().find(|(name, _)| may_be(name, &one.name)) {
                Some((_, number)) => {
                    RelationVersion { name: one.name.clone(), oid: 0, version: format!("{MADE_BY}{number}") }
                }
                None => one.clone(),
            };
            named.push(bound);
        }
        named
    }

    /// Whether what a statement works on is changed before its turn comes.
    fn is_open(&self, facts: &Facts) -> bool {
        let touched = |name: String| self.touched.iter().any(|one| may_be(one, &name));
        let mut named = facts.relations.iter().map(|one| qualified(one.schema.as_deref(), &one.name));
        self.all_touched || named.any(touched)
    }

    /// Behind a statement.
    pub(super) fn pass(&mut self, number: usize, facts: &Facts) {
        let defines = facts.may_define() || !facts.prepared.is_empty() || !facts.cursors.is_empty();
        let relations = facts.relations.iter();
        if defines {
            self.defined_by = Some(number);
            let names = relations.clone().map(|one| qualified(one.schema.as_deref(), &one.name));
            self.made.extend(names.map(|name| (name, number)));
        }
        let written = relations.filter(|one| one.access != Access::Read);
        self.touched.extend(written.map(|one| qualified(one.schema.as_deref(), &one.name)));
        let reads = facts.provable_read || facts.kinds.iter().all(|kind| kind.action() == "sql.session");
        let only_writes = facts.kinds.iter().all(|kind| kind.action() == "sql.write");
        self.all_touched |= !reads && !only_writes;
        if facts.taints_session
            || facts.role_change
            || facts.settings.iter().any(|one| state::is_followed(&one.name))
        {
            self.left_by.get_or_insert(number);
        }
        self.steps(facts);
        let role = self.known.shared_session().role.clone();
        let path = path_set_by(facts);
        self.known.sends(facts);
        if let (Some(path), Some(role)) = (path, role) {
            self.known.shown(&path, "none", &role);
        }
        if !self.in_transaction && self.known.has_definitions() {
            self.known.definitions_are_known();
        }
    }

    fn steps(&mut self, facts: &Facts) {
        for step in &facts.transaction {
            match step {
                TransactionStep::Begin => self.in_transaction = true,
                TransactionStep::Commit | TransactionStep::Rollback => self.in_transaction = false,
                _ => {}
            }
        }
    }
}

/// The search path that a statement sets for certain, as the server would show it.
fn path_set_by(facts: &Facts) -> Option<String> {
    let mut changes = facts.settings.iter();
    let (Some(change), None) = (changes.next(), changes.next()) else { return None };
    let value = change.value.as_deref()?;
    let plain = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || "_$, ".contains(one);
    let certain = change.name == "search_path"
        && change.scope == SettingScope::Session
        && !facts.taints_session
        && !facts.role_change
        && value.chars().all(plain);
    certain.then(|| value.to_owned())
}

/// Whether two names may be those of one relation: one of them may be written without its schema.
fn may_be(one: &str, other: &str) -> bool {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    one == other || ((!one.contains('.') || !other.contains('.')) && last(one) == last(other))
}

/// What was counted is not what will be there.
fn as_open(look: &mut Look) {
    const WHY: &str = "earlier statements of the script change what it works on";
    (look.rows, look.estimate, look.can_bound_rows) = (None, None, false);
    look.foreseen.rows_least = None;
    look.foreseen.rows_unknown = Some(WHY.to_owned());
    look.foreseen.branches.clear();
    for cascade in &mut look.foreseen.cascades {
        (cascade.rows, cascade.unknown) = (None, Some(WHY.to_owned()));
    }
}

fn of_step(number: usize, refused: Refused) -> Refused {
    Refused { message: format!("statement {number} of the script: {}", refused.message), ..refused }
}

fn invalid(message: &str, hint: &str) -> Refused {
    Refused::new(RefusedCode::Invalid, message).hint(hint)
}

fn unreachable(script: &ScriptText, error: &(dyn std::error::Error + 'static)) -> Refused {
    let resource = &script.resource;
    tracing::error!(%resource, error = %error, cause = cause(error), "no connection to read a script with");
    Refused::new(RefusedCode::Unavailable, format!("the database behind `{resource}` can't be reached"))
        .hint("its operators find the reason in the gateway's log")
}
