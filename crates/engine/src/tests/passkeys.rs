//! Passkeys: bound, used to sign in, copied, replayed, taken away.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::Span;

use super::{Bench, sign_in_client, who};
use crate::store::{Drawer, Scan, Store as _};
use crate::webauthn::tests::{Keys, attestation, attested, client_data, data};
use crate::{
    AuthenticatorView, Means, MeansSet, PasskeyMade, PasskeyOffer, PasskeyShown, RefusedCode, SignInRefused,
    SignedIn, Via,
};

const ORIGIN: &str = "http://localhost:8443";

/// An authenticator with one passkey.
pub(crate) struct Device {
    keys: Keys,
    credential: Vec<u8>,
    handle: Vec<u8>,
    pub(crate) count: u32,
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

impl Device {
    pub(crate) fn new(keys: Keys, credential: &[u8]) -> Self {
        Self { keys, credential: credential.to_vec(), handle: Vec::new(), count: 0 }
    }

    fn make(&self, challenge: &str) -> PasskeyMade {
        let data = data("localhost", 0x45, self.count, &attested(&self.keys, &self.credential));
        PasskeyMade {
            name: "Laptop".into(),
            client_data: client_data("webauthn.create", &decode(challenge), ORIGIN).into_bytes(),
            attestation: attestation(&data),
        }
    }

    pub(crate) async fn bind(&mut self, bench: &Bench, caller: &crate::Caller) -> AuthenticatorView {
        let offer = bench.engine.offer_passkey(caller).await.unwrap();
        let made = self.made(&offer);
        bench.engine.bind_passkey(caller, made).await.unwrap()
    }

    /// What it makes of an offer, whose account it keeps in mind.
    pub(crate) fn made(&mut self, offer: &PasskeyOffer) -> PasskeyMade {
        self.handle = decode(&offer.user_handle);
        self.make(&offer.challenge)
    }

    /// Signs; `flags` are those of a person who was verified, unless told otherwise.
    pub(crate) fn show(&self, challenge: &str, flags: u8) -> PasskeyShown {
        self.show_at(&decode(challenge), flags, ("localhost", ORIGIN))
    }

    /// As [`Self::show`], on whatever site.
    pub(crate) fn show_at(&self, challenge: &[u8], flags: u8, (rp, origin): (&str, &str)) -> PasskeyShown {
        let client_data = client_data("webauthn.get", challenge, origin).into_bytes();
        let authenticator_data = data(rp, flags, self.count, &[]);
        let signed = [authenticator_data.as_slice(), digest(&SHA256, &client_data).as_ref()].concat();
        PasskeyShown {
            credential: self.credential.clone(),
            user_handle: Some(self.handle.clone()),
            signature: self.keys.sign(&signed),
            client_data,
            authenticator_data,
        }
    }

