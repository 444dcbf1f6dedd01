//! What is known beforehand of the rows that a statement would touch: queries that count them, that show the server's
//! plan for them, and that name them.
//!
//! Built from the statement's own syntax, not by cutting text: the tree's WHERE becomes the WHERE of a
//! `SELECT count(*)`. Whether such a query may be run is judged like any read (a look before approval is an attack
//! unless it passes the same list), so each carries its own mentions. What cannot be counted says why not; nothing is
//! guessed.

use std::collections::BTreeSet;

use pg_query::protobuf as pb;
use pg_query::{DeparseOptions, NodeEnum};

use super::access::{Mentions, Name};
use super::build::{
    all_of, and, exists, func_count, is_not_true, join, node, not, one, select, star, target,
};
use super::facts::Access;
use super::kinds::Verb;
use super::mentions::Walk;
use super::tree::{Tree, tree_of};

/// How many branches of a MERGE are counted, and tables of a TRUNCATE. More are told to be unknown.
const BRANCHES_MAX: usize = 16;

/// What is foreseen of one statement.
#[derive(Clone, Debug)]
pub(super) struct Foreseen {
    /// How many rows it writes; nothing for what writes none.
    pub(super) rows: Option<Rows>,
    /// Whose plan tells how many rows the server expects.
    pub(super) plan: Option<Query>,
    /// The rows that an UPDATE or DELETE takes away or changes.
    pub(super) affected: Option<Affected>,
}

/// A query that only reads, if its mentions are proved.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) sql: String,
    pub(super) mentions: Box<Mentions>,
}

/// A way to know the rows beforehand.
#[derive(Clone, Debug)]
pub(super) enum Rows {
    Exactly(u64),
    /// Some of them may turn out to be there already.
    UpTo(u64),
    Query(Query),
    QueryUpTo(Query),
    Branches(Vec<Branch>),
    Unknown(&'static str),
}

/// One branch of a MERGE, or table of a TRUNCATE.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) when: String,
    pub(super) verb: Option<Verb>,
    pub(super) query: Query,
}

/// The rows of one table that are deleted or updated, whole.
#[derive(Clone, Debug)]
pub(super) struct Affected {
    pub(super) query: Query,
    /// The table.
    pub(super) relation: Name,
    pub(super) verb: Verb,
    /// The columns that an UPDATE sets.
    pub(super) columns: BTreeSet<String>,
}

/// Why a statement's rows cannot be counted.
const CURSOR: &str = "which row it means depends on where a cursor stands";
const WRITING_WITH: &str = "rows are changed in its WITH clause, and what follows depends on them";
const UNREAD: &str = "what selects its rows is not understood";
const SEVERAL: &str = "they are those of more than one statement";
const MANY: &str = "it has more branches than are counted";

/// Whether an INSERT anywhere in it updates what is there already.
pub(super) fn upserts(tree: &Tree) -> bool {
    any(tree, &|tree| {
        tree.name == "OnConflictClause" && tree.int("action") == pb::OnConflictAction::OnconflictUpdate as i64
    })
}

/// What is foreseen of a single top-level statement; nothing for what neither reads nor writes rows.
pub(super) fn foresee(tree: &Tree, raw: &pb::Node) -> Option<Foreseen> {
    let written = raw.node.as_ref()?;
    let rows = |rows: Rows| Foreseen { rows: Some(rows), plan: None, affected: None };
    if contains(tree, "CurrentOfExpr") {
        return Some(rows(Rows::Unknown(CURSOR)));
    }
    let foreseen = match written {
        NodeEnum::UpdateStmt(s) => {
            let columns = s.target_list.iter().filter_map(set_column).collect();
            let part =
                Part::new(s.relation.as_ref()?, (&s.from_clause, s.where_clause.as_deref()), &s.with_clause);
            part.foreseen(Verb("update"), columns)
        }
        NodeEnum::DeleteStmt(s) => {
            let part =
                Part::new(s.relation.as_ref()?, (&s.using_clause, s.where_clause.as_deref()), &s.with_clause);
            part.foreseen(Verb("delete"), BTreeSet::new())
        }
        NodeEnum::InsertStmt(s) => inserted(s),
        NodeEnum::MergeStmt(s) => merged(s),
        NodeEnum::TruncateStmt(s) => rows(truncated(s)),
        NodeEnum::CopyStmt(s) => planned(s.query.as_deref()?)?,
        NodeEnum::DeclareCursorStmt(s) => planned(s.query.as_deref()?)?,
        NodeEnum::CreateTableAsStmt(s) => planned(s.query.as_deref()?)?,
        NodeEnum::ExplainStmt(s) => planned(s.query.as_deref()?)?,
        _ => return None,
    };
    Some(foreseen)
}

