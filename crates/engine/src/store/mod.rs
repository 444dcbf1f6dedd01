//! Where the ledger and everything beside it is kept: one narrow trait, one implementation per database.
//!
//! A store has two parts. The *lines*: an append-only sequence, written in one place, durable when
//! [`Store::append`] returns. And the *drawers*: small tables of keys and values beside the chain (content,
//! verifiers, tokens, tiles, ...), written in the same transaction as lines or by themselves. A store knows
//! nothing of what it keeps; what is secret comes to it encrypted or hashed.

mod runs;
mod sqlite;

use std::fmt;

pub use sqlite::SqliteStore;

/// One line as it is stored: exactly the bytes that are hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLine {
    /// Its place, from zero.
    pub index: u64,
    /// Whether it feeds the book.
    pub decides: bool,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// One value to be put into a drawer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Which drawer.
    pub drawer: Drawer,
    /// Under which key.
    pub key: Vec<u8>,
    /// What; nothing takes the key out.
    pub value: Option<Vec<u8>>,
    /// The key must not be there yet, or the whole transaction fails.
    pub must_be_new: bool,
}

/// Everything that one transaction writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Lines, without a gap.
    pub lines: Vec<StoredLine>,
    /// Values beside them.
    pub puts: Vec<Put>,
    /// Nobody waits for it: other threads may come first.
    pub unhurried: bool,
}

impl Batch {
    /// Lets other threads come first where nobody waits for the batch: it would else have a processor to itself for as
    /// long as all of it takes, and sessions that could go on would wait behind it.
    pub fn give_way(&self) {
        if self.unhurried {
            std::thread::yield_now();
        }
    }
}

/// The tables beside the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drawer {
    /// Facts about the store itself and the keys of the house.
    Meta,
    /// Content of lines by index, encrypted.
    Content,
    /// Content of many lines by the index of the first, encrypted.
    Sheets,
    /// Content keys by name, wrapped.
    Keys,
    /// Bundles by hash, encrypted.
    Bundles,
    /// The gateway's own upstream secrets, encrypted.
    Secrets,
    /// Password verifiers of people.
    Passwords,
    /// Sign-ins by hash of their token.
    Tokens,
    /// What people have bound beside a password, encrypted.
    Authenticators,
    /// From where people sign in, encrypted.
    Places,
    /// Devices on which people are told of what waits, encrypted.
    Devices,
    /// What clients present to doors: keys, never passwords.
    Credentials,
    /// Programs that registered themselves.
    Clients,
    /// What directories said beyond what the book holds, encrypted, and when they were heard.
    Directories,
    /// Full hash tiles.
    Tiles,
    /// Signed checkpoints by size.
    Checkpoints,
    /// Positions and working state of followers, and the snapshot of the book.
    Cursors,
    /// Which lines tell of a request, grant or session.
    History,
}

impl Drawer {
    /// All drawers.
    pub const ALL: [Self; 18] = [
        Self::Meta,
        Self::Content,
        Self::Sheets,
        Self::Keys,
        Self::Bundles,
        Self::Secrets,
        Self::Passwords,
        Self::Tokens,
        Self::Authenticators,
        Self::Places,
        Self::Devices,
        Self::Credentials,
        Self::Clients,
        Self::Directories,
        Self::Tiles,
        Self::Checkpoints,
        Self::Cursors,
        Self::History,
    ];

    /// The drawer's name, which is its table's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Content => "content",
            Self::Sheets => "content_sheets",
            Self::Keys => "content_keys",
            Self::Bundles => "bundles",
            Self::Secrets => "secrets",
            Self::Passwords => "passwords",
            Self::Tokens => "tokens",
            Self::Authenticators => "authenticators",
            Self::Places => "places",
            Self::Devices => "devices",
            Self::Credentials => "credentials",
            Self::Clients => "clients",
            Self::Directories => "directories",
            Self::Tiles => "tiles",
            Self::Checkpoints => "checkpoints",
            Self::Cursors => "cursors",
            Self::History => "history",
        }
    }
}

/// In which order a drawer is looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first.
    Up,
    /// Largest key first.
    Down,
}

