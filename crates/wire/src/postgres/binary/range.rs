//! Ranges as the server writes them: `[1,5)`, and several of them: `{[1,5),[7,9)}`.

use super::{Form, Reader, scalar};

/// The flags of a range (`utils/rangetypes.h`); the server looks at no others.
const EMPTY: u8 = 0x01;
const FROM_INCLUDED: u8 = 0x02;
const TO_INCLUDED: u8 = 0x04;
const FROM_INFINITE: u8 = 0x08;
const TO_INFINITE: u8 = 0x10;

/// Flags, and each bound that there is. It is written as it was sent; the server may write whole numbers otherwise.
pub(super) fn range(of: Form, bytes: &[u8]) -> Option<String> {
    let mut reader = Reader::new("range", bytes);
    let flags = reader.u8("flags").ok()?;
    let has = |flag: u8| flags & flag != 0;
    if has(EMPTY) {
        reader.end().ok()?;
        return Some("empty".to_owned());
    }
    let mut bound = |infinite: bool| -> Option<String> {
        if infinite {
            return Some(String::new());
        }
        let bytes = reader.value_bytes("bound").ok()??;
        Some(quoted(&scalar(of, bytes)?))
    };
    let (from, to) = (bound(has(FROM_INFINITE))?, bound(has(TO_INFINITE))?);
    reader.end().ok()?;
    let open = if has(FROM_INCLUDED) && !has(FROM_INFINITE) { '[' } else { '(' };
    let close = if has(TO_INCLUDED) && !has(TO_INFINITE) { ']' } else { ')' };
    Some(format!("{open}{from},{to}{close}"))
}

/// A count and that many ranges, each with its length.
pub(super) fn ranges(of: Form, bytes: &[u8]) -> Option<String> {
    let mut reader = Reader::new("multirange", bytes);
    let count = reader.count_u31("count").ok()?;
    // Each has a length and flags at least.
    if usize::try_from(count).ok()?.checked_mul(5)? > reader.rest().len() {
        return None;
    }
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(range(of, reader.value_bytes("range").ok()??)?);
    }
    reader.end().ok()?;
    Some(format!("{{{}}}", all.join(",")))
}

fn quoted(text: &str) -> String {
    let special =
        |c: char| "\"\\()[],".contains(c) || matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}');
    if !text.is_empty() && !text.contains(special) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::super::text;

    #[test]
    fn ranges_read_as_the_server_writes_them() {
        let one_to_two =
            [&[0x02, 0, 0, 0, 4][..], &1_i32.to_be_bytes(), &[0, 0, 0, 4], &2_i32.to_be_bytes()].concat();
        assert_eq!(text(3904, &one_to_two).as_deref(), Some("[1,2)"));
        assert_eq!(text(3904, &[0x01]).as_deref(), Some("empty"));
        assert_eq!(text(3904, &[0x1e]).as_deref(), Some("(,)"));
        let length = u32::try_from(one_to_two.len()).unwrap().to_be_bytes();
        let several = [&[0, 0, 0, 1][..], &length, &one_to_two].concat();
        assert_eq!(text(4451, &several).as_deref(), Some("{[1,2)}"));
        assert_eq!(text(4451, &[0; 4]).as_deref(), Some("{}"));
    }

    #[test]
    fn hostile_ranges_have_no_text() {
        for bytes in [&[][..], &[0x01, 0], &[0x02], &[0x02, 0xff, 0xff, 0xff, 0xff], &[0x1a, 0]] {
            assert_eq!(text(3904, bytes), None, "{bytes:?}");
        }
        for bytes in [&[0x7f, 0xff, 0xff, 0xff][..], &[0, 0, 0, 1], &[0xff; 4]] {
            assert_eq!(text(4451, bytes), None, "{bytes:?}");
        }
    }
}
