//! Statements as tools: what the gateway itself answers before a database.
//!
//! Two tools, and neither is a way around anything: a call is the statements that it carries, which the database's own door judges,
//! holds, covers, bounds and records like those of every client. What is refused or failed is a result that says so, which a model reads.

use countersign_engine::workbench::{Said, TEXT_BYTES_MAX, Told, Transaction};
use countersign_wire::mcp::{Id, Json, Message, REVISIONS, misfit};
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::{self, Words};
use super::tongue::{Lost, Speaker};
use super::upstream::{Database, Running};
use crate::flow::{Attend as _, Attended};

/// How many rows of a result there are, unless the client wants more or fewer.
const ROWS: u32 = 100;
/// The most rows of one result.
const ROWS_MAX: u32 = 1_000;
/// The most bytes of rows in one answer: whoever reads it is a model.
const ROWS_BYTES_MAX: usize = 256 << 10;
/// How many words of the server's are in one answer that change nothing.
const NOTICES_MAX: usize = 50;
/// The longest name of a relation, with its schema's, in bytes.
const NAME_BYTES_MAX: usize = 512;

/// The relations that a database has.
const RELATIONS: &str = "\
SELECT n.nspname AS schema, c.relname AS name, CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' \
WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END AS kind \
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1, 2";

/// What was done in one call.
#[derive(Default, Serialize)]
struct Done {
    statements: Vec<One>,
    /// `none`, `open` or `failed`.
    transaction: &'static str,
    #[serde(skip)]
    bytes: usize,
    #[serde(skip)]
    of: usize,
}

/// What one statement did.
#[derive(Default, Serialize)]
struct One {
    /// As its server says it: `DELETE 12`.
    done: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    columns: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rows: Vec<Vec<Option<String>>>,
    /// There are more rows than these.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
    /// Values of which only the beginning is shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cut: Vec<Cut>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notices: Vec<String>,
}

#[derive(Serialize)]
struct Cut {
    row: usize,
    column: usize,
    bytes: usize,
}

/// Why a call has no results.
enum Not {
    /// The server, the gateway or an approver says no.
    Said(Said),
    /// Nobody wants to know any more.
    Cancelled,
    Lost(Lost),
    /// The session is over.
    Over(Option<Said>),
}

/// Answers a request.
pub(super) async fn answer(database: &Database, id: &Id, speaker: &mut Speaker) -> String {
    let bytes = speaker.subject.bytes.clone();
    let Ok(Message::Request { method, params, .. }) = Message::read(&bytes) else {
        return answer::error(Some(id), &Words::new(answer::INVALID, "this is no request"));
    };
    match method.as_str() {
        "initialize" => {
            let revision = params.as_ref().and_then(|params| params.get("protocolVersion")?.text());
            welcome(database, id, speaker, revision.unwrap_or_default())
        }
        "ping" => answer::result(id, "{}"),
        "tools/list" => answer::result(id, &json!({ "tools": tools() }).to_string()),
        "tools/call" => call(database, id, speaker, params.as_ref()).await,
        _ => {
            let words = Words::new(answer::NO_METHOD, format!("a database has no `{method}`"));
            answer::error(Some(id), &words.hint("it has tools: ask for `tools/list`"))
        }
    }
}

fn welcome(database: &Database, id: &Id, speaker: &Speaker, revision: &str) -> String {
    let session = &speaker.session;
    let known = REVISIONS.iter().rev().find(|known| **known == revision).or(REVISIONS.last());
    let Some(known) = known else { return answer::result(id, "{}") };
    let _first = session.revision.set(known);
    let resource = session.engine.resource();
    let instructions = format!(
        "SQL on `{resource}` ({}), PostgreSQL {}, in role `{}`. Each statement is judged by policy. One that needs an approval waits until \
         somebody has answered, which may take minutes; then exactly that statement runs, once. What is refused says why, and what to do.",
        database.title,
        database.version,
        session.engine.role()
    );
    let told = json!({
        "protocolVersion": known,
        "capabilities": { "tools": {} },
        "serverInfo": { "name": "countersign", "title": database.title, "version": env!("CARGO_PKG_VERSION") },
        "instructions": instructions,
    });
    answer::result(id, &told.to_string())
}

/// The tools, as they are listed.
fn tools() -> Value {
    json!([
        {
            "name": "query",
            "title": "Run SQL",
            "description": "Runs one or several SQL statements, one after the other, up to the first that fails, in one session: transactions and \
                settings last from call to call. A statement that needs an approval waits for it.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "sql": { "type": "string", "description": "The statements.", "minLength": 1, "maxLength": TEXT_BYTES_MAX },
                    "rows_max": {
                        "type": "integer", "minimum": 1, "maximum": ROWS_MAX,
                        "description": format!("How many rows of each result are wanted; {ROWS} if it is absent.")
                    },
                },
                "required": ["sql"],
                "additionalProperties": false,
            },
            "outputSchema": output(),
            "annotations": { "readOnlyHint": false, "destructiveHint": true, "idempotentHint": false, "openWorldHint": false },
        },
        {
            "name": "schema",
            "title": "Describe the database",
            "description": "Lists tables and views; with the name of one, its columns, their types and its constraints.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "relation": {
                        "type": "string", "minLength": 1, "maxLength": NAME_BYTES_MAX,
                        "description": "A table or view, with or without its schema: `orders`, `shop.orders`."
                    },
                },
                "additionalProperties": false,
            },
            "outputSchema": output(),
            "annotations": { "readOnlyHint": true, "openWorldHint": false },
        },
    ])
}

