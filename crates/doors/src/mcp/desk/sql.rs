//! Statements as tools.
//!
//! Two tools, and neither is a way around anything: a call is the statements that it carries, which the database's own door judges,
//! holds, covers, bounds and records like those of every client. What is refused or failed is a result that says so, which a model reads.

use countersign_engine::workbench::{Said, TEXT_BYTES_MAX, Told, Transaction};
use serde::Serialize;
use serde_json::{Value, json};

use super::super::answer::{self, Words};
use super::inside::Inside;
use super::{Not, Sitting, text};

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

/// What is to be run.
pub(super) struct Wanted {
    text: String,
    rows_max: u32,
}

/// The tools, as they are listed.
pub(super) fn tools() -> Vec<Value> {
    let tools = json!([
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
    ]);
    tools.as_array().cloned().unwrap_or_default()
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

/// What a call wants to be run.
pub(super) fn wanted(tool: &str, arguments: &Value) -> Result<Wanted, Not> {
    let no = |why: String| {
        Not::from(Words::new(answer::INVALID, why).hint("look at the list of tools; nothing ran"))
    };
    if tool == "schema" {
        let text = text(arguments, "relation").map_or_else(|| Ok(RELATIONS.to_owned()), described);
        return Ok(Wanted { text: text.map_err(no)?, rows_max: ROWS_MAX });
    }
    let text = text(arguments, "sql").unwrap_or_default().to_owned();
    if text.contains('\0') {
        return Err(no("`arguments.sql` has a character that SQL can't have".to_owned()));
    }
    let rows_max =
        arguments.get("rows_max").and_then(Value::as_u64).and_then(|rows| u32::try_from(rows).ok());
    Ok(Wanted { text, rows_max: rows_max.unwrap_or(ROWS).min(ROWS_MAX) })
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

/// Runs a text, and tells meanwhile that it waits. Gives what was done.
pub(super) async fn run(sitting: &mut Sitting, wanted: &Wanted) -> Result<String, Not> {
    let desk = std::sync::Arc::clone(&sitting.desk);
    let inside = sitting.attended(desk.enter_again()).await??;
    let mut done = Done::default();
    let Some(mut running) = sitting.attended(inside.run(&wanted.text, wanted.rows_max)).await? else {
        return Err(over(&inside, None, &done));
    };
    while let Some(told) = sitting.attended(running.next()).await? {
        match told {
            Told::Held { said, .. } => sitting.say(&in_words(&said)),
            Told::Failed(said) => {
                // What follows tells how the transaction stands.
                while let Some(told) = sitting.attended(running.next()).await? {
                    done.take(told);
                }
                return Err(failed(&said, &done).into());
            }
            Told::Ended(said) => return Err(over(&inside, said, &done)),
            other => done.take(other),
        }
    }
    match done.transaction {
        // It broke off before it said how it ended.
        "" => Err(over(&inside, None, &done)),
        _ => Ok(serde_json::to_string(&done).unwrap_or_default()),
    }
}

/// That the session is over, as its door said it or in words of this one.
fn over(inside: &Inside, said: Option<Said>, done: &Done) -> Not {
    inside.told();
    match said {
        Some(said) => failed(&said, done).into(),
        None => answer::over(super::ending(inside)).into(),
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
