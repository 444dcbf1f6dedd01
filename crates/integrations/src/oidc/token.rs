//! What a provider signed: ID tokens (OpenID Connect Core 1.0, section 3.1.3.7) and logout tokens (Back-Channel Logout
//! 1.0, section 2.6), checked claim by claim.
//!
//! Which algorithm counts is ours to say, never the token's: asymmetric ones only, of the family of the key. `none` and the
//! HMACs, under which a public key would pass for a secret, are no algorithms here. The instant is given; skew is allowed
//! in one place.

use countersign_core::{At, Span};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys::Keys;

/// The longest token that is read.
pub(super) const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// How far the provider's clock may be off.
pub(super) const SKEW: Span = Span::minutes(2);

/// How old an ID token may be that has just been asked for, and a logout token that is pushed.
const FRESH: Span = Span::minutes(10);

/// How old a workload's token may be: a job has it from its beginning.
const WORKLOAD_FRESH: Span = Span::hours(1);

/// How long a workload's token may be made to count for.
const WORKLOAD_FOR_MAX: Span = Span::hours(24);

/// The longest subject (Core, section 2).
const SUBJECT_BYTES_MAX: usize = 255;

/// What makes a token a logout token.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Signatures that count, the usual first.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::ES256,
    Algorithm::EdDSA,
    Algorithm::PS256,
    Algorithm::ES384,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Why a token does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadToken {
    /// It can't be read.
    #[error("it can't be read as a signed token")]
    Malformed,
    /// It is signed in a way that does not count.
    #[error("it is not signed with an algorithm that counts here")]
    Algorithm,
    /// No key of the provider's has its name.
    #[error("no key of the provider signed it")]
    UnknownKey,
    /// The signature is not right.
    #[error("its signature is not right")]
    Signature,
    /// A claim is missing, or says something else than it has to.
    #[error("its `{0}` is not right")]
    Claim(&'static str),
}

/// What has to be so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) now: At,
}

/// What an ID token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdToken {
    pub(crate) subject: String,
    /// The provider's name for the session, if it says one.
    pub(crate) session: Option<String>,
    /// When the person was there, if it says so.
    pub(crate) auth_time: Option<At>,
    /// By which means (RFC 8176).
    pub(crate) methods: Vec<String>,
    /// Everything, for what a rule looks at.
    pub(crate) claims: Map<String, Value>,
}

/// What a logout token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogoutToken {
    pub(crate) subject: Option<String>,
    pub(crate) session: Option<String>,
    /// Its own name, and until when it would count: to count once.
    pub(crate) id: String,
    pub(crate) until: At,
}

/// What a workload's token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkloadClaims {
    pub(crate) subject: String,
    pub(crate) claims: Map<String, Value>,
    /// Its own name, and until when it would count: to count once.
    pub(crate) id: String,
    pub(crate) until: At,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Common {
    iss: String,
    aud: Audience,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    sid: Option<String>,
    iat: f64,
    #[serde(default)]
    exp: Option<f64>,
    #[serde(default)]
    nbf: Option<f64>,
}

/// The issuer that a token names, unchecked.
pub(crate) fn issuer_claimed(token: &str) -> Option<String> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let claims: Map<String, Value> = jsonwebtoken::dangerous::insecure_decode_claims(token).ok()?;
    text(&claims, "iss").map(str::to_owned)
}

/// The name of the key that a token says it was signed with.
pub(crate) fn key_named(token: &str) -> Result<Option<String>, BadToken> {
    Ok(header(token)?.kid)
}

/// Checks an ID token that was asked for with this nonce. With `within` the person must have been there so lately.
pub(crate) fn id_token(
    token: &str,
    keys: &Keys,
    expected: Expected<'_>,
    (nonce, within): (&str, Option<Span>),
) -> Result<IdToken, BadToken> {
    let header = header(token)?;
    // A logout token, an access token or any other is none, whoever signed it (RFC 8725, section 3.11).
    if header.typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case("jwt")) {
        return Err(BadToken::Claim("typ"));
    }
    let claims = verified(token, &header, keys)?;
    let common = common(&claims, expected, FRESH)?;
    if common.exp.is_none() {
        return Err(BadToken::Claim("exp"));
    }
    if claims.contains_key("events") {
        return Err(BadToken::Claim("events"));
    }
    let said = text(&claims, "nonce").ok_or(BadToken::Claim("nonce"))?;
    let same = aws_lc_rs::constant_time::verify_slices_are_equal(said.as_bytes(), nonce.as_bytes());
    same.map_err(|_| BadToken::Claim("nonce"))?;
    let auth_time = claims.get("auth_time").map(|value| value.as_f64().and_then(instant));
    let auth_time = match auth_time {
        None => None,
        Some(found) => Some(found.ok_or(BadToken::Claim("auth_time"))?),
    };
    if auth_time.is_some_and(|at| at > expected.now.plus(SKEW)) {
        return Err(BadToken::Claim("auth_time"));
    }
    if let Some(within) = within {
        let was_there = auth_time.ok_or(BadToken::Claim("auth_time"))?;
        if expected.now.since(was_there) > Span(within.0.saturating_add(SKEW.0)) {
            return Err(BadToken::Claim("auth_time"));
        }
    }
    let methods = claims.get("amr").and_then(Value::as_array).into_iter().flatten();
    let methods = methods.filter_map(Value::as_str).take(16).map(str::to_owned).collect();
    let subject = common.sub.ok_or(BadToken::Claim("sub"))?;
    Ok(IdToken { subject, session: common.sid, auth_time, methods, claims })
}

