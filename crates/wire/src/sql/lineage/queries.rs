//! Queries: WITH, FROM, targets, set operations, and everything that orders, groups or leaves out rows.

use std::collections::BTreeMap;

use pg_query::protobuf as pb;

use super::protect::Bound;
use super::scope::{Column, Level, Rows};
use super::{Columns, Lost, Origin, names};
use crate::sql::catalogue::Catalogue;
use crate::sql::tree::{Tree, Value, names_of};

/// How often a recursive WITH is gone through before it counts as untraceable: each time it must learn something.
const ROUNDS_MAX: usize = 64;

/// How deep queries may stand in queries.
const DEPTH_MAX: u32 = 256;

/// Why a protected value is guessed at, in words.
pub(super) const COMPARES: &str = "chooses rows by it";
pub(super) const ORDERS: &str = "orders or groups rows by it";
pub(super) const COMPUTES: &str = "computes with it in a way that can fail or branch";

/// One statement being traced.
pub(super) struct Tracer<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) bound: &'a Bound,
    /// Where names without a schema are looked up.
    pub(super) path: &'a [String],
    /// Names without a schema may mean temporary objects.
    pub(super) temporary: bool,
    /// What FROM has brought in, innermost last.
    pub(super) levels: Vec<Level>,
    /// WITH names, innermost last.
    pub(super) withs: Vec<BTreeMap<String, Rows>>,
    pub(super) guesses: BTreeMap<usize, &'static str>,
    pub(super) copies: Columns,
    pub(super) touches: Columns,
    /// A SELECT of it has an INTO, wherever that stands.
    pub(super) into: bool,
    depth: u32,
}

/// The rows of a view's definition. What it chooses rows by its owner has chosen, so that tells nothing.
pub(super) fn of_definition(catalogue: &Catalogue, bound: &Bound, tree: &Tree) -> Result<Rows, Lost> {
    let path = ["pg_catalog".to_owned()];
    Tracer::new(catalogue, bound, &path, false).query(tree)
}

impl<'a> Tracer<'a> {
    pub(super) fn new(
        catalogue: &'a Catalogue,
        bound: &'a Bound,
        path: &'a [String],
        temporary: bool,
    ) -> Self {
        Tracer {
            catalogue,
            bound,
            path,
            temporary,
            levels: Vec::new(),
            withs: Vec::new(),
            guesses: BTreeMap::new(),
            copies: Columns::new(),
            touches: Columns::new(),
            into: false,
            depth: 0,
        }
    }

    /// The rows of anything that can stand as a query.
    pub(super) fn query(&mut self, tree: &Tree) -> Result<Rows, Lost> {
        if self.depth >= DEPTH_MAX {
            return Err(Lost("queries stand too deep in one another".to_owned()));
        }
        self.depth += 1;
        let rows = self.with(tree, |tracer| match tree.name {
            "SelectStmt" => tracer.select(tree),
            "InsertStmt" => tracer.insert(tree),
            "UpdateStmt" => tracer.update(tree),
            "DeleteStmt" => tracer.delete(tree),
            "MergeStmt" => tracer.merge(tree),
            other => Err(Lost(format!("`{other}` is no query that is understood"))),
        });
        self.depth -= 1;
        rows
    }

    /// Goes through a statement with the names of its WITH clause in sight.
    fn with(
        &mut self,
        tree: &Tree,
        body: impl FnOnce(&mut Self) -> Result<Rows, Lost>,
    ) -> Result<Rows, Lost> {
        let Some(with) = tree.node("with_clause") else { return body(self) };
        let recursive = with.flag("recursive");
        self.withs.push(BTreeMap::new());
        for one in with.nodes("ctes") {
            let name = one.text("ctename").to_owned();
            let rows = if recursive { self.recursive(&name, one)? } else { self.common(one)? };
            if let Some(scope) = self.withs.last_mut() {
                scope.insert(name, rows);
            }
        }
        let rows = body(self);
        self.withs.pop();
        rows
    }

    /// What stands in a WITH clause sees the levels around its statement, but nothing of its FROM.
    fn common(&mut self, one: &Tree) -> Result<Rows, Lost> {
        let query = one.node("ctequery").ok_or_else(|| Lost("a WITH without a query".to_owned()))?;
        let mut rows = self.query(query)?.renamed(&one.names("aliascolnames"));
        let whole = rows.whole().computed();
        let mut add = |name: &str| {
            if !name.is_empty() {
                rows.columns.push(Column { name: name.to_owned(), origin: whole.clone() });
            }
        };
        if let Some(search) = one.node("search_clause") {
            add(search.text("search_seq_column"));
        }
        if let Some(cycle) = one.node("cycle_clause") {
            add(cycle.text("cycle_mark_column"));
            add(cycle.text("cycle_path_column"));
        }
        Ok(rows)
    }

