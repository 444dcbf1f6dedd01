//! Where the servers of a resource are, and how they are spoken to.
//!
//! The words are PostgreSQL's own (`host`, `target_session_attrs`, `tls` as its `sslmode`), less those that let a
//! connection fall back to clear text. What the door reads is kept as texts: hosts and ports as lists with commas, one port
//! for each host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use countersign_core::Span;
use countersign_core::catalogue::ClientCertificate;

use crate::diagnostic::Problems;
use crate::text::{Field, Kind, Node, Read, Shape, Table, optional, required};

/// How the connection to a server is protected, weakest first.
const MODES: &[&str] = &["disable", "require", "verify-ca", "verify-full"];
/// The one that is meant where none is said.
const MODE: &str = "verify-full";
/// Which of several servers is meant.
const ATTRS: &[&str] = &["any", "read-write", "read-only", "primary", "standby", "prefer-standby"];
/// How many servers one resource has at most: each may have to be waited for.
const HOSTS_MAX: usize = 8;
const POSTGRES_PORT: u16 = 5432;
const TIMEOUT_MIN: Span = Span::seconds(1);
const TIMEOUT_MAX: Span = Span::minutes(5);
const MICROS_A_MILLISECOND: i64 = 1_000;

/// The settings that are kept as they are written. The others are put into the door's form here.
const KEPT: &[&str] = &["database", "target_session_attrs", "tls", "tls_ca", "look_account"];

pub(super) const HOST: Field = optional(
    "host",
    Kind::OneOrMore(&Kind::Text),
    "for kind postgres, which must have it: the server's name or address; or those of several that hold the same database, as they are tried, each with a port \
     of its own if it has one (\"db2.example:5433\")",
);
pub(super) const PORT: Field =
    optional("port", Kind::Whole(1, 65_535), "the port of servers that name none; 5432 if absent");
pub(super) const ATTRIBUTES: Field = optional(
    "target_session_attrs",
    Kind::Word(ATTRS),
    "which of the servers to use: the first that takes connections (any, if absent) or that is as this says",
);
pub(super) const TIMEOUT: Field = optional(
    "connect_timeout",
    Kind::Span,
    "how long connecting to each server may take, from 1s to 5m; 10s if absent",
);
pub(super) const TLS: Field = optional(
    "tls",
    Kind::Word(MODES),
    "how the connection to the server is protected; verify-full if absent",
);
pub(super) const AUTHORITY: Field =
    optional("tls_ca", Kind::Text, "a file with the certificates that vouch for the server");
pub(super) const CERTIFICATES: Field = optional(
    "client_certificates",
    Kind::Map(false, &Kind::Table(&CERTIFICATE)),
    "where the client certificate of each upstream account is, if it has one; never the certificate",
);

const CERTIFICATE: Shape = Shape {
    doc: "What an upstream account shows of itself inside TLS.",
    fields: &[
        required("certificate", Kind::Reference, "where the certificate is, in PEM, with those above it"),
        required("key", Kind::Reference, "where its private key is, in PEM, unencrypted"),
    ],
};

/// The door's settings.
pub(super) fn settings(table: &Table) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::from([("tls".to_owned(), MODE.to_owned())]);
    for key in KEPT {
        if let Some(Node::Text(text)) = table.get(key) {
            settings.insert((*key).to_owned(), text.clone());
        }
    }
    if let Some(timeout) = table.span("connect_timeout") {
        settings.insert("connect_timeout_ms".to_owned(), (timeout.0 / MICROS_A_MILLISECOND).to_string());
    }
    let servers: Vec<Server<'_>> = table.texts("host").filter_map(|text| Server::of(text).ok()).collect();
    let port = table.whole("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(POSTGRES_PORT);
    let hosts: Vec<&str> = servers.iter().map(|server| server.host).collect();
    let ports: Vec<String> = servers.iter().map(|server| server.port.unwrap_or(port).to_string()).collect();
    settings.insert("host".to_owned(), hosts.join(","));
    settings.insert("port".to_owned(), ports.join(","));
    settings
}

/// The client certificates, by upstream account.
pub(super) fn certificates(table: &Table) -> BTreeMap<String, ClientCertificate> {
    let found = table.tables("client_certificates").map(|(account, one)| {
        let (certificate, key) = (one.text("certificate").to_owned(), one.text("key").to_owned());
        (account.to_owned(), ClientCertificate { certificate, key })
    });
    found.collect()
}

/// Whether an upstream account has something to show.
pub(super) fn knows(resource: &Table, account: &str) -> bool {
    resource.pairs("secrets").any(|(known, _)| known == account)
        || resource.tables("client_certificates").any(|(known, _)| known == account)
}