fn output() -> Value {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    json!({
        "type": "object",
        "properties": {
            "statements": { "type": "array", "items": {
                "type": "object",
                "properties": {
                    "done": { "type": "string", "description": "What its server says of it." },
                    "columns": texts,
                    "rows": { "type": "array", "items": { "type": "array", "items": { "type": ["string", "null"] } } },
                    "more": { "type": "boolean", "description": "There are more rows than these." },
                    "cut": { "type": "array", "description": "Values of which only the beginning is there.", "items": { "type": "object" } },
                    "notices": texts,
                },
                "required": ["done"],
            } },
            "transaction": { "enum": ["none", "open", "failed"] },
        },
        "required": ["statements", "transaction"],
    })
}

async fn call(database: &Database, id: &Id, speaker: &mut Speaker, params: Option<&Json<'_>>) -> String {
    let no = |words: &Words| answer::no(id, "tools/call", words);
    let (text, rows_max) = match asked(params) {
        Ok(asked) => asked,
        Err(why) => {
            return no(&Words::new(answer::INVALID, why).hint("look at the list of tools; nothing ran"));
        }
    };
    let mut done = Done::default();
    match run(database, speaker, (&text, rows_max), &mut done).await {
        Ok(()) => {
            let structured = serde_json::to_string(&done).unwrap_or_default();
            let text = Value::String(structured.clone());
            let told = format!(
                "{{\"content\":[{{\"type\":\"text\",\"text\":{text}}}],\"structuredContent\":{structured}}}"
            );
            answer::result(id, &told)
        }
        Err(Not::Said(said)) => no(&failed(&said, &done)),
        Err(Not::Cancelled) => no(&Words::new(answer::DENIED, "cancelled by its client")),
        Err(Not::Lost(lost)) => no(&lost.into()),
        Err(Not::Over(Some(said))) => no(&failed(&said, &done)),
        Err(Not::Over(None)) => no(&answer::over(
            speaker.session.engine.ending().unwrap_or(countersign_core::session::Ending::Upstream),
        )),
    }
}

/// What a call wants to be run, or why it can't be.
fn asked(params: Option<&Json<'_>>) -> Result<(String, u32), String> {
    let tool = params.and_then(|params| params.get("name")?.text()).unwrap_or_default();
    let listed = tools();
    let found = listed.as_array().into_iter().flatten().find(|one| one["name"] == tool);
    let schema = found.ok_or_else(|| format!("a database has no tool `{tool}`"))?["inputSchema"].to_string();
    let arguments = params.and_then(|params| params.get("arguments"));
    if let Some(why) = misfit(&schema, arguments) {
        return Err(why);
    }
    let text = |name: &str| arguments.and_then(|arguments| arguments.get(name)?.text()).map(str::to_owned);
    if tool == "schema" {
        let text =
            text("relation").map_or_else(|| Ok(RELATIONS.to_owned()), |relation| described(&relation))?;
        return Ok((text, ROWS_MAX));
    }
    let text = text("sql").unwrap_or_default();
    if text.contains('\0') {
        return Err("`arguments.sql` has a character that SQL can't have".to_owned());
    }
    let rows_max = arguments.and_then(|arguments| arguments.get("rows_max")?.raw.parse().ok());
    Ok((text, rows_max.unwrap_or(ROWS)))
}

/// What tells of one relation. Its name stands in quotes that no setting makes end early.
fn described(relation: &str) -> Result<String, String> {
    if relation.contains(['\\', '\0']) || relation.len() > NAME_BYTES_MAX {
        return Err("`arguments.relation` is no name of a relation".to_owned());
    }
    let literal = |name: &str| format!("'{}'", name.trim_matches('"').replace('\'', "''"));
    let of = match relation.split_once('.') {
        Some((schema, name)) => format!("c.relname = {} AND n.nspname = {}", literal(name), literal(schema)),
        None => format!("c.relname = {}", literal(relation)),
    };
    let from = "pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace";
    Ok(format!(
        "SELECT n.nspname AS schema, c.relname AS relation, a.attname AS column, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, \
         a.attnotnull AS not_null FROM {from} JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {of} ORDER BY 1, 2, a.attnum; \
         SELECT n.nspname AS schema, c.relname AS relation, k.conname AS name, pg_catalog.pg_get_constraintdef(k.oid) AS constraint \
         FROM {from} JOIN pg_catalog.pg_constraint AS k ON k.conrelid = c.oid WHERE {of} ORDER BY 1, 2, 3"
    ))
}

