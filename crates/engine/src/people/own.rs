//! What people see and end of sign-ins: their own, and those that policy gives them.

use std::net::IpAddr;
use std::sync::Arc;

use countersign_core::{At, PrincipalId, ResourceId, RoleId, SignInId};

use super::means::MeansSet;
use super::origin::Audience;
use super::tokens::Kept;
use super::{Caller, SignInClient};
use crate::engine::Engine;
use crate::line::Topic;
use crate::words::{Refused, RefusedCode};
use crate::writer::work::Note;

/// A sign-in, for whoever may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInView {
    /// Which.
    pub id: SignInId,
    /// Whose.
    pub principal: PrincipalId,
    /// From where.
    pub address: Option<IpAddr>,
    /// What their program called itself.
    pub program: Option<String>,
    /// Console, command line or another program.
    pub via: &'static str,
    /// By what it was proved.
    pub means: MeansSet,
    /// When.
    pub signed_in_at: At,
    /// When it was used last, to the minute.
    pub seen_at: At,
    /// When it ends unless it is used again before.
    pub ends_at: At,
    /// The sign-in that let it in, if it is a program's.
    pub let_in_by: Option<SignInId>,
    /// Where alone it counts, if it is a client's.
    pub client: Option<ClientView>,
    /// Whether it is the one that asks.
    pub is_this: bool,
}

/// A client that somebody let in, for whoever may see its sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientView {
    /// What it calls itself.
    pub name: String,
    /// The host to which its code was brought.
    pub host: String,
    /// The resource at which alone it counts.
    pub resource: ResourceId,
    /// The one role that it is for, if it is for one.
    pub role: Option<RoleId>,
}

/// A sign-in from a place that was not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPlace {
    /// Which.
    pub sign_in: SignInId,
    /// When.
    pub at: At,
    /// From where.
    pub address: Option<IpAddr>,
    /// What their program called itself.
    pub program: Option<String>,
    /// Whether it can still be ended.
    pub is_live: bool,
}

impl Engine {
    /// The sign-ins of a principal that are live, newest first.
    ///
    /// # Errors
    /// They are neither the caller's nor such as policy lets the caller see.
    pub fn sign_ins(&self, caller: &Caller, of: &PrincipalId) -> Result<Vec<SignInView>, Refused> {
        let is_theirs = self.is_own(caller, of) || self.answers_for(caller, of);
        if !is_theirs && !self.permitted_on(caller, "sign_in.read", of) {
            let message = format!("policy does not permit you to see the sign-ins of `{of}`");
            return Err(Refused::new(RefusedCode::NotPermitted, message));
        }
        let settings = &self.0.house.settings;
        let mut found = self.0.people.tokens.of(of, self.now(), settings);
        found.sort_by_key(|kept| std::cmp::Reverse(kept.signed_in_at));
        Ok(found.into_iter().map(|kept| self.sign_in_view(caller, kept)).collect())
    }

    fn sign_in_view(&self, caller: &Caller, kept: Kept) -> SignInView {
        SignInView {
            is_this: kept.id == caller.sign_in,
            ends_at: kept.ends_at(&self.0.house.settings),
            via: kept.from.via().as_str(),
            let_in_by: kept.from.let_in_by,
            client: kept.from.audience.map(|audience| client_view(*audience)),
            id: kept.id,
            principal: kept.principal,
            address: kept.from.address,
            program: kept.from.program,
            means: kept.means,
            signed_in_at: kept.signed_in_at,
            seen_at: kept.seen_at,
        }
    }

    /// Ends a sign-in: whoever presents its token is a stranger from then on.
    ///
    /// # Errors
    /// There is none of this name that the caller may end, or it could not be recorded.
    pub async fn end_sign_in(&self, caller: &Caller, id: SignInId) -> Result<(), Refused> {
        let (tokens, settings) = (&self.0.people.tokens, &self.0.house.settings);
        let found = tokens.named(id, self.now(), settings);
        let found = found.filter(|(_, kept)| {
            self.is_own(caller, &kept.principal)
                || self.answers_for(caller, &kept.principal)
                || self.permitted_on(caller, "sign_in.end", &kept.principal)
        });
        let (key, kept) = found.ok_or_else(|| {
            let message = format!("there is no sign-in `{id}` that you may end");
            Refused::new(RefusedCode::NotFound, message).hint("it may have ended by itself")
        })?;
        self.end_it(caller, &key, &kept).await
    }

