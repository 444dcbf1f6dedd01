//! The event stream: tells a client what to read again, as it changes.
//!
//! It carries subjects, never content: whoever is told that requests changed reads them through the endpoint
//! that judges what they may see. It is sent at most a few times a second however much happens, begins with
//! everything (a client that reconnects has missed it), and ends when the sign-in does.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use countersign_engine::{Caller, Changed};
use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::guard::SignedIn;
use crate::problem::{Problem, Problems};
use crate::rooms::Rooms;
use crate::serve::Stopping;
use crate::shapes::status::{Change, Topic};
use crate::throttle::Place;

/// How often a quiet stream shows that it is alive, and asks whether the sign-in is.
const HEARTBEAT_MS: u64 = 15_000;

/// How long changes are gathered before they are told.
const GATHER_MS: u64 = 100;

/// After how long a client that lost the stream comes back.
const RETRY_MS: u64 = 1_000;

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new().routes(routes!(events))
}

/// Tells what changes, as server-sent events, until the sign-in ends.
#[utoipa::path(
    get, path = "/events", tag = "events", operation_id = "changes",
    responses(
        (
            status = 200, body = Change, content_type = "text/event-stream",
            description = "`event: change` with a `Change`, everything first; a comment every 15 seconds"
        ),
        Problems,
    )
)]
async fn events(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    stopping: Option<Extension<Stopping>>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let place = rooms.stream_of(&caller)?;
    let changed = rooms.engine.changed();
    let stopping = stopping.map(|stopping| stopping.0.0);
    let follow = Follow { rooms, caller, changed, told: None, stopping, _place: place };
    Ok(Sse::new(stream::unfold(follow, |mut follow| async move {
        let event = follow.next().await?;
        Some((Ok(event), follow))
    })))
}

struct Follow {
    rooms: Rooms,
    caller: Caller,
    changed: watch::Receiver<Changed>,
    told: Option<Changed>,
    stopping: Option<watch::Receiver<bool>>,
    _place: Place,
}

enum Woken {
    Changed,
    Quiet,
    Over,
}

impl Follow {
    async fn next(&mut self) -> Option<Event> {
        if self.told.is_none() {
            return self.tell().map(|event| event.retry(Duration::from_millis(RETRY_MS)));
        }
        loop {
            let woken = self.wait().await;
            if !self.rooms.engine.still_signed_in(&self.caller) {
                return None;
            }
            match woken {
                Woken::Over => return None,
                Woken::Quiet => return Some(Event::default().comment("")),
                Woken::Changed => {
                    if let Some(event) = self.tell() {
                        return Some(event);
                    }
                }
            }
        }
    }

    async fn wait(&mut self) -> Woken {
        let stopped = async {
            match &mut self.stopping {
                Some(stopping) => drop(stopping.wait_for(|stop| *stop).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stopped => Woken::Over,
            changed = self.changed.changed() => match changed {
                Ok(()) => {
                    tokio::time::sleep(Duration::from_millis(GATHER_MS)).await;
                    Woken::Changed
                }
                Err(_) => Woken::Over,
            },
            () = tokio::time::sleep(Duration::from_millis(HEARTBEAT_MS)) => Woken::Quiet,
        }
    }

    /// What changed since it was last told; the first time, everything.
    fn tell(&mut self) -> Option<Event> {
        let changed = *self.changed.borrow_and_update();
        let topics = match self.told.replace(changed) {
            None => Topic::ALL.to_vec(),
            Some(told) => changed.topics.since(&told.topics).into_iter().filter_map(Topic::named).collect(),
        };
        if topics.is_empty() {
            return None;
        }
        Event::default().event("change").json_data(Change { index: changed.index, topics }).ok()
    }
}
