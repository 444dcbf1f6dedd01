//! From a directory's words to ours: names, persons, groups.

use std::collections::BTreeSet;

use countersign_core::action::hash;
use countersign_core::catalogue::{Catalogue, Directory};
use countersign_core::directory::{Account, Said};
use countersign_core::ids::BadId;
use countersign_core::{Digest, DirectoryName, GroupId, PersonId, PrincipalId};

use super::Profile;
use super::humans::Humans;
use crate::snapshot::Snapshot;

/// The longest name of a person or address that is kept, in bytes.
const PROFILE_BYTES_MAX: usize = 256;

/// What a directory says of one account, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// How it calls the account.
    pub name: String,
    /// Its own identifier of the record, which it never gives to another one.
    pub record: String,
    /// Whether it lets the account in.
    pub is_active: bool,
    /// The groups the account is in, as the directory calls them, through nested ones.
    pub groups: BTreeSet<String>,
    /// How people call them, and where mail reaches them.
    pub profile: Profile,
}

/// What a directory says of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It is there, and this is how it is.
    There(Listed),
    /// The account of this name is gone.
    Gone(PrincipalId),
}

/// Why an account can't be one of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNamed {
    /// Its name is none of ours, whatever is stripped.
    #[error("{0}")]
    Name(#[from] BadId),
    /// The name is somebody else's.
    #[error("`{0}` is somebody else's name here; the bundle can say that the account is this directory's")]
    Taken(PrincipalId),
}

/// An account in our words.
pub(super) struct Ours {
    pub(super) principal: PrincipalId,
    pub(super) said: Said,
    pub(super) profile: Option<Profile>,
}

/// The name of ours that a directory's account gets. Letters are made small, so that names that differ by case alone
/// are one; letters beyond ASCII are refused rather than folded, so that none looks like another.
pub(super) fn name(directory: &Directory, theirs: &str) -> Result<PrincipalId, NotNamed> {
    let lower = theirs.trim_ascii().to_ascii_lowercase();
    let strip = directory.strip.as_deref().map(str::to_ascii_lowercase);
    let bare = strip.as_deref().and_then(|end| lower.strip_suffix(end)).unwrap_or(&lower);
    Ok(bare.parse::<PrincipalId>()?)
}

/// The name, if it is nobody's yet, or this directory's.
pub(super) fn untaken(
    snapshot: &Snapshot,
    directory: &DirectoryName,
    principal: PrincipalId,
) -> Result<PrincipalId, NotNamed> {
    let holder = snapshot.book.catalogue.principals.get(&principal);
    if holder.is_none_or(|found| found.directory.as_ref() == Some(directory)) {
        Ok(principal)
    } else {
        Err(NotNamed::Taken(principal))
    }
}

pub(super) fn in_our_words(
    snapshot: &Snapshot,
    (name, directory): (&DirectoryName, &Directory),
    humans: &mut Humans,
    word: Word,
) -> Result<Ours, NotNamed> {
    let listed = match word {
        Word::Gone(principal) => return Ok(Ours { principal, said: Said::Gone, profile: None }),
        Word::There(listed) => listed,
    };
    let principal = self::name(directory, &listed.name)?;
    let (book, principal) = (&snapshot.book, untaken(snapshot, name, principal)?);
    let record = record(name, &listed.record);
    let had = book.account(&principal).filter(|had| had.record == record);
    let stated = book.stated();
    let by_hand = directory.persons.get(&principal).cloned();
    let by_bundle = stated.principals.get(&principal).map(|found| found.person.clone());
    let short =
        |text: Option<String>| text.map(|text| crate::words::cut(&text, PROFILE_BYTES_MAX).to_owned());
    let profile = Profile {
        display: short(listed.profile.display),
        email: short(listed.profile.email),
        number: short(listed.profile.number).filter(|number| !number.trim().is_empty()),
    };
    // Whose human an account is stays as it was first found: mail addresses change, and with a change of them nobody
    // becomes somebody else.
    let found = || humans.find(directory, (&principal, &profile), had.map(|had| &had.person));
    let person = by_bundle.or(by_hand).or_else(found).unwrap_or_else(|| PersonId::new(principal.as_str()));
    // Of two that come together the second is found by the first.
    humans.add(directory, &profile, &person);
    let groups = groups(stated, name, &listed.groups);
    let account = Account { record, person, is_active: listed.is_active, groups };
    Ok(Ours { principal, said: Said::There(account), profile: Some(profile) })
}

/// `SHA-256("countersign/directory-record/v1" LF || directory || LF || identifier)`.
pub(super) fn record(directory: &DirectoryName, identifier: &str) -> Digest {
    let directory = directory.as_str().as_bytes();
    hash(&[b"countersign/directory-record/v1\n", directory, b"\n", identifier.as_bytes()])
}

/// The groups of ours that are filled by these of the directory. Case is of no account, as in directories.
fn groups(stated: &Catalogue, directory: &DirectoryName, theirs: &BTreeSet<String>) -> BTreeSet<GroupId> {
    let theirs: BTreeSet<String> = theirs.iter().map(|name| folded(name)).collect();
    let filled = stated.groups.iter().filter(|(_, group)| {
        let from = group.from.get(directory);
        from.is_some_and(|from| from.iter().any(|name| theirs.contains(&folded(name))))
    });
    filled.map(|(name, _)| name.clone()).collect()
}

/// A text in small letters, for comparisons in which case is of no account. No letter beyond ASCII becomes one of ASCII by it, as
/// the sign for Kelvin would: whoever reads two such texts may take them for the same, a comparison must not.
#[must_use]
pub fn folded(text: &str) -> String {
    let small = |letter: char| letter.to_lowercase();
    let kept = |letter: &char| letter.is_ascii() || !small(*letter).any(|small| small.is_ascii());
    text.chars().fold(String::with_capacity(text.len()), |mut folded, letter| {
        if kept(&letter) {
            folded.extend(small(letter))
        } else {
            folded.push(letter)
        }
        folded
    })
}
