//! The ceiling of an agent: the most that it may ever hold and do, whatever policies permit and whoever approves.
//!
//! It is the bundle's word, and a forbid that nothing lifts: an agent asks for no role outside it, acts in none, and does nothing in
//! one that it does not name. An agent of which nothing is said may hold nothing. What an agent never does at all (approve, mint,
//! govern) the floor forbids by itself.

use countersign_core::ActionName;
use countersign_core::catalogue::{AgentCeiling, Catalogue, PrincipalKind};
use countersign_core::question::{Question, Target};
use countersign_core::ruling::PolicyRef;

use crate::actions::{self, Class};
use crate::floor;

/// What goes with every role: opening a session, and what keeps one going.
const WITH_EVERY_ROLE: [&str; 3] = ["session.open", "sql.session", "mcp.session"];

/// Why an action of an agent's is beyond its ceiling, if it is an agent's and is beyond.
pub(crate) fn beyond(catalogue: &Catalogue, question: &Question, action: &ActionName) -> Option<PolicyRef> {
    let Some(PrincipalKind::Agent { ceiling, .. }) =
        catalogue.principals.get(&question.principal).map(|found| &found.kind)
    else {
        return None;
    };
    let agent = &question.principal;
    let why = match &question.target {
        Target::Role(role) if !ceiling.roles.contains(role) => {
            format!("the agent `{agent}` may not hold `{role}`: its ceiling does not name it")
        }
        Target::Resource(_) if actions::class_of(action) == Some(Class::Act) => {
            why_not(ceiling, question, action)?
        }
        _ => return None,
    };
    Some(floor::CEILING.policy(&why))
}

fn why_not(ceiling: &AgentCeiling, question: &Question, action: &ActionName) -> Option<String> {
    let agent = &question.principal;
    if let Some(role) = question.roles.iter().find(|role| !ceiling.roles.contains(*role)) {
        return Some(format!("the agent `{agent}` may not act in `{role}`: its ceiling does not name it"));
    }
    let is_named = actions::spec(action.as_str()).is_some_and(|spec| {
        let lineage = actions::lineage(spec);
        WITH_EVERY_ROLE.contains(&spec.name)
            || ceiling.actions.iter().any(|named| lineage.contains(&named.as_str()))
    });
    (!is_named).then(|| format!("the agent `{agent}` may not do `{action}`: its ceiling does not name it"))
}

/// Whether `is` lets an agent hold or do something that `was` did not.
pub(crate) fn is_raised(was: &AgentCeiling, is: &AgentCeiling) -> bool {
    let named = |named: &ActionName| {
        let lineage = actions::spec(named.as_str()).map(actions::lineage).unwrap_or_default();
        was.actions.iter().any(|had| had == named || lineage.contains(&had.as_str()))
    };
    !is.roles.is_subset(&was.roles) || !is.actions.iter().all(named)
}
