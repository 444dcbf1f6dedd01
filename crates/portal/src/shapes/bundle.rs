//! The bundle: what is in force, checking another, applying it.

use std::collections::BTreeMap;

use countersign_engine::accounts::{AccountFinding, RelationFinding};
use countersign_engine::history;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::requests::{Approval, Party};

/// How the bundle in force is looked at.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BundleQuery {
    /// Whether the privileges of the upstream accounts are read back now; otherwise the warnings have what was read last.
    pub live: Option<bool>,
}

/// The bundle in force.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Bundle {
    /// Its hash.
    pub id: String,
    /// Always `active`.
    pub state: BundleState,
    /// The name that it gives itself.
    pub name: String,
    /// Counted from one.
    pub version: u64,
    /// How many principals it names.
    pub principals: usize,
    /// How many groups.
    pub groups: usize,
    /// How many resources.
    pub resources: usize,
    /// How many roles.
    pub roles: usize,
    /// How many approval rules.
    pub rules: usize,
    /// What was noticed when it was compiled, and upstream accounts that can do more than their roles say (the file
    /// of those is `live/ROLE/RESOURCE`), and relations and columns that are not there (`live/RESOURCE`).
    pub warnings: Vec<Diagnostic>,
}

/// Which bundle.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WhichBundle {
    /// Its hash; the one in force without it.
    pub id: Option<String>,
}

/// A bundle that was put in force.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BundleVersion {
    /// Its hash.
    pub id: String,
    /// `active` for the one in force, else `past`.
    pub state: BundleState,
    /// Counted from one.
    pub version: u64,
    /// The hash of the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub previous: Option<String>,
    /// Who applied it.
    pub by: Party,
    /// Since when.
    #[schema(format = DateTime)]
    pub at: String,
    /// The line of the ledger that says so.
    pub line: u64,
    /// The request that allowed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request: Option<String>,
    /// Who said yes to that.
    pub approvals: Vec<Approval>,
    /// Its files can still be read.
    pub kept: bool,
}

/// A bundle's text.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BundleFiles {
    /// Its hash.
    pub id: String,
    /// `active` for the one in force, else `valid`.
    pub state: BundleState,
    /// Text by path relative to the bundle's folder.
    pub files: BTreeMap<String, String>,
}

/// Whether a bundle is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BundleState {
    /// It is.
    Active,
    /// Somebody has to say yes first.
    Pending,
    /// It was.
    Past,
    /// It could be.
    Valid,
    /// It cannot be.
    Invalid,
}

/// The files of a bundle.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Text by path relative to the bundle's folder.
    pub files: BTreeMap<String, String>,
}

/// What a check found.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// The bundle's hash; absent when it is invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// `valid` or `invalid`.
    pub state: BundleState,
    /// Every mistake, or every warning.
    pub diagnostics: Vec<Diagnostic>,
}

/// One mistake or warning, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Diagnostic {
    /// Whether the bundle can be used in spite of it.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// The line, counted from one; 0 for the whole file.
    pub line: u32,
    /// The column, counted from one; 0 for the whole line.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub hint: Option<String>,
}

/// What became of an apply.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// The bundle's hash when it is active, the request's identifier when it waits.
    pub id: String,
    /// `active` or `pending`.
    pub state: BundleState,
    /// The version that it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub version: Option<u64>,
    /// The request that has to be approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request: Option<String>,
}

/// Whether a bundle can be used in spite of what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but somebody should look.
    Warning,
}

impl From<history::BundleVersion> for BundleVersion {
    fn from(found: history::BundleVersion) -> Self {
        Self {
            id: found.id.to_string(),
            state: if found.in_force { BundleState::Active } else { BundleState::Past },
            version: found.version,
            previous: found.previous.map(|id| id.to_string()),
            by: found.by.into(),
            at: found.at.rfc3339(),
            line: found.line,
            request: found.request.map(|id| id.to_string()),
            approvals: found.approvals.into_iter().map(Into::into).collect(),
            kept: found.kept,
        }
    }
}

impl Diagnostic {
    /// What was found of an upstream account: one warning for each thing that it may do beyond its role.
    pub(crate) fn of_account(found: &AccountFinding) -> Vec<Diagnostic> {
        let AccountFinding { role, resource, account, beyond } = found;
        let warning = |message: String, hint: &str| Diagnostic {
            severity: Severity::Warning,
            file: format!("live/{role}/{resource}"),
            line: 0,
            column: 0,
            message,
            hint: Some(hint.to_owned()),
        };
        match beyond {
            Ok(beyond) => {
                let hint = "take that from the account on the server, or let the role promise it";
                let message = |what: &String| {
                    format!("the account `{account}` {what}; the role `{role}` does not say so")
                };
                beyond.iter().map(|what| warning(message(what), hint)).collect()
            }
            Err(why) => {
                let message = format!("what the account `{account}` may do could not be read back: {why}");
                vec![warning(message, "the gateway connects with the account's own secret; correct that")]
            }
        }
    }
}

impl Diagnostic {
    /// What a bundle says of a resource and the resource does not have: one warning for each name.
    pub(crate) fn of_relations(found: &RelationFinding) -> Vec<Diagnostic> {
        let warning = |message: String, hint: &str| Diagnostic {
            severity: Severity::Warning,
            file: format!("live/{}", found.resource),
            line: 0,
            column: 0,
            message,
            hint: Some(hint.to_owned()),
        };
        match &found.missing {
            Ok(missing) => {
                let hint = "names are written as the database keeps them; correct it in `resources.toml`, or remove it";
                missing.iter().map(|what| warning(what.clone(), hint)).collect()
            }
            Err(why) => {
                let message = format!("whether its relations are there could not be asked: {why}");
                vec![warning(
                    message,
                    "names are looked up under the `look_account` of the resource; correct that",
                )]
            }
        }
    }
}

impl From<countersign_policy::Diagnostic> for Diagnostic {
    fn from(found: countersign_policy::Diagnostic) -> Self {
        let severity = match found.severity {
            countersign_policy::Severity::Error => Severity::Error,
            countersign_policy::Severity::Warning => Severity::Warning,
        };
        let countersign_policy::Diagnostic { file, line, column, message, hint, .. } = found;
        Self { severity, file, line, column, message, hint }
    }
}