/// Checks a logout token.
pub(crate) fn logout_token(
    token: &str,
    keys: &Keys,
    expected: Expected<'_>,
) -> Result<LogoutToken, BadToken> {
    let header = header(token)?;
    // Older providers say nothing or `JWT`.
    let fits = |typ: &str| typ.eq_ignore_ascii_case("logout+jwt") || typ.eq_ignore_ascii_case("jwt");
    if header.typ.as_deref().is_some_and(|typ| !fits(typ)) {
        return Err(BadToken::Claim("typ"));
    }
    let claims = verified(token, &header, keys)?;
    let common = common(&claims, expected, FRESH)?;
    let event = claims.get("events").and_then(|events| events.get(LOGOUT_EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err(BadToken::Claim("events"));
    }
    if claims.contains_key("nonce") {
        return Err(BadToken::Claim("nonce"));
    }
    if common.sub.is_none() && common.sid.is_none() {
        return Err(BadToken::Claim("sub"));
    }
    let id = text(&claims, "jti").filter(|id| !id.is_empty()).ok_or(BadToken::Claim("jti"))?;
    let exp = common.exp.and_then(instant);
    let fresh = expected.now.plus(FRESH).plus(SKEW);
    let until = exp.map_or(fresh, |exp| exp.plus(SKEW).min(fresh));
    Ok(LogoutToken { subject: common.sub, session: common.sid, id: id.to_owned(), until })
}

/// Checks the token of a workload.
pub(crate) fn workload_token(
    token: &str,
    keys: &Keys,
    expected: Expected<'_>,
) -> Result<WorkloadClaims, BadToken> {
    let header = header(token)?;
    if header.typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case("jwt")) {
        return Err(BadToken::Claim("typ"));
    }
    let claims = verified(token, &header, keys)?;
    let common = common(&claims, expected, WORKLOAD_FRESH)?;
    // One that is meant for others as well is theirs to pass on.
    if matches!(&common.aud, Audience::Many(all) if all.len() != 1) {
        return Err(BadToken::Claim("aud"));
    }
    // What a person was signed in with is no job's.
    for name in ["nonce", "events"] {
        if claims.contains_key(name) {
            return Err(BadToken::Claim(name));
        }
    }
    let issued = instant(common.iat).ok_or(BadToken::Claim("iat"))?;
    let exp = common.exp.and_then(instant).ok_or(BadToken::Claim("exp"))?;
    if exp.since(issued) > WORKLOAD_FOR_MAX {
        return Err(BadToken::Claim("exp"));
    }
    let subject = common.sub.ok_or(BadToken::Claim("sub"))?;
    let id = match claims.get("jti") {
        Some(Value::String(id)) if !id.is_empty() && id.len() <= SUBJECT_BYTES_MAX => id.clone(),
        Some(_) => return Err(BadToken::Claim("jti")),
        // Without a name of its own it is itself.
        None => token.to_owned(),
    };
    Ok(WorkloadClaims { subject, claims, id, until: exp.plus(SKEW) })
}

fn header(token: &str) -> Result<Header, BadToken> {
    if token.len() > TOKEN_BYTES_MAX || token.split('.').count() != 3 {
        return Err(BadToken::Malformed);
    }
    // An algorithm that is not known, such as `none`, is no header that can be read.
    let header = decode_header(token).map_err(|_| BadToken::Algorithm)?;
    // Whatever must be understood (RFC 7515, section 4.1.11) is not. Keys come from the provider's set alone.
    if header.crit.is_some() || header.enc.is_some() || header.zip.is_some() {
        return Err(BadToken::Malformed);
    }
    Ok(header)
}

