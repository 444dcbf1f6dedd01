//! What becomes of the transactions in which approved statements run.
//!
//! It is followed by what the server answers, in the order of its answers: the tags of transaction control tell what was
//! done, the status of its `ReadyForQuery` whether a transaction is open. What can't be told from that is unknown: nobody is
//! told that something is committed, or undone, because it usually is.
//!
//! What not: it changes nothing and decides nothing. The statements of the transaction are recorded as themselves.

use std::collections::VecDeque;

use countersign_core::request::{Fate, Transaction};
use countersign_engine::Used;
use countersign_wire::postgres::TransactionStatus;
use countersign_wire::sql::{Facts, Kind, TransactionStep};

use super::acts::{ActId, Acts};

/// How many savepoints of one transaction are remembered. What is rolled back to an older one is unknown.
const SAVEPOINTS_MAX: usize = 1_024;

/// The transaction of a session, as far as approved statements ran in it.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// Uses of receipts that are done, and may still be undone, oldest first.
    open: Vec<Done>,
    /// Savepoints that were made behind the first of them, oldest first.
    savepoints: Vec<Savepoint>,
    /// Older ones were forgotten.
    forgotten: bool,
    /// The server has said, or it was asked, that a transaction be open beyond the next `Sync`.
    explicit: bool,
    /// Something has failed since the server was ready last.
    failed: bool,
    /// How a transaction of our own is being ended.
    ending: Option<Fate>,
    /// What is known of uses that were told of before.
    concluded: VecDeque<(Used, Fate)>,
}

/// A use of a receipt that is done.
#[derive(Debug)]
struct Done {
    act: ActId,
    used: Used,
    /// It may have committed something by itself, outside of a transaction that was opened by name.
    commits: bool,
    /// Some of it was undone by itself.
    undone: bool,
}

#[derive(Debug)]
struct Savepoint {
    name: String,
    /// How many uses were there before it.
    behind: usize,
    /// What was running when it was made: of that, only a part is behind it.
    within: ActId,
}

/// The transaction control in the text of one action, and how far it has come.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// What is still to be answered.
    steps: VecDeque<TransactionStep>,
    /// A transaction was committed.
    committed: bool,
    /// A transaction was rolled back, or went back to a savepoint.
    rolled_back: bool,
    /// The last that happened was that a whole transaction was rolled back.
    ended_back: bool,
    /// It went back to a savepoint, or to nobody knows what.
    parted: bool,
    /// It may commit by itself.
    commits: bool,
    /// It is one statement.
    single: bool,
}

/// What the server has said that it did.
#[derive(Debug)]
enum Step {
    Begun,
    Committed,
    RolledBack,
    Saved(String),
    Released(String),
    WentBack(String),
    /// The transaction goes on elsewhere, or it is not known what was rolled back.
    Lost,
}

impl Steps {
    /// Of an action that is being sent, if there is anything to follow.
    pub(super) fn of(facts: &Facts, uses: bool) -> Option<Box<Self>> {
        if !uses && facts.transaction.is_empty() {
            return None;
        }
        let by_itself = |kind: &Kind| matches!(kind, Kind::Ddl | Kind::Admin | Kind::Unknown);
        let commits = facts.kinds.iter().any(by_itself) || facts.has_verb("call") || facts.has_verb("do");
        let steps = facts.transaction.iter().cloned().collect();
        Some(Box::new(Self { steps, commits, single: facts.statements == 1, ..Self::default() }))
    }

