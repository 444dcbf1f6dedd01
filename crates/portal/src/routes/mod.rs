//! The handlers, one module per subject. Each reads its call, asks the engine, and puts the answer into a
//! shape; what may go wrong is said once, in [`crate::problem`].

mod accesses;
mod bundle;
mod catalogue;
mod consents;
mod credentials;
mod devices;
mod directories;
mod events;
mod following;
mod grants;
mod identity;
mod ledger;
mod me;
mod oidc;
mod principals;
mod programs;
mod requests;
mod roles;
mod scripts;
mod secrets;
mod sessions;
mod setup;
mod sign_in;
mod status;
mod trial;
mod workbenches;

pub(crate) use sign_in::From;

use countersign_core::ids::BadId;
use countersign_engine::Engine;
use utoipa_axum::router::OpenApiRouter;

use crate::problem::{Kind, Problem};
use crate::rooms::Rooms;

/// How much a page holds unless the caller wants less, or more.
const PAGE: usize = 100;

/// How much a page holds at most.
const PAGE_MAX: usize = 500;

/// Reads from the store where it holds nobody up.
async fn reading<T: Send + 'static>(
    rooms: &Rooms,
    read: impl FnOnce(&Engine) -> T + Send + 'static,
) -> Result<T, Problem> {
    let engine = rooms.engine.clone();
    tokio::task::spawn_blocking(move || read(&engine)).await.map_err(|error| {
        tracing::error!(%error, "reading for the portal ended abnormally");
        Problem::new(Kind::Internal, "this could not be read")
    })
}

/// What somebody wrote is no name of its kind.
fn bad(bad: BadId) -> Problem {
    Problem::new(Kind::Invalid, bad.to_string())
}

/// How much of a list is wanted.
fn page(limit: Option<usize>) -> usize {
    limit.unwrap_or(PAGE).clamp(1, PAGE_MAX)
}

/// Every endpoint, beneath the prefix.
pub(crate) fn api() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new()
        .merge(accesses::router())
        .merge(bundle::router())
        .merge(catalogue::router())
        .merge(consents::router())
        .merge(credentials::router())
        .merge(devices::router())
        .merge(directories::router())
        .merge(events::router())
        .merge(following::router())
        .merge(grants::router())
        .merge(identity::router())
        .merge(ledger::router())
        .merge(me::router())
        .merge(oidc::router())
        .merge(principals::router())
        .merge(programs::router())
        .merge(requests::router())
        .merge(roles::router())
        .merge(scripts::router())
        .merge(secrets::router())
        .merge(sessions::router())
        .merge(setup::router())
        .merge(sign_in::router())
        .merge(status::router())
        .merge(trial::router())
        .merge(workbenches::router())
}
