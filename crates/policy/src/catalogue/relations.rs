//! What `resources.toml` says of the relations and columns inside a resource.
//!
//! Names are those that the database keeps. Whether there is such a relation only the database knows:
//! `countersign check --live` asks it.

use std::collections::BTreeMap;

use countersign_core::catalogue::{Column, Impact, MaskStyle, Relation, RelationName};

use crate::diagnostic::Problems;
use crate::text::{Kind, Read, Shape, Table, optional};

/// The words for impact levels.
pub(super) const IMPACTS: &[&str] = &["low", "moderate", "high"];

pub(super) const RELATION: Shape = Shape {
    doc: "A table, view or other relation inside a resource.",
    fields: &[
        optional("title", Kind::Text, "one line for people who approve"),
        optional("owner", Kind::Place, "who answers for it; the owner of the resource if absent"),
        optional("impact", Kind::Word(IMPACTS), "how bad it would be; as the resource says if absent"),
        optional("labels", Kind::List(&Kind::Name), "what kind of data it holds: personal, payment, secret"),
        optional(
            "columns",
            Kind::Map(false, &Kind::Table(&COLUMN)),
            "what is said of single columns, by name as the database keeps it",
        ),
    ],
};

const COLUMN: Shape = Shape {
    doc: "A column of a relation.",
    fields: &[
        optional("labels", Kind::List(&Kind::Name), "what kind of data it holds"),
        optional(
            "mask",
            Kind::Word(MaskStyle::WORDS),
            "how its values are shown to those who may not see them: nothing (full), an end (partial), a keyed hash \
             (hash), or another value of the same form (format)",
        ),
    ],
};

/// What a resource says of its relations.
pub(super) fn relations(
    file: &Read<'_>,
    resource: &str,
    table: &Table,
    problems: &mut Problems,
) -> BTreeMap<RelationName, Relation> {
    let mut relations = BTreeMap::new();
    for (written, said) in table.tables("relation") {
        let path = format!("resource.{resource}.relation.{written}");
        let place = file.place(&path);
        let name: RelationName = match written.parse() {
            Ok(name) => name,
            Err(error) => {
                let message = format!("`{written}` names no relation: {error}");
                problems.error(file.within, place, message, None);
                continue;
            }
        };
        if said.text("owner") == "owner" {
            let hint =
                "name a user or a group, or leave `owner` out: then the owner of the resource answers for it";
            let at = file.place(&format!("{path}.owner"));
            problems.error(file.within, at, "a relation cannot own itself".into(), Some(hint.into()));
        }
        folded(file, (&path, written), &name, problems);
        for column in said.tables("columns").map(|(column, _)| column) {
            if column.is_empty() || column.contains('\0') {
                let at = file.place(&format!("{path}.columns.{column}"));
                problems.error(file.within, at, "this names no column".into(), None);
            }
        }
        if relations.insert(name.clone(), relation(said)).is_some() {
            let hint = "one of them writes it in quotes; leave one out";
            problems.error(file.within, place, format!("`{name}` is there twice"), Some(hint.into()));
        }
    }
    relations
}

/// A name with large letters that stands without quotes is most likely one that the database keeps in small ones.
fn folded(file: &Read<'_>, (path, written): (&str, &str), name: &RelationName, problems: &mut Problems) {
    let small = RelationName { schema: name.schema.to_lowercase(), name: name.name.to_lowercase() };
    if small != *name && !written.contains('"') {
        let message = format!("`{name}` is a relation only if it was made with its name in quotes");
        let hint = format!("write `{small}`, or each part in quotes if the database keeps it so");
        problems.warning(file.within, file.place(path), message, Some(hint));
    }
}

fn relation(said: &Table) -> Relation {
    Relation {
        title: said.maybe_text("title").map(str::to_owned),
        owner: said.maybe_text("owner").and_then(|place| place.parse().ok()),
        impact: impact(said),
        labels: said.texts("labels").map(str::to_owned).collect(),
        columns: said.tables("columns").map(|(name, said)| (name.to_owned(), column(said))).collect(),
    }
}

fn column(said: &Table) -> Column {
    Column {
        labels: said.texts("labels").map(str::to_owned).collect(),
        mask: said.maybe_text("mask").and_then(MaskStyle::named),
    }
}

/// The impact level that a table names.
pub(super) fn impact(table: &Table) -> Option<Impact> {
    match table.text("impact") {
        "low" => Some(Impact::Low),
        "moderate" => Some(Impact::Moderate),
        "high" => Some(Impact::High),
        _ => None,
    }
}