/// A query that counts the rows which a single SELECT, VALUES or TABLE gives, or COPY of one. Whether it may be run is to be
/// judged like that of any read. Needs the same stack as parsing.
///
/// # Errors
/// Why they can't be counted, in words.
pub fn counting_question(text: &str) -> Result<String, &'static str> {
    if text.len() > super::TEXT_BYTES_MAX {
        return Err(UNREAD);
    }
    let parsed = pg_query::parse(text, 0).map_err(|_| UNREAD)?;
    let [raw] = parsed.protobuf.stmts.as_slice() else { return Err(SEVERAL) };
    let written = raw.stmt.as_deref().and_then(|node| node.node.as_ref()).ok_or(UNREAD)?;
    let source = match written {
        NodeEnum::SelectStmt(_) => node(written.clone()),
        NodeEnum::CopyStmt(copy) if !copy.is_from => match copy.query.as_deref() {
            Some(query) if matches!(query.node, Some(NodeEnum::SelectStmt(_))) => query.clone(),
            _ => return Err(UNREAD),
        },
        _ => return Err(UNREAD),
    };
    Ok(queried(all_of(vec![func_count()], source, None))?.sql)
}

/// An UPDATE or DELETE: its table, and which of its rows.
struct Part<'a> {
    relation: &'a pb::RangeVar,
    condition: Option<pb::Node>,
    with: &'a Option<pb::WithClause>,
}

impl<'a> Part<'a> {
    /// With other tables in FROM or USING a target row counts once, however many rows it joins.
    fn new(
        relation: &'a pb::RangeVar,
        (others, condition): (&[pb::Node], Option<&pb::Node>),
        with: &'a Option<pb::WithClause>,
    ) -> Self {
        let condition = if others.is_empty() {
            condition.cloned()
        } else {
            Some(exists(others.to_vec(), condition.cloned()))
        };
        Self { relation, condition, with }
    }

    fn relation_name(&self) -> Name {
        let part = |part: &String| (!part.is_empty()).then(|| part.clone());
        let pb::RangeVar { catalogname, schemaname, relname, .. } = self.relation;
        Name { catalog: part(catalogname), schema: part(schemaname), name: relname.clone() }
    }

    fn select(&self, targets: Vec<pb::Node>) -> pb::SelectStmt {
        let from = vec![node(NodeEnum::RangeVar(self.relation.clone()))];
        select(targets, from, self.condition.clone(), self.with.clone())
    }

    fn foreseen(&self, verb: Verb, columns: BTreeSet<String>) -> Foreseen {
        let rows = match queried(self.select(vec![func_count()])) {
            Ok(query) => Rows::Query(query),
            Err(why) => Rows::Unknown(why),
        };
        let name = self.relation.alias.as_ref().map_or(&self.relation.relname, |alias| &alias.aliasname);
        let affected = queried(self.select(vec![star(name)])).ok();
        Foreseen {
            rows: Some(rows),
            plan: affected.clone(),
            affected: affected.map(|query| Affected { query, relation: self.relation_name(), verb, columns }),
        }
    }
}

fn set_column(target: &pb::Node) -> Option<String> {
    match target.node.as_ref()? {
        NodeEnum::ResTarget(target) => Some(target.name.clone()),
        _ => None,
    }
}

/// Whether rows that are put forward may turn out not to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Conflicts {
    /// Each is inserted, or updates the one that is there.
    Written,
    /// One that is there may be left as it is.
    Skipped,
}

fn inserted(statement: &pb::InsertStmt) -> Foreseen {
    let conflicts = match statement.on_conflict_clause.as_deref() {
        Some(clause)
            if clause.action != pb::OnConflictAction::OnconflictUpdate as i32
                || clause.where_clause.is_some() =>
        {
            Conflicts::Skipped
        }
        _ => Conflicts::Written,
    };
    let exactly = |rows| match conflicts {
        Conflicts::Written => Rows::Exactly(rows),
        Conflicts::Skipped => Rows::UpTo(rows),
    };
    let mut foreseen = Foreseen { rows: None, plan: None, affected: None };
    let Some(source) = statement.select_stmt.as_deref() else {
        foreseen.rows = Some(exactly(1));
        return foreseen;
    };
    let Some(NodeEnum::SelectStmt(select)) = source.node.as_ref() else {
        foreseen.rows = Some(Rows::Unknown(UNREAD));
        return foreseen;
    };
    let plain = select.limit_count.is_none() && select.limit_offset.is_none();
    if let (false, true, Ok(rows)) =
        (select.values_lists.is_empty(), plain, u64::try_from(select.values_lists.len()))
    {
        foreseen.rows = Some(exactly(rows));
        return foreseen;
    }
    let counted = queried(all_of(vec![func_count()], source.clone(), statement.with_clause.clone()));
    foreseen.rows = Some(match (counted, conflicts) {
        (Ok(query), Conflicts::Written) => Rows::Query(query),
        (Ok(query), Conflicts::Skipped) => Rows::QueryUpTo(query),
        (Err(why), _) => Rows::Unknown(why),
    });
    foreseen.plan =
        queried(all_of(vec![star("countersign_rows")], source.clone(), statement.with_clause.clone())).ok();
    foreseen
}

