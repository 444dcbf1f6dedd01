//! One case on a live server: judged, run, watched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use countersign_testkit::live::server::SUPERUSER;
use countersign_testkit::live::{Answer, Client, Follower, Server, Watch};
use countersign_wire::postgres::TransactionStatus;
use countersign_wire::sql::{Access, Catalogue, Facts, Kind};

use super::case::{Case, Seen, folder};

const TEMPLATE: &str = "evasions_template";
const SCRATCH: &str = "evasions";

/// Row changes of the session's own transaction, and which file holds each table (TRUNCATE gives it another).
const TABLES: &str = "
SELECT n.nspname || '.' || c.relname, c.oid::text,
       (pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
        + pg_stat_get_xact_tuples_deleted(c.oid))::text,
       pg_relation_filenode(c.oid)::text, (n.nspname IN ('pg_catalog'))::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('information_schema', 'pg_toast')";

/// What every table of users holds, for cases that leave no transaction to look into. Planning a query on some of the
/// traps would itself call what they hold.
const CONTENTS: &str = "
SELECT n.nspname || '.' || c.relname, c.oid::text, '0',
       md5(query_to_xml(format('SELECT t::text FROM %I.%I t ORDER BY 1', n.nspname, c.relname), true, true, '')::text),
       'f'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('information_schema', 'pg_catalog', 'pg_toast')
  AND n.nspname NOT LIKE 'pg_temp%'
  AND c.relname NOT IN ('indexed', 'index_parents', 'family_child', 'counted', 'partly', 'constrained', 'keyed_low')
UNION ALL
SELECT 'pg_catalog.' || 'pg_class', '1259', '0', md5(string_agg(concat(relname, relowner, relacl), ',' ORDER BY oid)), 't'
FROM pg_class WHERE relpersistence <> 't' AND relnamespace <> 'pg_toast'::regnamespace";

/// What a case came to.
pub struct Outcome {
    pub seen: Seen,
    /// The strictest kind.
    pub judged: &'static str,
    /// Where the rule does not hold.
    pub breaches: Vec<String>,
}

/// A table at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Table {
    name: String,
    changes: String,
    file: String,
    catalogue: bool,
}

/// The server with the corpus's database on it.
pub struct Stage<'a> {
    server: &'a Server,
    watch: Watch,
    clean: bool,
    /// The catalogue of the database as it is before a case.
    catalogue: Option<Arc<Catalogue>>,
    follower: Option<Follower>,
}

impl<'a> Stage<'a> {
    pub fn new(server: &'a Server) -> Result<Self> {
        let mut admin = server.superuser("postgres")?;
        admin.ask(&format!("CREATE DATABASE {TEMPLATE}"))?;
        let mut template = server.superuser(TEMPLATE)?;
        let traps = folder().join("../sql_corpus/schema.sql");
        for script in [traps, folder().join("schema.sql")] {
            let text =
                std::fs::read_to_string(script)?.replace("{folder}", &server.folder().display().to_string());
            template.ask(&text)?;
        }
        drop(template);
        admin.ask(&format!("CREATE DATABASE {SCRATCH} TEMPLATE {TEMPLATE}"))?;
        let watch = Watch::new(server.superuser(SCRATCH)?)?;
        Ok(Self { server, watch, clean: true, catalogue: None, follower: None })
    }

    /// A database as the corpus has it.
    fn clean(&mut self) -> Result<()> {
        if self.clean {
            return Ok(());
        }
        self.watch = Watch::new(self.server.superuser("postgres")?)?;
        let admin = self.watch.client();
        admin.ask(&format!("DROP DATABASE {SCRATCH} WITH (FORCE)"))?;
        admin.ask(&format!("CREATE DATABASE {SCRATCH} TEMPLATE {TEMPLATE}"))?;
        self.watch = Watch::new(self.server.superuser(SCRATCH)?)?;
        self.clean = true;
        Ok(())
    }

    pub fn play(&mut self, case: &Case) -> Result<Outcome> {
        let folder = self.server.folder().display().to_string();
        let mut case = case.clone();
        case.sql = case.sql.replace("{folder}", &folder);
        let case = &case;
        self.clean()?;
        let account = case.account.as_deref().unwrap_or(SUPERUSER);
        let mut client = self.server.session(account, SCRATCH)?;
        // What was read of the server's own functions serves all cases; a catalogue is asked about before it counts.
        let mut follower = match self.follower.take() {
            Some(mut earlier) => {
                earlier.restart(account, &client);
                earlier
            }
            None => Follower::new(account, &client),
        };
        if self.catalogue.is_some() {
            follower.start_with(self.catalogue.clone());
        }
        // What a transaction completes when it ends was judged when it was sent.
        let mut opaque_before = false;
        for text in &case.before {
            let facts = follower.judge(text, &mut client, self.watch.client())?;
            follower.sends(text, &facts);
            let answer = client.query(text, &mut Vec::new)?;
            follower.answered(answer.error.is_none());
            if let Some(error) = answer.error {
                anyhow::bail!("{}: {}; before {}", text, error.message, case.sql);
            }
            let stays = client.status == TransactionStatus::Idle && !facts.creates_temporary;
            self.clean &= facts.kind <= Kind::Session || !stays;
            opaque_before |= facts.kinds.iter().any(is_opaque);
            opaque_before &= client.status != TransactionStatus::Idle;
        }
        if case.before.is_empty() {
            // Whoever comes first asks; the others find that nothing has changed.
            follower.judge("SELECT 1 + 1", &mut client, self.watch.client())?;
        }
        self.clean &= !case.alone;
        follower.parameter_types.clone_from(&case.types);
        let facts = follower.judge(&case.sql, &mut client, self.watch.client())?;
        if case.before.is_empty() {
            self.catalogue = follower.catalogue();
        }
        let open = client.status == TransactionStatus::Idle && !case.alone;
        if open {
            client.ask("BEGIN")?;
        }
        let seen = self.watched(case, &mut client);
        let Looked { seen, written, traces } = seen?;
        let mut breaches = Vec::new();
        let ends = !facts.transaction.is_empty();
        let opaque = facts.kinds.iter().any(is_opaque) || (ends && opaque_before);
        if facts.provable_read && !(seen.writes.is_empty() && seen.changes.is_empty() && traces.is_empty()) {
            breaches.push(format!("a provable read left traces: {seen:?} {traces:?}"));
        }
        for (oid, name) in written.iter().filter(|_| !opaque) {
            if !names(&facts, *oid, name) {
                breaches.push(format!("it wrote {name}, which is not named: {:?}", facts.relations));
            }
        }
        self.follower = Some(follower);
        Ok(Outcome { seen, judged: facts.kind.action(), breaches })
    }

