//! Passkeys (W3C Web Authentication, level 3): what a browser brings of an authenticator, checked byte for byte.
//!
//! What: a registration (section 7.1) and an assertion (section 7.2), always with the person verified, for one relying
//! party and one origin. Why our own: the part that a gateway needs is small, has no state, and is what checks signed
//! approvals offline years later. What not: attestation. No authenticator is trusted for its maker, so none is asked
//! who made it, and what one says of that unasked is not looked at.

mod cbor;
mod cose;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

pub use cose::{Algorithm, PublicKey};

/// The longest client data that is read.
const CLIENT_DATA_BYTES_MAX: usize = 4_096;

/// The longest authenticator data, attestation object or signature that is read.
const DATA_BYTES_MAX: usize = 16_384;

/// The longest identifier of a credential (section 4).
pub const CREDENTIAL_ID_BYTES_MAX: usize = 1_023;

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const HAS_CREDENTIAL: u8 = 0x40;
const HAS_EXTENSIONS: u8 = 0x80;

/// Who asks for passkeys: one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    /// The domain that passkeys are made for.
    pub id: String,
    /// The one origin from which they are used.
    pub origin: String,
}

/// What an authenticator made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// By what it finds the key again.
    pub credential: Vec<u8>,
    /// The public key, as COSE has it (RFC 9052).
    pub key: Vec<u8>,
    /// How often it says to have signed; zero if it does not count.
    pub count: u32,
    /// The key may be copied to other devices of the same person.
    pub may_be_copied: bool,
}

/// What an authenticator signed.
#[derive(Clone, Copy, Debug)]
pub struct Assertion<'a> {
    /// What the browser says of where and for what.
    pub client_data: &'a [u8],
    /// What the authenticator says.
    pub authenticator_data: &'a [u8],
    /// Its signature over both.
    pub signature: &'a [u8],
}

/// What a good assertion says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asserted {
    /// How often the authenticator says to have signed; zero if it does not count.
    pub count: u32,
    /// The key was copied to other devices, or backed up.
    pub is_copied: bool,
}

/// Why what came is no registration or assertion that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// It can't be read.
    #[error("what the authenticator sent can't be read")]
    Malformed,
    /// It is of another ceremony.
    #[error("it was made for something else")]
    Ceremony,
    /// It answers another challenge.
    #[error("it answers another challenge")]
    Challenge,
    /// It was made on another page.
    #[error("it was made on another page than the console's")]
    Origin,
    /// It was made for another site.
    #[error("it was made for another site than the console")]
    RelyingParty,
    /// Nobody was there, or it was not made sure who.
    #[error("the authenticator did not make sure who is there")]
    NotVerified,
    /// The key is of a kind that is not known.
    #[error("the authenticator's key is of a kind that is not known")]
    Algorithm,
    /// The signature is not of that key, or of something else.
    #[error("the signature is not right")]
    Signature,
}

/// What a browser says (section 5.8.1). What it may say besides is of no matter.
#[derive(Deserialize)]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin", default)]
    cross_origin: bool,
    #[serde(rename = "topOrigin", default)]
    top_origin: Option<serde::de::IgnoredAny>,
}

/// Authenticator data (section 6.1).
struct AuthenticatorData<'a> {
    rp: &'a [u8],
    flags: u8,
    count: u32,
    credential: Option<(&'a [u8], &'a [u8])>,
}

impl RelyingParty {
    /// The site at `url`. A machine that has no name but an address has no passkeys.
    #[must_use]
    pub fn at(url: &str) -> Option<Self> {
        let url = url.to_ascii_lowercase();
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        };
        let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        // As browsers write it: small letters, and no port where it is the usual one.
        let usual = if scheme == "https" { ":443" } else { ":80" };
        let is_safe = scheme == "https" || scheme == "http" && host == "localhost";
        (is_safe && is_name && !is_address && !host.is_empty()).then(|| Self {
            id: host.to_owned(),
            origin: format!("{scheme}://{}", authority.trim_end_matches(usual)),
        })
    }
}

