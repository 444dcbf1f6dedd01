//! Filters and paths (RFC 7644, sections 3.4.2.2 and 3.5.2): read, and held against resources.
//!
//! The reader is total and bounded: whatever is sent is a filter or a refusal, and neither its depth nor its size can
//! be chosen by whoever sends it.

use countersign_engine::directory::folded;
use serde_json::Value;

use super::error::{Error, Why};
use super::schema::{Attribute, Kind, Object, Type, named};

/// The longest filter or path, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;

/// How deep brackets may stand within brackets.
const DEPTH_MAX: usize = 16;

/// The most comparisons in one filter.
const TERMS_MAX: usize = 128;

/// What a resource has to be like.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Present(Place),
    Compare(Place, Op, Value),
    /// One of the values of a list is like this.
    Within(Place, Box<Filter>),
}

/// An attribute, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The schema it belongs to, if that was said.
    pub urn: Option<String>,
    pub name: String,
    pub part: Option<String>,
}

/// What a change is made to.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    pub place: Place,
    /// Which values of a list.
    pub which: Option<Filter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// Reads a filter.
///
/// # Errors
/// It is none, with the place where that shows.
pub fn read(text: &str) -> Result<Filter, Error> {
    let mut reader = Reader::new(text, Why::InvalidFilter)?;
    let filter = reader.any_of(0)?;
    reader.end()?;
    Ok(filter)
}

