//! Deciding about directories, and what the catalogue is once their people are in it.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;

use super::principals::ends_of;
use super::{Book, Event, Facts};
use crate::catalogue::{Catalogue, Principal, PrincipalKind};
use crate::directory::{Account, Change, Command, Event as DirectoryEvent, Hearing, Roll, Said, actor};
use crate::grant;
use crate::ids::{DirectoryName, GrantId, GroupId, PrincipalId};
use crate::refusal::Refusal;
use crate::ruling::Verdict;
use crate::time::At;

pub(super) type Rolls = OrdMap<DirectoryName, Roll>;

pub(super) fn decide(book: &Book, command: Command, facts: &Facts) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::Tell { directory, accounts } => tell(book, &directory, accounts, facts.now),
        Command::Hear { directory, hearing } => hear(book, directory, hearing, facts.now),
        Command::Unfound { directory, grant } => unfound(book, &directory, grant, facts),
    }
}

/// What is new in what a directory says, in the order in which it says it. An account that it mentions twice is what
/// it says last.
fn tell(
    book: &Book,
    directory: &DirectoryName,
    accounts: Vec<(PrincipalId, Said)>,
    now: At,
) -> Result<Vec<Event>, Refusal> {
    book.declared(directory)?;
    let mut last: Vec<(PrincipalId, Said)> = Vec::with_capacity(accounts.len());
    let mut seen = BTreeSet::new();
    for (principal, said) in accounts.into_iter().rev() {
        if seen.insert(principal.clone()) {
            last.push((principal, said));
        }
    }
    let (mut events, mut over) = (Vec::new(), BTreeSet::new());
    for (principal, said) in last.into_iter().rev() {
        let had = book.account_of(directory, &principal);
        let (news, ends) = match said {
            Said::Gone => (gone(directory, &principal, had), had.is_some()),
            Said::There(account) => {
                book.may_be_named(directory, &principal)?;
                told(directory, &principal, had, book.known_groups(directory, account))
            }
        };
        events.extend(news);
        if ends {
            over.insert(principal);
        }
    }
    let answering = |principal: &PrincipalId| over.iter().any(|one| book.answers_for(one, principal));
    if !over.is_empty() {
        events.extend(ends_of(book, answering, &actor(directory), None, now));
    }
    Ok(events)
}

fn gone(directory: &DirectoryName, principal: &PrincipalId, had: Option<&Account>) -> Vec<Event> {
    let removed = |_| {
        let (directory, principal) = (directory.clone(), principal.clone());
        Event::Directory(DirectoryEvent::Removed { directory, principal })
    };
    had.map(removed).into_iter().collect()
}

/// What is new about an account, and whether what it had ends with that: it is no longer let in, or another human's,
/// be it that the directory gave the name to somebody else.
fn told(
    directory: &DirectoryName,
    principal: &PrincipalId,
    had: Option<&Account>,
    account: Account,
) -> (Vec<Event>, bool) {
    let (is_other, change) = match had {
        None => (false, Change::Created),
        Some(had) if *had == account => return (Vec::new(), false),
        Some(had) if had.record != account.record => (true, Change::Created),
        Some(had) if had.is_active && !account.is_active => (false, Change::Disabled),
        Some(had) if !had.is_active && account.is_active => (false, Change::Enabled),
        Some(_) => (false, Change::Updated),
    };
    let moves = had.is_some_and(|had| had.person != account.person);
    let ends = is_other || moves || change == Change::Disabled;
    let mut events = if is_other { gone(directory, principal, had) } else { Vec::new() };
    let (directory, principal) = (directory.clone(), principal.clone());
    events.push(Event::Directory(DirectoryEvent::Told { directory, principal, account, change }));
    (events, ends)
}

/// How a directory stands. One that is lost takes with it what its people have.
fn hear(book: &Book, directory: DirectoryName, hearing: Hearing, now: At) -> Result<Vec<Event>, Refusal> {
    book.declared(&directory)?;
    if book.hearing(&directory) == hearing {
        return Ok(Vec::new());
    }
    let mut events = vec![Event::Directory(DirectoryEvent::Heard { directory: directory.clone(), hearing })];
    if hearing == Hearing::Lost {
        let of = |principal: &PrincipalId| {
            book.catalogue.chain(principal).iter().any(|link| book.directory_of(link) == Some(&directory))
        };
        events.extend(ends_of(book, of, &actor(&directory), None, now));
    }
    Ok(events)
}

