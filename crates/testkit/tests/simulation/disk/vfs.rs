//! The disk as SQLite sees it: files, locks, and the memory that connections share.
//!
//! Everything is in one process and on few threads, but the locks are kept as the real ones are: a store that took
//! them in the wrong order would find them taken.

use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard};

use sqlite_plugin::flags::{AccessFlags, CreateMode, LockLevel, OpenMode, OpenOpts, ShmLockMode};
use sqlite_plugin::vars;
use sqlite_plugin::vfs::{Vfs, VfsHandle, VfsResult};

use super::{Change, FileState, State, disk_of, lock};

/// How many locks a file's shared memory has (`SQLITE_SHM_NLOCK`).
const SHM_LOCKS: usize = 8;

/// An open file.
pub struct Handle {
    disk: Arc<Mutex<State>>,
    file: String,
    id: u64,
    temporary: bool,
    /// Lives as long as anybody has it mapped.
    shared: Arc<Mutex<Shared>>,
}

/// All disks there are, by name: paths are `/NAME/FILE`.
pub(super) struct Forgetful;

/// Memory that connections to one file share: the index of its log.
#[derive(Default)]
pub(super) struct Shared {
    regions: Vec<Box<[u64]>>,
    locks: [ShmLock; SHM_LOCKS],
}

#[derive(Default)]
struct ShmLock {
    shared: Vec<u64>,
    exclusive: Option<u64>,
}

impl Handle {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.disk)
    }
}

impl VfsHandle for Handle {
    fn readonly(&self) -> bool {
        false
    }

    fn in_memory(&self) -> bool {
        false
    }
}

impl Vfs for Forgetful {
    type Handle = Handle;

    fn open(&self, path: Option<&str>, opts: OpenOpts) -> VfsResult<Handle> {
        let Some(path) = path else { return Ok(Handle::temporary()) };
        let disk = disk_of(path).ok_or(vars::SQLITE_CANTOPEN)?;
        let mut state = lock(&disk);
        if state.off {
            return Err(vars::SQLITE_CANTOPEN);
        }
        let may_create = matches!(
            opts.mode(),
            OpenMode::ReadWrite { create: CreateMode::Create | CreateMode::MustCreate }
        );
        if !state.files.contains_key(path) && !may_create {
            return Err(vars::SQLITE_CANTOPEN);
        }
        state.handles += 1;
        let id = state.handles;
        let file = state.files.entry(path.to_owned()).or_default();
        if Arc::strong_count(&file.shared) == 1 {
            // Nobody has the file open: whoever opens it first finds fresh memory.
            file.shared = Arc::default();
        }
        let shared = Arc::clone(&file.shared);
        drop(state);
        Ok(Handle { disk, file: path.to_owned(), id, temporary: opts.delete_on_close(), shared })
    }

    fn delete(&self, path: &str) -> VfsResult<()> {
        let disk = disk_of(path).ok_or(vars::SQLITE_IOERR_DELETE)?;
        lock(&disk).remove(path)
    }

    fn access(&self, path: &str, _flags: AccessFlags) -> VfsResult<bool> {
        let disk = disk_of(path).ok_or(vars::SQLITE_IOERR_ACCESS)?;
        let state = lock(&disk);
        if state.off { Err(vars::SQLITE_IOERR_ACCESS) } else { Ok(state.files.contains_key(path)) }
    }

    fn file_size(&self, handle: &mut Handle) -> VfsResult<usize> {
        Ok(handle.state().file(&handle.file, vars::SQLITE_IOERR_FSTAT)?.seen.len())
    }

    fn truncate(&self, handle: &mut Handle, size: usize) -> VfsResult<()> {
        let mut state = handle.state();
        state.change(vars::SQLITE_IOERR_TRUNCATE)?;
        state.file(&handle.file, vars::SQLITE_IOERR_TRUNCATE)?.change(Change::Truncate(size));
        Ok(())
    }

    fn write(&self, handle: &mut Handle, offset: usize, data: &[u8]) -> VfsResult<usize> {
        let mut state = handle.state();
        state.change(vars::SQLITE_IOERR_WRITE)?;
        state.counts.writes += 1;
        if state.faults.full {
            return Err(vars::SQLITE_FULL);
        }
        let file = state.file(&handle.file, vars::SQLITE_IOERR_WRITE)?;
        file.change(Change::Write(offset, data.to_vec()));
        Ok(data.len())
    }

