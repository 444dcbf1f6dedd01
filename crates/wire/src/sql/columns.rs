//! Which columns a statement may use, read off its syntax: scopes, what stands in them, and what refers to it.
//!
//! A name of a column means nothing without the tables that are in sight, so this keeps both, as flat lists, until
//! [`super::reached`] resolves them against a catalogue. Nothing is left out: an expression is walked whatever it is, and
//! what is not understood as a scope of its own belongs to the one around it.
//!
//! What not: no types and no lineage. A column that is used anywhere in a statement counts as read, whether its values
//! come out of it or only decide what does.

use std::collections::BTreeSet;

use pg_query::protobuf as pb;

use super::access::Name;
use super::mentions::name_of;
use super::tree::{Tree, Value, names_of};

/// The columns that a statement uses, unresolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Uses {
    /// Scopes; the first is the statement's own.
    pub(super) scopes: Vec<Scope>,
    pub(super) references: Vec<Reference>,
    pub(super) writes: Vec<Written>,
    /// How many columns the outermost query gives, if it is one query and not several combined.
    pub(super) outputs: usize,
}

/// What stands in one FROM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// The scope around it, whose names are in sight too.
    pub(super) outer: Option<usize>,
    pub(super) items: Vec<Item>,
}

/// Something in a FROM, under the name by which columns refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) label: Option<String>,
    pub(super) sources: Vec<Source>,
    /// It only names again what other items hold, so a star does not mean it.
    pub(super) again: bool,
}

/// Where the columns of an item come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A relation, whose first columns may be called otherwise here.
    Table { name: Name, renamed: Vec<String> },
    /// A query or a function, which is looked into where it stands.
    Derived,
}

/// A use of columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) scope: usize,
    /// The column of the outermost query that it is a part of; none if it decides about rows.
    pub(super) output: Option<usize>,
    pub(super) what: Referred,
}

/// What a use says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Referred {
    /// A name alone: a column, or a whole row.
    Plain(String),
    /// A name behind that of an item: a column, or a function of the whole row.
    Of(String, String),
    /// Every column of an item.
    All(String),
    /// Every column of every item of the scope.
    Everything,
    /// Every column that is there twice among the sources.
    Common(Vec<Source>),
    /// A column of these sources.
    Among(Vec<Source>, String),
}

/// Columns that are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) table: Name,
    /// None for every one.
    pub(super) columns: Option<Vec<String>>,
}

/// The columns that a statement uses.
pub(super) fn uses(tree: &Tree) -> Uses {
    let mut walk = Extract { uses: Uses::default(), with: Vec::new(), output: None };
    let root = walk.scope(None);
    if tree.name == "SelectStmt" && !tree.has("larg") {
        walk.uses.outputs = tree.list("target_list").len();
    }
    walk.select_or_any(tree, root, true);
    walk.uses
}

struct Extract {
    uses: Uses,
    /// WITH names in sight, innermost scope last.
    with: Vec<BTreeSet<String>>,
    output: Option<usize>,
}

impl Extract {
    fn scope(&mut self, outer: Option<usize>) -> usize {
        self.uses.scopes.push(Scope { outer, items: Vec::new() });
        self.uses.scopes.len() - 1
    }

    fn select_or_any(&mut self, tree: &Tree, scope: usize, outermost: bool) {
        match tree.name {
            "SelectStmt" => self.select(tree, scope, outermost),
            _ => self.any(tree, scope),
        }
    }

    fn any(&mut self, tree: &Tree, scope: usize) {
        match tree.name {
            "SelectStmt" => {
                let inner = self.scope(Some(scope));
                self.select(tree, inner, false);
            }
            "InsertStmt" => self.with_clause(tree, scope, |walk| walk.insert(tree, scope)),
            "UpdateStmt" | "DeleteStmt" => self.with_clause(tree, scope, |walk| walk.change(tree, scope)),
            "MergeStmt" => self.with_clause(tree, scope, |walk| walk.merge(tree, scope)),
            "CopyStmt" => self.copy(tree, scope),
            "TruncateStmt" => {
                for table in tree.nodes("relations") {
                    self.writes(Some(table), None);
                }
            }
            "ColumnRef" => self.column(tree, scope),
            // A relation that stands in no FROM has no columns that a name could mean; what is made has none yet.
            "RangeVar" | "IntoClause" | "LockingClause" => {}
            _ => self.children(tree, scope, &[]),
        }
    }

    fn children(&mut self, tree: &Tree, scope: usize, except: &[&str]) {
        for (field, value) in &tree.fields {
            if !except.contains(field) {
                self.value(value, scope);
            }
        }
    }

    fn value(&mut self, value: &Value, scope: usize) {
        match value {
            Value::Node(tree) => self.any(tree, scope),
            Value::List(values) => values.iter().for_each(|value| self.value(value, scope)),
            Value::Nothing | Value::Bool(_) | Value::Int(_) | Value::Text(_) => {}
        }
    }

