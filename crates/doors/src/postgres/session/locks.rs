//! What a session holds up for others while it waits: its open transaction, and locks that others may wait for.
//!
//! Asked for on another connection, since a question in the client's own transaction might be the first to take its snapshot.
//! Where that can't be known, the stricter answer is given: that there are locks.

use std::sync::Arc;

use countersign_core::request::HoldsUp;
use countersign_wire::postgres::TransactionStatus;

use super::super::query::{Row, simple};
use super::{End, Session};

/// How many locks are named to an approver.
const NAMED_MAX: usize = 20;

/// What is held up, and what an approver is told of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeldUp {
    /// For the rules.
    pub(super) what: HoldsUp,
    /// In words.
    pub(super) note: Option<String>,
}

impl Session {
    /// What is held up while this session waits. Everything that was sent has been answered.
    pub(super) async fn held_up(&mut self) -> Result<HeldUp, End> {
        if self.tracker.is_quiet() {
            return Ok(HeldUp { what: HoldsUp::Nothing, note: None });
        }
        let (target, shared, place) =
            (Arc::clone(&self.target), Arc::clone(&self.shared), self.place.clone());
        let question = question(self.cancel_key.process);
        let looked = target.look_at(&shared, &place, async |link| simple(link, &question).await);
        let rows = self.drive(Box::pin(looked)).await?;
        let rows = rows.inspect_err(|error| {
            tracing::debug!(session = %self.me.id(), error = %error, "locks were not looked up");
        });
        let open = self.tracker.status() != TransactionStatus::Idle;
        Ok(told(open, rows.ok().as_deref()))
    }
}

/// Whether the session's backend is there to be seen, and which locks it holds that may stand in the way of other people's
/// reads and writes: on what, and how.
fn question(process: u32) -> String {
    format!(
        "SELECT 'backend', pg_catalog.count(*)::text FROM pg_catalog.pg_stat_activity WHERE pid = {process} \
         UNION ALL SELECT DISTINCT coalesce(n.nspname || '.' || c.relname, l.locktype), l.mode \
         FROM pg_catalog.pg_locks l \
         LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation AND l.database = \
           (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) \
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE l.pid = {process} AND l.granted AND (l.locktype IN ('transactionid', 'advisory') \
           OR l.locktype = 'relation' AND (l.mode NOT IN \
                ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock') \
             OR l.mode <> 'AccessShareLock' AND EXISTS (SELECT FROM pg_catalog.pg_locks t \
                WHERE t.pid = {process} AND t.granted AND t.locktype = 'transactionid')))"
    )
}

fn told(open: bool, rows: Option<&[Row]>) -> HeldUp {
    let locks = rows.and_then(|rows| {
        let mut rows = rows.iter().map(|row| match row.as_slice() {
            [Some(on), Some(how)] => Some((on.as_str(), how.as_str())),
            _ => None,
        });
        (rows.next()? == Some(("backend", "1"))).then(|| rows.collect::<Option<Vec<_>>>()).flatten()
    });
    let Some(locks) = locks else {
        let note = "it waits inside a transaction; which locks that holds is not known".to_owned();
        return HeldUp { what: HoldsUp::Locks, note: Some(note) };
    };
    if locks.is_empty() {
        let what = if open { HoldsUp::Transaction } else { HoldsUp::Nothing };
        let note = open.then(|| "it waits inside a transaction, which holds nobody else up".to_owned());
        return HeldUp { what, note };
    }
    // That it has a number of its own says no more than what it has locked.
    let mut named: Vec<String> = locks
        .iter()
        .filter(|(on, _)| *on != "transactionid")
        .map(|(on, how)| format!("{on} ({how})"))
        .collect();
    named.sort_unstable();
    let more = named.len().saturating_sub(NAMED_MAX);
    named.truncate(NAMED_MAX);
    let mut note = "it waits inside a transaction that holds locks, for which others may wait".to_owned();
    if !named.is_empty() {
        note.push_str(": ");
        note.push_str(&named.join(", "));
    }
    if more > 0 {
        note.push_str(&format!(", and {more} more"));
    }
    HeldUp { what: HoldsUp::Locks, note: Some(note) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[(&str, &str)]) -> Vec<Row> {
        rows.iter().map(|(on, how)| vec![Some((*on).to_owned()), Some((*how).to_owned())]).collect()
    }

    #[test]
    fn what_is_not_known_counts_as_locks() {
        for unknown in [None, Some(rows(&[])), Some(rows(&[("backend", "0")])), Some(vec![vec![None, None]])]
        {
            assert_eq!(told(true, unknown.as_deref()).what, HoldsUp::Locks);
        }
    }

    #[test]
    fn locks_are_named() {
        let seen = rows(&[("backend", "1")]);
        assert_eq!(told(true, Some(&seen)).what, HoldsUp::Transaction);
        assert_eq!(told(false, Some(&seen)), HeldUp { what: HoldsUp::Nothing, note: None });
        let seen = rows(&[
            ("backend", "1"),
            ("transactionid", "ExclusiveLock"),
            ("public.products", "RowExclusiveLock"),
        ]);
        let found = told(true, Some(&seen));
        assert_eq!(found.what, HoldsUp::Locks);
        assert!(found.note.unwrap().ends_with("may wait: public.products (RowExclusiveLock)"));
        let many: Vec<(String, &str)> = (0..30).map(|n| (format!("public.t{n:02}"), "ShareLock")).collect();
        let many: Vec<(&str, &str)> =
            [("backend", "1")].into_iter().chain(many.iter().map(|(on, how)| (on.as_str(), *how))).collect();
        assert!(
            told(false, Some(&rows(&many))).note.unwrap().ends_with("public.t19 (ShareLock), and 10 more")
        );
    }
}
