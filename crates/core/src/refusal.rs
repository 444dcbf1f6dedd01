//! Why the house said no. Every one of these is told to whoever asked, and recorded.

use crate::ids::{DirectoryName, GrantId, PrincipalId, RequestId, ResourceId, RoleId, RuleName, SessionId};
use crate::time::Span;

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Policy denies it.
    #[error("not permitted: {0}")]
    Denied(String),
    /// Policy holds it, and this kind of action cannot wait for an approval.
    #[error("this action is gated by {0} and cannot wait for an approval here")]
    Gated(String),
    /// The receipt does not cover what is about to run.
    #[error("what is about to run is not what was approved")]
    OtherAction,
    /// An identifier was used before.
    #[error("`{0}` exists already")]
    Exists(String),
    /// The principal is unknown to the bundle in force.
    #[error("there is no principal `{0}`")]
    NoSuchPrincipal(PrincipalId),
    /// The principal is disabled.
    #[error("`{0}` is disabled")]
    Disabled(PrincipalId),
    /// The principal is not disabled.
    #[error("`{0}` is not disabled")]
    NotDisabled(PrincipalId),
    /// Only users decide.
    #[error("`{0}` is not a user; services and agents never approve, deny or govern")]
    NotAUser(PrincipalId),
    /// The bundle in force names no such directory.
    #[error("the bundle names no directory `{0}`")]
    NoSuchDirectory(DirectoryName),
    /// An account's name is taken: by the bundle, or by another directory.
    #[error("`{0}` is somebody else's name here; the bundle can say that the account is this directory's")]
    NameTaken(PrincipalId),
    /// The directory of an account has not been heard for too long.
    #[error("the directory `{0}` does not answer; until it does, its people begin nothing new")]
    Unheard(DirectoryName),
    /// No such request.
    #[error("there is no request `{0}`")]
    NoSuchRequest(RequestId),
    /// The request has its answer.
    #[error("request `{0}` is {1} already")]
    Decided(RequestId, &'static str),
    /// The request was never approved, or the receipt is spent.
    #[error("request `{0}` is {1}; there is no receipt to use")]
    NoReceipt(RequestId, &'static str),
    /// The receipt is spent or over.
    #[error("the receipt of `{0}` was used up, or its time is over")]
    ReceiptSpent(RequestId),
    /// No use of it is in an open transaction of that session.
    #[error("nothing that `{0}` allowed is in an open transaction of session `{1}`")]
    NothingOpen(RequestId, SessionId),
    /// A receipt belongs to another session.
    #[error("the receipt of `{0}` belongs to another session")]
    OtherSession(RequestId),
    /// What is about to run may touch more rows than the envelope has left for it.
    #[error("the envelope of `{0}` has {1} rows left for one statement; this would touch more")]
    BeyondEnvelope(RequestId, u64),
    /// An approver says more than the rules allow.
    #[error("{0}")]
    TermsTooWide(String),
    /// No envelope can be given.
    #[error("no envelope can be given for this: {0}")]
    NoEnvelope(String),
    /// Nobody approves their own person's request.
    #[error("nobody approves their own request; ask somebody else")]
    OwnRequest,
    /// The rules want the approver's passkey, and no signature came.
    #[error("request `{0}` is approved with a passkey: its rules want the yes signed")]
    Unsigned(RequestId),
    /// This person said yes already.
    #[error("you have approved this request already; it needs another person")]
    ApprovedTwice,
    /// The rules do not name this person.
    #[error("the approval rules of this request do not name you: {0}")]
    NotAnApprover(String),
    /// The places this person could fill are taken.
    #[error("the places you could fill are taken; it still needs {0}")]
    PlaceTaken(String),
    /// Nobody can satisfy the rules.
    #[error("request `{0}` is locked: nobody can satisfy its approval rules")]
    Locked(RequestId),
    /// A rule lets nobody be asked while others are held up.
    #[error("rule `{0}` lets nothing wait for an approval {1}")]
    HoldsUp(RuleName, &'static str),
    /// No such role.
    #[error("there is no role `{0}`")]
    NoSuchRole(RoleId),
    /// No such resource.
    #[error("there is no resource `{0}`")]
    NoSuchResource(ResourceId),
    /// Longer than the role allows.
    #[error("role `{0}` is held for at most {1}; ask for less")]
    TooLong(RoleId, Span),
    /// No such grant.
    #[error("there is no grant `{0}`")]
    NoSuchGrant(GrantId),
    /// The grant is over.
    #[error("grant `{0}` is {1} already")]
    GrantOver(GrantId, &'static str),
    /// Only the holder gives back.
    #[error("grant `{0}` is not yours to give back; revoke it instead")]
    NotYourGrant(GrantId),
    /// Nothing live to stand on.
    #[error("no live grant of role `{0}`")]
    NoLiveGrant(RoleId),
    /// No such session.
    #[error("there is no open session `{0}`")]
    NoSuchSession(SessionId),
    /// The session is to end.
    #[error("session `{0}` is being ended")]
    SessionEnding(SessionId),
    /// Nothing new is begun in the session.
    #[error("session `{0}` is paused")]
    SessionPaused(SessionId),
    /// There is nothing to resume.
    #[error("session `{0}` is not paused")]
    SessionNotPaused(SessionId),
    /// Somebody else paused the session, for whoever it is of.
    #[error(
        "session `{0}` was paused by somebody else, and nobody resumes a session of their own person then"
    )]
    PausedByAnother(SessionId),
    /// The bundle is in force already.
    #[error("this bundle is in force already")]
    AlreadyInForce,
    /// Nothing is in force yet.
    #[error("no bundle is in force; apply one first")]
    NoBundle,
}
