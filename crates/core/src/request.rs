//! Requests: a gated action that waits for, or was given, its answer.
//!
//! An access request and a held action are one thing with different asks.
//!
//! ```text
//! pending ── quorum of approvals ──> approved ── used up, or its time is over ──> closed
//!    ├──── one denial ──> denied        └── its ground moved ──> void
//!    ├──── unanswered ──> lapsed
//!    ├──── given up ────> withdrawn
//!    └──── its ground moved ──> void
//! ```

use serde::{Deserialize, Serialize};

use crate::envelope::{Claim, Envelope, Reach, Terms};
use crate::ids::{
    ActionName, BundleHash, Digest, GrantId, PersonId, PrincipalId, RequestId, ResourceId, RoleId, SessionId,
};
use crate::ruling::Gate;
use crate::script::{ACTION, Progress, Step};
use crate::time::{At, Span};

/// What is done about requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Asks. The ruling in the facts is on the action itself.
    Ask {
        /// Minted by the caller.
        request: RequestId,
        /// Who asks.
        by: PrincipalId,
        /// For what.
        ask: Ask,
        /// Salted digest of the canonical action.
        digest: Digest,
        /// Commitment to purpose, ticket and texts kept beside the chain.
        content: Option<Digest>,
        /// Minted by the caller, used if an access request needs nobody's yes.
        grant: GrantId,
        /// What is held up while it waits.
        holds_up: HoldsUp,
    },
    /// Says yes. The ruling in the facts is on `request.approve`, the standing ruling on the action asked for.
    Approve {
        /// Which.
        request: RequestId,
        /// Who says so.
        by: PrincipalId,
        /// The digest that the approver was shown.
        digest: Digest,
        /// Commitment to the comment.
        comment: Option<Digest>,
        /// Proof of the approver's presence.
        signature: Option<Signature>,
        /// What it covers, if less than the rules allow or bounds instead of the text.
        terms: Terms,
        /// Minted by the caller, used if this yes completes an access request.
        grant: GrantId,
    },
    /// Says no. One eligible no ends the request. The ruling in the facts is on `request.approve`.
    Deny {
        /// Which.
        request: RequestId,
        /// Who says so.
        by: PrincipalId,
        /// Commitment to the comment.
        comment: Option<Digest>,
    },
    /// Gives up.
    Withdraw {
        /// Which.
        request: RequestId,
        /// Why.
        why: Withdrawal,
    },
    /// Uses the receipt of an approved held action, once. The standing ruling is on what is about to run. A receipt
    /// for one use is bound to the session that waits; one for several, or an envelope, to the principal, resource and
    /// role; one for a script to these until its first step is run, and then to the session that has run it.
    Use {
        /// Which.
        request: RequestId,
        /// In which session.
        session: SessionId,
        /// What is about to run.
        claim: Claim,
    },
    /// Says how a used receipt ended.
    Settle {
        /// Which.
        request: RequestId,
        /// How.
        outcome: Outcome,
        /// Where that stands which it did in a transaction, if it did something in one.
        transaction: Option<Transaction>,
    },
    /// Says what became of a transaction in which receipts were used.
    Conclude {
        /// Which request.
        request: RequestId,
        /// In which session.
        session: SessionId,
        /// The first use that it is said of, counted from one, and of those behind it.
        from: u32,
        /// What became of it.
        fate: Fate,
    },
    /// Says that what was asked can no longer be what would run.
    Void {
        /// Which.
        request: RequestId,
        /// Why.
        why: Voidance,
    },
}

