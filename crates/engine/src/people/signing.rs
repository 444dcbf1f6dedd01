//! Signing a yes: the approver's passkey over the digest of exactly what is approved (contract, section 2).
//!
//! The challenge follows from the request, the verdict and what is said with it, so nothing has to be remembered until it
//! is answered, and what was signed can be checked for ever. The assertion is content beside the line of the yes; the
//! line names the passkey, and the line that bound the passkey has its public key. A passkey whose key no line has signs
//! nothing: nobody could check it without this gateway's word.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::envelope::Terms;
use countersign_core::request::{Request, Signature};
use countersign_core::{ActionName, Digest, Refusal, RequestId};
use tokio::sync::MutexGuard;

use super::authenticators::{Bound, Passkey};
use super::passkeys::count_on;
use super::{Caller, PasskeyShown};
use crate::engine::Engine;
use crate::line::{Refusing, Sealed, Topic};
use crate::seal::Field;
use crate::signatures::AssertionContent;
use crate::store::Put;
use crate::webauthn;
use crate::words::{Refused, RefusedCode, request_link};

/// What a browser needs to have a yes signed.
#[derive(Clone, Debug)]
pub struct SignatureAsked {
    /// To be signed, base64url.
    pub challenge: String,
    /// For which site.
    pub rp_id: String,
    /// The caller's passkeys that may sign, base64url.
    pub credentials: Vec<String>,
    /// Where the console shows the request.
    pub link: String,
}

/// A signature that was checked, with what has to be written along with the yes.
pub(crate) struct Signed<'a> {
    pub(crate) signature: Signature,
    pub(crate) field: Field,
    /// The passkey has signed once more.
    pub(crate) put: Put,
    /// Nobody else's change of what is bound comes in between.
    _changing: MutexGuard<'a, ()>,
}

impl Engine {
    /// Says what the caller's passkey signs to say yes to a request, with these terms.
    ///
    /// # Errors
    /// There is no such request, the terms are more than its rules allow, it has moved on from `digest`, or the caller has
    /// no passkey that could sign.
    pub async fn ask_signature(
        &self,
        caller: &Caller,
        id: RequestId,
        (digest, terms): (Option<Digest>, &Terms),
    ) -> Result<SignatureAsked, Refused> {
        let site = self.site()?;
        self.request_view(caller, id)?;
        let snapshot = self.snapshot();
        let found = snapshot.book.request(id).ok_or(Refusal::NoSuchRequest(id))?;
        if digest.is_some_and(|digest| digest != found.digest) {
            return Err(Refusal::OtherAction.into());
        }
        found.check_terms(terms)?;
        let bound = self.bound(&caller.principal).await?;
        let credentials: Vec<String> =
            signing(&bound).map(|one| URL_SAFE_NO_PAD.encode(&one.credential)).collect();
        if credentials.is_empty() {
            return Err(self.no_passkey(&bound));
        }
        let challenge = URL_SAFE_NO_PAD.encode(found.challenge(terms).0);
        let link = request_link(&self.0.house.settings.console_url, id);
        Ok(SignatureAsked { challenge, rp_id: site.id, credentials, link })
    }

    /// Checks that the caller's passkey signed a yes to `request` with these terms. What is wrong is recorded.
    pub(crate) async fn signed(
        &self,
        caller: &Caller,
        request: &Request,
        (terms, shown): (&Terms, &PasskeyShown),
    ) -> Result<Signed<'_>, Refused> {
        let _changing = self.changing().await;
        let mut bound = self.bound(&caller.principal).await?;
        let id = match self.check_signature(caller, request, (terms, shown), &mut bound) {
            Ok(id) => id,
            Err(why) => {
                let message = format!("the signature does not count: {why}");
                self.unsigned(caller, request.id, &message).await?;
                let link = request_link(&self.0.house.settings.console_url, request.id);
                return Err(Refused::new(RefusedCode::NotPermitted, message)
                    .hint("look at the request again and sign what is shown")
                    .link(link));
            }
        };
        let content = AssertionContent::of(shown).canonical();
        let field =
            Field::new(&self.0.house.ports, "/data/signature/assertion", "approval.assertion", content);
        let assertion = crate::line::commitment_text(field.commitment());
        let put = bound.put(&self.0.house, &caller.principal);
        Ok(Signed { signature: Signature { credential: id, assertion }, field, put, _changing })
    }

    /// Which passkey signed; it has counted on in `bound`.
    fn check_signature(
        &self,
        caller: &Caller,
        request: &Request,
        (terms, shown): (&Terms, &PasskeyShown),
        bound: &mut Bound,
    ) -> Result<String, String> {
        let site = self.site().map_err(|_| "the console's address has changed".to_owned())?;
        let passkey = bound.passkeys.iter_mut().find(|one| one.credential == shown.credential);
        let passkey = passkey.ok_or("the passkey is none of yours")?;
        if !passkey.told {
            return Err(
                "the ledger does not have this passkey's public key; take the passkey away and make it again"
                    .into(),
            );
        }
        let challenge = request.challenge(terms).0;
        let asserted = webauthn::asserted(&site, &challenge, &passkey.key, shown.assertion());
        let asserted = asserted.map_err(|bad| match bad {
            webauthn::Bad::Challenge => {
                "it is of another request, another verdict, or other bounds".to_owned()
            }
            bad => bad.to_string(),
        })?;
        count_on(passkey, &asserted, &caller.principal, self.now())?;
        Ok(passkey.id.to_string())
    }

    fn no_passkey(&self, bound: &Bound) -> Refused {
        let message = if bound.passkeys.is_empty() {
            "you have no passkey to sign with"
        } else {
            "the ledger does not have the public keys of your passkeys, so what they sign could not be checked"
        };
        let hint = "make a passkey on the account page, then approve it again";
        Refused::new(RefusedCode::Unsigned, message)
            .hint(hint)
            .link(format!("{}/account", self.0.house.settings.console_url))
    }

    /// Records that a signature did not count.
    async fn unsigned(&self, caller: &Caller, request: RequestId, why: &str) -> Result<(), Refused> {
        let reason = Field::new(&self.0.house.ports, "/data/content", "refusal", why.as_bytes());
        let content = Sealed(reason.commitment());
        let action = Some(ActionName::new("request.approve"));
        let topic = Topic::Refusing(Refusing { action, content, unwritten: 0 });
        let mut note = self.note_by("decision.evaluated", topic, Some(caller)).failed();
        note.line.request = Some(request);
        note.key = format!("principal:{}", caller.principal).into();
        note.fields = vec![reason];
        self.note(note).await.map(|_| ())
    }
}

/// The passkeys whose public keys the ledger has.
fn signing(bound: &Bound) -> impl Iterator<Item = &Passkey> {
    bound.passkeys.iter().filter(|one| one.told)
}
