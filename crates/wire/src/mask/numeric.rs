//! The binary form of `numeric`: groups of four decimal digits (`src/backend/utils/adt/numeric.c`, `numeric_send`).

/// A plain decimal number, perhaps negative, in binary.
pub(super) fn encode(text: &str) -> Option<Vec<u8>> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (0x4000_u16, rest),
        None => (0, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let scale = u16::try_from(fraction.len()).ok()?;
    let before = whole.len().div_ceil(4) * 4 - whole.len();
    let behind = fraction.len().div_ceil(4) * 4 - fraction.len();
    let digits: Vec<u8> = std::iter::repeat_n(b'0', before)
        .chain(whole.bytes())
        .chain(fraction.bytes())
        .chain(std::iter::repeat_n(b'0', behind))
        .collect();
    let group = |group: &[u8]| std::str::from_utf8(group).ok()?.parse::<u16>().ok();
    let mut groups = digits.chunks(4).map(group).collect::<Option<Vec<u16>>>()?;
    let mut weight = i16::try_from(whole.len().div_ceil(4)).ok()? - 1;
    let leading = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading);
    weight -= i16::try_from(leading).ok()?;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let (weight, sign) = if groups.is_empty() { (0, 0) } else { (weight, sign) };
    let mut out = Vec::with_capacity(8 + groups.len() * 2);
    out.extend(u16::try_from(groups.len()).ok()?.to_be_bytes());
    out.extend(weight.to_be_bytes());
    out.extend(sign.to_be_bytes());
    out.extend(scale.to_be_bytes());
    groups.iter().for_each(|group| out.extend(group.to_be_bytes()));
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::binary;

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "0",
            "0.00",
            "1",
            "-1",
            "9999",
            "10000",
            "12345678.9",
            "-0.001",
            "0.00012345",
            "80000",
            "100000000",
        ] {
            assert_eq!(binary::text(1700, &encode(text).unwrap()).as_deref(), Some(text));
        }
        assert_eq!(encode("1x"), None);
    }
}
