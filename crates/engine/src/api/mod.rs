//! What people do: ask, answer, end, shut out, apply. Console, command line and API all come here.
//!
//! A method looks up what the command needs, has it decided by the writer, and says no in words. Who may do what is
//! policy's to say, over the writer's own book; nothing is decided here.

mod answers;
mod asking;
mod at_door;
mod bundles;

use std::sync::Arc;

use countersign_core::action::Action;
use countersign_core::grant::Command as GrantCommand;
use countersign_core::principal::Command as PrincipalCommand;
use countersign_core::question::Target;
use countersign_core::quorum::names;
use countersign_core::request::Ask;
use countersign_core::ruling::{Gate, Verdict};
use countersign_core::session::Command as SessionCommand;
use countersign_core::{
    ActionName, Command, Digest, GrantId, PrincipalId, Refusal, RequestId, RoleId, RuleName, SessionId, Span,
};
use countersign_policy::context::{Access, Plain};

pub use answers::Yes;
pub(crate) use asking::{Asking, Filed};
pub use at_door::{AtDoor, RoleAtDoor};
pub use bundles::{Applied, ApplyError};

use crate::engine::Engine;
use crate::people::Caller;
use crate::seal::Field;
use crate::settings::{TICKET_BYTES_MAX, WORDS_BYTES_MAX};
use crate::snapshot::Snapshot;
use crate::trial::imagined;
use crate::words::{Refused, RefusedCode};
use crate::writer::Desk;
use crate::writer::work::{Deed, From, Standing};

/// The question for a role.
#[derive(Clone, Debug)]
pub struct AskAccess {
    /// Which role.
    pub role: RoleId,
    /// For how long, counted from the grant.
    pub lasting: Span,
    /// Why.
    pub purpose: String,
    /// The ticket it belongs to.
    pub ticket: Option<String>,
}

/// What would follow from asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Whether somebody would be asked.
    pub verdict: PreviewVerdict,
    /// By which rules.
    pub rules: Vec<RuleName>,
    /// Whom: `group:dba (bob)`.
    pub asked: Vec<String>,
    /// Why, in words; empty if nobody needs to be asked.
    pub reason: String,
}

/// Whether somebody would be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreviewVerdict {
    /// Nobody needs to be.
    Allow,
    /// Nothing lifts it.
    Deny,
    /// It would wait.
    Hold,
}

impl Engine {
    /// Asks for a role. The request is in the ledger when this returns; without a gate so is the grant.
    ///
    /// # Errors
    /// Policy denies it, or the question is wrong.
    pub async fn ask(&self, caller: &Caller, ask: AskAccess) -> Result<RequestId, Refused> {
        self.ask_from(&caller.principal, caller.from(), ask).await
    }

    /// As [`Engine::ask`], for whoever has proved who they are by whatever means.
    async fn ask_from(&self, by: &PrincipalId, from: From, ask: AskAccess) -> Result<RequestId, Refused> {
        if ask.purpose.trim().is_empty() {
            return Err(Refused::new(RefusedCode::Invalid, "a request needs a purpose")
                .hint("say why in a few words; the approver decides by it"));
        }
        check_length("purpose", &ask.purpose, WORDS_BYTES_MAX)?;
        check_length("ticket", ask.ticket.as_deref().unwrap_or_default(), TICKET_BYTES_MAX)?;
        let mut action = self.action_by(by, "access.request")?;
        action.role = Some(ask.role.clone());
        action.purpose = Some(ask.purpose.clone());
        action.settings.insert("duration".into(), ask.lasting.to_string());
        self.bind_to_job(by, &mut action);
        let context = Access {
            plain: self.plain(from),
            duration: ask.lasting,
            purpose: ask.purpose.clone(),
            ticket: ask.ticket.clone(),
        };
        let standing = Standing::Access { role: ask.role.clone(), context: context.into(), from };
        let mut asking = Asking::new(&action, Arc::new(standing), from);
        (asking.purpose, asking.ticket) = (&ask.purpose, ask.ticket.as_deref());
        let filed =
            self.file(asking, |_| Ask::Access { role: ask.role.clone(), lasting: ask.lasting }).await?;
        Ok(filed.id)
    }

