//! The embedded store: one SQLite file in the data folder, nothing to install.
//!
//! WAL with `synchronous=FULL`: a transaction is on the disk when its commit returns. One connection writes, behind
//! a mutex, so appends and side tables never collide; a few others read, each a consistent snapshot, and never wait
//! for the writer. `secure_delete` overwrites what is taken out: erased content is gone from the file.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior, params};

use super::runs::{self, Piece};
use super::{Batch, Drawer, Order, Pair, Put, Scan, Store, StoreError, StoredLine, Swap, end_of};

/// How many reading connections are kept. More readers than that wait for each other.
const READERS: usize = 4;

/// Prepared statements kept per connection.
const STATEMENTS_MAX: usize = 64;

/// Longer than any key of a drawer.
const KEY_BYTES_MAX: usize = 256;

/// Marks the file as ours (`PRAGMA application_id`).
const APPLICATION: i32 = 0x4353_4732;

/// The version of the tables (`PRAGMA user_version`).
const VERSION: i32 = 7;

/// Versions that only lack tables.
const FEWER_TABLES: std::ops::Range<i32> = 1..VERSION;

/// A ledger in one SQLite file.
pub struct SqliteStore {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Vec<Mutex<Connection>>,
    /// Held for as long as the store is open; a simulated disk has none.
    _lock: Option<File>,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the store in the file `path`, or makes one. Its folder must exist.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process writes to it, [`StoreError::Format`] if it is something else.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = claim(path)?;
        Self::open_in(path, None, Some(lock))
    }

    /// Opens the store in a file system of SQLite's own (a registered VFS) instead of the machine's. The log is folded
    /// into the file every so many pages, so that a short run does what a long one would.
    ///
    /// # Errors
    /// As for [`SqliteStore::open`].
    #[cfg(any(test, feature = "testing"))]
    pub fn open_simulated(path: &Path, vfs: &str, fold_every: u32) -> Result<Self, StoreError> {
        let store = Self::open_in(path, Some(vfs), None)?;
        let set = store.writer().pragma_update(None, "wal_autocheckpoint", fold_every);
        set.map_err(failed("open the store"))?;
        Ok(store)
    }

    /// Commits without waiting for the disk from here on: what a store must never do.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    #[cfg(any(test, feature = "testing"))]
    pub fn commit_without_syncing(&self) -> Result<(), StoreError> {
        self.writer().pragma_update(None, "synchronous", "NORMAL").map_err(failed("stop syncing"))
    }

    fn open_in(path: &Path, vfs: Option<&str>, lock: Option<File>) -> Result<Self, StoreError> {
        let path = path.to_owned();
        let writer = open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE, vfs)?;
        prepare_schema(&writer, &path)?;
        let readers = (0..READERS)
            .map(|_| {
                let reader = open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE, vfs)?;
                reader.pragma_update(None, "query_only", true).map_err(failed("open a reader"))?;
                Ok(Mutex::new(reader))
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Self { path, writer: Mutex::new(writer), readers, _lock: lock })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reading connection that is free, else the first one once it is.
    fn reader(&self) -> MutexGuard<'_, Connection> {
        let free = self.readers.iter().find_map(|reader| reader.try_lock().ok());
        free.unwrap_or_else(|| {
            let first = self.readers.first().unwrap_or(&self.writer);
            first.lock().unwrap_or_else(PoisonError::into_inner)
        })
    }

    /// Rows of lines, from one on.
    fn rows(
        reader: &Connection,
        sql: &'static str,
        from: u64,
        count: usize,
    ) -> Result<Vec<StoredLine>, StoreError> {
        let fail = failed("read lines");
        let mut statement = reader.prepare_cached(sql).map_err(&fail)?;
        let rows = statement
            .query_map(params![signed(from), i64::try_from(count).unwrap_or(i64::MAX)], |row| {
                Ok(StoredLine { index: unsigned(row.get(0)?), decides: row.get(1)?, bytes: row.get(2)? })
            })
            .map_err(&fail)?;
        rows.collect::<Result<_, _>>().map_err(&fail)
    }

    /// Lines that are in runs, from one on: `count` of them, if there are so many.
    fn run_lines(reader: &Connection, from: u64, count: usize) -> Result<Vec<StoredLine>, StoreError> {
        let fail = failed("read lines");
        let mut statement = reader
            .prepare_cached(
                "SELECT first, packed FROM runs WHERE first >= coalesce((SELECT max(first) FROM runs WHERE \
                 first <= ?1), 0) ORDER BY first",
            )
            .map_err(&fail)?;
        let mut rows = statement.query([signed(from)]).map_err(&fail)?;
        let mut lines = Vec::new();
        while lines.len() < count {
            let Some(row) = rows.next().map_err(&fail)? else { break };
            let first = unsigned(row.get(0).map_err(&fail)?);
            let packed = row.get_ref(1).and_then(|packed| Ok(packed.as_blob()?)).map_err(&fail)?;
            let run = runs::unpack(first, packed).ok_or_else(|| {
                StoreError::failed(
                    "read lines",
                    format!("the run of lines that begins with {first} is broken"),
                )
            })?;
            lines.extend(run.into_iter().filter(|line| line.index >= from));
        }
        Ok(lines)
    }
}

