//! What a gate looks at: people, groups, resources and roles. A gate on resources of high impact says nothing
//! any more once the resource is said to be of low impact.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::catalogue::{
    Catalogue, Directory, PrincipalKind, Relation, RelationName, Resource, Role,
};
use countersign_core::{GroupId, PersonId, ResourceId, RoleId, Span};

use super::{Demands, forbids, rule_of};
use crate::actions::{self, ACTIONS, On};
use crate::ceiling;
use crate::compiled::Judged;
use crate::floor;
use crate::scope::Side;

impl Demands<'_> {
    pub(super) fn facts(&mut self) {
        self.people();
        self.directories();
        self.workloads();
        self.agents();
        self.groups();
        self.resources();
        self.addresses();
        self.roles();
    }

    /// Two accounts of one person become two persons, who could then answer each other; or an account
    /// becomes something else than it was.
    fn people(&mut self) {
        let (old, new) = (&self.old.catalogue.principals, &self.new.catalogue.principals);
        let both = old.iter().filter_map(|(id, was)| Some((id, was, new.get(id)?)));
        let mut reasons = Vec::new();
        let mut became: BTreeMap<&PersonId, &PersonId> = BTreeMap::new();
        for (id, was, is) in both {
            if *became.entry(&was.person).or_insert(&is.person) != &is.person {
                reasons.push(format!("accounts of the person `{}` are parted", was.person));
            }
            if kind(&was.kind) != kind(&is.kind) {
                reasons.push(format!("`{id}` becomes a {}", kind(&is.kind)));
            }
        }
        for reason in reasons {
            self.demand_of_all(floor::FACTS, &reason);
        }
    }

    /// An account no longer lives by its directory's word, or that word is waited for longer, or says otherwise who is one
    /// human.
    fn directories(&mut self) {
        let (old, new) = (&self.old.catalogue, &self.new.catalogue);
        let both = old.principals.iter().filter_map(|(id, was)| Some((id, was, new.principals.get(id)?)));
        let left = both.filter(|(_, was, is)| was.directory.is_some() && was.directory != is.directory);
        let mut reasons: Vec<String> =
            left.map(|(id, ..)| format!("`{id}` no longer lives by its directory's word")).collect();
        for (name, was) in &old.directories {
            let Some(is) = new.directories.get(name) else { continue };
            if is_more_patient(was, is) {
                reasons.push(format!("the directory `{name}` may be silent for longer"));
            }
            if was.persons.iter().any(|(account, person)| is.persons.get(account) != Some(person)) {
                reasons.push(format!("accounts of the directory `{name}` are parted from their persons"));
            }
            if was.strip != is.strip {
                reasons.push(format!("the directory `{name}` names its accounts otherwise"));
            }
        }
        for reason in reasons {
            self.demand_of_all(floor::FACTS, &reason);
        }
    }

    /// Other jobs become a service that there was.
    fn workloads(&mut self) {
        let (old, new) = (&self.old.catalogue, &self.new.catalogue);
        let mut reasons = Vec::new();
        for (name, was) in &old.issuers {
            if new.issuers.get(name).is_some_and(|is| is.url != was.url || is.audience != was.audience) {
                reasons
                    .push(format!("the issuer `{name}` is another one, or its tokens are meant for another"));
            }
        }
        for (name, is) in &new.workloads {
            if old.workloads.get(name) != Some(is) && old.principals.contains_key(&is.service) {
                reasons.push(format!("other jobs are the service `{}`", is.service));
            }
        }
        for reason in reasons {
            self.demand_of_governors(floor::FACTS, &reason);
        }
    }

    /// An agent may hold or do more than before: nobody lifts a ceiling by themselves.
    fn agents(&mut self) {
        let (old, new) = (&self.old.catalogue.principals, &self.new.catalogue.principals);
        let both = old.iter().filter_map(|(id, was)| Some((id, &was.kind, &new.get(id)?.kind)));
        let mut reasons = Vec::new();
        for (id, was, is) in both {
            let (
                PrincipalKind::Agent { ceiling: was, owner: had },
                PrincipalKind::Agent { ceiling: is, owner: has },
            ) = (was, is)
            else {
                continue;
            };
            if ceiling::is_raised(was, is) {
                reasons.push(format!("the ceiling of the agent `{id}` is raised"));
            }
            if had != has {
                reasons.push(format!("somebody else answers for the agent `{id}`"));
            }
        }
        for reason in reasons {
            self.demand_of_governors(floor::FACTS, &reason);
        }
    }

    /// A group that a forbid names has other members.
    fn groups(&mut self) {
        for policy in forbids(self.old) {
            for uid in policy.mentions.iter().filter(|uid| uid.type_name().basename() == "Group") {
                let group = GroupId::new(uid.id().unescaped());
                let (old, new) = (&self.old.catalogue, &self.new.catalogue);
                if old.members(&group) != new.members(&group) || old.sources(&group) != new.sources(&group) {
                    let reason =
                        format!("the group `{group}`, which `{}` looks at, changes", policy.named.id);
                    self.demand_for(policy, floor::FACTS, &reason);
                }
            }
        }
    }

    /// A resource that a forbid may look at is described otherwise.
    fn resources(&mut self) {
        let (old, new) = (&self.old.catalogue.resources, &self.new.catalogue.resources);
        let both = old.iter().filter_map(|(id, was)| Some((id, was, new.get(id)?)));
        let changed: Vec<&ResourceId> =
            both.filter(|(_, was, is)| looks(was) != looks(is)).map(|(id, ..)| id).collect();
        for policy in forbids(self.old).filter(|one| looks_at(one, On::Resource)) {
            for id in changed.iter().filter(|id| may_be(&policy.scope.resource, "Resource", id.as_str())) {
                let reason = format!("the resource `{id}`, which `{}` may look at, changes", policy.named.id);
                self.demand_for(policy, floor::FACTS, &reason);
            }
        }
    }

    /// A protected database is reached under another name, which its gates do not know.
    fn addresses(&mut self) {
        let (old, new) = (&self.old.catalogue.resources, &self.new.catalogue.resources);
        let mut reasons = Vec::new();
        for (id, is) in new {
            let mut added = addresses(is);
            if let Some(was) = old.get(id) {
                added = &added - &addresses(was);
            }
            let others =
                old.iter().filter(|(other, was)| *other != id && !added.is_disjoint(&addresses(was)));
            reasons.extend(others.map(|(other, _)| format!("`{id}` is where the resource `{other}` was")));
        }
        let holding: Vec<_> = forbids(self.old).filter(|one| applies_to(one, On::Resource)).collect();
        for reason in reasons {
            for policy in &holding {
                self.demand_for(policy, floor::FACTS, &reason);
            }
        }
    }

    /// A role permits more than whoever approved of holding it was told, or is described otherwise to a forbid
    /// that may look at it.
    fn roles(&mut self) {
        let (old, new) = (&self.old.catalogue, &self.new.catalogue);
        let both = old.roles.iter().filter_map(|(id, was)| Some((id, was, new.roles.get(id)?)));
        let changed: Vec<(&RoleId, bool, bool)> = both
            .map(|(id, was, is)| (id, is_wider(was, is), looks_of(was, old) != looks_of(is, new)))
            .collect();
        for policy in forbids(self.old).filter(|one| applies_to(one, On::Role)) {
            for (id, widened, described) in &changed {
                let concerned = may_be(&policy.scope.resource, "Role", id.as_str());
                let reason = match (widened, described) {
                    (true, _) if concerned && rule_of(policy).is_some() => "permits more",
                    (_, true) if concerned && !policy.is_unconditional => "changes",
                    _ => continue,
                };
                self.demand_for(policy, floor::FACTS, &format!("the role `{id}` {reason}"));
            }
        }
        self.reach();
    }

    /// A role that a forbid on resources names reaches other resources.
    fn reach(&mut self) {
        let (old, new) = (&self.old.catalogue.roles, &self.new.catalogue.roles);
        for policy in forbids(self.old).filter(|one| applies_to(one, On::Resource)) {
            for uid in policy.mentions.iter().filter(|uid| uid.type_name().basename() == "Role") {
                let id = RoleId::new(uid.id().unescaped());
                let reach =
                    |roles: &BTreeMap<RoleId, Role>| roles.get(&id).map(|role| role.resources.clone());
                if reach(old) != reach(new) {
                    let reason = format!("the role `{id}`, which `{}` looks at, changes", policy.named.id);
                    self.demand_for(policy, floor::FACTS, &reason);
                }
            }
        }
    }
}

