//! The circumstances of a question, as types that cannot be misspelt.
//!
//! Policy knows circumstances by name. Whoever asks fills one of the structs here and turns it into a
//! [`Context`]; the names and types are those of the schema, which is written from the same tables.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::OnceLock;

use countersign_core::catalogue::Impact;
use countersign_core::question::{Context, Value};
use countersign_core::{At, Span};

use crate::actions::Circumstances;

/// How somebody speaks to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// Through the PostgreSQL door.
    Postgres,
    /// Through the door of tools (Model Context Protocol).
    Mcp,
    /// Through the console.
    Console,
    /// Through the command line.
    Cli,
    /// Through the API, by another program.
    Api,
}

/// The circumstances of every question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    /// The instant at which it is asked. `hour` and `weekday` (UTC, 1 = Monday) follow from it.
    pub now: At,
    /// The client's address, if it has one.
    pub source: Option<IpAddr>,
    /// How they speak to the gateway.
    pub via: Via,
}

/// How whoever asks was proved to be who they are, and how long before they asked. Where nobody signed in (an agent at a door,
/// with a credential that its owner made), nothing is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// By what: `password`, `totp`, `recovery-code`, `passkey`.
    pub methods: BTreeSet<String>,
    /// How long ago.
    pub age: Span,
}

/// The circumstances of `access.request`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Those of every question.
    pub plain: Plain,
    /// For how long.
    pub duration: Span,
    /// Why, in the requester's words.
    pub purpose: String,
    /// A reference to another system.
    pub ticket: Option<String>,
}

/// The circumstances of a statement: `sql.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sql {
    /// Those of every question.
    pub plain: Plain,
    /// Why the grant was asked for, in the requester's words.
    pub purpose: String,
    /// The ticket of the grant.
    pub ticket: Option<String>,
    /// What it does, in the grammar's words.
    pub verbs: BTreeSet<String>,
    /// Relations it reads, as `schema.name`.
    pub reads: BTreeSet<String>,
    /// Relations it writes, as `schema.name`.
    pub writes: BTreeSet<String>,
    /// Functions it calls by name.
    pub functions: BTreeSet<String>,
    /// Every statement of it that could have a WHERE has one.
    pub has_where: bool,
    /// Every statement of it that could have a LIMIT has one.
    pub has_limit: bool,
    /// How many statements were sent together.
    pub statements: i64,
    /// It runs inside the client's own transaction.
    pub in_transaction: bool,
    /// It is a provable read.
    pub provable_read: bool,
    /// Rows it is expected to touch, if that is known.
    pub rows: Option<i64>,
    /// What it reaches.
    pub reach: Reach,
}

/// What a statement reaches, in the names that the database has for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Columns that it reads, as `schema.relation.column`.
    pub columns_read: BTreeSet<String>,
    /// Columns that it writes, as `schema.relation.column`.
    pub columns_written: BTreeSet<String>,
    /// Every relation that it names or reaches by way of a view, a partition, an ancestor or a foreign key.
    pub touches: BTreeSet<String>,
    /// What those are.
    pub relation_kinds: BTreeSet<String>,
    /// The functions that it calls, as `schema.name`.
    pub calls: BTreeSet<String>,
    /// Those that say that they change something, or that their answer can be another one each time.
    pub calls_volatile: BTreeSet<String>,
    /// Those that run with the rights of their owner.
    pub calls_definer: BTreeSet<String>,
    /// Where COPY reads from or writes to.
    pub copies: BTreeSet<String>,
    /// The settings that it changes.
    pub settings: BTreeSet<String>,
    /// It changes the current role or who the session runs as.
    pub role_change: bool,
    /// Every name was resolved and nothing runs that is not looked into, so that these are complete.
    pub resolved: bool,
    /// The highest impact level of what it touches; where nothing is said, it counts as high.
    pub impact: Option<Impact>,
}

/// The circumstances of `sql.unmask`: whether somebody sees a masked column as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmask {
    /// Those of every question.
    pub plain: Plain,
    /// Why the grant was asked for, in the requester's words.
    pub purpose: String,
    /// The ticket of the grant.
    pub ticket: Option<String>,
    /// The column, as `schema.relation.column`.
    pub column: String,
    /// What kind of data it holds.
    pub labels: BTreeSet<String>,
}

