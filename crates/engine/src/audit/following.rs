//! Following a session: its lines as they come, for whoever may read them. Recorded once, when it begins.

use countersign_core::SessionId;

use super::{EventView, READ_MAX};
use crate::engine::Engine;
use crate::index::session_key;
use crate::line::read;
use crate::people::Caller;
use crate::words::{Refused, RefusedCode};

/// How many lines of the ledger are looked through at a time.
const LINES_MAX: u64 = 5_000;

/// A session that somebody follows.
#[derive(Debug)]
pub struct Following {
    engine: Engine,
    caller: Caller,
    session: SessionId,
    /// What its lines have in them; others are not read as JSON.
    mark: Vec<u8>,
    next: u64,
}

/// What came of looking once.
#[derive(Debug)]
pub struct Followed {
    /// Lines of the session, in order.
    pub lines: Vec<EventView>,
    /// Where to go on.
    pub next: u64,
    /// There was more than is looked through at a time.
    pub more: bool,
    /// The session is over, and all its lines were told.
    pub over: bool,
}

impl Engine {
    /// Begins to follow a session: from this line on, or from its beginning.
    ///
    /// # Errors
    /// There is none, policy does not permit it, or it can't be recorded.
    pub async fn follow_session(
        &self,
        caller: &Caller,
        session: SessionId,
        from: Option<u64>,
    ) -> Result<Following, Refused> {
        self.may_read(caller, Some(session))?;
        let first = self.0.house.first_told(&session_key(session));
        let first = first
            .ok_or_else(|| Refused::new(RefusedCode::NotFound, format!("there is no session `{session}`")))?;
        let next = from.unwrap_or(first).max(first);
        let words = format!("session {session}, followed from line {next}");
        self.record_read_of(caller, "ledger.read", &words, 0).await?;
        let mark = format!("\"session\":\"{session}\"").into_bytes();
        Ok(Following { engine: self.clone(), caller: caller.clone(), session, mark, next })
    }
}

impl Following {
    /// Whether there may be something new.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.engine.snapshot().index > self.next || !self.is_open()
    }

    /// What came since the last look. Reads from the store.
    ///
    /// # Errors
    /// The caller may not read it any more, or the ledger can't be read.
    pub fn look(&mut self) -> Result<Followed, Refused> {
        self.engine.may_read(&self.caller, Some(self.session))?;
        // Asked first: a line that tells of the end is then among those that are read.
        let open = self.is_open();
        let (end, mut lines, mut seen) = (self.engine.snapshot().index, Vec::new(), 0);
        while self.next < end && seen < LINES_MAX {
            let count = usize::try_from(end - self.next).unwrap_or(READ_MAX).min(READ_MAX);
            let stored = self.engine.0.house.store.read(self.next, count);
            let stored = stored.map_err(|_| Refused::unavailable())?;
            if stored.is_empty() {
                break;
            }
            for line in stored {
                self.next = line.index + 1;
                seen += 1;
                if line.bytes.windows(self.mark.len()).any(|part| part == self.mark) {
                    let line = read(line.bytes).ok().filter(|line| line.session == Some(self.session));
                    lines.extend(line.map(|line| self.engine.view(line)));
                }
            }
        }
        let more = self.next < end;
        Ok(Followed { lines, next: self.next, more, over: !open && !more })
    }

    fn is_open(&self) -> bool {
        self.engine.snapshot().book.session(self.session).is_some()
    }
}
