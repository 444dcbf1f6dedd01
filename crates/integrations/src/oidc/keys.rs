//! The provider's public keys, as it publishes them (RFC 7517), kept until they are old or one is missing.

use countersign_core::{At, Span};
use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;

/// How many keys are read of a set.
const KEYS_MAX: usize = 64;

/// How long a set is believed without asking again.
const GOOD_FOR: Span = Span::hours(1);

/// How often at most a set is fetched because a token names a key that is not in it: whoever can send tokens must not be
/// able to make us call the provider as often as they like.
const AGAIN_AFTER: Span = Span::seconds(30);

/// A set of keys, and when it was fetched.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    keys: Vec<Jwk>,
    fetched_at: At,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

impl Keys {
    /// Reads a set. A key that can't be read is none: providers publish kinds that are not known here.
    pub(crate) fn read(json: &[u8], fetched_at: At) -> Option<Self> {
        let set: Set = serde_json::from_slice(json).ok()?;
        let keys = set.keys.into_iter().take(KEYS_MAX);
        Some(Self { keys: keys.filter_map(|key| serde_json::from_value(key).ok()).collect(), fetched_at })
    }

    /// The key of this name that fits. Without a name: the only one that fits.
    pub(crate) fn find(&self, name: Option<&str>, fits: impl Fn(&Jwk) -> bool) -> Option<&Jwk> {
        let mut fitting = self.keys.iter().filter(|key| fits(key));
        match name {
            Some(name) => fitting.find(|key| key.common.key_id.as_deref() == Some(name)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }

    /// Whether a set with this name in it should be fetched now.
    pub(crate) fn is_due(&self, name: Option<&str>, now: At) -> bool {
        let age = now.since(self.fetched_at);
        let has =
            name.is_none_or(|name| self.keys.iter().any(|key| key.common.key_id.as_deref() == Some(name)));
        age >= GOOD_FOR || !has && age >= AGAIN_AFTER || now < self.fetched_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(json: &str) -> Keys {
        Keys::read(json.as_bytes(), At(0)).unwrap()
    }

    #[test]
    fn a_key_is_found_by_its_name_or_alone() {
        let set = keys(
            r#"{"keys": [
                {"kty": "RSA", "kid": "one", "n": "AQAB", "e": "AQAB"},
                {"kty": "EC", "kid": "two", "crv": "P-256", "x": "AA", "y": "AA"},
                {"kty": "secret-sauce", "kid": "three"}, 7, {"kid": "no kind"}
            ]}"#,
        );
        let all = |_: &Jwk| true;
        assert!(set.find(Some("one"), all).is_some());
        assert!(set.find(Some("four"), all).is_none());
        assert!(set.find(None, all).is_none(), "there are several");
        let only = |key: &Jwk| key.common.key_id.as_deref() == Some("two");
        assert!(set.find(None, only).is_some());
        assert!(set.find(Some("one"), only).is_none());
        assert!(Keys::read(b"[]", At(0)).is_none() && Keys::read(b"{}", At(0)).is_none());
    }

    #[test]
    fn a_set_is_fetched_again_when_old_or_for_a_new_name_and_not_too_often() {
        let set = keys(r#"{"keys": [{"kty": "RSA", "kid": "one", "n": "AQAB", "e": "AQAB"}]}"#);
        let at = |span: Span| At(0).plus(span);
        assert!(!set.is_due(Some("one"), at(Span::minutes(59))));
        assert!(set.is_due(Some("one"), at(Span::hours(1))));
        assert!(!set.is_due(Some("two"), at(Span::seconds(29))));
        assert!(set.is_due(Some("two"), at(Span::seconds(30))));
        assert!(!set.is_due(None, at(Span::minutes(1))));
    }
}
