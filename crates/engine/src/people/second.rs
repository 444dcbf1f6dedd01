//! The second factor: one-time codes and recovery codes, how they are bound, and how they complete a sign-in.
//!
//! A sign-in with a password waits, for minutes and in memory only, until a code completes it. Wrong codes lock out the
//! pair of name and address, as wrong passwords do. Whoever knows a password can try from many addresses; after some
//! wrong codes, places from which the person never signed in have to wait, and the person's own places do not.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::action::hash;
use countersign_core::{At, AuthenticatorId, PrincipalId, Span};
use zeroize::Zeroizing;

use super::authenticators::{AuthenticatorView, Bound, RECOVERY_CODES, Totp};
use super::means::{Means, MeansSet};
use super::sign_in::{SignInRefused, SignedIn};
use super::{Caller, SignInClient, totp};
use crate::engine::Engine;
use crate::words::{Refused, RefusedCode};

/// How long a sign-in waits for its second step, and a secret for the first code of it.
const WAITS_FOR: Span = Span::minutes(5);

/// How many sign-ins of one principal wait for a code at a time; a new one ends the oldest.
const WAITING_EACH_MAX: usize = 8;

/// How many wrong codes of one account, from wherever, make unknown places wait.
const WRONG_CODES_MAX: u32 = 20;

/// Letters of a recovery code: five bits each, none that is taken for another.
const LETTERS: &[u8; 32] = b"abcdefghijkmnopqrstuvwxyz2345678";

/// Letters of a recovery code; 80 bits.
const RECOVERY_CHARS: usize = 16;

/// A sign-in whose password was right.
#[derive(Debug)]
pub struct SecondStep {
    /// What has to come with the code. It opens nothing by itself.
    pub pending: Zeroizing<String>,
    /// By what it can be completed.
    pub means: Vec<Means>,
    /// Until when.
    pub expires_at: At,
}

/// A secret for a generator of one-time codes that is not bound yet.
#[derive(Debug)]
pub struct TotpOffer {
    /// As people type it.
    pub secret: Zeroizing<String>,
    /// As apps read it: `otpauth://...`.
    pub uri: Zeroizing<String>,
    /// Until when it can be bound.
    pub expires_at: At,
}

/// What was bound, and the recovery codes that come with it.
#[derive(Debug)]
pub struct TotpBound {
    /// What was bound.
    pub authenticator: AuthenticatorView,
    /// Shown this once.
    pub recovery_codes: Vec<Zeroizing<String>>,
}

/// What waits for a code.
#[derive(Default)]
pub(super) struct Seconds {
    waiting: Mutex<BTreeMap<[u8; 32], WaitingSignIn>>,
    offers: Mutex<BTreeMap<[u8; 32], Offer>>,
    wrong: Mutex<BTreeMap<PrincipalId, (u32, At)>>,
}

struct WaitingSignIn {
    principal: PrincipalId,
    expires_at: At,
}

struct Offer {
    secret: Zeroizing<Vec<u8>>,
    expires_at: At,
}

impl Seconds {
    fn wait(&self, key: [u8; 32], principal: &PrincipalId, now: At) -> At {
        let expires_at = now.plus(WAITS_FOR);
        let mut waiting = self.waiting();
        waiting.retain(|_, one| now < one.expires_at);
        let own = || waiting.iter().filter(|(_, one)| one.principal == *principal);
        let surplus = own().count() >= WAITING_EACH_MAX;
        let oldest = own().min_by_key(|(_, one)| one.expires_at).filter(|_| surplus).map(|(key, _)| *key);
        oldest.map(|oldest| waiting.remove(&oldest));
        waiting.insert(key, WaitingSignIn { principal: principal.clone(), expires_at });
        expires_at
    }

    fn who(&self, key: &[u8; 32], now: At) -> Option<PrincipalId> {
        let waiting = self.waiting();
        waiting.get(key).filter(|one| now < one.expires_at).map(|one| one.principal.clone())
    }

    /// How many wrong codes an account has had lately.
    fn wrong_of(&self, principal: &PrincipalId, now: At) -> u32 {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong
            .get(principal)
            .filter(|(_, last)| now < last.plus(Span::hours(1)))
            .map_or(0, |(count, _)| *count)
    }

