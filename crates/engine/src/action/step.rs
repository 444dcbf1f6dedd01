//! Running a script: each statement that a session sends is compared with the step that comes next.
//!
//! A step runs if the statement, in the circumstances in which it is sent, amounts to the canonical action that was
//! approved: digest for digest, under the salt of the request. What the script itself has changed by then is the only thing
//! that is taken as it is found: settings as its own steps left them, relations that they made. Nothing else can have
//! changed them, because whatever comes between two steps and is more than a read ends the script. Which step is the next
//! one, in which session, and whether policy still lets it be, is decided by the writer on its own book, and durable before
//! anything is forwarded.

use countersign_core::action::{Action, RelationVersion, digest};
use countersign_core::envelope::Claim;
use countersign_core::request::{Bounds, Command as RequestCommand, Request, RowBound, Voidance};
use countersign_core::{Command, Refusal, RequestId};

use super::attempt::Ground;
use super::cover::NotClaimed;
use super::hold::action_of;
use super::proof::{Held, Judged, Judgement, Recorded, Unrecorded};
use crate::engine::Engine;
use crate::request::StepContent;
use crate::scripts::{DEFINED_BY, LEFT_BY, MADE_BY};
use crate::session::Session;
use crate::words::{Refused, request_link};
use crate::writer::work::{Deed, From, Work};

/// The longest value of a setting that is told to whoever runs a script.
const VALUE_BYTES_MAX: usize = 100;

/// The step of an approved script that comes next, for a session that may run it.
#[derive(Debug)]
pub struct NextStep {
    id: RequestId,
    number: usize,
    of: usize,
    under_way: bool,
    bounds: Bounds,
    salt: [u8; 16],
    approved: Action,
}

/// A step that may be forwarded.
#[derive(Debug)]
pub struct Stepped {
    /// What may be forwarded.
    pub recorded: Recorded,
    /// Which request.
    pub request: RequestId,
    /// Which step, counted from one.
    pub number: usize,
    /// Of how many.
    pub of: usize,
}

/// Why a statement was not run as a step.
#[derive(Debug)]
pub enum NotStepped {
    /// It is not this step, or the script is over: it is what it was judged to be, and nothing else.
    Apart(Box<Judgement>, String),
    /// Its ground has moved: it is to be judged again.
    Stale,
    /// Its use could not be recorded.
    Unrecorded(Unrecorded),
}

impl NextStep {
    /// Which request.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.id
    }

    /// The statement as it was approved.
    #[must_use]
    pub fn text(&self) -> &str {
        self.approved.text.as_deref().unwrap_or_default()
    }

    /// Which step, counted from one.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number + 1
    }

    /// Of how many.
    #[must_use]
    pub fn of(&self) -> usize {
        self.of
    }

    /// Whether earlier steps were run, in this session.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// What a statement that is sent in these circumstances is, in the terms of what was approved; or how it differs. Its
    /// text was found to be the same.
    fn as_approved(&self, held: &Held, ground: &Ground) -> Result<Action, String> {
        let approved = &self.approved;
        let mut action = action_of(held);
        ground.put_into(&mut action);
        action.text.clone_from(&approved.text);
        // Why it is run was said with the script; that the grant is live is asked by the writer.
        action.purpose.clone_from(&approved.purpose);
        action.grant = approved.grant;
        if approved.settings.contains_key(LEFT_BY) {
            action.settings.clone_from(&approved.settings);
        } else if let Some(defined) = approved.settings.get(DEFINED_BY) {
            action.settings.insert(DEFINED_BY.to_owned(), defined.clone());
        }
        if approved.settings.contains_key(DEFINED_BY) {
            action.kind = approved.kind.clone();
            action.verbs.clone_from(&approved.verbs);
        }
        action.relations = made(std::mem::take(&mut action.relations), &approved.relations);
        match differs(&action, approved) {
            None => Ok(action),
            Some(how) => Err(how),
        }
    }
}

