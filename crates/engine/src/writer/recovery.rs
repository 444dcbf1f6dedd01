//! When the store fails: back to what is durable, and on again when it can.

use super::work::{Note, Work};
use super::{Broken, Live, Published, Turn, Writer, open};
use crate::line::{Outcome, Stamp, State, Topic};
use crate::settings::SNAPSHOT_EVERY;
use crate::store::StoreError;

impl Writer {
    /// Tries to write again after a failure. Gives what is now so, if it worked.
    pub(crate) fn recover(&mut self) -> Result<Option<Turn>, StoreError> {
        let Some(mut broken) = self.broken.clone() else { return Ok(None) };
        self.catch_up()?;
        // Lines that are learnt later are what an attempt to recover wrote.
        let learnt = broken.from < self.live.index;
        let survived = *broken.survived.get_or_insert(learnt);
        let note = |kind, outcome, since| {
            let state = State { since, version: crate::VERSION, why: Some(broken.why.clone()) };
            let mut note = Note::new(kind, Topic::State(state));
            note.line.outcome = outcome;
            Work::Note(Box::new(note))
        };
        let since = Some(Stamp(broken.since));
        self.broken = None;
        let mut turn = self.turn(&[
            note("system.degraded", Outcome::Failure, since),
            note("system.recovered", Outcome::Success, since),
        ]);
        match self.broken.take() {
            None => {
                self.survived = survived;
                if learnt {
                    turn.changed.mark_all(self.live.index);
                }
                Ok(Some(turn))
            }
            Some(again) => {
                let error = StoreError::failed("recover", again.why);
                self.broken = Some(broken);
                Err(error)
            }
        }
    }

    /// Nothing of the turn happened. Caches that it filled are emptied: what they name may not be stored.
    pub(super) fn fall_back(&mut self, before: Live, error: &StoreError) {
        let why = error.chain();
        tracing::error!(error = %why, "the ledger can't take records; every action is refused until it can");
        let from = before.index;
        self.live = before;
        self.contents.clear();
        self.texts.clear();
        self.since_snapshot = SNAPSHOT_EVERY;
        self.survived = false;
        self.broken = Some(Broken { since: self.now(), why, from, survived: None });
    }

    /// A checkpoint that was made durable although the store said otherwise is the one of its size.
    fn learn_checkpoint(&mut self) -> Result<(), StoreError> {
        let Some((checkpoint, note)) = open::last_checkpoint(&*self.store)? else { return Ok(()) };
        let known = self.published.as_ref().map_or(0, |last| last.size);
        if checkpoint.size > known && checkpoint.size == self.tree.size() {
            let partials = self.tree.partials().to_vec();
            let (size, root, at) = (checkpoint.size, checkpoint.root, self.now());
            self.published = Some(Published { size, root, note, at, partials });
        }
        Ok(())
    }

    /// After a failure: lines that were made durable although the store said otherwise are learnt.
    fn catch_up(&mut self) -> Result<(), StoreError> {
        let next = self.store.next_index()?;
        self.learn_checkpoint()?;
        while self.live.index < next {
            let lines = self.store.read(self.live.index, 1_000)?;
            if lines.is_empty() {
                return Err(StoreError::failed("read lines", "lines are missing"));
            }
            for line in lines {
                open::learn(&mut self.live, &self.house, &line)
                    .map_err(|broken| StoreError::failed("read lines", broken.to_string()))?;
                self.tree.push(self.live.prev);
            }
        }
        if self.live.index != next {
            return Err(StoreError::Moved { expected: self.live.index, found: next });
        }
        Ok(())
    }
}
