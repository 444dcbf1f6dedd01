//! Settings and limits. Everything that could grow without end has a limit with a name here, and a reason.

use countersign_core::Span;

/// How many pieces of work may wait for the writer. Beyond, whoever sends waits: back-pressure, never a loss.
pub const QUEUE_MAX: usize = 8_192;

/// How many pieces of work ride in one transaction; more would delay the first for the sake of the last.
pub const BATCH_MAX: usize = 2_048;

/// How many bytes of text and parameters ride in one transaction, so that memory and the log stay bounded.
pub const BATCH_BYTES_MAX: usize = 16 << 20;

/// When a record that nobody waits for must be durable, in milliseconds after it was handed over.
pub const DURABLE_MS: u64 = 100;

/// How long such a record lies in the queue at least and at most, in milliseconds, so that others can join it, and so that
/// how the action ended can be told in the same line. In between it lies as long as [`DURABLE_MS`] allows: two transactions, the
/// one that is under way and its own, must fit into the rest, and so must [`SPARE_MS`].
pub const LINGER_MS: (u64, u64) = (20, 60);

/// What a record's way to the disk may take beside transactions, in milliseconds: other work of the machine.
pub const SPARE_MS: u64 = 30;

/// After how many pieces of work that nobody waits for the writer lets other threads come first: about every 50 us.
pub const GIVE_WAY_EVERY: usize = 16;

/// From how many pieces of work on that somebody waits for in one transaction there is a crowd: reads whose answers wait for
/// their records then lie for [`GATHER_MICROS`].
pub const CROWD_MIN: usize = 4;

/// How long the records of reads lie in a crowd so that several ride in one transaction, in microseconds. About as long as
/// the shortest of queries takes that go on beside them, and little against the sync of most disks.
pub const GATHER_MICROS: u64 = 300;

/// The longest text, parameters included, that can be shown to an approver in full. Longer can't be approved.
pub const SHOWN_BYTES_MAX: usize = 256 * 1024;

/// The longest purpose, comment or reason, in bytes.
pub const WORDS_BYTES_MAX: usize = 4_096;

/// The longest ticket reference, in bytes.
pub const TICKET_BYTES_MAX: usize = 256;

/// The longest text that a client says of itself (program name, user agent), in bytes; what is longer is cut.
pub const CLIENT_BYTES_MAX: usize = 256;

/// How many live credentials one principal may have for one resource: each is tried at sign-in.
pub const CREDENTIALS_MAX: usize = 8;

/// How many decisions lie between two snapshots of the book at most.
pub const SNAPSHOT_EVERY: u64 = 500;

/// How many lines one search looks at before it hands back a place to go on from.
pub const SEARCH_LINES_MAX: usize = 20_000;

/// How many results one page of anything has at most.
pub const PAGE_MAX: usize = 500;

/// How many requests of one principal may be pending at once.
pub const PENDING_MAX: usize = 32;

/// What differs between installations.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node's name, written into every line.
    pub node: String,
    /// The ledger's origin: a URL without scheme, for example `countersign.example/main`.
    pub origin: String,
    /// Where the console is, without a trailing slash. Links lead there.
    pub console_url: String,
    /// How often a grown ledger gets a signed checkpoint.
    pub checkpoint_every: Span,
    /// How long a credential for a door lives.
    pub credential_for: Span,
    /// How long a sign-in lasts at most. The defaults of this and the next are those of AAL2 (NIST SP 800-63B-4).
    pub sign_in_for: Span,
    /// How long a sign-in lasts unused.
    pub sign_in_idle: Span,
    /// How long after signing in somebody may change what is bound to their account.
    pub rebind_within: Span,
    /// Whether a machine without a browser may be let in by a code that somebody types in at the console.
    pub device_codes: bool,
    /// How many wrong passwords of one name from one address lock that pair out.
    pub sign_in_tries: u32,
    /// For how long.
    pub locked_for: Span,
    /// How often `session.refused` and `auth.failed` may be written for one address in a minute; the rest is
    /// counted and told with the next.
    pub refusals_a_minute: u32,
    /// The cost of a password hash.
    pub argon2: Argon2Cost,
}

/// The cost of a password hash (argon2id).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes.
    pub passes: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node: "node-1".into(),
            origin: "countersign.local/ledger".into(),
            console_url: "http://localhost:8443".into(),
            checkpoint_every: Span::seconds(1),
            credential_for: Span::minutes(15),
            sign_in_for: Span::hours(24),
            sign_in_idle: Span::hours(1),
            rebind_within: Span::minutes(15),
            device_codes: true,
            sign_in_tries: 5,
            locked_for: Span::minutes(15),
            refusals_a_minute: 30,
            argon2: Argon2Cost { memory_kib: 19 * 1024, passes: 2 },
        }
    }
}