impl Store for SqliteStore {
    fn next_index(&self) -> Result<u64, StoreError> {
        next_index(&self.reader())
    }

    fn append(&self, expected: u64, batch: &Batch) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let transaction = writer
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed("begin a transaction"))?;
        let found = next_index(&transaction)?;
        if found != expected {
            return Err(StoreError::Moved { expected, found });
        }
        write_lines(&transaction, batch)?;
        write_puts(&transaction, &batch.puts)?;
        transaction.commit().map_err(failed("make a batch durable"))
    }

    fn read(&self, from: u64, count: usize) -> Result<Vec<StoredLine>, StoreError> {
        const ROWS: &str = "SELECT seq, decides, line FROM lines WHERE seq >= ?1 ORDER BY seq LIMIT ?2";
        let mut reader = self.reader();
        // Both tables as of one moment.
        let moment = reader.transaction().map_err(failed("read lines"))?;
        let mut lines = Self::rows(&moment, ROWS, from, count)?;
        lines.extend(Self::run_lines(&moment, from, count)?);
        lines.sort_by_key(|line| line.index);
        lines.truncate(count);
        Ok(lines)
    }

    fn read_decisions(&self, from: u64, count: usize) -> Result<Vec<StoredLine>, StoreError> {
        const ROWS: &str =
            "SELECT seq, decides, line FROM lines WHERE decides = 1 AND seq >= ?1 ORDER BY seq LIMIT ?2";
        Self::rows(&self.reader(), ROWS, from, count)
    }

    fn get(&self, drawer: Drawer, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let fail = failed("read a value");
        let reader = self.reader();
        let mut statement = reader.prepare_cached(sql_of(drawer).get).map_err(&fail)?;
        statement.query_row([key], |row| row.get(0)).optional().map_err(&fail)
    }

    fn scan(&self, drawer: Drawer, scan: &Scan<'_>) -> Result<Vec<Pair>, StoreError> {
        let fail = failed("look through a drawer");
        let reader = self.reader();
        let bounds = Bounds::of(scan);
        let sql = match scan.order {
            Order::Up => sql_of(drawer).up,
            Order::Down => sql_of(drawer).down,
        };
        let mut statement = reader.prepare_cached(sql).map_err(&fail)?;
        let count = i64::try_from(scan.count).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(params![bounds.from, bounds.below, count], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(&fail)?;
        rows.collect::<Result<_, _>>().map_err(&fail)
    }

    fn put(&self, puts: &[Put]) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let transaction = writer
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed("begin a transaction"))?;
        write_puts(&transaction, puts)?;
        transaction.commit().map_err(failed("make values durable"))
    }

    fn swap(&self, drawer: Drawer, swaps: &[Swap]) -> Result<u64, StoreError> {
        let fail = failed("replace a value");
        let mut writer = self.writer();
        let transaction = writer
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed("begin a transaction"))?;
        let mut replaced = 0_u64;
        {
            let mut statement = transaction.prepare_cached(sql_of(drawer).swap).map_err(&fail)?;
            for swap in swaps {
                let rows = statement.execute(params![swap.key, swap.before, swap.then]).map_err(&fail)?;
                replaced = replaced.saturating_add(rows as u64);
            }
        }
        transaction.commit().map_err(failed("make values durable"))?;
        Ok(replaced)
    }
}

