//! Holding: an action that waits for a person's word, and the use of that word.

use std::sync::Arc;

use countersign_core::action::Action;
use countersign_core::quorum::names;
use countersign_core::request::{
    Ask, Bounds, Command as RequestCommand, RowBound, State, Voidance, Withdrawal,
};
use countersign_core::{At, Command, Digest, GrantId, PrincipalId, Refusal, RequestId};
use tokio::sync::watch;

use super::attempt::{Ground, Look};
use super::cover::{NotClaimed, claim, reach};
use super::proof::{Held, Recorded, Unrecorded};
use crate::api::{Asking, Filed};
use crate::engine::Engine;
use crate::request::{LookContent, LookFunctionContent, LookRelationContent, LookTypeContent};
use crate::settings::SHOWN_BYTES_MAX;
use crate::snapshot::Changed;
use crate::words::{Refused, RefusedCode, request_link};
use crate::writer::work::{Deed, NotDone, Work};

/// An action that waits, with everything that is needed to run exactly it once somebody has said yes.
#[derive(Debug)]
pub struct Waiting {
    engine: Engine,
    changed: watch::Receiver<Changed>,
    id: RequestId,
    held: Held,
    salt: [u8; 16],
    action: Action,
    bounds: Bounds,
    lapses_at: At,
    asked: String,
    rules: String,
}

/// What came of waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Everybody who had to has said yes.
    Approved,
    /// Somebody said no.
    Denied {
        /// Who.
        by: PrincipalId,
        /// What they said.
        comment: Option<String>,
    },
    /// Nobody answered in time, or the yes was not used in time.
    Lapsed,
    /// Its ground moved.
    Void(Voidance),
    /// It was given up.
    Withdrawn(Withdrawal),
}

/// Why a yes could not be used. Nothing may run.
#[derive(Debug, thiserror::Error)]
pub enum NotUsed {
    /// What was approved is no longer what would run, or may no longer run.
    #[error("what was approved is no longer so")]
    Void(Voidance),
    /// The session was paused meanwhile. It waits on, and the yes is as good as before.
    #[error("the session is paused")]
    Paused(Box<Waiting>),
    /// The house said no.
    #[error(transparent)]
    Refused(Refused),
    /// Its use could not be recorded.
    #[error(transparent)]
    Unrecorded(Unrecorded),
}

impl Engine {
    /// Asks for an action. The request is in the ledger when this returns.
    ///
    /// # Errors
    /// It can't wait: too long to be shown in full, no longer permitted, the ledger takes nothing.
    pub async fn hold(&self, held: Held, mut look: Look) -> Result<Waiting, Refused> {
        let shown = held.attempt.shown_bytes();
        if shown > SHOWN_BYTES_MAX {
            let message = format!(
                "this needs an approval, but its {shown} bytes are more than can be shown to an approver in full"
            );
            let hint = format!("send at most {SHOWN_BYTES_MAX} bytes of text and parameters at a time");
            return Err(Refused::new(RefusedCode::TooLarge, message).hint(hint));
        }
        let action = action_of(&held);
        let bounds = if look.rows_come_later { self.later(&held)? } else { bounds(&look) };
        let mut asking = Asking::new(&action, Arc::clone(&held.standing), held.session.from(self.now()));
        let (purpose, ticket) = (held.session.purpose(), held.session.ticket());
        (asking.purpose, asking.ticket) = (&purpose, ticket.as_deref());
        let touches = if look.can_bound_rows { look.touches.clone() } else { Vec::new() };
        asking.holds_up = look.holds_up;
        if let Some(why) = look.no_envelope.filter(|_| self.lets_envelopes_be_given(&held)) {
            look.notes.push(format!("an envelope can't be given for it: {why}"));
        }
        asking.look = Some(look_content(look));
        let statement = &held.statement;
        asking.so_far = Some(self.so_far(statement.session));
        let ask = |salt: &[u8; 16]| Ask::Act {
            session: statement.session,
            grant: statement.grant.unwrap_or(GrantId(0)),
            resource: statement.resource.clone(),
            action: held.attempt.kind.clone(),
            bounds,
            reach: reach(&action, &touches, salt),
        };
        let changed = self.changed();
        let Filed { id, salt } = self.file(asking, ask).await?;
        Ok(self.waiting(changed, (id, salt, bounds), held, action))
    }

    /// Whether every rule that holds it lets its approvers give envelopes.
    fn lets_envelopes_be_given(&self, held: &Held) -> bool {
        let gates = self.gates_of(&self.snapshot(), held).unwrap_or_default();
        !gates.is_empty() && gates.iter().all(|gate| gate.terms.envelope.is_some())
    }

