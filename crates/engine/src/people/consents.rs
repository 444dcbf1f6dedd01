//! Letting in a client at one resource: a person is shown which program asks, and says yes or no (OAuth 2.1).
//!
//! A yes gives a code, which a browser brings to the client and which counts once, within a minute, with the client's verifier
//! (RFC 7636), for what was asked. What comes of it is a sign-in of the person's, or of an agent's that they answer for, which
//! counts at that resource alone, in one role if they said so, and never at the API. It ends with the sign-in that let it in
//! where that is taken away, and after eight hours at the latest. Codes wait in memory: a restart has people begin anew.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::action::hash;
use countersign_core::catalogue::{Impact, PrincipalKind};
use countersign_core::{At, ClientId, PrincipalId, ResourceId, RoleId, SignInId, Span};
use zeroize::Zeroizing;

use super::clients::{Client, stays_here};
use super::means::Proof;
use super::origin::{Audience, Came, LetIn};
use super::programs::{CODE_FOR, is_verifier, secret};
use super::sign_in::SignInRefused;
use super::tokens::{Kept as SignIn, client_key_of};
use super::{Caller, ProgramCode, SignInClient, redirect_host};
use crate::engine::Engine;
use crate::snapshot::Snapshot;
use crate::store::Put;
use crate::words::{Refused, RefusedCode};
use crate::writer::work::Note;

/// The kind of resources at which clients are let in.
const KIND: &str = "mcp";
/// How long a client is let in at most: whoever answers for it looks after it once in a working day.
const LET_IN_FOR: Span = Span::hours(8);
/// How long a code is remembered that was used, to know it again.
const SPENT_FOR: Span = Span::minutes(10);
/// How many codes one sign-in may have given, and all.
const CODES_EACH_MAX: usize = 16;
const CODES_MAX: usize = 10_000;
/// What a client asks a person for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentAsk {
    /// Which client.
    pub client: ClientId,
    /// Where a browser is to bring it the code.
    pub redirect_uri: String,
    /// At which resource.
    pub resource: ResourceId,
    /// What it made of its verifier (RFC 7636, S256).
    pub challenge: String,
}

/// What a person is shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentAsked {
    /// The client, by its own word.
    pub client: Client,
    /// The host to which the code goes.
    pub host: String,
    /// Whether that is the machine of whoever is asked.
    pub is_here: bool,
    /// The resource's one line.
    pub title: String,
    /// How bad it would be.
    pub impact: Impact,
    /// Until when the client would be let in at the latest.
    pub until: At,
    /// As whom it could act: the person, and the agents they answer for.
    pub actors: Vec<ConsentActor>,
}

/// As whom a client could act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentActor {
    /// Who.
    pub principal: PrincipalId,
    /// Whether it is an agent.
    pub is_agent: bool,
    /// Their live grants that reach the resource, by role, and when each ends.
    pub roles: Vec<(RoleId, At)>,
}

/// What a client gets.
#[derive(Debug)]
pub struct IssuedTokens {
    /// What it shows at the resource.
    pub access: Zeroizing<String>,
    /// Until when.
    pub expires_at: At,
    /// What it comes with for the next.
    pub refresh: Zeroizing<String>,
    /// The one role that it is for, if it is for one.
    pub role: Option<RoleId>,
}

/// A code that a client was brought, and all that has to be as it was when it was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Redeemed<'a> {
    /// The code.
    pub code: &'a str,
    /// What the client kept.
    pub verifier: &'a str,
    /// Which client comes.
    pub client: ClientId,
    /// Where the code was brought.
    pub redirect_uri: &'a str,
    /// For which resource, if it says.
    pub resource: Option<&'a ResourceId>,
}

/// Why a client gets no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// What it brings does not count: wrong, used, over, or for something else.
    #[error("what was brought is wrong, was used before, or is over")]
    NoGrant,
    /// It was let in at another resource.
    #[error("the client was let in at another resource")]
    OtherResource,
    /// Policy does not permit it any more, or it can't be recorded now.
    #[error("{}", .0.message)]
    Refused(Refused),
}

