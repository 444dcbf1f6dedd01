//! What an approver is shown of the columns and functions that a statement reaches, and of relations that it does not name.
//!
//! All of it comes from the judgement: nothing is asked of the server here. What could not be resolved is told by the
//! reasons of the judgement, among the notes.

use std::collections::BTreeMap;

use countersign_engine::{LookFunction, LookRelation};
use countersign_wire::sql::{Access, Called, Facts, PartOf, Relation, RelationKind};

use super::access;

/// What a relation is, in words.
pub(super) fn kinds(relation: &Relation) -> Vec<String> {
    let kind = relation.kind.map(RelationKind::as_str);
    let words = [relation.part_of.map(PartOf::as_str), kind];
    words.into_iter().flatten().map(str::to_owned).collect()
}

/// The columns of a relation that are used as the relation is. What changes its definition changes all of them.
pub(super) fn columns(facts: &Facts, relation: &Relation) -> Vec<String> {
    let schema = relation.schema.as_deref();
    let used = facts.columns.iter().filter(|column| {
        let same = schema == Some(&*column.schema) && column.relation == relation.name;
        same && relation.oid.is_some() && column.access == relation.access
    });
    used.map(|column| column.column.clone()).collect()
}

/// The relations whose columns are used otherwise than the text says of them, or that it does not name.
pub(super) fn others(facts: &Facts) -> Vec<LookRelation> {
    let mut others: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for column in &facts.columns {
        let same =
            |one: &&Relation| one.schema.as_deref() == Some(&*column.schema) && one.name == column.relation;
        let named: Vec<Access> = facts.relations.iter().filter(same).map(|one| one.access).collect();
        // Another definition of it says already that any of its columns may be another one.
        let shown = named.contains(&column.access) || named.contains(&Access::Ddl);
        if !shown {
            let relation = (&column.schema, &column.relation, column.access, named.is_empty());
            others.entry(relation).or_default().push(column.column.clone());
        }
    }
    let shown = others.into_iter().map(|((schema, name, done, reached), columns)| LookRelation {
        name: format!("{schema}.{name}"),
        owner: None,
        estimate_rows: None,
        access: access(done).to_owned(),
        kinds: Vec::new(),
        columns,
        reached,
    });
    shown.collect()
}

/// The functions that are called by name.
pub(super) fn functions(facts: &Facts) -> Vec<LookFunction> {
    let function = |called: &Called| LookFunction {
        name: called.name.clone(),
        volatile: called.volatile,
        definer: called.definer,
    };
    facts.calls.iter().map(function).collect()
}
