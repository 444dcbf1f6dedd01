//! Why there is no connection to a server, and what of it the client may read.

use countersign_wire::postgres::encode::{Report, Unencodable};
use countersign_wire::postgres::scram::ScramError;
use countersign_wire::postgres::{ErrorFields, Malformed};

use super::super::query::QueryError;
use super::super::tls::TlsError;
use super::super::wording;
use super::PARAMETERS_MAX;

/// The server takes nobody at this moment: it starts, stops or recovers.
const CANNOT_CONNECT_NOW: &str = "57P03";
/// The server has as many connections as it may have.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// There is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the resource's `{0}` is missing or can't be used; correct it in the bundle")]
    Setting(&'static str),
    #[error("connecting took more than {0} ms; see `connect_timeout`")]
    Slow(u128),
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    #[error("TLS is not possible")]
    Tls(#[from] TlsError),
    #[error(
        "the server does not offer TLS; set `tls = \"disable\"` only if the network in between is trusted"
    )]
    NoTls,
    #[error("the server's message is malformed")]
    Malformed(#[from] Malformed),
    #[error("the server went away")]
    Gone,
    #[error("the server says no: {0}")]
    Server(ServerError),
    #[error("the account's secret is not there: {0}")]
    NoSecret(String),
    #[error(
        "the server asks for a password, and the bundle has none for this account; add it to its `secrets`"
    )]
    NoPassword,
    #[error(
        "the server asks for {0}, which is not given to it over this connection; use SCRAM or verified TLS"
    )]
    Method(&'static str),
    #[error("the password exchange failed")]
    Scram(#[from] ScramError),
    #[error("a name or setting can't be written")]
    Unencodable(#[from] Unencodable),
    #[error(
        "the server reports more than {PARAMETERS_MAX} settings; check that the address is the right server's"
    )]
    Parameters,
    #[error("the server could not be asked whether it is a standby")]
    Unknown(#[from] QueryError),
    #[error("the server is not `{0}`; see `target_session_attrs`")]
    Unsuitable(&'static str),
}

/// What a server said instead of letting somebody in.
#[derive(Debug)]
pub(crate) struct ServerError {
    /// The SQLSTATE.
    pub(crate) code: String,
    /// What it says of it.
    pub(crate) message: String,
    detail: Option<String>,
    hint: Option<String>,
    /// It had accepted the account before.
    accepted: bool,
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.message)
    }
}

impl ConnectError {
    /// The server's error.
    pub(super) fn of_server(fields: &ErrorFields<'_>, accepted: bool) -> Self {
        let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self::Server(ServerError {
            code: part(fields.code().unwrap_or_default()),
            message: part(fields.message().unwrap_or_default()),
            detail: fields.get(b'D').map(part),
            hint: fields.get(b'H').map(part),
            accepted,
        })
    }

    /// Whether another of the resource's servers may do better. As libpq has it, one that has looked at the account and
    /// refused it is not gone round: the account would be locked, or let in where it was not meant to be.
    pub(super) fn is_of_one_server(&self) -> bool {
        match self {
            Self::Slow(_)
            | Self::Io(_)
            | Self::Tls(_)
            | Self::NoTls
            | Self::Gone
            | Self::Unknown(_)
            | Self::Unsuitable(_) => true,
            Self::Server(error) => error.code == CANNOT_CONNECT_NOW,
            _ => false,
        }
    }

    /// What the client reads in the server's own words: that a setting of its own is wrong, or that the server takes
    /// nobody now. Everything else is between the gateway and the server.
    pub(crate) fn for_client(&self) -> Option<Report> {
        let Self::Server(error) = self else { return None };
        let busy = matches!(error.code.as_str(), TOO_MANY_CONNECTIONS | CANNOT_CONNECT_NOW);
        let setting = error.accepted
            && (error.code.starts_with("22") || matches!(error.code.as_str(), "42501" | "42704"));
        if !busy && !setting {
            return None;
        }
        let mut report = wording::fatal(&error.code, &error.message);
        if let Some(detail) = &error.detail {
            report = report.detail(wording::clean(detail));
        }
        if let Some(hint) = &error.hint {
            report = report.hint(wording::clean(hint));
        }
        Some(report)
    }
}
