//! The vocabulary of the house, and its two verbs.
//!
//! [`decide`] says what follows from a command; [`Book::apply`] remembers it. Nothing here reads a clock,
//! draws a random number, waits, or fails for a technical reason: the instant, the identifiers and the
//! ruling of the policy come in as arguments, so every decision can be replayed from what was recorded.
//!
//! One module per subject, each with its commands, events and state: [`request`] (access requests and held
//! actions are one thing), [`grant`], [`session`], [`principal`],
//! [`directory`], [`bundle`]. [`quorum`] answers who must
//! still say yes. [`action`] is what an approval is bound to, [`envelope`] what it covers beyond one text, [`script`] several
//! actions that are approved as one.

pub mod action;
pub mod book;
pub mod budget;
pub mod bundle;
pub mod catalogue;
pub mod directory;
pub mod envelope;
pub mod grant;
pub mod ids;
pub mod principal;
pub mod question;
pub mod quorum;
pub mod refusal;
pub mod request;
pub mod ruling;
pub mod script;
pub mod session;
pub mod time;

pub use book::{Book, Command, Event, Facts, decide};
pub use ids::{
    ActionName, AuthenticatorId, BundleHash, ClientId, CredentialId, DeviceId, Digest, DirectoryName,
    GrantId, GroupId, PersonId, PolicyId, PrincipalId, RequestId, ResourceId, RoleId, RuleName, SessionId,
    SignInId,
};
pub use refusal::Refusal;
pub use time::{At, Span};
