//! How the flow of all doors speaks to a client of tools.

use std::sync::Arc;

use countersign_core::request::Withdrawal;
use countersign_core::session::Ending;
use countersign_engine::{Ground, Look, Refused};

use super::answer::{self, Words};
use super::attempt::Subject;
use super::line::{Flight, Line, Out};
use super::session::Session;
use crate::flow::{Attend, Attended, News, Tongue};

/// Somebody speaks for a message of the client's, or of the server's.
pub(crate) struct Speaker {
    pub(crate) session: Arc<Session>,
    pub(crate) flight: Arc<Flight>,
    pub(crate) subject: Subject,
    /// How often the client was told that it waits.
    told: u32,
}

/// Why nobody waits any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The session is over.
    Over(Ending),
    /// The client has hung up.
    HungUp,
}

impl From<Lost> for Words {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Over(ending) => answer::over(ending),
            Lost::HungUp => Self::new(answer::DENIED, "nobody waits for it any more"),
        }
    }
}

impl Speaker {
    pub(crate) fn new(session: Arc<Session>, flight: Arc<Flight>, subject: Subject) -> Self {
        Self { session, flight, subject, told: 0 }
    }
}

/// Does something for one request, unless its client has had enough meanwhile.
pub(crate) async fn attend<W>(line: &Line, flight: &Flight, work: W) -> Result<Attended<W::Output>, Lost>
where
    W: Future + Send,
    W::Output: Send,
{
    tokio::select! {
        biased;
        () = line.over.cancelled() => Err(Lost::Over(line.ending())),
        () = flight.cancelled.cancelled() => Ok(Attended::Cancelled),
        () = flight.out.closed() => Err(Lost::HungUp),
        done = work => Ok(Attended::Done(done)),
    }
}

/// Tells a client that its request still takes a while, and why; for the how manyth time is counted.
pub(crate) fn say(flight: &Flight, told: &mut u32, words: &str) {
    *told = told.saturating_add(1);
    let out = match &flight.progress {
        Some(token) => Out::Interim(answer::progress(token, *told, words)),
        None => Out::Open,
    };
    // A client that reads nothing misses the news, not the answer.
    let _full_or_gone = flight.out.try_send(out);
}

impl Attend for Speaker {
    type Lost = Lost;

    async fn attend<W>(&mut self, work: W) -> Result<Attended<W::Output>, Lost>
    where
        W: Future + Send,
        W::Output: Send,
    {
        attend(&self.session, &self.flight, work).await
    }

    fn tell(&mut self, news: News<'_>) {
        let words = answer::news(&news, self.session.shared.engine.now());
        say(&self.flight, &mut self.told, &words);
    }
}

impl Tongue for Speaker {
    async fn during<W>(&mut self, work: W) -> Result<W::Output, Lost>
    where
        W: Future + Send,
        W::Output: Send,
    {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.session.over.cancelled() => Err(Lost::Over(self.session.ending())),
        }
    }

    async fn look(&mut self) -> Result<Result<Look, Refused>, Lost> {
        Ok(Ok(self.subject.look(&self.session)))
    }

    /// What is asked of a server of tools has a name and arguments; scripts are texts.
    fn is(&self, _: &str) -> bool {
        false
    }

    fn no_beginning(&self) -> Option<&'static str> {
        Some("calls of tools are no steps of a script")
    }

    async fn settle(&mut self) -> Result<(), Lost> {
        Ok(())
    }

    async fn ground(&mut self) -> Result<Ground, Lost> {
        if !self.subject.said.tool.is_empty() && self.subject.definition.is_some() {
            let session = Arc::clone(&self.session);
            let name = self.subject.said.tool.clone();
            // A tool that is gone, or can't be looked at, is not what was approved.
            let found = self.during(session.tool(&name)).await?;
            self.subject.definition = found.unwrap_or_default();
        }
        Ok(Ground { settings: self.subject.settings(&self.session), ..Ground::default() })
    }

    fn withdrawal(lost: &Lost) -> Withdrawal {
        match lost {
            Lost::Over(Ending::Gateway) => Withdrawal::GatewayRestarted,
            Lost::Over(_) => Withdrawal::SessionEnded,
            Lost::HungUp => Withdrawal::Disconnected,
        }
    }
}