/// Checks a registration.
///
/// # Errors
/// [`Bad`].
pub fn registered(
    rp: &RelyingParty,
    challenge: &[u8],
    client_data: &[u8],
    attestation: &[u8],
) -> Result<Registered, Bad> {
    browser(rp, "webauthn.create", challenge, client_data)?;
    let data = cbor::whole(attestation, DATA_BYTES_MAX).ok_or(Bad::Malformed)?;
    let data = data.get_text("authData").and_then(cbor::Value::bytes).ok_or(Bad::Malformed)?;
    let data = AuthenticatorData::read(data).ok_or(Bad::Malformed)?;
    data.is_for(rp)?;
    let (credential, key) = data.credential.ok_or(Bad::Malformed)?;
    if credential.is_empty() || credential.len() > CREDENTIAL_ID_BYTES_MAX {
        return Err(Bad::Malformed);
    }
    PublicKey::read(key)?;
    Ok(Registered {
        credential: credential.to_vec(),
        key: key.to_vec(),
        count: data.count,
        may_be_copied: data.flags & BACKUP_ELIGIBLE != 0,
    })
}

/// Checks an assertion over `challenge` by the key (COSE).
///
/// # Errors
/// [`Bad`].
pub fn asserted(
    rp: &RelyingParty,
    challenge: &[u8],
    key: &[u8],
    assertion: Assertion<'_>,
) -> Result<Asserted, Bad> {
    browser(rp, "webauthn.get", challenge, assertion.client_data)?;
    if assertion.authenticator_data.len() > DATA_BYTES_MAX || assertion.signature.len() > DATA_BYTES_MAX {
        return Err(Bad::Malformed);
    }
    let data = AuthenticatorData::read(assertion.authenticator_data).ok_or(Bad::Malformed)?;
    data.is_for(rp)?;
    let hash = digest(&SHA256, assertion.client_data);
    let signed = [assertion.authenticator_data, hash.as_ref()].concat();
    PublicKey::read(key)?.verify(&signed, assertion.signature)?;
    Ok(Asserted { count: data.count, is_copied: data.flags & BACKED_UP != 0 })
}

/// Checks what the browser says.
fn browser(rp: &RelyingParty, ceremony: &str, challenge: &[u8], client_data: &[u8]) -> Result<(), Bad> {
    if client_data.len() > CLIENT_DATA_BYTES_MAX {
        return Err(Bad::Malformed);
    }
    let found: ClientData = serde_json::from_slice(client_data).map_err(|_| Bad::Malformed)?;
    if found.r#type != ceremony {
        return Err(Bad::Ceremony);
    }
    let answered = URL_SAFE_NO_PAD.decode(&found.challenge).map_err(|_| Bad::Malformed)?;
    if verify_slices_are_equal(&answered, challenge).is_err() {
        return Err(Bad::Challenge);
    }
    if found.origin != rp.origin || found.cross_origin || found.top_origin.is_some() {
        return Err(Bad::Origin);
    }
    Ok(())
}

impl<'a> AuthenticatorData<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let (rp, rest) = data.split_at_checked(32)?;
        let (flags, rest) = rest.split_first()?;
        let (count, mut rest) = rest.split_first_chunk::<4>()?;
        let mut credential = None;
        if flags & HAS_CREDENTIAL != 0 {
            let (_aaguid, after) = rest.split_at_checked(16)?;
            let (length, after) = after.split_first_chunk::<2>()?;
            let (id, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            let behind = cbor::skip(after)?;
            credential = Some((id, after.get(..after.len() - behind.len())?));
            rest = behind;
        }
        if flags & HAS_EXTENSIONS != 0 {
            rest = cbor::skip(rest)?;
        }
        let count = u32::from_be_bytes(*count);
        rest.is_empty().then_some(Self { rp, flags: *flags, count, credential })
    }

    /// Whether it was made for this site, with the person there and known to the authenticator.
    fn is_for(&self, rp: &RelyingParty) -> Result<(), Bad> {
        if verify_slices_are_equal(self.rp, digest(&SHA256, rp.id.as_bytes()).as_ref()).is_err() {
            return Err(Bad::RelyingParty);
        }
        let wanted = USER_PRESENT | USER_VERIFIED;
        if self.flags & wanted != wanted {
            return Err(Bad::NotVerified);
        }
        // A key that may not be copied can't have been (section 6.1.3).
        let was_copied = self.flags & BACKED_UP != 0;
        if was_copied && self.flags & BACKUP_ELIGIBLE == 0 {
            return Err(Bad::Malformed);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