    pub(crate) async fn sign_in(&self, bench: &Bench) -> Result<SignedIn, SignInRefused> {
        let asked = bench.engine.ask_passkey().unwrap();
        bench.engine.sign_in_passkey(self.show(&asked.challenge, 0x05), sign_in_client()).await
    }
}

#[tokio::test]
async fn a_passkey_signs_in_its_owner() {
    for keys in [Keys::p256(), Keys::ed25519()] {
        let bench = Bench::new().await;
        let mut device = Device::new(keys, b"credential of alice");
        let view = device.bind(&bench, &bench.caller("alice")).await;
        assert_eq!((view.means, view.name.as_deref()), (Means::Passkey, Some("Laptop")));
        let signed_in = device.sign_in(&bench).await.unwrap();
        assert_eq!(signed_in.principal, who("alice"));
        let caller = bench.engine.caller(&signed_in.token, Via::Console, None).await.unwrap();
        assert_eq!(caller.proof.means, MeansSet::of(&[Means::Passkey]));
        let bench = bench.restart().await;
        assert!(device.sign_in(&bench).await.is_ok(), "also after a restart");
        bench.engine.disable(&bench.caller("bob"), &who("alice"), None).await.unwrap();
        assert_eq!(device.sign_in(&bench).await.unwrap_err(), SignInRefused::Disabled);
    }
}

#[tokio::test]
async fn what_was_signed_counts_once_for_its_purpose_and_not_for_long() {
    let bench = Bench::new().await;
    let mut device = Device::new(Keys::p256(), b"credential");
    device.bind(&bench, &bench.caller("alice")).await;
    let shown = async |shown: PasskeyShown| bench.engine.sign_in_passkey(shown, sign_in_client()).await;
    let asked = bench.engine.ask_passkey().unwrap();
    assert!(shown(device.show(&asked.challenge, 0x05)).await.is_ok());
    assert!(
        matches!(shown(device.show(&asked.challenge, 0x05)).await, Err(SignInRefused::Passkey(_))),
        "replayed"
    );
    // Of another purpose: one for binding does not sign in.
    let alice = bench.caller_with("alice", &[Means::Passkey]);
    let offer = bench.engine.offer_passkey(&alice).await.unwrap();
    assert!(shown(device.show(&offer.challenge, 0x05)).await.is_err());
    // Nor does one that nobody gave out.
    let mut forged = decode(&asked.challenge);
    forged[3] ^= 1;
    assert!(shown(device.show(&URL_SAFE_NO_PAD.encode(&forged), 0x05)).await.is_err());
    assert!(shown(device.show("", 0x05)).await.is_err());
    let asked = bench.engine.ask_passkey().unwrap();
    assert!(shown(device.show(&asked.challenge, 0x01)).await.is_err(), "nobody was verified");
    let mut other = device.show(&asked.challenge, 0x05);
    other.user_handle = Some(vec![1; 32]);
    assert!(shown(other).await.is_err(), "of another account");
    let mut other = device.show(&asked.challenge, 0x05);
    other.credential = b"unknown".to_vec();
    assert!(shown(other).await.is_err());
    bench.clock.advance(Span::minutes(5));
    assert!(shown(device.show(&asked.challenge, 0x05)).await.is_err(), "too late");
    assert!(device.sign_in(&bench).await.is_ok());
    assert_eq!(bench.count("auth.succeeded"), 2);
}

#[tokio::test]
async fn a_copy_that_falls_behind_is_noticed() {
    let bench = Bench::new().await;
    let mut device = Device::new(Keys::p256(), b"credential");
    device.count = 10;
    device.bind(&bench, &bench.caller("alice")).await;
    assert!(device.sign_in(&bench).await.is_err(), "it has not counted on");
    device.count = 12;
    assert!(device.sign_in(&bench).await.is_ok());
    device.count = 11;
    let refused = device.sign_in(&bench).await.unwrap_err();
    assert!(refused.to_string().contains("copy"), "{refused}");
    device.count = 0;
    assert!(device.sign_in(&bench).await.is_err(), "nor does it stop counting");
    device.count = 13;
    assert!(device.sign_in(&bench).await.is_ok());
}

#[tokio::test]
async fn a_passkey_is_bound_to_one_account_by_whoever_proved_all_there_is() {
    let bench = Bench::new().await;
    let mut device = Device::new(Keys::p256(), b"credential");
    let (alice, bob) = (bench.caller("alice"), bench.caller("bob"));
    let view = device.bind(&bench, &alice).await;
    let again = bench.engine.offer_passkey(&alice).await.unwrap_err();
    assert!(again.message.contains("password alone"), "{again}");
    let offer = bench.engine.offer_passkey(&bob).await.unwrap();
    let taken = bench.engine.bind_passkey(&bob, device.make(&offer.challenge)).await.unwrap_err();
    assert_eq!(taken.code, RefusedCode::Conflict, "it is alice's");
    // An offer is for the sign-in that asked for it.
    let strong = bench.caller_with("alice", &[Means::Passkey]);
    let offer = bench.engine.offer_passkey(&strong).await.unwrap();
    assert_eq!(offer.exclude, [URL_SAFE_NO_PAD.encode(b"credential")]);
    let second = Device::new(Keys::ed25519(), b"another");
    assert!(bench.engine.bind_passkey(&bob, second.make(&offer.challenge)).await.is_err());
    let mut nameless = second.make(&offer.challenge);
    nameless.name = " \n".into();
    assert!(bench.engine.bind_passkey(&strong, nameless).await.is_err());
    bench.engine.bind_passkey(&strong, second.make(&offer.challenge)).await.unwrap();
    let replayed = bench.engine.bind_passkey(&strong, second.make(&offer.challenge)).await.unwrap_err();
    assert_eq!(replayed.code, RefusedCode::Invalid);
    assert_eq!(bench.engine.authenticators(&strong).await.unwrap().len(), 2);
    bench.engine.unbind(&strong, view.id.unwrap()).await.unwrap();
    assert!(device.sign_in(&bench).await.is_err(), "taken away");
    let third = Device::new(Keys::p256(), b"credential");
    let offer = bench.engine.offer_passkey(&bob).await.unwrap();
    bench.engine.bind_passkey(&bob, third.make(&offer.challenge)).await.unwrap();
    bench.engine.reset_authenticators(&bench.caller("bea"), &who("alice")).await.unwrap();
    bench.engine.clear_authenticators(&who("bob")).await.unwrap();
    let left = bench.store.scan(Drawer::Authenticators, &Scan::of(b"", 99)).unwrap();
    assert!(left.is_empty(), "nothing leads anywhere");
    let service = bench.engine.offer_passkey(&bench.caller("ci")).await.unwrap_err();
    assert_eq!(service.code, RefusedCode::NotPermitted);
}
