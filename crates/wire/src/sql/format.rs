//! A statement set out for reading.
//!
//! For an approver's eyes beside the original text, never instead of it: what runs is the original.

use pg_query::DeparseOptions;

use super::TEXT_BYTES_MAX;
use super::facts::Access;
use super::mentions::Walk;
use super::tree::{Tree, Value, tree_of};

/// The text laid out over several lines with its comments kept, or the text as it is when it cannot be laid out
/// without changing what it says. Needs [`super::STACK_BYTES`] of stack.
pub fn format(text: &str) -> String {
    laid_out(text).unwrap_or_else(|| text.to_owned())
}

fn laid_out(text: &str) -> Option<String> {
    if text.len() > TEXT_BYTES_MAX || text.contains('\0') {
        return None;
    }
    let parsed = pg_query::parse(text, 0).ok()?;
    if !parsed.protobuf.stmts.iter().all(is_understood) {
        return None;
    }
    let comments = pg_query::deparse_comments_for_query(text).ok()?;
    let options =
        DeparseOptions { comments, pretty_print: true, indent_size: 2, ..DeparseOptions::default() };
    let out = pg_query::deparse(&parsed.protobuf, options).ok()?;
    // A layout that parses to anything else than the original is worse than none.
    let again = pg_query::parse(&out, 0).ok()?;
    same(&parsed.protobuf, &again.protobuf).then_some(out)
}

/// Whether a statement is a query or a data-modifying one made of nodes that are understood. The deparser is given
/// nothing else: it is C that expects trees as the grammar's everyday use makes them.
fn is_understood(statement: &pg_query::protobuf::RawStmt) -> bool {
    let Some(tree) = statement.stmt.as_deref().and_then(|node| tree_of(node).ok()) else { return false };
    let mut walk = Walk::new(Access::Read);
    walk.visit(&tree);
    walk.found.mentions.foreign_nodes.is_empty()
}

/// Whether two parses say the same, wherever their tokens stand.
fn same(a: &pg_query::protobuf::ParseResult, b: &pg_query::protobuf::ParseResult) -> bool {
    fn is_place(field: &str) -> bool {
        field.ends_with("location")
            || matches!(field, "stmt_len" | "rexpr_list_start" | "rexpr_list_end" | "list_start" | "list_end")
    }
    fn trees(a: &Tree, b: &Tree) -> bool {
        let mut left = a.fields.iter().filter(|(field, _)| !is_place(field));
        let mut right = b.fields.iter().filter(|(field, _)| !is_place(field));
        loop {
            match (left.next(), right.next()) {
                (None, None) => return a.name == b.name,
                (Some((f, v)), Some((g, w))) if f == g && values(v, w) => {}
                _ => return false,
            }
        }
    }
    fn values(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Node(a), Value::Node(b)) => trees(a, b),
            (Value::List(a), Value::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| values(a, b))
            }
            (a, b) => a == b,
        }
    }
    matches!((tree_of(a), tree_of(b)), (Ok(a), Ok(b)) if trees(&a, &b))
}

#[cfg(test)]
mod tests {
    use super::format;

    #[test]
    fn lays_out_and_keeps_comments() {
        let out = format(
            "delete from orders -- old ones\nwhere created < now() - interval '1 year' and status='x'",
        );
        insta::assert_snapshot!(out, @r"
        DELETE FROM orders
        WHERE
          -- old ones
          created < now() - '1 year'::interval
          AND status = 'x'
        ");
    }

    #[test]
    fn what_does_not_parse_stays_as_it_is() {
        assert_eq!(format("delet from  x"), "delet from  x");
    }
}