/// Codes that were given.
#[derive(Default)]
pub(super) struct Consents {
    codes: Mutex<BTreeMap<[u8; 32], Code>>,
    /// One after the other, so that of two who come with the same one is the second.
    pub(super) redeeming: tokio::sync::Mutex<()>,
}

struct Code {
    by: SignInId,
    whose: PrincipalId,
    role: Option<RoleId>,
    ask: ConsentAsk,
    challenge: [u8; 32],
    given_at: At,
    /// What came of it.
    spent: Option<(PrincipalId, SignInId)>,
}

impl Code {
    fn is_kept(&self, now: At) -> bool {
        let lasts = if self.spent.is_some() { SPENT_FOR } else { CODE_FOR };
        now < self.given_at.plus(lasts)
    }

    /// Whether it was given to this client.
    fn is_for(&self, brought: &Redeemed<'_>) -> bool {
        let made = digest(&SHA256, brought.verifier.as_bytes());
        let proved = verify_slices_are_equal(made.as_ref(), &self.challenge).is_ok();
        proved
            && is_verifier(brought.verifier)
            && self.ask.client == brought.client
            && self.ask.redirect_uri == brought.redirect_uri
    }
}

impl Consents {
    fn give(&self, key: [u8; 32], code: Code, now: At) {
        let mut codes = self.codes();
        codes.retain(|_, one| one.is_kept(now));
        let own = || codes.iter().filter(|(_, one)| one.by == code.by);
        let oldest = if own().count() >= CODES_EACH_MAX {
            own().min_by_key(|(_, one)| one.given_at).map(|(key, _)| *key)
        } else if codes.len() >= CODES_MAX {
            codes.iter().min_by_key(|(_, one)| one.given_at).map(|(key, _)| *key)
        } else {
            None
        };
        oldest.map(|key| codes.remove(&key));
        codes.insert(key, code);
    }

    fn take(&self, key: &[u8; 32], now: At) -> Option<Code> {
        self.codes().remove(key).filter(|one| one.is_kept(now))
    }

