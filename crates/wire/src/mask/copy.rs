//! The data of a `COPY ... TO STDOUT`: lines of text or CSV, or binary rows, with covered fields.
//!
//! A server sends a row in each message, but nothing promises it: the data is read as one stream, and what is ready is
//! handed on in messages of our own. Fields are taken apart by the rules that COPY writes by (PostgreSQL documentation,
//! COPY, "File Formats"), so a value is seen as it is, and a mask is written by the same rules.

use bytes::{BufMut, BytesMut};

use super::Treatment;
use super::rows::{Plan, ROW_BYTES_MAX, Unmasked};
use super::value::VALUE_BYTES_MAX;
use crate::postgres::Format;
use crate::sql::{CopyForm, CopyFormat};

/// What a binary file begins with.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, and the length of an extension that nobody uses.
const HEADER_BYTES: usize = 19;

/// The data of one COPY on its way.
#[derive(Debug)]
pub struct CopyMask {
    plan: Plan,
    form: CopyForm,
    /// What has come and is not yet a whole row.
    pending: BytesMut,
    /// The line that names the columns, or the head of a binary file, has passed.
    begun: bool,
    /// A binary file has ended.
    over: bool,
}

impl CopyMask {
    /// The data of a COPY in this form.
    #[must_use]
    pub fn new(plan: Plan, form: CopyForm) -> Self {
        Self { plan, form, pending: BytesMut::new(), begun: false, over: false }
    }

    /// Some data has come, without the heads of its messages. Whole rows go, a message for each.
    ///
    /// # Errors
    /// It is not what COPY writes, or a row is too long to be kept.
    pub fn push(&mut self, data: &[u8], out: &mut BytesMut) -> Result<(), Unmasked> {
        self.pending.put_slice(data);
        // A line ends with a line feed, so without a new one there is no new line.
        let may_end = self.form.format == CopyFormat::Binary || data.contains(&b'\n');
        if !may_end {
            return self.is_short();
        }
        loop {
            let mut row = Vec::new();
            let used = match self.form.format {
                CopyFormat::Text | CopyFormat::Csv => self.line(&mut row)?,
                CopyFormat::Binary => self.binary(&mut row)?,
            };
            let Some(used) = used else { break };
            let _ = self.pending.split_to(used);
            message(&row, out)?;
        }
        self.is_short()
    }

    fn is_short(&self) -> Result<(), Unmasked> {
        if self.pending.len() > ROW_BYTES_MAX { Err(Unmasked::TooLong) } else { Ok(()) }
    }

    /// All data has come.
    ///
    /// # Errors
    /// A row is cut off.
    pub fn finish(&self) -> Result<(), Unmasked> {
        if self.pending.is_empty() { Ok(()) } else { Err(Unmasked::Malformed) }
    }

    /// One line, if it is there whole.
    fn line(&mut self, row: &mut Vec<u8>) -> Result<Option<usize>, Unmasked> {
        let csv = self.form.format == CopyFormat::Csv;
        let (mut start, mut place) = (0, 0);
        loop {
            let Some(end) = self.field_end(start) else { return Ok(None) };
            let byte = self.pending.get(end).copied().unwrap_or_default();
            let raw = self.pending.get(start..end).unwrap_or_default();
            if self.form.header && !self.begun {
                row.extend_from_slice(raw);
            } else if csv {
                self.csv_field(place, raw, row)?;
            } else {
                self.text_field(place, raw, row)?;
            }
            row.push(byte);
            (start, place) = (end + 1, place + 1);
            if byte == b'\n' {
                self.begun = true;
                return Ok(Some(start));
            }
        }
    }