/// The circumstances of what is done through a server of tools: `mcp.*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mcp {
    /// Why the grant was asked for, in the requester's words.
    pub purpose: String,
    /// The ticket of the grant.
    pub ticket: Option<String>,
    /// The methods of the protocol that are used: `tools/call`.
    pub verbs: BTreeSet<String>,
    /// The tool that is called or listed; empty if it is about none.
    pub tool: String,
    /// The prompt that is asked for or listed; empty if it is about none.
    pub prompt: String,
    /// The resource of the server that is read or listed; empty if it is about none.
    pub uri: String,
    /// What the server says of the tool: `read-only`, `destructive`, `idempotent`, `open-world`. Nobody has checked that.
    pub claims: BTreeSet<String>,
    /// Whether the tool is described as the bundle pins it.
    pub pin: Pin,
    /// Every argument by its JSON pointer without the first slash: texts as they are, the rest as canonical JSON.
    pub args: BTreeMap<String, String>,
    /// The arguments that are whole numbers, by the same names.
    pub numbers: BTreeMap<String, i64>,
}

/// Whether what a server says of a tool is what the bundle says that it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pin {
    /// It is about no tool, or the bundle pins none of its server's.
    #[default]
    None,
    /// It is the same.
    Same,
    /// It is another, or a tool that is not pinned while others of its server are.
    Other,
}

impl Pin {
    /// As policies see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Same => "same",
            Self::Other => "other",
        }
    }
}

/// A circumstance's type, as policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    Long,
    Text,
    Texts,
    Duration,
    Datetime,
    Ip,
    Fields,
    Numbers,
}

/// A circumstance: name, type, and whether it may be absent.
#[derive(Debug)]
pub(crate) struct Circumstance {
    pub(crate) name: &'static str,
    pub(crate) kind: Type,
    pub(crate) optional: bool,
}

/// The entity whose tags are texts under names that whoever acts has chosen.
pub(crate) const FIELDS: &str = "Fields";
/// The entity whose tags are whole numbers under such names.
pub(crate) const NUMBERS: &str = "Numbers";

const COMMON: &[Circumstance] = &[
    required("now", Type::Datetime),
    required("hour", Type::Long),
    required("weekday", Type::Long),
    optional("source", Type::Ip),
    required("via", Type::Text),
    optional("auth_methods", Type::Texts),
    optional("auth_age", Type::Duration),
];

const ACCESS: &[Circumstance] =
    &[required("duration", Type::Duration), required("purpose", Type::Text), optional("ticket", Type::Text)];

const STATEMENT: &[Circumstance] = &[
    required("purpose", Type::Text),
    optional("ticket", Type::Text),
    required("verbs", Type::Texts),
    required("reads", Type::Texts),
    required("writes", Type::Texts),
    required("functions", Type::Texts),
    required("has_where", Type::Bool),
    required("has_limit", Type::Bool),
    required("statements", Type::Long),
    required("in_transaction", Type::Bool),
    required("provable_read", Type::Bool),
    optional("rows", Type::Long),
    required("columns_read", Type::Texts),
    required("columns_written", Type::Texts),
    required("touches", Type::Texts),
    required("relation_kinds", Type::Texts),
    required("calls", Type::Texts),
    required("calls_volatile", Type::Texts),
    required("calls_definer", Type::Texts),
    required("copies", Type::Texts),
    required("settings", Type::Texts),
    required("role_change", Type::Bool),
    required("resolved", Type::Bool),
    required("impact", Type::Text),
    required("over_budget", Type::Texts),
];

const UNMASK: &[Circumstance] = &[
    required("purpose", Type::Text),
    optional("ticket", Type::Text),
    required("column", Type::Text),
    required("labels", Type::Texts),
];

const MCP: &[Circumstance] = &[
    required("purpose", Type::Text),
    optional("ticket", Type::Text),
    required("verbs", Type::Texts),
    required("tool", Type::Text),
    required("prompt", Type::Text),
    required("uri", Type::Text),
    required("claims", Type::Texts),
    required("pin", Type::Text),
    required("args", Type::Fields),
    required("numbers", Type::Numbers),
    required("impact", Type::Text),
    required("over_budget", Type::Texts),
];

const fn required(name: &'static str, kind: Type) -> Circumstance {
    Circumstance { name, kind, optional: false }
}

const fn optional(name: &'static str, kind: Type) -> Circumstance {
    Circumstance { name, kind, optional: true }
}

