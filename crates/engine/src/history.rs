//! Which bundles were in force since when, and how roles were granted: a fold of the ledger's decisions, read on as far as
//! they have come.
//!
//! The book knows the bundle in force and no other, because nothing else is decided by. Whoever wants to know what it
//! was before reads it from the lines, and from then on only what is new.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::bundle::Event as BundleEvent;
use countersign_core::grant::Event as GrantEvent;
use countersign_core::question::Target;
use countersign_core::request::{Ask, State};
use countersign_core::{At, BundleHash, Event, PrincipalId, Refusal, RequestId, RoleId};

use crate::engine::Engine;
use crate::line::read_event;
use crate::people::Caller;
use crate::snapshot::Snapshot;
use crate::store::{Drawer, StoreError, StoredLine};
use crate::views::{Named, SaidView};
use crate::words::{Refused, RefusedCode};

/// How many decisions are read at a time.
const READ_MAX: usize = 1_000;

/// What every line of an activation has in it.
const ACTIVATED: &[u8] = b"\"type\":\"policy.activated\"";

/// What every line of a grant's beginning has in it.
const ISSUED: &[u8] = b"\"type\":\"grant.issued\"";

/// A bundle that was put in force.
#[derive(Clone, Debug)]
pub struct BundleVersion {
    /// Which.
    pub id: BundleHash,
    /// Counted from one.
    pub version: u64,
    /// The one before.
    pub previous: Option<BundleHash>,
    /// Who applied it.
    pub by: Named,
    /// Since when.
    pub at: At,
    /// The line that says so.
    pub line: u64,
    /// The request that allowed it.
    pub request: Option<RequestId>,
    /// Who said yes to that.
    pub approvals: Vec<SaidView>,
    /// It is the one in force.
    pub in_force: bool,
    /// Its files are in the store.
    pub kept: bool,
}

/// What was read so far.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    /// The next decision to look at.
    next: u64,
    activations: Vec<Activation>,
    /// How often each role was granted, and when last.
    grants: BTreeMap<RoleId, (u64, At)>,
}

#[derive(Clone, Debug)]
struct Activation {
    bundle: BundleHash,
    version: u64,
    previous: Option<BundleHash>,
    by: PrincipalId,
    at: At,
    line: u64,
    request: Option<RequestId>,
}

impl Engine {
    /// Every bundle that was in force, the last first, for whoever may read policy. Reads from the store.
    ///
    /// # Errors
    /// Policy does not permit it, or the ledger can't be read.
    pub fn bundle_versions(&self, caller: &Caller) -> Result<Vec<BundleVersion>, Refused> {
        let snapshot = self.snapshot();
        if !self.may(caller, &snapshot, "policy.read", Target::Gateway) {
            return Err(may_not_read());
        }
        let activations = self.activations(snapshot.index).map_err(|error| {
            tracing::error!(%error, "the history of bundles could not be read");
            Refused::unavailable()
        })?;
        let in_force = snapshot.book.in_force.as_ref().map(|in_force| in_force.version);
        let show = |found: Activation| BundleVersion {
            in_force: in_force == Some(found.version),
            kept: self.0.house.store.get(Drawer::Bundles, &found.bundle.0).is_ok_and(|kept| kept.is_some()),
            approvals: found.request.map(|id| self.approvals_of(&snapshot, id)).unwrap_or_default(),
            by: Named::of(&snapshot, &found.by),
            id: found.bundle,
            version: found.version,
            previous: found.previous,
            at: found.at,
            line: found.line,
            request: found.request,
        };
        Ok(activations.into_iter().rev().map(show).collect())
    }

    /// The files of a bundle, of the one in force without a name, for whoever may read policy; those of a proposed one,
    /// and those in force beside it, also for whoever is asked about it.
    ///
    /// # Errors
    /// Policy does not permit it, or there is none.
    pub fn files_of_bundle(
        &self,
        caller: &Caller,
        bundle: Option<BundleHash>,
    ) -> Result<(BundleHash, BTreeMap<String, String>), Refused> {
        let snapshot = self.snapshot();
        let in_force = snapshot.book.in_force.as_ref().ok_or(Refusal::NoBundle)?.bundle;
        let bundle = bundle.unwrap_or(in_force);
        let reads = self.may(caller, &snapshot, "policy.read", Target::Gateway);
        if !reads && !self.is_asked_about(caller, &snapshot, bundle, in_force) {
            return Err(may_not_read());
        }
        let gone = || {
            Refused::new(RefusedCode::NotFound, format!("there is no bundle `{bundle}` in the store"))
                .hint("the console lists those that were in force")
        };
        self.0.house.files(&bundle).map(|files| (bundle, files)).ok_or_else(gone)
    }

