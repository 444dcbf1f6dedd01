//! The door's part in the security flow: what an attempt is made of, how waiting goes on, what the client is told.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use countersign_core::ActionName;
use countersign_core::action::RelationVersion;
use countersign_core::question::Context;
use countersign_core::request::Withdrawal;
use countersign_engine::{Attempt, Ground, Look, Refused};
use countersign_wire::postgres::TransactionStatus;
use countersign_wire::sql::is_same_statement;

use super::super::classify::Statement;
use super::super::look::{self, Counted};
use super::super::script::{self, Read};
use super::super::touches::touches;
use super::super::wording;
use super::action::Action;
use super::no::{ABORTED, no_wait, void};
use super::{End, Session};
use crate::flow::{Attend, Attended, News, Tongue};

/// A session that asks for an action.
pub(super) struct Asking<'a> {
    pub(super) session: &'a mut Session,
    pub(super) action: Action,
}

impl Asking<'_> {
    pub(super) fn attempt(&self) -> Attempt {
        let Action { statement, understood, parameters, types, bytes, seen, lift, .. } = &self.action;
        let mut attempt = Attempt {
            kind: understood.kind.clone(),
            actions: Arc::clone(&understood.actions),
            verbs: Arc::clone(&understood.verbs),
            provable_read: understood.facts.provable_read,
            context: self.context(),
            text: Arc::clone(&statement.text),
            parameter_types: Arc::clone(types),
            parameters: Arc::clone(parameters),
            relations: seen.versions.clone(),
            settings: Arc::clone(self.session.known.settings()),
            bytes: bytes.clone(),
        };
        if let Some(step) = &self.action.step {
            let Read { understood, relations, in_transaction } = &step.read;
            attempt.kind.clone_from(&understood.kind);
            attempt.actions = Arc::clone(&understood.actions);
            attempt.verbs = Arc::clone(&understood.verbs);
            attempt.provable_read = understood.facts.provable_read;
            attempt.context = understood.context(*in_transaction);
            attempt.relations.clone_from(relations);
        }
        if let Some(lift) = lift {
            lift.put_into(&mut attempt);
        }
        attempt
    }

    /// The settings that change what it means, and what it is to be shown of.
    fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = self.session.known.settings().as_ref().clone();
        if let Some(lift) = &self.action.lift {
            lift.put_among(&mut settings);
        }
        settings
    }

    fn context(&self) -> Arc<Context> {
        let in_transaction = self.session.tracker.status() != TransactionStatus::Idle;
        self.action.understood.context(in_transaction)
    }

    /// What is known to be all that it touches. A yes that lifts a mask is for one text, and for nothing alike.
    fn touches(&self) -> Result<Vec<String>, &'static str> {
        match &self.action.lift {
            Some(_) => Err("it lifts a mask, for this text alone"),
            None => touches(&self.action.understood, &self.action.seen),
        }
    }

    /// An approver reads values by their types, so those that the client has left open are asked for.
    async fn resolve_types(&mut self) -> Result<(), End> {
        if let Some(name) = self.action.prepared.clone().filter(|_| self.action.has_open_types())
            && let Some(types) = self.session.ask_types(&name, &self.action.statement).await?
        {
            self.action.resolve(&types);
        }
        Ok(())
    }

    /// What a step would mean now that is sent together with others: read again in its place, under the settings that
    /// the session has.
    async fn ground_of_step(&mut self, statement: &Arc<Statement>) -> Result<Ground, End> {
        let (target, shared) = (Arc::clone(&self.session.target), Arc::clone(&self.session.shared));
        self.action.understood = self.session.understand(statement).await?;
        let relations = match &mut self.action.step {
            Some(step) => {
                let read = Box::pin(script::again(&shared, &target, &statement.raw, &step.place));
                step.read = self.session.drive(read).await?;
                step.read.relations.clone()
            }
            None => Vec::new(),
        };
        Ok(Ground { relations, settings: self.settings(), touches: Vec::new() })
    }

    /// Why the server may read a parameter otherwise than an approver would be shown it, if so.
    fn unreadable_value(&self) -> Option<String> {
        let session = self.session.known.shared_session();
        let values = self.action.parameters.iter().flatten();
        values.filter(|value| !value.bytes.is_ascii()).find_map(|value| session.unreadable(&value.bytes))
    }

    /// Why this action cannot wait for a person, if it cannot.
    fn impatient(&self) -> Option<Refused> {
        let understood = &self.action.understood;
        let session = &self.session;
        if session.tracker.is_skipping() {
            // The client has the server's own error, and this one goes nowhere.
            return Some(no_wait("an earlier message of its batch has failed", "correct that and try again"));
        }
        if let Some(why) = understood.unparsed() {
            return Some(no_wait(why, "nobody is asked about a text that can't be read; correct it"));
        }
        if let Some(why) = self.action.statement.unreadable().or_else(|| self.unreadable_value()) {
            return Some(no_wait(&why, "nobody is asked about a text that the server may read otherwise"));
        }
        if self.action.alone {
            return Some(no_wait(
                "what waits for an approval is bound and executed in one go",
                "send Execute behind Bind, with nothing but a Describe of the portal in between",
            ));
        }
        if understood.rows_come_later() && !understood.can_bound_rows() {
            return Some(no_wait(
                "COPY from the client waits for an approval only by itself, because its data comes after the yes",
                "send it as a statement of its own",
            ));
        }
        if session.tracker.pending() == 0 && session.tracker.status() == TransactionStatus::Failed {
            return Some(no_wait(ABORTED, "end the transaction with ROLLBACK"));
        }
        None
    }
}

impl Attend for Session {
    type Lost = End;

