//! One connection: TLS, a bind, searches in pages.

use std::sync::Arc;
use std::time::Duration;

use ldap3::adapters::{Adapter, EntriesOnly, PagedResults};
use ldap3::{LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Scope, SearchOptions};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::LdapSettings;
use super::entry::Entry;

/// How long a server may take to be connected to, TLS included.
const CONNECT_MS_MAX: u64 = 10_000;

/// How long a server may take over one step of an operation.
const STEP_MS_MAX: u64 = 20_000;

/// How many entries a page has. Active Directory gives at most 1,000.
const PAGE: i32 = 500;

/// The most entries that one search may give. More are a sign that the wrong ones are asked for.
const ENTRIES_MAX: usize = 200_000;

/// Why a directory could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The bundle in force does not name it.
    #[error(
        "the bundle in force names no such directory; add it to people.toml, or take it out of countersign.toml"
    )]
    NotDeclared,
    /// The password to bind with can't be had.
    #[error("the password to bind with can't be had: {0}")]
    Secret(String),
    /// There is nothing to bind with.
    #[error("the password to bind with is empty; a bind without one proves nothing")]
    NoPassword,
    /// The certificate of its authority can't be read.
    #[error("the certificate in `ca` can't be read")]
    Authority(#[source] rustls::pki_types::pem::Error),
    /// That certificate can't vouch for anybody.
    #[error("the certificate in `ca` can't be used")]
    Trust(#[source] rustls::Error),
    /// No certificate is there.
    #[error("`ca` has no certificate in it")]
    NoAuthority,
    /// None of its servers can be reached.
    #[error("could not connect to `{0}`")]
    Connect(String, #[source] Box<LdapError>),
    /// It did not answer.
    #[error("it did not answer when asked to {0}")]
    Silent(&'static str, #[source] Box<LdapError>),
    /// It said no.
    #[error("it refused to {0}: code {1} ({2})")]
    Said(&'static str, u32, String),
    /// It sends elsewhere.
    #[error("it refers to another server; name that one, or a base that this one has")]
    Referral,
    /// What it sent is nothing that is known.
    #[error("it sent {0}")]
    Unreadable(&'static str),
    /// It has more than can be.
    #[error(
        "a search gave more than {ENTRIES_MAX} entries; narrow `users_base`, `users_filter` or `groups_base`"
    )]
    TooMany,
    /// It took too long altogether.
    #[error("listing it took too long")]
    TooLong,
    /// It has nobody.
    #[error("it lists nobody; check `users_base`, `users_filter` and what the gateway's account may read")]
    Empty,
    /// The engine did not take it.
    #[error("what it said could not be recorded: {0}")]
    Refused(String),
}

/// A bound connection.
pub(super) struct Connection(ldap3::Ldap);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

/// Whether a URL names a server that can be asked in secret.
pub(super) fn check_url(url: &str, start_tls: bool) -> Result<(), String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("`{url}` is no URL"))?;
    let wanted = if start_tls { "ldap" } else { "ldaps" };
    if scheme != wanted {
        let hint = match (scheme, start_tls) {
            ("ldap", false) => "; in clear nobody is asked: set `start_tls = true`",
            ("ldaps", true) => "; with `start_tls` it begins with `ldap://`",
            _ => "",
        };
        return Err(format!("`{url}` has to begin with `{wanted}://`{hint}"));
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-[]:".contains(c);
    if host.is_empty() || !host.chars().all(is_host) || port.is_some_and(|port| port.parse::<u16>().is_err())
    {
        return Err(format!("`{url}` has to be `{wanted}://HOST` or `{wanted}://HOST:PORT`"));
    }
    Ok(())
}

/// Whether a filter can be read.
pub(super) fn check_filter(filter: &str) -> Result<(), String> {
    ldap3::parse_filter(filter).map(drop).map_err(|()| format!("`{filter}` is no LDAP filter"))
}

/// TLS that trusts what this authority vouches for, and nobody else.
pub(super) fn trusting(authority: &str) -> Result<Arc<ClientConfig>, Failed> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate.map_err(Failed::Authority)?).map_err(Failed::Trust)?;
    }
    if roots.is_empty() {
        return Err(Failed::NoAuthority);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(Arc::new(config.map_err(Failed::Trust)?.with_root_certificates(roots).with_no_client_auth()))
}