    fn codes(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Code>> {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// What the caller is shown of a client that asks to be let in.
    ///
    /// # Errors
    /// The caller may let in none there, or what is asked for is not right.
    pub fn consent_asked(&self, caller: &Caller, ask: &ConsentAsk) -> Result<ConsentAsked, Refused> {
        let (client, _) = self.check_ask(caller, ask)?;
        let snapshot = self.snapshot();
        let found = snapshot.book.catalogue.resources.get(&ask.resource);
        let found = found
            .ok_or_else(|| Refused::from(countersign_core::Refusal::NoSuchResource(ask.resource.clone())))?;
        let host = redirect_host(&ask.redirect_uri).unwrap_or_default();
        Ok(ConsentAsked {
            is_here: stays_here(&host),
            host,
            title: found.title.clone(),
            impact: found.impact,
            until: self.let_in_until(caller),
            actors: self.actors(caller, &ask.resource),
            client,
        })
    }

    /// Lets a client in: gives a code for the browser to bring to it. It would act as the caller, or as an agent that the caller
    /// answers for, in one role or in any that they hold.
    ///
    /// # Errors
    /// As [`Engine::consent_asked`]; or it could not be recorded.
    pub async fn let_client_in(
        &self,
        caller: &Caller,
        ask: ConsentAsk,
        whose: PrincipalId,
        role: Option<RoleId>,
    ) -> Result<ProgramCode, Refused> {
        let (client, challenge) = self.check_ask(caller, &ask)?;
        let actors = self.actors(caller, &ask.resource);
        if !actors.iter().any(|actor| actor.principal == whose) {
            let message = format!("`{whose}` is neither you nor an agent that you answer for");
            return Err(Refused::new(RefusedCode::NotPermitted, message));
        }
        let snapshot = self.snapshot();
        let reaches = |role: &RoleId| {
            let found = snapshot.book.catalogue.roles.get(role);
            found.is_some_and(|found| found.resources.contains(&ask.resource))
        };
        if let Some(role) = role.as_ref().filter(|role| !reaches(role)) {
            let message = format!("no role `{role}` reaches `{}`", ask.resource);
            return Err(Refused::new(RefusedCode::Invalid, message));
        }
        let mut note = self.answer_note("token.issued", caller, (client, &ask));
        note.line.subject = (whose != caller.principal).then(|| whose.clone());
        note.line.role.clone_from(&role);
        self.note(note).await?;
        let (code, now) = (secret(&self.0.house.ports), self.now());
        let kept = Code { by: caller.sign_in, whose, role, ask, challenge, given_at: now, spent: None };
        self.0.people.consents.give(code_key(&code), kept, now);
        Ok(ProgramCode { code, expires_at: now.plus(CODE_FOR) })
    }

    /// The caller says no to a client.
    ///
    /// # Errors
    /// As [`Engine::consent_asked`]; or it could not be recorded.
    pub async fn decline_client(&self, caller: &Caller, ask: &ConsentAsk) -> Result<(), Refused> {
        let (client, _) = self.check_ask(caller, ask)?;
        self.note(self.answer_note("token.rejected", caller, (client, ask)).failed()).await.map(|_| ())
    }

    /// A line about what somebody answers to a client: its name, and where the answer goes, by its own word.
    fn answer_note(&self, kind: &'static str, caller: &Caller, (client, ask): (Client, &ConsentAsk)) -> Note {
        let host = redirect_host(&ask.redirect_uri).unwrap_or_default();
        let asks = format!("{} ({host})", client.name);
        let from = SignInClient { source: caller.source, via: caller.via, user_agent: Some(asks) };
        let mut note = self.word_note(kind, caller, &from);
        note.line.resource = Some(ask.resource.clone());
        note
    }

    /// Signs in a client that was brought a code and has the verifier that belongs to it. A code counts once, whatever comes of
    /// it; whoever comes with it again ends what came of it (RFC 6749, section 4.1.2).
    ///
    /// # Errors
    /// [`TokenRefused`].
    pub async fn redeem_code(
        &self,
        brought: Redeemed<'_>,
        from: SignInClient,
    ) -> Result<IssuedTokens, TokenRefused> {
        let _one_after_the_other = self.0.people.consents.redeeming.lock().await;
        let (key, now) = (code_key(brought.code), self.now());
        let Some(mut code) = self.0.people.consents.take(&key, now) else {
            return Err(TokenRefused::NoGrant);
        };
        if let Some((principal, sign_in)) = &code.spent {
            self.end_stolen("a code of a client", (principal, *sign_in), &from).await;
            return Err(TokenRefused::NoGrant);
        }
        if !code.is_for(&brought) {
            self.failed("auth.failed", code.whose.as_str(), &from).await;
            return Err(TokenRefused::NoGrant);
        }
        if brought.resource.is_some_and(|resource| *resource != code.ask.resource) {
            return Err(TokenRefused::OtherResource);
        }
        let (tokens, id) = self.first_tokens(&code, &from).await?;
        code.spent = Some((code.whose.clone(), id));
        self.0.people.consents.give(key, code, now);
        Ok(tokens)
    }

    /// Signs the client in, and gives it its first tokens.
    async fn first_tokens(
        &self,
        code: &Code,
        from: &SignInClient,
    ) -> Result<(IssuedTokens, SignInId), TokenRefused> {
        let (settings, now, resource) = (&self.0.house.settings, self.now(), &code.ask.resource);
        // Whoever said yes has signed out meanwhile, or somebody ended it.
        let found = self.0.people.tokens.named(code.by, now, settings);
        let (parent_key, parent) = found.ok_or(TokenRefused::NoGrant)?;
        let client = self.client(code.ask.client).ok_or(TokenRefused::NoGrant)?;
        let by = caller_for(&parent.principal, (&parent_key, &parent), from, now);
        self.check_client(&by, &code.whose, resource)?;
        let from = SignInClient { user_agent: Some(client.name.clone()), ..from.clone() };
        let until = now.plus(LET_IN_FOR).min(parent.ends_at_the_latest(settings));
        let audience = Audience {
            client: client.id,
            name: client.name,
            host: redirect_host(&code.ask.redirect_uri).unwrap_or_default(),
            resource: resource.clone(),
            role: code.role.clone(),
            by: parent.principal.clone(),
        };
        let came = Came {
            means: parent.means,
            proved_at: parent.proved_at(),
            federation: parent.from.federation.clone(),
            let_in: Some(LetIn { by: code.by, until }),
            job: None,
            key: None,
            audience: Some(Box::new(audience)),
        };
        let person = self.snapshot().book.person(&parent.principal).cloned().ok_or(TokenRefused::NoGrant)?;
        let puts = self.0.people.clients.used(code.ask.client, &person, now);
        let admitted = self.admit_known(code.whose.clone(), came, &from, puts).await;
        let (signed_in, id) = admitted.map_err(|refused| match refused {
            SignInRefused::Unavailable(refused) => TokenRefused::Refused(refused),
            _ => TokenRefused::NoGrant,
        })?;
        let (key, first) = (client_key_of(&signed_in.token), signed_in.token);
        let kept = self.0.people.tokens.at(&key, now, settings).ok_or(TokenRefused::NoGrant)?;
        // What ended the parent in this very moment did not see its child yet.
        if self.0.people.tokens.named(code.by, now, settings).is_none() {
            self.end_of_sign_in(&key, &kept, &from).await.map_err(TokenRefused::Refused)?;
            return Err(TokenRefused::NoGrant);
        }
        let by = Caller { sign_in: id, token: key, ..by };
        match self.make_bearer(&by, (&key, &kept), resource, Vec::new()).await {
            Ok(made) => {
                let (refresh, role) = (self.refresh_token(&first, 0), code.role.clone());
                Ok((IssuedTokens { access: made.token, expires_at: made.expires_at, refresh, role }, id))
            }
            Err(refused) => {
                // Nobody has what it could be used with.
                let _unrecorded = self.end_of_sign_in(&key, &kept, &from).await;
                Err(TokenRefused::Refused(refused))
            }
        }
    }

    /// Whether a client may have a token now: nobody is disabled, and policy lets whoever let it in make a credential.
    pub(super) fn check_client(
        &self,
        by: &Caller,
        whose: &PrincipalId,
        at: &ResourceId,
    ) -> Result<(), TokenRefused> {
        if !self.may_let_in_as(&by.principal, whose) {
            return Err(TokenRefused::NoGrant);
        }
        let snapshot = self.snapshot();
        if !self.has_tools(&snapshot, at) {
            return Err(TokenRefused::NoGrant);
        }
        self.may_mint_at(by, at).map_err(TokenRefused::Refused)
    }

    /// Whether a client that `by` lets in may act as `whose`: themselves, or an agent that they own.
    pub(super) fn may_let_in_as(&self, by: &PrincipalId, whose: &PrincipalId) -> bool {
        let snapshot = self.snapshot();
        let is_enabled = |principal| snapshot.book.is_enabled(principal);
        let is_theirs = || by == whose || self.owner_of_agent(whose).as_ref() == Some(by);
        is_enabled(by) && is_enabled(whose) && is_theirs()
    }

    /// Whether this can be asked of the caller. Gives the client, and its challenge.
    fn check_ask(&self, caller: &Caller, ask: &ConsentAsk) -> Result<(Client, [u8; 32]), Refused> {
        self.may_let_in(caller)?;
        let client = self.client(ask.client).filter(|client| client.may_be_brought(&ask.redirect_uri));
        let client = client.ok_or_else(|| {
            Refused::new(RefusedCode::NotFound, "no such client is registered to be brought a code there")
                .hint("begin again in the program that led you here")
        })?;
        let challenge = URL_SAFE_NO_PAD.decode(&ask.challenge).ok().and_then(|bytes| bytes.try_into().ok());
        let challenge =
            challenge.ok_or_else(|| Refused::new(RefusedCode::Invalid, "the client's challenge is none"))?;
        let snapshot = self.snapshot();
        if !self.has_tools(&snapshot, &ask.resource) {
            return Err(countersign_core::Refusal::NoSuchResource(ask.resource.clone()).into());
        }
        self.may_mint_at(caller, &ask.resource)?;
        Ok((client, challenge))
    }

    /// Whether there is such a resource, and clients of tools have something to ask for there: what its server has, or statements.
    fn has_tools(&self, snapshot: &Snapshot, resource: &ResourceId) -> bool {
        let found = snapshot.book.catalogue.resources.get(resource);
        found.is_some_and(|found| found.kind == KIND || self.is_entered_from_inside(&found.kind))
    }

    fn let_in_until(&self, caller: &Caller) -> At {
        let (settings, now) = (&self.0.house.settings, self.now());
        let parent = self.0.people.tokens.named(caller.sign_in, now, settings);
        let at_the_latest = parent.map_or(now, |(_, parent)| parent.ends_at_the_latest(settings));
        now.plus(LET_IN_FOR).min(at_the_latest)
    }

    fn actors(&self, caller: &Caller, resource: &ResourceId) -> Vec<ConsentActor> {
        let own = std::iter::once(caller.principal.clone()).chain(self.agents_of(&caller.principal));
        own.map(|principal| {
            let is_agent = principal != caller.principal;
            ConsentActor { roles: self.live_roles_at(&principal, resource), principal, is_agent }
        })
        .collect()
    }

    fn live_roles_at(&self, principal: &PrincipalId, resource: &ResourceId) -> Vec<(RoleId, At)> {
        let snapshot = self.snapshot();
        let roles = &snapshot.book.catalogue.roles;
        let reaches = |role: &RoleId| roles.get(role).is_some_and(|found| found.resources.contains(resource));
        let mut live = snapshot.book.live_roles(principal, self.now().max(snapshot.at));
        live.retain(|(role, _)| reaches(role));
        // As a session is given one that names none: the newest first.
        live.sort_by_key(|(_, grant)| std::cmp::Reverse((grant.not_before, grant.id)));
        live.into_iter().map(|(role, grant)| (role.clone(), grant.not_after)).collect()
    }

    /// The agents that a user owns and that are not disabled.
    fn agents_of(&self, owner: &PrincipalId) -> Vec<PrincipalId> {
        let snapshot = self.snapshot();
        let all = snapshot.book.catalogue.principals.iter();
        let own = all.filter(
            |(_, found)| matches!(&found.kind, PrincipalKind::Agent { owner: of, .. } if of == owner),
        );
        own.map(|(agent, _)| agent).filter(|agent| snapshot.book.is_enabled(agent)).cloned().collect()
    }

    /// Stores what the chain does not tell of.
    pub(super) async fn store_puts(&self, puts: Vec<Put>) -> Result<(), Refused> {
        let store = std::sync::Arc::clone(&self.0.house.store);
        match tokio::task::spawn_blocking(move || store.put(&puts)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Refused::unavailable()),
        }
    }
}

/// Whoever let a client in, as policy is asked about them when the client comes: by what they proved then, from where it comes.
pub(super) fn caller_for(
    principal: &PrincipalId,
    (key, sign_in): (&[u8; 32], &SignIn),
    from: &SignInClient,
    now: At,
) -> Caller {
    Caller {
        principal: principal.clone(),
        via: from.via,
        source: from.source,
        signed_in_at: sign_in.signed_in_at,
        sign_in: sign_in.id,
        proof: Proof { means: sign_in.means, age: now.since(sign_in.proved_at()) },
        token: *key,
    }
}

fn code_key(code: &str) -> [u8; 32] {
    hash(&[b"countersign/client-code/v1\n", code.as_bytes()]).0
}
