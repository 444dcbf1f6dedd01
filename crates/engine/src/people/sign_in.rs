//! Signing in with a password, and out.
//!
//! An unknown name costs as much time as a known one, and is answered with the same words. Too many wrong passwords
//! lock out the pair of name and address: a stranger elsewhere locks out only themselves.

use std::net::IpAddr;

use countersign_core::{At, PrincipalId, SignInId};
use countersign_policy::context::Via;
use zeroize::Zeroizing;

use super::means::{Means, MeansSet};
use super::origin::Came;
use super::passwords::PASSWORD_BYTES_MAX;
use super::second::SecondStep;
use crate::engine::Engine;
use crate::line::{Sealed, SignIn, Topic};
use crate::seal::Field;
use crate::settings::CLIENT_BYTES_MAX;
use crate::store::Put;
use crate::words::{Refused, cut};
use crate::writer::work::Note;

/// Who signs in, beside the name.
#[derive(Clone, Debug)]
pub struct SignInClient {
    /// From where.
    pub source: Option<IpAddr>,
    /// How they speak to the gateway.
    pub via: Via,
    /// What their program calls itself.
    pub user_agent: Option<String>,
}

/// A sign-in.
#[derive(Debug)]
pub struct SignedIn {
    /// The token. It is shown this once.
    pub token: Zeroizing<String>,
    /// When it ends at the latest.
    pub expires_at: At,
    /// Who signed in.
    pub principal: PrincipalId,
}

/// What a right password comes to.
#[derive(Debug)]
pub enum SignInStep {
    /// Somebody is signed in.
    Done(SignedIn),
    /// The account has a second factor, which has to be shown.
    Second(SecondStep),
}

impl SignInStep {
    /// The sign-in, if a password was enough for it.
    #[must_use]
    pub fn done(self) -> Option<SignedIn> {
        match self {
            Self::Done(signed_in) => Some(signed_in),
            Self::Second(_) => None,
        }
    }
}

/// Why somebody is not signed in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInRefused {
    /// The name or the password is wrong.
    #[error("the name or the password is wrong")]
    Wrong,
    /// The password is right, but the account is disabled.
    #[error("this account is disabled; ask somebody who may enable it")]
    Disabled,
    /// The code is wrong, or was used before.
    #[error("the code is wrong, or was used before; wait for the next one")]
    WrongCode,
    /// The passkey is none of ours, or what came is not its.
    #[error("the passkey was not accepted: {0}")]
    Passkey(&'static str),
    /// The second step took too long, or never had a first.
    #[error("this sign-in took too long; begin again with the password")]
    TooLate,
    /// A program was not let in in time, or its code was used, or is none.
    #[error("this sign-in is over; begin again with `countersign login`")]
    Over,
    /// Somebody was asked whether a program may be them, and said no.
    #[error("this sign-in was declined at the console")]
    Declined,
    /// No issuer that the bundle names says that this job is a service of it; or its token was used.
    #[error(
        "this job is no service here, or its token was used; the bundle says which jobs are, see `[workload.NAME]`"
    )]
    NotAJob,
    /// Nobody was invited by this name with this code, or it was used, or too long ago.
    #[error("this invitation counts no more, or never did; ask whoever gave it to you")]
    NotInvited,
    /// Another job is this service.
    #[error(
        "another job is this service now; a service is one job at a time, and for minutes after one that went away"
    )]
    Busy,
    /// The identity provider did not say who it is, or what it said is not right.
    #[error("the identity provider did not sign you in; try again, or sign in otherwise")]
    Provider,
    /// The identity provider says who it is, and nobody here is that.
    #[error("nobody here is who the identity provider says you are; ask those who keep the list of people")]
    NotKnown,
    /// Too many wrong passwords or codes from this address.
    #[error("too many wrong tries for this name from this address; wait until {}", until.rfc3339())]
    Locked {
        /// Until when.
        until: At,
    },
    /// It can't be recorded now.
    #[error(transparent)]
    Unavailable(Refused),
}

impl Engine {
    /// Signs somebody in with a password, or has them show their second factor next.
    ///
    /// # Errors
    /// [`SignInRefused`]; recorded.
    pub async fn sign_in(
        &self,
        user: &str,
        password: &str,
        client: SignInClient,
    ) -> Result<SignInStep, SignInRefused> {
        let (people, settings) = (&self.0.people, &self.0.house.settings);
        let name = cut(user, CLIENT_BYTES_MAX);
        let locked = || match people.lockouts.locked(name, client.source, self.now(), settings) {
            Some(until) => Err(SignInRefused::Locked { until }),
            None => Ok(()),
        };
        locked()?;
        let principal = self.user(name);
        let verifier = match &principal {
            Some(principal) => self.verifier_of(principal).await?,
            None => None,
        };
        let fits = password.len() <= PASSWORD_BYTES_MAX;
        let tried = Zeroizing::new(if fits { password.as_bytes().to_vec() } else { Vec::new() });
        let verified = people.hashing.verify(verifier, tried).await && fits;
        // Of those that guess at once, whoever comes after too many learns nothing.
        locked()?;
        let Some(principal) = principal.filter(|_| verified) else {
            return Err(self.wrong(name, name, SignInRefused::Wrong, &client).await);
        };
        people.lockouts.right(name, client.source);
        if !self.snapshot().book.is_enabled(&principal) {
            self.failed("auth.failed", name, &client).await;
            return Err(SignInRefused::Disabled);
        }
        let bound = self.bound(&principal).await.map_err(SignInRefused::Unavailable)?;
        if bound.wants_second() {
            return Ok(SignInStep::Second(self.await_second(&principal, &bound)));
        }
        let means = MeansSet::of(&[Means::Password]);
        self.admit(principal, means, &client, Vec::new()).await.map(SignInStep::Done)
    }

