//! Pieces of syntax to build queries from.
//!
//! Trees only, never text: what a statement says stays what it says wherever it is put. Names of our own are qualified.

use pg_query::NodeEnum;
use pg_query::protobuf as pb;

/// The alias of a query that stands in FROM.
const ROWS: &str = "countersign_rows";

pub(super) fn node(inner: NodeEnum) -> pb::Node {
    pb::Node { node: Some(inner) }
}

fn name(part: &str) -> pb::Node {
    node(NodeEnum::String(pb::String { sval: part.to_owned() }))
}

/// An output column.
pub(super) fn target(value: NodeEnum) -> pb::Node {
    node(NodeEnum::ResTarget(Box::new(pb::ResTarget {
        val: Some(Box::new(node(value))),
        ..pb::ResTarget::default()
    })))
}

/// `1` as an output column.
pub(super) fn one() -> pb::Node {
    let val = Some(pb::a_const::Val::Ival(pb::Integer { ival: 1 }));
    target(NodeEnum::AConst(pb::AConst { isnull: false, location: -1, val }))
}

/// `pg_catalog.count(*)` as an output column.
pub(super) fn func_count() -> pb::Node {
    target(NodeEnum::FuncCall(Box::new(pb::FuncCall {
        funcname: vec![name("pg_catalog"), name("count")],
        agg_star: true,
        funcformat: pb::CoercionForm::CoerceExplicitCall as i32,
        ..pb::FuncCall::default()
    })))
}

/// Every column of `relation` as output columns.
pub(super) fn star(relation: &str) -> pb::Node {
    let fields = vec![name(relation), node(NodeEnum::AStar(pb::AStar {}))];
    target(NodeEnum::ColumnRef(pb::ColumnRef { fields, location: -1 }))
}

/// `SELECT targets FROM from WHERE condition`.
pub(super) fn select(
    targets: Vec<pb::Node>,
    from: Vec<pb::Node>,
    condition: Option<pb::Node>,
    with: Option<pb::WithClause>,
) -> pb::SelectStmt {
    pb::SelectStmt {
        target_list: targets,
        from_clause: from,
        where_clause: condition.map(Box::new),
        with_clause: with,
        limit_option: pb::LimitOption::Default as i32,
        op: pb::SetOperation::SetopNone as i32,
        ..pb::SelectStmt::default()
    }
}

/// `SELECT targets FROM (source)`.
pub(super) fn all_of(
    targets: Vec<pb::Node>,
    source: pb::Node,
    with: Option<pb::WithClause>,
) -> pb::SelectStmt {
    let rows = NodeEnum::RangeSubselect(Box::new(pb::RangeSubselect {
        lateral: false,
        subquery: Some(Box::new(source)),
        alias: Some(pb::Alias { aliasname: ROWS.to_owned(), colnames: Vec::new() }),
    }));
    select(targets, vec![node(rows)], None, with)
}

/// `EXISTS (SELECT 1 FROM from WHERE condition)`.
pub(super) fn exists(from: Vec<pb::Node>, condition: Option<pb::Node>) -> pb::Node {
    let inner = select(vec![one()], from, condition, None);
    node(NodeEnum::SubLink(Box::new(pb::SubLink {
        sub_link_type: pb::SubLinkType::ExistsSublink as i32,
        subselect: Some(Box::new(node(NodeEnum::SelectStmt(Box::new(inner))))),
        ..pb::SubLink::default()
    })))
}

/// `left JOIN right ON on`.
pub(super) fn join(
    kind: pb::JoinType,
    (left, right): (pb::Node, pb::Node),
    on: Option<pb::Node>,
) -> pb::Node {
    node(NodeEnum::JoinExpr(Box::new(pb::JoinExpr {
        jointype: kind as i32,
        larg: Some(Box::new(left)),
        rarg: Some(Box::new(right)),
        quals: on.map(Box::new),
        ..pb::JoinExpr::default()
    })))
}

/// All of these conditions; nothing if there are none.
pub(super) fn and(mut conditions: Vec<pb::Node>) -> Option<pb::Node> {
    match conditions.len() {
        0 | 1 => conditions.pop(),
        _ => Some(boolean(pb::BoolExprType::AndExpr, conditions)),
    }
}

pub(super) fn not(condition: pb::Node) -> pb::Node {
    boolean(pb::BoolExprType::NotExpr, vec![condition])
}

fn boolean(kind: pb::BoolExprType, args: Vec<pb::Node>) -> pb::Node {
    let expression = pb::BoolExpr { boolop: kind as i32, args, location: -1, ..pb::BoolExpr::default() };
    node(NodeEnum::BoolExpr(Box::new(expression)))
}

/// `condition IS NOT TRUE`.
pub(super) fn is_not_true(condition: pb::Node) -> pb::Node {
    node(NodeEnum::BooleanTest(Box::new(pb::BooleanTest {
        arg: Some(Box::new(condition)),
        booltesttype: pb::BoolTestType::IsNotTrue as i32,
        location: -1,
        ..pb::BooleanTest::default()
    })))
}
