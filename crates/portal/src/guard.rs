//! The guard at the door of every endpoint: it finds the endpoint in the table, finds out who calls, and
//! turns away whom the table turns away. Only then does a handler run, with the [`Caller`] in its hand.
//!
//! It is the first of two: what depends on the very thing (this request, that grant) the engine judges, for
//! every caller alike. A handler that forgot to ask for the caller would find the guard had asked already; an
//! endpoint that is not in the table is refused.

use axum::extract::{FromRequestParts, MatchedPath, OriginalUri, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use countersign_core::ActionName;
use countersign_engine::{Caller, Means, Via};
use countersign_policy::Class;

use crate::document::PREFIX;
use crate::dpop;
use crate::endpoints::{self, Endpoint, Judge};
use crate::origin::{Presented, unauthenticated};
use crate::problem::{Kind, Problem};
use crate::rooms::Rooms;
use crate::serve::Peer;

/// How the command line names itself. It only shows in records and to policy as `via`.
const CLI_AGENT: &str = "countersign/";

/// Whoever is signed in, as the guard found out.
pub struct SignedIn(pub Caller);

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Caller>().cloned().map(Self).ok_or_else(unauthenticated)
    }
}

/// Lets a call through, or not.
pub async fn guard(State(rooms): State<Rooms>, call: Request, next: Next) -> Response {
    let (mut head, body) = call.into_parts();
    match admit(&rooms, &mut head).await {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(problem) => problem.into_response(),
    }
}

async fn admit(rooms: &Rooms, call: &mut Parts) -> Result<(), Problem> {
    rooms.home.refuse_foreign(&call.method, &call.headers)?;
    let endpoint = endpoint(call).ok_or_else(|| {
        tracing::error!(path = call.uri.path(), "an endpoint is missing from the table of endpoints");
        Problem::new(Kind::Internal, "this endpoint is not in the table of endpoints")
    })?;
    match endpoint.judge {
        Judge::Nobody => return Ok(()),
        Judge::Local if is_local(call) => return Ok(()),
        Judge::Local | Judge::SignIn | Judge::Guard | Judge::Engine => {}
    }
    let caller = caller(rooms, call).await?;
    judge(rooms, endpoint, &caller)?;
    call.extensions.insert(caller);
    Ok(())
}

fn endpoint(call: &Parts) -> Option<&'static Endpoint> {
    let path = call.extensions.get::<MatchedPath>()?.as_str().strip_prefix(PREFIX)?;
    endpoints::find(&call.method, path)
}

/// Whoever presents a token that stands.
async fn caller(rooms: &Rooms, call: &Parts) -> Result<Caller, Problem> {
    let (token, via, shown) = match rooms.home.presented(&call.method, &call.headers)? {
        Presented::Cookie(token) => (token, Via::Console, None),
        Presented::Bearer(token) => (token, program(&call.headers), None),
        Presented::Proved(token) => {
            let shown = proof(rooms, call, Some(token)).ok_or_else(unauthenticated)?;
            (token, program(&call.headers), Some(shown))
        }
    };
    let source = call.extensions.get::<Peer>().map(|peer| peer.0.ip());
    let key = shown.as_ref().map(|shown| &shown.key);
    // Why a token does not stand is nobody's business who does not hold one that does.
    let caller =
        rooms.engine.caller_showing(token, key, (via, source)).await.map_err(|_| unauthenticated())?;
    match shown {
        Some(shown) if !rooms.proofs.is_first(&shown, rooms.engine.now()) => Err(unauthenticated()),
        _ => Ok(caller),
    }
}

/// The proof of a key that a call brings, if it is right for this call.
pub(crate) fn proof(rooms: &Rooms, call: &Parts, token: Option<&str>) -> Option<dpop::Shown> {
    let path = call.extensions.get::<OriginalUri>().map_or(call.uri.path(), |uri| uri.0.path());
    let (home, method, now) = (&*rooms.home, &call.method, rooms.engine.now());
    dpop::shown(&call.headers, dpop::For { home, method, path, token, now })
}

fn judge(rooms: &Rooms, endpoint: &Endpoint, caller: &Caller) -> Result<(), Problem> {
    // A job's own credentials are the engine's to judge; that of others the floor forbids.
    let is_jobs = endpoint.action == "credential.mint" && caller.proof.means.contains(Means::Workload);
    let for_users = matches!(endpoint.class, Class::Decide | Class::Mint | Class::Govern) && !is_jobs;
    if for_users && !is_user(rooms, caller) {
        return Err(Problem::new(Kind::Denied, "services and agents never approve, mint or govern")
            .hint("the user who answers for it can"));
    }
    if endpoint.judge == Judge::Guard && !rooms.engine.permitted(caller, &ActionName::new(endpoint.action)) {
        return Err(not_permitted(endpoint.action));
    }
    Ok(())
}

/// That policy does not permit `action`.
#[must_use]
pub fn not_permitted(action: &str) -> Problem {
    Problem::new(Kind::Denied, format!("policy does not permit you `{action}`"))
        .hint("ask those who apply policy whether you should have it")
}

fn is_user(rooms: &Rooms, caller: &Caller) -> bool {
    let snapshot = rooms.engine.snapshot();
    let principal = snapshot.book.catalogue.principals.get(&caller.principal);
    principal.is_some_and(countersign_core::catalogue::Principal::is_user)
}

/// Which kind of program calls, as it says itself.
#[must_use]
pub fn program(headers: &HeaderMap) -> Via {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    if agent.is_some_and(|agent| agent.starts_with(CLI_AGENT)) { Via::Cli } else { Via::Api }
}

/// Whether the call was made on this machine. A proxy in front would make every call look so, and says so.
fn is_local(call: &Parts) -> bool {
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip"];
    let peer = call.extensions.get::<Peer>();
    peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback())
        && !forwarded.iter().any(|name| call.headers.contains_key(*name))
}
