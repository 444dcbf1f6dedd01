//! What users and groups have (RFC 7643), said once: bodies are read by it, paths and filters look names up in it, and
//! `/Schemas` is written from it.
//!
//! Clients in the field write names in any case, texts where there should be truth values, and one value where there
//! should be a list. What is meant is clear in each of these, and is taken; what is not clear is refused.

use serde_json::{Map, Value, json};

use super::error::{Error, Why};

/// An object.
pub type Object = Map<String, Value>;

/// The longest text of one attribute, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;

/// The most values of one attribute that is no list of members.
const VALUES_MAX: usize = 256;

/// The most members that one group may have, or one call may name.
pub const MEMBERS_MAX: usize = 20_000;

pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A set of attributes with a name.
#[derive(Debug)]
pub struct Schema {
    pub urn: &'static str,
    pub name: &'static str,
    pub doc: &'static str,
    pub attributes: &'static [Attribute],
}

/// One attribute.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    pub name: &'static str,
    pub kind: Kind,
    pub is_list: bool,
    pub is_required: bool,
    /// Letters of different case are different letters.
    pub is_exact: bool,
    pub mutability: Mutability,
    /// The values that there are, where they are few.
    pub canonical: &'static [&'static str],
    /// No two resources have the same.
    pub is_unique: bool,
    pub doc: &'static str,
}

/// Who sets an attribute, and when (RFC 7643, section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    ReadWrite,
    /// Set with the value that it is a part of, and not changed by itself.
    Immutable,
    /// Set by us alone.
    ReadOnly,
}

/// What values an attribute has.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Text,
    Flag,
    Instant,
    Reference,
    Parts(&'static [Attribute]),
}

/// A kind of resource.
#[derive(Debug)]
pub struct Type {
    pub name: &'static str,
    /// Where its resources are, beneath the prefix.
    pub endpoint: &'static str,
    pub core: &'static Schema,
    pub extensions: &'static [&'static Schema],
}

const TEXT: Attribute = Attribute {
    name: "",
    kind: Kind::Text,
    is_list: false,
    is_required: false,
    is_exact: false,
    mutability: Mutability::ReadWrite,
    canonical: &[],
    is_unique: false,
    doc: "",
};

const fn text(name: &'static str, doc: &'static str) -> Attribute {
    Attribute { name, doc, ..TEXT }
}

const fn parts(name: &'static str, parts: &'static [Attribute], doc: &'static str) -> Attribute {
    Attribute { name, kind: Kind::Parts(parts), doc, ..TEXT }
}

const fn list(name: &'static str, of: &'static [Attribute], doc: &'static str) -> Attribute {
    Attribute { is_list: true, ..parts(name, of, doc) }
}

const fn flag(name: &'static str, doc: &'static str) -> Attribute {
    Attribute { kind: Kind::Flag, ..text(name, doc) }
}

const fn exact(attribute: Attribute) -> Attribute {
    Attribute { is_exact: true, ..attribute }
}

const fn read_only(attribute: Attribute) -> Attribute {
    Attribute { mutability: Mutability::ReadOnly, ..attribute }
}

const fn immutable(attribute: Attribute) -> Attribute {
    Attribute { mutability: Mutability::Immutable, ..attribute }
}

const fn reference(doc: &'static str) -> Attribute {
    exact(Attribute { kind: Kind::Reference, ..text("$ref", doc) })
}

/// One of several values, with its kind, and whether it is the one to be used.
const PLURAL: &[Attribute] = &[
    text("value", "The value."),
    text("display", "How people call it."),
    text("type", "Which of several it is: `work`, `home`."),
    flag("primary", "Whether it is the one to be used."),
];

const ADDRESS: &[Attribute] = &[
    text("formatted", "The whole address."),
    text("streetAddress", "Street and number."),
    text("locality", "City."),
    text("region", "State or region."),
    text("postalCode", "Postal code."),
    text("country", "Country."),
    text("type", "Which of several it is: `work`, `home`."),
    flag("primary", "Whether it is the one to be used."),
];

