//! The side that knows a password, and trusts the server only after the server's own proof.

use subtle::ConstantTimeEq;

use super::keys::{ClientKeys, Key};
use super::message::{ServerFirst, encode64, is_nonce, is_printable, server_final, text};
use super::{ITERATIONS_MAX, ITERATIONS_MIN, SALT_BYTES_MAX, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramError};

/// How this side binds the exchange to the connection below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientBinding {
    /// There is no TLS, so nothing to bind to.
    Unsupported,
    /// There is TLS, but the server offers no binding; the exchange says so, and a server that did offer it
    /// refuses.
    NotOffered,
    /// The hash of the certificate that the server showed (RFC 5929, `tls-server-end-point`).
    TlsServerEndPoint(Vec<u8>),
}

impl ClientBinding {
    /// Chooses by what the server offers: binding where it can be had. `certificate_hash` is that of the TLS
    /// connection, if there is one. `None` if the server offers no SCRAM-SHA-256 at all.
    #[must_use]
    pub fn choose<'a>(
        mut mechanisms: impl Iterator<Item = &'a [u8]> + Clone,
        certificate_hash: Option<Vec<u8>>,
    ) -> Option<Self> {
        let plus = mechanisms.clone().any(|name| name == SCRAM_SHA_256_PLUS.as_bytes());
        let plain = mechanisms.any(|name| name == SCRAM_SHA_256.as_bytes());
        match (certificate_hash, plus, plain) {
            (Some(hash), true, _) => Some(Self::TlsServerEndPoint(hash)),
            (Some(_), false, true) => Some(Self::NotOffered),
            (None, _, true) => Some(Self::Unsupported),
            _ => None,
        }
    }

    /// The mechanism to name in `SASLInitialResponse`.
    #[must_use]
    pub const fn mechanism(&self) -> &'static str {
        match self {
            Self::TlsServerEndPoint(_) => SCRAM_SHA_256_PLUS,
            Self::Unsupported | Self::NotOffered => SCRAM_SHA_256,
        }
    }

    const fn header(&self) -> &'static str {
        match self {
            Self::Unsupported => "n,,",
            Self::NotOffered => "y,,",
            Self::TlsServerEndPoint(_) => "p=tls-server-end-point,,",
        }
    }

    fn repeated(&self) -> String {
        let mut bytes = self.header().as_bytes().to_vec();
        if let Self::TlsServerEndPoint(hash) = self {
            bytes.extend_from_slice(hash);
        }
        encode64(&bytes)
    }
}

/// The exchange before the server's first message.
#[derive(Debug)]
pub struct Client {
    binding: ClientBinding,
    nonce: String,
    first_bare: String,
}

/// The server's first message, understood: what the keys must be derived with.
#[derive(Debug)]
pub struct Challenge {
    first_bare: String,
    server_first: String,
    without_proof: String,
    salt: Vec<u8>,
    iterations: u32,
}

/// What the server's last message must prove. Until it has, the server is not authenticated.
#[derive(Clone)]
pub struct ServerProof {
    signature: Key,
}

impl Client {
    /// Starts, with a fresh random nonce (printable ASCII without commas, at least 16 characters). The bytes
    /// are the data of `SASLInitialResponse`.
    ///
    /// # Errors
    /// [`ScramError::Argument`] for an unusable nonce.
    pub fn start(binding: ClientBinding, nonce: &str) -> Result<(Self, Vec<u8>), ScramError> {
        Self::start_as("", binding, nonce)
    }

    /// As [`Client::start`], naming a user inside the exchange, which PostgreSQL ignores.
    pub(super) fn start_as(
        user: &str,
        binding: ClientBinding,
        nonce: &str,
    ) -> Result<(Self, Vec<u8>), ScramError> {
        if !is_nonce(nonce) {
            return Err(ScramError::Argument("nonce"));
        }
        let first_bare = format!("n={user},r={nonce}");
        let first = format!("{}{first_bare}", binding.header()).into_bytes();
        Ok((Self { binding, nonce: nonce.to_owned(), first_bare }, first))
    }

    /// Reads the server's first message.
    ///
    /// # Errors
    /// [`ScramError`] for a malformed message, a nonce that does not continue ours, a salt or an iteration
    /// count that is not acceptable.
    pub fn challenge(self, server_first: &[u8]) -> Result<Challenge, ScramError> {
        let first = ServerFirst::parse(server_first)?;
        if !first.nonce.strip_prefix(self.nonce.as_str()).is_some_and(is_printable) {
            return Err(ScramError::Nonce);
        }
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&first.iterations) {
            return Err(ScramError::Iterations(first.iterations));
        }
        if first.salt.is_empty() || first.salt.len() > SALT_BYTES_MAX {
            return Err(ScramError::Malformed("salt"));
        }
        Ok(Challenge {
            without_proof: format!("c={},r={}", self.binding.repeated(), first.nonce),
            server_first: text(server_first)?.to_owned(),
            first_bare: self.first_bare,
            salt: first.salt,
            iterations: first.iterations,
        })
    }
}

impl Challenge {
    /// The salt to derive [`ClientKeys`] with.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The iteration count to derive [`ClientKeys`] with.
    #[must_use]
    pub const fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Derives the keys of a password for this challenge.
    ///
    /// # Errors
    /// As [`ClientKeys::derive`].
    pub fn keys(&self, password: &[u8]) -> Result<ClientKeys, ScramError> {
        ClientKeys::derive(password, &self.salt, self.iterations)
    }

    /// Proves the password. The bytes are the body of `SASLResponse`.
    #[must_use]
    pub fn answer(self, keys: &ClientKeys) -> (ServerProof, Vec<u8>) {
        let auth_message: [&[u8]; 5] = [
            self.first_bare.as_bytes(),
            b",",
            self.server_first.as_bytes(),
            b",",
            self.without_proof.as_bytes(),
        ];
        let proof = encode64(&keys.proof(&auth_message));
        let signature = keys.server_signature(&auth_message);
        (ServerProof { signature }, format!("{},p={proof}", self.without_proof).into_bytes())
    }
}

impl ServerProof {
    /// Checks the server's last message, in constant time. `AuthenticationOk` without it must not be
    /// believed.
    ///
    /// # Errors
    /// [`ScramError::ServerProof`] for a wrong signature, [`ScramError::Refused`] for the server's error.
    pub fn verify(self, message: &[u8]) -> Result<(), ScramError> {
        let signature = server_final(message)?;
        if bool::from(signature.ct_eq(&self.signature)) { Ok(()) } else { Err(ScramError::ServerProof) }
    }
}

impl std::fmt::Debug for ServerProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerProof(..)")
    }
}
