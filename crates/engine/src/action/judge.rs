//! Judging: a pure function over the snapshot. Who is this, on what do they stand, and what does policy say now.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_core::budget::{Reached, Whose};
use countersign_core::catalogue::{Catalogue, Recording};
use countersign_core::question::{Context, Question, Target, Value};
use countersign_core::ruling::{Denial, Gate, PolicyRef, Ruling, Verdict};
use countersign_core::session::Ending;
use countersign_core::{ActionName, At, PrincipalId, ResourceId, RoleId};
use countersign_policy::context::Auth;

use super::again::Allowed;
use super::attempt::Attempt;
use super::proof::{Denied, Held, Judged, Judgement, Why};
use crate::api::PreviewVerdict;
use crate::engine::Engine;
use crate::line::{OverBudget, Policies, PolicyShape, Statement};
use crate::session::{Rests, Session};
use crate::snapshot::Snapshot;
use crate::words::{Refused, RefusedCode, ask_command, ask_link};
use crate::writer::work::{From as Whence, Standing};

impl Engine {
    /// Judges an attempt in a session, on the state as it is now. In a paused session nothing is judged.
    #[must_use]
    pub fn judge(&self, session: &Session, attempt: Attempt) -> Judgement {
        let snapshot = self.0.hall.snapshot.load();
        let at = self.now().max(snapshot.at);
        let statement = match session.begin(&snapshot, at) {
            Ok(statement) => statement,
            Err(Rests::Over(ending)) => return self.over(session, attempt, at, ending),
            Err(Rests::Paused) => return Judgement::Paused,
        };
        self.judge_on(&snapshot, statement, session, (attempt, at))
    }

    /// What would be said of an attempt, whether its session is paused or not. Nothing can be done by it.
    #[must_use]
    pub fn foretell(&self, session: &Session, attempt: Attempt) -> PreviewVerdict {
        let snapshot = self.0.hall.snapshot.load();
        let at = self.now().max(snapshot.at);
        let Ok(statement) = session.stand(&snapshot, at) else { return PreviewVerdict::Deny };
        match self.judge_on(&snapshot, statement, session, (attempt, at)) {
            Judgement::Allow(_) => PreviewVerdict::Allow,
            Judgement::Hold(_) => PreviewVerdict::Hold,
            Judgement::Deny(_) | Judgement::Paused => PreviewVerdict::Deny,
        }
    }

    fn judge_on(
        &self,
        snapshot: &Snapshot,
        statement: Arc<Statement>,
        session: &Session,
        (attempt, at): (Attempt, At),
    ) -> Judgement {
        let over =
            attempt.is_counted().then(|| statement.over_budget(&attempt.context, attempt.tool())).flatten();
        if let Some(OverBudget { denies: true, reached, .. }) = &over {
            return self.used_up(statement, attempt, at, reached);
        }
        if over.is_none()
            && let Some(allowed) = session.again().find(&statement, &attempt)
        {
            return Judgement::Allow(Judged { statement, attempt, allowed, at });
        }
        let Some(policy) = &snapshot.policy else {
            return self.over(session, attempt, at, Ending::Policy);
        };
        let mut question = question(session, &attempt.kind, Context::clone(&attempt.context), at);
        tell_impact(&snapshot.book.catalogue, session.resource(), &mut question.context);
        if let Some(OverBudget { told: over, .. }) = &over
            && let Some(told) = question.context.get_mut("over_budget")
        {
            *told = Value::Texts(over.clone());
        }
        let ruling = policy.rule_all(&snapshot.book, &question, &attempt.actions);
        match ruling.verdict() {
            Verdict::Allow => {
                let alongside = records_alongside(snapshot, &statement);
                let allowed = Allowed { policies: shapes(&ruling.permits), alongside };
                if over.is_none() && policy.is_lasting(&snapshot.book, &question, &attempt.actions) {
                    session.again().keep(&statement, &attempt, allowed.clone());
                }
                Judgement::Allow(Judged { statement, attempt, allowed, at })
            }
            Verdict::Hold(gates) => {
                let reason = held_words(gates);
                let standing = Arc::new(standing(question, &statement, &attempt, session.from(at)));
                Judgement::Hold(Held { session: session.clone(), statement, attempt, standing, reason })
            }
            Verdict::Deny(denial) => {
                let refused = self.denial_words(snapshot, &statement, (&attempt, &question), &denial);
                let policies = shapes(against(&ruling));
                Judgement::Deny(Denied { statement, attempt, policies, at, why: Why::Policy, refused })
            }
        }
    }

    /// An allowed action as one that uses a receipt: with what is asked about it once more.
    pub(super) fn as_held(&self, session: &Session, judged: Judged) -> Held {
        let Judged { statement, attempt, at, .. } = judged;
        let mut question = question(session, &attempt.kind, Context::clone(&attempt.context), at);
        tell_impact(&self.0.hall.snapshot.load().book.catalogue, session.resource(), &mut question.context);
        let standing = Arc::new(standing(question, &statement, &attempt, session.from(at)));
        Held { session: session.clone(), statement, attempt, standing, reason: String::new() }
    }

