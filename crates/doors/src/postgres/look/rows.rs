//! How many rows: counted exactly, branch by branch, and as the server's plan expects.
//!
//! Each question is a provable read of what classification made, or is judged to be one before it is asked, and runs in
//! a transaction of its own under the session's search path and settings, within two seconds; all of them together within
//! six. What is not counted says why.

use std::fmt::Write as _;
use std::sync::Arc;

use countersign_core::{At, Span};
use countersign_engine::foreseen::{Branch, Cascade};
use countersign_wire::postgres::Format;
use countersign_wire::sql::{Context, CountTarget, SessionState, classify, counting_question, parse};

use super::super::Shared;
use super::super::query::{Bound, QueryError, Row, bound, parameter_types, simple};
use super::super::stream::Link;
use super::super::target::Target;
use super::Counted;
use super::effects::Step;

/// How long all questions about one statement may take together, in milliseconds.
const ALL_MS_MAX: i64 = 6_000;
/// Settings of a session that change which rows a condition means, and that anybody may set.
const LIKE_THE_SESSION: &[&str] =
    &["DateStyle", "IntervalStyle", "TimeZone", "lc_monetary", "lc_numeric", "lc_time", "xmloption"];
/// What is said of what there was no time for.
const NO_TIME: &str = "there was no time left to count them";

/// How many rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// At most so many.
    pub(super) most: Option<u64>,
    /// At least so many, if fewer than at most.
    pub(super) least: Option<u64>,
    pub(super) branches: Vec<Branch>,
    /// Why they are not known.
    pub(super) unknown: Option<String>,
}

/// Asks the questions about one statement, as long as there is time.
pub(super) struct Counter<'a> {
    pub(super) target: &'a Target,
    pub(super) shared: &'a Shared,
    pub(super) counted: &'a Counted<'a>,
    pub(super) since: At,
}

