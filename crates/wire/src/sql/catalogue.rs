//! A snapshot of a database's own objects, as far as judgements need them.
//!
//! It keeps them ordered by what they are looked up by; [`super::CatalogueLoader`] fills it. A catalogue is only as
//! true as its moment: the caller asks [`super::Probe`] whether it still holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::access::Mentions;
use super::columns::Uses;
use super::facts::RelationKind;
use super::lineage::Bound;
use super::queries::Section;
use super::reached::ViewReach;
use super::standing::Standing;
use crate::postgres::binary::array_of;

/// The first OID that an ordinary object of a user can have.
pub(super) const FIRST_USER_OID: u32 = 16_384;

/// The OID of `text`.
const TEXT_OID: u32 = 25;

/// How many domains over domains are followed for a type's name.
const DOMAINS_MAX: usize = 32;

/// The most rows of one catalogue that are kept; a larger database is not proved rather than half known.
pub const CATALOGUE_ROWS_MAX: usize = 2_000_000;

/// A database's own objects at one moment.
#[derive(Debug)]
pub struct Catalogue {
    pub(super) server_version_num: u32,
    pub(super) version: String,
    /// Built-in functions of `pg_catalog` by name: whether every one of that name is reviewed.
    pub(super) builtin_functions: BTreeMap<String, bool>,
    /// The same for `information_schema`.
    pub(super) information_functions: BTreeMap<String, bool>,
    /// Built-in functions that are not reviewed.
    pub(super) unreviewed: BTreeSet<u32>,
    /// How volatile built-in functions are at most, by schema and name.
    pub(super) builtin_volatility: BTreeMap<String, Volatility>,
    /// Built-in operators by name: whether the functions of all of them are reviewed.
    pub(super) builtin_operators: BTreeMap<String, bool>,
    pub(super) functions: BTreeMap<String, Vec<UserFunction>>,
    pub(super) operators: BTreeMap<String, Vec<UserOperator>>,
    pub(super) casts: Vec<UserCast>,
    pub(super) hazards: Vec<String>,
    pub(super) event_triggers: Vec<String>,
    pub(super) types: BTreeMap<u32, TypeRow>,
    pub(super) types_by_name: BTreeMap<String, Vec<u32>>,
    pub(super) domain_checks: BTreeMap<u32, Vec<String>>,
    pub(super) relations: BTreeMap<u32, RelationRow>,
    pub(super) relations_by_name: BTreeMap<String, Vec<u32>>,
    pub(super) columns: BTreeMap<u32, Vec<u32>>,
    /// The columns of each relation by number; those that were dropped are not among them.
    pub(super) column_names: BTreeMap<u32, BTreeMap<i16, ColumnRow>>,
    /// What generated columns are computed by, by relation and number.
    pub(super) generated: BTreeMap<(u32, i16), String>,
    /// The columns that are masked for whoever may not see them.
    pub(super) bound: Option<Bound>,
    pub(super) reaches: BTreeMap<u32, Reaches>,
    pub(super) children: BTreeMap<u32, Vec<u32>>,
    pub(super) parents: BTreeMap<u32, Vec<u32>>,
    pub(super) cascades: BTreeMap<u32, Vec<Cascade>>,
    /// The tables that a table's foreign keys refer to, which a write looks up.
    pub(super) references: BTreeMap<u32, Vec<u32>>,
    pub(super) views: BTreeMap<u32, String>,
    /// What the definitions of views and the checks of domains say, by their text.
    pub(super) readings: BTreeMap<String, Reading>,
    /// Why a user's type may not be met in a proof, for those that may not.
    pub(super) blocked_types: BTreeMap<u32, String>,
    pub(super) standings: BTreeMap<u32, Standing>,
    /// The columns that views reach.
    pub(super) view_reach: BTreeMap<u32, ViewReach>,
}

/// What a definition says, or why it does not only read.
pub(super) type Reading = Arc<Result<Definition, String>>;

/// What the definition of a view, or the check of a domain, says.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) mentions: Mentions,
    pub(super) uses: Uses,
}

/// A function that a user made.
#[derive(Debug)]
pub(super) struct UserFunction {
    pub(super) schema: String,
    pub(super) arguments: Vec<u32>,
    pub(super) required: usize,
    pub(super) variadic: bool,
    pub(super) volatility: Volatility,
    /// Whether it runs with the rights of its owner.
    pub(super) definer: bool,
}

/// How volatile a function says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Volatility {
    Immutable,
    Stable,
    Volatile,
}

/// A column of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnRow {
    pub(super) name: String,
    pub(super) type_oid: u32,
}

/// An operator that a user made; 0 is an operand that is absent.
#[derive(Debug)]
pub(super) struct UserOperator {
    pub(super) schema: String,
    pub(super) left: u32,
    pub(super) right: u32,
}

/// A cast that a user made.
#[derive(Debug)]
pub(super) struct UserCast {
    pub(super) source: u32,
    pub(super) target: u32,
    pub(super) implicit: bool,
    /// Whether it runs a function (or input and output functions) rather than relabel the value.
    pub(super) runs: bool,
}