    /// Where a field ends: at a delimiter or the end of its line. Text escapes both, CSV may have either in quotes.
    fn field_end(&self, start: usize) -> Option<usize> {
        let mut quoted = false;
        let mut at = start;
        loop {
            let byte = *self.pending.get(at)?;
            match self.form.format {
                CopyFormat::Text if byte == b'\\' => at += 1,
                CopyFormat::Csv
                    if quoted && byte == self.form.escape && self.form.escape != self.form.quote =>
                {
                    at += 1
                }
                CopyFormat::Csv if byte == self.form.quote => quoted = !quoted,
                _ if !quoted && (byte == self.form.delimiter || byte == b'\n') => return Some(at),
                _ => {}
            }
            at += 1;
        }
    }

    fn text_field(&self, place: usize, raw: &[u8], row: &mut Vec<u8>) -> Result<(), Unmasked> {
        let treatment = self.treatment(place);
        if treatment == Treatment::Keep || raw == self.form.null {
            row.extend_from_slice(raw);
            return Ok(());
        }
        let value = unescaped(raw).ok_or(Unmasked::Malformed)?;
        match self.plan.means.treat(treatment, Format::Text, &value) {
            None => row.extend_from_slice(&self.form.null),
            Some(covered) => escape(&covered, self.form.delimiter, row),
        }
        Ok(())
    }

    fn csv_field(&self, place: usize, raw: &[u8], row: &mut Vec<u8>) -> Result<(), Unmasked> {
        let treatment = self.treatment(place);
        if treatment == Treatment::Keep || raw == self.form.null {
            row.extend_from_slice(raw);
            return Ok(());
        }
        let value = self.unquoted(raw);
        match self.plan.means.treat(treatment, Format::Text, &value) {
            None => row.extend_from_slice(&self.form.null),
            Some(covered) => self.quote(&covered, row),
        }
        Ok(())
    }

    fn unquoted(&self, raw: &[u8]) -> Vec<u8> {
        let (mut value, mut quoted, mut at) = (Vec::with_capacity(raw.len()), false, 0);
        while let Some(byte) = raw.get(at).copied() {
            let next = raw.get(at + 1).copied();
            if quoted
                && byte == self.form.escape
                && next.is_some_and(|next| next == self.form.quote || next == byte)
            {
                value.extend(next);
                at += 1;
            } else if byte == self.form.quote {
                quoted = !quoted;
            } else {
                value.push(byte);
            }
            at += 1;
        }
        value
    }

    fn quote(&self, value: &[u8], row: &mut Vec<u8>) {
        row.push(self.form.quote);
        for byte in value {
            if *byte == self.form.quote || *byte == self.form.escape {
                row.push(self.form.escape);
            }
            row.push(*byte);
        }
        row.push(self.form.quote);
    }

    fn treatment(&self, place: usize) -> Treatment {
        self.plan.columns.get(place).map_or(Treatment::Null, |(treatment, _)| *treatment)
    }

    /// The head of a file, a row, or its end, if it is there whole.
    fn binary(&mut self, row: &mut Vec<u8>) -> Result<Option<usize>, Unmasked> {
        if self.over {
            return if self.pending.is_empty() { Ok(None) } else { Err(Unmasked::Malformed) };
        }
        if !self.begun {
            let Some(head) = self.pending.get(..HEADER_BYTES) else { return Ok(None) };
            if !head.starts_with(SIGNATURE) || head.get(15..) != Some(&[0; 4]) {
                return Err(Unmasked::Malformed);
            }
            row.extend_from_slice(head);
            self.begun = true;
            return Ok(Some(HEADER_BYTES));
        }
        let Some(count) = self.pending.first_chunk::<2>() else { return Ok(None) };
        let count = u16::from_be_bytes(*count);
        row.extend_from_slice(&count.to_be_bytes());
        if count == u16::MAX {
            self.over = true;
            return Ok(Some(2));
        }
        let mut at = 2;
        for place in 0..usize::from(count) {
            let Some(word) = self.pending.get(at..).and_then(|rest| rest.first_chunk::<4>()) else {
                return Ok(None);
            };
            let length = u32::from_be_bytes(*word);
            at += 4;
            if length == u32::MAX {
                row.extend_from_slice(&length.to_be_bytes());
                continue;
            }
            let Some(value) = self.pending.get(at..at.saturating_add(length as usize)) else {
                return Ok(None);
            };
            at += length as usize;
            let kept = value.get(..value.len().min(VALUE_BYTES_MAX + 1)).unwrap_or_default();
            let covered = match self.treatment(place) {
                Treatment::Keep => Some(value.to_vec()),
                treatment => self.plan.means.treat(treatment, Format::Binary, kept),
            };
            match covered {
                None => row.extend_from_slice(&u32::MAX.to_be_bytes()),
                Some(covered) => {
                    let length = u32::try_from(covered.len()).map_err(|_| Unmasked::TooLong)?;
                    row.extend_from_slice(&length.to_be_bytes());
                    row.extend_from_slice(&covered);
                }
            }
        }
        Ok(Some(at))
    }
}

