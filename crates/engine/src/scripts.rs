//! Scripts: several statements that are put forward as one request, before any of them is sent.
//!
//! What a text consists of and what each of its statements would do is a door's to say, under the settings that a session
//! in the role begins with; so a door that can do so offers a [`ScriptReader`] for the resources of its kind. Nothing of the
//! text is run to find out. What is approved is each statement by its own digest, in order; running it is
//! [`crate::action`]'s business, in whatever session of the requester begins with its first statement.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::action::{Action, digest};
use countersign_core::question::Context;
use countersign_core::request::Ask;
use countersign_core::ruling::{Ruling, Verdict};
use countersign_core::script::{ACTION, STEPS_MAX, Step};
use countersign_core::{ActionName, GrantId, Refusal, RequestId, ResourceId, RoleId};

use crate::action::hold::{bounds, look_content};
use crate::action::judge::{circumstances, tell_impact};
use crate::action::{Attempt, Look};
use crate::api::{Asking, check_length};
use crate::engine::Engine;
use crate::people::Caller;
use crate::request::StepContent;
use crate::settings::{SHOWN_BYTES_MAX, TICKET_BYTES_MAX, WORDS_BYTES_MAX};
use crate::snapshot::Snapshot;
use crate::words::{Refused, RefusedCode};
use crate::writer::work::Standing;

/// The most that is kept of one script beside its text, in bytes: its statements' actions, and what was looked up of them.
const CONTENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The question for a script.
#[derive(Clone, Debug)]
pub struct AskScript {
    /// On what.
    pub resource: ResourceId,
    /// In which role; of those whose live grants reach the resource, the newest, if nothing is said.
    pub role: Option<RoleId>,
    /// The whole text.
    pub text: String,
    /// Settings that the client which is to run it begins its session with, beside those that the server has.
    pub settings: BTreeMap<String, String>,
    /// Why.
    pub purpose: String,
    /// The ticket it belongs to.
    pub ticket: Option<String>,
}

/// A text that a door is to read.
#[derive(Clone, Debug)]
pub struct ScriptText {
    /// On what it would run.
    pub resource: ResourceId,
    /// Under which upstream account.
    pub account: String,
    /// Settings that the session begins with, beside those that the server has.
    pub settings: BTreeMap<String, String>,
    /// The whole text.
    pub text: String,
}

/// A statement of a script, as a door understands it.
#[derive(Debug)]
pub struct ScriptStep {
    /// The statement. What earlier ones will have changed by then, settings and definitions, it names as such
    /// ([`LEFT_BY`], [`MADE_BY`]) and not as it is now.
    pub attempt: Attempt,
    /// What was looked up about it.
    pub look: Look,
}

/// What a step has in place of settings that an earlier one changes: their name is this, their value says which.
pub const LEFT_BY: &str = "(as left by)";
/// What a step has in place of definitions that an earlier one may change: then its kind is whatever they make of it.
pub const DEFINED_BY: &str = "(as defined by)";
/// What begins the version of a relation that an earlier step makes or changes.
pub const MADE_BY: &str = "step ";

/// The statements of a text, or why it can't be put forward.
pub type Reading = Pin<Box<dyn Future<Output = Result<Vec<ScriptStep>, Refused>> + Send>>;

/// What can read scripts for resources of one kind.
pub trait ScriptReader: Send + Sync {
    /// Takes a text apart, and says of each of its statements what it would do.
    fn read(&self, script: ScriptText) -> Reading;
}

/// Who reads scripts, by the kind of resource.
#[derive(Default)]
pub(crate) struct Readers(Mutex<BTreeMap<&'static str, Arc<dyn ScriptReader>>>);

impl Readers {
    fn of(&self, kind: &str) -> Option<Arc<dyn ScriptReader>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(kind).map(Arc::clone)
    }
}

/// Under what a script is put forward.
struct Ground {
    role: RoleId,
    grant: GrantId,
    account: String,
}

impl Engine {
    /// From now on scripts for resources of this kind are read by `reader`.
    pub fn read_scripts_with(&self, kind: &'static str, reader: Arc<dyn ScriptReader>) {
        let mut readers = self.0.readers.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.insert(kind, reader);
    }

