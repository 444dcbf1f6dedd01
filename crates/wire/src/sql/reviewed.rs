//! The reviewed list: built-in functions that have no side effect, by OID.
//!
//! The list is data (`data/reviewed-pg15.txt`, whose head says how it was made and what is left out and why). A
//! live server is compared with it: only a function whose OID, schema, name, language and source are the same
//! counts, so a server of another major version gets exactly the part that is common, and a function that somebody
//! replaced in place does not pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

const PG15: &str = include_str!("../../data/reviewed-pg15.txt");

/// A built-in function as a server or the list has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Builtin<'a> {
    /// `pg_proc.oid`.
    pub oid: u32,
    /// The schema.
    pub schema: &'a str,
    /// The name.
    pub name: &'a str,
    /// The language.
    pub language: &'a str,
    /// `pg_proc.prosrc` with blanks for tabs, line ends and backslashes.
    pub source: &'a str,
}

/// The functions that were reviewed.
#[derive(Debug)]
pub struct Reviewed {
    by_oid: BTreeMap<u32, Builtin<'static>>,
    information_schema: BTreeSet<(&'static str, &'static str, &'static str)>,
}

/// The list as compiled in.
pub fn list() -> &'static Reviewed {
    static LIST: OnceLock<Reviewed> = OnceLock::new();
    LIST.get_or_init(|| Reviewed::of(PG15))
}

impl Reviewed {
    fn of(text: &'static str) -> Reviewed {
        let mut reviewed = Reviewed { by_oid: BTreeMap::new(), information_schema: BTreeSet::new() };
        for entry in text.lines().filter(|line| !line.starts_with('#')).filter_map(Builtin::of_line) {
            if entry.schema == "information_schema" {
                reviewed.information_schema.insert((entry.name, entry.language, entry.source));
            } else {
                reviewed.by_oid.insert(entry.oid, entry);
            }
        }
        reviewed
    }

    /// Whether a live server's built-in function is a reviewed one.
    pub fn has(&self, live: &Builtin<'_>) -> bool {
        if live.schema == "information_schema" {
            // Their OIDs are given out when the cluster is made.
            return self.information_schema.contains(&(live.name, live.language, live.source));
        }
        self.by_oid.get(&live.oid).is_some_and(|known| known == live)
    }

    /// How many functions the list holds.
    pub fn len(&self) -> usize {
        self.by_oid.len() + self.information_schema.len()
    }

    /// Whether the list is empty (it never is).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The functions with fixed OIDs, in order of OID.
    pub fn iter(&self) -> impl Iterator<Item = &Builtin<'static>> {
        self.by_oid.values()
    }
}

impl<'a> Builtin<'a> {
    /// A line of the list: OID, schema, name, language and source, separated by tabs.
    fn of_line(line: &'a str) -> Option<Builtin<'a>> {
        let mut parts = line.splitn(5, '\t');
        let (oid, schema, name, language) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        Some(Builtin {
            oid: oid.parse().ok()?,
            schema,
            name,
            language,
            source: parts.next().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_list_is_read() {
        let lines = PG15.lines().filter(|l| !l.starts_with('#')).count();
        assert_eq!(list().len(), lines);
        assert!(lines > 2_000, "the list has {lines} lines");
    }

    #[test]
    fn nothing_known_to_have_effects_is_on_the_list() {
        // Spot checks from every group of exclusions; the list's head names them all.
        let effects = [
            "nextval",
            "setval",
            "set_config",
            "pg_notify",
            "pg_sleep",
            "pg_advisory_lock",
            "pg_terminate_backend",
            "pg_reload_conf",
            "pg_read_file",
            "pg_ls_dir",
            "lo_import",
            "lo_export",
            "lo_unlink",
            "query_to_xml",
            "table_to_xml",
            "cursor_to_xml",
            "database_to_xml",
            "ts_stat",
            "ts_rewrite",
            "pg_logical_emit_message",
            "pg_create_physical_replication_slot",
            "pg_drop_replication_slot",
            "pg_export_snapshot",
            "pg_current_xact_id",
            "txid_current",
            "pg_stat_reset",
            "pg_import_system_collations",
            "gin_clean_pending_list",
            "domain_in",
            "record_in",
            "array_in",
            "pg_promote",
            "pg_switch_wal",
            "pg_backup_start",
            "pg_replication_origin_create",
            "setseed",
            "pg_rotate_logfile",
            "pg_get_partition_constraintdef",
            "pg_try_advisory_lock",
            "lo_put",
            "lowrite",
            "pg_sleep_for",
        ];
        let names: BTreeSet<&str> = list().iter().map(|b| b.name).collect();
        for effect in effects {
            assert!(!names.contains(effect), "`{effect}` is on the list");
        }
        for harmless in ["lower", "count", "now", "sum", "to_char", "jsonb_agg", "pg_get_viewdef"] {
            assert!(names.contains(harmless), "`{harmless}` is missing");
        }
    }

    #[test]
    fn a_function_replaced_in_place_does_not_count() {
        let known = list().iter().find(|b| b.name == "lower" && b.oid == 870).unwrap().clone();
        assert!(list().has(&known));
        assert!(!list().has(&Builtin { source: "evil", ..known.clone() }));
        assert!(!list().has(&Builtin { language: "sql", ..known.clone() }));
        assert!(!list().has(&Builtin { oid: 871, ..known }));
    }
}
