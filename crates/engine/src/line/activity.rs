//! Activity: what is recorded and never feeds the book. Statements, refusals, sign-ins, reads of the ledger, and
//! what happens to the gateway itself. Members in the order of their names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use countersign_core::budget::{Budget, Limits, Longer, Over, Reached, Spent, Spread, Whose};
use countersign_core::question::Context;
use countersign_core::{
    ActionName, AuthenticatorId, BundleHash, CredentialId, DeviceId, GrantId, PersonId, PrincipalId,
    ResourceId, RoleId, SessionId, SignInId,
};
use serde::Serialize;

#[cfg(test)]
use super::Envelope;
#[cfg(test)]
use super::Outcome;
use super::{Sealed, Stamp};
use crate::action::Completion;
use crate::line::shapes::ResultShape;
use crate::spending::{Tally, Touched};

/// What is recorded besides statements and never feeds the book.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Topic {
    /// `session.refused`, and `decision.evaluated` for a command that was refused.
    Refusing(Refusing),
    /// `auth.succeeded`, `auth.failed`, `auth.locked`, `auth.logged_out`, `token.revoked`, `token.rejected`.
    SignIn(SignIn),
    /// `authenticator.bound`, `authenticator.invited`, `authenticator.revoked`.
    Authenticator(Authenticator),
    /// `token.issued`.
    Minted(Minted),
    /// `ledger.read`, `ledger.exported`.
    Count(Count),
    /// `result.exported`.
    Exported(Exported),
    /// `result.destroyed`.
    Destroyed(Destroyed),
    /// `notification.device_added`, `notification.device_removed`; of a test `notification.sent`, `notification.failed`.
    Device(Device),
    /// `config.changed`.
    Configured(Configured),
    /// `system.started`, `system.stopped`, `system.degraded`, `system.recovered`.
    State(State),
}

/// In which session a statement runs, and what it stands on.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) session: SessionId,
    pub(crate) principal: PrincipalId,
    pub(crate) person: PersonId,
    pub(crate) chain: Arc<[PrincipalId]>,
    pub(crate) resource: ResourceId,
    pub(crate) role: RoleId,
    pub(crate) grant: Option<GrantId>,
    pub(crate) bundle: Option<BundleHash>,
    /// The content key of the session.
    pub(crate) key: Arc<str>,
    /// What is counted of it, and how much may be taken.
    pub(crate) account: Option<Account>,
    /// What its lines have in common.
    pub(crate) standing: OnceLock<super::statement::Standing>,
}

/// Where it is counted what a session takes, and how much that may be.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) grant: Arc<Tally>,
    pub(crate) session: Arc<Tally>,
    pub(crate) budget: Option<Budget>,
    /// What calls of single tools may take in the session.
    pub(crate) tools: Arc<BTreeMap<String, Limits>>,
}

/// What is used up for an action, or would be exceeded by it.
#[derive(Clone, Debug)]
pub(crate) struct OverBudget {
    /// It may not run.
    pub(crate) denies: bool,
    /// Which limits.
    pub(crate) reached: Vec<Reached>,
    /// What policies are told of it.
    pub(crate) told: BTreeSet<String>,
}

/// A statement that may run.
#[derive(Debug, Serialize)]
pub(crate) struct Allowed<'a> {
    pub(crate) action: &'a ActionName,
    /// How it ended, if it was done before this line was written; else a line `action.completed` follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Within>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameters: Option<Sealed>,
    /// Whether it was forwarded before its record was durable: `first`, `release` or `alongside`.
    pub(crate) recorded: &'static str,
    pub(crate) text: Sealed,
    /// The line beside which the text is kept, if it is not this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text_at: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) verbs: &'a [String],
}

/// A statement that may not run.
#[derive(Debug, Serialize)]
pub(crate) struct Blocked<'a> {
    pub(crate) action: &'a ActionName,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameters: Option<Sealed>,
    pub(crate) reason: &'a str,
    pub(crate) text: Sealed,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) verbs: &'a [String],
}

