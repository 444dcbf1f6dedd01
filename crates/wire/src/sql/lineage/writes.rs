//! Statements that change rows: what they write where, and what they give back.

use super::queries::{COMPUTES, Tracer};
use super::scope::{Column, Item, Level, Rows};
use super::{Lost, Origin};
use crate::sql::tree::{Tree, Value};

impl Tracer<'_> {
    /// The table that is written, under the name that the statement gives it.
    fn target(&mut self, tree: &Tree) -> Result<Item, Lost> {
        let relation = tree.node("relation").ok_or_else(|| Lost("a write to nothing".to_owned()))?;
        let rows = self.rows_of(relation)?;
        let alias = relation.node("alias").map(|alias| alias.text("aliasname"));
        let name = alias.filter(|name| !name.is_empty());
        let schema = name.is_none().then(|| relation.text("schemaname")).filter(|schema| !schema.is_empty());
        let name = name.unwrap_or_else(|| relation.text("relname")).to_owned();
        Ok(Item { name: Some(name), schema: schema.map(str::to_owned), rows })
    }

    pub(super) fn insert(&mut self, tree: &Tree) -> Result<Rows, Lost> {
        let source = match tree.node("select_stmt") {
            Some(select) => self.query(select)?,
            None => Rows::default(),
        };
        let target = self.target(tree)?;
        let names: Vec<&str> = match tree.list("cols") {
            [] => target.rows.columns.iter().map(|column| column.name.as_str()).collect(),
            columns => columns.iter().filter_map(Value::as_node).map(|column| column.text("name")).collect(),
        };
        if source.open.is_some() || target.rows.open.is_some() {
            self.copy(&source.whole());
        } else {
            for (place, column) in source.columns.iter().enumerate() {
                let name = names.get(place).copied().unwrap_or_default();
                self.writes(&target, name, &column.origin);
            }
        }
        self.levels.push(Level::default());
        let rows = self.inserted(tree, target);
        self.levels.pop();
        rows
    }

    fn inserted(&mut self, tree: &Tree, target: Item) -> Result<Rows, Lost> {
        self.bring(Level { star: target.rows.clone(), items: vec![target.clone()] });
        if let Some(conflict) = tree.node("on_conflict_clause") {
            // What was to be inserted is the client's own; where it came from is judged above.
            let columns = target.rows.columns.iter();
            let clean = columns.map(|one| Column { name: one.name.clone(), origin: Origin::Clean }).collect();
            let excluded = Rows { columns: clean, open: target.rows.open.as_ref().map(|_| Origin::Clean) };
            if let Some(own) = self.levels.last_mut() {
                own.items.push(Item { name: Some("excluded".to_owned()), schema: None, rows: excluded });
            }
            if let Some(infer) = conflict.node("infer") {
                self.chooses(infer.node("where_clause"))?;
            }
            self.assignments(conflict, &target)?;
            self.chooses(conflict.node("where_clause"))?;
        }
        self.returning(tree, &target)
    }

    pub(super) fn update(&mut self, tree: &Tree) -> Result<Rows, Lost> {
        let target = self.target(tree)?;
        self.changed(tree, target, "from_clause", |tracer, target| tracer.assignments(tree, target))
    }

    pub(super) fn delete(&mut self, tree: &Tree) -> Result<Rows, Lost> {
        let target = self.target(tree)?;
        self.changed(tree, target, "using_clause", |_, _| Ok(()))
    }

    fn changed(
        &mut self,
        tree: &Tree,
        target: Item,
        sources: &str,
        change: impl FnOnce(&mut Self, &Item) -> Result<(), Lost>,
    ) -> Result<Rows, Lost> {
        self.levels.push(Level { star: target.rows.clone(), items: vec![target.clone()] });
        let go = |tracer: &mut Self| {
            for part in tree.nodes(sources) {
                let level = tracer.from(part)?;
                tracer.bring(level);
            }
            tracer.chooses(tree.node("where_clause"))?;
            change(tracer, &target)?;
            tracer.returning(tree, &target)
        };
        let rows = go(self);
        self.levels.pop();
        rows
    }

    pub(super) fn merge(&mut self, tree: &Tree) -> Result<Rows, Lost> {
        let target = self.target(tree)?;
        self.levels.push(Level { star: target.rows.clone(), items: vec![target.clone()] });
        let rows = self.merged_rows(tree, &target);
        self.levels.pop();
        rows
    }

    fn merged_rows(&mut self, tree: &Tree, target: &Item) -> Result<Rows, Lost> {
        if let Some(source) = tree.node("source_relation") {
            let level = self.from(source)?;
            self.bring(level);
        }
        self.chooses(tree.node("join_condition"))?;
        for when in tree.nodes("merge_when_clauses") {
            self.chooses(when.node("condition"))?;
            self.assignments(when, target)?;
            let names: Vec<&str> = match when.list("target_list") {
                [] => target.rows.columns.iter().map(|column| column.name.as_str()).collect(),
                list => list.iter().filter_map(Value::as_node).map(|one| one.text("name")).collect(),
            };
            for (place, value) in when.nodes("values").enumerate() {
                let origin = self.expression(value)?;
                self.writes(target, names.get(place).copied().unwrap_or_default(), &origin);
            }
        }
        self.returning(tree, target)
    }

    fn assignments(&mut self, tree: &Tree, target: &Item) -> Result<(), Lost> {
        for one in tree.nodes("target_list") {
            let Some(value) = one.node("val") else { continue };
            let origin = match value.name {
                "MultiAssignRef" => match value.node("source") {
                    Some(source) => self.expression(source)?.computed(),
                    None => Origin::Clean,
                },
                _ => self.expression(value)?,
            };
            self.writes(target, one.text("name"), &origin);
        }
        Ok(())
    }

    /// A value is written to a column. It may stay where it is.
    fn writes(&mut self, target: &Item, column: &str, origin: &Origin) {
        let Some(columns) = origin.columns() else { return };
        let own =
            target.rows.columns.iter().find(|one| one.name == column).and_then(|one| one.origin.columns());
        if own != Some(columns) {
            self.copies.extend(columns);
        }
    }

    pub(super) fn copy(&mut self, origin: &Origin) {
        self.copies.extend(origin.columns().into_iter().flatten());
    }

    fn returning(&mut self, tree: &Tree, target: &Item) -> Result<Rows, Lost> {
        let Some(clause) = tree.node("returning_clause") else { return Ok(Rows::default()) };
        let mut names = vec!["old".to_owned(), "new".to_owned()];
        names.extend(clause.nodes("options").map(|option| option.text("value").to_owned()));
        if let Some(own) = self.levels.last_mut() {
            for name in names {
                own.items.push(Item { name: Some(name), schema: None, rows: target.rows.clone() });
            }
        }
        self.targets(clause.list("exprs"))
    }

    /// The rows that COPY reads: a query's, or a table's without what is generated.
    pub(super) fn copied(&mut self, tree: &Tree) -> Result<Rows, Lost> {
        if let Some(query) = tree.node("query") {
            return self.query(query);
        }
        let relation = tree.node("relation").ok_or_else(|| Lost("COPY of nothing".to_owned()))?;
        let rows = self.rows_of(relation)?;
        let wanted = tree.names("attlist");
        if rows.open.is_some() {
            return Ok(Rows::unknown(rows.whole()));
        }
        if wanted.is_empty() {
            return Ok(self.without_generated(relation).unwrap_or(rows));
        }
        let mut columns = Vec::with_capacity(wanted.len());
        for name in wanted {
            let found = rows.columns.iter().find(|one| one.name == name);
            columns.push(
                found.cloned().ok_or_else(|| Lost(format!("`{name}` is no column that is known here")))?,
            );
        }
        Ok(Rows::known(columns))
    }

    fn without_generated(&self, relation: &Tree) -> Option<Rows> {
        let name = crate::sql::mentions::name_of(relation);
        match crate::sql::proof::relations_named(self.catalogue, self.path, &name).as_slice() {
            [only] => Some(self.bound.rows(self.catalogue, *only, false)),
            _ => None,
        }
    }

    /// The expressions of an index or of its condition.
    pub(super) fn indexed(&mut self, tree: &Tree) -> Result<(), Lost> {
        let target = self.target(tree)?;
        self.levels.push(Level { star: target.rows.clone(), items: vec![target] });
        let done = self.index_parts(tree);
        self.levels.pop();
        done
    }

    fn index_parts(&mut self, tree: &Tree) -> Result<(), Lost> {
        for part in tree.nodes("index_params") {
            if let Some(expression) = part.node("expr") {
                let origin = self.expression(expression)?;
                self.guess(&origin, COMPUTES);
            }
        }
        self.chooses(tree.node("where_clause"))
    }
}
