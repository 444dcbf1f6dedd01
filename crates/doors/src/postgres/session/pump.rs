//! Driving both connections: whatever is ready is done, in one poll, by one task.
//!
//! The order matters. What was said is written first; then a cut is felt, a record becomes durable, a cancel is heeded;
//! then the server is read, and last the client. Neither is read while the other side cannot take what it said.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use countersign_core::session::Ending;
use countersign_engine::{Ran, Unrecorded};
use countersign_wire::postgres::encode::{Report, client};

use super::super::wording;
use super::{End, Session};

/// How much may lie ready for a client that does not read, withheld answers included, in bytes. Beyond, the server is
/// not read.
pub(super) const ANSWERS_BYTES_MAX: usize = 1024 * 1024;
/// How much may lie ready for a server that does not read, in bytes. Beyond, the client is not read.
pub(super) const FORWARD_BYTES_MAX: usize = 512 * 1024;
/// How much of what a client says is kept while something else is waited for, in bytes. A message that is longer is
/// read to its end.
pub(super) const AHEAD_BYTES_MAX: usize = 256 * 1024;

/// What happened.
enum Happening {
    Cut(Ending),
    Durable(Result<Ran, Unrecorded>),
    Interrupted,
    /// An action has worked for as long as it may.
    Due,
    /// The server was asked to cancel.
    Asked,
    Server(io::Result<usize>),
    Client(io::Result<usize>),
    Lost(io::Error, Side),
}

#[derive(Clone, Copy)]
enum Side {
    Client,
    Server,
}

impl Session {
    /// One thing happens: waits for it, and does what follows.
    pub(super) async fn turn(&mut self) -> Result<(), End> {
        let happening = poll_fn(|cx| self.poll(cx)).await;
        self.follow(happening).await
    }

