//! Showing with each call to have a key (RFC 9449). The key is made here and stays here: it is of no use in a file.

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::wiring::random_text;

/// Whoever has the key.
pub struct Prover {
    pair: EcdsaKeyPair,
    header: Value,
}

impl std::fmt::Debug for Prover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prover")
    }
}

impl Prover {
    /// With a key of its own.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new() -> Result<Self> {
        let pair =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).context("could not make a key")?;
        let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
        let (x, y) = point.split_at_checked(32).context("could not make a key")?;
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) });
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
        Ok(Self { pair, header })
    }

    /// The proof for one call.
    ///
    /// # Errors
    /// It could not be signed.
    pub fn proof(&self, method: &str, url: &str, token: Option<&str>) -> Result<String> {
        let url = url.split(['?', '#']).next().unwrap_or_default();
        let mut claims = json!({
            "jti": random_text(16), "htm": method, "htu": url, "iat": jiff::Timestamp::now().as_second(),
        });
        if let (Some(token), Some(claims)) = (token, claims.as_object_mut()) {
            claims.insert("ath".into(), URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes())).into());
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&self.header), part(&claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes());
        let signature = signature.ok().context("a proof could not be signed")?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}
