//! Following a session: every line of it as it comes, as server-sent events.
//!
//! Unlike the stream of what changed it carries content, so that it is judged and recorded like any reading, when it
//! begins; whether the caller may still read is asked again at each look. It ends with the session, the sign-in, or the
//! permission.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use countersign_core::SessionId;
use countersign_engine::Caller;
use countersign_engine::audit::{Followed, Following};
use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Query, Segment};
use crate::guard::SignedIn;
use crate::problem::{Problem, Problems};
use crate::rooms::Rooms;
use crate::serve::Stopping;
use crate::shapes::sessions::{FollowFrom, FollowedLines};
use crate::throttle::Place;

/// How often it is looked whether there is something new.
const LOOK_MS: u64 = 400;

/// After how many looks without anything a quiet stream shows that it is alive.
const QUIET_LOOKS: u32 = 36;

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new().routes(routes!(follow))
}

/// Tells a session's lines as they come, as server-sent events, until it is over; that it is read is recorded once.
#[utoipa::path(
    get, path = "/sessions/{id}/follow", tag = "sessions", operation_id = "follow",
    params(("id" = String, Path, description = "the session's identifier"), FollowFrom),
    responses(
        (
            status = 200, body = FollowedLines, content_type = "text/event-stream",
            description = "`event: lines` with `FollowedLines`, those that there are first; the last says `over`"
        ),
        Problems,
    )
)]
async fn follow(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    stopping: Option<Extension<Stopping>>,
    id: Segment,
    Query(query): Query<FollowFrom>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let session: SessionId = id.parse()?;
    let place = rooms.stream_of(&caller)?;
    let following = rooms.engine.follow_session(&caller, session, query.from).await?;
    let stopping = stopping.map(|stopping| stopping.0.0);
    let told =
        Told { rooms, caller, following: Some(following), first: true, over: false, stopping, _place: place };
    Ok(Sse::new(stream::unfold(told, |mut told| async move {
        let event = told.next().await?;
        Some((Ok(event), told))
    })))
}

struct Told {
    rooms: Rooms,
    caller: Caller,
    /// Nothing while it is being looked elsewhere, and after that has failed.
    following: Option<Following>,
    first: bool,
    over: bool,
    stopping: Option<watch::Receiver<bool>>,
    _place: Place,
}

impl Told {
    async fn next(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        for quiet in 0.. {
            let stopped = self.stopping.as_ref().is_some_and(|stopping| *stopping.borrow());
            if stopped || !self.rooms.engine.still_signed_in(&self.caller) {
                return None;
            }
            if self.first || self.following.as_ref()?.is_behind() {
                let followed = self.look().await?;
                self.over = followed.over;
                if self.first || self.over || !followed.lines.is_empty() {
                    self.first = false;
                    return lines(followed);
                }
                if followed.more {
                    continue;
                }
            }
            if quiet >= QUIET_LOOKS {
                return Some(Event::default().comment(""));
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
        None
    }

    /// Looks where it holds nobody up. Nothing: the caller may not read it any more, or the ledger can't be read.
    async fn look(&mut self) -> Option<Followed> {
        let mut following = self.following.take()?;
        let looked = tokio::task::spawn_blocking(move || {
            let followed = following.look();
            (following, followed)
        });
        let (following, followed) = looked.await.ok()?;
        self.following = Some(following);
        followed.ok()
    }
}

fn lines(followed: Followed) -> Option<Event> {
    let Followed { lines, next, more: _, over } = followed;
    let told = FollowedLines { items: lines.into_iter().map(Into::into).collect(), next, over };
    Event::default().event("lines").json_data(told).ok()
}
