//! Statements: which of them can be traced, and what of their results.
//!
//! A closed table, as everywhere: what is not in it may do anything with what is protected. That is so for everything that
//! defines code: a function, a trigger or a rule could hand on what its maker may not see.

use super::protect::Bound;
use super::queries::{COMPUTES, Tracer};
use super::scope::Rows;
use super::{Columns, CopyForm, CopyFormat, Layout, Lost, Origin, Traced};
use crate::sql::facts::Access;
use crate::sql::proof::{effective_path, relations_named};
use crate::sql::session::Context;
use crate::sql::statement::Statement;
use crate::sql::tree::{Tree, Value};

/// What one statement does with protected columns.
pub(super) fn trace(tree: &Tree, statement: &Statement, context: &Context<'_>, bound: &Bound) -> Traced {
    match traced(tree, statement, context, bound) {
        Ok(traced) => traced,
        Err(Lost(why)) => Traced::lost(why, &bound.all),
    }
}

fn traced(tree: &Tree, statement: &Statement, context: &Context<'_>, bound: &Bound) -> Result<Traced, Lost> {
    if is_housekeeping(tree.name) {
        return Ok(Traced::nothing());
    }
    let catalogue = context.catalogue.ok_or_else(|| Lost("the database is not known".to_owned()))?;
    let mentions = &statement.found.mentions;
    if let Some(younger) = mentions.younger_nodes.iter().find(|(since, _)| *since > context.session.major()) {
        return Err(Lost(format!("it uses syntax of PostgreSQL {} ({})", younger.0, younger.1)));
    }
    if context.session.uncommitted_definitions {
        return Err(Lost("the transaction may have changed what its names mean".to_owned()));
    }
    let path = effective_path(context.session)
        .ok_or_else(|| Lost("the session's search path is not known".to_owned()))?;
    let mut tracer = Tracer::new(catalogue, bound, &path, context.session.temporary_objects);
    tracer.into = statement.found.select_into;
    if is_plain(tree.name) && !mentions.functions.iter().all(|call| tracer.is_harmless(&call.name)) {
        // A default or a check would have it run, and keep what it gives.
        return Err(Lost("it names a function that is not looked into".to_owned()));
    }
    let mut traced = Traced::nothing();
    traced.layout = tracer.statement(tree, &mut traced.copy)?;
    if let Layout::Clean = traced.layout {
        for (name, access) in mentions.relations.iter().filter(|_| defines(tree)) {
            for oid in relations_named(catalogue, &path, name).iter().filter(|_| *access != Access::Read) {
                let origin = Origin::of(bound.of_relation(*oid));
                tracer.touches.extend(origin.columns().into_iter().flatten());
                tracer.guess(&origin, "changes the definition of its relation");
            }
        }
    }
    let Tracer { guesses, copies, touches, .. } = tracer;
    traced.touches = match &traced.layout {
        Layout::Clean => Columns::new(),
        Layout::Columns(origins) => origins.iter().filter_map(Origin::columns).flatten().copied().collect(),
        Layout::Unknown(columns) => columns.clone(),
    };
    traced.touches.extend(touches.iter().chain(&copies).chain(guesses.keys()));
    (traced.guesses, traced.copies) = (guesses, copies);
    Ok(traced)
}

/// Statements that read no rows.
fn is_housekeeping(name: &str) -> bool {
    matches!(
        name,
        "TransactionStmt"
            | "VariableSetStmt"
            | "VariableShowStmt"
            | "DiscardStmt"
            | "DeallocateStmt"
            | "ClosePortalStmt"
            | "ListenStmt"
            | "UnlistenStmt"
            | "NotifyStmt"
            | "ConstraintsSetStmt"
            | "CheckPointStmt"
    )
}

/// Statements that can be traced although they read no rows: none of them brings code of the client's own.
fn is_plain(name: &str) -> bool {
    matches!(
        name,
        "LockStmt"
            | "TruncateStmt"
            | "DropStmt"
            | "CommentStmt"
            | "VacuumStmt"
            | "ReindexStmt"
            | "ClusterStmt"
            | "RefreshMatViewStmt"
            | "GrantStmt"
            | "GrantRoleStmt"
            | "CreateStmt"
            | "CreateSeqStmt"
            | "AlterSeqStmt"
            | "CreateEnumStmt"
            | "AlterEnumStmt"
            | "CompositeTypeStmt"
            | "AlterTableStmt"
            | "RenameStmt"
            | "AlterObjectSchemaStmt"
    )
}

/// Statements that may not name a protected relation as what they change.
fn defines(tree: &Tree) -> bool {
    matches!(tree.name, "AlterTableStmt" | "RenameStmt" | "AlterObjectSchemaStmt")
}