const NAME: &[Attribute] = &[
    text("formatted", "The full name."),
    text("familyName", "Family name."),
    text("givenName", "Given name."),
    text("middleName", "Middle names."),
    text("honorificPrefix", "Title before the name."),
    text("honorificSuffix", "Suffix behind the name."),
];

const GROUPS: &[Attribute] = &[
    read_only(exact(text("value", "The group's identifier."))),
    read_only(reference("Where the group is.")),
    read_only(text("display", "How the group is called.")),
    read_only(text("type", "`direct`, or `indirect` through another group.")),
];

const MEMBERS: &[Attribute] = &[
    immutable(exact(text("value", "The member's identifier."))),
    immutable(reference("Where the member is.")),
    immutable(Attribute { canonical: &["User", "Group"], ..text("type", "What the member is.") }),
];

const MANAGER: &[Attribute] = &[
    exact(text("value", "The manager's identifier.")),
    reference("Where the manager is."),
    text("displayName", "How the manager is called."),
];

/// What every resource has.
const COMMON: &[Attribute] = &[
    read_only(exact(text("id", "The identifier, given by this gateway and never given again."))),
    exact(text("externalId", "The client's own identifier.")),
];

const META: &[Attribute] = &[
    read_only(exact(text("resourceType", "What it is."))),
    read_only(Attribute { kind: Kind::Instant, ..text("created", "When it came.") }),
    read_only(Attribute { kind: Kind::Instant, ..text("lastModified", "When it was last changed.") }),
    read_only(exact(text("location", "Where it is."))),
    read_only(exact(text("version", "Which version it is."))),
];

const META_ITSELF: Attribute = read_only(parts("meta", META, "About the resource itself."));

pub const USERS: Type =
    Type { name: "User", endpoint: "Users", core: &USER_SCHEMA, extensions: &[&ENTERPRISE_SCHEMA] };

pub const TEAMS: Type = Type { name: "Group", endpoint: "Groups", core: &GROUP_SCHEMA, extensions: &[] };

/// All that there are.
pub const SCHEMAS: [&Schema; 3] = [&USER_SCHEMA, &GROUP_SCHEMA, &ENTERPRISE_SCHEMA];

const USER_SCHEMA: Schema = Schema {
    urn: USER,
    name: "User",
    doc: "An account of the directory",
    attributes: &[
        Attribute {
            is_required: true,
            is_unique: true,
            ..text(
                "userName",
                "The account's name. It becomes the principal's, without what the bundle strips.",
            )
        },
        parts("name", NAME, "How the person is called."),
        text("displayName", "How the account is shown."),
        text("nickName", "How friends call the person."),
        exact(Attribute { kind: Kind::Reference, ..text("profileUrl", "A page about the person.") }),
        text("title", "Their title."),
        text("userType", "What relation they have to the company."),
        text("preferredLanguage", "The language they prefer."),
        text("locale", "Their locale."),
        text("timezone", "Their time zone."),
        flag(
            "active",
            "Whether the account is let in. Where it is not said, it stays as it was; at first, yes.",
        ),
        list("emails", PLURAL, "Mail addresses."),
        list("phoneNumbers", PLURAL, "Telephone numbers."),
        list("ims", PLURAL, "Addresses for messages."),
        list("photos", PLURAL, "Pictures."),
        list("addresses", ADDRESS, "Postal addresses."),
        read_only(list("groups", GROUPS, "The groups it is in.")),
        list("entitlements", PLURAL, "What the directory says that they may do. It means nothing here."),
        list("roles", PLURAL, "What the directory says that they are. It means nothing here."),
        list("x509Certificates", PLURAL, "Certificates. They mean nothing here."),
    ],
};

const GROUP_SCHEMA: Schema = Schema {
    urn: GROUP,
    name: "Group",
    doc: "A group of the directory",
    attributes: &[
        Attribute {
            is_required: true,
            ..text("displayName", "The group's name. The bundle says by it which groups of its own it fills.")
        },
        list("members", MEMBERS, "Who is in it: users, and groups whose members are in it."),
    ],
};

