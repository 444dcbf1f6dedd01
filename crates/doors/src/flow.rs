//! The security flow, written once: judge, ask and wait, record, and only then hand over the bytes to forward.
//!
//! A protocol supplies a [`Tongue`]: how to drive its connections while something is waited for, what it can look up
//! for an approver, and how it says things. What comes out of [`decide`] is a [`Leave`] to forward, or a [`No`] to
//! tell the client. The bytes in a leave are the ones that were judged; a leave is consumed by using it.
//!
//! The two orders of recording are the engine's types: a `Recorded` is durable, a read's answer is `Withheld`
//! until its `Pending` is.

use std::future::Future;

use bytes::Bytes;
use countersign_core::request::{Voidance, Withdrawal};
use countersign_core::{PrincipalId, RequestId, Span};
use countersign_engine::{
    Answer, Attempt, Covered, Engine, Ground, Held, Judgement, Look, NextStep, NotCovered, NotStepped,
    NotUsed, Paused, Pending, Ran, Refused, Session, Unrecorded, Waiting,
};

/// How often one action is judged in all: again after looking at what it would do, because policy or grant moved
/// between the judgement and its record, and because the ground of its request moved.
const JUDGED_MAX: u32 = 6;
/// How often an action is asked for anew because the ground of its request moved while it waited.
const ASKED_MAX: u32 = 2;
/// How often a waiting client is told how much time is left.
pub(crate) const REMIND: Span = Span::seconds(30);

/// A client that can be made to wait for a person.
pub trait Attend: Send {
    /// Why its connections are over.
    type Lost: Send;

    /// Drives both connections while `work` goes on, which waits for a person. Nothing new of the client's is begun meanwhile;
    /// its wish to cancel is heeded, and its leaving.
    fn attend<W>(&mut self, work: W) -> impl Future<Output = Result<Attended<W::Output>, Self::Lost>> + Send
    where
        W: Future + Send,
        W::Output: Send;

    /// Tells the client, at once, what it waits for.
    fn tell(&mut self, news: News<'_>);
}

/// What a protocol supplies.
pub trait Tongue: Attend {
    /// Drives both connections while `work` goes on. Nothing new of the client's is begun meanwhile.
    fn during<W>(&mut self, work: W) -> impl Future<Output = Result<W::Output, Self::Lost>> + Send
    where
        W: Future + Send,
        W::Output: Send;

    /// Lets everything before this action be answered, and looks at what it would do; attempts that are built
    /// afterwards include what was seen. An error is the reason why it cannot wait for anybody.
    fn look(&mut self) -> impl Future<Output = Result<Result<Look, Refused>, Self::Lost>> + Send;

    /// Whether the action is this text, whole and without parameters, so that it may be a step of a script.
    fn is(&self, text: &str) -> bool;

    /// Why a script can't begin with it in this session, if it can't.
    fn no_beginning(&self) -> Option<&'static str>;

    /// Lets everything before this action be answered, and what became of it be told.
    fn settle(&mut self) -> impl Future<Output = Result<(), Self::Lost>> + Send;

    /// What the action would mean now.
    fn ground(&mut self) -> impl Future<Output = Result<Ground, Self::Lost>> + Send;