impl Connection {
    /// Connects to the first server that answers, and binds there.
    pub(super) async fn open(settings: &LdapSettings, password: &str) -> Result<Self, Failed> {
        if password.is_empty() {
            return Err(Failed::NoPassword);
        }
        let config = trusting(&settings.authority)?;
        let mut last = Failed::Empty;
        for url in &settings.urls {
            let with = LdapConnSettings::new()
                .set_conn_timeout(Duration::from_millis(CONNECT_MS_MAX))
                .set_starttls(settings.start_tls)
                .set_config(Arc::clone(&config));
            match LdapConnAsync::with_settings(with, url).await {
                Ok((driver, ldap)) => {
                    let directory = settings.directory.clone();
                    tokio::spawn(async move {
                        if let Err(error) = driver.drive().await {
                            tracing::debug!(%directory, %error, "the connection to the directory ended badly");
                        }
                    });
                    let mut connection = Self(ldap);
                    connection.bind(&settings.bind_dn, password).await?;
                    return Ok(connection);
                }
                Err(error) => last = Failed::Connect(url.clone(), Box::new(error)),
            }
        }
        Err(last)
    }

    async fn bind(&mut self, name: &str, password: &str) -> Result<(), Failed> {
        let bound = self.step().simple_bind(name, password).await;
        well(bound.map_err(|error| Failed::Silent("bind", Box::new(error)))?, "bind")
    }

    /// Everything beneath `base` that is like `filter`, page by page.
    pub(super) async fn search(
        &mut self,
        base: &str,
        filter: &str,
        attributes: &[&str],
    ) -> Result<Vec<Entry>, Failed> {
        const WHAT: &str = "search";
        let silent = |error| Failed::Silent(WHAT, Box::new(error));
        let attributes: Vec<String> = attributes.iter().map(|name| (*name).to_owned()).collect();
        let adapters: Vec<Box<dyn Adapter<'_, String, Vec<String>>>> =
            vec![Box::new(EntriesOnly::new()), Box::new(PagedResults::new(PAGE))];
        let ldap = self.step().with_search_options(SearchOptions::new());
        let started = ldap.streaming_search_with(adapters, base, Scope::Subtree, filter, attributes).await;
        let mut stream = started.map_err(silent)?;
        let mut entries = Vec::new();
        while let Some(found) = stream.next().await.map_err(silent)? {
            let entry = Entry::read(found.0).ok_or(Failed::Unreadable("an entry that can't be read"))?;
            entries.push(entry);
            if entries.len() > ENTRIES_MAX {
                return Err(Failed::TooMany);
            }
        }
        well(stream.finish().await, WHAT)?;
        Ok(entries)
    }

    pub(super) async fn close(mut self) {
        // Who does not hear it notices that the connection is gone.
        let _unheard = self.0.unbind().await;
    }

    fn step(&mut self) -> &mut ldap3::Ldap {
        self.0.with_timeout(Duration::from_millis(STEP_MS_MAX))
    }
}

/// Only a plain success is one: a part of a listing is none, and a referral leads elsewhere.
fn well(result: LdapResult, what: &'static str) -> Result<(), Failed> {
    match result.rc {
        0 => Ok(()),
        10 => Err(Failed::Referral),
        code => Err(Failed::Said(what, code, result.text.chars().take(200).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_asked_in_clear() {
        for (url, start_tls) in [
            ("ldaps://dc.example.com", false),
            ("ldaps://127.0.0.1:10636", false),
            ("ldap://dc.example.com:389", true),
            ("ldaps://[::1]:636", false),
        ] {
            assert_eq!(check_url(url, start_tls), Ok(()), "{url}");
        }
        for (url, start_tls) in [
            ("ldap://dc.example.com", false),
            ("ldaps://dc.example.com", true),
            ("ldapi:///tmp/socket", false),
            ("dc.example.com", false),
            ("ldaps://", false),
            ("ldaps://dc:x", false),
            ("ldaps://dc.example.com/dc=example?sub", false),
            ("ldaps://user@dc.example.com", false),
            ("ldaps://dc:99999", false),
        ] {
            assert!(check_url(url, start_tls).is_err(), "{url}");
        }
    }

    #[test]
    fn an_authority_is_a_certificate() {
        assert!(matches!(trusting(""), Err(Failed::NoAuthority)));
        let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(trusting(bad), Err(Failed::Trust(_))));
    }

    #[test]
    fn filters_are_read_before_they_are_used() {
        assert_eq!(check_filter("(&(objectClass=person)(!(uid=x*)))"), Ok(()));
        assert!(check_filter("(objectClass=person").is_err() && check_filter("").is_err());
    }
}
