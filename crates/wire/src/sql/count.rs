//! The query that counts the rows a statement would touch.
//!
//! Built from the statement's own syntax, not by cutting text: the tree's WHERE becomes the WHERE of a
//! `SELECT count(*)`. Whether it may be run is judged like any read (a look before approval is an attack unless it
//! passes the same list), so the query carries its own mentions.

use pg_query::protobuf as pb;
use pg_query::{DeparseOptions, NodeEnum};

use super::access::Mentions;
use super::facts::Access;
use super::mentions::Walk;
use super::tree::{Tree, tree_of};

/// A way to know the rows beforehand, if the mentions are proved.
#[derive(Clone, Debug)]
pub(super) enum Countable {
    Exactly(u64),
    Query { sql: String, mentions: Box<Mentions> },
}

/// How the rows of a single top-level INSERT, UPDATE or DELETE can be counted. Nothing for everything else, and for
/// shapes where a count would not be the rows touched (ON CONFLICT, WHERE CURRENT OF, WITH that changes data).
pub(super) fn countable(tree: &Tree, raw: &pb::Node) -> Option<Countable> {
    let node = raw.node.as_ref()?;
    if contains(tree, "CurrentOfExpr") {
        return None;
    }
    let select = match node {
        NodeEnum::UpdateStmt(s) => {
            let extra = exists(&s.from_clause, s.where_clause.as_deref());
            count_of(
                s.relation.clone()?,
                extra.or_else(|| s.where_clause.as_deref().cloned()),
                s.with_clause.clone(),
            )
        }
        NodeEnum::DeleteStmt(s) => {
            let extra = exists(&s.using_clause, s.where_clause.as_deref());
            count_of(
                s.relation.clone()?,
                extra.or_else(|| s.where_clause.as_deref().cloned()),
                s.with_clause.clone(),
            )
        }
        NodeEnum::InsertStmt(s) if s.on_conflict_clause.is_none() => match s.select_stmt.as_deref() {
            None => return Some(Countable::Exactly(1)),
            Some(source) => return inserted(source, s.with_clause.clone()),
        },
        _ => return None,
    };
    queried(select)
}

fn inserted(source: &pb::Node, with: Option<pb::WithClause>) -> Option<Countable> {
    let Some(NodeEnum::SelectStmt(select)) = source.node.as_ref() else { return None };
    let plain_values =
        !select.values_lists.is_empty() && select.limit_count.is_none() && select.limit_offset.is_none();
    if plain_values {
        return u64::try_from(select.values_lists.len()).ok().map(Countable::Exactly);
    }
    let rows = NodeEnum::RangeSubselect(Box::new(pb::RangeSubselect {
        lateral: false,
        subquery: Some(Box::new(source.clone())),
        alias: Some(pb::Alias { aliasname: "countersign_rows".to_owned(), colnames: Vec::new() }),
    }));
    queried(select_count(vec![node(rows)], None, with))
}

fn queried(select: pb::SelectStmt) -> Option<Countable> {
    let statement = node(NodeEnum::SelectStmt(Box::new(select)));
    let tree = tree_of(&statement).ok()?;
    let mut walk = Walk::new(Access::Read);
    walk.visit(&tree);
    let found = walk.found;
    // A WITH that changes data, or a lock, would come along into the count.
    if !found.verbs.is_empty() || found.locks_rows || found.select_into {
        return None;
    }
    // What is not understood is never proved, and never given to the deparser either.
    if !found.mentions.foreign_nodes.is_empty() {
        return None;
    }
    let sql = statement.node?.deparse(DeparseOptions::default()).ok()?;
    Some(Countable::Query { sql, mentions: Box::new(found.mentions) })
}

fn count_of(
    target: pb::RangeVar,
    condition: Option<pb::Node>,
    with: Option<pb::WithClause>,
) -> pb::SelectStmt {
    select_count(vec![node(NodeEnum::RangeVar(target))], condition, with)
}

