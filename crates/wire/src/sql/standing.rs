//! Where a relation or a type leads: to data alone, or to somebody's code.
//!
//! Reading a table can run functions that no statement names: planning folds the expressions of its indexes,
//! statistics, constraints and partition keys; policies are added; virtual columns are expanded; children and
//! partitions come along; a view is its definition. The server records which of those depend on functions of users
//! (`Section::Reaches`), and this follows the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::access::{Mentions, Name};
use super::catalogue::{Catalogue, Definition, FIRST_USER_OID, Reading, RelationRow};
use super::columns::uses;
use super::facts::{Access, RelationKind};
use super::mentions::Walk;
use super::tree::tree_of;
use super::{TEXT_BYTES_MAX, nodes};

/// How deep views may stand on views before one counts as leading anywhere.
pub(super) const VIEW_DEPTH_MAX: u32 = 32;

/// Built-in relations that hold values of any column's type, and so may run any type's output function.
const ANY_TYPE: &[&str] = &["pg_statistic", "pg_statistic_ext_data"];

/// Where a relation leads.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// Why reading it is more than reading data, if it is.
    pub(super) blocked: Option<String>,
    /// Why writing it may run more than the write, if it may.
    pub(super) blocked_for_writing: Option<String>,
    /// Types of users whose values a read may meet.
    pub(super) touched: BTreeSet<u32>,
    /// Of a view: the relations it is made of.
    pub(super) bases: BTreeSet<u32>,
}

/// Parses the definitions that a catalogue holds, as far as they are not `known`.
pub(super) fn read_definitions(catalogue: &mut Catalogue, known: &BTreeMap<String, Reading>) {
    let views = catalogue.views.values().cloned();
    let checks = catalogue.domain_checks.values().flatten().map(|check| selected(check));
    let texts: BTreeSet<String> = views.chain(checks).collect();
    let read = |text: &str| Arc::new(definition_of(text));
    catalogue.readings = texts
        .into_iter()
        .map(|text| {
            let reading = known.get(&text).map_or_else(|| read(&text), Arc::clone);
            (text, reading)
        })
        .collect();
}

/// An expression as a query of its own.
fn selected(expression: &str) -> String {
    format!("SELECT {expression}")
}

/// What a definition mentions, as it was read.
fn reading<'a>(catalogue: &'a Catalogue, text: &str) -> Result<&'a Mentions, String> {
    match catalogue.readings.get(text).map(|reading| &**reading) {
        Some(Ok(definition)) => Ok(&definition.mentions),
        Some(Err(why)) => Err(why.clone()),
        None => Err("was not read".to_owned()),
    }
}

/// Fills in what each type and relation of a catalogue leads to.
pub(super) fn work_out(catalogue: &mut Catalogue) {
    let mut blocked_types = BTreeMap::new();
    for oid in catalogue.types.keys().copied() {
        if let Some(why) = type_block(catalogue, oid, &mut BTreeSet::new()) {
            blocked_types.insert(oid, why);
        }
    }
    catalogue.blocked_types = blocked_types;
    let mut standings = BTreeMap::new();
    for oid in catalogue.relations.keys().copied() {
        settle(catalogue, oid, &mut standings, 0);
    }
    let tied: Vec<(u32, String)> =
        standings.keys().filter_map(|oid| Some((*oid, tied_to_code(catalogue, &standings, *oid)?))).collect();
    for (oid, why) in tied {
        if let Some(standing) = standings.get_mut(&oid) {
            standing.blocked_for_writing.get_or_insert(why);
        }
    }
    catalogue.standings = standings;
}

/// What a write to a table may run by way of foreign keys: those that cascade write other tables, and all of them
/// look rows up at the other end, which plans a query there.
fn tied_to_code(catalogue: &Catalogue, standings: &BTreeMap<u32, Standing>, oid: u32) -> Option<String> {
    let mut written = BTreeSet::from([oid]);
    let mut waiting = vec![oid];
    while let Some(from) = waiting.pop() {
        let referring = catalogue.cascades.get(&from).into_iter().flatten();
        for key in referring {
            let follows = key.on_delete || key.on_update;
            let standing = standings.get(&key.to);
            let blocked = match follows {
                true => standing.and_then(|s| s.blocked_for_writing.as_ref()),
                false => standing.and_then(|s| s.blocked.as_ref()),
            };
            if let Some(why) = blocked {
                return Some(format!("a foreign key leads on: {why}"));
            }
            if follows && written.insert(key.to) {
                waiting.push(key.to);
            }
        }
        for referred in catalogue.references.get(&from).into_iter().flatten() {
            if let Some(why) = standings.get(referred).and_then(|s| s.blocked.as_ref()) {
                return Some(format!("a foreign key leads on: {why}"));
            }
        }
    }
    None
}

