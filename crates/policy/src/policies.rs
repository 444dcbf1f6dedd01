//! Policies: Cedar text, split, parsed, checked strictly against the schema and the catalogue.
//!
//! Every policy has an `@id` of its own and is parsed by itself: its hash is that of its own text, its
//! mistakes are reported beside those of its neighbours, and it is judged alone.

mod check;
mod split;

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{Effect, Policy, PolicyId as CedarId, ValidationWarning, Validator};
use countersign_core::action::hash;
use countersign_core::catalogue::{Catalogue, Role};
use countersign_core::ruling::PolicyRef;
use countersign_core::{PolicyId, RoleId, RuleName};
use miette::Diagnostic;

use crate::actions::class_of;
use crate::diagnostic::{Problems, Within, did_you_mean};
use crate::floor;
use crate::source::Source;

/// How many mistakes of one policy's grammar are told: the parser sees many more where one thing is missing.
const ERRORS_PER_POLICY_MAX: usize = 5;

/// A policy that may be judged.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) named: PolicyRef,
    pub(crate) says: Says,
    pub(crate) policy: Policy,
}

/// What follows when a policy matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// The action is permitted.
    Permit,
    /// The action is forbidden, and nothing lifts it.
    Forbid,
    /// The action is held until this rule is satisfied.
    Gate(RuleName),
}

/// Reads the policies of a bundle, the floor's and the roles'.
pub(crate) fn read(
    source: &Source,
    catalogue: &Catalogue,
    validator: &Validator,
    problems: &mut Problems,
) -> Vec<Written> {
    let mut reader = Reader { catalogue, validator, problems, seen: BTreeMap::new(), written: Vec::new() };
    let floor = Within { file: "the floor", text: floor::POLICIES };
    reader.file(floor, true);
    for (role, found) in &catalogue.roles {
        reader.role(role, found);
    }
    for (file, text) in source.files.iter().filter(|(path, _)| path.ends_with(".cedar")) {
        reader.file(Within { file, text }, false);
    }
    reader.written
}

struct Reader<'a, 'p> {
    catalogue: &'a Catalogue,
    validator: &'a Validator,
    problems: &'p mut Problems,
    /// Names that are taken, and where.
    seen: BTreeMap<String, String>,
    written: Vec<Written>,
}

/// The text of one policy and where it begins in its file.
#[derive(Clone, Copy)]
struct Piece<'a> {
    within: Within<'a>,
    start: usize,
    text: &'a str,
}

impl Reader<'_, '_> {
    fn file(&mut self, within: Within<'_>, floor: bool) {
        for found in split::policies(within.text) {
            let start = found.range.start;
            let Some(text) = within.text.get(found.range.clone()) else { continue };
            let piece = Piece { within, start, text };
            match intricate(&found) {
                Some(message) => {
                    let hint = "split it into several policies".to_owned();
                    self.error(piece, None, message, Some(hint));
                }
                None => self.piece(piece, floor),
            }
        }
    }

    /// The permit that a role stands for.
    fn role(&mut self, role: &RoleId, found: &Role) {
        if found.actions.is_empty() || found.resources.is_empty() {
            return;
        }
        let text = permit_of(role, found);
        let file = format!("role/{role}");
        let within = Within { file: &file, text: &text };
        self.piece(Piece { within, start: 0, text: &text }, true);
    }

    fn piece(&mut self, piece: Piece<'_>, ours: bool) {
        let policy = match Policy::parse(Some(CedarId::new("this policy")), piece.text) {
            Ok(policy) => policy,
            Err(errors) => {
                for error in errors.iter().take(ERRORS_PER_POLICY_MAX) {
                    self.report(piece, error);
                }
                return;
            }
        };
        let id = self.id(piece, &policy, ours);
        let says = self.says(piece, &policy);
        if !ours {
            check::annotations(piece, &policy, self.problems);
            check::entities(piece, &policy, self.catalogue, self.problems);
        }
        let valid = self.validate(piece, &policy);
        if let (Some(id), Some(says), true) = (id, says, valid) {
            let reason = policy.annotation("reason").filter(|reason| !reason.is_empty()).map(Arc::from);
            let named = PolicyRef { id, hash: hash(&[piece.text.as_bytes()]), reason };
            let policy = policy.new_id(CedarId::new(named.id.as_str()));
            self.written.push(Written { named, says, policy });
        }
    }

    fn id(&mut self, piece: Piece<'_>, policy: &Policy, ours: bool) -> Option<PolicyId> {
        let Some(id) = policy.annotation("id") else {
            let hint = "begin it with `@id(\"what-it-is-for\")`; refusals and the ledger name it by that";
            self.error(piece, None, "this policy has no `@id`".into(), Some(hint.into()));
            return None;
        };
        if !ours && let Err(error) = id.parse::<PolicyId>() {
            self.error(piece, Some("@id"), error.to_string(), None);
            return None;
        }
        let place = piece.place("@id");
        if let Some(other) = self.seen.get(id) {
            let message = format!("there is another policy with the id `{id}`");
            self.error(piece, Some("@id"), message, Some(format!("it is in {other}")));
            return None;
        }
        self.seen.insert(id.to_owned(), piece.within.line(place));
        Some(PolicyId::new(id))
    }

