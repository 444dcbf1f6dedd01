//! Whether arguments fit the schema that their tool declares (JSON Schema, draft 2020-12).
//!
//! Only what certainly does not fit is told. Keywords that are not known here (`pattern`, `format`, references out of the
//! schema) say nothing: the server looks at them itself.

use super::json::{Json, Kind, read};

/// How deep schemas are followed: references may lead in a circle.
const DEPTH_MAX: usize = 32;
/// How many schemas are looked at for one call.
const STEPS_MAX: usize = 10_000;

/// Why arguments do not fit a schema, in words; nothing if they may.
#[must_use]
pub fn misfit(schema: &str, arguments: Option<&Json<'_>>) -> Option<String> {
    let schema = read(schema.as_bytes()).ok()?;
    let none = Json { raw: "{}", kind: Kind::Object(Vec::new()) };
    let mut look = Look { root: &schema, left: STEPS_MAX };
    look.misfit(&schema, arguments.unwrap_or(&none), "arguments", 0)
}

struct Look<'a> {
    root: &'a Json<'a>,
    left: usize,
}

impl<'a> Look<'a> {
    fn misfit(&mut self, schema: &'a Json<'a>, value: &Json<'_>, at: &str, depth: usize) -> Option<String> {
        if schema.kind == Kind::Bool(false) {
            return Some(format!("`{at}` may not be there"));
        }
        self.left = self.left.checked_sub(1)?;
        if depth > DEPTH_MAX {
            return None;
        }
        let own = kind(schema, value, at)
            .or_else(|| one_of_these(schema, value, at))
            .or_else(|| bounds(schema, value, at));
        own.or_else(|| self.members(schema, value, at, depth))
            .or_else(|| self.items(schema, value, at, depth))
            .or_else(|| self.combined(schema, value, at, depth))
    }

    fn members(&mut self, schema: &'a Json<'a>, value: &Json<'_>, at: &str, depth: usize) -> Option<String> {
        let members = value.members()?;
        let required = schema.get("required").and_then(Json::values).unwrap_or_default();
        let mut missing = required.iter().filter_map(Json::text).filter(|name| value.get(name).is_none());
        if let Some(name) = missing.next() {
            return Some(format!("`{at}` has no `{name}`"));
        }
        let known = schema.get("properties");
        let is_closed = schema.get("patternProperties").is_none();
        for (name, inner) in members {
            let here = format!("{at}.{}", name.chars().take(64).collect::<String>());
            let other = || schema.get("additionalProperties").filter(|_| is_closed);
            let Some(of) = known.and_then(|known| known.get(name)).or_else(other) else { continue };
            if let Some(found) = self.misfit(of, inner, &here, depth + 1) {
                return Some(found);
            }
        }
        None
    }

    fn items(&mut self, schema: &'a Json<'a>, value: &Json<'_>, at: &str, depth: usize) -> Option<String> {
        let values = value.values()?;
        let of = schema.get("items")?;
        let first = schema.get("prefixItems").and_then(Json::values).map_or(0, <[_]>::len);
        let mut items = values.iter().enumerate().skip(first);
        items.find_map(|(place, inner)| self.misfit(of, inner, &format!("{at}[{place}]"), depth + 1))
    }

    fn combined(&mut self, schema: &'a Json<'a>, value: &Json<'_>, at: &str, depth: usize) -> Option<String> {
        for of in schema.get("allOf").and_then(Json::values).unwrap_or_default() {
            if let Some(found) = self.misfit(of, value, at, depth + 1) {
                return Some(found);
            }
        }
        for key in ["anyOf", "oneOf"] {
            let Some(choices) = schema.get(key).and_then(Json::values).filter(|list| !list.is_empty()) else {
                continue;
            };
            if choices.iter().all(|of| self.misfit(of, value, at, depth + 1).is_some()) {
                return Some(format!("`{at}` is none of what it may be"));
            }
        }
        let to = schema.get("$ref").and_then(Json::text)?.strip_prefix("#/")?;
        let of = to.split('/').try_fold(self.root, |inner, name| inner.get(name))?;
        self.misfit(of, value, at, depth + 1)
    }
}

fn kind(schema: &Json<'_>, value: &Json<'_>, at: &str) -> Option<String> {
    let wanted = schema.get("type")?;
    let names: Vec<&str> = match wanted.values() {
        Some(names) => names.iter().filter_map(Json::text).collect(),
        None => wanted.text().into_iter().collect(),
    };
    let is = |name: &&str| match *name {
        "object" => value.members().is_some(),
        "array" => value.values().is_some(),
        "string" => value.text().is_some(),
        "boolean" => matches!(value.kind, Kind::Bool(_)),
        "null" => value.kind == Kind::Null,
        "number" => number(value).is_some(),
        "integer" => number(value).is_some_and(|number| number.fract() == 0.0),
        _ => true,
    };
    if names.is_empty() || names.iter().any(is) {
        None
    } else {
        Some(format!("`{at}` is no {}", names.join(" or ")))
    }
}

