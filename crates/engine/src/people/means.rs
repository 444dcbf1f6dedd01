//! By what somebody proved who they are, as lines, policies and clients see it.

use std::collections::BTreeSet;

use countersign_core::{At, Span};
use serde::{Deserialize, Serialize};

/// Something that somebody can show of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// Something they know.
    Password,
    /// A code of a device they have (RFC 6238); each code counts once.
    Totp,
    /// One of the codes that are kept for the day when the device is lost.
    RecoveryCode,
    /// A key that a device keeps and uses only for whoever it knows (WebAuthn with user verification).
    Passkey,
    /// An identity provider's word (OpenID Connect).
    Oidc,
    /// An identity provider's word that it took two factors.
    OidcTwoFactors,
    /// An issuer's word of a job that runs there, and a key of the job's own.
    Workload,
    /// The word of an agent's owner, and a key of the agent's own.
    Agent,
}

/// A set of means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeansSet(u8);

/// What a sign-in was proved by, and how long ago that was when it was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// By what.
    pub means: MeansSet,
    /// How long ago.
    pub age: Span,
}

/// What somebody proved, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proved {
    /// By what.
    pub means: MeansSet,
    /// When they were there to prove it.
    pub at: At,
}

impl Proof {
    /// The same, to be used later.
    #[must_use]
    pub fn proved(self, now: At) -> Proved {
        Proved { means: self.means, at: At(now.0.saturating_sub(self.age.0)) }
    }
}

impl Proved {
    /// The same, as it is used at an instant.
    #[must_use]
    pub fn used(self, now: At) -> Proof {
        Proof { means: self.means, age: now.since(self.at) }
    }
}

impl Means {
    /// All means.
    pub const ALL: [Self; 8] = [
        Self::Password,
        Self::Totp,
        Self::RecoveryCode,
        Self::Passkey,
        Self::Oidc,
        Self::OidcTwoFactors,
        Self::Workload,
        Self::Agent,
    ];

    /// As lines, policies and clients see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Totp => "totp",
            Self::RecoveryCode => "recovery-code",
            Self::Passkey => "passkey",
            Self::Oidc => "oidc",
            Self::OidcTwoFactors => "oidc-two-factors",
            Self::Workload => "workload",
            Self::Agent => "agent",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Password => 1,
            Self::Totp => 2,
            Self::RecoveryCode => 4,
            Self::Passkey => 8,
            Self::Oidc => 16,
            Self::OidcTwoFactors => 32,
            Self::Workload => 64,
            Self::Agent => 128,
        }
    }
}

impl MeansSet {
    /// These.
    #[must_use]
    pub fn of(means: &[Means]) -> Self {
        Self(means.iter().fold(0, |bits, one| bits | one.bit()))
    }

    /// Those that are in it, in the order of [`Means::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Means> {
        Means::ALL.into_iter().filter(move |one| self.contains(*one))
    }

    /// Whether `means` is in it.
    #[must_use]
    pub const fn contains(self, means: Means) -> bool {
        self.0 & means.bit() != 0
    }

    /// Whether it takes two factors to have shown these: a passkey is two by itself.
    #[must_use]
    pub const fn is_two_factors(self) -> bool {
        self.contains(Means::Passkey)
            || self.contains(Means::OidcTwoFactors)
            || self.contains(Means::Password)
                && (self.contains(Means::Totp) || self.contains(Means::RecoveryCode))
    }

    /// The names of those that are in it.
    #[must_use]
    pub fn names(self) -> BTreeSet<String> {
        self.iter().map(|one| one.as_str().to_owned()).collect()
    }
}

impl Serialize for MeansSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for MeansSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of(&Vec::<Means>::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passkey_is_two_factors_and_a_password_is_one() {
        let is_two = |means: &[Means]| MeansSet::of(means).is_two_factors();
        assert!(is_two(&[Means::Passkey]));
        assert!(is_two(&[Means::Password, Means::Totp]));
        assert!(is_two(&[Means::Password, Means::RecoveryCode]));
        assert!(is_two(&[Means::Oidc, Means::OidcTwoFactors]));
        for one in [Means::Password, Means::Totp, Means::RecoveryCode, Means::Oidc, Means::Workload] {
            assert!(!is_two(&[one]), "{one:?}");
        }
        assert!(!is_two(&[Means::Totp, Means::RecoveryCode]));
    }

    #[test]
    fn a_set_reads_as_it_is_written() {
        for bits in 0..128 {
            let set = MeansSet(bits);
            let json = serde_json::to_string(&set).unwrap();
            assert_eq!(serde_json::from_str::<MeansSet>(&json).unwrap(), set, "{json}");
        }
        assert_eq!(serde_json::to_string(&MeansSet(5)).unwrap(), "[\"password\",\"recovery-code\"]");
    }
}