impl Tracer<'_> {
    fn statement(&mut self, tree: &Tree, copy: &mut Option<CopyForm>) -> Result<Layout, Lost> {
        match tree.name {
            "SelectStmt" => {
                let rows = self.query(tree)?;
                if self.into {
                    self.copy(&rows.whole());
                    return Ok(Layout::Clean);
                }
                Ok(layout(rows))
            }
            "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => self.query(tree).map(layout),
            "CopyStmt" if tree.flag("is_from") => Ok(Layout::Clean),
            "CopyStmt" => self.copy_out(tree, copy),
            "PrepareStmt" | "DeclareCursorStmt" => {
                let query = tree.node("query").ok_or_else(|| Lost("it has no query".to_owned()))?;
                self.statement(query, copy)
            }
            "ExplainStmt" => {
                // A plan shows no values, but what a guess would do to it.
                let query = tree.node("query").ok_or_else(|| Lost("it has no query".to_owned()))?;
                self.statement(query, &mut None).map(|_| Layout::Clean)
            }
            "CreateTableAsStmt" => {
                let query = tree.node("query").ok_or_else(|| Lost("it has no query".to_owned()))?;
                let rows = self.query(query)?;
                self.copy(&rows.whole());
                Ok(Layout::Clean)
            }
            "ViewStmt" => {
                let query = tree.node("query").ok_or_else(|| Lost("it has no query".to_owned()))?;
                // Who reads through a view before it is known would see what is masked.
                let rows = self.query(query)?;
                self.copy(&rows.whole());
                Ok(Layout::Clean)
            }
            "IndexStmt" => self.indexed(tree).map(|()| Layout::Clean),
            "CreateSchemaStmt" if !tree.has("schema_elts") => Ok(Layout::Clean),
            name if is_plain(name) => Ok(Layout::Clean),
            "DoStmt" => Err(Lost("a DO block may do anything".to_owned())),
            "CallStmt" => Err(Lost("what CALL runs is not looked into".to_owned())),
            "ExecuteStmt" => Err(Lost("what EXECUTE runs is not known".to_owned())),
            "FetchStmt" => Err(Lost("what the cursor was declared for is not known".to_owned())),
            _ => Err(Lost("it may define or run code that is not looked into".to_owned())),
        }
    }

    fn copy_out(&mut self, tree: &Tree, copy: &mut Option<CopyForm>) -> Result<Layout, Lost> {
        let rows = self.copied(tree)?;
        if tree.flag("is_program") || tree.has("filename") {
            self.copy(&rows.whole());
            return Ok(Layout::Clean);
        }
        *copy = copy_form(tree);
        if copy.is_none() {
            self.guess(&rows.whole(), COMPUTES);
        }
        Ok(layout(rows))
    }
}

fn layout(rows: Rows) -> Layout {
    if rows.whole().is_clean() {
        return Layout::Clean;
    }
    match rows.open {
        None => Layout::Columns(rows.columns.into_iter().map(|column| column.origin).collect()),
        Some(_) => Layout::Unknown(rows.whole().columns().cloned().unwrap_or_default()),
    }
}

/// The form of a COPY's data, if every option of it is understood.
fn copy_form(tree: &Tree) -> Option<CopyForm> {
    let option = |name: &str| tree.nodes("options").filter(|one| one.text("defname") == name).last();
    let text =
        |name: &str| option(name).and_then(|one| one.node("arg")).map(|arg| arg.text("sval").to_owned());
    let known = ["format", "delimiter", "null", "header", "quote", "escape", "force_quote", "freeze"];
    if !tree.nodes("options").all(|one| known.contains(&one.text("defname"))) {
        return None;
    }
    let format = match text("format").as_deref() {
        None | Some("text") => CopyFormat::Text,
        Some("csv") => CopyFormat::Csv,
        Some("binary") => CopyFormat::Binary,
        Some(_) => return None,
    };
    let byte = |name: &str, default: u8| match text(name) {
        None => Some(default),
        Some(text) => match text.as_bytes() {
            [one] if one.is_ascii() => Some(*one),
            _ => None,
        },
    };
    let quote = byte("quote", b'"')?;
    let header = match option("header").map(|one| one.get("arg")) {
        None => false,
        Some(None) => true,
        Some(Some(Value::Node(arg))) => match arg.name {
            "Boolean" => arg.flag("boolval"),
            "Integer" => arg.int("ival") != 0,
            _ => matches!(arg.text("sval").to_ascii_lowercase().as_str(), "true" | "on" | "1"),
        },
        Some(Some(_)) => return None,
    };
    let default_null = if format == CopyFormat::Text { "\\N" } else { "" };
    Some(CopyForm {
        format,
        delimiter: byte("delimiter", if format == CopyFormat::Csv { b',' } else { b'\t' })?,
        null: text("null").unwrap_or_else(|| default_null.to_owned()).into_bytes(),
        header,
        quote,
        escape: byte("escape", quote)?,
    })
}
