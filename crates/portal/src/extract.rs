//! What handlers take out of a call, each with a refusal that says what is wrong and repeats no secret.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::problem::{Kind, Problem};

/// The longest piece of a path that is looked at.
const SEGMENT_BYTES_MAX: usize = 256;

/// A body of JSON.
pub struct Json<T>(pub T);

/// A body of JSON in which every member may be absent; so may the body.
pub struct MaybeJson<T>(pub T);

/// The query.
pub struct Query<T>(pub T);

/// One parameter of the path.
pub struct Segment(pub String);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(&request);
        let body = body(request, state).await?;
        if !is_json {
            return Err(Problem::new(Kind::UnsupportedMediaType, "the body has to be `application/json`"));
        }
        serde_json::from_slice(&body).map(Self).map_err(|error| not_as_expected(&error))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(&request);
        let body = body(request, state).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        if !is_json {
            return Err(Problem::new(Kind::UnsupportedMediaType, "the body has to be `application/json`"));
        }
        serde_json::from_slice(&body).map(Self).map_err(|error| not_as_expected(&error))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|found| Self(found.0)).map_err(|rejection| {
            // It names the member and repeats its value, which stands in the address anyway.
            let why: String = rejection.body_text().chars().take(400).collect();
            Problem::new(Kind::BadRequest, format!("the query is not what is expected: {why}"))
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        match path {
            Ok(path) if path.0.len() <= SEGMENT_BYTES_MAX => Ok(Self(path.0)),
            _ => Err(Problem::new(Kind::NotFound, "the path leads nowhere")),
        }
    }
}

impl Segment {
    /// The parameter as a name or an identifier.
    ///
    /// # Errors
    /// `not-found`: what cannot be a name is the name of nothing.
    pub fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(&self) -> Result<T, Problem> {
        self.0.parse().map_err(|bad: T::Err| Problem::new(Kind::NotFound, bad.to_string()))
    }
}

fn is_json(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(Kind::TooLarge, "the body is larger than this endpoint takes")
        }
        _ => Problem::new(Kind::BadRequest, "the body could not be read to its end"),
    })
}

/// Where the body goes wrong. Values are never repeated: one of them may be a password.
fn not_as_expected(error: &serde_json::Error) -> Problem {
    let place = format!("line {}, column {}", error.line(), error.column());
    if !error.is_data() {
        return Problem::new(Kind::BadRequest, format!("the body is not JSON at {place}"));
    }
    let text = error.to_string();
    let member = text.split('`').nth(1).filter(|name| name.len() <= 64).unwrap_or_default();
    let what = if text.starts_with("missing field") {
        format!("the member `{member}` is missing")
    } else if text.starts_with("unknown field") {
        format!("there is no member `{member}`")
    } else if text.starts_with("duplicate field") {
        format!("the member `{member}` is there twice")
    } else {
        "a value is of another type than expected".into()
    };
    Problem::new(Kind::Invalid, format!("{what} ({place})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::people::SignIn;

    #[test]
    fn a_refusal_of_a_body_repeats_no_value() {
        for (body, detail) in [
            ("{\"user\":\"a\"", "the body is not JSON at line 1, column 11"),
            ("{\"user\":\"a\"}", "the member `password` is missing (line 1, column 12)"),
            (
                "{\"user\":\"a\",\"password\":4711}",
                "a value is of another type than expected (line 1, column 27)",
            ),
            ("{\"user\":\"a\",\"pin\":1}", "there is no member `pin` (line 1, column 17)"),
            ("[\"s3cret\"", "the body is not JSON at line 1, column 9"),
        ] {
            let error = serde_json::from_slice::<SignIn>(body.as_bytes()).err().unwrap();
            assert_eq!(not_as_expected(&error).detail, detail);
        }
    }
}
