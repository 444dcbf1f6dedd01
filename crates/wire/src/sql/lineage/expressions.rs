//! Expressions: what a value is made of, and whether making it tells of what it is made of.
//!
//! Every expression with protected parts is computed from them. Where it could fail, branch or take its time by their
//! values it is a guess as well; that is so for every kind of node that is not listed here.

use pg_query::protobuf as pb;

use super::queries::{COMPUTES, ORDERS, Tracer};
use super::{Lost, Origin, functions, scope};
use crate::postgres::binary;
use crate::sql::access::Name;
use crate::sql::catalogue::{FIRST_USER_OID, UserFunction};
use crate::sql::tree::{Tree, Value, names_of};

/// Built-in types that keep a text as it is (`pg_type.dat`): name, text, char(n), varchar.
const TEXTS: &[u32] = &[19, 25, 1042, 1043];

impl Tracer<'_> {
    /// What an expression is made of.
    pub(super) fn expression(&mut self, tree: &Tree) -> Result<Origin, Lost> {
        match tree.name {
            "AConst" | "ParamRef" | "SqlValueFunction" | "SetToDefault" | "CurrentOfExpr"
            | "GroupingFunc" | "TypeName" | "String" | "Integer" | "Float" | "Boolean" | "BitString"
            | "AStar" => Ok(Origin::Clean),
            "ColumnRef" => self.column(tree),
            "CollateClause" => self.part(tree, "arg"),
            "TypeCast" => self.cast(tree),
            "FuncCall" => self.function(tree),
            "AExpr" => self.operation(tree),
            "BoolExpr" => self.connective(tree),
            "SubLink" => self.sublink(tree),
            "CaseExpr" => self.branches(tree),
            "CoalesceExpr" => self.coalesce(tree),
            "AIndirection" => self.within(tree),
            "NullTest" | "BooleanTest" | "MinMaxExpr" | "RowExpr" | "AArrayExpr" | "List"
            | "NamedArgExpr" | "ResTarget" => Ok(self.children(tree)?.computed()),
            "XmlExpr" if is_plain_xml(tree) => Ok(self.children(tree)?.computed()),
            "SelectStmt" => Ok(self.query(tree)?.whole()),
            _ => {
                let origin = self.children(tree)?;
                self.guess(&origin, COMPUTES);
                Ok(origin.computed())
            }
        }
    }

    fn part(&mut self, tree: &Tree, field: &str) -> Result<Origin, Lost> {
        tree.node(field).map_or(Ok(Origin::Clean), |part| self.expression(part))
    }

    /// Everything below a node.
    fn children(&mut self, tree: &Tree) -> Result<Origin, Lost> {
        let mut all = Origin::Clean;
        for (_, value) in &tree.fields {
            all = all.and(self.value(value)?);
        }
        Ok(all)
    }

    fn value(&mut self, value: &Value) -> Result<Origin, Lost> {
        match value {
            Value::Node(tree) => self.expression(tree),
            Value::List(values) => {
                let mut all = Origin::Clean;
                for value in values {
                    all = all.and(self.value(value)?);
                }
                Ok(all)
            }
            Value::Nothing | Value::Bool(_) | Value::Int(_) | Value::Text(_) => Ok(Origin::Clean),
        }
    }

    /// Whether it is made of arrays, and of nothing else: then it may be one itself.
    fn is_of_arrays(&self, origin: &Origin) -> bool {
        let array = |column: &usize| {
            self.bound.columns.get(*column).is_none_or(|one| binary::element_type(one.like).is_some())
        };
        origin.columns().is_some_and(|columns| columns.iter().all(array))
    }

    pub(super) fn list(&mut self, values: &[Value]) -> Result<Origin, Lost> {
        let mut all = Origin::Clean;
        for value in values {
            all = all.and(self.value(value)?);
        }
        Ok(all)
    }

    fn column(&mut self, tree: &Tree) -> Result<Origin, Lost> {
        let names = tree.names("fields");
        let starred = names.len() < tree.list("fields").len();
        let levels = &self.levels;
        let origin = match names.as_slice() {
            // `f(t.*)`, `count(*)` in older trees: the whole row.
            [] => levels.last().map_or(Origin::Clean, |level| level.star.whole()),
            [.., schema, name] if starred => scope::item(levels, Some(schema), name)?.rows.whole(),
            [name] if starred => scope::item(levels, None, name)?.rows.whole(),
            [name] => scope::plain(levels, name)?,
            [.., schema, item, name] => scope::column_of(scope::item(levels, Some(schema), item)?, name),
            [item, name] => match scope::item(levels, None, item) {
                Ok(item) => scope::column_of(item, name),
                // Part of a column that is a composite value.
                Err(lost) => scope::plain(levels, item).map_err(|_| lost)?.computed(),
            },
        };
        Ok(origin)
    }

    fn cast(&mut self, tree: &Tree) -> Result<Origin, Lost> {
        let origin = self.part(tree, "arg")?;
        let Some(target) = tree.node("type_name").filter(|_| !origin.is_clean()) else { return Ok(origin) };
        let names = target.names("names");
        let text = names.last().is_some_and(|name| functions::is_text(name))
            && names.first().is_none_or(|first| names.len() == 1 || *first == "pg_catalog")
            && !target.has("array_bounds");
        if !text {
            self.guess(&origin, COMPUTES);
            return Ok(origin.computed());
        }
        let keeps = !target.has("typmods") && names.last() != Some(&"bpchar") && self.are_texts(&origin);
        Ok(if keeps { origin } else { origin.computed() })
    }

    /// Whether everything that it is made of is text.
    fn are_texts(&self, origin: &Origin) -> bool {
        let like =
            |column: &usize| self.bound.columns.get(*column).is_some_and(|one| TEXTS.contains(&one.like));
        origin.columns().into_iter().flatten().all(like)
    }

    fn function(&mut self, tree: &Tree) -> Result<Origin, Lost> {
        let arguments = self.list(tree.list("args"))?;
        let mut order = Origin::Clean;
        for sort in tree.nodes("agg_order") {
            order = order.and(self.part(sort, "node")?);
        }
        self.guess(&order, ORDERS);
        let filter = self.part(tree, "agg_filter")?;
        if let Some(window) = tree.node("over") {
            self.window(window)?;
        }
        let given = arguments.and(order).and(filter);
        let Some(name) = Name::of_parts(&tree.names("funcname")) else {
            return Err(Lost("a function without a name".to_owned()));
        };
        if functions::runs_text(&name.name) {
            self.guess(&Origin::of(self.bound.all.clone()), COMPUTES);
        }
        if !self.is_harmless(&name) {
            self.guess(&given, COMPUTES);
            return Ok(Origin::of(self.bound.all.clone()));
        }
        // Arrays of different sizes can't be put into one.
        let fits = name.name != "array_agg" || !self.is_of_arrays(&given);
        if !functions::is_total(&name.name) || !fits {
            self.guess(&given, COMPUTES);
        }
        Ok(given)
    }

    /// Whether a function, wherever it runs, gives back nothing that is protected but what it is given.
    pub(super) fn is_harmless(&self, name: &Name) -> bool {
        self.is_built_in(name) && !functions::reads_anything(&name.name) && !functions::runs_text(&name.name)
    }

    /// Whether a name means a function of the server's own. One that users have made for types of their own stands
    /// beside it (extensions have many), and knows no more than its arguments.
    fn is_built_in(&self, name: &Name) -> bool {
        let by_name = match name.schema.as_deref() {
            None | Some("pg_catalog") => self.catalogue.builtin_functions.contains_key(&name.name),
            Some("information_schema") => self.catalogue.information_functions.contains_key(&name.name),
            Some(_) => false,
        };
        let in_sight = |schema: &str| match &name.schema {
            Some(written) => written == schema,
            None => self.path.iter().any(|one| one == schema),
        };
        let mut own = self.catalogue.functions.get(&name.name).into_iter().flatten();
        let stands_in = |function: &UserFunction| {
            in_sight(&function.schema) && function.arguments.iter().all(|oid| *oid < FIRST_USER_OID)
        };
        by_name && name.catalog.is_none() && !own.any(stands_in)
    }

    fn operation(&mut self, tree: &Tree) -> Result<Origin, Lost> {
        use pb::AExprKind as K;
        let left = self.part(tree, "lexpr")?;
        let right = self.part(tree, "rexpr")?;
        let names = tree.names("name");
        let plain = matches!(names.as_slice(), [_] | ["pg_catalog", _]);
        let name = names.last().copied().unwrap_or_default();
        let total = match K::try_from(i32::try_from(tree.int("kind")).unwrap_or(0)) {
            Ok(K::AexprOp) if name == "||" => plain && self.are_texts(&left) && self.are_texts(&right),
            Ok(K::AexprOp | K::AexprOpAny | K::AexprOpAll | K::AexprIn) => {
                plain && name != "||" && functions::is_total_operator(name)
            }
            Ok(K::AexprDistinct | K::AexprNotDistinct | K::AexprNullif) => true,
            Ok(K::AexprBetween | K::AexprNotBetween | K::AexprBetweenSym | K::AexprNotBetweenSym) => true,
            // A pattern that is data may be no pattern; matching against a constant one takes a while and no more.
            Ok(K::AexprLike | K::AexprIlike) => right.is_clean(),
            Ok(K::AexprSimilar | K::Undefined) | Err(_) => false,
        };
        let origin = left.and(right);
        if !plain || !self.catalogue.builtin_operators.contains_key(name) && is_named(tree) {
            // An operator of users may give back anything.
            self.guess(&origin, COMPUTES);
            return Ok(Origin::of(self.bound.all.clone()));
        }
        if !total {
            self.guess(&origin, COMPUTES);
        }
        Ok(origin)
    }

    /// AND and OR may leave out what stands behind: what that does then tells of what stands in front.
    fn connective(&mut self, tree: &Tree) -> Result<Origin, Lost> {
        let origin = self.list(tree.list("args"))?;
        if tree.int("boolop") != pb::BoolExprType::NotExpr as i64 {
            self.guess(&origin, COMPUTES);
        }
        Ok(origin.computed())
    }

    fn sublink(&mut self, tree: &Tree) -> Result<Origin, Lost> {
        use pb::SubLinkType as L;
        let test = self.part(tree, "testexpr")?;
        let select = tree.node("subselect").ok_or_else(|| Lost("a subquery without a query".to_owned()))?;
        let rows = self.query(select)?;
        Ok(match L::try_from(i32::try_from(tree.int("sub_link_type")).unwrap_or(0)) {
            Ok(L::ExistsSublink) => Origin::Clean,
            Ok(L::ExprSublink) if rows.columns.len() == 1 && rows.open.is_none() => {
                rows.columns.into_iter().next().map(|column| column.origin).unwrap_or_default()
            }
            Ok(L::ArraySublink | L::ExprSublink | L::MultiexprSublink) => rows.whole(),
            _ => {
                let origin = test.and(rows.whole());
                // Which rows are looked at ends with the first that fits.
                self.guess(&origin, COMPUTES);
                origin
            }
        })
    }

    fn branches(&mut self, tree: &Tree) -> Result<Origin, Lost> {
        let subject = self.part(tree, "arg")?;
        self.guess(&subject, COMPUTES);
        let mut results = self.part(tree, "defresult")?;
        for branch in tree.nodes("args") {
            let condition = self.part(branch, "expr")?;
            self.guess(&condition, COMPUTES);
            results = results.and(condition).and(self.part(branch, "result")?);
        }
        Ok(results.and(subject).computed())
    }

    /// What stands behind is made only where what stands in front is NULL.
    fn coalesce(&mut self, tree: &Tree) -> Result<Origin, Lost> {
        let simple = |value: &Value| {
            value.as_node().is_none_or(|node| matches!(node.name, "AConst" | "ColumnRef" | "ParamRef"))
        };
        let origin = self.list(tree.list("args"))?;
        if !tree.list("args").iter().skip(1).all(simple) {
            self.guess(&origin, COMPUTES);
        }
        Ok(origin.computed())
    }

    /// A subscript or a field of something.
    fn within(&mut self, tree: &Tree) -> Result<Origin, Lost> {
        let names = names_of(tree.list("indirection"));
        let arg = tree.node("arg");
        if let (Some(arg), [name], 1) = (arg, names.as_slice(), tree.list("indirection").len())
            && arg.name == "ColumnRef"
            && let [item] = arg.names("fields").as_slice()
            && arg.list("fields").len() == 1
            && let Ok(item) = scope::item(&self.levels, None, item)
        {
            return Ok(scope::column_of(item, name).computed());
        }
        let subject = self.part(tree, "arg")?;
        let subscripts = self.list(tree.list("indirection"))?;
        Ok(subject.and(subscripts).computed())
    }
}

/// Whether an operator is written out; BETWEEN and its kin stand for comparisons.
fn is_named(tree: &Tree) -> bool {
    use pb::AExprKind as K;
    let kind = K::try_from(i32::try_from(tree.int("kind")).unwrap_or(0));
    !matches!(kind, Ok(K::AexprBetween | K::AexprNotBetween | K::AexprBetweenSym | K::AexprNotBetweenSym))
}

/// Elements are made of every text; other XML is read, and may be found wrong.
fn is_plain_xml(tree: &Tree) -> bool {
    let operation = tree.int("op");
    operation == pb::XmlExprOp::IsXmlelement as i64 || operation == pb::XmlExprOp::IsXmlforest as i64
}
