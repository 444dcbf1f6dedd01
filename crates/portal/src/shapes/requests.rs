//! Requests: what waits for, or was given, its answer.

mod foreseen;
mod marks;
mod outcome;
mod parts;
mod show;
mod steps;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::identity::PasskeyShown;

pub use foreseen::{
    Branch, Cascade, Earlier, Effects, RewriteRule, RowPolicy, RowSecurity, SoFar, SoFarStatement, Time,
    Trigger, UnmaskedColumn,
};
pub use marks::{Mark, MarkKind};
pub use outcome::{Outcome, OutcomeResult, OutcomeTransaction};
pub use parts::{Encoding, Function, Parameter, Relation, Rows, Setting};
pub use steps::{AskScript, Step, StepState};

/// Asks for a role.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskAccess {
    /// Which role.
    #[schema(example = "shop-writer")]
    pub role: String,
    /// For how long, counted from the grant: `30m`, `1h30m`.
    #[serde(rename = "for")]
    #[schema(example = "30m")]
    pub lasting: String,
    /// Why.
    #[schema(min_length = 1, max_length = 4000)]
    pub reason: String,
    /// The ticket it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 200)]
    pub ticket: Option<String>,
}

/// Which requests.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RequestFilter {
    /// Only those in this state, or `all`; without it, those that are open.
    #[param(inline)]
    pub state: Option<RequestStates>,
    /// Only those that the caller could answer now.
    #[serde(default)]
    pub inbox: bool,
    /// Only the caller's own.
    #[serde(default)]
    pub mine: bool,
    /// At most so many.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
}

/// Which states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RequestStates {
    /// Whatever state.
    All,
    /// It waits.
    Pending,
    /// Every place is filled.
    Approved,
    /// Somebody, or policy, said no.
    Denied,
    /// Nobody answered, or the yes was not used, in time.
    Lapsed,
    /// It was given up.
    Withdrawn,
    /// Its ground moved.
    Void,
}

impl RequestStates {
    /// The states in one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Pending => RequestState::Pending.as_str(),
            Self::Approved => RequestState::Approved.as_str(),
            Self::Denied => RequestState::Denied.as_str(),
            Self::Lapsed => RequestState::Lapsed.as_str(),
            Self::Withdrawn => RequestState::Withdrawn.as_str(),
            Self::Void => RequestState::Void.as_str(),
        }
    }
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RequestState {
    /// It waits.
    Pending,
    /// Every place is filled.
    Approved,
    /// Somebody, or policy, said no.
    Denied,
    /// Nobody answered, or the yes was not used, in time.
    Lapsed,
    /// It was given up.
    Withdrawn,
    /// Its ground moved.
    Void,
}

impl RequestState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Approved, Self::Denied, Self::Lapsed, Self::Withdrawn, Self::Void];

    /// The state of that name. A word that is none of them would be a state that nothing more can come of.
    fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == name).unwrap_or(Self::Void)
    }

    /// The state in one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Lapsed => "lapsed",
            Self::Withdrawn => "withdrawn",
            Self::Void => "void",
        }
    }
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RequestKind {
    /// To hold a role for a while.
    Access,
    /// To do one action in a session.
    Action,
    /// To put a bundle in force.
    Apply,
    /// To run a script: several statements, one after the other.
    Script,
}

/// A request, with everything that an approver is shown. Nothing is truncated.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Request {
    /// Which.
    pub id: String,
    /// Where it stands.
    pub state: RequestState,
    /// What it is for.
    pub kind: RequestKind,
    /// Who asks.
    pub by: By,
    /// The action that a yes would allow: `sql.delete`.
    pub action: String,
    /// The role asked for, or acted in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub role: Option<String>,
    /// On what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub resource: Option<String>,
    /// The hash of the bundle that is proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub bundle: Option<String>,
    /// For how long the role is asked for, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub for_s: Option<i64>,
    /// Why, in the requester's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// The ticket it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ticket: Option<String>,
    /// The full text of what would run, as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
    /// The same text with other white space between its tokens, for reading; absent where that can't be, or changes
    /// nothing. What runs is `text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub layout: Option<String>,
    /// The statements of `text` in their order, where one action has several: each with the comments in front of it. They
    /// are one action, and run one behind the other as they were sent, or not at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<String>,
    /// The steps of a script, in their order. Each is run once, as it was approved, behind those before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// The characters of `text` that hide or deceive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// Those of `reason`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reason_marks: Vec<Mark>,
    /// What it does, beneath its kind.
    pub verbs: Vec<String>,
    /// The parameters it would run with, in order.
    pub parameters: Vec<Parameter>,
    /// The relations it names, and those that it reaches by way of them.
    pub relations: Vec<Relation>,
    /// The functions it calls by name, all that could be meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<Function>,
    /// Session settings that change its meaning.
    pub settings: Vec<Setting>,
    /// What is known of the rows it would touch; absent for what is no action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rows: Option<Rows>,
    /// What else it would set in motion; absent for what is no action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub effects: Option<Effects>,
    /// What was done in the session before; absent for what is no action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub so_far: Option<SoFar>,
    /// What became of the same when it was asked for before; only where one request is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub earlier: Option<Earlier>,
    /// What else the approver should know, in words.
    pub notes: Vec<String>,
    /// Digest of the canonical action: what an approval is bound to.
    pub digest: String,
    /// A yes counts only if the approver's passkey signed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signed: bool,
    /// The approval rules that hold it, and the policies that ask for them.
    pub held_by: Vec<HeldBy>,
    /// Who must say yes, and who did.
    pub stages: Vec<Stage>,
    /// What is still needed, in words; empty when nothing is.
    pub missing: String,
    /// Who said yes, in order.
    pub approvals: Vec<Approval>,
    /// The no that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub answer: Option<Answer>,
    /// Why it was withdrawn or is void, in one word: `cancelled`, `policy_stricter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub why: Option<String>,
    /// When it was denied, lapsed, was withdrawn or became void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub ended_at: Option<String>,
    /// The session in which the action waits, or in which the script is, or was, run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub session: Option<String>,
    /// The grant that it stands on, or that followed from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub grant: Option<String>,
    /// When it was asked.
    #[schema(format = DateTime)]
    pub asked_at: String,
    /// When it lapses without an answer.
    #[schema(format = DateTime)]
    pub lapses_at: String,
    /// Until when the yes may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub valid_until: Option<String>,
    /// What of the yes is used, and what it covers; absent before there is one, or for what is no action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub receipt: Option<Receipt>,
    /// What an approver may say of it; absent for what is no action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub most: Option<Most>,
    /// How what was approved ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub outcome: Option<Outcome>,
    /// Nobody can satisfy its rules.
    pub locked: bool,
    /// The words and the text are gone: erased, or unreadable. Then nobody should say yes.
    pub erased: bool,
    /// What the caller may do about it.
    pub can: RequestCan,
}

