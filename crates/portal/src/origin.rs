//! Where a call comes from, and what it presents.
//!
//! A browser sends the console's cookie by itself, so the cookie alone proves nothing about who wanted the
//! call. Three independent things are asked of a call that a browser may have been tricked into: `SameSite`
//! on the cookie, an `Origin` that is ours, and a header that no form or link can send.

use axum::http::{HeaderMap, HeaderValue, Method, header};
use url::Url;

use crate::problem::{Kind, Problem};

/// The header that a script of another site cannot send without asking first, which it is never granted.
pub const CONSOLE_HEADER: &str = "x-countersign";

/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 256;

/// Where the console lives, and what follows from it.
#[derive(Clone, Debug)]
pub struct Home {
    origins: Vec<String>,
    secure: bool,
}

/// What a call presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented<'a> {
    /// A bearer token: a program.
    Bearer(&'a str),
    /// A token that counts with the proof of a key alone (RFC 9449): a job.
    Proved(&'a str),
    /// The console's cookie: a browser.
    Cookie(&'a str),
}

/// Why a console's address cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHome {
    /// It is no URL.
    #[error("`{0}` is not a URL; write for example `https://gateway.example:8443`")]
    NotAUrl(String),
    /// It is a URL of another kind, or leads further than to a host.
    #[error("`{0}` is not an address of a console; it is http or https, a host, a port, and no path")]
    NotAnOrigin(String),
    /// A cookie that is sent in the clear over a network is no secret.
    #[error("`{0}` is not on this machine; a console on a network has to be https")]
    InTheClear(String),
}

impl Home {
    /// The console at `public_url`. A console on this machine is known by all of the machine's own names.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn new(public_url: &str) -> Result<Self, BadHome> {
        let url = Url::parse(public_url).map_err(|_| BadHome::NotAUrl(public_url.into()))?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !bare || !url.username().is_empty() {
            return Err(BadHome::NotAnOrigin(public_url.into()));
        }
        let host = url.host_str().unwrap_or_default();
        let local = ["localhost", "127.0.0.1", "[::1]"];
        let is_local = local.contains(&host);
        let secure = url.scheme() == "https";
        if !secure && !is_local {
            return Err(BadHome::InTheClear(public_url.into()));
        }
        let names = if is_local { local.to_vec() } else { vec![host] };
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        let origins = names.iter().map(|name| format!("{}://{name}{port}", url.scheme())).collect();
        Ok(Self { origins, secure })
    }

    /// Whether the console is reached by https, so that the cookie and the headers may insist on it.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The cookie's name. The prefix keeps other hosts of the domain from setting one (RFC 6265bis).
    #[must_use]
    pub fn cookie_name(&self) -> &'static str {
        if self.secure { "__Host-countersign" } else { "countersign" }
    }

    /// The cookie that carries `token` for so many seconds; none and an empty token takes it away.
    #[must_use]
    pub fn cookie(&self, token: &str, seconds: i64) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let name = self.cookie_name();
        let text = format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The cookie of a browser that was sent to an identity provider. It has to come back with the link from there, so it
    /// is `Lax`; none and an empty value takes it away.
    #[must_use]
    pub fn begun_cookie(&self, value: &str, seconds: i64) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let name = self.begun_name();
        let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// What the cookie of [`Self::begun_cookie`] says.
    #[must_use]
    pub fn begun_of<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        self.named(headers, self.begun_name())
    }

    fn begun_name(&self) -> &'static str {
        if self.secure { "__Host-countersign-begun" } else { "countersign-begun" }
    }

    /// Whether this is the console's origin.
    #[must_use]
    pub fn is_ours(&self, origin: &str) -> bool {
        self.origins.iter().any(|ours| ours == origin)
    }

    /// Refuses what another site's page sent.
    ///
    /// # Errors
    /// The refusal.
    pub fn refuse_foreign(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        let foreign = || {
            Problem::new(Kind::ForeignOrigin, "this call was sent by a page of another site")
                .hint("open the console at its own address and try again there")
        };
        for origin in headers.get_all(header::ORIGIN) {
            if !self.origins.iter().any(|ours| origin.as_bytes() == ours.as_bytes()) {
                return Err(foreign());
            }
        }
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        match site {
            Some(b"cross-site" | b"same-site") if !method.is_safe() => Err(foreign()),
            _ => Ok(()),
        }
    }

    /// The token that a call presents.
    ///
    /// # Errors
    /// `unauthenticated` if there is none, or more than one; `foreign-origin` if a browser sent the cookie
    /// without showing that the console's own script did it.
    pub fn presented<'a>(&self, method: &Method, headers: &'a HeaderMap) -> Result<Presented<'a>, Problem> {
        if headers.contains_key(header::AUTHORIZATION) {
            let proved = || authorized(headers, "dpop").map(Presented::Proved);
            let found = authorized(headers, "bearer").map(Presented::Bearer).or_else(proved);
            return found.ok_or_else(unauthenticated);
        }
        let token = self.cookie_of(headers).ok_or_else(unauthenticated)?;
        if !method.is_safe() && !headers.contains_key(CONSOLE_HEADER) {
            return Err(Problem::new(
                Kind::ForeignOrigin,
                "a call that changes something and comes with a cookie needs the header `X-Countersign: 1`",
            ));
        }
        Ok(Presented::Cookie(token))
    }

    /// The console's cookie. Two of them mean that somebody planted one: neither is believed.
    fn cookie_of<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        self.named(headers, self.cookie_name())
    }

    fn named<'a>(&self, headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
        let mut ours = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == wanted)
            .map(|(_, value)| value);
        let token = ours.next().filter(|token| is_token(token))?;
        ours.next().is_none().then_some(token)
    }
}

