//! What else a statement sets in motion: triggers, rules, row level security, and foreign keys that make other tables
//! follow.
//!
//! All of it is read from the server's own catalogues, by the identifiers of the relations, before anything is counted.
//! Only what the statement's verbs can reach is shown, and nothing of that is left out: what is more than can be shown
//! can't be approved.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use countersign_engine::foreseen::{Cascade, Foreseen, RewriteRule, RowPolicy, RowSecurity, Trigger};
use countersign_wire::sql::{Access, Facts};

use super::super::query::Row;

/// How many triggers, rules, policies and columns of foreign keys of one statement are read.
pub(super) const ROWS_MAX: usize = 2_000;
/// How many steps of foreign keys are followed.
const STEPS_MAX: u32 = 8;
/// How many foreign keys follow one statement at most in what is shown.
const CASCADES_MAX: usize = 64;

/// What was read of a statement's relations.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Names of relations by identifier, as the server has them.
    names: BTreeMap<u32, String>,
    keys: BTreeMap<u32, Key>,
    /// What is shown as it is.
    pub(super) foreseen: Foreseen,
}

/// A foreign key.
#[derive(Clone, Debug, Default)]
struct Key {
    name: String,
    referred: u32,
    referring: u32,
    /// The referring table, quoted.
    table: String,
    on_delete: String,
    on_update: String,
    /// Columns that are referred to, and those that refer; plain and quoted.
    columns: Vec<[String; 4]>,
}

/// A table whose rows follow, and the query that names them.
pub(super) struct Step {
    /// What is shown of it. Its rows are for whoever counts.
    pub(super) cascade: Cascade,
    /// Counts them, if it can be said which they are. Not judged yet.
    pub(super) count: Option<String>,
}

/// The question for a statement's relations, run under `account`; nothing if none are known by identifier.
pub(super) fn question(facts: &Facts, account: Option<&str>) -> Option<String> {
    let oids = |wanted: fn(Access) -> bool| -> String {
        let wanted = facts.relations.iter().filter(|one| wanted(one.access)).filter_map(|one| one.oid);
        let wanted: BTreeSet<u32> = wanted.take(super::RELATIONS_MAX).collect();
        wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    let (all, written) = (oids(|_| true), oids(|access| access != Access::Read));
    if all.is_empty() {
        return None;
    }
    let mut text = security(&all, account);
    if !written.is_empty() {
        let _ = write!(text, "; {}; {}; {}", triggers(&written), rules(&written), keys(&written));
    }
    Some(text)
}

fn triggers(oids: &str) -> String {
    format!(
        "SELECT 'trigger', t.tgrelid::text, n.nspname || '.' || c.relname, t.tgname::text, \
         CASE WHEN t.tgtype & 64 <> 0 THEN 'instead of' WHEN t.tgtype & 2 <> 0 THEN 'before' ELSE 'after' END, \
         pg_catalog.concat_ws(' or ', CASE WHEN t.tgtype & 4 <> 0 THEN 'insert' END, \
           CASE WHEN t.tgtype & 8 <> 0 THEN 'delete' END, CASE WHEN t.tgtype & 16 <> 0 THEN 'update' END, \
           CASE WHEN t.tgtype & 32 <> 0 THEN 'truncate' END), \
         CASE WHEN t.tgtype & 1 <> 0 THEN 'row' ELSE 'statement' END, m.nspname || '.' || p.proname, \
         CASE WHEN p.prosecdef THEN pg_catalog.pg_get_userbyid(p.proowner)::text END, \
         CASE t.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' WHEN 'A' THEN 'always' ELSE 'origin' END, \
         pg_catalog.pg_get_triggerdef(t.oid) \
         FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid JOIN pg_catalog.pg_namespace m ON m.oid = p.pronamespace \
         WHERE NOT t.tgisinternal AND t.tgrelid IN ({oids}) ORDER BY 3, 4 LIMIT {ROWS_MAX}"
    )
}

fn rules(oids: &str) -> String {
    format!(
        "SELECT 'rule', r.ev_class::text, n.nspname || '.' || c.relname, r.rulename::text, \
         CASE r.ev_type WHEN '2' THEN 'update' WHEN '3' THEN 'insert' ELSE 'delete' END, r.is_instead::text, \
         pg_catalog.pg_get_ruledef(r.oid) \
         FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE r.ev_type <> '1' AND r.ev_class IN ({oids}) ORDER BY 3, 4 LIMIT {ROWS_MAX}"
    )
}

/// Whether policies limit the account: they do not limit superusers, those who bypass them, and owners unless forced.
fn security(oids: &str, account: Option<&str>) -> String {
    let hex: String = account.unwrap_or_default().bytes().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "SELECT 'security', c.oid::text, n.nspname || '.' || c.relname, (SELECT NOT (a.rolsuper OR a.rolbypassrls) \
           AND (c.relforcerowsecurity OR NOT pg_catalog.pg_has_role(a.oid, c.relowner, 'USAGE')) \
           FROM pg_catalog.pg_roles a \
           WHERE a.rolname = pg_catalog.convert_from(pg_catalog.decode('{hex}', 'hex'), 'UTF8'))::text, \
         y.polname::text, CASE y.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update' \
           WHEN 'd' THEN 'delete' ELSE 'all' END, (NOT y.polpermissive)::text, \
         pg_catalog.pg_get_expr(y.polqual, y.polrelid), pg_catalog.pg_get_expr(y.polwithcheck, y.polrelid) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_policy y ON y.polrelid = c.oid \
         WHERE c.relrowsecurity AND c.oid IN ({oids}) ORDER BY 3, 5 LIMIT {ROWS_MAX}"
    )
}

