//! Jobs: services that sign in by the word of whoever runs them, a CI system or a cluster.
//!
//! A job shows the token that its issuer gave it and a key of its own. The bundle says which jobs are which service. What it
//! gets stands on that key: without it the sign-in is nobody's, so that what is read of a log opens nothing. The token
//! counts once. It lasts as long as the job goes on using it: when that ends, by a word or by silence, the job's requests are
//! withdrawn and its grants end, which cuts what stood on them.
//!
//! A service is one job at a time. That is what binds a grant to the job that asked for it, and to its commit: whoever
//! approved one approved nothing for the next.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::action::{Action, hash};
use countersign_core::grant::Command as GrantCommand;
use countersign_core::request::{Command as RequestCommand, State, Withdrawal};
use countersign_core::{Command, PrincipalId, Span};
use serde::{Deserialize, Serialize};

use super::SignInClient;
use super::means::{Means, MeansSet};
use super::origin::Came;
use super::sign_in::{SignInRefused, SignedIn};
use crate::engine::Engine;
use crate::federation::{FederationError, WorkloadToken, Workloads};
use crate::writer::work::{Deed, From};

/// How long a job may be silent. Whoever runs one says more often that it goes on.
pub(super) const SILENT_FOR: Span = Span::minutes(2);

/// What stands before the claims of a job among the settings of what it asks for.
const SETTING: &str = "job.";

/// Whoever checks the tokens of jobs.
#[derive(Default)]
pub(super) struct Jobs(OnceLock<Arc<dyn Workloads>>);

/// A job, as its issuer tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    /// The issuer's name in the bundle.
    pub(crate) issuer: String,
    /// The subject of its token.
    pub(crate) subject: String,
    /// What else its token says.
    pub(crate) claims: std::collections::BTreeMap<String, String>,
    /// SHA-256 of its key (RFC 7638), base64url.
    pub(crate) key: String,
}

impl Job {
    /// Whether it is this key's.
    pub(super) fn is_of(&self, key: Option<&[u8; 32]>) -> bool {
        key.is_some_and(|key| URL_SAFE_NO_PAD.encode(key) == self.key)
    }
}

impl Engine {
    /// Has the tokens of jobs checked by this. Said once, at the start; what is said later is not heard.
    pub fn check_jobs_with(&self, workloads: Arc<dyn Workloads>) {
        let _said_before = self.0.people.jobs.0.set(workloads);
    }

    /// Signs a job in as the service that the bundle says it is; as `service`, where it may be several. What it gets stands
    /// on its key, of which this is the thumbprint.
    ///
    /// # Errors
    /// [`SignInRefused`]; recorded.
    pub async fn sign_in_job(
        &self,
        (token, service): (&str, Option<&str>),
        key: &[u8; 32],
        client: SignInClient,
    ) -> Result<SignedIn, SignInRefused> {
        let found = match self.job_of(token).await {
            Ok(found) => found,
            Err(why) => {
                tracing::warn!(why, "a job was not let in");
                self.failed("auth.failed", service.unwrap_or_default(), &client).await;
                return Err(SignInRefused::NotAJob);
            }
        };
        let (issuer, told) = found;
        let Some(principal) = self.service_of(&issuer, &told, service) else {
            tracing::warn!(
                issuer,
                subject = told.subject,
                "no workload of the bundle is this job, or several are"
            );
            self.failed("auth.failed", service.unwrap_or_default(), &client).await;
            return Err(SignInRefused::NotAJob);
        };
        // Of two that come at once one is first.
        let _changing = self.changing().await;
        if !self.snapshot().book.is_enabled(&principal) {
            self.failed("auth.failed", principal.as_str(), &client).await;
            return Err(SignInRefused::Disabled);
        }
        if self.has_job(&principal) {
            return Err(SignInRefused::Busy);
        }
        let used =
            hash(&[b"countersign/workload-token/v1\n", issuer.as_bytes(), b"\0", told.id.as_bytes()]).0;
        let Some(put) = self.0.people.tokens.use_up(used, told.until, self.now()) else {
            tracing::warn!(issuer, subject = told.subject, "the token of a job came a second time");
            self.failed("auth.failed", principal.as_str(), &client).await;
            return Err(SignInRefused::NotAJob);
        };
        let WorkloadToken { subject, claims, .. } = told;
        let job = Job { issuer, subject, claims, key: URL_SAFE_NO_PAD.encode(key) };
        let mut came = Came::here(MeansSet::of(&[Means::Workload]), self.now());
        came.job = Some(Box::new(job));
        let admitted = self.admit_as(principal, came, &client, vec![put]).await;
        if admitted.is_err() {
            self.0.people.tokens.not_used(&used);
        }
        admitted
    }

