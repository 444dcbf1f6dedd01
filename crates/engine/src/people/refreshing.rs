//! How a client that was let in keeps that going (RFC 6749, section 6; RFC 7009).
//!
//! A token that it shows gives it a new bearer token and the next such token. Each is computed of the first and a key of the
//! house, so none of them is kept. Whoever shows one that had a successor was robbed or is a thief, and the sign-in ends; but for
//! some seconds, in which a client that sent two calls at once, or lost an answer, gets the same successor again.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::{ClientId, ResourceId, Span};
use zeroize::Zeroizing;

use super::consents::caller_for;
use super::tokens::{Kept as SignIn, Turn, client_key_of};
use super::{IssuedTokens, SignInClient, TokenRefused, rows};
use crate::engine::Engine;
use crate::words::Refused;

/// How long a token that has a successor gives the same successor again: for two calls at once, or an answer that was lost.
const AGAIN_FOR: Span = Span::seconds(10);
/// What stands between the two halves of a token by which a client keeps its sign-in going.
const BETWEEN: char = '.';

impl Engine {
    /// Gives a client its next tokens.
    ///
    /// # Errors
    /// [`TokenRefused`]. If the token had a successor, the sign-in has ended.
    pub async fn refresh(
        &self,
        token: &str,
        client: ClientId,
        resource: Option<&ResourceId>,
        from: SignInClient,
    ) -> Result<IssuedTokens, TokenRefused> {
        let _one_after_the_other = self.0.people.consents.redeeming.lock().await;
        let (first, _) = token.split_once(BETWEEN).ok_or(TokenRefused::NoGrant)?;
        let (key, now) = (client_key_of(first), self.now());
        let found = self.0.people.tokens.at(&key, now, &self.0.house.settings);
        let mut kept = found.ok_or(TokenRefused::NoGrant)?;
        let (Some(audience), Some(turn)) = (kept.from.audience.clone(), kept.turn) else {
            return Err(TokenRefused::NoGrant);
        };
        if audience.client != client {
            return Err(TokenRefused::NoGrant);
        }
        if resource.is_some_and(|resource| *resource != audience.resource) {
            return Err(TokenRefused::OtherResource);
        }
        let is = |number: u64| {
            let right = self.refresh_token(first, number);
            verify_slices_are_equal(right.as_bytes(), token.as_bytes()).is_ok()
        };
        let number = if is(turn.number) {
            turn.number.saturating_add(1)
        } else if turn.number > 0 && now < turn.at.plus(AGAIN_FOR) && is(turn.number - 1) {
            turn.number
        } else {
            self.end_stolen("a refresh token", (&kept.principal, kept.id), &from).await;
            return Err(TokenRefused::NoGrant);
        };
        if number != turn.number {
            (kept.turn, kept.seen_at) = (Some(Turn { number, at: now }), now);
        }
        let by = caller_for(&audience.by, (&key, &kept), &from, now);
        self.check_client(&by, &kept.principal, &audience.resource)?;
        let made = self.make_bearer(&by, (&key, &kept), &audience.resource, vec![kept.put(&key)]).await;
        let made = made.map_err(TokenRefused::Refused)?;
        if !self.0.people.tokens.turned(&key, &kept) {
            // It ended meanwhile; what has just been stored of it must not come back with the next start.
            return Err(self.gone(&key).await);
        }
        let refresh = self.refresh_token(first, number);
        Ok(IssuedTokens { access: made.token, expires_at: made.expires_at, refresh, role: audience.role })
    }

    /// Takes out of the store what is not known any more.
    async fn gone(&self, key: &[u8; 32]) -> TokenRefused {
        let (store, over) = (Arc::clone(&self.0.house.store), rows::taken_out(key));
        match tokio::task::spawn_blocking(move || store.put(&over)).await {
            Ok(Ok(())) => TokenRefused::NoGrant,
            Ok(Err(_)) | Err(_) => TokenRefused::Refused(Refused::unavailable()),
        }
    }

    /// Ends the sign-in of a client that gives back a token of either kind. One that is not its own, or is none, is nothing to it
    /// (RFC 7009, section 2.2).
    ///
    /// # Errors
    /// It could not be recorded.
    pub async fn give_back(&self, token: &str, client: ClientId, from: SignInClient) -> Result<(), Refused> {
        let first = token.split_once(BETWEEN).map(|(first, _)| client_key_of(first));
        let key = first.or_else(|| self.sign_in_of_bearer(token));
        let found = key
            .and_then(|key| Some((key, self.0.people.tokens.at(&key, self.now(), &self.0.house.settings)?)));
        let is_its_own =
            |kept: &SignIn| kept.from.audience.as_ref().is_some_and(|audience| audience.client == client);
        match found.filter(|(_, kept)| is_its_own(kept)) {
            Some((key, kept)) => self.end_of_sign_in(&key, &kept, &from).await,
            None => Ok(()),
        }
    }

    /// The token by which a client keeps its sign-in going, of this number.
    pub(super) fn refresh_token(&self, first: &str, number: u64) -> Zeroizing<String> {
        let mac = self.0.house.keyring.mac("refresh", &[first.as_bytes(), &number.to_be_bytes()]);
        Zeroizing::new(format!("{first}{BETWEEN}{}", URL_SAFE_NO_PAD.encode(mac)))
    }
}