/// What happened to a request. Variants are added, never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Somebody asked.
    Asked {
        /// Which.
        request: RequestId,
        /// Who.
        by: PrincipalId,
        /// Who answers for it.
        person: PersonId,
        /// For what.
        ask: Ask,
        /// Salted digest of the canonical action.
        digest: Digest,
        /// Commitment to what is kept beside the chain.
        content: Option<Digest>,
        /// What holds it; empty if nobody needs to be asked.
        gates: Vec<Gate>,
        /// The bundle that ruled.
        bundle: BundleHash,
        /// When it lapses.
        lapses_at: At,
        /// Nobody can satisfy its rules: an alarm.
        locked: bool,
    },
    /// Somebody said yes.
    Approved {
        /// Which.
        request: RequestId,
        /// Who.
        by: PrincipalId,
        /// Their person.
        person: PersonId,
        /// Commitment to the comment.
        comment: Option<Digest>,
        /// Proof of presence.
        signature: Option<Signature>,
        /// What they said of what it covers.
        terms: Terms,
    },
    /// Every place is filled: the receipt.
    QuorumReached {
        /// Which.
        request: RequestId,
        /// How often it may be used.
        uses: u32,
        /// Until when.
        valid_until: At,
        /// Within which bounds, if not for the text alone.
        envelope: Option<Envelope>,
    },
    /// Somebody said no.
    Denied {
        /// Which.
        request: RequestId,
        /// Who.
        by: PrincipalId,
        /// Commitment to the comment.
        comment: Option<Digest>,
    },
    /// Nobody answered in time, or the yes was not used in time.
    Lapsed {
        /// Which.
        request: RequestId,
    },
    /// It was given up.
    Withdrawn {
        /// Which.
        request: RequestId,
        /// Why.
        why: Withdrawal,
    },
    /// Its ground moved.
    Voided {
        /// Which.
        request: RequestId,
        /// Why.
        why: Voidance,
    },
    /// People were added because nobody answered.
    Escalated {
        /// Which.
        request: RequestId,
        /// Which step of the rules, counted from one.
        step: u32,
    },
    /// A receipt was used.
    Used {
        /// Which.
        request: RequestId,
        /// In which session.
        session: SessionId,
        /// How many rows of its envelope are set aside for it.
        rows: Option<u64>,
    },
    /// A used receipt ended.
    Settled {
        /// Which.
        request: RequestId,
        /// How.
        outcome: Outcome,
        /// Where that stands which it did in a transaction, if it did something in one.
        #[serde(default)]
        transaction: Option<Transaction>,
    },
    /// The transaction in which receipts were used is over, or went back to a savepoint.
    Concluded {
        /// Which request.
        request: RequestId,
        /// In which session.
        session: SessionId,
        /// The first use that it is said of, counted from one: of it, and of all behind it in this session that were open.
        from: u32,
        /// What became of it.
        fate: Fate,
    },
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// To hold a role for a while.
    Access {
        /// Which.
        role: RoleId,
        /// For how long, counted from the grant.
        lasting: Span,
    },
    /// To do one action in a session.
    Act {
        /// In which session it waits.
        session: SessionId,
        /// The grant it stands on.
        grant: GrantId,
        /// On what.
        resource: ResourceId,
        /// What.
        action: ActionName,
        /// What a yes covers.
        bounds: Bounds,
        /// What it touches, if that is known for certain.
        reach: Option<Reach>,
    },
    /// To put a bundle in force.
    Apply {
        /// Which.
        bundle: BundleHash,
    },
    /// To do several actions one after the other, in one session.
    Script {
        /// The grant it stands on.
        grant: GrantId,
        /// On what.
        resource: ResourceId,
        /// What, in order.
        steps: Vec<Step>,
    },
}

/// What an action holds up for others while it waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HoldsUp {
    /// Nothing.
    #[default]
    Nothing,
    /// The requester's own transaction stays open.
    Transaction,
    /// And it holds locks which others may wait for.
    Locks,
}

/// What a yes covers at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Rows that may be written.
    pub rows: RowBound,
}

/// How many rows an approved write may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowBound {
    /// At most so many; beyond, it is rolled back.
    AtMost(u64),
    /// No bound can be kept; the approver is told so.
    Unbounded,
    /// They come after the yes, at most so many, or fewer if the approver says so; beyond, it is rolled back.
    Later(u64),
}

/// Proof that the approver was present: an assertion over the challenge of [`crate::action::challenge`], which whoever
/// made it has checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The authenticator, as the line has it that bound it and tells its public key.
    pub credential: String,
    /// Commitment to the assertion, as the line has it: the assertion itself is content.
    pub assertion: String,
}

