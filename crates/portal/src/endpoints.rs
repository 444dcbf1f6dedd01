//! The one table of endpoints: which action each stands for, of which class, and who judges it.
//!
//! The guard reads it before any handler runs, and refuses what is not in it. A test holds it against the
//! OpenAPI document, so that an endpoint cannot be added without saying who may call it.

use axum::http::Method;
use countersign_policy::Class;

/// The methods that the API knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Changes nothing.
    Get,
    /// May change something.
    Post,
}

/// Who judges a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// Nobody: it is open to the unauthenticated.
    Nobody,
    /// Nobody, if the caller is on this machine; otherwise whoever is signed in.
    Local,
    /// Whoever is signed in may: it shows or ends only what is the caller's own, or what everybody may know.
    SignIn,
    /// Policy, asked by the guard about the gateway itself.
    Guard,
    /// Policy, asked by the engine about the very thing.
    Engine,
}

/// One endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The method.
    pub verb: Verb,
    /// The path beneath the prefix, with parameters in braces.
    pub path: &'static str,
    /// What sort of act it is.
    pub class: Class,
    /// The action by the name that policy knows; empty where policy is not asked.
    pub action: &'static str,
    /// Who judges.
    pub judge: Judge,
}

const fn get(path: &'static str, action: &'static str, judge: Judge) -> Endpoint {
    Endpoint { verb: Verb::Get, path, class: Class::Read, action, judge }
}

const fn post(path: &'static str, class: Class, action: &'static str, judge: Judge) -> Endpoint {
    Endpoint { verb: Verb::Post, path, class, action, judge }
}