    /// Drives both connections until `work` is done. Work that is large and rare is given in a box: what it takes would otherwise be
    /// taken by every session, all the time.
    pub(super) async fn drive<W: Future>(&mut self, work: W) -> Result<W::Output, End> {
        let mut work = std::pin::pin!(work);
        loop {
            let step = poll_fn(|cx| match work.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Ok(output)),
                Poll::Pending => self.poll(cx).map(Err),
            });
            match step.await {
                Ok(output) => return Ok(output),
                Err(happening) => self.follow(happening).await?,
            }
        }
    }

    /// As [`Session::drive`], but gives up when that is wanted (`None`), or the client leaves.
    pub(super) async fn attend_unless<W: Future>(
        &mut self,
        work: W,
        given_up: impl Fn(&mut Self) -> bool,
    ) -> Result<Option<W::Output>, End> {
        let mut work = std::pin::pin!(work);
        loop {
            if given_up(self) {
                return Ok(None);
            }
            if self.client.is_eof() {
                return Err(End::Client);
            }
            let step = poll_fn(|cx| match work.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Ok(output)),
                Poll::Pending => self.poll(cx).map(Err),
            });
            match step.await {
                Ok(output) => return Ok(Some(output)),
                Err(happening) => self.follow(happening).await?,
            }
        }
    }

    /// Drives both connections until `done`, the time is over (`false`), or one of them is.
    pub(super) async fn until(&mut self, limit_ms: u64, done: impl Fn(&Self) -> bool) -> Result<bool, End> {
        let mut limit = std::pin::pin!(tokio::time::sleep(Duration::from_millis(limit_ms)));
        while !done(self) {
            let step = poll_fn(|cx| match limit.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => self.poll(cx).map(Some),
            });
            match step.await {
                None => return Ok(false),
                Some(happening) => self.follow(happening).await?,
            }
        }
        Ok(true)
    }

    /// Waits until everything that was sent is answered, asking the server to hold nothing back.
    pub(super) async fn settle(&mut self) -> Result<(), End> {
        while self.tracker.pending() > 0 {
            self.ask_for_answers();
            self.turn().await?;
        }
        Ok(())
    }

    /// Asks the server to hold nothing back.
    pub(super) fn ask_for_answers(&mut self) {
        if self.batch_open && !self.flushed {
            client::flush(&mut self.server.output);
            self.flushed = true;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Happening> {
        let rung = self.bell.has_rung(cx);
        if rung && let Some(cut) = self.feels_cut() {
            return Poll::Ready(cut);
        }
        if let Poll::Ready(result) = self.acts.poll_durable(cx) {
            if rung {
                self.bell.again();
            }
            return Poll::Ready(Happening::Durable(result));
        }
        if rung && self.heeds_cancel() {
            return Poll::Ready(Happening::Interrupted);
        }
        self.watch_time();
        if self.due_at.is_some() && self.due.poll(cx).is_ready() {
            return Poll::Ready(Happening::Due);
        }
        if self.server.has_output()
            && let Poll::Ready(Err(error)) = self.server.poll_drain(cx)
        {
            return Poll::Ready(Happening::Lost(error, Side::Server));
        }
        if self.client.has_output()
            && let Poll::Ready(Err(error)) = self.client.poll_drain(cx)
        {
            return Poll::Ready(Happening::Lost(error, Side::Client));
        }
        if self.poll_cancelling(cx).is_ready() {
            return Poll::Ready(Happening::Asked);
        }
        let ready = self.client.output.len() + self.acts.withheld_bytes();
        if ready < ANSWERS_BYTES_MAX
            && let Poll::Ready(read) = self.server.poll_fill(cx)
        {
            return Poll::Ready(Happening::Server(read));
        }
        if self.wants_client()
            && let Poll::Ready(read) = self.client.poll_fill(cx)
        {
            return Poll::Ready(Happening::Client(read));
        }
        Poll::Pending
    }

    /// Whether the ground of the session is gone. Asked when the bell has rung.
    fn feels_cut(&mut self) -> Option<Happening> {
        let waker = Waker::from(Arc::clone(&self.bell));
        match self.ended.poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(ending) => {
                self.bell.again();
                Some(Happening::Cut(ending))
            }
            Poll::Pending => None,
        }
    }

    /// Whether the client asks to cancel. Asked when the bell has rung.
    fn heeds_cancel(&mut self) -> bool {
        let waker = Waker::from(Arc::clone(&self.bell));
        let asked = self.interrupted.poll(&mut Context::from_waker(&waker)).is_ready();
        if asked {
            self.bell.again();
        }
        asked
    }

    fn wants_client(&self) -> bool {
        !self.client.is_eof()
            && !self.muted
            && self.server.output.len() < FORWARD_BYTES_MAX
            && (self.client.input.len() < AHEAD_BYTES_MAX || self.client_needs_more())
    }

    async fn follow(&mut self, happening: Happening) -> Result<(), End> {
        match happening {
            Happening::Cut(ending) => return Err(End::Cut(ending)),
            Happening::Durable(Ok(ran)) => self.acts.release(ran, &mut self.client.output),
            Happening::Durable(Err(Unrecorded::Stale)) => self.judge_again().await?,
            Happening::Durable(Err(error)) => {
                tracing::error!(session = %self.me.id(), error = %error, "a read could not be recorded");
                return Err(End::Unrecorded);
            }
            Happening::Interrupted => {
                self.interrupt();
                if self.acts.is_put_off() {
                    return Err(End::Broken(Box::new(given_up())));
                }
            }
            Happening::Due => self.keep_time()?,
            Happening::Asked => {}
            Happening::Server(Ok(0)) => return Err(End::Server),
            Happening::Server(Ok(_)) => self.answers()?,
            Happening::Client(Ok(_)) => {}
            Happening::Server(Err(error)) | Happening::Lost(error, Side::Server) => {
                tracing::warn!(session = %self.me.id(), error = %error, "the connection to the server failed");
                return Err(End::Server);
            }
            Happening::Client(Err(_)) | Happening::Lost(_, Side::Client) => return Err(End::Client),
        }
        self.report_outcomes().await;
        Ok(())
    }

    /// Tells the engine how actions ended, in order, and what became of transactions whose actions were told of before. Waits if the ledger's queue is full: outcomes are never dropped.
    pub(super) async fn report_outcomes(&mut self) {
        while let Some((ran, completion, told)) = self.acts.next_done() {
            match told {
                true => self.shared.engine.completed_within(&ran, &completion),
                false => self.shared.engine.completed(ran, completion).await,
            }
        }
        while let Some((used, fate)) = self.transactions.next_concluded() {
            self.shared.engine.concluded(used, fate).await;
        }
    }
}

/// What was read can't be recorded before its session goes on, so that nothing of the answer may be shown: whoever does not
/// want to wait for that goes.
fn given_up() -> Report {
    wording::fatal(wording::CANCELED, "canceling statement due to user request")
        .detail("this session is paused, and what was read of it was not recorded; nothing of the answer is shown")
        .hint("connect again")
}
