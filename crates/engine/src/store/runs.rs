//! Many lines in one row.
//!
//! Lines of a transaction that tell of activity are much alike: packed together they take a sixth of the room, and most of
//! what a line costs a store is its bytes. What feeds the book is read by itself and stays by itself, and so do few lines.
//! The bytes of a line are the same before and after; that they are the right ones, the chain tells and not the row.

use super::StoredLine;

/// How many bytes a run has at most before it is packed, so that one line is soon found in it.
const RUN_BYTES_MAX: usize = 64 << 10;

/// What stands before each line.
const LENGTH_BYTES: usize = size_of::<u32>();

/// How many lines share a row at least.
const RUN_MIN: usize = 4;

/// What becomes a row.
pub(super) enum Piece<'a> {
    /// A line by itself.
    One(&'a StoredLine),
    /// Lines one after the other, none of which feeds the book.
    Run(&'a [StoredLine]),
}

/// Divides the lines of a transaction into rows.
pub(super) fn pieces(lines: &[StoredLine]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    for alike in lines.chunk_by(|one, next| !one.decides && !next.decides) {
        let mut left = alike;
        while !left.is_empty() {
            let (run, rest) = left.split_at(fitting(left));
            if run.len() < RUN_MIN {
                pieces.extend(run.iter().map(Piece::One));
            } else {
                pieces.push(Piece::Run(run));
            }
            left = rest;
        }
    }
    pieces
}

/// How many of these lines fit into a row: one at least.
fn fitting(lines: &[StoredLine]) -> usize {
    let mut bytes = 0;
    let beyond = lines.iter().position(|line| {
        bytes += line.bytes.len() + LENGTH_BYTES;
        bytes > RUN_BYTES_MAX
    });
    beyond.unwrap_or(lines.len()).max(1)
}

/// Packs a run: each line's length in four bytes, least first, and the line; all of it in one LZ4 block with its size in front.
pub(super) fn pack(run: &[StoredLine]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(run.iter().map(|line| line.bytes.len() + LENGTH_BYTES).sum());
    for line in run {
        // A line is far shorter than 4 GiB: it is bounded where it is made.
        plain.extend_from_slice(&u32::try_from(line.bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        plain.extend_from_slice(&line.bytes);
    }
    lz4_flex::compress_prepend_size(&plain)
}

/// Unpacks the run that begins with line `first`. Nothing if it is none.
pub(super) fn unpack(first: u64, packed: &[u8]) -> Option<Vec<StoredLine>> {
    let (size, block) = packed.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
    if size > RUN_BYTES_MAX {
        return None;
    }
    let plain = lz4_flex::block::decompress(block, size).ok().filter(|plain| plain.len() == size)?;
    let (mut left, mut lines) = (plain.as_slice(), Vec::new());
    let mut index = first;
    while !left.is_empty() {
        let (length, rest) = left.split_first_chunk::<4>()?;
        let (bytes, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        lines.push(StoredLine { index, decides: false, bytes: bytes.to_vec() });
        index = index.checked_add(1)?;
        left = rest;
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(index: u64, decides: bool, length: usize) -> StoredLine {
        let byte = u8::try_from(index % 251).unwrap();
        StoredLine { index, decides, bytes: std::iter::repeat_n(byte, length).collect() }
    }

    /// `d` decides, `a` is activity, `L` is activity of half a row.
    fn lines(kinds: &str) -> Vec<StoredLine> {
        let long = RUN_BYTES_MAX / 2;
        let one = |(index, kind)| line(index, kind == 'd', if kind == 'L' { long } else { 30 });
        (7..).zip(kinds.chars()).map(one).collect()
    }

    fn shape(lines: &[StoredLine]) -> String {
        let one = |piece: &Piece<'_>| match piece {
            Piece::One(line) => if line.decides { "d" } else { "a" }.to_owned(),
            Piece::Run(run) => format!("({})", run.len()),
        };
        pieces(lines).iter().map(one).collect()
    }

    #[test]
    fn runs_are_of_activity_and_of_several_lines() {
        for (kinds, told) in [
            ("", ""),
            ("a", "a"),
            ("aaa", "aaa"),
            ("aaaa", "(4)"),
            ("aaaadaaaaad", "(4)d(5)d"),
            ("dddddd", "dddddd"),
            ("LLLLL", "aaaaa"),
            ("aaaaLLaaaa", "(5)(5)"),
        ] {
            assert_eq!(shape(&lines(kinds)), told, "{kinds}");
        }
    }

    #[test]
    fn what_is_packed_comes_back_as_it_was() {
        for kinds in ["aaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aLaa"] {
            let lines = lines(kinds);
            assert_eq!(unpack(7, &pack(&lines)).unwrap(), lines);
        }
        let full: Vec<StoredLine> =
            (0..4).map(|index| line(index, false, RUN_BYTES_MAX / 4 - LENGTH_BYTES)).collect();
        assert_eq!(shape(&full), "(4)");
        assert_eq!(unpack(0, &pack(&full)).unwrap(), full);
        let empty: Vec<StoredLine> = (0..9).map(|index| line(index, false, 0)).collect();
        assert_eq!(unpack(0, &pack(&empty)).unwrap(), empty);
    }

    #[test]
    fn what_is_no_run_is_refused_without_taking_memory_for_it() {
        let packed = pack(&lines("aaaaaaaa"));
        assert!(unpack(u64::MAX, &packed).is_none(), "there is no line after the last");
        for cut in 0..packed.len() {
            assert!(unpack(7, &packed[..cut]).is_none(), "{cut}");
        }
        for at in 0..packed.len() {
            for bit in 0..8 {
                let mut bad = packed.clone();
                bad[at] ^= 1 << bit;
                // Other lines, or none; never a panic.
                let _read = unpack(7, &bad);
            }
        }
        let huge = [&u32::MAX.to_le_bytes()[..], &packed[4..]].concat();
        assert!(unpack(7, &huge).is_none());
        let lie = lz4_flex::compress_prepend_size(&[&u32::MAX.to_le_bytes()[..], b"short"].concat());
        assert!(unpack(7, &lie).is_none());
    }
}
