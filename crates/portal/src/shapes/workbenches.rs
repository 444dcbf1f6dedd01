//! Workbenches: SQL in the browser, as the API has it.

use countersign_engine::workbench as bench;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where somebody wants to work.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenWorkbench {
    /// On what.
    pub resource: String,
    /// In which role; without it, in the newest that is held and reaches the resource.
    #[serde(default)]
    #[schema(nullable = false)]
    pub role: Option<String>,
    /// Why, for this session; without it, the grant's purpose.
    #[serde(default)]
    #[schema(nullable = false, max_length = 1000)]
    pub reason: Option<String>,
}

/// A session of a door that is worked in from here. It belongs to the sign-in that opened it and ends with it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Workbench {
    /// Which.
    pub id: String,
    /// What it does.
    pub state: WorkbenchState,
    /// The session, as others see it.
    pub session: String,
    /// On what.
    pub resource: String,
    /// In which role.
    pub role: String,
    /// The server's version, as it says itself.
    pub server: String,
    /// When it was opened.
    #[schema(format = DateTime)]
    pub opened_at: String,
    /// How many rows of a result may be asked for.
    pub rows_max: u32,
    /// What the caller may do in it.
    pub can: WorkbenchCan,
}

/// What a workbench does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkbenchState {
    /// Nothing.
    Idle,
    /// Something runs or waits.
    Busy,
}

/// What the caller may do in a workbench.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkbenchCan {
    /// Carry results away (`sql.export`).
    pub export: bool,
}

/// What is to be run.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunStatements {
    /// Statements, one after the other. Each is judged by itself; what follows one that fails is not sent.
    #[schema(max_length = 1_048_576)]
    pub text: String,
    /// How many rows of each result are wanted.
    #[serde(default)]
    #[schema(nullable = false, minimum = 1, maximum = 50_000)]
    pub rows_max: Option<u32>,
}

/// A result that is carried away.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportResult {
    /// The statement.
    #[schema(max_length = 1_048_576)]
    pub text: String,
    /// The names of its columns.
    #[schema(max_items = 2000)]
    pub columns: Vec<String>,
    /// How many rows.
    pub rows: u64,
}

/// One line of what a run tells, as it happens.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum RunEvent {
    /// A statement is sent.
    Statement {
        /// Its place in the text, from 0.
        number: usize,
        /// How many there are.
        of: usize,
        /// Where it begins in the text, in bytes of UTF-8.
        at: usize,
        /// The statement.
        text: String,
    },
    /// The columns of the rows that follow.
    Columns {
        /// In order.
        columns: Vec<RunColumn>,
    },
    /// Rows, in order.
    Rows {
        /// The values as the server writes them; null is NULL.
        rows: Vec<Vec<Option<String>>>,
        /// Values of which only the beginning is here: row among these, column, full length in bytes.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schema(required = false)]
        cut: Vec<[usize; 3]>,
    },
    /// The gateway or the server says something.
    Notice {
        /// What.
        said: RunSaid,
    },
    /// The statement waits for an approval, and runs when it is given.
    Held {
        /// The request.
        request: String,
        /// The words.
        said: RunSaid,
    },
    /// The statement is done.
    Done {
        /// What the server says of it: `DELETE 12`.
        tag: String,
        /// There are more rows than were asked for.
        more: bool,
    },
    /// The statement failed. What follows it was not sent.
    Failed {
        /// Why.
        said: RunSaid,
    },
    /// The run is over.
    Over {
        /// The state of the transaction.
        transaction: RunTransaction,
    },
    /// The session is over.
    Ended {
        /// Why, as far as that was said.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        said: Option<RunSaid>,
    },
}

/// One column of a result.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunColumn {
    /// Its name.
    pub name: String,
    /// The OID of its type; 0 where it has none.
    pub type_oid: u32,
}

/// A message of the gateway's or the server's.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunSaid {
    /// `NOTICE`, `WARNING`, `ERROR`, `FATAL`.
    pub severity: String,
    /// The SQLSTATE.
    pub code: String,
    /// What.
    pub message: String,
    /// More of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub hint: Option<String>,
    /// Where in the statement, in characters from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub position: Option<u32>,
}

/// The state of the server's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunTransaction {
    /// None is open.
    None,
    /// One is open.
    Open,
    /// One is open in which something failed.
    Failed,
}

impl From<bench::Said> for RunSaid {
    fn from(said: bench::Said) -> Self {
        let bench::Said { severity, code, message, detail, hint, position } = said;
        Self { severity, code, message, detail, hint, position }
    }
}

impl From<bench::Transaction> for RunTransaction {
    fn from(state: bench::Transaction) -> Self {
        match state {
            bench::Transaction::None => Self::None,
            bench::Transaction::Open => Self::Open,
            bench::Transaction::Failed => Self::Failed,
        }
    }
}

impl From<bench::Told> for RunEvent {
    fn from(told: bench::Told) -> Self {
        match told {
            bench::Told::Statement { number, of, at, text } => Self::Statement { number, of, at, text },
            bench::Told::Columns(columns) => Self::Columns {
                columns: columns
                    .into_iter()
                    .map(|one| RunColumn { name: one.name, type_oid: one.type_oid })
                    .collect(),
            },
            bench::Told::Rows(rows) => Self::Rows {
                rows: rows.rows,
                cut: rows.cut.into_iter().map(|(row, column, bytes)| [row, column, bytes]).collect(),
            },
            bench::Told::Notice(said) => Self::Notice { said: said.into() },
            bench::Told::Held { request, said } => Self::Held { request, said: said.into() },
            bench::Told::Done { tag, more } => Self::Done { tag, more },
            bench::Told::Failed(said) => Self::Failed { said: said.into() },
            bench::Told::Over(transaction) => Self::Over { transaction: transaction.into() },
            bench::Told::Ended(said) => Self::Ended { said: said.map(Into::into) },
        }
    }
}
