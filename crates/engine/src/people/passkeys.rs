//! Passkeys: how they are bound, and signing in with one. The checks themselves are in [`crate::webauthn`].
//!
//! A challenge is not remembered until it is answered: it carries its purpose and its end under a key of the house, so
//! that strangers who ask for many cost nothing. Answered, it is remembered for as long as it would still count.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::action::hash;
use countersign_core::{At, AuthenticatorId, PrincipalId, Span};

use super::authenticators::{AuthenticatorView, Bound, Passkey};
use super::means::{Means, MeansSet};
use super::sign_in::{SignInRefused, SignedIn};
use super::{Caller, SignInClient};
use crate::engine::Engine;
use crate::store::{Drawer, Put};
use crate::webauthn::{self, Algorithm, Assertion, RelyingParty};
use crate::words::{Refused, RefusedCode, cut};

/// How many passkeys one person may have.
const PASSKEYS_MAX: usize = 16;

/// The longest name of a passkey, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// How long a challenge counts.
const COUNTS_FOR: Span = Span::minutes(5);

const RANDOM_BYTES: usize = 16;
const CHALLENGE_BYTES: usize = RANDOM_BYTES + 8 + 32;

/// Challenges that were answered, until when they would have counted.
#[derive(Default)]
pub(super) struct Challenges {
    answered: Mutex<BTreeMap<Vec<u8>, At>>,
}

/// What a browser needs to have a passkey made.
#[derive(Clone, Debug)]
pub struct PasskeyOffer {
    /// To be signed, base64url.
    pub challenge: String,
    /// For which site.
    pub rp_id: String,
    /// By what the authenticator tells people apart, base64url. It says nothing of who it is.
    pub user_handle: String,
    /// The principal's name, for the person to tell their passkeys apart.
    pub user: String,
    /// As people call them.
    pub display: String,
    /// Credentials that the person has already, base64url.
    pub exclude: Vec<String>,
    /// Kinds of keys, the best first (COSE numbers).
    pub algorithms: Vec<i64>,
    /// Until when.
    pub expires_at: At,
}

/// What a browser needs to have a passkey used.
#[derive(Clone, Debug)]
pub struct PasskeyAsked {
    /// To be signed, base64url.
    pub challenge: String,
    /// For which site.
    pub rp_id: String,
    /// Until when.
    pub expires_at: At,
}

/// A passkey that was made, as a browser hands it over.
#[derive(Clone, Debug)]
pub struct PasskeyMade {
    /// As its owner calls it.
    pub name: String,
    /// What the browser says.
    pub client_data: Vec<u8>,
    /// What the authenticator says.
    pub attestation: Vec<u8>,
}

/// A passkey that was used, as a browser hands it over.
#[derive(Clone, Debug)]
pub struct PasskeyShown {
    /// Which.
    pub credential: Vec<u8>,
    /// Whose, as the authenticator says.
    pub user_handle: Option<Vec<u8>>,
    /// What the browser says.
    pub client_data: Vec<u8>,
    /// What the authenticator says.
    pub authenticator_data: Vec<u8>,
    /// Its signature.
    pub signature: Vec<u8>,
}

impl PasskeyShown {
    pub(super) fn assertion(&self) -> Assertion<'_> {
        Assertion {
            client_data: &self.client_data,
            authenticator_data: &self.authenticator_data,
            signature: &self.signature,
        }
    }
}

/// Under which key a credential leads to whom it belongs to. No name begins so.
pub(super) fn index_key(credential: &[u8]) -> Vec<u8> {
    [b"\0passkey:".as_slice(), &hash(&[b"countersign/passkey/v1\n", credential]).0].concat()
}

impl Engine {
    /// The site that passkeys are made for.
    ///
    /// # Errors
    /// The console's address is none that passkeys can be made for.
    pub(super) fn site(&self) -> Result<RelyingParty, Refused> {
        RelyingParty::at(&self.0.house.settings.console_url).ok_or_else(|| {
            Refused::new(
                RefusedCode::Conflict,
                "the console's address is not one that passkeys can be made for",
            )
            .hint("it has to be https and a name, or localhost; whoever runs the gateway sets `console_url`")
        })
    }