    /// What would follow if the caller asked for `role`.
    #[must_use]
    pub fn preview(&self, caller: &Caller, role: &RoleId, lasting: Span) -> Preview {
        let snapshot = self.snapshot();
        let desk = self.desk(&snapshot);
        let context = Access {
            plain: self.plain(caller.from()),
            duration: lasting,
            purpose: "...".into(),
            ticket: None,
        };
        let standing = Standing::Access { role: role.clone(), context: context.into(), from: caller.from() };
        let denied = |reason: String| Preview {
            verdict: PreviewVerdict::Deny,
            rules: Vec::new(),
            asked: Vec::new(),
            reason,
        };
        let Some(ruling) = desk.rule_standing(&caller.principal, &standing, None) else {
            return denied("no bundle is in force".into());
        };
        match ruling.verdict() {
            Verdict::Deny(denial) => denied(denial.to_string()),
            Verdict::Allow => Preview {
                verdict: PreviewVerdict::Allow,
                rules: Vec::new(),
                asked: Vec::new(),
                reason: String::new(),
            },
            Verdict::Hold(gates) => Preview {
                verdict: PreviewVerdict::Hold,
                rules: gates.iter().map(|gate| gate.rule.clone()).collect(),
                asked: self.would_be_asked(&snapshot, caller, (role, lasting), gates),
                reason: reasons(gates),
            },
        }
    }

    fn would_be_asked(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        (role, lasting): (&RoleId, Span),
        gates: &[Gate],
    ) -> Vec<String> {
        let now = self.now();
        let ask = Ask::Access { role: role.clone(), lasting };
        let request = imagined(snapshot, &caller.principal, ask, gates, now);
        let stages = snapshot.book.stages(&request, now);
        let words = stages.iter().map(|stage| {
            let people: Vec<&str> = stage.who.keys().map(|who| who.as_str()).collect();
            let people = if people.is_empty() { "nobody".to_owned() } else { people.join(", ") };
            format!("{} ({people})", names(&stage.from))
        });
        words.collect()
    }

    /// Ends a grant, and with it what stands on it.
    ///
    /// # Errors
    /// The house said no.
    pub async fn revoke(
        &self,
        caller: &Caller,
        grant: GrantId,
        reason: Option<String>,
    ) -> Result<(), Refused> {
        let (fields, reason) = self.said("/data/reason", "reason", reason)?;
        let command = GrantCommand::Revoke { grant, by: caller.principal.clone(), reason };
        let mut deed = Deed::new(Command::Grant(command), caller.from());
        deed.key = format!("principal:{}", caller.principal).into();
        deed.fields = fields;
        self.deed(deed).await.map(|_| ())
    }

    /// Gives back one's own grant.
    ///
    /// # Errors
    /// It is over, or somebody else's.
    pub async fn relinquish(&self, caller: &Caller, grant: GrantId) -> Result<(), Refused> {
        let command = GrantCommand::Relinquish { grant, by: caller.principal.clone() };
        self.deed(Deed::new(Command::Grant(command), caller.from())).await.map(|_| ())
    }

    /// Orders the end of a session. The cut follows within a second.
    ///
    /// # Errors
    /// The house said no.
    pub async fn end_session(&self, caller: &Caller, session: SessionId) -> Result<(), Refused> {
        let command = SessionCommand::End { session, by: caller.principal.clone() };
        self.deed(Deed::new(Command::Session(command), caller.from())).await.map(|_| ())
    }

    /// Pauses a session: from the line of it on nothing new is begun in it, until somebody resumes it. What runs already
    /// goes on to its end.
    ///
    /// # Errors
    /// The house said no, or there is no reason.
    pub async fn pause_session(
        &self,
        caller: &Caller,
        session: SessionId,
        reason: String,
    ) -> Result<(), Refused> {
        if reason.trim().is_empty() {
            return Err(Refused::new(RefusedCode::Invalid, "pausing a session needs a reason")
                .hint("say why in a few words; whoever waits in it reads them"));
        }
        let by = caller.principal.clone();
        let pause = |reason| SessionCommand::Pause { session, by, reason };
        self.say_of_session(caller, Some(reason), pause).await
    }

    /// Lets a paused session go on.
    ///
    /// # Errors
    /// The house said no.
    pub async fn resume_session(
        &self,
        caller: &Caller,
        session: SessionId,
        reason: Option<String>,
    ) -> Result<(), Refused> {
        let by = caller.principal.clone();
        let resume = |reason| SessionCommand::Resume { session, by, reason };
        self.say_of_session(caller, reason, resume).await
    }

    async fn say_of_session(
        &self,
        caller: &Caller,
        reason: Option<String>,
        command: impl FnOnce(Option<Digest>) -> SessionCommand,
    ) -> Result<(), Refused> {
        let (fields, reason) = self.said("/data/reason", "reason", reason)?;
        let mut deed = Deed::new(Command::Session(command(reason)), caller.from());
        deed.key = format!("principal:{}", caller.principal).into();
        deed.fields = fields;
        self.deed(deed).await.map(|_| ())
    }

