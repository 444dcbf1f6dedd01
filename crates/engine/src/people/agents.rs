//! Agents: how one signs in, and what its owner makes for it.
//!
//! An agent has no password and no issuer: its owner, who is signed in, gets a code for it, and the agent's program comes with that
//! code and with a key of its own. What it gets stands on that key: without it the sign-in is nobody's. It ends with the sign-in
//! of the owner that let it in, at the latest when that would end, and at once when agent or owner is disabled. A credential for
//! a door is made for it by its owner as well, for minutes. An agent makes nothing of this by itself, nor for others.
//!
//! Codes wait in memory, for minutes: a restart has the owner get another one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::action::hash;
use countersign_core::catalogue::PrincipalKind;
use countersign_core::{At, PrincipalId, ResourceId, SignInId, Span};
use zeroize::Zeroizing;

use super::means::{Means, MeansSet};
use super::origin::{Came, LetIn};
use super::programs::secret;
use super::sign_in::{SignInRefused, SignedIn};
use super::{Caller, Minted, SignInClient};
use crate::engine::Engine;
use crate::words::{Refused, RefusedCode};

/// How long a code waits for the agent's program.
const CODE_FOR: Span = Span::minutes(10);

/// How long an agent is signed in at most: its owner looks after it once in a working day.
const SIGNED_IN_FOR: Span = Span::hours(8);

/// How many codes wait at a time for the agents of one sign-in, and in all.
const CODES_EACH_MAX: usize = 16;
const CODES_MAX: usize = 10_000;

/// Codes that agents may come with.
#[derive(Default)]
pub(super) struct Agents(Mutex<BTreeMap<[u8; 32], Code>>);

struct Code {
    agent: PrincipalId,
    by: SignInId,
    expires_at: At,
}

/// A code for an agent's program to sign in with.
#[derive(Debug)]
pub struct AgentCode {
    /// The code. It counts once.
    pub code: Zeroizing<String>,
    /// Until when.
    pub expires_at: At,
}

impl Agents {
    fn give(&self, key: [u8; 32], code: Code, now: At) -> Result<(), Refused> {
        let mut codes = self.codes();
        codes.retain(|_, one| now < one.expires_at);
        let own = codes.values().filter(|one| one.by == code.by).count();
        if own >= CODES_EACH_MAX || codes.len() >= CODES_MAX {
            return Err(Refused::new(RefusedCode::Conflict, "too many codes for agents wait already")
                .hint("use one of them, or wait some minutes until they count no more"));
        }
        codes.insert(key, code);
        Ok(())
    }

    fn take(&self, key: &[u8; 32], now: At) -> Option<Code> {
        self.codes().remove(key).filter(|one| now < one.expires_at)
    }

    fn codes(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Code>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Gives the owner of an agent a code for its program to sign in with.
    ///
    /// # Errors
    /// The caller does not answer for such an agent, or too many codes wait.
    pub fn agent_code(&self, caller: &Caller, agent: &PrincipalId) -> Result<AgentCode, Refused> {
        self.answers_for_agent(caller, agent)?;
        let code = secret(&self.0.house.ports);
        let (now, by) = (self.now(), caller.sign_in);
        let expires_at = now.plus(CODE_FOR);
        self.0.people.agents.give(key_of(&code), Code { agent: agent.clone(), by, expires_at }, now)?;
        Ok(AgentCode { code, expires_at })
    }

    /// Signs an agent in by a code of its owner's, and a key of its own, of which this is the thumbprint. The code counts once,
    /// whatever comes of it.
    ///
    /// # Errors
    /// [`SignInRefused`]; recorded.
    pub async fn sign_in_agent(
        &self,
        code: &str,
        key: &[u8; 32],
        client: SignInClient,
    ) -> Result<SignedIn, SignInRefused> {
        let now = self.now();
        let Some(found) = self.0.people.agents.take(&key_of(code), now) else {
            self.failed("auth.failed", "", &client).await;
            return Err(SignInRefused::Over);
        };
        let settings = &self.0.house.settings;
        // Whoever let it in has signed out meanwhile, or somebody ended it.
        let Some((_, owner)) = self.0.people.tokens.named(found.by, now, settings) else {
            self.failed("auth.failed", found.agent.as_str(), &client).await;
            return Err(SignInRefused::Over);
        };
        let is_theirs = self.owner_of_agent(&found.agent).is_some_and(|it| it == owner.principal);
        if !is_theirs || !self.snapshot().book.is_enabled(&found.agent) {
            self.failed("auth.failed", found.agent.as_str(), &client).await;
            return Err(SignInRefused::Disabled);
        }
        let until = now.plus(SIGNED_IN_FOR).min(owner.ends_at_the_latest(settings));
        let came = Came {
            let_in: Some(LetIn { by: found.by, until }),
            key: Some(URL_SAFE_NO_PAD.encode(key)),
            ..Came::here(MeansSet::of(&[Means::Agent]), now)
        };
        self.admit_as(found.agent, came, &client, Vec::new()).await
    }

    /// Makes a credential for a door, for an agent of the caller's. It opens nothing by itself: each connection and each action
    /// asks for a live grant of the agent's, within its ceiling. With a certificate's SHA-256 it is bound to that, as with
    /// [`Engine::mint_bound`].
    ///
    /// # Errors
    /// The caller does not answer for such an agent, policy does not permit the caller to make credentials for the resource, or
    /// it could not be recorded.
    pub async fn mint_credential_for(
        &self,
        caller: &Caller,
        agent: &PrincipalId,
        resource: &ResourceId,
        certificate: Option<[u8; 32]>,
    ) -> Result<Minted, Refused> {
        self.answers_for_agent(caller, agent)?;
        if !self.snapshot().book.is_enabled(agent) {
            return Err(Refused::new(RefusedCode::NotPermitted, format!("`{agent}` is disabled")));
        }
        self.mint_for(caller, agent, resource, certificate).await
    }

    /// Whether the caller is the person at a keyboard who answers for this agent.
    fn answers_for_agent(&self, caller: &Caller, agent: &PrincipalId) -> Result<(), Refused> {
        if self.owner_of_agent(agent).is_some_and(|owner| owner == caller.principal) {
            return Ok(());
        }
        Err(Refused::new(RefusedCode::NotFound, format!("there is no agent `{agent}` that you answer for"))
            .hint("the bundle says who owns an agent: `owner` in [agent.NAME] of people.toml"))
    }

    pub(super) fn owner_of_agent(&self, agent: &PrincipalId) -> Option<PrincipalId> {
        match &self.snapshot().book.catalogue.principals.get(agent)?.kind {
            PrincipalKind::Agent { owner, .. } => self.user(owner.as_str()),
            PrincipalKind::User | PrincipalKind::Service { .. } => None,
        }
    }

    /// Whether the caller answers for this service or agent: its owner, by any account of theirs.
    pub(super) fn answers_for(&self, caller: &Caller, principal: &PrincipalId) -> bool {
        let snapshot = self.snapshot();
        let catalogue = &snapshot.book.catalogue;
        let (Some(user), Some(found)) =
            (catalogue.principals.get(&caller.principal), catalogue.principals.get(principal))
        else {
            return false;
        };
        user.is_user() && !found.is_user() && found.person == user.person
    }
}

fn key_of(code: &str) -> [u8; 32] {
    hash(&[b"countersign/agent-code/v1\n", code.as_bytes()]).0
}
