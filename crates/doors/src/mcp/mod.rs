//! The door of tools: clients of the Model Context Protocol, before servers of it (streamable HTTP, or a program on this
//! machine).
//!
//! Each resource has one endpoint, `/mcp/NAME`. A client's session is a session of the engine's and one of the server's.
//! Every message that is forwarded was judged and recorded by the flow of all doors, and its bytes are the client's own but
//! for line breaks between values. What the server asks of the client goes the same way.
//!
//! Before a database the gateway is the server itself, and its tools are statements ([`desk`]): those are judged by the database's
//! own door, and the session is that door's. Whoever may not use a database or a server yet sits at the desk, and can ask for it there.
//!
//! What not: sessions do not outlive the gateway, nothing is decided here, and no credential of a client's goes further.

mod answer;
mod asked;
mod attempt;
mod call;
mod desk;
mod entry;
mod events;
mod forward;
mod http;
mod line;
mod session;
mod tongue;
mod tools;
mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use countersign_core::ResourceId;
use countersign_engine::Engine;
use countersign_engine::ports::Entropy;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use desk::Desk;
use line::Line;
use session::Session;

/// The kind of resources that this door is for, and the door's own name.
const KIND: &str = "mcp";
/// How many sessions there may be at once: each has a server's session, or a program, of its own.
const SESSIONS_MAX: usize = 512;
/// How many of them one principal may have.
const SESSIONS_EACH_MAX: usize = 32;
/// How many passwords are derived at once: it is work that a stranger can cause.
const PROOFS_AT_ONCE_MAX: usize = 2;
/// How long sessions may take to end when the gateway stops, in seconds.
const CLOSING_S_MAX: u64 = 3;

/// A program that a resource may name as its server.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// What is started, with its arguments.
    pub command: Vec<String>,
    /// All of its environment, `PATH` aside.
    pub environment: BTreeMap<String, String>,
    /// Where it is started; the root if absent.
    pub folder: Option<PathBuf>,
    /// User and group that it runs as; the gateway's own if absent.
    pub runs_as: Option<(u32, u32)>,
    /// How much address space it may have, in MiB.
    pub memory_mib_max: Option<u32>,
    /// How much time of processors it may use, in seconds.
    pub cpu_s_max: Option<u32>,
}

impl std::fmt::Debug for Program {
    /// Without the environment's values: some of them are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("command", &self.command)
            .field("environment", &self.environment.keys())
            .field("runs_as", &self.runs_as)
            .finish_non_exhaustive()
    }
}

/// What differs between installations.
#[derive(Clone)]
pub struct DoorSettings {
    /// Where the names of sessions come from.
    pub entropy: Arc<dyn Entropy>,
    /// Where clients reach the gateway: `https://gateway.example`.
    pub public_url: String,
    /// The programs that resources may name.
    pub programs: BTreeMap<String, Program>,
    /// How long a session may be unused, in seconds.
    pub idle_s_max: u64,
}

impl DoorSettings {
    /// The default limits, and no programs.
    #[must_use]
    pub fn new(entropy: Arc<dyn Entropy>, public_url: impl Into<String>) -> Self {
        Self { entropy, public_url: public_url.into(), programs: BTreeMap::new(), idle_s_max: 30 * 60 }
    }
}

impl std::fmt::Debug for DoorSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DoorSettings")
            .field("public_url", &self.public_url)
            .field("programs", &self.programs.keys())
            .field("idle_s_max", &self.idle_s_max)
            .finish_non_exhaustive()
    }
}

/// Who is at the other end of a connection: whoever serves the router says so with each call.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The door of tools.
pub struct Door(Arc<Shared>);

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) settings: DoorSettings,
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) proofs: Semaphore,
    sessions: Mutex<BTreeMap<String, Entered>>,
}

/// A client that was let in.
#[derive(Clone)]
pub(crate) enum Entered {
    /// Before a server.
    Session(Arc<Session>),
    /// Before a database, or before a server that it has no grant for.
    Desk(Arc<Desk>),
}

impl Entered {
    pub(crate) fn line(&self) -> &Line {
        match self {
            Self::Session(session) => session,
            Self::Desk(desk) => &desk.line,
        }
    }
}

impl Door {
    /// A door over this engine.
    #[must_use]
    pub fn new(engine: Engine, settings: DoorSettings) -> Self {
        Self(Arc::new(Shared {
            engine,
            settings,
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            proofs: Semaphore::new(PROOFS_AT_ONCE_MAX),
            sessions: Mutex::default(),
        }))
    }

    /// The endpoints. Each call has to bring its [`Peer`] as an extension.
    pub fn router(&self) -> Router {
        http::router(Arc::clone(&self.0))
    }

    /// Waits until `shutdown` resolves; then every session is cut before this returns.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        shutdown.await;
        self.0.stopping.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(Duration::from_secs(CLOSING_S_MAX), self.0.tasks.wait()).await.is_err() {
            tracing::warn!("some sessions of tools did not end in time");
        }
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Door(mcp)")
    }
}

impl Shared {
    /// A session by its name.
    pub(crate) fn session(&self, name: &str) -> Option<Entered> {
        self.sessions().get(name).cloned()
    }

    /// Puts a session under its name, unless there are too many.
    pub(crate) fn keep(&self, entered: Entered) -> bool {
        let mut sessions = self.sessions();
        let line = entered.line();
        let each = sessions.values().filter(|other| other.line().principal == line.principal).count();
        let has_place = sessions.len() < SESSIONS_MAX && each < SESSIONS_EACH_MAX;
        if has_place {
            sessions.insert(line.name.clone(), entered);
        }
        has_place
    }

    /// Puts another place under the name of a session that is kept. One that is over has none.
    pub(crate) fn moves(&self, entered: Entered) {
        if let Some(place) = self.sessions().get_mut(&entered.line().name) {
            *place = entered;
        }
    }

    pub(crate) fn forget(&self, name: &str) {
        self.sessions().remove(name);
    }

    /// A name for a session that can't be guessed.
    pub(crate) fn name(&self) -> String {
        let mut bytes = [0; 16];
        self.settings.entropy.fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Where clients reach a resource.
    pub(crate) fn endpoint(&self, resource: &ResourceId) -> String {
        format!("{}/mcp/{resource}", self.settings.public_url.trim_end_matches('/'))
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Entered>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
