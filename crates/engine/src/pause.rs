//! Paused sessions: who paused one, and when it goes on.
//!
//! A pause is a decision like any other. From its line on nothing of that session is recorded as begun, whatever it was
//! judged before ([`crate::writer`]), and nothing is judged ([`Judgement::Paused`](crate::Judgement)); so whoever forgot to
//! wait here could forward nothing.

use countersign_core::session::Pause;
use countersign_core::{At, PrincipalId};

use crate::engine::Engine;
use crate::index::session_key;
use crate::session::Session;

/// That a session is paused, as whoever waits in it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paused {
    /// Who paused it.
    pub by: PrincipalId,
    /// Since when.
    pub at: At,
    /// Why, in their words; nothing where these are not kept any more.
    pub reason: Option<String>,
}

impl Engine {
    /// Whether a session is paused.
    #[must_use]
    pub fn paused(&self, session: &Session) -> Option<Paused> {
        let Pause { by, at, reason } = self.pause_of(session)?;
        let reason = self.words_at(&session_key(session.id()), reason);
        Some(Paused { by, at, reason })
    }

    /// Whether a session is paused, without the words.
    #[must_use]
    pub fn is_paused(&self, session: &Session) -> bool {
        let snapshot = self.0.hall.snapshot.load();
        snapshot.book.session(session.id()).is_some_and(|found| found.paused.is_some())
    }

    /// Resolves when a session is not paused (any more), or is to be cut. Can be dropped while it waits.
    pub async fn resumed(&self, session: &Session) {
        let mut changed = self.changed();
        let resumed = async { while self.is_paused(session) && changed.changed().await.is_ok() {} };
        tokio::select! {
            () = resumed => {}
            _ = session.ended() => {}
        }
    }

    /// As [`Engine::resumed`], but not beyond this instant of the engine's clock.
    pub async fn resumed_by(&self, session: &Session, at: At) {
        tokio::select! {
            () = self.resumed(session) => {}
            () = self.sleep_until(at) => {}
        }
    }

    fn pause_of(&self, session: &Session) -> Option<Pause> {
        self.snapshot().book.session(session.id())?.paused.clone()
    }
}
