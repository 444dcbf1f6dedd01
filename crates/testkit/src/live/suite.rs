//! PostgreSQL's own regression suite, statement by statement: judged as the door would, then run and watched.
//!
//! Every script runs in a database of its own that was copied from one with the suite's common tables. A statement is
//! judged in the session's own state, then sent. What is judged a provable read is run inside a transaction (where the
//! script has none open) and watched: it must leave no trace. What is judged a write and nothing else must open for
//! writing no table that it does not name. Whatever ran, the server's command tags must agree with the verbs.
//!
//! What not: the results. Modules in C that the suite builds for itself are not there, so what needs them fails on both
//! sides; its data files are replaced by made-up rows of the same shape.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use countersign_wire::postgres::TransactionStatus;
use countersign_wire::sql::{Access, Facts, Kind};

use super::client::{Answer, Client};
use super::follow::Follower;
use super::script::{Script, Step, Then};
use super::server::{SUPERUSER, Server};
use super::tags;
use super::watch::{Watch, differences, inside};

/// Scripts that make what the others use; they run first, in the database that the others are copied from. The first
/// is enough for many.
pub const COMMON: [&str; 3] = ["test_setup", "create_index", "create_misc"];
/// The database that the others are copied from.
const TEMPLATE: &str = "suite_template";
/// The database of one script.
const SCRATCH: &str = "regression";
/// How many statements one `\gexec` may make.
const MADE_MAX: usize = 1_000;

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Scripts run.
    pub scripts: u64,
    /// Statement texts judged.
    pub statements: u64,
    /// Of those, completed by the server.
    pub completed: u64,
    /// Understood exactly as the server does: verbs as its tags, or refused by both grammars.
    pub exact: u64,
    /// By strictest kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Judged provable reads.
    pub provable: u64,
    /// Provable reads that were watched while they ran.
    pub watched: u64,
    /// Writes and nothing else that were watched while they ran.
    pub watched_writes: u64,
    /// Completed, but their text was not understood.
    pub not_parsed: Vec<String>,
    /// Completed, and the tag disagrees.
    pub wrong_verbs: Vec<String>,
    /// Judged provable reads that changed something.
    pub changed: Vec<String>,
    /// Judged writes and nothing else that wrote what they do not name.
    pub unnamed: Vec<String>,
    /// Scripts that did not get to their end.
    pub broken: Vec<String>,
}

impl Figures {
    /// Whether everything that must be empty is.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.wrong_verbs.is_empty()
            && self.changed.is_empty()
            && self.unnamed.is_empty()
            && self.broken.is_empty()
    }

    /// Adds those of another part of the run.
    pub fn add(&mut self, other: Self) {
        self.scripts += other.scripts;
        self.statements += other.statements;
        self.completed += other.completed;
        self.exact += other.exact;
        self.provable += other.provable;
        self.watched += other.watched;
        self.watched_writes += other.watched_writes;
        for (kind, count) in other.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        self.not_parsed.extend(other.not_parsed);
        self.wrong_verbs.extend(other.wrong_verbs);
        self.changed.extend(other.changed);
        self.unnamed.extend(other.unnamed);
        self.broken.extend(other.broken);
    }

    /// The figures in words.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = String::new();
        let share = |part: u64| {
            let thousandths = (part * 100_000).checked_div(self.statements.max(1)).unwrap_or(0);
            format!("{}.{:03}%", thousandths / 1_000, thousandths % 1_000)
        };
        let mut line = |what: &str, count: u64, remark: String| {
            let _to_a_string = writeln!(table, "{what:<58} {count:>8}  {remark}");
        };
        line("scripts", self.scripts, String::new());
        line("statements read", self.statements, String::new());
        line("  understood exactly as the server does", self.exact, share(self.exact));
        line("  completed by the server", self.completed, share(self.completed));
        line("wrong verbs", self.wrong_verbs.len() as u64, "must be 0".to_owned());
        line("provable reads", self.provable, share(self.provable));
        line("  watched while they ran", self.watched, String::new());
        line("  that changed anything", self.changed.len() as u64, "must be 0".to_owned());
        line("writes and nothing else, watched", self.watched_writes, String::new());
        line("  that wrote what they do not name", self.unnamed.len() as u64, "must be 0".to_owned());
        for (kind, count) in &self.kinds {
            line(kind, *count, share(*count));
        }
        line("run by the server, not parsed here", self.not_parsed.len() as u64, "sql.unknown".to_owned());
        line("scripts that broke off", self.broken.len() as u64, "must be 0".to_owned());
        table
    }
}

