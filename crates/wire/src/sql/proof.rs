//! Whether what a statement mentions reaches reviewed built-ins and plain data, and nothing else.
//!
//! Names are resolved as the server would, and wherever the server's choice hangs on argument types that are not
//! known here, every candidate counts: a function or operator of a user with a mentioned name spoils the proof
//! unless its schema is not searched, or one of its operands is of a type that cannot occur in the statement.

use std::collections::BTreeSet;

use super::access::{FunctionUse, Mentions, Name, Operand, OperatorUse};
use super::catalogue::{Catalogue, FIRST_USER_OID, UserFunction, UserOperator};
use super::facts::Access;
use super::nodes::{self, OLDEST, YOUNGEST};
use super::session::{Context, SessionState};
use super::standing::types_within;

/// How many reasons are given before it is enough.
const REASONS_MAX: usize = 8;

/// Pseudo-types that take a whole row: `record`, `any` and the polymorphic ones.
const ROW_TAKING: &[u32] = &[2249, 2276, 2283, 2776, 5077, 5079];

/// The outcome of a proof.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Everything mentioned is reviewed or plain data.
    Proved,
    /// Something mentioned may be anybody's code.
    Call(Vec<String>),
    /// Something is not understood.
    Unknown(Vec<String>),
}

/// Tries to prove that what is mentioned has no effect beyond the statement's own.
pub(super) fn prove(mentions: &Mentions, context: &Context<'_>) -> Proof {
    let major = context.session.major();
    let unknown = misunderstood(mentions, major);
    if !unknown.is_empty() {
        return Proof::Unknown(unknown);
    }
    if !(OLDEST..=YOUNGEST).contains(&major) {
        return Proof::Call(vec![format!("the server's version {major} is not one that was reviewed")]);
    }
    let plain_parameters = context.parameter_types.iter().all(|oid| *oid < FIRST_USER_OID);
    if mentions.is_bare() && plain_parameters {
        return Proof::Proved;
    }
    let (catalogue, path) = match grounds(context) {
        Ok(grounds) => grounds,
        Err(why) => return Proof::Call(vec![why]),
    };
    let mut prover =
        Prover { catalogue, session: context.session, path, touched: BTreeSet::new(), reasons: Vec::new() };
    prover.all(mentions, context.parameter_types);
    if prover.reasons.is_empty() { Proof::Proved } else { Proof::Call(prover.reasons) }
}

/// What of a statement the server may read differently, or is not understood at all.
pub(super) fn misunderstood(mentions: &Mentions, major: u32) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for node in &mentions.foreign_nodes {
        reasons.push(format!("it has a part that is not understood ({node})"));
    }
    for (since, node) in &mentions.younger_nodes {
        if *since > major {
            reasons.push(format!(
                "it uses syntax of PostgreSQL {since} ({node}), which server version {major} reads as something else"
            ));
        }
    }
    reasons.truncate(REASONS_MAX);
    reasons
}

/// What a proof stands on: a catalogue of this server and a search path that is known.
fn grounds<'a>(context: &Context<'a>) -> Result<(&'a Catalogue, Vec<String>), String> {
    let catalogue = context
        .catalogue
        .ok_or("the database's own objects are not known, so any name may be anybody's code")?;
    if catalogue.server_version_num != context.session.server_version_num {
        return Err("what is known of the database is of another server version".to_owned());
    }
    if context.session.uncommitted_definitions {
        return Err("the transaction may have changed definitions, which nobody else can see yet".to_owned());
    }
    if let Some(hazard) = catalogue.hazards.first() {
        return Err(hazard.clone());
    }
    let path = effective_path(context.session)
        .ok_or("the session's search path is not known, so names may mean anything")?;
    if path.iter().any(|schema| schema.starts_with("pg_temp")) {
        return Err("the session's search path names the temporary schema".to_owned());
    }
    // The server's own functions in SQL were text then, whose operators are looked up along the caller's path.
    if context.session.major() < 14 && path.first().is_none_or(|first| first != "pg_catalog") {
        return Err("the search path puts another schema before pg_catalog".to_owned());
    }
    Ok((catalogue, path))
}

/// The schemas that unqualified names are looked up in, in order.
pub(super) fn effective_path(session: &SessionState) -> Option<Vec<String>> {
    let mut path = Vec::new();
    for schema in session.search_path.as_ref()? {
        match schema.as_str() {
            "$user" => path.push(session.role.clone()?),
            other => path.push(other.to_owned()),
        }
    }
    if !path.iter().any(|schema| schema == "pg_catalog") {
        path.insert(0, "pg_catalog".to_owned());
    }
    Some(path)
}

