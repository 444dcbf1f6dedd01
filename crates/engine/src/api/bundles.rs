//! Bundles: checked, proposed, put in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::bundle::{Command as BundleCommand, Event as BundleEvent};
use countersign_core::request::{Ask, State};
use countersign_core::ruling::Verdict;
use countersign_core::{At, BundleHash, Command, Event, PrincipalId, Refusal, RequestId};
use countersign_policy::{Compiled, Diagnostic, Source, compile};

use super::asking::Asking;
use crate::engine::Engine;
use crate::people::Caller;
use crate::words::{Refused, RefusedCode};
use crate::writer::work::{Deed, From, Standing};

/// What became of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is in force.
    Active {
        /// Counted from one.
        version: u64,
        /// Which.
        hash: BundleHash,
    },
    /// Somebody has to say yes first; then it is applied again.
    Pending(RequestId),
}

/// Why a bundle was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It has mistakes.
    #[error("the bundle has {} mistakes", .0.len())]
    Invalid(Vec<Diagnostic>),
    /// The house said no.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Engine {
    /// Puts a bundle in force whose last yes has just been said, for whoever asked.
    pub(super) async fn go_live(&self, by: &PrincipalId, bundle: BundleHash, request: RequestId) {
        let house = &self.0.house;
        let kept = house.compiled(&bundle).zip(house.files(&bundle));
        let Some((compiled, files)) = kept else {
            tracing::error!(%bundle, "an approved bundle is not in the store any more");
            return;
        };
        let applied = self.activate(by, From::HOUSE, (compiled, Source { files }), Some(request)).await;
        if let Err(error) = applied {
            // The yes stands: whoever asked can apply the bundle again while it is valid.
            tracing::warn!(%error, %bundle, "an approved bundle could not be put in force");
        }
    }

    /// The files of the bundle in force, for whoever may read policy.
    ///
    /// # Errors
    /// Policy does not permit it, or there is none.
    pub fn bundle_files(&self, caller: &Caller) -> Result<BTreeMap<String, String>, Refused> {
        self.files_of_bundle(caller, None).map(|(_, files)| files)
    }

    /// Puts a bundle in force, or asks those who must say yes. Applied again by the same principal after the yes, it
    /// goes live.
    ///
    /// # Errors
    /// It has mistakes, or the house said no.
    pub async fn apply_bundle(
        &self,
        caller: &Caller,
        files: BTreeMap<String, String>,
    ) -> Result<Applied, ApplyError> {
        let (compiled, source) = self.compile(files).await?;
        let snapshot = self.snapshot();
        if snapshot.policy.is_none() {
            return Err(Refused::from(Refusal::NoBundle).into());
        }
        let approved = snapshot.book.requests().rev().find(|request| {
            let is_it = request.ask == Ask::Apply { bundle: compiled.hash } && request.by == caller.principal;
            is_it && (request.state == State::Pending || is_usable(&request.state, self.now()))
        });
        match approved.map(|request| (request.id, &request.state)) {
            Some((id, State::Pending)) => return Ok(Applied::Pending(id)),
            Some((id, _)) => {
                return self.activate(&caller.principal, caller.from(), (compiled, source), Some(id)).await;
            }
            None => {}
        }
        let desk = self.desk(&snapshot);
        let standing = Standing::Apply { bundle: compiled.hash, from: caller.from() };
        let ruling = desk.rule_standing(&caller.principal, &standing, Some(&compiled));
        let holds = ruling.is_some_and(|ruling| matches!(ruling.verdict(), Verdict::Hold(_)));
        if holds && snapshot.book.in_force.as_ref().is_none_or(|had| had.bundle != compiled.hash) {
            return self.propose(caller, (compiled, source), standing).await;
        }
        self.activate(&caller.principal, caller.from(), (compiled, source), None).await
    }

    /// Puts the first bundle in force. Only while there is none; for whoever runs the gateway.
    ///
    /// # Errors
    /// It has mistakes, or one is in force.
    pub async fn first_bundle(
        &self,
        files: BTreeMap<String, String>,
        by: &PrincipalId,
    ) -> Result<Applied, ApplyError> {
        let (compiled, source) = self.compile(files).await?;
        if self.snapshot().book.in_force.is_some() {
            return Err(Refused::new(RefusedCode::Conflict, "a bundle is in force already")
                .hint("sign in and apply this one like any other")
                .into());
        }
        if !compiled.catalogue.principals.contains_key(by) {
            let message = format!("the bundle does not name `{by}`, in whose name it is applied");
            return Err(Refused::new(RefusedCode::Invalid, message).into());
        }
        self.activate(by, From::HOUSE, (compiled, source), None).await
    }

    async fn compile(&self, files: BTreeMap<String, String>) -> Result<(Arc<Compiled>, Source), ApplyError> {
        let source = Source { files };
        let compiled = tokio::task::spawn_blocking(move || (compile(&source), source)).await;
        let (compiled, source) = compiled.map_err(|_| {
            Refused::new(RefusedCode::Invalid, "the bundle could not be compiled").hint("check it by parts")
        })?;
        let compiled = Arc::new(compiled.map_err(ApplyError::Invalid)?);
        self.0.house.remember(&compiled);
        Ok((compiled, source))
    }

    async fn propose(
        &self,
        caller: &Caller,
        (compiled, source): (Arc<Compiled>, Source),
        standing: Standing,
    ) -> Result<Applied, ApplyError> {
        let mut action = self.action(caller, "policy.apply")?;
        action.settings.insert("bundle".into(), compiled.hash.to_string());
        let mut asking = Asking::new(&action, Arc::new(standing), caller.from());
        asking.puts = vec![self.bundle_put(&compiled, &source)?];
        let bundle = compiled.hash;
        asking.proposed = Some(compiled);
        let filed = self.file(asking, |_| Ask::Apply { bundle }).await?;
        Ok(Applied::Pending(filed.id))
    }

    async fn activate(
        &self,
        by: &PrincipalId,
        from: From,
        (compiled, source): (Arc<Compiled>, Source),
        request: Option<RequestId>,
    ) -> Result<Applied, ApplyError> {
        let command = BundleCommand::Activate {
            bundle: compiled.hash,
            catalogue: Arc::clone(&compiled.catalogue),
            by: by.clone(),
            request,
        };
        let mut deed = Deed::new(Command::Bundle(command), from);
        deed.puts = vec![self.bundle_put(&compiled, &source)?];
        deed.proposed = Some(Arc::clone(&compiled));
        let done = self.deed(deed).await?;
        let version = done.events.iter().find_map(|event| match event {
            Event::Bundle(BundleEvent::Activated { version, .. }) => Some(*version),
            _ => None,
        });
        Ok(Applied::Active { version: version.unwrap_or_default(), hash: compiled.hash })
    }

    fn bundle_put(&self, compiled: &Compiled, source: &Source) -> Result<crate::store::Put, Refused> {
        self.0
            .house
            .bundle_put(compiled, source)
            .map_err(|error| Refused::new(RefusedCode::Invalid, format!("the bundle can't be kept: {error}")))
    }
}

fn is_usable(state: &State, now: At) -> bool {
    matches!(state, State::Approved(receipt) if !receipt.is_spent() && now < receipt.valid_until)
}
