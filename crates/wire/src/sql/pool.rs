//! Threads with stacks large enough to parse on.
//!
//! Parsing recurses with the nesting of the text, and a small stack would overflow, which ends the process. Whoever
//! already runs on threads of [`super::STACK_BYTES`] (a runtime configured so: the stack is address space, not
//! memory) uses [`Parser::here`] and saves two thread switches a statement; everybody else hands work to
//! [`Parser::threads`].

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::STACK_BYTES;

type Job = Box<dyn FnOnce() + Send>;

/// How many jobs wait before callers are told that the parser is busy.
const QUEUE_MAX: usize = 1_024;

/// Where parsing happens.
#[derive(Clone, Debug)]
pub struct Parser {
    queue: Option<SyncSender<Job>>,
}

/// The parser took no more work, or the work failed without an answer. The statement is then not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the statement parser is busy or failed; try again")]
pub struct Busy;

impl Parser {
    /// Parses on the caller's own thread, which the caller vouches has [`STACK_BYTES`] of stack.
    pub fn here() -> Parser {
        Parser { queue: None }
    }

    /// Starts `count` threads (at least one). They end when the last clone of the handle is dropped.
    ///
    /// # Errors
    ///
    /// When the system grants no thread.
    pub fn threads(count: usize) -> io::Result<Parser> {
        let (sender, receiver) = sync_channel::<Job>(QUEUE_MAX);
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..count.max(1) {
            let receiver = Arc::clone(&receiver);
            std::thread::Builder::new()
                .name(format!("sql-parser-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || work(&receiver))?;
        }
        Ok(Parser { queue: Some(sender) })
    }

    /// Hands work over without waiting for it; [`Parser::here`] does it before this returns.
    ///
    /// # Errors
    ///
    /// [`Busy`] when too much waits already.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        match &self.queue {
            None => {
                // As on a thread of ours, a panic costs its caller the answer and nothing else.
                let _ = catch_unwind(AssertUnwindSafe(job));
                Ok(())
            }
            Some(queue) => queue.try_send(Box::new(job)).map_err(|e| match e {
                TrySendError::Full(_) | TrySendError::Disconnected(_) => Busy,
            }),
        }
    }

    /// Runs work on a large stack and waits for its answer.
    ///
    /// # Errors
    ///
    /// [`Busy`] when too much waits already or the work panicked.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        if self.queue.is_none() {
            return Ok(job());
        }
        let (answer, answered) = sync_channel(1);
        self.submit(move || {
            // The caller may have gone; then nobody misses the answer.
            let _ = answer.send(job());
        })?;
        answered.recv().map_err(|_| Busy)
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A panic costs its caller the answer and nobody else the thread.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Unparsed, parse};

    #[test]
    fn answers_and_survives_a_panic() {
        let parser = Parser::threads(1).unwrap();
        assert_eq!(parser.run(|| 1 + 1), Ok(2));
        assert_eq!(parser.run(|| -> u32 { panic!("on purpose") }), Err(Busy));
        assert_eq!(parser.run(|| 3), Ok(3));
        assert_eq!(Parser::here().run(|| 4), Ok(4));
    }

    #[test]
    fn a_full_queue_is_told_not_waited_for() {
        let parser = Parser::threads(1).unwrap();
        let (open, gate) = sync_channel::<()>(0);
        parser
            .submit(move || {
                let _ = gate.recv();
            })
            .unwrap();
        let mut refused = false;
        for _ in 0..=QUEUE_MAX + 1 {
            refused |= parser.submit(|| {}).is_err();
        }
        assert!(refused);
        drop(open);
    }

    #[test]
    fn hostile_nesting_is_an_answer_not_a_crash() {
        let parser = Parser::threads(1).unwrap();
        let shapes: [fn(usize) -> String; 9] = [
            |n| format!("select {}1", "1+".repeat(n)),
            |n| format!("select {}1{}", "(".repeat(n), ")".repeat(n)),
            |n| format!("select {}", "- ".repeat(n) + "1"),
            |n| format!("select {}1", "not ".repeat(n)),
            |n| format!("select {}1{}", "f(".repeat(n), ")".repeat(n)),
            |n| format!("select {}1{}", "(select ".repeat(n), ")".repeat(n)),
            |n| format!("select 1{}", " union all select 1".repeat(n)),
            |n| format!("select * from a{}", " join a on true".repeat(n)),
            |n| format!("select {}1{}", "case when true then ".repeat(n), " end".repeat(n)),
        ];
        for shape in shapes {
            for n in [50, 500, 5_000, 10_000] {
                let sql = shape(n);
                let outcome = parser.run(move || parse(sql.as_bytes()).map(|p| p.statements())).unwrap();
                assert!(
                    matches!(
                        outcome,
                        Ok(1) | Err(Unparsed::Syntax { .. } | Unparsed::TooDeep | Unparsed::TooLong { .. })
                    ),
                    "{outcome:?}"
                );
                if n == 50 {
                    assert_eq!(outcome, Ok(1), "ordinary depth parses");
                }
            }
        }
    }
}