/// Every type of a user that a value of the type is made of, itself included.
pub(super) fn types_within(catalogue: &Catalogue, oid: u32, into: &mut BTreeSet<u32>) {
    if oid < FIRST_USER_OID || !into.insert(oid) {
        return;
    }
    if let Some(row) = catalogue.types.get(&oid) {
        types_within(catalogue, row.inner, into);
        for column in catalogue.columns.get(&row.relation).into_iter().flatten() {
            types_within(catalogue, *column, into);
        }
    }
}

/// Why values of a type may not be met in a proof, if so.
fn type_block(catalogue: &Catalogue, oid: u32, seen: &mut BTreeSet<u32>) -> Option<String> {
    let Some(row) = catalogue.types.get(&oid) else {
        return Some("a type that is not in the catalogue".to_owned());
    };
    let name = format!("{}.{}", row.schema, row.name);
    if oid < FIRST_USER_OID {
        return (row.class == 'p').then(|| format!("the pseudo-type `{name}`"));
    }
    if !seen.insert(oid) {
        return None;
    }
    match row.class {
        'e' => None,
        'b' if row.array => type_block(catalogue, row.inner, seen),
        'd' => domain_block(catalogue, oid, &name).or_else(|| type_block(catalogue, row.inner, seen)),
        'c' => {
            let columns = catalogue.columns.get(&row.relation).into_iter().flatten();
            columns.into_iter().find_map(|column| type_block(catalogue, *column, seen))
        }
        'r' | 'm' => Some(format!("the range type `{name}`, which may have functions of its own")),
        _ => Some(format!("the type `{name}`, whose input and output are not built in")),
    }
}

fn domain_block(catalogue: &Catalogue, oid: u32, name: &str) -> Option<String> {
    if let Some(code) = catalogue.reaches.get(&oid).and_then(|r| r.checking.as_ref()) {
        return Some(format!("the domain `{name}`, whose checks use {code}"));
    }
    let checks = catalogue.domain_checks.get(&oid).into_iter().flatten();
    for check in checks {
        let outcome = reading(catalogue, &selected(check)).and_then(|m| bound_names(catalogue, m));
        if let Err(why) = outcome {
            return Some(format!("the domain `{name}`, whose check {why}"));
        }
    }
    None
}

/// Works out one relation and what it stands on.
fn settle(catalogue: &Catalogue, oid: u32, done: &mut BTreeMap<u32, Standing>, depth: u32) -> Standing {
    if let Some(known) = done.get(&oid) {
        return known.clone();
    }
    let Some(row) = catalogue.relations.get(&oid) else {
        let why = "a relation that is not in the catalogue".to_owned();
        return Standing {
            blocked: Some(why.clone()),
            blocked_for_writing: Some(why),
            ..Standing::default()
        };
    };
    if depth > VIEW_DEPTH_MAX {
        let why = format!("`{}.{}` stands on too many levels of views", row.schema, row.name);
        return Standing {
            blocked: Some(why.clone()),
            blocked_for_writing: Some(why),
            ..Standing::default()
        };
    }
    let mut standing = Standing {
        blocked: read_block(catalogue, oid, row),
        blocked_for_writing: write_block(catalogue, oid, row),
        ..Standing::default()
    };
    types_within(catalogue, row.row_type, &mut standing.touched);
    for column in catalogue.columns.get(&oid).into_iter().flatten() {
        types_within(catalogue, *column, &mut standing.touched);
    }
    if row.kind == RelationKind::View {
        expand_view(catalogue, oid, &mut standing, done, depth);
    }
    for child in catalogue.children.get(&oid).into_iter().flatten() {
        let child = settle(catalogue, *child, done, depth + 1);
        standing.blocked = standing.blocked.or(child.blocked);
        standing.blocked_for_writing = standing.blocked_for_writing.or(child.blocked_for_writing);
        standing.touched.extend(child.touched);
    }
    done.insert(oid, standing.clone());
    standing
}

