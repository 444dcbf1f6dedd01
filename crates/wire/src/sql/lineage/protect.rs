//! Which columns of a database are protected: those that a bundle names, and what holds copies of them.
//!
//! A protected column protects the same column of its table's partitions, children and parents, generated columns that
//! are computed from it, what views and materialised views show of it, and the server's own statistics. A protection that
//! names no column of its relation protects the whole relation: somebody has renamed something.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_core::catalogue::MaskStyle;

use super::scope::{Column, Rows};
use super::{Columns, Guarded, Lost, Origin, Protection, queries};
use crate::sql::TEXT_BYTES_MAX;
use crate::sql::catalogue::{Catalogue, ColumnRow, FIRST_USER_OID};
use crate::sql::tree::{Tree, Value, names_of, tree_of};

/// How deep views may stand on views.
const VIEW_DEPTH_MAX: u32 = 32;

/// The server's own relations that hold values of columns, by columns whose names contain one of these.
const STATISTICS: &[&str] = &[
    "pg_statistic",
    "pg_statistic_ext",
    "pg_statistic_ext_data",
    "pg_stats",
    "pg_stats_ext",
    "pg_stats_ext_exprs",
];
const STATISTICAL: &[&str] = &["bounds", "elem", "expr", "freqs", "mcv", "stavalues", "vals"];

/// The protected columns of one database.
#[derive(Debug)]
pub(in crate::sql) struct Bound {
    pub(super) columns: Arc<[Guarded]>,
    /// All of them.
    pub(super) all: Columns,
    /// What the columns of relations are made of, for those where any is not clean.
    tainted: BTreeMap<u32, BTreeMap<i16, Origin>>,
    /// Protections of relations that are not there.
    unbound: Vec<String>,
}

impl Bound {
    /// The protected columns that a relation has.
    pub(super) fn of_relation(&self, oid: u32) -> Columns {
        let origins = self.tainted.get(&oid).into_iter().flat_map(BTreeMap::values);
        origins.filter_map(Origin::columns).flatten().copied().collect()
    }

    /// What a column of a relation is made of.
    pub(in crate::sql) fn of_column(&self, relation: u32, number: i16) -> Origin {
        self.tainted.get(&relation).and_then(|origins| origins.get(&number)).cloned().unwrap_or_default()
    }

    /// The rows of a relation. Generated columns are left out for COPY.
    pub(super) fn rows(&self, catalogue: &Catalogue, oid: u32, generated: bool) -> Rows {
        let Some(columns) = catalogue.column_names.get(&oid) else {
            return Rows::unknown(Origin::of(self.of_relation(oid)));
        };
        let wanted = columns.iter().filter(|(number, _)| generated || !catalogue.is_generated(oid, **number));
        let column = |(number, one): (&i16, &ColumnRow)| Column {
            name: one.name.clone(),
            origin: self.of_column(oid, *number),
        };
        Rows::known(wanted.map(column).collect())
    }
}

/// Finds the protected columns of a database. Parses definitions of views, so it needs the same stack as parsing.
pub(in crate::sql) fn bind(catalogue: &Catalogue, protections: &[Protection]) -> Bound {
    let mut binding =
        Binding { catalogue, columns: Vec::new(), tainted: BTreeMap::new(), unbound: Vec::new() };
    for protection in protections {
        binding.protection(protection);
    }
    binding.family();
    binding.statistics(protections);
    binding.generated();
    let Binding { columns, tainted, unbound, .. } = binding;
    let all = (0..columns.len()).collect();
    let mut bound = Bound { columns: columns.into(), all, tainted, unbound };
    views(catalogue, &mut bound);
    bound
}

struct Binding<'a> {
    catalogue: &'a Catalogue,
    columns: Vec<Guarded>,
    tainted: BTreeMap<u32, BTreeMap<i16, Origin>>,
    unbound: Vec<String>,
}

