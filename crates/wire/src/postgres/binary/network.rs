//! Addresses as the server writes them.

use std::fmt::Write as _;

use super::Reader;

/// The families in the binary form (`utils/inet.h`), which are nobody else's numbers.
const VERSION_4: u8 = 2;
const VERSION_6: u8 = 3;

/// Family, length of the prefix, whether it is a network, length of the address, the address. The third is not looked
/// at by the server either.
pub(super) fn address(bytes: &[u8], is_network: bool) -> Option<String> {
    let mut reader = Reader::new("inet", bytes);
    let family = reader.u8("family").ok()?;
    let prefix = reader.u8("prefix").ok()?;
    reader.u8("kind").ok()?;
    let length = reader.u8("length").ok()?;
    let address = reader.remainder();
    let (text, whole) = match family {
        VERSION_4 => (version_4(address.try_into().ok()?), 32),
        VERSION_6 => (version_6(address.try_into().ok()?), 128),
        _ => return None,
    };
    if usize::from(length) != address.len() || prefix > whole {
        return None;
    }
    Some(if is_network || prefix != whole { format!("{text}/{prefix}") } else { text })
}

pub(super) fn hardware(bytes: &[u8]) -> String {
    let parts: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    parts.join(":")
}

fn version_4(bytes: [u8; 4]) -> String {
    std::net::Ipv4Addr::from(bytes).to_string()
}

/// The longest run of at least two zero words is left out, the first of several; what is an address of version 4 in
/// disguise ends like one.
fn version_6(bytes: [u8; 16]) -> String {
    let words = std::net::Ipv6Addr::from(bytes).segments();
    let (start, length) = zeros(&words);
    let [.., a, b, c, d] = bytes;
    let fifth = words.get(5).copied().unwrap_or_default();
    let disguised = start == 0 && (length == 6 || (length == 5 && fifth == 0xffff));
    let shown = if disguised { 6 } else { 8 };
    let mut text = String::new();
    for (at, word) in words.iter().enumerate().take(shown) {
        if length > 0 && (start..start + length).contains(&at) {
            if at == start {
                text.push(':');
            }
            continue;
        }
        if at > 0 {
            text.push(':');
        }
        let _to_a_string = write!(text, "{word:x}");
    }
    if disguised {
        text.push(':');
        text.push_str(&version_4([a, b, c, d]));
    } else if length > 0 && start + length == 8 {
        text.push(':');
    }
    text
}

/// Where the longest run of zero words begins, and its length; 0 for none of at least two.
fn zeros(words: &[u16; 8]) -> (usize, usize) {
    let (mut best, mut at) = ((0, 0), 0);
    while at < words.len() {
        let length = words.iter().skip(at).take_while(|word| **word == 0).count();
        if length >= 2 && length > best.1 {
            best = (at, length);
        }
        at += length.max(1);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn six(text: &str) -> String {
        let address: std::net::Ipv6Addr = text.parse().unwrap();
        let mut bytes = vec![VERSION_6, 128, 0, 16];
        bytes.extend(address.octets());
        super::address(&bytes, false).unwrap()
    }

    #[test]
    fn addresses_are_short() {
        for text in [
            "::",
            "::1",
            "1::",
            "1:0:0:2::3",
            "2001:db8::1",
            "1:2:3:4:5:6:7:8",
            "::ffff:1.2.3.4",
            "::2.3.4.5",
        ] {
            assert_eq!(six(text), text);
        }
        assert_eq!(six("1:0:0:2:0:0:0:3"), "1:0:0:2::3");
        assert_eq!(six("1:0:2:3:4:5:6:7"), "1:0:2:3:4:5:6:7");
        assert_eq!(super::address(&[2, 24, 1, 4, 10, 1, 2, 0], true).as_deref(), Some("10.1.2.0/24"));
        assert_eq!(super::address(&[2, 32, 0, 4, 10, 1, 2, 3], false).as_deref(), Some("10.1.2.3"));
        assert_eq!(super::address(&[2, 33, 0, 4, 10, 1, 2, 3], false), None);
        assert_eq!(super::address(&[2, 32, 0, 16, 10, 1, 2, 3], false), None);
        assert_eq!(super::address(&[4, 32, 0, 4, 10, 1, 2, 3], false), None);
    }
}
