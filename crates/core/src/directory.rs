//! Directories: what the company says of its own people, beside what the bundle says.
//!
//! A bundle names a directory and says which of its groups are ours; the directory says who is there, who is let in,
//! and who is in which group. It never says what anybody may do: its people have what the bundle gives to the groups
//! they are in, and an account that the bundle names itself is a directory's only if the bundle says so.
//!
//! A directory that is not heard makes things stricter, in two steps: its people begin nothing new, then what they
//! have ends. Being heard again lets them begin anew; nothing that ended comes back.

use std::collections::BTreeSet;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::ids::{Digest, DirectoryName, GrantId, GroupId, PersonId, PrincipalId};
use crate::time::At;

/// What a directory does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// It says something of some accounts. Whoever it does not mention stays as they are.
    Tell {
        /// Which.
        directory: DirectoryName,
        /// What, by account.
        accounts: Vec<(PrincipalId, Said)>,
    },
    /// It is heard again, or has not been heard for too long.
    Hear {
        /// Which.
        directory: DirectoryName,
        /// How it stands.
        hearing: Hearing,
    },
    /// Somebody is no longer in a group that their grant stood on: policy would not let them ask for the role today.
    /// The ruling in the facts is on asking for it.
    Unfound {
        /// Which.
        directory: DirectoryName,
        /// The grant.
        grant: GrantId,
    },
}

/// What a directory says of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is there.
    There(Account),
    /// It is not, or no longer.
    Gone,
}

/// An account as its directory describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Which record it is: a digest of the directory's own identifier, which is never given to another human. A name
    /// may be.
    pub record: Digest,
    /// The human behind it.
    pub person: PersonId,
    /// Whether the directory lets it in.
    pub is_active: bool,
    /// The groups of ours that it is in by the directory's word.
    pub groups: BTreeSet<GroupId>,
}

/// Whether a directory is heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hearing {
    /// It is.
    #[default]
    Heard,
    /// Not for a while: nothing new begins.
    Silent,
    /// Not for long: everything ends.
    Lost,
}

/// What happened. Variants are added, never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// An account is there, or is otherwise than it was.
    Told {
        /// By which directory.
        directory: DirectoryName,
        /// Which account.
        principal: PrincipalId,
        /// How it is.
        account: Account,
        /// What is new about it.
        change: Change,
    },
    /// An account is gone.
    Removed {
        /// By which directory's word.
        directory: DirectoryName,
        /// Which account.
        principal: PrincipalId,
    },
    /// It is heard again, or has not been for too long.
    Heard {
        /// Which.
        directory: DirectoryName,
        /// How it stands.
        hearing: Hearing,
    },
}

/// What is new about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was not there.
    Created,
    /// It is in other groups, or another human's.
    Updated,
    /// It is no longer let in.
    Disabled,
    /// It is let in again.
    Enabled,
}

/// What is known of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roll {
    /// Its accounts.
    pub accounts: OrdMap<PrincipalId, Account>,
    /// Whether it is heard.
    pub hearing: Hearing,
    /// Since when it stands so.
    pub since: At,
}

impl Hearing {
    /// `heard`, `silent` or `lost`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Heard => "heard",
            Self::Silent => "silent",
            Self::Lost => "lost",
        }
    }
}

/// The actor of what a directory ends. No principal can have such a name: it has a colon.
#[must_use]
pub fn actor(directory: &DirectoryName) -> PrincipalId {
    PrincipalId::new(&format!("directory:{directory}"))
}