/// Every foreign key that refers to one of the relations, or to a table that refers to one, and so on: a row for each of
/// its columns. Keys of partitions are left to the key that they were made for.
fn keys(oids: &str) -> String {
    format!(
        "WITH RECURSIVE reached(relation, depth) AS (SELECT c.oid, 0 FROM pg_catalog.pg_class c WHERE c.oid IN ({oids}) \
           UNION SELECT k.conrelid, r.depth + 1 FROM reached r JOIN pg_catalog.pg_constraint k \
           ON k.confrelid = r.relation AND k.contype = 'f' WHERE r.depth < {STEPS_MAX}) \
         SELECT 'key', k.oid::text, n.nspname || '.' || c.relname, k.conname::text, k.confrelid::text, k.conrelid::text, \
         pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), \
         k.confdeltype::text, k.confupdtype::text, f.attname::text, pg_catalog.quote_ident(f.attname), \
         a.attname::text, pg_catalog.quote_ident(a.attname), fn.nspname || '.' || fc.relname \
         FROM pg_catalog.pg_constraint k \
         JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_class fc ON fc.oid = k.confrelid JOIN pg_catalog.pg_namespace fn ON fn.oid = fc.relnamespace \
         CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(k.confkey), pg_catalog.unnest(k.conkey)) \
           WITH ORDINALITY AS u(referred, referring, place) \
         JOIN pg_catalog.pg_attribute f ON f.attrelid = k.confrelid AND f.attnum = u.referred \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.referring \
         WHERE k.contype = 'f' AND k.confrelid IN (SELECT relation FROM reached) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint up WHERE up.oid = k.conparentid \
           AND up.confrelid IN (SELECT relation FROM reached)) \
         ORDER BY k.oid, u.place LIMIT {ROWS_MAX}"
    )
}

/// Puts the rows of [`question`] together. Nothing if there are more than are read.
pub(super) fn read(rows: &[Row], facts: &Facts) -> Option<Read> {
    let kind = |row: &Row| row.first().cloned().flatten().unwrap_or_default();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        let count = counts.entry(kind(row)).or_default();
        *count += 1;
        if *count >= ROWS_MAX {
            return None;
        }
    }
    let mut read = Read::default();
    // Which tables follow others says which triggers can fire, so keys come first.
    for row in rows.iter().filter(|row| kind(row) == "key") {
        read.key(&Columns(row));
    }
    for row in rows {
        match kind(row).as_str() {
            "trigger" => read.trigger(&Columns(row), facts),
            "rule" => read.rule(&Columns(row), facts),
            "security" => read.security(&Columns(row)),
            _ => {}
        }
    }
    Some(read)
}

/// The columns of a row; one that is not there is empty.
struct Columns<'a>(&'a Row);

impl Columns<'_> {
    fn maybe(&self, at: usize) -> Option<String> {
        self.0.get(at).cloned().flatten()
    }

    fn text(&self, at: usize) -> String {
        self.maybe(at).unwrap_or_default()
    }

    fn number(&self, at: usize) -> u32 {
        self.text(at).parse().unwrap_or_default()
    }

    fn truth(&self, at: usize) -> Option<bool> {
        self.maybe(at).map(|text| text.starts_with('t'))
    }
}

impl Read {
    /// Whether something of this kind happens to a relation: by the statement itself, or because it follows another.
    fn reaches(&self, facts: &Facts, relation: u32, event: &str) -> bool {
        let follows = |key: &Key| {
            let changes = |action: &str| matches!(action, "c" | "n" | "d");
            key.referring == relation && (changes(&key.on_delete) || changes(&key.on_update))
        };
        let writes = ["update", "delete", "merge"].iter().any(|verb| facts.has_verb(verb)) || facts.upserts;
        let by_key = writes && matches!(event, "update" | "delete") && self.keys.values().any(follows);
        does(facts, event) || by_key
    }

