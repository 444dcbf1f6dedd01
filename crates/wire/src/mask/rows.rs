//! Rows, column by column: what is to be covered is covered, the rest passes as it came.
//!
//! A row that is there whole is written anew in one go. A long one comes in pieces ([`LongRow`]) and is written in pieces:
//! its head says how long it is, so nothing of it can go before the length of the last covered value is known. Until then
//! what is not covered is kept, within a limit; what is covered is not, but for what its mask is made of. Behind the last
//! covered column everything passes as it comes.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use countersign_core::catalogue::MaskStyle;

use super::detect::{Detector, Fill};
use super::value::{self, VALUE_BYTES_MAX};
use super::{Means, Treatment};
use crate::postgres::Format;
use crate::postgres::backend::{Body, Message};
use crate::postgres::{Limits, Phase};

/// The most of one row that is kept in front of its last covered column, in bytes.
pub const ROW_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a length word says for NULL.
const NULL: u32 = u32::MAX;

/// What becomes of the rows of one result.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What becomes of each column, and in which form its values come. More columns than these become NULL.
    pub columns: Vec<(Treatment, Format)>,
    /// What masks are made with.
    pub means: Means,
}

/// A row can't be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmasked {
    /// It is not a row.
    #[error("a row is not understood")]
    Malformed,
    /// Too much would have to be kept.
    #[error(
        "a row has more than {ROW_BYTES_MAX} bytes in front of a masked column; select the long columns by themselves"
    )]
    TooLong,
}

