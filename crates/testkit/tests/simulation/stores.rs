//! Stores that do it wrong.

use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_engine::SqliteStore;
use countersign_engine::store::{Batch, Drawer, Pair, Put, Scan, Store, StoreError, StoredLine, Swap};

/// Says that a batch is appended and appends it when the next one comes.
pub struct Hasty {
    inner: SqliteStore,
    promised: Mutex<Option<(u64, Batch)>>,
}

/// Writes a checkpoint with the batch after the one it came with.
pub struct Late {
    inner: SqliteStore,
    checkpoints: Mutex<Vec<Put>>,
}

impl Hasty {
    pub fn new(inner: SqliteStore) -> Self {
        Self { inner, promised: Mutex::default() }
    }
}

impl Late {
    pub fn new(inner: SqliteStore) -> Self {
        Self { inner, checkpoints: Mutex::default() }
    }
}

impl Store for Hasty {
    fn next_index(&self) -> Result<u64, StoreError> {
        let promised = lock(&self.promised);
        match promised.as_ref() {
            Some((from, batch)) => Ok(from + batch.lines.len() as u64),
            None => self.inner.next_index(),
        }
    }

    fn append(&self, expected: u64, batch: &Batch) -> Result<(), StoreError> {
        let mut promised = lock(&self.promised);
        if let Some((from, batch)) = promised.take() {
            self.inner.append(from, &batch)?;
        }
        *promised = Some((expected, batch.clone()));
        Ok(())
    }

    fn read(&self, from: u64, count: usize) -> Result<Vec<StoredLine>, StoreError> {
        self.inner.read(from, count)
    }

    fn read_decisions(&self, from: u64, count: usize) -> Result<Vec<StoredLine>, StoreError> {
        self.inner.read_decisions(from, count)
    }

    fn get(&self, drawer: Drawer, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(drawer, key)
    }

    fn scan(&self, drawer: Drawer, scan: &Scan<'_>) -> Result<Vec<Pair>, StoreError> {
        self.inner.scan(drawer, scan)
    }

    fn put(&self, puts: &[Put]) -> Result<(), StoreError> {
        self.inner.put(puts)
    }

    fn swap(&self, drawer: Drawer, swaps: &[Swap]) -> Result<u64, StoreError> {
        self.inner.swap(drawer, swaps)
    }
}

impl Store for Late {
    fn next_index(&self) -> Result<u64, StoreError> {
        self.inner.next_index()
    }

    fn append(&self, expected: u64, batch: &Batch) -> Result<(), StoreError> {
        let mut kept = lock(&self.checkpoints);
        let (late, now): (Vec<Put>, Vec<Put>) =
            batch.puts.iter().cloned().partition(|put| put.drawer == Drawer::Checkpoints);
        let puts = std::mem::take(&mut *kept).into_iter().chain(now).collect();
        self.inner
            .append(expected, &Batch { lines: batch.lines.clone(), puts, unhurried: batch.unhurried })?;
        *kept = late;
        Ok(())
    }

    fn read(&self, from: u64, count: usize) -> Result<Vec<StoredLine>, StoreError> {
        self.inner.read(from, count)
    }

    fn read_decisions(&self, from: u64, count: usize) -> Result<Vec<StoredLine>, StoreError> {
        self.inner.read_decisions(from, count)
    }

    fn get(&self, drawer: Drawer, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(drawer, key)
    }

    fn scan(&self, drawer: Drawer, scan: &Scan<'_>) -> Result<Vec<Pair>, StoreError> {
        self.inner.scan(drawer, scan)
    }

    fn put(&self, puts: &[Put]) -> Result<(), StoreError> {
        self.inner.put(puts)
    }

    fn swap(&self, drawer: Drawer, swaps: &[Swap]) -> Result<u64, StoreError> {
        self.inner.swap(drawer, swaps)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
