//! Sessions: opened, looked after, closed.

mod choosing;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use countersign_core::book::Standing;
use countersign_core::budget::Whose;
use countersign_core::session::{Command as SessionCommand, Ending, Opening};
use countersign_core::{
    At, BundleHash, Command, GrantId, PersonId, PrincipalId, ResourceId, RoleId, SessionId,
};
use countersign_policy::context::Via;
use tokio::sync::watch;

use crate::action::again::Again;
use crate::action::{Client, SessionRefused};
use crate::engine::Engine;
use crate::line::{Account, Statement};
use crate::people::Proved;
use crate::seal::Field;
use crate::settings::{CLIENT_BYTES_MAX, TICKET_BYTES_MAX, WORDS_BYTES_MAX};
use crate::snapshot::Snapshot;
use crate::spending::{Spending, Tally};
use crate::warden::Upstream;
use crate::words::{Refused, cut};
use crate::writer::work::{Deed, Entrance, From};

/// An open session. A handle; clones are the same session.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    id: SessionId,
    principal: PrincipalId,
    person: PersonId,
    chain: Arc<[PrincipalId]>,
    resource: ResourceId,
    role: RoleId,
    key: Arc<str>,
    account: String,
    /// What it began with.
    begun: Words,
    /// What was said last.
    words: Mutex<Words>,
    from: Entrance,
    ending: watch::Receiver<Option<Ending>>,
    stand: Mutex<Option<Stand>>,
    again: Again,
    /// Not its owner: an engine that is gone leaves nothing open.
    spending: Weak<Spending>,
    spent: Arc<Tally>,
}

/// Why a session is, and for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Words {
    purpose: Arc<str>,
    ticket: Option<Arc<str>>,
}

/// One of a session's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Why.
    Purpose,
    /// The ticket it belongs to.
    Ticket,
}

/// One limit, and what was taken of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Whose limit it is.
    pub whose: Whose,
    /// Of what: `statements`, `rows`, `bytes`, `time` (in microseconds), `relations`.
    pub what: &'static str,
    /// How much may be taken.
    pub limit: u64,
    /// How much was; always nothing for the limits of one statement.
    pub spent: u64,
}

/// What a session was found to stand on, for as long as nothing is decided and no hour comes.
struct Stand {
    decided: u64,
    from: At,
    until: At,
    statement: Arc<Statement>,
    paused: bool,
}

/// What a session does not let an action begin by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rests {
    /// It stands on nothing any more.
    Over(Ending),
    /// Somebody has paused it.
    Paused,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.0.id)
    }
}

