//! What upstream accounts may do beyond what their roles promise, and which relations and columns of the bundle do not
//! exist: asked of the doors, told by them, read by everybody.
//!
//! The judgement of statements can err, and then the server's own refusal is what is left. So a role that promises reads
//! should run under an account that can write nothing. Doors know how to ask a server; they read back when a bundle
//! comes into force and whenever somebody asks ([`Engine::read_back_accounts`]). Nothing here decides anything: an account
//! that can do more is shown, and no session is refused for it. It is of this moment and not part of the book.

use std::sync::Arc;
use std::time::Duration;

use countersign_core::{At, ResourceId, RoleId};
use tokio::sync::watch;

use crate::engine::Engine;

/// How long whoever asks waits for the doors, in seconds.
const ANSWER_S_MAX: u64 = 15;

/// What a role's account was found to be able to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFinding {
    /// The role that names the account.
    pub role: RoleId,
    /// The resource on which it was looked at.
    pub resource: ResourceId,
    /// The account.
    pub account: String,
    /// Each thing that it may do beyond the role, in words; or why nobody knows.
    pub beyond: Result<Vec<String>, String>,
}

/// What a bundle says of the inside of a resource and the resource does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationFinding {
    /// The resource.
    pub resource: ResourceId,
    /// What is wrong, in words: each name that is not there, or why nobody knows.
    pub missing: Result<Vec<String>, String>,
}

/// What was found, and when.
#[derive(Clone, Debug)]
pub struct AccountsRead {
    /// When the doors began to ask.
    pub at: At,
    /// Only what somebody should look at: accounts that can do more, and those that could not be asked.
    pub found: Vec<AccountFinding>,
    /// Relations and columns that the bundle names and that are not there.
    pub relations: Vec<RelationFinding>,
}

/// Where doors and askers meet.
#[derive(Debug)]
pub(crate) struct Board {
    asked: watch::Sender<u64>,
    told: watch::Sender<(u64, Option<Arc<AccountsRead>>)>,
}

impl Default for Board {
    fn default() -> Self {
        Self { asked: watch::Sender::new(0), told: watch::Sender::new((0, None)) }
    }
}

impl Engine {
    /// What was read back last, if anything was yet.
    #[must_use]
    pub fn accounts(&self) -> Option<Arc<AccountsRead>> {
        self.0.accounts.told.borrow().1.clone()
    }

    /// Asks the doors now, and waits for them a while. `None`: nobody answered in time.
    pub async fn read_back_accounts(&self) -> Option<Arc<AccountsRead>> {
        let mut told = self.0.accounts.told.subscribe();
        let mut mine = 0;
        self.0.accounts.asked.send_modify(|asked| {
            *asked += 1;
            mine = *asked;
        });
        let answered = told.wait_for(|(answers, _)| *answers >= mine);
        let answer = tokio::time::timeout(Duration::from_secs(ANSWER_S_MAX), answered).await;
        answer.ok()?.ok()?.1.clone()
    }

    /// For doors: each change of the number is a wish to read back.
    #[must_use]
    pub fn account_wishes(&self) -> watch::Receiver<u64> {
        self.0.accounts.asked.subscribe()
    }

    /// For doors: the answer to every wish up to this number.
    pub fn tell_accounts(&self, answers: u64, read: AccountsRead) {
        self.0.accounts.told.send_replace((answers, Some(Arc::new(read))));
    }
}