/// Reads a path: `name.familyName`, `members[value eq "..."]`, `emails[type eq "work"].value`, with or without the
/// schema before it.
///
/// # Errors
/// It is none.
pub fn read_path(text: &str) -> Result<Path, Error> {
    let mut reader = Reader::new(text, Why::InvalidPath)?;
    let mut place = reader.place()?;
    let mut which = None;
    if reader.takes("[") {
        which = Some(reader.any_of(1)?);
        reader.expects("]")?;
        if reader.takes(".") {
            place.part = Some(reader.name()?);
        }
    }
    reader.end()?;
    Ok(Path { place, which })
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    why: Why,
    terms: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, why: Why) -> Result<Self, Error> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Error::new(why, format!("it is longer than {TEXT_BYTES_MAX} bytes")));
        }
        Ok(Self { text, rest: text.trim_start(), why, terms: 0 })
    }

    fn any_of(&mut self, depth: usize) -> Result<Filter, Error> {
        let mut all = vec![self.all_of(depth)?];
        while self.takes_word("or") {
            all.push(self.all_of(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Filter::Or(all) })
    }

    fn all_of(&mut self, depth: usize) -> Result<Filter, Error> {
        let mut all = vec![self.term(depth)?];
        while self.takes_word("and") {
            all.push(self.term(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Filter::And(all) })
    }

    fn term(&mut self, depth: usize) -> Result<Filter, Error> {
        self.terms += 1;
        if depth > DEPTH_MAX || self.terms > TERMS_MAX {
            return Err(self.wrong("it is too deep or has too many parts"));
        }
        let is_negated = self.takes_word("not");
        if self.takes("(") {
            let inner = self.any_of(depth + 1)?;
            self.expects(")")?;
            return Ok(if is_negated { Filter::Not(Box::new(inner)) } else { inner });
        }
        if is_negated {
            return Err(self.wrong("`not` needs brackets"));
        }
        let place = self.place()?;
        if self.takes("[") {
            let inner = self.any_of(depth + 1)?;
            self.expects("]")?;
            return Ok(Filter::Within(place, Box::new(inner)));
        }
        if self.takes_word("pr") {
            return Ok(Filter::Present(place));
        }
        let op = self.op()?;
        Ok(Filter::Compare(place, op, self.value()?))
    }

    /// `urn:...:User:name.familyName`, `name.familyName`, or a schema alone.
    fn place(&mut self) -> Result<Place, Error> {
        let known = [super::schema::USER, super::schema::GROUP, super::schema::ENTERPRISE];
        let urn = known
            .iter()
            .find(|urn| self.rest.get(..urn.len()).is_some_and(|start| start.eq_ignore_ascii_case(urn)));
        let mut place = Place { urn: None, name: String::new(), part: None };
        if let Some(urn) = urn {
            place.urn = Some((*urn).to_owned());
            self.rest = self.rest.get(urn.len()..).unwrap_or_default();
            if !self.takes_close(":") {
                return Ok(place);
            }
        }
        place.name = self.name()?;
        if self.takes_close(".") {
            place.part = Some(self.name()?);
        }
        self.rest = self.rest.trim_start();
        Ok(place)
    }

    fn name(&mut self) -> Result<String, Error> {
        let is_body = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let starts = self.rest.strip_prefix('$').unwrap_or(self.rest);
        let length = starts.find(|c| !is_body(c)).unwrap_or(starts.len()) + (self.rest.len() - starts.len());
        let (name, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        if !starts.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(self.wrong("here the name of an attribute is expected"));
        }
        self.rest = rest;
        Ok(name.to_owned())
    }

    fn op(&mut self) -> Result<Op, Error> {
        let ops = [
            ("eq", Op::Equal),
            ("ne", Op::NotEqual),
            ("co", Op::Contains),
            ("sw", Op::StartsWith),
            ("ew", Op::EndsWith),
            ("gt", Op::Greater),
            ("ge", Op::GreaterOrEqual),
            ("lt", Op::Less),
            ("le", Op::LessOrEqual),
        ];
        let found = ops.into_iter().find(|(word, _)| self.takes_word(word));
        found.map(|(_, op)| op).ok_or_else(|| self.wrong("here `eq` or another comparison is expected"))
    }

    /// A JSON value that is no list and no object.
    fn value(&mut self) -> Result<Value, Error> {
        let length = if self.rest.starts_with('"') {
            // Only a text may have brackets and blanks in it, and it says itself where it ends.
            let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<String>();
            values.next().and_then(Result::ok).map(|_| values.byte_offset())
        } else {
            self.rest.find(|c: char| c.is_whitespace() || "()[]".contains(c)).or(Some(self.rest.len()))
        };
        let parts = length.and_then(|length| self.rest.split_at_checked(length));
        let value = parts.and_then(|(value, rest)| Some((serde_json::from_str::<Value>(value).ok()?, rest)));
        match value {
            Some((value, rest)) if !value.is_array() && !value.is_object() => {
                self.rest = rest.trim_start();
                Ok(value)
            }
            _ => Err(self.wrong("here a value is expected, texts in double quotes")),
        }
    }

    fn takes(&mut self, sign: &str) -> bool {
        let taken = self.takes_close(sign);
        self.rest = if taken { self.rest.trim_start() } else { self.rest };
        taken
    }

    fn takes_close(&mut self, sign: &str) -> bool {
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let Some((start, rest)) = self.rest.split_at_checked(word.len()) else { return false };
        let ends = rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || "()[]".contains(c));
        let taken = ends && start.eq_ignore_ascii_case(word);
        if taken {
            self.rest = rest.trim_start();
        }
        taken
    }

    fn expects(&mut self, sign: &str) -> Result<(), Error> {
        if self.takes(sign) { Ok(()) } else { Err(self.wrong(&format!("here `{sign}` is expected"))) }
    }

    fn end(&self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.wrong("here nothing more is expected")) }
    }

    fn wrong(&self, what: &str) -> Error {
        let place = self.text.len().saturating_sub(self.rest.len());
        Error::new(self.why, format!("{what} (at byte {place})"))
    }
}

impl Filter {
    /// Whether a resource is like this.
    pub fn matches(&self, kind: &'static Type, resource: &Object) -> bool {
        self.holds(&Ground { attributes: Attributes::Of(kind), object: resource })
    }

    /// Whether one value of a list is like this.
    pub fn matches_value(&self, attribute: &Attribute, value: &Value) -> bool {
        match (attribute.kind, value) {
            (Kind::Parts(parts), Value::Object(object)) => {
                self.holds(&Ground { attributes: Attributes::Parts(parts), object })
            }
            _ => false,
        }
    }

    /// What a value would have to be that is like this, if nothing but equalities is asked: `type eq "work"`.
    pub fn as_value(&self) -> Option<Object> {
        let mut object = Object::new();
        match self {
            Self::Compare(Place { urn: None, name, part: None }, Op::Equal, value) if !value.is_null() => {
                object.insert(name.clone(), value.clone());
            }
            Self::And(all) => {
                for one in all {
                    object.extend(one.as_value()?);
                }
            }
            _ => return None,
        }
        Some(object)
    }

