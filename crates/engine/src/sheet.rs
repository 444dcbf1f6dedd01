//! Sheets: the content of many lines in one row of the store.
//!
//! Statements come by the hundred in one transaction, each with little to keep: a row for each would be half of what
//! writing them costs. What a transaction's statements have is gathered by content key, each key's share is encrypted in one piece, and
//! the shares are one row under the index of its first line. Which lines a share is of stands beside it in clear, and
//! is part of what the cipher vouches for; so a share can't be put under another line, another key or another row, and
//! taking out a key still takes out everything under it, and nothing else.
//!
//! What not: no line is looked for by its content here, and a row is never changed.

use std::sync::Arc;

use crate::house::{Kept, pack_into, unpack};
use crate::ports::Ports;
use crate::seal::{Field, Key};
use crate::store::{Drawer, Put};

/// When a sheet has so much content, in bytes, the next one is begun: whoever reads one line reads the sheet.
const SHEET_BYTES_MAX: usize = 16 * 1024;

/// What tells a share from anything else that is sealed under the same key.
const LABEL: &[u8] = b"sheet/v1";

/// A sheet that is being filled.
#[derive(Default)]
pub(crate) struct Sheet {
    first: u64,
    bytes: usize,
    shares: Vec<Share>,
}

/// What is kept under one content key.
struct Share {
    name: Arc<str>,
    key: Arc<Key>,
    /// Which lines, counted from the sheet's first.
    lines: Vec<u32>,
    /// Their contents, each behind its length.
    plain: Vec<u8>,
}

/// A share as it is found in a row.
pub(crate) struct Found<'a> {
    /// The name of its content key.
    pub(crate) name: &'a str,
    /// What it was sealed for.
    pub(crate) place: Vec<u8>,
    /// Nonce, ciphertext and tag.
    pub(crate) sealed: &'a [u8],
    /// How many lines of the share come before the one in question.
    before: usize,
}

impl Sheet {
    /// Adds what is kept beside a line. Lines come in order.
    pub(crate) fn add(&mut self, index: u64, (name, key): (&Arc<str>, &Arc<Key>), fields: &[Field]) {
        if self.shares.is_empty() {
            self.first = index;
        }
        let own = |share: &Share| Arc::ptr_eq(&share.name, name) || share.name == *name;
        let at = self.shares.iter().position(own).unwrap_or(self.shares.len());
        if at == self.shares.len() {
            let (name, key) = (Arc::clone(name), Arc::clone(key));
            self.shares.push(Share { name, key, lines: Vec::new(), plain: Vec::new() });
        }
        let Some(share) = self.shares.get_mut(at) else { return };
        // A transaction has far fewer than 2^32 lines.
        share.lines.push(u32::try_from(index - self.first).unwrap_or(u32::MAX));
        let start = share.plain.len();
        share.plain.extend_from_slice(&[0; 4]);
        pack_into(&mut share.plain, fields);
        let length = share.plain.len() - start - 4;
        if let Some(slot) = share.plain.get_mut(start..start + 4) {
            // Texts and parameters of one statement are far shorter than 4 GiB.
            slot.copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
        self.bytes += length;
    }

    /// Whether it should be put away.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= SHEET_BYTES_MAX
    }

    /// Puts it away, if there is anything in it, and begins anew.
    pub(crate) fn put_away(&mut self, ports: &Ports) -> Option<Put> {
        let Self { first, bytes, shares } = std::mem::take(self);
        if shares.is_empty() {
            return None;
        }
        let mut row = Vec::with_capacity(bytes + shares.len() * 128);
        for share in shares {
            let head = row.len();
            row.push(u8::try_from(share.name.len()).unwrap_or_default());
            row.extend_from_slice(share.name.as_bytes());
            row.extend_from_slice(&u32::try_from(share.lines.len()).unwrap_or_default().to_be_bytes());
            share.lines.iter().for_each(|line| row.extend_from_slice(&line.to_be_bytes()));
            let place = place_of(first, row.get(head..).unwrap_or_default());
            let sealed = share.key.seal(ports.random(), &place, &share.plain);
            row.extend_from_slice(&u32::try_from(sealed.len()).unwrap_or_default().to_be_bytes());
            row.extend_from_slice(&sealed);
        }
        Some(Put::set(Drawer::Sheets, first.to_be_bytes(), row))
    }
}

