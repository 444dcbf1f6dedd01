//! Trials: what policy would say of one attempt, of everybody, and of what was done already.

use std::collections::BTreeMap;

use countersign_core::question::{Context, Value};
use countersign_core::ruling::Ruling;
use countersign_engine::PreviewVerdict;
use countersign_engine::reading::Read;
use countersign_engine::trial;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Verdict;
use super::requests::{Party, Stage};

/// An attempt that nobody makes.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Who would make it.
    pub principal: String,
    /// What.
    pub attempt: Attempt,
    /// When; at present without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub at: Option<String>,
    /// From which address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub source: Option<String>,
    /// By what they would have signed in, where policies look at that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub means: Vec<super::identity::Means>,
    /// How long ago they would have signed in with these: `20m`; just now without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub signed_in_ago: Option<String>,
    /// The bundle to ask, by path; the one in force without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub files: Option<BTreeMap<String, String>>,
}

/// What would be attempted.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Attempt {
    /// To hold a role for a while.
    Access {
        /// Which.
        role: String,
        /// For how long: `30m`.
        r#for: String,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        /// The ticket.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        ticket: Option<String>,
    },
    /// To run a statement in a role.
    Statement {
        /// In which role.
        role: String,
        /// On what.
        resource: String,
        /// The text.
        text: String,
        /// Why the role is held.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        /// The ticket of the grant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        ticket: Option<String>,
        /// Inside a transaction of the client's own.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        in_transaction: bool,
    },
    /// To do something to the gateway itself.
    House {
        /// Which action: `policy.apply`.
        action: String,
    },
}

/// What policy would say.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tried {
    /// The verdict.
    pub state: Verdict,
    /// Why, in a sentence; empty where nobody needs to be asked.
    pub reason: String,
    /// What it is called.
    pub action: String,
    /// Its parts: each is judged, the stricter wins.
    pub actions: Vec<String>,
    /// Every policy that matched.
    pub policies: Vec<Matched>,
    /// Policies that could not be evaluated; any of them denies.
    pub errors: Vec<String>,
    /// Who would be asked.
    pub stages: Vec<Stage>,
    /// How a statement was understood; absent for what is none, or could not be sent at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub statement: Option<Understood>,
    /// What policies were told, by the names that they have for it.
    pub circumstances: Vec<Circumstance>,
    /// Whether they hold the role now; absent for what is not done in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub holds: Option<bool>,
    /// The instant that it was asked for.
    #[schema(format = DateTime)]
    pub at: String,
}

/// A policy that matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Matched {
    /// Its name.
    pub id: String,
    /// What it says.
    pub says: Says,
    /// The rule that lifts it, if it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rule: Option<String>,
    /// Why, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

/// What a policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Says {
    /// It permits.
    Permits,
    /// It forbids, and nothing lifts it.
    Forbids,
    /// It holds until its rule is satisfied.
    Holds,
}

/// How a statement was understood, in a fresh session with the server's ordinary settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Understood {
    /// What it does.
    pub verbs: Vec<String>,
    /// Why it is what it is, in words.
    pub reasons: Vec<String>,
    /// The target's catalogue was known, so that its names could be looked up.
    pub catalogue: bool,
}

/// Something that policies were told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Circumstance {
    /// Its name in policies, behind `context.`.
    pub name: String,
    /// As policies would write it.
    pub value: String,
}

/// What a change of the bundle would make of everybody.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// The hash of the bundle that is proposed.
    pub id: String,
    /// What would become of applying it.
    pub state: Verdict,
    /// It is the one in force.
    pub same: bool,
    /// Why, in a sentence.
    pub reason: String,
    /// Who would be asked before it is in force.
    pub stages: Vec<Stage>,
    /// Those for whom something changes.
    pub people: Vec<PersonChange>,
    /// What would end at once.
    pub ends: Vec<Ends>,
    /// How many principals were compared.
    pub compared: usize,
    /// How many there are.
    pub of: usize,
}

/// What changes for somebody.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PersonChange {
    /// Their name.
    pub id: String,
    /// Whether they come, stay or go.
    pub state: Presence,
    /// How people call them.
    pub display: String,
    /// What changes.
    pub changes: Vec<PolicyChange>,
}

/// Whether somebody is in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// In the proposed one alone.
    Comes,
    /// In both.
    Stays,
    /// In the one in force alone.
    Goes,
}

/// One difference.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PolicyChange {
    /// About what: `ask` for a role, `do` in a role, `see` a column as it is in a role, `house` for the gateway and what
    /// is not theirs.
    pub scope: PolicyScope,
    /// The role, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub role: Option<String>,
    /// The resource, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub resource: Option<String>,
    /// The column, if it is about one: `schema.relation.column`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub column: Option<String>,
    /// The actions.
    pub actions: Vec<String>,
    /// What is said of it now.
    pub before: Word,
    /// What would be.
    pub after: Word,
}

