//! Sign-ins, and what people bind to their accounts beside a password.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_engine as engine;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::{Kind, Problem};

/// By what somebody proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// Something they know.
    Password,
    /// A one-time code of an authenticator app.
    Totp,
    /// A code that was kept for the day when the app is lost.
    RecoveryCode,
    /// A key that a device keeps.
    Passkey,
    /// An identity provider's word.
    Oidc,
    /// An identity provider's word that it took two factors.
    OidcTwoFactors,
    /// An issuer's word of a job, and a key of the job's own.
    Workload,
    /// The word of an agent's owner, and a key of the agent's own.
    Agent,
}

impl Means {
    /// As policies see it.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Totp => "totp",
            Self::RecoveryCode => "recovery-code",
            Self::Passkey => "passkey",
            Self::Oidc => "oidc",
            Self::OidcTwoFactors => "oidc-two-factors",
            Self::Workload => "workload",
            Self::Agent => "agent",
        }
    }
}

/// The password was right; the account has a second factor, which comes next.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct SecondStep {
    /// To be sent with the code. It opens nothing by itself.
    pub pending: String,
    /// By what the sign-in can be completed.
    pub means: Vec<Means>,
    /// Until when.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// The second step of a sign-in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecondSignIn {
    /// What the first step gave.
    #[schema(max_length = 64)]
    pub pending: String,
    /// A one-time code, or a recovery code.
    #[schema(max_length = 64, example = "123456")]
    pub code: String,
}

/// Whether a sign-in can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignInState {
    /// It can.
    Live,
    /// It has ended.
    Ended,
}

/// A sign-in that is live.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LiveSignIn {
    /// Which.
    pub id: String,
    /// Always `live`.
    pub state: SignInState,
    /// Whose.
    pub principal: String,
    /// `console`, `cli` or `api`.
    pub via: String,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub address: Option<String>,
    /// What their program called itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub program: Option<String>,
    /// By what it was proved.
    pub means: Vec<Means>,
    /// When.
    #[schema(format = DateTime)]
    pub signed_in_at: String,
    /// When it was used last, to the minute.
    #[schema(format = DateTime)]
    pub seen_at: String,
    /// When it ends unless it is used again before.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// The sign-in at the console that let it in, if it is a program's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub let_in_by: Option<String>,
    /// Where alone it counts, if it is the sign-in of a client that was let in at one resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub client: Option<LiveClient>,
    /// Whether it is the one that asks.
    pub this: bool,
}

/// A client that was let in at one resource.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LiveClient {
    /// What it calls itself.
    pub name: String,
    /// The host to which the answer was brought.
    pub host: String,
    /// The resource.
    pub resource: String,
    /// The one role that it is for, if it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub role: Option<String>,
}

/// A sign-in of the caller's from a place from which they had not signed in before, of which they are to be told.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NewPlace {
    /// The sign-in.
    pub id: String,
    /// Whether it can still be used, and so be ended.
    pub state: SignInState,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub address: Option<String>,
    /// What their program called itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub program: Option<String>,
}

/// Whether an authenticator counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthenticatorState {
    /// It does.
    Bound,
}

/// Something that is bound to the caller's account beside a password.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Authenticator {
    /// Which. Recovery codes, of which there is one set, are `recovery-codes`.
    pub id: String,
    /// Always `bound`.
    pub state: AuthenticatorState,
    /// What it is.
    pub means: Means,
    /// As its owner calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// When it was bound.
    #[schema(format = DateTime)]
    pub bound_at: String,
    /// When it was used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub used_at: Option<String>,
    /// How many recovery codes are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub left: Option<usize>,
}

/// A secret for an authenticator app. It counts once a code of it was shown.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TotpOffer {
    /// As people type it.
    pub secret: String,
    /// As apps read it: `otpauth://...`.
    pub uri: String,
    /// The same as a picture.
    pub qr: QrPicture,
    /// Until when it can be bound.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// A QR code as an SVG draws it: one path in a square of this size.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct QrPicture {
    /// Width and height, the quiet border included.
    pub size: i32,
    /// The `d` of the path of dark modules.
    pub path: String,
}

/// A code of the authenticator app that is to be bound.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TotpCode {
    /// Six digits.
    #[schema(max_length = 16, example = "123456")]
    pub code: String,
}

/// Recovery codes. They are shown this once; each counts once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct RecoveryCodes {
    /// The codes.
    pub recovery_codes: Vec<String>,
}

impl From<engine::Means> for Means {
    fn from(means: engine::Means) -> Self {
        match means {
            engine::Means::Password => Self::Password,
            engine::Means::Totp => Self::Totp,
            engine::Means::RecoveryCode => Self::RecoveryCode,
            engine::Means::Passkey => Self::Passkey,
            engine::Means::Oidc => Self::Oidc,
            engine::Means::OidcTwoFactors => Self::OidcTwoFactors,
            engine::Means::Workload => Self::Workload,
            engine::Means::Agent => Self::Agent,
        }
    }
}

impl From<engine::SecondStep> for SecondStep {
    fn from(step: engine::SecondStep) -> Self {
        Self {
            pending: step.pending.to_string(),
            means: step.means.into_iter().map(Into::into).collect(),
            expires_at: step.expires_at.rfc3339(),
        }
    }
}

