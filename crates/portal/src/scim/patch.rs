//! Changes to a resource (RFC 7644, section 3.5.2): all of them or none.
//!
//! Clients in the field differ from the standard in known ways, which are taken for what they mean: operations in any
//! case; no path, and dotted names within the value; a list of members to be removed as the value of `remove`; an
//! addition to the one value of a list that is like this, where there is none yet.

use serde_json::{Map, Value};

use super::error::{Error, Why};
use super::filter::{self, Filter, Path};
use super::schema::{self, Attribute, Kind, Mutability, Object, Type, named};

/// The most operations in one call.
const OPERATIONS_MAX: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Add,
    Replace,
    Remove,
}

/// Makes the changes of a body to a resource.
///
/// # Errors
/// The first that can't be made; then nothing is changed.
pub fn apply(kind: &'static Type, resource: &Object, body: &Object) -> Result<Object, Error> {
    let operations = body.iter().find(|(name, _)| name.eq_ignore_ascii_case("operations"));
    let operations = operations
        .and_then(|(_, value)| value.as_array())
        .ok_or_else(|| Error::new(Why::InvalidSyntax, "`Operations` is missing, or is no list"))?;
    if operations.len() > OPERATIONS_MAX {
        return Err(Error::new(Why::TooMany, format!("there are more than {OPERATIONS_MAX} operations")));
    }
    let mut changed = resource.clone();
    for operation in operations {
        operate(kind, &mut changed, operation)?;
    }
    kind.check(&changed)?;
    Ok(changed)
}

fn operate(kind: &'static Type, resource: &mut Object, operation: &Value) -> Result<(), Error> {
    let syntax = |what: &str| Error::new(Why::InvalidSyntax, what);
    let operation = operation.as_object().ok_or_else(|| syntax("an operation has to be an object"))?;
    let member =
        |name: &str| operation.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let op = match member("op").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase().as_str() {
        "add" => Op::Add,
        "replace" => Op::Replace,
        "remove" => Op::Remove,
        _ => return Err(syntax("`op` has to be `add`, `replace` or `remove`")),
    };
    let value = member("value");
    match member("path") {
        Some(Value::String(path)) => {
            let path = filter::read_path(path)?;
            change(kind, resource, op, &path, value)
        }
        None | Some(Value::Null) if op == Op::Remove => {
            Err(Error::new(Why::NoTarget, "`remove` needs a `path`"))
        }
        None | Some(Value::Null) => {
            let value = value.and_then(Value::as_object);
            let value = value.ok_or_else(|| {
                Error::new(Why::InvalidValue, "without a `path`, `value` has to be an object")
            })?;
            merge(kind, resource, op, value)
        }
        Some(_) => Err(Error::new(Why::InvalidPath, "`path` has to be a text")),
    }
}

/// An operation without a path: each member of its value is a path of its own. What only this gateway sets, and what
/// no schema knows, is passed over: clients send whole resources back.
fn merge(kind: &'static Type, resource: &mut Object, op: Op, value: &Object) -> Result<(), Error> {
    for (name, value) in value {
        if let (Some(schema), Some(inner)) = (kind.extension(name), value.as_object()) {
            for (name, value) in inner {
                if let Ok(mut path) = filter::read_path(name) {
                    path.place.urn = Some(schema.urn.to_owned());
                    if target(kind, &path).is_ok() {
                        change(kind, resource, op, &path, Some(value))?;
                    }
                }
            }
            continue;
        }
        let Ok(path) = filter::read_path(name) else { continue };
        if target(kind, &path).is_ok_and(|(_, attribute)| attribute.mutability != Mutability::ReadOnly) {
            change(kind, resource, op, &path, Some(value))?;
        }
    }
    Ok(())
}

