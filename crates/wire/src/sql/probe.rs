//! Whether a loaded catalogue still holds, in two questions.
//!
//! The first ([`CATALOGUE_MOMENT`]) costs the server next to nothing: which transactions have ended so far. Whoever
//! changes a definition has a transaction id, and is seen only when that transaction has ended; so between two equal
//! answers nothing that anybody can see has changed. It answers for reads, and for calls that wrote nothing.
//!
//! The second ([`Probe`]) counts the rows of the server's catalogues, and tells those apart that are younger than the
//! catalogue that was loaded. A row is never changed in place, only deleted and made anew by a transaction that had not
//! ended before loading began, that is by one whose id is not below the oldest id that was then in progress. So as long
//! as no row is that young but those that were seen when it was loaded, and the counts are the same, every row is the
//! one that was loaded. The greatest id alone would not tell: one that is smaller may end later.
//!
//! What not: a standby does not tell which transactions have ended, so there the first question has never the same
//! answer twice. What the server changes in place (estimates, hints about indexes and rules that are gone) is not
//! noticed, and nothing that is judged depends on it.

/// One row, one column: a text that is the same as before only if nothing was changed that anybody can see. Needs no
/// preparation.
pub const CATALOGUE_MOMENT: &str = "SELECT pg_catalog.concat(pg_catalog.pg_postmaster_start_time(), ' ', d.oid, '|', \
     pg_catalog.pg_current_snapshot(), '|', CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.clock_timestamp() END) \
     FROM pg_catalog.pg_database AS d WHERE pg_catalog.nameeq(d.datname, pg_catalog.current_database())";

/// The number of rows of a catalogue, and a sum over the versions of those that are younger than the base.
macro_rules! tally {
    ($catalogue:literal) => {
        concat!(
            ", (SELECT pg_catalog.concat('",
            $catalogue,
            "=', pg_catalog.count(*), ',', pg_catalog.sum(pg_catalog.hashtext(pg_catalog.concat(ctid, ' ', xmin))) \
             FILTER (WHERE pg_catalog.int4le(pg_catalog.age(xmin), pg_catalog.age($1)))) FROM pg_catalog.",
            $catalogue,
            ")"
        )
    };
}

/// `$1` is the base as the server compares it, `$2` the whole number: ids are compared in a circle, so the answer
/// changes, and a catalogue is loaded anew, long before the base would be behind the observer.
macro_rules! question {
    () => {
        concat!(
            "SELECT pg_catalog.concat_ws(' ', pg_catalog.current_setting('server_version_num'), \
             pg_catalog.current_database(), pg_catalog.int8shr(pg_catalog.int8mi(\
             pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()), $2), 29)",
            tally!("pg_class"),
            tally!("pg_attribute"),
            tally!("pg_proc"),
            tally!("pg_operator"),
            tally!("pg_opclass"),
            tally!("pg_cast"),
            tally!("pg_type"),
            tally!("pg_rewrite"),
            tally!("pg_constraint"),
            tally!("pg_namespace"),
            tally!("pg_trigger"),
            tally!("pg_policy"),
            tally!("pg_attrdef"),
            tally!("pg_inherits"),
            tally!("pg_statistic_ext"),
            tally!("pg_ts_parser"),
            tally!("pg_ts_template"),
            tally!("pg_event_trigger"),
            ")"
        )
    };
}

const QUESTION: &str = question!();

/// Asks whether the catalogue that was loaded at some moment still holds: equal answers mean that it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The run of the server, and the database.
    place: String,
    /// No transaction with a smaller id was in progress.
    base: u64,
}

impl Probe {
    /// Plans the question once for a connection, which then may use [`Probe::prepared`]: planning it takes as long as
    /// answering it. The connection must be nobody else's.
    pub const PREPARE: &str =
        concat!("PREPARE countersign_probe(pg_catalog.xid, pg_catalog.int8) AS ", question!());

    /// The SQLSTATE of a connection on which that was not done.
    pub const UNPREPARED: &str = "26000";

    /// The probe of a catalogue that is loaded from the moment on that answered [`CATALOGUE_MOMENT`] so. Nothing where
    /// that is no such answer.
    pub fn from(moment: &str) -> Option<Probe> {
        let (place, snapshot) = moment.split_once('|')?;
        let (oldest, _) = snapshot.split_once(':')?;
        Some(Probe { place: place.to_owned(), base: oldest.parse().ok()? })
    }

    /// Whether a later moment is of the same database, on a server that has not been started anew since. Otherwise ids
    /// may have been given out twice, and the question means nothing.
    pub fn is_of(&self, moment: &str) -> bool {
        moment.split_once('|').is_some_and(|(place, _)| place == self.place)
    }

    /// One row, one column: the answer. Needs no preparation.
    pub fn sql(&self) -> String {
        let (circle, whole) = self.arguments();
        QUESTION
            .replace("$1", &format!("CAST('{circle}' AS pg_catalog.xid)"))
            .replace("$2", &format!("CAST('{whole}' AS pg_catalog.int8)"))
    }

    /// The same on a connection that has run [`Probe::PREPARE`].
    pub fn prepared(&self) -> String {
        let (circle, whole) = self.arguments();
        format!("EXECUTE countersign_probe('{circle}', '{whole}')")
    }

    fn arguments(&self) -> (u64, u64) {
        (self.base & u64::from(u32::MAX), self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_the_oldest_transaction_that_had_not_ended() {
        let base = |moment| Probe::from(moment).map(|probe| probe.base);
        let (one, other) =
            ("2026-01-01 00:00:00+00 5|724:731:725,730|", "2026-01-01 00:00:00+00 6|724:724:|2026-02-02");
        assert_eq!((base(one), base(other)), (Some(724), Some(724)));
        let probe = Probe::from(one).unwrap();
        assert!(probe.is_of("2026-01-01 00:00:00+00 5|800:800:|") && !probe.is_of(other) && !probe.is_of(""));
        for bad in ["", "724:731:", "x|y", "x|:7:", "x|-1:7:"] {
            assert_eq!(Probe::from(bad), None, "{bad}");
        }
        let beyond = Probe { base: (7 << 32) + 724, ..probe };
        assert_eq!(beyond.prepared(), "EXECUTE countersign_probe('724', '30064771796')");
        assert!(!beyond.sql().contains('$') && Probe::PREPARE.contains("$1"));
    }
}
