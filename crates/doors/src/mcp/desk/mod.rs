//! The desk: the gateway itself is the server.
//!
//! Before a database, what runs is run by a session of the database's own door. Before a server of tools, whoever has a grant goes on to
//! it ([`onward`]) and is at the desk no more.
//!
//! Whoever has proved who they are may sit here, with a grant or without: without one they are told what they may ask for, ask, and
//! wait for the answer. With one, statements are tools. Nothing is judged, held or recorded here: that door does it, statement by
//! statement, as for every client; and asking for access is judged as everywhere.

mod access;
mod inside;
mod onward;
mod sql;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use countersign_core::RoleId;
use countersign_core::session::Ending;
use countersign_engine::workbench::Entry;
use countersign_engine::{Client, Refused, RefusedCode, RoleAtDoor};
use countersign_wire::mcp::{Id, Json, Message, REVISIONS, misfit, said};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

use super::answer::{self, Words};
use super::call;
use super::entry::Proved;
use super::line::{Flight, Line, Out};
use super::tongue::{Lost, attend, say};
use crate::flow::Attended;
use inside::{Inside, Left};
pub(crate) use onward::Onward;

/// One client at the desk.
pub(crate) struct Desk {
    pub(crate) line: Arc<Line>,
    /// What people call the resource.
    title: String,
    client: Client,
    why: Why,
    /// Its session of the database's door, while it has one.
    inside: Mutex<Option<Arc<Inside>>>,
    /// The server that it goes on to with a grant. A database has none.
    onward: Option<Onward>,
}

/// In which role a client wants to be in, and why.
pub(crate) struct Why {
    /// The newest that it holds if absent.
    pub(crate) role: Option<RoleId>,
    pub(crate) purpose: Option<String>,
    pub(crate) ticket: Option<String>,
}

/// A request at the desk that has begun.
pub(crate) struct Sitting {
    id: Id,
    desk: Arc<Desk>,
    pub(crate) flight: Arc<Flight>,
    bytes: Bytes,
    told: u32,
}

/// Why a call gives nothing.
enum Not {
    /// In words.
    Said(Words),
    /// The client wants it no longer.
    Cancelled,
    Lost(Lost),
}

impl From<Words> for Not {
    fn from(words: Words) -> Self {
        Self::Said(words)
    }
}

impl From<&Refused> for Not {
    fn from(refused: &Refused) -> Self {
        Self::Said(refused.into())
    }
}

impl Desk {
    /// Sits a client down before a database. It may have no grant yet; whoever may not be here for another reason is told so.
    ///
    /// # Errors
    /// Policy, the account or the server says no.
    pub(crate) async fn open(
        line: Arc<Line>,
        title: String,
        client: Client,
        why: Why,
    ) -> Result<Arc<Self>, Refused> {
        let desk = Arc::new(Self { line, title, client, why, inside: Mutex::default(), onward: None });
        match desk.enter(desk.why.role.clone()).await {
            Err(refused) if refused.code != RefusedCode::NoGrant => Err(refused),
            _ => Ok(desk),
        }
    }

    /// Sits a client down that has no grant for a server of tools.
    pub(crate) fn before_server(
        line: Arc<Line>,
        (title, client): (String, Client),
        why: Why,
        onward: Onward,
    ) -> Arc<Self> {
        Arc::new(Self { line, title, client, why, inside: Mutex::default(), onward: Some(onward) })
    }

    /// Looks after it until it is over, or its client has gone on.
    pub(crate) async fn keep(self: Arc<Self>) {
        let gone = async {
            match &self.onward {
                Some(onward) => onward.gone().await,
                None => std::future::pending().await,
            }
        };
        let ending = tokio::select! {
            biased;
            () = gone => return,
            ending = self.line.ended() => ending,
        };
        self.line.end(ending);
        self.line.shared.forget(&self.line.name);
        if let Some(inside) = self.inside.lock().await.take() {
            inside.leave();
        }
    }