/// The circumstances that a question of this kind carries.
pub(crate) fn of(kind: Circumstances) -> impl Iterator<Item = &'static Circumstance> + Clone {
    let own: &[Circumstance] = match kind {
        Circumstances::Plain => &[],
        Circumstances::Access => ACCESS,
        Circumstances::Sql => STATEMENT,
        Circumstances::Unmask => UNMASK,
        Circumstances::Mcp => MCP,
    };
    COMMON.iter().chain(own)
}

/// The same, in the order of their names.
fn in_order(kind: Circumstances) -> &'static [&'static Circumstance] {
    static ORDERED: [OnceLock<Vec<&'static Circumstance>>; 5] = [const { OnceLock::new() }; 5];
    let place = match kind {
        Circumstances::Plain => 0,
        Circumstances::Access => 1,
        Circumstances::Sql => 2,
        Circumstances::Unmask => 3,
        Circumstances::Mcp => 4,
    };
    let ordered = ORDERED.get(place).map(|slot| {
        slot.get_or_init(|| {
            let mut ordered: Vec<_> = of(kind).collect();
            ordered.sort_by_key(|one| one.name);
            ordered
        })
    });
    ordered.map_or(&[], Vec::as_slice)
}

/// Whether `context` is what a question of this kind carries. Both are in the order of their names, so one pass tells.
fn is_sound(kind: Circumstances, context: &Context) -> bool {
    let mut given = context.iter().peekable();
    let each = in_order(kind).iter().all(|one| match given.next_if(|(name, _)| **name <= one.name) {
        Some((name, value)) => *name == one.name && one.kind == type_of(value),
        None => one.optional,
    });
    each && given.next().is_none()
}

/// What is wrong with `context` for a question of this kind, in words; `None` if nothing is.
pub(crate) fn fault(kind: Circumstances, context: &Context) -> Option<String> {
    if is_sound(kind, context) {
        return None;
    }
    let mut known = of(kind);
    if let Some(unknown) = context.keys().find(|name| known.clone().all(|one| one.name != **name)) {
        return Some(format!("there is no circumstance `{unknown}` here"));
    }
    let wrong = known.find_map(|one| match context.get(one.name) {
        None if one.optional => None,
        None => Some(format!("the circumstance `{}` is missing", one.name)),
        Some(value) if one.kind == type_of(value) => None,
        Some(_) => Some(format!("the circumstance `{}` is not a {}", one.name, one.kind.as_str())),
    });
    wrong.or_else(|| Some("its circumstances are not in order".into()))
}

/// What of the circumstances of several actions together belongs to one of them: what is another's alone is left out, and what is
/// nobody's stays, to be found at fault.
pub(crate) fn share(own: Circumstances, all: &[Circumstances], context: &Context) -> Context {
    let knows = |kind: Circumstances, name: &str| of(kind).any(|one| one.name == name);
    let stays = |name: &str| knows(own, name) || all.iter().all(|kind| !knows(*kind, name));
    context.iter().filter(|(name, _)| stays(name)).map(|(name, value)| (*name, value.clone())).collect()
}

fn type_of(value: &Value) -> Type {
    match value {
        Value::Bool(_) => Type::Bool,
        Value::Long(_) => Type::Long,
        Value::Text(_) => Type::Text,
        Value::Texts(_) => Type::Texts,
        Value::Span(_) => Type::Duration,
        Value::At(_) => Type::Datetime,
        Value::Ip(_) => Type::Ip,
        Value::Fields(_) => Type::Fields,
        Value::Numbers(_) => Type::Numbers,
    }
}

impl Type {
    /// As the schema writes it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "Bool",
            Self::Long => "Long",
            Self::Text => "String",
            Self::Texts => "Set<String>",
            Self::Duration => "duration",
            Self::Datetime => "datetime",
            Self::Ip => "ipaddr",
            Self::Fields => FIELDS,
            Self::Numbers => NUMBERS,
        }
    }
}

impl Via {
    /// As policies see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mcp => "mcp",
            Self::Console => "console",
            Self::Cli => "cli",
            Self::Api => "api",
        }
    }
}

impl Auth {
    /// The names of what [`Auth::tell`] says.
    pub const NAMES: [&str; 2] = ["auth_age", "auth_methods"];

