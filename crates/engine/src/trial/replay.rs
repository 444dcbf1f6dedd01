//! What a change of the bundle would have made of what was done: past attempts, judged again under both bundles.
//!
//! Each statement is understood anew, with the target's catalogue as it is today and as in a fresh session, and both
//! bundles are asked in the same circumstances: what differs, differs by the change alone. What cannot be asked again,
//! because its text was erased or whoever did it is gone, is counted as that.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::action::Action;
use countersign_core::question::{Question, Target};
use countersign_core::{ActionName, At, PrincipalId, ResourceId, RoleId, Span};
use countersign_policy::context::{Access, Plain, Via};

use super::one::policy_of;
use super::{Files, Said, in_words, statement_question};
use crate::api::{ApplyError, PreviewVerdict};
use crate::engine::Engine;
use crate::line::Line;
use crate::people::Caller;
use crate::reading::Read;
use crate::snapshot::Snapshot;
use crate::views::Named;
use crate::words::Refused;

/// How many lines are read from the store at a time.
const READ_MAX: u64 = 1_000;

/// How many lines of the ledger are looked at.
const LINES_MAX: u64 = 200_000;

/// How many attempts are judged again.
const ATTEMPTS_MAX: usize = 20_000;

/// How many differences are shown one by one.
const EXAMPLES_MAX: usize = 100;

/// For how long it is judged, in milliseconds: whoever asks waits for it.
const JUDGING_MS_MAX: i64 = 20_000;

/// What a change would have made of the past.
#[derive(Clone, Debug)]
pub struct Replay {
    /// From this instant on. Not before what was asked for; later, if there was more than is judged.
    pub since: At,
    /// Everything that was asked for was looked at.
    pub whole: bool,
    /// How many of each.
    pub counts: ReplayCounts,
    /// Differences, the newest first; not more than can be looked through.
    pub examples: Vec<Example>,
}

/// How many attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayCounts {
    /// Judged again.
    pub judged: usize,
    /// Would be held, and are not under the bundle in force.
    pub newly_held: usize,
    /// Would be denied, and are not.
    pub newly_denied: usize,
    /// Would be allowed without asking anybody, and are not.
    pub newly_allowed: usize,
    /// Would be held by other rules than they are.
    pub held_otherwise: usize,
    /// Could not be judged again.
    pub unknown: usize,
}

/// An attempt of which something else would be said.
#[derive(Clone, Debug)]
pub struct Example {
    /// The line that tells of it.
    pub line: u64,
    /// When.
    pub at: At,
    /// Who.
    pub who: Named,
    /// In which role, or which role was asked for.
    pub role: RoleId,
    /// On what, for a statement.
    pub resource: Option<ResourceId>,
    /// What.
    pub action: ActionName,
    /// Its text, for a statement.
    pub text: Option<String>,
    /// What the bundle in force says.
    pub before: PreviewVerdict,
    /// What the other would.
    pub after: PreviewVerdict,
    /// Why, in a sentence.
    pub reason: String,
}

/// Something that was attempted.
struct Past {
    line: u64,
    at: At,
    principal: PrincipalId,
    role: RoleId,
    what: What,
}

enum What {
    Asked { lasting: Span, purpose: String, ticket: Option<String> },
    Ran { resource: ResourceId, text: Arc<str> },
}

/// What a line tells of, as far as attempts go.
enum InLine {
    /// One that can be made again.
    Attempt(Past),
    /// One that can't: its text was erased.
    Unreadable,
    /// None.
    Other,
}

/// Statements that were understood before, by where they ran and what they say.
type Understood = BTreeMap<(ResourceId, RoleId, Arc<str>), Option<Arc<Read>>>;

impl Engine {
    /// Judges what was attempted since `since` again, under the bundle in force and under these files. That the ledger
    /// was read for it is recorded.
    ///
    /// # Errors
    /// The files have mistakes, policy does not permit reading the ledger, or it can't be recorded.
    pub async fn replay(&self, caller: &Caller, files: Files, since: At) -> Result<Replay, ApplyError> {
        let snapshot = self.snapshot();
        self.may_read_all(caller)?;
        let next = self.draft(files).await?;
        let before =
            Snapshot { policy: Some(self.in_force_again(&snapshot).await?), ..Snapshot::clone(&snapshot) };
        let (after, _) = self.after(&before, &next, &caller.principal);
        let (engine, _turn) = (self.clone(), self.turn().await?);
        let found = crate::audit::blocking(move || engine.attempts(since)).await?;
        let words = format!("attempts since {}, judged again", since.rfc3339());
        self.record_read_of(caller, "ledger.read", &words, found.looked_at).await?;
        Ok(self.judge_again((&before, &after), found, since).await)
    }