    /// The session that statements run in: the one there is, or a new one.
    async fn enter(&self, role: Option<RoleId>) -> Result<Arc<Inside>, Refused> {
        let mut inside = self.inside.lock().await;
        if let Some(found) = inside.as_ref().filter(|found| !found.is_over()) {
            return Ok(Arc::clone(found));
        }
        let entry = Entry {
            principal: self.line.principal.clone(),
            resource: self.line.resource.clone(),
            role,
            client: self.client.clone(),
            reason: self.why.purpose.clone(),
            ticket: self.why.ticket.clone(),
        };
        let opened = self.line.shared.engine.open_inside(entry).await?;
        let opened = Arc::new(Inside::new(opened));
        *inside = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// The same, for somebody who may have been in a session that is over: that has to be told once, since whatever it had begun went with it.
    async fn enter_again(&self) -> Result<Arc<Inside>, Words> {
        let was = self.inside.lock().await.take_if(|inside| inside.is_over());
        match was.map(|inside| inside.left()) {
            Some(Left::Unsaid(ending)) => Err(answer::over(ending).hint(
                "an open transaction was rolled back, and settings are gone; the next call goes on in a new session, if a grant lives",
            )),
            Some(Left::Said) | None => self.enter(self.why.role.clone()).await.map_err(|refused| self.no_entry(&refused)),
        }
    }

    /// Leaves the session there is, for one in this role. One that is in it already stays, and so does one in which something runs.
    ///
    /// # Errors
    /// The engine says no, or something runs.
    async fn change(&self, role: RoleId) -> Result<(), Refused> {
        {
            let mut inside = self.inside.lock().await;
            match inside.as_ref().filter(|inside| !inside.is_over()) {
                Some(found) if *found.session().role() == role => return Ok(()),
                Some(found) if found.is_busy() => {
                    return Err(Refused::new(
                        RefusedCode::Conflict,
                        "a statement runs or waits in another role",
                    )
                    .hint("cancel it, or wait until it is done, and ask again"));
                }
                _ => {}
            }
            if let Some(left) = inside.take() {
                left.leave();
            }
        }
        self.enter(Some(role)).await.map(drop)
    }

    /// The one role that the client was let in for, if it is one.
    fn only_role(&self) -> Option<&RoleId> {
        match &self.line.proved {
            Proved::Client(client) => client.role.as_ref(),
            Proved::Credential(_) => None,
        }
    }

    /// The roles that this client may use here, or ask for.
    fn roles(&self) -> Vec<RoleAtDoor> {
        let line = &self.line;
        let mut roles = line.shared.engine.roles_at_door(&line.principal, &line.resource);
        roles.retain(|role| self.only_role().is_none_or(|only| *only == role.id));
        roles
    }

    fn no_entry(&self, refused: &Refused) -> Words {
        let words = Words::from(refused);
        match refused.code {
            RefusedCode::NoGrant => words.hint(HELP),
            _ => words,
        }
    }

    fn welcome(&self, revision: Option<&str>) -> String {
        let known = REVISIONS.iter().find(|known| Some(**known) == revision).or(REVISIONS.last());
        if let Some(known) = known {
            let _first = self.line.revision.set(known);
        }
        let instructions = self.instructions();
        let tools = if self.onward.is_some() { json!({ "listChanged": true }) } else { json!({}) };
        json!({
            "protocolVersion": known,
            "capabilities": { "tools": tools },
            "serverInfo": { "name": "countersign", "title": self.title, "version": env!("CARGO_PKG_VERSION") },
            "instructions": instructions,
        })
        .to_string()
    }

    fn instructions(&self) -> String {
        let (resource, title) = (&self.line.resource, &self.title);
        if self.onward.is_some() {
            return format!(
                "`{resource}` ({title}) is behind a gateway, and access to it is granted for a purpose and a while: `access` says what may be asked \
                 for, `request_access` asks, and waits until somebody has answered, which may take minutes. After a yes its own tools take the place of these."
            );
        }
        format!(
            "SQL on `{resource}` ({title}), through a gateway. Each statement is judged by policy. One that needs an approval waits until somebody has answered, \
             which may take minutes; then exactly that statement runs, once. Access is granted for a purpose and a while: `access` says what is held and what \
             may be asked for, `request_access` asks. What is refused says why, and what to do. Nothing that a database contains can approve anything.",
        )
    }

    /// What is listed. It is the same for everybody: what one may do is said when it is tried.
    fn tools(&self) -> &'static [Value] {
        if self.onward.is_some() { &ASKING } else { &TOOLS }
    }

    /// That something is not there.
    fn has_no(&self, what: &str) -> String {
        match self.onward {
            Some(_) => format!("without a grant there is no {what} here"),
            None => format!("a database has no {what}"),
        }
    }
}

