//! The end of a session, in good order: what runs is cancelled, what is known of it is recorded, the client is told why.
//!
//! A cut is: nothing new, cancel what runs, after a second terminate the server's backend (a function that catches the
//! cancel survives it), read back that the backend is gone, and then the client's FATAL. Undoing is the server's: it rolls
//! back what was not committed.

use std::future::poll_fn;
use std::time::Duration;

use countersign_core::grant::State;
use countersign_core::session::Ending;
use countersign_wire::postgres::TransactionStatus;
use countersign_wire::postgres::encode::{Report, client as to_server};

use super::super::query::{QueryError, simple};
use super::super::stream::Link;
use super::super::upstream::{self, Credentials, Login};
use super::super::wording;
use super::{End, Session};

/// How long a cancelled statement may take to end before its backend is terminated, in milliseconds.
const CANCEL_MS_MAX: u64 = 1_000;
/// How long terminating and reading back may take, in milliseconds.
const TERMINATE_MS_MAX: u64 = 2_000;
/// How long what a client left behind may go on running, in milliseconds: whoever sends a statement and hangs up expects
/// it to be done.
const LEFT_MS_MAX: u64 = 10_000;
/// How long a client may take to read the last words, in milliseconds.
const LAST_WORDS_MS_MAX: u64 = 1_000;
/// How long records that are on their way are waited for at the end, in milliseconds.
const RECORDS_MS_MAX: u64 = 5_000;
/// How often the server is asked whether a backend is gone, in milliseconds.
const GONE_POLL_MS: u64 = 20;

/// What became of what a client left behind.
enum Left {
    /// It goes on.
    Running,
    /// The server has closed.
    Closed,
    /// The ground it stood on is gone.
    Cut(Ending),
}

impl Session {
    /// Ends the session.
    pub(super) async fn finish(mut self, end: End) {
        self.deferred = None;
        let end = match end {
            // What runs on stands on a grant like everything else.
            End::Client => self.leave().await,
            other => other,
        };
        // A cut has been felt, or something else was first: neither is asked about again.
        self.ended.set(std::future::pending());
        let (ending, last_words) = match end {
            End::Client => (Ending::User, None),
            End::Server if self.tracker.has_ended() => (Ending::Upstream, None),
            End::Server => {
                let report = wording::fatal(wording::NO_SERVER, "the connection to the server was lost")
                    .detail(
                        "what was not committed is rolled back; what was being committed may or may not be",
                    );
                (Ending::Upstream, Some(report))
            }
            End::Cut(ending) => {
                let detail = self.cut().await;
                (ending, Some(self.cut_words(ending).detail(detail)))
            }
            End::Broken(report) => {
                self.cut().await;
                (Ending::Error, Some(*report))
            }
            End::Unrecorded => {
                self.cut().await;
                let report = wording::fatal(
                    wording::UNAVAILABLE,
                    "the answer could not be recorded, so it is not released",
                )
                .hint("connect again in a moment; the gateway's health says more");
                (Ending::Error, Some(report))
            }
        };
        self.account_for_everything().await;
        self.last_words(last_words.as_ref()).await;
        self.shared.engine.close_session(&self.me, ending).await;
    }

    /// The client has gone: the server is told, and what was on its way is given time to end, unless it is cut. One that has
    /// only closed its own direction still reads what comes.
    async fn leave(&mut self) -> End {
        if !self.client.is_eof() {
            self.mute();
        }
        to_server::terminate(&mut self.server.output);
        let mut left = self.until_server_closes(LEFT_MS_MAX).await;
        if matches!(left, Left::Running) {
            self.cancel_upstream().await;
            left = self.until_server_closes(CANCEL_MS_MAX).await;
        }
        match left {
            Left::Cut(ending) => End::Cut(ending),
            Left::Running | Left::Closed => {
                self.server.close().await;
                End::Client
            }
        }
    }

    /// Stops whatever goes on at the server, and says what became of it.
    async fn cut(&mut self) -> String {
        let running = self.tracker.pending() > 0;
        self.mute();
        if running {
            self.cancel_upstream().await;
            // Whatever goes wrong now is seen by what is still owed.
            let _ = self.until(CANCEL_MS_MAX, |session| session.tracker.pending() == 0).await;
        }
        let survived = self.tracker.pending() > 0;
        let completed = running && !survived && self.acts.last_was_done();
        let in_transaction = self.tracker.status() != TransactionStatus::Idle || self.batch_open;
        to_server::terminate(&mut self.server.output);
        let _ = tokio::time::timeout(Duration::from_millis(GONE_POLL_MS), self.server.close()).await;
        let limit = Duration::from_millis(TERMINATE_MS_MAX);
        let gone = tokio::time::timeout(limit, self.see_gone(survived)).await.unwrap_or(false);
        if !gone {
            tracing::error!(session = %self.me.id(), process = self.cancel_key.process,
                "the server's backend could not be seen to be gone");
        }
        if self.committing {
            return "the running statement was being committed, and may or may not have been".to_owned();
        }
        match (running, survived, completed, in_transaction) {
            (true, true, ..) => "the running statement was terminated and is rolled back",
            (true, false, true, true) => {
                "the running statement had ended; its open transaction is rolled back"
            }
            (true, false, true, false) => "the running statement had completed before it could be cancelled",
            (true, ..) => "the running statement was cancelled and is rolled back",
            (false, _, _, true) => "the open transaction is rolled back",
            (false, ..) => "nothing was running",
        }
        .to_owned()
    }

