//! The data of a `COPY ... FROM STDIN`, on its way to the server: passed on as it comes, at the pace of the server.
//!
//! Where somebody's yes covers the statement, its data came after the yes: it is digested on its way, so that the record says
//! what it was. How many rows may stand is kept as for any other write ([`super::bound`]).

use std::sync::Arc;

use bytes::Bytes;
use countersign_wire::postgres::track::Sent as Kind;

use super::acts::ActId;
use super::pump::FORWARD_BYTES_MAX;
use super::{End, Incoming, Session};
use crate::flow::{self, Attend, Attended, News};

/// What is in front of the data in a copy message, in bytes.
const HEAD_BYTES: usize = 5;

impl Session {
    /// A copy message, or the head of a long one.
    pub(super) async fn copy_data(&mut self, raw: &Bytes) -> Result<(), End> {
        self.hold_data().await?;
        let routed = self.route(|session| session.tracker.send(Kind::CopyData)).await?;
        self.long_copy = routed.is_some();
        self.digest(raw.get(HEAD_BYTES..).unwrap_or_default());
        self.pass_on(raw).await
    }

    /// Some of the body of a long copy message, which goes where its head went.
    pub(super) async fn copy_body(&mut self, raw: &Bytes) -> Result<(), End> {
        self.hold_data().await?;
        self.digest(raw);
        self.pass_on(raw).await
    }

    /// The end of the data, with which it counts.
    pub(super) async fn copy_done(&mut self, raw: &Bytes) -> Result<(), End> {
        self.hold_data().await?;
        self.copy_end(raw).await
    }

    /// Data of a paused session waits, as long as the server waits for it.
    async fn hold_data(&mut self) -> Result<(), End> {
        if !self.engine.is_paused(&self.me) {
            return Ok(());
        }
        let (engine, me) = (Arc::clone(&self.engine), self.me.clone());
        // If the server has given up, there is nothing to wait for: what comes is dropped.
        flow::while_paused(&engine, &me, &mut Copying(self)).await.map(drop)
    }

    /// The end of the data, or the client's giving up.
    pub(super) async fn copy_end(&mut self, raw: &Bytes) -> Result<(), End> {
        self.forward(Kind::CopyEnd, raw, Self::passing()).await
    }

    /// Waits until everything is answered, as [`Session::settle`] does; where the server waits for the data of an approved
    /// statement, takes it from the client meanwhile, and digests it.
    pub(super) async fn take_data(&mut self, act: ActId) -> Result<(), End> {
        while self.tracker.pending() > 0 && !self.tracker.is_copying_in() {
            self.ask_for_answers();
            self.turn().await?;
        }
        if !self.tracker.is_copying_in() {
            return Ok(());
        }
        self.data = self.acts.data_digest(act).map(|digest| (act, digest));
        // A `Sync` that comes before the data's end is ignored by the server: the batch goes on behind it.
        let batch_open = self.batch_open;
        let taken = self.take_all().await;
        self.batch_open = batch_open;
        if let Some((act, digest)) = self.data.take() {
            self.acts.has_data(act, digest.finish());
        }
        taken?;
        self.settle().await
    }

    async fn take_all(&mut self) -> Result<(), End> {
        while self.tracker.is_copying_in() {
            match self.next_message()? {
                Some(message) => self.copying(message).await?,
                None if self.client.is_eof() => return Err(End::Client),
                None => self.turn().await?,
            }
        }
        Ok(())
    }

    /// What a client says while the server waits for its data. Anything else than data is dealt with as always.
    async fn copying(&mut self, message: Incoming) -> Result<(), End> {
        Box::pin(self.deal_with(message)).await
    }

    fn digest(&mut self, data: &[u8]) {
        if let Some((_, digest)) = self.data.as_mut().filter(|_| self.long_copy) {
            digest.update(data);
        }
    }

    async fn pass_on(&mut self, raw: &Bytes) -> Result<(), End> {
        if self.long_copy {
            self.server.output.extend_from_slice(raw);
        }
        while self.server.output.len() > FORWARD_BYTES_MAX {
            self.turn().await?;
        }
        Ok(())
    }
}

/// A session that waits with data for the server.
struct Copying<'a>(&'a mut Session);

impl Attend for Copying<'_> {
    type Lost = End;

    async fn attend<W>(&mut self, work: W) -> Result<Attended<W::Output>, End>
    where
        W: Future + Send,
        W::Output: Send,
    {
        let done = self.0.attend_unless(work, |session| !session.tracker.is_copying_in()).await?;
        Ok(done.map_or(Attended::Cancelled, Attended::Done))
    }

    fn tell(&mut self, news: News<'_>) {
        self.0.tell(news);
    }
}
