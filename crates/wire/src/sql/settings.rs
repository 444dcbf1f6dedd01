//! Settings: which may be changed freely, which change meaning or confinement.
//!
//! An allow-list: a setting that is not on it is `sql.admin`, whether the server knows it or not.

use pg_query::protobuf as pb;

use super::facts::{SettingChange, SettingScope};
use super::tree::{Tree, Value};

/// What SET, RESET or DISCARD amounts to.
pub(super) struct Setting {
    pub(super) changes: Vec<SettingChange>,
    /// Why it is more than a harmless change, if it is.
    pub(super) concern: Option<String>,
    pub(super) role_change: bool,
}

/// Settings that change how a session looks or how long it may take, and nothing about what statements mean or
/// what they may reach. `search_path` is among them because whoever judges the next statement must know it anyway.
const HARMLESS: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_min_messages",
    "cursor_tuple_fraction",
    "datestyle",
    "default_statistics_target",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "effective_cache_size",
    "extra_float_digits",
    "from_collapse_limit",
    "geqo",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "join_collapse_limit",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "max_parallel_workers_per_gather",
    "plan_cache_mode",
    "random_page_cost",
    "search_path",
    "seed",
    "seq_page_cost",
    "statement_timeout",
    "synchronize_seqscans",
    "timezone",
    "transaction",
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_read_only",
    "transaction snapshot",
    "session characteristics",
    "transaction_timeout",
    "work_mem",
    "xmlbinary",
    "xmloption",
];

/// Planner switches, by prefix.
const HARMLESS_PREFIX: &str = "enable_";

/// Judges a SET or RESET.
pub(super) fn set(tree: &Tree) -> Setting {
    use pb::VariableSetKind as K;
    let kind = K::try_from(i32::try_from(tree.int("kind")).unwrap_or(0)).unwrap_or(K::Undefined);
    let scope = if tree.flag("is_local") { SettingScope::Transaction } else { SettingScope::Session };
    if kind == K::VarResetAll {
        let change = SettingChange { name: "all".to_owned(), value: None, scope };
        return Setting { changes: vec![change], concern: None, role_change: false };
    }
    // Names of settings are case-insensitive, and aliases (TIME ZONE, NAMES, SCHEMA) arrive resolved.
    let name = tree.text("name").to_ascii_lowercase();
    let value = match kind {
        K::VarSetValue => constants(tree),
        _ => None,
    };
    let written = kind == K::VarSetValue;
    let concern = concern(&name, value.as_deref(), written);
    let role_change = matches!(name.as_str(), "role" | "session_authorization");
    Setting { changes: vec![SettingChange { name, value, scope }], concern, role_change }
}

fn concern(name: &str, value: Option<&str>, written: bool) -> Option<String> {
    match name {
        "role" => Some("SET ROLE changes whose privileges apply".to_owned()),
        "session_authorization" => {
            Some("SET SESSION AUTHORIZATION changes whose privileges apply".to_owned())
        }
        "client_encoding" => {
            let readable = match value {
                Some(v) => {
                    let v: String = v
                        .chars()
                        .filter(char::is_ascii_alphanumeric)
                        .collect::<String>()
                        .to_ascii_uppercase();
                    matches!(v.as_str(), "UTF8" | "UNICODE" | "SQLASCII")
                }
                None => false,
            };
            (!readable).then(|| {
                "the encoding of later statements changes, and only UTF8 and SQL_ASCII are understood"
                    .to_owned()
            })
        }
        "standard_conforming_strings" => {
            let on =
                value.is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "on" | "true" | "1" | "yes"));
            (!on).then(|| "it changes what quotes and backslashes mean in later statements".to_owned())
        }
        // Their values only widen or narrow what is accepted, never what accepted text means.
        "escape_string_warning" | "backslash_quote" => None,
        _ if HARMLESS.contains(&name) => None,
        _ if name.starts_with(HARMLESS_PREFIX) => None,
        _ if written => Some(format!("`{name}` is not among the settings that may be changed freely")),
        _ => Some(format!("resetting `{name}` may change what applies to later statements")),
    }
}

/// The values of a SET joined as text, where all of them are constants.
fn constants(tree: &Tree) -> Option<String> {
    let values: Option<Vec<String>> = tree
        .list("args")
        .iter()
        .map(|arg| {
            let Value::Node(arg) = arg else { return None };
            let value = arg.node("val").filter(|_| arg.name == "AConst")?;
            Some(match value.name {
                "Integer" => value.int("ival").to_string(),
                "Float" => value.text("fval").to_owned(),
                "Boolean" => value.flag("boolval").to_string(),
                "String" => value.text("sval").to_owned(),
                _ => return None,
            })
        })
        .collect();
    values.filter(|v| !v.is_empty()).map(|v| v.join(", "))
}
