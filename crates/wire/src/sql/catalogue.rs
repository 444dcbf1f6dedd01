//! A snapshot of a database's own objects, as far as judgements need them.
//!
//! The caller runs the queries of [`super::Section`] on a connection of its own and feeds the rows in; this module
//! keeps them ordered by what they are looked up by, and works out once, when loading ends, which relations and
//! types lead to code of users ([`Standing`]). A catalogue is only as true as its moment: the caller asks
//! [`super::CATALOGUE_PROBE`] whether it still holds.
//!
//! Loading parses the definitions of views and the checks of domains, so [`CatalogueLoader::finish`] needs the
//! same stack as [`super::parse()`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::access::Mentions;
use super::facts::RelationKind;
use super::queries::Section;
use super::reviewed::{self, Builtin};
use super::standing::{self, Standing};

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
    version: String,
    /// Built-in functions of `pg_catalog` by name: whether every one of that name is reviewed.
    pub(super) builtin_functions: BTreeMap<String, bool>,
    /// The same for `information_schema`.
    pub(super) information_functions: BTreeMap<String, bool>,
    /// Built-in functions that are not reviewed.
    unreviewed: BTreeSet<u32>,
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
    pub(super) reaches: BTreeMap<u32, Reaches>,
    pub(super) children: BTreeMap<u32, Vec<u32>>,
    pub(super) cascades: BTreeMap<u32, Vec<Cascade>>,
    /// The tables that a table's foreign keys refer to, which a write looks up.
    pub(super) references: BTreeMap<u32, Vec<u32>>,
    pub(super) views: BTreeMap<u32, String>,
    /// What the definitions of views and the checks of domains say, by their text.
    pub(super) readings: BTreeMap<String, Reading>,
    /// Why a user's type may not be met in a proof, for those that may not.
    pub(super) blocked_types: BTreeMap<u32, String>,
    pub(super) standings: BTreeMap<u32, Standing>,
}

/// What a definition mentions, or why it does not only read.
pub(super) type Reading = Arc<Result<Mentions, String>>;

/// A function that a user made.
#[derive(Debug)]
pub(super) struct UserFunction {
    pub(super) schema: String,
    pub(super) arguments: Vec<u32>,
    pub(super) required: usize,
    pub(super) variadic: bool,
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
    /// restricts, an enum's like text. 0 for a type whose values are like none.
    pub fn named_type(&self, oid: u32) -> Option<(String, u32)> {
        let row = self.types.get(&oid)?;
        if row.array {
            let element = self.types.get(&row.inner)?;
            return Some((format!("{}[]", element.qualified()), if oid < FIRST_USER_OID { oid } else { 0 }));
        }
        let (mut like, mut next) = (oid, Some(row));
        for _ in 0..DOMAINS_MAX {
            let Some(domain) = next.filter(|row| row.class == 'd') else { break };
            like = domain.inner;
            next = self.types.get(&like);
        }
        let like = match next {
            Some(row) if row.class == 'e' => TEXT_OID,
            _ if like < FIRST_USER_OID => like,
            _ => 0,
        };
        Some((row.qualified(), like))
    }

    /// The relations that a user made and that are provably nothing but data when read, and all of them; for
    /// operators who wonder why reads are calls.
    pub fn provable_relations(&self) -> (usize, usize) {
        let own = self.relations.range(FIRST_USER_OID..).count();
        let provable = self.standings.range(FIRST_USER_OID..).filter(|(_, s)| s.blocked.is_none()).count();
        (provable, own)
    }
}

/// Collects the rows of a catalogue.
#[derive(Debug)]
pub struct CatalogueLoader {
    catalogue: Catalogue,
    rows: usize,
    seen: BTreeSet<Section>,
    /// Definitions that an earlier catalogue has read already.
    known: BTreeMap<String, Reading>,
}

impl CatalogueLoader {
    /// Starts a catalogue whose probe answered `version` before the first section was asked.
    pub fn new(version: &str) -> CatalogueLoader {
        CatalogueLoader {
            catalogue: Catalogue::empty(version),
            rows: 0,
            seen: BTreeSet::new(),
            known: BTreeMap::new(),
        }
    }

    /// Starts one that succeeds another: what that one has parsed is not parsed again. The text of a definition is
    /// all that its reading depends on, so the earlier catalogue may be of any age and database.
    pub fn after(version: &str, earlier: &Catalogue) -> CatalogueLoader {
        CatalogueLoader { known: earlier.readings.clone(), ..CatalogueLoader::new(version) }
    }