    fn is_asked_about(
        &self,
        caller: &Caller,
        snapshot: &Snapshot,
        bundle: BundleHash,
        in_force: BundleHash,
    ) -> bool {
        let now = self.now().max(snapshot.at);
        snapshot.book.requests().any(|request| {
            let Ask::Apply { bundle: proposed } = request.ask else { return false };
            let about = proposed == bundle || bundle == in_force;
            let open = matches!(request.state, State::Pending);
            let mine = request.by == caller.principal;
            about && open && (mine || snapshot.book.approvers(request, now).contains(&caller.principal))
        })
    }

    pub(crate) fn approvals_of(&self, snapshot: &Snapshot, id: RequestId) -> Vec<SaidView> {
        let Some(request) = self.request_told(snapshot, id) else { return Vec::new() };
        self.approvals(snapshot, &request)
    }

    /// How often each role was granted, and when last. Reads from the store.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub fn grants_of_roles(&self) -> Result<BTreeMap<RoleId, (u64, At)>, Refused> {
        self.read_on(self.snapshot().index, |told| told.grants.clone()).map_err(|error| {
            tracing::error!(%error, "the history of grants could not be read");
            Refused::unavailable()
        })
    }

    /// The bundles that were in force at any time between two instants.
    pub(crate) fn bundles_between(&self, from: At, until: At) -> Result<Vec<BundleHash>, Refused> {
        let all = self.activations(self.snapshot().index).map_err(|error| {
            tracing::error!(%error, "the history of bundles could not be read");
            Refused::unavailable()
        })?;
        let ends = all.iter().skip(1).map(|next| Some(next.at)).chain([None]);
        let within =
            all.iter().zip(ends).filter(|(one, end)| one.at < until && end.is_none_or(|end| end > from));
        Ok(within.map(|(one, _)| one.bundle).collect())
    }

    fn activations(&self, size: u64) -> Result<Vec<Activation>, StoreError> {
        self.read_on(size, |told| told.activations.clone())
    }

    /// Reads what is new, and gives what is asked for.
    fn read_on<T>(&self, size: u64, give: impl FnOnce(&Told) -> T) -> Result<T, StoreError> {
        let mut told = self.0.history.0.lock().unwrap_or_else(PoisonError::into_inner);
        while told.next < size {
            let lines = self.0.house.store.read_decisions(told.next, READ_MAX)?;
            for line in &lines {
                told.next = line.index + 1;
                told.learn(line);
            }
            if lines.len() < READ_MAX {
                told.next = told.next.max(size);
            }
        }
        Ok(give(&told))
    }
}

impl Told {
    fn learn(&mut self, line: &StoredLine) {
        // Most decisions are about something else: those are not read as JSON.
        let has = |mark: &[u8]| line.bytes.windows(mark.len()).any(|part| part == mark);
        if !has(ACTIVATED) && !has(ISSUED) {
            return;
        }
        // What a bundle says is no part of its history.
        let Ok((event, at)) = read_event(&line.bytes, &|_| Some(Arc::default())) else { return };
        match event {
            Event::Bundle(BundleEvent::Activated {
                bundle,
                previous,
                version,
                catalogue: _,
                by,
                request,
            }) => {
                let line = line.index;
                self.activations.push(Activation { bundle, version, previous, by, at, line, request });
            }
            Event::Grant(GrantEvent::Issued { role, .. }) => {
                let had = self.grants.entry(role).or_insert((0, at));
                *had = (had.0.saturating_add(1), at);
            }
            _ => {}
        }
    }
}

fn may_not_read() -> Refused {
    Refused::new(RefusedCode::NotPermitted, "policy does not permit you `policy.read`")
        .hint("ask those who apply policy whether you should have it")
}