/// A run on one server.
#[derive(Debug)]
pub struct Suite<'a> {
    server: &'a Server,
    scripts: &'a Path,
    common: Figures,
}

impl<'a> Suite<'a> {
    /// Makes the common tables, with all of [`COMMON`] or some. They are part of the suite, so they are judged and
    /// counted too.
    ///
    /// # Errors
    /// The server is gone or a script can't be read.
    pub fn prepare(server: &'a Server, scripts: &'a Path, common: &[&str]) -> Result<Self> {
        data(server)?;
        let mut admin = server.superuser("postgres")?;
        admin.ask(&format!("CREATE DATABASE {TEMPLATE} TEMPLATE template0"))?;
        let mut suite = Self { server, scripts, common: Figures::default() };
        for name in common {
            let figures = suite.run_in(name, TEMPLATE)?;
            suite.common.add(figures);
        }
        Ok(suite)
    }

    /// What making the common tables came to.
    #[must_use]
    pub const fn common(&self) -> &Figures {
        &self.common
    }

    /// The names of the scripts, the common ones excepted.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn names(scripts: &Path) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(scripts)? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned);
            names.extend(name.filter(|name| !COMMON.contains(&name.as_str())));
        }
        names.sort();
        Ok(names)
    }

    /// Runs one script in a database of its own.
    ///
    /// # Errors
    /// The server is gone or the script can't be read.
    pub fn run(&self, name: &str) -> Result<Figures> {
        let mut admin = self.server.superuser("postgres")?;
        admin.ask(&format!("CREATE DATABASE {SCRATCH} TEMPLATE {TEMPLATE}"))?;
        let figures = self.run_in(name, SCRATCH);
        admin.ask(&format!("DROP DATABASE {SCRATCH} WITH (FORCE)"))?;
        // Roles are the cluster's; what a script has left of them would trouble the next.
        for row in admin.ask("SELECT quote_ident(rolname) FROM pg_roles WHERE rolname LIKE 'regress%'")?.rows
        {
            if let Some(Some(role)) = row.first() {
                admin.query(&format!("DROP ROLE {role}"), &mut Vec::new)?;
            }
        }
        figures
    }

    fn run_in(&self, name: &str, database: &str) -> Result<Figures> {
        let path = self.scripts.join(format!("{name}.sql"));
        let text = std::fs::read(&path).with_context(|| format!("{} can't be read", path.display()))?;
        let mut script = Script::new(&String::from_utf8_lossy(&text));
        let folder = self.server.folder().display().to_string();
        for (variable, value) in [
            ("PG_ABS_SRCDIR", folder.clone()),
            ("PG_ABS_BUILDDIR", folder),
            ("PG_LIBDIR", self.server.libraries.display().to_string()),
            ("PG_DLSUFFIX", ".so".to_owned()),
        ] {
            script.environment.insert(variable.to_owned(), value);
        }
        let mut run = Run::start(self.server, name, database)?;
        let outcome = run.script(&mut script);
        let mut figures = run.figures;
        figures.scripts = 1;
        if let Err(error) = outcome {
            figures.broken.push(format!("{name}: {error:#}"));
        }
        Ok(figures)
    }
}

/// One script on its way.
struct Run<'a> {
    server: &'a Server,
    name: &'a str,
    database: &'a str,
    client: Client,
    watch: Watch,
    follower: Follower,
    figures: Figures,
}

impl<'a> Run<'a> {
    fn start(server: &'a Server, name: &'a str, database: &'a str) -> Result<Self> {
        let client = server.superuser(database)?;
        let watch = Watch::new(server.superuser(database)?)?;
        let follower = Follower::new(SUPERUSER, &client);
        Ok(Self { server, name, database, client, watch, follower, figures: Figures::default() })
    }