    /// Puts a script forward. The request is in the ledger when this returns.
    ///
    /// # Errors
    /// There is no live grant for it, it can't be read, policy denies a statement of it, or none of it needs an approval.
    pub async fn ask_script(&self, caller: &Caller, ask: AskScript) -> Result<RequestId, Refused> {
        check_words(&ask)?;
        let snapshot = self.snapshot();
        let ground = self.script_ground(&snapshot, caller, &ask)?;
        let kind = snapshot.book.catalogue.resources.get(&ask.resource).map(|found| found.kind.clone());
        let kind = kind.unwrap_or_default();
        let reader = self.0.readers.of(&kind).ok_or_else(|| {
            Refused::new(RefusedCode::Invalid, format!("no script can be put forward for `{}`", ask.resource))
                .hint("scripts are for databases; what else needs an approval waits where it is sent")
        })?;
        let (resource, account) = (ask.resource.clone(), ground.account.clone());
        let (settings, text) = (ask.settings.clone(), ask.text.clone());
        let steps = reader.read(ScriptText { resource, account, settings, text }).await?;
        if steps.len() > STEPS_MAX {
            return Err(too_many(steps.len()));
        }
        // Reading takes a while, and what has changed meanwhile counts.
        let snapshot = self.snapshot();
        let standings: Vec<Standing> =
            steps.iter().map(|step| self.step_standing(&snapshot, caller, (&ask, &ground), step)).collect();
        self.check_steps(&snapshot, caller, &standings)?;
        self.file_script(caller, &ask, &ground, (steps, standings)).await
    }

    fn script_ground(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        ask: &AskScript,
    ) -> Result<Ground, Refused> {
        let (role, grant) = self.choose(snapshot, &caller.principal, &ask.resource, ask.role.clone())?;
        let account = snapshot.book.catalogue.roles.get(&role).map(|found| found.account.clone());
        Ok(Ground { role, grant, account: account.unwrap_or_default() })
    }

    /// What policy is asked about a step.
    fn step_standing(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        (ask, ground): (&AskScript, &Ground),
        step: &ScriptStep,
    ) -> Standing {
        let said = Context::clone(&step.attempt.context);
        let words = (ask.purpose.as_str(), ask.ticket.as_deref());
        let mut context = circumstances(caller.from(), words, said, self.now());
        tell_impact(&snapshot.book.catalogue, &ask.resource, &mut context);
        Standing::Act {
            principal: caller.principal.clone(),
            role: ground.role.clone(),
            resource: ask.resource.clone(),
            action: step.attempt.kind.clone(),
            actions: step.attempt.actions.to_vec(),
            context,
            from: caller.from(),
        }
    }

    /// Whether policy lets every step wait for an approval, and holds at least one of them.
    fn check_steps(&self, snapshot: &Snapshot, caller: &Caller, steps: &[Standing]) -> Result<(), Refused> {
        let desk = self.desk(snapshot);
        let mut held = false;
        for (number, step) in (1..).zip(steps) {
            let ruling: Option<Ruling> = desk.rule_standing(&caller.principal, step, None);
            let Some(ruling) = ruling else { return Err(Refusal::NoBundle.into()) };
            match ruling.verdict() {
                Verdict::Allow => {}
                Verdict::Hold(_) => held = true,
                Verdict::Deny(denial) => {
                    let message = format!("statement {number} of the script is denied: {denial}");
                    return Err(Refused::new(RefusedCode::NotPermitted, message)
                        .hint("no approval lifts this; leave it out or change it"));
                }
            }
        }
        if held {
            return Ok(());
        }
        Err(Refused::new(RefusedCode::Invalid, "nothing in this script needs an approval")
            .hint("just run it"))
    }

