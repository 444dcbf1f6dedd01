//! The port to identity providers: what the engine asks of whoever speaks to them, and what it is told.
//!
//! What a provider says is checked on the other side of this port (signatures, issuer, audience, time); what it means here,
//! who that is and whether they may come in, is decided on this one.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use countersign_core::{At, Span};
use zeroize::Zeroizing;

/// Something that takes a call to the provider.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, FederationError>> + Send + 'a>>;

/// Whoever speaks to identity providers.
pub trait Federation: Send + Sync + 'static {
    /// The providers, in the order in which people are offered them.
    fn providers(&self) -> Vec<Provider>;

    /// Where the browser is sent.
    fn authorize<'a>(&'a self, provider: &'a str, asking: &'a Asking) -> Answering<'a, String>;

    /// Who came back with this answer.
    fn redeem<'a>(&'a self, provider: &'a str, answered: &'a Answered) -> Answering<'a, Identity>;

    /// Whose sessions a provider says have ended (back-channel logout).
    fn logged_out<'a>(&'a self, token: &'a str, now: At) -> Answering<'a, LoggedOut>;
}

/// Whoever checks the tokens of workloads: what a CI system or a cluster issues to its jobs.
pub trait Workloads: Send + Sync + 'static {
    /// The issuer that a token names. It is not believed; it says whose keys to check it with.
    fn issuer_claimed(&self, token: &str) -> Option<String>;

    /// What a token says, if it is this issuer's word for this audience.
    fn verify<'a>(
        &'a self,
        issuer_and_audience: (&'a str, &'a str),
        token: &'a str,
        now: At,
    ) -> Answering<'a, WorkloadToken>;
}

/// What an issuer says of a job. All of it was checked to be the issuer's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadToken {
    /// Its subject.
    pub subject: String,
    /// Its claims that are texts, numbers or truth values, as texts.
    pub claims: BTreeMap<String, String>,
    /// The token's own name.
    pub id: String,
    /// Until when it would count.
    pub until: At,
}

/// A provider, for people to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its name here.
    pub name: String,
    /// As people call it.
    pub title: String,
    /// Who is let in by what it says.
    pub matching: Matching,
}

/// By which claim somebody is found who never came from this provider before. Afterwards it is by issuer and subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matching {
    /// By the e-mail address of the bundle, if the provider says that it has verified it, in these domains.
    Email {
        /// Domains in small letters; any address if there are none.
        domains: Vec<String>,
    },
    /// By a claim that is the principal's name.
    Name {
        /// Which claim.
        claim: String,
    },
}

/// What is asked of a provider.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Comes back with the answer.
    pub state: String,
    /// Comes back in the token.
    pub nonce: String,
    /// S256 of the verifier (RFC 7636).
    pub challenge: String,
    /// Where the answer is sent.
    pub redirect_uri: String,
    /// How long ago the person may have been there at most.
    pub within: Span,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The code.
    pub code: Zeroizing<String>,
    /// Who says to have answered (RFC 9207).
    pub issuer: Option<String>,
    /// What was asked for.
    pub nonce: String,
    /// The verifier (RFC 7636).
    pub verifier: Zeroizing<String>,
    /// Where the answer was sent.
    pub redirect_uri: String,
    /// How long ago the person may have been there at most.
    pub within: Span,
    /// The instant.
    pub now: At,
}

/// Somebody, as a provider tells of them. All of it was checked to be the provider's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider's identifier.
    pub issuer: String,
    /// The person's, there: never another one's.
    pub subject: String,
    /// The provider's name for the session.
    pub session: Option<String>,
    /// When the person was there.
    pub auth_time: Option<At>,
    /// Whether the provider says that it took two factors.
    pub two_factors: bool,
    /// The address, if the provider says that it has verified it.
    pub verified_email: Option<String>,
    /// The claim that [`Matching::Name`] names.
    pub name: Option<String>,
}

/// Whose sessions have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedOut {
    /// The provider's identifier.
    pub issuer: String,
    /// Whose; all of their sessions if no session is named.
    pub subject: Option<String>,
    /// Which session.
    pub session: Option<String>,
}

/// Why a provider can't say who that is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FederationError {
    /// There is none of this name.
    #[error("there is no identity provider `{0}`")]
    NoSuchProvider(String),
    /// It does not answer, or not as it should. For the operator.
    #[error("the identity provider can't be used now: {0}")]
    Unavailable(String),
    /// It was refused: by the provider, or because what it said is not right. For the operator.
    #[error("the identity provider's answer was refused: {0}")]
    Refused(String),
}
