//! What a session really did, seen from outside and from within: transaction ids, locks, counters, settings.
//!
//! From outside: whether the server gave its transaction an id (whoever changes a row must have one), which relations
//! it has opened for more than reading, its advisory locks, where the sequences stand, what outlives it (prepared
//! transactions, replication slots). From within: its settings, prepared statements, cursors, channels, temporary
//! objects, and how many rows its transaction has changed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};

use super::client::Client;

/// A session that watches another one. A superuser's, and of the same database.
#[derive(Debug)]
pub struct Watch {
    client: Client,
}

/// What is seen of a session from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// The id of its transaction, if it has one.
    pub transaction: Option<String>,
    /// Tables opened for writing or more: OID to schema and name.
    pub written: BTreeMap<u32, String>,
    /// Other locks that a read does not take.
    pub locks: BTreeSet<String>,
    /// What is shared by all sessions and no transaction undoes; `None` where it could not be seen.
    pub lasting: Option<String>,
}

/// What is seen of a session from within.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inside {
    /// Settings, prepared statements, cursors, channels, temporary objects.
    pub state: Option<String>,
    /// Rows that its transaction has changed, in all tables.
    pub changed_rows: i64,
}

const LOCKS: &str = "
SELECT a.backend_xid::text, l.locktype, l.mode, l.relation::text, c.relkind::text, n.nspname::text, c.relname::text,
       concat(l.classid, ' ', l.objid, ' ', l.objsubid)
FROM pg_stat_activity a
LEFT JOIN pg_locks l ON l.pid = a.pid AND l.locktype IN ('relation', 'advisory', 'object', 'tuple')
                        AND l.mode NOT IN ('AccessShareLock', 'SIReadLock')
LEFT JOIN pg_class c ON c.oid = l.relation AND l.database <> 0
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.pid = ";

const LASTING: &str = "
SELECT concat(
  (SELECT string_agg(concat(schemaname, '.', sequencename, '=', last_value), ',') FROM pg_sequences), '|',
  (SELECT count(*) FROM pg_replication_slots), '|', (SELECT count(*) FROM pg_prepared_xacts))";

const INSIDE: &str = "
SELECT pg_catalog.md5(pg_catalog.concat(
  (SELECT pg_catalog.string_agg(pg_catalog.concat(name, '=', setting), ',' ORDER BY name) FROM pg_catalog.pg_settings
    WHERE name NOT IN ('in_hot_standby', 'transaction_isolation', 'transaction_read_only', 'transaction_deferrable')),
  (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_statements), '|',
  (SELECT pg_catalog.count(*) FROM pg_catalog.pg_cursors), '|',
  (SELECT pg_catalog.count(*) FROM pg_catalog.pg_listening_channels()), '|',
  (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()))),
  (SELECT pg_catalog.sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_catalog.pg_stat_xact_all_tables)";

impl Watch {
    /// Watches with this session.
    ///
    /// # Errors
    /// The session is gone.
    pub fn new(mut client: Client) -> Result<Self> {
        // What another session holds locked can't be seen; waiting for it would be for ever.
        client.ask("SET lock_timeout = '300ms'")?;
        Ok(Self { client })
    }

    /// The watching session, for questions of other kinds.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Looks at a session from outside.
    ///
    /// # Errors
    /// The watching session is gone.
    pub fn outside(&mut self, process: u32) -> Result<Outside> {
        let mut seen = Outside::default();
        for row in self.client.ask(&format!("{LOCKS}{process}"))?.rows {
            let column = |at: usize| row.get(at).and_then(Option::as_deref);
            seen.transaction = column(0).map(str::to_owned);
            let Some(locktype) = column(1) else { continue };
            let mode = column(2).unwrap_or_default();
            let name = format!("{}.{}", column(5).unwrap_or("?"), column(6).unwrap_or("?"));
            // RowShareLock is what FOR UPDATE and foreign keys take: a lock, but no write.
            let is_table = matches!(column(4), Some("r" | "p" | "f" | "m" | "v"));
            let toast = column(5).is_some_and(|schema| schema.starts_with("pg_toast"));
            match (locktype, mode) {
                ("relation", "RowShareLock") => {
                    seen.locks.insert(format!("{mode} on {name}"));
                }
                ("relation", _) if is_table && !toast => {
                    let oid =
                        column(3).and_then(|oid| oid.parse().ok()).context("a relation without an OID")?;
                    seen.written.insert(oid, name);
                }
                // Telling where a sequence stands takes the same lock as moving it; whether it moved is seen itself.
                ("relation", "RowExclusiveLock") if column(4) == Some("S") => {}
                ("relation", _) => {
                    seen.locks.insert(format!("{mode} on {name}"));
                }
                _ => {
                    seen.locks.insert(format!("{locktype} {mode} {}", column(7).unwrap_or_default()));
                }
            }
        }
        seen.lasting = self.client.query(LASTING, &mut Vec::new)?.value().map(str::to_owned);
        Ok(seen)
    }
}

/// Looks at a session from within. Not in a failed transaction, and not where nothing may come before a statement.
///
/// # Errors
/// The session is gone.
pub fn inside(client: &mut Client) -> Result<Inside> {
    let answer = client.query(INSIDE, &mut Vec::new)?;
    let row = answer.rows.first();
    let column = |at: usize| row.and_then(|row| row.get(at)).and_then(Option::clone);
    Ok(Inside { state: column(0), changed_rows: column(1).and_then(|n| n.parse().ok()).unwrap_or(0) })
}

/// What differs between two looks that a read must leave equal.
#[must_use]
pub fn differences(before: (&Outside, &Inside), after: (&Outside, &Inside)) -> Vec<String> {
    let mut found = Vec::new();
    let (outside, inside) = before;
    let (outside_after, inside_after) = after;
    if outside_after.transaction.is_some() && outside.transaction != outside_after.transaction {
        found.push("its transaction was given an id".to_owned());
    }
    let written = outside_after.written.iter().filter(|(oid, _)| !outside.written.contains_key(oid));
    found.extend(written.map(|(_, name)| format!("it opened {name} for writing")));
    found.extend(outside_after.locks.difference(&outside.locks).map(|lock| format!("it took {lock}")));
    if let (Some(before), Some(after)) = (&outside.lasting, &outside_after.lasting)
        && before != after
    {
        found.push("a sequence, slot or prepared transaction changed".to_owned());
    }
    if let (Some(before), Some(after)) = (&inside.state, &inside_after.state)
        && before != after
    {
        found.push("settings or objects of the session changed".to_owned());
    }
    if inside_after.changed_rows > inside.changed_rows {
        found.push("rows changed".to_owned());
    }
    found
}