    /// Says it in a question's circumstances.
    pub fn tell(self, context: &mut Context) {
        context.insert("auth_age", Value::Span(self.age));
        context.insert("auth_methods", Value::Texts(self.methods));
    }
}

impl From<Plain> for Context {
    fn from(plain: Plain) -> Self {
        let (hour, weekday) = plain.now.hour_and_weekday();
        let mut context = Self::from([
            ("now", Value::At(plain.now)),
            ("hour", Value::Long(hour)),
            ("weekday", Value::Long(weekday)),
            ("via", Value::Text(plain.via.as_str().to_owned())),
        ]);
        if let Some(source) = plain.source {
            context.insert("source", Value::Ip(source));
        }
        context
    }
}

impl From<Access> for Context {
    fn from(access: Access) -> Self {
        let mut context = Self::from(access.plain);
        context.insert("duration", Value::Span(access.duration));
        context.insert("purpose", Value::Text(access.purpose));
        if let Some(ticket) = access.ticket {
            context.insert("ticket", Value::Text(ticket));
        }
        context
    }
}

impl From<Unmask> for Context {
    fn from(unmask: Unmask) -> Self {
        let mut context = Self::from(unmask.plain);
        context.insert("purpose", Value::Text(unmask.purpose));
        context.insert("column", Value::Text(unmask.column));
        context.insert("labels", Value::Texts(unmask.labels));
        if let Some(ticket) = unmask.ticket {
            context.insert("ticket", Value::Text(ticket));
        }
        context
    }
}

impl Mcp {
    /// Says it in a question's circumstances, those aside that every question carries.
    pub fn tell(self, context: &mut Context) {
        context.extend([
            ("purpose", Value::Text(self.purpose)),
            ("verbs", Value::Texts(self.verbs)),
            ("tool", Value::Text(self.tool)),
            ("prompt", Value::Text(self.prompt)),
            ("uri", Value::Text(self.uri)),
            ("claims", Value::Texts(self.claims)),
            ("pin", Value::Text(self.pin.as_str().to_owned())),
            ("args", Value::Fields(self.args)),
            ("numbers", Value::Numbers(self.numbers)),
            // How bad it would be, and what is used up, is the engine's to say.
            ("impact", Value::Text(Impact::High.as_str().to_owned())),
            ("over_budget", Value::Texts(BTreeSet::new())),
        ]);
        if let Some(ticket) = self.ticket {
            context.insert("ticket", Value::Text(ticket));
        }
    }
}

impl From<Sql> for Context {
    fn from(sql: Sql) -> Self {
        let mut context = Self::from(sql.plain);
        context.extend([
            ("purpose", Value::Text(sql.purpose)),
            ("verbs", Value::Texts(sql.verbs)),
            ("reads", Value::Texts(sql.reads)),
            ("writes", Value::Texts(sql.writes)),
            ("functions", Value::Texts(sql.functions)),
            ("has_where", Value::Bool(sql.has_where)),
            ("has_limit", Value::Bool(sql.has_limit)),
            ("statements", Value::Long(sql.statements)),
            ("in_transaction", Value::Bool(sql.in_transaction)),
            ("provable_read", Value::Bool(sql.provable_read)),
        ]);
        if let Some(ticket) = sql.ticket {
            context.insert("ticket", Value::Text(ticket));
        }
        if let Some(rows) = sql.rows {
            context.insert("rows", Value::Long(rows));
        }
        // What is used up is the engine's to say.
        context.insert("over_budget", Value::Texts(BTreeSet::new()));
        sql.reach.tell(&mut context);
        context
    }
}

impl Reach {
    /// Says it in a question's circumstances.
    pub fn tell(self, context: &mut Context) {
        context.extend([
            ("columns_read", Value::Texts(self.columns_read)),
            ("columns_written", Value::Texts(self.columns_written)),
            ("touches", Value::Texts(self.touches)),
            ("relation_kinds", Value::Texts(self.relation_kinds)),
            ("calls", Value::Texts(self.calls)),
            ("calls_volatile", Value::Texts(self.calls_volatile)),
            ("calls_definer", Value::Texts(self.calls_definer)),
            ("copies", Value::Texts(self.copies)),
            ("settings", Value::Texts(self.settings)),
            ("role_change", Value::Bool(self.role_change)),
            ("resolved", Value::Bool(self.resolved)),
            ("impact", Value::Text(self.impact.unwrap_or(Impact::High).as_str().to_owned())),
        ]);
    }
}
