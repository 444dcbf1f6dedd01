//! Entries, and what they say of an account.

use std::collections::BTreeMap;

use countersign_core::At;
use ldap3::asn1::{PL, StructureTag};

/// The most values that are read of one attribute, and the most attributes of one entry.
const VALUES_MAX: usize = 200_000;

/// An entry: its name, and its values by attribute, in small letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dn: String,
    values: BTreeMap<String, Vec<Vec<u8>>>,
}

/// The bit of `userAccountControl` that shuts an account out (`ADS_UF_ACCOUNTDISABLE`).
const ACCOUNT_DISABLED: i64 = 0x2;

/// Values of `accountExpires` that mean never.
const NEVER: [i64; 2] = [0, i64::MAX];

/// From 1601-01-01, where Windows' time begins, to 1970-01-01, in microseconds.
const EPOCHS_APART: i64 = 11_644_473_600_000_000;

/// What OpenLDAP writes for an account that somebody locked, rather than one that locked itself for a while.
const LOCKED_FOR_GOOD: &str = "000001010000Z";

impl Entry {
    /// Reads an entry of a search's answer (RFC 4511, section 4.5.2). Nothing if it is none.
    pub(super) fn read(tag: StructureTag) -> Option<Self> {
        if tag.id != 4 {
            return None;
        }
        let mut parts = children(tag)?.into_iter();
        let dn = String::from_utf8(bytes(parts.next()?)?).ok()?;
        let mut values: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for attribute in children(parts.next()?)? {
            let mut parts = children(attribute)?.into_iter();
            let name = String::from_utf8(bytes(parts.next()?)?).ok()?.to_ascii_lowercase();
            let of = children(parts.next()?)?;
            if of.len() > VALUES_MAX {
                return None;
            }
            let of = of.into_iter().map(bytes).collect::<Option<Vec<_>>>()?;
            values.entry(name).or_default().extend(of);
        }
        Some(Self { dn, values })
    }

    #[cfg(test)]
    fn of(pairs: &[(&str, &[u8])]) -> Self {
        let mut entry = Self { dn: "uid=zoe,dc=example".into(), ..Self::default() };
        for (name, value) in pairs {
            entry.values.entry(name.to_ascii_lowercase()).or_default().push(value.to_vec());
        }
        entry
    }