fn applies_to(policy: &Judged, on: On) -> bool {
    ACTIONS.iter().any(|spec: &actions::Spec| spec.on == on && policy.scope.has_action(spec))
}

/// Whether a forbid could match or not by what is said of the thing: it has conditions.
fn looks_at(policy: &Judged, on: On) -> bool {
    !policy.is_unconditional && applies_to(policy, on)
}

/// Whether the head of a forbid may be about this entity.
fn may_be(side: &Side, kind: &str, name: &str) -> bool {
    match side {
        Side::Equals(uid) => uid.type_name().basename() == kind && uid.id().unescaped() == name,
        Side::Is(is) | Side::IsIn(is, _) => is == kind,
        Side::Any | Side::In(_) => true,
    }
}

/// Whether a directory may go unheard for longer than before anything follows from it.
fn is_more_patient(was: &Directory, is: &Directory) -> bool {
    let longer = |was: Option<Span>, is: Option<Span>| match (was, is) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(was), Some(is)) => is > was,
    };
    longer(was.silent_after, is.silent_after) || longer(was.lost_after, is.lost_after)
}

const fn kind(kind: &PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::User => "user",
        PrincipalKind::Service { .. } => "service",
        PrincipalKind::Agent { .. } => "agent",
    }
}

/// All that policy sees of a resource, and whatever it says of its relations but titles.
fn looks(resource: &Resource) -> impl PartialEq + '_ {
    let untitled = |(name, relation): (&'_ RelationName, &Relation)| {
        (name.clone(), Relation { title: None, ..relation.clone() })
    };
    let relations: BTreeMap<RelationName, Relation> = resource.relations.iter().map(untitled).collect();
    let masking =
        ["masking_derived", "masking_guessing", "masking_detect"].map(|key| resource.settings.get(key));
    (
        &resource.kind,
        resource.impact,
        &resource.labels,
        &resource.owner,
        resource.recording,
        relations,
        masking,
    )
}

/// All that policy sees of a role.
fn looks_of(role: &Role, catalogue: &Catalogue) -> impl PartialEq + use<> {
    let reached = role.resources.iter().filter_map(|id| catalogue.resources.get(id));
    (role.longest, reached.map(|resource| resource.impact).max())
}

fn is_wider(was: &Role, is: &Role) -> bool {
    !is.actions.is_subset(&was.actions)
        || !is.resources.is_subset(&was.resources)
        || is.longest > was.longest
        || is.account != was.account
}

/// Where a resource is: the database on each of its servers.
fn addresses(resource: &Resource) -> BTreeSet<[&str; 3]> {
    let setting = |key: &str| resource.settings.get(key).map_or("", String::as_str);
    let servers = setting("host").split(',').zip(setting("port").split(','));
    servers.map(|(host, port)| [host, port, setting("database")]).collect()
}