    /// How many rows may come after the yes, as every rule that holds it lets its approvers give.
    fn later(&self, held: &Held) -> Result<Bounds, Refused> {
        let gates = self.gates_of(&self.snapshot(), held).unwrap_or_default();
        let rows = gates.iter().map(|gate| gate.terms.envelope.map(|ceiling| ceiling.rows));
        let rows = rows.reduce(|one, other| Some(one?.min(other?))).flatten();
        let rows = rows.ok_or_else(|| {
            let without = gates.iter().find(|gate| gate.terms.envelope.is_none());
            let rule = without.map(|gate| format!("rule `{}` sets", gate.rule)).unwrap_or_default();
            let message = format!("its data comes after the yes, and {rule} no bound for it");
            Refused::new(RefusedCode::Invalid, message)
                .hint("send the rows with INSERT, whose text can be approved; or the rule lets an envelope be given")
        })?;
        Ok(Bounds { rows: RowBound::Later(rows) })
    }

    fn waiting(
        &self,
        changed: watch::Receiver<Changed>,
        (id, salt, bounds): (RequestId, [u8; 16], Bounds),
        held: Held,
        action: Action,
    ) -> Waiting {
        let (lapses_at, asked, rules) = self.asked_words(id);
        Waiting { engine: self.clone(), changed, id, held, salt, action, bounds, lapses_at, asked, rules }
    }

    /// When a request lapses, who is asked (`group:dba (bob)`), and by which rules.
    pub(crate) fn asked_words(&self, id: RequestId) -> (At, String, String) {
        let snapshot = self.snapshot();
        let Some(request) = snapshot.book.request(id) else { return (At(0), String::new(), String::new()) };
        let stages = snapshot.book.stages(request, self.now());
        let asked: Vec<String> = stages
            .iter()
            .map(|stage| {
                let people: Vec<&str> = stage.who.keys().map(|who| who.as_str()).collect();
                match people.as_slice() {
                    [] => format!("{} (nobody)", names(&stage.from)),
                    people => format!("{} ({})", names(&stage.from), people.join(", ")),
                }
            })
            .collect();
        let rules: Vec<&str> = request.gates.iter().map(|gate| gate.rule.as_str()).collect();
        (request.lapses_at, asked.join(" and "), rules.join(", "))
    }

    /// Uses the yes: judges again on the state as it is now, and records the use. It is durable when this returns;
    /// what comes out is forwarded once or never.
    ///
    /// # Errors
    /// Nothing may run.
    pub async fn use_receipt(&self, waiting: Waiting, now: Ground) -> Result<Recorded, NotUsed> {
        let Waiting { changed, id, held, salt, mut action, bounds, .. } = waiting;
        now.put_into(&mut action);
        let claim = claim(&action, &now, &salt, None);
        match self.claim_receipt((id, bounds, salt), held, claim).await {
            Err(NotClaimed::Refused(Refusal::SessionPaused(_), held)) => {
                Err(NotUsed::Paused(Box::new(self.waiting(changed, (id, salt, bounds), *held, action))))
            }
            Err(NotClaimed::Refused(Refusal::OtherAction, _)) => {
                Err(self.void(id, Voidance::MeaningChanged).await)
            }
            Err(NotClaimed::Refused(refusal, _)) => Err(NotUsed::Refused(refusal.into())),
            Err(NotClaimed::Void(why)) => Err(NotUsed::Void(why)),
            Err(NotClaimed::Unrecorded(error)) => Err(NotUsed::Unrecorded(error)),
            Ok(recorded) => Ok(recorded),
        }
    }

    /// Ends a request whose ground moved outside of what the book knows.
    async fn void(&self, request: RequestId, why: Voidance) -> NotUsed {
        let void = Command::Request(RequestCommand::Void { request, why });
        let deed = Deed::new(void, crate::writer::work::From::HOUSE);
        match self.0.queue.done(Work::Deed(Box::new(deed))).await {
            Ok(_) | Err(NotDone::Refused(_)) => NotUsed::Void(why),
            Err(not) => NotUsed::Unrecorded(not.into()),
        }
    }

    /// Gives a waiting action up.
    pub async fn withdraw(&self, waiting: Waiting, why: Withdrawal) {
        let withdraw = RequestCommand::Withdraw { request: waiting.id, why };
        let deed = Deed::new(Command::Request(withdraw), waiting.held.session.from(self.now()));
        // A request that was answered meanwhile, or ended with its session, needs no withdrawal.
        let _decided = self.deed(deed).await;
    }

    /// The comment that goes with somebody's answer.
    pub(crate) fn comment(&self, request: RequestId, committed: Option<Digest>) -> Option<String> {
        self.words_at(&crate::index::request_key(request), committed)
    }

    /// The words that one of the lines told under a key commits to.
    pub(crate) fn words_at(&self, key: &[u8], committed: Option<Digest>) -> Option<String> {
        let committed = committed?;
        let lines = self.0.house.last_told(key, 64).ok()?;
        lines.iter().find_map(|line| {
            let kept = self.0.house.content(*line).ok()?;
            let found = kept.into_iter().find(|kept| kept.commitment() == committed)?;
            String::from_utf8(found.bytes).ok()
        })
    }
}

impl Waiting {
    /// Which request.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// When it lapses if nobody answers.
    #[must_use]
    pub fn lapses_at(&self) -> At {
        self.lapses_at
    }