    /// The values of an attribute that are texts.
    pub(super) fn texts(&self, attribute: &str) -> impl Iterator<Item = &str> {
        let values = self.values.get(&attribute.to_ascii_lowercase()).into_iter().flatten();
        values.filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// The first value, if it is a text.
    pub(super) fn text(&self, attribute: &str) -> Option<&str> {
        self.texts(attribute).next().filter(|text| !text.is_empty())
    }

    /// The one value of the attribute that names an account; of several it is not known which is meant.
    pub(super) fn name(&self, attribute: &str) -> Option<&str> {
        let mut texts = self.texts(attribute);
        texts.next().filter(|_| texts.next().is_none()).filter(|text| !text.is_empty())
    }

    /// The record's identifier, which no other record ever has: `objectGUID` or `entryUUID`.
    pub(super) fn record(&self) -> Option<String> {
        if let Some(guid) = self.values.get("objectguid").and_then(|values| values.first()) {
            return Some(guid.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        let other = ["entryuuid", "nsuniqueid", "ipauniqueid"].into_iter().find_map(|name| self.text(name));
        other.map(str::to_owned)
    }

    /// Whether the directory lets the account in at `now`. What can't be read shuts it out.
    pub(super) fn is_active(&self, now: At) -> bool {
        let number = |attribute: &str| self.text(attribute).map(str::parse::<i64>);
        let enabled = match number("userAccountControl") {
            None => true,
            Some(Ok(control)) => control & ACCOUNT_DISABLED == 0,
            Some(Err(_)) => false,
        };
        let in_time = match number("accountExpires") {
            None => true,
            Some(Ok(at)) => NEVER.contains(&at) || now.0 < (at / 10).saturating_sub(EPOCHS_APART),
            Some(Err(_)) => false,
        };
        let locked = self.text("pwdAccountLockedTime") == Some(LOCKED_FOR_GOOD)
            || self.text("nsAccountLock").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        enabled && in_time && !locked
    }
}

fn children(tag: StructureTag) -> Option<Vec<StructureTag>> {
    match tag.payload {
        PL::C(children) => Some(children),
        PL::P(_) => None,
    }
}

fn bytes(tag: StructureTag) -> Option<Vec<u8>> {
    match tag.payload {
        PL::P(bytes) => Some(bytes),
        PL::C(_) => None,
    }
}

/// A name as names are compared: without the case of letters and without space around its parts. Servers write the
/// same name in several ways.
pub(super) fn plain_dn(dn: &str) -> String {
    let mut parts: Vec<String> = vec![String::new()];
    let mut escaped = false;
    for letter in dn.chars() {
        match (letter, parts.last_mut()) {
            (',', _) if !escaped => parts.push(String::new()),
            (letter, Some(part)) => part.extend(letter.to_lowercase()),
            (_, None) => {}
        }
        escaped = letter == '\\' && !escaped;
    }
    let plain = parts.iter().map(|part| match part.split_once('=') {
        Some((name, value)) => format!("{}={}", name.trim(), value.trim()),
        None => part.trim().to_owned(),
    });
    plain.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use ldap3::asn1::TagClass;

    use super::*;

    const NOW: At = At(1_772_546_400_000_000);

    fn windows(at: At) -> Vec<u8> {
        ((at.0 + EPOCHS_APART) * 10).to_string().into_bytes()
    }

    #[test]
    fn who_is_let_in_is_read_as_the_servers_write_it() {
        let active = |pairs: &[(&str, &[u8])]| Entry::of(pairs).is_active(NOW);
        assert!(active(&[]) && active(&[("userAccountControl", b"512")]));
        for control in ["514", "66050", "2", "x", "99999999999999999999"] {
            assert!(!active(&[("userAccountControl", control.as_bytes())]), "{control}");
        }
        for never in ["0", "9223372036854775807"] {
            assert!(active(&[("accountExpires", never.as_bytes())]), "{never}");
        }
        assert!(active(&[("accountExpires", &windows(At(NOW.0 + 1_000_000)))]));
        assert!(!active(&[("accountExpires", &windows(NOW))]) && !active(&[("accountExpires", b"soon")]));
        assert!(!active(&[("accountExpires", b"-9223372036854775808")]));
        assert!(!active(&[("pwdAccountLockedTime", b"000001010000Z")]));
        assert!(active(&[("pwdAccountLockedTime", b"20260303093000Z")]));
        assert!(!active(&[("nsAccountLock", b"TRUE")]) && active(&[("nsAccountLock", b"false")]));
    }

    #[test]
    fn records_have_identifiers_and_names_are_one() {
        assert_eq!(Entry::of(&[("objectGUID", &[0xff, 0, 0x1a])]).record().as_deref(), Some("ff001a"));
        assert_eq!(Entry::of(&[("entryUUID", b"u-1")]).record().as_deref(), Some("u-1"));
        assert_eq!(Entry::of(&[]).record(), None);
        assert_eq!(Entry::of(&[("uid", b"zoe")]).name("UID"), Some("zoe"));
        assert_eq!(Entry::of(&[("uid", b"zoe"), ("uid", b"yan")]).name("uid"), None);
        assert_eq!(Entry::of(&[("uid", &[0xff])]).name("uid"), None);
    }

    #[test]
    fn names_are_compared_as_servers_mean_them() {
        assert_eq!(plain_dn("CN=DBA, OU=Groups,DC=Example"), "cn=dba,ou=groups,dc=example");
        assert_eq!(plain_dn("cn=Doe\\, Jo ,dc=x"), "cn=doe\\, jo,dc=x");
        assert_eq!(plain_dn("cn=a\\\\,dc=x"), "cn=a\\\\,dc=x");
        assert_eq!(plain_dn(""), "");
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        let leaf =
            |text: &str| StructureTag { class: TagClass::Universal, id: 4, payload: PL::P(text.into()) };
        let node = |id, children| StructureTag { class: TagClass::Application, id, payload: PL::C(children) };
        let attribute = node(16, vec![leaf("uid"), node(17, vec![leaf("zoe")])]);
        let good = node(4, vec![leaf("uid=zoe"), node(16, vec![attribute.clone()])]);
        assert_eq!(Entry::read(good).unwrap().text("uid"), Some("zoe"));
        for bad in [
            leaf("x"),
            node(4, vec![]),
            node(5, vec![leaf("uid=zoe"), node(16, vec![])]),
            node(4, vec![leaf("uid=zoe")]),
            node(4, vec![leaf("uid=zoe"), leaf("x")]),
            node(4, vec![node(16, vec![]), node(16, vec![])]),
            node(4, vec![leaf("uid=zoe"), node(16, vec![leaf("uid")])]),
            node(4, vec![leaf("uid=zoe"), node(16, vec![node(16, vec![leaf("uid"), leaf("zoe")])])]),
            node(
                4,
                vec![leaf("uid=zoe"), node(16, vec![node(16, vec![leaf("uid"), node(17, vec![attribute])])])],
            ),
        ] {
            assert_eq!(Entry::read(bad.clone()), None, "{bad:?}");
        }
    }
}
