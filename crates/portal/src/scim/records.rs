//! The resources of one directory as its client left them: kept sealed by the engine, and in memory for looking up.
//!
//! Nothing is changed here before the engine has it: a change is worked out on copies, handed in with what follows from
//! it for our principals, and only then does it show.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_core::{At, PrincipalId};
use countersign_engine::directory::{Listed, Profile, Shelving, Word, folded};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::{Error, Why};
use super::schema::{Object, TEAMS, Type, USERS};

/// The most resources of one directory.
const RESOURCES_MAX: usize = 100_000;

/// The largest resource without its members, in bytes.
const RESOURCE_BYTES_MAX: usize = 64 * 1024;

/// How deep groups within groups are followed.
const NESTING_MAX: usize = 32;

/// What a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    User,
    Group,
}

/// One resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub id: String,
    pub of: Of,
    pub version: u64,
    pub created: At,
    pub modified: At,
    /// The principal that a user is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<PrincipalId>,
    /// Without the members of a group.
    pub resource: Object,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub members: BTreeSet<String>,
    /// Whether a user was shut out when that was last said. A client may take `active` away, and lets nobody in by it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_shut_out: bool,
}

/// All resources of a directory. A clone costs next to nothing.
#[derive(Clone, Debug, Default)]
pub struct Records {
    all: OrdMap<String, Arc<Record>>,
    /// By user name, in small letters.
    names: OrdMap<String, String>,
    /// By who they are here.
    taken: OrdMap<PrincipalId, String>,
    /// The groups that somebody is directly in.
    within: OrdMap<String, BTreeSet<String>>,
}

/// A change that is worked out: records as they will be, and without which.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub put: Vec<Record>,
    pub removed: Vec<String>,
}

impl Of {
    pub fn kind(self) -> &'static Type {
        match self {
            Self::User => &USERS,
            Self::Group => &TEAMS,
        }
    }
}

impl Record {
    /// The resource with its members, as changes are made to it.
    pub fn whole(&self) -> Object {
        let mut whole = self.resource.clone();
        if !self.members.is_empty() {
            let members: Vec<Value> = self.members.iter().map(|id| json!({ "value": id })).collect();
            whole.insert("members".into(), members.into());
        }
        whole
    }

    /// Takes over a resource with its members.
    ///
    /// # Errors
    /// It is larger than is kept, or a member has no identifier.
    pub fn take(&mut self, mut resource: Object) -> Result<(), Error> {
        self.members = match resource.remove("members") {
            Some(Value::Array(members)) => members.iter().map(identifier).collect::<Result<_, _>>()?,
            _ => BTreeSet::new(),
        };
        // Lengths are what is asked; a map of JSON always has one.
        if serde_json::to_string(&resource).map_or(usize::MAX, |text| text.len()) > RESOURCE_BYTES_MAX {
            let message = format!("a resource has at most {RESOURCE_BYTES_MAX} bytes");
            return Err(Error::new(Why::TooLarge, message));
        }
        self.resource = resource;
        self.is_shut_out = !self.is_active();
        Ok(())
    }

    /// The resource that takes its place as a whole: where that does not say whether the account is let in, it stays so.
    pub fn replaced_by(&self, mut resource: Object) -> Object {
        if let Some(active) = self.resource.get("active").filter(|_| self.of == Of::User) {
            resource.entry("active").or_insert_with(|| active.clone());
        }
        resource
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.resource.get(name).and_then(Value::as_str)
    }

    pub fn user_name(&self) -> &str {
        self.text("userName").unwrap_or_default()
    }

    /// How it is called.
    pub fn display(&self) -> Option<&str> {
        let formatted = || self.resource.get("name")?.get("formatted")?.as_str();
        self.text("displayName").or_else(formatted)
    }

    fn is_active(&self) -> bool {
        self.resource.get("active").and_then(Value::as_bool).unwrap_or(!self.is_shut_out)
    }

    fn email(&self) -> Option<String> {
        let all = self.resource.get("emails")?.as_array()?;
        let primary = all.iter().find(|one| one.get("primary") == Some(&Value::Bool(true)));
        Some(primary.or(all.first())?.get("value")?.as_str()?.to_owned())
    }