    /// A challenge for one purpose, and until when it counts.
    fn challenge(&self, purpose: &str) -> (Vec<u8>, At) {
        let expires_at = self.now().plus(COUNTS_FOR);
        let random: [u8; RANDOM_BYTES] = self.0.house.ports.random();
        let end = expires_at.0.to_be_bytes();
        let mac = self.0.house.keyring.mac("passkey-challenge", &[purpose.as_bytes(), &random, &end]);
        ([random.as_slice(), &end, &mac].concat(), expires_at)
    }

    /// The challenge that a browser says was answered, if it is one of ours for this purpose and still counts.
    fn answered(&self, purpose: &str, client_data: &[u8]) -> Option<Vec<u8>> {
        #[derive(serde::Deserialize)]
        struct Said {
            challenge: String,
        }
        let said: Said = serde_json::from_slice(client_data.get(..client_data.len().min(8_192))?).ok()?;
        let challenge = URL_SAFE_NO_PAD.decode(said.challenge).ok()?;
        let (random, rest) = challenge.split_first_chunk::<RANDOM_BYTES>()?;
        let (end, mac) = rest.split_first_chunk::<8>()?;
        let ours = self.0.house.keyring.mac("passkey-challenge", &[purpose.as_bytes(), random, end]);
        let is_ours = challenge.len() == CHALLENGE_BYTES && verify_slices_are_equal(mac, &ours).is_ok();
        let counts = self.now() < At(i64::from_be_bytes(*end));
        (is_ours && counts && !self.0.people.challenges.was_answered(&challenge)).then_some(challenge)
    }

    fn user_handle(&self, principal: &PrincipalId) -> [u8; 32] {
        self.0.house.keyring.mac("passkey-user", &[principal.as_str().as_bytes()])
    }

    /// Has a passkey made by the caller's authenticator.
    ///
    /// # Errors
    /// The console has no address for it, or the caller has to sign in anew first.
    pub async fn offer_passkey(&self, caller: &Caller) -> Result<PasskeyOffer, Refused> {
        let bound = self.bound(&caller.principal).await?;
        self.may_rebind(caller, &bound)?;
        let snapshot = self.snapshot();
        let found = snapshot.book.catalogue.principals.get(&caller.principal);
        let display = found.map(|found| found.display.as_ref()).unwrap_or_default();
        self.passkey_for(&binding(caller), (&caller.principal, display), &bound)
    }

    /// What a browser needs to have a passkey made for somebody, for one purpose.
    ///
    /// # Errors
    /// The console has no address for it.
    pub(super) fn passkey_for(
        &self,
        purpose: &str,
        (principal, display): (&PrincipalId, &str),
        bound: &Bound,
    ) -> Result<PasskeyOffer, Refused> {
        let site = self.site()?;
        let (challenge, expires_at) = self.challenge(purpose);
        Ok(PasskeyOffer {
            challenge: URL_SAFE_NO_PAD.encode(challenge),
            rp_id: site.id,
            user_handle: URL_SAFE_NO_PAD.encode(self.user_handle(principal)),
            user: principal.to_string(),
            display: display.to_owned(),
            exclude: bound.passkeys.iter().map(|one| URL_SAFE_NO_PAD.encode(&one.credential)).collect(),
            algorithms: Algorithm::ALL.iter().map(|one| one.number()).collect(),
            expires_at,
        })
    }