    fn script(&mut self, script: &mut Script) -> Result<()> {
        loop {
            let conforming = self.client.reported.get("standard_conforming_strings");
            script.backslashes_escape = conforming.is_some_and(|value| value == "off");
            match script.step() {
                None => return Ok(()),
                Some(Step::Connect(user)) => self.connect(user.as_deref().unwrap_or(SUPERUSER))?,
                Some(Step::Statement(text, then)) => {
                    let Some(answer) = self.statement(&text, script)? else { continue };
                    match then {
                        Then::Nothing => {}
                        Then::Set(prefix) => set_variables(&answer, &prefix, script),
                        Then::Execute => {
                            let made: Vec<String> = answer.rows.into_iter().flatten().flatten().collect();
                            for text in made.into_iter().take(MADE_MAX) {
                                self.statement(&text, script)?;
                            }
                        }
                    }
                }
            }
        }
    }

    fn connect(&mut self, user: &str) -> Result<()> {
        // A user that is refused leaves psql without a session; the script goes on as the superuser here.
        let (user, client) = match self.server.session(user, self.database) {
            Ok(client) => (user, client),
            Err(_) => (SUPERUSER, self.server.superuser(self.database)?),
        };
        self.client = client;
        self.follower.restart(user, &self.client);
        Ok(())
    }

    /// Judges and runs one text. Nothing comes back where the session ended over it.
    fn statement(&mut self, text: &str, script: &mut Script) -> Result<Option<Answer>> {
        let facts = self.follower.judge(text, &mut self.client, self.watch.client())?;
        self.figures.statements += 1;
        *self.figures.kinds.entry(facts.kind.action()).or_default() += 1;
        self.figures.provable += u64::from(facts.provable_read);
        self.follower.sends(text, &facts);
        let idle = self.client.status == TransactionStatus::Idle;
        let plain_write = facts.kinds.iter().eq([&Kind::Write]) && facts.statements == 1;
        let ran = if facts.provable_read && self.client.status != TransactionStatus::Failed {
            self.watched_read(text, &facts)
        } else if plain_write && idle {
            self.watched_write(text, &facts, script)
        } else {
            self.client.query(text, &mut || script.copied())
        };
        let answer = match ran {
            Ok(answer) => answer,
            Err(_) => {
                // Some scripts end their own session; the rest of the script runs in another.
                self.connect(SUPERUSER)?;
                return Ok(None);
            }
        };
        self.follower.answered(answer.error.is_none());
        self.compare(text, &facts, &answer);
        Ok(Some(answer))
    }

    /// What the server says, against what was judged.
    fn compare(&mut self, text: &str, facts: &Facts, answer: &Answer) {
        let unparsed = facts.kind == Kind::Unknown && facts.statements == 0;
        let refused_by_grammar = answer.error.as_ref().is_some_and(|error| error.code == "42601");
        match &answer.error {
            None => {
                self.figures.completed += 1;
                if unparsed {
                    self.figures.not_parsed.push(self.place(text, &facts.reasons.join("; ")));
                }
            }
            Some(_) if unparsed => self.figures.exact += u64::from(refused_by_grammar),
            Some(_) => {}
        }
        if unparsed {
            return;
        }
        let wrong = answer.tags.iter().find(|tag| !tags::agrees(tag, facts));
        match wrong {
            // It claims nothing: what was prepared elsewhere, or is read under settings that are not understood.
            Some(_) if facts.kind == Kind::Unknown => {}
            Some(tag) => {
                let verbs: Vec<&str> = facts.verbs.iter().map(|verb| verb.as_str()).collect();
                let why = format!("the server says {tag}, judged {} {verbs:?}", facts.kind.action());
                self.figures.wrong_verbs.push(self.place(text, &why));
            }
            None => self.figures.exact += 1,
        }
    }

    fn watched_read(&mut self, text: &str, facts: &Facts) -> Result<Answer> {
        let idle = self.client.status == TransactionStatus::Idle;
        // SHOW may stand before statements that nothing may stand before.
        let looks_inside = !facts.has_verb("show");
        let within = |client: &mut Client| if looks_inside { inside(client) } else { Ok(Default::default()) };
        let within_before = within(&mut self.client)?;
        if idle {
            self.client.ask("BEGIN")?;
        }
        let before = self.watch.outside(self.client.process)?;
        let answer = self.client.query(text, &mut Vec::new)?;
        let after = self.watch.outside(self.client.process)?;
        if idle {
            self.client.ask("ROLLBACK")?;
        }
        let failed = self.client.status == TransactionStatus::Failed;
        let within_after = if failed { within_before.clone() } else { within(&mut self.client)? };
        self.figures.watched += 1;
        let found = differences((&before, &within_before), (&after, &within_after));
        if !found.is_empty() {
            let place = self.place(text, &found.join(", "));
            self.figures.changed.push(place);
        }
        Ok(answer)
    }