    /// Shuts somebody out, with all that they answer for.
    ///
    /// # Errors
    /// The house said no.
    pub async fn disable(
        &self,
        caller: &Caller,
        principal: &PrincipalId,
        reason: Option<String>,
    ) -> Result<(), Refused> {
        let (fields, reason) = self.said("/data/reason", "reason", reason)?;
        let (principal, by) = (principal.clone(), caller.principal.clone());
        let command = PrincipalCommand::Disable { principal, by, reason };
        let mut deed = Deed::new(Command::Principal(command), caller.from());
        deed.key = format!("principal:{}", caller.principal).into();
        deed.fields = fields;
        self.deed(deed).await?;
        if let Err(refused) = self.end_of_shut_out().await {
            // It is tried again in a second; until then what they have opens nothing.
            tracing::warn!(why = refused.message, "the end of sign-ins could not be recorded");
        }
        Ok(())
    }

    /// Lets somebody in again.
    ///
    /// # Errors
    /// The house said no.
    pub async fn enable(&self, caller: &Caller, principal: &PrincipalId) -> Result<(), Refused> {
        let (principal, by) = (principal.clone(), caller.principal.clone());
        let command = PrincipalCommand::Enable { principal, by };
        self.deed(Deed::new(Command::Principal(command), caller.from())).await.map(|_| ())
    }

    /// Whether policy permits the caller an action on the gateway itself, for what a client offers. It is judged
    /// again when it is done.
    #[must_use]
    pub fn permitted(&self, caller: &Caller, action: &ActionName) -> bool {
        self.may(caller, &self.snapshot(), action.as_str(), Target::Gateway)
    }

    /// As [`Engine::permitted`], or once somebody has approved it.
    #[must_use]
    pub fn permitted_in_the_end(&self, caller: &Caller, action: &ActionName) -> bool {
        let snapshot = self.snapshot();
        let desk = self.desk(&snapshot);
        let ruling = desk.asks(&caller.principal, action.as_str(), Target::Gateway, caller.from());
        snapshot.book.is_enabled(&caller.principal)
            && ruling.is_some_and(|ruling| !matches!(ruling.verdict(), Verdict::Deny(_)))
    }

    /// Whether policy permits the caller an action on a principal.
    #[must_use]
    pub fn permitted_on(&self, caller: &Caller, action: &str, principal: &PrincipalId) -> bool {
        self.may(caller, &self.snapshot(), action, Target::Principal(principal.clone()))
    }

    pub(crate) fn may(&self, caller: &Caller, snapshot: &Snapshot, action: &str, target: Target) -> bool {
        let ruling = self.desk(snapshot).asks(&caller.principal, action, target, caller.from());
        snapshot.book.is_enabled(&caller.principal)
            && ruling.is_some_and(|ruling| ruling.verdict() == Verdict::Allow)
    }

    pub(crate) fn desk<'a>(&self, snapshot: &'a Snapshot) -> Desk<'a> {
        let now = self.now().max(snapshot.at);
        Desk { book: &snapshot.book, policy: snapshot.policy.as_deref(), now }
    }

    fn plain(&self, from: From) -> Plain {
        Plain { now: self.now(), source: from.source, via: from.via }
    }

    /// A canonical action of the caller's, with its optional parts absent.
    pub(crate) fn action(&self, caller: &Caller, kind: &str) -> Result<Action, Refused> {
        self.action_by(&caller.principal, kind)
    }

    fn action_by(&self, by: &PrincipalId, kind: &str) -> Result<Action, Refused> {
        let snapshot = self.snapshot();
        let person = snapshot.book.person(by).cloned();
        let person = person.ok_or_else(|| Refusal::NoSuchPrincipal(by.clone()))?;
        let chain = snapshot.book.catalogue.chain(by);
        Ok(Action::new(ActionName::new(kind), chain, by.clone(), person))
    }

    /// Words that go beside a line, and the commitment that goes into it.
    fn said(
        &self,
        at: &'static str,
        kind: &'static str,
        words: Option<String>,
    ) -> Result<(Vec<Field>, Option<Digest>), Refused> {
        let Some(words) = words.filter(|words| !words.trim().is_empty()) else {
            return Ok((Vec::new(), None));
        };
        check_length(kind, &words, WORDS_BYTES_MAX)?;
        let field = Field::new(&self.0.house.ports, at, kind, words.into_bytes());
        let commitment = field.commitment();
        Ok((vec![field], Some(commitment)))
    }
}

pub(crate) fn check_length(what: &str, words: &str, most: usize) -> Result<(), Refused> {
    if words.len() <= most {
        return Ok(());
    }
    let message = format!("a {what} has at most {most} bytes; this one has {}", words.len());
    Err(Refused::new(RefusedCode::TooLarge, message).hint("say it shorter, and link to the rest"))
}

/// The reasons of gates, each once.
pub(crate) fn reasons(gates: &[Gate]) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for reason in gates.iter().flat_map(|gate| &gate.policies).filter_map(|policy| policy.reason.as_deref()) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons.join("; ")
}
