//! The OpenAPI document, generated from the handlers and the shapes. `web/openapi.json` is a copy that is
//! compared in a test, so that clients can be generated without building the gateway.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Info, OpenApi, SecurityRequirement, Server};
use utoipa::{Modify, OpenApi as _};

/// Where the API lives.
pub const PREFIX: &str = "/api/v1";

/// The OpenAPI document of the API.
#[must_use]
pub fn openapi() -> OpenApi {
    describe(crate::routes::api().into_openapi())
}

/// Adds what the handlers do not know: title, server, ways to sign in.
pub(crate) fn describe(handlers: OpenApi) -> OpenApi {
    let mut document = Base::openapi();
    document.merge(handlers);
    // A catch-all of the router is an ordinary parameter to readers of the document.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    document
}

/// Serves the document.
pub(crate) async fn answer() -> impl IntoResponse {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(crate::problem::Problem)), modifiers(&Head))]
struct Base;

struct Head;

impl Modify for Head {
    fn modify(&self, document: &mut OpenApi) {
        document.info = Info::new("Countersign", env!("CARGO_PKG_VERSION"));
        document.info.description = Some(
            "The one HTTP API of the gateway; console and command line are its clients. Errors are RFC 9457 \
             problems. Reading what lines commit to is itself recorded."
                .into(),
        );
        document.servers = Some(vec![Server::new(PREFIX)]);
        document.security = Some(vec![requirement("bearer"), requirement("cookie")]);
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        let cookie = ApiKeyValue::with_description(
            "countersign",
            "The console's cookie; named `__Host-countersign` over https. Calls that change something must \
             also send `X-Countersign: 1`.",
        );
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

fn requirement(name: &str) -> SecurityRequirement {
    SecurityRequirement::new::<_, [&str; 0], &str>(name, [])
}
