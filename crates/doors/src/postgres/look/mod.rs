//! What an approver is shown beside the text: rows, owners, sizes; and what tells when a relation is another one.
//!
//! A look is an attack before approval unless it provably is none: rows are counted only by a query that
//! classification itself made of reviewed parts, on a connection that can write nothing, within two seconds. Otherwise the
//! answer is "unknown", with the reason in words. Nothing is guessed, and nothing is left out: what has more triggers, rules
//! and foreign keys than are read can't wait for an approval.

mod effects;
mod reached;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_core::action::RelationVersion;
use countersign_engine::foreseen::Foreseen;
use countersign_engine::{Look, LookRelation, LookType, Parameter, Refused, RefusedCode};
use countersign_wire::postgres::binary::type_name;
use countersign_wire::sql::{Access, Facts, SessionState};

use self::rows::{Counter, Rows};
use super::Shared;
use super::catalogue::Loaded;
use super::classify::{Understood, qualified};
use super::query::{Row, simple};
use super::target::Target;

/// How many relations of one statement are looked at. One that names more can't wait: what they are would be unbound.
pub(crate) const RELATIONS_MAX: usize = 1_000;

/// What an approver is told of data that comes after the yes.
const LATER: &str = "its rows come after the yes, and nobody has seen them: beyond the bound none of them stands, and their digest \
     is recorded with the outcome";
/// What a row is about that is about no relation.
const FUNCTION: &str = "function";
/// Where identifiers of what users make begin (PostgreSQL, `FirstNormalObjectId`).
const FIRST_USER_OID: u32 = 16_384;

/// What was seen of the relations and functions: their versions, and what an approver is shown.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// For the digest.
    pub(crate) versions: Vec<RelationVersion>,
    shown: Vec<LookRelation>,
}

/// What a statement is counted with.
pub(crate) struct Counted<'a> {
    /// What is known of it.
    pub(crate) understood: &'a Understood,
    /// The session it runs in.
    pub(crate) session: &'a Arc<SessionState>,
    /// Its text.
    pub(crate) text: &'a str,
    /// Declared types of its parameters.
    pub(crate) types: &'a [u32],
    /// Its parameters.
    pub(crate) parameters: &'a [Option<Parameter>],
    /// The session's settings that change what is meant.
    pub(crate) settings: &'a BTreeMap<String, String>,
    /// The database's own objects, if they are known.
    pub(crate) loaded: Option<Arc<Loaded>>,
    /// What it gives is counted too.
    pub(crate) gives: bool,
}

impl Counted<'_> {
    /// The types of parameters that are not built in, each once.
    fn user_types(&self) -> Vec<LookType> {
        let shown = self.types.iter().take(self.parameters.len()).copied().collect::<BTreeSet<u32>>();
        let unknown = shown.into_iter().filter(|oid| *oid != 0 && type_name(*oid).is_none());
        let named = unknown.filter_map(|oid| {
            let (name, written_like) = self.loaded.as_ref()?.catalogue.named_type(oid)?;
            Some(LookType { oid, name, written_like })
        });
        named.collect()
    }
}

/// Looks at the relations that a statement names. What cannot be seen is named without identifier and version, which
/// is a version too: seeing it later makes it another one.
pub(crate) async fn relations(target: &Target, shared: &Shared, facts: &Facts) -> Seen {
    let oids: Vec<String> = facts
        .relations
        .iter()
        .filter_map(|relation| relation.oid)
        .take(RELATIONS_MAX)
        .map(|oid| oid.to_string())
        .collect();
    let mut questions = Vec::new();
    if !oids.is_empty() {
        questions.push(relations_query(&oids.join(",")));
    }
    if !facts.functions.is_empty() {
        questions.push(functions_query(&facts.functions));
    }
    let rows = if questions.is_empty() {
        Vec::new()
    } else {
        let question = questions.join("; ");
        target.look(shared, async |link| simple(link, &question).await).await.unwrap_or_else(|error| {
            tracing::debug!(resource = %target.resource, error = %error, "relations were not looked at");
            Vec::new()
        })
    };
    seen(facts, &rows)
}

