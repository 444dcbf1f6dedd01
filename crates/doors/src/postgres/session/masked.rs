//! What a session may not see: weighed before a statement runs, covered in what it gives back.

use std::sync::Arc;

use bytes::BytesMut;
use countersign_wire::mask::MaskKey;
use countersign_wire::mask::messages::{Scrub, scrubbed};
use countersign_wire::mask::rows::Unmasked;
use countersign_wire::postgres::backend::{Body, Message};

use super::super::mask::{Cover, Hidden, Masked, Seen};
use super::super::wording;
use super::action::Action;
use super::acts::ActId;
use super::{End, Session};

/// Encodings in which a byte below 128 is always the letter that it is in ASCII, so that lines and fields can be found.
const PLAIN_ENCODINGS: &[&str] = &["UTF8", "UNICODE", "SQL_ASCII"];

impl Session {
    /// What of a statement's answer this session may not see now.
    ///
    /// # Errors
    /// The session can't go on: what is masked has changed since it began.
    pub(super) fn weigh(&mut self, action: &Action) -> Result<Result<Option<Hidden>, Masked>, End> {
        self.masks_hold()?;
        let Some(masks) = &self.target.masks else { return Ok(Ok(None)) };
        let encoding = self.known.shared_session().client_encoding.to_ascii_uppercase();
        let decodes = PLAIN_ENCODINGS.contains(&encoding.as_str());
        let (engine, me) = (&self.shared.engine, &self.me);
        let lifted = action.lift.as_ref().map(|lift| lift.column());
        Ok(masks.weigh(&action.understood.facts, decodes, lifted, |column, labels| {
            engine.may_unmask(me, column, labels)
        }))
    }

    /// What is masked is learnt when a session begins. A bundle that masks otherwise ends it.
    pub(super) fn masks_hold(&mut self) -> Result<(), End> {
        if self.shared.engine.bundle() == self.masks_of {
            return Ok(());
        }
        let snapshot = self.shared.engine.snapshot();
        let bundle = snapshot.book.in_force.as_ref().map(|in_force| in_force.bundle);
        let described = snapshot.book.catalogue.resources.get(&self.target.resource);
        if described.is_some_and(|described| !self.target.masks_as(described)) {
            let report =
                wording::fatal(wording::NOT_PERMITTED, "what is masked of this resource has changed")
                    .hint("connect again");
            return Err(End::Broken(Box::new(report)));
        }
        self.masks_of = bundle;
        self.keeps = described.is_some_and(|described| described.settings.contains_key("capture_bytes"));
        let (engine, me) = (&self.shared.engine, &self.me);
        let masks = self.target.masks.as_ref();
        self.hides =
            masks.is_some_and(|masks| masks.hide(|column, labels| engine.may_unmask(me, column, labels)));
        Ok(())
    }

    /// What covers the answer to an action.
    pub(super) fn cover(&self, hidden: Hidden, action: &Action) -> Box<Cover> {
        let known = self.target.knowledge(&self.shared).loaded();
        let seen = Seen {
            text: action.statement().raw.clone(),
            catalogue: known.map(|loaded| Arc::clone(&loaded.catalogue)),
            temporary: self.known.may_have_temporary_objects(),
            key: MaskKey::new(self.shared.engine.mask_key(&self.target.resource)),
        };
        Box::new(Cover::new(hidden, seen, action.formats()))
    }

    /// Rows or copy data that answer an action, whole or the head of a long one, as the client may see them.
    pub(super) fn append_rows(
        &mut self,
        act: Option<ActId>,
        tag: u8,
        raw: &[u8],
        whole: bool,
    ) -> Result<(), End> {
        let Some(cover) = act.and_then(|act| self.acts.cover(act)).filter(|_| matches!(tag, b'D' | b'd'))
        else {
            self.append(raw);
            if matches!(tag, b'D' | b'd') {
                self.keep(act, raw, whole);
            }
            return Ok(());
        };
        let mut out = BytesMut::new();
        let covered = if whole { cover.rows(tag, raw, &mut out) } else { cover.head(tag, raw) };
        covered.map_err(|unmasked| uncovered(&unmasked))?;
        self.append(&out);
        self.keep(act, &out, whole);
        Ok(())
    }

    /// A piece of a long one.
    pub(super) fn append_piece(&mut self, act: Option<ActId>, piece: &[u8], last: bool) -> Result<(), End> {
        let Some(cover) = act.and_then(|act| self.acts.cover(act)).filter(|cover| cover.is_within()) else {
            self.append(piece);
            return Ok(());
        };
        let mut out = BytesMut::new();
        cover.body(piece, last, &mut out).map_err(|unmasked| uncovered(&unmasked))?;
        self.append(&out);
        Ok(())
    }

    /// The server has said something about the answer to an action that is covered.
    pub(super) fn follow_cover(&mut self, act: Option<ActId>, body: &Body<'_>) -> Result<(), End> {
        if let (true, Some(act), Body::RowDescription(columns)) = (self.keeps, act, body)
            && let Some(result) = self.acts.result(act)
        {
            result.describe(columns);
        }
        let Some(cover) = act.and_then(|act| self.acts.cover(act)) else { return Ok(()) };
        match body {
            Body::RowDescription(columns) => cover.describe(columns),
            Body::CopyOutResponse(shape) => cover.copies(shape),
            Body::CopyDone => cover.copied().map_err(|unmasked| uncovered(&unmasked))?,
            Body::CommandComplete(_) | Body::EmptyQueryResponse => cover.next(),
            _ => {}
        }
        Ok(())
    }

    /// An error or a notice without what it may quote. Nothing: it may pass as it is.
    pub(super) fn scrubbed(&mut self, message: &Message<'_>) -> Option<BytesMut> {
        let (tag, fields) = match message.body() {
            Body::ErrorResponse(fields) => (b'E', fields),
            Body::NoticeResponse(fields) => (b'N', fields),
            _ => return None,
        };
        let act = self.sent.front().and_then(|sent| sent.act);
        // Between actions a batch or a transaction ends: what then runs was caused by any of them.
        let hides = self.hides && act.is_none_or(|act| self.acts.is_foreign(act));
        let covered = act.and_then(|act| self.acts.cover(act)).and_then(|cover| cover.scrub());
        let scrub = match covered {
            Some(scrub @ (Scrub::Quotes(_) | Scrub::Reading(_))) => scrub,
            _ if hides => Scrub::Elsewhere,
            Some(scrub) => scrub,
            None => return None,
        };
        let mut out = BytesMut::new();
        if scrubbed(tag, fields, scrub, &mut out).is_err() {
            // Nothing stands for it, so the session ends.
            out.clear();
        }
        Some(out)
    }
}

pub(super) fn uncovered(unmasked: &Unmasked) -> End {
    tracing::error!(error = %unmasked, "an answer can't be masked");
    End::Broken(Box::new(
        wording::fatal(wording::LIMIT, "the answer can't be masked, so it is not shown")
            .detail(unmasked.to_string()),
    ))
}