/// Runs a text, and tells meanwhile that it waits.
async fn run(
    database: &Database,
    speaker: &mut Speaker,
    (text, rows_max): (&str, u32),
    done: &mut Done,
) -> Result<(), Not> {
    let mut running = attended(speaker, database.run(text, rows_max)).await?.ok_or(Not::Over(None))?;
    while let Some(told) = next(speaker, &mut running).await? {
        match told {
            Told::Held { said, .. } => speaker.say(&in_words(&said)),
            Told::Failed(said) => {
                // What follows tells how the transaction stands.
                while let Some(told) = next(speaker, &mut running).await? {
                    done.take(told);
                }
                return Err(Not::Said(said));
            }
            Told::Ended(said) => return Err(Not::Over(said)),
            other => done.take(other),
        }
    }
    Ok(())
}

async fn next(speaker: &mut Speaker, running: &mut Running<'_>) -> Result<Option<Told>, Not> {
    attended(speaker, running.next()).await
}

async fn attended<W>(speaker: &mut Speaker, work: W) -> Result<W::Output, Not>
where
    W: Future + Send,
    W::Output: Send,
{
    match speaker.attend(work).await {
        Ok(Attended::Done(done)) => Ok(done),
        Ok(Attended::Cancelled) => Err(Not::Cancelled),
        Err(lost) => Err(Not::Lost(lost)),
    }
}

impl Done {
    fn take(&mut self, told: Told) {
        match told {
            Told::Statement { of, .. } => {
                self.of = of;
                self.statements.push(One::default());
            }
            Told::Over(transaction) => {
                self.transaction = match transaction {
                    Transaction::None => "none",
                    Transaction::Open => "open",
                    Transaction::Failed => "failed",
                };
            }
            of_one => {
                let Some(one) = self.statements.last_mut() else { return };
                one.take(of_one, &mut self.bytes);
            }
        }
    }
}

impl One {
    fn take(&mut self, told: Told, bytes: &mut usize) {
        match told {
            Told::Columns(columns) => self.columns = columns.into_iter().map(|column| column.name).collect(),
            Told::Rows(rows) => {
                let before = self.rows.len();
                for row in rows.rows {
                    *bytes += row.iter().flatten().map(String::len).sum::<usize>();
                    if *bytes > ROWS_BYTES_MAX {
                        self.more = true;
                        break;
                    }
                    self.rows.push(row);
                }
                let shown =
                    rows.cut.into_iter().map(|(row, column, bytes)| Cut { row: before + row, column, bytes });
                self.cut.extend(shown.filter(|cut| cut.row < self.rows.len()));
            }
            Told::Notice(said) if self.notices.len() < NOTICES_MAX => self.notices.push(in_words(&said)),
            Told::Done { tag, more } => {
                self.done = tag;
                self.more |= more;
            }
            _ => {}
        }
    }
}

/// A no of the database's door or its server, and what was done before it.
fn failed(said: &Said, done: &Done) -> Words {
    let mut text = format!("{} {}: {}", said.severity, said.code, said.message);
    if let Some(detail) = &said.detail {
        text.push('\n');
        text.push_str(detail);
    }
    let before = done.statements.len().saturating_sub(1);
    if before > 0 {
        text.push_str(&format!("\n{before} of {} statements were done before this one", done.of));
    }
    if done.transaction == "failed" {
        text.push_str("\nthe transaction has failed: roll it back");
    }
    let words = Words::new(answer::DENIED, text);
    match &said.hint {
        Some(hint) => words.hint(hint.clone()),
        None => words,
    }
}

fn in_words(said: &Said) -> String {
    match &said.hint {
        Some(hint) => format!("{}\n{hint}", said.message),
        None => said.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_no_quotes_early() {
        let text = described("shop.o'rders").unwrap();
        assert!(text.contains("c.relname = 'o''rders' AND n.nspname = 'shop'"), "{text}");
        assert!(described("a\\'; DROP TABLE x; --").is_err());
    }

    #[test]
    fn an_answer_has_no_more_rows_than_a_model_reads() {
        let mut done = Done::default();
        done.take(Told::Statement { number: 0, of: 1, at: 0, text: String::new() });
        for _ in 0..3 {
            let rows = vec![vec![Some("x".repeat(ROWS_BYTES_MAX / 4))]; 2];
            done.take(Told::Rows(countersign_engine::workbench::Rows { rows, cut: vec![(1, 0, 9)] }));
        }
        done.take(Told::Done { tag: "SELECT 6".to_owned(), more: false });
        let one = &done.statements[0];
        assert_eq!((one.rows.len(), one.more, one.cut.len()), (4, true, 2));
    }
}
