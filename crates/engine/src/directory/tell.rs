//! Handing in what a directory says: of some accounts, as they change, or of all that there are.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::catalogue::Directory;
use countersign_core::directory::{Command as DirectoryCommand, Event as DirectoryEvent, Said};
use countersign_core::ruling::Verdict;
use countersign_core::{Command, DirectoryName, Event, GrantId, PrincipalId};

use super::humans::Humans;
use super::shelf::{self, Shelving};
use super::words::{self, Listed, NotNamed, Ours, Word};
use super::{Profile, is_declared};
use crate::engine::Engine;
use crate::snapshot::Snapshot;
use crate::store::{Drawer, Put};
use crate::words::{Refused, RefusedCode};
use crate::writer::work::{Deed, From};

/// How many accounts one command tells of: the writer takes other work in between.
const TOLD_AT_ONCE: usize = 256;

/// What came of a full listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synchronised {
    /// Accounts that were listed and can be ours.
    pub accounts: usize,
    /// Changes that were recorded.
    pub changes: usize,
    /// Accounts that can't be ours, and why.
    pub skipped: Vec<NotNamed>,
}

impl Engine {
    /// Hands in what a directory says of some accounts, and what is to be kept of its records, in one transaction.
    /// Whoever it does not mention stays as they are.
    ///
    /// # Errors
    /// The bundle names no such directory, or it could not be recorded. Then nothing happened.
    pub async fn provision(
        &self,
        directory: &DirectoryName,
        words: Vec<Word>,
        shelving: Vec<Shelving>,
    ) -> Result<(), Refused> {
        let _telling = self.0.directories.telling.lock().await;
        let snapshot = self.snapshot();
        let described = declared(&snapshot, directory)?;
        let mut humans = self.humans(&snapshot);
        let ours = words
            .into_iter()
            .map(|word| words::in_our_words(&snapshot, (directory, described), &mut humans, word));
        // One who can't be ours keeps nobody else from changing.
        let unnamed =
            |why: NotNamed| tracing::warn!(%directory, %why, "an account of the directory is nobody here");
        let ours: Vec<Ours> = ours.filter_map(|ours| ours.map_err(unnamed).ok()).collect();
        let shelved = shelving.into_iter().map(|one| shelf::put(&self.0.house, directory, one)).collect();
        self.tell(directory, &snapshot, ours, shelved).await?;
        self.recheck_grants(directory).await;
        Ok(())
    }

    /// Hands in all accounts that a directory has: whoever is not listed is gone. Whether the directory was heard by that
    /// is for the caller to say, afterwards: what was missed is made up for before anything begins anew.
    ///
    /// # Errors
    /// The bundle names no such directory, or something could not be recorded. Then a part may have happened, and what
    /// is left happens the next time.
    pub async fn synchronise(
        &self,
        directory: &DirectoryName,
        listed: Vec<Listed>,
    ) -> Result<Synchronised, Refused> {
        let telling = self.0.directories.telling.lock().await;
        let snapshot = self.snapshot();
        let described = declared(&snapshot, directory)?;
        let mut outcome = Synchronised::default();
        let mut humans = self.humans(&snapshot);
        let ours = unambiguous(&snapshot, (directory, described), (listed, &mut humans), &mut outcome);
        let there: BTreeSet<&PrincipalId> = ours.iter().map(|one| &one.principal).collect();
        let had = snapshot.book.directories().find(|(name, _)| *name == directory).and_then(|(_, roll)| roll);
        let gone = had.into_iter().flat_map(|roll| roll.accounts.keys()).filter(|name| !there.contains(name));
        let gone = gone.map(|name| Ours { principal: name.clone(), said: Said::Gone, profile: None });
        // Ends first: nobody is to wait for the arrival of others.
        let mut told: Vec<Ours> = gone.collect();
        outcome.accounts = ours.len();
        told.extend(ours);
        let mut told = told.into_iter().peekable();
        while told.peek().is_some() {
            let some: Vec<Ours> = told.by_ref().take(TOLD_AT_ONCE).collect();
            outcome.changes += self.tell(directory, &snapshot, some, Vec::new()).await?;
        }
        drop(telling);
        self.recheck_grants(directory).await;
        Ok(outcome)
    }

    /// By what the humans are known whose accounts there are.
    fn humans(&self, snapshot: &Snapshot) -> Humans {
        let mut humans = Humans::of(snapshot.book.stated());
        let catalogue = &snapshot.book.catalogue;
        for (principal, profile) in self.0.directories.profiles().iter() {
            let described =
                snapshot.book.directory_of(principal).and_then(|of| catalogue.directories.get(of));
            if let (Some(described), Some(account)) = (described, snapshot.book.account(principal)) {
                humans.add(described, profile, &account.person);
            }
        }
        humans
    }