/// One row for each relation: identifier, name, owner, estimated rows, version. The version covers the definition,
/// columns, constraints, triggers with their functions, rules and row policies.
fn relations_query(oids: &str) -> String {
    format!(
        "SELECT c.oid::text, n.nspname || '.' || c.relname, pg_catalog.pg_get_userbyid(c.relowner), \
         c.reltuples::bigint::text, pg_catalog.hashtextextended(pg_catalog.concat_ws('/', c.xmin::text, \
         (SELECT pg_catalog.string_agg(a.xmin::text || a.attname, ',' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a \
           WHERE a.attrelid = c.oid AND a.attnum > 0), \
         (SELECT pg_catalog.string_agg(k.oid::text || ':' || k.xmin::text, ',' ORDER BY k.oid) \
           FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid), \
         (SELECT pg_catalog.string_agg(t.oid::text || ':' || t.xmin::text || ':' || p.xmin::text, ',' ORDER BY t.oid) \
           FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid WHERE t.tgrelid = c.oid), \
         (SELECT pg_catalog.string_agg(r.oid::text || ':' || r.xmin::text, ',' ORDER BY r.oid) \
           FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid), \
         (SELECT pg_catalog.string_agg(y.oid::text || ':' || y.xmin::text, ',' ORDER BY y.oid) \
           FROM pg_catalog.pg_policy y WHERE y.polrelid = c.oid)), 0)::text \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid IN ({oids})"
    )
}

/// One row, in the form of a relation's, for each name of a function under which users have made any: its version covers
/// all of that name, in every schema, with their bodies.
fn functions_query(names: &BTreeSet<String>) -> String {
    let last = |name: &String| name.rsplit('.').next().unwrap_or_default().to_owned();
    let names: BTreeSet<String> = names.iter().flat_map(|name| [name.clone(), last(name)]).collect();
    // In hexadecimal no name can be anything but a name.
    let hex = |name: &String| name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text = |name| format!("pg_catalog.convert_from(pg_catalog.decode('{}', 'hex'), 'UTF8')", hex(name));
    let names: Vec<String> = names.iter().map(text).collect();
    format!(
        "SELECT '{FUNCTION}', '{FUNCTION} ' || p.proname, NULL, NULL, pg_catalog.hashtextextended( \
         pg_catalog.string_agg(p.oid::text || ':' || p.xmin::text, ',' ORDER BY p.oid), 0)::text \
         FROM pg_catalog.pg_proc p WHERE p.oid >= {FIRST_USER_OID} AND p.proname IN ({}) GROUP BY p.proname",
        names.join(", ")
    )
}

fn seen(facts: &Facts, rows: &[Row]) -> Seen {
    let column = |row: &Row, index: usize| row.get(index).cloned().flatten();
    let by_oid: BTreeMap<u32, &Row> =
        rows.iter().filter_map(|row| Some((column(row, 0)?.parse().ok()?, row))).collect();
    let mut seen = Seen::default();
    for row in rows.iter().filter(|row| column(row, 0).as_deref() == Some(FUNCTION)) {
        seen.versions.push(RelationVersion {
            name: column(row, 1).unwrap_or_default(),
            oid: 0,
            version: column(row, 4).unwrap_or_default(),
        });
    }
    for relation in &facts.relations {
        let row = relation.oid.and_then(|oid| by_oid.get(&oid));
        let written = qualified(relation.schema.as_deref(), &relation.name);
        let name = row.and_then(|row| column(row, 1)).unwrap_or(written);
        if seen.versions.iter().all(|one| one.name != name) {
            seen.versions.push(RelationVersion {
                name: name.clone(),
                oid: row.and(relation.oid).unwrap_or(0),
                version: row.and_then(|row| column(row, 4)).unwrap_or_default(),
            });
        }
        seen.shown.push(LookRelation {
            name,
            owner: row.and_then(|row| column(row, 2)),
            estimate_rows: row.and_then(|row| column(row, 3)).and_then(|rows| rows.parse().ok()),
            access: access(relation.access).to_owned(),
            kinds: reached::kinds(relation),
            columns: reached::columns(facts, relation),
            reached: false,
        });
    }
    seen.shown.extend(reached::others(facts));
    seen
}

