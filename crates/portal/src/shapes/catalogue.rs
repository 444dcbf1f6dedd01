//! What the bundle in force says there is: resources, roles, groups and approval rules, and what of it is held and used.

use std::collections::BTreeMap;

use countersign_core::catalogue::{
    Catalogue as Said, Column as SaidColumn, MaskStyle, Place, Rule as SaidRule,
};
use countersign_core::{ResourceId, RoleId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::grants::Limits;
use super::requests::Party;
use super::{Impact, bundle::BundleState};

/// What there is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Catalogue {
    /// The hash of the bundle in force.
    pub id: String,
    /// Always `active`.
    pub state: BundleState,
    /// What is protected, by name.
    pub resources: Vec<DescribedResource>,
    /// Privilege scopes, by name.
    pub roles: Vec<DescribedRole>,
    /// Sets of principals, by name.
    pub groups: Vec<DescribedGroup>,
    /// Who must say yes, by name.
    pub rules: Vec<DescribedRule>,
}

/// Something protected, as the bundle describes it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DescribedResource {
    /// Its name.
    pub id: String,
    /// Which protocol it speaks.
    pub kind: String,
    /// One line for people who choose.
    pub title: String,
    /// Who answers for it: `group:dba`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub owner: Option<String>,
    /// How bad it would be.
    pub impact: Impact,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// When a provable read must be on disk: `before-release` or `alongside`.
    pub recording: String,
    /// Where it is: host and database.
    pub address: String,
    /// The roles that reach it.
    pub roles: Vec<String>,
    /// What is said of single relations in it.
    pub relations: Vec<DescribedRelation>,
}

/// A relation that the bundle speaks of.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DescribedRelation {
    /// Schema and name.
    pub name: String,
    /// One line for people who approve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub title: Option<String>,
    /// Who answers for it, if not the owner of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub owner: Option<String>,
    /// How bad it would be, if not as bad as the resource says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub impact: Option<Impact>,
    /// What kind of data it holds.
    pub labels: Vec<String>,
    /// Its columns that the bundle speaks of.
    pub columns: Vec<DescribedColumn>,
}

/// A column that the bundle speaks of.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DescribedColumn {
    /// Its name.
    pub name: String,
    /// What kind of data it holds.
    pub labels: Vec<String>,
    /// How it is covered for whom policy does not let see it: `full`, `partial`, `hash`, `format`; `default` where only
    /// labels say that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub mask: Option<String>,
}

/// A privilege scope, and who holds it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DescribedRole {
    /// Its name.
    pub id: String,
    /// One line for people who choose.
    pub title: String,
    /// The actions it permits.
    pub actions: Vec<String>,
    /// The resources it reaches.
    pub resources: Vec<String>,
    /// The upstream account that its sessions run under.
    pub account: String,
    /// The longest grant, in seconds.
    pub longest_s: i64,
    /// What may be taken under one grant; absent where nothing has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub budget: Option<Limits>,
    /// Who holds it now.
    pub holders: Vec<Party>,
    /// How often it was granted, ever.
    pub granted: u64,
    /// When it was granted last; absent if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub granted_at: Option<String>,
}

/// A set of principals.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DescribedGroup {
    /// Its name.
    pub id: String,
    /// Everybody in it, through other groups as well.
    pub members: Vec<Party>,
    /// Groups whose members are members here.
    pub groups: Vec<String>,
    /// Groups of directories whose members are members here, by directory.
    pub from: BTreeMap<String, Vec<String>>,
}

/// Who must say yes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DescribedRule {
    /// Its name.
    pub id: String,
    /// All of them must be filled.
    pub stages: Vec<DescribedStage>,
    /// Unanswered for so many seconds, it lapses.
    pub pending_for_s: i64,
    /// For how many seconds a yes may be used.
    pub valid_for_s: i64,
    /// How often a yes may be used.
    pub uses: u32,
    /// A yes counts only if a passkey signed it.
    pub signed: bool,
    /// Who is added when nobody answers.
    pub escalate: Vec<DescribedStep>,
}

/// `need` distinct persons out of `from`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DescribedStage {
    /// How many.
    pub need: u32,
    /// Who may fill a place.
    pub from: Vec<String>,
}

