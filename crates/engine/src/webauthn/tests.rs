//! Ceremonies of an authenticator that the test plays, and everything that may be wrong with them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use proptest::prelude::*;

use super::*;

const CHALLENGE: &[u8] = b"a challenge of some bytes";

fn site() -> RelyingParty {
    RelyingParty::at("https://gate.example:8443").unwrap()
}

/// An authenticator.
pub(crate) enum Keys {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Keys {
    pub(crate) fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    fn cose(&self) -> Vec<u8> {
        match self {
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                [
                    &[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32],
                    &point[1..33],
                    &[0x22, 0x58, 32],
                    &point[33..],
                ]
                .concat()
            }
            Self::Ed25519(pair) => {
                [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32], pair.public_key().as_ref()].concat()
            }
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

pub(crate) fn client_data(ceremony: &str, challenge: &[u8], origin: &str) -> String {
    let challenge = URL_SAFE_NO_PAD.encode(challenge);
    format!(
        "{{\"type\":\"{ceremony}\",\"challenge\":\"{challenge}\",\"origin\":\"{origin}\",\"crossOrigin\":false}}"
    )
}

pub(crate) fn data(id: &str, flags: u8, count: u32, more: &[u8]) -> Vec<u8> {
    [digest(&SHA256, id.as_bytes()).as_ref(), &[flags], &count.to_be_bytes(), more].concat()
}

pub(crate) fn attestation(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    let head: &[u8] = match length {
        [0, 0..=23] => &[0x40 + length[1]],
        [0, _] => &[0x58, length[1]],
        _ => &[0x59, length[0], length[1]],
    };
    [b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData".as_slice(), head, data].concat()
}

pub(crate) fn attested(keys: &Keys, credential: &[u8]) -> Vec<u8> {
    let length = u16::try_from(credential.len()).unwrap().to_be_bytes();
    [&[0; 16], length.as_slice(), credential, &keys.cose()].concat()
}

/// Signs as the authenticator does, and has it checked.
fn asserts(keys: &Keys, client_data: &str, data: &[u8]) -> Result<Asserted, Bad> {
    let signed = [data, digest(&SHA256, client_data.as_bytes()).as_ref()].concat();
    let signature = keys.sign(&signed);
    let assertion =
        Assertion { client_data: client_data.as_bytes(), authenticator_data: data, signature: &signature };
    asserted(&site(), CHALLENGE, &keys.cose(), assertion)
}

#[test]
fn a_site_has_a_name() {
    let at = |url: &str| RelyingParty::at(url).map(|rp| (rp.id, rp.origin));
    let some = |id: &str, origin: &str| Some((id.to_owned(), origin.to_owned()));
    assert_eq!(at("https://Gate.example"), some("gate.example", "https://gate.example"));
    assert_eq!(at("https://gate.example:443"), some("gate.example", "https://gate.example"));
    assert_eq!(at("https://gate.example:4443"), some("gate.example", "https://gate.example:4443"));
    assert_eq!(at("https://gate.example:8443"), some("gate.example", "https://gate.example:8443"));
    assert_eq!(at("http://localhost:7780"), some("localhost", "http://localhost:7780"));
    for none in [
        "http://gate.example",
        "https://127.0.0.1:8443",
        "https://[::1]:8443",
        "https://",
        "gate",
        "ftp://gate.example",
    ] {
        assert_eq!(at(none), None, "{none}");
    }
}

#[test]
fn a_passkey_is_registered_and_asserts() {
    for keys in [Keys::p256(), Keys::ed25519()] {
        let made = data("gate.example", 0x45, 7, &attested(&keys, b"credential"));
        let said = client_data("webauthn.create", CHALLENGE, "https://gate.example:8443");
        let made = registered(&site(), CHALLENGE, said.as_bytes(), &attestation(&made)).unwrap();
        assert_eq!(
            (made.credential.as_slice(), made.count, made.may_be_copied),
            (&b"credential"[..], 7, false)
        );
        assert_eq!(made.key, keys.cose());
        let said = client_data("webauthn.get", CHALLENGE, "https://gate.example:8443");
        let good = asserts(&keys, &said, &data("gate.example", 0x1d, 8, &[]));
        assert_eq!(good, Ok(Asserted { count: 8, is_copied: true }));
        // With extensions, which are a map behind everything else.
        assert!(asserts(&keys, &said, &data("gate.example", 0x85, 8, b"\xa1\x61a\xf5")).is_ok());
    }
}

#[test]
fn what_is_wrong_with_an_assertion_is_found() {
    let keys = Keys::p256();
    let good = client_data("webauthn.get", CHALLENGE, "https://gate.example:8443");
    let right = data("gate.example", 0x05, 1, &[]);
    assert!(asserts(&keys, &good, &right).is_ok());
    let said = |ceremony: &str, challenge: &[u8], origin: &str| {
        asserts(&keys, &client_data(ceremony, challenge, origin), &right).unwrap_err()
    };
    assert_eq!(said("webauthn.create", CHALLENGE, "https://gate.example:8443"), Bad::Ceremony);
    assert_eq!(said("payment.get", CHALLENGE, "https://gate.example:8443"), Bad::Ceremony);
    assert_eq!(said("webauthn.get", b"another", "https://gate.example:8443"), Bad::Challenge);
    assert_eq!(said("webauthn.get", b"", "https://gate.example:8443"), Bad::Challenge);
    for origin in [
        "https://gate.example",
        "http://gate.example:8443",
        "https://gate.example:8443/",
        "https://gate.example:8443.evil.example",
        "https://evil.example",
        "null",
    ] {
        assert_eq!(said("webauthn.get", CHALLENGE, origin), Bad::Origin, "{origin}");
    }
    for framed in
        [good.replace("false", "true"), good.replace("false", "false,\"topOrigin\":\"https://evil.example\"")]
    {
        assert_eq!(asserts(&keys, &framed, &right), Err(Bad::Origin), "{framed}");
    }
    for unreadable in [
        String::new(),
        "{}".into(),
        good.replace("\"origin\"", "\"origin\":\"https://gate.example:8443\",\"origin\""),
        good.replace("\"type\"", "\"type\":\"webauthn.get\",\"type\""),
        format!("{good}x"),
        good.replace("{", &format!("{{\"padding\":\"{}\",", "x".repeat(5_000))),
    ] {
        assert_eq!(asserts(&keys, &unreadable, &right), Err(Bad::Malformed), "{unreadable:.80}");
    }
    assert_eq!(asserts(&keys, &good, &data("evil.example", 0x05, 1, &[])), Err(Bad::RelyingParty));
    for flags in [0x00, 0x01, 0x04] {
        assert_eq!(
            asserts(&keys, &good, &data("gate.example", flags, 1, &[])),
            Err(Bad::NotVerified),
            "{flags}"
        );
    }
    assert_eq!(
        asserts(&keys, &good, &data("gate.example", 0x15, 1, &[])),
        Err(Bad::Malformed),
        "a copy of no original"
    );
    for (flags, more) in [(0x05, &b"x"[..]), (0x85, b""), (0x85, b"\xa0x"), (0x45, b"short")] {
        assert_eq!(
            asserts(&keys, &good, &data("gate.example", flags, 1, more)),
            Err(Bad::Malformed),
            "{flags}"
        );
    }
    assert_eq!(asserts(&keys, &good, &right[..36]), Err(Bad::Malformed));
}

#[test]
fn a_signature_is_of_that_key_over_those_bytes() {
    let (keys, others) = (Keys::p256(), Keys::p256());
    let said = client_data("webauthn.get", CHALLENGE, "https://gate.example:8443");
    let right = data("gate.example", 0x05, 1, &[]);
    let signature = keys.sign(&[right.as_slice(), digest(&SHA256, said.as_bytes()).as_ref()].concat());
    let check = |key: &Keys, data: &[u8], signature: &[u8]| {
        let assertion = Assertion { client_data: said.as_bytes(), authenticator_data: data, signature };
        asserted(&site(), CHALLENGE, &key.cose(), assertion)
    };
    assert!(check(&keys, &right, &signature).is_ok());
    assert_eq!(check(&others, &right, &signature), Err(Bad::Signature));
    assert_eq!(check(&Keys::ed25519(), &right, &signature), Err(Bad::Signature));
    assert_eq!(check(&keys, &data("gate.example", 0x05, 2, &[]), &signature), Err(Bad::Signature));
    assert_eq!(check(&keys, &right, &[]), Err(Bad::Signature));
    for at in 0..signature.len() {
        let mut changed = signature.clone();
        changed[at] ^= 1;
        assert_eq!(check(&keys, &right, &changed), Err(Bad::Signature), "byte {at}");
    }
}

#[test]
fn keys_of_other_kinds_are_refused() {
    let good = Keys::p256().cose();
    assert!(PublicKey::read(&good).is_ok());
    let mut other = good.clone();
    // ES384, then a curve that is not that of ES256, then symmetric.
    other[4] = 0x38;
    assert!(PublicKey::read(&other).is_err());
    for (at, byte) in [(6, 2), (2, 4), (4, 0x27)] {
        let mut other = good.clone();
        other[at] = byte;
        assert!(matches!(PublicKey::read(&other), Err(Bad::Algorithm)), "{at}");
    }
    assert_eq!(PublicKey::read(&[]), Err(Bad::Malformed));
    assert_eq!(PublicKey::read(&good[..good.len() - 1]), Err(Bad::Malformed));
    // Not on the curve: it reads, and verifies nothing.
    let mut off = good;
    off[20] ^= 1;
    let key = PublicKey::read(&off).unwrap();
    assert_eq!(key.verify(b"x", &Keys::p256().sign(b"x")), Err(Bad::Signature));
}

#[test]
fn what_is_wrong_with_a_registration_is_found() {
    let keys = Keys::p256();
    let said = client_data("webauthn.create", CHALLENGE, "https://gate.example:8443");
    let check = |object: &[u8]| registered(&site(), CHALLENGE, said.as_bytes(), object);
    let whole = attestation(&data("gate.example", 0x45, 0, &attested(&keys, b"id")));
    assert!(check(&whole).is_ok());
    for end in 0..whole.len() {
        assert!(check(&whole[..end]).is_err(), "cut at {end}");
    }
    assert_eq!(check(&attestation(&data("gate.example", 0x05, 0, &[]))), Err(Bad::Malformed), "no key");
    assert_eq!(
        check(&attestation(&data("gate.example", 0x45, 0, &attested(&keys, b"")))),
        Err(Bad::Malformed)
    );
    let long = attested(&keys, &[1; 1_024]);
    assert_eq!(check(&attestation(&data("gate.example", 0x45, 0, &long))), Err(Bad::Malformed));
    assert_eq!(
        check(&attestation(&data("gate.example", 0x41, 0, &attested(&keys, b"id")))),
        Err(Bad::NotVerified)
    );
    assert_eq!(
        check(&attestation(&data("other.example", 0x45, 0, &attested(&keys, b"id")))),
        Err(Bad::RelyingParty)
    );
    let get = client_data("webauthn.get", CHALLENGE, "https://gate.example:8443");
    assert_eq!(registered(&site(), CHALLENGE, get.as_bytes(), &whole), Err(Bad::Ceremony));
}

proptest! {
    #[test]
    fn nothing_breaks_it(
        client in proptest::collection::vec(any::<u8>(), 0..120),
        data in proptest::collection::vec(any::<u8>(), 0..160),
        key in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let said = client_data("webauthn.get", CHALLENGE, "https://gate.example:8443");
        let _ = registered(&site(), CHALLENGE, &client, &data);
        let _ = registered(&site(), CHALLENGE, said.replace(".get", ".create").as_bytes(), &attestation(&data));
        let assertion = Assertion { client_data: said.as_bytes(), authenticator_data: &data, signature: &client };
        prop_assert!(asserted(&site(), CHALLENGE, &key, assertion).is_err());
    }
}
