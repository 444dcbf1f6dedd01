//! What the engine is given instead of taking it: time, randomness, and other people's secrets.
//!
//! Only the roof reads the clock, the environment or a random source. Two engines with the same ports, the same
//! store and the same commands write the same ledger, byte for byte; that is what makes a crash replayable.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use countersign_core::At;
use zeroize::Zeroizing;

/// What time it is.
pub trait Clock: Send + Sync + 'static {
    /// The instant. It may jump; the ledger's own time never goes back.
    fn now(&self) -> At;

    /// Resolves once `at` has come, on a clock that counts suspended time.
    fn sleep_until(&self, at: At) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// Unpredictable bytes and identifiers.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `into` with bytes that nobody can predict.
    fn fill(&self, into: &mut [u8]);

    /// A new identifier, ordered by time (`UUIDv7`), never the same twice.
    fn id(&self) -> u128;
}

/// Where references to upstream secrets lead: `env:NAME` and `file:PATH`. The gateway's own store (`secret:NAME`)
/// is the engine's.
pub trait SecretSource: Send + Sync + 'static {
    /// The secret behind a reference.
    ///
    /// # Errors
    /// Why there is none, in words for the operator; never the secret itself.
    fn resolve(&self, reference: &str) -> Result<Zeroizing<String>, String>;
}

/// All that the engine is given.
#[derive(Clone)]
pub struct Ports {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Secrets kept elsewhere.
    pub secrets: Arc<dyn SecretSource>,
}

impl Ports {
    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports")
    }
}
