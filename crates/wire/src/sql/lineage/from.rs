//! FROM: relations, subqueries, functions and joins.

use super::queries::{COMPARES, COMPUTES, Tracer};
use super::scope::{Column, Item, Level, Rows};
use super::{Lost, Origin};
use crate::sql::mentions::name_of;
use crate::sql::proof::relations_named;
use crate::sql::tree::{Tree, Value};

impl Tracer<'_> {
    /// What a part of FROM brings in. What came before it on the same level is in sight for what is LATERAL.
    pub(super) fn from(&mut self, tree: &Tree) -> Result<Level, Lost> {
        match tree.name {
            "RangeVar" => self.relation(tree),
            "RangeSubselect" => self.subselect(tree),
            "RangeFunction" => self.functions(tree),
            "JoinExpr" => self.join(tree),
            "RangeTableSample" => {
                for part in tree.nodes("args") {
                    self.chooses(Some(part))?;
                }
                self.chooses(tree.node("repeatable"))?;
                let inner = tree.node("relation").ok_or_else(|| Lost("a sample of nothing".to_owned()))?;
                self.from(inner)
            }
            _ => self.table_function(tree),
        }
    }

    fn relation(&mut self, tree: &Tree) -> Result<Level, Lost> {
        let name = name_of(tree);
        let with = self.withs.iter().rev().find_map(|scope| scope.get(&name.name));
        let (rows, schema) = match (with, &name.schema) {
            (Some(rows), None) => (rows.clone(), None),
            _ => (self.rows_of(tree)?, name.schema.clone()),
        };
        let (alias, rows) = aliased(tree, rows);
        let schema = if alias.is_some() { None } else { schema };
        Ok(level(alias.or(Some(name.name)), schema, rows))
    }

    /// The rows of a relation by its name.
    pub(super) fn rows_of(&mut self, tree: &Tree) -> Result<Rows, Lost> {
        let name = name_of(tree);
        if name.schema.as_deref().is_some_and(|schema| schema.starts_with("pg_temp")) {
            // Nothing that is protected can be written there.
            return Ok(Rows::unknown(Origin::Clean));
        }
        let found = relations_named(self.catalogue, self.path, &name);
        let temporary = self.temporary && name.schema.is_none();
        match found.as_slice() {
            [only] => {
                self.touches.extend(self.bound.of_relation(*only));
                let mut rows = self.bound.rows(self.catalogue, *only, true);
                if temporary {
                    let whole = rows.whole().computed();
                    rows = Rows {
                        columns: if whole.is_clean() { Vec::new() } else { rows.columns },
                        open: Some(whole),
                    };
                }
                Ok(rows)
            }
            [] if temporary => Ok(Rows::unknown(Origin::Clean)),
            [] => Err(Lost(format!("`{name}` is not a relation that is known here"))),
            several => {
                let mut whole = Origin::Clean;
                for oid in several {
                    self.touches.extend(self.bound.of_relation(*oid));
                    whole = whole.and(self.bound.rows(self.catalogue, *oid, true).whole());
                }
                Ok(Rows::unknown(whole.computed()))
            }
        }
    }

    fn subselect(&mut self, tree: &Tree) -> Result<Level, Lost> {
        let query = tree.node("subquery").ok_or_else(|| Lost("a subquery without a query".to_owned()))?;
        let rows = if tree.flag("lateral") {
            self.query(query)?
        } else {
            let hidden = self.levels.pop();
            let rows = self.query(query);
            self.levels.extend(hidden);
            rows?
        };
        let (alias, rows) = aliased(tree, rows);
        Ok(level(alias, None, rows))
    }

    /// A function of protected values would tell of them by how many rows it gives.
    fn functions(&mut self, tree: &Tree) -> Result<Level, Lost> {
        let mut origin = Origin::Clean;
        for list in tree.nodes("functions") {
            let Some(call) = list.list("items").first().and_then(Value::as_node) else { continue };
            let given = match call.name {
                "FuncCall" => self.list(call.list("args"))?,
                _ => self.expression(call)?,
            };
            self.guess(&given, COMPUTES);
            origin = origin.and(self.expression(call)?);
        }
        let (alias, rows) = aliased(tree, Rows::unknown(origin.computed()));
        Ok(level(alias, None, rows))
    }

    /// XMLTABLE and JSON_TABLE: rows made of a document.
    fn table_function(&mut self, tree: &Tree) -> Result<Level, Lost> {
        if !matches!(tree.name, "RangeTableFunc" | "JsonTable") {
            return Err(Lost(format!("`{}` in FROM is not understood", tree.name)));
        }
        let mut origin = Origin::Clean;
        for (field, value) in &tree.fields {
            if *field != "alias" {
                origin = origin.and(self.any_part(value)?);
            }
        }
        self.guess(&origin, COMPUTES);
        let (alias, rows) = aliased(tree, Rows::unknown(origin.computed()));
        Ok(level(alias, None, rows))
    }

    fn any_part(&mut self, value: &Value) -> Result<Origin, Lost> {
        match value {
            Value::Node(tree) => self.expression(tree),
            Value::List(values) => {
                let mut all = Origin::Clean;
                for value in values {
                    all = all.and(self.any_part(value)?);
                }
                Ok(all)
            }
            Value::Nothing | Value::Bool(_) | Value::Int(_) | Value::Text(_) => Ok(Origin::Clean),
        }
    }

    fn join(&mut self, tree: &Tree) -> Result<Level, Lost> {
        let side = |field| tree.node(field).ok_or_else(|| Lost("a join lacks a side".to_owned()));
        let left = self.from(side("larg")?)?;
        // What is LATERAL on the right sees the left.
        let before = self.levels.last().cloned().unwrap_or_default();
        self.bring(left.clone());
        let right = self.from(side("rarg")?);
        if let Some(own) = self.levels.last_mut() {
            *own = before;
        }
        let right = right?;
        let merged = self.merged(tree, &left.star, &right.star)?;
        let mut star = Rows { columns: merged.clone(), open: None };
        for part in [&left.star, &right.star] {
            let rest = part.columns.iter().filter(|one| merged.iter().all(|other| other.name != one.name));
            star.extend(&Rows { columns: rest.cloned().collect(), open: part.open.clone() });
        }
        let mut whole = Level { items: Vec::new(), star };
        whole.items.extend(left.items.into_iter().chain(right.items));
        if let Some(conditions) = tree.node("quals") {
            self.levels.push(whole.clone());
            let chosen = self.chooses(Some(conditions));
            self.levels.pop();
            chosen?;
        }
        if let Some(alias) = tree.node("join_using_alias") {
            let name = Some(alias.text("aliasname").to_owned());
            whole.items.push(Item { name, schema: None, rows: Rows::known(merged) });
        }
        let (alias, star) = aliased(tree, whole.star.clone());
        Ok(match alias {
            Some(name) => level(Some(name), None, star),
            None => whole,
        })
    }

    /// The columns that USING or NATURAL makes one of, which compares them.
    fn merged(&mut self, tree: &Tree, left: &Rows, right: &Rows) -> Result<Vec<Column>, Lost> {
        let names: Vec<String> = if tree.flag("is_natural") {
            if left.open.is_some() || right.open.is_some() {
                return Err(Lost("a NATURAL join of something whose columns are not known".to_owned()));
            }
            let common = |one: &&Column| right.columns.iter().any(|other| other.name == one.name);
            left.columns.iter().filter(common).map(|one| one.name.clone()).collect()
        } else {
            tree.names("using_clause").into_iter().map(str::to_owned).collect()
        };
        let mut merged = Vec::with_capacity(names.len());
        for name in names {
            let both = [left, right].into_iter().flat_map(|rows| {
                rows.columns.iter().filter(|one| one.name == name).map(|one| &one.origin).chain(&rows.open)
            });
            let origin = both.cloned().fold(Origin::Clean, Origin::or);
            self.guess(&origin, COMPARES);
            merged.push(Column { name, origin });
        }
        Ok(merged)
    }
}

/// The alias of a part of FROM, and its rows under the names that it gives them.
fn aliased(tree: &Tree, rows: Rows) -> (Option<String>, Rows) {
    let Some(alias) = tree.node("alias") else { return (None, rows) };
    let name = alias.text("aliasname");
    let rows = rows.renamed(&alias.names("colnames"));
    ((!name.is_empty()).then(|| name.to_owned()), rows)
}

fn level(name: Option<String>, schema: Option<String>, rows: Rows) -> Level {
    Level { items: vec![Item { name, schema, rows: rows.clone() }], star: rows }
}
