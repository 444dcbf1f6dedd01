//! Letting in programs that have no sign-in page of their own: what they ask, and what somebody at the console answers.
//!
//! A program on the machine of the browser gets a code by way of it (RFC 8252); one on a machine without a browser shows a
//! code that is typed in here (RFC 8628). The engine says who may let in whom.

use axum::Json as Answer;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use countersign_engine::DeviceStep;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::sign_in::{From, program_let_in, said, too_many, tried};
use crate::dpop::Shown;
use crate::extract::{Json, Segment};
use crate::guard::{SignedIn as Caller, proof};
use crate::problem::{Kind, Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::people::SignedIn;
use crate::shapes::programs::{
    AgentCode, AgentSignIn, DeviceAsked, DeviceBegun, DeviceCode, DeviceWaits, JobToken, Machine,
    ProgramAllowed, ProgramChallenge, ProgramCode, UserAnswer, UserCode,
};

/// The page of the console where codes are typed in.
const PAGE: &str = "/device";

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new()
        .routes(routes!(begin_device))
        .routes(routes!(redeem_device))
        .routes(routes!(redeem_program))
        .routes(routes!(sign_in_job))
        .routes(routes!(sign_in_agent))
        .routes(routes!(agent_code))
        .routes(routes!(device_asked))
        .routes(routes!(answer_device))
        .routes(routes!(allow_program))
}

/// Begins the sign-in of a program on a machine without a browser.
#[utoipa::path(
    post, path = "/sign-in/device", tag = "sign-in", operation_id = "begin_device",
    request_body = Machine,
    responses((status = 200, description = "What it asks with, and what it shows", body = DeviceBegun), Problems),
    security(())
)]
async fn begin_device(
    State(rooms): State<Rooms>,
    from: From,
    Json(asked): Json<Machine>,
) -> Result<Answer<DeviceBegun>, Problem> {
    // What is begun is never given back: it takes up room until it is over.
    rooms.tries.take(from.client.source, rooms.engine.now()).map_err(too_many)?;
    let begun = rooms.engine.begin_device(&asked.machine, from.program()?)?;
    Ok(Answer(DeviceBegun {
        device_code: begun.device_code.to_string(),
        user_code: begun.user_code,
        verification_uri: format!("{}{PAGE}", rooms.settings.public_url.trim_end_matches('/')),
        expires_at: begun.expires_at.rfc3339(),
        interval_s: seconds(begun.every),
    }))
}

/// Signs in a program on a machine without a browser, once somebody has let it in.
#[utoipa::path(
    post, path = "/sign-in/device/token", tag = "sign-in", operation_id = "redeem_device",
    request_body = DeviceCode,
    responses(
        (status = 200, description = "Signed in", body = SignedIn),
        (status = 202, description = "Nobody has said anything yet", body = DeviceWaits),
        Problems
    ),
    security(())
)]
async fn redeem_device(
    State(rooms): State<Rooms>,
    from: From,
    Json(asked): Json<DeviceCode>,
) -> Result<Response, Problem> {
    let step = tried(&rooms, &from, async |now| {
        let step = rooms.engine.redeem_device(&asked.device_code, from.program()?).await;
        step.map_err(|refused| said(refused, now))
    });
    match step.await? {
        DeviceStep::Done(signed_in) => Ok(program_let_in(signed_in)),
        DeviceStep::Waits(every) => {
            Ok((StatusCode::ACCEPTED, Answer(DeviceWaits { interval_s: seconds(every) })).into_response())
        }
    }
}

/// Signs in a program that was brought a code by a browser on its own machine.
#[utoipa::path(
    post, path = "/sign-in/program", tag = "sign-in", operation_id = "redeem_program",
    request_body = ProgramCode,
    responses((status = 200, description = "Signed in", body = SignedIn), Problems),
    security(())
)]
async fn redeem_program(
    State(rooms): State<Rooms>,
    from: From,
    Json(brought): Json<ProgramCode>,
) -> Result<Response, Problem> {
    let signed_in = tried(&rooms, &from, async |now| {
        let done = rooms.engine.redeem_program(&brought.code, &brought.verifier, from.program()?).await;
        done.map_err(|refused| said(refused, now))
    });
    Ok(program_let_in(signed_in.await?))
}

/// Signs in a job by the token that its issuer gave it, and a key of its own: the call brings a proof of it (RFC 9449), and
/// so does every call that is made with what it gets.
#[utoipa::path(
    post, path = "/sign-in/job", tag = "sign-in", operation_id = "sign_in_job",
    params(("DPoP" = String, Header, description = "the proof of the job's key (RFC 9449)")),
    request_body = JobToken,
    responses((status = 200, description = "Signed in", body = SignedIn), Problems),
    security(())
)]
async fn sign_in_job(
    State(rooms): State<Rooms>,
    from: From,
    proved: Proved,
    Json(job): Json<JobToken>,
) -> Result<Response, Problem> {
    let signed_in = tried(&rooms, &from, async |now| {
        let key =
            proved.key("a job", "send it in the header `DPoP` (RFC 9449), or let `countersign run` do it")?;
        let wanted = (job.token.as_str(), job.service.as_deref());
        let done = rooms.engine.sign_in_job(wanted, &key, from.program()?).await;
        done.map_err(|refused| said(refused, now))
    });
    Ok(program_let_in(signed_in.await?))
}