    /// What the end of the connections makes of a request that waits.
    fn withdrawal(lost: &Self::Lost) -> Withdrawal;
}

/// How waiting ended.
#[derive(Debug)]
pub enum Attended<T> {
    /// What was waited for has come.
    Done(T),
    /// The client wants to wait no longer.
    Cancelled,
}

/// What a waiting client is told.
#[derive(Debug)]
pub enum News<'a> {
    /// It waits from now on.
    Waits(&'a Waiting),
    /// It still waits.
    StillWaits(&'a Waiting),
    /// The yes no longer fits, and it is asked for again.
    AskedAnew(Voidance),
    /// It runs under a yes that was given before, for more than one use.
    Covered(&'a Covered),
    /// It runs as the first step of a script of so many.
    Begins(RequestId, usize),
    /// It runs as the last step of a script.
    Ends(RequestId),
    /// It is none of the script's steps that could come now.
    Apart(&'a Apart),
    /// Its session is paused, and it waits for the end of that.
    Paused(&'a Paused),
    /// Its session goes on, and so does this.
    Resumed,
}

/// What was taken for a step of a script, and is none.
#[derive(Debug)]
pub struct Apart {
    /// The script.
    pub request: RequestId,
    /// The step that would have come, counted from one.
    pub number: usize,
    /// Of how many.
    pub of: usize,
    /// Why it is none, in words.
    pub why: String,
    /// The script was under way, and has ended with it.
    pub stopped: bool,
}

/// What may be forwarded.
#[derive(Debug)]
pub enum Leave {
    /// Recorded; forward it, and say how it ended.
    Recorded(Bytes, Ran),
    /// A provable read: forward it, and withhold the answer until it is recorded.
    Read(Bytes, Pending),
}

/// Why nothing is forwarded.
#[derive(Debug)]
pub enum No {
    /// The engine's reason: policy, no grant, too long to be shown, the ledger takes nothing.
    Refused(Refused),
    /// A person said no.
    Denied {
        /// Who.
        by: PrincipalId,
        /// What they said.
        comment: Option<String>,
    },
    /// Nobody answered in time.
    Lapsed,
    /// The client wanted to wait no longer for the end of a pause.
    Cancelled,
    /// Its ground moved, more than once.
    Void(Voidance),
    /// It was given up.
    Withdrawn(Withdrawal),
    /// Policy or grant moved each time before it could be recorded.
    Restless,
}

/// Asks whether an attempt may go ahead, and waits for whoever must say so.
///
/// `attempt` is built anew for each question, since its circumstances may have moved.
///
/// # Errors
/// The connections are over; a request that waited is withdrawn.
pub async fn decide<T, A>(
    engine: &Engine,
    session: &Session,
    tongue: &mut T,
    attempt: A,
) -> Result<Result<Leave, No>, T::Lost>
where
    T: Tongue,
    A: Fn(&T) -> Attempt + Sync,
{
    let (mut judged, mut asked, mut looked) = (0, 0, None);
    while judged < JUDGED_MAX {
        judged += 1;
        let question = attempt(tongue);
        let read = question.provable_read;
        let judgement = match Box::pin(as_step(engine, session, tongue, question)).await? {
            Step::Leave(leave) => return Ok(Ok(leave)),
            Step::No(no) => return Ok(Err(no)),
            Step::Stale => continue,
            Step::None(judgement) => *judgement,
        };
        match judgement {
            Judgement::Deny(denied) => {
                let told = tongue.during(engine.denied(denied)).await?;
                return Ok(Err(No::Refused(told.unwrap_or_else(unrecorded))));
            }
            Judgement::Paused => {
                // It was not judged, so it does not count.
                judged -= 1;
                if let Attended::Cancelled = while_paused(engine, session, tongue).await? {
                    return Ok(Err(No::Cancelled));
                }
            }
            Judgement::Allow(judged) if read => match tongue.during(engine.record_read(judged)).await? {
                Ok((forward, pending)) => return Ok(Ok(Leave::Read(forward.into_bytes(), pending))),
                Err(Unrecorded::Stale) => {}
                Err(error) => return Ok(Err(No::Refused(unrecorded(error)))),
            },
            Judgement::Allow(judged) => match tongue.during(engine.record(judged)).await? {
                Ok(recorded) => {
                    let (bytes, ran) = recorded.into_forward();
                    return Ok(Ok(Leave::Recorded(bytes, ran)));
                }
                Err(Unrecorded::Stale) => {}
                Err(error) => return Ok(Err(No::Refused(unrecorded(error)))),
            },
            Judgement::Hold(held) => {
                let Some(look) = looked.take() else {
                    match tongue.look().await? {
                        Ok(look) => looked = Some(look),
                        Err(refused) => return Ok(Err(No::Refused(refused))),
                    }
                    continue;
                };
                let held = match Box::pin(under_cover(engine, tongue, held, &look)).await? {
                    Under::Leave(leave) => return Ok(Ok(leave)),
                    Under::No(no) => return Ok(Err(no)),
                    Under::Stale => continue,
                    Under::Nothing(held) => held,
                };
                asked += 1;
                match Box::pin(ask(engine, session, tongue, (*held, look))).await? {
                    Asked::Leave(leave) => return Ok(Ok(leave)),
                    Asked::No(no) => return Ok(Err(no)),
                    Asked::Void(why) if asked >= ASKED_MAX => return Ok(Err(No::Void(why))),
                    Asked::Void(why) => tongue.tell(News::AskedAnew(why)),
                }
            }
        }
    }
    Ok(Err(No::Restless))
}

/// Waits as long as a session is paused, and tells the client so, every now and then. Whatever begins something in a session
/// waits here or is not begun: in a paused one nothing is judged, and nothing is recorded as begun.
///
/// # Errors
/// The connections are over.
pub async fn while_paused<T: Attend>(
    engine: &Engine,
    session: &Session,
    client: &mut T,
) -> Result<Attended<()>, T::Lost> {
    let mut told = false;
    while let Some(paused) = engine.paused(session) {
        client.tell(News::Paused(&paused));
        told = true;
        let remind_at = engine.now().plus(REMIND);
        let waited = match session.ending() {
            None => client.attend(engine.resumed_by(session, remind_at)).await?,
            // It does not go on any more, and the cut is felt while it is attended to.
            Some(_) => client.attend(std::future::pending()).await?,
        };
        if let Attended::Cancelled = waited {
            return Ok(Attended::Cancelled);
        }
    }
    if told {
        client.tell(News::Resumed);
    }
    Ok(Attended::Done(()))
}

/// Runs an action as the next step of a script, or not at all. Nothing: it is none, and nobody was asked.
///
/// # Errors
/// The connections are over.
pub async fn step<T, A>(
    engine: &Engine,
    session: &Session,
    tongue: &mut T,
    attempt: A,
) -> Result<Option<Result<Leave, No>>, T::Lost>
where
    T: Tongue,
    A: Fn(&T) -> Attempt + Sync,
{
    let mut judged = 0;
    while judged < JUDGED_MAX {
        judged += 1;
        let question = attempt(tongue);
        match Box::pin(as_step(engine, session, tongue, question)).await? {
            Step::Leave(leave) => return Ok(Some(Ok(leave))),
            Step::No(no) => return Ok(Some(Err(no))),
            Step::Stale => {}
            Step::None(judgement) => match *judgement {
                Judgement::Paused => {
                    judged -= 1;
                    if let Attended::Cancelled = while_paused(engine, session, tongue).await? {
                        return Ok(Some(Err(No::Cancelled)));
                    }
                }
                Judgement::Deny(denied) => {
                    let told = tongue.during(engine.denied(denied)).await?;
                    return Ok(Some(Err(No::Refused(told.unwrap_or_else(unrecorded)))));
                }
                Judgement::Allow(_) | Judgement::Hold(_) => return Ok(None),
            },
        }
    }
    Ok(Some(Err(No::Restless)))
}

/// Whether an action is a step of a script.
enum Step {
    Leave(Leave),
    No(No),
    /// The script has ended meanwhile: it is judged anew.
    Stale,
    None(Box<Judgement>),
}

/// Judges an action, and runs it as the next step of a script that was approved, if it is that. What comes between two
/// steps, is not the next one, and is more than a read, ends the script before anything else is done about it.
async fn as_step<T: Tongue>(
    engine: &Engine,
    session: &Session,
    tongue: &mut T,
    question: Attempt,
) -> Result<Step, T::Lost> {
    let read = question.provable_read;
    let steps = engine.next_steps(session);
    let judgement = engine.judge(session, question);
    if steps.is_empty() || matches!(judgement, Judgement::Deny(_) | Judgement::Paused) {
        return Ok(Step::None(Box::new(judgement)));
    }
    let under_way = steps.iter().find(|step| step.is_under_way()).map(apart_from);
    let Some(step) = steps.into_iter().find(|step| tongue.is(step.text())) else {
        let why = under_way.filter(|_| !read);
        return stop(engine, tongue, why, judgement).await;
    };
    let mut apart = apart_from(&step);
    if let Some(why) = tongue.no_beginning().filter(|_| !step.is_under_way()) {
        why.clone_into(&mut apart.why);
        tongue.tell(News::Apart(&apart));
        return Ok(Step::None(Box::new(judgement)));
    }
    // The next step is that behind one which has ended well.
    tongue.settle().await?;
    let ground = tongue.ground().await?;
    // Between a step's use and its forwarding nothing may intervene.
    match engine.use_step(session, step, judgement, ground).await {
        Ok(stepped) => {
            if stepped.number == 1 {
                tongue.tell(News::Begins(stepped.request, stepped.of));
            } else if stepped.number == stepped.of {
                tongue.tell(News::Ends(stepped.request));
            }
            let (bytes, ran) = stepped.recorded.into_forward();
            Ok(Step::Leave(Leave::Recorded(bytes, ran)))
        }
        Err(NotStepped::Apart(judgement, why)) => {
            apart.why = why;
            if under_way.is_some() && !read {
                return stop(engine, tongue, Some(apart), *judgement).await;
            }
            apart.stopped = false;
            tongue.tell(News::Apart(&apart));
            Ok(Step::None(judgement))
        }
        Err(NotStepped::Stale) => Ok(Step::Stale),
        Err(NotStepped::Unrecorded(error)) => Ok(Step::No(No::Refused(unrecorded(error)))),
    }
}

fn apart_from(step: &NextStep) -> Apart {
    let why = "it is another statement".to_owned();
    let (request, number, of) = (step.request(), step.number(), step.of());
    Apart { request, number, of, why, stopped: step.is_under_way() }
}

/// Ends the script that something has come between.
async fn stop<T: Tongue>(
    engine: &Engine,
    tongue: &mut T,
    script: Option<Apart>,
    judgement: Judgement,
) -> Result<Step, T::Lost> {
    let Some(apart) = script else { return Ok(Step::None(Box::new(judgement))) };
    // The end of its last step is told first: that may have been its end already.
    tongue.settle().await?;
    match tongue.during(engine.stop_script(apart.request)).await? {
        Ok(()) => {
            tongue.tell(News::Apart(&apart));
            Ok(Step::None(Box::new(judgement)))
        }
        Err(error) => Ok(Step::No(No::Refused(unrecorded(error)))),
    }
}

/// Whether a yes that was given before covers what is held.
enum Under {
    Leave(Leave),
    No(No),
    /// What it was given for has ended meanwhile: it is judged anew.
    Stale,
    Nothing(Box<Held>),
}

/// Runs it under a yes that was given before, for several uses or within bounds, if one covers it.
async fn under_cover<T: Tongue>(
    engine: &Engine,
    tongue: &mut T,
    held: Held,
    look: &Look,
) -> Result<Under, T::Lost> {
    let Some(cover) = engine.cover(&held, look) else { return Ok(Under::Nothing(Box::new(held))) };
    let ground = tongue.ground().await?;
    // As with a yes that was waited for: between its use and the forwarding nothing may intervene.
    Ok(match engine.use_cover(cover, held, ground).await {
        Ok(covered) => {
            tongue.tell(News::Covered(&covered));
            let (bytes, ran) = covered.recorded.into_forward();
            Under::Leave(Leave::Recorded(bytes, ran))
        }
        Err(NotCovered::Ask(held)) => Under::Nothing(held),
        Err(NotCovered::Unrecorded(Unrecorded::Stale)) => Under::Stale,
        Err(NotCovered::Unrecorded(error)) => Under::No(No::Refused(unrecorded(error))),
    })
}

/// How asking ended.
enum Asked {
    Leave(Leave),
    No(No),
    Void(Voidance),
}

async fn ask<T: Tongue>(
    engine: &Engine,
    session: &Session,
    tongue: &mut T,
    (held, look): (Held, Look),
) -> Result<Asked, T::Lost> {
    let mut waiting = match tongue.during(engine.hold(held, look)).await? {
        Ok(waiting) => waiting,
        Err(refused) => return Ok(Asked::No(No::Refused(refused))),
    };
    tongue.tell(News::Waits(&waiting));
    loop {
        let answer = match wait(engine, session, tongue, &mut waiting).await {
            Ok(Attended::Done(answer)) => answer,
            Ok(Attended::Cancelled) => {
                engine.withdraw(waiting, Withdrawal::Cancelled).await;
                return Ok(Asked::No(No::Withdrawn(Withdrawal::Cancelled)));
            }
            Err(lost) => {
                engine.withdraw(waiting, T::withdrawal(&lost)).await;
                return Err(lost);
            }
        };
        return Ok(match answer {
            Answer::Approved => match redeem(engine, tongue, waiting).await? {
                Ok(asked) => asked,
                Err(still) => {
                    waiting = *still;
                    continue;
                }
            },
            Answer::Denied { by, comment } => Asked::No(No::Denied { by, comment }),
            Answer::Lapsed => Asked::No(No::Lapsed),
            Answer::Void(why) => Asked::Void(why),
            Answer::Withdrawn(why) => Asked::No(No::Withdrawn(why)),
        });
    }
}

/// Waits for the answer, and says every now and then that it does, by the engine's clock. A yes counts when the session is
/// not paused; what became of it until then is asked again.
async fn wait<T: Tongue>(
    engine: &Engine,
    session: &Session,
    tongue: &mut T,
    waiting: &mut Waiting,
) -> Result<Attended<Answer>, T::Lost> {
    loop {
        let remind_at = engine.now().plus(REMIND);
        match tongue.attend(waiting.answer_by(remind_at)).await? {
            Attended::Done(Some(Answer::Approved)) if engine.is_paused(session) => {
                if let Attended::Cancelled = while_paused(engine, session, tongue).await? {
                    return Ok(Attended::Cancelled);
                }
            }
            Attended::Done(Some(answer)) => return Ok(Attended::Done(answer)),
            // Its hour is over, and that is about to be said.
            Attended::Done(None) if waiting.lapses_at() <= engine.now() => {}
            Attended::Done(None) => tongue.tell(News::StillWaits(waiting)),
            Attended::Cancelled => return Ok(Attended::Cancelled),
        }
    }
}

/// Uses the yes: what would run now must be what was approved then. If the session was paused in the same moment, it waits on,
/// and the yes is as good as before.
async fn redeem<T: Tongue>(
    engine: &Engine,
    tongue: &mut T,
    waiting: Waiting,
) -> Result<Result<Asked, Box<Waiting>>, T::Lost> {
    let ground = match tongue.ground().await {
        Ok(ground) => ground,
        Err(lost) => {
            engine.withdraw(waiting, T::withdrawal(&lost)).await;
            return Err(lost);
        }
    };
    // Not driven together with the connections: between the receipt's use and its forwarding nothing may intervene.
    let asked = match engine.use_receipt(waiting, ground).await {
        Ok(recorded) => {
            let (bytes, ran) = recorded.into_forward();
            Asked::Leave(Leave::Recorded(bytes, ran))
        }
        Err(NotUsed::Paused(waiting)) => return Ok(Err(waiting)),
        Err(NotUsed::Void(why)) => Asked::Void(why),
        Err(NotUsed::Refused(refused)) => Asked::No(No::Refused(refused)),
        Err(NotUsed::Unrecorded(error)) => Asked::No(No::Refused(unrecorded(error))),
    };
    Ok(Ok(asked))
}

fn unrecorded(error: Unrecorded) -> Refused {
    Refused::new(countersign_engine::RefusedCode::Unavailable, error.to_string())
        .hint("try again in a moment; the gateway's health says more")
}