    /// Binds a passkey that was made.
    ///
    /// # Errors
    /// It is not right, belongs to somebody, is one too many, or could not be recorded.
    pub async fn bind_passkey(
        &self,
        caller: &Caller,
        made: PasskeyMade,
    ) -> Result<AuthenticatorView, Refused> {
        let _changing = self.changing().await;
        let mut bound = self.bound(&caller.principal).await?;
        self.may_rebind(caller, &bound)?;
        if bound.passkeys.len() >= PASSKEYS_MAX {
            return Err(Refused::new(
                RefusedCode::Conflict,
                format!("you have {PASSKEYS_MAX} passkeys already"),
            )
            .hint("take one away first"));
        }
        let (passkey, challenge) = self.made_passkey(&binding(caller), made).await?;
        let index = index_key(&passkey.credential);
        let id = passkey.id;
        bound.passkeys.push(passkey);
        let whose = (Some(caller), &caller.principal);
        let mut note = self.binding_note("authenticator.bound", whose, (Means::Passkey, Some(id), &bound));
        note.puts.push(Put::set(Drawer::Authenticators, index, caller.principal.as_str().as_bytes()));
        self.note(note).await?;
        self.0.people.challenges.answer(challenge, self.now());
        let views = bound.views().into_iter();
        views.into_iter().find(|view| view.id == Some(id)).ok_or_else(Refused::unavailable)
    }

