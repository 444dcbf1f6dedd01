//! The first-run set-up, which is there until the gateway is set up, and what comes of its invitation.
//!
//! Every call carries the code that the gateway said where it was started. Once a bundle is in force, or the code has ended,
//! nothing of this is there: each of these endpoints answers as if it had never been.

use axum::Json as Answer;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use countersign_core::At;
use countersign_engine::setup::SetupRefused;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::bundle::not_applied;
use super::sign_in::{From, cookie, let_in, said, told, tried};
use crate::extract::Json;
use crate::problem::{Kind, Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::identity::PasskeyOffer;
use crate::shapes::people::SignedIn;
use crate::shapes::setup::{
    AcceptInvitation, DatabaseTried, InvitationShown, OfferAdministrator, SetUp, SetUpDone, SetupCode,
    SetupState, TryDatabase,
};

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new()
        .routes(routes!(state))
        .routes(routes!(check_code))
        .routes(routes!(try_database))
        .routes(routes!(offer_administrator))
        .routes(routes!(set_up))
        .routes(routes!(offer_invited))
        .routes(routes!(accept_invitation))
}

/// There is a set-up. It is asked before a body is looked at.
struct Standing {
    passkeys: bool,
}

impl FromRequestParts<Rooms> for Standing {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, rooms: &Rooms) -> Result<Self, Problem> {
        let passkeys = rooms.engine.setup().await.map_err(|refused| not_done(refused, rooms.engine.now()))?;
        Ok(Self { passkeys })
    }
}

/// Whether the gateway is to be set up.
#[utoipa::path(
    get, path = "/setup", tag = "setup", operation_id = "setup",
    responses((status = 200, description = "It is to be set up, with the code that it said where it was started", body = SetupState), Problems),
    security(())
)]
async fn state(Standing { passkeys }: Standing) -> Answer<SetupState> {
    Answer(SetupState { passkeys })
}

/// Tells whether this is the code.
#[utoipa::path(
    post, path = "/setup/code", tag = "setup", operation_id = "check_setup_code",
    request_body = SetupCode,
    responses((status = 204, description = "It is"), Problems),
    security(())
)]
async fn check_code(
    State(rooms): State<Rooms>,
    _: Standing,
    from: From,
    Json(shown): Json<SetupCode>,
) -> Result<StatusCode, Problem> {
    let code = Zeroizing::new(shown.code);
    tried(&rooms, &from, async |now| {
        rooms.engine.check_setup_code(&code, &from.client).await.map_err(|refused| not_done(refused, now))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tries to reach a database; nothing of it is kept.
#[utoipa::path(
    post, path = "/setup/database", tag = "setup", operation_id = "try_database",
    request_body = TryDatabase,
    responses((status = 200, description = "Each account was let in", body = DatabaseTried), Problems),
    security(())
)]
async fn try_database(
    State(rooms): State<Rooms>,
    _: Standing,
    from: From,
    Json(wish): Json<TryDatabase>,
) -> Result<Answer<DatabaseTried>, Problem> {
    let code = Zeroizing::new(wish.code);
    let database = wish.database.try_into()?;
    let reached = tried(&rooms, &from, async |now| {
        let reached = rooms.engine.try_database(&code, &database, &from.client).await;
        reached.map_err(|refused| not_done(refused, now))
    });
    Ok(Answer(reached.await?.into()))
}

/// Has a passkey made by whoever is to administer the gateway.
#[utoipa::path(
    post, path = "/setup/administrator", tag = "setup", operation_id = "offer_administrator",
    request_body = OfferAdministrator,
    responses((status = 200, description = "What the browser needs for it", body = PasskeyOffer), Problems),
    security(())
)]
async fn offer_administrator(
    State(rooms): State<Rooms>,
    _: Standing,
    from: From,
    Json(wish): Json<OfferAdministrator>,
) -> Result<Answer<PasskeyOffer>, Problem> {
    let code = Zeroizing::new(wish.code);
    let administrator = wish.administrator.try_into()?;
    let offer = tried(&rooms, &from, async |now| {
        let offer = rooms.engine.offer_setup(&code, &administrator, &from.client).await;
        offer.map_err(|refused| not_done(refused, now))
    });
    Ok(Answer(offer.await?.into()))
}

/// Sets the gateway up: puts its first bundle in force, and signs its administrator in.
#[utoipa::path(
    post, path = "/setup", tag = "setup", operation_id = "set_up",
    request_body = SetUp,
    responses((status = 200, description = "It is set up; there is no set-up any more", body = SetUpDone), Problems),
    security(())
)]
async fn set_up(
    State(rooms): State<Rooms>,
    _: Standing,
    from: From,
    Json(wish): Json<SetUp>,
) -> Result<Response, Problem> {
    let (code, founding, passkey) = wish.parts()?;
    let founded = tried(&rooms, &from, async |now| {
        let founded = rooms.engine.found(&code, founding, passkey, from.client.clone()).await;
        founded.map_err(|refused| not_done(refused, now))
    });
    let founded = founded.await?;
    let done = SetUpDone::new(told(&founded.signed_in, !from.is_browser()), &founded.invitation);
    cookie(&rooms, &from, &founded.signed_in, Answer(done))
}

/// Has a passkey made by somebody who was invited.
#[utoipa::path(
    post, path = "/sign-in/invitation/offer", tag = "sign-in", operation_id = "offer_invited",
    request_body = InvitationShown,
    responses((status = 200, description = "What the browser needs for it", body = PasskeyOffer), Problems),
    security(())
)]
async fn offer_invited(
    State(rooms): State<Rooms>,
    from: From,
    Json(shown): Json<InvitationShown>,
) -> Result<Answer<PasskeyOffer>, Problem> {
    let code = Zeroizing::new(shown.code);
    let offer = tried(&rooms, &from, async |now| {
        let offer = rooms.engine.offer_invited(&shown.user, &code, &from.client).await;
        offer.map_err(|refused| said(refused, now))
    });
    Ok(Answer(offer.await?.into()))
}

/// Binds the passkey of somebody who was invited, and signs them in.
#[utoipa::path(
    post, path = "/sign-in/invitation", tag = "sign-in", operation_id = "accept_invitation",
    request_body = AcceptInvitation,
    responses((status = 200, description = "Signed in", body = SignedIn), Problems),
    security(())
)]
async fn accept_invitation(
    State(rooms): State<Rooms>,
    from: From,
    Json(shown): Json<AcceptInvitation>,
) -> Result<Response, Problem> {
    let code = Zeroizing::new(shown.code);
    let made = shown.passkey.try_into()?;
    let signed_in = tried(&rooms, &from, async |now| {
        let done = rooms.engine.accept_invitation((&shown.user, &code), made, from.client.clone()).await;
        done.map_err(|refused| said(refused, now))
    });
    let_in(&rooms, &from, signed_in.await?)
}

/// What whoever sets the gateway up is told.
fn not_done(refused: SetupRefused, now: At) -> Problem {
    match refused {
        SetupRefused::None => Problem::new(Kind::NotFound, refused.to_string()).hint(
            "a gateway without a bundle says a code where it is started; start it again for another one",
        ),
        SetupRefused::WrongCode => Problem::new(Kind::SignInRefused, refused.to_string()),
        SetupRefused::Apply(error) => not_applied(error),
        SetupRefused::SignIn(refused) => said(refused, now),
        SetupRefused::Refused(refused) => refused.into(),
    }
}