    /// A second handle of the same request, perhaps in another session: what a door with a fault would use twice, and
    /// what one that knows of receipts for several uses would use again.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn twin(&self, session: &crate::Session) -> Self {
        let own = session.id() == self.held.session.id();
        let held = Held {
            session: session.clone(),
            statement: if own { Arc::clone(&self.held.statement) } else { session.bare() },
            standing: Arc::clone(&self.held.standing),
            attempt: self.held.attempt.clone(),
            reason: self.held.reason.clone(),
        };
        let (id, salt, bounds) = (self.id, self.salt, self.bounds);
        self.engine.waiting(self.engine.changed(), (id, salt, bounds), held, self.action.clone())
    }

    /// Who is asked: `group:dba (bob)`.
    #[must_use]
    pub fn asked(&self) -> String {
        self.asked.clone()
    }

    /// The approval rules that hold it.
    #[must_use]
    pub fn rules(&self) -> String {
        self.rules.clone()
    }

    /// Why it is held, in words.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.held.reason()
    }

    /// What a yes covers.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The console's page where it is answered.
    #[must_use]
    pub fn link(&self) -> String {
        request_link(&self.engine.0.house.settings.console_url, self.id)
    }

    /// Resolves once there is an answer. Can be asked again, and can be dropped while it waits.
    pub async fn answer(&mut self) -> Answer {
        loop {
            if let Some(answer) = self.answered() {
                return answer;
            }
            if self.changed.changed().await.is_err() {
                return Answer::Withdrawn(Withdrawal::SessionEnded);
            }
        }
    }

    /// As [`Waiting::answer`], but not beyond this instant of the engine's clock: then nothing.
    pub async fn answer_by(&mut self, at: At) -> Option<Answer> {
        let over = self.engine.0.house.ports.clock.sleep_until(at);
        tokio::select! {
            biased;
            answer = self.answer() => Some(answer),
            () = over => None,
        }
    }

    fn answered(&mut self) -> Option<Answer> {
        self.changed.borrow_and_update();
        answered(&self.engine, self.id)
    }
}

/// What has come of a request, if anything has.
pub(crate) fn answered(engine: &Engine, id: RequestId) -> Option<Answer> {
    let snapshot = engine.snapshot();
    let Some(request) = snapshot.book.request(id) else {
        return Some(Answer::Withdrawn(Withdrawal::SessionEnded));
    };
    match &request.state {
        State::Pending => None,
        State::Approved(_) => Some(Answer::Approved),
        State::Denied { by, comment, .. } => {
            Some(Answer::Denied { by: by.clone(), comment: engine.comment(id, *comment) })
        }
        State::Lapsed { .. } => Some(Answer::Lapsed),
        State::Withdrawn { why, .. } => Some(Answer::Withdrawn(*why)),
        State::Void { why, .. } => Some(Answer::Void(*why)),
    }
}

pub(super) fn action_of(held: &Held) -> Action {
    let (statement, attempt, session) = (&held.statement, &held.attempt, &held.session);
    let mut action = Action::new(
        attempt.kind.clone(),
        statement.chain.to_vec(),
        statement.principal.clone(),
        statement.person.clone(),
    );
    action.account = Some(session.account().to_owned());
    action.grant = statement.grant;
    action.parameter_types = attempt.parameter_types.to_vec();
    action.parameters = attempt.parameter_texts();
    action.purpose = Some(session.purpose().to_string()).filter(|purpose| !purpose.is_empty());
    action.relations.clone_from(&attempt.relations);
    action.resource = Some(statement.resource.clone());
    action.role = Some(statement.role.clone());
    action.settings.clone_from(attempt.settings.as_ref());
    action.text = Some(attempt.text.to_string());
    action.verbs = attempt.verbs.to_vec();
    action
}

/// A counted number of rows bounds the yes, if the door can make the bound hold.
pub(crate) fn bounds(look: &Look) -> Bounds {
    let rows = look.rows.filter(|_| look.can_bound_rows);
    Bounds { rows: rows.map_or(RowBound::Unbounded, RowBound::AtMost) }
}

pub(crate) fn look_content(look: Look) -> LookContent {
    let relation = |relation: crate::LookRelation| LookRelationContent {
        access: relation.access,
        columns: relation.columns,
        estimate_rows: relation.estimate_rows,
        kinds: relation.kinds,
        name: relation.name,
        owner: relation.owner,
        reached: relation.reached,
    };
    let function = |function: crate::LookFunction| LookFunctionContent {
        definer: function.definer,
        name: function.name,
        volatile: function.volatile,
    };
    let kind = |kind: crate::LookType| LookTypeContent {
        name: kind.name,
        oid: kind.oid,
        written_like: kind.written_like,
    };
    LookContent {
        estimate: look.estimate,
        foreseen: look.foreseen,
        functions: look.functions.into_iter().map(function).collect(),
        notes: look.notes,
        relations: look.relations.into_iter().map(relation).collect(),
        rows: look.rows,
        types: look.types.into_iter().map(kind).collect(),
    }
}