const ENTERPRISE_SCHEMA: Schema = Schema {
    urn: ENTERPRISE,
    name: "EnterpriseUser",
    doc: "What companies know of an account",
    attributes: &[
        text("employeeNumber", "Their number."),
        text("costCenter", "Cost centre."),
        text("organization", "Organisation."),
        text("division", "Division."),
        text("department", "Department."),
        parts("manager", MANAGER, "Who leads them."),
    ],
};

impl Type {
    /// The attribute of this name in the resource itself, and whether it is the core's.
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        let all = COMMON.iter().chain([&META_ITSELF]).chain(self.core.attributes);
        named(all, name)
    }

    pub fn extension(&self, urn: &str) -> Option<&'static Schema> {
        self.extensions.iter().find(|one| one.urn.eq_ignore_ascii_case(urn)).copied()
    }

    /// A resource as a client sends it, in the names and kinds of its schemas. What they do not know, and what only
    /// this gateway sets, is left out.
    ///
    /// # Errors
    /// A value is of another kind, or too large.
    pub fn read(&self, body: &Object) -> Result<Object, Error> {
        let mut read = Object::new();
        for (name, value) in body {
            if let Some(schema) = self.extension(name) {
                let inner = value.as_object().ok_or_else(|| wrong(name, "an object"))?;
                let inner = objects(schema.attributes.iter(), inner)?;
                if !inner.is_empty() {
                    read.insert(schema.urn.to_owned(), Value::Object(inner));
                }
            } else if let Some(attribute) =
                self.attribute(name).filter(|one| one.mutability != Mutability::ReadOnly)
                && let Some(value) = values(attribute, value)?
            {
                read.insert(attribute.name.to_owned(), value);
            }
        }
        Ok(read)
    }

    /// Whether everything is there that has to be.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self, resource: &Object) -> Result<(), Error> {
        let missing = self.core.attributes.iter().find(|one| {
            let value = resource.get(one.name).and_then(Value::as_str);
            one.is_required && value.is_none_or(|text| text.trim().is_empty())
        });
        match missing {
            Some(one) => Err(Error::new(Why::InvalidValue, format!("`{}` is missing", one.name))),
            None => Ok(()),
        }
    }
}

/// The attribute of this name. Case is of no account.
pub fn named<'a>(all: impl IntoIterator<Item = &'a Attribute>, name: &str) -> Option<&'a Attribute> {
    all.into_iter().find(|one| one.name.eq_ignore_ascii_case(name))
}

