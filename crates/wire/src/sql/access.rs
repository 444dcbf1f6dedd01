//! Names and uses: what a statement mentions, before anything is known about the database.

use std::collections::BTreeSet;
use std::fmt;

use super::facts::{Access, Predicate};
use super::kinds::Verb;

/// A possibly qualified name of a relation, function, operator or type, as written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// Set where a third part (a database) was written.
    pub(super) catalog: Option<String>,
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

impl Name {
    /// The name of a list of parts, most specific last. None of no parts at all.
    pub(super) fn of_parts(parts: &[&str]) -> Option<Name> {
        let (name, rest) = parts.split_last()?;
        let (schema, rest) = match rest.split_last() {
            Some((schema, rest)) => (Some((*schema).to_owned()), rest),
            None => (None, rest),
        };
        let catalog = if rest.is_empty() { None } else { Some(rest.join(".")) };
        Some(Name { catalog, schema, name: (*name).to_owned() })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.catalog, &self.schema].into_iter().flatten() {
            write!(f, "{part}.")?;
        }
        f.write_str(&self.name)
    }
}

/// A function called by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FunctionUse {
    pub(super) name: Name,
    /// For each positional argument whether its type is settled by itself ([`Operand::Typed`]); `None` where
    /// arguments are named, variadic or ordered, so that positions say nothing.
    pub(super) arguments: Option<Vec<bool>>,
}

/// An operator between operands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OperatorUse {
    pub(super) name: Name,
    pub(super) left: Operand,
    pub(super) right: Operand,
}

/// What is known about an operand's type.
///
/// PostgreSQL gives a bare literal or an undeclared parameter whatever type makes an operator fit, a user's type
/// too; anything else brings its type along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operand {
    Absent,
    Typed,
    Untyped,
}

/// Everything a statement mentions that its execution could reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mentions {
    pub(super) functions: BTreeSet<FunctionUse>,
    pub(super) operators: BTreeSet<OperatorUse>,
    pub(super) types: BTreeSet<Name>,
    pub(super) relations: BTreeSet<(Name, Access)>,
    /// Last parts of dotted names: `t.x` calls a function `x(t)` where `t` has no column `x`.
    pub(super) attributes: BTreeSet<String>,
    /// TABLESAMPLE methods, which are functions.
    pub(super) samples: BTreeSet<Name>,
    pub(super) parameters: BTreeSet<u32>,
    /// Nodes that have no place in a reviewed read.
    pub(super) foreign_nodes: BTreeSet<&'static str>,
    /// Nodes that only servers from some major version on know, with that version.
    pub(super) younger_nodes: BTreeSet<(u32, &'static str)>,
}

impl Mentions {
    /// Whether nothing is mentioned that could be anybody's code or data.
    pub(super) fn is_bare(&self) -> bool {
        self.functions.is_empty()
            && self.operators.is_empty()
            && self.types.is_empty()
            && self.relations.is_empty()
            && self.attributes.is_empty()
            && self.samples.is_empty()
    }
}

/// What a walk over one statement found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) mentions: Mentions,
    /// Verbs of the data-modifying statements that run, nested ones included.
    pub(super) verbs: BTreeSet<Verb>,
    pub(super) predicates: Vec<Predicate>,
    pub(super) cursors: BTreeSet<String>,
    pub(super) data_modifying_cte: bool,
    pub(super) locks_rows: bool,
    pub(super) select_into: bool,
    pub(super) creates_temporary: bool,
}
