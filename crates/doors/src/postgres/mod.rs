//! The PostgreSQL door: one listener for all databases, for unmodified clients.
//!
//! A connection is taken in ([`listen`]), encrypted ([`tls`]), its wish read ([`startup`]) and its credential proved
//! ([`auth`]); then the engine opens a session or says why not ([`asking`]: whoever holds no grant may ask for one there), and judges what the client wants to start with
//! ([`settings`]). The session ([`session`]) stands between the client and a
//! connection to the server under the role's account ([`upstream`]). Statements are understood ([`classify`]) under what is known of
//! the session ([`state`]) and of the database ([`catalogue`]); what a session may not see is covered in the answer
//! ([`mask`]); [`look`] tells an approver what a statement would touch,
//! [`powers`] what the accounts of roles may do beyond their roles, [`reading`] whoever asks what a statement would be, [`trying`] whoever sets
//! the gateway up whether a database can be reached. Whoever is signed in to the console may be a client from
//! inside ([`workbench`]).
//!
//! What not: no pooling and no balancing: a session is one connection to the server, so that whatever a client relies on
//! (temporary tables, settings, locks) is there. No policy.

mod asking;
mod auth;
mod cancel;
mod catalogue;
mod classify;
mod listen;
mod look;
mod mask;
mod names;
mod powers;
mod query;
mod reach;
mod reading;
mod script;
mod session;
mod settings;
mod startup;
#[doc(hidden)]
pub mod state;
mod stream;
mod target;
mod tls;
mod touches;
mod trying;
mod upstream;
mod wording;
mod workbench;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use countersign_core::ResourceId;
use countersign_core::catalogue::Resource;
use countersign_engine::{Engine, Entropy};
use countersign_wire::sql::Parser;
pub use countersign_wire::sql::STACK_BYTES as PARSER_STACK_BYTES;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use cancel::Registry;
use target::Target;
pub use tls::{ServerTls, end_point as certificate_end_point, server_config};
use upstream::ConnectError;

/// The kind of resources that this door leads to.
const KIND: &str = "postgres";
/// How many threads parse statements.
const PARSERS: usize = 2;

/// What differs between installations.
#[derive(Clone)]
pub struct DoorSettings {
    /// Where nonces and cancel keys come from.
    pub entropy: Arc<dyn Entropy>,
    /// How many connections there may be at once.
    pub connections_max: usize,
    /// How long a client may take until it has proved who it is, in seconds.
    pub startup_s_max: u64,
    /// Statements up to this length, in bytes, are parsed on the thread that read them. More than 0 only where the
    /// runtime's threads have [`PARSER_STACK_BYTES`] of stack: parsing recurses with the nesting of the text.
    pub parse_here_bytes_max: usize,
    /// The most that one read of a session takes from a client or a server, in bytes. The default is what is fast; with 1,
    /// whatever is read is read in pieces.
    pub read_bytes_max: usize,
}

impl DoorSettings {
    /// The default limits.
    #[must_use]
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self {
            entropy,
            connections_max: 4_096,
            startup_s_max: 30,
            parse_here_bytes_max: 0,
            read_bytes_max: usize::MAX,
        }
    }
}

impl std::fmt::Debug for DoorSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DoorSettings")
            .field("connections_max", &self.connections_max)
            .field("startup_s_max", &self.startup_s_max)
            .field("parse_here_bytes_max", &self.parse_here_bytes_max)
            .field("read_bytes_max", &self.read_bytes_max)
            .finish_non_exhaustive()
    }
}

/// The door could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The listener has no address.
    #[error("the listener can't be used")]
    Listener(#[source] std::io::Error),
    /// The parser threads could not be started.
    #[error("the statement parser could not be started")]
    Parser(#[source] std::io::Error),
}

/// The PostgreSQL door.
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What all sessions of a door share.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) parser: Parser,
    pub(crate) settings: DoorSettings,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) cancels: Arc<Registry>,
    pub(crate) stopping: CancellationToken,
    /// Who waits for an answer before there is a session.
    pub(crate) askers: Arc<asking::Askers>,
    /// Keys of upstream passwords that were derived before.
    pub(crate) keys: Arc<upstream::Keys>,
    targets: Mutex<BTreeMap<ResourceId, Arc<Target>>>,
}

impl Door {
    /// A door at this listener. Without `tls` only clients on this machine are let in, in clear.
    ///
    /// # Errors
    /// [`OpenError`] when the listener is of no use or no thread can be had.
    pub fn new(
        engine: Engine,
        listener: TcpListener,
        tls: Option<ServerTls>,
        settings: DoorSettings,
    ) -> Result<Self, OpenError> {
        let address = listener.local_addr().map_err(OpenError::Listener)?;
        let mut mark = [0; 32];
        settings.entropy.fill(&mut mark);
        let shared = Arc::new(Shared {
            engine,
            parser: Parser::threads(PARSERS).map_err(OpenError::Parser)?,
            settings,
            tls,
            cancels: Arc::default(),
            stopping: CancellationToken::new(),
            askers: Arc::default(),
            keys: Arc::new(upstream::Keys::new(mark)),
            targets: Mutex::default(),
        });
        let reader = script::Reader(Arc::downgrade(&shared));
        shared.engine.read_scripts_with(KIND, Arc::new(reader));
        Ok(Self { listener, address, shared })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves; then every session is cut, with a word to its client, before this returns.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        listen::run(self.listener, self.shared, shutdown).await;
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Door({})", self.address)
    }
}

impl Shared {
    /// Who parses a text of this length.
    pub(crate) fn parser_for(&self, bytes: usize) -> Parser {
        if bytes <= self.settings.parse_here_bytes_max { Parser::here() } else { self.parser.clone() }
    }

    /// A fresh nonce for an exchange: 18 random bytes in base64, as PostgreSQL has it.
    pub(crate) fn nonce(&self) -> String {
        STANDARD_NO_PAD.encode(self.random::<18>())
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.settings.entropy.fill(&mut bytes);
        bytes
    }

    /// What is known of a resource: kept while its description stays the same.
    pub(crate) fn target(
        &self,
        resource: &ResourceId,
        described: &Resource,
    ) -> Result<Arc<Target>, ConnectError> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = targets.get(resource).filter(|target| target.is(described)) {
            return Ok(Arc::clone(target));
        }
        let target = Arc::new(Target::new(resource.clone(), described)?);
        targets.insert(resource.clone(), Arc::clone(&target));
        Ok(target)
    }
}
