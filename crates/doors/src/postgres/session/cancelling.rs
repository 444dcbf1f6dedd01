//! Cancelling: what a client asks to cancel is what it has sent by then, and nothing later.
//!
//! What waits for an approval is withdrawn; what runs on the server is cancelled there, by its own key; what is still being
//! judged, or in front of its `Execute`, is answered as cancelled before it runs, or cancelled as soon as it does. The server is
//! asked when it has been sent everything, since what it has not begun it can't cancel, and nothing of a later batch is
//! dealt with before it has been asked: its signal would hit that.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use countersign_core::Span;
use countersign_wire::postgres::encode::Report;
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use super::super::{upstream, wording};
use super::acts::ActId;
use super::{End, Session};

/// How old an action may be at most for the server to be asked twice.
const YOUNG: Span = Span::seconds(1);
/// How long after the first time, in milliseconds.
const AGAIN_MS: u64 = 250;

/// What is to be cancelled.
#[derive(Debug, Default)]
pub(super) struct Cancelling {
    /// A message of the client's is being dealt with.
    dealing: bool,
    /// What comes next of the batch in hand is cancelled.
    next: bool,
    /// The server is to be asked.
    due: bool,
    /// It may not have been sent all that is to be cancelled.
    unsent: bool,
    /// The server is being asked.
    asking: Option<JoinHandle<()>>,
    /// It is asked once more about this action, unless it has begun to answer by then.
    again: Option<(ActId, Pin<Box<Sleep>>)>,
}

impl Cancelling {
    /// What is in hand is cancelled, and that is heeded now.
    pub(super) fn take(&mut self) -> bool {
        std::mem::take(&mut self.next)
    }

    /// Something of an action is being sent, which is cancelled if anything in its batch is.
    pub(super) fn sends(&mut self) {
        self.unsent = true;
        self.due |= self.take();
    }

    const fn is_quiet(&self) -> bool {
        !self.due && self.asking.is_none()
    }
}

impl Session {
    /// The client asks to cancel.
    pub(super) fn interrupt(&mut self) {
        self.interrupted.set(std::sync::Arc::clone(&self.notify).notified_owned());
        let running = self.sent.has_acts();
        let in_hand = self.cancelling.dealing || self.deferred.is_some();
        self.cancelling.due |= running;
        // Of an earlier batch that still runs, this one is none of the business.
        self.cancelling.next |= in_hand && (!running || self.batch_open);
    }

    /// A message of the client's is taken in hand. What was to be cancelled in an earlier batch is over with it.
    pub(super) async fn take_in_hand(&mut self) -> Result<(), End> {
        if !self.batch_open && self.deferred.is_none() {
            self.cancelling.next = false;
            self.until_asked().await?;
        }
        self.cancelling.dealing = true;
        Ok(())
    }

    /// Waits until the server has been asked whatever it is to be asked.
    pub(super) async fn until_asked(&mut self) -> Result<(), End> {
        while !self.cancelling.is_quiet() {
            self.turn().await?;
        }
        Ok(())
    }

    /// It is dealt with.
    pub(super) const fn is_dealt_with(&mut self) {
        self.cancelling.dealing = false;
    }

    /// Asks the server to cancel, when it has been sent everything that is to be cancelled; ready when it was asked.
    pub(super) fn poll_cancelling(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.cancelling.unsent &= self.server.has_output();
        if self.cancelling.due && self.cancelling.asking.is_none() && !self.cancelling.unsent {
            self.cancelling.due = false;
            if self.sent.has_acts() {
                self.cancelling.again = self.again();
                self.cancelling.asking = Some(self.ask_server());
            } else {
                return Poll::Ready(());
            }
        }
        if let Some(asking) = &mut self.cancelling.asking {
            let asked = Pin::new(asking).poll(cx);
            return asked.map(|_| self.cancelling.asking = None);
        }
        self.poll_again(cx)
    }

    /// Asks once more, if what was asked for had only just been sent and is not answered. A signal between two messages of
    /// one flight (Bind, Execute), or before the first, is dropped by the server.
    fn poll_again(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((act, pause)) = &mut self.cancelling.again else { return Poll::Pending };
        if self.sent.first_act() == Some(*act) {
            ready!(pause.as_mut().poll(cx));
            self.cancelling.asking = Some(self.ask_server());
        }
        self.cancelling.again = None;
        Poll::Ready(())
    }

    /// When to ask again about what is being asked, if that may be lost: never of what has run for a while, whose code may
    /// have its own way with a cancel.
    fn again(&mut self) -> Option<(ActId, Pin<Box<Sleep>>)> {
        let act = self.sent.first_act()?;
        let age = self.now().since(self.acts.started(act)?);
        let pause = || Box::pin(tokio::time::sleep(Duration::from_millis(AGAIN_MS)));
        (age < YOUNG).then(|| (act, pause()))
    }

    fn ask_server(&self) -> JoinHandle<()> {
        let (address, place, key) =
            (self.target.address.clone(), self.place.clone(), self.cancel_key.clone());
        tokio::spawn(async move {
            if let Err(error) = upstream::cancel(&address, &place, &key).await {
                tracing::warn!(error = %error, "a cancel request did not reach the server");
            }
        })
    }
}

/// What the client reads of what was cancelled before it ran.
pub(super) fn cancelled() -> Report {
    wording::error(wording::CANCELED, "canceling statement due to user request").detail("nothing was run")
}
