//! From an action to what may be forwarded, and from there to the server.

use std::sync::Arc;

use bytes::Bytes;
use countersign_engine::{Judgement, PreviewVerdict, Unrecorded};
use countersign_wire::postgres::encode::Report;

use super::super::classify::{Statement, Understood};
use super::super::mask::{self, Masked};
use super::super::{state, wording};
use super::action::{Action, Granted, Order};
use super::acts::ActId;
use super::cancelling::cancelled;
use super::no::{no_wait, refusal};
use super::tongue::Asking;
use super::{End, Session};
use crate::flow::{self, Leave, No};

impl Session {
    /// Asks for an action; refuses it in the client's own protocol where the answer is no.
    pub(super) async fn permit(&mut self, mut action: Action, simple: bool) -> Result<Option<Granted>, End> {
        if self.cancelling.take() {
            self.refuse(cancelled(), simple).await?;
            return Ok(None);
        }
        action.lift = self.lifting(&action)?;
        match self.weigh(&action)? {
            Ok(Some(hidden)) if hidden.guesses => {
                action.understood = Arc::new(action.understood.with_verb(mask::GUESS));
            }
            Ok(_) => {}
            Err(masked) => return self.refuse_masked(action, &masked, simple).await.map(|()| None),
        }
        let (engine, me) = (Arc::clone(&self.engine), self.me.clone());
        let mut asking = Asking { session: self, action };
        let answer = flow::decide(&engine, &me, &mut asking, Asking::attempt).await?;
        let action = asking.action;
        let granted = match answer {
            Ok(leave) => self.granted(leave, action)?,
            Err(no) => Err(refusal(&no, &action.understood)),
        };
        match granted {
            Ok(granted) => Ok(Some(granted)),
            Err(report) => self.refuse(report, simple).await.map(|()| None),
        }
    }

    /// Asks for a step of a script that was sent together with others. Nothing: it is no such step.
    pub(super) async fn permit_step(
        &mut self,
        mut action: Action,
    ) -> Result<Option<Result<Granted, Report>>, End> {
        if self.cancelling.take() {
            return Ok(Some(Err(cancelled())));
        }
        match self.weigh(&action)? {
            Ok(Some(hidden)) if hidden.guesses => {
                if let Some(step) = &mut action.step {
                    step.read.understood = Arc::new(step.read.understood.with_verb(mask::GUESS));
                }
            }
            Ok(_) => {}
            Err(masked) => return self.deny_masked(action, &masked).await.map(|report| Some(Err(report))),
        }
        let (engine, me) = (Arc::clone(&self.engine), self.me.clone());
        let mut asking = Asking { session: self, action };
        let answer = flow::step(&engine, &me, &mut asking, Asking::attempt).await?;
        let action = asking.action;
        Ok(match answer {
            None => None,
            Some(Err(no)) => Some(Err(refusal(&no, &action.understood))),
            Some(Ok(leave)) => Some(self.granted(leave, action)?),
        })
    }

    /// What may be forwarded, with what covers its answer: while it was asked for, what may be seen may have changed.
    fn granted(&mut self, leave: Leave, action: Action) -> Result<Result<Granted, Report>, End> {
        let (bytes, order) = match leave {
            Leave::Recorded(bytes, ran) => (bytes, Order::First(ran)),
            Leave::Read(bytes, pending) => (bytes, Order::BeforeRelease(pending)),
        };
        if self.cancelling.take() {
            let act = self.begin(Granted { bytes, order, action, cover: None, result: None });
            let (code, now) = (wording::CANCELED.to_owned(), self.now());
            self.acts.end(act, countersign_engine::CompletionResult::Failed { code }, now);
            return Ok(Err(cancelled()));
        }
        Ok(match self.weigh(&action)? {
            Ok(hidden) => {
                let cover = hidden.map(|hidden| self.cover(hidden, &action));
                let result = self.keeping(&action);
                Ok(Granted { bytes, order, action, cover, result })
            }
            Err(masked) => {
                let report = wording::error(wording::NOT_PERMITTED, masked.to_string());
                let act = self.begin(Granted { bytes, order, action, cover: None, result: None });
                self.abandon(Some(act));
                Err(report)
            }
        })
    }

    /// Records that an action may not run for what is masked, and says so.
    async fn refuse_masked(&mut self, action: Action, masked: &Masked, simple: bool) -> Result<(), End> {
        let report = self.deny_masked(action, masked).await?;
        self.refuse(report, simple).await
    }

