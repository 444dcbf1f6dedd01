//! What policy is told of what a statement reaches: columns, relations, functions, settings, files, by the names that the
//! database has for them.
//!
//! Names are put together with dots and without quotes, as `schema.relation.column`: a policy that names one is compared
//! with exactly that. What could not be resolved is said in `resolved`, never left out in silence.

use std::collections::BTreeSet;

use countersign_core::question::Value;
use countersign_wire::sql::{Access, Called, ColumnUse, CopyTarget, Facts};

/// The circumstances of a statement that say what it reaches.
pub(super) fn reach(facts: &Facts) -> [(&'static str, Value); 11] {
    let columns = |access| {
        let used = facts.columns.iter().filter(move |column| column.access == access);
        Value::Texts(used.map(name_of).collect())
    };
    let calls = |wanted: fn(&Called) -> bool| {
        let calls = facts.calls.iter().filter(|called| wanted(called));
        Value::Texts(calls.map(|called| called.name.clone()).collect())
    };
    let kinds = facts.relation_kinds.iter().map(|kind| (*kind).to_owned()).collect();
    let copies: BTreeSet<String> = facts.copies.iter().flat_map(words).collect();
    let settings = facts.settings.iter().map(|change| change.name.clone()).collect();
    [
        ("columns_read", columns(Access::Read)),
        ("columns_written", columns(Access::Write)),
        ("touches", Value::Texts(facts.touches.clone())),
        ("relation_kinds", Value::Texts(kinds)),
        ("calls", calls(|_| true)),
        ("calls_volatile", calls(|called| called.volatile)),
        ("calls_definer", calls(|called| called.definer)),
        ("copies", Value::Texts(copies)),
        ("settings", Value::Texts(settings)),
        ("role_change", Value::Bool(facts.role_change)),
        ("resolved", Value::Bool(facts.resolved)),
    ]
}

fn name_of(column: &ColumnUse) -> String {
    format!("{}.{}.{}", column.schema, column.relation, column.column)
}

/// Where COPY reads from or writes to: the way, and the way with the name of the file or program.
fn words(target: &CopyTarget) -> Vec<String> {
    let (way, name) = match target {
        CopyTarget::FromClient => ("from_client", None),
        CopyTarget::ToClient => ("to_client", None),
        CopyTarget::FromFile(name) => ("from_file", Some(name)),
        CopyTarget::ToFile(name) => ("to_file", Some(name)),
        CopyTarget::FromProgram(name) => ("from_program", Some(name)),
        CopyTarget::ToProgram(name) => ("to_program", Some(name)),
    };
    let named = name.map(|name| format!("{way}:{name}"));
    [way.to_owned()].into_iter().chain(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_wire::sql::{Context, Parser, SessionState, classify_text};

    fn told(text: &'static str) -> Vec<(&'static str, Value)> {
        let parser = Parser::threads(1).unwrap();
        let facts = parser.run(move || {
            let session = SessionState::fresh(150_000, "writer");
            classify_text(
                text.as_bytes(),
                &Context { session: &session, catalogue: None, parameter_types: &[] },
            )
        });
        reach(&facts.unwrap())
            .into_iter()
            .filter(|(_, value)| *value != Value::Texts(BTreeSet::new()))
            .collect()
    }

    fn texts(all: &[&str]) -> Value {
        Value::Texts(all.iter().map(|one| (*one).to_owned()).collect())
    }

    #[test]
    fn without_a_catalogue_nothing_is_complete() {
        let told = told("copy orders to program 'gzip > x'");
        assert_eq!(
            told,
            [
                ("touches", texts(&["orders"])),
                ("relation_kinds", texts(&["unknown"])),
                ("copies", texts(&["to_program", "to_program:gzip > x"])),
                ("role_change", Value::Bool(false)),
                ("resolved", Value::Bool(false)),
            ]
        );
    }

    #[test]
    fn changes_of_role_and_settings_are_told() {
        let told = told("set role admin; set local work_mem = '1GB'");
        assert_eq!(
            told,
            [
                ("settings", texts(&["role", "work_mem"])),
                ("role_change", Value::Bool(true)),
                ("resolved", Value::Bool(true)),
            ]
        );
    }
}