    fn select(&mut self, tree: &Tree, scope: usize, outermost: bool) {
        self.with_clause(tree, scope, |walk| {
            for item in tree.nodes("from_clause") {
                walk.from(item, scope);
            }
            for (index, target) in tree.nodes("target_list").enumerate() {
                if outermost && walk.uses.outputs > 0 {
                    walk.output = Some(index);
                }
                walk.children(target, scope, &[]);
                if outermost {
                    walk.output = None;
                }
            }
            walk.children(tree, scope, &["with_clause", "from_clause", "target_list", "into_clause"]);
        });
    }

    /// Runs `body` with the names of a WITH clause in sight, after the clause itself.
    fn with_clause(&mut self, tree: &Tree, scope: usize, body: impl FnOnce(&mut Extract)) {
        let Some(with) = tree.node("with_clause") else { return body(self) };
        let names = |cte: &Tree| cte.text("ctename").to_owned();
        let recursive = with.flag("recursive");
        self.with.push(if recursive { with.nodes("ctes").map(names).collect() } else { BTreeSet::new() });
        for cte in with.nodes("ctes") {
            if let Some(query) = cte.node("ctequery") {
                let inner = self.scope(Some(scope));
                self.select_or_any(query, inner, false);
            }
            if !recursive && let Some(known) = self.with.last_mut() {
                known.insert(names(cte));
            }
        }
        body(self);
        self.with.pop();
    }

    /// One item of a FROM; whatever expressions it has see the items before it, or more.
    fn from(&mut self, tree: &Tree, scope: usize) {
        match tree.name {
            "RangeVar" => {
                let source = self.source(tree);
                self.item(scope, label_of(tree), vec![source]);
            }
            "JoinExpr" => self.join(tree, scope),
            "RangeTableSample" => {
                if let Some(relation) = tree.node("relation") {
                    self.from(relation, scope);
                }
                self.children(tree, scope, &["relation"]);
            }
            _ => {
                self.children(tree, scope, &["alias"]);
                self.item(scope, alias_of(tree), vec![Source::Derived]);
            }
        }
    }

    fn join(&mut self, tree: &Tree, scope: usize) {
        let first = self.items(scope).len();
        for side in ["larg", "rarg"] {
            if let Some(side) = tree.node(side) {
                self.from(side, scope);
            }
        }
        self.children(tree, scope, &["larg", "rarg", "alias", "join_using_alias", "using_clause"]);
        let joined = self.items(scope).get(first..).unwrap_or_default();
        let sources: Vec<Source> = joined.iter().flat_map(|item| item.sources.iter().cloned()).collect();
        if tree.flag("is_natural") {
            self.refers(scope, Referred::Common(sources.clone()));
        }
        for name in names_of(tree.list("using_clause")) {
            self.refers(scope, Referred::Among(sources.clone(), name.to_owned()));
        }
        for alias in [alias_of(tree), tree.node("join_using_alias").map(name_of_alias)].into_iter().flatten()
        {
            let item = Item { label: Some(alias), sources: sources.clone(), again: true };
            self.add(scope, item);
        }
    }

    fn source(&self, relation: &Tree) -> Source {
        let name = name_of(relation);
        let hidden = name.schema.is_none() && self.with.iter().any(|names| names.contains(&name.name));
        if hidden {
            return Source::Derived;
        }
        let renamed =
            relation.node("alias").map(|alias| names_of(alias.list("colnames"))).unwrap_or_default();
        Source::Table { name, renamed: renamed.into_iter().map(str::to_owned).collect() }
    }

    /// The target of a statement that changes data, which its expressions can read. No WITH name hides it.
    fn target(&mut self, tree: &Tree, scope: usize, aliases: &[&str]) {
        let Some(relation) = tree.node("relation") else { return };
        let sources = vec![Source::Table { name: name_of(relation), renamed: Vec::new() }];
        self.item(scope, label_of(relation), sources.clone());
        for alias in aliases {
            self.add(scope, Item { label: Some((*alias).to_owned()), sources: sources.clone(), again: true });
        }
    }

    fn insert(&mut self, tree: &Tree, scope: usize) {
        if let Some(source) = tree.node("select_stmt") {
            let inner = self.scope(None);
            self.select_or_any(source, inner, false);
        }
        let named = column_names(tree.nodes("cols"));
        self.writes(tree.node("relation"), (!named.is_empty()).then_some(named));
        let target = self.scope(Some(scope));
        self.target(tree, target, &["old", "new"]);
        self.add(
            target,
            Item { label: Some("excluded".to_owned()), sources: vec![Source::Derived], again: true },
        );
        if let Some(conflict) = tree.node("on_conflict_clause") {
            if conflict.int("action") == pb::OnConflictAction::OnconflictUpdate as i64 {
                self.writes(tree.node("relation"), Some(column_names(conflict.nodes("target_list"))));
            }
            for element in conflict.node("infer").into_iter().flat_map(|infer| infer.nodes("index_elems")) {
                self.refers(target, Referred::Plain(element.text("name").to_owned()));
            }
            self.children(conflict, target, &[]);
        }
        self.children(
            tree,
            target,
            &["with_clause", "relation", "select_stmt", "cols", "on_conflict_clause"],
        );
    }

