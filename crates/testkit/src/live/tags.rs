//! The server's own word for what it did, against the verbs of a judgement.
//!
//! A command tag says which statement it was, whoever parsed it; so it is the measure for verbs. A tag that is not in
//! this table agrees with nothing.

use countersign_wire::sql::{Facts, Kind};

/// Whether a judgement says what the tag says: the verb is among its verbs, and its kind is no milder than that.
pub(super) fn agrees(tag: &str, facts: &Facts) -> bool {
    let verb = |verb: &str| facts.has_verb(verb);
    let at_least = |kind: Kind| facts.kinds.iter().any(|found| *found >= kind);
    let (first, rest) = tag.split_once(' ').unwrap_or((tag, ""));
    match first {
        "SELECT" | "SHOW" | "CALL" | "DO" | "LISTEN" | "UNLISTEN" | "NOTIFY" | "FETCH" | "MOVE"
        | "EXPLAIN" | "SAVEPOINT" | "RELEASE" | "VACUUM" | "ANALYZE" | "CLUSTER" | "REINDEX"
        | "CHECKPOINT" | "LOAD" | "COMMENT" | "EXECUTE" => verb(&first.to_lowercase()),
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" => verb(&first.to_lowercase()) && at_least(Kind::Write),
        "TRUNCATE" => verb("truncate") && at_least(Kind::Write),
        "COPY" => verb("copy_in") || verb("copy_out"),
        "LOCK" => verb("lock"),
        "SET" if rest == "CONSTRAINTS" => verb("set_constraints"),
        "SET" => verb("set"),
        "RESET" => verb("reset"),
        "BEGIN" | "START" => verb("begin"),
        // The end of a failed transaction is a rollback, whatever was asked for.
        "COMMIT" | "ROLLBACK" if rest == "PREPARED" => verb(&format!("{}_prepared", first.to_lowercase())),
        "COMMIT" => verb("commit"),
        "ROLLBACK" => ["rollback", "rollback_to", "commit", "prepare_transaction"].into_iter().any(verb),
        "PREPARE" if rest == "TRANSACTION" => verb("prepare_transaction"),
        "PREPARE" => verb("prepare"),
        "DEALLOCATE" => verb("deallocate"),
        "DECLARE" => verb("declare"),
        "CLOSE" => verb("close"),
        "DISCARD" => verb("discard"),
        "REFRESH" => verb("refresh") && at_least(Kind::Ddl),
        "SECURITY" => verb("security_label") && at_least(Kind::Admin),
        "GRANT" | "REVOKE" => verb(&first.to_lowercase()) && at_least(Kind::Admin),
        "REASSIGN" => verb("reassign_owned") && at_least(Kind::Admin),
        "IMPORT" => verb("import_foreign_schema") && at_least(Kind::Admin),
        "ALTER" => {
            let altered = format!("alter_{}", noun(rest));
            let other = ["rename", "set_schema", "alter_owner", "alter_depends"].into_iter().any(verb);
            (verb(&altered) || other) && at_least(Kind::Ddl)
        }
        "CREATE" if rest == "TABLE AS" => verb("create_table") && at_least(Kind::Ddl),
        "CREATE" | "DROP" => {
            let made = format!("{}_{}", first.to_lowercase(), noun(rest));
            verb(&made) && at_least(Kind::Ddl)
        }
        _ => false,
    }
}

/// How a kind of object is called in verbs.
fn noun(tag: &str) -> String {
    match tag {
        "PROCEDURE" | "ROUTINE" => "function".to_owned(),
        "USER MAPPING" => "user_mapping".to_owned(),
        _ if tag.starts_with("TEXT SEARCH") => "text_search".to_owned(),
        _ => tag.to_lowercase().replace(' ', "_"),
    }
}