    async fn attend<W>(&mut self, work: W) -> Result<Attended<W::Output>, End>
    where
        W: Future + Send,
        W::Output: Send,
    {
        let done = self.attend_unless(work, |session| session.cancelling.take()).await?;
        Ok(done.map_or(Attended::Cancelled, Attended::Done))
    }

    fn tell(&mut self, news: News<'_>) {
        let report = match news {
            News::Waits(waiting) => wording::waits(waiting, self.now()),
            News::StillWaits(waiting) => wording::still_waits(waiting, self.now()),
            News::Covered(covered) => wording::covered(covered),
            News::Begins(request, of) => wording::begins(request, of),
            News::Ends(request) => wording::ends(request),
            News::Apart(apart) => wording::apart(apart),
            News::AskedAnew(why) => wording::notice(format!("{}; it is asked for again", void(why))),
            News::Paused(paused) => wording::paused(paused),
            News::Resumed => wording::notice("this session goes on"),
        };
        self.say(&report);
    }
}

impl Attend for Asking<'_> {
    type Lost = End;

    async fn attend<W>(&mut self, work: W) -> Result<Attended<W::Output>, End>
    where
        W: Future + Send,
        W::Output: Send,
    {
        self.session.attend(work).await
    }

    fn tell(&mut self, news: News<'_>) {
        self.session.tell(news);
    }
}

impl Tongue for Asking<'_> {
    async fn during<W>(&mut self, work: W) -> Result<W::Output, End>
    where
        W: Future + Send,
        W::Output: Send,
    {
        self.session.drive(work).await
    }

    async fn look(&mut self) -> Result<Result<Look, Refused>, End> {
        self.session.settle().await?;
        // A receipt whose last use has ended may be used again.
        self.session.report_outcomes().await;
        if let Some(refused) = self.impatient() {
            return Ok(Err(refused));
        }
        self.resolve_types().await?;
        if let Some(refused) = self.impatient() {
            return Ok(Err(refused));
        }
        let (target, shared) = (Arc::clone(&self.session.target), Arc::clone(&self.session.shared));
        let facts = Arc::clone(&self.action.understood.facts);
        self.action.seen = self.session.drive(Box::pin(look::relations(&target, &shared, &facts))).await?;
        if facts.relations.len() > look::RELATIONS_MAX {
            return Ok(Err(no_wait(
                "it names more relations than can be looked at, so it can't wait for an approval",
                "split it into several statements",
            )));
        }
        let session = Arc::clone(self.session.known.shared_session());
        let settings = Arc::clone(self.session.known.settings());
        let loaded = target.knowledge(&shared).loaded();
        let counted = Counted {
            understood: &self.action.understood,
            session: &session,
            text: &self.action.statement.text,
            types: &self.action.types,
            parameters: &self.action.parameters,
            settings: &settings,
            loaded,
            gives: self.action.lift.is_some(),
        };
        let looked = Box::pin(look::look(&target, &shared, &counted, &self.action.seen));
        let mut look = match self.session.drive(looked).await? {
            Ok(look) => look,
            Err(refused) => return Ok(Err(refused)),
        };
        match self.touches() {
            Ok(touches) => look.touches = touches,
            Err(why) => look.no_envelope = Some(why),
        }
        if let Some(lift) = &self.action.lift {
            look.foreseen.unmasks.push(lift.shown());
            look.notes.extend(lift.note(&look));
        }
        let held_up = self.session.held_up().await?;
        look.holds_up = held_up.what;
        look.notes.extend(held_up.note);
        Ok(Ok(look))
    }

    fn is(&self, text: &str) -> bool {
        let Action { statement, parameters, alone, running, settled, .. } = &self.action;
        let whole = !alone && running.is_none() && !settled && parameters.is_empty();
        whole && statement.unreadable().is_none() && is_same_statement(&statement.text, text)
    }

    fn no_beginning(&self) -> Option<&'static str> {
        let hidden = self.session.known.may_have_temporary_objects();
        // What the script makes could be hidden by what is there already.
        hidden.then_some(
            "this session may have temporary tables, which names could stand for; begin it in a new one",
        )
    }

    async fn settle(&mut self) -> Result<(), End> {
        self.session.settle().await?;
        self.session.report_outcomes().await;
        Ok(())
    }

    async fn ground(&mut self) -> Result<Ground, End> {
        // While it waited, its names may have come to stand for something else, and the server's own configuration may
        // have changed settings that nobody has set here.
        self.session.known.doubt();
        let statement = Arc::clone(&self.action.statement);
        self.session.asked_catalogue().await?;
        if self.action.step.is_some() {
            return self.ground_of_step(&statement).await;
        }
        let understood = if self.action.settled {
            Arc::clone(&self.action.understood)
        } else {
            self.session.understand(&statement).await?
        };
        let before = std::mem::replace(&mut self.action.understood, understood);
        let (target, shared) = (Arc::clone(&self.session.target), Arc::clone(&self.session.shared));
        let facts = Arc::clone(&self.action.understood.facts);
        self.action.seen = self.session.drive(Box::pin(look::relations(&target, &shared, &facts))).await?;
        let mut relations = self.action.seen.versions.clone();
        let actions = &self.action.understood.actions;
        if *actions != before.actions {
            // The same relations, and yet it does something else: a ground that nobody approved.
            let names: Vec<&str> = actions.iter().map(ActionName::as_str).collect();
            relations.push(RelationVersion { name: names.join(", "), oid: 0, version: String::new() });
        }
        Ok(Ground { relations, settings: self.settings(), touches: self.touches().unwrap_or_default() })
    }

    fn withdrawal(lost: &End) -> Withdrawal {
        match lost {
            End::Client => Withdrawal::Disconnected,
            End::Cut(_) | End::Server | End::Broken(_) | End::Unrecorded => Withdrawal::SessionEnded,
        }
    }
}