/// That nobody is signed in.
#[must_use]
pub fn unauthenticated() -> Problem {
    Problem::new(Kind::Unauthenticated, "sign in first")
        .hint("in a terminal: `countersign login`; in a browser: open the console")
}

fn authorized<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let line = lines.next()?.to_str().ok()?;
    let (scheme, token) = line.split_once(' ')?;
    let token = token.trim();
    (lines.next().is_none() && scheme.eq_ignore_ascii_case(wanted) && is_token(token)).then_some(token)
}

fn is_token(text: &str) -> bool {
    let body = |b: u8| b.is_ascii_alphanumeric() || b"-_.~+/=".contains(&b);
    !text.is_empty() && text.len() <= TOKEN_BYTES_MAX && text.bytes().all(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn a_console_has_an_address_of_its_own() {
        assert!(Home::new("http://localhost:8443").unwrap().cookie_name() == "countersign");
        assert!(Home::new("https://gate.example").unwrap().cookie_name() == "__Host-countersign");
        for bad in [
            "",
            "localhost:8443",
            "ftp://localhost",
            "https://a.example/console",
            "https://u@a.example",
            "http://gate.example",
            "http://localhost.evil.example",
        ] {
            assert!(Home::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_cookie_is_out_of_reach_of_scripts_and_other_sites() {
        let secure = Home::new("https://gate.example").unwrap().cookie("t", 60).unwrap();
        assert_eq!(
            secure.to_str().unwrap(),
            "__Host-countersign=t; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
        );
        assert!(secure.is_sensitive());
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let home = Home::new("http://localhost:8443").unwrap();
        for ours in ["http://localhost:8443", "http://127.0.0.1:8443", "http://[::1]:8443"] {
            assert!(home.refuse_foreign(&Method::POST, &headers(&[("origin", ours)])).is_ok());
        }
        for foreign in [
            "http://localhost:8444",
            "https://localhost:8443",
            "http://evil.example",
            "null",
            "http://localhost:8443.evil.example",
        ] {
            let problem = home.refuse_foreign(&Method::POST, &headers(&[("origin", foreign)])).unwrap_err();
            assert_eq!(problem.status, 403, "{foreign}");
        }
        assert!(home.refuse_foreign(&Method::POST, &headers(&[("sec-fetch-site", "cross-site")])).is_err());
        assert!(home.refuse_foreign(&Method::GET, &headers(&[("sec-fetch-site", "cross-site")])).is_ok());
        assert!(home.refuse_foreign(&Method::POST, &headers(&[("sec-fetch-site", "same-origin")])).is_ok());
    }

    #[test]
    fn a_token_is_presented_in_one_way() {
        let home = Home::new("http://localhost:8443").unwrap();
        let seen = |method: &Method, pairs: &[(&'static str, &str)]| {
            home.presented(method, &headers(pairs)).map(|one| format!("{one:?}")).map_err(|p| p.status)
        };
        let get = &Method::GET;
        assert_eq!(seen(get, &[("authorization", "Bearer abc")]), Ok("Bearer(\"abc\")".into()));
        assert_eq!(seen(get, &[("cookie", "x=1; countersign=abc")]), Ok("Cookie(\"abc\")".into()));
        // A bad bearer token is not made good by a cookie.
        assert_eq!(seen(get, &[("authorization", "Basic abc"), ("cookie", "countersign=abc")]), Err(401));
        for bad in ["Bearer", "Bearer ", "Bearer a b", "Bearer \u{e9}", "bearer a\"b"] {
            assert_eq!(seen(get, &[("authorization", bad)]), Err(401), "{bad}");
        }
        assert_eq!(seen(get, &[("authorization", "Bearer a"), ("authorization", "Bearer b")]), Err(401));
        assert_eq!(seen(get, &[("cookie", "countersign=a; countersign=b")]), Err(401));
        assert_eq!(seen(get, &[("cookie", "countersign=a"), ("cookie", "countersign=b")]), Err(401));
        assert_eq!(seen(get, &[("cookie", "countersign=")]), Err(401));
        assert_eq!(seen(get, &[("authorization", &format!("Bearer {}", "a".repeat(257)))]), Err(401));
        assert_eq!(seen(&Method::POST, &[("cookie", "countersign=a")]), Err(403));
        assert!(seen(&Method::POST, &[("cookie", "countersign=a"), ("x-countersign", "1")]).is_ok());
    }
}