    fn watched(&mut self, case: &Case, client: &mut Client) -> Result<Looked> {
        let session = inside_or_nothing(client)?;
        let outside = self.watch.outside(client.process)?;
        let before = self.tables(case, client)?;
        let answer = sent(case, client);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.clean = false;
                let refused = Some(format!("{error:#}").split(": ").nth(1).unwrap_or("gone").to_owned());
                return Ok(Looked { seen: Seen { refused, ..Seen::default() }, ..Looked::default() });
            }
        };
        let mut seen = Seen { refused: answer.error.map(|error| error.code), ..Seen::default() };
        let outside_after = self.watch.outside(client.process)?;
        let mut changes = BTreeSet::new();
        if outside_after.lasting != outside.lasting {
            changes.insert("sequence");
        }
        if outside_after.locks.difference(&outside.locks).next().is_some() {
            changes.insert("locks");
        }
        if outside_after.transaction.is_some() && outside.transaction.is_none() {
            changes.insert("transaction");
        }
        let mut written = BTreeMap::new();
        let failed = client.status == TransactionStatus::Failed;
        if !failed {
            let after = self.tables(case, client)?;
            for (oid, table) in &after {
                if before.get(oid) == Some(table) {
                    continue;
                }
                if table.catalogue {
                    changes.insert("catalogue");
                } else if before.contains_key(oid) {
                    written.insert(*oid, table.name.clone());
                }
            }
            if before.keys().any(|oid| !after.contains_key(oid)) {
                changes.insert("catalogue");
            }
            if inside_or_nothing(client)? != session {
                changes.insert("session");
            }
            client.query("ROLLBACK", &mut Vec::new)?;
        }
        let traces = countersign_testkit::live::watch::differences(
            (&outside, &Default::default()),
            (&outside_after, &Default::default()),
        );
        // Having an id says nothing where it is clear what for.
        if changes.len() > 1 || !written.is_empty() {
            changes.remove("transaction");
        }
        // Which number the session's temporary schema has is chance.
        let plain = |name: &String| match name.strip_prefix("pg_temp_").and_then(|rest| rest.split_once('.'))
        {
            Some((_, name)) => format!("pg_temp.{name}"),
            None => name.clone(),
        };
        seen.writes = written.values().map(plain).collect();
        seen.changes = changes.into_iter().map(str::to_owned).collect();
        Ok(Looked { seen, written, traces })
    }

    fn tables(&mut self, case: &Case, client: &mut Client) -> Result<BTreeMap<u32, Table>> {
        let answer = match case.alone || client.status == TransactionStatus::Idle {
            true => self.watch.client().ask(CONTENTS)?,
            false => client.ask(TABLES)?,
        };
        let mut tables = BTreeMap::new();
        for row in answer.rows {
            let column = |at: usize| row[at].clone().unwrap_or_default();
            let catalogue = column(4).starts_with('t');
            let table = Table { name: column(0), changes: column(2), file: column(3), catalogue };
            tables.insert(column(1).parse()?, table);
        }
        Ok(tables)
    }
}

#[derive(Default)]
struct Looked {
    seen: Seen,
    written: BTreeMap<u32, String>,
    traces: Vec<String>,
}

fn sent(case: &Case, client: &mut Client) -> Result<Answer> {
    match &case.values {
        None => client.query(&case.sql, &mut || b"1\n".to_vec()),
        Some(values) => {
            let values: Vec<Option<&[u8]>> = values.iter().map(|value| Some(value.as_bytes())).collect();
            client.bound(&case.sql, &case.types, &values)
        }
    }
}

/// The session from within, where its transaction still answers.
fn inside_or_nothing(client: &mut Client) -> Result<Option<String>> {
    Ok(countersign_testkit::live::watch::inside(client)?.state)
}

/// Whether a kind claims nothing about what is written.
const fn is_opaque(kind: &Kind) -> bool {
    matches!(kind, Kind::Call | Kind::Unknown)
}

fn names(facts: &Facts, oid: u32, name: &str) -> bool {
    facts.relations.iter().any(|relation| {
        let by_name = match &relation.schema {
            Some(schema) => format!("{schema}.{}", relation.name) == name,
            None => name.ends_with(&format!(".{}", relation.name)),
        };
        relation.access != Access::Read && (relation.oid == Some(oid) || (relation.oid.is_none() && by_name))
    })
}
