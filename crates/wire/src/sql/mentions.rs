//! The walk over a statement's tree: every node is visited, every name that could reach code or data is noted.
//!
//! Only what needs context has a case of its own (WITH names hide tables, a DML statement's target is written, the
//! names behind FOR UPDATE OF are aliases); everything else is visited by its fields, whatever they are.

use std::collections::BTreeSet;

use pg_query::protobuf as pb;

use super::access::{Found, FunctionUse, Name, Operand, OperatorUse};
use super::facts::{Access, Predicate};
use super::kinds::Verb;
use super::nodes;
use super::tree::{Tree, Value, names_of};

/// A walk in progress.
pub(super) struct Walk {
    pub(super) found: Found,
    /// WITH names in sight, innermost scope last.
    scopes: Vec<BTreeSet<String>>,
    /// What is done to the relations that are met.
    access: Access,
    /// Whether nested statements run (in a definition, such as a rule's body, they do not).
    runs: bool,
}

impl Walk {
    /// A walk over something that runs, whose relations are met with `access` unless a nested query reads them.
    pub(super) fn new(access: Access) -> Walk {
        Walk { found: Found::default(), scopes: Vec::new(), access, runs: true }
    }

    /// A walk over a definition: what it names is not run by defining it.
    pub(super) fn definition() -> Walk {
        Walk { runs: false, ..Walk::new(Access::Ddl) }
    }

    pub(super) fn visit(&mut self, tree: &Tree) {
        self.note_node(tree.name);
        match tree.name {
            "SelectStmt" => self.select(tree),
            "InsertStmt" => self.modify(tree, "insert"),
            "UpdateStmt" => self.modify(tree, "update"),
            "DeleteStmt" => self.modify(tree, "delete"),
            "MergeStmt" => self.merge(tree),
            "RangeVar" => self.relation(tree, self.access),
            // The names behind OF are aliases of the same query, not relations.
            "LockingClause" => self.found.locks_rows = true,
            "IntoClause" => self.create_into(tree),
            _ => {
                self.expression(tree);
                self.children(tree, &[]);
            }
        }
    }

    fn note_node(&mut self, node: &'static str) {
        let since = if nodes::changes_data(node) {
            Some(nodes::changes_data_since(node))
        } else {
            nodes::since(node)
        };
        match since {
            Some(nodes::OLDEST) => {}
            Some(major) => {
                self.found.mentions.younger_nodes.insert((major, node));
            }
            None => {
                self.found.mentions.foreign_nodes.insert(node);
            }
        }
    }

    /// Visits the children of a node, leaving out the named fields.
    pub(super) fn children(&mut self, tree: &Tree, except: &[&str]) {
        for (field, value) in &tree.fields {
            if !except.contains(field) {
                self.value(value);
            }
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Node(tree) => self.visit(tree),
            Value::List(values) => values.iter().for_each(|v| self.value(v)),
            Value::Nothing | Value::Bool(_) | Value::Int(_) | Value::Text(_) => {}
        }
    }

    /// Runs `body` with the names of a WITH clause in sight, after visiting the clause itself.
    fn with_clause(&mut self, tree: &Tree, body: impl FnOnce(&mut Walk)) {
        let Some(with) = tree.node("with_clause") else {
            return body(self);
        };
        self.note_node(with.name);
        let names = |t: &Tree| t.text("ctename").to_owned();
        let recursive = with.flag("recursive");
        // A plain WITH item sees only those before it; with RECURSIVE each sees all.
        self.scopes.push(if recursive { with.nodes("ctes").map(names).collect() } else { BTreeSet::new() });
        for cte in with.nodes("ctes") {
            if let Some(query) = cte.node("ctequery")
                && nodes::changes_data(query.name)
                && self.runs
            {
                self.found.data_modifying_cte = true;
            }
            self.visit(cte);
            if !recursive && let Some(scope) = self.scopes.last_mut() {
                scope.insert(names(cte));
            }
        }
        body(self);
        self.scopes.pop();
    }

    fn select(&mut self, tree: &Tree) {
        let outer = std::mem::replace(&mut self.access, Access::Read);
        self.with_clause(tree, |walk| walk.children(tree, &["with_clause"]));
        self.access = outer;
    }

