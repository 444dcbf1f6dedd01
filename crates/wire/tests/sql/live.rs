//! The same corpus against a live PostgreSQL 15, where one is installed: the queries that read the catalogue work,
//! the stored catalogue is what they answer, and no statement that is judged a provable read changes anything.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign_wire::sql::{
    Access, CATALOGUE_MOMENT, CATALOGUE_PREPARE, Context, Facts, Kind, Probe, Section, SessionState,
    classify_text,
};

use crate::corpus::{self, Case};
use crate::fixture::{SERVER, catalogue, corpus_folder, heading, load, parser};

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// A scratch server on a Unix socket, stopped and removed when dropped.
struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// Starts a server, or says why there is none.
    fn start(name: &str) -> Result<Scratch, String> {
        if !Path::new(PROGRAMS).join("postgres").exists() {
            return Err(format!("no PostgreSQL 15 in {PROGRAMS}"));
        }
        let folder = std::env::temp_dir().join(format!("countersign-sql-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        let scratch = Scratch { folder };
        let data = scratch.folder.join("data");
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&scratch.folder))?;
        }
        run(scratch
            .server("initdb")
            .args(["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C", "-D"])
            .arg(&data))?;
        let options = format!("-k {} -c listen_addresses='' -c fsync=off", scratch.folder.display());
        run(scratch
            .server("pg_ctl")
            .args(["start", "-w", "-s", "-o", &options, "-l"])
            .arg(scratch.folder.join("log"))
            .arg("-D")
            .arg(&data))?;
        Ok(scratch)
    }

    fn server(&self, program: &str) -> Command {
        let program = Path::new(PROGRAMS).join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.folder);
        command
    }

    /// Runs a script and returns what psql prints, errors of statements included.
    fn psql(&self, script: &str) -> String {
        let file = self.folder.join("script.sql");
        std::fs::write(&file, script).unwrap();
        let output = Command::new("psql")
            .args(["-X", "-q", "-A", "-t", "-U", "postgres", "-d", "postgres", "-h"])
            .arg(&self.folder)
            .arg("-f")
            .arg(&file)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs what must not fail.
    fn prepare(&self, script: &str) {
        let file = self.folder.join("prepare.sql");
        std::fs::write(&file, script).unwrap();
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres", "-h"]);
        run(psql.arg(&self.folder).arg("-f").arg(&file)).unwrap();
    }

    /// The catalogue as the fixture keeps it.
    fn catalogue(&self) -> String {
        let mut text = String::new();
        for section in Section::ALL {
            let query = section.sql().trim();
            let rows = self.psql(&format!("{CATALOGUE_PREPARE};\n\\pset format unaligned\nCOPY (SELECT * FROM ({query}) AS q ORDER BY q) TO STDOUT;\nCOMMIT;\n"));
            text.push_str(&format!("# {}\n{rows}", heading(section)));
        }
        text
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let data = self.folder.join("data");
        let _ = self.server("pg_ctl").args(["stop", "-m", "immediate", "-s", "-D"]).arg(&data).output();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn schema() -> String {
    std::fs::read_to_string(corpus_folder().join("schema.sql")).unwrap()
}

/// Set this variable to write the stored catalogue anew after changing the schema or the queries.
const RENEW: &str = "COUNTERSIGN_RENEW_CATALOGUE";

#[test]
fn the_stored_catalogue_is_what_a_server_answers() {
    let server = match Scratch::start("catalogue") {
        Ok(server) => server,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    server.prepare(&schema());
    let live = server.catalogue();
    let path = corpus_folder().join("catalogue.txt");
    if std::env::var_os(RENEW).is_some() {
        std::fs::write(&path, &live).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap();
    // Minor versions differ in their number and in nothing else; OIDs are given out in the same order.
    let without_version = |text: &str| text.lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
    let (live, stored) = (without_version(&live), without_version(&stored));
    for (at, (a, b)) in live.iter().zip(&stored).enumerate() {
        assert_eq!(a, b, "line {}: run with {RENEW}=1 after changing schema or queries", at + 3);
    }
    assert_eq!(live.len(), stored.len());
}

#[test]
fn the_probe_notices_changes_and_nothing_else() {
    let server = match Scratch::start("probe") {
        Ok(server) => server,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    server.prepare(&schema());
    let moment = || server.psql(&format!("{CATALOGUE_MOMENT};")).trim().to_owned();
    let probe = Probe::from(&moment()).unwrap();
    let ask = || server.psql(&format!("{};", probe.sql()));
    let mut before = ask();
    assert!(before.contains("pg_proc="), "{before}");
    assert_eq!(server.psql(&format!("{};{};", Probe::PREPARE, probe.prepared())), before);
    let quiet = moment();
    server.prepare(
        "SELECT count(*) FROM orders; BEGIN READ ONLY; TABLE todo; COMMIT; SET search_path = tenant;",
    );
    assert_eq!(quiet, moment(), "nothing was committed");
    server.prepare("INSERT INTO todo VALUES (1); ANALYZE todo; SELECT count(*) FROM orders;");
    assert_ne!(quiet, moment(), "something was");
    assert_eq!(before, ask(), "data changed, definitions did not");
    for change in [
        "CREATE OR REPLACE FUNCTION shadowed(text) RETURNS text LANGUAGE sql AS 'SELECT $1 || ''!'''",
        "CREATE OR REPLACE VIEW open_orders AS SELECT * FROM orders WHERE status = 'closed'",
        "CREATE INDEX ON todo (id)",
        "CREATE POLICY p ON guarded USING (true)",
        "ALTER TABLE todo ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE todo ADD CHECK (id > 0)",
        "ALTER DOMAIN positive ADD CHECK (VALUE < 9)",
        "CREATE FUNCTION lower(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DROP FUNCTION lower(int)",
        "ALTER TABLE todo RENAME id TO number",
        "ALTER TABLE todo RENAME TO todos",
        "ALTER TABLE customers DROP extra",
        "BEGIN; DROP FUNCTION spicy_text(spicy) CASCADE; CREATE FUNCTION spicy_text(spicy) RETURNS text LANGUAGE sql AS \
         'SELECT ''x'''; END",
    ] {
        let quiet = moment();
        server.prepare(change);
        let after = ask();
        assert_ne!(before, after, "{change}");
        assert_ne!(quiet, moment(), "{change}");
        before = after;
        server.prepare("VACUUM FREEZE pg_catalog.pg_proc; ANALYZE pg_catalog.pg_class;");
        assert_eq!(before, ask(), "nothing but upkeep after {change}");
    }
}

#[test]
fn a_provable_read_changes_nothing_on_a_server() {
    let server = match Scratch::start("reads") {
        Ok(server) => server,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    server.prepare(&schema());
    server.prepare(DATA);
    let cases: Vec<Case> = corpus::cases();
    let live = server.catalogue();
    let mut reads = Vec::new();
    for case in cases.into_iter().filter(Case::is_plain) {
        let (sql, catalogue) = (case.sql.clone(), live.clone());
        let provable = parser().run(move || provable(&sql, &catalogue)).unwrap();
        assert_eq!(
            provable,
            case.provable(),
            "{}: the server's catalogue and the stored one disagree",
            case.sql
        );
        if provable && !case.refused {
            reads.push(case.sql);
        }
    }
    assert!(reads.len() > 40, "the corpus has {} reads", reads.len());
    let mut script = "SET statement_timeout = '20s';\n".to_owned();
    for (at, sql) in reads.iter().enumerate() {
        script.push_str(&format!(
            "BEGIN;\n{sql}\n;\nROLLBACK;\nBEGIN;\n\\o /dev/null\n{sql}\n;\n\\o\n\
             SELECT 'verdict {at} ' || (pg_current_xact_id_if_assigned() IS NULL) || ' ' ||\n\
             (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND (locktype = 'advisory' OR mode NOT IN\n\
              ('AccessShareLock', 'ExclusiveLock'))) || ' ' || (SELECT count(*) FROM audit_log);\nROLLBACK;\n"
        ));
    }
    let output = server.psql(&script);
    for (at, sql) in reads.iter().enumerate() {
        let prefix = format!("verdict {at} ");
        match output.lines().find_map(|line| line.strip_prefix(&prefix)) {
            Some(verdict) => assert_eq!(verdict, "true 0 0", "{sql}"),
            None => panic!("the server refuses a read of the corpus: {sql}"),
        }
    }
}

#[test]
fn a_plain_write_writes_what_is_named_on_a_server() {
    let server = match Scratch::start("writes") {
        Ok(server) => server,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    server.prepare(&schema());
    server.prepare(DATA);
    let plain = |facts: &Facts| facts.kinds.iter().eq([&Kind::Write]) && !facts.has_verb("copy_in");
    let writes: Vec<(String, Facts)> = corpus::cases()
        .into_iter()
        .filter(Case::is_plain)
        .map(|case| (case.sql.clone(), case.judge()))
        .filter(|(_, facts)| plain(facts))
        .collect();
    let mut script = "SET statement_timeout = '20s';\n".to_owned();
    for (at, (sql, _)) in writes.iter().enumerate() {
        script.push_str(&format!(
            "BEGIN;\n\\o /dev/null\n{sql}\n;\n\\o\nSELECT 'wrote {at} ' || schemaname || '.' || relname\n\
             FROM pg_stat_xact_user_tables WHERE n_tup_ins + n_tup_upd + n_tup_del > 0;\nROLLBACK;\n\\o /dev/null\nSELECT pg_stat_force_next_flush();\n\\o\n"
        ));
    }
    let output = server.psql(&script);
    let mut seen = 0;
    for line in output.lines().filter_map(|line| line.strip_prefix("wrote ")) {
        let (at, relation) = line.split_once(' ').unwrap();
        let (sql, facts) = &writes[at.parse::<usize>().unwrap()];
        let named = facts.relations.iter().any(|r| {
            r.access == Access::Write
                && r.schema.as_deref().map(|s| format!("{s}.{}", r.name)).as_deref() == Some(relation)
        });
        assert!(named, "{sql} wrote {relation}, which is not among {:?}", facts.relations);
        seen += 1;
    }
    assert!(seen > 15, "only {seen} writes were seen of {}", writes.len());
}

/// Rows, so that functions are called and index expressions met.
const DATA: &str = "
INSERT INTO customers SELECT i, 'name ' || i, i || '@example.com', '2000-01-01', '{a,b}', '{\"a\": 1}'
  FROM generate_series(1, 20) i;
INSERT INTO orders SELECT i, i, 'open', i, now() FROM generate_series(1, 20) i;
INSERT INTO order_items (order_id, amount) SELECT i, i FROM generate_series(1, 20) i;
INSERT INTO todo SELECT generate_series(1, 20);
INSERT INTO feelings VALUES (1, 'ok');
INSERT INTO measurements VALUES ('2024-02-02', 1);
ANALYZE;
TRUNCATE audit_log;
";

fn provable(sql: &str, catalogue: &str) -> bool {
    use std::cell::RefCell;
    thread_local! {
        static LOADED: RefCell<Option<countersign_wire::sql::Catalogue>> = const { RefCell::new(None) };
    }
    LOADED.with_borrow_mut(|loaded| {
        let catalogue = loaded.get_or_insert_with(|| load(catalogue));
        let session = SessionState::fresh(catalogue.server_version_num(), "postgres");
        let context = Context { session: &session, catalogue: Some(catalogue), parameter_types: &[] };
        classify_text(sql.as_bytes(), &context).provable_read
    })
}

#[test]
fn the_stored_catalogue_knows_what_leads_to_code() {
    let (provable, all) = catalogue().provable_relations();
    assert_eq!(catalogue().server_version_num() / 10_000, SERVER / 10_000);
    assert!(provable > 10 && provable < all, "{provable} of {all}");
}
