//! The first passkey of somebody who has nothing yet to sign in with: of whoever sets the gateway up, and of whoever was
//! invited.
//!
//! Both are let in by a code that somebody else gave them, once. It is kept as a keyed digest, ends by use and by time, and
//! is tried as seldom as a password. It opens nothing by itself: with it a passkey is bound, and that signs in.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use countersign_core::{At, PrincipalId, Span};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::Zeroizing;

use super::SignInClient;
use super::authenticators::Bound;
use super::means::{Means, MeansSet};
use super::passkeys::{PasskeyMade, PasskeyOffer, index_key};
use super::second::recovery_code;
use super::sign_in::{SignInRefused, SignedIn};
use crate::engine::Engine;
use crate::settings::CLIENT_BYTES_MAX;
use crate::store::{Drawer, Put};
use crate::words::{Refused, cut};
use crate::writer::work::Note;

/// How long an invitation counts: over a weekend.
const INVITED_FOR: Span = Span::hours(72);

/// An invitation, for whoever passes it on. It is shown this once.
#[derive(Debug)]
pub struct Invitation {
    /// Whose.
    pub principal: PrincipalId,
    /// The code.
    pub code: Zeroizing<String>,
    /// Until when.
    pub expires_at: At,
}

/// A passkey that is bound once its line is written.
pub(crate) struct FirstPasskey {
    /// The line, and what is stored with it.
    pub(crate) note: Note,
    /// What it answered, to be remembered.
    pub(crate) challenge: Vec<u8>,
}

/// What is kept of an invitation.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    verifier: [u8; 32],
    expires_at: At,
}

impl Engine {
    /// A code that nobody can guess: 80 bits, in letters that people can type.
    pub(crate) fn one_time_code(&self) -> Zeroizing<String> {
        recovery_code(&self.0.house.ports.random())
    }