fn open(path: &Path, flags: OpenFlags, vfs: Option<&str>) -> Result<Connection, StoreError> {
    let fail = failed("open the store");
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = match vfs {
        None => Connection::open_with_flags(path, flags),
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
    };
    let connection = opened.map_err(&fail)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(&fail)?;
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;")
        .map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => {
                StoreError::Format { path: path.display().to_string(), why: "not a database".into() }
            }
            _ => fail(error),
        })?;
    Ok(connection)
}

/// Holds the lock for as long as the store is open, so that two gateways never write one ledger.
fn claim(path: &Path) -> Result<File, StoreError> {
    let fail = |error| StoreError::failed("take the lock", error);
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.with_extension("lock"))
        .map_err(|error| fail(Box::new(error)))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.display().to_string())),
        Err(TryLockError::Error(error)) => Err(fail(Box::new(error))),
    }
}

fn prepare_schema(writer: &Connection, path: &Path) -> Result<(), StoreError> {
    let fail = failed("make the tables");
    let pragma = |name| writer.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let format = |why: String| StoreError::Format { path: path.display().to_string(), why };
    match (pragma("application_id").map_err(&fail)?, pragma("user_version").map_err(&fail)?) {
        (APPLICATION, VERSION) => Ok(()),
        (APPLICATION, version) if FEWER_TABLES.contains(&version) => writer
            .execute_batch(&format!("BEGIN; {} PRAGMA user_version = {VERSION}; COMMIT;", tables()))
            .map_err(&fail),
        (APPLICATION, version) => Err(format(format!("its version is {version}, not {VERSION}"))),
        (0, 0) => writer
            .execute_batch(&format!(
                "BEGIN; CREATE TABLE lines (seq INTEGER PRIMARY KEY NOT NULL, decides INTEGER NOT NULL, \
                     line BLOB NOT NULL) STRICT; \
                     CREATE INDEX decisions ON lines (seq) WHERE decides = 1; {} \
                     PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;",
                tables()
            ))
            .map_err(&fail),
        _ => Err(format("another program wrote it".into())),
    }
}

/// The tables of runs and of all drawers, those that are not there yet.
fn tables() -> String {
    let table = |drawer: &Drawer| {
        format!(
            "CREATE TABLE IF NOT EXISTS {drawer} (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) \
             STRICT, WITHOUT ROWID;"
        )
    };
    let runs = "CREATE TABLE IF NOT EXISTS runs (first INTEGER PRIMARY KEY NOT NULL, count INTEGER NOT NULL, \
                packed BLOB NOT NULL) STRICT;";
    Drawer::ALL.iter().map(table).fold(runs.to_owned(), |all, one| all + &one)
}

fn next_index(connection: &Connection) -> Result<u64, StoreError> {
    let fail = failed("read the ledger's size");
    let mut statement = connection
        .prepare_cached(
            "SELECT max(coalesce((SELECT max(seq) + 1 FROM lines), 0), \
             coalesce((SELECT first + count FROM runs ORDER BY first DESC LIMIT 1), 0))",
        )
        .map_err(&fail)?;
    Ok(unsigned(statement.query_row([], |row| row.get(0)).map_err(&fail)?))
}

fn write_lines(connection: &Connection, batch: &Batch) -> Result<(), StoreError> {
    let fail = failed("append a line");
    let prepare = |sql| connection.prepare_cached(sql).map_err(&fail);
    for piece in runs::pieces(&batch.lines) {
        match piece {
            Piece::One(line) => {
                prepare("INSERT INTO lines (seq, decides, line) VALUES (?1, ?2, ?3)")?
                    .execute(params![signed(line.index), line.decides, line.bytes])
                    .map_err(&fail)?;
            }
            Piece::Run(run) => {
                batch.give_way();
                let first = run.first().map_or(0, |line| line.index);
                let count = i64::try_from(run.len()).unwrap_or(i64::MAX);
                prepare("INSERT INTO runs (first, count, packed) VALUES (?1, ?2, ?3)")?
                    .execute(params![signed(first), count, runs::pack(run)])
                    .map_err(&fail)?;
            }
        }
    }
    Ok(())
}

