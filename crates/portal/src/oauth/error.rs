//! What a client is told when it gets nothing (RFC 6749, section 5.2; RFC 7591, section 3.2.2).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use countersign_engine::{Refused, RefusedCode, TokenRefused};
use serde_json::json;

/// Why a client gets nothing.
pub(crate) struct Error {
    status: StatusCode,
    code: &'static str,
    description: String,
    retry_after_s: Option<u64>,
}

impl Error {
    pub(super) fn new(code: &'static str, description: impl Into<String>) -> Self {
        let description = description.into();
        Self { status: StatusCode::BAD_REQUEST, code, description, retry_after_s: None }
    }

    /// That an address has come too often.
    pub(super) fn too_many(wait_s: u64) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let error = Self::new("temporarily_unavailable", "too many calls from this address");
        Self { status, retry_after_s: Some(wait_s), ..error }
    }

    /// That nobody knows this client: it has to register anew.
    pub(super) fn no_client() -> Self {
        Self::new("invalid_client", "no such client is registered")
    }

    pub(super) fn unavailable(refused: Refused) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self { status, ..Self::new("temporarily_unavailable", refused.message) }
    }
}

impl From<TokenRefused> for Error {
    fn from(refused: TokenRefused) -> Self {
        match refused {
            TokenRefused::Refused(refused) if refused.code == RefusedCode::Unavailable => {
                Self::unavailable(refused)
            }
            TokenRefused::OtherResource => Self::new("invalid_target", refused.to_string()),
            TokenRefused::NoGrant | TokenRefused::Refused(_) => {
                Self::new("invalid_grant", refused.to_string())
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.code, "error_description": self.description }));
        let mut response = (self.status, body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
