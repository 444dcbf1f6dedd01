//! The side that checks a proof.
//!
//! An unknown name and a wrong password look the same from outside: both get a salt that is stable for the
//! name ([`Verifiers::decoy`]), and the same number of verifiers is computed however many there are.

use subtle::{Choice, ConditionallySelectable};

use super::keys::{KEY_BYTES, StoredKey, hmac};
use super::message::{BindingFlag, ClientFinal, ClientFirst, encode64, is_nonce};
use super::{ITERATIONS_MAX, ITERATIONS_MIN};
use super::{SALT_BYTES_MAX, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramError, VERIFIERS_MAX};

const DECOY_SALT_BYTES: usize = 16;

/// What this connection lets a client bind to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerBinding {
    /// Nothing: no TLS, or a certificate without a usable hash.
    None,
    /// The hash of the certificate that this connection showed (RFC 5929, `tls-server-end-point`).
    TlsServerEndPoint(Vec<u8>),
}

impl ServerBinding {
    /// The mechanisms to offer, the preferred one first.
    #[must_use]
    pub const fn mechanisms(&self) -> &'static [&'static str] {
        match self {
            Self::None => &[SCRAM_SHA_256],
            Self::TlsServerEndPoint(_) => &[SCRAM_SHA_256_PLUS, SCRAM_SHA_256],
        }
    }
}

/// The verifiers that one name may be proved against: at most [`VERIFIERS_MAX`], which share salt and
/// iterations.
#[derive(Debug, Clone)]
pub struct Verifiers {
    salt: Vec<u8>,
    iterations: u32,
    keys: Vec<StoredKey>,
}

impl Verifiers {
    /// Verifiers as stored; none is lawful and proves nobody.
    ///
    /// # Errors
    /// [`ScramError::Argument`] for an empty or oversized salt or too many keys, [`ScramError::Iterations`]
    /// outside the accepted range.
    pub fn new(salt: Vec<u8>, iterations: u32, keys: Vec<StoredKey>) -> Result<Self, ScramError> {
        if salt.is_empty() || salt.len() > SALT_BYTES_MAX {
            return Err(ScramError::Argument("salt"));
        }
        if keys.len() > VERIFIERS_MAX {
            return Err(ScramError::Argument("number of verifiers"));
        }
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(ScramError::Iterations(iterations));
        }
        Ok(Self { salt, iterations, keys })
    }

    /// Verifiers that prove nobody, for a name that does not exist: the salt is a keyed hash of the name, so
    /// that asking again gives the same one. Use the iteration count and the salt length (16 bytes) of real
    /// credentials.
    ///
    /// # Errors
    /// [`ScramError::Iterations`] outside the accepted range.
    pub fn decoy(secret: &[u8], name: &[u8], iterations: u32) -> Result<Self, ScramError> {
        let mac = hmac(secret, &[b"countersign/scram-decoy/v1\n", name]);
        let salt = mac.get(..DECOY_SALT_BYTES).unwrap_or(&mac).to_vec();
        Self::new(salt, iterations, Vec::new())
    }
}

/// The exchange after the first message: waits for the proof.
#[derive(Debug)]
pub struct Server {
    verifiers: Verifiers,
    binding: Vec<u8>,
    nonce: String,
    client_first_bare: String,
    server_first: String,
}

/// A client that knows the password behind one of the verifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    /// Which of the verifiers, counted from zero in the order given.
    pub key: usize,
    /// The last message to the client: this side's own proof.
    pub server_final: Vec<u8>,
}