    fn over(&self, session: &Session, attempt: Attempt, at: At, ending: Ending) -> Judgement {
        let refused = self.ending_words(session, ending);
        let (statement, policies) = (session.bare(), Arc::new(Policies::default()));
        Judgement::Deny(Denied { statement, attempt, policies, at, why: Why::Over(ending), refused })
    }

    /// That as much is taken as the role lets be taken.
    fn used_up(&self, statement: Arc<Statement>, attempt: Attempt, at: At, reached: &[Reached]) -> Judgement {
        let role = &statement.role;
        let words = reached.first().map(ToString::to_string).unwrap_or_default();
        let refused = match reached.first().map(|one| one.whose) {
            Some(Whose::Session) => {
                Refused::new(RefusedCode::Spent, format!("the budget of this session is used up: {words}"))
                    .hint("a new session has a budget of its own, as far as that of the grant goes")
            }
            Some(Whose::Statement) => {
                let message = format!("this touches more relations than one statement may: {words}");
                Refused::new(RefusedCode::Spent, message).hint("ask for less at a time")
            }
            Some(Whose::Tool) => {
                let tool = attempt.tool().unwrap_or_default();
                let message = format!("the budget of `{tool}` in this session is used up: {words}");
                Refused::new(RefusedCode::Spent, message).hint("use another tool, or begin a new session")
            }
            Some(Whose::Grant) | None => {
                Refused::new(RefusedCode::Spent, format!("the budget of your grant is used up: {words}"))
                    .hint(format!("ask for another grant: {}", ask_command(role)))
                    .link(ask_link(&self.0.house.settings.console_url, role))
            }
        };
        Judgement::Deny(Denied {
            statement,
            attempt,
            policies: Arc::default(),
            at,
            why: Why::Policy,
            refused,
        })
    }

    /// That a session stands on nothing any more, in words.
    pub(crate) fn ending_words(&self, session: &Session, ending: Ending) -> Refused {
        let role = session.role();
        let message = match ending {
            Ending::GrantEnd => format!("your grant of role `{role}` is over"),
            Ending::Revoked => format!("your grant of role `{role}` was revoked"),
            Ending::Disabled => "your account is disabled".to_owned(),
            Ending::Policy => format!("policy no longer lets role `{role}` reach `{}`", session.resource()),
            Ending::Kill => "this session was ended by somebody".to_owned(),
            Ending::Gateway => "the gateway is stopping".to_owned(),
            Ending::User | Ending::Idle | Ending::Limit | Ending::Upstream | Ending::Error => {
                "this session is over".to_owned()
            }
        };
        let refused = Refused::new(RefusedCode::Ended, message);
        match ending {
            Ending::GrantEnd | Ending::Revoked => refused
                .hint(format!("ask again: {}", ask_command(role)))
                .link(ask_link(&self.0.house.settings.console_url, role)),
            _ => refused,
        }
    }

    fn denial_words(
        &self,
        snapshot: &Snapshot,
        statement: &Statement,
        (attempt, question): (&Attempt, &Question),
        denial: &Denial<'_>,
    ) -> Refused {
        let (kind, resource) = (&attempt.kind, &statement.resource);
        let refused = |message| Refused::new(RefusedCode::NotPermitted, message);
        match denial {
            Denial::Forbidden(_) => refused(format!(
                "`{}` on `{resource}` is {denial}",
                self.forbidden(snapshot, (attempt, question))
            ))
            .hint("no approval lifts this; ask those who apply policy if it must happen"),
            Denial::Undecidable(_) => refused(format!("`{kind}` on `{resource}` is denied: {denial}"))
                .hint("those who apply policy must repair it; until then this stays denied"),
            Denial::NoPermit => {
                let role = &statement.role;
                let message = format!("role `{role}` does not permit `{kind}` on `{resource}`");
                match self.permitting_role(snapshot, statement, (attempt, question)) {
                    Some(held) if holds(snapshot, &statement.principal, &held) => refused(message).hint(
                        format!("you hold one that does: countersign connect {resource} --role {held}"),
                    ),
                    Some(other) => refused(message)
                        .hint(format!("another role may: {}", ask_command(&other)))
                        .link(ask_link(&self.0.house.settings.console_url, &other)),
                    None => refused(message).hint("no role that you could ask for permits it"),
                }
            }
        }
    }