/// The claims of a token that a key of the provider's signed.
fn verified(token: &str, header: &Header, keys: &Keys) -> Result<Map<String, Value>, BadToken> {
    let algorithm = ALGORITHMS.into_iter().find(|one| *one == header.alg).ok_or(BadToken::Algorithm)?;
    let key = keys.find(header.kid.as_deref(), |jwk| signs(jwk, algorithm)).ok_or(BadToken::UnknownKey)?;
    let key = DecodingKey::from_jwk(key).map_err(|_| BadToken::UnknownKey)?;
    let mut validation = Validation::new(algorithm);
    // The claims are checked below, against an instant that is given.
    (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
    validation.required_spec_claims.clear();
    let decoded = decode::<Map<String, Value>>(token, &key, &validation);
    decoded.map(|found| found.claims).map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::InvalidSignature => BadToken::Signature,
        jsonwebtoken::errors::ErrorKind::InvalidAlgorithm => BadToken::Algorithm,
        _ => BadToken::Malformed,
    })
}

/// Whether a key of the provider's signs with this algorithm.
fn signs(jwk: &Jwk, algorithm: Algorithm) -> bool {
    let common = &jwk.common;
    let for_signing = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
    let named = common.key_algorithm.is_none_or(|named| format!("{named:?}") == format!("{algorithm:?}"));
    let fits = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => matches!(
            algorithm,
            Algorithm::RS256
                | Algorithm::RS384
                | Algorithm::RS512
                | Algorithm::PS256
                | Algorithm::PS384
                | Algorithm::PS512
        ),
        AlgorithmParameters::EllipticCurve(key) => match algorithm {
            Algorithm::ES256 => key.curve == jsonwebtoken::jwk::EllipticCurve::P256,
            Algorithm::ES384 => key.curve == jsonwebtoken::jwk::EllipticCurve::P384,
            _ => false,
        },
        AlgorithmParameters::OctetKeyPair(key) => {
            algorithm == Algorithm::EdDSA && key.curve == jsonwebtoken::jwk::EllipticCurve::Ed25519
        }
        _ => false,
    };
    for_signing && named && fits
}

/// Issuer, audience and time: the same for every token.
fn common(claims: &Map<String, Value>, expected: Expected<'_>, fresh: Span) -> Result<Common, BadToken> {
    let common: Common =
        serde_json::from_value(Value::Object(claims.clone())).map_err(|_| BadToken::Malformed)?;
    if common.iss != expected.issuer {
        return Err(BadToken::Claim("iss"));
    }
    let audiences = match &common.aud {
        Audience::One(one) => std::slice::from_ref(one),
        Audience::Many(many) => many,
    };
    if !audiences.iter().any(|one| one == expected.client_id) {
        return Err(BadToken::Claim("aud"));
    }
    let azp = common.azp.as_deref();
    if azp.is_some_and(|azp| azp != expected.client_id) || audiences.len() > 1 && azp.is_none() {
        return Err(BadToken::Claim("azp"));
    }
    let fits = |text: &String| {
        !text.is_empty() && text.len() <= SUBJECT_BYTES_MAX && !text.contains(char::is_control)
    };
    if common.sub.as_ref().is_some_and(|sub| !fits(sub)) {
        return Err(BadToken::Claim("sub"));
    }
    if common.sid.as_ref().is_some_and(|sid| !fits(sid)) {
        return Err(BadToken::Claim("sid"));
    }
    in_time(&common, expected.now, fresh)?;
    Ok(common)
}

fn in_time(common: &Common, now: At, fresh: Span) -> Result<(), BadToken> {
    let issued = instant(common.iat).ok_or(BadToken::Claim("iat"))?;
    if issued > now.plus(SKEW) || issued.plus(fresh).plus(SKEW) < now {
        return Err(BadToken::Claim("iat"));
    }
    if let Some(exp) = common.exp
        && instant(exp).is_none_or(|exp| exp.plus(SKEW) <= now)
    {
        return Err(BadToken::Claim("exp"));
    }
    if let Some(nbf) = common.nbf
        && instant(nbf).is_none_or(|nbf| nbf > now.plus(SKEW))
    {
        return Err(BadToken::Claim("nbf"));
    }
    Ok(())
}

/// Seconds since 1970, as tokens have them; a fraction is cut off.
#[expect(clippy::cast_possible_truncation, reason = "bounded just before")]
fn instant(seconds: f64) -> Option<At> {
    let in_range = seconds.is_finite() && (0.0..1e11).contains(&seconds);
    in_range.then(|| At((seconds as i64).saturating_mul(1_000_000)))
}

pub(super) fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}