    async fn file_script(
        &self,
        caller: &Caller,
        ask: &AskScript,
        ground: &Ground,
        (steps, standings): (Vec<ScriptStep>, Vec<Standing>),
    ) -> Result<RequestId, Refused> {
        let salt: [u8; 16] = self.0.house.ports.random();
        // What a session begins with, which is what the first step is bound to.
        let settings = steps.first().map(|step| Arc::clone(&step.attempt.settings)).unwrap_or_default();
        let (mut put_forward, mut contents, mut bytes) = (Vec::new(), Vec::new(), ask.text.len());
        for step in steps {
            let canonical = self.step_action(caller, (ask, ground), &step.attempt)?.canonical();
            let (digest, bounds) = (digest(&salt, &canonical), bounds(&step.look));
            let look = look_content(step.look);
            bytes += canonical.len() + serde_json::to_vec(&look).map_or(0, |look| look.len());
            contents.push(StepContent { action: String::from_utf8_lossy(&canonical).into_owned(), look });
            put_forward.push(Step { digest, bounds });
        }
        if bytes > CONTENT_BYTES_MAX {
            let message = "there is more to show of this script than can be shown to an approver";
            return Err(Refused::new(RefusedCode::TooLarge, message).hint("put it forward in parts"));
        }
        let mut whole = self.script_action(caller, (ask, ground), ActionName::new(ACTION))?;
        whole.steps = put_forward.iter().map(|step| step.digest).collect();
        whole.settings.clone_from(&settings);
        whole.text = Some(ask.text.clone());
        let mut asking = Asking::new(&whole, Arc::new(Standing::Script(distinct(standings))), caller.from());
        (asking.purpose, asking.ticket) = (&ask.purpose, ask.ticket.as_deref());
        (asking.steps, asking.salt) = (contents, Some(salt));
        let (grant, resource) = (ground.grant, ask.resource.clone());
        let filed = self.file(asking, |_| Ask::Script { grant, resource, steps: put_forward }).await?;
        Ok(filed.id)
    }

    fn script_action(
        &self,
        caller: &Caller,
        (ask, ground): (&AskScript, &Ground),
        kind: ActionName,
    ) -> Result<Action, Refused> {
        let mut action = self.action(caller, kind.as_str())?;
        action.account = Some(ground.account.clone());
        action.grant = Some(ground.grant);
        action.purpose = Some(ask.purpose.clone());
        action.resource = Some(ask.resource.clone());
        action.role = Some(ground.role.clone());
        Ok(action)
    }

    /// The canonical action of a step: what the session's attempt must amount to when it comes.
    fn step_action(
        &self,
        caller: &Caller,
        (ask, ground): (&AskScript, &Ground),
        attempt: &Attempt,
    ) -> Result<Action, Refused> {
        let mut action = self.script_action(caller, (ask, ground), attempt.kind.clone())?;
        action.relations.clone_from(&attempt.relations);
        action.settings.clone_from(attempt.settings.as_ref());
        action.text = Some(attempt.text.to_string());
        action.verbs = attempt.verbs.to_vec();
        Ok(action)
    }
}

fn check_words(ask: &AskScript) -> Result<(), Refused> {
    if ask.purpose.trim().is_empty() {
        return Err(Refused::new(RefusedCode::Invalid, "a script needs a purpose")
            .hint("say why in a few words; the approver decides by it"));
    }
    check_length("purpose", &ask.purpose, WORDS_BYTES_MAX)?;
    check_length("ticket", ask.ticket.as_deref().unwrap_or_default(), TICKET_BYTES_MAX)?;
    if ask.text.len() > SHOWN_BYTES_MAX {
        let message =
            format!("the script has {} bytes, more than can be shown to an approver in full", ask.text.len());
        let hint = format!("put it forward in parts of at most {SHOWN_BYTES_MAX} bytes");
        return Err(Refused::new(RefusedCode::TooLarge, message).hint(hint));
    }
    Ok(())
}

fn too_many(count: usize) -> Refused {
    let message = format!("the script has {count} statements; {STEPS_MAX} can be approved as one");
    Refused::new(RefusedCode::TooLarge, message).hint("put it forward in parts")
}

/// Each question once: a script of many statements asks few.
fn distinct(standings: Vec<Standing>) -> Vec<Standing> {
    let mut distinct: Vec<Standing> = Vec::new();
    for standing in standings {
        if !distinct.contains(&standing) {
            distinct.push(standing);
        }
    }
    distinct
}