/// A type.
#[derive(Debug)]
pub(super) struct TypeRow {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) class: char,
    pub(super) inner: u32,
    pub(super) relation: u32,
    pub(super) array: bool,
}

impl TypeRow {
    fn qualified(&self) -> String {
        if self.schema == "pg_catalog" { self.name.clone() } else { format!("{}.{}", self.schema, self.name) }
    }
}

/// A relation.
#[derive(Debug)]
pub(super) struct RelationRow {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) kind: RelationKind,
    pub(super) row_type: u32,
    pub(super) policies: bool,
    pub(super) rules: bool,
    pub(super) triggers: bool,
    pub(super) foreign_method: bool,
}

/// Code of users that a relation leads to, an example for each phase.
#[derive(Debug, Default)]
pub(super) struct Reaches {
    pub(super) reading: Option<String>,
    pub(super) writing: Option<String>,
    /// Of a domain: what its checks run. OIDs of types and relations are not told apart, which only adds doubt.
    pub(super) checking: Option<String>,
}

/// A foreign key seen from the table it refers to.
#[derive(Debug)]
pub(super) struct Cascade {
    pub(super) to: u32,
    pub(super) on_delete: bool,
    pub(super) on_update: bool,
}

/// Why a catalogue could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// A row does not look like its query.
    #[error("a row of `{section:?}` is not understood: {what}")]
    Row {
        /// Its section.
        section: Section,
        /// What is wrong.
        what: String,
    },
    /// A section that every database fills brought nothing.
    #[error("`{section:?}` brought no rows, so the catalogue is not complete")]
    Missing {
        /// The section.
        section: Section,
    },
    /// The database is larger than is kept.
    #[error("the catalogue has more than {CATALOGUE_ROWS_MAX} rows")]
    TooLarge,
}

impl Catalogue {
    /// The server's version as it was loaded.
    pub fn server_version_num(&self) -> u32 {
        self.server_version_num
    }

    /// The answer of the probe that the catalogue was loaded under; part of what a judgement depends on.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What a type is called, and the built-in type that its values are written like: a domain's like those of what it
    /// restricts, an enum's like text, an array's like an array of such. 0 for a type whose values are like none.
    pub fn named_type(&self, oid: u32) -> Option<(String, u32)> {
        let row = self.types.get(&oid)?;
        if row.array {
            let element = self.types.get(&row.inner)?;
            let like = if oid < FIRST_USER_OID { oid } else { array_of(self.like(row.inner)) };
            return Some((format!("{}[]", element.qualified()), like));
        }
        Some((row.qualified(), self.like(oid)))
    }

    /// The built-in type that values of a type that is no array are written like, or 0.
    fn like(&self, oid: u32) -> u32 {
        let (mut like, mut next) = (oid, self.types.get(&oid));
        for _ in 0..DOMAINS_MAX {
            let Some(domain) = next.filter(|row| row.class == 'd') else { break };
            like = domain.inner;
            next = self.types.get(&like);
        }
        match next {
            Some(row) if row.class == 'e' => TEXT_OID,
            _ if like < FIRST_USER_OID => like,
            _ => 0,
        }
    }

    /// The relations that a user made and that are provably nothing but data when read, and all of them; for
    /// operators who wonder why reads are calls.
    pub fn provable_relations(&self) -> (usize, usize) {
        let own = self.relations.range(FIRST_USER_OID..).count();
        let provable = self.standings.range(FIRST_USER_OID..).filter(|(_, s)| s.blocked.is_none()).count();
        (provable, own)
    }
}

impl Catalogue {
    pub(super) fn empty(version: &str) -> Catalogue {
        Catalogue {
            server_version_num: 0,
            version: version.to_owned(),
            builtin_functions: BTreeMap::new(),
            information_functions: BTreeMap::new(),
            builtin_operators: BTreeMap::new(),
            unreviewed: BTreeSet::new(),
            builtin_volatility: BTreeMap::new(),
            functions: BTreeMap::new(),
            operators: BTreeMap::new(),
            casts: Vec::new(),
            hazards: Vec::new(),
            event_triggers: Vec::new(),
            references: BTreeMap::new(),
            types: BTreeMap::new(),
            types_by_name: BTreeMap::new(),
            domain_checks: BTreeMap::new(),
            relations: BTreeMap::new(),
            relations_by_name: BTreeMap::new(),
            columns: BTreeMap::new(),
            column_names: BTreeMap::new(),
            generated: BTreeMap::new(),
            bound: None,
            reaches: BTreeMap::new(),
            children: BTreeMap::new(),
            parents: BTreeMap::new(),
            cascades: BTreeMap::new(),
            views: BTreeMap::new(),
            readings: BTreeMap::new(),
            blocked_types: BTreeMap::new(),
            standings: BTreeMap::new(),
            view_reach: BTreeMap::new(),
        }
    }
}
