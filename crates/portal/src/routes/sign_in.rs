//! Signing in and out.
//!
//! A program gets its token in the answer. A browser gets it in a cookie that scripts cannot read, and not in
//! the answer: a script that was smuggled into the page has nothing to carry away.

use axum::Json as Answer;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use countersign_core::At;
use countersign_engine::{self as engine, SignInClient, SignInRefused, SignInStep, Via};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use crate::extract::Json;
use crate::guard::{SignedIn as Caller, program};
use crate::origin::CONSOLE_HEADER;
use crate::problem::{Kind, Problem, Problems};
use crate::rooms::Rooms;
use crate::serve::Peer;
use crate::shapes::identity::{PasskeyAsked, PasskeyShown, SecondSignIn, SecondStep};
use crate::shapes::people::{SignIn, SignedIn};

/// How much of what a client says of itself is kept.
const USER_AGENT_BYTES_MAX: usize = 256;

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new()
        .routes(routes!(sign_in))
        .routes(routes!(sign_in_second))
        .routes(routes!(ask_passkey))
        .routes(routes!(sign_in_passkey))
        .routes(routes!(sign_out))
}

/// Who signs in, as far as the call itself tells.
pub(crate) struct From {
    pub(crate) client: SignInClient,
    is_browser: bool,
}

impl From {
    /// Whether a page of the console calls.
    pub(super) fn is_browser(&self) -> bool {
        self.is_browser
    }
}

impl<S: Send + Sync> FromRequestParts<S> for From {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let source = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
        let is_browser = parts.headers.contains_key(CONSOLE_HEADER);
        let via = if is_browser { Via::Console } else { program(&parts.headers) };
        let client = SignInClient { source, via, user_agent: user_agent(&parts.headers) };
        Ok(Self { client, is_browser })
    }
}

/// Signs in with a name and a password.
#[utoipa::path(
    post, path = "/sign-in", tag = "sign-in", operation_id = "sign_in",
    request_body = SignIn,
    responses(
        (status = 200, description = "Signed in", body = SignedIn),
        (status = 202, description = "The password is right; a second factor comes next", body = SecondStep),
        Problems
    ),
    security(())
)]
async fn sign_in(
    State(rooms): State<Rooms>,
    from: From,
    Json(SignIn { user, password }): Json<SignIn>,
) -> Result<Response, Problem> {
    let password = Zeroizing::new(password);
    let step = tried(&rooms, &from, async |now| {
        let step = rooms.engine.sign_in(&user, &password, from.client.clone()).await;
        step.map_err(|refused| said(refused, now))
    });
    match step.await? {
        SignInStep::Done(signed_in) => let_in(&rooms, &from, signed_in),
        SignInStep::Second(step) => {
            Ok((StatusCode::ACCEPTED, Answer(SecondStep::from(step))).into_response())
        }
    }
}

/// Completes a sign-in with a one-time code or a recovery code.
#[utoipa::path(
    post, path = "/sign-in/second", tag = "sign-in", operation_id = "sign_in_second",
    request_body = SecondSignIn,
    responses((status = 200, description = "Signed in", body = SignedIn), Problems),
    security(())
)]
async fn sign_in_second(
    State(rooms): State<Rooms>,
    from: From,
    Json(second): Json<SecondSignIn>,
) -> Result<Response, Problem> {
    let signed_in = tried(&rooms, &from, async |now| {
        let done = rooms.engine.sign_in_second(&second.pending, &second.code, from.client.clone()).await;
        done.map_err(|refused| said(refused, now))
    });
    let_in(&rooms, &from, signed_in.await?)
}

/// Asks for a passkey: whoever it belongs to signs in.
#[utoipa::path(
    post, path = "/sign-in/passkey/ask", tag = "sign-in", operation_id = "ask_passkey",
    responses((status = 200, description = "What the browser needs for it", body = PasskeyAsked), Problems),
    security(())
)]
async fn ask_passkey(State(rooms): State<Rooms>) -> Result<Answer<PasskeyAsked>, Problem> {
    Ok(Answer(rooms.engine.ask_passkey()?.into()))
}

