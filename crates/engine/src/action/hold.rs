//! Holding: an action that waits for a person's word, and the use of that word.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use countersign_core::action::{Action, digest};
use countersign_core::quorum::names;
use countersign_core::request::{
    Ask, Bounds, Command as RequestCommand, Event as RequestEvent, RowBound, State, Voidance, Withdrawal,
};
use countersign_core::{At, Command, Digest, Event, GrantId, PrincipalId, Refusal, RequestId};
use tokio::sync::watch;

use super::attempt::{Ground, Look};
use super::proof::{Held, Ran, Recorded, Unrecorded};
use crate::engine::Engine;
use crate::request::{LookContent, LookRelationContent, LookTypeContent, RequestContent};
use crate::seal::Field;
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
    pub async fn hold(&self, held: Held, look: Look) -> Result<Waiting, Refused> {
        let shown = held.attempt.shown_bytes();
        if shown > SHOWN_BYTES_MAX {
            let message = format!(
                "this needs an approval, but its {shown} bytes are more than can be shown to an approver in full"
            );
            let hint = format!("send at most {SHOWN_BYTES_MAX} bytes of text and parameters at a time");
            return Err(Refused::new(RefusedCode::TooLarge, message).hint(hint));
        }
        let ports = &self.0.house.ports;
        let (id, salt) = (RequestId(ports.entropy.id()), ports.random());
        let action = action_of(&held);
        let canonical = action.canonical();
        let bounds = bounds(&look);
        let content = content_of(&held, &canonical, &salt, look);
        let field = Field::new(ports, "/data/content", "request.content", content.canonical());
        let statement = &held.statement;
        let grant = statement.grant.unwrap_or(GrantId(0));
        let ask = Ask::Act {
            session: statement.session,
            grant,
            resource: statement.resource.clone(),
            action: held.attempt.kind.clone(),
            bounds,
        };
        let command = RequestCommand::Ask {
            request: id,
            by: statement.principal.clone(),
            ask,
            digest: digest(&salt, &canonical),
            content: Some(field.commitment()),
            grant: GrantId(ports.entropy.id()),
        };
        let mut deed = Deed::new(Command::Request(command), held.session.from());
        deed.standing = Some(Arc::clone(&held.standing));
        deed.key = format!("request:{id}").into();
        deed.fields = vec![field];
        let changed = self.changed();
        self.deed(deed).await?;
        Ok(self.waiting(changed, (id, salt, bounds), held, action))
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
    fn asked_words(&self, id: RequestId) -> (At, String, String) {
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
        let Waiting { id, held, salt, mut action, bounds, .. } = waiting;
        action.relations = now.relations;
        action.settings = now.settings;
        let digest: Digest = digest(&salt, &action.canonical());
        let session = held.statement.session;
        let use_it = RequestCommand::Use { request: id, session, digest };
        let deed = Deed::new(Command::Request(use_it), held.session.from());
        let done = match self.0.queue.done(Work::Deed(Box::new(deed))).await {
            Ok(done) => done,
            Err(NotDone::Refused(Refusal::OtherAction)) => {
                return Err(self.void(id, Voidance::MeaningChanged).await);
            }
            Err(NotDone::Refused(refusal)) => return Err(NotUsed::Refused(refusal.into())),
            Err(not) => return Err(NotUsed::Unrecorded(not.into())),
        };
        let mut events = done.events.iter();
        let used = events.any(|event| matches!(event, Event::Request(RequestEvent::Used { .. })));
        if !used {
            let why = done.events.iter().find_map(|event| match event {
                Event::Request(RequestEvent::Voided { why, .. }) => Some(*why),
                _ => None,
            });
            return Err(NotUsed::Void(why.unwrap_or(Voidance::PolicyStricter)));
        }
        let index = Arc::new(AtomicU64::new(done.index.unwrap_or_default()));
        let ran = Ran { statement: held.statement, index, request: Some(id), bounds: Some(bounds) };
        Ok(Recorded { bytes: held.attempt.bytes, ran })
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
        let deed = Deed::new(Command::Request(withdraw), waiting.held.session.from());
        // A request that was answered meanwhile, or ended with its session, needs no withdrawal.
        let _decided = self.deed(deed).await;
    }

    /// The comment that goes with somebody's answer.
    pub(crate) fn comment(&self, request: RequestId, committed: Option<Digest>) -> Option<String> {
        let committed = committed?;
        let lines = self.0.house.told(&crate::index::request_key(request), 64).ok()?;
        lines.iter().rev().find_map(|line| {
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

    fn answered(&mut self) -> Option<Answer> {
        self.changed.borrow_and_update();
        let snapshot = self.engine.snapshot();
        let Some(request) = snapshot.book.request(self.id) else {
            return Some(Answer::Withdrawn(Withdrawal::SessionEnded));
        };
        match &request.state {
            State::Pending => None,
            State::Approved(_) => Some(Answer::Approved),
            State::Denied { by, comment, .. } => {
                Some(Answer::Denied { by: by.clone(), comment: self.engine.comment(self.id, *comment) })
            }
            State::Lapsed { .. } => Some(Answer::Lapsed),
            State::Withdrawn { why, .. } => Some(Answer::Withdrawn(*why)),
            State::Void { why, .. } => Some(Answer::Void(*why)),
        }
    }
}

fn action_of(held: &Held) -> Action {
    let (statement, attempt, session) = (&held.statement, &held.attempt, &held.session);
    let mut action = Action::new(
        attempt.kind.clone(),
        statement.chain.to_vec(),
        statement.principal.clone(),
        statement.person.clone(),
    );
    action.account = Some(session.account().to_owned());
    action.grant = statement.grant;
    action.parameter_types.clone_from(&attempt.parameter_types);
    action.parameters = attempt.parameter_texts();
    action.purpose = (!session.purpose().is_empty()).then(|| session.purpose().to_owned());
    action.relations.clone_from(&attempt.relations);
    action.resource = Some(statement.resource.clone());
    action.role = Some(statement.role.clone());
    action.settings.clone_from(&attempt.settings);
    action.text = Some(attempt.text.to_string());
    action.verbs.clone_from(&attempt.verbs);
    action
}

/// A counted number of rows bounds the yes, if the door can make the bound hold.
fn bounds(look: &Look) -> Bounds {
    let rows = look.rows.filter(|_| look.can_bound_rows);
    Bounds { rows: rows.map_or(RowBound::Unbounded, RowBound::AtMost) }
}

fn content_of(held: &Held, canonical: &[u8], salt: &[u8; 16], look: Look) -> RequestContent {
    let relation = |relation: crate::LookRelation| LookRelationContent {
        access: relation.access,
        estimate_rows: relation.estimate_rows,
        name: relation.name,
        owner: relation.owner,
    };
    let kind = |kind: crate::LookType| LookTypeContent {
        name: kind.name,
        oid: kind.oid,
        written_like: kind.written_like,
    };
    let look = LookContent {
        estimate: look.estimate,
        notes: look.notes,
        relations: look.relations.into_iter().map(relation).collect(),
        rows: look.rows,
        types: look.types.into_iter().map(kind).collect(),
    };
    RequestContent::new(canonical, salt, held.session.from())
        .words(held.session.purpose(), held.session.ticket())
        .look(look)
}