/// Signs an agent in by a code of its owner's, and a key of its own: the call brings a proof of it (RFC 9449), and so does every
/// call that is made with what it gets.
#[utoipa::path(
    post, path = "/sign-in/agent", tag = "sign-in", operation_id = "sign_in_agent",
    params(("DPoP" = String, Header, description = "the proof of the agent's key (RFC 9449)")),
    request_body = AgentSignIn,
    responses((status = 200, description = "Signed in", body = SignedIn), Problems),
    security(())
)]
async fn sign_in_agent(
    State(rooms): State<Rooms>,
    from: From,
    proved: Proved,
    Json(agent): Json<AgentSignIn>,
) -> Result<Response, Problem> {
    let signed_in = tried(&rooms, &from, async |now| {
        let key = proved.key("an agent", "send it in the header `DPoP` (RFC 9449)")?;
        let done = rooms.engine.sign_in_agent(&agent.code, &key, from.program()?).await;
        done.map_err(|refused| said(refused, now))
    });
    Ok(program_let_in(signed_in.await?))
}

/// Gives the owner of an agent a code for its program to sign in with.
#[utoipa::path(
    post, path = "/agents/{name}/code", tag = "principals", operation_id = "agent_code",
    params(("name" = String, Path, description = "the agent's name")),
    responses((status = 200, description = "The code; it is shown this once", body = AgentCode), Problems)
)]
async fn agent_code(
    State(rooms): State<Rooms>,
    Caller(caller): Caller,
    name: Segment,
) -> Result<Answer<AgentCode>, Problem> {
    let given = rooms.engine.agent_code(&caller, &name.parse::<countersign_core::PrincipalId>()?)?;
    Ok(Answer(AgentCode { code: given.code.to_string(), expires_at: given.expires_at.rfc3339() }))
}

/// What asks to be the caller, on a machine that shows this code.
#[utoipa::path(
    post, path = "/me/device", tag = "me", operation_id = "device_asked",
    request_body = UserCode,
    responses((status = 200, description = "What asks", body = DeviceAsked), Problems)
)]
async fn device_asked(
    State(rooms): State<Rooms>,
    Caller(caller): Caller,
    Json(typed): Json<UserCode>,
) -> Result<Answer<DeviceAsked>, Problem> {
    Ok(Answer(rooms.engine.device_asked(&caller, &typed.user_code).await?.into()))
}

/// Says whether the program on the machine that shows this code may be the caller.
#[utoipa::path(
    post, path = "/me/device/answer", tag = "me", operation_id = "answer_device",
    request_body = UserAnswer,
    responses((status = 204, description = "It is told"), Problems)
)]
async fn answer_device(
    State(rooms): State<Rooms>,
    Caller(caller): Caller,
    Json(answer): Json<UserAnswer>,
) -> Result<StatusCode, Problem> {
    rooms.engine.answer_device(&caller, &answer.user_code, answer.allow).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets in a program on the caller's own machine: gives a code for the browser to carry to it.
#[utoipa::path(
    post, path = "/me/program", tag = "me", operation_id = "allow_program",
    request_body = ProgramChallenge,
    responses((status = 200, description = "The code", body = ProgramAllowed), Problems)
)]
async fn allow_program(
    State(rooms): State<Rooms>,
    Caller(caller): Caller,
    Json(asked): Json<ProgramChallenge>,
) -> Result<Answer<ProgramAllowed>, Problem> {
    let given = rooms.engine.allow_program(&caller, &asked.challenge).await?;
    Ok(Answer(ProgramAllowed { code: given.code.to_string(), expires_at: given.expires_at.rfc3339() }))
}

fn seconds(span: countersign_core::Span) -> u64 {
    u64::try_from(span.millis() / 1_000).unwrap_or(1).max(1)
}

/// The proof of a key that a call brings.
struct Proved(Option<Shown>);

impl FromRequestParts<Rooms> for Proved {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, rooms: &Rooms) -> Result<Self, Self::Rejection> {
        Ok(Self(proof(rooms, parts, None)))
    }
}

impl Proved {
    /// The key that it proves; without one nobody signs in so.
    fn key(self, whose: &str, hint: &str) -> Result<[u8; 32], Problem> {
        self.0.map(|shown| shown.key).ok_or_else(|| {
            let none = format!("{whose} shows a key of its own, and this call brings no proof of one");
            Problem::new(Kind::SignInRefused, none).hint(hint)
        })
    }
}

impl From {
    /// Who signs in, if it is a program: a page of the console has its own ways.
    fn program(&self) -> Result<countersign_engine::SignInClient, Problem> {
        if self.is_browser() {
            return Err(Problem::new(Kind::BadRequest, "a program signs in so, and no page of the console"));
        }
        Ok(self.client.clone())
    }
}
