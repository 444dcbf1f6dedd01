//! The workbench: a client of a door that lives inside the gateway, for whoever works in the browser.
//!
//! It is a session like every other: opened on a live grant, judged statement by statement, held, masked, bounded, recorded
//! and cut as any client's. What is special is only how it begins: who is signed in to the console needs no credential to
//! prove it again. Whether they may is asked as for a credential (`credential.mint`), because that is what it stands for.
//!
//! Databases as tools of an agent's are the same (the door of tools): there the credential that the agent's client shows is the
//! proof, and policy was asked when that was made.
//!
//! Doors and whoever wants a workbench meet here, by the kind of the resource. Nothing here speaks a protocol.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::book::Standing;
use countersign_core::question::{Context, Question, Target};
use countersign_core::ruling::Verdict;
use countersign_core::{ActionName, PrincipalId, Refusal, ResourceId, RoleId, SessionId};
use tokio::sync::{mpsc, oneshot, watch};

use crate::action::Client;
use crate::engine::Engine;
use crate::line::{Exported, Sealed, Topic};
use crate::people::Caller;
use crate::seal::Field;
use crate::session::Session;
use crate::snapshot::Snapshot;
use crate::words::{Refused, RefusedCode};

/// How many may wait for a door to take them in.
const WAITING_MAX: usize = 32;
/// How many orders a workbench may be behind.
const ORDERS_MAX: usize = 8;
/// How long a door may take to let somebody in, in seconds: a server that is far away has to be reached.
const OPENING_S_MAX: u64 = 20;
/// The longest text of one order, in bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// The most rows that one statement's result may be asked for.
pub const ROWS_MAX: u32 = 50_000;
/// How many columns an export may name.
const COLUMNS_MAX: usize = 2_000;
/// What a door knows the workbench as, and records as the client's program.
pub const APPLICATION: &str = "Countersign workbench";

/// Somebody who wants to work on a resource from inside.
#[derive(Debug)]
pub struct Wish {
    /// Who, and on what.
    pub entry: Entry,
    /// What is to be done, until the sender is gone: then the session ends.
    pub orders: mpsc::Receiver<Order>,
    /// To be left at once, whatever is going on.
    pub leave: watch::Receiver<bool>,
    answer: oneshot::Sender<Result<Begun, Refused>>,
}

/// A session has begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Which.
    pub session: Session,
    /// The server's version, as it says itself.
    pub server: String,
}

/// Something to do.
#[derive(Debug)]
pub enum Order {
    /// Runs the statements of a text, one after the other, up to the first that fails.
    Run {
        /// The text.
        text: Arc<str>,
        /// How many rows of each result are wanted, at most [`ROWS_MAX`].
        rows_max: u32,
        /// To whom it is told; when nobody listens any more, what runs is cancelled.
        told: mpsc::Sender<Told>,
    },
    /// Cancels what runs or waits, as a client's cancel request does.
    Cancel,
}

/// What is told of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A statement is sent.
    Statement {
        /// Its place in the text, from 0.
        number: usize,
        /// How many there are.
        of: usize,
        /// Where it begins in the text, in bytes.
        at: usize,
        /// Its text.
        text: String,
    },
    /// The columns of the rows that follow.
    Columns(Vec<Column>),
    /// Rows, in order.
    Rows(Rows),
    /// A message that changes nothing.
    Notice(Said),
    /// It waits for an approval.
    Held {
        /// The request, as the console finds it.
        request: String,
        /// The words.
        said: Said,
    },
    /// A statement is done.
    Done {
        /// What the server says of it: `DELETE 12`.
        tag: String,
        /// There are more rows than were asked for.
        more: bool,
    },
    /// A statement failed; what follows it was not sent.
    Failed(Said),
    /// The run is over, and this is the state of the transaction.
    Over(Transaction),
    /// The session is over, and why as far as that was said.
    Ended(Option<Said>),
}

/// One column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The OID of its type.
    pub type_oid: u32,
}

