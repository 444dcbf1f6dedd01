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
    Batch { lines: (from..from + count).map(|index| line(index, index % 3 == 0)).collect(), puts: Vec::new() }
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

#[test]
fn a_batch_is_whole_or_not_there() {
    let (_folder, store) = fresh();
    store.put(&[Put::new(Drawer::Checkpoints, *b"1", *b"first")]).unwrap();
    let clash = Batch {
        lines: vec![line(0, true)],
        puts: vec![Put::set(Drawer::Meta, *b"a", *b"b"), Put::new(Drawer::Checkpoints, *b"1", *b"second")],
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
fn a_store_that_lacks_drawers_gets_them() {
    let (folder, store) = fresh();
    drop(store);
    let path = folder.path().join("ledger.db");
    for version in [1, 2] {
        let older = rusqlite::Connection::open(&path).unwrap();
        older.execute_batch(&format!("DROP TABLE content_sheets; PRAGMA user_version = {version};")).unwrap();
        drop(older);
        let store = SqliteStore::open(&path).unwrap();
        store.put(&[Put::set(Drawer::Sheets, *b"k", *b"v")]).unwrap();
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