    fn count_wrong(&self, principal: &PrincipalId, now: At) {
        let count = self.wrong_of(principal, now).saturating_add(1);
        // At most one entry for each user there is.
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).insert(principal.clone(), (count, now));
    }

    fn right(&self, key: &[u8; 32], principal: &PrincipalId) {
        self.waiting().remove(key);
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).remove(principal);
    }

    fn offer(&self, sign_in: [u8; 32], secret: Zeroizing<Vec<u8>>, now: At) -> At {
        let expires_at = now.plus(WAITS_FOR);
        let mut offers = self.offers();
        offers.retain(|_, one| now < one.expires_at);
        offers.insert(sign_in, Offer { secret, expires_at });
        expires_at
    }

    fn offered(&self, sign_in: &[u8; 32], now: At) -> Option<Zeroizing<Vec<u8>>> {
        self.offers().get(sign_in).filter(|one| now < one.expires_at).map(|one| one.secret.clone())
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], WaitingSignIn>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offers(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Offer>> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Has a sign-in whose password was right wait for its code.
    pub(super) fn await_second(&self, principal: &PrincipalId, bound: &Bound) -> SecondStep {
        let bytes = Zeroizing::new(self.0.house.ports.random::<32>());
        let pending = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_ref()));
        let expires_at = self.0.people.seconds.wait(pending_key(&pending), principal, self.now());
        SecondStep { pending, means: bound.second_means(), expires_at }
    }

    /// Completes a sign-in with a one-time code or a recovery code.
    ///
    /// # Errors
    /// [`SignInRefused`]; recorded.
    pub async fn sign_in_second(
        &self,
        pending: &str,
        code: &str,
        client: SignInClient,
    ) -> Result<SignedIn, SignInRefused> {
        let (people, key) = (&self.0.people, pending_key(pending));
        people.seconds.who(&key, self.now()).ok_or(SignInRefused::TooLate)?;
        // One at a time: a step is taken once, and of those that guess at once each is counted before the next is tried.
        let _changing = self.changing().await;
        let now = self.now();
        let principal = people.seconds.who(&key, now).ok_or(SignInRefused::TooLate)?;
        let pair = second_pair(&principal);
        if let Some(until) = people.lockouts.locked(&pair, client.source, now, &self.0.house.settings) {
            return Err(SignInRefused::Locked { until });
        }
        let is_guessed = people.seconds.wrong_of(&principal, now) >= WRONG_CODES_MAX;
        if is_guessed && !people.places.knows(&self.0.house, &principal, &client) {
            self.failed("auth.locked", principal.as_str(), &client).await;
            return Err(SignInRefused::Locked { until: now.plus(Span::hours(1)) });
        }
        let bound = self.bound(&principal).await.map_err(SignInRefused::Unavailable)?;
        let Some((means, bound)) = self.redeem(&principal, bound, code) else {
            people.seconds.count_wrong(&principal, now);
            return Err(self.wrong(&pair, principal.as_str(), SignInRefused::WrongCode, &client).await);
        };
        people.lockouts.right(&pair, client.source);
        if !self.snapshot().book.is_enabled(&principal) {
            self.failed("auth.failed", principal.as_str(), &client).await;
            return Err(SignInRefused::Disabled);
        }
        let put = bound.put(&self.0.house, &principal);
        let means = MeansSet::of(&[Means::Password, means]);
        let signed_in = self.admit(principal.clone(), means, &client, vec![put]).await?;
        people.seconds.right(&key, &principal);
        Ok(signed_in)
    }

    /// What is bound once `code` has been used, if it is one that counts.
    fn redeem(&self, principal: &PrincipalId, mut bound: Bound, code: &str) -> Option<(Means, Bound)> {
        let now = self.now();
        let code: String = code.chars().filter(|c| !c.is_whitespace() && *c != '-').take(64).collect();
        if let Some(totp) = &mut bound.totp
            && let Some(step) = totp::step_of(&totp.secret, &code, now, Some(totp.step))
        {
            (totp.step, totp.used_at) = (step, now);
            return Some((Means::Totp, bound));
        }
        let digest = self.recovery_digest(principal, &code.to_ascii_lowercase());
        let found = bound.recovery.iter().position(|one| verify_slices_are_equal(one, &digest).is_ok())?;
        bound.recovery.remove(found);
        Some((Means::RecoveryCode, bound))
    }

    fn recovery_digest(&self, principal: &PrincipalId, code: &str) -> [u8; 32] {
        self.0.house.keyring.mac("recovery-code", &[principal.as_str().as_bytes(), code.as_bytes()])
    }

    /// Offers the caller a secret for an authenticator app. It is bound once a code of it is shown.
    ///
    /// # Errors
    /// One is bound already, or the caller has to sign in anew first.
    pub async fn offer_totp(&self, caller: &Caller) -> Result<TotpOffer, Refused> {
        let bound = self.bound(&caller.principal).await?;
        self.may_rebind(caller, &bound)?;
        if bound.totp.is_some() {
            let message = "an authenticator app is bound already";
            return Err(
                Refused::new(RefusedCode::Conflict, message).hint("take it away first, then bind another")
            );
        }
        let secret = Zeroizing::new(self.0.house.ports.random::<{ totp::SECRET_BYTES }>().to_vec());
        let host = self.0.house.settings.console_url.split("://").nth(1).unwrap_or_default();
        let uri = totp::uri(&secret, &format!("Countersign {host}"), caller.principal.as_str());
        let shown = Zeroizing::new(totp::base32(&secret));
        let expires_at = self.0.people.seconds.offer(caller.token, secret, self.now());
        Ok(TotpOffer { secret: shown, uri: Zeroizing::new(uri), expires_at })
    }

    /// Binds the authenticator app whose secret was offered, shown by a code of it; and makes recovery codes.
    ///
    /// # Errors
    /// The code is wrong, the offer is over, or it could not be recorded.
    pub async fn bind_totp(&self, caller: &Caller, code: &str) -> Result<TotpBound, Refused> {
        let _changing = self.changing().await;
        let mut bound = self.bound(&caller.principal).await?;
        self.may_rebind(caller, &bound)?;
        let now = self.now();
        let secret = self.0.people.seconds.offered(&caller.token, now).filter(|_| bound.totp.is_none());
        let secret = secret.ok_or_else(|| {
            Refused::new(RefusedCode::Conflict, "no authenticator app is being bound, or it took too long")
                .hint("begin anew")
        })?;
        let code: String = code.chars().filter(|c| !c.is_whitespace()).take(64).collect();
        let step = totp::step_of(&secret, &code, now, None).ok_or_else(|| {
            Refused::new(RefusedCode::Invalid, "the code is not one of this secret now")
                .hint("check the clock of the device, and try the next code")
        })?;
        let id = AuthenticatorId(self.0.house.ports.entropy.id());
        bound.totp = Some(Totp { id, secret: secret.to_vec(), bound_at: now, used_at: now, step });
        let recovery_codes = self.new_recovery_codes(&caller.principal, &mut bound);
        let whose = (Some(caller), &caller.principal);
        let note = self.binding_note("authenticator.bound", whose, (Means::Totp, Some(id), &bound));
        self.note(note).await?;
        self.0.people.seconds.offers().remove(&caller.token);
        let authenticator = AuthenticatorView {
            id: Some(id),
            means: Means::Totp,
            name: None,
            bound_at: now,
            used_at: Some(now),
            left: None,
        };
        Ok(TotpBound { authenticator, recovery_codes })
    }

    /// Makes new recovery codes; the old ones count no more.
    ///
    /// # Errors
    /// There is nothing to recover from, or the caller has to sign in anew first.
    pub async fn renew_recovery_codes(&self, caller: &Caller) -> Result<Vec<Zeroizing<String>>, Refused> {
        let _changing = self.changing().await;
        let mut bound = self.bound(&caller.principal).await?;
        self.may_rebind(caller, &bound)?;
        if bound.totp.is_none() {
            return Err(Refused::new(
                RefusedCode::Conflict,
                "recovery codes stand in for an authenticator app",
            )
            .hint("bind one first"));
        }
        let codes = self.new_recovery_codes(&caller.principal, &mut bound);
        let whose = (Some(caller), &caller.principal);
        self.note(self.binding_note("authenticator.bound", whose, (Means::RecoveryCode, None, &bound)))
            .await?;
        Ok(codes)
    }

    fn new_recovery_codes(&self, principal: &PrincipalId, bound: &mut Bound) -> Vec<Zeroizing<String>> {
        let codes: Vec<_> =
            (0..RECOVERY_CODES).map(|_| recovery_code(&self.0.house.ports.random())).collect();
        bound.recovery =
            codes.iter().map(|code| self.recovery_digest(principal, &code.replace('-', ""))).collect();
        bound.recovery_at = Some(self.now());
        codes
    }
}