    async fn cancel_upstream(&self) {
        let limit = Duration::from_millis(CANCEL_MS_MAX);
        let cancel = upstream::cancel(&self.target.address, &self.place, &self.cancel_key);
        if !matches!(tokio::time::timeout(limit, cancel).await, Ok(Ok(()))) {
            tracing::warn!(session = %self.me.id(), "the cancel request did not reach the server");
        }
    }

    /// Takes in answers until the server has closed.
    async fn until_server_closes(&mut self, limit_ms: u64) -> Left {
        loop {
            match self.until(limit_ms, |_| false).await {
                Ok(_) => return Left::Running,
                // The client is gone anyway: what could not be written to it is of no interest.
                Err(End::Client) => {
                    self.client.abandon();
                    self.mute();
                }
                Err(End::Cut(ending)) => return Left::Cut(ending),
                Err(_) => return Left::Closed,
            }
        }
    }

    /// Sees to it that the server's backend is gone: over a look connection, or else from a connection of the same
    /// account, which may end its own.
    async fn see_gone(&self, terminate: bool) -> bool {
        let process = self.cancel_key.process;
        let looked = self
            .target
            .look_at(&self.shared, &self.place, async |link| gone(link, process, terminate).await)
            .await;
        if matches!(looked, Ok(true)) {
            return true;
        }
        let account = self.me.account();
        let Ok(credentials) = Credentials::of(&self.shared, &self.target.resource, account) else {
            return false;
        };
        let settings = [("search_path".to_owned(), "pg_catalog".to_owned())];
        let login = Login {
            account,
            credentials: &credentials,
            application: "countersign cut",
            settings: &settings,
            read_bytes_max: usize::MAX,
        };
        let nonces = || self.shared.nonce();
        let connected = upstream::connect_at(&self.target.address, &self.place, &login, &nonces).await;
        let Ok(mut connected) = connected else { return false };
        let seen = gone(&mut connected.link, process, terminate).await.unwrap_or(false);
        to_server::terminate(&mut connected.link.output);
        connected.link.close().await;
        seen
    }

    /// What can be known of every action that is on its way is known now; records that are on their way arrive.
    async fn account_for_everything(&mut self) {
        let now = self.now();
        let was_quiet = self.tracker.pending() == 0;
        self.transactions.end(was_quiet, &mut self.acts);
        self.acts.end_all(now);
        let records = async {
            // What waits for its session to go on waits for nothing any more.
            while self.acts.has_gates() && !self.acts.is_put_off() {
                match poll_fn(|cx| self.acts.poll_durable(cx)).await {
                    Ok(ran) if self.muted => self.acts.settle(ran),
                    // The server has gone, and what it had answered before is the client's.
                    Ok(ran) => self.acts.release(ran, &mut self.client.output),
                    Err(_) => return,
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(RECORDS_MS_MAX), records).await;
        self.report_outcomes().await;
    }

    /// Says the last words, if there are any, behind what is still to be written, and closes in good order.
    async fn last_words(&mut self, report: Option<&Report>) {
        // In the middle of a long row nothing can be said any more.
        if let Some(report) =
            report.filter(|_| self.server_frames.at_boundary() || self.long_answer.is_none())
        {
            let _ = report.encode(&mut self.client.output);
        }
        let limit = Duration::from_millis(LAST_WORDS_MS_MAX);
        let _ = tokio::time::timeout(limit, self.client.close()).await;
    }

    fn mute(&mut self) {
        self.muted = true;
    }

    fn cut_words(&self, ending: Ending) -> Report {
        let role = self.me.role();
        let by = self.revoker().map(|by| format!(" by `{by}`")).unwrap_or_default();
        let message = match ending {
            Ending::GrantEnd => format!("your grant of role `{role}` is over"),
            Ending::Revoked => format!("your grant of role `{role}` was revoked{by}"),
            Ending::Disabled => "your account was disabled".to_owned(),
            Ending::Policy => format!("policy no longer lets role `{role}` reach `{}`", self.me.resource()),
            Ending::Kill => "this session was ended by somebody".to_owned(),
            Ending::Gateway => "the gateway is stopping".to_owned(),
            Ending::User | Ending::Idle | Ending::Limit | Ending::Upstream | Ending::Error => {
                "this session is over".to_owned()
            }
        };
        let report = wording::fatal(wording::ENDED, message);
        match ending {
            Ending::GrantEnd | Ending::Revoked => {
                report.hint(format!("ask again: countersign request {role} --for 30m --reason \"...\""))
            }
            Ending::Gateway => report.hint("connect again when it is back"),
            _ => report,
        }
    }

    fn revoker(&self) -> Option<String> {
        let snapshot = self.shared.engine.snapshot();
        let principal = self.me.principal();
        let revoked = snapshot
            .book
            .grants()
            .filter(|grant| grant.principal == *principal && grant.role == *self.me.role());
        let last = revoked.filter_map(|grant| match &grant.state {
            State::Revoked { at, by, .. } => Some((*at, by.to_string())),
            _ => None,
        });
        last.max().map(|(_, by)| by)
    }
}

/// Terminates a backend if asked to, and waits until it is gone. False: it may not be terminated from here.
async fn gone(link: &mut Link, process: u32, terminate: bool) -> Result<bool, QueryError> {
    if terminate {
        let text = format!("SELECT pg_terminate_backend({process})");
        match simple(link, &text).await {
            Ok(_) => {}
            Err(QueryError::Server { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    let text = format!("SELECT 1 FROM pg_stat_activity WHERE pid = {process}");
    while !simple(link, &text).await?.is_empty() {
        tokio::time::sleep(Duration::from_millis(GONE_POLL_MS)).await;
    }
    Ok(true)
}
