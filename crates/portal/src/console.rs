//! The console: a page and its files, embedded in the program.
//!
//! Paths are looked up in a table that was made when the program was built; nothing here touches a file
//! system, so there is nothing to climb out of. Files with a hash in their name may be kept for ever, the
//! page itself never. A file that was compressed when the console was built (`x.js.br`, `x.js.gz` beside
//! `x.js`) is sent so; anything else is compressed on its way out, which the router around this sees to.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use countersign_engine::Entropy;
use rust_embed::RustEmbed;

use crate::headers::page_policy;
use crate::problem::{Kind, Problem};

/// What a page written by the console's build stands in for this response's nonce.
const NONCE_MARK: &str = "__CSP_NONCE__";

/// Files beneath this folder carry a hash of their content in their name.
const HASHED: &str = "assets/";

/// What keeps the page for when there is no gateway: it asks for pages and files, and runs nothing else.
const WORKER: &str = "sw.js";
const WORKER_POLICY: &str = "default-src 'none'; connect-src 'self'";

const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_EACH_TIME: &str = "no-cache";
const UNBUILT: &str = include_str!("unbuilt.html");

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Dist;

/// One file of the console.
pub(crate) struct File {
    bytes: Cow<'static, [u8]>,
    hash: [u8; 32],
    kind: String,
}

/// The console's files.
#[derive(Clone)]
pub struct Console {
    find: fn(&str) -> Option<File>,
    entropy: Arc<dyn Entropy>,
}

impl Console {
    /// The console that is embedded in this program.
    #[must_use]
    pub fn embedded(entropy: Arc<dyn Entropy>) -> Self {
        Self { find: embedded, entropy }
    }

    /// Whether the console was built before the program was.
    #[must_use]
    pub fn is_built() -> bool {
        Dist::get("index.html").is_some()
    }