impl From<engine::SignInView> for LiveSignIn {
    fn from(view: engine::SignInView) -> Self {
        Self {
            id: view.id.to_string(),
            state: SignInState::Live,
            principal: view.principal.to_string(),
            via: view.via.to_owned(),
            address: view.address.map(|address| address.to_canonical().to_string()),
            program: view.program,
            means: view.means.iter().map(Into::into).collect(),
            signed_in_at: view.signed_in_at.rfc3339(),
            seen_at: view.seen_at.rfc3339(),
            expires_at: view.ends_at.rfc3339(),
            let_in_by: view.let_in_by.map(|id| id.to_string()),
            client: view.client.map(Into::into),
            this: view.is_this,
        }
    }
}

impl From<engine::ClientView> for LiveClient {
    fn from(view: engine::ClientView) -> Self {
        let (resource, role) = (view.resource.to_string(), view.role.map(|role| role.to_string()));
        Self { name: view.name, host: view.host, resource, role }
    }
}

impl From<engine::NewPlace> for NewPlace {
    fn from(place: engine::NewPlace) -> Self {
        Self {
            id: place.sign_in.to_string(),
            state: if place.is_live { SignInState::Live } else { SignInState::Ended },
            at: place.at.rfc3339(),
            address: place.address.map(|address| address.to_canonical().to_string()),
            program: place.program,
        }
    }
}

impl From<engine::AuthenticatorView> for Authenticator {
    fn from(view: engine::AuthenticatorView) -> Self {
        Self {
            id: view.id.map_or_else(|| "recovery-codes".to_owned(), |id| id.to_string()),
            state: AuthenticatorState::Bound,
            means: view.means.into(),
            name: view.name,
            bound_at: view.bound_at.rfc3339(),
            used_at: view.used_at.map(countersign_core::At::rfc3339),
            left: view.left,
        }
    }
}

/// What a browser needs to have a passkey made (`PublicKeyCredentialCreationOptions`). Bytes are base64url.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct PasskeyOffer {
    /// To be signed.
    pub challenge: String,
    /// For which site.
    pub rp_id: String,
    /// By what the authenticator tells people apart.
    pub user_handle: String,
    /// The principal's name.
    pub user: String,
    /// As people call them.
    pub display: String,
    /// Credentials that the caller has already.
    pub exclude: Vec<String>,
    /// Kinds of keys (COSE numbers), the best first.
    pub algorithms: Vec<i64>,
    /// Until when.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// A passkey that was made. Bytes are base64url.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeyMade {
    /// As its owner calls it.
    #[schema(max_length = 64, example = "Laptop")]
    pub name: String,
    /// `clientDataJSON`.
    pub client_data: String,
    /// `attestationObject`.
    pub attestation: String,
}

/// What a browser needs to have a passkey used (`PublicKeyCredentialRequestOptions`). Bytes are base64url.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct PasskeyAsked {
    /// To be signed.
    pub challenge: String,
    /// For which site.
    pub rp_id: String,
    /// Until when.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// A passkey that was used. Bytes are base64url.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeyShown {
    /// Which (`rawId`).
    pub credential: String,
    /// Whose (`userHandle`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub user_handle: Option<String>,
    /// `clientDataJSON`.
    pub client_data: String,
    /// `authenticatorData`.
    pub authenticator_data: String,
    /// `signature`.
    pub signature: String,
}

impl From<engine::PasskeyOffer> for PasskeyOffer {
    fn from(offer: engine::PasskeyOffer) -> Self {
        let engine::PasskeyOffer {
            challenge,
            rp_id,
            user_handle,
            user,
            display,
            exclude,
            algorithms,
            expires_at,
        } = offer;
        let expires_at = expires_at.rfc3339();
        Self { challenge, rp_id, user_handle, user, display, exclude, algorithms, expires_at }
    }
}

impl From<engine::PasskeyAsked> for PasskeyAsked {
    fn from(asked: engine::PasskeyAsked) -> Self {
        Self { challenge: asked.challenge, rp_id: asked.rp_id, expires_at: asked.expires_at.rfc3339() }
    }
}

impl TryFrom<PasskeyMade> for engine::PasskeyMade {
    type Error = Problem;

    fn try_from(made: PasskeyMade) -> Result<Self, Problem> {
        Ok(Self {
            name: made.name,
            client_data: bytes("client_data", &made.client_data)?,
            attestation: bytes("attestation", &made.attestation)?,
        })
    }
}

impl TryFrom<PasskeyShown> for engine::PasskeyShown {
    type Error = Problem;

    fn try_from(shown: PasskeyShown) -> Result<Self, Problem> {
        Ok(Self {
            credential: bytes("credential", &shown.credential)?,
            user_handle: shown.user_handle.map(|handle| bytes("user_handle", &handle)).transpose()?,
            client_data: bytes("client_data", &shown.client_data)?,
            authenticator_data: bytes("authenticator_data", &shown.authenticator_data)?,
            signature: bytes("signature", &shown.signature)?,
        })
    }
}

fn bytes(member: &str, text: &str) -> Result<Vec<u8>, Problem> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| {
        Problem::new(Kind::Invalid, format!("the member `{member}` is not base64url without padding"))
    })
}