/// The relations that a name may mean. More than one where an earlier schema may be closed to the session's role.
pub(super) fn relations_named(catalogue: &Catalogue, path: &[String], name: &Name) -> Vec<u32> {
    if name.catalog.is_some() {
        return Vec::new();
    }
    match &name.schema {
        Some(schema) => catalogue.relation(schema, &name.name).into_iter().collect(),
        None => in_path(path, |schema| catalogue.relation(schema, &name.name)),
    }
}

fn in_path(path: &[String], lookup: impl Fn(&str) -> Option<u32>) -> Vec<u32> {
    let mut found = Vec::new();
    for schema in path {
        if let Some(oid) = lookup(schema) {
            found.push(oid);
            // pg_catalog is open to everyone, so nothing behind it is reached.
            if schema == "pg_catalog" {
                break;
            }
        }
    }
    found
}

struct Prover<'a> {
    catalogue: &'a Catalogue,
    session: &'a SessionState,
    path: Vec<String>,
    /// Types of users whose values may occur in the statement.
    touched: BTreeSet<u32>,
    reasons: Vec<String>,
}

impl Prover<'_> {
    fn all(&mut self, mentions: &Mentions, parameter_types: &[u32]) {
        for (name, access) in &mentions.relations {
            self.relation(name, *access);
        }
        for name in &mentions.types {
            self.named_type(name);
        }
        for oid in parameter_types.iter().filter(|oid| **oid >= FIRST_USER_OID) {
            self.touch(*oid, "a parameter");
        }
        self.casts();
        for function in &mentions.functions {
            self.function(function);
        }
        for operator in &mentions.operators {
            self.operator(operator);
        }
        for attribute in &mentions.attributes {
            self.attribute(attribute);
        }
        for sample in &mentions.samples {
            let builtin = matches!(sample.schema.as_deref(), None | Some("pg_catalog"))
                && nodes::is_builtin_sample(&sample.name)
                && !self.catalogue.functions.contains_key(&sample.name);
            if !builtin {
                self.because(format!("the sampling method `{sample}` is not a built-in"));
            }
        }
    }

    fn because(&mut self, reason: String) {
        if self.reasons.len() < REASONS_MAX && !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    fn relation(&mut self, name: &Name, access: Access) {
        if access == Access::Ddl {
            return;
        }
        if self.session.temporary_objects && name.schema.is_none() {
            return self
                .because(format!("`{name}` may be a temporary object of the session; write its schema"));
        }
        let candidates = relations_named(self.catalogue, &self.path, name);
        if candidates.is_empty() {
            return self.because(format!("`{name}` is not a relation that is known here"));
        }
        for oid in candidates {
            let Some(standing) = self.catalogue.standings.get(&oid) else {
                self.because(format!("`{name}` is not a relation that is known here"));
                continue;
            };
            let blocked = match access {
                Access::Write => standing.blocked_for_writing.as_ref(),
                _ => standing.blocked.as_ref(),
            };
            self.touched.extend(standing.touched.iter().copied());
            if let Some(why) = blocked.cloned() {
                self.because(why);
            }
        }
    }

    fn named_type(&mut self, name: &Name) {
        if name.catalog.is_some() {
            return self.because(format!("the type `{name}` is written with three parts"));
        }
        if self.session.temporary_objects && name.schema.is_none() {
            return self.because(format!("the type `{name}` may be a temporary object of the session"));
        }
        let candidates = match &name.schema {
            Some(schema) => self.catalogue.type_named(schema, &name.name).into_iter().collect(),
            None => in_path(&self.path, |schema| self.catalogue.type_named(schema, &name.name)),
        };
        if candidates.is_empty() {
            return self.because(format!("`{name}` is not a type that is known here"));
        }
        for oid in candidates {
            self.touch(oid, "it");
        }
    }

    fn touch(&mut self, oid: u32, who: &str) {
        let what = match self.catalogue.types.contains_key(&oid) {
            true => self.catalogue.blocked_types.get(&oid).cloned(),
            false => Some("a type that is not known here".to_owned()),
        };
        if let Some(what) = what {
            self.because(format!("{who} uses {what}"));
        }
        types_within(self.catalogue, oid, &mut self.touched);
    }

    /// Casts of users apply without being written. One that is implicit from a built-in type can turn up anywhere.
    fn casts(&mut self) {
        loop {
            let before = self.touched.len();
            for cast in &self.catalogue.casts {
                if cast.implicit && self.occurs(cast.source) {
                    self.touched.insert(cast.target);
                }
            }
            if self.touched.len() == before {
                break;
            }
        }
        let reached = self
            .catalogue
            .casts
            .iter()
            .any(|c| c.runs && (self.touched.contains(&c.source) || self.touched.contains(&c.target)));
        if reached {
            self.because("a cast that a user made may apply to its values".to_owned());
        }
    }

    fn function(&mut self, call: &FunctionUse) {
        let name = &call.name;
        if !self.catalogue.builtin_function(name) {
            return self.because(format!("it calls `{name}`, which is not a reviewed built-in function"));
        }
        let shadows = self.catalogue.functions.get(&name.name).into_iter().flatten();
        let mut shadows = shadows.filter(|f| self.in_sight(name, &f.schema));
        if shadows.any(|f| self.can_call(f, call.arguments.as_deref())) {
            self.because(format!("a function `{name}` that a user made may be the one it calls"));
        }
        // `name(x)` is a cast where a type has that name and no function fits.
        let types = self.catalogue.types_by_name.get(&name.name).into_iter().flatten();
        let mut by_user = types
            .filter(|oid| **oid >= FIRST_USER_OID)
            .filter_map(|oid| self.catalogue.types.get(oid))
            .filter(|t| self.in_sight(name, &t.schema));
        if by_user.next().is_some() {
            self.because(format!("`{name}` is also the name of a type that a user made"));
        }
    }

    /// Whether a name, as written, could mean something in a schema.
    fn in_sight(&self, name: &Name, schema: &str) -> bool {
        match &name.schema {
            Some(written) => written == schema,
            None => self.path.iter().any(|s| s == schema),
        }
    }

    /// Whether a call could mean a function of a user.
    fn can_call(&self, function: &UserFunction, arguments: Option<&[bool]>) -> bool {
        let Some(arguments) = arguments else { return true };
        if arguments.len() < function.required {
            return false;
        }
        if arguments.len() > function.arguments.len() && !function.variadic {
            return false;
        }
        // A required argument of a type that does not occur here cannot be met by a value that brings its own type.
        !function
            .arguments
            .iter()
            .take(function.required)
            .zip(arguments)
            .any(|(wanted, typed)| *typed && !self.occurs(*wanted))
    }

    fn operator(&mut self, used: &OperatorUse) {
        let name = &used.name;
        if !self.catalogue.builtin_operator(name) {
            return self.because(format!("it uses the operator `{name}`, which is not a reviewed built-in"));
        }
        let shadows = self.catalogue.operators.get(&name.name).into_iter().flatten();
        let mut shadows = shadows.filter(|o| self.in_sight(name, &o.schema));
        if shadows.any(|o| self.can_apply(o, used)) {
            self.because(format!("an operator `{name}` that a user made may be the one it uses"));
        }
    }

    fn can_apply(&self, operator: &UserOperator, used: &OperatorUse) -> bool {
        let fits = |wanted: u32, operand: Operand| match operand {
            Operand::Absent => wanted == 0,
            Operand::Typed => wanted != 0 && self.occurs(wanted),
            Operand::Untyped => wanted != 0,
        };
        fits(operator.left, used.left) && fits(operator.right, used.right)
    }

    /// Whether values of a type may occur: built-in ones always may, and arrays of whatever occurs.
    fn occurs(&self, oid: u32) -> bool {
        let made_of =
            |oid: u32| self.catalogue.types.get(&oid).is_some_and(|t| self.touched.contains(&t.inner));
        oid < FIRST_USER_OID || self.touched.contains(&oid) || made_of(oid)
    }

    /// `t.x` calls a function `x` on the row where `t` has no such column.
    fn attribute(&mut self, name: &str) {
        let functions = self.catalogue.functions.get(name).into_iter().flatten();
        let functions = functions.filter(|f| self.path.contains(&f.schema));
        let callable = functions.filter(|f| f.required <= 1).any(|f| {
            f.arguments.first().is_some_and(|first| {
                ROW_TAKING.contains(first) || (*first >= FIRST_USER_OID && self.touched.contains(first))
            })
        });
        if callable {
            self.because(format!("`.{name}` may call a function of that name that a user made"));
        }
    }
}
