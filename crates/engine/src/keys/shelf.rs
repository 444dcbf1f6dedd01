//! The gateway's own upstream secrets: put there, taken away, named, and never shown again.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use crate::engine::Engine;
use crate::line::Configured;
use crate::people::{Caller, secret_place};
use crate::store::{Drawer, Put, Scan};
use crate::words::{Refused, RefusedCode};

/// The longest secret: a private key with its certificates fits.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;

/// The longest name of one.
const NAME_BYTES_MAX: usize = 64;

/// More than any gateway has.
const SECRETS_MAX: usize = 10_000;

/// A secret of the gateway's own, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretView {
    /// `secret:NAME` in a bundle leads to it.
    pub name: String,
    /// Whether the bundle in force does.
    pub is_used: bool,
    /// Whether it is there: a bundle may name one that nobody has put there.
    pub is_kept: bool,
}

impl Engine {
    /// The gateway's own secrets by name, and those that the bundle in force asks for.
    ///
    /// # Errors
    /// Policy does not permit it, or the store failed.
    pub async fn secrets(&self, caller: &Caller) -> Result<Vec<SecretView>, Refused> {
        self.may_on_keys(caller, "secret.read")?;
        let store = std::sync::Arc::clone(&self.0.house.store);
        let scan = move || store.scan(Drawer::Secrets, &Scan::of(&[], SECRETS_MAX));
        let kept = tokio::task::spawn_blocking(scan).await.ok().and_then(Result::ok);
        let kept = kept.ok_or_else(Refused::unavailable)?.into_iter();
        let kept: BTreeSet<String> =
            kept.map(|(name, _)| String::from_utf8_lossy(&name).into_owned()).collect();
        let used = self.secrets_used();
        let names = kept.union(&used).cloned();
        let view =
            |name: String| SecretView { is_used: used.contains(&name), is_kept: kept.contains(&name), name };
        Ok(names.map(view).collect())
    }

    /// Puts a secret into the gateway's own store, in place of one of that name. New connections take it at once.
    ///
    /// # Errors
    /// Policy does not permit it, the name or the secret is none, or it could not be recorded.
    pub async fn store_secret(
        &self,
        caller: &Caller,
        name: &str,
        value: Zeroizing<String>,
    ) -> Result<(), Refused> {
        self.may_on_keys(caller, "secret.write")?;
        check(name)?;
        if value.is_empty() || value.len() > SECRET_BYTES_MAX {
            let message = format!("a secret has from one to {SECRET_BYTES_MAX} bytes");
            return Err(Refused::new(RefusedCode::Invalid, message));
        }
        let house = &self.0.house;
        let sealed = house.keyring.seal(&house.ports, &secret_place(name), value.as_bytes());
        self.record_secret((caller, name), "secret_stored", Put::set(Drawer::Secrets, name, sealed)).await
    }

    /// Takes a secret out of the gateway's own store.
    ///
    /// # Errors
    /// Policy does not permit it, there is none, or it could not be recorded.
    pub async fn remove_secret(&self, caller: &Caller, name: &str) -> Result<(), Refused> {
        self.may_on_keys(caller, "secret.write")?;
        let found = self.secrets_kept(name).await?;
        if !found {
            return Err(Refused::new(RefusedCode::NotFound, format!("there is no secret `{name}`"))
                .hint("list what there is with `countersign secrets list`"));
        }
        self.record_secret((caller, name), "secret_removed", Put::remove(Drawer::Secrets, name)).await
    }

    async fn secrets_kept(&self, name: &str) -> Result<bool, Refused> {
        check(name)?;
        let (store, name) = (std::sync::Arc::clone(&self.0.house.store), name.to_owned());
        let read = tokio::task::spawn_blocking(move || store.get(Drawer::Secrets, name.as_bytes())).await;
        let read = read.ok().and_then(Result::ok).ok_or_else(Refused::unavailable)?;
        Ok(read.is_some())
    }

    async fn record_secret(
        &self,
        (caller, name): (&Caller, &str),
        what: &'static str,
        put: Put,
    ) -> Result<(), Refused> {
        let topic = Configured { keeper: None, key: None, secret: Some(name.to_owned()), what };
        let mut note = self.configured(topic, Some(caller));
        note.puts.push(put);
        self.note(note).await.map(|_| ())
    }

    /// What `secret:NAME` in the bundle in force leads to.
    fn secrets_used(&self) -> BTreeSet<String> {
        let snapshot = self.snapshot();
        let resources = snapshot.book.catalogue.resources.values();
        let references = resources.flat_map(|resource| {
            let shown = resource.certificates.values().flat_map(|one| [&one.certificate, &one.key]);
            resource.secrets.values().chain(shown)
        });
        references.filter_map(|reference| reference.strip_prefix("secret:")).map(str::to_owned).collect()
    }
}

/// Names as a bundle may write them.
fn check(name: &str) -> Result<(), Refused> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(());
    }
    let message = format!("`{}` can't be the name of a secret", crate::words::cut(name, NAME_BYTES_MAX));
    Err(Refused::new(RefusedCode::Invalid, message)
        .hint(format!("letters, digits, `-`, `_` and `.`, at most {NAME_BYTES_MAX} of them")))
}
