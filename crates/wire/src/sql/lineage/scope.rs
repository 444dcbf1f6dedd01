//! Names in sight: what FROM brings in, level by level, and what a column or a row of it is made of.

use super::{Lost, Origin};

/// A column in sight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) origin: Origin,
}

/// The columns of something that gives rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) columns: Vec<Column>,
    /// There may be more columns than are known, each of this origin.
    pub(super) open: Option<Origin>,
}

/// Something in FROM.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Its alias, or the relation's own name. Nothing for what can't be named.
    pub(super) name: Option<String>,
    /// The schema, where a relation stands without an alias.
    pub(super) schema: Option<String>,
    pub(super) rows: Rows,
}

/// What a FROM clause brings in.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    /// What a name in front of a dot may mean.
    pub(super) items: Vec<Item>,
    /// What `*` gives, and what names without a dot mean.
    pub(super) star: Rows,
}

/// Columns that every table has and that no `*` gives.
const SYSTEM: &[&str] = &["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

impl Rows {
    pub(super) fn known(columns: Vec<Column>) -> Rows {
        Rows { columns, open: None }
    }

    /// Rows of which nothing is known but what any column may be made of.
    pub(super) fn unknown(origin: Origin) -> Rows {
        Rows { columns: Vec::new(), open: Some(origin) }
    }

    pub(super) fn extend(&mut self, other: &Rows) {
        self.columns.extend(other.columns.iter().cloned());
        if let Some(origin) = other.open.clone() {
            self.open = Some(self.open.take().unwrap_or_default().or(origin));
        }
    }

    /// A whole row as one value.
    pub(super) fn whole(&self) -> Origin {
        let columns = self.columns.iter().map(|column| &column.origin).chain(&self.open);
        columns.fold(Origin::Clean, |all, one| all.and(one.clone()))
    }

    /// A column by its name. Two of one name are an error on the server; here they are either.
    fn named(&self, name: &str) -> Option<Origin> {
        let found =
            self.columns.iter().filter(|column| column.name == name).map(|column| column.origin.clone());
        found.reduce(Origin::or)
    }

    /// The same rows, with the names of an alias's list.
    pub(super) fn renamed(mut self, names: &[&str]) -> Rows {
        for (column, name) in self.columns.iter_mut().zip(names) {
            (*name).clone_into(&mut column.name);
        }
        if let Some(origin) = &self.open {
            // Some of the names are of columns that are not known.
            let more = names.iter().skip(self.columns.len());
            let more: Vec<Column> =
                more.map(|name| Column { name: (*name).to_owned(), origin: origin.clone() }).collect();
            self.columns.extend(more);
        }
        self
    }

    /// Rows of either.
    pub(super) fn either(self, other: Rows) -> Rows {
        if self.open.is_some() || other.open.is_some() || self.columns.len() != other.columns.len() {
            let names = self.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
            let whole = self.whole().or(other.whole()).computed();
            let columns = names.into_iter().map(|name| Column { name, origin: whole.clone() }).collect();
            return Rows { columns, open: Some(whole) };
        }
        let columns = self
            .columns
            .into_iter()
            .zip(other.columns)
            .map(|(one, other)| Column { name: one.name, origin: one.origin.or(other.origin) });
        Rows::known(columns.collect())
    }
}

impl Level {
    pub(super) fn add(&mut self, other: Level) {
        self.star.extend(&other.star);
        self.items.extend(other.items);
    }
}

/// What a column reference of one part means: a column of the nearest level that has it, or a whole row.
pub(super) fn plain(levels: &[Level], name: &str) -> Result<Origin, Lost> {
    let mut open = None;
    for level in levels.iter().rev() {
        if let Some(origin) = level.star.named(name) {
            return Ok(join(open, origin));
        }
        if let Some(origin) = &level.star.open {
            open = Some(join(open, origin.clone()));
        }
    }
    let items = levels.iter().rev().flat_map(|level| &level.items);
    if let Some(item) = items.into_iter().find(|item| item.name.as_deref() == Some(name)) {
        return Ok(join(open, item.rows.whole()));
    }
    match open {
        Some(origin) => Ok(origin),
        None if SYSTEM.contains(&name) => Ok(Origin::Clean),
        None => Err(Lost(format!("`{name}` is no column that is known here"))),
    }
}

fn join(open: Option<Origin>, origin: Origin) -> Origin {
    match open {
        Some(open) => open.or(origin),
        None => origin,
    }
}

/// What stands in front of a dot.
pub(super) fn item<'a>(levels: &'a [Level], schema: Option<&str>, name: &str) -> Result<&'a Item, Lost> {
    let fits = |item: &&Item| {
        item.name.as_deref() == Some(name)
            && (schema.is_none() || item.schema.is_none() || item.schema.as_deref() == schema)
    };
    let mut items = levels.iter().rev().flat_map(|level| level.items.iter());
    items.find(fits).ok_or_else(|| Lost(format!("`{name}` is nothing that is known here")))
}

/// A column of something, or, where it has none of that name, what a function of that name may make of its row.
pub(super) fn column_of(item: &Item, name: &str) -> Origin {
    match (item.rows.named(name), &item.rows.open) {
        (Some(found), None) => found,
        (Some(found), Some(open)) => found.or(open.clone()),
        (None, _) if SYSTEM.contains(&name) => Origin::Clean,
        (None, _) => item.rows.whole(),
    }
}
