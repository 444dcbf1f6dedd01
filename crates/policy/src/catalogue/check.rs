//! Looks up every name that the files mention.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::catalogue::{Catalogue, Place, Rule};
use countersign_core::{DirectoryName, GroupId, PersonId, PrincipalId, ResourceId, RoleId};

use super::{Files, servers, tools};
use crate::actions;
use crate::diagnostic::{Problems, did_you_mean};
use crate::text::{Read, Table};

/// Names are checked against these.
struct Check<'a, 'p> {
    catalogue: &'a Catalogue,
    problems: &'p mut Problems,
}

pub(super) fn check(files: &Files<'_>, catalogue: &Catalogue, problems: &mut Problems) {
    let mut check = Check { catalogue, problems };
    check.people(&files.people);
    check.resources(&files.resources);
    check.roles(&files.roles, &files.resources);
    check.rules(&files.rules);
}

impl Check<'_, '_> {
    fn people(&mut self, file: &Read<'_>) {
        for kind in ["service", "agent"] {
            for (name, table) in file.root.tables(kind) {
                if let Some(owner) = table.maybe_text("owner") {
                    self.user(file, &format!("{kind}.{name}.owner"), owner);
                }
            }
        }
        for (name, table) in file.root.tables("agent") {
            for (index, role) in table.indexed("roles") {
                self.role(file, &format!("agent.{name}.roles[{index}]"), role);
            }
            for (index, action) in table.indexed("actions") {
                let path = format!("agent.{name}.actions[{index}]");
                if !actions::is_group_of_acts(action) {
                    self.action(file, &path, action);
                }
            }
        }
        for (name, table) in file.root.tables("group") {
            for (index, member) in table.indexed("members") {
                self.principal(file, &format!("group.{name}.members[{index}]"), member);
            }
            for (index, group) in table.indexed("groups") {
                self.group(file, &format!("group.{name}.groups[{index}]"), group);
            }
        }
        self.directories(file);
        super::workloads::check(file, self.catalogue, self.problems);
        let mut accounts: BTreeMap<&PersonId, usize> = BTreeMap::new();
        for principal in self.catalogue.principals.values().filter(|one| one.is_user()) {
            *accounts.entry(&principal.person).or_default() += 1;
        }
        for (name, table) in file.root.tables("user") {
            if let Some(person) = table.maybe_text("person")
                && person != name
                && accounts.get(&PersonId::new(person)).is_none_or(|count| *count < 2)
            {
                self.person(file, name, person);
            }
        }
    }

    /// Users and groups mention directories that are there, and a directory is first silent, then lost.
    fn directories(&mut self, file: &Read<'_>) {
        for (name, table) in file.root.tables("user") {
            if let Some(directory) = table.maybe_text("directory") {
                self.directory(file, &format!("user.{name}.directory"), directory);
            }
        }
        for (name, table) in file.root.tables("group") {
            for directory in table.table("from").into_iter().flat_map(Table::keys) {
                self.directory(file, &format!("group.{name}.from.{directory}"), directory);
            }
        }
        for (name, table) in file.root.tables("directory") {
            let (silent, lost) = (table.span("silent_after"), table.span("lost_after"));
            let wrong = match (silent, lost) {
                (None, Some(_)) => "`lost_after` needs `silent_after` before it",
                (Some(silent), Some(lost)) if lost <= silent => {
                    "`lost_after` has to be longer than `silent_after`"
                }
                (Some(silent), _) if silent.0 <= 0 => "`silent_after` has to be some time",
                _ => continue,
            };
            let place = file.place(&format!("directory.{name}"));
            let hint = "its people begin nothing new first, then what they have ends".to_owned();
            self.problems.error(file.within, place, wrong.to_owned(), Some(hint));
        }
    }

    fn directory(&mut self, file: &Read<'_>, path: &str, name: &str) {
        let known = &self.catalogue.directories;
        if !known.contains_key(&DirectoryName::new(name)) {
            let hint = did_you_mean(name, known.keys().map(DirectoryName::as_str));
            let message = format!("there is no directory `{name}`");
            self.problems.error(file.within, file.place(path), message, hint);
        }
    }