    /// A passkey that was made for a purpose, if it is right and nobody's, and the challenge that it answered.
    ///
    /// # Errors
    /// It is not right, or belongs to somebody.
    pub(super) async fn made_passkey(
        &self,
        purpose: &str,
        made: PasskeyMade,
    ) -> Result<(Passkey, Vec<u8>), Refused> {
        let site = self.site()?;
        let invalid =
            |why: &str| Refused::new(RefusedCode::Invalid, format!("the passkey was not accepted: {why}"));
        let challenge = self.answered(purpose, &made.client_data);
        let challenge = challenge.ok_or_else(|| invalid("it took too long").hint("begin anew"))?;
        let registered = webauthn::registered(&site, &challenge, &made.client_data, &made.attestation)
            .map_err(|bad| invalid(&bad.to_string()))?;
        let name = cut(made.name.trim(), NAME_BYTES_MAX);
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(invalid("it has no name").hint("name it after the device that keeps it"));
        }
        if self.owner_of(&registered.credential).await.is_some() {
            return Err(Refused::new(RefusedCode::Conflict, "this passkey is bound already"));
        }
        let passkey = Passkey {
            id: AuthenticatorId(self.0.house.ports.entropy.id()),
            name: name.to_owned(),
            credential: registered.credential,
            key: registered.key,
            count: registered.count,
            bound_at: self.now(),
            used_at: None,
            told: true,
        };
        Ok((passkey, challenge))
    }

    /// Asks for any passkey that was made for this site: whoever it belongs to signs in.
    ///
    /// # Errors
    /// The console has no address for it.
    pub fn ask_passkey(&self) -> Result<PasskeyAsked, Refused> {
        let site = self.site()?;
        let (challenge, expires_at) = self.challenge(SIGNING_IN);
        Ok(PasskeyAsked { challenge: URL_SAFE_NO_PAD.encode(challenge), rp_id: site.id, expires_at })
    }

    /// Signs in whoever shows a passkey.
    ///
    /// # Errors
    /// [`SignInRefused`]; recorded.
    pub async fn sign_in_passkey(
        &self,
        shown: PasskeyShown,
        client: SignInClient,
    ) -> Result<SignedIn, SignInRefused> {
        let Some(principal) = self.owner_of(&shown.credential).await else {
            self.failed("auth.failed", "", &client).await;
            return Err(SignInRefused::Passkey("it is not known here"));
        };
        let _changing = self.changing().await;
        let bound = self.bound(&principal).await.map_err(SignInRefused::Unavailable)?;
        let used = self.use_passkey(&principal, bound, &shown, SIGNING_IN);
        let (bound, challenge) = match used {
            Ok(used) => used,
            Err(why) => {
                self.failed("auth.failed", principal.as_str(), &client).await;
                return Err(SignInRefused::Passkey(why));
            }
        };
        if self.user(principal.as_str()).is_none() || !self.snapshot().book.is_enabled(&principal) {
            self.failed("auth.failed", principal.as_str(), &client).await;
            return Err(SignInRefused::Disabled);
        }
        let put = bound.put(&self.0.house, &principal);
        let means = MeansSet::of(&[Means::Passkey]);
        let signed_in = self.admit(principal, means, &client, vec![put]).await?;
        self.0.people.challenges.answer(challenge, self.now());
        Ok(signed_in)
    }

    /// What is bound once a passkey has been used, and the challenge that it answered.
    fn use_passkey(
        &self,
        principal: &PrincipalId,
        mut bound: Bound,
        shown: &PasskeyShown,
        purpose: &str,
    ) -> Result<(Bound, Vec<u8>), &'static str> {
        let site = self.site().map_err(|_| "the console's address has changed")?;
        let challenge = self.answered(purpose, &shown.client_data).ok_or("it took too long; try again")?;
        let handle = self.user_handle(principal);
        if shown.user_handle.as_ref().is_some_and(|said| verify_slices_are_equal(said, &handle).is_err()) {
            return Err("it was made for another account");
        }
        let passkey = bound.passkeys.iter_mut().find(|one| one.credential == shown.credential);
        let passkey = passkey.ok_or("it is not known here")?;
        let asserted = webauthn::asserted(&site, &challenge, &passkey.key, shown.assertion());
        let asserted = asserted.map_err(|bad| {
            tracing::warn!(%principal, %bad, "a passkey was shown that is not right");
            "what it showed is not right"
        })?;
        count_on(passkey, &asserted, principal, self.now())?;
        Ok((bound, challenge))
    }

    /// To whom a credential belongs.
    async fn owner_of(&self, credential: &[u8]) -> Option<PrincipalId> {
        if credential.is_empty() || credential.len() > webauthn::CREDENTIAL_ID_BYTES_MAX {
            return None;
        }
        self.owner_at(index_key(credential)).await.ok()?
    }

    /// To whom a key of the index leads.
    ///
    /// # Errors
    /// It could not be read, which is not nobody.
    pub(super) async fn owner_at(&self, key: Vec<u8>) -> Result<Option<PrincipalId>, Refused> {
        let store = std::sync::Arc::clone(&self.0.house.store);
        let read = tokio::task::spawn_blocking(move || store.get(Drawer::Authenticators, &key)).await;
        let name = read.map_err(|_| Refused::unavailable())?.map_err(|_| Refused::unavailable())?;
        let name = name.map(|name| std::str::from_utf8(&name).ok().and_then(|name| name.parse().ok()));
        match name {
            None => Ok(None),
            Some(found) => found.map(Some).ok_or_else(Refused::unavailable),
        }
    }
}

impl Challenges {
    fn was_answered(&self, challenge: &[u8]) -> bool {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).contains_key(challenge)
    }

    /// Remembers one that was answered, for as long as it would have counted.
    pub(super) fn answer(&self, challenge: Vec<u8>, now: At) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.retain(|_, until| now < *until);
        answered.insert(challenge, now.plus(COUNTS_FOR));
    }
}

/// One that counts has to count on: a copy that somebody made would fall behind (section 6.1.1).
pub(super) fn count_on(
    passkey: &mut Passkey,
    asserted: &webauthn::Asserted,
    principal: &PrincipalId,
    now: At,
) -> Result<(), &'static str> {
    if (asserted.count != 0 || passkey.count != 0) && asserted.count <= passkey.count {
        tracing::warn!(%principal, passkey = %passkey.id, "a passkey counts less than before: it may have been copied");
        return Err(
            "it counts less than before, so it may be a copy; use another one and take this one away",
        );
    }
    (passkey.count, passkey.used_at) = (asserted.count, Some(now));
    Ok(())
}

const SIGNING_IN: &str = "sign-in";

/// The purpose of a challenge for binding: it is for that sign-in alone.
fn binding(caller: &Caller) -> String {
    format!("bind:{}", caller.sign_in)
}
