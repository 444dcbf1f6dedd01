//! Sign-ins, one's own and others'; and what people bind to their accounts beside a password.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use countersign_core::{AuthenticatorId, PrincipalId, SignInId};
use qrcodegen::{QrCode, QrCodeEcc};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Json, Segment};
use crate::guard::SignedIn;
use crate::problem::{Kind, Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::List;
use crate::shapes::identity::{
    Authenticator, LiveSignIn, PasskeyMade, PasskeyOffer, QrPicture, RecoveryCodes, TotpCode, TotpOffer,
};

/// Light modules around a QR code, without which readers do not find it (ISO/IEC 18004).
const QUIET: i32 = 4;

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new()
        .routes(routes!(sign_ins))
        .routes(routes!(sign_ins_of))
        .routes(routes!(end_sign_in))
        .routes(routes!(know_place))
        .routes(routes!(authenticators))
        .routes(routes!(remove_authenticator))
        .routes(routes!(reset_authenticators))
        .routes(routes!(offer_totp))
        .routes(routes!(bind_totp))
        .routes(routes!(recovery_codes))
        .routes(routes!(offer_passkey))
        .routes(routes!(bind_passkey))
}

/// The caller's sign-ins.
#[utoipa::path(
    get, path = "/me/sign-ins", tag = "me", operation_id = "sign_ins",
    responses((status = 200, description = "Sign-ins that are live, newest first", body = List<LiveSignIn>), Problems)
)]
async fn sign_ins(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
) -> Result<Answer<List<LiveSignIn>>, Problem> {
    let found = rooms.engine.sign_ins(&caller, &caller.principal)?;
    Ok(Answer(List { items: found.into_iter().map(Into::into).collect() }))
}

/// Somebody's sign-ins.
#[utoipa::path(
    get, path = "/principals/{name}/sign-ins", tag = "principals", operation_id = "sign_ins_of",
    params(("name" = String, Path, description = "the principal's name")),
    responses((status = 200, description = "Sign-ins that are live, newest first", body = List<LiveSignIn>), Problems)
)]
async fn sign_ins_of(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    name: Segment,
) -> Result<Answer<List<LiveSignIn>>, Problem> {
    let name: PrincipalId = name.parse()?;
    let found = rooms.engine.sign_ins(&caller, &name)?;
    Ok(Answer(List { items: found.into_iter().map(Into::into).collect() }))
}

/// Ends a sign-in.
#[utoipa::path(
    post, path = "/sign-ins/{id}/end", tag = "sign-in", operation_id = "end_sign_in",
    params(("id" = String, Path, description = "the sign-in's identifier")),
    responses((status = 204, description = "It has ended"), Problems)
)]
async fn end_sign_in(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
) -> Result<StatusCode, Problem> {
    let id: SignInId = id.parse()?;
    rooms.engine.end_sign_in(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says that a sign-in from a new place was the caller's own.
#[utoipa::path(
    post, path = "/me/new-places/{id}/known", tag = "me", operation_id = "know_place",
    params(("id" = String, Path, description = "the sign-in's identifier")),
    responses((status = 204, description = "It is told no more"), Problems)
)]
async fn know_place(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
) -> Result<StatusCode, Problem> {
    let id: SignInId = id.parse()?;
    rooms.engine.know_place(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the caller has bound beside a password.
#[utoipa::path(
    get, path = "/me/authenticators", tag = "me", operation_id = "authenticators",
    responses((status = 200, description = "Authenticators", body = List<Authenticator>), Problems)
)]
async fn authenticators(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
) -> Result<Answer<List<Authenticator>>, Problem> {
    let found = rooms.engine.authenticators(&caller).await?;
    Ok(Answer(List { items: found.into_iter().map(Into::into).collect() }))
}