/// What of a yes is used, and what it covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Receipt {
    /// How often it may be used.
    pub uses: u32,
    /// How often it was.
    pub used: u32,
    /// The bounds that it covers; absent if it covers the text alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub envelope: Option<Envelope>,
    /// Rows of the envelope that are gone, those included that are set aside for what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rows_spent: Option<u64>,
}

/// What an approver may let a yes cover at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Most {
    /// How often the text may be used.
    pub uses: u32,
    /// For how long, in seconds.
    pub for_s: i64,
    /// How wide an envelope may be; absent if none may be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub envelope: Option<MostEnvelope>,
}

/// How wide an envelope may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MostEnvelope {
    /// Rows that one statement may write.
    pub rows: u64,
    /// Rows that may be written in all.
    pub total: u64,
    /// How many statements.
    pub uses: u32,
    /// For how long, in seconds.
    pub for_s: i64,
}

/// Bounds that are approved instead of one text: what the statement does to the relations it names, by any text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Rows that one statement may write.
    #[schema(minimum = 1)]
    pub rows: u64,
    /// Rows that may be written in all.
    #[schema(minimum = 1)]
    pub total: u64,
}

/// Who asks.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct By {
    /// The principal's name.
    pub name: String,
    /// How people call it.
    pub display: String,
    /// The human behind it.
    pub person: String,
}

/// An approval rule that holds a request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HeldBy {
    /// The rule.
    pub rule: String,
    /// The policies that ask for it.
    pub policies: Vec<Policy>,
}

/// A policy.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    /// Its name.
    pub id: String,
    /// Why it is there, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

/// One stage of one approval rule.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Stage {
    /// The rule.
    pub rule: String,
    /// How many distinct persons it needs.
    pub need: u32,
    /// How the rule names them: `group:dba`, `owner`.
    pub from: Vec<String>,
    /// Who may fill a place now.
    pub people: Vec<Party>,
    /// Who did.
    pub given: Vec<Party>,
}

/// Somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Party {
    /// The principal's name.
    pub name: String,
    /// How people call it.
    pub display: String,
}

/// One yes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// How people call them.
    pub display: String,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// In their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub comment: Option<String>,
    /// Their passkey signed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signed: bool,
    /// How often it may be used, if they said less than the rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub uses: Option<u32>,
    /// For how long, in seconds, if they said less than the rules. Of what several approvers say, the least counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub for_s: Option<i64>,
    /// The bounds that they gave instead of the text. They count if every approver gives some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub envelope: Option<Envelope>,
}

/// The no that ended a request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Answer {
    /// Who.
    pub by: String,
    /// How people call them.
    pub display: String,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// In their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub comment: Option<String>,
}

/// What the caller may do about a request.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct RequestCan {
    /// Say yes.
    pub approve: bool,
    /// Say no.
    pub deny: bool,
    /// Give it up.
    pub withdraw: bool,
}

/// A yes.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// The digest of the request as it was shown. When given, the yes counts only if it is still that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_length = 64, max_length = 64)]
    pub digest: Option<String>,
    /// In the approver's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 4000)]
    pub comment: Option<String>,
    /// How often it may be used, if less often than the rules allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    pub uses: Option<u32>,
    /// For how long it may be used, if for less long than the rules allow: `10m`.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "10m")]
    pub lasting: Option<String>,
    /// Approves bounds instead of the text, where the rules let that be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub envelope: Option<Envelope>,
    /// The caller's passkey over exactly this yes, where the request wants it: see `/requests/{id}/signature`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub assertion: Option<PasskeyShown>,
}

/// The yes that is to be signed: as it will be sent.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ToSign {
    /// The digest of the request as it was shown. When given, it is refused if the request is no longer that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_length = 64, max_length = 64)]
    pub digest: Option<String>,
    /// As in the yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    pub uses: Option<u32>,
    /// As in the yes.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "10m")]
    pub lasting: Option<String>,
    /// As in the yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub envelope: Option<Envelope>,
}

/// What a browser needs to have a yes signed (`PublicKeyCredentialRequestOptions`). Bytes are base64url.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SignatureAsked {
    /// To be signed: the digest of the request, the verdict, what it covers, and the rules.
    pub challenge: String,
    /// For which site.
    pub rp_id: String,
    /// The caller's passkeys that may sign.
    pub credentials: Vec<String>,
    /// Where the console shows the request, for whoever can't sign here.
    pub link: String,
}

/// A no.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deny {
    /// In the approver's words; the requester reads them in their own tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 4000)]
    pub comment: Option<String>,
}
