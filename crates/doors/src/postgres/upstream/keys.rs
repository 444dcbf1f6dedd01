//! Keys of passwords, kept: deriving them costs more than all the rest of a connection, and an account's salt stays.
//!
//! They are as secret as the passwords, and live as long as the door. A server that names another salt each time makes the
//! oldest be forgotten, no more.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use countersign_wire::postgres::scram::{Challenge, ClientKeys, ScramError};
use zeroize::Zeroizing;

/// How many are kept.
const KEPT_MAX: usize = 64;

/// Keys that were derived before.
#[derive(Default)]
pub(crate) struct Keys(Mutex<VecDeque<Kept>>);

struct Kept {
    password: Zeroizing<String>,
    salt: Vec<u8>,
    iterations: u32,
    keys: ClientKeys,
}

impl Keys {
    /// The keys of a password for a challenge.
    ///
    /// # Errors
    /// [`ScramError`]: the server asks for what is not acceptable.
    pub(super) fn of(&self, password: &str, challenge: &Challenge) -> Result<ClientKeys, ScramError> {
        if let Some(keys) = self.find(password, challenge) {
            return Ok(keys);
        }
        let keys = challenge.keys(password.as_bytes())?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Kept {
            password: Zeroizing::new(password.to_owned()),
            salt: challenge.salt().to_vec(),
            iterations: challenge.iterations(),
            keys: keys.clone(),
        });
        Ok(keys)
    }

    fn find(&self, password: &str, challenge: &Challenge) -> Option<ClientKeys> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |kept: &&Kept| {
            kept.salt == challenge.salt()
                && kept.iterations == challenge.iterations()
                && kept.password.as_str() == password
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
        let keys = Keys::default();
        let answer = |password: &str, salt: &str, iterations: u32| {
            let kept = keys.of(password, &challenge(salt, iterations)).unwrap();
            let fresh = challenge(salt, iterations).keys(password.as_bytes()).unwrap();
            assert_eq!(kept.stored(), fresh.stored());
            keys.0.lock().unwrap().len()
        };
        assert_eq!(answer("secret", "c2FsdHNhbHQ=", 4_096), 1);
        assert_eq!(answer("secret", "c2FsdHNhbHQ=", 4_096), 1, "the same");
        assert_eq!(answer("other", "c2FsdHNhbHQ=", 4_096), 2, "another password");
        assert_eq!(answer("secret", "c2FsdHNhbHR0", 4_096), 3, "another salt");
        assert_eq!(answer("secret", "c2FsdHNhbHQ=", 4_097), 4, "another count");
    }

    #[test]
    fn a_server_with_ever_new_salts_fills_nothing() {
        let keys = Keys::default();
        for n in 0..KEPT_MAX + 10 {
            keys.of("secret", &challenge(&format!("c2FsdHNh{n:04}"), 4_096)).unwrap();
        }
        assert_eq!(keys.0.lock().unwrap().len(), KEPT_MAX);
    }
}