    /// The part of an action that a policy forbids, by its own name.
    fn forbidden<'a>(
        &self,
        snapshot: &Snapshot,
        (attempt, question): (&'a Attempt, &Question),
    ) -> &'a ActionName {
        let is_forbidden = |action: &&ActionName| {
            let ruling = snapshot
                .policy
                .as_ref()
                .map(|policy| policy.rule_all(&snapshot.book, question, std::slice::from_ref(*action)));
            ruling.is_some_and(|ruling| matches!(ruling.verdict(), Verdict::Deny(Denial::Forbidden(_))))
        };
        attempt.actions.iter().find(is_forbidden).unwrap_or(&attempt.kind)
    }

    /// A role that reaches the resource and permits this: one that is held, or else one that may be asked for.
    fn permitting_role(
        &self,
        snapshot: &Snapshot,
        statement: &Statement,
        (attempt, question): (&Attempt, &Question),
    ) -> Option<RoleId> {
        let policy = snapshot.policy.as_ref()?;
        let roles = snapshot.book.catalogue.roles.iter();
        let reaching = roles.filter(|(_, role)| role.resources.contains(&statement.resource));
        let candidates = reaching.map(|(name, _)| name).filter(|name| {
            let as_role = Question { roles: BTreeSet::from([(*name).clone()]), ..question.clone() };
            let ruling = policy.rule_all(&snapshot.book, &as_role, &attempt.actions);
            !matches!(ruling.verdict(), Verdict::Deny(_))
        });
        let candidates: Vec<&RoleId> = candidates.collect();
        let held = candidates.iter().find(|role| holds(snapshot, &statement.principal, role));
        let found = held
            .or_else(|| candidates.iter().find(|role| self.may_ask(snapshot, &statement.principal, role)));
        found.copied().cloned()
    }
}

/// Whether somebody holds a live grant of a role.
fn holds(snapshot: &Snapshot, principal: &PrincipalId, role: &RoleId) -> bool {
    let mut grants = snapshot.book.grants();
    grants.any(|grant| grant.principal == *principal && grant.role == *role && grant.is_live(snapshot.at))
}

fn records_alongside(snapshot: &Snapshot, statement: &Statement) -> bool {
    let resource = snapshot.book.catalogue.resources.get(&statement.resource);
    resource.is_some_and(|resource| resource.recording == Recording::Alongside)
}

pub(super) fn question(session: &Session, kind: &ActionName, said: Context, at: At) -> Question {
    Question {
        principal: session.principal().clone(),
        roles: BTreeSet::from([session.role().clone()]),
        action: kind.clone(),
        target: Target::Resource(session.resource().clone()),
        context: circumstances(session.from(at), (&session.purpose(), session.ticket().as_deref()), said, at),
    }
}

/// What is asked about an action once more when it is used.
fn standing(question: Question, statement: &Statement, attempt: &Attempt, from: Whence) -> Standing {
    Standing::Act {
        principal: question.principal,
        role: statement.role.clone(),
        resource: statement.resource.clone(),
        action: attempt.kind.clone(),
        actions: attempt.actions.to_vec(),
        context: question.context,
        from,
    }
}

/// What the door says, and what only the engine knows.
pub(crate) fn circumstances(
    from: Whence,
    (purpose, ticket): (&str, Option<&str>),
    mut context: Context,
    now: At,
) -> Context {
    context.remove("source");
    Auth::NAMES.iter().for_each(|name| drop(context.remove(name)));
    context.extend(from.plain(now));
    if context.contains_key("verbs") {
        context.insert("purpose", Value::Text(purpose.to_owned()));
        context.insert("over_budget", Value::Texts(BTreeSet::new()));
        match ticket {
            Some(ticket) => context.insert("ticket", Value::Text(ticket.to_owned())),
            None => context.remove("ticket"),
        };
    }
    context
}

/// How bad it would be: the highest of what a statement touches, and of everything where that is not certain.
pub(crate) fn tell_impact(catalogue: &Catalogue, resource: &ResourceId, context: &mut Context) {
    let Some(resource) = catalogue.resources.get(resource) else { return };
    if !context.contains_key("verbs") {
        return;
    }
    let touched = match (context.get("resolved"), context.get("touches")) {
        (Some(Value::Bool(true)), Some(Value::Texts(touched))) => Some(touched),
        _ => None,
    };
    let of = |name: &String| resource.impact_of(resource.relation_called(name));
    let impact = match touched {
        Some(touched) => touched.iter().map(of).max().unwrap_or(resource.impact),
        None => resource.highest_impact(),
    };
    context.insert("impact", Value::Text(impact.as_str().to_owned()));
}

fn shapes(policies: &[PolicyRef]) -> Arc<Policies> {
    let shape = |policy: &PolicyRef| PolicyShape { hash: policy.hash, id: policy.id.clone(), reason: None };
    Arc::new(Policies::new(policies.iter().map(shape).collect()))
}

/// The policies that speak against an action.
fn against(ruling: &Ruling) -> &[PolicyRef] {
    &ruling.forbids
}

/// Which rules hold an action and why: `prod-write` (writes to high-impact resources need the DBA).
fn held_words(gates: &[Gate]) -> String {
    let words = gates.iter().map(|gate| {
        let reasons: Vec<&str> = gate.policies.iter().filter_map(|policy| policy.reason.as_deref()).collect();
        match reasons.as_slice() {
            [] => format!("`{}`", gate.rule),
            reasons => format!("`{}` ({})", gate.rule, reasons.join("; ")),
        }
    });
    words.collect::<Vec<_>>().join(", ")
}