    /// Answers a call for a page or a file.
    #[must_use]
    pub fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let problem = Problem::new(Kind::MethodNotAllowed, "pages are only read");
            return ([(header::ALLOW, "GET, HEAD")], problem).into_response();
        }
        let path = path.trim_start_matches('/');
        let is_page = path.is_empty() || path == "index.html" || !last_segment(path).contains('.');
        if is_page {
            return self.page();
        }
        match is_plain(path).then(|| (self.find)(path)).flatten() {
            Some(file) => self.file(path, file, headers),
            None => Problem::new(Kind::NotFound, "the console has no such file").into_response(),
        }
    }

    /// The one page: the console finds out from the address what to show.
    fn page(&self) -> Response {
        let page = (self.find)("index.html").and_then(|file| String::from_utf8(file.bytes.into_owned()).ok());
        let nonce = self.nonce();
        let page = page.as_deref().unwrap_or(UNBUILT).replace(NONCE_MARK, &nonce);
        let mut response =
            ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], page)
                .into_response();
        if let Ok(policy) = HeaderValue::from_str(&page_policy(&nonce)) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }

    fn file(&self, path: &str, file: File, headers: &HeaderMap) -> Response {
        let tag = format!("\"{}\"", hex(&file.hash));
        let keep = if path.starts_with(HASHED) { FOR_EVER } else { ASK_EACH_TIME };
        let common =
            [(header::CACHE_CONTROL, keep), (header::ETAG, tag.as_str()), (header::VARY, "accept-encoding")];
        let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        if known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)) {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        let (encoding, bytes) = self.smallest(path, file.bytes, headers);
        let mut response =
            (common, [(header::CONTENT_TYPE, file.kind.as_str())], body(bytes)).into_response();
        if let Some(encoding) = encoding {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        if path == WORKER {
            let policy = HeaderValue::from_static(WORKER_POLICY);
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }

    fn smallest(
        &self,
        path: &str,
        plain: Cow<'static, [u8]>,
        headers: &HeaderMap,
    ) -> (Option<&'static str>, Cow<'static, [u8]>) {
        for (encoding, suffix) in [("br", "br"), ("gzip", "gz")] {
            if accepts(headers, encoding)
                && let Some(file) = (self.find)(&format!("{path}.{suffix}"))
            {
                return (Some(encoding), file.bytes);
            }
        }
        (None, plain)
    }

    fn nonce(&self) -> String {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        hex(&bytes)
    }
}

fn embedded(path: &str) -> Option<File> {
    let file = Dist::get(path)?;
    let kind = file.metadata.mimetype().to_owned();
    let kind = if kind.starts_with("text/") { format!("{kind}; charset=utf-8") } else { kind };
    Some(File { hash: file.metadata.sha256_hash(), kind, bytes: file.data })
}

fn body(bytes: Cow<'static, [u8]>) -> Body {
    match bytes {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    }
}

/// Letters, digits, and segments that are neither empty nor start with a dot.
fn is_plain(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/@".contains(&b);
    path.bytes().all(plain) && path.split('/').all(|segment| !segment.is_empty() && !segment.starts_with('.'))
}

fn last_segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Whether the caller takes an encoding: named, and not with a weight of nothing.
fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    let offered = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    offered.unwrap_or_default().split(',').any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0f32));
        name.trim() == encoding && !refused
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(std::sync::atomic::AtomicU8);

    impl Entropy for Counting {
        fn fill(&self, into: &mut [u8]) {
            into.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        }

        fn id(&self) -> u128 {
            0
        }
    }

    fn file(bytes: &'static [u8], kind: &str) -> Option<File> {
        Some(File { bytes: Cow::Borrowed(bytes), hash: [bytes.len() as u8; 32], kind: kind.into() })
    }

    fn built(path: &str) -> Option<File> {
        match path {
            "index.html" => file(b"<meta nonce=\"__CSP_NONCE__\"><script src=/assets/a.js>", "text/html"),
            "assets/a-1.js" => file(b"plain", "text/javascript"),
            "assets/a-1.js.br" => file(b"br", "application/octet-stream"),
            "favicon.svg" => file(b"<svg/>", "image/svg+xml"),
            "sw.js" => file(b"worker", "text/javascript"),
            "../secret.txt" | "assets/.env" => file(b"secret", "text/plain"),
            _ => None,
        }
    }

    fn console(find: fn(&str) -> Option<File>) -> Console {
        Console { find, entropy: Arc::new(Counting(1.into())) }
    }

    fn get(console: &Console, path: &str, headers: &[(header::HeaderName, &'static str)]) -> Response {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        console.answer(&Method::GET, path, &headers)
    }

    fn header_of(response: &Response, name: header::HeaderName) -> &str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    async fn text(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 100_000).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn every_page_has_a_nonce_of_its_own() {
        let console = console(built);
        for path in ["/", "/index.html", "/inbox", "/requests/req_00000000000000000000000000"] {
            let response = get(&console, path, &[]);
            assert_eq!(response.status(), 200);
            let policy = header_of(&response, header::CONTENT_SECURITY_POLICY).to_owned();
            let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
            assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
            assert_eq!(header_of(&response, header::CACHE_CONTROL), "no-store");
            assert!(text(response).await.contains(&format!("nonce=\"{nonce}\"")));
        }
        let policies: std::collections::BTreeSet<String> = (0..3)
            .map(|_| header_of(&get(&console, "/", &[]), header::CONTENT_SECURITY_POLICY).to_owned())
            .collect();
        assert_eq!(policies.len(), 3);
    }

    #[tokio::test]
    async fn files_are_cached_and_compressed_as_they_allow() {
        let console = console(built);
        let response = get(&console, "/assets/a-1.js", &[(header::ACCEPT_ENCODING, "gzip, deflate, br")]);
        assert_eq!(header_of(&response, header::CONTENT_ENCODING), "br");
        assert_eq!(header_of(&response, header::CONTENT_TYPE), "text/javascript");
        assert_eq!(header_of(&response, header::CACHE_CONTROL), FOR_EVER);
        assert_eq!(text(response).await, "br");
        for identity in ["", "gzip", "br;q=0"] {
            let response = get(&console, "/assets/a-1.js", &[(header::ACCEPT_ENCODING, identity)]);
            assert_eq!(text(response).await, "plain", "{identity}");
        }
        let icon = get(&console, "/favicon.svg", &[]);
        assert_eq!(header_of(&icon, header::CACHE_CONTROL), ASK_EACH_TIME);
        assert!(!header_of(&icon, header::ETAG).is_empty());
        let tag = "\"0606060606060606060606060606060606060606060606060606060606060606\"";
        let again = get(&console, "/favicon.svg", &[(header::IF_NONE_MATCH, tag)]);
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn the_worker_asks_for_pages_and_files_and_is_asked_for_each_time() {
        let worker = get(&console(built), "/sw.js", &[]);
        assert_eq!(header_of(&worker, header::CONTENT_SECURITY_POLICY), WORKER_POLICY);
        assert_eq!(header_of(&worker, header::CACHE_CONTROL), ASK_EACH_TIME);
        let other = get(&console(built), "/favicon.svg", &[]);
        assert_eq!(header_of(&other, header::CONTENT_SECURITY_POLICY), "", "the rest is hardened as ever");
    }

    #[test]
    fn paths_lead_to_embedded_files_only() {
        let console = console(built);
        for path in [
            "/../secret.txt",
            "/assets/../../secret.txt",
            "/assets/.env",
            "/assets//a-1.js",
            "/%2e%2e/secret.txt",
            "/..%2fsecret.txt",
            "/assets/a-1.js\0.txt",
            "/no.js",
        ] {
            assert_eq!(get(&console, path, &[]).status(), StatusCode::NOT_FOUND, "{path}");
        }
        let post = console.answer(&Method::POST, "/", &HeaderMap::new());
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn a_program_without_a_console_says_how_to_build_one() {
        let response = get(&console(|_| None), "/", &[]);
        let policy = header_of(&response, header::CONTENT_SECURITY_POLICY).to_owned();
        let page = text(response).await;
        assert!(page.contains("npm ci") && page.contains("npm run build"));
        let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
        assert!(page.contains(&format!("<style nonce=\"{nonce}\">")));
    }
}
