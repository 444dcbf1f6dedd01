//! The reviewed list: built-in functions that have no side effect, by server version and OID.
//!
//! The list is data: `data/reviewed.txt` holds what counts as reviewed in versions 13 to 18, `data/withheld.txt` what
//! does not, in groups with the reason for each; together they name every function that a new cluster brings. A live
//! server is compared with it: only a function whose OID, schema, name, language and source are those of its version
//! counts, so a function that somebody replaced in place does not pass, and of a version that nobody has reviewed
//! nothing does.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

const REVIEWED: &str = include_str!("../../data/reviewed.txt");

/// A built-in function as a server or the list has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Builtin<'a> {
    /// `pg_proc.oid`. Those of the information schema are given out when a cluster is made and say nothing.
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

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    majors: Vec<RangeInclusive<u32>>,
    function: Builtin<'static>,
}

/// The functions that were reviewed.
#[derive(Debug)]
pub struct Reviewed {
    entries: BTreeMap<(u32, &'static str), Vec<Entry>>,
}

/// The list as compiled in.
pub fn list() -> &'static Reviewed {
    static LIST: OnceLock<Reviewed> = OnceLock::new();
    LIST.get_or_init(|| Reviewed::of(REVIEWED))
}

impl Reviewed {
    fn of(text: &'static str) -> Reviewed {
        let mut reviewed = Reviewed { entries: BTreeMap::new() };
        for entry in text.lines().filter(|line| !line.starts_with('#')).filter_map(Entry::of_line) {
            reviewed.entries.entry(entry.function.key()).or_default().push(entry);
        }
        reviewed
    }

    /// Whether a built-in function of a live server of this major version is a reviewed one.
    pub fn has(&self, major: u32, live: &Builtin<'_>) -> bool {
        let Some((_, entries)) = self.entries.get_key_value(&live.key()) else { return false };
        entries.iter().any(|entry| {
            let known = &entry.function;
            entry.majors.iter().any(|majors| majors.contains(&major))
                && (known.schema, known.language, known.source) == (live.schema, live.language, live.source)
        })
    }

    /// How many functions of a major version it holds.
    pub fn count(&self, major: u32) -> usize {
        self.of_major(major).count()
    }

    /// The functions of a major version.
    pub fn of_major(&self, major: u32) -> impl Iterator<Item = &Builtin<'static>> {
        let of_it = move |entry: &&Entry| entry.majors.iter().any(|majors| majors.contains(&major));
        self.entries.values().flatten().filter(of_it).map(|entry| &entry.function)
    }
}

impl<'a> Builtin<'a> {
    /// What it is looked up by: OID and name, or the name alone where the OID says nothing.
    fn key(&self) -> (u32, &'a str) {
        let oid = if self.schema == "information_schema" { 0 } else { self.oid };
        (oid, self.name)
    }
}

impl Entry {
    /// A line of the list: versions, OID, schema, name, language and source, separated by tabs.
    fn of_line(line: &'static str) -> Option<Entry> {
        let mut parts = line.splitn(6, '\t');
        let majors: Option<Vec<_>> = parts.next()?.split(',').map(majors).collect();
        let (oid, schema, name, language) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let function = Builtin {
            oid: oid.parse().ok()?,
            schema,
            name,
            language,
            source: parts.next().unwrap_or_default(),
        };
        Some(Entry { majors: majors?, function })
    }
}

/// `13-18` or `15`.
fn majors(text: &str) -> Option<RangeInclusive<u32>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::super::nodes::{OLDEST, YOUNGEST};
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_line_of_the_list_is_read() {
        let lines = REVIEWED.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(list().entries.values().map(Vec::len).sum::<usize>(), lines);
        for major in OLDEST..=YOUNGEST {
            assert!(list().count(major) > 2_000, "{major}: {}", list().count(major));
        }
        assert_eq!(list().count(OLDEST - 1) + list().count(YOUNGEST + 1), 0);
    }

    #[test]
    fn nothing_known_to_have_effects_is_on_the_list() {
        // Spot checks from every group that is withheld; `withheld.txt` names them all.
        let effects = [
            "nextval",
            "setval",
            "set_config",
            "setseed",
            "pg_notify",
            "pg_sleep",
            "pg_sleep_for",
            "pg_advisory_lock",
            "pg_try_advisory_lock",
            "pg_terminate_backend",
            "pg_reload_conf",
            "pg_rotate_logfile",
            "pg_start_backup",
            "pg_backup_start",
            "pg_log_standby_snapshot",
            "pg_promote",
            "pg_switch_wal",
            "pg_read_file",
            "pg_ls_dir",
            "pg_wal_summary_contents",
            "lo_import",
            "lo_export",
            "lo_put",
            "lo_unlink",
            "lowrite",
            "query_to_xml",
            "table_to_xml",
            "cursor_to_xml",
            "database_to_xml",
            "ts_stat",
            "ts_rewrite",
            "pg_input_is_valid",
            "pg_input_error_info",
            "pg_logical_emit_message",
            "pg_create_physical_replication_slot",
            "pg_drop_replication_slot",
            "pg_replication_origin_create",
            "pg_export_snapshot",
            "pg_current_xact_id",
            "txid_current",
            "pg_stat_reset",
            "pg_restore_relation_stats",
            "pg_clear_attribute_stats",
            "pg_import_system_collations",
            "gin_clean_pending_list",
            "pg_get_partition_constraintdef",
            "domain_in",
            "record_in",
            "array_in",
        ];
        for major in OLDEST..=YOUNGEST {
            let names: BTreeSet<&str> = list().of_major(major).map(|b| b.name).collect();
            for effect in effects {
                assert!(!names.contains(effect), "{major}: `{effect}` is on the list");
            }
            for harmless in ["lower", "count", "now", "sum", "to_char", "jsonb_agg", "pg_get_viewdef"] {
                assert!(names.contains(harmless), "{major}: `{harmless}` is missing");
            }
        }
    }

    #[test]
    fn a_function_replaced_in_place_does_not_count() {
        let known = list().of_major(15).find(|b| b.name == "lower" && b.oid == 870).unwrap().clone();
        assert!(list().has(15, &known));
        assert!(!list().has(12, &known) && !list().has(19, &known));
        assert!(!list().has(15, &Builtin { source: "evil", ..known.clone() }));
        assert!(!list().has(15, &Builtin { language: "sql", ..known.clone() }));
        assert!(!list().has(15, &Builtin { schema: "public", ..known.clone() }));
        assert!(!list().has(15, &Builtin { oid: 871, ..known }));
    }

    #[test]
    fn a_function_counts_in_the_versions_that_have_it() {
        let uuidv7 = list().of_major(18).find(|b| b.name == "uuidv7").unwrap();
        assert!(list().has(18, uuidv7) && !list().has(17, uuidv7));
        let factorial = list().of_major(13).find(|b| b.name == "numeric_fac").unwrap();
        assert!(list().has(13, factorial) && !list().has(18, factorial));
    }
}