/// How a statement ended that was done before its line was written.
#[derive(Debug, Serialize)]
pub(crate) struct Within {
    pub(crate) bytes: u64,
    pub(crate) micros: u64,
    pub(crate) result: ResultShape,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<u64>,
}

/// How a statement ended.
#[derive(Debug, Serialize)]
pub(crate) struct Completed {
    pub(crate) bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// Digest and size of what it gave back, where a door tells them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<Sealed>,
    /// What it gave back, if that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<Sealed>,
    pub(crate) micros: u64,
    /// The line that allowed it.
    pub(crate) of: u64,
    pub(crate) result: ResultShape,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<u64>,
}

/// Somebody was turned away.
#[derive(Debug, Serialize)]
pub(crate) struct Refusing {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<ActionName>,
    /// Who they said they are, from where, and why not.
    pub(crate) content: Sealed,
    /// How many more there were since the last such line, unwritten because there were too many.
    pub(crate) unwritten: u64,
}

/// A sign-in or its end.
#[derive(Debug, Serialize)]
pub(crate) struct SignIn {
    /// From where, and as whom.
    pub(crate) content: Sealed,
    /// The sign-in that let in a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) let_in_by: Option<SignInId>,
    /// By what it was proved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) means: Vec<&'static str>,
    /// The person never signed in from there before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) new_place: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sign_in: Option<SignInId>,
    pub(crate) unwritten: u64,
    pub(crate) via: &'static str,
}

/// Something that is bound to an account beside its password, or taken away.
#[derive(Debug, Serialize)]
pub(crate) struct Authenticator {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authenticator: Option<AuthenticatorId>,
    /// From where.
    pub(crate) content: Sealed,
    /// The public key of a passkey that is bound (COSE), base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// What it is.
    pub(crate) means: &'static str,
    /// The site that a passkey was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rp: Option<String>,
    pub(crate) via: &'static str,
}

/// A credential for a door.
#[derive(Debug, Serialize)]
pub(crate) struct Minted {
    /// It is of use only with the key of a certificate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) bound: bool,
    pub(crate) credential: CredentialId,
    pub(crate) expires_at: Stamp,
    /// The sign-in of the client that it was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sign_in: Option<SignInId>,
}

/// Somebody read the ledger.
#[derive(Debug, Serialize)]
pub(crate) struct Count {
    /// What was asked for.
    pub(crate) content: Sealed,
    pub(crate) lines: u64,
}

/// A device on which somebody is told of what waits for them.
#[derive(Debug, Serialize)]
pub(crate) struct Device {
    /// From where.
    pub(crate) content: Sealed,
    pub(crate) device: DeviceId,
    pub(crate) via: &'static str,
}

/// Somebody carried a result away.
#[derive(Debug, Serialize)]
pub(crate) struct Exported {
    /// Which: the statement and the names of its columns.
    pub(crate) content: Sealed,
    pub(crate) rows: u64,
}

/// The key of results that were kept is destroyed, and with it what it opens.
#[derive(Debug, Serialize)]
pub(crate) struct Destroyed {
    /// The day on which it was to be destroyed, in UTC.
    pub(crate) due: String,
}

/// How the gateway itself is set up has changed.
#[derive(Debug, Serialize)]
pub(crate) struct Configured {
    /// Who keeps the house's keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keeper: Option<String>,
    /// The number of the key under which everything is sealed from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<u32>,
    /// The name of a secret in the gateway's own store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    /// `house_key_made`, `house_key_dropped`, `house_keys_wrapped`, `secret_stored`, `secret_removed`,
    /// `setup_opened`, `setup_database_tried`, `setup_closed`.
    pub(crate) what: &'static str,
}

