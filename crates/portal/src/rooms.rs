//! What handlers share: the engine, the settings, and two counters.

use std::path::PathBuf;
use std::sync::Arc;

use countersign_engine::{Caller, Engine, Entropy};

use crate::benches::Benches;
use crate::dpop::Proofs;
use crate::origin::{BadHome, Home};
use crate::problem::{Kind, Problem};
use crate::throttle::{Place, Streams, Tries};

/// What differs between installations.
#[derive(Clone)]
pub struct PortalSettings {
    /// Where the console is, as people type it: scheme, host and port, no path.
    pub public_url: String,
    /// Where clients find the doors.
    pub doors: Vec<DoorAddress>,
    /// The authority that signed the doors' certificate.
    pub authority: Option<Authority>,
    /// Unpredictable bytes, for the nonces of the console's pages.
    pub entropy: Arc<dyn Entropy>,
}

/// Where clients find a door.
#[derive(Clone, Debug)]
pub struct DoorAddress {
    /// The kind of resource it serves: `postgres`.
    pub kind: String,
    /// The host that clients are told.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A certificate authority that clients have to be told of.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Its certificate, PEM.
    pub pem: String,
    /// Where it lies for clients on the same machine; URLs for clients name it.
    pub path: Option<PathBuf>,
}

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Rooms {
    pub(crate) engine: Engine,
    pub(crate) settings: Arc<PortalSettings>,
    pub(crate) home: Arc<Home>,
    pub(crate) tries: Arc<Tries>,
    pub(crate) proofs: Arc<Proofs>,
    pub(crate) streams: Streams,
    pub(crate) benches: Benches,
}

impl Rooms {
    pub(crate) fn new(engine: Engine, settings: PortalSettings) -> Result<Self, BadHome> {
        let home = Arc::new(Home::new(&settings.public_url)?);
        Ok(Self {
            engine,
            settings: Arc::new(settings),
            home,
            tries: Arc::default(),
            proofs: Arc::default(),
            streams: Streams::default(),
            benches: Benches::default(),
        })
    }

    /// A place for one more event stream of the caller.
    ///
    /// # Errors
    /// [`Kind::TooMany`].
    pub(crate) fn stream_of(&self, caller: &Caller) -> Result<Place, Problem> {
        self.streams.enter(&caller.principal).ok_or_else(|| {
            Problem::new(Kind::TooMany, "you hold too many event streams open").hint("close some windows")
        })
    }

    /// Where clients reach resources of `kind`.
    pub(crate) fn door(&self, kind: &str) -> Option<&DoorAddress> {
        self.settings.doors.iter().find(|door| door.kind == kind)
    }
}
