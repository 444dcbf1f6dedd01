//! The answer to one action, covered as it passes.
//!
//! What is covered was decided when the action was let run; how its values come is learnt on the way: from the formats that
//! a portal was bound with, and from the server's own description of the result, which is also a second opinion. Where it
//! names a masked column that was not expected, or a relation that nobody knows, its values become NULL; so does everything
//! where the server gives another number of columns than was traced.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use countersign_core::catalogue::MaskStyle;
use countersign_wire::mask::copy::CopyMask;
use countersign_wire::mask::messages::Scrub;
use countersign_wire::mask::rows::{LongRow, Plan, Unmasked};
use countersign_wire::mask::{MaskKey, Means, Treatment};
use countersign_wire::postgres::backend::CopyShape;
use countersign_wire::postgres::{ColumnNames, Format};
use countersign_wire::sql::{Catalogue, Columns, Layout, Origin, Traced};

use super::Hidden;

/// Bytes in front of the body of a message.
const HEAD_BYTES: usize = 5;

/// The answer to one action on its way.
#[derive(Debug)]
pub(crate) struct Cover {
    hidden: Hidden,
    seen: Seen,
    means: Means,
    /// The formats that a portal was bound with; nothing where the server describes each result.
    bound: Option<Arc<[Format]>>,
    /// How the server describes the result.
    described: Option<Vec<Described>>,
    /// Which of the statements is being answered.
    statement: usize,
    plan: Option<Arc<Plan>>,
    long: Option<LongRow>,
    copy: Option<CopyMask>,
    copied: Option<usize>,
    /// A piece of copy data of which no head is to be handed on.
    within_copy: bool,
}

/// What is known where an answer is covered.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The text of the statement, whose own words an error may repeat.
    pub(crate) text: Bytes,
    /// The database's own objects.
    pub(crate) catalogue: Option<Arc<Catalogue>>,
    /// The session may have relations of its own, which nobody else knows.
    pub(crate) temporary: bool,
    /// The key of the resource's masks.
    pub(crate) key: MaskKey,
}

#[derive(Clone, Copy, Debug)]
struct Described {
    table: u32,
    number: i16,
    type_oid: u32,
    format: Format,
}

/// The protected columns that a statement gives back something computed from.
pub(super) fn derived(traced: &Traced) -> Option<Columns> {
    match &traced.layout {
        Layout::Clean => None,
        Layout::Unknown(columns) => Some(columns.clone()),
        Layout::Columns(origins) => {
            let computed = origins.iter().filter(|origin| matches!(origin, Origin::From(_)));
            Some(computed.filter_map(Origin::columns).flatten().copied().collect())
        }
    }
}

impl Cover {
    pub(crate) fn new(hidden: Hidden, seen: Seen, bound: Option<Arc<[Format]>>) -> Self {
        let means = Means { key: seen.key.clone(), detectors: hidden.detectors };
        Self {
            hidden,
            seen,
            means,
            bound,
            described: None,
            statement: 0,
            plan: None,
            long: None,
            copy: None,
            copied: None,
            within_copy: false,
        }
    }

    /// The server describes the result that follows.
    pub(crate) fn describe(&mut self, columns: &ColumnNames<'_>) {
        let described = columns.iter().map(|column| Described {
            table: column.table,
            number: column.number,
            type_oid: column.type_oid,
            format: column.format,
        });
        self.described = Some(described.collect());
        self.plan = None;
    }

    /// Copy data follows.
    pub(crate) fn copies(&mut self, shape: &CopyShape<'_>) {
        self.copied = Some(shape.columns.len());
    }

    /// A statement of the text is done; the next one is answered.
    pub(crate) fn next(&mut self) {
        self.statement += 1;
        (self.described, self.plan, self.copied) = (None, None, None);
    }

    /// Copy data has ended.
    ///
    /// # Errors
    /// In the middle of a row.
    pub(crate) fn copied(&mut self) -> Result<(), Unmasked> {
        self.copy.take().map_or(Ok(()), |copy| copy.finish())
    }

