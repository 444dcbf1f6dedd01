//! What an action is made of: parameters, settings, functions, relations, rows.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::foreseen::Branch;
use super::marks::Mark;
use crate::shapes::Impact;

/// One parameter value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Parameter {
    /// Its place, counted from one.
    pub position: usize,
    /// The protocol's identifier of its type, 0 if it is not known.
    pub r#type: u32,
    /// What its type is called: `bigint`, `text[]`, `public.mood`; absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub type_name: Option<String>,
    /// How `value` is written.
    pub encoding: Encoding,
    /// The value; absent for SQL's NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub value: Option<String>,
    /// The characters of `value` that hide or deceive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// There is none: SQL's NULL.
    Null,
    /// As the client sent it: the type's text form.
    Text,
    /// The client sent the type's binary form; this is what it says, as the target would write it as text.
    Decoded,
    /// Bytes that are no text, or the binary form of a type that can't be read here, in hexadecimal.
    Hex,
}

/// A session setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Setting {
    /// Its name: `search_path`.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A function that the action calls by name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Function {
    /// Schema and name.
    pub name: String,
    /// It says that it changes something, or that its answer can be another one each time.
    pub volatile: bool,
    /// It runs with the rights of its owner.
    pub definer: bool,
}

/// A relation that the action names.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Relation {
    /// Schema and name.
    pub name: String,
    /// The account that owns it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub owner: Option<String>,
    /// How many rows it has, as the server estimates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub estimate_rows: Option<u64>,
    /// What is done to it: `read`, `write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub access: Option<String>,
    /// What it is: `table`, `partitioned_table`, `partition`, `inheritance_child`, `view`, `materialized_view`,
    /// `foreign_table`, `sequence`, `temporary`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// Its columns that are read or written so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// The text does not name it: it is reached by way of a view, a partition, an ancestor or a foreign key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub reached: bool,
    /// What the bundle calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub title: Option<String>,
    /// Who answers for it, as the bundle says: `group:dba`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub responsible: Option<String>,
    /// How bad it would be if something went wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub impact: Option<Impact>,
    /// What kind of data it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// What is known of the rows that an action would touch.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Rows {
    /// Counted exactly when it was asked; absent when unknown, or known within limits only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub count: Option<u64>,
    /// The fewest rows, where they are known within limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub least: Option<u64>,
    /// The most rows, where they are known within limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub most: Option<u64>,
    /// Why they are unknown, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub unknown: Option<String>,
    /// The branches of a MERGE, or the tables of a TRUNCATE, each by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<Branch>,
    /// As the server's plan expects; absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub estimate: Option<u64>,
    /// A yes covers at most so many; beyond, it is rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub bound: Option<u64>,
    /// No bound can be kept.
    pub unbounded: bool,
}
