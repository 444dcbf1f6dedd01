//! Proof of possession (RFC 9449): a caller whose sign-in stands on a key of its own shows with each call that it has it.
//!
//! What is read of a log, a proxy or a core dump of somebody else's is a token without the key, and opens nothing. A proof is
//! for one method and one path of this gateway, for one token, for a minute, once. Keys are of P-256; a proof brings its own,
//! and which key counts is what the sign-in was made with.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use axum::http::{HeaderMap, Method};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::{At, Span};
use serde::Deserialize;
use url::Url;

use crate::origin::Home;

/// The header that a proof comes in.
pub const HEADER: &str = "dpop";

/// The longest proof.
const PROOF_BYTES_MAX: usize = 4_096;

/// How far from now a proof may have been made.
const FRESH: Span = Span::minutes(1);

/// How many proofs are remembered so that each counts once; beyond, none is taken.
const PROOFS_MAX: usize = 100_000;

/// The longest name of a proof.
const NAME_BYTES_MAX: usize = 128;

/// Proofs that counted, until when they would again.
#[derive(Debug, Default)]
pub struct Proofs(Mutex<BTreeMap<[u8; 32], At>>);

/// A proof that was checked for everything but whose it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The thumbprint of its key (RFC 7638).
    pub key: [u8; 32],
    /// By which it counts once.
    name: [u8; 32],
    until: At,
}

/// What a proof has to be for.
#[derive(Clone, Copy, Debug)]
pub struct For<'a> {
    pub home: &'a Home,
    pub method: &'a Method,
    /// The path, without the query.
    pub path: &'a str,
    /// The token that comes with it, if one does.
    pub token: Option<&'a str>,
    pub now: At,
}

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    jwk: Jwk,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
    /// A private key: whoever sends one has given it away.
    #[serde(default)]
    d: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    #[serde(default)]
    ath: Option<String>,
}

impl Proofs {
    /// Whether a proof counts for the first time. Asked last, for callers who are known: nobody else fills the memory.
    pub fn is_first(&self, shown: &Shown, now: At) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= PROOFS_MAX {
            seen.retain(|_, until| now < *until);
        }
        if seen.len() >= PROOFS_MAX || seen.get(&shown.name).is_some_and(|until| now < *until) {
            return false;
        }
        seen.insert(shown.name, shown.until);
        true
    }
}

/// The one proof that a call brings, if it is right. Nothing is said of what is wrong with one.
#[must_use]
pub fn shown(headers: &HeaderMap, wanted: For<'_>) -> Option<Shown> {
    let mut lines = headers.get_all(HEADER).iter();
    let proof = lines.next()?.to_str().ok()?;
    if lines.next().is_some() || proof.len() > PROOF_BYTES_MAX {
        return None;
    }
    read(proof, wanted)
}

fn read(proof: &str, wanted: For<'_>) -> Option<Shown> {
    let (message, signature) = proof.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let Jwk { kty, crv, x, y, d } = &header.jwk;
    let is_ours = header.typ == "dpop+jwt" && header.alg == "ES256" && kty == "EC" && crv == "P-256";
    if !is_ours || d.is_some() || header.crit.is_some() {
        return None;
    }
    let part = |text: &str| <[u8; 32]>::try_from(URL_SAFE_NO_PAD.decode(text).ok()?).ok();
    let point = [&[4], part(x)?.as_slice(), part(y)?.as_slice()].concat();
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message.as_bytes(), &signature).ok()?;
    is_for(&claims, wanted).then_some(())?;
    let key = thumbprint(x, y);
    let name = sha256(&[b"countersign/proof/v1\n", &key, claims.jti.as_bytes()]);
    Some(Shown { key, name, until: wanted.now.plus(FRESH).plus(FRESH) })
}

fn is_for(claims: &Claims, wanted: For<'_>) -> bool {
    let made_at = At(claims.iat.saturating_mul(1_000_000));
    let is_fresh = made_at <= wanted.now.plus(FRESH) && wanted.now <= made_at.plus(FRESH);
    let is_named = !claims.jti.is_empty() && claims.jti.len() <= NAME_BYTES_MAX;
    let is_here = Url::parse(&claims.htu).is_ok_and(|url| {
        wanted.home.is_ours(&url.origin().ascii_serialization()) && url.path() == wanted.path
    });
    let hashed = wanted.token.map(|token| URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes())));
    is_fresh && is_named && is_here && claims.htm == wanted.method.as_str() && claims.ath == hashed
}