/// The schema that holds the attribute of a path, if it is an extension, and the attribute.
fn target(kind: &'static Type, path: &Path) -> Result<(Option<&'static str>, &'static Attribute), Error> {
    let extension = path.place.urn.as_deref().and_then(|urn| kind.extension(urn));
    let attribute = match extension {
        Some(schema) => named(schema.attributes, &path.place.name),
        None => kind.attribute(&path.place.name),
    };
    let attribute = attribute.ok_or_else(|| {
        let name: String = path.place.name.chars().take(80).collect();
        Error::new(Why::InvalidPath, format!("there is no attribute `{name}`"))
    })?;
    Ok((extension.map(|schema| schema.urn), attribute))
}

fn change(
    kind: &'static Type,
    resource: &mut Object,
    op: Op,
    path: &Path,
    value: Option<&Value>,
) -> Result<(), Error> {
    if path.place.name.is_empty() {
        return whole_extension(kind, resource, op, (path, value));
    }
    let (extension, attribute) = target(kind, path)?;
    if attribute.mutability == Mutability::ReadOnly {
        return Err(Error::new(
            Why::Mutability,
            format!("`{}` is set by this gateway alone", attribute.name),
        ));
    }
    let part = match path.place.part.as_deref() {
        None => None,
        Some(name) => Some(part_of(attribute, name)?),
    };
    let value = value.filter(|value| !value.is_null());
    let op = match (op, value) {
        (Op::Add, None) => return Err(Error::new(Why::InvalidValue, "`add` needs a `value`")),
        // A value of null is none.
        (Op::Replace, None) => Op::Remove,
        (op, _) => op,
    };
    let mut holder = match extension {
        Some(urn) => match resource.remove(urn) {
            Some(Value::Object(inner)) => inner,
            _ => Map::new(),
        },
        None => std::mem::take(resource),
    };
    let changed = alter(&mut holder, attribute, (op, value), (part, path.which.as_ref()));
    match extension {
        Some(urn) if holder.is_empty() => drop(resource.remove(urn)),
        Some(urn) => drop(resource.insert(urn.to_owned(), Value::Object(holder))),
        None => *resource = holder,
    }
    changed
}

/// A path that names an extension and nothing in it.
fn whole_extension(
    kind: &'static Type,
    resource: &mut Object,
    op: Op,
    (path, value): (&Path, Option<&Value>),
) -> Result<(), Error> {
    let no_path = || Error::new(Why::InvalidPath, "the path leads nowhere");
    let urn = path.place.urn.as_deref().ok_or_else(no_path)?;
    if let Some(schema) = kind.extension(urn) {
        if op != Op::Add {
            resource.remove(schema.urn);
        }
        return match value {
            Some(value) if op != Op::Remove => {
                let whole = Object::from_iter([(schema.urn.to_owned(), value.clone())]);
                merge(kind, resource, op, &whole)
            }
            _ => Ok(()),
        };
    }
    match value.and_then(Value::as_object) {
        Some(value) if kind.core.urn.eq_ignore_ascii_case(urn) && op != Op::Remove => {
            merge(kind, resource, op, value)
        }
        _ => Err(no_path()),
    }
}

