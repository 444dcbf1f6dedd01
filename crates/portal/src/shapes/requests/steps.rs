//! Scripts: how they are asked for, and each of their steps with what became of it.

use std::collections::BTreeMap;

use countersign_engine::views::{RequestView, StepView};
use countersign_wire::sql::layout;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::marks::{Mark, marks};
use super::{Effects, Function, Outcome, Relation, Rows, Setting};

/// Puts a script forward: several statements that are approved as one request.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskScript {
    /// On what it would run.
    #[schema(example = "shop")]
    pub resource: String,
    /// In which role; of those that the caller holds and that reach the resource, the newest, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "shop-writer")]
    pub role: Option<String>,
    /// The whole text.
    #[schema(min_length = 1, max_length = 262_144)]
    pub text: String,
    /// Settings that the client which is to run it begins its session with, by name (`TimeZone`, `search_path`), beside
    /// those that the server has. The approver sees them, and it runs under them alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Why.
    #[schema(min_length = 1, max_length = 4000)]
    pub reason: String,
    /// The ticket it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 200)]
    pub ticket: Option<String>,
}

/// A step of a script.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Which, counted from one.
    pub number: usize,
    /// Where it stands.
    pub state: StepState,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub outcome: Option<Outcome>,
    /// What it is: `sql.delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub action: Option<String>,
    /// The full text of the statement, with the comments in front of it. What a client sends is the same statement if it
    /// differs in white space and comments alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
    /// The same text with other white space between its tokens, for reading; absent where that changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub layout: Option<String>,
    /// The characters of `text` that hide or deceive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// What it does, beneath its kind.
    pub verbs: Vec<String>,
    /// The relations it names, and those that it reaches by way of them.
    pub relations: Vec<Relation>,
    /// The functions it calls by name, all that could be meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<Function>,
    /// Session settings that change its meaning; or which earlier statement leaves them behind.
    pub settings: Vec<Setting>,
    /// What is known of the rows it would touch.
    pub rows: Rows,
    /// What else it would set in motion.
    pub effects: Effects,
    /// What else the approver should know, in words.
    pub notes: Vec<String>,
    /// Digest of its canonical action: what a yes to this step is bound to.
    pub digest: String,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// Its turn may come.
    Waiting,
    /// It is under way.
    Running,
    /// It was run; the outcome says how it ended.
    Ended,
    /// It was not run, and nothing more can come of it.
    Skipped,
}

/// The steps of a script; none of anything else.
pub(super) fn all(view: &RequestView) -> Vec<Step> {
    let goes_on = matches!(view.state, "pending" | "approved");
    (1..).zip(&view.steps).map(|(number, step)| Step::of(number, step, goes_on)).collect()
}

impl Step {
    fn of(number: usize, view: &StepView, goes_on: bool) -> Self {
        let outcome = view
            .outcome
            .as_ref()
            .map(|outcome| Outcome { transaction: view.transaction.map(Into::into), ..Outcome::of(outcome) });
        let settings = view.settings.iter().cloned();
        Self {
            number,
            state: match (&outcome, view.running) {
                (Some(_), _) => StepState::Ended,
                (None, true) => StepState::Running,
                (None, false) if goes_on => StepState::Waiting,
                (None, false) => StepState::Skipped,
            },
            outcome,
            action: view.action.as_ref().map(ToString::to_string),
            layout: view.text.as_deref().and_then(layout),
            marks: view.text.as_deref().map(marks).unwrap_or_default(),
            text: view.text.clone(),
            verbs: view.verbs.clone(),
            relations: view.relations.iter().cloned().map(Into::into).collect(),
            functions: view.functions.iter().cloned().map(Into::into).collect(),
            settings: settings.map(|(name, value)| Setting { name, value }).collect(),
            rows: Rows::of(view.rows, &view.foreseen),
            effects: Effects::of(view.foreseen.clone()),
            notes: view.notes.clone(),
            digest: view.digest.to_string(),
        }
    }
}