fn message(data: &[u8], out: &mut BytesMut) -> Result<(), Unmasked> {
    out.put_u8(b'd');
    out.put_u32(u32::try_from(data.len() + 4).map_err(|_| Unmasked::TooLong)?);
    out.put_slice(data);
    Ok(())
}

/// What a field of the text form says. COPY writes no octal or hexadecimal escapes.
fn unescaped(raw: &[u8]) -> Option<Vec<u8>> {
    let (mut value, mut bytes) = (Vec::with_capacity(raw.len()), raw.iter().copied());
    while let Some(byte) = bytes.next() {
        value.push(match byte {
            b'\\' => match bytes.next()? {
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 11,
                other => other,
            },
            other => other,
        });
    }
    Some(value)
}

fn escape(value: &[u8], delimiter: u8, row: &mut Vec<u8>) {
    for byte in value {
        let letter = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            b'\\' => b'\\',
            other if *other == delimiter => delimiter,
            other => {
                row.push(*other);
                continue;
            }
        };
        row.extend([b'\\', letter]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::{Detectors, MaskKey, Means};
    use countersign_core::catalogue::MaskStyle;

    const FULL: Treatment = Treatment::Cover { style: MaskStyle::Full, like: 25 };
    const LAST: Treatment = Treatment::Cover { style: MaskStyle::Partial, like: 25 };

    fn form(format: CopyFormat, delimiter: u8, null: &str) -> CopyForm {
        CopyForm {
            format,
            delimiter,
            null: null.as_bytes().to_vec(),
            header: false,
            quote: b'"',
            escape: b'"',
        }
    }

    fn masked(form: &CopyForm, columns: &[Treatment], data: &[u8]) -> Result<Vec<u8>, Unmasked> {
        let means = Means { key: MaskKey::new([7; 32]), detectors: Detectors::default() };
        let plan = Plan { columns: columns.iter().map(|one| (*one, Format::Text)).collect(), means };
        let mut answers = Vec::new();
        for size in [1, 5, 10_000] {
            let (mut copy, mut out) = (CopyMask::new(plan.clone(), form.clone()), BytesMut::new());
            for piece in data.chunks(size) {
                copy.push(piece, &mut out)?;
            }
            copy.finish()?;
            let mut plain = Vec::new();
            let mut rest = &out[..];
            while let Some(length) = rest.get(1..5) {
                let end = 1 + u32::from_be_bytes(length.try_into().unwrap()) as usize;
                plain.extend_from_slice(&rest[5..end]);
                rest = &rest[end..];
            }
            answers.push(plain);
        }
        assert!(answers.iter().all(|one| *one == answers[0]), "however it is cut");
        Ok(answers.remove(0))
    }

    #[test]
    fn text_is_taken_apart_as_it_was_written() {
        let text = form(CopyFormat::Text, b'\t', "\\N");
        let data = b"1\tse\\tcret\\nvalue\\\\\tx\n\\N\t\\N\t\\N\n2\t\t\\.\n";
        let out = masked(&text, &[Treatment::Keep, FULL, Treatment::Keep], data).unwrap();
        assert_eq!(out, b"1\t***\tx\n\\N\t\\N\t\\N\n2\t***\t\\.\n");
        let out =
            masked(&text, &[Treatment::Null, LAST, Treatment::Keep], b"1\tabcdefgh\\t\\n\\\\\tx\n").unwrap();
        assert_eq!(out, b"\\N\t***\\t\\n\\\\\tx\n");
        let piped = form(CopyFormat::Text, b'|', "");
        assert_eq!(masked(&piped, &[FULL, Treatment::Keep], b"a\\|b|c\n|d\n").unwrap(), b"***|c\n|d\n");
        assert_eq!(masked(&text, &[FULL], b"a\tb\n").unwrap(), b"***\t\\N\n", "a column that nobody knows");
        assert!(masked(&text, &[FULL], b"a").is_err());
    }

    #[test]
    fn csv_is_taken_apart_as_it_was_written() {
        let csv = form(CopyFormat::Csv, b',', "");
        let out = masked(
            &csv,
            &[Treatment::Keep, FULL, Treatment::Keep],
            b"1,\"se\"\"cr,et\n\",x\n,,\n2,\"\",\"a\n\"\n",
        );
        assert_eq!(out.unwrap(), b"1,\"***\",x\n,,\n2,\"***\",\"a\n\"\n");
        let header = CopyForm { header: true, ..csv.clone() };
        assert_eq!(masked(&header, &[FULL], b"\"a,\"\"b\"\nsecret\n").unwrap(), b"\"a,\"\"b\"\n\"***\"\n");
        let odd = CopyForm { quote: b'\'', escape: b'\\', ..csv };
        let out = masked(&odd, &[Treatment::Keep, LAST], b"'\\',\n',abcdefgh'ijk\\'l'\n").unwrap();
        assert_eq!(out, b"'\\',\n','***jk\\'l'\n");
    }

    #[test]
    fn binary_rows_are_covered() {
        let head = [SIGNATURE, &[0; 8]].concat();
        let row = |values: &[Option<&[u8]>]| {
            let mut out = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
            for value in values {
                match value {
                    None => out.extend(u32::MAX.to_be_bytes()),
                    Some(value) => {
                        out.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
                        out.extend_from_slice(value);
                    }
                }
            }
            out
        };
        let end = [0xff, 0xff];
        let data =
            [head.clone(), row(&[Some(b"secret"), Some(b"x")]), row(&[None, None]), end.to_vec()].concat();
        let binary = form(CopyFormat::Binary, b'\t', "\\N");
        let out = masked(&binary, &[FULL, Treatment::Keep], &data).unwrap();
        assert_eq!(
            out,
            [head.clone(), row(&[Some(b"***"), Some(b"x")]), row(&[None, None]), end.to_vec()].concat()
        );
        assert!(masked(&binary, &[FULL], &[&data[..], b"more"].concat()).is_err());
        assert!(masked(&binary, &[FULL], b"PGCOPY wrong and longer than a head").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_data_is_taken_apart_or_refused(
            data in proptest::collection::vec(proptest::sample::select(b"ab\\\"'\t\n,|\0\xff".to_vec()), 0..200),
            binary in proptest::prelude::any::<bool>(),
            csv in proptest::prelude::any::<bool>(),
        ) {
            let format = if binary { CopyFormat::Binary } else if csv { CopyFormat::Csv } else { CopyFormat::Text };
            let data = if binary { [SIGNATURE, &[0; 8], &data].concat() } else { data };
            // Masked is not what came: no field of letters passes where all are covered.
            if let Ok(out) = masked(&form(format, b',', ""), &[Treatment::Null; 16], &data)
                && format == CopyFormat::Text
            {
                proptest::prop_assert!(!out.contains(&b'a'), "{:?}", String::from_utf8_lossy(&out));
            }
        }
    }
}