    async fn judge_again(&self, sides: (&Snapshot, &Snapshot), found: Found, since: At) -> Replay {
        let mut replay = Replay {
            since: if found.whole { since } else { found.back_to },
            whole: found.whole,
            counts: ReplayCounts { unknown: found.unreadable, ..ReplayCounts::default() },
            examples: Vec::new(),
        };
        let (began, mut understood) = (self.now(), Understood::new());
        for past in found.attempts {
            if self.now().since(began).millis() > JUDGING_MS_MAX {
                (replay.whole, replay.since) = (false, past.at);
                break;
            }
            let judged = self.judged_twice(sides, &past, &mut understood).await;
            let Some((before, after, reason, action)) = judged else {
                replay.counts.unknown += 1;
                continue;
            };
            replay.counts.judged += 1;
            if !replay.counts.count(&before, &after) {
                continue;
            }
            if replay.examples.len() < EXAMPLES_MAX {
                replay.examples.push(past.told(sides.0, (before.0, after.0), reason, action));
            }
        }
        replay
    }

    /// What both bundles say; nothing if one of them can't be asked.
    async fn judged_twice(
        &self,
        (before, after): (&Snapshot, &Snapshot),
        past: &Past,
        understood: &mut Understood,
    ) -> Option<(Verdict, Verdict, String, ActionName)> {
        before.book.catalogue.principals.get(&past.principal)?;
        let read = match &past.what {
            What::Asked { .. } => None,
            What::Ran { resource, text } => {
                let key = (resource.clone(), past.role.clone(), Arc::clone(text));
                if !understood.contains_key(&key) {
                    let role = before.book.catalogue.roles.get(&past.role)?;
                    let place = (resource, role.account.as_str());
                    let read = self.read_statement(&before.book.catalogue, place, Arc::clone(text)).await;
                    understood.insert(key.clone(), read.ok().map(Arc::new));
                }
                Some(understood.get(&key)?.clone()?)
            }
        };
        let (old, _, action) = past.judge(before, read.as_deref())?;
        let (new, reason, _) = past.judge(after, read.as_deref())?;
        Some((old, new, reason, action))
    }

    /// What was attempted, the last first.
    fn attempts(&self, since: At) -> Result<Found, Refused> {
        let mut found = Found { whole: true, back_to: since, ..Found::default() };
        let mut before = self.snapshot().index;
        while before > 0 {
            let from = before.saturating_sub(READ_MAX);
            let count = usize::try_from(before - from).unwrap_or_default();
            let lines = self.0.house.store.read(from, count).map_err(|_| Refused::unavailable())?;
            for line in lines.into_iter().rev() {
                let Ok(line) = crate::line::read(line.bytes) else { continue };
                if line.at < since {
                    return Ok(found);
                }
                found.back_to = line.at;
                found.looked_at += 1;
                match self.attempt_in(&line) {
                    InLine::Attempt(past) => found.attempts.push(past),
                    InLine::Unreadable => found.unreadable += 1,
                    InLine::Other => {}
                }
                if found.attempts.len() >= ATTEMPTS_MAX || found.looked_at >= LINES_MAX {
                    found.whole = false;
                    return Ok(found);
                }
            }
            before = from;
        }
        Ok(found)
    }

    /// What a line tells of.
    fn attempt_in(&self, line: &Line) -> InLine {
        let what = match line.kind.as_str() {
            // A use of a receipt: what it stands on was held in a line of its own.
            "action.allowed" if line.request.is_some() => return InLine::Other,
            "action.allowed" | "action.blocked" => self.ran(line),
            "action.held" => self.held(line),
            "request.created" if line.data.get("lasting_us").is_some() => self.asked(line),
            _ => return InLine::Other,
        };
        let past = |(role, what)| {
            Some(Past { line: line.index, at: line.at, principal: line.actor.clone()?, role, what })
        };
        what.and_then(past).map_or(InLine::Unreadable, InLine::Attempt)
    }