/// Takes an authenticator away.
#[utoipa::path(
    post, path = "/me/authenticators/{id}/remove", tag = "me", operation_id = "remove_authenticator",
    params(("id" = String, Path, description = "the authenticator's identifier")),
    responses((status = 204, description = "It counts no more"), Problems)
)]
async fn remove_authenticator(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
) -> Result<StatusCode, Problem> {
    let id: AuthenticatorId = id.parse()?;
    rooms.engine.unbind(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes away all that somebody has bound, who lost it, and ends their sign-ins.
#[utoipa::path(
    post, path = "/principals/{name}/authenticators/reset", tag = "principals", operation_id = "reset_authenticators",
    params(("name" = String, Path, description = "the principal's name")),
    responses((status = 204, description = "Their password is enough until they bind something"), Problems)
)]
async fn reset_authenticators(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    name: Segment,
) -> Result<StatusCode, Problem> {
    let name: PrincipalId = name.parse()?;
    rooms.engine.reset_authenticators(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Offers a secret for an authenticator app.
#[utoipa::path(
    post, path = "/me/totp", tag = "me", operation_id = "offer_totp",
    responses((status = 200, description = "A secret; it counts once a code of it was shown", body = TotpOffer), Problems)
)]
async fn offer_totp(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
) -> Result<Answer<TotpOffer>, Problem> {
    let offer = rooms.engine.offer_totp(&caller).await?;
    Ok(Answer(TotpOffer {
        secret: offer.secret.to_string(),
        qr: picture(&offer.uri)?,
        uri: offer.uri.to_string(),
        expires_at: offer.expires_at.rfc3339(),
    }))
}

/// Binds the authenticator app whose secret was offered.
#[utoipa::path(
    post, path = "/me/totp/bind", tag = "me", operation_id = "bind_totp",
    request_body = TotpCode,
    responses((status = 200, description = "Bound; these are shown once", body = RecoveryCodes), Problems)
)]
async fn bind_totp(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Json(shown): Json<TotpCode>,
) -> Result<Answer<RecoveryCodes>, Problem> {
    let bound = rooms.engine.bind_totp(&caller, &shown.code).await?;
    let recovery_codes = bound.recovery_codes.iter().map(|code| code.to_string()).collect();
    Ok(Answer(RecoveryCodes { recovery_codes }))
}

/// Makes new recovery codes; the old ones count no more.
#[utoipa::path(
    post, path = "/me/recovery-codes", tag = "me", operation_id = "recovery_codes",
    responses((status = 200, description = "The codes; they are shown once", body = RecoveryCodes), Problems)
)]
async fn recovery_codes(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
) -> Result<Answer<RecoveryCodes>, Problem> {
    let codes = rooms.engine.renew_recovery_codes(&caller).await?;
    Ok(Answer(RecoveryCodes { recovery_codes: codes.iter().map(|code| code.to_string()).collect() }))
}

/// Has a passkey made.
#[utoipa::path(
    post, path = "/me/passkeys/offer", tag = "me", operation_id = "offer_passkey",
    responses((status = 200, description = "What the browser needs for it", body = PasskeyOffer), Problems)
)]
async fn offer_passkey(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
) -> Result<Answer<PasskeyOffer>, Problem> {
    Ok(Answer(rooms.engine.offer_passkey(&caller).await?.into()))
}

/// Binds a passkey that was made.
#[utoipa::path(
    post, path = "/me/passkeys", tag = "me", operation_id = "bind_passkey",
    request_body = PasskeyMade,
    responses((status = 200, description = "Bound", body = Authenticator), Problems)
)]
async fn bind_passkey(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Json(made): Json<PasskeyMade>,
) -> Result<Answer<Authenticator>, Problem> {
    Ok(Answer(rooms.engine.bind_passkey(&caller, made.try_into()?).await?.into()))
}

fn picture(text: &str) -> Result<QrPicture, Problem> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium)
        .map_err(|_| Problem::new(Kind::Internal, "the secret fits no picture"))?;
    let side = code.size();
    let mut path = String::new();
    for y in 0..side {
        for x in (0..side).filter(|x| code.get_module(*x, y)) {
            path.push_str(&format!("M{},{}h1v1h-1z", x + QUIET, y + QUIET));
        }
    }
    Ok(QrPicture { size: side + 2 * QUIET, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_its_finders_and_its_quiet_border() {
        let picture = picture("otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").ok().unwrap();
        assert!(picture.size >= 21 + 2 * QUIET && (picture.size - 2 * QUIET - 17) % 4 == 0);
        // The corner of the first finder, and the light ring within it.
        assert!(picture.path.starts_with("M4,4h1v1h-1z"));
        assert!(!picture.path.contains("M5,5h"));
    }
}