    /// The name, if this asks for the one user of it.
    pub fn as_user_name(&self) -> Option<&str> {
        match self {
            Self::Compare(Place { name, part: None, .. }, Op::Equal, Value::String(with))
                if name.eq_ignore_ascii_case("userName") =>
            {
                Some(with)
            }
            _ => None,
        }
    }

    fn holds(&self, ground: &Ground<'_>) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.holds(ground)),
            Self::Or(all) => all.iter().any(|one| one.holds(ground)),
            Self::Not(one) => !one.holds(ground),
            Self::Present(place) => ground.find(place).iter().any(|(_, value)| is_something(value)),
            Self::Compare(place, op, with) => {
                let found = ground.find(place);
                match (op, with) {
                    (Op::Equal, Value::Null) => found.is_empty(),
                    (Op::NotEqual, Value::Null) => !found.is_empty(),
                    (Op::NotEqual, _) => {
                        !found.iter().any(|(one, value)| compares(one, value, Op::Equal, with))
                    }
                    _ => found.iter().any(|(one, value)| compares(one, value, *op, with)),
                }
            }
            Self::Within(place, filter) => {
                ground.whole(place).iter().any(|(one, value)| filter.matches_value(one, value))
            }
        }
    }
}

enum Attributes {
    Of(&'static Type),
    Parts(&'static [Attribute]),
}

/// An object and what its attributes are.
struct Ground<'a> {
    attributes: Attributes,
    object: &'a Object,
}

impl<'a> Ground<'a> {
    /// The values at a place that can be compared: of something that has parts, its value.
    fn find(&self, place: &Place) -> Vec<(&'static Attribute, &'a Value)> {
        let mut found = Vec::new();
        for (attribute, value) in self.whole(place) {
            match attribute.kind {
                Kind::Parts(parts) => {
                    let part = place.part.as_deref().unwrap_or("value");
                    let part = named(parts, part);
                    let inner = part.and_then(|part| Some((part, value.get(part.name)?)));
                    // Something with parts is there if it is there, whatever its parts are.
                    found.extend(inner.or((place.part.is_none()).then_some((attribute, value))));
                }
                _ if place.part.is_none() => found.push((attribute, value)),
                _ => {}
            }
        }
        found
    }