    fn trigger(&mut self, row: &Columns<'_>, facts: &Facts) {
        let events = row.text(5);
        if !events.split(" or ").any(|event| self.reaches(facts, row.number(1), event)) {
            return;
        }
        self.foreseen.triggers.push(Trigger {
            relation: row.text(2),
            name: row.text(3),
            timing: row.text(4),
            events,
            level: row.text(6),
            function: row.text(7),
            definer: row.maybe(8),
            enabled: row.text(9),
            definition: row.text(10),
        });
    }

    fn rule(&mut self, row: &Columns<'_>, facts: &Facts) {
        let event = row.text(4);
        if !self.reaches(facts, row.number(1), &event) {
            return;
        }
        self.foreseen.rules.push(RewriteRule {
            relation: row.text(2),
            name: row.text(3),
            event,
            instead: row.truth(5).unwrap_or(true),
            definition: row.text(6),
        });
    }

    fn security(&mut self, row: &Columns<'_>) {
        let relation = row.text(2);
        let found = &mut self.foreseen.row_security;
        if found.last().is_none_or(|last| last.relation != relation) {
            let applies = row.truth(3);
            found.push(RowSecurity { relation, applies, policies: Vec::new() });
        }
        if let (Some(last), Some(name)) = (found.last_mut(), row.maybe(4)) {
            last.policies.push(RowPolicy {
                name,
                command: row.text(5),
                restrictive: row.truth(6).unwrap_or(false),
                using: row.maybe(7),
                check: row.maybe(8),
            });
        }
    }

    fn key(&mut self, row: &Columns<'_>) {
        let (referred, referring) = (row.number(4), row.number(5));
        self.names.insert(referring, row.text(2));
        self.names.insert(referred, row.text(13));
        let key = self.keys.entry(row.number(1)).or_insert_with(|| Key {
            name: row.text(3),
            referred,
            referring,
            table: row.text(6),
            on_delete: row.text(7),
            on_update: row.text(8),
            columns: Vec::new(),
        });
        key.columns.push([row.text(9), row.text(10), row.text(11), row.text(12)]);
    }

    /// The triggers for each row that may leave rows out, and rules that stand in the statement's place.
    pub(super) fn diverts(&self) -> Diverts {
        let fires = |one: &&Trigger| !matches!(one.enabled.as_str(), "disabled" | "replica");
        let drops = |one: &&Trigger| one.level == "row" && one.timing != "after";
        let dropping = self.foreseen.triggers.iter().filter(fires).find(drops);
        Diverts {
            dropping: dropping
                .map(|one| format!("the trigger `{}` on {} may leave rows out", one.name, one.relation)),
            rewriting: self
                .foreseen
                .rules
                .first()
                .map(|rule| format!("the rule `{}` on {} rewrites the statement", rule.name, rule.relation)),
        }
    }
}

/// What makes a count another number than what will be touched.
pub(super) struct Diverts {
    /// Fewer rows may be touched.
    pub(super) dropping: Option<String>,
    /// Something else may be.
    pub(super) rewriting: Option<String>,
}

/// Whether a statement itself does something of this kind.
fn does(facts: &Facts, event: &str) -> bool {
    facts.has_verb(event)
        || (facts.has_verb("merge") && event != "truncate")
        || (event == "update" && facts.upserts)
        // Rows that are copied in are inserted.
        || (event == "insert" && facts.has_verb("copy_in"))
}

/// What happens to a table.
#[derive(Clone, Debug)]
enum Event {
    Delete,
    /// These columns are set; nothing if it is not known which.
    Update(Option<BTreeSet<String>>),
    Truncate,
}

/// A table on the way through foreign keys.
struct Turn {
    relation: u32,
    event: Event,
    /// Which of its rows, if that is known.
    rows: Option<String>,
    depth: u32,
    /// The keys that led here.
    through: Vec<u32>,
}

impl Read {
    /// The tables that follow, step by step. The flag says that there are more than are shown.
    pub(super) fn cascades(&self, facts: &Facts) -> (Vec<Step>, bool) {
        let mut steps = Vec::new();
        let mut waiting = self.beginnings(facts);
        while !waiting.is_empty() {
            let turn = waiting.remove(0);
            for (oid, key) in self.keys.iter().filter(|(_, key)| key.referred == turn.relation) {
                let Some((does, next)) = follows(key, &turn.event) else { continue };
                if steps.len() >= CASCADES_MAX {
                    return (steps, true);
                }
                let again = turn.through.contains(oid) || key.referring == key.referred;
                let rows = turn.rows.as_deref().filter(|_| !again).map(|rows| referring(key, rows));
                steps.push(self.step(key, (&turn, does), (rows.as_deref(), again)));
                if !again && turn.depth < STEPS_MAX {
                    let through = turn.through.iter().copied().chain([*oid]).collect();
                    let depth = turn.depth.saturating_add(1);
                    waiting.push(Turn { relation: key.referring, event: next, rows, depth, through });
                }
            }
        }
        (steps, false)
    }

