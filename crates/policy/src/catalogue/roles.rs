//! `roles.toml`: which actions on which resources, under which upstream account, for how long at most.

use std::collections::BTreeMap;

use countersign_core::budget::{Budget, Limits, Over};
use countersign_core::catalogue::Role;
use countersign_core::{ActionName, ResourceId, RoleId};

use crate::text::{Kind, Read, Shape, Table, optional, required};

pub(super) const SHAPE: Shape = Shape {
    doc: "Privilege scopes.",
    fields: &[optional("role", Kind::Map(true, &Kind::Table(&ROLE)), "roles, by name")],
};

const ROLE: Shape = Shape {
    doc: "A privilege scope. It permits its actions on its resources, and opening a session on them.",
    fields: &[
        required("title", Kind::Text, "one line for people who choose"),
        required("actions", Kind::List(&Kind::Name), "what it permits, for example \"sql.read\""),
        required("resources", Kind::List(&Kind::Name), "on which resources"),
        required("account", Kind::Text, "the upstream account its sessions run under"),
        required("longest", Kind::Span, "the longest grant"),
        optional("budget", Kind::Table(&BUDGET), "how much may be taken under it"),
    ],
};

const BUDGET: Shape = Shape {
    doc: "How much may be taken under a role. What is spent is not given back: it stays spent until the grant ends.",
    fields: &[
        optional("grant", Kind::Table(&LIMITS), "by everything that is done under one grant"),
        optional("session", Kind::Table(&LIMITS), "by everything that is done in one session"),
        optional("statement", Kind::Table(&ONE), "by one statement; what exceeds it is cut while it runs"),
        optional(
            "over",
            Kind::Word(&["deny", "policy"]),
            "what becomes of an action when something is used up: it is denied (default), or policies say, which see \
             `context.over_budget`",
        ),
    ],
};

const LIMITS: Shape = Shape {
    doc: "What may be taken in all. What is not named has no limit.",
    fields: &[
        optional("statements", MANY, "statements that ran"),
        optional("rows", MANY, "rows that they gave or touched"),
        optional("bytes", MANY, "bytes of their answers"),
        optional("time", Kind::Span, "how long the target worked on them"),
    ],
};

const ONE: Shape = Shape {
    doc: "What one statement may take. What is not named has no limit.",
    fields: &[
        optional("rows", MANY, "rows that it gives"),
        optional("bytes", MANY, "bytes of its answer"),
        optional("time", Kind::Span, "how long the target works on it"),
    ],
};

const MANY: Kind = Kind::Whole(1, i64::MAX);

pub(super) fn roles(file: &Read<'_>) -> BTreeMap<RoleId, Role> {
    let roles = file.root.tables("role").map(|(name, table)| {
        let role = Role {
            title: table.text("title").to_owned(),
            actions: table.texts("actions").map(ActionName::new).collect(),
            resources: table.texts("resources").map(ResourceId::new).collect(),
            account: table.text("account").to_owned(),
            longest: table.span("longest").unwrap_or_default(),
            budget: table.table("budget").map(budget).filter(|budget| budget.limits_anything()),
        };
        (RoleId::new(name), role)
    });
    roles.collect()
}

fn budget(table: &Table) -> Budget {
    let limits = |key| table.table(key).map(limits).unwrap_or_default();
    let over = if table.maybe_text("over") == Some("policy") { Over::Policy } else { Over::Deny };
    Budget { grant: limits("grant"), session: limits("session"), over, statement: limits("statement") }
}

fn limits(table: &Table) -> Limits {
    let many = |key| table.whole(key).and_then(|many| u64::try_from(many).ok());
    Limits {
        statements: many("statements"),
        rows: many("rows"),
        bytes: many("bytes"),
        time: table.span("time"),
    }
}
