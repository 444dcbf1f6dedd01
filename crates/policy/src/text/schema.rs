//! JSON Schemas (draft 2020-12), for editors that understand TOML.

use serde_json::{Map, Value, json};

use super::{Kind, Shape};

/// The JSON Schema of a file with this shape.
pub(crate) fn json_schema(title: &str, shape: &Shape) -> Value {
    let mut schema = table(shape);
    if let Some(object) = schema.as_object_mut() {
        object.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        object.insert("title".into(), json!(title));
    }
    schema
}

fn table(shape: &Shape) -> Value {
    let properties: Map<String, Value> = shape
        .fields
        .iter()
        .map(|field| {
            let mut schema = kind(&field.kind);
            if let Some(object) = schema.as_object_mut() {
                object.insert("description".into(), json!(field.doc));
            }
            (field.key.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> =
        shape.fields.iter().filter(|field| field.required).map(|field| field.key).collect();
    json!({
        "type": "object",
        "description": shape.doc,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn kind(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!({"type": "string", "minLength": 1}),
        Kind::Name => json!({"type": "string", "pattern": NAME}),
        Kind::Span => json!({"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"}),
        Kind::Place => {
            json!({"type": "string", "pattern": "^(owner|(user|group):[a-z0-9][a-z0-9._@-]{0,63})$"})
        }
        Kind::Reference => json!({"type": "string", "pattern": "^(env|file|secret):.+$"}),
        Kind::Whole(low, high) => json!({"type": "integer", "minimum": low, "maximum": high}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Word(words) => json!({"enum": words}),
        Kind::List(of) => json!({"type": "array", "items": self::kind(of)}),
        Kind::OneOrMore(of) => {
            let one = self::kind(of);
            json!({"oneOf": [one, {"type": "array", "items": one, "minItems": 1}]})
        }
        Kind::Map(true, of) => json!({
            "type": "object",
            "propertyNames": {"pattern": NAME},
            "additionalProperties": self::kind(of),
        }),
        Kind::Map(false, of) => json!({"type": "object", "additionalProperties": self::kind(of)}),
        Kind::Table(shape) => table(shape),
    }
}

const NAME: &str = "^[a-z0-9][a-z0-9._@-]{0,63}$";
