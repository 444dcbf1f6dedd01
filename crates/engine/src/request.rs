//! What is kept of a request beside its line: the words, the salt, the action itself, and what was looked up.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::foreseen::Foreseen;
use crate::people::{MeansSet, Proof};
use crate::so_far::SoFar;
use crate::writer::work::From;
use countersign_core::Span;
use countersign_policy::context::Via;

/// The content of a request. Its canonical JSON is what the line commits to; members in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestContent {
    /// The canonical action, byte for byte as it was digested.
    pub(crate) action: String,
    /// How whoever asked had signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) auth: Option<AuthContent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) look: Option<LookContent>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) purpose: String,
    /// The salt of the digest, in hexadecimal digits.
    pub(crate) salt: String,
    /// What was done in the session before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) so_far: Option<SoFar>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<IpAddr>,
    /// The steps of a script.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) steps: Vec<StepContent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ticket: Option<String>,
    pub(crate) via: String,
}

/// A step of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepContent {
    /// Its canonical action, byte for byte as it was digested.
    pub(crate) action: String,
    pub(crate) look: LookContent,
}

/// How somebody had signed in when they asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthContent {
    pub(crate) age_us: i64,
    pub(crate) methods: MeansSet,
}

/// What was looked up before an approver is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookContent {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) estimate: Option<u64>,
    #[serde(default, skip_serializing_if = "Foreseen::is_empty")]
    pub(crate) foreseen: Foreseen,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) functions: Vec<LookFunctionContent>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) relations: Vec<LookRelationContent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) types: Vec<LookTypeContent>,
}

/// A type that was looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookTypeContent {
    pub(crate) name: String,
    pub(crate) oid: u32,
    pub(crate) written_like: u32,
}

/// A relation that was looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookRelationContent {
    pub(crate) access: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) columns: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) estimate_rows: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) kinds: Vec<String>,
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) reached: bool,
}

/// A function that was looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookFunctionContent {
    pub(crate) definer: bool,
    pub(crate) name: String,
    pub(crate) volatile: bool,
}

impl RequestContent {
    /// The content of a request about this action, as it was digested.
    pub(crate) fn new(canonical: &[u8], salt: &[u8; 16], from: From) -> Self {
        Self {
            action: String::from_utf8_lossy(canonical).into_owned(),
            auth: from.proof.map(|proof| AuthContent { age_us: proof.age.0, methods: proof.means }),
            look: None,
            purpose: String::new(),
            salt: salt.iter().map(|byte| format!("{byte:02x}")).collect(),
            so_far: None,
            source: from.source,
            steps: Vec::new(),
            ticket: None,
            via: from.via.as_str().to_owned(),
        }
    }

    /// With the requester's words.
    pub(crate) fn words(mut self, purpose: &str, ticket: Option<&str>) -> Self {
        purpose.clone_into(&mut self.purpose);
        self.ticket = ticket.map(str::to_owned);
        self
    }

    /// The salt of the digest.
    pub(crate) fn salt(&self) -> Option<[u8; 16]> {
        let digits = |at: usize| u8::from_str_radix(self.salt.get(at..at + 2)?, 16).ok();
        let mut salt = [0; 16];
        for (index, byte) in salt.iter_mut().enumerate() {
            *byte = digits(index * 2)?;
        }
        Some(salt)
    }

    /// From where and how it was asked.
    pub(crate) fn from(&self) -> From {
        let via = [Via::Postgres, Via::Mcp, Via::Console, Via::Cli, Via::Api];
        let via = via.into_iter().find(|via| via.as_str() == self.via).unwrap_or(Via::Api);
        let proof = self.auth.map(|auth| Proof { means: auth.methods, age: Span(auth.age_us) });
        From { source: self.source, via, proof }
    }

    /// The bytes that the line commits to.
    pub(crate) fn canonical(&self) -> Vec<u8> {
        // A struct of strings, integers and lists cannot fail to serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