    fn modify(&mut self, tree: &Tree, verb: &'static str) {
        let outer = std::mem::replace(&mut self.access, Access::Read);
        self.with_clause(tree, |walk| {
            walk.target(tree, verb);
            walk.children(tree, &["with_clause", "relation"]);
        });
        self.access = outer;
        if verb == "insert"
            && let Some(conflict) = tree.node("on_conflict_clause")
            && conflict.int("action") == pb::OnConflictAction::OnconflictUpdate as i64
        {
            self.verb("update");
        }
        if verb != "insert" && self.runs {
            self.found.predicates.push(Predicate {
                verb: Verb(verb),
                table: tree.node("relation").map(|r| name_of(r).to_string()).unwrap_or_default(),
                has_where: tree.has("where_clause"),
            });
        }
    }

    fn merge(&mut self, tree: &Tree) {
        let outer = std::mem::replace(&mut self.access, Access::Read);
        self.with_clause(tree, |walk| {
            walk.target(tree, "merge");
            walk.children(tree, &["with_clause", "relation"]);
        });
        self.access = outer;
    }

    /// The target of a data-modifying statement. A WITH name cannot be one, so it is always a relation.
    fn target(&mut self, tree: &Tree, verb: &'static str) {
        self.verb(verb);
        if let Some(relation) = tree.node("relation") {
            let name = name_of(relation);
            let access = if self.runs { Access::Write } else { Access::Read };
            self.found.mentions.relations.insert((name, access));
        }
    }

    fn verb(&mut self, verb: &'static str) {
        if self.runs {
            self.found.verbs.insert(Verb(verb));
        }
    }

    fn create_into(&mut self, tree: &Tree) {
        self.found.select_into = true;
        self.creates(tree.node("rel"));
        self.children(tree, &["rel"]);
    }

    /// Notes a relation that the statement creates.
    pub(super) fn creates(&mut self, relation: Option<&Tree>) {
        let Some(relation) = relation else { return };
        let schema = relation.text("schemaname");
        if relation.text("relpersistence") == "t" || schema == "pg_temp" || schema.starts_with("pg_temp_") {
            self.found.creates_temporary = true;
        }
        self.found.mentions.relations.insert((name_of(relation), Access::Ddl));
    }

    pub(super) fn relation(&mut self, tree: &Tree, access: Access) {
        let name = name_of(tree);
        let hidden = access == Access::Read
            && name.schema.is_none()
            && self.scopes.iter().any(|names| names.contains(&name.name));
        if !hidden {
            self.found.mentions.relations.insert((name, access));
        }
    }

    /// Notes what an expression node names beside its children.
    fn expression(&mut self, tree: &Tree) {
        match tree.name {
            "FuncCall" => self.function(tree),
            "AExpr" => self.operator_expression(tree),
            "SubLink" => self.sublink(tree),
            "JoinExpr" if tree.flag("is_natural") || tree.has("using_clause") => {
                self.operator(&["="], Operand::Typed, Operand::Typed);
            }
            "CaseExpr" => self.simple_case(tree),
            "SortBy" => {
                let names = tree.names("use_op");
                self.operator(&names, Operand::Typed, Operand::Typed);
            }
            "TypeName" => self.type_name(tree),
            "RangeFunction" => self.range_function(tree),
            "ColumnRef" => self.column(tree),
            "AIndirection" | "ResTarget" => {
                let names = names_of(tree.list("indirection"));
                self.found.mentions.attributes.extend(names.into_iter().map(str::to_owned));
            }
            "RangeTableSample" => {
                if let Some(name) = Name::of_parts(&tree.names("method")) {
                    self.found.mentions.samples.insert(name);
                }
            }
            "ParamRef" => {
                let number = u32::try_from(tree.int("number")).unwrap_or(0);
                self.found.mentions.parameters.insert(number);
            }
            "CurrentOfExpr" => {
                self.found.cursors.insert(tree.text("cursor_name").to_owned());
            }
            _ => {}
        }
    }

    fn function(&mut self, tree: &Tree) {
        let Some(name) = Name::of_parts(&tree.names("funcname")) else {
            self.found.mentions.foreign_nodes.insert("FuncCall");
            return;
        };
        let positional = !tree.flag("func_variadic")
            && !tree.flag("agg_within_group")
            && tree.nodes("args").all(|a| a.name != "NamedArgExpr");
        let arguments = positional.then(|| tree.nodes("args").map(is_typed).collect());
        self.found.mentions.functions.insert(FunctionUse { name, arguments });
    }

    fn operator(&mut self, names: &[&str], left: Operand, right: Operand) {
        if let Some(name) = Name::of_parts(names) {
            if name.catalog.is_some() {
                self.found.mentions.foreign_nodes.insert("AExpr");
            }
            self.found.mentions.operators.insert(OperatorUse { name, left, right });
        }
    }