/// Each branch by itself: the rows of the join, or of one side without the other, that no earlier branch takes.
fn merged(statement: &pb::MergeStmt) -> Foreseen {
    let rows = match branches(statement) {
        Ok(branches) => Rows::Branches(branches),
        Err(why) => Rows::Unknown(why),
    };
    let plan = Sides::of(statement).and_then(|sides| {
        let from = sides.matched(pb::JoinType::JoinLeft);
        queried(select(vec![one()], vec![from], None, statement.with_clause.clone())).ok()
    });
    Foreseen { rows: Some(rows), plan, affected: None }
}

/// The two sides of a MERGE.
struct Sides {
    target: pb::Node,
    source: pb::Node,
    on: Option<pb::Node>,
}

impl Sides {
    fn of(statement: &pb::MergeStmt) -> Option<Self> {
        Some(Self {
            target: node(NodeEnum::RangeVar(statement.relation.clone()?)),
            source: statement.source_relation.as_deref()?.clone(),
            on: statement.join_condition.as_deref().cloned(),
        })
    }

    /// The source joined to the target.
    fn matched(&self, kind: pb::JoinType) -> pb::Node {
        join(kind, (self.source.clone(), self.target.clone()), self.on.clone())
    }

    /// Where the rows of a kind of branch come from, and what holds for all of them.
    fn rows(&self, kind: i32) -> Option<(pb::Node, Option<pb::Node>, &'static str)> {
        const MATCHED: i32 = pb::MergeMatchKind::MergeWhenMatched as i32;
        const BY_SOURCE: i32 = pb::MergeMatchKind::MergeWhenNotMatchedBySource as i32;
        const BY_TARGET: i32 = pb::MergeMatchKind::MergeWhenNotMatchedByTarget as i32;
        let without = |other: &pb::Node| Some(not(exists(vec![other.clone()], self.on.clone())));
        match kind {
            MATCHED => Some((self.matched(pb::JoinType::JoinInner), None, "matched")),
            BY_SOURCE => Some((self.target.clone(), without(&self.source), "not matched by source")),
            BY_TARGET => Some((self.source.clone(), without(&self.target), "not matched")),
            _ => None,
        }
    }
}

fn branches(statement: &pb::MergeStmt) -> Result<Vec<Branch>, &'static str> {
    if statement.merge_when_clauses.len() > BRANCHES_MAX {
        return Err(MANY);
    }
    let sides = Sides::of(statement).ok_or(UNREAD)?;
    let mut earlier: Vec<(i32, Option<pb::Node>)> = Vec::new();
    let mut branches = Vec::new();
    for clause in &statement.merge_when_clauses {
        let Some(NodeEnum::MergeWhenClause(clause)) = clause.node.as_ref() else { return Err(UNREAD) };
        let (from, holds, when) = sides.rows(clause.match_kind).ok_or(UNREAD)?;
        let own = clause.condition.as_deref().cloned();
        let before = earlier.iter().filter(|(kind, _)| *kind == clause.match_kind);
        // A branch without a condition takes all that is left: nothing reaches those behind it.
        let passed = before.map(|(_, condition)| match condition {
            Some(condition) => is_not_true(condition.clone()),
            None => never(),
        });
        let parts: Vec<pb::Node> = holds.into_iter().chain(passed).chain(own.clone()).collect();
        let query =
            queried(select(vec![func_count()], vec![from], and(parts), statement.with_clause.clone()))?;
        let when = match own.as_ref().map(in_words) {
            None => when.to_owned(),
            Some(Some(condition)) => format!("{when} and {condition}"),
            Some(None) => return Err(UNREAD),
        };
        branches.push(Branch { when, verb: verb(clause.command_type).ok_or(UNREAD)?, query });
        earlier.push((clause.match_kind, own));
    }
    Ok(branches)
}