    fn says(&mut self, piece: Piece<'_>, policy: &Policy) -> Option<Says> {
        match (policy.effect(), policy.annotation("gate")) {
            (Effect::Permit, None) => Some(Says::Permit),
            (Effect::Forbid, None) => Some(Says::Forbid),
            (Effect::Permit, Some(_)) => {
                let hint = "put `@gate` on a `forbid`; what it forbids is held until it is countersigned";
                self.error(piece, Some("@gate"), "a permit cannot have a gate".into(), Some(hint.into()));
                None
            }
            (Effect::Forbid, Some(gate)) => {
                let rules = &self.catalogue.rules;
                match rules.keys().find(|rule| rule.as_str() == gate) {
                    Some(rule) => Some(Says::Gate(rule.clone())),
                    None => {
                        let hint = did_you_mean(gate, rules.keys().map(RuleName::as_str));
                        let hint = hint.or_else(|| Some("write the rule in rules.toml".into()));
                        self.error(piece, Some("@gate"), format!("there is no approval rule `{gate}`"), hint);
                        None
                    }
                }
            }
        }
    }

    fn validate(&mut self, piece: Piece<'_>, policy: &Policy) -> bool {
        let Ok(set) = cedar_policy::PolicySet::from_policies([policy.clone()]) else {
            self.error(piece, None, "this policy cannot stand by itself".into(), None);
            return false;
        };
        let result = self.validator.validate(&set, cedar_policy::ValidationMode::Strict);
        for error in result.validation_errors() {
            self.report(piece, error);
        }
        if !result.validation_passed() {
            return false;
        }
        let (mixed, refused): (Vec<_>, Vec<_>) =
            result.validation_warnings().partition(|one| is_only_worth_a_look(one));
        for warning in mixed {
            let (message, hint) = words(warning);
            self.problems.warning(piece.within, Some(piece.offset(warning)), message, hint);
        }
        // A forbid that can never match would be believed to protect something.
        for error in refused.iter().take(1) {
            self.report(piece, *error);
        }
        refused.is_empty()
    }

    fn report(&mut self, piece: Piece<'_>, error: &dyn Diagnostic) {
        let (message, hint) = words(error);
        self.problems.error(piece.within, Some(piece.offset(error)), message, hint);
    }

    fn error(&mut self, piece: Piece<'_>, at: Option<&str>, message: String, hint: Option<String>) {
        let place = at.map_or(piece.start, |word| piece.place(word));
        self.problems.error(piece.within, Some(place), message, hint);
    }
}

/// Why a policy is not even parsed.
fn intricate(found: &split::Piece) -> Option<String> {
    use split::{BRACKETS_MAX, OPERATORS_MAX};
    if found.brackets > BRACKETS_MAX {
        return Some(format!("the brackets of this policy nest deeper than {BRACKETS_MAX}"));
    }
    (found.operators > OPERATORS_MAX).then(|| format!("this policy has more than {OPERATORS_MAX} operators"))
}

impl Piece<'_> {
    /// Where `word` stands first; the beginning if it does not.
    fn place(&self, word: &str) -> usize {
        self.start + self.text.find(word).unwrap_or_default()
    }

    /// Where Cedar points to.
    fn offset(&self, error: &dyn Diagnostic) -> usize {
        let label = error.labels().and_then(|mut labels| labels.next());
        self.start + label.map_or(0, |label| label.offset())
    }
}

impl Within<'_> {
    fn line(&self, place: usize) -> String {
        let before = self.text.get(..place).unwrap_or_default();
        format!("{}:{}", self.file, before.matches('\n').count() + 1)
    }
}

/// Letters of several alphabets in one word are odd and may be meant. Policies that can never match, and signs
/// that make a text look other than it is, are neither.
fn is_only_worth_a_look(warning: &ValidationWarning) -> bool {
    use ValidationWarning::{ConfusableIdentifier, MixedScriptIdentifier, MixedScriptString};
    matches!(warning, ConfusableIdentifier(_) | MixedScriptIdentifier(_) | MixedScriptString(_))
}

/// Cedar's words, with what its label adds, in one line.
fn words(error: &dyn Diagnostic) -> (String, Option<String>) {
    let label = error.labels().and_then(|mut labels| labels.next());
    let label = label.and_then(|label| label.label().map(ToOwned::to_owned));
    let mut message = error.to_string().replace("for policy `this policy`, ", "").replace('\n', " ");
    if let Some(label) = label.filter(|label| !message.contains(label)) {
        message = format!("{message}: {}", label.replace('\n', " "));
    }
    // Cedar says the same once for each action that the head matches.
    let message = message.split(" in context for Action::").next().unwrap_or_default().to_owned();
    (message, error.help().map(|help| help.to_string().replace('\n', " ")))
}

/// A role is a permit: whoever is in it may do its actions to what it reaches, and open a session there.
fn permit_of(role: &RoleId, found: &Role) -> String {
    // An action that does not exist was reported where the role names it.
    let known = found.actions.iter().filter(|action| class_of(action).is_some());
    let actions = known.map(|action| action.as_str());
    let tools = found.actions.iter().any(|action| action.as_str().starts_with("mcp."));
    let steering = ["session.open", "sql.session"].into_iter().chain(tools.then_some("mcp.session"));
    let mut actions: Vec<&str> = actions.chain(steering).collect();
    actions.sort_unstable();
    actions.dedup();
    let actions: Vec<String> = actions.iter().map(|action| format!("Action::\"{action}\"")).collect();
    format!(
        "@id(\"role/{role}\")\npermit (\n  principal in Role::\"{role}\",\n  action in [{}],\n  resource in Role::\"{role}\"\n);",
        actions.join(", ")
    )
}
