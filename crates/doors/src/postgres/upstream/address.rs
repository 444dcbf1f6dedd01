//! Where the servers of a resource are, which of them is meant, and how they are spoken to.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use countersign_core::catalogue::Resource;

use super::super::tls::Mode;
use super::ConnectError;

/// What PostgreSQL listens on.
const PORT: u16 = 5432;
/// How long connecting to one server and authenticating may take where the bundle does not say, in milliseconds.
const CONNECT_MS_MAX: u64 = 10_000;

/// Where a resource is, and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The servers, in the order in which they are tried; each has the same database.
    pub(crate) servers: Vec<Server>,
    /// Which of them is meant.
    pub(super) attrs: Attrs,
    /// Database.
    pub(crate) database: String,
    /// What is demanded of the server.
    pub(super) mode: Mode,
    /// PEM file of the authority.
    pub(super) ca: Option<String>,
    /// How long connecting to one of them may take.
    pub(super) limit: Duration,
}

/// One of the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// Host name or address.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
}

/// The server that a connection leads to: what it is called, and where that was when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// What its certificate is made out to.
    pub(super) host: String,
    /// Where it is.
    pub(super) socket: SocketAddr,
}

/// Which of several servers is meant, in libpq's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Attrs {
    /// Whichever takes connections.
    #[default]
    Any,
    /// Where a transaction may write unless it says otherwise.
    ReadWrite,
    /// Where it may not.
    ReadOnly,
    /// One that is no standby.
    Primary,
    /// A standby.
    Standby,
    /// A standby, or else whichever takes connections.
    PreferStandby,
}

/// What a server says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nature {
    /// It follows another one.
    pub(super) standby: bool,
    /// Transactions only read unless they say otherwise. `None`: the session itself has said so.
    pub(super) read_only: Option<bool>,
}

impl FromStr for Attrs {
    type Err = ConnectError;

    fn from_str(word: &str) -> Result<Self, ConnectError> {
        Ok(match word {
            "any" => Self::Any,
            "read-write" => Self::ReadWrite,
            "read-only" => Self::ReadOnly,
            "primary" => Self::Primary,
            "standby" => Self::Standby,
            "prefer-standby" => Self::PreferStandby,
            _ => return Err(ConnectError::Setting("target_session_attrs")),
        })
    }
}

impl Attrs {
    /// The word for it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::PreferStandby => "prefer-standby",
        }
    }

    /// What to look for in each round through the servers.
    pub(super) const fn rounds(self) -> &'static [Self] {
        match self {
            Self::Any => &[Self::Any],
            Self::ReadWrite => &[Self::ReadWrite],
            Self::ReadOnly => &[Self::ReadOnly],
            Self::Primary => &[Self::Primary],
            Self::Standby => &[Self::Standby],
            Self::PreferStandby => &[Self::Standby, Self::Any],
        }
    }

    /// Whether a server is what is looked for. Where the session has set by itself whether it only reads, nothing is
    /// known of what the server would have said.
    pub(super) fn suits(self, nature: Nature) -> bool {
        match self {
            Self::Any | Self::PreferStandby => true,
            Self::ReadWrite => !nature.standby && nature.read_only != Some(true),
            Self::ReadOnly => nature.standby || nature.read_only != Some(false),
            Self::Primary => !nature.standby,
            Self::Standby => nature.standby,
        }
    }
}

impl Address {
    /// Reads a resource's settings.
    ///
    /// # Errors
    /// [`ConnectError::Setting`] names the one that is wrong.
    pub(crate) fn of(resource: &Resource) -> Result<Self, ConnectError> {
        let setting = |name: &str| resource.settings.get(name).map(String::as_str);
        let ports = setting("port").map(|ports| ports.split(',').map(str::parse).collect::<Result<_, _>>());
        let ports: Vec<u16> =
            ports.unwrap_or_else(|| Ok(vec![PORT])).map_err(|_| ConnectError::Setting("port"))?;
        let hosts: Vec<&str> = setting("host").ok_or(ConnectError::Setting("host"))?.split(',').collect();
        if hosts.iter().any(|host| host.is_empty()) {
            return Err(ConnectError::Setting("host"));
        }
        let port = |index: usize| match ports.as_slice() {
            [port] => Ok(*port),
            ports if ports.len() == hosts.len() => ports.get(index).copied().ok_or(()),
            _ => Err(()),
        };
        let servers = hosts.iter().enumerate().map(|(index, host)| {
            let port = port(index).map_err(|()| ConnectError::Setting("port"))?;
            Ok(Server { host: (*host).to_owned(), port })
        });
        let limit = setting("connect_timeout_ms").map_or(Ok(CONNECT_MS_MAX), str::parse);
        Ok(Self {
            servers: servers.collect::<Result<_, ConnectError>>()?,
            attrs: setting("target_session_attrs").map_or(Ok(Attrs::default()), str::parse)?,
            database: setting("database").ok_or(ConnectError::Setting("database"))?.to_owned(),
            mode: setting("tls").map_or(Ok(Mode::default()), str::parse)?,
            ca: setting("tls_ca").map(str::to_owned),
            limit: Duration::from_millis(limit.map_err(|_| ConnectError::Setting("connect_timeout"))?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use countersign_core::catalogue::{Impact, Recording};

    fn resource(settings: &[(&str, &str)]) -> Resource {
        let settings = [("database", "shop")].iter().chain(settings);
        Resource {
            kind: "postgres".into(),
            title: String::new(),
            owner: None,
            impact: Impact::High,
            labels: BTreeMap::new(),
            recording: Recording::BeforeRelease,
            settings: settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            secrets: BTreeMap::new(),
            certificates: BTreeMap::new(),
            relations: BTreeMap::new(),
        }
    }

    fn servers(host: &str, port: &str) -> Vec<(String, u16)> {
        let address = Address::of(&resource(&[("host", host), ("port", port)])).unwrap();
        address.servers.into_iter().map(|server| (server.host, server.port)).collect()
    }

    #[test]
    fn each_server_has_its_port() {
        assert_eq!(servers("a,b", "1,2"), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert_eq!(servers("a,b", "5433"), [("a".to_owned(), 5433), ("b".to_owned(), 5433)]);
        for (host, port) in [("a,b", "1,2,3"), ("a,b", "1,x"), ("a", ""), ("a,,b", "1"), ("", "1")] {
            assert!(Address::of(&resource(&[("host", host), ("port", port)])).is_err(), "{host} {port}");
        }
        assert!(Address::of(&resource(&[])).is_err());
        let nobody = resource(&[("host", "a"), ("target_session_attrs", "best")]);
        assert!(Address::of(&nobody).is_err());
    }

    #[test]
    fn servers_suit_as_libpq_has_it() {
        let nature = |standby, read_only| Nature { standby, read_only };
        let (primary, frozen) = (nature(false, Some(false)), nature(false, Some(true)));
        let (standby, mine) = (nature(true, Some(false)), nature(false, None));
        for (attrs, expected) in [
            (Attrs::Any, [true, true, true, true]),
            (Attrs::ReadWrite, [true, false, false, true]),
            (Attrs::ReadOnly, [false, true, true, true]),
            (Attrs::Primary, [true, true, false, true]),
            (Attrs::Standby, [false, false, true, false]),
        ] {
            assert_eq!([primary, frozen, standby, mine].map(|one| attrs.suits(one)), expected, "{attrs:?}");
            assert_eq!(attrs.word().parse::<Attrs>().unwrap(), attrs);
        }
    }
}