/// With other tables in FROM or USING a target row counts once, however many rows it joins.
fn exists(others: &[pb::Node], condition: Option<&pb::Node>) -> Option<pb::Node> {
    if others.is_empty() {
        return None;
    }
    let one = pb::AConst {
        isnull: false,
        location: -1,
        val: Some(pb::a_const::Val::Ival(pb::Integer { ival: 1 })),
    };
    let inner = select(vec![target(NodeEnum::AConst(one))], others.to_vec(), condition.cloned(), None);
    Some(node(NodeEnum::SubLink(Box::new(pb::SubLink {
        sub_link_type: pb::SubLinkType::ExistsSublink as i32,
        subselect: Some(Box::new(node(NodeEnum::SelectStmt(Box::new(inner))))),
        ..pb::SubLink::default()
    }))))
}

fn select_count(
    from: Vec<pb::Node>,
    condition: Option<pb::Node>,
    with: Option<pb::WithClause>,
) -> pb::SelectStmt {
    let name = |part: &str| node(NodeEnum::String(pb::String { sval: part.to_owned() }));
    let count = pb::FuncCall {
        funcname: vec![name("pg_catalog"), name("count")],
        agg_star: true,
        funcformat: pb::CoercionForm::CoerceExplicitCall as i32,
        ..pb::FuncCall::default()
    };
    select(vec![target(NodeEnum::FuncCall(Box::new(count)))], from, condition, with)
}

fn select(
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

fn target(value: NodeEnum) -> pb::Node {
    node(NodeEnum::ResTarget(Box::new(pb::ResTarget {
        val: Some(Box::new(node(value))),
        ..pb::ResTarget::default()
    })))
}

fn node(inner: NodeEnum) -> pb::Node {
    pb::Node { node: Some(inner) }
}

fn contains(tree: &Tree, name: &str) -> bool {
    use super::tree::Value;
    fn within(value: &Value, name: &str) -> bool {
        match value {
            Value::Node(tree) => contains(tree, name),
            Value::List(values) => values.iter().any(|v| within(v, name)),
            _ => false,
        }
    }
    tree.name == name || tree.fields.iter().any(|(_, value)| within(value, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(sql: &str) -> String {
        let parsed = crate::sql::parse(sql.as_bytes()).unwrap();
        match &parsed.statements[0].countable {
            None => "none".to_owned(),
            Some(Countable::Exactly(n)) => n.to_string(),
            Some(Countable::Query { sql, .. }) => sql.clone(),
        }
    }

    #[test]
    fn updates_and_deletes_become_counts() {
        assert_eq!(
            count("delete from orders where id in (select id from todo) returning *"),
            "SELECT pg_catalog.count(*) FROM orders WHERE id IN (SELECT id FROM todo)"
        );
        assert_eq!(
            count("update only s.t as x set a = $2 where x.b = $1"),
            "SELECT pg_catalog.count(*) FROM ONLY s.t x WHERE x.b = $1"
        );
        assert_eq!(count("delete from t"), "SELECT pg_catalog.count(*) FROM t");
        assert_eq!(
            count("with d as (select 1 as id) delete from t using d where t.id = d.id"),
            "WITH d AS (SELECT 1 AS id) SELECT pg_catalog.count(*) FROM t \
             WHERE EXISTS (SELECT 1 FROM d WHERE t.id = d.id)"
        );
    }

    #[test]
    fn inserts_are_counted_where_the_text_says_it_all() {
        assert_eq!(count("insert into t values (1), (2)"), "2");
        assert_eq!(count("insert into t default values"), "1");
        assert_eq!(
            count("insert into t select * from s where a > 1"),
            "SELECT pg_catalog.count(*) FROM (SELECT * FROM s WHERE a > 1) countersign_rows"
        );
        assert_eq!(count("insert into t values (1) on conflict do nothing"), "none");
    }

    #[test]
    fn what_cannot_be_counted_is_not() {
        assert_eq!(count("delete from t where current of c"), "none");
        assert_eq!(
            count("with d as (delete from a returning id) delete from t using d where t.id = d.id"),
            "none"
        );
        assert_eq!(count("truncate t"), "none");
        assert_eq!(count("merge into t using s on t.id = s.id when matched then delete"), "none");
    }
}
