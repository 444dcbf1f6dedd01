//! Followers: whoever reacts to what is in the ledger, behind the decision and never in its way.
//!
//! A follower has a name and a cursor. It is given lines in order, at least once, and must be idempotent; when it
//! fails it is given the same lines again, later. What it builds can be thrown away and built anew from line zero.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use countersign_core::Span;
use tokio::task::JoinHandle;

use crate::engine::{Engine, Inner};
use crate::line::{Line, read};
use crate::store::{Drawer, Put, StoreError};

/// How many lines a follower is given at a time.
const BATCH_MAX: usize = 500;

/// How long a failing follower is left alone at first, and at most.
const BACKOFF: (Span, Span) = (Span(200_000), Span::minutes(1));

/// What a follower does with lines.
pub type Handling<'a> = Pin<Box<dyn Future<Output = Result<(), FollowError>> + Send + 'a>>;

/// Reacts to lines.
pub trait Follower: Send + 'static {
    /// Its name; its cursor is kept under it.
    fn name(&self) -> &'static str;

    /// Takes lines, in order. They may have been given before.
    ///
    /// # Errors
    /// It could not; it is given them again.
    fn handle<'a>(&'a mut self, lines: &'a [Line]) -> Handling<'a>;
}

/// Why a follower could not take lines. It is told to the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FollowError(pub String);

impl Engine {
    /// Starts a follower where its cursor is. It ends with the engine.
    pub fn follow(&self, follower: impl Follower) -> JoinHandle<()> {
        tokio::spawn(run(Arc::downgrade(&self.0), Box::new(follower)))
    }
}

async fn run(engine: Weak<Inner>, mut follower: Box<dyn Follower>) {
    let mut wait = BACKOFF.0;
    let Some(inner) = engine.upgrade() else { return };
    let mut changed = inner.hall.changed.subscribe();
    drop(inner);
    loop {
        let Some(inner) = engine.upgrade() else { return };
        let engine_now = Engine(inner);
        let went = advance(&engine_now, follower.as_mut()).await;
        let clock = Arc::clone(&engine_now.0.house.ports.clock);
        drop(engine_now);
        match went {
            Ok(true) => wait = BACKOFF.0,
            Ok(false) => {
                wait = BACKOFF.0;
                if changed.changed().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(follower = follower.name(), %error, "a follower could not take lines");
                clock.sleep_until(clock.now().plus(wait)).await;
                wait = Span(wait.0.saturating_mul(2)).min(BACKOFF.1);
            }
        }
    }
}

/// Gives a follower its next lines; whether there were any.
async fn advance(engine: &Engine, follower: &mut dyn Follower) -> Result<bool, FollowError> {
    let told = |error: StoreError| FollowError(error.chain());
    let store = Arc::clone(&engine.0.house.store);
    let key = format!("follower:{}", follower.name()).into_bytes();
    let cursor = store.get(Drawer::Cursors, &key).map_err(told)?;
    let cursor = cursor.and_then(|bytes| <[u8; 8]>::try_from(bytes.as_slice()).ok());
    let from = cursor.map_or(0, u64::from_be_bytes);
    let stored = store.read(from, BATCH_MAX).map_err(told)?;
    let lines = stored.into_iter().map(|line| read(line.bytes));
    let lines =
        lines.collect::<Result<Vec<Line>, _>>().map_err(|bad| FollowError(crate::line::chain(&bad)))?;
    let Some(last) = lines.last() else { return Ok(false) };
    follower.handle(&lines).await?;
    let next = last.index.saturating_add(1);
    let put = Put::set(Drawer::Cursors, key, next.to_be_bytes());
    let stored = tokio::task::spawn_blocking(move || store.put(&[put])).await;
    stored.map_err(|error| FollowError(error.to_string()))?.map_err(told)?;
    Ok(true)
}
