//! What the server says: each message is matched with what it answers, and goes where that was meant to go.
//!
//! Rows and copy data are passed on by the buffer without being read. Everything else is understood to its last byte or
//! ends the session: a server is as hostile as a client.

use bytes::Buf;
use countersign_engine::CompletionResult;
use countersign_wire::mask::rows::Unmasked;
use countersign_wire::postgres::backend::{Body, Message};
use countersign_wire::postgres::track::{Answer, Desync};
use countersign_wire::postgres::{Malformed, Piece, TransactionStatus};

use super::super::wording;
use super::masked::uncovered;
use super::sent::{Show, Ticketed};
use super::{End, Session};

impl Session {
    /// Takes in what was read from the server.
    pub(super) fn answers(&mut self) -> Result<(), End> {
        let mut input = std::mem::take(&mut self.server.input);
        let (used, result) = self.take_answers(&input);
        input.advance(used);
        self.server.input = input;
        result
    }

    fn take_answers(&mut self, input: &[u8]) -> (usize, Result<(), End>) {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let tag = rest.first().copied().unwrap_or_default();
            if matches!(tag, b'D' | b'd') {
                let run = self.server_frames.run(rest, tag);
                if run.frames > 0 {
                    used += run.raw.len();
                    if let Err(end) = self.rows(tag, run.raw, Some(run.frames)) {
                        return (used, Err(end));
                    }
                    continue;
                }
            }
            match self.server_frames.next(rest) {
                Ok(None) => return (used, Ok(())),
                Ok(Some((piece, taken))) => {
                    used += taken;
                    if let Err(end) = self.piece(&piece) {
                        return (used, Err(end));
                    }
                }
                Err(malformed) => return (used, Err(misunderstood(&malformed))),
            }
        }
    }

    fn piece(&mut self, piece: &Piece<'_>) -> Result<(), End> {
        match piece {
            Piece::Whole(frame) => {
                let message = Message::of(*frame).map_err(|malformed| misunderstood(&malformed))?;
                let Some(scrubbed) = self.scrubbed(&message) else {
                    return self.message_from_server(&message);
                };
                let limits = *self.server_frames.limits();
                match Message::decode(&scrubbed, &limits) {
                    Ok(Some((message, _))) => self.message_from_server(&message),
                    Ok(None) => Err(uncovered(&Unmasked::Malformed)),
                    Err(malformed) => Err(misunderstood(&malformed)),
                }
            }
            Piece::Head(head, raw) => {
                self.rows(head.tag(), raw, None)?;
                Ok(())
            }
            Piece::Body { bytes, last } => {
                if let Some(Ticketed { act, shown }) = self.long_answer {
                    self.came(act, bytes.len());
                    self.keep_limits(act, 0)?;
                    if shown {
                        self.append_piece(act, bytes, *last)?;
                    }
                }
                if *last {
                    self.long_answer = None;
                }
                Ok(())
            }
        }
    }

    /// Rows or copy data, so many, or the head of a long one.
    fn rows(&mut self, tag: u8, raw: &[u8], frames: Option<u64>) -> Result<(), End> {
        let answer = self.tracker.passed(tag).map_err(|desync| desynced(&desync))?;
        let (Answer::Part(ticket) | Answer::Last(ticket)) = answer else {
            return Err(desynced(&Desync::Unexpected { got: "row" }));
        };
        let Some(sent) = self.sent.get(ticket.number()) else {
            return Err(desynced(&Desync::Unexpected { got: "row" }));
        };
        let (act, shown, own) =
            (sent.act, matches!(sent.show, Show::Client | Show::Capture), matches!(sent.show, Show::Own));
        if own {
            self.own_rows(raw);
        }
        self.long_answer = Some(Ticketed { act, shown });
        self.came(act, raw.len());
        self.keep_limits(act, frames.unwrap_or(1))?;
        if shown { self.append_rows(act, tag, raw, frames.is_some()) } else { Ok(()) }
    }

    /// Rows that answer a question of our own: few and short.
    fn own_rows(&mut self, raw: &[u8]) {
        let limits = *self.server_frames.limits();
        let mut rest = raw;
        while let Ok(Some((message, used))) = Message::decode(rest, &limits) {
            self.own.collect(message.raw(), message.body());
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    fn message_from_server(&mut self, message: &Message<'_>) -> Result<(), End> {
        if let Body::ParameterStatus(status) = message.body() {
            self.known.report(status.name, status.value);
        }
        match self.tracker.answer(message.body()).map_err(|desync| desynced(&desync))? {
            Answer::Unrelated => {
                self.append(message.raw());
                Ok(())
            }
            Answer::Part(ticket) => self.part(ticket.number(), message, false),
            Answer::Last(ticket) => self.part(ticket.number(), message, true),
            Answer::Failed { ticket, skipped } => {
                self.failed(ticket.number(), message);
                self.skipped(skipped);
                Ok(())
            }
            Answer::Ready { ticket, status } => {
                self.ready_from_server(ticket.number(), message, status);
                Ok(())
            }
            Answer::Ended => {
                self.append(message.raw());
                Err(End::Server)
            }
        }
    }

    fn part(&mut self, number: u64, message: &Message<'_>, last: bool) -> Result<(), End> {
        let Some(sent) = self.sent.get(number) else {
            return Err(desynced(&Desync::Unexpected { got: "message" }));
        };
        let (act, ends) = (sent.act, sent.ends);
        self.follow_cover(act, message.body())?;
        let Some(sent) = self.sent.get(number) else { return Ok(()) };
        let rows = match message.body() {
            Body::CommandComplete(tag) => {
                if let Some(act) = act {
                    self.transactions.completed(act, tag.text(), &mut self.acts);
                }
                tag.rows()
            }
            _ => None,
        };
        let is_end = matches!(
            message.body(),
            Body::CommandComplete(_) | Body::PortalSuspended | Body::EmptyQueryResponse
        );
        match &sent.show {
            Show::Client => self.show(act, message.raw()),
            Show::Capture if is_end => {
                self.came(act, message.raw().len());
                self.captured.bytes.extend_from_slice(message.raw());
                self.captured.rows = rows;
            }
            Show::Capture => self.show(act, message.raw()),
            Show::Own => self.own.collect(message.raw(), message.body()),
            Show::Quiet => {}
            Show::Types(portal) => {
                if let Body::ParameterDescription(types) = message.body() {
                    let _ = portal.types.set(types.iter().collect());
                }
            }
            Show::Refusal(_) => return Err(desynced(&Desync::Unexpected { got: "anything but an error" })),
        }
        if let (Some(act), Some(rows)) = (act, rows) {
            self.acts.rows(act, rows);
        }
        if last {
            self.sent.take(number);
            if ends {
                self.done(act, None);
            }
        }
        Ok(())
    }

    fn failed(&mut self, number: u64, message: &Message<'_>) {
        let Some(sent) = self.sent.get(number) else { return };
        let act = sent.act;
        match std::mem::replace(&mut sent.show, Show::Client) {
            Show::Refusal(report) => self.say(&report),
            Show::Own => {
                sent.show = Show::Own;
                self.own.collect(message.raw(), message.body());
            }
            Show::Capture => {
                sent.show = Show::Capture;
                self.came(act, message.raw().len());
                self.captured.bytes.extend_from_slice(message.raw());
                self.captured.failed = true;
            }
            Show::Client | Show::Quiet | Show::Types(_) => self.show(act, message.raw()),
        }
        self.transactions.failed(act, &mut self.acts);
        if let (Some(act), Body::ErrorResponse(fields)) = (act, message.body()) {
            let code = String::from_utf8_lossy(fields.code().unwrap_or_default()).into_owned();
            let now = self.now();
            self.acts.end(act, CompletionResult::Failed { code }, now);
        }
    }

    /// Messages behind one that failed, which the server ignores up to the next `Sync`.
    fn skipped(&mut self, numbers: std::ops::Range<u64>) {
        let now = self.now();
        for number in numbers {
            if let Some(act) = self.sent.get(number).and_then(|sent| sent.act) {
                self.acts.end(act, CompletionResult::Failed { code: "skipped".into() }, now);
            }
        }
    }

    fn ready_from_server(&mut self, number: u64, message: &Message<'_>, status: TransactionStatus) {
        if status == TransactionStatus::Idle {
            self.known.is_idle();
        }
        let Some(sent) = self.sent.take(number) else { return };
        if sent.ends {
            self.done(sent.act, Some(status));
        }
        self.transactions.ready(status, &mut self.acts);
        match sent.show {
            Show::Client | Show::Quiet | Show::Refusal(_) => self.show(sent.act, message.raw()),
            Show::Own | Show::Capture | Show::Types(_) => {}
        }
    }

    fn show(&mut self, act: Option<u64>, raw: &[u8]) {
        self.came(act, raw.len());
        self.append(raw);
    }

    fn came(&mut self, act: Option<u64>, bytes: usize) {
        if let Some(act) = act {
            self.acts.enter(act);
            self.acts.came(act, bytes);
        }
    }

    fn done(&mut self, act: Option<u64>, ready: Option<TransactionStatus>) {
        let now = self.now();
        if let Some(act) = act {
            self.transactions.done(act, ready, &mut self.acts);
            self.acts.end(act, CompletionResult::Done, now);
        }
    }
}

fn misunderstood(malformed: &Malformed) -> End {
    tracing::error!(error = %malformed, "the server's message is not understood");
    End::Broken(Box::new(
        wording::fatal(wording::NO_SERVER, "the server sent something that is not understood")
            .detail(malformed.to_string()),
    ))
}

fn desynced(desync: &Desync) -> End {
    tracing::error!(error = %desync, "the server's answers are out of order");
    End::Broken(Box::new(
        wording::fatal(wording::NO_SERVER, "the server's answers are out of order")
            .detail(desync.to_string()),
    ))
}