    /// A recursive one is gone through until it brings nothing new.
    fn recursive(&mut self, name: &str, one: &Tree) -> Result<Rows, Lost> {
        let mut rows = Rows::unknown(Origin::Clean);
        for _ in 0..ROUNDS_MAX {
            if let Some(scope) = self.withs.last_mut() {
                scope.insert(name.to_owned(), rows.clone());
            }
            let next = self.common(one)?;
            let next = match (next.open.is_some(), rows.open.is_some()) {
                // Which of its columns is which is not known; what is guessed at is learnt once all are what any is.
                (true, _) => Rows::unknown(next.whole().computed()),
                (false, false) => rows.clone().either(next),
                (false, true) => next,
            };
            if next == rows {
                return Ok(rows);
            }
            rows = next;
        }
        Err(Lost(format!("the WITH RECURSIVE `{name}` goes round too often")))
    }

    fn select(&mut self, tree: &Tree) -> Result<Rows, Lost> {
        let operation = tree.int("op");
        if operation > pb::SetOperation::SetopNone as i64 {
            return self.set_operation(tree);
        }
        if tree.has("values_lists") {
            return self.values(tree);
        }
        self.levels.push(Level::default());
        let rows = self.simple(tree);
        self.levels.pop();
        rows
    }

    fn set_operation(&mut self, tree: &Tree) -> Result<Rows, Lost> {
        let side = |field| tree.node(field).ok_or_else(|| Lost("a set operation lacks a side".to_owned()));
        let left = self.query(side("larg")?)?;
        let rows = left.either(self.query(side("rarg")?)?);
        if !tree.flag("all") || tree.int("op") != pb::SetOperation::SetopUnion as i64 {
            self.guess(&rows.whole(), COMPARES);
        }
        self.levels.push(Level { items: Vec::new(), star: rows.clone() });
        let rest = self.order_and_limit(tree, &rows);
        self.levels.pop();
        rest.map(|()| rows)
    }

    fn values(&mut self, tree: &Tree) -> Result<Rows, Lost> {
        let mut rows: Option<Rows> = None;
        for list in tree.nodes("values_lists") {
            let mut columns = Vec::new();
            for (place, value) in list.nodes("items").enumerate() {
                let origin = self.expression(value)?;
                columns.push(Column { name: format!("column{}", place + 1), origin });
            }
            let one = Rows::known(columns);
            rows = Some(match rows {
                Some(before) => before.either(one),
                None => one,
            });
        }
        let rows = rows.unwrap_or_default();
        self.order_and_limit(tree, &rows)?;
        Ok(rows)
    }

    fn simple(&mut self, tree: &Tree) -> Result<Rows, Lost> {
        for part in tree.nodes("from_clause") {
            let level = self.from(part)?;
            self.bring(level);
        }
        self.chooses(tree.node("where_clause"))?;
        let rows = self.targets(tree.list("target_list"))?;
        for part in tree.nodes("group_clause") {
            let origin = self.sort_key(part, &rows)?;
            self.guess(&origin, ORDERS);
        }
        self.chooses(tree.node("having_clause"))?;
        for window in tree.nodes("window_clause") {
            self.window(window)?;
        }
        match tree.list("distinct_clause") {
            [] => {}
            // A bare DISTINCT is a list with nothing in it.
            [Value::Nothing] => self.guess(&rows.whole(), ORDERS),
            on => {
                for part in on.iter().filter_map(Value::as_node) {
                    let origin = self.sort_key(part, &rows)?;
                    self.guess(&origin, ORDERS);
                }
            }
        }
        self.order_and_limit(tree, &rows)?;
        Ok(rows)
    }

    fn order_and_limit(&mut self, tree: &Tree, rows: &Rows) -> Result<(), Lost> {
        for sort in tree.nodes("sort_clause") {
            if let Some(node) = sort.node("node") {
                let origin = self.sort_key(node, rows)?;
                self.guess(&origin, ORDERS);
            }
        }
        self.chooses(tree.node("limit_count"))?;
        self.chooses(tree.node("limit_offset"))
    }

