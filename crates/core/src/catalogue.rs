//! What a bundle says: principals, groups, roles, resources and approval rules.
//!
//! The catalogue is data, already checked by whoever compiled the bundle: every name it mentions exists.
//! It says nothing of *when* an action is permitted; that is policy.

mod relations;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::budget::{Budget, Limits};
use crate::ids::{ActionName, DirectoryName, GroupId, PersonId, PrincipalId, ResourceId, RoleId, RuleName};
use crate::request::HoldsUp;
use crate::time::Span;

pub use relations::{BadRelationName, Column, MaskStyle, RELATION_NAME_BYTES_MAX, Relation, RelationName};

/// Everything that one bundle names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Accounts by name.
    pub principals: BTreeMap<PrincipalId, Principal>,
    /// Groups by name.
    pub groups: BTreeMap<GroupId, Group>,
    /// Roles by name.
    pub roles: BTreeMap<RoleId, Role>,
    /// Resources by name.
    pub resources: BTreeMap<ResourceId, Resource>,
    /// Approval rules by name.
    pub rules: BTreeMap<RuleName, Arc<Rule>>,
    /// Directories by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub directories: BTreeMap<DirectoryName, Directory>,
    /// Issuers of workloads' identities by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub issuers: BTreeMap<String, Issuer>,
    /// Which workloads are which service, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub workloads: BTreeMap<String, Workload>,
}

/// Who issues identities to jobs (OpenID Connect): a CI system, a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// Its identifier, exactly as its tokens have it.
    pub url: String,
    /// What its tokens have to be meant for.
    pub audience: String,
    /// One line for people.
    pub title: Option<String>,
}

/// Which workload is a service: all of it has to be so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// The service that it is.
    pub service: PrincipalId,
    /// Whose word that is.
    pub issuer: String,
    /// The subject of its tokens, exactly.
    pub subject: Option<String>,
    /// Claims of its tokens, exactly.
    pub claims: BTreeMap<String, String>,
}

impl Workload {
    /// Whether a token of its issuer's says all of it.
    #[must_use]
    pub fn is(&self, subject: &str, claims: &BTreeMap<String, String>) -> bool {
        self.subject.as_ref().is_none_or(|wanted| wanted == subject)
            && self.claims.iter().all(|(name, wanted)| claims.get(name) == Some(wanted))
            && (self.subject.is_some() || !self.claims.is_empty())
    }
}

/// Where the company keeps who its people are. How it is reached is no part of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// One line for people.
    pub title: Option<String>,
    /// Not heard for so long, its people begin nothing new. Never, if absent.
    pub silent_after: Option<Span>,
    /// Not heard for so long, what its people have ends. Never, if absent.
    pub lost_after: Option<Span>,
    /// What its names end with that ours do not: `@example.com`.
    pub strip: Option<String>,
    /// The human behind an account, where it is not a human of the account's own name.
    pub persons: BTreeMap<PrincipalId, PersonId>,
    /// By what it is found that two accounts are one human's.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub link_by: BTreeSet<LinkBy>,
}

/// By what it is found that two accounts are one human's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkBy {
    /// What the directory says of the human itself: the number of an employee.
    Number,
    /// Their mail address.
    Mail,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// User, service or agent.
    pub kind: PrincipalKind,
    /// The human who answers for it. For a service or agent: the owner's person.
    pub person: PersonId,
    /// How people call it. Content: never in the chain.
    pub display: String,
    /// Where notices go. Content: never in the chain.
    pub email: Option<String>,
    /// The directory whose word it lives by: it is let in only as long as the directory says that it is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectoryName>,
}

/// What an account is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A person at a keyboard.
    User,
    /// A job that runs without one.
    Service {
        /// The user who answers for it.
        owner: PrincipalId,
    },
    /// An AI agent.
    Agent {
        /// The user who answers for it.
        owner: PrincipalId,
        /// The most that it may ever hold and do.
        #[serde(default)]
        ceiling: AgentCeiling,
    },
}

/// The most that an agent may ever hold and do, whoever approves. Nothing, where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentCeiling {
    /// The roles that it may hold.
    pub roles: BTreeSet<RoleId>,
    /// What it may do in them: actions, and groups of actions.
    pub actions: BTreeSet<ActionName>,
}

