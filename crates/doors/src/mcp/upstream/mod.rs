//! The server's side of a session: where messages go, and from where they come.

mod program;
mod web;

use bytes::Bytes;
use countersign_core::ResourceId;
use countersign_core::catalogue::Resource;
use countersign_engine::SecretError;
use countersign_wire::mcp::Id;
use tokio::sync::mpsc;

use super::Shared;
use program::Running;
use web::Web;

/// How many messages of a server's may wait to be looked at.
const WAITING_MAX: usize = 16;
/// How long a server may take to accept a message, in seconds.
const SEND_S_MAX: u64 = 30;

/// Where a session's messages go.
pub(crate) enum Upstream {
    /// A web server.
    Web(Web),
    /// A program on this machine.
    Program(Box<Running>),
}

/// What comes from a server.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A message, in what answers this request if that is known.
    Message(Vec<u8>, Option<Id>),
    /// This request will not be answered, and why.
    Failed(Id, String),
    /// Nothing more comes.
    Gone(String),
}

/// There is no server. For the operator's log; a client is told less.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoServer {
    #[error("the secret of account `{account}` can't be had")]
    Secret {
        account: String,
        #[source]
        source: SecretError,
    },
    #[error("`{0}` is not described under [mcp.program.{0}] in the gateway's configuration")]
    NoProgram(String),
    #[error("the program `{name}` could not be started")]
    Start {
        name: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the program has no command")]
    NoCommand,
    #[error("the authority in `{path}` can't be used")]
    Authority {
        path: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("no client for web servers could be made")]
    Client(#[source] reqwest::Error),
    #[error("the resource says neither where its server is nor which program it is")]
    Nowhere,
}

/// A message could not be handed to the server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSent {
    #[error("the server did not take a message in time")]
    Slow,
    #[error("the server is gone")]
    Gone,
}

impl Upstream {
    /// The server of a resource, under one of its accounts.
    pub(crate) fn open(
        shared: &Shared,
        (resource, described): (&ResourceId, &Resource),
        account: &str,
    ) -> Result<(Self, mpsc::Receiver<Incoming>), NoServer> {
        let (into, from) = mpsc::channel(WAITING_MAX);
        let secret = described.secrets.contains_key(account).then(|| {
            let secret = shared.engine.secret(resource, account);
            secret.map_err(|source| NoServer::Secret { account: account.to_owned(), source })
        });
        let settings = &described.settings;
        let upstream = match (settings.get("url"), settings.get("program")) {
            (Some(url), _) => {
                let authority = settings.get("tls_ca").map(String::as_str);
                Self::Web(Web::new(url, authority, secret.transpose()?, into)?)
            }
            (None, Some(name)) => {
                let program = shared.settings.programs.get(name);
                let program = program.ok_or_else(|| NoServer::NoProgram(name.clone()))?;
                Self::Program(Box::new(Running::start(name, program, into)?))
            }
            (None, None) => return Err(NoServer::Nowhere),
        };
        Ok((upstream, from))
    }

    /// Hands over a message. `of` is the request that it is, if it is one. What comes of it comes by the channel.
    pub(crate) async fn send(&self, bytes: Bytes, of: Option<Id>) -> Result<(), NotSent> {
        match self {
            Self::Web(web) => {
                web.send(bytes, of);
                Ok(())
            }
            Self::Program(running) => running.send(&bytes).await,
        }
    }

    /// The revision of the protocol, once it is agreed on.
    pub(crate) fn speaks(&self, revision: &str) {
        if let Self::Web(web) = self {
            web.speaks(revision);
        }
    }

    /// The server has been told that the session has begun.
    pub(crate) fn begins(&self) {
        if let Self::Web(web) = self {
            web.listen();
        }
    }

    /// Ends it.
    pub(crate) async fn close(&self) {
        match self {
            Self::Web(web) => web.close().await,
            Self::Program(running) => running.close().await,
        }
    }
}
