//! What actors share, and what the world outside the gateway saw of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use countersign_core::{PrincipalId, RequestId, SessionId};
use countersign_engine::people::Caller;
use countersign_engine::{Engine, Session};

use crate::dice::Dice;
use crate::oracle::{Said, Violation};

/// What a faulty door does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It forwards first and has it recorded afterwards.
    ForwardsFirst,
    /// It gives the answer to a read before its record is durable.
    ReleasesEarly,
    /// It forwards what was recorded once a second time.
    ForwardsTwice,
    /// It lets a statement stand that touched more rows than it may.
    LetsRowsStand,
}

/// The world outside: it remembers across crashes.
#[derive(Default)]
pub struct World {
    /// What somebody was told is so.
    pub promises: Vec<Said>,
    /// What reached the upstream and may have changed something.
    pub executions: Vec<Execution>,
    /// Reads whose answer reached a client.
    pub released: Vec<Released>,
    /// Outcomes that doors told, by the line that allowed what ended.
    pub outcomes: Vec<Told>,
    /// Checkpoints that anybody could fetch, by size.
    pub checkpoints: BTreeMap<u64, String>,
    /// How many statements were made.
    pub statements: u64,
    /// What an actor saw that must not be.
    pub violations: Vec<Violation>,
}

/// Something that the upstream ran.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Its text, which no other statement has.
    pub text: String,
    /// In which session.
    pub session: SessionId,
    /// The line that allowed it, if the door knows.
    pub line: Option<u64>,
    /// The request that allowed it.
    pub request: Option<RequestId>,
    /// What its relation was when it ran.
    pub relation: String,
    /// How many rows it changed for good.
    pub rows: u64,
}

/// A read whose answer reached a client.
#[derive(Clone, Debug)]
pub struct Released {
    /// Its text.
    pub text: String,
    /// Whether it may be lost in a crash that comes at once.
    pub alongside: bool,
    /// The writer has emptied its queue since.
    pub settled: bool,
}

/// Something told to the gateway that nobody waits for.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// About what is allowed in this line.
    pub line: u64,
    /// The writer has emptied its queue since.
    pub settled: bool,
}

/// One life of a gateway, as actors see it.
pub struct Scene {
    /// The gateway.
    pub engine: Engine,
    /// The world.
    pub world: Rc<RefCell<World>>,
    /// Chance.
    pub dice: RefCell<Dice>,
    /// What doors do wrong.
    pub fault: Option<Fault>,
    /// Sessions that doors have open.
    pub sessions: RefCell<Vec<Session>>,
    /// What the relation that statements touch is at present.
    pub relation: Cell<u64>,
}

impl Scene {
    /// Somebody who is signed in.
    pub fn caller(&self, name: &str) -> Caller {
        self.engine.caller_of(&PrincipalId::new(name))
    }

    /// True this often in a hundred.
    pub fn chance(&self, percent: u64) -> bool {
        self.dice.borrow_mut().chance(percent)
    }

    /// One of them.
    pub fn pick<T: Clone>(&self, of: &[T]) -> T {
        self.dice.borrow_mut().pick(of).clone()
    }

    /// A number below `count`.
    pub fn below(&self, count: usize) -> usize {
        self.dice.borrow_mut().below(count)
    }

    /// Some open session, anybody's.
    pub fn another_session(&self) -> Option<Session> {
        let open = self.sessions.borrow();
        (!open.is_empty()).then(|| self.pick(&open))
    }

    /// Somebody was told that this is so.
    pub fn promised(&self, kind: &str, about: Option<u128>, by: Option<&str>) {
        self.world.borrow_mut().promises.push(Said::new(kind, about, by));
    }

    /// Something must not be.
    pub fn violated(&self, rule: &'static str, what: impl Into<String>) {
        self.world.borrow_mut().violations.push(Violation::new(rule, what));
    }

    /// The next statement's number.
    pub fn statement(&self) -> u64 {
        let mut world = self.world.borrow_mut();
        world.statements += 1;
        world.statements
    }

    /// Waits until it is looked after again: in between anything may happen.
    pub async fn pause(&self) {
        Pause(false).await;
    }
}

struct Pause(bool);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}