    /// The number of an employee, of the extension for companies.
    fn number(&self) -> Option<String> {
        let number = self.resource.get(super::schema::ENTERPRISE)?.get("employeeNumber")?;
        number.as_str().map(str::to_owned)
    }

    fn full_name(&self) -> Option<String> {
        let parts = ["givenName", "familyName"].map(|part| self.resource.get("name")?.get(part)?.as_str());
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

fn identifier(member: &Value) -> Result<String, Error> {
    let id = member.get("value").and_then(Value::as_str).map(str::to_owned);
    id.ok_or_else(|| Error::new(Why::InvalidValue, "a member needs a `value`, which is its identifier"))
}

impl Records {
    /// Reads what was kept.
    ///
    /// # Errors
    /// A record is not ours: nothing of the directory is shown or changed then.
    pub fn load(kept: Vec<(String, Vec<u8>)>) -> Result<Self, Error> {
        let mut records = Self::default();
        for (key, bytes) in kept {
            let mut record: Record = serde_json::from_slice(&bytes).map_err(|error| {
                tracing::error!(key, %error, "a record of a directory can't be read");
                Error::new(Why::Internal, "a record of this directory can't be read")
            })?;
            record.is_shut_out = !record.is_active();
            records.insert(record);
        }
        Ok(records)
    }

    pub fn get(&self, of: Of, id: &str) -> Result<&Record, Error> {
        let found = self.all.get(id).filter(|record| record.of == of);
        found.map(AsRef::as_ref).ok_or_else(|| Error::no_such(id))
    }

    /// Those of one kind, oldest first.
    pub fn of(&self, of: Of) -> impl Iterator<Item = &Record> {
        self.all.values().filter(move |record| record.of == of).map(AsRef::as_ref)
    }

    /// The user of this name. Case is of no account.
    pub fn named(&self, name: &str) -> Option<&Record> {
        self.all.get(self.names.get(&folded(name))?).map(AsRef::as_ref)
    }

    /// The groups that somebody is in: directly, and through other groups.
    pub fn groups_of(&self, id: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
        let direct: BTreeSet<&str> = self.within.get(id).into_iter().flatten().map(String::as_str).collect();
        let (mut all, mut open) = (direct.clone(), direct.clone());
        for _ in 0..NESTING_MAX {
            let above = open.iter().filter_map(|group| self.within.get(*group)).flatten().map(String::as_str);
            open = above.filter(|group| !all.contains(group)).collect();
            if open.is_empty() {
                break;
            }
            all.extend(open.iter().copied());
        }
        let indirect = all.difference(&direct).copied().collect();
        (direct, indirect)
    }

    /// Whether a record may be put here: its name is free, its members are there, and there is room.
    ///
    /// # Errors
    /// Why it may not.
    pub fn admits(&self, record: &Record) -> Result<(), Error> {
        if !self.all.contains_key(&record.id) && self.all.len() >= RESOURCES_MAX {
            let message = format!("a directory has at most {RESOURCES_MAX} users and groups here");
            return Err(Error::new(Why::TooLarge, message));
        }
        // Names that differ there may be one here, once what the bundle strips is taken off.
        let holder = record.principal.as_ref().and_then(|principal| self.taken.get(principal));
        let holders = self.named(record.user_name()).map(|found| &found.id).into_iter().chain(holder);
        if record.of == Of::User && holders.into_iter().any(|id| *id != record.id) {
            return Err(Error::new(Why::Uniqueness, "there is another user of this `userName`"));
        }
        let had = self.all.get(&record.id).map(|had| &had.members);
        let mut new = record.members.iter().filter(|id| had.is_none_or(|had| !had.contains(*id)));
        match new.find(|id| !self.all.contains_key(*id)) {
            Some(id) => {
                let id: String = id.chars().take(80).collect();
                Err(Error::new(Why::InvalidValue, format!("there is no user or group `{id}`")))
            }
            None => Ok(()),
        }
    }

    /// What becomes of everybody else when a record goes: it is in no group any more.
    pub fn without(&self, id: &str, now: At) -> Change {
        let groups = self.within.get(id).into_iter().flatten().filter_map(|group| self.all.get(group));
        let left = groups.map(|group| {
            let mut group = Record::clone(group);
            group.members.remove(id);
            (group.version, group.modified) = (group.version.saturating_add(1), now);
            group
        });
        Change { put: left.collect(), removed: vec![id.to_owned()] }
    }

    /// What a change says of users, for the engine; and the records that it keeps. With it, how the records will be.
    pub fn foresee(&self, change: &Change) -> (Self, Vec<Word>, Vec<Shelving>) {
        let mut after = self.clone();
        let mut touched: BTreeSet<String> = BTreeSet::new();
        let mut gone = Vec::new();
        for id in &change.removed {
            touched.extend(self.users_below(id));
            let principal = self.all.get(id).and_then(|record| record.principal.clone());
            gone.extend(principal.map(Word::Gone));
            after.remove(id);
        }
        for record in &change.put {
            touched.extend(self.users_below(&record.id));
            let had = self.all.get(&record.id).and_then(|had| had.principal.as_ref());
            if let Some(had) = had.filter(|had| record.principal.as_ref() != Some(*had)) {
                gone.push(Word::Gone(had.clone()));
            }
            after.insert(record.clone());
        }
        for record in &change.put {
            touched.extend(after.users_below(&record.id));
        }
        let there = touched.iter().filter_map(|id| after.all.get(id));
        let there =
            there.filter(|record| record.of == Of::User).map(|record| Word::There(after.listed(record)));
        let words = gone.into_iter().chain(there).collect();
        let put = change.put.iter().map(|record| Shelving {
            key: record.id.clone(),
            // Texts, numbers and JSON always serialise.
            value: Some(serde_json::to_vec(record).unwrap_or_default()),
        });
        let removed = change.removed.iter().map(|id| Shelving { key: id.clone(), value: None });
        let shelving = put.chain(removed).collect();
        (after, words, shelving)
    }

    /// What the directory says of a user.
    pub fn listed(&self, record: &Record) -> Listed {
        let (direct, indirect) = self.groups_of(&record.id);
        let groups = direct.into_iter().chain(indirect).filter_map(|id| self.all.get(id));
        Listed {
            name: record.user_name().to_owned(),
            record: record.id.clone(),
            is_active: record.is_active(),
            groups: groups.filter_map(|group| group.text("displayName")).map(str::to_owned).collect(),
            profile: Profile {
                display: record.display().map(str::to_owned).or_else(|| record.full_name()),
                email: record.email(),
                number: record.number(),
            },
        }
    }

    /// The user of this identifier, or everybody in the group, through groups in it.
    fn users_below(&self, id: &str) -> BTreeSet<String> {
        let (mut found, mut seen, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![id]);
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            match self.all.get(id) {
                Some(record) if record.of == Of::User => drop(found.insert(record.id.clone())),
                Some(record) => open.extend(record.members.iter().map(String::as_str)),
                None => {}
            }
        }
        found
    }

    fn insert(&mut self, record: Record) {
        self.remove(&record.id);
        if record.of == Of::User {
            self.names.insert(folded(record.user_name()), record.id.clone());
            if let Some(principal) = &record.principal {
                self.taken.insert(principal.clone(), record.id.clone());
            }
        }
        for member in &record.members {
            self.within.entry(member.clone()).or_default().insert(record.id.clone());
        }
        self.all.insert(record.id.clone(), Arc::new(record));
    }

    fn remove(&mut self, id: &str) {
        let Some(had) = self.all.remove(id) else { return };
        if had.of == Of::User {
            self.names.remove(&folded(had.user_name()));
            // Of two that the store has from before, the other one's stays.
            if let Some(principal) = had.principal.as_ref()
                && self.taken.get(principal).is_some_and(|of| *of == had.id)
            {
                self.taken.remove(principal);
            }
        }
        for member in &had.members {
            if let Some(groups) = self.within.get_mut(member) {
                groups.remove(id);
                if groups.is_empty() {
                    self.within.remove(member);
                }
            }
        }
    }
}
