//! Keyed stand-ins: hashes, and values of the same form.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::MaskKey;

/// A stream of bytes that only the key and the value decide.
pub(super) struct Stream<'a> {
    key: &'a MaskKey,
    purpose: &'static [u8],
    value: &'a [u8],
    block: [u8; 32],
    used: usize,
    count: u32,
}

impl<'a> Stream<'a> {
    pub(super) fn new(key: &'a MaskKey, purpose: &'static [u8], value: &'a [u8]) -> Self {
        Stream { key, purpose, value, block: [0; 32], used: 32, count: 0 }
    }

    pub(super) fn byte(&mut self) -> u8 {
        if self.used >= self.block.len() {
            self.block = mac(self.key, &[self.purpose, &self.count.to_be_bytes(), self.value]);
            (self.used, self.count) = (0, self.count.wrapping_add(1));
        }
        let byte = self.block.get(self.used).copied().unwrap_or_default();
        self.used += 1;
        byte
    }

    /// A number below `limit`, nearly evenly: four bytes for limits of at most 64.
    pub(super) fn below(&mut self, limit: u32) -> u32 {
        let word = u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()]);
        word % limit.max(1)
    }

    pub(super) fn digit(&mut self) -> u8 {
        b'0' + u8::try_from(self.below(10)).unwrap_or(0)
    }
}

/// The keyed hash of parts, each with its length.
pub(super) fn mac(key: &MaskKey, parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of every length, so there is always one.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.0.as_ref()) else { return [0; 32] };
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Letters for letters, digits for digits; everything else stays, and so does the domain of a mail address.
pub(super) fn shaped(key: &MaskKey, text: &str, out: &mut String) {
    let mut stream = Stream::new(key, b"form", text.as_bytes());
    let kept = text.rfind('@').filter(|at| is_domain(text.get(at + 1..).unwrap_or_default()));
    for (place, letter) in text.char_indices() {
        if kept.is_some_and(|at| place >= at) {
            out.push(letter);
            continue;
        }
        out.push(match letter {
            '0'..='9' => char::from(stream.digit()),
            'A'..='Z' => char::from(b'A' + u8::try_from(stream.below(26)).unwrap_or(0)),
            letter if letter.is_uppercase() => char::from(b'A' + u8::try_from(stream.below(26)).unwrap_or(0)),
            letter if letter.is_alphanumeric() => {
                char::from(b'a' + u8::try_from(stream.below(26)).unwrap_or(0))
            }
            other => other,
        });
    }
}

/// Whether what stands behind an `@` is the name of a host.
pub(super) fn is_domain(text: &str) -> bool {
    let fits = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.contains('.') && text.split('.').all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> String {
        let mut out = String::new();
        shaped(&MaskKey::new([7; 32]), text, &mut out);
        out
    }

    #[test]
    fn shapes_stay_and_letters_do_not() {
        let one = form("Alice Smith 42-17");
        assert_eq!(one.len(), "Alice Smith 42-17".len());
        assert!(one != "Alice Smith 42-17" && one == form("Alice Smith 42-17"));
        let shape = |text: &str| {
            text.chars()
                .map(|c| {
                    if c.is_ascii_digit() {
                        '9'
                    } else if c.is_uppercase() {
                        'A'
                    } else if c.is_lowercase() {
                        'a'
                    } else {
                        c
                    }
                })
                .collect::<String>()
        };
        assert_eq!(shape(&one), "Aaaaa Aaaaa 99-99");
        let mail = form("bob.martin@example.org");
        assert!(mail.ends_with("@example.org") && !mail.starts_with("bob"), "{mail}");
        assert!(!form("bob@secret").contains("secret"), "that is no domain");
        assert_eq!(shape(&form("Ünal é")), "Aaaa a");
    }

    #[test]
    fn another_key_is_another_hash() {
        let one = mac(&MaskKey::new([1; 32]), &[b"a", b"b"]);
        assert_ne!(one, mac(&MaskKey::new([2; 32]), &[b"a", b"b"]));
        assert_ne!(one, mac(&MaskKey::new([1; 32]), &[b"ab", b""]));
    }
}
