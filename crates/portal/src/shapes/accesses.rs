//! Who could, who did: for a resource or a person, and a period.

use countersign_engine::accesses;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::grants::GrantState;
use super::ledger::Event;
use super::requests::{Approval, Party};

/// Of what, and when. A resource, a person, or both.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AccessFilter {
    /// To which resource.
    pub resource: Option<String>,
    /// Whose: a person, with all accounts, services and agents of theirs; or one of those.
    pub person: Option<String>,
    /// From this instant, in UTC.
    #[param(format = DateTime)]
    pub from: String,
    /// Until that one, exclusive.
    #[param(format = DateTime)]
    pub until: String,
    /// How many acts are shown one by one: at most 5,000, and 500 without it.
    pub acts: Option<usize>,
}

/// Who could, who did.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AccessReport {
    /// `whole`, or `cut` if there was more than is looked at for one report.
    pub state: AccessState,
    /// From this instant.
    #[schema(format = DateTime)]
    pub from: String,
    /// Up to this one.
    #[schema(format = DateTime)]
    pub until: String,
    /// Grants, the newest first.
    pub items: Vec<Access>,
    /// What the person decided about others, the newest first; empty where none was asked for.
    pub decided: Vec<Event>,
}

/// Whether the whole period was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessState {
    /// It was.
    Whole,
    /// Up to `until`.
    Cut,
}

/// A grant that reached something, and what was done under it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Access {
    /// The grant.
    pub id: String,
    /// Where it stood at the end of the period.
    pub state: GrantState,
    /// Who held it.
    pub by: Party,
    /// The human who answers for them.
    pub person: String,
    /// Of which role.
    pub role: String,
    /// What the role reached in the period.
    pub resources: Vec<String>,
    /// Since when.
    #[schema(format = DateTime)]
    pub from: String,
    /// Until when: its hour, or the end that came before.
    #[schema(format = DateTime)]
    pub until: String,
    /// Who ended it before its hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ended_by: Option<Party>,
    /// The request it followed from.
    pub request: String,
    /// Why it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub purpose: Option<String>,
    /// The ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ticket: Option<String>,
    /// Who said yes; empty where nobody had to be asked.
    pub approvals: Vec<Approval>,
    /// The sessions under it that did something in the period.
    pub sessions: Vec<String>,
    /// Statements that ran.
    pub ran: u64,
    /// Of those: approved one by one.
    pub approved: u64,
    /// Statements that waited.
    pub held: u64,
    /// Statements that were refused.
    pub refused: u64,
    /// Rows that were touched or given.
    pub rows: u64,
    /// What was done, in order; not more than was asked for.
    pub acts: Vec<Event>,
}

impl AccessReport {
    pub(crate) fn new(report: accesses::AccessReport, from: String) -> Self {
        Self {
            state: if report.whole { AccessState::Whole } else { AccessState::Cut },
            from,
            until: report.until.rfc3339(),
            items: report.items.into_iter().map(Into::into).collect(),
            decided: report.decided.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<accesses::AccessView> for Access {
    fn from(view: accesses::AccessView) -> Self {
        Self {
            id: view.grant.to_string(),
            state: GrantState::named(view.state),
            by: view.who.into(),
            person: view.person.to_string(),
            role: view.role.to_string(),
            resources: view.resources.iter().map(ToString::to_string).collect(),
            from: view.from.rfc3339(),
            until: view.until.rfc3339(),
            ended_by: view.ended_by.map(Into::into),
            request: view.request.to_string(),
            purpose: view.purpose,
            ticket: view.ticket,
            approvals: view.approvals.into_iter().map(Into::into).collect(),
            sessions: view.sessions.iter().map(ToString::to_string).collect(),
            ran: view.counts.ran,
            approved: view.counts.approved,
            held: view.counts.held,
            refused: view.counts.refused,
            rows: view.counts.rows,
            acts: view.acts.into_iter().map(Into::into).collect(),
        }
    }
}
