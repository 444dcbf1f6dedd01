//! The answer to `AuthenticationMD5Password`, for upstream servers that still ask for it.
//!
//! MD5 proves little to anyone who listens, so a door uses it only inside TLS and only where the operator
//! allows it. This side never asks a client for it.

use md5::{Digest, Md5};

/// What to send in `PasswordMessage`: `md5` and hex(MD5(hex(MD5(password user)) salt)).
#[must_use]
pub fn answer(user: &[u8], password: &[u8], salt: [u8; 4]) -> String {
    let inner = hex(&[password, user]);
    format!("md5{}", hex(&[inner.as_bytes(), &salt]))
}

fn hex(parts: &[&[u8]]) -> String {
    let mut hasher = Md5::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