/// Why a store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else appended, or the caller lost count.
    #[error("the next line is {found}, not {expected}; another writer has been here")]
    Moved {
        /// What the caller believed.
        expected: u64,
        /// What is so.
        found: u64,
    },
    /// A key that had to be new is there.
    #[error("an entry of `{0}` exists already and may not be replaced")]
    Exists(&'static str),
    /// Another program has the store open for writing.
    #[error("the store in `{0}` is in use by another gateway; stop that one first")]
    InUse(String),
    /// The store is of another kind or version.
    #[error(
        "`{path}` is not a store of this version ({why}); use the program that wrote it, or another folder"
    )]
    Format {
        /// Which file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The database failed: a full disk, a broken file.
    #[error("the store failed while it tried to {doing}")]
    Failed {
        /// What was attempted.
        doing: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// A failure of the database itself.
    pub fn failed(doing: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed { doing, source: source.into() }
    }

    /// The whole chain of causes, for the operator.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(next) = cause {
            text.push_str(": ");
            text.push_str(&next.to_string());
            cause = next.source();
        }
        text
    }
}

/// A key with its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// A ledger with its drawers. One writer; any number of readers, on any thread.
pub trait Store: Send + Sync + 'static {
    /// The index that the next line gets.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn next_index(&self) -> Result<u64, StoreError>;

    /// Writes a batch in one transaction. It is durable when this returns; after an error nothing of it is there,
    /// or (when the error came while it was being made durable) all of it: [`Store::next_index`] tells.
    ///
    /// # Errors
    /// [`StoreError::Moved`] unless the next line is `expected`; [`StoreError::Exists`]; [`StoreError::Failed`].
    fn append(&self, expected: u64, batch: &Batch) -> Result<(), StoreError>;

    /// Lines from `from` on, at most `count`, in order.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn read(&self, from: u64, count: usize) -> Result<Vec<StoredLine>, StoreError>;

    /// Like [`Store::read`], only those that feed the book.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn read_decisions(&self, from: u64, count: usize) -> Result<Vec<StoredLine>, StoreError>;

    /// The value under a key.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn get(&self, drawer: Drawer, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// At most `count` pairs of a drawer whose keys begin with `prefix`, from `after` (exclusive) on.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn scan(&self, drawer: Drawer, scan: &Scan<'_>) -> Result<Vec<Pair>, StoreError>;

    /// Writes values beside the chain, durably, in a transaction of their own.
    ///
    /// # Errors
    /// [`StoreError::Exists`]; [`StoreError::Failed`].
    fn put(&self, puts: &[Put]) -> Result<(), StoreError>;

    /// Replaces values that are still what they were, durably, in a transaction of their own, and leaves the others as they
    /// are. Gives how many it replaced.
    ///
    /// # Errors
    /// [`StoreError::Failed`]: nothing was replaced.
    fn swap(&self, drawer: Drawer, swaps: &[Swap]) -> Result<u64, StoreError>;
}

/// A value that is to be replaced if it is still what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Under which key.
    pub key: Vec<u8>,
    /// What it was.
    pub before: Vec<u8>,
    /// What it is to be.
    pub then: Vec<u8>,
}

/// What to look through.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// Keys begin with it.
    pub prefix: &'a [u8],
    /// Exclusive; where an earlier scan stopped.
    pub after: Option<&'a [u8]>,
    /// Up or down.
    pub order: Order,
    /// At most so many.
    pub count: usize,
}

impl<'a> Scan<'a> {
    /// Everything that begins with `prefix`, smallest first.
    #[must_use]
    pub fn of(prefix: &'a [u8], count: usize) -> Self {
        Self { prefix, after: None, order: Order::Up, count }
    }
}

impl Put {
    /// Puts or replaces.
    #[must_use]
    pub fn set(drawer: Drawer, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { drawer, key: key.into(), value: Some(value.into()), must_be_new: false }
    }

    /// Puts what must not be there yet.
    #[must_use]
    pub fn new(drawer: Drawer, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { drawer, key: key.into(), value: Some(value.into()), must_be_new: true }
    }

    /// Takes out.
    #[must_use]
    pub fn remove(drawer: Drawer, key: impl Into<Vec<u8>>) -> Self {
        Self { drawer, key: key.into(), value: None, must_be_new: false }
    }
}

impl fmt::Display for Drawer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The smallest key that is larger than every key with this prefix, if there is one.
pub(crate) fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}