    /// Has some accounts told of, with what is kept beside them. Gives how many changes that made.
    async fn tell(
        &self,
        directory: &DirectoryName,
        snapshot: &Snapshot,
        ours: Vec<Ours>,
        mut puts: Vec<Put>,
    ) -> Result<usize, Refused> {
        let mut profiles: BTreeMap<PrincipalId, Option<Profile>> = BTreeMap::new();
        let mut accounts = Vec::with_capacity(ours.len());
        for Ours { principal, said, profile } in ours {
            let had = snapshot.book.account(&principal);
            let is_same = match (&said, had) {
                (Said::There(account), Some(had)) => account.record == had.record,
                (Said::Gone, _) => false,
                // A name that the bundle gives was this human's before the directory said so.
                (Said::There(_), None) => snapshot.book.stated().principals.contains_key(&principal),
            };
            if !is_same {
                puts.extend(self.belongings(&principal));
            }
            puts.extend(self.profile_put(directory, &principal, profile.as_ref()));
            profiles.insert(principal.clone(), profile);
            accounts.push((principal, said));
        }
        let told = DirectoryCommand::Tell { directory: directory.clone(), accounts };
        let mut deed = Deed::new(Command::Directory(told), From::HOUSE);
        deed.puts = puts;
        let done = self.deed(deed).await?;
        for event in &done.events {
            if let Event::Directory(DirectoryEvent::Removed { principal, .. }) = event {
                self.forget_gone(principal);
            }
        }
        let mut kept = self.0.directories.profiles();
        for (principal, profile) in profiles {
            match profile {
                Some(profile) => drop(kept.insert(principal, profile)),
                None => drop(kept.remove(&principal)),
            }
        }
        Ok(done.events.len())
    }

    /// What somebody holds who is gone: a name may come back for another human, who must find none of it.
    fn belongings(&self, principal: &PrincipalId) -> Vec<Put> {
        let key = principal.as_str().as_bytes();
        let drawers = [Drawer::Passwords, Drawer::Authenticators, Drawer::Devices];
        let mut puts: Vec<Put> = drawers.into_iter().map(|drawer| Put::remove(drawer, key)).collect();
        puts.extend(self.0.people.tokens.of_gone(principal));
        puts.extend(self.0.people.credentials.of_gone(principal));
        puts
    }

    fn forget_gone(&self, principal: &PrincipalId) {
        self.0.people.tokens.forget(principal);
        self.0.people.credentials.forget(principal);
        self.0.people.devices.forget(principal);
    }

    /// Ends the grants whose holders could not ask for them any more, now that they are in other groups. Where policy
    /// would ask somebody, somebody was asked, and the grant stands.
    ///
    /// A grant that is left over by a crash in between is found the next time; until then each action is judged by the
    /// groups as they are.
    async fn recheck_grants(&self, directory: &DirectoryName) {
        let snapshot = self.snapshot();
        let of = |principal: &PrincipalId| snapshot.book.directory_of(principal) == Some(directory);
        let now = self.now().max(snapshot.at);
        let live = snapshot.book.grants().filter(|grant| grant.is_live(now) && of(&grant.principal));
        let live: Vec<(GrantId, _)> = live.map(|grant| (grant.id, grant.request)).collect();
        for (grant, request) in live {
            let Some(asked) = self.request_told(&snapshot, request) else { continue };
            let Some(standing) = self.0.house.standing(&asked) else { continue };
            let ruling = self.desk(&snapshot).rule_standing(&asked.by, &standing, None);
            if !ruling.is_some_and(|ruling| matches!(ruling.verdict(), Verdict::Deny(_))) {
                continue;
            }
            let command = DirectoryCommand::Unfound { directory: directory.clone(), grant };
            let mut deed = Deed::new(Command::Directory(command), From::HOUSE);
            deed.standing = Some(std::sync::Arc::new(standing));
            if let Err(refused) = self.deed(deed).await {
                tracing::warn!(%grant, why = refused.message, "a grant that should end with its group did not");
            }
        }
    }
}

pub(super) fn declared<'a>(
    snapshot: &'a Snapshot,
    directory: &DirectoryName,
) -> Result<&'a Directory, Refused> {
    let found = snapshot.book.catalogue.directories.get(directory);
    debug_assert_eq!(found.is_some(), is_declared(snapshot, directory));
    found.ok_or_else(|| {
        Refused::new(RefusedCode::NotFound, format!("the bundle names no directory `{directory}`"))
            .hint("add `[directory.NAME]` to the bundle's people.toml and apply it")
    })
}

/// The accounts that can be ours. Of several with one name none can: it is not known which is meant.
fn unambiguous(
    snapshot: &Snapshot,
    described: (&DirectoryName, &Directory),
    (listed, humans): (Vec<Listed>, &mut Humans),
    outcome: &mut Synchronised,
) -> Vec<Ours> {
    let mut found: BTreeMap<PrincipalId, Option<Ours>> = BTreeMap::new();
    for one in listed {
        match words::in_our_words(snapshot, described, humans, Word::There(one)) {
            Ok(ours) => {
                let name = ours.principal.clone();
                found.entry(name).and_modify(|had| *had = None).or_insert(Some(ours));
            }
            Err(why) => outcome.skipped.push(why),
        }
    }
    let twice = found.iter().filter(|(_, ours)| ours.is_none());
    outcome.skipped.extend(twice.map(|(name, _)| NotNamed::Taken(name.clone())));
    found.into_values().flatten().collect()
}

impl std::convert::From<NotNamed> for Refused {
    fn from(not: NotNamed) -> Self {
        let code = match not {
            NotNamed::Name(_) => RefusedCode::Invalid,
            NotNamed::Taken(_) => RefusedCode::Conflict,
        };
        Self::new(code, not.to_string())
    }
}