    fn read(&self, handle: &mut Handle, offset: usize, data: &mut [u8]) -> VfsResult<usize> {
        let mut state = handle.state();
        state.look_up()?;
        let file = state.file(&handle.file, vars::SQLITE_IOERR_READ)?;
        let from = file.seen.get(offset..).unwrap_or_default();
        let count = from.len().min(data.len());
        data[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn lock(&self, handle: &mut Handle, level: LockLevel) -> VfsResult<()> {
        let mut state = handle.state();
        let file = state.file(&handle.file, vars::SQLITE_IOERR_LOCK)?;
        let others = file.locks.iter().filter(|(id, _)| **id != handle.id).map(|(_, level)| *level);
        let highest = others.max().unwrap_or(LockLevel::Unlocked);
        let free = match level {
            LockLevel::Unlocked => true,
            LockLevel::Shared => highest <= LockLevel::Reserved,
            LockLevel::Reserved | LockLevel::Pending => highest <= LockLevel::Shared,
            LockLevel::Exclusive => highest == LockLevel::Unlocked,
        };
        if !free {
            return Err(vars::SQLITE_BUSY);
        }
        file.locks.insert(handle.id, level);
        Ok(())
    }

    fn unlock(&self, handle: &mut Handle, level: LockLevel) -> VfsResult<()> {
        if let Some(file) = handle.state().files.get_mut(&handle.file) {
            file.locks.insert(handle.id, level);
        }
        Ok(())
    }

    fn check_reserved_lock(&self, handle: &mut Handle) -> VfsResult<bool> {
        let mut state = handle.state();
        let file = state.file(&handle.file, vars::SQLITE_IOERR_CHECKRESERVEDLOCK)?;
        Ok(file.locks.values().any(|level| *level >= LockLevel::Reserved))
    }

    fn sync(&self, handle: &mut Handle) -> VfsResult<()> {
        handle.state().sync(&handle.file)
    }

    fn close(&self, handle: Handle) -> VfsResult<()> {
        lock(&handle.shared).release(handle.id);
        let mut state = handle.state();
        if let Some(file) = state.files.get_mut(&handle.file) {
            file.locks.remove(&handle.id);
        }
        if handle.temporary {
            state.files.remove(&handle.file);
        }
        Ok(())
    }

    fn sector_size(&self, _handle: &mut Handle) -> VfsResult<i32> {
        Ok(4_096)
    }

    fn device_characteristics(&self, _handle: &mut Handle) -> VfsResult<i32> {
        // What SQLite assumes of any disk on unix: a torn write harms nothing beside it. No order, no atomic pages.
        Ok(vars::SQLITE_IOCAP_POWERSAFE_OVERWRITE)
    }

    fn shm_map(
        &self,
        handle: &mut Handle,
        region: usize,
        size: usize,
        extend: bool,
    ) -> VfsResult<Option<NonNull<u8>>> {
        let mut shared = lock(&handle.shared);
        if shared.regions.len() <= region && !extend {
            return Ok(None);
        }
        while shared.regions.len() <= region {
            shared.regions.push(vec![0; size.div_ceil(8)].into_boxed_slice());
        }
        Ok(Some(NonNull::from(shared.regions[region].as_mut()).cast()))
    }

    fn shm_lock(&self, handle: &mut Handle, offset: u32, count: u32, mode: ShmLockMode) -> VfsResult<()> {
        if handle.state().off {
            return Err(vars::SQLITE_IOERR_SHMLOCK);
        }
        let from = offset as usize;
        lock(&handle.shared).lock(handle.id, from..from + count as usize, mode)
    }

    fn shm_unmap(&self, handle: &mut Handle, _delete: bool) -> VfsResult<()> {
        // The memory goes with the last handle of the file.
        lock(&handle.shared).release(handle.id);
        Ok(())
    }
}

impl Handle {
    /// A file without a name, for SQLite's own sorting. It is on a disk of its own.
    fn temporary() -> Self {
        let state = State { files: [(String::new(), FileState::default())].into(), ..State::default() };
        let disk = Arc::new(Mutex::new(state));
        Self { disk, file: String::new(), id: 0, temporary: true, shared: Arc::default() }
    }
}

impl Shared {
    fn lock(&mut self, id: u64, range: std::ops::Range<usize>, mode: ShmLockMode) -> VfsResult<()> {
        let locks = &mut self.locks[range];
        let others = |lock: &ShmLock| {
            let exclusive = lock.exclusive.is_some_and(|other| other != id);
            (exclusive, lock.shared.iter().any(|other| *other != id))
        };
        let taken = locks.iter().map(others);
        match mode {
            ShmLockMode::LockShared if taken.clone().any(|(exclusive, _)| exclusive) => {
                return Err(vars::SQLITE_BUSY);
            }
            ShmLockMode::LockExclusive if taken.clone().any(|(exclusive, shared)| exclusive || shared) => {
                return Err(vars::SQLITE_BUSY);
            }
            _ => {}
        }
        for lock in locks {
            match mode {
                ShmLockMode::LockShared if !lock.shared.contains(&id) => lock.shared.push(id),
                ShmLockMode::LockShared => {}
                ShmLockMode::LockExclusive => lock.exclusive = Some(id),
                ShmLockMode::UnlockShared => lock.shared.retain(|one| *one != id),
                ShmLockMode::UnlockExclusive => lock.exclusive = lock.exclusive.filter(|one| *one != id),
            }
        }
        Ok(())
    }

    fn release(&mut self, id: u64) {
        for lock in &mut self.locks {
            lock.shared.retain(|one| *one != id);
            lock.exclusive = lock.exclusive.filter(|one| *one != id);
        }
    }
}
