//! Asking for a role from the connection itself: a client that may not enter asks at the door, and may wait there.
//!
//! The question is the same as anywhere: policy rules on `access.request`, and sees that it came by the door (`via`). What is
//! special is only that nobody is signed in: a credential proves who it is, and nothing more can be done with it here than to
//! ask for oneself and to give up what was asked.

use countersign_core::request::{Ask, Command as RequestCommand, State, Withdrawal};
use countersign_core::{At, Command, PrincipalId, RequestId, ResourceId, RoleId, Span};
use tokio::sync::watch;

use super::AskAccess;
use crate::action::Client;
use crate::action::hold::{Answer, answered};
use crate::engine::Engine;
use crate::snapshot::Changed;
use crate::words::{Refused, request_link};
use crate::writer::work::{Deed, Entrance, From};

/// A request for a role, and whoever stands at the door with it.
#[derive(Debug)]
pub struct AtDoor {
    engine: Engine,
    changed: watch::Receiver<Changed>,
    id: RequestId,
    from: From,
    own: bool,
    lapses_at: At,
    asked: String,
}

/// A role that reaches a resource, as whoever stands at its door knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAtDoor {
    /// Which.
    pub id: RoleId,
    /// What people call it.
    pub title: String,
    /// What it permits.
    pub actions: Vec<String>,
    /// For how long it can be asked for at most.
    pub longest: Span,
    /// Until when it is held, if it is.
    pub held_until: Option<At>,
    /// Where it waits for an answer, if it was asked for.
    pub asked: Option<String>,
}

impl Engine {
    /// Asks for a role for somebody who has proved at a door who they are, or finds what they have asked for already.
    ///
    /// # Errors
    /// The house said no.
    pub async fn ask_at_door(
        &self,
        principal: &PrincipalId,
        (door, client): (&'static str, &Client),
        ask: AskAccess,
    ) -> Result<AtDoor, Refused> {
        let from = Entrance::at_door(door, client).at(self.now());
        let changed = self.changed();
        let (id, own) = match self.asked_before(principal, &ask.role) {
            Some(id) => (id, false),
            None => (self.ask_from(principal, from, ask).await?, true),
        };
        let (lapses_at, asked, _) = self.asked_words(id);
        Ok(AtDoor { engine: self.clone(), changed, id, from, own, lapses_at, asked })
    }

    /// The roles that reach a resource and that somebody who has proved at a door who they are holds, or may ask for, by name.
    #[must_use]
    pub fn roles_at_door(&self, principal: &PrincipalId, resource: &ResourceId) -> Vec<RoleAtDoor> {
        let snapshot = self.snapshot();
        let now = self.now().max(snapshot.at);
        let roles = &snapshot.book.catalogue.roles;
        let reaching = roles.iter().filter(|(_, role)| role.resources.contains(resource));
        let known = reaching.filter_map(|(id, role)| {
            let held_until = snapshot.book.live_grant(principal, id, now).map(|grant| grant.not_after);
            let asked = self.asked_before(principal, id);
            if held_until.is_none() && asked.is_none() && !self.may_ask(&snapshot, principal, id) {
                return None;
            }
            Some(RoleAtDoor {
                id: id.clone(),
                title: role.title.clone(),
                actions: role.actions.iter().map(ToString::to_string).collect(),
                longest: role.longest,
                held_until,
                asked: asked.map(|id| request_link(&self.0.house.settings.console_url, id)),
            })
        });
        known.collect()
    }

    /// A request of this principal for this role that waits for its answer.
    fn asked_before(&self, principal: &PrincipalId, role: &RoleId) -> Option<RequestId> {
        let snapshot = self.snapshot();
        let mut requests = snapshot.book.requests().rev();
        let same = requests.find(|one| {
            let for_it = matches!(&one.ask, Ask::Access { role: wanted, .. } if wanted == role);
            for_it && one.by == *principal && one.state == State::Pending
        });
        same.map(|found| found.id)
    }
}

impl AtDoor {
    /// Which request.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Whether it was asked just now, and not before.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.own
    }

    /// When it lapses if nobody answers.
    #[must_use]
    pub fn lapses_at(&self) -> At {
        self.lapses_at
    }

    /// Who is asked: `group:dba (bob)`.
    #[must_use]
    pub fn asked(&self) -> &str {
        &self.asked
    }

    /// The console's page where it is answered.
    #[must_use]
    pub fn link(&self) -> String {
        request_link(&self.engine.0.house.settings.console_url, self.id)
    }

    /// Resolves once there is an answer, or at this instant of the engine's clock: then nothing. Can be asked again, and be
    /// dropped while it waits.
    pub async fn answer_by(&mut self, at: At) -> Option<Answer> {
        let over = self.engine.0.house.ports.clock.sleep_until(at);
        let (engine, id, changed) = (&self.engine, self.id, &mut self.changed);
        let answer = async {
            loop {
                changed.borrow_and_update();
                if let Some(answer) = answered(engine, id) {
                    return answer;
                }
                if changed.changed().await.is_err() {
                    return Answer::Withdrawn(Withdrawal::SessionEnded);
                }
            }
        };
        tokio::select! {
            biased;
            answer = answer => Some(answer),
            () = over => None,
        }
    }

    /// Gives up what was asked here; what was asked before and elsewhere goes on.
    pub async fn withdraw(self, why: Withdrawal) {
        if self.own {
            let withdraw = Command::Request(RequestCommand::Withdraw { request: self.id, why });
            // It may have been answered meanwhile.
            let _decided = self.engine.deed(Deed::new(withdraw, self.from)).await;
        }
    }
}