/// Ends a grant whose holder could not ask for it any more. Only a plain no of policy does: where it would ask
/// somebody first, somebody was asked.
fn unfound(
    book: &Book,
    directory: &DirectoryName,
    grant: GrantId,
    facts: &Facts,
) -> Result<Vec<Event>, Refusal> {
    let found = book.unended(grant, facts.now)?;
    if book.directory_of(&found.principal) != Some(directory) {
        return Err(Refusal::NoSuchDirectory(directory.clone()));
    }
    if !matches!(book.current(facts.ruling.as_ref())?.verdict(), Verdict::Deny(_)) {
        return Err(Refusal::Denied("policy still lets its holder ask for it".into()));
    }
    let by = actor(directory);
    let mut events = vec![Event::Grant(grant::Event::Revoked { grant, by, reason: None })];
    events.extend(book.cut(grant));
    Ok(events)
}

impl Book {
    /// What is known of the directories that the bundle in force names.
    pub fn directories(&self) -> impl Iterator<Item = (&DirectoryName, Option<&Roll>)> {
        self.catalogue.directories.keys().map(|name| (name, self.rolls.get(name)))
    }

    /// The directory whose word `principal` lives by.
    #[must_use]
    pub fn directory_of(&self, principal: &PrincipalId) -> Option<&DirectoryName> {
        self.catalogue.principals.get(principal)?.directory.as_ref()
    }

    /// What its directory says of `principal`; nothing of somebody who lives by none.
    #[must_use]
    pub fn account(&self, principal: &PrincipalId) -> Option<&Account> {
        self.account_of(self.directory_of(principal)?, principal)
    }

    /// What the bundle in force says by itself, without the people of directories.
    #[must_use]
    pub fn stated(&self) -> &Arc<Catalogue> {
        self.stated.as_ref().unwrap_or(&self.catalogue)
    }

    /// Whether a directory is heard.
    #[must_use]
    pub fn hearing(&self, directory: &DirectoryName) -> Hearing {
        self.rolls.get(directory).map_or(Hearing::Heard, |roll| roll.hearing)
    }

    /// Whether the directory of `link`, if it lives by one, lets it in.
    pub(super) fn is_let_in(&self, link: &PrincipalId) -> bool {
        let Some(directory) = self.directory_of(link) else { return true };
        self.hearing(directory) != Hearing::Lost
            && self.account_of(directory, link).is_some_and(|account| account.is_active)
    }

    /// Whether every directory is heard whose word `principal`, or somebody who answers for it, lives by.
    pub(super) fn heard(&self, principal: &PrincipalId) -> Result<(), Refusal> {
        let chain = self.catalogue.chain(principal);
        let unheard = chain.iter().filter_map(|link| self.directory_of(link));
        match unheard.into_iter().find(|directory| self.hearing(directory) != Hearing::Heard) {
            Some(directory) => Err(Refusal::Unheard(directory.clone())),
            None => Ok(()),
        }
    }

    fn account_of(&self, directory: &DirectoryName, principal: &PrincipalId) -> Option<&Account> {
        self.rolls.get(directory)?.accounts.get(principal)
    }

    fn declared(&self, directory: &DirectoryName) -> Result<(), Refusal> {
        let is_declared = self.catalogue.directories.contains_key(directory);
        is_declared.then_some(()).ok_or_else(|| Refusal::NoSuchDirectory(directory.clone()))
    }

    /// A name belongs to whoever has it: the bundle first, then the directory that said it first.
    fn may_be_named(&self, directory: &DirectoryName, principal: &PrincipalId) -> Result<(), Refusal> {
        let holder = self.catalogue.principals.get(principal);
        if holder.is_none_or(|found| found.directory.as_ref() == Some(directory)) {
            Ok(())
        } else {
            Err(Refusal::NameTaken(principal.clone()))
        }
    }

    /// The account, in those groups only that the bundle in force fills from this directory.
    fn known_groups(&self, directory: &DirectoryName, mut account: Account) -> Account {
        account.groups.retain(|group| fills(&self.catalogue, group, directory));
        account
    }

    pub(super) fn apply_directory(&mut self, event: &DirectoryEvent, at: At) {
        match event {
            DirectoryEvent::Told { directory, principal, account, change: _ } => {
                let roll = self.rolls.entry(directory.clone()).or_default();
                roll.accounts.insert(principal.clone(), account.clone());
                self.enrol(directory, principal);
            }
            DirectoryEvent::Removed { directory, principal } => {
                self.rolls.entry(directory.clone()).or_default().accounts.remove(principal);
                self.enrol(directory, principal);
            }
            DirectoryEvent::Heard { directory, hearing } => {
                let roll = self.rolls.entry(directory.clone()).or_default();
                (roll.hearing, roll.since) = (*hearing, at);
            }
        }
    }

