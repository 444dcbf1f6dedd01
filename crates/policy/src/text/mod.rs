//! Reading TOML against a described shape.
//!
//! A shape says once which keys a table has, what they mean and what they hold. The reader checks files
//! against it and reports every mistake with its place; the JSON Schema that editors use is written from it
//! as well, so the two cannot disagree. A deserialiser would stop at the first mistake.

mod reader;
mod schema;

pub(crate) use reader::{Node, Read, Table, read};
pub(crate) use schema::json_schema;

/// A table with known keys.
#[derive(Debug)]
pub(crate) struct Shape {
    /// What the table describes.
    pub(crate) doc: &'static str,
    /// Its keys.
    pub(crate) fields: &'static [Field],
}

/// One key of a table.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) key: &'static str,
    pub(crate) required: bool,
    pub(crate) doc: &'static str,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A text that is not empty.
    Text,
    /// A name: 1 to 64 of a-z, 0-9, `.`, `_`, `-`, `@`.
    Name,
    /// A length of time: `30m`, `1h30m`.
    Span,
    /// Somebody: `user:NAME`, `group:NAME` or `owner`.
    Place,
    /// Where a secret is: `env:NAME`, `file:PATH`, `secret:NAME`. Never the secret.
    Reference,
    /// A whole number within bounds.
    Whole(i64, i64),
    /// `true` or `false`.
    Flag,
    /// One of some words.
    Word(&'static [&'static str]),
    /// A list of values of one kind.
    List(&'static Kind),
    /// One value of a kind, or a list of them; read as a list either way.
    OneOrMore(&'static Kind),
    /// A table whose keys are chosen by people: names if the flag is set, any text otherwise.
    Map(bool, &'static Kind),
    /// A table with known keys.
    Table(&'static Shape),
}

pub(crate) const fn required(key: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { key, required: true, doc, kind }
}

pub(crate) const fn optional(key: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { key, required: false, doc, kind }
}

impl Kind {
    /// What the value should be, in words.
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Text => "a text".into(),
            Self::Name => "a name".into(),
            Self::Span => "a length of time in quotes, for example \"30m\"".into(),
            Self::Place => "\"user:NAME\", \"group:NAME\" or \"owner\"".into(),
            Self::Reference => "\"env:NAME\", \"file:PATH\" or \"secret:NAME\"".into(),
            Self::Whole(only, high) if only == high => only.to_string(),
            Self::Whole(low, high) => format!("a whole number from {low} to {high}"),
            Self::Flag => "true or false, without quotes".into(),
            Self::Word(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                words.join(" or ")
            }
            Self::List(of) => format!("a list, each of them {}", of.expected()),
            Self::OneOrMore(of) => format!("{}, or a list of such", of.expected()),
            Self::Map(..) | Self::Table(_) => "a table".into(),
        }
    }
}
