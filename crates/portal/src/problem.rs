//! Errors as RFC 9457 problem details: what the caller is told. What the operator reads is logged elsewhere
//! and never mixed in.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use countersign_engine::{Refused, RefusedCode};
use serde::{Deserialize, Serialize};
use utoipa::openapi::{Content, Ref, RefOr, Response as Described, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::shapes::bundle::Diagnostic;

/// Media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a call failed (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What kind of problem: `urn:countersign:problem:denied`.
    pub r#type: String,
    /// The kind in words, the same for every problem of the type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub hint: Option<String>,
    /// Where to do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub link: Option<String>,
    /// Every mistake in a bundle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
    /// After how many seconds to try again.
    #[serde(skip)]
    pub retry_after_s: Option<u64>,
}

/// The kinds of problem. Their names are part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The call cannot be understood.
    BadRequest,
    /// Nobody is signed in.
    Unauthenticated,
    /// The name or the password is wrong.
    SignInRefused,
    /// Policy or the house's rules say no.
    Denied,
    /// The yes has to be signed with a passkey.
    Unsigned,
    /// A browser sent this from another site, or without the header that proves that it did not.
    ForeignOrigin,
    /// There is no such thing, or the caller may not know of it.
    NotFound,
    /// The path knows other methods.
    MethodNotAllowed,
    /// The thing has moved on.
    Conflict,
    /// The body is larger than is taken.
    TooLarge,
    /// The body is of another type.
    UnsupportedMediaType,
    /// It is understood and wrong.
    Invalid,
    /// Too many calls.
    TooMany,
    /// The ledger cannot take lines.
    Unavailable,
    /// It took too long.
    TimedOut,
    /// A defect of ours.
    Internal,
}

impl Kind {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "the call cannot be understood"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "nobody is signed in"),
            Self::SignInRefused => (StatusCode::UNAUTHORIZED, "sign-in-refused", "the sign-in was refused"),
            Self::Denied => (StatusCode::FORBIDDEN, "denied", "this is not permitted"),
            Self::Unsigned => (StatusCode::FORBIDDEN, "unsigned", "it has to be signed with a passkey"),
            Self::ForeignOrigin => (StatusCode::FORBIDDEN, "foreign-origin", "the call came from elsewhere"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "there is no such thing"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "the path knows other methods")
            }
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "it has moved on"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "the body is too large"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "the body is of another type")
            }
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "it is understood and wrong"),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too-many", "too many calls"),
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the gateway takes no actions")
            }
            Self::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "timed-out", "it took too long"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "a defect of the gateway"),
        }
    }
}

impl Problem {
    /// A problem of `kind`; `detail` says what happened this time.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (status, name, title) = kind.parts();
        Self {
            r#type: format!("urn:countersign:problem:{name}"),
            title: title.into(),
            status: status.as_u16(),
            detail: detail.into(),
            hint: None,
            link: None,
            diagnostics: Vec::new(),
            retry_after_s: None,
        }
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let kind = match refused.code {
            RefusedCode::NotPermitted | RefusedCode::NoGrant | RefusedCode::Spent => Kind::Denied,
            RefusedCode::Unsigned => Kind::Unsigned,
            RefusedCode::NotFound => Kind::NotFound,
            RefusedCode::Conflict | RefusedCode::Ended => Kind::Conflict,
            RefusedCode::Invalid => Kind::Invalid,
            RefusedCode::TooLarge => Kind::TooLarge,
            RefusedCode::Unavailable => Kind::Unavailable,
        };
        Self { hint: refused.hint, link: refused.link, ..Self::new(kind, refused.message) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after_s = self.retry_after_s;
        let mut response = (status, axum::Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Every endpoint may answer with a problem; said once, for the OpenAPI document.
pub(crate) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> std::collections::BTreeMap<String, RefOr<Described>> {
        let content = Content::new(Some(Ref::from_schema_name("Problem")));
        let response =
            ResponseBuilder::new().description("A problem (RFC 9457)").content(PROBLEM_JSON, content).build();
        std::collections::BTreeMap::from([("default".to_owned(), RefOr::T(response))])
    }
}