    /// Ends a sign-in that the caller may end.
    pub(super) async fn end_it(&self, caller: &Caller, key: &[u8; 32], kept: &Kept) -> Result<(), Refused> {
        let is_this = kept.id == caller.sign_in;
        let kind = if is_this { "auth.logged_out" } else { "token.revoked" };
        let client = SignInClient { source: caller.source, via: caller.via, user_agent: None };
        let mut note = self.sign_in_note(kind, kept.principal.as_str(), &client);
        note.line.actor = Some(caller.principal.clone());
        note.line.person = self.snapshot().book.person(&caller.principal).cloned();
        note.line.subject = (!is_this).then(|| kept.principal.clone());
        if let Topic::SignIn(line) = &mut note.line.data {
            line.sign_in = Some(kept.id);
        }
        self.forget(key, note).await?;
        if kept.from.job.is_some() {
            self.end_jobs().await;
        }
        if is_this {
            return Ok(());
        }
        // Whoever had it may have let in programs by it.
        for (key, kept) in self.0.people.tokens.let_in_by(kept.id) {
            self.end_of_sign_in(&key, &kept, &client).await?;
        }
        Ok(())
    }

    /// Ends a sign-in without anybody's word, because what it stands on has ended.
    pub(super) async fn end_of_sign_in(
        &self,
        key: &[u8; 32],
        kept: &Kept,
        client: &SignInClient,
    ) -> Result<(), Refused> {
        let mut note = self.sign_in_note("token.revoked", kept.principal.as_str(), client);
        note.line.subject = Some(kept.principal.clone());
        if let Topic::SignIn(line) = &mut note.line.data {
            line.sign_in = Some(kept.id);
            line.let_in_by = kept.from.let_in_by;
        }
        self.forget(key, note).await
    }

    /// Forgets a token, with the line about it. Also where that can't be written the token opens nothing any more.
    pub(super) async fn forget(&self, key: &[u8; 32], mut note: Note) -> Result<(), Refused> {
        let taken_out = self.0.people.tokens.remove(key);
        note.puts.extend_from_slice(&taken_out);
        let noted = self.note(note).await;
        if noted.is_err() && !taken_out.is_empty() {
            // The token is forgotten here; it must not come back with the next start either.
            let store = Arc::clone(&self.0.house.store);
            tokio::task::spawn_blocking(move || {
                store.put(&taken_out).map_err(|error| tracing::error!(%error))
            });
        }
        noted.map(|_| ())
    }

    /// Ends the sign-in that asks.
    pub async fn sign_out(&self, caller: &Caller) {
        if self.end_sign_in(caller, caller.sign_in).await.is_err() {
            tracing::warn!("the end of a sign-in could not be recorded");
        }
    }

    /// Sign-ins from new places that the caller has not been told of. The one that asks is not among them: whoever
    /// signed in from elsewhere cannot hide it.
    #[must_use]
    pub fn new_places(&self, caller: &Caller) -> Vec<NewPlace> {
        let (settings, now, tokens) = (&self.0.house.settings, self.now(), &self.0.people.tokens);
        let news = self.0.people.places.news(&caller.principal, caller.sign_in).into_iter();
        news.map(|news| NewPlace {
            sign_in: news.sign_in,
            at: news.at,
            is_live: tokens.named(news.sign_in, now, settings).is_some(),
            address: news.from.address,
            program: news.from.program,
        })
        .collect()
    }

    /// The caller was told of a sign-in from a new place, and knows it.
    ///
    /// # Errors
    /// There is no such news in this sign-in, or it could not be stored.
    pub async fn know_place(&self, caller: &Caller, sign_in: SignInId) -> Result<(), Refused> {
        let house = Arc::clone(&self.0.house);
        let put = self.0.people.places.told(&house, &caller.principal, (sign_in, caller.sign_in));
        let put = put.ok_or_else(|| {
            let message = format!("there is nothing to be told of sign-in `{sign_in}` here");
            Refused::new(RefusedCode::NotFound, message).hint("another sign-in of yours has to confirm it")
        })?;
        let stored = tokio::task::spawn_blocking(move || house.store.put(&[put])).await;
        match stored {
            Ok(Ok(())) => Ok(()),
            _ => Err(Refused::unavailable()),
        }
    }

    /// Whether `principal` is the caller, or another account of the person who calls. What a service or an agent does
    /// is not its owner's.
    pub(super) fn is_own(&self, caller: &Caller, principal: &PrincipalId) -> bool {
        if caller.principal == *principal {
            return true;
        }
        let snapshot = self.snapshot();
        let user = |id: &PrincipalId| {
            snapshot
                .book
                .catalogue
                .principals
                .get(id)
                .filter(|found| found.is_user())
                .map(|found| &found.person)
        };
        user(&caller.principal).is_some_and(|person| user(principal) == Some(person))
    }
}

fn client_view(audience: Audience) -> ClientView {
    let Audience { name, host, resource, role, .. } = audience;
    ClientView { name, host, resource, role }
}