    /// UPDATE and DELETE.
    fn change(&mut self, tree: &Tree, scope: usize) {
        let inner = self.scope(Some(scope));
        self.target(tree, inner, &["old", "new"]);
        for list in ["from_clause", "using_clause"] {
            for item in tree.nodes(list) {
                self.from(item, inner);
            }
        }
        let updates = tree.name == "UpdateStmt";
        self.writes(tree.node("relation"), updates.then(|| column_names(tree.nodes("target_list"))));
        self.children(tree, inner, &["with_clause", "relation", "from_clause", "using_clause"]);
    }

    fn merge(&mut self, tree: &Tree, scope: usize) {
        let inner = self.scope(Some(scope));
        self.target(tree, inner, &["old", "new"]);
        if let Some(source) = tree.node("source_relation") {
            self.from(source, inner);
        }
        for clause in tree.nodes("merge_when_clauses") {
            let named = column_names(clause.nodes("target_list"));
            let command = clause.int("command_type");
            let does_nothing = command == pb::CmdType::CmdNothing as i64;
            let lists = !named.is_empty() && command != pb::CmdType::CmdDelete as i64;
            if !does_nothing {
                self.writes(tree.node("relation"), lists.then_some(named));
            }
        }
        self.children(tree, inner, &["with_clause", "relation", "source_relation"]);
    }

    fn copy(&mut self, tree: &Tree, scope: usize) {
        let named: Vec<String> = names_of(tree.list("attlist")).into_iter().map(str::to_owned).collect();
        match tree.node("relation") {
            Some(relation) if tree.flag("is_from") => {
                self.writes(Some(relation), (!named.is_empty()).then_some(named));
            }
            Some(relation) => {
                let source = Source::Table { name: name_of(relation), renamed: Vec::new() };
                self.item(scope, None, vec![source.clone()]);
                match named.is_empty() {
                    true => self.refers(scope, Referred::Everything),
                    false => {
                        for name in named {
                            self.refers(scope, Referred::Among(vec![source.clone()], name));
                        }
                    }
                }
            }
            None => {}
        }
        self.children(tree, scope, &["relation", "attlist"]);
    }

    fn column(&mut self, tree: &Tree, scope: usize) {
        let fields = tree.list("fields");
        let star = fields.last().and_then(Value::as_node).is_some_and(|last| last.name == "AStar");
        let names = names_of(fields);
        let what = match (names.as_slice(), star) {
            ([], true) => Referred::Everything,
            ([.., item], true) => Referred::All((*item).to_owned()),
            ([only], false) => Referred::Plain((*only).to_owned()),
            ([.., item, name], false) => Referred::Of((*item).to_owned(), (*name).to_owned()),
            ([], false) => return,
        };
        self.refers(scope, what);
    }

    fn refers(&mut self, scope: usize, what: Referred) {
        self.uses.references.push(Reference { scope, output: self.output, what });
    }

    fn writes(&mut self, table: Option<&Tree>, columns: Option<Vec<String>>) {
        if let Some(table) = table {
            self.uses.writes.push(Written { table: name_of(table), columns });
        }
    }

    fn item(&mut self, scope: usize, label: Option<String>, sources: Vec<Source>) {
        self.add(scope, Item { label, sources, again: false });
    }

    fn add(&mut self, scope: usize, item: Item) {
        if let Some(scope) = self.uses.scopes.get_mut(scope) {
            scope.items.push(item);
        }
    }

    fn items(&self, scope: usize) -> &[Item] {
        self.uses.scopes.get(scope).map(|scope| scope.items.as_slice()).unwrap_or_default()
    }
}

/// The columns that are assigned to.
fn column_names<'a>(targets: impl Iterator<Item = &'a Tree>) -> Vec<String> {
    targets.filter(|target| target.name == "ResTarget").map(|target| target.text("name").to_owned()).collect()
}

fn label_of(relation: &Tree) -> Option<String> {
    alias_of(relation).or_else(|| Some(relation.text("relname").to_owned()))
}

fn alias_of(item: &Tree) -> Option<String> {
    item.node("alias").map(name_of_alias)
}

fn name_of_alias(alias: &Tree) -> String {
    alias.text("aliasname").to_owned()
}