impl<'a> Binding<'a> {
    fn columns_of(&self, oid: u32) -> impl Iterator<Item = (i16, &'a ColumnRow)> + use<'a> {
        let catalogue = self.catalogue;
        catalogue.column_names.get(&oid).into_iter().flatten().map(|(number, column)| (*number, column))
    }

    fn protection(&mut self, protection: &Protection) {
        let Protection { schema, relation, column, labels, style } = protection;
        let name = format!("{schema}.{relation}.{column}");
        let place = self.columns.len();
        let mut guarded = Guarded { name, labels: labels.clone(), style: *style, like: 0 };
        match self.catalogue.relation(schema, relation) {
            None => self.unbound.push(guarded.name.clone()),
            Some(oid) => match self.columns_of(oid).find(|(_, one)| one.name == *column) {
                Some((number, one)) => {
                    guarded.like = self.catalogue.named_type(one.type_oid).map_or(0, |(_, like)| like);
                    self.taint(oid, number, Origin::Is(Columns::from([place])));
                }
                None => {
                    // The names of the bundle are not those of the database: nobody knows which one is meant.
                    for (number, _) in self.columns_of(oid) {
                        self.taint(oid, number, Origin::From(Columns::from([place])));
                    }
                }
            },
        }
        self.columns.push(guarded);
    }

    /// Whether it is more than was known.
    fn taint(&mut self, oid: u32, number: i16, origin: Origin) -> bool {
        if origin.is_clean() {
            return false;
        }
        let slot = self.tainted.entry(oid).or_default().entry(number).or_default();
        let before = slot.clone();
        *slot = before.clone().or(origin);
        *slot != before
    }

    /// Partitions and children hold rows of their parents, and the other way round.
    fn family(&mut self) {
        let mut waiting: Vec<u32> = self.tainted.keys().copied().collect();
        while let Some(oid) = waiting.pop() {
            let children = self.catalogue.children.get(&oid).into_iter().flatten().copied();
            let parents = self.catalogue.children.iter().filter(|(_, children)| children.contains(&oid));
            let relatives: Vec<u32> = children.chain(parents.map(|(parent, _)| *parent)).collect();
            for relative in relatives {
                if self.hand_on(oid, relative) {
                    waiting.push(relative);
                }
            }
        }
    }

    fn hand_on(&mut self, from: u32, to: u32) -> bool {
        let mut changed = false;
        for (number, one) in self.columns_of(from) {
            let origin = self.tainted.get(&from).and_then(|origins| origins.get(&number)).cloned();
            let there = self.columns_of(to).find(|(_, other)| other.name == one.name);
            if let (Some(origin), Some((there, _))) = (origin, there) {
                changed |= self.taint(to, there, origin);
            }
        }
        changed
    }

    /// The server's statistics hold values of any column.
    fn statistics(&mut self, protections: &[Protection]) {
        if protections.is_empty() {
            return;
        }
        let labels: BTreeSet<String> =
            protections.iter().flat_map(|one| one.labels.iter().cloned()).collect();
        for name in STATISTICS {
            let Some(oid) = self.catalogue.relation("pg_catalog", name) else { continue };
            for (number, column) in self.columns_of(oid) {
                if !STATISTICAL.iter().any(|part| column.name.contains(part)) {
                    continue;
                }
                let place = self.columns.len();
                let name = format!("pg_catalog.{name}.{}", column.name);
                self.columns.push(Guarded { name, labels: labels.clone(), style: MaskStyle::Full, like: 0 });
                self.taint(oid, number, Origin::From(Columns::from([place])));
            }
        }
    }

    /// A generated column is computed from those that its expression names.
    fn generated(&mut self) {
        let found: Vec<(u32, i16, Origin)> = self
            .catalogue
            .generated
            .iter()
            .filter_map(|((oid, number), expression)| {
                let origins = self.tainted.get(oid)?;
                let named = parsed(&format!("SELECT {expression}")).map(|tree| column_names(&tree));
                let sources = self.columns_of(*oid).filter(|(_, one)| match &named {
                    Ok(named) => named.contains(&one.name),
                    Err(_) => true,
                });
                let origins = sources.filter_map(|(number, _)| origins.get(&number));
                Some((*oid, *number, origins.fold(Origin::Clean, |all, one| all.and(one.clone()))))
            })
            .collect();
        for (oid, number, origin) in found {
            self.taint(oid, number, origin);
        }
    }
}

/// The last names of all columns that an expression mentions.
fn column_names(tree: &Tree) -> BTreeSet<String> {
    fn within(value: &Value, names: &mut BTreeSet<String>) {
        match value {
            Value::Node(tree) => {
                if tree.name == "ColumnRef" {
                    names.extend(names_of(tree.list("fields")).last().map(|name| (*name).to_owned()));
                }
                tree.fields.iter().for_each(|(_, value)| within(value, names));
            }
            Value::List(values) => values.iter().for_each(|value| within(value, names)),
            Value::Nothing | Value::Bool(_) | Value::Int(_) | Value::Text(_) => {}
        }
    }
    let mut names = BTreeSet::new();
    tree.fields.iter().for_each(|(_, value)| within(value, &mut names));
    names
}

/// One statement as a tree.
pub(super) fn parsed(text: &str) -> Result<Tree, Lost> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Lost("a definition is longer than is looked at".to_owned()));
    }
    let parsed =
        pg_query::parse(text, 0).map_err(|error| Lost(format!("a definition does not parse: {error}")))?;
    let node = parsed.protobuf.stmts.first().and_then(|statement| statement.stmt.as_ref());
    let node = node.ok_or_else(|| Lost("a definition is empty".to_owned()))?;
    tree_of(node.as_ref()).map_err(|error| Lost(error.to_string()))
}

