//! What the client says, one message at a time.

use std::sync::Arc;

use bytes::Bytes;
use countersign_wire::postgres::encode::client as to_server;
use countersign_wire::postgres::frontend::{Body, Message};
use countersign_wire::postgres::track::{Refused, Route, Sent as Kind};
use countersign_wire::postgres::{Frame, Limits, Malformed, Phase, Piece};

use super::super::wording;
use super::acts::ActId;
use super::cancelling::cancelled;
use super::sent::{Sent, Show};
use super::{End, Incoming, Session};
use crate::flow::{self, Attended};

/// The stand-in's text: it does not parse, so it can do nothing but fail.
const STAND_IN: &[u8] = b"countersign refused a statement here";
/// The stand-in's name: not the empty one, whose statement a failed `Parse` would drop.
const STAND_IN_NAME: &[u8] = b"countersign_refused";

impl Session {
    /// The next message of what was read from the client, if it is there whole.
    pub(super) fn next_message(&mut self) -> Result<Option<Incoming>, End> {
        let (used, make): (usize, fn(Bytes) -> Incoming) = match self.client_frames.next(&self.client.input) {
            Ok(None) => return Ok(None),
            Ok(Some((Piece::Whole(_), used))) => (used, Incoming::Whole),
            Ok(Some((Piece::Head(..), used))) => (used, Incoming::CopyHead),
            Ok(Some((Piece::Body { .. }, used))) => (used, Incoming::CopyBody),
            Err(malformed) => return Err(violation(&malformed)),
        };
        Ok(Some(make(self.client.take(used))))
    }

    /// Whether the message at the front is not there whole, so that more must be read however much there is.
    pub(super) fn client_needs_more(&self) -> bool {
        matches!(self.client_frames.clone().next(&self.client.input), Ok(None))
    }

    /// Does what a message asks for.
    pub(super) async fn message(&mut self, message: Incoming) -> Result<(), End> {
        self.take_in_hand().await?;
        let dealt = self.deal_with(message).await;
        self.is_dealt_with();
        dealt
    }

    pub(super) async fn deal_with(&mut self, message: Incoming) -> Result<(), End> {
        let raw = match message {
            Incoming::Whole(raw) => raw,
            Incoming::CopyHead(raw) => return self.copy_data(&raw).await,
            Incoming::CopyBody(raw) => return self.copy_body(&raw).await,
        };
        let limits = Limits::new(Phase::Client);
        let Ok(Some((frame, _))) = Frame::decode(&raw, &limits) else {
            return Err(End::Broken(Box::new(wording::fatal(wording::PROTOCOL, "a message is cut off"))));
        };
        let message = Message::of(frame).map_err(|malformed| violation(&malformed))?;
        if !self.tracker.is_skipping()
            && let Some(simple) = begins(message.body())
            && let Attended::Cancelled = self.while_paused().await?
        {
            return self.refuse(cancelled(), simple).await;
        }
        match message.body() {
            Body::Query(text) => self.query(&raw, raw.slice_ref(text)).await,
            Body::Parse(parse) => self.parse(&raw, parse).await,
            Body::Bind(bind) => self.bind(&raw, bind).await,
            Body::Describe(target) => self.describe(&raw, *target).await,
            Body::Execute(execute) => self.execute(&raw, execute).await,
            Body::Close(target) => self.close(&raw, *target).await,
            Body::Flush => self.flush(&raw).await,
            Body::Sync => self.sync(&raw).await,
            Body::FunctionCall(call) => self.function_call(&raw, call).await,
            Body::CopyData(_) => self.copy_data(&raw).await,
            Body::CopyDone => self.copy_done(&raw).await,
            Body::CopyFail(_) => self.copy_end(&raw).await,
            Body::Terminate => Err(End::Client),
            Body::Login(_) => Err(End::Broken(Box::new(wording::fatal(
                wording::PROTOCOL,
                "a password was sent where none was asked for",
            )))),
        }
    }

    /// Waits as long as the session is paused.
    async fn while_paused(&mut self) -> Result<Attended<()>, End> {
        if !self.engine.is_paused(&self.me) {
            return Ok(Attended::Done(()));
        }
        let (engine, me) = (Arc::clone(&self.engine), self.me.clone());
        flow::while_paused(&engine, &me, self).await
    }