impl Session {
    /// Which.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.0.id
    }

    /// Who.
    #[must_use]
    pub fn principal(&self) -> &PrincipalId {
        &self.0.principal
    }

    /// Who answers for them.
    #[must_use]
    pub fn person(&self) -> &PersonId {
        &self.0.person
    }

    /// In which role.
    #[must_use]
    pub fn role(&self) -> &RoleId {
        &self.0.role
    }

    /// On what.
    #[must_use]
    pub fn resource(&self) -> &ResourceId {
        &self.0.resource
    }

    /// The upstream account it runs under.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.0.account
    }

    /// Why, in the requester's words as they said it last; empty if they said nothing.
    #[must_use]
    pub fn purpose(&self) -> Arc<str> {
        self.words().purpose
    }

    /// The ticket it belongs to, as that was said last.
    #[must_use]
    pub fn ticket(&self) -> Option<Arc<str>> {
        self.words().ticket
    }

    fn words(&self) -> Words {
        self.0.words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One of its words; empty if it has none.
    #[must_use]
    pub fn word(&self, word: Word) -> String {
        let words = self.words();
        match word {
            Word::Purpose => words.purpose.to_string(),
            Word::Ticket => words.ticket.map(|ticket| ticket.to_string()).unwrap_or_default(),
        }
    }

    /// Whether something can be said.
    ///
    /// # Errors
    /// It is too long.
    pub fn check_word(&self, word: Word, value: Option<&str>) -> Result<(), Refused> {
        let (what, most) = match word {
            Word::Purpose => ("reason", WORDS_BYTES_MAX),
            Word::Ticket => ("ticket", TICKET_BYTES_MAX),
        };
        crate::api::check_length(what, value.unwrap_or_default(), most)
    }

    /// Says why it is from now on, or for which ticket; nothing said is what it began with. What was allowed before is judged
    /// again: policy looks at both. That it was said is to be recorded first.
    pub fn say(&self, word: Word, value: Option<&str>) {
        let mut words = self.0.words.lock().unwrap_or_else(PoisonError::into_inner);
        match word {
            Word::Purpose => {
                words.purpose = value.map_or_else(|| Arc::clone(&self.0.begun.purpose), Into::into);
            }
            Word::Ticket => {
                words.ticket = value.map_or_else(|| self.0.begun.ticket.clone(), |said| Some(said.into()))
            }
        }
        drop(words);
        self.0.again.forget();
    }

    /// What was allowed in it before.
    pub(crate) fn again(&self) -> &Again {
        &self.0.again
    }

    /// As what is done in it at an instant is said.
    pub(crate) fn from(&self, now: At) -> From {
        self.0.from.at(now)
    }

    /// Resolves when it must be cut, with the reason. Can be asked again.
    pub async fn ended(&self) -> Ending {
        let mut ending = self.0.ending.clone();
        match ending.wait_for(Option::is_some).await {
            Ok(found) => found.unwrap_or(Ending::Gateway),
            // The bell is gone: the session was closed, or the engine is.
            Err(_) => self.ending().unwrap_or(Ending::Gateway),
        }
    }

    /// Why it must be cut, if it must.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        *self.0.ending.borrow()
    }

    /// What it stands on at `now`, or why on nothing.
    pub(crate) fn stand(&self, snapshot: &Snapshot, now: At) -> Result<Arc<Statement>, Ending> {
        self.stand_or_rest(snapshot, now).map(|(statement, _)| statement)
    }

    /// What something that begins at `now` stands on, or why nothing may begin.
    pub(crate) fn begin(&self, snapshot: &Snapshot, now: At) -> Result<Arc<Statement>, Rests> {
        match self.stand_or_rest(snapshot, now) {
            Ok((statement, false)) => Ok(statement),
            Ok((_, true)) => Err(Rests::Paused),
            Err(ending) => Err(Rests::Over(ending)),
        }
    }

    /// What it stands on at `now`, and whether it is paused.
    fn stand_or_rest(&self, snapshot: &Snapshot, now: At) -> Result<(Arc<Statement>, bool), Ending> {
        let mut cached = self.0.stand.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stand) = cached.as_ref()
            && stand.decided == snapshot.decided
            && (stand.from..stand.until).contains(&now)
        {
            return Ok((Arc::clone(&stand.statement), stand.paused));
        }
        *cached = None;
        // A session that the book does not know any more was closed, by a stop or a restart.
        let found = snapshot.book.session(self.0.id).ok_or(Ending::Gateway)?;
        let grant = match snapshot.book.standing(found, now) {
            Standing::On(grant) => grant,
            Standing::Over(ending) => return Err(ending),
        };
        let in_force = snapshot.book.in_force.as_ref().map(|found| found.bundle);
        let role = snapshot.book.catalogue.roles.get(&self.0.role);
        let tools = role.map(|role| role.tools.clone()).unwrap_or_default();
        let account = Account {
            grant: Spending::of(&self.0.spending, grant.id),
            session: Arc::clone(&self.0.spent),
            budget: role.and_then(|role| role.budget),
            tools: Arc::new(tools),
        };
        let statement = Statement { account: Some(account), ..self.statement(Some(grant.id), in_force) };
        let (statement, paused) = (Arc::new(statement), found.paused.is_some());
        *cached = Some(Stand {
            decided: snapshot.decided,
            from: grant.not_before,
            until: grant.not_after,
            statement: Arc::clone(&statement),
            paused,
        });
        Ok((statement, paused))
    }

    /// What was taken of what may be taken, limit by limit: under its grant, in it, and what one statement may. Nothing where
    /// nothing is limited, or it stands on nothing.
    #[must_use]
    pub fn allowance(&self, engine: &Engine) -> Vec<Allowance> {
        let snapshot = engine.snapshot();
        let shares =
            self.stand(&snapshot, engine.now().max(snapshot.at)).ok().and_then(|stand| stand.shares());
        let each =
            shares.into_iter().flatten().flat_map(|(whose, limits, spent)| {
                let relations = ("relations", limits.relations, spent.relations);
                limits.beside(&spent).into_iter().chain([relations]).filter_map(
                    move |(what, limit, spent)| Some(Allowance { whose, what, limit: limit?, spent }),
                )
            });
        each.collect()
    }

    /// For lines about a session that stands on nothing.
    pub(crate) fn bare(&self) -> Arc<Statement> {
        Arc::new(self.statement(None, None))
    }

    fn statement(&self, grant: Option<GrantId>, bundle: Option<BundleHash>) -> Statement {
        let inner = &self.0;
        Statement {
            session: inner.id,
            principal: inner.principal.clone(),
            person: inner.person.clone(),
            chain: Arc::clone(&inner.chain),
            resource: inner.resource.clone(),
            role: inner.role.clone(),
            grant,
            bundle,
            key: Arc::clone(&inner.key),
            account: None,
            standing: OnceLock::new(),
        }
    }
}

/// What a door wants to open.
struct Wish {
    principal: PrincipalId,
    resource: ResourceId,
    role: RoleId,
    grant: GrantId,
    door: &'static str,
    client: Client,
    purpose: Option<String>,
    ticket: Option<String>,
}

