//! What a bundle says of the relations and columns inside a resource: whose they are, how bad it would be, what they hold.
//!
//! A name here is the one that the database keeps, letter by letter. What a relation or a column does not say for
//! itself, its resource says.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Impact, Place, Resource};

/// The longest name of a schema or relation, in bytes (PostgreSQL, `NAMEDATALEN` less one).
pub const RELATION_NAME_BYTES_MAX: usize = 63;

/// A relation's name: its schema and its own. Written `schema.name`; a part with a dot or a quote in it stands in
/// double quotes, with quotes doubled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RelationName {
    /// The schema.
    pub schema: String,
    /// The relation.
    pub name: String,
}

/// What a bundle says of one relation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relation {
    /// One line for people who approve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Who answers for it, if not the owner of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Place>,
    /// How bad it would be, if not as bad as the resource says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact: Option<Impact>,
    /// What kind of data it holds: `personal`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<String>,
    /// What is said of its columns, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, Column>,
}

/// What a bundle says of one column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// What kind of data it holds.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<String>,
    /// How its values are masked in what returns; nothing leaves that to the default for what is labelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<MaskStyle>,
}

/// How a masked value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaskStyle {
    /// Nothing of it.
    Full,
    /// Its beginning or end.
    Partial,
    /// A keyed hash: equal values stay equal.
    Hash,
    /// Another value of the same form.
    Format,
}

impl MaskStyle {
    /// All, as a bundle writes them.
    pub const WORDS: &'static [&'static str] = &["full", "partial", "hash", "format"];

    /// The style that a bundle writes so.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "full" => Some(Self::Full),
            "partial" => Some(Self::Partial),
            "hash" => Some(Self::Hash),
            "format" => Some(Self::Format),
            _ => None,
        }
    }
}

/// Why a text names no relation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRelationName {
    /// It has not exactly two parts.
    #[error("a relation is named with its schema: `public.customers`")]
    Parts,
    /// A part is empty, or has a character that no name has.
    #[error("a part of the name is empty or has a zero byte in it")]
    Part,
    /// A part is longer than the database keeps.
    #[error(
        "a part of the name has more than {RELATION_NAME_BYTES_MAX} bytes, which the database would cut off"
    )]
    Long,
    /// A quote is opened and not closed, or stands in the middle of a part.
    #[error("a part with a dot or a quote in it stands in double quotes: `public.\"a.b\"`")]
    Quotes,
}

impl Resource {
    /// What is said of a relation, if anything is.
    #[must_use]
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        let named = RelationName { schema: schema.to_owned(), name: name.to_owned() };
        self.relations.get(&named)
    }

    /// What is said of the relation that is called `schema.name`, without quotes.
    #[must_use]
    pub fn relation_called(&self, called: &str) -> Option<&Relation> {
        let is = |named: &RelationName| {
            let rest = called.strip_prefix(named.schema.as_str()).and_then(|rest| rest.strip_prefix('.'));
            rest == Some(named.name.as_str())
        };
        if self.relations.is_empty() {
            return None;
        }
        match called.split_once('.') {
            Some((schema, name)) if !name.contains('.') => self.relation(schema, name),
            // With more dots only a comparison tells which part they belong to.
            _ => self.relations.iter().find(|(named, _)| is(named)).map(|(_, relation)| relation),
        }
    }

    /// How bad it would be if something went wrong with a relation: as bad as it says itself, or else as its resource.
    #[must_use]
    pub fn impact_of(&self, relation: Option<&Relation>) -> Impact {
        relation.and_then(|relation| relation.impact).unwrap_or(self.impact)
    }

    /// Who answers for a relation: whom it names itself, or else the owner of its resource.
    #[must_use]
    pub fn owner_of<'a>(&'a self, relation: Option<&'a Relation>) -> Option<&'a Place> {
        relation.and_then(|relation| relation.owner.as_ref()).or(self.owner.as_ref())
    }

    /// The highest impact of anything in it: that of what nothing is known of.
    #[must_use]
    pub fn highest_impact(&self) -> Impact {
        let own = self.relations.values().filter_map(|relation| relation.impact);
        own.fold(self.impact, Impact::max)
    }
}

impl std::fmt::Display for RelationName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_part(f, &self.schema)?;
        f.write_str(".")?;
        write_part(f, &self.name)
    }
}

fn write_part(f: &mut std::fmt::Formatter<'_>, part: &str) -> std::fmt::Result {
    if part.contains(['.', '"']) { write!(f, "\"{}\"", part.replace('"', "\"\"")) } else { f.write_str(part) }
}

impl std::str::FromStr for RelationName {
    type Err = BadRelationName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (schema, rest) = part(text)?;
        let rest = rest.strip_prefix('.').ok_or(BadRelationName::Parts)?;
        let (name, rest) = part(rest)?;
        if !rest.is_empty() {
            return Err(BadRelationName::Parts);
        }
        Ok(Self { schema, name })
    }
}

impl From<RelationName> for String {
    fn from(name: RelationName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for RelationName {
    type Error = BadRelationName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// One part of a name and what is behind it.
fn part(text: &str) -> Result<(String, &str), BadRelationName> {
    let (part, rest) = match text.strip_prefix('"') {
        None => {
            let end = text.find('.').unwrap_or(text.len());
            let (part, rest) = text.split_at_checked(end).ok_or(BadRelationName::Parts)?;
            if part.contains('"') {
                return Err(BadRelationName::Quotes);
            }
            (part.to_owned(), rest)
        }
        Some(mut rest) => {
            let mut part = String::new();
            loop {
                let (before, after) = rest.split_once('"').ok_or(BadRelationName::Quotes)?;
                part.push_str(before);
                rest = after;
                match rest.strip_prefix('"') {
                    Some(after) => {
                        part.push('"');
                        rest = after;
                    }
                    None => break,
                }
            }
            if !rest.is_empty() && !rest.starts_with('.') {
                return Err(BadRelationName::Quotes);
            }
            (part, rest)
        }
    };
    match part.as_str() {
        part if part.is_empty() || part.contains('\0') => Err(BadRelationName::Part),
        part if part.len() > RELATION_NAME_BYTES_MAX => Err(BadRelationName::Long),
        _ => Ok((part, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, String), BadRelationName> {
        text.parse::<RelationName>().map(|name| (name.schema, name.name))
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for (schema, name) in [("public", "customers"), ("Sales 1", "a.b"), ("q\"q", "\""), ("a", "été-’")]
        {
            let named = RelationName { schema: schema.into(), name: name.into() };
            assert_eq!(named.to_string().parse(), Ok(named.clone()), "{named}");
        }
        assert_eq!(read("public.\"a.b\""), Ok(("public".into(), "a.b".into())));
        assert_eq!(read("\"public\".\"a\""), Ok(("public".into(), "a".into())));
    }

    #[test]
    fn what_names_no_relation_is_refused() {
        for (text, why) in [
            ("customers", BadRelationName::Parts),
            ("a.b.c", BadRelationName::Parts),
            ("", BadRelationName::Part),
            (".a", BadRelationName::Part),
            ("a.", BadRelationName::Part),
            ("a.\"\"", BadRelationName::Part),
            ("a.b\0", BadRelationName::Part),
            ("a.\"b", BadRelationName::Quotes),
            ("a.b\"c", BadRelationName::Quotes),
            ("\"a\"b.c", BadRelationName::Quotes),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
        assert_eq!(read(&format!("a.{}", "x".repeat(64))), Err(BadRelationName::Long));
    }
}