    /// Takes one row of a section, its columns as text.
    ///
    /// # Errors
    ///
    /// A row that does not look like its query, or more rows than are kept. The catalogue is then of no use.
    pub fn row(&mut self, section: Section, columns: &[Option<&str>]) -> Result<(), CatalogueError> {
        self.rows += 1;
        if self.rows > CATALOGUE_ROWS_MAX {
            return Err(CatalogueError::TooLarge);
        }
        if columns.len() != section.columns() {
            let what = format!("{} columns", columns.len());
            return Err(CatalogueError::Row { section, what });
        }
        self.seen.insert(section);
        let row = Row { section, columns };
        match section {
            Section::Version => self.catalogue.server_version_num = row.number(0)?,
            Section::BuiltinFunctions => self.builtin_function(&row)?,
            Section::BuiltinOperators => self.builtin_operator(&row)?,
            Section::Functions => self.function(&row)?,
            Section::Operators => self.operator(&row)?,
            Section::Casts => self.cast(&row)?,
            Section::Hazards => self.catalogue.hazards.push(row.text(0)?.to_owned()),
            Section::EventTriggers => self.catalogue.event_triggers.push(row.text(0)?.to_owned()),
            Section::Types => self.type_row(&row)?,
            Section::DomainChecks => {
                let check = row.text(1)?.to_owned();
                self.catalogue.domain_checks.entry(row.number(0)?).or_default().push(check);
            }
            Section::Relations => self.relation(&row)?,
            Section::Columns => {
                self.catalogue.columns.insert(row.number(0)?, row.numbers(1)?);
            }
            Section::Reaches => self.reach(&row)?,
            Section::Inherits => {
                let child = row.number(0)?;
                self.catalogue.children.entry(row.number(1)?).or_default().push(child);
            }
            Section::Cascades => self.cascade(&row)?,
            Section::Views => {
                self.catalogue.views.insert(row.number(0)?, row.text(1)?.to_owned());
            }
        }
        Ok(())
    }

    /// Ends loading and works out what each relation and type leads to. Needs [`super::STACK_BYTES`] of stack.
    ///
    /// # Errors
    ///
    /// When a section that no database leaves empty brought nothing.
    pub fn finish(mut self) -> Result<Catalogue, CatalogueError> {
        let always = [
            Section::Version,
            Section::BuiltinFunctions,
            Section::BuiltinOperators,
            Section::Types,
            Section::Relations,
            Section::Views,
        ];
        for section in always {
            if !self.seen.contains(&section) {
                return Err(CatalogueError::Missing { section });
            }
        }
        standing::read_definitions(&mut self.catalogue, &self.known);
        standing::work_out(&mut self.catalogue);
        Ok(self.catalogue)
    }

    fn builtin_function(&mut self, row: &Row<'_>) -> Result<(), CatalogueError> {
        let live = Builtin {
            oid: row.number(0)?,
            schema: row.text(1)?,
            name: row.text(2)?,
            language: row.text(3)?,
            source: row.text(4).unwrap_or_default(),
        };
        // The version is the first section; before it nothing counts.
        let major = self.catalogue.server_version_num / 10_000;
        let reviewed = reviewed::list().has(major, &live);
        let names = match live.schema {
            "information_schema" => &mut self.catalogue.information_functions,
            _ => &mut self.catalogue.builtin_functions,
        };
        *names.entry(live.name.to_owned()).or_insert(true) &= reviewed;
        if !reviewed {
            self.catalogue.unreviewed.insert(live.oid);
        }
        Ok(())
    }

    fn builtin_operator(&mut self, row: &Row<'_>) -> Result<(), CatalogueError> {
        // An operator is what its function is; the functions came first.
        let reviewed = self.seen.contains(&Section::BuiltinFunctions)
            && !self.catalogue.unreviewed.contains(&row.number(1)?);
        *self.catalogue.builtin_operators.entry(row.text(0)?.to_owned()).or_insert(true) &= reviewed;
        Ok(())
    }

    fn function(&mut self, row: &Row<'_>) -> Result<(), CatalogueError> {
        let function = UserFunction {
            schema: row.text(0)?.to_owned(),
            arguments: row.numbers(2)?,
            required: usize::try_from(row.number(3)?).unwrap_or(0),
            variadic: row.flag(4)?,
        };
        self.catalogue.functions.entry(row.text(1)?.to_owned()).or_default().push(function);
        Ok(())
    }

    fn operator(&mut self, row: &Row<'_>) -> Result<(), CatalogueError> {
        let operator =
            UserOperator { schema: row.text(0)?.to_owned(), left: row.number(2)?, right: row.number(3)? };
        self.catalogue.operators.entry(row.text(1)?.to_owned()).or_default().push(operator);
        Ok(())
    }

