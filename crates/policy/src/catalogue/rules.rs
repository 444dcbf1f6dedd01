//! `rules.toml`: approval rules. Policies say *when*, rules say *who*.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::catalogue::{Ceiling, Escalation, Place, Rule, Stage};
use countersign_core::{RuleName, Span};

use crate::diagnostic::Problems;
use crate::floor;
use crate::text::{Kind, Read, Shape, Table, optional, required};

pub(super) const SHAPE: Shape = Shape {
    doc: "Who must say yes.",
    fields: &[optional("approval", Kind::Map(true, &Kind::Table(&RULE)), "approval rules, by name")],
};

const RULE: Shape = Shape {
    doc: "An approval rule.",
    fields: &[
        required(
            "stages",
            Kind::List(&Kind::Table(&STAGE)),
            "all of them must be filled; they run in parallel",
        ),
        required(
            "pending_for",
            Kind::Span,
            "unanswered for this long, a request lapses; it is never granted",
        ),
        optional(
            "pending_in_transaction",
            Kind::Span,
            "the same while the client's own transaction is open; no less if absent",
        ),
        optional(
            "pending_with_locks",
            Kind::Span,
            "the same while that transaction holds locks which others may wait for",
        ),
        optional(
            "wait_in_transaction",
            Kind::Flag,
            "whether anything waits while the client's own transaction is open; it does if absent",
        ),
        optional(
            "wait_with_locks",
            Kind::Flag,
            "whether anything waits while that transaction holds locks; it does if absent",
        ),
        required("valid_for", Kind::Span, "how long a yes may be used"),
        optional("uses", Kind::Whole(1, 1_000), "how often a yes may be used; once if absent"),
        optional(
            "escalate",
            Kind::List(&Kind::Table(&ESCALATION)),
            "who is added when nobody answers; silence never approves",
        ),
        optional(
            "envelope",
            Kind::Table(&ENVELOPE),
            "approvers may approve bounds instead of one text, at most this wide; not at all if absent",
        ),
        optional(
            "signed",
            Kind::Flag,
            "a yes counts only if the approver's passkey signed it; it need not if absent",
        ),
    ],
};

const ENVELOPE: Shape = Shape {
    doc: "The widest envelope that approvers may give.",
    fields: &[
        required("rows", Kind::Whole(1, ROWS_MAX), "rows that one statement may write"),
        required("total", Kind::Whole(1, ROWS_MAX), "rows that may be written in all"),
        required("uses", Kind::Whole(1, 10_000), "how many statements"),
        required("longest", Kind::Span, "for how long at most"),
    ],
};

/// Beyond it no number of rows is a bound that a person could mean.
const ROWS_MAX: i64 = 1_000_000_000;

const STAGE: Shape = Shape {
    doc: "How many distinct people, and out of whom.",
    fields: &[
        required("need", Kind::Whole(1, 100), "how many distinct people"),
        required("from", Kind::List(&Kind::Place), "out of whom"),
    ],
};

const ESCALATION: Shape = Shape {
    doc: "Adds people after a while.",
    fields: &[
        required("after", Kind::Span, "time since the request was made"),
        required("add", Kind::List(&Kind::Place), "who may then fill a place"),
    ],
};

pub(super) fn rules(file: &Read<'_>, problems: &mut Problems) -> BTreeMap<RuleName, Arc<Rule>> {
    let rules = file.root.tables("approval").map(|(name, table)| {
        let rule = rule(table);
        check(file, name, table, &rule, problems);
        (RuleName::new(name), Arc::new(rule))
    });
    rules.collect()
}

fn rule(table: &Table) -> Rule {
    let stages = table.listed("stages").map(|(_, stage)| stage);
    let steps = table.listed("escalate").map(|(_, step)| step);
    Rule {
        stages: stages
            .map(|stage| Stage { need: count(stage, "need"), from: places(stage, "from") })
            .collect(),
        pending_for: table.span("pending_for").unwrap_or_default(),
        valid_for: table.span("valid_for").unwrap_or_default(),
        uses: count(table, "uses"),
        escalate: steps
            .map(|step| Escalation {
                after: step.span("after").unwrap_or_default(),
                add: places(step, "add"),
            })
            .collect(),
        envelope: table.table("envelope").map(ceiling),
        pending_in_transaction: pending(table, "wait_in_transaction", "pending_in_transaction"),
        pending_with_locks: pending(table, "wait_with_locks", "pending_with_locks"),
        signed: table.flag("signed").unwrap_or(false),
    }
}

/// How long something may wait in such circumstances; no time at all where it may not.
fn pending(table: &Table, waits: &str, within: &str) -> Option<Span> {
    if table.flag(waits) == Some(false) { Some(Span::default()) } else { table.span(within) }
}

fn ceiling(table: &Table) -> Ceiling {
    let rows = |key| table.whole(key).and_then(|number| u64::try_from(number).ok()).unwrap_or(1);
    Ceiling {
        rows: rows("rows"),
        total: rows("total"),
        uses: count(table, "uses"),
        longest: table.span("longest").unwrap_or_default(),
    }
}

fn check(file: &Read<'_>, name: &str, table: &Table, rule: &Rule, problems: &mut Problems) {
    let path = format!("approval.{name}");
    if name.starts_with(floor::RULES) {
        let message = format!("names that begin with `{}` belong to the policy floor", floor::RULES);
        problems.error(file.within, file.place(&path), message, None);
    }
    // Values that are there and were dropped have been reported.
    if table.get("stages").is_some() && file.place(&format!("{path}.stages[0]")).is_none() {
        let hint = "write at least one: `stages = [{ need = 1, from = [\"group:dba\"] }]`";
        let message = format!("nobody is asked by `{name}`");
        problems.error(file.within, file.place(&format!("{path}.stages")), message, Some(hint.into()));
    }
    for (index, stage) in table.listed("stages") {
        let path = format!("{path}.stages[{index}].from");
        // Names that are no names have been reported.
        let is_empty = stage.get("from").is_some() && file.place(&format!("{path}[0]")).is_none();
        if is_empty {
            problems.error(file.within, file.place(&path), "nobody is named here".into(), None);
        }
    }
    if let Some(envelope) = rule.envelope
        && envelope.rows > envelope.total
    {
        let place = file.place(&format!("{path}.envelope.rows"));
        let message = format!("one statement never writes more than the {} rows in all", envelope.total);
        problems.warning(file.within, place, message, Some("give at most as many rows as in all".into()));
    }
    for (index, step) in rule.escalate.iter().enumerate() {
        if step.after.0 > 0 && step.after >= rule.pending_for && rule.pending_for.0 > 0 {
            let place = file.place(&format!("{path}.escalate[{index}].after"));
            let message = format!("the request has lapsed after {}; this step never comes", rule.pending_for);
            problems.warning(file.within, place, message, Some("let it be pending for longer".into()));
        }
    }
}

/// A number that the shape has bounded; one if it is absent.
fn count(table: &Table, key: &str) -> u32 {
    table.whole(key).and_then(|number| u32::try_from(number).ok()).unwrap_or(1)
}

fn places(table: &Table, key: &str) -> Vec<Place> {
    table.texts(key).filter_map(|text| text.parse().ok()).collect()
}