    fn watched_write(&mut self, text: &str, facts: &Facts, script: &mut Script) -> Result<Answer> {
        self.client.ask("BEGIN")?;
        let answer = self.client.query(text, &mut || script.copied())?;
        let after = self.watch.outside(self.client.process)?;
        self.client.ask("COMMIT").or_else(|_| self.client.ask("ROLLBACK"))?;
        self.figures.watched_writes += 1;
        for (oid, name) in &after.written {
            let named = facts.relations.iter().any(|r| {
                let by_name =
                    || r.schema.as_ref().map_or_else(|| r.name.clone(), |s| format!("{s}.{}", r.name));
                r.access == Access::Write && (r.oid == Some(*oid) || by_name() == *name)
            });
            if !named {
                let named: Vec<String> =
                    facts.relations.iter().map(|r| format!("{:?} {}", r.access, r.name)).collect();
                let place = self.place(text, &format!("it wrote {name}, named {named:?}"));
                self.figures.unnamed.push(place);
            }
        }
        Ok(answer)
    }

    fn place(&self, text: &str, why: &str) -> String {
        let short: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
        format!("{}: {why}: {short}", self.name)
    }
}

fn set_variables(answer: &Answer, prefix: &str, script: &mut Script) {
    let Some(row) = answer.rows.last() else { return };
    for (column, value) in answer.columns.iter().zip(row) {
        let name = format!("{prefix}{column}");
        match value {
            Some(value) => script.variables.insert(name, value.clone()),
            None => script.variables.remove(&name),
        };
    }
}

/// Rows for the common tables, of the shape that the suite's data files have.
fn data(server: &Server) -> Result<()> {
    let folder = server.folder().join("data-files");
    std::fs::create_dir(&folder)?;
    let wide = |rows: u32| {
        let mut text = String::new();
        for row in 0..rows {
            let unique = (row * 7 + 3) % rows;
            let name = letters(unique);
            let _to_a_string = writeln!(
                text,
                "{unique}\t{row}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{unique}\t{}\t{}\t{name}AAAA\t{}AAAA\t{}",
                unique % 2,
                unique % 4,
                unique % 10,
                unique % 20,
                unique % 100,
                unique % 1000,
                unique % 2000,
                unique % 5000,
                (unique % 100) * 2,
                (unique % 100) * 2 + 1,
                letters(row),
                ["AAAAxx", "HHHHxx", "OOOOxx", "VVVVxx"].get(row as usize % 4).copied().unwrap_or_default(),
            );
        }
        text
    };
    let people = "mike\t40\t(3.1,6.2)\njoe\t20\t(5.5,2.5)\nsally\t34\t(3.8,45.8)\n";
    let files = [
        ("onek", wide(1_000)),
        ("tenk", wide(10_000)),
        ("person", people.to_owned()),
        ("agg", "56\t7.8\n100\t99.097\n0\t0.09561\n42\t324.78\n".to_owned()),
        ("emp", "sharon\t25\t(15,12)\t1000\tsam\nsam\t30\t(10,5)\t2000\tbill\n".to_owned()),
        ("student", "fred\t28\t(3.1,-1.5)\t3.7\nlarry\t60\t(21.8,4.9)\t3.1\n".to_owned()),
        ("stud_emp", "jeff\t23\t(8,7.7)\t600\tsharon\t3.5\t\\N\n".to_owned()),
    ];
    let as_server = folder.parent().context("the folder has no parent")?.join("data");
    for (name, text) in files {
        std::fs::write(folder.join(format!("{name}.data")), text)?;
    }
    // The suite's scripts look for their files in `data`, which is also what this server's cluster is called.
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let name = path.file_name().context("a file without a name")?;
        std::fs::copy(&path, as_server.join(name))?;
    }
    Ok(())
}

fn letters(number: u32) -> String {
    let letter = |n: u32| char::from(b'A' + u8::try_from(n % 26).unwrap_or(0));
    let divided = |by: u32| letter(number.checked_div(by).unwrap_or(0));
    [divided(1), divided(26), divided(676), divided(17_576)].into_iter().collect()
}
