//! What a person is told: the sentence, what to do next, and where.

use countersign_core::{Refusal, RequestId, RoleId};

/// A no in words for whoever asked. The operator's view of the same thing is a line in the ledger or the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// Why, in a sentence without a full stop.
    pub message: String,
    /// What to do next; usually a command.
    pub hint: Option<String>,
    /// Where to do it.
    pub link: Option<String>,
    /// Which kind of no, for programs.
    pub code: RefusedCode,
}

/// Which kind of no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedCode {
    /// Policy does not permit it.
    NotPermitted,
    /// The rules want the yes signed with a passkey.
    Unsigned,
    /// There is no live grant.
    NoGrant,
    /// There is no such thing, or it is none of the caller's business.
    NotFound,
    /// It is over, decided, or in the way of something else.
    Conflict,
    /// The question itself is wrong.
    Invalid,
    /// It is larger than what can be shown or kept.
    TooLarge,
    /// The session is over.
    Ended,
    /// As much as its role lets it take is taken.
    Spent,
    /// The ledger can't take it now.
    Unavailable,
}

impl Refused {
    /// Without a hint and without a link.
    #[must_use]
    pub fn new(code: RefusedCode, message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, link: None, code }
    }

    /// The same, with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn link(mut self, link: String) -> Self {
        self.link = Some(link);
        self
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(RefusedCode::Unavailable, "the ledger can't take a record now, so nothing may happen")
            .hint("it recovers by itself; try again in a moment, or look at the gateway's health")
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let (code, hint) = kind(&refusal);
        let refused = Self::new(code, refusal.to_string());
        match hint {
            Some(hint) => refused.hint(hint),
            None => refused,
        }
    }
}

/// The code of a refusal, and what to do next if it is not in the sentence itself.
fn kind(refusal: &Refusal) -> (RefusedCode, Option<&'static str>) {
    match refusal {
        Refusal::Denied(_) => (RefusedCode::NotPermitted, None),
        Refusal::Gated(_) => (
            RefusedCode::NotPermitted,
            Some("ask somebody whom policy lets do this without an approval, or apply a changed bundle"),
        ),
        Refusal::NotAUser(_) | Refusal::OwnRequest | Refusal::NotYourGrant(_) => {
            (RefusedCode::NotPermitted, None)
        }
        Refusal::PausedByAnother(_) => {
            (RefusedCode::NotPermitted, Some("ask whoever paused it, or somebody else who may resume it"))
        }
        Refusal::Unsigned(_) => (
            RefusedCode::Unsigned,
            Some(
                "approve it in the console, where your passkey signs it, or with `countersign approve`, which leads there",
            ),
        ),
        Refusal::NotAnApprover(_) => (RefusedCode::NotPermitted, None),
        Refusal::NoSuchPrincipal(_)
        | Refusal::NoSuchRequest(_)
        | Refusal::NoSuchRole(_)
        | Refusal::NoSuchResource(_)
        | Refusal::NoSuchGrant(_)
        | Refusal::NoSuchDirectory(_)
        | Refusal::NoSuchSession(_) => (RefusedCode::NotFound, Some("list what there is and try again")),
        Refusal::NoLiveGrant(_) => (RefusedCode::NoGrant, Some("ask for the role again")),
        Refusal::Disabled(_) => {
            (RefusedCode::NotPermitted, Some("somebody who may enable principals can undo this"))
        }
        Refusal::Unheard(_) => (
            RefusedCode::Unavailable,
            Some("whoever runs the gateway can see why; local accounts are not touched by it"),
        ),
        Refusal::TooLong(..) | Refusal::TermsTooWide(_) | Refusal::NoEnvelope(_) => {
            (RefusedCode::Invalid, None)
        }
        Refusal::NoBundle => (RefusedCode::Unavailable, Some("run `countersign apply DIR`")),
        Refusal::Locked(_) => (
            RefusedCode::Conflict,
            Some("somebody must be added to the groups its rules name; then ask again"),
        ),
        Refusal::HoldsUp(..) => (
            RefusedCode::Conflict,
            Some("end the transaction and send it by itself, or as the first statement of another"),
        ),
        Refusal::OtherAction
        | Refusal::Exists(_)
        | Refusal::NameTaken(_)
        | Refusal::NotDisabled(_)
        | Refusal::Decided(..)
        | Refusal::NoReceipt(..)
        | Refusal::ReceiptSpent(_)
        | Refusal::NothingOpen(..)
        | Refusal::BeyondEnvelope(..)
        | Refusal::OtherSession(_)
        | Refusal::ApprovedTwice
        | Refusal::PlaceTaken(_)
        | Refusal::GrantOver(..)
        | Refusal::SessionEnding(_)
        | Refusal::SessionPaused(_)
        | Refusal::SessionNotPaused(_)
        | Refusal::AlreadyInForce => (RefusedCode::Conflict, None),
    }
}

/// The command that asks for a role.
pub(crate) fn ask_command(role: &RoleId) -> String {
    format!("countersign request {role} --for 30m --reason \"...\"")
}

/// The console's page that asks for a role.
pub(crate) fn ask_link(console_url: &str, role: &RoleId) -> String {
    format!("{console_url}/ask?role={role}")
}

/// The console's page of a request.
pub(crate) fn request_link(console_url: &str, request: RequestId) -> String {
    format!("{console_url}/requests/{request}")
}

/// Cuts a text that came from outside to at most `bytes`, at a character.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
