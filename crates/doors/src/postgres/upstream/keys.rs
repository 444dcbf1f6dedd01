//! Keys of passwords, kept: deriving them costs more than all the rest of a connection, and an account's salt stays.
//!
//! They open that one account to whoever has them, and live as long as the door. The password itself is not kept: it is known
//! again by a mark, a hash under a key of this process. A server that names another salt each time makes the oldest be
//! forgotten, no more.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use countersign_wire::postgres::scram::{Challenge, ClientKeys, ScramError};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// How many are kept.
const KEPT_MAX: usize = 64;

/// The length of a mark and of the key that it is made with, in bytes.
const MARK_BYTES: usize = 32;

/// Keys that were derived before.
pub(crate) struct Keys {
    key: Mark,
    kept: Mutex<VecDeque<Kept>>,
}

/// What a password is known again by.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Mark([u8; MARK_BYTES]);

struct Kept {
    mark: Mark,
    salt: Vec<u8>,
    iterations: u32,
    keys: ClientKeys,
}

impl Keys {
    /// None yet. `key` is random, and of this process.
    pub(crate) fn new(key: [u8; MARK_BYTES]) -> Self {
        Self { key: Mark(key), kept: Mutex::default() }
    }

    /// The keys of a password for a challenge.
    ///
    /// # Errors
    /// [`ScramError`]: the server asks for what is not acceptable.
    pub(super) fn of(&self, password: &str, challenge: &Challenge) -> Result<ClientKeys, ScramError> {
        let mark = self.mark(password);
        if let Some(keys) = self.find(&mark, challenge) {
            return Ok(keys);
        }
        let keys = challenge.keys(password.as_bytes())?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Kept {
            mark,
            salt: challenge.salt().to_vec(),
            iterations: challenge.iterations(),
            keys: keys.clone(),
        });
        Ok(keys)
    }

    /// Of one length, and the key comes first: nothing can be put in front of it or behind it unseen.
    fn mark(&self, password: &str) -> Mark {
        let mut hash = Sha256::new();
        hash.update(self.key.0);
        hash.update(password.as_bytes());
        Mark(hash.finalize().into())
    }

    fn find(&self, mark: &Mark, challenge: &Challenge) -> Option<ClientKeys> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |kept: &&Kept| {
            kept.salt == challenge.salt()
                && kept.iterations == challenge.iterations()
                && bool::from(kept.mark.0.ct_eq(&mark.0))
        };
        kept.iter().find(same).map(|kept| kept.keys.clone())
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(..)")
    }
}

#[cfg(test)]
mod tests {
    use countersign_wire::postgres::scram::{Client, ClientBinding};

    use super::*;

    fn challenge(salt: &str, iterations: u32) -> Challenge {
        let nonce = "0123456789abcdefghij";
        let (client, _) = Client::start(ClientBinding::Unsupported, nonce).unwrap();
        client.challenge(format!("r={nonce}and-more,s={salt},i={iterations}").as_bytes()).unwrap()
    }

    #[test]
    fn what_was_derived_before_answers_for_the_same_alone() {
        let keys = Keys::new([7; MARK_BYTES]);
        let answer = |password: &str, salt: &str, iterations: u32| {
            let kept = keys.of(password, &challenge(salt, iterations)).unwrap();
            let fresh = challenge(salt, iterations).keys(password.as_bytes()).unwrap();
            assert_eq!(kept.stored(), fresh.stored());
            keys.kept.lock().unwrap().len()
        };
        assert_eq!(answer("secret", "c2FsdHNhbHQ=", 4_096), 1);
        assert_eq!(answer("secret", "c2FsdHNhbHQ=", 4_096), 1, "the same");
        assert_eq!(answer("other", "c2FsdHNhbHQ=", 4_096), 2, "another password");
        assert_eq!(answer("secret", "c2FsdHNhbHR0", 4_096), 3, "another salt");
        assert_eq!(answer("secret", "c2FsdHNhbHQ=", 4_097), 4, "another count");
    }

    #[test]
    fn a_password_is_known_again_by_a_mark_that_says_nothing_of_it() {
        let (keys, other) = (Keys::new([7; MARK_BYTES]), Keys::new([8; MARK_BYTES]));
        let mark = |keys: &Keys, password: &str| {
            keys.of(password, &challenge("c2FsdHNhbHQ=", 4_096)).unwrap();
            keys.kept.lock().unwrap().back().unwrap().mark.0
        };
        let plain: [u8; MARK_BYTES] = Sha256::digest("secret").into();
        assert_ne!(mark(&keys, "secret"), plain, "nobody has a table of them");
        assert_ne!(mark(&keys, "secret"), mark(&other, "secret"), "it is of this process");
        assert_eq!(mark(&keys, "secret"), mark(&keys, "secret"));
        assert_ne!(mark(&keys, "secret"), mark(&keys, "secret2"));
    }

    #[test]
    fn a_server_with_ever_new_salts_fills_nothing() {
        let keys = Keys::new([7; MARK_BYTES]);
        for n in 0..KEPT_MAX + 10 {
            keys.of("secret", &challenge(&format!("c2FsdHNh{n:04}"), 4_096)).unwrap();
        }
        assert_eq!(keys.kept.lock().unwrap().len(), KEPT_MAX);
    }
}