/// The name under which wrong codes of an account are counted: no name of an account has a colon.
fn second_pair(principal: &PrincipalId) -> String {
    format!("second:{principal}")
}

fn pending_key(pending: &str) -> [u8; 32] {
    hash(&[b"countersign/second/v1\n", pending.as_bytes()]).0
}

/// `abcd-efgh-ijkm-nopq`.
pub(super) fn recovery_code(random: &[u8; RECOVERY_CHARS]) -> Zeroizing<String> {
    let letter = |byte: &u8| char::from(LETTERS.get(usize::from(byte & 31)).copied().unwrap_or(b'a'));
    let groups: Vec<String> = random.chunks(4).map(|group| group.iter().map(letter).collect()).collect();
    Zeroizing::new(groups.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_codes_are_typed_without_doubt() {
        let all: Vec<u8> = (0..=255).collect();
        for chunk in all.chunks_exact(RECOVERY_CHARS) {
            let code = recovery_code(chunk.try_into().unwrap());
            assert_eq!(code.len(), RECOVERY_CHARS + 3);
            assert!(code.chars().all(|c| c == '-' || LETTERS.contains(&(c as u8))), "{}", *code);
            assert!(!code.contains(['l', '1', '0', '9']));
        }
    }

    #[test]
    fn few_sign_ins_wait_at_a_time_and_not_for_long() {
        let (seconds, who) = (Seconds::default(), PrincipalId::new("alice"));
        let key = |n: u8| [n; 32];
        for n in 0..20 {
            seconds.wait(key(n), &who, At(i64::from(n)));
        }
        assert_eq!(seconds.waiting().len(), WAITING_EACH_MAX);
        assert_eq!(seconds.who(&key(0), At(20)), None);
        assert_eq!(seconds.who(&key(19), At(20)), Some(who.clone()));
        assert_eq!(seconds.who(&key(19), At(19).plus(WAITS_FOR)), None);
        seconds.right(&key(19), &who);
        assert_eq!(seconds.who(&key(19), At(20)), None);
    }
}