/// People who are added after a while.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DescribedStep {
    /// After so many seconds.
    pub after_s: i64,
    /// Who.
    pub add: Vec<String>,
}

impl DescribedResource {
    pub(crate) fn all(said: &Said) -> Vec<Self> {
        said.resources.keys().filter_map(|id| Self::of(said, id)).collect()
    }

    fn of(said: &Said, id: &ResourceId) -> Option<Self> {
        let found = said.resources.get(id)?;
        let setting = |name: &str| found.settings.get(name).map(String::as_str).unwrap_or_default();
        let roles = said.roles.iter().filter(|(_, role)| role.resources.contains(id));
        let relations = found.relations.iter().map(|(name, relation)| DescribedRelation {
            name: name.to_string(),
            title: relation.title.clone(),
            owner: relation.owner.as_ref().map(Place::to_string),
            impact: relation.impact.map(Into::into),
            labels: relation.labels.iter().cloned().collect(),
            columns: relation.columns.iter().map(DescribedColumn::of).collect(),
        });
        Some(Self {
            id: id.to_string(),
            kind: found.kind.clone(),
            title: found.title.clone(),
            owner: found.owner.as_ref().map(Place::to_string),
            impact: found.impact.into(),
            labels: found.labels.clone(),
            recording: match found.recording {
                countersign_core::catalogue::Recording::BeforeRelease => "before-release".to_owned(),
                countersign_core::catalogue::Recording::Alongside => "alongside".to_owned(),
            },
            address: [setting("host"), setting("database")].join("/"),
            roles: roles.map(|(name, _)| name.to_string()).collect(),
            relations: relations.collect(),
        })
    }
}

impl DescribedColumn {
    fn of((name, column): (&String, &SaidColumn)) -> Self {
        let style = column.mask.map(|style| match style {
            MaskStyle::Full => "full",
            MaskStyle::Partial => "partial",
            MaskStyle::Hash => "hash",
            MaskStyle::Format => "format",
        });
        let style = style.or((!column.labels.is_empty()).then_some("default"));
        Self {
            name: name.clone(),
            labels: column.labels.iter().cloned().collect(),
            mask: style.map(str::to_owned),
        }
    }
}

impl DescribedRole {
    pub(crate) fn of(
        said: &Said,
        id: &RoleId,
        holders: Vec<Party>,
        used: Option<(u64, countersign_core::At)>,
    ) -> Option<Self> {
        let role = said.roles.get(id)?;
        Some(Self {
            id: id.to_string(),
            title: role.title.clone(),
            actions: role.actions.iter().map(ToString::to_string).collect(),
            resources: role.resources.iter().map(ToString::to_string).collect(),
            account: role.account.clone(),
            longest_s: role.longest.millis() / 1_000,
            budget: role.budget.map(|budget| budget.grant).and_then(Limits::of),
            holders,
            granted: used.map_or(0, |(count, _)| count),
            granted_at: used.map(|(_, at)| at.rfc3339()),
        })
    }
}

impl DescribedGroup {
    pub(crate) fn all(said: &Said, party: &dyn Fn(&countersign_core::PrincipalId) -> Party) -> Vec<Self> {
        let groups = said.groups.iter().map(|(id, group)| Self {
            id: id.to_string(),
            members: said.members(id).into_iter().map(party).collect(),
            groups: group.groups.iter().map(ToString::to_string).collect(),
            from: group
                .from
                .iter()
                .map(|(directory, theirs)| (directory.to_string(), theirs.iter().cloned().collect()))
                .collect(),
        });
        groups.collect()
    }
}

impl DescribedRule {
    pub(crate) fn of(id: &countersign_core::RuleName, rule: &SaidRule) -> Self {
        let places = |places: &[Place]| places.iter().map(Place::to_string).collect();
        let seconds = |span: countersign_core::Span| span.millis() / 1_000;
        Self {
            id: id.to_string(),
            stages: rule
                .stages
                .iter()
                .map(|stage| DescribedStage { need: stage.need, from: places(&stage.from) })
                .collect(),
            pending_for_s: seconds(rule.pending_for),
            valid_for_s: seconds(rule.valid_for),
            uses: rule.uses,
            signed: rule.signed,
            escalate: rule
                .escalate
                .iter()
                .map(|step| DescribedStep { after_s: seconds(step.after), add: places(&step.add) })
                .collect(),
        }
    }
}