const fn access(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
        Access::Ddl => "ddl",
    }
}

/// Everything that an approver is shown.
///
/// # Errors
/// It is more than can be shown.
pub(crate) async fn look(
    target: &Target,
    shared: &Shared,
    counted: &Counted<'_>,
    seen: &Seen,
) -> Result<Look, Refused> {
    let facts = &counted.understood.facts;
    let mut notes = facts.reasons.clone();
    let since = shared.engine.now();
    let effects = effects(target, shared, counted, &mut notes).await?;
    let counter = Counter { target, shared, counted, since };
    let estimate = counter.estimate().await;
    let mut rows = counter.rows().await;
    let diverts = effects.diverts();
    if rows.most.is_some()
        && let Some(why) = diverts.rewriting
    {
        rows = Rows { unknown: Some(why), ..Rows::default() };
    } else if rows.most.is_some_and(|most| most > 0)
        && let Some(why) = diverts.dropping
    {
        rows.least = Some(0);
        notes.push(why);
    }
    let (steps, more) = effects.cascades(facts);
    if more {
        return Err(too_much("foreign keys make more tables follow than can be shown"));
    }
    let gives = counted.gives && facts.row_count.is_none();
    if gives {
        rows = counter.given().await;
    }
    let can_bound_rows = counted.understood.can_bound_rows() || (gives && rows.most.is_some());
    let rows_come_later = counted.understood.rows_come_later();
    if rows_come_later {
        notes.push(LATER.to_owned());
    }
    if !can_bound_rows && facts.row_count.is_some() {
        notes.push("the number of rows can't be bounded: what is approved is whatever it does".to_owned());
    }
    let foreseen = Foreseen {
        branches: rows.branches,
        cascades: counter.follow(steps).await,
        rows_least: rows.least,
        rows_unknown: rows.unknown,
        ..effects.foreseen
    };
    Ok(Look {
        rows: rows.most,
        estimate,
        foreseen,
        notes,
        relations: seen.shown.clone(),
        functions: reached::functions(facts),
        types: counted.user_types(),
        can_bound_rows,
        rows_come_later,
        ..Look::default()
    })
}

/// What else it sets in motion. What can't be read is said to be unknown.
async fn effects(
    target: &Target,
    shared: &Shared,
    counted: &Counted<'_>,
    notes: &mut Vec<String>,
) -> Result<effects::Read, Refused> {
    let facts = &counted.understood.facts;
    let account = counted.session.role.as_deref();
    let unresolved = facts.relations.iter().any(|one| one.access != Access::Read && one.oid.is_none());
    if unresolved {
        notes.push("triggers, rules and foreign keys are not known where a relation is not".to_owned());
    }
    let Some(question) = effects::question(facts, account) else { return Ok(effects::Read::default()) };
    match target.look(shared, async |link| simple(link, &question).await).await {
        Ok(rows) => effects::read(&rows, facts).ok_or_else(|| {
            too_much("its relations have more triggers, rules and foreign keys than can be shown")
        }),
        Err(error) => {
            tracing::debug!(resource = %target.resource, error = %error, "effects were not looked at");
            notes.push("triggers, rules and foreign keys could not be looked at".to_owned());
            Ok(effects::Read::default())
        }
    }
}

fn too_much(what: &str) -> Refused {
    Refused::new(RefusedCode::Invalid, format!("{what}, so it can't wait for an approval"))
        .hint("what is approved is shown in full; do it in smaller parts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_functions_are_never_read_as_sql() {
        let question = functions_query(&BTreeSet::from(["a'); DROP TABLE x; --".to_owned()]));
        assert!(!question.contains("DROP") && question.contains("decode('612729"), "{question}");
    }
}
