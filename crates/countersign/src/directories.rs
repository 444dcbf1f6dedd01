//! `[scim.NAME]` and `[ldap.NAME]` of `countersign.toml`: how the directories are reached that the bundle names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use countersign_core::Span;
use countersign_integrations::ldap::{Kind, LdapSettings};
use countersign_portal::scim::ScimClient;
use serde::Deserialize;

/// The shortest and the longest time between two listings: whoever is disabled at the source has nothing here within a minute.
const EVERY_MIN: Span = Span::seconds(5);
const EVERY_MAX: Span = Span::seconds(50);

/// The provisioning client of a directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScimSection {
    /// References to its tokens: `file:PATH` or `env:NAME`. Two, while one takes the place of the other.
    tokens: Vec<String>,
}

/// A directory that is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LdapSection {
    #[serde(default)]
    kind: KindWord,
    url: Urls,
    #[serde(default)]
    start_tls: bool,
    ca: PathBuf,
    bind_dn: String,
    bind_password: String,
    users_base: String,
    users_filter: Option<String>,
    groups_base: String,
    name: Option<String>,
    number: Option<String>,
    every: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KindWord {
    #[default]
    Ldap,
    ActiveDirectory,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Urls {
    One(String),
    Several(Vec<String>),
}

/// Who may provision directories. A token has to be somewhere from the start; whether it can be had is asked when it is
/// presented, so that it may change without a restart.
///
/// # Errors
/// A name is none, or no token is named.
pub fn scim_clients(found: &BTreeMap<String, ScimSection>) -> Result<Vec<ScimClient>> {
    let clients = found.iter().map(|(name, section)| {
        let directory = name.parse().with_context(|| format!("`[scim.{name}]` is not right"))?;
        if section.tokens.is_empty() || !section.tokens.iter().all(|token| is_reference(token)) {
            bail!("`tokens` under [scim.{name}] has to list where its tokens are: `file:PATH` or `env:NAME`");
        }
        Ok(ScimClient { directory, tokens: section.tokens.clone() })
    });
    clients.collect()
}

/// The directories that are asked.
///
/// # Errors
/// What is not right, with the section that it is in.
pub fn ldap_directories(found: &BTreeMap<String, LdapSection>) -> Result<Vec<LdapSettings>> {
    let settings = found.iter().map(|(name, section)| {
        section.settings(name).with_context(|| format!("`[ldap.{name}]` is not right"))
    });
    settings.collect()
}

impl LdapSection {
    fn settings(&self, name: &str) -> Result<LdapSettings> {
        let kind = match self.kind {
            KindWord::Ldap => Kind::Ldap,
            KindWord::ActiveDirectory => Kind::ActiveDirectory,
        };
        let authority = std::fs::read_to_string(&self.ca)
            .with_context(|| format!("could not read the certificate `{}`", self.ca.display()))?;
        if !is_reference(&self.bind_password) {
            bail!("`bind_password` has to say where the password is: `file:PATH` or `env:NAME`");
        }
        let every = match &self.every {
            None => LdapSettings::USUAL_EVERY,
            Some(every) => time_between(every)?,
        };
        let usual = |given: &Option<String>, usual: &str| given.clone().unwrap_or_else(|| usual.to_owned());
        let settings = LdapSettings {
            directory: name.parse()?,
            kind,
            urls: match &self.url {
                Urls::One(url) => vec![url.clone()],
                Urls::Several(urls) => urls.clone(),
            },
            start_tls: self.start_tls,
            authority,
            bind_dn: self.bind_dn.clone(),
            bind_password: self.bind_password.clone(),
            users_base: self.users_base.clone(),
            users_filter: usual(&self.users_filter, LdapSettings::usual_filter(kind)),
            groups_base: self.groups_base.clone(),
            name: usual(&self.name, LdapSettings::usual_name(kind)),
            number: self.number.clone(),
            every,
        };
        settings.check().map_err(|wrong| anyhow!(wrong))?;
        Ok(settings)
    }
}

fn time_between(every: &str) -> Result<Duration> {
    let every: Span = every.parse().context("`every` is not right")?;
    if every < EVERY_MIN || every > EVERY_MAX {
        bail!("`every` is `{every}`; it has to be from {EVERY_MIN} to {EVERY_MAX}");
    }
    Ok(Duration::from_millis(u64::try_from(every.millis())?))
}

fn is_reference(text: &str) -> bool {
    ["file:", "env:"].iter().any(|kind| text.strip_prefix(kind).is_some_and(|rest| !rest.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORP: &str = "[corp]\nurl = \"ldaps://dc.example.com\"\nca = \"CA\"\nbind_dn = \"cn=gateway\"\n\
        bind_password = \"file:/x\"\nusers_base = \"ou=people\"\ngroups_base = \"ou=groups\"\n";

    fn read(text: &str) -> Result<Vec<LdapSettings>> {
        let folder = tempfile::tempdir()?;
        let ca = folder.path().join("ca.pem");
        let key = rcgen::KeyPair::generate()?;
        std::fs::write(&ca, rcgen::CertificateParams::new(vec!["x".into()])?.self_signed(&key)?.pem())?;
        ldap_directories(&toml::from_str(&text.replace("CA", &ca.display().to_string()))?)
    }

    #[test]
    fn a_directory_is_asked_every_half_minute_unless_told_otherwise() {
        let found = read(CORP).unwrap().remove(0);
        assert_eq!(
            (found.every, found.name.as_str(), found.kind),
            (Duration::from_secs(30), "uid", Kind::Ldap)
        );
        let found = read(&format!("{CORP}kind = \"active-directory\"\nevery = \"5s\"\n")).unwrap().remove(0);
        assert_eq!((found.every.as_secs(), found.name.as_str()), (5, "sAMAccountName"));
    }

    #[test]
    fn what_is_not_right_is_said() {
        for (passage, by, said) in [
            ("ldaps://dc", "ldap://dc", "start_tls"),
            ("file:/x", "secret", "`bind_password` has to say where"),
            ("file:/x", "file:", "`bind_password` has to say where"),
            ("cn=gateway", "", "`bind_dn` is empty"),
            ("[corp]", "[Corp]", "is not a name"),
            ("groups_base =", "every = \"1s\"\ngroups_base =", "has to be from 5s to 50s"),
            ("groups_base =", "users_filter = \"(x\"\ngroups_base =", "is no LDAP filter"),
            ("groups_base =", "follow = true\ngroups_base =", "unknown field `follow`"),
        ] {
            let error = format!("{:#}", read(&CORP.replace(passage, by)).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
        let none: BTreeMap<String, ScimSection> = toml::from_str("[corp]\ntokens = []\n").unwrap();
        assert!(scim_clients(&none).is_err());
    }
}
