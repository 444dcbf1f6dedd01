//! A disk that forgets: a file system of SQLite's own in memory, which keeps across a power cut only what was synced,
//! and of the rest whatever it likes.
//!
//! Every file has what programs see and what is on the platter. A write changes the first; a sync brings the second up
//! to it. When the power fails, each file by itself keeps none, all, the first few or any of the writes since its last
//! sync, the last kind torn at sectors of 512 bytes. A new name is kept only once something was synced, a removed one
//! may come back. A process that is killed loses nothing: the machine's memory is still there.
//!
//! A sync that fails is the nasty kind: what it should have written is partly gone and no later sync brings it back.

mod vfs;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use sqlite_plugin::flags::LockLevel;
use sqlite_plugin::vars;
use sqlite_plugin::vfs::{RegisterOpts, VfsResult, register_static};

use crate::dice::Dice;
use vfs::{Forgetful, Shared};

/// The name under which SQLite knows the file system.
pub const VFS: &str = "forgetful";

/// What a write to a real disk is whole in.
const SECTOR: usize = 512;

/// How the machine went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The process was killed; what it wrote is still in the machine's memory.
    Killed,
    /// The power failed; what was not synced is at the mercy of chance.
    PowerCut,
}

/// The files of a disk.
pub struct Image(Vec<(String, Vec<u8>)>);

/// A disk. Clones are the same disk.
#[derive(Clone)]
pub struct Disk {
    name: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, FileState>,
    /// Files that were removed, while the removal itself may be lost.
    removed: BTreeMap<String, Vec<u8>>,
    off: bool,
    faults: Faults,
    handles: u64,
    counts: Counts,
}

/// What goes wrong next.
#[derive(Default)]
struct Faults {
    /// The power fails at the change after so many more.
    power_in: Option<u32>,
    /// There is no room.
    full: bool,
    /// After so many reads so many fail.
    reads: (u32, u32),
    /// Nothing fails for whoever only looks.
    looking: bool,
    /// The next so many syncs fail; what they leave behind is chosen with these dice.
    syncs: Option<(u32, Dice)>,
}

/// What was done to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes.
    pub writes: u64,
    /// Syncs that did something.
    pub syncs: u64,
    /// Writes that a power cut took back, whole or in part.
    pub lost: u64,
}

#[derive(Default)]
struct FileState {
    seen: Vec<u8>,
    /// Nothing while the name itself may be lost.
    kept: Option<Vec<u8>>,
    unsynced: Vec<Change>,
    locks: BTreeMap<u64, LockLevel>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Disk {
    /// An empty disk. The name must not be in use.
    pub fn new(name: &str) -> Self {
        static REGISTERED: OnceLock<()> = OnceLock::new();
        REGISTERED.get_or_init(|| {
            let name = CString::new(VFS).expect("no zero in it");
            let registered = register_static(name, Forgetful, RegisterOpts { make_default: false });
            assert!(registered.is_ok(), "SQLite did not take the file system");
        });
        let disk = Self { name: name.to_owned(), state: Arc::default() };
        let earlier = disks().insert(name.to_owned(), Arc::clone(&disk.state));
        assert!(earlier.is_none(), "disk `{name}` is there already");
        disk
    }

    /// A disk that has these files.
    pub fn with(name: &str, image: &Image) -> Self {
        let disk = Self::new(name);
        for (file, content) in &image.0 {
            disk.state().files.insert(disk.path(file), FileState::found(content.clone()));
        }
        disk
    }

    /// What is on it, as a program sees it.
    pub fn image(&self) -> Image {
        let (state, folder) = (self.state(), self.path(""));
        let file = |path: &String| path.strip_prefix(&folder).unwrap_or_default().to_owned();
        Image(state.files.iter().map(|(path, found)| (file(path), found.seen.clone())).collect())
    }

    /// A file on it, as SQLite names it.
    pub fn path(&self, file: &str) -> String {
        format!("/{}/{file}", self.name)
    }

    /// Everything fails from here on, as in a process that is gone. Nothing of it reaches the disk any more.
    pub fn switch_off(&self) {
        self.state().off = true;
    }

    /// Whether the power failed.
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// The power fails at the change after so many more.
    pub fn fail_power_in(&self, changes: u32) {
        self.state().faults.power_in = Some(changes);
    }

    /// Whether there is no room for more.
    pub fn fill(&self, full: bool) {
        self.state().faults.full = full;
    }

    /// The next so many syncs fail.
    pub fn fail_syncs(&self, count: u32, dice: Dice) {
        self.state().faults.syncs = Some((count, dice));
    }

    /// After so many reads so many fail.
    pub fn fail_reads(&self, after: u32, count: u32) {
        self.state().faults.reads = (after, count);
    }

    /// Whether somebody only looks: no read fails then.
    pub fn look(&self, looking: bool) {
        self.state().faults.looking = looking;
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.state().faults = Faults::default();
    }

    /// What was done to it.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// The disk as the next start finds it.
    pub fn after(self, end: End, dice: &mut Dice) -> Self {
        let next = self.state().after(end, dice);
        let next = Self { name: self.name.clone(), state: Arc::new(Mutex::new(next)) };
        disks().insert(self.name.clone(), Arc::clone(&next.state));
        next
    }

    /// Takes the disk away.
    pub fn remove(self) {
        self.switch_off();
        disks().remove(&self.name);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn after(&mut self, end: End, dice: &mut Dice) -> Self {
        self.off = true;
        let mut next = Self { counts: self.counts, ..Self::default() };
        for (name, content) in &self.removed {
            if end == End::PowerCut && dice.chance(50) {
                next.files.insert(name.clone(), FileState::found(content.clone()));
            }
        }
        for (name, file) in &self.files {
            let content = match end {
                End::Killed => Some(file.seen.clone()),
                End::PowerCut => file.survivor(dice, &mut next.counts.lost),
            };
            if let Some(content) = content {
                next.files.insert(name.clone(), FileState::found(content));
            }
        }
        next
    }

    /// One change to the disk; `Err` if it does not happen.
    fn change(&mut self, error: i32) -> VfsResult<()> {
        if let Some(left) = &mut self.faults.power_in {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => self.off = true,
            }
        }
        if self.off { Err(error) } else { Ok(()) }
    }

    /// One read from the disk; `Err` if it fails.
    fn look_up(&mut self) -> VfsResult<()> {
        let (after, count) = &mut self.faults.reads;
        if self.faults.looking || *count == 0 {
            return Ok(());
        }
        if let Some(fewer) = after.checked_sub(1) {
            *after = fewer;
            return Ok(());
        }
        *count -= 1;
        Err(vars::SQLITE_IOERR_READ)
    }

    fn file(&mut self, name: &str, error: i32) -> VfsResult<&mut FileState> {
        if self.off {
            return Err(error);
        }
        self.files.get_mut(name).ok_or(error)
    }

    fn sync(&mut self, name: &str) -> VfsResult<()> {
        self.change(vars::SQLITE_IOERR_FSYNC)?;
        let failing = match &mut self.faults.syncs {
            Some((left, dice)) if *left > 0 => {
                *left -= 1;
                Some(dice)
            }
            _ => None,
        };
        let file = self.files.get_mut(name).ok_or(vars::SQLITE_IOERR_FSYNC)?;
        if let Some(dice) = failing {
            let kept = file.survivor(dice, &mut self.counts.lost);
            file.kept = kept;
            file.unsynced.clear();
            return Err(vars::SQLITE_IOERR_FSYNC);
        }
        if !file.unsynced.is_empty() {
            self.counts.syncs += 1;
        }
        let kept = file.kept.get_or_insert_default();
        file.unsynced.drain(..).for_each(|change| change.apply(kept));
        // A journal that commits the file's size commits every name before it.
        self.removed.clear();
        Ok(())
    }

    fn remove(&mut self, name: &str) -> VfsResult<()> {
        self.change(vars::SQLITE_IOERR_DELETE)?;
        let file = self.files.remove(name).ok_or(vars::SQLITE_IOERR_DELETE_NOENT)?;
        if let Some(kept) = file.kept {
            self.removed.insert(name.to_owned(), kept);
        }
        Ok(())
    }
}

impl FileState {
    fn found(content: Vec<u8>) -> Self {
        Self { seen: content.clone(), kept: Some(content), ..Self::default() }
    }