impl Counter<'_> {
    /// How many rows the statement writes.
    pub(super) async fn rows(&self) -> Rows {
        let of = |most: Result<u64, String>, least: Option<u64>| match most {
            Ok(most) => {
                Rows { most: Some(most), least: least.filter(|least| *least < most), ..Rows::default() }
            }
            Err(why) => Rows { unknown: Some(why), ..Rows::default() },
        };
        match &self.counted.understood.facts.row_count {
            Some(CountTarget::Exactly(rows)) => of(Ok(*rows), None),
            Some(CountTarget::UpTo(rows)) => of(Ok(*rows), Some(0)),
            Some(CountTarget::Query(question)) => of(self.count(question).await, None),
            Some(CountTarget::QueryUpTo(question)) => of(self.count(question).await, Some(0)),
            Some(CountTarget::Branches(branches)) => {
                let mut rows = Rows { most: Some(0), ..Rows::default() };
                for branch in branches {
                    let does = branch.verb.map_or("nothing", |verb| verb.as_str());
                    let counted = self.count(&branch.query).await;
                    rows.add(does, &branch.when, counted);
                }
                rows
            }
            Some(CountTarget::Unknown(why)) => of(Err(why.clone()), None),
            None => Rows::default(),
        }
    }

    /// How many rows the statement gives.
    pub(super) async fn given(&self) -> Rows {
        let counted = match self.counting().await {
            Ok(question) => self.count(&question).await,
            Err(why) => Err(why),
        };
        match counted {
            Ok(most) => Rows { most: Some(most), ..Rows::default() },
            Err(why) => Rows { unknown: Some(why), ..Rows::default() },
        }
    }

    /// The question that counts what the statement gives, if that is a provable read.
    async fn counting(&self) -> Result<String, String> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let text = self.counted.text.to_owned();
        let job = move || {
            let _ = sender.send(counting_question(&text).map_err(str::to_owned));
        };
        let busy = || "the parser is busy".to_owned();
        self.shared.parser_for(self.counted.text.len()).submit(job).map_err(|_| busy())?;
        let question = receiver.await.unwrap_or_else(|_| Err(busy()))?;
        self.is_read(&question).await?;
        Ok(question)
    }

    /// How many rows the server's plan expects the statement to touch or give.
    pub(super) async fn estimate(&self) -> Option<u64> {
        let facts = &self.counted.understood.facts;
        let gives = ["select", "values", "table"];
        let gives = facts.provable_read && facts.verbs.iter().all(|verb| gives.contains(&verb.as_str()));
        let planned = match &facts.plan {
            Some(plan) => plan.as_str(),
            None if gives => self.counted.text,
            None => return None,
        };
        let answer = self.ask(&format!("EXPLAIN (FORMAT TEXT) {planned}")).await;
        expected(&answer.ok()?)
    }

    /// Counts the rows of the tables that follow, in the order of the steps.
    pub(super) async fn follow(&self, steps: Vec<Step>) -> Vec<Cascade> {
        let mut cascades = Vec::new();
        for Step { mut cascade, count } in steps {
            if let Some(question) = count {
                let counted = match self.is_read(&question).await {
                    Ok(()) => self.count(&question).await,
                    Err(why) => Err(why),
                };
                match counted {
                    Ok(rows) => cascade.rows = Some(rows),
                    Err(why) => cascade.unknown = Some(why),
                }
            }
            cascades.push(cascade);
        }
        cascades
    }

    /// Whether a question that was put together here is a provable read; why not, if not.
    async fn is_read(&self, question: &str) -> Result<(), String> {
        let Some(loaded) = self.counted.loaded.clone() else {
            return Err("the database's own objects are not known".to_owned());
        };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (session, types) = (Arc::clone(self.counted.session), self.counted.types.to_vec());
        let text = question.to_owned();
        let job = move || {
            let context =
                Context { session: &session, catalogue: Some(&loaded.catalogue), parameter_types: &types };
            let facts = parse(text.as_bytes()).map(|parsed| classify(&parsed, &context));
            let _ = sender.send(match facts {
                Ok(facts) if facts.provable_read => Ok(()),
                Ok(facts) => Err(facts.reasons.join("; ")),
                Err(_) => Err("the question about them is not understood".to_owned()),
            });
        };
        let busy = || "the parser is busy".to_owned();
        self.shared.parser_for(question.len()).submit(job).map_err(|_| busy())?;
        receiver.await.unwrap_or_else(|_| Err(busy()))
    }

    async fn count(&self, question: &str) -> Result<u64, String> {
        let rows = self.ask(question).await?;
        let answer = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
        answer.and_then(|count| count.parse().ok()).ok_or_else(|| "the answer was no number".to_owned())
    }

    async fn ask(&self, question: &str) -> Result<Vec<Row>, String> {
        if self.shared.engine.now().since(self.since) > Span(ALL_MS_MAX * 1_000) {
            return Err(NO_TIME.to_owned());
        }
        let begin = begin(self.counted)?;
        let answer =
            self.target.look(self.shared, async |link| within(link, (&begin, question), self.counted).await);
        answer.await.map_err(|error| in_words(&error))
    }
}

impl Rows {
    fn add(&mut self, does: &str, when: &str, counted: Result<u64, String>) {
        let rows = counted.as_ref().ok().copied();
        self.branches.push(Branch { does: does.to_owned(), rows, when: when.to_owned() });
        match counted {
            Ok(rows) if does != "nothing" => self.most = self.most.map(|sum| sum.saturating_add(rows)),
            Ok(_) => {}
            // What nothing is done to does not matter.
            Err(_) if does == "nothing" => {}
            Err(why) => {
                self.most = None;
                self.unknown.get_or_insert(why);
            }
        }
    }
}

/// An error and what lies behind it.
fn in_words(error: &dyn std::error::Error) -> String {
    match super::super::target::cause(error) {
        cause if cause.is_empty() => error.to_string(),
        cause => cause,
    }
}

/// The rows that the topmost node of a plan expects: `... (cost=0.00..8.17 rows=3 width=4)`. Names of relations may look
/// like it, and stand before.
fn expected(plan: &[Row]) -> Option<u64> {
    let first = plan.first()?.first()?.as_deref()?;
    let (_, costs) = first.rsplit_once("(cost=")?;
    let (_, rows) = costs.split_once(" rows=")?;
    rows.split(' ').next()?.parse().ok()
}

