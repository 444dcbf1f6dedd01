//! The embedded store by itself.

use tempfile::TempDir;

use crate::store::{Batch, Drawer, Order, Put, Scan, SqliteStore, Store, StoreError, StoredLine};

fn fresh() -> (TempDir, SqliteStore) {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("ledger.db")).unwrap();
    (folder, store)
}

fn line(index: u64, decides: bool) -> StoredLine {
    StoredLine { index, decides, bytes: index.to_be_bytes().to_vec() }
}

fn batch(from: u64, count: u64) -> Batch {
    Batch {
        lines: (from..from + count).map(|index| line(index, index % 3 == 0)).collect(),
        puts: Vec::new(),
        unhurried: false,
    }
}

#[test]
fn lines_are_appended_where_they_belong_or_not_at_all() {
    let (folder, store) = fresh();
    assert_eq!(store.next_index().unwrap(), 0);
    store.append(0, &batch(0, 5)).unwrap();
    for wrong in [0, 4, 6] {
        let refused = store.append(wrong, &batch(wrong, 1));
        assert!(matches!(refused, Err(StoreError::Moved { found: 5, .. })), "{wrong}");
    }
    store.append(5, &batch(5, 2)).unwrap();
    assert_eq!(store.read(3, 3).unwrap(), [line(3, true), line(4, false), line(5, false)]);
    assert_eq!(store.read_decisions(1, 10).unwrap(), [line(3, true), line(6, true)]);
    assert!(store.read(7, 10).unwrap().is_empty());
    drop(store);
    let again = SqliteStore::open(&folder.path().join("ledger.db")).unwrap();
    assert_eq!(again.next_index().unwrap(), 7);
}

/// However lines were divided into transactions and rows, they are read as they were written.
#[test]
fn lines_in_runs_are_read_like_others() {
    let (folder, store) = fresh();
    // Nothing feeds the book here but every tenth line, and one stretch is longer than a row.
    let decides = |index: u64| index % 10 == 3 && !(400..900).contains(&index);
    let made = |index: u64| StoredLine {
        index,
        decides: decides(index),
        bytes: format!("{{\"seq\":{index},\"text\":\"{}\"}}", "alike ".repeat(60)).into_bytes(),
    };
    let mut next = 0;
    for count in [1, 3, 4, 40, 300, 2, 520, 1, 60] {
        let lines = (next..next + count).map(made).collect();
        store.append(next, &Batch { lines, unhurried: next % 2 == 0, ..Batch::default() }).unwrap();
        next += count;
        assert_eq!(store.next_index().unwrap(), next);
    }
    for (from, count) in
        [(0, 2_000), (1, 1), (7, 8), (402, 30), (404, 1), (899, 5), (next - 1, 3), (next, 5), (5, 0)]
    {
        let wanted: Vec<StoredLine> = (from..next).take(count).map(made).collect();
        assert_eq!(store.read(from, count).unwrap(), wanted, "{count} from {from}");
    }
    let wanted: Vec<StoredLine> = (0..next).filter(|index| decides(*index)).map(made).collect();
    assert_eq!(store.read_decisions(0, 2_000).unwrap(), wanted);
    drop(store);
    let path = folder.path().join("ledger.db");
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < next * 400 / 2, "{size} bytes");
    // Whoever meddles with a run is told of, and where.
    let database = rusqlite::Connection::open(&path).unwrap();
    let change =
        "UPDATE runs SET packed = CAST(substr(packed, 1, length(packed) - 1) AS BLOB) WHERE first > 350";
    assert!(database.execute(change, []).unwrap() > 0);
    drop(database);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.read(0, 40).unwrap().len(), 40);
    let broken = store.read(360, 900).unwrap_err().chain();
    assert!(broken.contains("the run of lines that begins with"), "{broken}");
}

