//! Loading a catalogue: the rows of its sections, checked one by one.
//!
//! The caller runs the queries of [`super::Section`] on a connection of its own and feeds the rows in; when loading
//! ends it is worked out once which relations and types lead to code of users ([`standing`]) and which columns each view
//! reaches. That parses the definitions of views and the checks of domains, so [`CatalogueLoader::finish`] needs the
//! same stack as [`super::parse()`].

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue::{
    CATALOGUE_ROWS_MAX, Cascade, Catalogue, CatalogueError, ColumnRow, Reading, RelationRow, TypeRow,
    UserCast, UserFunction, UserOperator, Volatility,
};
use super::facts::RelationKind;
use super::lineage::{self, Protection};
use super::queries::Section;
use super::reached;
use super::reviewed::{self, Builtin};
use super::standing;

/// Collects the rows of a catalogue.
#[derive(Debug)]
pub struct CatalogueLoader {
    catalogue: Catalogue,
    rows: usize,
    seen: BTreeSet<Section>,
    /// Definitions that an earlier catalogue has read already.
    known: BTreeMap<String, Reading>,
    protections: Option<Vec<Protection>>,
}

impl CatalogueLoader {
    /// Starts a catalogue whose probe answered `version` before the first section was asked.
    pub fn new(version: &str) -> CatalogueLoader {
        CatalogueLoader {
            catalogue: Catalogue::empty(version),
            rows: 0,
            seen: BTreeSet::new(),
            known: BTreeMap::new(),
            protections: None,
        }
    }

    /// Starts one that succeeds another: what that one has parsed is not parsed again. The text of a definition is
    /// all that its reading depends on, so the earlier catalogue may be of any age and database.
    pub fn after(version: &str, earlier: &Catalogue) -> CatalogueLoader {
        CatalogueLoader { known: earlier.readings.clone(), ..CatalogueLoader::new(version) }
    }

    /// The columns that are masked. Which columns of the database they are is worked out when loading ends.
    #[must_use]
    pub fn protecting(self, protections: Vec<Protection>) -> CatalogueLoader {
        CatalogueLoader { protections: Some(protections), ..self }
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
            Section::ColumnNames => self.column(&row)?,
            Section::Generated => {
                let number = row.text(1)?.parse().map_err(|_| row.wrong(1, "is no number"))?;
                self.catalogue.generated.insert((row.number(0)?, number), row.text(2)?.to_owned());
            }
            Section::Reaches => self.reach(&row)?,
            Section::Inherits => {
                let child = row.number(0)?;
                let parent = row.number(1)?;
                self.catalogue.children.entry(parent).or_default().push(child);
                self.catalogue.parents.entry(child).or_default().push(parent);
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
            Section::ColumnNames,
            Section::Views,
        ];
        for section in always {
            if !self.seen.contains(&section) {
                return Err(CatalogueError::Missing { section });
            }
        }
        standing::read_definitions(&mut self.catalogue, &self.known);
        standing::work_out(&mut self.catalogue);
        if let Some(protections) = &self.protections {
            self.catalogue.bound = Some(lineage::bind(&self.catalogue, protections));
        }
        reached::work_out_views(&mut self.catalogue);
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
        let volatility = row.volatility(5)?;
        let known = self.catalogue.builtin_volatility.entry(format!("{}.{}", live.schema, live.name));
        let known = known.or_insert(volatility);
        *known = volatility.max(*known);
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
            volatility: row.volatility(5)?,
            definer: row.flag(6)?,
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

    fn column(&mut self, row: &Row<'_>) -> Result<(), CatalogueError> {
        let number = row.text(1)?.parse().map_err(|_| row.wrong(1, "is no number"))?;
        let column = ColumnRow { name: row.text(2)?.to_owned(), type_oid: row.number(3)? };
        self.catalogue.column_names.entry(row.number(0)?).or_default().insert(number, column);
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

    fn volatility(&self, at: usize) -> Result<Volatility, CatalogueError> {
        match self.text(at)? {
            "i" => Ok(Volatility::Immutable),
            "s" => Ok(Volatility::Stable),
            "v" => Ok(Volatility::Volatile),
            _ => Err(self.wrong(at, "is no volatility")),
        }
    }

    fn wrong(&self, at: usize, what: &str) -> CatalogueError {
        CatalogueError::Row { section: self.section, what: format!("column {} {what}", at + 1) }
    }
}