fn write_puts(connection: &Connection, puts: &[Put]) -> Result<(), StoreError> {
    let fail = failed("write a value");
    for put in puts {
        let sql = sql_of(put.drawer);
        match &put.value {
            Some(value) => {
                let text = if put.must_be_new { sql.insert } else { sql.replace };
                let mut statement = connection.prepare_cached(text).map_err(&fail)?;
                statement.execute(params![put.key, value]).map_err(|error| {
                    match error.sqlite_error_code() {
                        Some(ErrorCode::ConstraintViolation) => StoreError::Exists(put.drawer.name()),
                        _ => fail(error),
                    }
                })?;
            }
            None => {
                let mut statement = connection.prepare_cached(sql.remove).map_err(&fail)?;
                statement.execute([&put.key]).map_err(&fail)?;
            }
        }
    }
    Ok(())
}

fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |source| StoreError::failed(doing, source)
}

fn signed(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

fn unsigned(index: i64) -> u64 {
    u64::try_from(index).unwrap_or_default()
}

/// The keys of a scan: from one, inclusive, to another, exclusive.
struct Bounds {
    from: Vec<u8>,
    below: Vec<u8>,
}

impl Bounds {
    fn of(scan: &Scan<'_>) -> Self {
        let mut from = scan.prefix.to_vec();
        let mut below = end_of(scan.prefix).unwrap_or_else(|| vec![u8::MAX; KEY_BYTES_MAX]);
        match (scan.after, scan.order) {
            (None, _) => {}
            // The smallest key after another is that one with a zero behind it.
            (Some(after), Order::Up) => from = [after, &[0]].concat(),
            (Some(after), Order::Down) => below = after.to_vec(),
        }
        Self { from, below }
    }
}

/// A drawer's statements. Texts are constants, so that nothing from outside is ever part of one.
struct Sql {
    get: &'static str,
    insert: &'static str,
    replace: &'static str,
    remove: &'static str,
    swap: &'static str,
    up: &'static str,
    down: &'static str,
}

macro_rules! sql {
    ($table:literal) => {
        Sql {
            get: concat!("SELECT value FROM ", $table, " WHERE key = ?1"),
            insert: concat!("INSERT INTO ", $table, " (key, value) VALUES (?1, ?2)"),
            replace: concat!("INSERT OR REPLACE INTO ", $table, " (key, value) VALUES (?1, ?2)"),
            remove: concat!("DELETE FROM ", $table, " WHERE key = ?1"),
            swap: concat!("UPDATE ", $table, " SET value = ?3 WHERE key = ?1 AND value = ?2"),
            up: concat!(
                "SELECT key, value FROM ",
                $table,
                " WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3"
            ),
            down: concat!(
                "SELECT key, value FROM ",
                $table,
                " WHERE key >= ?1 AND key < ?2 ORDER BY key DESC LIMIT ?3"
            ),
        }
    };
}

const fn sql_of(drawer: Drawer) -> &'static Sql {
    match drawer {
        Drawer::Meta => &sql!("meta"),
        Drawer::Content => &sql!("content"),
        Drawer::Sheets => &sql!("content_sheets"),
        Drawer::Keys => &sql!("content_keys"),
        Drawer::Bundles => &sql!("bundles"),
        Drawer::Secrets => &sql!("secrets"),
        Drawer::Passwords => &sql!("passwords"),
        Drawer::Tokens => &sql!("tokens"),
        Drawer::Authenticators => &sql!("authenticators"),
        Drawer::Places => &sql!("places"),
        Drawer::Devices => &sql!("devices"),
        Drawer::Credentials => &sql!("credentials"),
        Drawer::Clients => &sql!("clients"),
        Drawer::Directories => &sql!("directories"),
        Drawer::Tiles => &sql!("tiles"),
        Drawer::Checkpoints => &sql!("checkpoints"),
        Drawer::Cursors => &sql!("cursors"),
        Drawer::History => &sql!("history"),
    }
}
