//! A bundle that was checked and may be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cedar_policy::{Authorizer, EntityUid, Policy, PolicySet, Validator};
use countersign_core::catalogue::Catalogue;
use countersign_core::ruling::{Gate, PolicyRef};
use countersign_core::{BundleHash, RuleName};

use crate::actions::ACTIONS;
use crate::case::{Kept, LooksAt};
use crate::catalogue;
use crate::diagnostic::{Diagnostic, Problems, Within};
use crate::entities::World;
use crate::policies::{self, Says, Written};
use crate::rule_form::rule_hash;
use crate::schema::schema;
use crate::scope::Scope;
use crate::source::Source;

/// A bundle that was checked and may be asked. Immutable; share it behind an [`Arc`].
#[derive(Debug)]
pub struct Compiled {
    /// The hash that names the bundle.
    pub hash: BundleHash,
    /// The name that it gives itself.
    pub name: String,
    /// What it says of principals, groups, roles, resources and approval rules.
    pub catalogue: Arc<Catalogue>,
    /// What somebody should look at, though it can be used.
    pub warnings: Vec<Diagnostic>,
    pub(crate) policies: Vec<Judged>,
    /// For each action the policies whose head names it, by index.
    pub(crate) by_action: BTreeMap<&'static str, Vec<usize>>,
    /// For each approval rule a gate without policies.
    pub(crate) gates: BTreeMap<RuleName, Gate>,
    pub(crate) world: World,
    pub(crate) authorizer: Authorizer,
    pub(crate) kept: Kept,
}

/// A policy that stands alone, ready to be judged.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) named: PolicyRef,
    pub(crate) says: Says,
    pub(crate) scope: Scope,
    pub(crate) set: PolicySet,
    /// Circumstances that its conditions look at.
    pub(crate) looks_at: LooksAt,
    /// Entities that its conditions name.
    pub(crate) names: Vec<EntityUid>,
    /// Every entity that it names, its head included.
    pub(crate) mentions: BTreeSet<EntityUid>,
    /// It matches whenever its head does.
    pub(crate) is_unconditional: bool,
}

/// Checks a bundle and makes it ready to be asked.
///
/// # Errors
/// Everything that is wrong with it, warnings included, in the order of files and lines.
pub fn compile(source: &Source) -> Result<Compiled, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let known: Vec<&str> = catalogue::FILES.iter().map(|(file, _)| *file).collect();
    source.check(&known, &mut problems);
    let said = catalogue::read(source, &mut problems);
    let Ok(schema) = schema() else {
        return Err(impossible(problems, "the schema is not accepted".into()));
    };
    let validator = Validator::new(schema);
    let written = policies::read(source, &said.catalogue, &validator, &mut problems);
    unused_rules(&said, &written, &mut problems);
    let (warnings, failed) = problems.finish();
    if failed {
        return Err(warnings);
    }
    let parts = World::new(&said.catalogue)
        .map_err(|error| error.to_string())
        .and_then(|world| Ok((world, written.iter().map(judged).collect::<Result<Vec<_>, _>>()?)));
    let (world, policies) = parts.map_err(|error| impossible(Problems::default(), error))?;
    Ok(Compiled {
        hash: source.hash(),
        name: said.name,
        gates: gates(&said.catalogue),
        catalogue: Arc::new(said.catalogue),
        warnings,
        by_action: by_action(&policies),
        policies,
        world,
        authorizer: Authorizer::new(),
        kept: Kept::default(),
    })
}

/// A mistake of ours, not of the bundle. Still a refusal to use it.
fn impossible(mut problems: Problems, error: String) -> Vec<Diagnostic> {
    let within = Within { file: "bundle.toml", text: "" };
    problems.error(within, None, format!("this bundle cannot be made ready: {error}"), None);
    problems.finish().0
}

fn unused_rules(said: &catalogue::Said<'_>, written: &[Written], problems: &mut Problems) {
    if problems.has_errors() {
        // The policy that asks for it may be the one that is wrong.
        return;
    }
    for rule in said.catalogue.rules.keys() {
        if !written.iter().any(|one| matches!(&one.says, Says::Gate(gate) if gate == rule)) {
            let place = said.rules.place(&format!("approval.{rule}"));
            let hint = format!("put `@gate(\"{rule}\")` on a forbid, or remove the rule");
            let message = format!("no policy asks for the approval rule `{rule}`");
            problems.warning(said.rules.within, place, message, Some(hint));
        }
    }
}

fn judged(written: &Written) -> Result<Judged, String> {
    let policy = &written.policy;
    let scope = Scope::of(policy);
    let set = PolicySet::from_policies([policy.clone()]).map_err(|error| error.to_string())?;
    let mut names: Vec<EntityUid> =
        policy.entity_literals().into_iter().filter(|uid| uid.type_name().basename() != "Action").collect();
    let mentions = names.iter().cloned().collect();
    for head in [scope.principal.names(), scope.resource.names()].into_iter().flatten() {
        if let Some(at) = names.iter().position(|uid| uid == head) {
            names.swap_remove(at);
        }
    }
    Ok(Judged {
        named: written.named.clone(),
        says: written.says.clone(),
        scope,
        set,
        looks_at: LooksAt::of(policy),
        names,
        mentions,
        is_unconditional: !Policy::has_non_scope_constraint(policy),
    })
}

fn by_action(policies: &[Judged]) -> BTreeMap<&'static str, Vec<usize>> {
    let actions = ACTIONS.iter().map(|spec| {
        let matching = policies.iter().enumerate().filter(|(_, policy)| policy.scope.has_action(spec));
        (spec.name, matching.map(|(index, _)| index).collect())
    });
    actions.collect()
}

fn gates(catalogue: &Catalogue) -> BTreeMap<RuleName, Gate> {
    let gates = catalogue.rules.iter().map(|(name, rule)| {
        let gate = Gate {
            rule: name.clone(),
            rule_hash: rule_hash(rule),
            terms: rule.clone(),
            policies: Vec::new(),
        };
        (name.clone(), gate)
    });
    gates.collect()
}