impl Server {
    /// Answers the client's first message. `nonce` is this side's: fresh, random, printable ASCII without
    /// commas, at least 16 characters (18 random bytes in base64, as PostgreSQL has it).
    ///
    /// # Errors
    /// [`ScramError`] for a malformed message, a mechanism that was not offered, a contradictory channel
    /// binding.
    pub fn start(
        mechanism: &[u8],
        client_first: &[u8],
        binding: &ServerBinding,
        verifiers: Verifiers,
        nonce: &str,
    ) -> Result<(Self, Vec<u8>), ScramError> {
        if !is_nonce(nonce) {
            return Err(ScramError::Argument("nonce"));
        }
        let plus = is_plus(mechanism, binding)?;
        let first = ClientFirst::parse(client_first)?;
        let bound = expected_binding(plus, &first, binding)?;
        let nonce = format!("{}{nonce}", first.nonce);
        let server_first = format!("r={nonce},s={},i={}", encode64(&verifiers.salt), verifiers.iterations);
        let reply = server_first.clone().into_bytes();
        let client_first_bare = first.bare.to_owned();
        Ok((Self { verifiers, binding: bound, nonce, client_first_bare, server_first }, reply))
    }

    /// Checks the proof against every verifier, in time that depends neither on which one fits nor on how
    /// many there are.
    ///
    /// # Errors
    /// [`ScramError`] for a malformed message, a binding or nonce that is not this exchange's, a proof that
    /// fits none.
    pub fn finish(self, client_final: &[u8]) -> Result<Proved, ScramError> {
        let last = ClientFinal::parse(client_final)?;
        if last.nonce != self.nonce {
            return Err(ScramError::Nonce);
        }
        if last.binding != self.binding {
            return Err(ScramError::Binding);
        }
        let auth_message: [&[u8]; 5] = [
            self.client_first_bare.as_bytes(),
            b",",
            self.server_first.as_bytes(),
            b",",
            last.without_proof.as_bytes(),
        ];
        let (key, signature) = self.verifiers.prove(&last.proof, &auth_message).ok_or(ScramError::Proof)?;
        Ok(Proved { key, server_final: format!("v={}", encode64(&signature)).into_bytes() })
    }
}

impl Verifiers {
    fn prove(&self, proof: &[u8; KEY_BYTES], auth_message: &[&[u8]]) -> Option<(usize, [u8; KEY_BYTES])> {
        // No password hashes to all zeros; the slots without a verifier are computed like the others and
        // never count.
        let none = StoredKey { stored_key: [0; KEY_BYTES], server_key: [0; KEY_BYTES] };
        let mut found = Choice::from(0);
        let (mut index, mut signature) = (0_u64, [0_u8; KEY_BYTES]);
        for slot in 0..VERIFIERS_MAX {
            let real = Choice::from(u8::from(slot < self.keys.len()));
            let key = self.keys.get(slot).unwrap_or(&none);
            let fits = real & key.accepts(proof, auth_message) & !found;
            index.conditional_assign(&(slot as u64), fits);
            for (kept, byte) in signature.iter_mut().zip(key.signature(auth_message)) {
                kept.conditional_assign(&byte, fits);
            }
            found |= fits;
        }
        bool::from(found).then_some((usize::try_from(index).ok()?, signature))
    }
}

fn is_plus(mechanism: &[u8], binding: &ServerBinding) -> Result<bool, ScramError> {
    let offered = binding.mechanisms().iter().find(|name| name.as_bytes() == mechanism);
    let refused = || mechanism.escape_ascii().to_string().chars().take(64).collect();
    offered.map(|name| *name == SCRAM_SHA_256_PLUS).ok_or_else(|| ScramError::Mechanism(refused()))
}

/// What the client must repeat in its final message: its header, and the certificate's hash if it binds.
fn expected_binding(
    plus: bool,
    first: &ClientFirst<'_>,
    binding: &ServerBinding,
) -> Result<Vec<u8>, ScramError> {
    let mut expected = first.header.as_bytes().to_vec();
    match (plus, first.flag, binding) {
        (true, BindingFlag::Bound("tls-server-end-point"), ServerBinding::TlsServerEndPoint(hash)) => {
            expected.extend_from_slice(hash);
        }
        (false, BindingFlag::Unsupported, _) | (false, BindingFlag::NotOffered, ServerBinding::None) => {}
        // `y` although binding was offered: the offer did not reach the client. Everything else contradicts
        // itself.
        _ => return Err(ScramError::Binding),
    }
    Ok(expected)
}