impl Engine {
    /// The steps that may come next in this session: that of the script which is under way in it, or the first ones of
    /// those that were approved and have not begun.
    #[must_use]
    pub fn next_steps(&self, session: &Session) -> Vec<NextStep> {
        let snapshot = self.0.hall.snapshot.load();
        if snapshot.book.scripts().next().is_none() {
            return Vec::new();
        }
        let mine = |script: &&Request| {
            script.by == *session.principal() && script.resource() == Some(session.resource())
        };
        let scripts = snapshot.book.scripts().rev().filter(mine);
        let mut steps: Vec<NextStep> = Vec::new();
        for script in scripts {
            let begun = script.under_way();
            if begun.is_some_and(|begun| begun != session.id()) {
                continue;
            }
            let Some(step) = self.step_of(script, begun.is_some()) else { continue };
            if step.under_way {
                return vec![step];
            }
            steps.push(step);
        }
        steps
    }

    /// The texts of a step and of those behind it, so many at most.
    #[must_use]
    pub fn step_texts(&self, step: &NextStep, most: usize) -> Vec<String> {
        let Some(content) = self.0.house.content_of_request(step.id) else { return Vec::new() };
        let steps = content.steps.iter().skip(step.number).take(most);
        let text = |step: &StepContent| serde_json::from_str::<Action>(&step.action).ok()?.text;
        steps.map_while(text).collect()
    }

    fn step_of(&self, script: &Request, under_way: bool) -> Option<NextStep> {
        let (number, steps) = script.next_step().zip(script.steps())?;
        let content = self.0.house.content_of_request(script.id)?;
        let approved = serde_json::from_str(&content.steps.get(number)?.action).ok()?;
        let (salt, bounds) = (content.salt()?, steps.get(number)?.bounds);
        Some(NextStep { id: script.id, number, of: steps.len(), under_way, bounds, salt, approved })
    }

    /// Runs a statement as a step of a script. It is durable when this returns; what comes out is forwarded once or never.
    ///
    /// # Errors
    /// It is no step, and nothing may run as one.
    pub async fn use_step(
        &self,
        session: &Session,
        step: NextStep,
        judgement: Judgement,
        now: Ground,
    ) -> Result<Stepped, NotStepped> {
        let (held, allowed) = match judgement {
            Judgement::Deny(_) => return Err(NotStepped::Apart(Box::new(judgement), String::new())),
            Judgement::Paused => return Err(NotStepped::Stale),
            Judgement::Hold(held) => (held, None),
            Judgement::Allow(judged) => {
                let as_it_was = (judged.allowed.clone(), judged.at);
                (self.as_held(session, judged), Some(as_it_was))
            }
        };
        let apart = |held: Held, why: String| {
            let judgement = match allowed.clone() {
                None => Judgement::Hold(held),
                Some((allowed, at)) => {
                    let Held { statement, attempt, .. } = held;
                    Judgement::Allow(Judged { statement, attempt, allowed, at })
                }
            };
            NotStepped::Apart(Box::new(judgement), why)
        };
        let action = match step.as_approved(&held, &now) {
            Ok(action) => action,
            Err(how) => return Err(apart(held, how)),
        };
        let claim = Claim { digest: digest(&step.salt, &action.canonical()), reach: None, rows: None };
        match self.claim_receipt((step.id, step.bounds, step.salt), held, claim).await {
            Ok(recorded) => Ok(Stepped { recorded, request: step.id, number: step.number + 1, of: step.of }),
            Err(NotClaimed::Refused(Refusal::SessionPaused(_), _)) => Err(NotStepped::Stale),
            Err(NotClaimed::Refused(refusal, held)) => Err(apart(*held, ended(refusal))),
            Err(NotClaimed::Void(_)) => Err(NotStepped::Stale),
            Err(NotClaimed::Unrecorded(Unrecorded::Stale)) => Err(NotStepped::Stale),
            Err(NotClaimed::Unrecorded(error)) => Err(NotStepped::Unrecorded(error)),
        }
    }

    /// Ends a script that is under way, because something else has come between its steps.
    ///
    /// # Errors
    /// It could not be recorded, and what has come must not be forwarded.
    pub async fn stop_script(&self, request: RequestId) -> Result<(), Unrecorded> {
        use crate::writer::work::NotDone;
        let void = RequestCommand::Void { request, why: Voidance::Stopped };
        let deed = Deed::new(Command::Request(void), From::HOUSE);
        match self.0.queue.done(Work::Deed(Box::new(deed))).await {
            // It may have ended by itself meanwhile.
            Ok(_) | Err(NotDone::Refused(_)) => Ok(()),
            Err(not) => Err(not.into()),
        }
    }