fn one_of_these(schema: &Json<'_>, value: &Json<'_>, at: &str) -> Option<String> {
    let same = |other: &Json<'_>| {
        other.canonical().is_ok_and(|other| value.canonical().is_ok_and(|own| own == other))
    };
    if let Some(only) = schema.get("const").filter(|only| !same(only)) {
        return Some(format!("`{at}` is not `{}`", only.raw.chars().take(64).collect::<String>()));
    }
    let values = schema.get("enum").and_then(Json::values)?;
    if values.iter().any(same) { None } else { Some(format!("`{at}` is none of the values that it may be")) }
}

fn bounds(schema: &Json<'_>, value: &Json<'_>, at: &str) -> Option<String> {
    let limit = |name: &str| schema.get(name).and_then(number);
    let size = |count: usize| u32::try_from(count).map_or(f64::INFINITY, f64::from);
    let (measure, what, least, most) = match &value.kind {
        Kind::Number(_) => {
            let number = number(value)?;
            let over = limit("exclusiveMinimum").is_some_and(|bound| number <= bound);
            let under = limit("exclusiveMaximum").is_some_and(|bound| number >= bound);
            if over || under {
                return Some(format!("`{at}` is out of its bounds"));
            }
            (number, "out of its bounds", "minimum", "maximum")
        }
        Kind::Text(text) => (size(text.chars().count()), "too short or too long", "minLength", "maxLength"),
        Kind::List(values) => (size(values.len()), "too short or too long", "minItems", "maxItems"),
        Kind::Object(members) => {
            (size(members.len()), "too small or too large", "minProperties", "maxProperties")
        }
        Kind::Null | Kind::Bool(_) => return None,
    };
    let is_within =
        limit(least).is_none_or(|least| measure >= least) && limit(most).is_none_or(|most| measure <= most);
    if is_within { None } else { Some(format!("`{at}` is {what}")) }
}

fn number(value: &Json<'_>) -> Option<f64> {
    let Kind::Number(text) = value.kind else { return None };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told_and_what_may_is_not() {
        let schema = r##"{"type":"object","properties":{
            "path":{"type":"string","maxLength":8},
            "mode":{"enum":["r","w"]},
            "n":{"type":"integer","minimum":1,"exclusiveMaximum":10},
            "list":{"type":"array","items":{"$ref":"#/$defs/word"},"maxItems":2},
            "either":{"anyOf":[{"type":"null"},{"type":"boolean"}]},
            "loop":{"$ref":"#/properties/loop"},
            "odd":{"pattern":"(", "type":"new"}
        },"required":["path"],"additionalProperties":false,"$defs":{"word":{"type":"string"}}}"##;
        for (arguments, expected) in [
            (r#"{"path":"/a","mode":"r","n":3,"list":["a"],"either":null,"loop":1,"odd":7}"#, None),
            (r#"{"path":"/a","n":3.0}"#, None),
            (r#"{}"#, Some("`arguments` has no `path`")),
            (r#"{"path":7}"#, Some("`arguments.path` is no string")),
            (r#"{"path":"123456789"}"#, Some("`arguments.path` is too short or too long")),
            (r#"{"path":"a","mode":"x"}"#, Some("`arguments.mode` is none of the values that it may be")),
            (r#"{"path":"a","n":0}"#, Some("`arguments.n` is out of its bounds")),
            (r#"{"path":"a","n":10}"#, Some("`arguments.n` is out of its bounds")),
            (r#"{"path":"a","n":1.5}"#, Some("`arguments.n` is no integer")),
            (r#"{"path":"a","list":["a",1]}"#, Some("`arguments.list[1]` is no string")),
            (r#"{"path":"a","list":["a","b","c"]}"#, Some("`arguments.list` is too short or too long")),
            (r#"{"path":"a","either":1}"#, Some("`arguments.either` is none of what it may be")),
            (r#"{"path":"a","more":1}"#, Some("`arguments.more` may not be there")),
        ] {
            let value = read(arguments.as_bytes()).unwrap();
            assert_eq!(misfit(schema, Some(&value)).as_deref(), expected, "{arguments}");
        }
        assert_eq!(misfit(schema, None).as_deref(), Some("`arguments` has no `path`"));
        assert_eq!(misfit("true", None), None);
        assert_eq!(misfit("not JSON", None), None);
    }
}
