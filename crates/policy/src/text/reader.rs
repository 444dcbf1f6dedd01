//! Checks a TOML document against a shape. What is well-formed is kept, what is not is reported and dropped,
//! so that one mistake does not hide the next.

use std::collections::BTreeMap;

use countersign_core::catalogue::Place;
use countersign_core::{PrincipalId, Span};
use toml_edit::{Document, Item, TableLike, Value};

use super::{Kind, Shape};
use crate::diagnostic::{Problems, Within, did_you_mean};

/// A value that has the kind that the shape asks for.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Text(String),
    Whole(i64),
    Flag(bool),
    /// Values with their places in the list as it is written: one that was dropped leaves a gap.
    List(Vec<(usize, Node)>),
    Table(Table),
}

/// A table of such values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(BTreeMap<String, Node>);

/// A file that was read, with the places of its values by path: `role.dba.actions[0]`.
#[derive(Debug)]
pub(crate) struct Read<'a> {
    pub(crate) within: Within<'a>,
    pub(crate) root: Table,
    places: BTreeMap<String, usize>,
}

/// Reads one file. A file that is not TOML at all is reported, and read as empty.
pub(crate) fn read<'a>(within: Within<'a>, shape: &Shape, problems: &mut Problems) -> Read<'a> {
    let mut reader = Reader { within, places: BTreeMap::new(), problems };
    let root = match Document::parse(within.text) {
        Ok(document) => reader.table(shape, document.as_table(), ""),
        Err(error) => {
            let words = error.message().trim().replace('\n', "; ");
            let place = error.span().map(|span| span.start);
            reader.problems.error(within, place, format!("this is not TOML: {words}"), None);
            Table::default()
        }
    };
    Read { within, root, places: reader.places }
}

impl Read<'_> {
    /// Where the value at `path` is.
    pub(crate) fn place(&self, path: &str) -> Option<usize> {
        self.places.get(path).copied()
    }
}

impl Table {
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.0.get(key)
    }

    /// The text at `key`; empty if there is none, which was reported if there should be one.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.maybe_text(key).unwrap_or_default()
    }

    pub(crate) fn maybe_text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Node::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn whole(&self, key: &str) -> Option<i64> {
        match self.get(key) {
            Some(Node::Whole(number)) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key) {
            Some(Node::Flag(flag)) => Some(*flag),
            _ => None,
        }
    }

    pub(crate) fn span(&self, key: &str) -> Option<Span> {
        self.maybe_text(key).and_then(|text| text.parse().ok())
    }

    /// The texts of the list at `key`, with their indices.
    pub(crate) fn indexed(&self, key: &str) -> impl Iterator<Item = (usize, &str)> {
        self.list(key).iter().filter_map(|(index, node)| match node {
            Node::Text(text) => Some((*index, text.as_str())),
            _ => None,
        })
    }

    /// The texts of the list at `key`.
    pub(crate) fn texts(&self, key: &str) -> impl Iterator<Item = &str> {
        self.indexed(key).map(|(_, text)| text)
    }

    /// The keys that are there.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The tables of the list at `key`, with their indices.
    pub(crate) fn listed(&self, key: &str) -> impl Iterator<Item = (usize, &Self)> {
        self.list(key).iter().filter_map(|(index, node)| match node {
            Node::Table(table) => Some((*index, table)),
            _ => None,
        })
    }

    fn list(&self, key: &str) -> &[(usize, Node)] {
        match self.get(key) {
            Some(Node::List(nodes)) => nodes,
            _ => &[],
        }
    }

    /// The table at `key`.
    pub(crate) fn table(&self, key: &str) -> Option<&Self> {
        match self.get(key) {
            Some(Node::Table(table)) => Some(table),
            _ => None,
        }
    }

    /// The tables of the table at `key`, by name.
    pub(crate) fn tables(&self, key: &str) -> impl Iterator<Item = (&str, &Self)> {
        self.entries(key).filter_map(|(name, node)| match node {
            Node::Table(table) => Some((name, table)),
            _ => None,
        })
    }

    /// The texts of the table at `key`, by name.
    pub(crate) fn pairs(&self, key: &str) -> impl Iterator<Item = (&str, &str)> {
        self.entries(key).filter_map(|(name, node)| match node {
            Node::Text(text) => Some((name, text.as_str())),
            _ => None,
        })
    }

    fn entries(&self, key: &str) -> impl Iterator<Item = (&str, &Node)> {
        let table = match self.get(key) {
            Some(Node::Table(table)) => Some(table),
            _ => None,
        };
        table.into_iter().flat_map(|table| table.0.iter().map(|(name, node)| (name.as_str(), node)))
    }
}

