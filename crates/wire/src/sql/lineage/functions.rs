//! What a protected value may be handed to without telling of it.
//!
//! Each entry gives an answer for every value (no error depends on what the value is), in time that depends on its length
//! at most, and shows its answer nowhere but in the result. Then masking the result is enough. Arguments that are not
//! protected may still make it fail, which tells nothing.

/// Built-in functions and aggregates of that kind.
const TOTAL: &[&str] = &[
    "array_agg",
    "ascii",
    "avg",
    "bit_length",
    "bool_and",
    "bool_or",
    "btrim",
    "char_length",
    "character_length",
    "concat",
    "concat_ws",
    "count",
    "every",
    "first_value",
    "hashtext",
    "initcap",
    "json_agg",
    "json_build_array",
    "jsonb_agg",
    "jsonb_build_array",
    "lag",
    "last_value",
    "lead",
    "left",
    "length",
    "lower",
    "ltrim",
    "max",
    "md5",
    "min",
    "nth_value",
    "octet_length",
    "position",
    "quote_ident",
    "quote_literal",
    "quote_nullable",
    "reverse",
    "right",
    "row_to_json",
    "rtrim",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "split_part",
    "starts_with",
    "string_agg",
    "strpos",
    "substr",
    "sum",
    "to_json",
    "to_jsonb",
    "translate",
    "upper",
];

/// Operators of that kind, whatever stands on either side.
const OPERATORS: &[&str] = &["=", "<>", "!=", "<", "<=", ">", ">=", "||"];

/// Built-in functions that give back data of relations which no argument names for the grammar.
const READERS: &[&str] = &[
    "cursor_to_xml",
    "database_to_xml",
    "lo_get",
    "loread",
    "pg_get_wal",
    "pg_logical_slot_",
    "pg_read_",
    "pg_stat_get_",
    "schema_to_xml",
    "table_to_xml",
];

/// Built-in functions that run a text as SQL: it may do anything, and nobody reads it.
const RUNNERS: &[&str] = &["query_to_xml", "ts_rewrite", "ts_stat"];

/// Whether a built-in function tells nothing of a protected argument but by its result.
pub(super) fn is_total(name: &str) -> bool {
    TOTAL.binary_search(&name).is_ok()
}

/// The same of an operator.
pub(super) fn is_total_operator(name: &str) -> bool {
    OPERATORS.contains(&name)
}

/// Whether a built-in function may give back what is protected.
pub(super) fn reads_anything(name: &str) -> bool {
    READERS.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a built-in function runs a text as SQL.
pub(super) fn runs_text(name: &str) -> bool {
    RUNNERS.iter().any(|prefix| name.starts_with(prefix))
}

/// Types whose text form keeps a text as it is.
pub(super) fn is_text(name: &str) -> bool {
    matches!(name, "text" | "varchar" | "bpchar" | "name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order() {
        assert!(TOTAL.is_sorted());
    }

    #[test]
    fn what_can_fail_is_not_on_it() {
        // `substring` also takes a regular expression, and `replace` may make something far longer.
        for name in ["to_date", "to_number", "repeat", "lpad", "pg_sleep", "decode", "substring", "replace"] {
            assert!(!is_total(name), "{name}");
        }
        assert!(runs_text("query_to_xml_and_xmlschema") && reads_anything("table_to_xml"));
        assert!(!reads_anything("nextval"));
    }
}
