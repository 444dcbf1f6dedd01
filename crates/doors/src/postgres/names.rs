//! Whether the relations and columns that a bundle names are there.
//!
//! A name that is misspelt protects nothing and says so nowhere else: whatever it was meant for counts as its resource. Asked
//! under the look account, of the server's own catalogues, when a bundle comes into force and when somebody asks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use countersign_core::catalogue::{RelationName, Resource};
use countersign_engine::accounts::RelationFinding;

use super::Shared;
use super::query::{Row, simple};
use super::target::{Target, cause};

/// How many relations are asked for at a time.
const RELATIONS_MAX: usize = 500;

/// Everything that is named and not there, by resource; only what somebody should look at.
pub(super) async fn missing(shared: &Arc<Shared>) -> Vec<RelationFinding> {
    let snapshot = shared.engine.snapshot();
    let mut found = Vec::new();
    for (name, resource) in &snapshot.book.catalogue.resources {
        if resource.kind != "postgres" || resource.relations.is_empty() {
            continue;
        }
        let missing = match Target::new(name.clone(), resource) {
            Ok(target) => look(shared, &target, resource).await,
            Err(error) => Err(error.to_string()),
        };
        if missing.as_ref().is_ok_and(Vec::is_empty) {
            continue;
        }
        match &missing {
            Ok(missing) => {
                tracing::warn!(resource = %name, missing = missing.join("; "), "names lead nowhere")
            }
            Err(why) => tracing::warn!(resource = %name, why, "names could not be looked up"),
        }
        found.push(RelationFinding { resource: name.clone(), missing });
    }
    found
}

async fn look(shared: &Shared, target: &Target, resource: &Resource) -> Result<Vec<String>, String> {
    let names: Vec<&RelationName> = resource.relations.keys().collect();
    let mut there = BTreeMap::new();
    for some in names.chunks(RELATIONS_MAX) {
        let question = question(some);
        let asked = target.look(shared, async |link| simple(link, &question).await).await;
        let rows = asked.map_err(|error| match cause(&error) {
            cause if cause.is_empty() => error.to_string(),
            cause => format!("{error}: {cause}"),
        })?;
        there.extend(read(&rows));
    }
    Ok(compare(resource, &there))
}

/// Columns by relation; a relation that is not there is none of them.
type There = BTreeMap<RelationName, BTreeSet<String>>;

fn question(names: &[&RelationName]) -> String {
    // In hexadecimal no name can be anything but a name.
    let text = |text: &str| {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("pg_catalog.convert_from(pg_catalog.decode('{hex}', 'hex'), 'UTF8')")
    };
    let mut list = String::new();
    for name in names {
        let comma = if list.is_empty() { "" } else { ", " };
        let _ = write!(list, "{comma}({}, {})", text(&name.schema), text(&name.name));
    }
    format!(
        "SELECT n.nspname::text, c.relname::text, a.attname::text FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND (n.nspname::text, c.relname::text) IN ({list})"
    )
}

fn read(rows: &[Row]) -> There {
    let mut there = There::new();
    for row in rows {
        if let [Some(schema), Some(name), column] = row.as_slice() {
            let name = RelationName { schema: schema.clone(), name: name.clone() };
            there.entry(name).or_default().extend(column.clone());
        }
    }
    there
}

fn compare(resource: &Resource, there: &There) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, said) in &resource.relations {
        match there.get(name) {
            None => missing.push(format!("there is no relation `{name}`")),
            Some(columns) => {
                let lost = said.columns.keys().filter(|column| !columns.contains(*column));
                missing.extend(lost.map(|column| format!("`{name}` has no column `{column}`")));
            }
        }
    }
    missing
}