/// Something about the gateway itself.
#[derive(Debug, Serialize)]
pub(crate) struct State {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Stamp>,
    pub(crate) version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

impl Statement {
    /// It runs, as a call of this tool if it is one, and touches what it is said to touch.
    pub(crate) fn ran(&self, told: &Context, tool: Option<&str>) {
        self.tallies().for_each(|tally| tally.ran());
        if let Some((account, tool, _)) = self.limited(tool) {
            account.session.called(tool);
        }
        if self.budget().is_some_and(|budget| budget.counts_relations()) {
            let touched = Touched::by(told);
            self.tallies().for_each(|tally| tally.touches(&touched));
        }
    }

    /// It is over.
    pub(crate) fn ended(&self, how: &Completion, tool: Option<&str>) {
        self.tallies().for_each(|tally| tally.ended(how));
        if let Some((account, tool, _)) = self.limited(tool) {
            account.session.answered(tool, how);
        }
        if let (Some(account), Some(budget)) = (&self.account, self.budget()) {
            let (rows, bytes, micros) = (how.rows.unwrap_or_default(), how.bytes, how.micros);
            account.session.flag(budget.flagged(&Spent { rows, bytes, micros, ..Spent::default() }));
        }
    }

    /// What is used up, or would be exceeded, for something of which this is told: for a call of this tool, if it is one.
    pub(crate) fn over_budget(&self, told: &Context, tool: Option<&str>) -> Option<OverBudget> {
        let (account, budget) = (self.account.as_ref()?, self.budget()?);
        let mut reached: Vec<_> = budget.reached(&account.grant.spent(), &account.session.spent()).collect();
        if budget.counts_relations() {
            let touched = Touched::by(told);
            let (grant, session) = (account.grant.spread(&touched), account.session.spread(&touched));
            reached.extend(budget.spread_too_far(Spread { grant, session, statement: touched.count() }));
        }
        if let Some((account, tool, limits)) = self.limited(tool) {
            reached.extend(Budget::reached_by_calls(limits, &account.session.by(tool)));
        }
        let flags = budget.statement_over == Longer::Flag;
        let mut told = if flags { account.session.flagged() } else { BTreeSet::new() };
        told.extend(reached.iter().map(Reached::name));
        let denies = budget.over == Over::Deny && !reached.is_empty();
        (!told.is_empty()).then_some(OverBudget { denies, reached, told })
    }

    /// What was spent of what, by the name of whose it is.
    pub(crate) fn shares(&self) -> Option<[(Whose, Limits, Spent); 3]> {
        let (account, budget) = (self.account.as_ref()?, self.budget()?);
        Some([
            (Whose::Grant, budget.grant, account.grant.spent()),
            (Whose::Session, budget.session, account.session.spent()),
            (Whose::Statement, budget.statement, Spent::default()),
        ])
    }

    fn budget(&self) -> Option<Budget> {
        self.account.as_ref()?.budget
    }

    /// Where calls of this tool are counted, and how much they may take; nothing if they have no limits of their own.
    fn limited<'a>(&self, tool: Option<&'a str>) -> Option<(&Account, &'a str, Limits)> {
        let (account, tool) = (self.account.as_ref()?, tool?);
        Some((account, tool, *account.tools.get(tool)?))
    }

    fn tallies(&self) -> impl Iterator<Item = &Tally> {
        self.account.iter().flat_map(|account| [&*account.grant, &*account.session])
    }
}

#[cfg(test)]
impl Statement {
    /// A line about this statement as an envelope: what its lines are held against.
    pub(crate) fn envelope<D>(&self, kind: &'static str, outcome: Outcome, data: D) -> Envelope<D> {
        let mut line = Envelope::new(kind, data);
        line.outcome = outcome;
        line.actor = Some(self.principal.clone());
        line.person = Some(self.person.clone());
        if self.chain.len() > 1 {
            line.chain = self.chain.to_vec();
        }
        line.session = Some(self.session);
        line.resource = Some(self.resource.clone());
        line.role = Some(self.role.clone());
        line.grant = self.grant;
        line.bundle = self.bundle;
        line
    }
}