/// About what policy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PolicyScope {
    /// Asking for a role.
    Ask,
    /// Acting in a role.
    Do,
    /// Seeing a masked column as it is, acting in a role.
    See,
    /// What is done to a resource outside of any role.
    At,
    /// The gateway itself, and what is not theirs.
    House,
}

/// What policy says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Word {
    /// The verdict.
    pub verdict: Verdict,
    /// The rules that hold it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Who is asked: `1 of group:dba (bob)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<String>,
}

/// Something that would end.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Ends {
    /// Which.
    pub id: String,
    /// What it is.
    pub kind: EndsKind,
    /// Whose.
    pub by: Party,
    /// The role of a grant, the resource of a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub of: Option<String>,
}

/// What would end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndsKind {
    /// A grant is revoked.
    Grant,
    /// A request is void.
    Request,
    /// A session is cut.
    Session,
}

/// A bundle to try on the past.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayWanted {
    /// Its files by path.
    pub files: BTreeMap<String, String>,
    /// How many days back: 1 to 366.
    #[schema(minimum = 1, maximum = 366)]
    pub days: u32,
}

/// What a change would have made of what was done.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Replay {
    /// `whole`, or `cut` if there was more than is judged at a time.
    pub state: ReplayState,
    /// From this instant on.
    #[schema(format = DateTime)]
    pub since: String,
    /// How many attempts were judged again.
    pub judged: usize,
    /// How many would be held that are not now.
    pub newly_held: usize,
    /// How many would be denied that are not now.
    pub newly_denied: usize,
    /// How many would be allowed without a question that are not now.
    pub newly_allowed: usize,
    /// How many would be held by other rules.
    pub held_otherwise: usize,
    /// How many could not be judged again: erased, or by somebody who is gone.
    pub unknown: usize,
    /// Differences one by one, the newest first.
    pub examples: Vec<ReplayExample>,
}

/// Whether everything was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplayState {
    /// Everything since then.
    Whole,
    /// Less: see `since`.
    Cut,
}

/// An attempt of which something else would be said.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReplayExample {
    /// The line that tells of it.
    pub seq: u64,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// Who.
    pub by: Party,
    /// In which role, or the role that was asked for.
    pub role: String,
    /// On what, for a statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub resource: Option<String>,
    /// What.
    pub action: String,
    /// The statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
    /// What the bundle in force says.
    pub before: Verdict,
    /// What the other would.
    pub after: Verdict,
    /// Why, in a sentence.
    pub reason: String,
}

impl From<PreviewVerdict> for Verdict {
    fn from(verdict: PreviewVerdict) -> Self {
        match verdict {
            PreviewVerdict::Allow => Self::Allow,
            PreviewVerdict::Deny => Self::Deny,
            PreviewVerdict::Hold => Self::Hold,
        }
    }
}

impl From<trial::Tried> for Tried {
    fn from(tried: trial::Tried) -> Self {
        let trial::Tried { verdict, reason, action, actions, ruling, stages, read, .. } = tried;
        Self {
            state: verdict.into(),
            reason,
            action: action.to_string(),
            actions: actions.iter().map(ToString::to_string).collect(),
            policies: matched(&ruling),
            errors: ruling.errors,
            stages: stages.into_iter().map(Into::into).collect(),
            statement: read.map(Into::into),
            circumstances: circumstances(&tried.circumstances),
            holds: tried.holds,
            at: tried.at.rfc3339(),
        }
    }
}

impl From<Read> for Understood {
    fn from(read: Read) -> Self {
        Self { verbs: read.verbs, reasons: read.reasons, catalogue: read.catalogue }
    }
}

fn matched(ruling: &Ruling) -> Vec<Matched> {
    let one = |says| {
        move |policy: &countersign_core::ruling::PolicyRef| Matched {
            id: policy.id.to_string(),
            says,
            rule: None,
            reason: policy.reason.as_deref().map(str::to_owned),
        }
    };
    let held = ruling.gates.iter().flat_map(|gate| {
        let rule = gate.rule.to_string();
        gate.policies
            .iter()
            .map(move |policy| Matched { rule: Some(rule.clone()), ..one(Says::Holds)(policy) })
    });
    let forbids = ruling.forbids.iter().map(one(Says::Forbids));
    forbids.chain(held).chain(ruling.permits.iter().map(one(Says::Permits))).collect()
}

fn circumstances(context: &Context) -> Vec<Circumstance> {
    let told =
        context.iter().map(|(name, value)| Circumstance { name: (*name).to_owned(), value: written(value) });
    told.collect()
}