    fn ran(&self, line: &Line) -> Option<(RoleId, What)> {
        let text = self.0.house.content_at(line, "/data/text")?;
        let text = String::from_utf8(text.bytes).ok()?.into();
        Some((line.role.clone()?, What::Ran { resource: line.resource.clone()?, text }))
    }

    /// What waited: its text and its role are in what was put forward.
    fn held(&self, line: &Line) -> Option<(RoleId, What)> {
        let content = self.0.house.content_of_request(line.request?)?;
        let action: Action = serde_json::from_str(&content.action).ok()?;
        let text = action.text?.into();
        Some((action.role?, What::Ran { resource: line.resource.clone()?, text }))
    }

    fn asked(&self, line: &Line) -> Option<(RoleId, What)> {
        let lasting = Span(line.data.get("lasting_us")?.as_i64()?);
        let content = self.0.house.content_of_request(line.request?)?;
        let what = What::Asked { lasting, purpose: content.purpose, ticket: content.ticket };
        Some((line.role.clone()?, what))
    }
}

/// Attempts, and how they were found.
#[derive(Default)]
struct Found {
    attempts: Vec<Past>,
    unreadable: usize,
    looked_at: u64,
    whole: bool,
    back_to: At,
}

/// A verdict, and the rules by which it is held.
type Verdict = (PreviewVerdict, Vec<String>);

impl Past {
    fn judge(&self, side: &Snapshot, read: Option<&Read>) -> Option<(Verdict, String, ActionName)> {
        let policy = policy_of(side).ok()?;
        let (ruling, action) = match (&self.what, read) {
            (What::Asked { lasting, purpose, ticket }, _) => {
                let plain = Plain { now: self.at, source: None, via: Via::Console };
                let context =
                    Access { plain, duration: *lasting, purpose: purpose.clone(), ticket: ticket.clone() };
                let action = ActionName::new("access.request");
                let question = Question {
                    principal: self.principal.clone(),
                    roles: std::collections::BTreeSet::new(),
                    action: action.clone(),
                    target: Target::Role(self.role.clone()),
                    context: context.into(),
                };
                (policy.rule(&side.book, &question), action)
            }
            (What::Ran { resource, .. }, Some(read)) => {
                let plain = Plain { now: self.at, source: None, via: Via::Postgres };
                let said = Said { plain, purpose: "", ticket: None, in_transaction: false };
                let about = (&self.principal, &self.role, resource);
                let question = statement_question(side, about, read, said);
                (policy.rule_all(&side.book, &question, &read.actions), read.kind.clone())
            }
            (What::Ran { .. }, None) => return None,
        };
        let rules = ruling.gates.iter().map(|gate| gate.rule.to_string()).collect();
        let (verdict, reason) = in_words(&ruling);
        Some(((verdict, rules), reason, action))
    }

    fn told(
        self,
        side: &Snapshot,
        (before, after): (PreviewVerdict, PreviewVerdict),
        reason: String,
        action: ActionName,
    ) -> Example {
        let (resource, text) = match self.what {
            What::Asked { .. } => (None, None),
            What::Ran { resource, text } => (Some(resource), Some(text.to_string())),
        };
        Example {
            line: self.line,
            at: self.at,
            who: Named::of(side, &self.principal),
            role: self.role,
            resource,
            action,
            text,
            before,
            after,
            reason,
        }
    }
}

impl ReplayCounts {
    /// Counts one attempt; whether anything differs.
    fn count(&mut self, before: &Verdict, after: &Verdict) -> bool {
        let place = match (before.0, after.0) {
            (PreviewVerdict::Hold, PreviewVerdict::Hold) if before.1 != after.1 => &mut self.held_otherwise,
            (old, new) if old == new => return false,
            (_, PreviewVerdict::Hold) => &mut self.newly_held,
            (_, PreviewVerdict::Deny) => &mut self.newly_denied,
            (_, PreviewVerdict::Allow) => &mut self.newly_allowed,
        };
        *place += 1;
        true
    }
}
