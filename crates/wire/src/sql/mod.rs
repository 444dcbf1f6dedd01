//! Statement text to facts: what a statement does, not how it is spelled.
//!
//! [`parse()`] reads the text with PostgreSQL's own grammar and walks *every* node of the tree, so that nothing is
//! missed because somebody forgot a field. [`classify()`] then judges what was found against the session that sent
//! it ([`SessionState`]) and a snapshot of the target database's own catalogue ([`Catalogue`]), and answers with
//! [`Facts`]: kinds, verbs, relations, functions, settings, and whether the statement is a *provable read*.
//!
//! Why so: a SELECT can call a function that writes, an operator or a cast can be somebody's function, and even
//! planning runs IMMUTABLE functions. So a read is only a read when everything it reaches is on a list that was
//! reviewed ([`reviewed`]) and nothing in the database can stand in for an entry of that list. Everything else is a
//! `sql.call`; everything that is not understood is `sql.unknown`. Doubt is never resolved in favour of the
//! statement.
//!
//! What is left to the caller, because only the caller can know it:
//! - Follow the session. [`SessionState::after()`] says what is still known once a statement is under way (and
//!   [`SessionState::after_in_transaction()`] while a transaction is open); what it forgets must be asked for again.
//! - Keep the catalogue fresh. A definition that changed a moment ago makes an older catalogue wrong; ask
//!   [`CATALOGUE_MOMENT`] and [`Probe`] after every statement whose facts say [`Facts::may_define()`], and often besides.
//! - Permit every one of [`Facts::kinds`], and forward only the bytes that were judged.
//!
//! What this is not: it does not see into function bodies, triggers, dynamic SQL or DO blocks, and does not claim
//! to. A statement that could reach such code is never a provable read. Nothing here opens a socket; the one
//! exception to purity is [`Parser`], a handful of threads with stacks large enough for hostile nesting.

mod access;
mod alike;
mod build;
mod cache;
mod catalogue;
mod columns;
mod count;
mod ddl;
mod facts;
mod format;
mod gateway;
mod judge;
mod kinds;
mod layout;
mod lineage;
mod loading;
mod mentions;
mod nodes;
mod parse;
mod pool;
mod probe;
mod proof;
mod queries;
mod reached;
pub mod reviewed;
mod secrets;
mod session;
mod settings;
mod split;
mod standing;
mod statement;
mod tree;

#[doc(hidden)]
pub mod fuzz_targets;

pub use cache::{ClassCache, ClassKey};
pub use catalogue::{CATALOGUE_ROWS_MAX, Catalogue, CatalogueError};
pub use count::counting_question;
pub use facts::{
    Access, Affected, BranchCount, Called, ColumnUse, CopyTarget, CountTarget, Facts, PartOf, Predicate,
    Prepared, PreparedUse, Relation, RelationKind, SettingChange, SettingScope, TransactionStep,
};
pub use format::format;
pub use gateway::{GATEWAY_NAMESPACE, GatewaySetting, gateway_setting};
pub use judge::{classify, classify_text, classify_unparsed};
pub use kinds::{Kind, Verb};
pub use layout::layout;
pub use lineage::{Columns, CopyForm, CopyFormat, Guarded, Layout, Masking, Origin, Protection, Traced};
pub use loading::CatalogueLoader;
pub use parse::{Parsed, Unparsed, parse};
pub use pool::{Busy, Parser};
pub use probe::{CATALOGUE_MOMENT, Probe};
pub use queries::{CATALOGUE_PREPARE, Section};
pub use secrets::{Redacted, redact};
pub use session::{Context, SessionState};
pub use split::{is_same_statement, split, statements};

/// The longest statement text that is looked at, in bytes. Longer text is `sql.unknown`: nobody approves what
/// nobody reads, and the parser's memory is a multiple of its input.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// The most statements in one text that are looked at.
pub const STATEMENTS_MAX: usize = 1_000;

/// How deep a syntax tree may nest before its text counts as not understood. PostgreSQL's own stack limit is near.
pub const TREE_DEPTH_MAX: u32 = 4_000;

/// Stack that a thread needs before it may call [`parse()`] or anything that parses, in bytes.
pub const STACK_BYTES: usize = 64 * 1024 * 1024;