/// The value of an attribute as it is kept; nothing for null and for an empty list.
///
/// # Errors
/// It is of another kind, or too large.
pub fn values(attribute: &Attribute, value: &Value) -> Result<Option<Value>, Error> {
    if value.is_null() {
        return Ok(None);
    }
    if !attribute.is_list {
        return single(attribute, value).map(Some);
    }
    let all = match value {
        Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    let most = if attribute.name == "members" { MEMBERS_MAX } else { VALUES_MAX };
    if all.len() > most {
        let message = format!("`{}` has at most {most} values", attribute.name);
        return Err(Error::new(Why::TooMany, message));
    }
    let mut kept: Vec<Value> = Vec::with_capacity(all.len());
    for one in all.iter().filter(|one| !one.is_null()) {
        kept.push(single(attribute, one)?);
    }
    only_one_primary(&mut kept);
    Ok((!kept.is_empty()).then_some(Value::Array(kept)))
}

/// Of several that say that they are the one to be used, the last is.
pub fn only_one_primary(values: &mut [Value]) {
    let is_primary = |one: &Value| one.get("primary") == Some(&Value::Bool(true));
    let mut found = false;
    for one in values.iter_mut().rev() {
        if is_primary(one) {
            if found && let Some(object) = one.as_object_mut() {
                object.insert("primary".into(), Value::Bool(false));
            }
            found = true;
        }
    }
}

/// One value of an attribute, as it is kept.
///
/// # Errors
/// It is of another kind, or too large.
pub fn single(attribute: &Attribute, value: &Value) -> Result<Value, Error> {
    match (attribute.kind, value) {
        (Kind::Parts(parts), Value::Object(object)) => Ok(Value::Object(objects(parts, object)?)),
        // `"manager": "id"`, `"emails": ["a@example.com"]`: the value of what has values.
        (Kind::Parts(parts), Value::String(_)) => match named(parts, "value") {
            Some(inner) => Ok(json!({ "value": single(inner, value)? })),
            None => Err(wrong(attribute.name, "an object")),
        },
        (Kind::Parts(_), _) => Err(wrong(attribute.name, "an object")),
        (Kind::Flag, Value::Bool(_)) => Ok(value.clone()),
        (Kind::Flag, Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
        (Kind::Flag, Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
        (Kind::Flag, _) => Err(wrong(attribute.name, "true or false")),
        (Kind::Text | Kind::Reference | Kind::Instant, Value::String(text)) => {
            if text.len() > TEXT_BYTES_MAX || text.contains('\0') {
                return Err(wrong(attribute.name, "a text of at most 4096 bytes"));
            }
            Ok(value.clone())
        }
        (Kind::Text | Kind::Reference | Kind::Instant, _) => Err(wrong(attribute.name, "a text")),
    }
}

fn objects<'a>(
    attributes: impl IntoIterator<Item = &'a Attribute> + Clone,
    object: &Object,
) -> Result<Object, Error> {
    let mut read = Object::new();
    for (name, value) in object {
        let Some(attribute) = named(attributes.clone(), name) else { continue };
        if let Some(value) = values(attribute, value)? {
            read.insert(attribute.name.to_owned(), value);
        }
    }
    Ok(read)
}

pub fn wrong(name: &str, expected: &str) -> Error {
    let name: String = name.chars().take(80).collect();
    Error::new(Why::InvalidValue, format!("`{name}` has to be {expected}"))
}

/// A schema as `/Schemas` shows it (RFC 7643, section 7).
pub fn shown(schema: &Schema, base: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": schema.urn,
        "name": schema.name,
        "description": schema.doc,
        "attributes": schema.attributes.iter().map(shown_attribute).collect::<Vec<_>>(),
        "meta": { "resourceType": "Schema", "location": format!("{base}/Schemas/{}", schema.urn) },
    })
}

fn shown_attribute(attribute: &Attribute) -> Value {
    let kind = match attribute.kind {
        Kind::Text => "string",
        Kind::Flag => "boolean",
        Kind::Instant => "dateTime",
        Kind::Reference => "reference",
        Kind::Parts(_) => "complex",
    };
    let mut shown = json!({
        "name": attribute.name,
        "type": kind,
        "multiValued": attribute.is_list,
        "description": attribute.doc,
        "required": attribute.is_required,
        "mutability": match attribute.mutability {
            Mutability::ReadWrite => "readWrite",
            Mutability::Immutable => "immutable",
            Mutability::ReadOnly => "readOnly",
        },
        "returned": "default",
    });
    let Some(object) = shown.as_object_mut() else { return shown };
    match attribute.kind {
        Kind::Parts(parts) => {
            let parts: Vec<Value> = parts.iter().map(shown_attribute).collect();
            object.insert("subAttributes".into(), parts.into());
        }
        Kind::Reference => {
            let types = match attribute.name {
                "$ref" => json!(["User", "Group"]),
                _ => json!(["external"]),
            };
            object.insert("referenceTypes".into(), types);
        }
        Kind::Text | Kind::Flag | Kind::Instant => {}
    }
    if !matches!(attribute.kind, Kind::Parts(_) | Kind::Flag) {
        object.insert("caseExact".into(), attribute.is_exact.into());
    }
    if !attribute.canonical.is_empty() {
        object.insert("canonicalValues".into(), json!(attribute.canonical));
    }
    let uniqueness = if attribute.is_unique { "server" } else { "none" };
    object.insert("uniqueness".into(), uniqueness.into());
    shown
}