/// RFC 7638, section 3. The members are in their order, and their values need no escaping.
fn thumbprint(x: &str, y: &str) -> [u8; 32] {
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    sha256(&[canonical.as_bytes()])
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    let made = digest(&SHA256, &parts.concat());
    out.iter_mut().zip(made.as_ref()).for_each(|(slot, byte)| *slot = *byte);
    out
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::{Value, json};

    use super::*;

    const NOW: At = At(1_800_000_000_000_000);
    const PATH: &str = "/api/v1/me";

    fn pair() -> EcdsaKeyPair {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
    }

    fn jwk(pair: &EcdsaKeyPair) -> Value {
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) })
    }

    fn signed(pair: &EcdsaKeyPair, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn header(pair: &EcdsaKeyPair) -> Value {
        json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk(pair) })
    }

    fn claims() -> Value {
        let hashed = URL_SAFE_NO_PAD.encode(digest(&SHA256, b"token"));
        json!({ "jti": "one", "htm": "GET", "htu": format!("https://gate.example{PATH}"), "iat": NOW.0 / 1_000_000,
            "ath": hashed })
    }

    fn with(mut of: Value, name: &str, value: Value) -> Value {
        of[name] = value;
        of
    }

    fn check(proof: &str) -> Option<Shown> {
        let home = Home::new("https://gate.example").unwrap();
        read(proof, For { home: &home, method: &Method::GET, path: PATH, token: Some("token"), now: NOW })
    }

    /// The key of RFC 9449's own example, section 6.1, and its thumbprint.
    #[test]
    fn a_thumbprint_is_that_of_the_rfc() {
        let x = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs";
        let y = "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA";
        let made = URL_SAFE_NO_PAD.encode(thumbprint(x, y));
        assert_eq!(made, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    }

    #[test]
    fn a_proof_is_for_one_call_and_counts_once() {
        let pair = pair();
        let shown = check(&signed(&pair, &header(&pair), &claims())).unwrap();
        let proofs = Proofs::default();
        assert!(proofs.is_first(&shown, NOW));
        assert!(!proofs.is_first(&shown, NOW) && !proofs.is_first(&shown, NOW.plus(FRESH)));
        let seconds = NOW.0 / 1_000_000;
        for (name, value) in [
            ("htm", json!("POST")),
            ("htm", json!("get")),
            ("htu", json!("https://gate.example/api/v1/roles")),
            ("htu", json!("https://evil.example/api/v1/me")),
            ("htu", json!("http://gate.example/api/v1/me")),
            ("htu", json!("/api/v1/me")),
            ("iat", json!(seconds - 61)),
            ("iat", json!(seconds + 61)),
            ("iat", json!("now")),
            ("iat", json!(i64::MAX)),
            ("jti", json!("")),
            ("jti", json!("a".repeat(129))),
            ("ath", json!(null)),
            ("ath", json!(URL_SAFE_NO_PAD.encode(digest(&SHA256, b"another")))),
        ] {
            let proof = signed(&pair, &header(&pair), &with(claims(), name, value.clone()));
            assert_eq!(check(&proof), None, "{name} {value}");
        }
    }

    #[test]
    fn a_proof_is_made_by_the_key_that_it_brings() {
        let (pair, evil) = (pair(), pair());
        let good = signed(&pair, &header(&pair), &claims());
        assert!(check(&good).is_some());
        assert_eq!(check(&signed(&evil, &header(&pair), &claims())), None, "somebody else's key");
        let other = check(&signed(&evil, &header(&evil), &claims())).unwrap();
        assert_ne!(other.key, check(&good).unwrap().key);
        for (name, value) in [
            ("typ", json!("JWT")),
            ("alg", json!("none")),
            ("alg", json!("HS256")),
            ("crit", json!(["b64"])),
            ("jwk", with(jwk(&pair), "d", json!("AAAA"))),
            ("jwk", with(jwk(&pair), "crv", json!("P-384"))),
            ("jwk", with(jwk(&pair), "x", json!("AAAA"))),
            ("jwk", json!({ "kty": "oct", "k": "AAAA" })),
        ] {
            let proof = signed(&pair, &with(header(&pair), name, value.clone()), &claims());
            assert_eq!(check(&proof), None, "{name} {value}");
        }
        let (message, _) = good.rsplit_once('.').unwrap();
        for bad in ["", ".", "..", "a.b.c", message, &format!("{message}."), &format!("{good}A")] {
            assert_eq!(check(bad), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.append(HEADER, good.parse().unwrap());
        headers.append(HEADER, good.parse().unwrap());
        let home = Home::new("https://gate.example").unwrap();
        let wanted = For { home: &home, method: &Method::GET, path: PATH, token: Some("token"), now: NOW };
        assert_eq!(shown(&headers, wanted), None, "one of two");
    }
}