/// Asks in a transaction of its own, under the search path of the session, which gives the names their meaning.
async fn within(
    link: &mut Link,
    (begin, question): (&str, &str),
    counted: &Counted<'_>,
) -> Result<Vec<Row>, QueryError> {
    let result = match simple(link, begin).await {
        Ok(_) => ask_bound(link, question, counted).await,
        Err(error) => Err(error),
    };
    if result.as_ref().err().is_none_or(QueryError::is_reusable) {
        simple(link, "ROLLBACK").await?;
    }
    result
}

/// The question uses the statement's parameters under their numbers, perhaps not all of them, so their types are asked
/// for.
async fn ask_bound(link: &mut Link, text: &str, counted: &Counted<'_>) -> Result<Vec<Row>, QueryError> {
    let given = counted.parameters;
    let values: Vec<Option<&[u8]>> =
        given.iter().map(|value| value.as_ref().map(|value| &*value.bytes)).collect();
    let format = |binary: bool| if binary { Format::Binary } else { Format::Text };
    let formats: Vec<Format> =
        given.iter().map(|value| format(value.as_ref().is_some_and(|value| value.binary))).collect();
    let declared = counted.types.len() >= values.len() && counted.types.iter().all(|oid| *oid != 0);
    let asked;
    let types = if declared {
        counted.types
    } else {
        asked = parameter_types(link, counted.text, counted.types).await?;
        &asked
    };
    bound(link, &Bound { text, types, formats: &formats, values: &values }).await
}

/// What begins a transaction that reads as the session would.
///
/// # Errors
/// Why it would not.
fn begin(counted: &Counted<'_>) -> Result<String, String> {
    let mut text = transaction(counted.session);
    for name in LIKE_THE_SESSION {
        let Some(value) = counted.settings.get(*name) else { continue };
        if value.starts_with('(') || value.contains('\\') {
            return Err(format!("the session's setting `{name}` is not known"));
        }
        let _ =
            write!(text, "; SELECT pg_catalog.set_config('{name}', '{}', true)", value.replace('\'', "''"));
    }
    Ok(text)
}

fn transaction(session: &SessionState) -> String {
    let mut text = String::from("BEGIN READ ONLY");
    if let Some(path) = &session.search_path {
        let user = session.role.as_deref().unwrap_or("$user");
        let names: Vec<String> =
            path.iter().map(|name| quoted(if name == "$user" { user } else { name })).collect();
        let list = if names.is_empty() { "''".to_owned() } else { names.join(", ") };
        let _ = write!(text, "; SET LOCAL search_path = {list}");
    }
    text
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_runs_under_the_sessions_search_path() {
        let mut session = SessionState::fresh(150_000, "writer");
        session.search_path = Some(vec!["$user".into(), "a\"; DROP TABLE x; --".into()]);
        assert_eq!(
            transaction(&session),
            "BEGIN READ ONLY; SET LOCAL search_path = \"writer\", \"a\"\"; DROP TABLE x; --\""
        );
        session.search_path = None;
        assert_eq!(transaction(&session), "BEGIN READ ONLY");
    }

    #[test]
    fn a_plan_tells_its_topmost_rows() {
        let plan = |line: &str| {
            expected(&[vec![Some(line.to_owned())], vec![Some("  -> x (cost=0 rows=9 width=1)".into())]])
        };
        assert_eq!(plan("Seq Scan on orders  (cost=0.00..8.17 rows=3 width=4)"), Some(3));
        assert_eq!(
            plan("Seq Scan on \"(cost=1 rows=7 width=1)\"  (cost=0.00..8.17 rows=31 width=4)"),
            Some(31)
        );
        assert_eq!(plan("Result"), None);
    }

    #[test]
    fn branches_add_up_to_what_is_written() {
        let mut rows = Rows { most: Some(0), ..Rows::default() };
        rows.add("update", "matched", Ok(2));
        rows.add("nothing", "matched and x", Err("slow".into()));
        rows.add("insert", "not matched", Ok(3));
        assert_eq!((rows.most, rows.unknown.clone()), (Some(5), None));
        rows.add("delete", "not matched by source", Err("slow".into()));
        assert_eq!((rows.most, rows.unknown.as_deref()), (None, Some("slow")));
        assert_eq!(
            rows.branches.iter().map(|one| one.rows).collect::<Vec<_>>(),
            [Some(2), None, Some(3), None]
        );
    }
}
