//! Trying an account of a database before anything of it is kept: asked of the door that speaks its protocol.

use std::time::Duration;

use countersign_core::catalogue::{Resource, Role};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::Account;
use crate::engine::Engine;
use crate::words::{Refused, RefusedCode};

/// How many may wait for a door.
const WAITING_MAX: usize = 4;

/// How long a door may take, in seconds: two accounts are tried within one call.
const ANSWER_S_MAX: u64 = 12;

/// What was found at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Which account was let in.
    pub account: String,
    /// The server's version, as it says itself.
    pub server: String,
    /// What it may do there beyond what people are to do under it, in words.
    pub beyond: Vec<String>,
}

/// An account that somebody wants tried.
#[derive(Debug)]
pub struct Wish {
    /// Where it is.
    pub resource: Resource,
    /// What people are to do under the account, which it names.
    pub role: Role,
    /// The account's password.
    pub password: Zeroizing<String>,
    answer: oneshot::Sender<Result<Reached, String>>,
}

impl Wish {
    /// Answers it: what was found, or why nothing was.
    pub fn answer(self, reached: Result<Reached, String>) {
        // Whoever asked may have given up.
        let _gone = self.answer.send(reached);
    }
}

impl Engine {
    /// For doors: the accounts to try on resources of this kind, until the receiver is dropped.
    #[must_use]
    pub fn trying_wishes(&self, kind: &str) -> mpsc::Receiver<Wish> {
        self.0.trying.serve(kind, WAITING_MAX)
    }

    /// Has a door try an account, under which people are to hold this role.
    pub(super) async fn try_account(
        &self,
        resource: &Resource,
        role: &Role,
        account: &Account,
    ) -> Result<Reached, Refused> {
        let closed = || {
            Refused::new(RefusedCode::Unavailable, "the door is not open yet").hint("try again in a moment")
        };
        let door = self.0.trying.door(&resource.kind).ok_or_else(closed)?;
        let (answer, answered) = oneshot::channel();
        let password = account.password.clone();
        let wish = Wish { resource: resource.clone(), role: role.clone(), password, answer };
        let asked = async {
            door.send(wish).await.map_err(|_| closed())?;
            answered.await.map_err(|_| closed())
        };
        let reached = tokio::time::timeout(Duration::from_secs(ANSWER_S_MAX), asked).await;
        let reached = reached.unwrap_or_else(|_| Ok(Err("it took too long".into())))?;
        reached.map_err(|why| {
            let message = format!("the database was not reached as `{}`: {why}", account.name);
            Refused::new(RefusedCode::Invalid, message).hint("nothing was kept; correct it and try again")
        })
    }
}
