//! Taking away what is bound to an account: by its owner, by whoever policy lets, by whoever runs the gateway.

use countersign_core::{AuthenticatorId, PrincipalId};

use super::authenticators::Bound;
use super::means::Means;
use super::{Caller, federated, first, passkeys};
use crate::engine::Engine;
use crate::store::{Drawer, Put};
use crate::words::{Refused, RefusedCode};

impl Engine {
    /// Takes away what the caller has bound.
    ///
    /// # Errors
    /// It is not there, or the caller has to sign in anew first.
    pub async fn unbind(&self, caller: &Caller, id: AuthenticatorId) -> Result<(), Refused> {
        let _changing = self.changing().await;
        let mut bound = self.bound(&caller.principal).await?;
        self.may_rebind(caller, &bound)?;
        let whose = (Some(caller), &caller.principal);
        let note = if bound.totp.as_ref().is_some_and(|totp| totp.id == id) {
            (bound.totp, bound.recovery, bound.recovery_at) = (None, Vec::new(), None);
            self.binding_note("authenticator.revoked", whose, (Means::Totp, Some(id), &bound))
        } else if let Some(found) = bound.links.iter().position(|link| link.id == id) {
            let gone = bound.links.remove(found);
            let mut note = self.binding_note("authenticator.revoked", whose, (Means::Oidc, Some(id), &bound));
            let index = federated::link_key(&gone.issuer, &gone.subject);
            note.puts.push(Put::remove(Drawer::Authenticators, index));
            note
        } else {
            let found = bound.passkeys.iter().position(|passkey| passkey.id == id).ok_or_else(|| {
                Refused::new(RefusedCode::NotFound, format!("you have no authenticator `{id}`"))
            })?;
            let gone = bound.passkeys.remove(found);
            let mut note =
                self.binding_note("authenticator.revoked", whose, (Means::Passkey, Some(id), &bound));
            note.puts.push(Put::remove(Drawer::Authenticators, passkeys::index_key(&gone.credential)));
            note
        };
        self.note(note).await.map(|_| ())
    }

    /// Takes away all that is bound to somebody's account, who lost it. Their password is asked for as ever, and their
    /// sign-ins are ended.
    ///
    /// # Errors
    /// Policy does not permit it, or it could not be recorded.
    pub async fn reset_authenticators(&self, caller: &Caller, whose: &PrincipalId) -> Result<(), Refused> {
        if self.is_own(caller, whose) || !self.permitted_on(caller, "authenticator.reset", whose) {
            let message = format!("policy does not permit you to take away what `{whose}` has bound");
            return Err(Refused::new(RefusedCode::NotPermitted, message)
                .hint("nobody does it to themselves; somebody else whom policy lets can"));
        }
        self.unbind_all(Some(caller), whose).await?;
        let settings = &self.0.house.settings;
        for kept in self.0.people.tokens.of(whose, self.now(), settings) {
            if let Some((key, kept)) = self.0.people.tokens.named(kept.id, self.now(), settings) {
                self.end_it(caller, &key, &kept).await?;
            }
        }
        Ok(())
    }

    /// Takes away all that is bound to somebody's account. For whoever runs the gateway: nobody is asked.
    ///
    /// # Errors
    /// There is nothing, or it could not be recorded.
    pub async fn clear_authenticators(&self, whose: &PrincipalId) -> Result<(), Refused> {
        self.unbind_all(None, whose).await
    }

    async fn unbind_all(&self, by: Option<&Caller>, whose: &PrincipalId) -> Result<(), Refused> {
        let _changing = self.changing().await;
        let bound = self.bound(whose).await?;
        if bound == Bound::default() {
            let message = format!("`{whose}` has bound nothing beside a password");
            return Err(Refused::new(RefusedCode::NotFound, message));
        }
        let what = (Means::Totp, bound.totp.as_ref().map(|totp| totp.id), &Bound::default());
        let mut note = self.binding_note("authenticator.revoked", (by, whose), what);
        let keys = bound.passkeys.iter().map(|passkey| passkeys::index_key(&passkey.credential));
        let links = bound.links.iter().map(|link| federated::link_key(&link.issuer, &link.subject));
        let invitation = std::iter::once(first::invitation_key(whose));
        let all = keys.chain(links).chain(invitation);
        note.puts.extend(all.map(|key| Put::remove(Drawer::Authenticators, key)));
        self.note(note).await.map(|_| ())
    }
}