    /// The console's page of a request.
    #[must_use]
    pub fn request_link(&self, request: RequestId) -> String {
        request_link(&self.0.house.settings.console_url, request)
    }
}

impl Stepped {
    /// How many rows it may touch, if that is bounded.
    #[must_use]
    pub fn rows_max(&self) -> Option<u64> {
        match self.recorded.ran.bounds?.rows {
            RowBound::AtMost(rows) | RowBound::Later(rows) => Some(rows),
            RowBound::Unbounded => None,
        }
    }
}

/// Why nothing of a script is run any more, in words.
fn ended(refusal: Refusal) -> String {
    match refusal {
        Refusal::NoReceipt(..) => "a statement of it has failed, or it has ended otherwise".to_owned(),
        Refusal::ReceiptSpent(_) => "its time is over, or it runs elsewhere".to_owned(),
        Refusal::OtherSession(_) => "it was begun in another session".to_owned(),
        other => Refused::from(other).message,
    }
}

/// The relations as they are found, where an earlier step of the script was to make one as it was put forward.
fn made(found: Vec<RelationVersion>, approved: &[RelationVersion]) -> Vec<RelationVersion> {
    let makes: Vec<&RelationVersion> =
        approved.iter().filter(|one| one.oid == 0 && one.version.starts_with(MADE_BY)).collect();
    if makes.is_empty() {
        return found;
    }
    // A name that was written with its schema stands for that one alone.
    let is = |made: &str, one: &str| made == one || (!made.contains('.') && made == last(one));
    let of_script = |one: &RelationVersion| makes.iter().find(|made| is(&made.name, &one.name));
    let others: Vec<RelationVersion> = found.into_iter().filter(|one| of_script(one).is_none()).collect();
    // In the order in which they were put forward: whether they are all there is then compared.
    let mut others = others.into_iter();
    let mut all: Vec<RelationVersion> = approved
        .iter()
        .filter_map(|one| if makes.contains(&one) { Some(one.clone()) } else { others.next() })
        .collect();
    all.extend(others);
    all
}

/// The last part of a name: `public.orders` is `orders`, and `function note` is itself.
fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// How an action differs from what was approved, in words; nothing if it does not.
fn differs(action: &Action, approved: &Action) -> Option<String> {
    if action == approved {
        return None;
    }
    let mut names = action.settings.keys().chain(approved.settings.keys());
    if let Some(name) = names.find(|name| action.settings.get(*name) != approved.settings.get(*name)) {
        return Some(other_setting(name, action.settings.get(name), approved.settings.get(name)));
    }
    let moved = |one: &&RelationVersion| !approved.relations.contains(one);
    if let Some(one) = action.relations.iter().find(moved) {
        return Some(format!("`{}` is not what it was when this was approved", one.name));
    }
    Some("it does not mean what was approved".to_owned())
}

fn other_setting(name: &str, found: Option<&String>, approved: Option<&String>) -> String {
    let mut text = format!("the setting `{name}` is not as it was approved");
    if let (Some(found), Some(approved)) = (found, approved)
        && found.len().max(approved.len()) <= VALUE_BYTES_MAX
    {
        text.push_str(&format!(": it is `{found}`, and was `{approved}`"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(name: &str, oid: u32, version: &str) -> RelationVersion {
        RelationVersion { name: name.into(), oid, version: version.into() }
    }

    #[test]
    fn only_what_the_script_makes_is_taken_as_it_is_found() {
        let approved = [relation("public.orders", 7, "a"), relation("archive", 0, "step 1")];
        let found = vec![relation("public.archive", 90, "z"), relation("public.orders", 7, "a")];
        assert_eq!(made(found, &approved), approved);
        let moved = vec![relation("public.archive", 90, "z"), relation("public.orders", 7, "b")];
        assert_ne!(made(moved, &approved), approved);
        let more = vec![
            relation("public.archive", 90, "z"),
            relation("public.orders", 7, "a"),
            relation("function note", 0, "q"),
        ];
        assert_ne!(made(more, &approved), approved);
        let qualified = [relation("public.archive", 0, "step 1")];
        assert_ne!(made(vec![relation("evil.archive", 8, "b")], &qualified), qualified);
        let fixed = [relation("public.archive", 7, "a")];
        assert_eq!(made(vec![relation("evil.archive", 8, "b")], &fixed), [relation("evil.archive", 8, "b")]);
    }
}