/// Signs in with a passkey.
#[utoipa::path(
    post, path = "/sign-in/passkey", tag = "sign-in", operation_id = "sign_in_passkey",
    request_body = PasskeyShown,
    responses((status = 200, description = "Signed in", body = SignedIn), Problems),
    security(())
)]
async fn sign_in_passkey(
    State(rooms): State<Rooms>,
    from: From,
    Json(shown): Json<PasskeyShown>,
) -> Result<Response, Problem> {
    let signed_in = tried(&rooms, &from, async |now| {
        let done = rooms.engine.sign_in_passkey(shown.try_into()?, from.client.clone()).await;
        done.map_err(|refused| said(refused, now))
    });
    let_in(&rooms, &from, signed_in.await?)
}

/// The answer to a program that was let in.
pub(super) fn program_let_in(signed_in: engine::SignedIn) -> Response {
    Answer(told(&signed_in, true)).into_response()
}

pub(super) fn told(signed_in: &engine::SignedIn, with_token: bool) -> SignedIn {
    SignedIn {
        token: with_token.then(|| signed_in.token.to_string()),
        expires_at: signed_in.expires_at.rfc3339(),
        principal: signed_in.principal.to_string(),
    }
}

/// The answer to whoever is signed in: a token, or a cookie that carries it.
pub(super) fn let_in(rooms: &Rooms, from: &From, signed_in: engine::SignedIn) -> Result<Response, Problem> {
    cookie(rooms, from, &signed_in, Answer(told(&signed_in, !from.is_browser)))
}

/// An answer, with a cookie for a browser.
pub(super) fn cookie(
    rooms: &Rooms,
    from: &From,
    signed_in: &engine::SignedIn,
    answer: impl axum::response::IntoResponse,
) -> Result<Response, Problem> {
    let mut response = answer.into_response();
    if from.is_browser {
        let seconds = signed_in.expires_at.since(rooms.engine.now()).millis() / 1_000;
        let cookie = rooms.home.cookie(&signed_in.token, seconds);
        let cookie = cookie.ok_or_else(|| Problem::new(Kind::Internal, "the sign-in fits no cookie"))?;
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Ends the sign-in that made the call.
#[utoipa::path(
    post, path = "/sign-out", tag = "sign-in", operation_id = "sign_out",
    responses((status = 204, description = "Signed out"), Problems)
)]
async fn sign_out(State(rooms): State<Rooms>, Caller(caller): Caller) -> Response {
    rooms.engine.sign_out(&caller).await;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = rooms.home.cookie("", 0) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let agent = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(agent.chars().take(USER_AGENT_BYTES_MAX).collect())
}

/// Does what an address may try only so often. What succeeds is given back, what fails is not.
pub(super) async fn tried<T>(
    rooms: &Rooms,
    from: &From,
    work: impl AsyncFnOnce(At) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let now = rooms.engine.now();
    rooms.tries.take(from.client.source, now).map_err(too_many)?;
    let done = work(now).await?;
    rooms.tries.give_back(from.client.source);
    Ok(done)
}

pub(super) fn too_many(wait_s: u64) -> Problem {
    let mut problem = Problem::new(Kind::TooMany, "too many sign-ins from this address")
        .hint(format!("try again in {wait_s} s"));
    problem.retry_after_s = Some(wait_s);
    problem
}

/// What a person is told whose sign-in was refused: not whether it was the name or the password.
pub(super) fn said(refused: SignInRefused, now: At) -> Problem {
    match refused {
        SignInRefused::Wrong
        | SignInRefused::WrongCode
        | SignInRefused::Passkey(_)
        | SignInRefused::TooLate
        | SignInRefused::Over
        | SignInRefused::NotAJob
        | SignInRefused::NotInvited
        | SignInRefused::Declined
        | SignInRefused::Provider
        | SignInRefused::NotKnown
        | SignInRefused::Disabled => Problem::new(Kind::SignInRefused, refused.to_string()),
        SignInRefused::Locked { until } => {
            let wait = until.since(now);
            let mut problem =
                Problem::new(Kind::TooMany, "too many wrong tries for this name from this address")
                    .hint(format!("try again in {wait}"));
            problem.retry_after_s = Some(u64::try_from(wait.millis() / 1_000).unwrap_or_default().max(1));
            problem
        }
        SignInRefused::Busy => Problem::new(Kind::Conflict, refused.to_string()),
        SignInRefused::Unavailable(refused) => refused.into(),
    }
}