/// Some rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The values as the server writes them; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// Values that were cut because they are long: row among these, column, and their full length in bytes.
    pub cut: Vec<(usize, usize, usize)>,
}

/// A message of the gateway's or the server's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// `NOTICE`, `WARNING`, `ERROR`, `FATAL`.
    pub severity: String,
    /// The SQLSTATE.
    pub code: String,
    /// What.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub position: Option<u32>,
}

/// The state of the server's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// None is open.
    None,
    /// One is open.
    Open,
    /// One is open in which something failed.
    Failed,
}

/// Who is let in from inside, and to what.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who: they have proved it.
    pub principal: PrincipalId,
    /// On what.
    pub resource: ResourceId,
    /// In which role; without it the door chooses as for any client.
    pub role: Option<RoleId>,
    /// From where, with which program.
    pub client: Client,
    /// Why, for this session.
    pub reason: Option<String>,
    /// The ticket it belongs to.
    pub ticket: Option<String>,
}

/// A workbench that is open.
#[derive(Debug)]
pub struct Workbench {
    /// What it is.
    pub begun: Begun,
    /// What is to be done.
    pub orders: mpsc::Sender<Order>,
    /// Says `true` to leave at once.
    pub leave: watch::Sender<bool>,
}

/// A result that somebody carries away.
#[derive(Clone, Debug)]
pub struct Export {
    /// The session that it is from.
    pub session: SessionId,
    /// The statement.
    pub text: String,
    /// The names of its columns.
    pub columns: Vec<String>,
    /// How many rows.
    pub rows: u64,
}

impl Wish {
    /// Lets it in, or says why not. Nothing: whoever wished has gone.
    pub fn answer(
        self,
        begun: Result<Begun, Refused>,
    ) -> Option<(mpsc::Receiver<Order>, watch::Receiver<bool>)> {
        let well = begun.is_ok();
        self.answer.send(begun).ok().filter(|()| well).map(|()| (self.orders, self.leave))
    }

    /// Resolves when whoever wished has gone.
    pub async fn gone(&mut self) {
        self.answer.closed().await;
    }
}

impl Engine {
    /// For doors: who wants to work on resources of this kind, until the receiver is dropped.
    #[must_use]
    pub fn workbench_wishes(&self, kind: &str) -> mpsc::Receiver<Wish> {
        self.0.benches.serve(kind, WAITING_MAX)
    }

    /// Opens a session on `resource` for the caller, from inside.
    ///
    /// # Errors
    /// There is no such resource or no door to it, policy does not let it be, there is no grant, or the server can't be
    /// reached.
    pub async fn open_workbench(
        &self,
        caller: &Caller,
        (resource, role): (&ResourceId, Option<RoleId>),
        client: Client,
        reason: Option<String>,
    ) -> Result<Workbench, Refused> {
        let snapshot = self.snapshot();
        if !snapshot.book.catalogue.resources.contains_key(resource) {
            return Err(Refusal::NoSuchResource(resource.clone()).into());
        }
        if !self.may(caller, &snapshot, "credential.mint", Target::Resource(resource.clone())) {
            let message = format!("policy does not permit you to work on `{resource}` from here");
            return Err(Refused::new(RefusedCode::NotPermitted, message)
                .hint("it takes what making a credential takes (`credential.mint`)"));
        }
        let principal = caller.principal.clone();
        let client = Client { proved: Some(caller.proof.proved(self.now())), ..client };
        let entry = Entry { principal, resource: resource.clone(), role, client, reason, ticket: None };
        self.open_inside(entry).await
    }

    /// Whether clients are let in from inside to resources of this kind.
    #[must_use]
    pub fn is_entered_from_inside(&self, kind: &str) -> bool {
        self.0.benches.door(kind).is_some()
    }

