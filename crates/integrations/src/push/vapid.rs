//! Who sends: a token that the gateway's key has signed, for one push service and some hours (RFC 8292).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::At;
use countersign_engine::people::devices::PushKey;
use url::Url;

/// How long a token is good, in seconds: at most a day (RFC 8292, section 2).
const GOOD_S: i64 = 12 * 3_600;

/// The value of `Authorization` for a push to `url`. Nothing: the key is none.
#[must_use]
pub fn authorization(url: &Url, contact: &str, (key, now): (&PushKey, At)) -> Option<String> {
    let expires = now.0.div_euclid(1_000_000).saturating_add(GOOD_S);
    let head = serde_json::json!({ "typ": "JWT", "alg": "ES256" }).to_string();
    let claims = serde_json::json!({
        "aud": url.origin().ascii_serialization(), "exp": expires, "sub": contact,
    });
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pair =
        EcdsaKeyPair::from_private_key_and_public_key(algorithm, key.private.as_ref(), &key.public).ok()?;
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
    Some(format!("vapid t={token}, k={}", URL_SAFE_NO_PAD.encode(&key.public)))
}