/// Why a request was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Withdrawal {
    /// The requester said so.
    ByRequester,
    /// The client cancelled (Ctrl-C).
    Cancelled,
    /// The client went away.
    Disconnected,
    /// The session ended: grant over, revoked, disabled, ended by somebody.
    SessionEnded,
    /// The gateway was restarted while it waited.
    GatewayRestarted,
    /// The requester was disabled.
    PrincipalDisabled,
}

/// Which ground moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Voidance {
    /// The current policy denies it, or holds it with more than was lifted.
    PolicyStricter,
    /// An approver may no longer approve.
    ApproverNotEligible,
    /// The grant it stood on is over.
    GrantOver,
    /// It no longer means the same: other relations, other settings.
    MeaningChanged,
    /// The requester is disabled.
    PrincipalDisabled,
    /// A step of the script did not end well, or something else came in between.
    Stopped,
}

/// How an approved action ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The target did it.
    Done {
        /// Rows touched, if the target tells.
        rows: Option<u64>,
    },
    /// The target refused, or it was rolled back. `code` is the target's own (SQLSTATE).
    Failed {
        /// The target's error code.
        code: String,
    },
    /// It touched more rows than were approved and was rolled back.
    BeyondBound {
        /// Rows it would have touched.
        rows: u64,
    },
    /// Nobody can know: the gateway or the target went away in between. It is never retried.
    Unknown,
}

/// Where the transaction stands in which a receipt was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transaction {
    /// It goes on: what was done may still be undone.
    Open,
    /// It is over.
    Over(Fate),
}

/// What became of a transaction, or of what was done in it behind a savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is committed.
    Committed,
    /// It was rolled back: nothing of it stands.
    RolledBack,
    /// Nobody can know, or it differs for parts of the statement.
    Unknown,
}

/// A use of a receipt in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Which, counted from one.
    pub number: u32,
    /// In which session.
    pub session: SessionId,
    /// Where its transaction stands.
    pub transaction: Transaction,
}

/// A request and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Which.
    pub id: RequestId,
    /// Who asked.
    pub by: PrincipalId,
    /// Who answers for it.
    pub person: PersonId,
    /// For what.
    pub ask: Ask,
    /// Salted digest of the canonical action.
    pub digest: Digest,
    /// Commitment to what is kept beside the chain.
    pub content: Option<Digest>,
    /// What holds it.
    pub gates: Vec<Gate>,
    /// The bundle that ruled.
    pub bundle: BundleHash,
    /// When it was asked.
    pub asked_at: At,
    /// When it lapses.
    pub lapses_at: At,
    /// Nobody could satisfy its rules when it was asked. Whether anybody can at present:
    /// [`Book::is_locked`](crate::Book::is_locked).
    pub locked: bool,
    /// How many escalation steps were announced.
    pub escalated: u32,
    /// Who said yes.
    pub approvals: Vec<Approval>,
    /// Where it stands.
    pub state: State,
    /// The uses whose transactions are not over, and the last one; all that did something in one, for a script.
    #[serde(default)]
    pub uses: Vec<Use>,
    /// How far it has come, if it is a script that has begun.
    #[serde(default)]
    pub progress: Option<Progress>,
}

/// One yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: PrincipalId,
    /// Their person.
    pub person: PersonId,
    /// When.
    pub at: At,
    /// Commitment to the comment.
    pub comment: Option<Digest>,
    /// Proof of presence.
    pub signature: Option<Signature>,
    /// What they said of what it covers.
    #[serde(default)]
    pub terms: Terms,
}

/// Where a request stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Waits.
    Pending,
    /// Every place is filled.
    Approved(Receipt),
    /// A person said no.
    Denied {
        /// Who.
        by: PrincipalId,
        /// When.
        at: At,
        /// Commitment to the comment.
        comment: Option<Digest>,
    },
    /// Nobody answered, or the yes was not used, in time.
    Lapsed {
        /// When.
        at: At,
    },
    /// Given up.
    Withdrawn {
        /// Why.
        why: Withdrawal,
        /// When.
        at: At,
    },
    /// Its ground moved.
    Void {
        /// Why.
        why: Voidance,
        /// When.
        at: At,
    },
}

