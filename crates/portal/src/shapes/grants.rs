//! Grants: who holds what, until when.

use countersign_core::{At, budget};
use countersign_engine::views::GrantView;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which grants.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GrantFilter {
    /// Only those in this state; without it, those that are live.
    #[param(inline)]
    pub state: Option<GrantState>,
    /// Only the caller's own.
    #[serde(default)]
    pub mine: bool,
}

/// Where a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum GrantState {
    /// It holds.
    Live,
    /// Its hour came.
    Expired,
    /// Somebody ended it.
    Revoked,
    /// Its holder gave it back.
    Relinquished,
}

impl GrantState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Live, Self::Expired, Self::Revoked, Self::Relinquished];

    /// The state of that name. A word that is none of them would be a state in which it does not hold.
    pub(super) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == name).unwrap_or(Self::Expired)
    }

    /// The state in one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Relinquished => "relinquished",
        }
    }
}

/// A live, time-bound membership of a principal in a role.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// Which.
    pub id: String,
    /// Where it stands.
    pub state: GrantState,
    /// Who holds it.
    pub principal: String,
    /// How people call them.
    pub display: String,
    /// The human behind them.
    pub person: String,
    /// In which role.
    pub role: String,
    /// What the role reaches.
    pub resources: Vec<String>,
    /// The request it followed from.
    pub request: String,
    /// From when, inclusive.
    #[schema(format = DateTime)]
    pub not_before: String,
    /// Until when, exclusive.
    #[schema(format = DateTime)]
    pub not_after: String,
    /// Why it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub purpose: Option<String>,
    /// How it ended before its hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ended: Option<GrantEnd>,
    /// What was taken under it so far.
    pub spent: Spent,
    /// What may be taken under it in all; absent where nothing has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub budget: Option<Limits>,
    /// What may be taken in each session under it; absent where nothing has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub session_budget: Option<Limits>,
    /// What one statement may take; absent where nothing has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub statement_budget: Option<Limits>,
    /// What the caller may do about it.
    pub can: GrantCan,
}

/// What was taken.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Spent {
    /// Statements that ran.
    pub statements: u64,
    /// Rows that they gave or touched.
    pub rows: u64,
    /// Bytes of their answers.
    pub bytes: u64,
    /// How long the target worked on them, in milliseconds.
    pub time_ms: u64,
    /// Different relations that they touched; counted only where that is limited.
    #[serde(default)]
    pub relations: u64,
}

/// What may be taken; what is absent has no limit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Limits {
    /// Statements that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub statements: Option<u64>,
    /// Rows that they gave or touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rows: Option<u64>,
    /// Bytes of their answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub bytes: Option<u64>,
    /// How long the target worked on them, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub time_ms: Option<u64>,
    /// Different relations that they touch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub relations: Option<u64>,
}

impl Limits {
    pub(super) fn of(limits: budget::Limits) -> Option<Self> {
        let budget::Limits { statements, rows, bytes, time, relations } = limits;
        let time_ms = time.map(|time| u64::try_from(time.millis()).unwrap_or_default());
        (!limits.is_none()).then_some(Self { statements, rows, bytes, time_ms, relations })
    }
}

/// How a grant ended before its hour.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GrantEnd {
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// Who ended it.
    pub by: String,
    /// How people call them.
    pub display: String,
}

/// What the caller may do about a grant.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct GrantCan {
    /// End it.
    pub revoke: bool,
    /// Give it back.
    pub relinquish: bool,
}

impl From<GrantView> for Grant {
    fn from(view: GrantView) -> Self {
        let grant = view.grant;
        Self {
            id: grant.id.to_string(),
            state: GrantState::named(view.state),
            principal: grant.principal.to_string(),
            display: view.holder.display,
            person: grant.person.to_string(),
            role: grant.role.to_string(),
            resources: view.resources.iter().map(ToString::to_string).collect(),
            request: grant.request.to_string(),
            not_before: grant.not_before.rfc3339(),
            not_after: grant.not_after.rfc3339(),
            purpose: view.purpose,
            ended: view.ended.map(|(at, by)| GrantEnd {
                at: At::rfc3339(at),
                by: by.id.to_string(),
                display: by.display,
            }),
            spent: Spent {
                statements: view.spent.statements,
                rows: view.spent.rows,
                bytes: view.spent.bytes,
                time_ms: view.spent.micros / 1_000,
                relations: view.spent.relations,
            },
            budget: view.budget.and_then(|budget| Limits::of(budget.grant)),
            session_budget: view.budget.and_then(|budget| Limits::of(budget.session)),
            statement_budget: view.budget.and_then(|budget| Limits::of(budget.statement)),
            can: GrantCan { revoke: view.can_revoke, relinquish: view.can_relinquish },
        }
    }
}