    /// A statement of it is done; what that was, if it was transaction control.
    fn next(&mut self, tag: &[u8]) -> Option<Step> {
        let step = match tag {
            b"BEGIN" | b"START TRANSACTION" | b"COMMIT" | b"ROLLBACK" | b"SAVEPOINT" | b"RELEASE" => {
                self.steps.pop_front()
            }
            b"PREPARE TRANSACTION" => {
                self.steps.pop_front();
                return Some(Step::Lost);
            }
            // Of a transaction that another session, or this one, has prepared before.
            b"COMMIT PREPARED" | b"ROLLBACK PREPARED" => {
                self.steps.pop_front();
                return None;
            }
            _ => return None,
        };
        Some(match (step, tag) {
            (_, b"BEGIN" | b"START TRANSACTION") => Step::Begun,
            (_, b"COMMIT") => Step::Committed,
            (Some(TransactionStep::RollbackTo(name)), _) => Step::WentBack(name),
            // A COMMIT of what has failed says so too.
            (Some(TransactionStep::Rollback | TransactionStep::Commit), _) => Step::RolledBack,
            (Some(TransactionStep::Savepoint(name)), b"SAVEPOINT") => Step::Saved(name),
            (Some(TransactionStep::Release(name)), b"RELEASE") => Step::Released(name),
            _ => Step::Lost,
        })
    }

    fn note(&mut self, step: &Step) {
        match step {
            Step::Committed => (self.committed, self.ended_back) = (true, false),
            Step::RolledBack => (self.rolled_back, self.ended_back) = (true, true),
            Step::WentBack(_) | Step::Lost => (self.rolled_back, self.parted) = (true, true),
            Step::Begun | Step::Saved(_) | Step::Released(_) => {}
        }
    }
}

impl Transactions {
    /// A statement of an action is done, with this tag.
    pub(super) fn completed(&mut self, act: ActId, tag: &[u8], acts: &mut Acts) {
        let Some(steps) = acts.steps(act) else { return };
        let Some(step) = steps.next(tag) else { return };
        steps.note(&step);
        match step {
            Step::Begun => self.explicit = true,
            Step::Committed => self.over(Fate::Committed, acts),
            Step::RolledBack => self.over(Fate::RolledBack, acts),
            Step::Lost => self.over(Fate::Unknown, acts),
            // Before the first use nothing of interest is behind a savepoint, and a name that is not known stands for those.
            Step::Saved(name) if !self.open.is_empty() || acts.used(act).is_some() => self.saved(name, act),
            Step::Saved(_) => {}
            Step::Released(name) => {
                let at = self.savepoints.iter().rposition(|point| point.name == name);
                self.savepoints.truncate(at.unwrap_or(0));
            }
            Step::WentBack(name) => self.went_back(&name, acts),
        }
    }

    /// An action was done. `ready` is what the server has said with it, where that is the end of its message.
    pub(super) fn done(&mut self, act: ActId, ready: Option<TransactionStatus>, acts: &mut Acts) {
        let Some(used) = acts.used(act) else { return };
        let Some(steps) = acts.steps(act) else { return };
        let Steps { committed, rolled_back, ended_back, parted, commits, single, .. } = *steps;
        if single && parted {
            // It is itself what went back: there is nothing of it that might stand.
            return;
        }
        let over = single || ready == Some(TransactionStatus::Idle);
        let fate = match (committed, rolled_back) {
            (true, false) if over => Some(Fate::Committed),
            (false, true) if ended_back && !parted => Some(Fate::RolledBack),
            (true, _) => Some(Fate::Unknown),
            _ => None,
        };
        match fate {
            Some(fate) => self.tell((act, used), Transaction::Over(fate), acts),
            None => {
                self.tell((act, used), Transaction::Open, acts);
                self.open.push(Done { act, used, commits, undone: rolled_back });
            }
        }
    }

    /// Something was refused by the server. What an action had committed by then stays so.
    pub(super) fn failed(&mut self, act: Option<ActId>, acts: &mut Acts) {
        self.failed = true;
        let Some(act) = act else { return };
        let Some(used) = acts.used(act) else { return };
        if acts.steps(act).is_some_and(|steps| steps.committed) {
            self.tell((act, used), Transaction::Over(Fate::Unknown), acts);
        }
    }

