//! Resources and lists as clients see them.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::error::SCIM_JSON;
use super::records::{Of, Record, Records};
use super::schema::Object;

/// Which attributes are wanted (RFC 7644, section 3.9).
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    only: Vec<String>,
    not: Vec<String>,
}

/// Attributes that are always shown.
const ALWAYS: [&str; 2] = ["schemas", "id"];

impl Wanted {
    pub fn new(only: Option<&str>, not: Option<&str>) -> Self {
        let names = |text: Option<&str>| {
            let names = text.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
            names.take(128).map(bare).collect()
        };
        Self { only: names(only), not: names(not) }
    }

    /// The resource with what is wanted of it.
    fn of(&self, mut resource: Object) -> Object {
        for name in &self.not {
            take(&mut resource, name);
        }
        if self.only.is_empty() {
            return resource;
        }
        let mut shown = Object::new();
        for (name, value) in resource {
            if ALWAYS.contains(&name.as_str()) {
                shown.insert(name, value);
                continue;
            }
            let small = name.to_ascii_lowercase();
            if self.only.contains(&small) {
                shown.insert(name, value);
                continue;
            }
            let parts: Vec<&str> = self
                .only
                .iter()
                .filter_map(|wanted| wanted.strip_prefix(&small)?.strip_prefix(['.', ':']))
                .collect();
            if !parts.is_empty() {
                shown.insert(name, only_parts(value, &parts));
            }
        }
        shown
    }
}

/// A name in small letters, without the schema before it if that is a core one.
fn bare(name: &str) -> String {
    let small = name.to_ascii_lowercase();
    let core = [super::schema::USER, super::schema::GROUP].map(str::to_ascii_lowercase);
    let bare = core.iter().find_map(|urn| small.strip_prefix(urn.as_str())?.strip_prefix(':'));
    bare.unwrap_or(&small).to_owned()
}

fn take(resource: &mut Object, name: &str) {
    let is_always = |key: &str| ALWAYS.iter().any(|always| always.eq_ignore_ascii_case(key));
    resource.retain(|key, _| is_always(key) || !key.eq_ignore_ascii_case(name));
    for (key, value) in resource.iter_mut() {
        let small = key.to_ascii_lowercase();
        let Some(part) = name.strip_prefix(&small).and_then(|rest| rest.strip_prefix(['.', ':'])) else {
            continue;
        };
        let without = |value: &mut Value| {
            if let Value::Object(inner) = value {
                inner.retain(|key, _| !key.eq_ignore_ascii_case(part));
            }
        };
        match value {
            Value::Array(all) => all.iter_mut().for_each(without),
            one => without(one),
        }
    }
}

fn only_parts(value: Value, parts: &[&str]) -> Value {
    match value {
        Value::Array(all) => all.into_iter().map(|one| only_parts(one, parts)).collect(),
        Value::Object(inner) => {
            let wanted = |key: &str| parts.iter().any(|part| part.eq_ignore_ascii_case(key));
            Value::Object(inner.into_iter().filter(|(key, _)| wanted(key)).collect())
        }
        other => other,
    }
}

/// A resource with everything that this gateway adds to it.
pub fn shown(records: &Records, record: &Record, base: &str) -> Object {
    let kind = record.of.kind();
    let mut shown = Object::new();
    let schemas = kind.extensions.iter().map(|schema| schema.urn);
    let schemas = schemas.filter(|urn| record.resource.contains_key(*urn));
    let schemas: Vec<&str> = std::iter::once(kind.core.urn).chain(schemas).collect();
    shown.insert("schemas".into(), json!(schemas));
    shown.insert("id".into(), record.id.clone().into());
    shown.extend(record.resource.clone());
    match record.of {
        Of::User => {
            let (direct, indirect) = records.groups_of(&record.id);
            let groups =
                direct.iter().map(|id| (*id, "direct")).chain(indirect.iter().map(|id| (*id, "indirect")));
            let groups: Vec<Value> = groups.map(|(id, how)| group_of(records, id, how, base)).collect();
            if !groups.is_empty() {
                shown.insert("groups".into(), groups.into());
            }
        }
        Of::Group => {
            let members = record.members.iter().map(|id| {
                let of = if records.get(Of::Group, id).is_ok() { Of::Group } else { Of::User };
                let reference = reference((of, id), of.kind().name, base);
                Value::Object(reference)
            });
            let members: Vec<Value> = members.collect();
            if !members.is_empty() {
                shown.insert("members".into(), members.into());
            }
        }
    }
    let meta = json!({
        "resourceType": kind.name,
        "created": record.created.rfc3339(),
        "lastModified": record.modified.rfc3339(),
        "location": location(record, base),
        "version": tag(record),
    });
    shown.insert("meta".into(), meta);
    shown
}

/// A group that a user is in, with its name: clients show it, and look nobody up by it.
fn group_of(records: &Records, id: &str, how: &str, base: &str) -> Value {
    let mut group = reference((Of::Group, id), how, base);
    if let Some(display) = records.get(Of::Group, id).ok().and_then(Record::display) {
        group.insert("display".into(), display.into());
    }
    Value::Object(group)
}

fn reference((of, id): (Of, &str), kind: &str, base: &str) -> Object {
    let location = format!("{base}/{}/{id}", of.kind().endpoint);
    let parts = [("value", id), ("$ref", location.as_str()), ("type", kind)];
    parts.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect()
}

pub fn location(record: &Record, base: &str) -> String {
    format!("{base}/{}/{}", record.of.kind().endpoint, record.id)
}

/// The entity tag of a resource (RFC 9110, section 8.8.3).
pub fn tag(record: &Record) -> String {
    format!("W/\"{}\"", record.version)
}

/// Whether a header that lists tags names this one. What is shown of a resource may differ by what is wanted of it, so
/// tags are weak, and weakly compared.
pub fn names_tag(headers: &HeaderMap, name: header::HeaderName, record: &Record) -> Option<bool> {
    let value = headers.get(name)?;
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let wanted = strong(&tag(record));
    let value = value.to_str().unwrap_or_default();
    Some(value.trim() == "*" || value.split(',').any(|one| strong(one) == wanted))
}

/// One resource.
pub fn one(status: StatusCode, resource: Object, record: &Record, wanted: &Wanted, base: &str) -> Response {
    let mut response = body(status, &Value::Object(wanted.of(resource)));
    let headers = response.headers_mut();
    for (name, value) in [(header::ETAG, tag(record)), (header::LOCATION, location(record, base))] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// A page of a list (RFC 7644, section 3.4.2).
pub fn list(resources: Vec<Object>, (total, start): (usize, usize), wanted: &Wanted) -> Response {
    let shown: Vec<Value> = resources.into_iter().map(|one| Value::Object(wanted.of(one))).collect();
    let answer = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": shown.len(),
        "Resources": shown,
    });
    body(StatusCode::OK, &answer)
}

pub fn body(status: StatusCode, value: &Value) -> Response {
    let mut response = (status, value.to_string()).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(SCIM_JSON));
    response
}
