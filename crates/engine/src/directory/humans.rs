//! The human behind a directory's account, where the bundle does not say who that is.
//!
//! Accounts of one human count once in every separation of duties, so it has to be found that they are one human's: by what a
//! directory says of the human itself (the number of an employee), or by a mail address. Which of these count is the bundle's to
//! say, for each directory: a team's mailbox is the address of several humans. What is ambiguous links nobody, and what was
//! linked once stays linked: whoever could part two accounts could answer themselves.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::catalogue::{Catalogue, Directory, LinkBy};
use countersign_core::{PersonId, PrincipalId};
use unicode_normalization::UnicodeNormalization as _;

use super::Profile;

/// By what humans are known.
#[derive(Debug, Default)]
pub(super) struct Humans {
    by_number: BTreeMap<String, BTreeSet<PersonId>>,
    by_mail: BTreeMap<String, BTreeSet<PersonId>>,
    /// Mail addresses of the bundle's own users, which count for every directory.
    stated: BTreeMap<String, BTreeSet<PersonId>>,
}

impl Humans {
    /// The users of the bundle.
    pub(super) fn of(stated: &Catalogue) -> Self {
        let mut humans = Self::default();
        for found in stated.principals.values().filter(|found| found.is_user()) {
            if let Some(email) = &found.email {
                humans.stated.entry(plain(email)).or_default().insert(found.person.clone());
            }
        }
        humans
    }

    /// An account that is known, of a directory.
    pub(super) fn add(&mut self, directory: &Directory, profile: &Profile, person: &PersonId) {
        let known = [
            (LinkBy::Number, &mut self.by_number, &profile.number),
            (LinkBy::Mail, &mut self.by_mail, &profile.email),
        ];
        for (by, known, said) in known {
            if let Some(said) = said.as_ref().filter(|_| directory.link_by.contains(&by)) {
                known.entry(plain(said)).or_default().insert(person.clone());
            }
        }
    }

    /// The human behind an account that was `had` before. `None`: one of its own.
    pub(super) fn find(
        &self,
        directory: &Directory,
        (name, profile): (&PrincipalId, &Profile),
        had: Option<&PersonId>,
    ) -> Option<PersonId> {
        let only = |known: &BTreeMap<String, BTreeSet<PersonId>>, said: &Option<String>| {
            let mut persons = known.get(&plain(said.as_ref()?))?.iter();
            persons.next().filter(|_| persons.next().is_none()).cloned()
        };
        let counts = |by: LinkBy| directory.link_by.contains(&by);
        let by_number = || counts(LinkBy::Number).then(|| only(&self.by_number, &profile.number)).flatten();
        let by_mail = || counts(LinkBy::Mail).then(|| only(&self.by_mail, &profile.email)).flatten();
        match had {
            // A number that is said later links still; an address does not, for addresses are given to others.
            Some(had) if had.as_str() == name.as_str() => by_number().or_else(|| Some(had.clone())),
            Some(had) => Some(had.clone()),
            None => by_number().or_else(|| only(&self.stated, &profile.email)).or_else(by_mail),
        }
    }
}