/// The proof that a request was approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// When the quorum was reached.
    pub at: At,
    /// How often it may be used.
    pub uses: u32,
    /// How often it was.
    pub used: u32,
    /// Until when it may be.
    pub valid_until: At,
    /// In which session a use is under way whose outcome is not known yet.
    pub running: Option<SessionId>,
    /// How the last use ended.
    pub outcome: Option<Outcome>,
    /// The bounds that it covers, if not one text alone.
    #[serde(default)]
    pub envelope: Option<Envelope>,
    /// Rows of the envelope that are gone, those included that are set aside.
    #[serde(default)]
    pub spent: u64,
    /// Rows of the envelope that are set aside for the use under way.
    #[serde(default)]
    pub reserved: u64,
}

impl Request {
    /// A request as it is put forward; nothing of any other event.
    #[must_use]
    pub fn asked(event: &Event, at: At) -> Option<Self> {
        let Event::Asked { request, by, person, ask, digest, content, gates, bundle, lapses_at, locked } =
            event
        else {
            return None;
        };
        Some(Self {
            id: *request,
            by: by.clone(),
            person: person.clone(),
            ask: ask.clone(),
            digest: *digest,
            content: *content,
            gates: gates.clone(),
            bundle: *bundle,
            asked_at: at,
            lapses_at: *lapses_at,
            locked: *locked,
            escalated: 0,
            approvals: Vec::new(),
            state: State::Pending,
            uses: Vec::new(),
            progress: None,
        })
    }

    /// The action that an approval would allow.
    #[must_use]
    pub fn action(&self) -> ActionName {
        match &self.ask {
            Ask::Access { .. } => ActionName::new("access.request"),
            Ask::Act { action, .. } => action.clone(),
            Ask::Apply { .. } => ActionName::new("policy.apply"),
            Ask::Script { .. } => ActionName::new(ACTION),
        }
    }

    /// Whether a yes counts only if the approver's passkey signed it: one rule that says so is enough.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.gates.iter().any(|gate| gate.terms.signed)
    }

    /// The resource in question, if it is about one.
    #[must_use]
    pub fn resource(&self) -> Option<&ResourceId> {
        match &self.ask {
            Ask::Act { resource, .. } | Ask::Script { resource, .. } => Some(resource),
            Ask::Access { .. } | Ask::Apply { .. } => None,
        }
    }

    /// Where the transaction of the last use stands, if it did something in one.
    #[must_use]
    pub fn transaction(&self) -> Option<Transaction> {
        let State::Approved(Receipt { used, .. }) = &self.state else {
            return self.uses.last().map(|last| last.transaction);
        };
        self.uses.last().filter(|last| last.number == *used).map(|last| last.transaction)
    }

    /// Whether nothing more can come of it, nor of what was done under it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        if self.uses.iter().any(Use::is_open) {
            return false;
        }
        match &self.state {
            State::Pending => false,
            State::Approved(receipt) => receipt.running.is_none() && receipt.is_spent(),
            State::Denied { .. } | State::Lapsed { .. } | State::Withdrawn { .. } | State::Void { .. } => {
                true
            }
        }
    }
}

impl HoldsUp {
    /// Where it waits, in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "outside of transactions",
            Self::Transaction => "in an open transaction",
            Self::Locks => "in a transaction that holds locks",
        }
    }
}

impl Use {
    /// Whether its transaction goes on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.transaction == Transaction::Open
    }
}

impl State {
    /// The state in one word: `pending`, `approved`, `denied`, `lapsed`, `withdrawn`, `void`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved(_) => "approved",
            Self::Denied { .. } => "denied",
            Self::Lapsed { .. } => "lapsed",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Void { .. } => "void",
        }
    }
}
