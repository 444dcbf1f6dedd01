//! What went wrong, in SCIM's shape (RFC 7644, section 3.12).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use countersign_engine::{Refused, RefusedCode};
use serde_json::json;

/// The type of every body.
pub const SCIM_JSON: &str = "application/scim+json";

/// Something that was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub why: Why,
    pub detail: String,
}

/// Why it was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Unauthenticated,
    /// Too many wrong tokens; seconds to wait.
    Throttled(u64),
    NotFound,
    NotImplemented,
    /// A name is taken.
    Uniqueness,
    /// The client's version is not the current one.
    Stale,
    Forbidden,
    TooLarge,
    InvalidFilter,
    InvalidPath,
    InvalidSyntax,
    InvalidValue,
    Mutability,
    NoTarget,
    TooMany,
    MediaType,
    Method,
    Unavailable,
    Internal,
}

impl Error {
    pub fn new(why: Why, detail: impl Into<String>) -> Self {
        Self { why, detail: detail.into() }
    }

    pub fn no_such(id: &str) -> Self {
        let id: String = id.chars().take(80).collect();
        Self::new(Why::NotFound, format!("there is no resource `{id}`"))
    }
}

impl Why {
    fn parts(self) -> (StatusCode, Option<&'static str>) {
        match self {
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, None),
            Self::Throttled(_) => (StatusCode::TOO_MANY_REQUESTS, None),
            Self::NotFound => (StatusCode::NOT_FOUND, None),
            Self::NotImplemented => (StatusCode::NOT_IMPLEMENTED, None),
            Self::Uniqueness => (StatusCode::CONFLICT, Some("uniqueness")),
            Self::Stale => (StatusCode::PRECONDITION_FAILED, None),
            Self::Forbidden => (StatusCode::FORBIDDEN, None),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, None),
            Self::InvalidFilter => (StatusCode::BAD_REQUEST, Some("invalidFilter")),
            Self::InvalidPath => (StatusCode::BAD_REQUEST, Some("invalidPath")),
            Self::InvalidSyntax => (StatusCode::BAD_REQUEST, Some("invalidSyntax")),
            Self::InvalidValue => (StatusCode::BAD_REQUEST, Some("invalidValue")),
            Self::Mutability => (StatusCode::BAD_REQUEST, Some("mutability")),
            Self::NoTarget => (StatusCode::BAD_REQUEST, Some("noTarget")),
            Self::TooMany => (StatusCode::BAD_REQUEST, Some("tooMany")),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, None),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, None),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, None),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, None),
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let why = match refused.code {
            RefusedCode::Conflict => Why::Uniqueness,
            RefusedCode::Invalid => Why::InvalidValue,
            RefusedCode::TooLarge => Why::TooLarge,
            RefusedCode::Unavailable => Why::Unavailable,
            // A directory asks for nothing that these could be said of.
            _ => Why::Internal,
        };
        Self::new(why, refused.message)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, kind) = self.why.parts();
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": status.as_u16().to_string(),
            "detail": self.detail,
        });
        if let (Some(kind), Some(object)) = (kind, body.as_object_mut()) {
            object.insert("scimType".into(), kind.into());
        }
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SCIM_JSON));
        match self.why {
            Why::Unauthenticated => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Why::Throttled(seconds) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            _ => {}
        }
        response
    }
}