/// A set of principals, and of the members of other groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Direct members.
    pub members: BTreeSet<PrincipalId>,
    /// Groups whose members are members here.
    pub groups: BTreeSet<GroupId>,
    /// Groups of directories whose members are members here, as the directories call them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub from: BTreeMap<DirectoryName, BTreeSet<String>>,
}

/// A privilege scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// One line for people who choose.
    pub title: String,
    /// The actions it permits.
    pub actions: BTreeSet<ActionName>,
    /// The resources it permits them on.
    pub resources: BTreeSet<ResourceId>,
    /// The upstream account its sessions run under.
    pub account: String,
    /// The longest grant.
    pub longest: Span,
    /// How much may be taken under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// How much may be taken by calls of single tools, in one session each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, Limits>,
}

/// Something protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Which protocol it speaks: `postgres`.
    pub kind: String,
    /// One line for people who choose.
    pub title: String,
    /// Who answers for it.
    pub owner: Option<Place>,
    /// How bad it would be (FIPS 199).
    pub impact: Impact,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// How provable reads are recorded (invariant 1).
    pub recording: Recording,
    /// Protocol settings, read by the door: `host`, `port`, `database`, `tls`, ...
    pub settings: BTreeMap<String, String>,
    /// Upstream secrets by upstream account, as references: `env:NAME`, `file:PATH`, `secret:NAME`.
    pub secrets: BTreeMap<String, String>,
    /// Client certificates by upstream account, for servers that ask for one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<String, ClientCertificate>,
    /// What is said of single relations in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub relations: BTreeMap<RelationName, Relation>,
}

/// What an upstream account shows of itself inside TLS: references like those of secrets, to PEM texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// The certificate, and those between it and its authority.
    pub certificate: String,
    /// Its private key, unencrypted.
    pub key: String,
}

/// Impact level of a resource (FIPS 199).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Impact {
    /// Limited adverse effect.
    Low,
    /// Serious adverse effect.
    Moderate,
    /// Severe or catastrophic adverse effect.
    High,
}

/// When the record of a provable read must be durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recording {
    /// Before a byte of the answer leaves.
    #[default]
    BeforeRelease,
    /// In order, and within 100 ms.
    Alongside,
}

/// Who must say yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// All of them must be filled; they run in parallel.
    pub stages: Vec<Stage>,
    /// Unanswered for this long, it lapses.
    pub pending_for: Span,
    /// How long a yes may be used.
    pub valid_for: Span,
    /// How often a yes may be used.
    pub uses: u32,
    /// Who is added when nobody answers.
    pub escalate: Vec<Escalation>,
    /// How wide an envelope its approvers may give; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Ceiling>,
    /// A yes counts only if the approver's passkey signed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signed: bool,
    /// Unanswered for this long it lapses while the requester's own transaction is open; no less than otherwise if absent,
    /// and if it is nothing, nobody is asked then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_in_transaction: Option<Span>,
    /// The same while that transaction holds locks which others may wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_with_locks: Option<Span>,
}

impl Rule {
    /// How long a request may be pending that holds up so much.
    #[must_use]
    pub fn pending_for(&self, holds_up: HoldsUp) -> Span {
        let within = |limit: Option<Span>| limit.unwrap_or(self.pending_for).min(self.pending_for);
        match holds_up {
            HoldsUp::Nothing => self.pending_for,
            HoldsUp::Transaction => within(self.pending_in_transaction),
            HoldsUp::Locks => within(self.pending_in_transaction).min(within(self.pending_with_locks)),
        }
    }
}

/// The widest envelope that approvers may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    /// Rows that one statement may write.
    pub rows: u64,
    /// Rows that may be written in all.
    pub total: u64,
    /// How many statements.
    pub uses: u32,
    /// For how long.
    pub longest: Span,
}

impl Ceiling {
    /// Of each part the lesser.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self {
            rows: self.rows.min(other.rows),
            total: self.total.min(other.total),
            uses: self.uses.min(other.uses),
            longest: self.longest.min(other.longest),
        }
    }
}

/// `need` distinct persons out of `from`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// How many; at least one.
    pub need: u32,
    /// Who may fill a place.
    pub from: Vec<Place>,
}

/// Adds people after a while. It never approves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// Time since the request was made.
    pub after: Span,
    /// Who may then fill a place in any stage.
    pub add: Vec<Place>,
}

/// Somebody, named one way or another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// `user:NAME`.
    User(PrincipalId),
    /// `group:NAME`: any member.
    Group(GroupId),
    /// `owner`: the owner of the resource in question.
    Owner,
}