impl Engine {
    /// Opens a session for a principal who proved who they are. Without a role: of the live grants that reach the
    /// resource, the newest. The opening is in the ledger when this returns.
    ///
    /// # Errors
    /// There is no grant, or policy does not let it be; recorded, with words for the client.
    #[expect(clippy::too_many_arguments, reason = "the particulars of a connection, each of another type")]
    pub async fn open_session(
        &self,
        principal: PrincipalId,
        resource: ResourceId,
        role: Option<RoleId>,
        door: &'static str,
        client: Client,
        purpose: Option<String>,
        ticket: Option<String>,
    ) -> Result<Session, Refused> {
        let snapshot = self.snapshot();
        let opened = match self.choose(&snapshot, &principal, &resource, role) {
            Ok((role, grant)) => {
                let (client, resource) = (client.clone(), resource.clone());
                let principal = principal.clone();
                let wish = Wish { principal, resource, role, grant, door, client, purpose, ticket };
                self.open(&snapshot, wish).await
            }
            Err(refused) => Err(refused),
        };
        if let Err(refused) = &opened {
            let user = principal.to_string();
            let why = refused.message.clone();
            self.refused(SessionRefused { resource: Some(resource), user, client, why }).await;
        }
        opened
    }

    async fn open(&self, snapshot: &Snapshot, wish: Wish) -> Result<Session, Refused> {
        let ports = &self.0.house.ports;
        let id = SessionId(ports.entropy.id());
        let (granted_purpose, granted_ticket) = self.words_of(snapshot, wish.grant);
        let purpose = wish.purpose.filter(|words| !words.is_empty()).unwrap_or(granted_purpose);
        let ticket = wish.ticket.filter(|words| !words.is_empty()).or(granted_ticket);
        let purpose = cut(&purpose, WORDS_BYTES_MAX).to_owned();
        let ticket = ticket.map(|ticket| cut(&ticket, TICKET_BYTES_MAX).to_owned());
        let mut content = serde_json::json!({
            "address": wish.client.address.to_string(),
            "application": cut(&wish.client.application, CLIENT_BYTES_MAX),
            "purpose": purpose,
            "ticket": ticket,
            "tls": wish.client.tls,
        });
        if let (Some(Proved { means, at }), Some(content)) = (wish.client.proved, content.as_object_mut()) {
            let proved = serde_json::json!({ "at": at.rfc3339(), "means": means });
            content.insert("proved".to_owned(), proved);
        }
        let field = Field::new(ports, "/data/content", "session.client", content.to_string().into_bytes());
        let opening = Opening {
            session: id,
            principal: wish.principal.clone(),
            resource: wish.resource.clone(),
            role: wish.role.clone(),
            door: wish.door.to_owned(),
            content: Some(field.commitment()),
        };
        let from = Entrance::at_door(wish.door, &wish.client);
        let key: Arc<str> = format!("session:{id}").into();
        let opening = Command::Session(SessionCommand::Open(opening));
        let mut deed = Deed::new(opening, from.at(self.now()));
        deed.key = Arc::clone(&key);
        deed.fields = vec![field];
        let catalogue = &snapshot.book.catalogue;
        let to = Upstream::of(catalogue, &wish.role, &wish.resource);
        let ending = self.0.hall.warden.watch(id, from, to);
        if let Err(refused) = self.deed(deed).await {
            self.0.hall.warden.forget(id);
            return Err(refused);
        }
        let words = Words { purpose: purpose.into(), ticket: ticket.map(Into::into) };
        let session = Session(Arc::new(Inner {
            id,
            person: snapshot.book.person(&wish.principal).cloned().unwrap_or_else(|| PersonId::new("")),
            chain: catalogue.chain(&wish.principal).into(),
            account: catalogue.roles.get(&wish.role).map(|role| role.account.clone()).unwrap_or_default(),
            principal: wish.principal,
            resource: wish.resource,
            role: wish.role,
            key,
            words: Mutex::new(words.clone()),
            begun: words,
            from,
            ending,
            stand: Mutex::new(None),
            again: Again::default(),
            spending: Arc::downgrade(&self.0.spending),
            spent: Arc::default(),
        }));
        // A grant that ended, or a bundle that changed, while this was being opened rang no bell.
        self.0.hall.look_in(id);
        Ok(session)
    }

    /// Says that a session is over. What waited in it is withdrawn; uses without an outcome are unknown.
    pub async fn close_session(&self, session: &Session, why: Ending) {
        self.0.hall.warden.forget(session.id());
        let close = Command::Session(SessionCommand::Close { session: session.id(), why });
        // A session that was ended with the gateway is closed already.
        let _closed = self.deed(Deed::new(close, session.from(self.now()))).await;
    }
}

pub(crate) fn via(door: &str) -> Via {
    match door {
        "postgres" => Via::Postgres,
        "mcp" => Via::Mcp,
        _ => Via::Api,
    }
}

impl SessionRefused {
    /// Who connected, without a port.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        self.client.address.ip()
    }
}