fn verb(command: i32) -> Option<Option<Verb>> {
    const UPDATE: i32 = pb::CmdType::CmdUpdate as i32;
    const INSERT: i32 = pb::CmdType::CmdInsert as i32;
    const DELETE: i32 = pb::CmdType::CmdDelete as i32;
    const NOTHING: i32 = pb::CmdType::CmdNothing as i32;
    match command {
        UPDATE => Some(Some(Verb("update"))),
        INSERT => Some(Some(Verb("insert"))),
        DELETE => Some(Some(Verb("delete"))),
        NOTHING => Some(None),
        _ => None,
    }
}

fn never() -> pb::Node {
    let val = Some(pb::a_const::Val::Boolval(pb::Boolean { boolval: false }));
    node(NodeEnum::AConst(pb::AConst { isnull: false, location: -1, val }))
}

/// A condition as it is written, but for its layout. Only for what was understood.
fn in_words(condition: &pb::Node) -> Option<String> {
    let alone = select(vec![target(condition.node.clone()?)], Vec::new(), None, None);
    let text = NodeEnum::SelectStmt(Box::new(alone)).deparse(DeparseOptions::default()).ok()?;
    text.strip_prefix("SELECT ").map(str::to_owned)
}

fn truncated(statement: &pb::TruncateStmt) -> Rows {
    if statement.relations.len() > BRANCHES_MAX {
        return Rows::Unknown(MANY);
    }
    let branch = |relation: &pb::Node| {
        let Some(NodeEnum::RangeVar(named)) = relation.node.as_ref() else { return Err(UNREAD) };
        let query = queried(select(vec![func_count()], vec![relation.clone()], None, None))?;
        let name = [&named.schemaname, &named.relname].into_iter().filter(|part| !part.is_empty());
        let when = name.cloned().collect::<Vec<_>>().join(".");
        Ok(Branch { when, verb: Some(Verb("truncate")), query })
    };
    match statement.relations.iter().map(branch).collect() {
        Ok(branches) => Rows::Branches(branches),
        Err(why) => Rows::Unknown(why),
    }
}

/// A query within another statement.
fn planned(query: &pb::Node) -> Option<Foreseen> {
    let Some(NodeEnum::SelectStmt(select)) = query.node.as_ref() else { return None };
    let plan = queried((**select).clone()).ok()?;
    Some(Foreseen { rows: None, plan: Some(plan), affected: None })
}

fn queried(select: pb::SelectStmt) -> Result<Query, &'static str> {
    let statement = node(NodeEnum::SelectStmt(Box::new(select)));
    let tree = tree_of(&statement).map_err(|_| UNREAD)?;
    let mut walk = Walk::new(Access::Read);
    walk.visit(&tree);
    let found = walk.found;
    // A WITH that changes data, or a lock, would come along into the query.
    if !found.verbs.is_empty() || found.select_into {
        return Err(WRITING_WITH);
    }
    // What is not understood is never proved, and never given to the deparser either.
    if found.locks_rows || !found.mentions.foreign_nodes.is_empty() {
        return Err(UNREAD);
    }
    let sql = statement.node.ok_or(UNREAD)?.deparse(DeparseOptions::default()).map_err(|_| UNREAD)?;
    Ok(Query { sql, mentions: Box::new(found.mentions) })
}

fn contains(tree: &Tree, name: &str) -> bool {
    any(tree, &|tree| tree.name == name)
}