    /// A person that only one account names, and under another name than its own, is likely a misspelling;
    /// it would let one human count twice.
    fn person(&mut self, file: &Read<'_>, user: &str, person: &str) {
        let persons = self.catalogue.principals.iter().filter(|(name, _)| name.as_str() != user);
        let hint = did_you_mean(person, persons.map(|(_, principal)| principal.person.as_str()));
        let message = format!("no other account says that it belongs to the person `{person}`");
        self.problems.warning(file.within, file.place(&format!("user.{user}.person")), message, hint);
    }

    fn resources(&mut self, file: &Read<'_>) {
        for (name, table) in file.root.tables("resource") {
            let path = format!("resource.{name}");
            if let Some(place) = table.maybe_text("owner").and_then(|owner| owner.parse().ok()) {
                self.place(file, &format!("{path}.owner"), &place);
            }
            for (relation, said) in table.tables("relation") {
                if let Some(place) = said.maybe_text("owner").and_then(|owner| owner.parse().ok()) {
                    self.place(file, &format!("{path}.relation.{relation}.owner"), &place);
                }
            }
            let look = table.maybe_text("look_account");
            if let Some(account) = look
                && !servers::knows(table, account)
            {
                let message = format!("`{name}` has no secret for the account `{account}`");
                let hint = format!("add `{account} = \"env:...\"` to `[resource.{name}.secrets]`");
                let place = file.place(&format!("{path}.look_account"));
                self.problems.error(file.within, place, message, Some(hint));
            }
        }
    }

    fn roles(&mut self, file: &Read<'_>, resources: &Read<'_>) {
        for (name, table) in file.root.tables("role") {
            for (index, action) in table.indexed("actions") {
                self.action(file, &format!("role.{name}.actions[{index}]"), action);
            }
            for (index, resource) in table.indexed("resources") {
                let path = format!("role.{name}.resources[{index}]");
                if self.resource(file, &path, resource) {
                    self.account(file, name, table, (resource, resources));
                }
            }
        }
    }

    fn action(&mut self, file: &Read<'_>, path: &str, action: &str) {
        let known = actions::ACTIONS.iter().filter(|spec| actions::fits_a_role(spec));
        match actions::spec(action) {
            Some(spec) if actions::fits_a_role(spec) => {}
            Some(_) => {
                let message = format!("`{action}` is not done to a resource; a role cannot permit it");
                let hint = "permit it to a group, in a policy".to_owned();
                self.problems.error(file.within, file.place(path), message, Some(hint));
            }
            None => {
                let hint = did_you_mean(action, known.map(|spec| spec.name));
                self.problems.error(
                    file.within,
                    file.place(path),
                    format!("there is no action `{action}`"),
                    hint,
                );
            }
        }
    }