    /// Asks the tracker where a message goes, waiting where it depends on answers. `None`: it is dropped.
    pub(super) async fn route(
        &mut self,
        ask: impl Fn(&mut Self) -> Result<Route, Refused>,
    ) -> Result<Option<Option<u64>>, End> {
        loop {
            match ask(self) {
                Ok(Route::Forward(ticket)) => {
                    let number = ticket.map(|ticket| ticket.number());
                    if let Some(ticket) = ticket {
                        self.sent.push(ticket, Sent { act: None, ends: false, show: Show::Client });
                    }
                    return Ok(Some(number));
                }
                Ok(Route::Drop) => return Ok(None),
                Ok(Route::Wait) => {
                    if self.batch_open && !self.flushed {
                        to_server::flush(&mut self.server.output);
                        self.flushed = true;
                    }
                    self.turn().await?;
                }
                Err(refused) => {
                    let report = wording::fatal(wording::LIMIT, refused.to_string());
                    return Err(End::Broken(Box::new(report)));
                }
            }
        }
    }

    /// Sends a message that the tracker knows as `kind`, if it goes anywhere.
    pub(super) async fn forward(&mut self, kind: Kind<'_>, raw: &[u8], sent: Sent) -> Result<(), End> {
        if let Some(number) = self.route(|session| session.tracker.send(kind)).await? {
            self.put(number, raw, sent);
        }
        Ok(())
    }

    /// Puts a routed message on its way.
    pub(super) fn put(&mut self, number: Option<u64>, raw: &[u8], sent: Sent) {
        let acts = sent.act.is_some();
        if let Some(slot) = number.and_then(|number| self.sent.get(number)) {
            *slot = sent;
        }
        if acts {
            self.cancelling.sends();
        }
        self.server.output.extend_from_slice(raw);
        self.flushed = false;
    }

    /// Refuses what a client asked for: at once if nothing else is going on, otherwise by a stand-in that fails in its
    /// place. `simple`: the answer ends with `ReadyForQuery`.
    pub(super) async fn refuse(
        &mut self,
        report: countersign_wire::postgres::encode::Report,
        simple: bool,
    ) -> Result<(), End> {
        if self.tracker.refuse_alone(simple) {
            self.say(&report);
            if simple {
                self.append(b"Z\0\0\0\x05I");
            }
            return Ok(());
        }
        let mut stand_in = bytes::BytesMut::new();
        let kind = if simple {
            to_server::stand_in_query(&mut stand_in);
            self.batch_open = false;
            Kind::Query
        } else {
            // A text and a name of ours: nothing in them can fail to be written.
            let _ = to_server::parse(&mut stand_in, STAND_IN_NAME, STAND_IN, &[]);
            self.batch_open = true;
            Kind::Execute
        };
        let show = Show::Refusal(Box::new(report));
        self.forward(kind, &stand_in, Sent { act: None, ends: false, show }).await
    }

    /// An answer that only passes.
    pub(super) const fn passing() -> Sent {
        Sent { act: None, ends: false, show: Show::Client }
    }

    /// An answer that belongs to an action.
    pub(super) const fn of_act(act: ActId, ends: bool, show: Show) -> Sent {
        Sent { act: Some(act), ends, show }
    }
}

/// Whether a message begins something, and then whether its answer ends with `ReadyForQuery`. What only ends what was begun
/// passes in a paused session too; data has a way of its own ([`super::copy`]).
const fn begins(body: &Body<'_>) -> Option<bool> {
    match body {
        Body::Query(_) | Body::FunctionCall(_) => Some(true),
        Body::Parse(_) | Body::Bind(_) | Body::Describe(_) | Body::Execute(_) | Body::Close(_) => Some(false),
        Body::Flush
        | Body::Sync
        | Body::CopyData(_)
        | Body::CopyDone
        | Body::CopyFail(_)
        | Body::Terminate
        | Body::Login(_) => None,
    }
}

pub(super) fn violation(malformed: &Malformed) -> End {
    End::Broken(Box::new(wording::fatal(malformed.sqlstate(), malformed.to_string())))
}