    /// What the issuer of a token says, if the bundle names it: its name there, and the token.
    async fn job_of(&self, token: &str) -> Result<(String, WorkloadToken), String> {
        let workloads = self.0.people.jobs.0.get().ok_or("nobody checks tokens of jobs here")?;
        let claimed = workloads.issuer_claimed(token).ok_or("the token can't be read")?;
        let snapshot = self.snapshot();
        let mut issuers = snapshot.book.catalogue.issuers.iter();
        let found = issuers.find(|(_, issuer)| issuer.url == claimed);
        let (name, issuer) = found.ok_or_else(|| {
            format!("the bundle names no issuer `{}`", claimed.chars().take(120).collect::<String>())
        })?;
        let told = workloads.verify((&issuer.url, &issuer.audience), token, self.now()).await;
        told.map(|told| (name.clone(), told)).map_err(|error: FederationError| error.to_string())
    }

    /// The one service that a job is.
    fn service_of(&self, issuer: &str, told: &WorkloadToken, wanted: Option<&str>) -> Option<PrincipalId> {
        let snapshot = self.snapshot();
        let catalogue = &snapshot.book.catalogue;
        let workloads = catalogue.workloads.values();
        let fitting = workloads.filter(|one| one.issuer == issuer && one.is(&told.subject, &told.claims));
        let services: BTreeSet<&PrincipalId> = fitting.map(|one| &one.service).collect();
        let mut fitting =
            services.into_iter().filter(|one| wanted.is_none_or(|wanted| one.as_str() == wanted));
        let only = fitting.next()?;
        fitting.next().is_none().then(|| only.clone())
    }

    fn has_job(&self, principal: &PrincipalId) -> bool {
        let live = self.0.people.tokens.of(principal, self.now(), &self.0.house.settings);
        live.iter().any(|kept| kept.from.job.is_some())
    }

    /// Binds what a job asks for to the job: its issuer's word of it becomes part of what is digested and shown. A service
    /// is one job at a time, whichever way it asks.
    pub(crate) fn bind_to_job(&self, by: &PrincipalId, action: &mut Action) {
        let live = self.0.people.tokens.of(by, self.now(), &self.0.house.settings);
        let Some(job) = live.into_iter().find_map(|kept| kept.from.job) else { return };
        for (name, value) in job.claims {
            action.settings.insert(format!("{SETTING}{name}"), value);
        }
        action.settings.insert(format!("{SETTING}issuer"), job.issuer);
        action.settings.insert(format!("{SETTING}subject"), job.subject);
    }

    /// Ends what services have whose jobs are over. Only those are looked at that the bundle says are jobs.
    pub(crate) async fn end_jobs(&self) {
        let snapshot = self.snapshot();
        let services: BTreeSet<&PrincipalId> =
            snapshot.book.catalogue.workloads.values().map(|one| &one.service).collect();
        for service in services.into_iter().filter(|service| !self.has_job(service)) {
            let now = self.now().max(snapshot.at);
            let pending = snapshot.book.requests().filter(|one| one.by == *service);
            let pending = pending.filter(|one| matches!(one.state, State::Pending));
            let withdrawn = pending.map(|one| {
                let why = Withdrawal::Disconnected;
                Command::Request(RequestCommand::Withdraw { request: one.id, why })
            });
            let held = snapshot.book.grants().filter(|one| one.principal == *service && one.is_live(now));
            let given_back = held
                .map(|one| Command::Grant(GrantCommand::Relinquish { grant: one.id, by: service.clone() }));
            for command in withdrawn.chain(given_back).collect::<Vec<_>>() {
                if let Err(refused) = self.deed(Deed::new(command, From::HOUSE)).await {
                    // It is tried again in a second.
                    tracing::warn!(%service, why = refused.message, "what a job had could not be ended");
                }
            }
        }
    }
}
