//! What a statement does to which relations, where it is certain that it does nothing else.
//!
//! An approver who gives an envelope approves bounds, not a text: whatever comes is inside only if all that it does is
//! proved to be among what was shown. So this says something only of one single write to one ordinary table whose
//! rows the server counts, in which everything it runs is reviewed (no trigger, rule, function or default that is not),
//! and in which every relation is known by identifier and version. Of everything else it says why not, and an
//! envelope never covers that.

use std::collections::BTreeSet;

use countersign_wire::sql::{Access, CopyTarget, Kind, Relation, RelationKind};

use super::classify::Understood;
use super::look::Seen;

/// What changes rows, as the grammar names it.
const WRITES: [&str; 5] = ["insert", "update", "delete", "merge", "copy_in"];

/// Each thing that it does to a relation in one text: `delete public.orders 16385 -8723`.
///
/// # Errors
/// Why that is not certain, so that no envelope can be given for it.
pub(crate) fn touches(understood: &Understood, seen: &Seen) -> Result<Vec<String>, &'static str> {
    let facts = &understood.facts;
    let doubtful = facts.taints_session
        || facts.select_into
        || facts.role_change
        || facts.locks_rows
        || facts.creates_temporary
        || !facts.settings.is_empty()
        || facts.copies.iter().any(|copy| *copy != CopyTarget::FromClient)
        || !facts.cursors.is_empty()
        || !facts.transaction.is_empty();
    let mut written = facts.relations.iter().filter(|relation| relation.access != Access::Read);
    let target = match (written.next(), written.next()) {
        (Some(target), None) => target,
        (None, _) => return Err("it names no relation that it writes"),
        (Some(_), Some(_)) => {
            return Err(
                "more than one relation is written, by itself or because foreign keys make others follow",
            );
        }
    };
    match target.kind {
        Some(RelationKind::Table) if target.access == Access::Write => {}
        Some(RelationKind::PartitionedTable) => {
            return Err(
                "it writes a partitioned table, whose partitions have triggers and versions of their own",
            );
        }
        Some(RelationKind::View) => return Err("it writes a view, and what that leads to may change"),
        Some(_) => return Err("it writes something other than the rows of an ordinary table"),
        None => return Err("what it writes is not known"),
    }
    if !understood.can_bound_rows() {
        return Err("the server does not count the rows that it writes");
    }
    if doubtful || facts.kinds != BTreeSet::from([Kind::Write]) {
        return Err(
            "it does more than write rows, or runs what is not reviewed: triggers, rules, functions, defaults",
        );
    }
    let reads = facts.relations.iter().filter(|relation| relation.access == Access::Read);
    let reads = reads.map(|relation| known(relation, seen).map(|name| format!("read {name}")));
    let verbs = WRITES.iter().filter(|verb| facts.has_verb(verb));
    let writes = verbs.map(|verb| known(target, seen).map(|name| format!("{verb} {name}")));
    let parts: Option<BTreeSet<String>> = writes.chain(reads).collect();
    let parts = parts.ok_or("the version of a relation that it names is not known")?;
    Ok(parts.into_iter().collect())
}

/// A relation by name, identifier and version, if all of them are known.
fn known(relation: &Relation, seen: &Seen) -> Option<String> {
    let oid = relation.oid?;
    let found = seen.versions.iter().find(|one| one.oid == oid)?;
    (!found.version.is_empty()).then(|| format!("{} {oid} {}", found.name, found.version))
}