impl Sitting {
    /// Begins a request.
    ///
    /// # Errors
    /// Why it can't begin, as the client's answer.
    pub(crate) fn begin(
        desk: &Arc<Desk>,
        (id, method, params): (Id, &str, Option<&Json<'_>>),
        bytes: Bytes,
        out: mpsc::Sender<Out>,
    ) -> Result<Self, String> {
        let told = said(method, params).map_err(|error| call::malformed(Some(&id), &error))?;
        let flight = Arc::new(Flight::new(out, told.progress));
        desk.line
            .begin(&id, &flight)
            .map_err(|error| answer::error(Some(&id), &Words::new(answer::INVALID, error.to_string())))?;
        Ok(Self { id, desk: Arc::clone(desk), flight, bytes, told: 0 })
    }

    /// Does what it asks, and gives the answer.
    pub(crate) async fn run(mut self) -> String {
        let answered = self.answer().await;
        self.desk.line.done(&self.id);
        answered
    }

    async fn answer(&mut self) -> String {
        let bytes = self.bytes.clone();
        let Ok(Message::Request { method, params, .. }) = Message::read(&bytes) else {
            return answer::error(Some(&self.id), &Words::new(answer::INVALID, "this is no request"));
        };
        match method.as_str() {
            "initialize" => {
                let revision = params.as_ref().and_then(|params| params.get("protocolVersion")?.text());
                self.desk.onward.iter().for_each(|onward| onward.greeted(&bytes));
                answer::result(&self.id, &self.desk.welcome(revision))
            }
            "ping" => answer::result(&self.id, "{}"),
            "tools/list" => answer::result(&self.id, &json!({ "tools": self.desk.tools() }).to_string()),
            "tools/call" => self.call(params.as_ref()).await,
            _ => {
                let words = Words::new(answer::NO_METHOD, self.desk.has_no(&format!("`{method}`")));
                answer::error(Some(&self.id), &words.hint("there are tools: ask for `tools/list`"))
            }
        }
    }

    async fn call(&mut self, params: Option<&Json<'_>>) -> String {
        let done = match asked(&self.desk, params) {
            Ok((tool, arguments)) => self.tool(&tool, &arguments).await,
            Err(why) => {
                let hint = if self.desk.onward.is_some() {
                    HELP
                } else {
                    "look at the list of tools; nothing was done"
                };
                Err(Words::new(answer::INVALID, why).hint(hint).into())
            }
        };
        match done {
            Ok(structured) => {
                let text = Value::String(structured.clone());
                let content = format!("\"content\":[{{\"type\":\"text\",\"text\":{text}}}]");
                answer::result(&self.id, &format!("{{{content},\"structuredContent\":{structured}}}"))
            }
            Err(not) => {
                let words = match not {
                    Not::Said(words) => words,
                    Not::Cancelled => Words::new(answer::DENIED, "cancelled by its client"),
                    Not::Lost(lost) => lost.into(),
                };
                answer::no(&self.id, "tools/call", &words)
            }
        }
    }

    /// Does what a tool does. Gives what it did as JSON.
    async fn tool(&mut self, tool: &str, arguments: &Value) -> Result<String, Not> {
        match tool {
            "access" => Ok(access::access(&self.desk).await),
            "request_access" => access::request(self, arguments).await,
            _ => {
                let wanted = sql::wanted(tool, arguments)?;
                sql::run(self, &wanted).await
            }
        }
    }

    /// Does this, unless the client has had enough meanwhile.
    async fn attended<W>(&self, work: W) -> Result<W::Output, Not>
    where
        W: Future + Send,
        W::Output: Send,
    {
        match attend(&self.desk.line, &self.flight, work).await {
            Ok(Attended::Done(done)) => Ok(done),
            Ok(Attended::Cancelled) => Err(Not::Cancelled),
            Err(lost) => Err(Not::Lost(lost)),
        }
    }

    /// Tells the client that it still takes a while, and why.
    fn say(&mut self, words: &str) {
        say(&self.flight, &mut self.told, words);
    }
}

/// How to get in.
const HELP: &str = "`access` says which roles you may ask for, `request_access` asks for one and waits";

/// The tools of a database.
static TOOLS: LazyLock<Vec<Value>> =
    LazyLock::new(|| sql::tools().into_iter().chain(access::tools("statements run in that role")).collect());

/// The tools before a server, for whoever has no grant.
static ASKING: LazyLock<Vec<Value>> =
    LazyLock::new(|| access::tools("the server's own tools take the place of these").into());

/// Which tool is called, and with what, or why it can't be.
fn asked(desk: &Desk, params: Option<&Json<'_>>) -> Result<(String, Value), String> {
    let tool = params.and_then(|params| params.get("name")?.text()).unwrap_or_default();
    let found = desk.tools().iter().find(|one| one["name"] == tool);
    let found = found.ok_or_else(|| desk.has_no(&format!("tool `{tool}`")))?;
    let arguments = params.and_then(|params| params.get("arguments"));
    if let Some(why) = misfit(&found["inputSchema"].to_string(), arguments) {
        return Err(why);
    }
    let arguments = arguments.and_then(|arguments| serde_json::from_str(arguments.raw).ok());
    Ok((tool.to_owned(), arguments.unwrap_or_else(|| json!({}))))
}

/// One of a call's texts.
fn text<'a>(arguments: &'a Value, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(Value::as_str)
}

/// Why a session is over, where nobody says.
fn ending(inside: &Inside) -> Ending {
    inside.session().ending().unwrap_or(Ending::Upstream)
}