    /// The tables that the statement itself writes to.
    fn beginnings(&self, facts: &Facts) -> Vec<Turn> {
        let affected = facts.affected.as_ref();
        let certain = affected
            .and_then(|affected| affected.relation)
            .filter(|oid| self.keys.values().any(|key| key.referred == *oid));
        let named = certain.map_or_else(|| self.own(facts), |oid| vec![oid]);
        let rows = certain.and(affected).map(|affected| affected.query.clone());
        let begin = |event: Event| {
            let rows = rows.clone();
            named.iter().map(move |relation| Turn {
                relation: *relation,
                event: event.clone(),
                rows: rows.clone(),
                depth: 1,
                through: Vec::new(),
            })
        };
        let mut turns = Vec::new();
        if facts.has_verb("delete") || facts.has_verb("merge") {
            turns.extend(begin(Event::Delete));
        }
        if facts.has_verb("update") || facts.has_verb("merge") || facts.upserts {
            turns.extend(begin(Event::Update(affected.map(|affected| affected.columns.clone()))));
        }
        if facts.has_verb("truncate") {
            turns.extend(begin(Event::Truncate));
        }
        turns
    }

    /// What a statement writes to without being led there by a key; all of it where keys lead round in a circle.
    fn own(&self, facts: &Facts) -> Vec<u32> {
        let written = facts.relations.iter().filter(|one| one.access == Access::Write);
        let named: Vec<u32> = written.filter_map(|one| one.oid).collect();
        let is_led_to = |oid: u32| {
            let leads =
                |key: &Key| key.referring == oid && key.referred != oid && named.contains(&key.referred);
            self.keys.values().any(leads)
        };
        let own: Vec<u32> = named.iter().copied().filter(|oid| !is_led_to(*oid)).collect();
        if own.is_empty() { named } else { own }
    }

    fn step(&self, key: &Key, (turn, does): (&Turn, &str), (rows, again): (Option<&str>, bool)) -> Step {
        let named = |oid: u32| self.names.get(&oid).cloned().unwrap_or_default();
        let count = match turn.event {
            Event::Truncate => Some(format!("SELECT pg_catalog.count(*) FROM {}", key.table)),
            _ => rows.map(|rows| format!("SELECT pg_catalog.count(*) FROM ({rows}) countersign_rows")),
        };
        let unknown = match (&count, again) {
            (_, true) => Some("it leads back to where it came from, and how often is not counted"),
            (None, false) => Some("which rows it begins with is not known"),
            (Some(_), false) => None,
        };
        let cascade = Cascade {
            constraint: key.name.clone(),
            depth: turn.depth,
            does: does.to_owned(),
            from: named(key.referred),
            relation: named(key.referring),
            rows: None,
            unknown: unknown.map(str::to_owned),
        };
        Step { cascade, count: count.filter(|_| !again) }
    }
}

/// What a key makes of what happens to the table that it refers to; nothing if it only forbids.
fn follows(key: &Key, event: &Event) -> Option<(&'static str, Event)> {
    let set = || Event::Update(Some(key.columns.iter().map(|[_, _, own, _]| own.clone()).collect()));
    match event {
        Event::Truncate => Some(("truncate", Event::Truncate)),
        Event::Delete => match key.on_delete.as_str() {
            "c" => Some(("delete", Event::Delete)),
            "n" => Some(("set null", set())),
            "d" => Some(("set default", set())),
            _ => None,
        },
        Event::Update(columns) => {
            let concerned = |columns: &BTreeSet<String>| {
                key.columns.iter().any(|[referred, ..]| columns.contains(referred))
            };
            if !columns.as_ref().is_none_or(concerned) {
                return None;
            }
            match key.on_update.as_str() {
                "c" => Some(("update", set())),
                "n" => Some(("set null", set())),
                "d" => Some(("set default", set())),
                _ => None,
            }
        }
    }
}

/// The rows that refer to some of these.
fn referring(key: &Key, rows: &str) -> String {
    let pairs: Vec<String> = key
        .columns
        .iter()
        .map(|[_, referred, _, own]| {
            format!("countersign_to.{referred} OPERATOR(pg_catalog.=) countersign_from.{own}")
        })
        .collect();
    format!(
        "SELECT countersign_from.* FROM {} countersign_from WHERE EXISTS (SELECT 1 FROM ({rows}) countersign_to WHERE {})",
        key.table,
        pairs.join(" AND ")
    )
}