/// The share that holds what is kept beside the line at `index`, in the row of a sheet whose first line is at `first`.
pub(crate) fn find(mut row: &[u8], first: u64, index: u64) -> Option<Found<'_>> {
    let wanted = u32::try_from(index.checked_sub(first)?).ok()?.to_be_bytes();
    while !row.is_empty() {
        let head = row;
        let (length, rest) = row.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        let (lines, rest) = take_number(rest)?;
        let (lines, rest) = rest.split_at_checked(lines.checked_mul(4)?)?;
        let head = head.get(..head.len() - rest.len())?;
        let (length, rest) = take_number(rest)?;
        let (sealed, rest) = rest.split_at_checked(length)?;
        if let Some(before) = lines.as_chunks::<4>().0.iter().position(|line| *line == wanted) {
            let name = std::str::from_utf8(name).ok()?;
            return Some(Found { name, place: place_of(first, head), sealed, before });
        }
        row = rest;
    }
    None
}

impl Found<'_> {
    /// What is kept beside the line, of the opened share.
    pub(crate) fn contents(&self, mut plain: &[u8]) -> Option<Vec<Kept>> {
        for _ in 0..self.before {
            let (length, rest) = take_number(plain)?;
            plain = rest.get(length..)?;
        }
        let (length, rest) = take_number(plain)?;
        unpack(rest.get(..length)?)
    }
}

/// What a share is bound to: the row, its key, and its lines.
fn place_of(first: u64, head: &[u8]) -> Vec<u8> {
    [LABEL, &first.to_be_bytes(), head].concat()
}

fn take_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_be_bytes(*number)).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports() -> Ports {
        crate::testing::ports(&crate::testing::ManualClock::default(), 1)
    }

    fn field(text: &str) -> Field {
        Field { at: "/data/text", kind: "statement.text", salt: [7; 16], bytes: text.as_bytes().into() }
    }

    fn names() -> [(Arc<str>, Arc<Key>); 2] {
        [
            ("session:a".into(), Arc::new(Key::new(&[1; 32]))),
            ("session:b".into(), Arc::new(Key::new(&[2; 32]))),
        ]
    }

    /// Lines 100 to 109, the even ones under one key, the odd ones under the other; line 105 has two contents.
    fn filled() -> Put {
        let (mut sheet, names) = (Sheet::default(), names());
        for index in 100..110_u64 {
            let (name, key) = &names[usize::from(index % 2 == 1)];
            let mut fields = vec![field(&format!("text {index}"))];
            if index == 105 {
                fields.push(field(""));
            }
            sheet.add(index, (name, key), &fields);
        }
        sheet.put_away(&ports()).unwrap()
    }

    fn read(row: &[u8], first: u64, index: u64) -> Option<Vec<String>> {
        let found = find(row, first, index)?;
        let names = names();
        let (_, key) = names.iter().find(|(name, _)| **name == *found.name)?;
        let plain = key.open(&found.place, found.sealed)?;
        let kept = found.contents(&plain)?;
        Some(kept.into_iter().map(|kept| String::from_utf8(kept.bytes).unwrap()).collect())
    }

    #[test]
    fn each_line_finds_its_own_again_and_no_other() {
        let put = filled();
        assert_eq!(put.key, 100_u64.to_be_bytes());
        let row = put.value.unwrap();
        for index in 100..110 {
            let expected = match index {
                105 => vec!["text 105".to_owned(), String::new()],
                _ => vec![format!("text {index}")],
            };
            assert_eq!(read(&row, 100, index), Some(expected));
        }
        assert_eq!(read(&row, 100, 99), None);
        assert_eq!(read(&row, 100, 110), None);
    }

    #[test]
    fn a_share_under_another_row_key_or_line_is_not_read() {
        let row = filled().value.unwrap();
        // Under another row the same numbers mean other lines.
        assert_eq!(read(&row, 101, 101), None);
        for place in 0..row.len() {
            let mut changed = row.clone();
            changed[place] ^= 1;
            for index in 100..110 {
                let own = read(&row, 100, index);
                assert!(read(&changed, 100, index).is_none_or(|read| Some(read) == own), "{place} {index}");
            }
        }
        for end in 0..row.len() {
            for index in 100..110 {
                let own = read(&row, 100, index);
                assert!(read(&row[..end], 100, index).is_none_or(|read| Some(read) == own), "{end} {index}");
            }
        }
    }

    #[test]
    fn an_empty_sheet_is_no_row_and_a_full_one_says_so() {
        let mut sheet = Sheet::default();
        assert_eq!(sheet.put_away(&ports()), None);
        let [(name, key), _] = names();
        sheet.add(1, (&name, &key), &[field(&"x".repeat(SHEET_BYTES_MAX))]);
        assert!(sheet.is_full());
        assert!(sheet.put_away(&ports()).is_some());
        assert!(!sheet.is_full());
    }
}
