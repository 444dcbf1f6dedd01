//! One plain tree for every syntax node there is.
//!
//! The grammar's nodes are some 270 generated types with 2,000 fields. Visiting them by hand is how other tools miss
//! things: a field nobody thought of is a field nobody looks at. The generated types all serialise, so this turns
//! any of them into one small type, field by field, and nothing can be forgotten. Default values (nothing, zero,
//! false, empty) are left out, as the wire form of the grammar does.
//!
//! What this is not: a serialiser of anything else. A shape that the generated types do not have is an error.

use std::fmt;

use serde::ser::{self, Serialize};

use super::TREE_DEPTH_MAX;

/// A node: its type's name and the fields that are set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    pub(super) name: &'static str,
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Nothing,
    Bool(bool),
    Int(i64),
    Text(String),
    Node(Tree),
    List(Vec<Value>),
}

/// Why a tree could not be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TreeError {
    TooDeep,
    Shape(String),
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TreeError::TooDeep => write!(f, "the syntax tree nests deeper than {TREE_DEPTH_MAX} levels"),
            TreeError::Shape(what) => write!(f, "the syntax tree has an unexpected shape: {what}"),
        }
    }
}

impl std::error::Error for TreeError {}

impl ser::Error for TreeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        TreeError::Shape(message.to_string())
    }
}

/// The tree of a generated node.
pub(super) fn tree_of<T: Serialize>(node: &T) -> Result<Tree, TreeError> {
    match node.serialize(Builder { depth: 0 })? {
        Value::Node(tree) => Ok(tree),
        _ => Err(TreeError::Shape("the root is no node".to_owned())),
    }
}

impl Tree {
    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        self.fields.iter().find(|(name, _)| *name == field).map(|(_, value)| value)
    }

    pub(super) fn node(&self, field: &str) -> Option<&Tree> {
        match self.get(field) {
            Some(Value::Node(tree)) => Some(tree),
            _ => None,
        }
    }

    pub(super) fn list(&self, field: &str) -> &[Value] {
        match self.get(field) {
            Some(Value::List(values)) => values,
            _ => &[],
        }
    }

    /// The nodes of a list field; anything else in it is skipped (the generated lists hold only nodes).
    pub(super) fn nodes<'a>(&'a self, field: &str) -> impl Iterator<Item = &'a Tree> + use<'a> {
        self.list(field).iter().filter_map(Value::as_node)
    }

    pub(super) fn text(&self, field: &str) -> &str {
        match self.get(field) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    pub(super) fn int(&self, field: &str) -> i64 {
        match self.get(field) {
            Some(Value::Int(value)) => *value,
            _ => 0,
        }
    }

    pub(super) fn flag(&self, field: &str) -> bool {
        matches!(self.get(field), Some(Value::Bool(true)))
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.get(field).is_some()
    }

    /// Whether anything in it is called by the session's own schema. What is not a relation (a type, say) is not marked as
    /// temporary in any other way.
    pub(super) fn names_temporary_schema(&self) -> bool {
        fn within(value: &Value) -> bool {
            match value {
                Value::Text(text) => text == "pg_temp" || text.starts_with("pg_temp_"),
                Value::Node(tree) => tree.names_temporary_schema(),
                Value::List(values) => values.iter().any(within),
                Value::Nothing | Value::Bool(_) | Value::Int(_) => false,
            }
        }
        self.fields.iter().any(|(_, value)| within(value))
    }

    /// The strings of a list of String nodes: a possibly qualified name. Stars and other nodes are left out.
    pub(super) fn names(&self, field: &str) -> Vec<&str> {
        names_of(self.list(field))
    }
}

/// The strings of a list of String nodes.
pub(super) fn names_of(values: &[Value]) -> Vec<&str> {
    values.iter().filter_map(Value::as_node).filter(|t| t.name == "String").map(|t| t.text("sval")).collect()
}

impl Value {
    pub(super) fn as_node(&self) -> Option<&Tree> {
        match self {
            Value::Node(tree) => Some(tree),
            _ => None,
        }
    }
}

struct Builder {
    depth: u32,
}

impl Builder {
    fn deeper(&self) -> Result<Builder, TreeError> {
        if self.depth >= TREE_DEPTH_MAX {
            return Err(TreeError::TooDeep);
        }
        Ok(Builder { depth: self.depth + 1 })
    }
}

fn shape(what: &str) -> TreeError {
    TreeError::Shape(what.to_owned())
}

impl ser::Serializer for Builder {
    type Ok = Value;
    type Error = TreeError;
    type SerializeSeq = ListBuilder;
    type SerializeTuple = ser::Impossible<Value, TreeError>;
    type SerializeTupleStruct = ser::Impossible<Value, TreeError>;
    type SerializeTupleVariant = ser::Impossible<Value, TreeError>;
    type SerializeMap = ser::Impossible<Value, TreeError>;
    type SerializeStruct = NodeBuilder;
    type SerializeStructVariant = ser::Impossible<Value, TreeError>;

    fn serialize_bool(self, v: bool) -> Result<Value, TreeError> {
        Ok(if v { Value::Bool(true) } else { Value::Nothing })
    }

    fn serialize_i32(self, v: i32) -> Result<Value, TreeError> {
        self.serialize_i64(i64::from(v))
    }

    fn serialize_u32(self, v: u32) -> Result<Value, TreeError> {
        self.serialize_i64(i64::from(v))
    }

    fn serialize_i64(self, v: i64) -> Result<Value, TreeError> {
        Ok(if v == 0 { Value::Nothing } else { Value::Int(v) })
    }