    /// What rows are ordered or grouped by: a column of the result by its number or name, or an expression.
    fn sort_key(&mut self, tree: &Tree, rows: &Rows) -> Result<Origin, Lost> {
        match tree.name {
            "AConst" => {
                let number = tree.node("val").map_or(0, |value| value.int("ival"));
                let place = usize::try_from(number).unwrap_or(0).checked_sub(1);
                let column = place.and_then(|place| rows.columns.get(place));
                Ok(column
                    .map_or_else(|| rows.open.clone().unwrap_or_default(), |column| column.origin.clone()))
            }
            "GroupingSet" => {
                let mut all = Origin::Clean;
                for part in tree.nodes("content") {
                    all = all.and(self.sort_key(part, rows)?);
                }
                Ok(all)
            }
            "ColumnRef" => {
                let name = tree.names("fields");
                let named = rows.columns.iter().filter(|column| name.as_slice() == [column.name.as_str()]);
                let named = named.map(|column| column.origin.clone()).reduce(Origin::or);
                match (named, self.expression(tree)) {
                    (Some(one), Ok(other)) => Ok(one.and(other)),
                    (Some(one), Err(_)) => Ok(one),
                    (None, other) => other,
                }
            }
            _ => self.expression(tree),
        }
    }

    pub(super) fn window(&mut self, window: &Tree) -> Result<(), Lost> {
        for part in window.nodes("partition_clause") {
            let origin = self.expression(part)?;
            self.guess(&origin, ORDERS);
        }
        for part in window.nodes("order_clause") {
            let Some(node) = part.node("node") else { continue };
            let origin = self.expression(node)?;
            self.guess(&origin, ORDERS);
        }
        for field in ["start_offset", "end_offset"] {
            self.chooses(window.node(field))?;
        }
        Ok(())
    }

    /// The columns of a target list or of RETURNING.
    pub(super) fn targets(&mut self, list: &[Value]) -> Result<Rows, Lost> {
        let mut rows = Rows::default();
        for target in list.iter().filter_map(Value::as_node) {
            let Some(value) = target.node("val") else { continue };
            match self.star(value)? {
                Some(columns) => rows.extend(&columns),
                None => {
                    let origin = self.expression(value)?;
                    let name =
                        if target.has("name") { target.text("name").to_owned() } else { names::of(value) };
                    rows.columns.push(Column { name, origin });
                    // Behind an unknown number of columns no place is certain.
                }
            }
        }
        if rows.open.is_some() {
            let whole = rows.whole();
            rows.open = Some(whole.computed());
        }
        Ok(rows)
    }

    /// What `*`, `t.*` or `(t).*` stands for, if the target is one.
    fn star(&mut self, value: &Tree) -> Result<Option<Rows>, Lost> {
        let ends =
            |list: &[Value]| list.last().and_then(Value::as_node).is_some_and(|node| node.name == "AStar");
        match value.name {
            "ColumnRef" if ends(value.list("fields")) => {
                let names = names_of(value.list("fields"));
                match names.as_slice() {
                    [] => Ok(self.levels.last().map(|level| level.star.clone())),
                    [.., schema, name] => super::scope::item(&self.levels, Some(schema), name)
                        .map(|item| Some(item.rows.clone())),
                    [name] => {
                        super::scope::item(&self.levels, None, name).map(|item| Some(item.rows.clone()))
                    }
                }
            }
            "AIndirection" if ends(value.list("indirection")) => {
                let arg = value.node("arg").ok_or_else(|| Lost("a star of nothing".to_owned()))?;
                let names = arg.names("fields");
                let item = match (arg.name, names.as_slice(), value.list("indirection").len()) {
                    ("ColumnRef", [name], 1) => super::scope::item(&self.levels, None, name).ok().cloned(),
                    _ => None,
                };
                let origin = self.expression(arg)?;
                Ok(Some(item.map_or_else(|| Rows::unknown(origin.computed()), |item| item.rows)))
            }
            _ => Ok(None),
        }
    }

    /// An expression that decides about rows.
    pub(super) fn chooses(&mut self, tree: Option<&Tree>) -> Result<(), Lost> {
        if let Some(tree) = tree {
            let origin = self.expression(tree)?;
            self.guess(&origin, COMPARES);
        }
        Ok(())
    }

    /// A protected value is told of by something else than its column in the result.
    pub(super) fn guess(&mut self, origin: &Origin, how: &'static str) {
        for column in origin.columns().into_iter().flatten() {
            self.guesses.entry(*column).or_insert(how);
        }
    }

    /// Adds to the innermost level.
    pub(super) fn bring(&mut self, level: Level) {
        if let Some(own) = self.levels.last_mut() {
            own.add(level);
        }
    }
}