    /// Opens a session from inside for somebody who has proved who they are, and that they may be a client there: by a
    /// credential for the resource, as a client of its own door would.
    ///
    /// # Errors
    /// There is no such resource or no door to it, there is no grant, or the server can't be reached.
    pub async fn open_inside(&self, entry: Entry) -> Result<Workbench, Refused> {
        let kind =
            self.snapshot().book.catalogue.resources.get(&entry.resource).map(|found| found.kind.clone());
        let kind = kind.ok_or_else(|| Refusal::NoSuchResource(entry.resource.clone()))?;
        let closed = || {
            let message = format!("no door is open for resources of kind `{kind}`");
            Refused::new(RefusedCode::Unavailable, message).hint("try again in a moment")
        };
        let door = self.0.benches.door(&kind).ok_or_else(closed)?;
        let (orders, ordered) = mpsc::channel(ORDERS_MAX);
        let (leave, leaving) = watch::channel(false);
        let (answer, answered) = oneshot::channel();
        let wish = Wish { entry, orders: ordered, leave: leaving, answer };
        let opening = async {
            door.send(wish).await.map_err(|_| closed())?;
            answered.await.unwrap_or_else(|_| Err(closed()))
        };
        let begun = tokio::time::timeout(Duration::from_secs(OPENING_S_MAX), opening).await;
        let begun = begun.unwrap_or_else(|_| {
            Err(Refused::new(RefusedCode::Unavailable, "the server took too long to let you in")
                .hint("its operators find the reason in the gateway's log"))
        })?;
        Ok(Workbench { begun, orders, leave })
    }

    /// Whether policy lets the caller carry results of a session away (`sql.export`).
    #[must_use]
    pub fn may_export(&self, caller: &Caller, session: SessionId) -> bool {
        self.exporting(&self.snapshot(), caller, session).is_ok()
    }

    /// Says that the caller carries a result away. It is in the ledger when this returns.
    ///
    /// # Errors
    /// It is no session of the caller's, policy does not let it be, or it can't be recorded.
    pub async fn export_result(&self, caller: &Caller, export: Export) -> Result<(), Refused> {
        if export.text.len() > TEXT_BYTES_MAX || export.columns.len() > COLUMNS_MAX {
            return Err(Refused::new(RefusedCode::TooLarge, "the statement is too long to be recorded"));
        }
        let snapshot = self.snapshot();
        let (resource, role) = self.exporting(&snapshot, caller, export.session)?;
        let content = serde_json::json!({ "columns": export.columns, "text": export.text }).to_string();
        let field = Field::new(&self.0.house.ports, "/data/content", "result.export", content.into_bytes());
        let exported = Exported { content: Sealed(field.commitment()), rows: export.rows };
        let mut note = self.note_by("result.exported", Topic::Exported(exported), Some(caller));
        note.line.session = Some(export.session);
        note.line.resource = Some(resource);
        note.line.role = Some(role);
        note.key = format!("session:{}", export.session).into();
        note.fields = vec![field];
        self.note(note).await.map(|_| ())
    }

    /// What a session's results are of, if the caller may carry them away.
    fn exporting(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        session: SessionId,
    ) -> Result<(ResourceId, RoleId), Refused> {
        let now = self.now().max(snapshot.at);
        let found =
            snapshot.book.session(session).filter(|found| found.opening.principal == caller.principal);
        let found = found.ok_or(Refusal::NoSuchSession(session))?;
        let (resource, role) = (&found.opening.resource, &found.opening.role);
        let live = matches!(snapshot.book.standing(found, now), Standing::On(_));
        let question = Question {
            principal: caller.principal.clone(),
            roles: BTreeSet::from([role.clone()]),
            action: ActionName::new("sql.export"),
            target: Target::Resource(resource.clone()),
            context: self.desk(snapshot).common(&Context::new(), caller.from()),
        };
        let ruling = snapshot.policy.as_ref().map(|policy| policy.rule(&snapshot.book, &question));
        if live && ruling.is_some_and(|ruling| ruling.verdict() == Verdict::Allow) {
            return Ok((resource.clone(), role.clone()));
        }
        let message = format!("policy does not permit you to carry results of `{resource}` away");
        Err(Refused::new(RefusedCode::NotPermitted, message)
            .hint(format!("`sql.export` permits it, for example among the actions of the role `{role}`")))
    }
}