impl Catalogue {
    /// Every principal in `group`, through nested groups; a cycle adds nothing.
    #[must_use]
    pub fn members(&self, group: &GroupId) -> BTreeSet<&PrincipalId> {
        let (mut open, mut seen, mut members) = (vec![group], BTreeSet::new(), BTreeSet::new());
        while let Some(name) = open.pop() {
            if !seen.insert(name) {
                continue;
            }
            if let Some(group) = self.groups.get(name) {
                members.extend(&group.members);
                open.extend(&group.groups);
            }
        }
        members
    }

    /// Every group of a directory whose members are in `group`, through nested groups, as the directory calls it.
    #[must_use]
    pub fn sources(&self, group: &GroupId) -> BTreeSet<(&DirectoryName, &str)> {
        let (mut open, mut seen, mut sources) = (vec![group], BTreeSet::new(), BTreeSet::new());
        while let Some(name) = open.pop() {
            if !seen.insert(name) {
                continue;
            }
            if let Some(group) = self.groups.get(name) {
                let from = group.from.iter();
                sources.extend(
                    from.flat_map(|(from, theirs)| theirs.iter().map(move |one| (from, one.as_str()))),
                );
                open.extend(&group.groups);
            }
        }
        sources
    }

    /// The group of a resource's owner, or the group itself that a place names.
    #[must_use]
    pub fn group_at<'a>(&'a self, place: &'a Place, resource: Option<&ResourceId>) -> Option<&'a GroupId> {
        match place {
            Place::Group(name) => Some(name),
            Place::User(_) => None,
            Place::Owner => match &self.resources.get(resource?)?.owner {
                Some(Place::Group(name)) => Some(name),
                Some(Place::User(_) | Place::Owner) | None => None,
            },
        }
    }

    /// Every group that `principal` belongs to, directly or through another group.
    #[must_use]
    pub fn groups_of(&self, principal: &PrincipalId) -> BTreeSet<&GroupId> {
        self.groups.keys().filter(|group| self.members(group).contains(principal)).collect()
    }

    /// The principals a place stands for. `Owner` stands for the owner of `resource`, once.
    #[must_use]
    pub fn principals_at<'a>(
        &'a self,
        place: &'a Place,
        resource: Option<&ResourceId>,
    ) -> BTreeSet<&'a PrincipalId> {
        match place {
            Place::User(name) => BTreeSet::from([name]),
            Place::Group(name) => self.members(name),
            Place::Owner => {
                let owner =
                    resource.and_then(|id| self.resources.get(id)).and_then(|found| found.owner.as_ref());
                match owner {
                    Some(Place::User(name)) => BTreeSet::from([name]),
                    Some(Place::Group(name)) => self.members(name),
                    Some(Place::Owner) | None => BTreeSet::new(),
                }
            }
        }
    }

    /// From a principal up to the user who answers for it, the principal first.
    #[must_use]
    pub fn chain(&self, principal: &PrincipalId) -> Vec<PrincipalId> {
        let mut chain = vec![principal.clone()];
        while let Some(owner) =
            chain.last().and_then(|last| self.principals.get(last)).and_then(Principal::owner)
        {
            if chain.contains(owner) {
                break;
            }
            chain.push(owner.clone());
        }
        chain
    }
}

impl Principal {
    /// The owner of a service or agent.
    #[must_use]
    pub fn owner(&self) -> Option<&PrincipalId> {
        match &self.kind {
            PrincipalKind::User => None,
            PrincipalKind::Service { owner } | PrincipalKind::Agent { owner, .. } => Some(owner),
        }
    }

    /// Whether a human signs in as this principal.
    #[must_use]
    pub fn is_user(&self) -> bool {
        self.kind == PrincipalKind::User
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(name) => write!(f, "user:{name}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Owner => f.write_str("owner"),
        }
    }
}

impl std::str::FromStr for Place {
    type Err = crate::ids::BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "owner" {
            return Ok(Self::Owner);
        }
        match text.split_once(':') {
            Some(("user", name)) => Ok(Self::User(name.parse()?)),
            Some(("group", name)) => Ok(Self::Group(name.parse()?)),
            _ => Err(crate::ids::BadId::Name(crate::ids::excerpt(text))),
        }
    }
}

impl Impact {
    /// `low`, `moderate` or `high`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Moderate => "moderate",
            Self::High => "high",
        }
    }
}