    /// A transaction of our own is being ended so, unless the server refuses.
    pub(super) fn ends(&mut self, fate: Fate) {
        self.ending = Some(fate);
    }

    /// The server is ready. Without a transaction, everything that was done before is committed, or nothing of it.
    pub(super) fn ready(&mut self, status: TransactionStatus, acts: &mut Acts) {
        let (failed, ending) = (std::mem::take(&mut self.failed), self.ending.take());
        if status != TransactionStatus::Idle {
            self.explicit = true;
            return;
        }
        let fate = match (failed, self.explicit) {
            (true, _) => Fate::RolledBack,
            (false, false) => Fate::Committed,
            // It is over, and the server did not say how; of our own it is known.
            (false, true) => ending.unwrap_or(Fate::Unknown),
        };
        self.over(fate, acts);
    }

    /// The session is over, and with it what was not committed, unless something was under way that may have been.
    pub(super) fn end(&mut self, was_quiet: bool, acts: &mut Acts) {
        self.over(if was_quiet { Fate::RolledBack } else { Fate::Unknown }, acts);
    }

    /// What became of a use that was told of as open.
    pub(super) fn next_concluded(&mut self) -> Option<(Used, Fate)> {
        self.concluded.pop_front()
    }

    /// The whole transaction is over.
    fn over(&mut self, fate: Fate, acts: &mut Acts) {
        self.conclude(0, fate, acts);
        self.savepoints.clear();
        (self.forgotten, self.explicit) = (false, false);
    }

    fn saved(&mut self, name: String, within: ActId) {
        if self.savepoints.len() < SAVEPOINTS_MAX {
            self.savepoints.push(Savepoint { name, behind: self.open.len(), within });
        } else {
            self.forgotten = true;
        }
    }

    fn went_back(&mut self, name: &str, acts: &mut Acts) {
        let at = self.savepoints.iter().rposition(|point| point.name == name);
        if self.forgotten {
            // It may be a later one of the same name.
            let behind = at.and_then(|at| self.savepoints.get(at)).map_or(0, |point| point.behind);
            return self.conclude(behind, Fate::Unknown, acts);
        }
        let Some((at, point)) = at.and_then(|at| Some((at, self.savepoints.get(at)?))) else {
            self.savepoints.clear();
            return self.conclude(0, Fate::RolledBack, acts);
        };
        let (behind, within) = (point.behind, point.within);
        self.savepoints.truncate(at + 1);
        let parted = self.open.get(behind).is_some_and(|done| done.act == within);
        if parted {
            // The savepoint stands in the middle of its text.
            self.conclude(behind + 1, Fate::RolledBack, acts);
            self.conclude(behind, Fate::Unknown, acts);
        } else {
            self.conclude(behind, Fate::RolledBack, acts);
        }
    }

    /// Concludes the uses from this one on.
    fn conclude(&mut self, from: usize, fate: Fate, acts: &mut Acts) {
        let explicit = self.explicit;
        // The youngest first: a word on one use is one on all that are younger and still open.
        for done in self.open.split_off(from.min(self.open.len())).into_iter().rev() {
            let fate = match fate {
                Fate::Committed if done.undone => Fate::Unknown,
                Fate::RolledBack if done.commits && !explicit => Fate::Unknown,
                fate => fate,
            };
            self.tell((done.act, done.used), Transaction::Over(fate), acts);
        }
    }

    /// With the outcome, if that was not told yet; else by itself.
    fn tell(&mut self, (act, used): (ActId, Used), transaction: Transaction, acts: &mut Acts) {
        if acts.stands(act, transaction) {
            return;
        }
        let Transaction::Over(fate) = transaction else { return };
        let mut said = self.concluded.iter_mut().rev().filter(|(one, _)| one.request() == used.request());
        match said.next() {
            Some((one, how)) if *how == fate && one.number() > used.number() => *one = used,
            _ => self.concluded.push_back((used, fate)),
        }
    }
}