    /// Puts what a directory says of one account into the catalogue.
    fn enrol(&mut self, directory: &DirectoryName, principal: &PrincipalId) {
        if !self.catalogue.directories.contains_key(directory) {
            return;
        }
        let stated = Arc::clone(self.stated.get_or_insert_with(|| Arc::clone(&self.catalogue)));
        let account = self.rolls.get(directory).and_then(|roll| roll.accounts.get(principal));
        enrol(Arc::make_mut(&mut self.catalogue), &stated, (directory, principal), account);
    }

    /// Puts another bundle's catalogue in force, with the people of the directories that it names. Whom a directory shuts
    /// out stays out when the bundle takes the account from it: applying lets nobody in.
    pub(super) fn state(&mut self, stated: &Arc<Catalogue>) {
        let taken = stated.principals.iter().filter(|(_, found)| found.directory.is_none());
        let shut = taken.map(|(name, _)| name).filter(|name| !self.is_let_in(name));
        let shut: Vec<PrincipalId> = shut.cloned().collect();
        self.disabled.extend(shut);
        let rolls = carried_over(&self.rolls, self.stated(), stated);
        (self.catalogue, self.stated) = (with_people(stated, &rolls), Some(Arc::clone(stated)));
        self.rolls = rolls;
    }

    /// What the catalogue will be once `stated` is in force.
    pub(super) fn foreseen(&self, stated: &Arc<Catalogue>) -> Arc<Catalogue> {
        with_people(stated, &carried_over(&self.rolls, self.stated(), stated))
    }
}

/// What is left of the rolls under another bundle: of directories that it names, and in groups that it fills as they
/// were filled. Whatever else they say, they say anew.
fn carried_over(rolls: &Rolls, old: &Catalogue, new: &Catalogue) -> Rolls {
    let mut kept = Rolls::new();
    for (directory, roll) in rolls.iter().filter(|(name, _)| new.directories.contains_key(*name)) {
        let from = |catalogue: &Catalogue, group: &GroupId| {
            catalogue.groups.get(group).and_then(|group| group.from.get(directory)).cloned()
        };
        let names: BTreeSet<&GroupId> = old.groups.keys().chain(new.groups.keys()).collect();
        let moved: Vec<&GroupId> =
            names.into_iter().filter(|group| from(old, group) != from(new, group)).collect();
        let mut roll = roll.clone();
        if !moved.is_empty() {
            let accounts = roll.accounts.iter().map(|(name, account)| {
                let mut account = account.clone();
                account.groups.retain(|group| !moved.contains(&group));
                (name.clone(), account)
            });
            roll.accounts = accounts.collect();
        }
        kept.insert(directory.clone(), roll);
    }
    kept
}

fn with_people(stated: &Arc<Catalogue>, rolls: &Rolls) -> Arc<Catalogue> {
    if rolls.values().all(|roll| roll.accounts.is_empty()) {
        return Arc::clone(stated);
    }
    let mut catalogue = Catalogue::clone(stated);
    for (directory, roll) in rolls {
        for (principal, account) in &roll.accounts {
            enrol(&mut catalogue, stated, (directory, principal), Some(account));
        }
    }
    Arc::new(catalogue)
}

/// One account of one directory. Names that the bundle gives to somebody else, or another directory had first, are
/// left alone.
fn enrol(
    catalogue: &mut Catalogue,
    stated: &Catalogue,
    (directory, principal): (&DirectoryName, &PrincipalId),
    account: Option<&Account>,
) {
    let holder = catalogue.principals.get(principal);
    if holder.is_some_and(|found| found.directory.as_ref() != Some(directory)) {
        return;
    }
    match account {
        _ if stated.principals.contains_key(principal) => {}
        None => drop(catalogue.principals.remove(principal)),
        Some(account) => {
            drop(catalogue.principals.insert(principal.clone(), user(directory, principal, account)))
        }
    }
    for (name, group) in catalogue.groups.iter_mut().filter(|(_, group)| group.from.contains_key(directory)) {
        let is_in = account.is_some_and(|account| account.is_active && account.groups.contains(name));
        let is_stated = stated.groups.get(name).is_some_and(|group| group.members.contains(principal));
        if is_in {
            group.members.insert(principal.clone());
        } else if !is_stated {
            group.members.remove(principal);
        }
    }
}

fn user(directory: &DirectoryName, principal: &PrincipalId, account: &Account) -> Principal {
    Principal {
        kind: PrincipalKind::User,
        person: account.person.clone(),
        display: principal.to_string(),
        email: None,
        directory: Some(directory.clone()),
    }
}

fn fills(catalogue: &Catalogue, group: &GroupId, directory: &DirectoryName) -> bool {
    catalogue.groups.get(group).is_some_and(|group| group.from.contains_key(directory))
}
