//! One attempt: what would policy say of it, and who would be asked.

use countersign_core::catalogue::Role;
use countersign_core::question::{Context, Question, Target};
use countersign_core::request::{Ask, Bounds, RowBound};
use countersign_core::ruling::{Ruling, Verdict};
use countersign_core::{ActionName, At, GrantId, PrincipalId, Refusal, RoleId, SessionId};
use countersign_policy::context::{Access, Auth, Plain, Via};

use super::{Files, Said, Trial, Tried, TryAccess, TryStatement, Trying, in_words, statement_question};
use crate::api::{ApplyError, PreviewVerdict};
use crate::engine::Engine;
use crate::people::Caller;
use crate::snapshot::Snapshot;
use crate::words::Refused;

/// An attempt that was asked about, before it is put into words.
struct Asked {
    question: Question,
    ruling: Ruling,
    ask: Option<Ask>,
}

impl Engine {
    /// What policy would say of an attempt: under the bundle in force, or under these files.
    ///
    /// # Errors
    /// The files have mistakes; there is nobody, nothing or no such action; or a statement could not be understood.
    pub async fn try_out(
        &self,
        caller: &Caller,
        trial: Trial,
        draft: Option<Files>,
    ) -> Result<Tried, ApplyError> {
        let snapshot = self.snapshot();
        let side = match draft {
            Some(files) => {
                let next = self.draft(files).await?;
                self.after(&snapshot, &next, &caller.principal).0
            }
            None => Snapshot::clone(&snapshot),
        };
        if !side.book.catalogue.principals.contains_key(&trial.principal) {
            return Err(Refused::from(Refusal::NoSuchPrincipal(trial.principal)).into());
        }
        let at = trial.at.unwrap_or_else(|| self.now());
        match &trial.what {
            Trying::Access(access) => Ok(self.try_access(&side, (&trial, access), at)?),
            Trying::Statement(statement) => Ok(self.try_statement(&side, (&trial, statement), at).await?),
            Trying::House(action) => {
                let context = circumstances(&trial, at).into();
                let question = asked_by(&side, &trial, (action.clone(), Target::Gateway, context), at);
                Ok(self.try_plain(&side, question, None, at)?)
            }
        }
    }

    fn try_access(
        &self,
        side: &Snapshot,
        (trial, access): (&Trial, &TryAccess),
        at: At,
    ) -> Result<Tried, Refused> {
        let TryAccess { role, lasting, purpose, ticket } = access.clone();
        existing(side, &role)?;
        let plain = circumstances(trial, at);
        let context = Access { plain, duration: lasting, purpose, ticket };
        let asked = (ActionName::new("access.request"), Target::Role(role.clone()), context.into());
        let question = asked_by(side, trial, asked, at);
        self.try_plain(side, question, Some(Ask::Access { role, lasting }), at)
    }

    fn try_plain(
        &self,
        side: &Snapshot,
        question: Question,
        ask: Option<Ask>,
        at: At,
    ) -> Result<Tried, Refused> {
        let ruling = policy_of(side)?.rule(&side.book, &question);
        let actions = vec![question.action.clone()];
        Ok(self.told(side, Asked { question, ruling, ask }, actions, at))
    }

    async fn try_statement(
        &self,
        side: &Snapshot,
        (trial, statement): (&Trial, &TryStatement),
        at: At,
    ) -> Result<Tried, Refused> {
        let TryStatement { role, resource, text, purpose, ticket, in_transaction } = statement;
        let plain = Plain { via: Via::Postgres, ..circumstances(trial, at) };
        let described = existing(side, role)?;
        let policy = policy_of(side)?;
        let holds = side.book.live_grant(&trial.principal, role, at).is_some();
        let mut opening = Question {
            principal: trial.principal.clone(),
            roles: [role.clone()].into(),
            action: ActionName::new("session.open"),
            target: Target::Resource(resource.clone()),
            context: plain.clone().into(),
        };
        tell_sign_in(trial, &mut opening.context);
        let ruling = policy.rule(&side.book, &opening);
        if ruling.verdict() != Verdict::Allow {
            // Whatever the statement is: there is no session that it could be sent in.
            let action = vec![opening.action.clone()];
            let mut told = self.told(side, Asked { question: opening, ruling, ask: None }, action, at);
            (told.verdict, told.holds) = (PreviewVerdict::Deny, Some(holds));
            return Ok(told);
        }
        let place = (resource, described.account.as_str());
        let read = self.read_statement(&side.book.catalogue, place, text.as_str().into()).await?;
        let said = Said { plain, purpose, ticket: ticket.as_deref(), in_transaction: *in_transaction };
        let mut question = statement_question(side, (&trial.principal, role, resource), &read, said);
        tell_sign_in(trial, &mut question.context);
        let ruling = policy.rule_all(&side.book, &question, &read.actions);
        let ask = Ask::Act {
            session: SessionId(0),
            grant: GrantId(0),
            resource: resource.clone(),
            action: read.kind.clone(),
            bounds: Bounds { rows: RowBound::Unbounded },
            reach: None,
        };
        let asked = Asked { question, ruling, ask: Some(ask) };
        let mut told = self.told(side, asked, read.actions.clone(), at);
        (told.read, told.holds) = (Some(read), Some(holds));
        Ok(told)
    }

    fn told(&self, side: &Snapshot, asked: Asked, actions: Vec<ActionName>, at: At) -> Tried {
        let Asked { question, ruling, ask } = asked;
        let (verdict, reason) = in_words(&ruling);
        let by: &PrincipalId = &question.principal;
        let stages = match (ruling.verdict(), ask) {
            (Verdict::Hold(gates), Some(ask)) => self.stages_of(side, by, ask, gates),
            _ => Vec::new(),
        };
        Tried {
            verdict,
            reason,
            action: question.action,
            actions,
            ruling,
            stages,
            read: None,
            circumstances: question.context,
            holds: None,
            at,
        }
    }
}

fn circumstances(trial: &Trial, at: At) -> Plain {
    Plain { now: at, source: trial.source, via: trial.via }
}

/// By what they would have signed in, and when, if that is said.
fn tell_sign_in(trial: &Trial, context: &mut Context) {
    if !trial.means.is_empty() {
        Auth { methods: trial.means.clone(), age: trial.proved_ago }.tell(context);
    }
}

/// A question of whoever tries, in the roles that they hold at that instant.
fn asked_by(
    side: &Snapshot,
    trial: &Trial,
    (action, target, mut context): (ActionName, Target, Context),
    at: At,
) -> Question {
    tell_sign_in(trial, &mut context);
    let roles = side.book.live_roles(&trial.principal, at).into_iter().map(|(role, _)| role.clone());
    Question { principal: trial.principal.clone(), roles: roles.collect(), action, target, context }
}

fn existing<'a>(side: &'a Snapshot, role: &RoleId) -> Result<&'a Role, Refused> {
    let found = side.book.catalogue.roles.get(role);
    found.ok_or_else(|| Refusal::NoSuchRole(role.clone()).into())
}

pub(super) fn policy_of(side: &Snapshot) -> Result<&countersign_policy::Compiled, Refused> {
    side.policy.as_deref().ok_or_else(|| Refusal::NoBundle.into())
}