    /// What an error or a notice may say.
    pub(crate) fn scrub(&self) -> Option<Scrub<'_>> {
        let traced = self.traced();
        let touches =
            traced.is_none_or(|traced| self.hidden.meets(&traced.touches) || traced.untraced.is_some());
        if touches && self.hidden.masking.is_some() && !self.hidden.columns.is_empty() {
            let text = &self.seen.text;
            Some(if self.hidden.foreign { Scrub::Reading(text) } else { Scrub::Quotes(text) })
        } else {
            (!self.means.detectors.is_empty()).then_some(Scrub::Search(self.means.detectors))
        }
    }

    fn traced(&self) -> Option<&Traced> {
        self.hidden.masking.as_ref()?.statements.get(self.statement)
    }

    /// Whole rows or copy data, one or many messages.
    ///
    /// # Errors
    /// They can't be covered, so nothing more may be released.
    pub(crate) fn rows(&mut self, tag: u8, raw: &[u8], out: &mut BytesMut) -> Result<(), Unmasked> {
        if tag == b'd' {
            let mut rest = raw;
            while !rest.is_empty() {
                let length = rest.get(1..HEAD_BYTES).and_then(|word| word.first_chunk::<4>());
                let length =
                    length.map(|word| u32::from_be_bytes(*word) as usize).ok_or(Unmasked::Malformed)?;
                let message = rest.get(..length + 1).ok_or(Unmasked::Malformed)?;
                self.data(message.get(HEAD_BYTES..).unwrap_or_default(), out)?;
                rest = rest.get(length + 1..).unwrap_or_default();
            }
            return Ok(());
        }
        let count = raw.get(HEAD_BYTES..).and_then(|body| body.first_chunk::<2>());
        let count = count.map(|word| usize::from(u16::from_be_bytes(*word))).ok_or(Unmasked::Malformed)?;
        let plan = self.plan(count);
        if plan.is_idle() {
            out.extend_from_slice(raw);
            return Ok(());
        }
        plan.rows(raw, out)
    }

    /// The head of a long message.
    ///
    /// # Errors
    /// As [`Cover::rows`].
    pub(crate) fn head(&mut self, tag: u8, raw: &[u8]) -> Result<(), Unmasked> {
        self.within_copy = tag == b'd';
        if !self.within_copy {
            let length = raw.get(1..HEAD_BYTES).and_then(|word| word.first_chunk::<4>());
            let length = length.map(|word| u32::from_be_bytes(*word)).ok_or(Unmasked::Malformed)?;
            // Of a row whose first columns are not there yet, the number of columns is that of the layout.
            let count = self.described.as_ref().map(Vec::len).or_else(|| self.expected());
            self.long = Some(LongRow::new(self.plan(count.unwrap_or(0)), length));
        }
        Ok(())
    }

    /// Whether a long message is on its way.
    pub(crate) const fn is_within(&self) -> bool {
        self.within_copy || self.long.is_some()
    }

    /// A piece of a long message.
    ///
    /// # Errors
    /// As [`Cover::rows`].
    pub(crate) fn body(&mut self, piece: &[u8], last: bool, out: &mut BytesMut) -> Result<(), Unmasked> {
        if self.within_copy {
            self.within_copy = !last;
            return self.data(piece, out);
        }
        let Some(long) = &mut self.long else { return Err(Unmasked::Malformed) };
        long.push(piece, out)?;
        if last {
            self.long = None;
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8], out: &mut BytesMut) -> Result<(), Unmasked> {
        if self.copy.is_none() {
            let form = self.traced().and_then(|traced| traced.copy.clone()).ok_or(Unmasked::Malformed)?;
            let plan = self.plan(self.copied.unwrap_or(0));
            self.copy = Some(CopyMask::new((*plan).clone(), form));
        }
        self.copy.as_mut().map_or(Ok(()), |copy| copy.push(data, out))
    }

    /// How many columns were traced.
    fn expected(&self) -> Option<usize> {
        match &self.traced()?.layout {
            Layout::Columns(origins) => Some(origins.len()),
            Layout::Clean | Layout::Unknown(_) => None,
        }
    }

    /// What becomes of each column of a result of so many.
    fn plan(&mut self, count: usize) -> Arc<Plan> {
        if let Some(plan) = &self.plan {
            return Arc::clone(plan);
        }
        let columns = (0..count).map(|place| (self.treatment(place, count), self.format(place))).collect();
        let plan = Arc::new(Plan { columns, means: self.means.clone() });
        self.plan = Some(Arc::clone(&plan));
        plan
    }

    fn format(&self, place: usize) -> Format {
        match (&self.bound, self.described.as_ref().and_then(|columns| columns.get(place))) {
            (Some(formats), _) => match formats.as_ref() {
                [] => Format::Text,
                [all] => *all,
                each => each.get(place).copied().unwrap_or(Format::Text),
            },
            (None, Some(described)) => described.format,
            (None, None) => Format::Text,
        }
    }

    fn treatment(&self, place: usize, count: usize) -> Treatment {
        let described = self.described.as_ref().and_then(|columns| columns.get(place));
        let like = described.map(|one| self.like(one.type_oid));
        if described.is_some_and(|one| self.is_unexpected(one)) {
            return Treatment::Null;
        }
        // Without a catalogue only what reads nothing has come so far, or nothing is hidden but what is found in text.
        if self.hidden.masking.is_none() {
            return self.shown(like);
        }
        let Some(traced) = self.traced() else { return Treatment::Null };
        match &traced.layout {
            Layout::Clean => self.shown(like),
            Layout::Unknown(columns) if self.hidden.meets(columns) => Treatment::Null,
            Layout::Unknown(_) => self.shown(like),
            Layout::Columns(origins) if origins.len() != count => Treatment::Null,
            Layout::Columns(origins) => match origins.get(place) {
                Some(Origin::Is(columns)) if self.hidden.meets(columns) => self.covered(columns, like),
                Some(Origin::Is(columns)) if self.hidden.is_lifted(columns) => Treatment::Keep,
                Some(Origin::From(columns)) if self.hidden.meets(columns) => Treatment::Null,
                Some(_) => self.shown(like),
                None => Treatment::Null,
            },
        }
    }

    /// What is not masked is still searched.
    fn shown(&self, like: Option<u32>) -> Treatment {
        match self.means.detectors.is_empty() {
            true => Treatment::Keep,
            false => Treatment::Search { like: like.unwrap_or(0) },
        }
    }

    fn covered(&self, columns: &Columns, like: Option<u32>) -> Treatment {
        let table = self.hidden.masking.as_ref().map(|masking| &masking.columns);
        let guarded: Vec<_> =
            columns.intersection(&self.hidden.columns).filter_map(|column| table?.get(*column)).collect();
        let Some(first) = guarded.first() else { return Treatment::Null };
        let alike =
            |one: &&countersign_wire::sql::Guarded| one.style == first.style && one.like == first.like;
        let style = if guarded.iter().all(alike) { first.style } else { MaskStyle::Full };
        let known = if guarded.iter().all(|one| one.like == first.like) { first.like } else { 0 };
        Treatment::Cover { style, like: like.unwrap_or(known) }
    }

    /// The built-in type that values of a type are written like.
    fn like(&self, oid: u32) -> u32 {
        let named = self.seen.catalogue.as_ref().and_then(|catalogue| catalogue.named_type(oid));
        named.map_or(if oid < 16_384 { oid } else { 0 }, |(_, like)| like)
    }

    /// Whether the server says that a value comes from where it was not expected.
    fn is_unexpected(&self, described: &Described) -> bool {
        let Some(catalogue) = self.seen.catalogue.as_ref().filter(|_| described.table != 0) else {
            return false;
        };
        let Some(masking) = &self.hidden.masking else { return false };
        if self.hidden.columns.is_empty() || !catalogue.guards(&masking.columns) {
            return false;
        }
        let Some(traced) = self.traced() else { return true };
        match catalogue.origin_of(described.table, described.number) {
            // A relation that was made since, unless it is the session's own.
            None => !self.seen.temporary,
            Some(origin) => origin.columns().is_some_and(|columns| {
                // What was touched has been judged; what was not, nobody has been asked about.
                !columns.is_subset(&traced.touches)
            }),
        }
    }
}
