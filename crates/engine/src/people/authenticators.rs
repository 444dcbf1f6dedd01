//! What a person has bound to their account beside a password: a generator of one-time codes, recovery codes, passkeys.
//!
//! All of one person is one value, encrypted, outside the chain; binding and taking away are lines (NIST SP 800-63B-4,
//! section 4). What is read, changed and written back is so under one lock: of two that come with the same code, one is
//! second.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::{At, AuthenticatorId, PrincipalId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};
use zeroize::Zeroize;

use super::Caller;
use super::means::Means;
use crate::engine::Engine;
use crate::house::House;
use crate::line::{Authenticator as Line, Topic};
use crate::seal::Field;
use crate::store::{Drawer, Put};
use crate::words::{Refused, RefusedCode};
use crate::writer::work::Note;

/// How many recovery codes a person gets.
pub(super) const RECOVERY_CODES: usize = 10;

/// One after the other: reading, changing and writing back.
#[derive(Default)]
pub(crate) struct Authenticators {
    changing: Mutex<()>,
}

/// All that one person has.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Bound {
    pub(super) totp: Option<Totp>,
    /// Keyed digests of the codes that are left.
    pub(super) recovery: Vec<[u8; 32]>,
    pub(super) recovery_at: Option<At>,
    pub(super) passkeys: Vec<Passkey>,
    /// Who they are at identity providers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) links: Vec<Link>,
}

/// Somebody's identity at a provider.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    pub(super) id: AuthenticatorId,
    /// As people call the provider.
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) bound_at: At,
    pub(super) used_at: At,
}

/// A passkey: a public key, so nothing that has to be wiped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Passkey {
    pub(super) id: AuthenticatorId,
    /// As its owner calls it.
    pub(super) name: String,
    /// By what the authenticator finds it.
    pub(super) credential: Vec<u8>,
    /// The public key (COSE).
    pub(super) key: Vec<u8>,
    /// How often it says to have signed.
    pub(super) count: u32,
    pub(super) bound_at: At,
    pub(super) used_at: Option<At>,
    /// The line that bound it has its public key, so that what it signs can be checked by anybody.
    #[serde(default)]
    pub(super) told: bool,
}

/// A generator of one-time codes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Totp {
    pub(super) id: AuthenticatorId,
    pub(super) secret: Vec<u8>,
    pub(super) bound_at: At,
    pub(super) used_at: At,
    /// The last step whose code was used.
    pub(super) step: i64,
}

impl Drop for Totp {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// Something that a person has bound, for whoever may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatorView {
    /// Which; recovery codes have none.
    pub id: Option<AuthenticatorId>,
    /// What.
    pub means: Means,
    /// As its owner calls it, if it has a name.
    pub name: Option<String>,
    /// When it was bound.
    pub bound_at: At,
    /// When it was used last.
    pub used_at: Option<At>,
    /// How many recovery codes are left.
    pub left: Option<usize>,
}

impl Bound {
    /// Whether a password alone is too little.
    pub(super) fn wants_second(&self) -> bool {
        self.totp.is_some()
    }

    /// Whether there is anything beside a password, without which nothing of it may be changed.
    pub(super) fn has_any(&self) -> bool {
        self.totp.is_some() || !self.passkeys.is_empty()
    }

    /// By what a sign-in with a password is completed.
    pub(super) fn second_means(&self) -> Vec<Means> {
        let totp = self.totp.iter().map(|_| Means::Totp);
        totp.chain((!self.recovery.is_empty()).then_some(Means::RecoveryCode)).collect()
    }

    pub(super) fn put(&self, house: &House, principal: &PrincipalId) -> Put {
        let key = principal.as_str().as_bytes();
        if *self == Self::default() {
            return Put::remove(Drawer::Authenticators, key);
        }
        let mut json = serde_json::to_vec(self).unwrap_or_default();
        let sealed = house.keyring.seal(&house.ports, &place(principal), &json);
        json.zeroize();
        Put::set(Drawer::Authenticators, key, sealed)
    }

