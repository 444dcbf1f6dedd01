//! Text to syntax, with PostgreSQL's own grammar.
//!
//! The grammar is that of one server version, and the server at the other end may be another; what differs is
//! handled where nodes are judged (`nodes`). A text that the grammar refuses is not forwarded on a guess.
//!
//! Parsing recurses as deep as the text nests: call it only on a thread with [`super::STACK_BYTES`] of stack, or
//! through [`super::Parser`].

use super::facts::Facts;
use super::kinds::Kind;
use super::secrets;
use super::session::Letters;
use super::statement::{self, Statement};
use super::tree::{Tree, TreeError, tree_of};
use super::{STATEMENTS_MAX, TEXT_BYTES_MAX};

/// A text that was understood as far as its syntax goes. [`super::classify()`] judges it.
#[derive(Debug, Clone)]
pub struct Parsed {
    pub(super) statements: Vec<Statement>,
    /// The same as trees, in the same order.
    pub(super) trees: Vec<Tree>,
    pub(super) letters: Letters,
    pub(super) secret_spans: Vec<std::ops::Range<usize>>,
}

/// Why a text is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unparsed {
    /// It is longer than is looked at.
    #[error("the text has {bytes} bytes; more than {TEXT_BYTES_MAX} are not looked at, split it")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It holds a NUL byte, behind which a server and a parser may disagree.
    #[error("the text contains a NUL byte")]
    Nul,
    /// It is not valid UTF-8.
    #[error("the text is not valid UTF-8 at byte {at}; set client_encoding to UTF8")]
    NotUtf8 {
        /// The first byte that is wrong.
        at: usize,
    },
    /// The grammar refuses it.
    #[error("the text does not parse: {message}")]
    Syntax {
        /// The parser's own words.
        message: String,
    },
    /// It nests deeper than is looked at.
    #[error("the text nests too deep; write it with fewer levels")]
    TooDeep,
    /// It holds more statements than are looked at.
    #[error("the text has {count} statements; more than {STATEMENTS_MAX} are not looked at, split it")]
    TooMany {
        /// How many it holds.
        count: usize,
    },
    /// The parser's result has a shape that is not known. Never seen; refused all the same.
    #[error("the parser's result is not understood: {message}")]
    Shape {
        /// What was unexpected.
        message: String,
    },
}

impl Parsed {
    /// How many statements the text holds. None at all is an empty query.
    pub fn statements(&self) -> usize {
        self.statements.len()
    }
}

impl Unparsed {
    /// The facts of a text that is not understood. `text` is searched for secrets, conservatively.
    pub(super) fn facts(&self, text: &[u8]) -> Facts {
        let mut facts = Facts::of(Kind::Unknown, self.to_string());
        facts.taints_session = true;
        facts.secret_spans = secrets::spans_of_unparsed(text);
        facts
    }
}

/// Reads a statement text, which may hold several statements.
///
/// # Errors
///
/// Whatever keeps it from being understood; the caller treats the text as `sql.unknown`
/// ([`super::classify_unparsed()`]).
pub fn parse(text: &[u8]) -> Result<Parsed, Unparsed> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Unparsed::TooLong { bytes: text.len() });
    }
    if text.contains(&0) {
        return Err(Unparsed::Nul);
    }
    let text = std::str::from_utf8(text).map_err(|e| Unparsed::NotUtf8 { at: e.valid_up_to() })?;
    let result = pg_query::parse(text, 0).map_err(|e| match e {
        pg_query::Error::Parse(message) => Unparsed::Syntax { message },
        pg_query::Error::Decode(_) => Unparsed::TooDeep,
        other => Unparsed::Shape { message: other.to_string() },
    })?;
    let raw = &result.protobuf.stmts;
    if raw.len() > STATEMENTS_MAX {
        return Err(Unparsed::TooMany { count: raw.len() });
    }
    let mut statements = Vec::with_capacity(raw.len());
    let mut trees = Vec::with_capacity(raw.len());
    let mut secretive = false;
    for one in raw {
        let Some(node) = &one.stmt else {
            return Err(Unparsed::Shape { message: "a statement without content".to_owned() });
        };
        let tree = tree_of(node.as_ref()).map_err(|e| match e {
            TreeError::TooDeep => Unparsed::TooDeep,
            TreeError::Shape(message) => Unparsed::Shape { message },
        })?;
        secretive |= secrets::may_hold_secrets(&tree);
        statements.push(statement::read(&tree, node.as_ref()));
        trees.push(tree);
    }
    let secret_spans = secrets::spans(text, secretive);
    Ok(Parsed { statements, trees, letters: Letters::of(text.as_bytes()), secret_spans })
}
