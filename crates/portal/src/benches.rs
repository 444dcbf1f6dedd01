//! The workbenches that are open: sessions of doors that are worked in from the console.
//!
//! Each belongs to one sign-in and ends with it, with a while of doing nothing, or when it is closed. They are connections,
//! and like any client's they end with the gateway; what was done in them is in the ledger. There are at most so many.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign_core::{At, ResourceId, Span};
use countersign_engine::workbench::{Begun, Order, Workbench};
use countersign_engine::{Caller, Engine};
use tokio::sync::{mpsc, watch};

use crate::problem::{Kind, Problem};

/// How many one principal may have open.
const EACH_MAX: usize = 6;
/// How many there may be.
const ALL_MAX: usize = 256;
/// After how long without a statement one is closed: it may hold locks.
const IDLE: Span = Span::minutes(20);
/// How often it is looked whether one is still wanted.
const LOOK_MS: u64 = 500;

/// Those that are open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Benches(Arc<Mutex<BTreeMap<u128, Arc<Bench>>>>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) id: u128,
    pub(crate) caller: Caller,
    pub(crate) resource: ResourceId,
    pub(crate) begun: Begun,
    pub(crate) opened_at: At,
    orders: mpsc::Sender<Order>,
    leave: watch::Sender<bool>,
    busy: AtomicBool,
    used_at: AtomicI64,
}

/// That one is at work, until dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Bench>, Engine);

impl Benches {
    /// Whether the caller may open one more.
    ///
    /// # Errors
    /// [`Kind::TooMany`].
    pub(crate) fn has_room(&self, caller: &Caller) -> Result<(), Problem> {
        let open = self.open();
        let mine = open.values().filter(|one| one.caller.principal == caller.principal).count();
        if mine >= EACH_MAX || open.len() >= ALL_MAX {
            return Err(
                Problem::new(Kind::TooMany, "too many workbenches are open").hint("close one of them")
            );
        }
        Ok(())
    }

    /// Keeps one for as long as it is wanted.
    pub(crate) fn keep(&self, engine: &Engine, id: u128, kept: Kept) -> Arc<Bench> {
        let Kept { caller, resource, workbench } = kept;
        let Workbench { begun, orders, leave } = workbench;
        let now = engine.now();
        let bench = Arc::new(Bench {
            id,
            caller,
            resource,
            begun,
            opened_at: now,
            orders,
            leave,
            busy: AtomicBool::new(false),
            used_at: AtomicI64::new(now.0),
        });
        self.open().insert(id, Arc::clone(&bench));
        let (benches, engine, kept) = (self.clone(), engine.clone(), Arc::clone(&bench));
        tokio::spawn(async move {
            kept.unwanted(&engine).await;
            kept.leave.send_replace(true);
            benches.open().remove(&kept.id);
        });
        bench
    }

    /// Those of the caller's sign-in, newest first.
    pub(crate) fn of(&self, caller: &Caller) -> Vec<Arc<Bench>> {
        let open = self.open();
        let mine = open.values().rev().filter(|one| one.is_of(caller));
        mine.map(Arc::clone).collect()
    }

    /// One of the caller's.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    pub(crate) fn find(&self, caller: &Caller, id: u128) -> Result<Arc<Bench>, Problem> {
        let open = self.open();
        let found = open.get(&id).filter(|one| one.is_of(caller)).map(Arc::clone);
        found.ok_or_else(|| {
            Problem::new(Kind::NotFound, "this workbench is not open any more").hint("open it again")
        })
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u128, Arc<Bench>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one is kept with.
pub(crate) struct Kept {
    pub(crate) caller: Caller,
    pub(crate) resource: ResourceId,
    pub(crate) workbench: Workbench,
}

impl Bench {
    fn is_of(&self, caller: &Caller) -> bool {
        self.caller.principal == caller.principal && self.caller.sign_in == caller.sign_in
    }

    /// Whether something runs or waits in it.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Gives it something to do, one at a time.
    ///
    /// # Errors
    /// It is at work, or its session is over.
    pub(crate) async fn order(self: &Arc<Self>, engine: &Engine, order: Order) -> Result<Busy, Problem> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(Problem::new(Kind::Conflict, "a statement runs or waits in this workbench")
                .hint("cancel it, or wait until it is done"));
        }
        let busy = Busy(Arc::clone(self), engine.clone());
        self.orders.send(order).await.map_err(|_| {
            Problem::new(Kind::Conflict, "the session of this workbench is over").hint("open it again")
        })?;
        Ok(busy)
    }

    /// Cancels what runs or waits.
    pub(crate) fn cancel(&self) {
        // One that is full of orders, or over, has nothing to cancel.
        let _full = self.orders.try_send(Order::Cancel);
    }

    /// Leaves it at once.
    pub(crate) fn close(&self) {
        self.leave.send_replace(true);
    }

    /// Resolves when it is over, or nobody wants it any more.
    async fn unwanted(&self, engine: &Engine) {
        loop {
            tokio::select! {
                () = self.orders.closed() => return,
                () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
            }
            let used_at = At(self.used_at.load(Ordering::Acquire));
            let idle = !self.is_busy() && engine.now() > used_at.plus(IDLE);
            if idle || *self.leave.borrow() || !engine.still_signed_in(&self.caller) {
                return;
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.used_at.store(self.1.now().0, Ordering::Release);
        self.0.busy.store(false, Ordering::Release);
    }
}
