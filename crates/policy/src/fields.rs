//! What whoever acts has named as they liked: the arguments of a call.
//!
//! A schema that is the same for every bundle can't know such names as attributes. They are the tags of an entity that
//! exists for one question alone: a policy tests with `hasTag` that there is one before it reads it with `getTag`, and
//! Cedar's validator sees to it that it does.

use cedar_policy::{Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use countersign_core::question::{Context, Value};

use crate::context::{FIELDS, NUMBERS};

/// The one entity of each type that a question has.
const ID: &str = "asked";

/// The reference to the entity that a circumstance of this type is.
pub(crate) fn reference(value: &Value) -> RestrictedExpression {
    match uid(value) {
        Some(uid) => RestrictedExpression::new_entity_uid(uid),
        // Of no other type is anything asked here; a text where an entity is wanted is an error, hence a denial.
        None => RestrictedExpression::new_string(String::new()),
    }
}

/// What Cedar must know beside `entities` to judge in this context. Nothing: it knows all.
///
/// # Errors
/// An entity can't be made, in words.
pub(crate) fn known(entities: &Entities, context: &Context) -> Result<Option<Entities>, String> {
    let made: Result<Vec<Entity>, String> = context.values().filter_map(entity).collect();
    let made = made?;
    if made.is_empty() {
        return Ok(None);
    }
    entities.clone().add_entities(made, None).map(Some).map_err(|error| error.to_string())
}

fn entity(value: &Value) -> Option<Result<Entity, String>> {
    let tags: Vec<(String, RestrictedExpression)> = match value {
        Value::Fields(fields) => {
            let tag = |(name, text): (&String, &String)| {
                (name.clone(), RestrictedExpression::new_string(text.clone()))
            };
            fields.iter().map(tag).collect()
        }
        Value::Numbers(numbers) => {
            let tag =
                |(name, number): (&String, &i64)| (name.clone(), RestrictedExpression::new_long(*number));
            numbers.iter().map(tag).collect()
        }
        _ => return None,
    };
    let uid = uid(value)?;
    Some(Entity::new_with_tags(uid, [], [], tags).map_err(|error| error.to_string()))
}

fn uid(value: &Value) -> Option<EntityUid> {
    let kind = match value {
        Value::Fields(_) => FIELDS,
        Value::Numbers(_) => NUMBERS,
        _ => return None,
    };
    let kind: EntityTypeName = kind.parse().ok()?;
    Some(EntityUid::from_type_name_and_id(kind, EntityId::new(ID)))
}
