//! What an approver is shown beside the text: rows, owners, sizes; and what tells when a relation is another one.
//!
//! A look is an attack before approval unless it provably is none: rows are counted only by a query that
//! classification itself made of reviewed parts, on a connection that can write nothing, within two seconds. Otherwise the
//! answer is "unknown", and the notes say why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use countersign_core::action::RelationVersion;
use countersign_engine::{Look, LookRelation, LookType, Parameter};
use countersign_wire::postgres::Format;
use countersign_wire::postgres::binary::type_name;
use countersign_wire::sql::{Access, Catalogue, CountTarget, Facts, SessionState};

use super::Shared;
use super::classify::{Understood, qualified};
use super::query::{Bound, QueryError, Row, bound, parameter_types, simple};
use super::stream::Link;
use super::target::Target;

/// How many relations of one statement are looked at. One that names more can't wait: what they are would be unbound.
pub(crate) const RELATIONS_MAX: usize = 1_000;

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
    /// The database's own types, if they are known.
    pub(crate) catalogue: Option<&'a Catalogue>,
}

impl Counted<'_> {
    /// The types of parameters that are not built in, each once.
    fn user_types(&self) -> Vec<LookType> {
        let shown = self.types.iter().take(self.parameters.len()).copied().collect::<BTreeSet<u32>>();
        let unknown = shown.into_iter().filter(|oid| *oid != 0 && type_name(*oid).is_none());
        let named = unknown.filter_map(|oid| {
            let (name, written_like) = self.catalogue?.named_type(oid)?;
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
        });
    }
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
pub(crate) async fn look(target: &Target, shared: &Shared, counted: &Counted<'_>, seen: &Seen) -> Look {
    let facts = &counted.understood.facts;
    let mut notes = facts.reasons.clone();
    let rows = match &facts.row_count {
        Some(CountTarget::Exactly(rows)) => Some(*rows),
        Some(CountTarget::Query(question)) => {
            let result = target.look(shared, async |link| count(link, question, counted).await).await;
            result.map_err(|error| notes.push(format!("the rows could not be counted: {error}"))).ok()
        }
        None => None,
    };
    let can_bound_rows = counted.understood.can_bound_rows();
    if !can_bound_rows {
        notes.push("the number of rows can't be bounded: what is approved is whatever it does".to_owned());
    }
    let written = seen.shown.iter().filter(|relation| relation.access != "read");
    Look {
        rows,
        estimate: written.filter_map(|relation| relation.estimate_rows).max(),
        notes,
        relations: seen.shown.clone(),
        types: counted.user_types(),
        can_bound_rows,
    }
}

/// Counts in a transaction of its own, under the search path of the session, which gives the names their meaning.
async fn count(link: &mut Link, question: &str, counted: &Counted<'_>) -> Result<u64, QueryError> {
    simple(link, &begin(counted.session)).await?;
    let values: Vec<Option<&[u8]>> =
        counted.parameters.iter().map(|value| value.as_ref().map(|value| &*value.bytes)).collect();
    let formats: Vec<Format> = counted
        .parameters
        .iter()
        .map(
            |value| {
                if value.as_ref().is_some_and(|value| value.binary) { Format::Binary } else { Format::Text }
            },
        )
        .collect();
    let result = count_bound(link, question, counted, (&formats, &values)).await;
    if result.as_ref().err().is_none_or(QueryError::is_reusable) {
        simple(link, "ROLLBACK").await?;
    }
    let answer = result?.into_iter().next().and_then(|row| row.into_iter().next().flatten());
    answer.and_then(|count| count.parse().ok()).ok_or(QueryError::Gone)
}

/// The count uses the statement's parameters under their numbers, perhaps not all of them, so their types are asked for.
async fn count_bound(
    link: &mut Link,
    text: &str,
    counted: &Counted<'_>,
    (formats, values): (&[Format], &[Option<&[u8]>]),
) -> Result<Vec<Row>, QueryError> {
    let declared = counted.types.len() >= values.len() && counted.types.iter().all(|oid| *oid != 0);
    let asked;
    let types = if declared {
        counted.types
    } else {
        asked = parameter_types(link, counted.text, counted.types).await?;
        &asked
    };
    bound(link, &Bound { text, types, formats, values }).await
}

fn begin(session: &SessionState) -> String {
    let mut text = String::from("BEGIN READ ONLY");
    if let Some(path) = &session.search_path {
        let user = session.role.as_deref().unwrap_or("$user");
        let names: Vec<String> =
            path.iter().map(|name| quoted(if name == "$user" { user } else { name })).collect();
        let list = if names.is_empty() { "''".to_owned() } else { names.join(", ") };
        let _ = write!(text, "; SET LOCAL search_path = {list}");
    }
    text
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_functions_are_never_read_as_sql() {
        let question = functions_query(&BTreeSet::from(["a'); DROP TABLE x; --".to_owned()]));
        assert!(!question.contains("DROP") && question.contains("decode('612729"), "{question}");
    }

    #[test]
    fn a_look_runs_under_the_sessions_search_path() {
        let mut session = SessionState::fresh(150_000, "writer");
        session.search_path = Some(vec!["$user".into(), "a\"; DROP TABLE x; --".into()]);
        assert_eq!(
            begin(&session),
            "BEGIN READ ONLY; SET LOCAL search_path = \"writer\", \"a\"\"; DROP TABLE x; --\""
        );
        session.search_path = None;
        assert_eq!(begin(&session), "BEGIN READ ONLY");
    }
}