/// Every endpoint of the API.
pub const ENDPOINTS: &[Endpoint] = &[
    post("/sign-in", Class::Read, "", Judge::Nobody),
    post("/sign-in/second", Class::Read, "", Judge::Nobody),
    post("/sign-in/passkey/ask", Class::Read, "", Judge::Nobody),
    post("/sign-in/passkey", Class::Read, "", Judge::Nobody),
    get("/sign-in/providers", "", Judge::Nobody),
    get("/sign-in/oidc/{provider}", "", Judge::Nobody),
    get("/sign-in/oidc/{provider}/callback", "", Judge::Nobody),
    post("/sign-in/oidc/logout", Class::Read, "", Judge::Nobody),
    post("/sign-in/device", Class::Read, "", Judge::Nobody),
    post("/sign-in/device/token", Class::Read, "", Judge::Nobody),
    post("/sign-in/program", Class::Read, "", Judge::Nobody),
    post("/sign-in/job", Class::Read, "", Judge::Nobody),
    post("/sign-in/agent", Class::Read, "", Judge::Nobody),
    post("/sign-in/invitation/offer", Class::Read, "", Judge::Nobody),
    post("/sign-in/invitation", Class::Read, "", Judge::Nobody),
    get("/setup", "", Judge::Nobody),
    post("/setup", Class::Read, "", Judge::Nobody),
    post("/setup/code", Class::Read, "", Judge::Nobody),
    post("/setup/database", Class::Read, "", Judge::Nobody),
    post("/setup/administrator", Class::Read, "", Judge::Nobody),
    get("/health", "", Judge::Nobody),
    get("/openapi.json", "", Judge::Nobody),
    get("/metrics", "", Judge::Local),
    post("/sign-out", Class::Read, "", Judge::SignIn),
    get("/me", "", Judge::SignIn),
    get("/me/sign-ins", "", Judge::SignIn),
    post("/me/new-places/{id}/known", Class::Read, "", Judge::SignIn),
    get("/me/authenticators", "", Judge::SignIn),
    post("/me/authenticators/{id}/remove", Class::Mint, "", Judge::SignIn),
    post("/me/totp", Class::Mint, "", Judge::SignIn),
    post("/me/totp/bind", Class::Mint, "", Judge::SignIn),
    post("/me/passkeys/offer", Class::Mint, "", Judge::SignIn),
    post("/me/passkeys", Class::Mint, "", Judge::SignIn),
    post("/me/recovery-codes", Class::Mint, "", Judge::SignIn),
    post("/me/device", Class::Mint, "", Judge::SignIn),
    post("/me/device/answer", Class::Mint, "", Judge::SignIn),
    post("/me/program", Class::Mint, "", Judge::SignIn),
    post("/me/client", Class::Mint, "credential.mint", Judge::Engine),
    post("/me/client/answer", Class::Mint, "credential.mint", Judge::Engine),
    get("/me/devices", "", Judge::SignIn),
    post("/me/devices", Class::Mint, "", Judge::SignIn),
    post("/me/devices/{id}/remove", Class::Mint, "", Judge::SignIn),
    post("/me/devices/{id}/test", Class::Mint, "", Judge::SignIn),
    get("/events", "", Judge::SignIn),
    get("/roles", "", Judge::SignIn),
    get("/roles/{role}/preview", "", Judge::SignIn),
    get("/resources", "", Judge::SignIn),
    get("/requests", "request.read", Judge::Engine),
    get("/requests/{id}", "request.read", Judge::Engine),
    post("/requests", Class::Ask, "access.request", Judge::Engine),
    post("/scripts", Class::Ask, "", Judge::Engine),
    post("/requests/{id}/withdraw", Class::Ask, "request.withdraw", Judge::Engine),
    post("/requests/{id}/approve", Class::Decide, "request.approve", Judge::Engine),
    post("/requests/{id}/signature", Class::Decide, "request.approve", Judge::Engine),
    post("/requests/{id}/deny", Class::Decide, "request.deny", Judge::Engine),
    get("/grants", "grant.read", Judge::Engine),
    post("/grants/{id}/relinquish", Class::Ask, "", Judge::Engine),
    post("/grants/{id}/revoke", Class::Decide, "grant.revoke", Judge::Engine),
    get("/sessions", "session.read", Judge::Engine),
    get("/sessions/{id}", "session.read", Judge::Engine),
    get("/sessions/{id}/actions", "ledger.read", Judge::Engine),
    get("/sessions/{id}/follow", "ledger.read", Judge::Engine),
    post("/sessions/{id}/end", Class::Decide, "session.end", Judge::Engine),
    post("/sessions/{id}/pause", Class::Decide, "session.pause", Judge::Engine),
    post("/sessions/{id}/resume", Class::Decide, "session.resume", Judge::Engine),
    post("/credentials", Class::Mint, "credential.mint", Judge::Engine),
    post("/agents/{name}/code", Class::Mint, "", Judge::SignIn),
    get("/principals", "principal.read", Judge::Engine),
    post("/principals/{name}/disable", Class::Govern, "principal.disable", Judge::Engine),
    post("/principals/{name}/enable", Class::Govern, "principal.enable", Judge::Engine),
    get("/principals/{name}/sign-ins", "sign_in.read", Judge::Engine),
    post("/principals/{name}/authenticators/reset", Class::Govern, "authenticator.reset", Judge::Engine),
    post("/sign-ins/{id}/end", Class::Decide, "sign_in.end", Judge::Engine),
    get("/directories", "", Judge::SignIn),
    get("/bundle", "policy.read", Judge::Guard),
    post("/bundle/check", Class::Read, "policy.read", Judge::Guard),
    post("/bundle/simulate", Class::Read, "policy.read", Judge::Guard),
    post("/bundle/compare", Class::Read, "policy.read", Judge::Guard),
    post("/bundle/replay", Class::Read, "policy.read", Judge::Guard),
    get("/catalogue", "policy.read", Judge::Guard),
    get("/bundle/versions", "policy.read", Judge::Guard),
    get("/bundle/files", "policy.read", Judge::Engine),
    post("/bundle", Class::Govern, "policy.apply", Judge::Engine),
    get("/ledger/vkey", "", Judge::SignIn),
    get("/ledger/checkpoint", "", Judge::SignIn),
    get("/ledger/state", "", Judge::SignIn),
    get("/ledger/tile/{*path}", "ledger.read", Judge::Guard),
    get("/ledger/events", "ledger.read", Judge::Engine),
    get("/ledger/events/{seq}", "ledger.read", Judge::Engine),
    get("/accesses", "ledger.read", Judge::Engine),
    get("/ledger/content", "ledger.export", Judge::Engine),
    get("/workbenches", "", Judge::SignIn),
    post("/workbenches", Class::Mint, "credential.mint", Judge::Engine),
    post("/workbenches/{id}/run", Class::Act, "", Judge::Engine),
    post("/workbenches/{id}/cancel", Class::Act, "", Judge::SignIn),
    post("/workbenches/{id}/close", Class::Act, "", Judge::SignIn),
    post("/workbenches/{id}/export", Class::Act, "sql.export", Judge::Engine),
    get("/secrets", "secret.read", Judge::Engine),
    post("/secrets", Class::Govern, "secret.write", Judge::Engine),
    post("/secrets/{name}/remove", Class::Govern, "secret.write", Judge::Engine),
    get("/house-keys", "secret.read", Judge::Engine),
    post("/house-keys/rotate", Class::Govern, "secret.rotate", Judge::Engine),
    post("/house-keys/wrap", Class::Govern, "secret.rotate", Judge::Engine),
];

/// The endpoint at `path`, the router's own form of it. A HEAD is a GET whose body is not sent.
#[must_use]
pub fn find(method: &Method, path: &str) -> Option<&'static Endpoint> {
    let verb = match *method {
        Method::GET | Method::HEAD => Verb::Get,
        Method::POST => Verb::Post,
        _ => return None,
    };
    ENDPOINTS.iter().find(|endpoint| endpoint.verb == verb && endpoint.path == path)
}