fn any(tree: &Tree, is: &dyn Fn(&Tree) -> bool) -> bool {
    use super::tree::Value;
    fn within(value: &Value, is: &dyn Fn(&Tree) -> bool) -> bool {
        match value {
            Value::Node(tree) => any(tree, is),
            Value::List(values) => values.iter().any(|v| within(v, is)),
            _ => false,
        }
    }
    is(tree) || tree.fields.iter().any(|(_, value)| within(value, is))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreseen(sql: &str) -> Option<Foreseen> {
        let parsed = crate::sql::parse(sql.as_bytes()).unwrap();
        parsed.statements[0].foreseen.clone()
    }

    fn count(sql: &str) -> String {
        match foreseen(sql).and_then(|found| found.rows) {
            None => "none".to_owned(),
            Some(Rows::Exactly(n)) => n.to_string(),
            Some(Rows::UpTo(n)) => format!("up to {n}"),
            Some(Rows::Query(query)) => query.sql,
            Some(Rows::QueryUpTo(query)) => format!("up to {}", query.sql),
            Some(Rows::Unknown(why)) => format!("unknown: {why}"),
            Some(Rows::Branches(branches)) => {
                let verb = |one: &Branch| one.verb.map_or("nothing", Verb::as_str);
                let words =
                    branches.iter().map(|one| format!("{} -> {}: {}", one.when, verb(one), one.query.sql));
                words.collect::<Vec<_>>().join("\n")
            }
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
        assert_eq!(count("insert into t values (1) on conflict do nothing"), "up to 1");
        assert_eq!(count("insert into t values (1), (2) on conflict (a) do update set b = 1"), "2");
        assert_eq!(
            count("insert into t values (1) on conflict (a) do update set b = 1 where t.b = 2"),
            "up to 1"
        );
        assert_eq!(
            count("insert into t select * from s on conflict do nothing"),
            "up to SELECT pg_catalog.count(*) FROM (SELECT * FROM s) countersign_rows"
        );
    }

    #[test]
    fn a_merge_is_counted_branch_by_branch() {
        let merge = "merge into t using s on t.id = s.id when matched and s.gone then delete \
                     when matched then update set a = s.a when not matched and s.a > $1 then insert values (s.id, s.a) \
                     when not matched by source then do nothing";
        assert_eq!(
            count(merge),
            "matched and s.gone -> delete: SELECT pg_catalog.count(*) FROM s JOIN t ON t.id = s.id WHERE s.gone\n\
             matched -> update: SELECT pg_catalog.count(*) FROM s JOIN t ON t.id = s.id WHERE s.gone IS NOT TRUE\n\
             not matched and s.a > $1 -> insert: SELECT pg_catalog.count(*) FROM s \
             WHERE NOT EXISTS (SELECT 1 FROM t WHERE t.id = s.id) AND s.a > $1\n\
             not matched by source -> nothing: SELECT pg_catalog.count(*) FROM t \
             WHERE NOT EXISTS (SELECT 1 FROM s WHERE t.id = s.id)"
        );
        assert_eq!(
            count("merge into t using s on true when matched then delete when matched then do nothing")
                .lines()
                .last(),
            Some("matched -> nothing: SELECT pg_catalog.count(*) FROM s JOIN t ON true WHERE false")
        );
    }

    #[test]
    fn a_truncate_takes_all() {
        assert_eq!(
            count("truncate t, only s.u"),
            "t -> truncate: SELECT pg_catalog.count(*) FROM t\ns.u -> truncate: SELECT pg_catalog.count(*) FROM ONLY s.u"
        );
    }

    #[test]
    fn what_cannot_be_counted_says_why() {
        assert_eq!(count("delete from t where current of c"), format!("unknown: {CURSOR}"));
        assert_eq!(
            count("with d as (delete from a returning id) delete from t using d where t.id = d.id"),
            format!("unknown: {WRITING_WITH}")
        );
        assert_eq!(count("insert into t select * from s for update"), format!("unknown: {UNREAD}"));
        assert_eq!(count("select 1"), "none");
        assert_eq!(count("drop table t"), "none");
    }

    #[test]
    fn what_updates_rows_that_are_there_is_seen_wherever_it_stands() {
        let upserts = |sql: &str| crate::sql::parse(sql.as_bytes()).unwrap().statements[0].upserts;
        assert!(upserts("insert into t values (1) on conflict (a) do update set b = 1"));
        assert!(upserts("with x as (insert into t values (1) on conflict (a) do update set b = 1) select 1"));
        assert!(!upserts("insert into t values (1) on conflict do nothing"));
        assert!(!upserts("update t set a = 1"));
    }

    #[test]
    fn affected_rows_and_plans_are_queries_too() {
        let found =
            foreseen("update orders o set status = 'x', (a, b) = (1, 2) from s where o.id = s.id").unwrap();
        let affected = found.affected.unwrap();
        assert_eq!(
            affected.query.sql,
            "SELECT o.* FROM orders o WHERE EXISTS (SELECT 1 FROM s WHERE o.id = s.id)"
        );
        assert_eq!(affected.columns.iter().collect::<Vec<_>>(), ["a", "b", "status"]);
        let plan = |sql| foreseen(sql).and_then(|found| found.plan).map(|plan| plan.sql);
        assert_eq!(
            plan("copy (select * from t where a = 1) to stdout").as_deref(),
            Some("SELECT * FROM t WHERE a = 1")
        );
        assert_eq!(plan("declare c cursor for select 1").as_deref(), Some("SELECT 1"));
        assert_eq!(plan("explain select 2").as_deref(), Some("SELECT 2"));
        assert_eq!(plan("select 1"), None, "its own text is explained");
    }
}