/// A value as Cedar would have it written.
fn written(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Long(value) => value.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Texts(texts) => {
            let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
            format!("[{}]", texts.join(", "))
        }
        Value::Span(span) => format!("duration(\"{span}\")"),
        Value::At(at) => format!("datetime(\"{}\")", at.rfc3339()),
        Value::Ip(ip) => format!("ip(\"{ip}\")"),
        Value::Fields(fields) => {
            let fields = fields.iter().map(|(name, text)| format!("{name:?}: {text:?}"));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Numbers(numbers) => {
            let numbers = numbers.iter().map(|(name, number)| format!("{name:?}: {number}"));
            format!("{{{}}}", numbers.collect::<Vec<_>>().join(", "))
        }
    }
}

impl From<trial::Difference> for Difference {
    fn from(found: trial::Difference) -> Self {
        Self {
            id: found.bundle.to_string(),
            state: found.verdict.into(),
            same: found.same,
            reason: found.reason,
            stages: found.stages.into_iter().map(Into::into).collect(),
            people: found.people.into_iter().map(Into::into).collect(),
            ends: found.ends.into_iter().map(Into::into).collect(),
            compared: found.compared,
            of: found.of,
        }
    }
}

impl From<trial::PersonChange> for PersonChange {
    fn from(found: trial::PersonChange) -> Self {
        let Party { name: id, display } = found.who.into();
        let state = match found.presence {
            trial::Presence::Comes => Presence::Comes,
            trial::Presence::Stays => Presence::Stays,
            trial::Presence::Goes => Presence::Goes,
        };
        Self { id, state, display, changes: found.changes.into_iter().map(Into::into).collect() }
    }
}

impl From<trial::Change> for PolicyChange {
    fn from(found: trial::Change) -> Self {
        let (scope, role, resource, column) = match found.scope {
            trial::Scope::Ask(role) => (PolicyScope::Ask, Some(role), None, None),
            trial::Scope::Do(role, resource) => (PolicyScope::Do, Some(role), Some(resource), None),
            trial::Scope::See(role, resource, column) => {
                (PolicyScope::See, Some(role), Some(resource), Some(column))
            }
            trial::Scope::At(resource) => (PolicyScope::At, None, Some(resource), None),
            trial::Scope::House => (PolicyScope::House, None, None, None),
        };
        let (role, resource) = (role.map(|id| id.to_string()), resource.map(|id| id.to_string()));
        let actions = found.actions.iter().map(ToString::to_string).collect();
        let (before, after) = (found.before.into(), found.after.into());
        Self { scope, role, resource, column, actions, before, after }
    }
}

impl From<trial::Word> for Word {
    fn from(word: trial::Word) -> Self {
        let plain = |verdict| Self { verdict, rules: Vec::new(), asked: Vec::new() };
        match word {
            trial::Word::Allow => plain(Verdict::Allow),
            trial::Word::Deny => plain(Verdict::Deny),
            trial::Word::Hold { rules, asked } => {
                let rules = rules.iter().map(ToString::to_string).collect();
                Self { verdict: Verdict::Hold, rules, asked }
            }
        }
    }
}

impl From<trial::Ending> for Ends {
    fn from(ending: trial::Ending) -> Self {
        match ending {
            trial::Ending::Grant { id, who, role } => {
                Self { id: id.to_string(), kind: EndsKind::Grant, by: who.into(), of: Some(role.to_string()) }
            }
            trial::Ending::Request { id, who } => {
                Self { id: id.to_string(), kind: EndsKind::Request, by: who.into(), of: None }
            }
            trial::Ending::Session { id, who, resource } => {
                let of = Some(resource.to_string());
                Self { id: id.to_string(), kind: EndsKind::Session, by: who.into(), of }
            }
        }
    }
}

impl From<trial::Replay> for Replay {
    fn from(found: trial::Replay) -> Self {
        let trial::ReplayCounts { judged, newly_held, newly_denied, newly_allowed, held_otherwise, unknown } =
            found.counts;
        Self {
            state: if found.whole { ReplayState::Whole } else { ReplayState::Cut },
            since: found.since.rfc3339(),
            judged,
            newly_held,
            newly_denied,
            newly_allowed,
            held_otherwise,
            unknown,
            examples: found.examples.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<trial::Example> for ReplayExample {
    fn from(found: trial::Example) -> Self {
        Self {
            seq: found.line,
            at: found.at.rfc3339(),
            by: found.who.into(),
            role: found.role.to_string(),
            resource: found.resource.map(|id| id.to_string()),
            action: found.action.to_string(),
            text: found.text,
            before: found.before.into(),
            after: found.after.into(),
            reason: found.reason,
        }
    }
}