fn part_of(attribute: &'static Attribute, name: &str) -> Result<&'static Attribute, Error> {
    let Kind::Parts(parts) = attribute.kind else {
        return Err(Error::new(Why::InvalidPath, format!("`{}` has no parts", attribute.name)));
    };
    let part = named(parts, name).ok_or_else(|| {
        let name: String = name.chars().take(80).collect();
        Error::new(Why::InvalidPath, format!("`{}` has no part `{name}`", attribute.name))
    })?;
    let why = match part.mutability {
        Mutability::ReadWrite => return Ok(part),
        Mutability::Immutable => "does not change by itself; take the whole value out and put another in",
        Mutability::ReadOnly => "is set by this gateway alone",
    };
    Err(Error::new(Why::Mutability, format!("`{}` {why}", part.name)))
}

fn alter(
    holder: &mut Object,
    attribute: &'static Attribute,
    (op, value): (Op, Option<&Value>),
    (part, which): (Option<&'static Attribute>, Option<&Filter>),
) -> Result<(), Error> {
    if which.is_some() && !attribute.is_list {
        return Err(Error::new(Why::InvalidPath, format!("`{}` is no list", attribute.name)));
    }
    if attribute.is_list && (part.is_some() || which.is_some()) {
        return some_values(holder, attribute, (op, value), (part, which));
    }
    match (part, op, value) {
        (None, Op::Remove, Some(these)) if attribute.is_list => take_out(holder, attribute, these)?,
        (None, Op::Remove, _) => drop(holder.remove(attribute.name)),
        (None, Op::Add, Some(value)) if attribute.is_list => add_values(holder, attribute, value)?,
        (None, _, Some(value)) => {
            let read = schema::values(attribute, value)?;
            match (holder.get_mut(attribute.name), read) {
                (Some(Value::Object(had)), Some(Value::Object(new))) => had.extend(new),
                (_, Some(new)) => drop(holder.insert(attribute.name.to_owned(), new)),
                (_, None) => drop(holder.remove(attribute.name)),
            }
        }
        (Some(part), Op::Remove, _) => {
            if let Some(Value::Object(inner)) = holder.get_mut(attribute.name) {
                inner.remove(part.name);
                if inner.is_empty() {
                    holder.remove(attribute.name);
                }
            }
        }
        (Some(part), _, Some(value)) => {
            let value = schema::single(part, value)?;
            let inner = holder.entry(attribute.name).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                inner.insert(part.name.to_owned(), value);
            }
        }
        (_, Op::Add | Op::Replace, None) => {}
    }
    Ok(())
}

/// The values of a list, taken out of the resource.
fn taken(holder: &mut Object, attribute: &Attribute) -> Vec<Value> {
    match holder.remove(attribute.name) {
        Some(Value::Array(values)) => values,
        _ => Vec::new(),
    }
}

/// Adds values to a list: those that are there already stay as they are.
fn add_values(holder: &mut Object, attribute: &Attribute, value: &Value) -> Result<(), Error> {
    let Some(Value::Array(new)) = schema::values(attribute, value)? else { return Ok(()) };
    let mut values = taken(holder, attribute);
    for one in new {
        let is_same = |had: &Value| match attribute.name {
            "members" => had.get("value") == one.get("value"),
            _ => *had == one,
        };
        if !values.iter().any(is_same) {
            values.push(one);
        }
    }
    settle(holder, attribute, values)
}

/// Takes out of a list what the value names.
fn take_out(holder: &mut Object, attribute: &Attribute, these: &Value) -> Result<(), Error> {
    let Some(Value::Array(these)) = schema::values(attribute, these)? else { return Ok(()) };
    let named = |had: &Value| {
        these.iter().any(|one| match one.get("value") {
            Some(value) => had.get("value") == Some(value),
            None => had == one,
        })
    };
    let mut values = taken(holder, attribute);
    values.retain(|had| !named(had));
    settle(holder, attribute, values)
}

/// Changes the values of a list that are like this, or all of them; or a part of each.
fn some_values(
    holder: &mut Object,
    attribute: &'static Attribute,
    (op, value): (Op, Option<&Value>),
    (part, which): (Option<&'static Attribute>, Option<&Filter>),
) -> Result<(), Error> {
    let mut values = taken(holder, attribute);
    let mut is_meant: Vec<bool> =
        values.iter().map(|one| which.is_none_or(|which| which.matches_value(attribute, one))).collect();
    if op != Op::Remove && !is_meant.contains(&true) {
        values.push(like(attribute, op, which)?);
        is_meant.push(true);
    }
    let mut kept = Vec::with_capacity(values.len());
    for (mut one, is_meant) in values.into_iter().zip(is_meant) {
        if is_meant {
            match (op, part, value, &mut one) {
                (Op::Remove, None, ..) => continue,
                (Op::Remove, Some(part), _, Value::Object(inner)) => drop(inner.remove(part.name)),
                (_, _, Some(value), Value::Object(inner)) => put(inner, attribute, part, value)?,
                _ => {}
            }
        }
        if one.as_object().is_none_or(|inner| !inner.is_empty()) {
            kept.push(one);
        }
    }
    settle(holder, attribute, kept)
}

/// A value to begin with where none is meant yet.
fn like(attribute: &'static Attribute, op: Op, which: Option<&Filter>) -> Result<Value, Error> {
    let like = match which {
        None => Some(Object::new()),
        Some(which) if op == Op::Add => which.as_value(),
        Some(_) => None,
    };
    let like = like
        .ok_or_else(|| Error::new(Why::NoTarget, format!("no value of `{}` is like this", attribute.name)))?;
    schema::single(attribute, &Value::Object(like))
}

fn put(
    inner: &mut Object,
    attribute: &'static Attribute,
    part: Option<&'static Attribute>,
    value: &Value,
) -> Result<(), Error> {
    match part {
        Some(part) => drop(inner.insert(part.name.to_owned(), schema::single(part, value)?)),
        None => {
            if let Value::Object(new) = schema::single(attribute, value)? {
                inner.extend(new);
            }
        }
    }
    Ok(())
}

/// Puts a list back: not too long, one value to be used, and absent rather than empty.
fn settle(holder: &mut Object, attribute: &Attribute, values: Vec<Value>) -> Result<(), Error> {
    if let Some(value) = schema::values(attribute, &Value::Array(values))? {
        holder.insert(attribute.name.to_owned(), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schema::{ENTERPRISE, TEAMS, USERS};
    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    fn zoe() -> Object {
        object(json!({
            "userName": "zoe", "active": true, "name": { "familyName": "Zimmer" },
            "emails": [{ "value": "zoe@example.com", "type": "work", "primary": true }],
        }))
    }

    fn patched(kind: &'static Type, to: &Object, operations: Value) -> Result<Value, Why> {
        let body = object(json!({ "Operations": operations }));
        apply(kind, to, &body).map(Value::Object).map_err(|error| error.why)
    }

    /// What one operation makes of zoe, beside what she was.
    fn check(operation: Value, expected: Result<Value, Why>) {
        let got = patched(&USERS, &zoe(), json!([operation]));
        let expected = expected.map(|changes| {
            let mut whole = zoe();
            for (name, value) in object(changes) {
                if value.is_null() { drop(whole.remove(&name)) } else { drop(whole.insert(name, value)) }
            }
            Value::Object(whole)
        });
        assert_eq!(got, expected, "{operation}");
    }

    #[test]
    fn the_standards_changes_are_made() {
        let work = json!({ "value": "zoe@example.com", "type": "work", "primary": true });
        let home = json!({ "value": "z@home.example", "type": "home" });
        check(json!({ "op": "replace", "path": "active", "value": false }), Ok(json!({ "active": false })));
        check(
            json!({ "op": "replace", "path": "name", "value": { "givenName": "Zoe" } }),
            Ok(json!({ "name": { "familyName": "Zimmer", "givenName": "Zoe" } })),
        );
        check(json!({ "op": "remove", "path": "name.familyName" }), Ok(json!({ "name": null })));
        check(
            json!({ "op": "add", "path": "emails", "value": [home] }),
            Ok(json!({ "emails": [work, home] })),
        );
        check(json!({ "op": "add", "path": "emails", "value": [work] }), Ok(json!({})));
        check(json!({ "op": "replace", "path": "emails", "value": [home] }), Ok(json!({ "emails": [home] })));
        check(json!({ "op": "remove", "path": "emails[type eq \"work\"]" }), Ok(json!({ "emails": null })));
        check(
            json!({ "op": "add", "path": "emails", "value": { "value": "b@example.com", "primary": true } }),
            Ok(json!({ "emails": [
                { "value": "zoe@example.com", "type": "work", "primary": false },
                { "value": "b@example.com", "primary": true },
            ] })),
        );
        check(json!({ "op": "remove", "path": "userName" }), Err(Why::InvalidValue));
        check(json!({ "op": "replace", "path": "id", "value": "x" }), Err(Why::Mutability));
        check(json!({ "op": "replace", "path": "groups", "value": [] }), Err(Why::Mutability));
        check(json!({ "op": "replace", "path": "nonsense", "value": 1 }), Err(Why::InvalidPath));
        check(json!({ "op": "replace", "path": "name.nonsense", "value": "x" }), Err(Why::InvalidPath));
        check(json!({ "op": "replace", "path": "active", "value": [] }), Err(Why::InvalidValue));
        check(json!({ "op": "remove" }), Err(Why::NoTarget));
        check(json!({ "op": "melt", "path": "active" }), Err(Why::InvalidSyntax));
        check(json!([]), Err(Why::InvalidSyntax));
        let home_path = "emails[type eq \"home\"].value";
        check(json!({ "op": "replace", "path": home_path, "value": "x" }), Err(Why::NoTarget));
    }

    #[test]
    fn what_clients_in_the_field_send_is_taken_for_what_it_means() {
        check(json!({ "op": "Replace", "path": "active", "value": "False" }), Ok(json!({ "active": false })));
        check(json!({ "op": "replace", "value": { "active": false } }), Ok(json!({ "active": false })));
        check(
            json!({ "op": "Add", "path": "emails[type eq \"home\"].value", "value": "z@home.example" }),
            Ok(json!({ "emails": [
                { "value": "zoe@example.com", "type": "work", "primary": true },
                { "type": "home", "value": "z@home.example" },
            ] })),
        );
        let department = format!("{ENTERPRISE}:department");
        check(
            json!({ "op": "Add", "value": { "name.givenName": "Zoe", (department): "Sales", "id": "x", "?": 1 } }),
            Ok(json!({
                "name": { "familyName": "Zimmer", "givenName": "Zoe" },
                (ENTERPRISE): { "department": "Sales" },
            })),
        );
        check(
            json!({ "op": "Add", "path": format!("{ENTERPRISE}:manager"), "value": "4711" }),
            Ok(json!({ (ENTERPRISE): { "manager": { "value": "4711" } } })),
        );
        check(
            json!({ "op": "Replace", "path": "name.familyName", "value": null }),
            Ok(json!({ "name": null })),
        );
    }

    #[test]
    fn members_come_and_go() {
        let dba = object(json!({ "displayName": "DBA", "members": [{ "value": "1" }, { "value": "2" }] }));
        let members =
            |operations: Value| patched(&TEAMS, &dba, operations).map(|group| group["members"].clone());
        let of = |ids: &[&str]| -> Result<Value, Why> {
            Ok(ids.iter().map(|id| json!({ "value": id })).collect::<Vec<_>>().into())
        };
        let add = json!([{ "op": "add", "path": "members", "value": [{ "value": "2" }, { "value": "3" }] }]);
        assert_eq!(members(add), of(&["1", "2", "3"]));
        let by_filter = json!([{ "op": "remove", "path": "members[value eq \"1\"]" }]);
        assert_eq!(members(by_filter), of(&["2"]));
        let by_value = json!([{ "op": "Remove", "path": "members", "value": [{ "value": "2" }] }]);
        assert_eq!(members(by_value), of(&["1"]));
        assert_eq!(members(json!([{ "op": "remove", "path": "members" }])), Ok(Value::Null));
        let okta = json!([{ "op": "replace", "value": { "id": "x", "displayName": "DBAs" } }]);
        assert_eq!(patched(&TEAMS, &dba, okta).unwrap()["displayName"], "DBAs");
        let half = json!([
            { "op": "remove", "path": "members" }, { "op": "replace", "path": "displayName", "value": "" },
        ]);
        assert_eq!(members(half), Err(Why::InvalidValue));
        let other = json!([{ "op": "replace", "path": "members[value eq \"1\"].value", "value": "3" }]);
        assert_eq!(members(other), Err(Why::Mutability));
    }
}