    /// Records that an action may not run for what is masked.
    async fn deny_masked(&mut self, action: Action, masked: &Masked) -> Result<Report, End> {
        let (engine, me) = (Arc::clone(&self.engine), self.me.clone());
        let understood = Arc::clone(&action.understood);
        let attempt = Asking { session: self, action }.attempt();
        let denied = engine.deny_masked(&me, attempt, masked.to_string());
        let no = match self.drive(engine.denied(denied)).await? {
            Ok(refused) => No::Refused(refused),
            Err(error) => No::Refused(no_wait(&error.to_string(), "try again in a moment")),
        };
        Ok(refusal(&no, &understood))
    }

    /// Whether policy denies it as things are: then the server is not even handed its text.
    pub(super) fn is_denied(
        &mut self,
        statement: &Arc<Statement>,
        understood: &Arc<Understood>,
        raw: &Bytes,
    ) -> bool {
        let action = Action::new(statement, Arc::clone(understood), raw.clone());
        let attempt = Asking { session: self, action }.attempt();
        self.shared.engine.foretell(&self.me, attempt) == PreviewVerdict::Deny
    }

    /// The oldest read was judged under what is no longer so when its record came: it is judged again, and recorded as
    /// what it is now, or its answer is not released.
    pub(super) async fn judge_again(&mut self) -> Result<(), End> {
        let Some(action) = self.acts.overtaken() else { return Err(End::Unrecorded) };
        let asking = Asking { session: self, action };
        let (attempt, action) = (asking.attempt(), asking.action);
        let judged = match self.shared.engine.judge(&self.me, attempt) {
            Judgement::Allow(judged) => judged,
            Judgement::Paused => {
                self.put_off(action);
                return Ok(());
            }
            Judgement::Deny(_) | Judgement::Hold(_) => return Err(End::Unrecorded),
        };
        // It has been forwarded already: of what is handed out, only the record counts.
        match self.shared.engine.record_read(judged).await {
            Ok((_forward, pending)) => self.acts.read_again(pending, action),
            Err(_) => return Err(End::Unrecorded),
        }
        Ok(())
    }

    /// The oldest read waits for its session to go on: until then it is as if nobody had asked. The client is told so in front
    /// of everything that is withheld, now and every now and then.
    fn put_off(&mut self, action: Action) {
        let (engine, me) = (Arc::clone(&self.engine), self.me.clone());
        if let Some(paused) = engine.paused(&me).filter(|_| !self.muted) {
            // INVARIANT: it is the oldest, so what lies open ends with a whole message.
            let _ = wording::answer_paused(&paused).encode(&mut self.client.output);
        }
        let remind_at = self.now().plus(flow::REMIND);
        let resumed = async move {
            match me.ending() {
                None => engine.resumed_by(&me, remind_at).await,
                // It does not go on any more, and the cut is felt.
                Some(_) => std::future::pending().await,
            }
            Err(Unrecorded::Stale)
        };
        self.acts.judged_later(resumed, action);
    }

    /// An action is about to be forwarded: what it may change is in doubt from here on.
    pub(super) fn begin(&mut self, mut granted: Granted) -> ActId {
        let (cover, gives_max) = (granted.cover.take(), granted.gives_max());
        let result = granted.result.take();
        let understood = granted.understood();
        let facts = &*understood.facts;
        let changing = state::may_change(facts);
        let now = self.now();
        let fetched = || facts.fetched_cursor().map(|name| Bytes::copy_from_slice(name.as_bytes()));
        let running = granted.action.running.clone().or_else(fetched);
        let act = match granted.order {
            Order::First(ran) => self.acts.recorded(ran, now, changing),
            Order::BeforeRelease(pending) => self.acts.reading(pending, granted.action, now, changing),
        };
        self.acts.follow(act, facts);
        if let Some(cover) = cover {
            self.acts.covered(act, cover);
        }
        if let Some(result) = result {
            self.acts.keeps(act, result);
        }
        if let Some(rows) = gives_max {
            self.acts.gives_at_most(act, rows);
        }
        if mask::runs_foreign_code(facts) {
            self.acts.runs_foreign_code(act);
        }
        // At the end of a transaction deferred triggers run, which are anybody's code.
        let loses = self.known.loses(facts);
        self.known.sends(facts);
        let names = !facts.cursors.is_empty() && facts.fetched_cursor().is_none();
        if facts.taints_session || loses || !facts.prepared.is_empty() || names {
            match &running {
                Some(portal) => self.tracker.doubt_names_but(portal),
                None => self.tracker.doubt_names(),
            }
        }
        if facts.taints_session {
            self.prepared.clear();
            self.cursors.forget_but(running.as_deref());
        }
        act
    }

    /// What was recorded went nowhere, because the server would have ignored it.
    pub(super) fn abandon(&mut self, act: Option<ActId>) {
        let now = self.now();
        if let Some(act) = act {
            self.acts.end(act, countersign_engine::CompletionResult::Failed { code: "skipped".into() }, now);
        }
    }
}