    /// The values at a place, whole; each of a list by itself.
    fn whole(&self, place: &Place) -> Vec<(&'static Attribute, &'a Value)> {
        let (attribute, object) = match &self.attributes {
            Attributes::Parts(parts) => (named(*parts, &place.name), Some(self.object)),
            Attributes::Of(kind) => match place.urn.as_deref().and_then(|urn| kind.extension(urn)) {
                Some(schema) => {
                    let object = self.object.get(schema.urn).and_then(Value::as_object);
                    (named(schema.attributes, &place.name), object)
                }
                None => (kind.attribute(&place.name), Some(self.object)),
            },
        };
        let Some((attribute, value)) =
            attribute.zip(object).and_then(|(one, object)| Some((one, object.get(one.name)?)))
        else {
            return Vec::new();
        };
        match value {
            Value::Array(all) => all.iter().map(|one| (attribute, one)).collect(),
            one => vec![(attribute, one)],
        }
    }
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(all) => !all.is_empty(),
        Value::Object(object) => !object.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn compares(attribute: &Attribute, value: &Value, op: Op, with: &Value) -> bool {
    match (value, with) {
        (Value::String(value), Value::String(with)) if attribute.is_exact => compares_texts(value, op, with),
        (Value::String(value), Value::String(with)) => compares_texts(&folded(value), op, &folded(with)),
        (Value::Bool(value), Value::Bool(with)) => op == Op::Equal && value == with,
        // Clients write truth values in quotes.
        (Value::Bool(value), Value::String(with)) => {
            op == Op::Equal && with.eq_ignore_ascii_case(if *value { "true" } else { "false" })
        }
        _ => false,
    }
}

fn compares_texts(value: &str, op: Op, with: &str) -> bool {
    match op {
        Op::Equal => value == with,
        Op::NotEqual => value != with,
        Op::Contains => value.contains(with),
        Op::StartsWith => value.starts_with(with),
        Op::EndsWith => value.ends_with(with),
        Op::Greater => value > with,
        Op::GreaterOrEqual => value >= with,
        Op::Less => value < with,
        Op::LessOrEqual => value <= with,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schema::{TEAMS, USERS};
    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn filters_say_what_the_standard_says() {
        let zoe = object(json!({
            "id": "2819c223", "userName": "Zoe@example.com", "externalId": "E1", "active": true,
            "name": { "familyName": "O'Malley", "givenName": "Zoe" },
            "emails": [
                { "value": "zoe@example.com", "type": "work", "primary": true },
                { "value": "z@home.example", "type": "home" },
            ],
            "meta": { "lastModified": "2011-05-13T04:42:34Z" },
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "Sales" },
        }));
        for (filter, expected) in [
            ("userName eq \"zoe@EXAMPLE.com\"", true),
            ("USERNAME Eq \"zoe@example.com\"", true),
            ("externalId eq \"e1\"", false),
            ("externalId eq \"E1\"", true),
            ("userName ne \"zoe@example.com\"", false),
            ("title ne \"x\"", true),
            ("title pr", false),
            ("title eq null", true),
            ("active eq true", true),
            ("active eq \"True\"", true),
            ("active eq false", false),
            ("name.familyName co \"O'Malley\"", true),
            ("userName sw \"Z\" and (title pr or name.givenName eq \"zoe\")", true),
            ("userName sw \"z\" and not (active eq true)", false),
            ("title pr or userName pr and active eq false", false),
            ("emails eq \"z@home.example\"", true),
            ("emails.value ew \"home.example\"", true),
            ("emails pr", true),
            ("name pr", true),
            ("emails[type eq \"work\" and value co \"@example.com\"]", true),
            ("emails[type eq \"home\" and value co \"@example.com\"]", false),
            ("meta.lastModified gt \"2011-05-13T04:42:33Z\"", true),
            ("meta.lastModified le \"2011-05-13T04:42:33Z\"", false),
            ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq \"sales\"", true),
            ("urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"zoe\"", true),
            ("nonsense eq \"x\"", false),
        ] {
            assert_eq!(read(filter).unwrap().matches(&USERS, &zoe), expected, "{filter}");
        }
        let group = object(json!({ "displayName": "DBA", "members": [{ "value": "2819c223" }] }));
        assert!(read("members[value eq \"2819c223\"]").unwrap().matches(&TEAMS, &group));
        assert!(read("members eq \"2819c223\"").unwrap().matches(&TEAMS, &group));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let deep = format!("{}userName pr{}", "(".repeat(40), ")".repeat(40));
        let wide = vec!["userName pr"; 200].join(" or ");
        let long = format!("userName eq \"{}\"", "x".repeat(5_000));
        for bad in [
            "",
            " ",
            "userName",
            "userName eq",
            "userName eq zoe",
            "userName eq \"a",
            "eq \"a\"",
            "a b c",
            "userName eq [1]",
            "userName eq {}",
            "userName eq \"a\" x",
            "not userName pr",
            "(userName pr",
            "emails[type eq \"work\"",
            "userName pr or",
            "é eq \"x\"",
            "name. eq \"x\"",
            "$ pr",
            "userName xx \"a\"",
            &deep,
            &wide,
            &long,
        ] {
            assert_eq!(read(bad).unwrap_err().why, Why::InvalidFilter, "{bad}");
        }
    }

    #[test]
    fn paths_lead_somewhere() {
        let path = |text: &str| read_path(text).unwrap();
        assert_eq!(path("name.familyName").place.part.as_deref(), Some("familyName"));
        assert_eq!(path("emails[type eq \"work\"].value").place.part.as_deref(), Some("value"));
        assert!(path("members[value eq \"1\"]").which.is_some());
        let department = path("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value");
        assert_eq!(
            (department.place.name.as_str(), department.place.part.as_deref()),
            ("manager", Some("value"))
        );
        let whole = path("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User");
        assert!(whole.place.urn.is_some() && whole.place.name.is_empty());
        for bad in ["", "a b", "[x]", "emails[type eq \"work\"", "emails[].value", "a..b", "1a"] {
            assert_eq!(read_path(bad).unwrap_err().why, Why::InvalidPath, "{bad}");
        }
    }
}
