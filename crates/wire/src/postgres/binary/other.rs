//! What is neither a number nor a time: bits, places, words.

use super::Reader;

/// How many bits, and the bits from the left.
pub(super) fn bits(bytes: &[u8]) -> Option<String> {
    let mut reader = Reader::new("bit", bytes);
    let count = usize::try_from(reader.count_u31("bits").ok()?).ok()?;
    let bytes = reader.remainder();
    if bytes.len() != count.div_ceil(8) {
        return None;
    }
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0);
    Some((0..count).map(|at| if bit(at) { '1' } else { '0' }).collect())
}

/// The place of a row: its block and its number there.
pub(super) fn tid(bytes: &[u8]) -> Option<String> {
    let mut reader = Reader::new("tid", bytes);
    let (block, number) = (reader.u32("block").ok()?, reader.u16("number").ok()?);
    reader.end().ok()?;
    Some(format!("({block},{number})"))
}

/// A place in the server's log.
pub(super) fn lsn(place: u64) -> String {
    format!("{:X}/{:X}", place >> 32, place & u64::from(u32::MAX))
}

/// Words with where they are; in the two highest bits of a place is its weight.
pub(super) fn tsvector(bytes: &[u8]) -> Option<String> {
    let mut reader = Reader::new("tsvector", bytes);
    let count = reader.count_u31("words").ok()?;
    // Each has a terminator and a number of places at least.
    if usize::try_from(count).ok()?.checked_mul(3)? > reader.rest().len() {
        return None;
    }
    let mut words = Vec::new();
    for _ in 0..count {
        let word = std::str::from_utf8(reader.text("word").ok()?).ok()?;
        let mut text = format!("'{}'", word.replace('\\', "\\\\").replace('\'', "''"));
        for index in 0..reader.u16("places").ok()? {
            let place = reader.u16("place").ok()?;
            text.push(if index == 0 { ':' } else { ',' });
            text.push_str(&(place & 0x3fff).to_string());
            text.push_str(match place >> 14 {
                3 => "A",
                2 => "B",
                1 => "C",
                _ => "",
            });
        }
        words.push(text);
    }
    reader.end().ok()?;
    Some(words.join(" "))
}