    fn operator_expression(&mut self, tree: &Tree) {
        use pb::AExprKind as K;
        let (left, right) = (operand(tree.node("lexpr")), operand(tree.node("rexpr")));
        // BETWEEN is spelled as its own name and means comparisons.
        let comparisons: &[&str] = match K::try_from(i32::try_from(tree.int("kind")).unwrap_or(0)) {
            Ok(K::AexprBetween) => &[">=", "<="],
            Ok(K::AexprNotBetween) => &["<", ">"],
            Ok(K::AexprBetweenSym | K::AexprNotBetweenSym) => &[">=", "<=", "<", ">"],
            Ok(K::Undefined) | Err(_) => {
                self.found.mentions.foreign_nodes.insert("AExpr");
                &[]
            }
            Ok(_) => {
                let names = tree.names("name");
                self.operator(&names, left, right);
                &[]
            }
        };
        for name in comparisons {
            self.operator(&[name], left, right);
        }
    }

    fn sublink(&mut self, tree: &Tree) {
        let names = tree.names("oper_name");
        let left = operand(tree.node("testexpr"));
        if !names.is_empty() {
            self.operator(&names, left, Operand::Typed);
        } else if tree.has("testexpr") {
            self.operator(&["="], left, Operand::Typed);
        }
    }

    /// Functions in FROM come as lists of the call and its columns. SQL/JSON functions among them are not expected.
    fn range_function(&mut self, tree: &Tree) {
        let calls = tree.nodes("functions").filter_map(|list| list.list("items").first()?.as_node());
        let everyday = |call: &Tree| {
            matches!(
                call.name,
                "FuncCall"
                    | "SqlValueFunction"
                    | "TypeCast"
                    | "CoalesceExpr"
                    | "MinMaxExpr"
                    | "XmlExpr"
                    | "XmlSerialize"
            )
        };
        if !calls.into_iter().all(everyday) {
            self.found.mentions.foreign_nodes.insert("RangeFunction");
        }
    }

    /// `CASE x WHEN y` compares with `=`.
    fn simple_case(&mut self, tree: &Tree) {
        let Some(subject) = tree.node("arg") else { return };
        let typed = tree.nodes("args").all(|when| when.node("expr").is_some_and(is_typed));
        let right = if typed { Operand::Typed } else { Operand::Untyped };
        self.operator(&["="], operand(Some(subject)), right);
    }

    fn type_name(&mut self, tree: &Tree) {
        // The server takes only constants as modifiers, whatever the grammar lets through.
        let odd_modifiers =
            tree.list("typmods").iter().any(|m| m.as_node().is_none_or(|m| m.name != "AConst"));
        if tree.flag("pct_type") || tree.int("type_oid") != 0 || odd_modifiers {
            self.found.mentions.foreign_nodes.insert("TypeName");
        }
        if let Some(name) = Name::of_parts(&tree.names("names")) {
            self.found.mentions.types.insert(name);
        }
    }

    fn column(&mut self, tree: &Tree) {
        let fields = tree.list("fields");
        if fields.len() > 1
            && let Some(last) = fields.last().and_then(Value::as_node)
            && last.name == "String"
        {
            self.found.mentions.attributes.insert(last.text("sval").to_owned());
        }
    }
}

/// The name of a RangeVar.
pub(super) fn name_of(range_var: &Tree) -> Name {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Name {
        catalog: some(range_var.text("catalogname")),
        schema: some(range_var.text("schemaname")),
        name: range_var.text("relname").to_owned(),
    }
}

fn operand(tree: Option<&Tree>) -> Operand {
    match tree {
        None => Operand::Absent,
        Some(tree) if is_typed(tree) => Operand::Typed,
        Some(_) => Operand::Untyped,
    }
}

/// Whether an expression brings its own type, so that no operator or function can give it another. Doubt is no.
fn is_typed(tree: &Tree) -> bool {
    match tree.name {
        "ColumnRef" | "TypeCast" | "FuncCall" | "AExpr" | "BoolExpr" | "NullTest" | "BooleanTest"
        | "SqlValueFunction" | "AIndirection" | "XmlExpr" | "GroupingFunc" | "SubLink" | "CaseExpr"
        | "CoalesceExpr" | "MinMaxExpr" => true,
        "AConst" => {
            tree.node("val").is_some_and(|v| matches!(v.name, "Integer" | "Float" | "Boolean" | "BitString"))
        }
        "AArrayExpr" => tree.has("elements") && tree.nodes("elements").all(is_typed),
        "CollateClause" => tree.node("arg").is_some_and(is_typed),
        "List" => tree.nodes("items").all(is_typed),
        _ => false,
    }
}