    /// The role's account has a secret on the resource.
    fn account(&mut self, file: &Read<'_>, role: &str, table: &Table, on: (&str, &Read<'_>)) {
        let Some(account) = table.maybe_text("account") else { return };
        let (resource, resources) = on;
        let Some((_, found)) = resources.root.tables("resource").find(|(name, _)| *name == resource) else {
            return;
        };
        // A server of tools may know of no accounts.
        let is_open = tools::is(found) && found.pairs("secrets").next().is_none();
        if !is_open && !servers::knows(found, account) {
            let message = format!("`{resource}` has no secret for the account `{account}`");
            let hint = format!("add `{account} = \"env:...\"` to `[resource.{resource}.secrets]`");
            let place = file.place(&format!("role.{role}.account"));
            self.problems.error(file.within, place, message, Some(hint));
        }
    }

    fn rules(&mut self, file: &Read<'_>) {
        for (name, table) in file.root.tables("approval") {
            for (key, list) in [("stages", "from"), ("escalate", "add")] {
                for (index, entry) in table.listed(key) {
                    for (at, text) in entry.indexed(list) {
                        let path = format!("approval.{name}.{key}[{index}].{list}[{at}]");
                        if let Ok(place) = text.parse::<Place>() {
                            self.place(file, &path, &place);
                        }
                    }
                }
            }
            let rule = self.catalogue.rules.iter().find(|(known, _)| known.as_str() == name);
            if let Some((_, rule)) = rule {
                self.can_be_satisfied(file, name, rule);
            }
        }
    }

    /// Each stage has people enough. Whether all stages together have is for the request to say: its
    /// requester's person is not counted.
    fn can_be_satisfied(&mut self, file: &Read<'_>, name: &str, rule: &Rule) {
        for (index, stage) in rule.stages.iter().enumerate().filter(|(_, stage)| !stage.from.is_empty()) {
            let places: Vec<&Place> =
                stage.from.iter().chain(rule.escalate.iter().flat_map(|step| &step.add)).collect();
            let persons = |resource: Option<&ResourceId>| {
                let principals =
                    places.iter().flat_map(|place| self.catalogue.principals_at(place, resource));
                let found = principals.filter_map(|id| self.catalogue.principals.get(id));
                found.filter(|one| one.is_user()).map(|one| &one.person).collect::<BTreeSet<_>>().len()
            };
            let owned = places.contains(&&Place::Owner);
            let most = if owned {
                self.catalogue.resources.keys().map(|id| persons(Some(id))).max().unwrap_or_default()
            } else {
                persons(None)
            };
            let is_filled = places.iter().any(|place| self.is_filled_by_a_directory(place));
            if most < stage.need as usize && !is_filled {
                let place = file.place(&format!("approval.{name}.stages[{index}]"));
                let message = format!(
                    "this stage can never be satisfied: it needs {} and there {} {most} to ask",
                    stage.need,
                    if most == 1 { "is" } else { "are" }
                );
                let hint = "whatever it holds is locked; add people to the groups that it names".to_owned();
                self.problems.warning(file.within, place, message, Some(hint));
            }
        }
    }

    /// Whether people may come to `place` that the bundle does not name.
    fn is_filled_by_a_directory(&self, place: &Place) -> bool {
        match place {
            Place::Group(group) => !self.catalogue.sources(group).is_empty(),
            Place::Owner => self.catalogue.groups.values().any(|group| !group.from.is_empty()),
            Place::User(_) => false,
        }
    }

    fn place(&mut self, file: &Read<'_>, path: &str, place: &Place) {
        match place {
            Place::User(name) => self.user(file, path, name.as_str()),
            Place::Group(name) => self.group(file, path, name.as_str()),
            Place::Owner => {}
        }
    }

    fn user(&mut self, file: &Read<'_>, path: &str, name: &str) {
        let principals = &self.catalogue.principals;
        match principals.get(&PrincipalId::new(name)) {
            Some(found) if found.is_user() => {}
            Some(_) => {
                let message = format!("`{name}` is not a user; only people answer for things");
                self.problems.error(file.within, file.place(path), message, None);
            }
            None => {
                let users = principals.iter().filter(|(_, one)| one.is_user()).map(|(id, _)| id.as_str());
                let hint = did_you_mean(name, users);
                self.problems.error(
                    file.within,
                    file.place(path),
                    format!("there is no user `{name}`"),
                    hint,
                );
            }
        }
    }

    fn principal(&mut self, file: &Read<'_>, path: &str, name: &str) {
        let known = &self.catalogue.principals;
        if !known.contains_key(&PrincipalId::new(name)) {
            let hint = did_you_mean(name, known.keys().map(PrincipalId::as_str));
            let message = format!("there is no user, service or agent `{name}`");
            self.problems.error(file.within, file.place(path), message, hint);
        }
    }

    fn group(&mut self, file: &Read<'_>, path: &str, name: &str) {
        let known = &self.catalogue.groups;
        if !known.contains_key(&GroupId::new(name)) {
            let hint = did_you_mean(name, known.keys().map(GroupId::as_str));
            self.problems.error(file.within, file.place(path), format!("there is no group `{name}`"), hint);
        }
    }

    fn role(&mut self, file: &Read<'_>, path: &str, name: &str) {
        let known = &self.catalogue.roles;
        if !known.contains_key(&RoleId::new(name)) {
            let hint = did_you_mean(name, known.keys().map(RoleId::as_str));
            self.problems.error(file.within, file.place(path), format!("there is no role `{name}`"), hint);
        }
    }

    fn resource(&mut self, file: &Read<'_>, path: &str, name: &str) -> bool {
        let known = &self.catalogue.resources;
        let found = known.contains_key(&ResourceId::new(name));
        if !found {
            let hint = did_you_mean(name, known.keys().map(ResourceId::as_str));
            self.problems.error(
                file.within,
                file.place(path),
                format!("there is no resource `{name}`"),
                hint,
            );
        }
        found
    }
}