/// Letter case is of no account in addresses and numbers, nor are the form in which letters are written and what nobody sees: two
/// accounts of one human must not count as two.
fn plain(text: &str) -> String {
    let is_seen = |letter: &char| {
        !letter.is_whitespace()
            && !letter.is_control()
            && !matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let seen: String = text.nfkc().filter(is_seen).collect();
    seen.to_lowercase().nfkc().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn directory(link_by: &[LinkBy]) -> Directory {
        Directory { link_by: link_by.iter().copied().collect(), ..Directory::default() }
    }

    fn profile(number: Option<&str>, email: Option<&str>) -> Profile {
        Profile { display: None, email: email.map(str::to_owned), number: number.map(str::to_owned) }
    }

    fn person(name: &str) -> PersonId {
        PersonId::new(name)
    }

    #[test]
    fn a_number_links_and_stays_and_an_address_links_at_first() {
        let corp = directory(&[LinkBy::Number, LinkBy::Mail]);
        let mut humans = Humans::default();
        humans.add(&corp, &profile(Some("E-74"), Some("zoe@example.com")), &person("zoe"));
        let admin = PrincipalId::new("zoe-admin");
        let find = |humans: &Humans, profile: &Profile, had: Option<&str>| {
            humans.find(&corp, (&admin, profile), had.map(person).as_ref()).map(|found| found.to_string())
        };
        assert_eq!(find(&humans, &profile(Some("e-74 "), None), None).as_deref(), Some("zoe"));
        assert_eq!(find(&humans, &profile(None, Some("Zoe@Example.com")), None).as_deref(), Some("zoe"));
        assert_eq!(find(&humans, &profile(Some("E-75"), Some("other@example.com")), None), None);
        // Once it is somebody's, nothing that the directory says makes it somebody else's.
        assert_eq!(find(&humans, &profile(Some("E-75"), None), Some("zoe")).as_deref(), Some("zoe"));
        assert_eq!(find(&humans, &profile(Some("E-74"), None), Some("yan")).as_deref(), Some("yan"));
        // On its own until now: a number links still, an address does not.
        assert_eq!(find(&humans, &profile(Some("E-74"), None), Some("zoe-admin")).as_deref(), Some("zoe"));
        let late = profile(None, Some("zoe@example.com"));
        assert_eq!(find(&humans, &late, Some("zoe-admin")).as_deref(), Some("zoe-admin"));
        // Two humans with one address are told apart by nobody, so nobody is linked.
        humans.add(&corp, &profile(None, Some("zoe@example.com")), &person("yan"));
        assert_eq!(find(&humans, &profile(None, Some("zoe@example.com")), None), None);
    }

    #[test]
    fn one_human_is_one_however_their_number_is_written() {
        let corp = directory(&[LinkBy::Number, LinkBy::Mail]);
        let mut humans = Humans::default();
        humans.add(&corp, &profile(Some("K-7\u{e9}"), Some("zo\u{eb}@example.com")), &person("zoe"));
        let admin = PrincipalId::new("zoe-admin");
        let find = |profile: &Profile| humans.find(&corp, (&admin, profile), None);
        for number in [
            "k-7\u{c9}",
            "K-7e\u{301}",
            "\u{212a}-7\u{e9}",
            "\u{ff2b}-\u{ff17}\u{e9}",
            " K\u{200b}-7\u{e9}\u{a0}",
            "K\u{ad}-7\u{feff}\u{e9}",
        ] {
            assert_eq!(find(&profile(Some(number), None)), Some(person("zoe")), "{number:?}");
        }
        for mail in ["Zo\u{cb}@Example.COM", "zoe\u{308}@example.com", "\u{ff5a}o\u{eb}@example.com"] {
            assert_eq!(find(&profile(None, Some(mail))), Some(person("zoe")), "{mail:?}");
        }
        // Letters that only look alike are others.
        for other in ["\u{41a}-7\u{e9}", "K-7e", "K-7\u{20ac}", "K7\u{e9}"] {
            assert_eq!(find(&profile(Some(other), None)), None, "{other:?}");
        }
    }

    #[test]
    fn what_the_bundle_does_not_say_counts_does_not_count() {
        let (plainly, corp) = (directory(&[]), directory(&[LinkBy::Number, LinkBy::Mail]));
        let all = profile(Some("E-74"), Some("zoe@example.com"));
        let admin = PrincipalId::new("zoe-admin");
        for (of, asked) in [(&plainly, &corp), (&corp, &plainly), (&plainly, &plainly)] {
            let mut humans = Humans::default();
            humans.add(of, &all, &person("zoe"));
            assert_eq!(humans.find(asked, (&admin, &all), None), None);
        }
    }

    proptest! {
        /// Whatever accounts come in whatever order: those that say the same number are one person, no others are, and what they
        /// are is what they stay however often they are told of.
        #[test]
        fn accounts_with_one_number_are_one_person(numbers in prop::collection::vec(prop::option::of(0_u8..4), 1..12)) {
            let corp = directory(&[LinkBy::Number]);
            let names: Vec<PrincipalId> =
                (0..numbers.len()).map(|index| PrincipalId::new(&format!("account-{index}"))).collect();
            let profiles: Vec<Profile> = numbers
                .iter()
                .map(|number| profile(number.map(|number| format!("E-{number}")).as_deref(), None))
                .collect();
            let mut persons: Vec<Option<PersonId>> = vec![None; numbers.len()];
            for _ in 0..2 {
                for index in 0..numbers.len() {
                    let mut humans = Humans::default();
                    for (other, person) in persons.iter().enumerate().filter(|(other, _)| *other != index) {
                        if let Some(person) = person {
                            humans.add(&corp, &profiles[other], person);
                        }
                    }
                    let found = humans.find(&corp, (&names[index], &profiles[index]), persons[index].as_ref());
                    persons[index] = Some(found.unwrap_or_else(|| PersonId::new(names[index].as_str())));
                }
            }
            for (one, a) in numbers.iter().enumerate() {
                for (other, b) in numbers.iter().enumerate() {
                    let is_one = one == other || (a.is_some() && a == b);
                    prop_assert_eq!(persons[one] == persons[other], is_one, "{} {}", one, other);
                }
            }
        }
    }
}