    fn cast(&mut self, row: &Row<'_>) -> Result<(), CatalogueError> {
        self.catalogue.casts.push(UserCast {
            source: row.number(0)?,
            target: row.number(1)?,
            implicit: row.text(2)? == "i",
            runs: row.text(3)? != "b",
        });
        Ok(())
    }

    fn type_row(&mut self, row: &Row<'_>) -> Result<(), CatalogueError> {
        let oid = row.number(0)?;
        let name = row.text(2)?.to_owned();
        self.catalogue.types_by_name.entry(name.clone()).or_default().push(oid);
        let class = row.text(3)?.chars().next().unwrap_or('?');
        let schema = row.text(1)?.to_owned();
        let (inner, relation, array) = (row.number(4)?, row.number(5)?, row.flag(7)?);
        self.catalogue.types.insert(oid, TypeRow { schema, name, class, inner, relation, array });
        Ok(())
    }

    fn relation(&mut self, row: &Row<'_>) -> Result<(), CatalogueError> {
        let oid = row.number(0)?;
        let name = row.text(2)?.to_owned();
        self.catalogue.relations_by_name.entry(name.clone()).or_default().push(oid);
        let relation = RelationRow {
            schema: row.text(1)?.to_owned(),
            name,
            kind: match row.text(3)? {
                "r" => RelationKind::Table,
                "p" => RelationKind::PartitionedTable,
                "v" => RelationKind::View,
                "m" => RelationKind::MaterialisedView,
                "f" => RelationKind::ForeignTable,
                "S" => RelationKind::Sequence,
                _ => RelationKind::Other,
            },
            row_type: row.number(4)?,
            policies: row.flag(5)?,
            rules: row.flag(6)?,
            triggers: row.flag(7)?,
            foreign_method: row.flag(8)?,
        };
        self.catalogue.relations.insert(oid, relation);
        Ok(())
    }

    fn reach(&mut self, row: &Row<'_>) -> Result<(), CatalogueError> {
        let label = row.text(2)?.to_owned();
        let reaches = self.catalogue.reaches.entry(row.number(0)?).or_default();
        match row.text(1)? {
            "r" => reaches.reading = Some(label),
            "t" => reaches.checking = Some(label),
            _ => reaches.writing = Some(label),
        }
        Ok(())
    }

    fn cascade(&mut self, row: &Row<'_>) -> Result<(), CatalogueError> {
        // c: cascade, n: set null, d: set default; all of them write the referencing table.
        let writes = |action: &str| matches!(action, "c" | "n" | "d");
        let cascade =
            Cascade { to: row.number(1)?, on_delete: writes(row.text(2)?), on_update: writes(row.text(3)?) };
        let referenced = row.number(0)?;
        self.catalogue.references.entry(cascade.to).or_default().push(referenced);
        self.catalogue.cascades.entry(referenced).or_default().push(cascade);
        Ok(())
    }
}

/// One row on its way in.
struct Row<'a> {
    section: Section,
    columns: &'a [Option<&'a str>],
}

impl<'a> Row<'a> {
    fn text(&self, at: usize) -> Result<&'a str, CatalogueError> {
        self.columns.get(at).copied().flatten().ok_or_else(|| self.wrong(at, "is missing"))
    }

    fn number(&self, at: usize) -> Result<u32, CatalogueError> {
        self.text(at)?.parse().map_err(|_| self.wrong(at, "is no number"))
    }

    fn numbers(&self, at: usize) -> Result<Vec<u32>, CatalogueError> {
        let text = self.columns.get(at).copied().flatten().unwrap_or_default();
        text.split(',')
            .filter(|part| !part.is_empty())
            .map(|part| part.parse().map_err(|_| self.wrong(at, "is no list of numbers")))
            .collect()
    }

    fn flag(&self, at: usize) -> Result<bool, CatalogueError> {
        match self.text(at)? {
            "true" | "t" => Ok(true),
            "false" | "f" => Ok(false),
            _ => Err(self.wrong(at, "is no truth value")),
        }
    }

    fn wrong(&self, at: usize, what: &str) -> CatalogueError {
        CatalogueError::Row { section: self.section, what: format!("column {} {what}", at + 1) }
    }
}

impl Catalogue {
    fn empty(version: &str) -> Catalogue {
        Catalogue {
            server_version_num: 0,
            version: version.to_owned(),
            builtin_functions: BTreeMap::new(),
            information_functions: BTreeMap::new(),
            builtin_operators: BTreeMap::new(),
            unreviewed: BTreeSet::new(),
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
            reaches: BTreeMap::new(),
            children: BTreeMap::new(),
            cascades: BTreeMap::new(),
            views: BTreeMap::new(),
            readings: BTreeMap::new(),
            blocked_types: BTreeMap::new(),
            standings: BTreeMap::new(),
        }
    }
}