/// What views show of protected columns. Those of the server's own show nothing but what is listed above.
fn views(catalogue: &Catalogue, bound: &mut Bound) {
    let own: Vec<u32> = catalogue.views.range(FIRST_USER_OID..).map(|(oid, _)| *oid).collect();
    let mut done = BTreeSet::new();
    for oid in own {
        view(catalogue, bound, oid, &mut done, 0);
    }
}

fn view(catalogue: &Catalogue, bound: &mut Bound, oid: u32, done: &mut BTreeSet<u32>, depth: u32) {
    if !done.insert(oid) {
        return;
    }
    let traced = match catalogue.views.get(&oid).map(|text| parsed(text)) {
        Some(Ok(tree)) if depth <= VIEW_DEPTH_MAX => {
            for inner in catalogue.relations_within(&tree) {
                view(catalogue, bound, inner, done, depth + 1);
            }
            queries::of_definition(catalogue, bound, &tree)
        }
        _ => Err(Lost("a view stands on too many others, or can't be read".to_owned())),
    };
    let numbers: Vec<i16> =
        catalogue.column_names.get(&oid).into_iter().flat_map(BTreeMap::keys).copied().collect();
    let origins = match traced {
        Ok(rows) if rows.open.is_none() && rows.columns.len() == numbers.len() => {
            rows.columns.into_iter().map(|column| column.origin).collect()
        }
        Ok(rows) => vec![rows.whole(); numbers.len()],
        Err(Lost(_)) => vec![Origin::of(bound.all.clone()); numbers.len()],
    };
    for (number, origin) in numbers.into_iter().zip(origins).filter(|(_, origin)| !origin.is_clean()) {
        let slot = bound.tainted.entry(oid).or_default().entry(number).or_default();
        *slot = std::mem::take(slot).or(origin);
    }
}

impl Catalogue {
    /// What a column is made of that the server names in the description of a result. Nothing: there is no such relation
    /// here, so nobody knows.
    #[must_use]
    pub fn origin_of(&self, relation: u32, number: i16) -> Option<Origin> {
        let bound = self.bound.as_ref()?;
        self.relations.contains_key(&relation).then(|| bound.of_column(relation, number))
    }

    /// Whether these are its protected columns, so that their numbers mean the same.
    #[must_use]
    pub fn guards(&self, columns: &Arc<[Guarded]>) -> bool {
        self.bound
            .as_ref()
            .is_some_and(|bound| Arc::ptr_eq(&bound.columns, columns) || bound.columns == *columns)
    }

    /// Columns that are to be masked, of relations that are not there.
    #[must_use]
    pub fn unprotected(&self) -> &[String] {
        self.bound.as_ref().map_or(&[], |bound| &bound.unbound)
    }

    fn is_generated(&self, oid: u32, number: i16) -> bool {
        self.generated.contains_key(&(oid, number))
    }

    /// The views that a definition names, each with its schema as the server writes them.
    fn relations_within(&self, tree: &Tree) -> Vec<u32> {
        fn within(catalogue: &Catalogue, value: &Value, found: &mut Vec<u32>) {
            match value {
                Value::Node(tree) => {
                    if tree.name == "RangeVar" {
                        let schema = tree.text("schemaname");
                        let schema = if schema.is_empty() { "pg_catalog" } else { schema };
                        found.extend(catalogue.relation(schema, tree.text("relname")));
                    }
                    tree.fields.iter().for_each(|(_, value)| within(catalogue, value, found));
                }
                Value::List(values) => values.iter().for_each(|value| within(catalogue, value, found)),
                Value::Nothing | Value::Bool(_) | Value::Int(_) | Value::Text(_) => {}
            }
        }
        let mut found = Vec::new();
        tree.fields.iter().for_each(|(_, value)| within(self, value, &mut found));
        found.retain(|oid| *oid >= FIRST_USER_OID && self.views.contains_key(oid));
        found
    }
}