pub(super) fn check(file: &Read<'_>, name: &str, table: &Table, problems: &mut Problems) {
    let at = |key: &str| file.place(&format!("resource.{name}.{key}"));
    hosts(file, name, table, problems);
    let tls = table.maybe_text("tls").unwrap_or(MODE);
    if table.get("tls_ca").is_some() && !tls.starts_with("verify") {
        let message = format!("`tls_ca` is not used with `tls = \"{tls}\"`");
        let hint = "write `tls = \"verify-full\"`, or remove `tls_ca`";
        problems.error(file.within, at("tls_ca"), message, Some(hint.into()));
    }
    if tls == "disable" && table.tables("client_certificates").next().is_some() {
        let message = "`client_certificates` are not used with `tls = \"disable\"`".to_owned();
        let hint = "write `tls = \"verify-full\"`, or remove `client_certificates`";
        problems.error(file.within, at("client_certificates"), message, Some(hint.into()));
    }
    if let Some(timeout) = table.span("connect_timeout")
        && !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&timeout)
    {
        let message = format!("`{timeout}` is not from {TIMEOUT_MIN} to {TIMEOUT_MAX}");
        problems.error(file.within, at("connect_timeout"), message, None);
    }
}

fn hosts(file: &Read<'_>, name: &str, table: &Table, problems: &mut Problems) {
    let path = format!("resource.{name}.host");
    let at = |index: usize| file.place(&format!("{path}[{index}]")).or_else(|| file.place(&path));
    let mut seen = BTreeSet::new();
    for (index, text) in table.indexed("host") {
        match Server::of(text) {
            Err(message) => {
                let hint = "write the name or the address, with `:PORT` behind it if need be; the database has a key \
                            of its own";
                problems.error(file.within, at(index), message, Some(hint.into()));
            }
            Ok(server) if !seen.insert((server.host, server.port)) => {
                problems.error(file.within, at(index), format!("`{text}` is there twice"), None);
            }
            Ok(server) if table.text("tls") == "disable" && !server.is_local() => {
                let message = format!("the connection to `{}` is not encrypted", server.host);
                let hint = Some("write `tls = \"verify-full\"`".into());
                problems.warning(file.within, file.place(&format!("resource.{name}.tls")), message, hint);
            }
            Ok(_) => {}
        }
    }
    match table.indexed("host").count() {
        0 if table.get("host").is_some() => {
            problems.error(file.within, at(0), "no server is named".into(), None);
        }
        count if count > HOSTS_MAX => {
            let message = format!("{count} servers are more than {HOSTS_MAX}");
            problems.error(file.within, at(HOSTS_MAX), message, None);
        }
        _ => {}
    }
}

/// One of the servers, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Server<'a> {
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Server<'a> {
    /// `NAME`, `ADDRESS`, `NAME:PORT`, `ADDRESS:PORT`, `[ADDRESS]`, `[ADDRESS]:PORT`.
    fn of(text: &'a str) -> Result<Self, String> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(|| format!("`{text}` is not a host"))?;
                let port = match rest {
                    "" => None,
                    rest => Some(rest.strip_prefix(':').ok_or_else(|| format!("`{text}` is not a host"))?),
                };
                (host, port)
            }
            None if text.parse::<IpAddr>().is_ok() => (text, None),
            None => match text.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let strange = |c: char| c.is_whitespace() || c.is_control() || "/@?,[]".contains(c);
        let is_name = !host.is_empty() && !host.contains(strange);
        if !is_name || (host.contains(':') && host.parse::<IpAddr>().is_err()) {
            return Err(format!("`{text}` is not a host"));
        }
        let port = port.map(|port| {
            port.parse().ok().filter(|port| *port > 0).ok_or_else(|| format!("`{port}` is not a port"))
        });
        Ok(Self { host, port: port.transpose()? })
    }

    fn is_local(self) -> bool {
        ["127.0.0.1", "::1", "localhost"].contains(&self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_name_or_an_address_with_or_without_a_port() {
        for (text, host, port) in [
            ("db.example", "db.example", None),
            ("db.example:5433", "db.example", Some(5433)),
            ("10.0.0.1", "10.0.0.1", None),
            ("10.0.0.1:1", "10.0.0.1", Some(1)),
            ("::1", "::1", None),
            ("[::1]", "::1", None),
            ("[::1]:5433", "::1", Some(5433)),
        ] {
            assert_eq!(Server::of(text), Ok(Server { host, port }), "{text}");
        }
        for bad in [
            "", ":5432", "db:", "db:0", "db:65536", "db:x", "a:b:1", "[::1", "[::1]x", "db/shop", "u@db",
            "a,b", "a b",
        ] {
            assert!(Server::of(bad).is_err(), "{bad}");
        }
    }
}
