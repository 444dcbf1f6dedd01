//! Letting in clients at one resource: what a client asks for, and what somebody at the console answers (OAuth 2.1).
//!
//! The answer goes to the client in the browser's address, and nowhere but to where the client said when it registered. A
//! browser is never sent there by itself: whoever reads this goes on by their own hand, also when it is an error, or anybody
//! could have people led anywhere from here (RFC 9700, section 4.11).

use axum::Json as Answer;
use axum::extract::State;
use countersign_engine::{ConsentAsk, RefusedCode};
use url::Url;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::bad;
use crate::extract::Json;
use crate::guard::SignedIn as Caller;
use crate::oauth::{ROLE_SCOPE, issuer, resource_at};
use crate::problem::{Kind, Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::consents::{
    AuthorizationAnswer, AuthorizationAsked, AuthorizationDone, AuthorizationRequest,
};

/// The longest text that a client hears again, in bytes.
const STATE_BYTES_MAX: usize = 2_048;

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new().routes(routes!(client_asked)).routes(routes!(answer_client))
}

/// Which client asks to act as the caller, where, and for how long. An error of the client's links to where it is told of it.
#[utoipa::path(
    post, path = "/me/client", tag = "me", operation_id = "client_asked",
    request_body = AuthorizationRequest,
    responses((status = 200, description = "What asks", body = AuthorizationAsked), Problems)
)]
async fn client_asked(
    State(rooms): State<Rooms>,
    Caller(caller): Caller,
    Json(request): Json<AuthorizationRequest>,
) -> Result<Answer<AuthorizationAsked>, Problem> {
    let back = Back::of(&rooms, &request)?;
    let ask = back.ask(&rooms, &request)?;
    let asked = rooms.engine.consent_asked(&caller, &ask).map_err(|refused| back.refused(refused))?;
    let role = request.scope.as_deref().unwrap_or_default().split(' ');
    let role = role.filter_map(|scope| scope.strip_prefix(ROLE_SCOPE)).next().map(str::to_owned);
    Ok(Answer(AuthorizationAsked::of(asked, ask.resource.to_string(), role)))
}

/// Says whether the client may act as the caller, or as an agent of theirs.
#[utoipa::path(
    post, path = "/me/client/answer", tag = "me", operation_id = "answer_client",
    request_body = AuthorizationAnswer,
    responses((status = 200, description = "Where the browser goes with it", body = AuthorizationDone), Problems)
)]
async fn answer_client(
    State(rooms): State<Rooms>,
    Caller(caller): Caller,
    Json(answer): Json<AuthorizationAnswer>,
) -> Result<Answer<AuthorizationDone>, Problem> {
    let back = Back::of(&rooms, &answer.request)?;
    let ask = back.ask(&rooms, &answer.request)?;
    if !answer.allow {
        rooms.engine.decline_client(&caller, &ask).await.map_err(|refused| back.refused(refused))?;
        return Ok(back.with(&[("error", "access_denied")]));
    }
    let whose = answer.principal.map_or_else(|| Ok(caller.principal.clone()), |name| name.parse());
    let role = answer.role.map(|role| role.parse()).transpose().map_err(bad)?;
    let given = rooms.engine.let_client_in(&caller, ask, whose.map_err(bad)?, role).await;
    let given = given.map_err(|refused| back.refused(refused))?;
    Ok(back.with(&[("code", &given.code)]))
}

/// Where a client is told what came of it.
struct Back {
    to: Url,
    state: Option<String>,
    issuer: String,
}

impl Back {
    /// Where this client is told, if it is one that is told there. Otherwise nobody is sent anywhere.
    fn of(rooms: &Rooms, request: &AuthorizationRequest) -> Result<Self, Problem> {
        let client = request.client_id.parse().ok().and_then(|id| rooms.engine.client(id));
        let client = client.filter(|client| client.may_be_brought(&request.redirect_uri));
        let to = client.and_then(|_| Url::parse(&request.redirect_uri).ok());
        let to = to.ok_or_else(|| {
            Problem::new(Kind::NotFound, "no such client is registered to be brought an answer there")
                .hint("begin again in the program that led you here; it may have to register anew")
        })?;
        let state = request.state.clone();
        if state.as_ref().is_some_and(|state| state.len() > STATE_BYTES_MAX) {
            return Err(Problem::new(Kind::Invalid, "what the client wants to hear again is too long"));
        }
        Ok(Self { to, state, issuer: issuer(rooms).to_owned() })
    }

    /// What is asked for, if it is asked for as it has to be.
    fn ask(&self, rooms: &Rooms, request: &AuthorizationRequest) -> Result<ConsentAsk, Problem> {
        if request.response_type.as_deref() != Some("code") {
            return Err(
                self.wrong("unsupported_response_type", "the client asks for something else than a code")
            );
        }
        if request.code_challenge_method.as_deref() != Some("S256") {
            return Err(self.wrong("invalid_request", "the client does not prove itself by PKCE with S256"));
        }
        let address = request.resource.as_deref();
        let resource = address.and_then(|address| resource_at(rooms, address));
        let resource = resource
            .ok_or_else(|| self.wrong("invalid_target", "the client names no resource of this gateway"))?;
        let client = request.client_id.parse().map_err(bad)?;
        let (redirect_uri, challenge) = (request.redirect_uri.clone(), request.code_challenge.clone());
        Ok(ConsentAsk { client, redirect_uri, resource, challenge: challenge.unwrap_or_default() })
    }

    /// An error of the client's, and the way to where it is told of it.
    fn wrong(&self, error: &str, detail: &str) -> Problem {
        let hint =
            "this is a mistake of the program that led you here; you can go back to it, and it is told so";
        let link = Some(self.with(&[("error", error)]).0.redirect_to);
        Problem { link, ..Problem::new(Kind::Invalid, detail).hint(hint) }
    }

    fn refused(&self, refused: countersign_engine::Refused) -> Problem {
        let error = match refused.code {
            RefusedCode::NotPermitted => "access_denied",
            RefusedCode::NotFound => "invalid_target",
            RefusedCode::Unavailable => "temporarily_unavailable",
            _ => "invalid_request",
        };
        let link = Some(self.with(&[("error", error)]).0.redirect_to);
        Problem { link, ..Problem::from(refused) }
    }

    /// Where the browser goes with an answer, which says who gives it (RFC 9207).
    fn with(&self, answer: &[(&str, &str)]) -> Answer<AuthorizationDone> {
        let mut to = self.to.clone();
        let state = self.state.iter().map(|state| ("state", state.as_str()));
        let said = answer.iter().copied().chain(state).chain([("iss", self.issuer.as_str())]);
        to.query_pairs_mut().extend_pairs(said);
        Answer(AuthorizationDone { redirect_to: to.into() })
    }
}