    /// Signs in whoever has shown enough. `puts` is stored with the line about it.
    pub(super) async fn admit(
        &self,
        principal: PrincipalId,
        means: MeansSet,
        client: &SignInClient,
        puts: Vec<Put>,
    ) -> Result<SignedIn, SignInRefused> {
        self.admit_as(principal, Came::here(means, self.now()), client, puts).await
    }

    /// As [`Engine::admit`], for whoever may have come by another way.
    pub(super) async fn admit_as(
        &self,
        principal: PrincipalId,
        came: Came,
        client: &SignInClient,
        puts: Vec<Put>,
    ) -> Result<SignedIn, SignInRefused> {
        self.admit_known(principal, came, client, puts).await.map(|(signed_in, _)| signed_in)
    }

    /// As [`Engine::admit_as`], and says which sign-in it is.
    pub(super) async fn admit_known(
        &self,
        principal: PrincipalId,
        came: Came,
        client: &SignInClient,
        puts: Vec<Put>,
    ) -> Result<(SignedIn, SignInId), SignInRefused> {
        let (house, people, means) = (&self.0.house, &self.0.people, came.means);
        let let_in_by = came.let_in.map(|one| one.by);
        let resource = came.audience.as_ref().map(|audience| audience.resource.clone());
        let person = self.snapshot().book.person(&principal).cloned();
        let mut fresh = people.tokens.mint_as(house, (&principal, person.clone()), came, client);
        let mut visit = people.places.visit(house, &fresh.kept);
        let mut note = self.sign_in_note("auth.succeeded", principal.as_str(), client);
        if let Topic::SignIn(line) = &mut note.line.data {
            line.means = means.iter().map(Means::as_str).collect();
            line.new_place = visit.is_new;
            line.sign_in = Some(fresh.kept.id);
            line.let_in_by = let_in_by;
        }
        note.line.actor = Some(principal.clone());
        note.line.person = person;
        note.line.resource = resource;
        note.puts = puts;
        note.puts.append(&mut fresh.puts);
        note.puts.append(&mut visit.puts);
        self.note(note).await.map_err(SignInRefused::Unavailable)?;
        people.tokens.admit(&fresh);
        people.places.keep(&principal, visit);
        let (expires_at, id) = (fresh.kept.ends_at_the_latest(&house.settings), fresh.kept.id);
        Ok((SignedIn { token: fresh.token, expires_at, principal }, id))
    }

    /// Counts something wrong against a pair of name and address. Gives what to say: `refused`, or that the pair is
    /// locked out.
    pub(super) async fn wrong(
        &self,
        pair: &str,
        name: &str,
        refused: SignInRefused,
        client: &SignInClient,
    ) -> SignInRefused {
        let settings = &self.0.house.settings;
        let locked = self.0.people.lockouts.wrong(pair, client.source, self.now(), settings);
        match locked {
            None => {
                self.failed("auth.failed", name, client).await;
                refused
            }
            Some(until) => {
                self.failed("auth.locked", name, client).await;
                SignInRefused::Locked { until }
            }
        }
    }

    /// Records a failed sign-in, unless this address fills the ledger with them.
    pub(crate) async fn failed(&self, kind: &'static str, name: &str, client: &SignInClient) {
        let Some(unwritten) = self.0.noise.admit(client.source, self.now()) else { return };
        let mut note = self.sign_in_note(kind, name, client).failed();
        if let Topic::SignIn(line) = &mut note.line.data {
            line.unwritten = unwritten;
        }
        note.line.subject = self.known(name);
        if self.note(note).await.is_err() {
            tracing::warn!("a failed sign-in could not be recorded");
        }
    }

    pub(super) fn sign_in_note(&self, kind: &'static str, name: &str, client: &SignInClient) -> Note {
        let agent = client.user_agent.as_deref().map(|agent| cut(agent, CLIENT_BYTES_MAX));
        let content = serde_json::json!({ "address": client.source, "name": name, "program": agent });
        let ports = &self.0.house.ports;
        let field = Field::new(ports, "/data/content", "sign-in", content.to_string().into_bytes());
        let content = Sealed(field.commitment());
        let via = client.via.as_str();
        let line = SignIn {
            content,
            let_in_by: None,
            means: Vec::new(),
            new_place: false,
            sign_in: None,
            unwritten: 0,
            via,
        };
        let mut note = Note::new(kind, Topic::SignIn(line));
        if let Some(principal) = self.known(name) {
            note.key = format!("principal:{principal}").into();
        }
        note.fields = vec![field];
        note
    }

    /// The user of this name. Services and agents do not sign in with passwords.
    pub(super) fn user(&self, name: &str) -> Option<PrincipalId> {
        let principal = self.known(name)?;
        let snapshot = self.snapshot();
        let found = snapshot.book.catalogue.principals.get(&principal)?;
        found.is_user().then_some(principal)
    }
}