    fn change(&mut self, change: Change) {
        change.clone().apply(&mut self.seen);
        self.unsynced.push(change);
    }

    /// What a power cut leaves.
    fn survivor(&self, dice: &mut Dice, lost: &mut u64) -> Option<Vec<u8>> {
        let mut content = match &self.kept {
            Some(kept) => kept.clone(),
            None if dice.chance(50) => Vec::new(),
            None => return None,
        };
        let count = self.unsynced.len();
        let kind = dice.below(4);
        let first = if count == 0 { 0 } else { dice.below(count + 1) };
        for (at, change) in self.unsynced.iter().enumerate() {
            match kind {
                0 => *lost += 1,
                1 => change.clone().apply(&mut content),
                2 if at < first => change.clone().apply(&mut content),
                2 => *lost += 1,
                _ => change.clone().tear(&mut content, dice, lost),
            }
        }
        Some(content)
    }
}

impl Change {
    fn apply(self, content: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => write_at(content, at, &bytes),
            Self::Truncate(size) => content.resize(size, 0),
        }
    }

    /// Some sectors of it.
    fn tear(self, content: &mut Vec<u8>, dice: &mut Dice, lost: &mut u64) {
        let Self::Write(at, bytes) = self else {
            if dice.chance(50) {
                self.apply(content);
            }
            return;
        };
        let (mut from, mut torn) = (0, false);
        while from < bytes.len() {
            let to = (((at + from) / SECTOR + 1) * SECTOR - at).min(bytes.len());
            if dice.chance(50) {
                write_at(content, at + from, &bytes[from..to]);
            } else {
                torn = true;
            }
            from = to;
        }
        *lost += u64::from(torn);
    }
}

fn disks() -> MutexGuard<'static, BTreeMap<String, Arc<Mutex<State>>>> {
    static DISKS: Mutex<BTreeMap<String, Arc<Mutex<State>>>> = Mutex::new(BTreeMap::new());
    lock(&DISKS)
}

fn disk_of(path: &str) -> Option<Arc<Mutex<State>>> {
    let name = path.strip_prefix('/')?.split('/').next()?;
    disks().get(name).map(Arc::clone)
}

fn write_at(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at {
        content.resize(at, 0);
    }
    let over = (content.len() - at).min(bytes.len());
    content[at..at + over].copy_from_slice(&bytes[..over]);
    content.extend_from_slice(&bytes[over..]);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