    /// By what a code is known again. How it is typed makes no difference.
    pub(crate) fn code_verifier(&self, purpose: &str, code: &str) -> [u8; 32] {
        let plain =
            code.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase());
        let plain = Zeroizing::new(plain.take(CLIENT_BYTES_MAX).collect::<String>());
        self.0.house.keyring.mac("one-time-code", &[purpose.as_bytes(), plain.as_bytes()])
    }

    /// Has a passkey made by somebody who has none, for one purpose.
    ///
    /// # Errors
    /// The console has no address for it.
    pub(crate) fn offer_first(
        &self,
        purpose: &str,
        whose: (&PrincipalId, &str),
    ) -> Result<PasskeyOffer, Refused> {
        self.passkey_for(purpose, whose, &Bound::default())
    }

    /// Takes a passkey that was made for that purpose. It counts once its line is written.
    ///
    /// # Errors
    /// It is not right, or belongs to somebody.
    pub(crate) async fn first_passkey(
        &self,
        purpose: &str,
        whose: &PrincipalId,
        made: PasskeyMade,
    ) -> Result<FirstPasskey, Refused> {
        let (passkey, challenge) = self.made_passkey(purpose, made).await?;
        let (index, id) = (index_key(&passkey.credential), passkey.id);
        let bound = Bound { passkeys: vec![passkey], ..Bound::default() };
        let mut note =
            self.binding_note("authenticator.bound", (None, whose), (Means::Passkey, Some(id), &bound));
        note.puts.push(Put::set(Drawer::Authenticators, index, whose.as_str().as_bytes()));
        Ok(FirstPasskey { note, challenge })
    }

    /// Signs in whoever has just bound their first passkey.
    pub(crate) async fn admit_first(
        &self,
        principal: PrincipalId,
        challenge: Vec<u8>,
        client: &SignInClient,
    ) -> Result<SignedIn, SignInRefused> {
        self.0.people.challenges.answer(challenge, self.now());
        self.admit(principal, MeansSet::of(&[Means::Passkey]), client, Vec::new()).await
    }

    /// An invitation, and the line that tells of it: it counts once that is written.
    pub(crate) fn invitation(&self, principal: &PrincipalId) -> (Invitation, Note) {
        let (code, expires_at) = (self.one_time_code(), self.now().plus(INVITED_FOR));
        let kept = Kept { verifier: self.code_verifier(&purpose(principal), &code), expires_at };
        let whose = (None, principal);
        let mut note =
            self.binding_note("authenticator.invited", whose, (Means::Passkey, None, &Bound::default()));
        let kept = serde_json::to_vec(&kept).unwrap_or_default();
        note.puts = vec![Put::set(Drawer::Authenticators, invitation_key(principal), kept)];
        (Invitation { principal: principal.clone(), code, expires_at }, note)
    }

    /// Has a passkey made by whoever was invited.
    ///
    /// # Errors
    /// [`SignInRefused`]; recorded.
    pub async fn offer_invited(
        &self,
        user: &str,
        code: &str,
        client: &SignInClient,
    ) -> Result<PasskeyOffer, SignInRefused> {
        let principal = self.invited(user, code, client).await?;
        let snapshot = self.snapshot();
        let found = snapshot.book.catalogue.principals.get(&principal);
        let display = found.map(|found| found.display.as_ref()).unwrap_or_default();
        self.offer_first(&purpose(&principal), (&principal, display)).map_err(SignInRefused::Unavailable)
    }

    /// Binds the passkey of whoever was invited, and signs them in. The invitation is used up.
    ///
    /// # Errors
    /// [`SignInRefused`]; recorded.
    pub async fn accept_invitation(
        &self,
        (user, code): (&str, &str),
        made: PasskeyMade,
        client: SignInClient,
    ) -> Result<SignedIn, SignInRefused> {
        let changing = self.changing().await;
        let principal = self.invited(user, code, &client).await?;
        let first = self.first_passkey(&purpose(&principal), &principal, made).await;
        let FirstPasskey { mut note, challenge } = first.map_err(SignInRefused::Unavailable)?;
        note.puts.push(Put::remove(Drawer::Authenticators, invitation_key(&principal)));
        self.note(note).await.map_err(SignInRefused::Unavailable)?;
        drop(changing);
        self.admit_first(principal, challenge, &client).await
    }

    /// Who was invited with this code, and has nothing yet.
    async fn invited(
        &self,
        user: &str,
        code: &str,
        client: &SignInClient,
    ) -> Result<PrincipalId, SignInRefused> {
        let (people, settings) = (&self.0.people, &self.0.house.settings);
        let name = cut(user, CLIENT_BYTES_MAX);
        let pair = format!("invited:{name}");
        if let Some(until) = people.lockouts.locked(&pair, client.source, self.now(), settings) {
            return Err(SignInRefused::Locked { until });
        }
        let Some(principal) = self.user(name) else {
            return Err(self.wrong(&pair, name, SignInRefused::NotInvited, client).await);
        };
        let kept = self.invitation_of(&principal).await?;
        let verifier = self.code_verifier(&purpose(&principal), code);
        let is_it = kept.is_some_and(|kept| {
            self.now() < kept.expires_at && verify_slices_are_equal(&kept.verifier, &verifier).is_ok()
        });
        if !is_it {
            return Err(self.wrong(&pair, name, SignInRefused::NotInvited, client).await);
        }
        people.lockouts.right(&pair, client.source);
        if !self.snapshot().book.is_enabled(&principal) {
            self.failed("auth.failed", name, client).await;
            return Err(SignInRefused::Disabled);
        }
        let bound = self.bound(&principal).await.map_err(SignInRefused::Unavailable)?;
        if bound.has_any() {
            return Err(self.wrong(&pair, name, SignInRefused::NotInvited, client).await);
        }
        Ok(principal)
    }

    async fn invitation_of(&self, principal: &PrincipalId) -> Result<Option<Kept>, SignInRefused> {
        let (store, key) = (Arc::clone(&self.0.house.store), invitation_key(principal));
        let read = tokio::task::spawn_blocking(move || store.get(Drawer::Authenticators, &key)).await;
        let read = read.ok().and_then(Result::ok);
        let read = read.ok_or_else(|| SignInRefused::Unavailable(Refused::unavailable()))?;
        Ok(read.and_then(|kept| serde_json::from_slice(&kept).ok()))
    }
}

/// For what a code and a passkey of somebody invited are.
fn purpose(principal: &PrincipalId) -> String {
    format!("invited:{principal}")
}

/// Under which key an invitation is kept. No name begins so.
pub(super) fn invitation_key(principal: &PrincipalId) -> Vec<u8> {
    [b"\0invited:".as_slice(), principal.as_str().as_bytes()].concat()
}