fn read_block(catalogue: &Catalogue, oid: u32, row: &RelationRow) -> Option<String> {
    let name = format!("{}.{}", row.schema, row.name);
    match row.kind {
        RelationKind::ForeignTable => return Some(format!("`{name}` is a foreign table")),
        RelationKind::Other => return Some(format!("`{name}` is no table or view")),
        _ => {}
    }
    if row.policies {
        return Some(format!("`{name}` has row level security policies, which may call functions"));
    }
    if row.foreign_method {
        return Some(format!("`{name}` is stored by an access method that is not built in"));
    }
    if let Some(code) = catalogue.reaches.get(&oid).and_then(|r| r.reading.as_ref()) {
        return Some(format!("reading `{name}` may run {code}"));
    }
    if oid < FIRST_USER_OID && ANY_TYPE.contains(&row.name.as_str()) {
        return Some(format!("`{name}` holds values of any type"));
    }
    let columns = catalogue.columns.get(&oid).into_iter().flatten();
    columns
        .filter_map(|column| blocked_type(catalogue, *column))
        .next()
        .map(|what| format!("`{name}` has columns of {what}"))
}

fn write_block(catalogue: &Catalogue, oid: u32, row: &RelationRow) -> Option<String> {
    let name = format!("{}.{}", row.schema, row.name);
    match row.kind {
        RelationKind::Table | RelationKind::PartitionedTable => {}
        RelationKind::View => {
            return Some(format!("`{name}` is a view; writing it writes what it stands on"));
        }
        RelationKind::ForeignTable => return Some(format!("`{name}` is a foreign table")),
        _ => return Some(format!("`{name}` is no table")),
    }
    if row.triggers {
        return Some(format!("`{name}` has triggers, which may do anything"));
    }
    if row.rules {
        return Some(format!("`{name}` has rules, which rewrite statements"));
    }
    if row.policies {
        return Some(format!("`{name}` has row level security policies, which may call functions"));
    }
    let reaches = catalogue.reaches.get(&oid);
    if let Some(code) = reaches.and_then(|r| r.writing.as_ref().or(r.reading.as_ref())) {
        return Some(format!("writing `{name}` may run {code}"));
    }
    let columns = catalogue.columns.get(&oid).into_iter().flatten();
    columns
        .filter_map(|column| blocked_type(catalogue, *column))
        .next()
        .map(|what| format!("`{name}` has columns of {what}"))
}

fn blocked_type(catalogue: &Catalogue, oid: u32) -> Option<&str> {
    match catalogue.types.contains_key(&oid) {
        true => catalogue.blocked_types.get(&oid).map(String::as_str),
        false => Some("a type that is not in the catalogue"),
    }
}

fn expand_view(
    catalogue: &Catalogue,
    oid: u32,
    standing: &mut Standing,
    done: &mut BTreeMap<u32, Standing>,
    depth: u32,
) {
    let name = catalogue.relations.get(&oid).map(|r| format!("{}.{}", r.schema, r.name)).unwrap_or_default();
    let block = |standing: &mut Standing, why: &str| {
        standing.blocked.get_or_insert_with(|| format!("the view `{name}` {why}"));
    };
    let definition = catalogue.views.get(&oid).map(String::as_str);
    let mentions = match definition
        .ok_or_else(|| "has no readable definition".to_owned())
        .and_then(|d| reading(catalogue, d))
    {
        Ok(mentions) => mentions,
        Err(why) => return block(standing, &why),
    };
    if let Err(why) = bound_names(catalogue, mentions) {
        block(standing, &why);
    }
    for (relation, access) in &mentions.relations {
        let schema = relation.schema.as_deref().unwrap_or("pg_catalog");
        let Some(inner) = catalogue.relation(schema, &relation.name) else {
            block(standing, &format!("reads `{relation}`, which is not in the catalogue"));
            continue;
        };
        if *access != Access::Read || inner == oid {
            block(standing, "does not only read");
            continue;
        }
        standing.bases.insert(inner);
        let inner = settle(catalogue, inner, done, depth + 1);
        if let Some(why) = &inner.blocked {
            block(standing, &format!("reads more than data: {why}"));
        }
        standing.touched.extend(inner.touched);
        standing.bases.extend(inner.bases);
    }
}