    pub(super) fn views(&self) -> Vec<AuthenticatorView> {
        let totp = self.totp.iter().map(|totp| AuthenticatorView {
            id: Some(totp.id),
            means: Means::Totp,
            name: None,
            bound_at: totp.bound_at,
            used_at: Some(totp.used_at),
            left: None,
        });
        let recovery = self.recovery_at.map(|bound_at| AuthenticatorView {
            id: None,
            means: Means::RecoveryCode,
            name: None,
            bound_at,
            used_at: None,
            left: Some(self.recovery.len()),
        });
        let passkeys = self.passkeys.iter().map(|passkey| AuthenticatorView {
            id: Some(passkey.id),
            means: Means::Passkey,
            name: Some(passkey.name.clone()),
            bound_at: passkey.bound_at,
            used_at: passkey.used_at,
            left: None,
        });
        let links = self.links.iter().map(|link| AuthenticatorView {
            id: Some(link.id),
            means: Means::Oidc,
            name: Some(link.name.clone()),
            bound_at: link.bound_at,
            used_at: Some(link.used_at),
            left: None,
        });
        passkeys.chain(totp).chain(recovery).chain(links).collect()
    }
}

impl Engine {
    /// Waits until nobody else changes what is bound.
    pub(crate) async fn changing(&self) -> MutexGuard<'_, ()> {
        self.0.people.authenticators.changing.lock().await
    }

    /// What is bound to an account. What can't be read is no "nothing": it refuses.
    pub(super) async fn bound(&self, principal: &PrincipalId) -> Result<Bound, Refused> {
        let (house, principal) = (Arc::clone(&self.0.house), principal.clone());
        let read = tokio::task::spawn_blocking(move || read(&house, &principal)).await;
        read.ok().flatten().ok_or_else(|| {
            tracing::error!("what is bound to an account could not be read");
            Refused::unavailable()
        })
    }

    /// What the caller has bound.
    ///
    /// # Errors
    /// It could not be read.
    pub async fn authenticators(&self, caller: &Caller) -> Result<Vec<AuthenticatorView>, Refused> {
        Ok(self.bound(&caller.principal).await?.views())
    }

    /// Refuses whoever signed in too long ago, or with less than the account has, to change what is bound to it.
    pub(super) fn may_rebind(&self, caller: &Caller, bound: &Bound) -> Result<(), Refused> {
        let refused = |message: &str| {
            Refused::new(RefusedCode::NotPermitted, message).hint("sign out, sign in, and do it right after")
        };
        if caller.proof.age > self.0.house.settings.rebind_within {
            return Err(refused("what is bound to an account is changed right after signing in"));
        }
        if bound.has_any() && !caller.proof.means.is_two_factors() {
            return Err(refused("this sign-in was proved by a password alone, and the account has more"));
        }
        let snapshot = self.snapshot();
        let found = snapshot.book.catalogue.principals.get(&caller.principal);
        if !found.is_some_and(countersign_core::catalogue::Principal::is_user) {
            return Err(Refused::new(
                RefusedCode::NotPermitted,
                "services and agents have no authenticators",
            ));
        }
        Ok(())
    }

    /// A line about something that is bound or taken away, with what is stored then.
    pub(super) fn binding_note(
        &self,
        kind: &'static str,
        (by, whose): (Option<&Caller>, &PrincipalId),
        (means, id, bound): (Means, Option<AuthenticatorId>, &Bound),
    ) -> Note {
        let house = &self.0.house;
        let content = serde_json::json!({ "address": by.and_then(|by| by.source) });
        let field =
            Field::new(&house.ports, "/data/content", "authenticator", content.to_string().into_bytes());
        // What a passkey signs is checked by its key, which is for that in the chain.
        let passkey = bound.passkeys.iter().find(|one| Some(one.id) == id);
        let topic = Line {
            authenticator: id,
            content: crate::line::Sealed(field.commitment()),
            key: passkey.map(|one| URL_SAFE_NO_PAD.encode(&one.key)),
            means: means.as_str(),
            rp: passkey.and_then(|_| self.site().ok()).map(|site| site.id),
            via: by.map_or("house", |by| by.via.as_str()),
        };
        let mut note = self.note_by(kind, Topic::Authenticator(topic), by);
        note.line.subject = by.is_none_or(|by| by.principal != *whose).then(|| whose.clone());
        note.key = format!("principal:{whose}").into();
        note.fields = vec![field];
        note.puts = vec![bound.put(house, whose)];
        note
    }
}

fn read(house: &House, principal: &PrincipalId) -> Option<Bound> {
    let Some(sealed) = house.store.get(Drawer::Authenticators, principal.as_str().as_bytes()).ok()? else {
        return Some(Bound::default());
    };
    let mut json = house.keyring.open(&place(principal), &sealed).ok()?;
    let bound = serde_json::from_slice(&json).ok();
    json.zeroize();
    bound
}

/// What is bound to an account is bound to.
pub(crate) fn place(principal: &PrincipalId) -> String {
    format!("authenticators:{principal}")
}
