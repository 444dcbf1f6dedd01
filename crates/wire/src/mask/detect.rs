//! What gives itself away in text: mail addresses, cards, accounts, phones, network addresses, national ids, keys.
//!
//! Written by hand, each finder looks a bounded number of bytes around a mark that it goes by, so that no text takes more
//! than time in proportion to its length. Where a kind has a check digit it is checked: what looks like a card number and
//! is none stays. Bytes, not letters: what is not ASCII is never part of a mark.
//!
//! What not: no proof. A detector finds what is written as people write it, and not what somebody has written backwards or
//! in pieces. Columns that are known to hold such things are named in the bundle.

mod identity;
mod numbers;
mod secrets;

use std::ops::Range;

/// The longest text before `@` that is taken for a name (RFC 5321, 4.5.3.1.1), and the longest domain, in bytes.
const NAME_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 253;

/// A kind of thing that gives itself away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detector {
    /// Mail addresses.
    Email,
    /// Payment cards, with Luhn's check digit.
    Card,
    /// Bank accounts (ISO 13616), with their check digits.
    Iban,
    /// Telephone numbers, as E.164 and as people write them.
    Phone,
    /// Network addresses, IPv4 and IPv6.
    Ip,
    /// National ids: US SSN, German tax id, French NIR, UK NINO.
    NationalId,
    /// Keys and tokens: AWS, GitHub, Slack, Stripe, Google, JWT, PEM.
    Secret,
}

/// A set of detectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detectors(u8);

/// What is written over what was found. The length stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// `*` for every byte.
    Stars,
    /// `x` for letters and `1` for digits, so that JSON stays JSON and numbers stay numbers.
    Shape,
}

impl Detector {
    /// All, by the words of a bundle.
    pub const WORDS: &'static [(&'static str, Detector)] = &[
        ("email", Detector::Email),
        ("card", Detector::Card),
        ("iban", Detector::Iban),
        ("phone", Detector::Phone),
        ("ip", Detector::Ip),
        ("national-id", Detector::NationalId),
        ("secret", Detector::Secret),
    ];

    /// The detector of a word.
    #[must_use]
    pub fn named(word: &str) -> Option<Detector> {
        Self::WORDS.iter().find(|(name, _)| *name == word).map(|(_, detector)| *detector)
    }
}

impl FromIterator<Detector> for Detectors {
    fn from_iter<I: IntoIterator<Item = Detector>>(all: I) -> Self {
        Self(all.into_iter().fold(0, |set, one| set | 1 << (one as u8)))
    }
}

impl Detectors {
    /// Whether nothing is looked for.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this is looked for.
    #[must_use]
    pub const fn has(self, detector: Detector) -> bool {
        self.0 & (1 << (detector as u8)) != 0
    }

    /// Where something is found. Ranges may overlap.
    #[must_use]
    pub fn find(self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut run = |detector, find: fn(&[u8], &mut Vec<Range<usize>>)| {
            if self.has(detector) {
                find(text, &mut found);
            }
        };
        run(Detector::Email, mails);
        run(Detector::Card, numbers::cards);
        run(Detector::Iban, numbers::accounts);
        run(Detector::Phone, numbers::phones);
        run(Detector::Ip, numbers::addresses);
        run(Detector::NationalId, identity::ids);
        run(Detector::Secret, secrets::secrets);
        found
    }

    /// Writes over what is found. Whether anything was.
    pub fn cover(self, text: &mut [u8], fill: Fill) -> bool {
        let found = self.find(text);
        for range in &found {
            let part = text.get_mut(range.clone()).unwrap_or_default();
            match fill {
                Fill::Stars => part.fill(b'*'),
                Fill::Shape => shape(part),
            }
        }
        !found.is_empty()
    }
}

/// Letters and digits are replaced; what belongs to an escape of JSON stays.
fn shape(part: &mut [u8]) {
    let mut kept = 0_u8;
    for byte in part {
        match *byte {
            _ if kept > 0 => kept = if kept == 1 && *byte == b'u' { 4 } else { kept - 1 },
            b'\\' => kept = 1,
            b'0'..=b'9' => *byte = b'1',
            byte_now if byte_now.is_ascii_alphabetic() || !byte_now.is_ascii() => {
                // A piece of a letter beyond ASCII becomes one of its own, so that the text stays text.
                *byte = b'x';
            }
            _ => {}
        }
    }
}

fn mails(text: &[u8], found: &mut Vec<Range<usize>>) {
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._%+'-".contains(byte) || !byte.is_ascii();
    let in_domain =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') || !byte.is_ascii();
    for at in memchr(text, b'@') {
        let (before, behind) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        let name = before.iter().rev().take(NAME_BYTES_MAX).take_while(|byte| in_name(byte)).count();
        let mut domain = behind.iter().take(DOMAIN_BYTES_MAX).take_while(|byte| in_domain(byte)).count();
        // The point of a sentence is no part of it.
        while domain > 0 && matches!(behind.get(domain - 1), Some(b'.' | b'-')) {
            domain -= 1;
        }
        let last =
            behind.get(..domain).unwrap_or_default().rsplit(|byte| *byte == b'.').next().unwrap_or_default();
        let named = last.len() >= 2 && last.len() < domain && !last.iter().any(u8::is_ascii_digit);
        if name > 0 && named {
            found.push(at - name..at + 1 + domain);
        }
    }
}

fn memchr(text: &[u8], wanted: u8) -> impl Iterator<Item = usize> + '_ {
    text.iter().enumerate().filter(move |(_, byte)| **byte == wanted).map(|(at, _)| at)
}

/// The byte at a place.
fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or_default()
}

/// Whether a word may begin here: no letter or digit stands directly before.
fn begins(text: &[u8], at: usize) -> bool {
    at == 0 || !byte(text, at - 1).is_ascii_alphanumeric()
}

/// Whether a word may end here.
fn ends(text: &[u8], at: usize) -> bool {
    !byte(text, at).is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests;
