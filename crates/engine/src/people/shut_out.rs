//! What ends with an account: the sign-ins and the credentials of whoever is shut out, for whatever reason.
//!
//! None of them opens anything from the moment somebody is shut out: each use asks the book. Here they are ended, so that
//! letting somebody in again brings nothing back (decision 4). That is done soon after, and in any case before anything
//! that may let anybody in again is decided.

use std::sync::Arc;

use countersign_core::{Command, PrincipalId, principal};

use super::SignInClient;
use crate::engine::Engine;
use crate::store::{Put, StoreError};
use crate::words::Refused;

/// Whether somebody may be let in by it who is shut out.
pub(crate) fn may_let_in(command: &Command) -> bool {
    matches!(
        command,
        Command::Principal(principal::Command::Enable { .. }) | Command::Directory(_) | Command::Bundle(_)
    )
}

impl Engine {
    /// Ends the sign-ins and the credentials of everybody who is shut out, and the sign-ins of whoever somebody else answers
    /// for than when they signed in.
    ///
    /// # Errors
    /// It could not be recorded. The sign-ins open nothing all the same.
    pub(crate) async fn end_of_shut_out(&self) -> Result<(), Refused> {
        let snapshot = self.snapshot();
        let is_out = |principal: &PrincipalId| !snapshot.book.is_enabled(principal);
        for (key, kept) in self.0.people.tokens.which(|kept| !kept.is_somebodys(&snapshot.book)) {
            let client = SignInClient { source: None, via: kept.from.via(), user_agent: None };
            self.end_of_sign_in(&key, &kept, &client).await?;
        }
        let credentials = &self.0.people.credentials;
        let owners: Vec<PrincipalId> = credentials.owners().into_iter().filter(is_out).collect();
        let gone: Vec<Put> = owners.iter().flat_map(|owner| credentials.of_gone(owner)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let store = Arc::clone(&self.0.house.store);
        let taken_out = tokio::task::spawn_blocking(move || store.put(&gone)).await;
        let taken_out =
            taken_out.unwrap_or_else(|error| Err(StoreError::failed("take credentials out", error)));
        taken_out.map_err(|error| {
            tracing::error!(%error);
            Refused::unavailable()
        })?;
        owners.iter().for_each(|owner| credentials.forget(owner));
        Ok(())
    }
}
