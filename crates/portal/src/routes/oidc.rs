//! Signing in with an identity provider, as browsers do it: sent there, and back.
//!
//! Both ways are plain links, so both are GET. What keeps others out is not the method: an answer counts once, in the browser
//! that keeps the cookie of its beginning. That cookie comes back with a link from elsewhere (`SameSite=Lax`), which the
//! console's own does not; it opens nothing by itself.

use axum::Json as Answer;
use axum::extract::{Path, RawForm, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use countersign_engine::{FederatedAnswer, SignInRefused, Via};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::sign_in::{From, too_many, tried};
use crate::extract::{Query, Segment};
use crate::problem::{Kind, Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::List;
use crate::shapes::people::SignInProvider;

/// The longest code, state or issuer that is looked at.
const PARAMETER_BYTES_MAX: usize = 4_096;

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new()
        .routes(routes!(providers))
        .routes(routes!(begin))
        .routes(routes!(callback))
        .routes(routes!(logout))
}

/// Where somebody wants to go.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Begin {
    /// The console's path to lead to afterwards.
    #[serde(default)]
    to: Option<String>,
}

/// What a provider sends back with the browser. It may say more.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Back {
    /// The code.
    #[serde(default)]
    code: Option<String>,
    /// What was asked with.
    #[serde(default)]
    state: Option<String>,
    /// Who answers (RFC 9207).
    #[serde(default)]
    iss: Option<String>,
    /// Why there is no code.
    #[serde(default)]
    error: Option<String>,
}

/// The identity providers that people may sign in with.
#[utoipa::path(
    get, path = "/sign-in/providers", tag = "sign-in", operation_id = "sign_in_providers",
    responses((status = 200, description = "Providers", body = List<SignInProvider>), Problems),
    security(())
)]
async fn providers(State(rooms): State<Rooms>) -> Answer<List<SignInProvider>> {
    let items = rooms.engine.providers().into_iter();
    Answer(List { items: items.map(|one| SignInProvider { name: one.name, title: one.title }).collect() })
}

/// Sends a browser to a provider.
#[utoipa::path(
    get, path = "/sign-in/oidc/{provider}", tag = "sign-in", operation_id = "begin_oidc",
    params(("provider" = String, Path, description = "the provider's name"), Begin),
    responses((status = 303, description = "The provider"), Problems),
    security(())
)]
async fn begin(
    State(rooms): State<Rooms>,
    from: From,
    provider: Segment,
    Query(wanted): Query<Begin>,
) -> Result<Response, Problem> {
    let to = wanted.to.as_deref().unwrap_or("/");
    let begun = tried(&rooms, &from, async |_| Ok(rooms.engine.begin_federated(&provider.0, to).await?));
    let begun = begun.await?;
    let seconds = begun.expires_at.since(rooms.engine.now()).millis() / 1_000;
    let cookie = rooms.home.begun_cookie(&begun.browser, seconds);
    led(&begun.url, cookie.into_iter())
}

/// Signs in whoever comes back from a provider.
#[utoipa::path(
    get, path = "/sign-in/oidc/{provider}/callback", tag = "sign-in", operation_id = "oidc_callback",
    params(("provider" = String, Path, description = "the provider's name"), Back),
    responses((status = 303, description = "The console; signed in, or told why not"), Problems),
    security(())
)]
async fn callback(
    State(rooms): State<Rooms>,
    from: From,
    Path(provider): Path<String>,
    headers: HeaderMap,
    Query(back): Query<Back>,
) -> Result<Response, Problem> {
    let now = rooms.engine.now();
    rooms.tries.take(from.client.source, now).map_err(too_many)?;
    let over = rooms.home.begun_cookie("", 0);
    let said = [&back.code, &back.state, &back.iss].into_iter().flatten();
    let fits = said.map(String::len).all(|length| length <= PARAMETER_BYTES_MAX);
    let (Some(state), Some(code), None, true) = (&back.state, &back.code, &back.error, fits) else {
        // The person said no there, or the provider did. What waits ends by itself.
        return led("/?sign-in=refused", over.into_iter());
    };
    let browser = rooms.home.begun_of(&headers).unwrap_or_default();
    let answer = FederatedAnswer { provider: &provider, state, code, issuer: back.iss.clone(), browser };
    let mut client = from.client.clone();
    client.via = Via::Console;
    match rooms.engine.sign_in_federated(answer, client).await {
        Ok((signed_in, to)) => {
            rooms.tries.give_back(from.client.source);
            let seconds = signed_in.expires_at.since(now).millis() / 1_000;
            led(&to, over.into_iter().chain(rooms.home.cookie(&signed_in.token, seconds)))
        }
        Err(refused) => led(&format!("/?sign-in={}", word(&refused)), over.into_iter()),
    }
}

/// Why not, in one word for the console.
fn word(refused: &SignInRefused) -> &'static str {
    match refused {
        SignInRefused::NotKnown => "not-known",
        SignInRefused::Disabled => "disabled",
        SignInRefused::TooLate => "too-late",
        SignInRefused::Unavailable(_) => "unavailable",
        _ => "refused",
    }
}

/// Ends sign-ins whose sessions have ended at a provider (OpenID Connect Back-Channel Logout 1.0).
#[utoipa::path(
    post, path = "/sign-in/oidc/logout", tag = "sign-in", operation_id = "oidc_logout",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "They have ended"), Problems),
    security(())
)]
async fn logout(State(rooms): State<Rooms>, from: From, RawForm(form): RawForm) -> Result<Response, Problem> {
    rooms.tries.take(from.client.source, rooms.engine.now()).map_err(too_many)?;
    let mut tokens = url::form_urlencoded::parse(&form).filter(|(name, _)| name == "logout_token");
    let (Some((_, token)), None) = (tokens.next(), tokens.next()) else {
        return Err(Problem::new(Kind::BadRequest, "the form has no `logout_token`"));
    };
    rooms.engine.federated_logout(&token).await.map_err(|refused| {
        // As the specification has it, section 2.8.
        let mut problem = Problem::from(refused);
        if problem.status == StatusCode::UNPROCESSABLE_ENTITY.as_u16() {
            problem.status = StatusCode::BAD_REQUEST.as_u16();
        }
        problem
    })?;
    rooms.tries.give_back(from.client.source);
    let mut response = StatusCode::OK.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// An answer that leads elsewhere.
fn led(to: &str, cookies: impl Iterator<Item = HeaderValue>) -> Result<Response, Problem> {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let to = HeaderValue::from_str(to);
    let to = to.map_err(|_| Problem::new(Kind::Internal, "the provider's address fits no header"))?;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, to);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