/// What a definition that the server deparsed says.
fn definition_of(definition: &str) -> Result<Definition, String> {
    if definition.len() > TEXT_BYTES_MAX {
        return Err("is longer than is looked at".to_owned());
    }
    let parsed = pg_query::parse(definition, 0).map_err(|e| format!("does not parse: {e}"))?;
    let (Some(statement), 1) = (parsed.protobuf.stmts.first(), parsed.protobuf.stmts.len()) else {
        return Err("is not one statement".to_owned());
    };
    let node = statement.stmt.as_ref().ok_or("is empty")?;
    let tree = tree_of(node.as_ref()).map_err(|e| e.to_string())?;
    let mut walk = Walk::new(Access::Read);
    walk.visit(&tree);
    let found = walk.found;
    if tree.name != "SelectStmt" || !found.verbs.is_empty() || found.locks_rows || found.select_into {
        return Err("does not only read".to_owned());
    }
    Ok(Definition { mentions: found.mentions, uses: uses(&tree) })
}

/// Whether the names of a definition are all reviewed built-ins. A stored definition is bound to OIDs, and the
/// server writes every name of another schema with that schema, so nothing can stand in for a plain name here;
/// what of users it is bound to, the server has told separately.
fn bound_names(catalogue: &Catalogue, mentions: &Mentions) -> Result<(), String> {
    let major = catalogue.server_version_num / 10_000;
    if let Some(node) = mentions.foreign_nodes.first() {
        return Err(format!("has a part that is not understood ({node})"));
    }
    if let Some((_, node)) = mentions.younger_nodes.iter().find(|(since, _)| *since > major) {
        return Err(format!("has a part that its server does not know ({node})"));
    }
    for function in &mentions.functions {
        if !catalogue.builtin_function(&function.name) {
            return Err(format!("calls `{}`, which is not a reviewed built-in function", function.name));
        }
    }
    for operator in &mentions.operators {
        if !catalogue.builtin_operator(&operator.name) {
            return Err(format!("uses the operator `{}`, which is not a reviewed built-in", operator.name));
        }
    }
    for sample in &mentions.samples {
        if !nodes::is_builtin_sample(&sample.name) {
            return Err(format!("samples with `{sample}`"));
        }
    }
    for name in &mentions.types {
        let schema = name.schema.as_deref().unwrap_or("pg_catalog");
        match catalogue.type_named(schema, &name.name) {
            Some(oid) => {
                if let Some(what) = blocked_type(catalogue, oid) {
                    return Err(format!("names {what}"));
                }
            }
            None => return Err(format!("names the type `{name}`, which is not in the catalogue")),
        }
    }
    Ok(())
}

impl Catalogue {
    /// The relation of a schema and name.
    pub(super) fn relation(&self, schema: &str, name: &str) -> Option<u32> {
        let with_name = self.relations_by_name.get(name)?;
        with_name.iter().copied().find(|oid| self.relations.get(oid).is_some_and(|r| r.schema == schema))
    }

    /// The type of a schema and name.
    pub(super) fn type_named(&self, schema: &str, name: &str) -> Option<u32> {
        let with_name = self.types_by_name.get(name)?;
        with_name.iter().copied().find(|oid| self.types.get(oid).is_some_and(|t| t.schema == schema))
    }

    /// Whether a name means reviewed built-in functions only, as far as built-ins go.
    pub(super) fn builtin_function(&self, name: &Name) -> bool {
        if name.catalog.is_some() {
            return false;
        }
        match name.schema.as_deref() {
            None | Some("pg_catalog") => self.builtin_functions.get(&name.name) == Some(&true),
            Some("information_schema") => self.information_functions.get(&name.name) == Some(&true),
            Some(_) => false,
        }
    }

    /// The same for an operator.
    pub(super) fn builtin_operator(&self, name: &Name) -> bool {
        name.catalog.is_none()
            && matches!(name.schema.as_deref(), None | Some("pg_catalog"))
            && self.builtin_operators.get(&name.name) == Some(&true)
    }
}