#[test]
fn a_batch_is_whole_or_not_there() {
    let (_folder, store) = fresh();
    store.put(&[Put::new(Drawer::Checkpoints, *b"1", *b"first")]).unwrap();
    let clash = Batch {
        lines: vec![line(0, true)],
        puts: vec![Put::set(Drawer::Meta, *b"a", *b"b"), Put::new(Drawer::Checkpoints, *b"1", *b"second")],
        unhurried: false,
    };
    assert!(matches!(store.append(0, &clash), Err(StoreError::Exists("checkpoints"))));
    assert_eq!(store.next_index().unwrap(), 0);
    assert_eq!(store.get(Drawer::Meta, b"a").unwrap(), None);
    assert_eq!(store.get(Drawer::Checkpoints, b"1").unwrap().unwrap(), b"first");
}

#[test]
fn drawers_are_looked_through_by_prefix() {
    let (_folder, store) = fresh();
    let keys: [&[u8]; 6] = [b"a", b"b", b"b\x00", b"b\xff\xff", b"c", b"\xff\xff"];
    let puts: Vec<Put> = keys.iter().map(|key| Put::set(Drawer::History, *key, *key)).collect();
    store.put(&puts).unwrap();
    let scan = |prefix: &[u8], after: Option<&[u8]>, order, count| {
        let pairs = store.scan(Drawer::History, &Scan { prefix, after, order, count }).unwrap();
        pairs.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(scan(b"b", None, Order::Up, 9), [&b"b"[..], b"b\x00", b"b\xff\xff"]);
    assert_eq!(scan(b"b", None, Order::Down, 2), [&b"b\xff\xff"[..], b"b\x00"]);
    assert_eq!(scan(b"b", Some(b"b"), Order::Up, 9), [&b"b\x00"[..], b"b\xff\xff"]);
    assert_eq!(scan(b"b", Some(b"b\x00"), Order::Down, 9), [&b"b"[..]]);
    assert_eq!(scan(b"", None, Order::Down, 1), [&b"\xff\xff"[..]]);
    assert_eq!(scan(b"\xff", None, Order::Up, 9), [&b"\xff\xff"[..]]);
    assert_eq!(scan(b"x", None, Order::Up, 9), [&b""[..]; 0]);
}

#[test]
fn only_one_gateway_writes() {
    let (folder, _store) = fresh();
    let second = SqliteStore::open(&folder.path().join("ledger.db"));
    assert!(second.unwrap_err().to_string().contains("is in use by another gateway; stop that one first"));
}

#[test]
fn other_files_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    std::fs::write(&path, vec![b'x'; 8_192]).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::Format { .. })));
    std::fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA user_version = 9; CREATE TABLE t (x);").unwrap();
    drop(other);
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::Format { .. })));
}

#[test]
fn a_store_that_lacks_tables_gets_them() {
    let (folder, store) = fresh();
    drop(store);
    let path = folder.path().join("ledger.db");
    for version in [1, 2, 4, 5] {
        let older = rusqlite::Connection::open(&path).unwrap();
        let sheets = if version < 4 { "DROP TABLE content_sheets;" } else { "" };
        older.execute_batch(&format!("DROP TABLE runs; {sheets} PRAGMA user_version = {version};")).unwrap();
        drop(older);
        let store = SqliteStore::open(&path).unwrap();
        let before = store.next_index().unwrap();
        store.append(before, &batch(before, 1)).unwrap();
        store.put(&[Put::set(Drawer::Sheets, *b"k", *b"v")]).unwrap();
        assert_eq!(store.read(0, 10).unwrap(), batch(0, before + 1).lines);
    }
}

#[test]
fn what_is_taken_out_is_gone_from_the_file() {
    let (folder, store) = fresh();
    let secret = b"a very particular secret".repeat(20);
    store.put(&[Put::set(Drawer::Content, *b"k", secret.clone())]).unwrap();
    store.put(&[Put::remove(Drawer::Content, *b"k")]).unwrap();
    drop(store);
    // The last connection folded the log into the file and took it away.
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(24).any(|window| window == &secret[..24]));
    }
}