struct Reader<'a, 'p> {
    within: Within<'a>,
    places: BTreeMap<String, usize>,
    problems: &'p mut Problems,
}

/// A value wherever it stands: TOML keeps tables under headers and inline values apart.
#[derive(Clone, Copy)]
enum Found<'a> {
    Item(&'a Item),
    Value(&'a Value),
    Table(&'a toml_edit::Table),
}

impl Reader<'_, '_> {
    fn table(&mut self, shape: &Shape, found: &dyn TableLike, path: &str) -> Table {
        let mut table = Table::default();
        for (key, item) in found.iter() {
            let here = join(path, key);
            let place = self.remember(&here, found, key);
            let Some(field) = shape.fields.iter().find(|field| field.key == key) else {
                let known = shape.fields.iter().map(|field| field.key);
                self.problems.error(
                    self.within,
                    place,
                    format!("there is no key `{key}` here"),
                    did_you_mean(key, known),
                );
                continue;
            };
            if let Some(node) = self.value(&field.kind, Found::Item(item), &here) {
                table.0.insert(key.to_owned(), node);
            }
        }
        for field in shape.fields.iter().filter(|field| field.required && !found.contains_key(field.key)) {
            let place = self.places.get(path).copied();
            let message = format!("`{}` is missing{}", field.key, of(path));
            self.problems.error(
                self.within,
                place,
                message,
                Some(format!("{}: {}", field.doc, field.kind.expected())),
            );
        }
        table
    }

    fn value(&mut self, kind: &Kind, found: Found<'_>, path: &str) -> Option<Node> {
        self.remember_value(kind, found, path);
        match kind {
            Kind::Table(shape) => match found.as_table() {
                Some(table) => Some(Node::Table(self.table(shape, table, path))),
                None => self.unexpected(kind, path),
            },
            Kind::Map(named, of) => match found.as_table() {
                Some(table) => Some(Node::Table(self.map(*named, of, table, path))),
                None => self.unexpected(kind, path),
            },
            Kind::List(of) => match found.as_list() {
                Some(values) => Some(Node::List(self.list(of, &values, path))),
                None => self.unexpected(kind, path),
            },
            Kind::OneOrMore(of) => match found.as_list() {
                Some(values) => Some(Node::List(self.list(of, &values, path))),
                None => self.value(of, found, path).map(|only| Node::List(vec![(0, only)])),
            },
            Kind::Whole(low, high) => {
                match found.as_value().and_then(Value::as_integer).filter(|n| (*low..=*high).contains(n)) {
                    Some(number) => Some(Node::Whole(number)),
                    None => self.unexpected(kind, path),
                }
            }
            Kind::Flag => match found.as_value().and_then(Value::as_bool) {
                Some(flag) => Some(Node::Flag(flag)),
                None => self.unexpected(kind, path),
            },
            Kind::Text | Kind::Name | Kind::Span | Kind::Place | Kind::Reference | Kind::Word(_) => {
                self.text(kind, found, path)
            }
        }
    }

    fn map(&mut self, named: bool, of: &Kind, found: &dyn TableLike, path: &str) -> Table {
        let mut table = Table::default();
        for (key, item) in found.iter() {
            let here = join(path, key);
            let place = self.remember(&here, found, key);
            if named && let Err(error) = key.parse::<PrincipalId>() {
                self.problems.error(self.within, place, error.to_string(), None);
                continue;
            }
            if let Some(node) = self.value(of, Found::Item(item), &here) {
                table.0.insert(key.to_owned(), node);
            }
        }
        table
    }

    fn list(&mut self, of: &Kind, values: &[Found<'_>], path: &str) -> Vec<(usize, Node)> {
        let nodes = values.iter().enumerate();
        nodes
            .filter_map(|(index, value)| Some((index, self.value(of, *value, &format!("{path}[{index}]"))?)))
            .collect()
    }

    fn text(&mut self, kind: &Kind, found: Found<'_>, path: &str) -> Option<Node> {
        let Some(text) = found.as_value().and_then(Value::as_str) else {
            return self.unexpected(kind, path);
        };
        let place = self.places.get(path).copied();
        match fault(kind, text) {
            None => Some(Node::Text(text.to_owned())),
            Some((message, hint)) => {
                self.problems.error(self.within, place, message, hint);
                None
            }
        }
    }

    fn unexpected(&mut self, kind: &Kind, path: &str) -> Option<Node> {
        let place = self.places.get(path).copied();
        self.problems.error(self.within, place, format!("`{path}` must be {}", kind.expected()), None);
        None
    }

    /// A table is where its header is; anything else where it is written.
    fn remember_value(&mut self, kind: &Kind, found: Found<'_>, path: &str) {
        let Some(place) = found.place() else { return };
        if matches!(kind, Kind::Table(_) | Kind::Map(..)) {
            self.places.entry(path.to_owned()).or_insert(place);
        } else {
            self.places.insert(path.to_owned(), place);
        }
    }

    fn remember(&mut self, path: &str, found: &dyn TableLike, key: &str) -> Option<usize> {
        let place = found.key(key).and_then(toml_edit::Key::span).map(|span| span.start);
        if let Some(place) = place {
            self.places.insert(path.to_owned(), place);
        }
        place
    }
}

impl<'a> Found<'a> {
    fn as_value(self) -> Option<&'a Value> {
        match self {
            Self::Item(item) => item.as_value(),
            Self::Value(value) => Some(value),
            Self::Table(_) => None,
        }
    }

    fn as_table(self) -> Option<&'a dyn TableLike> {
        match self {
            Self::Item(item) => item.as_table_like(),
            Self::Value(value) => value.as_inline_table().map(|table| table as &dyn TableLike),
            Self::Table(table) => Some(table),
        }
    }

    fn as_list(self) -> Option<Vec<Self>> {
        if let Self::Item(Item::ArrayOfTables(tables)) = self {
            return Some(tables.iter().map(Self::Table).collect());
        }
        Some(self.as_value()?.as_array()?.iter().map(Self::Value).collect())
    }

    fn place(self) -> Option<usize> {
        let span = match self {
            Self::Item(item) => item.span(),
            Self::Value(value) => value.span(),
            Self::Table(table) => table.span(),
        };
        span.map(|span| span.start)
    }
}

/// What is wrong with a text of this kind, and what to do.
fn fault(kind: &Kind, text: &str) -> Option<(String, Option<String>)> {
    let plain = |error: String| Some((error, None));
    match kind {
        Kind::Name => text.parse::<PrincipalId>().err().and_then(|error| plain(error.to_string())),
        Kind::Span => text.parse::<Span>().err().and_then(|error| plain(error.to_string())),
        Kind::Place => text.parse::<Place>().err().map(|_| {
            let hint = "write `user:NAME`, `group:NAME` or `owner`".to_owned();
            (format!("`{text}` names nobody"), Some(hint))
        }),
        Kind::Word(words) if !words.contains(&text) => Some((
            format!("`{text}` is none of the words for this"),
            did_you_mean(text, words.iter().copied()),
        )),
        // The text may be the secret itself: it is not repeated.
        Kind::Reference if !is_reference(text) => Some((
            "this is not a reference to a secret".into(),
            Some(
                "write `env:NAME`, `file:PATH` or `secret:NAME`; the secret itself never stands in a bundle"
                    .into(),
            ),
        )),
        Kind::Text if text.trim().is_empty() => plain("this text is empty".into()),
        _ => None,
    }
}

fn is_reference(text: &str) -> bool {
    let Some((kind, name)) = text.split_once(':') else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    match kind {
        "env" | "secret" => !name.is_empty() && name.bytes().all(plain),
        "file" => !name.trim().is_empty() && !name.chars().any(char::is_control),
        _ => false,
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn of(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" in `{path}`") }
}