impl Plan {
    /// Whether nothing has to be done.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.columns.iter().all(|(treatment, _)| *treatment == Treatment::Keep)
    }

    fn column(&self, place: usize) -> (Treatment, Format) {
        self.columns.get(place).copied().unwrap_or((Treatment::Null, Format::Text))
    }

    /// Writes whole rows anew.
    ///
    /// # Errors
    /// Something among them is no row.
    pub fn rows(&self, raw: &[u8], out: &mut BytesMut) -> Result<(), Unmasked> {
        let limits = Limits::new(Phase::Server);
        let mut rest = raw;
        out.reserve(raw.len());
        while !rest.is_empty() {
            let Ok(Some((message, used))) = Message::decode(rest, &limits) else {
                return Err(Unmasked::Malformed);
            };
            let Body::DataRow(values) = message.body() else { return Err(Unmasked::Malformed) };
            let start = out.len();
            out.put_u8(b'D');
            out.put_u32(0);
            out.put_u16(u16::try_from(values.len()).map_err(|_| Unmasked::Malformed)?);
            for (place, value) in values.iter().enumerate() {
                self.value(place, value, out);
            }
            let length = u32::try_from(out.len() - start - 1).map_err(|_| Unmasked::TooLong)?;
            if let Some(word) = out.get_mut(start + 1..start + 5) {
                word.copy_from_slice(&length.to_be_bytes());
            }
            rest = rest.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    fn value(&self, place: usize, value: Option<&[u8]>, out: &mut BytesMut) {
        let (treatment, format) = self.column(place);
        match (value, treatment) {
            (Some(value), Treatment::Keep) => put(Some(value), out),
            (None, _) | (_, Treatment::Null) => put(None, out),
            (Some(value), treatment) => put(self.means.treat(treatment, format, value).as_deref(), out),
        }
    }
}

fn put(value: Option<&[u8]>, out: &mut BytesMut) {
    match value.map(|value| (value, u32::try_from(value.len()).unwrap_or(NULL))) {
        Some((value, length)) if length != NULL => {
            out.put_u32(length);
            out.put_slice(value);
        }
        _ => out.put_u32(NULL),
    }
}

impl Means {
    /// What becomes of a value that is there whole. Nothing: NULL.
    #[must_use]
    pub fn treat(&self, treatment: Treatment, format: Format, value: &[u8]) -> Option<Vec<u8>> {
        match treatment {
            Treatment::Keep => Some(value.to_vec()),
            Treatment::Null => None,
            Treatment::Cover { style, like } => value::cover(&self.key, style, like, format, value),
            Treatment::Search { like } => self.searched(like, format, value),
        }
    }

    fn searched(&self, like: u32, format: Format, value: &[u8]) -> Option<Vec<u8>> {
        if format == Format::Binary && matches!(like, 650 | 869) && self.detectors.has(Detector::Ip) {
            return value::cover(&self.key, MaskStyle::Partial, like, format, value);
        }
        if value.len() > VALUE_BYTES_MAX {
            return value::cover_unseen(like, format);
        }
        let mut covered = value.to_vec();
        if holds_no_text(like) {
            return Some(covered);
        }
        let fill = if matches!(like, 19 | 25 | 1042 | 1043) { Fill::Stars } else { Fill::Shape };
        self.detectors.cover(&mut covered, fill);
        Some(covered)
    }
}

/// Types whose values are no text that anybody has written: numbers, times, truth values.
fn holds_no_text(like: u32) -> bool {
    matches!(like, 16 | 20 | 21 | 23 | 26 | 700 | 701 | 1082 | 1083 | 1114 | 1184 | 1186 | 1266 | 1700 | 2950)
}

/// A long row on its way.
#[derive(Debug)]
pub struct LongRow {
    plan: Arc<Plan>,
    /// Bytes of its body that have not come.
    left: usize,
    /// How much longer or shorter it becomes.
    change: i64,
    /// What is ready, without a head as long as that is not known.
    kept: BytesMut,
    /// The length that its head said.
    length: u32,
    state: State,
    /// Columns that come behind the one that is on its way.
    place: usize,
    columns: usize,
    passing: bool,
}

#[derive(Debug)]
enum State {
    /// The number of columns, or the length of a value; bytes of it that have come.
    Word(Vec<u8>),
    /// A value that passes.
    Pass(usize),
    /// A value that is covered: bytes that are still to come, how many there are, and as much of it as is kept.
    Cover { left: usize, length: usize, kept: Vec<u8> },
}

impl LongRow {
    /// A row whose head has come. `length` is what the head says.
    #[must_use]
    pub fn new(plan: Arc<Plan>, length: u32) -> Self {
        let left = (length as usize).saturating_sub(4);
        let state = State::Word(Vec::with_capacity(4));
        let kept = BytesMut::new();
        Self { plan, left, change: 0, kept, length, state, place: usize::MAX, columns: 0, passing: false }
    }

    /// Some of the body has come; what can go is appended.
    ///
    /// # Errors
    /// It is no row, or too much would have to be kept.
    pub fn push(&mut self, mut piece: &[u8], out: &mut BytesMut) -> Result<(), Unmasked> {
        self.left = self.left.checked_sub(piece.len()).ok_or(Unmasked::Malformed)?;
        while !piece.is_empty() {
            if self.passing {
                out.put_slice(piece);
                return Ok(());
            }
            let used = self.step(piece)?;
            piece = piece.get(used..).unwrap_or_default();
            if self.kept.len() > ROW_BYTES_MAX {
                return Err(Unmasked::TooLong);
            }
            self.settle(out)?;
        }
        if self.left == 0 && !self.passing {
            return Err(Unmasked::Malformed);
        }
        Ok(())
    }

    /// Once every column that is left passes, the head is known.
    fn settle(&mut self, out: &mut BytesMut) -> Result<(), Unmasked> {
        let at_word = matches!(&self.state, State::Word(bytes) if bytes.is_empty());
        let started = self.place != usize::MAX;
        let settled = started
            && at_word
            && (self.place..self.columns).all(|place| self.plan.column(place).0 == Treatment::Keep);
        if settled {
            let length = i64::from(self.length) + self.change;
            out.put_u8(b'D');
            out.put_u32(u32::try_from(length).map_err(|_| Unmasked::TooLong)?);
            out.put_slice(&self.kept);
            self.kept = BytesMut::new();
            self.passing = true;
        }
        Ok(())
    }

    /// Takes in some bytes; how many.
    fn step(&mut self, piece: &[u8]) -> Result<usize, Unmasked> {
        match &mut self.state {
            State::Word(bytes) => {
                let wanted = if self.place == usize::MAX { 2 } else { 4 };
                let used = piece.len().min(wanted - bytes.len());
                bytes.extend_from_slice(piece.get(..used).unwrap_or_default());
                if bytes.len() == wanted {
                    let bytes = std::mem::take(bytes);
                    self.word(&bytes)?;
                }
                Ok(used)
            }
            State::Pass(left) => {
                let used = piece.len().min(*left);
                self.kept.put_slice(piece.get(..used).unwrap_or_default());
                *left -= used;
                if *left == 0 {
                    self.next();
                }
                Ok(used)
            }
            State::Cover { left, kept, .. } => {
                let used = piece.len().min(*left);
                let room = (VALUE_BYTES_MAX + 1).saturating_sub(kept.len()).min(used);
                kept.extend_from_slice(piece.get(..room).unwrap_or_default());
                *left -= used;
                if *left == 0 {
                    self.covered();
                }
                Ok(used)
            }
        }
    }

    fn word(&mut self, bytes: &[u8]) -> Result<(), Unmasked> {
        let number = bytes.iter().fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
        if self.place == usize::MAX {
            self.kept.put_slice(bytes);
            (self.columns, self.place) = (number as usize, 0);
            return Ok(());
        }
        if self.place >= self.columns {
            return Err(Unmasked::Malformed);
        }
        let (treatment, _) = self.plan.column(self.place);
        match (number, treatment) {
            (NULL, _) => {
                self.kept.put_u32(NULL);
                self.next();
            }
            (length, Treatment::Keep) => {
                self.kept.put_u32(length);
                self.state = State::Pass(length as usize);
                if length == 0 {
                    self.next();
                }
            }
            (length, _) => {
                let length = length as usize;
                self.state = State::Cover { left: length, length, kept: Vec::new() };
                if length == 0 {
                    self.covered();
                }
            }
        }
        Ok(())
    }

    fn covered(&mut self) {
        let State::Cover { length, kept, .. } = std::mem::replace(&mut self.state, State::Word(Vec::new()))
        else {
            return;
        };
        let (treatment, format) = self.plan.column(self.place);
        let before = self.kept.len();
        put(self.plan.means.treat(treatment, format, &kept).as_deref(), &mut self.kept);
        let written = i64::try_from(self.kept.len() - before).unwrap_or(0) - 4;
        self.change += written - i64::try_from(length).unwrap_or(0);
        self.next();
    }

    fn next(&mut self) {
        self.place += 1;
        self.state = State::Word(Vec::with_capacity(4));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::MaskKey;
    use crate::postgres::encode::server;

    fn plan(columns: &[Treatment]) -> Arc<Plan> {
        let means = Means { key: MaskKey::new([7; 32]), detectors: [Detector::Email].into_iter().collect() };
        Arc::new(Plan { columns: columns.iter().map(|one| (*one, Format::Text)).collect(), means })
    }

    fn row(values: &[Option<&[u8]>]) -> BytesMut {
        let mut out = BytesMut::new();
        server::data_row(&mut out, values).unwrap();
        out
    }

    const COVER: Treatment = Treatment::Cover { style: MaskStyle::Full, like: 25 };

    fn in_pieces(plan: &Arc<Plan>, raw: &[u8], size: usize) -> Result<BytesMut, Unmasked> {
        let length = u32::from_be_bytes(raw[1..5].try_into().unwrap());
        let (mut long, mut out) = (LongRow::new(Arc::clone(plan), length), BytesMut::new());
        for piece in raw[5..].chunks(size) {
            long.push(piece, &mut out)?;
        }
        Ok(out)
    }

    #[test]
    fn rows_are_covered_alike_whole_and_in_pieces() {
        let long = vec![b'a'; 200_000];
        let shapes: &[&[Treatment]] = &[
            &[COVER, Treatment::Keep, Treatment::Null],
            &[Treatment::Keep, COVER, Treatment::Keep],
            &[Treatment::Keep, Treatment::Keep, Treatment::Search { like: 25 }],
            &[Treatment::Null, Treatment::Null, Treatment::Null],
            &[COVER],
        ];
        for values in [
            [Some(&b"one"[..]), Some(b"two"), None],
            [Some(&b""[..]), None, Some(b"a@b.com")],
            [None, None, None],
            [Some(&long), Some(&b"x"[..]), Some(&long)],
            [Some(&b"x"[..]), Some(&long), Some(&b""[..])],
        ] {
            let raw = row(&values);
            for shape in shapes {
                let plan = plan(shape);
                let mut whole = BytesMut::new();
                // A row that comes whole is short; the limit of frames does not hold here.
                if raw.len() < 60_000 {
                    plan.rows(&raw, &mut whole).unwrap();
                }
                let expected: Vec<Option<Vec<u8>>> = values
                    .iter()
                    .enumerate()
                    .map(|(place, value)| match (value, plan.column(place).0) {
                        (None, _) | (_, Treatment::Null) => None,
                        (Some(value), treatment) => plan.means.treat(treatment, Format::Text, value),
                    })
                    .collect();
                let expected: Vec<Option<&[u8]>> = expected.iter().map(Option::as_deref).collect();
                let expected = row(&expected);
                if raw.len() < 60_000 {
                    assert_eq!(whole, expected);
                }
                for size in [1, 3, 7, 1000, 1_000_000] {
                    if size < 10 && raw.len() > 60_000 {
                        continue;
                    }
                    assert_eq!(in_pieces(&plan, &raw, size).unwrap(), expected, "{shape:?} {size}");
                }
            }
        }
    }

    #[test]
    fn a_value_of_any_size_is_covered_in_little_memory() {
        let plan = plan(&[COVER, Treatment::Keep]);
        let megabyte = vec![b's'; 1_000_000];
        let body = 2 + 4 + 100 * megabyte.len() + 4 + 2;
        let (mut long, mut out) = (LongRow::new(plan, u32::try_from(body).unwrap() + 4), BytesMut::new());
        long.push(&[0, 2], &mut out).unwrap();
        long.push(&u32::try_from(100 * megabyte.len()).unwrap().to_be_bytes(), &mut out).unwrap();
        for _ in 0..100 {
            long.push(&megabyte, &mut out).unwrap();
            assert!(long.kept.capacity() < 1_000_000, "nothing of it is kept");
        }
        long.push(&[0, 0, 0, 2, b'o', b'k'], &mut out).unwrap();
        assert_eq!(out, row(&[Some(b"***"), Some(b"ok")]));
    }

    #[test]
    fn what_is_no_row_is_told() {
        let plan = plan(&[COVER, Treatment::Keep]);
        let raw = row(&[Some(b"secret"), Some(b"x")]);
        for cut in 5..raw.len() {
            let mut broken = raw.to_vec();
            broken.truncate(cut);
            let length = u32::try_from(cut - 1).unwrap();
            broken[1..5].copy_from_slice(&length.to_be_bytes());
            let whole = plan.rows(&broken, &mut BytesMut::new());
            assert_eq!(whole, Err(Unmasked::Malformed), "{cut}");
            let out = in_pieces(&plan, &broken, 1);
            assert!(out.is_err() || !out.unwrap().windows(6).any(|part| part == b"secret"), "{cut}");
        }
        assert_eq!(plan.rows(b"C\0\0\0\x08SELE", &mut BytesMut::new()), Err(Unmasked::Malformed));
        let huge = Arc::clone(&plan);
        let mut long = LongRow::new(
            Arc::new(Plan { columns: huge.columns.iter().rev().copied().collect(), ..(*huge).clone() }),
            u32::MAX / 2,
        );
        let mut out = BytesMut::new();
        long.push(&[0, 2, 0x3f, 0xff, 0xff, 0xff], &mut out).unwrap();
        let piece = vec![0; 1_000_000];
        let result = (0..20).find_map(|_| long.push(&piece, &mut out).err());
        assert_eq!(result, Some(Unmasked::TooLong));
        assert!(out.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_row_or_refused(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80), size in 1usize..20) {
            let plan = plan(&[COVER, Treatment::Keep, Treatment::Search { like: 25 }, Treatment::Null]);
            let length = u32::try_from(body.len() + 4).unwrap();
            let raw = [&b"D"[..], &length.to_be_bytes(), &body].concat();
            let mut whole = BytesMut::new();
            let first = plan.rows(&raw, &mut whole);
            if let Ok(pieces) = in_pieces(&plan, &raw, size) && first.is_ok() {
                proptest::prop_assert_eq!(&pieces[..], &whole[..]);
            }
        }
    }
}