    fn serialize_str(self, v: &str) -> Result<Value, TreeError> {
        Ok(if v.is_empty() { Value::Nothing } else { Value::Text(v.to_owned()) })
    }

    fn serialize_none(self) -> Result<Value, TreeError> {
        Ok(Value::Nothing)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, TreeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<Value, TreeError> {
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<ListBuilder, TreeError> {
        Ok(ListBuilder { builder: self, values: Vec::with_capacity(len.unwrap_or(0)) })
    }

    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<NodeBuilder, TreeError> {
        let builder = self.deeper()?;
        Ok(NodeBuilder { builder, wrapper: name == "Node", tree: Tree { name, fields: Vec::new() } })
    }

    fn serialize_i8(self, _: i8) -> Result<Value, TreeError> {
        Err(shape("i8"))
    }
    fn serialize_i16(self, _: i16) -> Result<Value, TreeError> {
        Err(shape("i16"))
    }
    fn serialize_u8(self, _: u8) -> Result<Value, TreeError> {
        Err(shape("u8"))
    }
    fn serialize_u16(self, _: u16) -> Result<Value, TreeError> {
        Err(shape("u16"))
    }
    fn serialize_u64(self, _: u64) -> Result<Value, TreeError> {
        Err(shape("u64"))
    }
    fn serialize_f32(self, _: f32) -> Result<Value, TreeError> {
        Err(shape("f32"))
    }
    fn serialize_f64(self, _: f64) -> Result<Value, TreeError> {
        Err(shape("f64"))
    }
    fn serialize_char(self, _: char) -> Result<Value, TreeError> {
        Err(shape("char"))
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<Value, TreeError> {
        Err(shape("bytes"))
    }
    fn serialize_unit(self) -> Result<Value, TreeError> {
        Err(shape("unit"))
    }
    fn serialize_unit_struct(self, name: &'static str) -> Result<Value, TreeError> {
        Err(shape(name))
    }
    fn serialize_unit_variant(
        self,
        name: &'static str,
        _index: u32,
        _variant: &'static str,
    ) -> Result<Value, TreeError> {
        Err(shape(name))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _value: &T,
    ) -> Result<Value, TreeError> {
        Err(shape(name))
    }
    fn serialize_tuple(self, _len: usize) -> Result<Self::SerializeTuple, TreeError> {
        Err(shape("tuple"))
    }
    fn serialize_tuple_struct(
        self,
        name: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleStruct, TreeError> {
        Err(shape(name))
    }
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleVariant, TreeError> {
        Err(shape(name))
    }
    fn serialize_map(self, _len: Option<usize>) -> Result<Self::SerializeMap, TreeError> {
        Err(shape("map"))
    }
    fn serialize_struct_variant(
        self,
        name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeStructVariant, TreeError> {
        Err(shape(name))
    }
}

struct ListBuilder {
    builder: Builder,
    values: Vec<Value>,
}

impl ser::SerializeSeq for ListBuilder {
    type Ok = Value;
    type Error = TreeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), TreeError> {
        // A list keeps its gaps: `[NULL, x]` and `[x]` are different lists.
        self.values.push(value.serialize(Builder { depth: self.builder.depth })?);
        Ok(())
    }

    fn end(self) -> Result<Value, TreeError> {
        Ok(if self.values.is_empty() { Value::Nothing } else { Value::List(self.values) })
    }
}

struct NodeBuilder {
    builder: Builder,
    /// `Node` is only the envelope of a typed node: its content takes its place.
    wrapper: bool,
    tree: Tree,
}

impl ser::SerializeStruct for NodeBuilder {
    type Ok = Value;
    type Error = TreeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), TreeError> {
        match value.serialize(Builder { depth: self.builder.depth })? {
            Value::Nothing => {}
            value => self.tree.fields.push((key, value)),
        }
        Ok(())
    }

    fn end(mut self) -> Result<Value, TreeError> {
        if !self.wrapper {
            return Ok(Value::Node(self.tree));
        }
        match self.tree.fields.pop() {
            Some((_, value)) => Ok(value),
            None => Ok(Value::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_statement(sql: &str) -> Tree {
        let parsed = pg_query::parse(sql, 0).unwrap();
        tree_of(&parsed.protobuf).unwrap().nodes("stmts").next().unwrap().node("stmt").unwrap().clone()
    }

    #[test]
    fn keeps_names_fields_and_leaves_out_defaults() {
        let tree = first_statement("select a.b, 'x' from only s.a where $2 = 0");
        assert_eq!(tree.name, "SelectStmt");
        let from = tree.nodes("from_clause").next().unwrap();
        assert_eq!((from.name, from.text("schemaname"), from.text("relname")), ("RangeVar", "s", "a"));
        assert!(!from.flag("inh"), "ONLY means no inheritance");
        let column = tree.nodes("target_list").next().unwrap().node("val").unwrap();
        assert_eq!(column.names("fields"), ["a", "b"]);
        let condition = tree.node("where_clause").unwrap();
        assert_eq!(condition.node("lexpr").unwrap().int("number"), 2);
        assert_eq!(condition.node("rexpr").unwrap().node("val").unwrap().name, "Integer");
        assert!(!tree.has("into_clause"));
    }

    #[test]
    fn a_list_keeps_its_gaps() {
        // A column definition list with a bare star in between keeps every place.
        let tree = first_statement("select count(*), t.* from t");
        assert_eq!(tree.list("target_list").len(), 2);
    }
}
