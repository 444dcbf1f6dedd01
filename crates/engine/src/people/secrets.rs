//! The gateway's own encrypted store of upstream secrets, and where a reference leads.

use std::sync::Arc;

use countersign_core::ResourceId;
use zeroize::Zeroizing;

use crate::engine::Engine;
use crate::seal::Unreadable;
use crate::store::{Drawer, Put, StoreError};

/// Why a secret can't be had. For the operator; a client is told less.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The bundle names no secret for this account.
    #[error(
        "the bundle has no secret of account `{account}` for `{resource}`; add it to [resource.{resource}.secrets]"
    )]
    NoReference {
        /// On what.
        resource: ResourceId,
        /// The upstream account.
        account: String,
    },
    /// The gateway's own store does not have it.
    #[error("the gateway's store has no secret `{0}`; whoever runs the gateway can put it there")]
    Missing(String),
    /// It could not be read where it is kept.
    #[error("{0}")]
    Unresolved(String),
    /// It can't be decrypted.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an upstream account shows of itself inside TLS, as PEM texts.
pub struct ClientIdentity {
    /// The certificate, and those between it and its authority.
    pub certificate: Zeroizing<String>,
    /// Its private key.
    pub key: Zeroizing<String>,
}

impl std::fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientIdentity")
    }
}

impl Engine {
    /// The secret of an upstream account, wherever the bundle says that it is.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn secret(&self, resource: &ResourceId, account: &str) -> Result<Zeroizing<String>, SecretError> {
        let snapshot = self.snapshot();
        let found = snapshot.book.catalogue.resources.get(resource);
        let reference = found.and_then(|found| found.secrets.get(account)).ok_or_else(|| {
            SecretError::NoReference { resource: resource.clone(), account: account.to_owned() }
        })?;
        self.resolve(reference)
    }

    /// What an upstream account shows of itself inside TLS, wherever the bundle says that it is. `None`: nothing.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn client_identity(
        &self,
        resource: &ResourceId,
        account: &str,
    ) -> Result<Option<ClientIdentity>, SecretError> {
        let snapshot = self.snapshot();
        let found = snapshot.book.catalogue.resources.get(resource);
        let Some(references) = found.and_then(|found| found.certificates.get(account)) else {
            return Ok(None);
        };
        let (certificate, key) = (self.resolve(&references.certificate)?, self.resolve(&references.key)?);
        Ok(Some(ClientIdentity { certificate, key }))
    }

    fn resolve(&self, reference: &str) -> Result<Zeroizing<String>, SecretError> {
        match reference.strip_prefix("secret:") {
            Some(name) => self.own_secret(name),
            None => self.0.house.ports.secrets.resolve(reference).map_err(SecretError::Unresolved),
        }
    }

    fn own_secret(&self, name: &str) -> Result<Zeroizing<String>, SecretError> {
        let house = &self.0.house;
        let sealed = house.store.get(Drawer::Secrets, name.as_bytes())?;
        let sealed = sealed.ok_or_else(|| SecretError::Missing(name.to_owned()))?;
        let plain = house.keyring.open(&secret_place(name), &sealed)?;
        let text = String::from_utf8(plain).map_err(|_| Unreadable(secret_place(name)))?;
        Ok(Zeroizing::new(text))
    }

    /// Puts a secret into the gateway's own store. For whoever runs the gateway: nobody is asked.
    ///
    /// # Errors
    /// It could not be stored.
    pub async fn put_secret(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let house = Arc::clone(&self.0.house);
        let sealed = house.keyring.seal(&house.ports, &secret_place(name), value.as_bytes());
        let put = Put::set(Drawer::Secrets, name.as_bytes(), sealed);
        let stored = tokio::task::spawn_blocking(move || house.store.put(&[put])).await;
        stored.unwrap_or_else(|error| Err(StoreError::failed("store a secret", error)))
    }
}

/// What a secret of the gateway's own is bound to.
pub(crate) fn secret_place(name: &str) -> String {
    format!("secret:{name}")
}
