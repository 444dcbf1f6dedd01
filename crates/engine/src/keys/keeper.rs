//! Keepers: whoever wraps the ring of the house's keys, so that it can lie in the store.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::ports::Entropy;
use crate::seal::Key;

/// What stands beside the ring when a master key wraps it.
const PLACE: &[u8] = b"house-keys";

/// What a keeper says, in its own time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, KeeperError>> + Send + 'a>>;

/// Whoever wraps and unwraps the house's keys: a master key on this machine, or a server for such things.
pub trait Keeper: Send + Sync + 'static {
    /// How operators know it: `file`, `env`, `vault`. It is recorded and shown, and tells nothing secret.
    fn name(&self) -> String;

    /// Wraps under its current key.
    fn wrap<'a>(&'a self, plain: &'a [u8]) -> Answer<'a, Vec<u8>>;

    /// Unwraps what it wrapped, under whichever of its keys.
    fn unwrap<'a>(&'a self, wrapped: &'a [u8]) -> Answer<'a, Unwrapped>;

    /// The same under its current key, without showing what it is to anybody who need not see it.
    fn rewrap<'a>(&'a self, wrapped: &'a [u8]) -> Answer<'a, Vec<u8>>;

    /// The key itself, where this machine has it: stores of the first kind were sealed with keys that follow from it.
    fn master(&self) -> Option<MasterKey>;
}

/// What was wrapped.
pub struct Unwrapped {
    /// It.
    pub plain: Zeroizing<Vec<u8>>,
    /// Whether the key that wrapped it is the one that would now; a server that changes its keys by itself says yes.
    pub is_current: bool,
}

/// Why a keeper did not do it. Never holds what it was about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeeperError {
    /// It can't be reached, or does not answer in time.
    #[error("the keeper of the house's keys, `{keeper}`, can't be asked: {why}")]
    Silent {
        /// Who.
        keeper: String,
        /// Why not, for the operator.
        why: String,
    },
    /// It refused.
    #[error("the keeper of the house's keys, `{keeper}`, refused: {why}")]
    Refused {
        /// Who.
        keeper: String,
        /// In its own words.
        why: String,
    },
    /// The house's keys were wrapped under a key that it does not have, or were changed.
    #[error("`{0}` can't unwrap the house's keys: they were wrapped under another key, or changed")]
    Stranger(String),
    /// The house's keys were wrapped by a keeper that is not configured.
    #[error(
        "the house's keys are wrapped by `{found}`, which is not configured; name it in `master_key`, or in \
         `master_key_before` to change from it"
    )]
    Other {
        /// Who wrapped them.
        found: String,
    },
}

/// The key under which the house's keys are wrapped. Made once, kept by the operator, never written by us.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// Takes 32 bytes that nobody else knows.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A key that follows from it, for one purpose.
    pub(super) fn derive(&self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_ref());
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.iter_mut().zip(hmac::sign(&root, label).as_ref()).for_each(|(slot, byte)| *slot = *byte);
        bytes
    }

    fn wrapping(&self) -> Key {
        Key::new(&self.derive(b"countersign/key/house/v1"))
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// Master keys in hand: the first wraps, every one unwraps. So one is changed for another: the new one is put in front, the
/// house's keys are wrapped anew, and the old one is taken out.
pub struct MasterKeys {
    keys: Vec<MasterKey>,
    entropy: Arc<dyn Entropy>,
}

impl MasterKeys {
    /// What they are called where nobody says otherwise.
    pub const NAME: &str = "local";

    /// These, the current one first.
    #[must_use]
    pub fn new(keys: Vec<MasterKey>, entropy: Arc<dyn Entropy>) -> Self {
        Self { keys, entropy }
    }

    /// Wraps under the first.
    ///
    /// # Errors
    /// There is none.
    pub fn wrap_now(&self, keeper: &str, plain: &[u8]) -> Result<Vec<u8>, KeeperError> {
        let key = self.keys.first().ok_or_else(|| KeeperError::Stranger(keeper.to_owned()))?;
        let mut nonce = [0; 12];
        self.entropy.fill(&mut nonce);
        Ok(key.wrapping().seal(nonce, PLACE, plain))
    }

    /// Unwraps with whichever fits.
    ///
    /// # Errors
    /// None does.
    pub fn unwrap_now(&self, keeper: &str, wrapped: &[u8]) -> Result<Unwrapped, KeeperError> {
        let opened = self.keys.iter().enumerate().find_map(|(place, key)| {
            let plain = Zeroizing::new(key.wrapping().open(PLACE, wrapped)?);
            Some(Unwrapped { plain, is_current: place == 0 })
        });
        opened.ok_or_else(|| KeeperError::Stranger(keeper.to_owned()))
    }

    /// The first.
    #[must_use]
    pub fn first(&self) -> Option<&MasterKey> {
        self.keys.first()
    }
}

impl Keeper for MasterKeys {
    fn name(&self) -> String {
        Self::NAME.to_owned()
    }

    fn wrap<'a>(&'a self, plain: &'a [u8]) -> Answer<'a, Vec<u8>> {
        Box::pin(async move { self.wrap_now(Self::NAME, plain) })
    }

    fn unwrap<'a>(&'a self, wrapped: &'a [u8]) -> Answer<'a, Unwrapped> {
        Box::pin(async move { self.unwrap_now(Self::NAME, wrapped) })
    }

    fn rewrap<'a>(&'a self, wrapped: &'a [u8]) -> Answer<'a, Vec<u8>> {
        Box::pin(async move { self.wrap_now(Self::NAME, &self.unwrap_now(Self::NAME, wrapped)?.plain) })
    }

    fn master(&self) -> Option<MasterKey> {
        self.keys.first().cloned()
    }
}

impl std::fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MasterKeys({})", self.keys.len())
    }
}

impl std::fmt::Debug for Unwrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unwrapped(..)")
    }
}

/// What needs no waiting, without a runtime. `None`: it did need some.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}
